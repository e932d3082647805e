//! An hour's totals: what money is computed from.

use std::collections::BTreeMap;

use slotkeeper_core::{id::OpportunityId, impression::Quartile, money::Currency};

use super::hourly::{Hourly, Slot};
use crate::{error::LakeError, hour::Hour, tables::HOURLY};

/// A quarter of an hour: no time zone begins its days at another instant.
const QUARTER_MS: u64 = 15 * 60 * 1000;

/// Which sum of a flight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FlightKey {
    pub(crate) quarter_at_ms: u64,
    pub(crate) flight_id: i64,
    pub(crate) advertiser_id: i64,
    pub(crate) currency: String,
}

/// The sums of a flight in a quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlightSums {
    pub(crate) campaign_id: i64,
    pub(crate) filled: i64,
    pub(crate) impressed: i64,
    pub(crate) released: i64,
    pub(crate) delivered: i64,
    pub(crate) completes: i64,
    pub(crate) revenue_micros: i64,
}

/// The slots of a quarter of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSums {
    pub(crate) slots: i64,
    pub(crate) filled: i64,
}

/// All sums of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) flights: BTreeMap<FlightKey, FlightSums>,
    pub(crate) slots: BTreeMap<u64, SlotSums>,
}

impl Totals {
    pub(super) fn add(&mut self, hour: Hour, id: OpportunityId, slot: &Slot<'_>) -> Result<(), LakeError> {
        let opened_at = id.opened_at().0;
        let quarter_at_ms = opened_at - opened_at % QUARTER_MS;
        let slots = self.slots.entry(quarter_at_ms).or_default();
        slots.slots += 1;
        if !slot.is_filled {
            return Ok(());
        }
        slots.filled += 1;
        let key = FlightKey {
            quarter_at_ms,
            flight_id: slot.flight_id.unwrap_or_default(),
            advertiser_id: slot.advertiser_id.unwrap_or_default(),
            currency: slot.sold_in.as_ref().map(Currency::as_str).unwrap_or_default().into(),
        };
        let campaign_id = slot.campaign_id.unwrap_or_default();
        let sums = self.flights.entry(key).or_insert(FlightSums { campaign_id, ..FlightSums::default() });
        sums.campaign_id = sums.campaign_id.min(campaign_id); // a flight is of one campaign
        sums.filled += 1;
        sums.impressed += i64::from(slot.furthest.is_some());
        sums.released += i64::from(slot.is_released);
        sums.delivered += i64::from(slot.is_delivered);
        sums.completes += i64::from(slot.furthest == Some(Quartile::Complete));
        sums.revenue_micros = sums.revenue_micros.checked_add(slot.revenue_micros).ok_or_else(|| LakeError::Law {
            hour,
            table: "flight_totals",
            row: id.to_string(),
            what: "a sum of revenue beyond 63 bits".into(),
        })?;
        Ok(())
    }

    /// Whether the sums agree with those by title and place: every slot is in both, once.
    pub(super) fn check(&self, hour: Hour, hourly: &Hourly) -> Result<(), LakeError> {
        let sum = |of: fn(&FlightSums) -> i64| self.flights.values().map(|sums| i128::from(of(sums))).sum::<i128>();
        let slots = self.slots.values().map(|sums| i128::from(sums.slots)).sum::<i128>();
        let filled = self.slots.values().map(|sums| i128::from(sums.filled)).sum::<i128>();
        let own = [slots, filled, sum(|sums| sums.impressed), sum(|sums| sums.revenue_micros)];
        if own != hourly.sums() || filled != sum(|sums| sums.filled) {
            return Err(LakeError::Law {
                hour,
                table: HOURLY.name,
                row: "all".into(),
                what: format!(
                    "slots, filled, impressed and revenue are {:?}, and {own:?} in the totals",
                    hourly.sums()
                ),
            });
        }
        Ok(())
    }
}
