//! Writes into the file that is its argument a script of random calls over the border, and what each gave here: one JSON array a
//! line, `[name, arguments, result]`, and a text: of `write` what another client, one with words, writes after the same calls; of
//! `start` and `add` the session's id and the token. `["new"]` begins with a fresh instance. tests/sdk/same.test.mjs plays it
//! against the wasm and against its twin: they must give the same, and the glue must make the same texts of it, byte for byte.
//!
//! The arguments are odd on purpose (no numbers, places without ads, clocks that run back), among long stretches of playing as players
//! do, in which events become due.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
};

use slotkeeper_beacon::Text;
use slotkeeper_sdk_core::{
    Client, Due,
    ad::{End, Extent, Seen},
    progress::Sample,
    ring::BATCH_BYTES_MAX,
};
use slotkeeper_sdk_tv::Border;

const LIVES: u32 = 40;
const CALLS_PER_LIFE: u32 = 1_000;
const ODD: [f64; 8] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300, 4_294_967_296.5, -0.0];
const BITS: [u32; 8] = [
    Seen::PAUSED,
    Seen::SEEKING,
    Seen::ENDED,
    Seen::SILENT,
    Seen::FULLSCREEN,
    Seen::IN_VIEW,
    Seen::VIEW_UNKNOWN,
    Seen::HIDDEN,
];

/// PCG's sibling splitmix64: every run writes the same script.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).unwrap_or_default()
    }

    fn is(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// Below 1.
    fn fraction(&mut self) -> f64 {
        f64::from(self.below(1_000_000)) / 1e6
    }

    fn word(&mut self, len: u32) -> String {
        const BYTES: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..len).map(|_| char::from(BYTES[self.below(64) as usize])).collect()
    }
}

/// One instance, and a viewer who plays on it.
struct Life<'a> {
    random: &'a mut Random,
    border: Box<Border>,
    /// The same session with its words, as a browser has it.
    worded: Box<Client>,
    now_ms: f64,
    position_ms: f64,
    seen: u32,
    place: u8,
    /// Whether this viewer watches to the end.
    is_calm: bool,
    line: String,
}

impl Life<'_> {
    fn number(number: f64) -> String {
        if number.is_finite() { format!("{number}") } else { format!("\"{number}\"").replace("inf", "Infinity") }
    }

    /// Notes a call, and a text.
    fn note(&mut self, name: &str, arguments: &[f64], result: f64, text: Option<&str>) {
        let arguments = arguments.iter().map(|argument| Self::number(*argument)).collect::<Vec<_>>().join(",");
        let _ = write!(self.line, "[\"{name}\",[{arguments}],{}", Self::number(result));
        if let Some(text) = text {
            let _ = write!(self.line, ",\"{}\"", text.replace('\n', "\\n"));
        }
        self.line.push_str("]\n");
    }

    /// Writes, and notes it; returns the text.
    fn write(&mut self, what: u32, now_ms: f64) -> String {
        let mut bytes = [0; BATCH_BYTES_MAX];
        let mut text = Text::new(&mut bytes);
        let is_one = match what {
            0 => self.worded.batch(&mut text, now_ms).is_some(),
            1 => self.worded.parting(&mut text, now_ms),
            _ => self.worded.record(&mut text, now_ms),
        };
        let len = if is_one { text.len() } else { 0 };
        let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
        let count = self.border.write(what, now_ms);
        let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.note("write", &[f64::from(what), now_ms], count, Some(&text));
        text
    }

    /// Sets both clients' pace, and notes it.
    fn pace(&mut self, what: u32, now_ms: f64, random: f64) {
        match what {
            0 => self.worded.gather(now_ms),
            1 => self.worded.hurry(now_ms),
            2 => self.worded.delivered(now_ms),
            3 => self.worded.failed(now_ms, random),
            4 => self.worded.came_back(now_ms),
            _ => self.worded.touch(now_ms),
        }
        self.border.pace(what, now_ms, random);
        self.note("pace", &[f64::from(what), now_ms, random], 0.0, None);
    }

    /// Both clients must say the same of an ad.
    fn due(&mut self, place: u8, worded: Due, due: u32) {
        assert_eq!(worded.bits(), due, "words change the rules");
        if worded.has(Due::CLOSED) {
            self.worded.release(place);
        }
    }

    fn act(&mut self, place: u8, how: u32, code: u32, now_ms: f64) {
        let worded = match how {
            1 => self.worded.end(place, End::Skipped, code, now_ms),
            2 => self.worded.end(place, End::Failed, code, now_ms),
            3 => self.worded.click(place, now_ms),
            _ => self.worded.end(place, End::Dropped, code, now_ms),
        };
        let due = self.border.act(place, now_ms, how, code);
        self.due(place, worded, due);
        self.note("act", &[f64::from(place), now_ms, f64::from(how), f64::from(code)], f64::from(due), None);
    }

    /// What a test would not think of, now and then.
    fn odd(&mut self, usual: f64) -> f64 {
        if !self.is_calm && self.random.is(2) { ODD[self.random.below(8) as usize] } else { usual }
    }

    fn begin(&mut self) {
        let id = self.random.word(36);
        let first = self.random.below(3);
        assert!(self.worded.start(id.as_bytes(), first, self.now_ms));
        self.border.start(first, self.now_ms);
        self.note("start", &[f64::from(first), self.now_ms], 0.0, Some(&id));
    }

    fn add(&mut self) {
        let length = if self.random.is(90) { 64 } else { 1 + self.random.below(80) };
        let token = self.random.word(length);
        let seconds = f64::from(1 + self.random.below(30));
        let duration_ms = self.odd(seconds * 1_000.0);
        let worded = self.worded.add(token.as_bytes(), duration_ms);
        let place = self.border.add(duration_ms);
        assert_eq!(worded.map_or(-1, i32::from), place);
        self.note("add", &[duration_ms], f64::from(place), Some(&token));
        if let Ok(place) = u8::try_from(place) {
            self.place = place;
            self.position_ms = 0.0;
            self.worded.begin(place, self.now_ms, Seen(self.seen));
            self.border.begin(place, self.now_ms, self.seen);
            self.note("begin", &[f64::from(place), self.now_ms, f64::from(self.seen)], 0.0, None);
        }
    }

    /// Plays on for a while, as players do.
    fn look(&mut self) {
        let passed_ms = 250.0 * self.random.fraction();
        self.now_ms += passed_ms;
        if self.random.is(6) {
            self.seen ^= BITS[self.random.below(8) as usize];
        }
        if self.is_calm || self.random.is(5) {
            self.seen &= Seen::IN_VIEW | Seen::SILENT;
        }
        let rate = if self.is_calm || self.random.is(95) { 1.0 } else { 2.0 * self.random.fraction() };
        if self.seen & (Seen::PAUSED | Seen::SEEKING) == 0 {
            self.position_ms += passed_ms * rate;
        }
        if self.is_calm && self.position_ms > 30_000.0 {
            self.seen |= Seen::ENDED;
        }
        if !self.is_calm && self.random.is(2) {
            self.position_ms = 30_000.0 * self.random.fraction() - 1_000.0;
        }
        let (clock_ms, position_ms) = (self.odd(self.now_ms), self.odd(self.position_ms));
        let worded = self.worded.look(self.place, Sample { position_ms, clock_ms, rate }, Seen(self.seen));
        let due = self.border.look(self.place, clock_ms, position_ms, rate, self.seen);
        self.due(self.place, worded, due);
        let arguments = [f64::from(self.place), clock_ms, position_ms, rate, f64::from(self.seen)];
        self.note("look", &arguments, f64::from(due), None);
    }

    fn another(&mut self) {
        let now_ms = self.odd(self.now_ms);
        let place = if self.random.is(80) { self.place } else { u8::try_from(self.random.below(130)).unwrap_or(0) };
        let at = f64::from(place);
        match self.random.below(18) {
            0 => {
                let (how, code) = (self.random.below(3), self.random.below(1_000));
                self.act(place, how, code, now_ms);
            }
            1 => self.act(place, 3, 0, now_ms),
            2 => {
                let (is_span, seconds) = (self.random.below(2), f64::from(self.random.below(40)));
                let duration_ms = self.odd(seconds * 1_000.0);
                let extent = if is_span == 0 { Extent::File } else { Extent::Span };
                self.worded.set_extent(place, extent, duration_ms);
                self.border.extent(place, duration_ms, is_span);
                self.note("extent", &[at, duration_ms, f64::from(is_span)], 0.0, None);
            }
            3 | 4 => {
                let others = self.random.below(2);
                let wait_ms = self.border.wait(now_ms, others);
                self.note("wait", &[now_ms, f64::from(others)], f64::from(wait_ms), None);
            }
            what @ 5..=8 => self.pace([0, 1, 2, 5][what as usize - 5], now_ms, 0.0),
            9..=11 => self.send(now_ms),
            12 => {
                let text = self.write(1, now_ms);
                let bytes = text.len();
                for is_taken in 0..=u32::from(self.random.is(70)) {
                    if is_taken != 0 {
                        self.worded.parted(bytes);
                    }
                    let has_room = self.border.part(bytes, is_taken);
                    let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
                    self.note("part", &[bytes, f64::from(is_taken)], f64::from(has_room), None);
                }
            }
            13 => self.pace(4, now_ms, 0.0),
            14 | 15 => {
                self.write(2, now_ms);
            }
            16 => {
                let more = if self.random.is(97) { self.random.below(3) } else { u32::MAX };
                self.worded.count_lost(more);
                for what in [1, 2] {
                    let count = self.border.count(what, more);
                    self.note("count", &[f64::from(what), f64::from(more)], f64::from(count), None);
                }
            }
            _ => self.add(),
        }
        let waiting = self.border.count(0, 0);
        self.note("count", &[0.0, 0.0], f64::from(waiting), None);
    }

    /// Posts a batch, with an answer or none, or that of another.
    fn send(&mut self, now_ms: f64) {
        let text = self.write(0, now_ms);
        if self.random.is(40) {
            let random = self.random.fraction();
            let random = self.odd(random);
            self.pace(3, now_ms, random);
            return;
        }
        let sequence = text.split(' ').nth(2).and_then(|number| number.parse().ok()).unwrap_or(1_u32);
        let sequence = if self.random.is(90) { sequence } else { sequence + 1 };
        let refused = self.random.below(3);
        self.worded.settled(sequence, refused, now_ms);
        self.border.settled(sequence, now_ms, refused);
        self.note("settled", &[f64::from(sequence), now_ms, f64::from(refused)], 0.0, None);
    }
}

fn main() -> io::Result<()> {
    let mut random = Random(20_170_601);
    let path = env::args_os().nth(1).ok_or_else(|| io::Error::other("name the file to write"))?;
    let mut out = io::BufWriter::new(File::create(path)?);
    for nth in 0..LIVES {
        writeln!(out, "[\"new\"]")?;
        let mut life = Life {
            random: &mut random,
            border: Box::new(Border::new()),
            worded: Box::new(Client::new()),
            now_ms: 1_000.0,
            position_ms: 0.0,
            seen: Seen::IN_VIEW,
            place: 0,
            is_calm: nth % 4 == 1,
            line: String::new(),
        };
        life.begin();
        for _ in 0..CALLS_PER_LIFE {
            // Some hardly play, so that the bounds are reached; some hardly do anything else.
            let looks_percent = match nth % 4 {
                0 => 20,
                1 => 99,
                _ => 85,
            };
            if life.random.is(looks_percent) {
                life.look();
            } else {
                life.another();
            }
            if nth % 4 == 0 && life.random.is(40) {
                life.add();
                life.act(life.place, 0, 0, life.now_ms);
            }
        }
        out.write_all(life.line.as_bytes())?;
    }
    out.flush()
}
