//! What happened to one ad: from what the player did to the events that are reported, each at most once where once is
//! all it can happen, and in an order that makes sense.

use slotkeeper_core::beacon::Event;

use crate::progress::{Progress, Sample};

/// How much of an ad may be missing from the measure and the ad still be complete, in milliseconds: what is lost
/// where a player skips a gap in its buffer, or a busy page reads a position late. At most a tenth of the ad.
const COMPLETE_TOLERANCE_MS: f64 = 500.0;

const QUARTILES: [(Event, f64); 3] =
    [(Event::FirstQuartile, 0.25), (Event::Midpoint, 0.5), (Event::ThirdQuartile, 0.75)];

/// Whether the viewer could hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Audible.
    On,
    /// Muted, or the volume is zero.
    Off,
}

/// What the player did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Signal {
    /// It is here; told often while it plays.
    At(Sample),
    /// It jumped, or changed its speed.
    Jumped,
    /// The viewer paused it.
    Paused,
    /// It plays again.
    Resumed,
    /// The sound changed; told once before the ad, too.
    Sound(Sound),
    /// It reached the end of the ad.
    Ended(Sample),
    /// The viewer skipped the rest.
    Skipped,
    /// It could not play the ad, or not on.
    Failed,
    /// It never will play the ad.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Phase {
    Waiting,
    Playing,
    Paused,
    Closed,
}

/// The events of one ad.
#[derive(Clone, Debug)]
pub struct Tracker {
    progress: Progress,
    phase: Phase,
    sound: Sound,
    /// How many quartiles between start and complete were reported.
    quartiles: usize,
}

impl Tracker {
    /// For an ad of this length, not yet started.
    pub fn new(duration_ms: f64) -> Self {
        Self { progress: Progress::new(duration_ms), phase: Phase::Waiting, sound: Sound::On, quartiles: 0 }
    }

    /// Corrects the length, once the file is open and tells it. Too late once a share of it was reported.
    pub fn set_duration_ms(&mut self, duration_ms: f64) {
        if self.quartiles == 0 && self.phase != Phase::Closed {
            self.progress.set_duration_ms(duration_ms);
        }
    }

    /// The length of the ad, in milliseconds.
    pub fn duration_ms(&self) -> f64 {
        self.progress.duration_ms()
    }

    /// Whether nothing has become of the ad yet: it may still be played by someone.
    pub fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// Whether nothing more can happen to the ad.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The events that are due now that the player did this, in order.
    pub fn on(&mut self, signal: Signal) -> Vec<Event> {
        let mut due = Vec::new();
        if self.phase == Phase::Closed {
            return due;
        }
        match signal {
            Signal::At(sample) => self.advance(sample, &mut due),
            Signal::Jumped => self.progress.interrupt(),
            Signal::Paused => self.step(Phase::Playing, Phase::Paused, Event::Pause, &mut due),
            Signal::Resumed => self.step(Phase::Paused, Phase::Playing, Event::Resume, &mut due),
            Signal::Sound(sound) => self.hear(sound, &mut due),
            Signal::Ended(sample) => {
                self.advance(sample, &mut due);
                self.progress.interrupt();
                if self.is_complete() {
                    self.close(Event::Complete, &mut due);
                }
            }
            Signal::Failed => self.close(Event::Error, &mut due),
            Signal::Skipped | Signal::Dropped if self.phase == Phase::Waiting => self.close(Event::NotUsed, &mut due),
            Signal::Skipped => self.close(Event::Skip, &mut due),
            Signal::Dropped => self.phase = Phase::Closed,
        }
        due
    }

    fn advance(&mut self, sample: Sample, due: &mut Vec<Event>) {
        self.progress.advance(sample);
        if self.phase == Phase::Waiting && self.progress.is_rendered() {
            self.phase = Phase::Playing;
            due.push(Event::Start);
        }
        let share = self.progress.share();
        while let Some((event, threshold)) = QUARTILES.get(self.quartiles)
            && share >= *threshold
        {
            self.quartiles += 1;
            due.push(*event);
        }
    }

    fn is_complete(&self) -> bool {
        let tolerance_ms = COMPLETE_TOLERANCE_MS.min(self.progress.duration_ms() / 10.0);
        self.quartiles == QUARTILES.len() && self.progress.missing_ms() <= tolerance_ms
    }

    fn hear(&mut self, sound: Sound, due: &mut Vec<Event>) {
        let changed = sound != self.sound;
        self.sound = sound;
        if changed && self.phase > Phase::Waiting {
            due.push(if sound == Sound::On { Event::Unmute } else { Event::Mute });
        }
    }

    fn step(&mut self, from: Phase, to: Phase, event: Event, due: &mut Vec<Event>) {
        if self.phase == from {
            self.phase = to;
            due.push(event);
        }
    }

    fn close(&mut self, event: Event, due: &mut Vec<Event>) {
        self.phase = Phase::Closed;
        due.push(event);
    }
}

#[cfg(test)]
mod tests {
    use Event::{
        Complete, Error, FirstQuartile, Midpoint, Mute, NotUsed, Pause, Resume, Skip, Start, ThirdQuartile, Unmute,
    };
    use proptest::prelude::*;

    use super::*;

    fn at(position_ms: f64, clock_ms: f64) -> Sample {
        Sample { position_ms, clock_ms, rate: 1.0 }
    }

    /// The events of playing from one position to another, in quarter seconds.
    fn play(tracker: &mut Tracker, from: u32, to: u32) -> Vec<Event> {
        let ticks = (from..=to).step_by(250).map(f64::from);
        ticks.flat_map(|ms| tracker.on(Signal::At(at(ms, ms)))).collect()
    }

    fn end(tracker: &mut Tracker, ms: u32) -> Vec<Event> {
        tracker.on(Signal::Ended(at(f64::from(ms), f64::from(ms))))
    }

    #[test]
    fn an_ad_watched_to_the_end_reports_every_quartile_once_in_order() {
        let mut tracker = Tracker::new(6_000.0);
        assert_eq!(play(&mut tracker, 0, 5_750), [Start, FirstQuartile, Midpoint, ThirdQuartile]);
        assert_eq!(end(&mut tracker, 6_000), [Complete]);
        assert!(tracker.is_closed());
        assert_eq!(play(&mut tracker, 0, 6_000), []);
        assert_eq!(end(&mut tracker, 6_000), []);
    }

    #[test]
    fn start_waits_for_the_picture_to_move() {
        let mut tracker = Tracker::new(6_000.0);
        for clock_ms in [0.0, 500.0, 5_000.0] {
            assert_eq!(tracker.on(Signal::At(at(0.0, clock_ms))), []);
        }
        assert!(tracker.is_waiting());
        assert_eq!(tracker.on(Signal::At(at(40.0, 5_040.0))), [Start]);
        assert!(!tracker.is_waiting());
    }

    #[test]
    fn all_that_is_due_fires_in_order_when_the_page_was_busy() {
        let mut tracker = Tracker::new(6_000.0);
        play(&mut tracker, 0, 0);
        assert_eq!(tracker.on(Signal::At(at(3_100.0, 3_100.0))), [Start, FirstQuartile, Midpoint]);
        assert_eq!(end(&mut tracker, 6_000), [ThirdQuartile, Complete]);
    }

    #[test]
    fn a_jump_over_a_quartile_does_not_fire_it() {
        let mut tracker = Tracker::new(10_000.0);
        assert_eq!(play(&mut tracker, 0, 1_000), [Start]);
        tracker.on(Signal::Jumped);
        assert_eq!(play(&mut tracker, 9_000, 9_750), []);
        assert_eq!(end(&mut tracker, 10_000), [], "two seconds of ten have played");
        tracker.on(Signal::Jumped);
        assert_eq!(play(&mut tracker, 1_000, 9_000), [FirstQuartile, Midpoint, ThirdQuartile]);
        assert_eq!(end(&mut tracker, 10_000), [Complete], "back, and all of it has played now");
    }

    #[test]
    fn watching_again_fires_nothing_again() {
        let mut tracker = Tracker::new(10_000.0);
        assert_eq!(play(&mut tracker, 0, 3_000), [Start, FirstQuartile]);
        for _ in 0..5 {
            tracker.on(Signal::Jumped);
            assert_eq!(play(&mut tracker, 0, 3_000), []);
        }
    }

    #[test]
    fn a_small_gap_still_completes_and_a_large_one_does_not() {
        for (resumed_at, last) in [(5_250, vec![Complete]), (6_000, vec![])] {
            let mut tracker = Tracker::new(10_000.0);
            play(&mut tracker, 0, 5_000);
            tracker.on(Signal::Jumped);
            play(&mut tracker, resumed_at, 9_750);
            assert_eq!(end(&mut tracker, 10_000), last, "from {resumed_at}");
        }
    }

    #[test]
    fn pauses_and_sound_are_told_between_start_and_end_only_and_only_when_they_change() {
        let mut tracker = Tracker::new(6_000.0);
        let silent = [Signal::Sound(Sound::Off), Signal::Paused, Signal::Resumed, Signal::Sound(Sound::Off)];
        assert!(silent.into_iter().all(|signal| tracker.on(signal).is_empty()));
        play(&mut tracker, 0, 500);
        let told = [
            (Signal::Sound(Sound::Off), vec![]),
            (Signal::Sound(Sound::On), vec![Unmute]),
            (Signal::Sound(Sound::Off), vec![Mute]),
            (Signal::Resumed, vec![]),
            (Signal::Paused, vec![Pause]),
            (Signal::Paused, vec![]),
            (Signal::Resumed, vec![Resume]),
            (Signal::Skipped, vec![Skip]),
            (Signal::Paused, vec![]),
            (Signal::Sound(Sound::On), vec![]),
        ];
        for (signal, events) in told {
            assert_eq!(tracker.on(signal), events, "{signal:?}");
        }
    }

    #[test]
    fn an_ad_that_never_started_was_not_used_and_one_that_did_was() {
        let cases = [
            (0, Signal::Failed, vec![Error]),
            (0, Signal::Dropped, vec![NotUsed]),
            (0, Signal::Skipped, vec![NotUsed]),
            (1_000, Signal::Failed, vec![Error]),
            (1_000, Signal::Dropped, vec![]),
            (1_000, Signal::Skipped, vec![Skip]),
        ];
        for (played, signal, events) in cases {
            let mut tracker = Tracker::new(6_000.0);
            play(&mut tracker, 0, played);
            assert_eq!(tracker.on(signal), events, "{signal:?} after {played}");
            assert!(tracker.is_closed() && !tracker.is_waiting(), "nobody may play it again");
        }
    }

    #[test]
    fn the_length_may_be_corrected_until_a_share_of_it_was_reported() {
        let mut tracker = Tracker::new(60_000.0);
        tracker.set_duration_ms(6_000.0);
        assert_eq!(play(&mut tracker, 0, 1_500), [Start, FirstQuartile]);
        tracker.set_duration_ms(1_600.0);
        assert!((tracker.duration_ms() - 6_000.0).abs() < 1e-9);
    }

    fn signals() -> impl Strategy<Value = Vec<(Signal, f64)>> {
        let sample = (-1_000.0..12_000.0, prop::sample::select(vec![0.5, 1.0, 2.0]))
            .prop_map(|(position_ms, rate)| Sample { position_ms, clock_ms: 0.0, rate });
        let rare = prop::sample::select(vec![
            Signal::Jumped,
            Signal::Paused,
            Signal::Resumed,
            Signal::Sound(Sound::On),
            Signal::Sound(Sound::Off),
        ]);
        let last = prop::sample::select(vec![Signal::Skipped, Signal::Failed, Signal::Dropped]);
        let signal = prop_oneof![
            60 => sample.clone().prop_map(Signal::At),
            10 => sample.prop_map(Signal::Ended),
            20 => rare,
            1 => last,
        ];
        prop::collection::vec((signal, 0.0..4_000.0), 0..400)
    }

    proptest! {
        #[test]
        fn whatever_the_player_does_the_events_make_sense(signals in signals()) {
            let mut tracker = Tracker::new(10_000.0);
            let mut clock = 0.0;
            let mut events = Vec::new();
            for (mut signal, elapsed_ms) in signals {
                clock += elapsed_ms;
                if let Signal::At(sample) | Signal::Ended(sample) = &mut signal {
                    sample.clock_ms = clock;
                }
                events.extend(tracker.on(signal));
            }
            let quartiles: Vec<_> = events.iter().filter(|event| event.code() <= Complete.code()).copied().collect();
            prop_assert_eq!(&quartiles, &Event::ALL[..quartiles.len()], "a prefix: once each, no gap, in order");
            if let Some(closing) = events.iter().position(|event| matches!(event, Complete | Skip | Error | NotUsed)) {
                prop_assert_eq!(closing, events.len() - 1, "nothing after the end");
            }
            if let Some(first) = events.first() {
                prop_assert!(matches!(first, Start | Error | NotUsed));
            }
            for pair in [[Pause, Resume], [Mute, Unmute], [Unmute, Mute]] {
                let told: Vec<_> = events.iter().filter(|event| pair.contains(event)).collect();
                prop_assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?} alternate");
            }
        }
    }
}
