//! The world that all fuzz targets share: its secrets, its plan, its clock.
//!
//! A target is a file in `fuzz_targets`; `cargo xtask fuzz` builds and runs them (so does `cargo fuzz run`, where
//! cargo-fuzz and a nightly toolchain are installed). What they start from is in `corpus`, as far as it is text that a
//! person can write; the rest ([`seed`]) is made by the present code, so that no seed is of a format that has gone.

use std::{env, fs, path::PathBuf};

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest, Tracking},
    auction::Auction,
    beacon::Event,
    caps::{Calendar, Cap, CapScope, CapState, Turn, Viewer, Window},
    consent::Permissions,
    contract::{BreakPosition, DemandClass, Rating, RegistryRecord},
    decide::{Occasion, decide},
    id::{
        AdId, AdvertiserId, BreakId, CampaignId, CreativeId, FlightId, OpportunityId, RecordId, SessionKey, ViewerKey,
    },
    impression::Quartile,
    keys::{Keyring, Purpose},
    money::{Currency, Money},
    plan::{AdSource, FlightSource, MediaSource, Plan, PlanSource, Targeting, TitleSource, build},
    pod::Pod,
    time::UnixMillis,
    token::{EventClass, LIFE_MS_MAX, Token},
};
use slotkeeper_edge::Settings;

/// When everything happens.
pub const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

const DAY_MS: u64 = 24 * 3_600_000;
const KEYS: [&str; 2] = [
    "3:5f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de35f0c0de3",
    "4:0ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110ddba110",
];

/// Two keys, of which the first mints.
pub fn keys() -> Keyring {
    let [first, _] = keyrings();
    first
}

/// The same two keys, with each of them minting.
pub fn keyrings() -> [Keyring; 2] {
    let [one, other] = KEYS;
    [format!("{one},{other}"), format!("{other},{one}")].map(|text| Keyring::parse(&text).expect("a keyring"))
}

/// An edge of this world.
pub fn settings() -> Settings {
    let value = |name| match name {
        "keys" => Some(KEYS.join(",")),
        "pseudonym_key" => Some("9e".repeat(32)),
        "origin_url" => Some("http://origin.example".to_owned()),
        "edge_id" => Some("fuzz".to_owned()),
        _ => None,
    };
    Settings::read(value).expect("complete settings")
}

/// A small plan with something of everything: both classes, every kind of targeting and cap, two creatives in a flight,
/// a flight that is over, one that is ahead of its plan.
pub fn plan() -> Vec<u8> {
    let title = |id: &str, rating| TitleSource {
        title_id: id.into(),
        rating,
        genres: vec!["drama".into(), id.into()],
        ..TitleSource::default()
    };
    let cap = |scope, limit, window| Cap { scope, limit, window };
    let hour = Window::Rolling { ms: 3_600_000 };
    let turn = |days: u64| Turn { from: NOW.plus_ms(days * DAY_MS), began_at: NOW.plus_ms(days * DAY_MS) };
    let today = Calendar { turns: [0, 1, 2, 3].map(turn), longest_ms: DAY_MS };
    let flights = vec![
        FlightSource {
            caps: vec![cap(CapScope::Campaign, 1, hour), cap(CapScope::Campaign, 1, Window::Calendar(today))],
            ..flight(1)
        },
        FlightSource { category: Some("cars".into()), targeting: everywhere(), ..flight(2) },
        FlightSource {
            caps: vec![cap(CapScope::Flight, 3, Window::Lifetime), cap(CapScope::Creative, 2, hour)],
            ratings: vec![Rating::TvG, Rating::TvPg],
            ads: [flight(3).ads, flight(4).ads].concat(),
            ..flight(3)
        },
        FlightSource { allocation: 0, ..flight(5) },
        FlightSource { ends_at: NOW, ..flight(6) },
        FlightSource {
            class: DemandClass::House,
            caps: vec![cap(CapScope::Advertiser, 9, Window::Session), cap(CapScope::Creative, 2, Window::Break)],
            ..flight(9)
        },
    ];
    let source = PlanSource {
        version: 7,
        created_at: NOW,
        valid_from: NOW.minus_ms(DAY_MS),
        valid_until: NOW.plus_ms(DAY_MS),
        lease_ms: 3_600_000,
        titles: vec![title("film", Rating::TvPg), title("cartoon", Rating::TvY)],
        flights,
    };
    build(&source, &keys()).expect("a plan within its bounds")
}

fn everywhere() -> Targeting {
    let one = |value: &str| vec![value.to_owned()];
    Targeting {
        titles: one("film"),
        genres: one("drama"),
        positions: one("midroll"),
        tiers: one("basic"),
        countries: one("NO"),
        devices: one("tv"),
        ..Targeting::default()
    }
}

fn flight(id: u32) -> FlightSource {
    FlightSource {
        flight_id: FlightId(id),
        campaign_id: CampaignId(id),
        advertiser_id: AdvertiserId(id),
        class: DemandClass::Guaranteed,
        starts_at: NOW.minus_ms(DAY_MS),
        ends_at: NOW.plus_ms(DAY_MS),
        allocation: 100,
        caps: vec![],
        ratings: vec![],
        category: None,
        targeting: Targeting::default(),
        ads: vec![AdSource {
            ad_id: AdId(id),
            creative_id: CreativeId(id),
            record_id: record(id).record_id(),
            duration_ms: 6_000,
            universal_ad_id: format!("TEST{id}"),
            name: format!("creative {id}"),
            caps: vec![Cap { scope: CapScope::Creative, limit: 5, window: Window::Rolling { ms: DAY_MS } }],
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

/// A guaranteed ad as sold, billed at its midpoint; all its ids are `n`.
pub fn record(n: u32) -> RegistryRecord {
    RegistryRecord {
        ad_id: AdId(n),
        creative_id: CreativeId(n),
        flight_id: FlightId(n),
        campaign_id: CampaignId(n),
        advertiser_id: AdvertiserId(n),
        class: DemandClass::Guaranteed,
        cpm: Money { micros: 18_333_333, currency: Currency::parse("USD").expect("a currency") },
        completion_threshold: Quartile::Midpoint,
        starts_at: NOW.minus_ms(DAY_MS),
        ends_at: NOW.plus_ms(DAY_MS),
        duration_ms: 6_000,
        universal_ad_id: "unknown".into(),
        trackers: vec![],
    }
}

/// A mid-roll of six slots that every flight of the plan may want.
pub fn request() -> BreakRequest {
    BreakRequest {
        request_id: "r-1".into(),
        profile_id: "profile-1".into(),
        title_id: "film".into(),
        position: BreakPosition::Midroll,
        slots: vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }; 6],
        max_duration_ms: Some(60_000),
        tier: Some("basic".into()),
        session_id: Some("session-1".into()),
        country: Some("NO".into()),
        device: Some("tv".into()),
        tracking: Tracking::Pixels,
        ..BreakRequest::default()
    }
}

/// A token for the ad `n` whose content is taken from `bytes`, as far as they reach.
pub fn token_from(bytes: &[u8]) -> Token {
    let mut taken = [0; 32];
    let len = bytes.len().min(taken.len());
    taken[..len].copy_from_slice(&bytes[..len]);
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| taken[at + index]));
    let mut opportunity_id = OpportunityId::default();
    opportunity_id.0.copy_from_slice(&taken[..16]);
    let life_ms = 1 + word(20) % LIFE_MS_MAX;
    Token {
        opportunity_id,
        ad_id: AdId(u32::try_from(word(16) >> 32).unwrap_or_default()),
        record_id: RecordId(word(24).to_le_bytes()),
        holds_claim: taken[31] >= 128,
        class: Event::from_code(taken[31] % 16).map_or(EventClass::Any, EventClass::Only),
        expires_at: opportunity_id.opened_at().plus_ms(life_ms.next_multiple_of(1_000)),
    }
}

/// The small plan, decided from for a viewer who has seen nothing.
pub fn pod() -> Pod {
    let (bytes, request) = (plan(), request());
    let plan = Plan::verify(&bytes, &keys()).expect("our own plan");
    decide(Some(&plan), &CapState::Known(Viewer::default()), &occasion(&request))
}

/// `request`, asked for the first time by a viewer at [`NOW`].
pub fn occasion(request: &BreakRequest) -> Occasion<'_> {
    let (break_id, viewer) = (BreakId([1; 16]), ViewerKey([2; 16]));
    Occasion {
        request,
        break_id,
        viewer,
        session: Some(SessionKey([3; 8])),
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: &Auction::NotAsked,
        opened_at: NOW,
        now: NOW,
    }
}

/// Leaves a seed for the fuzzer in the folder `FUZZ_SEEDS`, if somebody has named one. Called before it reads them.
pub fn seed(name: &str, bytes: impl AsRef<[u8]>) {
    if let Some(folder) = env::var_os("FUZZ_SEEDS").map(PathBuf::from) {
        fs::write(folder.join(name), bytes).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
}

/// Makes `plan` one that the edge takes as signed: its length is what its header says, its key is in force, its MAC
/// holds. `false` if it is too short to be any plan.
pub fn sign_plan(plan: &mut [u8]) -> bool {
    const KEY_ID: usize = 6;
    const TOTAL_BYTES: usize = 44;
    const MAC_BYTES: usize = 32;
    let Ok(total) = u32::try_from(plan.len()) else { return false };
    if plan.len() < TOTAL_BYTES + 4 + MAC_BYTES {
        return false;
    }
    let (key_id, key) = keys().minting(Purpose::Plan);
    plan[KEY_ID] = key_id;
    plan[TOTAL_BYTES..TOTAL_BYTES + 4].copy_from_slice(&total.to_le_bytes());
    let (body, mac) = plan.split_at_mut(plan.len() - MAC_BYTES);
    mac.copy_from_slice(blake3::keyed_hash(&key, body).as_bytes());
    true
}
