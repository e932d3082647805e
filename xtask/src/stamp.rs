//! Whether files already are what the present inputs would make.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// A note of what outputs were made from, kept in a file. It need not resist anybody, only notice change; and it covers
/// the outputs too, because they may lie where another target folder's build also writes.
pub(crate) struct Stamp {
    file: PathBuf,
    made_from: u64,
}

impl Stamp {
    /// For outputs made from the contents of `inputs` with `options`; remembered in `file`.
    pub(crate) fn new(file: PathBuf, inputs: &[&Path], options: &[&str]) -> Result<Self> {
        let mut hasher = DefaultHasher::new();
        options.hash(&mut hasher);
        for input in inputs {
            fs::read(input).with_context(|| format!("cannot read {}", input.display()))?.hash(&mut hasher);
        }
        Ok(Self { file, made_from: hasher.finish() })
    }

    /// Whether `outputs` are there, as they were made from these very inputs.
    pub(crate) fn is_current(&self, outputs: &[PathBuf]) -> bool {
        self.text(outputs).is_ok_and(|text| fs::read_to_string(&self.file).is_ok_and(|stamp| stamp == text))
    }

    /// Remembers that `outputs` have been made.
    pub(crate) fn renew(&self, outputs: &[PathBuf]) -> Result<()> {
        fs::write(&self.file, self.text(outputs)?).with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn text(&self, outputs: &[PathBuf]) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        for output in outputs {
            fs::read(output).with_context(|| format!("{} was not made", output.display()))?.hash(&mut hasher);
        }
        Ok(format!("{:016x} {:016x}\n", self.made_from, hasher.finish()))
    }
}

/// Makes `folder`, empty.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_option_input_or_output_is_noticed() {
        let folder = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        clear(&folder).unwrap();
        let (input, output) = (folder.join("input"), [folder.join("output")]);
        let stamp = |option| Stamp::new(folder.join("stamp"), &[&input], &[option]).unwrap();
        fs::write(&input, "a").unwrap();
        assert!(stamp("-O").renew(&output).is_err(), "an output that was not made");
        fs::write(&output[0], "A").unwrap();
        assert!(!stamp("-O").is_current(&output));
        stamp("-O").renew(&output).unwrap();
        assert!(stamp("-O").is_current(&output));
        assert!(!stamp("-Oz").is_current(&output));
        fs::write(&output[0], "B").unwrap();
        assert!(!stamp("-O").is_current(&output));
        fs::write(&output[0], "A").unwrap();
        fs::write(&input, "b").unwrap();
        assert!(!stamp("-O").is_current(&output));
        fs::remove_dir_all(&folder).unwrap();
    }
}
