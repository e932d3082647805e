//! What is shipped names no folder of the machine that built it.
//!
//! Panic messages say where in the sources they are. Of crates from a registry that is a path below the builder's home, so the
//! compiler is told to write a shorter one.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xtask::workspace::Workspace;

/// Between flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// The folders of this machine that sources and generated sources lie in, and what to call them.
pub(crate) struct Remap(Vec<(PathBuf, &'static str)>);

impl Remap {
    pub(crate) fn of(workspace: &Workspace) -> Result<Self> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).args(["--print", "sysroot"]).current_dir(&workspace.root).output();
        let sysroot =
            String::from_utf8(output.context("cannot run rustc")?.stdout).context("rustc's sysroot is no text")?;
        let home = env::home_dir();
        let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".cargo")));
        // Of two that fit, the compiler takes the later.
        let mut folders = vec![(workspace.root.clone(), ".")];
        folders.extend(cargo.map(|folder| (folder, "cargo")));
        folders.push((PathBuf::from(sysroot.trim()), "rust"));
        folders.push((workspace.target.clone(), "target"));
        Ok(Self(folders))
    }

    /// The builder's own flags, ours, and these.
    pub(crate) fn rustflags(&self, more: &[&str]) -> OsString {
        let given = env::var("CARGO_ENCODED_RUSTFLAGS").ok().or_else(|| {
            let flags = env::var("RUSTFLAGS").ok()?;
            Some(flags.split_whitespace().collect::<Vec<_>>().join(SEPARATOR))
        });
        let mut flags = OsString::new();
        let mut add = |flag: OsString| {
            if !flags.is_empty() {
                flags.push(SEPARATOR);
            }
            flags.push(flag);
        };
        for flag in more {
            add(flag.into());
        }
        given.filter(|given| !given.is_empty()).into_iter().for_each(|given| add(given.into()));
        for (folder, name) in &self.0 {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(folder);
            flag.push("=");
            flag.push(name);
            add(flag);
        }
        flags
    }

    /// Fails if a file to be shipped names one of the folders all the same.
    pub(crate) fn check(&self, file: &Path) -> Result<()> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        for (folder, _) in &self.0 {
            let name = folder.as_os_str().as_encoded_bytes();
            ensure!(
                !bytes.windows(name.len()).any(|window| window == name),
                "{} names {}, a folder of this machine",
                file.display(),
                folder.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_names_a_folder_of_this_machine_is_found() {
        let folder = env::temp_dir().join(format!("xtask-remap-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let remap = Remap(vec![(PathBuf::from("/home/builder/.cargo"), "cargo")]);
        let check = |text: &str| {
            let file = folder.join("file.wasm");
            fs::write(&file, text).unwrap();
            remap.check(&file)
        };
        assert!(check("panicked at cargo/registry/src/x/src/lib.rs").is_ok());
        let found = check("\0panicked at /home/builder/.cargo/registry/src/x/src/lib.rs").unwrap_err().to_string();
        assert!(found.ends_with("names /home/builder/.cargo, a folder of this machine"), "{found}");
        assert!(
            remap.rustflags(&["-Cx"]).to_string_lossy().ends_with("--remap-path-prefix=/home/builder/.cargo=cargo")
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
