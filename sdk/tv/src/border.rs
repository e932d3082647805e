//! The border: numbers in, numbers out.

use slotkeeper_sdk_core::{
    Client, Due,
    ad::{End, Extent, Seen},
    client::Place,
    progress::Sample,
    ring::BATCH_BEACONS_MAX,
    sink::Sink,
    sure::sure,
};

/// How many numbers a batch has at most: two of its first line, four of each beacon.
pub const NUMBERS_MAX: usize = 2 + 4 * BATCH_BEACONS_MAX;

/// A batch without its words: its number, how many beacons were lost, then of each beacon the place of its ad, the code of its
/// event, its age in milliseconds, its detail.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Numbers {
    len: usize,
    numbers: [u32; NUMBERS_MAX],
}

impl Numbers {
    const EMPTY: Self = Self { len: 0, numbers: [0; NUMBERS_MAX] };

    #[inline(never)] // Six times what is called so is shorter.
    fn push(&mut self, number: u32) {
        *sure(self.numbers.get_mut(self.len)) = number;
        self.len += 1;
    }
}

impl Sink for Numbers {
    fn head(&mut self, _: &[u8], sequence: u32, lost: u32) {
        self.push(sequence);
        self.push(lost);
    }

    fn line(&mut self, (ad, _): (u8, &[u8]), event_code: u8, age_ms: u32, detail: u32) {
        self.push(ad.into());
        self.push(event_code.into());
        self.push(age_ms);
        self.push(detail);
    }
}

/// A client, and the batch it wrote last. Clocks are in milliseconds, as the page's `performance.now()` has them; ads are named
/// by their place, no ad is −1; what is due comes back as [`Due::bits`]. The session's id and the tokens are the glue's to keep
/// and to check.
#[derive(Debug)]
#[repr(C)] // So that what is long comes last.
pub struct Border {
    client: Client,
    batch: Numbers,
}

impl Border {
    /// Nobody's yet.
    pub const fn new() -> Self {
        Self { client: Client::new(), batch: Numbers::EMPTY }
    }
}

impl Border {
    /// Begins a session.
    pub fn start(&mut self, first_sequence: u32, now_ms: f64) {
        self.client.start_unnamed(first_sequence, now_ms);
    }

    /// Looks after one more ad. −1 if it cannot.
    pub fn add(&mut self, duration_ms: f64) -> i32 {
        self.client.add_unnamed(duration_ms).map_or(-1, i32::from)
    }

    /// The ad is a part of a stream (1) or a file (0), this long.
    pub fn extent(&mut self, place: Place, duration_ms: f64, is_span: u32) {
        let extent = if is_span == 0 { Extent::File } else { Extent::Span };
        self.client.set_extent(place, extent, duration_ms);
    }

    /// The player is about to play the ad's file from its beginning.
    pub fn begin(&mut self, place: Place, now_ms: f64, seen: u32) {
        self.client.begin(place, now_ms, Seen(seen));
    }

    /// What is due now that the player is here; `seen` are the bits of [`Seen`]. An ad to which nothing more can happen is not
    /// spoken of again.
    pub fn look(&mut self, place: Place, clock_ms: f64, position_ms: f64, rate: f64, seen: u32) -> u32 {
        let due = self.client.look(place, Sample { position_ms, clock_ms, rate }, Seen(seen));
        self.told(place, due)
    }

    /// The ad was skipped (1), failed (2, with VAST's code), had its link followed (3) or is dropped (anything else).
    pub fn act(&mut self, place: Place, now_ms: f64, how: u32, error_code: u32) -> u32 {
        let due = match how {
            3 => self.client.click(place, now_ms),
            how => self.client.end(place, End::of(how), error_code, now_ms),
        };
        self.told(place, due)
    }

    fn told(&mut self, place: Place, due: Due) -> u32 {
        if due.has(Due::CLOSED) {
            self.client.release(place);
        }
        due.bits()
    }

    /// How long until something is to be sent; less than 0 when nothing waits. `others`: not 0 if something besides beacons
    /// waits.
    pub fn wait(&self, now_ms: f64, others: u32) -> i32 {
        self.client.wait_ms(now_ms, others != 0)
    }

    /// Something besides beacons waits from now on (0); what waits is to be sent now (1); something besides beacons got through
    /// (2); nobody acknowledged what was sent (3, with a number from 0 to 1); the page lives on (4); the viewer touched something
    /// (anything else).
    pub fn pace(&mut self, what: u32, now_ms: f64, random: f64) {
        match what {
            0 => self.client.gather(now_ms),
            1 => self.client.hurry(now_ms),
            2 => self.client.delivered(now_ms),
            3 => self.client.failed(now_ms, random),
            4 => self.client.came_back(now_ms),
            _ => self.client.touch(now_ms),
        }
    }

    /// Writes the batch to post (0), the next one for `sendBeacon` (1), or what must survive a power cut (anything else); returns
    /// how many [numbers](Numbers) it has, 0 if there is none.
    pub fn write(&mut self, what: u32, now_ms: f64) -> usize {
        self.batch.len = 0;
        match what {
            0 => _ = self.client.batch(&mut self.batch, now_ms),
            1 => _ = self.client.parting(&mut self.batch, now_ms),
            _ => _ = self.client.record(&mut self.batch, now_ms),
        }
        self.batch.len
    }

    /// A number of what was written last: one of those that [`write`](Self::write) said there are.
    pub fn number(&self, at: usize) -> u32 {
        *sure(self.batch.numbers.get(at))
    }

    /// The origin has the batch of this number, but for these many of its beacons.
    pub fn settled(&mut self, sequence: u32, now_ms: f64, refused: u32) {
        self.client.settled(sequence, refused, now_ms);
    }

    /// The batch for `sendBeacon` has these many bytes: whether there is room for it (0), or that the browser took it (1).
    pub fn part(&mut self, bytes: usize, is_taken: u32) -> u32 {
        if is_taken != 0 {
            self.client.parted(bytes);
        }
        u32::from(self.client.has_room(bytes))
    }

    /// How many beacons wait (0), were lost to a bound (1), or will never be taken by the edge (anything else); `more` is added
    /// to them first.
    pub fn count(&mut self, what: u32, more: u32) -> u32 {
        match what {
            0 => self.client.waiting(),
            1 => {
                self.client.count_lost(more);
                self.client.lost()
            }
            _ => {
                self.client.count_refused(more);
                self.client.refused()
            }
        }
    }
}

impl Default for Border {
    fn default() -> Self {
        Self::new()
    }
}
