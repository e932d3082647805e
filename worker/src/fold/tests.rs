//! What the fold must do, whatever is sent in whatever order and how often.

use std::fmt::Write as _;

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest},
    beacon::Event,
    consent::Permissions,
    contract::{BreakPosition, RegistryRecord},
    fact::BeaconFact,
    id::{AdId, DecisionId, RecordId},
    pod::{Opportunity, Outcome, UnfilledReason},
    time::UnixMillis,
};

use super::*;
use crate::{
    contracts::Contracts,
    data_dir::DataDir,
    log::{Received, SqliteLog},
};
use facts::{
    NOW, QUARTILES, beacon, by_crawler, coded, committed, crawled, filled, house_record, idle, lossy, record,
    uncommitted, unfilled,
};

#[path = "../../tests/support/facts.rs"]
mod facts;

struct World {
    folder: tempfile::TempDir,
    log: SqliteLog,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let world = Self { log: SqliteLog::open(&data.log()).unwrap(), folder };
        world.register(&[record(1), record(2), house_record(9)]);
        world
    }

    fn data(&self) -> DataDir {
        DataDir::open(self.folder.path()).unwrap()
    }

    fn register(&self, records: &[RegistryRecord]) {
        let mut contracts = Contracts::open(&self.data().contracts()).unwrap();
        for record in records {
            let row = [record.record_id().to_string(), record.canonical_json()];
            contracts.db().execute("INSERT INTO registry VALUES (?1, ?2)", row).unwrap();
        }
    }

    fn fold(&self) -> Fold {
        Fold::open(&self.data().fold(), Registry::open(&self.data().contracts()).unwrap()).unwrap()
    }

    /// Logs a batch and folds it.
    fn tell(&mut self, facts: Vec<Fact>) {
        self.append("edge-1", facts);
        self.fold().catch_up(&self.log).unwrap();
    }

    fn append(&mut self, edge_id: &str, facts: Vec<Fact>) {
        let batch = FactBatch { edge_id: edge_id.into(), facts };
        self.log.append(&[Received { at: NOW, bytes: serde_json::to_vec(&batch).unwrap() }]).unwrap();
    }

    /// Loses the tables.
    fn forget(&self) {
        for file in ["fold.db", "fold.db-wal", "fold.db-shm"] {
            let _ = std::fs::remove_file(self.folder.path().join(file)); // the last two are there only at times
        }
    }

    /// Every table but the counts of deliveries, as text.
    fn tables(&self) -> String {
        let db = data_dir::connect_read_only(&self.data().fold()).unwrap();
        let tables = [
            "fct_ad_opportunities",
            "opportunities_superseded",
            "decisions",
            "beacon_states",
            "fct_ad_impressions",
            "client_losses",
        ];
        tables.iter().fold(String::new(), |dump, table| dump + &dump_of(&db, table))
    }

    fn counts(&self) -> String {
        dump_of(&data_dir::connect_read_only(&self.data().fold()).unwrap(), "fact_counts")
    }

    fn one<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        data_dir::connect_read_only(&self.data().fold()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn dump_of(db: &Connection, table: &str) -> String {
    let mut select = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
    let columns = select.column_count();
    let mut dump = format!("{table}\n");
    let mut rows = select.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            write!(dump, "{:?}|", row.get_ref(column).unwrap()).unwrap();
        }
        dump.push('\n');
    }
    dump
}

/// Some of everything: rows in both recordings, beacons early, late, doubled, of the wrong ad, of nothing.
fn everything() -> Vec<Fact> {
    let (sold, other, house) = (record(1), record(2), house_record(9));
    let rows = [filled(1, 0, &sold), filled(1, 1, &house), unfilled(1, 2), filled(2, 0, &other), filled(3, 0, &sold)];
    let rival = Opportunity { decided_at: NOW.plus_ms(40), ..unfilled(2, 0) };
    let mut facts: Vec<Fact> = rows.iter().map(committed).collect();
    facts.extend([uncommitted(&rival), uncommitted(&unfilled(4, 0)), committed(&unfilled(4, 0))]);
    facts.extend([uncommitted(&Opportunity { candidates: 9, ..unfilled(4, 0) })]);
    // Rivals of which another than the uncommitted one played, one of them under an id of its own.
    let retry = filled(5, 0, &sold);
    let dated = NOW.plus_ms(5_000);
    let later = OpportunityId::mint(retry.break_id, 0, dated);
    let later = Opportunity { opportunity_id: later, decided_at: dated, ..filled(5, 0, &other) };
    facts.extend([uncommitted(&unfilled(5, 0)), committed(&retry), committed(&later)]);
    facts.extend([beacon(&later, &other, Event::Start, 3), beacon(&later, &other, Event::Midpoint, 4)]);
    let (both, too) = (filled(6, 0, &sold), filled(6, 0, &other));
    facts.extend([committed(&both), uncommitted(&too), uncommitted(&filled(6, 0, &house))]);
    facts.extend([beacon(&both, &sold, Event::Start, 1), beacon(&too, &other, Event::Start, 2)]);
    for (at, event) in (0..).step_by(1_500).zip(QUARTILES) {
        facts.extend([beacon(&rows[0], &sold, event, at), beacon(&rows[1], &house, event, at)]);
        facts.push(beacon(&rows[3], &other, event, at));
    }
    facts.extend([
        beacon(&rows[0], &sold, Event::Start, 700),
        beacon(&rows[4], &other, Event::Start, 5),
        beacon(&rows[4], &sold, Event::Complete, 9),
        beacon(&filled(77, 0, &sold), &sold, Event::Start, 1),
    ]);
    // What players say beside events, of which the most and the least count.
    facts.extend(
        [(7, 40), (90, 41), (3, 42)].map(|(idle_s, at)| idle(beacon(&rows[0], &sold, Event::Pause, at), idle_s)),
    );
    facts.extend([900, 405, 402].map(|code| coded(beacon(&rows[1], &house, Event::Error, 50), code)));
    facts.push(beacon(&rows[1], &house, Event::Error, 49));
    let [long, short] = decided_twice(8);
    facts.extend(long.iter().map(committed).chain(short.iter().map(uncommitted)));
    let [long, short] = decided_twice(9);
    facts.extend(short.iter().map(uncommitted).chain(long.iter().map(committed)));
    facts.push(beacon(&long[1], &sold, Event::Start, 6));
    // What crawlers ask for and report, apart from and among what players do.
    let crawlers = crawled(filled(7, 0, &sold));
    facts.push(committed(&crawlers));
    for (at, event) in (0..).zip(QUARTILES) {
        facts.extend([beacon(&crawlers, &sold, event, at), by_crawler(beacon(&rows[0], &sold, event, at))]);
    }
    facts.extend([Event::Error, Event::NotUsed].map(|event| by_crawler(beacon(&rows[0], &sold, event, 1))));
    facts.push(by_crawler(beacon(&rows[4], &sold, Event::Start, 1)));
    facts.extend([(1, 3), (2, 40), (1, 9), (1, 4)].map(|(session, lost)| lossy(session, lost)));
    facts.push(by_crawler(idle(beacon(&rows[0], &sold, Event::Start, 1), 9_000)));
    facts
}

/// A different order for every seed (Fisher–Yates, SplitMix64).
fn shuffled(mut facts: Vec<Fact>, mut seed: u64) -> Vec<Fact> {
    for last in (1..facts.len()).rev() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^= word >> 27;
        facts.swap(last, usize::try_from(word % (last as u64 + 1)).unwrap());
    }
    facts
}

#[test]
fn order_and_duplicates_change_no_table() {
    let mut reference = World::new();
    reference.tell(everything());
    let said = "SELECT group_concat(coalesce(idle_s, '-') || ' ' || coalesce(error_code, '-'), '; ') FROM beacon_states
         WHERE idle_s IS NOT NULL OR error_code IS NOT NULL ORDER BY opportunity_id";
    assert_eq!(reference.one::<String>(said), "90 -; - 402", "the longest, the least code, and nothing of a crawler's");
    assert_eq!(reference.one::<u64>("SELECT count(*) FROM opportunities_superseded"), 7 + 3 + 2);
    for seed in 0..20 {
        let mut world = World::new();
        let doubled = [everything(), everything()].concat();
        for (n, facts) in shuffled(doubled, seed).chunks(7).enumerate() {
            world.append("edge-1", facts.to_vec());
            if n.is_multiple_of(3) {
                world.fold().step(&world.log).unwrap();
            }
        }
        world.fold().catch_up(&world.log).unwrap();
        assert_eq!(world.tables(), reference.tables(), "seed {seed}");
    }
}

#[test]
fn folding_again_from_nothing_gives_the_same_tables_byte_for_byte() {
    let mut world = World::new();
    for facts in shuffled(everything(), 5).chunks(4) {
        world.tell(facts.to_vec());
    }
    let before = world.tables() + &world.counts();
    world.forget();
    world.fold().catch_up(&world.log).unwrap();
    assert_eq!(world.tables() + &world.counts(), before);
    assert_eq!(world.fold().consumed_seq().unwrap(), world.log.last_seq().unwrap());
}

#[test]
fn revenue_is_recognized_once_past_the_threshold_and_only_for_what_was_sold() {
    let (mut world, sold, house) = (World::new(), record(1), house_record(9));
    let (paid, promo) = (filled(1, 0, &sold), filled(1, 1, &house));
    world.tell(vec![committed(&paid), committed(&promo), beacon(&promo, &house, Event::Start, 0)]);
    let revenue = "SELECT sum(recognized_revenue_micros) FROM fct_ad_impressions";
    let expected =
        [("start", 0), ("firstQuartile", 0), ("midpoint", 18_333), ("thirdQuartile", 18_333), ("complete", 18_333)];
    for (event, (furthest, micros)) in QUARTILES.into_iter().zip(expected) {
        for _ in 0..3 {
            world.tell(vec![beacon(&paid, &sold, event, 10)]);
        }
        assert_eq!(world.one::<i64>(revenue), micros, "{event}");
        let now: String = world.one("SELECT furthest_quartile FROM fct_ad_impressions WHERE flight_id = 1");
        assert_eq!(now, furthest);
    }
    assert_eq!(world.one::<u64>("SELECT threshold_passed FROM fct_ad_impressions WHERE flight_id = 9"), 1);
    assert_eq!(world.one::<String>("SELECT currency FROM fct_ad_impressions WHERE flight_id = 1"), "USD");
}

#[test]
fn what_a_crawler_asks_for_or_reports_is_kept_and_earns_nothing_and_takes_nothing_away() {
    let (sold, columns) = (record(1), "threshold_passed || ' ' || recognized_revenue_micros || ' ' || currency");
    let all_of = |row: &Opportunity| QUARTILES.map(|event| beacon(row, &sold, event, 10)).to_vec();
    let crawlers_of = |row: &Opportunity| all_of(row).into_iter().map(by_crawler).collect::<Vec<_>>();
    let worth =
        |world: &World| world.one::<Option<String>>(&format!("SELECT (SELECT {columns} FROM fct_ad_impressions)"));

    // A crawler's break earns nothing, whoever plays it to its end.
    let mut world = World::new();
    let asked_by_crawler = crawled(filled(1, 0, &sold));
    world.tell(vec![committed(&asked_by_crawler)]);
    world.tell(all_of(&asked_by_crawler));
    assert_eq!(worth(&world).as_deref(), Some("0 0 USD"));
    assert_eq!(world.one::<String>("SELECT invalid_traffic FROM fct_ad_impressions"), "crawler");
    assert_eq!(world.one::<String>("SELECT furthest_quartile FROM fct_ad_impressions"), "complete");

    // A viewer's break of which only a crawler reports has not been played, and it is kept that one did.
    let (row, mut world) = (filled(1, 0, &sold), World::new());
    world.tell(vec![committed(&row)]);
    world.tell(crawlers_of(&row));
    assert_eq!(worth(&world), None);
    assert_eq!(world.one::<Option<String>>("SELECT settled FROM fill_states"), None, "it expires like any other");
    assert_eq!(world.one::<u64>("SELECT invalid_events FROM beacon_states"), 0b11111 << Event::Start.code());

    // Before or after, it takes nothing from what the viewer's player reports.
    for before in [true, false] {
        let mut world = World::new();
        let mut crawlers = crawlers_of(&row);
        crawlers.extend([Event::Error, Event::NotUsed].map(|event| by_crawler(beacon(&row, &sold, event, 1))));
        let (first, then) = if before { (crawlers, all_of(&row)) } else { (all_of(&row), crawlers) };
        world.tell([vec![committed(&row)], first].concat());
        world.tell(then.clone());
        assert_eq!(worth(&world).as_deref(), Some("1 18333 USD"), "the crawler first: {before}");
        assert_eq!(world.one::<u64>("SELECT start_at_ms FROM fct_ad_impressions"), NOW.0 + 10);
        let duplicates = world.one::<u64>("SELECT duplicate FROM fact_counts");
        world.tell(then.clone());
        assert_eq!(world.one::<u64>("SELECT duplicate FROM fact_counts"), duplicates + then.len() as u64);
    }
}

#[test]
fn beacons_that_come_before_their_row_or_their_start_are_kept_until_it_comes() {
    let (mut world, sold) = (World::new(), record(1));
    let row = filled(1, 0, &sold);
    let impressions = "SELECT count(*) FROM fct_ad_impressions";
    world.tell(vec![beacon(&row, &sold, Event::Midpoint, 3_000), beacon(&row, &sold, Event::FirstQuartile, 1_500)]);
    world.tell(vec![committed(&row)]);
    assert_eq!(world.one::<u64>(impressions), 0, "it has not begun to play");
    world.tell(vec![beacon(&row, &sold, Event::Start, 0)]);
    assert_eq!(world.one::<i64>("SELECT recognized_revenue_micros FROM fct_ad_impressions"), 18_333);
}

#[test]
fn of_two_rows_of_a_slot_the_one_whose_ad_began_to_play_stands_and_earns() {
    let (sold, other) = (record(1), record(2));
    let committed_row = filled(1, 0, &sold);
    let sent_straight = Opportunity { decided_at: NOW.plus_ms(90), ..filled(1, 0, &other) };
    for (shown, shown_as) in [(&committed_row, &sold), (&sent_straight, &other)] {
        let plays = QUARTILES.map(|event| beacon(shown, shown_as, event, 1));
        let facts = [vec![committed(&committed_row), uncommitted(&sent_straight)], plays.to_vec()].concat();
        for seed in 0..20 {
            let mut world = World::new();
            for fact in shuffled(facts.clone(), seed) {
                world.tell(vec![fact]);
            }
            let flight = shown_as.flight_id.0;
            assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_opportunities"), flight, "seed {seed}");
            assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_impressions"), flight, "seed {seed}");
            assert_eq!(world.one::<i64>("SELECT recognized_revenue_micros FROM fct_ad_impressions"), 18_333);
            assert_eq!(world.one::<u64>("SELECT count(*) FROM opportunities_superseded"), 1);
        }
    }
}

/// Rows that one decision made of a break.
fn decided(rows: Vec<Opportunity>, decision: u8, at: u64) -> Vec<Opportunity> {
    let of = |row| Opportunity { decision_id: DecisionId([decision; 16]), decided_at: NOW.plus_ms(at), ..row };
    rows.into_iter().map(of).collect()
}

/// A break of which the commit was thought lost, and landed: the viewer was answered the shorter pod.
fn decided_twice(break_no: u32) -> [Vec<Opportunity>; 2] {
    let (sold, other) = (record(1), record(2));
    let long = vec![filled(break_no, 0, &sold), filled(break_no, 1, &sold), unfilled(break_no, 2)];
    let short = vec![filled(break_no, 0, &other), unfilled(break_no, 1)];
    [decided(long, 1, 0), decided(short, 2, 90)]
}

#[test]
fn of_a_break_that_was_decided_twice_the_rows_of_one_decision_stand_and_no_slot_of_the_other() {
    let (sold, other) = (record(1), record(2));
    let [long, short] = decided_twice(1);
    let both = [long.iter().map(committed).collect(), short.iter().map(uncommitted).collect::<Vec<_>>()].concat();
    // Which one stands: with nothing played, and with an ad of either, also in a slot that the other left empty.
    let cases = [
        (vec![], 2, "0 uncommitted, 1 uncommitted", 0),
        (vec![beacon(&short[0], &other, Event::Start, 1)], 2, "0 uncommitted, 1 uncommitted", 1),
        (vec![beacon(&long[1], &sold, Event::Start, 1)], 3, "0 committed, 1 committed, 2 committed", 1),
        (
            vec![beacon(&long[0], &sold, Event::Start, 1), beacon(&long[1], &sold, Event::Start, 2)],
            3,
            "0 committed, 1 committed, 2 committed",
            2,
        ),
    ];
    for (played, slots, standing, impressions) in cases {
        for seed in 0..30 {
            let mut world = World::new();
            world.tell(shuffled([both.clone(), played.clone(), played.clone()].concat(), seed));
            let rows = "SELECT group_concat(slot_index || ' ' || recording, ', ' ORDER BY slot_index) FROM fct_ad_opportunities";
            assert_eq!(world.one::<String>(rows), standing, "seed {seed}");
            assert_eq!(world.one::<u64>("SELECT count(*) FROM opportunities_superseded"), 5 - slots, "seed {seed}");
            assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"), impressions, "seed {seed}");
            let before = world.tables();
            world.forget();
            world.fold().catch_up(&world.log).unwrap();
            assert_eq!(world.tables(), before, "folded from zero, seed {seed}");
        }
    }
}

#[test]
fn what_two_decisions_have_in_common_elects_neither() {
    let sold = record(1);
    // The second could not check a cap: its first slot is the same, of its second it knows nothing.
    let long = decided(vec![filled(1, 0, &sold), filled(1, 1, &sold)], 1, 0);
    let blind = decided(vec![filled(1, 0, &sold), unfilled(1, 1)], 2, 90);
    let facts = [
        long.iter().map(committed).collect(),
        blind.iter().map(uncommitted).collect(),
        vec![beacon(&long[0], &sold, Event::Start, 1), beacon(&long[1], &sold, Event::Start, 2)],
    ]
    .concat();
    for seed in 0..30 {
        let mut world = World::new();
        world.tell(shuffled(facts.clone(), seed));
        let rows =
            "SELECT group_concat(slot_index || ' ' || recording, ', ' ORDER BY slot_index) FROM fct_ad_opportunities";
        assert_eq!(world.one::<String>(rows), "0 committed, 1 committed", "seed {seed}");
        assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"), 2, "both played, seed {seed}");
    }
}

#[test]
fn every_slot_that_an_election_changes_is_told_of() {
    let mut world = World::new();
    let [long, short] = decided_twice(1);
    world.tell(long.iter().map(committed).collect());
    world.append("edge-1", vec![uncommitted(&short[1])]);
    let step = world.fold().step(&world.log).unwrap();
    assert_eq!(step.changed, long.iter().map(|row| row.opportunity_id).collect(), "the slots that are gone, too");
}

#[test]
fn a_retry_that_was_committed_after_503_stands_once_its_ad_began_to_play() {
    let (sold, other) = (record(1), record(2));
    let refused = filled(1, 0, &other); // sent straight, and arrived, but the viewer was answered 503
    let at = NOW.plus_ms(5_000);
    let retry = Opportunity { decided_at: at, ..filled(1, 0, &sold) };
    let under_another_id = {
        let opportunity_id = OpportunityId::mint(retry.break_id, 0, at); // its request id did not date the break
        Opportunity { opportunity_id, ..retry.clone() }
    };
    for retry in [retry, under_another_id] {
        let mut world = World::new();
        world.tell(vec![uncommitted(&refused), committed(&retry)]);
        assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_opportunities"), 2, "nothing played yet");
        world.tell([Event::FirstQuartile, Event::Midpoint].map(|event| beacon(&retry, &sold, event, 3)).to_vec());
        assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_opportunities"), 2, "it has not begun to play");
        world.append("edge-1", vec![beacon(&retry, &sold, Event::Start, 1)]);
        let step = world.fold().step(&world.log).unwrap();
        assert!(step.changed.contains(&retry.opportunity_id) && step.changed.contains(&refused.opportunity_id));
        assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_opportunities"), 1);
        assert_eq!(world.one::<i64>("SELECT recognized_revenue_micros FROM fct_ad_impressions"), 18_333);
        assert_eq!(world.one::<u32>("SELECT flight_id FROM opportunities_superseded"), 2);
    }
}

#[test]
fn while_nothing_played_an_uncommitted_row_supersedes_the_committed_one() {
    let lost = filled(1, 0, &record(1));
    let answered = Opportunity { decided_at: NOW.plus_ms(90), ..unfilled(1, 0) };
    for facts in [[committed(&lost), uncommitted(&answered)], [uncommitted(&answered), committed(&lost)]] {
        let mut world = World::new();
        for fact in facts {
            world.tell(vec![fact]);
        }
        assert_eq!(world.one::<String>("SELECT outcome FROM fct_ad_opportunities"), "unfilled");
        assert_eq!(world.one::<u64>("SELECT flight_id FROM opportunities_superseded"), 1);
    }
}

#[test]
fn an_impression_that_was_counted_is_taken_back_when_its_row_is_superseded() {
    let (mut world, sold, other) = (World::new(), record(1), record(2));
    let row = Opportunity { decided_at: NOW.plus_ms(90), ..filled(1, 0, &sold) };
    world.tell(vec![committed(&row), beacon(&row, &sold, Event::Start, 0)]);
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"), 1);
    let rival = filled(1, 0, &other);
    world.tell(vec![committed(&rival), beacon(&rival, &other, Event::Start, 0)]);
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"), 1);
    assert_eq!(world.one::<u32>("SELECT flight_id FROM fct_ad_impressions"), 2, "of two that played, the earlier");
}

#[test]
fn two_decisions_of_one_slot_under_two_ids_are_one_row() {
    let (mut world, sold) = (World::new(), record(1));
    let first = filled(1, 0, &sold);
    let later = NOW.plus_ms(5_000); // a retry whose request id did not date it, decided without the store's memory
    let id = OpportunityId::mint(first.break_id, 0, later);
    let retry = Opportunity { opportunity_id: id, decided_at: later, ..unfilled(1, 0) };
    world.tell(vec![committed(&first), uncommitted(&retry)]);
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_opportunities"), 1);
    assert_eq!(world.one::<String>("SELECT opportunity_id FROM fct_ad_opportunities"), id.to_string());
}

#[test]
fn an_error_of_a_slot_that_no_ad_filled_is_kept_and_earns_nothing() {
    let mut world = World::new();
    let row = unfilled(1, 0);
    let Fact::Beacon(error) = beacon(&row, &record(1), Event::Error, 5) else { unreachable!("a beacon") };
    let error = BeaconFact { ad_id: AdId(0), record_id: RecordId::default(), error_code: Some(303), ..error };
    world.tell(vec![Fact::Beacon(error), committed(&row)]);
    assert_eq!(world.one::<u64>("SELECT error_at_ms FROM beacon_states WHERE ad_id = 0"), NOW.plus_ms(5).0);
    assert_eq!(world.one::<String>("SELECT outcome FROM fct_ad_opportunities"), "unfilled");
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"), 0);
}

#[test]
fn what_a_session_lost_is_the_most_that_it_said() {
    let mut world = World::new();
    world.tell(vec![lossy(1, 2), lossy(2, 1), lossy(1, 7), lossy(1, 5), lossy(3, 0)]);
    world.tell(vec![lossy(1, 7)]);
    assert_eq!(world.one::<String>("SELECT group_concat(lost, ' ') FROM client_losses ORDER BY session"), "7 1");
    assert_eq!(
        world.one::<String>("SELECT received || ' ' || fresh || ' ' || duplicate || ' ' || refused FROM fact_counts"),
        "6 3 2 1"
    );
}

#[test]
fn terms_that_become_known_later_are_applied_later() {
    let (mut world, late) = (World::new(), record(5));
    let row = filled(1, 0, &late);
    world.tell(vec![committed(&row)]);
    world.tell(QUARTILES.iter().map(|event| beacon(&row, &late, *event, 1)).collect());
    assert_eq!(world.one::<Option<String>>("SELECT currency FROM fct_ad_impressions"), None);
    assert_eq!(world.one::<String>("SELECT furthest_quartile FROM fct_ad_impressions"), "complete");
    world.register(&[late]);
    world.fold().catch_up(&world.log).unwrap();
    assert_eq!(world.one::<i64>("SELECT recognized_revenue_micros FROM fct_ad_impressions"), 18_333);
}

#[test]
fn terms_that_stay_unknown_hide_none_that_become_known() {
    let (mut world, never, late) = (World::new(), record(6), record(5));
    let shown = |n: u32, sold: &RegistryRecord| {
        let row = filled(n, 0, sold);
        [committed(&row), beacon(&row, sold, Event::Start, 0), beacon(&row, sold, Event::Midpoint, 1)]
    };
    // Of 900 impressions, most on terms that stay unknown; whatever order the tables keep them in, some hide others.
    let of = |n: u32| if n.is_multiple_of(3) { &late } else { &never };
    for chunk in (0..900).collect::<Vec<u32>>().chunks(300) {
        world.tell(chunk.iter().flat_map(|n| shown(*n, of(*n))).collect());
    }
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions WHERE currency IS NULL"), 900);
    world.register(std::slice::from_ref(&late));
    world.fold().catch_up(&world.log).unwrap();
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_impressions WHERE currency = 'USD'"), 300);
    let before = world.tables();
    world.forget();
    world.fold().catch_up(&world.log).unwrap();
    assert_eq!(world.tables(), before);
}

#[test]
fn a_second_break_with_the_ids_of_another_is_refused_and_stops_nothing() {
    let mut world = World::new();
    let row = unfilled(1, 0);
    let mut twin = row.break_id; // its last bits are not in its opportunity ids
    twin.0[15] ^= 1;
    let other = Opportunity { break_id: twin, ..row.clone() };
    assert_eq!(OpportunityId::mint(twin, 0, NOW), row.opportunity_id);
    world.tell(vec![committed(&row), committed(&other), committed(&unfilled(2, 0))]);
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_opportunities"), 2);
    assert_eq!(world.one::<u64>("SELECT refused FROM fact_counts"), 1);
}

#[test]
fn every_fact_received_is_fresh_duplicate_or_refused() {
    let mut world = World::new();
    let row = unfilled(1, 0);
    let forged = Opportunity { slot_index: 1, ..row.clone() };
    let far = Opportunity { decided_at: UnixMillis(u64::MAX), ..unfilled(2, 0) };
    world.append("edge-1", vec![committed(&row), committed(&row), committed(&forged), committed(&far)]);
    world.append("edge-2", vec![committed(&row), beacon(&row, &record(1), Event::Start, 0)]);
    world.log.append(&[Received { at: NOW, bytes: b"{\"edge_id\":1}".to_vec() }]).unwrap();
    world.fold().catch_up(&world.log).unwrap();
    let counts = |edge: &str| -> String {
        world.one(&format!(
            "SELECT received || ' ' || fresh || ' ' || duplicate || ' ' || refused FROM fact_counts WHERE edge_id = '{edge}'"
        ))
    };
    assert_eq!((counts("edge-1"), counts("edge-2")), ("4 1 1 2".into(), "2 1 1 0".into()));
    assert_eq!(counts("(unreadable)"), "1 0 0 1");
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_opportunities"), 1);
}

#[test]
fn filled_is_impressed_released_expired_and_open_whatever_comes_in_whatever_order() {
    let (sold, other) = (record(1), record(2));
    let mut facts = everything();
    for n in 20..40 {
        let row = filled(n, 0, if n % 2 == 0 { &sold } else { &other });
        let sold_as = if n % 3 == 0 { &sold } else { &other }; // of every other one, the token of another ad
        let reported = [Event::Start, Event::Error, Event::NotUsed, Event::Midpoint];
        facts.push(committed(&row));
        facts.extend((0..n % 4).map(|k| beacon(&row, sold_as, reported[((n + k) % 4) as usize], u64::from(k))));
    }
    let expiry = NOW.plus_ms(7_200_000);
    let mut met = [false; 4];
    for seed in 0..12 {
        let mut world = World::new();
        for facts in shuffled(facts.clone(), seed).chunks(9) {
            world.tell(facts.to_vec());
            let db = data_dir::connect_read_only(&world.data().fold()).unwrap();
            let filled: u64 = world.one("SELECT count(*) FROM fct_ad_opportunities WHERE outcome = 'filled'");
            for now in [NOW, UnixMillis(expiry.0 - 1), expiry] {
                let states = FillStates::count(&db, now).unwrap();
                assert_eq!(states.total(), filled, "seed {seed}: {states:?}");
                assert_eq!(states.impressed, world.one::<u64>("SELECT count(*) FROM fct_ad_impressions"));
                assert!(if now < expiry { states.expired == 0 } else { states.open == 0 }, "{states:?}");
                let counts = [states.impressed, states.released, states.expired, states.open];
                met.iter_mut().zip(counts).for_each(|(met, count)| *met |= count > 0);
            }
        }
    }
    assert_eq!(met, [true; 4], "each state occurs");
}

#[test]
fn an_ad_that_began_to_play_is_impressed_whatever_else_is_reported_and_before_or_after() {
    let (row, sold) = (filled(1, 0, &record(1)), record(1));
    let state = |events: &[Event], now: UnixMillis| {
        let mut world = World::new();
        world.tell(vec![committed(&row)]);
        world.tell(events.iter().map(|event| beacon(&row, &sold, *event, 1)).collect());
        let db = data_dir::connect_read_only(&world.data().fold()).unwrap();
        let sql = format!("SELECT {} FROM fill_states s", fill_state("?1"));
        db.query_row(&sql, [now.0], |row| row.get::<_, String>(0)).unwrap()
    };
    let (early, late) = (NOW, NOW.plus_ms(7_200_000));
    assert_eq!((state(&[], early), state(&[], late)), ("open".into(), "expired".into()));
    assert_eq!((state(&[Event::Complete], early), state(&[Event::Complete], late)), ("open".into(), "expired".into()));
    for events in [[Event::NotUsed, Event::Skip], [Event::Error, Event::NotUsed]] {
        assert_eq!((state(&events, early), state(&events, late)), ("released".into(), "released".into()));
    }
    assert_eq!(state(&[Event::Error, Event::Start], late), "impressed");
    assert_eq!(state(&[Event::Start, Event::Error], late), "impressed");
}

#[test]
fn a_decision_is_kept_once_under_its_address_and_refused_past_its_bounds() {
    use slotkeeper_core::{
        caps::{CapState, Viewer},
        decision::Decision,
        id::{BreakId, ViewerKey},
    };
    let decision = Decision {
        break_id: BreakId([1; 16]),
        viewer: ViewerKey([2; 16]),
        session: None,
        opened_at: NOW,
        decided_at: NOW,
        plan_version: Some(7),
        asked: BreakRequest {
            title_id: "film".into(),
            slots: vec![SlotRequest { max_duration_ms: 10_000, ..SlotRequest::default() }],
            ..BreakRequest::default()
        },
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: slotkeeper_core::auction::Auction::NotAsked,
        caps: CapState::Known(Viewer::default()),
    };
    let long = "x".repeat(129);
    let asking = |asked| Decision { asked, ..decision.clone() };
    let odd = [
        asking(BreakRequest { slots: vec![], ..decision.asked.clone() }),
        asking(BreakRequest { slots: vec![SlotRequest::default(); 17], ..decision.asked.clone() }),
        Decision { decided_at: UnixMillis(u64::MAX), ..decision.clone() },
        Decision { plan_version: Some(u64::MAX), ..decision.clone() },
        asking(BreakRequest { device: Some(long), ..decision.asked.clone() }),
    ];
    let mut world = World::new();
    world.tell(vec![Fact::Decision(Box::new(decision.clone())), Fact::Decision(Box::new(decision.clone()))]);
    world.tell(odd.into_iter().map(Box::new).map(Fact::Decision).collect());
    assert_eq!(world.one::<String>("SELECT group_concat(decision_id) FROM decisions"), decision.id().to_string());
    assert_eq!(
        world.one::<String>("SELECT received || ' ' || fresh || ' ' || duplicate || ' ' || refused FROM fact_counts"),
        "7 1 1 5"
    );
    let content: String = world.one("SELECT content FROM decisions");
    assert_eq!(serde_json::from_str::<Decision>(&content).unwrap().id(), decision.id(), "as it is read back");
}

#[test]
fn tables_of_an_earlier_build_are_put_aside_and_folded_again_and_those_of_a_later_one_refused() {
    let mut world = World::new();
    world.tell(everything());
    let before = world.tables();
    let tamper = |sql: &str| Connection::open(world.data().fold()).unwrap().execute_batch(sql).unwrap();
    tamper("PRAGMA user_version = 0; ALTER TABLE fct_ad_opportunities DROP COLUMN plan_version");
    world.fold().catch_up(&world.log).unwrap();
    assert_eq!(world.tables(), before);
    assert!(world.folder.path().join("fold.db.old").exists());
    world.fold().catch_up(&world.log).unwrap();
    let later = SCHEMA_VERSION + 1;
    tamper(&format!("PRAGMA user_version = {later}"));
    let registry = Registry::open(&world.data().contracts()).unwrap();
    let refused = Fold::open(&world.data().fold(), registry).err().unwrap();
    assert!(matches!(refused, FoldError::LaterSchema { found } if found == later), "{refused}");
}

#[test]
fn the_tables_cannot_hold_a_slot_that_is_both_or_neither() {
    let mut world = World::new();
    world.tell(vec![committed(&filled(1, 0, &record(1))), committed(&unfilled(1, 1))]);
    let db = data_dir::connect(&world.data().fold(), Durability::Derived, SCHEMA).unwrap();
    for change in [
        "unfilled_reason = 'frequency_capped' WHERE outcome = 'filled'",
        "fill_reason = NULL WHERE outcome = 'filled'",
        "outcome = 'unfilled' WHERE outcome = 'filled'",
        "unfilled_reason = NULL WHERE outcome = 'unfilled'",
        "fill_reason = 'guaranteed' WHERE outcome = 'unfilled'",
        "ad_id = 1 WHERE outcome = 'unfilled'",
    ] {
        let refused = db.execute(&format!("UPDATE fct_ad_opportunities SET {change}"), []).unwrap_err();
        assert!(refused.to_string().contains("filled_xor_unfilled"), "{change}: {refused}");
    }
    let twice = db.execute("UPDATE fct_ad_opportunities SET slot_index = 0", []).unwrap_err();
    assert!(twice.to_string().contains("UNIQUE"), "{twice}");
}

#[test]
fn every_reason_and_position_of_the_domain_is_one_of_the_tables() {
    let mut world = World::new();
    let positions = [BreakPosition::Preroll, BreakPosition::Midroll, BreakPosition::Postroll];
    for (n, reason) in (0..).zip(UnfilledReason::ALL) {
        let outcome = Outcome::Unfilled { unfilled_reason: *reason };
        let position = positions[n as usize % positions.len()];
        world.tell(vec![committed(&Opportunity { outcome, position, ..unfilled(n, 0) })]);
    }
    assert_eq!(world.one::<usize>("SELECT count(*) FROM fct_ad_opportunities"), UnfilledReason::ALL.len());
    let (row, sold) = (filled(50, 0, &record(1)), record(1));
    world.tell(vec![committed(&row)]);
    let all = || Event::ALL.iter().map(|event| beacon(&row, &sold, *event, u64::from(event.code())));
    world.tell(all().collect());
    world.tell(all().map(by_crawler).collect());
    let by_crawlers: u32 = world.one("SELECT invalid_events FROM beacon_states");
    assert_eq!(by_crawlers, Event::ALL.iter().map(|event| 1u32 << event.code()).sum::<u32>());
    for event in Event::ALL {
        let column = super::STATE_COLUMNS.split(", ").nth(usize::from(event.code()) - 1).unwrap();
        let at = world.one::<u64>(&format!("SELECT {column} FROM beacon_states"));
        assert_eq!(at, NOW.0 + u64::from(event.code()), "{event}");
        let name = column.trim_end_matches("_at_ms").replace('_', "");
        assert_eq!(name, event.as_str().to_lowercase());
    }
}

#[test]
fn tables_folded_from_another_log_are_refused() {
    let mut world = World::new();
    world.tell(vec![committed(&unfilled(1, 0))]);
    let other = World::new();
    let refused = world.fold().catch_up(&other.log).unwrap_err();
    assert!(matches!(refused, FoldError::OtherLog { consumed: 1, last: 0 }), "{refused}");
}

#[test]
fn an_older_copy_of_the_log_is_refused_however_much_it_grows_again() {
    let mut world = World::new();
    let batch = |n: u32| {
        let batch = FactBatch { edge_id: "edge-1".into(), facts: vec![committed(&unfilled(n, 0))] };
        Received { at: NOW, bytes: serde_json::to_vec(&batch).unwrap() }
    };
    world.log.append(&[batch(1), batch(2), batch(3)]).unwrap();
    world.fold().catch_up(&world.log).unwrap();
    let mut restored = SqliteLog::open(&world.folder.path().join("restored.db")).unwrap();
    restored.append(&[batch(1)]).unwrap(); // 2 and 3 came after the backup
    for n in 4..8 {
        let refused = world.fold().catch_up(&restored).unwrap_err();
        assert!(matches!(refused, FoldError::OtherLog { consumed: 3, .. }), "{refused}");
        restored.append(&[batch(n)]).unwrap();
    }
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_opportunities"), 3, "nothing was folded over the gap");
    world.forget();
    world.fold().catch_up(&restored).unwrap();
    assert_eq!(world.one::<u64>("SELECT count(*) FROM fct_ad_opportunities"), 5);
}
