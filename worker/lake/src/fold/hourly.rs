//! `agg_slots_hourly`: counts and sums by everything that screens break them down by.

use std::collections::BTreeMap;

use slotkeeper_core::{impression::Quartile, money::Currency};

use crate::{error::LakeError, file::FileWriter, hour::Hour, tables::HOURLY};

/// A slot, as it is counted.
#[expect(clippy::struct_excessive_bools, reason = "each is a count of its own")]
pub(super) struct Slot<'a> {
    pub(super) title_id: &'a str,
    pub(super) position: &'a str,
    pub(super) country: Option<&'a str>,
    pub(super) device: Option<&'a str>,
    pub(super) is_filled: bool,
    pub(super) fill_reason: Option<&'a str>,
    pub(super) unfilled_reason: Option<&'a str>,
    pub(super) advertiser_id: Option<i64>,
    pub(super) campaign_id: Option<i64>,
    pub(super) flight_id: Option<i64>,
    pub(super) creative_id: Option<i64>,
    /// Of the ad as sold, whether or not it played.
    pub(super) sold_in: Option<Currency>,
    /// Of the impression.
    pub(super) currency: Option<Currency>,
    pub(super) invalid_traffic: Option<&'a str>,
    pub(super) max_duration_ms: i64,
    pub(super) furthest: Option<Quartile>,
    pub(super) is_released: bool,
    pub(super) is_skipped: bool,
    pub(super) has_failed: bool,
    pub(super) is_delivered: bool,
    pub(super) revenue_micros: i64,
}

/// In the order of the table's columns, which is the order of its rows.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    title_id: String,
    position: String,
    country: Option<String>,
    device: Option<String>,
    is_unfilled: bool,
    fill_reason: Option<String>,
    unfilled_reason: Option<String>,
    advertiser_id: Option<i64>,
    campaign_id: Option<i64>,
    flight_id: Option<i64>,
    creative_id: Option<i64>,
    currency: Option<Currency>,
    invalid_traffic: Option<String>,
}

/// In the order of the table's columns.
const SUMS: usize = 12;

/// The rows of an hour.
#[derive(Default)]
pub(super) struct Hourly(BTreeMap<Key, [i64; SUMS]>);

impl Hourly {
    pub(super) fn add(&mut self, hour: Hour, slot: &Slot<'_>) -> Result<(), LakeError> {
        let key = Key {
            title_id: slot.title_id.into(),
            position: slot.position.into(),
            country: slot.country.map(Into::into),
            device: slot.device.map(Into::into),
            is_unfilled: !slot.is_filled,
            fill_reason: slot.fill_reason.map(Into::into),
            unfilled_reason: slot.unfilled_reason.map(Into::into),
            advertiser_id: slot.advertiser_id,
            campaign_id: slot.campaign_id,
            flight_id: slot.flight_id,
            creative_id: slot.creative_id,
            currency: slot.currency,
            invalid_traffic: slot.invalid_traffic.map(Into::into),
        };
        let reached = |quartile| i64::from(slot.furthest >= Some(quartile));
        let values = [
            1,
            slot.max_duration_ms,
            i64::from(slot.furthest.is_some()),
            i64::from(slot.is_released),
            reached(Quartile::First),
            reached(Quartile::Midpoint),
            reached(Quartile::Third),
            reached(Quartile::Complete),
            i64::from(slot.is_skipped),
            i64::from(slot.has_failed),
            i64::from(slot.is_delivered),
            slot.revenue_micros,
        ];
        let sums = self.0.entry(key).or_default();
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.checked_add(value).ok_or_else(|| LakeError::Law {
                hour,
                table: HOURLY.name,
                row: format!("title {:?}", slot.title_id),
                what: "a sum beyond 63 bits".into(),
            })?;
        }
        Ok(())
    }

    /// Of all rows: slots, filled, impressed, revenue.
    pub(super) fn sums(&self) -> [i128; 4] {
        self.0.iter().fold([0; 4], |[slots, filled, impressed, revenue], (key, sums)| {
            let of_filled = if key.is_unfilled { 0 } else { sums[0] };
            [
                slots + i128::from(sums[0]),
                filled + i128::from(of_filled),
                impressed + i128::from(sums[2]),
                revenue + i128::from(sums[11]),
            ]
        })
    }

    pub(super) fn write(&self, hour: Hour) -> Result<Vec<u8>, LakeError> {
        let mut file = FileWriter::new(&HOURLY).map_err(LakeError::file(HOURLY.name))?;
        for (key, sums) in &self.0 {
            let mut row = file.row().map_err(LakeError::file(HOURLY.name))?;
            row.int(hour.begin().0)
                .text(&key.title_id)
                .text(&key.position)
                .text_or_null(key.country.as_deref())
                .text_or_null(key.device.as_deref())
                .text(if key.is_unfilled { "unfilled" } else { "filled" })
                .text_or_null(key.fill_reason.as_deref())
                .text_or_null(key.unfilled_reason.as_deref())
                .int_or_null(key.advertiser_id)
                .int_or_null(key.campaign_id)
                .int_or_null(key.flight_id)
                .int_or_null(key.creative_id)
                .text_or_null(key.currency.as_ref().map(Currency::as_str))
                .text_or_null(key.invalid_traffic.as_deref());
            for sum in sums {
                row.int(*sum);
            }
        }
        file.finish().map_err(LakeError::file(HOURLY.name))
    }
}
