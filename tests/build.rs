//! Generates the wasmtime bindings of Spin's interfaces from the WIT files that the `spin-sdk` package ships, so that
//! nothing is copied and host and guest can only ever be built from the same version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/spin_host/bindings.in");
    println!("cargo::rerun-if-changed=../Cargo.lock");

    let template = fs::read_to_string("src/spin_host/bindings.in")?;
    let wit = spin_sdk_folder()?.join("wit");
    let wit = wit.to_str().ok_or("the path of spin-sdk is not valid UTF-8")?;
    let bindings = template.replace("@WIT@", &wit.escape_default().to_string());
    fs::write(Path::new(&env::var("OUT_DIR")?).join("bindings.rs"), bindings)?;
    Ok(())
}

/// Where cargo keeps the source of the `spin-sdk` that the workspace's lock file names.
fn spin_sdk_folder() -> Result<PathBuf, Box<dyn Error>> {
    // The guest's platform: on the others the guest is empty and depends on nothing.
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform=wasm32-wasip2"])
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "spin-sdk")
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or("spin-sdk is not in the workspace's lock file; edge/spin must depend on it")?;
    Ok(Path::new(manifest).with_file_name(""))
}
