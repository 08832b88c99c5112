//! What the machine wants done, and what the executor answers.

use bytes::Bytes;
use core::fmt;

use crate::id::{SourceToken, SubscriberId};
use crate::name::Name;

/// One thing to do, as [`SseState::poll_action`](crate::SseState::poll_action) hands it out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Write these bytes to this stream. They are *in flight* until a
    /// [`Report`](crate::Report) names the id; the stream gets no other write before.
    Write {
        /// The stream.
        id: SubscriberId,
        /// What to write: a reference, not a copy.
        run: Bytes,
    },
    /// Anything else; there is no answer to it.
    Control(Control),
}

/// What comes before data: sources to start and stop, polls, closes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    /// Start the source of this topic. Strictly alternates with `StopSource`, per topic.
    StartSource {
        /// The topic.
        topic: Name,
        /// What every result of this run carries.
        token: SourceToken,
    },
    /// Poll the source now; drop a poll of the same source that is not finished.
    Poll {
        /// The topic.
        topic: Name,
        /// The run of the source.
        token: SourceToken,
        /// Which poll of this run, from 1; the result carries it.
        number: u64,
    },
    /// Stop the source; results with this token change nothing any more.
    StopSource {
        /// The topic.
        topic: Name,
        /// The run that ends.
        token: SourceToken,
        /// Why.
        reason: StopReason,
    },
    /// A mounted stream has something to pull. Once, until it is pulled.
    Wake {
        /// The stream.
        id: SubscriberId,
    },
    /// A publish that was told to wait would now succeed. Once.
    Room {
        /// The topic.
        topic: Name,
    },
    /// Shut the write side, and read and drop what comes in.
    Finish {
        /// The connection.
        id: SubscriberId,
    },
    /// Close it: the last action that names this id.
    Close {
        /// The connection.
        id: SubscriberId,
        /// Why.
        reason: CloseReason,
        /// How.
        ending: Ending,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ending {
    /// After a whole frame: a FIN, or the end of a mounted body.
    Orderly,
    /// In the middle: a reset, or a mounted body that fails, so that nobody takes it for a good end.
    Cut,
}

/// Why a connection was closed. A peer that is gone is forgotten without an action.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// No complete head, or no decision, by its deadline.
    HeadTimeout,
    /// No complete body by its deadline.
    BodyTimeout,
    /// Too many connections without a complete head; it was the oldest.
    Evicted,
    /// Its answer was written.
    Answered,
    /// The service asked for it.
    Asked,
    /// It fell out of the log of a topic with [`Slow::Close`](crate::Slow::Close).
    Lagged,
    /// Its begun frame would pass the bound on held bytes.
    Held,
    /// It accepted no byte for the write timeout, or did not end in time.
    Stalled,
    /// It reached its longest life.
    Lifetime,
    /// Its grant expired.
    Expired,
    /// Every source of it has finished, and the route ends then.
    Finished,
    /// The machine is shutting down.
    Shutdown,
}

/// Why a source was stopped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// Its stop condition was met.
    Condition,
    /// Its future returned.
    Finished,
    /// The service asked for it.
    Asked,
    /// The last subscriber left, and linger passed.
    NoSubscribers,
    /// The machine is shutting down.
    Shutdown,
    /// The last hub was dropped.
    HubDropped,
    /// Its task panicked. (A poll that panics is a failed poll.)
    Panicked,
}

/// Bytes lent for one write: one contiguous slice.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub(crate) whole: &'a Bytes,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl<'a> Run<'a> {
    /// Lends all of these bytes; for other implementations of [`Engine`](crate::Engine). Bytes past
    /// 4 GiB are left out: no run is as long.
    #[inline]
    pub fn of(bytes: &'a Bytes) -> Run<'a> {
        Run {
            whole: bytes,
            start: 0,
            end: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }

    /// The bytes to write.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.whole[self.start as usize..self.end as usize]
    }

    /// A reference to the bytes that outlives the call; for an executor that answers
    /// [`Answer::InFlight`]. Neither copies nor allocates.
    pub fn to_bytes(&self) -> Bytes {
        self.whole.slice(self.start as usize..self.end as usize)
    }
}

impl core::ops::Deref for Run<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole
            .slice(self.start as usize..self.end as usize)
            .fmt(f)
    }
}

/// What became of a run that was lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// All of it was accepted.
    All,
    /// This many bytes, fewer than all, were accepted; the socket then blocked.
    /// [`SseState::writable`](crate::SseState::writable) must follow when it is ready again.
    Blocked(u32),
    /// The peer is gone; the id is dead.
    Gone,
    /// The executor keeps a reference and will report once.
    InFlight,
}

/// Executes actions as they are pulled.
pub trait Sink {
    /// Write `run` to the stream `id`, or take it in flight.
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer;
    /// Do this.
    fn control(&mut self, control: Control);
}

/// Whether a pump left work behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "pump again while work is left"]
pub enum Pumped {
    /// Nothing is left to do until the next input or [`poll_timeout`](crate::SseState::poll_timeout).
    Idle,
    /// The budget was spent first.
    More,
}
