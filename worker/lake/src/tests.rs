//! What the lake must do, whatever comes in whatever order and how often, and wherever it is killed.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use rusqlite::Connection;
use slotkeeper_core::{
    beacon::Event,
    contract::RegistryRecord,
    fact::{BeaconFact, Fact, FactBatch},
    id::{DecisionId, OpportunityId, RecordId, SessionKey},
    pod::{Opportunity, Outcome, UnfilledReason},
    time::UnixMillis,
};

use crate::{
    DERIVED, Fault, Lake, LakeError, Log, LogEntry, Registry, Status, file,
    hour::{HOUR_MS, Hour},
    lake::Bounds,
    raw::RAW,
    store::PART,
    tables::{EVENTS, IMPRESSIONS, OPPORTUNITIES, Table},
};
use facts::{NOW, beacon, by_crawler, committed, crawled, filled, house_record, lossy, record, uncommitted, unfilled};

#[path = "../../tests/support/facts.rs"]
mod facts;

/// The record that becomes known late.
const LATE: u32 = 5;

#[derive(Default)]
struct MemoryLog(Vec<LogEntry>);

impl MemoryLog {
    fn append(&mut self, edge_id: &str, facts: &[Fact]) {
        let batch = FactBatch { edge_id: edge_id.into(), facts: facts.to_vec() };
        self.append_bytes(serde_json::to_vec(&batch).unwrap());
    }

    fn append_bytes(&mut self, bytes: Vec<u8>) {
        let seq = self.0.len() as u64 + 1;
        self.0.push(LogEntry { seq, received_at: NOW.plus_ms(seq), bytes });
    }
}

impl Log for MemoryLog {
    fn read(&self, after: u64) -> Result<Vec<LogEntry>, Fault> {
        Ok(self.0.get(usize::try_from(after)?).cloned().into_iter().collect())
    }
    fn last_seq(&self) -> Result<u64, Fault> {
        Ok(self.0.len() as u64)
    }
}

/// Ads as sold, of which one may not be known yet.
#[derive(Default)]
struct Known {
    records: BTreeMap<RecordId, RegistryRecord>,
    asked: Cell<u32>,
}

impl Known {
    fn all() -> Self {
        Self::of(&[record(1), record(2), record(LATE), house_record(9)])
    }

    fn of(records: &[RegistryRecord]) -> Self {
        Self { records: records.iter().map(|one| (one.record_id(), one.clone())).collect(), asked: Cell::default() }
    }
}

impl Registry for Known {
    fn record(&mut self, id: RecordId) -> Result<Option<RegistryRecord>, Fault> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.records.get(&id).cloned())
    }
}

struct World {
    folder: tempfile::TempDir,
    log: MemoryLog,
    known: Known,
    bounds: Bounds,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, log: MemoryLog::default(), known: Known::all(), bounds: Bounds::default() }
    }

    fn lake(&self) -> Lake {
        Lake::open(&self.folder.path().join("lake"), &self.book()).unwrap().with_bounds(self.bounds)
    }

    fn book(&self) -> PathBuf {
        self.folder.path().join("lake.db")
    }

    fn advance(&mut self) {
        self.lake().advance(&self.log, &mut self.known, &mut |_| ()).unwrap();
    }

    /// Every file of derived tables, and the totals.
    fn derived(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for table in DERIVED {
            files_below(&self.folder.path().join("lake").join(table.name), &mut found);
        }
        let db = Connection::open(self.book()).unwrap();
        for table in ["flight_totals", "slot_totals", "client_losses", "counts", "auction_records"] {
            found.insert(table.into(), dump_of(&db, &format!("SELECT * FROM {table}")).into());
        }
        let tally = "SELECT hour_at_ms, unique_rows, duplicate_rows, refused_rows, late FROM hours";
        found.insert("hours".into(), dump_of(&db, tally).into());
        found
    }

    fn rows(&self, table: &'static Table, hour: Hour) -> crate::columns::Rows {
        let path = self.folder.path().join("lake").join(table.name).join(hour.folder()).join(PART);
        file::read(table, bytes::Bytes::from(std::fs::read(path).unwrap())).unwrap()
    }
}

fn files_below(folder: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            let name =
                path.components().rev().take(4).map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
            found.insert(name.join("/"), std::fs::read(&path).unwrap());
        }
    }
}

fn dump_of(db: &Connection, sql: &str) -> String {
    let mut select = db.prepare(sql).unwrap();
    let columns = select.column_count();
    let mut rows = select.query([]).unwrap();
    let mut dump = String::new();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            write!(dump, "{:?}|", row.get_ref(column).unwrap()).unwrap();
        }
        dump.push('\n');
    }
    dump
}

fn now_hour() -> Hour {
    Hour::of(NOW).unwrap()
}

/// A row of a break that opened at another time, and of a viewer in another bucket: or all of them would be in one pass.
fn opened(row: Opportunity, after_ms: u64) -> Opportunity {
    let (at, mut break_id) = (NOW.plus_ms(after_ms), row.break_id);
    break_id.0[0] = break_id.0[7] << 6;
    let opportunity_id = OpportunityId::mint(break_id, row.slot_index, at);
    Opportunity { break_id, opportunity_id, decided_at: at, ..row }
}

/// What of a fact is drawn.
#[derive(Clone, Debug)]
struct Drawn {
    break_no: u32,
    slot: u8,
    opened_after_ms: u64,
    ad: u32,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    Row { decision: u8, is_committed: bool, is_filled: bool, is_crawlers: bool },
    Beacon { event: Event, at: u64, session: u8, is_crawlers: bool },
    Loss { session: u8, lost: u32 },
}

fn sold(ad: u32) -> RegistryRecord {
    if ad == 9 { house_record(9) } else { record(ad) }
}

fn fact_of(drawn: &Drawn) -> Fact {
    let ad = sold(drawn.ad);
    let row = opened(filled(drawn.break_no, drawn.slot, &ad), drawn.opened_after_ms);
    match drawn.of {
        Of::Row { decision, is_committed, is_filled, is_crawlers } => {
            let row = if is_filled { row } else { opened(unfilled(drawn.break_no, drawn.slot), drawn.opened_after_ms) };
            let row = Opportunity { decision_id: DecisionId([decision; 16]), ..row };
            let row = if is_crawlers { crawled(row) } else { row };
            if is_committed { committed(&row) } else { uncommitted(&row) }
        }
        Of::Beacon { event, at, session, is_crawlers } => {
            let fact = beacon(&row, &ad, event, drawn.opened_after_ms + at);
            let fact = if is_crawlers { by_crawler(fact) } else { fact };
            let Fact::Beacon(beacon) = fact else { unreachable!("a beacon") };
            let session = (session > 0).then_some(SessionKey([session; 8]));
            let error_code = (event == Event::Error).then_some(400 + u16::from(session.is_some()));
            Fact::Beacon(BeaconFact { session, error_code, idle_s: Some(u32::try_from(at).unwrap()), ..beacon })
        }
        Of::Loss { session, lost } => lossy(session, lost),
    }
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let row = (0u8..3, any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    let row = row.prop_map(|(decision, is_committed, is_filled, is_crawlers)| Of::Row {
        decision,
        is_committed,
        is_filled,
        is_crawlers,
    });
    let events = prop::sample::select(vec![
        Event::Start,
        Event::Start,
        Event::FirstQuartile,
        Event::Midpoint,
        Event::Complete,
        Event::ThirdQuartile,
        Event::Error,
        Event::NotUsed,
        Event::Skip,
        Event::Viewable,
        Event::ClickThrough,
    ]);
    let heard = (events, 0u64..4, 0u8..3, prop::bool::weighted(0.1));
    let heard = heard.prop_map(|(event, at, session, is_crawlers)| Of::Beacon { event, at, session, is_crawlers });
    let loss = (1u8..3, 0u32..4).prop_map(|(session, lost)| Of::Loss { session, lost });
    let of = prop_oneof![5 => row, 9 => heard, 1 => loss];
    let opened = prop::sample::select(vec![0, 0, 0, 5_000, 20 * 60_000, HOUR_MS, 50 * HOUR_MS]);
    let ads = prop::sample::select(vec![1, 1, 2, LATE, 9]);
    let drawn = (0u32..4, 0u8..3, opened, ads, of);
    let drawn =
        drawn.prop_map(|(break_no, slot, opened_after_ms, ad, of)| Drawn { break_no, slot, opened_after_ms, ad, of });
    prop::collection::vec(drawn.prop_map(|drawn| fact_of(&drawn)), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn in_pieces_and_in_passes_and_merged_it_is_the_same_as_at_once_byte_for_byte(
        facts in facts(), batch in 1usize..30, chunk in 1usize..6, again in 0usize..40,
    ) {
        let mut facts = facts;
        facts.extend_from_within(..again.min(facts.len())); // some come again
        let batches: Vec<_> = facts.chunks(batch).collect();
        let edge = |n: usize| ["edge-2", "edge-1", "edge-3"][n % 3];
        let mut at_once = World::new();
        batches.iter().enumerate().for_each(|(n, facts)| at_once.log.append(edge(n), facts));
        at_once.advance();

        let mut in_pieces = World::new();
        in_pieces.bounds = Bounds { chunk_bytes: 900, pass_rows: 7, files_max: 2, threads_max: 2 };
        in_pieces.known = Known::of(&[record(1), record(2), house_record(9)]);
        for (n, facts) in batches.iter().enumerate() {
            in_pieces.log.append(edge(n), facts);
            if n.is_multiple_of(chunk) {
                in_pieces.advance();
            }
        }
        in_pieces.known = Known::all();
        in_pieces.advance();
        let (one, other) = (at_once.derived(), in_pieces.derived());
        prop_assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            prop_assert!(bytes == &other[name], "{} differs", name);
        }

        let mut anew = in_pieces.lake();
        anew.clear().unwrap();
        drop(anew);
        prop_assert!(files_of_raw(&in_pieces).is_empty());
        in_pieces.advance();
        prop_assert!(in_pieces.derived() == one, "made anew");
    }

    #[test]
    fn a_break_whose_tries_opened_in_several_hours_stands_once_whatever_comes_first(
        facts in facts(), batch in 1usize..20, order in any::<prop::sample::Index>(),
    ) {
        let mut at_once = World::new();
        at_once.log.append("edge-1", &facts);
        at_once.advance();
        let one = at_once.derived();
        prop_assert_eq!(decided_twice(&at_once), Vec::<String>::new());

        let mut facts = facts;
        let middle = order.index(facts.len());
        facts.rotate_left(middle);
        facts[middle / 2..].reverse();
        let mut in_pieces = World::new();
        in_pieces.bounds = Bounds { pass_rows: 9, files_max: 3, threads_max: 2, ..Bounds::default() };
        for facts in facts.chunks(batch) {
            in_pieces.log.append("edge-1", facts);
            in_pieces.advance();
        }
        let other = in_pieces.derived();
        for (name, bytes) in &one {
            prop_assert!(bytes == &other[name], "{} differs", name);
        }
    }
}

/// The breaks of which rows of several decisions stand, or several of one slot.
fn decided_twice(world: &World) -> Vec<String> {
    let mut standing: BTreeMap<String, Vec<(String, Option<i64>)>> = BTreeMap::new();
    let db = Connection::open(world.book()).unwrap();
    let mut select = db.prepare("SELECT hour_at_ms FROM hours").unwrap();
    for at in select.query_map([], |row| row.get::<_, u64>(0)).unwrap() {
        let rows = world.rows(&OPPORTUNITIES, Hour::of(UnixMillis(at.unwrap())).unwrap());
        for row in 0..rows.len() {
            let text = |name| rows.column(name).text(row).unwrap().to_owned();
            let decision = text("recording") + &text("decision_id");
            standing.entry(text("break_id")).or_default().push((decision, rows.column("slot_index").int(row)));
        }
    }
    let is_twice = |rows: &Vec<(String, Option<i64>)>| {
        rows.iter().enumerate().any(|(n, one)| rows[..n].iter().any(|other| one.0 != other.0 || one.1 == other.1))
    };
    standing.into_iter().filter(|(_, rows)| is_twice(rows)).map(|(id, _)| id).collect()
}

#[test]
fn what_is_told_late_of_one_hour_changes_the_election_in_another() {
    let mut world = World::new();
    let (first, sold) = (opened(filled(1, 0, &record(1)), 0), record(1));
    let again = Opportunity { decision_id: DecisionId([9; 16]), ..opened(filled(1, 0, &record(2)), HOUR_MS) };
    world.log.append("edge-1", &[committed(&first), committed(&opened(unfilled(2, 0), 0))]);
    world.advance();
    world.log.append("edge-1", &[committed(&again)]);
    world.advance();
    let [here, there] = [0, HOUR_MS].map(|after| Hour::of(NOW.plus_ms(after)).unwrap());
    let stand = |world: &World| [here, there].map(|hour| world.rows(&OPPORTUNITIES, hour).len());
    assert_eq!(stand(&world), [2, 0], "the earlier stands");
    world.log.append("edge-1", &[beacon(&again, &record(2), Event::Start, HOUR_MS)]);
    world.advance();
    assert_eq!(stand(&world), [1, 1], "the one that began does");
    assert_eq!(
        dump_of(&Connection::open(world.book()).unwrap(), "SELECT sum(slots) FROM slot_totals"),
        "Integer(2)|\n"
    );
    world.log.append("edge-1", &[beacon(&first, &sold, Event::Start, 1)]);
    world.advance();
    assert_eq!(stand(&world), [2, 0], "of two that began the earlier");
    assert_eq!(world.lake().dirty_hours().unwrap(), 0);
}

#[test]
fn a_book_of_before_it_knew_the_hours_of_breaks_learns_them_and_elects_again() {
    let mut world = World::new();
    let first = opened(filled(1, 0, &record(1)), 0);
    let again = Opportunity { decision_id: DecisionId([9; 16]), ..opened(filled(1, 0, &record(2)), HOUR_MS) };
    world.log.append("edge-1", &[committed(&first), committed(&again)]);
    world.advance();
    let expected = world.derived();
    let forgets =
        "DELETE FROM breaks; DELETE FROM breaks_apart; DELETE FROM rivals; UPDATE hours SET folded_version = 0;";
    Connection::open(world.book()).unwrap().execute_batch(forgets).unwrap();
    world.advance();
    assert!(world.derived() != expected, "as a build of before folded it");
    Connection::open(world.book()).unwrap().execute_batch("PRAGMA user_version = 1").unwrap();
    world.advance();
    assert!(world.derived() == expected);
    assert_eq!(decided_twice(&world), Vec::<String>::new());
}

fn files_of_raw(world: &World) -> Vec<String> {
    let mut found = BTreeMap::new();
    for table in RAW {
        files_below(&world.folder.path().join("lake").join(table.name), &mut found);
    }
    found.into_keys().collect()
}

/// Some of everything, over two hours.
fn everything() -> Vec<Vec<Fact>> {
    let (one, two, late) = (record(1), record(2), record(LATE));
    let rows = [filled(1, 0, &one), filled(1, 1, &two), unfilled(1, 2), opened(filled(2, 0, &late), HOUR_MS)];
    let rival = Opportunity { decision_id: DecisionId([9; 16]), ..unfilled(1, 0) };
    let mut facts: Vec<Fact> = rows.iter().map(committed).collect();
    facts.push(uncommitted(&rival));
    for (row, sold) in [(&rows[0], &one), (&rows[3], &late)] {
        facts.extend(facts::QUARTILES.map(|event| beacon(row, sold, event, 10)));
    }
    facts.extend([beacon(&rows[1], &two, Event::NotUsed, 3), lossy(1, 4)]);
    facts.chunks(3).map(<[Fact]>::to_vec).collect()
}

#[test]
fn killed_at_any_step_and_run_again_it_is_the_same_and_nothing_is_left_over() {
    let mut whole = World::new();
    for facts in everything() {
        whole.log.append("edge-1", &facts);
    }
    let small = Bounds { chunk_bytes: 1_500, files_max: 1, threads_max: 1, ..Bounds::default() };
    whole.bounds = small;
    whole.advance();
    let (expected, raw) = (whole.derived(), files_of_raw(&whole));
    let mut steps = 0;
    loop {
        let mut killed = World::new();
        killed.bounds = small;
        for facts in everything() {
            killed.log.append("edge-1", &facts);
        }
        let mut lake = killed.lake();
        lake.break_off_after(Some(steps));
        let outcome = lake.advance(&killed.log, &mut killed.known, &mut |_| ());
        drop(lake);
        killed.advance();
        assert!(killed.derived() == expected, "killed at step {steps}");
        assert_eq!(files_of_raw(&killed), raw, "killed at step {steps}");
        match outcome {
            Err(LakeError::BrokenOff) => steps += 1,
            outcome => break outcome.unwrap(),
        }
    }
    assert!(steps > 40, "{steps} steps");
}

#[test]
fn an_ad_as_sold_that_becomes_known_is_applied_and_only_its_hours_are_folded_again() {
    let mut world = World::new();
    world.known = Known::of(&[record(1), record(2)]);
    for facts in everything() {
        world.log.append("edge-1", &facts);
    }
    world.advance();
    let next = Hour::of(NOW.plus_ms(HOUR_MS)).unwrap();
    assert_eq!(world.rows(&IMPRESSIONS, next).column("currency").text(0), None);
    assert_eq!(world.lake().fold_next(&mut world.known).unwrap().hours, 0);
    world.known = Known::all();
    let folded = world.lake().fold_next(&mut world.known).unwrap();
    assert_eq!(folded.hours, 1);
    assert_eq!(world.rows(&IMPRESSIONS, next).column("recognized_revenue_micros").int(0), Some(18_333));
}

#[test]
fn received_is_unique_and_duplicate_and_refused_and_what_has_no_rows() {
    let mut world = World::new();
    let row = unfilled(1, 0);
    let forged = Opportunity { slot_index: 1, ..row.clone() };
    let mut twin = row.break_id; // its last bits are not in its opportunity ids
    twin.0[15] ^= 1;
    let twin = Opportunity { break_id: twin, ..row.clone() };
    let Fact::Beacon(heard) = beacon(&row, &record(1), Event::Start, 0) else { unreachable!("a beacon") };
    let nowhere = BeaconFact { opportunity_id: OpportunityId([0xff; 16]), ..heard.clone() };
    let heard = Fact::Beacon(heard);
    world.log.append("edge-1", &[committed(&row), committed(&row), committed(&forged), committed(&twin), lossy(1, 2)]);
    world.log.append("edge-2", &[committed(&row), heard.clone(), heard, Fact::Beacon(nowhere), lossy(1, 0)]);
    world.log.append_bytes(b"{\"edge_id\":1}".to_vec());
    world.advance();
    let status = Status::read(&world.book()).unwrap().unwrap();
    assert_eq!((status.received, status.unique, status.duplicate), (11, 2, 3));
    assert_eq!((status.refused, status.beside, status.unreadable_batches), (5, 1, 1));
    assert_eq!(world.rows(&EVENTS, now_hour()).column("deliveries").int(0), Some(2));
    assert_eq!(world.rows(&OPPORTUNITIES, now_hour()).column("edge_id").text(0), Some("edge-1"));
}

#[test]
fn what_a_build_of_before_could_not_read_is_written_by_one_that_can() {
    let [one, two] = [filled(1, 0, &record(1)), filled(1, 1, &record(2))];
    let batches = [
        vec![committed(&one)],
        vec![committed(&two), beacon(&two, &record(2), Event::Start, 1)],
        vec![beacon(&one, &record(1), Event::Start, 9)],
    ];
    let mut expected = World::new();
    let mut world = World::new();
    for facts in &batches {
        expected.log.append("edge-1", facts);
        world.log.append("edge-1", facts);
    }
    expected.advance();
    let later = std::mem::replace(&mut world.log.0[1].bytes, b"{\"of\":\"a later build\"}".to_vec());
    world.advance();
    let status = Status::read(&world.book()).unwrap().unwrap();
    assert_eq!((status.unreadable_batches, status.refused, status.unique), (1, 1, 2));
    world.advance();
    assert_eq!(Status::read(&world.book()).unwrap().unwrap(), status, "it still cannot be read");
    world.log.0[1].bytes = later;
    world.log.append("edge-1", &[]); // also where there is something new
    expected.log.append("edge-1", &[]);
    world.advance();
    expected.advance();
    assert!(world.derived() == expected.derived());
    assert_eq!(Status::read(&world.book()).unwrap().unwrap().unreadable_batches, 0);
}

#[test]
fn what_comes_long_after_its_hour_is_counted_late_and_changes_that_hour() {
    let mut world = World::new();
    let (row, sold) = (filled(1, 0, &record(1)), record(1));
    world.log.append("edge-1", &[committed(&row)]);
    world.advance();
    world.log.append("edge-1", &[beacon(&row, &sold, Event::Start, 9)]);
    world.log.0[1].received_at = now_hour().end().plus_ms(HOUR_MS);
    world.advance();
    let status = Status::read(&world.book()).unwrap().unwrap();
    assert_eq!((status.late, status.hours, status.hours_to_fold), (1, 1, 0));
    assert_eq!(world.rows(&IMPRESSIONS, now_hour()).len(), 1);
}

#[test]
fn another_log_or_an_older_copy_that_has_grown_again_is_refused() {
    let mut world = World::new();
    for n in 1..4 {
        world.log.append("edge-1", &[committed(&unfilled(n, 0))]);
    }
    world.advance();
    let whole = std::mem::take(&mut world.log);
    world.log.0 = whole.0[..1].to_vec();
    for n in 4..8 {
        let refused = world.lake().write_next(&world.log).unwrap_err();
        assert!(matches!(refused, LakeError::OtherLog { consumed: 3, .. }), "{refused}");
        let refused = world.lake().advance(&world.log, &mut world.known, &mut |_| ()).unwrap_err();
        assert!(matches!(refused, LakeError::OtherLog { consumed: 3, .. }), "also where it has nothing new: {refused}");
        world.log.append("edge-1", &[committed(&unfilled(n, 0))]);
    }
}

#[test]
fn one_process_at_a_time_advances_a_lake() {
    let world = World::new();
    let lake = world.lake();
    let folder = world.folder.path().join("lake");
    assert!(matches!(Lake::open(&folder, &world.book()), Err(LakeError::InUse(_))));
    drop(lake);
    assert!(Lake::open(&folder, &world.book()).is_ok());
}

#[test]
fn the_files_of_an_hour_are_replaced_while_nobody_opens_some_of_them() {
    let mut world = World::new();
    world.log.append("edge-1", &[committed(&unfilled(1, 0))]);
    world.advance();
    let path = world.folder.path().join("lake").join(crate::REPLACING);
    let opening = std::fs::File::open(path).unwrap();
    opening.lock_shared().unwrap();
    let before = world.derived();
    world.log.append("edge-1", &[committed(&unfilled(2, 0))]);
    let (folder, book) = (world.folder.path().join("lake"), world.book());
    std::thread::scope(|scope| {
        let folding = scope.spawn(|| {
            Lake::open(&folder, &book).unwrap().advance(&world.log, &mut Known::all(), &mut |_| ()).unwrap();
        });
        let begin = std::time::Instant::now();
        while begin.elapsed() < std::time::Duration::from_millis(300) {
            let mut now = BTreeMap::new();
            for table in DERIVED {
                files_below(&folder.join(table.name), &mut now);
            }
            assert!(now.iter().all(|(name, bytes)| before[name] == *bytes));
        }
        drop(opening);
        folding.join().unwrap();
    });
    assert_ne!(world.derived(), before);
}

#[test]
fn a_row_that_is_neither_filled_nor_unfilled_stops_its_hour_and_is_named() {
    let mut world = World::new();
    let row = unfilled(1, 0);
    world.log.append("edge-1", &[committed(&row)]);
    world.lake().write_next(&world.log).unwrap();
    let raw = RAW[0];
    let mut found = BTreeMap::new();
    files_below(&world.folder.path().join("lake").join(raw.name), &mut found);
    let read = file::read(raw, bytes::Bytes::from(found.into_values().next().unwrap())).unwrap();
    let mut damaged = crate::columns::Rows::new(raw);
    let mut writer = damaged.row();
    for (column, data) in raw.columns.iter().zip(read.columns()) {
        if column.name == "fill_reason" {
            writer.text("house_ad")
        } else {
            writer.copy(data, 0)
        };
    }
    drop(writer);
    let folder = world.folder.path().join("lake").join(raw.name).join(now_hour().folder());
    let path = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(path, file::write(&damaged).unwrap()).unwrap();
    let error = world.lake().fold_next(&mut world.known).unwrap_err().to_string();
    assert!(error.contains("filled_xor_unfilled") && error.contains(&row.opportunity_id.to_string()), "{error}");
    let mut written = BTreeMap::new();
    files_below(&world.folder.path().join("lake").join(OPPORTUNITIES.name), &mut written);
    assert!(written.is_empty(), "nothing of the hour was written");
}

#[test]
fn hours_that_cannot_be_folded_keep_no_other_from_being_so_and_are_told() {
    let mut world = World::new();
    for hour in 0..6 {
        world.log.append("edge-1", &[committed(&opened(unfilled(hour, 0), u64::from(hour) * HOUR_MS))]);
    }
    world.bounds.threads_max = 2; // fewer than what cannot be folded
    world.lake().write_next(&world.log).unwrap();
    let raw = world.folder.path().join("lake").join(RAW[0].name);
    let file_of = |hour: u64| {
        let folder = raw.join(Hour::of(NOW.plus_ms(hour * HOUR_MS)).unwrap().folder());
        std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    };
    let whole: Vec<_> = (0..3).map(|hour| std::fs::read(file_of(hour)).unwrap()).collect();
    (0..3).for_each(|hour| std::fs::write(file_of(hour), "damaged").unwrap());
    for _ in 0..2 {
        let mut lake = world.lake();
        let error = lake.advance(&world.log, &mut world.known, &mut |_| ()).unwrap_err();
        assert!(matches!(error, LakeError::File { .. }), "{error}");
        assert_eq!(lake.dirty_hours().unwrap(), 3, "the others are folded");
    }
    let mut lake = world.lake();
    assert!(lake.advance(&world.log, &mut world.known, &mut |_| ()).is_err());
    for (hour, bytes) in (0..).zip(whole) {
        std::fs::write(file_of(hour), bytes).unwrap();
    }
    lake.advance(&world.log, &mut world.known, &mut |_| ()).unwrap();
    assert_eq!(lake.dirty_hours().unwrap(), 0);
}

/// A log to which something comes whenever it is read.
struct Growing(std::cell::RefCell<MemoryLog>);

impl Log for Growing {
    fn read(&self, after: u64) -> Result<Vec<LogEntry>, Fault> {
        let mut log = self.0.borrow_mut();
        assert!(log.0.len() < 200, "a round has no end");
        let number = u32::try_from(log.0.len())?;
        log.append("edge-1", &[committed(&opened(unfilled(number, 0), 0))]);
        log.read(after)
    }
    fn last_seq(&self) -> Result<u64, Fault> {
        self.0.borrow().last_seq()
    }
}

#[test]
fn a_round_ends_and_folds_however_fast_facts_come() {
    let mut world = World::new();
    for number in 0..20 {
        world.log.append("edge-1", &[committed(&opened(unfilled(1_000 + number, 0), 0))]);
    }
    world.bounds.chunk_bytes = 1;
    let growing = Growing(std::mem::take(&mut world.log).into());
    let mut lake = world.lake();
    for round in 0..2 {
        let goal = growing.last_seq().unwrap();
        lake.advance(&growing, &mut world.known, &mut |_| ()).unwrap();
        let consumed = lake.consumed_seq().unwrap();
        assert!(consumed >= goal && consumed < growing.last_seq().unwrap(), "round {round}: {goal}, {consumed}");
        assert_eq!(lake.dirty_hours().unwrap(), 0, "what was written is folded");
        assert_eq!(world.rows(&OPPORTUNITIES, now_hour()).len() as u64, consumed);
    }
}

#[test]
fn a_row_knows_of_its_decision_however_it_came_again() {
    use slotkeeper_core::{
        api::{BreakRequest, SlotRequest},
        auction::Auction,
        caps::{CapState, Viewer},
        consent::Permissions,
        decision::Decision,
    };
    let row = unfilled(1, 0);
    let decision = Decision {
        break_id: row.break_id,
        viewer: row.viewer,
        session: Some(SessionKey([4; 8])),
        opened_at: NOW,
        decided_at: NOW,
        plan_version: Some(7),
        asked: BreakRequest {
            title_id: "film".into(),
            country: Some("CA".into()),
            device: Some("tv".into()),
            slots: vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }],
            ..BreakRequest::default()
        },
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: Auction::NotAsked,
        caps: CapState::Known(Viewer::default()),
    };
    let outcome = Outcome::Unfilled { unfilled_reason: UnfilledReason::PacingThrottled };
    let row = Opportunity { decision_id: decision.id(), outcome, ..row };
    let (alone, whole) = (vec![committed(&row)], vec![Fact::Decision(Box::new(decision)), committed(&row)]);
    for batches in [[&alone, &whole], [&whole, &alone]] {
        let mut world = World::new();
        for facts in batches {
            world.log.append("edge-1", facts);
        }
        world.advance();
        let rows = world.rows(&OPPORTUNITIES, now_hour());
        let text = |name| rows.column(name).text(0).map(str::to_owned);
        assert_eq!((rows.len(), text("country"), text("device")), (1, Some("CA".into()), Some("tv".into())));
        assert_eq!((text("session"), text("tier")), (Some("0404040404040404".into()), None));
    }
}

#[test]
fn an_instant_past_the_end_of_time_is_no_hour() {
    assert_eq!(Hour::of_slot(OpportunityId([0xff; 16])), None);
    assert_eq!(Hour::of_slot(unfilled(1, 0).opportunity_id), Hour::of(UnixMillis(NOW.0)));
}

/// Milliseconds by the clock, and of this process on all cores.
fn spent() -> [u64; 2] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    [u64::try_from(now).unwrap(), ticks * 10]
}

/// `cargo test --release -p slotkeeper-lake -- --ignored --nocapture measure`, with `FACTS` facts.
#[test]
#[ignore = "a measurement"]
fn measure() {
    let facts_max: u64 = std::env::var("FACTS").map_or(1_000_000, |facts| facts.parse().unwrap());
    let sold: Vec<_> = (1..20).map(record).collect();
    let mut world = World::new();
    world.known = Known::of(&sold);
    let (mut facts, mut bytes, mut batch) = (0u64, 0, Vec::new());
    for n in 0.. {
        let opened_after = u64::from(n) * 150; // some 24,000 breaks an hour
        let break_no = n * 0x0001_0401;
        for slot in 0..3 {
            let ad = &sold[(n + u32::from(slot)) as usize % sold.len()];
            if (n + u32::from(slot)) % 8 == 0 {
                batch.push(committed(&opened(unfilled(break_no, slot), opened_after)));
                continue;
            }
            let row = opened(filled(break_no, slot, ad), opened_after);
            batch.push(committed(&row));
            batch.extend(facts::QUARTILES.map(|event| beacon(&row, ad, event, opened_after + u64::from(event.code()))));
        }
        if batch.len() > 900 {
            world.log.append("edge-1", &batch);
            bytes += world.log.0.last().unwrap().bytes.len();
            facts += batch.len() as u64;
            batch.clear();
        }
        if facts >= facts_max {
            break;
        }
    }
    let mut lake = world.lake();
    let begin = spent();
    while lake.write_next(&world.log).unwrap().entries > 0 {}
    let (wrote, mut rows) = (spent(), 0);
    loop {
        let step = lake.fold_next(&mut world.known).unwrap();
        rows += step.folded_rows;
        if step.hours == 0 {
            break;
        }
    }
    let folded = spent();
    let status = Status::read(&world.book()).unwrap().unwrap();
    let on_disk: u64 = status.raw.iter().map(|table| table.bytes).sum();
    let rate = |count: u64, from: [u64; 2], until: [u64; 2]| {
        let [real, cpu] = [0, 1].map(|clock| count / (until[clock] - from[clock]).max(1));
        format!("{real} k/s, {cpu} k a second of one core")
    };
    println!("{facts} facts, {bytes} bytes of JSON, {on_disk} bytes of raw files, {} hours", status.hours);
    println!("written: {}; folded: {}", rate(facts, begin, wrote), rate(rows, wrote, folded));
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
