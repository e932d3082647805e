//! The Spin component on `spin` itself, where that is installed: what the wasmtime host cannot show (the manifest's
//! permissions, Spin's own stores and headers).

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use xtask::workspace::{Workspace, on_path};

use crate::{
    edge::{Edge, Runtime, StoreFault},
    http_client, suite,
};

/// A `spin up` of this repository's manifest; ended when dropped.
pub(crate) struct SpinUp {
    child: Child,
    address: SocketAddr,
}

impl Drop for SpinUp {
    fn drop(&mut self) {
        // `spin up` hands SIGTERM on to the trigger that serves; a group of its own makes sure of both.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

impl Runtime for SpinUp {
    const CLIENT_ADDRESS: &'static str = "spin-client-addr";

    async fn start(settings: &[(String, String)], folder: &Path) -> Self {
        let workspace = Workspace::find().expect("the workspace");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let mut command = Command::new("spin");
        command
            .args(["up", "--quiet", "--from"])
            .arg(xtask::spin::manifest(&workspace, folder).expect("the manifest"))
            .args(["--listen", &address.to_string(), "--state-dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .process_group(0);
        for (name, value) in settings {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        let child = command.spawn().expect("spin starts");
        let spin = Self { child, address };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return spin;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("spin does not listen on {address}");
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        http_client::send(self.address, request).await.expect("spin answers")
    }

    async fn strike(&self, _fault: Option<StoreFault>) {
        unreachable!("faults are struck on the wasmtime host");
    }

    async fn kill(self) {
        drop(self);
    }
}

macro_rules! smoke {
    ($($promise:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            if on_path(&["spin"]).is_none() {
                println!("SKIPPED on spin: `spin` is not on PATH");
                return;
            }
            suite::$promise(Edge::<SpinUp>::start().await).await;
        }
    )*};
}

smoke! {
    every_slot_is_filled_or_unfilled_and_explained
    a_retried_break_returns_the_same_pod_the_same_rows_and_the_same_claims
    two_hundred_concurrent_breaks_against_a_cap_of_5_are_exactly_5_fills
    a_killed_edge_keeps_its_claims_its_answers_and_its_outbox
    beacons_are_acknowledged_only_when_the_origin_has_them
    a_plan_is_taken_only_from_the_origin_signed_and_newer
}
