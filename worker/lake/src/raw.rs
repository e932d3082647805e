//! From batches of facts to rows by the hour. Pure.

use std::collections::BTreeMap;

use slotkeeper_core::{
    decision::Decision,
    fact::{BeaconFact, Fact, FactBatch, Recording},
    id::{DecisionId, RecordId, SessionKey},
    pod::{InvalidTraffic, Opportunity, Outcome, UnfilledReason},
    time::UnixMillis,
};

use crate::{
    columns::Rows,
    hour::{HOUR_MS, Hour},
    tables::{RAW_BEACONS, RAW_DECISIONS, RAW_OPPORTUNITIES, Table},
};

/// The tables of facts as they came.
pub const RAW: [&Table; 3] = [&RAW_OPPORTUNITIES, &RAW_BEACONS, &RAW_DECISIONS];

/// What comes later than this after the end of its hour is late. Nothing is done with it that is not done with others.
const LATE_AFTER_MS: u64 = HOUR_MS;

/// One entry of the log: a batch as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When it came.
    pub received_at: UnixMillis,
    /// The JSON of a [`FactBatch`].
    pub bytes: Vec<u8>,
}

/// What some entries of the log hold.
#[derive(Default)]
pub(crate) struct Sorted {
    pub(crate) hours: BTreeMap<Hour, HourRows>,
    /// Ads as auctions sold them, as canonical JSON.
    pub(crate) auctions: BTreeMap<RecordId, String>,
    pub(crate) losses: BTreeMap<SessionKey, u32>,
    pub(crate) counts: Counts,
    /// The places of entries that could not be read.
    pub(crate) unreadable: Vec<u64>,
}

/// The rows of one hour.
pub(crate) struct HourRows {
    /// In the order of [`RAW`].
    pub(crate) tables: [Rows; 3],
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) late: u64,
}

/// What became of the facts: each is one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) opportunities: u64,
    pub(crate) beacons: u64,
    pub(crate) decisions: u64,
    pub(crate) losses: u64,
    pub(crate) refused: u64,
    pub(crate) unreadable_batches: u64,
}

impl Sorted {
    /// Of these entries, in their order.
    pub(crate) fn of(entries: &[LogEntry]) -> Self {
        let mut sorted = Self::default();
        for entry in entries {
            sorted.add(entry);
        }
        sorted
    }

    /// With what is in the entries behind.
    pub(crate) fn append(&mut self, behind: Self) {
        for (hour, rows) in behind.hours {
            let own = self.hours.entry(hour).or_insert_with(|| HourRows::new(rows.first_seq));
            own.tables.iter_mut().zip(&rows.tables).for_each(|(own, more)| own.append(more));
            own.last_seq = rows.last_seq;
            own.late += rows.late;
        }
        self.auctions.extend(behind.auctions);
        for (session, lost) in behind.losses {
            self.lost(session, lost);
        }
        self.unreadable.extend(behind.unreadable);
        let (own, more) = (&mut self.counts, behind.counts);
        own.received += more.received;
        own.opportunities += more.opportunities;
        own.beacons += more.beacons;
        own.decisions += more.decisions;
        own.losses += more.losses;
        own.refused += more.refused;
        own.unreadable_batches += more.unreadable_batches;
    }

    fn add(&mut self, entry: &LogEntry) {
        let Ok(batch) = serde_json::from_slice::<FactBatch>(&entry.bytes) else {
            // The collector let it pass, so an older or newer build wrote it. It stays in the log, and is noted; the others go on.
            self.counts.received += 1;
            self.counts.refused += 1;
            self.counts.unreadable_batches += 1;
            self.unreadable.push(entry.seq);
            return;
        };
        let mut decided: BTreeMap<DecisionId, Context> = BTreeMap::new();
        for fact in batch.facts {
            self.counts.received += 1;
            match fact {
                Fact::Opportunity { recording, row } if row.is_sound() => {
                    let Some(rows) = self.rows_at(row.opportunity_id.opened_at(), entry) else { continue };
                    let context = decided.get(&row.decision_id);
                    write_opportunity(&mut rows.tables[0], &batch.edge_id, recording, &row, context);
                    self.counts.opportunities += 1;
                }
                Fact::Beacon(beacon) if beacon.is_within_bounds() => {
                    let Some(rows) = self.rows_at(beacon.opportunity_id.opened_at(), entry) else { continue };
                    write_beacon(&mut rows.tables[1], &beacon);
                    self.counts.beacons += 1;
                }
                Fact::Decision(decision) if decision.is_within_bounds() => {
                    let Some(rows) = self.rows_at(decision.opened_at, entry) else { continue };
                    let id = write_decision(&mut rows.tables[2], &decision);
                    self.counts.decisions += 1;
                    for offer in decision.auction.offers() {
                        self.auctions.insert(offer.record.record_id(), offer.record.canonical_json());
                    }
                    decided.insert(id, Context::of(*decision));
                }
                Fact::ClientLoss(loss) if loss.is_within_bounds() => {
                    self.lost(loss.session, loss.lost);
                    self.counts.losses += 1;
                }
                _ => self.counts.refused += 1,
            }
        }
    }

    /// The rows of the hour of `at`. Past the end of time nothing is taken: it is refused here.
    fn rows_at(&mut self, at: UnixMillis, entry: &LogEntry) -> Option<&mut HourRows> {
        let Some(hour) = Hour::of(at) else {
            self.counts.refused += 1;
            return None;
        };
        let rows = self.hours.entry(hour).or_insert_with(|| HourRows::new(entry.seq));
        rows.last_seq = entry.seq;
        rows.late += u64::from(entry.received_at >= hour.end().plus_ms(LATE_AFTER_MS));
        Some(rows)
    }

    fn lost(&mut self, session: SessionKey, lost: u32) {
        let most = self.losses.entry(session).or_default();
        *most = lost.max(*most);
    }
}

impl HourRows {
    fn new(first_seq: u64) -> Self {
        Self { tables: RAW.map(Rows::new), first_seq, last_seq: first_seq, late: 0 }
    }
}

/// What a decision says of its rows that they do not.
struct Context {
    session: Option<SessionKey>,
    tier: Option<String>,
    country: Option<String>,
    region: Option<String>,
    device: Option<String>,
}

impl Context {
    fn of(decision: Decision) -> Self {
        let asked = decision.asked;
        Self {
            session: decision.session,
            tier: asked.tier,
            country: asked.country,
            region: asked.region,
            device: asked.device,
        }
    }
}

fn write_opportunity(
    rows: &mut Rows,
    edge_id: &str,
    recording: Recording,
    row: &Opportunity,
    context: Option<&Context>,
) {
    let fill = row.fill();
    let booking = fill.map(|fill| fill.booking);
    let (outcome, unfilled_reason) = match row.outcome {
        Outcome::Filled(_) => ("filled", None),
        Outcome::Unfilled { unfilled_reason } => ("unfilled", Some(UnfilledReason::as_str(unfilled_reason))),
    };
    let hash = DecisionId(row.content_hash(recording)).to_string(); // as hexadecimal digits
    rows.row()
        .text(&row.opportunity_id.to_string())
        .text(&row.break_id.to_string())
        .int(row.slot_index)
        .text(recording.as_str())
        .text(&hash)
        .text(edge_id)
        .text(&row.viewer.to_string())
        .text_or_null(context.and_then(|context| Some(context.session?.to_string())).as_deref())
        .text(&row.title_id)
        .text(row.position.as_str())
        .text_or_null(context.and_then(|context| context.tier.as_deref()))
        .text_or_null(context.and_then(|context| context.country.as_deref()))
        .text_or_null(context.and_then(|context| context.region.as_deref()))
        .text_or_null(context.and_then(|context| context.device.as_deref()))
        .int(row.max_duration_ms)
        .int(row.decided_at.0)
        .int_or_null(row.plan_version)
        .text(&row.decision_id.to_string())
        .text(row.search.as_str())
        .text_or_null(row.invalid_traffic.map(InvalidTraffic::as_str))
        .int(row.candidates)
        .text(&serde_json::to_string(&row.eliminated).unwrap_or_else(|_| unreachable!("counts by name")))
        .text(outcome)
        .text_or_null(fill.map(|fill| fill.fill_reason.as_str()))
        .text_or_null(unfilled_reason)
        .int_or_null(fill.map(|fill| fill.ad_id.0))
        .text_or_null(fill.map(|fill| fill.record_id.to_string()).as_deref())
        .int_or_null(booking.map(|booking| booking.advertiser_id.0))
        .int_or_null(booking.map(|booking| booking.campaign_id.0))
        .int_or_null(booking.map(|booking| booking.flight_id.0))
        .int_or_null(booking.map(|booking| booking.creative_id.0))
        .int_or_null(fill.map(|fill| fill.duration_ms))
        .int_or_null(fill.map(|fill| fill.expires_at.0))
        .int_or_null(fill.and_then(|fill| Some(fill.claim?.counts_until.0)));
}

fn write_beacon(rows: &mut Rows, beacon: &BeaconFact) {
    rows.row()
        .text(&beacon.opportunity_id.to_string())
        .int(beacon.ad_id.0)
        .text(&beacon.record_id.to_string())
        .text(beacon.event.as_str())
        .int(beacon.at.0)
        .int(beacon.received_at.0.min(UnixMillis::TAKEN_MAX.0))
        .text_or_null(beacon.session.map(|session| session.to_string()).as_deref())
        .text_or_null(beacon.invalid_traffic.map(InvalidTraffic::as_str))
        .int_or_null(beacon.error_code)
        .int_or_null(beacon.idle_s);
}

fn write_decision(rows: &mut Rows, decision: &Decision) -> DecisionId {
    let content = serde_json::to_string(decision).unwrap_or_else(|_| unreachable!("string keys only"));
    let mut id = DecisionId::default();
    id.0.copy_from_slice(&blake3::hash(content.as_bytes()).as_bytes()[..16]); // what `Decision::id` does
    rows.row().text(&id.to_string()).text(&decision.break_id.to_string()).int(decision.opened_at.0).text(&content);
    id
}
