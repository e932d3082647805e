//! Whoever reads what the program prints may have gone, as `slotkeeper plan show | head` does when it has its lines.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::VecDeque,
    process::{Command, Stdio},
};

use serde_json::json;
use slotkeeper_core::contract::BreakPosition::Preroll;
use support::{
    KEYS, Origin,
    deciding::{DEMO, World},
    edge::{FakeEdge, Script},
    eventually, program,
};

/// A pipe whose reader has gone.
fn unread() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[test]
fn every_command_ends_as_it_would_have_when_nobody_reads_on() {
    let mut world = World::new();
    let slot = world.open("ada", Preroll, 2).slots[0].opportunity_id.to_string();
    world.fold();
    let data = ["--data", world.folder.path().to_str().unwrap()];
    let publish = ["plan", "publish", "--keys", KEYS, "--retry-for", "0", "--edge", "http://127.0.0.1:1"];
    let of_data: [(&[&str], i32); 12] = [
        (&["contracts", "import", DEMO], 0),
        (&["contracts", "list"], 0),
        (&["contracts", "list", "--json"], 0),
        (&["contracts", "show", "northwind-electric-1"], 0),
        (&["contracts", "show", "nothing-of-that-name"], 1),
        (&["plan", "show"], 0),
        (&["plan", "show", "--json"], 0),
        (&["explain", &slot], 0),
        (&["explain", &slot, "--json"], 0),
        (&["audit"], 0),
        (&["audit", "--json"], 0),
        (&publish, 1),
    ];
    let mut commands: Vec<(Vec<&str>, i32)> =
        of_data.iter().map(|(words, code)| ([*words, &data].concat(), *code)).collect();
    commands.extend([(vec!["keys", "new"], 0), (vec!["--help"], 0), (vec!["no-such-command"], 2)]);
    for (words, code) in commands {
        let ends = |prepare: fn(&mut Command) -> &mut Command| {
            let output = prepare(program().args(&words)).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        };
        ends(|command| command);
        ends(|command| command.stdout(unread()));
        ends(|command| command.stdout(unread()).stderr(unread()));
    }
    world.tamper("fold.db", "DELETE FROM fct_ad_opportunities WHERE slot_index = 1");
    let audited = program().arg("audit").args(data).stdout(unread()).output().unwrap();
    assert_eq!(audited.status.code(), Some(3), "{audited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_whose_log_nobody_reads_goes_on_asking_its_edges() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || (503, json!({ "error": { "code": "busy", "field": null, "message": "later" } }));
    let edge = FakeEdge::start(Script { ship_answers: VecDeque::from([refused()]), ..Script::default() }).await;
    let more = ["--publish-every", "0", "--edge", &edge.url];
    let origin = Origin::start_with_log(folder.path(), KEYS, &more, unread());
    eventually(async || edge.asked(|script| script.ships_asked) >= 3).await;
    assert!(origin.terminate().success());
}
