//! The interface `spin:redis`: a component that imports it can be instantiated, but no connection can be opened yet.

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};
use super::context::Context;
use super::fault::Op;

/// A guest's connection, of which there is none: the functions that take one cannot be called.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub enum Connection {}

fn not_yet<R>() -> Result<R, Error> {
    Err(Error::Other("redis is not part of this host yet".to_owned()))
}

impl Host for Context {}

impl HostConnection for Context {
    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type Answer<R> = Result<Result<R, Error>>;

impl<T: Send> HostConnectionWithStore<T> for HasSelf<Context> {
    async fn open(accessor: &Accessor<T, Self>, address: String) -> Answer<Resource<Connection>> {
        Context::world(accessor).call(Op::RedisOpen, &address, Error::Other, async { not_yet() }).await
    }

    async fn publish(_: &Accessor<T, Self>, _: Resource<Connection>, _: String, _: Vec<u8>) -> Answer<()> {
        Ok(not_yet())
    }

    async fn get(_: &Accessor<T, Self>, _: Resource<Connection>, _: String) -> Answer<Option<Vec<u8>>> {
        Ok(not_yet())
    }

    async fn set(_: &Accessor<T, Self>, _: Resource<Connection>, _: String, _: Vec<u8>) -> Answer<()> {
        Ok(not_yet())
    }

    async fn incr(_: &Accessor<T, Self>, _: Resource<Connection>, _: String) -> Answer<i64> {
        Ok(not_yet())
    }

    async fn del(_: &Accessor<T, Self>, _: Resource<Connection>, _: Vec<String>) -> Answer<u32> {
        Ok(not_yet())
    }

    async fn sadd(_: &Accessor<T, Self>, _: Resource<Connection>, _: String, _: Vec<String>) -> Answer<u32> {
        Ok(not_yet())
    }

    async fn smembers(_: &Accessor<T, Self>, _: Resource<Connection>, _: String) -> Answer<Vec<String>> {
        Ok(not_yet())
    }

    async fn srem(_: &Accessor<T, Self>, _: Resource<Connection>, _: String, _: Vec<String>) -> Answer<u32> {
        Ok(not_yet())
    }

    async fn execute(
        _: &Accessor<T, Self>,
        _: Resource<Connection>,
        _: String,
        _: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        Ok(not_yet())
    }
}
