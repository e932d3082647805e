//! A plan that is signed, whatever is in it: it is refused, or decided from without a panic and without a lost slot.
//! Nobody without the key can make one; this is about a fault in the builder, and about a stolen key.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use slotkeeper_core::{
    caps::{CapState, Viewer},
    decide::{Occasion, decide},
    id::{AdId, BreakId},
    plan::{Plan, PlanError},
};
use slotkeeper_fuzz::{keys, occasion, plan, request, seed, sign_plan};

fuzz_target!(init: seed("small", plan()), |bytes: &[u8]| {
    let keys = keys();
    let mut signed = bytes.to_vec();
    let unsigned = Plan::verify(bytes, &keys).is_ok();
    if !sign_plan(&mut signed) {
        assert!(!unsigned, "too short to be signed, and yet verified");
        return;
    }
    assert!(!unsigned || signed == bytes, "verified with another signature than ours");
    let plan = match Plan::verify(&signed, &keys) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!matches!(error, PlanError::Forged | PlanError::UnknownKey(_)), "{error}: we have just signed it");
            // Should such a plan ever be stored, deciding from it must not end the neighbours' requests.
            if let Ok(plan) = Plan::open(&signed) {
                decide_from(&plan);
            }
            return;
        }
    };
    decide_from(&plan);
});

fn decide_from(plan: &Plan<'_>) {
    let request = request();
    for (seed, caps) in (0..).zip([CapState::Known(Viewer::default()), CapState::Unavailable]) {
        let occasion = Occasion { break_id: BreakId([seed; 16]), ..occasion(&request) };
        let pod = decide(Some(plan), &caps, &occasion);
        assert_eq!(pod.slots.len(), request.slots.len(), "a slot was lost");
        for fill in pod.slots.iter().filter_map(|slot| slot.fill()) {
            let _ = plan.ad(fill.ad_id);
        }
    }
    let _ = (plan.ad(AdId(0)), plan.ad(AdId(u32::MAX)), plan.flight_count(), plan.lease_ms());
}

// Without a plan of the present format to alter, the fuzzer would have to invent one.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let base = plan();
    let size = if Plan::open(&data[..size]).is_err() && base.len() <= max_size {
        data[..base.len()].copy_from_slice(&base);
        base.len()
    } else {
        size
    };
    let size = fuzzer_mutate(data, size, max_size);
    sign_plan(&mut data[..size]);
    size
});
