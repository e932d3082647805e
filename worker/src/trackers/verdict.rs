//! What becomes of a call after an answer, or after none.

use hyper::header;
use jiff::fmt::rfc2822::DateTimeParser;
use slotkeeper_core::time::UnixMillis;

use super::{
    Limits, millis,
    queue::Job,
    vendor::{Health, RETRY_AFTER_MS_MAX},
};
use crate::outbound::{Answer, OutboundError};

/// The longest wait between two tries.
const BACKOFF_MS_MAX: u64 = 3_600_000;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The vendor has answered: it is done.
    Delivered,
    /// It is tried again.
    Again {
        /// Not before then.
        at: UnixMillis,
        /// Where: the URL that failed, so that those who redirected there are not called twice.
        url: String,
        /// Why.
        why: String,
    },
    /// It is given up.
    Dead {
        /// Why.
        why: String,
    },
}

/// Judges the outcome of `job`.
///
/// Any 2xx, and a 3xx that leads nowhere, is delivered. No answer, 408, 425, 429 and 5xx are tried again, not before a
/// `Retry-After`. Any other 4xx, a URL that cannot be called, an address that is not public and too many redirects are final.
pub(super) fn judge(
    job: &Job,
    outcome: Result<Answer, OutboundError>,
    limits: &Limits,
    now: UnixMillis,
) -> (Verdict, Health) {
    let (url, why, asked) = match outcome {
        Ok(answer) => {
            let status = answer.status.as_u16();
            let why = format!("answered {status}");
            match status {
                408 | 425 | 429 | 500..=599 => (answer.url.clone(), why, retry_after(&answer, now)),
                200..=399 => return (Verdict::Delivered, Health::Up),
                _ => return (Verdict::Dead { why }, Health::Up),
            }
        }
        // What is wrong is the URL: that says nothing of the vendor.
        Err(error) if error.fault.is_final() => return (Verdict::Dead { why: error.to_string() }, Health::Up),
        Err(error) => (error.url.clone(), error.to_string(), None),
    };
    let health = asked.map_or(Health::Failing, Health::Busy);
    if job.attempts >= limits.attempts_max {
        return (Verdict::Dead { why: format!("given up after {} attempts: {why}", job.attempts) }, health);
    }
    let at = now.plus_ms(backoff_ms(job, limits)).max(asked.unwrap_or_default());
    if at >= job.give_up_at {
        return (Verdict::Dead { why: format!("given up for its age: {why}") }, health);
    }
    (Verdict::Again { at, url, why }, health)
}

/// The wait after the attempt that failed just now: four times as long each time, less up to half of it. How much less is
/// the call's own, so calls that failed together do not come back together.
fn backoff_ms(job: &Job, limits: &Limits) -> u64 {
    let quadruplings = job.attempts.saturating_sub(1).min(16);
    let full = millis(limits.backoff).saturating_mul(1 << (2 * quadruplings)).min(BACKOFF_MS_MAX);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&job.firing_id.to_le_bytes());
    hasher.update(&job.attempts.to_le_bytes());
    let share = u64::from(hasher.finalize().as_bytes()[0]); // of 255
    full - full / 2 * share / 255
}

/// When a vendor asks to be called again: in seconds, or at an HTTP date.
fn retry_after(answer: &Answer, now: UnixMillis) -> Option<UnixMillis> {
    let text = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let date = || DateTimeParser::new().parse_timestamp(text).ok();
    let at = match text.parse::<u64>().ok() {
        Some(seconds) => now.plus_ms(seconds.saturating_mul(1_000)),
        None => UnixMillis(u64::try_from(date()?.as_millisecond()).unwrap_or(0)),
    };
    Some(at.min(now.plus_ms(RETRY_AFTER_MS_MAX)))
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;
    use crate::outbound::{ConnectError, Fault};

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn job(attempts: u32) -> Job {
        Job {
            firing_id: 7,
            vendor: "v.example".into(),
            url: "https://v.example/t".into(),
            attempts,
            give_up_at: NOW.plus_ms(72 * 3_600_000),
        }
    }

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        retry_after.map(|text| headers.insert(header::RETRY_AFTER, text.parse().unwrap()));
        let url = "https://v.example/next".into();
        Answer { url, status: StatusCode::from_u16(status).unwrap(), headers, body: vec![] }
    }

    fn failure(fault: Fault) -> OutboundError {
        OutboundError { url: "https://v.example/next".into(), fault }
    }

    fn judged(attempts: u32, outcome: Result<Answer, OutboundError>) -> (Verdict, Health) {
        judge(&job(attempts), outcome, &Limits::default(), NOW)
    }

    #[test]
    fn an_answer_decides_what_becomes_of_a_call() {
        for status in [200, 204, 206, 304, 302] {
            assert_eq!(judged(1, Ok(answer(status, None))), (Verdict::Delivered, Health::Up), "{status}");
        }
        for status in [400, 401, 403, 404, 410, 451] {
            let dead = Verdict::Dead { why: format!("answered {status}") };
            assert_eq!(judged(1, Ok(answer(status, None))), (dead, Health::Up));
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            let (Verdict::Again { at, url, why }, Health::Failing) = judged(1, Ok(answer(status, None))) else {
                panic!("{status}")
            };
            assert!((NOW.plus_ms(5_000)..=NOW.plus_ms(10_000)).contains(&at), "{status}");
            assert_eq!((url.as_str(), why), ("https://v.example/next", format!("answered {status}")));
        }
        for fault in [Fault::TimedOut(Limits::default().deadline), Fault::Broken("reset".into())] {
            assert!(matches!(judged(1, Err(failure(fault))), (Verdict::Again { .. }, Health::Failing)));
        }
        let private = ConnectError::NotPublic { host: "v".into(), address: [10, 0, 0, 1].into(), what: "private" };
        for fault in [Fault::Url("odd"), Fault::TooManyRedirects(3), Fault::Connect(private)] {
            assert!(matches!(judged(1, Err(failure(fault))), (Verdict::Dead { .. }, Health::Up)));
        }
    }

    #[test]
    fn a_retry_after_is_heeded_in_seconds_and_as_a_date() {
        for (text, wait_ms) in [
            ("120", 120_000),
            ("0", 0),
            ("Wed, 18 Nov 2026 11:08:40 GMT", 120_000),
            ("999999999999999999", RETRY_AFTER_MS_MAX),
        ] {
            let (Verdict::Again { at, .. }, health) = judged(1, Ok(answer(429, Some(text)))) else { panic!("{text}") };
            assert_eq!(health, Health::Busy(NOW.plus_ms(wait_ms)), "{text}");
            assert!(at >= NOW.plus_ms(wait_ms.max(5_000)), "{text}");
        }
        assert!(matches!(judged(1, Ok(answer(429, Some("soon")))), (Verdict::Again { .. }, Health::Failing)));
    }

    #[test]
    fn tries_are_spread_over_hours_and_end() {
        let waits: Vec<u64> = (1..8)
            .map(|attempts| match judged(attempts, Ok(answer(503, None))).0 {
                Verdict::Again { at, .. } => at.since_ms(NOW),
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(waits.windows(2).all(|two| two[0] < two[1] || two[1] >= BACKOFF_MS_MAX / 2), "{waits:?}");
        assert!((3_600_000..4 * 3_600_000).contains(&waits.iter().sum::<u64>()), "{waits:?}");
        let dead = Verdict::Dead { why: "given up after 8 attempts: answered 503".into() };
        assert_eq!(judged(8, Ok(answer(503, None))).0, dead);
        let old = Job { give_up_at: NOW.plus_ms(1_000), ..job(1) };
        let dead = Verdict::Dead { why: "given up for its age: answered 503".into() };
        assert_eq!(judge(&old, Ok(answer(503, None)), &Limits::default(), NOW).0, dead);
    }
}
