-- As schema_sqlite.sql, table by table. That entries balance is looked at when the transaction commits.

CREATE TABLE IF NOT EXISTS make_goods (
    make_good_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flight_id BIGINT NOT NULL UNIQUE CHECK (flight_id > 0),
    flight TEXT NOT NULL,
    campaign_id BIGINT NOT NULL,
    campaign TEXT NOT NULL,
    advertiser_id BIGINT NOT NULL,
    advertiser TEXT NOT NULL,
    ended_at_ms BIGINT NOT NULL CHECK (ended_at_ms >= 0),
    committed BIGINT NOT NULL CHECK (committed > 0),
    cpm_micros BIGINT NOT NULL CHECK (cpm_micros >= 0),
    currency TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    UNIQUE (make_good_id, currency)
);

CREATE TABLE IF NOT EXISTS ledger_entries (
    entry_id BIGINT PRIMARY KEY CHECK (entry_id > 0),
    make_good_id BIGINT NOT NULL REFERENCES make_goods,
    seq BIGINT NOT NULL CHECK (seq > 0),
    at_ms BIGINT NOT NULL CHECK (at_ms >= 0),
    kind TEXT NOT NULL
        CHECK (kind IN ('mint', 'adjust', 'schedule', 'fulfil', 'credit', 'invoice_adjustment', 'void')),
    idempotency_key TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL CHECK (request::json IS NOT NULL),
    note TEXT NOT NULL,
    delivered BIGINT NOT NULL CHECK (delivered >= 0),
    scheduled BIGINT NOT NULL CHECK (scheduled >= 0),
    fulfilled BIGINT NOT NULL CHECK (fulfilled BETWEEN 0 AND scheduled),
    credited BIGINT NOT NULL CHECK (credited >= 0),
    invoice_adjusted BIGINT NOT NULL CHECK (invoice_adjusted >= 0),
    is_void BIGINT NOT NULL CHECK (is_void IN (0, 1)),
    remedy TEXT CHECK (remedy IN ('additional_delivery', 'credit', 'invoice_adjustment')),
    status TEXT NOT NULL CHECK (status IN ('pending', 'scheduled', 'fulfilled', 'credited', 'void')),
    UNIQUE (make_good_id, seq),
    CONSTRAINT a_make_good_begins_with_its_mint CHECK ((seq = 1) = (kind = 'mint'))
);

CREATE TABLE IF NOT EXISTS ledger_lines (
    entry_id BIGINT NOT NULL REFERENCES ledger_entries DEFERRABLE INITIALLY DEFERRED,
    make_good_id BIGINT NOT NULL,
    account TEXT NOT NULL CHECK (account IN ('makegood_expense', 'makegood_liability:pending',
        'makegood_liability:scheduled', 'makegood_settled:additional_delivery', 'makegood_settled:credit',
        'makegood_settled:invoice_adjustment', 'makegood_over_remedied')),
    currency TEXT NOT NULL,
    amount_micros BIGINT NOT NULL CHECK (amount_micros <> 0),
    PRIMARY KEY (entry_id, account),
    FOREIGN KEY (make_good_id, currency) REFERENCES make_goods (make_good_id, currency)
);
CREATE INDEX IF NOT EXISTS ledger_lines_by_make_good ON ledger_lines (make_good_id);

CREATE OR REPLACE FUNCTION ledger_entry_is_sound() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_lines WHERE entry_id = NEW.entry_id GROUP BY currency HAVING sum(amount_micros) <> 0) THEN
        RAISE EXCEPTION 'the lines of a ledger entry do not balance';
    END IF;
    IF EXISTS (SELECT 1 FROM ledger_lines l JOIN ledger_entries e USING (entry_id)
               WHERE entry_id = NEW.entry_id AND l.make_good_id <> e.make_good_id) THEN
        RAISE EXCEPTION 'a ledger entry has lines of another make-good';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION ledger_entry_is_next() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <> 1 + (SELECT count(*) FROM ledger_entries WHERE make_good_id = NEW.make_good_id) THEN
        RAISE EXCEPTION 'the entries of a make-good have a gap';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION ledger_line_is_early() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_entries WHERE entry_id = NEW.entry_id) THEN
        RAISE EXCEPTION 'a ledger entry gets no lines later';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION ledger_stays() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;

DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'entries_balance' AND tgrelid = 'ledger_entries'::regclass) THEN
        CREATE CONSTRAINT TRIGGER entries_balance AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_sound();
        CREATE CONSTRAINT TRIGGER lines_balance AFTER INSERT ON ledger_lines DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_sound();
        CREATE TRIGGER entries_have_no_gap BEFORE INSERT ON ledger_entries
            FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_next();
        CREATE TRIGGER entries_get_no_lines_later BEFORE INSERT ON ledger_lines
            FOR EACH ROW EXECUTE FUNCTION ledger_line_is_early();
        CREATE TRIGGER make_goods_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON make_goods
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
        CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
        CREATE TRIGGER lines_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_lines
            FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
    END IF;
END $$
