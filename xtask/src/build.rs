//! `cargo xtask build`: everything that is run, served or shipped, from the sources.

mod sdk;

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use xtask::workspace::{WASM_PROFILE, Workspace, built};

use crate::{
    process::run,
    remap::Remap,
    stamp::{Stamp, clear},
};

/// A package that runs as wasm.
pub(crate) struct Wasm {
    pub(crate) package: &'static str,
    pub(crate) target: &'static str,
    /// How it is compiled.
    profile: &'static str,
    /// What else the compiler is told.
    flags: &'static [&'static str],
}

const EDGE_SPIN: Wasm =
    Wasm { package: "slotkeeper-edge-spin", target: "wasm32-wasip2", profile: WASM_PROFILE, flags: &[] };
const EDGE_CLOUDFLARE: Wasm =
    Wasm { package: "slotkeeper-edge-cloudflare", target: "wasm32-unknown-unknown", profile: WASM_PROFILE, flags: &[] };
/// Rust's stack is a megabyte unless told, which is 16 pages. A client is 50 KB, and is made on it.
const SDK_WEB: Wasm = Wasm {
    package: "slotkeeper-sdk-web",
    target: "wasm32v1-none",
    profile: SDK_PROFILE,
    flags: &["-Clink-arg=-zstack-size=131072", "-Ctarget-feature=+bulk-memory"],
};
const SDK_TV: Wasm = Wasm {
    package: "slotkeeper-sdk-tv",
    target: "wasm32v1-none",
    // For size, but not at any price; with that much inlining, brotli makes less of it than of the smallest.
    profile: "wasm",
    flags: &["-Clink-arg=-zstack-size=1024", "-Ctarget-feature=+bulk-memory", "-Cllvm-args=-inline-threshold=100"],
};

/// All of them. On any other target the edges are empty, and the SDK is its logic.
pub(crate) const WASM: [Wasm; 4] = [EDGE_SPIN, EDGE_CLOUDFLARE, SDK_WEB, SDK_TV];

/// The cargo profile of what players load.
const SDK_PROFILE: &str = "sdk";

/// What Rust's default wasm features are called in wasm-opt.
const WASM_FEATURES: [&str; 7] = [
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-reference-types",
    "--enable-exception-handling",
];

/// Where a folder remembers what it was made from.
const STAMP: &str = ".stamp";

/// Something that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Artifact {
    /// The native program `slotkeeper`
    Origin,
    /// The edge as a Spin component
    Spin,
    /// The edge as a Cloudflare-style worker
    Cloudflare,
    /// The client SDK, into sdk/dist
    Sdk,
    /// The pages with the SDK beside them (builds the SDK)
    Www,
    /// The program that runs the Spin component where `spin` is not installed
    SpinHost,
}

impl Artifact {
    pub(crate) const ALL: [Self; 6] =
        [Self::Origin, Self::Spin, Self::Cloudflare, Self::Sdk, Self::Www, Self::SpinHost];
}

/// How native programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// Only the package that is needed: the quickest way to one program.
    Debug,
    /// The same, optimised.
    Release,
    /// All packages and their tests in one go, with the features they have together, as `cargo test --workspace` does:
    /// so nothing is compiled twice when the tests follow.
    WithTests,
}

pub(crate) struct Builder<'a> {
    pub(crate) workspace: &'a Workspace,
    native: Native,
    all_is_built: Cell<bool>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(workspace: &'a Workspace, native: Native) -> Self {
        Self { workspace, native, all_is_built: Cell::new(false) }
    }

    pub(crate) fn build(&self, artifact: Artifact) -> Result<PathBuf> {
        match artifact {
            Artifact::Origin => self.origin(),
            Artifact::Spin => self.spin(),
            Artifact::Cloudflare => self.cloudflare(),
            Artifact::Sdk => self.sdk(),
            Artifact::Www => self.www(),
            Artifact::SpinHost => self.spin_host(),
        }
    }

    pub(crate) fn origin(&self) -> Result<PathBuf> {
        self.program("slotkeeper", "slotkeeper", self.native)
    }

    pub(crate) fn spin_host(&self) -> Result<PathBuf> {
        self.program("slotkeeper-tests", "spin-host", self.native)
    }

    /// A program of `xtask-bench`: always optimised, or it would measure itself.
    pub(crate) fn simulation(&self) -> Result<PathBuf> {
        self.program("slotkeeper-simulation", "slotkeeper-simulation", Native::Release)
    }

    pub(crate) fn bench(&self, name: &str) -> Result<PathBuf> {
        self.program("xtask-bench", name, Native::Release)
    }

    fn program(&self, package: &str, name: &str, native: Native) -> Result<PathBuf> {
        let one = ["--package", package, "--bin", name];
        let folder = match native {
            Native::Debug => {
                run(self.workspace.cargo("build").args(one))?;
                "debug"
            }
            Native::Release => {
                run(self.workspace.cargo("build").arg("--release").args(one))?;
                "release"
            }
            Native::WithTests => {
                if !self.all_is_built.replace(true) {
                    run(self.workspace.cargo("build").args(["--workspace", "--bins", "--tests"]))
                        .inspect_err(|_| self.all_is_built.set(false))?;
                }
                "debug"
            }
        };
        let path = self.workspace.program(folder, name);
        ensure!(path.exists(), "cargo built {package} but left no {}; has the program another name?", path.display());
        Ok(path)
    }

    /// Part of every stamp: another way to call wasm-bindgen makes other files of the same wasm.
    fn bindgen_source(&self) -> PathBuf {
        self.workspace.root.join("xtask/bindgen/src/main.rs")
    }

    fn wasm(&self, of: &Wasm) -> Result<PathBuf> {
        let Wasm { package, target, profile, flags } = of;
        let remap = Remap::of(self.workspace)?;
        let mut cargo = self.workspace.cargo("build");
        cargo.args(["--package", package, "--target", target, "--profile", profile]);
        run(cargo.env("CARGO_ENCODED_RUSTFLAGS", remap.rustflags(flags)))?;
        let path = self.workspace.wasm(target, profile, &package.replace('-', "_"));
        ensure!(
            path.exists(),
            "cargo built {package} but left no {}; its [lib] needs crate-type = [\"cdylib\"]",
            path.display()
        );
        remap.check(&path)?;
        Ok(path)
    }

    pub(crate) fn spin(&self) -> Result<PathBuf> {
        self.wasm(&EDGE_SPIN)
    }

    /// The worker's two modules: wasm-bindgen's output, optimised, and bundled with the shim around it.
    pub(crate) fn cloudflare(&self) -> Result<PathBuf> {
        let wasm = self.wasm(&EDGE_CLOUDFLARE)?;
        let shim = built(self.workspace.root.join("edge/cloudflare/shim.mjs"), "git checkout")?;
        let out = self.workspace.cloudflare_worker();
        let outputs = [out.join("index.js"), out.join("index_bg.wasm")];
        let stamp =
            Stamp::new(out.join(STAMP), &[&wasm, &shim, &self.bindgen_source(), &self.package_lock()], &WASM_FEATURES)?;
        if stamp.is_current(&outputs) {
            return Ok(out);
        }
        clear(&out)?;
        // The shim imports ./bindgen/index.js, so both are put beside each other.
        let parts = out.join("parts");
        let bindgen = parts.join("bindgen");
        self.bindgen("worker", &wasm, &bindgen, "index")?;
        let script = bindgen.join("index.js");
        let text = fs::read_to_string(&script)?;
        // Source-phase imports are newer than workerd's module loader, which gives the compiled module anyway.
        let text: String = text.lines().map(|line| plain_import(line) + "\n").collect();
        fs::write(&script, text)?;
        fs::copy(&shim, parts.join("shim.mjs"))?;
        self.optimise(&bindgen.join("index_bg.wasm"), &outputs[1])?;
        run(Command::new(self.workspace.npm_tool("esbuild")?)
            .arg(parts.join("shim.mjs"))
            .args(["--bundle", "--minify", "--format=esm", "--log-level=warning"])
            .args(["--external:./index_bg.wasm", "--external:cloudflare:*"])
            .arg(outfile(&outputs[0])))?;
        stamp.renew(&outputs)?;
        Ok(out)
    }

    /// The pages as the origin serves them: www/ as it is, the SDK as /sdk, /sdk/tv and /sdk/adapters, and hls.js with its
    /// licence as /vendor.
    pub(crate) fn www(&self) -> Result<PathBuf> {
        let sdk = self.sdk()?;
        let out = self.workspace.www();
        clear(&out)?;
        copy_folder(&self.workspace.root.join("www"), &out)?;
        copy_folder(&sdk.join("web"), &out.join("sdk"))?;
        copy_folder(&sdk.join("tv"), &out.join("sdk/tv"))?;
        copy_folder(&sdk.join("adapters"), &out.join("sdk/adapters"))?;
        self.vendor(&out.join("vendor"))?;
        Ok(out)
    }

    /// What the pages take from npm.
    fn vendor(&self, out: &Path) -> Result<()> {
        fs::create_dir_all(out)?;
        for (file, name) in [("dist/hls.min.mjs", "hls.min.mjs"), ("LICENSE", "hls.LICENSE.txt")] {
            let source = self.workspace.npm_file("hls.js", file)?;
            fs::copy(&source, out.join(name)).with_context(|| format!("cannot copy {}", source.display()))?;
        }
        Ok(())
    }

    fn bindgen(&self, target: &str, wasm: &Path, out: &Path, name: &str) -> Result<()> {
        clear(out)?;
        let native = if self.native == Native::WithTests { Native::WithTests } else { Native::Debug };
        let bindgen = self.program("xtask-bindgen", "xtask-bindgen", native)?;
        run(Command::new(bindgen).args(["--target", target]).arg(wasm).arg(out).arg(name))
    }

    fn optimise(&self, from: &Path, to: &Path) -> Result<()> {
        let wasm_opt = self.workspace.npm_tool("wasm-opt")?;
        run(Command::new(wasm_opt).arg("-Oz").args(WASM_FEATURES).arg(from).arg("-o").arg(to))
    }

    /// The versions of esbuild and wasm-opt.
    fn package_lock(&self) -> PathBuf {
        self.workspace.root.join("package-lock.json")
    }
}

fn plain_import(line: &str) -> String {
    match line.strip_prefix("import source ") {
        Some(rest) => format!("import {rest}"),
        None => line.into(),
    }
}

fn outfile(path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("--outfile=");
    argument.push(path);
    argument
}

/// Copies a folder with everything in it, leaving out what begins with a dot.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let copied = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if source.is_dir() {
                copy_folder(&source, &target).map_err(std::io::Error::other)?;
            } else {
                fs::copy(&source, &target)?;
            }
        }
        Ok(())
    };
    copied().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Builds what is asked and says where it is.
pub(crate) fn build(builder: &Builder<'_>, artifacts: &[Artifact]) -> Result<()> {
    for artifact in artifacts {
        println!("{}", builder.build(*artifact)?.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_source_phase_import_is_rewritten() {
        assert_eq!(plain_import("import source wasm from './index_bg.wasm';"), "import wasm from './index_bg.wasm';");
        assert_eq!(plain_import("const text = 'import source x';"), "const text = 'import source x';");
    }
}
