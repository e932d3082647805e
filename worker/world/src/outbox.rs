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
}

impl Outbox {
    /// Sends facts through an edge, so that they arrive at `at`.
    pub(crate) fn send(&mut self, edge: u8, at: UnixMillis, facts: &Facts) {
        // An emptied minute's memory is not used again: one of days from now would hold it for the few late facts it gets.
        let minute = self.due.entry(at.0 / MINUTE_MS).or_default();
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
            let Some((due, arrived)) = self.due.pop_first() else { break };
            let mut begin = 0;
            for parcel in &arrived.parcels {
                self.deliver(due, parcel, &arrived.json[begin..parcel.end], append)?;
                begin = parcel.end;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_fact_holds_no_memory_of_a_busy_minute() {
        let mut outbox = Outbox::default();
        let facts = |bytes: usize| Facts { json: vec![b' '; bytes], count: 1 };
        for minute in 0..200 {
            outbox.send(0, wire::minute_at(minute), &facts(100_000));
            outbox.arrive(minute, &mut |_, _| Ok::<_, ()>(())).unwrap_or_default();
            outbox.send(0, wire::minute_at(10_000 + minute), &facts(100)); // days late
        }
        let held: usize = outbox.due.values().map(|minute| minute.json.capacity()).sum();
        assert!(held <= 200 * 100 * 2, "{held} bytes for 20000");
    }
}
