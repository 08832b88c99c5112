//! The operations: everything that can happen to a small machine, from the outside.

use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    CloseHow, EventId, Heartbeat, Input, Join, Next, PollOutcome, Report, Room, ShutdownCause,
    Socket, SourceEnd, Start, Subscribe, Via,
};

use super::configuration::{Configuration, Hands, frame, key};
use super::world::{Conn, Explored, World};

/// One operation. Numbers of connections are places in the list of those that live, by slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // they are the inputs, with the few arguments that there are
pub enum Op {
    /// One visit of a pump; a write gets this answer.
    Pump(Take),
    /// A unit of time goes by, and the machine is told.
    Tick,
    Open(Opening),
    Publish(u8, u8, Room),
    Writable(u8),
    Report(u8, Part, Socket),
    Gone(u8),
    Close(u8, CloseHow),
    Pull(u8),
    /// What a source does: its topic.
    Feed(u8, u8),
    Polled(u8, Outcome, Next),
    Ended(u8, SourceEnd),
    StopSource(u8),
    CloseKey,
    Shutdown(ShutdownCause),
    Accept,
    HeadHeld(u8),
    HeadDone(u8),
    Body(u8),
    Answer(u8),
}

/// What a socket does with a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Take {
    All,
    Blocked(Part),
    Gone,
    InFlight,
}

/// How much of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// No byte.
    Nothing,
    /// The first byte, unless the run begins with the rest of something.
    One,
    /// All but the last byte.
    ButOne,
    /// Every byte.
    All,
}

/// What a poll found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Outcome {
    Value(u8),
    Unchanged,
    Failed,
}

/// How a stream is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// As most are.
    Plain,
    /// At the newest frame.
    Newest,
    /// At the oldest frame.
    Oldest,
    /// After the id that was given so many publishes ago.
    After(u8),
    /// After an id of another epoch.
    Foreign,
    /// With a grant that ends after a unit of time.
    Expiring,
    /// With a key.
    Keyed,
    /// It ends with its sources.
    WithSources,
    /// Its life ends after two units of time.
    Mortal,
}

impl Part {
    /// How many bytes of what is lent; `None` if that would be no choice of its own.
    pub fn of(self, lent: Lent) -> Option<u32> {
        match self {
            Part::Nothing => Some(0),
            // Single bytes on end would make a state of every offset.
            Part::One => (lent.whole && lent.bytes > 2).then_some(1),
            Part::ButOne => (lent.bytes > 1).then(|| lent.bytes - 1),
            Part::All => Some(lent.bytes),
        }
    }
}

/// A run that is lent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lent {
    /// Its bytes.
    pub bytes: u32,
    /// It does not begin with the rest of something.
    pub whole: bool,
}

impl Lent {
    /// What can be seen of a run.
    pub fn of(run: &[u8]) -> Lent {
        let starts = [&b":"[..], b"data: ", b"event: ", b"id: ", b"retry: "];
        Lent {
            bytes: run.len() as u32,
            whole: starts.iter().any(|start| run.starts_with(start)),
        }
    }
}

/// Every operation that can be done to this machine now.
pub fn enabled<E: Explored>(world: &World<E>, of: &Configuration, ops: &mut Vec<Op>) {
    ops.clear();
    if world.engine.is_terminated() {
        return;
    }
    let takes = TAKES.iter().filter(|&&take| match take {
        Take::All => true,
        Take::InFlight => of.hands == Hands::InFlight,
        Take::Blocked(part) => of.hands != Hands::Mounted && is_taken(part, of),
        Take::Gone => of.hands != Hands::Mounted,
    });
    ops.extend(takes.map(|&take| Op::Pump(take)));
    ops.push(Op::Tick);
    let idle = usize::from(world.env.conns.len() < of.streams);
    if of.alphabet.heads {
        ops.extend([Op::Accept].iter().take(idle));
    } else {
        let opens = of.alphabet.opens.iter().filter(|_| idle > 0);
        ops.extend(opens.map(|&how| Op::Open(how)));
    }
    publishes(world, of, ops);
    for (place, conn) in world.env.conns.iter().enumerate() {
        on_connection(place as u8, conn, of, ops);
    }
    sources(world, of, ops);
    if of.alphabet.key && world.engine.asked() == 0 {
        ops.push(Op::CloseKey);
    }
    if !world.env.shutdown {
        ops.extend(
            of.alphabet
                .shutdown
                .iter()
                .map(|&cause| Op::Shutdown(cause)),
        );
    }
}

/// Publishes, while nobody is too far behind: else nothing would ever close.
fn publishes<E: Explored>(world: &World<E>, of: &Configuration, ops: &mut Vec<Op>) {
    let frames = of.topics.iter().map(|topic| topic.options.log_frames).max();
    if world.engine.greatest_lag() >= u64::from(frames.unwrap_or(0)) + 2 {
        return;
    }
    for topic in 0..of.topics.len() as u8 {
        ops.extend((0..of.alphabet.values).map(|value| Op::Publish(topic, value, Room::Evict)));
        if of.alphabet.wait {
            ops.push(Op::Publish(topic, 0, Room::Wait));
        }
        if of.alphabet.feeds && world.env.sources[topic as usize].token.is_some() {
            ops.push(Op::Feed(topic, 0));
        }
    }
}

fn on_connection(place: u8, conn: &Conn, of: &Configuration, ops: &mut Vec<Op>) {
    ops.push(Op::Gone(place));
    ops.extend(of.alphabet.closes.iter().map(|&how| Op::Close(place, how)));
    if of.alphabet.heads && !conn.stream {
        ops.extend([
            Op::HeadHeld(place),
            Op::HeadDone(place),
            Op::Body(place),
            Op::Answer(place),
        ]);
        ops.extend(of.alphabet.opens.iter().map(|&how| Op::Open(how)));
    }
    if of.hands == Hands::Mounted {
        return ops.push(Op::Pull(place));
    }
    if conn.blocked || conn.flight.is_some() {
        ops.push(Op::Writable(place));
    }
    if let Some(lent) = conn.flight {
        ops.extend(REPORTS.iter().filter_map(|&(part, socket)| {
            part.of(lent).filter(|_| is_taken(part, of))?;
            Some(Op::Report(place, part, socket))
        }));
    }
}

fn is_taken(part: Part, of: &Configuration) -> bool {
    of.alphabet.partial || matches!(part, Part::Nothing | Part::All)
}

fn sources<E: Explored>(world: &World<E>, of: &Configuration, ops: &mut Vec<Op>) {
    for place in 0..of.topics.len() {
        let (source, at) = (&world.env.sources[place], place as u8);
        if source.token.is_none() {
            continue;
        }
        if of.alphabet.stops {
            ops.push(Op::StopSource(at));
        }
        ops.extend(of.alphabet.ends.iter().map(|&end| Op::Ended(at, end)));
        if of.alphabet.polls {
            ops.extend([
                Op::Polled(at, Outcome::Value(0), Next::GoOn),
                Op::Polled(at, Outcome::Unchanged, Next::GoOn),
                Op::Polled(at, Outcome::Failed, Next::GoOn),
                Op::Polled(at, Outcome::Value(0), Next::Finished),
            ]);
        }
    }
}

/// The input that an operation is; `None`: it is none, or has nobody to be done to.
pub fn input<E: Explored>(op: Op, world: &World<E>, of: &Configuration) -> Option<Input<'static>> {
    let conn = |place: u8| world.env.conns.get(usize::from(place));
    let id = |place: u8| conn(place).map(|conn| conn.id);
    let token = |topic: u8| world.env.sources.get(usize::from(topic))?.token;
    let name = |topic: u8| {
        of.topics[usize::from(topic)]
            .name
            .as_str()
            .to_owned()
            .into()
    };
    Some(match op {
        Op::Pump(_) => return None,
        Op::Tick => Input::Timeout,
        Op::Accept => Input::Accept,
        Op::Open(how) => Input::Subscribe(Box::new(subscribe(how, world, of)?)),
        Op::Publish(topic, value, room) => Input::Publish {
            topic: name(topic),
            frame: frame(value),
            room,
        },
        Op::Writable(place) => Input::Writable { id: id(place)? },
        Op::Report(place, part, socket) => {
            let lent = conn(place)?.flight?;
            let bytes = part.of(lent)?;
            let id = id(place)?;
            Input::Report(vec![Report { id, bytes, socket }].into())
        }
        Op::Gone(place) => Input::PeerGone { id: id(place)? },
        Op::Close(place, how) => Input::Close {
            id: id(place)?,
            how,
        },
        Op::Pull(place) => Input::Pull { id: id(place)? },
        Op::Feed(topic, value) => Input::Feed {
            token: token(topic)?,
            frame: frame(value),
            room: Room::Evict,
        },
        Op::Polled(topic, outcome, next) => Input::PollResult {
            token: token(topic)?,
            number: world.env.sources[usize::from(topic)].polls,
            outcome: match outcome {
                Outcome::Value(value) => PollOutcome::Frame(frame(value)),
                Outcome::Unchanged => PollOutcome::Unchanged,
                Outcome::Failed => PollOutcome::Failed(None),
            },
            next,
        },
        Op::Ended(topic, reason) => Input::SourceEnded {
            token: token(topic)?,
            reason,
        },
        Op::StopSource(topic) => Input::StopSource { topic: name(topic) },
        Op::CloseKey => Input::CloseKey { key: key() },
        Op::Shutdown(cause) => Input::Shutdown { grace: None, cause },
        Op::HeadHeld(place) => Input::HeadHeld {
            id: id(place)?,
            bytes: 1,
        },
        Op::HeadDone(place) => Input::HeadDone { id: id(place)? },
        Op::Body(place) => Input::Body {
            id: id(place)?,
            bytes: 1,
        },
        Op::Answer(place) => Input::Answer {
            id: id(place)?,
            bytes: Bytes::from_static(b"404\n\n"),
        },
    })
}

/// A stream that follows every topic.
fn subscribe<E: Explored>(how: Opening, world: &World<E>, of: &Configuration) -> Option<Subscribe> {
    let via = match of.hands {
        Hands::Mounted => Via::Mounted {
            asked: world.engine.asked(),
        },
        // The last one that is no stream yet; its place is taken by a stale id where there is none.
        _ => Via::Connection(world.env.conns.iter().rev().find(|conn| !conn.stream)?.id),
    };
    let mut subscribe = Subscribe::new(via, of.topics[0].name.clone());
    subscribe.topics = (of.topics.iter())
        .map(|topic| Join {
            topic: topic.name.clone(),
            options: (!topic.declared).then(|| topic.options.clone()),
        })
        .collect();
    subscribe.retry = false;
    if of.alphabet.silent {
        subscribe.heartbeat = Heartbeat::Off;
    }
    match how {
        Opening::Plain => {}
        Opening::Newest => subscribe.start = Start::Newest,
        Opening::Oldest => subscribe.start = Start::Oldest,
        Opening::After(ago) => {
            let seq = world.env.newest?.seq.checked_sub(u64::from(ago))?;
            let epoch = of.config.epoch;
            subscribe.start = Start::After(EventId { epoch, seq }.to_string().into());
        }
        Opening::Foreign => subscribe.start = Start::After(Bytes::from_static(b"v-1")),
        Opening::Expiring => subscribe.expires = Some(world.engine.now() + of.unit),
        Opening::Keyed => subscribe.key = Some(key()),
        Opening::WithSources => subscribe.end_when_finished = true,
        Opening::Mortal => subscribe.lifetime = Some(Duration::from_nanos(8)),
    }
    Some(subscribe)
}

const TAKES: [Take; 6] = [
    Take::All,
    Take::Blocked(Part::Nothing),
    Take::Blocked(Part::One),
    Take::Blocked(Part::ButOne),
    Take::Gone,
    Take::InFlight,
];
const REPORTS: [(Part, Socket); 8] = [
    (Part::All, Socket::Ready),
    (Part::All, Socket::Blocked),
    (Part::Nothing, Socket::Ready),
    (Part::Nothing, Socket::Blocked),
    (Part::One, Socket::Blocked),
    (Part::ButOne, Socket::Ready),
    (Part::ButOne, Socket::Blocked),
    (Part::Nothing, Socket::Gone),
];
