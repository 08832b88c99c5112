//! What goes wrong, and where.

listed! {
    /// A fault of the world. None of them is the hub's; it has to live with all.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    #[allow(missing_docs)] // each says itself what it is
    pub enum Fault {
        ShortWrite,
        FalseBlockedWrite,
        InterruptedWrite,
        ResetWrite,
        PartThenReset,
        LateWritable,
        ShortRead,
        FalseBlockedRead,
        InterruptedRead,
        ResetRead,
        LateReadable,
        SpuriousWake,
        AcceptAborted,
        AcceptExhausted,
        LateTimer,
        FailedFin,
        Preempted,
        SlowMachine,
        PeerResets,
        PeerEnds,
        PeerVanishes,
        PeerStalls,
    }
}

/// Where the hub asks the world for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Site {
    Write,
    PollWrite,
    Read,
    PollRead,
    Accept,
    Timer,
    Fin,
}

impl Fault {
    /// Whether it can happen there.
    pub(crate) fn fits(self, site: Site) -> bool {
        Fault::of(site).contains(&self)
    }

    /// What can happen there; the last few, rarer in random runs, end connections.
    pub(crate) fn of(site: Site) -> &'static [Fault] {
        use Fault::*;
        match site {
            Site::Write => &[
                ShortWrite,
                FalseBlockedWrite,
                InterruptedWrite,
                Preempted,
                SlowMachine,
                PartThenReset,
                ResetWrite,
                PeerResets,
                PeerEnds,
                PeerVanishes,
                PeerStalls,
            ],
            Site::PollWrite => &[LateWritable, SpuriousWake],
            Site::Read => &[
                ShortRead,
                FalseBlockedRead,
                InterruptedRead,
                ResetRead,
                PeerResets,
                PeerEnds,
                PeerVanishes,
            ],
            Site::PollRead => &[LateReadable, SpuriousWake],
            Site::Accept => &[AcceptAborted, AcceptExhausted],
            Site::Timer => &[LateTimer],
            Site::Fin => &[FailedFin, PeerVanishes],
        }
    }

    /// It ends the connection, so random runs have fewer of it.
    pub(crate) fn is_deadly(self) -> bool {
        use Fault::*;
        matches!(
            self,
            ResetWrite
                | PartThenReset
                | ResetRead
                | PeerResets
                | PeerEnds
                | PeerVanishes
                | PeerStalls
                | FailedFin
        )
    }
}
