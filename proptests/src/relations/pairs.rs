//! I6, B5, M6, S4: the same scenario, with one thing done otherwise.

use std::time::Duration;

use bytes::Bytes;
use sse_state::{Engine, Input, Join, Reply, ShutdownCause, Start, Subscribe, SubscriberId, Via};

use super::{comparable, streams_differ};
use crate::compare::{Seen, events};
use crate::scenario::{From, Op, Scenario, SocketKind};
use crate::suite::{Factory, finish, run};
use crate::trace::Event;
use crate::world::{Phase, World};

/// B5: streams that read at once get the same, whether the others read or not.
pub(super) fn b5_slow_members_harm_nobody<F: Factory>(
    factory: &F,
    scenario: &Scenario,
) -> Option<String> {
    let mut slow = comparable(scenario)?;
    // Nobody may die of being slow, and nobody resume where a slow one stands.
    slow.setup.config.write_timeout = Duration::from_secs(1_000_000);
    slow.ops.iter_mut().for_each(never_resumes);
    let mut fast = slow.clone();
    for op in &mut fast.ops {
        if let Op::Open { stream, .. } | Op::Subscribe { stream, .. } = op {
            stream.socket = SocketKind::Fast;
        }
    }
    let make = || factory.make(slow.setup.config.clone()).ok();
    let mut a = World::new(make()?, &slow.setup);
    let mut b = World::new(make()?, &fast.setup);
    let phases = |world: &World<F::Engine>| -> Vec<Phase> {
        world.peers.iter().map(|peer| peer.phase).collect()
    };
    for (op, other) in slow.ops.iter().zip(&fast.ops) {
        // A slow one that ends stays longer, and "the third that lives" is another then.
        if phases(&a) != phases(&b) {
            break;
        }
        a.apply(op);
        b.apply(other);
    }
    finish(&mut a);
    finish(&mut b);
    if a.peers.len() != b.peers.len() {
        return Some("another number of connections".into());
    }
    let pairs = a.peers.iter().zip(&b.peers).enumerate();
    let mut quick = pairs.filter(|(_, (a, _))| a.socket == SocketKind::Fast);
    let (number, _) = quick.find(|(_, (a, b))| events(a.body()) != events(b.body()))?;
    Some(format!(
        "stream {number} gets something else if others are slow"
    ))
}

/// M6: publishes to two topics, next to each other, in the other order.
pub(super) fn m6_publishes_commute<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let mut scenario = comparable(scenario)?;
    scenario.ops.iter_mut().for_each(never_resumes);
    let topics = scenario.setup.topics.len();
    let play = |swaps: bool| {
        let engine = factory.make(scenario.setup.config.clone()).ok()?;
        let mut world = World::new(engine, &scenario.setup);
        let mut ops = scenario.ops.iter().peekable();
        while let Some(op) = ops.next() {
            let other = |next: &&Op| match (op, next) {
                (Op::Publish { topic: a, .. }, Op::Publish { topic: b, .. }) => {
                    usize::from(*a) % topics != usize::from(*b) % topics
                }
                _ => false,
            };
            match ops.next_if(|next| swaps && other(next)) {
                Some(next) => world.swap(op, next),
                None => world.apply(op),
            }
        }
        finish(&mut world);
        Some(world)
    };
    let (a, b) = (play(false)?, play(true)?);
    let one_topic: Vec<SubscriberId> = a.trace.iter().filter_map(opens_with_one_topic).collect();
    let seen = |world: &World<F::Engine>, number: usize| {
        let events = events(world.peers[number].body()).into_iter();
        // Which seqs they got is another matter.
        let named = events.filter(|event| !event.name.is_empty() || !event.data.is_empty());
        named
            .map(|event| (event.name, event.data))
            .collect::<Vec<_>>()
    };
    let mut numbers = 0..a.peers.len().min(b.peers.len());
    let number = numbers.find(|&number| {
        one_topic.contains(&a.peers[number].id) && seen(&a, number) != seen(&b, number)
    })?;
    Some(format!("stream {number} notices the order of two topics"))
}

fn opens_with_one_topic(step: &crate::trace::Step) -> Option<SubscriberId> {
    match &step.what {
        crate::trace::What::Call {
            input: Input::Subscribe(sub),
            result: Ok(Reply::Id(id)),
            ..
        } if sub.topics.len() == 1 => Some(*id),
        _ => None,
    }
}

/// S4: a second shutdown changes nothing.
pub(super) fn s4_twice_is_once<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let play = |times: u32| {
        let engine = factory.make(scenario.setup.config.clone()).ok()?;
        let mut world = World::new(engine, &scenario.setup);
        let ends = |op: &&Op| !matches!(op, Op::Shutdown { .. });
        scenario
            .ops
            .iter()
            .filter(ends)
            .for_each(|op| world.apply(op));
        for _ in 0..times {
            let grace = None;
            let cause = ShutdownCause::Asked;
            let _ = world.call(Input::Shutdown { grace, cause });
        }
        world.heal();
        (0..4).for_each(|_| world.second());
        let events = world.trace.iter().flat_map(|step| step.events().to_vec());
        Some(events.collect::<Vec<Event>>())
    };
    let (once, twice) = (play(1)?, play(2)?);
    let at = once.iter().zip(&twice).position(|(a, b)| a != b);
    let at = at.or((once.len() != twice.len()).then_some(once.len().min(twice.len())))?;
    Some(format!(
        "action {at}: {:?} against {:?}",
        once.get(at),
        twice.get(at)
    ))
}

/// I6: whoever comes back with an id that it got goes on as if it had never left.
pub(super) fn i6_a_resume_goes_on<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let mut scenario = comparable(scenario)?;
    for topic in &mut scenario.setup.topics {
        topic.declared = true;
        topic.options.history = true;
        topic.options.own_ids = false;
        topic.options.log_frames = 200;
        topic.options.log_bytes = 4 << 20;
    }
    let engine = factory.make(scenario.setup.config.clone()).ok()?;
    let mut world = World::new(engine, &scenario.setup);
    for op in &scenario.ops {
        if let Op::Open { .. } | Op::Publish { .. } | Op::PumpAll { .. } = op {
            world.apply(op);
        }
    }
    world.heal();
    let unbroken: Vec<(SubscriberId, Vec<Join>)> = world.trace.iter().filter_map(opened).collect();
    for (id, topics) in unbroken {
        let whole = read(&world, id);
        // Notices of several topics at one place carry one id: who is cut between them is not told the others again
        // (docs/design.md §11).
        let among_notices = |at: usize| {
            let next = whole.get(at + 1);
            next.is_some_and(|next| next.name == "sse-gap" && next.id == whole[at].id)
        };
        let ids = whole
            .iter()
            .enumerate()
            .filter(|&(at, event)| event.id.is_some() && !among_notices(at));
        for (at, event) in ids.rev().take(3) {
            let start = Start::After(Bytes::from(event.id.clone()?));
            let again = resume(&mut world, &topics, start)?;
            let rest = read(&world, again);
            if rest != whole[at + 1..] {
                let left = &whole[at + 1..];
                return Some(format!(
                    "after {event:?}: {rest:?}, the unbroken has {left:?}"
                ));
            }
        }
    }
    None
}

fn opened(step: &crate::trace::Step) -> Option<(SubscriberId, Vec<Join>)> {
    match &step.what {
        crate::trace::What::Call {
            input: Input::Subscribe(sub),
            result: Ok(Reply::Id(id)),
            ..
        } => Some((*id, sub.topics.clone())),
        _ => None,
    }
}

fn resume<E: Engine>(world: &mut World<E>, topics: &[Join], start: Start) -> Option<SubscriberId> {
    let Ok(Reply::Id(id)) = world.call(Input::Accept) else {
        return None;
    };
    world.call(Input::HeadDone { id }).ok()?;
    let sub = Subscribe {
        topics: topics.to_vec(),
        start,
        ..Subscribe::new(Via::Connection(id), topics.first()?.topic.clone())
    };
    world.call(Input::Subscribe(Box::new(sub))).ok()?;
    world.pump_all(1000);
    Some(id)
}

fn read<E: Engine>(world: &World<E>, id: SubscriberId) -> Vec<Seen> {
    let peer = world.peers.iter().find(|peer| peer.id == id);
    peer.map_or(Vec::new(), |peer| events(peer.body()))
}

/// Nobody starts where somebody else got to.
fn never_resumes(op: &mut Op) {
    if let Op::Open { stream, .. } | Op::Subscribe { stream, .. } = op
        && let From::Seen(_) = stream.start
    {
        stream.start = From::Oldest;
    }
}

/// M5 for what is dead: early timeouts and calls with dead ids change nothing.
pub(super) fn m5_calls_that_do_nothing<F: Factory>(
    factory: &F,
    scenario: &Scenario,
) -> Option<String> {
    use crate::choice::{Choice, Prng};
    let scenario = comparable(scenario)?;
    let mut other = scenario.clone();
    let mut prng = Prng::new(scenario.ops.len() as u64);
    other.ops = scenario
        .ops
        .iter()
        .flat_map(|op| {
            let call = prng.pick(12) as u8;
            // Publishes are numbered, so those that are refused would change what follows.
            let call = if call == 11 { 10 } else { call };
            let which = prng.pick(16) as u8;
            [op.clone(), Op::Stale { call, which }, Op::Timeout]
        })
        .collect();
    let (a, b) = (run(factory, &scenario), run(factory, &other));
    streams_differ(&a, &b)
}
