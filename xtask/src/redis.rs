//! Redis as the edge's cap store wants it: one list of options for `up`, `measure` and the tests.

use std::{ffi::OsString, net::SocketAddr, path::Path};

/// The server's program, and the Debian package it comes in.
pub const PROGRAM: &str = "redis-server";

/// The arguments of a server in the foreground that listens on `address` and keeps its file in `folder`, which must exist.
///
/// Every command is in the append-only file and synced before it is answered, or a power cut would forget claims; nothing
/// is evicted, or a full memory would.
pub fn arguments(address: SocketAddr, folder: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["--dir".into(), folder.into()].into();
    let port = address.port().to_string();
    let bind = address.ip().to_string();
    for (name, value) in [
        ("--bind", bind.as_str()),
        ("--port", &port),
        ("--appendonly", "yes"),
        ("--appendfsync", "always"),
        ("--no-appendfsync-on-rewrite", "no"),
        ("--save", ""),
        ("--maxmemory-policy", "noeviction"),
        ("--daemonize", "no"),
    ] {
        arguments.extend([name.into(), value.into()]);
    }
    arguments
}
