//! What one write lends, and what is held, where frames are larger than runs or shared by many.

mod wire;

use sse_state::{
    Answer, Config, Control, Pumped, Room, Run, Sink, Start, SubscriberId, TopicOptions,
};
use wire::{EPOCH, World, frame};

fn config() -> Config {
    Config::new(EPOCH)
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
