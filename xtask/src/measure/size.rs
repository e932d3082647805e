//! What is shipped, in bytes: as it is, and compressed as a server would.

use std::path::PathBuf;

use anyhow::Result;

use super::Report;
use crate::{
    build::Builder,
    npm::{self, Sizes},
};

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let cloudflare = builder.cloudflare()?;
    let edges = [
        ("edge-spin", vec![builder.spin()?]),
        ("edge-cloudflare", vec![cloudflare.join("index_bg.wasm"), cloudflare.join("index.js")]),
    ];
    for (name, files) in edges {
        figures(report, name, npm::sizes(&files)?.into_iter().sum());
    }
    for (name, sizes) in sdk(builder)? {
        figures(report, name, sizes);
    }
    Ok(())
}

/// The files of the SDK, each by its name among the figures.
pub(super) fn sdk(builder: &Builder<'_>) -> Result<Vec<(&'static str, Sizes)>> {
    let (web, tv) = (builder.sdk_web()?.folder, builder.sdk_tv()?.folder);
    let files = [
        ("sdk-web-wasm", web.join("slotkeeper_bg.wasm")),
        ("sdk-web-js", web.join("slotkeeper.js")),
        ("sdk-tv-wasm", tv.join("slotkeeper-tv.wasm")),
        ("sdk-tv-glue", tv.join("slotkeeper-tv.js")),
        ("sdk-tv-wasm2js", tv.join("slotkeeper-tv.asm.js")),
    ];
    let (names, paths): (Vec<_>, Vec<PathBuf>) = files.into_iter().unzip();
    Ok(names.into_iter().zip(npm::sizes(&paths)?).collect())
}

/// A figure for each form that is sent.
pub(super) fn figures(report: &Report, name: &str, sizes: Sizes) {
    for (form, bytes) in sizes.forms() {
        report.figure(&format!("{name}.{form}"), bytes, "bytes");
    }
}
