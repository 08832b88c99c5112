//! What happens around a loop: clients, other threads, and sources.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;

use sse_state::{Ending, Event, Frame, Input, Next, PollOutcome, Room, ShutdownCause, SourceToken};

use super::world::{FEED_EVERY, JobIs, World};
use crate::wire::Parser;

/// One thing that happens.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Act {
    /// A client connects; it is known by how many came before it.
    Connect(Manners),
    /// It sends this text.
    Send(usize, Cow<'static, str>),
    /// It asks for a topic, after the last id that an earlier client saw.
    Resume(usize, &'static str, usize),
    /// It reads so many bytes more.
    Room(usize, u64),
    /// It ends what it sends, and reads no more.
    End(usize),
    /// It resets the connection.
    Reset(usize),
    /// Another thread publishes the next value of a topic.
    Publish(&'static str, Room),
    /// Another thread wants the source of a topic stopped.
    StopSource(&'static str),
    /// From now on polls take longer than their timeout, or no longer.
    SlowPolls(bool),
    /// The service is to end.
    Shutdown,
    /// A poll has its value.
    PollDone(String, SourceToken, u64),
    /// An external source has a value.
    Feed(String, SourceToken),
}

impl Act {
    /// A job's own act.
    pub(super) fn is_of(&self, job: SourceToken, poll: u64) -> bool {
        match self {
            Act::PollDone(_, token, number) => (*token, *number) == (job, poll),
            Act::Feed(_, token) => *token == job && poll == 0,
            _ => false,
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manners {
    /// Bytes that its socket takes before it blocks.
    pub(crate) window: u64,
    /// It closes when it sees the end of the stream.
    pub(crate) polite: bool,
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        self.duties.ledger().now = self.clock;
        self.duties.ledger().tell(|| format!("* {act:?}"));
        match act {
            Act::Connect(manners) => {
                self.backlog.push_back(self.clients.len());
                self.clients.push(Client::new(manners));
                self.news = true;
            }
            Act::Send(key, text) => self.clients[key].sends(text.as_bytes()),
            Act::Resume(key, topic, of) => {
                let seen = self.clients[of].last_id();
                let id = seen.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
                let head = format!("GET {topic} HTTP/1.1\r\nHost: localhost\r\n{id}\r\n");
                self.clients[key].sends(head.as_bytes());
            }
            Act::Room(key, bytes) => self.clients[key].opens_window(bytes),
            Act::End(key) => self.clients[key].ends(),
            Act::Reset(key) => self.clients[key].resets(),
            Act::Publish(topic, room) => {
                let frame = self.value(topic);
                let topic = topic.into();
                self.hand(Input::Publish { topic, frame, room });
            }
            Act::StopSource(topic) => self.hand(Input::StopSource {
                topic: topic.into(),
            }),
            Act::SlowPolls(slow) => self.slow_polls = slow,
            Act::Shutdown => self.hand(Input::Shutdown {
                grace: None,
                cause: ShutdownCause::Asked,
            }),
            Act::PollDone(topic, token, number) => {
                let job = self.jobs.get_mut(&(token, number));
                if let Some(job) = job.filter(|job| **job == JobIs::Running) {
                    *job = JobIs::Done;
                    let outcome = PollOutcome::Frame(self.value(&topic));
                    self.hand(Input::PollResult {
                        token,
                        number,
                        outcome,
                        next: Next::GoOn,
                    });
                }
            }
            Act::Feed(topic, token) => {
                if self.jobs.get(&(token, 0)) == Some(&JobIs::Running) {
                    let frame = self.value(&topic);
                    let room = Room::Evict;
                    self.hand(Input::Feed { token, frame, room });
                    self.plan_in(FEED_EVERY, Act::Feed(topic, token));
                }
            }
        }
    }

    /// Another thread hands an input to the loop.
    fn hand(&mut self, input: Input<'static>) {
        self.inputs.push_back(input);
        self.inputs_news = true;
    }

    /// The next value of a topic: its name, how many it had, and something that takes room.
    fn value(&mut self, topic: &str) -> Frame {
        let count = self.values.entry(topic.into()).or_default();
        *count += 1;
        let data = format!("{topic} {count} {}", ".".repeat(40));
        // What is made here is short, and has no id.
        Event::new(&data).encode().expect("a plain event")
    }
}

/// The other end of a connection, and the socket between.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its request was whole.
    asked: bool,
    sent: Vec<u8>,
    unread: VecDeque<u8>,
    is: Is,
    ended: bool,
    reset: bool,
    window: u64,
    pub(super) polite: bool,
    pub(super) stalls: bool,
    /// The last write found no room.
    pub(super) blocked: bool,
    shut: bool,
    saw_the_end: bool,
    pub(super) token: Option<u64>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    received: Vec<u8>,
}

/// What the server holds of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Waiting,
    Held,
    Closed(Ending),
}

impl Client {
    fn new(manners: Manners) -> Client {
        Client {
            asked: false,
            sent: Vec::new(),
            unread: VecDeque::new(),
            is: Is::Waiting,
            ended: false,
            reset: false,
            window: manners.window,
            polite: manners.polite,
            stalls: false,
            blocked: false,
            shut: false,
            saw_the_end: false,
            token: None,
            readable: false,
            writable: false,
            received: Vec::new(),
        }
    }

    /// The path of its request.
    pub(crate) fn path(&self) -> Option<String> {
        let head = String::from_utf8_lossy(&self.sent);
        head.split(' ').nth(1).map(str::to_owned)
    }

    /// Its request is whole and for a topic that there is, and it did not leave before it was answered.
    pub(crate) fn asks_for_a_topic(&self) -> bool {
        let path = self.path().unwrap_or_default();
        let stayed = !self.reset && (!self.ended || self.saw_the_end);
        self.asked && stayed && [NEWS, LOAD, FEED, WAIT].contains(&path.as_str())
    }

    /// What it got.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// It saw an orderly end of what it got, and had not ended itself before.
    pub(crate) fn saw_the_end(&self) -> bool {
        self.saw_the_end && !self.reset
    }

    /// It was accepted, asked, waited with room for an answer, and got not one byte.
    pub(crate) fn was_ignored(&self) -> bool {
        let waits = !self.ended && !self.reset && !self.stalls;
        let accepted = self.is != Is::Waiting;
        self.asked && waits && accepted && self.received.is_empty()
    }

    /// The server has it open.
    pub(crate) fn is_held(&self) -> bool {
        self.is == Is::Held
    }

    /// It has sent a whole request, and is still there.
    pub(super) fn has_asked(&self) -> bool {
        self.asked && !self.ended && !self.reset
    }

    pub(super) fn accepted(&mut self) {
        self.is = Is::Held;
        self.readable = self.can_read();
    }

    pub(super) fn aborts(&mut self) {
        self.is = Is::Closed(Ending::Cut);
        self.reset = true;
    }

    fn sends(&mut self, bytes: &[u8]) {
        if self.reset || self.ended {
            return;
        }
        self.unread.extend(bytes);
        self.sent.extend_from_slice(bytes);
        self.asked |= self.sent.windows(4).any(|four| four == b"\r\n\r\n");
        self.readable = true;
    }

    pub(super) fn ends(&mut self) {
        self.ended = true;
        self.readable = true;
    }

    pub(super) fn resets(&mut self) {
        self.reset = true;
        self.unread.clear();
        self.readable = true;
    }

    fn opens_window(&mut self, bytes: u64) {
        if !self.stalls {
            self.window = self.window.saturating_add(bytes);
            self.writable |= self.blocked && self.window > 0;
        }
    }

    /// No room any more; how much there was.
    pub(super) fn shuts_window(&mut self) -> u64 {
        std::mem::take(&mut self.window)
    }

    pub(super) fn can_read(&self) -> bool {
        !self.unread.is_empty() || self.ended || self.reset
    }

    pub(super) fn can_write(&self) -> bool {
        self.blocked && self.window > 0
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let bytes = buffer.len().min(self.unread.len());
        if bytes == 0 && !buffer.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(self.unread.drain(..bytes)) {
            *to = from;
        }
        Ok(bytes)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reset || self.shut {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = (bytes.len() as u64).min(self.window) as usize;
        self.blocked = taken == 0 && !bytes.is_empty();
        if self.blocked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.window != u64::MAX {
            self.window -= taken as u64;
        }
        self.received.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// The server shuts its write side; whether it could.
    pub(super) fn shut(&mut self) -> bool {
        self.shut = true;
        self.saw_the_end |= !self.ended;
        !self.reset
    }

    pub(super) fn close(&mut self, how: Ending) {
        self.is = Is::Closed(how);
        self.saw_the_end |= how == Ending::Orderly && !self.ended;
    }

    /// What it would send as `Last-Event-ID`.
    fn last_id(&self) -> Option<String> {
        let mut parser = Parser::new();
        parser.push(body(&self.received)?);
        parser.last_id().map(str::to_owned)
    }
}

/// What stands after the head of an answer.
pub(crate) fn body(received: &[u8]) -> Option<&[u8]> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
    received.get(end + 4..)
}

/// The topics of a script. `NEWS` has history, `LOAD` is polled, `FEED` is fed by a source, and publishes to
/// `WAIT` wait for room.
pub(crate) const NEWS: &str = "/news";
pub(crate) const LOAD: &str = "/load";
pub(crate) const FEED: &str = "/feed";
pub(crate) const WAIT: &str = "/wait";
