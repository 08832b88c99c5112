//! What a report of one frame in flight does to what comes next, whatever else happened meanwhile.

mod common;

use std::time::Duration;

use common::{Bench, SECOND, frame, name};
use sse_state::*;

/// A stream without heartbeats that has read its first bytes.
fn idle(bench: &mut Bench) -> SubscriberId {
    let id = bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
    bench.pump();
    id
}

/// Takes what is lent next in flight: how many bytes; none if nothing is lent.
fn take(bench: &mut Bench) -> Option<u32> {
    loop {
        match bench.state.poll_action() {
            Some(Action::Write { run, .. }) => return Some(run.len() as u32),
            Some(Action::Control(control)) => bench.controls.push(control),
            None => return None,
        }
    }
}

fn report(bench: &mut Bench, id: SubscriberId, bytes: u32, socket: Socket) -> u32 {
    let stale = bench
        .state
        .report(bench.now, &[Report { id, bytes, socket }]);
    bench.state.check_invariants();
    stale
}

#[test]
fn i5_a_report_of_nothing_in_flight_is_counted_and_changes_nothing() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    let digest = bench.state.digest();
    let nothing = Report {
        id,
        bytes: 9,
        socket: Socket::Gone,
    };
    assert_eq!(bench.state.report(bench.now, &[nothing; 3]), 3);
    assert_eq!(bench.state.stats().stale, 3);
    assert_eq!(bench.state.digest(), digest);
    assert!(bench.state.is_live(id));
}

#[test]
fn d2_a_frame_that_was_taken_whole_says_what_its_socket_is() {
    for socket in [Socket::Ready, Socket::Blocked, Socket::Gone] {
        let mut bench = Bench::new();
        let id = idle(&mut bench);
        bench.publish("/t", "x");
        let bytes = take(&mut bench).unwrap();
        report(&mut bench, id, bytes, socket);
        bench.publish("/t", "y");
        let next = (socket == Socket::Ready).then_some(bytes);
        assert_eq!(take(&mut bench), next, "{socket:?}");
        assert_eq!(bench.state.is_live(id), socket != Socket::Gone);
    }
}

#[test]
fn e1_a_frame_that_was_taken_whole_is_the_last_of_a_stream_that_stops() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.publish("/t", "x");
    let bytes = take(&mut bench).unwrap();
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    report(&mut bench, id, bytes, Socket::Ready);
    bench.publish("/t", "y");
    assert_eq!(take(&mut bench), None);
    assert_eq!(bench.state.stats().finishing, 1);
}

/// A socket that was told writable in flight is not so for ever.
#[test]
fn w3_what_was_remembered_in_flight_is_forgotten_with_its_report() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.publish("/t", "x");
    let bytes = take(&mut bench).unwrap();
    bench.state.writable(bench.now, id).unwrap();
    report(&mut bench, id, bytes, Socket::Ready);
    bench.publish("/t", "y");
    assert_eq!(take(&mut bench), Some(bytes));
    report(&mut bench, id, 0, Socket::Blocked);
    assert_eq!(take(&mut bench), None, "it is blocked");
}

#[test]
fn h1_bytes_that_were_taken_are_no_silence() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| {
        subscribe.heartbeat = Heartbeat::Comment(SECOND);
    });
    bench.pump();
    bench.publish("/t", "x");
    let bytes = take(&mut bench).unwrap();
    bench.now = bench.now + 2 * SECOND;
    bench.state.handle_timeout(bench.now);
    assert_eq!(take(&mut bench), None);
    report(&mut bench, id, bytes, Socket::Ready);
    assert_eq!(take(&mut bench), None, "the heartbeat was due before them");
}

/// More than was lent counts as all of it, of the rest of a frame too.
#[test]
fn d2_no_byte_is_reported_twice() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.publish("/t", "x");
    let before = bench.state.stats().bytes;
    let bytes = take(&mut bench).unwrap();
    report(&mut bench, id, 4, Socket::Ready);
    assert_eq!(take(&mut bench), Some(bytes - 4));
    report(&mut bench, id, u32::MAX, Socket::Ready);
    let stats = bench.state.stats();
    assert_eq!(stats.bytes - before, u64::from(bytes));
    assert_eq!(stats.delivered, 1);
}

/// Accepts the rest of a frame whole, and is blocked then: it is at rest, and does not stall.
#[test]
fn w1_a_socket_that_is_blocked_after_the_rest_is_at_rest() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.publish("/t", "x");
    let bytes = take(&mut bench).unwrap();
    report(&mut bench, id, 4, Socket::Ready);
    assert_eq!(take(&mut bench), Some(bytes - 4));
    report(&mut bench, id, bytes - 4, Socket::Blocked);
    bench.pass(100 * SECOND);
    assert!(bench.state.is_live(id));
}

#[test]
fn w1_a_spurious_writable_after_a_partial_report_does_not_restart_the_stall_clock() {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.publish("/t", "x");
    take(&mut bench).unwrap();
    report(&mut bench, id, 4, Socket::Blocked);
    bench.pass(20 * SECOND);
    bench.state.writable(bench.now, id).unwrap();
    take(&mut bench).unwrap();
    report(&mut bench, id, 0, Socket::Blocked);
    bench.pass(9 * SECOND);
    assert!(bench.state.is_live(id));
    bench.pass(2 * SECOND);
    assert!(!bench.state.is_live(id), "nothing was accepted for 31 s");
}

/// Rests from `rests` on, is looked at after thirty seconds of its life, is offered a frame and drained: when it
/// has stalled.
fn drained_at_rest(rests: u64, offered: u64) -> Duration {
    let mut bench = Bench::new();
    let id = idle(&mut bench);
    bench.pass(Duration::from_secs(rests));
    bench.publish("/t", "x");
    let bytes = take(&mut bench).unwrap();
    report(&mut bench, id, bytes, Socket::Blocked);
    bench.pass(Duration::from_secs(offered - rests));
    bench.publish("/t", "y");
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    while bench.state.is_live(id) {
        bench.pass(SECOND);
    }
    bench.now.since(Time::ZERO)
}

#[test]
fn w1_a_drained_stream_that_was_at_rest_stalls_from_when_it_was_looked_at() {
    let at = |rests, offered| drained_at_rest(rests, offered).as_secs();
    let looked = at(0, 45);
    assert!((60..=63).contains(&looked), "{looked}");
    let early = at(20, 32);
    assert!((50..=52).contains(&early), "{early}");
}

/// One in a round has room, one that is behind has not: it is found.
#[test]
fn b10_whoever_is_behind_is_looked_at_after_the_round() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_frames: 2,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let slow = bench.open(&["/t"], Start::Now);
    bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(slow, common::Reader::Bytes(0));
    bench.publish("/t", "1");
    bench.pump();
    bench.publish("/t", "2");
    let third = bench.state.publish(bench.now, "/t", frame("3"), Room::Wait);
    assert_eq!(third, Err(Error::Wait));
    bench.writable(slow, common::Reader::Fast);
    assert_eq!(bench.controls(), [Control::Room { topic: name("/t") }]);
}
