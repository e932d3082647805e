-- What is owed to advertisers, and what became of it. Nothing here is ever changed or deleted: a correction is an entry more.
--
-- Nothing here relies on how a connection is set up: what foreign keys and recursive triggers see to where they are on, triggers see
-- to as well. `INSERT OR REPLACE` deletes without a trigger where recursive triggers are off, so a key that is there is refused first.

-- A flight that closed short, with its terms as they were then.
CREATE TABLE IF NOT EXISTS make_goods (
    make_good_id INTEGER PRIMARY KEY AUTOINCREMENT,
    flight_id INTEGER NOT NULL UNIQUE CHECK (flight_id > 0),
    flight TEXT NOT NULL,
    campaign_id INTEGER NOT NULL,
    campaign TEXT NOT NULL,
    advertiser_id INTEGER NOT NULL,
    advertiser TEXT NOT NULL,
    ended_at_ms INTEGER NOT NULL CHECK (ended_at_ms >= 0),
    committed INTEGER NOT NULL CHECK (committed > 0),
    cpm_micros INTEGER NOT NULL CHECK (cpm_micros >= 0),
    currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]')
) STRICT;

-- Something that happened to it, how it stands since, and what that moved. `seq` counts the entries of one make-good, without a gap.
-- What an entry moves is in the entry itself, an account a column, so that none is without its lines, nor a line without its entry.
CREATE TABLE IF NOT EXISTS ledger_entries (
    entry_id INTEGER PRIMARY KEY CHECK (entry_id > 0),
    make_good_id INTEGER NOT NULL REFERENCES make_goods,
    seq INTEGER NOT NULL CHECK (seq > 0),
    at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
    kind TEXT NOT NULL
        CHECK (kind IN ('mint', 'adjust', 'amend', 'schedule', 'fulfil', 'credit', 'invoice_adjustment', 'void')),
    idempotency_key TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL CHECK (json_valid(request)),
    note TEXT NOT NULL,
    delivered INTEGER NOT NULL CHECK (delivered >= 0),
    scheduled INTEGER NOT NULL CHECK (scheduled >= 0),
    fulfilled INTEGER NOT NULL CHECK (fulfilled BETWEEN 0 AND scheduled),
    credited INTEGER NOT NULL CHECK (credited >= 0),
    invoice_adjusted INTEGER NOT NULL CHECK (invoice_adjusted >= 0),
    is_void INTEGER NOT NULL CHECK (is_void IN (0, 1)),
    remedy TEXT CHECK (remedy IN ('additional_delivery', 'credit', 'invoice_adjustment')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'scheduled', 'fulfilled', 'credited', 'void')),
    expense_micros INTEGER NOT NULL,
    pending_micros INTEGER NOT NULL,
    scheduled_micros INTEGER NOT NULL,
    additional_delivery_micros INTEGER NOT NULL,
    credit_micros INTEGER NOT NULL,
    invoice_adjustment_micros INTEGER NOT NULL,
    over_remedied_micros INTEGER NOT NULL,
    UNIQUE (make_good_id, seq),
    CONSTRAINT a_make_good_begins_with_its_mint CHECK ((seq = 1) = (kind = 'mint')),
    -- A sum past 63 bits is a float here, and floats of that size add up to anything.
    CONSTRAINT the_lines_of_an_entry_balance CHECK (
        typeof(expense_micros + pending_micros + scheduled_micros + additional_delivery_micros + credit_micros
            + invoice_adjustment_micros + over_remedied_micros) = 'integer'
        AND expense_micros + pending_micros + scheduled_micros + additional_delivery_micros + credit_micros
            + invoice_adjustment_micros + over_remedied_micros = 0)
) STRICT;

CREATE INDEX IF NOT EXISTS amendments ON ledger_entries (make_good_id) WHERE kind = 'amend';

-- What entries moved, line by line.
CREATE VIEW IF NOT EXISTS ledger_lines AS
    WITH lines (entry_id, make_good_id, account, amount_micros) AS (
        SELECT entry_id, make_good_id, 'makegood_expense', expense_micros FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_liability:pending', pending_micros FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_liability:scheduled', scheduled_micros FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_settled:additional_delivery', additional_delivery_micros
            FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_settled:credit', credit_micros FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_settled:invoice_adjustment', invoice_adjustment_micros
            FROM ledger_entries UNION ALL
        SELECT entry_id, make_good_id, 'makegood_over_remedied', over_remedied_micros FROM ledger_entries)
    SELECT entry_id, make_good_id, account, currency, amount_micros
    FROM lines JOIN make_goods USING (make_good_id) WHERE amount_micros <> 0;

-- The first hour that closes saw in the lake, each earlier than the one before: by it a lake is noticed that has lost its beginning.
CREATE TABLE IF NOT EXISTS lake_beginnings (
    begins_at_ms INTEGER NOT NULL PRIMARY KEY CHECK (begins_at_ms >= 0),
    noted_at_ms INTEGER NOT NULL CHECK (noted_at_ms >= 0)
) STRICT;
CREATE TRIGGER IF NOT EXISTS lake_beginnings_are_earlier BEFORE INSERT ON lake_beginnings BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: an earlier beginning of the lake is known')
    WHERE EXISTS (SELECT 1 FROM lake_beginnings WHERE begins_at_ms <= NEW.begins_at_ms);
END;
CREATE TRIGGER IF NOT EXISTS lake_beginnings_stay BEFORE UPDATE ON lake_beginnings BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER IF NOT EXISTS lake_beginnings_remain BEFORE DELETE ON lake_beginnings BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER IF NOT EXISTS make_goods_are_new BEFORE INSERT ON make_goods BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: the flight has a make-good')
    WHERE EXISTS (SELECT 1 FROM make_goods WHERE flight_id = NEW.flight_id);
    SELECT RAISE(ABORT, 'the ledger is append-only: there is a make-good of this number')
    WHERE EXISTS (SELECT 1 FROM make_goods WHERE make_good_id = NEW.make_good_id);
END;
CREATE TRIGGER IF NOT EXISTS entries_are_new BEFORE INSERT ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: there is an entry of this number')
    WHERE EXISTS (SELECT 1 FROM ledger_entries WHERE entry_id = NEW.entry_id);
    SELECT RAISE(ABORT, 'the ledger is append-only: there is an entry of this key')
    WHERE EXISTS (SELECT 1 FROM ledger_entries WHERE idempotency_key = NEW.idempotency_key);
    SELECT RAISE(ABORT, 'a ledger entry is of no make-good')
    WHERE NOT EXISTS (SELECT 1 FROM make_goods WHERE make_good_id = NEW.make_good_id);
    SELECT RAISE(ABORT, 'the entries of a make-good have a gap')
    WHERE NEW.seq <> 1 + (SELECT count(*) FROM ledger_entries WHERE make_good_id = NEW.make_good_id);
END;

CREATE TRIGGER IF NOT EXISTS make_goods_stay BEFORE UPDATE ON make_goods BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER IF NOT EXISTS make_goods_remain BEFORE DELETE ON make_goods BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
