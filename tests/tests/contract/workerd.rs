//! The Cloudflare worker on workerd, a process of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use xtask::workspace::Workspace;

use crate::{
    edge::{Edge, Runtime, StoreFault, outcomes},
    http_client,
    world::{flight, request},
};

/// The real worker behind a door that tests can use to make its objects fail. The door adds nothing while it is closed.
const ENTRY: &str = r#"
import edge, * as real from "./index.js";
let fault = "none";
export class PlanKeeper {
  constructor(...args) { this.inner = new real.PlanKeeper(...args); }
  async fetch(request) {
    if (fault === "keeper-error") throw new Error("disk I/O error");
    if (fault === "keeper-hang") await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    return this.inner.fetch(request);
  }
}
export class Shard {
  constructor(...args) { this.inner = new real.Shard(...args); }
  async fetch(request) {
    if (fault === "error") throw new Error("disk I/O error");
    if (fault === "hang") await new Promise((resolve) => setTimeout(resolve, 3_600_000));
    const response = await this.inner.fetch(request);
    if (fault === "ambiguous") { fault = "none"; throw new Error("connection reset"); }
    return response;
  }
  alarm() { return this.inner.alarm(); }
}
export default {
  fetch(request, env, context) {
    const path = new URL(request.url).pathname;
    if (path.startsWith("/test/fault/")) {
      fault = path.slice("/test/fault/".length);
      return new Response(fault);
    }
    return edge.fetch(request, env, context);
  },
};
"#;

/// A workerd process; killed when dropped.
pub(crate) struct Workerd {
    child: Child,
    address: SocketAddr,
}

impl Drop for Workerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Workerd {
    /// Switches the door to one of its faults.
    async fn set_fault(&self, name: &'static str) {
        let request = Request::get(format!("/test/fault/{name}")).body(Bytes::new()).expect("a request");
        assert_eq!(self.send(request).await.body(), name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_plan_keeper_cannot_be_asked_the_last_plan_stays_in_force() {
    let edge = Edge::<Workerd>::start_with_settings(&[("store_deadline_ms", "300")]).await;
    edge.publish(vec![flight(1)]).await;
    for (n, fault) in ["keeper-error", "keeper-hang"].into_iter().enumerate() {
        edge.runtime.set_fault(fault).await;
        tokio::time::sleep(Duration::from_millis(1_100)).await; // what a worker has counts as fresh for a second
        let pod = edge.open(&request(&format!("r{n}"), "viv", 1)).await;
        assert_eq!(outcomes(&pod), [Ok(10)], "{fault}");
    }
}

impl Runtime for Workerd {
    const CLIENT_ADDRESS: &'static str = "cf-connecting-ip";

    async fn start(settings: &[(String, String)], folder: &Path) -> Self {
        let workspace = Workspace::find().expect("the workspace");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let config = xtask::workerd::install(&workspace, folder, address, settings).expect("a configuration");
        add_entry(&config);
        let mut child = Command::new(workspace.workerd().expect("workerd; `cargo xtask setup` installs it"))
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("workerd.log")).expect("a log file"))
            .spawn()
            .expect("workerd starts");
        for _ in 0..1_000 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Self { child, address };
            }
            if let Some(status) = child.try_wait().expect("a child of ours") {
                let log = fs::read_to_string(folder.join("workerd.log")).unwrap_or_default();
                panic!("workerd ended with {status}:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("workerd does not listen on {address}");
    }

    async fn send(&self, request: Request<Bytes>) -> Response<Bytes> {
        http_client::send(self.address, request).await.expect("workerd answers")
    }

    async fn strike(&self, fault: Option<StoreFault>) {
        let name = match fault {
            None => "none",
            Some(StoreFault::Error) => "error",
            Some(StoreFault::Hang) => "hang",
            Some(StoreFault::NextCommitIsAmbiguous) => "ambiguous",
        };
        self.set_fault(name).await;
    }

    async fn kill(mut self) {
        self.child.kill().expect("a child of ours"); // SIGKILL
        self.child.wait().expect("a child of ours");
    }
}

/// Puts the door in front of the worker's main module.
fn add_entry(config: &Path) {
    fs::write(config.with_file_name("entry.js"), ENTRY).expect("a module");
    let text = fs::read_to_string(config).expect("the configuration");
    let main = r#"(name = "index.js", esModule = embed "index.js"),"#;
    assert!(text.contains(main), "the configuration has another main module");
    let text = text.replace(main, &format!(r#"(name = "entry.js", esModule = embed "entry.js"), {main}"#));
    fs::write(config, text).expect("the configuration");
}
