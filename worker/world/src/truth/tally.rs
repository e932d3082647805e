//! The sums while they are made.

use std::collections::BTreeMap;

use slotkeeper_core::{
    beacon::Event,
    impression::Quartile,
    pod::{FillReason, UnfilledReason},
    time::UnixMillis,
};

use super::{CampaignLine, CreativeLine, DayLine, FlightLine, HourLine, Onset, Sent, Sums, Truth};
use crate::{
    ads::{Ad, Ads},
    breaks::{POSITIONS, Slot},
    params::{DAY_MS, HOUR_MS, Params},
    script::{Role, Script},
};

/// What a slot can come to: three ways of being filled, and every reason of being empty.
const OUTCOMES: usize = 3 + UnfilledReason::ALL.len();

/// A slot that stands, and what its viewer's player proved of it.
pub(crate) struct Stood {
    pub(crate) opened_at: UnixMillis,
    pub(crate) title: usize,
    pub(crate) position: usize,
    pub(crate) viewer: u64,
    pub(crate) slot: Slot,
    pub(crate) is_crawler: bool,
    /// By event code.
    pub(crate) proved: u32,
}

pub(crate) struct Tally {
    starts_at: UnixMillis,
    titles: usize,
    /// Of each ad, its place among the lines of a day, the creatives and the campaigns.
    places: Vec<[usize; 3]>,
    lines: Vec<(u32, u32, String)>,
    days: Vec<Vec<Sums>>,
    creatives: Vec<CreativeLine>,
    campaigns: Vec<(u32, Vec<u64>)>,
    hour: Vec<u64>,
    hour_at: UnixMillis,
    slots: [u64; 2],
    onset: UnixMillis,
    capped: [[u64; 2]; 2],
    pub(crate) sent: Sent,
}

impl Tally {
    pub(crate) fn of(params: &Params, script: &Script, ads: &Ads) -> Self {
        let (mut lines, mut creatives, mut campaigns) = (Places::default(), Places::default(), Places::default());
        let place = |ad: &Ad| {
            let booking = &ad.booking;
            let line = (booking.flight_id.0, booking.advertiser_id.0, ad.currency.clone());
            [
                lines.of(line),
                creatives.of((booking.creative_id.0, 0, String::new())),
                campaigns.of((booking.campaign_id.0, 0, String::new())),
            ]
        };
        let places = ads.all.iter().map(place).collect();
        let words = params.viewers as usize / 64 + 8;
        let creative = |key: &Key| CreativeLine { creative_id: key.0, ..CreativeLine::default() };
        Self {
            starts_at: params.starts_at(),
            titles: params.titles as usize,
            places,
            days: vec![vec![Sums::default(); lines.all.len()]; params.days as usize],
            lines: lines.all,
            creatives: creatives.all.iter().map(creative).collect(),
            campaigns: campaigns.all.iter().map(|key| (key.0, vec![0; words])).collect(),
            hour: vec![0; params.titles as usize * POSITIONS.len() * OUTCOMES],
            hour_at: params.starts_at(),
            slots: [0; 2],
            onset: script.onset,
            capped: [[0; 2]; 2],
            sent: Sent::default(),
        }
    }

    /// Counts a slot.
    pub(crate) fn count(&mut self, ads: &Ads, stood: &Stood) {
        let outcome = match stood.slot {
            Slot::Filled(ad) => match ads.all[ad].reason {
                FillReason::Guaranteed => 0,
                FillReason::Auction => 1,
                FillReason::HouseAd => 2,
            },
            Slot::Empty(reason) => 3 + UnfilledReason::ALL.iter().position(|one| *one == reason).unwrap_or_default(),
        };
        self.hour[(stood.title * POSITIONS.len() + stood.position) * OUTCOMES + outcome] += 1;
        let side = &mut self.capped[usize::from(stood.opened_at >= self.onset)];
        side[0] += u64::from(stood.slot == Slot::Empty(UnfilledReason::FrequencyCapped));
        side[1] += 1;
        match stood.slot {
            Slot::Filled(ad) => {
                self.slots[0] += 1;
                self.count_fill(ad, &ads.all[ad], stood);
            }
            Slot::Empty(_) => self.slots[1] += 1,
        }
    }

    fn count_fill(&mut self, place: usize, ad: &Ad, stood: &Stood) {
        let has = |event: Event| stood.proved >> event.code() & 1 == 1;
        let quartiles = Quartile::ALL.iter().take_while(|quartile| has(quartile.event())).count();
        let began = quartiles > 0;
        let needed = Quartile::ALL.iter().position(|one| *one == ad.threshold).unwrap_or_default() + 1;
        let delivered = !stood.is_crawler && quartiles >= needed;
        let day = usize::try_from(stood.opened_at.since_ms(self.starts_at) / DAY_MS).unwrap_or_default();
        let [line, creative, campaign] = self.places[place];

        let sums = &mut self.days[day][line];
        sums.filled += 1;
        sums.impressed += u64::from(began);
        sums.released += u64::from(!began && (has(Event::Error) || has(Event::NotUsed)));
        sums.delivered += u64::from(delivered);
        sums.completes += u64::from(quartiles == 5);
        sums.revenue_micros += if delivered { ad.price_micros } else { 0 };
        sums.impressed_invalid += u64::from(began && stood.is_crawler);
        sums.completes_invalid += u64::from(quartiles == 5 && stood.is_crawler);

        let of = &mut self.creatives[creative];
        of.filled += 1;
        of.reached.iter_mut().take(quartiles).for_each(|reached| *reached += 1);
        of.skips += u64::from(began && has(Event::Skip));
        of.errors += u64::from(began && has(Event::Error));
        of.viewable += u64::from(began && has(Event::Viewable));

        if began && !stood.is_crawler {
            let (word, bit) = (usize::try_from(stood.viewer / 64).unwrap_or_default(), stood.viewer % 64);
            self.campaigns[campaign].1[word] |= 1 << bit;
        }
    }

    /// Ends an hour: no slot of it comes any more.
    pub(crate) fn end_hour<E>(&mut self, mut tell: impl FnMut(&HourLine) -> Result<(), E>) -> Result<(), E> {
        for title in 0..self.titles {
            for (place, position) in POSITIONS.iter().enumerate() {
                for outcome in 0..OUTCOMES {
                    let slots = &mut self.hour[(title * POSITIONS.len() + place) * OUTCOMES + outcome];
                    if *slots == 0 {
                        continue;
                    }
                    let filled = ["guaranteed", "auction", "house_ad"];
                    let reason = match outcome.checked_sub(3) {
                        Some(reason) => UnfilledReason::ALL[reason].as_str(),
                        None => filled[outcome],
                    };
                    let line = HourLine {
                        hour_at_ms: self.hour_at.0,
                        title_id: Script::title(title),
                        position: position.as_str().into(),
                        outcome: if outcome < 3 { "filled" } else { "unfilled" }.into(),
                        reason: reason.into(),
                        slots: std::mem::take(slots),
                    };
                    tell(&line)?;
                }
            }
        }
        self.hour_at = self.hour_at.plus_ms(HOUR_MS);
        Ok(())
    }

    /// The truth, once everything has happened.
    pub(crate) fn end(self, script: &Script, ads: &Ads) -> Truth {
        let mut delivered = BTreeMap::<u32, u64>::new();
        let mut days = Vec::new();
        for (day, sums) in self.days.iter().enumerate() {
            let day = day_name(self.starts_at.plus_ms(day as u64 * DAY_MS));
            for ((flight_id, advertiser_id, currency), sums) in self.lines.iter().zip(sums) {
                *delivered.entry(*flight_id).or_default() += sums.delivered;
                if sums.filled > 0 {
                    let (day, currency) = (day.clone(), currency.clone());
                    let (flight_id, advertiser_id) = (*flight_id, *advertiser_id);
                    days.push(DayLine { day, flight_id, advertiser_id, currency, sums: *sums });
                }
            }
        }
        let reach = |(campaign_id, viewers): &(u32, Vec<u64>)| CampaignLine {
            campaign_id: *campaign_id,
            viewers: viewers.iter().map(|word| u64::from(word.count_ones())).sum(),
        };
        let first_ad = |number: usize| &ads.all[ads.of_flight[number].0].booking;
        let capped = script.flights.iter().position(|flight| flight.role == Role::Capped);
        let flights = script.flights.iter().enumerate().filter(|(_, flight)| flight.role != Role::House);
        Truth {
            slots: self.slots[0] + self.slots[1],
            filled: self.slots[0],
            unfilled: self.slots[1],
            days,
            creatives: self.creatives,
            campaigns: self.campaigns.iter().map(reach).collect(),
            flights: flights
                .map(|(number, flight)| {
                    let flight_id = first_ad(number).flight_id.0;
                    flight_line(flight_id, flight, delivered.get(&flight_id).copied().unwrap_or(0))
                })
                .collect(),
            onset: Onset {
                hour_at_ms: script.onset.0,
                campaign_id: capped.map_or(0, |number| first_ad(number).campaign_id.0),
                before: self.capped[0],
                after: self.capped[1],
            },
            sent: self.sent,
        }
    }
}

fn flight_line(flight_id: u32, flight: &crate::script::ScriptedFlight, delivered: u64) -> FlightLine {
    let shortfall = flight.committed.saturating_sub(delivered);
    let thousandfold = i128::from(shortfall) * i128::from(flight.cpm_micros);
    FlightLine {
        flight_id,
        slug: flight.slug.clone(),
        role: flight.role,
        ends_at_ms: flight.ends_at.0,
        committed: flight.committed,
        delivered,
        cpm_micros: flight.cpm_micros,
        currency: flight.currency.into(),
        shortfall,
        liability_micros: i64::try_from((thousandfold + 500) / 1_000).unwrap_or(i64::MAX),
    }
}

pub(crate) fn day_name(at: UnixMillis) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or_default()).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

type Key = (u32, u32, String);

/// Numbers keys in the order they come.
#[derive(Default)]
struct Places {
    all: Vec<Key>,
    known: BTreeMap<Key, usize>,
}

impl Places {
    fn of(&mut self, key: Key) -> usize {
        let next = self.all.len();
        let place = *self.known.entry(key.clone()).or_insert(next);
        if place == next {
            self.all.push(key);
        }
        place
    }
}
