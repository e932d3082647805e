//! The Spin component on the wasmtime host.

use std::{
    path::Path,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use slotkeeper_tests::{Component, Fault, Injection, Op, Reuse, SpinHost, World, cache_folder};
use xtask::workspace::Workspace;

use crate::edge::{Edge, Runtime, StoreFault};

static COMPONENT: LazyLock<Component> = LazyLock::new(|| {
    let wasm = Workspace::find().expect("the workspace").spin_component();
    Component::load(&wasm, cache_folder()).expect("the Spin component; `cargo xtask build spin` makes it")
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_client_made_up_does_not_lift_its_limit() {
    let edge = Edge::<Spin>::start_with_settings(&[("requests_per_minute", "4")]).await;
    // Spin adds its header behind the client's.
    let mut statuses = Vec::new();
    for n in 0..9 {
        let made_up = format!("198.51.100.{n}:80");
        let response = edge.call_from(&[&made_up, "203.0.113.7:4711"], Method::GET, "/v1/hello", None, "").await;
        statuses.push(response.status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
}

/// One host over one folder, with Spin's own reuse of instances.
pub(crate) struct Spin {
    pub(crate) host: SpinHost,
    pub(crate) world: Arc<World>,
    /// Whether a test lets instances trap. Otherwise a trap, on whatever input, fails the test: it takes neighbours along.
    pub(crate) traps_expected: AtomicBool,
    /// The ambiguous commit that a test asked for: if it never came, the test has shown nothing.
    ambiguous: Mutex<Option<Injection>>,
}

impl Drop for Spin {
    fn drop(&mut self) {
        let struck = self.ambiguous.get_mut().expect("no panic holds it").as_ref().map(Injection::struck);
        assert!(std::thread::panicking() || struck != Some(0), "no commit was made ambiguous");
        if !self.traps_expected.load(Relaxed) && !std::thread::panicking() {
            assert_eq!(self.world.traps(), [""; 0], "the component trapped:\n{}", self.world.output());
        }
    }
}

impl Spin {
    pub(crate) fn with_reuse(settings: &[(String, String)], folder: &Path, reuse: Reuse) -> Self {
        let world = World::new(folder).expect("a world");
        for (name, value) in settings {
            world.set_variable(name, value);
        }
        world.allow_loopback();
        Self {
            host: SpinHost::new(&COMPONENT, &world, reuse),
            world,
            traps_expected: AtomicBool::new(false),
            ambiguous: Mutex::default(),
        }
    }

    /// The next call that is a commit takes effect and then says that it failed.
    pub(crate) fn make_ambiguous(&self, op: Op, pattern: &str) {
        let injection = self.world.inject(op, pattern, 1, Fault::Ambiguous("connection reset"));
        *self.ambiguous.lock().expect("no panic holds it") = Some(injection);
    }
}

impl Runtime for Spin {
    const CLIENT_ADDRESS: &'static str = "spin-client-addr";

    async fn start(settings: &[(String, String)], folder: &Path) -> Self {
        Self::with_reuse(settings, folder, Reuse::SPIN)
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        self.host.handle(request).await
    }

    async fn strike(&self, fault: Option<StoreFault>) {
        self.world.clear_faults();
        let sqlite = [Op::SqlOpen, Op::SqlExecute];
        match fault {
            None => {}
            Some(StoreFault::Error) => drop(self.world.inject(sqlite, "*", u32::MAX, Fault::Error("disk I/O error"))),
            Some(StoreFault::Hang) => {
                drop(self.world.inject(sqlite, "*", u32::MAX, Fault::Hang(Duration::from_hours(1))));
            }
            Some(StoreFault::NextCommitIsAmbiguous) => {
                self.make_ambiguous(Op::SqlExecute, "INSERT INTO break_commits*");
            }
        }
    }

    async fn kill(self) {
        self.host.clone().stop().await;
    }
}
