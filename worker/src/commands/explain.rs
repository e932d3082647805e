//! `slotkeeper explain`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use slotkeeper::{
    clock,
    data_dir::DataDir,
    explain::{Candidate, ClaimShown, Explanation, Fate, Outcome, explain},
    fold::Place,
    replay::Replayer,
    say, tell,
};
use slotkeeper_core::{
    auction::{Auction, Offer},
    consent::Identity,
    contract::DemandClass,
    id::OpportunityId,
    time::UnixMillis,
};

use super::Data;
use crate::table;

/// What the program ends with when the decision made again is another than the stored one.
const DIFFERS: u8 = 3;

#[derive(Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    data: Data,
    /// Which slot: its `opportunity_id`
    opportunity: OpportunityId,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let data = DataDir::open(self.data.data)?;
        let mut replayer = Replayer::open(&data).context("opening the tables; `slotkeeper serve` makes them")?;
        let explanation = explain(&mut replayer, self.opportunity)?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&explanation)?);
        } else {
            print(&explanation, self.opportunity);
        }
        print_auction(&explanation.auction);
        if explanation.agrees() {
            return Ok(ExitCode::SUCCESS);
        }
        tell!("slotkeeper: law 9 is broken: deciding again gives another outcome than the one that is stored");
        tell!("  stored:   {}", in_words(&explanation.row.outcome));
        tell!("  replayed: {}", in_words(&explanation.replayed));
        for difference in &explanation.differences {
            tell!("  {}: stored {}, replayed {}", difference.column, difference.stored, difference.replayed);
        }
        Ok(ExitCode::from(DIFFERS))
    }
}

fn print(explanation: &Explanation, asked_for: OpportunityId) {
    let (row, asked) = (&explanation.row, &explanation.asked);
    say!("{}  {}", row.opportunity_id, in_words(&row.outcome));
    if row.place != Place::Standing {
        say!("  no row of this slot stands: another decision of its break does");
    } else if row.opportunity_id != asked_for.to_string() {
        say!("  it stands for the slot; the row {asked_for} was superseded");
    }
    if let Some(why) = &row.invalid_traffic {
        say!("  invalid traffic ({why}): it is never billed");
    }
    let at = clock::shown(UnixMillis(row.decided_at_ms));
    say!("  decided {at}, {}, decision {}", row.recording, row.decision_id);
    match &explanation.plan {
        Some(plan) => say!("  from plan {} with {} flights", plan.version, plan.flights),
        None => say!("  without a plan"),
    }
    for other in &explanation.superseded {
        say!("  superseded: {} {}, decision {}", other.recording, in_words(&other.outcome), other.decision_id);
    }
    let slots: Vec<String> = asked.slots_ms.iter().map(|ms| format!("{ms} ms")).collect();
    say!("asked: slot {} of {}, {} in {}", row.slot_index + 1, slots.len(), asked.position, asked.title_id);
    say!(
        "  slots of {}, together at most {}",
        slots.join(", "),
        or_any(asked.max_duration_ms.map(|ms| format!("{ms} ms")))
    );
    let given = [&asked.tier, &asked.country, &asked.region, &asked.device];
    let [tier, country, region, device] = given.map(|given| or_any(given.clone()));
    say!(
        "  tier {tier}, country {country}, region {region}, device {device}, session {}",
        if asked.has_session { "named" } else { "none" }
    );
    if !asked.segments.is_empty() {
        say!("  segments {}", asked.segments.join(", "));
    }
    if !asked.permissions.is_default() {
        let identity = match asked.permissions.identity {
            Identity::Profile => "from session to session",
            Identity::Session => "within this session",
        };
        let segments = if asked.permissions.no_segments { "no segments" } else { "segments" };
        say!("  the viewer allows: to be recognised {identity}, {segments}");
    }
    match &explanation.viewer.claims {
        None => say!("viewer {}: their claims were not known", explanation.viewer.viewer),
        Some(claims) if claims.is_empty() => say!("viewer {}: no claims", explanation.viewer.viewer),
        Some(claims) => {
            say!("viewer {}: {} claims", explanation.viewer.viewer, claims.len());
            let rows: Vec<_> = claims.iter().map(claim).collect();
            table::print(["  claim of", "advertiser", "state", "age", "lease left", "counts for", "slot"], &rows);
        }
    }
    say!(
        "candidates: {} looked at, {} require something else",
        explanation.candidates.len(),
        explanation.not_looked_at
    );
    let rows: Vec<_> = explanation.candidates.iter().map(candidate).collect();
    table::print(["  flight", "advertiser", "sold as", "fate", "because"], &rows);
    if explanation.agrees() {
        say!("decided again: the same, in every column");
    }
}

fn claim(claim: &ClaimShown) -> [String; 7] {
    let seconds = |ms: u64| format!("{} s", ms / 1_000);
    let state = serde_json::to_value(claim.state).ok();
    [
        format!("  {}", claim.flight.slug()),
        claim.advertiser.best(),
        state.as_ref().and_then(|state| state.as_str()).unwrap_or_default().into(),
        seconds(claim.age_ms),
        seconds(claim.lease_left_ms),
        seconds(claim.counts_for_ms),
        claim.opportunity_id.clone(),
    ]
}

fn candidate(candidate: &Candidate) -> [String; 5] {
    let fate = match (candidate.fate, candidate.reason) {
        (Fate::Won, _) => "won".into(),
        (Fate::Lost, Some(reason)) => reason.to_string(),
        (Fate::Lost, None) => "lost".into(),
        (Fate::Outranked, _) => "outranked".into(),
    };
    let class = if candidate.class == DemandClass::House { "house" } else { "guaranteed" };
    let flight = format!("  {}", candidate.flight.slug());
    [flight, candidate.advertiser.best(), class.into(), fate, candidate.because.clone()]
}

/// What an auction gave, if one was asked.
fn print_auction(auction: &Auction) {
    let (offers, refused) = match auction {
        Auction::NotAsked => return,
        Auction::Unavailable { why } => return say!("auction: not to be had: {why}"),
        Auction::Answered { offers, refused } => (offers, refused),
    };
    let codes: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let refused = if codes.is_empty() { String::new() } else { format!(", refused with {}", codes.join(", ")) };
    say!("auction: {} offers{refused}", offers.len());
    let row = |offer: &Offer| {
        let cpm = offer.record.cpm;
        let price = format!("{}.{:06} {}", cpm.micros / 1_000_000, cpm.micros % 1_000_000, cpm.currency);
        let ms = format!("{} ms", offer.record.duration_ms);
        [format!("  {}", offer.name), (offer.slot_index + 1).to_string(), price, ms]
    };
    let rows: Vec<_> = offers.iter().map(row).collect();
    table::print(["  offer", "for slot", "CPM", "lasts"], &rows);
}

fn in_words(outcome: &Outcome) -> String {
    let ad = outcome.ad.as_ref().map(|ad| {
        format!(" with {} ({}, flight {}, ad {})", ad.creative.best(), ad.advertiser.best(), ad.flight.slug(), ad.ad_id)
    });
    format!("{}, {}{}", outcome.outcome, outcome.reason, ad.unwrap_or_default())
}

fn or_any(given: Option<String>) -> String {
    given.unwrap_or_else(|| "not said".into())
}
