//! The auction: an upstream that hands us winners for the slots that guaranteed demand left, or nothing.
//!
//! ```text
//! what is left ─▶ OpenRTB request ─▶ POST auction_url ─▶ offers ─▶ their VAST, read whole ─▶ decide again with them
//!                                     within auction_deadline_ms, wrappers included
//! ```
//!
//! It is asked once for a break, between the view and the commit; when the commit loses a race, the break is decided again
//! with the same offers. Whatever goes wrong, the break goes on without it and its rows say `auction_unavailable`.

pub mod openrtb;

use std::future::Future;

use slotkeeper_core::{
    auction::{Auction, OFFERS_MAX, Offer},
    beacon::Event,
    contract::{PodPosition, Tracker},
    money::{Currency, Money},
    pod::{FillReason, Pod},
};

use slotkeeper_vast::{
    Code, Policy,
    bounds::DOCUMENT_BYTES_MAX,
    creative,
    policy::Schemes,
    resolve,
    resolve::{Fetch, FetchError, Fetched, Start},
};

use self::openrtb::{Left, Offer as Bid, RESPONSE_BYTES_MAX};
use crate::{
    Settings,
    breaks::Asked,
    platform::{join_all, within},
    settings::SettingsError,
};

/// The most hosts that wrappers may lead to.
const HOSTS_MAX: usize = 64;
/// The most that a break keeps of one offer, in bytes of JSON.
const OFFER_BYTES_MAX: usize = 32 * 1024;
/// What the wrappers of one ad may take by their own account; the auction's deadline is shorter.
const BUDGET_MS: u32 = 60_000;

/// What a deployment says of its auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuctionSettings {
    /// `auction_url`: where bid requests are posted.
    pub url: String,
    /// `auction_deadline_ms`: how long all of it may take, ads' wrappers included.
    pub deadline_ms: u64,
    /// `auction_currency`: what bids are in.
    pub currency: Currency,
    /// `auction_hosts`: where wrappers may lead; the auction's own host is the first.
    pub hosts: Vec<String>,
}

impl AuctionSettings {
    /// Reads what begins with `auction_`. A URL at a host that cannot exist (`.invalid`) is none: a manifest may need one.
    pub(crate) fn read(
        given: impl Fn(&'static str) -> Option<String>,
        deadline_ms: u64,
        decision_deadline_ms: u64,
    ) -> Result<Option<Self>, SettingsError> {
        let Some(url) = given("auction_url").map(|url| url.trim().to_owned()) else { return Ok(None) };
        let invalid = |name, expected| Err(SettingsError::Invalid { name, expected });
        let Some(host) = host_of(&url) else {
            return invalid("auction_url", "must begin with http:// or https:// and name a host");
        };
        if host.ends_with(".invalid") {
            return Ok(None);
        }
        if deadline_ms >= decision_deadline_ms {
            return invalid("auction_deadline_ms", "must be less than decision_deadline_ms, which it is a part of");
        }
        let currency =
            given("auction_currency").map_or_else(|| Currency::parse("USD"), |code| Currency::parse(code.trim()));
        let Some(currency) = currency else {
            return invalid("auction_currency", "must be three capital letters (ISO 4217), such as USD");
        };
        let listed = given("auction_hosts").unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::to_ascii_lowercase);
        let hosts: Vec<String> = core::iter::once(host).chain(listed).collect();
        if hosts.len() > HOSTS_MAX {
            return invalid("auction_hosts", "must be at most 63 hosts, parted by commas");
        }
        Ok(Some(Self { url, deadline_ms, currency, hosts }))
    }
}

/// The host of an absolute URL, in small letters, with its port if it names one.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    (!authority.is_empty() && !authority.contains('@')).then(|| authority.to_ascii_lowercase())
}

/// A request that leaves the edge, to neither its store nor its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Where to.
    pub url: String,
    /// What is posted, as JSON; without it, a GET.
    pub body: Option<String>,
    /// The longest answer read, in bytes; a longer one is an error.
    pub bytes_max: usize,
}

/// What guaranteed demand left of a break that was decided without an auction.
pub fn left(asked: &Asked, pod: &Pod) -> Vec<Left> {
    let request = &asked.request;
    let is_kept = |fill_reason| fill_reason == FillReason::Guaranteed;
    let kept = pod.slots.iter().filter_map(|slot| slot.fill()).filter(|fill| is_kept(fill.fill_reason));
    let kept_ms = kept.map(|fill| fill.duration_ms).fold(0, u32::saturating_add);
    if let Some(dynamic) = &request.pod {
        let taken = pod.slots.iter().filter(|slot| slot.fill().is_some_and(|fill| is_kept(fill.fill_reason))).count();
        let taken = u8::try_from(taken).unwrap_or(u8::MAX);
        let pod_ms = dynamic.duration_ms.min(request.max_duration_ms.unwrap_or(u32::MAX));
        let duration_ms = pod_ms.saturating_sub(kept_ms);
        let max_ads = dynamic.max_ads.saturating_sub(taken);
        if max_ads == 0 || duration_ms < dynamic.min_ad_ms.max(1_000) {
            return Vec::new();
        }
        return vec![Left::Pod {
            index: taken,
            duration_ms,
            max_ads,
            min_ad_ms: dynamic.min_ad_ms,
            max_ad_ms: dynamic.max_ad_ms,
            durations_ms: dynamic.durations_ms.clone(),
            min_cpm_micros_per_second: dynamic.min_cpm_micros_per_second,
        }];
    }
    let left_ms = request.max_duration_ms.map_or(u32::MAX, |max| max.saturating_sub(kept_ms));
    let of = u8::try_from(request.slots.len()).unwrap_or(u8::MAX);
    let open = pod.slots.iter().zip(&request.slots);
    open.filter(|(row, _)| row.fill().is_none_or(|fill| !is_kept(fill.fill_reason)))
        .filter_map(|(row, slot)| {
            let mut slot = slot.clone();
            slot.max_duration_ms = slot.max_duration_ms.min(left_ms);
            let is_room = slot.max_duration_ms >= slot.min_duration_ms.max(1_000);
            is_room.then_some(Left::Slot { index: row.slot_index, of, slot })
        })
        .collect()
}

/// Asks the auction, if there is one, for what is left. `wait` waits so many milliseconds; `send` sends a request and
/// returns the body of its answer, empty for a 204.
pub async fn auction<W: Future<Output = ()>>(
    asked: &Asked,
    left: &[Left],
    settings: &Settings,
    wait: impl FnOnce(u64) -> W,
    send: impl AsyncFn(Outbound) -> Result<Vec<u8>, String>,
) -> Auction {
    match &settings.auction {
        Some(settings) => ask(asked, left, settings, wait(settings.deadline_ms), send).await,
        None => Auction::NotAsked,
    }
}

async fn ask(
    asked: &Asked,
    left: &[Left],
    settings: &AuctionSettings,
    timer: impl Future<Output = ()>,
    send: impl AsyncFn(Outbound) -> Result<Vec<u8>, String>,
) -> Auction {
    let currency = settings.currency.as_str();
    let Some(request) = openrtb::request(asked, left, currency, settings.deadline_ms) else { return Auction::NotAsked };
    let unavailable = |why: String| Auction::Unavailable { why: why.chars().take(200).collect() };
    let body = match serde_json::to_string(&request) {
        Ok(body) => body,
        Err(error) => return unavailable(error.to_string()),
    };
    let working = async {
        let outbound = Outbound { url: settings.url.clone(), body: Some(body), bytes_max: RESPONSE_BYTES_MAX };
        let answer = match send(outbound).await {
            Ok(answer) if answer.is_empty() => return Auction::Answered { offers: Vec::new(), refused: Vec::new() }, // 204: no bid
            Ok(answer) => answer,
            Err(why) => return unavailable(why),
        };
        match openrtb::offers(&answer, &asked.break_id.to_string(), currency) {
            Ok(bids) => read_all(bids, left, settings, send).await,
            Err(why) => unavailable(why.to_string()),
        }
    };
    let late = || unavailable(format!("no answer within {} ms", settings.deadline_ms));
    within(timer, working).await.unwrap_or_else(late)
}

/// Reads the ads of bids, all at once, wrappers included. A bid whose ad cannot be used is passed over.
async fn read_all(
    bids: Vec<Bid>,
    left: &[Left],
    settings: &AuctionSettings,
    send: impl AsyncFn(Outbound) -> Result<Vec<u8>, String>,
) -> Auction {
    let hosts = settings.hosts.iter().filter_map(|host| host.parse().ok()).collect();
    let policy = Policy { hosts, schemes: Schemes::HttpToo, budget_ms: BUDGET_MS, ..Policy::default() };
    let wrappers = Wrappers(send);
    let wanted = bids.into_iter().filter(|bid| left.iter().any(|left| left.index() == bid.imp)).take(OFFERS_MAX);
    let reading = wanted.map(|bid| read(bid, left, settings, &wrappers, &policy));
    let (mut offers, mut refused) = (Vec::new(), Vec::new());
    for read in join_all(reading).await {
        match read {
            // What a break keeps of an auction travels with its rows; a vast VAST must not keep them from the origin.
            Ok(offer) if offer_bytes(&offer) > OFFER_BYTES_MAX => refused.push(Code::Undefined.number()),
            Ok(offer) => offers.push(offer),
            Err(code) => refused.push(code.number()),
        }
    }
    Auction::Answered { offers, refused }
}

async fn read(
    bid: Bid,
    left: &[Left],
    settings: &AuctionSettings,
    wrappers: &impl Fetch,
    policy: &Policy,
) -> Result<Offer, Code> {
    let markup = with_price(&bid.markup, &bid, settings);
    let resolved = resolve(Start::Document(markup.as_bytes()), wrappers, policy).await;
    let resolved = resolved.map_err(|failure| failure.code)?;
    let ad = resolved.ads.first().ok_or(Code::NoAd)?;
    let mut read = creative(ad).map_err(|fault| fault.code())?;
    let clicks = read.click_trackings.iter().map(|url| Tracker { event: Event::ClickThrough, url: url.clone() });
    read.presentation.trackers.extend(clicks);
    if pays_too_little(&bid, read.duration_ms, left) {
        return Err(Code::UnexpectedDuration);
    }
    let billing =
        bid.billing_url.as_ref().map(|url| Tracker { event: Event::Start, url: with_price(url, &bid, settings) });
    let id = bid.creative.clone().unwrap_or_else(|| read.content_id());
    let position = match bid.slot_in_pod {
        1 => PodPosition::First,
        -1 => PodPosition::Last,
        _ => PodPosition::Any,
    };
    let name = ad.ad.title.clone().unwrap_or_else(|| id.clone());
    Ok(Offer::of(
        (bid.imp, position),
        (&bid.advertiser_domain, &id),
        Money { micros: bid.cpm_micros, currency: settings.currency },
        (read.duration_ms, read.universal_ad_id),
        (name, read.media, read.presentation),
        read.trackers.into_iter().chain(billing).collect(),
    ))
}

fn offer_bytes(offer: &Offer) -> usize {
    serde_json::to_vec(offer).map_or(usize::MAX, |json| json.len())
}

/// Whether it pays less a second than the pod asks for.
fn pays_too_little(bid: &Bid, duration_ms: u32, left: &[Left]) -> bool {
    let least = left.iter().find(|left| left.index() == bid.imp).map_or(0, Left::min_cpm_micros_per_second);
    i128::from(bid.cpm_micros) * 1_000 < i128::from(least) * i128::from(duration_ms)
}

/// What the bidder wrote, with OpenRTB's macros of price filled (section 4.4).
fn with_price(text: &str, bid: &Bid, settings: &AuctionSettings) -> String {
    let price = format!("{}.{:06}", bid.cpm_micros / 1_000_000, bid.cpm_micros % 1_000_000);
    text.replace("${AUCTION_PRICE}", &price)
        .replace("${AUCTION_CURRENCY}", settings.currency.as_str())
        .replace("${AUCTION_IMP_ID}", &bid.imp.to_string())
}

/// Wrappers' documents, by the platform's own client. How long they take is bounded by the auction's deadline.
struct Wrappers<S>(S);

impl<S: AsyncFn(Outbound) -> Result<Vec<u8>, String>> Fetch for Wrappers<S> {
    async fn fetch(&self, url: &url::Url, _budget_ms: u32) -> Fetched {
        let outbound = Outbound { url: url.to_string(), body: None, bytes_max: DOCUMENT_BYTES_MAX };
        Fetched { took_ms: 0, body: (self.0)(outbound).await.map_err(FetchError::Unavailable) }
    }
}
