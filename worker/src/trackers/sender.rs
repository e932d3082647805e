//! Sending: a bounded number of calls at once, each written down before and after.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Limits,
    queue::{Job, Queue, Vendors},
    vendor::Health,
    verdict::{Verdict, judge},
};
use crate::{
    clock,
    outbound::{Bounds, Longer, Outbound},
};

/// How often the queue is looked at without being woken: for calls that have become due, for a vendor's next allowance.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long to wait after the database failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long calls under way may go on once the origin stops. What has not come back by then may be made again.
const LAST_WAIT: Duration = Duration::from_secs(4);
/// As many redirects as are followed in one attempt.
const REDIRECTS_MAX: u8 = 3;
/// A vendor's answer is a pixel or nothing; it is read only so that the connection can be used again.
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(super) struct Sender {
    pub(super) queue: Queue,
    pub(super) outbound: Outbound,
    pub(super) limits: Limits,
    /// Told when something new is in the queue.
    pub(super) queued: Arc<Notify>,
}

impl Sender {
    /// Sends what is due, until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut vendors = Vendors::new();
        let mut calls = JoinSet::new();
        let mut ended = VecDeque::new();
        loop {
            let room = if *stop.borrow() { 0 } else { self.limits.in_flight_max.saturating_sub(calls.len()) };
            let Some((sender, known, turned)) = self.turn(ended.make_contiguous().to_vec(), room, vendors).await else {
                crate::tell!("slotkeeper: calling vendors has panicked; restart");
                return;
            };
            (self, vendors) = (sender, known);
            match turned {
                Ok(jobs) => {
                    ended.clear();
                    for job in jobs {
                        calls.spawn(call(self.outbound.clone(), job, self.limits.clone()));
                    }
                }
                Err(error) => {
                    crate::tell!("slotkeeper: trackers: {error}");
                    sleep(AFTER_FAILURE).await; // what has ended is written down at the next turn
                }
            }
            if *stop.borrow() {
                if calls.is_empty() {
                    return;
                }
                let _ = timeout(LAST_WAIT, async {
                    while let Some(Ok((job, verdict, _))) = calls.join_next().await {
                        ended.push_back((job, verdict));
                    }
                })
                .await;
                let _ = self.turn(ended.make_contiguous().to_vec(), 0, vendors).await;
                return;
            }
            tokio::select! {
                Some(done) = calls.join_next() => self.note(done, &mut vendors, &mut ended),
                () = self.queued.notified() => {}
                () = sleep(LOOK_AGAIN) => {}
                _ = stop.changed() => {}
            }
            while let Some(done) = calls.try_join_next() {
                self.note(done, &mut vendors, &mut ended);
            }
        }
    }

    /// A turn of the queue on a thread where waiting is allowed.
    async fn turn(
        mut self,
        ended: Vec<(Job, Verdict)>,
        room: usize,
        mut vendors: Vendors,
    ) -> Option<(Self, Vendors, rusqlite::Result<Vec<Job>>)> {
        let turned = tokio::task::spawn_blocking(move || {
            let outcome = self.queue.turn(&ended, room, &mut vendors, &self.limits, clock::now());
            (self, vendors, outcome)
        });
        turned.await.ok()
    }

    fn note(
        &self,
        done: Result<(Job, Verdict, Health), tokio::task::JoinError>,
        vendors: &mut Vendors,
        ended: &mut VecDeque<(Job, Verdict)>,
    ) {
        // A call that panicked stays marked as being sent, until the next start.
        let Ok((job, verdict, health)) = done else { return };
        vendors.entry(job.vendor.clone()).or_default().end(health, &self.limits, clock::now());
        ended.push_back((job, verdict));
    }
}

async fn call(outbound: Outbound, job: Job, limits: Limits) -> (Job, Verdict, Health) {
    let bounds = Bounds {
        deadline: limits.deadline,
        redirects_max: REDIRECTS_MAX,
        body_bytes_max: BODY_BYTES_MAX,
        longer: Longer::CutOff,
    };
    let outcome = outbound.get(&job.url, &bounds).await;
    let (verdict, health) = judge(&job, outcome, &limits, clock::now());
    (job, verdict, health)
}
