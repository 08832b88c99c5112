//! Every bound of the machine at one below it, at it, and one past it (B7): past it a typed error that changes
//! nothing, or the policy that `Config` names; a running stream is never touched.

mod wire;

use std::time::Duration;

use sse_state::{
    Bound, CloseReason, Config, ConfigError, Control, Ending, Error, Name, Next, PollOutcome, Room,
    SourceKind, SourceToken, SseState, Start, SubscriberId, TopicOptions,
};
use wire::{EPOCH, World, frame, join};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(EPOCH)
}

/// A call that is refused for this bound, and changes nothing.
#[track_caller]
fn refused<T: std::fmt::Debug + PartialEq>(
    world: &mut World,
    bound: Bound,
    call: impl FnOnce(&mut World) -> Result<T, Error>,
) {
    let before = (
        world.state.digest(),
        world.state.now(),
        world.state.stats().refused_full,
    );
    assert_eq!(call(world), Err(Error::Full(bound)));
    let after = (
        world.state.digest(),
        world.state.now(),
        world.state.stats().refused_full - 1,
    );
    assert_eq!(after, before, "B7, R5: {bound:?}");
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn deciding(world: &mut World) -> SubscriberId {
    let id = world.state.accept(world.now).unwrap();
    world.state.head_done(world.now, id).unwrap();
    id
}

fn try_open(world: &mut World, topics: &[&str]) -> Result<SubscriberId, Error> {
    world.open_as(|subscribe| subscribe.topics = topics.iter().map(|topic| join(topic)).collect())
}

#[test]
fn b7_head_bytes() {
    let mut world = World::with(Config {
        head_bytes: 100,
        ..config()
    });
    let id = world.state.accept(world.now).unwrap();
    for bytes in [99, 100] {
        assert_eq!(world.state.head_held(world.now, id, bytes), Ok(()));
    }
    refused(&mut world, Bound::Head, |world| {
        world.state.head_held(world.now, id, 101)
    });
}

#[test]
fn b7_heads_bytes() {
    let mut world = World::with(Config {
        heads_bytes: 100,
        ..config()
    });
    let [one, two] = [(); 2].map(|()| world.state.accept(world.now).unwrap());
    world.state.head_held(world.now, one, 60).unwrap();
    for bytes in [39, 40] {
        assert_eq!(world.state.head_held(world.now, two, bytes), Ok(()));
    }
    refused(&mut world, Bound::Heads, |world| {
        world.state.head_held(world.now, two, 41)
    });
    // A head that is complete, or gone, gives its bytes back.
    world.state.head_done(world.now, one).unwrap();
    assert_eq!(world.state.head_held(world.now, two, 100), Ok(()));
}

#[test]
fn b7_openings_evict_the_oldest() {
    let mut world = World::with(Config {
        openings: 3,
        ..config()
    });
    let stream = world.open(&["t"], Start::Now);
    let all = [(); 4].map(|()| {
        let id = world.state.accept(world.now).unwrap();
        world.pump();
        id
    });
    let close = Control::Close {
        id: all[0],
        reason: CloseReason::Evicted,
        ending: Ending::Cut,
    };
    assert_eq!(
        world.wires.controls,
        [close],
        "the fourth evicts the first, and only it"
    );
    assert_eq!(world.state.stats().openings, 3);
    assert!(world.state.is_live(stream));
}

#[test]
fn b7_deciding() {
    let mut world = World::with(Config {
        deciding: 3,
        ..config()
    });
    let all = [(); 3].map(|()| deciding(&mut world));
    let next = world.state.accept(world.now).unwrap();
    refused(&mut world, Bound::Deciding, |world| {
        world.state.head_done(world.now, next)
    });
    world.leave(all[0]);
    assert_eq!(world.state.head_done(world.now, next), Ok(()));
}

#[test]
fn b7_bodies_bytes() {
    let mut world = World::with(Config {
        bodies_bytes: 100,
        ..config()
    });
    let one = deciding(&mut world);
    world.state.body(world.now, one, 60).unwrap();
    let two = deciding(&mut world);
    refused(&mut world, Bound::Bodies, |world| {
        world.state.body(world.now, two, 41)
    });
    assert_eq!(world.state.body(world.now, two, 40), Ok(()));
    world.leave(two);
    let three = deciding(&mut world);
    assert_eq!(world.state.body(world.now, three, 39), Ok(()));
}

#[test]
fn b7_subscribers() {
    let mut world = World::with(Config {
        subscribers: 3,
        ..config()
    });
    let all = [(); 3].map(|()| try_open(&mut world, &["t"]).unwrap());
    let id = world.state.accept(world.now).unwrap();
    let mut subscribe = sse_state::Subscribe::new(sse_state::Via::Connection(id), name("t"));
    subscribe.retry = false;
    refused(&mut world, Bound::Subscribers, |world| {
        world.state.subscribe(world.now, &subscribe)
    });
    assert_eq!(world.publish("t", "a").streams, 3, "nobody was evicted");
    world.leave(all[1]);
    assert_eq!(world.state.subscribe(world.now, &subscribe), Ok(id));
}

#[test]
fn b7_streams_per_key() {
    let mut world = World::with(Config {
        streams_per_key: Some(2),
        ..config()
    });
    let open = |world: &mut World, key: &str| {
        world
            .open_as(|subscribe| {
                subscribe.topics = vec![join("t")];
                subscribe.key = Some(name(key));
            })
            .map(|_| ())
    };
    assert_eq!([(); 2].map(|()| open(&mut world, "a")), [Ok(()), Ok(())]);
    assert_eq!(
        open(&mut world, "a"),
        Err(Error::Full(Bound::StreamsPerKey))
    );
    assert_eq!(open(&mut world, "b"), Ok(()), "another's");
    assert_eq!(world.publish("t", "a").streams, 3);
}

#[test]
fn b7_topics_per_subscriber() {
    let mut world = World::with(Config {
        topics_per_subscriber: 3,
        ..config()
    });
    for (topics, fits) in [(2, true), (3, true), (4, false)] {
        let opened = try_open(&mut world, &["a", "b", "c", "d"][..topics]);
        match opened {
            Ok(_) => assert!(fits, "{topics}"),
            Err(error) => {
                assert_eq!(
                    (error, fits),
                    (Error::Full(Bound::TopicsPerSubscriber), false)
                );
            }
        }
    }
    assert_eq!(world.state.interest("d"), None, "none of them was joined");
}

#[test]
fn b7_topics() {
    let mut world = World::with(Config {
        topics: 3,
        ..config()
    });
    world.declare("a", TopicOptions::default());
    world.declare("b", TopicOptions::default());
    assert_eq!(
        try_open(&mut world, &["c", "d"]),
        Err(Error::Full(Bound::Topics))
    );
    try_open(&mut world, &["c"]).unwrap();
    let options = TopicOptions::default();
    refused(&mut world, Bound::Topics, |world| {
        world.state.declare(world.now, &name("d"), options.into())
    });
    try_open(&mut world, &["a", "b", "c"]).unwrap();
    world.declare("a", TopicOptions::default());
}

#[test]
fn b7_topics_by_request() {
    let mut world = World::with(Config {
        topics_by_request: 2,
        ..config()
    });
    world.declare("declared", TopicOptions::default());
    let one = try_open(&mut world, &["a"]).unwrap();
    assert_eq!(
        try_open(&mut world, &["b", "c"]),
        Err(Error::Full(Bound::TopicsByRequest))
    );
    try_open(&mut world, &["b", "declared"]).unwrap();
    assert_eq!(
        try_open(&mut world, &["c"]),
        Err(Error::Full(Bound::TopicsByRequest))
    );
    world.leave(one);
    try_open(&mut world, &["c"]).unwrap();
}

#[test]
fn b7_name_bytes() {
    let mut world = World::with(Config {
        name_bytes: 10,
        ..config()
    });
    for (bytes, fits) in [(9, true), (10, true), (11, false)] {
        let text = "n".repeat(bytes);
        let options = TopicOptions::default();
        let declared = world.state.declare(world.now, &name(&text), options.into());
        let joined = try_open(&mut world, &[&text]).map(|_| ());
        let keyed = world.open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.key = Some(name(&text));
        });
        let expected = if fits {
            Ok(())
        } else {
            Err(Error::Full(Bound::Name))
        };
        assert_eq!(
            [declared, joined, keyed.map(|_| ())],
            [expected; 3],
            "{bytes}"
        );
    }
}

#[test]
fn b7_sources() {
    let mut world = World::with(Config {
        sources: 2,
        ..config()
    });
    for topic in ["a", "b", "c"] {
        let source = SourceKind::External;
        world.declare(
            topic,
            TopicOptions {
                source,
                ..TopicOptions::default()
            },
        );
    }
    assert_eq!(
        try_open(&mut world, &["a", "b", "c"]),
        Err(Error::Full(Bound::Sources))
    );
    let one = try_open(&mut world, &["a"]).unwrap();
    try_open(&mut world, &["a", "b"]).unwrap();
    assert_eq!(
        try_open(&mut world, &["c"]),
        Err(Error::Full(Bound::Sources))
    );
    // One that runs already costs nothing more.
    try_open(&mut world, &["a"]).unwrap();
    assert_eq!(world.state.stats().sources, 2);
    assert!(world.state.is_live(one));
}

#[test]
fn b7_polls_wait_longest_waiting_first() {
    let mut world = World::with(Config {
        polls: 2,
        ..config()
    });
    for topic in ["a", "b", "c", "d"] {
        world.declare(topic, TopicOptions::polled(SourceKind::Interval(SECOND)));
        world.open(&[topic], Start::Now);
        world.pass(Duration::from_millis(1));
    }
    let polls = |world: &World| -> Vec<(String, SourceToken, u64)> {
        let polls = world
            .wires
            .controls
            .iter()
            .filter_map(|control| match control {
                Control::Poll {
                    topic,
                    token,
                    number,
                } => Some((topic.as_str().to_owned(), *token, *number)),
                _ => None,
            });
        polls.collect()
    };
    let names = |world: &World| {
        polls(world)
            .into_iter()
            .map(|(name, ..)| name)
            .collect::<String>()
    };
    assert_eq!(names(&world), "ab");
    let (_, token, number) = polls(&world)[1].clone();
    let outcome = PollOutcome::Unchanged;
    world
        .state
        .poll_result(world.now, token, number, outcome, Next::GoOn)
        .unwrap();
    world.pump();
    assert_eq!(names(&world), "abc", "L12: the one that has waited longest");
    assert_eq!(world.state.stats().polls_in_flight, 2);
}

#[test]
fn b7_reader_patience() {
    for (waited, waits) in [(SECOND - Duration::from_nanos(1), true), (SECOND, false)] {
        let mut world = World::new();
        world.declare(
            "t",
            TopicOptions {
                log_frames: 1,
                ..TopicOptions::default()
            },
        );
        let stream = world.open(&["t"], Start::Now);
        world.stick(stream, 0);
        world.publish("t", "1");
        world.pass(waited);
        let published = world.state.publish(world.now, "t", frame("2"), Room::Wait);
        assert_eq!(
            published == Err(Error::Wait),
            waits,
            "{waited:?}: {published:?}"
        );
    }
}

#[test]
fn b7_zero_is_an_error_but_for_heartbeat_and_grace() {
    type Set = fn(&mut Config);
    let zero: [(&str, Set); 27] = [
        ("head_bytes", |config| config.head_bytes = 0),
        ("head_fields", |config| config.head_fields = 0),
        ("heads_bytes", |config| config.heads_bytes = 0),
        ("head_timeout", |config| {
            config.head_timeout = Duration::ZERO
        }),
        ("openings", |config| config.openings = 0),
        ("deciding", |config| config.deciding = 0),
        ("bodies_bytes", |config| config.bodies_bytes = 0),
        ("body_timeout", |config| {
            config.body_timeout = Duration::ZERO
        }),
        ("write_timeout", |config| {
            config.write_timeout = Duration::ZERO
        }),
        ("max_lifetime", |config| {
            config.max_lifetime = Some(Duration::ZERO)
        }),
        ("finish_timeout", |config| {
            config.finish_timeout = Duration::ZERO
        }),
        ("finishing", |config| config.finishing = 0),
        ("subscribers", |config| config.subscribers = 0),
        ("streams_per_key", |config| config.streams_per_key = Some(0)),
        ("topics_per_subscriber", |config| {
            config.topics_per_subscriber = 0
        }),
        ("topics", |config| config.topics = 0),
        ("topics_by_request", |config| config.topics_by_request = 0),
        ("name_bytes", |config| config.name_bytes = 0),
        ("sources", |config| config.sources = 0),
        ("polls", |config| config.polls = 0),
        ("poll_timeout", |config| {
            config.poll_timeout = Duration::ZERO
        }),
        ("frame_bytes", |config| config.frame_bytes = 0),
        ("logs_bytes", |config| config.logs_bytes = 0),
        ("run_bytes", |config| config.run_bytes = 0),
        ("held_bytes", |config| config.held_bytes = 0),
        ("reader_patience", |config| {
            config.reader_patience = Duration::ZERO
        }),
        ("generations", |config| config.generations = 0),
    ];
    for (field, set) in zero {
        let mut config = config();
        set(&mut config);
        let made = SseState::new(config).map(|_| ());
        assert_eq!(made, Err(ConfigError::Zero(field)));
    }
    let allowed = Config {
        heartbeat: Duration::ZERO,
        grace: Duration::ZERO,
        ..config()
    };
    let state = SseState::new(allowed).unwrap();
    assert_eq!(state.config().heartbeat, 15 * SECOND, "the default");
}
