//! The tables that are folded from nothing: what is booked, as it was when, and who watches.

use slotkeeper_lake::tables::{Column, Table, bool, int, int_or_null, text, text_or_null, time, time_or_null};

const VALID_FROM: Column =
    time("valid_from", "From when it was booked so; 1970 of what was booked before there was a history");
const VALID_TO: Column = time_or_null("valid_to", "Until when, that instant excluded; null of what is booked now");
const IS_CURRENT: Column = bool("is_current", "Whether it is what is booked now");
const CAPS: Column = text("caps", "JSON: the caps booked on it");
const MIN_GAP: Column =
    text_or_null("min_gap", "The least time between two showings to one viewer, as 30m; null if any");
const TIME_ZONE: Column = text("time_zone", "Of its calendar");

/// Who buys.
pub const DIM_ADVERTISERS: Table = Table {
    name: "dim_advertisers",
    about: "Advertisers as they were booked: one row for each and for every change of it",
    columns: &[
        int("advertiser_id", "Its number"),
        text("slug", "Its id in the contracts file"),
        text("name", "Its name"),
        CAPS,
        MIN_GAP,
        TIME_ZONE,
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// What they buy.
pub const DIM_CAMPAIGNS: Table = Table {
    name: "dim_campaigns",
    about: "Campaigns as they were booked: one row for each and for every change of it",
    columns: &[
        int("campaign_id", "Its number"),
        text("slug", "Its id in the contracts file"),
        int("advertiser_id", "Whose"),
        text("name", "Its name"),
        text_or_null("category", "The competitive category; null if none is booked"),
        CAPS,
        MIN_GAP,
        TIME_ZONE,
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// The dated contracts.
pub const DIM_CAMPAIGN_FLIGHTS: Table = Table {
    name: "dim_campaign_flights",
    about: "Flights as they were booked: one row for each and for every change of it",
    columns: &[
        int("flight_id", "Its number"),
        text("slug", "Its id in the contracts file"),
        int("campaign_id", "Whose"),
        text("class", "guaranteed or house"),
        time("starts_at", "When it begins"),
        time("ends_at", "When it ends, that instant excluded"),
        int_or_null("committed_impressions", "What is promised; null of the house's"),
        int("cpm_micros", "The price of a thousand impressions, in micros"),
        text("currency", "ISO 4217"),
        text("completion_threshold", "How far an impression must have played to count: start to complete"),
        int_or_null("weight", "Of the house's, its share; null of contracts"),
        CAPS,
        MIN_GAP,
        TIME_ZONE,
        text("ratings", "JSON: the content ratings it is booked for"),
        text("targeting", "JSON: whom it is booked for"),
        text("exclusion", "JSON: whom it leaves out"),
        text("dayparts", "JSON: at which hours it airs"),
        text("placement", "ad, bumper or sponsorship"),
        text("pod_position", "any, first or last in its break"),
        bool("is_paused", "Whether it is paused"),
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// The videos.
pub const DIM_CREATIVES: Table = Table {
    name: "dim_creatives",
    about: "Creatives as they were booked: one row for each and for every change of it",
    columns: &[
        int("creative_id", "Its number"),
        text("slug", "Its id in the contracts file"),
        int("advertiser_id", "Whose"),
        text("name", "Its name"),
        int_or_null("duration_ms", "Its length; null of one whose video a third party's VAST names"),
        text("universal_ad_id", "Its id across systems"),
        text("media", "JSON: its files"),
        text_or_null("vast", "The URL of a third party's VAST; null of one with files of its own"),
        CAPS,
        MIN_GAP,
        TIME_ZONE,
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// What is watched.
pub const DIM_TITLES: Table = Table {
    name: "dim_titles",
    about: "Titles as they were booked: one row for each and for every change of it",
    columns: &[
        text("title_id", "Its id"),
        text("name", "Its name"),
        text("rating", "Its content rating"),
        text("genres", "JSON: its genres"),
        int_or_null("duration_ms", "Its length; null if not booked"),
        text("breaks", "JSON: where it breaks"),
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// What is booked, as it was when.
pub const DIMENSIONS: [&Table; 5] =
    [&DIM_ADVERTISERS, &DIM_CAMPAIGNS, &DIM_CAMPAIGN_FLIGHTS, &DIM_CREATIVES, &DIM_TITLES];

/// Who watches. No file holds it: nothing is known of viewers but what their slots say.
pub const DIM_PROFILES: Table = Table {
    name: "dim_profiles",
    about: "Viewers as their slots show them: one row for each stretch of time in which tier, country, region and device were the \
            same. A view over fct_ad_opportunities: it reads all of it",
    columns: &[
        text("viewer", "A pseudonym of 32 hexadecimal digits"),
        text_or_null("tier", "The tier that the player said; null where it is not known"),
        text_or_null("country", "Likewise"),
        text_or_null("region", "Likewise"),
        text_or_null("device", "Likewise"),
        time("first_seen_at", "When the viewer was first seen at all"),
        time("last_seen_at", "When last"),
        int("slots", "How many slots there were in this stretch"),
        VALID_FROM,
        VALID_TO,
        IS_CURRENT,
    ],
};

/// [`DIM_PROFILES`] from the facts. A stretch begins with a slot that differs from the viewer's slot before.
pub const DIM_PROFILES_QUERY: &str = "
WITH seen AS (
    SELECT viewer, opened_at, opportunity_id, tier, country, region, device,
        (tier, country, region, device) IS DISTINCT FROM (lag((tier, country, region, device)) OVER earlier)
            OR row_number() OVER earlier = 1 AS is_change
    FROM fct_ad_opportunities
    WINDOW earlier AS (PARTITION BY viewer ORDER BY opened_at, opportunity_id)
), stretches AS (
    SELECT *, count(*) FILTER (is_change) OVER (PARTITION BY viewer ORDER BY opened_at, opportunity_id
        ROWS UNBOUNDED PRECEDING) AS stretch
    FROM seen
), summed AS (
    SELECT viewer, stretch, any_value(tier) AS tier, any_value(country) AS country, any_value(region) AS region,
        any_value(device) AS device, min(opened_at) AS valid_from, max(opened_at) AS until, count(*) AS slots
    FROM stretches
    GROUP BY viewer, stretch
)
SELECT viewer, tier, country, region, device, min(valid_from) OVER whole AS first_seen_at, max(until) OVER whole AS last_seen_at,
    slots, valid_from, lead(valid_from) OVER (PARTITION BY viewer ORDER BY stretch) AS valid_to, valid_to IS NULL AS is_current
FROM summed
WINDOW whole AS (PARTITION BY viewer)";
