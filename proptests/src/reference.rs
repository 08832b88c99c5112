//! A correct driver, and drivers that are wrong on purpose: what the rules of [`checked`](crate::checked) are
//! tested with. It works in batches, as a driver with workers does: it takes runs in flight, writes them, and
//! reports.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Answer as Http, Busy, Head, HeadLimits, Progress, QueryRule, Request};
use sse_state::http::{Refusal, http_date};
use sse_state::{
    Answer, CloseHow, Control, Ending, Engine, Error, Input, Name, Pumped, Reply, Report, Run,
    Sink, Socket, SourceToken, Start, Subscribe, SubscriberId, Time, Via,
};

use crate::script::Ready;

mod io;
mod other;
mod wrong;

pub use io::Io;
pub use other::{Other, OtherEngine, OtherIo};
pub use wrong::{Wrong, WrongEngine, WrongIo};

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
            let times = [self.state.poll_timeout(), self.accept_again];
            let until = times.into_iter().flatten().min();
            // Interrupted, most likely; whatever it was, the next wait tells it again.
            let ready = self.io.wait(until).unwrap_or_default();
            self.now = self.io.now();
            // Fed too often it changes nothing.
            self.tell(Input::Timeout);
            ready.into_iter().for_each(|ready| self.look(ready));
            if self.accept_again.is_some_and(|at| at <= self.now) {
                self.accept();
            }
            self.pump();
        }
    }

    fn look(&mut self, ready: Ready) {
        match ready {
            Ready::Accept => self.accept(),
            Ready::Inputs => {
                while let Some(input) = self.io.take() {
                    self.feed(input);
                }
            }
            Ready::Socket {
                token,
                readable,
                writable,
            } => {
                let id = SubscriberId::from_u64(token);
                if writable && self.conns.contains_key(&id) {
                    self.tell(Input::Writable { id });
                }
                if readable {
                    self.read(id);
                }
            }
        }
    }

    fn accept(&mut self) {
        use ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        self.accept_again = None;
        loop {
            let socket = match self.io.accept().map_err(|error| error.kind()) {
                Ok(socket) => socket,
                Err(WouldBlock) => return,
                Err(Interrupted | ConnectionAborted) => continue,
                // Out of descriptors: nobody will say when there are some again.
                Err(_) => return self.accept_again = Some(self.now + Duration::from_millis(100)),
            };
            // Refused, it is closed by being dropped.
            if let Ok(Reply::Id(id)) = self.state.apply(self.now, Input::Accept) {
                self.io.register(&socket, id.as_u64());
                let head = Some(Head::new(HeadLimits::default()));
                self.conns.insert(id, Conn { socket, head });
            }
        }
    }

    /// Feeds what other threads hand over, and keeps what is to wait.
    fn feed(&mut self, input: Input<'static>) {
        if self.state.apply(self.now, input.clone()) == Err(Error::Wait) {
            self.waiting.push(input);
        }
    }

    /// Feeds; false if it was refused.
    fn tell(&mut self, input: Input<'_>) -> bool {
        self.state.apply(self.now, input).is_ok()
    }

    fn read(&mut self, id: SubscriberId) {
        let mut buffer = [0; 1024];
        while let Some(conn) = self.conns.get_mut(&id) {
            match conn.socket.read(&mut buffer).map_err(|error| error.kind()) {
                Ok(bytes) if bytes > 0 => self.take_head(id, &buffer[..bytes]),
                Err(ErrorKind::WouldBlock) => return,
                Err(ErrorKind::Interrupted) => {}
                Ok(_) | Err(_) => {
                    self.conns.remove(&id);
                    self.tell(Input::PeerGone { id });
                }
            }
        }
    }

    fn take_head(&mut self, id: SubscriberId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        // What comes after the head is dropped.
        let Some(head) = &mut conn.head else { return };
        let answer = match head.push(bytes) {
            Progress::More => {
                let bytes = head.bytes_held() as u32;
                let held = self.tell(Input::HeadHeld { id, bytes });
                (!held).then(|| Http::refusal(&Refusal::NoRoom))
            }
            Progress::Refused(why) => Some(Http::refusal(&why)),
            Progress::Done { .. } => {
                let request = conn.head.take().and_then(Head::into_request);
                request.and_then(|request| self.subscribe(id, &request))
            }
        };
        let Some(answer) = answer else { return };
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.head = None;
        }
        let bytes = answer.to_bytes(false, &http_date(0));
        if !self.tell(Input::Answer { id, bytes }) {
            let how = CloseHow::Cut;
            self.tell(Input::Close { id, how });
        }
    }

    /// Opens the stream that is asked for, or says why not.
    fn subscribe(&mut self, id: SubscriberId, request: &Request) -> Option<Http> {
        let topic = request.topic(&QueryRule::all()).ok();
        let Some(topic) = topic.and_then(|topic| Name::new(&topic).ok()) else {
            return Some(Http::refusal(&Refusal::NoRoute));
        };
        let mut subscribe = Subscribe::new(Via::Connection(id), topic);
        subscribe.head = Http::stream().to_bytes(false, &http_date(0));
        if let Some(last) = request.last_event_id().as_bytes() {
            subscribe.start = Start::After(Bytes::copy_from_slice(last));
        }
        let open = self.tell(Input::Subscribe(Box::new(subscribe)));
        (!open).then(|| Http::busy(Busy::Auto, request.accepts_event_stream(), 10_000))
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
                self.tell(Input::Report(Cow::Borrowed(&reports)));
            }
            for report in reports {
                if report.socket == Socket::Gone {
                    self.conns.remove(&report.id);
                }
            }
        }
    }

    fn write(&mut self, id: SubscriberId, run: &[u8]) -> Report {
        let mut bytes = 0;
        let socket = loop {
            let Some(conn) = self.conns.get_mut(&id) else {
                break Socket::Gone;
            };
            match conn
                .socket
                .write(&run[bytes as usize..])
                .map_err(|error| error.kind())
            {
                Ok(taken) if taken > 0 => bytes += taken as u32,
                Err(ErrorKind::Interrupted) => {}
                Err(ErrorKind::WouldBlock) => break Socket::Blocked,
                Ok(_) | Err(_) => break Socket::Gone,
            }
            if bytes as usize == run.len() {
                break Socket::Ready;
            }
        };
        Report { id, bytes, socket }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { topic, token } => {
                let job = self.io.start(&topic, token, 0);
                self.jobs.insert(token, job);
            }
            Control::Poll {
                topic,
                token,
                number,
            } => {
                let job = self.io.start(&topic, token, number);
                self.jobs.insert(token, job);
            }
            Control::StopSource { token, .. } => drop(self.jobs.remove(&token)),
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    // If it fails the peer is gone, which the next read tells.
                    let _ = self.io.shutdown_write(&mut conn.socket);
                }
            }
            Control::Close { id, ending, .. } => {
                let Some(mut conn) = self.conns.remove(&id) else {
                    return;
                };
                match ending {
                    Ending::Cut => self.io.reset(conn.socket),
                    // Bytes that are not read would make a reset of it.
                    Ending::Orderly => {
                        while conn.socket.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                    }
                }
            }
            Control::Room { .. } => {
                let waiting = std::mem::take(&mut self.waiting);
                waiting.into_iter().for_each(|input| self.feed(input));
            }
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
