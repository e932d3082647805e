//! Known-bad variants of the system, switched on by wrappers in the simulation only: each must be caught.

macro_rules! variants {
    ($($(#[$doc:meta])* $name:ident $text:literal $about:literal;)*) => {
        /// A variant with one known fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Broken {
            $($(#[$doc])* $name,)*
        }

        impl Broken {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What is wrong with it.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

variants! {
    /// See its text.
    ReadThenWrite "read-then-write" "a commit or a settling does not check that the viewer's state is as it was read";
    /// See its text.
    CasAbsentUpsert "cas-absent-upsert" "replacing the state of a viewer who had none is unconditional";
    /// See its text.
    RowAfterAnswer "row-after-answer" "the rows are written a moment after the commit, not with its claims";
    /// See its text.
    ReleaseKeepsToken "release-keeps-token" "a start is accepted although its claim was released";
    /// See its text.
    RetryDecidesAgain "retry-decides-again" "the remembered answer is not found, and the break is committed again";
    /// See its text.
    AckBeforePost "ack-before-post" "the outbox is deleted before the origin has what it held";
    /// See its text.
    BeaconAckBeforeDurable "beacon-ack-before-durable" "beacons are acknowledged when they are sent to the origin";
    /// See its text.
    CapsEmptyWhenUnavailable "caps-empty-when-unavailable" "a view that fails is taken for that of a new viewer";
    /// See its text.
    UnreadableIsNew "unreadable-is-new" "a state that cannot be read is taken for that of a new viewer";
    /// See its text.
    ReservedNotCounted "reserved-not-counted" "a reserved claim counts only from when it was taken, like a confirmed one";
    /// See its text.
    ExpiredLeaseConfirmed "expired-lease-confirmed" "a start confirms a claim whose lease ended and that was forgotten";
    /// See its text.
    DegradedFillCapped "degraded-fill-capped" "without a store, capped ads are filled as if no cap had been reached";
    /// See its text.
    DoubleFold "double-fold" "an impression that is derived again earns again";
    /// See its text.
    PlanOlderWins "plan-older-wins" "a plan that arrives is put in force, also when a newer one is";
}
