//! Emptying the outboxes that edges keep in Redis, one stream a shard, for as long as the origin serves.
//!
//! ```text
//! XRANGE ─▶ batches ─▶ append to the log, synced ─▶ XDEL of exactly those entries
//! ```
//!
//! A crash before the deletion reads the entries again, which the fold folds away. Entries go by their ids, never by
//! count or age: what came meanwhile stays. An entry that cannot be read goes to a stream beside its own, with the reason,
//! and the others go on.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use redis::{
    Client, RedisError, RedisResult,
    aio::{ConnectionLike as _, MultiplexedConnection},
    from_owned_redis_value,
};
use serde_json::value::RawValue;
use slotkeeper_core::{
    api::CALLER_ID_BYTES_MAX,
    fact::{BATCH_BYTES_MAX, BATCH_FACTS_MAX, Fact},
    redis::{FACTS_FIELD, Shard, Shards},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    clock,
    log::{LogError, LogWriter, Received},
};

/// Between two rounds that left nothing behind.
const DRAIN_EVERY: Duration = Duration::from_millis(250);
/// The longest pause after errors.
const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// How long Redis may take for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Shards read in one call, and entries of each: together they bound what is in memory.
const SHARDS_AT_ONCE: usize = 64;
const ENTRIES_AT_ONCE: usize = 64;
/// Bad entries are told one by one, but no more than these in a minute.
const TOLD_PER_MINUTE_MAX: u32 = 10;

/// Where edges keep their outboxes.
#[derive(Clone, Debug)]
pub struct Streams {
    client: Client,
    shards: Shards,
    edge_id: String,
}

/// Not the outboxes of an edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStreams {
    /// The URL, which may hold a password.
    #[error("the URL is not one such as redis://127.0.0.1:6379: {0}")]
    Url(String),
    /// The name under which the facts are booked.
    #[error("the edge's name {0:?} must be 1 to {CALLER_ID_BYTES_MAX} printable ASCII characters")]
    EdgeId(String),
}

/// Why a round did not move everything. What was appended and not deleted comes again.
#[derive(Debug, thiserror::Error)]
enum DrainError {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("{stream}: {error}")]
    Stream { stream: String, error: RedisError },
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Silent,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the log's queue is full")]
    Busy,
}

impl Streams {
    /// The streams of `shards` shards behind `url`, whose facts are booked under the name `edge_id`.
    pub fn new(url: &str, shards: Shards, edge_id: String) -> Result<Self, InvalidStreams> {
        let client = Client::open(url).map_err(|error| InvalidStreams::Url(error.to_string()))?;
        let is_plain = (1..=CALLER_ID_BYTES_MAX).contains(&edge_id.len())
            && edge_id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_plain {
            return Err(InvalidStreams::EdgeId(edge_id));
        }
        Ok(Self { client, shards, edge_id })
    }

    /// The server without its password.
    fn server(&self) -> String {
        self.client.get_connection_info().addr.to_string()
    }
}

/// Moves facts from the streams to the log until `stop` turns true.
pub async fn keep_draining(streams: Streams, log: LogWriter, mut stop: watch::Receiver<bool>) {
    let mut drain = Drain { told: Told::new(), connection: None, next: 0, streams, log };
    let mut pause = DRAIN_EVERY;
    let mut failing = false;
    while !*stop.borrow() {
        let round = drain.round().await;
        pause = next_pause(&round, pause);
        if round.error.is_some() != failing {
            failing = !failing;
            report(&drain.streams, round.error.as_ref());
        }
        if round.error.is_some() {
            drain.connection = None;
        }
        tokio::select! {
            _ = stop.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What became of a round.
#[derive(Debug, Default)]
struct Round {
    /// Whether a stream, from which all that was read is moved, may hold more.
    more: bool,
    /// The first error.
    error: Option<DrainError>,
}

impl Round {
    /// Keeps the first error; whether there was none.
    fn note(&mut self, outcome: Result<(), DrainError>) -> bool {
        let error = outcome.err();
        let is_good = error.is_none();
        self.error = self.error.take().or(error);
        is_good
    }
}

/// How long to wait after `round`, when the last wait was `pause`.
fn next_pause(round: &Round, pause: Duration) -> Duration {
    match round {
        Round { more: true, .. } => Duration::ZERO,
        Round { error: None, .. } => DRAIN_EVERY,
        Round { error: Some(_), .. } => (pause * 2).clamp(DRAIN_EVERY, BACK_OFF_MAX),
    }
}

fn report(streams: &Streams, error: Option<&DrainError>) {
    let server = streams.server();
    match error {
        None => crate::tell!("slotkeeper: redis {server}: its outboxes are emptied again"),
        Some(error) => crate::tell!("slotkeeper: redis {server}: its outboxes cannot all be emptied: {error}"),
    }
}

struct Drain {
    streams: Streams,
    log: LogWriter,
    connection: Option<MultiplexedConnection>,
    /// The chunk of shards that the next round begins with.
    next: usize,
    told: Told,
}

impl Drain {
    /// Reads every stream once, and moves what it found. What one stream's error can be kept to, the others do not feel;
    /// a lost connection ends the round, and the next one begins behind where it was lost.
    async fn round(&mut self) -> Round {
        let mut round = Round::default();
        let shards: Vec<Shard> = self.streams.shards.all().collect();
        let chunks: Vec<&[Shard]> = shards.chunks(SHARDS_AT_ONCE).collect();
        for _ in 0..chunks.len() {
            let streams: Vec<String> = chunks[self.next].iter().map(|shard| shard.outbox()).collect();
            self.next = (self.next + 1) % chunks.len();
            if let Err(error) = self.empty(&streams, &mut round).await {
                round.note(Err(error));
                break;
            }
        }
        round
    }

    /// Reads these streams once, and moves what it found. Fails only when nothing more can be asked of Redis.
    async fn empty(&mut self, streams: &[String], round: &mut Round) -> Result<(), DrainError> {
        let mut connection = self.connection().await?;
        let mut entries = Vec::new();
        let (mut may_hold_more, mut all_moved) = (false, true);
        for (stream, found) in streams.iter().zip(read(&mut connection, streams).await?) {
            match found {
                Ok(found) => {
                    may_hold_more |= found.len() == ENTRIES_AT_ONCE;
                    entries.extend(found.into_iter().map(|(id, fields)| Entry { stream: stream.clone(), id, fields }));
                }
                Err(error) => drop(round.note(Err(DrainError::Stream { stream: stream.clone(), error }))),
            }
        }
        let Sorted { batches, bad } = sort(entries.into_iter(), &self.streams.edge_id);
        for batch in batches {
            if batch.facts > 0 && !round.note(self.append(batch.json).await) {
                all_moved = false;
                continue;
            }
            all_moved &= round.note(unless_lost(delete(&mut connection, &batch.entries).await)?);
        }
        for (entry, reason) in bad {
            let is_aside = round.note(unless_lost(put_aside(&mut connection, &entry, &reason).await)?);
            if is_aside {
                self.told.tell(&self.streams, &entry, &reason);
            }
            all_moved &= is_aside;
        }
        round.more |= may_hold_more && all_moved;
        Ok(())
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, DrainError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = in_time(self.streams.client.get_multiplexed_async_connection()).await?;
        Ok(self.connection.insert(connection).clone())
    }

    /// Returns when the batch is durable.
    async fn append(&self, batch: String) -> Result<(), DrainError> {
        let place = self.log.reserve().ok_or(DrainError::Busy)?;
        Ok(place.append(Received { at: clock::now(), bytes: batch.into_bytes() }).await?)
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One entry of an outbox: a break's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    stream: String,
    id: String,
    fields: Fields,
}

/// Entries whose facts go into the log together.
#[derive(Debug, Default)]
struct Batch {
    /// What `POST /v1/facts` would have brought.
    json: String,
    facts: usize,
    entries: Vec<Entry>,
}

impl Batch {
    fn has_room(&self, facts: usize, bytes: usize) -> bool {
        self.facts + facts <= BATCH_FACTS_MAX && self.json.len() + bytes <= BATCH_BYTES_MAX
    }
}

#[derive(Debug, Default)]
struct Sorted {
    batches: Vec<Batch>,
    bad: Vec<(Entry, String)>,
}

/// Makes batches of the entries, within the bounds of a batch, and finds those that cannot be in any.
fn sort(entries: impl Iterator<Item = Entry>, edge_id: &str) -> Sorted {
    let head = format!(r#"{{"edge_id":{},"facts":["#, serde_json::Value::from(edge_id));
    let tail = "]}";
    let mut sorted = Sorted::default();
    for mut entry in entries {
        let (count, facts) = match facts(&entry, head.len() + tail.len()) {
            Ok(facts) => facts,
            Err(reason) => {
                sorted.bad.push((entry, reason));
                continue;
            }
        };
        entry.fields.clear(); // needed no more, and large
        if !sorted.batches.last().is_some_and(|batch| batch.has_room(count, facts.len() + 1 + tail.len())) {
            sorted.batches.push(Batch { json: head.clone(), ..Batch::default() });
        }
        let Some(batch) = sorted.batches.last_mut() else { continue }; // there is one: see above
        if batch.facts > 0 && count > 0 {
            batch.json.push(',');
        }
        batch.json.push_str(&facts);
        batch.facts += count;
        batch.entries.push(entry);
    }
    for batch in &mut sorted.batches {
        batch.json.push_str(tail);
    }
    sorted
}

/// An entry's facts, how many and as text with commas; or why it has none that a batch could hold beside `frame` bytes.
fn facts(entry: &Entry, frame: usize) -> Result<(usize, String), String> {
    let field = entry.fields.iter().find(|(name, _)| name == FACTS_FIELD.as_bytes());
    let (_, text) = field.ok_or_else(|| format!("it has no field {FACTS_FIELD:?}"))?;
    let facts: Vec<&RawValue> =
        serde_json::from_slice(text).map_err(|error| format!("not a JSON array of facts: {error}"))?;
    for (index, fact) in facts.iter().enumerate() {
        serde_json::from_str::<Fact>(fact.get()).map_err(|error| format!("fact {index}: {error}"))?;
    }
    if facts.len() > BATCH_FACTS_MAX {
        return Err(format!("{} facts; a batch has at most {BATCH_FACTS_MAX}", facts.len()));
    }
    let joined = facts.iter().map(|fact| fact.get()).collect::<Vec<_>>().join(",");
    if frame + joined.len() > BATCH_BYTES_MAX {
        return Err(format!("{} bytes; a batch has at most {BATCH_BYTES_MAX}", joined.len()));
    }
    Ok((facts.len(), joined))
}

/// The oldest entries of each stream, or what is wrong with it. One command a stream, because on a cluster each may be on
/// another node.
async fn read(
    connection: &mut MultiplexedConnection,
    streams: &[String],
) -> Result<Vec<RedisResult<Vec<(String, Fields)>>>, DrainError> {
    let mut commands = redis::pipe();
    for stream in streams {
        commands.cmd("XRANGE").arg(stream).arg("-").arg("+").arg("COUNT").arg(ENTRIES_AT_ONCE);
    }
    let answers = in_time(connection.req_packed_commands(&commands, 0, streams.len())).await?;
    Ok(answers.into_iter().map(|answer| answer.extract_error().and_then(from_owned_redis_value)).collect())
}

/// Deletes exactly these entries. They are in the order of their streams.
async fn delete(connection: &mut MultiplexedConnection, entries: &[Entry]) -> Result<(), DrainError> {
    let mut commands = redis::pipe();
    for entries in entries.chunk_by(|one, next| one.stream == next.stream) {
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        commands.cmd("XDEL").arg(&entries[0].stream).arg(ids).ignore();
    }
    in_time(commands.query_async(connection)).await
}

/// Moves an entry to the stream of bad ones, at once or not at all: both streams are in one shard.
async fn put_aside(connection: &mut MultiplexedConnection, entry: &Entry, reason: &str) -> Result<(), DrainError> {
    let mut commands = redis::pipe();
    commands.atomic().cmd("XADD").arg(bad(&entry.stream)).arg("*").arg("id").arg(&entry.id).arg("reason").arg(reason);
    for (name, value) in &entry.fields {
        commands.arg(name).arg(value);
    }
    commands.ignore().cmd("XDEL").arg(&entry.stream).arg(&entry.id).ignore();
    in_time(commands.query_async(connection)).await
}

fn bad(stream: &str) -> String {
    format!("{stream}:bad")
}

/// Keeps what Redis itself refused apart from a connection that is of no more use.
fn unless_lost(outcome: Result<(), DrainError>) -> Result<Result<(), DrainError>, DrainError> {
    match outcome {
        Err(DrainError::Redis(error)) if error.code().is_some() => Ok(Err(DrainError::Redis(error))),
        Err(error) => Err(error),
        Ok(()) => Ok(Ok(())),
    }
}

async fn in_time<R>(call: impl Future<Output = RedisResult<R>>) -> Result<R, DrainError> {
    timeout(CALL_TIMEOUT, call).await.map_err(|_| DrainError::Silent)?.map_err(DrainError::from)
}

/// Tells of bad entries, with a bound on how often.
struct Told {
    since: Instant,
    count: u32,
}

impl Told {
    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    fn tell(&mut self, streams: &Streams, entry: &Entry, reason: &str) {
        if self.since.elapsed() > Duration::from_mins(1) {
            *self = Self::new();
        }
        self.count += 1;
        if self.count <= TOLD_PER_MINUTE_MAX {
            let (server, Entry { stream, id, .. }) = (streams.server(), entry);
            crate::tell!("slotkeeper: redis {server}: entry {id} of {stream} moved to {}: {reason}", bad(stream));
        }
        if self.count == TOLD_PER_MINUTE_MAX {
            crate::tell!("slotkeeper: of more bad entries in this minute nothing will be said");
        }
    }
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::fact::FactBatch;

    use super::*;

    /// A beacon, with so many bytes of something that only a newer build knows.
    fn fact(unknown_bytes: usize) -> String {
        format!(
            r#"{{"fact":"beacon","opportunity_id":"01934c2a-7d10-7000-8000-000000000000","ad_id":1,"record_id":"0101010101010101","event":"start","at":1,"received_at":2,"unknown":"{}"}}"#,
            "x".repeat(unknown_bytes)
        )
    }

    fn entry(id: usize, text: &str) -> Entry {
        Entry { stream: "sk:{0}:o".into(), id: format!("{id}-0"), fields: vec![(b"f".into(), text.into())] }
    }

    fn sorted(texts: &[String]) -> Sorted {
        sort(texts.iter().enumerate().map(|(id, text)| entry(id, text)), "spin \"1\"")
    }

    #[test]
    fn entries_become_one_batch_as_an_edge_would_have_posted_it() {
        let texts = [format!("[{}]", fact(0)), "[]".into(), format!(" [ {} ,\n{} ]", fact(1), fact(2)), "[]".into()];
        let Sorted { batches, bad } = sorted(&texts);
        assert_eq!((batches.len(), bad.len()), (1, 0));
        let batch: FactBatch = serde_json::from_str(&batches[0].json).unwrap();
        assert_eq!((batch.edge_id.as_str(), batch.facts.len()), ("spin \"1\"", 3));
        assert_eq!(batches[0].entries.len(), 4);
    }

    #[test]
    fn no_batch_is_past_its_bounds_and_no_entry_is_left_out() {
        let many = format!("[{}]", vec![fact(0); 300].join(","));
        let large = format!("[{}]", fact(BATCH_BYTES_MAX / 3));
        let texts = [vec![many; 7], vec![large; 5]].concat();
        let Sorted { batches, bad } = sorted(&texts);
        assert_eq!(bad, []);
        let ids: Vec<_> = batches.iter().flat_map(|batch| batch.entries.iter().map(|entry| entry.id.clone())).collect();
        assert_eq!(ids, (0..12).map(|id| format!("{id}-0")).collect::<Vec<_>>());
        for batch in &batches {
            let read: FactBatch = serde_json::from_str(&batch.json).unwrap();
            assert_eq!(read.facts.len(), batch.facts);
            assert!(batch.facts <= BATCH_FACTS_MAX && batch.json.len() <= BATCH_BYTES_MAX);
        }
        assert_eq!(batches.len(), 5);
    }

    #[test]
    fn what_is_no_array_of_facts_is_bad_and_the_others_are_not() {
        let too_many = format!("[{}]", vec![fact(0); BATCH_FACTS_MAX + 1].join(","));
        let too_large = format!("[{}]", fact(BATCH_BYTES_MAX));
        let texts = [
            "nonsense".into(),
            format!("[{}]", fact(0)),
            r#"[{"fact":"rumour"}]"#.into(),
            too_many,
            too_large,
            format!("[{}]", fact(0)),
        ];
        let Sorted { batches, mut bad } = sorted(&texts);
        let without = Entry { fields: vec![(b"g".into(), b"[]".into())], ..entry(9, "") };
        bad.extend(sort([without].into_iter(), "e").bad);
        let reasons: Vec<_> = bad.iter().map(|(_, reason)| reason.split(':').next().unwrap()).collect();
        assert_eq!(reasons[..2], ["not a JSON array of facts", "fact 0"]);
        assert!(reasons[2].starts_with("1001 facts;") && reasons[3].contains("bytes;"), "{reasons:?}");
        assert_eq!(reasons[4], "it has no field \"f\"");
        assert_eq!(batches[0].facts, 2);
    }

    #[test]
    fn what_may_be_left_is_read_at_once_and_errors_are_given_time() {
        let round = |more, error| Round { more, error };
        assert_eq!(next_pause(&round(true, None), DRAIN_EVERY), Duration::ZERO);
        assert_eq!(next_pause(&round(true, Some(DrainError::Busy)), DRAIN_EVERY), Duration::ZERO);
        assert_eq!(next_pause(&round(false, None), BACK_OFF_MAX), DRAIN_EVERY);
        assert_eq!(next_pause(&round(false, Some(DrainError::Silent)), Duration::ZERO), DRAIN_EVERY);
        assert_eq!(next_pause(&round(false, Some(DrainError::Busy)), BACK_OFF_MAX), BACK_OFF_MAX);
    }

    #[test]
    fn a_refused_url_is_not_shown() {
        let error = Streams::new("http://:secret@nowhere", Shards::default(), "spin".into()).unwrap_err();
        assert!(matches!(error, InvalidStreams::Url(_)) && !error.to_string().contains("secret"), "{error}");
        let nameless = Streams::new("redis://127.0.0.1", Shards::default(), String::new());
        assert_eq!(nameless.unwrap_err(), InvalidStreams::EdgeId(String::new()));
        assert_eq!(
            Streams::new("redis://:pw@127.0.0.1:7", Shards::default(), "e".into()).unwrap().server(),
            "127.0.0.1:7"
        );
    }
}
