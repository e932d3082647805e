//! Law 9 at the origin: a stored slot is explained by deciding it again, and a decision that does not repeat is loud.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::process::Output;

use serde_json::Value;
use slotkeeper_core::{beacon::Event, contract::BreakPosition, fact::Recording, pod::Opportunity};
use support::{
    Origin,
    deciding::{World, facts_of},
    get, program,
};

fn explain(world: &World, id: &str, more: &[&str]) -> Output {
    program().args(["explain", id, "--data"]).arg(world.folder.path()).args(more).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// A viewer of the demo at the last slot of the mid-roll, which is empty because the promos are capped.
fn midroll(world: &mut World) -> Vec<Opportunity> {
    let preroll = world.open("ada", BreakPosition::Preroll, 2);
    world.report(&preroll.slots[0], &[Event::Start]);
    let midroll = world.open("ada", BreakPosition::Midroll, 3);
    world.fold();
    midroll.slots
}

#[tokio::test]
async fn an_empty_slot_is_explained_with_every_candidate_and_the_cap_that_each_reached() {
    let mut world = World::new();
    let slots = midroll(&mut world);
    let id = slots[2].opportunity_id.to_string();
    let output = explain(&world, &id, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let explained = json(&output);
    assert_eq!(
        (&explained["row"]["outcome"], &explained["row"]["reason"]),
        (&"unfilled".into(), &"frequency_capped".into())
    );
    assert_eq!(explained["differences"], Value::Array(vec![]));
    let candidates = explained["candidates"].as_array().unwrap();
    let fates: std::collections::BTreeMap<&str, (&str, &str)> = candidates
        .iter()
        .map(|candidate| {
            let leaked =
                |value: &'_ Value| -> &'_ str { Box::leak(value.as_str().unwrap_or("-").to_owned().into_boxed_str()) };
            (leaked(&candidate["flight"]["slug"]), (leaked(&candidate["reason"]), leaked(&candidate["because"])))
        })
        .collect();
    assert_eq!(fates["northwind-electric-1"], ("frequency_capped", "1 of 1 a flight in 1 h"));
    assert_eq!(fates["aurora-winter-roast-1"], ("frequency_capped", "1 of 1 a campaign in 1 h"));
    assert_eq!(fates["fjord-summer-1"].0, "competitive_separation");
    assert_eq!(
        fates["lumen-launch-1"],
        ("duration_exceeded", "its shortest ad lasts 12000 ms, and 10000 ms are in the slot")
    );
    let claims = explained["viewer"]["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 2, "of the pre-roll");
    assert_eq!(claims.iter().filter(|claim| claim["state"] == "confirmed").count(), 1);

    let text = String::from_utf8(explain(&world, &id, &[]).stdout).unwrap();
    assert!(
        text.contains("unfilled, frequency_capped") && text.contains("decided again: the same, in every column"),
        "{text}"
    );
    let filled = json(&explain(&world, &slots[0].opportunity_id.to_string(), &["--json"]));
    assert_eq!(filled["candidates"][0]["fate"], "won");
    assert_eq!(filled["row"]["ad"], filled["replayed"]["ad"]);

    let origin = Origin::start(world.folder.path(), &["--publish-every", "0"]);
    let url = format!("{}/api/v1/slots", origin.url);
    assert_eq!(get(&format!("{url}/{id}/explain")).await, explained);
    let unknown = reqwest::get(format!("{url}/00000000-0000-7000-8000-000000000000/explain")).await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(reqwest::get(format!("{url}/nonsense/explain")).await.unwrap().status(), 400);
}

#[test]
fn a_row_that_its_decision_does_not_give_is_loud() {
    let mut world = World::new();
    let id = midroll(&mut world)[2].opportunity_id.to_string();
    world.tamper(
        "fold.db",
        &format!(
            "UPDATE fct_ad_opportunities SET unfilled_reason = 'no_eligible_demand' WHERE opportunity_id = '{id}'"
        ),
    );
    let output = explain(&world, &id, &[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("stored:   unfilled, no_eligible_demand\n"), "{said}");
    assert!(said.contains("replayed: unfilled, frequency_capped\n"), "{said}");
}

#[test]
fn what_is_missing_or_altered_is_named() {
    let mut world = World::new();
    let id = midroll(&mut world)[2].opportunity_id.to_string();
    let said = |world: &World, id: &str| {
        let output = explain(world, id, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said(&world, "00000000-0000-7000-8000-000000000000").contains("no such slot is stored here"));
    world.tamper("contracts.db", "CREATE TABLE aside AS SELECT * FROM plans_kept; DELETE FROM plans_kept");
    assert!(said(&world, &id).contains("it is not kept here (any more)"));
    world.tamper("contracts.db", "INSERT INTO plans_kept SELECT * FROM aside");
    world.tamper("fold.db", "UPDATE decisions SET content = json_set(content, '$.asked.device', 'web')");
    assert!(said(&world, &id).contains("was altered: its content has the address"));
    world.tamper("fold.db", "UPDATE decisions SET content = '{}'");
    assert!(said(&world, &id).contains("was altered: missing field"));
    world.tamper("fold.db", "DELETE FROM decisions");
    assert!(said(&world, &id).contains("is not here"));
}

#[test]
fn of_several_rows_of_a_slot_the_one_that_stands_is_explained_and_the_others_are_named() {
    let mut world = World::new();
    let committed = world.open("ada", BreakPosition::Preroll, 1);
    let decision = slotkeeper_core::decision::Decision {
        caps: slotkeeper_core::caps::CapState::Unavailable,
        ..committed.decision.clone()
    };
    let plan = slotkeeper::replay::Replayer::open(&world.data()).unwrap().plan(decision.plan_version.unwrap()).unwrap();
    let straight = slotkeeper::replay::Replayer::decide(&decision, Some(&plan), &mut ()).unwrap();
    world.log(facts_of(&straight, Recording::Uncommitted));
    world.fold();
    let explained = json(&explain(&world, &committed.slots[0].opportunity_id.to_string(), &["--json"]));
    assert_eq!(explained["row"]["recording"], "uncommitted");
    assert_eq!(explained["row"]["reason"], "cap_check_unavailable");
    assert_eq!(explained["superseded"][0]["outcome"], "filled");
    assert_eq!(explained["viewer"]["claims"], Value::Null);
}
