//! Who competes in a break: the ads of the flights that may run in it, what each is worth in this break's lottery, and
//! what bars it whatever the pod comes to hold.

use alloc::{vec, vec::Vec};
use core::ops::Range;

use super::{Occasion, Witness, eligible::Eligibility, lottery, shape::Shape};
use zerocopy::FromZeros as _;

use crate::{
    auction::Offer,
    caps::{Booking, CLAIMS_MAX, Cap, CapScope, CapState, Claim, ClaimState, Viewer, Window},
    contract::{DemandClass, Placement, PodPosition},
    id::{AdId, OpportunityId},
    plan::{AdRecord, CLASS_AUCTION, FlightRecord, Plan},
    pod::{Eliminated, UnfilledReason},
    time::UnixMillis,
};

/// An ad of a flight that may run in the break.
pub(super) struct Contender<'a> {
    pub(super) ad: &'a AdRecord,
    pub(super) booking: Booking,
    /// Hash of the competitive category; 0 is none.
    pub(super) category: u64,
    pub(super) duration_ms: u32,
    pub(super) class: DemandClass,
    pub(super) placement: Placement,
    pub(super) position: PodPosition,
    /// The only slot it may stand in, if it was offered for one.
    pub(super) only_at: Option<u8>,
    /// What keeps it out of any pod of this break, if anything does: the first reason in the order in which they are asked.
    pub(super) bar: Option<UnfilledReason>,
    /// Until when its showing counts for some cap; if so, it takes a claim.
    pub(super) counts_until: Option<UnixMillis>,
    /// What it is worth: its duration times its merit, or an offer's price. Guaranteed demand counts in the upper half, the
    /// rest in the lower, and there offers above promotions: so all promotions together are worth less than any offer, and
    /// all of both less than any guaranteed ad.
    pub(super) value: i128,
    /// The caps of its flight and its own that a pod can reach, as places in [`Field::limits`].
    limits: [Range<u32>; 2],
}

/// An auction's offer in the shape of what is booked.
pub(super) struct OfferRecord {
    flight: FlightRecord,
    ad: AdRecord,
    /// Hundredths of a currency unit for a thousand, at least one.
    price: u32,
    slot_index: u8,
    position: PodPosition,
}

impl OfferRecord {
    pub(super) fn of(offer: &Offer) -> Self {
        let booking = offer.booking();
        let mut flight = FlightRecord::new_zeroed();
        flight.advertiser_id = booking.advertiser_id.0.into();
        flight.class = CLASS_AUCTION;
        let mut ad = AdRecord::new_zeroed();
        ad.ad_id = offer.record.ad_id.0.into();
        ad.creative_id = booking.creative_id.0.into();
        ad.record_id = offer.record.record_id().0;
        ad.duration_ms = offer.record.duration_ms.into();
        ad.weight = 1.into();
        let price = (offer.record.cpm.micros / 10_000).clamp(1, PRICE_MAX);
        let price = u32::try_from(price).unwrap_or(1);
        Self { flight, ad, price, slot_index: offer.slot_index, position: offer.position }
    }
}

/// Ten thousand for a thousand: dearer offers are worth no more than that to a pod.
const PRICE_MAX: i64 = 1_000_000;

/// A cap that ads of one pod can reach together.
#[derive(Clone, Copy)]
struct Limit {
    scope: CapScope,
    /// How many showings it still allows.
    left: usize,
}

/// Everything that competes in a break, and what became of what cannot.
pub(super) struct Field<'a> {
    /// Each flight's ads stand together.
    pub(super) contenders: Vec<Contender<'a>>,
    /// The flights, in the plan's order, each with its contenders.
    pub(super) flights: Vec<(&'a FlightRecord, Range<usize>)>,
    /// How many flights were looked at.
    pub(super) considered: usize,
    /// Those that may not run in this break, by reason.
    pub(super) eliminated: Eliminated,
    /// How many claims the viewer may still take.
    pub(super) claims_left: usize,
    /// Whether any contender may stand first or last only.
    pub(super) has_positions: bool,
    /// Whether any contender was offered for one slot only.
    pub(super) has_bound: bool,
    limits: Vec<Limit>,
}

impl<'a> Field<'a> {
    pub(super) fn gather(
        plan: &Plan<'a>,
        caps: &CapState,
        shape: &Shape<'_>,
        occasion: &Occasion<'_>,
        offers: &'a [OfferRecord],
        witness: &mut impl Witness,
    ) -> Self {
        let eligibility = Eligibility::of(plan, occasion);
        let found = plan.candidates(eligibility.attributes());
        let claims_left = match caps {
            CapState::Known(viewer) => CLAIMS_MAX.saturating_sub(viewer.claims().len()),
            CapState::Unavailable => 0,
        };
        let mut field = Self {
            contenders: Vec::with_capacity(found.len() * 2),
            flights: Vec::with_capacity(found.len()),
            considered: found.len(),
            eliminated: Eliminated::default(),
            claims_left,
            has_positions: false,
            has_bound: false,
            limits: Vec::new(),
        };
        let past = Past::of(plan, caps, occasion);
        for flight in found.iter().filter_map(|index| plan.flight(*index)) {
            match eligibility.check(flight) {
                Ok(()) => field.enter(plan, flight, shape, occasion, &past),
                Err(reason) => {
                    field.eliminated.count(reason);
                    witness.lost(None, flight.id(), reason);
                }
            }
        }
        field.value(shape, occasion, !offers.is_empty());
        for offer in offers {
            field.enter_offer(offer, shape, &occasion.request.previous_ads);
        }
        field
    }

    /// An auction's ad competes like a paid flight of one ad, for its price; it has no cap, and no share in the lottery.
    fn enter_offer(&mut self, offer: &'a OfferRecord, shape: &Shape<'_>, previous_ads: &[AdId]) {
        let OfferRecord { flight, ad, price, slot_index, position } = offer;
        let mut contender = Contender {
            ad,
            booking: flight.booking(ad),
            category: 0,
            duration_ms: ad.duration_ms.get(),
            class: DemandClass::Auction,
            placement: Placement::Ad,
            position: if shape.pod.is_some() { *position } else { PodPosition::Any },
            only_at: shape.pod.is_none().then_some(*slot_index),
            bar: previous_ads.contains(&ad.ad_id()).then_some(UnfilledReason::CompetitiveSeparation),
            counts_until: None,
            value: 0,
            limits: [0..0, 0..0],
        };
        self.has_positions |= contender.position != PodPosition::Any;
        self.has_bound |= contender.only_at.is_some();
        if contender.bar.is_none() && shape.takes(&contender) {
            contender.value = i128::from(*price) << lottery::PROMOTIONS_BITS;
        }
        self.considered += 1;
        self.contenders.push(contender);
        self.flights.push((flight, self.contenders.len() - 1..self.contenders.len()));
    }

    fn enter(
        &mut self,
        plan: &Plan<'a>,
        flight: &'a FlightRecord,
        shape: &Shape<'_>,
        occasion: &Occasion<'_>,
        past: &Past<'_>,
    ) {
        let first = self.contenders.len();
        let (class, placement, category) = (flight.class(), flight.placement(), flight.category.get());
        let counts_until = flight.horizon().counts_until(occasion.now);
        let is_apart = past.is_apart(class, placement, flight);
        let is_throttled = class == DemandClass::Guaranteed && flight.allocation.get() == 0;
        let has_by_creative = plan.caps_by_creative(flight);
        let mut of_flight = None;
        for ad in plan.ads(flight) {
            let booking = flight.booking(ad);
            let mut bar = if is_apart || past.creatives.contains(&booking.creative_id.0) {
                Some(UnfilledReason::CompetitiveSeparation)
            } else if is_throttled {
                Some(UnfilledReason::PacingThrottled)
            } else {
                None
            };
            let mut limits = [0..0, 0..0];
            if bar.is_none() && counts_until.is_some() {
                // What does not count by creative is the same for every ad of the flight.
                let shared = of_flight.get_or_insert_with(|| {
                    let caps = plan.caps(flight).filter(|cap| cap.scope != CapScope::Creative);
                    self.limits(caps, flight, ad, shape, occasion, past)
                });
                let by_creative = has_by_creative.then(|| plan.caps(flight)).into_iter().flatten();
                let by_creative = by_creative.filter(|cap| cap.scope == CapScope::Creative);
                let checked = shared.clone().and_then(|shared| {
                    let own = by_creative.chain(plan.caps_of_ad(ad));
                    Ok([shared, self.limits(own, flight, ad, shape, occasion, past)?])
                });
                match checked {
                    Ok(both) => limits = both,
                    Err(reason) => bar = Some(reason),
                }
            }
            self.has_positions |= flight.pod_position() != PodPosition::Any;
            self.contenders.push(Contender {
                ad,
                booking,
                category,
                duration_ms: ad.duration_ms.get(),
                class,
                placement,
                position: flight.pod_position(),
                only_at: None,
                bar,
                counts_until,
                value: 0,
                limits,
            });
        }
        self.flights.push((flight, first..self.contenders.len()));
    }

    /// What these caps still allow, where a pod can reach it; the reason if one allows nothing more.
    fn limits(
        &mut self,
        caps: impl Iterator<Item = Cap>,
        flight: &FlightRecord,
        ad: &AdRecord,
        shape: &Shape<'_>,
        occasion: &Occasion<'_>,
        past: &Past<'_>,
    ) -> Result<Range<u32>, UnfilledReason> {
        let Some(viewer) = past.viewer.filter(|_| self.claims_left > 0) else {
            return Err(UnfilledReason::CapCheckUnavailable);
        };
        let start = self.limits.len();
        let showing = occasion.showing(flight, ad);
        for cap in caps {
            if cap.window == Window::Session && occasion.session.is_none() {
                return Err(UnfilledReason::CapCheckUnavailable);
            }
            let may_count = past.seen.holds(cap.scope, &showing.booking);
            let live = if may_count { viewer.live(&cap, &showing, occasion.now) } else { 0 };
            let left = (cap.limit as usize).saturating_sub(live);
            if left == 0 {
                return Err(UnfilledReason::FrequencyCapped);
            }
            let claim = Claim { booking: showing.booking, ..past.next };
            if left < shape.places.len() && claim.counts(&cap, &showing, occasion.now) {
                self.limits.push(Limit { scope: cap.scope, left });
            }
        }
        let place = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Ok(place(start)..place(self.limits.len()))
    }

    /// Draws the lottery among the ads that some place of the break takes.
    fn value(&mut self, shape: &Shape<'_>, occasion: &Occasion<'_>, beside_offers: bool) {
        let mut merits = vec![0u128; self.contenders.len()];
        let mut greatest = [0u128; 3];
        let weight = |contender: &Contender<'_>| contender.ad.weight.get().max(1);
        for (flight, range) in &self.flights {
            let contenders = &self.contenders[range.clone()];
            let runs = |contender: &&Contender<'_>| contender.bar.is_none() && shape.takes(contender);
            let shares = contenders.iter().filter(runs).map(|contender| u64::from(weight(contender))).sum();
            if shares == 0 {
                continue;
            }
            for (merit, contender) in merits[range.clone()].iter_mut().zip(contenders) {
                if runs(&contender) {
                    let ad = (contender.ad.ad_id(), weight(contender), shares);
                    *merit = lottery::merit((flight.id(), flight.allocation.get()), ad, occasion.break_id);
                    let greatest = &mut greatest[contender.class as usize];
                    *greatest = (*merit).max(*greatest);
                }
            }
        }
        // Beside offers, promotions make room for prices: one more of either is worth more than all lots of the next.
        let house_bits = if beside_offers { lottery::MERIT_BITS_BESIDE_OFFERS } else { lottery::MERIT_BITS };
        let bits = [lottery::MERIT_BITS, 0, house_bits];
        let shorter = [0, 1, 2].map(|class: usize| lottery::level(greatest[class], bits[class]));
        for (contender, merit) in self.contenders.iter_mut().zip(merits) {
            if merit > 0 {
                let merit = (merit >> shorter[contender.class as usize]).max(1);
                let value = i128::try_from(merit).unwrap_or(i128::MAX) * i128::from(contender.duration_ms);
                contender.value = match contender.class {
                    DemandClass::Guaranteed => value << 64,
                    DemandClass::Auction | DemandClass::House => value,
                };
            }
        }
    }

    /// The contenders that a best pod may hold. Of a flight's ads of one length that may not share a pod, that is the one
    /// worth most: it stands wherever another of them might, unless its video is booked by others too, or has a cap of its
    /// own within reach.
    pub(super) fn runners(&self) -> impl Iterator<Item = usize> {
        let mut videos = Numbers::of_at_most(self.contenders.len());
        let mut is_shared: Vec<Option<u32>> = Vec::with_capacity(self.contenders.len());
        let mut numbers = Vec::with_capacity(self.contenders.len());
        for contender in &self.contenders {
            let number = videos.number((0, contender.booking.creative_id.0.into()));
            let owner = contender.competes().then_some(contender.booking.advertiser_id.0);
            match is_shared.get_mut(number) {
                Some(known) if *known == owner => {}
                Some(known) => *known = None,
                None => is_shared.push(owner),
            }
            numbers.push(number);
        }
        let may_stand_for =
            move |at: usize| is_shared[numbers[at]].is_some() && self.contenders[at].limits[1].is_empty();
        self.flights.iter().flat_map(move |(_, range)| {
            let better = |one: usize, other: usize| {
                let (this, that) = (&self.contenders[one], &self.contenders[other]);
                this.duration_ms == that.duration_ms && (this.value, other) > (that.value, one)
            };
            let range = range.clone();
            let kept = |at: &usize| {
                self.contenders[*at].value > 0 && !range.clone().any(|other| better(other, *at) && may_stand_for(other))
            };
            range.clone().filter(kept).collect::<Vec<_>>()
        })
    }

    /// Whether `contender` keeps every cap beside `others`, and they keep theirs beside it.
    pub(super) fn keeps_caps<'f>(
        &'f self,
        contender: &Contender<'_>,
        others: impl Iterator<Item = &'f Contender<'a>> + Clone,
    ) -> Result<(), UnfilledReason>
    where
        'a: 'f,
    {
        if contender.counts_until.is_none() {
            return Ok(());
        }
        let claiming = others.filter(|other| other.counts_until.is_some());
        if claiming.clone().count() >= self.claims_left {
            return Err(UnfilledReason::CapCheckUnavailable);
        }
        let is_beside = |other: &&Contender<'_>| other.is_related(contender);
        if !claiming.clone().any(|other| is_beside(&other)) {
            return Ok(());
        }
        let counted = |of: &Contender<'_>, scope| {
            claiming.clone().filter(|other| other.booking.is_same(scope, &of.booking)).count()
        };
        let own = self.limits_of(contender).all(|limit| counted(contender, limit.scope) < limit.left);
        let theirs = claiming.clone().filter(is_beside).all(|other| {
            let shared = |limit: &&Limit| other.booking.is_same(limit.scope, &contender.booking);
            // The other counts itself among the claiming; in its place stands the contender.
            self.limits_of(other).filter(shared).all(|limit| counted(other, limit.scope) < limit.left)
        });
        if own && theirs { Ok(()) } else { Err(UnfilledReason::FrequencyCapped) }
    }

    fn limits_of(&self, contender: &Contender<'_>) -> impl Iterator<Item = &Limit> {
        let range = |range: &Range<u32>| range.start as usize..range.end as usize;
        let [of_flight, own] = contender.limits.each_ref().map(range);
        self.limits[of_flight].iter().chain(&self.limits[own])
    }
}

impl Contender<'_> {
    /// Whether it may stand anywhere in a pod.
    pub(super) fn is_anywhere(&self) -> bool {
        self.position == PodPosition::Any && self.only_at.is_none()
    }

    /// Whether it was not offered for another slot.
    pub(super) fn may_stand_at(&self, slot: usize) -> bool {
        self.only_at.is_none_or(|only| usize::from(only) == slot)
    }

    /// Whether it takes part in competitive separation. Promotions compete with nobody, nor do bumpers and sponsorships.
    fn competes(&self) -> bool {
        self.class != DemandClass::House && self.placement == Placement::Ad
    }

    /// Whether the two may not be in one pod: rivals, or the same video.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        self.booking.creative_id == other.booking.creative_id
            || (self.competes()
                && other.competes()
                && (self.booking.advertiser_id == other.booking.advertiser_id
                    || (self.category != 0 && self.category == other.category)))
    }

    /// Whether a cap may count the two together.
    pub(super) fn is_related(&self, other: &Self) -> bool {
        let (one, other) = (&self.booking, &other.booking);
        one.advertiser_id == other.advertiser_id
            || one.campaign_id == other.campaign_id
            || one.flight_id == other.flight_id
            || one.creative_id == other.creative_id
    }

    /// Whether both want the one place that there is.
    pub(super) fn wants_place_of(&self, other: &Self) -> bool {
        self.position != PodPosition::Any && self.position == other.position
    }

    /// No two of one kind are in one pod.
    pub(super) fn kind(&self) -> (u8, u64) {
        match (self.competes(), self.category) {
            (true, 0) => (0, self.booking.advertiser_id.0.into()),
            (true, category) => (1, category),
            (false, _) => (2, self.booking.creative_id.0.into()),
        }
    }
}

impl Shape<'_> {
    /// Whether any place takes the ad.
    fn takes(&self, contender: &Contender<'_>) -> bool {
        self.places.iter().enumerate().any(|(at, place)| {
            contender.may_stand_at(at)
                && place.is_for(contender.placement, contender.position)
                && place.takes(contender.duration_ms, self.time_ms)
        })
    }
}

/// Numbers things from 0 on, in the order in which they are met: an open-addressed table.
pub(super) struct Numbers {
    table: Vec<Option<((u8, u64), usize)>>,
    pub(super) count: usize,
}

impl Numbers {
    pub(super) fn of_at_most(things: usize) -> Self {
        Self { table: vec![None; (things * 2 + 1).next_power_of_two()], count: 0 }
    }

    /// The number of a thing. Of no more things than were announced.
    pub(super) fn number(&mut self, thing: (u8, u64)) -> usize {
        let mixed = (thing.1 ^ u64::from(thing.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let mask = self.table.len() - 1;
        let mut at = usize::try_from(mixed).unwrap_or_default() & mask;
        loop {
            match self.table[at] {
                Some((known, number)) if known == thing => return number,
                Some(_) => at = (at + 1) & mask,
                None => {
                    self.table[at] = Some((thing, self.count));
                    self.count += 1;
                    return self.count - 1;
                }
            }
        }
    }
}

/// What was shown before this break.
struct Past<'a> {
    viewer: Option<&'a Viewer>,
    seen: Seen,
    /// A claim that this break would take, but for what it is booked for.
    next: Claim,
    /// Advertisers and categories of the previous break's paid ads.
    rivals: Vec<(u32, u64)>,
    /// The creatives of all its ads.
    creatives: Vec<u32>,
}

impl<'a> Past<'a> {
    fn of(plan: &Plan<'_>, caps: &'a CapState, occasion: &Occasion<'_>) -> Self {
        let viewer = match caps {
            CapState::Known(viewer) => Some(viewer),
            CapState::Unavailable => None,
        };
        let (mut rivals, mut creatives) = (Vec::new(), Vec::new());
        for (flight, ad) in occasion.request.previous_ads.iter().filter_map(|id| plan.booked(*id)) {
            creatives.push(ad.creative_id.get());
            if flight.class() == DemandClass::Guaranteed && flight.placement() == Placement::Ad {
                rivals.push((flight.advertiser_id.get(), flight.category.get()));
            }
        }
        let next = Claim {
            opportunity_id: OpportunityId::mint(occasion.break_id, 0, occasion.opened_at),
            booking: Booking::default(),
            session: occasion.session,
            state: ClaimState::Reserved,
            at: occasion.now,
            lease_until: occasion.now.plus_ms(plan.lease_ms()),
            counts_until: occasion.now,
        };
        Self { viewer, seen: Seen::by(viewer), next, rivals, creatives }
    }

    fn is_apart(&self, class: DemandClass, placement: Placement, flight: &FlightRecord) -> bool {
        let (advertiser, category) = (flight.advertiser_id.get(), flight.category.get());
        let rivals = |(shown, of): &(u32, u64)| *shown == advertiser || (category != 0 && *of == category);
        class == DemandClass::Guaranteed && placement == Placement::Ad && self.rivals.iter().any(rivals)
    }
}

/// Which things a viewer's claims may be of: a filter that knows all of them and confuses few others with them, so that
/// the claims are counted only where there is something to count.
struct Seen([[u64; Seen::WORDS]; 4]);

impl Seen {
    const WORDS: usize = 16;

    fn by(viewer: Option<&Viewer>) -> Self {
        let mut seen = Self([[0; Self::WORDS]; 4]);
        for claim in viewer.iter().flat_map(|viewer| viewer.claims()) {
            for scope in [CapScope::Creative, CapScope::Flight, CapScope::Campaign, CapScope::Advertiser] {
                let (word, bit) = Self::place(scope, &claim.booking);
                seen.0[scope as usize][word] |= bit;
            }
        }
        seen
    }

    fn holds(&self, scope: CapScope, booking: &Booking) -> bool {
        let (word, bit) = Self::place(scope, booking);
        self.0[scope as usize][word] & bit != 0
    }

    fn place(scope: CapScope, booking: &Booking) -> (usize, u64) {
        let id = match scope {
            CapScope::Creative => booking.creative_id.0,
            CapScope::Flight => booking.flight_id.0,
            CapScope::Campaign => booking.campaign_id.0,
            CapScope::Advertiser => booking.advertiser_id.0,
        };
        (id as usize / 64 % Self::WORDS, 1 << (id % 64))
    }
}
