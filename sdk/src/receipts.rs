//! Receipts waiting for the origin to have them: the rows of breaks that nobody else could take.
//!
//! A receipt is posted as it is until the edge says that its rows are recorded, or that it never will take them. The origin
//! takes one twice as once, so what is handed to `sendBeacon`, which tells nobody what became of it, stays too.

use std::collections::VecDeque;

use slotkeeper_core::receipt::RECEIPT_CHARS_MAX;

/// The most receipts kept. Past it the oldest go, and are counted: they are what an edge answers while its store and its
/// origin are both down, so this is an hour or more of watching.
pub const KEPT_MAX: usize = 16;
/// The most handed to `sendBeacon` for one parting, in bytes. With a batch of beacons it stays below the 64 KiB that browsers
/// hold for a page.
pub const PARTING_BYTES_MAX: usize = 40 * 1024;

/// A receipt to post now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number, to settle it by.
    pub number: u32,
    /// The body to post.
    pub text: String,
}

#[derive(Clone, Debug)]
struct Kept {
    outgoing: Outgoing,
    parted: bool,
}

/// What an answer to a receipt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its rows are durable at the origin.
    Taken,
    /// It never will be taken.
    Refused,
    /// Nobody knows: it is to be sent again.
    Unknown,
}

/// Reads the status, the edge's `error.code` and the `accepted` of an answer. Anything may answer 200, and a proxy may answer
/// 403: only what speaks as the edge does is believed.
pub fn verdict(status: u16, code: Option<&str>, accepted: Option<f64>) -> Verdict {
    match (status, code, accepted) {
        (202, None, Some(_)) => Verdict::Taken,
        (400 | 403 | 410 | 413, Some(_), _) => Verdict::Refused,
        _ => Verdict::Unknown,
    }
}

/// The receipts of one session that the origin does not have yet, for all anyone here knows.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    kept: VecDeque<Kept>,
    next_number: u32,
    overflowed: u32,
}

impl Receipts {
    /// Adds a receipt as it was answered. Returns whether it is one that an edge can take at all.
    pub fn push(&mut self, text: &str) -> bool {
        if !(1..=RECEIPT_CHARS_MAX).contains(&text.len()) {
            return false;
        }
        if self.kept.len() >= KEPT_MAX {
            self.kept.pop_front();
            self.overflowed = self.overflowed.saturating_add(1);
        }
        let outgoing = Outgoing { number: self.next_number, text: text.into() };
        self.next_number = self.next_number.wrapping_add(1);
        self.kept.push_back(Kept { outgoing, parted: false });
        true
    }

    /// The receipt to post next: the oldest.
    pub fn outgoing(&self) -> Option<Outgoing> {
        self.kept.front().map(|kept| kept.outgoing.clone())
    }

    /// What to hand to `sendBeacon` while the page goes away: the oldest that fit into [`PARTING_BYTES_MAX`] together, each
    /// once until [`came_back`](Self::came_back). Call [`parted`](Self::parted) for those it took.
    pub fn parting(&self) -> Vec<Outgoing> {
        let mut room = PARTING_BYTES_MAX;
        let waiting = self.kept.iter().filter(|kept| !kept.parted).map(|kept| &kept.outgoing);
        let fitting = waiting.filter(|outgoing| {
            let fits = outgoing.text.len() <= room;
            if fits {
                room -= outgoing.text.len();
            }
            fits
        });
        fitting.cloned().collect()
    }

    /// `sendBeacon` took this receipt.
    pub fn parted(&mut self, number: u32) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.outgoing.number == number) {
            kept.parted = true;
        }
    }

    /// The page did not go away after all: what was handed over may be handed over again.
    pub fn came_back(&mut self) {
        self.kept.iter_mut().for_each(|kept| kept.parted = false);
    }

    /// Forgets a receipt: the origin has its rows, or will never take them.
    pub fn settle(&mut self, number: u32) {
        self.kept.retain(|kept| kept.outgoing.number != number);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many were lost to the bound.
    pub fn overflowed(&self) -> u32 {
        self.overflowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(texts: &[&str]) -> Receipts {
        let mut receipts = Receipts::default();
        assert!(texts.iter().all(|text| receipts.push(text)));
        receipts
    }

    fn numbers(all: &[Outgoing]) -> Vec<u32> {
        all.iter().map(|outgoing| outgoing.number).collect()
    }

    #[test]
    fn a_receipt_is_posted_as_it_is_until_it_is_settled() {
        let mut receipts = receipts(&["first", "second"]);
        for _ in 0..3 {
            assert_eq!(receipts.outgoing(), Some(Outgoing { number: 0, text: "first".into() }));
        }
        receipts.settle(7);
        assert_eq!(receipts.len(), 2, "settling what there is not settles nothing");
        receipts.settle(0);
        assert_eq!(receipts.outgoing().unwrap().text, "second");
        receipts.settle(1);
        assert!(receipts.is_empty() && receipts.outgoing().is_none());
    }

    #[test]
    fn only_an_answer_of_the_edge_settles_one() {
        let cases = [
            (202, None, Some(3.0), Verdict::Taken),
            (202, None, None, Verdict::Unknown),
            (200, None, Some(3.0), Verdict::Unknown),
            (400, Some("receipt_malformed"), None, Verdict::Refused),
            (403, Some("receipt_forged"), None, Verdict::Refused),
            (410, Some("receipt_expired"), None, Verdict::Refused),
            (413, Some("body_too_large"), None, Verdict::Refused),
            (403, None, None, Verdict::Unknown),
            (404, Some("not_found"), None, Verdict::Unknown),
            (408, Some("body_too_slow"), None, Verdict::Unknown),
            (429, Some("too_many_requests"), None, Verdict::Unknown),
            (503, Some("receipt_not_recorded"), None, Verdict::Unknown),
        ];
        for (status, code, accepted, expected) in cases {
            assert_eq!(verdict(status, code, accepted), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn parting_hands_over_what_fits_once_and_forgets_nothing() {
        let large = "l".repeat(PARTING_BYTES_MAX - 5);
        let mut receipts = receipts(&["four", &large, "2", "too long"]);
        assert_eq!(numbers(&receipts.parting()), [0, 1, 2], "the last would go past the bound");
        receipts.parted(0);
        receipts.parted(1);
        assert_eq!(numbers(&receipts.parting()), [2, 3], "the first two went before");
        receipts.came_back();
        assert_eq!(numbers(&receipts.parting()), [0, 1, 2]);
        assert_eq!(receipts.len(), 4);
    }

    #[test]
    fn the_bound_takes_the_oldest_and_counts_them() {
        let mut receipts = Receipts::default();
        assert!((0..KEPT_MAX + 2).all(|number| receipts.push(&number.to_string())));
        assert_eq!((receipts.len(), receipts.overflowed()), (KEPT_MAX, 2));
        assert_eq!(receipts.outgoing().unwrap().text, "2");
        assert!(!receipts.push("") && !receipts.push(&"x".repeat(RECEIPT_CHARS_MAX + 1)));
        assert_eq!(receipts.len(), KEPT_MAX);
    }
}
