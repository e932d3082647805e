//! What can happen to an ad.

use core::{fmt, str::FromStr};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal;)*) => {
        /// What happened to an ad, by its VAST 4.3 name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum Event {
            $($(#[$doc])* #[cfg_attr(feature = "serde", serde(rename = $text))] $name = $code,)*
        }

        impl Event {
            /// The names of all events in the order of their codes, each with a space behind it.
            #[inline(never)] // Inlined, the text would be there as often as it is used.
            pub fn names() -> &'static str {
                concat!($($text, " ",)*)
            }

            /// Every event, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The VAST name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The event of a code in a token.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

events! {
    /// The ad began to play: the impression.
    Start = 1 "start";
    /// A quarter has played.
    FirstQuartile = 2 "firstQuartile";
    /// Half has played.
    Midpoint = 3 "midpoint";
    /// Three quarters have played.
    ThirdQuartile = 4 "thirdQuartile";
    /// All of it has played.
    Complete = 5 "complete";
    /// The viewer paused.
    Pause = 6 "pause";
    /// The viewer resumed.
    Resume = 7 "resume";
    /// Sound off.
    Mute = 8 "mute";
    /// Sound on.
    Unmute = 9 "unmute";
    /// The viewer skipped the rest.
    Skip = 10 "skip";
    /// The ad could not be played (on).
    Error = 11 "error";
    /// The ad was delivered and will not be played.
    NotUsed = 12 "notUsed";
    /// The viewer followed the ad's link.
    ClickThrough = 13 "clickThrough";
    /// The player went to full screen.
    PlayerExpand = 14 "playerExpand";
    /// The player left full screen.
    PlayerCollapse = 15 "playerCollapse";
    /// At least half of its pixels were in view for two seconds on end: a viewable impression.
    Viewable = 16 "viewable";
    /// It ended without having been viewable.
    NotViewable = 17 "notViewable";
    /// It ended, and nobody could tell whether it was in view.
    ViewUndetermined = 18 "viewUndetermined";
}

impl Event {
    /// The code in tokens and bit masks, from 1, below 32.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Event {
    type Err = UnknownEvent;
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.iter().copied().find(|event| event.as_str() == text).ok_or(UnknownEvent)
    }
}

/// Not the VAST name of an event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEvent;

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an event; expected a VAST 4.3 name such as start, midpoint or complete")
    }
}

impl core::error::Error for UnknownEvent {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_codes_and_names_are_one_to_one() {
        for (event, code) in Event::ALL.iter().zip(1u8..) {
            assert_eq!((event.code(), Event::from_code(code)), (code, Some(*event)), "codes have no gap");
            assert_eq!(event.as_str().parse(), Ok(*event));
        }
        assert!(Event::ALL.len() < 32, "a set of events is 32 bits");
        assert_eq!(Event::from_code(0), None);
        assert_eq!("begin".parse::<Event>(), Err(UnknownEvent));
    }
}
