//! What a page says to the client, call by call: whatever it is, the client neither invents a beacon, nor loses one without
//! counting it, nor changes what a number stands for.
#![no_main]

use std::collections::{HashMap, HashSet};

use libfuzzer_sys::fuzz_target;
use slotkeeper_beacon::Text;
use slotkeeper_core::beacon::{Batch, Event};
use slotkeeper_fuzz::seed;
use slotkeeper_sdk_core::{
    Client, Due,
    ad::{End, Extent, Seen},
    progress::Sample,
    ring::{BATCH_BYTES_MAX, BILLABLE, PARTING_BYTES_MAX},
};

/// A beacon, as far as it stays the same however often it is sent.
type Line = (String, Event, Option<u32>);

fuzz_target!(init: seed("played", played()), |script: &[u8]| {
    let mut page = Page::new();
    let mut script = Script(script);
    while let Some(call) = script.byte() {
        page.call(call, &mut script);
        page.check();
    }
    page.deliver();
});

/// A page, and what it was told.
struct Page {
    client: Box<Client>,
    now_ms: f64,
    /// The token of each place.
    tokens: HashMap<u8, String>,
    tokens_given: u32,
    told: HashSet<(String, Event)>,
    told_count: u64,
    acknowledged_count: u64,
    /// Lost to the bounds of the page itself.
    own_lost: u32,
    /// How many beacons the batch in flight has, and its number.
    in_flight: Option<(u32, u64)>,
    sent: HashMap<u32, Vec<Line>>,
    parted_bytes: usize,
}

impl Page {
    fn new() -> Self {
        let mut client = Box::new(Client::new());
        assert!(client.start(b"s-1", 0, 0.0));
        Self {
            client,
            now_ms: 0.0,
            tokens: HashMap::new(),
            tokens_given: 0,
            told: HashSet::new(),
            told_count: 0,
            acknowledged_count: 0,
            own_lost: 0,
            in_flight: None,
            sent: HashMap::new(),
            parted_bytes: 0,
        }
    }

    fn call(&mut self, call: u8, script: &mut Script<'_>) {
        let place = script.byte().unwrap_or_default();
        match call % 20 {
            0 => self.add(script.number()),
            1 => {
                let extent = if script.bits() % 2 == 0 { Extent::File } else { Extent::Span };
                self.client.set_extent(place, extent, script.number());
            }
            2 => self.client.begin(place, script.number(), Seen(script.bits())),
            3 => {
                let sample = Sample { clock_ms: script.number(), position_ms: script.number(), rate: script.number() };
                let due = self.client.look(place, sample, Seen(script.bits()));
                self.tell(place, due);
            }
            // As a page really looks: its clock goes on, and the ad plays.
            4..=6 => {
                self.now_ms += f64::from(script.byte().unwrap_or_default()) * 20.0;
                let sample = Sample { clock_ms: self.now_ms, position_ms: self.now_ms, rate: 1.0 };
                let due = self.client.look(place % 4, sample, Seen(script.bits()));
                self.tell(place % 4, due);
            }
            7 => {
                let how = [End::Skipped, End::Failed, End::Dropped][script.bits() as usize % 3];
                let due = self.client.end(place, how, script.bits(), script.number());
                self.tell(place, due);
            }
            8 => {
                let due = self.client.click(place, script.number());
                self.tell(place, due);
            }
            9 => self.client.release(place),
            10 => self.client.touch(script.number()),
            11 => self.client.gather(script.number()),
            12 => self.client.hurry(script.number()),
            13 => self.post(script.number()),
            14 => self.settle(script),
            15 => {
                self.in_flight = None;
                self.client.failed(script.number(), script.number());
            }
            16 => self.part(script.number(), place % 2 == 0),
            17 => {
                self.parted_bytes = 0;
                self.client.came_back(script.number());
            }
            18 => {
                self.own_lost = self.own_lost.saturating_add(place.into());
                self.client.count_lost(place.into());
            }
            _ => self.client.delivered(script.number()),
        }
    }

    fn add(&mut self, duration_ms: f64) {
        let token = format!("tok-{}", self.tokens_given);
        let Some(place) = self.client.add(token.as_bytes(), duration_ms) else { return };
        self.tokens_given += 1;
        assert!(self.client.is_waiting(place), "a new ad has a past");
        self.tokens.insert(place, token);
    }

    fn tell(&mut self, place: u8, due: Due) {
        assert_eq!(due.has(Due::RECORD), due.bits() & BILLABLE != 0, "the record is stale");
        for event in Event::ALL.iter().filter(|event| due.has(Due::event(**event))) {
            let token = self.tokens.get(&place).expect("an event of no ad");
            let is_new = self.told.insert((token.clone(), *event));
            let may_repeat = matches!(
                event,
                Event::Pause
                    | Event::Resume
                    | Event::Mute
                    | Event::Unmute
                    | Event::PlayerExpand
                    | Event::PlayerCollapse
            );
            assert!(is_new || may_repeat, "{event} twice");
            let quartile = event.code();
            let is_in_order = !(2..=5).contains(&quartile)
                || Event::from_code(quartile - 1).is_some_and(|before| self.told.contains(&(token.clone(), before)));
            assert!(is_in_order, "{event} before the one before it");
            self.told_count += 1;
        }
    }

    fn post(&mut self, now_ms: f64) {
        let mut buffer = [0; BATCH_BYTES_MAX];
        let mut text = Text::new(&mut buffer);
        let Some(number) = self.client.batch(&mut text, now_ms) else {
            assert_eq!(self.client.waiting(), 0, "what waits is not sent");
            return;
        };
        let len = text.len();
        let count = self.read(&buffer[..len], Some(number));
        self.in_flight = Some((number, count));
    }

    fn settle(&mut self, script: &mut Script<'_>) {
        let off = script.bits();
        let Some((number, count)) = self.in_flight else {
            assert_eq!(self.client.settled(off, 1, 0.0), Due::NOTHING, "an answer to nothing");
            return;
        };
        let due = self.client.settled(number.wrapping_add(off), 0, script.number());
        assert_eq!(due != Due::NOTHING, off == 0, "an answer to another batch");
        if due != Due::NOTHING {
            self.acknowledged_count += count;
            self.in_flight = None;
        }
    }

    fn part(&mut self, now_ms: f64, is_taken: bool) {
        let mut buffer = [0; BATCH_BYTES_MAX];
        let mut text = Text::new(&mut buffer);
        if !self.client.parting(&mut text, now_ms) || !self.client.has_room(text.len()) {
            return;
        }
        let len = text.len();
        self.read(&buffer[..len], None);
        if is_taken {
            self.client.parted(len);
            self.parted_bytes += len;
            assert!(self.parted_bytes <= PARTING_BYTES_MAX);
        }
    }

    /// What leaves the page: every beacon was an event, and a number stands for what it stood for before, but for what was lost
    /// of its beginning. Returns how many there are.
    fn read(&mut self, text: &[u8], number: Option<u32>) -> u64 {
        let batch = Batch::parse(std::str::from_utf8(text).expect("text")).expect("a batch");
        assert!(number.is_none_or(|number| number == batch.sequence));
        assert_ne!(batch.sequence, 1, "the number of the record");
        let lost = self.client.lost();
        assert_eq!(batch.lost, lost);
        let lines: Vec<Line> = batch.beacons.iter().map(|it| (it.token.to_owned(), it.event, it.detail)).collect();
        for (token, event, _) in &lines {
            assert!(self.told.contains(&(token.clone(), *event)), "{event} of {token} never happened");
        }
        let count = lines.len() as u64;
        if let Some(before) = self.sent.insert(batch.sequence, lines.clone()) {
            assert!(before.ends_with(&lines), "number {} changed", batch.sequence);
            assert!(before == lines || lost > 0, "lost and not counted");
        }
        count
    }

    fn check(&mut self) {
        let lost = self.client.lost();
        if lost < u32::MAX {
            let accounted =
                self.acknowledged_count + u64::from(self.client.waiting()) + u64::from(lost - self.own_lost);
            assert_eq!(accounted, self.told_count, "acknowledged, waiting, or counted lost");
        }
    }

    /// The record is what its reader can post, and all that waits can be delivered.
    fn deliver(&mut self) {
        let mut buffer = [0; BATCH_BYTES_MAX];
        let mut text = Text::new(&mut buffer);
        if self.client.record(&mut text, self.now_ms) {
            let len = text.len();
            let record = Batch::parse(std::str::from_utf8(&buffer[..len]).expect("text")).expect("a batch");
            assert_eq!(record.sequence, 1);
            for it in &record.beacons {
                assert!(BILLABLE & 1 << it.event.code() != 0);
                assert!(self.told.contains(&(it.token.to_owned(), it.event)), "it never happened");
            }
        }
        self.in_flight = None;
        self.client.failed(self.now_ms, 0.5);
        while self.client.waiting() > 0 {
            self.post(self.now_ms);
            self.settle(&mut Script(&[]));
        }
        self.check();
    }
}

/// The rest of what is to be done.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bits(&mut self) -> u32 {
        u32::from(self.byte().unwrap_or_default())
    }

    /// A number of the kind that a page may say: mostly a time, sometimes anything.
    fn number(&mut self) -> f64 {
        match self.byte().unwrap_or_default() {
            255 => {
                let mut bytes = [0; 8];
                bytes.fill_with(|| self.byte().unwrap_or_default());
                f64::from_le_bytes(bytes)
            }
            254 => f64::NAN,
            253 => f64::INFINITY,
            252 => f64::NEG_INFINITY,
            251 => 1.0,
            tens => f64::from(tens) * 100.0,
        }
    }
}

/// An ad of ten seconds played to its end in view, paused and silenced on its way, posted and acknowledged; another one is failed.
fn played() -> Vec<u8> {
    let mut script = vec![0, 0, 100, 2, 0, 0, Seen::IN_VIEW as u8];
    for step in 0..50 {
        let seen = Seen::IN_VIEW | if step == 20 { Seen::PAUSED | Seen::SILENT } else { 0 };
        script.extend([4, 0, 10, seen as u8]);
    }
    script.extend([4, 0, 10, (Seen::IN_VIEW | Seen::ENDED | Seen::PAUSED) as u8]);
    script.extend([13, 0, 110, 16, 0, 110, 14, 0, 0, 110, 9, 0]);
    script.extend([0, 0, 60, 7, 1, End::Failed as u8 + 1, 200, 120, 15, 0, 120, 251, 17, 0, 120]);
    script
}
