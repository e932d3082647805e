-- The folded tables. All of it is derived from the log and the registry, and may be deleted and folded again.
-- Times are milliseconds of Unix time, money is micros of its currency.

CREATE TABLE IF NOT EXISTS fold_offset (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    consumed_seq INTEGER NOT NULL CHECK (consumed_seq >= 0)
) STRICT;
INSERT OR IGNORE INTO fold_offset VALUES (1, 0);

-- The hash of the last entry folded: how the fold knows that a log is the one it was folded from, also once that log,
-- restored from a backup, has grown again past what was folded.
CREATE TABLE IF NOT EXISTS fold_last_entry (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT;

-- One row a slot, always. Of a break that was decided more than once, the rows of one decision: the one of which an ad began
-- to play; while none did, an uncommitted one before a committed one, then the earlier, then the smaller hash.
CREATE TABLE IF NOT EXISTS fct_ad_opportunities (
    opportunity_id TEXT NOT NULL PRIMARY KEY CHECK (length(opportunity_id) = 36),
    break_id TEXT NOT NULL CHECK (length(break_id) = 32),
    slot_index INTEGER NOT NULL CHECK (slot_index BETWEEN 0 AND 255),
    recording TEXT NOT NULL CHECK (recording IN ('committed', 'uncommitted')),
    content_hash TEXT NOT NULL CHECK (length(content_hash) = 32),
    edge_id TEXT NOT NULL,
    viewer TEXT NOT NULL CHECK (length(viewer) = 32),
    title_id TEXT NOT NULL,
    position TEXT NOT NULL CHECK (position IN ('preroll', 'midroll', 'postroll')),
    max_duration_ms INTEGER NOT NULL CHECK (max_duration_ms >= 0),
    decided_at_ms INTEGER NOT NULL CHECK (decided_at_ms >= 0),
    plan_version INTEGER CHECK (plan_version >= 0),
    -- What it was decided from: the key of `decisions`.
    decision_id TEXT NOT NULL CHECK (length(decision_id) = 32),
    search TEXT NOT NULL CHECK (search IN ('exact', 'greedy')),
    -- Why the slot is never billed, if it is not a viewer's.
    invalid_traffic TEXT CHECK (invalid_traffic IN ('crawler')),
    candidates INTEGER NOT NULL CHECK (candidates >= 0),
    eliminated TEXT NOT NULL CHECK (json_valid(eliminated)),
    outcome TEXT NOT NULL CHECK (outcome IN ('filled', 'unfilled')),
    fill_reason TEXT CHECK (fill_reason IN ('guaranteed', 'auction', 'house_ad')),
    unfilled_reason TEXT CHECK (unfilled_reason IN (
        'plan_unavailable', 'no_eligible_demand', 'auction_unavailable', 'consent_denied', 'content_unsuitable',
        'duration_exceeded',
        'competitive_separation', 'pacing_throttled', 'cap_check_unavailable', 'frequency_capped')),
    ad_id INTEGER,
    record_id TEXT CHECK (length(record_id) = 16),
    advertiser_id INTEGER,
    campaign_id INTEGER,
    flight_id INTEGER,
    creative_id INTEGER,
    duration_ms INTEGER CHECK (duration_ms >= 0),
    expires_at_ms INTEGER CHECK (expires_at_ms >= 0),
    claim_counts_until_ms INTEGER CHECK (claim_counts_until_ms >= 0),
    CONSTRAINT filled_xor_unfilled CHECK (
        (outcome = 'filled' AND fill_reason IS NOT NULL AND unfilled_reason IS NULL
            AND ad_id IS NOT NULL AND record_id IS NOT NULL AND advertiser_id IS NOT NULL AND campaign_id IS NOT NULL
            AND flight_id IS NOT NULL AND creative_id IS NOT NULL AND duration_ms IS NOT NULL
            AND expires_at_ms IS NOT NULL)
        OR (outcome = 'unfilled' AND fill_reason IS NULL AND unfilled_reason IS NOT NULL
            AND ad_id IS NULL AND record_id IS NULL AND advertiser_id IS NULL AND campaign_id IS NULL
            AND flight_id IS NULL AND creative_id IS NULL AND duration_ms IS NULL
            AND expires_at_ms IS NULL AND claim_counts_until_ms IS NULL)),
    UNIQUE (break_id, slot_index)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS opportunities_by_time ON fct_ad_opportunities (decided_at_ms, break_id, slot_index);
CREATE INDEX IF NOT EXISTS opportunities_by_outcome ON fct_ad_opportunities (outcome, fill_reason, unfilled_reason);

-- The rows of breaks' other decisions. They return when an ad of theirs is reported to have begun to play.
CREATE TABLE IF NOT EXISTS opportunities_superseded (
    opportunity_id TEXT NOT NULL,
    break_id TEXT NOT NULL,
    slot_index INTEGER NOT NULL,
    recording TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    edge_id TEXT NOT NULL,
    viewer TEXT NOT NULL,
    title_id TEXT NOT NULL,
    position TEXT NOT NULL,
    max_duration_ms INTEGER NOT NULL,
    decided_at_ms INTEGER NOT NULL,
    plan_version INTEGER,
    decision_id TEXT NOT NULL,
    search TEXT NOT NULL,
    invalid_traffic TEXT,
    candidates INTEGER NOT NULL,
    eliminated TEXT NOT NULL,
    outcome TEXT NOT NULL,
    fill_reason TEXT,
    unfilled_reason TEXT,
    ad_id INTEGER,
    record_id TEXT,
    advertiser_id INTEGER,
    campaign_id INTEGER,
    flight_id INTEGER,
    creative_id INTEGER,
    duration_ms INTEGER,
    expires_at_ms INTEGER,
    claim_counts_until_ms INTEGER,
    PRIMARY KEY (break_id, slot_index, content_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS superseded_by_id ON opportunities_superseded (opportunity_id);

-- What breaks were decided from, by the address of its content: with the plan of its version, all that is needed to
-- decide again. The content is the JSON of the core's `Decision`.
CREATE TABLE IF NOT EXISTS decisions (
    decision_id TEXT NOT NULL PRIMARY KEY CHECK (length(decision_id) = 32),
    break_id TEXT NOT NULL CHECK (length(break_id) = 32),
    content TEXT NOT NULL CHECK (json_valid(content))
) STRICT, WITHOUT ROWID;
-- Ads as an auction sold them, by the address of their content, from the decisions above. (What contracts sold is in the
-- registry.)
CREATE TABLE IF NOT EXISTS auction_records (
    record_id TEXT NOT NULL PRIMARY KEY CHECK (length(record_id) = 16),
    record TEXT NOT NULL CHECK (json_valid(record))
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS decisions_by_break ON decisions (break_id);

-- What was reported, by what the token said, whether or not the slot's row has come or agrees: each event at the
-- earliest time it was seen, and the most that was said beside them.
CREATE TABLE IF NOT EXISTS beacon_states (
    opportunity_id TEXT NOT NULL CHECK (length(opportunity_id) = 36),
    ad_id INTEGER NOT NULL,
    record_id TEXT NOT NULL CHECK (length(record_id) = 16),
    start_at_ms INTEGER CHECK (start_at_ms >= 0),
    first_quartile_at_ms INTEGER CHECK (first_quartile_at_ms >= 0),
    midpoint_at_ms INTEGER CHECK (midpoint_at_ms >= 0),
    third_quartile_at_ms INTEGER CHECK (third_quartile_at_ms >= 0),
    complete_at_ms INTEGER CHECK (complete_at_ms >= 0),
    pause_at_ms INTEGER CHECK (pause_at_ms >= 0),
    resume_at_ms INTEGER CHECK (resume_at_ms >= 0),
    mute_at_ms INTEGER CHECK (mute_at_ms >= 0),
    unmute_at_ms INTEGER CHECK (unmute_at_ms >= 0),
    skip_at_ms INTEGER CHECK (skip_at_ms >= 0),
    error_at_ms INTEGER CHECK (error_at_ms >= 0),
    not_used_at_ms INTEGER CHECK (not_used_at_ms >= 0),
    click_through_at_ms INTEGER CHECK (click_through_at_ms >= 0),
    player_expand_at_ms INTEGER CHECK (player_expand_at_ms >= 0),
    player_collapse_at_ms INTEGER CHECK (player_collapse_at_ms >= 0),
    viewable_at_ms INTEGER CHECK (viewable_at_ms >= 0),
    not_viewable_at_ms INTEGER CHECK (not_viewable_at_ms >= 0),
    view_undetermined_at_ms INTEGER CHECK (view_undetermined_at_ms >= 0),
    -- The longest that the viewer had touched nothing when any of these happened, in seconds; of errors the least code of
    -- VAST's. Null where no player said so.
    idle_s INTEGER CHECK (idle_s >= 0),
    error_code INTEGER CHECK (error_code >= 0),
    -- What crawlers reported, as bits by the events' codes. It proves nothing: it is in none of the times above.
    invalid_events INTEGER NOT NULL DEFAULT 0 CHECK (invalid_events BETWEEN 0 AND 4294967295),
    PRIMARY KEY (opportunity_id, ad_id, record_id)
) STRICT, WITHOUT ROWID;

-- What beacons have made of every fill: `impressed` once its ad began to play; `released` when it was reported not to play
-- and never began; null while neither was reported: then it is `expired` from `expires_at_ms` on, and `open` before. Only
-- beacons whose token names the ad of the row speak of it.
CREATE VIEW IF NOT EXISTS fill_states AS
    SELECT o.opportunity_id, o.campaign_id, o.flight_id, o.decided_at_ms, o.expires_at_ms,
        CASE WHEN b.start_at_ms IS NOT NULL THEN 'impressed'
             WHEN b.error_at_ms IS NOT NULL OR b.not_used_at_ms IS NOT NULL THEN 'released' END AS settled
    FROM fct_ad_opportunities o LEFT JOIN beacon_states b
        ON b.opportunity_id = o.opportunity_id AND b.ad_id = o.ad_id AND b.record_id = o.record_id
    WHERE o.outcome = 'filled';

-- One row for every fill that provably began to play.
CREATE TABLE IF NOT EXISTS fct_ad_impressions (
    opportunity_id TEXT NOT NULL PRIMARY KEY CHECK (length(opportunity_id) = 36),
    advertiser_id INTEGER NOT NULL,
    campaign_id INTEGER NOT NULL,
    flight_id INTEGER NOT NULL,
    creative_id INTEGER NOT NULL,
    ad_id INTEGER NOT NULL,
    record_id TEXT NOT NULL CHECK (length(record_id) = 16),
    start_at_ms INTEGER NOT NULL CHECK (start_at_ms >= 0),
    first_quartile_at_ms INTEGER CHECK (first_quartile_at_ms >= 0),
    midpoint_at_ms INTEGER CHECK (midpoint_at_ms >= 0),
    third_quartile_at_ms INTEGER CHECK (third_quartile_at_ms >= 0),
    complete_at_ms INTEGER CHECK (complete_at_ms >= 0),
    skip_at_ms INTEGER CHECK (skip_at_ms >= 0),
    error_at_ms INTEGER CHECK (error_at_ms >= 0),
    furthest_quartile TEXT NOT NULL
        CHECK (furthest_quartile IN ('start', 'firstQuartile', 'midpoint', 'thirdQuartile', 'complete')),
    -- Whether the contract's completion threshold is passed: the impression counts as delivered.
    threshold_passed INTEGER NOT NULL CHECK (threshold_passed IN (0, 1)),
    recognized_revenue_micros INTEGER NOT NULL CHECK (recognized_revenue_micros >= 0),
    -- Of the ad as sold; null while its registry record is not known here.
    currency TEXT CHECK (length(currency) = 3),
    -- Why it is not billed, whatever has played: the break was not asked for by a viewer's player.
    invalid_traffic TEXT CHECK (invalid_traffic IN ('crawler')),
    CONSTRAINT invalid_traffic_earns_nothing
        CHECK (invalid_traffic IS NULL OR (threshold_passed = 0 AND recognized_revenue_micros = 0)),
    CONSTRAINT revenue_only_past_the_threshold CHECK (threshold_passed = 1 OR recognized_revenue_micros = 0),
    CONSTRAINT nothing_recognized_on_unknown_terms
        CHECK (currency IS NOT NULL OR (threshold_passed = 0 AND recognized_revenue_micros = 0))
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS impressions_by_quartile
    ON fct_ad_impressions (furthest_quartile, currency, recognized_revenue_micros);
CREATE INDEX IF NOT EXISTS impressions_delivered ON fct_ad_impressions (flight_id) WHERE threshold_passed = 1;
CREATE INDEX IF NOT EXISTS impressions_on_unknown_terms ON fct_ad_impressions (record_id) WHERE currency IS NULL;

-- How many beacons each client session has lost to its own bounds: the most that it said. They are in no table but this.
CREATE TABLE IF NOT EXISTS client_losses (
    session TEXT NOT NULL PRIMARY KEY CHECK (length(session) = 16),
    lost INTEGER NOT NULL CHECK (lost > 0)
) STRICT, WITHOUT ROWID;

-- What became of every fact received, by edge: received = fresh + duplicate + refused. Unlike the tables above, this
-- depends on what was sent how often.
CREATE TABLE IF NOT EXISTS fact_counts (
    edge_id TEXT NOT NULL PRIMARY KEY,
    received INTEGER NOT NULL,
    fresh INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    CONSTRAINT nothing_lost CHECK (received = fresh + duplicate + refused)
) STRICT, WITHOUT ROWID;
