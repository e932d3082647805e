//! The border.

use alloc::{string::String, vec, vec::Vec};

use slotkeeper_beacon::Text;
use slotkeeper_sdk_core::{
    Client,
    ad::{End, Extent, Seen},
    client::Place,
    progress::Sample,
    ring::BATCH_BYTES_MAX,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// The rules of one client. Clocks are in milliseconds, as the page's `performance.now()` has them; ads are named by their
/// place; what is due comes back as [`Due::bits`](slotkeeper_sdk_core::Due::bits).
#[wasm_bindgen(skip_typescript)]
#[derive(Debug)]
pub struct Rules {
    client: Client,
    /// What was written last.
    text: Vec<u8>,
    len: usize,
}

impl Rules {
    fn write<T>(&mut self, write: impl FnOnce(&mut Client, &mut Text<'_>) -> T) -> T {
        let mut text = Text::new(&mut self.text);
        let result = write(&mut self.client, &mut text);
        self.len = text.len();
        result
    }
}

#[wasm_bindgen]
impl Rules {
    /// Nobody's yet.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::new_without_default, reason = "it is JavaScript that makes one")]
    pub fn new() -> Self {
        Self { client: Client::new(), text: vec![0; BATCH_BYTES_MAX], len: 0 }
    }

    /// Begins a session. False if the id is none.
    pub fn start(&mut self, session_id: &str, first_sequence: u32, now_ms: f64) -> bool {
        self.client.start(session_id.as_bytes(), first_sequence, now_ms)
    }

    /// Looks after one more ad. Less than 0 if it cannot.
    pub fn add(&mut self, token: &str, duration_ms: f64) -> i32 {
        self.client.add(token.as_bytes(), duration_ms).map_or(-1, i32::from)
    }

    /// The ad is a part of a stream, or a file, this long.
    pub fn extent(&mut self, place: Place, is_span: bool, duration_ms: f64) {
        let extent = if is_span { Extent::Span } else { Extent::File };
        self.client.set_extent(place, extent, duration_ms);
    }

    /// The player is about to play the ad's file from its beginning.
    pub fn begin(&mut self, place: Place, now_ms: f64, seen: u32) {
        self.client.begin(place, now_ms, Seen(seen));
    }

    /// What is due now that the player is here; `seen` are the bits of [`Seen`].
    pub fn look(&mut self, place: Place, clock_ms: f64, position_ms: f64, rate: f64, seen: u32) -> i32 {
        self.client.look(place, Sample { position_ms, clock_ms, rate }, Seen(seen)).bits().cast_signed()
    }

    /// The ad was skipped (1), failed (2, with VAST's code) or is dropped (anything else).
    pub fn end(&mut self, place: Place, how: u32, error_code: u32, now_ms: f64) -> i32 {
        self.client.end(place, End::of(how), error_code, now_ms).bits().cast_signed()
    }

    /// The viewer followed the ad's link.
    pub fn click(&mut self, place: Place, now_ms: f64) -> i32 {
        self.client.click(place, now_ms).bits().cast_signed()
    }

    /// The ad will not be spoken of again.
    pub fn release(&mut self, place: Place) {
        self.client.release(place);
    }

    /// The viewer touched something.
    pub fn touch(&mut self, now_ms: f64) {
        self.client.touch(now_ms);
    }

    /// How long until something is to be sent; less than 0 when nothing waits. `others`: something besides beacons waits.
    pub fn wait(&self, now_ms: f64, others: bool) -> i32 {
        self.client.wait_ms(now_ms, others)
    }

    /// Something besides beacons waits from now on.
    pub fn gather(&mut self, now_ms: f64) {
        self.client.gather(now_ms);
    }

    /// What waits is to be sent now.
    pub fn hurry(&mut self, now_ms: f64) {
        self.client.hurry(now_ms);
    }

    /// Writes the batch to post. Returns its number, 0 if there is none.
    pub fn batch(&mut self, now_ms: f64) -> u32 {
        self.write(|client, text| client.batch(text, now_ms)).unwrap_or_default()
    }

    /// The origin has the batch of this number, but for these many of its beacons.
    pub fn settled(&mut self, sequence: u32, refused: u32, now_ms: f64) {
        self.client.settled(sequence, refused, now_ms);
    }

    /// Something got through.
    pub fn delivered(&mut self, now_ms: f64) {
        self.client.delivered(now_ms);
    }

    /// Nobody acknowledged what was sent.
    pub fn failed(&mut self, now_ms: f64, random: f64) {
        self.client.failed(now_ms, random);
    }

    /// Writes the next batch for `sendBeacon`. False if there is none.
    pub fn parting(&mut self, now_ms: f64) -> bool {
        self.write(|client, text| client.parting(text, now_ms) && client.has_room(text.len()))
    }

    /// The browser took it.
    pub fn parted(&mut self) {
        self.client.parted(self.len);
    }

    /// The page lives on.
    pub fn back(&mut self, now_ms: f64) {
        self.client.came_back(now_ms);
    }

    /// Writes what must survive a power cut. False if there is nothing.
    pub fn record(&mut self, now_ms: f64) -> bool {
        self.write(|client, text| client.record(text, now_ms))
    }

    /// What was written last.
    pub fn text(&self) -> String {
        self.text.iter().take(self.len).map(|byte| char::from(*byte)).collect()
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
