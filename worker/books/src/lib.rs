//! Pacing, make-goods and the ledger: what is owed, and what became of it.
