//! Slow, blocked and stalled streams, heartbeats, and publishers that wait: one named test per rule that is easy to break.

mod common;

use std::time::Duration;

use common::{Bench, Reader, SECOND, frame, name};
use sse_state::*;

fn fed() -> TopicOptions {
    TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    }
}

fn history() -> TopicOptions {
    TopicOptions {
        history: true,
        ..TopicOptions::default()
    }
}

#[test]
fn b4_skip_goes_on_at_the_oldest_and_tells_the_exact_number() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 2,
            ..history()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    bench.readers.insert(a, Reader::Bytes(0));
    bench.pump();
    for number in 0..7 {
        bench.publish("/t", &number.to_string());
    }
    bench.writable(a, Reader::Fast);
    let gap = "event: sse-gap\ndata: {\"topic\":\"/t\",\"missed\":5,\"why\":\"slow\"}\nid: 1-5\n\n";
    let frames = "data: 5\nid: 1-6\n\ndata: 6\nid: 1-7\n\n";
    assert!(bench.read(a).ends_with(&format!("{gap}{frames}")));
    assert_eq!(bench.state.stats().missed, 5);
}

#[test]
fn b4_conflate_goes_on_at_the_newest() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_frames: 2,
        slow: Slow::Conflate,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(a, Reader::Bytes(0));
    for number in 0..7 {
        bench.publish("/t", &number.to_string());
    }
    bench.pump();
    for number in 7..9 {
        bench.publish("/t", &number.to_string());
    }
    bench.writable(a, Reader::Fast);
    assert_eq!(bench.read(a), ":\n\ndata: 8\n\n");
    assert_eq!(bench.state.stats().missed, 8);
}

#[test]
fn b4_close_ends_in_order_once() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_frames: 2,
        slow: Slow::Close,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    for number in 0..3 {
        bench.publish("/t", &number.to_string());
    }
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    assert_eq!(bench.read(a), ":\n\n");
    assert_eq!(bench.closes(), [(a, CloseReason::Lagged, Ending::Orderly)]);
}

#[test]
fn b6_a_frame_that_was_begun_is_finished_first_even_when_the_log_has_moved_on() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 1,
            notice: Some(true),
            ..TopicOptions::default()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(a, Reader::Bytes(4));
    bench.publish("/t", "first");
    bench.pump();
    assert_eq!(bench.state.stats().held_bytes, 13);
    bench.publish("/t", "second");
    bench.publish("/t", "third");
    bench.writable(a, Reader::Fast);
    let gap = "event: sse-gap\ndata: {\"topic\":\"/t\",\"missed\":1,\"why\":\"slow\"}\n\n";
    assert_eq!(
        bench.read(a),
        format!(":\n\ndata: first\n\n{gap}data: third\n\n")
    );
    assert_eq!(bench.state.stats().held_bytes, 0, "B8");
}

#[test]
fn a_writable_that_arrives_in_flight_is_remembered() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        panic!("the first bytes are due");
    };
    bench.state.writable(bench.now, id).unwrap();
    let report = Report {
        id,
        bytes: 1,
        socket: Socket::Blocked,
    };
    assert_eq!(bench.state.report(bench.now, &[report]), 0);
    let Some(Action::Write { run: rest, .. }) = bench.state.poll_action() else {
        panic!("the wake-up was lost");
    };
    assert_eq!(rest, run.slice(1..));
}

#[test]
fn one_run_in_flight_and_the_cursor_moves_by_what_was_reported() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "a");
    bench.publish("/t", "b");
    assert!(matches!(
        bench.state.poll_action(),
        Some(Action::Write { .. })
    ));
    bench.publish("/t", "c");
    assert_eq!(
        bench.state.poll_action(),
        None,
        "B1: a second run in flight"
    );
    // Of the first run only half a frame was taken: the rest of it, then b, then c.
    let report = Report {
        id,
        bytes: 3,
        socket: Socket::Ready,
    };
    bench.state.report(bench.now, &[report]);
    bench.pump();
    assert_eq!(bench.read(id), ":\n\na: a\n\ndata: b\n\ndata: c\n\n");
}

#[test]
fn h1_h2_h3_a_heartbeat_comes_with_silence_only() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.read(id);
    bench.pass(Duration::from_millis(13_124));
    assert_eq!(
        bench.read(id),
        "",
        "H1: before seven eighths of the interval"
    );
    bench.publish("/t", "x");
    bench.pass(Duration::from_millis(13_124));
    assert_eq!(bench.read(id), "data: x\n\n", "H3: traffic counts");
    bench.pass(Duration::from_millis(1_876 + 134));
    assert_eq!(
        bench.read(id),
        ":\n\n",
        "H2: within the interval and a granule"
    );
}

#[test]
fn h4_w4_no_heartbeat_behind_a_blocked_write_and_the_stalled_one_is_cut() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "x");
    bench.readers.insert(id, Reader::Bytes(5));
    bench.pass(29 * SECOND);
    assert_eq!(bench.read(id), ":\n\ndata:");
    assert_eq!(bench.closes(), []);
    bench.pass(SECOND + Duration::from_millis(134));
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
    assert!(!bench.state.is_live(id));
}

#[test]
fn w1_a_spurious_writable_does_not_restart_the_stall_clock() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "x");
    bench.readers.insert(id, Reader::Bytes(0));
    bench.pass(20 * SECOND);
    bench.writable(id, Reader::Bytes(0));
    bench.pass(9 * SECOND);
    assert_eq!(bench.closes(), []);
    bench.pass(SECOND + Duration::from_millis(134));
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
}

#[test]
fn w2_accepted_bytes_are_progress() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "slow but steady");
    bench.readers.insert(id, Reader::Bytes(0));
    bench.pump();
    for _ in 0..10 {
        bench.pass(29 * SECOND);
        bench.writable(id, Reader::Bytes(1));
    }
    assert_eq!(bench.closes(), []);
    assert_eq!(bench.read(id), ":\n\ndata: slow");
}

#[test]
fn a_publish_that_waits_is_told_once_when_the_reader_has_moved_on() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 1,
            ..TopicOptions::default()
        },
    );
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    let publish = |bench: &mut Bench, data| {
        bench
            .state
            .publish(bench.now, "/t", frame(data), Room::Wait)
    };
    assert!(publish(&mut bench, "1").is_ok());
    assert_eq!(publish(&mut bench, "2"), Err(Error::Wait));
    assert_eq!(publish(&mut bench, "2"), Err(Error::Wait));
    bench.pump();
    assert_eq!(bench.controls(), [Control::Room { topic: name("/t") }]);
    assert!(publish(&mut bench, "2").is_ok());
    bench.pump();
    assert_eq!(bench.read(id), ":\n\ndata: 1\n\ndata: 2\n\n");
}

#[test]
fn a_stalled_client_does_not_hold_up_a_publisher_that_waits() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 1,
            ..TopicOptions::default()
        },
    );
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(id, Reader::Bytes(0));
    let publish = |bench: &mut Bench| bench.state.publish(bench.now, "/t", frame("x"), Room::Wait);
    assert!(publish(&mut bench).is_ok());
    bench.pump();
    assert_eq!(
        publish(&mut bench),
        Err(Error::Wait),
        "it may still be reading"
    );
    bench.pass(SECOND - Duration::from_nanos(1));
    assert_eq!(bench.controls(), []);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.controls(), [Control::Room { topic: name("/t") }]);
    assert!(publish(&mut bench).is_ok());
}

/// It could be written to when the publisher was told to wait; of what it is then offered it takes nothing.
#[test]
fn b10_a_reader_that_stalls_after_a_publisher_was_told_to_wait_does_not_hold_it_up() {
    for slow in [Some(Reader::Bytes(0)), Some(Reader::InFlight), None] {
        let mut bench = Bench::new();
        let options = TopicOptions {
            log_frames: 1,
            ..TopicOptions::default()
        };
        bench.declare("/t", options);
        match slow {
            Some(reader) => {
                let id = bench.open(&["/t"], Start::Now);
                bench.readers.insert(id, reader);
            }
            None => {
                let mounted = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
                bench.state.subscribe(bench.now, &mounted).unwrap();
            }
        }
        let publish =
            |bench: &mut Bench| bench.state.publish(bench.now, "/t", frame("x"), Room::Wait);
        assert!(publish(&mut bench).is_ok());
        assert_eq!(publish(&mut bench), Err(Error::Wait));
        bench.pass(SECOND - Duration::from_nanos(1));
        let room = Control::Room { topic: name("/t") };
        assert!(!bench.controls().contains(&room), "it may still be reading");
        bench.pass(Duration::from_nanos(1));
        assert_eq!(bench.controls(), [room]);
        assert!(publish(&mut bench).is_ok());
    }
}

/// It has had its turn in a round that has not ended yet, when two more events come: it needs the first of them.
#[test]
fn b10_a_reader_that_was_served_in_the_present_round_is_waited_for() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_frames: 1,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "1");
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        panic!("nothing is lent");
    };
    let report = Report {
        id,
        bytes: run.len() as u32,
        socket: Socket::Ready,
    };
    assert_eq!(bench.state.report(bench.now, &[report]), 0, "none is stale");
    bench.publish("/t", "2");
    let waiting = bench.state.publish(bench.now, "/t", frame("3"), Room::Wait);
    assert_eq!(waiting, Err(Error::Wait));
    bench.pump();
    assert!(bench.bytes[&id].ends_with(b"data: 2\n\n"));
    let room = Control::Room { topic: name("/t") };
    assert_eq!(bench.controls(), [room]);
}

/// What it was to wait for has gone, and there is room for it beside what the reader needs now.
#[test]
fn b10_room_that_another_publisher_makes_is_told_too() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_bytes: 100,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let id = bench.open(&["/t"], Start::Now);
    bench.readers.insert(id, Reader::Bytes(0));
    bench.publish("/t", &"x".repeat(80));
    bench.pump();
    let publish = |bench: &mut Bench| {
        let event = frame(&"y".repeat(40));
        bench.state.publish(bench.now, "/t", event, Room::Wait)
    };
    assert_eq!(publish(&mut bench), Err(Error::Wait));
    bench.publish("/t", &"z".repeat(20));
    bench.pump();
    assert_eq!(bench.controls(), [Control::Room { topic: name("/t") }]);
    assert!(publish(&mut bench).is_ok());
    bench.publish("/t", &"x".repeat(80));
    assert_eq!(publish(&mut bench), Err(Error::Wait));
    bench.publish("/t", &"x".repeat(81));
    bench.pump();
    assert_eq!(bench.controls(), [], "what came instead is needed as well");
}

/// It would be refused, which its publisher should know.
#[test]
fn b10_a_publish_that_no_reader_can_make_room_for_does_not_wait() {
    let mut config = Config::new(Epoch(1));
    config.frame_bytes = 180;
    config.logs_bytes = 200;
    let mut bench = Bench::with(config);
    let options = TopicOptions {
        log_frames: 1,
        ..TopicOptions::default()
    };
    bench.declare("/t", options.clone());
    bench.declare("/u", options);
    let id = bench.open(&["/t"], Start::Now);
    bench.readers.insert(id, Reader::Bytes(0));
    bench.open(&["/u"], Start::Now);
    bench.publish("/t", "x");
    let publish = |bench: &mut Bench| {
        let event = frame(&"y".repeat(100));
        bench.state.publish(bench.now, "/t", event, Room::Wait)
    };
    assert_eq!(publish(&mut bench), Err(Error::Wait));
    bench.publish("/u", &"z".repeat(150));
    bench.pump();
    assert_eq!(bench.controls(), [Control::Room { topic: name("/t") }]);
    assert_eq!(publish(&mut bench), Err(Error::Full(Bound::Logs)));
}

#[test]
fn a_mounted_stream_is_woken_once_and_pulls_what_a_socket_would_get() {
    let mut bench = Bench::new();
    let mut subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    subscribe.retry = false;
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    bench.pump();
    bench.publish("/t", "x");
    bench.pump();
    assert_eq!(bench.controls(), [Control::Wake { id }]);
    let run = bench.state.pull(bench.now, id).unwrap();
    assert_eq!(run, Pulled::Run(b":\n\ndata: x\n\n"[..].into()));
    assert_eq!(bench.state.pull(bench.now, id), Ok(Pulled::Nothing));
    bench.publish("/t", "y");
    bench.pass(30 * SECOND + Duration::from_millis(134));
    let stalled = Control::Close {
        id,
        reason: CloseReason::Stalled,
        ending: Ending::Cut,
    };
    assert_eq!(bench.controls(), [Control::Wake { id }, stalled]);
}

#[test]
fn w2_reported_bytes_are_progress() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    assert!(matches!(
        bench.state.poll_action(),
        Some(Action::Write { .. })
    ));
    for _ in 0..2 {
        bench.pass(29 * SECOND);
        let report = Report {
            id,
            bytes: 1,
            socket: Socket::Blocked,
        };
        assert_eq!(bench.state.report(bench.now, &[report]), 0);
        bench.state.writable(bench.now, id).unwrap();
        assert!(matches!(
            bench.state.poll_action(),
            Some(Action::Write { .. })
        ));
    }
    bench.pass(29 * SECOND);
    assert_eq!(bench.closes(), []);
    bench.pass(SECOND + Duration::from_millis(134));
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
}

/// A stream that is being ended and was not pumped in time still gets its turn, and no pump hangs.
#[test]
fn w1_ready_time_that_was_not_pumped_closes_nobody() {
    let config = Config {
        heartbeat: SECOND,
        write_timeout: SECOND,
        ..Config::new(Epoch(1))
    };
    let mut bench = Bench::with(config);
    let id = bench.open(&["/t"], Start::Now);
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.now = Time::from_millis(60_000);
    bench.state.handle_timeout(bench.now);
    bench.pump();
    let text = bench.read(id);
    assert!(text.starts_with(":\n\nretry: "), "{text}");
    assert_eq!(bench.controls(), [Control::Finish { id }]);
}

#[test]
fn b6_a_socket_that_is_blocked_is_not_written_to_and_stalls_in_time() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        panic!("the first bytes are due");
    };
    let bytes = run.len() as u32;
    bench.state.report(
        bench.now,
        &[Report {
            id,
            bytes,
            socket: Socket::Blocked,
        }],
    );
    bench.publish("/t", "x");
    assert_eq!(bench.state.poll_action(), None);
    bench.pass(29 * SECOND);
    assert_eq!(bench.closes(), []);
    bench.pass(32 * SECOND);
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
}

#[test]
fn w3_a_mounted_stream_is_not_woken_for_nothing() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let mut subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    subscribe.heartbeat = Heartbeat::Off;
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    bench.pump();
    bench.state.pull(bench.now, id).unwrap();
    // Pulled after the publish and before the pump: nothing is left.
    bench.publish("/t", "x");
    bench.state.pull(bench.now, id).unwrap();
    bench.controls();
    bench.pump();
    assert_eq!(bench.controls(), []);
    bench.state.stop_source(bench.now, "/t").unwrap();
    bench.pass(100 * SECOND);
    let wakes = bench.controls();
    let wakes = wakes
        .iter()
        .filter(|control| matches!(control, Control::Wake { .. }));
    assert_eq!(wakes.count(), 0);
    assert!(bench.state.is_live(id), "a healthy stream was cut");
}

#[test]
fn w1_a_socket_that_was_blocked_at_rest_stalls_from_its_last_byte_or_its_next_offer() {
    let rested = || {
        let mut bench = Bench::new();
        let id = bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
        let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
            panic!("the first bytes are due");
        };
        let bytes = run.len() as u32;
        let report = Report {
            id,
            bytes,
            socket: Socket::Blocked,
        };
        bench.state.report(bench.now, &[report]);
        (bench, id)
    };
    // Something to write, and nothing accepted since: cut in time.
    let (mut bench, id) = rested();
    bench.publish("/t", "x");
    bench.pass(30 * SECOND + Duration::from_millis(134));
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
    // Nothing to write: no reason to cut it.
    let (mut bench, id) = rested();
    bench.pass(100 * SECOND);
    assert!(bench.state.is_live(id));
    // Writable again: the clock runs from the next offer.
    let (mut bench, id) = rested();
    bench.publish("/t", "x");
    bench.readers.insert(id, Reader::Bytes(0));
    bench.pass(20 * SECOND);
    bench.writable(id, Reader::Bytes(0));
    bench.pass(29 * SECOND);
    assert!(bench.state.is_live(id));
    bench.pass(SECOND + Duration::from_millis(134));
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
}
