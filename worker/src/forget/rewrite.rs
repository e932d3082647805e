//! What becomes of each fact of a viewer.

use std::collections::{BTreeMap, HashSet};

use slotkeeper_core::{
    api::{BreakRequest, SlotRequest},
    auction::{Auction, Offer},
    caps::CapState,
    consent::Permissions,
    contract::{PodPosition, Presentation},
    decision::Decision,
    fact::{Fact, FactBatch},
    id::{DecisionId, RecordId, SessionKey, ViewerKey},
    pod::Outcome,
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

    /// The new name of each session.
    pub(super) fn sessions(&self) -> &BTreeMap<SessionKey, SessionKey> {
        &self.sessions
    }

    /// Whom the rows are of from now on.
    pub(super) fn viewer(&self) -> ViewerKey {
        self.viewer
    }
}

/// An entry's bytes without the viewer. Tells `renamed` the hash of each row's content before and now.
pub(super) fn without(
    found: &Found,
    names: &NewNames,
    bytes: &[u8],
    mut renamed: impl FnMut(DecisionId, DecisionId),
) -> Vec<u8> {
    let Ok(mut batch) = serde_json::from_slice::<FactBatch>(bytes) else {
        // Of a build that this one cannot read: the names at least go.
        let mut text = String::from_utf8_lossy(bytes).replace(&found.viewer.to_string(), &names.viewer.to_string());
        for (before, now) in &names.sessions {
            text = text.replace(&before.to_string(), &now.to_string());
        }
        return text.into_bytes();
    };
    batch.facts.retain_mut(|fact| {
        let before = hash_of(fact);
        let kept = keeps(found, names, fact);
        if let (Some(before), Some(now)) = (before, hash_of(fact))
            && before != now
        {
            renamed(before, now);
        }
        kept
    });
    serde_json::to_vec(&batch).unwrap_or_else(|_| unreachable!("a batch has string keys only"))
}

/// The hash of a row's content, of the shape of an id.
fn hash_of(fact: &Fact) -> Option<DecisionId> {
    match fact {
        Fact::Opportunity { recording, row } => Some(DecisionId(row.content_hash(*recording))),
        _ => None,
    }
}

/// Takes the viewer out of a fact; whether anything of it stays.
fn keeps(found: &Found, names: &NewNames, fact: &mut Fact) -> bool {
    match fact {
        Fact::Opportunity { row, .. } if row.viewer == found.viewer => {
            row.viewer = names.viewer;
            if let Outcome::Filled(fill) = &mut row.outcome
                && let Some(claim) = &mut fill.claim
            {
                // A new name rather than none: a cap within a session counts what has the same.
                claim.session = claim.session.and_then(|session| names.sessions.get(&session).copied());
            }
            true
        }
        Fact::Decision(decision) if decision.viewer == found.viewer => {
            match what_was_sold(decision, names.viewer, &found.sold) {
                Some(left) => **decision = left,
                None => return false,
            }
            true
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

/// Of a decision nothing but the terms of the ads among `sold` that an auction offered: without them, what they earned could not be
/// recognised. No row names it.
pub(super) fn what_was_sold(of: &Decision, viewer: ViewerKey, sold: &HashSet<RecordId>) -> Option<Decision> {
    let offers = of.auction.offers().iter().filter(|offer| sold.contains(&offer.record.record_id()));
    let offers: Vec<Offer> = offers.map(only_terms).collect();
    (!offers.is_empty()).then(|| Decision {
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
    })
}

fn only_terms(offer: &Offer) -> Offer {
    Offer {
        slot_index: 0,
        position: PodPosition::default(),
        record: offer.record.clone(),
        name: String::new(),
        media: vec![],
        presentation: Presentation::default(),
    }
}
