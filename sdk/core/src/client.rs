//! One viewer's session with one edge, as far as it is the same everywhere: its ads, what is due of them, what is posted when.

use slotkeeper_beacon::{DETAIL_MAX, Event, is_session_id, is_word};

use crate::{
    ad::{Ad, End, Extent, Seen},
    backoff::Backoff,
    due::Due,
    progress::Sample,
    ring::{ADS_MAX, BILLABLE, Ring, TOKEN_BYTES_MAX},
    sink::Sink,
    whole::{add_to, whole},
};

/// How long beacons gather before they are sent together, in milliseconds.
pub const GATHER_MS: f64 = 1_000.0;
/// The first and the longest wait after a failure, in milliseconds.
const RETRY_MS_FIRST: u32 = 1_000;
const RETRY_MS_MAX: u32 = 30_000;

/// The place of an ad in its client.
pub type Place = u8;

#[derive(Clone, Debug)]
struct Held {
    /// The skin holds it: more may happen to it. If not, there are only beacons that wait, if any.
    is_open: bool,
    ad: Ad,
}

const NOBODYS: Held = Held { is_open: false, ad: Ad::new(0.0) };

/// A session: its ads and its beacons. Empty, it is all zeros, so that it costs a wasm file nothing; what is long comes last, so
/// that the addresses of the others are short.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Client {
    next_at_ms: f64,
    touched_at_ms: f64,
    refused: u32,
    backoff: Backoff<RETRY_MS_FIRST, RETRY_MS_MAX>,
    ring: Ring,
    ads: [Held; ADS_MAX as usize],
}

impl Client {
    /// Nobody's yet: call [`start`](Self::start).
    pub const fn new() -> Self {
        Self {
            next_at_ms: 0.0,
            touched_at_ms: 0.0,
            refused: 0,
            backoff: Backoff::new(),
            ring: Ring::new(),
            ads: [const { NOBODYS }; ADS_MAX as usize],
        }
    }

    /// Begins a session; its batches are numbered from `first_sequence`. False if the id is not 1 to 64 letters, digits,
    /// hyphens or underscores; then nothing has begun.
    pub fn start(&mut self, session_id: &[u8], first_sequence: u32, now_ms: f64) -> bool {
        let is_one = is_session_id(session_id);
        if is_one {
            self.ring.name_session(session_id);
            self.start_unnamed(first_sequence, now_ms);
        }
        is_one
    }

    /// Begins a session whose id the skin keeps to itself, as it does its tokens: for a [`Sink`] that needs neither.
    pub fn start_unnamed(&mut self, first_sequence: u32, now_ms: f64) {
        self.ring.start(first_sequence);
        self.touched_at_ms = now_ms;
    }

    // --- Ads

    /// Looks after one more ad, of this token and length. `None` if the token is not 1 to 80 characters of base64url, or if
    /// 96 ads are looked after: then it cannot be reported, so it must not be played.
    pub fn add(&mut self, token: &[u8], duration_ms: f64) -> Option<Place> {
        if !is_word(token, TOKEN_BYTES_MAX) {
            return None;
        }
        let place = self.add_unnamed(duration_ms)?;
        self.ring.name(place, token);
        Some(place)
    }

    /// Looks after one more ad, of this length, whose token the skin keeps to itself. `None` if 96 ads are looked after.
    #[inline]
    pub fn add_unnamed(&mut self, duration_ms: f64) -> Option<Place> {
        for (place, held) in (0..).zip(&mut self.ads) {
            if !held.is_open && !self.ring.holds(place) {
                // All zeros, then what is not: shorter than one that holds both.
                *held = NOBODYS;
                held.is_open = true;
                held.ad.set_extent(Extent::File, duration_ms);
                return Some(place);
            }
        }
        None
    }

    /// Whose part of the video the ad is, and how long.
    pub fn set_extent(&mut self, place: Place, extent: Extent, duration_ms: f64) {
        if let Some(ad) = self.ad(place) {
            ad.set_extent(extent, duration_ms);
        }
    }

    /// The player is about to play the ad's file from its beginning.
    pub fn begin(&mut self, place: Place, now_ms: f64, seen: Seen) {
        if let Some(ad) = self.ad(place) {
            ad.begin(now_ms, seen);
        }
    }

    /// What is due now that the player is here. Its beacons wait already.
    #[inline]
    pub fn look(&mut self, place: Place, sample: Sample, seen: Seen) -> Due {
        let due = self.ad(place).map_or(Due::CLOSED, |ad| ad.look(sample, seen));
        self.report(place, sample.clock_ms, due, 0)
    }

    /// The ad comes to its end without having played to it. `error_code` is VAST's, of a failure.
    pub fn end(&mut self, place: Place, how: End, error_code: u32, now_ms: f64) -> Due {
        let due = self.ad(place).map_or(Due::CLOSED, |ad| ad.end(how));
        self.report(place, now_ms, due, error_code)
    }

    /// The viewer followed the ad's link.
    pub fn click(&mut self, place: Place, now_ms: f64) -> Due {
        self.touch(now_ms);
        let due = self.ad(place).map_or(Due::CLOSED, Ad::click);
        self.report(place, now_ms, due, 0)
    }

    /// Whether nothing has become of the ad yet. Of a place without an ad, true.
    pub fn is_waiting(&self, place: Place) -> bool {
        self.held(place).ad.is_waiting()
    }

    /// Whether nothing more can happen to the ad.
    pub fn is_closed(&self, place: Place) -> bool {
        self.held(place).ad.is_closed()
    }

    /// The skin will not speak of this ad again.
    pub fn release(&mut self, place: Place) {
        if let Some(held) = self.ads.get_mut(usize::from(place)) {
            held.is_open = false;
        }
    }

    /// The viewer touched something.
    pub fn touch(&mut self, now_ms: f64) {
        self.touched_at_ms = now_ms;
    }

    // --- Delivery

    /// How long until something is to be sent, in milliseconds; less than 0 when nothing waits. `others` says whether the skin
    /// has something to send besides beacons.
    pub fn wait_ms(&self, now_ms: f64, others: bool) -> i32 {
        if self.ring.is_empty() && !others {
            return -1;
        }
        whole(self.next_at_ms - now_ms, RETRY_MS_MAX).cast_signed()
    }

    /// The skin has something to send besides beacons, from now on.
    #[inline(never)] // One for all is shorter.
    pub fn gather(&mut self, now_ms: f64) {
        if self.ring.is_empty() && !self.backoff.has_failures() {
            self.next_at_ms = now_ms + GATHER_MS;
        }
    }

    /// Whatever waits is to be sent now.
    pub fn hurry(&mut self, now_ms: f64) {
        self.next_at_ms = now_ms;
    }

    /// Writes the batch to post, and returns its number; `None` when no beacon waits, and then nothing is written.
    #[inline]
    pub fn batch(&mut self, sink: &mut impl Sink, now_ms: f64) -> Option<u32> {
        self.ring.outgoing(sink, now_ms)
    }

    /// The origin has the batch of this number, without these many beacons that the edge will never take.
    pub fn settled(&mut self, sequence: u32, refused: u32, now_ms: f64) -> Due {
        if !self.ring.settle(sequence) {
            return Due::NOTHING;
        }
        self.count_refused(refused);
        self.delivered(now_ms);
        Due::RECORD
    }

    /// Something got through: what else waits is sent at once.
    #[inline(never)] // One for all is shorter.
    pub fn delivered(&mut self, now_ms: f64) {
        self.backoff.reset();
        self.hurry(now_ms);
    }

    /// Nobody acknowledged what was sent: it is sent again, after a while. `random` is from 0 to 1.
    pub fn failed(&mut self, now_ms: f64, random: f64) {
        self.ring.unsent();
        self.next_at_ms = now_ms + self.backoff.next_ms(random);
    }

    /// Writes the next batch to hand to the browser while the page goes away, if it [`has_room`](Self::has_room); false if
    /// there is none.
    pub fn parting(&mut self, sink: &mut impl Sink, now_ms: f64) -> bool {
        self.ring.parting(sink, now_ms)
    }

    /// Whether the browser holds one more batch, of this many bytes.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.ring.has_room(bytes)
    }

    /// The browser took that batch, of this many bytes.
    pub fn parted(&mut self, bytes: usize) {
        self.ring.parted(bytes);
    }

    /// The page lives on, or better times have come: what waits is sent now.
    pub fn came_back(&mut self, now_ms: f64) {
        self.ring.came_back();
        self.delivered(now_ms);
    }

    /// Writes what must survive a power cut: a batch as of now, to be posted by whoever finds it. False if there is nothing.
    pub fn record(&self, sink: &mut impl Sink, now_ms: f64) -> bool {
        self.ring.record(sink, now_ms)
    }

    /// How many beacons wait.
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.ring.len()).unwrap_or(u32::MAX)
    }

    /// How many beacons were lost to a bound.
    pub fn lost(&self) -> u32 {
        self.ring.lost()
    }

    /// Counts what was lost to a bound of the skin's.
    pub fn count_lost(&mut self, count: u32) {
        self.ring.count_lost(count);
    }

    /// How many beacons the edge will never take.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Counts what the edge will never take.
    pub fn count_refused(&mut self, count: u32) {
        add_to(&mut self.refused, count);
    }

    /// Remembers what is due until the origin has it.
    fn report(&mut self, place: Place, now_ms: f64, due: Due, error_code: u32) -> Due {
        let idle_s = whole((now_ms - self.touched_at_ms) / 1_000.0, DETAIL_MAX);
        for event in due.events() {
            let detail = if event == Event::Error { error_code.min(DETAIL_MAX) } else { idle_s };
            self.gather(now_ms);
            self.ring.push(place, event, now_ms, detail);
        }
        if due.bits() & BILLABLE == 0 { due } else { due.and(Due::RECORD) }
    }

    fn held(&self, place: Place) -> &Held {
        self.ads.get(usize::from(place)).unwrap_or(const { &NOBODYS })
    }

    #[inline(never)] // Half of a dozen callers, each of which it would make longer.
    fn ad(&mut self, place: Place) -> Option<&mut Ad> {
        let held = self.ads.get_mut(usize::from(place)).filter(|held| held.is_open)?;
        Some(&mut held.ad)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
