//! Instances of the guest: how they begin, how long they live and how many requests they take.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Result, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, ViewFn, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::WasiHttpView as _;

use super::component::Component;
use super::context::Context;
use super::lock;
use super::world::World;

/// How instances of the guest are reused, and how long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Requests an instance answers in its life.
    pub requests_max: usize,
    /// Requests an instance works on at once.
    pub concurrent_max: usize,
    /// How long an instance waits for its next request.
    pub idle_max: Duration,
    /// How long a request may take before it is given up and its instance ends.
    pub request_max: Duration,
}

impl Reuse {
    /// As Spin 4 runs a component of `spin-sdk` 7: 128 requests, 16 at once, 1 s idle. Spin has no limit for a request;
    /// here it is 30 s, so that a guest that hangs fails its test.
    pub const SPIN: Reuse = Reuse {
        requests_max: 128,
        concurrent_max: 16,
        idle_max: Duration::from_secs(1),
        request_max: Duration::from_secs(30),
    };

    /// A new instance for every request: exposes what leaks from one to the next when it behaves otherwise than
    /// [`Reuse::SPIN`].
    pub const NONE: Reuse = Reuse { requests_max: 1, concurrent_max: 1, ..Reuse::SPIN };
}

impl Default for Reuse {
    fn default() -> Self {
        Reuse::SPIN
    }
}

/// What makes the instances of a host.
pub(super) struct Instances {
    pub(super) component: Component,
    pub(super) world: Arc<World>,
    pub(super) reuse: Reuse,
    pub(super) begun: AtomicU64,
    /// Becomes true to end all instances; each of them holds a receiver until it has ended.
    pub(super) stop: watch::Sender<bool>,
}

impl HandlerState for Instances {
    type StoreData = Context;
    type WorkerExpiration = Lifetime;
    type WorkerState = Life;

    async fn instantiate(&self) -> Result<Instance<Context, Lifetime, Life>> {
        self.begun.fetch_add(1, Relaxed);
        let lifetime = Lifetime::new(self.reuse, self.stop.subscribe());
        let mut store = Store::new(&self.component.engine, Context::new(Arc::clone(&self.world)));
        store.limiter(|context| &mut context.limits);
        // A busy guest yields at each epoch, so that its lifetime is looked at.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let service = self.component.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: ViewFn::P3(Context::http),
            expiration: lifetime,
            state: Life {
                reuse: self.reuse,
                world: Arc::clone(&self.world),
                stop: self.stop.subscribe(),
                requests: Mutex::default(),
            },
        })
    }
}

/// Ends an instance that idles, whose request takes too long, or whose host stops.
pub(super) struct Lifetime {
    reuse: Reuse,
    /// The state the instance is in, and since when.
    since: Option<(WorkerStatus, Instant)>,
    sleep: Pin<Box<Sleep>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Lifetime {
    fn new(reuse: Reuse, mut stop: watch::Receiver<bool>) -> Self {
        Lifetime {
            reuse,
            since: None,
            sleep: Box::pin(tokio::time::sleep(reuse.request_max)),
            stopped: Box::pin(async move {
                // An error means that the host is gone altogether.
                let _ = stop.wait_for(|stopped| *stopped).await;
            }),
        }
    }
}

impl WorkerExpiration for Lifetime {
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        if self.since != Some((status, since)) {
            self.since = Some((status, since));
            let limit = match status {
                WorkerStatus::Idle => self.reuse.idle_max,
                WorkerStatus::Requests | WorkerStatus::PostReturn => self.reuse.request_max,
            };
            // Counted on tokio's clock, which a test may have paused; `since` is on the real one.
            self.sleep.as_mut().reset(tokio::time::Instant::now() + limit);
        }
        if self.stopped.as_mut().poll(task).is_ready() {
            return Poll::Ready(());
        }
        self.sleep.as_mut().poll(task)
    }
}

/// What an instance may still do, and whom it tells how it died.
pub(super) struct Life {
    reuse: Reuse,
    world: Arc<World>,
    stop: watch::Receiver<bool>,
    /// The requests it has taken; dropped with it, when it has told how it died.
    requests: Mutex<Vec<InInstance>>,
}

/// Goes into the instance with a request and is dropped after the instance has ended.
pub(super) type InInstance = oneshot::Sender<()>;

impl WorkerState for Life {
    type StoreData = Context;
    type RequestId = InInstance;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.requests_max {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.concurrent_max {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Context>,
        request: InInstance,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        lock(&self.requests).push(request);
        Box::pin(tokio::time::sleep(self.reuse.request_max))
    }

    fn drop(&self, _: Store<Context>, outcome: Result<()>) {
        if let Err(error) = outcome
            && !*self.stop.borrow()
        {
            self.world.note_trap(format!("{error:?}"));
        }
    }
}
