//! Reading a store in Redis. Nothing in it is one moment; so first the claims, then the rows that are not shipped: a row
//! that is drained in between is in the log, which is read after.

use redis::{Client, Commands as _, Connection, ConnectionInfo, RedisResult};
use slotkeeper_core::id::{BreakId, ViewerKey};

use super::store::StoreBook;

/// How many entries of an outbox are read at once.
const ENTRIES: usize = 256;

/// An entry of a stream: its id, and its fields with their values.
type StreamEntry = (String, Vec<(String, Vec<u8>)>);

pub(super) fn read(server: &ConnectionInfo, book: &mut StoreBook) -> RedisResult<()> {
    let mut db = Client::open(server.clone())?.get_connection()?;
    for key in keys(&mut db, "sk:{*}:v:*")? {
        let state: Option<Vec<u8>> = db.hget(&key, "s")?;
        let viewer = key.rsplit(':').next().and_then(|hex| hex.parse::<ViewerKey>().ok());
        if let (Some(viewer), Some(state)) = (viewer, state) {
            book.take_state(viewer, &state);
        }
    }
    for key in keys(&mut db, "sk:{*}:a:*")? {
        let id: Option<Vec<u8>> = db.hget(&key, "b")?;
        book.breaks.extend(id.and_then(|id| id.try_into().ok()).map(BreakId));
    }
    for key in keys(&mut db, "sk:{*}:o")? {
        let mut from = "-".to_owned();
        loop {
            let mut range = redis::cmd("XRANGE");
            range.arg(&key).arg(&from).arg("+").arg("COUNT").arg(ENTRIES);
            let entries: Vec<StreamEntry> = range.query(&mut db)?;
            let Some((last, _)) = entries.last() else { break };
            from = format!("({last}");
            for (_, fields) in &entries {
                fields.iter().filter(|(name, _)| name == "f").for_each(|(_, facts)| book.take_facts(facts));
            }
        }
    }
    Ok(())
}

/// The keys that look like `pattern`; one that comes or goes meanwhile may be among them or not.
fn keys(db: &mut Connection, pattern: &str) -> RedisResult<Vec<String>> {
    let mut keys = db.scan_match::<_, String>(pattern)?.collect::<Vec<String>>();
    keys.sort();
    keys.dedup(); // SCAN may give a key twice
    Ok(keys)
}
