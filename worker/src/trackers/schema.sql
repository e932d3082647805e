-- Which vendors' URLs were called, and which are still to be called. Not derived: what was told to somebody else cannot be
-- folded again from the log. Times are milliseconds of Unix time.

-- How far the log is consumed, with the hash of the entry there (none before the first), and from when on slots must have
-- opened to be called for: what is older is forgotten, so it cannot be known whether it was called.
CREATE TABLE IF NOT EXISTS consumed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    entry_hash TEXT CHECK (length(entry_hash) = 64),
    forgotten_before_ms INTEGER NOT NULL DEFAULT 0 CHECK (forgotten_before_ms >= 0)
) STRICT;

-- One row for each booked URL and accepted event, ever: that it is here is why it is not called again.
CREATE TABLE IF NOT EXISTS firings (
    firing_id INTEGER PRIMARY KEY,
    opportunity_id TEXT NOT NULL CHECK (length(opportunity_id) = 36),
    ad_id INTEGER NOT NULL,
    record_id TEXT NOT NULL CHECK (length(record_id) = 16),
    event TEXT NOT NULL,
    -- Of the URL as booked, its macros not filled.
    url_hash TEXT NOT NULL CHECK (length(url_hash) = 16),
    vendor TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'dead')),
    -- When the event happened; when the slot opened, which is the same for every event and duplicate of it.
    at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
    opened_at_ms INTEGER NOT NULL CHECK (opened_at_ms >= 0),
    settled_at_ms INTEGER CHECK (settled_at_ms >= 0),
    UNIQUE (opportunity_id, ad_id, record_id, event, url_hash)
) STRICT;
CREATE INDEX IF NOT EXISTS firings_by_age ON firings (opened_at_ms);

-- What is still to be called.
CREATE TABLE IF NOT EXISTS queue (
    firing_id INTEGER PRIMARY KEY REFERENCES firings (firing_id),
    vendor TEXT NOT NULL,
    -- Macros filled; after a redirect that failed further on, where it goes on.
    url TEXT NOT NULL,
    -- How often it was begun to be called.
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    due_at_ms INTEGER NOT NULL CHECK (due_at_ms >= 0),
    -- From when on it is no use any more.
    give_up_at_ms INTEGER NOT NULL CHECK (give_up_at_ms >= 0),
    -- Set before the first byte is sent. Whoever finds it set after a crash cannot know whether the vendor has it.
    sending INTEGER NOT NULL DEFAULT 0 CHECK (sending IN (0, 1)),
    last_failure TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS queue_by_vendor ON queue (vendor, sending, due_at_ms);
CREATE INDEX IF NOT EXISTS queue_by_age ON queue (give_up_at_ms);

-- What was given up, and why. `slotkeeper trackers retry` puts it back.
CREATE TABLE IF NOT EXISTS dead_letters (
    firing_id INTEGER PRIMARY KEY REFERENCES firings (firing_id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    reason TEXT NOT NULL,
    died_at_ms INTEGER NOT NULL CHECK (died_at_ms >= 0)
) STRICT;

-- Each host that is booked, with what became of its calls.
CREATE TABLE IF NOT EXISTS vendors (
    vendor TEXT NOT NULL PRIMARY KEY,
    queued INTEGER NOT NULL DEFAULT 0 CHECK (queued >= 0),
    delivered INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
    -- Calls that a crash cut off: made again, so the vendor may have them twice.
    cut_off INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS one_more_queued AFTER INSERT ON queue BEGIN
    INSERT INTO vendors (vendor, queued) VALUES (new.vendor, 1) ON CONFLICT (vendor) DO UPDATE SET queued = queued + 1;
END;
CREATE TRIGGER IF NOT EXISTS one_less_queued AFTER DELETE ON queue BEGIN
    UPDATE vendors SET queued = queued - 1 WHERE vendor = old.vendor;
END;

-- The tokens with a `start`: events of theirs that prove nothing without one are called for.
CREATE TABLE IF NOT EXISTS begun (
    opportunity_id TEXT NOT NULL,
    ad_id INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    PRIMARY KEY (opportunity_id, ad_id, record_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS begun_by_age ON begun (opened_at_ms);

-- Events that wait: for the `start` of their token, or for the ad as sold to become known here.
CREATE TABLE IF NOT EXISTS held (
    opportunity_id TEXT NOT NULL,
    ad_id INTEGER NOT NULL,
    record_id TEXT NOT NULL,
    event TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    opened_at_ms INTEGER NOT NULL,
    waits_for TEXT NOT NULL CHECK (waits_for IN ('start', 'record')),
    -- Of an error, if the player said one. Added to the databases of earlier builds: see `connect`.
    error_code INTEGER,
    PRIMARY KEY (opportunity_id, ad_id, record_id, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_by_age ON held (opened_at_ms);
CREATE INDEX IF NOT EXISTS held_by_unknown_record ON held (record_id) WHERE waits_for = 'record';
