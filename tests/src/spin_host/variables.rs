//! The interface `spin:variables`, on the world's map.

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use super::context::Context;
use super::fault::Op;

impl Host for Context {}

impl<T: Send> HostWithStore<T> for HasSelf<Context> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<Result<String, Error>> {
        let world = Context::world(accessor);
        let value = world.variable(&name).ok_or_else(|| Error::Undefined(name.clone()));
        world.call(Op::VariableGet, &name, Error::Provider, async move { value }).await
    }
}
