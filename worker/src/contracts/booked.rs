//! Reading what is booked.

use std::collections::BTreeSet;

use rusqlite::{
    Connection, Row, Transaction,
    types::{Type, ValueRef},
};
use serde::{Serialize, de::DeserializeOwned};
use slotkeeper_core::{
    contract::{DemandClass, Placement, PodPosition, Presentation, Rating, Tracker},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId},
    impression::Quartile,
    money::Money,
    plan::{MediaSource, Targeting, TitleSource},
    time::UnixMillis,
};

use crate::vast::VastContent;

use super::{
    dayparts::Daypart,
    frequency::Frequency,
    pauses::{self, Pause},
    store,
};

/// Everything that is booked.
#[derive(Debug, Default, Serialize)]
pub struct Booked {
    /// In the order of their ids.
    pub titles: Vec<TitleSource>,
    /// In the order of their numbers.
    pub flights: Vec<BookedFlight>,
}

/// A flight with what it hangs on.
#[derive(Debug, Serialize)]
pub struct BookedFlight {
    /// Its number.
    pub flight_id: FlightId,
    /// Its id in the contracts file.
    pub slug: String,
    /// What it belongs to.
    pub campaign_id: CampaignId,
    /// The campaign's id in the contracts file.
    pub campaign: String,
    /// Who buys.
    pub advertiser_id: AdvertiserId,
    /// The advertiser's id in the contracts file.
    pub advertiser: String,
    /// What viewers know them as.
    pub advertiser_name: String,
    /// The campaign's competitive category.
    pub category: Option<String>,
    /// Guaranteed or house.
    pub class: DemandClass,
    /// First instant.
    pub starts_at: UnixMillis,
    /// The instant after the last.
    pub ends_at: UnixMillis,
    /// What was promised; of a guaranteed flight.
    pub committed_impressions: Option<u64>,
    /// The price of a thousand.
    pub cpm: Money,
    /// How far an impression must play to count.
    pub completion_threshold: Quartile,
    /// Its share among house flights; of a house flight.
    pub weight: Option<u32>,
    /// What is booked on the flight itself.
    #[serde(flatten)]
    pub frequency: Frequency,
    /// What is booked on its campaign, and holds besides.
    pub campaign_frequency: Frequency,
    /// What is booked on its advertiser, and holds besides.
    pub advertiser_frequency: Frequency,
    /// Where it may run; empty is everywhere.
    pub ratings: Vec<Rating>,
    /// Whom it may be shown to.
    pub targeting: Targeting,
    /// Whom it may not be shown to.
    #[serde(skip_serializing_if = "Targeting::is_empty")]
    pub exclusion: Targeting,
    /// At which hours of its time zone it airs; none is always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dayparts: Vec<Daypart>,
    /// What it is sold as.
    pub placement: Placement,
    /// Where in a pod it may stand.
    pub pod_position: PodPosition,
    /// Not to be sold from for now.
    pub paused: bool,
    /// When it was, and is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
    /// Its creatives.
    pub ads: Vec<BookedAd>,
}

/// A creative as booked in a flight.
#[derive(Debug, Serialize)]
pub struct BookedAd {
    /// The pairing's number.
    pub ad_id: AdId,
    /// The video's number.
    pub creative_id: CreativeId,
    /// The creative's id in the contracts file.
    pub creative: String,
    /// What to call it.
    pub name: String,
    /// Its share among the ads of its flight.
    pub weight: u32,
    /// Where the VAST is that says what is shown, if a third party serves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vast: Option<String>,
    /// Whether that VAST was read. Until then there is no length and there are no files here; after, they are its.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vast_is_read: Option<bool>,
    /// Its length, or 0.
    pub duration_ms: u32,
    /// Its registered id, or `unknown`.
    pub universal_ad_id: String,
    /// Its files as booked; a URL may be a path.
    pub media: Vec<MediaSource>,
    /// What goes with it, as booked: the advertiser's name is the flight's, and a URL may be a path.
    #[serde(skip_serializing_if = "is_empty")]
    pub presentation: Presentation,
    /// Vendors' URLs that the origin calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trackers: Vec<Tracker>,
    /// What is booked on the creative, and holds for it besides what holds for its flight.
    #[serde(flatten)]
    pub frequency: Frequency,
}

impl Booked {
    /// The creatives in flights that are not paused whose VAST a third party serves and nobody has read yet. By their ids
    /// in the contracts file.
    pub fn unresolved(&self) -> BTreeSet<&str> {
        let ads = self.flights.iter().filter(|flight| !flight.paused).flat_map(|flight| &flight.ads);
        ads.filter(|ad| !ad.is_showable()).map(|ad| ad.creative.as_str()).collect()
    }
}

/// VAST 4.3's word for a creative that is registered nowhere.
const UNKNOWN: &str = "unknown";

impl BookedAd {
    /// Whether it is known what it shows.
    pub fn is_showable(&self) -> bool {
        self.vast_is_read != Some(false)
    }

    /// Takes from a third party's VAST what it says. What is booked besides stands beside it, and before it.
    fn read_from(&mut self, content: VastContent) {
        let VastContent { duration_ms, universal_ad_id, media, presentation, trackers } = content;
        (self.duration_ms, self.media, self.vast_is_read) = (duration_ms, media, Some(true));
        if self.universal_ad_id == UNKNOWN {
            self.universal_ad_id = universal_ad_id;
        }
        let booked = std::mem::take(&mut self.presentation);
        self.presentation = Presentation {
            categories: [booked.categories, presentation.categories].concat(),
            trackers: [booked.trackers, presentation.trackers].concat(),
            verifications: [booked.verifications, presentation.verifications].concat(),
            ..presentation
        };
        self.trackers.extend(trackers);
    }
}

fn is_empty(presentation: &Presentation) -> bool {
    *presentation == Presentation::default()
}

pub(super) fn read(db: &Connection) -> rusqlite::Result<Booked> {
    // One read transaction, so that an import in between cannot tear the picture.
    read_in(&db.unchecked_transaction()?)
}

/// Everything that is booked, as the transaction sees it.
pub(crate) fn read_in(snapshot: &Transaction<'_>) -> rusqlite::Result<Booked> {
    let mut booked = Booked { titles: titles(snapshot)?, flights: flights(snapshot)? };
    for (flight_id, ad) in ads(snapshot)? {
        if let Ok(at) = booked.flights.binary_search_by_key(&flight_id, |flight| flight.flight_id.0) {
            booked.flights[at].ads.push(ad);
        }
    }
    let mut pauses = pauses::read(snapshot)?;
    for flight in &mut booked.flights {
        flight.pauses = pauses.remove(&flight.flight_id.0).unwrap_or_default();
    }
    Ok(booked)
}

fn titles(db: &Connection) -> rusqlite::Result<Vec<TitleSource>> {
    let read = |row: &Row<'_>| {
        Ok(TitleSource {
            title_id: row.get(0)?,
            rating: name(row, 1)?,
            genres: json(row, 2)?,
            duration_ms: row.get(3)?,
            breaks: json(row, 4)?,
        })
    };
    db.prepare("SELECT title_id, rating, genres, duration_ms, breaks FROM titles ORDER BY title_id")?
        .query_map([], read)?
        .collect()
}

fn flights(db: &Connection) -> rusqlite::Result<Vec<BookedFlight>> {
    db.prepare(
        "SELECT f.flight_id, f.slug, c.campaign_id, c.slug, a.advertiser_id, a.slug, c.category, f.class,
             f.starts_at_ms, f.ends_at_ms, f.committed_impressions, f.cpm_micros, f.currency, f.completion_threshold,
             f.weight, f.ratings, f.targeting, f.paused, f.caps, f.min_gap, f.time_zone, c.caps, c.min_gap, c.time_zone,
             a.caps, a.min_gap, a.time_zone, a.name, f.exclusion, f.dayparts, f.placement, f.pod_position
         FROM flights f JOIN campaigns c USING (campaign_id) JOIN advertisers a USING (advertiser_id)
         ORDER BY f.flight_id",
    )?
    .query_map([], flight)?
    .collect()
}

fn flight(row: &Row<'_>) -> rusqlite::Result<BookedFlight> {
    Ok(BookedFlight {
        flight_id: FlightId(row.get(0)?),
        slug: row.get(1)?,
        campaign_id: CampaignId(row.get(2)?),
        campaign: row.get(3)?,
        advertiser_id: AdvertiserId(row.get(4)?),
        advertiser: row.get(5)?,
        category: row.get(6)?,
        class: name(row, 7)?,
        starts_at: UnixMillis(row.get(8)?),
        ends_at: UnixMillis(row.get(9)?),
        committed_impressions: row.get(10)?,
        cpm: Money { micros: row.get(11)?, currency: store::currency(row, 12)? },
        completion_threshold: name(row, 13)?,
        weight: row.get(14)?,
        ratings: json(row, 15)?,
        targeting: json(row, 16)?,
        paused: row.get(17)?,
        pauses: vec![],
        frequency: frequency(row, 18)?,
        campaign_frequency: frequency(row, 21)?,
        advertiser_frequency: frequency(row, 24)?,
        advertiser_name: row.get(27)?,
        exclusion: json(row, 28)?,
        dayparts: json(row, 29)?,
        placement: name(row, 30)?,
        pod_position: name(row, 31)?,
        ads: vec![],
    })
}

fn ads(db: &Connection) -> rusqlite::Result<Vec<(u32, BookedAd)>> {
    let read = |row: &Row<'_>| {
        let mut ad = BookedAd {
            ad_id: AdId(row.get(1)?),
            creative_id: CreativeId(row.get(2)?),
            creative: row.get(3)?,
            name: row.get(4)?,
            duration_ms: row.get(5)?,
            universal_ad_id: row.get(6)?,
            media: json(row, 7)?,
            frequency: frequency(row, 8)?,
            weight: row.get(11)?,
            vast: row.get(12)?,
            presentation: json(row, 13)?,
            trackers: json(row, 14)?,
            vast_is_read: row.get::<_, Option<String>>(12)?.map(|_| false),
        };
        if row.get_ref(15)? != ValueRef::Null {
            ad.read_from(json(row, 15)?);
        }
        Ok((row.get(0)?, ad))
    };
    db.prepare(
        "SELECT ads.flight_id, ads.ad_id, c.creative_id, c.slug, c.name, iif(c.vast IS NULL, c.duration_ms, 0),
             c.universal_ad_id, c.media, c.caps, c.min_gap, c.time_zone, ads.weight, c.vast, c.presentation, c.trackers,
             v.content
         FROM ads JOIN creatives c USING (creative_id)
             LEFT JOIN creative_vasts v ON v.creative_id = c.creative_id AND v.url = c.vast
         WHERE ads.booked = 1 ORDER BY ads.ad_id",
    )?
    .query_map([], read)?
    .collect()
}

/// Reads three columns: caps, minimum gap, time zone.
pub(super) fn frequency(row: &Row<'_>, from: usize) -> rusqlite::Result<Frequency> {
    let gap: Option<String> = row.get(from + 1)?;
    let min_gap = gap.map(|gap| gap.parse()).transpose();
    let unreadable = |error| rusqlite::Error::FromSqlConversionFailure(from + 1, Type::Text, Box::new(error));
    Ok(Frequency { caps: json(row, from)?, min_gap: min_gap.map_err(unreadable)?, time_zone: row.get(from + 2)? })
}

/// Reads a column of JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Reads a column that holds the name of an enum's variant.
fn name<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}
