//! A bounded load generator: some keep-alive connections, a fixed number of requests, their latencies.
//!
//! `load URL CONNECTIONS REQUESTS [BODY]` sends GET, or POST with the body as JSON, where `{n}` is the request's number
//! and `{profile}` one of [`PROFILES`] in turn. It prints one JSON object. Any answer but 2xx ends the run with an error:
//! a rate of failures is not a rate.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

const CONNECTIONS_MAX: usize = 256;
const PROFILES: u64 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(30);
const STORE_TRIPS: &str = "x-slotkeeper-store-trips";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (url, connections, requests, body) = match &arguments[..] {
        [url, connections, requests] => (url, connections, requests, None),
        [url, connections, requests, body] => (url, connections, requests, Some(body.as_str())),
        _ => bail!("usage: load URL CONNECTIONS REQUESTS [BODY]"),
    };
    let (connections, requests): (usize, u64) = (connections.parse()?, requests.parse()?);
    ensure!(
        (1..=CONNECTIONS_MAX).contains(&connections),
        "{connections} connections; 1 to {CONNECTIONS_MAX} are allowed"
    );
    let target = Target::parse(url, body)?;

    let next = AtomicU64::new(0);
    let start = Instant::now();
    let results = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(|| target.send_until(&next, requests))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a connection panicked")))
            .collect::<Vec<_>>()
    });
    let elapsed = start.elapsed();

    let mut seen = Seen::default();
    for result in results {
        seen.add(result?);
    }
    ensure!(!seen.latencies.is_empty(), "no request was sent");
    seen.latencies.sort_unstable();
    let count = f64::from(u32::try_from(seen.latencies.len()).context("too many requests to count")?);
    let trips: BTreeMap<_, _> =
        seen.store_trips.iter().map(|(store, trips)| (store, f64::from(*trips) / count)).collect();
    let report = json!({
        "requests": seen.latencies.len(),
        "per_s": count / elapsed.as_secs_f64(),
        "p50_ms": percentile_ms(&seen.latencies, 50),
        "p99_ms": percentile_ms(&seen.latencies, 99),
        "store_trips": trips,
    });
    println!("{report}");
    Ok(())
}

/// What the answers were like.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    store_trips: BTreeMap<String, u32>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (store, trips) in other.store_trips {
            *self.store_trips.entry(store).or_default() += trips;
        }
    }
}

struct Target<'a> {
    authority: &'a str,
    path: &'a str,
    body: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str, body: Option<&'a str>) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
        let (authority, path) = rest.split_at(rest.find('/').with_context(|| format!("{url} has no path"))?);
        Ok(Self { authority, path, body })
    }

    /// One connection's share: requests until the common number is reached.
    fn send_until(&self, next: &AtomicU64, requests: u64) -> Result<Seen> {
        let stream =
            TcpStream::connect(self.authority).with_context(|| format!("cannot connect to {}", self.authority))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut reader = BufReader::new(stream);
        let mut seen = Seen::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= requests {
                return Ok(seen);
            }
            let request = self.request(number)?;
            let start = Instant::now();
            reader.get_mut().write_all(request.as_bytes())?;
            let answer = Answer::read(&mut reader)?;
            seen.latencies.push(start.elapsed());
            answer.check(number)?;
            for (store, trips) in answer.store_trips {
                *seen.store_trips.entry(store).or_default() += trips;
            }
        }
    }

    fn request(&self, number: u64) -> Result<String> {
        let mut text = String::new();
        let method = if self.body.is_some() { "POST" } else { "GET" };
        write!(text, "{method} {} HTTP/1.1\r\nhost: {}\r\n", self.path, self.authority)?;
        if let Some(template) = self.body {
            let profile = (number % PROFILES).to_string();
            let body = template.replace("{n}", &number.to_string()).replace("{profile}", &profile);
            write!(text, "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
        } else {
            text.push_str("\r\n");
        }
        Ok(text)
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    store_trips: Vec<(String, u32)>,
}

impl Answer {
    fn read(reader: &mut BufReader<TcpStream>) -> Result<Self> {
        let status_line = line(reader)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("not an HTTP answer: {status_line:?}"))?;
        let (mut length, mut chunked, mut store_trips) = (None, false, Vec::new());
        loop {
            let header = line(reader)?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').with_context(|| format!("not a header: {header:?}"))?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse::<u64>()?),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                STORE_TRIPS => store_trips = parse_trips(value)?,
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            while read_chunk(reader, &mut body)? {}
        } else {
            let length = length.context("an answer has neither a content-length nor chunks")?;
            reader.take(length).read_to_end(&mut body)?;
        }
        Ok(Self { status, body, store_trips })
    }

    fn check(&self, number: u64) -> Result<()> {
        let text = String::from_utf8_lossy(&self.body);
        ensure!((200..300).contains(&self.status), "request {number} was answered {}: {text}", self.status);
        Ok(())
    }
}

fn line(reader: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the server closed the connection within an answer");
    Ok(line.trim_end().to_owned())
}

/// Whether there may be another chunk.
fn read_chunk(reader: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Result<bool> {
    let head = line(reader)?;
    let length = u64::from_str_radix(head.split(';').next().unwrap_or_default(), 16)
        .with_context(|| format!("not the length of a chunk: {head:?}"))?;
    reader.take(length).read_to_end(body)?;
    line(reader)?; // the end of the chunk; after the last one, of the answer
    Ok(length > 0)
}

/// `sqlite=2 key-value=0`
fn parse_trips(value: &str) -> Result<Vec<(String, u32)>> {
    let pair = |part: &str| {
        let (store, trips) =
            part.split_once('=').with_context(|| format!("{STORE_TRIPS}: {part:?} is not STORE=NUMBER"))?;
        Ok((store.to_owned(), trips.parse()?))
    };
    value.split_whitespace().map(pair).collect()
}

/// By nearest rank.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1].as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_occurred() {
        let latencies: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert!((percentile_ms(&latencies, 50) - 100.0).abs() < 1e-9);
        assert!((percentile_ms(&latencies, 99) - 198.0).abs() < 1e-9);
        assert!((percentile_ms(&latencies[..1], 99) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn trips_are_counted_by_store() {
        assert_eq!(parse_trips("sqlite=2 key-value=0").unwrap(), [("sqlite".into(), 2), ("key-value".into(), 0)]);
        assert!(parse_trips("two").is_err());
    }

    #[test]
    fn every_request_has_a_number_of_its_own() {
        let target = Target::parse("http://127.0.0.1:1/v1/breaks", Some(r#"{"request_id":"r{n}"}"#)).unwrap();
        let request = target.request(7).unwrap();
        assert!(
            request.starts_with("POST /v1/breaks HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"request_id\":\"r7\"}")
        );
        assert!(request.contains("content-length: 19\r\n"));
    }
}
