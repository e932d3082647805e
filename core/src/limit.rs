//! Rate limits: how many requests a minute one client may make, in memory that does not grow with their number.
//!
//! A client has a bucket that fills with the minute's requests evenly, and holds a quarter of them for a burst. Buckets
//! live in sets of `WAYS`; an address always falls into the same set. A newcomer to a full set takes over the bucket
//! that has most in it, *with what is in it*: so whatever addresses are tried, one set never admits more than its
//! buckets fill. That is the safe side: past the room that there is, clients share.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use crate::time::UnixMillis;

/// How many buckets an address may find its own in.
const WAYS: usize = 8;
/// What one request takes out of a bucket. A millisecond puts in as many as requests are allowed a minute.
const REQUEST: u64 = 60_000;
/// The most requests a minute that can be asked for.
pub const REQUESTS_PER_MINUTE_MAX: u32 = 1_000_000;
/// What is allowed where nobody says otherwise.
pub const REQUESTS_PER_MINUTE_DEFAULT: u32 = 600;

/// Whom a limit is for: an IPv4 address, or an IPv6 network of 64 bits, which is the least that one household has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(u128);

impl Client {
    /// The client at an address. None at a loopback address: that is a proxy on the same machine, behind which are many,
    /// or whoever develops there.
    pub fn at(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(v4) => Some(Self(v4.to_ipv6_mapped().to_bits())),
            IpAddr::V6(v6) => Some(Self(v6.to_bits() & !u128::from(u64::MAX))),
        }
    }

    /// The client at an address as a header says it, with or without a port.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let with_port = || text.parse::<core::net::SocketAddr>().ok().map(|address| address.ip());
        let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
        text.parse().ok().or_else(with_port).or_else(bracketed).and_then(Self::at)
    }
}

#[derive(Clone, Copy)]
struct Bucket {
    client: Client,
    /// In parts of a request; see [`REQUEST`].
    filled: u64,
    at: UnixMillis,
}

/// The buckets of all clients.
pub struct Limiter {
    /// Each set from its most recent to its least recent newcomer; empty until somebody falls into it.
    sets: Vec<Vec<Bucket>>,
    requests_per_minute: u32,
}

impl Limiter {
    /// A limiter with room for about `clients`, of whom each may make `requests_per_minute`; 0 limits nobody.
    pub fn new(clients: usize, requests_per_minute: u32) -> Self {
        let sets = clients.div_ceil(WAYS).max(1);
        Self { sets: alloc::vec![Vec::new(); sets], requests_per_minute }
    }

    /// Admits one request of `client` at `now`, or says after how many seconds to try again. Nobody in particular is
    /// always admitted.
    pub fn admit(&mut self, client: Option<Client>, now: UnixMillis) -> Result<(), u32> {
        let rate = u64::from(self.requests_per_minute.min(REQUESTS_PER_MINUTE_MAX));
        let (Some(client), true) = (client, rate > 0) else { return Ok(()) };
        let full = (rate * REQUEST / 4).max(REQUEST);
        let place = place_of(client, self.sets.len());
        let bucket = own_bucket(&mut self.sets[place], client, full, now);
        // A clock that was set back fills nothing, and is followed all the same.
        bucket.filled = bucket.filled.saturating_add(now.since_ms(bucket.at).saturating_mul(rate)).min(full);
        bucket.at = now;
        if bucket.filled < REQUEST {
            let wait_ms = (REQUEST - bucket.filled).div_ceil(rate);
            return Err(u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX));
        }
        bucket.filled -= REQUEST;
        Ok(())
    }
}

/// The client's bucket; a new one if there is room, else the fullest of the others.
fn own_bucket(set: &mut Vec<Bucket>, client: Client, full: u64, now: UnixMillis) -> &mut Bucket {
    let known = set.iter().position(|bucket| bucket.client == client);
    let place = known.unwrap_or_else(|| {
        if set.len() < WAYS {
            set.push(Bucket { client, filled: full, at: now });
            return set.len() - 1;
        }
        // What has not been touched for long has filled meanwhile; among equals it is the first to go.
        let fullest = (0..WAYS).max_by_key(|place| (set[*place].filled, now.since_ms(set[*place].at)));
        let place = fullest.unwrap_or_default(); // a set has ways
        set[place].client = client;
        place
    });
    &mut set[place]
}

/// The set of a client: its address, mixed (the finaliser of SplitMix64). That an attacker can compute it is provided for.
#[expect(clippy::cast_possible_truncation, reason = "a half at a time")]
fn place_of(client: Client, sets: usize) -> usize {
    let mut word = (client.0 >> 64) as u64 ^ (client.0 as u64).rotate_left(32);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    usize::try_from(word % sets as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{format, string::String};

    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn client(address: &str) -> Option<Client> {
        Client::parse(address)
    }

    /// How many of `tries` at one instant are admitted.
    fn admitted(limiter: &mut Limiter, address: &str, tries: u32, now: UnixMillis) -> u32 {
        (0..tries).map(|_| u32::from(limiter.admit(client(address), now).is_ok())).sum()
    }

    #[test]
    fn a_quarter_of_a_minutes_requests_may_come_at_once_and_the_rest_evenly() {
        let mut limiter = Limiter::new(100, 600);
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 1_000, NOW), 150);
        assert_eq!(limiter.admit(client("192.0.2.1"), NOW), Err(1), "ten a second: the next one within a second");
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 9, NOW.plus_ms(1_000)), 9);
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 9, NOW.plus_ms(1_000)), 1);
        assert_eq!(admitted(&mut limiter, "192.0.2.2", 1_000, NOW), 150, "a neighbour is another client");
        let mut strict = Limiter::new(100, 2);
        assert_eq!(admitted(&mut strict, "192.0.2.1", 9, NOW), 1);
        assert_eq!(strict.admit(client("192.0.2.1"), NOW), Err(30));
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_address_is_ipv4() {
        assert_eq!(client("2001:db8::1"), client("[2001:db8::ffff:1]:443"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1:55555"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        for nobody in ["", "unknown", "127.0.0.1:80", "[::1]:80", "::ffff:127.0.0.1", "192.0.2.1, 192.0.2.2"] {
            assert_eq!(client(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn nobody_in_particular_and_a_limit_of_0_are_never_refused() {
        let mut limiter = Limiter::new(10, 4);
        assert!((0..1_000).all(|_| limiter.admit(None, NOW).is_ok()));
        let mut off = Limiter::new(10, 0);
        assert_eq!(admitted(&mut off, "192.0.2.1", 1_000, NOW), 1_000);
    }

    #[test]
    fn a_clock_set_back_stops_no_client_for_longer_than_a_bucket_takes_to_fill() {
        let mut limiter = Limiter::new(10, 600);
        admitted(&mut limiter, "192.0.2.1", 150, NOW.plus_ms(3_600_000));
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 1, NOW), 0);
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 99, NOW.plus_ms(1_000)), 10);
    }

    #[test]
    fn an_exhausted_client_cannot_be_forgotten_by_sending_others() {
        let mut limiter = Limiter::new(1, 600); // one set
        admitted(&mut limiter, "192.0.2.1", 150, NOW);
        for n in 0..200 {
            let _ = limiter.admit(client(&format!("198.51.100.{n}")), NOW);
        }
        assert_eq!(admitted(&mut limiter, "192.0.2.1", 1, NOW), 0);
    }

    proptest! {
        #[test]
        fn whatever_addresses_are_tried_a_set_admits_no_more_than_its_buckets_hold_and_fill(
            tries in prop::collection::vec((0u32..40, 0u64..400), 1..1_500), rate in 4u32..2_000,
        ) {
            let mut limiter = Limiter::new(WAYS, rate); // one set
            let (mut now, mut passed) = (NOW, 0u64);
            for (n, wait_ms) in tries {
                now = now.plus_ms(wait_ms);
                let address: String = format!("203.0.113.{n}");
                passed += u64::from(limiter.admit(client(&address), now).is_ok());
            }
            let (rate, ways, ran_ms) = (u64::from(rate), WAYS as u64, now.since_ms(NOW));
            prop_assert!(passed <= ways * (rate / 4).max(1) + ways * rate * ran_ms / 60_000 + ways);
            prop_assert_eq!(limiter.sets[0].len().min(WAYS), limiter.sets[0].len());
        }
    }
}
