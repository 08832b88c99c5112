//! A correct driver, and drivers that are wrong on purpose: what the rules of [`checked`](crate::checked) are
//! tested with. It works in batches, as a driver with workers does: it takes runs in flight, writes them, and
//! reports.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Answer as Http, Busy, Head, HeadLimits, Progress, QueryRule, Request};
use sse_state::http::{Refusal, http_date};
use sse_state::{
    Answer, CloseHow, Control, Ending, Engine, Error, Input, Name, Pumped, Report, Run, Sink,
    Socket, SourceToken, Start, Subscribe, SubscriberId, Time, Via,
};

use crate::script::{Job, Ready, Script};

mod wrong;

pub use wrong::{Wrong, WrongEngine, WrongIo};

/// What the driver needs of its world; an author has this as calls of mio, and [`Script`] for tests.
#[allow(missing_docs)] // as the methods of `Script`
pub trait Io {
    type Socket: Read + Write;
    type Job;
    fn now(&self) -> Time;
    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>>;
    fn accept(&mut self) -> io::Result<Self::Socket>;
    fn register(&mut self, socket: &Self::Socket, token: u64);
    fn shutdown_write(&mut self, socket: &mut Self::Socket) -> io::Result<()>;
    fn reset(&mut self, socket: Self::Socket);
    fn take(&mut self) -> Option<Input<'static>>;
    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Self::Job;
}

/// The driver.
pub struct Reference<I: Io, E> {
    io: I,
    state: E,
    now: Time,
    conns: BTreeMap<SubscriberId, Conn<I::Socket>>,
    jobs: BTreeMap<SourceToken, I::Job>,
    /// Publishes that wait for room.
    waiting: Vec<Input<'static>>,
    /// When accept is tried again after an error.
    accept_again: Option<Time>,
}

/// A connection; its head while it is read.
struct Conn<S> {
    socket: S,
    head: Option<Head>,
}

impl<I: Io, E: Engine> Reference<I, E> {
    /// A driver for this engine on this IO.
    pub fn new(io: I, state: E) -> Reference<I, E> {
        Reference {
            now: io.now(),
            io,
            state,
            conns: BTreeMap::new(),
            jobs: BTreeMap::new(),
            waiting: Vec::new(),
            accept_again: None,
        }
    }

    /// Serves until the machine has ended.
    pub fn run(&mut self) {
        while !self.state.is_terminated() {
            let deadlines = [self.state.poll_timeout(), self.accept_again];
            // Interrupted, most likely; whatever it was, the next wait tells it again.
            let ready = self
                .io
                .wait(deadlines.into_iter().flatten().min())
                .unwrap_or_default();
            self.now = self.io.now();
            // Fed too often it changes nothing.
            let _ = self.state.apply(self.now, Input::Timeout);
            for ready in ready {
                match ready {
                    Ready::Accept => self.accept(),
                    Ready::Inputs => self.take(),
                    Ready::Socket {
                        token,
                        readable,
                        writable,
                    } => {
                        let id = SubscriberId::from_u64(token);
                        if writable && self.conns.contains_key(&id) {
                            let _ = self.state.apply(self.now, Input::Writable { id });
                        }
                        if readable {
                            self.read(id);
                        }
                    }
                }
            }
            if self.accept_again.is_some_and(|at| at <= self.now) {
                self.accept();
            }
            self.pump();
        }
    }

    fn accept(&mut self) {
        self.accept_again = None;
        loop {
            let socket = match self.io.accept() {
                Ok(socket) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) =>
                {
                    continue;
                }
                // Out of descriptors: nobody will say when there are some again.
                Err(_) => return self.accept_again = Some(self.now + Duration::from_millis(100)),
            };
            // Refused, it is closed by being dropped.
            if let Ok(sse_state::Reply::Id(id)) = self.state.apply(self.now, Input::Accept) {
                self.io.register(&socket, id.as_u64());
                let head = Some(Head::new(HeadLimits::default()));
                self.conns.insert(id, Conn { socket, head });
            }
        }
    }

    fn take(&mut self) {
        while let Some(input) = self.io.take() {
            self.feed(input);
        }
    }

    fn feed(&mut self, input: Input<'static>) {
        if self.state.apply(self.now, input.clone()) == Err(Error::Wait) {
            self.waiting.push(input);
        }
    }

    fn read(&mut self, id: SubscriberId) {
        let mut buffer = [0; 1024];
        while let Some(conn) = self.conns.get_mut(&id) {
            let bytes = match conn.socket.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => {
                    self.conns.remove(&id);
                    let _ = self.state.apply(self.now, Input::PeerGone { id });
                    return;
                }
                Ok(bytes) => &buffer[..bytes],
            };
            // What comes after the head is dropped.
            let Some(head) = &mut conn.head else { continue };
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
    }

    fn decide(&mut self, id: SubscriberId, request: &Request) {
        let topic = request
            .topic(&QueryRule::all())
            .ok()
            .and_then(|topic| Name::new(&topic).ok());
        let Some(topic) = topic else {
            return self.answer(id, &Http::refusal(&Refusal::NoRoute));
        };
        let mut subscribe = Subscribe::new(Via::Connection(id), topic);
        subscribe.head = Http::stream().to_bytes(false, &http_date(0));
        if let Some(last) = request.last_event_id().as_bytes() {
            subscribe.start = Start::After(Bytes::copy_from_slice(last));
        }
        if self
            .state
            .apply(self.now, Input::Subscribe(Box::new(subscribe)))
            .is_err()
        {
            self.answer(
                id,
                &Http::busy(Busy::Auto, request.accepts_event_stream(), 10_000),
            );
        }
    }

    fn answer(&mut self, id: SubscriberId, answer: &Http) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.head = None;
        }
        let bytes = answer.to_bytes(false, &http_date(0));
        if self
            .state
            .apply(self.now, Input::Answer { id, bytes })
            .is_err()
        {
            let _ = self.state.apply(
                self.now,
                Input::Close {
                    id,
                    how: CloseHow::Cut,
                },
            );
        }
    }

    /// Executes all there is to do.
    fn pump(&mut self) {
        loop {
            let mut batch = Batch::default();
            let pumped = self.state.pump(64, &mut batch);
            if pumped == Pumped::Idle && batch.controls.is_empty() && batch.writes.is_empty() {
                return;
            }
            for control in batch.controls {
                self.control(control);
            }
            let writes = batch.writes.into_iter();
            let reports: Vec<Report> = writes.map(|(id, run)| self.write(id, &run)).collect();
            if !reports.is_empty() {
                let _ = self
                    .state
                    .apply(self.now, Input::Report(Cow::Borrowed(&reports)));
            }
            for report in reports
                .iter()
                .filter(|report| report.socket == Socket::Gone)
            {
                self.conns.remove(&report.id);
            }
        }
    }

    fn write(&mut self, id: SubscriberId, run: &[u8]) -> Report {
        let mut written = 0;
        let socket = loop {
            let Some(conn) = self.conns.get_mut(&id) else {
                break Socket::Gone;
            };
            match conn.socket.write(&run[written..]) {
                Ok(bytes) if bytes > 0 => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Socket::Blocked,
                Ok(_) | Err(_) => break Socket::Gone,
            }
            if written == run.len() {
                break Socket::Ready;
            }
        };
        Report {
            id,
            bytes: written as u32,
            socket,
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { topic, token } => {
                self.jobs.insert(token, self.io.start(&topic, token, 0));
            }
            Control::Poll {
                topic,
                token,
                number,
            } => {
                self.jobs
                    .insert(token, self.io.start(&topic, token, number));
            }
            Control::StopSource { token, .. } => drop(self.jobs.remove(&token)),
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    // If it fails the peer is gone, which the next read tells.
                    let _ = self.io.shutdown_write(&mut conn.socket);
                }
            }
            Control::Close { id, ending, .. } => match (self.conns.remove(&id), ending) {
                (Some(conn), Ending::Cut) => self.io.reset(conn.socket),
                // Bytes that are not read would make a reset of it.
                (Some(mut conn), Ending::Orderly) => {
                    while conn
                        .socket
                        .read(&mut [0; 1024])
                        .is_ok_and(|bytes| bytes > 0)
                    {}
                }
                (None, _) => {}
            },
            Control::Room { .. } => std::mem::take(&mut self.waiting)
                .into_iter()
                .for_each(|i| self.feed(i)),
            // Only for bodies that a framework pulls.
            Control::Wake { .. } => {}
        }
    }
}

/// What one pump wants done.
#[derive(Default)]
struct Batch {
    controls: Vec<Control>,
    writes: Vec<(SubscriberId, Bytes)>,
}

impl Sink for Batch {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.writes.push((id, run.to_bytes()));
        Answer::InFlight
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

impl Io for Script {
    type Socket = crate::script::Socket;
    type Job = Job;

    fn now(&self) -> Time {
        Script::now(self)
    }

    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>> {
        Script::wait(self, until)
    }

    fn accept(&mut self) -> io::Result<Self::Socket> {
        Script::accept(self)
    }

    fn register(&mut self, socket: &Self::Socket, token: u64) {
        Script::register(self, socket, token);
    }

    fn shutdown_write(&mut self, socket: &mut Self::Socket) -> io::Result<()> {
        socket.shutdown_write()
    }

    fn reset(&mut self, socket: Self::Socket) {
        socket.reset();
    }

    fn take(&mut self) -> Option<Input<'static>> {
        Script::take(self)
    }

    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        Script::start(self, topic.as_str(), token, number)
    }
}
