//! From an ad tag to its ads: wrappers are followed, and everything that asked to hear of the ad hears of it.
//!
//! Nothing is fetched here and there is no clock: a [`Fetch`] answers with a document and how long it took.

use std::{collections::VecDeque, future::Future};

use url::Url;

use crate::{
    Code, Policy, VastError, address,
    model::{Ad, BlockedAdCategories, Content, InLine, Shared, Tracked, Vast, Wrapper},
    parse,
    policy::Forbidden,
};

/// How a document is had.
pub trait Fetch {
    /// Asks for what is at `url`, for at most `budget_ms`. Whether it may be called has been checked; that its redirects
    /// may be is for the fetcher to check.
    fn fetch(&self, url: &Url, budget_ms: u32) -> impl Future<Output = Fetched>;
}

/// What became of asking for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// How long it took, in milliseconds; nothing, if it was still known.
    pub took_ms: u32,
    /// The document, or why there is none.
    pub body: Result<Vec<u8>, FetchError>,
}

/// Why a document could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not within its time.
    #[error("no answer in time")]
    Timeout,
    /// Nobody there, or an answer that is no success.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It leads where nobody may go.
    #[error("refused: {0}")]
    Refused(String),
    /// Longer than is read.
    #[error("the document has more than {0} bytes")]
    TooLong(usize),
}

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// With an ad tag.
    Url(&'a Url),
    /// With a document that is here already.
    Document(&'a [u8]),
}

/// One document on the way to an ad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it was had; absent for one that was given.
    pub url: Option<Url>,
    /// Who answered, if it is known.
    pub ad_system: Option<String>,
    /// Its ad that was followed.
    pub ad_id: Option<String>,
}

/// An ad with everything that its wrappers added: their impressions, errors, trackings and clicks come first, outermost
/// first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAd {
    /// The documents on the way, the ad's own last.
    pub chain: Vec<Link>,
    /// The ad.
    pub ad: InLine,
    /// What its wrappers did not want it to be.
    pub blocked_ad_categories: Vec<BlockedAdCategories>,
}

impl ResolvedAd {
    /// The URLs to call if it cannot be used after all, filled with `code`.
    pub fn error_urls(&self, code: Code) -> Vec<String> {
        self.ad.shared.errors.iter().map(|url| address::error_url(url, code)).collect()
    }
}

/// What an ad tag came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// At least one; those of a pod in its order.
    pub ads: Vec<ResolvedAd>,
    /// What else was tried.
    pub failures: Vec<Failure>,
    /// How many documents were fetched.
    pub fetches: usize,
}

/// An ad, or a whole ad tag, that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} (VAST error {code}: {})", code.meaning())]
pub struct Failure {
    /// VAST's code for it.
    pub code: Code,
    /// What happened.
    pub cause: Cause,
    /// The documents on the way, the last one first to blame.
    pub chain: Vec<Link>,
    /// The URLs that are to be called, `[ERRORCODE]` filled.
    pub error_urls: Vec<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A document or an ad is wrong in itself.
    #[error(transparent)]
    Vast(#[from] VastError),
    /// There is no ad.
    #[error("no ad in it")]
    NoAd,
    /// A wrapper behind one that allows none.
    #[error("a wrapper, where the one before it allows none (followAdditionalWrappers)")]
    WrapperNotAllowed,
    /// Too many wrappers.
    #[error("one wrapper more than the {0} that are followed")]
    TooManyWrappers(usize),
    /// Wrappers that lead to themselves.
    #[error("{0} again: wrappers in a circle")]
    Loop(String),
    /// Too many documents, or ads.
    #[error("more than {max} {what} for one ad tag")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// No time left.
    #[error("no time left of the {0} ms for all wrappers")]
    OutOfTime(u32),
    /// Somewhere nobody may go.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It could not be had.
    #[error("{place}: {error}")]
    Fetch {
        /// Where.
        place: String,
        /// Why.
        error: FetchError,
    },
    /// A wrapper does not want such an ad.
    #[error("category {0:?}, which a wrapper blocks")]
    CategoryBlocked(String),
}

impl Cause {
    fn code(&self) -> Code {
        match self {
            Self::Vast(error) => error.code(),
            Self::NoAd | Self::WrapperNotAllowed => Code::NoAd,
            Self::TooManyWrappers(_) | Self::Loop(_) | Self::TooMany { .. } => Code::WrapperLimit,
            Self::OutOfTime(_) => Code::WrapperTimeout,
            Self::Forbidden(_) => Code::Wrapper,
            Self::Fetch { error, .. } => match error {
                FetchError::Timeout | FetchError::Unavailable(_) => Code::WrapperTimeout,
                FetchError::Refused(_) => Code::Wrapper,
                FetchError::TooLong(_) => Code::XmlParsing,
            },
            Self::CategoryBlocked(_) => Code::CategoryBlocked,
        }
    }
}

/// Follows an ad tag to its ads.
///
/// Of a document with a pod, all ads of the pod are taken, in its order; for one that comes to nothing another ad of the
/// document that stands alone may step in (VAST 4.3, section 3.3.1; a wrapper allows it by `fallbackOnNoAd`). Of ads that
/// stand alone the first is taken that comes to something. Behind a wrapper that does not allow several ads there is one:
/// the first that stands alone, or else the first of the pod.
///
/// # Errors
/// When there is no ad at the end: the first of what went wrong, with the URLs to call for all of it.
pub async fn resolve(start: Start<'_>, fetch: &impl Fetch, policy: &Policy) -> Result<Resolved, Failure> {
    let mut way = Way { fetch, policy, left_ms: policy.budget_ms, fetches: 0, ads: 0, failures: Vec::new() };
    let ads = match start {
        Start::Document(bytes) => way.read(bytes, None, &mut Vec::new(), true).await,
        Start::Url(url) => match way.get(url).await {
            Ok(bytes) => way.read(&bytes, Some(url.clone()), &mut Vec::new(), true).await,
            Err(cause) => {
                let link = Link { url: Some(url.clone()), ad_system: None, ad_id: None };
                way.fail(cause, &[], link, &[]);
                Vec::new()
            }
        },
    };
    let Way { fetches, mut failures, .. } = way;
    if !ads.is_empty() {
        return Ok(Resolved { ads, failures, fetches });
    }
    let error_urls = failures.iter().flat_map(|failure| failure.error_urls.iter().cloned()).collect();
    // Every way to no ad leaves a failure.
    let first = if failures.is_empty() { None } else { Some(failures.swap_remove(0)) };
    let none = Failure { code: Code::NoAd, cause: Cause::NoAd, chain: Vec::new(), error_urls: Vec::new() };
    Err(Failure { error_urls, ..first.unwrap_or(none) })
}

/// A wrapper that was followed.
struct Step {
    link: Link,
    wrapper: Wrapper,
}

/// An ad tag that is being followed.
struct Way<'a, F> {
    fetch: &'a F,
    policy: &'a Policy,
    left_ms: u32,
    fetches: usize,
    ads: usize,
    failures: Vec<Failure>,
}

impl<F: Fetch> Way<'_, F> {
    /// The document at `url`, if it may be asked for and is had in time.
    async fn get(&mut self, url: &Url) -> Result<Vec<u8>, Cause> {
        self.policy.check(url)?;
        if self.fetches == self.policy.fetches_max {
            return Err(Cause::TooMany { what: "documents", max: self.policy.fetches_max });
        }
        if self.left_ms == 0 {
            return Err(Cause::OutOfTime(self.policy.budget_ms));
        }
        self.fetches += 1;
        let Fetched { took_ms, body } = self.fetch.fetch(url, self.left_ms).await;
        let in_time = took_ms <= self.left_ms;
        self.left_ms = self.left_ms.saturating_sub(took_ms);
        let failed = |error| Cause::Fetch { place: address::place(url).into_owned(), error };
        match body {
            Ok(_) if !in_time => Err(failed(FetchError::Timeout)),
            body => body.map_err(failed),
        }
    }

    /// The ads of a document.
    async fn read(&mut self, bytes: &[u8], url: Option<Url>, steps: &mut Vec<Step>, many: bool) -> Vec<ResolvedAd> {
        let link = Link { url, ad_system: None, ad_id: None };
        // How ad servers say that they have none, besides an empty VAST.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            self.fail(Cause::NoAd, steps, link, &[]);
            return Vec::new();
        }
        match parse(bytes) {
            Ok(vast) if vast.ads.is_empty() => {
                self.fail(Cause::NoAd, steps, link, &vast.errors);
                Vec::new()
            }
            Ok(vast) => self.choose(vast, &link, steps, many).await,
            Err(error) => {
                self.fail(error.into(), steps, link, &[]);
                Vec::new()
            }
        }
    }

    /// The ads of a document that are taken.
    async fn choose(&mut self, vast: Vast, link: &Link, steps: &mut Vec<Step>, many: bool) -> Vec<ResolvedAd> {
        let (mut pod, alone): (Vec<Ad>, Vec<Ad>) = vast.ads.into_iter().partition(|ad| ad.sequence.is_some());
        pod.sort_by_key(|ad| ad.sequence);
        let mut alone = VecDeque::from(alone);
        if !many {
            let Some(first) = alone.pop_front().or_else(|| pod.into_iter().next()) else { return Vec::new() };
            return self.follow(first, link, steps).await;
        }
        let mut ads = Vec::new();
        if pod.is_empty() {
            while let (true, Some(ad)) = (ads.is_empty(), alone.pop_front()) {
                ads = self.follow(ad, link, steps).await;
            }
            return ads;
        }
        for ad in pod {
            let may_fall_back = match &ad.content {
                Content::Wrapper(wrapper) => wrapper.fallback_on_no_ad,
                Content::InLine(_) | Content::Faulty { .. } => true,
            };
            let mut taken = self.follow(ad, link, steps).await;
            while taken.is_empty() && may_fall_back {
                let Some(other) = alone.pop_front() else { break };
                taken = self.follow(other, link, steps).await;
            }
            ads.extend(taken);
        }
        ads
    }

    /// What one ad of a document comes to.
    async fn follow(&mut self, ad: Ad, link: &Link, steps: &mut Vec<Step>) -> Vec<ResolvedAd> {
        let link = Link { ad_id: ad.id, ..link.clone() };
        match ad.content {
            Content::Faulty { fault, errors } => {
                self.fail(fault.into(), steps, link, &errors);
                Vec::new()
            }
            Content::InLine(inline) => {
                let link = Link { ad_system: inline.shared.ad_system.clone(), ..link };
                match self.admit(&inline, steps) {
                    Ok(()) => vec![merge(*inline, steps, link)],
                    Err(cause) => {
                        self.fail(cause, steps, link, &inline.shared.errors);
                        Vec::new()
                    }
                }
            }
            Content::Wrapper(wrapper) => {
                let link = Link { ad_system: wrapper.shared.ad_system.clone(), ..link };
                self.unwrap(*wrapper, link, steps).await
            }
        }
    }

    /// What is behind a wrapper.
    async fn unwrap(&mut self, wrapper: Wrapper, link: Link, steps: &mut Vec<Step>) -> Vec<ResolvedAd> {
        let many = wrapper.allow_multiple_ads;
        let next = match self.next(&wrapper, &link, steps) {
            Ok(next) => self.get(&next).await.map(|bytes| (next, bytes)),
            Err(cause) => Err(cause),
        };
        match next {
            Ok((next, bytes)) => {
                steps.push(Step { link, wrapper });
                let ads = Box::pin(self.read(&bytes, Some(next), steps, many)).await;
                steps.pop();
                ads
            }
            Err(cause) => {
                self.fail(cause, steps, link, &wrapper.shared.errors);
                Vec::new()
            }
        }
    }

    /// Where a wrapper leads, if it may be followed.
    fn next(&self, wrapper: &Wrapper, link: &Link, steps: &[Step]) -> Result<Url, Cause> {
        if steps.last().is_some_and(|step| !step.wrapper.follow_additional_wrappers) {
            return Err(Cause::WrapperNotAllowed);
        }
        if steps.len() >= self.policy.wrappers_max {
            return Err(Cause::TooManyWrappers(self.policy.wrappers_max));
        }
        let uri = address::fill(&wrapper.vast_ad_tag_uri, &self.policy.macros);
        let no_url = |_| Cause::Fetch { place: address::shown(&uri), error: FetchError::Refused("not a URL".into()) };
        let next = Url::parse(&uri).map_err(no_url)?;
        let mut before = steps.iter().map(|step| &step.link).chain([link]);
        if before.any(|link| link.url.as_ref() == Some(&next)) {
            return Err(Cause::Loop(address::place(&next).into_owned()));
        }
        Ok(next)
    }

    /// Whether an ad may be taken.
    fn admit(&mut self, inline: &InLine, steps: &[Step]) -> Result<(), Cause> {
        let blocked = steps.iter().flat_map(|step| &step.wrapper.blocked_ad_categories);
        for blocked in blocked {
            if let Some(category) = inline.categories.iter().find(|category| blocked.forbids(category)) {
                return Err(Cause::CategoryBlocked(address::shown(&category.code)));
            }
        }
        if self.ads == self.policy.ads_max {
            return Err(Cause::TooMany { what: "ads", max: self.policy.ads_max });
        }
        self.ads += 1;
        Ok(())
    }

    /// Remembers what went wrong; everybody on the way is to hear of it.
    fn fail(&mut self, cause: Cause, steps: &[Step], link: Link, errors: &[String]) {
        let code = cause.code();
        let wrappers = steps.iter().flat_map(|step| &step.wrapper.shared.errors);
        let error_urls = wrappers.chain(errors).map(|url| address::error_url(url, code)).collect();
        let chain = steps.iter().map(|step| step.link.clone()).chain([link]).collect();
        self.failures.push(Failure { code, cause, chain, error_urls });
    }
}

/// An ad as its wrappers want it.
fn merge(mut ad: InLine, steps: &[Step], link: Link) -> ResolvedAd {
    let mut linear = ad.creatives.iter_mut().find_map(|creative| creative.linear.as_mut());
    // From the inside out, each before what is there, so that the outermost comes first.
    for Step { wrapper, .. } in steps.iter().rev() {
        before(&mut ad.shared, &wrapper.shared);
        if let Some(linear) = &mut linear {
            tracked_before(&mut linear.tracked, &wrapper.tracked);
        }
    }
    let blocked_ad_categories =
        steps.iter().flat_map(|step| step.wrapper.blocked_ad_categories.iter().cloned()).collect();
    let chain = steps.iter().map(|step| step.link.clone()).chain([link]).collect();
    ResolvedAd { chain, ad, blocked_ad_categories }
}

fn before(inner: &mut Shared, outer: &Shared) {
    put_before(&mut inner.impressions, &outer.impressions);
    put_before(&mut inner.errors, &outer.errors);
    put_before(&mut inner.verifications, &outer.verifications);
    let (seen, by_outer) = (&mut inner.viewable_impression, &outer.viewable_impression);
    put_before(&mut seen.viewable, &by_outer.viewable);
    put_before(&mut seen.not_viewable, &by_outer.not_viewable);
    put_before(&mut seen.view_undetermined, &by_outer.view_undetermined);
    inner.extensions += outer.extensions;
}

fn tracked_before(inner: &mut Tracked, outer: &Tracked) {
    put_before(&mut inner.trackings, &outer.trackings);
    put_before(&mut inner.click_trackings, &outer.click_trackings);
    inner.custom_clicks += outer.custom_clicks;
}

fn put_before<T: Clone>(list: &mut Vec<T>, first: &[T]) {
    list.splice(..0, first.iter().cloned());
}

#[cfg(test)]
mod tests;
