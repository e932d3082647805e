//! Compiling the guest, once for every build of it.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::component::{Component as Compiled, HasSelf, Linker};
use wasmtime::{Config, Engine};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::bindings::Imports;
use super::context::Context;

/// How often a busy guest is interrupted, to let others run and to end it when its time is over.
const EPOCH: Duration = Duration::from_millis(10);

/// A compiled component, ready to be instantiated in any number of hosts. Keep one per process, in a `LazyLock`.
#[derive(Clone)]
pub struct Component {
    pub(super) engine: Engine,
    pub(super) service: ServicePre<Context>,
}

/// The folder in which compiled components are kept: `cwasm` in cargo's target folder.
pub fn cache_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("cwasm")
}

impl Component {
    /// Loads a component that exports `wasi:http/handler@0.3.0`, as built by `spin-sdk` 7.
    ///
    /// Compiling takes seconds and loading what was compiled milliseconds, so the compiled code is kept in `cache`, for
    /// the latest build of each file name. Whoever can write there runs code as this process.
    pub fn load(wasm: impl AsRef<Path>, cache: impl AsRef<Path>) -> anyhow::Result<Self> {
        let wasm = wasm.as_ref();
        let bytes = fs::read(wasm).with_context(|| format!("cannot read {}; was it built?", wasm.display()))?;
        let engine = engine().map_err(into_anyhow)?;
        let compiled = Cache::new(cache.as_ref(), wasm, &bytes, &engine).compiled(&engine, &bytes)?;
        let service =
            link(&engine, &compiled).map_err(into_anyhow).with_context(|| format!("cannot link {}", wasm.display()))?;
        Ok(Component { engine, service })
    }
}

/// An engine with a thread that counts its epochs, until the last component of the engine is dropped.
fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(EPOCH);
        }
    });
    Ok(engine)
}

fn link(engine: &Engine, compiled: &Compiled) -> wasmtime::Result<ServicePre<Context>> {
    let mut linker = Linker::<Context>::new(engine);
    // Rust's standard library still imports version 0.2 of WASI.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    Imports::add_to_linker::<_, HasSelf<Context>>(&mut linker, |context| context)?;
    ServicePre::new(linker.instantiate_pre(compiled)?)
}

pub(super) fn into_anyhow(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}

/// Where the compiled code of one build is kept.
struct Cache {
    folder: PathBuf,
    /// What the files of all builds of this component begin with.
    name: String,
    file: PathBuf,
}

impl Cache {
    fn new(folder: &Path, wasm: &Path, bytes: &[u8], engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{}-", wasm.file_stem().unwrap_or_default().display());
        let file = folder.join(format!("{name}{:016x}.cwasm", hasher.finish()));
        Cache { folder: folder.to_path_buf(), name, file }
    }

    fn compiled(&self, engine: &Engine, bytes: &[u8]) -> anyhow::Result<Compiled> {
        if let Ok(compiled) = self.read(engine) {
            return Ok(compiled);
        }
        self.write(&engine.precompile_component(bytes).map_err(into_anyhow)?)
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        self.read(engine).map_err(into_anyhow)
    }

    #[expect(unsafe_code, reason = "compiled code can only be mapped, not checked")]
    fn read(&self, engine: &Engine) -> wasmtime::Result<Compiled> {
        // SAFETY: the file is made by `write` below, in a folder of this workspace's own build output, and is never
        // changed in place.
        unsafe { Compiled::deserialize_file(engine, &self.file) }
    }

    /// Puts the file in place at once, since other test processes may look for it, and removes those of older builds.
    fn write(&self, code: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&self.name) {
                // Another process may have been faster; and one that has it mapped keeps it.
                let _ = fs::remove_file(entry.path());
            }
        }
        let unfinished = self.folder.join(format!("unfinished-{}", std::process::id()));
        fs::write(&unfinished, code)?;
        fs::rename(&unfinished, &self.file)
    }
}
