//! What the hub needs of a runtime: a clock, a timer, tasks, and byte streams that can be polled.
//!
//! Everything is poll-style and takes the hub's own wakers, so that a connection needs no task, no
//! boxed future and no timer of its own. One runtime is about 150 lines.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sse_state::Time;

/// A runtime: what [`HubBuilder::build`](crate::HubBuilder::build) spawns the hub's few tasks on.
pub trait Runtime: Send + Sync + 'static {
    /// The runtime that the caller runs in.
    ///
    /// # Errors
    /// [`NoRuntime`] outside of one.
    fn enter() -> Result<Self, NoRuntime>
    where
        Self: Sized;

    /// The runtime's clock: time since a start that the runtime chose. It never goes back.
    fn now(&self) -> Time;

    /// A timer; the hub makes one for itself and one per listener.
    fn timer(&self) -> Box<dyn Timer>;

    /// Runs a task to its end, or until the runtime goes.
    fn spawn(&self, task: Task);

    /// Runs one of the hub's workers. They yield by themselves, so a runtime that counts steps does not
    /// need to count theirs.
    fn spawn_worker(&self, task: Task) {
        self.spawn(task);
    }

    /// Runs a job that blocks on a thread where it may.
    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>);

    /// How many workers are of use: the threads of the runtime.
    fn workers(&self) -> usize {
        1
    }
}

/// A task of a [`Runtime`].
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One timer, set again and again.
pub trait Timer: Send {
    /// Ready once the clock has reached `at`. A timer that is polled with the same `at` again is not
    /// set anew.
    fn poll_at(&mut self, at: Time, cx: &mut Context<'_>) -> Poll<()>;
}

/// A connected byte stream.
///
/// `poll_readable` and `poll_writable` keep the last waker of their direction and wake it once when the
/// answer may have changed; the two directions do not disturb each other.
pub trait Stream: Send + Sync + 'static {
    /// Reads what is there. `Ok(0)` is the end.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing now; it need not be true until `poll_readable` says so too.
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room now; it need not be true until `poll_writable` says so too.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether a read is worth trying; if pending, the waker is woken when it is.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether a write is worth trying; if pending, the waker is woken when it is.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the write side: the peer reads an end after everything that was written (FIN).
    ///
    /// # Errors
    /// If the peer is gone.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Makes the coming drop a reset (RST), so that nobody takes it for a good end.
    fn reset_on_close(&self);

    /// Sets the options of WIRE §8. `user_timeout`: how long the kernel waits for an acknowledgement.
    fn set_options(&self, user_timeout: Duration);
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Its stream.
    pub stream: S,
    /// The address of the peer, if it has one.
    pub peer: Option<SocketAddr>,
    /// Its local address is loopback: only loopback names are served then (WIRE §2).
    pub local_is_loopback: bool,
}

/// What connections come from.
pub trait Listener: Send + Unpin + 'static {
    /// Its connections.
    type Stream: Stream;

    /// The next connection. An error does not end the listener.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<Self::Stream>>>;
}

/// A hub was built outside of the runtime that is to run it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRuntime;

impl fmt::Display for NoRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not inside a runtime: build the hub where its tasks can be spawned")
    }
}

impl std::error::Error for NoRuntime {}
