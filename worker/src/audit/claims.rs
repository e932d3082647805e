//! Law 4: no claim without a row, no fill without a claim; and a claim is what its row's beacons made of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use slotkeeper_core::{
    beacon::Event,
    caps::{CLOCKS_APART_MS_MAX, Claim, ClaimState},
    fact::Recording,
    id::{BreakId, OpportunityId, ViewerKey},
};

use super::{AuditError, Books, Law, logged::LoggedRow, plans::Plans, revenue::TOKEN_GRACE_MS, store::StoreBook};

pub(super) fn check(books: &Books, plans: &mut Plans<'_>) -> Result<Law, AuditError> {
    let mut law = Law::new(4, "no claim without a row, no fill without a claim");
    let fills = fills(books, plans, &mut law)?;
    let claims: usize = books.stores.iter().map(|store| claims_have_rows(books, store, &mut law)).sum();
    let expected = rows_have_claims(books, &mut law);
    law.checked = format!(
        "{fills} capped fills; {claims} claims and {expected} claims that should be there, in {} stores",
        books.stores.len()
    );
    if books.stores.is_empty() {
        law.notes.push("no edge store was given (--edge-store)".into());
    }
    Ok(law)
}

/// Every fill of a flight with caps carries a claim that is its own.
fn fills(books: &Books, plans: &mut Plans<'_>, law: &mut Law) -> Result<usize, AuditError> {
    let mut count = 0;
    for row in books.logged.rows() {
        let (Some(fill), Some(version)) = (row.row.fill(), row.row.plan_version) else { continue };
        let Some(plan) = plans.caps(version)? else { continue };
        let booking = &fill.booking;
        let flight = plan.get(&booking.flight_id);
        let is_capped = flight.is_some_and(|flight| flight.caps_of(booking.creative_id).next().is_some());
        count += usize::from(is_capped);
        match &fill.claim {
            None if is_capped => {
                law.finds(
                    "fill_without_claim",
                    row.row.opportunity_id,
                    format!("flight {} has caps", fill.booking.flight_id),
                );
            }
            Some(_) if row.recording == Recording::Uncommitted => {
                law.finds("claim_without_commit", row.row.opportunity_id, "an uncommitted row carries a claim");
            }
            Some(claim) if claim.opportunity_id != row.row.opportunity_id || claim.booking != fill.booking => {
                law.finds("claim_of_another", row.row.opportunity_id, "the row carries the claim of another fill");
            }
            _ => {}
        }
    }
    Ok(count)
}

/// Every claim in the store has its row: logged, or in that store's outbox.
fn claims_have_rows(books: &Books, store: &StoreBook, law: &mut Law) -> usize {
    let mut rows: HashMap<OpportunityId, Vec<&LoggedRow>> = HashMap::new();
    // A row that is refused was a row all the same to the edge that took its claim.
    let refused = books.logged.refused_rows.iter().chain(&store.outbox.refused_rows);
    let all = books.logged.rows().chain(store.outbox.rows()).chain(refused);
    for row in all.filter(|row| row.recording == Recording::Committed) {
        rows.entry(row.row.opportunity_id).or_default().push(row);
    }
    let mut count = 0;
    for (viewer, claims) in &store.viewers {
        let mut slots = BTreeSet::new();
        for claim in claims {
            count += 1;
            if !slots.insert(claim.opportunity_id) {
                let message = format!("{}: viewer {viewer} holds two claims of this slot", store.name);
                law.finds("claim_doubled", claim.opportunity_id, message);
            }
            let of_slot = rows.get(&claim.opportunity_id).map(Vec::as_slice).unwrap_or_default();
            if !of_slot.iter().any(|row| row.row.viewer == *viewer && is_of(claim, row)) {
                let what =
                    if of_slot.is_empty() { "has no row" } else { "is not the one that its row was committed with" };
                let message = format!("{}: a claim of viewer {viewer} {what}", store.name);
                law.finds("claim_without_row", claim.opportunity_id, message);
            }
        }
    }
    for viewer in &store.unreadable {
        law.finds(
            "claims_unreadable",
            viewer,
            format!("{}: what is stored of this viewer is not a list of claims", store.name),
        );
    }
    count
}

/// Whether `claim` is what may have become of the claim that `row` was committed with.
fn is_of(claim: &Claim, row: &LoggedRow) -> bool {
    let Some(taken) = row.claim() else { return false };
    let is_same =
        claim.booking == taken.booking && claim.session == taken.session && claim.lease_until == taken.lease_until;
    is_same
        && match claim.state {
            ClaimState::Reserved => claim.at == taken.at && claim.counts_until == taken.counts_until,
            ClaimState::Confirmed => claim.at >= taken.at && claim.at <= taken.lease_until.plus_ms(TOKEN_GRACE_MS),
        }
}

/// Every claim that was committed and should still be there is there, as its beacons left it.
fn rows_have_claims(books: &Books, law: &mut Law) -> usize {
    let mut homes: BTreeMap<BreakId, &StoreBook> = BTreeMap::new();
    let mut held: HashMap<(ViewerKey, OpportunityId), &Claim> = HashMap::new();
    for store in &books.stores {
        homes.extend(store.breaks.iter().map(|break_id| (*break_id, store)));
        let claims = store.viewers.iter().flat_map(|(viewer, claims)| claims.iter().map(move |claim| (viewer, claim)));
        held.extend(claims.map(|(viewer, claim)| ((*viewer, claim.opportunity_id), claim)));
    }
    // The edges whose stores these are: those that sent rows of breaks that are remembered here.
    let edges: BTreeSet<&str> = books
        .logged
        .rows()
        .filter(|row| homes.contains_key(&row.row.break_id))
        .map(|row| row.edge_id.as_str())
        .collect();
    let (now, mut count) = (books.now, 0);
    for row in books.logged.rows().filter(|row| row.seq <= books.before_stores_seq) {
        let Some(taken) = row.claim().filter(|_| row.recording == Recording::Committed) else { continue };
        if books.forgotten.contains(&row.row.break_id) {
            continue; // the edges forget the claims too
        }
        let home = homes.get(&row.row.break_id);
        if home.is_none() && !edges.contains(row.edge_id.as_str()) {
            continue; // of an edge whose store was not given
        }
        let slot = row.row.opportunity_id;
        let start = books.logged.seen(row, Event::Start);
        let release = books.logged.is_released(row);
        let reported_before = |seen: &super::logged::Seen| seen.seq <= books.before_stores_seq;
        let name = home.map_or("no store given", |store| store.name.as_str());
        count += 1;
        match (start.filter(reported_before), held.get(&(row.row.viewer, slot))) {
            (Some(start), Some(claim)) if claim.state == ClaimState::Confirmed && claim.at.0 == start.at_ms => {}
            (Some(start), Some(claim)) => {
                let message = format!(
                    "{name}: it began to play at {}, and its claim is {:?} at {}",
                    start.at_ms, claim.state, claim.at.0
                );
                law.finds("start_not_confirmed", slot, message);
            }
            (Some(start), None) => {
                let later = start.at_ms.saturating_sub(taken.at.0);
                let until = taken.counts_until.plus_ms(later).max(taken.lease_until);
                if until > now {
                    law.finds(
                        "claim_lost",
                        slot,
                        format!("{name}: its ad began to play, and its claim is gone before {}", until.0),
                    );
                }
            }
            (None, Some(claim)) => {
                let is_released = start.is_none() && release.as_ref().is_some_and(reported_before);
                if is_released && claim.state == ClaimState::Reserved {
                    law.finds(
                        "release_not_settled",
                        slot,
                        format!("{name}: its ad will not play, and its claim is still reserved"),
                    );
                }
            }
            (None, None) => {
                let is_settled = start.is_some() || release.is_some();
                // By the clock of an edge that runs ahead, its lease may be over already.
                if taken.lease_until > now.plus_ms(CLOCKS_APART_MS_MAX) && !is_settled {
                    let message = "its claim is gone while its ad may still play (or its release has not come home)";
                    law.finds("claim_lost", slot, format!("{name}: {message}"));
                }
            }
        }
    }
    count
}
