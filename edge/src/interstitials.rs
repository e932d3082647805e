//! `GET /v1/interstitials.m3u8`: the demo's film as a media playlist whose breaks are HLS interstitials, each an
//! `EXT-X-DATERANGE` that asks `/v1/asset-list`.
//!
//! It is a demo: a service writes these tags into its own playlists. The film's segments are not looked at; they lie below
//! `demo_hls_url`, cut every four seconds as `www/media/README.md` says.

use core::fmt::Write as _;

use slotkeeper_core::{
    api::InvalidField,
    contract::{BreakPosition, TitleBreak},
    plan::Plan,
    time::UnixMillis,
};

use crate::{
    Platform, Reply,
    platform::within,
    query::{BreakQuery, Params, fault, no_plan, push},
    route::Tag,
};

const MIME_TYPE: &str = "application/vnd.apple.mpegurl";
const SEGMENT_MS: u32 = 4_000;
/// As many as a title may be booked with.
const BREAKS_MAX: usize = 64;
const DAY_MS: u32 = 24 * 3_600_000;
/// The date on which all playback begins: there has to be one, for a date range to refer to.
const DAY: &str = "2000-01-01";
/// What is asked of each break as it was asked of the playlist.
const PASSED_ON: [&str; 15] = [
    "profile",
    "title",
    "session",
    "tier",
    "country",
    "region",
    "device",
    "segments",
    "gdpr",
    "gdpr_consent",
    "gpp",
    "gpp_sid",
    "gpc",
    "lmt",
    "sdk",
];
/// What says the slots of each break, where the title has no booked breaks.
const SLOTS: [&str; 4] = ["slots", "poddur", "maxseq", "rqddurs"];

/// Answers a request for the playlist.
pub(crate) async fn answer(platform: &impl Platform, tag: &Tag) -> Reply {
    let settings = platform.settings();
    let Some(films) = &settings.demo_hls_url else {
        let message = "this edge has no demo: its setting demo_hls_url says where the films lie";
        return Reply::error(404, "not_found", None, message.into());
    };
    let bytes = within(platform.wait_ms(settings.store_deadline_ms), platform.plan(None)).await.flatten();
    let Some(plan) = bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok()) else { return no_plan() };
    match playlist(films, &tag.base, &plan, &tag.query, platform.now()) {
        Ok(playlist) => Reply::new(200, MIME_TYPE, playlist.into()),
        Err(fault) => Reply::invalid(fault),
    }
}

/// A break, and the query that asks for it.
#[derive(Debug, PartialEq, Eq)]
struct Interstitial {
    id: String,
    position: BreakPosition,
    at_ms: u32,
    query: String,
}

fn playlist(films: &str, edge: &str, plan: &Plan<'_>, query: &str, now: UnixMillis) -> Result<String, InvalidField> {
    let params = Params::new(query)?;
    let title = params.required("title")?;
    if !title.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(fault("title", format!("{title:?}; the demo's films are named with letters, digits, '-' and '_'")));
    }
    let Some((duration_ms, booked)) = plan.title_breaks(&title) else {
        return Err(fault("title", format!("{title:?}; there is no such title in the plan")));
    };
    let Some(duration_ms) = duration_ms.filter(|ms| *ms <= DAY_MS) else {
        return Err(fault("title", format!("{title:?} is not booked with a duration of at most a day")));
    };
    let mut breaks = if booked.is_empty() { asked_breaks(&params)? } else { booked_breaks(&params, &booked)? };
    breaks.retain(|interstitial| interstitial.at_ms <= duration_ms);
    for interstitial in &breaks {
        BreakQuery::parse(&interstitial.query, now)?; // a fault is better known before the break
    }
    Ok(rendered(films, edge, &title, duration_ms, &breaks))
}

/// The breaks as the title's editors placed them.
fn booked_breaks(params: &Params<'_>, booked: &[TitleBreak]) -> Result<Vec<Interstitial>, InvalidField> {
    let interstitial = |(place, title_break): (usize, &TitleBreak)| {
        let number = (place + 1).to_string();
        let mut query = passed_on(params, &PASSED_ON)?;
        push(&mut query, "break", &number);
        Ok(Interstitial::new(&number, title_break.position, title_break.at_ms, query))
    };
    booked.iter().enumerate().map(interstitial).collect()
}

/// `at`: breaks at these seconds of the film, each with the slots that are asked for. At 0 it is a pre-roll.
fn asked_breaks(params: &Params<'_>) -> Result<Vec<Interstitial>, InvalidField> {
    let at = params.list("at", "whole seconds with commas between them", |text| {
        text.parse().ok().and_then(|seconds: u32| seconds.checked_mul(1000))
    })?;
    if at.len() > BREAKS_MAX {
        return Err(fault("at", format!("{} breaks; at most {BREAKS_MAX}", at.len())));
    }
    let interstitial = |(place, at_ms): (usize, u32)| {
        let position = if at_ms == 0 { BreakPosition::Preroll } else { BreakPosition::Midroll };
        let mut query = passed_on(params, &PASSED_ON)?;
        push(&mut query, "position", position.as_str());
        for (name, value) in given(params, &SLOTS)? {
            push(&mut query, name, &value);
        }
        Ok(Interstitial::new(&(place + 1).to_string(), position, at_ms, query))
    };
    at.into_iter().enumerate().map(interstitial).collect()
}

fn passed_on(params: &Params<'_>, names: &[&'static str]) -> Result<String, InvalidField> {
    let mut query = String::new();
    given(params, names)?.into_iter().for_each(|(name, value)| push(&mut query, name, &value));
    Ok(query)
}

fn given(params: &Params<'_>, names: &[&'static str]) -> Result<Vec<(&'static str, String)>, InvalidField> {
    let mut given = Vec::new();
    for name in names {
        given.extend(params.get(name)?.map(|value| (*name, value)));
    }
    Ok(given)
}

impl Interstitial {
    fn new(number: &str, position: BreakPosition, at_ms: u32, mut query: String) -> Self {
        let id = format!("break-{number}");
        push(&mut query, "_HLS_interstitial_id", &id); // RFC 8216bis, D.4
        Self { id, position, at_ms, query }
    }

    /// Its tag, with the attributes of RFC 8216bis, D.2. It is played once, because its ads are booked once: shown again
    /// they would not count again.
    fn date_range(&self, edge: &str, duration_ms: u32) -> String {
        let (cue, at_ms) = match self.position {
            BreakPosition::Preroll => ("PRE,ONCE", 0),
            BreakPosition::Midroll => ("ONCE", self.at_ms),
            BreakPosition::Postroll => ("POST,ONCE", duration_ms),
        };
        let Self { id, query, .. } = self;
        format!(
            "#EXT-X-DATERANGE:ID=\"{id}\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"{}\",CUE=\"{cue}\",\
             X-ASSET-LIST=\"{edge}/v1/asset-list?{query}\",X-RESUME-OFFSET=0,X-RESTRICT=\"SKIP,JUMP\"\n",
            date(at_ms)
        )
    }
}

fn rendered(films: &str, edge: &str, title: &str, duration_ms: u32, breaks: &[Interstitial]) -> String {
    let folder = format!("{films}/{title}");
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-PROGRAM-DATE-TIME:{}\n",
        SEGMENT_MS / 1000,
        date(0)
    );
    text.extend(breaks.iter().map(|interstitial| interstitial.date_range(edge, duration_ms)));
    let _ = writeln!(text, "#EXT-X-MAP:URI=\"{folder}/init.mp4\""); // writing to a String cannot fail
    for number in 0..duration_ms.div_ceil(SEGMENT_MS) {
        let ms = SEGMENT_MS.min(duration_ms - number * SEGMENT_MS);
        let _ = writeln!(text, "#EXTINF:{}.{:03},\n{folder}/{number}.m4s", ms / 1000, ms % 1000);
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The instant so far into the film, which is at most a day long.
fn date(at_ms: u32) -> String {
    let at_ms = at_ms.min(DAY_MS - 1);
    let (hours, minutes, seconds) = (at_ms / 3_600_000, at_ms / 60_000 % 60, at_ms / 1_000 % 60);
    format!("{DAY}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", at_ms % 1_000)
}

#[cfg(test)]
mod tests;
