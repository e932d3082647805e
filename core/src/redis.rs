//! The production store's keys in Redis, which the edge writes and the origin reads.
//!
//! Viewers are spread over a fixed number of shards. All keys of a shard share a hash tag, so that one script can touch
//! them wherever a cluster keeps that shard; and there are as many outboxes as shards, however many viewers there are.

use alloc::{format, string::String};
use core::{fmt, num::NonZeroU32, str::FromStr};

use crate::id::{BreakStem, ViewerKey};

/// The number of shards. Never changes once a viewer is stored: another number looks for everybody elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards(NonZeroU32);

/// Not a number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number of shards from 1 to 65536")]
pub struct InvalidShards;

impl Shards {
    /// The most there can be: viewers are in one of so many buckets.
    pub const MAX: u32 = 1 << 16;

    /// The shard of a bucket of viewers.
    pub fn of(self, bucket: u16) -> Shard {
        Shard(u32::from(bucket) % self.0)
    }

    /// All of them.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0.get()).map(Shard)
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self(NonZeroU32::MIN.saturating_add(63))
    }
}

impl FromStr for Shards {
    type Err = InvalidShards;

    fn from_str(text: &str) -> Result<Self, InvalidShards> {
        text.parse().ok().filter(|count: &NonZeroU32| count.get() <= Self::MAX).map(Self).ok_or(InvalidShards)
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard(u32);

impl Shard {
    /// What the keys of viewers' states begin with.
    pub fn viewers(self) -> String {
        format!("sk:{{{}}}:v:", self.0)
    }

    /// The key of a viewer's state: a hash of version and bytes.
    pub fn viewer(self, viewer: ViewerKey) -> String {
        format!("{}{viewer}", self.viewers())
    }

    /// The key of a break's answer, by the stem that the break's id shares with its opportunities' ids: a hash of the
    /// whole id, the viewer and the answer.
    pub fn answer(self, stem: BreakStem) -> String {
        format!("sk:{{{}}}:a:{stem}", self.0)
    }

    /// The key of the shard's outbox: a stream whose entries have the one field [`FACTS_FIELD`].
    pub fn outbox(self) -> String {
        format!("sk:{{{}}}:o", self.0)
    }
}

/// The field of an outbox entry: a JSON array of facts.
pub const FACTS_FIELD: &str = "f";

/// The key of the version of the plan in force.
pub const PLAN_IN_FORCE_KEY: &str = "sk:{plan}:v";

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn keys_of_a_shard_share_its_tag() {
        let shard = Shards::default().of(0xabcd);
        assert_eq!(shard.outbox(), "sk:{13}:o");
        assert_eq!(shard.viewer(ViewerKey([0xab; 16])), "sk:{13}:v:abababababababababababababababab");
        assert_eq!(shard.answer(BreakStem([1; 9])), "sk:{13}:a:010101010101010101");
    }

    #[test]
    fn every_bucket_has_a_shard() {
        let shards: Shards = "3".parse().unwrap();
        assert!([0, 1, 2, 3, u16::MAX].into_iter().all(|bucket| shards.all().any(|shard| shard == shards.of(bucket))));
        assert_eq!(shards.all().count(), 3);
    }

    #[test]
    fn a_number_of_shards_has_bounds() {
        for bad in ["0", "65537", "-1", "", "many"] {
            assert_eq!(bad.parse::<Shards>(), Err(InvalidShards), "{bad}");
        }
        for good in ["1", "65536"] {
            assert_eq!(good.parse::<Shards>().unwrap().to_string(), good);
        }
        assert_eq!(Shards::default().to_string(), "64");
    }
}
