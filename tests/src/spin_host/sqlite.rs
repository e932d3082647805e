//! The interface `spin:sqlite`, on connections to the world's database file.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use rusqlite::types::Value as Stored;
use tokio::sync::mpsc;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasSelf, Resource, StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{Result, StoreContextMut};

use super::bindings::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use super::context::Context;
use super::database::{self, Answer, Connection};
use super::fault::Op;
use super::world::World;
use super::{DEFAULT_LABEL, HANDLES_MAX};

/// The stream of rows, its column names, and how it ended.
type Streamed = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl Host for Context {}

// The synchronous functions block the whole instance, as in Spin.
impl HostConnection for Context {
    async fn open(&mut self, label: String) -> Result<Result<Resource<Connection>, Error>> {
        Ok(match open(&self.world, &label).await? {
            Ok(connection) => self.keep(connection)?,
            Err(error) => Err(error),
        })
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Result<QueryResult, Error>> {
        let connection = self.table.get(&connection)?.clone();
        let answer = execute(&self.world, &connection, sql, parameters).await?;
        Ok(match answer.collect().await {
            Ok((columns, rows)) => Ok(QueryResult { columns, rows: rows.into_iter().map(row).collect() }),
            Err(error) => Err(Error::Io(error)),
        })
    }

    async fn last_insert_rowid(&mut self, connection: Resource<Connection>) -> Result<i64> {
        let connection = self.table.get(&connection)?.clone();
        connection.last_insert_rowid().await.map_err(wasmtime::Error::msg)
    }

    async fn changes(&mut self, connection: Resource<Connection>) -> Result<u64> {
        let connection = self.table.get(&connection)?.clone();
        connection.changes().await.map_err(wasmtime::Error::msg)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        self.open_connections -= 1;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for HasSelf<Context> {
    async fn open_async(accessor: &Accessor<T, Self>, label: String) -> Result<Result<Resource<Connection>, Error>> {
        match open(&Context::world(accessor), &label).await? {
            Ok(connection) => accessor.with(|mut access| access.get().keep(connection)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        sql: String,
        parameters: Vec<Value>,
    ) -> Result<Result<Streamed, Error>> {
        let connection = connection_of(accessor, &connection)?;
        let answer = execute(&Context::world(accessor), &connection, sql, parameters).await?;
        let end = async move { wasmtime::error::Ok(database::end_of(answer.end).await.map_err(Error::Io)) };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, Rows(answer.rows))?;
            let end = FutureReader::new(&mut access, end)?;
            Ok(Ok((answer.columns, rows, end)))
        })
    }

    async fn last_insert_rowid_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> Result<i64> {
        let connection = connection_of(accessor, &connection)?;
        connection.last_insert_rowid().await.map_err(wasmtime::Error::msg)
    }

    async fn changes_async(accessor: &Accessor<T, Self>, connection: Resource<Connection>) -> Result<u64> {
        let connection = connection_of(accessor, &connection)?;
        connection.changes().await.map_err(wasmtime::Error::msg)
    }
}

impl Context {
    /// Puts an opened connection into the guest's table.
    fn keep(&mut self, connection: Connection) -> Result<Result<Resource<Connection>, Error>> {
        if self.open_connections == HANDLES_MAX {
            return Ok(Err(Error::Io("too many connections opened".to_owned())));
        }
        self.open_connections += 1;
        Ok(Ok(self.table.push(connection)?))
    }
}

fn connection_of<T: Send>(
    accessor: &Accessor<T, HasSelf<Context>>,
    connection: &Resource<Connection>,
) -> Result<Connection> {
    accessor.with(|mut access| Ok(access.get().table.get(connection)?.clone()))
}

async fn open(world: &World, label: &str) -> Result<Result<Connection, Error>> {
    let opened = match label {
        DEFAULT_LABEL => Ok(Connection::new(world.database_file())),
        _ => Err(Error::AccessDenied),
    };
    world.call(Op::SqlOpen, label, Error::Io, async { opened }).await
}

/// Begins a statement, unless a fault strikes. Injected errors arrive where SQLite's own do: at the end.
async fn execute(world: &World, connection: &Connection, sql: String, parameters: Vec<Value>) -> Result<Answer> {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let verdict = match world.meet(Op::SqlExecute, &words.join(" "))? {
        Ok(verdict) => verdict,
        Err(error) => return Ok(Answer::refused(error)),
    };
    let parameters = parameters.into_iter().map(stored).collect();
    Ok(connection.execute(sql, parameters, verdict).await)
}

/// Hands rows to the guest as they arrive.
struct Rows(mpsc::Receiver<Vec<Stored>>);

impl<D> StreamProducer<D> for Rows {
    type Item = RowResult;
    type Buffer = Option<RowResult>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        // The guest asks whether a row would come, without room for it: let it ask for one.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.0.poll_recv(task) {
            Poll::Ready(Some(values)) => {
                destination.set_buffer(Some(row(values)));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn row(values: Vec<Stored>) -> RowResult {
    RowResult { values: values.into_iter().map(shown).collect() }
}

fn shown(value: Stored) -> Value {
    match value {
        Stored::Null => Value::Null,
        Stored::Integer(integer) => Value::Integer(integer),
        Stored::Real(real) => Value::Real(real),
        Stored::Text(text) => Value::Text(text),
        Stored::Blob(blob) => Value::Blob(blob),
    }
}

fn stored(value: Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Integer(integer) => Stored::Integer(integer),
        Value::Real(real) => Stored::Real(real),
        Value::Text(text) => Stored::Text(text),
        Value::Blob(blob) => Stored::Blob(blob),
    }
}
