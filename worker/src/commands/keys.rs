//! `slotkeeper keys`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use slotkeeper::{
    clock,
    edges::Edge,
    keys::{Finding, Key, Keys as Ring, KeysFile, Question, RETIRE_AFTER_MS, Step, ask_all},
    say, tell,
};
use slotkeeper_core::{keys::Keyring, time::UnixMillis};

use super::runtime;
use crate::table;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Print fresh secrets for an origin and its edges, as environment variables
    New,
    /// Show which keys there are, what each is for and since when; never the secrets
    Show(File),
    /// Take the next step of replacing the minting key, and say what to do after it. One step a call:
    /// add, promote, confirm, retire. A step that is too early is refused
    Rotate(Rotate),
}

#[derive(Args)]
pub(crate) struct File {
    /// The file with the line `SLOTKEEPER_KEYS=…`, such as `slotkeeper keys new > keys.env` makes
    #[arg(long, env = "SLOTKEEPER_KEYS_FILE", value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    file: File,
    /// An edge to ask whether it is ready, [NAME=]URL; give it once for each edge there is
    #[arg(long = "edge", env = "SLOTKEEPER_EDGES", value_delimiter = ',', value_name = "[NAME=]URL")]
    edges: Vec<Edge>,
    /// Where this origin answers, to ask it as well
    #[arg(long, env = "SLOTKEEPER_PUBLIC_URL", value_name = "URL")]
    origin: Option<String>,
    /// Take the step whether or not everybody is ready for it: for a key that has leaked. What was sealed with a key that
    /// goes too early is refused
    #[arg(long)]
    force: bool,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::New => new(),
            Self::Show(file) => show(&file),
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

fn new() -> anyhow::Result<ExitCode> {
    say!("SLOTKEEPER_KEYS=1:{}", secret()?);
    say!("SLOTKEEPER_KEY_ROLES=1:minting:{}", clock::shown(clock::now()));
    say!("SLOTKEEPER_PSEUDONYM_KEY={}", secret()?);
    Ok(ExitCode::SUCCESS)
}

fn show(file: &File) -> anyhow::Result<ExitCode> {
    let file = KeysFile::open(&file.file)?;
    let now = clock::now();
    let rows: Vec<_> = file.keys.all().iter().map(|key| row(key, now)).collect();
    table::print(["key", "role", "since", "days"], &rows);
    if file.is_exposed() {
        say!("warning: others than its owner may read this file; `chmod 600` it");
    }
    say!("next: {}", next(&file.keys, now));
    Ok(ExitCode::SUCCESS)
}

fn row(key: &Key, now: UnixMillis) -> [String; 4] {
    let known = key.since.filter(|since| since.0 > 0);
    let since = known.map_or_else(|| "-".into(), clock::shown);
    let days = known.map_or_else(|| "-".into(), |since| (now.since_ms(since) / 86_400_000).to_string());
    [key.id.to_string(), key.role.as_str().into(), since, days]
}

/// What the next `rotate` would do.
fn next(keys: &Ring, now: UnixMillis) -> String {
    match keys.next_step() {
        Step::Add => "`keys rotate` adds a new key, which only verifies".into(),
        Step::Promote { next } => {
            format!("once every edge and the origin have this keyring, `keys rotate` lets key {next} mint")
        }
        Step::Confirm { minting } => format!(
            "once every edge and the origin have this keyring, `keys rotate` checks that all of them mint with key \
             {minting}, and begins to count the last hours of the key before it"
        ),
        Step::Retire { retiring, not_before } if not_before > now => {
            format!("from {} on, `keys rotate` takes out key {retiring}", clock::shown(not_before))
        }
        Step::Retire { retiring, .. } => format!("`keys rotate` takes out key {retiring}: nothing it sealed is alive"),
    }
}

impl Rotate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut file = KeysFile::open(&self.file.file)?;
        let now = clock::now();
        let step = file.keys.next_step();
        if let Some(objection) = self.objection(&file.keys, step, now)? {
            if !self.force {
                tell!("slotkeeper: {objection}");
                tell!("slotkeeper: nothing was changed; --force takes the step all the same");
                return Ok(ExitCode::FAILURE);
            }
            say!("forced, although {objection}");
        }
        file.keys.take(step, secret()?, now)?;
        file.save()?;
        say!("{}", done(step));
        if !matches!(step, Step::Confirm { .. }) {
            let path = self.file.file.display();
            say!("now configure every edge and the origin with the SLOTKEEPER_KEYS of {path}, in any order:");
            say!("  the origin  its environment; restart `slotkeeper serve`");
            say!("  Spin        the variable `keys` (SPIN_VARIABLE_KEYS, or your variables provider); redeploy");
            say!("  Cloudflare  the secret SLOTKEEPER_KEYS (`wrangler secret put SLOTKEEPER_KEYS`)");
        }
        say!("next: {}", next(&file.keys, now));
        Ok(ExitCode::SUCCESS)
    }

    /// Why the step should not be taken now.
    fn objection(&self, keys: &Ring, step: Step, now: UnixMillis) -> anyhow::Result<Option<String>> {
        let question = match step {
            Step::Add => return Ok(None),
            Step::Retire { retiring, not_before } => {
                return Ok((not_before > now).then(|| {
                    let (days, until) = (RETIRE_AFTER_MS.div_ceil(86_400_000), clock::shown(not_before));
                    format!("what key {retiring} sealed lives for up to {days} days, until {until}")
                }));
            }
            Step::Promote { .. } => Question::Accepts(Keyring::parse(&keys.keyring_of_next())?),
            Step::Confirm { minting } => Question::MintsWith(minting),
        };
        let (Some(origin), false) = (&self.origin, self.edges.is_empty()) else {
            let ask = "this step needs an answer from every edge and the origin; name them with --edge and --origin";
            return Ok(Some(ask.into()));
        };
        let findings = runtime()?.block_on(ask_all(&question, &self.edges, origin))?;
        let refusal = |finding: &Finding| Some(format!("{} {}", finding.who, finding.objection.as_ref()?));
        let refusals: Vec<String> = findings.iter().filter_map(refusal).collect();
        Ok((!refusals.is_empty()).then(|| refusals.join("; ")))
    }
}

fn done(step: Step) -> String {
    match step {
        Step::Add => "added a key, which verifies and does not mint".into(),
        Step::Promote { next } => format!("key {next} mints from now on; the one before it verifies"),
        Step::Confirm { minting } => format!("everybody mints with key {minting}; the one before it retires"),
        Step::Retire { retiring, .. } => format!("key {retiring} is gone"),
    }
}

/// 32 random bytes in hexadecimal.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("asking the system for random bytes")?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}
