use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{
    Router,
    http::{HeaderMap, header::LOCATION},
    routing::any,
};
use tokio::net::TcpListener;

use super::*;

const BOUNDS: Bounds =
    Bounds { deadline: Duration::from_secs(5), redirects_max: 3, body_bytes_max: 64, longer: Longer::Refused };

async fn server(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// A listener that nobody must reach, and what counts whoever does.
async fn forbidden(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, reached) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&reached);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, SeqCst);
        }
    });
    (address, reached)
}

/// A client that may call `exempt`, and whose names are resolved by `resolve`.
fn client(exempt: &[SocketAddr], resolve: impl Fn(&str) -> Vec<SocketAddr> + Send + Sync + 'static) -> Outbound {
    let resolve: Resolve = Arc::new(move |host, _| {
        let found = resolve(&host);
        Box::pin(async move { Ok(found) })
    });
    let exempt = exempt.iter().map(|address| address.to_string().parse().unwrap());
    Outbound::over(resolve, exempt, RootCertStore::empty())
}

fn redirect_to(url: &str) -> Router {
    let url = url.to_owned();
    Router::new().fallback(any(async move || (StatusCode::FOUND, [(LOCATION, url)])))
}

async fn fault(client: &Outbound, url: &str) -> Fault {
    client.get(url, &BOUNDS).await.unwrap_err().fault
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_public_however_it_is_written() {
    let (v4, reached) = forbidden("127.0.0.1:0").await;
    let (v6, reached_by_v6) = forbidden("[::1]:0").await;
    let client = Outbound::new([]);
    let (port, port_v6) = (v4.port(), v6.port());
    for (url, what) in [
        (format!("http://127.0.0.1:{port}/t"), "loopback"),
        (format!("https://127.0.0.1:{port}/t"), "loopback"),
        (format!("http://127.1:{port}/t"), "loopback"),
        (format!("http://2130706433:{port}/t"), "loopback"),
        (format!("http://0x7f.0.0.1:{port}/t"), "loopback"),
        (format!("http://0177.0.0.1:{port}/t"), "loopback"),
        (format!("http://localhost:{port}/t"), "loopback"),
        (format!("http://0.0.0.0:{port}/t"), "this network"),
        (format!("http://[::1]:{port_v6}/t"), "loopback"),
        (format!("http://[::ffff:127.0.0.1]:{port}/t"), "loopback"),
        (format!("http://[::]:{port}/t"), "not global unicast"),
        ("http://10.0.0.1/t".into(), "private"),
        ("http://169.254.169.254/latest/meta-data/".into(), "link-local"),
        ("http://[fd00:ec2::254]/".into(), "unique local"),
    ] {
        let fault = fault(&client, &url).await;
        let Fault::Connect(ConnectError::NotPublic { what: found, .. }) = &fault else { panic!("{url}: {fault}") };
        assert_eq!(*found, what, "{url}");
        assert!(fault.is_final());
    }
    assert_eq!((reached.load(SeqCst), reached_by_v6.load(SeqCst)), (0, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_the_public_ones_are_connected_to() {
    let public: SocketAddr = "1.0.0.0:80".parse().unwrap(); // nothing is sent there: this asks only what would be
    let private: SocketAddr = "10.0.0.1:80".parse().unwrap();
    for (found, left) in [(vec![public], Ok(vec![public])), (vec![private, public], Ok(vec![public]))] {
        assert_eq!(guard(found).addresses("vendor.example", 80).await, left);
    }
    let refused = guard(vec![private]).addresses("vendor.example", 80).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "vendor.example is 10.0.0.1, which is not public (private), and nothing is sent there"
    );
    let unresolved = guard(vec![]).addresses("vendor.example", 80).await;
    assert!(matches!(unresolved, Err(ConnectError::Unresolved { .. })));
}

fn guard(found: Vec<SocketAddr>) -> Guard {
    let resolve: Resolve = Arc::new(move |_, _| {
        let found = found.clone();
        Box::pin(async move { Ok(found) })
    });
    Guard { resolve, exempt: Arc::new(Exempt::Hosts(BTreeSet::new())), tls: tls(RootCertStore::empty()) }
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection_so_it_cannot_change_between_check_and_use() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let vendor = server(Router::new().fallback(async || "vendor")).await;
    let (private, reached) = forbidden("127.0.0.1:0").await;
    // The vendor at the first look and somebody else at the second, as a name does whose owner means harm.
    let resolve: Resolve = Arc::new(move |_, _| {
        let found = if LOOKUPS.fetch_add(1, SeqCst) == 0 { vendor } else { private };
        Box::pin(async move { Ok(vec![found]) })
    });
    let exempt = format!("vendor.example:{}", vendor.port()).parse::<HostPort>().unwrap();
    let client = Outbound::over(resolve, [exempt], RootCertStore::empty());
    let answer = client.get(&format!("http://vendor.example:{}/t", vendor.port()), &BOUNDS).await.unwrap();
    assert_eq!((answer.body.as_slice(), LOOKUPS.load(SeqCst)), (b"vendor".as_slice(), 1));
    assert_eq!(reached.load(SeqCst), 0);
}

#[tokio::test]
async fn an_exemption_is_for_one_host_and_one_port_as_the_url_names_them() {
    let vendor = server(Router::new().fallback(async || "ok")).await;
    let (other, reached) = forbidden("127.0.0.1:0").await;
    let exempt = client(&[vendor], move |_| vec![vendor]);
    let answer = exempt.get(&format!("http://{vendor}/t"), &BOUNDS).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"ok".as_slice()));
    for url in [format!("http://{other}/"), format!("http://vendor.example:{}/", vendor.port())] {
        assert!(matches!(fault(&exempt, &url).await, Fault::Connect(ConnectError::NotPublic { .. })), "{url}");
    }
    assert_eq!(reached.load(SeqCst), 0);
    for odd in ["", "127.0.0.1", "a:b", "a/b:1", "user@a:1", "http://a:1", "a:1/x", "a:99999"] {
        assert_eq!(odd.parse::<HostPort>(), Err(NotHostPort), "{odd}");
    }
    assert_eq!("[::1]:80".parse(), Ok(HostPort { host: "[::1]".into(), port: 80 }));
}

#[tokio::test]
async fn every_redirect_is_checked_like_the_first_url_and_their_number_is_bounded() {
    let (private, reached) = forbidden("127.0.0.1:0").await;
    let away = server(redirect_to(&format!("http://{private}/internal"))).await;
    let hop = server(redirect_to(&format!("http://{away}/"))).await;
    let round = server(redirect_to("/again")).await;
    let elsewhere = server(redirect_to("file:///etc/passwd")).await;
    let client = client(&[away, hop, round, elsewhere], |_| vec![]);
    let error = client.get(&format!("http://{hop}/"), &BOUNDS).await.unwrap_err();
    assert!(matches!(error.fault, Fault::Connect(ConnectError::NotPublic { .. })), "{error}");
    assert_eq!(error.url, format!("http://{private}/internal"));
    assert_eq!(reached.load(SeqCst), 0);
    assert_eq!(fault(&client, &format!("http://{round}/")).await, Fault::TooManyRedirects(3));
    let file = fault(&client, &format!("http://{elsewhere}/")).await;
    assert_eq!(file, Fault::Url("its scheme is neither http nor https"));
    let not_followed = Bounds { redirects_max: 0, ..BOUNDS };
    let answer = client.get(&format!("http://{hop}/"), &not_followed).await.unwrap();
    assert_eq!(answer.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_call_says_who_calls_and_nothing_of_whom_it_is_for() {
    let heads = |headers: HeaderMap| async move {
        let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        format!("{} {:?}", names.join(" "), headers[header::USER_AGENT])
    };
    let vendor = server(Router::new().fallback(heads)).await;
    let answer = client(&[vendor], |_| vec![]).get(&format!("http://{vendor}/a?b=c#d"), &BOUNDS).await.unwrap();
    let said = String::from_utf8(answer.body).unwrap();
    assert_eq!(said, format!("accept host user-agent {USER_AGENT:?}"));
    assert_eq!(answer.url, format!("http://{vendor}/a?b=c"));
}

#[tokio::test]
async fn what_is_no_url_to_call_is_called_nowhere() {
    let client = client(&[], |_| panic!("it was looked up"));
    for url in [
        "",
        "/t",
        "ftp://a.example/",
        "javascript:alert(1)",
        "http://",
        "http://user@a.example/",
        "http://:p@a.example/",
    ] {
        let fault = fault(&client, url).await;
        assert!(matches!(fault, Fault::Url(_)) && fault.is_final(), "{url}: {fault}");
    }
    assert!(matches!(fault(&client, &format!("http://a.example/{}", "x".repeat(URL_BYTES_MAX))).await, Fault::Url(_)));
}

#[tokio::test]
async fn a_body_past_its_bound_is_refused_or_cut_off_and_a_slow_one_ends_the_call() {
    let vendor = server(
        Router::new()
            .route("/long", any(async || "x".repeat(1_000_000)))
            .route("/slow", any(async || tokio::time::sleep(Duration::from_mins(1)).await)),
    )
    .await;
    let client = client(&[vendor], |_| vec![]);
    assert_eq!(fault(&client, &format!("http://{vendor}/long")).await, Fault::TooLarge(64));
    let cut = Bounds { longer: Longer::CutOff, ..BOUNDS };
    assert_eq!(client.get(&format!("http://{vendor}/long"), &cut).await.unwrap().body.len(), 64);
    let hasty = Bounds { deadline: Duration::from_millis(100), ..BOUNDS };
    let error = client.get(&format!("http://{vendor}/slow"), &hasty).await.unwrap_err();
    assert_eq!(error.fault, Fault::TimedOut(hasty.deadline));
    assert!(!error.fault.is_final());
}

#[tokio::test]
async fn what_speaks_no_tls_gets_no_request() {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let vendor = server(Router::new().fallback(async || REQUESTS.fetch_add(1, SeqCst).to_string())).await;
    let fault = fault(&client(&[vendor], |_| vec![]), &format!("https://{vendor}/t")).await;
    assert!(matches!(fault, Fault::Connect(ConnectError::Tls { .. })), "{fault}");
    assert_eq!(REQUESTS.load(SeqCst), 0);
}
