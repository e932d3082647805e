//! The ledger, in both databases: what it does, what it refuses, and that nothing breaks its balance.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use slotkeeper_books::ledger::{
    Account, Backend, BonusDelivered, BonusFlight, Closing, Did, Ledger, LedgerError, MakeGood, Mode, Operation,
    PostgresBackend, SqliteBackend, Status, Value,
};
use slotkeeper_core::{id::FlightId, money::Money};

use support::{AT, flight, postgres::Server, suite::SUITE};

/// How many operations the property test does: enough in a debug build to meet every kind some fifty times, and with
/// `--release` as many as a large publisher's ledger sees in years.
const RANDOM_OPERATIONS: u32 = if cfg!(debug_assertions) { 2_000 } else { 100_000 };
/// On PostgreSQL each is ten messages to a server; the same operations in the same order, fewer of them.
const RANDOM_OPERATIONS_ON_POSTGRES: u32 = RANDOM_OPERATIONS / 20;

fn sqlite(path: &Path) -> Ledger {
    Ledger::open(None, path).unwrap()
}

#[test]
fn the_ledger_in_sqlite_does_what_a_ledger_does() {
    for (case, test) in SUITE {
        println!("{case}");
        let folder = tempfile::tempdir().unwrap();
        test(&|| sqlite(&folder.path().join("ledger.db")));
    }
}

#[test]
fn the_ledger_in_postgresql_does_the_same() {
    let mut server = match Server::start() {
        Ok(server) => server,
        Err(reason) => return println!("skipped: there is no PostgreSQL to start: {reason}"),
    };
    for (case, test) in SUITE {
        println!("{case}");
        let url = server.database();
        test(&|| Ledger::open(Some(&url), Path::new("")).unwrap());
    }
    let url = server.database();
    random_operations(&mut Ledger::open(Some(&url), Path::new("")).unwrap(), RANDOM_OPERATIONS_ON_POSTGRES);
    postgresql_refuses(&server.database());
    let url = server.database();
    verifies_one_moment(move || Box::new(PostgresBackend::connect(&url).unwrap()));
    let url = server.database();
    let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let earlier = include_str!("support/lines_in_a_table_postgres.sql");
    client.batch_execute(&format!("BEGIN; {earlier}; {EARLIER} COMMIT")).unwrap();
    goes_on_from_an_earlier_build(Ledger::open(Some(&url), Path::new("")).unwrap());
    assert_eq!(Ledger::open(Some(&url), Path::new("")).unwrap().all().unwrap().1.len(), 3);
}

/// What a program that goes around the ledger's code would try, in either database.
const TAMPERING: [(&str, &str); 9] = [
    ("UPDATE lake_beginnings SET noted_at_ms = 1", "append-only"),
    ("DELETE FROM lake_beginnings", "append-only"),
    ("UPDATE ledger_entries SET at_ms = 1", "append-only"),
    ("DELETE FROM ledger_entries", "append-only"),
    ("UPDATE make_goods SET cpm_micros = 1", "append-only"),
    ("DELETE FROM make_goods", "append-only"),
    ("UPDATE ledger_lines SET amount_micros = 1", "view"),
    ("DELETE FROM ledger_lines", "view"),
    ("INSERT INTO ledger_lines (entry_id, make_good_id) VALUES (9, 1)", "view"),
];

/// An entry as such a program would write it: its number, its make-good, its place, its key, and what it moves from one account to
/// another.
fn written_around(verb: &str, [entry, make_good, seq]: [u32; 3], key: &str, pending: i64, credit: i64) -> String {
    format!(
        "{verb} INTO ledger_entries (entry_id, make_good_id, seq, at_ms, kind, idempotency_key, request, note, delivered,
             scheduled, fulfilled, credited, invoice_adjusted, is_void, status, expense_micros, pending_micros,
             scheduled_micros, additional_delivery_micros, credit_micros, invoice_adjustment_micros, over_remedied_micros)
         VALUES ({entry}, {make_good}, {seq}, 1, '{}', '{key}', '{{\"kind\":\"credit\",\"impressions\":1}}', '', 400, 0, 0, 1, 0, 0,
             'pending', 0, {pending}, 0, 0, {credit}, 0, 0)",
        if seq == 1 { "mint" } else { "credit" }
    )
}

/// Entries that neither database takes, with what it says.
fn bad_entries() -> [(String, &'static str); 3] {
    [
        (written_around("INSERT", [2, 1, 2], "k", 5, -4), "the_lines_of_an_entry_balance"),
        (written_around("INSERT", [2, 1, 3], "k", 5, -5), "have a gap"),
        (written_around("INSERT", [2, 9, 1], "k", 5, -5), "make"), // of none that there is
    ]
}

fn one_make_good(ledger: &mut Ledger) {
    let short = flight(1, 1_000, 25_000_000, "USD");
    ledger.close(&[Closing { flight: &short, delivered: 400 }], &[], AT, Mode::Write).unwrap();
    ledger.note_lake(AT, AT).unwrap();
}

fn postgresql_refuses(url: &str) {
    one_make_good(&mut Ledger::open(Some(url), Path::new("")).unwrap());
    let mut client = postgres::Client::connect(url, postgres::NoTls).unwrap();
    let truncate = ("TRUNCATE ledger_entries", "append-only");
    let tampering = TAMPERING.into_iter().chain([truncate]).map(|(sql, expected)| (sql.to_owned(), expected));
    for (sql, expected) in tampering.chain(bad_entries()) {
        let error = client.batch_execute(&format!("BEGIN; {sql}; COMMIT")).unwrap_err();
        let said = error.as_db_error().unwrap().message().to_owned();
        assert!(said.contains(expected), "{sql}: {said}");
        client.batch_execute("ROLLBACK").unwrap();
    }
    assert_eq!(Ledger::new(Box::new(PostgresBackend::connect(url).unwrap())).verify().unwrap(), []);
}

#[test]
fn sqlite_itself_refuses_what_changes_deletes_replaces_hangs_loose_or_does_not_balance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    one_make_good(&mut sqlite(&path));
    let before = sqlite(&path).all().unwrap();
    // As `sqlite3 ledger.db` opens it: without foreign keys, without recursive triggers.
    let db = rusqlite::Connection::open(&path).unwrap();
    for pragma in ["foreign_keys", "recursive_triggers"] {
        db.pragma_update(None, pragma, false).unwrap();
    }
    let make_good = |verb: &str, id: u32, flight: u32| {
        let values = format!("VALUES ({id}, {flight}, 'f', 1, 'c', 1, 'a', 1, 1, 1, 'USD')");
        format!("{verb} INTO make_goods {values}")
    };
    let replaced = ["REPLACE", "INSERT OR REPLACE"].into_iter().flat_map(|verb| {
        [
            (written_around(verb, [1, 1, 1], "k", 5, -5), "append-only: there is an entry of this number"),
            (written_around(verb, [2, 1, 2], "mint/1/1", 5, -5), "append-only: there is an entry of this key"),
            (written_around(verb, [2, 1, 1], "k", 5, -5), "have a gap"),
            (make_good(verb, 1, 7), "append-only: there is a make-good of this number"),
            (make_good(verb, 7, 1), "append-only: the flight has a make-good"),
        ]
    });
    let beginning = format!("INSERT OR REPLACE INTO lake_beginnings VALUES ({}, 1)", AT.0);
    let replaced = replaced.chain([(beginning, "append-only: an earlier beginning")]);
    // 2^63 - 1 twice is a float, and 2 less than it says.
    let too_much = written_around("INSERT", [2, 1, 2], "k", i64::MAX, i64::MAX);
    let tampering = TAMPERING.into_iter().map(|(sql, expected)| (sql.to_owned(), expected));
    let too_much = [(too_much, "the_lines_of_an_entry_balance")];
    for (sql, expected) in tampering.chain(bad_entries()).chain(replaced).chain(too_much) {
        let error = db.execute_batch(&format!("BEGIN; {sql}; COMMIT")).unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
        db.execute_batch("ROLLBACK").unwrap();
    }
    assert_eq!(sqlite(&path).all().unwrap(), before);
}

#[test]
fn what_somebody_writes_around_the_ledger_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    one_make_good(&mut sqlite(&path));
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&written_around("INSERT", [2, 1, 2], "k", 5, -5)).unwrap();
    let findings = sqlite(&path).verify().unwrap();
    assert!(findings.iter().any(|finding| finding.message.contains("its lines are")), "{findings:?}");
}

/// A make-good with two entries, as a build wrote it that kept the lines in a table.
const EARLIER: &str = "
    INSERT INTO make_goods (flight_id, flight, campaign_id, campaign, advertiser_id, advertiser, ended_at_ms, committed,
        cpm_micros, currency) VALUES (1, 'f1', 1, 'c', 1, 'a', 1, 1000, 25000000, 'USD');
    INSERT INTO ledger_lines VALUES (1, 1, 'makegood_expense', 'USD', 15000000),
        (1, 1, 'makegood_liability:pending', 'USD', -15000000);
    INSERT INTO ledger_entries VALUES (1, 1, 1, 1, 'mint', 'mint/1/1', '{\"kind\":\"mint\",\"delivered\":400}', '', 400, 0, 0,
        0, 0, 0, NULL, 'pending');
    INSERT INTO ledger_lines VALUES (2, 1, 'makegood_liability:pending', 'USD', 2500000),
        (2, 1, 'makegood_settled:credit', 'USD', -2500000);
    INSERT INTO ledger_entries VALUES (2, 1, 2, 2, 'credit', 'k', '{\"kind\":\"credit\",\"impressions\":100}', 'n', 400, 0, 0,
        100, 0, 0, 'credit', 'pending');";

/// A connection whose first question is answered before something else happens to the ledger.
struct Interrupted {
    backend: Box<dyn Backend>,
    interrupt: Option<Box<dyn FnOnce()>>,
}

impl Backend for Interrupted {
    fn begin(&mut self) -> Result<(), LedgerError> {
        self.backend.begin()
    }
    fn begin_reading(&mut self) -> Result<(), LedgerError> {
        self.backend.begin_reading()
    }
    fn commit(&mut self) -> Result<(), LedgerError> {
        self.backend.commit()
    }
    fn rollback(&mut self) -> Result<(), LedgerError> {
        self.backend.rollback()
    }
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<(), LedgerError> {
        self.backend.execute(sql, parameters)
    }
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, LedgerError> {
        let rows = self.backend.query(sql, parameters);
        if let Some(interrupt) = self.interrupt.take() {
            interrupt();
        }
        rows
    }
}

fn verifies_one_moment(open: impl Fn() -> Box<dyn Backend> + Clone + 'static) {
    one_make_good(&mut Ledger::new(open()));
    let other = open.clone();
    let credit = move || {
        let credit = Operation::Credit { impressions: 100 };
        Ledger::new(other()).apply(FlightId(1), &credit, "k", "", AT, Mode::Write).unwrap();
    };
    let interrupted = Interrupted { backend: open(), interrupt: Some(Box::new(credit)) };
    let mut ledger = Ledger::new(Box::new(interrupted));
    assert_eq!(ledger.verify().unwrap(), [], "somebody credits while it is verified");
    assert_eq!(ledger.all().unwrap().1.len(), 2);
}

#[test]
fn what_is_verified_is_of_one_moment_whoever_writes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    verifies_one_moment(move || Box::new(SqliteBackend::open(&path).unwrap()));
}

fn goes_on_from_an_earlier_build(mut ledger: Ledger) {
    assert_eq!(ledger.verify().unwrap(), []);
    let (make_goods, entries) = ledger.all().unwrap();
    assert_eq!((make_goods.len(), make_goods[0].liability_micros()), (1, 12_500_000));
    assert_eq!((entries.len(), entries[1].lines.len(), entries[1].note.as_str()), (2, 2, "n"));
    let credit = Operation::Credit { impressions: 500 };
    ledger.apply(FlightId(1), &credit, "l", "", AT, Mode::Write).unwrap();
    assert_eq!(ledger.verify().unwrap(), []);
}

#[test]
fn a_ledger_of_an_earlier_build_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&format!("BEGIN; {}; {EARLIER} COMMIT", include_str!("support/lines_in_a_table_sqlite.sql")))
        .unwrap();
    drop(db);
    goes_on_from_an_earlier_build(sqlite(&path));
    assert_eq!(sqlite(&path).all().unwrap().1.len(), 3, "opened again it is what it was");
}

#[test]
fn random_operations_never_break_the_balance() {
    random_operations(&mut sqlite(Path::new(":memory:")), RANDOM_OPERATIONS); // a hundred thousand fsyncs would test the disk
}

/// `SplitMix64`: the same operations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

const FLIGHTS: u32 = 50;

fn random_operations(ledger: &mut Ledger, count: u32) {
    let mut random = Random(7);
    let mut done: Vec<(FlightId, Operation, String)> = vec![];
    let mut posted = BTreeMap::new();
    let mut made_good: BTreeMap<FlightId, MadeGood> = BTreeMap::new();
    // Prices that are no multiple of anything, so that every rounding has something to lose.
    let booked = |number: u32| flight(number, 1_000 + u64::from(number) * 7, i64::from(number) * 333_333 + 1, "USD");
    let mut flights: Vec<_> = (1..=FLIGHTS).map(booked).collect();
    for step in 0..count {
        let promised = &mut flights[usize::try_from(random.below(FLIGHTS.into())).unwrap()];
        let id = promised.flight_id;
        let before = ledger.make_good(id).unwrap();
        let open = before.as_ref().map_or(0, MakeGood::open_impressions);
        let some = |random: &mut Random, most: u64| random.below(most + 2); // at times none, at times one too many
        let key = format!("key {step}");
        let operation = match random.below(20) {
            0..=7 => {
                let terms = (promised.committed, promised.cpm.micros);
                match random.below(8) {
                    0 => promised.committed = 900 + random.below(600),
                    1 => promised.cpm.micros = i64::try_from(random.below(40_000_000)).unwrap(),
                    _ => {}
                }
                if before.is_some() && terms != (promised.committed, promised.cpm.micros) {
                    *posted.entry("close, other terms").or_insert(0) += 1;
                }
                let delivered = random.below(promised.committed + 100);
                let closing = Closing { flight: promised, delivered };
                let closed = ledger.close(&[closing], &[], AT, Mode::Write).unwrap().flights.remove(0);
                *posted.entry(if closed.0 == Did::Posted { "close" } else { "close, nothing new" }).or_insert(0) += 1;
                None
            }
            8..=10 => {
                let impressions = some(&mut random, before.as_ref().map_or(0, MakeGood::unscheduled_impressions));
                let flight = format!("{}-makegood-{step}", promised.slug);
                let bonus = BonusFlight { flight, impressions, starts_at: AT, ends_at: AT.plus_ms(1) };
                Some(Operation::Schedule { bonus })
            }
            11..=14 => {
                let scheduled = before.as_ref().map_or(0, |one| one.state.scheduled);
                let delivered = some(&mut random, scheduled);
                // At times they are over, and what they lack is no longer scheduled.
                let scheduled = if random.below(4) == 0 { delivered.min(scheduled) } else { scheduled };
                let bonus = BonusDelivered { flight_id: id, delivered, scheduled };
                let fulfilled = ledger.close(&[], &[bonus], AT, Mode::Write);
                *posted.entry(if fulfilled.is_ok() { "fulfil" } else { "fulfil, refused" }).or_insert(0) += 1;
                None
            }
            15..=16 => Some(Operation::Credit { impressions: some(&mut random, open) }),
            17..=18 => Some(Operation::InvoiceAdjustment { impressions: some(&mut random, open) }),
            _ if random.below(20) == 0 => Some(Operation::Void),
            _ => replay(ledger, &mut random, &done),
        };
        if let Some(operation) = operation {
            match ledger.apply(id, &operation, &key, "", AT, Mode::Write) {
                Ok(_) => {
                    *posted.entry(operation.kind()).or_insert(0) += 1;
                    done.push((id, operation, key));
                }
                Err(LedgerError::Refused { .. } | LedgerError::NoMakeGood(_)) => {
                    *posted.entry("refused").or_insert(0) += 1;
                    assert_eq!(ledger.make_good(id).unwrap(), before, "what is refused changes nothing");
                }
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(after) = ledger.make_good(id).unwrap() {
            assert_sound(&after, made_good.entry(id).or_default());
        }
    }
    println!("{count} operations: {posted:?}");
    assert_eq!(ledger.verify().unwrap(), []);
    let before = (ledger.make_goods().unwrap(), ledger.entries().unwrap());
    for (id, operation, key) in &done {
        assert_eq!(ledger.apply(*id, operation, key, "", AT, Mode::Write).unwrap().0, Did::Repeated);
    }
    assert_eq!((ledger.make_goods().unwrap(), ledger.entries().unwrap()), before, "keys used again change nothing");
}

/// Something of before, once more.
fn replay(ledger: &mut Ledger, random: &mut Random, done: &[(FlightId, Operation, String)]) -> Option<Operation> {
    let (id, operation, key) = done.get(usize::try_from(random.below(done.len() as u64 + 1)).unwrap())?;
    let before = ledger.make_good(*id).unwrap();
    assert_eq!(ledger.apply(*id, operation, key, "", AT, Mode::Write).unwrap().0, Did::Repeated);
    assert_eq!(ledger.make_good(*id).unwrap(), before);
    None
}

/// The price of each single impression that each remedy made good: what a make-good is settled by, counted one by one.
#[derive(Default)]
struct MadeGood {
    prices: [Vec<i64>; 3],
    cpm: i64,
}

impl MadeGood {
    /// Thousandths of a micro that were settled.
    fn thousandths(&mut self, made_good: &MakeGood) -> i128 {
        let (state, cpm) = (&made_good.state, made_good.terms.cpm().micros);
        let counts = [state.fulfilled, state.credited, state.invoice_adjusted];
        for (prices, count) in self.prices.iter_mut().zip(counts) {
            let count = usize::try_from(count).unwrap();
            if cpm != self.cpm {
                prices.truncate(count); // nothing else happens in a step that amends
            }
            prices.resize(prices.len().max(count), cpm);
        }
        self.cpm = cpm;
        let one = |(prices, count): (&Vec<i64>, u64)| {
            prices[..usize::try_from(count).unwrap()].iter().map(|price| i128::from(*price)).sum::<i128>()
        };
        self.prices.iter().zip(counts).map(one).sum()
    }
}

/// What holds of a make-good at any time.
fn assert_sound(make_good: &MakeGood, made_good: &mut MadeGood) {
    let rounded = |part: i128, over: i128| i64::try_from((2 * part + over).div_euclid(2 * over)).unwrap();
    let held = |account| make_good.held(account);
    assert_eq!(make_good.balances.values().sum::<i64>(), 0, "balanced");
    assert!(make_good.liability_micros() >= 0 && held(Account::OverRemedied) >= 0, "nobody owes less than nothing");
    assert!(make_good.liability_micros() == 0 || held(Account::OverRemedied) == 0, "and not both");
    for account in [Account::Pending, Account::Scheduled, Account::Credit, Account::InvoiceAdjustment] {
        assert!(held(account) <= 0, "{account:?}: {}", held(account));
    }
    let thousandths = made_good.thousandths(make_good);
    let settled = -(held(Account::AdditionalDelivery) + held(Account::Credit) + held(Account::InvoiceAdjustment));
    assert_eq!(settled, rounded(thousandths, 1_000), "parts add up to the whole");
    let (shortfall, all) = (i128::from(make_good.shortfall()), i128::from(make_good.state.settled_impressions()));
    let cpm = i128::from(make_good.terms.cpm().micros);
    let cost = if shortfall < all {
        rounded(thousandths * shortfall, 1_000 * all)
    } else {
        rounded(thousandths + (shortfall - all) * cpm, 1_000)
    };
    assert_eq!(held(Account::Expense), cost, "a shortfall costs what it costs, rounded once");
    if make_good.terms == make_good.minted {
        let worth = Money::of_impressions(make_good.shortfall(), make_good.terms.cpm()).unwrap();
        assert_eq!(cost, worth.micros, "at one price it is that of all of it");
    }
    let open = Money::of_impressions(make_good.open_impressions(), make_good.terms.cpm()).unwrap().micros;
    assert!(make_good.liability_micros().abs_diff(open) <= 1, "what is open is owed at the price of today");
    assert_eq!(
        make_good.liability_micros() - held(Account::OverRemedied),
        cost - settled,
        "what is owed and not made good"
    );
    match make_good.status {
        Status::Pending => assert!(make_good.unscheduled_impressions() > 0),
        Status::Scheduled => assert_eq!(held(Account::Pending), 0),
        Status::Fulfilled | Status::Credited | Status::Void => assert_eq!(make_good.liability_micros(), 0),
    }
}

const KILLED: &str = "SLOTKEEPER_TEST_LEDGER_KILLED";
const KILLED_FLIGHTS: u32 = 1_000;

fn close_many(ledger: &mut Ledger, mode: Mode) -> Vec<Did> {
    let flights: Vec<_> = (1..=KILLED_FLIGHTS).map(|number| flight(number, 10_000, 333_333, "USD")).collect();
    let closings: Vec<_> =
        flights.iter().map(|flight| Closing { flight, delivered: flight.flight_id.0.into() }).collect();
    ledger.close(&closings, &[], AT, mode).unwrap().flights.into_iter().map(|(did, _)| did).collect()
}

/// Not a test: what the one below starts, and kills.
#[test]
fn closes_until_it_is_killed() {
    if let Ok(path) = std::env::var(KILLED) {
        let mut ledger = sqlite(Path::new(&path));
        std::fs::write(format!("{path}.begun"), "").unwrap();
        close_many(&mut ledger, Mode::Write);
    }
}

#[test]
fn a_close_that_is_killed_and_done_again_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    let begun = Instant::now();
    close_many(&mut sqlite(&whole), Mode::Write);
    let takes = begun.elapsed();
    let expected = (sqlite(&whole).make_goods().unwrap(), sqlite(&whole).entries().unwrap());
    for eighth in 0..8 {
        let path = folder.path().join(format!("{eighth}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "closes_until_it_is_killed"])
            .env(KILLED, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mark = folder.path().join(format!("{eighth}.db.begun"));
        while !mark.exists() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(takes * eighth / 8 + Duration::from_millis(1)); // when it is killed is what is varied
        child.kill().unwrap();
        child.wait().unwrap();
        let mut ledger = sqlite(&path);
        let left = ledger.entries().unwrap().len();
        assert!(
            left == 0 || left == KILLED_FLIGHTS as usize,
            "{left} entries of half a close, {eighth} {} {takes:?}",
            ledger.make_goods().unwrap().len()
        );
        close_many(&mut ledger, Mode::Write);
        assert!((ledger.make_goods().unwrap(), ledger.entries().unwrap()) == expected, "killed after {eighth} eighths");
        assert_eq!(ledger.verify().unwrap(), []);
        drop(Ledger::new(Box::new(SqliteBackend::open(&path).unwrap())));
    }
}
