//! Documents kept for a while, so that an ad tag that is asked for often is fetched once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use slotkeeper_vast::resolve::{Fetch, Fetched};
use url::Url;

/// The most documents that are kept: of 256 KiB at most, 64 MiB in all.
pub const DOCUMENTS_MAX: usize = 256;

/// A fetcher that remembers what another fetched, for as long as `max_age`. Failures are not remembered.
pub struct Kept<F> {
    fetch: F,
    max_age: Duration,
    documents: Mutex<Documents>,
}

impl<F> Kept<F> {
    /// `fetch`, whose documents are good for `max_age`.
    pub fn new(fetch: F, max_age: Duration) -> Self {
        Self { fetch, max_age, documents: Mutex::default() }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Documents) -> T) -> T {
        // Nothing in there can be left half done.
        what(&mut self.documents.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Fetch> Fetch for Kept<F> {
    async fn fetch(&self, url: &Url, budget_ms: u32) -> Fetched {
        if let Some(body) = self.with(|documents| documents.get(url, Instant::now(), self.max_age)) {
            return Fetched { took_ms: 0, body: Ok(body) };
        }
        let fetched = self.fetch.fetch(url, budget_ms).await;
        if let Ok(body) = &fetched.body {
            self.with(|documents| documents.put(url, body, Instant::now()));
        }
        fetched
    }
}

/// By URL, each with when it was fetched.
#[derive(Default)]
struct Documents(BTreeMap<Url, (Instant, Vec<u8>)>);

impl Documents {
    fn get(&mut self, url: &Url, now: Instant, max_age: Duration) -> Option<Vec<u8>> {
        let (fetched_at, body) = self.0.get(url)?;
        if now.saturating_duration_since(*fetched_at) < max_age {
            return Some(body.clone());
        }
        self.0.remove(url);
        None
    }

    /// Keeps a document; the one that was kept longest makes room for it.
    fn put(&mut self, url: &Url, body: &[u8], now: Instant) {
        self.0.insert(url.clone(), (now, body.to_vec()));
        if self.0.len() > DOCUMENTS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, (fetched_at, _))| *fetched_at).map(|(url, _)| url.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use slotkeeper_vast::resolve::FetchError;

    use super::*;

    fn url(path: &str) -> Url {
        Url::parse(&format!("https://ads.example/{path}")).unwrap()
    }

    /// Says how often it was asked; nothing good of what is called `bad`.
    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Fetch for Counting {
        async fn fetch(&self, url: &Url, _: u32) -> Fetched {
            let count = self.0.fetch_add(1, Relaxed) + 1;
            let body =
                if url.path() == "/bad" { Err(FetchError::Timeout) } else { Ok(vec![u8::try_from(count).unwrap()]) };
            Fetched { took_ms: 7, body }
        }
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_while_it_is_good() {
        let kept = Kept::new(Counting::default(), Duration::from_hours(1));
        assert_eq!(kept.fetch(&url("a"), 9).await, Fetched { took_ms: 7, body: Ok(vec![1]) });
        assert_eq!(kept.fetch(&url("a"), 9).await, Fetched { took_ms: 0, body: Ok(vec![1]) });
        assert_eq!(kept.fetch(&url("b"), 9).await.body, Ok(vec![2]));
        kept.fetch(&url("bad"), 9).await;
        kept.fetch(&url("bad"), 9).await;
        assert_eq!(kept.fetch.0.load(Relaxed), 4, "a failure is not kept");
        let never = Kept::new(Counting::default(), Duration::ZERO);
        never.fetch(&url("a"), 9).await;
        assert_eq!(never.fetch(&url("a"), 9).await.body, Ok(vec![2]));
    }

    #[test]
    fn documents_age_and_the_oldest_makes_room() {
        let (mut documents, now, second) = (Documents::default(), Instant::now(), Duration::from_secs(1));
        documents.put(&url("first"), b"x", now);
        assert_eq!(documents.get(&url("first"), now + second, 2 * second), Some(b"x".to_vec()));
        assert_eq!(documents.get(&url("first"), now + 2 * second, 2 * second), None);
        assert!(documents.0.is_empty(), "what is too old is let go");
        for index in 0..=DOCUMENTS_MAX {
            documents.put(&url(&index.to_string()), b"x", now + second * u32::try_from(index).unwrap());
        }
        assert_eq!(documents.0.len(), DOCUMENTS_MAX);
        assert!(!documents.0.contains_key(&url("0")) && documents.0.contains_key(&url("1")));
    }
}
