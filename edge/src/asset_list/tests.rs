use slotkeeper_core::{
    contract::Presentation,
    id::{AdId, CreativeId, RecordId},
    pod::{FillReason, UnfilledReason},
};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
const BASE: &str = "https://edge.example";

fn parse(query: &str) -> Result<InterstitialQuery, InvalidField> {
    InterstitialQuery::parse(query, NOW)
}

fn request_id(query: &str) -> String {
    parse(query).unwrap().query.request.request_id
}

#[test]
fn playback_and_url_together_are_the_breaks_identity() {
    let first = "profile=p&title=t&slots=30&_HLS_interstitial_id=break-1";
    let of = |query: &str, playback: &str| request_id(&format!("{query}&_HLS_primary_id={playback}"));
    assert_eq!(of(first, "a"), of(first, "a"), "loaded again");
    assert_eq!(of(first, "a"), request_id(&format!("_HLS_start_offset=7.5&_HLS_primary_id=a&{first}")), "joined later");
    assert_ne!(of(first, "a"), of(first, "b"), "played again");
    assert_ne!(of(first, "a"), of(&first.replace("break-1", "break-2"), "a"), "the next break");
    assert_eq!(of(&format!("{first}&request_id=r"), "a"), "r", "whoever says it, says it");
    let later = InterstitialQuery::parse(first, NOW.plus_ms(1)).unwrap().query.request.request_id;
    assert_ne!(request_id(first), later, "without a playback, each try is a break of its own");
}

#[test]
fn the_playback_is_the_session_unless_one_is_named() {
    let session = |query| parse(query).unwrap().query.request.session_id;
    assert_eq!(session("profile=p&title=t&slots=30&_HLS_primary_id=a"), Some("a".into()));
    assert_eq!(session("profile=p&title=t&slots=30&_HLS_primary_id=a&session=s"), Some("s".into()));
    assert_eq!(session("profile=p&title=t&slots=30"), None);
}

#[test]
fn what_a_player_adds_is_read_strictly() {
    let with = |added: &str| parse(&format!("profile=p&title=t&slots=30&{added}"));
    assert_eq!(with("_HLS_start_offset=7.5").unwrap().start_offset_ms, 7_500);
    assert_eq!(with("_HLS_start_offset=0").unwrap().start_offset_ms, 0);
    assert_eq!(with("_HLS_start_offset=1e300").unwrap().start_offset_ms, u64::MAX, "past everything");
    for odd in ["-1", "NaN", "inf", "x", "1,5"] {
        assert_eq!(with(&format!("_HLS_start_offset={odd}")).unwrap_err().field, START_OFFSET, "{odd}");
    }
    for (text, reporter) in [("sdk=0", Reporter::Player), ("sdk=", Reporter::Player), ("sdk=1", Reporter::Sdk)] {
        assert_eq!(with(text).unwrap().reporter, reporter, "{text}");
    }
    assert_eq!(with("sdk=yes").unwrap_err().field, SDK);
    let long = "a".repeat(CALLER_ID_BYTES_MAX + 1);
    for odd in [long.as_str(), "a%0ab", "%C3%A9"] {
        assert_eq!(with(&format!("_HLS_primary_id={odd}")).unwrap_err().field, PRIMARY_ID, "{odd}");
    }
}

fn keys() -> Keyring {
    Keyring::parse(&format!("1:{}", "07".repeat(32))).unwrap()
}

fn filled(id: u32, duration_ms: u32, mime_types: &[&str], presentation: Presentation) -> SlotOutcome {
    let token = Token {
        opportunity_id: OpportunityId::mint(BreakId([1; 16]), 0, NOW),
        ad_id: AdId(id),
        record_id: RecordId([1; 8]),
        class: EventClass::Any,
        holds_claim: true,
        expires_at: NOW.plus_ms(60_000),
    };
    let media = mime_types.iter().map(|mime_type| MediaResponse {
        url: format!("https://media.example/{id}"),
        mime_type: (*mime_type).into(),
        ..MediaResponse::default()
    });
    let ad = AdResponse {
        ad_id: AdId(id),
        creative_id: CreativeId(id),
        universal_ad_id: if id == 1 { "AURO0001000H".into() } else { "unknown".into() },
        name: "an ad".into(),
        duration_ms,
        media: media.collect(),
        click_through: None,
        presentation,
    };
    SlotOutcome::Filled {
        fill_reason: FillReason::Guaranteed,
        ad: Box::new(ad),
        token: token.seal(&keys()),
        expires_at_ms: token.expires_at,
        pixels: None,
    }
}

/// The list, as JSON, and the ads that are given back.
fn listed(outcomes: Vec<SlotOutcome>, offset_ms: u64) -> (serde_json::Value, Vec<u32>) {
    listed_for(Reporter::Player, outcomes, offset_ms)
}

fn listed_for(reporter: Reporter, outcomes: Vec<SlotOutcome>, offset_ms: u64) -> (serde_json::Value, Vec<u32>) {
    let slots = outcomes.into_iter().zip(0..).map(|(outcome, slot_index)| slotkeeper_core::api::SlotResponse {
        slot_index,
        opportunity_id: OpportunityId::mint(BreakId([1; 16]), slot_index, NOW),
        outcome,
    });
    let response = BreakResponse {
        request_id: "r".into(),
        break_id: BreakId([1; 16]),
        plan_version: Some(1),
        decided_at_ms: NOW,
        slots: slots.collect(),
        receipt: None,
    };
    let (list, unused) = Listing { keys: &keys(), base: BASE, now: NOW, reporter }.of(&response, offset_ms);
    (serde_json::to_value(&list).unwrap(), unused.iter().map(|token| token.ad_id.0).collect())
}

fn hls(id: u32, duration_ms: u32) -> SlotOutcome {
    filled(id, duration_ms, &["video/webm", "application/vnd.apple.mpegurl"], Presentation::default())
}

fn unfilled() -> SlotOutcome {
    SlotOutcome::Unfilled { unfilled_reason: UnfilledReason::FrequencyCapped }
}

/// What each listed ad reports; nothing of one without signaling.
fn reported(list: &serde_json::Value) -> Vec<Vec<String>> {
    let types = |asset: &serde_json::Value| {
        let tracking = &asset["X-AD-CREATIVE-SIGNALING"]["payload"][0]["tracking"];
        let events = tracking.as_array().into_iter().flatten();
        events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    list["ASSETS"].as_array().unwrap().iter().map(types).collect()
}

#[test]
fn each_asset_says_what_to_call_and_when() {
    let presentation = Presentation {
        trackers: vec![Tracker { event: Event::Start, url: "https://vendor.example/imp".into() }],
        skip_after_ms: Some(5_500),
        ..Presentation::default()
    };
    let first = filled(1, 6_000, &["application/X-MPEGURL; charset=utf-8"], presentation);
    let (list, unused) = listed(vec![first, unfilled(), hls(2, 15_250)], 0);
    assert_eq!(unused, [0_u32; 0]);
    let assets = list["ASSETS"].as_array().unwrap();
    assert_eq!(assets.len(), 2, "nothing stands for the slot without an ad");
    assert_eq!((&assets[0]["URI"], &assets[0]["DURATION"]), (&"https://media.example/1".into(), &6.0.into()));
    let signaling = &assets[0]["X-AD-CREATIVE-SIGNALING"];
    assert_eq!((&signaling["version"], &signaling["type"]), (&2.into(), &"slot".into()));
    let slots: Vec<_> = assets.iter().map(|asset| &asset["X-AD-CREATIVE-SIGNALING"]["payload"][0]).collect();
    assert_eq!(
        (&slots[0]["type"], &slots[0]["start"], &slots[0]["duration"]),
        (&"linear".into(), &0.0.into(), &6.0.into())
    );
    assert_eq!((&slots[1]["start"], &slots[1]["duration"]), (&6.0.into(), &15.25.into()), "from the pod's start");
    assert_eq!((&slots[0]["skipOffset"], &slots[1]["skipOffset"]), (&5.5.into(), &serde_json::Value::Null));
    assert_eq!(slots[0]["identifiers"][1]["value"], "AURO0001000H");
    assert_eq!(slots[1]["identifiers"].as_array().unwrap().len(), 1, "an id that is not known is not made up");
    assert_eq!(list.get("SKIP-CONTROL"), None, "one ad's does not speak for two");

    assert_eq!(reported(&list), vec![EVENTS.map(|event| event.as_str().to_owned()).to_vec(); 2]);
    for (tracking, event) in slots[0]["tracking"].as_array().unwrap().iter().zip(EVENTS) {
        let url = tracking["urls"][0].as_str().unwrap();
        let token = url.strip_prefix(BASE).and_then(|path| path.strip_prefix("/v1/t/")).unwrap();
        let token = Token::open(token, &keys(), NOW).unwrap();
        assert_eq!((token.class, token.ad_id, token.holds_claim), (EventClass::Only(event), AdId(1), true));
    }
    assert_eq!(slots[0]["tracking"][0]["urls"][1], "https://vendor.example/imp");
    assert_eq!(slots[0]["tracking"][1]["urls"].as_array().unwrap().len(), 1);
}

#[test]
fn an_interstitial_of_one_ad_can_be_skipped_as_the_ad_can() {
    let presentation = Presentation { skip_after_ms: Some(5_500), ..Presentation::default() };
    let (list, _) = listed(vec![filled(1, 15_000, &["application/vnd.apple.mpegurl"], presentation)], 0);
    assert_eq!(list["SKIP-CONTROL"], serde_json::json!({ "OFFSET": 6 }));
}

#[test]
fn who_joins_late_reports_no_more_than_is_shown() {
    let pod = || vec![hls(1, 6_000), hls(2, 6_000), hls(3, 6_000)];
    let all = EVENTS.map(|event| event.as_str().to_owned()).to_vec();
    let late: Vec<_> = ["start", "pause", "resume", "mute", "unmute", "skip", "error"].map(String::from).to_vec();
    let none: Vec<String> = vec![];
    let cases = [
        (0, [&all, &all, &all], vec![]),
        (1, [&late, &all, &all], vec![]),
        (6_000, [&none, &all, &all], vec![1]),
        (11_999, [&none, &late, &all], vec![1]),
        (18_000, [&none, &none, &none], vec![1, 2, 3]),
    ];
    for (offset_ms, expected, given_back) in cases {
        let (list, unused) = listed(pod(), offset_ms);
        assert_eq!(reported(&list).iter().collect::<Vec<_>>(), expected, "{offset_ms}");
        assert_eq!(unused, given_back, "{offset_ms}");
    }
}

#[test]
fn an_ad_that_hls_cannot_play_is_not_listed_and_given_back() {
    let webm = filled(1, 6_000, &["video/webm"], Presentation::default());
    let (list, unused) = listed(vec![webm, hls(2, 6_000)], 0);
    let assets = list["ASSETS"].as_array().unwrap();
    assert_eq!((assets.len(), &assets[0]["URI"]), (1, &"https://media.example/2".into()));
    assert_eq!(assets[0]["X-AD-CREATIVE-SIGNALING"]["payload"][0]["start"], 0.0);
    assert_eq!(unused, [1]);
}

#[test]
fn a_break_with_no_ad_is_an_empty_list() {
    let (list, unused) = listed(vec![unfilled(), unfilled()], 0);
    assert_eq!((&list["ASSETS"], unused.len()), (&serde_json::json!([]), 0));
}

#[test]
fn a_list_for_the_sdk_carries_the_answer_and_nothing_of_ours_to_call() {
    let presentation = Presentation {
        trackers: vec![Tracker { event: Event::Start, url: "https://vendor.example/imp".into() }],
        click_through: Some("https://advertiser.example".into()),
        ..Presentation::default()
    };
    let pod = || vec![filled(1, 6_000, &["application/x-mpegurl"], presentation.clone()), unfilled(), hls(2, 6_000)];
    let (list, _) = listed_for(Reporter::Sdk, pod(), 0);
    let answer: BreakResponse = serde_json::from_value(list["X-SLOTKEEPER-ANSWER"].clone()).unwrap();
    assert_eq!(answer.slots.iter().map(|slot| slot.outcome.clone()).collect::<Vec<_>>(), pod(), "as it was decided");
    assert_eq!(reported(&list), [vec!["start".to_owned()], vec![]], "a vendor's calls are the player's all the same");
    let signaling = &list["ASSETS"][0]["X-AD-CREATIVE-SIGNALING"]["payload"][0];
    assert_eq!(signaling["tracking"][0]["urls"], serde_json::json!(["https://vendor.example/imp"]));
    assert!(signaling.get("clickThrough").is_none(), "the SDK reports the click");

    let (stock, _) = listed(pod(), 0);
    assert!(stock.get("X-SLOTKEEPER-ANSWER").is_none(), "players without the SDK get no more than before");
    assert!(stock["ASSETS"][0]["X-AD-CREATIVE-SIGNALING"]["payload"][0].get("clickThrough").is_some());
}
