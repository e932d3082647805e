//! A body of `POST /v1/breaks`: it is refused with a field's name, or every slot of it is answered.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::{
    caps::{CapState, Viewer},
    decide::decide,
    plan::Plan,
};
use slotkeeper_edge::{Client, Settings, answer::answer, breaks::Asked};
use slotkeeper_fuzz::{NOW, plan, request, seed, settings};

static PLAN: LazyLock<Vec<u8>> = LazyLock::new(plan);
static SETTINGS: LazyLock<Settings> = LazyLock::new(settings);

fuzz_target!(init: seed("everything", serde_json::to_vec(&request()).expect("string keys only")), |body: &[u8]| {
    let asked = match Asked::parse(body, Client::default(), "https://ads.example", &SETTINGS, NOW) {
        Ok(asked) => asked,
        Err(fault) => {
            assert!(!fault.field.is_empty() && !fault.message.is_empty(), "{fault:?}");
            return;
        }
    };
    let plan = Plan::verify(&PLAN, &SETTINGS.keys).expect("our own plan");
    for caps in [CapState::Known(Viewer::default()), CapState::Unavailable] {
        let pod = decide(Some(&plan), &caps, &asked.occasion(&slotkeeper_core::auction::Auction::NotAsked));
        match &asked.request.pod {
            None => assert_eq!(pod.slots.len(), asked.request.slots.len(), "a slot was lost"),
            Some(dynamic) => {
                assert!((1..=dynamic.max_ads.into()).contains(&pod.slots.len()), "{} slots", pod.slots.len());
                let shown = pod.slots.iter().filter_map(|slot| Some(u64::from(slot.fill()?.duration_ms)));
                assert!(shown.sum::<u64>() <= dynamic.duration_ms.into(), "the pod is too long");
            }
        }
        for (slot, asked) in pod.slots.iter().zip(&asked.request.slots) {
            assert!(slot.fill().is_none_or(|fill| fill.duration_ms <= asked.max_duration_ms), "the ad does not fit");
        }
        let used: u64 = pod.slots.iter().filter_map(|slot| Some(u64::from(slot.fill()?.duration_ms))).sum();
        assert!(used <= asked.request.max_duration_ms.map_or(u64::MAX, u64::from), "the break is too long");
        let answered = answer(&pod, Some(&plan), &asked, &SETTINGS.keys);
        assert_eq!(answered.slots.len(), pod.slots.len());
        serde_json::to_vec(&answered).expect("every answer is JSON");
    }
    assert!(!asked.permissions.no_segments || asked.request.segments.is_empty(), "segments that must not be used");
    let again = serde_json::to_vec(&asked.request).expect("what was JSON");
    assert_eq!(Asked::parse(&again, Client::default(), "https://ads.example", &SETTINGS, NOW).map(|again| again.request), Ok(asked.request));
});
