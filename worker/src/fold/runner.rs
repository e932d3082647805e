//! Keeps the fold up with the log while the origin serves.

use std::{collections::BTreeSet, time::Duration};

use slotkeeper_core::id::OpportunityId;
use tokio::sync::watch;

use super::{Fold, FoldError, Step};
use crate::log::Log;

/// How often the fold looks without being woken: for terms that have become known, and after a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What the fold has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How far the log is folded.
    pub consumed_seq: u64,
    /// Why the last step failed, if it did.
    pub error: Option<String>,
}

/// A fold with the log it folds.
pub struct Runner {
    fold: Fold,
    log: Box<dyn Log>,
}

impl Runner {
    /// A runner of `fold` over `log`.
    pub fn new(fold: Fold, log: Box<dyn Log>) -> Self {
        Self { fold, log }
    }

    /// Folds whenever `durable` moves, until `stop` turns true. Reports how far after every commit to `progress`, and
    /// what changed to `changed`.
    pub async fn run(
        mut self,
        mut durable: watch::Receiver<u64>,
        mut stop: watch::Receiver<bool>,
        progress: watch::Sender<Progress>,
        changed: impl Fn(&BTreeSet<OpportunityId>) + Send + Sync + 'static,
    ) {
        let changed = std::sync::Arc::new(changed);
        loop {
            durable.mark_unchanged();
            let report = std::sync::Arc::clone(&changed);
            let stepped = tokio::task::spawn_blocking(move || {
                let outcome = self.fold.step(self.log.as_ref());
                if let Ok(step) = &outcome {
                    report(&step.changed);
                }
                (self, outcome)
            });
            let Ok((runner, outcome)) = stepped.await else {
                progress.send_modify(|progress| progress.error = Some("the fold has panicked; restart".into()));
                return;
            };
            self = runner;
            let caught_up = note(&progress, outcome);
            if *stop.borrow() {
                return;
            }
            if caught_up {
                tokio::select! {
                    moved = durable.changed() => if moved.is_err() { return },
                    _ = stop.changed() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        }
    }
}

/// Records the outcome; whether there is nothing more to do for now.
fn note(progress: &watch::Sender<Progress>, outcome: Result<Step, FoldError>) -> bool {
    match outcome {
        Ok(step) => {
            let nothing_more = step.found_nothing();
            progress.send_if_modified(|known| {
                let now = Progress { consumed_seq: step.consumed_seq, error: None };
                let moved = *known != now;
                *known = now;
                moved
            });
            nothing_more
        }
        Err(error) => {
            crate::tell!("slotkeeper: {error}");
            progress.send_modify(|progress| progress.error = Some(error.to_string()));
            true
        }
    }
}
