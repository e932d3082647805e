//! The plan's bytes: a header, sections of fixed-size little-endian records, a heap of text, a keyed MAC.
//!
//! Records refer to each other by index and to text by offset, so opening is reading the header. Nothing has an
//! alignment. A change of any record is a new [`FORMAT`].

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::caps::CALENDAR_TURNS;

pub(super) const MAGIC: [u8; 4] = *b"SKPL";
pub(super) const FORMAT: u16 = 4;
pub(super) const MAC_BYTES: usize = 32;

/// Where the sections are, in the order of the header's table.
#[derive(Clone, Copy)]
pub(super) enum Section {
    Titles,
    Flights,
    Ads,
    AdsById,
    Media,
    Caps,
    Clauses,
    Attributes,
    Index,
    Postings,
    Spans,
    Text,
}
pub(super) const SECTIONS: usize = 12;

pub(super) const WINDOW_BREAK: u8 = 0;
pub(super) const WINDOW_SESSION: u8 = 1;
pub(super) const WINDOW_ROLLING: u8 = 2;
pub(super) const WINDOW_CALENDAR: u8 = 3;
pub(super) const WINDOW_LIFETIME: u8 = 4;

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }
    )*};
}

records! {
    /// A run of records in another section, or of bytes in the text.
    Run { start: U32, count: U32, }

    Header {
        magic: [u8; 4],
        format: U16,
        key_id: u8,
        reserved: u8,
        version: U64,
        created_at: U64,
        valid_from: U64,
        valid_until: U64,
        lease_ms: U32,
        total_bytes: U32,
        /// Byte offset and record count of each section.
        sections: [Run; SECTIONS],
    }

    /// Sorted by `title`.
    /// `breaks` is the JSON of [`super::TitleSource::breaks`]; without any, no text. `duration_ms` 0 is not known.
    TitleRecord { title: U64, rating: u8, genres: Run, duration_ms: U32, breaks: Run, }

    FlightRecord {
        flight_id: U32,
        campaign_id: U32,
        advertiser_id: U32,
        class: u8,
        /// Mask of [`crate::contract::Rating::bit`].
        ratings: U16,
        /// Hash of the competitive category; 0 is none.
        category: U64,
        starts_at: U64,
        ends_at: U64,
        allocation: U32,
        /// See [`crate::caps::Horizon`].
        horizon_rolling_ms: U64,
        horizon_lifetime_until: U64,
        horizon_crosses_sessions: u8,
        caps: Run,
        clauses: Run,
        /// What excludes it, each an attribute.
        exclusion: Run,
        /// Mask of [`crate::contract::Rating::bit`].
        excluded_ratings: U16,
        airs: Run,
        /// See [`crate::contract::Placement`], in its order.
        placement: u8,
        /// See [`crate::contract::PodPosition`], in its order.
        pod_position: u8,
        ads: Run,
    }

    AdRecord {
        ad_id: U32,
        creative_id: U32,
        record_id: [u8; 8],
        duration_ms: U32,
        /// Besides the flight's.
        caps: Run,
        universal_ad_id: Run,
        name: Run,
        media: Run,
        /// At least 1.
        weight: U32,
        /// The JSON of its [`crate::contract::Presentation`]; of an empty one, no text.
        presentation: Run,
    }

    /// `bitrate_kbps` 0 and `codecs` empty are not known.
    MediaRecord { url: Run, mime_type: Run, width: U16, height: U16, bitrate_kbps: U32, codecs: Run, }

    SpanRecord { from: U64, until: U64, }

    /// `window` is one of [`WINDOW_BREAK`] and its siblings; `window_ms` is the length of a rolling one and the greatest
    /// length of a calendar one; `turns` are a calendar one's.
    CapRecord { scope: u8, window: u8, limit: U32, window_ms: U64, turns: [TurnRecord; CALENDAR_TURNS], }

    /// See [`crate::caps::Turn`].
    TurnRecord { from: U64, began_at: U64, }

    /// One targeting requirement: any of these attributes.
    ClauseRecord { any_of: Run, }

    /// Sorted by `attribute`: the flights filed under it, most important first.
    IndexRecord { attribute: U64, flights: Run, }
}

/// A dimension that flights target and requests carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    Title,
    Genre,
    Position,
    Tier,
    Country,
    Device,
    Category,
    Region,
    Segment,
}

/// The value that stands for any of its dimension, where none may be known: of segments, for a viewer who allows none to
/// be used; of genres, for a title that the plan does not know. No request can carry it.
pub(crate) const ANY_VALUE: &str = "";

/// Files the untargeted paid flights.
pub(crate) const ANYONE: u64 = 0;
/// Files the untargeted house flights, apart, so the floor is found however many paid flights there are.
pub(crate) const ANYONE_HOUSE: u64 = 1;

/// The attribute `value` in `dimension`: FNV-1a over both, in 64 bits, never one of the two reserved values.
/// The builder refuses a plan in which two different attributes collide.
pub(crate) fn attribute(dimension: Dimension, value: &str) -> u64 {
    let start = (0xcbf2_9ce4_8422_2325 ^ (dimension as u64 + 1)).wrapping_mul(0x0100_0000_01b3);
    value.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)).max(2)
}
