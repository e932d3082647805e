//! The sums while they are made.

use std::collections::BTreeMap;

use slotkeeper_core::{
    beacon::Event,
    impression::Quartile,
    pod::{FillReason, UnfilledReason},
    time::UnixMillis,
};

use super::{
    AdKey, CampaignLine, CreativeLine, DayLine, EarnedLine, FlightLine, HourLine, HourTruth, Onset, PlaceLine,
    QuarterLine, Sent, Sums, Truth, WatchedLine, reach::Reach,
};
use crate::{
    ads::{Ad, Ads},
    audience::{COUNTRIES, DEVICES},
    breaks::{POSITIONS, Slot},
    params::{DAY_MS, HOUR_MS, MINUTE_MS, Params},
    script::{Role, Script},
};

/// What a slot can come to: three ways of being filled, and every reason of being empty.
const OUTCOMES: usize = 3 + UnfilledReason::ALL.len();
const QUARTER_MS: u64 = 15 * MINUTE_MS;
/// What impressions are summed by beside their day and their ad.
const WATCHED_BY: [&str; 4] = ["title", "position", "country", "device"];

/// A slot that stands, and what its viewer's player proved of it.
pub(crate) struct Stood {
    pub(crate) opened_at: UnixMillis,
    pub(crate) title: usize,
    pub(crate) position: usize,
    pub(crate) country: usize,
    pub(crate) device: &'static str,
    pub(crate) viewer: u64,
    pub(crate) slot: Slot,
    pub(crate) is_crawler: bool,
    /// By event code.
    pub(crate) proved: u32,
}

pub(crate) struct Tally {
    starts_at: UnixMillis,
    /// Whether anything tells where and on what was watched.
    decisions: bool,
    titles: usize,
    countries: Places<&'static str>,
    currencies: Places<String>,
    keys: Places<AdKey>,
    /// Of each ad, its place among the keys, the creatives and the currencies.
    places: Vec<[usize; 3]>,
    days: Vec<Vec<Sums>>,
    /// Of each of [`WATCHED_BY`], by key and currency.
    watched: [Vec<Vec<Sums>>; WATCHED_BY.len()],
    creatives: Vec<CreativeLine>,
    reach: Reach,
    hour: Hour,
    slots: [u64; 2],
    onset: UnixMillis,
    capped: [[u64; 2]; 2],
    pub(crate) sent: Sent,
}

/// The present hour.
struct Hour {
    at: UnixMillis,
    /// By title, position and outcome: all, and crawlers'.
    slots: Vec<[u64; 2]>,
    /// By country, device and outcome.
    places: Vec<u64>,
    /// By position and currency.
    earned: Vec<i64>,
    /// Of each quarter, its slots, and what each flight delivered.
    quarters: [(u64, BTreeMap<u32, u64>); 4],
}

impl Tally {
    pub(crate) fn of(params: &Params, script: &Script, ads: &Ads) -> Self {
        let (mut keys, mut creatives, mut currencies) = (Places::default(), Places::default(), Places::default());
        let place =
            |ad: &Ad| [keys.of(key_of(ad)), creatives.of(ad.booking.creative_id.0), currencies.of(ad.currency.clone())];
        let places = ads.all.iter().map(place).collect();
        let mut countries = Places::default();
        for country in &COUNTRIES {
            countries.of(country.code);
        }
        let titles = params.titles as usize;
        let sums = |keys: usize| vec![vec![Sums::default(); currencies.all.len()]; keys];
        let watched = [titles, POSITIONS.len(), countries.all.len(), DEVICES.len()].map(sums);
        let creative = |id: &u32| CreativeLine { creative_id: *id, ..CreativeLine::default() };
        Self {
            starts_at: params.starts_at(),
            decisions: params.decisions,
            titles,
            places,
            days: vec![vec![Sums::default(); keys.all.len()]; params.days as usize],
            watched,
            creatives: creatives.all.iter().map(creative).collect(),
            reach: Reach::of(keys.all.len(), params.viewers),
            hour: Hour {
                at: params.starts_at(),
                slots: vec![[0; 2]; titles * POSITIONS.len() * OUTCOMES],
                places: vec![0; countries.all.len() * DEVICES.len() * OUTCOMES],
                earned: vec![0; POSITIONS.len() * currencies.all.len()],
                quarters: Default::default(),
            },
            countries,
            currencies,
            keys,
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
        let slots = &mut self.hour.slots[(stood.title * POSITIONS.len() + stood.position) * OUTCOMES + outcome];
        slots[0] += 1;
        slots[1] += u64::from(stood.is_crawler);
        let place = self.country(stood) * DEVICES.len() + device(stood);
        self.hour.places[place * OUTCOMES + outcome] += 1;
        self.hour.quarter(stood).0 += 1;
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

    fn country(&self, stood: &Stood) -> usize {
        self.countries.known[COUNTRIES[stood.country].code]
    }

    fn count_fill(&mut self, place: usize, ad: &Ad, stood: &Stood) {
        let has = |event: Event| stood.proved >> event.code() & 1 == 1;
        let quartiles = Quartile::ALL.iter().take_while(|quartile| has(quartile.event())).count();
        let began = quartiles > 0;
        let needed = Quartile::ALL.iter().position(|one| *one == ad.threshold).unwrap_or_default() + 1;
        let delivered = !stood.is_crawler && quartiles >= needed;
        let day = usize::try_from(stood.opened_at.since_ms(self.starts_at) / DAY_MS).unwrap_or_default();
        let [key, creative, currency] = self.places[place];

        let sums = Sums {
            filled: 1,
            impressed: u64::from(began),
            released: u64::from(!began && (has(Event::Error) || has(Event::NotUsed))),
            delivered: u64::from(delivered),
            first_quartiles: u64::from(quartiles >= 2),
            midpoints: u64::from(quartiles >= 3),
            third_quartiles: u64::from(quartiles >= 4),
            completes: u64::from(quartiles == 5),
            skips: u64::from(began && has(Event::Skip)),
            errors: u64::from(began && has(Event::Error)),
            revenue_micros: if delivered { ad.price_micros } else { 0 },
            impressed_invalid: u64::from(began && stood.is_crawler),
            completes_invalid: u64::from(quartiles == 5 && stood.is_crawler),
        };
        self.days[day][key].add(&sums);
        let watched = [stood.title, stood.position, self.country(stood), device(stood)];
        for (by, key) in self.watched.iter_mut().zip(watched) {
            by[key][currency].add(&sums);
        }

        let of = &mut self.creatives[creative];
        of.filled += 1;
        of.reached.iter_mut().take(quartiles).for_each(|reached| *reached += 1);
        of.skips += sums.skips;
        of.errors += sums.errors;
        of.viewable += u64::from(began && has(Event::Viewable));

        self.hour.earned[stood.position * self.currencies.all.len() + currency] += sums.revenue_micros;
        let flight_id = ad.booking.flight_id.0;
        if delivered && flight_id != 0 {
            *self.hour.quarter(stood).1.entry(flight_id).or_default() += 1;
        }
        if began && !stood.is_crawler {
            self.reach.add(key, stood.viewer);
        }
    }

    /// Ends an hour: no slot of it comes any more.
    pub(crate) fn end_hour(&mut self) -> HourTruth {
        let hour_at_ms = self.hour.at.0;
        let mut told = HourTruth::default();
        for title in 0..self.titles {
            for (place, position) in POSITIONS.iter().enumerate() {
                for outcome in 0..OUTCOMES {
                    let slots = &mut self.hour.slots[(title * POSITIONS.len() + place) * OUTCOMES + outcome];
                    let [slots, invalid] = std::mem::take(slots);
                    if slots == 0 {
                        continue;
                    }
                    let (outcome, reason) = outcome_name(outcome);
                    told.slots.push(HourLine {
                        hour_at_ms,
                        title_id: Script::title(title),
                        position: position.as_str().into(),
                        outcome,
                        reason,
                        slots,
                        invalid,
                    });
                }
            }
        }
        self.end_places(&mut told);
        for (place, position) in POSITIONS.iter().enumerate() {
            for (at, currency) in self.currencies.all.iter().enumerate() {
                let earned = &mut self.hour.earned[place * self.currencies.all.len() + at];
                let revenue_micros = std::mem::take(earned);
                if revenue_micros != 0 {
                    let (position, currency) = (position.as_str().into(), currency.clone());
                    told.earned.push(EarnedLine { hour_at_ms, position, currency, revenue_micros });
                }
            }
        }
        for (index, (slots, delivered)) in std::mem::take(&mut self.hour.quarters).into_iter().enumerate() {
            told.quarters.push(QuarterLine { quarter_at_ms: hour_at_ms + index as u64 * QUARTER_MS, slots, delivered });
        }
        self.hour.at = self.hour.at.plus_ms(HOUR_MS);
        told
    }

    /// Without decisions, nobody knows where and on what: then all is of the same place.
    fn end_places(&mut self, told: &mut HourTruth) {
        let mut sums = BTreeMap::new();
        for (place, slots) in self.hour.places.iter_mut().enumerate() {
            let slots = std::mem::take(slots);
            let (place, outcome) = (place / OUTCOMES, place % OUTCOMES);
            let (country, device) = (self.countries.all[place / DEVICES.len()], DEVICES[place % DEVICES.len()].0);
            let known = self.decisions.then_some((country, device));
            if slots > 0 {
                *sums.entry((known, outcome)).or_default() += slots;
            }
        }
        for ((known, outcome), slots) in sums {
            let (outcome, reason) = outcome_name(outcome);
            told.places.push(PlaceLine {
                hour_at_ms: self.hour.at.0,
                country: known.map(|(country, _)| country.into()),
                device: known.map(|(_, device)| device.into()),
                outcome,
                reason,
                slots,
            });
        }
    }

    /// The truth, once everything has happened; of no breaks event by event.
    pub(crate) fn end(self, script: &Script, ads: &Ads) -> Truth {
        let mut delivered = BTreeMap::<u32, u64>::new();
        let mut days = Vec::new();
        for (day, sums) in self.days.iter().enumerate() {
            let day = day_name(self.starts_at.plus_ms(day as u64 * DAY_MS));
            for (key, sums) in self.keys.all.iter().zip(sums) {
                *delivered.entry(key.flight_id).or_default() += sums.delivered;
                if sums.filled > 0 {
                    days.push(DayLine { day: day.clone(), of: key.clone(), sums: *sums });
                }
            }
        }
        let reach = self.reach.lines(&self.keys.all);
        let of_campaign = reach.iter().filter(|line| line.by == "campaign");
        let campaign = |line: &super::ReachLine| CampaignLine {
            campaign_id: line.id,
            viewers: line.viewers.iter().map(|[_, viewers]| viewers).sum(),
        };
        let campaigns = of_campaign.map(campaign).collect();
        let watched = self.watched_lines();
        let first_ad = |number: usize| &ads.all[ads.of_flight[number].0].booking;
        let capped = script.flights.iter().position(|flight| flight.role == Role::Capped);
        let flights = script.flights.iter().enumerate().filter(|(_, flight)| flight.role != Role::House);
        Truth {
            slots: self.slots[0] + self.slots[1],
            filled: self.slots[0],
            unfilled: self.slots[1],
            days,
            watched,
            creatives: self.creatives,
            campaigns,
            reach,
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
            sessions: vec![],
            sent: self.sent,
        }
    }

    fn watched_lines(&self) -> Vec<WatchedLine> {
        let mut sums = BTreeMap::<(usize, Option<String>, &String), Sums>::new();
        for (by, keys) in self.watched.iter().enumerate() {
            for (key, currencies) in keys.iter().enumerate() {
                let key = match by {
                    0 => Some(Script::title(key)),
                    1 => Some(POSITIONS[key].as_str().into()),
                    2 => self.decisions.then(|| self.countries.all[key].into()),
                    _ => self.decisions.then(|| DEVICES[key].0.into()),
                };
                for (currency, of) in self.currencies.all.iter().zip(currencies).filter(|(_, sums)| sums.filled > 0) {
                    sums.entry((by, key.clone(), currency)).or_default().add(of);
                }
            }
        }
        let line = |((by, key, currency), sums): ((usize, Option<String>, &String), Sums)| WatchedLine {
            by: WATCHED_BY[by].into(),
            key,
            currency: currency.clone(),
            sums,
        };
        sums.into_iter().map(line).collect()
    }
}

impl Hour {
    fn quarter(&mut self, stood: &Stood) -> &mut (u64, BTreeMap<u32, u64>) {
        let index = usize::try_from(stood.opened_at.since_ms(self.at) / QUARTER_MS).unwrap_or_default();
        &mut self.quarters[index.min(3)]
    }
}

fn key_of(ad: &Ad) -> AdKey {
    AdKey {
        flight_id: ad.booking.flight_id.0,
        advertiser_id: ad.booking.advertiser_id.0,
        campaign_id: ad.booking.campaign_id.0,
        creative_id: ad.booking.creative_id.0,
        currency: ad.currency.clone(),
    }
}

fn device(stood: &Stood) -> usize {
    DEVICES.iter().position(|(name, _)| *name == stood.device).unwrap_or_default()
}

/// filled or unfilled, and why.
fn outcome_name(outcome: usize) -> (String, String) {
    let filled = ["guaranteed", "auction", "house_ad"];
    match outcome.checked_sub(3) {
        Some(reason) => ("unfilled".into(), UnfilledReason::ALL[reason].as_str().into()),
        None => ("filled".into(), filled[outcome].into()),
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

/// Numbers keys in the order they come.
struct Places<K> {
    all: Vec<K>,
    known: BTreeMap<K, usize>,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self { all: vec![], known: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Places<K> {
    fn of(&mut self, key: K) -> usize {
        let next = self.all.len();
        let place = *self.known.entry(key.clone()).or_insert(next);
        if place == next {
            self.all.push(key);
        }
        place
    }
}
