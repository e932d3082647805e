//! Facts on their way: each arrives in the minute it is due, in a batch of its edge.

use std::collections::BTreeMap;

use slotkeeper_core::{
    fact::{BATCH_BYTES_MAX, BATCH_FACTS_MAX},
    time::UnixMillis,
};

use crate::{
    audience::EDGES,
    params::MINUTE_MS,
    wire::{self, Facts},
};

/// An edge waits no longer than this for a batch to fill, in minutes.
const WAITS_MINUTES: u64 = 60;

/// Some facts of one edge, that stay together.
struct Parcel {
    edge: u8,
    count: usize,
    end: usize,
}

#[derive(Default)]
struct Minute {
    json: Vec<u8>,
    parcels: Vec<Parcel>,
}

#[derive(Default)]
pub(crate) struct Outbox {
    due: BTreeMap<u64, Minute>,
    filling: [Facts; EDGES.len()],
    /// Emptied minutes, so that their memory is used again.
    spare: Vec<Minute>,
}

impl Outbox {
    /// Sends facts through an edge, so that they arrive at `at`.
    pub(crate) fn send(&mut self, edge: u8, at: UnixMillis, facts: &Facts) {
        let spare = &mut self.spare;
        let minute = self.due.entry(at.0 / MINUTE_MS).or_insert_with(|| spare.pop().unwrap_or_default());
        minute.json.extend_from_slice(&facts.json);
        minute.parcels.push(Parcel { edge, count: facts.count, end: minute.json.len() });
    }

    /// Lets all arrive that is due by the end of `minute`; nothing more will be due by then.
    pub(crate) fn arrive<E>(
        &mut self,
        minute: u64,
        append: &mut impl FnMut(UnixMillis, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.due.first_key_value().is_some_and(|(due, _)| *due <= minute) {
            let Some((due, mut arrived)) = self.due.pop_first() else { break };
            let mut begin = 0;
            for parcel in &arrived.parcels {
                self.deliver(due, parcel, &arrived.json[begin..parcel.end], append)?;
                begin = parcel.end;
            }
            arrived.json.clear();
            arrived.parcels.clear();
            if self.spare.len() < 4 {
                self.spare.push(arrived);
            }
            if (due + 1).is_multiple_of(WAITS_MINUTES) {
                self.flush(due, append)?;
            }
        }
        if (minute + 1).is_multiple_of(WAITS_MINUTES) { self.flush(minute, append) } else { Ok(()) }
    }

    /// Lets everything arrive that is on its way.
    pub(crate) fn end<E>(&mut self, append: &mut impl FnMut(UnixMillis, Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let Some(last) = self.due.last_key_value().map(|(due, _)| *due) else { return Ok(()) };
        self.arrive(last, append)?;
        self.flush(last, append)
    }

    fn deliver<E>(
        &mut self,
        due: u64,
        parcel: &Parcel,
        json: &[u8],
        append: &mut impl FnMut(UnixMillis, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let edge = usize::from(parcel.edge);
        let filling = &self.filling[edge];
        let bytes = filling.json.len() + json.len() + 128;
        if filling.count + parcel.count > BATCH_FACTS_MAX || bytes > BATCH_BYTES_MAX / 2 {
            self.flush_edge(edge, due, append)?;
        }
        let filling = &mut self.filling[edge];
        if filling.count > 0 {
            filling.json.push(b',');
        }
        filling.json.extend_from_slice(json);
        filling.count += parcel.count;
        Ok(())
    }

    fn flush<E>(&mut self, due: u64, append: &mut impl FnMut(UnixMillis, Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        (0..EDGES.len()).try_for_each(|edge| self.flush_edge(edge, due, append))
    }

    fn flush_edge<E>(
        &mut self,
        edge: usize,
        due: u64,
        append: &mut impl FnMut(UnixMillis, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let filling = &mut self.filling[edge];
        if filling.count == 0 {
            return Ok(());
        }
        let batch = wire::batch(EDGES[edge], &filling.json);
        filling.clear();
        append(wire::minute_at(due + 1), batch)
    }
}
