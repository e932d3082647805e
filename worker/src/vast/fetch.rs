//! Fetching VAST: from hosts that were allowed, at every hop.

use std::time::{Duration, Instant};

use slotkeeper_vast::{
    Policy,
    bounds::DOCUMENT_BYTES_MAX,
    resolve::{Fetch, FetchError, Fetched},
};
use url::Url;

use crate::outbound::{Answer, Bounds, Fault, HostPort, Longer, Outbound};

/// How many redirects are followed for one document.
const REDIRECTS_MAX: usize = 3;

/// Fetches over HTTP. Every redirect is held against the policy like the first URL, and nothing leads to a private address
/// but a host that the policy names with its port.
pub struct WebFetch {
    policy: Policy,
    outbound: Outbound,
}

impl WebFetch {
    /// A fetcher for whom `policy` allows.
    pub fn new(policy: &Policy) -> Self {
        let exempt = policy.named_with_port().filter_map(|host| host.parse::<HostPort>().ok());
        Self { policy: policy.clone(), outbound: Outbound::new(exempt) }
    }

    async fn document(&self, url: &Url, until: Instant) -> Result<Vec<u8>, FetchError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            self.policy.check(&at).map_err(|error| FetchError::Refused(error.to_string()))?;
            let bounds = Bounds {
                deadline: until.saturating_duration_since(Instant::now()),
                redirects_max: 0, // each is looked at here
                body_bytes_max: DOCUMENT_BYTES_MAX,
                longer: Longer::Refused,
            };
            let answer = self.outbound.get(at.as_str(), &bounds).await.map_err(|error| failed(error.fault))?;
            match answer.status.as_u16() {
                200 => return Ok(answer.body),
                204 => return Ok(Vec::new()), // how OpenRTB says that there is no bid, and many ad servers with it
                301 | 302 | 303 | 307 | 308 => at = redirected(&at, &answer)?,
                status => return Err(FetchError::Unavailable(format!("it answered {status}"))),
            }
        }
        Err(FetchError::Refused(format!("more than {REDIRECTS_MAX} redirects")))
    }
}

impl Fetch for WebFetch {
    async fn fetch(&self, url: &Url, budget_ms: u32) -> Fetched {
        let began = Instant::now();
        let body = self.document(url, began + Duration::from_millis(budget_ms.into())).await;
        let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        Fetched { took_ms, body }
    }
}

fn redirected(from: &Url, answer: &Answer) -> Result<Url, FetchError> {
    let location = answer.headers.get("location").and_then(|location| location.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    to.ok_or_else(|| FetchError::Unavailable("it is redirected to what is no URL".into()))
}

fn failed(fault: Fault) -> FetchError {
    match fault {
        Fault::TimedOut(_) => FetchError::Timeout,
        Fault::TooLarge(bytes) => FetchError::TooLong(bytes),
        fault if fault.is_final() => FetchError::Refused(fault.to_string()),
        fault => FetchError::Unavailable(fault.to_string()),
    }
}
