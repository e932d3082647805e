//! Who books what: the contracts of a world, and how its people will take to each ad.

use std::fmt::Write as _;

use jiff::{ToSpan as _, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use slotkeeper_core::{impression::Quartile, time::UnixMillis};

use crate::{
    breaks,
    dice::Dice,
    params::{DAY_MS, HOUR_MS, InvalidParams, Params},
    tide::Tide,
};

/// One for every role.
pub const FLIGHTS_MIN: u32 = 8;
const CURRENCIES: [&str; 5] = ["USD", "EUR", "GBP", "JPY", "INR"];
const RATINGS: [&str; 5] = ["TV-Y7", "TV-G", "TV-PG", "TV-14", "TV-MA"];

/// What a flight is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It delivers about what was promised.
    Steady,
    /// It ends about 40 % short.
    Failing,
    /// It delivers about 15 % more than was promised.
    OverDelivering,
    /// It ends in the middle of a day in the middle of the world, by the clock of India, whose offset is no whole hour.
    EndsMidDay,
    /// It is paused after a third of the time, and so ends short.
    Paused,
    /// From an hour on, most of its viewers have reached its cap: `frequency_capped`.
    Capped,
    /// Our own promotion.
    House,
}

/// A flight as booked, and how it will go.
#[derive(Clone, Debug)]
pub struct ScriptedFlight {
    /// Its id in the contracts file.
    pub slug: String,
    /// Its campaign's.
    pub campaign: String,
    /// Its advertiser's.
    pub advertiser: String,
    /// What it is there to show.
    pub role: Role,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
    /// From here on it is not sold any more.
    pub sold_until: UnixMillis,
    /// What was promised; 0 of a house flight.
    pub committed: u64,
    /// Millionths of the currency for a thousand; 0 of a house flight.
    pub cpm_micros: i64,
    /// ISO 4217.
    pub currency: &'static str,
    /// How far an impression must play to count.
    pub threshold: Quartile,
    /// What it shows.
    pub creatives: Vec<ScriptedCreative>,
    pub(crate) has_cap: bool,
    pub(crate) weight: u64,
    start: DateTime,
    end: DateTime,
    zone: &'static str,
}

/// A creative, and how long people stay with it.
#[derive(Clone, Debug)]
pub struct ScriptedCreative {
    /// Its id in the contracts file.
    pub slug: String,
    /// Its length.
    pub duration_ms: u32,
    /// Of those who reached the quartile before, how many in ten thousand reach the first, second, third and the end.
    pub(crate) stays: [u32; 4],
}

/// All that is booked.
#[derive(Clone, Debug)]
pub struct Script {
    /// In the order of the file.
    pub flights: Vec<ScriptedFlight>,
    /// From here on, the capped flight's viewers have had enough.
    pub onset: UnixMillis,
    titles: u32,
}

impl Script {
    /// Writes the contracts of a world.
    pub fn of(params: &Params) -> Result<Self, InvalidParams> {
        params.check()?;
        let mut dice = Dice::of(params.seed, 1);
        let span = u64::from(params.days) * 24;
        let onset = params.starts_at().plus_ms(span * 6 / 10 * HOUR_MS);
        let mut flights: Vec<ScriptedFlight> =
            (0..params.flights).map(|number| flight(params, number, &mut dice)).collect();
        let promised = promise(params, &flights, onset);
        for (flight, expected) in flights.iter_mut().zip(promised) {
            let percent = match flight.role {
                Role::Failing => 60,
                Role::OverDelivering => 115,
                Role::Steady | Role::EndsMidDay | Role::Paused | Role::Capped => 100,
                Role::House => continue,
            };
            flight.committed = (expected * 100 / percent).max(1);
        }
        Ok(Self { flights, onset, titles: params.titles })
    }

    /// The id of a title in the contracts file.
    pub fn title(number: usize) -> String {
        format!("title-{number:04}")
    }

    /// The contracts file as it is booked first, with nothing paused; and as it is afterwards.
    pub fn contracts(&self) -> [String; 2] {
        [self.toml(Pausing::NotYet), self.toml(Pausing::Done)]
    }

    fn toml(&self, pausing: Pausing) -> String {
        let mut text = String::from("# Made by `slotkeeper generate`: nobody in it exists.\n");
        for (first, flight) in firsts(&self.flights, |flight| &flight.advertiser) {
            let id = &flight.advertiser;
            if first {
                let _ = write!(text, "\n[[advertisers]]\nid = \"{id}\"\nname = \"{id}\"\n");
            }
        }
        for (first, flight) in firsts(&self.flights, |flight| &flight.campaign) {
            let (id, advertiser) = (&flight.campaign, &flight.advertiser);
            if first {
                let _ =
                    write!(text, "\n[[campaigns]]\nid = \"{id}\"\nadvertiser = \"{advertiser}\"\nname = \"{id}\"\n");
            }
        }
        for flight in &self.flights {
            flight.creatives.iter().for_each(|creative| write_creative(&mut text, &flight.advertiser, creative));
        }
        self.flights.iter().for_each(|flight| write_flight(&mut text, flight, pausing));
        for number in 0..self.titles as usize {
            let (id, rating) = (Self::title(number), RATINGS[number % RATINGS.len()]);
            let _ = write!(text, "\n[[titles]]\nid = \"{id}\"\nname = \"{id}\"\nrating = \"{rating}\"\n");
        }
        text
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pausing {
    NotYet,
    Done,
}

/// Each flight, with whether it is the first with this value.
fn firsts(
    flights: &[ScriptedFlight],
    of: fn(&ScriptedFlight) -> &String,
) -> impl Iterator<Item = (bool, &ScriptedFlight)> {
    let mut seen = std::collections::BTreeSet::new();
    flights.iter().map(move |flight| (seen.insert(of(flight)), flight))
}

fn write_creative(text: &mut String, advertiser: &str, creative: &ScriptedCreative) {
    let (id, ms) = (&creative.slug, creative.duration_ms);
    let _ = write!(
        text,
        "\n[[creatives]]\nid = \"{id}\"\nadvertiser = \"{advertiser}\"\nname = \"{id}\"\nduration_ms = {ms}\n\
         [[creatives.media]]\nurl = \"https://media.example/{id}.mp4\"\nmime_type = \"video/mp4\"\nwidth = 1280\nheight = 720\n"
    );
}

fn write_flight(text: &mut String, flight: &ScriptedFlight, pausing: Pausing) {
    let (id, campaign, zone) = (&flight.slug, &flight.campaign, flight.zone);
    let class = if flight.role == Role::House { "house" } else { "guaranteed" };
    let _ = write!(
        text,
        "\n[[flights]]\nid = \"{id}\"\ncampaign = \"{campaign}\"\nclass = \"{class}\"\nstart = \"{}\"\nend = \"{}\"\n\
         time_zone = \"{zone}\"\ncompletion_threshold = \"{}\"\n",
        flight.start,
        flight.end,
        flight.threshold.as_str()
    );
    if flight.role == Role::House {
        let _ = writeln!(text, "weight = 10");
    } else {
        let (units, micros) = (flight.cpm_micros / 1_000_000, flight.cpm_micros % 1_000_000);
        let (committed, currency) = (flight.committed, flight.currency);
        let _ = write!(
            text,
            "committed_impressions = {committed}\ncpm = \"{units}.{micros:06}\"\ncurrency = \"{currency}\"\n"
        );
    }
    if flight.has_cap {
        let _ = writeln!(text, "caps = [{{ limit = 4, per = \"day\" }}]");
    }
    if flight.role == Role::Paused && pausing == Pausing::Done {
        let _ = writeln!(text, "paused = true");
    }
    let creatives: Vec<String> = flight.creatives.iter().map(|creative| format!("\"{}\"", creative.slug)).collect();
    let _ = writeln!(text, "creatives = [{}]", creatives.join(", "));
}

fn role(number: u32) -> Role {
    match number {
        1 => Role::Failing,
        2 => Role::OverDelivering,
        3 => Role::EndsMidDay,
        4 => Role::Paused,
        5 => Role::Capped,
        6 => Role::House,
        _ => Role::Steady,
    }
}

fn flight(params: &Params, number: u32, dice: &mut Dice) -> ScriptedFlight {
    let role = role(number);
    let name = match role {
        Role::Steady => format!("steady-{number:04}"),
        Role::Failing => "failing".into(),
        Role::OverDelivering => "over-delivering".into(),
        Role::EndsMidDay => "ends-mid-day".into(),
        Role::Paused => "paused".into(),
        Role::Capped => "capped".into(),
        Role::House => "house".into(),
    };
    // Of the steady ones, two are in one campaign, and four of one advertiser.
    let group = |size: u32| if role == Role::Steady { format!("group-{:04}", number / size) } else { name.clone() };
    let zone = match role {
        Role::EndsMidDay => "Asia/Kolkata",
        _ => ["UTC", "America/New_York", "Europe/Berlin"][number as usize % 3],
    };
    let (start, end) = dates(params, role, number);
    let length = u64::from(params.days) * DAY_MS;
    let (starts_at, ends_at) = (instant(start, zone), instant(end, zone));
    let sold_until = if role == Role::Paused { params.starts_at().plus_ms(length / 3) } else { ends_at };
    let creatives = (0..=number % 3).map(|nth| creative(&name, nth, dice)).collect();
    ScriptedFlight {
        campaign: format!("campaign-{}", group(2)),
        advertiser: format!("advertiser-{}", group(4)),
        role,
        starts_at,
        ends_at,
        sold_until,
        committed: 0,
        // Prices of which no thousandth is a whole number of micros, too.
        cpm_micros: if role == Role::House { 0 } else { dice.between(8_000_000, 45_000_000).cast_signed() },
        currency: if role == Role::House { "XXX" } else { CURRENCIES[number as usize / 4 % CURRENCIES.len()] },
        threshold: if role == Role::House { Quartile::Start } else { Quartile::ALL[number as usize % 5] },
        creatives,
        has_cap: role == Role::Capped || number % 3 == 2,
        weight: if role == Role::Capped { 120 } else { dice.between(40, 100) } * u64::from(params.flights.min(24)),
        slug: format!("flight-{name}"),
        start,
        end,
        zone,
    }
}

/// The first and the last of a flight, by its own clock. All have begun before the first day, and most last as long as the world.
fn dates(params: &Params, role: Role, number: u32) -> (DateTime, DateTime) {
    let first = params.start.at(0, 0, 0, 0);
    let after = |days: u32| first.saturating_add(i64::from(days).days());
    let end = match role {
        Role::EndsMidDay => after(params.days / 2).saturating_add(12.hours().minutes(45)),
        // Before the world does, so that the last of them is known and the close of its month finds what is owed.
        Role::Failing | Role::OverDelivering => after(params.days.saturating_sub((params.days / 8).max(1)).max(1)),
        Role::Steady if number % 4 == 3 => after(params.days.max(2) * 2 / 3),
        Role::House => after(params.days + 30),
        _ => after(params.days),
    };
    // By their own clocks: from the day before, the first hours of the world are sold everywhere.
    let start = first.saturating_sub(1.day());
    (start, end)
}

fn instant(local: DateTime, zone: &str) -> UnixMillis {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let at = zone.to_ambiguous_zoned(local).compatible().map(|at| at.timestamp().as_millisecond());
    UnixMillis(at.ok().and_then(|at| u64::try_from(at).ok()).unwrap_or_default())
}

fn creative(flight: &str, nth: u32, dice: &mut Dice) -> ScriptedCreative {
    let mut stays = [0; 4].map(|_| u32::try_from(dice.between(9_400, 9_960)).unwrap_or(9_600));
    if flight == "failing" && nth == 1 {
        stays[1] = 6_000; // the one of which four in ten see less than the half
    }
    let duration_ms = [6_000, 15_000, 20_000, 30_000][dice.place(4)];
    ScriptedCreative { slug: format!("creative-{flight}-{nth}"), duration_ms, stays }
}

/// What each flight can be expected to deliver if all goes as it mostly does.
fn promise(params: &Params, flights: &[ScriptedFlight], onset: UnixMillis) -> Vec<u64> {
    let tide = Tide::of(params);
    let hours = usize::try_from(u64::from(params.days) * 24).unwrap_or_default();
    let mut shown = vec![0u64; flights.len()]; // in ten-thousandths
    for hour in 0..hours {
        let at = params.starts_at().plus_ms(hour as u64 * HOUR_MS);
        let is_sold = |flight: &&ScriptedFlight| flight.is_sold_at(at);
        let weight: u64 = flights.iter().filter(is_sold).map(|flight| flight.weight).sum();
        let slots = tide.slots_in(hour) * u64::from(breaks::guaranteed_in_10_000(params.decisions));
        for (shown, flight) in shown.iter_mut().zip(flights).filter(|(_, flight)| flight.is_sold_at(at)) {
            let capped = flight.role == Role::Capped && at >= onset;
            let left = if capped { u64::from(10_000 - breaks::CAPPED_AFTER_ONSET) } else { 10_000 };
            *shown += slots * flight.weight / weight.max(1) * left / 10_000;
        }
    }
    let delivered = |(shown, flight): (u64, &ScriptedFlight)| {
        let steps = Quartile::ALL.iter().position(|one| *one == flight.threshold).unwrap_or_default();
        let stay = |creative: &ScriptedCreative| {
            let began = u64::from(crate::playing::BEGINS);
            creative.stays.iter().take(steps).fold(began, |share, stays| share * u64::from(*stays) / 10_000)
        };
        let share = flight.creatives.iter().map(stay).sum::<u64>() / flight.creatives.len() as u64;
        shown / 10_000 * share / 10_000
    };
    shown.into_iter().zip(flights).map(delivered).collect()
}

impl ScriptedFlight {
    /// The zone of its calendar.
    pub fn zone(&self) -> &'static str {
        self.zone
    }

    pub(crate) fn is_sold_at(&self, at: UnixMillis) -> bool {
        self.role != Role::House && self.starts_at <= at && at < self.sold_until
    }
}
