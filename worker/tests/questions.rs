//! The questions that are shipped, each against a count of the same slots that knows nothing of SQL.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "counts are small"
)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use slotkeeper::{
    books::{CAMPAIGN_PACING_DAILY, MAKEGOODS},
    data_dir::DataDir,
    sql::{self, API_BOUNDS, questions},
};
use slotkeeper_lake::columns::Rows;
use slotkeeper_query::{Answer, Session, session::Values};
use support::small_lake::{self, DAY_0_MS, Fill, HOUR_MS, QUARTILES, Slot, date, row, write};

/// The lake of [`small_lake::slots`], written once for all tests.
static LAKE: LazyLock<(DataDir, Vec<Slot>)> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("questions");
    let _ = std::fs::remove_dir_all(&folder); // of the last run
    let (data, slots) = (DataDir::open(folder).unwrap(), small_lake::slots());
    small_lake::write_slots(&data.lake(), &slots);
    (data, slots)
});

struct World {
    slots: &'static [Slot],
    session: Session,
}

impl World {
    fn new() -> Self {
        let (data, slots) = &*LAKE;
        Self { slots, session: sql::start(data, vec![], vec![]).unwrap() }
    }

    fn answer(&self, name: &str, given: &[(&str, &str)]) -> Answer {
        answer(&self.session, name, given)
    }

    fn ask(&self, name: &str, given: &[(&str, &str)]) -> Vec<String> {
        lines(&self.answer(name, given))
    }
}

fn answer(session: &Session, name: &str, given: &[(&str, &str)]) -> Answer {
    let question = questions::named(name).unwrap();
    let given: Values = given.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect();
    let values = question.values(&given).unwrap();
    let answer =
        session.ask(&question.sql, &values, API_BOUNDS).unwrap_or_else(|error| panic!("{name}: {error}")).remove(0);
    let columns: Vec<&String> = question.columns.iter().map(|(name, _)| name).collect();
    assert_eq!(answer.columns.iter().collect::<Vec<_>>(), columns, "{name}: its head says what its columns are");
    assert!(!answer.is_cut);
    answer
}

/// Each row as one text.
fn lines(answer: &Answer) -> Vec<String> {
    let line = |row: &Vec<slotkeeper_query::Value>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    answer.rows.iter().map(line).collect()
}

/// Hundredths of a percent, as SQL's `round` has them.
fn percent(part: i64, whole: i64) -> f64 {
    (100.0 * part as f64 / whole as f64 * 100.0).round() / 100.0
}

fn key(slot: &Slot, by: &str) -> String {
    match by {
        "day" => slot.day(),
        "hour" => format!("{}T{:02}:00Z", slot.day(), slot.hour() / HOUR_MS % 24),
        "title" => slot.title.into(),
        "position" => slot.position.into(),
        "country" => slot.country.unwrap_or_default().into(),
        "device" => slot.device.unwrap_or_default().into(),
        _ => by.into(),
    }
}

/// Slots by key, those without one last, as the answers are ordered.
fn by_key<'a>(slots: impl IntoIterator<Item = &'a Slot>, by: &str) -> Vec<(String, Vec<&'a Slot>)> {
    let mut groups: BTreeMap<(bool, String), Vec<&Slot>> = BTreeMap::new();
    for slot in slots {
        let key = key(slot, by);
        groups.entry((key.is_empty(), key)).or_default().push(slot);
    }
    groups.into_iter().map(|((_, key), slots)| (key, slots)).collect()
}

fn count<'a>(slots: &[&'a Slot], is: impl Fn(&'a Slot) -> bool) -> i64 {
    slots.iter().filter(|slot| is(slot)).count() as i64
}

#[test]
fn fill_counts_every_slot_once() {
    let world = World::new();
    for by in ["all", "day", "hour", "title", "position", "country", "device"] {
        let expected: Vec<String> = by_key(world.slots, by)
            .into_iter()
            .map(|(key, slots)| {
                let all = slots.len() as i64;
                let of = |reason: &str| count(&slots, |slot| slot.fill().is_some_and(|fill| fill.reason == reason));
                let filled = count(&slots, |slot| slot.fill().is_some());
                let (guaranteed, auction, house) = (of("guaranteed"), of("auction"), of("house_ad"));
                let percent = percent(filled, all);
                format!("{key} {all} {filled} {} {percent} {guaranteed} {auction} {house}", all - filled)
            })
            .collect();
        assert_eq!(world.ask("fill", &[("by", by)]), expected, "by {by}");
    }
    let days = [("from", "2026-11-21"), ("to", "2026-11-21")];
    let on_the_day = world.slots.iter().filter(|slot| slot.day() == "2026-11-21").count();
    assert!(world.ask("fill", &[days[0], days[1], ("by", "all")])[0].starts_with(&format!("all {on_the_day} ")));
}

#[test]
fn the_reasons_of_unfilled_slots_add_up() {
    let world = World::new();
    for by in ["all", "day", "title", "position", "country", "device"] {
        let mut expected = vec![];
        for (key, slots) in by_key(world.slots, by) {
            let mut reasons: BTreeMap<&str, i64> = BTreeMap::new();
            slots.iter().filter_map(|slot| slot.unfilled()).for_each(|reason| *reasons.entry(reason).or_default() += 1);
            let unfilled: i64 = reasons.values().sum();
            let mut reasons: Vec<_> = reasons.into_iter().collect();
            reasons.sort_by_key(|(reason, slots)| (-slots, *reason));
            expected.extend(reasons.into_iter().map(|(reason, of_it)| {
                format!("{key} {reason} {of_it} {} {}", percent(of_it, unfilled), percent(of_it, slots.len() as i64))
            }));
        }
        assert_eq!(world.ask("unfilled", &[("by", by)]), expected, "by {by}");
    }
}

#[test]
fn revenue_is_the_sum_of_its_micros() {
    type Key = fn(&Slot, &Fill) -> String;
    let world = World::new();
    let by: [(&str, Key); 5] = [
        ("all", |_, _| "all".into()),
        ("day", |slot, _| slot.day()),
        ("advertiser", |_, fill| fill.advertiser().to_string()),
        ("flight", |_, fill| fill.flight.to_string()),
        ("title", |slot, _| slot.title.into()),
    ];
    for (by, key) in by {
        let mut sums: BTreeMap<(String, &str), (i64, i64, i64)> = BTreeMap::new();
        for slot in world.slots {
            let Some(fill) = slot.impression() else { continue };
            let sum = sums.entry((key(slot, fill), fill.currency.unwrap())).or_default();
            *sum = (sum.0 + 1, sum.1 + i64::from(fill.is_delivered()), sum.2 + fill.revenue);
        }
        let line = |((key, currency), (impressions, delivered, micros))| {
            format!("{key} {currency} {impressions} {delivered} {micros}")
        };
        assert_eq!(world.ask("revenue", &[("by", by)]), sums.into_iter().map(line).collect::<Vec<_>>(), "by {by}");
    }
}

#[test]
fn money_past_64_bits_is_summed_exactly() {
    let mut slots: Vec<Slot> =
        small_lake::slots().into_iter().filter(|slot| slot.impression().is_some()).take(3).collect();
    for slot in &mut slots {
        let small_lake::Outcome::Filled(fill) = &mut slot.outcome else { unreachable!() };
        (fill.flight, fill.revenue, fill.currency) = (4, i64::MAX, Some("USD"));
    }
    let expected = i128::from(i64::MAX) * 3;
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    small_lake::write_slots(&data.lake(), &slots);
    let session = sql::start(&data, vec![], vec![]).unwrap();
    assert_eq!(lines(&answer(&session, "revenue", &[])), [format!("4 USD 3 3 {expected}")]);
}

#[test]
fn the_onset_of_cap_blocking_is_the_first_hour_past_the_line() {
    let world = World::new();
    for (line, least, by, every) in [
        (10, 20, "all", "first"),
        (10, 20, "all", "all"),
        (1, 1, "title", "all"),
        (25, 10, "device", "first"),
        (100, 1, "all", "all"),
    ] {
        let mut expected = vec![];
        for (key, slots) in by_key(world.slots, by) {
            let mut hours: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
            for slot in slots {
                let hour = hours.entry(slot.hour()).or_default();
                *hour = (hour.0 + 1, hour.1 + i64::from(slot.unfilled() == Some("frequency_capped")));
            }
            let mut before: Option<(i64, i64, i64)> = None;
            let mut found = 0;
            for (hour, (slots, capped)) in hours.into_iter().filter(|(_, (slots, _))| *slots >= least) {
                let is_above = |slots: i64, capped: i64| capped * 100 >= line * slots;
                if is_above(slots, capped) && !before.is_some_and(|(_, slots, capped)| is_above(slots, capped)) {
                    found += 1;
                    if every == "all" || found == 1 {
                        let instant = |hour| jiff::Timestamp::from_millisecond(hour).unwrap();
                        let earlier = before.map_or(" ".into(), |(hour, slots, capped)| {
                            format!("{} {}", instant(hour), percent(capped, slots))
                        });
                        let at = instant(hour);
                        let percent = percent(capped, slots);
                        expected.push((hour, key.clone(), format!("{key} {at} {slots} {capped} {percent} {earlier}")));
                    }
                }
                before = Some((hour, slots, capped));
            }
        }
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(_, _, line)| line).collect();
        assert!(!expected.is_empty() || line == 100);
        let (line, least) = (line.to_string(), least.to_string());
        let given = [("line_percent", line.as_str()), ("slots_min", &least), ("by", by), ("every", every)];
        assert_eq!(world.ask("cap-onset", &given), expected, "{given:?}");
    }
}

#[test]
fn a_share_that_is_exactly_the_line_has_crossed_it() {
    let mut slots: Vec<Slot> = small_lake::slots().into_iter().filter(|slot| slot.fill().is_some()).take(20).collect();
    for (index, slot) in slots.iter_mut().enumerate() {
        slot.opened_at = DAY_0_MS + HOUR_MS * i64::from(index >= 10);
    }
    slots[15].outcome = small_lake::Outcome::Unfilled("frequency_capped");
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    small_lake::write_slots(&data.lake(), &slots);
    let session = sql::start(&data, vec![], vec![]).unwrap();
    let onset = |line| lines(&answer(&session, "cap-onset", &[("line_percent", line), ("slots_min", "10")]));
    assert_eq!(onset("10"), ["all 2026-11-20T01:00:00Z 10 1 10 2026-11-20T00:00:00Z 0"]);
    assert!(onset("11").is_empty());
}

#[test]
fn money_on_the_table_is_priced_by_the_hour_and_position_and_rounded_once() {
    let world = World::new();
    let mut cells: BTreeMap<(i64, &str), Vec<&Slot>> = BTreeMap::new();
    for slot in world.slots.iter().filter(|slot| !slot.is_crawler) {
        cells.entry((slot.hour(), slot.position)).or_default().push(slot);
    }
    for by in ["all", "day", "title", "position", "reason"] {
        // The currency after all, so that none is the last.
        let mut sums: BTreeMap<(String, bool, &str), (i64, i128)> = BTreeMap::new();
        for slots in cells.values() {
            let filled = count(slots, |slot| slot.fill().is_some());
            let mut earned: BTreeMap<&str, i64> = BTreeMap::new();
            for fill in slots.iter().filter_map(|slot| slot.impression()).filter(|fill| fill.revenue > 0) {
                *earned.entry(fill.currency.unwrap()).or_default() += fill.revenue;
            }
            let mut unfilled: BTreeMap<String, i64> = BTreeMap::new();
            for slot in slots.iter().filter(|slot| slot.unfilled().is_some()) {
                let key = if by == "reason" { slot.unfilled().unwrap().into() } else { key(slot, by) };
                *unfilled.entry(key).or_default() += 1;
            }
            for (key, unfilled) in unfilled {
                if earned.is_empty() {
                    sums.entry((key.clone(), true, "")).or_default().0 += unfilled;
                }
                for (currency, earned) in &earned {
                    let sum = sums.entry((key.clone(), false, currency)).or_default();
                    let exact = i128::from(unfilled) * i128::from(*earned);
                    let rounded =
                        exact / i128::from(filled) + i128::from(exact % i128::from(filled) * 2 >= i128::from(filled));
                    *sum = (sum.0 + unfilled, sum.1 + rounded);
                }
            }
        }
        let line = |((key, _, currency), (unfilled, micros))| format!("{key} {currency} {unfilled} {micros}");
        assert_eq!(
            world.ask("money-on-the-table", &[("by", by)]),
            sums.into_iter().map(line).collect::<Vec<_>>(),
            "by {by}"
        );
    }
}

#[test]
fn reach_counts_viewers_and_how_often_they_saw_it() {
    type Id = fn(&Fill) -> i64;
    let world = World::new();
    let by: [(&str, Id); 3] =
        [("campaign", Fill::campaign), ("flight", |fill| fill.flight), ("creative", Fill::creative)];
    for (by, id) in by {
        let mut seen: BTreeMap<i64, BTreeMap<&str, i64>> = BTreeMap::new();
        for slot in world.slots.iter().filter(|slot| !slot.is_crawler) {
            let Some(fill) = slot.impression() else { continue };
            *seen.entry(id(fill)).or_default().entry(&slot.viewer).or_default() += 1;
        }
        let mut expected = vec![];
        for (id, viewers) in seen {
            let reach = viewers.len() as i64;
            let all: i64 = viewers.values().sum();
            let mean = percent(all, reach) / 100.0;
            for frequency in viewers.values().collect::<BTreeSet<_>>() {
                let exactly = viewers.values().filter(|one| *one == frequency).count() as i64;
                let at_least = viewers.values().filter(|one| *one >= frequency).count();
                let impressions = exactly * frequency;
                let mean = (mean * 100.0).round() / 100.0;
                expected.push(format!("{id} {frequency} {exactly} {impressions} {reach} {mean} {at_least}"));
            }
        }
        let given = [("by", by)];
        let got = world.ask("reach", &given);
        // The mean apart: it is a float, and computed in another order.
        let without_mean = |line: &String| {
            let cells: Vec<&str> = line.split(' ').collect();
            let mean: f64 = cells[5].parse().unwrap();
            ([&cells[..5], &cells[6..]].concat().join(" "), mean)
        };
        let (got, expected): (Vec<_>, Vec<_>) =
            (got.iter().map(without_mean).collect(), expected.iter().map(without_mean).collect());
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert!(got.0 == expected.0 && (got.1 - expected.1).abs() < 0.011, "by {by}: {got:?}, {expected:?}");
        }
    }
}

#[test]
fn completion_never_grows_from_quartile_to_quartile() {
    let world = World::new();
    let mut expected = vec![];
    let creatives: BTreeSet<i64> = world.slots.iter().filter_map(Slot::impression).map(Fill::creative).collect();
    for creative in creatives {
        let fills: Vec<&Fill> =
            world.slots.iter().filter_map(Slot::impression).filter(|fill| fill.creative() == creative).collect();
        let reached: Vec<i64> = (0..QUARTILES.len())
            .map(|place| fills.iter().filter(|fill| fill.reached >= place).count() as i64)
            .collect();
        assert!(reached.is_sorted_by(|before, after| before >= after));
        let said: Vec<String> = reached.iter().map(ToString::to_string).collect();
        let skips = fills.iter().filter(|fill| fill.is_skipped).count();
        let errors = fills.iter().filter(|fill| fill.has_failed).count();
        let percent = percent(reached[4], reached[0]);
        expected.push(format!("{creative} {} {percent} {skips} {errors} true", said.join(" ")));
    }
    assert_eq!(world.ask("completion", &[]), expected);
}

#[test]
fn a_vendors_counts_are_set_beside_ours() {
    let mut world = World::new();
    let ours = |flight: i64, day: &str| {
        let is = |slot: &&Slot| slot.day() == day && slot.impression().is_some_and(|fill| fill.flight == flight);
        world.slots.iter().filter(is).count() as i64
    };
    let (one, other) = (ours(4, "2026-11-20"), ours(5, "2026-11-21"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vendor.csv");
    world.session = sql::start(&LAKE.0, vec![], vec![file.clone()]).unwrap();
    // In two rows, none of ours, a flight of which we know nothing, and a day on which the vendor has nothing of flight 5.
    std::fs::write(
        &file,
        format!("date,id,count\n2026-11-20,4,{one}\n2026-11-20,4,3\n2026-11-21,5,{other}\n2026-11-22,99,7\n"),
    )
    .unwrap();
    let vendor = ("vendor", file.to_str().unwrap());
    let mut expected = vec![
        format!("2026-11-20 4 {one} {} 3 {}", one + 3, percent(3, one)),
        format!("2026-11-21 5 {other} {other} 0 0"),
        "2026-11-22 99 0 7 7 ".into(),
    ];
    for (day, flight) in [("2026-11-20", 5), ("2026-11-21", 4), ("2026-11-22", 4), ("2026-11-22", 5)] {
        let ours = ours(flight, day);
        expected.push(format!("{day} {flight} {ours} 0 -{ours} -100"));
    }
    expected.sort();
    assert_eq!(world.ask("discrepancy", &[vendor]), expected);
    let apart = world.ask("discrepancy", &[vendor, ("apart_percent", "50")]);
    assert!(apart.len() < expected.len() && apart.iter().all(|line| !line.starts_with("2026-11-21 5 ")), "{apart:?}");
}

#[test]
fn what_happened_is_told_of_an_ad_a_break_and_a_session() {
    let world = World::new();
    let one = world.slots.iter().find(|slot| slot.impression().is_some_and(|fill| fill.reached == 3)).unwrap();
    let events = |slot: &Slot| slot.impression().map_or(0, |fill| fill.reached + 1);
    let sum = |is: &dyn Fn(&Slot) -> bool| world.slots.iter().filter(|slot| is(slot)).map(events).sum::<usize>();
    let answer = world.answer("session", &[("opportunity", &one.id)]);
    let names: Vec<&str> = answer.rows.iter().map(|row| row[1].text().unwrap()).collect();
    assert_eq!(names, QUARTILES[..4]);
    assert!(answer.rows.iter().all(|row| row[6].text() == Some(one.title)));
    let session = &one.viewer[16..];
    let cases = [
        ("break", &*one.break_id, sum(&|slot| slot.break_id == one.break_id)),
        ("session", session, sum(&|slot| slot.viewer == one.viewer)),
    ];
    for (name, value, expected) in cases {
        let answer = world.answer("session", &[(name, value)]);
        assert_eq!(answer.rows.len(), expected, "{name}");
        let times: Vec<String> = answer.rows.iter().map(|row| row[0].to_string()).collect();
        assert!(times.is_sorted());
    }
    let (day, other) = (one.day(), "2026-11-19");
    let within =
        |from: &str, to: &str| world.answer("session", &[("session", session), ("from", from), ("to", to)]).rows.len();
    assert_eq!(within(&day, &day), sum(&|slot| slot.viewer == one.viewer && slot.day() == day));
    assert_eq!(within(other, other), 0);
    let upper = world.answer("session", &[("opportunity", &one.id.to_uppercase())]);
    assert_eq!(upper.rows, answer.rows);
    let refused = questions::named("session").unwrap().values(&Values::new()).unwrap_err().to_string();
    assert_eq!(refused, "parameter opportunity: missing; give one of opportunity, break, session");
}

#[test]
fn conservation_holds_and_is_seen_to_be_broken() {
    let world = World::new();
    let mut expected = vec![];
    for (day, slots) in by_key(world.slots, "day") {
        let filled = count(&slots, |slot| slot.fill().is_some());
        let settled = |as_what| count(&slots, move |slot| slot.fill().is_some_and(|fill| fill.settled == as_what));
        let (impressed, released, none) = (settled(Some("impressed")), settled(Some("released")), settled(None));
        let revenue: i64 = slots.iter().filter_map(|slot| slot.fill()).map(|fill| fill.revenue).sum();
        let all = slots.len() as i64;
        let unfilled = all - filled;
        expected
            .push(format!("{day} {all} {filled} {unfilled} {impressed} {released} {none} {impressed} {revenue} true"));
    }
    assert_eq!(world.ask("conservation", &[]), expected);

    // A slot twice, a lost impression, and an hour whose counts are gone.
    let broken = |break_it: &dyn Fn(&Path, Vec<Slot>)| {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let slots: Vec<Slot> = world.slots.iter().filter(|slot| slot.day() == "2026-11-20").cloned().collect();
        small_lake::write_slots(&data.lake(), &slots);
        break_it(&data.lake(), slots);
        let session = sql::start(&data, vec![], vec![]).unwrap();
        lines(&answer(&session, "conservation", &[])).remove(0)
    };
    let part = "date=2026-11-20/hour=08/part.parquet";
    let line = broken(&|lake, slots| {
        let eight: Vec<Slot> = slots.into_iter().filter(|slot| slot.hour() == DAY_0_MS + 8 * HOUR_MS).collect();
        small_lake::write_slots(lake, &[eight.clone(), eight[..1].to_vec()].concat());
    });
    assert!(line.ends_with("false"), "a slot twice: {line}");
    for table in ["fct_ad_opportunities", "fct_ad_impressions", "agg_slots_hourly"] {
        let line = broken(&|lake, _| std::fs::remove_file(lake.join(table).join(part)).unwrap());
        assert!(line.ends_with("false"), "without an hour of {table}: {line}");
    }
}

#[test]
fn flights_at_risk_come_by_urgency_and_liability_by_advertiser_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let pacing = |day: &str, flights: &[(&str, &str, i64, Option<i64>, i64)]| {
        let mut rows = Rows::new(&CAMPAIGN_PACING_DAILY);
        for (flight, alert, delivered, index, days) in flights {
            row(
                &mut rows,
                &[
                    ("day", day.into()),
                    ("flight", (*flight).into()),
                    ("alert", (*alert).into()),
                    ("committed", 1_000.into()),
                    ("delivered", (*delivered).into()),
                    ("pacing_index_millionths", (*index).into()),
                    ("days_remaining", (*days).into()),
                    ("required_per_day", ((1_000 - delivered) / days).into()),
                ],
            );
        }
        write(&data.lake(), &format!("date={day}"), &rows);
    };
    pacing("2026-11-20", &[("old", "critical", 1, Some(1), 1)]);
    let flights = [
        ("a", "at_risk", 100, Some(600_000), 3),
        ("b", "critical", 200, Some(600_000), 2),
        ("c", "ok", 900, Some(1_000_000), 5),
        ("d", "watch", 500, None, 9),
        ("e", "critical", 300, Some(500_000), 2),
    ];
    pacing("2026-11-21", &flights);
    let mut rows = Rows::new(&MAKEGOODS);
    let owed = [
        ("acme", "pending", "USD", i64::MAX),
        ("acme", "pending", "USD", i64::MAX),
        ("acme", "scheduled", "EUR", 5),
        ("bolt", "credited", "USD", 0),
    ];
    for (advertiser, status, currency, micros) in owed {
        row(
            &mut rows,
            &[
                ("advertiser", advertiser.into()),
                ("status", status.into()),
                ("currency", currency.into()),
                ("shortfall", 10.into()),
                ("liability_micros", micros.into()),
            ],
        );
    }
    write(&data.lake(), "", &rows);

    let session = sql::start(&data, vec![], vec![]).unwrap();
    let flights = |given: &[(&str, &str)]| -> Vec<String> {
        answer(&session, "at-risk", given).rows.iter().map(|row| row[2].to_string()).collect()
    };
    assert_eq!(flights(&[]), ["e", "b", "a"]);
    assert_eq!(flights(&[("least", "watch")]), ["e", "b", "a", "d"]);
    assert_eq!(flights(&[("least", "critical"), ("day", "2026-11-20")]), ["old"]);
    let line = lines(&answer(&session, "at-risk", &[])).remove(1);
    assert_eq!(line, "2026-11-21 critical b   1000 200 800 0.6 2 0 400  false");

    let twice = i128::from(i64::MAX) * 2;
    let standing = [format!("acme pending USD 2 20 {twice}"), "acme scheduled EUR 1 10 5".into()];
    assert_eq!(lines(&answer(&session, "liability", &[])), standing);
    assert_eq!(lines(&answer(&session, "liability", &[("status", "credited")])), ["bolt credited USD 1 10 0"]);
    assert_eq!(answer(&session, "liability", &[("status", "all")]).rows.len(), 3);
}

#[test]
fn every_question_has_an_empty_answer_over_an_empty_lake() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(folder.path()).unwrap();
    let file = folder.path().join("vendor.csv");
    std::fs::write(&file, "date,id,count\n").unwrap();
    let session = sql::start(&data, vec![], vec![file.clone()]).unwrap();
    for question in questions::all() {
        let given: &[(&str, &str)] = match question.name.as_str() {
            "discrepancy" => &[("vendor", file.to_str().unwrap())],
            "session" => &[("break", "0")],
            _ => &[],
        };
        assert!(answer(&session, &question.name, given).rows.is_empty(), "{}", question.name);
    }
    let all =
        session.ask("SELECT count(*) FROM dim_profiles; SELECT count(*) FROM dim_titles", &Values::new(), API_BOUNDS);
    assert!(all.unwrap().iter().all(|answer| answer.rows[0][0].int() == Some(0)));
}

#[test]
fn a_condition_on_the_day_opens_no_other_days_files() {
    let world = World::new();
    let files = |sql: &str, values: Values| {
        let plan =
            world.session.ask(&format!("EXPLAIN ANALYZE {sql}"), &values, API_BOUNDS).unwrap().remove(0).rows.remove(0);
        let plan = plan[1].text().unwrap().to_owned();
        let read: u32 = plan
            .split("Total Files Read: ")
            .skip(1)
            .map(|rest| rest.split([' ', '\n']).next().unwrap().parse::<u32>().unwrap())
            .sum();
        read
    };
    let days: BTreeSet<i64> = world.slots.iter().map(Slot::hour).filter(|hour| date(*hour) == "2026-11-21").collect();
    let all: BTreeSet<i64> = world.slots.iter().map(Slot::hour).collect();
    let hours = days.len() as u32;
    for table in ["fct_ad_opportunities", "agg_slots_hourly"] {
        let sql = format!("SELECT title_id, count(*) FROM {table} GROUP BY 1");
        assert_eq!(files(&sql, Values::new()), all.len() as u32, "{table}");
        let sql = format!("SELECT title_id, count(*) FROM {table} WHERE date = '2026-11-21' GROUP BY 1");
        assert_eq!(files(&sql, Values::new()), hours, "{table}");
    }
    let fill = questions::named("fill").unwrap();
    let day = Some(String::from("2026-11-21"));
    let values = fill.values(&[("from".into(), day.clone()), ("to".into(), day)].into()).unwrap();
    assert_eq!(files(&fill.sql[fill.sql.find("SELECT").unwrap()..], values), hours);
    let session = questions::named("session").unwrap();
    let sql = &session.sql[session.sql.find("WITH").unwrap()..];
    let one = world.slots.iter().find(|slot| slot.impression().is_some()).unwrap();
    let values = session.values(&[("opportunity".into(), Some(one.id.clone()))].into()).unwrap();
    assert_eq!(files(sql, values), 2, "its hour's events and its hour's slots");
}

#[test]
fn profiles_are_stretches_of_slots_alike() {
    let world = World::new();
    let sql = "SELECT viewer, count(*), CAST(sum(slots) AS BIGINT), count(*) FILTER (is_current), min(first_seen_at), max(last_seen_at),
                   bool_and(valid_to IS NULL OR valid_to > valid_from)
               FROM dim_profiles GROUP BY viewer ORDER BY viewer";
    let answer = world.session.ask(sql, &Values::new(), API_BOUNDS).unwrap().remove(0);
    let mut viewers: BTreeMap<&str, Vec<&Slot>> = BTreeMap::new();
    for slot in world.slots {
        viewers.entry(&slot.viewer).or_default().push(slot);
    }
    let mut expected = vec![];
    for (viewer, mut slots) in viewers {
        slots.sort_by_key(|slot| (slot.opened_at, slot.id.clone()));
        let stretches = 1 + slots
            .windows(2)
            .filter(|two| (two[0].country, two[0].device) != (two[1].country, two[1].device))
            .count();
        let instant = |slot: &Slot| jiff::Timestamp::from_millisecond(slot.opened_at).unwrap();
        let (first, last) = (instant(slots[0]), instant(slots[slots.len() - 1]));
        expected.push(format!("{viewer} {stretches} {} 1 {first} {last} true", slots.len()));
    }
    assert_eq!(lines(&answer), expected);
}
