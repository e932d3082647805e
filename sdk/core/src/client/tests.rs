//! A session's promises, read back with the parser that the edge uses.

use slotkeeper_core::beacon::Batch;
use std::{format, string::String, vec, vec::Vec};

use slotkeeper_beacon::Text;

use super::*;
use crate::ring::{BATCH_BYTES_MAX, KEPT_MAX, TOKEN_BYTES_MAX};

fn client() -> Client {
    let mut client = Client::new();
    assert!(client.start(b"session-1", 0, 0.0));
    client
}

/// One ad of six seconds, begun at 0.
fn playing(client: &mut Client, token: &str) -> Place {
    let place = client.add(token.as_bytes(), 6_000.0).unwrap();
    client.begin(place, 0.0, Seen(0));
    assert_eq!(look(client, place, 100.0), Due::event(Event::Start).and(Due::RECORD));
    place
}

/// A look at an ad that plays as the clock says.
fn look(client: &mut Client, place: Place, ms: f64) -> Due {
    see(client, place, ms, 0)
}

fn see(client: &mut Client, place: Place, ms: f64, seen: u32) -> Due {
    client.look(place, Sample { position_ms: ms, clock_ms: ms, rate: 1.0 }, Seen(seen))
}

fn batch(client: &mut Client, now_ms: f64) -> Option<(u32, String)> {
    let mut bytes = [0; BATCH_BYTES_MAX];
    let mut text = Text::new(&mut bytes);
    let sequence = client.batch(&mut text, now_ms)?;
    let len = text.len();
    Some((sequence, String::from_utf8(bytes[..len].to_vec()).unwrap()))
}

/// How long until beacons are to be sent; `None` if none waits.
fn wait_ms(client: &Client, now_ms: f64) -> Option<i32> {
    Some(client.wait_ms(now_ms, false)).filter(|ms| *ms >= 0)
}

/// Sends all that waits; returns the lines.
fn delivered(client: &mut Client, now_ms: f64) -> Vec<String> {
    let mut lines = vec![];
    while let Some((sequence, text)) = batch(client, now_ms) {
        Batch::parse(&text).unwrap();
        lines.extend(text.lines().skip(1).map(String::from));
        assert_eq!(client.settled(sequence, 0, now_ms), Due::RECORD);
    }
    lines
}

#[test]
fn a_session_has_an_id_that_the_edge_reads() {
    for (id, is_one) in [("s", true), (&"s".repeat(64), true), ("a_B-9", true), ("", false), (&"s".repeat(65), false)] {
        assert_eq!(Client::new().start(id.as_bytes(), 0, 0.0), is_one, "{id:?}");
    }
    for id in ["a b", "a\nb", "é", "a/b"] {
        assert!(!Client::new().start(id.as_bytes(), 0, 0.0), "{id:?}");
    }
    let mut client = client();
    assert!(!client.start(b"", 40, 0.0));
    playing(&mut client, "tok");
    assert!(batch(&mut client, 0.0).unwrap().1.starts_with("sk1 session-1 2 "), "what is refused begins nothing");
}

#[test]
fn what_happens_to_an_ad_waits_as_a_beacon_of_its_token() {
    let mut client = client();
    let (one, other) = (playing(&mut client, "one"), playing(&mut client, "other"));
    assert_eq!(look(&mut client, one, 1_500.0), Due::event(Event::FirstQuartile).and(Due::RECORD));
    assert_eq!(see(&mut client, other, 300.0, Seen::PAUSED), Due::event(Event::Pause));
    assert_eq!(client.waiting(), 4);
    let lines = ["one start 1900 0", "other start 1900 0", "one firstQuartile 500 1", "other pause 1700 0"];
    assert_eq!(delivered(&mut client, 2_000.0), lines);
    assert_eq!(client.waiting(), 0);
}

#[test]
fn several_events_of_one_look_wait_in_their_order() {
    let mut client = client();
    let place = client.add(b"tok", 6_000.0).unwrap();
    client.begin(place, 0.0, Seen(0));
    let due = see(&mut client, place, 6_000.0, Seen::ENDED | Seen::PAUSED);
    let told: Vec<_> = due.events().collect();
    let names = delivered(&mut client, 6_000.0);
    let names: Vec<_> = names.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(names, told.iter().map(|event| event.as_str()).collect::<Vec<_>>());
    assert_eq!(names, ["start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "notViewable"]);
    assert!(client.is_closed(place));
}

#[test]
fn a_beacon_says_how_long_ago_the_viewer_touched_anything_and_an_error_what_it_was() {
    let mut client = client();
    client.touch(1_000.0);
    let place = client.add(b"tok", 60_000.0).unwrap();
    client.begin(place, 2_000.0, Seen(0));
    for (clock_ms, seen) in [(2_900.0, 0), (3_999.0, Seen::SILENT), (4_000.0, 0)] {
        client.look(place, Sample { position_ms: clock_ms - 2_000.0, clock_ms, rate: 1.0 }, Seen(seen));
    }
    client.click(place, 5_000.0);
    client.touch(9_000.0);
    client.end(place, End::Failed, 405, 19_000.0);
    let lines = [
        "tok start 17100 1",
        "tok mute 16001 2",
        "tok unmute 16000 3",
        "tok clickThrough 15000 0", // a click is a touch
        "tok error 1000 405",
        "tok notViewable 1000 10",
    ];
    assert_eq!(delivered(&mut client, 20_000.0), lines);
}

#[test]
fn details_stay_within_what_a_batch_may_say_whatever_the_clock() {
    let cases = [
        (0.0, f64::INFINITY, 9_999_999),
        (0.0, 1e15, 9_999_999),
        (5_000.0, 0.0, 0),
        (f64::NAN, 5_000.0, 0),
        (0.0, f64::NAN, 0),
    ];
    for (touched_ms, now_ms, idle_s) in cases {
        let mut client = client();
        client.touch(touched_ms);
        let place = client.add(b"tok", 6_000.0).unwrap();
        client.end(place, End::Dropped, 0, now_ms);
        let (_, text) = batch(&mut client, now_ms).unwrap();
        assert_eq!(Batch::parse(&text).unwrap().beacons[0].detail, Some(idle_s), "{touched_ms} {now_ms}");
    }
    let mut client = client();
    let place = client.add(b"tok", 6_000.0).unwrap();
    client.end(place, End::Failed, u32::MAX, 0.0);
    assert_eq!(delivered(&mut client, 0.0), ["tok error 0 9999999"]);
}

#[test]
fn a_token_that_would_spoil_a_batch_is_refused_at_the_door() {
    let mut client = client();
    for token in ["", "a b", "a\nsk1", "é", "a=", &"t".repeat(TOKEN_BYTES_MAX + 1)] {
        assert_eq!(client.add(token.as_bytes(), 6_000.0), None, "{token:?}");
    }
    assert_eq!(client.add("t".repeat(TOKEN_BYTES_MAX).as_bytes(), 6_000.0), Some(0), "and takes no place");
}

#[test]
fn ninety_six_ads_are_looked_after_and_no_more_until_one_is_released() {
    let mut client = client();
    for place in 0..ADS_MAX {
        assert_eq!(client.add(format!("tok-{place}").as_bytes(), 6_000.0), Some(place));
    }
    assert_eq!(client.add(b"more", 6_000.0), None);
    client.release(41);
    client.release(40);
    assert_eq!(client.add(b"more", 6_000.0), Some(40));
    assert_eq!(client.add(b"more", 6_000.0), Some(41));
    assert_eq!(client.add(b"more", 6_000.0), None);
}

#[test]
fn a_place_is_given_to_another_only_when_no_beacon_of_it_waits() {
    let mut client = client();
    let first = playing(&mut client, "first");
    client.release(first);
    let second = playing(&mut client, "second");
    assert_ne!(first, second, "the first one's beacon still needs its token");
    let (sequence, text) = batch(&mut client, 100.0).unwrap();
    assert_eq!(text, "sk1 session-1 2 0\nfirst start 0 0\nsecond start 0 0\n");
    client.settled(sequence, 0, 100.0);
    assert_eq!(client.add(b"third", 6_000.0), Some(first));
    assert!(client.is_waiting(first), "nothing has become of this one");
    assert_eq!(client.add(b"fourth", 6_000.0), Some(2), "the second is still looked after");
}

#[test]
fn of_an_ad_that_was_released_or_never_was_nothing_is_reported() {
    let mut client = client();
    let place = playing(&mut client, "tok");
    delivered(&mut client, 0.0);
    client.release(place);
    for place in [place, 1, ADS_MAX, Place::MAX] {
        client.begin(place, 0.0, Seen(0));
        client.set_extent(place, Extent::Span, 1.0);
        client.release(place);
        assert_eq!(look(&mut client, place, 5_000.0), Due::CLOSED, "{place}");
        assert_eq!(client.end(place, End::Failed, 400, 0.0), Due::CLOSED);
        assert_eq!(client.click(place, 0.0), Due::CLOSED);
    }
    assert_eq!(client.waiting(), 0);
    assert!(client.is_waiting(1) && !client.is_closed(1));
}

#[test]
fn an_ads_extent_and_length_may_be_told_later() {
    let mut client = client();
    let place = client.add(b"tok", 60_000.0).unwrap();
    client.set_extent(place, Extent::Span, 2_000.0);
    look(&mut client, place, -100.0);
    assert!(look(&mut client, place, 2_000.0).has(Due::event(Event::Complete).and(Due::CLOSED)));
}

#[test]
fn beacons_gather_for_a_second_and_go_at_once_after_that() {
    let mut client = client();
    assert_eq!(wait_ms(&client, 0.0), None, "nothing waits");
    assert_eq!(client.wait_ms(5.0, true), 0, "but something of the skin's does, and nobody asked to wait");
    let place = playing(&mut client, "tok");
    let waits = [(100.0, 1_000), (600.0, 500), (1_100.0, 0), (9_000.0, 0)];
    for (now_ms, wait_ms) in waits {
        assert_eq!(self::wait_ms(&client, now_ms), Some(wait_ms), "{now_ms}");
    }
    look(&mut client, place, 1_500.0);
    assert_eq!(wait_ms(&client, 1_500.0), Some(0), "what comes later does not keep what waits");
    delivered(&mut client, 1_600.0);
    look(&mut client, place, 3_000.0);
    assert_eq!(wait_ms(&client, 3_000.0), Some(1_000), "and gathering begins anew");
    client.hurry(3_100.0);
    assert_eq!(wait_ms(&client, 3_100.0), Some(0), "unless there is a hurry");
}

#[test]
fn what_the_skin_sends_besides_gathers_likewise() {
    let mut client = client();
    client.gather(500.0);
    assert_eq!(wait_ms(&client, 500.0), None);
    assert_eq!(client.wait_ms(500.0, true), 1_000);
    playing(&mut client, "tok");
    client.gather(900.0);
    assert_eq!(client.wait_ms(900.0, true), 200, "as the beacon says that came at 100");
}

#[test]
fn after_a_failure_it_waits_longer_each_time_until_something_gets_through() {
    let mut client = client();
    let place = playing(&mut client, "tok");
    let fail = |client: &mut Client, wait_ms: i32| {
        batch(client, 0.0);
        client.failed(10_000.0, 1.0);
        assert_eq!(self::wait_ms(client, 10_000.0), Some(wait_ms));
    };
    for wait_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
        fail(&mut client, wait_ms);
    }
    look(&mut client, place, 1_500.0);
    client.gather(1_500.0);
    assert_eq!(wait_ms(&client, 10_000.0), Some(30_000), "whatever comes meanwhile");
    client.delivered(11_000.0);
    assert_eq!(wait_ms(&client, 11_000.0), Some(0), "what else waits is sent at once");
    fail(&mut client, 1_000);
    fail(&mut client, 2_000);
    client.came_back(12_000.0);
    assert_eq!(wait_ms(&client, 12_000.0), Some(0), "as when better times have come");
    fail(&mut client, 1_000);
    delivered(&mut client, 13_000.0);
    look(&mut client, place, 3_000.0);
    assert_eq!(wait_ms(&client, 3_000.0), Some(1_000), "nothing is backing off any more");
}

#[test]
fn a_failure_of_something_else_holds_beacons_back_too() {
    let mut client = client();
    client.failed(0.0, 1.0);
    playing(&mut client, "tok");
    assert_eq!(wait_ms(&client, 100.0), Some(900));
}

#[test]
fn a_failure_gives_the_batch_up_until_it_is_sent_again() {
    let mut client = client();
    playing(&mut client, "tok");
    let (sequence, text) = batch(&mut client, 100.0).unwrap();
    client.failed(200.0, 0.5);
    assert_eq!(client.settled(sequence, 1, 300.0), Due::NOTHING, "too late");
    assert_eq!((client.waiting(), client.refused()), (1, 0));
    assert_eq!(batch(&mut client, 100.0).unwrap(), (sequence, text));
    assert_eq!(client.settled(sequence, 1, 300.0), Due::RECORD);
    assert_eq!((client.waiting(), client.refused()), (0, 1));
}

#[test]
fn a_failure_during_a_parting_neither_repeats_nor_forgets_what_was_handed_over() {
    let mut client = client();
    let place = playing(&mut client, "tok");
    batch(&mut client, 100.0);
    look(&mut client, place, 1_500.0);
    let mut bytes = [0; BATCH_BYTES_MAX];
    let mut text = Text::new(&mut bytes);
    assert!(client.parting(&mut text, 1_500.0));
    client.parted(text.len());
    client.failed(1_500.0, 0.5);
    let mut text = Text::new(&mut bytes);
    assert!(client.parting(&mut text, 1_500.0));
    let len = text.len();
    assert_eq!(&bytes[..len], b"sk1 session-1 3 0\ntok firstQuartile 0 1\n");
    client.parted(len);
    assert!(!client.parting(&mut Text::new(&mut bytes), 1_500.0));
    client.came_back(1_600.0);
    assert!(client.parting(&mut Text::new(&mut bytes), 1_600.0));
    assert_eq!(client.waiting(), 2);
}

#[test]
fn the_record_is_to_be_stored_when_what_it_holds_changes() {
    let mut client = client();
    let place = playing(&mut client, "tok"); // asserts that a start does
    assert!(!see(&mut client, place, 200.0, Seen::PAUSED | Seen::SILENT).has(Due::RECORD));
    assert!(!see(&mut client, place, 300.0, Seen::FULLSCREEN).has(Due::RECORD));
    assert!(!look(&mut client, place, 400.0).has(Due::RECORD));
    assert!(!see(&mut client, place, 20_000.0, Seen::SEEKING).has(Due::RECORD));
    assert!(client.click(place, 500.0).has(Due::RECORD));
    assert!(client.end(place, End::Skipped, 0, 500.0).has(Due::RECORD.and(Due::CLOSED)));
    assert_eq!(client.end(place, End::Skipped, 0, 500.0), Due::CLOSED);
    let mut bytes = [0; BATCH_BYTES_MAX];
    let mut text = Text::new(&mut bytes);
    assert!(client.record(&mut text, 500.0));
    let len = text.len();
    let expected: &[u8] =
        b"sk1 session-1 1 0\ntok start 400 0\ntok clickThrough 0 0\ntok skip 0 0\ntok notViewable 0 0\n";
    assert_eq!(&bytes[..len], expected);
    delivered(&mut client, 600.0); // asserts that an answer does
    assert!(!client.record(&mut Text::new(&mut bytes), 600.0));
}

#[test]
fn what_is_lost_or_refused_is_counted() {
    let mut client = client();
    client.count_lost(2);
    client.count_refused(3);
    let place = playing(&mut client, "tok");
    for at in 0..u32::try_from(KEPT_MAX).unwrap() {
        see(&mut client, place, 200.0, if at % 2 == 0 { Seen::SILENT } else { 0 });
    }
    assert_eq!((client.waiting(), client.lost(), client.refused()), (600, 3, 3), "the start made room");
    let (sequence, text) = batch(&mut client, 200.0).unwrap();
    assert!(text.starts_with("sk1 session-1 2 3\ntok mute 0 0\n"));
    client.settled(sequence, u32::MAX, 200.0);
    assert_eq!(client.refused(), u32::MAX);
    client.count_refused(1);
    client.count_lost(u32::MAX);
    assert_eq!((client.lost(), client.refused()), (u32::MAX, u32::MAX));
}

#[test]
fn a_client_fits_into_a_page_of_wasm_memory_beside_a_text_and_the_stack() {
    // Natively a count takes 8 bytes where wasm has 4, so this is an upper bound.
    let bytes = size_of::<Client>() + BATCH_BYTES_MAX + 8 * 1024;
    assert!(bytes <= 64 * 1024, "{bytes}");
}
