//! The machine.
//!
//! Inputs mark what is dirty (`open`, `publish`, `source`, `report`, `ending`); outputs are derived
//! when they are pulled (`pump`, which calls `timers`, `settle` and `turn`).

mod check;
mod compose;
mod digest;
mod ending;
mod keys;
mod open;
mod publish;
mod pump;
mod report;
mod settle;
mod source;
mod subscribe;
mod timers;
mod turn;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use slab::Slab;

use crate::action::{Action, Pumped, Sink};
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::error::Error;
use crate::id::SubscriberId;
use crate::index::Index;
use crate::input::{Input, Interest, Reply, ShutdownCause};
use crate::list::{Link, Links, List};
use crate::options::TopicOptions;
use crate::run::Runs;
use crate::stats::Stats;
use crate::subscriber::Subscribers;
use crate::time::{Time, nanos};
use crate::topic::Topic;
use crate::wheel::Wheel;
use compose::Gathered;
use keys::Keys;
use timers::Timer;

/// Topics, subscribers, sources and deadlines of one service, as a pure state machine.
///
/// It does no IO and owns no clock, thread or randomness. Feed it inputs, each with the current
/// time; then [`pump`](Self::pump) until it is idle, execute the actions, and call
/// [`handle_timeout`](Self::handle_timeout) no later than [`poll_timeout`](Self::poll_timeout) says.
/// The same calls give the same actions, byte for byte.
///
/// - Time is only an argument; a `now` older than the last one counts as the last one.
/// - Inputs never emit: they mark what is dirty, and actions are computed when they are pulled.
///   Nothing grows with output that is not pulled.
/// - Calls may come in any order. A dead id or token is [`Error::Stale`]. An `Err` leaves the machine
///   as it was, its clock included (one exception: [`Error::Wait`] remembers that room is wanted).
/// - No call panics, whatever its arguments.
///
/// ```
/// use std::time::Duration;
/// use sse_state::{Action, Config, Control, Epoch, Event, Name, Report, Room, Socket, SseState,
///     Subscribe, Time, Via};
///
/// let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
/// let now = Time::ZERO;
/// let id = state.accept(now).unwrap();
/// let topic = Name::new("/load").unwrap();
/// state.subscribe(now, &Subscribe::new(Via::Connection(id), topic)).unwrap();
/// let event = Event::new("0.7").encode().unwrap();
/// assert_eq!(state.publish(now, "/load", event, Room::Evict).unwrap().streams, 1);
///
/// let Some(Action::Write { run, .. }) = state.poll_action() else { panic!() };
/// assert!(run.ends_with(b"data: 0.7\n\n"));
/// // … write it, then say what became of it:
/// state.report(now, &[Report { id, bytes: run.len() as u32, socket: Socket::Ready }]);
/// assert_eq!(state.poll_action(), None);
/// assert!(state.poll_timeout().unwrap() <= now + Duration::from_secs(15 + 1));
/// ```
#[derive(Clone)]
pub struct SseState {
    config: Config,
    /// The greatest time seen, and the wheel's tick of it.
    now: Time,
    tick: u64,
    /// Frames appended so far: the seq of the last one.
    seq: u64,
    /// Sources started so far.
    starts: u64,

    subs: Subscribers,
    topics: Slab<Topic>,
    /// Slots of topics that were ever used; the table's own capacity differs in a clone.
    topic_slots: u32,
    names: Index,
    keys: Keys,
    runs: Runs,
    /// Spans gathered in this pump.
    gathered: Gathered,
    wheel: Wheel,
    timers: BTreeSet<(Time, Timer)>,

    /// Connections without a complete head, oldest first.
    openings: List,
    /// Ended streams whose peer is to go, oldest first.
    finishing: List,
    /// Connections for which a finish or close waits to be pulled.
    control: List,
    /// Topics whose life is to be settled.
    unsettled: List,
    /// Rounds of topics and turns of single subscribers.
    data: List,
    /// Polls that are due, longest-waiting first.
    polls_waiting: BTreeSet<(Time, u32)>,
    /// The next slots to be visited, if all are to be.
    sweep_subs: Option<u32>,
    sweep_topics: Option<u32>,
    shutdown: Option<Shutdown>,

    held: Counts,
    logs_bytes: u64,
    stats: Stats,
    default_options: Arc<TopicOptions>,
}

/// A shutdown that has begun.
#[derive(Clone, Copy, Debug)]
struct Shutdown {
    cause: ShutdownCause,
    until: Time,
    /// Grace is over.
    over: bool,
}

/// What is counted against a bound.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    openings: u32,
    heads_bytes: u64,
    deciding: u32,
    bodies_bytes: u64,
    streams: u32,
    finishing: u32,
    by_request: u32,
    sources: u32,
    polls: u32,
}

impl SseState {
    /// A machine with these bounds, at [`Time::ZERO`].
    ///
    /// # Errors
    /// [`ConfigError`] names the field that cannot be used.
    pub fn new(config: Config) -> Result<SseState, ConfigError> {
        let config = config.checked()?;
        let shortest = nanos(config.heartbeat.min(config.write_timeout));
        Ok(SseState {
            now: Time::ZERO,
            tick: 0,
            seq: 0,
            starts: 0,
            subs: Subscribers::new(config.generations),
            topics: Slab::new(),
            topic_slots: 0,
            names: Index::new(config.hash_key),
            keys: Keys::new(config.hash_key),
            runs: Runs::new(),
            gathered: Gathered::default(),
            wheel: Wheel::new((shortest / GRANULES_PER_HEARTBEAT).max(LEAST_GRANULE)),
            timers: BTreeSet::new(),
            openings: List::EMPTY,
            finishing: List::EMPTY,
            control: List::EMPTY,
            unsettled: List::EMPTY,
            data: List::EMPTY,
            polls_waiting: BTreeSet::new(),
            sweep_subs: None,
            sweep_topics: None,
            shutdown: None,
            held: Counts::default(),
            logs_bytes: 0,
            stats: Stats::default(),
            default_options: Arc::new(TopicOptions::default()),
            config,
        })
    }

    /// The bounds it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The greatest time seen.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What is known of a topic; `None` if there is none. Takes one look-up, changes nothing, and is
    /// how a publisher finds out that nobody wants what it would have to encode.
    pub fn interest(&self, topic: &str) -> Option<Interest> {
        let topic = &self.topics[self.topic(topic)? as usize];
        Some(Interest {
            streams: topic.listeners(),
            kept: topic.keeps(),
            source: topic.has_source(),
        })
    }

    /// True while the id names a connection.
    pub fn is_live(&self, id: SubscriberId) -> bool {
        self.subs.find(id).is_some()
    }

    /// How often [`close_key`](Self::close_key) was called: the mark that the decision on a mounted
    /// stream takes when it begins, see [`Via::Mounted`](crate::Via::Mounted).
    pub fn asked(&self) -> u64 {
        self.keys.asked()
    }

    /// True once a shutdown is complete: nothing lives, and nothing is left to pull. It stays so.
    pub fn is_terminated(&self) -> bool {
        self.shutdown.is_some()
            && self.subs.live() == 0
            && self.held.sources == 0
            // Topics are swept before.
            && self.sweep_subs.is_none()
            && self.unsettled.is_empty()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        Stats {
            openings: self.held.openings,
            deciding: self.held.deciding,
            streams: self.held.streams,
            finishing: self.held.finishing,
            topics: self.topics.len() as u32,
            sources: self.held.sources,
            polls_in_flight: self.held.polls,
            logs_bytes: self.logs_bytes,
            held_bytes: self.runs.bytes(),
            ..self.stats
        }
    }

    /// Feeds one input; calls the method that it names.
    ///
    /// # Errors
    /// As that method.
    pub fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        use Reply::{Closing, Done, Id};
        match input {
            Input::Declare { topic, options } => self.declare(now, &topic, options).map(|()| Done),
            Input::Accept => self.accept(now).map(Id),
            Input::HeadHeld { id, bytes } => self.head_held(now, id, bytes).map(|()| Done),
            Input::HeadDone { id } => self.head_done(now, id).map(|()| Done),
            Input::Body { id, bytes } => self.body(now, id, bytes).map(|()| Done),
            Input::Answer { id, bytes } => self.answer(now, id, bytes).map(|()| Done),
            Input::Subscribe(subscribe) => self.subscribe(now, &subscribe).map(Id),
            Input::Publish { topic, frame, room } => {
                self.publish(now, &topic, frame, room).map(Reply::Published)
            }
            Input::Close { id, how } => self.close(now, id, how).map(|()| Done),
            Input::CloseKey { key } => self.close_key(now, &key).map(Closing),
            Input::PeerGone { id } => self.peer_gone(now, id).map(|()| Done),
            Input::StopSource { topic } => self.stop_source(now, &topic).map(|()| Done),
            Input::PollResult {
                token,
                number,
                outcome,
                next,
            } => self
                .poll_result(now, token, number, outcome, next)
                .map(Reply::Published),
            Input::Feed { token, frame, room } => {
                self.feed(now, token, frame, room).map(Reply::Published)
            }
            Input::SourceEnded { token, reason } => {
                self.source_ended(now, token, reason).map(|()| Done)
            }
            Input::Report(reports) => Ok(Reply::Stale(self.report(now, &reports))),
            Input::Writable { id } => self.writable(now, id).map(|()| Done),
            Input::Pull { id } => self.pull(now, id).map(Reply::Pulled),
            Input::Timeout => {
                self.handle_timeout(now);
                Ok(Done)
            }
            Input::Shutdown { grace, cause } => {
                self.shutdown(now, grace, cause);
                Ok(Done)
            }
        }
    }

    /// Moves the clock; it never goes back, and never reaches the time of deadlines that never come.
    fn clock(&mut self, now: Time) {
        let now = now.min(LAST);
        if now > self.now {
            self.now = now;
            self.tick = self.wheel.tick(now);
        }
    }

    /// The slot of a topic.
    fn topic(&self, name: &str) -> Option<u32> {
        self.names
            .find(name, |slot| self.topics[slot as usize].name.as_str())
    }

    /// The slot of a live id.
    fn find(&mut self, id: SubscriberId) -> Result<u32, Error> {
        match self.subs.find(id) {
            Some(slot) => Ok(slot),
            None if self.is_terminated() => self.refuse(Error::ShuttingDown),
            None => self.refuse(Error::Stale),
        }
    }

    /// Refuses a call, and counts it; the counters are no part of the state.
    fn refuse<T>(&mut self, error: Error) -> Result<T, Error> {
        let count = match error {
            Error::Stale => &mut self.stats.stale,
            Error::ShuttingDown => &mut self.stats.refused_shutdown,
            Error::Full(_) => &mut self.stats.refused_full,
            Error::Conflict => &mut self.stats.refused_conflict,
            Error::Wait => &mut self.stats.waited,
            _ => return Err(error),
        };
        *count += 1;
        Err(error)
    }

    /// Refuses what a machine that is shutting down does not take.
    fn open_for_business(&mut self) -> Result<(), Error> {
        if self.shutdown.is_some() {
            return self.refuse(Error::ShuttingDown);
        }
        Ok(())
    }

    /// A number that is spread over connections and stays the same for each.
    fn spread(&self, slot: u32, salt: u64) -> u64 {
        let generation = self.subs.at(slot).generation;
        mix(self.config.seed
            ^ salt.rotate_left(48)
            ^ ((u64::from(generation) << 32) + u64::from(slot)))
    }

    /// Appends a connection or topic to the queue of data.
    fn queue(&mut self, node: u32) {
        self.data.push_back(
            &mut Nodes {
                subs: &mut self.subs,
                topics: &mut self.topics,
            },
            node,
        );
    }

    /// The place of a connection in its list, or of a topic in the queue of data.
    fn place_of(&self, node: u32) -> Link {
        if node & TOPIC == 0 {
            self.subs.at(node).link
        } else {
            self.topics[(node & !TOPIC) as usize].turn
        }
    }

    /// Takes one out of the queue of data.
    fn unqueue(&mut self, node: u32) {
        self.data.remove(
            &mut Nodes {
                subs: &mut self.subs,
                topics: &mut self.topics,
            },
            node,
        );
    }
}

impl Engine for SseState {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        SseState::apply(self, now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        SseState::pump(self, budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        SseState::poll_action(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        SseState::poll_timeout(self)
    }

    fn now(&self) -> Time {
        SseState::now(self)
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        SseState::interest(self, topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        SseState::is_live(self, id)
    }

    fn asked(&self) -> u64 {
        SseState::asked(self)
    }

    fn is_terminated(&self) -> bool {
        SseState::is_terminated(self)
    }

    fn stats(&self) -> Stats {
        SseState::stats(self)
    }

    fn digest(&self) -> u64 {
        SseState::digest(self)
    }

    fn check_invariants(&self) {
        SseState::check_invariants(self);
    }
}

/// The queue of data holds slots of connections, and of topics with this bit.
const TOPIC: u32 = 1 << 31;

/// The links of the queue of data.
struct Nodes<'a> {
    subs: &'a mut Subscribers,
    topics: &'a mut Slab<Topic>,
}

impl Links for Nodes<'_> {
    fn link(&mut self, member: u32) -> &mut Link {
        if member & TOPIC == 0 {
            self.subs.link(member)
        } else {
            &mut self.topics[(member & !TOPIC) as usize].turn
        }
    }
}

/// A finalizer with full avalanche (the one of SplitMix64), so that neighbouring slots are spread.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A granule is less than a hundredth of a heartbeat: late enough to be cheap, early enough not to
/// be noticed; and 256 buckets hold two heartbeats.
const GRANULES_PER_HEARTBEAT: u64 = 112;
/// The last time that there is; what would be later never comes.
const LAST: Time = Time::from_nanos(u64::MAX - 1);
/// A microsecond: far below what a timer can do, and ticks can be added to without overflow.
const LEAST_GRANULE: u64 = 1000;
