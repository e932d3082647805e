//! `slotkeeper contracts`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use slotkeeper::{
    clock,
    contracts::{self, BookedAd, BookedFlight, Frequency, Per, scope_name},
    data_dir::DataDir,
    plan::delivered,
    say, tell,
};
use slotkeeper_core::{
    caps::{Cap, CapScope, Window},
    contract::{Placement, PodPosition},
    id::FlightId,
    money::Money,
    plan::Targeting,
};

use super::Data;
use crate::table;

#[derive(Subcommand)]
pub(crate) enum Contracts {
    /// Book what a file says: advertisers, campaigns, creatives, flights, titles. All of it or, if anything is wrong,
    /// none. What the file does not mention stays as it is
    Import(Import),
    /// Show the flights that are booked, with what is delivered of them
    List(List),
    /// Show one flight with every cap its ads are under, and what each is booked on
    Show(Show),
}

#[derive(Args)]
pub(crate) struct Import {
    #[command(flatten)]
    data: Data,
    /// TOML or JSON, by its extension
    file: PathBuf,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    data: Data,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    data: Data,
    /// Its id in the contracts file
    flight: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const CAPS_HEAD: &str = "caps";
const HEADS: [&str; 11] = [
    "flight",
    "advertiser",
    "campaign",
    "sold as",
    "from",
    "until",
    "delivered",
    "CPM",
    "counts at",
    CAPS_HEAD,
    "state",
];

impl Contracts {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import(import) => import.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let mut contracts = contracts::Contracts::open(&data.contracts())?;
        match contracts.import_file(&self.file) {
            Ok(imported) => {
                let said: Vec<String> = imported
                    .iter()
                    .map(|(kind, tally)| format!("{} {kind} ({} new or changed)", tally.in_file, tally.written))
                    .collect();
                say!("booked: {}", said.join(", "));
                slotkeeper::dims::export(&data)?;
                say_unresolved(contracts.booked()?.unresolved());
                Ok(ExitCode::SUCCESS)
            }
            Err(contracts::ImportError::Invalid(invalid)) => {
                tell!("{invalid}");
                tell!("slotkeeper: nothing was booked");
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let booked = contracts::Contracts::open(&data.contracts())?.booked()?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&booked)?);
            return Ok(ExitCode::SUCCESS);
        }
        let delivered = delivered(&data.fold())?.impressions;
        let rows: Vec<_> = booked.flights.iter().map(|flight| row(flight, &delivered)).collect();
        table::print(HEADS, &rows);
        say!("{} flights, {} titles", booked.flights.len(), booked.titles.len());
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let booked = contracts::Contracts::open(&data.contracts())?.booked()?;
        let Some(flight) = booked.flights.iter().find(|flight| flight.slug == self.flight) else {
            bail!("flight {:?} is not booked; `slotkeeper contracts list` shows those that are", self.flight);
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(flight)?);
            return Ok(ExitCode::SUCCESS);
        }
        let delivered = delivered(&data.fold())?.impressions;
        let names = HEADS.into_iter().zip(row(flight, &delivered));
        for (head, value) in names.filter(|(head, _)| *head != CAPS_HEAD) {
            say!("{head:<12}{value}");
        }
        for (term, value) in terms(flight) {
            say!("{term:<12}{value}");
        }
        say!("\nIt shows these creatives:\n");
        table::print(
            ["creative", "weight", "length", "video", "click", "trackers"],
            &flight.ads.iter().map(shown).collect::<Vec<_>>(),
        );
        let rows: Vec<_> = bookings(flight).flat_map(|booking| booking.rows()).collect();
        if rows.is_empty() {
            say!("\nIts ads are under no caps");
            return Ok(ExitCode::SUCCESS);
        }
        say!("\nIts ads are under these caps, all at once:\n");
        table::print(["counts showings of the", "at most", "per", "booked on", "in time zone"], &rows);
        Ok(ExitCode::SUCCESS)
    }
}

/// The terms of a flight beside those in the table of all, in the words of a contracts file; only those that are booked.
fn terms(flight: &BookedFlight) -> Vec<(&'static str, String)> {
    let mut terms = vec![];
    if flight.placement != Placement::Ad {
        terms.push(("placement", word(&flight.placement)));
    }
    if flight.pod_position != PodPosition::Any {
        terms.push(("in the pod", word(&flight.pod_position)));
    }
    if !flight.dayparts.is_empty() {
        let dayparts: Vec<String> = flight.dayparts.iter().map(ToString::to_string).collect();
        terms.push(("airs", format!("{} ({})", dayparts.join(", "), flight.frequency.time_zone)));
    }
    if !flight.ratings.is_empty() {
        terms.push(("ratings", words(&flight.ratings)));
    }
    for (term, audience) in [("targeting", &flight.targeting), ("exclude", &flight.exclusion)] {
        if !audience.is_empty() {
            terms.push((term, dimensions(audience)));
        }
    }
    terms
}

/// `countries US, CA; devices tv`.
fn dimensions(audience: &Targeting) -> String {
    let Targeting { titles, genres, positions, tiers, countries, devices, regions, segments, ratings } = audience;
    let named = [
        ("titles", titles),
        ("genres", genres),
        ("positions", positions),
        ("tiers", tiers),
        ("countries", countries),
        ("regions", regions),
        ("devices", devices),
        ("segments", segments),
    ];
    let named = named.into_iter().map(|(name, values)| (name, values.join(", ")));
    let told = named.chain([("ratings", words(ratings))]).filter(|(_, values)| !values.is_empty());
    told.map(|(name, values)| format!("{name} {values}")).collect::<Vec<_>>().join("; ")
}

/// The names of things that have one in a contracts file.
fn words<T: Serialize>(all: &[T]) -> String {
    all.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn word<T: Serialize>(one: &T) -> String {
    let named = serde_json::to_value(one).ok();
    named.as_ref().and_then(|name| name.as_str()).unwrap_or_default().into()
}

/// A creative as the table of one flight has it.
fn shown(ad: &BookedAd) -> [String; 6] {
    let files = || if ad.media.len() == 1 { "1 file".into() } else { format!("{} files", ad.media.len()) };
    let trackers = ad.trackers.len() + ad.presentation.trackers.len();
    [
        ad.creative.clone(),
        ad.weight.to_string(),
        if ad.is_showable() { format!("{} ms", ad.duration_ms) } else { "-".into() },
        ad.vast.clone().unwrap_or_else(files),
        ad.presentation.click_through.clone().unwrap_or_else(|| "-".into()),
        trackers.to_string(),
    ]
}

/// How many ids a line names.
const NAMED_MAX: usize = 10;

/// Says in one line which creatives are in no plan because nobody knows what they show; nothing if there are none.
pub(crate) fn say_unresolved<S: AsRef<str>>(creatives: impl IntoIterator<Item = S>) {
    let all: Vec<S> = creatives.into_iter().collect();
    if all.is_empty() {
        return;
    }
    let named: Vec<&str> = all.iter().take(NAMED_MAX).map(AsRef::as_ref).collect();
    let more = all.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    say!("in no plan, because the VAST of a third party is not resolved: {}{more}", named.join(", "));
}

/// What is booked on one thing that an ad belongs to.
struct Booking<'a> {
    on: CapScope,
    id: &'a str,
    frequency: &'a Frequency,
}

/// All that the ads of a flight are under, from the advertiser inwards.
fn bookings(flight: &BookedFlight) -> impl Iterator<Item = Booking<'_>> {
    let shared = [
        Booking { on: CapScope::Advertiser, id: &flight.advertiser, frequency: &flight.advertiser_frequency },
        Booking { on: CapScope::Campaign, id: &flight.campaign, frequency: &flight.campaign_frequency },
        Booking { on: CapScope::Flight, id: &flight.slug, frequency: &flight.frequency },
    ];
    let of_ads = flight.ads.iter();
    shared.into_iter().chain(of_ads.map(|ad| Booking {
        on: CapScope::Creative,
        id: &ad.creative,
        frequency: &ad.frequency,
    }))
}

impl Booking<'_> {
    /// As the table of one flight has them.
    fn rows(&self) -> Vec<[String; 5]> {
        let on = format!("{} {}", scope_name(self.on), self.id);
        let zone = |per: Per| if matches!(per, Per::Calendar { .. }) { self.frequency.time_zone.as_str() } else { "-" };
        let caps = self.frequency.caps.iter().map(|cap| {
            [scope_name(cap.scope).into(), cap.limit.to_string(), cap.per.to_string(), on.clone(), zone(cap.per).into()]
        });
        let gap = self
            .frequency
            .min_gap
            .map(|gap| [scope_name(self.on).into(), "1".into(), format!("{gap} (min_gap)"), on.clone(), "-".into()]);
        caps.chain(gap).collect()
    }

    /// As one word each: `campaign 3/1h`, `campaign gap 45m`. A creative's name the creative.
    fn words(&self) -> Vec<String> {
        let of = |word: String| if self.on == CapScope::Creative { format!("{}: {word}", self.id) } else { word };
        let caps = self.frequency.caps.iter().map(|cap| of(cap.to_string()));
        let gap = self.frequency.min_gap.map(|gap| of(format!("{} gap {gap}", scope_name(self.on))));
        caps.chain(gap).collect()
    }
}

/// Every cap of a flight, as booked.
fn booked_caps(flight: &BookedFlight) -> String {
    let words: Vec<String> = bookings(flight).flat_map(|booking| booking.words()).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

fn row(flight: &BookedFlight, delivered: &BTreeMap<FlightId, u64>) -> [String; 11] {
    let delivered = delivered.get(&flight.flight_id).copied().unwrap_or(0);
    let (sold_as, of, cpm) = match flight.committed_impressions {
        Some(committed) => ("guaranteed", format!("{delivered} of {committed}"), money(flight.cpm)),
        None => ("house", delivered.to_string(), "-".into()),
    };
    [
        flight.slug.clone(),
        flight.advertiser.clone(),
        flight.campaign.clone(),
        sold_as.into(),
        clock::shown(flight.starts_at),
        clock::shown(flight.ends_at),
        of,
        cpm,
        flight.completion_threshold.as_str().into(),
        booked_caps(flight),
        if flight.paused { "paused" } else { "booked" }.into(),
    ]
}

/// A plan's caps, in the words of a contracts file: `campaign 3/1h`.
pub(crate) fn caps(caps: &[Cap]) -> String {
    let one = |cap: &Cap| {
        let scope = scope_name(cap.scope);
        let window = match cap.window {
            Window::Break => "break".into(),
            Window::Session => "session".into(),
            Window::Calendar(_) => "calendar".into(),
            Window::Lifetime => "flight".into(),
            Window::Rolling { ms } if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
            Window::Rolling { ms } if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
            Window::Rolling { ms } => format!("{}m", ms / 60_000),
        };
        format!("{scope} {}/{window}", cap.limit)
    };
    if caps.is_empty() { "none".into() } else { caps.iter().map(one).collect::<Vec<_>>().join(", ") }
}

pub(crate) fn money(money: Money) -> String {
    let (units, micros) = (money.micros / 1_000_000, money.micros % 1_000_000);
    let decimals = format!("{micros:06}");
    let decimals = format!("{:0<2}", decimals.trim_end_matches('0'));
    format!("{units}.{decimals} {}", money.currency)
}
