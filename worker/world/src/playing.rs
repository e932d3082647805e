//! What happens in an ad, as its player would tell.

use slotkeeper_core::beacon::Event;

use crate::{
    ads::Ad,
    dice::{Dice, In10000},
};

/// So many of the ads that fill a slot begin to play.
pub(crate) const BEGINS: In10000 = 9_650;
const QUARTILES: [Event; 5] =
    [Event::Start, Event::FirstQuartile, Event::Midpoint, Event::ThirdQuartile, Event::Complete];
const ERRORS: [u16; 5] = [303, 400, 402, 405, 900];

/// An event, and what is said beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) event: Event,
    /// How long after its slot began.
    pub(crate) after_ms: u64,
    pub(crate) idle_s: Option<u32>,
    pub(crate) error_code: Option<u16>,
}

/// Plays an ad. Writes what happens to `told`, in the order it happens.
pub(crate) fn play(dice: &mut Dice, ad: &Ad, told: &mut Vec<Told>) {
    told.clear();
    if !dice.chance(BEGINS) {
        match dice.below(10) {
            0..4 => tell(told, Event::NotUsed, 0),
            4..6 => fail(dice, told, 0),
            _ => {} // the player was closed: nobody says anything, and the fill expires
        }
        return;
    }
    let quarter = u64::from(ad.duration_ms / 4);
    let idle_s = dice.chance(400).then(|| u32::try_from(dice.between(600, 20_000)).unwrap_or_default());
    told.push(Told { event: Event::Start, after_ms: 0, idle_s, error_code: None });
    if dice.chance(3_500) {
        let event = match dice.below(100) {
            0..78 => Event::Viewable,
            78..92 => Event::NotViewable,
            _ => Event::ViewUndetermined,
        };
        tell(told, event, 2_000);
    }
    for (place, stays) in ad.stays.iter().enumerate() {
        let at = quarter * (place as u64 + 1);
        if !dice.chance(*stays) {
            match dice.below(10) {
                0..5 => tell(told, Event::Skip, at - quarter / 2),
                5 => fail(dice, told, at - quarter / 2),
                _ => {} // turned off
            }
            return;
        }
        if place == 1 && dice.chance(150) {
            tell(told, Event::Pause, at - quarter / 2);
            tell(told, Event::Resume, at - quarter / 3);
        }
        if place == 2 && dice.chance(40) {
            tell(told, Event::ClickThrough, at - quarter / 2);
        }
        tell(told, QUARTILES[place + 1], at);
    }
}

fn tell(told: &mut Vec<Told>, event: Event, after_ms: u64) {
    told.push(Told { event, after_ms, idle_s: None, error_code: None });
}

fn fail(dice: &mut Dice, told: &mut Vec<Told>, after_ms: u64) {
    let error_code = dice.chance(8_000).then(|| ERRORS[dice.place(ERRORS.len())]);
    told.push(Told { event: Event::Error, after_ms, idle_s: None, error_code });
}
