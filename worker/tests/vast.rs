//! Wrappers over real HTTP, and `slotkeeper vast check`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    future::pending,
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;
use slotkeeper::{
    clock,
    contracts::{Contracts, Format},
    data_dir::DataDir,
    plan,
    registry::Registry,
    vast::{Kept, RefreshOutcome, Report, WebFetch, refresh, report},
};
use slotkeeper_core::keys::Keyring;
use slotkeeper_vast::{
    Policy,
    bounds::DOCUMENT_BYTES_MAX,
    policy::Schemes,
    resolve,
    resolve::{Fetch, Start},
};
use url::Url;

/// An ad server on this machine: `/chain/N` is a wrapper of N-1, and so on to an ad.
#[derive(Clone)]
struct AdServer {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl AdServer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { host: listener.local_addr().unwrap().to_string(), asked: Arc::default() };
        let routes = Router::new().route("/{*path}", get(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        server
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}/{path}", self.host)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Allows this server, and others without a port.
    fn policy(&self, others: &[&str]) -> Policy {
        let hosts = others.iter().copied().chain([self.host.as_str()]).map(|host| host.parse().unwrap()).collect();
        Policy { hosts, schemes: Schemes::HttpToo, budget_ms: 10_000, ..Policy::default() }
    }

    async fn check(&self, path: &str) -> Report {
        self.check_under(path, &self.policy(&[])).await
    }

    async fn check_under(&self, path: &str, policy: &Policy) -> Report {
        report(resolve(Start::Url(&self.url(path)), &WebFetch::new(policy), policy).await)
    }
}

const AD: &str = r#"<VAST version="4.2"><Ad id="ad"><InLine><AdSystem>x</AdSystem><Impression>https://t.example/ad</Impression>
<Error>https://t.example/ad-[ERRORCODE]</Error><Creatives><Creative><Linear><Duration>00:00:10</Duration><MediaFiles>
<MediaFile type="video/mp4" width="2" height="2">https://m.example/1.mp4</MediaFile></MediaFiles></Linear></Creative></Creatives>
</InLine></Ad></VAST>"#;

fn wrapper(name: &str, uri: &str) -> String {
    format!(
        r#"<VAST version="4.2"><Ad id="{name}"><Wrapper><AdSystem>x</AdSystem><VASTAdTagURI><![CDATA[{uri}]]></VASTAdTagURI>
        <Impression>https://t.example/{name}</Impression><Error>https://t.example/{name}-[ERRORCODE]</Error></Wrapper></Ad></VAST>"#
    )
}

async fn answer(State(server): State<AdServer>, Path(path): Path<String>) -> Response {
    server.asked.lock().unwrap().push(path.clone());
    let of_server = |path: &str| wrapper(path, server.url(path).as_str());
    let redirect = |to: String| (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    let (kind, rest) = path.split_once('/').unwrap_or((&path, ""));
    match kind {
        "chain" if rest == "0" => AD.into_response(),
        "chain" => of_server(&format!("chain/{}", rest.parse::<u32>().unwrap() - 1)).into_response(),
        "loop" => of_server("loop").into_response(),
        // Behind a wrapper, so that it is the wrapper that hears of it.
        "behind" => of_server(rest).into_response(),
        "elsewhere" => wrapper("w", &format!("http://{rest}")).into_response(),
        "slow" => pending().await,
        "empty" => "<VAST version=\"4.2\"/>".into_response(),
        "nothing" => StatusCode::NO_CONTENT.into_response(),
        "broken" => "<VAST".into_response(),
        "long" => " ".repeat(DOCUMENT_BYTES_MAX + 1).into_response(),
        "redirect" => redirect(rest.replace("here", &server.host)),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn five_wrappers_are_followed_and_a_sixth_is_302() {
    let server = AdServer::start().await;
    let found = server.check("chain/5").await;
    assert_eq!((found.fetches, found.ads.len(), found.ads[0].chain.len()), (Some(6), 1, 6));
    let called: Vec<&str> = found.ads[0]
        .creative
        .trackers
        .iter()
        .map(|tracker| tracker.url.as_str())
        .filter(|url| !url.contains('['))
        .collect();
    let expected =
        ["chain/4", "chain/3", "chain/2", "chain/1", "chain/0", "ad"].map(|name| format!("https://t.example/{name}"));
    assert_eq!(called, expected, "what each wrapper asks for is called, the outermost first");
    let asked = server.asked().len();
    let failure = &server.check("chain/6").await.failures[0];
    assert_eq!((failure.code, failure.error_urls.len()), (302, 6));
    assert_eq!(server.asked().len() - asked, 6, "the seventh document was not asked for");
}

#[tokio::test]
async fn whatever_is_behind_a_wrapper_has_its_code() {
    let server = AdServer::start().await;
    for (path, code) in [
        ("loop", 302),
        ("behind/empty", 303),
        ("behind/nothing", 303),
        ("behind/broken", 100),
        ("behind/long", 100),
        ("behind/missing", 301),
        ("empty", 303),
        ("missing", 301),
        ("long", 100),
    ] {
        let report = server.check(path).await;
        assert_eq!((report.ads.len(), report.failures[0].code), (0, code), "{path}: {:?}", report.failures);
        if path.starts_with("behind") {
            let expected = format!("https://t.example/{}-{code}", &path[7..]);
            assert_eq!(report.failures[0].error_urls, [expected]);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_301() {
    let server = AdServer::start().await;
    let policy = Policy { budget_ms: 300, ..server.policy(&[]) };
    let asked = tokio::time::timeout(Duration::from_mins(1), server.check_under("behind/slow", &policy));
    let report = asked.await.expect("the deadline holds");
    assert_eq!(
        (report.failures[0].code, report.failures[0].error_urls.as_slice()),
        (301, &["https://t.example/slow-301".into()][..])
    );
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_never_asked() {
    let (server, other) = (AdServer::start().await, AdServer::start().await);
    let failure = &server.check(&format!("elsewhere/{}/chain/0", other.host)).await.failures[0];
    assert_eq!(failure.code, 300, "{failure:?}");
    let redirected = &server.check(&format!("behind/redirect/http://{}/chain/0", other.host)).await.failures[0];
    assert_eq!(redirected.code, 300, "{redirected:?}");
    assert!(redirected.message.contains("not allowed"), "{redirected:?}");
    let policy = server.policy(&[]);
    let first = report(resolve(Start::Url(&other.url("chain/0")), &WebFetch::new(&policy), &policy).await);
    assert_eq!(first.failures[0].code, 300);
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_named_with_its_port() {
    let server = AdServer::start().await;
    // Allowed as hosts, and yet not as places in our own network.
    let policy = server.policy(&["localhost", "169.254.169.254", "127.0.0.1", "[::1]"]);
    for place in ["localhost", "169.254.169.254", "127.0.0.1", "[::1]", "2130706433"] {
        for path in [format!("elsewhere/{place}/latest"), format!("redirect/http://{place}/latest")] {
            let failure = &server.check_under(&path, &policy).await.failures[0];
            assert_eq!(failure.code, 300, "{path}: {failure:?}");
            assert!(failure.message.contains("not public"), "{path}: {failure:?}");
        }
    }
    // `redirect/http://here/chain/0` leads back to this server, which is named with its port.
    assert_eq!(server.check_under("redirect/http://here/chain/0", &policy).await.ads.len(), 1);
}

#[tokio::test]
async fn redirects_end() {
    let server = AdServer::start().await;
    let redirects = |count: usize| format!("{}chain/0", "redirect/http://here/".repeat(count));
    // The path names them all, and the server replaces "here" in each.
    assert_eq!(server.check(&redirects(3)).await.ads.len(), 1);
    assert_eq!(server.check(&redirects(4)).await.failures[0].code, 300);
}

#[tokio::test]
async fn a_kept_document_is_not_asked_for_again() {
    let server = AdServer::start().await;
    let policy = server.policy(&[]);
    let kept = Kept::new(WebFetch::new(&policy), Duration::from_mins(10));
    let url = server.url("chain/2");
    let first = report(resolve(Start::Url(&url), &kept, &policy).await);
    let second = report(resolve(Start::Url(&url), &kept, &policy).await);
    assert_eq!((first.ads.len(), &first), (1, &second));
    assert_eq!(server.asked().len(), 3);
    kept.fetch(&server.url("missing"), 1_000).await.body.unwrap_err();
    kept.fetch(&server.url("missing"), 1_000).await.body.unwrap_err();
    assert_eq!(server.asked().len(), 5, "a failure is asked for again");
}

fn sample(name: &str) -> String {
    format!("{}/../core/vast/samples/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn check(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slotkeeper")).env_clear().args(["vast", "check"]).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_program_tells_what_a_document_holds() {
    let output = check(&[&sample("full_4_3.xml")]);
    assert!(output.status.success(), "{output:?}");
    for expected in [
        "universal id KETL0001000H",
        "duration     20500 ms",
        "media        application/vnd.apple.mpegurl 0x0 https://media.example/master.m3u8",
        "tracker      start https://measure.example/i?a=1&b=2",
        "verification measure.example-omid https://measure.example/omid.js",
        "not reported progress, 2 times",
    ] {
        assert!(said(&output).contains(expected), "{expected}: {}", said(&output));
    }
    let json: Value = serde_json::from_slice(&check(&[&sample("full_4_3.xml"), "--json"]).stdout).unwrap();
    assert_eq!(json["ads"][0]["trackers_by_event"]["start"], 3);
    assert_eq!(json["ads"][0]["creative"]["duration_ms"], 20_500);
}

#[test]
fn the_program_refuses_with_the_code_and_the_path() {
    let output = check(&[&sample("no_duration.xml")]);
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "refused: 101 VAST schema validation error: VAST/Ad/InLine/Creatives/Creative/Linear: expected Duration";
    assert!(said(&output).starts_with(expected), "{}", said(&output));
    let wrapper = check(&[&sample("wrapper.xml")]);
    assert_eq!(wrapper.status.code(), Some(1));
    assert!(said(&wrapper).contains("refused: 300"), "{wrapper:?}");
    assert!(said(&wrapper).contains("to be called https://reseller.example/e?300"), "{wrapper:?}");
    let json: Value = serde_json::from_slice(&check(&[&sample("hostile_laughs.xml"), "--json"]).stdout).unwrap();
    assert_eq!(json["failures"][0]["code"], 100);
    assert_eq!(check(&["no/such/file.xml"]).status.code(), Some(1));
}

#[test]
fn the_program_tells_of_a_folder_in_a_table() {
    let output = check(&[&sample("")]);
    assert!(output.status.success(), "{output:?}");
    let lines = said(&output);
    assert!(lines.lines().any(|line| line.starts_with("version_5.xml") && line.contains("  102  ")), "{lines}");
    assert_eq!(lines.lines().count(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_follows_wrappers_from_hosts_that_it_is_told() {
    let server = AdServer::start().await;
    let url = server.url("chain/2").to_string();
    assert_eq!(check(&[&url]).status.code(), Some(1), "nobody is allowed");
    assert_eq!(check(&[&url, "--allow-host", &server.host]).status.code(), Some(1), "plain http is not");
    assert_eq!(server.asked().len(), 0);
    let output = check(&[&url, "--allow-host", &server.host, "--allow-http"]);
    assert!(output.status.success(), "{output:?}");
    assert!(said(&output).contains(&format!("from         {url} (x, ad chain/1)")), "{}", said(&output));
}

/// A creative whose video this tag names, in a flight of its own.
fn booking(tag: &Url) -> String {
    format!(
        r#"
[[advertisers]]
id = "brand"
name = "Brand"

[[campaigns]]
id = "campaign"
advertiser = "brand"
name = "Campaign"

[[creatives]]
id = "theirs"
advertiser = "brand"
name = "Theirs"
vast = "{tag}"

[[creatives.trackers]]
event = "complete"
url = "https://ours.example/complete"

[[flights]]
id = "flight"
campaign = "campaign"
class = "house"
start = "2020-01-01"
end = "2090-01-01"
creatives = ["theirs"]
"#
    )
}

fn keys() -> Keyring {
    Keyring::parse(&format!("1:{:064x}", 7)).unwrap()
}

fn book(folder: &std::path::Path, tag: &Url) -> Contracts {
    let mut contracts = Contracts::open(&DataDir::open(folder).unwrap().contracts()).unwrap();
    contracts.import("test.toml", &booking(tag), Format::Toml).unwrap();
    contracts
}

#[tokio::test]
async fn a_creative_that_is_a_third_partys_vast_is_sold_as_it_was_read_last() {
    let server = AdServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut contracts = book(folder.path(), &server.url("chain/1"));
    assert_eq!(contracts.booked().unwrap().unresolved().into_iter().collect::<Vec<_>>(), ["theirs"]);

    let policy = server.policy(&[]);
    let now = clock::now();
    let refreshed = refresh(&mut contracts, &WebFetch::new(&policy), &policy, now).await.unwrap();
    assert_eq!((refreshed.len(), &refreshed[0].outcome), (1, &RefreshOutcome::Changed));
    let again = refresh(&mut contracts, &WebFetch::new(&policy), &policy, now).await.unwrap();
    assert_eq!(again[0].outcome, RefreshOutcome::Same);
    let booked = contracts.booked().unwrap();
    let ad = &booked.flights[0].ads[0];
    assert!(booked.unresolved().is_empty());
    assert_eq!((ad.duration_ms, ad.media[0].url.as_str()), (10_000, "https://m.example/1.mp4"));
    let called: Vec<_> = ad.trackers.iter().map(|tracker| (tracker.event.as_str(), tracker.url.as_str())).collect();
    let on_start = [("start", "https://t.example/chain/0"), ("start", "https://t.example/ad")];
    assert_eq!(called[0], ("complete", "https://ours.example/complete"), "what is booked stands before what was read");
    assert!(on_start.iter().all(|one| called.contains(one)), "{called:?}");

    // The plan sells it, and its record is known before any edge can mint a token of it.
    let made = plan::make(&mut contracts, &plan::Feedback::default(), None, &keys(), now).unwrap();
    let sold = &made.source.flights[0].ads[0];
    assert_eq!((sold.duration_ms, made.unresolved.len()), (10_000, 0));
    let mut registry = Registry::open(&DataDir::open(folder.path()).unwrap().contracts()).unwrap();
    assert_eq!(registry.get(sold.record_id).unwrap().unwrap().trackers, ad.trackers);
}

#[tokio::test]
async fn a_tag_that_fails_keeps_what_it_had_and_one_of_another_url_has_nothing() {
    let server = AdServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut contracts = book(folder.path(), &server.url("chain/0"));
    let (policy, now) = (server.policy(&[]), clock::now());
    refresh(&mut contracts, &WebFetch::new(&policy), &policy, now).await.unwrap();
    // Nobody is allowed any more.
    let nobody = Policy::default();
    let refused = refresh(&mut contracts, &WebFetch::new(&nobody), &nobody, now).await.unwrap();
    assert!(matches!(refused[0].outcome, RefreshOutcome::Refused { code: 300, .. }), "{refused:?}");
    assert!(refused[0].is_known && contracts.booked().unwrap().unresolved().is_empty());
    // Another tag is another video: what the old one said is not sold for it.
    let mut contracts = book(folder.path(), &server.url("empty"));
    assert_eq!(contracts.booked().unwrap().unresolved().len(), 1);
    let refused = refresh(&mut contracts, &WebFetch::new(&policy), &policy, now).await.unwrap();
    assert!(matches!(refused[0].outcome, RefreshOutcome::Refused { code: 303, .. }) && !refused[0].is_known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_refreshes_what_is_booked_and_says_what_it_could_not() {
    let server = AdServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    drop(book(folder.path(), &server.url("chain/0")));
    let data = folder.path().to_str().unwrap().to_owned();
    let run = move |hosts: &[&str]| {
        let hosts = hosts.iter().flat_map(|host| ["--allow-host", host]);
        let program = Command::new(env!("CARGO_BIN_EXE_slotkeeper"))
            .args(["vast", "refresh", "--data", &data, "--allow-http"])
            .args(hosts)
            .output()
            .unwrap();
        (program.status.code(), String::from_utf8(program.stdout).unwrap())
    };
    let (code, said) = run(&[]);
    assert!(code == Some(1) && said.contains("refused, 300") && said.contains("left out"), "{said}");
    let (code, said) = run(&[&server.host]);
    assert!(code == Some(0) && said.contains("new") && said.contains("known"), "{said}");
}
