//! What a VAST document says, as far as an ad server needs it. Field names are VAST's own.
//!
//! URLs here have been looked at ([`address::web`](crate::address::web)): they are of `http` or `https` and bounded. What
//! could not be used was left out, with a [`Note`].

use crate::VastError;

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vast {
    /// As the document says it, such as `4.2`.
    pub version: String,
    /// In the order of the document.
    pub ads: Vec<Ad>,
    /// URLs to call if the document brings no ad.
    pub errors: Vec<String>,
    /// How many elements VAST does not know where they stand; what is in them is not counted.
    pub unknown_elements: usize,
    /// What was odd, and done without.
    pub notes: Vec<Note>,
}

/// Something that was odd and did no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The element.
    pub path: String,
    /// What was done about it.
    pub remark: &'static str,
}

/// One ad of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ad {
    /// As its server calls it.
    pub id: Option<String>,
    /// Its place in a pod; without one it stands alone.
    pub sequence: Option<u32>,
    /// What it is.
    pub content: Content,
}

/// What an ad is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The ad itself.
    InLine(Box<InLine>),
    /// Where the ad is to be had.
    Wrapper(Box<Wrapper>),
    /// Neither: it is wrong in itself. The others of the document are not.
    Faulty {
        /// What is wrong.
        fault: VastError,
        /// Its own `Error` URLs.
        errors: Vec<String>,
    },
}

/// What an ad and a wrapper both have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Who answered.
    pub ad_system: Option<String>,
    /// URLs to call when the ad begins.
    pub impressions: Vec<String>,
    /// URLs to call when it fails, with `[ERRORCODE]`.
    pub errors: Vec<String>,
    /// URLs to call when it is known whether it was seen.
    pub viewable_impression: ViewableImpression,
    /// Who measures where it plays.
    pub verifications: Vec<Verification>,
    /// What it costs.
    pub pricing: Option<Pricing>,
    /// How many extensions there are, besides those that are read.
    pub extensions: usize,
}

/// What plays, by VAST 4.1's `adType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdType {
    /// Picture and sound.
    #[default]
    Video,
    /// Sound.
    Audio,
    /// Sound, with a picture where there is a screen.
    Hybrid,
}

/// An ad.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InLine {
    /// Shared with wrappers.
    pub shared: Shared,
    /// What plays.
    pub ad_type: AdType,
    /// Its name.
    pub title: Option<String>,
    /// This one answer's id, the same in the books of all who report on it.
    pub ad_serving_id: Option<String>,
    /// The advertiser's name.
    pub advertiser: Option<String>,
    /// What is advertised.
    pub categories: Vec<Category>,
    /// How long it may be kept, in seconds.
    pub expires_s: Option<u32>,
    /// What it consists of, in order of their sequence.
    pub creatives: Vec<Creative>,
}

/// Where an ad is to be had, and who wants to hear of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrapper {
    /// Shared with ads.
    pub shared: Shared,
    /// The document that is wrapped.
    pub vast_ad_tag_uri: String,
    /// Whether what it leads to may be a wrapper.
    pub follow_additional_wrappers: bool,
    /// Whether what it leads to may be several ads.
    pub allow_multiple_ads: bool,
    /// Whether another ad may be taken if it leads to none.
    pub fallback_on_no_ad: bool,
    /// What the ad behind it must not be.
    pub blocked_ad_categories: Vec<BlockedAdCategories>,
    /// Of all its linear creatives.
    pub tracked: Tracked,
}

/// What happens to a linear ad, and who wants to hear of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// In the order of the document.
    pub trackings: Vec<Tracking>,
    /// URLs to call when it is clicked.
    pub click_trackings: Vec<String>,
    /// How many clicks elsewhere than on the video are asked for.
    pub custom_clicks: usize,
}

/// A URL to call on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// VAST's name of it.
    pub event: String,
    /// Of `progress`: when.
    pub offset: Option<Offset>,
    /// What to call.
    pub url: String,
}

/// A moment of an ad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// Milliseconds from its beginning.
    Time(u32),
    /// Percent of its duration, 0 to 100.
    Percent(u8),
}

impl Offset {
    /// In milliseconds of an ad that lasts `duration_ms`.
    pub fn ms(self, duration_ms: u32) -> u32 {
        match self {
            Self::Time(ms) => ms,
            // The quotient is not above `duration_ms`, so it fits.
            Self::Percent(percent) => {
                u32::try_from(u64::from(duration_ms) * u64::from(percent) / 100).unwrap_or(u32::MAX)
            }
        }
    }
}

/// When it is known whether an ad was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewableImpression {
    /// It was.
    pub viewable: Vec<String>,
    /// It was not.
    pub not_viewable: Vec<String>,
    /// It cannot be known.
    pub view_undetermined: Vec<String>,
}

impl ViewableImpression {
    /// All its URLs.
    pub fn len(&self) -> usize {
        self.viewable.len() + self.not_viewable.len() + self.view_undetermined.len()
    }

    /// Whether nobody asks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A script that measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Who measures.
    pub vendor: Option<String>,
    /// Its scripts.
    pub scripts: Vec<Script>,
    /// How many programs of other kinds it has.
    pub executables: usize,
    /// What the script is given.
    pub parameters: Option<String>,
    /// URLs to call if it was not run, with `[REASON]`.
    pub not_executed: Vec<String>,
}

/// VAST's `JavaScriptResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// `omid`, or something else.
    pub api_framework: Option<String>,
    /// Where it is.
    pub url: String,
}

/// What an ad costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// `cpm`, `cpc`, `cpe` or `cpv`.
    pub model: String,
    /// ISO 4217.
    pub currency: String,
    /// In millionths of the currency, if it is a number that is not negative with at most six decimals.
    pub amount_micros: Option<i64>,
}

/// A category, with who defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// A URI.
    pub authority: String,
    /// The code.
    pub code: String,
}

/// What a wrapper does not want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedAdCategories {
    /// Who defines the codes; anybody, if absent.
    pub authority: Option<String>,
    /// The codes.
    pub codes: Vec<String>,
}

impl BlockedAdCategories {
    /// Whether an ad of `category` is not wanted.
    pub fn forbids(&self, category: &Category) -> bool {
        let same_authority = self.authority.as_ref().is_none_or(|authority| *authority == category.authority);
        same_authority && self.codes.contains(&category.code)
    }
}

/// One of an ad's creatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creative {
    /// As its server calls it.
    pub id: Option<String>,
    /// As its server calls the ad.
    pub ad_id: Option<String>,
    /// As registries call it.
    pub universal_ad_ids: Vec<UniversalAdId>,
    /// What plays instead of the title.
    pub linear: Option<Linear>,
    /// How many creatives over the title it has: they are not played here.
    pub non_linears: usize,
    /// How many creatives beside the title it has: they are not shown here.
    pub companions: usize,
}

/// A registered id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniversalAdId {
    /// Whose.
    pub registry: String,
    /// The id.
    pub value: String,
}

/// A video that plays instead of the title.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linear {
    /// Its length.
    pub duration_ms: u32,
    /// From when it may be skipped.
    pub skip_offset: Option<Offset>,
    /// Its files.
    pub media_files: Vec<MediaFile>,
    /// Its files as they came from production.
    pub mezzanines: Vec<MediaFile>,
    /// How many `InteractiveCreativeFile`s it has: they are not run here.
    pub interactive_files: usize,
    /// How many files of captions it has: they are not shown here.
    pub closed_captions: usize,
    /// How many icons it has: they are not shown here.
    pub icons: usize,
    /// Where a click leads.
    pub click_through: Option<String>,
    /// Who wants to hear of it.
    pub tracked: Tracked,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaFile {
    /// Where it is, as written: other schemes than HTTP's are there too.
    pub url: String,
    /// `progressive` or `streaming`.
    pub delivery: Option<String>,
    /// Its MIME type.
    pub mime_type: String,
    /// Pixels; 0 if not said.
    pub width: u16,
    /// Pixels; 0 if not said.
    pub height: u16,
    /// Kilobits a second, or the most of them.
    pub bitrate_kbps: Option<u32>,
    /// RFC 6381 names.
    pub codec: Option<String>,
    /// What must run it, such as `VPAID`.
    pub api_framework: Option<String>,
}
