//! Publishing: making a plan and pushing it to every edge.

use std::{sync::Arc, time::Duration};

use slotkeeper_core::keys::Keyring;
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{MadePlan, MakePlanError, delivered, make, was_made_here};
use crate::{
    clock,
    contracts::Contracts,
    data_dir::DataDir,
    edges::{Edge, EdgeClient, EdgesSeen, PushOutcome, PushReport, push_all},
};

/// How long `serve` tries to reach an edge before it leaves it to the next plan.
const SERVE_PATIENCE: Duration = Duration::from_secs(10);

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
    /// Makes the next plan, and pushes it to every edge for at most `patience`.
    pub async fn publish(&self, patience: Duration) -> Result<Publication, MakePlanError> {
        let made = self.blocking(Self::make).await?;
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
        Ok(Publication { version: made.source.version, reports: reports.await? })
    }

    /// Makes the next plan, and keeps it.
    pub fn make(&self) -> Result<MadePlan, MakePlanError> {
        let mut contracts = Contracts::open(&self.data.contracts())?;
        let delivered = delivered(&self.data.fold())?;
        make(&mut contracts, &delivered, self.public_url.as_deref(), &self.keys, clock::now())
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

/// Publishes a fresh plan now and every `every`, until `stop` turns true. Does nothing while nothing is booked.
pub async fn keep_publishing(publisher: Publisher, every: Duration, seen: EdgesSeen, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let publish = async {
            if publisher.blocking(Publisher::has_bookings).await? {
                let publication = publisher.publish(SERVE_PATIENCE).await?;
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
