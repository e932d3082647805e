//! From the log to the queue: which URLs an accepted event asks for.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, named_params, params};
use slotkeeper_core::{
    beacon::Event,
    contract::RegistryRecord,
    fact::{BeaconFact, Fact, FactBatch},
    id::{AdId, OpportunityId, RecordId},
    macros::{Caller, Macros, Told},
    time::UnixMillis,
};
use url::Url;

use super::{Limits, Store, TrackersError};
use crate::{
    fold::{entry_hash, parsed},
    log::{Entry, Log},
    registry::Registry,
};

/// How many entries of the log are read at once.
const ENTRIES_PER_STEP_MAX: usize = 64;
/// After how many entries that ask for nothing the place is kept all the same. Reading them again does no harm.
const ENTRIES_UNKEPT_MAX: u64 = 1_024;
/// How many events whose ad has become known are taken up in one step.
const NOW_KNOWN_PER_STEP: usize = 256;
/// VAST's "undefined error": what an error is whose player says no code.
const ERROR_UNDEFINED: u16 = 900;
/// The vendor of URLs whose host is not known before their macros are filled.
const NO_HOST: &str = "(no host)";
/// Why a letter is dead before it was sent.
const VENDOR_QUEUE_FULL: &str = "too many calls wait for this vendor";

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    /// How many entries were read.
    pub entries: usize,
    /// How many calls they asked for that had not been asked for before.
    pub fired: usize,
    /// Whether nothing is read because too much waits.
    pub full: bool,
}

/// An event of a token.
#[derive(Clone, Copy, Debug)]
struct Happened {
    opportunity_id: OpportunityId,
    ad_id: AdId,
    record_id: RecordId,
    event: Event,
    at: UnixMillis,
    /// Of an error, if the player said one.
    error_code: Option<u16>,
}

impl Store {
    /// Reads the next entries of the log, and puts what they ask for into the queue: both in one commit.
    pub fn consume(&mut self, log: &dyn Log, now: UnixMillis) -> Result<Consumed, TrackersError> {
        if self.queued()? >= self.limits.queue_max {
            return Ok(Consumed { full: true, ..Consumed::default() });
        }
        let entries = log.read(self.read_seq, ENTRIES_PER_STEP_MAX)?;
        let happened: Vec<Happened> = entries.iter().flat_map(happened_in).collect();
        let kept_seq = self.kept()?.map_or(0, |(seq, _)| seq);
        let unkept = entries.last().map_or(0, |last| last.seq.saturating_sub(kept_seq));
        let mut fired = 0;
        let registry = &mut self.registry;
        if unkept >= ENTRIES_UNKEPT_MAX || asks_for_calls(registry, &happened)? || waits_for_a_record(&self.db)? {
            let commit = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut queue = Queueing { db: &commit, registry, limits: &self.limits, now, fired: 0 };
            queue.take_up_what_is_known_now()?;
            for one in &happened {
                queue.accept(one)?;
            }
            fired = queue.fired;
            if let Some(last) = entries.last() {
                keep(&commit, Some(last))?;
            }
            commit.commit()?;
        }
        self.read_seq = entries.last().map_or(self.read_seq, |last| last.seq);
        Ok(Consumed { entries: entries.len(), fired, full: false })
    }

    /// How many calls wait in all.
    pub fn queued(&self) -> Result<u64, TrackersError> {
        let mut sum = self.db.prepare_cached("SELECT coalesce(sum(queued), 0) FROM vendors")?;
        Ok(sum.query_row([], |row| row.get(0))?)
    }
}

/// Keeps that the log is read to `last`.
pub(super) fn keep(db: &Connection, last: Option<&Entry>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO consumed (one, seq, entry_hash) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, entry_hash = excluded.entry_hash",
    )?
    .execute(params![last.map_or(0, |last| last.seq), last.map(entry_hash)])?;
    Ok(())
}

/// The events of an entry that count. One that cannot be read has none: the fold says so.
fn happened_in(entry: &Entry) -> Vec<Happened> {
    let Ok(batch) = serde_json::from_slice::<FactBatch>(&entry.received.bytes) else { return vec![] };
    let counted = |fact: Fact| match fact {
        Fact::Beacon(beacon) if counts(&beacon) => Some(Happened::from(&beacon)),
        _ => None,
    };
    batch.facts.into_iter().filter_map(counted).collect()
}

/// Whether vendors hear of a beacon: not of one that the fold refuses, of one that is no viewer's, or of one about a slot
/// without an ad, which a player of VAST reports as an error.
fn counts(beacon: &BeaconFact) -> bool {
    beacon.is_within_bounds() && beacon.invalid_traffic.is_none() && beacon.ad_id != AdId(0)
}

impl From<&BeaconFact> for Happened {
    fn from(beacon: &BeaconFact) -> Self {
        let BeaconFact { opportunity_id, ad_id, record_id, event, at, error_code, .. } = *beacon;
        Self { opportunity_id, ad_id, record_id, event, at, error_code }
    }
}

/// Whether an event proves nothing unless its ad has begun to play, as for the fold's impressions.
fn needs_start(event: Event) -> bool {
    !matches!(event, Event::Start | Event::Error | Event::NotUsed)
}

/// Whether anything may have to be written for these events.
fn asks_for_calls(registry: &mut Registry, happened: &[Happened]) -> rusqlite::Result<bool> {
    for one in happened {
        if registry.get(one.record_id)?.is_none_or(|record| !record.trackers.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn waits_for_a_record(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM held WHERE waits_for = 'record')")?.query_row([], |row| row.get(0))
}

/// Filling the queue within one commit.
struct Queueing<'a> {
    db: &'a Transaction<'a>,
    registry: &'a mut Registry,
    limits: &'a Limits,
    now: UnixMillis,
    fired: usize,
}

impl Queueing<'_> {
    fn accept(&mut self, one: &Happened) -> rusqlite::Result<()> {
        if self.is_too_old(one)? {
            return Ok(());
        }
        let Some(record) = self.registry.get(one.record_id)? else { return hold(self.db, one, "record") };
        let record = record.clone();
        if one.event == Event::Start {
            self.begin(one, &record)?;
        } else if needs_start(one.event) && !has_begun(self.db, one)? {
            let is_booked = record.trackers.iter().any(|tracker| tracker.event == one.event);
            return if is_booked { hold(self.db, one, "start") } else { Ok(()) };
        }
        self.fire(one, &record)
    }

    /// Whether it is too late to call for an event, or is not known any more whether that was done.
    fn is_too_old(&self, one: &Happened) -> rusqlite::Result<bool> {
        let mut select = self.db.prepare_cached("SELECT forgotten_before_ms FROM consumed")?;
        let forgotten_before: u64 = select.query_row([], |row| row.get(0)).optional()?.unwrap_or(0);
        let opened_at = one.opportunity_id.opened_at();
        Ok(opened_at.0 < forgotten_before || opened_at.plus_ms(self.limits.age_max_ms()) < self.now)
    }

    /// The ad has begun to play, so what waited for that counts.
    fn begin(&mut self, start: &Happened, record: &RegistryRecord) -> rusqlite::Result<()> {
        if !record.trackers.iter().any(|tracker| needs_start(tracker.event)) {
            return Ok(());
        }
        let (id, record_id) = (start.opportunity_id.to_string(), start.record_id.to_string());
        let opened_at = start.opportunity_id.opened_at().0;
        self.db.prepare_cached("INSERT OR IGNORE INTO begun VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            id,
            start.ad_id.0,
            record_id,
            opened_at
        ])?;
        let released = {
            let mut take = self.db.prepare_cached(&format!(
                "DELETE FROM held WHERE opportunity_id = ?1 AND ad_id = ?2 AND record_id = ?3 AND waits_for = 'start'
                 RETURNING {HELD_COLUMNS}"
            ))?;
            let rows = take.query_map(params![id, start.ad_id.0, record_id], read_held)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        released.iter().try_for_each(|one| self.fire(one, record))
    }

    /// Queues the calls that are booked for an event, except those that were before.
    fn fire(&mut self, one: &Happened, record: &RegistryRecord) -> rusqlite::Result<()> {
        let booked = record.trackers.iter().filter(|tracker| tracker.event == one.event);
        for tracker in booked {
            let vendor = vendor_of(&tracker.url);
            let is_full = self.waiting_for(&vendor)? >= self.limits.vendor_queue_max;
            let Some(firing_id) = self.insert(one, &tracker.url, &vendor, is_full)? else { continue };
            let url = macros(one, record).fill(&tracker.url);
            if is_full {
                self.db.prepare_cached("INSERT INTO dead_letters VALUES (?1, ?2, 0, ?3, ?4)")?.execute(params![
                    firing_id,
                    url,
                    VENDOR_QUEUE_FULL,
                    self.now.0
                ])?;
                self.db.prepare_cached("UPDATE vendors SET dead = dead + 1 WHERE vendor = ?1")?.execute([vendor])?;
            } else {
                let give_up_at = one.opportunity_id.opened_at().plus_ms(self.limits.age_max_ms());
                self.db
                    .prepare_cached(
                        "INSERT INTO queue (firing_id, vendor, url, due_at_ms, give_up_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![firing_id, vendor, url, self.now.0, give_up_at.0])?;
            }
            self.fired += 1;
        }
        Ok(())
    }

    fn waiting_for(&self, vendor: &str) -> rusqlite::Result<u64> {
        let mut select = self.db.prepare_cached("SELECT queued FROM vendors WHERE vendor = ?1")?;
        Ok(select.query_row([vendor], |row| row.get(0)).optional()?.unwrap_or(0))
    }

    /// The number of a call that was not asked for before; `None` of one that was.
    fn insert(&self, one: &Happened, url: &str, vendor: &str, is_dead: bool) -> rusqlite::Result<Option<i64>> {
        self.db
            .prepare_cached(
                "INSERT INTO firings (opportunity_id, ad_id, record_id, event, url_hash, vendor, state, at_ms,
                                      opened_at_ms, settled_at_ms)
                 VALUES (:opportunity_id, :ad_id, :record_id, :event, :url_hash, :vendor, :state, :at, :opened_at,
                         :settled_at)
                 ON CONFLICT DO NOTHING RETURNING firing_id",
            )?
            .query_row(
                named_params! {
                    ":opportunity_id": one.opportunity_id.to_string(),
                    ":ad_id": one.ad_id.0,
                    ":record_id": one.record_id.to_string(),
                    ":event": one.event.as_str(),
                    ":url_hash": &blake3::hash(url.as_bytes()).to_hex()[..16],
                    ":vendor": vendor,
                    ":state": if is_dead { "dead" } else { "queued" },
                    ":at": one.at.0,
                    ":opened_at": one.opportunity_id.opened_at().0,
                    ":settled_at": is_dead.then_some(self.now.0),
                },
                |row| row.get(0),
            )
            .optional()
    }

    /// Events whose ad as sold was not known when they came, and is now. All ads that are not known are asked for, so that
    /// those that stay unknown never hide one that does not.
    fn take_up_what_is_known_now(&mut self) -> rusqlite::Result<()> {
        let mut after = String::new();
        while let Some(record_id) = next_unknown(self.db, &after)? {
            if self.registry.get(record_id)?.is_some() {
                let waiting = {
                    let mut take = self.db.prepare_cached(&format!(
                        "SELECT {HELD_COLUMNS} FROM held WHERE waits_for = 'record' AND record_id = ?1 LIMIT ?2"
                    ))?;
                    let rows = take.query_map(params![record_id.to_string(), NOW_KNOWN_PER_STEP], read_held)?;
                    rows.collect::<rusqlite::Result<Vec<_>>>()?
                };
                for one in &waiting {
                    release(self.db, one)?;
                    self.accept(one)?;
                }
            }
            after = record_id.to_string();
        }
        Ok(())
    }
}

/// What is known of an event here. Who watched, on what and from where never comes to the origin.
fn macros<'a>(one: &Happened, record: &'a RegistryRecord) -> Macros<'a> {
    Macros {
        pod_sequence: Told::Known(u32::from(one.opportunity_id.slot_index()) + 1),
        universal_ad_id: Told::Known(&record.universal_ad_id),
        error_code: (one.event == Event::Error).then(|| one.error_code.unwrap_or(ERROR_UNDEFINED)).into(),
        caller: Told::Known(Caller::ServerForClient),
        ..Macros::of(one.opportunity_id, one.event, one.at)
    }
}

/// The host, with its port where that is not the scheme's: whose limits a call counts against. Of the URL as booked, so
/// there are no more vendors than bookings.
fn vendor_of(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port())));
    host.map_or_else(
        || NO_HOST.into(),
        |(host, port)| port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
    )
}

const HELD_COLUMNS: &str = "opportunity_id, ad_id, record_id, event, at_ms, error_code";

fn read_held(row: &Row<'_>) -> rusqlite::Result<Happened> {
    Ok(Happened {
        opportunity_id: parsed(row, 0)?,
        ad_id: AdId(row.get(1)?),
        record_id: parsed(row, 2)?,
        event: parsed(row, 3)?,
        at: UnixMillis(row.get(4)?),
        error_code: row.get(5)?,
    })
}

fn hold(db: &Connection, one: &Happened, waits_for: &str) -> rusqlite::Result<()> {
    db.prepare_cached(&format!(
        "INSERT OR IGNORE INTO held ({HELD_COLUMNS}, opened_at_ms, waits_for) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    ))?
    .execute(params![
        one.opportunity_id.to_string(),
        one.ad_id.0,
        one.record_id.to_string(),
        one.event.as_str(),
        one.at.0,
        one.error_code,
        one.opportunity_id.opened_at().0,
        waits_for,
    ])?;
    Ok(())
}

fn release(db: &Connection, one: &Happened) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM held WHERE opportunity_id = ?1 AND ad_id = ?2 AND record_id = ?3 AND event = ?4")?
        .execute(params![one.opportunity_id.to_string(), one.ad_id.0, one.record_id.to_string(), one.event.as_str()])?;
    Ok(())
}

fn has_begun(db: &Connection, one: &Happened) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM begun WHERE opportunity_id = ?1 AND ad_id = ?2 AND record_id = ?3)",
    )?
    .query_row(params![one.opportunity_id.to_string(), one.ad_id.0, one.record_id.to_string()], |row| row.get(0))
}

/// The first ad as sold after `after` that some event waits for.
fn next_unknown(db: &Connection, after: &str) -> rusqlite::Result<Option<RecordId>> {
    db.prepare_cached(
        "SELECT record_id FROM held WHERE waits_for = 'record' AND record_id > ?1 ORDER BY record_id LIMIT 1",
    )?
    .query_row([after], |row| parsed(row, 0))
    .optional()
}
