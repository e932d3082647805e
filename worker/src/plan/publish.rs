//! Publishing: making a plan and pushing it to every edge.

use std::{sync::Arc, time::Duration};

use slotkeeper_core::keys::Keyring;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, sleep},
};

use super::{Delivered, Feedback, MadePlan, MakePlanError, delivered, make, was_made_here};
use crate::{
    books, clock,
    contracts::Contracts,
    data_dir::DataDir,
    edges::{Edge, EdgeClient, EdgesSeen, PushOutcome, PushReport, push_all},
    fold::Progress,
    log::SqliteLog,
};

/// How long `serve` tries to reach an edge before it leaves it to the next plan.
const SERVE_PATIENCE: Duration = Duration::from_secs(10);
/// How long what was logged may wait to be folded before plans stop to act on what is folded.
const STALE_AFTER_MS: u64 = 5 * 60_000;
/// How often to look how far another process has folded the log.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Everything a publication needs.
#[derive(Clone)]
pub struct Publisher {
    /// Where the bookings and the fold are.
    pub data: DataDir,
    /// What plans are authenticated with.
    pub keys: Keyring,
    /// How the edges are called.
    pub client: EdgeClient,
    /// Who gets the plan.
    pub edges: Arc<[Edge]>,
    /// What media paths are prefixed with.
    pub public_url: Option<String>,
}

/// A plan and what became of it.
#[derive(Debug)]
pub struct Publication {
    /// Its version.
    pub version: u64,
    /// Each edge's part.
    pub reports: Vec<EdgeReport>,
    /// Creatives whose ads it leaves out, as [`MadePlan::unresolved`].
    pub unresolved: Vec<String>,
}

/// One edge's part in a publication.
#[derive(Debug)]
pub struct EdgeReport {
    /// What the edge said.
    pub push: PushReport,
    /// Whether the edge now decides from this plan, or from a newer one that this origin made meanwhile.
    pub taken: bool,
}

impl EdgeReport {
    /// What became of the plan at this edge, in words.
    pub fn result(&self) -> String {
        match &self.push.outcome {
            PushOutcome::Stored => "stored".into(),
            PushOutcome::AlreadyCurrent => "already current".into(),
            PushOutcome::Older if self.taken => "has a newer plan of this origin".into(),
            PushOutcome::Older => "refused: it has a newer plan, which was not made here".into(),
            PushOutcome::Failed(error) => format!("failed: {error}"),
        }
    }
}

impl Publisher {
    /// Makes the next plan, from a log that is folded at least up to `folded_to`, and pushes it to every edge for at most
    /// `patience`.
    pub async fn publish(&self, folded_to: u64, patience: Duration) -> Result<Publication, MakePlanError> {
        let made = self.blocking(move |publisher| publisher.make(folded_to)).await?;
        let reports = push_all(&self.client, &self.edges, &made.bytes, patience).await;
        let taken = |contracts: &mut Contracts, push: &PushReport| match (&push.outcome, push.after) {
            (PushOutcome::Stored | PushOutcome::AlreadyCurrent, _) => Ok(true),
            (PushOutcome::Older, Some(version)) => was_made_here(contracts, version),
            (PushOutcome::Older, None) | (PushOutcome::Failed(_), _) => Ok(false),
        };
        let reports = self.blocking(move |publisher| {
            let mut contracts = Contracts::open(&publisher.data.contracts())?;
            let report = |push: PushReport| Ok(EdgeReport { taken: taken(&mut contracts, &push)?, push });
            reports.into_iter().map(report).collect()
        });
        Ok(Publication { version: made.source.version, reports: reports.await?, unresolved: made.unresolved })
    }

    /// Makes the next plan, and keeps it. Makes none while the log is not folded up to `folded_to`.
    pub fn make(&self, folded_to: u64) -> Result<MadePlan, MakePlanError> {
        let mut contracts = Contracts::open(&self.data.contracts())?;
        let Delivered { consumed_seq, impressions } = delivered(&self.data.fold())?;
        if consumed_seq < folded_to {
            return Err(MakePlanError::NotFolded { consumed: consumed_seq, logged: folded_to });
        }
        let now = clock::now();
        let feedback = Feedback {
            delivered: impressions,
            slots: books::slots_before(&self.data, now)?,
            is_stale: books::oldest_not_in(&self.data, consumed_seq)?
                .is_some_and(|at| now.since_ms(at) > STALE_AFTER_MS),
        };
        make(&mut contracts, &feedback, self.public_url.as_deref(), &self.keys, now)
    }

    /// How far the log reaches now. Waits until it is folded so far, but for `patience` at most: that is for a `serve`
    /// beside this process, which may be a moment behind.
    pub async fn logged_and_folded(&self, patience: Duration) -> Result<u64, MakePlanError> {
        let deadline = Instant::now() + patience;
        let logged = self.blocking(|publisher| Ok(SqliteLog::last_seq_at(&publisher.data.log())?)).await?;
        loop {
            let consumed = self.blocking(|publisher| Ok(delivered(&publisher.data.fold())?.consumed_seq)).await?;
            if consumed >= logged {
                return Ok(logged);
            }
            if Instant::now() >= deadline {
                return Err(MakePlanError::NotFolded { consumed, logged });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn has_bookings(&self) -> Result<bool, MakePlanError> {
        let booked = Contracts::open(&self.data.contracts())?.booked()?;
        Ok(!booked.titles.is_empty() || !booked.flights.is_empty())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, MakePlanError> + Send + 'static,
    ) -> Result<T, MakePlanError> {
        let publisher = self.clone();
        match tokio::task::spawn_blocking(move || work(&publisher)).await {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// How far the log must be folded before a plan is made, and how far it is.
pub struct Folding {
    /// How far the log reached when the publishing began.
    pub logged: u64,
    /// How far it is folded.
    pub progress: watch::Receiver<Progress>,
}

impl Folding {
    /// Returns when the fold is there; whether it ever will be.
    async fn done(&mut self) -> bool {
        let consumed = self.progress.borrow().consumed_seq;
        if consumed < self.logged {
            crate::tell!(
                "slotkeeper: {consumed} of {} entries of the log are folded: no plan is published before all are, because \
                 what is delivered is not all counted; the edges keep the plan they have",
                self.logged
            );
        }
        self.progress.wait_for(|progress| progress.consumed_seq >= self.logged).await.is_ok()
    }
}

/// Publishes a fresh plan as soon as `folding` is done and every `every`, until `stop` turns true. Does nothing while
/// nothing is booked.
pub async fn keep_publishing(
    publisher: Publisher,
    every: Duration,
    mut folding: Folding,
    seen: EdgesSeen,
    mut stop: watch::Receiver<bool>,
) {
    tokio::select! {
        is_done = folding.done() => if !is_done { return }, // the fold has died, and said so
        _ = stop.wait_for(|stop| *stop) => return,
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let publish = async {
            if publisher.blocking(Publisher::has_bookings).await? {
                let publication = publisher.publish(folding.logged, SERVE_PATIENCE).await?;
                report(&publication);
                for edge in publisher.edges.iter() {
                    seen.note(edge, publisher.client.health(edge).await, clock::now());
                }
            }
            Ok::<_, MakePlanError>(())
        };
        tokio::select! {
            outcome = publish => if let Err(error) = outcome { crate::tell!("slotkeeper: {error}") },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn report(publication: &Publication) {
    for report in publication.reports.iter().filter(|report| !report.taken) {
        let (version, edge) = (publication.version, &report.push.edge.name);
        crate::tell!("slotkeeper: plan {version}: edge {edge}: {}", report.result());
    }
}
