//! The ring's promises, read back with the parser that the edge uses.

use slotkeeper_core::beacon::Batch;
use std::{format, string::String, vec, vec::Vec};

use slotkeeper_beacon::Text;

use super::*;

const SESSION: &str = "session-1";
/// The number of the record, one less than that of the first batch.
const FIRST: u32 = 7;

/// Ads 0 to 9 have tokens `tok-0` to `tok-9`.
fn ring() -> Ring {
    let mut ring = Ring::new();
    ring.name_session(SESSION.as_bytes());
    ring.start(FIRST);
    (0..10).for_each(|ad| ring.name(ad, format!("tok-{ad}").as_bytes()));
    ring
}

fn full_ring() -> Ring {
    let mut ring = ring();
    (0..KEPT_MAX).for_each(|at| push(&mut ring, at));
    ring
}

/// Beacons that can be told apart, by their detail.
fn push(ring: &mut Ring, number: usize) {
    ring.push(0, Event::Start, 0.0, u32::try_from(number).unwrap());
}

/// What is written into memory that is long enough for every batch.
fn written<T>(write: impl FnOnce(&mut Text<'_>) -> T) -> (T, String) {
    let mut bytes = [0; BATCH_BYTES_MAX];
    let mut text = Text::new(&mut bytes);
    let result = write(&mut text);
    let len = text.len();
    (result, String::from_utf8(bytes[..len].to_vec()).unwrap())
}

fn outgoing(ring: &mut Ring, now_ms: f64) -> Option<String> {
    let (sequence, text) = written(|text| ring.outgoing(text, now_ms));
    assert_eq!(sequence, Batch::parse(&text).ok().map(|batch| batch.sequence));
    sequence.map(|_| text)
}

fn parting(ring: &mut Ring, now_ms: f64) -> Option<String> {
    let (is_one, text) = written(|text| ring.parting(text, now_ms) && ring.has_room(text.len()));
    is_one.then_some(text)
}

fn record(ring: &Ring, now_ms: f64) -> Option<String> {
    let (is_one, text) = written(|text| ring.record(text, now_ms));
    is_one.then_some(text)
}

/// Hands over until nothing is left to, and returns what went.
fn part(ring: &mut Ring) -> Vec<String> {
    let mut texts = vec![];
    while let Some(text) = parting(ring, 0.0) {
        ring.parted(text.len());
        texts.push(text);
    }
    texts
}

fn sequence(text: &str) -> u32 {
    Batch::parse(text).unwrap().sequence
}

fn details(text: &str) -> Vec<u32> {
    Batch::parse(text).unwrap().beacons.iter().filter_map(|beacon| beacon.detail).collect()
}

fn events(text: &str) -> Vec<Event> {
    Batch::parse(text).unwrap().beacons.iter().map(|beacon| beacon.event).collect()
}

#[test]
fn a_batch_is_what_the_edge_reads() {
    let mut ring = ring();
    for (at, event) in (0..).zip(Event::ALL) {
        ring.push(at % 10, *event, f64::from(at) * 10.0, u32::from(at) * 2);
    }
    let text = outgoing(&mut ring, 1_000.9).unwrap();
    let batch = Batch::parse(&text).unwrap();
    assert_eq!((batch.session_id, batch.sequence, batch.lost), (SESSION, FIRST + 1, 0));
    assert_eq!(events(&text), Event::ALL);
    assert!(text.starts_with("sk1 session-1 8 0\ntok-0 start 1000 0\ntok-1 firstQuartile 990 2\n"), "{text}");
    assert_eq!((batch.beacons[9].token, batch.beacons[10].token), ("tok-9", "tok-0"));
}

#[test]
fn a_batch_keeps_its_number_and_its_beacons_until_it_is_settled_and_only_its_ages_change() {
    let mut ring = ring();
    ring.push(0, Event::Start, 0.0, 1);
    assert_eq!(outgoing(&mut ring, 10.0).unwrap(), "sk1 session-1 8 0\ntok-0 start 10 1\n");
    ring.push(0, Event::Midpoint, 20.0, 2);
    ring.unsent();
    assert_eq!(outgoing(&mut ring, 5_000.0).unwrap(), "sk1 session-1 8 0\ntok-0 start 5000 1\n");
    assert!(ring.settle(8));
    assert_eq!(outgoing(&mut ring, 5_000.0).unwrap(), "sk1 session-1 9 0\ntok-0 midpoint 4980 2\n");
    assert!(ring.settle(9));
    assert!(ring.is_empty() && outgoing(&mut ring, 0.0).is_none());
}

#[test]
fn only_the_number_in_flight_is_acknowledged_and_only_while_it_is() {
    let mut ring = ring();
    assert!(!ring.settle(0) && !ring.settle(FIRST + 1), "nothing was ever sent");
    push(&mut ring, 0);
    assert!(!ring.settle(0) && !ring.settle(FIRST + 1));
    outgoing(&mut ring, 0.0);
    assert!(!ring.settle(FIRST) && !ring.settle(FIRST + 2) && !ring.settle(0));
    ring.unsent();
    assert!(!ring.settle(FIRST + 1), "it was given up; an answer that comes now is not waited for");
    assert_eq!(ring.len(), 1);
    outgoing(&mut ring, 0.0);
    assert!(ring.settle(FIRST + 1) && !ring.settle(FIRST + 1));
}

#[test]
fn a_batch_written_again_before_its_answer_is_the_same_batch() {
    let mut ring = ring();
    push(&mut ring, 1);
    let first = outgoing(&mut ring, 0.0);
    push(&mut ring, 2);
    assert_eq!(outgoing(&mut ring, 0.0), first);
    assert!(ring.settle(FIRST + 1), "one answer is enough");
    assert_eq!(ring.len(), 1, "and takes none that came meanwhile");
}

#[test]
fn a_batch_holds_as_many_as_surely_fit() {
    let mut ring = Ring::new();
    ring.name_session(&[b's'; SESSION_ID_BYTES_MAX]);
    ring.start(u32::MAX - 1);
    ring.name(0, &[b't'; TOKEN_BYTES_MAX]);
    ring.count_lost(u32::MAX);
    for _ in 0..KEPT_MAX {
        ring.push(0, Event::ViewUndetermined, 0.0, slotkeeper_beacon::DETAIL_MAX);
    }
    let text = outgoing(&mut ring, 1e12).unwrap();
    assert_eq!(events(&text).len(), BATCH_BEACONS_MAX);
    assert!(text.len() <= BATCH_BYTES_MAX && text.len() + LINE_BYTES_BESIDE_TOKEN_MAX + 80 > BATCH_BYTES_MAX);
    assert_eq!(record(&ring, 1e12).unwrap().len(), text.len());
}

#[test]
fn batches_are_numbered_one_after_the_other_and_none_is_zero() {
    for (first, numbers) in [(0, [1, 2, 3]), (5, [5, 6, 7]), (u32::MAX, [u32::MAX, 1, 2])] {
        let mut ring = Ring::new();
        ring.name_session(b"s");
        ring.start(first);
        ring.name(0, b"t");
        let mut told = vec![];
        for at in 0..2 {
            push(&mut ring, at);
            told.push(sequence(&outgoing(&mut ring, 0.0).unwrap()));
            assert_eq!(sequence(&record(&ring, 0.0).unwrap()), numbers[0], "the record has a number of its own");
            ring.settle(told[at]);
        }
        assert_eq!(told, numbers[1..]);
    }
}

#[test]
fn an_age_is_whole_and_within_what_a_batch_may_say_whatever_the_clock() {
    let week = f64::from(AGE_MS_MAX);
    let cases = [
        (0.0, 0.9, 0),
        (0.0, 1.0, 1),
        (500.0, 0.0, 0),
        (-500.0, 0.0, 500),
        (0.0, week, AGE_MS_MAX),
        (0.0, week + 1.0, AGE_MS_MAX),
        (0.0, f64::INFINITY, AGE_MS_MAX),
        (f64::INFINITY, 0.0, 0),
        (f64::NAN, 0.0, 0),
        (0.0, f64::NAN, 0),
        (f64::NEG_INFINITY, f64::NEG_INFINITY, 0),
    ];
    for (at_ms, now_ms, age_ms) in cases {
        let mut ring = ring();
        ring.push(0, Event::Start, at_ms, 0);
        let text = outgoing(&mut ring, now_ms).unwrap();
        assert_eq!(Batch::parse(&text).unwrap().beacons[0].age_ms, age_ms, "{at_ms} at {now_ms}");
    }
}

#[test]
fn past_the_bound_the_oldest_go_one_by_one_and_every_batch_says_how_many() {
    let mut ring = full_ring();
    (0..3).for_each(|at| push(&mut ring, KEPT_MAX + at));
    assert_eq!((ring.len(), ring.lost()), (KEPT_MAX, 3));
    let text = outgoing(&mut ring, 0.0).unwrap();
    assert_eq!((Batch::parse(&text).unwrap().lost, details(&text)[0]), (3, 3));
    ring.count_lost(2);
    ring.unsent();
    assert_eq!(Batch::parse(&outgoing(&mut ring, 0.0).unwrap()).unwrap().lost, 5);
    assert_eq!(Batch::parse(&parting(&mut ring, 0.0).unwrap()).unwrap().lost, 5);
    let left_out = u32::try_from(KEPT_MAX - BATCH_BEACONS_MAX).unwrap();
    assert_eq!(Batch::parse(&record(&ring, 0.0).unwrap()).unwrap().lost, 5 + left_out);
    ring.count_lost(u32::MAX);
    assert_eq!(ring.lost(), u32::MAX);
}

#[test]
fn the_bound_takes_from_a_batch_that_nobody_waits_for_and_its_number_stays() {
    let mut ring = full_ring();
    let first = outgoing(&mut ring, 0.0).unwrap();
    ring.unsent();
    push(&mut ring, KEPT_MAX);
    let again = outgoing(&mut ring, 0.0).unwrap();
    assert_eq!((sequence(&again), details(&again)), (sequence(&first), details(&first)[1..].to_vec()));
}

#[test]
fn what_the_bound_takes_while_a_batch_is_in_flight_is_none_of_that_batch() {
    let mut ring = full_ring();
    let in_flight = outgoing(&mut ring, 0.0).unwrap();
    (0..2 * KEPT_MAX).for_each(|at| push(&mut ring, KEPT_MAX + at));
    assert_eq!((ring.len(), ring.lost()), (KEPT_MAX, 1_200));
    let again = outgoing(&mut ring, 0.0).unwrap();
    assert_eq!((sequence(&again), details(&again)), (sequence(&in_flight), details(&in_flight)));
    assert!(ring.settle(sequence(&in_flight)));
    assert_eq!(ring.len(), KEPT_MAX - BATCH_BEACONS_MAX);
    assert_eq!(details(&outgoing(&mut ring, 0.0).unwrap())[0], 1_200 + u32::try_from(BATCH_BEACONS_MAX).unwrap());
}

#[test]
fn parting_hands_over_everything_once_and_forgets_nothing() {
    let mut ring = ring();
    assert_eq!(parting(&mut ring, 0.0), None);
    push(&mut ring, 1);
    let in_flight = outgoing(&mut ring, 0.0).unwrap();
    push(&mut ring, 2);
    assert_eq!(parting(&mut ring, 0.0).as_ref(), Some(&in_flight), "what may be lost with the page goes, too");
    assert_eq!(parting(&mut ring, 0.0), Some(in_flight.clone()), "the browser did not take it");
    ring.parted(in_flight.len());
    let second = parting(&mut ring, 0.0).unwrap();
    assert_eq!((sequence(&second), details(&second)), (FIRST + 2, vec![2]));
    ring.parted(second.len());
    assert_eq!(parting(&mut ring, 0.0), None);
    push(&mut ring, 3);
    assert_eq!(details(&parting(&mut ring, 0.0).unwrap()), [3], "it went hidden and lived on a while");
    ring.came_back();
    assert_eq!(part(&mut ring).len(), 3);
    assert_eq!((ring.len(), ring.lost()), (3, 0));
    assert!(ring.settle(sequence(&in_flight)));
}

#[test]
fn no_parting_exceeds_what_a_browser_holds_until_the_page_came_back() {
    let mut ring = Ring::new();
    ring.name_session(SESSION.as_bytes());
    ring.start(FIRST);
    ring.name(0, &[b't'; TOKEN_BYTES_MAX]);
    (0..KEPT_MAX).for_each(|at| push(&mut ring, at));
    let first = part(&mut ring);
    let bytes: usize = first.iter().map(String::len).sum();
    assert!(bytes <= PARTING_BYTES_MAX && bytes + BATCH_BYTES_MAX > PARTING_BYTES_MAX, "{bytes}");
    push(&mut ring, KEPT_MAX);
    assert_eq!(parting(&mut ring, 0.0), None);
    ring.came_back();
    assert_eq!(part(&mut ring).len(), first.len());
    assert_eq!((ring.len(), ring.lost()), (KEPT_MAX, 1));
}

#[test]
fn a_parting_that_fits_to_the_byte_goes_and_one_byte_more_does_not() {
    for (before, goes) in [(0, true), (1, false)] {
        let mut ring = ring();
        push(&mut ring, 1);
        let text = parting(&mut ring, 0.0).unwrap();
        ring.parted(PARTING_BYTES_MAX - text.len() + before);
        push(&mut ring, 2);
        assert_eq!(parting(&mut ring, 0.0).is_some(), goes);
    }
}

#[test]
fn what_was_handed_over_stays_so_when_an_answer_or_the_bound_takes_what_was_before_it() {
    type Removal = fn(&mut Ring);
    let removals: [(Removal, usize); 3] = [
        (|ring| assert!(ring.settle(FIRST + 1)), 3 * BATCH_BEACONS_MAX),
        (|ring| (0..KEPT_MAX).for_each(|at| push(ring, KEPT_MAX + at)), KEPT_MAX + BATCH_BEACONS_MAX),
        (Ring::unsent, 3 * BATCH_BEACONS_MAX),
    ];
    for (remove, next) in removals {
        let mut ring = ring();
        let more = if next < KEPT_MAX { 3 * BATCH_BEACONS_MAX + 5 } else { KEPT_MAX };
        (0..more).for_each(|at| push(&mut ring, at));
        outgoing(&mut ring, 0.0);
        for _ in 0..3 {
            let text = parting(&mut ring, 0.0).unwrap();
            ring.parted(text.len() / 4); // so that the bound on bytes does not end it
        }
        remove(&mut ring);
        let text = parting(&mut ring, 0.0).unwrap();
        assert_eq!(details(&text)[0], u32::try_from(next).unwrap());
    }
}

#[test]
fn the_record_holds_what_is_paid_for_and_what_frees_a_claim_and_nothing_else() {
    let mut ring = ring();
    let small = [Event::Pause, Event::Resume, Event::Mute, Event::Unmute, Event::PlayerExpand, Event::PlayerCollapse];
    for event in small {
        ring.push(1, event, 0.0, 0);
    }
    assert_eq!(record(&ring, 0.0), None);
    for event in Event::ALL {
        ring.push(1, *event, 40.0, 3);
    }
    let text = record(&ring, 100.0).unwrap();
    let billable: Vec<Event> = Event::ALL.iter().filter(|event| !small.contains(event)).copied().collect();
    assert_eq!((events(&text), billable.len()), (billable, 12));
    assert!(text.starts_with("sk1 session-1 7 0\ntok-1 start 60 3\n"), "{text}");
    assert_eq!(record(&ring, 100.0), Some(text), "it changes nothing");
}

#[test]
fn the_record_holds_what_is_in_flight_until_it_is_settled() {
    let mut ring = ring();
    push(&mut ring, 1);
    outgoing(&mut ring, 0.0);
    push(&mut ring, 2);
    part(&mut ring);
    assert_eq!(details(&record(&ring, 0.0).unwrap()), [1, 2]);
    ring.settle(FIRST + 1);
    assert_eq!(details(&record(&ring, 0.0).unwrap()), [2]);
}

#[test]
fn of_more_than_fits_the_record_holds_the_newest_in_order() {
    let mut ring = ring();
    for at in 0..2 * BATCH_BEACONS_MAX {
        push(&mut ring, at);
        ring.push(0, Event::Pause, 0.0, 0);
    }
    let newest: Vec<u32> = (BATCH_BEACONS_MAX..2 * BATCH_BEACONS_MAX).map(|at| u32::try_from(at).unwrap()).collect();
    assert_eq!(details(&record(&ring, 0.0).unwrap()), newest);
    let lost = Batch::parse(&record(&ring, 0.0).unwrap()).unwrap().lost;
    assert_eq!((lost as usize, ring.lost()), (BATCH_BEACONS_MAX, 0), "who finds it knows of no others");
}

#[test]
fn it_knows_of_which_ads_a_beacon_waits() {
    let mut ring = ring();
    assert!(!ring.holds(0), "the empty places are nobody's");
    ring.push(3, Event::Start, 0.0, 0);
    ring.push(4, Event::Start, 0.0, 0);
    outgoing(&mut ring, 0.0);
    assert!(ring.holds(3) && ring.holds(4) && !ring.holds(5));
    ring.settle(FIRST + 1);
    assert!(!ring.holds(3) && !ring.holds(4));
}
