//! The interface `spin:key-value`, on the world's key-value file.

use wasmtime::Result;
use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::bindings::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::context::Context;
use super::fault::Op;
use super::key_value_file::Stores;
use super::{DEFAULT_LABEL, HANDLES_MAX};

/// A guest's handle of the default store.
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Store;

impl Host for Context {}

impl HostStore for Context {
    async fn drop(&mut self, store: Resource<Store>) -> Result<()> {
        self.table.delete(store)?;
        self.open_stores -= 1;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for HasSelf<Context> {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Result<Resource<Store>, Error>> {
        let known = label == DEFAULT_LABEL;
        let permitted = async move { if known { Ok(()) } else { Err(Error::AccessDenied) } };
        let opened = Context::world(accessor).call(Op::KvOpen, &label, Error::Other, permitted).await?;
        if let Err(error) = opened {
            return Ok(Err(error));
        }
        accessor.with(|mut access| {
            let context = access.get();
            if context.open_stores == HANDLES_MAX {
                return Ok(Err(Error::StoreTableFull));
            }
            context.open_stores += 1;
            Ok(Ok(context.table.push(Store)?))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        at_key(accessor, Op::KvGet, key, |stores, key| stores.get(DEFAULT_LABEL, key)).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        at_key(accessor, Op::KvSet, key, move |stores, key| stores.set(DEFAULT_LABEL, key, &value)).await
    }

    async fn delete(accessor: &Accessor<T, Self>, _: Resource<Store>, key: String) -> Result<Result<(), Error>> {
        at_key(accessor, Op::KvDelete, key, |stores, key| stores.delete(DEFAULT_LABEL, key)).await
    }

    async fn exists(accessor: &Accessor<T, Self>, _: Resource<Store>, key: String) -> Result<Result<bool, Error>> {
        at_key(accessor, Op::KvExists, key, |stores, key| stores.exists(DEFAULT_LABEL, key)).await
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        _: Resource<Store>,
    ) -> Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let list = |stores: &Stores, _: &str| stores.keys(DEFAULT_LABEL);
        let (keys, end) = match at_key(accessor, Op::KvGetKeys, String::new(), list).await? {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let end = FutureReader::new(&mut access, async move { wasmtime::error::Ok(end) })?;
            Ok((keys, end))
        })
    }
}

/// Works on the key-value file, unless a fault strikes.
async fn at_key<T: Send, R: Send + 'static>(
    accessor: &Accessor<T, HasSelf<Context>>,
    op: Op,
    key: String,
    work: impl FnOnce(&Stores, &str) -> rusqlite::Result<R> + Send + 'static,
) -> Result<Result<R, Error>> {
    let world = Context::world(accessor);
    let (file, at) = (world.key_value.clone(), key.clone());
    let work = async move { file.run(move |stores| work(stores, &at)).await.map_err(Error::Other) };
    world.call(op, &key, Error::Other, work).await
}
