//! The world, by mio.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;
use sse_state::{
    Event as Message, Input, Name, Next, PollOutcome, SourceToken, SubscriberId, Time,
};

use crate::serve::{Event, Net};

/// Sockets, the clock, and what other threads hand over.
pub struct Mio {
    poll: Poll,
    ready: Events,
    listener: TcpListener,
    inputs: Receiver<Input<'static>>,
    handle: Handle,
    start: Instant,
    read: ReadValue,
}

/// Hands inputs to the loop, from any thread.
#[derive(Clone)]
pub struct Handle {
    inputs: Sender<Input<'static>>,
    waker: Arc<Waker>,
}

/// What a poll of a topic gives.
pub type ReadValue = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// A poll on a thread of its own.
pub struct Job {
    given_up: Arc<AtomicBool>,
}

impl Mio {
    /// Listens. `read` is called, on a thread, for every poll.
    ///
    /// # Errors
    /// As `bind`, a busy port for instance.
    pub fn listen(addr: SocketAddr, read: ReadValue) -> io::Result<Mio> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(addr)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, inputs) = channel();
        Ok(Mio {
            poll,
            ready: Events::with_capacity(1024),
            listener,
            inputs,
            handle: Handle {
                inputs: sender,
                waker,
            },
            start: Instant::now(),
            read,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Handle {
    /// Hands an input to the loop. Nothing happens once the loop has ended.
    pub fn send(&self, input: Input<'static>) {
        if self.inputs.send(input).is_ok() {
            // It fails only if the poll is gone, and the loop with it.
            let _ = self.waker.wake();
        }
    }
}

impl Net for Mio {
    type Stream = TcpStream;
    type Job = Job;

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn unix_seconds(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }

    fn wait(&mut self, until: Option<Time>, events: &mut Vec<Event>) -> io::Result<()> {
        let timeout = until.map(|until| until.since(self.now()));
        self.poll.poll(&mut self.ready, timeout)?;
        events.extend(self.ready.iter().map(|event| match event.token() {
            LISTENER => Event::Accept,
            WAKER => Event::Inputs,
            Token(id) => Event::Stream {
                id: SubscriberId::from_u64(id as u64),
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable(),
            },
        }));
        Ok(())
    }

    fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept()?;
        // A socket that refuses it works without.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    fn register(&mut self, stream: &mut TcpStream, id: SubscriberId) -> io::Result<()> {
        let token = Token(id.as_u64() as usize);
        self.poll
            .registry()
            .register(stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn finish(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }

    fn reset(&mut self, stream: TcpStream) {
        // If it fails the client sees an orderly end.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }

    fn take(&mut self) -> Option<Input<'static>> {
        self.inputs.try_recv().ok()
    }

    fn poll(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        let given_up = Arc::new(AtomicBool::new(false));
        let (read, handle, topic) = (Arc::clone(&self.read), self.handle(), topic.clone());
        let is_given_up = Arc::clone(&given_up);
        thread::spawn(move || {
            let value = read(topic.as_str());
            let outcome = match value.as_deref().map(|value| Message::new(value).encode()) {
                Ok(Ok(frame)) => PollOutcome::Frame(frame),
                Ok(Err(_)) | Err(_) => PollOutcome::Failed(None),
            };
            if !is_given_up.load(Ordering::Acquire) {
                let next = Next::GoOn;
                handle.send(Input::PollResult {
                    token,
                    number,
                    outcome,
                    next,
                });
            }
        });
        Job { given_up }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Release);
    }
}

// An id is a slot and a generation, and no slot is as high as these.
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
