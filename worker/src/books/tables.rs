//! What the books write for SQL, column by column.

use slotkeeper_lake::tables::{Column, Kind, Table};

const fn column(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, nullable: false, about }
}

const fn or_null(name: &'static str, kind: Kind, about: &'static str) -> Column {
    Column { name, kind, nullable: true, about }
}

/// How every guaranteed flight stood at the end of each day. One file per day, named after the day, not after its hours in UTC.
pub const CAMPAIGN_PACING_DAILY: Table = Table {
    name: "campaign_pacing_daily",
    about: "One row for every day and guaranteed flight that ran on it: how it stood at the end of the day",
    columns: &[
        column("day", Kind::Text, "The day, YYYY-MM-DD, in the reporting time zone"),
        column("time_zone", Kind::Text, "That time zone"),
        column("as_of", Kind::Time, "Up to when it is counted: the end of the day, unless that was not over"),
        column("is_provisional", Kind::Bool, "Whether the day was not over, or not all counted"),
        column("flight_id", Kind::Int, "The flight"),
        column("flight", Kind::Text, "Its id in the contracts file"),
        column("campaign_id", Kind::Int, "Its campaign"),
        column("campaign", Kind::Text, "The campaign's id in the contracts file"),
        column("advertiser_id", Kind::Int, "Its advertiser"),
        column("advertiser", Kind::Text, "The advertiser's id in the contracts file"),
        column("committed", Kind::Int, "What was promised in all"),
        column("delivered", Kind::Int, "What was delivered by then, in all"),
        column("delivered_on_day", Kind::Int, "What was delivered on the day"),
        column("target_even", Kind::Int, "What it would have by then if it delivered the same every hour"),
        column("target_even_of_day", Kind::Int, "That of the day alone"),
        column("target_shaped", Kind::Int, "What it should have by then, following the audience"),
        column("target_shaped_of_day", Kind::Int, "That of the day alone"),
        column("is_curve_learned", Kind::Bool, "Whether the audience's curve is learned; if not, it is even"),
        or_null(
            "pacing_index_millionths",
            Kind::Int,
            "delivered over target_shaped, 1,000,000 is on track; null too early",
        ),
        column("remaining_ms", Kind::Int, "Milliseconds to the flight's end"),
        column("days_remaining", Kind::Int, "Days of the flight's calendar that it still runs on"),
        column("required_per_day", Kind::Int, "The daily rate that delivers the rest in time"),
        or_null(
            "projected",
            Kind::Int,
            "Where it will end if it goes on so; null in its first day and when it is over",
        ),
        or_null("projected_low", Kind::Int, "The lower end of the 80 % interval around that"),
        or_null("projected_high", Kind::Int, "The upper end"),
        column(
            "alert",
            Kind::Text,
            "not_started, starting, ok, over_delivering, watch, at_risk, critical, ended_full, ended_short",
        ),
    ],
};

/// Every make-good as it stands.
pub const MAKEGOODS: Table = Table {
    name: "makegoods",
    about: "One row for every flight that closed short: what is owed for it now",
    columns: &[
        column("make_good_id", Kind::Int, "Its number"),
        column("flight_id", Kind::Int, "The flight that fell short"),
        column("flight", Kind::Text, "Its id in the contracts file"),
        column("campaign_id", Kind::Int, "Its campaign"),
        column("campaign", Kind::Text, "The campaign's id in the contracts file"),
        column("advertiser_id", Kind::Int, "To whom it is owed"),
        column("advertiser", Kind::Text, "The advertiser's id in the contracts file"),
        column("ended_at", Kind::Time, "When the flight ended"),
        column("committed", Kind::Int, "What was promised"),
        column("delivered", Kind::Int, "What was delivered, as far as is known by now"),
        column("shortfall", Kind::Int, "What is missing of that; 0 of a void one"),
        column(
            "scheduled",
            Kind::Int,
            "Impressions that bonus flights are to deliver: of those that are over, what they did",
        ),
        column("fulfilled", Kind::Int, "Impressions that they delivered"),
        column("credited", Kind::Int, "Impressions that were credited"),
        column("invoice_adjusted", Kind::Int, "Impressions that invoices were adjusted by"),
        column("cpm_micros", Kind::Int, "The price of a thousand"),
        column("currency", Kind::Text, "Of all amounts"),
        or_null("remedy", Kind::Text, "The last that was chosen: additional_delivery, credit, invoice_adjustment"),
        column("status", Kind::Text, "pending, scheduled, fulfilled, credited, void"),
        column("expense_micros", Kind::Int, "What the shortfall costs"),
        column("liability_micros", Kind::Int, "What of that is still owed"),
        column("over_remedied_micros", Kind::Int, "What was made good beyond what turned out to be owed"),
        column("last_at", Kind::Time, "When its last entry was written"),
    ],
};

/// The ledger, line by line.
pub const MAKEGOOD_LEDGER: Table = Table {
    name: "makegood_ledger",
    about: "One row for every line of every entry. The lines of an entry add up to 0, and nothing is ever changed",
    columns: &[
        column("entry_id", Kind::Int, "The entry"),
        column("make_good_id", Kind::Int, "Of which make-good"),
        column("seq", Kind::Int, "Its place among the entries of that"),
        column("at", Kind::Time, "When it was written"),
        column("kind", Kind::Text, "mint, adjust, schedule, fulfil, credit, invoice_adjustment, void"),
        column("flight_id", Kind::Int, "The flight that fell short"),
        column("flight", Kind::Text, "Its id in the contracts file"),
        column("campaign", Kind::Text, "Its campaign"),
        column("advertiser", Kind::Text, "To whom it is owed"),
        column("status", Kind::Text, "What has become of the make-good with this entry"),
        column("account", Kind::Text, "See docs/ledger.md"),
        column("currency", Kind::Text, "Of the amount"),
        column("amount_micros", Kind::Int, "Debits are positive, credits negative"),
        column("note", Kind::Text, "Whatever was said about it"),
    ],
};
