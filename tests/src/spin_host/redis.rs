//! The interface `spin:redis`, on real connections to a server on loopback.
//!
//! As in Spin, a guest's connection is one TCP connection that takes its commands as they come, nested arrays arrive
//! flattened, every error is a text, and nothing but the guest limits how long a command may take.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ConnectionAddr, FromRedisValue, RedisError, Value, cmd};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::HANDLES_MAX;
use super::bindings::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};
use super::context::Context;
use super::fault::Op;
use super::outbound::Route;

/// A guest's connection. Clones are the same one.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct Connection(MultiplexedConnection);

type Answer<R> = Result<Result<R, Error>>;

impl Host for Context {}

impl HostConnection for Context {
    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        self.open_redis_connections -= 1;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for HasSelf<Context> {
    async fn open(accessor: &Accessor<T, Self>, address: String) -> Answer<Resource<Connection>> {
        let world = Context::world(accessor);
        let connected = connect(address.clone(), world.route());
        let connection = match world.call(Op::RedisOpen, &address, Error::Other, connected).await? {
            Ok(connection) => connection,
            Err(error) => return Ok(Err(error)),
        };
        accessor.with(|mut access| {
            let context = access.get();
            if context.open_redis_connections == HANDLES_MAX {
                return Ok(Err(Error::TooManyConnections));
            }
            context.open_redis_connections += 1;
            Ok(Ok(context.table.push(connection)?))
        })
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Answer<()> {
        send(accessor, &connection, cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<Option<Vec<u8>>> {
        send(accessor, &connection, cmd("GET").arg(key)).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Answer<()> {
        send(accessor, &connection, cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(accessor: &Accessor<T, Self>, connection: Resource<Connection>, key: String) -> Answer<i64> {
        send(accessor, &connection, cmd("INCRBY").arg(key).arg(1)).await
    }

    async fn del(accessor: &Accessor<T, Self>, connection: Resource<Connection>, keys: Vec<String>) -> Answer<u32> {
        send(accessor, &connection, cmd("DEL").arg(keys)).await
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        send(accessor, &connection, cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Answer<Vec<String>> {
        send(accessor, &connection, cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Answer<u32> {
        send(accessor, &connection, cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        let mut command = cmd(&command);
        for argument in arguments {
            match argument {
                RedisParameter::Int64(number) => command.arg(number),
                RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let answer = send::<T, Value>(accessor, &connection, &command).await?;
        Ok(answer.and_then(|value| {
            let mut results = Vec::new();
            flatten(value, &mut results)?;
            Ok(results)
        }))
    }
}

/// Connects to a server on loopback; to others the guest has no permission.
async fn connect(address: String, route: Route) -> std::result::Result<Connection, Error> {
    let client = redis::Client::open(address).map_err(|_| Error::InvalidAddress)?;
    let on_loopback = match &client.get_connection_info().addr {
        ConnectionAddr::Tcp(host, _) => host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        _ => false,
    };
    if !on_loopback || !matches!(route, Route::Loopback) {
        return Err(Error::InvalidAddress);
    }
    client.get_multiplexed_async_connection().await.map(Connection).map_err(|error| other(&error))
}

/// Sends one command, unless a fault strikes.
async fn send<T: Send, R: FromRedisValue + Send + 'static>(
    accessor: &Accessor<T, HasSelf<Context>>,
    connection: &Resource<Connection>,
    command: &Cmd,
) -> Answer<R> {
    let Connection(mut connection) = accessor.with(|mut access| access.get().table.get(connection).cloned())?;
    let command = command.clone();
    let key = text(&command);
    let work = async move { command.query_async(&mut connection).await.map_err(|error| other(&error)) };
    Context::world(accessor).call(Op::RedisExecute, &key, Error::Other, work).await
}

/// A command's name and arguments.
fn text(command: &Cmd) -> String {
    let words = command.args_iter().map(|argument| match argument {
        redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        redis::Arg::Cursor => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn other(error: &RedisError) -> Error {
    Error::Other(error.to_string())
}

/// Appends an answer to the list of its simple values.
fn flatten(value: Value, results: &mut Vec<RedisResult>) -> std::result::Result<(), Error> {
    results.push(match value {
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| flatten(value, results));
        }
        Value::Nil => RedisResult::Nil,
        Value::Int(number) => RedisResult::Int64(number),
        Value::Boolean(truth) => RedisResult::Int64(truth.into()),
        Value::BulkString(bytes) => RedisResult::Binary(bytes),
        Value::Double(number) => RedisResult::Binary(number.to_string().into_bytes()),
        Value::SimpleString(status) => RedisResult::Status(status),
        Value::Okay => RedisResult::Status("OK".to_owned()),
        unsupported => return Err(Error::Other(format!("Could not convert Redis response: {unsupported:?}"))),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_arrays_arrive_flattened() {
        let nested = Value::Array(vec![
            Value::Int(1),
            Value::Array(vec![Value::BulkString(b"a".into()), Value::Array(vec![]), Value::Nil]),
            Value::Okay,
        ]);
        let mut results = Vec::new();
        flatten(nested, &mut results).unwrap();
        let expected =
            "[RedisResult::Int64(1), RedisResult::Binary([97]), RedisResult::Nil, RedisResult::Status(\"OK\")]";
        assert_eq!(format!("{results:?}"), expected);
    }
}
