-- The lake's book: what of the log is in it, which files there are, which hours are to be folded, and what was counted of them.
-- Times are milliseconds of Unix time, money is micros of its currency. All of it is derived from the log.

-- How far the log is in the lake, and the hash of the last entry: so that another log, or an older copy, is noticed.
CREATE TABLE IF NOT EXISTS lake_offset (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    consumed_seq INTEGER NOT NULL CHECK (consumed_seq >= 0),
    last_entry TEXT CHECK (length(last_entry) = 64),
    fold_version INTEGER NOT NULL CHECK (fold_version >= 0)
) STRICT;
INSERT OR IGNORE INTO lake_offset VALUES (1, 0, NULL, 0);

-- The files of facts as they came. A file that is not listed is not there: it is left of a killed run.
CREATE TABLE IF NOT EXISTS raw_files (
    table_name TEXT NOT NULL,
    hour_at_ms INTEGER NOT NULL CHECK (hour_at_ms % 3600000 = 0),
    name TEXT NOT NULL,
    rows INTEGER NOT NULL CHECK (rows > 0),
    bytes INTEGER NOT NULL CHECK (bytes > 0),
    first_seq INTEGER NOT NULL CHECK (first_seq > 0),
    last_seq INTEGER NOT NULL CHECK (last_seq >= first_seq),
    PRIMARY KEY (table_name, hour_at_ms, name)
) STRICT, WITHOUT ROWID;

-- Hours of which there is anything. `raw_version` counts the writes to it; what is folded is of `folded_version`, and the hour is
-- to be folded while they differ. `late` is how many facts came more than an hour after its end. What became of the facts: as
-- folded last.
CREATE TABLE IF NOT EXISTS hours (
    hour_at_ms INTEGER NOT NULL PRIMARY KEY CHECK (hour_at_ms % 3600000 = 0),
    raw_version INTEGER NOT NULL CHECK (raw_version > 0),
    folded_version INTEGER NOT NULL CHECK (folded_version BETWEEN 0 AND raw_version),
    late INTEGER NOT NULL DEFAULT 0 CHECK (late >= 0),
    raw_rows INTEGER NOT NULL DEFAULT 0,
    unique_rows INTEGER NOT NULL DEFAULT 0,
    duplicate_rows INTEGER NOT NULL DEFAULT 0,
    refused_rows INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT nothing_lost CHECK (raw_rows = unique_rows + duplicate_rows + refused_rows)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hours_to_fold ON hours (hour_at_ms) WHERE folded_version <> raw_version;

-- In which hours (counted from 1970) there are rows of each break, by the first eight bytes of its id: so that a break whose tries
-- opened in several hours is noticed when the second is written.
CREATE TABLE IF NOT EXISTS breaks (
    break_key INTEGER NOT NULL,
    hour_no INTEGER NOT NULL CHECK (hour_no >= 0),
    PRIMARY KEY (break_key, hour_no)
) STRICT, WITHOUT ROWID;

-- Of those in several hours, by hour.
CREATE TABLE IF NOT EXISTS breaks_apart (
    hour_at_ms INTEGER NOT NULL CHECK (hour_at_ms % 3600000 = 0),
    break_key INTEGER NOT NULL,
    PRIMARY KEY (hour_at_ms, break_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS breaks_apart_by_break ON breaks_apart (break_key);

-- What each of their hours told the others of its rows when it was folded: what an election needs.
CREATE TABLE IF NOT EXISTS rivals (
    break_key INTEGER NOT NULL,
    hour_at_ms INTEGER NOT NULL CHECK (hour_at_ms % 3600000 = 0),
    break_id TEXT NOT NULL CHECK (length(break_id) = 32),
    slot_index INTEGER NOT NULL CHECK (slot_index BETWEEN 0 AND 255),
    content_hash TEXT NOT NULL CHECK (length(content_hash) = 32),
    recording TEXT NOT NULL CHECK (recording IN ('committed', 'uncommitted')),
    decision_id TEXT NOT NULL CHECK (length(decision_id) = 32),
    decided_at_ms INTEGER NOT NULL CHECK (decided_at_ms >= 0),
    began INTEGER NOT NULL CHECK (began IN (0, 1)),
    PRIMARY KEY (break_key, hour_at_ms, break_id, slot_index, content_hash)
) STRICT, WITHOUT ROWID;

-- One row for every quarter of an hour (UTC) and flight with anything in it. Flight 0 is what auctions sold; the currency is empty
-- where the ad as sold is not known. `delivered` is what counts for the contract: past its threshold, and a viewer's.
CREATE TABLE IF NOT EXISTS flight_totals (
    quarter_at_ms INTEGER NOT NULL CHECK (quarter_at_ms % 900000 = 0),
    flight_id INTEGER NOT NULL,
    campaign_id INTEGER NOT NULL,
    advertiser_id INTEGER NOT NULL,
    currency TEXT NOT NULL CHECK (length(currency) IN (0, 3)),
    filled INTEGER NOT NULL CHECK (filled > 0),
    impressed INTEGER NOT NULL CHECK (impressed BETWEEN 0 AND filled),
    released INTEGER NOT NULL CHECK (released BETWEEN 0 AND filled - impressed),
    delivered INTEGER NOT NULL CHECK (delivered BETWEEN 0 AND impressed),
    completes INTEGER NOT NULL CHECK (completes BETWEEN 0 AND impressed),
    revenue_micros INTEGER NOT NULL CHECK (revenue_micros >= 0),
    PRIMARY KEY (quarter_at_ms, flight_id, advertiser_id, currency)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS slot_totals (
    quarter_at_ms INTEGER NOT NULL PRIMARY KEY CHECK (quarter_at_ms % 900000 = 0),
    slots INTEGER NOT NULL,
    filled INTEGER NOT NULL CHECK (filled >= 0),
    unfilled INTEGER NOT NULL CHECK (unfilled >= 0),
    CONSTRAINT conservation CHECK (slots = filled + unfilled)
) STRICT, WITHOUT ROWID;

-- Ads as auctions sold them, from the decisions. (What contracts sold is in the registry.)
CREATE TABLE IF NOT EXISTS auction_records (
    record_id TEXT NOT NULL PRIMARY KEY CHECK (length(record_id) = 16),
    record TEXT NOT NULL CHECK (json_valid(record))
) STRICT, WITHOUT ROWID;

-- Ads as sold that were not known when an hour was folded: it is folded again once they are.
CREATE TABLE IF NOT EXISTS unknown_records (
    record_id TEXT NOT NULL CHECK (length(record_id) = 16),
    hour_at_ms INTEGER NOT NULL,
    PRIMARY KEY (record_id, hour_at_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unknown_by_hour ON unknown_records (hour_at_ms);

-- How many beacons each client session has lost to its own bounds: the most that it said.
CREATE TABLE IF NOT EXISTS client_losses (
    session TEXT NOT NULL PRIMARY KEY CHECK (length(session) = 16),
    lost INTEGER NOT NULL CHECK (lost > 0)
) STRICT, WITHOUT ROWID;

-- What became of the facts received when they were written: each is in a raw file, or a client's loss, or refused. What is unique
-- and what a duplicate is known when an hour is folded: so received = unique + duplicate + refused, over this and `hours`.
CREATE TABLE IF NOT EXISTS counts (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    received INTEGER NOT NULL,
    opportunities INTEGER NOT NULL,
    beacons INTEGER NOT NULL,
    decisions INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    unreadable_batches INTEGER NOT NULL,
    CONSTRAINT nothing_lost CHECK (received = opportunities + beacons + decisions + losses + refused)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO counts VALUES (1, 0, 0, 0, 0, 0, 0, 0);

-- The entries of the log that the build that came to them could not read: later builds try again. The log must keep them.
CREATE TABLE IF NOT EXISTS unreadable_entries (
    seq INTEGER NOT NULL PRIMARY KEY CHECK (seq > 0)
) STRICT, WITHOUT ROWID;
