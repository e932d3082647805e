//! Why a document or an ad is refused, with the code that VAST has for it.

use std::fmt;

use crate::bounds::{DEPTH_MAX, DOCUMENT_BYTES_MAX};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal;)*) => {
        /// An error code of VAST 4.3, section 2.3.6.3: what `[ERRORCODE]` is filled with. Those that only a player can
        /// find (of companions, of interactive files) are left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code {
            $($(#[$doc])* $name = $code,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it means, in a few words.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The text is no XML, or more of it than is read.
    XmlParsing = 100 "XML parsing error";
    /// The XML is no VAST.
    SchemaValidation = 101 "VAST schema validation error";
    /// VAST, but of a version that is not read.
    VersionNotSupported = 102 "VAST version of response not supported";
    /// An ad of a kind that is not played here.
    UnexpectedAdType = 200 "ad type not expected";
    /// Only non-linear creatives.
    UnexpectedLinearity = 201 "linearity not expected";
    /// Longer or shorter than asked for.
    UnexpectedDuration = 202 "duration not expected";
    /// Wider or higher than asked for.
    UnexpectedSize = 203 "size not expected";
    /// A category was required.
    CategoryMissing = 204 "ad category required but not provided";
    /// A wrapper forbids the category of the ad behind it.
    CategoryBlocked = 205 "inline category violates the wrapper's blocked categories";
    /// A wrapper cannot be followed.
    Wrapper = 300 "general wrapper error";
    /// The document behind a wrapper cannot be had, or not in time.
    WrapperTimeout = 301 "URI of a wrapper unavailable or timed out";
    /// Too many wrappers, or wrappers in a circle.
    WrapperLimit = 302 "wrapper limit reached";
    /// No ad at the end of it.
    NoAd = 303 "no VAST response after one or more wrappers";
    /// An ad, but too late.
    InLineTooLate = 304 "inline ad failed to display in time";
    /// A linear ad that cannot be played.
    Linear = 400 "general linear error";
    /// Its file is not where it should be.
    FileNotFound = 401 "file not found";
    /// Its file came too slowly.
    MediaTimeout = 402 "timeout of a media file";
    /// None of its files can be played.
    MediaNotSupported = 403 "no supported media file";
    /// A file that could be played, and was not.
    MediaDisplay = 405 "problem displaying a media file";
    /// A mezzanine was required.
    MezzanineMissing = 406 "mezzanine required but not provided";
    /// Anything else.
    Undefined = 900 "undefined error";
}

impl Code {
    /// As it stands in a URL.
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// Why a document, or one ad of it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VastError {
    /// Longer than is read.
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    /// No text.
    #[error("byte {at}: not UTF-8, in which VAST is expected")]
    NotText {
        /// The first byte that is none.
        at: usize,
    },
    /// No XML.
    #[error("{path}, byte {at}: {reason}")]
    Malformed {
        /// The element.
        path: String,
        /// Counted from 0.
        at: u64,
        /// What the XML parser says.
        reason: String,
    },
    /// A document type, with which entities could be declared.
    #[error("byte {at}: a DOCTYPE; VAST has none, and none is read")]
    Doctype {
        /// Counted from 0.
        at: u64,
    },
    /// Nested too deeply.
    #[error("{path}: elements nest deeper than {DEPTH_MAX}")]
    TooDeep {
        /// The element.
        path: String,
    },
    /// More of something than is read.
    #[error("{path}: more than {max} {what}")]
    TooMany {
        /// The element.
        path: String,
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// XML of something else.
    #[error("{found}: expected a VAST element")]
    NotVast {
        /// The root element.
        found: String,
    },
    /// VAST of a version that is not read.
    #[error("{path}: VAST {found} is not supported; expected 2.0, 3.0 or 4.0 to 4.3")]
    Version {
        /// The root element.
        path: String,
        /// The version it says.
        found: String,
    },
    /// Something is not there.
    #[error("{path}: expected {expected}")]
    Missing {
        /// The element in which it is missing.
        path: String,
        /// What is missing.
        expected: &'static str,
    },
    /// Something is there and makes no sense.
    #[error("{path}: {value:?}; expected {expected}")]
    Invalid {
        /// The element.
        path: String,
        /// What it says, cut short.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// There are creatives, but none that is played between two scenes.
    #[error("{path}: {found}; expected a Linear creative")]
    NotLinear {
        /// The ad.
        path: String,
        /// What there is.
        found: String,
        /// Whether there is at least a non-linear one.
        non_linear: bool,
    },
    /// There are files, but none that a television plays.
    #[error("{path}: {found}; expected a MediaFile of HLS, mp4 or webm over HTTP, without an API framework")]
    NoMedia {
        /// The creative.
        path: String,
        /// What there is.
        found: String,
    },
}

impl VastError {
    /// The code that VAST gives to this.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLong
            | Self::NotText { .. }
            | Self::Malformed { .. }
            | Self::Doctype { .. }
            | Self::TooDeep { .. } => Code::XmlParsing,
            Self::TooMany { .. } | Self::NotVast { .. } | Self::Missing { .. } | Self::Invalid { .. } => {
                Code::SchemaValidation
            }
            Self::Version { .. } => Code::VersionNotSupported,
            Self::NotLinear { non_linear: true, .. } => Code::UnexpectedLinearity,
            Self::NotLinear { non_linear: false, .. } => Code::UnexpectedAdType,
            Self::NoMedia { .. } => Code::MediaNotSupported,
        }
    }

    /// The element at fault, as `VAST/Ad[2]/InLine`; empty where it is the whole document.
    pub fn path(&self) -> &str {
        match self {
            Self::TooLong | Self::NotText { .. } | Self::Doctype { .. } => "",
            Self::NotVast { found } => found,
            Self::Malformed { path, .. }
            | Self::TooDeep { path }
            | Self::TooMany { path, .. }
            | Self::Version { path, .. }
            | Self::Missing { path, .. }
            | Self::Invalid { path, .. }
            | Self::NotLinear { path, .. }
            | Self::NoMedia { path, .. } => path,
        }
    }
}
