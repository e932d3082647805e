-- What is owed to advertisers, and what became of it. Nothing here is ever changed or deleted: a correction is an entry more.

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
    currency TEXT NOT NULL CHECK (currency GLOB '[A-Z][A-Z][A-Z]'),
    UNIQUE (make_good_id, currency)
) STRICT;

-- Something that happened to it, and how it stands since. `seq` counts the entries of one make-good, without a gap.
CREATE TABLE IF NOT EXISTS ledger_entries (
    entry_id INTEGER PRIMARY KEY CHECK (entry_id > 0),
    make_good_id INTEGER NOT NULL REFERENCES make_goods,
    seq INTEGER NOT NULL CHECK (seq > 0),
    at_ms INTEGER NOT NULL CHECK (at_ms >= 0),
    kind TEXT NOT NULL
        CHECK (kind IN ('mint', 'adjust', 'schedule', 'fulfil', 'credit', 'invoice_adjustment', 'void')),
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
    UNIQUE (make_good_id, seq),
    CONSTRAINT a_make_good_begins_with_its_mint CHECK ((seq = 1) = (kind = 'mint'))
) STRICT;

-- What an entry moves. Written before their entry, so that it finds them in balance or is refused.
CREATE TABLE IF NOT EXISTS ledger_lines (
    entry_id INTEGER NOT NULL REFERENCES ledger_entries DEFERRABLE INITIALLY DEFERRED,
    make_good_id INTEGER NOT NULL,
    account TEXT NOT NULL CHECK (account IN ('makegood_expense', 'makegood_liability:pending',
        'makegood_liability:scheduled', 'makegood_settled:additional_delivery', 'makegood_settled:credit',
        'makegood_settled:invoice_adjustment', 'makegood_over_remedied')),
    currency TEXT NOT NULL,
    amount_micros INTEGER NOT NULL CHECK (amount_micros <> 0),
    PRIMARY KEY (entry_id, account),
    FOREIGN KEY (make_good_id, currency) REFERENCES make_goods (make_good_id, currency)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ledger_lines_by_make_good ON ledger_lines (make_good_id);

CREATE TRIGGER IF NOT EXISTS entries_balance BEFORE INSERT ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the lines of a ledger entry do not balance')
    WHERE EXISTS (SELECT 1 FROM ledger_lines WHERE entry_id = NEW.entry_id GROUP BY currency HAVING sum(amount_micros) <> 0);
    SELECT RAISE(ABORT, 'a ledger entry has lines of another make-good')
    WHERE EXISTS (SELECT 1 FROM ledger_lines WHERE entry_id = NEW.entry_id AND make_good_id <> NEW.make_good_id);
    SELECT RAISE(ABORT, 'the entries of a make-good have a gap')
    WHERE NEW.seq <> 1 + (SELECT count(*) FROM ledger_entries WHERE make_good_id = NEW.make_good_id);
END;
CREATE TRIGGER IF NOT EXISTS entries_get_no_lines_later BEFORE INSERT ON ledger_lines BEGIN
    SELECT RAISE(ABORT, 'a ledger entry gets no lines later')
    WHERE EXISTS (SELECT 1 FROM ledger_entries WHERE entry_id = NEW.entry_id);
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
CREATE TRIGGER IF NOT EXISTS lines_stay BEFORE UPDATE ON ledger_lines BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER IF NOT EXISTS lines_remain BEFORE DELETE ON ledger_lines BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
