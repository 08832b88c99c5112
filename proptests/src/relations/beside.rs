//! M2, M8: an engine with something beside it, or in front of it.

use std::sync::Arc;
use std::time::Duration;

use sse_state::{
    Action, Answer, Control, Engine, Error, Event as Payload, EventId, Frame, Heartbeat, Input,
    Name, Pumped, Reply, Report, Room, Run, Sink, Socket, Subscribe, SubscriberId, Time,
    TopicOptions, Via,
};

use super::comparable;
use crate::compare::{Seen, events};
use crate::scenario::{From, Op, Options, Scenario, SocketKind, Stream};
use crate::suite::{Factory, finish, run};
use crate::wire::{Block, Parser};
use crate::world::World;

/// M2: a topic and a stream of which nobody knows change nothing for the others.
pub(super) fn m2_strangers<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let scenario = comparable(scenario)?;
    let crowded = |config| factory.make(config).map(Crowded::new);
    let (a, b) = (run(factory, &scenario), run(&crowded, &scenario));
    if a.peers.len() != b.peers.len() {
        return Some("another number of connections".into());
    }
    let (ours, theirs) = (in_ranks(&a), in_ranks(&b));
    let differs = |number: &usize| {
        let (ours, theirs) = (&ours[*number], &theirs[*number]);
        // Ids are longer beside a stranger, so a socket that is full may have taken an event less.
        let full = a.peers[*number].socket != SocketKind::Fast;
        let both = ours.len().min(theirs.len());
        ours[..both] != theirs[..both] || !full && ours.len() != theirs.len()
    };
    let number = (0..ours.len()).find(differs)?;
    Some(format!(
        "stream {number} notices a stranger: {:?} against {:?}",
        ours[number], theirs[number]
    ))
}

/// What every stream got, each id as its rank among all of them.
fn in_ranks<E: Engine>(world: &World<E>) -> Vec<Vec<Seen>> {
    // Whether nothing is gone since an id may be proved only while nobody else has published: a gap whose number is not
    // known may be told beside a stranger, and not without one.
    let unproved = |event: &Seen| event.name == "sse-gap" && event.data.contains("\"missed\":null");
    let counts = |event: &Seen| {
        let shown = !event.name.is_empty() || !event.data.is_empty();
        shown && !unproved(event)
    };
    let all = world.peers.iter().map(|peer| events(peer.body()));
    let mut streams: Vec<Vec<Seen>> = all
        .map(|events| events.into_iter().filter(counts).collect())
        .collect();
    let seq = |event: &Seen| EventId::parse(event.id.as_deref()?.as_bytes()).map(|id| id.seq);
    let mut seqs: Vec<u64> = streams.iter().flatten().filter_map(seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    for event in streams.iter_mut().flatten() {
        if let Some(rank) = seq(event).and_then(|seq| seqs.binary_search(&seq).ok()) {
            event.id = Some(rank.to_string());
        }
    }
    streams
}

/// An engine with a stream of its own to a topic of its own.
#[derive(Clone)]
struct Crowded<E> {
    inner: E,
    stranger: Option<SubscriberId>,
}

impl<E: Engine> Crowded<E> {
    fn new(mut inner: E) -> Crowded<E> {
        let stranger = Self::enter(&mut inner);
        Crowded { inner, stranger }
    }

    fn enter(inner: &mut E) -> Option<SubscriberId> {
        let now = Time::ZERO;
        let topic = Name::new(STRANGE).ok()?;
        let options = Arc::new(TopicOptions::default());
        let declare = Input::Declare {
            topic: topic.clone(),
            options,
        };
        inner.apply(now, declare).ok()?;
        let Ok(Reply::Id(id)) = inner.apply(now, Input::Accept) else {
            return None;
        };
        inner.apply(now, Input::HeadDone { id }).ok()?;
        let sub = Subscribe {
            heartbeat: Heartbeat::Off,
            retry: false,
            ..Subscribe::new(Via::Connection(id), topic)
        };
        inner.apply(now, Input::Subscribe(Box::new(sub))).ok()?;
        Some(id)
    }
}

impl<E: Engine> Engine for Crowded<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        if let (Input::Publish { frame, .. }, true) = (&input, self.stranger.is_some()) {
            let strange = Input::Publish {
                topic: STRANGE.into(),
                frame: frame.clone(),
                room: Room::Evict,
            };
            // It may be refused like any other.
            let _ = self.inner.apply(now, strange);
        }
        self.inner.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let stranger = self.stranger;
        self.inner.pump(budget, &mut Without { sink, stranger })
    }

    fn poll_action(&mut self) -> Option<Action> {
        loop {
            match self.inner.poll_action()? {
                Action::Write { id, run } if Some(id) == self.stranger => {
                    let report = Report {
                        id,
                        bytes: run.len() as u32,
                        socket: Socket::Ready,
                    };
                    let now = self.inner.now();
                    let _ = self.inner.apply(now, Input::Report(vec![report].into()));
                }
                Action::Control(control) if names(&control, self.stranger) => {}
                action => return Some(action),
            }
        }
    }

    views_of_inner!();
}

/// Keeps what the stranger gets to itself.
struct Without<'a> {
    sink: &'a mut dyn Sink,
    stranger: Option<SubscriberId>,
}

impl Sink for Without<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        if Some(id) == self.stranger {
            return Answer::All;
        }
        self.sink.write(id, run)
    }

    fn control(&mut self, control: Control) {
        if !names(&control, self.stranger) {
            self.sink.control(control);
        }
    }
}

fn names(control: &Control, stranger: Option<SubscriberId>) -> bool {
    let id = match control {
        Control::Wake { id } | Control::Finish { id } | Control::Close { id, .. } => Some(*id),
        _ => None,
    };
    id.is_some() && id == stranger
}

/// M8: what an engine gets from another one and publishes again is what one engine would have sent.
pub(super) fn m8_fed_by_an_engine<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let scenario = plain(scenario)?;
    let world = || {
        let engine = factory.make(scenario.setup.config.clone()).ok()?;
        let mut world = World::new(engine, &scenario.setup);
        // Somebody listens to each topic from the start.
        (0..scenario.setup.topics.len()).for_each(|topic| world.apply(&listener(topic)));
        world.pump_all(1000);
        Some(world)
    };
    let (mut flat, mut front, mut back) = (world()?, world()?, world()?);
    let mut parsers: Vec<Parser> = scenario
        .setup
        .topics
        .iter()
        .map(|_| Parser::new())
        .collect();
    let mut read: Vec<usize> = vec![0; parsers.len()];
    for op in &scenario.ops {
        flat.apply(op);
        flat.pump_all(1000);
        if !matches!(op, Op::Publish { .. }) {
            back.apply(op);
            back.pump_all(1000);
            continue;
        }
        front.apply(op);
        front.pump_all(1000);
        for (topic, parser) in parsers.iter_mut().enumerate() {
            let body = front.peers[topic].body();
            for block in parser.push(&body[read[topic]..]) {
                if let Some(frame) = again(&block) {
                    let topic = scenario.setup.topics[topic].name.clone().into();
                    let room = Room::Evict;
                    let _ = back.call(Input::Publish { topic, frame, room });
                    back.pump_all(1000);
                }
            }
            read[topic] = body.len();
        }
    }
    [&mut flat, &mut back].into_iter().for_each(finish);
    super::streams_differ(&flat, &back)
}

/// Only publishes, and streams that read at once.
fn plain(scenario: &Scenario) -> Option<Scenario> {
    let mut scenario = comparable(scenario)?;
    for topic in &mut scenario.setup.topics {
        topic.declared = true;
        topic.options.source = sse_state::SourceKind::None;
        topic.options.log_frames = 64;
    }
    scenario.ops.retain_mut(|op| match op {
        Op::Open { mounted, stream } => {
            *mounted = false;
            *stream = Stream {
                socket: SocketKind::Fast,
                lifetime: None,
                expires: None,
                key: None,
                options: Options::None,
                start: match stream.start {
                    From::Seen(_) | From::Forged(_) => From::Oldest,
                    start => start,
                },
                ..stream.clone()
            };
            true
        }
        Op::Publish { .. } => true,
        _ => false,
    });
    Some(scenario)
}

fn listener(topic: usize) -> Op {
    Op::Open {
        mounted: false,
        stream: Stream {
            topics: 1 << topic,
            options: Options::None,
            start: From::Now,
            head: 0,
            heartbeat: 3,
            retry: false,
            lifetime: None,
            expires: None,
            key: None,
            end_when_finished: false,
            socket: SocketKind::Fast,
        },
    }
}

/// The event that a block is, to be published again.
fn again(block: &Block) -> Option<Frame> {
    let data = block.data.as_deref()?;
    let mut payload = Payload::new(data).name(block.name.as_deref().unwrap_or_default());
    if let Some(retry) = block.retry {
        payload = payload.retry(Duration::from_millis(retry));
    }
    if let Some(id) = block.id.as_deref().filter(|id| id.starts_with("own")) {
        payload = payload.id(id);
    }
    payload.encode().ok()
}

const STRANGE: &str = "a stranger";
