//! Writes into the file that is its argument a script of random calls over the border, and what each gave here: one JSON array a line, `[name, arguments, result]`, and
//! the text that it wrote or read, if any. `["new"]` begins with a fresh instance. tests/sdk/same.test.mjs plays it against the wasm and
//! against its twin: they must give the same, byte for byte.
//!
//! The arguments are odd on purpose (no numbers, places without ads, clocks that run back), among long stretches of playing as players
//! do, in which events become due.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
};

use slotkeeper_sdk_core::ad::Seen;
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
        const BYTES: &[u8; 66] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_ .";
        // Mostly of what tokens are made.
        let kinds = if self.is(97) { 64 } else { 66 };
        (0..len).map(|_| char::from(BYTES[self.below(kinds) as usize])).collect()
    }
}

/// One instance, and a viewer who plays on it.
struct Life<'a> {
    random: &'a mut Random,
    border: Box<Border>,
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

    /// Notes a call; `text` is what lies in the buffer that matters.
    fn note(&mut self, name: &str, arguments: &[f64], result: f64, text: Option<&[u8]>) {
        let arguments = arguments.iter().map(|argument| Self::number(*argument)).collect::<Vec<_>>().join(",");
        let _ = write!(self.line, "[\"{name}\",[{arguments}],{}", Self::number(result));
        if let Some(text) = text {
            let text = String::from_utf8_lossy(text).replace('\n', "\\n");
            let _ = write!(self.line, ",\"{text}\"");
        }
        self.line.push_str("]\n");
    }

    /// Notes a call that wrote so many bytes.
    fn note_text(&mut self, name: &str, arguments: &[f64], len: usize) {
        let text = self.border.text().get(..len).unwrap_or_default().to_vec();
        self.note(name, arguments, f64::from(u32::try_from(len).unwrap_or(u32::MAX)), Some(&text));
    }

    fn write(&mut self, text: &str) -> usize {
        for (to, from) in self.border.text().iter_mut().zip(text.bytes()) {
            *to = from;
        }
        text.len()
    }

    /// What a test would not think of, now and then.
    fn odd(&mut self, usual: f64) -> f64 {
        if !self.is_calm && self.random.is(2) { ODD[self.random.below(8) as usize] } else { usual }
    }

    fn begin(&mut self) {
        let id = self.random.word(36);
        let (len, first) = (self.write(&id), self.random.below(3));
        let result = self.border.start(len, first, self.now_ms);
        self.note("start", &[36.0, f64::from(first), self.now_ms], f64::from(result), Some(id.as_bytes()));
        let len = self.border.names();
        self.note_text("names", &[], len);
    }

    fn add(&mut self) {
        let length = if self.random.is(90) { 64 } else { self.random.below(100) };
        let token = self.random.word(length);
        let seconds = f64::from(1 + self.random.below(30));
        let duration_ms = self.odd(seconds * 1_000.0);
        let len = self.write(&token);
        let place = self.border.add(len, duration_ms);
        self.note("add", &[f64::from(length), duration_ms], f64::from(place), Some(token.as_bytes()));
        if let Ok(place) = u8::try_from(place) {
            self.place = place;
            self.position_ms = 0.0;
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
        let due = self.border.look(self.place, clock_ms, position_ms, rate, self.seen);
        let arguments = [f64::from(self.place), clock_ms, position_ms, rate, f64::from(self.seen)];
        self.note("look", &arguments, f64::from(due), None);
    }

    fn another(&mut self) {
        let now_ms = self.odd(self.now_ms);
        let place = if self.random.is(80) { self.place } else { u8::try_from(self.random.below(130)).unwrap_or(0) };
        let at = f64::from(place);
        match self.random.below(19) {
            0 => {
                let (how, code) = (self.random.below(4), self.random.below(1_000));
                let due = self.border.end(place, how, code, now_ms);
                self.note("end", &[at, f64::from(how), f64::from(code), now_ms], f64::from(due), None);
            }
            1 => {
                let due = self.border.click(place, now_ms);
                self.note("click", &[at, now_ms], f64::from(due), None);
            }
            2 => {
                let (is_span, seconds) = (self.random.below(2), f64::from(self.random.below(40)));
                let duration_ms = self.odd(seconds * 1_000.0);
                self.border.extent(place, is_span, duration_ms);
                self.note("extent", &[at, f64::from(is_span), duration_ms], 0.0, None);
            }
            3 => {
                self.border.release(place);
                self.note("release", &[at], 0.0, None);
            }
            4 => {
                self.border.touch(now_ms);
                self.note("touch", &[now_ms], 0.0, None);
            }
            5 | 6 => {
                let others = self.random.below(2);
                let wait_ms = self.border.wait(now_ms, others);
                self.note("wait", &[now_ms, f64::from(others)], wait_ms, None);
            }
            7 => {
                self.border.gather(now_ms);
                self.note("gather", &[now_ms], 0.0, None);
            }
            8 => {
                self.border.hurry(now_ms);
                self.note("hurry", &[now_ms], 0.0, None);
            }
            9..=11 => self.send(now_ms),
            12 => {
                self.border.delivered(now_ms);
                self.note("delivered", &[now_ms], 0.0, None);
            }
            13 => {
                let len = self.border.parting(now_ms);
                self.note_text("parting", &[now_ms], len);
                if self.random.is(70) {
                    self.border.parted();
                    self.note("parted", &[], 0.0, None);
                }
            }
            14 => {
                self.border.back(now_ms);
                self.note("back", &[now_ms], 0.0, None);
            }
            15 | 16 => {
                let len = self.border.record(now_ms);
                self.note_text("record", &[now_ms], len);
            }
            17 => {
                let more = if self.random.is(97) { self.random.below(3) } else { u32::MAX };
                let lost = self.border.lost(more);
                self.note("lost", &[f64::from(more)], f64::from(lost), None);
                let refused = self.border.refused(more);
                self.note("refused", &[f64::from(more)], f64::from(refused), None);
            }
            _ => self.add(),
        }
        let waiting = self.border.waiting();
        self.note("waiting", &[], f64::from(waiting), None);
    }

    /// Posts a batch, with an answer or none, or that of another.
    fn send(&mut self, now_ms: f64) {
        let len = self.border.batch(now_ms);
        self.note_text("batch", &[now_ms], len);
        if self.random.is(40) {
            let random = self.random.fraction();
            let random = self.odd(random);
            self.border.failed(now_ms, random);
            self.note("failed", &[now_ms, random], 0.0, None);
            return;
        }
        let text = String::from_utf8_lossy(&self.border.text()[..len]).into_owned();
        let sequence = text.split(' ').nth(2).and_then(|number| number.parse().ok()).unwrap_or(1_u32);
        let sequence = if self.random.is(90) { sequence } else { sequence + 1 };
        let refused = self.random.below(3);
        let due = self.border.settled(sequence, refused, now_ms);
        self.note("settled", &[f64::from(sequence), f64::from(refused), now_ms], f64::from(due), None);
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
                let due = life.border.end(life.place, 0, 0, life.now_ms);
                life.note("end", &[f64::from(life.place), 0.0, 0.0, life.now_ms], f64::from(due), None);
                life.border.release(life.place);
                life.note("release", &[f64::from(life.place)], 0.0, None);
            }
        }
        out.write_all(life.line.as_bytes())?;
    }
    out.flush()
}
