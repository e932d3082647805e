//! What really played of an ad: the content shown at normal speed, each second of it counted once.
//!
//! VAST 4.3 counts a quartile when that share of the creative has played at normal speed. A position alone proves
//! nothing, since a viewer may have jumped there; so this adds up the stretches between two positions that playing
//! alone explains, and never counts the same stretch twice.

/// The most separate stretches remembered. Past it the shortest is forgotten: too little is counted, never too much.
const STRETCHES_MAX: usize = 64;
/// Speeds taken for normal: live players nudge the rate by a few per cent to hold their latency.
const NORMAL_RATE: core::ops::RangeInclusive<f64> = 0.9..=1.1;
/// How much faster than the clock a position may move and still be played, not jumped: clocks differ a little…
const CLOCK_TOLERANCE: f64 = 1.1;
/// …and positions are read a little late, in milliseconds.
const READING_TOLERANCE_MS: f64 = 250.0;

/// Where the player was, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The position within the ad, in milliseconds. May lie outside of the ad where a stream goes on around it.
    pub position_ms: f64,
    /// A monotonic clock, in milliseconds.
    pub clock_ms: f64,
    /// The speed; 1 is normal.
    pub rate: f64,
}

/// The measure of one ad's playing.
#[derive(Clone, Debug)]
pub struct Progress {
    duration_ms: f64,
    last: Option<Sample>,
    rendered: bool,
    /// Disjoint stretches of the ad, as (from, to).
    stretches: Vec<(f64, f64)>,
}

impl Progress {
    /// Nothing played yet of an ad of `duration_ms`.
    pub fn new(duration_ms: f64) -> Self {
        Self { duration_ms: duration_ms.max(0.0), last: None, rendered: false, stretches: Vec::new() }
    }

    /// Corrects the length, once the file is open and tells it.
    pub fn set_duration_ms(&mut self, duration_ms: f64) {
        if duration_ms.is_finite() && duration_ms > 0.0 {
            self.duration_ms = duration_ms;
        }
    }

    /// The player is here now. What lies between the sample before and this one has played, if playing explains it.
    pub fn advance(&mut self, sample: Sample) {
        if !(sample.position_ms.is_finite() && sample.clock_ms.is_finite() && sample.rate.is_finite()) {
            return self.interrupt();
        }
        let Some(last) = self.last.replace(sample) else { return };
        let moved_ms = sample.position_ms - last.position_ms;
        let explained_ms =
            (sample.clock_ms - last.clock_ms) * sample.rate.max(1.0) * CLOCK_TOLERANCE + READING_TOLERANCE_MS;
        let (from, to) = (last.position_ms.max(0.0), sample.position_ms.min(self.duration_ms));
        if from >= to || moved_ms > explained_ms {
            return;
        }
        self.rendered = true;
        if NORMAL_RATE.contains(&last.rate) && NORMAL_RATE.contains(&sample.rate) {
            self.add(from, to);
        }
    }

    /// The player jumped, or changed its speed: the next sample begins a new stretch.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Whether any of the ad was shown, at any speed.
    pub fn is_rendered(&self) -> bool {
        self.rendered
    }

    /// How much of the ad has played at normal speed, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.duration_ms > 0.0 { self.played_ms() / self.duration_ms } else { 0.0 }
    }

    /// How much of the ad has not played at normal speed, in milliseconds.
    pub fn missing_ms(&self) -> f64 {
        (self.duration_ms - self.played_ms()).max(0.0)
    }

    /// The length of the ad, in milliseconds.
    pub fn duration_ms(&self) -> f64 {
        self.duration_ms
    }

    fn played_ms(&self) -> f64 {
        self.stretches.iter().map(|(from, to)| to - from).sum()
    }

    fn add(&mut self, mut from: f64, mut to: f64) {
        // Those that touch become one with the new one. They are disjoint, so growing never reaches one already passed.
        self.stretches.retain(|stretch| {
            let touches = stretch.0 <= to && from <= stretch.1;
            if touches {
                from = from.min(stretch.0);
                to = to.max(stretch.1);
            }
            !touches
        });
        self.stretches.push((from, to));
        if self.stretches.len() > STRETCHES_MAX {
            let lengths = self.stretches.iter().map(|(from, to)| to - from).enumerate();
            if let Some((shortest, _)) = lengths.min_by(|a, b| a.1.total_cmp(&b.1)) {
                self.stretches.swap_remove(shortest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(position_ms: f64, clock_ms: f64) -> Sample {
        Sample { position_ms, clock_ms, rate: 1.0 }
    }

    /// Plays from one position to another in quarter seconds, with a clock that agrees.
    fn play(progress: &mut Progress, from: u32, to: u32) {
        progress.interrupt();
        for at in (from..=to).step_by(250) {
            progress.advance(sample(f64::from(at), f64::from(at)));
        }
    }

    fn share(plays: &[(u32, u32)]) -> f64 {
        let mut progress = Progress::new(10_000.0);
        for (from, to) in plays {
            play(&mut progress, *from, *to);
        }
        progress.share()
    }

    #[test]
    fn a_second_counts_once_and_a_jump_counts_nothing() {
        let cases: [(&[(u32, u32)], f64); 6] = [
            (&[(0, 10_000)], 1.0),
            (&[(0, 2_000), (8_000, 10_000)], 0.4),
            (&[(0, 2_000), (0, 2_000), (1_000, 2_000)], 0.2),
            (&[(4_000, 6_000), (0, 2_000), (2_000, 4_000)], 0.6),
            (&[(0, 1_000), (2_000, 3_000), (500, 2_500)], 0.3),
            (&[(9_000, 14_000)], 0.1),
        ];
        for (plays, expected) in cases {
            assert!((share(plays) - expected).abs() < 1e-9, "{plays:?}");
        }
    }

    #[test]
    fn a_jump_that_nobody_announced_counts_nothing() {
        let mut progress = Progress::new(10_000.0);
        progress.advance(sample(0.0, 0.0));
        progress.advance(sample(5_000.0, 250.0));
        assert!(!progress.is_rendered());
        progress.advance(sample(5_250.0, 500.0));
        assert!(progress.is_rendered());
        assert!((progress.missing_ms() - 9_750.0).abs() < 1e-9);
    }

    #[test]
    fn only_normal_speed_counts_but_any_speed_renders() {
        for (rate, counted) in [(1.0, 1.0), (1.05, 1.0), (2.0, 0.0), (0.5, 0.0), (16.0, 0.0)] {
            let mut progress = Progress::new(10_000.0);
            for tick in 0..=200 {
                let clock_ms = f64::from(tick) * 100.0;
                progress.advance(Sample { position_ms: clock_ms * rate, clock_ms, rate });
            }
            assert!((progress.share() - counted).abs() < 1e-9, "{rate}");
            assert!(progress.is_rendered(), "{rate}");
        }
    }

    #[test]
    fn a_stall_of_the_page_loses_nothing_that_played() {
        let mut progress = Progress::new(10_000.0);
        progress.advance(sample(0.0, 0.0));
        progress.advance(sample(7_000.0, 7_000.0));
        assert!((progress.share() - 0.7).abs() < 1e-9);
    }

    #[test]
    fn an_ad_without_length_never_plays_and_a_file_may_correct_its_length() {
        let mut progress = Progress::new(f64::NAN);
        progress.advance(sample(0.0, 0.0));
        progress.advance(sample(100.0, 100.0));
        assert!(!progress.is_rendered() && progress.share() == 0.0);
        progress.set_duration_ms(f64::INFINITY);
        progress.set_duration_ms(200.0);
        progress.advance(sample(200.0, 200.0));
        assert!((progress.share() - 0.5).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn never_more_than_the_clock_allows_nor_than_all(
            moves in prop::collection::vec(
                (-20_000.0..20_000.0, 0.0..1_000.0, prop::sample::select(vec![0.5, 1.0, 2.0]), any::<bool>()),
                0..300,
            ),
        ) {
            let mut progress = Progress::new(10_000.0);
            let mut clock_ms = 0.0;
            let mut steps = 0.0;
            for (position_ms, elapsed_ms, rate, interrupted) in moves {
                clock_ms += elapsed_ms;
                steps += 1.0;
                if interrupted {
                    progress.interrupt();
                }
                progress.advance(Sample { position_ms, clock_ms, rate });
                prop_assert!(progress.share() <= 1.0 + 1e-9);
                prop_assert!(progress.played_ms() <= clock_ms * CLOCK_TOLERANCE + steps * READING_TOLERANCE_MS + 1e-6);
                prop_assert!(progress.stretches.len() <= STRETCHES_MAX);
            }
        }

        #[test]
        fn no_number_breaks_it(
            numbers in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..50),
            duration in any::<f64>(),
        ) {
            let mut progress = Progress::new(duration);
            for (position_ms, clock_ms, rate) in numbers {
                progress.advance(Sample { position_ms, clock_ms, rate });
                prop_assert!(!progress.share().is_nan());
            }
        }
    }
}
