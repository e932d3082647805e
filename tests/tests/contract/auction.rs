//! What an auction fills, and what it costs when it does not. The upstream here is a stand-in, which answers as it is told
//! and remembers what it was asked.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use slotkeeper_core::{
    api::{BreakRequest, PodRequest, SlotOutcome},
    auction::Auction,
    consent::Privacy,
    plan::Plan,
    pod::{FillReason, UnfilledReason},
};
use tokio::net::TcpListener;

use crate::{
    edge::{Edge, Runtime, outcomes},
    world::{self, flight, request},
};

/// How the auctioneer answers a bid request.
#[derive(Clone)]
enum Mood {
    /// With these bids.
    Bids(Vec<Value>),
    /// 204.
    NoBid,
    /// With what is not JSON.
    Garbage,
    /// Not at all.
    Hanging,
}

struct State {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<Value>>,
    documents: Mutex<Vec<(String, String)>>,
}

/// An upstream, on a port of its own; it also serves the documents that its ads' wrappers lead to.
struct Auctioneer {
    address: SocketAddr,
    state: Arc<State>,
}

impl Auctioneer {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { mood: Mutex::new(mood), asked: Mutex::default(), documents: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, state }
    }

    fn serve(&self, path: &str, document: String) {
        self.state.documents.lock().unwrap().push((path.into(), document));
    }

    fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> Vec<Value> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The edge with this auction, and flight 1 in force.
    async fn of<R: Runtime>(&self, edge: Edge<R>, deadline_ms: &str) -> Edge<R> {
        let url = format!("http://{}/bid", self.address);
        let edge = edge.reconfigured(&[("auction_url", &url), ("auction_deadline_ms", deadline_ms)]).await;
        edge.publish(vec![flight(1)]).await;
        edge
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(reply(400, String::new())) };
    if parts.uri.path() != "/bid" {
        let documents = state.documents.lock().unwrap();
        let found = documents.iter().find(|(path, _)| path == parts.uri.path());
        return Ok(found.map_or_else(|| reply(404, String::new()), |(_, document)| reply(200, document.clone())));
    }
    let asked: Value = serde_json::from_slice(&body.to_bytes()).expect("a bid request");
    let id = asked["id"].clone();
    state.asked.lock().unwrap().push(asked);
    let mood = state.mood.lock().unwrap().clone();
    Ok(match mood {
        Mood::Bids(bids) => reply(200, json!({ "id": id, "cur": "USD", "seatbid": [{ "bid": bids }] }).to_string()),
        Mood::NoBid => reply(204, String::new()),
        Mood::Garbage => reply(200, "<html>".into()),
        Mood::Hanging => std::future::pending().await,
    })
}

fn reply(status: u16, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

/// An ad of 20 seconds.
fn inline(name: &str) -> String {
    format!(
        r#"<VAST version="4.2"><Ad id="{name}"><InLine><AdSystem>stand-in</AdSystem><AdTitle>{name}</AdTitle>
        <AdServingId>{name}-1</AdServingId><Impression><![CDATA[https://vendor.example/i/{name}]]></Impression>
        <Creatives><Creative><UniversalAdId idRegistry="ad-id.org">{name}</UniversalAdId><Linear>
        <Duration>00:00:20</Duration><MediaFiles><MediaFile delivery="progressive" type="video/mp4" width="1280"
        height="720"><![CDATA[https://media.example/{name}.mp4]]></MediaFile></MediaFiles></Linear></Creative></Creatives>
        </InLine></Ad></VAST>"#
    )
}

fn wrapper(to: &str) -> String {
    format!(
        r#"<VAST version="4.2"><Ad><Wrapper><AdSystem>stand-in</AdSystem>
        <VASTAdTagURI><![CDATA[{to}]]></VASTAdTagURI><Impression><![CDATA[https://wrapper.example/i]]></Impression>
        </Wrapper></Ad></VAST>"#
    )
}

fn bid(imp: u8, price: f64, domain: &str, markup: &str) -> Value {
    json!({ "id": "b", "impid": imp.to_string(), "price": price, "adomain": [domain], "crid": domain, "adm": markup })
}

fn fill_reasons(response: &slotkeeper_core::api::BreakResponse) -> Vec<Option<FillReason>> {
    let reason = |slot: &slotkeeper_core::api::SlotResponse| match &slot.outcome {
        SlotOutcome::Filled { fill_reason, .. } => Some(*fill_reason),
        SlotOutcome::Unfilled { .. } => None,
    };
    response.slots.iter().map(reason).collect()
}

pub(crate) async fn what_guaranteed_demand_leaves_is_auctioned_once_and_the_winner_is_in_the_books<R: Runtime>(
    edge: Edge<R>,
) {
    let cheap = bid(1, 3.0, "cheap.example", &inline("cheap"));
    let dear = bid(1, 12.5, "dear.example", &inline("dear"));
    let auctioneer = Auctioneer::start(Mood::Bids(vec![cheap, dear])).await;
    let edge = auctioneer.of(edge, "5000").await;
    let pod = edge.open(&request("r1", "ann", 2)).await;
    assert_eq!(fill_reasons(&pod), [Some(FillReason::Guaranteed), Some(FillReason::Auction)]);
    let SlotOutcome::Filled { ad, .. } = &pod.slots[1].outcome else { panic!("{pod:?}") };
    assert_eq!((ad.name.as_str(), ad.duration_ms, ad.universal_ad_id.as_str()), ("dear", 20_000, "dear"));
    assert_eq!(ad.media[0].url, "https://media.example/dear.mp4");
    assert!(ad.ad_id.0 >= 1 << 31, "no number of a contract's");

    assert_eq!(edge.open(&request("r1", "ann", 2)).await, pod);
    let asked = auctioneer.asked();
    assert_eq!(asked.len(), 1, "a retry is no second auction");
    let imps = asked[0]["imp"].as_array().unwrap();
    assert_eq!(imps.len(), 1, "only what is left: {imps:?}");
    assert_eq!((&imps[0]["id"], &imps[0]["video"]["maxduration"]), (&json!("1"), &json!(30)));
    assert_eq!(imps[0]["video"]["slotinpod"], json!(-1));
    assert!(!asked[0].to_string().contains("ann"), "nobody's profile leaves us");

    let rows = edge.rows(2).await;
    let row = rows.iter().map(|(_, row)| row).find(|row| row.slot_index == 1).unwrap();
    let fill = row.fill().unwrap();
    assert_eq!((fill.fill_reason, fill.claim, fill.booking.flight_id.0), (FillReason::Auction, None, 0));
    let decisions = edge.collector.decisions();
    let decision = decisions.iter().find(|decision| decision.break_id == pod.break_id).unwrap();
    let Auction::Answered { offers, .. } = &decision.auction else { panic!("{:?}", decision.auction) };
    let sold = offers.iter().find(|offer| offer.record.record_id() == fill.record_id).unwrap();
    assert_eq!(sold.record.cpm.micros, 12_500_000);
    assert!(sold.record.trackers.iter().any(|tracker| tracker.url == "https://vendor.example/i/dear"));
    let plan = world::plan(1, vec![flight(1)], &world::keys());
    let again = decision.decide_again(Some(&Plan::open(&plan).unwrap()), &mut ()).unwrap();
    assert_eq!(again.slots[1].outcome, row.outcome, "a decision can be replayed, auction and all");
}

pub(crate) async fn an_auction_that_fails_costs_its_deadline_and_the_row_says_so<R: Runtime>(edge: Edge<R>) {
    let auctioneer = Auctioneer::start(Mood::Hanging).await;
    let edge = auctioneer.of(edge, "700").await;
    edge.publish(vec![]).await; // nothing is sold that could be nearer to filling
    let start = Instant::now();
    let unavailable = [Err(UnfilledReason::AuctionUnavailable)];
    assert_eq!(outcomes(&edge.open(&request("r1", "bob", 1)).await), unavailable);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    auctioneer.set_mood(Mood::Garbage);
    assert_eq!(outcomes(&edge.open(&request("r2", "bob", 1)).await), unavailable);
    // That nobody wants it is another thing.
    auctioneer.set_mood(Mood::NoBid);
    let pod = edge.open(&request("r3", "bob", 1)).await;
    assert_eq!(outcomes(&pod), [Err(UnfilledReason::NoEligibleDemand)]);
    assert_eq!(edge.rows(3).await.len(), 3);
}

pub(crate) async fn an_auctions_wrappers_lead_only_where_they_may<R: Runtime>(edge: Edge<R>) {
    let auctioneer = Auctioneer::start(Mood::NoBid).await;
    let elsewhere = Auctioneer::start(Mood::NoBid).await;
    auctioneer.serve("/ad", inline("wrapped"));
    elsewhere.serve("/ad", inline("elsewhere"));
    let tag = |auctioneer: &Auctioneer| wrapper(&format!("http://{}/ad", auctioneer.address));
    let forbidden = bid(1, 90.0, "elsewhere.example", &tag(&elsewhere));
    let broken = bid(1, 80.0, "broken.example", "<VAST version=\"4.2\"><Ad>");
    let allowed = bid(1, 1.0, "wrapped.example", &tag(&auctioneer));
    auctioneer.set_mood(Mood::Bids(vec![forbidden, broken, allowed]));
    let edge = auctioneer.of(edge, "5000").await;
    let pod = edge.open(&request("r1", "cyd", 2)).await;
    let SlotOutcome::Filled { ad, .. } = &pod.slots[1].outcome else { panic!("{pod:?}") };
    assert_eq!(ad.name, "wrapped");
    edge.rows(2).await;
    let decisions = edge.collector.decisions();
    let Auction::Answered { offers, refused } = &decisions[0].auction else { panic!("{:?}", decisions[0]) };
    assert_eq!((offers.len(), refused.as_slice()), (1, &[300, 100][..]), "a forbidden wrapper, a broken document");
    assert!(offers[0].record.trackers.iter().any(|tracker| tracker.url == "https://wrapper.example/i"));
}

pub(crate) async fn a_dynamic_pods_rest_is_auctioned_as_one_and_filled_by_several<R: Runtime>(edge: Edge<R>) {
    let bids = ["a.example", "b.example", "c.example"].map(|domain| bid(1, 4.0, domain, &inline(domain)));
    let auctioneer = Auctioneer::start(Mood::Bids(bids.to_vec())).await;
    let edge = auctioneer.of(edge, "5000").await;
    let pod = PodRequest { duration_ms: 60_000, max_ads: 4, ..PodRequest::default() };
    let asked = BreakRequest { slots: vec![], pod: Some(pod), ..request("r1", "dot", 1) };
    let pod = edge.open(&asked).await;
    // 15 s are sold; of the 45 s left two ads of 20 s fit, and 5 s stay empty.
    let guaranteed_first = [Some(FillReason::Guaranteed), Some(FillReason::Auction), Some(FillReason::Auction), None];
    assert_eq!(fill_reasons(&pod), guaranteed_first);
    let video = auctioneer.asked()[0]["imp"][0]["video"].clone();
    assert_eq!((&video["poddur"], &video["maxseq"]), (&json!(45), &json!(3)));
}

pub(crate) async fn without_permission_an_auction_hears_of_nobody<R: Runtime>(edge: Edge<R>) {
    let auctioneer = Auctioneer::start(Mood::NoBid).await;
    let edge = auctioneer.of(edge, "5000").await;
    let with = BreakRequest { segments: vec!["sports".into()], ..request("r1", "eve", 2) };
    edge.open(&with).await;
    let privacy = Privacy { gpc: true, ..Privacy::default() };
    edge.open(&BreakRequest { privacy, request_id: "r2".into(), ..with }).await;
    let asked = auctioneer.asked();
    assert!(asked[0]["user"]["id"].is_string() && asked[0].to_string().contains("sports"));
    assert!(asked[1].get("user").is_none() && !asked[1].to_string().contains("sports"), "{}", asked[1]);
}
