//! Sockets and timers of `async-io`, the reactor that smol and async-std share.
//!
//! Its events come once and are asked for again by a poll, so a direction that has become ready may be
//! reported so once more: the hub finds out by trying.

use std::future::Future as _;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::Async;
use sse_state::Time;

use crate::runtime::{Accepted, Listener, Stream, Timer};
use crate::socket;

/// The clock: time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        let start = Instant::now();
        Clock { start }
    }

    /// The time.
    pub fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// A timer on this clock.
    pub fn timer(&self) -> Box<dyn Timer> {
        Box::new(ReactorTimer {
            clock: *self,
            set: None,
            timer: async_io::Timer::never(),
        })
    }
}

struct ReactorTimer {
    clock: Clock,
    /// What it is set to.
    set: Option<Time>,
    timer: async_io::Timer,
}

impl Timer for ReactorTimer {
    fn poll_at(&mut self, at: Time, cx: &mut Context<'_>) -> Poll<()> {
        if self.set != Some(at) {
            let far = at.since(Time::ZERO).min(FAR);
            self.timer.set_at(self.clock.start + far);
            self.set = Some(at);
        }
        ready!(Pin::new(&mut self.timer).poll(cx));
        // It has fired: the next poll sets it anew.
        self.set = None;
        Poll::Ready(())
    }
}

/// A TCP connection.
#[derive(Debug)]
pub struct Socket(Async<TcpStream>);

impl Stream for Socket {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0.get_ref(), into)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut self.0.get_ref(), bytes)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_writable(cx)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self.0.get_ref())
    }

    fn reset_on_close(&self) {
        socket::reset_on_close(self.0.get_ref());
    }

    fn set_options(&self, user_timeout: Duration) {
        socket::set_options(self.0.get_ref(), user_timeout);
    }
}

/// A TCP listener.
#[derive(Debug)]
pub struct TcpListener(Async<std::net::TcpListener>);

impl TcpListener {
    /// Listens on the first of these addresses that it can, with a backlog of 4096. (`bind` of std,
    /// async-io and async-std has 128.)
    ///
    /// # Errors
    /// That of the last address: a busy port, for instance.
    pub fn listen(addrs: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpListener> {
        TcpListener::try_from(socket::listen_first(addrs)?)
    }

    /// The address that it listens on, its port if 0 was asked for.
    ///
    /// # Errors
    /// As `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

impl From<Async<std::net::TcpListener>> for TcpListener {
    fn from(listener: Async<std::net::TcpListener>) -> TcpListener {
        TcpListener(listener)
    }
}

/// Makes it non-blocking.
impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        Async::new(listener).map(TcpListener)
    }
}

impl Listener for TcpListener {
    type Stream = Socket;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<Socket>>> {
        loop {
            match self.0.get_ref().accept() {
                Ok((stream, peer)) => {
                    let local_is_loopback = socket::is_local(&stream)?;
                    // It was made non-blocking by nobody yet.
                    return Poll::Ready(Async::new(stream).map(|stream| Accepted {
                        stream: Socket(stream),
                        peer: Some(peer),
                        local_is_loopback,
                    }));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// What a timer is set to at most; it is set again when it fires.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
