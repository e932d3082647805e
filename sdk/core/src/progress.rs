//! What really played of an ad: the content shown at normal speed, each part of it counted once.
//!
//! VAST 4.3 counts a quartile when that share of the creative has played continuously at normal speed. A position alone
//! proves nothing, since a viewer may have jumped there; so this follows *runs*: positions that playing alone explains, one
//! after the other. A cell counts once a run went through all of it. What a jump cuts off of a cell is not counted.

use crate::{
    coverage::{CELLS, Coverage},
    whole::whole,
};

/// How much slower or faster still is normal speed: live players nudge the rate by a few per cent to hold their latency.
const RATE_MIN: f64 = 0.9;
const RATE_MAX: f64 = 1.1;
/// How much faster than the clock a position may move and still be played, not jumped: clocks differ a little…
const CLOCK_TOLERANCE: f64 = 1.1;
/// …and positions are read a little late, in milliseconds.
const READING_TOLERANCE_MS: f64 = 250.0;
/// The end of a cell counts as reached a little before, in milliseconds: fractions of cells are not exact.
const CELL_TOLERANCE_MS: f64 = 1.0;
/// How much of an ad may be missing from the measure and the ad still be complete, in milliseconds, at most a tenth of it:
/// what is lost where a player skips a gap in its buffer, or a busy page reads a position late.
const MISSING_MS_MAX: f64 = 500.0;

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

/// The measure of one ad's playing. Fresh, all but its length is zeros.
#[derive(Clone, Debug)]
pub struct Progress {
    duration_ms: f64,
    /// Where the run is; meaningless where there is none.
    last: Sample,
    is_running: bool,
    is_rendered: bool,
    /// Where the run began: from there to where it is, all has played at normal speed.
    run_from_ms: f64,
    /// The first cell that the run has not yet gone through.
    next_cell: u32,
    coverage: Coverage,
}

impl Progress {
    /// Nothing played yet of an ad of `duration_ms`.
    pub const fn new(duration_ms: f64) -> Self {
        Self {
            duration_ms,
            last: Sample { position_ms: 0.0, clock_ms: 0.0, rate: 0.0 },
            is_running: false,
            is_rendered: false,
            run_from_ms: 0.0,
            next_cell: 0,
            coverage: Coverage::NOTHING,
        }
    }

    /// Corrects the length, once the file is open and tells it. Of what had played, the run is kept; what came before it is
    /// forgotten, for its cells were others.
    pub fn set_duration_ms(&mut self, duration_ms: f64) {
        if is_length(duration_ms) && duration_ms.to_bits() != self.duration_ms.to_bits() {
            self.duration_ms = duration_ms;
            self.coverage = Coverage::NOTHING;
            self.run_from(self.run_from_ms);
            self.cover_run();
        }
    }

    /// The length of the ad, in milliseconds.
    pub fn duration_ms(&self) -> f64 {
        self.duration_ms
    }

    /// The player is here now. What lies between the sample before and this one has played, if playing explains it. Returns
    /// how much of the ad was shown at normal speed since then, in milliseconds; `None` if a new run begins here.
    #[inline]
    pub fn advance(&mut self, sample: Sample) -> Option<f64> {
        let last = self.last;
        let moved_ms = sample.position_ms - last.position_ms;
        let rate = if sample.rate > 1.0 { sample.rate } else { 1.0 };
        let explained_ms = (sample.clock_ms - last.clock_ms) * rate * CLOCK_TOLERANCE + READING_TOLERANCE_MS;
        // Also false where one of them is no number.
        let is_played = self.is_running && moved_ms >= 0.0 && moved_ms <= explained_ms && is_length(self.duration_ms);
        let begin_ms = if last.position_ms > 0.0 { last.position_ms } else { 0.0 };
        let end_ms = if sample.position_ms < self.duration_ms { sample.position_ms } else { self.duration_ms };
        let shown_ms = end_ms - begin_ms;
        let is_shown = is_played && shown_ms > 0.0;
        self.is_rendered |= is_shown;
        if is_played && is_normal(last.rate) && is_normal(sample.rate) {
            self.last = sample;
            self.cover_run();
            Some(if is_shown { shown_ms } else { 0.0 })
        } else {
            self.begin(sample);
            None
        }
    }

    /// A run begins here.
    #[inline]
    pub fn begin(&mut self, at: Sample) {
        self.go(at.position_ms, at.clock_ms, at.rate, true);
    }

    /// The player jumps, and this is where it would be; the next sample begins a new run. What is again where the run went
    /// through goes on with that run: together they have no gap.
    #[inline]
    pub fn jump(&mut self, to: Sample) {
        self.go(to.position_ms, to.clock_ms, to.rate, false);
    }

    #[inline(never)] // One for all is shorter, and its numbers one by one.
    fn go(&mut self, position_ms: f64, clock_ms: f64, rate: f64, is_running: bool) {
        if !(self.run_from_ms..=self.last.position_ms).contains(&position_ms) {
            self.run_from(position_ms);
        }
        self.last = Sample { position_ms, clock_ms, rate };
        self.is_running = is_running;
    }

    /// The clock goes on and the player does not: what passes meanwhile explains no move.
    pub fn hold(&mut self, clock_ms: f64) {
        self.last.clock_ms = clock_ms;
    }

    /// Whether the player was there when it was last looked at.
    #[expect(clippy::float_cmp, reason = "a player that stands still says the same number again")]
    pub fn was_at(&self, position_ms: f64) -> bool {
        self.last.position_ms == position_ms
    }

    /// Whether any of the ad was shown, at any speed.
    pub fn is_rendered(&self) -> bool {
        self.is_rendered
    }

    /// How many quarters of the ad have played at normal speed, from 0 to 4.
    pub fn quarters(&self) -> u32 {
        self.coverage.covered() / (CELLS / 4)
    }

    /// Whether so little is missing that all of it has played.
    pub fn is_whole(&self) -> bool {
        let missing = CELLS - self.coverage.covered();
        // A jump back to where the player came from may cut two cells, however long they are.
        let is_little = f64::from(missing) * self.duration_ms <= MISSING_MS_MAX * f64::from(CELLS);
        missing <= 2 || missing <= CELLS / 10 && is_little
    }

    /// Counts the cells that the run has gone through.
    fn cover_run(&mut self) {
        let to_ms = self.last.position_ms;
        // Of a run without length nothing has played, even where a cell is shorter than the tolerance.
        while to_ms > self.run_from_ms
            && self.next_cell < CELLS
            && f64::from(self.next_cell + 1) * self.duration_ms <= (to_ms + CELL_TOLERANCE_MS) * f64::from(CELLS)
        {
            self.coverage.cover(self.next_cell);
            self.next_cell += 1;
            self.is_rendered = true; // also where a corrected length shows only now that it was the ad
        }
    }

    /// The run begins here. The cell in which it begins has not played as a whole, unless the run begins with it.
    #[inline(never)] // One for all is shorter.
    fn run_from(&mut self, position_ms: f64) {
        self.run_from_ms = position_ms;
        // The whole part, so what is a little short of a whole cell more is that cell's end.
        let cells = (position_ms - CELL_TOLERANCE_MS) / self.duration_ms * f64::from(CELLS);
        self.next_cell = whole(cells + 1.0, CELLS);
    }
}

/// Some players (Shaka) stop the picture by a speed of zero while they wait for data.
#[inline]
fn is_normal(rate: f64) -> bool {
    (RATE_MIN..=RATE_MAX).contains(&rate) || rate == 0.0
}

fn is_length(ms: f64) -> bool {
    ms > 0.0 && ms <= f64::MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    fn sample(position_ms: f64, clock_ms: f64) -> Sample {
        Sample { position_ms, clock_ms, rate: 1.0 }
    }

    /// Plays from one position to another in quarter seconds, with a clock that agrees.
    fn play(progress: &mut Progress, from: u32, to: u32) {
        progress.jump(sample(f64::from(from), 0.0));
        for at in (from..=to).step_by(250) {
            progress.advance(sample(f64::from(at), f64::from(at)));
        }
    }

    fn covered(plays: &[(u32, u32)]) -> u32 {
        let mut progress = Progress::new(10_240.0); // 40 ms a cell
        for (from, to) in plays {
            play(&mut progress, *from, *to);
        }
        progress.coverage.covered()
    }

    #[test]
    fn a_cell_counts_once_and_a_jump_counts_nothing() {
        let cases: [(&[(u32, u32)], u32); 6] = [
            (&[(0, 10_250)], 256),
            (&[(0, 2_000), (8_000, 10_000)], 100),
            (&[(0, 2_000), (0, 2_000), (1_000, 2_000)], 50),
            (&[(4_000, 6_000), (0, 2_000), (2_000, 4_000)], 150),
            (&[(0, 1_000), (2_000, 3_000), (500, 2_500)], 75),
            (&[(9_240, 14_240)], 25),
        ];
        for (plays, expected) in cases {
            assert_eq!(covered(plays), expected, "{plays:?}");
        }
    }

    #[test]
    fn what_a_jump_cuts_off_of_a_cell_is_not_counted() {
        let mut progress = Progress::new(10_240.0);
        for (position, clock) in [(10.0, 0.0), (90.0, 80.0)] {
            progress.advance(sample(position, clock));
        }
        assert_eq!(progress.coverage.covered(), 1, "of the first and the third, a part is missing");
    }

    #[test]
    fn a_jump_that_nobody_announced_counts_nothing() {
        let mut progress = Progress::new(10_000.0);
        progress.advance(sample(0.0, 0.0));
        progress.advance(sample(5_000.0, 250.0));
        assert!(!progress.is_rendered());
        progress.advance(sample(5_250.0, 500.0));
        assert!(progress.is_rendered() && progress.quarters() == 0);
    }

    #[test]
    fn time_spent_paused_explains_no_move() {
        let mut progress = Progress::new(10_000.0);
        progress.advance(sample(0.0, 0.0));
        progress.hold(9_000.0);
        progress.advance(sample(8_000.0, 9_000.0));
        assert!(!progress.is_rendered());
    }

    #[test]
    fn only_normal_speed_counts_but_any_speed_renders() {
        for (rate, quarters) in [(1.0, 4), (1.05, 4), (2.0, 0), (0.5, 0), (16.0, 0)] {
            let mut progress = Progress::new(10_000.0);
            for tick in 0..=200 {
                let clock_ms = f64::from(tick) * 100.0;
                progress.advance(Sample { position_ms: clock_ms * rate, clock_ms, rate });
            }
            assert_eq!((progress.quarters(), progress.is_rendered()), (quarters, true), "{rate}");
        }
    }

    /// How many cells have played once the player was at these positions, each a quarter second after the one before.
    fn covered_at(positions: &[(f64, f64)]) -> u32 {
        let mut progress = Progress::new(10_240.0);
        for (tick, (position_ms, rate)) in (0_u32..).zip(positions) {
            progress.advance(Sample { position_ms: *position_ms, clock_ms: f64::from(tick) * 250.0, rate: *rate });
        }
        progress.coverage.covered()
    }

    #[test]
    fn going_back_to_where_the_run_went_through_loses_nothing() {
        // A television's clock of a paused video may go back a little; a viewer, a lot.
        assert_eq!(covered_at(&[(0.0, 1.0), (250.0, 1.0), (249.0, 1.0), (400.0, 1.0)]), 10);
        assert_eq!(covered_at(&[(0.0, 1.0), (250.0, 1.0), (500.0, 1.0), (10.0, 1.0), (260.0, 1.0), (510.0, 1.0)]), 12);
        assert_eq!(
            covered_at(&[(30.0, 1.0), (250.0, 1.0), (20.0, 1.0), (270.0, 1.0)]),
            5,
            "before its beginning is new"
        );
        let mut progress = Progress::new(10_240.0);
        for (position, clock) in [(0.0, 0.0), (290.0, 290.0)] {
            progress.advance(sample(position, clock));
        }
        progress.jump(sample(100.0, 300.0));
        assert_eq!(progress.advance(sample(100.0, 300.0)), None, "what lies between was jumped over");
        progress.advance(sample(500.0, 700.0));
        assert_eq!(progress.coverage.covered(), 12);
    }

    #[test]
    fn a_player_that_waits_at_speed_zero_loses_nothing() {
        let waiting = [(0.0, 1.0), (110.0, 1.0), (190.0, 0.0), (190.0, 0.0), (190.0, 1.0), (410.0, 1.0)];
        assert_eq!(covered_at(&waiting), 10);
        assert_eq!(covered_at(&[(0.0, 1.0), (250.0, 1.0), (500.0, 2.0), (750.0, 1.0)]), 6, "unlike another speed");
    }

    #[test]
    fn a_corrected_length_keeps_the_run_and_the_same_length_keeps_all() {
        let mut progress = Progress::new(10_000.0);
        play(&mut progress, 5_000, 6_000);
        play(&mut progress, 0, 2_000);
        let before = progress.coverage.covered();
        progress.set_duration_ms(10_000.0);
        assert_eq!((before, progress.coverage.covered()), (76, 76));
        progress.set_duration_ms(4_000.0);
        assert_eq!(progress.coverage.covered(), 128, "half of it: what had played before the run had other cells");
        progress.advance(sample(4_000.0, 4_000.0));
        assert!(progress.is_whole());
    }

    #[test]
    fn of_the_shortest_ad_nothing_has_played_before_it_is_rendered() {
        for duration_ms in [0.001, 1.0, 3.0] {
            let mut progress = Progress::new(duration_ms);
            for clock_ms in [0.0, 250.0, 500.0] {
                progress.advance(sample(0.0, clock_ms));
                assert_eq!((progress.quarters(), progress.is_rendered()), (0, false), "{duration_ms}");
            }
            progress.set_duration_ms(2.0);
            assert_eq!(progress.quarters(), 0);
        }
    }

    #[test]
    fn a_stall_of_the_page_loses_nothing_that_played() {
        let mut progress = Progress::new(10_000.0);
        progress.advance(sample(0.0, 0.0));
        progress.advance(sample(7_600.0, 7_600.0));
        assert_eq!(progress.quarters(), 3);
    }

    #[test]
    fn an_ad_without_length_never_plays_and_a_file_may_correct_its_length() {
        for length in [f64::NAN, 0.0, -5.0, f64::INFINITY] {
            let mut progress = Progress::new(length);
            progress.advance(sample(0.0, 0.0));
            progress.advance(sample(100.0, 100.0));
            assert!(!progress.is_rendered() && progress.quarters() == 0 && !progress.is_whole(), "{length}");
            progress.set_duration_ms(f64::INFINITY);
            progress.set_duration_ms(200.0);
            progress.advance(sample(200.0, 200.0));
            assert_eq!(progress.quarters(), 2, "{length}");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_the_clock_allows_nor_than_all(
            moves in prop::collection::vec(
                (-20_000.0..20_000.0, 0.0..1_000.0, prop::sample::select(std::vec![0.5, 1.0, 2.0]), any::<bool>()),
                0..300,
            ),
        ) {
            let duration_ms = 10_000.0;
            let mut progress = Progress::new(duration_ms);
            let mut clock_ms = 0.0;
            let (mut allowed_ms, mut shown_ms) = (0.0, 0.0);
            let mut position_ms: f64 = 0.0;
            for (to, elapsed_ms, rate, drifts) in moves {
                clock_ms += elapsed_ms;
                allowed_ms += elapsed_ms * CLOCK_TOLERANCE + READING_TOLERANCE_MS + CELL_TOLERANCE_MS;
                position_ms = if drifts { position_ms + elapsed_ms } else { to };
                shown_ms += progress.advance(Sample { position_ms, clock_ms, rate }).unwrap_or(0.0);
                let covered_ms = f64::from(progress.coverage.covered()) * duration_ms / f64::from(CELLS);
                prop_assert!(covered_ms <= allowed_ms && shown_ms <= allowed_ms);
                prop_assert!(covered_ms <= duration_ms + 1e-6);
            }
        }

        #[test]
        fn how_often_the_page_looks_does_not_matter(cuts in prop::collection::vec(0.0..10_000.0, 0..200)) {
            let mut cuts: Vec<f64> = cuts;
            cuts.extend([0.0, 10_000.0]);
            cuts.sort_by(f64::total_cmp);
            let mut progress = Progress::new(10_000.0);
            for at in cuts {
                progress.advance(sample(at, at));
            }
            prop_assert_eq!(progress.quarters(), 4);
            prop_assert!(progress.is_whole());
        }
    }
}
