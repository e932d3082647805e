//! The tables, column by column: what the writer writes, what the docs say and what SQL sees is this.
//!
//! How a table may change without its files being written again: a column may be added, at the end, nullable. What reads a file of
//! before finds nulls. Nothing else may change under a name.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A whole number, 64 bits, signed.
    Int,
    /// An instant: milliseconds of Unix time, which SQL engines read as a timestamp in UTC.
    Time,
    /// True or false.
    Bool,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub nullable: bool,
    /// What it says, for the docs.
    pub about: &'static str,
}

/// A table of the lake.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name in SQL, and its folder in the lake.
    pub name: &'static str,
    /// What one row is, for the docs.
    pub about: &'static str,
    /// In the order in which they lie.
    pub columns: &'static [Column],
}

impl Table {
    /// The place of the column of this name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// Where a table's column of this name is; for when it is compiled.
pub(crate) const fn place_in(table: &Table, name: &str) -> usize {
    let mut place = 0;
    while place < table.columns.len() {
        if is_same(table.columns[place].name.as_bytes(), name.as_bytes()) {
            return place;
        }
        place += 1;
    }
    panic!("the table has no such column")
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

const fn column(name: &'static str, kind: Kind, nullable: bool, about: &'static str) -> Column {
    Column { name, kind, nullable, about }
}

/// A column of texts.
#[must_use]
pub const fn text(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Text, false, about)
}

/// A column of texts, or nothing.
#[must_use]
pub const fn text_or_null(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Text, true, about)
}

/// A column of numbers.
#[must_use]
pub const fn int(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Int, false, about)
}

/// A column of numbers, or nothing.
#[must_use]
pub const fn int_or_null(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Int, true, about)
}

/// A column of instants.
#[must_use]
pub const fn time(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Time, false, about)
}

/// A column of instants, or nothing.
#[must_use]
pub const fn time_or_null(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Time, true, about)
}

/// A column of true and false.
#[must_use]
pub const fn bool(name: &'static str, about: &'static str) -> Column {
    column(name, Kind::Bool, false, about)
}

const OPPORTUNITY_ID: Column =
    text("opportunity_id", "The slot: a UUID version 7, whose time is when its break opened");
const OPENED_AT: Column = time("opened_at", "When its break opened; the hour of this is the partition");
const BREAK_ID: Column = text("break_id", "Its ad break, 32 hexadecimal digits");
const TITLE_ID: Column = text("title_id", "What was watched");
const POSITION: Column = text("position", "Where the break stood: preroll, midroll, postroll");
const TIER: Column =
    text_or_null("tier", "The viewer's tier, as the player said; null where its decision is not known");
const COUNTRY: Column = text_or_null("country", "The viewer's country, likewise");
const REGION: Column = text_or_null("region", "The viewer's region, likewise");
const DEVICE: Column = text_or_null("device", "The viewer's class of device, likewise");
const INVALID_TRAFFIC: Column =
    text_or_null("invalid_traffic", "Why it is never billed, if it is not a viewer's: crawler; null of a viewer's");
const AD_ID_OR_NULL: Column = int_or_null("ad_id", "The ad: a creative as booked in a flight; null if unfilled");
const RECORD_ID_OR_NULL: Column =
    text_or_null("record_id", "The ad as sold: the address of its registry record; null if unfilled");

/// Rows as the edges sent them: among them those that an election may supersede.
pub const RAW_OPPORTUNITIES: Table = Table {
    name: "raw_opportunities",
    about: "One row for every row of a slot that an edge sent, duplicates of different deliveries included. Not every one stands: \
            see fct_ad_opportunities",
    columns: &[
        OPPORTUNITY_ID,
        BREAK_ID,
        int("slot_index", "The slot's place in its break, from 0"),
        text("recording", "How it came: committed with its claims, or uncommitted"),
        text("content_hash", "Half a BLAKE3 hash of all that the row says, but for which edge brought it"),
        text("edge_id", "The edge that brought it"),
        text("viewer", "Whose break, as a pseudonym of 32 hexadecimal digits"),
        text_or_null("session", "The viewing session as the decision knew it, a pseudonym; null where none was named"),
        TITLE_ID,
        POSITION,
        TIER,
        COUNTRY,
        REGION,
        DEVICE,
        int("max_duration_ms", "How long an ad could have been"),
        time("decided_at", "When it was decided, by the edge's clock"),
        int_or_null("plan_version", "The plan it was decided from; null if there was none"),
        text("decision_id", "What it was decided from"),
        text("search", "How its pod was found: exact or greedy"),
        INVALID_TRAFFIC,
        int("candidates", "How many flights were looked at"),
        text("eliminated", "JSON: how many candidates were lost for each reason"),
        text("outcome", "filled or unfilled"),
        text_or_null("fill_reason", "guaranteed, auction or house_ad; null if unfilled"),
        text_or_null("unfilled_reason", "The reason nearest to filling; null if filled"),
        AD_ID_OR_NULL,
        RECORD_ID_OR_NULL,
        int_or_null("advertiser_id", "Who buys; null if unfilled; 0 where an auction sold it"),
        int_or_null("campaign_id", "What they buy; null if unfilled; 0 where an auction sold it"),
        int_or_null("flight_id", "Under which dated contract; null if unfilled; 0 where an auction sold it"),
        int_or_null("creative_id", "The video; null if unfilled"),
        int_or_null("duration_ms", "The ad's length; null if unfilled"),
        time_or_null("expires_at", "When its token and its claim die; null if unfilled"),
        time_or_null("claim_counts_until", "Until when its claim may count in a cap's window; null if it holds none"),
    ],
};

/// Beacons as the edges sent them.
pub const RAW_BEACONS: Table = Table {
    name: "raw_beacons",
    about: "One row for every verified beacon that an edge sent, duplicates of different deliveries included",
    columns: &[
        OPPORTUNITY_ID,
        int("ad_id", "The ad that played, from the token"),
        text("record_id", "The ad as sold, from the token"),
        text("event", "What happened, by its VAST name"),
        time("at", "When, by the edge's clock: the arrival less the age that the client gave"),
        time("received_at", "When the edge received it"),
        text_or_null("session", "The client's session, a pseudonym; null of a pixel"),
        INVALID_TRAFFIC,
        int_or_null("error_code", "Of an error, VAST's code, if the player said one"),
        int_or_null("idle_s", "Seconds since the viewer last touched anything, if the player said so"),
    ],
};

/// What breaks were decided from.
pub const RAW_DECISIONS: Table = Table {
    name: "raw_decisions",
    about: "One row for every decision of a break that an edge sent, duplicates of different deliveries included; with its plan it \
            can be made again",
    columns: &[
        text("decision_id", "The address of its content"),
        BREAK_ID,
        time("opened_at", "When the break opened; the hour of this is the partition"),
        text("content", "The JSON of the decision"),
    ],
};

/// One row a slot, always.
pub const OPPORTUNITIES: Table = Table {
    name: "fct_ad_opportunities",
    about: "One row a slot, filled or unfilled, always. Of a break that was decided more than once, the rows of one decision",
    columns: &[
        OPPORTUNITY_ID,
        OPENED_AT,
        BREAK_ID,
        int("slot_index", "The slot's place in its break, from 0"),
        text("recording", "How the row came: committed with its claims, or uncommitted"),
        text("edge_id", "The edge that brought it; of several the first by name"),
        text("viewer", "Whose break, as a pseudonym of 32 hexadecimal digits"),
        text_or_null("session", "The viewing session as the decision knew it, a pseudonym; null where none was named"),
        TITLE_ID,
        POSITION,
        TIER,
        COUNTRY,
        REGION,
        DEVICE,
        int("max_duration_ms", "How long an ad could have been"),
        time("decided_at", "When it was decided, by the edge's clock"),
        int_or_null("plan_version", "The plan it was decided from; null if there was none"),
        text("decision_id", "What it was decided from"),
        text("search", "How its pod was found: exact or greedy"),
        INVALID_TRAFFIC,
        int("candidates", "How many flights were looked at"),
        text("eliminated", "JSON: how many candidates were lost for each reason"),
        text("outcome", "filled or unfilled"),
        text_or_null("fill_reason", "guaranteed, auction or house_ad; null if unfilled"),
        text_or_null("unfilled_reason", "The reason nearest to filling; null if filled"),
        AD_ID_OR_NULL,
        RECORD_ID_OR_NULL,
        int_or_null("advertiser_id", "Who buys; null if unfilled; 0 where an auction sold it"),
        int_or_null("campaign_id", "What they buy; null if unfilled; 0 where an auction sold it"),
        int_or_null("flight_id", "Under which dated contract; null if unfilled; 0 where an auction sold it"),
        int_or_null("creative_id", "The video; null if unfilled"),
        int_or_null("duration_ms", "The ad's length; null if unfilled"),
        time_or_null("expires_at", "When its token and its claim die; null if unfilled"),
        text_or_null(
            "settled",
            "What beacons made of the fill: impressed once its ad began, released when it was reported not to play; null \
             otherwise: then it is expired from expires_at on and open before, and null if unfilled",
        ),
    ],
};

/// One row for every fill that provably began to play.
pub const IMPRESSIONS: Table = Table {
    name: "fct_ad_impressions",
    about: "One row for every fill that provably began to play",
    columns: &[
        OPPORTUNITY_ID,
        OPENED_AT,
        BREAK_ID,
        text("viewer", "Who saw it, as a pseudonym"),
        TITLE_ID,
        POSITION,
        COUNTRY,
        DEVICE,
        text("fill_reason", "guaranteed, auction or house_ad"),
        int("advertiser_id", "Who buys; 0 where an auction sold it"),
        int("campaign_id", "What they buy; 0 where an auction sold it"),
        int("flight_id", "Under which dated contract; 0 where an auction sold it"),
        int("creative_id", "The video"),
        int("ad_id", "The creative as booked in the flight"),
        text("record_id", "The ad as sold: the address of its registry record"),
        int("duration_ms", "The ad's length"),
        time("start_at", "When it began, the earliest that any beacon says"),
        time_or_null("first_quartile_at", "When 25 % had played"),
        time_or_null("midpoint_at", "When 50 % had played"),
        time_or_null("third_quartile_at", "When 75 % had played"),
        time_or_null("complete_at", "When it had played to its end"),
        time_or_null("skip_at", "When the viewer skipped it"),
        time_or_null("error_at", "When it failed"),
        int_or_null("error_code", "VAST's code of its errors, the least that a player said"),
        time_or_null("click_at", "When the viewer followed it"),
        text_or_null("viewability", "viewable, not_viewable or undetermined, if a player said so"),
        int_or_null("idle_s", "The longest that the viewer had touched nothing, in seconds, if a player said so"),
        text(
            "furthest_quartile",
            "The furthest reached without a gap: start, firstQuartile, midpoint, thirdQuartile, complete",
        ),
        bool("threshold_passed", "Whether the contract's completion threshold is passed: it counts as delivered"),
        int("recognized_revenue_micros", "What it earned, in micros of its currency: once, past the threshold"),
        text_or_null("currency", "ISO 4217, of the ad as sold; null while its registry record is not known"),
        INVALID_TRAFFIC,
    ],
};

/// Every event, each once: what differs in any of slot, ad, record, event, session and whose it is, is another.
pub const EVENTS: Table = Table {
    name: "fct_ad_events",
    about: "One row for every event that a session reported of an ad, at the earliest time it was seen: all that happened in an ad, \
            a break or a viewing session",
    columns: &[
        OPPORTUNITY_ID,
        OPENED_AT,
        text_or_null("break_id", "Its ad break; null while the slot's row has not come"),
        text_or_null("session", "The client's session, a pseudonym; null of a pixel"),
        int("ad_id", "The ad that played, from the token"),
        text("record_id", "The ad as sold, from the token"),
        text("event", "What happened, by its VAST name"),
        time("at", "When, the earliest that any beacon says"),
        time("received_at", "When an edge first received it"),
        int("deliveries", "How often it came: what is beyond 1 are duplicates"),
        bool(
            "counts",
            "Whether it proves anything: its token names the ad of the slot's standing row, and it is a viewer's",
        ),
        INVALID_TRAFFIC,
        int_or_null("error_code", "Of an error, VAST's code, the least that was said"),
        int_or_null("idle_s", "Seconds since the viewer last touched anything, the most that was said"),
    ],
};

/// Counts by hour, so that no screen scans the facts.
pub const HOURLY: Table = Table {
    name: "agg_slots_hourly",
    about: "Counts and sums of fct_ad_opportunities and fct_ad_impressions by hour and by everything that screens break them down \
            by; every row of those tables is in exactly one row of this one",
    columns: &[
        time("hour", "The hour in which the breaks opened"),
        TITLE_ID,
        POSITION,
        COUNTRY,
        DEVICE,
        text("outcome", "filled or unfilled"),
        text_or_null("fill_reason", "guaranteed, auction or house_ad; null if unfilled"),
        text_or_null("unfilled_reason", "The reason nearest to filling; null if filled"),
        int_or_null("advertiser_id", "Who buys; null if unfilled"),
        int_or_null("campaign_id", "What they buy; null if unfilled"),
        int_or_null("flight_id", "Under which dated contract; null if unfilled"),
        int_or_null("creative_id", "The video; null if unfilled"),
        text_or_null("currency", "ISO 4217, of the ads as sold; null if unfilled, not impressed or not known"),
        INVALID_TRAFFIC,
        int("slots", "Rows of fct_ad_opportunities"),
        int("slot_ms", "The sum of their max_duration_ms"),
        int("impressed", "Rows of fct_ad_impressions"),
        int("released", "Fills that were reported not to play"),
        int("first_quartiles", "Impressions that reached 25 % without a gap"),
        int("midpoints", "Impressions that reached 50 % without a gap"),
        int("third_quartiles", "Impressions that reached 75 % without a gap"),
        int("completes", "Impressions that reached their end without a gap"),
        int("skips", "Impressions that were skipped"),
        int("errors", "Impressions that failed"),
        int("delivered", "Impressions past the contract's completion threshold"),
        int("revenue_micros", "The sum of recognized_revenue_micros, exact"),
    ],
};

/// All of them.
pub const ALL: [&Table; 7] =
    [&RAW_OPPORTUNITIES, &RAW_BEACONS, &RAW_DECISIONS, &OPPORTUNITIES, &IMPRESSIONS, &EVENTS, &HOURLY];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_said_once() {
        let tables: BTreeSet<_> = ALL.iter().map(|table| table.name).collect();
        assert_eq!(tables.len(), ALL.len());
        for table in ALL {
            let columns: BTreeSet<_> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(columns.len(), table.columns.len(), "{}", table.name);
            assert!(table.columns.iter().all(|column| !column.about.is_empty()), "{}", table.name);
        }
    }
}
