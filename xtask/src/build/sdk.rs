//! The client SDK's files, as its npm package ships them: `dist/web`, `dist/tv`, and beside them what is shipped as it is written,
//! `dist/types` and `dist/adapters`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Builder, SDK_TV, SDK_WEB, STAMP, copy_folder, outfile};
use crate::{
    process::run,
    stamp::{Stamp, clear},
};

/// The oldest engine whose syntax the web skin is lowered to: the first with `import.meta`.
const WEB_SYNTAX: &str = "--target=chrome64";
const LICENCE: &str = "/* slotkeeper, Apache-2.0 */";

/// What wasm may use when it comes from the compiler: `memory.copy` and `memory.fill` are shorter than the loops that the
/// compiler writes without them, and become one small loop each below.
const FROM: [&str; 3] = ["--enable-mutable-globals", "--enable-bulk-memory", "--enable-bulk-memory-opt"];
const LOWER: [&str; 6] = [
    "--llvm-memory-copy-fill-lowering",
    "-Oz",
    // What `-Oz` made of shifts, where the file says that it may.
    "--signext-lowering",
    "--strip-debug",
    "--strip-producers",
    // Or `-mvp` below would be overruled by what the file says of itself.
    "--strip-target-features",
];
/// Fails if anything is left that came after the first wasm.
const MVP: [&str; 3] = ["-mvp", "-Oz", "--converge"];
/// Of the television's, what the linker exports for tools goes, and its memory, since only numbers are spoken to it, and what
/// guards traps that never happen; its loops are made anew; and the order of its functions is one that brotli likes.
const TV_ONLY: [&str; 10] = [
    "--remove-exports=__*",
    "--remove-exports=memory",
    "--traps-never-happen",
    // There, only the stack is, which nothing needs.
    "--low-memory-unused",
    "--flatten",
    "--rereloop",
    "-Oz",
    "--coalesce-locals",
    "--reorder-locals",
    "--reorder-functions-by-name",
];
/// How the television's scripts are made small, for engines that know ES5: terser makes them a twentieth smaller than esbuild
/// does, and brotli makes less of variables that are declared together. Properties whose name ends so are the script's own.
const TV_SCRIPT: [&str; 8] =
    ["--ecma", "5", "--toplevel", "--compress", "passes=4,hoist_vars", "--mangle", "--mangle-props", "regex=/_$/"];

/// All that the files are made with.
fn options(more: &[&'static str]) -> Vec<&'static str> {
    [LICENCE].into_iter().chain(FROM).chain(LOWER).chain(MVP).chain(more.iter().copied()).collect()
}

/// The files of one skin.
pub(crate) struct Skin {
    /// Where they lie.
    pub(crate) folder: PathBuf,
    /// Their names, the script first.
    pub(crate) files: &'static [&'static str],
}

impl Skin {
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| self.folder.join(file)).collect()
    }
}

impl Builder<'_> {
    /// All of it; returns the folder that holds it.
    pub(crate) fn sdk(&self) -> Result<PathBuf> {
        self.sdk_web()?;
        let tv = self.sdk_tv()?;
        let (source, out) = (self.workspace.root.join("sdk"), self.workspace.sdk());
        for folder in ["types", "adapters"] {
            clear(&out.join(folder))?;
            copy_folder(&source.join(folder), &out.join(folder))?;
        }
        // The package's scripts are ES modules; the television's are not.
        fs::copy(source.join("tv/package.json"), tv.folder.join("package.json"))
            .context("cannot copy sdk/tv/package.json")?;
        Ok(out)
    }

    /// An ES module and its wasm: what wasm-bindgen makes of the rules, with the skin around it.
    pub(crate) fn sdk_web(&self) -> Result<Skin> {
        let wasm = self.wasm(&SDK_WEB)?;
        let scripts = scripts_in(&self.workspace.root.join("sdk/web/skin"))?;
        let folder = self.workspace.sdk().join("web");
        let skin = Skin { folder, files: &["slotkeeper.js", "slotkeeper_bg.wasm"] };
        let bindgen = self.workspace.target.join("sdk/web");
        let outputs = skin.paths();
        let (bindgen_source, package_lock) = (self.bindgen_source(), self.package_lock());
        let inputs = [&wasm, &bindgen_source, &package_lock].into_iter().chain(&scripts);
        let inputs = inputs.map(PathBuf::as_path).collect::<Vec<_>>();
        let stamp = Stamp::new(bindgen.join(STAMP), &inputs, &options(&[WEB_SYNTAX]))?;
        if stamp.is_current(&outputs) {
            return Ok(skin);
        }
        clear(&skin.folder)?;
        self.bindgen("web", &wasm, &bindgen, "slotkeeper")?;
        self.lower(&bindgen.join("slotkeeper_bg.wasm"), &bindgen, &[], &outputs[1])?;
        for script in &scripts {
            let name = script.file_name().context("a script without a name")?;
            fs::copy(script, bindgen.join(name)).with_context(|| format!("cannot copy {}", script.display()))?;
        }
        self.minify(&bindgen.join("index.js"), &outputs[0], &["--bundle", "--format=esm", WEB_SYNTAX])?;
        stamp.renew(&outputs)?;
        Ok(skin)
    }

    /// A classic script, its wasm, and the same wasm as a script for sets that have none.
    pub(crate) fn sdk_tv(&self) -> Result<Skin> {
        let wasm = self.wasm(&SDK_TV)?;
        let glue = self.workspace.root.join("sdk/tv/glue.js");
        let folder = self.workspace.sdk().join("tv");
        let skin = Skin { folder, files: &["slotkeeper-tv.js", "slotkeeper-tv.wasm", "slotkeeper-tv.asm.js"] };
        let work = self.workspace.target.join("sdk/tv");
        let outputs = skin.paths();
        let options = options(&[&TV_ONLY[..], &TV_SCRIPT].concat());
        let stamp = Stamp::new(work.join(STAMP), &[&wasm, &glue, &self.package_lock()], &options)?;
        if stamp.is_current(&outputs) {
            return Ok(skin);
        }
        clear(&skin.folder)?;
        clear(&work)?;
        self.lower(&wasm, &work, &TV_ONLY, &outputs[1])?;
        self.twin(&outputs[1], &work, &outputs[2])?;
        self.minify_tv(&glue, &outputs[0])?;
        stamp.renew(&outputs)?;
        Ok(skin)
    }

    /// The wasm as a script that leaves at its own element a function `instantiate`, which makes an instance's exports.
    fn twin(&self, wasm: &Path, work: &Path, to: &Path) -> Result<()> {
        let module = work.join("twin.mjs");
        let wasm2js = self.workspace.npm_tool("wasm2js")?;
        run(Command::new(wasm2js).args(["-Oz"]).arg(wasm).arg("-o").arg(&module))?;
        let text = fs::read_to_string(&module)?;
        // What follows is an instance for an ES module's exports; a classic script has neither.
        let (function, _) = text.split_once("var retasmFunc").context("wasm2js writes another kind of module now")?;
        ensure!(!function.contains("import "), "the television's wasm imports something, which it must not");
        let script = work.join("twin.js");
        fs::write(
            &script,
            format!(
                "(function(){{\n{function}\ndocument.currentScript.instantiate=function(){{return asmFunc({{}})}};\n}})();\n"
            ),
        )?;
        self.minify_tv(&script, to)
    }

    fn minify_tv(&self, from: &Path, to: &Path) -> Result<()> {
        let map = to.with_added_extension("map");
        // It names neither its map nor its licence: both lie beside it, and a player loads neither.
        run(Command::new(self.workspace.npm_tool("terser")?)
            .arg(from)
            .args(TV_SCRIPT)
            .args(["--source-map", "includeSources"])
            .arg("--output")
            .arg(to))?;
        name_sources(&map)
    }

    /// Makes of wasm the first wasm there was, as small as it gets.
    fn lower(&self, from: &Path, work: &Path, more: &[&str], to: &Path) -> Result<()> {
        let lowered = work.join("lowered.wasm");
        let wasm_opt = self.workspace.npm_tool("wasm-opt")?;
        run(Command::new(&wasm_opt).args(FROM).args(LOWER).arg(from).arg("-o").arg(&lowered))?;
        run(Command::new(&wasm_opt).args(more).args(MVP).arg(&lowered).arg("-o").arg(to))
    }

    fn minify(&self, from: &Path, to: &Path, options: &[&str]) -> Result<()> {
        let licence = format!("--banner:js={LICENCE}");
        run(Command::new(self.workspace.npm_tool("esbuild")?)
            .arg(from)
            .args(["--minify", "--sourcemap", "--log-level=warning", &licence])
            .args(options)
            .arg(outfile(to)))?;
        name_sources(&to.with_added_extension("map"))
    }
}

/// The scripts of a folder, in the order of their names.
fn scripts_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().with_context(|| format!("cannot read {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "js"));
    paths.sort();
    Ok(paths)
}

/// Leaves of the sources in a source map their names alone: where they lay when this was built is nobody's business.
fn name_sources(map: &Path) -> Result<()> {
    let text = fs::read_to_string(map).with_context(|| format!("there is no {}", map.display()))?;
    let mut json: Value = serde_json::from_str(&text)?;
    for source in json["sources"].as_array_mut().context("a source map without sources")? {
        let name = source.as_str().and_then(|path| path.rsplit('/').next()).context("a source without a name")?;
        *source = name.into();
    }
    fs::write(map, json.to_string()).with_context(|| format!("cannot write {}", map.display()))
}
