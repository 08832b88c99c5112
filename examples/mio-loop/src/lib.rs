#![doc = include_str!("../README.md")]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use example_service::net::{self, ACCEPT_PAUSE, Accept};
use example_service::{Exchange, Service};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use sse_state::{
    Answer, Config, Control, Ending, Engine, Input, Name, Next, Pumped, Reply, Run, Sink,
    SourceToken, SubscriberId, Time,
};

/// A listener and its event queue.
pub struct Loop {
    poll: Poll,
    /// Closed by the shutdown.
    listener: Option<TcpListener>,
    inputs: Receiver<Input<'static>>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// For other threads.
    pub handle: Handle,
}

/// Hands inputs to the loop, from any thread.
#[derive(Clone)]
pub struct Handle(Sender<Input<'static>>, Arc<Waker>);

impl Handle {
    /// Hands an input to the loop: a publish, the end. What the machine refuses is dropped.
    pub fn send(&self, input: Input<'static>) {
        if self.0.send(input).is_ok() {
            // It fails only if the event queue is gone, and the loop with it.
            let _ = self.1.wake();
        }
    }
}

impl Loop {
    /// Listens.
    ///
    /// # Errors
    /// As `bind`, a busy port for instance.
    pub fn listen(addr: SocketAddr, config: &Config) -> io::Result<Loop> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::from_std(net::listen(addr, config)?);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, inputs) = channel();
        Ok(Loop {
            poll,
            addr: listener.local_addr()?,
            listener: Some(listener),
            inputs,
            handle: Handle(sender, waker),
        })
    }

    /// Serves until the machine has ended.
    ///
    /// # Errors
    /// If it cannot wait for events at all.
    pub fn serve(self, state: impl Engine, service: impl Service) -> io::Result<()> {
        let hands = Hands {
            conns: HashMap::new(),
            polls: Vec::new(),
            service,
        };
        let mut server = Server {
            io: self,
            state,
            hands,
            start: Instant::now(),
            now: Time::ZERO,
            accept_at: None,
        };
        server.run()
    }
}

struct Server<E, S> {
    io: Loop,
    state: E,
    hands: Hands<S>,
    start: Instant,
    now: Time,
    /// When to accept again, after an error that no event will end.
    accept_at: Option<Time>,
}

/// What executes the machine's actions.
struct Hands<S> {
    conns: HashMap<SubscriberId, Conn>,
    /// Polls to be made.
    polls: Vec<(Name, SourceToken, u64)>,
    service: S,
}

struct Conn {
    stream: TcpStream,
    exchange: Exchange,
}

impl<E: Engine, S: Service> Server<E, S> {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.state.is_terminated() {
            let times = [self.state.poll_timeout(), self.accept_at];
            let until = times.into_iter().flatten().min();
            let timeout = until.map(|until| until.since(self.clock()));
            match self.io.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => self.now = self.clock(),
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.take_inputs(),
                    Token(number) => {
                        let id = SubscriberId::from_u64(number as u64);
                        if event.is_writable() && self.hands.conns.contains_key(&id) {
                            self.tell(Input::Writable { id });
                        }
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            self.read(id);
                        }
                    }
                }
            }
            if self.accept_at.is_some_and(|at| at <= self.now) {
                self.accept();
            }
            // If none is due, nothing happens.
            self.tell(Input::Timeout);
            self.pump();
        }
        Ok(())
    }

    fn clock(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Executes all there is to do.
    fn pump(&mut self) {
        loop {
            while self.state.pump(256, &mut self.hands) == Pumped::More {}
            if self.hands.polls.is_empty() {
                return;
            }
            let next = Next::GoOn;
            for (topic, token, number) in std::mem::take(&mut self.hands.polls) {
                let outcome = self.hands.service.poll(&topic);
                self.tell(Input::PollResult {
                    token,
                    number,
                    outcome,
                    next,
                });
            }
        }
    }

    /// Accepts until nobody waits: an edge is told once.
    fn accept(&mut self) {
        self.accept_at = None;
        while let Some(listener) = &self.io.listener {
            match listener.accept() {
                Ok((stream, _)) => self.open(stream),
                Err(error) => match Accept::from(&error) {
                    Accept::Nobody => return,
                    Accept::Next => {}
                    Accept::Later => {
                        self.hands.service.accept_failed(&error);
                        self.accept_at = Some(self.now + ACCEPT_PAUSE);
                        return;
                    }
                },
            }
        }
    }

    fn open(&mut self, mut stream: TcpStream) {
        // A connection that is refused is closed.
        let Ok(Reply::Id(id)) = self.state.apply(self.now, Input::Accept) else {
            return;
        };
        let (registry, token) = (self.io.poll.registry(), Token(id.as_u64() as usize));
        let both = Interest::READABLE | Interest::WRITABLE;
        if registry.register(&mut stream, token, both).is_err() {
            return self.tell(Input::PeerGone { id });
        }
        let exchange = Exchange::new(net::is_local(stream.local_addr()));
        self.hands.conns.insert(id, Conn { stream, exchange });
    }

    /// Reads until it would block: an edge is told once.
    fn read(&mut self, id: SubscriberId) {
        let mut buffer = [0; 4096];
        let Hands { conns, service, .. } = &mut self.hands;
        while let Some(Conn { stream, exchange }) = conns.get_mut(&id) {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(bytes) if bytes > 0 => {
                    let bytes = &buffer[..bytes];
                    if !exchange.received(bytes, id, self.now, &mut self.state, service) {
                        return;
                    }
                }
                Ok(_) | Err(_) => {
                    conns.remove(&id);
                    return self.tell(Input::PeerGone { id });
                }
            }
        }
    }

    fn take_inputs(&mut self) {
        while let Ok(input) = self.io.inputs.try_recv() {
            if let Input::Shutdown { .. } = input {
                self.io.listener = None;
            }
            self.tell(input);
        }
    }

    /// Feeds what needs no answer.
    fn tell(&mut self, input: Input<'_>) {
        let _ = self.state.apply(self.now, input);
    }
}

impl<S: Service> Sink for Hands<S> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Answer::Gone;
        };
        let mut written = 0;
        // Less than all is not a block yet: only the socket can say so.
        while written < run.len() {
            match conn.stream.write(&run[written..]) {
                Ok(bytes) if bytes > 0 => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Answer::Blocked(written as u32);
                }
                Ok(_) | Err(_) => {
                    self.conns.remove(&id);
                    return Answer::Gone;
                }
            }
        }
        Answer::All
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { topic, token } => self.service.start(&topic, token),
            Control::Poll {
                topic,
                token,
                number,
            } => self.polls.push((topic, token, number)),
            Control::StopSource { token, .. } => self.polls.retain(|poll| poll.1 != token),
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get(&id) {
                    // If it fails the peer is gone, which the next read tells.
                    let _ = conn.stream.shutdown(Shutdown::Write);
                }
            }
            Control::Close { id, ending, .. } => match (self.conns.remove(&id), ending) {
                (Some(conn), Ending::Cut) => net::reset_on_close(&conn.stream),
                // Bytes that are not read would make a reset of it. (Who goes on sending gets one.)
                (Some(mut conn), Ending::Orderly) => drop(conn.stream.read(&mut vec![0; 64 << 10])),
                (None, _) => {}
            },
            // No body of a framework is served, and no publish waits for room.
            Control::Wake { .. } | Control::Room { .. } => {}
        }
    }
}

// An id is a slot and a generation, and no slot is as high as these.
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const _: () = assert!(usize::BITS == 64, "a token holds a whole id");
