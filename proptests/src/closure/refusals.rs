//! Calls that may be refused: each either is done, or changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use sse_state::{
    CloseHow, Error, Event, Frame, Input, Join, Name, Next, PollOutcome, Report, Room, Socket,
    SourceEnd, SourceToken, Start, Subscribe, SubscriberId, TopicOptions, Via,
};

use super::configuration::{Configuration, frame, key};
use super::probes::LONG;
use super::world::{Broken, Explored, Notes, World, note};

/// Makes every one of them, each on a clone.
///
/// # Errors
/// One that was refused and changed something; one with a dead id or token that was not refused.
pub(super) fn try_all<E: Explored>(
    world: &World<E>,
    of: &Configuration,
    digest: u64,
    notes: &mut Notes,
) -> Result<(), Broken> {
    let now = world.engine.now();
    let over = world.engine.is_terminated();
    let stale = of_the_dead().into_iter().map(|input| (input, true));
    let other = of_the_living(world, of)
        .into_iter()
        .map(|input| (input, false));
    for (input, dead) in stale.chain(other) {
        let mut engine = world.engine.clone();
        // A refused call does not even move the clock.
        let result = engine.apply(now + of.unit, input.clone());
        note(&result, notes);
        let refused = match &result {
            Err(Error::Stale | Error::ShuttingDown) => true,
            Err(Error::Wait) => continue,
            Err(_) => !dead || over,
            Ok(sse_state::Reply::Stale(1)) => continue,
            Ok(_) => !dead,
        };
        if !refused {
            return Err(format!("I2: {input:?} of the dead is {result:?}"));
        }
        if result.is_err() && (engine.digest() != digest || engine.now() != now) {
            return Err(format!("R5: {result:?} of {input:?} changed something"));
        }
        engine.check();
    }
    Ok(())
}

/// Calls with ids and tokens that were never handed out.
fn of_the_dead() -> Vec<Input<'static>> {
    let token = SourceToken::from_parts(0, u64::MAX);
    let mut inputs = Vec::new();
    for number in [u64::MAX, 0xffff_0000_0000_0000, 0xffff_0000_0000_0001] {
        let id = SubscriberId::from_u64(number);
        inputs.extend([
            Input::HeadHeld { id, bytes: 1 },
            Input::HeadDone { id },
            Input::Body { id, bytes: 1 },
            Input::Answer {
                id,
                bytes: Bytes::new(),
            },
            Input::Close {
                id,
                how: CloseHow::Cut,
            },
            Input::PeerGone { id },
            Input::Writable { id },
            Input::Pull { id },
            Input::Subscribe(Box::new(Subscribe::new(Via::Connection(id), key()))),
            Input::Report(
                vec![Report {
                    id,
                    bytes: 1,
                    socket: Socket::Gone,
                }]
                .into(),
            ),
        ]);
    }
    inputs.extend([
        Input::Feed {
            token,
            frame: frame(0),
            room: Room::Evict,
        },
        Input::PollResult {
            token,
            number: 1,
            outcome: PollOutcome::Unchanged,
            next: Next::GoOn,
        },
        Input::SourceEnded {
            token,
            reason: SourceEnd::Finished,
        },
    ]);
    inputs
}

fn of_the_living<E: Explored>(world: &World<E>, of: &Configuration) -> Vec<Input<'static>> {
    let topic = of.topics[0].name.clone();
    let mut inputs = vec![
        Input::Accept,
        Input::StopSource {
            topic: "absent".into(),
        },
        Input::CloseKey { key: key() },
    ];
    for (name, options) in [
        (
            topic.clone(),
            TopicOptions {
                linger: LONG,
                ..TopicOptions::default()
            },
        ),
        (
            plain("new"),
            TopicOptions {
                log_frames: 0,
                ..TopicOptions::default()
            },
        ),
        (plain("new"), TopicOptions::default()),
        (long(), TopicOptions::default()),
    ] {
        inputs.push(Input::Declare {
            topic: name,
            options: Arc::new(options),
        });
    }
    for frame in [own_id(), large(), frame(0), frame(1)] {
        for room in [Room::Evict, Room::Wait] {
            inputs.push(Input::Publish {
                topic: topic.as_str().to_owned().into(),
                frame: frame.clone(),
                room,
            });
        }
    }
    for conn in &world.env.conns {
        let id = conn.id;
        inputs.extend([
            Input::HeadHeld { id, bytes: 1 },
            Input::HeadHeld { id, bytes: 9 },
            Input::HeadHeld {
                id,
                bytes: u32::MAX,
            },
            Input::HeadDone { id },
            Input::Body { id, bytes: 1 },
            Input::Body { id, bytes: 9 },
            Input::Answer {
                id,
                bytes: vec![b'x'; 99].into(),
            },
            Input::Pull { id },
        ]);
        inputs.extend(subscribes(Via::Connection(id), world, of));
    }
    for asked in [world.engine.asked(), 0] {
        inputs.extend(subscribes(Via::Mounted { asked }, world, of));
    }
    inputs
}

/// Every way in which a stream is refused.
fn subscribes<E: Explored>(via: Via, world: &World<E>, of: &Configuration) -> Vec<Input<'static>> {
    let topic = of.topics[0].name.clone();
    let own_ids = TopicOptions {
        own_ids: true,
        ..TopicOptions::default()
    };
    let history = TopicOptions {
        history: true,
        ..TopicOptions::default()
    };
    let source = TopicOptions {
        source: sse_state::SourceKind::External,
        ..TopicOptions::default()
    };
    let with = |name: &str, options: &TopicOptions| Join {
        topic: plain(name),
        options: Some(Arc::new(options.clone())),
    };
    let joins = [
        vec![],
        vec![plainly(&topic), plainly(&topic)],
        vec![with("a", &own_ids), with("b", &history)],
        vec![with(
            "a",
            &TopicOptions {
                own_ids: true,
                history: true,
                ..TopicOptions::default()
            },
        )],
        vec![with(
            topic.as_str(),
            &TopicOptions {
                linger: LONG,
                ..TopicOptions::default()
            },
        )],
        vec![with("a", &own_ids), with("b", &own_ids)],
        vec![
            with("a", &own_ids),
            with("b", &own_ids),
            with("c", &own_ids),
        ],
        vec![with("a", &source)],
        vec![plainly(&long())],
        vec![plainly(&topic)],
    ];
    let mut all: Vec<Subscribe> = Vec::new();
    for topics in joins {
        let mut subscribe = Subscribe::new(via, topic.clone());
        subscribe.topics = topics;
        all.push(subscribe);
    }
    let one = Subscribe::new(via, topic);
    let head = Bytes::from(vec![b'x'; 40]);
    all.extend([
        Subscribe {
            head,
            ..one.clone()
        },
        Subscribe {
            expires: Some(world.engine.now()),
            ..one.clone()
        },
        Subscribe {
            key: Some(key()),
            ..one.clone()
        },
        Subscribe {
            key: Some(long()),
            ..one.clone()
        },
        Subscribe {
            start: Start::After(Bytes::from_static(b"?")),
            ..one
        },
    ]);
    all.into_iter()
        .map(|subscribe| Input::Subscribe(Box::new(subscribe)))
        .collect()
}

fn plainly(topic: &Name) -> Join {
    Join {
        topic: topic.clone(),
        options: None,
    }
}

fn plain(name: &str) -> Name {
    Name::new(name).expect("a plain name")
}

fn long() -> Name {
    plain("a name that is longer than the bound on names of configurations that have one")
}

fn own_id() -> Frame {
    Event::new("a").id("7").encode().expect("a plain id")
}

fn large() -> Frame {
    Event::new(&"x".repeat(60)).encode().expect("plain data")
}
