//! Beacons waiting for the origin to have them.
//!
//! Beacons gather in the order they happened. A sending seals the oldest of them into a batch with a number of its own;
//! a batch keeps its number and its beacons until the origin acknowledged it, however often it is sent. What is handed
//! to `sendBeacon` is never acknowledged, so it stays too: the origin takes a beacon twice as once. Only the bound takes
//! beacons away, one by one, the oldest first, and never from a batch whose answer is still to come.

use std::collections::VecDeque;

use slotkeeper_core::beacon::{AGE_MS_MAX, BATCH_BEACONS_MAX, Batch, Beacon, Event, SESSION_ID_BYTES_MAX};

/// The most beacons kept; a few times what one batch holds. Past it the oldest go, since their tokens die first, and are
/// counted.
pub const QUEUED_MAX: usize = 1_000;
const _: () = assert!(BATCH_BEACONS_MAX < QUEUED_MAX, "there must be something to drop beside the batch in flight");
/// The longest batch sent, and the most handed to `sendBeacon` for one parting, in bytes. Browsers hold 64 KiB of
/// unanswered beacons per page, shared by everything on it; past that they are lost.
pub const BATCH_BYTES_MAX: usize = 16 * 1024;
/// The longest token taken, in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;

/// `sk1`, a session id, a sequence, two spaces and a line end.
const HEAD_BYTES_MAX: usize = 3 + SESSION_ID_BYTES_MAX + 10 + 3;
/// The longest event name, the longest age, two spaces and a line end.
const LINE_BYTES_BESIDE_TOKEN_MAX: usize = 13 + 9 + 3;

#[derive(Clone, Debug)]
struct Queued {
    token: String,
    event: Event,
    at_ms: f64,
}

#[derive(Clone, Debug)]
struct Sealed {
    sequence: u32,
    /// Never empty.
    beacons: VecDeque<Queued>,
    parted: bool,
    /// It was posted, and may be acknowledged any moment.
    in_flight: bool,
}

/// A batch to send now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number, to acknowledge it by.
    pub sequence: u32,
    /// The body to post.
    pub text: String,
}

/// Why a beacon or a session was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A session id is 1 to 64 letters, digits, hyphens or underscores.
    SessionId,
    /// A token is 1 to 256 characters of base64url.
    Token,
}

/// The beacons of one session that the origin does not have yet, for all anyone here knows.
#[derive(Clone, Debug)]
pub struct Queue {
    session_id: String,
    next_sequence: u32,
    sealed: VecDeque<Sealed>,
    open: VecDeque<Queued>,
    overflowed: u32,
}

impl Queue {
    /// An empty queue. Its batches are numbered from `first_sequence`.
    pub fn new(session_id: &str, first_sequence: u32) -> Result<Self, Refused> {
        if !is_word(session_id, SESSION_ID_BYTES_MAX) {
            return Err(Refused::SessionId);
        }
        Ok(Self {
            session_id: session_id.into(),
            next_sequence: first_sequence,
            sealed: VecDeque::new(),
            open: VecDeque::new(),
            overflowed: 0,
        })
    }

    /// Adds what happened at `at_ms` of a monotonic clock.
    pub fn push(&mut self, token: &str, event: Event, at_ms: f64) -> Result<(), Refused> {
        if !is_word(token, TOKEN_BYTES_MAX) {
            return Err(Refused::Token);
        }
        while self.len() >= QUEUED_MAX {
            self.forget_oldest();
        }
        self.open.push_back(Queued { token: token.into(), event, at_ms });
        Ok(())
    }

    /// The batch to post next, written for the moment `now_ms`: the oldest one not acknowledged. Call
    /// [`settle`](Self::settle) or [`unsent`](Self::unsent) once it is clear what became of it.
    pub fn outgoing(&mut self, now_ms: f64) -> Option<Outgoing> {
        if self.sealed.is_empty() {
            self.seal();
        }
        self.sealed.front_mut()?.in_flight = true;
        self.sealed.front().map(|batch| self.write(batch, now_ms))
    }

    /// Nobody acknowledged this batch, and nobody will before it is sent again.
    pub fn unsent(&mut self, sequence: u32) {
        if let Some(batch) = self.sealed.iter_mut().find(|batch| batch.sequence == sequence) {
            batch.in_flight = false;
        }
    }

    /// What to hand to `sendBeacon` while the page goes away, at most [`BATCH_BYTES_MAX`] in all; each batch once until
    /// [`came_back`](Self::came_back). Call [`parted`](Self::parted) for those it took.
    pub fn parting(&mut self, now_ms: f64) -> Vec<Outgoing> {
        while !self.open.is_empty() {
            self.seal();
        }
        let mut room = BATCH_BYTES_MAX;
        let waiting = self.sealed.iter().filter(|batch| !batch.parted).map(|batch| self.write(batch, now_ms));
        waiting
            .take_while(|batch| {
                let fits = batch.text.len() <= room;
                room = room.saturating_sub(batch.text.len());
                fits
            })
            .collect()
    }

    /// `sendBeacon` took this batch.
    pub fn parted(&mut self, sequence: u32) {
        if let Some(batch) = self.sealed.iter_mut().find(|batch| batch.sequence == sequence) {
            batch.parted = true;
        }
    }

    /// The page did not go away after all: what was handed over may be handed over again.
    pub fn came_back(&mut self) {
        for batch in &mut self.sealed {
            batch.parted = false;
        }
    }

    /// Forgets a batch: the origin has it, or will never take it.
    pub fn settle(&mut self, sequence: u32) {
        self.sealed.retain(|batch| batch.sequence != sequence);
    }

    /// How many beacons wait.
    pub fn len(&self) -> usize {
        self.open.len() + self.sealed.iter().map(|batch| batch.beacons.len()).sum::<usize>()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.sealed.is_empty()
    }

    /// How many beacons were lost to the bound.
    pub fn overflowed(&self) -> u32 {
        self.overflowed
    }

    /// Makes one batch of the oldest open beacons: as many as surely fit, whatever their age when it is sent.
    fn seal(&mut self) {
        let mut room = BATCH_BYTES_MAX - HEAD_BYTES_MAX;
        let fitting = self.open.iter().take(BATCH_BEACONS_MAX).take_while(|beacon| {
            let line = beacon.token.len() + LINE_BYTES_BESIDE_TOKEN_MAX;
            let fits = line <= room;
            room = room.saturating_sub(line);
            fits
        });
        let count = fitting.count();
        if count > 0 {
            let beacons = self.open.drain(..count).collect();
            let sequence = self.next_sequence;
            self.sealed.push_back(Sealed { sequence, beacons, parted: false, in_flight: false });
            self.next_sequence = self.next_sequence.wrapping_add(1);
        }
    }

    fn write(&self, batch: &Sealed, now_ms: f64) -> Outgoing {
        let beacons = batch.beacons.iter().map(|Queued { token, event, at_ms }| Beacon {
            token,
            event: *event,
            age_ms: age_ms(now_ms - at_ms),
            detail: None,
        });
        let (session_id, sequence) = (self.session_id.as_str(), batch.sequence);
        Outgoing { sequence, text: Batch { session_id, sequence, lost: 0, beacons: beacons.collect() }.to_text() }
    }

    fn forget_oldest(&mut self) {
        match self.sealed.iter_mut().find(|batch| !batch.in_flight) {
            Some(batch) => {
                batch.beacons.pop_front();
            }
            None => {
                self.open.pop_front();
            }
        }
        self.sealed.retain(|batch| !batch.beacons.is_empty());
        self.overflowed = self.overflowed.saturating_add(1);
    }
}

/// A whole number of milliseconds within what a batch may say. Older is no different: the token is long dead.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast to an integer saturates")]
fn age_ms(ms: f64) -> u32 {
    (ms as u32).min(AGE_MS_MAX)
}

fn is_word(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests;
