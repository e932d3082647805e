-- As schema_sqlite.sql, table by table.

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
    currency TEXT NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);

CREATE TABLE IF NOT EXISTS ledger_entries (
    entry_id BIGINT PRIMARY KEY CHECK (entry_id > 0),
    make_good_id BIGINT NOT NULL REFERENCES make_goods,
    seq BIGINT NOT NULL CHECK (seq > 0),
    at_ms BIGINT NOT NULL CHECK (at_ms >= 0),
    kind TEXT NOT NULL
        CHECK (kind IN ('mint', 'adjust', 'amend', 'schedule', 'fulfil', 'credit', 'invoice_adjustment', 'void')),
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
    expense_micros BIGINT NOT NULL,
    pending_micros BIGINT NOT NULL,
    scheduled_micros BIGINT NOT NULL,
    additional_delivery_micros BIGINT NOT NULL,
    credit_micros BIGINT NOT NULL,
    invoice_adjustment_micros BIGINT NOT NULL,
    over_remedied_micros BIGINT NOT NULL,
    UNIQUE (make_good_id, seq),
    CONSTRAINT a_make_good_begins_with_its_mint CHECK ((seq = 1) = (kind = 'mint')),
    CONSTRAINT the_lines_of_an_entry_balance CHECK (
        expense_micros + pending_micros + scheduled_micros + additional_delivery_micros + credit_micros
            + invoice_adjustment_micros + over_remedied_micros = 0)
);

CREATE INDEX IF NOT EXISTS amendments ON ledger_entries (make_good_id) WHERE kind = 'amend';

CREATE OR REPLACE VIEW ledger_lines AS
    SELECT e.entry_id, e.make_good_id, l.account, m.currency, l.amount_micros
    FROM ledger_entries e JOIN make_goods m USING (make_good_id)
    CROSS JOIN LATERAL (VALUES
        ('makegood_expense', e.expense_micros),
        ('makegood_liability:pending', e.pending_micros),
        ('makegood_liability:scheduled', e.scheduled_micros),
        ('makegood_settled:additional_delivery', e.additional_delivery_micros),
        ('makegood_settled:credit', e.credit_micros),
        ('makegood_settled:invoice_adjustment', e.invoice_adjustment_micros),
        ('makegood_over_remedied', e.over_remedied_micros)) AS l (account, amount_micros)
    WHERE l.amount_micros <> 0;

CREATE TABLE IF NOT EXISTS lake_beginnings (
    begins_at_ms BIGINT NOT NULL PRIMARY KEY CHECK (begins_at_ms >= 0),
    noted_at_ms BIGINT NOT NULL CHECK (noted_at_ms >= 0)
);

CREATE OR REPLACE FUNCTION ledger_entry_is_next() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <> 1 + (SELECT count(*) FROM ledger_entries WHERE make_good_id = NEW.make_good_id) THEN
        RAISE EXCEPTION 'the entries of a make-good have a gap';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION ledger_stays() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;

CREATE OR REPLACE TRIGGER entries_have_no_gap BEFORE INSERT ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_next();
CREATE OR REPLACE TRIGGER make_goods_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON make_goods
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
CREATE OR REPLACE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
CREATE OR REPLACE TRIGGER lake_beginnings_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON lake_beginnings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_stays();
