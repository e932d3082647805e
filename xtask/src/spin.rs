//! The Spin edge on `spin up`: the manifest, wherever cargo's target folder is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::Workspace;

/// `spin.toml`; or where the target folder is not `target`, a copy of it in `folder` that names the component there.
pub fn manifest(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let manifest = workspace.root.join("spin.toml");
    if workspace.target == workspace.root.join("target") {
        return Ok(manifest);
    }
    let component = workspace.spin_component();
    let usual = component.strip_prefix(&workspace.target).context("the component is outside the target folder")?;
    let named = format!("\"target/{}\"", usual.display());
    let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    ensure!(text.contains(&named), "{} does not name its component as {named}", manifest.display());
    let copy = folder.join("spin.toml");
    fs::write(&copy, text.replace(&named, &format!("\"{}\"", component.display())))
        .with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}
