//! Group commit: one thread owns the log's writing end and puts all batches that wait into one commit.
//!
//! One fsync costs milliseconds whatever it covers, so the rate of commits is bounded and the rate of facts is not.

use std::{mem, sync::Arc, thread};

use tokio::sync::{mpsc, oneshot, watch};

use super::{Log, LogError, Received};

/// How many batches may wait for the log. Past it, the collector asks the edge to come back.
pub const QUEUE_BATCHES_MAX: usize = 64;
/// The most bytes in one commit; a commit always takes at least one batch.
const COMMIT_BYTES_MAX: usize = 32 * 1024 * 1024;

struct Waiting {
    received: Received,
    answer: oneshot::Sender<Result<(), LogError>>,
}

/// The handle through which batches reach the log. Cheap to clone; the thread ends when the last clone is dropped.
#[derive(Clone)]
pub struct LogWriter {
    queue: mpsc::Sender<Waiting>,
    durable: Arc<watch::Sender<u64>>,
}

/// A reserved place in the queue.
pub struct Place(mpsc::OwnedPermit<Waiting>);

impl LogWriter {
    /// Starts the thread that writes to `log`.
    pub fn start(log: impl Log + 'static) -> Result<(Self, thread::JoinHandle<()>), LogError> {
        let durable = Arc::new(watch::Sender::new(log.last_seq()?));
        let (queue, waiting) = mpsc::channel(QUEUE_BATCHES_MAX);
        let announce = Arc::clone(&durable);
        let thread = thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || write(log, waiting, &announce))
            .map_err(|error| LogError(format!("cannot start the writer thread: {error}")))?;
        Ok((Self { queue, durable }, thread))
    }

    /// Reserves a place in the queue, or `None` when it is full. Reserve before reading a body, so that what waits in
    /// memory is bounded too.
    pub fn reserve(&self) -> Option<Place> {
        self.queue.clone().try_reserve_owned().ok().map(Place)
    }

    /// The place of the last durable entry, and a wake-up whenever it moves.
    pub fn durable_seq(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }
}

impl Place {
    /// Appends a batch; returns when it is durable.
    pub async fn append(self, received: Received) -> Result<(), LogError> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(Waiting { received, answer });
        outcome.await.unwrap_or_else(|_| Err(LogError("the writer thread has ended".into())))
    }
}

fn write(mut log: impl Log, mut waiting: mpsc::Receiver<Waiting>, durable: &watch::Sender<u64>) {
    let mut carried = None;
    while let Some(first) = carried.take().or_else(|| waiting.blocking_recv()) {
        let mut bytes = first.received.bytes.len();
        let mut group = vec![first];
        while let Ok(next) = waiting.try_recv() {
            bytes += next.received.bytes.len();
            if bytes > COMMIT_BYTES_MAX {
                carried = Some(next);
                break;
            }
            group.push(next);
        }
        let batches: Vec<Received> = group
            .iter_mut()
            .map(|one| Received { at: one.received.at, bytes: mem::take(&mut one.received.bytes) })
            .collect();
        let outcome = log.append(&batches);
        if let Ok(last) = outcome {
            durable.send_replace(last);
        }
        for one in group {
            // An edge that has hung up meanwhile sends the batch again; the fold tells the duplicate.
            let _ = one.answer.send(outcome.clone().map(|_| ()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as std_mpsc;

    use slotkeeper_core::time::UnixMillis;

    use super::*;
    use crate::log::Entry;

    /// A log whose commits wait for the test to let them pass.
    struct Gated {
        commits: std_mpsc::Sender<usize>,
        gate: std_mpsc::Receiver<Result<(), LogError>>,
        last: u64,
    }

    impl Log for Gated {
        fn append(&mut self, batches: &[Received]) -> Result<u64, LogError> {
            self.commits.send(batches.len()).unwrap();
            self.gate.recv().unwrap()?;
            self.last += batches.len() as u64;
            Ok(self.last)
        }
        fn read(&self, _: u64, _: usize) -> Result<Vec<Entry>, LogError> {
            Ok(vec![])
        }
        fn last_seq(&self) -> Result<u64, LogError> {
            Ok(self.last)
        }
    }

    struct Test {
        writer: LogWriter,
        commits: std_mpsc::Receiver<usize>,
        gate: std_mpsc::Sender<Result<(), LogError>>,
    }

    fn gated() -> Test {
        let (seen, commits) = std_mpsc::channel();
        let (gate, passed) = std_mpsc::channel();
        let (writer, _) = LogWriter::start(Gated { commits: seen, gate: passed, last: 0 }).unwrap();
        Test { writer, commits, gate }
    }

    impl Test {
        fn append(&self) -> tokio::task::JoinHandle<Result<(), LogError>> {
            let received = Received { at: UnixMillis(1), bytes: b"x".to_vec() };
            tokio::spawn(self.writer.reserve().unwrap().append(received))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_is_durable_before_it_is_acknowledged() {
        let test = gated();
        let append = test.append();
        assert_eq!(test.commits.recv(), Ok(1), "the commit has begun");
        assert!(!append.is_finished());
        assert_eq!(*test.writer.durable_seq().borrow(), 0);
        test.gate.send(Ok(())).unwrap();
        append.await.unwrap().unwrap();
        assert_eq!(*test.writer.durable_seq().borrow(), 1);
    }

    #[tokio::test]
    async fn batches_that_wait_share_a_commit() {
        let test = gated();
        let first = test.append();
        tokio::task::yield_now().await; // one thread: now the batch stands in the queue
        assert_eq!(test.commits.recv(), Ok(1));
        let others: Vec<_> = (0..5).map(|_| test.append()).collect();
        tokio::task::yield_now().await;
        test.gate.send(Ok(())).unwrap();
        assert_eq!(test.commits.recv(), Ok(5));
        test.gate.send(Ok(())).unwrap();
        for append in others.into_iter().chain([first]) {
            append.await.unwrap().unwrap();
        }
        assert_eq!(*test.writer.durable_seq().borrow(), 6);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_refuses_before_anything_is_read() {
        let test = gated();
        let places: Vec<_> = (0..QUEUE_BATCHES_MAX).map(|_| test.writer.reserve().unwrap()).collect();
        assert!(test.writer.reserve().is_none());
        drop(places);
        assert!(test.writer.reserve().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failed_commit_acknowledges_nothing_and_the_next_one_may_pass() {
        let test = gated();
        let lost = test.append();
        test.gate.send(Err(LogError("disk full".into()))).unwrap();
        assert!(lost.await.unwrap().is_err());
        assert_eq!(*test.writer.durable_seq().borrow(), 0);
        test.gate.send(Ok(())).unwrap();
        test.append().await.unwrap().unwrap();
    }
}
