-- Of a ledger whose lines were a table of their own: its entries, each with what its lines say, set aside. Both databases read this.
CREATE TEMPORARY TABLE entries_with_lines AS
    SELECT e.entry_id, e.make_good_id, e.seq, e.at_ms, e.kind, e.idempotency_key, e.request, e.note, e.delivered, e.scheduled,
        e.fulfilled, e.credited, e.invoice_adjusted, e.is_void, e.remedy, e.status,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_expense' THEN l.amount_micros END), 0) AS BIGINT) AS expense_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_liability:pending' THEN l.amount_micros END), 0) AS BIGINT)
            AS pending_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_liability:scheduled' THEN l.amount_micros END), 0) AS BIGINT)
            AS scheduled_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_settled:additional_delivery' THEN l.amount_micros END), 0) AS BIGINT)
            AS additional_delivery_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_settled:credit' THEN l.amount_micros END), 0) AS BIGINT)
            AS credit_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_settled:invoice_adjustment' THEN l.amount_micros END), 0) AS BIGINT)
            AS invoice_adjustment_micros,
        CAST(coalesce(sum(CASE l.account WHEN 'makegood_over_remedied' THEN l.amount_micros END), 0) AS BIGINT)
            AS over_remedied_micros
    FROM ledger_entries e LEFT JOIN ledger_lines l ON l.entry_id = e.entry_id
    GROUP BY e.entry_id;
DROP TABLE ledger_lines;
DROP TABLE ledger_entries;
