use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::model::Creative;

/// Documents by URL, and what was asked for. Nothing is waited for: each says how long it took.
#[derive(Default)]
struct Servers {
    answers: BTreeMap<String, (u32, Result<String, FetchError>)>,
    asked: RefCell<Vec<(String, u32)>>,
}

impl Servers {
    fn with(mut self, url: &str, document: impl Into<String>) -> Self {
        self.answers.insert(url.into(), (10, Ok(document.into())));
        self
    }

    fn slow(mut self, url: &str, took_ms: u32, document: impl Into<String>) -> Self {
        self.answers.insert(url.into(), (took_ms, Ok(document.into())));
        self
    }

    fn failing(mut self, url: &str, error: FetchError) -> Self {
        self.answers.insert(url.into(), (10, Err(error)));
        self
    }

    fn asked(&self) -> Vec<String> {
        self.asked.borrow().iter().map(|(url, _)| url.clone()).collect()
    }
}

impl Fetch for Servers {
    async fn fetch(&self, url: &Url, budget_ms: u32) -> Fetched {
        self.asked.borrow_mut().push((url.to_string(), budget_ms));
        let unknown = || (10, Err(FetchError::Unavailable("404".into())));
        let (took_ms, body) = self.answers.get(url.as_str()).cloned().unwrap_or_else(unknown);
        Fetched { took_ms, body: body.map(String::into_bytes) }
    }
}

fn policy() -> Policy {
    let hosts = ["ads.example", "*.ads.example"].map(|host| host.parse().unwrap()).into();
    Policy { hosts, budget_ms: 1_000, ..Policy::default() }
}

/// The fetcher above never waits, so its futures are ready at once.
fn run(start: Start<'_>, servers: &Servers, policy: &Policy) -> Result<Resolved, Failure> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(resolve(start, servers, policy)).poll(&mut context) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it waits for something"),
    }
}

fn from(url: &str, servers: &Servers) -> Result<Resolved, Failure> {
    run(Start::Url(&Url::parse(url).unwrap()), servers, &policy())
}

fn vast(ads: &str) -> String {
    format!(r#"<VAST version="4.2"><Error>https://t.example/none-[ERRORCODE]</Error>{ads}</VAST>"#)
}

fn inline(id: &str, attributes: &str) -> String {
    format!(
        r#"<Ad id="{id}" {attributes}><InLine><AdSystem>S{id}</AdSystem><Error>https://t.example/{id}-[ERRORCODE]</Error>
        <Impression>https://t.example/{id}-i</Impression><Category authority="a">c-{id}</Category>
        <ViewableImpression><Viewable>https://t.example/{id}-v</Viewable></ViewableImpression>
        <AdVerifications><Verification vendor="{id}"/></AdVerifications>
        <Creatives><Creative><Linear><Duration>00:00:10</Duration><TrackingEvents>
        <Tracking event="start">https://t.example/{id}-s</Tracking></TrackingEvents><VideoClicks>
        <ClickTracking>https://t.example/{id}-c</ClickTracking></VideoClicks>
        <MediaFiles><MediaFile type="video/mp4">https://m.example/{id}.mp4</MediaFile></MediaFiles></Linear></Creative></Creatives>
        </InLine></Ad>"#
    )
}

/// An ad that is to be had at `uri`.
fn wrapper(id: &str, uri: &str, flags: &str, attributes: &str) -> String {
    format!(
        r#"<Ad id="{id}" {attributes}><Wrapper {flags}><AdSystem>S{id}</AdSystem><VASTAdTagURI><![CDATA[{uri}]]></VASTAdTagURI>
        <Error>https://t.example/{id}-[ERRORCODE]</Error><Impression>https://t.example/{id}-i</Impression>
        <BlockedAdCategories authority="a">blocked-by-{id}</BlockedAdCategories>
        <ViewableImpression><Viewable>https://t.example/{id}-v</Viewable></ViewableImpression>
        <AdVerifications><Verification vendor="{id}"/></AdVerifications>
        <Creatives><Creative><Linear><TrackingEvents><Tracking event="start">https://t.example/{id}-s</Tracking>
        </TrackingEvents></Linear></Creative><Creative><Linear><VideoClicks>
        <ClickTracking>https://t.example/{id}-c</ClickTracking></VideoClicks></Linear></Creative></Creatives></Wrapper></Ad>"#
    )
}

const TAG: &str = "https://ads.example/";

/// Servers on which `count` wrappers come before an ad.
fn chain(count: usize) -> Servers {
    let servers = (0..count).fold(Servers::default(), |servers, index| {
        let next = format!("{TAG}{}", index + 1);
        servers.with(&format!("{TAG}{index}"), vast(&wrapper(&format!("w{index}"), &next, "", "")))
    });
    servers.with(&format!("{TAG}{count}"), vast(&inline("ad", "")))
}

fn ids(resolved: &Resolved) -> Vec<&str> {
    resolved.ads.iter().map(|ad| ad.chain.last().unwrap().ad_id.as_deref().unwrap()).collect()
}

#[test]
fn five_wrappers_are_followed_and_the_sixth_is_not() {
    let servers = chain(5);
    let resolved = from("https://ads.example/0", &servers).unwrap();
    assert_eq!((ids(&resolved), resolved.fetches, resolved.ads[0].chain.len()), (vec!["ad"], 6, 6));
    let servers = chain(6);
    let failure = from("https://ads.example/0", &servers).unwrap_err();
    assert_eq!((failure.code, &failure.cause), (Code::WrapperLimit, &Cause::TooManyWrappers(5)));
    assert_eq!(servers.asked().len(), 6, "the ad behind the sixth wrapper was not asked for");
    let expected: Vec<String> = (0..6).map(|index| format!("https://t.example/w{index}-302")).collect();
    assert_eq!(failure.error_urls, expected);
}

#[test]
fn all_that_wrappers_ask_for_comes_with_the_ad_outermost_first() {
    let resolved = from("https://ads.example/0", &chain(2)).unwrap();
    let ResolvedAd { ad, blocked_ad_categories, chain } = &resolved.ads[0];
    let of_all = |what: &str| ["w0", "w1", "ad"].map(|id| format!("https://t.example/{id}-{what}"));
    assert_eq!(ad.shared.impressions, of_all("i"));
    assert_eq!(ad.shared.errors, of_all("[ERRORCODE]"));
    assert_eq!(ad.shared.viewable_impression.viewable, of_all("v"));
    let vendors: Vec<_> = ad.shared.verifications.iter().map(|known| known.vendor.as_deref().unwrap()).collect();
    assert_eq!(vendors, ["w0", "w1", "ad"]);
    let [Creative { linear: Some(linear), .. }] = ad.creatives.as_slice() else { panic!("{ad:?}") };
    let starts: Vec<&String> = linear.tracked.trackings.iter().map(|tracking| &tracking.url).collect();
    assert_eq!(starts, of_all("s").each_ref());
    assert_eq!(linear.tracked.click_trackings, of_all("c"));
    let blocked: Vec<&String> = blocked_ad_categories.iter().flat_map(|blocked| &blocked.codes).collect();
    assert_eq!(blocked, ["blocked-by-w0", "blocked-by-w1"]);
    let systems: Vec<_> = chain.iter().map(|link| link.ad_system.as_deref().unwrap()).collect();
    assert_eq!(systems, ["Sw0", "Sw1", "Sad"]);
    assert_eq!(resolved.ads[0].error_urls(Code::MediaNotSupported), of_all("403"));
}

#[test]
fn wrappers_in_a_circle_are_noticed_before_they_are_fetched_again() {
    let (a, b) = ("https://ads.example/a", "https://ads.example/b");
    let servers = Servers::default()
        .with(a, vast(&wrapper("a", b, "", "")))
        .with(b, vast(&wrapper("b", "HTTPS://ADS.example:443/a", "", "")));
    let failure = from(a, &servers).unwrap_err();
    assert_eq!((failure.code, &failure.cause), (Code::WrapperLimit, &Cause::Loop("ads.example".into())));
    assert_eq!(servers.asked(), [a, b]);
}

#[test]
fn all_fetches_share_one_budget() {
    let servers = Servers::default()
        .slow("https://ads.example/0", 600, vast(&wrapper("w", "https://ads.example/1", "", "")))
        .slow("https://ads.example/1", 500, vast(&inline("ad", "")));
    let failure = from("https://ads.example/0", &servers).unwrap_err();
    assert_eq!(failure.code, Code::WrapperTimeout);
    assert_eq!(failure.error_urls, ["https://t.example/w-301"]);
    let budgets: Vec<u32> = servers.asked.borrow().iter().map(|(_, budget_ms)| *budget_ms).collect();
    assert_eq!(budgets, [1_000, 400]);
    // With nothing left nobody is asked.
    let servers =
        Servers::default().slow("https://ads.example/0", 1_000, vast(&wrapper("w", "https://ads.example/1", "", "")));
    let failure = from("https://ads.example/0", &servers).unwrap_err();
    assert_eq!((failure.code, failure.cause), (Code::WrapperTimeout, Cause::OutOfTime(1_000)));
    assert_eq!(servers.asked().len(), 1);
}

#[test]
fn no_ad_is_303_however_a_server_says_it() {
    for (nothing, told) in [(vast(""), Some("https://t.example/none-303")), (String::new(), None), (" \n".into(), None)]
    {
        let servers = Servers::default()
            .with("https://ads.example/0", vast(&wrapper("w", "https://ads.example/1", "", "")))
            .with("https://ads.example/1", nothing);
        let failure = from("https://ads.example/0", &servers).unwrap_err();
        assert_eq!((failure.code, &failure.cause), (Code::NoAd, &Cause::NoAd));
        let expected: Vec<&str> = ["https://t.example/w-303"].into_iter().chain(told).collect();
        assert_eq!(failure.error_urls, expected);
        assert_eq!(failure.chain.len(), 2);
    }
}

#[test]
fn who_is_not_allowed_is_never_asked() {
    for elsewhere in
        ["https://evil.example/", "http://ads.example/", "https://u:p@ads.example/", "https://ads.example:1/"]
    {
        let servers = Servers::default()
            .with("https://ads.example/0", vast(&wrapper("w", elsewhere, "", "")))
            .with(elsewhere, vast(&inline("ad", "")));
        let failure = from("https://ads.example/0", &servers).unwrap_err();
        assert_eq!(failure.code, Code::Wrapper, "{elsewhere}");
        assert!(matches!(failure.cause, Cause::Forbidden(_)), "{failure}");
        assert_eq!(servers.asked(), ["https://ads.example/0"], "{elsewhere}");
        let failure = from(elsewhere, &servers).unwrap_err();
        assert!(matches!(failure.cause, Cause::Forbidden(_)), "{failure}");
    }
    assert_eq!(from("https://evil.example/", &Servers::default()).unwrap_err().code, Code::Wrapper);
}

#[test]
fn whatever_keeps_a_document_away_has_its_code() {
    for (error, code) in [
        (FetchError::Timeout, Code::WrapperTimeout),
        (FetchError::Unavailable("503".into()), Code::WrapperTimeout),
        (FetchError::Refused("a private address".into()), Code::Wrapper),
        (FetchError::TooLong(7), Code::XmlParsing),
    ] {
        let servers = Servers::default()
            .with("https://ads.example/0", vast(&wrapper("w", "https://ads.example/1", "", "")))
            .failing("https://ads.example/1", error);
        let failure = from("https://ads.example/0", &servers).unwrap_err();
        assert_eq!((failure.code, failure.error_urls), (code, vec![format!("https://t.example/w-{code}")]));
    }
    let servers = Servers::default()
        .with("https://ads.example/0", vast(&wrapper("w", "https://ads.example/1", "", "")))
        .with("https://ads.example/1", "<html>no bid</html>");
    assert_eq!(from("https://ads.example/0", &servers).unwrap_err().code, Code::SchemaValidation);
}

#[test]
fn a_wrapper_behind_one_that_allows_none_is_ignored() {
    let servers = |flags| {
        Servers::default()
            .with("https://ads.example/0", vast(&wrapper("w0", "https://ads.example/1", flags, "")))
            .with("https://ads.example/1", vast(&wrapper("w1", "https://ads.example/2", "", "")))
            .with("https://ads.example/2", vast(&inline("ad", "")))
    };
    assert!(from("https://ads.example/0", &servers("followAdditionalWrappers=\"1\"")).is_ok());
    let closed = servers("followAdditionalWrappers=\"0\"");
    let failure = from("https://ads.example/0", &closed).unwrap_err();
    assert_eq!((failure.code, failure.cause), (Code::NoAd, Cause::WrapperNotAllowed));
    assert_eq!(closed.asked().len(), 2);
}

#[test]
fn a_pod_is_taken_whole_and_in_its_order_where_several_ads_are_allowed() {
    let pod = [inline("spare", ""), inline("b", "sequence=\"2\""), inline("a", "sequence=\"1\"")].concat();
    let servers = |flags| {
        Servers::default()
            .with("https://ads.example/0", vast(&wrapper("w", "https://ads.example/1", flags, "")))
            .with("https://ads.example/1", vast(&pod))
    };
    let many = servers("allowMultipleAds=\"true\"");
    assert_eq!(ids(&from("https://ads.example/0", &many).unwrap()), ["a", "b"]);
    assert_eq!(ids(&from("https://ads.example/1", &many).unwrap()), ["a", "b"]);
    let one = servers("");
    assert_eq!(ids(&from("https://ads.example/0", &one).unwrap()), ["spare"]);
    let only_pod = [inline("b", "sequence=\"2\""), inline("a", "sequence=\"1\"")].concat();
    let one = one.with("https://ads.example/1", vast(&only_pod));
    assert_eq!(ids(&from("https://ads.example/0", &one).unwrap()), ["a"]);
}

#[test]
fn another_ad_steps_in_where_a_wrapper_comes_to_nothing_and_allows_it() {
    let pod = |flags| {
        let wrapper = wrapper("w", "https://ads.example/nothing", flags, "sequence=\"1\"");
        vast(&[wrapper, inline("second", "sequence=\"2\""), inline("spare", "")].concat())
    };
    let resolve = |flags| {
        let servers = Servers::default().with("https://ads.example/nothing", vast(""));
        from("https://ads.example/0", &servers.with("https://ads.example/0", pod(flags))).unwrap()
    };
    let with = resolve("fallbackOnNoAd=\"true\"");
    assert_eq!((ids(&with), with.failures[0].code), (vec!["spare", "second"], Code::NoAd));
    assert_eq!(ids(&resolve("fallbackOnNoAd=\"false\"")), ["second"]);
    // Without a pod, the next that stands alone.
    let servers = Servers::default().with(
        "https://ads.example/0",
        vast(&[wrapper("w", "https://ads.example/x", "", ""), inline("a", ""), inline("b", "")].concat()),
    );
    let resolved = from("https://ads.example/0", &servers).unwrap();
    assert_eq!((ids(&resolved), resolved.failures[0].code), (vec!["a"], Code::WrapperTimeout));
}

#[test]
fn an_ad_of_a_category_that_a_wrapper_blocks_is_refused() {
    let servers = |id: &str| {
        Servers::default()
            .with("https://ads.example/0", vast(&wrapper("x", "https://ads.example/1", "", "")))
            .with("https://ads.example/1", vast(&inline(id, "")).replace("c-", ""))
    };
    assert!(from("https://ads.example/0", &servers("fine")).is_ok());
    let failure = from("https://ads.example/0", &servers("blocked-by-x")).unwrap_err();
    assert_eq!(failure.code, Code::CategoryBlocked);
    assert_eq!(failure.error_urls, ["https://t.example/x-205", "https://t.example/blocked-by-x-205"]);
}

#[test]
fn wrappers_that_branch_are_bounded_in_all() {
    // Every document has sixteen wrappers, each of another document like it.
    struct Branching(RefCell<usize>);
    impl Fetch for Branching {
        async fn fetch(&self, _: &Url, _: u32) -> Fetched {
            let mut count = self.0.borrow_mut();
            *count += 1;
            let ads: String = (0..16)
                .map(|index| {
                    let sequence = format!("sequence=\"{}\"", index + 1);
                    wrapper("w", &format!("https://ads.example/{count}/{index}"), "allowMultipleAds=\"1\"", &sequence)
                })
                .collect();
            Fetched { took_ms: 1, body: Ok(vast(&ads).into_bytes()) }
        }
    }
    let servers = Branching(RefCell::new(0));
    let url = Url::parse(TAG).unwrap();
    let policy = policy();
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(result) = pin!(resolve(Start::Url(&url), &servers, &policy)).poll(&mut context) else { panic!() };
    assert_eq!(result.unwrap_err().code, Code::WrapperLimit);
    assert_eq!(*servers.0.borrow(), policy.fetches_max);
}

#[test]
fn macros_of_a_tag_are_filled_before_it_is_called() {
    let document = vast(&wrapper("w", "https://ads.example/?cb=[CACHEBUSTING]&x=[UNKNOWN]", "", ""));
    let servers = Servers::default().with("https://ads.example/?cb=1234&x=[UNKNOWN]", vast(&inline("ad", "")));
    let policy = Policy { macros: BTreeMap::from([("CACHEBUSTING".into(), "1234".into())]), ..policy() };
    assert!(run(Start::Document(document.as_bytes()), &servers, &policy).is_ok(), "{:?}", servers.asked());
    // A macro cannot move a tag to another host.
    let document = vast(&wrapper("w", "https://ads.example[CACHEBUSTING].evil.example/", "", ""));
    assert!(run(Start::Document(document.as_bytes()), &servers, &policy).is_err());
    assert_eq!(servers.asked().len(), 1);
}
