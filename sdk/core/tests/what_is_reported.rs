//! Random sessions, held against a slow and obvious model of what is reported: nothing invented, nothing lost, nothing twice
//! under one number with another content.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use slotkeeper_beacon::Text;
use slotkeeper_core::beacon::Batch;
use slotkeeper_sdk_core::{
    Client, Due, Event,
    ad::{End, Extent, Seen},
    client::Place,
    progress::Sample,
    ring::{BATCH_BEACONS_MAX, BATCH_BYTES_MAX, BILLABLE, KEPT_MAX, PARTING_BYTES_MAX},
};

/// An event that a call returned.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    token: String,
    event: Event,
    at_ms: u32,
    detail: u32,
}

impl Told {
    fn line(&self, now_ms: u32) -> String {
        format!("{} {} {} {}\n", self.token, self.event, now_ms - self.at_ms, self.detail)
    }

    fn is_billable(&self) -> bool {
        BILLABLE & 1 << self.event.code() != 0
    }
}

#[derive(Clone, Debug)]
struct Sealed {
    sequence: u32,
    beacons: VecDeque<Told>,
    is_parted: bool,
}

/// What the ring should do, without bounds on memory.
#[derive(Debug)]
struct Model {
    sealed: VecDeque<Sealed>,
    open: VecDeque<Told>,
    in_flight: Option<u32>,
    next_sequence: u32,
    parted_bytes: usize,
    lost: u32,
    told: Vec<Told>,
    acknowledged: Vec<Told>,
    dropped: Vec<Told>,
}

impl Model {
    fn new() -> Self {
        Self {
            sealed: VecDeque::new(),
            open: VecDeque::new(),
            in_flight: None,
            next_sequence: 2, // the record has the first
            parted_bytes: 0,
            lost: 0,
            told: vec![],
            acknowledged: vec![],
            dropped: vec![],
        }
    }

    fn waiting(&self) -> impl DoubleEndedIterator<Item = &Told> {
        self.sealed.iter().flat_map(|batch| &batch.beacons).chain(&self.open)
    }

    fn push(&mut self, told: Told) {
        if self.waiting().count() == KEPT_MAX {
            let mut batches = self.sealed.iter_mut().filter(|batch| Some(batch.sequence) != self.in_flight);
            let from = batches.next().map_or(&mut self.open, |batch| &mut batch.beacons);
            self.dropped.push(from.pop_front().unwrap());
            self.sealed.retain(|batch| !batch.beacons.is_empty());
            self.lost += 1;
        }
        self.told.push(told.clone());
        self.open.push_back(told);
    }

    fn seal(&mut self) {
        let count = self.open.len().min(BATCH_BEACONS_MAX);
        if count > 0 {
            let beacons = self.open.drain(..count).collect();
            self.sealed.push_back(Sealed { sequence: self.next_sequence, beacons, is_parted: false });
            self.next_sequence += 1;
        }
    }

    fn head(&self, sequence: u32) -> String {
        format!("sk1 session-1 {sequence} {}\n", self.lost)
    }

    fn write(&self, batch: &Sealed, now_ms: u32) -> String {
        self.head(batch.sequence) + &batch.beacons.iter().map(|told| told.line(now_ms)).collect::<String>()
    }

    fn outgoing(&mut self, now_ms: u32) -> Option<String> {
        if self.sealed.is_empty() {
            self.seal();
        }
        self.in_flight = self.sealed.front().map(|batch| batch.sequence);
        self.sealed.front().map(|batch| self.write(batch, now_ms))
    }

    fn settle(&mut self, sequence: u32) -> bool {
        let is_it = self.in_flight == Some(sequence);
        if is_it {
            self.acknowledged.extend(self.sealed.pop_front().unwrap().beacons);
            self.in_flight = None;
        }
        is_it
    }

    fn parting(&mut self, now_ms: u32) -> Option<String> {
        if self.sealed.iter().all(|batch| batch.is_parted) {
            self.seal();
        }
        let next = self.sealed.iter().find(|batch| !batch.is_parted);
        let text = next.map(|batch| self.write(batch, now_ms));
        text.filter(|text| self.parted_bytes + text.len() <= PARTING_BYTES_MAX)
    }

    fn parted(&mut self, bytes: usize) {
        self.parted_bytes += bytes;
        self.sealed.iter_mut().find(|batch| !batch.is_parted).unwrap().is_parted = true;
    }

    fn came_back(&mut self) {
        self.parted_bytes = 0;
        self.sealed.iter_mut().for_each(|batch| batch.is_parted = false);
    }

    fn record(&self, now_ms: u32) -> Option<String> {
        let mut lines: Vec<String> =
            self.waiting().filter(|told| told.is_billable()).map(|told| told.line(now_ms)).collect();
        let left_out = lines.len().saturating_sub(BATCH_BEACONS_MAX);
        lines.drain(..left_out);
        let lost = self.lost.saturating_add(u32::try_from(left_out).unwrap());
        (!lines.is_empty()).then(|| format!("sk1 session-1 1 {lost}\n") + &lines.concat())
    }
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Add,
    /// The ad that was added so many before the last one plays on.
    Play(usize, u32),
    /// Its sound goes off and on, so often.
    Sound(usize, u32),
    Pause(usize),
    Click(usize),
    End(usize, End),
    Release(usize),
    Touch,
    Post,
    /// Of the batch in flight, or of one that is so many numbers away.
    Acknowledge(u32),
    Fail,
    /// Whether the browser takes it.
    Part(bool),
    Back,
    Lose(u32),
    Wait(u32),
}

fn script() -> impl Strategy<Value = Vec<Call>> {
    let end = prop::sample::select(vec![End::Skipped, End::Failed, End::Dropped]);
    let call = prop_oneof![
        6 => Just(Call::Add),
        8 => (0..4_usize, 0..9_000_u32).prop_map(|(ad, ms)| Call::Play(ad, ms)),
        2 => (0..4_usize, 1..9_u32).prop_map(|(ad, times)| Call::Sound(ad, times)),
        2 => (0..4_usize, 100..300_u32).prop_map(|(ad, times)| Call::Sound(ad, times)),
        1 => (0..4_usize).prop_map(Call::Pause),
        1 => (0..4_usize).prop_map(Call::Click),
        2 => (0..4_usize, end).prop_map(|(ad, how)| Call::End(ad, how)),
        2 => (0..4_usize).prop_map(Call::Release),
        1 => Just(Call::Touch),
        8 => Just(Call::Post),
        6 => Just(Call::Acknowledge(0)),
        1 => (1..4_u32).prop_map(Call::Acknowledge),
        2 => Just(Call::Fail),
        6 => any::<bool>().prop_map(Call::Part),
        1 => Just(Call::Back),
        1 => (1..9_u32).prop_map(Call::Lose),
        3 => (0..100_000_u32).prop_map(Call::Wait),
    ];
    prop::collection::vec(call, 0..200)
}

struct Ad {
    place: Place,
    token: String,
    position_ms: u32,
    seen: u32,
}

/// A client, its model, and what the origin would have seen of it.
struct Session {
    client: Client,
    model: Model,
    ads: Vec<Ad>,
    now_ms: u32,
    touched_at_ms: u32,
    /// What each number stood for when it was last sent.
    sent: BTreeMap<u32, Vec<(String, Event, Option<u32>)>>,
}

impl Session {
    fn new() -> Self {
        let mut client = Client::new();
        assert!(client.start(b"session-1", 0, 0.0));
        Self { client, model: Model::new(), ads: vec![], now_ms: 1, touched_at_ms: 0, sent: BTreeMap::new() }
    }

    fn call(&mut self, call: Call) {
        let now_ms = f64::from(self.now_ms);
        match call {
            Call::Add => {
                let token = format!("tok-{}", self.ads.len());
                if let Some(place) = self.client.add(token.as_bytes(), 10_000.0) {
                    self.client.begin(place, now_ms, Seen(Seen::IN_VIEW));
                    self.ads.push(Ad { place, token, position_ms: 0, seen: Seen::IN_VIEW });
                }
            }
            Call::Play(ad, ms) => self.look(ad, ms, 0, 0),
            Call::Sound(ad, times) => (0..times).for_each(|_| self.look(ad, 0, Seen::SILENT, 0)),
            Call::Pause(ad) => self.look(ad, 0, Seen::PAUSED, 0),
            Call::Click(ad) => {
                self.call(Call::Touch);
                self.tell(ad, 0, |client, ad| client.click(ad.place, now_ms));
            }
            Call::End(ad, how) => self.tell(ad, 405, |client, ad| client.end(ad.place, how, 405, now_ms)),
            Call::Release(ad) => {
                if let Some(at) = self.ads.len().checked_sub(ad + 1) {
                    self.client.release(self.ads[at].place);
                }
            }
            Call::Touch => {
                self.touched_at_ms = self.now_ms;
                self.client.touch(now_ms);
            }
            Call::Post => {
                let (number, text) = written(|text| self.client.batch(text, now_ms));
                assert_eq!(number.map(|_| text.clone()), self.model.outgoing(self.now_ms));
                assert_eq!(number, self.model.in_flight);
                self.send(number, &text);
            }
            Call::Acknowledge(off) => {
                let number = self.model.in_flight.unwrap_or(2) + off;
                let due = self.client.settled(number, 0, now_ms);
                let expected = if self.model.settle(number) { Due::RECORD } else { Due::NOTHING };
                assert_eq!(due, expected);
            }
            Call::Fail => {
                self.model.in_flight = None;
                self.client.failed(now_ms, 0.5);
            }
            Call::Part(is_taken) => {
                let (is_one, text) =
                    written(|text| self.client.parting(text, now_ms) && self.client.has_room(text.len()));
                assert_eq!(is_one.then(|| text.clone()), self.model.parting(self.now_ms));
                self.send(is_one.then(|| Batch::parse(&text).unwrap().sequence), &text);
                if is_one && is_taken {
                    self.client.parted(text.len());
                    self.model.parted(text.len());
                }
            }
            Call::Back => {
                self.client.came_back(now_ms);
                self.model.came_back();
            }
            Call::Lose(count) => {
                self.client.count_lost(count);
                self.model.lost += count;
            }
            Call::Wait(ms) => self.now_ms += ms,
        }
        self.check();
    }

    /// A look at the ad after it played so long, once these bits have changed.
    fn look(&mut self, ad: usize, played_ms: u32, toggled: u32, error_code: u32) {
        self.now_ms += played_ms;
        let clock_ms = f64::from(self.now_ms);
        self.tell(ad, error_code, |client, ad| {
            ad.position_ms = (ad.position_ms + played_ms).min(10_000);
            ad.seen ^= toggled;
            let ended = if ad.position_ms == 10_000 { Seen::ENDED | Seen::PAUSED } else { 0 };
            let sample = Sample { position_ms: f64::from(ad.position_ms), clock_ms, rate: 1.0 };
            client.look(ad.place, sample, Seen(ad.seen | ended))
        });
    }

    /// What a call returned is what must arrive.
    fn tell(&mut self, ad: usize, error_code: u32, call: impl FnOnce(&mut Client, &mut Ad) -> Due) {
        let Some(at) = self.ads.len().checked_sub(ad + 1) else { return };
        // Its place may be another's by now, of whom this does not speak.
        if self.ads[at + 1..].iter().any(|later| later.place == self.ads[at].place) {
            return;
        }
        let due = call(&mut self.client, &mut self.ads[at]);
        let idle_s = (self.now_ms - self.touched_at_ms) / 1_000;
        for event in due.events() {
            let detail = if event == Event::Error { error_code } else { idle_s };
            let token = self.ads[at].token.clone();
            self.model.push(Told { token, event, at_ms: self.now_ms, detail });
        }
        let is_billable = due.bits() & BILLABLE != 0;
        assert_eq!(due.has(Due::RECORD), is_billable);
    }

    /// Whoever gets it twice must get the same, but for ages and for what was lost of its beginning.
    fn send(&mut self, number: Option<u32>, text: &str) {
        let Some(number) = number else { return };
        let batch = Batch::parse(text).unwrap();
        assert_eq!((batch.sequence, batch.lost), (number, self.model.lost));
        assert!(text.len() <= BATCH_BYTES_MAX);
        let beacons = batch.beacons.into_iter().map(|beacon| (beacon.token.to_owned(), beacon.event, beacon.detail));
        let beacons: Vec<_> = beacons.collect();
        if let Some(before) = self.sent.insert(number, beacons.clone()) {
            assert!(before.ends_with(&beacons), "number {number} was {before:?} and is {beacons:?}");
            assert!(before == beacons || self.model.lost > 0);
        }
    }

    fn check(&self) {
        let waiting = self.model.waiting().count();
        assert_eq!(usize::try_from(self.client.waiting()), Ok(waiting));
        assert_eq!(self.client.lost(), self.model.lost);
        let accounted = waiting + self.model.acknowledged.len() + self.model.dropped.len();
        assert_eq!(self.model.told.len(), accounted, "acknowledged, waiting, or counted lost");
        let (is_one, record) = written(|text| self.client.record(text, f64::from(self.now_ms)));
        assert_eq!(is_one.then_some(record), self.model.record(self.now_ms));
    }

    /// The power fails: what is paid for is at the origin or in the record, but for what was counted and for what the record
    /// is too small for.
    fn fail_power(&self) {
        let (_, record) = written(|text| self.client.record(text, f64::from(self.now_ms)));
        let recorded: Vec<&str> = record.lines().skip(1).collect();
        let is_safe = |told: &Told| {
            recorded.contains(&told.line(self.now_ms).trim_end())
                || self.model.acknowledged.contains(told)
                || self.model.dropped.contains(told)
        };
        let unsafe_count = self.model.told.iter().filter(|told| told.is_billable() && !is_safe(told)).count();
        assert!(unsafe_count == 0 || recorded.len() == BATCH_BEACONS_MAX, "{unsafe_count} are nowhere");
    }

    /// Better times: all that waits arrives.
    fn deliver(&mut self) {
        self.call(Call::Fail);
        while self.client.waiting() > 0 {
            self.call(Call::Post);
            self.call(Call::Acknowledge(0));
        }
        assert!(self.client.wait_ms(f64::from(self.now_ms), false) < 0);
    }
}

fn written<T>(write: impl FnOnce(&mut Text<'_>) -> T) -> (T, String) {
    let mut bytes = vec![0; BATCH_BYTES_MAX];
    let mut text = Text::new(&mut bytes);
    let result = write(&mut text);
    let len = text.len();
    bytes.truncate(len);
    (result, String::from_utf8(bytes).unwrap())
}

/// Anything that a page may say.
fn odd_calls() -> impl Strategy<Value = Vec<(u8, Place, [f64; 3], u32)>> {
    let numbers = prop::array::uniform3(prop_oneof![
        any::<f64>(),
        0.0..20_000.0,
        prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 0.0, 1.0]),
    ]);
    let place = prop_oneof![4 => 0..4_u8, 1 => any::<u8>()];
    prop::collection::vec((0..20_u8, place, numbers, any::<u32>()), 0..300)
}

proptest! {
    #[test]
    fn every_event_is_acknowledged_waiting_or_counted_lost_and_every_beacon_was_an_event(script in script()) {
        let mut session = Session::new();
        for call in script {
            session.call(call);
        }
        session.fail_power();
        session.deliver();
        let arrived_or_lost = session.model.acknowledged.len() + session.model.dropped.len();
        prop_assert_eq!(session.model.told.len(), arrived_or_lost);
    }

    #[test]
    fn no_number_breaks_a_session(calls in odd_calls(), first_sequence in any::<u32>()) {
        let mut client = Client::new();
        client.start(b"s", first_sequence, 0.0);
        let mut bytes = vec![0; BATCH_BYTES_MAX];
        for (call, place, [one, two, three], bits) in calls {
            let mut text = Text::new(&mut bytes);
            let mut is_written = false;
            match call {
                0..3 => drop(client.add(b"tok", one)),
                3 => client.set_extent(place, if bits % 2 == 0 { Extent::File } else { Extent::Span }, one),
                4 => client.begin(place, one, Seen(bits)),
                5..10 => drop(client.look(place, Sample { position_ms: one, clock_ms: two, rate: three }, Seen(bits))),
                10 => drop(client.end(place, [End::Failed, End::Dropped, End::Skipped][bits as usize % 3], bits, one)),
                11 => drop(client.click(place, one)),
                12 => client.release(place),
                13 => client.touch(one),
                14 => client.failed(one, two),
                15 => drop(client.settled(client.waiting(), bits, one)),
                16 => is_written = client.batch(&mut text, one).is_some(),
                17 => {
                    is_written = client.parting(&mut text, one) && client.has_room(text.len());
                    if is_written {
                        client.parted(text.len());
                    }
                }
                18 => is_written = client.record(&mut text, one),
                _ => client.came_back(one),
            }
            let wait_ms = client.wait_ms(one, bits % 2 == 0);
            prop_assert!(wait_ms >= -1);
            if is_written {
                let len = text.len();
                let text = std::str::from_utf8(&bytes[..len]).unwrap();
                prop_assert!(Batch::parse(text).is_ok(), "{text}");
            }
        }
    }
}
