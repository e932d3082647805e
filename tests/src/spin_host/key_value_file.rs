//! The key-value stores of a world: one table in a SQLite file, laid out as Spin lays out its own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension as _};

use super::lock;

/// A SQLite file of key-value stores; clones share one connection, as all guests of one Spin do.
#[derive(Clone)]
pub(super) struct KeyValueFile(Arc<Mutex<Stores>>);

pub(super) struct Stores(Connection);

impl KeyValueFile {
    pub(super) fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        // A world must outlast its host, not a power cut: without an fsync for each write, tests are not disk-bound.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS spin_key_value (
                store TEXT NOT NULL,
                key TEXT NOT NULL,
                value BLOB NOT NULL,
                PRIMARY KEY (store, key)
            )",
        )?;
        Ok(KeyValueFile(Arc::new(Mutex::new(Stores(connection)))))
    }

    /// Works on the stores here and now.
    pub(super) fn with<R>(&self, work: impl FnOnce(&Stores) -> rusqlite::Result<R>) -> rusqlite::Result<R> {
        work(&lock(&self.0))
    }

    /// Works on the stores on a thread that may block.
    pub(super) async fn run<R: Send + 'static>(
        self,
        work: impl FnOnce(&Stores) -> rusqlite::Result<R> + Send + 'static,
    ) -> Result<R, String> {
        tokio::task::spawn_blocking(move || self.with(work))
            .await
            .map_err(|panic| panic.to_string())?
            .map_err(|error| error.to_string())
    }
}

impl Stores {
    pub(super) fn get(&self, store: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        self.0
            .prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
            .query_row([store, key], |row| row.get(0))
            .optional()
    }

    pub(super) fn set(&self, store: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        self.0
            .prepare_cached(
                "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
            )?
            .execute((store, key, value))
            .map(drop)
    }

    pub(super) fn delete(&self, store: &str, key: &str) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?
            .execute([store, key])
            .map(drop)
    }

    pub(super) fn exists(&self, store: &str, key: &str) -> rusqlite::Result<bool> {
        self.0.prepare_cached("SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2")?.exists([store, key])
    }

    pub(super) fn keys(&self, store: &str) -> rusqlite::Result<Vec<String>> {
        self.0
            .prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")?
            .query_map([store], |row| row.get(0))?
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_by_store_and_outlast_the_connection() -> rusqlite::Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kv.db");
        KeyValueFile::open(&file)?.with(|stores| {
            stores.set("default", "b", b"1")?;
            stores.set("default", "b", b"2")?;
            stores.set("default", "a", b"")?;
            stores.set("other", "c", b"3")?;
            stores.set("default", "gone", b"4")?;
            stores.delete("default", "gone")?;
            stores.delete("default", "never there")
        })?;
        KeyValueFile::open(&file)?.with(|stores| {
            assert_eq!(stores.get("default", "b")?, Some(b"2".to_vec()));
            assert_eq!(stores.get("default", "gone")?, None);
            assert_eq!(stores.keys("default")?, ["a", "b"]);
            assert!(stores.exists("default", "a")?);
            assert!(!stores.exists("default", "c")?);
            Ok(())
        })
    }
}
