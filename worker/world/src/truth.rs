//! What has to come out: sums of what was decided to happen, made as it was decided.
//!
//! A slot, its impression and its money count in the instant its break opened.

mod reach;
mod tally;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::script::Role;
pub(crate) use tally::{Stood, Tally};

/// Everything but what is told by hour, which is much: that is [`HourTruth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Slots that stand.
    pub slots: u64,
    /// Those with an ad.
    pub filled: u64,
    /// Those without.
    pub unfilled: u64,
    /// By day and ad, where there is anything.
    pub days: Vec<DayLine>,
    /// What was watched, where and on what, of the whole world.
    pub watched: Vec<WatchedLine>,
    /// By creative.
    pub creatives: Vec<CreativeLine>,
    /// How many people each campaign reached.
    pub campaigns: Vec<CampaignLine>,
    /// How many people each advertiser, campaign, flight and creative reached how often.
    pub reach: Vec<ReachLine>,
    /// How every guaranteed flight ends.
    pub flights: Vec<FlightLine>,
    /// When cap-blocking begins.
    pub onset: Onset,
    /// Some breaks, event by event.
    pub sessions: Vec<SessionLine>,
    /// What is in the log.
    pub sent: Sent,
}

/// A day (UTC) of an ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayLine {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// Its number, and to whom it belongs.
    #[serde(flatten)]
    pub of: AdKey,
    /// The sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// An ad by what it belongs to. Of what auctions sold, campaign, flight and advertiser are 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AdKey {
    /// Under which contract.
    pub flight_id: u32,
    /// Who buys.
    pub advertiser_id: u32,
    /// What they buy.
    pub campaign_id: u32,
    /// The video.
    pub creative_id: u32,
    /// ISO 4217.
    pub currency: String,
}

/// What became of the ads in one title, position, country or device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedLine {
    /// `title`, `position`, `country` or `device`.
    pub by: String,
    /// Which; none where no decision tells it.
    pub key: Option<String>,
    /// ISO 4217, of the ads.
    pub currency: String,
    /// The sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What became of fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Slots with an ad of it.
    pub filled: u64,
    /// Of them, those that provably began to play.
    pub impressed: u64,
    /// Of them, those that were reported not to play, and never began.
    pub released: u64,
    /// Impressions of viewers past the contract's threshold.
    pub delivered: u64,
    /// Impressions that reached a quarter without a gap.
    pub first_quartiles: u64,
    /// Impressions that reached the half, likewise.
    pub midpoints: u64,
    /// Impressions that reached three quarters, likewise.
    pub third_quartiles: u64,
    /// Impressions that reached their end, likewise.
    pub completes: u64,
    /// Impressions that were skipped.
    pub skips: u64,
    /// Impressions that failed.
    pub errors: u64,
    /// What they earned.
    pub revenue_micros: i64,
    /// Of `impressed`, those that were no viewer's.
    pub impressed_invalid: u64,
    /// Of `completes`, likewise.
    pub completes_invalid: u64,
}

/// What became of a creative's fills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreativeLine {
    /// Which.
    pub creative_id: u32,
    /// Slots with it.
    pub filled: u64,
    /// Impressions that reached each quartile without a gap: start, 25 %, 50 %, 75 %, end.
    pub reached: [u64; 5],
    /// Impressions that were skipped.
    pub skips: u64,
    /// Impressions that failed.
    pub errors: u64,
    /// Impressions that were seen.
    pub viewable: u64,
}

/// A campaign's reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignLine {
    /// 0 is all that auctions sold.
    pub campaign_id: u32,
    /// Viewers with at least one impression of it; no crawlers.
    pub viewers: u64,
}

/// Whom something reached, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachLine {
    /// `advertiser`, `campaign`, `flight` or `creative`.
    pub by: String,
    /// Which; 0 is all that auctions sold.
    pub id: u32,
    /// So many impressions, and how many viewers saw exactly as many; no crawlers.
    pub viewers: Vec<[u64; 2]>,
}

/// How a guaranteed flight ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlightLine {
    /// Which.
    pub flight_id: u32,
    /// Its id in the contracts file.
    pub slug: String,
    /// What it is there to show.
    pub role: Role,
    /// The instant after its last.
    pub ends_at_ms: u64,
    /// What was promised.
    pub committed: u64,
    /// What was delivered, however late it was told.
    pub delivered: u64,
    /// The price of a thousand.
    pub cpm_micros: i64,
    /// ISO 4217.
    pub currency: String,
    /// What is missing.
    pub shortfall: u64,
    /// What that is worth: shortfall × CPM / 1000, rounded half up once.
    pub liability_micros: i64,
}

/// The hour from which one flight's viewers have had enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onset {
    /// When it begins.
    pub hour_at_ms: u64,
    /// Of which campaign.
    pub campaign_id: u32,
    /// Of all slots before it, those that were `frequency_capped`; and all.
    pub before: [u64; 2],
    /// Likewise from it on.
    pub after: [u64; 2],
}

/// What was written to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Entries.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// All facts.
    pub facts: u64,
    /// Different decisions.
    pub decisions: u64,
    /// Different rows, of which some do not stand.
    pub rows: u64,
    /// Of them, those that another decision of their break supersedes.
    pub superseded_rows: u64,
    /// Decisions and rows that were sent again by another edge.
    pub repeated: u64,
    /// Beacons, each as often as it was sent.
    pub beacons: u64,
    /// Of them, those that had been sent before.
    pub repeated_beacons: u64,
    /// Those that came more than five minutes after what they tell of.
    pub late_beacons: u64,
    /// Those of crawlers.
    pub invalid_beacons: u64,
    /// Those whose token names another ad than the slot holds.
    pub forged_beacons: u64,
    /// Sessions that lost beacons, and how many.
    pub client_losses: u64,
    /// How many they lost.
    pub lost_beacons: u64,
}

/// A break, with every event that was told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Which.
    pub break_id: String,
    /// The session in which its player reports; of no other break.
    pub session: String,
    /// What was watched.
    pub title_id: String,
    /// Where it stood.
    pub position: String,
    /// As they were told.
    pub events: Vec<EventLine>,
}

/// An event of an ad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// The earliest that any beacon says.
    pub at_ms: u64,
    /// What, by its VAST name.
    pub event: String,
    /// Of which slot.
    pub opportunity_id: String,
    /// Its place in the break; none if the decision that stands has no such slot.
    pub slot_index: Option<u8>,
    /// Of which ad, by the token.
    pub ad_id: u32,
    /// Whether it proves anything.
    pub counts: bool,
    /// How often it was told.
    pub deliveries: u64,
    /// Of an error.
    pub error_code: Option<u16>,
}

/// All that is told of one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourTruth {
    /// Its slots by what was watched.
    pub slots: Vec<HourLine>,
    /// The same slots by where and on what.
    pub places: Vec<PlaceLine>,
    /// What they earned.
    pub earned: Vec<EarnedLine>,
    /// Its quarters.
    pub quarters: Vec<QuarterLine>,
}

/// Slots of one hour, title, position and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourLine {
    /// When the hour begins.
    pub hour_at_ms: u64,
    /// What was watched.
    pub title_id: String,
    /// Where the break stood.
    pub position: String,
    /// filled or unfilled.
    pub outcome: String,
    /// Why, either way.
    pub reason: String,
    /// How many.
    pub slots: u64,
    /// Of them, those of crawlers' breaks.
    pub invalid: u64,
}

/// Slots of one hour, country, device and outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceLine {
    /// When the hour begins.
    pub hour_at_ms: u64,
    /// Where; none where no decision tells it.
    pub country: Option<String>,
    /// On what; likewise.
    pub device: Option<String>,
    /// filled or unfilled.
    pub outcome: String,
    /// Why, either way.
    pub reason: String,
    /// How many.
    pub slots: u64,
}

/// What the slots of one hour and position earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarnedLine {
    /// When the hour begins.
    pub hour_at_ms: u64,
    /// Where the breaks stood.
    pub position: String,
    /// ISO 4217.
    pub currency: String,
    /// How much.
    pub revenue_micros: i64,
}

/// A quarter of an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarterLine {
    /// When it begins.
    pub quarter_at_ms: u64,
    /// Its slots.
    pub slots: u64,
    /// What each flight delivered, where it is anything.
    pub delivered: BTreeMap<u32, u64>,
}

/// Figures by name, for holding one set of books against another. What is 0 may be left out.
pub type Figures = BTreeMap<String, i128>;

/// A figure that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub figure: String,
    /// What the truth says.
    pub expected: i128,
    /// What was found.
    pub found: i128,
}

/// All figures of which `found` says other than the truth.
pub fn differences(expected: &Figures, found: &Figures) -> Vec<Difference> {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let of = |figures: &Figures, name: &String| figures.get(name).copied().unwrap_or(0);
    let difference = |name: &String| {
        let (expected, found) = (of(expected, name), of(found, name));
        (expected != found).then(|| Difference { figure: name.clone(), expected, found })
    };
    names.into_iter().filter_map(difference).collect()
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.filled += other.filled;
        self.impressed += other.impressed;
        self.released += other.released;
        self.delivered += other.delivered;
        self.first_quartiles += other.first_quartiles;
        self.midpoints += other.midpoints;
        self.third_quartiles += other.third_quartiles;
        self.completes += other.completes;
        self.skips += other.skips;
        self.errors += other.errors;
        self.revenue_micros += other.revenue_micros;
        self.impressed_invalid += other.impressed_invalid;
        self.completes_invalid += other.completes_invalid;
    }

    /// The figures of a flight's day.
    pub fn figures_into(&self, figures: &mut Figures, day: &str, flight_id: u32, currency: &str) {
        let mut add = |name: String, value: i128| *figures.entry(name).or_default() += value;
        let counts = [
            ("filled", self.filled),
            ("impressed", self.impressed),
            ("released", self.released),
            ("delivered", self.delivered),
            ("completes", self.completes),
        ];
        for (what, count) in counts {
            add(format!("{day} flight {flight_id}: {what}"), count.into());
        }
        if self.revenue_micros != 0 {
            add(format!("{day} flight {flight_id}: revenue_micros {currency}"), self.revenue_micros.into());
        }
    }
}

impl CreativeLine {
    /// Its figures.
    pub fn figures_into(&self, figures: &mut Figures) {
        let id = self.creative_id;
        let reached = ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete"].into_iter().zip(self.reached);
        let counts = reached.chain([("filled", self.filled), ("skips", self.skips), ("errors", self.errors)]);
        for (what, count) in counts {
            *figures.entry(format!("creative {id}: {what}")).or_default() += i128::from(count);
        }
    }
}

impl Truth {
    /// The figures that a fold can be held against.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::new();
        for (name, value) in [("slots", self.slots), ("filled", self.filled), ("unfilled", self.unfilled)] {
            figures.insert(name.into(), value.into());
        }
        for line in &self.days {
            line.sums.figures_into(&mut figures, &line.day, line.of.flight_id, &line.of.currency);
        }
        self.creatives.iter().for_each(|line| line.figures_into(&mut figures));
        for line in &self.campaigns {
            figures.insert(format!("campaign {}: reach", line.campaign_id), line.viewers.into());
        }
        figures
    }
}

impl HourLine {
    /// Its figures.
    pub fn figures_into(&self, figures: &mut Figures) {
        let Self { hour_at_ms, title_id, position, outcome, reason, .. } = self;
        let name = format!("hour {hour_at_ms} {title_id} {position} {outcome} {reason}");
        *figures.entry(format!("{name}: invalid")).or_default() += i128::from(self.invalid);
        *figures.entry(name + ": slots").or_default() += i128::from(self.slots);
    }
}
