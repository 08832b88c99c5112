//! A naive engine, written from the contract (DESIGN, WIRE) without having read the real one.
//!
//! A queue for every stream, copies of every frame in it, plain vectors, and a linear scan for every
//! question. What is pending is found again from scratch for each action that is pulled. Slow, and
//! easy to believe.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Action, Answer, CloseReason, Config, ConfigError, Ending, Engine, Error, Input, Interest, Name,
    Pumped, Reply, Run, ShutdownCause, Sink, SourceKind, SourceToken, Stats, StopReason,
    SubscriberId, Time, TopicOptions,
};

mod calls;
mod jobs;
mod publish;
mod stream;
mod subscribe;

/// The naive engine.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    taste: Taste,
    now: Time,
    seq: u64,
    starts: u64,
    asked: u64,
    topics: Vec<Topic>,
    conns: Vec<Conn>,
    /// The generation that each slot had last.
    slots: Vec<u32>,
    /// Streams that wait for their turn.
    queue: Vec<SubscriberId>,
    shutdown: Option<Shutdown>,
    closed_keys: Vec<(Name, u64)>,
    stats: Stats,
}

/// What the contract leaves open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taste {
    Usual,
    /// Whatever comes together comes the other way round, and what may be late is: see [`crate::other`].
    Other,
}

#[derive(Clone, Copy, Debug)]
struct Shutdown {
    until: Time,
    cause: ShutdownCause,
}

#[derive(Clone, Debug)]
struct Topic {
    name: Name,
    options: Arc<TopicOptions>,
    declared: bool,
    log: Vec<Logged>,
    /// The newest frame of this life that is not held any more.
    gone: u64,
    /// The machine's seq when this life began.
    born: u64,
    source: Option<Running>,
    /// It was stopped for a reason of its own while members remain.
    spent: bool,
    stop: Option<StopReason>,
    /// Nobody was left since `stop` was decided.
    stop_old: bool,
    /// Since when nobody listens.
    left: Option<Time>,
    /// It had members, or a frame, since its log was last let go.
    had: bool,
    retained: Option<Time>,
    /// Size of a publish that was told to wait.
    room: Option<usize>,
}

#[derive(Clone, Debug)]
struct Logged {
    seq: u64,
    key: String,
    text: String,
    id: Option<String>,
}

#[derive(Clone, Debug)]
struct Running {
    token: SourceToken,
    since: Time,
    polls: u64,
    next: Time,
    flying: Option<(u64, Time)>,
}

#[derive(Clone, Debug)]
struct Conn {
    id: SubscriberId,
    phase: Phase,
    born: Time,
    opened: Time,
    held: u32,
    body: u32,
    asked: u64,
    mounted: bool,
    stream: Option<Stream>,
    outbox: Vec<Item>,
    /// What is left of something begun.
    begun: Vec<u8>,
    flight: Option<(Vec<Item>, Bytes)>,
    blocked: bool,
    remembered: bool,
    stall: Option<Time>,
    /// Something of the last run has not been accepted.
    outstanding: bool,
    traffic: Time,
    woken: Option<Time>,
    end: Option<End>,
    finished: Option<Time>,
    went: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Opening,
    Deciding,
    Body,
    Answering,
    Streaming,
}

/// What a connection becomes as a stream.
#[derive(Clone, Debug)]
struct Stream {
    topics: Vec<Name>,
    heartbeat: Option<Duration>,
    beat_event: bool,
    lifetime: Option<Time>,
    expires: Option<Time>,
    key: Option<Name>,
    end_when_finished: bool,
}

/// Something to write.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Item {
    what: What,
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    /// What is left of something begun.
    Rest,
    /// Answer head, first comment, retry block: written even if the stream is stopped before.
    Prelude,
    /// A priming block, of this seq.
    Prime(u64),
    Plain,
    Beat,
    Frame {
        topic: Name,
        seq: u64,
        snapshot: bool,
    },
    /// Stands at the seq of the last frame missed; after a lag it stands for these frames, and for the
    /// notice of a resume just before them; they come back if it is not begun.
    Notice {
        topic: Name,
        last: u64,
        why: &'static str,
        missed: Vec<Item>,
    },
}

/// An end that has begun, from weak to strong.
#[derive(Clone, Debug)]
struct End {
    reason: CloseReason,
    strength: u8,
    until: Time,
}

const DRAIN: u8 = 0;
const STOP: u8 = 1;
const CUT: u8 = 2;

impl Model {
    /// A new one.
    ///
    /// # Errors
    /// [`ConfigError`] as the real one tells it.
    pub fn new(mut config: Config) -> Result<Model, ConfigError> {
        // Which bounds can be used is not a matter of the machine.
        sse_state::SseState::new(config.clone())?;
        if config.heartbeat.is_zero() {
            config.heartbeat = Duration::from_secs(15);
        }
        Ok(Model {
            config,
            taste: Taste::Usual,
            now: Time::ZERO,
            seq: 0,
            starts: 0,
            asked: 0,
            topics: Vec::new(),
            conns: Vec::new(),
            slots: Vec::new(),
            queue: Vec::new(),
            shutdown: None,
            closed_keys: Vec::new(),
            stats: Stats::default(),
        })
    }

    /// One that makes other choices where it has any.
    pub(crate) fn other(config: Config) -> Result<Model, ConfigError> {
        let taste = Taste::Other;
        Model::new(config).map(|model| Model { taste, ..model })
    }

    fn is_other(&self) -> bool {
        self.taste == Taste::Other
    }

    /// When a deadline of a connection is met: it may be as much as a granule late.
    fn met(&self, at: Time) -> Time {
        match self.taste {
            Taste::Usual => at,
            Taste::Other => at + self.config.heartbeat / 112,
        }
    }

    /// In the order of this taste.
    fn in_order<T>(&self, mut all: Vec<T>) -> Vec<T> {
        if self.is_other() {
            all.reverse();
        }
        all
    }

    fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.iter().find(|topic| topic.name.as_str() == name)
    }

    fn topic_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.topics
            .iter_mut()
            .find(|topic| topic.name.as_str() == name)
    }

    fn conn(&mut self, id: SubscriberId) -> Result<&mut Conn, Error> {
        self.conns
            .iter_mut()
            .find(|conn| conn.id == id)
            .ok_or(Error::Stale)
    }

    /// Streams of a topic that get what is published.
    fn listeners(&self, topic: &Name) -> usize {
        self.conns
            .iter()
            .filter(|conn| conn.follows(topic) && conn.end.is_none())
            .count()
    }

    /// Streams of a topic that still have something of it to come: also those that drain.
    fn members(&self, topic: &Name) -> usize {
        let comes = |conn: &&Conn| match &conn.end {
            None => true,
            Some(end) => end.strength == DRAIN && (conn.has_something() || conn.flight.is_some()),
        };
        let follows = self.conns.iter().filter(|conn| conn.follows(topic));
        follows.filter(comes).count()
    }

    fn keeps(&self, topic: &Topic) -> bool {
        self.members(&topic.name) > 0
            || topic.retained.is_some()
            || (topic.declared && topic.options.history)
            || topic.source.is_some()
    }

    /// Who is there has changed: notes since when nobody is.
    fn note_members(&mut self) {
        for place in 0..self.topics.len() {
            let name = self.topics[place].name.clone();
            let members = self.members(&name);
            let now = self.now;
            let topic = &mut self.topics[place];
            if members > 0 {
                topic.left = None;
            } else {
                topic.spent = false;
                topic.stop_old = topic.stop.is_some();
                topic.left.get_or_insert(now);
            }
            let kept_for = topic.options.retained_for();
            if members > 0 {
                topic.had = true;
                topic.retained = None;
            } else if topic.retained.is_none() && topic.had && !kept_for.is_zero() {
                topic.retained = Some(now + kept_for);
            }
        }
    }

    fn new_id(&mut self) -> Result<SubscriberId, Error> {
        let slots = self.in_order((0..self.slots.len()).collect());
        let free = slots.into_iter().find(|&slot| {
            let live = self
                .conns
                .iter()
                .any(|conn| conn.id.slot() as usize == slot);
            !live && self.slots[slot] < self.config.generations
        });
        let slot = free.unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(generation) => *generation += 1,
            None => self.slots.push(0),
        }
        Ok(SubscriberId::from_u64(
            u64::from(self.slots[slot]) << 32 | slot as u64,
        ))
    }

    fn is_over(&self) -> bool {
        self.shutdown.is_some()
            && self.conns.is_empty()
            && self.topics.iter().all(|topic| topic.source.is_none())
    }

    fn retry_block(&self, salt: u64) -> Vec<u8> {
        let salt = salt + u64::from(self.is_other());
        let spread = (self.config.seed ^ salt).wrapping_mul(0x9e37_79b9) % 2001;
        format!("retry: {}\n\n", 2000 + spread).into_bytes()
    }
}

impl Conn {
    fn follows(&self, topic: &Name) -> bool {
        let streams = self.phase == Phase::Streaming && self.finished.is_none();
        streams
            && self
                .stream
                .as_ref()
                .is_some_and(|s| s.topics.contains(topic))
    }

    /// A stream for which something is still to be done.
    fn is_open(&self) -> bool {
        let over = self.end.is_some() && !self.has_something() && self.flight.is_none();
        self.phase == Phase::Streaming && self.finished.is_none() && !over
    }

    fn has_something(&self) -> bool {
        !self.begun.is_empty() || !self.outbox.is_empty()
    }
}

impl Engine for Model {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let saved = self.clone();
        let waiting = match &input {
            Input::Publish { topic, frame, .. } => {
                Some((topic.to_string(), frame.wire_bytes(true)))
            }
            Input::Feed { token, frame, .. } => self
                .topics
                .iter()
                .find(|topic| topic.source.as_ref().is_some_and(|s| s.token == *token))
                .map(|topic| (topic.name.as_str().to_owned(), frame.wire_bytes(true))),
            _ => None,
        };
        self.now = self.now.max(now);
        let result = self.call(input);
        match &result {
            Ok(_) => {
                self.note_members();
                self.note_ready();
            }
            Err(error) => {
                // As if nothing had happened; a publish that waits is remembered.
                *self = saved;
                self.stats.stale += u64::from(*error == Error::Stale);
                if *error == Error::Wait {
                    self.stats.waited += 1;
                    if let Some((topic, size)) = waiting
                        && let Some(topic) = self.topic_mut(&topic)
                    {
                        topic.room = Some(topic.room.map_or(size, |old| old.min(size)));
                    }
                }
            }
        }
        result
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        for _ in 0..budget {
            match self.next_job() {
                None => return Pumped::Idle,
                Some(job) => self.execute(job, sink),
            }
        }
        self.settle();
        match self.clone().next_job() {
            None => Pumped::Idle,
            Some(_) => Pumped::More,
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        let mut hand = Hand { action: None };
        while hand.action.is_none() {
            // A turn may find nothing to lend, for instance because a lag ends its stream.
            let job = self.next_job()?;
            self.execute(job, &mut hand);
        }
        hand.action
    }

    fn poll_timeout(&self) -> Option<Time> {
        if self.clone().next_job().is_some() {
            return Some(self.now);
        }
        if self.is_over() {
            return None;
        }
        let mut settled = self.clone();
        settled.settle();
        settled
            .deadlines()
            .into_iter()
            .filter(|at| *at > self.now)
            .min()
    }

    fn now(&self) -> Time {
        self.now
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        let topic = self.topic(topic)?;
        Some(Interest {
            streams: self.listeners(&topic.name) as u32,
            kept: self.keeps(topic),
            source: topic.options.source != SourceKind::None,
        })
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.conns.iter().any(|conn| conn.id == id)
    }

    fn asked(&self) -> u64 {
        self.asked
    }

    fn is_terminated(&self) -> bool {
        self.is_over() && self.clone().next_job().is_none()
    }

    fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.topics = self.topics.len() as u32;
        stats.streams = self.conns.iter().filter(|conn| conn.is_open()).count() as u32;
        stats.finishing = self.conns.iter().filter(|c| c.finished.is_some()).count() as u32;
        let phase = |phase: Phase| self.conns.iter().filter(|c| c.phase == phase).count() as u32;
        stats.openings = phase(Phase::Opening);
        stats.deciding = phase(Phase::Deciding);
        let runs = self.topics.iter().filter_map(|topic| topic.source.as_ref());
        stats.sources = runs.clone().count() as u32;
        stats.polls_in_flight = runs.filter(|run| run.flying.is_some()).count() as u32;
        stats.logs_bytes = self.topics.iter().map(|topic| topic.bytes() as u64).sum();
        stats
    }

    fn digest(&self) -> u64 {
        let mut silent = self.clone();
        silent.stats = Stats::default();
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in format!("{silent:?}").bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }
}

/// Takes one action in flight.
struct Hand {
    action: Option<Action>,
}

impl Sink for Hand {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let run = run.to_bytes();
        self.action = Some(Action::Write { id, run });
        Answer::InFlight
    }

    fn control(&mut self, control: sse_state::Control) {
        self.action = Some(Action::Control(control));
    }
}

/// How an end that was decided is carried out.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    id: SubscriberId,
    reason: CloseReason,
    ending: Ending,
}
