//! The client SDK: what each file weighs, and what a look at an ad costs a page in Chromium, beside other clients in the same
//! run. Tables on standard error, the figures on standard output.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Report, load::rounded, size};
use crate::{
    build::Builder,
    npm::{self, Sizes},
    process::{run, show},
    setup,
    stamp::{Stamp, clear},
};

/// What runs the libraries, below the root.
const RUN: &str = "xtask/bench/sdk/run.mjs";
/// Which other clients, in which versions: an npm package of its own, so that nothing but this needs them.
const PEERS: &str = "xtask/bench/sdk/peers";
const VAST_CLIENT: Peer =
    Peer { name: "vast-client", package: "@dailymotion/vast-client", script: "dist/vast-client.min.js" };
const CONTRIB_ADS: Peer =
    Peer { name: "videojs-contrib-ads", package: "videojs-contrib-ads", script: "dist/videojs-contrib-ads.min.js" };
const PAGE_BYTES: f64 = 65_536.0;

/// What is measured of each library, the figure's unit, and what it means.
const COSTS: [(&str, &str, &str); 7] = [
    ("us-per-tick", "us", "a timeupdate at which nothing falls due, by performance.now()"),
    ("cpu-us-per-tick", "us", "the same in CPU time of the main thread"),
    ("cpu-ms-per-ad", "ms", "an ad of 30 s in CPU time: ask, 120 timeupdates, report"),
    ("cpu-ms-first-ad", "ms", "the same of a page's first ad, when nothing is compiled"),
    ("heap-bytes-after-load", "bytes", "JS heap that is alive once an ad is observed"),
    ("heap-bytes-per-tick", "bytes", "JS heap that a timeupdate takes until it is collected"),
    ("heap-bytes-per-tick-interpreted", "bytes", "the same where nothing is compiled"),
];
/// Ours, then the one beside them.
const LIBRARIES: [&str; 4] = ["web", "tv", "tv-twin", VAST_CLIENT.name];

/// Another client.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    package: &'static str,
    /// Its build for browsers, minified, in the package.
    script: &'static str,
}

impl Peer {
    fn script(self, packages: &Path) -> PathBuf {
        packages.join(self.package).join(self.script)
    }

    fn version(self, packages: &Path) -> Result<String> {
        let file = packages.join(self.package).join("package.json");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let manifest: Value = serde_json::from_str(&text)?;
        manifest["version"].as_str().map(Into::into).with_context(|| format!("{} has no version", self.package))
    }
}

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    setup::browser_to_drive()?;
    let peers = peers(builder)?;
    let sdk = builder.sdk()?;
    sizes(builder, report, &peers)?;
    costs(builder, report, &sdk, &peers)
}

/// Where the other clients' packages are.
fn peers(builder: &Builder<'_>) -> Result<PathBuf> {
    let (from, to) = (builder.workspace.root.join(PEERS), builder.workspace.target.join("measure/peers"));
    let packages = to.join("node_modules");
    let scripts = [VAST_CLIENT, CONTRIB_ADS].map(|peer| peer.script(&packages));
    let files = ["package.json", "package-lock.json", ".npmrc"];
    let stamp = Stamp::new(to.join(".stamp"), &[&from.join(files[1]), &from.join(files[2])], &[])?;
    if stamp.is_current(&scripts) {
        return Ok(packages);
    }
    clear(&to)?;
    for file in files {
        fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file} of {PEERS}"))?;
    }
    run(Command::new("npm").args(["ci", "--ignore-scripts", "--no-progress"]).current_dir(&to))
        .with_context(|| format!("npm could not install what {PEERS} locks; is a package registry reachable?"))?;
    stamp.renew(&scripts)?;
    Ok(packages)
}

/// These figures are of the group `size`, whose they have always been.
fn sizes(builder: &Builder<'_>, report: &Report, peers: &Path) -> Result<()> {
    let report = Report { group: "size", ..*report };
    let ours = size::sdk(builder)?;
    let others = [VAST_CLIENT, CONTRIB_ADS];
    let theirs = npm::sizes(&others.map(|peer| peer.script(peers)))?;
    let theirs: Vec<_> = others.into_iter().map(|peer| peer.name).zip(theirs).collect();
    let sum = |of: &[&str]| ours.iter().filter(|(name, _)| of.contains(name)).map(|(_, sizes)| *sizes).sum::<Sizes>();
    let skins = [("sdk-web", sum(&["sdk-web-wasm", "sdk-web-js"])), ("sdk-tv", sum(&["sdk-tv-wasm", "sdk-tv-glue"]))];

    eprintln!("{:<22} {:>8} {:>8} {:>8}  bytes", "", "raw", "gzip", "brotli");
    for &(name, sizes) in ours.iter().chain(&theirs) {
        size::figures(&report, name, sizes);
        line(name, sizes);
    }
    let (beside, peer) = theirs[0];
    for (name, sizes) in skins {
        for ((form, bytes), (_, peer_bytes)) in sizes.forms().into_iter().zip(peer.forms()) {
            report.compared(&format!("{name}.{form}"), bytes, "bytes", &format!("size.{beside}.{form}"), peer_bytes);
        }
        line(&format!("{name}: both"), sizes);
    }
    Ok(())
}

fn line(name: &str, Sizes { raw, gzip, brotli }: Sizes) {
    eprintln!("{name:<22} {raw:>8} {gzip:>8} {brotli:>8}");
}

fn costs(builder: &Builder<'_>, report: &Report, sdk: &Path, peers: &Path) -> Result<()> {
    let browser = setup::browser().context("there is no browser; `cargo xtask setup` installs one")?;
    let mut command = Command::new("node");
    command
        .arg(RUN)
        .arg(sdk)
        .arg(VAST_CLIENT.script(peers))
        .env("CHROMIUM", browser)
        .current_dir(&builder.workspace.root);
    show(&command);
    let output = command.output().context("cannot run node; install Node.js 20 or later (https://nodejs.org)")?;
    ensure!(output.status.success(), "{RUN}: {}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{RUN} printed no JSON"))?;
    let of = |library: &str, cost: &str| &measured["libraries"][library][cost];

    let [ours @ .., peer] = LIBRARIES;
    let beside = format!("the same of {peer} {}", VAST_CLIENT.version(peers)?);
    eprintln!("\n{:>10} {:>10} {:>10} {:>12}", ours[0], ours[1], ours[2], peer);
    for (cost, unit, about) in COSTS {
        let [web, tv, twin, other] = LIBRARIES.map(|library| rounded(of(library, cost)));
        eprintln!("{web:>10} {tv:>10} {twin:>10} {other:>12}  {unit}: {about}");
        for library in ours {
            report.compared(&format!("{library}.{cost}"), rounded(of(library, cost)), unit, &beside, other.clone());
        }
    }
    let pages = ours.map(|library| of(library, "memory-bytes").as_f64().unwrap_or_default() / PAGE_BYTES);
    eprintln!("{:>10} {:>10} {:>10} {:>12}  pages of 64 KiB: the wasm's memory", pages[0], pages[1], pages[2], "");
    for (library, pages) in ours.into_iter().zip(pages) {
        report.figure(&format!("{library}.memory-pages"), pages, "pages");
    }
    eprintln!(
        "Medians of {} rounds in turn, less what an empty listener takes. Chromium {}; {}",
        measured["rounds"],
        measured["version"].as_str().unwrap_or_default(),
        machine()
    );
    Ok(())
}

/// The machine, and what else it does.
fn machine() -> String {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (processor, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unnamed processor", |(_, model)| model);
    format!("{processors} × {model}, load {}", load.split(' ').next().unwrap_or_default())
}
