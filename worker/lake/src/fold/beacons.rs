//! The beacons of a pass, ordered by what they speak of.

use slotkeeper_core::{
    beacon::Event,
    id::{AdId, OpportunityId, RecordId, SessionKey},
    impression::Impression,
    time::UnixMillis,
};

use super::{Pass, Raw, for_each_group, parsed};
use crate::{error::LakeError, tables::RAW_BEACONS};

/// What a beacon tells of. Two of the same key are one event, delivered twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) id: OpportunityId,
    pub(super) ad_id: AdId,
    pub(super) record_id: RecordId,
    pub(super) event: Event,
    pub(super) session: Option<SessionKey>,
    pub(super) is_valid: bool,
}

/// An event with all that its deliveries say.
#[derive(Clone, Copy)]
pub(super) struct Beacon {
    pub(super) key: Key,
    pub(super) at_ms: u64,
    pub(super) received_at_ms: u64,
    pub(super) deliveries: u64,
    pub(super) error_code: Option<u16>,
    pub(super) idle_s: Option<u32>,
}

/// All events of a pass, each once, in the order of their keys.
pub(super) struct Beacons(pub(super) Vec<Beacon>);

impl Beacons {
    pub(super) fn read(raw: &dyn Raw, pass: Pass) -> Result<Self, LakeError> {
        let place =
            |name: &str| RAW_BEACONS.column(name).unwrap_or_else(|| unreachable!("raw_beacons has a column {name}"));
        let [id, ad_id, record_id, event, at, received_at, session, invalid, error_code, idle_s] = [
            "opportunity_id",
            "ad_id",
            "record_id",
            "event",
            "at",
            "received_at",
            "session",
            "invalid_traffic",
            "error_code",
            "idle_s",
        ]
        .map(place);
        let mut beacons = Vec::new();
        for_each_group(raw, &RAW_BEACONS, |name, rows| {
            for row in 0..rows.len() {
                let slot = parsed(&rows, "opportunity_id", id, row, name)?;
                if !pass.takes(slot) {
                    continue;
                }
                let damaged = |column| LakeError::Damaged { name: name.into(), row, column };
                let int = |place: usize| rows.columns()[place].int(row);
                let number = |place: usize, column| {
                    int(place).and_then(|at| u64::try_from(at).ok()).ok_or_else(|| damaged(column))
                };
                let session = if rows.columns()[session].is_present(row) {
                    Some(parsed(&rows, "session", session, row, name)?)
                } else {
                    None
                };
                let key = Key {
                    id: slot,
                    ad_id: AdId(u32::try_from(number(ad_id, "ad_id")?).map_err(|_| damaged("ad_id"))?),
                    record_id: parsed(&rows, "record_id", record_id, row, name)?,
                    event: parsed(&rows, "event", event, row, name)?,
                    session,
                    is_valid: !rows.columns()[invalid].is_present(row),
                };
                beacons.push(Beacon {
                    key,
                    at_ms: number(at, "at")?,
                    received_at_ms: number(received_at, "received_at")?,
                    deliveries: 1,
                    error_code: int(error_code).and_then(|code| u16::try_from(code).ok()),
                    idle_s: int(idle_s).and_then(|idle| u32::try_from(idle).ok()),
                });
            }
            Ok(())
        })?;
        beacons.sort_unstable_by_key(|beacon| beacon.key);
        beacons.dedup_by(|next, first| {
            let is_same = next.key == first.key;
            if is_same {
                first.join(next);
            }
            is_same
        });
        Ok(Self(beacons))
    }

    /// What was reported of a slot.
    pub(super) fn of(&self, id: OpportunityId) -> &[Beacon] {
        let begin = self.0.partition_point(|beacon| beacon.key.id < id);
        let len = self.0[begin..].partition_point(|beacon| beacon.key.id == id);
        &self.0[begin..begin + len]
    }

    /// Whether a slot's ad began to play.
    pub(super) fn began(&self, id: OpportunityId, token: (AdId, RecordId)) -> bool {
        self.of(id).iter().any(|beacon| beacon.proves(token) && beacon.key.event == Event::Start)
    }
}

/// What viewers' players prove of a slot's ad.
pub(super) fn state(beacons: &[Beacon], token: (AdId, RecordId)) -> Impression {
    beacons
        .iter()
        .filter(|beacon| beacon.proves(token))
        .map(|beacon| Impression::of(beacon.key.event, UnixMillis(beacon.at_ms)).told(beacon.idle_s, beacon.error_code))
        .fold(Impression::default(), Impression::join)
}

impl Beacon {
    /// Whether it is a viewer's, and of this ad as sold.
    pub(super) fn proves(&self, token: (AdId, RecordId)) -> bool {
        self.key.is_valid && (self.key.ad_id, self.key.record_id) == token
    }

    fn join(&mut self, other: &Self) {
        self.at_ms = self.at_ms.min(other.at_ms);
        self.received_at_ms = self.received_at_ms.min(other.received_at_ms);
        self.deliveries += other.deliveries;
        self.error_code = self.error_code.into_iter().chain(other.error_code).min();
        self.idle_s = self.idle_s.max(other.idle_s);
    }
}
