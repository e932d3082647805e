//! The plan: the immutable, versioned snapshot of everything sellable that the edge decides from.
//!
//! A fresh wasm instance may serve one request and die, so opening a plan costs the same whatever it holds: its header
//! is read, its sections are borrowed, nothing is parsed. Flights are found through an index of targeting attributes,
//! so a decision costs what its candidates cost.
//!
//! A plan is checked whole once, by [`Plan::verify`], when it arrives; [`Plan::open`] then trusts its content but still
//! reads every record through bounds checks: a damaged plan finds less to show, and never panics.

mod build;
mod layout;
mod source;

use alloc::{vec, vec::Vec};

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

pub use build::{FLIGHTS_MAX, PlanBuildError, TITLES_MAX, build};
pub(crate) use layout::{ANY_VALUE, AdRecord, Dimension, FlightRecord, attribute};
use layout::{
    ANYONE, ANYONE_HOUSE, CapRecord, ClauseRecord, FORMAT, Header, IndexRecord, MAC_BYTES, MAGIC, MediaRecord, Run,
    Section, SpanRecord, TitleRecord, TurnRecord, WINDOW_BREAK, WINDOW_CALENDAR, WINDOW_LIFETIME, WINDOW_ROLLING,
    WINDOW_SESSION,
};
pub use source::{AdSource, FlightSource, MediaSource, PlanSource, Span, Targeting, TitleSource};
use zerocopy::little_endian::{U32, U64};

use crate::{
    caps::{Booking, CAPS_PER_FLIGHT_MAX, Calendar, Cap, CapScope, Horizon, Turn, Window},
    contract::{DemandClass, Placement, PodPosition, Presentation, Rating, TitleBreak},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    keys::{Keyring, Purpose},
    time::UnixMillis,
};

/// The largest plan accepted, in bytes.
pub const PLAN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What no flight of a plan is: an auction's offer.
pub(crate) const CLASS_AUCTION: u8 = 2;

/// The most flights one decision looks at; the index hands out the most important first.
pub const CANDIDATES_MAX: usize = 1024;

/// Why bytes are not a plan to decide from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a plan at all, or of another format.
    #[error("not a plan of format {FORMAT}")]
    NotAPlan,
    /// Shorter or longer than it says, or larger than [`PLAN_BYTES_MAX`].
    #[error("the plan has {actual} bytes; its header says {expected}")]
    Length {
        /// As received.
        actual: usize,
        /// As announced.
        expected: usize,
    },
    /// Authenticated with a key that is not in force.
    #[error("the plan's key {0} is not in force")]
    UnknownKey(u8),
    /// The MAC does not hold.
    #[error("the plan's signature does not hold")]
    Forged,
    /// Authentic but not well formed: a fault in the builder.
    #[error("the plan's section {0} refers outside itself")]
    Inconsistent(usize),
}

/// A plan, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    header: &'a Header,
    titles: &'a [TitleRecord],
    flights: &'a [FlightRecord],
    ads: &'a [AdRecord],
    ads_by_id: &'a [U32],
    media: &'a [MediaRecord],
    caps: &'a [CapRecord],
    clauses: &'a [ClauseRecord],
    attributes: &'a [U64],
    index: &'a [IndexRecord],
    postings: &'a [U32],
    spans: &'a [SpanRecord],
    text: &'a [u8],
}

/// One file of a creative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Its MIME type.
    pub mime_type: &'a str,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Kilobits a second, if known.
    pub bitrate_kbps: Option<u32>,
    /// RFC 6381 names, if known.
    pub codecs: Option<&'a str>,
}

impl<'a> Plan<'a> {
    /// Borrows a plan from bytes that [`verify`](Self::verify) has passed before. Reads the header only.
    pub fn open(bytes: &'a [u8]) -> Result<Self, PlanError> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| PlanError::NotAPlan)?;
        if header.magic != MAGIC || header.format.get() != FORMAT {
            return Err(PlanError::NotAPlan);
        }
        let expected = header.total_bytes.get() as usize;
        if bytes.len() != expected || expected > PLAN_BYTES_MAX || expected < size_of::<Header>() + MAC_BYTES {
            return Err(PlanError::Length { actual: bytes.len(), expected });
        }
        let body = &bytes[..expected - MAC_BYTES];
        Ok(Self {
            header,
            titles: section(body, header, Section::Titles)?,
            flights: section(body, header, Section::Flights)?,
            ads: section(body, header, Section::Ads)?,
            ads_by_id: section(body, header, Section::AdsById)?,
            media: section(body, header, Section::Media)?,
            caps: section(body, header, Section::Caps)?,
            clauses: section(body, header, Section::Clauses)?,
            attributes: section(body, header, Section::Attributes)?,
            index: section(body, header, Section::Index)?,
            postings: section(body, header, Section::Postings)?,
            spans: section(body, header, Section::Spans)?,
            text: section(body, header, Section::Text)?,
        })
    }

    /// Opens a plan that has just arrived: checks its MAC, and that every reference in it leads somewhere.
    pub fn verify(bytes: &'a [u8], keys: &Keyring) -> Result<Self, PlanError> {
        let plan = Self::open(bytes)?;
        let key_id = plan.header.key_id;
        let key = keys.verifying(Purpose::Plan, key_id).ok_or(PlanError::UnknownKey(key_id))?;
        let (body, mac) = bytes.split_at(bytes.len() - MAC_BYTES);
        let sent: [u8; MAC_BYTES] = mac.try_into().map_err(|_| PlanError::NotAPlan)?;
        if blake3::keyed_hash(&key, body) != blake3::Hash::from_bytes(sent) {
            return Err(PlanError::Forged); // the comparison is constant-time
        }
        plan.check_references()?;
        Ok(plan)
    }

    fn check_references(&self) -> Result<(), PlanError> {
        let text = |run: Run| core::str::from_utf8(of(self.text, run)?).ok();
        let titles =
            self.titles.iter().all(|title| of(self.attributes, title.genres).is_some() && text(title.breaks).is_some());
        let caps = |run: Run| of(self.caps, run).filter(|caps| caps.iter().all(CapRecord::is_sound));
        let flights = self.flights.iter().all(|flight| {
            let carried = caps(flight.caps).map(<[CapRecord]>::len);
            let fits = |ad: &AdRecord| {
                let own = ad.caps.count.get() as usize;
                carried.is_some_and(|carried| carried.saturating_add(own) <= CAPS_PER_FLIGHT_MAX)
            };
            of(self.clauses, flight.clauses).is_some()
                && of(self.attributes, flight.exclusion).is_some()
                && of(self.spans, flight.airs).is_some()
                && flight.class < CLASS_AUCTION
                && flight.placement <= Placement::Sponsorship as u8
                && flight.pod_position <= PodPosition::Last as u8
                && of(self.ads, flight.ads).is_some_and(|ads| !ads.is_empty() && ads.iter().all(fits))
        });
        let ads = self.ads.iter().all(|ad| {
            caps(ad.caps).is_some()
                && text(ad.universal_ad_id).is_some()
                && text(ad.name).is_some()
                && text(ad.presentation).is_some()
                && of(self.media, ad.media).is_some()
        });
        let media = self
            .media
            .iter()
            .all(|media| [media.url, media.mime_type, media.codecs].iter().all(|run| text(*run).is_some()));
        let clauses = self.clauses.iter().all(|clause| of(self.attributes, clause.any_of).is_some());
        let index = self.index.iter().all(|entry| of(self.postings, entry.flights).is_some())
            && self.index.is_sorted_by_key(|entry| entry.attribute.get())
            && self.titles.is_sorted_by_key(|title| title.title.get());
        let postings = self.postings.iter().all(|flight| (flight.get() as usize) < self.flights.len());
        let by_id = self.ads_by_id.len() == self.ads.len()
            && self.ads_by_id.iter().all(|place| (place.get() as usize) < self.ads.len());
        [titles, flights, ads, by_id, media, clauses, index, postings]
            .iter()
            .position(|sound| !sound)
            .map_or(Ok(()), |section| Err(PlanError::Inconsistent(section)))
    }

    /// Its version; later plans have greater ones.
    pub fn version(&self) -> u64 {
        self.header.version.get()
    }

    /// When it was made.
    pub fn created_at(&self) -> UnixMillis {
        UnixMillis(self.header.created_at.get())
    }

    /// When it is too old to decide from.
    pub fn valid_until(&self) -> UnixMillis {
        UnixMillis(self.header.valid_until.get())
    }

    /// Whether `now` is within its validity.
    pub fn is_valid_at(&self, now: UnixMillis) -> bool {
        self.header.valid_from.get() <= now.0 && now < self.valid_until()
    }

    /// How long a fill's token and claim live.
    pub fn lease_ms(&self) -> u64 {
        self.header.lease_ms.get().into()
    }

    /// How many flights it holds.
    pub fn flight_count(&self) -> usize {
        self.flights.len()
    }

    /// The rating and genre attributes of a title, if the plan knows it.
    pub(crate) fn title(&self, title_attribute: u64) -> Option<(u16, &'a [U64])> {
        let title = self.title_record(title_attribute)?;
        let rating = Rating::ALL.get(usize::from(title.rating))?;
        Some((rating.bit(), of(self.attributes, title.genres).unwrap_or_default()))
    }

    /// The flights whose targeting may match a request with these attributes, at most [`CANDIDATES_MAX`], each once.
    /// Every flight is filed under one requirement only, so the others have still to be checked.
    pub(crate) fn candidates(&self, attributes: &[u64]) -> Vec<u32> {
        let mut lists = vec![self.postings_of(ANYONE_HOUSE), self.postings_of(ANYONE)];
        lists.extend(attributes.iter().map(|attribute| self.postings_of(*attribute)));
        lists.retain(|list| !list.is_empty());
        lists.sort_by_key(|list| list.len()); // what short lists leave of their share goes to the longer ones
        let (mut room, mut left) = (CANDIDATES_MAX, lists.len());
        let mut found = Vec::new();
        for list in lists {
            let taken = list.len().min(room / left);
            found.extend(list[..taken].iter().map(|flight| flight.get()));
            (room, left) = (room - taken, left - 1);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn postings_of(&self, attribute: u64) -> &'a [U32] {
        self.index
            .binary_search_by_key(&attribute, |entry| entry.attribute.get())
            .ok()
            .and_then(|at| of(self.postings, self.index.get(at)?.flights))
            .unwrap_or_default()
    }

    pub(crate) fn flight(&self, index: u32) -> Option<&'a FlightRecord> {
        self.flights.get(index as usize)
    }

    pub(crate) fn targets(&self, flight: &FlightRecord, attributes: &[u64]) -> bool {
        of(self.clauses, flight.clauses).unwrap_or_default().iter().all(|clause| {
            let any_of = of(self.attributes, clause.any_of).unwrap_or_default();
            any_of.iter().any(|wanted| attributes.contains(&wanted.get()))
        })
    }

    /// Whether `flight` is excluded where any of these attributes is given.
    pub(crate) fn excludes(&self, flight: &FlightRecord, attributes: &[u64]) -> bool {
        let excluded = of(self.attributes, flight.exclusion).unwrap_or_default();
        excluded.iter().any(|unwanted| attributes.contains(&unwanted.get()))
    }

    /// Whether `flight` targets or excludes by segments, whichever.
    pub(crate) fn asks_for_segments(&self, flight: &FlightRecord) -> bool {
        let any = attribute(Dimension::Segment, ANY_VALUE);
        let clauses = of(self.clauses, flight.clauses).unwrap_or_default();
        let names_any = |clause: &ClauseRecord| {
            of(self.attributes, clause.any_of).unwrap_or_default().iter().any(|one| one.get() == any)
        };
        clauses.iter().any(names_any) || self.excludes(flight, &[any])
    }

    /// Whether `flight` may be shown at this time of its days; always, if it names no times.
    pub(crate) fn airs_at(&self, flight: &FlightRecord, now: UnixMillis) -> bool {
        let airs = of(self.spans, flight.airs).unwrap_or_default();
        flight.airs.count.get() == 0 || airs.iter().any(|span| (span.from.get()..span.until.get()).contains(&now.0))
    }

    pub(crate) fn ads(&self, flight: &FlightRecord) -> &'a [AdRecord] {
        of(self.ads, flight.ads).unwrap_or_default()
    }

    /// The ad of this id, and the flight it is booked in.
    pub(crate) fn booked(&self, ad_id: AdId) -> Option<(&'a FlightRecord, &'a AdRecord)> {
        let place = self.place_of(ad_id)?;
        // Flights hold their ads one after the other.
        let behind = self.flights.partition_point(|flight| flight.ads.start.get() as usize <= place);
        let flight = self.flights.get(behind.checked_sub(1)?)?;
        let ad = self.ads(flight).get(place.checked_sub(flight.ads.start.get() as usize)?)?;
        Some((flight, ad))
    }

    /// What every ad of the flight must keep.
    pub(crate) fn caps(&self, flight: &FlightRecord) -> impl Iterator<Item = Cap> + use<'a> {
        self.caps_of(flight.caps)
    }

    /// Whether any of those counts each creative by itself.
    pub(crate) fn caps_by_creative(&self, flight: &FlightRecord) -> bool {
        of(self.caps, flight.caps).unwrap_or_default().iter().any(|cap| cap.scope == CapScope::Creative as u8)
    }

    /// What this ad must keep besides.
    pub(crate) fn caps_of_ad(&self, ad: &AdRecord) -> impl Iterator<Item = Cap> + use<'a> {
        self.caps_of(ad.caps)
    }

    fn caps_of(&self, run: Run) -> impl Iterator<Item = Cap> + use<'a> {
        of(self.caps, run).unwrap_or_default().iter().map(Cap::from)
    }

    /// The ad of this id with its name, registered id and files; for building answers.
    pub fn ad(&self, ad_id: AdId) -> Option<Ad<'a>> {
        let record = self.ads.get(self.place_of(ad_id)?)?;
        let media = of(self.media, record.media).unwrap_or_default();
        Some(Ad {
            universal_ad_id: self.text(record.universal_ad_id),
            name: self.text(record.name),
            media: media
                .iter()
                .map(|file| Media {
                    url: self.text(file.url),
                    mime_type: self.text(file.mime_type),
                    width: file.width.get(),
                    height: file.height.get(),
                    bitrate_kbps: Some(file.bitrate_kbps.get()).filter(|kbps| *kbps > 0),
                    codecs: Some(self.text(file.codecs)).filter(|codecs| !codecs.is_empty()),
                })
                .collect(),
            presentation: self.json(record.presentation),
        })
    }

    fn place_of(&self, ad_id: AdId) -> Option<usize> {
        let id_at = |place: &U32| Some(self.ads.get(place.get() as usize)?.ad_id.get());
        let place = self.ads_by_id.binary_search_by_key(&Some(ad_id.0), id_at).ok()?;
        Some(self.ads_by_id.get(place)?.get() as usize)
    }

    fn title_record(&self, title_attribute: u64) -> Option<&'a TitleRecord> {
        let at = self.titles.binary_search_by_key(&title_attribute, |title| title.title.get()).ok()?;
        self.titles.get(at)
    }

    /// A title's rating; nothing, if the plan does not know the title.
    pub fn title_rating(&self, title_id: &str) -> Option<Rating> {
        let title = self.title_record(attribute(Dimension::Title, title_id))?;
        Rating::ALL.get(usize::from(title.rating)).copied()
    }

    /// A title's length, if known, and its breaks; nothing, if the plan does not know the title.
    pub fn title_breaks(&self, title_id: &str) -> Option<(Option<u32>, Vec<TitleBreak>)> {
        let title = self.title_record(attribute(Dimension::Title, title_id))?;
        let duration_ms = Some(title.duration_ms.get()).filter(|ms| *ms > 0);
        Some((duration_ms, self.json(title.breaks)))
    }

    /// What a text says in JSON; of no text, or of what this build does not understand, the default.
    fn json<T: serde::de::DeserializeOwned + Default>(&self, run: Run) -> T {
        match self.text(run) {
            "" => T::default(),
            text => serde_json::from_str(text).unwrap_or_default(),
        }
    }

    fn text(&self, run: Run) -> &'a str {
        of(self.text, run).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// What a player needs of an ad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ad<'a> {
    /// Its registered id, or `unknown`.
    pub universal_ad_id: &'a str,
    /// What to call it.
    pub name: &'a str,
    /// Its files, best first.
    pub media: Vec<Media<'a>>,
    /// What goes with it.
    pub presentation: Presentation,
}

impl FlightRecord {
    pub(crate) fn class(&self) -> DemandClass {
        match self.class {
            0 => DemandClass::Guaranteed,
            CLASS_AUCTION => DemandClass::Auction,
            _ => DemandClass::House,
        }
    }

    pub(crate) fn id(&self) -> FlightId {
        FlightId(self.flight_id.get())
    }

    pub(crate) fn placement(&self) -> Placement {
        match self.placement {
            0 => Placement::Ad,
            1 => Placement::Bumper,
            _ => Placement::Sponsorship,
        }
    }

    pub(crate) fn pod_position(&self) -> PodPosition {
        match self.pod_position {
            0 => PodPosition::Any,
            1 => PodPosition::First,
            _ => PodPosition::Last,
        }
    }

    pub(crate) fn runs_at(&self, now: UnixMillis) -> bool {
        self.starts_at.get() <= now.0 && now.0 < self.ends_at.get()
    }

    pub(crate) fn starts_at(&self) -> UnixMillis {
        UnixMillis(self.starts_at.get())
    }

    /// How long a showing of this flight matters to any cap of the plan.
    pub(crate) fn horizon(&self) -> Horizon {
        Horizon {
            rolling_ms: self.horizon_rolling_ms.get(),
            lifetime_until: UnixMillis(self.horizon_lifetime_until.get()),
            crosses_sessions: self.horizon_crosses_sessions != 0,
        }
    }

    pub(crate) fn booking(&self, ad: &AdRecord) -> Booking {
        Booking {
            advertiser_id: AdvertiserId(self.advertiser_id.get()),
            campaign_id: CampaignId(self.campaign_id.get()),
            flight_id: FlightId(self.flight_id.get()),
            creative_id: CreativeId(ad.creative_id.get()),
        }
    }
}

impl AdRecord {
    pub(crate) fn ad_id(&self) -> AdId {
        AdId(self.ad_id.get())
    }

    pub(crate) fn record_id(&self) -> RecordId {
        RecordId(self.record_id)
    }
}

impl From<&CapRecord> for Cap {
    fn from(record: &CapRecord) -> Self {
        let scope = match record.scope {
            0 => CapScope::Creative,
            1 => CapScope::Flight,
            2 => CapScope::Campaign,
            _ => CapScope::Advertiser,
        };
        let ms = record.window_ms.get();
        let window = match record.window {
            WINDOW_BREAK => Window::Break,
            WINDOW_SESSION => Window::Session,
            WINDOW_ROLLING => Window::Rolling { ms },
            WINDOW_CALENDAR => Window::Calendar(Calendar { turns: record.turns.map(Turn::from), longest_ms: ms }),
            _ => Window::Lifetime, // the strictest, should a damaged plan hold another number
        };
        Self { scope, limit: record.limit.get(), window }
    }
}

impl CapRecord {
    fn is_sound(&self) -> bool {
        self.scope <= CapScope::Advertiser as u8
            && self.window <= WINDOW_LIFETIME
            && match Cap::from(self).window {
                Window::Rolling { ms } => ms > 0,
                Window::Calendar(calendar) => calendar.is_sound(),
                Window::Break | Window::Session | Window::Lifetime => true,
            }
    }
}

impl From<TurnRecord> for Turn {
    fn from(record: TurnRecord) -> Self {
        Self { from: UnixMillis(record.from.get()), began_at: UnixMillis(record.began_at.get()) }
    }
}

fn section<'a, T>(body: &'a [u8], header: &Header, section: Section) -> Result<&'a [T], PlanError>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let place = &header.sections[section as usize];
    body.get(place.start.get() as usize..)
        .and_then(|from| <[T]>::ref_from_prefix_with_elems(from, place.count.get() as usize).ok())
        .map(|(records, _)| records)
        .ok_or(PlanError::Inconsistent(section as usize))
}

/// The records of `run`, or `None` where it leads outside.
fn of<T>(records: &[T], run: Run) -> Option<&[T]> {
    let start = run.start.get() as usize;
    records.get(start..start.checked_add(run.count.get() as usize)?)
}
