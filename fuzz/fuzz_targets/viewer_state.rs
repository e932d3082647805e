//! A viewer's state as a store gives it back: it is unreadable, or reads back as it writes, its claims
//! settle once, and every break
//! can be decided from it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slotkeeper_core::{
    caps::{CLAIMS_MAX, CapState, Transition, Viewer},
    decide::decide,
    plan::Plan,
};
use slotkeeper_fuzz::{NOW, keys, occasion, plan, pod, request, seed};

static PLAN: LazyLock<Vec<u8>> = LazyLock::new(plan);

fuzz_target!(init: seed("claims", claims().encode()), |bytes: &[u8]| {
    let Ok(mut viewer) = Viewer::decode(bytes) else { return };
    assert_eq!(viewer.encode().len(), bytes.len(), "a claim was lost or doubled");
    assert_eq!(Viewer::decode(&viewer.encode()).as_ref(), Ok(&viewer), "it does not read what it wrote");
    settle(&viewer);
    assert!(viewer.claims().len() <= CLAIMS_MAX);
    viewer.forget_ended(NOW);
    let keep_until = viewer.keep_until();
    assert!(viewer.claims().is_empty() || keep_until > NOW);

    let plan = Plan::verify(&PLAN, &keys()).expect("our own plan");
    let request = request();
    let pod = decide(Some(&plan), &CapState::Known(viewer.clone()), &occasion(&request));
    assert_eq!(pod.slots.len(), request.slots.len(), "a slot was lost");
    pod.claims().for_each(|claim| viewer.add(*claim));
    assert_eq!(Viewer::decode(&viewer.encode()).as_ref(), Ok(&viewer), "what is stored next cannot be read");
});

/// Whatever the claims are: of two contrary beacons the first decides, and a claim that is settled stays so.
fn settle(viewer: &Viewer) {
    let Some(slot) = viewer.claims().last().map(|claim| claim.opportunity_id) else { return };
    let (start, error) = (Transition::Confirm { at: NOW.minus_ms(1_000) }, Transition::Release);
    for (first, second) in [(start, error), (error, start), (start, start), (error, error)] {
        let mut viewer = viewer.clone();
        let same_slot = viewer.claims().iter().filter(|claim| claim.opportunity_id == slot).count();
        let (settled, _) = viewer.settle(slot, first, NOW);
        if same_slot == 1 {
            assert_eq!(viewer.settle(slot, second, NOW), (settled, false), "the second beacon changed it");
        }
        assert_eq!(Viewer::decode(&viewer.encode()).as_ref(), Ok(&viewer), "what is stored next cannot be read");
    }
}

/// What a break of the small plan leaves.
fn claims() -> Viewer {
    let mut viewer = Viewer::default();
    pod().claims().for_each(|claim| viewer.add(*claim));
    viewer
}
