//! What a pass writes: the rows that stand, the impressions that beacons prove of them, and every event.

use std::collections::BTreeMap;

use slotkeeper_core::{
    beacon::Event,
    id::{BreakId, OpportunityId},
    impression::{Impression, Quartile, Viewability, Worth},
    money::Currency,
};

use super::{
    KnownTerms, Outputs, Tally,
    beacons::{self, Beacon, Beacons},
    hourly::{Hourly, Slot},
    slots::{CONTEXT, SlotRow, Slots, place_of},
    totals::Totals,
};
use crate::{
    columns::RowWriter,
    error::LakeError,
    hour::Hour,
    tables::{EVENTS, IMPRESSIONS, OPPORTUNITIES, RAW_OPPORTUNITIES, Table},
};

/// Where a column of a derived table comes from.
#[derive(Clone, Copy)]
enum Source {
    /// The row's own column.
    Own(usize),
    /// The row that the edge of the least name sent.
    Edge(usize),
    /// The row that came with its decision.
    Context(usize),
    OpenedAt,
    /// What only the fold knows.
    Folded,
}

/// Where each of a table's columns comes from.
fn sources(table: &Table) -> Vec<Source> {
    let source = |name: &str| match RAW_OPPORTUNITIES.column(name) {
        _ if name == "opened_at" => Source::OpenedAt,
        Some(place) if name == "edge_id" => Source::Edge(place),
        Some(place) if CONTEXT.contains(&name) => Source::Context(place),
        Some(place) => Source::Own(place),
        None => Source::Folded,
    };
    table.columns.iter().map(|column| source(column.name)).collect()
}

/// What became of a fill.
struct Played {
    state: Impression,
    furthest: Option<Quartile>,
    worth: Worth,
}

#[expect(clippy::too_many_arguments, reason = "the hour's sums, which every pass adds to")]
pub(super) fn write_pass(
    hour: Hour,
    slots: &Slots,
    standing: &[&SlotRow],
    beacons: &Beacons,
    terms: &mut KnownTerms<'_>,
    outputs: &mut Outputs,
    hourly: &mut Hourly,
    totals: &mut Totals,
    tally: &mut Tally,
) -> Result<(), LakeError> {
    check_one_row_a_slot(hour, standing)?;
    let (of_slots, of_impressions) = (sources(&OPPORTUNITIES), sources(&IMPRESSIONS));
    let invalid = const { place_of("invalid_traffic") };
    for row in standing {
        check_filled_xor_unfilled(hour, slots, row)?;
        let is_valid = slots.text(row.place, invalid).is_none();
        let (played, currency) = match row.token {
            Some(token) => {
                let record = terms.get(token.1)?;
                let state = beacons::state(beacons.of(row.id), token);
                let worth = Worth::of(&state, record, is_valid);
                (Some(Played { furthest: state.furthest(), state, worth }), record.map(|record| record.cpm.currency))
            }
            None => (None, None),
        };
        write_slot(&mut outputs.opportunities, &of_slots, slots, row, played.as_ref())?;
        if let Some((played, furthest)) = played.as_ref().and_then(|played| Some((played, played.furthest?))) {
            check_quartiles(hour, row.id, played)?;
            write_impression(&mut outputs.impressions, &of_impressions, slots, row, played, furthest)?;
        }
        let slot = slot_of(slots, row, played.as_ref(), currency);
        hourly.add(hour, &slot)?;
        totals.add(hour, row.id, &slot)?;
    }
    write_events(slots, standing, beacons, outputs, tally)
}

/// What a fill has come to: `None` while it may yet be anything.
fn settled(state: &Impression) -> Option<&'static str> {
    match state.at(Event::Start) {
        Some(_) => Some("impressed"),
        None if state.at(Event::Error).is_some() || state.at(Event::NotUsed).is_some() => Some("released"),
        None => None,
    }
}

fn slot_of<'a>(slots: &'a Slots, row: &SlotRow, played: Option<&Played>, currency: Option<Currency>) -> Slot<'a> {
    let text = |place| slots.text(row.place, place);
    let context = |place| slots.text(row.context, place);
    let int = |place| slots.int(row.place, place);
    let impression = played.filter(|played| played.furthest.is_some());
    Slot {
        title_id: text(const { place_of("title_id") }).unwrap_or_default(),
        position: text(const { place_of("position") }).unwrap_or_default(),
        country: context(const { place_of("country") }),
        device: context(const { place_of("device") }),
        is_filled: row.token.is_some(),
        fill_reason: text(const { place_of("fill_reason") }),
        unfilled_reason: text(const { place_of("unfilled_reason") }),
        advertiser_id: int(const { place_of("advertiser_id") }),
        campaign_id: int(const { place_of("campaign_id") }),
        flight_id: int(const { place_of("flight_id") }),
        creative_id: int(const { place_of("creative_id") }),
        sold_in: currency,
        currency: impression.and_then(|played| played.worth.currency),
        invalid_traffic: text(const { place_of("invalid_traffic") }),
        max_duration_ms: int(const { place_of("max_duration_ms") }).unwrap_or_default(),
        furthest: impression.and_then(|played| played.furthest),
        is_released: played.is_some_and(|played| settled(&played.state) == Some("released")),
        is_skipped: impression.is_some_and(|played| played.state.at(Event::Skip).is_some()),
        has_failed: impression.is_some_and(|played| played.state.at(Event::Error).is_some()),
        is_delivered: impression.is_some_and(|played| played.worth.threshold_passed),
        revenue_micros: impression.map_or(0, |played| played.worth.recognized_revenue_micros),
    }
}

/// Copies what the row's columns say, as long as they come from there; the rest is the caller's.
fn write_known(row: &mut RowWriter<'_>, sources: &[Source], slots: &Slots, of: &SlotRow) {
    for source in sources {
        let ((group, index), column) = match *source {
            Source::Own(column) => (of.place, column),
            Source::Edge(column) => (of.edge, column),
            Source::Context(column) => (of.context, column),
            Source::OpenedAt => {
                row.int(of.id.opened_at().0);
                continue;
            }
            Source::Folded => return,
        };
        row.copy(&slots.groups[group].columns()[column], index);
    }
}

fn write_slot(
    file: &mut crate::file::FileWriter,
    sources: &[Source],
    slots: &Slots,
    of: &SlotRow,
    played: Option<&Played>,
) -> Result<(), LakeError> {
    let mut row = file.row().map_err(LakeError::file(OPPORTUNITIES.name))?;
    write_known(&mut row, sources, slots, of);
    row.text_or_null(played.and_then(|played| settled(&played.state)));
    Ok(())
}

fn write_impression(
    file: &mut crate::file::FileWriter,
    sources: &[Source],
    slots: &Slots,
    of: &SlotRow,
    played: &Played,
    furthest: Quartile,
) -> Result<(), LakeError> {
    let Played { state, worth, .. } = played;
    let at = |event| state.at(event).map(|at| at.0);
    let mut row = file.row().map_err(LakeError::file(IMPRESSIONS.name))?;
    write_known(&mut row, sources, slots, of);
    row.int_or_null(at(Event::Start))
        .int_or_null(at(Event::FirstQuartile))
        .int_or_null(at(Event::Midpoint))
        .int_or_null(at(Event::ThirdQuartile))
        .int_or_null(at(Event::Complete))
        .int_or_null(at(Event::Skip))
        .int_or_null(at(Event::Error))
        .int_or_null(state.error_code())
        .int_or_null(at(Event::ClickThrough))
        .text_or_null(state.viewability().map(Viewability::as_str))
        .int_or_null(state.idle_s())
        .text(furthest.as_str())
        .bool(worth.threshold_passed)
        .int(worth.recognized_revenue_micros)
        .text_or_null(worth.currency.as_ref().map(Currency::as_str))
        .text_or_null(slots.text(of.place, const { place_of("invalid_traffic") }));
    Ok(())
}

/// Every event, by slot, then by when it happened.
fn write_events(
    slots: &Slots,
    standing: &[&SlotRow],
    beacons: &Beacons,
    outputs: &mut Outputs,
    tally: &mut Tally,
) -> Result<(), LakeError> {
    let breaks: BTreeMap<OpportunityId, BreakId> = slots.rows.iter().map(|row| (row.id, row.break_id)).collect();
    for of_slot in beacons.0.chunk_by(|a, b| a.key.id == b.key.id) {
        let id = of_slot[0].key.id;
        let found = standing.binary_search_by_key(&id, |row| row.id);
        let token = found.ok().and_then(|index| standing[index].token);
        let break_id = breaks.get(&id).map(BreakId::to_string);
        let id_text = id.to_string();
        let mut events: Vec<&Beacon> = of_slot.iter().collect();
        events.sort_unstable_by_key(|event| (event.at_ms, event.key.event, event.key.session, event.key));
        for event in events {
            tally.unique += 1;
            tally.duplicate += event.deliveries - 1;
            let mut row = outputs.events.row().map_err(LakeError::file(EVENTS.name))?;
            row.text(&id_text)
                .int(id.opened_at().0)
                .text_or_null(break_id.as_deref())
                .text_or_null(event.key.session.map(|session| session.to_string()).as_deref())
                .int(event.key.ad_id.0)
                .text(&event.key.record_id.to_string())
                .text(event.key.event.as_str())
                .int(event.at_ms)
                .int(event.received_at_ms)
                .int(event.deliveries)
                .bool(token.is_some_and(|token| event.proves(token)))
                .text_or_null((!event.key.is_valid).then_some("crawler"))
                .int_or_null(event.error_code)
                .int_or_null(event.idle_s);
        }
    }
    Ok(())
}

fn law(hour: Hour, table: &'static Table, row: OpportunityId, what: &str) -> LakeError {
    LakeError::Law { hour, table: table.name, row: row.to_string(), what: what.into() }
}

/// They are in the order of their ids, which tell break and slot.
fn check_one_row_a_slot(hour: Hour, standing: &[&SlotRow]) -> Result<(), LakeError> {
    match standing.windows(2).find(|pair| pair[0].id == pair[1].id) {
        Some(pair) => Err(law(hour, &OPPORTUNITIES, pair[0].id, "two rows of one slot")),
        None => Ok(()),
    }
}

/// What a fill has and an empty slot has not.
const OF_FILL: [usize; 9] = [
    place_of("fill_reason"),
    place_of("ad_id"),
    place_of("record_id"),
    place_of("advertiser_id"),
    place_of("campaign_id"),
    place_of("flight_id"),
    place_of("creative_id"),
    place_of("duration_ms"),
    place_of("expires_at"),
];

fn check_filled_xor_unfilled(hour: Hour, slots: &Slots, row: &SlotRow) -> Result<(), LakeError> {
    let has = |place: usize| {
        let (group, index) = row.place;
        slots.groups[group].columns()[place].is_present(index)
    };
    let is_whole = match slots.text(row.place, const { place_of("outcome") }) {
        Some("filled") => OF_FILL.into_iter().all(has) && !has(const { place_of("unfilled_reason") }),
        Some("unfilled") => {
            !OF_FILL.into_iter().any(has)
                && !has(const { place_of("claim_counts_until") })
                && has(const { place_of("unfilled_reason") })
        }
        _ => false,
    };
    if is_whole {
        Ok(())
    } else {
        Err(law(hour, &OPPORTUNITIES, row.id, "filled_xor_unfilled: it is neither, or both"))
    }
}

fn check_quartiles(hour: Hour, id: OpportunityId, played: &Played) -> Result<(), LakeError> {
    let reached = Quartile::ALL.iter().filter(|quartile| played.furthest >= Some(**quartile));
    let has_gap = reached.into_iter().any(|quartile| played.state.at(quartile.event()).is_none());
    let earns_unpassed = played.worth.recognized_revenue_micros != 0 && !played.worth.threshold_passed;
    if has_gap || earns_unpassed {
        return Err(law(
            hour,
            &IMPRESSIONS,
            id,
            "a quartile without those before it, or revenue without a threshold passed",
        ));
    }
    Ok(())
}
