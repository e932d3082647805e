//! What is shipped, in bytes: as it is, and compressed as a server would.

use anyhow::Result;

use super::Report;
use crate::{
    build::Builder,
    npm::{self, Sizes},
};

pub(super) fn measure(builder: &Builder<'_>, report: &Report) -> Result<()> {
    let cloudflare = builder.cloudflare()?;
    let (web, tv) = (builder.sdk_web()?.folder, builder.sdk_tv()?.folder);
    let shipped = [
        ("edge-spin", vec![builder.spin()?]),
        ("edge-cloudflare", vec![cloudflare.join("index_bg.wasm"), cloudflare.join("index.js")]),
        ("sdk-web-wasm", vec![web.join("slotkeeper_bg.wasm")]),
        ("sdk-web-js", vec![web.join("slotkeeper.js")]),
        ("sdk-tv-wasm", vec![tv.join("slotkeeper-tv.wasm")]),
        ("sdk-tv-glue", vec![tv.join("slotkeeper-tv.js")]),
        ("sdk-tv-wasm2js", vec![tv.join("slotkeeper-tv.asm.js")]),
    ];
    for (name, files) in shipped {
        let mut total = Sizes::default();
        for sizes in npm::sizes(&files)? {
            total.raw += sizes.raw;
            total.gzip += sizes.gzip;
            total.brotli += sizes.brotli;
        }
        for (form, bytes) in [("raw", total.raw), ("gzip", total.gzip), ("brotli", total.brotli)] {
            report.figure(&format!("{name}.{form}"), bytes, "bytes");
        }
    }
    Ok(())
}
