//! The log in SQLite: write-ahead logging, fsynced at every commit.

use std::path::Path;

use rusqlite::{Connection, params};
use slotkeeper_core::time::UnixMillis;

use super::{Entry, Log, LogError, Received, packed};
use crate::data_dir::{self, Durability};

/// A batch is the JSON as it came, or one zstd frame of it: its first byte tells which.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY,
    received_at_ms INTEGER NOT NULL,
    batch BLOB NOT NULL
) STRICT";

/// What one read returns at most, so that a long backlog of large batches is folded in pieces.
const READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The embedded log.
pub struct SqliteLog {
    pub(super) db: Connection,
}

impl SqliteLog {
    /// Opens the log of a data directory, or starts one.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self { db: data_dir::connect(path, Durability::Durable, SCHEMA)? })
    }

    /// Opens an existing log, which another process may append to.
    pub fn open_read_only(path: &Path) -> Result<Self, LogError> {
        Ok(Self { db: data_dir::connect_read_only(path)? })
    }

    /// The place of the last entry of a log that may not have been started yet.
    pub fn last_seq_at(path: &Path) -> Result<u64, LogError> {
        if !path.exists() {
            return Ok(0);
        }
        let db = data_dir::connect_read_only(path)?;
        Ok(if data_dir::has_table(&db, "entries")? { last_seq(&db)? } else { 0 })
    }

    /// The place of the first entry of a log that may not have been started yet; see [`first_seq`](Self::first_seq).
    pub fn first_seq_at(path: &Path) -> Result<u64, LogError> {
        if path.exists() { Self::open_read_only(path)?.first_seq() } else { Ok(1) }
    }

    /// The place of the first entry, which is 1 unless earlier ones were dropped; 1 of a log without any.
    pub fn first_seq(&self) -> Result<u64, LogError> {
        if !data_dir::has_table(&self.db, "entries")? {
            return Ok(1);
        }
        Ok(self.db.query_row("SELECT coalesce(min(seq), 1) FROM entries", [], |row| row.get(0))?)
    }
}

#[cfg(test)]
impl SqliteLog {
    /// The connection that appends.
    pub(crate) fn db(&self) -> &Connection {
        &self.db
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl Log for SqliteLog {
    fn append(&mut self, batches: &[Received]) -> Result<u64, LogError> {
        let commit = self.db.transaction()?;
        {
            let mut insert = commit.prepare_cached("INSERT INTO entries (received_at_ms, batch) VALUES (?1, ?2)")?;
            for batch in batches {
                insert.execute(params![i64::try_from(batch.at.0).unwrap_or(i64::MAX), &*packed::pack(&batch.bytes)])?;
            }
        }
        let last = last_seq(&commit)?;
        commit.commit()?;
        Ok(last)
    }

    fn read(&self, after: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let mut select = self
            .db
            .prepare_cached("SELECT seq, received_at_ms, batch FROM entries WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = select.query(params![i64::try_from(after).unwrap_or(i64::MAX), limit])?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            let batch = packed::unpack(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)
                .map_err(|error| LogError(format!("entry {seq}: {error}")))?;
            let received = Received { at: UnixMillis(row.get::<_, u64>(1)?), bytes: batch };
            bytes += received.bytes.len();
            if bytes > READ_BYTES_MAX && !entries.is_empty() {
                break;
            }
            entries.push(Entry { seq, received });
        }
        Ok(entries)
    }

    fn last_seq(&self) -> Result<u64, LogError> {
        Ok(last_seq(&self.db)?)
    }
}

fn last_seq(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM entries")?.query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(text: &str) -> Received {
        Received { at: UnixMillis(7), bytes: text.into() }
    }

    #[test]
    fn entries_read_back_in_order_after_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut log = SqliteLog::open(&path).unwrap();
        assert_eq!(log.last_seq().unwrap(), 0);
        assert_eq!(log.append(&[received("a"), received("b")]).unwrap(), 2);
        assert_eq!(log.append(&[received("c")]).unwrap(), 3);
        drop(log);
        let log = SqliteLog::open(&path).unwrap();
        assert_eq!(log.last_seq().unwrap(), 3);
        let read = |after, limit| -> Vec<(u64, Vec<u8>)> {
            log.read(after, limit).unwrap().into_iter().map(|entry| (entry.seq, entry.received.bytes)).collect()
        };
        assert_eq!(read(0, 2), [(1, b"a".to_vec()), (2, b"b".to_vec())]);
        assert_eq!(read(2, 9), [(3, b"c".to_vec())]);
        assert_eq!(read(3, 9), []);
    }

    #[test]
    fn entries_of_before_and_what_others_have_packed_read_back_as_they_came() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = SqliteLog::open(&folder.path().join("log.db")).unwrap();
        let large = Received { at: UnixMillis(7), bytes: b"{\"edge_id\":\"edge-1\"}".repeat(200) };
        log.append(std::slice::from_ref(&large)).unwrap();
        let stored: Vec<u8> = log.db().query_row("SELECT batch FROM entries", [], |row| row.get(0)).unwrap();
        assert!(stored.len() < large.bytes.len() / 10, "{} bytes", stored.len());
        log.db().execute("INSERT INTO entries VALUES (2, 7, ?1)", [&large.bytes]).unwrap();
        let frame = zstd::encode_all(&*large.bytes, 19).unwrap();
        log.db().execute("INSERT INTO entries VALUES (3, 7, ?1)", [&frame]).unwrap();
        assert!(log.read(0, 9).unwrap().iter().all(|entry| entry.received == large));
        log.db().execute("INSERT INTO entries VALUES (4, 7, ?1)", [&frame[..30]]).unwrap();
        let error = log.read(3, 1).unwrap_err();
        assert!(error.to_string().starts_with("log: entry 4: "), "{error}");
    }

    #[test]
    fn a_log_that_was_not_started_ends_at_0() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        assert_eq!(SqliteLog::last_seq_at(&path).unwrap(), 0);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert_eq!(SqliteLog::last_seq_at(&path).unwrap(), 0);
        SqliteLog::open(&path).unwrap().append(&[received("a"), received("b")]).unwrap();
        assert_eq!(SqliteLog::last_seq_at(&path).unwrap(), 2);
    }

    #[test]
    fn a_read_is_bounded_in_bytes_and_always_moves_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = SqliteLog::open(&folder.path().join("log.db")).unwrap();
        let large = Received { at: UnixMillis(0), bytes: vec![b' '; READ_BYTES_MAX - 1] };
        log.append(&[large.clone(), large]).unwrap();
        assert_eq!(log.read(0, 10).unwrap().len(), 1);
        assert_eq!(log.read(1, 10).unwrap().len(), 1);
    }
}
