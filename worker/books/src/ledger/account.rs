//! The accounts. An amount on the debit side is positive, one on the credit side negative; the lines of an entry add up to 0.

/// Where money stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Debit: what the shortfalls cost.
    Expense,
    /// Credit: owed, and nothing is agreed yet.
    Pending,
    /// Credit: owed, and a bonus flight is to deliver it.
    Scheduled,
    /// Credit: made good by impressions of bonus flights.
    AdditionalDelivery,
    /// Credit: made good by a credit.
    Credit,
    /// Credit: made good by an invoice that was adjusted.
    InvoiceAdjustment,
    /// Debit: made good, and then it turned out that it was not owed.
    OverRemedied,
}

impl Account {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Expense,
        Self::Pending,
        Self::Scheduled,
        Self::AdditionalDelivery,
        Self::Credit,
        Self::InvoiceAdjustment,
        Self::OverRemedied,
    ];

    /// Its name in the tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expense => "makegood_expense",
            Self::Pending => "makegood_liability:pending",
            Self::Scheduled => "makegood_liability:scheduled",
            Self::AdditionalDelivery => "makegood_settled:additional_delivery",
            Self::Credit => "makegood_settled:credit",
            Self::InvoiceAdjustment => "makegood_settled:invoice_adjustment",
            Self::OverRemedied => "makegood_over_remedied",
        }
    }

    /// The column of `ledger_entries` that says what an entry moves on it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Expense => "expense_micros",
            Self::Pending => "pending_micros",
            Self::Scheduled => "scheduled_micros",
            Self::AdditionalDelivery => "additional_delivery_micros",
            Self::Credit => "credit_micros",
            Self::InvoiceAdjustment => "invoice_adjustment_micros",
            Self::OverRemedied => "over_remedied_micros",
        }
    }
}
