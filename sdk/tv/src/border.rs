//! The border: numbers in, numbers out.

use slotkeeper_beacon::{Event, Text};
use slotkeeper_sdk_core::{
    Client,
    ad::{End, Extent, Seen},
    client::Place,
    progress::Sample,
    ring::BATCH_BYTES_MAX,
};

/// How long the buffer is, in bytes.
pub const TEXT_BYTES: usize = BATCH_BYTES_MAX;

/// A client and the buffer through which texts go. Clocks are in milliseconds, as the page's `performance.now()` has them; ads
/// are named by their place, no ad is −1; what is due comes back as [`Due::bits`](slotkeeper_sdk_core::Due::bits).
#[derive(Debug)]
pub struct Border {
    client: Client,
    text: [u8; TEXT_BYTES],
    /// How long the batch is that was written last for `sendBeacon`.
    written: usize,
}

impl Border {
    /// Nobody's yet.
    pub const fn new() -> Self {
        Self { client: Client::new(), text: [0; TEXT_BYTES], written: 0 }
    }
}

impl Border {
    /// The buffer.
    pub fn text(&mut self) -> &mut [u8; TEXT_BYTES] {
        &mut self.text
    }

    /// Writes the names of all events, in the order of their codes, each with a space behind it; returns how long that is.
    pub fn names(&mut self) -> usize {
        let mut text = Text::new(&mut self.text);
        text.bytes(Event::names().as_bytes());
        text.len()
    }

    /// Begins a session whose id is the first `len` bytes of the buffer. 0 if it is none.
    pub fn start(&mut self, len: usize, first_sequence: u32, now_ms: f64) -> u32 {
        let id = self.text.get(..len).unwrap_or_default();
        u32::from(self.client.start(id, first_sequence, now_ms))
    }

    /// Looks after one more ad, whose token is the first `len` bytes of the buffer. −1 if it cannot.
    pub fn add(&mut self, len: usize, duration_ms: f64) -> i32 {
        let token = self.text.get(..len).unwrap_or_default();
        self.client.add(token, duration_ms).map_or(-1, i32::from)
    }

    /// The ad is a part of a stream (1) or a file (0), this long.
    pub fn extent(&mut self, place: Place, is_span: u32, duration_ms: f64) {
        let extent = if is_span == 0 { Extent::File } else { Extent::Span };
        self.client.set_extent(place, extent, duration_ms);
    }

    /// The player is about to play the ad's file from its beginning.
    pub fn begin(&mut self, place: Place, now_ms: f64, seen: u32) {
        self.client.begin(place, now_ms, Seen(seen));
    }

    /// What is due now that the player is here; `seen` are the bits of [`Seen`].
    pub fn look(&mut self, place: Place, clock_ms: f64, position_ms: f64, rate: f64, seen: u32) -> u32 {
        self.client.look(place, Sample { position_ms, clock_ms, rate }, Seen(seen)).bits()
    }

    /// The ad was skipped (1), failed (2, with VAST's code) or is dropped (anything else).
    pub fn end(&mut self, place: Place, how: u32, error_code: u32, now_ms: f64) -> u32 {
        let how = match how {
            1 => End::Skipped,
            2 => End::Failed,
            _ => End::Dropped,
        };
        self.client.end(place, how, error_code, now_ms).bits()
    }

    /// The viewer followed the ad's link.
    pub fn click(&mut self, place: Place, now_ms: f64) -> u32 {
        self.client.click(place, now_ms).bits()
    }

    /// The ad will not be spoken of again.
    pub fn release(&mut self, place: Place) {
        self.client.release(place);
    }

    /// The viewer touched something.
    pub fn touch(&mut self, now_ms: f64) {
        self.client.touch(now_ms);
    }

    /// How long until something is to be sent; less than 0 when nothing waits. `others`: not 0 if something besides beacons
    /// waits.
    pub fn wait(&self, now_ms: f64, others: u32) -> f64 {
        self.client.wait_ms(now_ms, others != 0)
    }

    /// Something besides beacons waits from now on.
    pub fn gather(&mut self, now_ms: f64) {
        self.client.gather(now_ms);
    }

    /// What waits is to be sent now.
    pub fn hurry(&mut self, now_ms: f64) {
        self.client.hurry(now_ms);
    }

    /// Writes the batch to post; returns its length, 0 if there is none. The third word of it is its number.
    pub fn batch(&mut self, now_ms: f64) -> usize {
        let mut text = Text::new(&mut self.text);
        self.client.batch(&mut text, now_ms);
        text.len()
    }

    /// The origin has the batch of this number, but for these many of its beacons.
    pub fn settled(&mut self, sequence: u32, refused: u32, now_ms: f64) -> u32 {
        self.client.settled(sequence, refused, now_ms).bits()
    }

    /// Something besides beacons got through.
    pub fn delivered(&mut self, now_ms: f64) {
        self.client.delivered(now_ms);
    }

    /// Nobody acknowledged what was sent.
    pub fn failed(&mut self, now_ms: f64, random: f64) {
        self.client.failed(now_ms, random);
    }

    /// Writes the next batch for `sendBeacon`; returns its length, 0 if there is none.
    pub fn parting(&mut self, now_ms: f64) -> usize {
        let mut text = Text::new(&mut self.text);
        let is_one = self.client.parting(&mut text, now_ms);
        self.written = if is_one { text.len() } else { 0 };
        self.written
    }

    /// The browser took it.
    pub fn parted(&mut self) {
        self.client.parted(self.written);
    }

    /// The page lives on.
    pub fn back(&mut self, now_ms: f64) {
        self.client.came_back(now_ms);
    }

    /// Writes what must survive a power cut; returns its length, 0 if there is nothing.
    pub fn record(&mut self, now_ms: f64) -> usize {
        let mut text = Text::new(&mut self.text);
        if self.client.record(&mut text, now_ms) { text.len() } else { 0 }
    }

    /// How many beacons wait.
    pub fn waiting(&self) -> u32 {
        self.client.waiting()
    }

    /// How many were lost to a bound; `more` is added to them first.
    pub fn lost(&mut self, more: u32) -> u32 {
        self.client.count_lost(more);
        self.client.lost()
    }

    /// How many the edge will never take; `more` is added to them first.
    pub fn refused(&mut self, more: u32) -> u32 {
        self.client.count_refused(more);
        self.client.refused()
    }
}

impl Default for Border {
    fn default() -> Self {
        Self::new()
    }
}
