//! What is sold in the contract's world, and the secrets all its parts share.

use std::time::{SystemTime, UNIX_EPOCH};

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest, Tracking},
    caps::{Cap, CapScope, Window},
    contract::{BreakPosition, DemandClass, Rating},
    id::{AdId, AdvertiserId, CampaignId, CreativeId, FlightId, RecordId},
    keys::Keyring,
    plan::{AdSource, FlightSource, MediaSource, PlanSource, Targeting, TitleSource, build},
    time::UnixMillis,
};

pub(crate) const KEYS: &str = "3:5f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de3";
pub(crate) const OTHER_KEYS: &str = "4:0ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110";
pub(crate) const PSEUDONYM_KEY: &str = "9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e9e";
const DAY_MS: u64 = 24 * 3_600_000;

pub(crate) fn keys() -> Keyring {
    Keyring::parse(KEYS).unwrap()
}

/// Both generations of keys: what an origin accepts while they are rotated.
pub(crate) fn both_keys() -> Keyring {
    Keyring::parse(&format!("{KEYS},{OTHER_KEYS}")).unwrap()
}

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

/// A guaranteed flight of its own advertiser, with one creative of 15 seconds.
pub(crate) fn flight(id: u32) -> FlightSource {
    FlightSource {
        flight_id: FlightId(id),
        campaign_id: CampaignId(id),
        advertiser_id: AdvertiserId(id),
        class: DemandClass::Guaranteed,
        starts_at: now().minus_ms(DAY_MS),
        ends_at: now().plus_ms(DAY_MS),
        allocation: 100,
        caps: vec![],
        ratings: vec![],
        category: None,
        targeting: Targeting::default(),
        ads: vec![AdSource {
            ad_id: AdId(id * 10),
            creative_id: CreativeId(id * 10),
            record_id: RecordId([u8::try_from(id).unwrap(); 8]),
            caps: vec![],
            duration_ms: 15_000,
            universal_ad_id: format!("TEST{id}"),
            name: format!("creative {id}"),
            media: vec![MediaSource {
                url: format!("https://media.example/{id}.webm"),
                mime_type: "video/webm".into(),
                width: 640,
                height: 360,
                ..MediaSource::default()
            }],
            ..AdSource::default()
        }],
        ..FlightSource::default()
    }
}

/// A flight that a viewer may see so many times a day.
pub(crate) fn capped(id: u32, limit: u32) -> FlightSource {
    let cap = Cap { scope: CapScope::Campaign, limit, window: Window::Rolling { ms: DAY_MS } };
    FlightSource { caps: vec![cap], ..flight(id) }
}

/// A plan of these flights, signed with `keys`.
pub(crate) fn plan(version: u64, flights: Vec<FlightSource>, keys: &Keyring) -> Vec<u8> {
    plan_with(version, vec![], flights, keys)
}

/// The same, with more titles than those there always are.
pub(crate) fn plan_with(
    version: u64,
    mut titles: Vec<TitleSource>,
    flights: Vec<FlightSource>,
    keys: &Keyring,
) -> Vec<u8> {
    let title = |id: &str, rating| TitleSource {
        title_id: id.into(),
        rating,
        genres: vec!["drama".into()],
        ..TitleSource::default()
    };
    titles.extend([title("film", Rating::TvPg), title("cartoon", Rating::TvY)]);
    let source = PlanSource {
        version,
        created_at: now(),
        valid_from: now().minus_ms(DAY_MS),
        valid_until: now().plus_ms(DAY_MS),
        lease_ms: 3_600_000,
        titles,
        flights,
    };
    build(&source, keys).unwrap()
}

/// A pre-roll in `film` of so many slots of half a minute.
pub(crate) fn request(request_id: &str, profile_id: &str, slots: usize) -> BreakRequest {
    BreakRequest {
        request_id: request_id.into(),
        profile_id: profile_id.into(),
        session_id: None,
        title_id: "film".into(),
        position: BreakPosition::Preroll,
        slots: vec![SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() }; slots],
        max_duration_ms: None,
        tier: None,
        country: None,
        device: None,
        tracking: Tracking::Token,
        ..BreakRequest::default()
    }
}
