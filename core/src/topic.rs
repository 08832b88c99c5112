//! Topics and their sources.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::StopReason;
use crate::list::{Link, Links};
use crate::log::Log;
use crate::name::Name;
use crate::options::{SourceKind, TopicOptions};
use crate::time::Time;
use slab::Slab;

/// One topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: Name,
    pub(crate) options: Arc<TopicOptions>,
    pub(crate) declared: bool,
    pub(crate) log: Log,
    /// Slots of its members; each is in exactly one of the three. Members know the vector and their
    /// index in it. The first two are the idle and the round, or the other way round: a new round
    /// begins by telling nobody.
    pub(crate) crowds: [Vec<u32>; 3],
    pub(crate) swapped: bool,
    /// How many of them are being drained: what is published now is not for them.
    pub(crate) drained: u32,
    /// It has frames that the idle have not been offered: another round follows this one.
    pub(crate) again: bool,
    /// Its place in the queue of data, and whether it is there.
    pub(crate) turn: Link,
    pub(crate) queued: bool,
    /// Its place among the topics whose life is to be settled, and whether it is there.
    pub(crate) settle: Link,
    pub(crate) unsettled: bool,
    pub(crate) source: Source,
    /// When the source is stopped, if nobody comes.
    pub(crate) linger: Option<Time>,
    /// When the log is dropped, if nobody comes.
    pub(crate) retained: Option<Time>,
    /// A publisher waits for room.
    pub(crate) room: Option<RoomWanted>,
}

/// Where the members of a topic stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crowd {
    /// At the head, ready for the next frame.
    Idle,
    /// To be served in the current round.
    Round,
    /// In flight, blocked, or waiting for a turn of their own.
    Behind,
}

/// What a waiting publisher waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomWanted {
    /// The bytes of the frame that is to fit in.
    pub(crate) bytes: u64,
    /// Where the last search ended: most likely it is still this member.
    pub(crate) at: u32,
    /// When the member that is waited for runs out of patience, if it is blocked.
    pub(crate) until: Option<Time>,
}

/// The life of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Not running; the next first member starts it.
    Idle,
    /// To be started.
    StartDue,
    Running(Running),
    /// Ended while there were members; not started again while they remain.
    Ended,
}

/// A source that was started and not stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) start: u64,
    /// It ended, or is to end: why.
    pub(crate) end: Option<StopReason>,
    /// A first member came after that: start it afresh.
    pub(crate) restart: bool,
    /// When it was started: the phase of its polls.
    pub(crate) since: Time,
    /// Polls asked for.
    pub(crate) polls: u64,
    pub(crate) poll: Poll,
}

/// Where the polls of a source stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Poll {
    /// It is not polled.
    Never,
    /// The next one is due then.
    At(Time),
    /// It has been due since then, and waits for its turn.
    Waiting(Time),
    /// In flight; it has failed then.
    InFlight(Time),
}

impl Topic {
    pub(crate) fn new(name: Name, options: Arc<TopicOptions>, declared: bool, seq: u64) -> Topic {
        Topic {
            name,
            options,
            declared,
            log: Log::new(seq),
            crowds: [const { Vec::new() }; 3],
            swapped: false,
            drained: 0,
            again: false,
            turn: Link::NONE,
            queued: false,
            settle: Link::NONE,
            unsettled: false,
            source: Source::Idle,
            linger: None,
            retained: None,
            room: None,
        }
    }

    #[inline]
    pub(crate) fn members(&self) -> u32 {
        self.crowds.iter().map(|crowd| crowd.len() as u32).sum()
    }

    /// Members that a publish is for.
    #[inline]
    pub(crate) fn listeners(&self) -> u32 {
        self.members() - self.drained
    }

    /// The vector of a crowd.
    #[inline]
    pub(crate) fn vector(&self, crowd: Crowd) -> u32 {
        match crowd {
            Crowd::Idle => u32::from(self.swapped),
            Crowd::Round => u32::from(!self.swapped),
            Crowd::Behind => 2,
        }
    }

    #[inline]
    pub(crate) fn crowd(&self, crowd: Crowd) -> &Vec<u32> {
        &self.crowds[self.vector(crowd) as usize]
    }

    /// Makes the idle the new round, and the other way round.
    #[inline]
    pub(crate) fn swap(&mut self) {
        self.swapped = !self.swapped;
    }

    pub(crate) fn has_source(&self) -> bool {
        self.options.source != SourceKind::None
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.source, Source::Running(_))
    }

    /// It counts against the bound on sources.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.source, Source::StartDue | Source::Running(_))
    }

    /// A publish is appended: somebody listens, may come back, or lingers.
    pub(crate) fn keeps(&self) -> bool {
        self.members() > 0
            || self.is_running()
            || self.retained.is_some()
            || (self.declared && self.options.history)
    }
}

/// The links of the topics that are to be settled.
pub(crate) struct Unsettled<'a>(pub(crate) &'a mut Slab<Topic>);

impl Links for Unsettled<'_> {
    #[inline]
    fn link(&mut self, member: u32) -> &mut Link {
        &mut self.0[member as usize].settle
    }
}
