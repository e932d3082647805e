//! `campaign_pacing_daily`: how every guaranteed flight stood at the end of a day.

use std::collections::BTreeMap;

use jiff::{civil::Date, tz::TimeZone};
use serde::Serialize;
use slotkeeper_core::{contract::DemandClass, id::FlightId, time::UnixMillis};

use super::{
    Curve, DAY_MS, Delivered, RECENT_DAYS, Shares,
    curve::{LEARNED_FROM_MS, timestamp},
    pace,
};
use crate::{
    deliveries::{Deliveries, DeliveriesError, QUARTER_MS},
    flight::{Flight, Span},
};

/// A day of the reporting time zone, looked at from its end or, while it is not over, from now.
#[derive(Clone, Debug)]
pub struct ReportedDay {
    /// Which.
    pub date: Date,
    /// Whose.
    pub time_zone: TimeZone,
    /// From its midnight to the next.
    pub span: Span,
    /// Up to when it is counted: its end, or before.
    pub as_of: UnixMillis,
}

/// There is no such day in this zone.
#[derive(Debug, thiserror::Error)]
#[error("day {date}: {reason}")]
pub struct NoSuchDay {
    /// Which.
    pub date: Date,
    /// Why.
    pub reason: String,
}

impl ReportedDay {
    /// `date` in `time_zone`, counted up to `now` if it is not over then: up to the last whole quarter of an hour.
    pub fn new(date: Date, time_zone: TimeZone, now: UnixMillis) -> Result<Self, NoSuchDay> {
        let span = days(date, date.tomorrow(), &time_zone).map_err(|reason| NoSuchDay { date, reason })?;
        let as_of =
            if now < span.until { UnixMillis(now.0 / QUARTER_MS * QUARTER_MS).max(span.from) } else { span.until };
        Ok(Self { date, time_zone, span, as_of })
    }

    /// Whether it is not counted to its end.
    #[must_use]
    pub fn is_provisional(&self) -> bool {
        self.as_of < self.span.until
    }
}

/// From the midnight that begins a date to the one that begins another.
pub fn days(from: Date, until: Result<Date, jiff::Error>, zone: &TimeZone) -> Result<Span, String> {
    let midnight = |date: Date| {
        let at = date.to_zoned(zone.clone()).map_err(|error| error.to_string())?;
        let millis = at.timestamp().as_millisecond();
        u64::try_from(millis).map(UnixMillis).map_err(|_| format!("{date} is before 1970"))
    };
    let until = until.map_err(|error| error.to_string())?;
    Ok(Span { from: midnight(from)?, until: midnight(until)? })
}

/// One row of `campaign_pacing_daily`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DailyRow {
    /// The day, `YYYY-MM-DD`.
    pub day: String,
    /// Whose midnights it has.
    pub time_zone: String,
    /// Up to when it is counted.
    pub as_of_ms: u64,
    /// Whether the day was not over, or not folded, when it was counted.
    pub is_provisional: bool,
    /// The flight.
    pub flight_id: u32,
    /// Its id in the contracts file.
    pub flight: String,
    /// Its campaign.
    pub campaign_id: u32,
    /// The campaign's id in the contracts file.
    pub campaign: String,
    /// Its advertiser.
    pub advertiser_id: u32,
    /// The advertiser's id in the contracts file.
    pub advertiser: String,
    /// What was promised in all.
    pub committed: u64,
    /// What was delivered by now, in all.
    pub delivered: u64,
    /// What was delivered on this day.
    pub delivered_on_day: u64,
    /// The even target by now.
    pub target_even: u64,
    /// The even target of the day. The days of a flight add up to what was promised.
    pub target_even_of_day: u64,
    /// The target by now that follows the audience.
    pub target_shaped: u64,
    /// That of the day, which add up, too, as long as the curve is the same.
    pub target_shaped_of_day: u64,
    /// Whether that curve is learned; if not, it is even.
    pub is_curve_learned: bool,
    /// The pacing index, in millionths.
    pub pacing_index_millionths: Option<u64>,
    /// Milliseconds to its end.
    pub remaining_ms: u64,
    /// Days of its calendar that it still runs on.
    pub days_remaining: u32,
    /// The daily rate that delivers the rest in time.
    pub required_per_day: u64,
    /// Where it will end.
    pub projected: Option<u64>,
    /// The lower end of the interval around that.
    pub projected_low: Option<u64>,
    /// The upper end.
    pub projected_high: Option<u64>,
    /// What to do about it.
    pub alert: String,
}

/// The rows of a day: of every guaranteed flight that runs on it, in the order of their numbers.
pub fn daily(
    flights: &[Flight],
    deliveries: &dyn Deliveries,
    day: &ReportedDay,
) -> Result<Vec<DailyRow>, DeliveriesError> {
    let mut history = vec![];
    let learned_from = Span { from: day.as_of.minus_ms(LEARNED_FROM_MS), until: day.as_of };
    deliveries.slot_quarters(learned_from, &mut |quarter| history.push(quarter))?;
    let counted = Counted::read(deliveries, day)?;
    let mut curves: BTreeMap<String, Curve> = BTreeMap::new();
    let runs = |flight: &&Flight| {
        flight.class == DemandClass::Guaranteed && flight.starts_at < day.span.until && flight.ends_at > day.span.from
    };
    let mut rows = vec![];
    for flight in flights.iter().filter(runs) {
        let zone = flight.time_zone.clone();
        let curve = curves.entry(zone_name(&zone)).or_insert_with(|| Curve::learned(zone, &history));
        rows.push(row(flight, &counted, curve, day));
    }
    rows.sort_by_key(|row| row.flight_id);
    Ok(rows)
}

/// How a time zone is called in tables.
#[must_use]
pub fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// What was delivered, of all flights.
#[derive(Default)]
struct Counted {
    total: BTreeMap<FlightId, u64>,
    on_day: BTreeMap<FlightId, u64>,
    recent: BTreeMap<FlightId, [u64; RECENT_DAYS]>,
}

impl Counted {
    fn read(deliveries: &dyn Deliveries, day: &ReportedDay) -> Result<Self, DeliveriesError> {
        let mut counted = Self { total: deliveries.delivered(day.as_of)?, ..Self::default() };
        let recent_ms = RECENT_DAYS as u64 * DAY_MS;
        let recent = Span { from: day.as_of.minus_ms(recent_ms), until: day.as_of };
        deliveries.flight_quarters(recent, &mut |quarter| {
            let back = usize::try_from((day.as_of.since_ms(quarter.at) - 1) / DAY_MS).unwrap_or_default();
            let days = counted.recent.entry(quarter.flight_id).or_default();
            days[back.min(RECENT_DAYS - 1)] += quarter.delivered;
            if quarter.at >= day.span.from {
                *counted.on_day.entry(quarter.flight_id).or_default() += quarter.delivered;
            }
        })?;
        Ok(counted)
    }

    fn of(&self, flight: FlightId) -> Delivered {
        Delivered {
            total: self.total.get(&flight).copied().unwrap_or_default(),
            recent_days: self.recent.get(&flight).copied().unwrap_or_default().to_vec(),
        }
    }
}

fn row(flight: &Flight, counted: &Counted, curve: &Curve, day: &ReportedDay) -> DailyRow {
    let pace = pace(flight, &counted.of(flight.flight_id), curve, day.as_of);
    let even = Curve::even(flight.time_zone.clone());
    let interval = pace.projection.and_then(|projection| projection.interval);
    DailyRow {
        day: day.date.to_string(),
        time_zone: zone_name(&day.time_zone),
        as_of_ms: pace.as_of.0,
        is_provisional: day.is_provisional(),
        flight_id: flight.flight_id.0,
        flight: flight.slug.clone(),
        campaign_id: flight.campaign_id.0,
        campaign: flight.campaign.clone(),
        advertiser_id: flight.advertiser_id.0,
        advertiser: flight.advertiser.clone(),
        committed: flight.committed,
        delivered: pace.delivered,
        delivered_on_day: counted.on_day.get(&flight.flight_id).copied().unwrap_or_default(),
        target_even: pace.target_even,
        target_even_of_day: target_of_day(flight, &even, day.span),
        target_shaped: pace.target_shaped,
        target_shaped_of_day: target_of_day(flight, curve, day.span),
        is_curve_learned: curve.is_learned(),
        pacing_index_millionths: pace.index_millionths,
        remaining_ms: pace.remaining_ms,
        days_remaining: pace.days_remaining,
        required_per_day: pace.required_per_day,
        projected: pace.projection.map(|projection| projection.expected),
        projected_low: interval.map(|(low, _)| low),
        projected_high: interval.map(|(_, high)| high),
        alert: pace.alert.as_str().into(),
    }
}

/// The target by the end of the day less the one by its begin: so the days add up to what was promised.
pub(crate) fn target_of_day(flight: &Flight, curve: &Curve, day: Span) -> u64 {
    let by = |at: UnixMillis| {
        let at = at.clamp(flight.starts_at, flight.ends_at);
        let so_far = Span { from: flight.starts_at, until: at };
        let to_come = Span { from: at, until: flight.ends_at };
        Shares::of(flight, so_far, to_come, curve).target(flight.committed)
    };
    by(day.until).saturating_sub(by(day.from))
}

/// The date of an instant.
#[must_use]
pub fn date_of(at: UnixMillis, zone: &TimeZone) -> Date {
    timestamp(at).to_zoned(zone.clone()).date()
}
