//! Law 2: in no window did more begin to play than a cap allows, and no store holds more than that.

use std::{collections::BTreeMap, sync::Arc};

use slotkeeper_core::{
    beacon::Event,
    caps::{Booking, Calendar, Cap, CapScope, Claim, ClaimState, Window},
    id::{BreakId, OpportunityId, SessionKey, ViewerKey},
};

use super::{
    AuditError, Books, Law,
    logged::LoggedRow,
    plans::{CapsOfPlan, Plans},
};

/// A showing, or a claim that may yet become one.
struct Shown {
    slot: OpportunityId,
    booking: Booking,
    /// The order in which they were decided.
    decided: (u64, BreakId, u8),
    break_id: BreakId,
    session: Option<SessionKey>,
    /// When its ad began to play.
    at_ms: u64,
    /// When the store may have forgotten it.
    forgotten_at_ms: u64,
    /// What it was decided under.
    caps: Option<Arc<CapsOfPlan>>,
}

pub(super) fn check(books: &Books, plans: &mut Plans<'_>) -> Result<Law, AuditError> {
    let mut law = Law::new(2, "caps never breach");
    let mut viewers: BTreeMap<ViewerKey, Vec<Shown>> = BTreeMap::new();
    let (mut showings, mut without_plan) = (0usize, 0usize);
    for row in books.logged.rows() {
        let (Some(claim), Some(start)) = (row.claim(), books.logged.seen(row, Event::Start)) else { continue };
        let caps = row.row.plan_version.map(|version| plans.caps(version)).transpose()?.flatten();
        showings += 1;
        without_plan += usize::from(caps.is_none());
        viewers.entry(row.row.viewer).or_default().push(shown(row, claim, start.at_ms, caps));
    }
    for (viewer, shown) in &mut viewers {
        shown.sort_by_key(|one| one.decided);
        for (index, last) in shown.iter().enumerate() {
            for (cap, flight_starts_ms) in caps_of(last) {
                let most = most_in_a_window(&shown[..index], last, cap, flight_starts_ms);
                if most > cap.limit as usize {
                    let message = format!("viewer {viewer} was shown {most} in one window; {}", in_words(cap, last));
                    law.finds("showings_past_a_cap", last.slot, message);
                }
            }
        }
    }
    let claims = in_stores(books, plans, &mut law)?;
    law.checked =
        format!("{showings} showings to {} viewers, {claims} claims in {} stores", viewers.len(), books.stores.len());
    law.note(without_plan, "showings were decided from a plan that is not kept (any more); only later caps count them");
    Ok(law)
}

fn shown(row: &LoggedRow, claim: &Claim, at_ms: u64, caps: Option<Arc<CapsOfPlan>>) -> Shown {
    // A claim that is confirmed counts from its start on, and for as long.
    let counts_until = claim.counts_until.0.saturating_add(at_ms.saturating_sub(claim.at.0));
    Shown {
        slot: row.row.opportunity_id,
        booking: claim.booking,
        decided: (row.row.decided_at.0, row.row.break_id, row.row.slot_index),
        break_id: row.row.break_id,
        session: claim.session,
        at_ms,
        forgotten_at_ms: counts_until.max(claim.lease_until.0),
        caps,
    }
}

fn caps_of(shown: &Shown) -> impl Iterator<Item = (&Cap, u64)> {
    let flight = shown.caps.as_ref().and_then(|plan| plan.get(&shown.booking.flight_id));
    let creative = shown.booking.creative_id;
    flight.into_iter().flat_map(move |flight| flight.caps_of(creative).map(|cap| (cap, flight.starts_at_ms)))
}

/// The most that any window of `cap` with `last` in it holds, `last` included: of what was decided before it, and was
/// still known when it was decided (a cap that is booked later does not bring back what was forgotten).
fn most_in_a_window(before: &[Shown], last: &Shown, cap: &Cap, flight_starts_ms: u64) -> usize {
    let counted: Vec<&Shown> = before
        .iter()
        .filter(|one| is_same(cap.scope, &one.booking, &last.booking) && one.forgotten_at_ms > last.decided.0)
        .collect();
    let within = |from: u64, until: u64| counted.iter().filter(|one| from <= one.at_ms && one.at_ms < until).count();
    1 + match cap.window {
        Window::Break => counted.iter().filter(|one| one.break_id == last.break_id).count(),
        Window::Session => counted.iter().filter(|one| one.session == last.session).count(),
        Window::Lifetime => within(flight_starts_ms, u64::MAX),
        Window::Rolling { ms } => {
            // A window that holds the most can be moved until it begins with one of them.
            let begins = counted.iter().map(|one| one.at_ms).chain([last.at_ms]);
            let holding = begins.filter(|from| *from <= last.at_ms && last.at_ms < from.saturating_add(ms));
            holding.map(|from| within(from, from.saturating_add(ms))).max().unwrap_or(0)
        }
        Window::Calendar(calendar) => {
            let windows = windows(&calendar);
            let holding = windows.iter().filter(|(from, until)| *from <= last.at_ms && last.at_ms < *until);
            holding.map(|(from, until)| within(*from, *until)).max().unwrap_or(0)
        }
    }
}

/// From when until when each window of a calendar is the current one; the last has no end that the plan knows.
fn windows(calendar: &Calendar) -> Vec<(u64, u64)> {
    let mut turns: Vec<(u64, u64)> = calendar.turns.iter().map(|turn| (turn.from.0, turn.began_at.0)).collect();
    turns.dedup();
    let ends = turns.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
    turns.iter().zip(ends).map(|((_, began_at), end)| (*began_at, end)).collect()
}

fn is_same(scope: CapScope, one: &Booking, other: &Booking) -> bool {
    match scope {
        CapScope::Creative => one.creative_id == other.creative_id,
        CapScope::Flight => one.flight_id == other.flight_id,
        CapScope::Campaign => one.campaign_id == other.campaign_id,
        CapScope::Advertiser => one.advertiser_id == other.advertiser_id,
    }
}

/// Of the claims of each viewer in each store: those that count now, against the caps of the last of them.
fn in_stores(books: &Books, plans: &mut Plans<'_>, law: &mut Law) -> Result<usize, AuditError> {
    let rows: BTreeMap<OpportunityId, &LoggedRow> = books
        .logged
        .rows()
        .chain(books.stores.iter().flat_map(|store| store.outbox.rows()))
        .filter(|row| row.claim().is_some())
        .map(|row| (row.row.opportunity_id, row))
        .collect();
    let now = books.now.0;
    let mut count = 0;
    for store in &books.stores {
        for (viewer, claims) in &store.viewers {
            count += claims.len();
            let mut known: Vec<(&Claim, &LoggedRow)> =
                claims.iter().filter_map(|claim| Some((claim, *rows.get(&claim.opportunity_id)?))).collect();
            known.sort_by_key(|(_, row)| (row.row.decided_at, row.row.break_id, row.row.slot_index));
            for (index, (last, row)) in known.iter().enumerate() {
                let caps = row.row.plan_version.map(|version| plans.caps(version)).transpose()?.flatten();
                let last_shown = shown(row, last, last.at.0, caps);
                for (cap, flight_starts_ms) in caps_of(&last_shown) {
                    let counts = |claim: &Claim, row: &LoggedRow| {
                        is_same(cap.scope, &claim.booking, &last.booking)
                            && counts_now(claim, row, cap, &last_shown, flight_starts_ms, now)
                    };
                    let live = known[..=index].iter().filter(|(claim, row)| counts(claim, row)).count();
                    if live > cap.limit as usize {
                        let message = format!(
                            "{}: viewer {viewer} holds {live} live claims; {}",
                            store.name,
                            in_words(cap, &last_shown)
                        );
                        law.finds("claims_past_a_cap", last.opportunity_id, message);
                    }
                }
            }
        }
    }
    Ok(count)
}

fn counts_now(claim: &Claim, row: &LoggedRow, cap: &Cap, last: &Shown, flight_starts_ms: u64, now: u64) -> bool {
    let may_play = claim.state == ClaimState::Reserved && claim.lease_until.0 > now;
    let is_shown = claim.state == ClaimState::Confirmed;
    match cap.window {
        Window::Break => (may_play || is_shown) && row.row.break_id == last.break_id,
        Window::Session => (may_play || is_shown) && claim.session == last.session,
        Window::Rolling { ms } => may_play || (is_shown && claim.at.0.saturating_add(ms) > now),
        Window::Lifetime => may_play || (is_shown && claim.at.0 >= flight_starts_ms),
        Window::Calendar(calendar) => {
            let current = windows(&calendar).into_iter().rfind(|(from, until)| *from <= now && now < *until);
            may_play || (is_shown && current.is_some_and(|(from, _)| claim.at.0 >= from))
        }
    }
}

fn in_words(cap: &Cap, last: &Shown) -> String {
    let cap = serde_json::to_string(cap).unwrap_or_default();
    format!("flight {} allows {cap}", last.booking.flight_id)
}
