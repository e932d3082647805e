-- What is booked, the ads as sold, the plans published. Numbers are given at the first import and never used again
-- (AUTOINCREMENT); nothing here is ever deleted but old plans.
--
-- This is version 0, and stays as it is. What the tables became since is in migrations/, in order.

CREATE TABLE IF NOT EXISTS advertisers (
    advertiser_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (advertiser_id BETWEEN 1 AND 4294967295),
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS campaigns (
    campaign_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (campaign_id BETWEEN 1 AND 4294967295),
    slug TEXT NOT NULL UNIQUE,
    advertiser_id INTEGER NOT NULL REFERENCES advertisers,
    name TEXT NOT NULL,
    category TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS creatives (
    creative_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (creative_id BETWEEN 1 AND 4294967295),
    slug TEXT NOT NULL UNIQUE,
    advertiser_id INTEGER NOT NULL REFERENCES advertisers,
    name TEXT NOT NULL,
    duration_ms INTEGER NOT NULL CHECK (duration_ms > 0),
    universal_ad_id TEXT NOT NULL,
    media TEXT NOT NULL CHECK (json_valid(media))
) STRICT;

CREATE TABLE IF NOT EXISTS flights (
    flight_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (flight_id BETWEEN 1 AND 4294967295),
    slug TEXT NOT NULL UNIQUE,
    campaign_id INTEGER NOT NULL REFERENCES campaigns,
    class TEXT NOT NULL CHECK (class IN ('guaranteed', 'house')),
    starts_at_ms INTEGER NOT NULL CHECK (starts_at_ms >= 0),
    ends_at_ms INTEGER NOT NULL,
    committed_impressions INTEGER CHECK (committed_impressions > 0),
    cpm_micros INTEGER NOT NULL CHECK (cpm_micros >= 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    completion_threshold TEXT NOT NULL
        CHECK (completion_threshold IN ('start', 'firstQuartile', 'midpoint', 'thirdQuartile', 'complete')),
    weight INTEGER CHECK (weight > 0),
    caps TEXT NOT NULL CHECK (json_valid(caps)),
    ratings TEXT NOT NULL CHECK (json_valid(ratings)),
    targeting TEXT NOT NULL CHECK (json_valid(targeting)),
    paused INTEGER NOT NULL CHECK (paused IN (0, 1)),
    CONSTRAINT dates_in_order CHECK (starts_at_ms < ends_at_ms),
    CONSTRAINT sold_or_house CHECK (
        (class = 'guaranteed' AND committed_impressions IS NOT NULL AND weight IS NULL)
        OR (class = 'house' AND committed_impressions IS NULL AND weight IS NOT NULL AND cpm_micros = 0))
) STRICT;

-- A creative as booked in a flight. One taken out of its flight keeps its number, unbooked.
CREATE TABLE IF NOT EXISTS ads (
    ad_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (ad_id BETWEEN 1 AND 4294967295),
    flight_id INTEGER NOT NULL REFERENCES flights,
    creative_id INTEGER NOT NULL REFERENCES creatives,
    booked INTEGER NOT NULL CHECK (booked IN (0, 1)),
    UNIQUE (flight_id, creative_id)
) STRICT;

CREATE TABLE IF NOT EXISTS titles (
    title_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    rating TEXT NOT NULL,
    genres TEXT NOT NULL CHECK (json_valid(genres)),
    duration_ms INTEGER CHECK (duration_ms > 0)
) STRICT, WITHOUT ROWID;

-- Ads as sold, by the address of their content. Written before the plan that names them leaves the origin.
CREATE TABLE IF NOT EXISTS registry (
    record_id TEXT NOT NULL PRIMARY KEY CHECK (length(record_id) = 16),
    record TEXT NOT NULL CHECK (json_valid(record))
) STRICT, WITHOUT ROWID;

-- The plans that were made, for as long as rows decided from them are asked about (`plan::keep`): what a plan holds, once,
-- by the address of its content, with the allocations that it first had; and of each plan its times and, for each flight,
-- how far its allocation is from that.
CREATE TABLE IF NOT EXISTS plan_contents (
    content_id TEXT NOT NULL PRIMARY KEY CHECK (length(content_id) = 32),
    source TEXT NOT NULL CHECK (json_valid(source))
) STRICT;
CREATE TABLE IF NOT EXISTS plans_kept (
    version INTEGER PRIMARY KEY CHECK (version > 0),
    created_at_ms INTEGER NOT NULL CHECK (created_at_ms >= 0),
    valid_from_ms INTEGER NOT NULL CHECK (valid_from_ms >= 0),
    valid_until_ms INTEGER NOT NULL CHECK (valid_until_ms >= 0),
    content_id TEXT NOT NULL REFERENCES plan_contents,
    allocations BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS plans_by_content ON plans_kept (content_id);
DROP TABLE IF EXISTS plans; -- the last hundred, as earlier builds kept them
CREATE TABLE IF NOT EXISTS last_plan_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO last_plan_version VALUES (1, 0);
