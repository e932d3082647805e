//! OpenRTB 2.6, the part that an auction for a break's slots needs: what is asked, and what may be answered.
//!
//! Names, units and defaults are those of the specification (IAB Tech Lab, "OpenRTB 2.6", sections 3.2 and 4.2). Seconds
//! are whole there, so a slot of 29.5 s asks for ads of at most 29.

use serde::{Deserialize, Serialize};
use slotkeeper_core::{
    api::SlotRequest,
    consent::Identity,
    contract::{BreakPosition, Placement},
};

use crate::breaks::Asked;

/// The largest answer read, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 512 * 1024;
/// The most bids looked at; what comes after is ignored.
pub const BIDS_MAX: usize = 64;
/// The highest price taken for one, as a CPM in whole units of its currency: above it stands a mistake.
const PRICE_MAX: f64 = 1_000_000.0;

/// What players play, best first.
const MIMES: [&str; 3] = ["application/vnd.apple.mpegurl", "video/mp4", "video/webm"];
/// The list of `AdCOM` "Creative Subtypes - Audio/Video": VAST 2.0, 3.0, 4.0 to 4.3, and their wrappers.
const PROTOCOLS: [u8; 12] = [2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16];

/// ISO 3166-1, by alpha-2: that of a request, and the alpha-3 that OpenRTB wants.
fn alpha_3(alpha_2: &str) -> Option<&'static str> {
    let mut codes = COUNTRIES.as_bytes().chunks_exact(5);
    let found = codes.find(|code| code[..2].eq_ignore_ascii_case(alpha_2.as_bytes()))?;
    core::str::from_utf8(&found[2..]).ok()
}

/// ISO 3166-1: alpha-2, then alpha-3, of each country.
const COUNTRIES: &str = "\
    ADANDAEAREAFAFGAGATGAIAIAALALBAMARMAOAGOAQATAARARGASASMATAUTAUAUSAWABWAXALAAZAZEBABIHBBBRBBDBGDBEBEL\
    BFBFABGBGRBHBHRBIBDIBJBENBLBLMBMBMUBNBRNBOBOLBQBESBRBRABSBHSBTBTNBVBVTBWBWABYBLRBZBLZCACANCCCCKCDCOD\
    CFCAFCGCOGCHCHECICIVCKCOKCLCHLCMCMRCNCHNCOCOLCRCRICUCUBCVCPVCWCUWCXCXRCYCYPCZCZEDEDEUDJDJIDKDNKDMDMA\
    DODOMDZDZAECECUEEESTEGEGYEHESHERERIESESPETETHFIFINFJFJIFKFLKFMFSMFOFROFRFRAGAGABGBGBRGDGRDGEGEOGFGUF\
    GGGGYGHGHAGIGIBGLGRLGMGMBGNGINGPGLPGQGNQGRGRCGSSGSGTGTMGUGUMGWGNBGYGUYHKHKGHMHMDHNHNDHRHRVHTHTIHUHUN\
    IDIDNIEIRLILISRIMIMNININDIOIOTIQIRQIRIRNISISLITITAJEJEYJMJAMJOJORJPJPNKEKENKGKGZKHKHMKIKIRKMCOMKNKNA\
    KPPRKKRKORKWKWTKYCYMKZKAZLALAOLBLBNLCLCALILIELKLKALRLBRLSLSOLTLTULULUXLVLVALYLBYMAMARMCMCOMDMDAMEMNE\
    MFMAFMGMDGMHMHLMKMKDMLMLIMMMMRMNMNGMOMACMPMNPMQMTQMRMRTMSMSRMTMLTMUMUSMVMDVMWMWIMXMEXMYMYSMZMOZNANAM\
    NCNCLNENERNFNFKNGNGANINICNLNLDNONORNPNPLNRNRUNUNIUNZNZLOMOMNPAPANPEPERPFPYFPGPNGPHPHLPKPAKPLPOLPMSPM\
    PNPCNPRPRIPSPSEPTPRTPWPLWPYPRYQAQATREREUROROURSSRBRURUSRWRWASASAUSBSLBSCSYCSDSDNSESWESGSGPSHSHNSISVN\
    SJSJMSKSVKSLSLESMSMRSNSENSOSOMSRSURSSSSDSTSTPSVSLVSXSXMSYSYRSZSWZTCTCATDTCDTFATFTGTGOTHTHATJTJKTKTKL\
    TLTLSTMTKMTNTUNTOTONTRTURTTTTOTVTUVTWTWNTZTZAUAUKRUGUGAUMUMIUSUSAUYURYUZUZBVAVATVCVCTVEVENVGVGBVIVIR\
    VNVNMVUVUTWFWLFWSWSMYEYEMYTMYTZAZAFZMZMBZWZWE";

/// A bid request.
#[derive(Debug, Serialize)]
pub struct Request {
    id: String,
    imp: Vec<Imp>,
    app: App,
    device: Device,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Regs::is_empty")]
    regs: Regs,
    /// 1: the first price is paid.
    at: u8,
    tmax: u64,
    cur: [String; 1],
}

#[derive(Debug, Serialize)]
struct Imp {
    id: String,
    video: Video,
    secure: u8,
    bidfloorcur: String,
}

#[derive(Debug, Serialize)]
struct Video {
    mimes: [&'static str; 3],
    protocols: [u8; 12],
    /// 1: linear.
    linearity: u8,
    /// 1: instream, with sound.
    plcmt: u8,
    startdelay: i32,
    podid: String,
    #[serde(skip_serializing_if = "is_zero")]
    minduration: u32,
    #[serde(skip_serializing_if = "is_zero")]
    maxduration: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rqddurs: Vec<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    poddur: u32,
    #[serde(skip_serializing_if = "is_zero")]
    maxseq: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    mincpmpersec: Option<f64>,
    /// 0: anywhere, 1: first, -1: last.
    slotinpod: i8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Serialize)]
struct App {
    content: Content,
}

#[derive(Debug, Serialize)]
struct Content {
    id: String,
}

#[derive(Debug, Serialize)]
struct Device {
    #[serde(skip_serializing_if = "Geo::is_empty")]
    geo: Geo,
    lmt: u8,
    /// The list of `AdCOM` "Device Types"; 3: connected TV.
    #[serde(skip_serializing_if = "Option::is_none")]
    devicetype: Option<u8>,
}

#[derive(Debug, Default, Serialize)]
struct Geo {
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

impl Geo {
    fn is_empty(&self) -> bool {
        self.country.is_none() && self.region.is_none()
    }
}

#[derive(Debug, Serialize)]
struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data: Vec<Data>,
}

#[derive(Debug, Serialize)]
struct Data {
    segment: Vec<Segment>,
}

#[derive(Debug, Serialize)]
struct Segment {
    id: String,
}

#[derive(Debug, Default, Serialize)]
struct Regs {
    #[serde(skip_serializing_if = "Option::is_none")]
    gdpr: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpp: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpp_sid: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<RegsExt>,
}

/// Global Privacy Control, as the IAB's extension says it.
#[derive(Debug, Serialize)]
struct RegsExt {
    gpc: &'static str,
}

impl Regs {
    fn is_empty(&self) -> bool {
        self.gdpr.is_none() && self.gpp.is_none() && self.gpp_sid.is_empty() && self.ext.is_none()
    }
}

/// What guaranteed demand left of a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// One slot of those that were asked for.
    Slot {
        /// Its place in the break.
        index: u8,
        /// How many slots the break has.
        of: u8,
        /// As asked, shortened to what is left of the break.
        slot: SlotRequest,
    },
    /// The rest of a dynamic pod.
    Pod {
        /// The place of its first slot.
        index: u8,
        /// The time left, in milliseconds.
        duration_ms: u32,
        /// How many ads it may still take.
        max_ads: u8,
        /// See [`slotkeeper_core::api::PodRequest`].
        min_ad_ms: u32,
        /// See [`slotkeeper_core::api::PodRequest`].
        max_ad_ms: u32,
        /// See [`slotkeeper_core::api::PodRequest`].
        durations_ms: Vec<u32>,
        /// See [`slotkeeper_core::api::PodRequest`].
        min_cpm_micros_per_second: u64,
    },
}

impl Left {
    /// The place in the break that a bid for this begins at; also the id of its `imp`.
    pub fn index(&self) -> u8 {
        match self {
            Self::Slot { index, .. } | Self::Pod { index, .. } => *index,
        }
    }
}

impl Left {
    /// The least that a bid must pay a second, as the CPM of one second in micros.
    pub fn min_cpm_micros_per_second(&self) -> u64 {
        match self {
            Self::Slot { .. } => 0,
            Self::Pod { min_cpm_micros_per_second, .. } => *min_cpm_micros_per_second,
        }
    }
}

/// The request for what is left of a break; `None` if nothing is that an auction may fill.
pub fn request(asked: &Asked, left: &[Left], currency: &str, tmax_ms: u64) -> Option<Request> {
    let imp: Vec<Imp> = left.iter().filter_map(|left| imp(asked, left, currency)).collect();
    if imp.is_empty() {
        return None;
    }
    let (request, privacy) = (&asked.request, &asked.request.privacy);
    // Without permission nobody is named and nothing is known of them. Consent strings travel on: they are signals, not data.
    let may_be_named = asked.permissions.identity == Identity::Profile;
    let user = (may_be_named || privacy.tcf.is_some()).then(|| User {
        id: may_be_named.then(|| asked.viewer.to_string()),
        consent: privacy.tcf.clone(),
        data: if !may_be_named || asked.permissions.no_segments || request.segments.is_empty() {
            Vec::new()
        } else {
            vec![Data { segment: request.segments.iter().map(|id| Segment { id: id.clone() }).collect() }]
        },
    });
    Some(Request {
        id: asked.break_id.to_string(),
        imp,
        app: App { content: Content { id: request.title_id.clone() } },
        device: Device {
            geo: Geo {
                country: request.country.as_deref().and_then(alpha_3).map(Into::into),
                region: request.region.clone(),
            },
            lmt: (privacy.lmt || privacy.gpc || !may_be_named).into(),
            devicetype: request.device.as_deref().and_then(device_type),
        },
        user,
        regs: Regs {
            gdpr: privacy.gdpr.map(u8::from),
            gpp: privacy.gpp.clone(),
            gpp_sid: privacy.gpp_sid.clone(),
            ext: privacy.gpc.then_some(RegsExt { gpc: "1" }),
        },
        at: 1,
        tmax: tmax_ms,
        cur: [currency.into()],
    })
}

fn imp(asked: &Asked, left: &Left, currency: &str) -> Option<Imp> {
    let common = Video {
        mimes: MIMES,
        protocols: PROTOCOLS,
        linearity: 1,
        plcmt: 1,
        startdelay: match asked.request.position {
            BreakPosition::Preroll => 0,
            BreakPosition::Midroll => -1,
            BreakPosition::Postroll => -2,
        },
        podid: asked.break_id.to_string(),
        minduration: 0,
        maxduration: 0,
        rqddurs: Vec::new(),
        poddur: 0,
        maxseq: 0,
        mincpmpersec: None,
        slotinpod: 0,
    };
    let video = match left {
        Left::Slot { slot, .. } if slot.placement != Placement::Ad => return None,
        // Only whole seconds can be said here; without any, it would be asked for whatever length.
        Left::Slot { slot, .. } if !slot.durations_ms.is_empty() && whole_seconds(&slot.durations_ms).is_empty() => {
            return None;
        }
        Left::Pod { durations_ms, .. } if !durations_ms.is_empty() && whole_seconds(durations_ms).is_empty() => {
            return None;
        }
        Left::Slot { index, of, slot } => Video {
            minduration: slot.min_duration_ms.div_ceil(1_000),
            maxduration: if slot.durations_ms.is_empty() { slot.max_duration_ms / 1_000 } else { 0 },
            rqddurs: whole_seconds(&slot.durations_ms),
            slotinpod: if *index == 0 { 1 } else { -i8::from(index + 1 == *of) },
            ..common
        },
        Left::Pod { duration_ms, max_ads, min_ad_ms, max_ad_ms, durations_ms, min_cpm_micros_per_second, .. } => {
            Video {
                minduration: min_ad_ms.div_ceil(1_000),
                maxduration: if durations_ms.is_empty() { max_ad_ms / 1_000 } else { 0 },
                rqddurs: whole_seconds(durations_ms),
                poddur: duration_ms / 1_000,
                maxseq: (*max_ads).into(),
                #[expect(clippy::cast_precision_loss, reason = "prices on this wire are floats")]
                mincpmpersec: Some(*min_cpm_micros_per_second as f64 / 1e6).filter(|price| *price > 0.0),
                ..common
            }
        }
    };
    Some(Imp { id: left.index().to_string(), video, secure: 0, bidfloorcur: currency.into() })
}

/// Only whole seconds can be said here; others are not asked for.
fn whole_seconds(durations_ms: &[u32]) -> Vec<u32> {
    durations_ms.iter().filter(|ms| **ms % 1_000 == 0).map(|ms| ms / 1_000).collect()
}

/// The list of `AdCOM` "Device Types".
fn device_type(class: &str) -> Option<u8> {
    match class {
        "tv" => Some(3),
        "web" | "desktop" => Some(2),
        "phone" => Some(4),
        "tablet" => Some(5),
        "stick" | "console" => Some(6),
        "settop" => Some(7),
        _ => None,
    }
}

/// What an auction answered, as far as it can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The id of the `imp` it is for: the place in the break.
    pub imp: u8,
    /// The price of a thousand, in micros.
    pub cpm_micros: i64,
    /// Its creative's id at the bidder, if it has one.
    pub creative: Option<String>,
    /// The advertiser's domain; without it nobody can be kept apart from it, so it is required.
    pub advertiser_domain: String,
    /// Categories, as the bidder says them.
    pub categories: Vec<String>,
    /// Where in a dynamic pod it may stand: 0 anywhere, 1 first, -1 last.
    pub slot_in_pod: i8,
    /// The ad: VAST.
    pub markup: String,
    /// To be called when it is billed.
    pub billing_url: Option<String>,
}

/// Why an answer holds no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is not a bid response.
    #[error("the answer is not a bid response: {0}")]
    Malformed(String),
    /// It is for another request.
    #[error("the answer is for request {0:?}")]
    OtherRequest(String),
    /// Its currency is not the one asked for.
    #[error("the answer is in {0:?}, which was not asked for")]
    OtherCurrency(String),
}

#[derive(Deserialize)]
struct Response {
    id: String,
    #[serde(default)]
    seatbid: Vec<SeatBid>,
    #[serde(default)]
    cur: Option<String>,
}

#[derive(Deserialize)]
struct SeatBid {
    #[serde(default)]
    bid: Vec<Bid>,
}

#[derive(Deserialize)]
struct Bid {
    impid: String,
    price: f64,
    #[serde(default)]
    adm: Option<String>,
    #[serde(default)]
    adomain: Vec<String>,
    #[serde(default)]
    cat: Vec<String>,
    #[serde(default)]
    crid: Option<String>,
    #[serde(default)]
    slotinpod: i8,
    #[serde(default)]
    burl: Option<String>,
}

/// Reads an answer. Bids that cannot be used are passed over: one bad bidder does not cost the others. The dearest come
/// first; of equally dear ones, the first that was answered.
pub fn offers(body: &[u8], id: &str, currency: &str) -> Result<Vec<Offer>, Unusable> {
    let response: Response = serde_json::from_slice(body).map_err(|fault| Unusable::Malformed(fault.to_string()))?;
    if response.id != id {
        return Err(Unusable::OtherRequest(response.id.chars().take(64).collect()));
    }
    match response.cur.as_deref().unwrap_or("USD") {
        answered if answered == currency => {}
        answered => return Err(Unusable::OtherCurrency(answered.chars().take(8).collect())),
    }
    let bids = response.seatbid.into_iter().flat_map(|seat| seat.bid).take(BIDS_MAX);
    let mut offers: Vec<Offer> = bids.filter_map(offer).collect();
    offers.sort_by_key(|offer| core::cmp::Reverse(offer.cpm_micros));
    Ok(offers)
}

fn offer(bid: Bid) -> Option<Offer> {
    let is_sane = bid.price.is_finite() && bid.price > 0.0 && bid.price <= PRICE_MAX;
    #[expect(clippy::cast_possible_truncation, reason = "at most 10^12")]
    let cpm_micros = is_sane.then(|| (bid.price * 1e6).round() as i64).filter(|micros| *micros > 0)?;
    Some(Offer {
        imp: bid.impid.parse().ok()?,
        cpm_micros,
        creative: bid.crid.map(|id| id.chars().take(128).collect()),
        advertiser_domain: bid.adomain.into_iter().next().map(|domain| domain.to_ascii_lowercase())?,
        categories: bid.cat.into_iter().take(16).collect(),
        slot_in_pod: bid.slotinpod.clamp(-1, 1),
        markup: bid.adm.filter(|markup| !markup.trim().is_empty())?,
        billing_url: bid.burl.filter(|url| url.starts_with("https://") || url.starts_with("http://")),
    })
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::{
        api::BreakRequest,
        consent::{Permissions, Privacy},
        id::{BreakId, ViewerKey},
        time::UnixMillis,
    };

    use super::*;

    fn asked(request: BreakRequest) -> Asked {
        Asked {
            request,
            viewer: ViewerKey([7; 16]),
            session: None,
            permissions: Permissions::default(),
            invalid_traffic: None,
            break_id: BreakId([9; 16]),
            opened_at: UnixMillis(1),
            now: UnixMillis(1),
            base: String::new(),
        }
    }

    fn slot(index: u8, of: u8, slot: SlotRequest) -> Left {
        Left::Slot { index, of, slot }
    }

    fn json(asked: &Asked, left: &[Left]) -> serde_json::Value {
        serde_json::to_value(request(asked, left, "EUR", 150).unwrap()).unwrap()
    }

    #[test]
    fn a_slot_is_asked_for_in_the_words_of_openrtb() {
        let breaks = BreakRequest {
            title_id: "film".into(),
            country: Some("US".into()),
            region: Some("US-CA".into()),
            device: Some("tv".into()),
            position: BreakPosition::Midroll,
            ..BreakRequest::default()
        };
        let half_a_minute = SlotRequest { max_duration_ms: 30_500, min_duration_ms: 5_001, ..SlotRequest::default() };
        let exact =
            SlotRequest { max_duration_ms: 60_000, durations_ms: vec![15_000, 20_500], ..SlotRequest::default() };
        let json = json(&asked(breaks), &[slot(0, 3, half_a_minute), slot(2, 3, exact)]);
        let [first, last] = [0, 1].map(|at| json["imp"][at]["video"].clone());
        assert_eq!(
            (&first["minduration"], &first["maxduration"], &first["slotinpod"]),
            (&6.into(), &30.into(), &1.into())
        );
        assert_eq!((&last["rqddurs"], &last["slotinpod"]), (&serde_json::json!([15]), &(-1).into()));
        assert!(last.get("maxduration").is_none(), "rqddurs and maxduration exclude each other");
        assert_eq!(
            (&json["imp"][1]["id"], &first["startdelay"], &json["tmax"]),
            (&"2".into(), &(-1).into(), &150.into())
        );
        assert_eq!((&json["cur"], &json["device"]["devicetype"]), (&serde_json::json!(["EUR"]), &3.into()));
        assert_eq!(json["device"]["geo"], serde_json::json!({ "country": "USA", "region": "US-CA" }));
    }

    #[test]
    fn bumpers_and_sponsorships_are_not_auctioned() {
        let bumper = SlotRequest { max_duration_ms: 5_000, placement: Placement::Bumper, ..SlotRequest::default() };
        assert!(request(&asked(BreakRequest::default()), &[slot(0, 1, bumper)], "USD", 100).is_none());
    }

    #[test]
    fn who_watches_is_said_only_where_it_is_allowed_and_never_by_profile() {
        let breaks = BreakRequest {
            profile_id: "somebody".into(),
            segments: vec!["sports".into()],
            privacy: Privacy { gpp: Some("DBAA".into()), gpp_sid: vec![7], ..Privacy::default() },
            ..BreakRequest::default()
        };
        let left = [slot(0, 1, SlotRequest { max_duration_ms: 30_000, ..SlotRequest::default() })];
        let mut asked = asked(breaks);
        let named = json(&asked, &left);
        assert_eq!(named["user"]["data"][0]["segment"][0]["id"], "sports");
        assert!(!named.to_string().contains("somebody"));
        asked.permissions.no_segments = true;
        assert!(!json(&asked, &left).to_string().contains("sports"));
        asked.permissions.identity = Identity::Session;
        let unnamed = json(&asked, &left);
        assert!(unnamed.get("user").is_none());
        assert_eq!(unnamed["regs"], serde_json::json!({ "gpp": "DBAA", "gpp_sid": [7] }), "signals travel on");
    }

    #[test]
    fn offers_come_dearest_first_and_bad_bids_cost_the_others_nothing() {
        let bid = |price: f64, domain: &str| {
            format!(r#"{{"impid":"1","price":{price},"adomain":["{domain}"],"adm":"<VAST/>"}}"#)
        };
        let bids = [
            bid(1.5, "a.example"),
            bid(-1.0, "negative.example"),
            bid(0.000_000_1, "nothing.example"),
            bid(9e9, "mistake.example"),
            r#"{"impid":"1","price":2,"adm":"<VAST/>"}"#.into(), // no advertiser to keep apart from
            r#"{"impid":"x","price":2,"adomain":["b.example"],"adm":"<VAST/>"}"#.into(),
            r#"{"impid":"1","price":2,"adomain":["b.example"],"adm":" "}"#.into(),
            bid(2.25, "B.example"),
        ];
        let body = format!(r#"{{"id":"q","seatbid":[{{"bid":[{}]}}]}}"#, bids.join(","));
        let offers = offers(body.as_bytes(), "q", "USD").unwrap();
        let dearest: Vec<_> = offers.iter().map(|one| (one.advertiser_domain.as_str(), one.cpm_micros)).collect();
        assert_eq!(dearest, [("b.example", 2_250_000), ("a.example", 1_500_000)]);
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let answer = |body: &str| offers(body.as_bytes(), "q", "USD");
        assert!(matches!(answer("<html>"), Err(Unusable::Malformed(_))));
        assert_eq!(answer(r#"{"id":"p"}"#), Err(Unusable::OtherRequest("p".into())));
        assert_eq!(answer(r#"{"id":"q","cur":"EUR"}"#), Err(Unusable::OtherCurrency("EUR".into())));
        assert_eq!(answer(r#"{"id":"q"}"#), Ok(vec![]), "no bid");
    }
}
