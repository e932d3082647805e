//! Programs of Python's package index that tests run against.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// A Python that can import `modules`, which `package` brings, in a folder of its own below the build's, made once. (Tests of one
/// program may ask at once.)
pub(crate) fn python(name: &str, modules: &str, package: &str) -> Result<PathBuf, String> {
    static MADE: Mutex<()> = Mutex::new(());
    let _one = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let python = folder.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| -> Result<(), String> {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("{} {arguments:?}: {last}", program.display())) }
    };
    if run(&python, &["-c", &format!("import {modules}")]).is_err() {
        run(Path::new("python3"), &["-m", "venv", folder.to_str().unwrap()])?;
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package])?;
    }
    Ok(python)
}
