//! What the hub needs of tokio.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sse_state_hub::{
    Accepted, App, Listener, NoRuntime, Runtime, Serve, Stream, Task, Time, Timer, socket,
};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

/// The tokio runtime that a hub was built in.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
    start: Instant,
}

impl Runtime for Tokio {
    fn enter() -> Result<Tokio, NoRuntime> {
        let handle = Handle::try_current().map_err(|_| NoRuntime)?;
        let start = Instant::now();
        Ok(Tokio { handle, start })
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(SleepTimer {
            runtime: self.clone(),
            sleep: None,
        })
    }

    fn spawn(&self, task: Task) {
        drop(self.handle.spawn(task));
    }

    fn spawn_worker(&self, task: Task) {
        // It polls many sockets in one step, and yields by itself.
        drop(self.handle.spawn(tokio::task::coop::unconstrained(task)));
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        drop(self.handle.spawn_blocking(job));
    }

    fn workers(&self) -> usize {
        self.handle.metrics().num_workers()
    }
}

/// A timer that is made when it is first set.
struct SleepTimer {
    runtime: Tokio,
    sleep: Option<(Time, Pin<Box<Sleep>>)>,
}

impl Timer for SleepTimer {
    fn poll_at(&mut self, at: Time, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = || self.runtime.start + at.since(Time::ZERO).min(FAR);
        match &mut self.sleep {
            Some((set, sleep)) if *set != at => {
                sleep.as_mut().reset(deadline());
                *set = at;
            }
            Some(_) => {}
            None => {
                // A sleep is made inside of its runtime.
                let _inside = self.runtime.handle.enter();
                self.sleep = Some((at, Box::pin(sleep_until(deadline()))));
            }
        }
        match &mut self.sleep {
            Some((set, sleep)) => {
                ready!(sleep.as_mut().poll(cx));
                // It is set anew, and not made anew, when it is polled next.
                *set = Time::MAX;
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Stream for Socket {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(&self.0)
    }

    fn reset_on_close(&self) {
        socket::reset_on_close(&self.0);
    }

    fn set_options(&self, user_timeout: Duration) {
        socket::set_options(&self.0, user_timeout);
    }
}

/// A TCP listener; tokio's own becomes one by `into`.
#[derive(Debug)]
pub struct TcpListener(tokio::net::TcpListener);

impl TcpListener {
    /// The address that it listens on, its port if 0 was asked for.
    ///
    /// # Errors
    /// As `getsockname`.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.0.local_addr()
    }
}

impl From<tokio::net::TcpListener> for TcpListener {
    fn from(listener: tokio::net::TcpListener) -> TcpListener {
        TcpListener(listener)
    }
}

impl Listener for TcpListener {
    type Stream = Socket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<Socket>>> {
        let (stream, peer) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok(Accepted {
            local_is_loopback: socket::is_local(&stream)?,
            stream: Socket(stream),
            peer: Some(peer),
        }))
    }
}

/// Listens on the first of these addresses that it can, with a backlog of 4096. (tokio's own `bind` has
/// 1024 at most, and its builders often 128.)
///
/// # Errors
/// That of the last address: a busy port, for instance.
pub async fn listen(addr: impl tokio::net::ToSocketAddrs) -> io::Result<TcpListener> {
    let listener = socket::listen_first(tokio::net::lookup_host(addr).await?)?;
    tokio::net::TcpListener::from_std(listener).map(TcpListener)
}

/// Serves an app until its hub has ended; see [`sse_state_hub::serve`].
pub fn serve(listener: impl Into<TcpListener>, app: App) -> Serve<TcpListener> {
    sse_state_hub::serve(listener.into(), app)
}

/// What a timer is set to at most; it is set again when it fires.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
