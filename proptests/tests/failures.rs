//! The five failures that are common in the field (DESIGN §1), each made to happen if it can, on the
//! machine and on the naive model.

use std::sync::Arc;

use bytes::Bytes;
use sse_state::{
    CloseReason, Config, Control, Ending, Engine, Epoch, Event as Payload, EventError, Input, Join,
    Name, Reply, Room, ShutdownCause, Slow, SourceKind, SourceToken, Start, Subscribe,
    SubscriberId, TopicOptions, Via,
};
use sse_state_proptests::check::check;
use sse_state_proptests::model::Model;
use sse_state_proptests::scenario::{Pace, Setup, SocketKind, TopicSetup};
use sse_state_proptests::suite::{Factory, Real};
use sse_state_proptests::trace::Event;
use sse_state_proptests::wire::Parser;
use sse_state_proptests::world::World;

/// Runs a story on both engines; afterwards every rule of the checker must hold too.
macro_rules! on_both {
    ($name:ident, $options:expr, $story:expr) => {
        #[test]
        fn $name() {
            tell(&Real, $options, $story);
            tell(&Model::new, $options, $story);
        }
    };
}

on_both!(f1_join_while_the_last_leaves_is_fed, fed(), |world| {
    let first = open(world, SocketKind::Fast);
    assert_eq!(starts(world), 1);
    // At every step of the leave: before it is pumped, and after the source was stopped.
    world.call(Input::PeerGone { id: first }).unwrap();
    let second = open(world, SocketKind::Fast);
    feed(world, "for the second");
    assert_eq!(data(world, second), ["for the second"]);
    world.call(Input::PeerGone { id: second }).unwrap();
    pump(world);
    assert_eq!(stops(world), starts(world));
    let third = open(world, SocketKind::Fast);
    assert_eq!(starts(world), stops(world) + 1, "the source runs again");
    feed(world, "for the third");
    assert_eq!(data(world, third), ["for the third"]);
});

on_both!(f2_two_first_subscribers_start_one_source, fed(), |world| {
    let [a, b] = [(); 2].map(|()| subscribe(world, SocketKind::Fast));
    pump(world);
    assert_eq!(starts(world), 1);
    world.call(Input::PeerGone { id: a }).unwrap();
    pump(world);
    assert_eq!(stops(world), 0, "the loser takes nothing away");
    feed(world, "still here");
    assert_eq!(data(world, b), ["still here"]);
});

on_both!(
    f3_slow_client_harms_nobody_and_nothing_is_silent,
    TopicOptions {
        history: true,
        log_frames: 4,
        slow: Slow::Skip,
        ..TopicOptions::default()
    },
    |world| {
        let slow = open(world, SocketKind::Slow { room: 40 });
        let fast = open(world, SocketKind::Fast);
        let all: Vec<String> = (0..50).map(|n| format!("value {n}")).collect();
        for value in &all {
            publish(world, value);
            pump(world);
        }
        assert_eq!(data(world, fast), all, "nobody else notices");
        let held = world.views().stats.logs_bytes;
        assert!(held < 1000, "{held} bytes are held for 50 values");
        world.heal();
        let seen = data(world, slow);
        let gaps = seen
            .iter()
            .filter(|data| data.contains("\"missed\":"))
            .count();
        assert_eq!(gaps, 1, "{seen:?}");
        let told: usize = seen
            .iter()
            .find_map(|data| {
                data.split("\"missed\":")
                    .nth(1)?
                    .split(',')
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap();
        assert_eq!(told + seen.len() - gaps, 50, "told or delivered: {seen:?}");
        assert_eq!(seen.last().unwrap(), "value 49", "the newest is never lost");
    }
);

on_both!(f4_shutdown_ends, fed(), |world| {
    let fast = open(world, SocketKind::Fast);
    let stuck = open(world, SocketKind::Slow { room: 3 });
    publish(world, "before the end");
    world
        .call(Input::Shutdown {
            grace: None,
            cause: ShutdownCause::Asked,
        })
        .unwrap();
    pump(world);
    assert_eq!(data(world, fast), ["before the end"]);
    for _ in 0..6 {
        world.second();
    }
    assert_eq!(
        close(world, fast),
        Some((CloseReason::Shutdown, Ending::Orderly))
    );
    assert_eq!(
        close(world, stuck),
        Some((CloseReason::Shutdown, Ending::Cut))
    );
    assert_eq!(stops(world), 1);
    assert!(world.views().terminated);
});

on_both!(f5_no_injection, fed(), |world| {
    for name in ["a\nb", "a\rb", "a\0b", "sse-end"] {
        let refused = Payload::new("x").name(name).encode().unwrap_err();
        assert!(matches!(refused, EventError::Name | EventError::Reserved));
    }
    for id in ["a\nid: b", "a\rb", "a\0", ""] {
        assert_eq!(Payload::new("x").id(id).encode(), Err(EventError::Id));
    }
    assert!(Name::new("topic\ndata: forged").is_err());
    let reader = open(world, SocketKind::Fast);
    let data_with_breaks = "1\r\n\r\nevent: forged\rdata: 2\n\nid: 9\n:";
    publish(world, data_with_breaks);
    pump(world);
    let read = data_with_breaks.replace("\r\n", "\n").replace('\r', "\n");
    assert_eq!(data(world, reader), [read], "one event, and no forged one");
});

type Story<E> = fn(&mut World<E>);

fn tell<F: Factory>(factory: &F, options: TopicOptions, story: Story<F::Engine>) {
    let setup = Setup {
        pace: Pace::Calm,
        config: Config::new(Epoch(5)),
        topics: vec![TopicSetup {
            name: "news".into(),
            declared: true,
            options,
        }],
    };
    let engine = factory.make(setup.config.clone()).unwrap();
    let mut world = World::new(engine, &setup);
    story(&mut world);
    // Events here are not numbered as those of scenarios are, so rules that follow them do not apply.
    let findings = check(&setup, &world.trace);
    let broken = findings
        .iter()
        .find(|finding| finding.rule.starts_with(['L', 'I', 'S', 'B']));
    assert!(broken.is_none(), "{broken:?}");
}

fn fed() -> TopicOptions {
    TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    }
}

fn subscribe<E: Engine>(world: &mut World<E>, socket: SocketKind) -> SubscriberId {
    let Ok(Reply::Id(id)) = world.call(Input::Accept) else {
        panic!("not accepted")
    };
    world.call(Input::HeadDone { id }).unwrap();
    let sub = Subscribe {
        topics: vec![Join {
            topic: Name::new("news").unwrap(),
            options: None::<Arc<TopicOptions>>,
        }],
        start: Start::Now,
        head: Bytes::new(),
        ..Subscribe::new(Via::Connection(id), Name::new("news").unwrap())
    };
    world.call(Input::Subscribe(Box::new(sub))).unwrap();
    world.set_socket(id, socket);
    id
}

fn open<E: Engine>(world: &mut World<E>, socket: SocketKind) -> SubscriberId {
    let id = subscribe(world, socket);
    pump(world);
    id
}

fn pump<E: Engine>(world: &mut World<E>) {
    assert!(world.pump_all(100), "pumping ends");
}

fn publish<E: Engine>(world: &mut World<E>, data: &str) {
    let frame = Payload::new(data).encode().unwrap();
    let input = Input::Publish {
        topic: "news".into(),
        frame,
        room: Room::Evict,
    };
    world.call(input).unwrap();
}

fn feed<E: Engine>(world: &mut World<E>, data: &str) {
    let token = token(world).expect("a source runs");
    let frame = Payload::new(data).encode().unwrap();
    let input = Input::Feed {
        token,
        frame,
        room: Room::Evict,
    };
    world.call(input).unwrap();
    pump(world);
}

fn controls<E: Engine>(world: &World<E>) -> impl Iterator<Item = &Control> {
    let events = world.trace.iter().flat_map(|step| step.events());
    events.filter_map(|event| match event {
        Event::Control(control) => Some(control),
        Event::Write { .. } => None,
    })
}

/// The newest source.
fn token<E: Engine>(world: &World<E>) -> Option<SourceToken> {
    controls(world)
        .filter_map(|control| match control {
            Control::StartSource { token, .. } => Some(*token),
            _ => None,
        })
        .last()
}

fn starts<E: Engine>(world: &World<E>) -> usize {
    controls(world)
        .filter(|c| matches!(c, Control::StartSource { .. }))
        .count()
}

fn stops<E: Engine>(world: &World<E>) -> usize {
    controls(world)
        .filter(|c| matches!(c, Control::StopSource { .. }))
        .count()
}

fn close<E: Engine>(world: &World<E>, of: SubscriberId) -> Option<(CloseReason, Ending)> {
    controls(world).find_map(|control| match control {
        Control::Close { id, reason, ending } if *id == of => Some((*reason, *ending)),
        _ => None,
    })
}

/// The data of every event that a stream got.
fn data<E: Engine>(world: &World<E>, id: SubscriberId) -> Vec<String> {
    let peer = world.peers.iter().rfind(|peer| peer.id == id).unwrap();
    Parser::new()
        .push(peer.body())
        .into_iter()
        .filter_map(|block| block.data)
        .collect()
}
