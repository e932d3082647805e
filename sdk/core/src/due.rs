//! What follows from something that happened: events to tell the app, and what the skin has to do.

use slotkeeper_beacon::Event;

/// A set of events and of things to do, small enough to cross any border.
///
/// Bit `n`, from 1 to 29, is the event of code `n`; going through them in ascending order is the order in which they
/// happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due(u32);

impl Due {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// What is to survive a power cut has changed: the record is to be stored again.
    pub const RECORD: Self = Self(1);
    /// The ad should play and has shown nothing new for too long.
    pub const STALLED: Self = Self(1 << 30);
    /// Nothing more can happen to the ad.
    pub const CLOSED: Self = Self(1 << 31);

    const EVENTS: u32 = ((1 << 30) - 1) & !1;

    /// As a number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// This event alone.
    #[inline]
    pub const fn event(event: Event) -> Self {
        Self(1 << event.code())
    }

    /// Whether all of `other` is due.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds an event.
    #[inline]
    pub fn add(&mut self, event: Event) {
        self.0 |= 1 << event.code();
    }

    /// Of a row of events that begins with this one, those from one place to before another.
    #[inline]
    pub const fn row(first: Event, begin: u32, end: u32) -> Self {
        Self(((1 << end) - (1 << begin)) << first.code())
    }

    /// Adds the event whose code is `nth` greater.
    #[inline]
    pub fn add_nth(&mut self, event: Event, nth: u32) {
        self.0 |= 1 << event.code() << nth;
    }

    /// The events, in order.
    pub fn events(self) -> impl Iterator<Item = Event> {
        let mut left = self.0 & Self::EVENTS;
        core::iter::from_fn(move || {
            let code = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            u8::try_from(code).ok().and_then(Event::from_code)
        })
    }
}
