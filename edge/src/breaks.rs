//! `POST /v1/breaks`: the one path that must not go wrong.
//!
//! ```text
//! parse ─▶ view ─▶ decide ─▶ commit ─▶ answer            the store is well: two round trips
//!            ▲                  │ lost a race: again, a bounded number of times
//!            └──────────────────┘
//!          view or commit fails, twice or for too long:
//!          decide without caps ─▶ rows straight to the collector ─▶ answer
//!                                    │ that fails too, or time is up
//!                                    └▶ rows sealed into the answer: the player posts them with its beacons
//! ```
//!
//! No pod is answered whose rows are not durable somewhere or in the answer itself, and no capped ad is in a pod whose
//! claims are not committed. All of it takes no longer than `answer_deadline_ms`, whatever store and origin do.

use std::{cell::OnceCell, future::Future, pin::pin, rc::Rc};

use serde::{Deserialize, Serialize};
use slotkeeper_core::{
    api::{BreakRequest, BreakResponse, InvalidField},
    auction::Auction,
    caps::{CapState, Viewer},
    consent::{Identity, Permissions},
    contract::Rating,
    decide::{Occasion, decide},
    fact::{Fact, FactBatch, Recording},
    id::{BreakId, SessionKey, ViewerKey, opened_at},
    keys::KnownBy,
    plan::Plan,
    pod::{InvalidTraffic, Pod},
    receipt,
    time::UnixMillis,
};

use crate::{
    Client, Platform, Reply, Settings,
    answer::answer,
    auction::{left, openrtb::Left},
    platform::within,
    store::{ATTEMPTS_MAX, Commit, Committed, NewState, Store, StoreError, until_not_lost},
};

/// A break request with what the edge adds to it. Serialisable, because a platform may decide elsewhere than it listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// As sent; validated.
    pub request: BreakRequest,
    /// Who watches, as a pseudonym.
    pub viewer: ViewerKey,
    /// The viewing session, as a pseudonym, if one was named.
    pub session: Option<SessionKey>,
    /// What the viewer allows.
    #[serde(default)]
    pub permissions: Permissions,
    /// If the request is not a viewer's.
    #[serde(default)]
    pub invalid_traffic: Option<InvalidTraffic>,
    /// The break's identity.
    pub break_id: BreakId,
    /// When the break opened.
    pub opened_at: UnixMillis,
    /// When the request came.
    pub now: UnixMillis,
    /// Where players reach this edge, which is what the links of its answer begin with.
    #[serde(default)]
    pub base: String,
}

impl Asked {
    /// Reads and checks a request's body.
    pub fn parse(
        body: &[u8],
        client: Client,
        base: &str,
        settings: &Settings,
        now: UnixMillis,
    ) -> Result<Self, InvalidField> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let request: BreakRequest = serde_path_to_error::deserialize(&mut json).map_err(|fault| InvalidField {
            field: field_of(&fault.path().to_string(), &fault.inner().to_string()),
            message: fault.inner().to_string(),
        })?;
        json.end().map_err(|fault| InvalidField { field: "body".into(), message: fault.to_string() })?;
        Self::of(request, client, base, settings, now)
    }

    /// Checks a request, and works out as whom its viewer may be known. What they do not allow goes no further than here.
    pub fn of(
        mut request: BreakRequest,
        client: Client,
        base: &str,
        settings: &Settings,
        now: UnixMillis,
    ) -> Result<Self, InvalidField> {
        request.validate()?;
        request.privacy.gpc |= client.gpc;
        let permissions = Permissions::of(&request.privacy);
        if permissions.no_segments {
            request.segments.clear();
        }
        let (pseudonyms, known_by) = (&settings.pseudonyms, known_by(permissions.identity, &request));
        Ok(Self {
            viewer: pseudonyms.viewer_known_by(known_by),
            session: request.session_id.as_ref().map(|id| pseudonyms.session_known_by(known_by, id)),
            break_id: pseudonyms.break_known_by(known_by, &request.request_id),
            opened_at: opened_at(&request.request_id, now),
            now,
            permissions,
            invalid_traffic: client.invalid_traffic,
            base: base.into(),
            request,
        })
    }

    /// What its decision is about, with what an auction gave.
    pub fn occasion<'a>(&'a self, auction: &'a Auction) -> Occasion<'a> {
        Occasion {
            auction,
            request: &self.request,
            break_id: self.break_id,
            viewer: self.viewer,
            session: self.session,
            permissions: self.permissions,
            invalid_traffic: self.invalid_traffic,
            opened_at: self.opened_at,
            now: self.now,
        }
    }
}

/// By what a viewer may be known. Their caps are counted under its pseudonym, so a change of it begins them anew.
fn known_by(identity: Identity, request: &BreakRequest) -> KnownBy<'_> {
    match (identity, &request.session_id) {
        (Identity::Profile, _) => KnownBy::Profile(&request.profile_id),
        (Identity::Session, Some(session_id)) => KnownBy::Session(session_id),
        (Identity::Session, None) => KnownBy::Request(&request.request_id),
    }
}

/// The field that a fault of the JSON is about. serde names a missing one in its message only.
fn field_of(path: &str, message: &str) -> String {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (path, missing) {
        (".", Some(missing)) => missing.into(),
        ("." | "", None) => "body".into(), // a field without a name is nobody's
        (path, Some(missing)) => format!("{path}.{missing}"),
        (path, None) => path.into(),
    }
}

/// Answers a break request.
pub(crate) async fn open(platform: &impl Platform, client: Client, base: &str, body: &[u8]) -> Reply {
    let settings = platform.settings();
    let asked = match Asked::parse(body, client, base, settings, platform.now()) {
        Ok(asked) => asked,
        Err(fault) => return Reply::invalid(fault),
    };
    let answer = decided(platform, &asked).await;
    with_trips(Reply::json_bytes(200, answer), platform)
}

/// Says in a reply what it cost.
pub(crate) fn with_trips(reply: Reply, platform: &impl Platform) -> Reply {
    let trips: Vec<String> = platform.store_trips().iter().map(|(store, trips)| format!("{store}={trips}")).collect();
    reply.with_header("x-slotkeeper-store-trips", trips.join(" "))
}

/// The answer to a break, a [`BreakResponse`] in JSON: decided, and its rows durable somewhere or in the answer itself.
pub(crate) async fn decided(platform: &impl Platform, asked: &Asked) -> Vec<u8> {
    let settings = platform.settings();
    let mut budget = pin!(platform.wait_ms(settings.decision_deadline_ms));
    let decided = within(budget.as_mut(), platform.decide_at_store(asked)).await;
    match decided {
        Some(Ok(answer)) => answer,
        failed => {
            // Measured by timers alone: the clock may be set while we decide.
            let time_is_up = async {
                if failed.is_some() {
                    budget.await;
                }
                platform.wait_ms(settings.answer_deadline_ms.saturating_sub(settings.decision_deadline_ms)).await;
            };
            let response = decided_without_store(platform, asked, time_is_up).await;
            serde_json::to_vec(&response).unwrap_or_default() // string keys only: it always serialises
        }
    }
}

/// Decides where the viewer's state is, and commits. `plan` finds a plan by version, as [`Platform::plan`] does; `auction`
/// asks for offers for what is left, once at most.
pub async fn decide_at(
    store: &impl Store,
    plan: impl AsyncFn(Option<u64>) -> Option<Rc<[u8]>>,
    auction: impl AsyncFn(&[Left]) -> Auction,
    settings: &Settings,
    asked: &Asked,
) -> Result<Vec<u8>, StoreError> {
    let offered = OnceCell::new();
    // Past the limit the break is decided without claims, which can lose to nothing but this very break's own commit;
    // the one more view after that finds it.
    until_not_lost(ATTEMPTS_MAX + 2, async |number| {
        attempt_at(store, &plan, (&auction, &offered), settings, asked, number > ATTEMPTS_MAX).await
    })
    .await
}

/// The answer; `None` if the commit lost a race. What the auction gave is kept in `offered` for the next attempt.
async fn attempt_at(
    store: &impl Store,
    plan: impl AsyncFn(Option<u64>) -> Option<Rc<[u8]>>,
    (auction, offered): (impl AsyncFn(&[Left]) -> Auction, &OnceCell<Auction>),
    settings: &Settings,
    asked: &Asked,
    is_contended: bool,
) -> Result<Option<Vec<u8>>, StoreError> {
    let view = store.view(asked.viewer, asked.break_id).await?;
    if let Some(answer) = view.answered {
        return Ok(Some(answer));
    }
    let plan_bytes = plan(view.plan_version).await;
    let caps = match Viewer::decode(&view.state) {
        Ok(mut viewer) if !is_contended => {
            viewer.forget_ended(asked.now);
            CapState::Known(viewer)
        }
        _ => CapState::Unavailable, // contended or unreadable: when in doubt, do not fill
    };
    let plan = plan_bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok());
    let known = offered.get().unwrap_or(&Auction::NotAsked);
    let mut pod = decide(plan.as_ref(), &caps, &asked.occasion(known));
    // Not for an answer that could not be used, nor for who is no viewer: nobody is sold what we know to be invalid.
    let is_saleable = asked.invalid_traffic.is_none() && plan.is_some_and(|plan| may_be_auctioned(&plan, asked));
    let is_asked = settings.auction.is_some() && offered.get().is_none() && is_saleable;
    let left = if is_asked { left(asked, &pod) } else { Vec::new() };
    if !left.is_empty() {
        let answered = auction(&left).await;
        pod = decide(plan.as_ref(), &caps, &asked.occasion(offered.get_or_init(|| answered)));
    }
    let response = answer(&pod, plan.as_ref(), asked, &settings.keys);
    let commit = Commit {
        break_id: asked.break_id,
        viewer: asked.viewer,
        new_state: new_state(caps, view.state_version, &pod),
        answer: serde_json::to_vec(&response).unwrap_or_default(), // string keys only: it always serialises
        remember_until: remember_until(&pod, asked.now),
        facts: serde_json::to_string(&facts(pod, Recording::Committed)).unwrap_or_default(),
    };
    Ok(match store.commit(&commit).await? {
        Committed::Yes => Some(commit.answer),
        Committed::Lost => None,
    })
}

/// Whether an auction may fill slots of this break: in no title for children, nor in one that the plan does not know, since
/// nothing says what a bidder's ad suits.
fn may_be_auctioned(plan: &Plan<'_>, asked: &Asked) -> bool {
    let is_for_all = |rating| !matches!(rating, Rating::TvY | Rating::TvY7);
    plan.is_valid_at(asked.now) && plan.title_rating(&asked.request.title_id).is_some_and(is_for_all)
}

/// The store cannot be used: uncapped demand and honest empty slots, their rows straight to the collector or, if it cannot
/// take them in time, sealed into the answer. A post that took effect all the same is a duplicate to the origin.
async fn decided_without_store(
    platform: &impl Platform,
    asked: &Asked,
    time_is_up: impl Future<Output = ()>,
) -> BreakResponse {
    let settings = platform.settings();
    let mut time_is_up = pin!(time_is_up);
    let plan = within(platform.wait_ms(settings.store_deadline_ms), platform.plan(None));
    let found = within(time_is_up.as_mut(), plan).await;
    let has_time = found.is_some();
    let plan_bytes = found.flatten().flatten();
    let (pod, mut response) = decide_and_answer(plan_bytes.as_deref(), &CapState::Unavailable, settings, asked);
    let facts = facts(pod, Recording::Uncommitted);
    let batch = FactBatch { edge_id: settings.edge_id.clone(), facts };
    let text = serde_json::to_string(&batch).unwrap_or_default();
    let deadline_ms = settings.answer_deadline_ms.min(settings.origin_deadline_ms);
    let is_recorded = has_time
        && within(time_is_up, platform.post_facts(text, deadline_ms)).await.is_some_and(|posted| posted.is_ok());
    if !is_recorded {
        response.receipt = Some(receipt::seal(&batch.facts, &settings.keys, platform.now()));
    }
    response
}

fn decide_and_answer(plan: Option<&[u8]>, caps: &CapState, settings: &Settings, asked: &Asked) -> (Pod, BreakResponse) {
    let plan = plan.and_then(|bytes| Plan::open(bytes).ok());
    let pod = decide(plan.as_ref(), caps, &asked.occasion(&Auction::NotAsked));
    let response = answer(&pod, plan.as_ref(), asked, &settings.keys);
    (pod, response)
}

fn new_state(caps: CapState, from_version: u64, pod: &Pod) -> Option<NewState> {
    let CapState::Known(mut viewer) = caps else { return None };
    pod.claims().next()?;
    pod.claims().for_each(|claim| viewer.add(*claim));
    Some(NewState { from_version, state: viewer.encode(), keep_until: viewer.keep_until() })
}

/// An answer is remembered as long as its tokens live, and not less than ten minutes.
fn remember_until(pod: &Pod, now: UnixMillis) -> UnixMillis {
    let last = pod.slots.iter().filter_map(|slot| Some(slot.fill()?.expires_at)).max();
    last.unwrap_or_default().max(now.plus_ms(10 * 60 * 1000))
}

/// What a break tells the origin: what it was decided from, then its rows.
pub fn facts(pod: Pod, recording: Recording) -> Vec<Fact> {
    let rows = pod.slots.into_iter().map(|row| Fact::Opportunity { recording, row });
    core::iter::once(Fact::Decision(Box::new(pod.decision))).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::consent::Privacy;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn asked(session_id: Option<&str>, privacy: &Privacy, client: Client) -> Asked {
        let value = |name| match name {
            "keys" => Some(format!("1:{}", "07".repeat(32))),
            "pseudonym_key" => Some("9e".repeat(32)),
            "origin_url" => Some("http://origin".to_owned()),
            "edge_id" => Some("e".to_owned()),
            _ => None,
        };
        let request = serde_json::json!({
            "request_id": "r", "profile_id": "ann", "session_id": session_id, "title_id": "film", "position": "preroll",
            "slots": [{ "max_duration_ms": 30_000 }], "segments": ["gardeners"], "privacy": privacy,
        });
        Asked::parse(request.to_string().as_bytes(), client, "", &Settings::read(value).unwrap(), NOW).unwrap()
    }

    #[test]
    fn a_viewer_is_known_by_what_they_allow() {
        let (open, gpc) = (Privacy::default(), Privacy { gpc: true, ..Privacy::default() });
        let (nobody, by_header) = (Client::default(), Client { gpc: true, ..Client::default() });
        let profile = asked(Some("evening"), &open, nobody);
        assert_eq!(asked(Some("night"), &open, nobody).viewer, profile.viewer, "from session to session");
        assert_eq!(profile.request.segments, ["gardeners"]);

        let session = asked(Some("evening"), &gpc, nobody);
        let headers = asked(Some("evening"), &open, by_header);
        let [other_session, no_session] = [Some("night"), None].map(|session| asked(session, &gpc, nobody));
        assert_eq!(
            (session.viewer, session.break_id),
            (headers.viewer, headers.break_id),
            "the header is the signal too"
        );
        let again = asked(Some("evening"), &gpc, nobody);
        assert_eq!((session.viewer, session.break_id), (again.viewer, again.break_id), "a retry finds its break");
        for (one, other) in [(&session, &profile), (&session, &other_session), (&session, &no_session)] {
            assert_ne!(one.viewer, other.viewer);
            assert_ne!(one.break_id, other.break_id);
            assert_ne!(one.session, other.session);
        }
        for asked in [session, headers, other_session, no_session] {
            assert_eq!(asked.break_id.0[..2], asked.viewer.0[..2], "a break leads to its viewer's shard");
            assert_eq!(asked.permissions, Permissions::LEAST);
            assert!(asked.request.segments.is_empty(), "what is not allowed goes no further");
        }
    }
}
