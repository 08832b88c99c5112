//! Rare situations, by name, each with the times that a standard budget must see it.

/// Names each mark once: variant, name in the table, quota.
macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident $quota:literal)*) => {
        /// A rare situation, counted from what could be observed.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mark { $($(#[$doc])* $mark,)* }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Mark] = &[$(Mark::$mark,)*];

            /// How often the standard budget must see it.
            pub const fn quota(self) -> u64 {
                match self { $(Mark::$mark => $quota,)* }
            }
        }
    };
}

marks! {
    /// A stream was opened in a topic within a millisecond of its last member's leaving.
    JoinWhileLastLeaves 10
    /// A stream was opened in a topic without members whose source lingered.
    JoinDuringLinger 10
    /// The only member left before the start of its source was pulled.
    StartCancelledBeforePulled 10
    /// A second member came before the start was pulled.
    TwoFirstAtOnce 10
    /// A write was accepted in part, and the next one was reset.
    PartialWriteThenReset 20
    /// A write was accepted in part, and then the socket was full.
    PartialWriteThenBlock 20
    /// A socket said that it would block, though it would not.
    FalseBlock 20
    /// Readiness came late.
    LateReadiness 20
    /// A waker was woken for nothing.
    SpuriousWake 20
    /// A write was interrupted.
    InterruptedWrite 20
    /// A read was interrupted.
    InterruptedRead 20
    /// A request head came in three pieces or more.
    HeadInPieces 20
    /// A connection never said what it wanted, and was cut.
    HeadTimedOut 10
    /// A connection was cut to make room for a newer one.
    OpeningEvicted 5
    /// A peer left before its head was complete.
    LeftInHead 10
    /// The future of a poll was dropped because its source was stopped.
    PollDroppedByStop 10
    /// A poll hung, and the next one took its place.
    PollTimedOut 5
    /// A poll failed.
    PollFailed 20
    /// A poll panicked.
    PollPanicked 10
    /// A blocking poll was not finished when the next one was due.
    BlockingPollOverrun 3
    /// Polling ended because its condition was met.
    PollingConditionMet 5
    /// A source finished.
    SourceFinished 10
    /// A source panicked.
    SourcePanicked 10
    /// A source was stopped by hand.
    SourceStoppedByHand 5
    /// A publish of a run that was stopped was refused as stale.
    StalePublish 5
    /// A publish waited, and went through.
    PublishWaitWoken 10
    /// A publish that waited was given up.
    PublishWaitDropped 5
    /// A publish that waited was refused by a shutdown.
    PublishWaitShutdown 3
    /// A publish that waits went through although a member was blocked.
    PatienceOver 5
    /// A client came back and missed nothing.
    ResumedExactly 20
    /// A client came back after what it had not seen was gone, and was told so.
    ResumedOverEvicted 5
    /// A client came back with an id that nobody gave out, and was told so.
    ResumedFromUnknown 10
    /// A client was told how many events it had missed.
    GapTold 5
    /// A client got the newest instead of everything.
    Conflated 5
    /// A stream ended because it lagged.
    LagClosed 5
    /// A stream that accepted nothing was cut.
    StalledCut 10
    /// A peer that had vanished was found by the kernel, or by the write timeout.
    VanishedFound 10
    /// A peer went after the write side had been shut.
    FinishThenPeerGone 20
    /// A peer did not go after the write side had been shut, and was closed.
    FinishTimedOut 5
    /// Grace was over while a write was unfinished.
    GraceExpiredBlocked 3
    /// A stream got its farewell at a shutdown.
    ShutdownDrained 20
    /// A shutdown began while a head was being read.
    ShutdownDuringHead 3
    /// A shutdown began while a hook decided.
    ShutdownDuringHook 3
    /// The last handle was dropped.
    HubDropped 5
    /// A hook took its time, and granted.
    HookSlow 10
    /// A hook was dropped because its peer had left.
    HookDroppedByLeave 5
    /// A hook hung until the deadline of the head.
    HookTimedOut 3
    /// A hook panicked.
    HookPanicked 5
    /// A hook refused.
    HookRefused 10
    /// The streams of a key were closed.
    KeyClosed 5
    /// A key was closed while a hook decided on it, and the grant was refused.
    KeyClosedDuringHook 3
    /// A stream ended when its grant expired.
    Expired 5
    /// A stream ended after its longest life.
    LifetimeOver 5
    /// A stream ended with its source.
    EndedWithSource 5
    /// Bytes after a request were dropped.
    StrayDropped 20
    /// Too many bytes after a request cut the connection.
    StrayFlood 3
    /// A client shut its write side while it read.
    HalfClosed 10
    /// Accepting failed for want of descriptors, and went on.
    AcceptExhausted 10
    /// Accepting failed for one connection.
    AcceptAborted 10
    /// A stream was refused for want of room.
    RefusedFull 10
    /// A body was published.
    PostHeard 10
    /// A body was published to nobody.
    PostUnheard 3
    /// A body was cut before it was complete.
    PostCut 5
    /// A body was refused because the topic has a source.
    PostToSource 3
    /// A publish equalled the newest event.
    Unchanged 10
    /// Something was published between the take of a write and its report.
    PublishedDuringWrite 20
    /// A stream was closed while a write of it was in flight.
    ClosedInFlight 3
    /// Two workers had batches at once.
    WorkersOverlap 10
}
