//! How much of everything is read. What is past a bound is refused, never cut off.

/// The longest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// How deep elements may nest. VAST's own deepest is 11.
pub const DEPTH_MAX: usize = 32;
/// The most elements of a document.
pub const ELEMENTS_MAX: usize = 10_000;
/// The most attributes of an element.
pub const ATTRIBUTES_MAX: usize = 64;
/// The most ads of a document.
pub const ADS_MAX: usize = 16;
/// The most creatives of an ad.
pub const CREATIVES_MAX: usize = 32;
/// The most media files of a creative.
pub const MEDIA_FILES_MAX: usize = 64;
/// The most URLs to call of a document, whatever the event.
pub const TRACKERS_MAX: usize = 1_000;
/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// The longest other text that is kept, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// The longest ad, in milliseconds: an hour.
pub const DURATION_MS_MAX: u32 = 3_600_000;
/// The most remarks that are kept about a document.
pub const NOTES_MAX: usize = 64;
/// The most wrappers before an ad, which VAST 4 recommends.
pub const WRAPPERS_MAX: usize = 5;
/// The most documents that are fetched for one ad request, however its wrappers branch.
pub const FETCHES_MAX: usize = 16;
/// The most ads that one ad request may come to.
pub const RESOLVED_MAX: usize = 32;
