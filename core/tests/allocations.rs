//! Memory, by a counting allocator: nothing is allocated per delivery or per heartbeat, and what comes
//! and goes leaves nothing behind. One test, since the allocator counts for the whole process.

mod common;

use std::alloc::System;
use std::time::Duration;

use common::{SECOND, frame, name};
use sse_state::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Accepts everything at once, or in flight.
struct Fast {
    at_once: bool,
    reports: Vec<Report>,
    writes: u32,
}

impl Sink for Fast {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.writes += 1;
        if self.at_once {
            return Answer::All;
        }
        let bytes = run.len() as u32;
        self.reports.push(Report {
            id,
            bytes,
            socket: Socket::Ready,
        });
        Answer::InFlight
    }

    fn control(&mut self, _: Control) {}
}

impl Fast {
    fn new(at_once: bool) -> Fast {
        Fast {
            at_once,
            reports: Vec::with_capacity(4096),
            writes: 0,
        }
    }

    fn drain(&mut self, state: &mut SseState) {
        loop {
            let pumped = state.pump(512, self);
            state.report(state.now(), &self.reports);
            let reported = !self.reports.is_empty();
            self.reports.clear();
            if pumped == Pumped::Idle && !reported {
                return;
            }
        }
    }
}

fn streams(state: &mut SseState, count: u32) -> Vec<SubscriberId> {
    let topic = name("/t");
    (0..count)
        .map(|_| {
            let id = state.accept(state.now()).unwrap();
            let subscribe = Subscribe::new(Via::Connection(id), topic.clone());
            state.subscribe(state.now(), &subscribe).unwrap()
        })
        .collect()
}

fn no_allocation_per_delivery(at_once: bool) {
    let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
    let mut sockets = Fast::new(at_once);
    streams(&mut state, 1000);
    sockets.drain(&mut state);
    let publish = |state: &mut SseState| {
        state
            .publish(state.now(), "/t", frame("value"), Room::Evict)
            .unwrap();
    };
    // The vectors of members and of runs grow once.
    for _ in 0..70 {
        publish(&mut state);
        sockets.drain(&mut state);
    }
    for frames in [1, 5] {
        for _ in 0..frames {
            publish(&mut state);
        }
        let writes = sockets.writes;
        let region = Region::new(ALLOCATOR);
        sockets.drain(&mut state);
        let calls = region.change();
        let gathered = if frames == 1 { 0 } else { 3 };
        assert!(sockets.writes >= writes + 1000, "everybody was served");
        // A gathered run is made once for all: bytes, their count, and the ends of its frames; and a
        // second time at most, since it is dropped at the end of each pump.
        let pumps = 1000u64.div_ceil(512) + 1;
        assert!(
            calls.allocations as u64 <= gathered * pumps,
            "{} allocations for 1000 deliveries of {frames}",
            calls.allocations
        );
    }
}

fn no_allocation_per_heartbeat(at_once: bool) {
    let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
    let mut sockets = Fast::new(at_once);
    streams(&mut state, 1000);
    sockets.drain(&mut state);
    let mut beats = |state: &mut SseState| {
        let before = state.stats().heartbeats;
        for _ in 0..40 {
            state.handle_timeout(state.now() + Duration::from_millis(500));
            sockets.drain(state);
        }
        state.stats().heartbeats - before
    };
    beats(&mut state);
    let region = Region::new(ALLOCATOR);
    let count = beats(&mut state);
    assert!(count >= 1000, "{count} heartbeats");
    assert_eq!(region.change().allocations, 0, "for {count} heartbeats");
}

fn a_million_connects_and_disconnects_leave_nothing_behind() {
    let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
    let mut sockets = Fast::new(true);
    let mut cycles = |state: &mut SseState, count: u32| {
        for number in 0..count {
            let ids = streams(state, 5);
            state
                .publish(state.now(), "/t", frame("value"), Room::Evict)
                .unwrap();
            sockets.drain(state);
            for id in ids {
                state.peer_gone(state.now(), id).unwrap();
            }
            if number % 64 == 0 {
                state.handle_timeout(state.now() + SECOND);
            }
            sockets.drain(state);
        }
    };
    cycles(&mut state, 100);
    let before = Region::new(ALLOCATOR);
    cycles(&mut state, 200_000);
    let change = before.change();
    let live = change.bytes_allocated as i64 - change.bytes_deallocated as i64;
    assert!(live <= 0, "10^6 cycles left {live} bytes behind");
    let stats = state.stats();
    assert_eq!(
        (
            stats.streams,
            stats.topics,
            stats.logs_bytes,
            stats.held_bytes
        ),
        (0, 0, 0, 0)
    );
    assert!(stats.subscribed >= 1_000_000);
}

#[test]
fn memory_is_counted() {
    for at_once in [true, false] {
        no_allocation_per_delivery(at_once);
        no_allocation_per_heartbeat(at_once);
    }
    a_million_connects_and_disconnects_leave_nothing_behind();
}
