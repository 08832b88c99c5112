//! The bounds on bytes at one below, at, and one past them (B7): logs, runs, what is held.

mod wire;

use std::time::Duration;

use sse_state::{
    Answer, Bound, CloseReason, Config, Control, Ending, Error, Pumped, Room, Run, Sink, Start,
    SubscriberId, TopicOptions,
};
use wire::{EPOCH, World, frame};

const SECOND: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config::new(EPOCH)
}

#[test]
fn b7_log_frames_and_log_bytes() {
    // `data: x` and two line feeds: 9 bytes.
    for (log_frames, log_bytes) in [(3, 4 << 20), (64, 27), (64, 35)] {
        for published in [2, 3, 4] {
            let mut world = World::new();
            let retention = 60 * SECOND;
            let options = TopicOptions {
                log_frames,
                log_bytes,
                retention,
                ..TopicOptions::default()
            };
            world.declare("t", options);
            let first = world.open(&["t"], Start::Now);
            for _ in 0..published {
                world.publish("t", "x");
            }
            world.leave(first);
            let replay = world.open(&["t"], Start::Oldest);
            let held = world.text(replay).matches("data: x").count();
            assert_eq!(held, published.min(3), "{log_frames} {log_bytes}");
            assert_eq!(world.state.stats().logs_bytes, 9 * held as u64);
        }
    }
}

#[test]
fn b7_one_frame_is_always_kept() {
    let mut world = World::new();
    world.declare(
        "t",
        TopicOptions {
            log_bytes: 1,
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    world.open(&["t"], Start::Now);
    world.publish("t", "larger than its log");
    let newcomer = world.open(&["t"], Start::Now);
    assert_eq!(world.text(newcomer), ":\n\ndata: larger than its log\n\n");
}

#[test]
fn b7_logs_bytes_evict_from_the_own_topic_or_refuse_and_evict_nothing() {
    let mut world = World::with(Config {
        logs_bytes: 27,
        ..config()
    });
    let [one, other] = [
        world.open(&["a"], Start::Now),
        world.open(&["b"], Start::Now),
    ];
    world.publish("a", "1");
    world.publish("a", "2");
    assert_eq!(world.state.stats().logs_bytes, 18);
    world.publish("b", "3");
    assert_eq!(world.state.stats().logs_bytes, 27, "at the bound");
    // Past it `a` makes room by its own oldest frame, as often as it likes.
    for data in ["4", "5", "6"] {
        world.publish("a", data);
        assert_eq!(world.state.stats().logs_bytes, 27);
    }
    // One byte more than `b` has: what it evicts would not be enough.
    let before = world.state.digest();
    let refused = world
        .state
        .publish(world.now, "b", frame("33"), Room::Evict);
    assert_eq!(refused, Err(Error::Full(Bound::Logs)));
    assert_eq!(world.state.digest(), before, "B7, R5: it evicts nothing");
    world.publish("b", "7");
    let replay = world.open(&["a", "b"], Start::Oldest);
    assert_eq!(world.text(replay), ":\n\ndata: 5\n\ndata: 6\n\ndata: 7\n\n");
    let read = [one, other].map(|stream| world.text(stream).matches("data").count());
    assert_eq!(read, [5, 2], "who keeps up gets everything");
}

/// Remembers the size of each run.
struct Sizes(Vec<usize>);

impl Sink for Sizes {
    fn write(&mut self, _: SubscriberId, run: Run<'_>) -> Answer {
        self.0.push(run.len());
        Answer::All
    }

    fn control(&mut self, _: Control) {}
}

#[test]
fn b7_run_bytes() {
    for (run_bytes, expected) in [
        (17, vec![9, 9, 9]),
        (18, vec![18, 9]),
        (26, vec![18, 9]),
        (27, vec![27]),
    ] {
        for topics in [&["t"][..], &["t", "other"]] {
            let mut world = World::with(Config {
                run_bytes,
                ..config()
            });
            let stream = world.open(topics, Start::Now);
            world.stick(stream, 0);
            for data in ["1", "2", "3"] {
                let frame = frame(data);
                world
                    .state
                    .publish(world.now, "t", frame, Room::Evict)
                    .unwrap();
            }
            let mut sizes = Sizes(Vec::new());
            while world.state.pump(100, &mut sizes) == Pumped::More {}
            assert_eq!(sizes.0, expected, "{run_bytes}, {} topics", topics.len());
        }
    }
}

#[test]
fn b7_a_frame_over_run_bytes_travels_alone_and_whole() {
    let mut world = World::with(Config {
        run_bytes: 10,
        ..config()
    });
    world.open(&["t"], Start::Now);
    for data in ["1", &"x".repeat(100), "2"] {
        world
            .state
            .publish(world.now, "t", frame(data), Room::Evict)
            .unwrap();
    }
    let mut sizes = Sizes(Vec::new());
    while world.state.pump(100, &mut sizes) == Pumped::More {}
    assert_eq!(sizes.0, [9, 108, 9]);
}

#[test]
fn b7_held_bytes_cut_the_stream_whose_begun_frame_alone_would_pass_them() {
    // 192 and 8 bytes: a frame of 200.
    for (held_bytes, is_kept) in [(199, false), (200, true), (201, true)] {
        let mut world = World::with(Config {
            held_bytes,
            ..config()
        });
        let slow = world.open(&["t"], Start::Now);
        let other = world.open(&["t"], Start::Now);
        world.stick(slow, 1);
        world.publish("t", &"x".repeat(192));
        assert_eq!(world.state.is_live(slow), is_kept, "{held_bytes}");
        assert!(world.state.stats().held_bytes <= held_bytes);
        let close = Control::Close {
            id: slow,
            reason: CloseReason::Held,
            ending: Ending::Cut,
        };
        assert_eq!(world.wires.controls.contains(&close), !is_kept);
        assert!(world.text(other).ends_with("x\n\n"), "the other got it");
    }
}

#[test]
fn b7_held_bytes_count_a_shared_frame_once() {
    let mut world = World::with(Config {
        held_bytes: 200,
        ..config()
    });
    let all = [(); 10].map(|()| world.open(&["t"], Start::Now));
    for stream in all {
        world.stick(stream, 1);
    }
    world.publish("t", &"x".repeat(192));
    assert_eq!(world.state.stats().held_bytes, 200);
    assert!(all.iter().all(|stream| world.state.is_live(*stream)));
    for stream in all {
        world.unstick(stream);
    }
    assert_eq!(world.state.stats().held_bytes, 0, "B8");
}

#[test]
fn b7_held_bytes_lend_single_frames_where_a_run_would_pass_them() {
    let mut world = World::with(Config {
        held_bytes: 30,
        ..config()
    });
    let stream = world.open(&["t"], Start::Now);
    world.take(stream);
    for data in ["1", "2", "3", "4"] {
        world
            .state
            .publish(world.now, "t", frame(data), Room::Evict)
            .unwrap();
    }
    let mut sizes = Sizes(Vec::new());
    while world.state.pump(100, &mut sizes) == Pumped::More {}
    assert!(sizes.0.iter().all(|size| *size <= 30) && sizes.0.iter().sum::<usize>() == 36);
}
