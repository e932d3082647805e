//! Keeps the calls up with the log while the origin serves.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use super::{Consumed, Limits, Store, TrackersError, connect, queue::Queue, sender::Sender};
use crate::{
    clock,
    data_dir::DataDir,
    log::{Log, SqliteLog},
    outbound::{HostPort, Outbound},
    registry::Registry,
};

/// How often the log is looked at without being woken: for ads that have become known, for room, and after a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often what is too old is forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// What calling vendors has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrackerProgress {
    /// How far the log is read.
    pub offset: u64,
    /// How many calls waited when it was last read.
    pub queued: u64,
    /// Why nothing more is read, if so.
    pub error: Option<String>,
}

/// All that calls the vendors of a data directory.
pub struct Trackers {
    store: Store,
    log: Box<dyn Log>,
    sender: Sender,
    progress: watch::Sender<TrackerProgress>,
}

impl Trackers {
    /// Opens what is needed; calls nobody yet. `exempt` may be called wherever they are.
    pub fn open(
        data: &DataDir,
        limits: Limits,
        exempt: impl IntoIterator<Item = HostPort>,
    ) -> Result<Self, TrackersError> {
        let log = SqliteLog::open(&data.log())?;
        let store = Store::open(
            &data.trackers(),
            Registry::open(&data.contracts())?.with_auctions(&data.fold()),
            &log,
            limits.clone(),
        )?;
        let mut queue = Queue::new(connect(&data.trackers())?);
        let recovered = queue.recover()?;
        if recovered > 0 {
            crate::tell!(
                "slotkeeper: {recovered} calls to vendors were cut off when the origin last ended; they are made again"
            );
        }
        let progress = TrackerProgress { offset: store.read_seq(), queued: store.queued()?, error: None };
        let sender = Sender { queue, outbound: Outbound::new(exempt), limits, queued: Arc::default() };
        Ok(Self { store, log: Box::new(log), sender, progress: watch::Sender::new(progress) })
    }

    /// How it goes.
    pub fn progress(&self) -> watch::Receiver<TrackerProgress> {
        self.progress.subscribe()
    }

    /// Reads the log whenever `durable` moves, and calls whom its entries ask to be called, until `stop` turns true.
    pub async fn run(self, durable: watch::Receiver<u64>, stop: watch::Receiver<bool>) {
        let queued = Arc::clone(&self.sender.queued);
        let reading = read(self.store, self.log, durable, stop.clone(), self.progress, queued);
        tokio::join!(reading, self.sender.run(stop));
    }
}

async fn read(
    mut store: Store,
    mut log: Box<dyn Log>,
    mut durable: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
    progress: watch::Sender<TrackerProgress>,
    queued: Arc<Notify>,
) {
    let mut forgotten_at: Option<Instant> = None;
    loop {
        durable.mark_unchanged();
        let forgets = forgotten_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        let stepped = tokio::task::spawn_blocking(move || {
            let outcome = step(&mut store, log.as_ref(), forgets);
            (store, log, outcome)
        });
        let Ok((returned, its_log, outcome)) = stepped.await else {
            progress.send_modify(|progress| progress.error = Some("calling vendors has panicked; restart".into()));
            return;
        };
        (store, log) = (returned, its_log);
        if forgets {
            forgotten_at = Some(Instant::now());
        }
        let caught_up = note(&progress, store.read_seq(), outcome, &queued);
        if *stop.borrow() {
            return;
        }
        if caught_up {
            tokio::select! {
                moved = durable.changed() => if moved.is_err() { return },
                _ = stop.changed() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

fn step(store: &mut Store, log: &dyn Log, forgets: bool) -> Result<(Consumed, u64), TrackersError> {
    if forgets {
        store.forget(clock::now())?;
    }
    Ok((store.consume(log, clock::now())?, store.queued()?))
}

/// Records the outcome, and wakes the sender if there is something for it; whether there is nothing more to do for now.
fn note(
    progress: &watch::Sender<TrackerProgress>,
    offset: u64,
    outcome: Result<(Consumed, u64), TrackersError>,
    wake: &Notify,
) -> bool {
    let (now, nothing_more) = match outcome {
        Ok((consumed, queued)) => {
            if consumed.fired > 0 {
                wake.notify_one();
            }
            let error = consumed
                .full
                .then(|| format!("{queued} calls wait, and no more may; the log is read on when some are made"));
            (TrackerProgress { offset, queued, error }, consumed.entries == 0)
        }
        Err(error) => {
            crate::tell!("slotkeeper: {error}");
            let queued = progress.borrow().queued;
            (TrackerProgress { offset, queued, error: Some(error.to_string()) }, true)
        }
    };
    progress.send_if_modified(|known| {
        let moved = *known != now;
        *known = now;
        moved
    });
    nothing_more
}
