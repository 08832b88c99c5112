//! Memory, by a counting allocator: D6, B2, B3, B8. The allocator counts for the whole process, so one
//! test runs at a time, and what the harness allocates meanwhile is allowed for.

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sse_state::{
    Answer, Config, Control, Epoch, Event, Frame, Name, Pumped, Room, Run, Sink, SseState,
    Subscribe, SubscriberId, Via,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of the harness while a test counts.
const NOISE: usize = 50;
/// Bytes that do not grow with anything: the wheel, the first vectors, the harness.
const FIXED: u64 = 64 << 10;

#[test]
fn d6_a_publish_is_encoded_once_and_a_delivery_allocates_nothing() {
    let _alone = alone();
    let mut machine = Machine::new();
    machine.streams(1000);
    // The vectors of members and of runs grow once.
    for _ in 0..70 {
        machine.publish("warm");
        machine.pump();
    }
    machine.publish("once");
    let (region, before) = (Region::new(ALLOCATOR), machine.sockets.writes);
    machine.pump();
    let made = region.change().allocations;
    assert_eq!(machine.sockets.writes - before, 1000);
    assert!(made < NOISE, "D6: {made} allocations for 1000 deliveries");
    // Nobody listens and nothing is kept: nothing is made.
    let frames: Vec<Frame> = (0..1000).map(|_| frame("nobody")).collect();
    let region = Region::new(ALLOCATOR);
    for frame in frames {
        let now = machine.state.now();
        let heard = machine.state.publish(now, "/nobody", frame, Room::Evict);
        assert_eq!(heard.map(|published| published.streams), Ok(0));
    }
    let made = region.change().allocations;
    assert!(
        made < NOISE,
        "D6: {made} allocations for 1000 publishes to nobody"
    );
}

/// The formula of docs/design.md: logs, what is held, the table in pages of 4 096, memberships.
#[test]
fn b2b_the_heap_keeps_within_the_formula() {
    let _alone = alone();
    let full = std::env::var("SSE_PROOF").as_deref() == Ok("full");
    let sizes: &[u32] = if full {
        &[1, 100, 10_000, 1_000_000]
    } else {
        &[1, 100, 10_000]
    };
    for &streams in sizes {
        let region = Region::new(ALLOCATOR);
        let mut machine = Machine::new();
        machine.streams(streams);
        machine.pump();
        for number in 0..100 {
            machine.publish(&number.to_string());
        }
        machine.pump();
        let held = live(&region);
        let stats = machine.state.stats();
        let pages = u64::from(streams.div_ceil(4096));
        let table = pages * 4096 * 128;
        // Vectors double, and a member may stand in each of three.
        let memberships = u64::from(streams) * 4 * 2 * 3;
        let bound = stats.logs_bytes + stats.held_bytes + table + memberships + FIXED;
        assert!(
            held <= bound,
            "B2: {streams} streams take {held} bytes, more than {bound}"
        );
        println!("{streams} streams: {held} bytes of at most {bound}");
    }
}

#[test]
fn b3_a_blocked_stream_costs_nothing_per_publish() {
    let _alone = alone();
    let mut machine = Machine::new();
    machine.streams(1000);
    machine.pump();
    machine.sockets.blocked = true;
    for _ in 0..70 {
        machine.publish("warm");
        machine.pump();
    }
    let (region, before) = (Region::new(ALLOCATOR), machine.sockets.writes);
    for _ in 0..20 {
        machine.publish("more");
        machine.pump();
    }
    assert_eq!(
        machine.sockets.writes, before,
        "B3: the blocked are offered nothing"
    );
    let made = region.change().allocations;
    // Each publish makes its frame.
    assert!(
        made < NOISE + 20 * 8,
        "B3: {made} allocations for 20 publishes"
    );
}

#[test]
fn b8c_connections_that_came_and_went_leave_nothing_behind() {
    let _alone = alone();
    let mut machine = Machine::new();
    let mut cycles = |count: u32| {
        for _ in 0..count {
            let ids = machine.streams(5);
            machine.publish("value");
            machine.pump();
            for id in ids {
                machine.state.peer_gone(machine.state.now(), id).unwrap();
            }
            machine.pump();
        }
    };
    cycles(100);
    let full = std::env::var("SSE_PROOF").as_deref() == Ok("full");
    let count = if full { 200_000 } else { 5_000 };
    let region = Region::new(ALLOCATOR);
    cycles(count);
    let left = live(&region);
    assert!(
        left <= 4096,
        "B8: {} connections left {left} bytes",
        5 * count
    );
}

struct Machine {
    state: SseState,
    sockets: Sockets,
}

struct Sockets {
    blocked: bool,
    writes: u64,
}

impl Sink for Sockets {
    fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
        self.writes += 1;
        if self.blocked {
            return Answer::Blocked(0);
        }
        Answer::All
    }

    fn control(&mut self, _: Control) {}
}

impl Machine {
    fn new() -> Machine {
        let config = Config {
            subscribers: 2_000_000,
            ..Config::new(Epoch(1))
        };
        let sockets = Sockets {
            blocked: false,
            writes: 0,
        };
        Machine {
            state: SseState::new(config).unwrap(),
            sockets,
        }
    }

    fn streams(&mut self, count: u32) -> Vec<SubscriberId> {
        let topic = Name::new("/t").unwrap();
        let state = &mut self.state;
        let mut open = || {
            let id = state.accept(state.now()).unwrap();
            let subscribe = Subscribe::new(Via::Connection(id), topic.clone());
            state.subscribe(state.now(), &subscribe).unwrap()
        };
        (0..count).map(|_| open()).collect()
    }

    fn publish(&mut self, data: &str) {
        let now = self.state.now();
        self.state
            .publish(now, "/t", frame(data), Room::Evict)
            .unwrap();
    }

    fn pump(&mut self) {
        while self.state.pump(512, &mut self.sockets) != Pumped::Idle {}
    }
}

fn frame(data: &str) -> Frame {
    Event::new(data).encode().unwrap()
}

/// What was allocated since, and not given back.
fn live(region: &Region<'_, System>) -> u64 {
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated) as u64
}

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
