//! Operations, and how often each comes up.

use sse_state::{CloseHow, Next, Room, ShutdownCause, SourceEnd};

use super::Pace;
use crate::choice::Choice;

/// An operation. `conn`, `source` and the like choose among what fits, modulo.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // the fields are the arguments of the inputs
pub enum Op {
    /// Declare a topic.
    Declare { topic: u8 },
    /// Accept a connection.
    Accept,
    /// Bytes of a request head are held.
    HeadHeld { conn: u8, bytes: u16 },
    /// A head is complete.
    HeadDone { conn: u8 },
    /// A body is announced.
    Body { conn: u8, bytes: u16 },
    /// An answer that is no stream.
    Answer { conn: u8, bytes: u16 },
    /// A connection that waits to be decided becomes a stream.
    Subscribe { conn: u8, stream: Stream },
    /// Accept, head done and subscribe in one; or a mounted stream.
    Open { mounted: bool, stream: Stream },
    /// Accept, head done, and the key is closed before the subscribe.
    OpenTooLate { stream: Stream },
    /// Publish to a topic.
    Publish { topic: u8, value: Value, room: Room },
    /// An external source feeds.
    Feed {
        source: Which,
        value: Value,
        room: Room,
    },
    /// The result of a poll.
    PollResult {
        source: Which,
        number: Number,
        outcome: Outcome,
        next: Next,
    },
    /// A source ends by itself.
    SourceEnded { source: Which, reason: SourceEnd },
    /// The service stops a source.
    StopSource { topic: u8 },
    /// The service closes a connection.
    Close { conn: u8, how: CloseHow },
    /// The service closes all of a key.
    CloseKey { key: u8 },
    /// A peer goes.
    PeerGone { conn: u8 },
    /// Report some of what is in flight.
    Report { first: u8, count: u8, how: HowMuch },
    /// Report all that is in flight and pump, until nothing is.
    ReportAll,
    /// A reader reads: its socket takes this many bytes more, and says so if it was blocked.
    Read { conn: u8, bytes: u16 },
    /// A readiness that means nothing.
    Writable { conn: u8 },
    /// A framework pulls.
    Pull { conn: u8 },
    /// A framework pulls until there is nothing.
    PullAll { conn: u8 },
    /// Whole seconds pass, with a timeout and a full pump after each.
    Seconds { seconds: u8 },
    /// Time passes; nobody is told.
    Elapse { nanos: u64 },
    /// The clock of the caller goes to the deadline, or 1 ns to either side of it.
    ToDeadline { delta: i8 },
    /// The next call carries a time that lies this far back.
    Back { nanos: u32 },
    /// Timeout, early or late.
    Timeout,
    /// Pump once.
    Pump { budget: u8 },
    /// Pump until nothing is left.
    PumpAll { budget: u8 },
    /// Pull single actions.
    PollAction { count: u8 },
    /// Shut down.
    Shutdown {
        grace: Option<u16>,
        cause: ShutdownCause,
    },
    /// A call with an id or token that is dead or was never handed out.
    Stale { call: u8, which: u8 },
}

/// A new stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// Its topics: a bit for each.
    pub topics: u8,
    /// Hand in the topic's options (or, rarely, others).
    pub options: Options,
    /// Where it starts.
    pub start: From,
    /// Length of its answer head.
    pub head: u8,
    /// Heartbeat: default, comment, event, off.
    pub heartbeat: u8,
    /// It begins with a `retry:` block.
    pub retry: bool,
    /// Its longest life, in steps.
    pub lifetime: Option<u8>,
    /// When its grant ends, in steps from now.
    pub expires: Option<u8>,
    /// Its key.
    pub key: Option<u8>,
    /// End with the sources.
    pub end_when_finished: bool,
    /// How its socket behaves.
    pub socket: SocketKind,
}

/// The options that a subscription hands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Options {
    /// Those of the scenario.
    Own,
    /// None.
    None,
    /// Other ones.
    Other,
}

/// Where a stream starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// At now.
    Now,
    /// At the newest.
    Newest,
    /// At the oldest.
    Oldest,
    /// After an id that some stream was sent, counted from the last.
    Seen(u8),
    /// After an id that nobody sent: odd, of another epoch, ahead.
    Forged(u8),
}

/// How a socket behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketKind {
    /// Takes everything.
    Fast,
    /// Takes what its reader has made room for.
    Slow {
        /// Room at the start.
        room: u8,
    },
    /// Everything is taken in flight, and reported later.
    Flight,
}

/// What is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// Data that nobody else publishes, with this much padding.
    Unique {
        /// Bytes of padding.
        pad: u8,
    },
    /// One of three values that come again; its `retry:` field tells the publishes apart.
    Again {
        /// Which.
        which: u8,
    },
    /// With an id of the publisher's own.
    OwnId,
}

/// A source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The k-th that runs.
    Running(u8),
    /// The k-th that was stopped.
    Stopped(u8),
}

/// The number of a poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// The one in flight.
    Latest,
    /// The one before.
    Earlier,
    /// One that was never asked for.
    Ahead,
}

/// What a poll gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A value.
    Value(Value),
    /// Nothing new.
    Unchanged,
    /// It failed.
    Failed,
    /// It failed with an event to publish.
    FailedWith(Value),
}

/// How much of a run in flight was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HowMuch {
    /// All; the socket is ready.
    All,
    /// All; the socket is blocked.
    AllBlocked,
    /// At most so many bytes; the socket is blocked.
    Some(u8),
    /// At most so many bytes; the socket is ready.
    SomeReady(u8),
    /// The peer is gone.
    Gone,
}

/// How often each family of operations comes up in one scenario: some never, some often.
#[derive(Clone, Debug)]
pub struct Weights([u32; FAMILIES]);

impl Weights {
    /// Each family is often switched off, so that others go deep.
    pub fn choose<C: Choice>(choice: &mut C) -> Weights {
        let mut weights = USUAL;
        for weight in &mut weights[3..] {
            *weight = match choice.pick(4) {
                0 => 0,
                1 => *weight * 3,
                _ => *weight,
            };
        }
        Weights(weights)
    }
}

impl Default for Weights {
    fn default() -> Weights {
        Weights(USUAL)
    }
}

const FAMILIES: usize = 16;
const USUAL: [u32; FAMILIES] = [12, 16, 14, 2, 2, 5, 2, 4, 8, 8, 4, 2, 10, 2, 1, 3];

impl Op {
    /// One operation.
    pub fn choose<C: Choice>(choice: &mut C, weights: &Weights, pace: Pace) -> Op {
        let sum: u32 = weights.0.iter().sum();
        let mut left = choice.pick(sum);
        let mut family = 0;
        while left >= weights.0[family] {
            left -= weights.0[family];
            family += 1;
        }
        let calm = pace == Pace::Calm;
        match family {
            0 => Op::Open {
                mounted: choice.chance(1, 5),
                stream: Stream::choose(choice, calm),
            },
            1 => Op::Publish {
                topic: small(choice, 4),
                value: Value::choose(choice),
                room: room(choice),
            },
            2 if calm => Op::PumpAll {
                budget: choice.one_of(&[200, 1, 2, 5]),
            },
            2 => match choice.pick(5) {
                0 | 1 => Op::PumpAll {
                    budget: choice.one_of(&[200, 1, 2, 5]),
                },
                2 | 3 => Op::Pump {
                    budget: choice.one_of(&[1, 0, 2, 3, 5]),
                },
                _ => Op::PollAction {
                    count: 1 + small(choice, 3),
                },
            },
            3 => match choice.pick(6) {
                0 => Op::Accept,
                1 => Op::HeadDone {
                    conn: small(choice, 8),
                },
                2 => Op::HeadHeld {
                    conn: small(choice, 8),
                    bytes: choice.one_of(&[10, 300, 16384, 16385]),
                },
                3 => Op::Subscribe {
                    conn: small(choice, 8),
                    stream: Stream::choose(choice, calm),
                },
                4 => Op::Body {
                    conn: small(choice, 8),
                    bytes: 100,
                },
                _ => Op::Answer {
                    conn: small(choice, 8),
                    bytes: choice.one_of(&[40, 0, 200]),
                },
            },
            4 => Op::Declare {
                topic: small(choice, 4),
            },
            5 => Op::Feed {
                source: which(choice),
                value: Value::choose(choice),
                room: room(choice),
            },
            6 => match choice.pick(3) {
                0 => Op::StopSource {
                    topic: small(choice, 4),
                },
                _ => Op::SourceEnded {
                    source: which(choice),
                    reason: choice.one_of(&[SourceEnd::Finished, SourceEnd::Panicked]),
                },
            },
            7 => Op::PollResult {
                source: which(choice),
                number: choice.one_of(&[
                    Number::Latest,
                    Number::Latest,
                    Number::Latest,
                    Number::Earlier,
                    Number::Ahead,
                ]),
                outcome: match choice.pick(6) {
                    0 => Outcome::Unchanged,
                    1 => Outcome::Failed,
                    2 => Outcome::FailedWith(Value::choose(choice)),
                    _ => Outcome::Value(Value::choose(choice)),
                },
                next: if choice.chance(1, 6) {
                    Next::Finished
                } else {
                    Next::GoOn
                },
            },
            8 => Op::Report {
                first: small(choice, 8),
                count: 1 + small(choice, 4),
                how: match choice.pick(8) {
                    0 => HowMuch::AllBlocked,
                    1 => HowMuch::Some(small(choice, 200)),
                    2 => HowMuch::SomeReady(small(choice, 200)),
                    3 if choice.chance(1, 4) => HowMuch::Gone,
                    _ => HowMuch::All,
                },
            },
            9 => Op::Read {
                conn: small(choice, 8),
                bytes: choice.one_of(&[500, 0, 1, 7, 60, 130]),
            },
            10 => Op::Pull {
                conn: small(choice, 8),
            },
            11 => Op::Close {
                conn: small(choice, 8),
                how: choice.one_of(&[CloseHow::Drain, CloseHow::Stop, CloseHow::Cut]),
            },
            12 if calm => Op::Seconds {
                seconds: choice.one_of(&[1, 1, 2, 3, 6, 70]),
            },
            12 => match choice.pick(8) {
                0 => Op::Elapse {
                    nanos: u64::from(choice.one_of(&[1u32, 0, 10_000_000, 900_000_000])),
                },
                1 => Op::Elapse {
                    nanos: u64::from(choice.one_of(&[2_000_000_000u32, 980_000_000]))
                        * u64::from(choice.one_of(&[1u32, 1, 1, 40, 157_680_000])),
                },
                2 => Op::Back {
                    nanos: choice.one_of(&[1, 1_000_000_000]),
                },
                3 => Op::Timeout,
                _ => Op::ToDeadline {
                    delta: choice.one_of(&[0, 0, -1, 1]),
                },
            },
            13 => match choice.pick(4) {
                0 => Op::CloseKey {
                    key: small(choice, 2),
                },
                3 => Op::OpenTooLate {
                    stream: Stream {
                        key: Some(small(choice, 2)),
                        ..Stream::choose(choice, calm)
                    },
                },
                _ => Op::PeerGone {
                    conn: small(choice, 8),
                },
            },
            14 if choice.chance(1, 3) => Op::Shutdown {
                grace: choice.one_of(&[None, Some(0), Some(1500)]),
                cause: choice.one_of(&[ShutdownCause::Asked, ShutdownCause::HubDropped]),
            },
            14 => Op::Writable {
                conn: small(choice, 8),
            },
            _ => Op::Stale {
                call: small(choice, 12),
                which: small(choice, 16),
            },
        }
    }
}

impl Stream {
    /// One stream.
    pub fn choose<C: Choice>(choice: &mut C, calm: bool) -> Stream {
        Stream {
            topics: match choice.pick(3) {
                0 => 1 + small(choice, 15),
                _ => 1 << small(choice, 4),
            },
            options: choice.one_of(&[
                Options::Own,
                Options::Own,
                Options::Own,
                Options::Own,
                Options::Own,
                Options::None,
                Options::Other,
            ]),
            start: match choice.pick(7) {
                0 | 1 => From::Now,
                2 => From::Newest,
                3 => From::Oldest,
                4 | 5 => From::Seen(small(choice, 40)),
                _ => From::Forged(small(choice, 6)),
            },
            head: choice.one_of(&[17, 0, 90]),
            // A heartbeat comes when the engine likes, so two engines cannot be compared with it.
            heartbeat: if calm { 3 } else { small(choice, 4) },
            retry: choice.chance(1, 2),
            lifetime: if choice.chance(1, 8) {
                Some(small(choice, 3))
            } else {
                None
            },
            expires: if choice.chance(1, 8) {
                Some(small(choice, 5))
            } else {
                None
            },
            key: if choice.chance(1, 3) {
                Some(small(choice, 2))
            } else {
                None
            },
            end_when_finished: choice.chance(1, 4),
            socket: match choice.pick(4) {
                0 | 1 => SocketKind::Fast,
                2 => SocketKind::Slow {
                    room: choice.one_of(&[200, 0, 20, 100]),
                },
                _ => SocketKind::Flight,
            },
        }
    }
}

impl Value {
    fn choose<C: Choice>(choice: &mut C) -> Value {
        match choice.pick(8) {
            0..=3 => Value::Unique {
                pad: choice.one_of(&[0, 0, 1, 60, 130]),
            },
            7 if choice.chance(1, 4) => Value::OwnId,
            _ => Value::Again {
                which: small(choice, 3),
            },
        }
    }
}

fn small<C: Choice>(choice: &mut C, n: u32) -> u8 {
    choice.pick(n) as u8
}

fn which<C: Choice>(choice: &mut C) -> Which {
    let place = small(choice, 4);
    if choice.chance(1, 5) {
        Which::Stopped(place)
    } else {
        Which::Running(place)
    }
}

fn room<C: Choice>(choice: &mut C) -> Room {
    if choice.chance(1, 5) {
        Room::Wait
    } else {
        Room::Evict
    }
}
