//! The rules of one ad, as sentences.

use std::{vec, vec::Vec};

use Event::{
    ClickThrough, Complete, Error, FirstQuartile, Midpoint, Mute, NotUsed, NotViewable, Pause, PlayerCollapse,
    PlayerExpand, Resume, Skip, Start, ThirdQuartile, Unmute, ViewUndetermined, Viewable,
};

use super::*;

const PAUSED: u32 = Seen::PAUSED;
const SEEKING: u32 = Seen::SEEKING;
const ENDED: u32 = Seen::ENDED;
const SILENT: u32 = Seen::SILENT;
const FULLSCREEN: u32 = Seen::FULLSCREEN;
const IN_VIEW: u32 = Seen::IN_VIEW;
const UNKNOWN: u32 = Seen::VIEW_UNKNOWN;
const HIDDEN: u32 = Seen::HIDDEN;

type Ending = fn(&mut Player) -> Due;

/// A player that is looked at as often as browsers tell where it is.
struct Player {
    ad: Ad,
    clock_ms: f64,
    position_ms: f64,
    rate: f64,
    seen: u32,
    /// Of the last look.
    due: Due,
}

impl Player {
    /// About to play a file of this length.
    fn file(duration_ms: f64) -> Self {
        let mut ad = Ad::new(duration_ms);
        ad.begin(1_000.0, Seen(0));
        Self { ad, clock_ms: 1_000.0, position_ms: 0.0, rate: 1.0, seen: 0, due: Due::NOTHING }
    }

    /// In a stream of which the ad is the part of this length, `before_ms` before it.
    fn stream(before_ms: f64, duration_ms: f64) -> Self {
        let mut ad = Ad::new(1.0);
        ad.set_extent(Extent::Span, duration_ms);
        let mut player = Self { ad, clock_ms: 1_000.0, position_ms: -before_ms, rate: 1.0, seen: 0, due: Due::NOTHING };
        assert_eq!(player.look(), []);
        player
    }

    fn look(&mut self) -> Vec<Event> {
        let sample = Sample { position_ms: self.position_ms, clock_ms: self.clock_ms, rate: self.rate };
        self.due = self.ad.look(sample, Seen(self.seen));
        self.due.events().collect()
    }

    /// It is like this from now on.
    fn see(&mut self, seen: u32) -> Vec<Event> {
        self.seen = seen;
        self.look()
    }

    /// Plays on to there, in quarter seconds.
    fn play(&mut self, to_ms: f64) -> Vec<Event> {
        let mut events = Vec::new();
        while self.position_ms < to_ms {
            let step_ms = (to_ms - self.position_ms).min(250.0 * self.rate);
            self.position_ms += step_ms;
            self.clock_ms += step_ms / self.rate;
            events.extend(self.look());
        }
        events
    }

    /// Time goes by and the position stays.
    fn wait(&mut self, ms: f64) -> Vec<Event> {
        let until_ms = self.clock_ms + ms;
        let mut events = Vec::new();
        while self.clock_ms < until_ms {
            self.clock_ms += (until_ms - self.clock_ms).min(250.0);
            events.extend(self.look());
        }
        events
    }

    fn seek(&mut self, to_ms: f64) -> Vec<Event> {
        self.position_ms = to_ms;
        let seen = self.seen;
        let mut events = self.see(seen | SEEKING);
        events.extend(self.see(seen));
        events
    }

    /// Plays to the end of its file.
    fn finish(&mut self, duration_ms: f64) -> Vec<Event> {
        let mut events = self.play(duration_ms);
        events.extend(self.see(self.seen | PAUSED | ENDED));
        events
    }

    fn is_stalled(&self) -> bool {
        self.due.has(Due::STALLED)
    }
}

#[test]
fn an_ad_watched_to_the_end_reports_every_quartile_once_in_order() {
    let mut player = Player::file(6_000.0);
    assert_eq!(player.play(5_750.0), [Start, FirstQuartile, Midpoint, ThirdQuartile]);
    assert!(!player.ad.is_closed());
    assert_eq!(player.finish(6_000.0), [Complete, NotViewable]);
    assert!(player.ad.is_closed() && player.due == Due::event(Complete).and(Due::event(NotViewable)).and(Due::CLOSED));
    player.seen = 0;
    player.seek(0.0);
    assert_eq!(player.play(6_000.0), [], "nothing more can happen to it");
    assert_eq!(player.due, Due::CLOSED);
}

#[test]
fn each_quartile_is_due_when_its_share_has_played_and_not_a_look_before() {
    let mut player = Player::file(10_240.0);
    for (event, at_ms) in [(FirstQuartile, 2_560.0), (Midpoint, 5_120.0), (ThirdQuartile, 7_680.0)] {
        assert!(!player.play(at_ms - 2.0).contains(&event));
        assert_eq!(player.play(at_ms), [event]);
    }
}

#[test]
fn start_waits_for_the_picture_to_move() {
    let mut player = Player::file(6_000.0);
    assert_eq!(player.wait(5_000.0), []);
    assert!(player.ad.is_waiting());
    assert_eq!(player.play(40.0), [Start]);
    assert!(!player.ad.is_waiting() && !player.ad.is_closed());
}

#[test]
fn what_plays_before_the_page_gets_to_look_is_counted() {
    let mut player = Player::file(6_000.0);
    (player.position_ms, player.clock_ms) = (1_510.0, 2_600.0);
    assert_eq!(player.look(), [Start, FirstQuartile]);
}

#[test]
fn what_plays_before_a_busy_page_looks_counts_though_the_video_was_paused_when_it_began() {
    let mut ad = Ad::new(6_000.0);
    ad.begin(1_000.0, Seen(PAUSED));
    let first = ad.look(Sample { position_ms: 3_100.0, clock_ms: 4_100.0, rate: 1.0 }, Seen(0));
    assert_eq!(first.events().collect::<Vec<_>>(), [Start, FirstQuartile, Midpoint]);
}

#[test]
fn an_ad_that_is_tried_again_after_a_refusal_counts_from_its_beginning() {
    let mut player = Player::file(6_000.0);
    assert_eq!(player.see(PAUSED), [], "the browser wants a click first");
    assert_eq!(player.wait(60_000.0), []);
    player.ad.begin(player.clock_ms, Seen(0));
    (player.position_ms, player.seen) = (100.0, 0);
    player.clock_ms += 150.0;
    assert_eq!(player.look(), [Start]);
    assert_eq!(player.finish(6_000.0), [FirstQuartile, Midpoint, ThirdQuartile, Complete, NotViewable]);
}

#[test]
fn all_that_is_due_fires_in_order_when_the_page_was_busy() {
    let mut player = Player::file(6_000.0);
    (player.position_ms, player.clock_ms) = (3_100.0, 4_100.0);
    assert_eq!(player.look(), [Start, FirstQuartile, Midpoint]);
    (player.position_ms, player.clock_ms) = (6_000.0, 7_000.0);
    assert_eq!(player.see(PAUSED | ENDED), [ThirdQuartile, Complete, NotViewable]);
}

#[test]
fn a_jump_over_a_quartile_does_not_fire_it_and_going_back_for_it_does() {
    let mut player = Player::file(10_000.0);
    assert_eq!(player.play(1_000.0), [Start]);
    player.seek(9_000.0);
    assert_eq!(player.finish(10_000.0), [], "two seconds of ten have played");
    player.seen = 0;
    player.seek(1_000.0);
    assert_eq!(player.play(9_000.0), [FirstQuartile, Midpoint, ThirdQuartile]);
    assert_eq!(player.finish(10_000.0), [Complete, NotViewable], "all of it has played now");
}

#[test]
fn an_ad_jumped_into_has_started_and_reports_what_was_shown_of_it() {
    let mut player = Player::file(10_000.0);
    assert_eq!(player.seek(7_000.0), []);
    assert_eq!(player.finish(10_000.0), [Start, FirstQuartile]);
    assert!(!player.ad.is_closed());
}

#[test]
fn watching_again_fires_nothing_again() {
    let mut player = Player::file(10_000.0);
    assert_eq!(player.play(3_000.0), [Start, FirstQuartile]);
    for _ in 0..5 {
        assert_eq!(player.seek(0.0), []);
        assert_eq!(player.play(3_000.0), []);
    }
}

#[test]
fn a_small_gap_still_completes_and_a_large_one_does_not() {
    // At most half a second and at most a tenth of the ad; or two cells, however long they are.
    let cases = [
        (10_000.0, 5_250.0, true),
        (10_000.0, 5_450.0, true),
        (10_000.0, 5_600.0, false),
        (2_000.0, 1_150.0, true),
        (2_000.0, 1_250.0, false),
        (256_000.0, 130_000.0, true),
        (256_000.0, 130_001.5, false),
    ];
    for (duration_ms, resumed_at_ms, is_complete) in cases {
        let mut player = Player::file(duration_ms);
        player.play(duration_ms / 2.0);
        player.seek(resumed_at_ms);
        assert_eq!(player.finish(duration_ms).contains(&Complete), is_complete, "{duration_ms} from {resumed_at_ms}");
        assert_eq!(player.ad.is_closed(), is_complete);
    }
}

#[test]
fn pauses_after_which_the_picture_goes_back_a_little_still_complete() {
    let mut player = Player::file(30_000.0);
    for pause in 1..10 {
        player.play(3_111.0 * f64::from(pause));
        player.see(PAUSED);
        player.wait(3_000.0);
        player.position_ms -= 60.0; // as on televisions
        player.see(0);
    }
    assert!(player.finish(30_000.0).contains(&Complete));
}

#[test]
fn only_normal_speed_counts() {
    let mut player = Player::file(10_000.0);
    player.rate = 2.0;
    assert_eq!(player.finish(10_000.0), [Start]);
    assert_eq!(player.ad.end(End::Dropped).events().collect::<Vec<_>>(), [NotViewable]);
}

#[test]
fn pauses_sound_and_full_screen_are_told_between_start_and_end_only_and_only_when_they_change() {
    let mut player = Player::file(6_000.0);
    for seen in [SILENT, PAUSED, 0, FULLSCREEN, SILENT | PAUSED, SILENT] {
        assert_eq!(player.see(seen), [], "not begun");
    }
    assert_eq!(player.play(500.0), [Start]);
    let told = [
        (SILENT, vec![]),
        (0, vec![Unmute]),
        (SILENT, vec![Mute]),
        (SILENT, vec![]),
        (SILENT | PAUSED, vec![Pause]),
        (SILENT | PAUSED, vec![]),
        (PAUSED, vec![Unmute]),
        (FULLSCREEN, vec![Resume, PlayerExpand]),
        (FULLSCREEN, vec![]),
        (PAUSED | SILENT, vec![Pause, Mute, PlayerCollapse]),
        (PAUSED, vec![Unmute]),
    ];
    for (seen, events) in told {
        assert_eq!(player.see(seen), events, "{seen}");
    }
    player.ad.end(End::Skipped);
    for seen in [0, SILENT, FULLSCREEN, PAUSED] {
        assert_eq!(player.see(seen), [], "over");
    }
}

#[test]
fn what_changes_while_it_starts_is_how_it_was_when_it_started() {
    let mut player = Player::file(6_000.0);
    (player.position_ms, player.clock_ms) = (100.0, 1_100.0);
    assert_eq!(player.see(SILENT | FULLSCREEN | PAUSED), [Start, Pause], "but for a pause, which stops it");
    assert_eq!(player.see(0), [Resume, Unmute, PlayerCollapse]);
}

#[test]
fn the_browsers_own_pause_at_the_end_and_while_seeking_is_none() {
    let mut player = Player::file(6_000.0);
    player.play(1_000.0);
    assert_eq!(player.see(PAUSED | SEEKING), []);
    player.position_ms = 3_000.0;
    assert_eq!(player.see(PAUSED | SEEKING), []);
    assert_eq!(player.see(0), []);
    assert_eq!(player.finish(6_000.0), [FirstQuartile, Midpoint], "ended, and paused by that");
    assert_eq!(player.see(0), [], "and was never resumed");
}

#[test]
fn a_pause_while_it_jumps_is_told_once_it_arrived_and_a_jump_while_paused_is_no_resume() {
    let mut player = Player::file(6_000.0);
    player.play(1_000.0);
    assert_eq!(player.see(PAUSED | SEEKING), []);
    assert_eq!(player.see(PAUSED), [Pause]);
    assert_eq!(player.see(PAUSED | SEEKING), []);
    assert_eq!(player.see(PAUSED), []);
    assert_eq!(player.see(0), [Resume]);
}

#[test]
fn time_spent_paused_explains_no_move() {
    let mut player = Player::file(10_000.0);
    player.play(1_000.0);
    player.see(PAUSED);
    player.clock_ms += 9_000.0; // the page slept, too
    player.position_ms = 9_000.0;
    player.see(0);
    assert_eq!(player.finish(10_000.0), [], "two seconds of ten have played");
}

#[test]
fn a_part_of_a_stream_starts_when_the_stream_gets_there_and_ends_when_it_is_past() {
    let mut player = Player::stream(20_000.0, 6_000.0);
    assert_eq!(player.play(0.0), []);
    assert!(player.ad.is_waiting());
    assert_eq!(player.play(100.0), [Start]);
    assert_eq!(player.play(5_990.0), [FirstQuartile, Midpoint, ThirdQuartile]);
    assert_eq!(player.play(6_000.0), [Complete, NotViewable], "at its end, though the stream goes on");
    assert!(player.ad.is_closed());
}

#[test]
fn one_look_from_before_a_part_of_a_stream_to_past_it_tells_all_of_it() {
    let mut player = Player::stream(500.0, 4_000.0);
    (player.position_ms, player.clock_ms) = (4_500.0, 6_000.0);
    assert_eq!(player.look(), [Start, FirstQuartile, Midpoint, ThirdQuartile, Complete, NotViewable]);
}

#[test]
fn what_happens_outside_of_its_part_of_a_stream_is_none_of_its_business() {
    let mut player = Player::stream(5_000.0, 6_000.0);
    for seen in [PAUSED, 0, SILENT, FULLSCREEN, ENDED, 0] {
        assert_eq!(player.see(seen), [], "before it began");
    }
    player.seek(0.0);
    assert_eq!(player.play(1_000.0), [Start]);
    for outside_ms in [-500.0, 6_000.0, 9_000.0] {
        player.seek(outside_ms);
        for seen in [PAUSED, SILENT, FULLSCREEN | PAUSED, 0] {
            assert_eq!(player.see(seen), [], "at {outside_ms}");
        }
        assert_eq!(player.seek(1_000.0), []);
        assert_eq!(player.see(SILENT), [Mute]);
        assert_eq!(player.see(0), [Unmute]);
    }
}

#[test]
fn leaving_a_part_of_a_stream_by_a_jump_leaves_a_hole_and_coming_back_fills_it() {
    let mut player = Player::stream(0.0, 6_000.0);
    assert_eq!(player.play(2_000.0), [Start, FirstQuartile]);
    assert_eq!(player.seek(8_000.0), []);
    assert_eq!(player.play(9_000.0), []);
    assert!(!player.ad.is_closed(), "the viewer may come back");
    assert_eq!(player.seek(2_000.0), []);
    assert_eq!(player.play(6_000.0), [Midpoint, ThirdQuartile, Complete, NotViewable]);
}

#[test]
fn a_part_of_a_stream_left_paused_and_found_playing_was_resumed_and_the_other_way_round() {
    let mut player = Player::stream(0.0, 6_000.0);
    player.play(1_000.0);
    assert_eq!(player.see(PAUSED), [Pause]);
    player.seek(9_000.0);
    assert_eq!(player.see(0), []);
    assert_eq!(player.seek(1_000.0), [Resume]);
    player.seek(9_000.0);
    assert_eq!(player.see(PAUSED), []);
    assert_eq!(player.seek(1_000.0), [Pause]);
}

#[test]
fn two_seconds_of_play_in_view_on_end_are_viewable_once() {
    let mut player = Player::file(10_000.0);
    player.see(IN_VIEW);
    assert_eq!(player.play(1_990.0), [Start]);
    assert_eq!(player.play(2_000.0), [Viewable]);
    assert_eq!(player.seek(0.0), []);
    assert_eq!(player.finish(10_000.0), [FirstQuartile, Midpoint, ThirdQuartile, Complete]);
}

#[test]
fn what_is_in_view_before_it_plays_does_not_count() {
    let mut player = Player::stream(4_000.0, 10_000.0);
    player.see(IN_VIEW);
    assert_eq!(player.play(1_750.0), [Start]);
    assert_eq!(player.play(2_250.0), [Viewable]);
}

#[test]
fn a_pause_a_jump_and_leaving_the_view_begin_the_two_seconds_anew_and_a_stall_does_not() {
    type Interruption = fn(&mut Player);
    let cases: [(&str, Interruption, bool); 9] = [
        ("nothing", |_| {}, true),
        ("a stall", |player| assert_eq!(player.wait(5_000.0), []), true),
        (
            "a speed of zero",
            |player| {
                player.rate = 0.0;
                player.look();
                player.rate = 1.0;
            },
            true,
        ),
        (
            "a pause",
            |player| {
                player.see(IN_VIEW | PAUSED);
                player.see(IN_VIEW);
            },
            false,
        ),
        ("a jump", |player| drop(player.seek(5_000.0)), false),
        (
            "a jump that nobody announced",
            |player| {
                player.position_ms = 5_000.0;
                player.look();
            },
            false,
        ),
        (
            "out of view",
            |player| {
                player.see(0);
                player.see(IN_VIEW);
            },
            false,
        ),
        (
            "nobody can tell",
            |player| {
                player.see(UNKNOWN);
                player.see(IN_VIEW);
            },
            false,
        ),
        (
            "played again from its beginning",
            |player| {
                player.position_ms = 0.0;
                player.ad.begin(player.clock_ms, Seen(IN_VIEW));
            },
            false,
        ),
    ];
    for (what, interrupt, goes_on) in cases {
        let mut player = Player::file(10_000.0);
        player.see(IN_VIEW);
        assert_eq!(player.play(1_500.0), [Start]);
        interrupt(&mut player);
        let begin_ms = player.position_ms;
        assert_eq!(player.play(begin_ms + 1_000.0).contains(&Viewable), goes_on, "{what}");
        assert_eq!(player.play(begin_ms + 2_000.0).contains(&Viewable), !goes_on, "{what}");
    }
}

#[test]
fn what_shows_until_a_pause_or_the_end_is_in_view() {
    for (seen, events) in [(PAUSED, [Pause, Viewable]), (PAUSED | ENDED, [Complete, Viewable])] {
        let mut player = Player::file(2_000.0);
        player.see(IN_VIEW);
        player.play(1_750.0);
        (player.position_ms, player.clock_ms) = (2_000.0, player.clock_ms + 250.0);
        assert_eq!(player.see(IN_VIEW | seen), events);
    }
}

#[test]
fn the_step_into_view_is_not_yet_in_view() {
    let mut player = Player::file(10_000.0);
    player.play(500.0);
    player.seen = IN_VIEW;
    assert!(!player.play(2_500.0).contains(&Viewable), "the first of these steps began out of view");
    assert_eq!(player.play(2_750.0), [Viewable]);
}

#[test]
fn an_ad_that_ends_without_having_been_viewable_says_so_and_one_that_never_started_does_not() {
    let skip = |player: &mut Player| player.ad.end(End::Skipped);
    let fail = |player: &mut Player| player.ad.end(End::Failed);
    let drop = |player: &mut Player| player.ad.end(End::Dropped);
    let endings: [(Ending, Option<Event>, Event); 3] =
        [(skip, Some(Skip), NotUsed), (fail, Some(Error), Error), (drop, None, NotUsed)];
    for (end, told, told_before_start) in endings {
        for (seen, viewable) in [(0, Some(NotViewable)), (UNKNOWN, Some(ViewUndetermined)), (IN_VIEW, None)] {
            let mut player = Player::file(6_000.0);
            player.see(seen);
            player.play(2_500.0);
            let due = end(&mut player);
            assert_eq!(due.events().collect::<Vec<_>>(), told.into_iter().chain(viewable).collect::<Vec<_>>());
            assert!(due.has(Due::CLOSED) && player.ad.is_closed());
            assert_eq!(end(&mut player), Due::CLOSED, "once");

            let mut player = Player::file(6_000.0);
            player.see(seen);
            let due = end(&mut player);
            assert_eq!(due, Due::event(told_before_start).and(Due::CLOSED));
            assert!(player.ad.is_closed() && !player.ad.is_waiting(), "nobody may play it again");
        }
    }
}

#[test]
fn a_paused_ad_ends_like_a_playing_one() {
    for (how, events) in [
        (End::Skipped, vec![Skip, NotViewable]),
        (End::Failed, vec![Error, NotViewable]),
        (End::Dropped, vec![NotViewable]),
    ] {
        let mut player = Player::file(6_000.0);
        player.play(1_000.0);
        player.see(PAUSED);
        assert_eq!(player.ad.end(how).events().collect::<Vec<_>>(), events);
    }
}

#[test]
fn a_click_counts_once_and_only_in_play() {
    let mut player = Player::file(6_000.0);
    assert_eq!(player.ad.click(), Due::NOTHING, "not begun");
    player.play(1_000.0);
    player.see(PAUSED);
    assert_eq!(player.ad.click(), Due::event(ClickThrough));
    assert_eq!(player.ad.click(), Due::NOTHING);
    let mut player = Player::file(6_000.0);
    player.play(1_000.0);
    player.ad.end(End::Dropped);
    assert_eq!(player.ad.click(), Due::NOTHING, "over");
}

#[test]
fn an_ad_that_should_play_and_shows_nothing_new_for_ten_seconds_is_stalled() {
    let mut player = Player::file(60_000.0);
    for played_to_ms in [0.0, 500.0, 700.0] {
        player.play(played_to_ms);
        player.wait(10_000.0);
        assert!(!player.is_stalled());
        player.wait(1.0);
        assert!(player.is_stalled());
    }
    player.play(60_000.0);
    assert!(!player.is_stalled(), "it goes on");
    player.clock_ms += 11_000.0;
    assert_eq!(player.see(ENDED), [Complete, NotViewable]);
    assert!(!player.is_stalled(), "what is over is not stalled");
    let mut player = Player::file(60_000.0);
    player.seen = SEEKING;
    player.position_ms = 9_000.0;
    player.wait(11_000.0);
    assert!(player.is_stalled(), "a jump that never arrives");
}

#[test]
fn an_ad_is_not_stalled_while_nobody_can_expect_it_to_play() {
    for seen in [PAUSED, HIDDEN, PAUSED | HIDDEN] {
        let mut player = Player::file(6_000.0);
        player.play(500.0);
        player.see(seen);
        player.wait(60_000.0);
        assert!(!player.is_stalled(), "{seen}");
        player.see(0);
        player.wait(9_000.0);
        assert!(!player.is_stalled(), "and has ten seconds from then on");
        player.wait(1_001.0);
        assert!(player.is_stalled());
    }
}

#[test]
fn an_ad_at_another_speed_or_elsewhere_in_the_stream_is_not_stalled() {
    for rate in [0.25, 2.0] {
        let mut player = Player::file(60_000.0);
        player.rate = rate;
        player.play(30_000.0);
        assert!(!player.is_stalled(), "{rate}");
    }
    let mut player = Player::stream(60_000.0, 6_000.0);
    player.play(-1.0);
    player.wait(20_000.0);
    assert!(!player.is_stalled(), "that the content stalls is none of its business");
    player.play(6_100.0);
    assert!(player.due.has(Due::CLOSED));
    player.wait(20_000.0);
    assert_eq!(player.due, Due::CLOSED, "nor is anything once it is over");
}

#[test]
fn the_length_may_be_corrected_until_a_share_of_it_was_reported() {
    let mut player = Player::file(60_000.0);
    player.play(1_000.0);
    player.ad.set_extent(Extent::File, 6_000.0);
    assert_eq!(player.play(1_500.0), [FirstQuartile], "what played before the correction counts");
    player.ad.set_extent(Extent::File, 1_600.0);
    assert_eq!(player.look(), [], "too late");
    assert_eq!(player.finish(6_000.0), [Midpoint, ThirdQuartile, Complete, NotViewable]);
    for length in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let mut player = Player::file(6_000.0);
        player.ad.set_extent(Extent::File, length);
        assert!(player.finish(6_000.0).contains(&Complete), "{length} is no correction");
    }
}

#[test]
fn an_ad_that_a_corrected_length_makes_whole_still_tells_every_share_before_it_is_complete() {
    let mut player = Player::file(60_000.0);
    assert_eq!(player.play(2_000.0), [Start]);
    player.ad.set_extent(Extent::File, 2_000.0);
    assert_eq!(player.see(SEEKING | ENDED), []);
    assert_eq!(player.see(ENDED), [FirstQuartile, Midpoint, ThirdQuartile, Complete, NotViewable]);
}

#[test]
fn what_played_past_a_length_that_was_too_short_is_an_ad_that_started() {
    let mut player = Player::file(1_000.0);
    player.seek(2_000.0);
    assert_eq!(player.play(4_000.0), [], "past the end, for all anyone knows");
    player.ad.set_extent(Extent::File, 6_000.0);
    assert_eq!(player.look(), [Start, FirstQuartile]);
}

#[test]
fn an_ad_of_which_nobody_knows_the_length_never_plays_and_can_still_be_given_up() {
    for length in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        for extent in [Extent::File, Extent::Span] {
            let mut player = Player::file(length);
            player.ad.set_extent(extent, length);
            assert_eq!(player.finish(6_000.0), [], "{length} {extent:?}");
            assert_eq!(player.ad.end(End::Dropped), Due::event(NotUsed).and(Due::CLOSED));
        }
    }
}

#[test]
fn numbers_that_are_none_and_clocks_that_go_back_count_nothing_and_break_nothing() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -1.0] {
        type Oddity = fn(&mut Player, f64);
        let oddities: [Oddity; 3] = [
            |player, odd| player.position_ms = odd,
            |player, odd| player.clock_ms = odd,
            |player, odd| player.rate = odd,
        ];
        for set in oddities {
            let mut player = Player::file(6_000.0);
            assert_eq!(player.play(1_000.0), [Start]);
            let (clock_ms, position_ms) = (player.clock_ms, player.position_ms);
            set(&mut player, odd);
            assert_eq!(player.look(), [], "{odd}");
            (player.clock_ms, player.position_ms, player.rate) = (clock_ms + 250.0, position_ms + 250.0, 1.0);
            assert_eq!(player.look(), [], "{odd}");
            let events = player.finish(6_000.0);
            assert!(events.starts_with(&[FirstQuartile, Midpoint, ThirdQuartile]), "{odd}: {events:?}");
        }
    }
}
