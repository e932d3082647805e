//! One ad: from looks at the player to the events that are reported, each at most once where once is all it can happen, and
//! in an order that makes sense.

use slotkeeper_beacon::Event;

use crate::{
    due::Due,
    progress::{Progress, Sample},
};

/// How long an ad may show nothing new while it should play, in milliseconds. Past it, it is stalled.
pub const STALL_MS_MAX: f64 = 10_000.0;
/// MRC's and VAST 4.3's viewable video: half of its pixels for two seconds on end, in milliseconds.
pub const VIEWABLE_MS: f64 = 2_000.0;

/// The quartiles between start and complete have codes in a row.
const QUARTILES: u32 = 3;
const _: () = assert!(Event::FirstQuartile.code() + 2 == Event::ThirdQuartile.code());
const _: () = assert!(Event::Mute.code() + 1 == Event::Unmute.code());
const _: () = assert!(Event::PlayerExpand.code() + 1 == Event::PlayerCollapse.code());

/// What a look at the player saw, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub u32);

impl Seen {
    /// It is paused.
    pub const PAUSED: u32 = 1;
    /// It jumps.
    pub const SEEKING: u32 = 2;
    /// It reached the end of its file.
    pub const ENDED: u32 = 4;
    /// It is muted, or its volume is zero.
    pub const SILENT: u32 = 8;
    /// It fills the screen.
    pub const FULLSCREEN: u32 = 16;
    /// At least half of its pixels are in view, and somebody could look.
    pub const IN_VIEW: u32 = 32;
    /// Nobody can tell whether it is in view.
    pub const VIEW_UNKNOWN: u32 = 64;
    /// The page is hidden, so the browser may have stopped it without a word.
    pub const HIDDEN: u32 = 128;

    /// Whether one of these was seen.
    const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}

/// How an ad came to its end, other than by playing to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It will not be played (on).
    Dropped,
    /// The viewer skipped the rest.
    Skipped,
    /// It could not be played, or not on.
    Failed,
}

impl End {
    /// What a number from a skin means: 1 is skipped, 2 failed, anything else dropped.
    pub fn of(number: u32) -> Self {
        match number {
            1 => Self::Skipped,
            2 => Self::Failed,
            _ => Self::Dropped,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Playing,
    Paused,
    Closed,
}

/// Whether the ad is all of what the video plays, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The whole file: it ends when the file ends.
    File,
    /// A part of a longer stream: passing its end ends it, and what happens outside of it is none of its business.
    Span,
}

/// The events of one ad.
#[derive(Clone, Debug)]
pub struct Ad {
    progress: Progress,
    phase: Phase,
    extent: Extent,
    seen: Seen,
    /// How many quartiles between start and complete were reported.
    quartiles: u32,
    clicked: bool,
    viewable: bool,
    /// How long it has been in view, on end, while it played.
    in_view_ms: f64,
    /// When it was last seen to show something new, at whatever speed, or had no reason to; 0 before anyone looked.
    moved_at_ms: f64,
}

impl Ad {
    /// For an ad of this length, not yet started.
    pub const fn new(duration_ms: f64) -> Self {
        Self {
            progress: Progress::new(duration_ms),
            phase: Phase::Waiting,
            extent: Extent::File,
            seen: Seen(0),
            quartiles: 0,
            clicked: false,
            viewable: false,
            in_view_ms: 0.0,
            moved_at_ms: 0.0,
        }
    }

    /// Whether nothing has become of it yet: it may still be played by someone.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting
    }

    /// Whether nothing more can happen to it.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whose part of the video it is, and how long. Too late once a share of it was reported.
    #[inline(never)] // One for all is shorter.
    pub fn set_extent(&mut self, extent: Extent, duration_ms: f64) {
        if self.quartiles == 0 && self.phase != Phase::Closed {
            self.extent = extent;
            self.progress.set_duration_ms(duration_ms);
        }
    }

    /// The player is about to play it from its beginning: what plays before the page gets to look is counted, too.
    pub fn begin(&mut self, clock_ms: f64, seen: Seen) {
        // Still paused, as it is before it plays: but from here on time explains what plays.
        self.seen = Seen(seen.0 & !Seen::PAUSED);
        self.moved_at_ms = clock_ms;
        self.in_view_ms = 0.0;
        self.progress.begin(Sample { position_ms: 0.0, clock_ms, rate: 1.0 });
    }

    /// What is due now that the player is here.
    #[inline]
    pub fn look(&mut self, sample: Sample, seen: Seen) -> Due {
        if self.is_closed() {
            return Due::CLOSED;
        }
        let mut due = Due::NOTHING;
        let before = core::mem::replace(&mut self.seen, seen);
        let duration_ms = self.progress.duration_ms();
        let is_past = self.extent == Extent::Span && sample.position_ms >= duration_ms;
        let is_inside = self.extent == Extent::File || (sample.position_ms >= 0.0 && !is_past);
        let is_idle = seen.has(Seen::PAUSED | Seen::HIDDEN) || !is_inside;
        if is_idle || !self.progress.was_at(sample.position_ms) || self.moved_at_ms <= 0.0 {
            self.moved_at_ms = sample.clock_ms;
        }
        if before.has(Seen::PAUSED) {
            self.progress.hold(sample.clock_ms);
        }
        if seen.has(Seen::SEEKING) {
            self.progress.jump(sample);
            self.in_view_ms = 0.0;
        } else {
            due = self.advance(sample, before);
        }
        if is_inside && !self.is_waiting() {
            due = self.tell_changes(before, due);
        }
        // A jump is told no share; so an ad may be whole, its length corrected, whose shares are still to be told.
        let is_told = self.quartiles == QUARTILES;
        if (seen.has(Seen::ENDED) || is_past) && is_told && self.progress.is_whole() {
            due = due.and(self.close(Due::event(Event::Complete)));
        }
        let is_stalled = !self.is_closed() && sample.clock_ms - self.moved_at_ms > STALL_MS_MAX;
        if is_stalled { due.and(Due::STALLED) } else { due }
    }

    /// It comes to its end without having played to it.
    pub fn end(&mut self, how: End) -> Due {
        self.close(match how {
            _ if self.is_closed() => Due::NOTHING,
            End::Failed => Due::event(Event::Error),
            _ if self.is_waiting() => Due::event(Event::NotUsed),
            End::Skipped => Due::event(Event::Skip),
            End::Dropped => Due::NOTHING,
        })
    }

    /// The viewer followed its link.
    pub fn click(&mut self) -> Due {
        let is_first = !self.is_waiting() && !self.is_closed() && !core::mem::replace(&mut self.clicked, true);
        if is_first { Due::event(Event::ClickThrough) } else { Due::NOTHING }
    }

    #[inline]
    fn advance(&mut self, sample: Sample, before: Seen) -> Due {
        let mut due = Due::NOTHING;
        let shown_ms = self.progress.advance(sample);
        if self.is_waiting() && self.progress.is_rendered() {
            self.phase = Phase::Playing;
            due.add(Event::Start);
        }
        let quartiles = self.progress.quarters().min(QUARTILES);
        due = due.and(Due::row(Event::FirstQuartile, self.quartiles, quartiles));
        self.quartiles = quartiles;
        let was_in_view = before.has(Seen::IN_VIEW) && self.seen.has(Seen::IN_VIEW);
        self.in_view_ms = shown_ms.filter(|_| was_in_view).map_or(0.0, |shown_ms| self.in_view_ms + shown_ms);
        if self.in_view_ms >= VIEWABLE_MS && !self.viewable {
            self.viewable = true;
            due.add(Event::Viewable);
        }
        if self.seen.has(Seen::PAUSED) {
            self.in_view_ms = 0.0; // what it showed until then counted
        }
        due
    }

    #[inline]
    fn tell_changes(&mut self, before: Seen, mut due: Due) -> Due {
        let seen = self.seen;
        // Browsers pause a video that ends, and one that jumps; the viewer paused neither.
        let is_paused = seen.has(Seen::PAUSED) && !seen.has(Seen::SEEKING) && !seen.has(Seen::ENDED);
        match self.phase {
            Phase::Playing if is_paused => {
                self.phase = Phase::Paused;
                due.add(Event::Pause);
            }
            Phase::Paused if !seen.has(Seen::PAUSED) => {
                self.phase = Phase::Playing;
                due.add(Event::Resume);
            }
            _ => {}
        }
        if due.has(Due::event(Event::Start)) {
            return due; // as it was when it started
        }
        // The event that undoes another has the next code.
        let mut tell = |bit, on| {
            if seen.has(bit) != before.has(bit) {
                due.add_nth(on, u32::from(before.has(bit)));
            }
        };
        tell(Seen::SILENT, Event::Mute);
        tell(Seen::FULLSCREEN, Event::PlayerExpand);
        due
    }

    /// It is over, with what is due of that; an impression that was not viewable by now will not become it.
    #[inline(never)] // One for all is shorter.
    fn close(&mut self, due: Due) -> Due {
        let is_judged = self.viewable || self.is_waiting() || self.is_closed();
        self.phase = Phase::Closed;
        let view = if is_judged {
            Due::NOTHING
        } else if self.seen.has(Seen::VIEW_UNKNOWN) {
            Due::event(Event::ViewUndetermined)
        } else {
            Due::event(Event::NotViewable)
        };
        due.and(view).and(Due::CLOSED)
    }
}

#[cfg(test)]
mod tests;
