//! Random playing, held against a slow and obvious model of it: every millisecond of the ad, and whether it really played.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use proptest::prelude::*;
use slotkeeper_sdk_core::{
    Due, Event,
    ad::{Ad, End, Extent, Seen},
    coverage::CELLS,
    progress::Sample,
};

/// What playing can move a position before a look that comes late calls it a jump.
const READING_TOLERANCE_MS: i32 = 250;
/// How much too early and too late a run may be seen to end, together.
const RUN_TOLERANCE_MS: f64 = 2.0;

#[derive(Clone, Copy, Debug)]
enum Did {
    /// It plays on, looked at so often, this many milliseconds apart.
    Play(u32, i32),
    /// It shows nothing new.
    Stall(i32),
    Pause(i32),
    /// To a share of the way; whether anybody is told.
    Jump(f64, bool),
    Speed(f64),
    View(bool),
    Sound(bool),
    /// The page corrects the length to what it is already.
    SameLength,
}

fn script() -> impl Strategy<Value = Vec<Did>> {
    let did = prop_oneof![
        8 => (1..30_u32, 1..400_i32).prop_map(|(looks, each_ms)| Did::Play(looks, each_ms)),
        2 => (1..4_u32, 400..6_000_i32).prop_map(|(looks, each_ms)| Did::Play(looks, each_ms)),
        1 => (0..20_000_i32).prop_map(Did::Stall),
        1 => (0..20_000_i32).prop_map(Did::Pause),
        2 => (0.0..1.0, any::<bool>()).prop_map(|(share, is_told)| Did::Jump(share, is_told)),
        1 => prop::sample::select(vec![1.0, 1.0, 1.0, 2.0, 0.5, 0.0]).prop_map(Did::Speed),
        1 => any::<bool>().prop_map(Did::View),
        1 => any::<bool>().prop_map(Did::Sound),
        1 => Just(Did::SameLength),
    ];
    prop::collection::vec(did, 0..60)
}

/// What really happened.
struct Truth {
    duration_ms: i32,
    is_span: bool,
    played: Vec<bool>,
    played_ms: f64,
    is_rendered: bool,
    /// How often playing began anew.
    runs: u32,
    in_view_ms: i32,
    was_viewable: bool,
    clock_ms: i32,
    position_ms: i32,
    rate: f64,
    seen: u32,
}

impl Truth {
    fn new(duration_ms: i32, is_span: bool) -> Self {
        let length = usize::try_from(duration_ms).unwrap();
        Self {
            duration_ms,
            is_span,
            played: vec![false; length],
            played_ms: 0.0,
            is_rendered: false,
            runs: 1,
            in_view_ms: 0,
            was_viewable: false,
            clock_ms: 1_000,
            position_ms: if is_span { -3_000 } else { 0 },
            rate: 1.0,
            seen: 0,
        }
    }

    /// The places where the player can be: a stream goes on around the ad, a file does not.
    fn places(&self) -> (i32, i32) {
        if self.is_span { (-3_000, self.duration_ms + 3_000) } else { (0, self.duration_ms) }
    }

    fn is_normal(&self) -> bool {
        self.rate.to_bits() == 1_f64.to_bits() || self.rate.to_bits() == 0
    }

    #[expect(clippy::cast_possible_truncation, reason = "the speeds are a half, one and two")]
    fn play(&mut self, ms: i32) {
        let last = self.position_ms;
        self.clock_ms += ms;
        self.position_ms = (last + (f64::from(ms) * self.rate) as i32).min(self.places().1);
        let shown = last.max(0)..self.position_ms.min(self.duration_ms);
        self.is_rendered |= !shown.is_empty();
        if !self.is_normal() {
            return;
        }
        if self.seen & Seen::IN_VIEW != 0 {
            self.in_view_ms += i32::try_from(shown.len()).unwrap();
            self.was_viewable |= self.in_view_ms >= 2_000;
        }
        for at in shown {
            let is_new = !std::mem::replace(&mut self.played[usize::try_from(at).unwrap()], true);
            self.played_ms += f64::from(u8::from(is_new));
        }
    }

    fn jump(&mut self, to_ms: i32) {
        self.position_ms = to_ms;
        self.runs += 1;
        self.in_view_ms = 0;
    }

    fn has_ended(&self) -> bool {
        !self.is_span && self.position_ms == self.duration_ms
    }

    fn look(&self, ad: &mut Ad, more: u32) -> Due {
        let ended = if self.has_ended() { Seen::ENDED | Seen::PAUSED } else { 0 };
        let sample =
            Sample { position_ms: f64::from(self.position_ms), clock_ms: f64::from(self.clock_ms), rate: self.rate };
        ad.look(sample, Seen(self.seen | ended | more))
    }
}

/// Does it, with a look wherever browsers tell of something; returns what was due, look by look.
fn perform(did: Did, ad: &mut Ad, truth: &mut Truth, mut told: impl FnMut(Due, &Truth)) {
    match did {
        Did::Play(looks, each_ms) => {
            for _ in 0..looks {
                truth.play(each_ms);
                told(truth.look(ad, 0), truth);
            }
        }
        Did::Stall(ms) => {
            truth.clock_ms += ms;
            told(truth.look(ad, 0), truth);
        }
        Did::Pause(ms) => {
            told(truth.look(ad, Seen::PAUSED), truth);
            truth.in_view_ms = 0;
            truth.clock_ms += ms;
            told(truth.look(ad, 0), truth);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
        Did::Jump(share, is_told) => {
            let (first, last) = truth.places();
            let to_ms = first + (f64::from(last - first) * share) as i32;
            let moved_ms = to_ms - truth.position_ms;
            let is_told = is_told || (0..=READING_TOLERANCE_MS).contains(&moved_ms);
            truth.jump(to_ms);
            told(truth.look(ad, if is_told { Seen::SEEKING } else { 0 }), truth);
            told(truth.look(ad, 0), truth);
        }
        Did::Speed(rate) => {
            let was_normal = truth.is_normal();
            truth.rate = rate;
            if !was_normal || !truth.is_normal() {
                truth.runs += 1;
                truth.in_view_ms = 0;
            }
            told(truth.look(ad, 0), truth);
        }
        Did::View(is_in_view) => {
            truth.seen = truth.seen & !Seen::IN_VIEW | if is_in_view { Seen::IN_VIEW } else { 0 };
            if !is_in_view {
                truth.in_view_ms = 0;
            }
            told(truth.look(ad, 0), truth);
        }
        Did::Sound(is_on) => {
            truth.seen = truth.seen & !Seen::SILENT | if is_on { 0 } else { Seen::SILENT };
            told(truth.look(ad, 0), truth);
        }
        Did::SameLength => {
            let extent = if truth.is_span { Extent::Span } else { Extent::File };
            ad.set_extent(extent, f64::from(truth.duration_ms));
        }
    }
}

/// What was told must be true, and what is true must be told: but for what cells are too coarse to say.
fn check(events: &[Event], truth: &Truth) {
    let duration_ms = f64::from(truth.duration_ms);
    let played_ms = truth.played_ms;
    let cell_ms = duration_ms / f64::from(CELLS);
    let surely_ms = played_ms - f64::from(truth.runs) * 2.0 * cell_ms;
    let at_most_ms = played_ms + f64::from(truth.runs) * RUN_TOLERANCE_MS;
    let quartiles = [Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile];
    assert_eq!(events.contains(&Event::Start), truth.is_rendered, "an impression is an ad that was shown");
    for (quartile, share) in quartiles.iter().zip([0.25, 0.5, 0.75]) {
        let is_told = events.contains(quartile);
        assert!(!is_told || at_most_ms >= share * duration_ms, "{quartile} after {played_ms}");
        assert!(is_told || surely_ms < share * duration_ms, "no {quartile} after {played_ms}");
    }
    let is_complete = events.contains(&Event::Complete);
    let missing_ms_max = 500_f64.min(duration_ms / 10.0).max(2.0 * cell_ms);
    assert!(!is_complete || duration_ms - at_most_ms <= missing_ms_max + cell_ms, "complete after {played_ms}");
    let is_at_end = truth.has_ended() || truth.is_span && truth.position_ms >= truth.duration_ms;
    let is_surely_whole = duration_ms - surely_ms <= 500_f64.min(duration_ms / 10.0) - cell_ms;
    assert!(is_complete || !is_at_end || !is_surely_whole, "not complete after {played_ms}");
    assert_eq!(events.contains(&Event::Viewable), truth.was_viewable, "in view for two seconds on end");
}

/// In the order of VAST, each once where once is all it can be.
fn check_order(events: &[Event], is_span: bool) {
    let quartiles: Vec<_> = events.iter().filter(|event| event.code() <= Event::Complete.code()).copied().collect();
    assert_eq!(quartiles, Event::ALL[..quartiles.len()], "a prefix: once each, no gap, in order");
    let ends = [Event::Complete, Event::Skip, Event::Error, Event::NotUsed];
    if let Some(end) = events.iter().position(|event| ends.contains(event)) {
        let views = [Event::Viewable, Event::NotViewable, Event::ViewUndetermined];
        assert!(events[end + 1..].iter().all(|event| views.contains(event)), "nothing else after the end: {events:?}");
    }
    assert!(matches!(events.first(), None | Some(Event::Start | Event::Error | Event::NotUsed)), "{events:?}");
    // Of a part of a stream nobody is told what the sound did while the stream was elsewhere.
    let pairs = [[Event::Pause, Event::Resume], [Event::Mute, Event::Unmute]];
    for pair in &pairs[..if is_span { 1 } else { 2 }] {
        let told: Vec<_> = events.iter().filter(|event| pair.contains(event)).collect();
        assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?} alternate");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_told_of_an_ad_is_what_really_played_of_it(
        script in script(),
        duration_ms in prop_oneof![1_000..20_000_i32, 20_000..90_000_i32],
        is_span in any::<bool>(),
        how in prop::sample::select(vec![End::Skipped, End::Failed, End::Dropped]),
    ) {
        let mut ad = Ad::new(f64::from(duration_ms));
        let mut truth = Truth::new(duration_ms, is_span);
        let extent = if is_span { Extent::Span } else { Extent::File };
        ad.set_extent(extent, f64::from(duration_ms));
        if !is_span {
            ad.begin(f64::from(truth.clock_ms), Seen(0));
        }
        truth.look(&mut ad, 0);
        let mut events = Vec::new();
        for did in script {
            perform(did, &mut ad, &mut truth, |due, truth| {
                events.extend(due.events());
                if !due.has(Due::CLOSED) || due.events().next().is_some() {
                    check(&events, truth);
                }
            });
            if ad.is_closed() {
                break;
            }
        }
        let was_waiting = ad.is_waiting();
        events.extend(ad.end(how).events());
        check_order(&events, is_span);
        let views = [Event::Viewable, Event::NotViewable, Event::ViewUndetermined];
        let judgements = events.iter().filter(|event| views.contains(event)).count();
        prop_assert_eq!(judgements, usize::from(!was_waiting), "of every impression one is told, of nothing else");
    }
}
