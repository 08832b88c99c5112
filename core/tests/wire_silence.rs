//! Heartbeats on the wire (docs/wire.md W§4.16 to W§4.21).

mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use sse_state::{Config, Heartbeat, Start, SubscriberId, Time, TopicOptions};
use wire::{EPOCH, World, join, parse};

const INTERVAL: Duration = Duration::from_secs(15);
/// What a deadline may be late by: 1/112 of the interval, rounded up.
const GRANULE: Duration = Duration::from_millis(134);

fn open(world: &mut World, heartbeat: Heartbeat) -> SubscriberId {
    let stream = world
        .open_as(|subscribe| {
            subscribe.topics = vec![join("t")];
            subscribe.heartbeat = heartbeat;
        })
        .unwrap();
    world.take(stream);
    stream
}

/// When the next byte comes, and what comes then, looking at every millisecond.
fn next_bytes(
    world: &mut World,
    stream: SubscriberId,
    within: Duration,
) -> Option<(Duration, String)> {
    let start = world.now;
    while world.now < start + within {
        world.pass(Duration::from_millis(1));
        let text = world.text(stream);
        if !text.is_empty() {
            return Some((world.now.since(start), text));
        }
    }
    None
}

#[test]
fn w4_16_h5_a_silent_stream_gets_a_comment_that_is_no_event() {
    for heartbeat in [INTERVAL, Duration::ZERO] {
        let mut world = World::with(Config {
            heartbeat,
            ..Config::new(EPOCH)
        });
        world.declare(
            "t",
            TopicOptions {
                history: true,
                ..TopicOptions::default()
            },
        );
        let stream = world.open(&["t"], Start::Now);
        world.publish("t", "a");
        let mut bytes = world.take(stream);
        let (after, beat) = next_bytes(&mut world, stream, 2 * INTERVAL).unwrap();
        assert_eq!(beat, ":\n\n");
        assert!(after <= INTERVAL + GRANULE, "{heartbeat:?}: {after:?}");
        bytes.extend_from_slice(beat.as_bytes());
        let parsed = parse(&bytes);
        assert_eq!(parsed.events.len(), 1, "H5: {parsed:?}");
        assert_eq!(parsed.last_id, "16i-1", "H5");
    }
}

#[test]
fn w4_16_a_stream_that_goes_on_being_silent_goes_on_getting_them() {
    let mut world = World::new();
    let stream = open(&mut world, Heartbeat::Default);
    world.pass(Duration::from_secs(3_600));
    let beats = world.text(stream).matches(":\n\n").count();
    // At least one per interval and granule, at most one per seven eighths.
    assert!((237..=275).contains(&beats), "{beats}");
    assert_eq!(world.state.stats().heartbeats, beats as u64);
}

#[test]
fn w4_16_an_interval_of_the_route_wins_and_zero_is_that_of_the_hub() {
    let mut world = World::new();
    let short = open(&mut world, Heartbeat::Comment(Duration::from_secs(2)));
    let zero = open(&mut world, Heartbeat::Comment(Duration::ZERO));
    let (after, _) = next_bytes(&mut world, short, 2 * INTERVAL).unwrap();
    assert!(after <= Duration::from_secs(2) + GRANULE, "{after:?}");
    let start = world.now;
    let (after, _) = next_bytes(&mut world, zero, 2 * INTERVAL).unwrap();
    let after = after + start.since(Time::ZERO);
    assert!(
        after >= INTERVAL * 7 / 8 && after <= INTERVAL + GRANULE,
        "{after:?}"
    );
}

#[test]
fn w4_17_heartbeats_can_be_switched_off() {
    let mut world = World::new();
    let stream = open(&mut world, Heartbeat::Off);
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.text(stream), "");
    assert_eq!(world.publish("t", "a").streams, 1, "it is still open");
}

#[test]
fn w4_18_a_heartbeat_can_be_an_event() {
    let mut world = World::new();
    let stream = open(&mut world, Heartbeat::Event(Duration::from_secs(1)));
    let (after, beat) = next_bytes(&mut world, stream, INTERVAL).unwrap();
    assert_eq!(beat, "event: sse-heartbeat\ndata: {}\n\n");
    assert!(after <= Duration::from_secs(1) + GRANULE, "{after:?}");
}

#[test]
fn w4_19_h3_traffic_begins_the_silence_anew() {
    let mut world = World::new();
    let stream = open(&mut world, Heartbeat::Default);
    for number in 0..20 {
        world.pass(Duration::from_secs(13));
        world.publish("t", "a");
        assert_eq!(world.text(stream), "data: a\n\n", "{number}");
    }
    let (after, beat) = next_bytes(&mut world, stream, 2 * INTERVAL).unwrap();
    assert_eq!(beat, ":\n\n");
    assert!(after >= INTERVAL * 7 / 8, "H1: {after:?}");
}

#[test]
fn w4_19_a_frame_that_waits_when_a_heartbeat_falls_due_takes_its_place() {
    let mut world = World::new();
    let stream = open(&mut world, Heartbeat::Default);
    // Both are found by one pump, which was late.
    world.now = world.now + INTERVAL + GRANULE;
    let frame = wire::frame("a");
    let room = sse_state::Room::Evict;
    world.state.publish(world.now, "t", frame, room).unwrap();
    world.pump();
    world.pass(Duration::from_secs(13));
    assert_eq!(world.text(stream), "data: a\n\n");
    let (_, beat) = next_bytes(&mut world, stream, 3 * GRANULE + INTERVAL / 7).unwrap();
    assert_eq!(beat, ":\n\n", "the next silence has its own");
}

#[test]
fn w4_20_h1_h2_heartbeats_are_spread_over_the_last_eighth() {
    let run = |seed: u64| -> Vec<Duration> {
        let mut world = World::with(Config {
            seed,
            ..Config::new(EPOCH)
        });
        let streams: Vec<_> = (0..100)
            .map(|_| open(&mut world, Heartbeat::Default))
            .collect();
        let mut first = vec![None; streams.len()];
        while world.now < Time::ZERO + INTERVAL + GRANULE {
            world.pass(Duration::from_millis(1));
            for (stream, first) in streams.iter().zip(&mut first) {
                if !world.take(*stream).is_empty() {
                    first.get_or_insert(world.now.since(Time::ZERO));
                }
            }
        }
        first.into_iter().flatten().collect()
    };
    let (one, same, other) = (run(1), run(1), run(2));
    assert_eq!(one, same, "the same seed gives the same phases");
    assert_ne!(one, other, "another seed gives others");
    assert_eq!(
        one.len(),
        100,
        "H2: all of them within an interval and a granule"
    );
    let earliest = one.iter().min().unwrap();
    assert!(*earliest >= INTERVAL * 7 / 8, "H1: {earliest:?}");
    let distinct: BTreeSet<_> = one.iter().collect();
    assert!(
        distinct.len() >= 10,
        "spread over {} moments",
        distinct.len()
    );
}

#[test]
fn w4_21_h4_at_most_one_heartbeat_waits_and_none_behind_a_blocked_write() {
    let mut world = World::new();
    // Nothing but the heartbeat itself is blocked: it comes once, at once.
    let idle = open(&mut world, Heartbeat::Comment(Duration::from_secs(2)));
    world.stick(idle, 0);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.text(idle), "");
    world.unstick(idle);
    assert_eq!(world.text(idle), ":\n\n");
    // A frame is: it ends the silence, so no heartbeat follows.
    let begun = open(&mut world, Heartbeat::Comment(Duration::from_secs(2)));
    world.stick(begun, 3);
    world.publish("t", "a");
    world.pass(Duration::from_secs(20));
    world.unstick(begun);
    assert_eq!(world.text(begun), "data: a\n\n");
}
