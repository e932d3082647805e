//! What an instance of the guest holds on the host's side.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, ResourceTable};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;
use wasmtime_wasi_http::p3::{WasiHttpCtxView, WasiHttpView};

use super::clock::GuestClock;
use super::outbound::Outbound;
use super::world::World;

/// Linear memory an instance may have.
const MEMORY_BYTES_MAX: usize = 128 << 20;

pub(super) struct Context {
    pub(super) world: Arc<World>,
    /// The handles the guest holds; one table per instance, for all interfaces.
    pub(super) table: ResourceTable,
    pub(super) open_stores: usize,
    pub(super) open_connections: usize,
    pub(super) open_redis_connections: usize,
    pub(super) limits: StoreLimits,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl Context {
    pub(super) fn new(world: Arc<World>) -> Self {
        let clock = GuestClock(Arc::clone(&world.clock));
        let wasi = WasiCtx::builder()
            .stdout(world.output.clone())
            .stderr(world.output.clone())
            .monotonic_clock(clock.clone())
            .wall_clock(clock)
            .build();
        Context {
            outbound: Outbound(Arc::clone(&world)),
            world,
            table: ResourceTable::new(),
            open_stores: 0,
            open_connections: 0,
            open_redis_connections: 0,
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_BYTES_MAX).build(),
            wasi,
            http: WasiHttpCtx::new(),
        }
    }

    /// The world, for an async host function. Never hold what `Accessor::with` lends across an `await`.
    pub(super) fn world<T>(accessor: &Accessor<T, HasSelf<Context>>) -> Arc<World> {
        accessor.with(|mut access| Arc::clone(&access.get().world))
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Context {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}
