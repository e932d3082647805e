//! Beacons waiting for the origin to have them.
//!
//! They gather in the order they happened. A sending seals the oldest of them into a batch with a number of its own; a batch
//! keeps its number and its beacons until the origin acknowledged it, however often it is sent. What is handed to
//! `sendBeacon` is never acknowledged, so it stays too: the origin takes a beacon twice as once. Only the bound takes beacons
//! away, one by one, and counts them: the oldest first, since their tokens die first, and never from a batch whose answer is still
//! to come.

use slotkeeper_beacon::{AGE_MS_MAX, Event, HEAD_BYTES_MAX, LINE_BYTES_BESIDE_TOKEN_MAX, SESSION_ID_BYTES_MAX};

use crate::{
    sink::Sink,
    sure::sure,
    whole::{add_to, whole},
};

/// The most ads whose beacons are kept at a time.
pub const ADS_MAX: u8 = 96;
/// The most beacons kept.
pub const KEPT_MAX: usize = 600;
/// The longest token taken, in bytes. The edge's have 64.
pub const TOKEN_BYTES_MAX: usize = 80;
/// The longest batch, in bytes.
pub const BATCH_BYTES_MAX: usize = 8 * 1024;
/// The most beacons of a batch: so many surely fit, whatever their age when it is sent.
pub const BATCH_BEACONS_MAX: usize =
    (BATCH_BYTES_MAX - HEAD_BYTES_MAX) / (TOKEN_BYTES_MAX + LINE_BYTES_BESIDE_TOKEN_MAX);
/// The most handed to `sendBeacon` for one parting, in bytes. Browsers hold 64 KiB of unanswered beacons for a page, shared by
/// everything on it; past that they are lost.
pub const PARTING_BYTES_MAX: usize = 16 * 1024;

/// The events that are worth a write to storage when they happen, as bits: what is paid for, and what frees a claim. The
/// others, a power cut may take.
pub const BILLABLE: u32 = {
    let mut bits = 0;
    let mut at = 0;
    while at < Event::ALL.len() {
        let event = Event::ALL[at];
        at += 1;
        if !matches!(
            event,
            Event::Pause | Event::Resume | Event::Mute | Event::Unmute | Event::PlayerExpand | Event::PlayerCollapse
        ) {
            bits |= 1 << event.code();
        }
    }
    bits
};

/// Every event, as bits.
const ALL: u32 = u32::MAX;

/// A text of bounded length.
#[derive(Clone, Debug)]
struct Short<const MAX: usize> {
    len: usize,
    bytes: [u8; MAX],
}

impl<const MAX: usize> Short<MAX> {
    const EMPTY: Self = Self { len: 0, bytes: [0; MAX] };

    fn set(&mut self, text: &[u8]) {
        for (to, from) in self.bytes.iter_mut().zip(text) {
            *to = *from;
        }
        self.len = text.len().min(MAX);
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A beacon that waits. Empty, it is all zeros, so that an empty ring costs a wasm file nothing.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// By the page's monotonic clock.
    at_ms: f64,
    /// The batch it went out in; [`OPEN`] if in none.
    sequence: u32,
    detail: u32,
    ad: u8,
    event_code: u8,
}

/// Not yet in a batch. No batch has this number.
const OPEN: u32 = 0;

impl Kept {
    const EMPTY: Self = Self { at_ms: 0.0, sequence: OPEN, detail: 0, ad: 0, event_code: 0 };

    fn is_billable(&self) -> bool {
        BILLABLE >> self.event_code & 1 != 0
    }
}

/// The beacons of one session that the origin does not have yet, for all anyone here knows.
#[derive(Clone, Debug)]
#[repr(C)] // So that what is long comes last.
pub struct Ring {
    len: usize,
    next_sequence: u32,
    /// The number under which a record is posted by whoever finds it.
    record_sequence: u32,
    /// How many of the oldest were posted, and may be acknowledged any moment.
    in_flight: usize,
    /// How many of the oldest were handed to `sendBeacon` since the page was last seen alive, and in how many bytes.
    parted: usize,
    parted_bytes: usize,
    lost: u32,
    /// One more than are kept, which is always empty.
    kept: [Kept; KEPT_MAX + 1],
    session_id: Short<SESSION_ID_BYTES_MAX>,
    tokens: [Short<TOKEN_BYTES_MAX>; ADS_MAX as usize],
}

impl Ring {
    /// Nobody's yet.
    pub const fn new() -> Self {
        Self {
            len: 0,
            next_sequence: 0,
            record_sequence: 0,
            in_flight: 0,
            parted: 0,
            parted_bytes: 0,
            lost: 0,
            kept: [Kept::EMPTY; KEPT_MAX + 1],
            session_id: Short::EMPTY,
            tokens: [const { Short::EMPTY }; ADS_MAX as usize],
        }
    }

    /// The session's id.
    pub fn name_session(&mut self, session_id: &[u8]) {
        self.session_id.set(session_id);
    }

    /// Begins a session, whose batches are numbered from `first_sequence`.
    pub fn start(&mut self, first_sequence: u32) {
        self.next_sequence = first_sequence;
        self.record_sequence = self.take_sequence();
    }

    /// The ad at this place has this token.
    pub fn name(&mut self, ad: u8, token: &[u8]) {
        if let Some(place) = self.tokens.get_mut(usize::from(ad)) {
            place.set(token);
        }
    }

    /// How many beacons wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many beacons were lost to a bound.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// Counts beacons that were lost elsewhere.
    pub fn count_lost(&mut self, count: u32) {
        add_to(&mut self.lost, count);
    }

    /// Adds what happened to an ad at `at_ms` of the page's monotonic clock, with what is told beside it.
    pub fn push(&mut self, ad: u8, event: Event, at_ms: f64, detail: u32) {
        if self.len == KEPT_MAX {
            self.remove(self.in_flight);
            self.count_lost(1);
        }
        *self.at_mut(self.len) = Kept { at_ms, sequence: OPEN, detail, ad, event_code: event.code() };
        self.len += 1;
    }

    /// Whether a beacon of this ad waits.
    pub fn holds(&self, ad: u8) -> bool {
        (0..self.len).any(|at| self.at(at).ad == ad)
    }

    /// Writes the batch to post next: the oldest not acknowledged. It is in flight until [`settle`](Self::settle) or
    /// [`unsent`](Self::unsent). Returns its number, or `None` when nothing waits.
    #[inline]
    pub fn outgoing(&mut self, sink: &mut impl Sink, now_ms: f64) -> Option<u32> {
        self.in_flight = self.seal(0);
        if self.in_flight == 0 {
            return None;
        }
        let sequence = self.at(0).sequence;
        self.write(sink, (sequence, self.lost), (0, self.in_flight), ALL, now_ms);
        Some(sequence)
    }

    /// Nobody acknowledged the batch in flight, and nobody will before it is sent again.
    pub fn unsent(&mut self) {
        self.in_flight = 0;
    }

    /// Forgets the batch in flight: the origin has it, or will never take it. Another number changes nothing. Returns
    /// whether it did.
    pub fn settle(&mut self, sequence: u32) -> bool {
        if self.in_flight == 0 || self.at(0).sequence != sequence {
            return false;
        }
        while self.in_flight > 0 {
            self.remove(0);
        }
        true
    }

    /// Writes the next batch to hand to `sendBeacon` while the page goes away: each once until
    /// [`came_back`](Self::came_back). False if there is none. It is handed over if it [`has_room`](Self::has_room); call
    /// [`parted`](Self::parted) if the browser took it.
    pub fn parting(&mut self, sink: &mut impl Sink, now_ms: f64) -> bool {
        let (begin, end) = (self.parted, self.seal(self.parted));
        let is_one = end > begin;
        if is_one {
            self.write(sink, (self.at(begin).sequence, self.lost), (begin, end), ALL, now_ms);
        }
        is_one
    }

    /// Whether a batch of this many bytes may be handed to `sendBeacon`: [`PARTING_BYTES_MAX`] in all.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.parted_bytes + bytes <= PARTING_BYTES_MAX
    }

    /// `sendBeacon` took the batch, of this many bytes.
    pub fn parted(&mut self, bytes: usize) {
        self.parted_bytes += bytes;
        self.parted = self.seal(self.parted);
    }

    /// The page did not go away after all: what was handed over may be handed over again.
    pub fn came_back(&mut self) {
        self.parted = 0;
        self.parted_bytes = 0;
    }

    /// Writes what must survive a power cut, as a batch of its own number; the newest, if not all fit: then the others are counted
    /// lost in it, for whoever reads it knows of no other place where they are. False if there is nothing.
    pub fn record(&self, sink: &mut impl Sink, now_ms: f64) -> bool {
        let (mut begin, mut count) = (self.len, 0);
        for at in (0..self.len).rev().filter(|at| self.at(*at).is_billable()) {
            count += 1;
            if count <= BATCH_BEACONS_MAX {
                begin = at;
            }
        }
        if count > 0 {
            let left_out = u32::try_from(count.saturating_sub(BATCH_BEACONS_MAX)).unwrap_or(u32::MAX);
            self.write(
                sink,
                (self.record_sequence, self.lost.saturating_add(left_out)),
                (begin, self.len),
                BILLABLE,
                now_ms,
            );
        }
        count > 0
    }

    #[inline(never)] // Its callers are shorter for it.
    fn at(&self, at: usize) -> &Kept {
        sure(self.kept.get(at))
    }

    #[inline(never)] // The same.
    fn at_mut(&mut self, at: usize) -> &mut Kept {
        sure(self.kept.get_mut(at))
    }

    fn take_sequence(&mut self) -> u32 {
        let sequence = self.next_sequence.max(OPEN + 1);
        self.next_sequence = sequence.wrapping_add(1);
        sequence
    }

    /// Where the batch ends that begins here, made of what is open if there is none yet.
    fn seal(&mut self, begin: usize) -> usize {
        let before = self.at(begin).sequence;
        let sequence = if before == OPEN && begin < self.len { self.take_sequence() } else { before };
        let mut end = begin;
        while end < self.len && end - begin < BATCH_BEACONS_MAX && self.at(end).sequence == before {
            self.at_mut(end).sequence = sequence;
            end += 1;
        }
        end
    }

    /// Writes a batch of what is kept between the two, if its event is one of these.
    #[inline(never)] // One for all is shorter.
    fn write(
        &self,
        sink: &mut impl Sink,
        (sequence, lost): (u32, u32),
        (begin, end): (usize, usize),
        events: u32,
        now_ms: f64,
    ) {
        sink.head(self.session_id.get(), sequence, lost);
        for at in begin..end {
            let kept = self.at(at);
            let token = self.tokens.get(usize::from(kept.ad)).map_or(&[][..], Short::get);
            if events >> kept.event_code & 1 != 0 {
                sink.line((kept.ad, token), kept.event_code, whole(now_ms - kept.at_ms, AGE_MS_MAX), kept.detail);
            }
        }
    }

    #[inline(never)] // One for all is shorter.
    fn remove(&mut self, at: usize) {
        self.parted -= usize::from(at < self.parted);
        self.in_flight -= usize::from(at < self.in_flight);
        self.len -= 1;
        for place in at..self.len {
            *self.at_mut(place) = *self.at(place + 1);
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
