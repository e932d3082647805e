//! The Cloudflare edge on plain workerd: one rendering of its configuration for `up`, `measure` and the contract tests.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{Workspace, built};

const TEMPLATE: &str = include_str!("../../edge/cloudflare/workerd.capnp");
const CONFIG_FILE: &str = "workerd.capnp";
const STORAGE_FOLDER: &str = "storage";
const MODULES: [&str; 2] = ["index.js", "index_bg.wasm"];

/// What differs between two runs of the edge.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder where the Durable Objects keep their SQLite files. It must exist.
    pub storage: &'a Path,
    /// The edge's settings by their lower-case name (`keys`, `origin_url`, …), bound as `SLOTKEEPER_KEYS` and so on.
    pub variables: &'a [(String, String)],
}

/// The configuration file's text. It holds the secrets among the variables.
pub fn config(settings: &Settings<'_>) -> Result<String> {
    let mut variables = String::new();
    for (name, value) in settings.variables {
        let name = text(&format!("SLOTKEEPER_{}", name.to_uppercase()))?;
        writeln!(variables, "    (name = {name}, text = {}),", text(value)?)?;
    }
    let storage = settings.storage.to_str().context("the path of the storage folder is not UTF-8")?;
    Ok(TEMPLATE
        .replace("{{listen}}", &text(&settings.listen.to_string())?)
        .replace("{{storage}}", &text(storage)?)
        .replace("{{variables}}", &variables))
}

/// Makes `folder` ready to serve from: a copy of the built worker, a `storage` folder, the configuration (readable by its
/// owner only). Returns the configuration's path, for `workerd serve PATH`.
pub fn install(
    workspace: &Workspace,
    folder: &Path,
    listen: SocketAddr,
    variables: &[(String, String)],
) -> Result<PathBuf> {
    let storage = folder.join(STORAGE_FOLDER);
    fs::create_dir_all(&storage).with_context(|| format!("cannot create {}", storage.display()))?;
    let storage = storage.canonicalize()?;
    for module in MODULES {
        let source = built(workspace.cloudflare_worker().join(module), "cargo xtask build cloudflare")?;
        fs::copy(&source, folder.join(module)).with_context(|| format!("cannot copy {}", source.display()))?;
    }
    let path = folder.join(CONFIG_FILE);
    write_private(&path, &config(&Settings { listen, storage: &storage, variables })?)?;
    Ok(path)
}

/// Writes a file that holds secrets: readable by its owner only, from the first byte on.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let written = || -> std::io::Result<()> {
        let _ = fs::remove_file(path); // the mode below applies to a new file only
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// A Cap'n Proto text literal.
fn text(value: &str) -> Result<String> {
    ensure!(!value.contains(char::is_control), "a value of the workerd configuration holds a control character");
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(variables: &[(&str, &str)]) -> Result<String> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let listen = ([127, 0, 0, 1], 3000).into();
        config(&Settings { listen, storage: Path::new("/data/storage"), variables: &variables })
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        let config = rendered(&[("keys", "1:ab"), ("edge_id", "cloudflare")]).unwrap();
        assert!(!config.contains("{{listen}}") && !config.contains("{{storage}}") && !config.contains("{{variables}}"));
        assert!(config.contains(r#"address = "127.0.0.1:3000""#));
        assert!(config.contains(r#"path = "/data/storage""#));
        assert!(config.contains(r#"(name = "SLOTKEEPER_KEYS", text = "1:ab"),"#));
        assert!(config.contains(r#"(name = "SLOTKEEPER_EDGE_ID", text = "cloudflare"),"#));
    }

    #[test]
    fn a_value_cannot_end_its_literal() {
        let config = rendered(&[("edge_id", r#"a"\b"#)]).unwrap();
        assert!(config.contains(r#"text = "a\"\\b""#));
        assert!(rendered(&[("edge_id", "a\nb")]).is_err());
    }
}
