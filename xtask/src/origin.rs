//! The origin's command line, as far as the chores use it: one function a command.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use xtask::workerd::write_private;

use crate::process::{run, show};

const KEYS_FILE: &str = "keys.env";

/// The secrets of one installation, by their environment variable. Never printed.
pub(crate) struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Reads `data/keys.env`, made by `slotkeeper keys new` the first time.
    pub(crate) fn of(program: &Path, data: &Path) -> Result<Self> {
        let path = data.join(KEYS_FILE);
        if !path.exists() {
            let mut command = Command::new(program);
            command.args(["keys", "new"]).stderr(Stdio::inherit());
            show(&command);
            let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
            ensure!(output.status.success(), "`slotkeeper keys new` failed ({})", output.status);
            write_private(&path, &String::from_utf8(output.stdout).context("the new keys are not text")?)?;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let secrets = Self(parse(&text));
        for name in ["SLOTKEEPER_KEYS", "SLOTKEEPER_PSEUDONYM_KEY"] {
            ensure!(
                secrets.0.contains_key(name),
                "{} holds no {name}; delete it to have new keys made",
                path.display()
            );
        }
        Ok(secrets)
    }

    /// What every program of the origin gets in its environment.
    fn give(&self, command: &mut Command) {
        command.envs(self.0.iter().filter(|(name, _)| *name == "SLOTKEEPER_KEYS"));
    }

    /// The edge's settings that are secret, by their lower-case name.
    pub(crate) fn edge_variables(&self) -> impl Iterator<Item = (String, String)> {
        let settings = [("keys", "SLOTKEEPER_KEYS"), ("pseudonym_key", "SLOTKEEPER_PSEUDONYM_KEY")];
        settings.into_iter().filter_map(|(setting, name)| Some((setting.into(), self.0.get(name)?.clone())))
    }
}

/// `NAME=VALUE` lines, with or without `export` and quotes.
fn parse(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (name, value) = line.trim().trim_start_matches("export ").split_once('=')?;
        (!name.starts_with('#')).then(|| (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// One origin with its data folder.
pub(crate) struct Origin<'a> {
    pub(crate) program: &'a Path,
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) secrets: &'a Secrets,
}

impl Origin<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(words);
        self.secrets.give(&mut command);
        command
    }

    /// Takes contracts from a file.
    pub(crate) fn import_contracts(&self, contracts: &Path) -> Result<()> {
        run(self.command(&["contracts", "import"]).arg(contracts).arg("--data").arg(&self.data))
    }

    /// The server; to be started by the caller. Empties the outboxes in `redis`, if the edge keeps them there.
    pub(crate) fn serve(&self, www: &Path, edge: &Edge, redis: Option<SocketAddr>) -> Command {
        let mut command = self.command(&["serve"]);
        command.arg("--data").arg(&self.data).args(self.neighbours(edge));
        command.args(["--listen", &self.listen.to_string()]).arg("--www").arg(www);
        if let Some(address) = redis {
            command.args(["--redis", &format!("redis://{address}"), "--redis-edge-id", edge.name]);
        }
        command
    }

    /// The server without an edge, pages and vendors.
    pub(crate) fn serve_alone(&self) -> Command {
        let mut command = self.command(&["serve", "--publish-every", "0", "--no-trackers"]);
        command.arg("--data").arg(&self.data).args(["--listen", &self.listen.to_string()]);
        command
    }

    /// Gives a program what this origin's programs know.
    pub(crate) fn give_secrets(&self, command: &mut Command) {
        self.secrets.give(command);
    }

    /// Makes a plan from the contracts and puts it on the edge.
    pub(crate) fn publish_plan(&self, edge: &Edge) -> Result<()> {
        run(self.command(&["plan", "publish"]).arg("--data").arg(&self.data).args(self.neighbours(edge)))
    }

    /// Its edge, and where players reach itself.
    fn neighbours(&self, edge: &Edge) -> [String; 4] {
        ["--edge".into(), edge.to_string(), "--public-url".into(), format!("http://{}", self.listen)]
    }
}

/// An edge as the origin is told of it: `NAME=URL`.
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
}

impl std::fmt::Display for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=http://{}", self.name, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_however_a_shell_would_take_them() {
        let read = parse(
            "# new\nSLOTKEEPER_KEYS=1:ab\nSLOTKEEPER_KEY_ROLES=1:minting:2026\nexport SLOTKEEPER_PSEUDONYM_KEY=\"cd\"\n\n",
        );
        let secrets = Secrets(read);
        let variables: Vec<_> = secrets.edge_variables().collect();
        assert_eq!(variables, [("keys".into(), "1:ab".into()), ("pseudonym_key".into(), "cd".into())]);
    }
}
