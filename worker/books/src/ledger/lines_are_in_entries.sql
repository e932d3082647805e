-- What lines_were_a_table.sql set aside, in the tables as they are now.
INSERT INTO ledger_entries (entry_id, make_good_id, seq, at_ms, kind, idempotency_key, request, note, delivered, scheduled,
        fulfilled, credited, invoice_adjusted, is_void, remedy, status, expense_micros, pending_micros, scheduled_micros,
        additional_delivery_micros, credit_micros, invoice_adjustment_micros, over_remedied_micros)
    SELECT entry_id, make_good_id, seq, at_ms, kind, idempotency_key, request, note, delivered, scheduled,
        fulfilled, credited, invoice_adjusted, is_void, remedy, status, expense_micros, pending_micros, scheduled_micros,
        additional_delivery_micros, credit_micros, invoice_adjustment_micros, over_remedied_micros
    FROM entries_with_lines ORDER BY entry_id;
DROP TABLE entries_with_lines;
