//! `slotkeeper vast`.

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use slotkeeper::{
    clock,
    contracts::Contracts,
    data_dir::DataDir,
    say,
    vast::{AdReport, FailureReport, Kept, LinkReport, RefreshOutcome, Refreshed, Report, WebFetch, refresh, report},
};
use slotkeeper_core::contract::Presentation;
use slotkeeper_vast::{
    Policy,
    bounds::DOCUMENT_BYTES_MAX,
    policy::{HostRule, Schemes},
    resolve,
    resolve::Start,
    verdict,
};

use crate::table;

#[derive(Subcommand)]
pub(crate) enum Vast {
    /// Show what an ad tag or a document comes to: its ads, their files and trackers, or why there are none. Ends with 1 if
    /// there is no ad to play. Of a folder, show what each of its documents is good for, without following wrappers
    Check(Check),
    /// Ask for the VAST of every creative that is booked with one, and keep what it says for the next plan. What fails
    /// keeps what it had. Ends with 1 if any failed
    Refresh(Refresh),
}

#[derive(Args)]
pub(crate) struct Check {
    /// A file, a folder of *.xml, or a URL
    #[arg(value_name = "FILE|DIR|URL")]
    what: String,
    #[command(flatten)]
    whom: Whom,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Refresh {
    #[command(flatten)]
    data: super::Data,
    #[command(flatten)]
    whom: Whom,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Whom documents are fetched from.
#[derive(Args)]
struct Whom {
    /// A host that documents may be fetched from, the first too: HOST, *.SUFFIX, either with :PORT; give it once for each.
    /// Only one that is named with its port may be at a private address
    #[arg(long = "allow-host", value_name = "HOST")]
    allow_hosts: Vec<HostRule>,
    /// Allow http beside https
    #[arg(long)]
    allow_http: bool,
    /// How long all fetches together may take
    #[arg(long, default_value_t = 5_000, value_name = "MS")]
    deadline_ms: u32,
}

impl Whom {
    fn policy(&self) -> Policy {
        Policy {
            hosts: self.allow_hosts.clone(),
            schemes: if self.allow_http { Schemes::HttpToo } else { Schemes::Https },
            budget_ms: self.deadline_ms,
            ..Policy::default()
        }
    }
}

impl Vast {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(check) => check.run(),
            Self::Refresh(refresh) => refresh.run(),
        }
    }
}

impl Check {
    fn run(self) -> anyhow::Result<ExitCode> {
        let path = Path::new(&self.what);
        if path.is_dir() {
            return folder(path, self.json);
        }
        let report = self.report(path)?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(if report.ads.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn report(&self, path: &Path) -> anyhow::Result<Report> {
        let policy = self.whom.policy();
        let fetch = WebFetch::new(&policy);
        let runtime = super::runtime()?;
        if self.what.starts_with("http://") || self.what.starts_with("https://") {
            let url = url::Url::parse(&self.what).with_context(|| self.what.clone())?;
            return Ok(report(runtime.block_on(resolve(Start::Url(&url), &fetch, &policy))));
        }
        let document = read(path)?;
        Ok(report(runtime.block_on(resolve(Start::Document(&document), &fetch, &policy))))
    }
}

impl Refresh {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut contracts = Contracts::open(&DataDir::open(self.data.data)?.contracts())?;
        let policy = self.whom.policy();
        let fetch = Kept::new(WebFetch::new(&policy), Duration::MAX); // what creatives share is asked for once a run
        let refreshed = super::runtime()?.block_on(refresh(&mut contracts, &fetch, &policy, clock::now()))?;
        let is_well = refreshed.iter().all(|one| !matches!(one.outcome, RefreshOutcome::Refused { .. }));
        if self.json {
            say!("{}", serde_json::to_string_pretty(&refreshed)?);
        } else if refreshed.is_empty() {
            say!("no creative is booked with a VAST");
        } else {
            let rows: Vec<_> = refreshed.iter().map(told).collect();
            table::print(["creative", "VAST", "read", "now"], &rows);
            say!("the next plan sells what is known");
        }
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn told(one: &Refreshed) -> [String; 4] {
    let read = match &one.outcome {
        RefreshOutcome::Changed => "new".into(),
        RefreshOutcome::Same => "as before".into(),
        RefreshOutcome::Refused { code, message } => format!("refused, {code}: {}", on_one_line(message)),
    };
    let now = if one.is_known { "known" } else { "left out" };
    [one.creative.clone(), one.url.clone(), read, now.into()]
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    let within = usize::try_from(bytes).is_ok_and(|bytes| bytes <= DOCUMENT_BYTES_MAX);
    ensure!(within, "{} has {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are read", path.display());
    fs::read(path).with_context(|| path.display().to_string())
}

/// What each document of a folder is good for.
fn folder(folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = paths.with_context(|| folder.display().to_string())?;
    files.retain(|file| file.extension().is_some_and(|kind| kind == "xml"));
    files.sort();
    let mut rows = Vec::new();
    for file in &files {
        let verdict = verdict(&read(file)?);
        let code = verdict.code().map_or_else(|| "-".into(), |code| code.to_string());
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let version = verdict.version.clone().unwrap_or_else(|| "-".into());
        rows.push([name, version, code, verdict.to_string()]);
    }
    let heads = ["file", "version", "code", "good for"];
    if json {
        let objects: Vec<BTreeMap<_, _>> = rows.iter().map(|row| heads.into_iter().zip(row).collect()).collect();
        say!("{}", serde_json::to_string_pretty(&objects)?);
    } else {
        table::print(heads, &rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report) {
    for (index, ad) in report.ads.iter().enumerate() {
        say!("ad {}", index + 1);
        print_ad(ad);
    }
    for failure in &report.failures {
        print_failure(failure);
    }
}

fn print_ad(ad: &AdReport) {
    let creative = &ad.creative;
    print_chain(&ad.chain);
    let line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            say!("  {name:<12} {}", on_one_line(value));
        }
    };
    let Presentation { advertiser, categories, click_through, skip_after_ms, trackers: _, verifications, mezzanine } =
        &creative.presentation;
    line("title", ad.title.as_deref());
    line("serving id", ad.ad_serving_id.as_deref());
    line("content", Some(&ad.content_id));
    line("universal id", Some(&creative.universal_ad_id));
    line("duration", Some(&format!("{} ms", creative.duration_ms)));
    line("skip after", skip_after_ms.map(|ms| format!("{ms} ms")).as_deref());
    line("advertiser", advertiser.as_deref());
    for category in categories {
        line("category", Some(&format!("{} ({})", category.code, category.authority)));
    }
    for file in &creative.media {
        let rate = file.bitrate_kbps.map(|kbps| format!(" {kbps} kbit/s")).unwrap_or_default();
        line("media", Some(&format!("{} {}x{}{rate} {}", file.mime_type, file.width, file.height, file.url)));
    }
    line("mezzanine", mezzanine.as_ref().map(|file| file.url.as_str()));
    line("click", click_through.as_deref());
    for verification in verifications {
        line("verification", Some(&format!("{} {}", verification.vendor, verification.url)));
    }
    for tracker in &creative.trackers {
        line("tracker", Some(&format!("{} {}", tracker.event, tracker.url)));
    }
    for url in &creative.click_trackings {
        line("tracker", Some(&format!("click {url}")));
    }
    for (event, count) in &creative.not_reported {
        line("not reported", Some(&format!("{event}, {count} times")));
    }
}

fn print_failure(failure: &FailureReport) {
    say!("refused: {} {}: {}", failure.code, failure.meaning, on_one_line(&failure.message));
    print_chain(&failure.chain);
    for url in &failure.error_urls {
        say!("  {:<12} {}", "to be called", on_one_line(url));
    }
}

fn print_chain(chain: &[LinkReport]) {
    for LinkReport { url, ad_system, ad_id } in chain {
        let [url, system, id] =
            [url, ad_system, ad_id].map(|part| part.as_deref().map_or_else(|| "-".into(), on_one_line));
        say!("  {:<12} {url} ({system}, ad {id})", "from");
    }
}

/// What somebody else says, so that it can neither end a line nor steer a terminal.
fn on_one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
