//! The best pod: depth-first branch and bound.
//!
//! Places that take the same ads are one *group*, so that no two orders of the same ads are both looked at. In a group,
//! ads are tried from the one with the greatest *gain* on: its value less the price of its time. The price is what makes
//! the bound lowest (the Lagrangian dual of the one limit on time; without such a limit it is 0). No pod that completes a
//! partial one is worth more than
//!
//! ```text
//! price × time of the break + gains so far + Σ over groups: as many of the greatest positive gains as it has places left,
//!                                                             no two of one kind
//! ```
//!
//! where a *kind* is a category, an advertiser, or a creative that is not there twice. Values are exact, so the pod found
//! is the best there is; unless more than [`LOOKS_MAX`] candidates had to be looked at. Then it is the best found by then,
//! and at least as good as the greedy's, which takes the best ad for each slot in turn.

use alloc::{vec, vec::Vec};

use super::{
    field::{Contender, Field, Numbers},
    shape::{Place, Shape},
};
use crate::pod::Search;

/// How many candidates one decision looks at, to try them or to bound what they might be worth.
pub const LOOKS_MAX: u32 = 60_000;
/// How often the price of time is bettered, at most. Any price gives a bound; it is mostly found in five.
const PRICES_MAX: usize = 12;
/// The highest price of a millisecond: times that of 16 ads of ten minutes, it stays within 125 bits. Any price is a bound.
const PRICE_MAX: i128 = 1 << 100;

/// What a pod is worth in its break's lottery: milliseconds times merit, of guaranteed demand and of promotions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worth {
    /// Of guaranteed demand.
    pub guaranteed: u64,
    /// Of promotions, which decide only where guaranteed demand is equal.
    pub house: u64,
}

impl Worth {
    fn of(value: i128) -> Self {
        let half = |bits: i128| u64::try_from(bits & i128::from(u64::MAX)).unwrap_or_default();
        Self { guaranteed: half(value >> 64), house: half(value) }
    }
}

/// How a pod was found, and what that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// How many partial pods were looked at.
    pub nodes: u32,
    /// How many candidates were looked at; not more than about [`LOOKS_MAX`].
    pub looks: u32,
    /// What taking the best for each slot in turn gives.
    pub greedy: Worth,
    /// What was found.
    pub found: Worth,
    /// Whether that is the best there is.
    pub search: Search,
}

/// A pod: contenders by their place in the field, each with its group, and how it was found.
pub(super) struct Found {
    pub(super) chosen: Vec<(usize, usize)>,
    pub(super) groups: Vec<Vec<usize>>,
    pub(super) effort: Effort,
}

/// Places that take the same ads.
struct Group {
    /// In playing order.
    places: Vec<usize>,
    /// From the greatest gain to the least.
    entrants: Vec<Entrant>,
}

#[derive(Clone, Copy)]
struct Entrant {
    value: i128,
    gain: i128,
    duration_ms: u32,
    kind: u32,
    who: u32,
}

/// Where the search stands.
#[derive(Clone, Copy)]
struct Standing {
    group: usize,
    /// How many places of the group are still open.
    open: usize,
    /// The first entrant of the group that may take one of them.
    from: usize,
    /// What the groups behind this one can gain at most.
    behind: i128,
    value: i128,
    gain: i128,
    left_ms: u32,
}

struct Tree<'s, 'f> {
    field: &'s Field<'f>,
    groups: &'s [Group],
    is_dynamic: bool,
    /// The price of all the time there is.
    floor: i128,
    chosen: Vec<(usize, Entrant)>,
    best: Vec<(usize, Entrant)>,
    best_value: i128,
    /// By kind: whether the pod holds one, and the last bounding that met one.
    held: Vec<bool>,
    met: Vec<u32>,
    boundings: u32,
    nodes: u32,
    looks: u32,
}

/// The best pod of the field.
pub(super) fn best(field: &Field<'_>, shape: &Shape<'_>) -> Found {
    let (mut groups, kinds) = groups(field, shape);
    let most_ms = shape.places.iter().fold(0u32, |sum, place| sum.saturating_add(place.max_ms));
    let time_ms = shape.time_ms.min(most_ms);
    let price = if time_ms < most_ms { price(&groups, kinds, time_ms) } else { 0 };
    for group in &mut groups {
        for entrant in &mut group.entrants {
            entrant.gain = entrant.value - price * i128::from(entrant.duration_ms);
        }
        group.entrants.sort_unstable_by(|one, other| other.gain.cmp(&one.gain).then(one.who.cmp(&other.who)));
    }
    let mut tree = Tree {
        field,
        groups: &groups,
        is_dynamic: shape.pod.is_some(),
        floor: price * i128::from(time_ms),
        chosen: Vec::with_capacity(shape.places.len()),
        best: Vec::new(),
        best_value: 0,
        held: vec![false; kinds],
        met: vec![0; kinds],
        boundings: 0,
        nodes: 0,
        looks: 0,
    };
    tree.take_the_best_for_each(time_ms);
    tree.keep();
    let greedy = Worth::of(tree.best_value);
    tree.forget();
    let root = tree.root(time_ms);
    let is_whole = tree.descend(root);
    if !is_whole {
        // What was found last may have left something out that fits beside what came after.
        for (group, entrant) in tree.best.clone() {
            tree.place(group, entrant);
        }
        tree.take_the_best_for_each(time_ms);
        tree.keep();
    }
    let effort = Effort {
        nodes: tree.nodes,
        looks: tree.looks,
        greedy,
        found: Worth::of(tree.best_value),
        search: if is_whole { Search::Exact } else { Search::Greedy },
    };
    let chosen = tree.best.iter().map(|(group, entrant)| (*group, entrant.who as usize)).collect();
    Found { chosen, groups: groups.into_iter().map(|group| group.places).collect(), effort }
}

/// The groups, with their entrants in no order yet; and how many kinds there are.
fn groups(field: &Field<'_>, shape: &Shape<'_>) -> (Vec<Group>, usize) {
    let mut groups: Vec<(&Place<'_>, Group)> = Vec::new();
    for (at, place) in shape.places.iter().enumerate() {
        let is_same = |other: &Place<'_>| if field.has_positions { *other == *place } else { other.is_like(place) };
        match groups.iter_mut().find(|(other, _)| !field.has_bound && is_same(other)) {
            Some((_, group)) => group.places.push(at),
            None => groups.push((place, Group { places: vec![at], entrants: Vec::with_capacity(field.flights.len()) })),
        }
    }
    let mut kinds = Numbers::of_at_most(field.contenders.len());
    for who in field.runners() {
        let kind = u32::try_from(kinds.number(field.contenders[who].kind())).unwrap_or(u32::MAX);
        let contender = &field.contenders[who];
        let Contender { value, duration_ms, placement, position, .. } = *contender;
        let who = u32::try_from(who).unwrap_or(u32::MAX);
        for (place, group) in &mut groups {
            let may_stand = group.places.iter().any(|at| contender.may_stand_at(*at));
            if may_stand && place.is_for(placement, position) && place.takes(duration_ms, shape.time_ms) {
                group.entrants.push(Entrant { value, gain: value, duration_ms, kind, who });
            }
        }
    }
    (groups.into_iter().map(|(_, group)| group).collect(), kinds.count)
}

/// The price of a millisecond at which the bound is lowest, or nearly so: where the lines of a pod that takes too long and
/// of one that does not cross, until no other pod lies above the crossing (Kelley's cutting planes, in one dimension).
fn price(groups: &[Group], kinds: usize, time_ms: u32) -> i128 {
    let mut met = vec![0u32; kinds];
    let mut round = 0;
    let mut at_price = |price: i128| {
        let mut sums = (0i128, 0i128);
        for group in groups {
            round += 1;
            let (value, ms) = dearest(group, price, &mut met, round);
            sums = (sums.0 + value, sums.1 + ms);
        }
        sums
    };
    let time_ms = i128::from(time_ms);
    let mut too_long = at_price(0);
    let (mut price, mut fits) = (0, (0, 0));
    if too_long.1 <= time_ms {
        return 0;
    }
    for _ in 0..PRICES_MAX {
        price = ((too_long.0 - fits.0) / (too_long.1 - fits.1).max(1)).min(PRICE_MAX);
        let (value, ms) = at_price(price);
        if ms > time_ms {
            if (value, ms) == too_long {
                break;
            }
            too_long = (value, ms);
        } else {
            if (value, ms) == fits {
                break;
            }
            fits = (value, ms);
        }
    }
    price
}

/// Value and duration of a group's greatest gains at a price, as many as it has places, no two of one kind.
fn dearest(group: &Group, price: i128, met: &mut [u32], round: u32) -> (i128, i128) {
    let count = group.places.len();
    let mut top: Vec<(i128, &Entrant)> = Vec::with_capacity(count + 1);
    for entrant in &group.entrants {
        let gain = entrant.value - price * i128::from(entrant.duration_ms);
        if gain <= 0 || (top.len() == count && top.last().is_some_and(|(least, _)| *least >= gain)) {
            continue;
        }
        let met = &mut met[entrant.kind as usize];
        if *met == round {
            // One of its kind was met: it stands there, or has been pushed out since.
            if let Some(at) = top.iter().position(|(_, other)| other.kind == entrant.kind) {
                if top[at].0 >= gain {
                    continue;
                }
                top.remove(at);
            }
        }
        *met = round;
        let at = top.partition_point(|(other, _)| *other >= gain);
        top.insert(at, (gain, entrant));
        top.truncate(count);
    }
    top.iter().fold((0, 0), |(value, ms), (_, entrant)| (value + entrant.value, ms + i128::from(entrant.duration_ms)))
}

impl Tree<'_, '_> {
    fn root(&mut self, left_ms: u32) -> Standing {
        let open = self.groups.first().map_or(0, |group| group.places.len());
        Standing { group: 0, open, from: 0, behind: self.gain_behind(0, left_ms), value: 0, gain: 0, left_ms }
    }

    /// Looks at every completion of what is chosen that may be better than the best. Whether it got to the end.
    fn descend(&mut self, at: Standing) -> bool {
        self.nodes += 1;
        if at.value > self.best_value {
            (self.best_value, self.best) = (at.value, self.chosen.clone());
        }
        let Some(group) = self.groups.get(at.group) else { return true };
        if at.open > 0 {
            let (others, all) = self.greatest_gains(at.group, at.from, at.open, at.left_ms);
            let settled = self.floor + at.gain + at.behind;
            if settled + all <= self.best_value {
                return true;
            }
            for from in at.from..group.entrants.len() {
                let entrant = group.entrants[from];
                if settled + entrant.gain + others <= self.best_value {
                    break; // neither can any after it
                }
                self.looks += 1;
                if self.looks > LOOKS_MAX {
                    return false;
                }
                if !self.fits(&entrant, at.left_ms) {
                    continue;
                }
                self.place(at.group, entrant);
                let is_whole = self.descend(Standing {
                    open: at.open - 1,
                    from: from + 1,
                    value: at.value + entrant.value,
                    gain: at.gain + entrant.gain,
                    left_ms: at.left_ms - entrant.duration_ms,
                    ..at
                });
                self.take_back();
                if !is_whole {
                    return false;
                }
            }
        }
        let next = at.group + 1;
        let Some(group) = self.groups.get(next) else { return true };
        let open = group.places.len();
        let behind = self.gain_behind(next, at.left_ms);
        self.descend(Standing { group: next, open, from: 0, behind, ..at })
    }

    /// Whether an entrant may join what is chosen.
    fn fits(&self, entrant: &Entrant, left_ms: u32) -> bool {
        if entrant.duration_ms > left_ms || self.held[entrant.kind as usize] {
            return false;
        }
        let contender = &self.field.contenders[entrant.who as usize];
        let others = self.chosen.iter().map(|(_, other)| &self.field.contenders[other.who as usize]);
        let clashes =
            |other: &Contender<'_>| contender.clashes(other) || (self.is_dynamic && contender.wants_place_of(other));
        !others.clone().any(clashes) && self.field.keeps_caps(contender, others).is_ok()
    }

    /// The greatest gains from an entrant on that may still be had: of one less than `count`, and of `count`.
    fn greatest_gains(&mut self, group: usize, from: usize, count: usize, left_ms: u32) -> (i128, i128) {
        self.boundings += 1;
        let (mut sum, mut taken) = (0, 0);
        for entrant in &self.groups[group].entrants[from..] {
            if entrant.gain <= 0 {
                break;
            }
            self.looks += 1;
            let kind = entrant.kind as usize;
            if entrant.duration_ms > left_ms || self.held[kind] || self.met[kind] == self.boundings {
                continue;
            }
            self.met[kind] = self.boundings;
            taken += 1;
            if taken == count {
                return (sum, sum + entrant.gain);
            }
            sum += entrant.gain;
        }
        (sum, sum)
    }

    fn gain_behind(&mut self, group: usize, left_ms: u32) -> i128 {
        let behind = group + 1..self.groups.len();
        behind.map(|group| self.greatest_gains(group, 0, self.groups[group].places.len(), left_ms).1).sum()
    }

    fn place(&mut self, group: usize, entrant: Entrant) {
        self.held[entrant.kind as usize] = true;
        self.chosen.push((group, entrant));
    }

    fn take_back(&mut self) {
        if let Some((_, entrant)) = self.chosen.pop() {
            self.held[entrant.kind as usize] = false;
        }
    }

    fn forget(&mut self) {
        while !self.chosen.is_empty() {
            self.take_back();
        }
    }

    /// Gives each open place in turn the most valuable ad that fits beside what is there.
    fn take_the_best_for_each(&mut self, time_ms: u32) {
        let used = |chosen: &[(usize, Entrant)]| chosen.iter().map(|(_, entrant)| entrant.duration_ms).sum::<u32>();
        let mut left_ms = time_ms.saturating_sub(used(&self.chosen));
        let mut turns: Vec<(usize, usize)> = Vec::new();
        for (number, group) in self.groups.iter().enumerate() {
            let taken = self.chosen.iter().filter(|(of, _)| *of == number).count();
            turns.extend(group.places.iter().skip(taken).map(|place| (*place, number)));
        }
        turns.sort_unstable();
        for (_, group) in turns {
            let mut dearest: Option<Entrant> = None;
            for entrant in &self.groups[group].entrants {
                if dearest.is_none_or(|other| entrant.value > other.value) && self.fits(entrant, left_ms) {
                    dearest = Some(*entrant);
                }
            }
            if let Some(entrant) = dearest {
                left_ms -= entrant.duration_ms;
                self.place(group, entrant);
            }
        }
    }

    /// Remembers what is chosen if it is better than the best.
    fn keep(&mut self) {
        let value = self.chosen.iter().map(|(_, entrant)| entrant.value).sum();
        if value > self.best_value {
            (self.best_value, self.best) = (value, self.chosen.clone());
        }
    }
}
