//! What the books write for SQL, column by column.

use slotkeeper_lake::tables::{Table, bool, int, int_or_null, text, text_or_null, time};

/// How every guaranteed flight stood at the end of each day. One file per day, named after the day, not after its hours in UTC.
pub const CAMPAIGN_PACING_DAILY: Table = Table {
    name: "campaign_pacing_daily",
    about: "One row for every day and guaranteed flight that ran on it: how it stood at the end of the day",
    columns: &[
        text("day", "The day, YYYY-MM-DD, in the reporting time zone"),
        text("time_zone", "That time zone"),
        time("as_of", "Up to when it is counted: the end of the day, unless that was not over"),
        bool("is_provisional", "Whether the day was not over, or not all counted"),
        int("flight_id", "The flight"),
        text("flight", "Its id in the contracts file"),
        int("campaign_id", "Its campaign"),
        text("campaign", "The campaign's id in the contracts file"),
        int("advertiser_id", "Its advertiser"),
        text("advertiser", "The advertiser's id in the contracts file"),
        int("committed", "What was promised in all"),
        int("delivered", "What was delivered by then, in all"),
        int("delivered_on_day", "What was delivered on the day"),
        int("target_even", "What it would have by then if it delivered the same every hour"),
        int("target_even_of_day", "That of the day alone"),
        int("target_shaped", "What it should have by then, following the audience"),
        int("target_shaped_of_day", "That of the day alone"),
        bool("is_curve_learned", "Whether the audience's curve is learned; if not, it is even"),
        int_or_null("pacing_index_millionths", "delivered over target_shaped, 1,000,000 is on track; null too early"),
        int("remaining_ms", "Milliseconds to the flight's end"),
        int("days_remaining", "Days of the flight's calendar that it still runs on"),
        int("required_per_day", "The daily rate that delivers the rest in time"),
        int_or_null("projected", "Where it will end if it goes on so; null in its first day and when it is over"),
        int_or_null("projected_low", "The lower end of the 80 % interval around that"),
        int_or_null("projected_high", "The upper end"),
        text("alert", "not_started, starting, ok, over_delivering, watch, at_risk, critical, ended_full, ended_short"),
    ],
};

/// Every make-good as it stands.
pub const MAKEGOODS: Table = Table {
    name: "makegoods",
    about: "One row for every flight that closed short: what is owed for it now",
    columns: &[
        int("make_good_id", "Its number"),
        int("flight_id", "The flight that fell short"),
        text("flight", "Its id in the contracts file"),
        int("campaign_id", "Its campaign"),
        text("campaign", "The campaign's id in the contracts file"),
        int("advertiser_id", "To whom it is owed"),
        text("advertiser", "The advertiser's id in the contracts file"),
        time("ended_at", "When the flight ended, as booked now"),
        int("committed", "What is promised, by the terms of now"),
        int("delivered", "What was delivered, as far as is known by now"),
        int("shortfall", "What is missing of that; 0 of a void one"),
        int("scheduled", "Impressions that bonus flights are to deliver: of those that are over, what they did"),
        int("fulfilled", "Impressions that they delivered"),
        int("credited", "Impressions that were credited"),
        int("invoice_adjusted", "Impressions that invoices were adjusted by"),
        int("cpm_micros", "The price of a thousand, by the terms of now"),
        text("currency", "Of all amounts"),
        text_or_null("remedy", "The last that was chosen: additional_delivery, credit, invoice_adjustment"),
        text("status", "pending, scheduled, fulfilled, credited, void"),
        int("expense_micros", "What the shortfall costs"),
        int("liability_micros", "What of that is still owed"),
        int("over_remedied_micros", "What was made good beyond what turned out to be owed"),
        time("last_at", "When its last entry was written"),
    ],
};

/// The ledger, line by line.
pub const MAKEGOOD_LEDGER: Table = Table {
    name: "makegood_ledger",
    about: "One row for every line of every entry. The lines of an entry add up to 0, and nothing is ever changed",
    columns: &[
        int("entry_id", "The entry"),
        int("make_good_id", "Of which make-good"),
        int("seq", "Its place among the entries of that"),
        time("at", "When it was written"),
        text("kind", "mint, adjust, amend, schedule, fulfil, credit, invoice_adjustment, void"),
        int("flight_id", "The flight that fell short"),
        text("flight", "Its id in the contracts file"),
        text("campaign", "Its campaign"),
        text("advertiser", "To whom it is owed"),
        text("status", "What has become of the make-good with this entry"),
        text("account", "See docs/ledger.md"),
        text("currency", "Of the amount"),
        int("amount_micros", "Debits are positive, credits negative"),
        text("note", "Whatever was said about it"),
    ],
};
