//! What a trace tells for sure: the ledger that the rules read.
//!
//! Where the contract leaves an engine a choice (within a granule, within an eighth, before the next
//! pump), the ledger holds both ends: *certain* and *possible* members, for instance.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    CloseHow, CloseReason, Config, Ending, EventId, ShutdownCause, SourceToken, StopReason,
    Subscribe, SubscriberId, Time, TopicOptions,
};

use super::counts::Sums;
use super::work::Work;
use crate::scenario::Setup;
use crate::trace::Views;
use crate::wire::Parser;

/// All facts.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The bounds.
    pub config: Config,
    /// The greatest time seen.
    pub now: Time,
    /// The views before the step that is looked at.
    pub before: Option<Views>,
    /// Every connection ever.
    pub conns: BTreeMap<SubscriberId, Conn>,
    /// The topics of the scenario.
    pub topics: Vec<Topic>,
    /// Every frame that was appended, in order.
    pub pubs: Vec<Pub>,
    /// Where each tag went: appended, or not.
    pub tags: BTreeMap<u64, Fate>,
    /// Every token ever, with the place of its topic.
    pub tokens: BTreeMap<SourceToken, usize>,
    /// Polls that were pulled and not answered, with their time.
    pub polls: BTreeMap<SourceToken, (u64, Time)>,
    /// The seq of the newest frame.
    pub seq: u64,
    /// A shutdown.
    pub shutdown: Option<Down>,
    /// How often keys were closed.
    pub closes: u64,
    /// Keys that were closed, with what `closes` was then.
    pub closed_keys: BTreeMap<String, u64>,
    /// What gauges and counters are compared with.
    pub sums: Sums,
    /// What was done since the last call.
    pub work: Work,
    /// A timeout was fed at the present time.
    pub timed: bool,
    /// At the last idle pump: the deadline, if only time has passed since.
    pub quiet: Option<Option<Time>>,
    /// The last pump said that work is left.
    pub more: bool,
    /// Somebody joined or left while work was left.
    pub stirred: bool,
}

/// A shutdown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Down {
    /// When its grace is over at the earliest: a second call may shorten it.
    pub least: Time,
    /// When its grace is over at the latest.
    pub most: Time,
    /// Who asked.
    pub cause: ShutdownCause,
}

/// What became of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is this one of `pubs`.
    Appended(usize),
    /// It equalled the newest.
    Unchanged,
    /// Nobody wanted it, or it was refused.
    Dropped,
}

/// A frame in a log.
#[derive(Clone, Debug)]
pub struct Pub {
    /// Place of its topic.
    pub topic: usize,
    /// Its number in the topic, from 0.
    pub index: usize,
    /// Its seq: told, or one more than the one before.
    pub seq: u64,
    /// Name and data on the wire.
    pub key: String,
    /// Everything before the id line.
    pub text: String,
    /// Its id line's value, if it has one.
    pub id: Option<String>,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its options.
    pub options: TopicOptions,
    /// The author declared it.
    pub declared: bool,
    /// Everything ever appended: places in `pubs`.
    pub frames: Vec<usize>,
    /// The first one that may still be held.
    pub from: usize,
    /// The first one that is certainly held.
    pub from_most: usize,
    /// The seq of the machine when this life of the topic began.
    pub life: u64,
    /// The first frame of this life.
    pub life_from: usize,
    /// Since when nobody was a member for certain.
    pub certain_zero: Option<Time>,
    /// Since when nobody can have been a member.
    pub possible_zero: Option<Time>,
    /// Until when its log may be retained without members.
    pub retained_most: Time,
    /// Its source.
    pub source: Source,
    /// Whether its source is done while members remain.
    pub spent: Tri,
    /// Called-for stops that have not been pulled.
    pub causes: Vec<StopReason>,
    /// Nobody was a member since the first of `causes`.
    pub causes_stale: Tri,
    /// A publisher was told to wait, and has not been told of room.
    pub waiting: bool,
    /// It waits for room for so many bytes, as far as is known: not after its topic was emptied.
    pub wanted: Option<usize>,
}

/// Yes, no, or the engine's choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tri {
    /// For certain.
    Yes,
    /// For certain not.
    No,
    /// Either.
    Maybe,
}

/// A source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Not running.
    Idle,
    /// Between start and stop.
    Running(Running),
}

/// A running source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its token.
    pub token: SourceToken,
    /// When its start was pulled.
    pub since: Time,
    /// When its first poll was pulled.
    pub first: Option<Time>,
    /// Number and time of the last poll.
    pub last: Option<(u64, Time)>,
    /// Since when it has been at rest with no poll in flight.
    pub free: Option<Time>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// When it was accepted or opened.
    pub born: Time,
    /// How many were there ever, when it was.
    pub order: usize,
    /// What it is.
    pub phase: Phase,
    /// A framework pulls it.
    pub mounted: bool,
    /// It lives.
    pub alive: bool,
    /// When its write side was shut.
    pub finished: Option<Time>,
    /// Its peer went after that.
    pub peer_went: bool,
    /// How it was closed.
    pub closed: Option<(CloseReason, Ending)>,
    /// Its subscription.
    pub sub: Option<Subscribe>,
    /// When it became a stream, an answer, or a body.
    pub opened: Time,
    /// The answer that it is given.
    pub answer: Bytes,
    /// Explicit ends, the first one first.
    pub ends: Vec<End>,
    /// It may have begun to end by itself.
    pub may_end: bool,
    /// It has taken nothing for so long that it may be closed.
    pub may_stall: bool,
    /// Since when it may be ending.
    pub may_end_since: Time,
    /// A report of it may have come too late: its close was decided.
    pub late: bool,
    /// What is in flight, and since when.
    pub flight: Option<(Bytes, Time)>,
    /// A readiness came while in flight.
    pub remembered: bool,
    /// Its socket is blocked.
    pub blocked: bool,
    /// Its stall clock.
    pub stall: Option<Time>,
    /// Something that was offered has not been accepted.
    pub outstanding: bool,
    /// The last offer.
    pub last_offer: Time,
    /// The last accepted bytes.
    pub last_accept: Time,
    /// Woken and not pulled since.
    pub woken: Option<Time>,
    /// Bytes accepted.
    pub accepted: usize,
    /// The stall clock was set by accepted bytes.
    pub progressed: bool,
    /// The last thing that it got was a heartbeat.
    pub beaten: bool,
    /// How often keys had been closed when its decision began: with the subscribe itself, if nothing was
    /// said before it.
    pub asked: u64,
    /// Bytes of the head that are still to come.
    pub head_left: usize,
    /// What was offered and is the rest of something begun.
    pub rest: Vec<u8>,
    /// Reads what was accepted.
    pub parser: Parser,
    /// Blocks accepted.
    pub blocks: usize,
    /// Its topics.
    pub members: Vec<Member>,
    /// The id that primes it, if it is to be primed.
    pub prime: Option<EventId>,
    /// It was primed.
    pub primed: bool,
    /// The newest id that it got.
    pub last_id: Option<u64>,
    /// The newest seq that it got.
    pub last_seq: u64,
    /// It got a farewell or an end event: nothing may follow.
    pub farewell: Option<&'static str>,
    /// Turns that others got since it is ready and waits.
    pub waits: Option<BTreeMap<SubscriberId, u32>>,
}

/// What a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its head is read, or decided on.
    Deciding,
    /// Its body is read.
    Body,
    /// It is given an answer.
    Answering,
    /// It is a stream.
    Streaming,
}

/// An end that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// When.
    pub at: Time,
    /// How.
    pub how: CloseHow,
    /// For this reason.
    pub reason: CloseReason,
    /// How many frames had been appended in all.
    pub upto: usize,
}

/// A topic of a stream.
#[derive(Clone, Debug)]
pub struct Member {
    /// Place of the topic.
    pub topic: usize,
    /// The first frame that it is promised, at least.
    pub first: usize,
    /// The first frame that it is promised, at most.
    pub first_most: usize,
    /// Frames before this one were there when it joined.
    pub joined: usize,
    /// The next frame that it is owed.
    pub next: usize,
    /// Where earlier turns may have moved it, when they found a lag.
    pub moved: Vec<usize>,
    /// Frames it got.
    pub got: usize,
    /// Key of the last one.
    pub last_key: Option<String>,
    /// Told as missed by lag, since the last frame.
    pub told: u64,
    /// Told of a gap without a number, since the last frame.
    pub told_gap: bool,
    /// The seq that the last notice carried.
    pub told_id: Option<u64>,
    /// It resumes after an id of this machine.
    pub resumes: bool,
    /// Whether a notice at resume is due.
    pub resume: Tri,
    /// Why, if it is.
    pub why: &'static str,
    /// It came.
    pub resumed: bool,
}

impl Ledger {
    /// Before the first step.
    pub fn new(setup: &Setup) -> Ledger {
        Ledger {
            config: setup.config.clone(),
            now: Time::ZERO,
            before: None,
            conns: BTreeMap::new(),
            topics: setup
                .topics
                .iter()
                .map(|topic| Topic::new(&topic.name, &topic.options))
                .collect(),
            pubs: Vec::new(),
            tags: BTreeMap::new(),
            tokens: BTreeMap::new(),
            polls: BTreeMap::new(),
            seq: 0,
            shutdown: None,
            closes: 0,
            closed_keys: BTreeMap::new(),
            sums: Sums::default(),
            work: Work::default(),
            timed: false,
            quiet: None,
            more: false,
            stirred: false,
        }
    }

    /// The place of a topic.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }

    /// The connection, if it lives.
    pub fn live(&self, id: SubscriberId) -> Option<&Conn> {
        self.conns.get(&id).filter(|conn| conn.alive)
    }

    /// Members of a topic: certain, possible.
    pub fn members(&self, topic: usize) -> (u32, u32) {
        let mut count = (0, 0);
        for conn in self.conns.values() {
            if conn.follows(topic) {
                count.0 += u32::from(conn.is_certain());
                count.1 += u32::from(conn.is_possible());
            }
        }
        count
    }

    /// What deadlines of streams are rounded to.
    pub fn granule(&self) -> Duration {
        // "About 1/112": a fiftieth leaves room for other choices.
        self.config.heartbeat / 50
    }

    /// The frame at a place of a topic.
    pub fn frame(&self, topic: usize, index: usize) -> &Pub {
        &self.pubs[self.topics[topic].frames[index]]
    }

    /// Polls in flight that have not timed out.
    pub fn polls_in_flight(&self) -> usize {
        self.polls
            .values()
            .filter(|(_, at)| self.now < *at + self.config.poll_timeout)
            .count()
    }

    /// Whether the bound on all logs is so low that what is held cannot be told from outside.
    pub fn logs_are_fuzzy(&self) -> bool {
        self.config.logs_bytes < 1 << 16
    }
}

impl Topic {
    fn new(name: &str, options: &TopicOptions) -> Topic {
        Topic {
            name: name.to_owned(),
            options: options.clone(),
            declared: false,
            frames: Vec::new(),
            from: 0,
            from_most: 0,
            life: 0,
            life_from: 0,
            certain_zero: Some(Time::ZERO),
            possible_zero: Some(Time::ZERO),
            retained_most: Time::ZERO,
            source: Source::Idle,
            spent: Tri::No,
            causes: Vec::new(),
            causes_stale: Tri::No,
            waiting: false,
            wanted: None,
        }
    }

    /// What is held is known exactly.
    pub fn is_exact(&self) -> bool {
        self.from == self.from_most
    }

    /// A lag is told.
    pub fn tells_lag(&self) -> bool {
        let usual = self.options.history && self.options.slow == sse_state::Slow::Skip;
        self.options.notice.unwrap_or(usual)
    }

    /// A gap at resume is told.
    pub fn tells_resume(&self) -> bool {
        self.options.notice.unwrap_or(self.options.history)
    }

    /// The running source.
    pub fn running(&self) -> Option<&Running> {
        match &self.source {
            Source::Running(running) => Some(running),
            Source::Idle => None,
        }
    }
}

impl Conn {
    /// A new one.
    pub fn new(born: Time, order: usize) -> Conn {
        Conn {
            born,
            order,
            phase: Phase::Deciding,
            mounted: false,
            alive: true,
            finished: None,
            peer_went: false,
            closed: None,
            sub: None,
            opened: born,
            answer: Bytes::new(),
            ends: Vec::new(),
            may_end: false,
            may_stall: false,
            late: false,
            may_end_since: Time::MAX,
            flight: None,
            remembered: false,
            blocked: false,
            stall: None,
            outstanding: false,
            last_offer: born,
            last_accept: born,
            woken: None,
            accepted: 0,
            progressed: false,
            beaten: false,
            asked: u64::MAX,
            head_left: 0,
            rest: Vec::new(),
            parser: Parser::new(),
            blocks: 0,
            members: Vec::new(),
            prime: None,
            primed: false,
            last_id: None,
            last_seq: 0,
            farewell: None,
            waits: None,
        }
    }

    /// One of its topics is this.
    pub fn follows(&self, topic: usize) -> bool {
        self.members.iter().any(|member| member.topic == topic)
    }

    /// Its head is not complete yet.
    pub fn is_opening(&self) -> bool {
        self.alive && self.phase == Phase::Deciding && self.asked == u64::MAX
    }

    /// A stream that has not ended.
    pub fn is_possible(&self) -> bool {
        self.alive && self.phase == Phase::Streaming && self.finished.is_none()
    }

    /// A stream for which there is no reason to end.
    pub fn is_certain(&self) -> bool {
        self.is_possible() && self.ends.is_empty() && !self.may_end && !self.may_stall && !self.late
    }

    /// Could be written to now.
    pub fn is_ready(&self) -> bool {
        self.alive && !self.blocked && self.flight.is_none() && self.finished.is_none()
    }

    /// The silence after which a heartbeat comes.
    pub fn heartbeat(&self, config: &Config) -> Option<Duration> {
        match self.sub.as_ref()?.heartbeat {
            sse_state::Heartbeat::Default => Some(config.heartbeat),
            sse_state::Heartbeat::Comment(every) | sse_state::Heartbeat::Event(every) => {
                Some(every)
            }
            sse_state::Heartbeat::Off => None,
        }
    }
}
