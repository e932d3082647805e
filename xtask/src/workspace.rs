//! Where things lie: the sources, and what is built from them.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The cargo profile of everything that runs as wasm at the edge.
pub const WASM_PROFILE: &str = "wasm";

/// The folders of this workspace. The target folder is wherever cargo says it is.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The repository's root.
    pub root: PathBuf,
    /// Cargo's target folder.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo, from anywhere inside the workspace.
    pub fn find() -> Result<Self> {
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cannot run cargo: install Rust with rustup (https://rustup.rs)")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata answered no JSON")?;
        let folder = |key: &str| metadata[key].as_str().map(PathBuf::from);
        Ok(Self {
            root: folder("workspace_root").context("cargo metadata named no workspace_root")?,
            target: folder("target_directory").context("cargo metadata named no target_directory")?,
        })
    }

    /// Cargo at the root, building into our target folder: where `CARGO_TARGET_DIR` is relative, it means another folder
    /// there than where we were called.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = Command::new(cargo());
        command.arg(subcommand).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// A wasm file as cargo leaves it for `target`, by the crate's name with underscores.
    pub fn wasm(&self, target: &str, profile: &str, crate_name: &str) -> PathBuf {
        self.target.join(target).join(profile).join(crate_name).with_extension("wasm")
    }

    /// The Spin component.
    pub fn spin_component(&self) -> PathBuf {
        self.wasm("wasm32-wasip2", WASM_PROFILE, "slotkeeper_edge_spin")
    }

    /// The folder of the Cloudflare worker's modules, `index.js` and `index_bg.wasm`.
    pub fn cloudflare_worker(&self) -> PathBuf {
        self.target.join("cloudflare")
    }

    /// The SDK as players load it: `web/slotkeeper.js` and its wasm, `tv/slotkeeper-tv.js` and its wasm.
    pub fn sdk(&self) -> PathBuf {
        self.root.join("sdk/dist")
    }

    /// The pages with the SDK beside them, as the origin serves them.
    pub fn www(&self) -> PathBuf {
        self.target.join("www")
    }

    /// A native program, from `target/debug` or `target/release`.
    pub fn program(&self, profile_folder: &str, name: &str) -> PathBuf {
        self.target.join(profile_folder).join(name).with_extension(env::consts::EXE_EXTENSION)
    }

    /// A tool that came with `npm ci`.
    pub fn npm_tool(&self, name: &str) -> Result<PathBuf> {
        built(self.root.join("node_modules/.bin").join(name), "cargo xtask setup")
    }

    /// A file of a package that came with `npm ci`.
    pub fn npm_file(&self, package: &str, file: &str) -> Result<PathBuf> {
        built(self.root.join("node_modules").join(package).join(file), "cargo xtask setup")
    }

    /// The server program of Cloudflare's runtime, from npm.
    pub fn workerd(&self) -> Result<PathBuf> {
        let package = match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => "workerd-linux-64",
            ("linux", "aarch64") => "workerd-linux-arm64",
            ("macos", "x86_64") => "workerd-darwin-64",
            ("macos", "aarch64") => "workerd-darwin-arm64",
            (system, processor) => bail!("there is no workerd for {system} on {processor}; try `--edge spin-host`"),
        };
        built(self.root.join("node_modules/@cloudflare").join(package).join("bin/workerd"), "cargo xtask setup")
    }
}

/// The cargo that runs us, or the one on `PATH`.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `path` if it is there, or an error that says which command makes it.
pub fn built(path: PathBuf, made_by: &str) -> Result<PathBuf> {
    ensure!(path.exists(), "{} is not there; `{made_by}` makes it", path.display());
    Ok(path)
}

/// The first program of these names on `PATH`.
pub fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path: &PathBuf| Path::is_file(path))
}
