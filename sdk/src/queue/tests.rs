//! The queue's promises, read back with the parser that the edge uses.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn queue() -> Queue {
    Queue::new("session-1", 0).unwrap()
}

fn ages(out: &Outgoing) -> Vec<u32> {
    Batch::parse(&out.text).unwrap().beacons.iter().map(|beacon| beacon.age_ms).collect()
}

#[test]
fn a_batch_is_what_the_edge_reads() {
    let mut queue = queue();
    for (at_ms, event) in (0..).zip(Event::ALL) {
        queue.push("tok", *event, f64::from(at_ms) * 10.0).unwrap();
    }
    let out = queue.outgoing(1_000.9).unwrap();
    let batch = Batch::parse(&out.text).unwrap();
    assert_eq!((batch.session_id, batch.sequence), ("session-1", 0));
    assert_eq!(batch.beacons.iter().map(|beacon| beacon.event).collect::<Vec<_>>(), Event::ALL);
    assert_eq!(&ages(&out)[..3], [1_000, 990, 980]);
}

#[test]
fn a_batch_keeps_its_number_and_its_beacons_until_it_is_settled_and_only_its_ages_change() {
    let mut queue = queue();
    queue.push("a", Event::Start, 0.0).unwrap();
    let first = queue.outgoing(10.0).unwrap();
    queue.push("a", Event::Midpoint, 20.0).unwrap();
    let again = queue.outgoing(5_000.0).unwrap();
    assert_eq!((first.sequence, again.sequence), (0, 0));
    assert_eq!((ages(&first), ages(&again)), (vec![10], vec![5_000]));
    queue.settle(7);
    assert_eq!(queue.len(), 2, "settling what was never sent settles nothing");
    queue.settle(0);
    let next = queue.outgoing(5_000.0).unwrap();
    assert_eq!((next.sequence, ages(&next)), (1, vec![4_980]));
    queue.settle(1);
    assert_eq!((queue.is_empty(), queue.outgoing(0.0)), (true, None));
}

#[test]
fn parting_hands_over_everything_once_and_forgets_nothing() {
    let mut queue = queue();
    queue.push("a", Event::Start, 0.0).unwrap();
    let in_flight = queue.outgoing(0.0).unwrap();
    queue.push("a", Event::Midpoint, 0.0).unwrap();
    let parting = queue.parting(0.0);
    assert_eq!(parting.iter().map(|out| out.sequence).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(parting[0], in_flight, "what may be lost with the page is handed over too");
    queue.parted(0);
    assert_eq!(queue.parting(0.0).iter().map(|out| out.sequence).collect::<Vec<_>>(), [1], "1 was not taken");
    queue.parted(1);
    assert!(queue.parting(0.0).is_empty());
    queue.came_back();
    assert_eq!(queue.parting(0.0).len(), 2);
    assert_eq!(queue.outgoing(0.0).unwrap().sequence, 0);
}

#[test]
fn no_parting_exceeds_what_a_browser_holds() {
    let mut queue = queue();
    for _ in 0..QUEUED_MAX {
        queue.push(&"t".repeat(64), Event::ThirdQuartile, 0.0).unwrap();
    }
    let mut batches = 0;
    loop {
        let parting = queue.parting(1e9);
        if parting.is_empty() {
            break;
        }
        assert!(parting.iter().map(|out| out.text.len()).sum::<usize>() <= BATCH_BYTES_MAX);
        batches += parting.len();
        for out in &parting {
            queue.parted(out.sequence);
        }
    }
    assert!(batches > 1);
    assert_eq!(queue.len(), QUEUED_MAX);
}

#[test]
fn past_the_bound_the_oldest_go_and_are_counted() {
    let mut queue = queue();
    for index in 0..QUEUED_MAX + 3 {
        queue.push(&format!("token-{index}"), Event::Start, 0.0).unwrap();
    }
    assert_eq!((queue.len(), queue.overflowed()), (QUEUED_MAX, 3));
    assert!(queue.outgoing(0.0).unwrap().text.contains("\ntoken-3 start "));
}

#[test]
fn the_bound_takes_one_beacon_of_a_batch_for_one_that_comes() {
    let mut queue = queue();
    for index in 0..QUEUED_MAX {
        queue.push(&format!("token-{index}"), Event::Start, 0.0).unwrap();
    }
    let first = queue.outgoing(0.0).unwrap();
    queue.unsent(first.sequence);
    queue.push("newest", Event::Start, 0.0).unwrap();
    assert_eq!((queue.len(), queue.overflowed()), (QUEUED_MAX, 1));
    let again = queue.outgoing(0.0).unwrap();
    assert_eq!(again.sequence, first.sequence);
    assert_eq!(again.text, first.text.replace("\ntoken-0 start 0\n", "\n"));
}

#[test]
fn what_the_bound_takes_while_a_batch_is_in_flight_is_none_of_that_batch() {
    let mut queue = queue();
    for _ in 0..QUEUED_MAX {
        queue.push("token", Event::Start, 0.0).unwrap();
    }
    let in_flight = queue.outgoing(0.0).unwrap();
    let arriving = in_flight.text.lines().count() - 1;
    for _ in 0..2 * QUEUED_MAX {
        queue.push("newer", Event::Start, 0.0).unwrap();
    }
    assert_eq!((queue.len(), queue.overflowed()), (QUEUED_MAX, 2 * u32::try_from(QUEUED_MAX).unwrap()));
    assert_eq!(queue.outgoing(0.0).unwrap(), in_flight, "all of it is still here");
    queue.settle(in_flight.sequence);
    assert_eq!(queue.len() + arriving, QUEUED_MAX);
}

#[test]
fn what_would_spoil_a_batch_is_refused_at_the_door() {
    for session_id in ["", "a b", "a\nb", "é", &"s".repeat(65)] {
        assert_eq!(Queue::new(session_id, 0).unwrap_err(), Refused::SessionId, "{session_id:?}");
    }
    for token in ["", "a b", "a\nsk1", "é", &"t".repeat(257)] {
        assert_eq!(queue().push(token, Event::Start, 0.0), Err(Refused::Token), "{token:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, f64),
    Send,
    Acknowledge,
    Part,
    ComeBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1usize..=TOKEN_BYTES_MAX, any::<f64>()).prop_map(|(len, at_ms)| Step::Push(len, at_ms)),
        2 => Just(Step::Send),
        2 => Just(Step::Acknowledge),
        1 => Just(Step::Part),
        1 => Just(Step::ComeBack),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    #[test]
    fn every_beacon_arrives_whatever_is_lost_on_the_way(
        steps in steps(),
        now_ms in any::<f64>(),
        first in any::<u32>(),
    ) {
        let mut queue = Queue::new("s", first).unwrap();
        let mut sent = None;
        let (mut pushed, mut arrived) = (0, BTreeSet::new());
        let check = |out: &Outgoing| {
            let batch = Batch::parse(&out.text).unwrap();
            assert_eq!(batch.sequence, out.sequence);
            assert!(out.text.len() <= BATCH_BYTES_MAX);
            batch.beacons.len()
        };
        for step in steps {
            match step {
                Step::Push(len, at_ms) => {
                    queue.push(&"t".repeat(len), Event::Start, at_ms).unwrap();
                    pushed += 1;
                }
                Step::Send => sent = queue.outgoing(now_ms),
                Step::Acknowledge => if let Some(out) = sent.take() {
                    check(&out);
                    arrived.insert((out.sequence, out.text.lines().count() - 1));
                    queue.settle(out.sequence);
                },
                Step::Part => for out in queue.parting(now_ms) {
                    check(&out);
                    queue.parted(out.sequence);
                },
                Step::ComeBack => queue.came_back(),
            }
        }
        while let Some(out) = queue.outgoing(now_ms) {
            arrived.insert((out.sequence, check(&out)));
            queue.settle(out.sequence);
        }
        prop_assert_eq!(arrived.iter().map(|(_, count)| count).sum::<usize>(), pushed);
        prop_assert_eq!(queue.overflowed(), 0);
    }
}
