//! Creatives whose video a third party's VAST names: asked for, read whole, and kept beside the bookings.
//!
//! What a plan sells of such a creative is what was read last. A tag that fails keeps what it had: a vendor's bad hour takes
//! no flight off the air, and is said.

use rusqlite::params;
use serde::{Deserialize, Serialize};
use slotkeeper_core::{
    api::SLOT_MS_MAX,
    beacon::Event,
    contract::{Presentation, Tracker},
    id::CreativeId,
    plan::MediaSource,
    time::UnixMillis,
};
use slotkeeper_vast::{
    Code, Creative, Policy, creative, resolve,
    resolve::{Fetch, Start},
};
use url::Url;

use crate::contracts::Contracts;

/// The most that is kept of one VAST, in bytes of JSON: a plan must hold it, and every answer.
const CONTENT_BYTES_MAX: usize = 64 * 1024;

/// What a third party's VAST says of a creative.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VastContent {
    /// The video's length.
    pub duration_ms: u32,
    /// Its registered id, or `unknown`.
    pub universal_ad_id: String,
    /// Its files, best first.
    pub media: Vec<MediaSource>,
    /// What goes with it. Its trackers are those of clicks, which the player calls.
    pub presentation: Presentation,
    /// What the origin calls.
    pub trackers: Vec<Tracker>,
}

impl From<Creative> for VastContent {
    fn from(read: Creative) -> Self {
        let clicks = read.click_trackings.into_iter().map(|url| Tracker { event: Event::ClickThrough, url });
        let presentation = Presentation { trackers: clicks.collect(), ..read.presentation };
        let Creative { duration_ms, universal_ad_id, media, trackers, .. } = read;
        Self { duration_ms, universal_ad_id, media, presentation, trackers }
    }
}

/// What became of asking for one creative's VAST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refreshed {
    /// The creative's id in the contracts file.
    pub creative: String,
    /// The tag that was asked.
    pub url: String,
    /// What was read: whether it differs from what was known, or why nothing could be read.
    pub outcome: RefreshOutcome,
    /// Whether there is something to show now, from this time or from one before.
    pub is_known: bool,
}

/// See [`Refreshed::outcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RefreshOutcome {
    /// Other than what was known.
    Changed,
    /// As before.
    Same,
    /// Not to be used.
    Refused {
        /// VAST's code for it.
        code: u16,
        /// What happened.
        message: String,
    },
}

/// Asks for the VAST of every creative that has one, and keeps what it says.
pub async fn refresh(
    contracts: &mut Contracts,
    fetch: &impl Fetch,
    policy: &Policy,
    now: UnixMillis,
) -> rusqlite::Result<Vec<Refreshed>> {
    let mut refreshed = Vec::new();
    for (id, slug, url) in tags(contracts)? {
        let read = read(&url, fetch, policy).await;
        let known = known(contracts, id, &url)?;
        let outcome = match read {
            Ok(content) => {
                let content = serde_json::to_string(&content).unwrap_or_else(|_| unreachable!("string keys only"));
                let is_same = known.as_ref() == Some(&content);
                contracts.db().execute(
                    "INSERT OR REPLACE INTO creative_vasts (creative_id, url, fetched_at_ms, content) VALUES (?1, ?2, ?3, ?4)",
                    params![id.0, url, now.0.cast_signed(), content],
                )?;
                if is_same { RefreshOutcome::Same } else { RefreshOutcome::Changed }
            }
            Err((code, message)) => RefreshOutcome::Refused { code, message },
        };
        let is_known = known.is_some() || !matches!(outcome, RefreshOutcome::Refused { .. });
        refreshed.push(Refreshed { creative: slug, url, outcome, is_known });
    }
    Ok(refreshed)
}

fn tags(contracts: &mut Contracts) -> rusqlite::Result<Vec<(CreativeId, String, String)>> {
    let row = |row: &rusqlite::Row<'_>| Ok((CreativeId(row.get(0)?), row.get(1)?, row.get(2)?));
    let sql = "SELECT creative_id, slug, vast FROM creatives WHERE vast IS NOT NULL ORDER BY creative_id";
    contracts.db().prepare(sql)?.query_map([], row)?.collect()
}

/// What was read of this tag before.
fn known(contracts: &mut Contracts, id: CreativeId, url: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT content FROM creative_vasts WHERE creative_id = ?1 AND url = ?2";
    let mut select = contracts.db().prepare(sql)?;
    let mut rows = select.query(params![id.0, url])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

/// What a tag comes to; or VAST's code for why it comes to nothing, and the words.
async fn read(url: &str, fetch: &impl Fetch, policy: &Policy) -> Result<VastContent, (u16, String)> {
    let url = Url::parse(url).map_err(|error| (300, error.to_string()))?;
    let resolved = resolve(Start::Url(&url), fetch, policy).await;
    let resolved = resolved.map_err(|failure| (failure.code.number(), failure.to_string()))?;
    let ad = resolved.ads.first().ok_or((303, String::from("no ad in it")))?;
    let read = creative(ad).map_err(|fault| (fault.code().number(), fault.to_string()))?;
    if !(1..=SLOT_MS_MAX).contains(&read.duration_ms) {
        return Err((202, format!("it lasts {} ms; a slot has room for 1 to {SLOT_MS_MAX}", read.duration_ms)));
    }
    let content = VastContent::from(read);
    let bytes = serde_json::to_vec(&content).map_or(usize::MAX, |json| json.len());
    if bytes > CONTENT_BYTES_MAX {
        let message =
            format!("what it holds has {bytes} bytes as JSON; at most {CONTENT_BYTES_MAX} go with a creative");
        return Err((Code::Undefined.number(), message));
    }
    Ok(content)
}
