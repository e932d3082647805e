//! What goes wrong, and how often: one list, so that every kind can be switched off, and is counted.

use std::cell::RefCell;

use crate::rng::Rng;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $text:literal $rate:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How likely it is each time it could happen, in a world of middling luck.
            fn rate(self) -> f64 {
                match self { $(Self::$name => $rate,)* }
            }
        }
    };
}

kinds! {
    /// A store call fails and has changed nothing.
    StoreFails "store-fails" 0.01;
    /// A store call takes effect and then fails.
    StoreFailsAfter "store-fails-after" 0.01;
    /// A store call takes its time, within its deadline or past it.
    StoreSlow "store-slow" 0.02;
    /// A store call takes effect seconds after its deadline.
    StoreLate "store-late" 0.008;
    /// A store call is never answered.
    StoreHangs "store-hangs" 0.006;
    /// No store answers for a while.
    StoreOutage "store-outage" 0.8;
    /// One edge reaches no store for a while.
    StorePartition "store-partition" 0.8;
    /// The process that called the store dies before its answer.
    CrashInCall "crash-in-call" 0.004;
    /// A serving process dies at any moment and starts again.
    EdgeCrash "edge-crash" 2.0;
    /// One edge does not reach the origin for a while.
    OriginPartition "origin-partition" 1.0;
    /// The origin dies: what was not fsynced is lost, or just was.
    OriginCrash "origin-crash" 1.5;
    /// Facts are lost on their way to the origin.
    PostLost "post-lost" 0.02;
    /// Facts arrive twice, the second time later.
    PostDoubled "post-doubled" 0.02;
    /// The origin's acknowledgement is lost.
    AckLost "ack-lost" 0.02;
    /// The origin or the way there is slow.
    PostSlow "post-slow" 0.02;
    /// A client's request is lost.
    RequestLost "request-lost" 0.01;
    /// A client's request arrives twice, perhaps at two edges.
    RequestDoubled "request-doubled" 0.015;
    /// The answer to a client is lost.
    ReplyLost "reply-lost" 0.015;
    /// A request is held up and overtaken.
    RequestSlow "request-slow" 0.03;
    /// One request id is sent many times at once, at different edges.
    RetryStorm "retry-storm" 0.03;
    /// A viewer's devices open several breaks at one moment.
    DevicesAtOnce "devices-at-once" 0.1;
    /// A client is never heard of again.
    ClientVanishes "client-vanishes" 0.05;
    /// An ad starts long after it was sent, up to past its lease.
    LateStart "late-start" 0.1;
    /// An error or `notUsed` instead of a start.
    NotPlayed "not-played" 0.1;
    /// A start and its contrary at once, at two edges.
    ContraryBeacons "contrary-beacons" 0.04;
    /// Beacons are sent again, up to days later.
    Replay "replay" 0.04;
    /// A token is altered.
    ForgedToken "forged-token" 0.02;
    /// A receipt is altered.
    ForgedReceipt "forged-receipt" 0.2;
    /// A receipt is posted twice, or late.
    ReceiptAgain "receipt-again" 0.3;
    /// The edges' clocks are minutes apart.
    ClockSkew "clock-skew" 0.7;
    /// An edge's clock is set, by minutes.
    ClockStep "clock-step" 0.7;
    /// A new plan is published.
    PlanChange "plan-change" 2.0;
    /// Two plans are published at once, or an old one again.
    PlanRace "plan-race" 0.4;
    /// A viewer's stored state rots.
    Rot "rot" 0.15;
    /// The fold is killed in the middle of a commit.
    FoldKilled "fold-killed" 0.03;
    /// The fold starts from zero while the world goes on.
    FoldFromZero "fold-from-zero" 0.002;
}

/// Which faults there are, and how many there have been.
pub struct Faults {
    enabled: Vec<bool>,
    luck: f64,
    rng: Rng,
    counts: RefCell<Vec<u64>>,
    is_over: std::cell::Cell<bool>,
}

impl Faults {
    /// The kinds in `enabled`, `luck` times as often as usual.
    pub fn new(enabled: &[Fault], luck: f64, seed: u64) -> Self {
        Self {
            enabled: Fault::ALL.iter().map(|fault| enabled.contains(fault)).collect(),
            luck,
            rng: Rng::new(seed ^ 0xfa17),
            counts: RefCell::new(vec![0; Fault::ALL.len()]),
            is_over: false.into(),
        }
    }

    /// Whether `fault` happens now. If so, it is counted.
    pub fn strikes(&self, fault: Fault) -> bool {
        let probability = (fault.rate() * self.luck).min(0.5);
        if self.is_over.get() || !self.enabled[fault as usize] || !self.rng.chance(probability) {
            return false;
        }
        self.count(fault);
        true
    }

    /// How often a fault of the whole world happens in one run: its rate is that number's mean.
    pub fn times(&self, fault: Fault) -> u64 {
        if !self.enabled[fault as usize] {
            return 0;
        }
        let most = fault.rate() * self.luck * 2.0;
        (0..8).filter(|_| self.rng.chance(most / 16.0 * 2.0)).count() as u64
    }

    /// Counts one.
    pub fn count(&self, fault: Fault) {
        self.counts.borrow_mut()[fault as usize] += 1;
    }

    /// From here on all goes well.
    pub fn end(&self) {
        self.is_over.set(true);
    }

    /// Whether nothing goes wrong any more.
    pub fn are_over(&self) -> bool {
        self.is_over.get()
    }

    /// How many there have been of each kind.
    pub fn counts(&self) -> Vec<u64> {
        self.counts.borrow().clone()
    }
}
