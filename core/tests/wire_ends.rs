//! How streams begin and end on the wire (docs/wire.md §3, W§4.27, §7, W§8.4), as the machine has it; what
//! sockets make of it is the hub's.

mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use sse_state::{
    CloseHow, CloseReason, Config, Control, Ending, Error, Name, ShutdownCause, SourceEnd,
    SourceKind, SourceToken, Start, Subscribe, SubscriberId, TopicOptions, Via,
};
use wire::{EPOCH, World, frame, join, parse};

const SECOND: Duration = Duration::from_secs(1);

fn finish(id: SubscriberId) -> Control {
    Control::Finish { id }
}

fn close(id: SubscriberId, reason: CloseReason, ending: Ending) -> Control {
    Control::Close { id, reason, ending }
}

/// The value of the only block of these bytes, a `retry:`.
fn retry(text: &str) -> u64 {
    let digits = text
        .strip_prefix("retry: ")
        .and_then(|rest| rest.strip_suffix("\n\n"));
    digits
        .unwrap_or_else(|| panic!("{text:?}"))
        .parse()
        .unwrap()
}

#[test]
fn w3_7_the_first_bytes_are_the_head_and_a_comment_at_once() {
    let mut world = World::new();
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    let stream = world
        .open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.head = head.to_vec().into();
        })
        .unwrap();
    assert_eq!(world.text(stream), "HTTP/1.1 200 OK\r\n\r\n:\n\n");
}

#[test]
fn w3_8_then_comes_a_retry_that_is_spread_unless_it_is_switched_off() {
    let run = |seed: u64| -> Vec<u64> {
        let mut world = World::with(Config {
            seed,
            ..Config::new(EPOCH)
        });
        let open = |world: &mut World| {
            let opened = world.open_as(|subscribe| {
                subscribe.topics = vec![join("t")];
                subscribe.retry = true;
            });
            let text = world.text(opened.unwrap());
            retry(text.strip_prefix(":\n\n").unwrap())
        };
        (0..1_000).map(|_| open(&mut world)).collect()
    };
    let (one, same, other) = (run(1), run(1), run(2));
    assert_eq!(one, same, "S6: the same seed gives the same values");
    assert_ne!(one, other, "another seed gives others");
    assert!(one.iter().all(|millis| (2_000..=4_000).contains(millis)));
    let distinct: BTreeSet<_> = one.iter().collect();
    assert!(distinct.len() > 500, "{} values", distinct.len());
    let mut world = World::new();
    let without = world.open(&["t"], Start::Now);
    assert_eq!(world.text(without), ":\n\n");
}

#[test]
fn w3_19_after_the_last_frame_come_finish_and_when_the_peer_goes_close() {
    for peer_goes in [true, false] {
        let mut world = World::new();
        let stream = world.open(&["t"], Start::Now);
        world.publish("t", "a");
        world
            .state
            .close(world.now, stream, CloseHow::Stop)
            .unwrap();
        world.pump();
        assert_eq!(world.wires.controls, [finish(stream)]);
        assert_eq!(world.text(stream), ":\n\ndata: a\n\n");
        if peer_goes {
            world.leave(stream);
        } else {
            world.pass(2 * SECOND - Duration::from_nanos(1));
            assert_eq!(world.wires.controls.len(), 1, "it has 2 s");
            world.pass(SECOND);
        }
        let close = close(stream, CloseReason::Asked, Ending::Orderly);
        assert_eq!(
            world.wires.controls,
            [finish(stream), close],
            "I4: peer goes: {peer_goes}"
        );
    }
}

#[test]
fn w3_20_a_stall_and_the_end_of_grace_are_cuts() {
    let mut world = World::new();
    let stalled = world.open(&["t"], Start::Now);
    world.stick(stalled, 3);
    world.publish("t", "a");
    world.pass(30 * SECOND - Duration::from_nanos(1));
    assert!(world.state.is_live(stalled), "W1");
    world.pass(SECOND);
    assert_eq!(
        world.wires.controls,
        [close(stalled, CloseReason::Stalled, Ending::Cut)]
    );
    assert_eq!(world.text(stalled), ":\n\ndat");

    world.wires.controls.clear();
    let blocked = world.open(&["t"], Start::Now);
    world.stick(blocked, 3);
    world.publish("t", "a");
    world.state.shutdown(world.now, None, ShutdownCause::Asked);
    world.pass(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(world.wires.controls, [], "S5");
    world.pass(Duration::from_nanos(1));
    assert_eq!(
        world.wires.controls,
        [close(blocked, CloseReason::Shutdown, Ending::Cut)],
        "S3"
    );
    assert!(world.state.is_terminated(), "S1");
}

#[test]
fn w3_21_past_the_bound_the_oldest_ended_stream_is_closed() {
    let mut world = World::with(Config {
        finishing: 2,
        ..Config::new(EPOCH)
    });
    let streams = [(); 3].map(|()| world.open(&["t"], Start::Now));
    for stream in streams {
        world
            .state
            .close(world.now, stream, CloseHow::Stop)
            .unwrap();
        world.pump();
    }
    let [one, two, three] = streams;
    let orderly = close(one, CloseReason::Asked, Ending::Orderly);
    let expected = [finish(one), finish(two), finish(three), orderly];
    assert_eq!(world.wires.controls, expected);
    assert_eq!(world.state.stats().finishing, 2);
}

#[test]
fn w3_22_shutdown_and_the_end_of_a_life_say_when_to_come_back() {
    for by_shutdown in [true, false] {
        let mut world = World::new();
        let streams: Vec<_> = (0..100)
            .map(|_| {
                let opened = world.open_as(|subscribe| {
                    subscribe.topics = vec![join("t")];
                    subscribe.lifetime = (!by_shutdown).then_some(8 * SECOND);
                });
                opened.unwrap()
            })
            .collect();
        for stream in &streams {
            world.take(*stream);
            world.stick(*stream, 0);
        }
        // Pending frames come first (S3).
        world.publish("t", "a");
        if by_shutdown {
            world.state.shutdown(world.now, None, ShutdownCause::Asked);
        } else {
            world.pass(7 * SECOND - Duration::from_nanos(1));
            assert_eq!(world.state.stats().streams, 100, "not before 7/8 of it");
            world.pass(SECOND + Duration::from_millis(150));
        }
        world.pump();
        let mut values = BTreeSet::new();
        for stream in &streams {
            world.unstick(*stream);
            let text = world.text(*stream);
            let millis = retry(text.strip_prefix("data: a\n\n").unwrap());
            assert!((2_000..=4_000).contains(&millis), "{millis}");
            values.insert(millis);
            assert_eq!(world.wires.controls.pop(), Some(finish(*stream)));
            world.leave(*stream);
            let reason = if by_shutdown {
                CloseReason::Shutdown
            } else {
                CloseReason::Lifetime
            };
            assert_eq!(
                world.wires.controls.pop(),
                Some(close(*stream, reason, Ending::Orderly))
            );
        }
        assert!(values.len() > 50, "S6: {} values", values.len());
        assert_eq!(world.state.is_terminated(), by_shutdown, "S1");
    }
}

/// A topic with an external source, a stream that ends with it, and the run of the source.
fn with_source() -> (World, SubscriberId, SourceToken) {
    let mut world = World::new();
    let options = TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    };
    world.declare("t", options);
    let stream = world
        .open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.end_when_finished = true;
        })
        .unwrap();
    let [Control::StartSource { token, .. }] = world.wires.controls[..] else {
        panic!("{:?}", world.wires.controls);
    };
    world.wires.controls.clear();
    (world, stream, token)
}

#[test]
fn w4_27_a_stream_that_ends_with_its_source_ends_with_sse_end() {
    let (mut world, stream, token) = with_source();
    world.take(stream);
    world.stick(stream, 0);
    for data in ["1", "2"] {
        let room = sse_state::Room::Evict;
        world
            .state
            .feed(world.now, token, frame(data), room)
            .unwrap();
    }
    world
        .state
        .source_ended(world.now, token, SourceEnd::Finished)
        .unwrap();
    world.pump();
    world.unstick(stream);
    assert_eq!(
        world.text(stream),
        "data: 1\n\ndata: 2\n\nevent: sse-end\ndata: {}\n\n"
    );
    world.leave(stream);
    let ends = &world.wires.controls[world.wires.controls.len() - 2..];
    assert_eq!(
        ends,
        [
            finish(stream),
            close(stream, CloseReason::Finished, Ending::Orderly)
        ]
    );
}

#[test]
fn w4_27_other_streams_of_the_source_stay_open() {
    let (mut world, _, token) = with_source();
    let stays = world.open(&["t"], Start::Now);
    world
        .state
        .source_ended(world.now, token, SourceEnd::Finished)
        .unwrap();
    world.pump();
    assert_eq!(world.text(stays), ":\n\n");
    assert_eq!(world.publish("t", "a").streams, 1);
    assert_eq!(world.text(stays), "data: a\n\n");
}

/// A stream with a grant for 10 s and a key.
fn granted(world: &mut World) -> SubscriberId {
    let expires = world.now + 10 * SECOND;
    world
        .open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.expires = Some(expires);
            subscribe.key = Some(Name::new("user/42").unwrap());
        })
        .unwrap()
}

#[test]
fn w7_3_w7_4_after_the_grant_nothing_is_begun_and_what_is_begun_is_finished() {
    // Found at the next turn, or by the wheel, whichever comes first.
    let late = Duration::from_millis(150);
    for (by_key, wait) in [
        (true, Duration::ZERO),
        (false, 10 * SECOND),
        (false, 10 * SECOND + late),
    ] {
        let mut world = World::new();
        let [fresh, begun] = [(); 2].map(|()| granted(&mut world));
        for stream in [fresh, begun] {
            world.take(stream);
        }
        world.stick(fresh, 0);
        world.stick(begun, 3);
        world.publish("t", "a");
        world.publish("t", "b");
        if by_key {
            let key = Name::new("user/42").unwrap();
            assert_eq!(world.state.close_key(world.now, &key), Ok(2));
            world.pump();
        } else {
            world.pass(wait);
        }
        world.unstick(fresh);
        world.unstick(begun);
        assert_eq!(world.text(fresh), "", "A1: by key: {by_key}");
        assert_eq!(world.text(begun), "data: a\n\n", "A1: by key: {by_key}");
        for stream in [fresh, begun] {
            world.leave(stream);
            let reason = if by_key {
                CloseReason::Asked
            } else {
                CloseReason::Expired
            };
            let orderly = close(stream, reason, Ending::Orderly);
            assert!(world.wires.controls.contains(&finish(stream)));
            assert!(
                world.wires.controls.contains(&orderly),
                "{:?}",
                world.wires.controls
            );
        }
    }
}

#[test]
fn w7_4_what_is_begun_has_the_write_timeout_to_be_finished() {
    let mut world = World::new();
    let stream = granted(&mut world);
    world.stick(stream, 3);
    world.publish("t", "a");
    world.pass(10 * SECOND);
    world.pass(30 * SECOND + Duration::from_millis(150));
    assert_eq!(
        world.wires.controls,
        [close(stream, CloseReason::Stalled, Ending::Cut)]
    );
}

#[test]
fn w7_5_a_grant_that_has_expired_opens_nothing() {
    let mut world = World::new();
    world.pass(SECOND);
    for late in [0, 1] {
        let at = world.now;
        let refused = world.open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.expires = Some(if late == 0 { at } else { sse_state::Time::ZERO });
        });
        assert_eq!(refused, Err(Error::Expired));
    }
    assert_eq!(world.state.stats().subscribed, 0);
}

#[test]
fn w7_7_a_grant_whose_hook_began_before_close_key_is_refused() {
    let mut world = World::new();
    let key = Name::new("user/42").unwrap();
    let asks = |world: &mut World| {
        let id = world.state.accept(world.now).unwrap();
        world.state.head_done(world.now, id).unwrap();
        id
    };
    let granted = |world: &mut World, id, key: &Name| {
        let mut subscribe = Subscribe::new(Via::Connection(id), join("t").topic);
        subscribe.key = Some(key.clone());
        world.state.subscribe(world.now, &subscribe).map(|_| ())
    };
    let before = asks(&mut world);
    world.state.close_key(world.now, &key).unwrap();
    let after = asks(&mut world);
    let digest = world.state.digest();
    assert_eq!(granted(&mut world, before, &key), Err(Error::Closed), "A1");
    assert_eq!(world.state.digest(), digest, "R5");
    assert_eq!(granted(&mut world, after, &key), Ok(()));
    let other = Name::new("user/43").unwrap();
    assert_eq!(
        granted(&mut world, before, &other),
        Ok(()),
        "it is another's"
    );
}

#[test]
fn w8_4_a_mounted_stream_that_is_not_pulled_is_freed() {
    let mut world = World::new();
    world.declare("t", TopicOptions::default());
    let mut subscribe = Subscribe::new(Via::Mounted { asked: 0 }, join("t").topic);
    subscribe.retry = false;
    let stream = world.state.subscribe(world.now, &subscribe).unwrap();
    world.pump();
    assert_eq!(world.wires.controls, [Control::Wake { id: stream }]);
    world.pass(30 * SECOND - Duration::from_nanos(1));
    assert!(world.state.is_live(stream));
    world.pass(SECOND);
    let cut = close(stream, CloseReason::Stalled, Ending::Cut);
    assert_eq!(world.wires.controls, [Control::Wake { id: stream }, cut]);
    // One that is pulled lives, for as long as there is nothing to pull.
    let pulled = world.state.subscribe(world.now, &subscribe).unwrap();
    subscribe.heartbeat = sse_state::Heartbeat::Off;
    let silent = world.state.subscribe(world.now, &subscribe).unwrap();
    world.pump();
    for stream in [pulled, silent] {
        world.state.pull(world.now, stream).unwrap();
    }
    world.pass(300 * SECOND);
    assert!(!world.state.is_live(pulled), "a heartbeat waits for it");
    assert!(world.state.is_live(silent));
}

#[test]
fn w3_1_the_head_is_handed_in_as_bytes_and_bounded() {
    let mut world = World::with(Config {
        head_bytes: 100,
        ..Config::new(EPOCH)
    });
    for (size, is_opened) in [(99, true), (100, true), (101, false)] {
        let opened = world.open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.head = vec![b'h'; size].into();
        });
        assert_eq!(opened.is_ok(), is_opened, "B7: {size}");
        if let Ok(stream) = opened {
            let bytes = world.take(stream);
            assert_eq!(bytes[..size], vec![b'h'; size]);
            assert_eq!(parse(&bytes[size..]).comments, [""]);
        }
    }
}
