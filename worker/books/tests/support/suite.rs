//! What a ledger does, whatever database it is in.

use std::sync::Barrier;

use slotkeeper_books::ledger::{
    Account, BonusDelivered, BonusFlight, Closing, Did, Ledger, LedgerError, MakeGood, Mode, Operation, Remedy, Status,
};
use slotkeeper_core::{id::FlightId, time::UnixMillis};

use super::{AT, flight};

/// Opens the same ledger, as often as it is called.
pub(crate) type Opening<'a> = dyn Fn() -> Ledger + Sync + 'a;

/// What it does, and the test of it.
type Case = (&'static str, fn(&Opening<'_>));

pub(crate) const SUITE: [Case; 21] = [
    ("a flight that closed short is owed to the micro", owed_to_the_micro),
    ("a flight that delivered all owes nothing", nothing_owed),
    ("closing twice changes nothing", closing_twice),
    ("late beacons lower what is owed, invalid traffic raises it", adjusted),
    ("other terms move what is open, and leave what was made good", amended),
    ("a currency cannot be amended, nor what was never owed", not_amended),
    ("a bonus flight fulfils a make-good bit by bit", fulfilled),
    ("what a bonus flight lacks at its end can be made good anew", rescheduled),
    ("what is made good in parts adds up to the whole", in_parts),
    ("a credit ends a make-good, and what comes later is told apart", credited),
    ("the accounts move as docs/ledger.md shows", documented),
    ("what cannot happen is refused with its bound", refused),
    ("a key does a thing once", keys),
    ("a key that credited what was open credits it once", keys_without_a_number),
    ("keys that the ledger makes itself are nobody else's", keys_of_the_ledgers_own),
    ("a void make-good owes nothing, for good", voided),
    ("currencies do not mix", currencies),
    ("the earliest beginning of the lake is remembered", lake_beginnings),
    ("a dry run leaves nothing", dry_run),
    ("one bad closing undoes the whole close", all_or_nothing),
    ("of two closes at once one does it and the other is told", two_at_once),
];

fn close(ledger: &mut Ledger, number: u32, committed: u64, cpm: i64, delivered: u64) -> (Did, Option<MakeGood>) {
    let flight = flight(number, committed, cpm, "USD");
    ledger.close(&[Closing { flight: &flight, delivered }], &[], AT, Mode::Write).unwrap().flights.remove(0)
}

fn apply(ledger: &mut Ledger, number: u32, operation: &Operation, key: &str) -> Result<(Did, MakeGood), LedgerError> {
    ledger.apply(FlightId(number), operation, key, "", AT, Mode::Write)
}

fn bonus(impressions: u64) -> Operation {
    let bonus = BonusFlight { flight: "f1-makegood".into(), impressions, starts_at: AT, ends_at: AT.plus_ms(1_000) };
    Operation::Schedule { bonus }
}

fn deliver(ledger: &mut Ledger, number: u32, delivered: u64) -> MakeGood {
    let scheduled = ledger.make_good(FlightId(number)).unwrap().unwrap().state.scheduled;
    let bonus = BonusDelivered { flight_id: FlightId(number), delivered, scheduled };
    ledger.close(&[], &[bonus], AT, Mode::Write).unwrap();
    ledger.make_good(FlightId(number)).unwrap().unwrap()
}

fn held(make_good: &MakeGood) -> Vec<(&'static str, i64)> {
    make_good.balances.iter().map(|(account, micros)| (account.as_str(), *micros)).collect()
}

fn sound(ledger: &mut Ledger) {
    assert_eq!(ledger.verify().unwrap(), []);
}

fn owed_to_the_micro(open: &Opening<'_>) {
    let mut ledger = open();
    let (did, made) = close(&mut ledger, 1, 1_000_000, 1_499, 3);
    let made = made.unwrap();
    assert_eq!((did, made.status, made.shortfall()), (Did::Posted, Status::Pending, 999_997));
    // 999,997 x 1,499 / 1,000 = 1,498,995.503
    assert_eq!(made.liability_micros(), 1_498_996);
    assert_eq!(held(&made), [("makegood_expense", 1_498_996), ("makegood_liability:pending", -1_498_996)]);
    assert_eq!(ledger.make_good(FlightId(1)).unwrap().unwrap(), made);
    let entries = ledger.entries().unwrap();
    assert_eq!((entries.len(), entries[0].lines.len(), entries[0].seq), (1, 2, 1));
    sound(&mut ledger);
}

fn nothing_owed(open: &Opening<'_>) {
    let mut ledger = open();
    for delivered in [1_000, 1_001] {
        assert_eq!(close(&mut ledger, 1, 1_000, 25_000_000, delivered), (Did::Nothing, None));
    }
    assert_eq!(ledger.make_goods().unwrap(), []);
    let free = close(&mut ledger, 2, 1_000, 0, 10).1.unwrap();
    assert_eq!((free.liability_micros(), free.open_impressions(), free.status), (0, 990, Status::Pending));
    sound(&mut ledger);
}

fn closing_twice(open: &Opening<'_>) {
    let mut ledger = open();
    let (_, first) = close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let before = ledger.entries().unwrap();
    let (did, second) = close(&mut open(), 1, 1_000, 25_000_000, 400);
    assert_eq!((did, second), (Did::Nothing, first));
    assert_eq!(ledger.entries().unwrap(), before);
}

fn adjusted(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let (did, late) = close(&mut ledger, 1, 1_000, 25_000_000, 450);
    assert_eq!((did, late.unwrap().liability_micros()), (Did::Posted, 13_750_000));
    let (_, invalid) = close(&mut ledger, 1, 1_000, 25_000_000, 300);
    assert_eq!(invalid.unwrap().liability_micros(), 17_500_000);
    let (_, all) = close(&mut ledger, 1, 1_000, 25_000_000, 1_200);
    let all = all.unwrap();
    assert_eq!((all.liability_micros(), all.status, held(&all)), (0, Status::Fulfilled, vec![]));
    assert_eq!(close(&mut ledger, 1, 1_000, 25_000_000, 1_300).0, Did::Nothing, "no more than all");
    assert_eq!(close(&mut ledger, 1, 1_000, 25_000_000, 999).1.unwrap().liability_micros(), 25_000);
    assert_eq!(ledger.entries().unwrap().len(), 5);
    sound(&mut ledger);
}

fn amended(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let (did, more) = close(&mut ledger, 1, 1_200, 30_000_000, 400);
    let more = more.unwrap();
    assert_eq!((did, more.shortfall(), more.liability_micros()), (Did::Posted, 800, 24_000_000));
    assert_eq!((more.minted.committed, more.terms.committed, more.terms.cpm().micros), (1_000, 1_200, 30_000_000));
    assert_eq!(close(&mut ledger, 1, 1_200, 30_000_000, 400), (Did::Nothing, Some(more)));
    apply(&mut ledger, 1, &Operation::Credit { impressions: 100 }, "c").unwrap();
    let cheaper = close(&mut ledger, 1, 1_200, 20_000_000, 400).1.unwrap();
    let (expense, credit) = (cheaper.held(Account::Expense), cheaper.held(Account::Credit));
    assert_eq!((expense, credit), (17_000_000, -3_000_000), "what was credited stays, and 700 are open at 20");
    assert_eq!(cheaper.liability_micros(), 14_000_000);
    let less = close(&mut ledger, 1, 450, 20_000_000, 400).1.unwrap();
    assert_eq!((less.status, less.liability_micros()), (Status::Credited, 0));
    assert_eq!((less.held(Account::Expense), less.held(Account::OverRemedied)), (1_500_000, 1_500_000));
    let both = close(&mut ledger, 1, 1_000, 20_000_000, 500).1.unwrap();
    assert_eq!((both.liability_micros(), both.seq), (8_000_000, less.seq + 2), "amended, and adjusted");
    let mut later = flight(1, 1_000, 20_000_000, "USD");
    later.ends_at = later.ends_at.plus_ms(1_000);
    let closing = Closing { flight: &later, delivered: 500 };
    let moved = ledger.close(&[closing], &[], AT, Mode::Write).unwrap().flights.remove(0);
    let moved = (moved.0, moved.1.unwrap());
    assert_eq!((moved.0, moved.1.terms.ended_at, moved.1.liability_micros()), (Did::Posted, later.ends_at, 8_000_000));
    let kinds: Vec<&str> = ledger.entries().unwrap().iter().map(|entry| entry.request.kind()).collect();
    assert_eq!(kinds, ["mint", "amend", "credit", "amend", "amend", "amend", "adjust", "amend"]);
    sound(&mut ledger);
}

fn not_amended(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let before = ledger.all().unwrap();
    let euros = flight(1, 2_000, 25_000_000, "EUR");
    let closing = Closing { flight: &euros, delivered: 400 };
    let said = ledger.close(&[closing], &[], AT, Mode::Write).unwrap_err().to_string();
    assert_eq!(said, "flight f1: amend: currency: it is booked in EUR, and its make-good is owed in USD");
    let nothing = close_refused(&mut ledger, 0, 25_000_000);
    assert_eq!(nothing, "flight f1: amend: committed: 0; it takes at least 1");
    assert!(close_refused(&mut ledger, i64::MAX.unsigned_abs(), i64::MAX).contains("are more than"));
    assert_eq!(ledger.all().unwrap(), before);
    apply(&mut ledger, 1, &Operation::Void, "v").unwrap();
    let (did, void) = close(&mut ledger, 1, 2_000, 30_000_000, 400);
    assert_eq!((did, void.unwrap().status), (Did::Nothing, Status::Void), "what was never owed stays so");
    sound(&mut ledger);
}

fn close_refused(ledger: &mut Ledger, committed: u64, cpm: i64) -> String {
    let flight = flight(1, committed, cpm, "USD");
    let closing = Closing { flight: &flight, delivered: 400 };
    ledger.close(&[closing], &[], AT, Mode::Write).unwrap_err().to_string()
}

fn fulfilled(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let scheduled = apply(&mut ledger, 1, &bonus(600), "s").unwrap().1;
    assert_eq!((scheduled.status, scheduled.remedy.as_deref()), (Status::Scheduled, Some("additional_delivery")));
    assert_eq!(held(&scheduled), [("makegood_expense", 15_000_000), ("makegood_liability:scheduled", -15_000_000)]);
    assert_eq!(ledger.bonus_flights().unwrap().len(), 1);
    let some = deliver(&mut ledger, 1, 200);
    assert_eq!((some.status, some.liability_micros()), (Status::Scheduled, 10_000_000));
    let all = deliver(&mut ledger, 1, 600);
    assert_eq!((all.status, all.liability_micros()), (Status::Fulfilled, 0));
    let settled = ("makegood_settled:additional_delivery", -15_000_000);
    assert_eq!(held(&all), [("makegood_expense", 15_000_000), settled]);
    assert_eq!(deliver(&mut ledger, 1, 600).seq, all.seq, "nothing new is no entry");
    let taken_out = deliver(&mut ledger, 1, 590);
    assert_eq!((taken_out.status, taken_out.liability_micros()), (Status::Scheduled, 250_000), "invalid traffic");
    let late = close(&mut ledger, 1, 1_000, 25_000_000, 420).1.unwrap();
    assert_eq!(
        (late.status, late.liability_micros(), late.held(Account::OverRemedied)),
        (Status::Fulfilled, 0, 250_000)
    );
    sound(&mut ledger);
}

fn rescheduled(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    apply(&mut ledger, 1, &bonus(600), "s").unwrap();
    let over = |delivered| BonusDelivered { flight_id: FlightId(1), delivered, scheduled: delivered };
    let ended = ledger.close(&[], &[over(450)], AT, Mode::Write).unwrap().bonuses.remove(0).1;
    assert_eq!(
        (ended.status, ended.liability_micros(), ended.unscheduled_impressions()),
        (Status::Pending, 3_750_000, 150)
    );
    let late = ledger.close(&[], &[over(460)], AT, Mode::Write).unwrap().bonuses.remove(0).1;
    assert_eq!((late.status, late.unscheduled_impressions()), (Status::Pending, 140));
    let second = apply(&mut ledger, 1, &bonus(140), "t").unwrap().1;
    assert_eq!((second.status, second.state.scheduled), (Status::Scheduled, 600));
    sound(&mut ledger);
}

fn in_parts(open: &Opening<'_>) {
    let mut ledger = open();
    // A third of a micro each: parts rounded by themselves would come to 0, or to 997.
    close(&mut ledger, 1, 1_000, 333, 3);
    apply(&mut ledger, 1, &bonus(997), "s").unwrap();
    for delivered in (1..=997).step_by(12) {
        let stands = deliver(&mut ledger, 1, delivered);
        let settled = -stands.held(Account::AdditionalDelivery);
        assert_eq!(stands.liability_micros() + settled, 332, "997 x 333 / 1,000 = 332.001");
    }
    let stands = ledger.make_good(FlightId(1)).unwrap().unwrap();
    assert_eq!((stands.status, stands.liability_micros()), (Status::Fulfilled, 0));
    sound(&mut ledger);
}

fn credited(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let some = apply(&mut ledger, 1, &Operation::Credit { impressions: 100 }, "a").unwrap().1;
    assert_eq!((some.status, some.liability_micros()), (Status::Pending, 12_500_000));
    let rest = apply(&mut ledger, 1, &Operation::InvoiceAdjustment { impressions: 500 }, "b").unwrap().1;
    assert_eq!((rest.status, rest.liability_micros()), (Status::Credited, 0));
    assert_eq!(rest.remedy.as_deref(), Some("invoice_adjustment"));
    let (credit, invoice) = (rest.held(Account::Credit), rest.held(Account::InvoiceAdjustment));
    assert_eq!((credit, invoice), (-2_500_000, -12_500_000));
    let late = close(&mut ledger, 1, 1_000, 25_000_000, 500).1.unwrap();
    assert_eq!(
        (late.status, late.held(Account::OverRemedied)),
        (Status::Credited, 2_500_000),
        "credited and delivered"
    );
    let invalid = close(&mut ledger, 1, 1_000, 25_000_000, 350).1.unwrap();
    assert_eq!((invalid.status, invalid.liability_micros()), (Status::Pending, 1_250_000));
    assert_eq!(invalid.held(Account::OverRemedied), 0);
    sound(&mut ledger);
}

fn documented(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    apply(&mut ledger, 1, &bonus(600), "s").unwrap();
    deliver(&mut ledger, 1, 200);
    apply(&mut ledger, 1, &Operation::Credit { impressions: 100 }, "c").unwrap();
    close(&mut ledger, 1, 1_000, 25_000_000, 420);
    deliver(&mut ledger, 1, 600);
    close(&mut ledger, 1, 1_000, 25_000_000, 300);
    close(&mut ledger, 1, 1_200, 30_000_000, 300);
    let moved: Vec<Vec<(Account, i64)>> = ledger
        .entries()
        .unwrap()
        .into_iter()
        .map(|entry| entry.lines.into_iter().map(|(account, micros)| (account, micros / 10_000)).collect())
        .collect();
    let (expense, pending, scheduled) = (Account::Expense, Account::Pending, Account::Scheduled);
    let (added, credit, over) = (Account::AdditionalDelivery, Account::Credit, Account::OverRemedied);
    let documented = [
        vec![(expense, 15_00), (pending, -15_00)],
        vec![(pending, 15_00), (scheduled, -15_00)],
        vec![(scheduled, 5_00), (added, -5_00)],
        vec![(scheduled, 2_50), (credit, -2_50)],
        vec![(expense, -50), (scheduled, 50)],
        vec![(scheduled, 7_00), (added, -10_00), (over, 3_00)],
        vec![(expense, 3_00), (over, -3_00)],
        vec![(expense, 6_00), (pending, -6_00)],
    ];
    assert_eq!(moved, documented);
    sound(&mut ledger);
}

fn refused(open: &Opening<'_>) {
    let mut ledger = open();
    let message = |outcome: Result<(Did, MakeGood), LedgerError>| outcome.unwrap_err().to_string();
    assert!(message(apply(&mut ledger, 9, &Operation::Void, "v")).contains("flight 9: it has no make-good"));
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    for (operation, expected) in [
        (Operation::Credit { impressions: 601 }, "flight f1: credit: impressions: 601; 600 are open"),
        (Operation::Credit { impressions: 0 }, "flight f1: credit: impressions: 0; it takes at least 1"),
        (Operation::InvoiceAdjustment { impressions: 700 }, "impressions: 700; 600 are open"),
        (bonus(601), "flight f1: schedule: impressions: 601; 600 are open and not scheduled"),
        (bonus(0), "impressions: 0; 600 are open and not scheduled"),
        (Operation::Fulfil { bonus_delivered: 1, scheduled: 0 }, "bonus_delivered: 1; 0 are scheduled"),
    ] {
        let said = message(apply(&mut ledger, 1, &operation, "k"));
        assert!(said.contains(expected), "{said}");
    }
    apply(&mut ledger, 1, &Operation::Credit { impressions: 1 }, "one").unwrap();
    let said = message(apply(&mut ledger, 1, &Operation::Void, "v"));
    assert!(said.contains("1 impressions of it are made good already"), "{said}");
    let too_much = flight(2, u64::MAX >> 1, i64::MAX, "USD");
    let closing = Closing { flight: &too_much, delivered: 0 };
    assert!(matches!(ledger.close(&[closing], &[], AT, Mode::Write), Err(LedgerError::TooMuch { .. })));
    assert_eq!(ledger.entries().unwrap().len(), 2);
    sound(&mut ledger);
}

fn keys(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    close(&mut ledger, 2, 1_000, 25_000_000, 400);
    let credit = Operation::Credit { impressions: 10 };
    let (did, first) = apply(&mut ledger, 1, &credit, "k").unwrap();
    assert_eq!(did, Did::Posted);
    assert_eq!(apply(&mut open(), 1, &credit, "k").unwrap(), (Did::Repeated, first));
    for (number, operation) in [(1, Operation::Credit { impressions: 11 }), (2, credit), (1, Operation::Void)] {
        let reused = apply(&mut ledger, number, &operation, "k");
        assert!(matches!(reused, Err(LedgerError::KeyReused { .. })), "{reused:?}");
    }
    assert_eq!(ledger.entries().unwrap().len(), 3);
}

fn keys_of_the_ledgers_own(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let operation: fn(u64) -> Operation = |impressions| Operation::Credit { impressions };
    for key in
        ["adjust/1/2", "amend/1/2", "fulfil/1/2", "mint/1/1", "credit/1/3", "schedule/november-makegood", "void/1"]
    {
        let remedy = Remedy { flight_id: FlightId(1), operation, impressions: Some(1), key: Some(key), note: "" };
        let refused = ledger.remedy(&remedy, AT, Mode::Write);
        assert!(matches!(refused, Err(LedgerError::KeyReserved { .. })), "{key}: {refused:?}");
        let refused = apply(&mut ledger, 1, &operation(1), key);
        assert!(matches!(refused, Err(LedgerError::KeyReserved { .. })), "{key}: {refused:?}");
    }
    let said = apply(&mut ledger, 1, &operation(1), "adjust/2/3").unwrap_err().to_string();
    assert!(said.contains("keys that begin with `adjust/` are the ledger's own"), "{said}");
    apply(&mut ledger, 1, &operation(1), "credit-note/17").unwrap();
    assert_eq!(close(&mut ledger, 1, 1_000, 25_000_000, 410).0, Did::Posted);
    apply(&mut ledger, 1, &bonus(10), "schedule/november-makegood").unwrap();
    sound(&mut ledger);
}

fn keys_without_a_number(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    close(&mut ledger, 2, 1_000, 25_000_000, 400);
    let credit: fn(u64) -> Operation = |impressions| Operation::Credit { impressions };
    let all_open = |number: u32, operation, key| {
        let remedy = Remedy { flight_id: FlightId(number), operation, impressions: None, key, note: "" };
        open().remedy(&remedy, AT, Mode::Write)
    };
    let (did, first) = all_open(1, credit, Some("k")).unwrap();
    assert_eq!((did, first.status, first.state.credited), (Did::Posted, Status::Credited, 600));
    assert_eq!(all_open(1, credit, Some("k")).unwrap(), (Did::Repeated, first));
    let taken_back = close(&mut ledger, 1, 1_000, 25_000_000, 390).1.unwrap();
    assert_eq!(taken_back.open_impressions(), 10);
    assert_eq!(
        all_open(1, credit, Some("k")).unwrap(),
        (Did::Repeated, taken_back),
        "what is open by now is another's"
    );
    let invoice: fn(u64) -> Operation = |impressions| Operation::InvoiceAdjustment { impressions };
    for reused in [all_open(2, credit, Some("k")), all_open(1, invoice, Some("k"))] {
        assert!(matches!(reused, Err(LedgerError::KeyReused { .. })), "{reused:?}");
    }
    let (did, second) = all_open(1, credit, None).unwrap();
    assert_eq!((did, second.state.credited), (Did::Posted, 610));
    assert!(all_open(1, credit, None).unwrap_err().to_string().contains("impressions: 0; it takes at least 1"));
    sound(&mut ledger);
}

fn voided(open: &Opening<'_>) {
    let mut ledger = open();
    close(&mut ledger, 1, 1_000, 25_000_000, 400);
    let void = apply(&mut ledger, 1, &Operation::Void, "v").unwrap().1;
    assert_eq!((void.status, held(&void), void.open_impressions()), (Status::Void, vec![], 0));
    for delivered in [300, 400, 500] {
        assert_eq!(close(&mut ledger, 1, 1_000, 25_000_000, delivered).0, Did::Nothing);
    }
    let again = apply(&mut ledger, 1, &Operation::Void, "w").unwrap_err().to_string();
    assert!(again.contains("its make-good is void"), "{again}");
    assert_eq!(apply(&mut ledger, 1, &Operation::Void, "v").unwrap().0, Did::Repeated);
    sound(&mut ledger);
}

fn currencies(open: &Opening<'_>) {
    let mut ledger = open();
    let flights = [flight(1, 1_000, 10_000_000, "USD"), flight(2, 1_000, 10_000_000, "EUR")];
    let closings: Vec<_> = flights.iter().map(|flight| Closing { flight, delivered: 0 }).collect();
    ledger.close(&closings, &[], AT, Mode::Write).unwrap();
    let stands: Vec<_> = ledger.make_goods().unwrap();
    assert_eq!(stands.iter().map(|one| one.terms.cpm().currency.to_string()).collect::<Vec<_>>(), ["USD", "EUR"]);
    sound(&mut ledger);
}

fn lake_beginnings(open: &Opening<'_>) {
    let mut ledger = open();
    assert_eq!(ledger.lake_began_at().unwrap(), None);
    for (begins_at, remembered) in [(5, 5), (7, 5), (5, 5), (3, 3)] {
        ledger.note_lake(UnixMillis(begins_at), AT).unwrap();
        assert_eq!(open().lake_began_at().unwrap(), Some(UnixMillis(remembered)));
    }
}

fn dry_run(open: &Opening<'_>) {
    let mut ledger = open();
    let short = flight(1, 1_000, 25_000_000, "USD");
    let closing = [Closing { flight: &short, delivered: 400 }];
    let shown = ledger.close(&closing, &[], AT, Mode::DryRun).unwrap().flights.remove(0);
    assert_eq!((shown.0, shown.1.unwrap().liability_micros()), (Did::Posted, 15_000_000));
    assert_eq!((ledger.make_goods().unwrap(), ledger.entries().unwrap()), (vec![], vec![]));
    assert_eq!(ledger.close(&closing, &[], AT, Mode::Write).unwrap().flights[0].0, Did::Posted);
}

fn all_or_nothing(open: &Opening<'_>) {
    let mut ledger = open();
    let flights = [flight(1, 1_000, 10_000_000, "USD"), flight(2, u64::MAX >> 1, i64::MAX, "USD")];
    let closings: Vec<_> = flights.iter().map(|flight| Closing { flight, delivered: 0 }).collect();
    assert!(ledger.close(&closings, &[], AT, Mode::Write).is_err());
    assert_eq!((ledger.make_goods().unwrap(), ledger.entries().unwrap()), (vec![], vec![]));
    assert_eq!(close(&mut ledger, 1, 1_000, 10_000_000, 0).0, Did::Posted, "the ledger is as usable as before");
}

fn two_at_once(open: &Opening<'_>) {
    const FLIGHTS: u32 = 40;
    drop(open());
    let barrier = Barrier::new(2);
    let closes = || {
        let mut ledger = open();
        barrier.wait();
        (1..=FLIGHTS).map(|number| close(&mut ledger, number, 1_000, 25_000_000, 400).0).collect::<Vec<Did>>()
    };
    let (one, other) = std::thread::scope(|scope| {
        let threads = [scope.spawn(closes), scope.spawn(closes)];
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        (one, other)
    });
    for (one, other) in one.iter().zip(&other) {
        assert!(matches!((one, other), (Did::Posted, Did::Nothing) | (Did::Nothing, Did::Posted)), "{one:?} {other:?}");
    }
    let mut ledger = open();
    assert_eq!(ledger.entries().unwrap().len(), FLIGHTS as usize);
    sound(&mut ledger);
}
