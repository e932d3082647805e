//! What becomes of each fact of a viewer.

use std::collections::BTreeMap;

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest},
    auction::{Auction, Offer},
    caps::CapState,
    consent::Permissions,
    contract::PodPosition,
    decision::Decision,
    fact::{Fact, FactBatch},
    id::{SessionKey, ViewerKey},
};

use super::Found;

/// The names that stand for the viewer's from now on: random, so nobody can make them again from what they stood for.
pub(super) struct NewNames {
    viewer: ViewerKey,
    sessions: BTreeMap<SessionKey, SessionKey>,
}

impl NewNames {
    pub(super) fn draw(found: &Found) -> Result<Self, getrandom::Error> {
        let mut viewer = [0; 16];
        getrandom::fill(&mut viewer)?;
        // Every id of a break and a slot tells the bucket anyway, and that a row's viewer agrees with its break's id stays true.
        viewer[..2].copy_from_slice(&found.viewer.0[..2]);
        let mut sessions = BTreeMap::new();
        for session in &found.sessions {
            let mut drawn = [0; 8];
            getrandom::fill(&mut drawn)?;
            sessions.insert(*session, SessionKey(drawn));
        }
        Ok(Self { viewer: ViewerKey(viewer), sessions })
    }

    /// Whom the rows are of from now on.
    pub(super) fn viewer(&self) -> ViewerKey {
        self.viewer
    }
}

/// An entry's bytes without the viewer.
pub(super) fn without(found: &Found, names: &NewNames, bytes: &[u8]) -> Vec<u8> {
    let Ok(mut batch) = serde_json::from_slice::<FactBatch>(bytes) else {
        // Of a build that this one cannot read: the name at least goes.
        return String::from_utf8_lossy(bytes)
            .replace(&found.viewer.to_string(), &names.viewer.to_string())
            .into_bytes();
    };
    batch.facts.retain_mut(|fact| keeps(found, names, fact));
    serde_json::to_vec(&batch).unwrap_or_else(|_| unreachable!("a batch has string keys only"))
}

/// Takes the viewer out of a fact; whether anything of it stays.
fn keeps(found: &Found, names: &NewNames, fact: &mut Fact) -> bool {
    match fact {
        Fact::Opportunity { row, .. } if row.viewer == found.viewer => {
            row.viewer = names.viewer;
            if let slotkeeper_core::pod::Outcome::Filled(fill) = &mut row.outcome
                && let Some(claim) = &mut fill.claim
            {
                // A new name rather than none: a cap within a session counts what has the same.
                claim.session = claim.session.and_then(|session| names.sessions.get(&session).copied());
            }
            true
        }
        Fact::Decision(decision) if decision.viewer == found.viewer => {
            let sold = sold_by_auction(found, decision);
            if !sold.is_empty() {
                **decision = only_what_was_sold(decision, names.viewer, sold);
                return true;
            }
            false
        }
        Fact::Beacon(beacon) if found.is_theirs(beacon.opportunity_id) => {
            beacon.session = None;
            true
        }
        Fact::ClientLoss(loss) => {
            if let Some(name) = names.sessions.get(&loss.session) {
                loss.session = *name;
            }
            true
        }
        _ => true,
    }
}

/// Of an auction's offers those that the viewer's rows hold: without their terms, what they earned could not be recognised.
fn sold_by_auction(found: &Found, decision: &Decision) -> Vec<Offer> {
    let sold = decision.auction.offers().iter().filter(|offer| found.sold.contains(&offer.record.record_id()));
    let terms = |offer: &Offer| Offer {
        slot_index: 0,
        position: PodPosition::default(),
        record: offer.record.clone(),
        name: String::new(),
        media: vec![],
        presentation: slotkeeper_core::contract::Presentation::default(),
    };
    sold.map(terms).collect()
}

/// A decision that says nothing but the terms of ads. No row names it.
fn only_what_was_sold(of: &Decision, viewer: ViewerKey, offers: Vec<Offer>) -> Decision {
    Decision {
        break_id: of.break_id,
        viewer,
        session: None,
        opened_at: of.opened_at,
        decided_at: of.decided_at,
        plan_version: None,
        asked: BreakRequest { slots: vec![SlotRequest::default()], ..BreakRequest::default() },
        permissions: Permissions::default(),
        invalid_traffic: None,
        auction: Auction::Answered { offers, refused: vec![] },
        caps: CapState::Unavailable,
    }
}
