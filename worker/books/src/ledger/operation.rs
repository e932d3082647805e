//! What can become of a make-good. Pure: a state and an operation in, the next state out, or why not.

use serde::{Deserialize, Serialize};
use slotkeeper_core::time::UnixMillis;

use super::{LedgerError, state::State, terms::Terms};

/// What becomes of a make-good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// The flight closed short.
    Mint {
        /// What it had delivered.
        delivered: u64,
    },
    /// Late beacons raised what it delivered, or invalid traffic was taken out of it.
    Adjust {
        /// What it has delivered now.
        delivered: u64,
    },
    /// Both sides agreed on other terms, and booked them.
    Amend {
        /// What is promised now.
        committed: u64,
        /// The price of a thousand now, in micros of the same currency.
        cpm_micros: i64,
        /// When the flight ended, or will.
        ended_at: UnixMillis,
    },
    /// A bonus flight is to deliver it.
    Schedule {
        /// Which.
        bonus: BonusFlight,
    },
    /// The bonus flights delivered.
    Fulfil {
        /// All that they have delivered now, of each no more than it was scheduled for.
        bonus_delivered: u64,
        /// All that they are to deliver: of those that are over, what they did.
        scheduled: u64,
    },
    /// It is credited.
    Credit {
        /// How many impressions of it.
        impressions: u64,
    },
    /// An invoice is adjusted by it.
    InvoiceAdjustment {
        /// How many impressions of it.
        impressions: u64,
    },
    /// It was never owed.
    Void,
}

/// A flight that delivers what another fell short by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BonusFlight {
    /// Its id in the contracts file.
    pub flight: String,
    /// What it is to deliver.
    pub impressions: u64,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
}

impl Operation {
    /// All names in the tables: keys that the ledger makes begin with one.
    const KINDS: [&str; 8] = ["mint", "adjust", "amend", "schedule", "fulfil", "credit", "invoice_adjustment", "void"];

    /// Whose key the ledger itself would make so.
    pub(super) fn kind_of_key(key: &str) -> Option<&'static str> {
        let (before, _) = key.split_once('/')?;
        Self::KINDS.into_iter().find(|kind| *kind == before)
    }

    /// Its name in the tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Mint { .. } => "mint",
            Self::Adjust { .. } => "adjust",
            Self::Amend { .. } => "amend",
            Self::Schedule { .. } => "schedule",
            Self::Fulfil { .. } => "fulfil",
            Self::Credit { .. } => "credit",
            Self::InvoiceAdjustment { .. } => "invoice_adjustment",
            Self::Void => "void",
        }
    }

    /// How many impressions money makes good by it.
    pub(super) fn impressions(&self) -> Option<u64> {
        match self {
            Self::Credit { impressions } | Self::InvoiceAdjustment { impressions } => Some(*impressions),
            _ => None,
        }
    }

    /// Makes the terms those after it, of a make-good that stands so.
    pub(super) fn amend(&self, terms: &mut Terms, state: &State) {
        if let Self::Amend { committed, cpm_micros, ended_at } = self {
            terms.amend(*committed, *ended_at, *cpm_micros, state.made_good());
        }
    }

    /// What `state` is after it.
    pub(super) fn after(&self, flight: &str, committed: u64, state: &State) -> Result<State, LedgerError> {
        let refuse = |reason: String| LedgerError::Refused { flight: flight.into(), kind: self.kind(), reason };
        if state.is_void && !matches!(self, Self::Adjust { .. } | Self::Amend { .. } | Self::Fulfil { .. }) {
            return Err(refuse("its make-good is void".into()));
        }
        let open = state.open_impressions(committed);
        let at_most_open = |impressions: u64| match impressions {
            0 => Err(refuse("impressions: 0; it takes at least 1".into())),
            _ if impressions > open => Err(refuse(format!("impressions: {impressions}; {open} are open"))),
            _ => Ok(impressions),
        };
        let mut after = state.clone();
        match self {
            Self::Mint { delivered } | Self::Adjust { delivered } => after.delivered = *delivered,
            Self::Amend { committed: 0, .. } => return Err(refuse("committed: 0; it takes at least 1".into())),
            Self::Amend { cpm_micros: ..0, .. } => return Err(refuse("cpm_micros: it is below 0".into())),
            Self::Amend { .. } => {}
            Self::Schedule { bonus } => {
                if bonus.starts_at >= bonus.ends_at {
                    return Err(refuse(format!("bonus flight {}: its end is not after its start", bonus.flight)));
                }
                let unscheduled = open - state.open_scheduled(committed);
                if bonus.impressions == 0 || bonus.impressions > unscheduled {
                    let asked = bonus.impressions;
                    return Err(refuse(format!("impressions: {asked}; {unscheduled} are open and not scheduled")));
                }
                after.scheduled += bonus.impressions;
            }
            Self::Fulfil { bonus_delivered, scheduled } => {
                if bonus_delivered > scheduled {
                    return Err(refuse(format!("bonus_delivered: {bonus_delivered}; {scheduled} are scheduled")));
                }
                (after.fulfilled, after.scheduled) = (*bonus_delivered, *scheduled);
            }
            Self::Credit { impressions } => after.credited += at_most_open(*impressions)?,
            Self::InvoiceAdjustment { impressions } => after.invoice_adjusted += at_most_open(*impressions)?,
            Self::Void => {
                let settled = state.settled_impressions();
                if settled > 0 {
                    return Err(refuse(format!("{settled} impressions of it are made good already")));
                }
                after.is_void = true;
            }
        }
        Ok(after)
    }
}
