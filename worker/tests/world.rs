//! A made-up world, folded: what comes out is what was decided to happen.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use slotkeeper::{
    data_dir::DataDir,
    fold::Fold,
    generate::{GenerateError, TruthFolder, check::check, generate},
    log::{Log, SqliteLog},
    registry::Registry,
};
use slotkeeper_world::{Params, Truth, script::Role};

fn params(slots: u64, seed: u64) -> Params {
    Params {
        days: 6,
        slots,
        seed,
        start: "2026-10-29".parse().unwrap(), // over the end of summer time in Europe
        flights: 14,
        titles: 12,
        viewers: 700,
        decisions: true,
    }
}

fn fold(data: &DataDir) {
    let log = SqliteLog::open_read_only(&data.log()).unwrap();
    let registry = Registry::open(&data.contracts()).unwrap();
    Fold::open(&data.fold(), registry).unwrap().catch_up(&log).unwrap();
}

fn entries(data: &DataDir) -> Vec<(u64, Vec<u8>)> {
    let log = SqliteLog::open_read_only(&data.log()).unwrap();
    let (mut entries, mut after) = (Vec::new(), 0);
    while let Ok(read) = log.read(after, 100)
        && let Some(last) = read.last()
    {
        after = last.seq;
        entries.extend(read.into_iter().map(|entry| (entry.received.at.0, entry.received.bytes)));
    }
    entries
}

fn world(folder: &Path, params: &Params) -> (DataDir, Truth) {
    let data = DataDir::open(folder).unwrap();
    let truth = generate(params, &data, &mut |_| {}).unwrap();
    (data, truth)
}

#[test]
fn a_folded_world_is_what_was_decided_to_happen() {
    for (slots, decisions) in [(20_000, true), (4_000, false)] {
        let folder = tempfile::tempdir().unwrap();
        let params = Params { decisions, ..params(slots, 7) };
        let (data, truth) = world(folder.path(), &params);
        fold(&data);
        let report = check(&data, &mut |_| {}).unwrap();
        let [checked] = &report.checked[..] else { panic!("the fold, and nothing else") };
        assert_eq!(report.missing.iter().map(|missing| &*missing.books).collect::<Vec<_>>(), ["lake"]);
        assert_eq!((checked.different, &checked.differences[..]), (0, &[][..]));
        assert!(checked.figures > slots / 4, "{} figures", checked.figures);
        assert_eq!(truth.slots, slots);

        let db = rusqlite::Connection::open(data.fold()).unwrap();
        let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
        let sent = &truth.sent;
        assert_eq!(count("SELECT sum(received) FROM fact_counts"), sent.facts);
        assert_eq!(count("SELECT sum(refused) FROM fact_counts"), 0, "every fact is one that an edge can send");
        assert_eq!(count("SELECT count(*) FROM decisions"), sent.decisions);
        assert_eq!(count("SELECT count(*) FROM opportunities_superseded"), sent.superseded_rows);
        assert_eq!(count("SELECT count(*) FROM client_losses"), sent.client_losses);
        assert_eq!(count("SELECT sum(lost) FROM client_losses"), sent.lost_beacons);
        assert_eq!(sent.rows, truth.slots + sent.superseded_rows);
    }
}

#[test]
fn a_world_has_all_that_goes_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (_, truth) = world(folder.path(), &params(20_000, 3));
    let sent = &truth.sent;
    let occurs = [
        ("superseded rows", sent.superseded_rows),
        ("facts from two edges", sent.repeated),
        ("beacons sent twice", sent.repeated_beacons),
        ("late beacons", sent.late_beacons),
        ("crawlers' beacons", sent.invalid_beacons),
        ("forged beacons", sent.forged_beacons),
        ("losses of clients", sent.client_losses),
        ("released fills", truth.days.iter().map(|line| line.sums.released).sum()),
        ("impressions that are no viewer's", truth.days.iter().map(|line| line.sums.impressed_invalid).sum()),
        (
            "fills by auction",
            truth.days.iter().filter(|line| line.of.flight_id == 0).map(|line| line.sums.filled).sum(),
        ),
        ("skips", truth.creatives.iter().map(|line| line.skips).sum()),
        ("errors", truth.creatives.iter().map(|line| line.errors).sum()),
    ];
    for (what, count) in occurs {
        assert!(count > 0, "no {what}");
    }
    let filled = truth.filled * 100 / truth.slots;
    assert!((83..=92).contains(&filled), "{filled} % filled");

    let delivered_percent = |role: Role| {
        let flight = truth.flights.iter().find(|flight| flight.role == role).unwrap();
        (flight.delivered * 100 / flight.committed, flight)
    };
    let (failing, flight) = delivered_percent(Role::Failing);
    assert!(flight.ends_at_ms + 12 * 3_600_000 < params(0, 0).ends_at().0, "it ends inside the world");
    assert!((45..=75).contains(&failing), "{failing} % of what was promised");
    assert_eq!(flight.shortfall, flight.committed - flight.delivered);
    assert!(flight.liability_micros > 0);
    let (over, flight) = delivered_percent(Role::OverDelivering);
    assert!((101..=130).contains(&over), "{over} % of what was promised");
    assert_eq!((flight.shortfall, flight.liability_micros), (0, 0));
    let (_, flight) = delivered_percent(Role::EndsMidDay);
    assert_eq!(flight.ends_at_ms % 3_600_000, 15 * 60_000, "12:45 in India is 07:15 in UTC");

    let rate = |[capped, all]: [u64; 2]| capped * 1_000 / all;
    assert!(rate(truth.onset.after) > 4 * rate(truth.onset.before), "{:?}", truth.onset);
}

#[test]
fn the_same_parameters_are_the_same_world_byte_for_byte_and_another_seed_is_another() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let worlds: Vec<_> =
        [1, 1, 2].iter().zip(&folders).map(|(seed, folder)| world(folder.path(), &params(2_000, *seed))).collect();
    let read = |world: &(DataDir, Truth)| {
        let folder = TruthFolder::of(&world.0);
        let files = [folder.manifest(), folder.truth(), folder.hours()].map(|path| std::fs::read(path).unwrap());
        (entries(&world.0), files)
    };
    assert!(read(&worlds[0]) == read(&worlds[1]));
    assert!(read(&worlds[0]).0 != read(&worlds[2]).0);
}

#[test]
fn what_an_edge_sends_is_within_the_collectors_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let (data, truth) = world(folder.path(), &params(20_000, 5));
    let mut facts = 0;
    let mut came_at = 0;
    for (at, bytes) in entries(&data) {
        assert!(bytes.len() <= slotkeeper_core::fact::BATCH_BYTES_MAX);
        facts += slotkeeper::collector::check(&bytes).unwrap() as u64;
        assert!(at >= came_at, "entries come one after the other");
        came_at = at;
    }
    assert_eq!(facts, truth.sent.facts);
}

#[test]
fn books_that_differ_are_named_figure_by_figure() {
    let folder = tempfile::tempdir().unwrap();
    let (data, _) = world(folder.path(), &params(1_000, 9));
    fold(&data);
    let db = rusqlite::Connection::open(data.fold()).unwrap();
    let sql = "UPDATE fct_ad_impressions SET recognized_revenue_micros = recognized_revenue_micros + 1
         WHERE opportunity_id = (SELECT min(opportunity_id) FROM fct_ad_impressions WHERE threshold_passed)";
    assert_eq!(db.execute(sql, []).unwrap(), 1);
    let report = check(&data, &mut |_| {}).unwrap();
    assert!(!report.agrees());
    let [difference] = &report.checked[0].differences[..] else { panic!("{:?}", report.checked[0].differences) };
    assert!(difference.figure.contains("revenue_micros"), "{difference:?}");
    let [expected, found] = [&difference.expected, &difference.found].map(|micros| micros.parse::<i64>().unwrap());
    assert_eq!(found, expected + 1);
}

#[test]
fn no_world_is_made_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let (data, truth) = world(folder.path(), &params(500, 1));
    let refused = generate(&params(500, 1), &data, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, GenerateError::NotEmpty { .. }));
    let said = refused.to_string();
    assert!(said.contains(&format!("log of {} entries", truth.sent.batches)), "{said}");
}
