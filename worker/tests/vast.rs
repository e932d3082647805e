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
use slotkeeper::vast::{Kept, Report, WebFetch, report};
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
