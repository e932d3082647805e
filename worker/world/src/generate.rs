//! Letting a world happen, minute by minute.

mod happening;

use slotkeeper_core::time::UnixMillis;

use crate::{
    ads::{Ads, Sold, UnsoldAd},
    audience::Audience,
    breaks::Decider,
    dice::Dice,
    outbox::Outbox,
    params::{MINUTE_MS, Params},
    script::Script,
    tide::Tide,
    truth::{HourTruth, Tally, Truth},
};
use happening::Happening;

/// Where a world is written to.
pub trait Sink {
    /// Why it cannot be.
    type Error: From<UnsoldAd>;

    /// An entry of the log: a batch of facts as an edge posts it, and when it came.
    fn entry(&mut self, at: UnixMillis, batch: Vec<u8>) -> Result<(), Self::Error>;

    /// The truth of an hour, in the order of hours.
    fn hour(&mut self, hour: &HourTruth) -> Result<(), Self::Error>;

    /// How many slots exist by now. Called every minute of the world.
    fn progress(&mut self, slots: u64) -> Result<(), Self::Error>;
}

/// Lets the world of `params` happen: writes its log, and gives the truth. `sold` is what the origin made of the script's
/// contracts.
pub fn generate<S: Sink>(params: &Params, script: &Script, sold: &Sold, sink: &mut S) -> Result<Truth, S::Error> {
    let ads = Ads::of(script, sold)?;
    let tide = Tide::of(params);
    let mut outbox = Outbox::default();
    let mut tally = Tally::of(params, script, &ads);
    let mut decider = Decider::of(script, params.decisions);
    let mut happening = Happening {
        params,
        ads: &ads,
        audience: Audience::of(params.viewers),
        plan_versions: &sold.plan_versions,
        dice: Dice::of(params.seed, 2),
        titles: happening::titles(params.titles),
        title_ids: (0..params.titles as usize).map(Script::title).collect(),
        secret: happening::secret(params.seed),
        breaks: 0,
        told: Vec::new(),
        facts: crate::wire::Facts::default(),
        sampling: happening::Sampling::default(),
    };
    let (mut slots, mut batches, mut bytes) = (0, 0, 0);
    let first = params.starts_at().0 / MINUTE_MS;
    let minutes = u64::from(params.days) * 24 * 60;
    for minute in 0..minutes {
        let at = crate::wire::minute_at(first + minute);
        // Flights begin and end by quarters of an hour at most.
        if minute.is_multiple_of(15) {
            decider.move_to(script, at);
        }
        let hour = usize::try_from(minute / 60).unwrap_or_default();
        let due = tide.slots_by(minute);
        while slots < due {
            slots += happening.one_break(
                &decider,
                tide.countries(hour),
                at,
                params.slots - slots,
                (&mut outbox, &mut tally),
            );
        }
        let mut append = |at, batch: Vec<u8>| {
            batches += 1;
            bytes += batch.len() as u64;
            sink.entry(at, batch)
        };
        outbox.arrive(first + minute, &mut append)?;
        if minute % 60 == 59 {
            sink.hour(&tally.end_hour())?;
        }
        sink.progress(slots)?;
    }
    outbox.end(&mut |at, batch: Vec<u8>| {
        batches += 1;
        bytes += batch.len() as u64;
        sink.entry(at, batch)
    })?;
    (tally.sent.batches, tally.sent.bytes) = (batches, bytes);
    Ok(Truth { sessions: happening.sampling.taken, ..tally.end(script, &ads) })
}
