//! The loop: it feeds what has happened, pumps, and waits. Everything that touches the world goes through
//! [`Net`], so the same loop runs on mio and on the scripted IO of a test.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{
    Allow, Answer as Http, Busy, Head, HeadLimits, OriginRules, Progress, QueryRule, Refusal,
    Request, http_date,
};
use sse_state::{
    Answer, CloseHow, Control, Ending, Engine, Error, Input, Name, Pumped, Reply, Run, Sink,
    SourceToken, Start, Subscribe, SubscriberId, Time, Via,
};

/// What the loop needs of the world.
pub trait Net {
    /// A connection that does not block. Dropping it closes it.
    type Stream: Read + Write;
    /// A poll that is being made. Dropping it gives it up.
    type Job;

    /// The time.
    fn now(&self) -> Time;
    /// The date, in seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Waits for events, at most until this time.
    ///
    /// # Errors
    /// As the system call, which may be interrupted.
    fn wait(&mut self, until: Option<Time>, events: &mut Vec<Event>) -> io::Result<()>;
    /// The next connection.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn accept(&mut self) -> io::Result<Self::Stream>;
    /// Asks for the events of a connection.
    ///
    /// # Errors
    /// As the system call.
    fn register(&mut self, stream: &mut Self::Stream, id: SubscriberId) -> io::Result<()>;
    /// Shuts the write side.
    ///
    /// # Errors
    /// If the peer is gone.
    fn finish(&mut self, stream: &mut Self::Stream) -> io::Result<()>;
    /// Closes by a reset.
    fn reset(&mut self, stream: Self::Stream);
    /// What another thread has handed over: a publish, the value of a poll, the end of the service.
    fn take(&mut self) -> Option<Input<'static>>;
    /// Makes a poll. Its value comes out of [`take`](Self::take).
    fn poll(&mut self, topic: &Name, token: SourceToken, number: u64) -> Self::Job;
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Somebody connects.
    Accept,
    /// Another thread has handed something over.
    Inputs,
    /// A connection is ready.
    Stream {
        /// Which.
        id: SubscriberId,
        /// To be read.
        readable: bool,
        /// To be written.
        writable: bool,
    },
}

/// Serves until the machine has ended.
///
/// # Errors
/// If the loop cannot wait for events at all.
pub fn serve<N: Net, E: Engine>(net: N, state: E) -> io::Result<()> {
    let now = net.now();
    let hands = Hands {
        net,
        conns: HashMap::new(),
        jobs: HashMap::new(),
        has_room: false,
    };
    let mut server = Server {
        state,
        hands,
        now,
        waiting: Vec::new(),
        accept_at: None,
    };
    server.run()
}

struct Server<N: Net, E> {
    state: E,
    hands: Hands<N>,
    now: Time,
    /// Publishes that wait for room.
    waiting: Vec<Input<'static>>,
    /// When to accept again, after an error that no event will end.
    accept_at: Option<Time>,
}

/// What executes the machine's actions.
struct Hands<N: Net> {
    net: N,
    conns: HashMap<SubscriberId, Conn<N::Stream>>,
    jobs: HashMap<SourceToken, N::Job>,
    /// A publish that waits would now succeed.
    has_room: bool,
}

/// A connection, and its head while it is read.
struct Conn<S> {
    stream: S,
    head: Option<Head>,
}

impl<N: Net, E: Engine> Server<N, E> {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        while !self.state.is_terminated() {
            let times = [self.state.poll_timeout(), self.accept_at];
            events.clear();
            match self
                .hands
                .net
                .wait(times.into_iter().flatten().min(), &mut events)
            {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            self.now = self.hands.net.now();
            for event in events.drain(..) {
                match event {
                    Event::Accept => self.accept(),
                    Event::Inputs => {
                        while let Some(input) = self.hands.net.take() {
                            self.feed(input);
                        }
                    }
                    Event::Stream {
                        id,
                        readable,
                        writable,
                    } => {
                        if writable && self.hands.conns.contains_key(&id) {
                            self.tell(Input::Writable { id });
                        }
                        if readable {
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

    /// Executes all there is to do.
    fn pump(&mut self) {
        loop {
            while self.state.pump(256, &mut self.hands) == Pumped::More {}
            if !std::mem::take(&mut self.hands.has_room) {
                return;
            }
            for input in std::mem::take(&mut self.waiting) {
                self.feed(input);
            }
        }
    }

    fn accept(&mut self) {
        self.accept_at = None;
        loop {
            let mut stream = match self.hands.net.accept() {
                Ok(stream) => stream,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                    // Out of descriptors, most likely: it is told once, so we have to come back ourselves.
                    _ => return self.accept_at = Some(self.now + ACCEPT_PAUSE),
                },
            };
            // Who is refused is closed, by dropping the stream.
            let Ok(Reply::Id(id)) = self.state.apply(self.now, Input::Accept) else {
                continue;
            };
            if self.hands.net.register(&mut stream, id).is_err() {
                self.tell(Input::PeerGone { id });
                continue;
            }
            let head = Some(Head::new(HeadLimits::default()));
            self.hands.conns.insert(id, Conn { stream, head });
        }
    }

    /// Reads until it would block: an edge is told once.
    fn read(&mut self, id: SubscriberId) {
        let mut buffer = [0; 4096];
        while let Some(conn) = self.hands.conns.get_mut(&id) {
            match conn.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(bytes) if bytes > 0 => self.take_head(id, &buffer[..bytes]),
                Ok(_) | Err(_) => {
                    self.hands.conns.remove(&id);
                    return self.tell(Input::PeerGone { id });
                }
            }
        }
    }

    fn take_head(&mut self, id: SubscriberId, bytes: &[u8]) {
        // What comes after the head is read and dropped.
        let Some(conn) = self.hands.conns.get_mut(&id) else {
            return;
        };
        let Some(head) = &mut conn.head else { return };
        match head.push(bytes) {
            Progress::More => {
                let bytes = head.bytes_held() as u32;
                if self
                    .state
                    .apply(self.now, Input::HeadHeld { id, bytes })
                    .is_err()
                {
                    self.answer(id, &Http::refusal(&Refusal::NoRoom));
                }
            }
            Progress::Refused(why) => self.answer(id, &Http::refusal(&why)),
            Progress::Done { .. } => {
                if let Some(request) = conn.head.take().and_then(Head::into_request) {
                    self.decide(id, &request);
                }
            }
        }
    }

    fn decide(&mut self, id: SubscriberId, request: &Request) {
        let topic = request
            .check_host(true, &[])
            .and_then(|()| Allow::Get.check(request.method()))
            .and_then(|()| OriginRules::same_origin().check(request))
            .and_then(|()| request.topic(&QueryRule::all()));
        let topic = match topic {
            Ok(topic) if self.state.interest(&topic).is_some() => topic,
            Ok(_) => return self.answer(id, &Http::refusal(&Refusal::NoRoute)),
            Err(why) => return self.answer(id, &Http::refusal(&why)),
        };
        let head =
            Http::stream().to_bytes(request.is_head(), &http_date(self.hands.net.unix_seconds()));
        let Some(topic) = Name::new(&topic).ok().filter(|_| !request.is_head()) else {
            return self.answer_bytes(id, head);
        };
        let mut subscribe = Subscribe::new(Via::Connection(id), topic);
        subscribe.head = head;
        if let Some(last) = request.last_event_id().as_bytes() {
            subscribe.start = Start::After(Bytes::copy_from_slice(last));
        }
        if self
            .state
            .apply(self.now, Input::Subscribe(Box::new(subscribe)))
            .is_err()
        {
            let accepts = request.accepts_event_stream();
            self.answer(id, &Http::busy(Busy::Auto, accepts, RETRY_MS));
        }
    }

    fn answer(&mut self, id: SubscriberId, answer: &Http) {
        let date = http_date(self.hands.net.unix_seconds());
        self.answer_bytes(id, answer.to_bytes(false, &date));
    }

    fn answer_bytes(&mut self, id: SubscriberId, bytes: Bytes) {
        if let Some(conn) = self.hands.conns.get_mut(&id) {
            conn.head = None;
        }
        if self
            .state
            .apply(self.now, Input::Answer { id, bytes })
            .is_err()
        {
            let how = CloseHow::Cut;
            self.tell(Input::Close { id, how });
        }
    }

    /// Feeds what another thread handed over; what is to wait for room is kept.
    fn feed(&mut self, input: Input<'static>) {
        if self.state.apply(self.now, input.clone()) == Err(Error::Wait) {
            self.waiting.push(input);
        }
    }

    /// Feeds what cannot fail, or only because the connection is gone meanwhile.
    fn tell(&mut self, input: Input<'_>) {
        let _ = self.state.apply(self.now, input);
    }
}

impl<N: Net> Sink for Hands<N> {
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
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    // If it fails the peer is gone, which the next read tells.
                    let _ = self.net.finish(&mut conn.stream);
                }
            }
            Control::Close { id, ending, .. } => match (self.conns.remove(&id), ending) {
                (Some(conn), Ending::Cut) => self.net.reset(conn.stream),
                // Bytes that are not read would make a reset of it.
                (Some(mut conn), Ending::Orderly) => {
                    while conn
                        .stream
                        .read(&mut [0; 4096])
                        .is_ok_and(|bytes| bytes > 0)
                    {}
                }
                (None, _) => {}
            },
            // What is there for this topic is dropped, and so given up.
            Control::Poll {
                topic,
                token,
                number,
            } => {
                let job = self.net.poll(&topic, token, number);
                self.jobs.insert(token, job);
            }
            Control::StopSource { token, .. } => drop(self.jobs.remove(&token)),
            Control::Room { .. } => self.has_room = true,
            // Sources here are polled, so there is nothing to start; and no body of a framework is served.
            Control::StartSource { .. } | Control::Wake { .. } => {}
        }
    }
}

/// A pause after an error of accept that is not of one connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// When a client that was refused for want of room should come back.
const RETRY_MS: u64 = 10_000;
