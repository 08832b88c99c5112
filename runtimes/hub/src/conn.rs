//! One connection: an entry in a table, not a task.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use bytes::Bytes;
use sse_state::http::{Drain, Head};

use crate::decide::PublishPlan;
use crate::runtime::Stream;
use crate::signal::{ConnWaker, lock};
use crate::site::Site;
use crate::task::Cancel;

/// A connection. What it is about is the machine's; here is only what its bytes need.
///
/// One allocation, with the stream in it, and one for its waker: an idle stream costs about 150 bytes
/// here, beside what the machine and the runtime keep for it.
pub(crate) struct Conn<S: Stream + ?Sized = dyn Stream> {
    pub(crate) waker: Arc<ConnWaker>,
    pub(crate) phase: Mutex<Phase>,
    pub(crate) stream: S,
}

/// A peer that has ended its own side may read on: whatever drops its connection within an event, that
/// must not look like a good end (WIRE §3).
impl<S: Stream + ?Sized> Drop for Conn<S> {
    fn drop(&mut self) {
        if self.waker.is_unfinished() {
            self.stream.reset_on_close();
        }
    }
}

/// What the bytes that come in are.
pub(crate) enum Phase {
    /// A request head.
    Head(Box<Opening>),
    /// The head is complete, a hook decides.
    Deciding(Box<Deciding>),
    /// The body of a publish.
    Body(Box<BodyIn>),
    /// Nothing that matters: a stream is open, or an answer is being written.
    Open(Drain),
    /// The connection is closed.
    Closed,
}

/// A connection whose head is being read.
pub(crate) struct Opening {
    pub(crate) head: Head,
    /// Bytes of it that the machine knows of.
    pub(crate) told: usize,
    pub(crate) site: Arc<Site>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) local_is_loopback: bool,
}

/// A request that waits for its hook.
pub(crate) struct Deciding {
    /// Dropped with this, and the hook's future with it.
    pub(crate) _hook: Cancel,
    /// What came after the head: the beginning of a body, if the request has one.
    pub(crate) early: Vec<u8>,
    /// Length of the body.
    pub(crate) body: usize,
    pub(crate) drain: Drain,
}

/// The body of a publish.
pub(crate) struct BodyIn {
    pub(crate) plan: PublishPlan,
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: usize,
    pub(crate) drain: Drain,
}

impl Conn {
    pub(crate) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.waker))
    }

    /// Nothing that comes in matters any more. A hook's future that still runs, which holds the
    /// connection, is dropped.
    pub(crate) fn close(&self) {
        let before = std::mem::replace(&mut *lock(&self.phase), Phase::Closed);
        drop(before);
    }

    /// Has a worker look at it.
    pub(crate) fn look(&self) {
        std::task::Wake::wake_by_ref(&self.waker);
    }
}

impl Deciding {
    /// Keeps a little of a body, so that a small one needs no second look; false past what may follow it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        let wanted = self.body - self.early.len();
        let (body, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.early.extend_from_slice(body);
        self.drain.push(rest.len())
    }

    /// Whether there is room for more; else nothing is read until the hook has decided.
    pub(crate) fn reads_on(&self) -> bool {
        self.body == self.early.len() || self.early.len() < EARLY_BYTES
    }
}

impl BodyIn {
    /// Takes what belongs to the body; false past what may follow it.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        let wanted = self.length - self.bytes.len();
        let (body, rest) = bytes.split_at(wanted.min(bytes.len()));
        self.bytes.extend_from_slice(body);
        self.drain.push(rest.len())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.bytes.len() == self.length
    }

    /// The bytes, once they are complete.
    pub(crate) fn into_parts(self) -> (PublishPlan, Bytes, Drain) {
        (self.plan, Bytes::from(self.bytes), self.drain)
    }
}

/// Bytes of a body that are kept before it is known whether they are wanted: about one read.
const EARLY_BYTES: usize = 16 << 10;
