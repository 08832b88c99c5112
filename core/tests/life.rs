//! The lives of sources, topics and streams: one named test per rule that is easy to break.

mod common;

use std::time::Duration;

use common::{Bench, Reader, SECOND, frame, name};
use sse_state::*;

fn polled() -> TopicOptions {
    TopicOptions::polled(SourceKind::Interval(SECOND))
}

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
fn l3_the_first_subscriber_starts_one_source_and_the_second_none() {
    let mut bench = Bench::new();
    bench.declare("/t", polled());
    bench.open(&["/t"], Start::Now);
    bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 1"]);
}

#[test]
fn l4_the_last_leave_stops_the_source_once() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let (a, b) = (
        bench.open(&["/t"], Start::Now),
        bench.open(&["/t"], Start::Now),
    );
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 1"]);
    bench.state.peer_gone(bench.now, b).unwrap();
    bench.pump();
    bench.pass(SECOND);
    assert_eq!(bench.lives(), ["stop /t 1 NoSubscribers"]);
}

/// The first of the five failures: a newcomer while the last one leaves.
#[test]
fn l4_a_newcomer_undoes_a_stop_that_was_not_pulled() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    let b = bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 1"]);
    assert_eq!(bench.publish("/t", "x").streams, 1);
    bench.pump();
    assert_eq!(bench.read(b), ":\n\ndata: x\n\n");
}

#[test]
fn l5_linger_keeps_the_source_and_a_newcomer_its_token() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            linger: 5 * SECOND,
            ..fed()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pass(5 * SECOND - Duration::from_nanos(1));
    let b = bench.open(&["/t"], Start::Now);
    bench.pass(10 * SECOND);
    assert_eq!(bench.lives(), ["start /t 1"]);
    bench.state.peer_gone(bench.now, b).unwrap();
    bench.pass(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(bench.lives(), [""; 0]);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(bench.lives(), ["stop /t 1 NoSubscribers"]);
}

#[test]
fn l6_a_result_of_an_earlier_life_is_stale() {
    let mut bench = Bench::new();
    bench.declare("/t", polled());
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    let (old, number) = bench.poll();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    let b = bench.open(&["/t"], Start::Now);
    bench.pump();
    let before = bench.state.digest();
    let outcome = PollOutcome::Frame(frame("old"));
    let result = bench
        .state
        .poll_result(bench.now, old, number, outcome, Next::GoOn);
    assert_eq!(result, Err(Error::Stale));
    assert_eq!(
        bench.state.feed(bench.now, old, frame("old"), Room::Evict),
        Err(Error::Stale)
    );
    assert_eq!(bench.state.digest(), before, "L6");
    bench.pump();
    assert_eq!(bench.read(b), ":\n\n");
    assert_eq!(
        bench.lives(),
        ["start /t 1", "stop /t 1 NoSubscribers", "start /t 2"]
    );
}

#[test]
fn l7_a_start_that_was_not_pulled_vanishes() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let a = bench.open(&["/t"], Start::Now);
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    assert_eq!(bench.lives(), [""; 0]);
    assert_eq!(bench.state.stats().sources, 0);
}

#[test]
fn l9_a_finished_source_starts_afresh_only_after_all_have_left() {
    let mut bench = Bench::new();
    bench.declare("/t", polled());
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    let (token, number) = bench.poll();
    let outcome = PollOutcome::Frame(frame("last"));
    let done = bench
        .state
        .poll_result(bench.now, token, number, outcome, Next::Finished);
    assert_eq!(done.unwrap().streams, 1);
    let b = bench.open(&["/t"], Start::Now);
    bench.pass(5 * SECOND);
    assert_eq!(bench.lives(), ["start /t 1", "stop /t 1 Condition"]);
    assert!(bench.read(a).ends_with("data: last\n\n"));
    assert!(
        bench.read(b).ends_with("data: last\n\n"),
        "the streams stay open"
    );
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.state.peer_gone(bench.now, b).unwrap();
    bench.pump();
    bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 2"]);
}

#[test]
fn l9_a_first_subscriber_after_the_end_but_before_its_stop_gets_a_fresh_source() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.stop_source(bench.now, "/t").unwrap();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(
        bench.lives(),
        ["start /t 1", "stop /t 1 Asked", "start /t 2"]
    );
}

#[test]
fn l8_a_failed_poll_changes_nothing_but_is_told_once() {
    let mut bench = Bench::new();
    bench.declare("/t", polled());
    let a = bench.open(&["/t"], Start::Now);
    for number in 1..=3 {
        bench.pump();
        let (token, asked) = bench.poll();
        assert_eq!(asked, number);
        let outcome = PollOutcome::Failed(Some(frame("error")));
        bench
            .state
            .poll_result(bench.now, token, asked, outcome, Next::Finished)
            .unwrap();
        bench.pass(SECOND);
    }
    assert_eq!(bench.lives(), ["start /t 1"]);
    assert_eq!(bench.read(a), ":\n\ndata: error\n\n");
    assert_eq!(bench.state.stats().polls_failed, 3);
}

#[test]
fn l11_one_poll_in_flight_missed_ticks_skipped_fixed_phase() {
    let mut bench = Bench::new();
    bench.declare("/t", polled());
    bench.now = Time::from_millis(300);
    bench.open(&["/t"], Start::Now);
    bench.pass(Duration::from_millis(2500));
    let polls = |bench: &mut Bench| {
        let controls = bench.controls();
        let polls = controls
            .iter()
            .filter(|control| matches!(control, Control::Poll { .. }));
        polls.count()
    };
    let (token, number) = bench.poll();
    assert_eq!((polls(&mut bench), number), (1, 1), "never two in flight");
    bench
        .state
        .poll_result(bench.now, token, 1, PollOutcome::Unchanged, Next::GoOn)
        .unwrap();
    // 2.8 s: the ticks at 1.3 and 2.3 s were missed, the next one is at 3.3 s.
    assert_eq!(bench.state.poll_timeout(), Some(Time::from_millis(3300)));
    bench.pass(Duration::from_millis(499));
    assert_eq!(polls(&mut bench), 0);
    bench.pass(Duration::from_millis(1));
    assert_eq!(polls(&mut bench), 1);
}

#[test]
fn l11_a_poll_that_takes_too_long_has_failed_and_is_replaced() {
    let mut bench = Bench::with(Config {
        poll_timeout: 2 * SECOND,
        ..Config::new(Epoch(1))
    });
    bench.declare("/t", polled());
    bench.open(&["/t"], Start::Now);
    bench.pump();
    let (token, _) = bench.poll();
    bench.pass(3 * SECOND);
    assert_eq!(bench.poll(), (token, 2));
    assert_eq!(bench.state.stats().polls_failed, 1);
    let late = bench
        .state
        .poll_result(bench.now, token, 1, PollOutcome::Unchanged, Next::GoOn);
    assert_eq!(late, Err(Error::Stale));
}

#[test]
fn l12_polls_past_the_bound_wait_their_turn() {
    let mut bench = Bench::with(Config {
        polls: 1,
        ..Config::new(Epoch(1))
    });
    bench.declare("/a", polled());
    bench.declare("/b", polled());
    bench.open(&["/a", "/b"], Start::Now);
    bench.pump();
    assert_eq!(bench.state.stats().polls_in_flight, 1);
    let (first, number) = bench.poll();
    bench
        .state
        .poll_result(bench.now, first, number, PollOutcome::Unchanged, Next::GoOn)
        .unwrap();
    bench.pump();
    let (second, _) = bench.poll();
    assert_ne!(first.slot(), second.slot(), "the other one had its turn");
}

#[test]
fn l1_a_topic_without_anybody_is_gone() {
    let mut bench = Bench::new();
    let a = bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.state.stats().topics, 1);
    bench.publish("/t", "x");
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    assert_eq!(bench.state.stats().topics, 0);
    assert_eq!(bench.state.stats().logs_bytes, 0);
    assert_eq!(
        bench.publish("/t", "y").streams,
        0,
        "an absent topic takes nothing"
    );
    assert_eq!(bench.state.stats().topics, 0);
}

#[test]
fn n5_nobody_is_greeted_with_a_value_of_an_earlier_life() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    bench.publish("/t", "old");
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pump();
    let b = bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.read(b), ":\n\n");
    assert!(!bench.publish("/t", "old").unchanged, "N5");
}

#[test]
fn n1_n2_dedupe_tells_members_nothing_and_a_newcomer_the_current_value() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    bench.publish("/t", "v");
    bench.pump();
    assert!(bench.publish("/t", "v").unchanged);
    let b = bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.read(a), ":\n\ndata: v\n\n");
    assert_eq!(bench.read(b), ":\n\ndata: v\n\n");
    assert_eq!(bench.state.stats().unchanged, 1);
}

#[test]
fn n3_a_b_a_delivers_three() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    let a = bench.open(&["/t"], Start::Now);
    for data in ["A", "B", "A"] {
        bench.publish("/t", data);
    }
    bench.pump();
    assert_eq!(bench.read(a), ":\n\ndata: A\n\ndata: B\n\ndata: A\n\n");
}

#[test]
fn n7_equality_is_of_name_and_data() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        dedupe: true,
        own_ids: true,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    bench.open(&["/t"], Start::Now);
    let mut publish = |event: Event<'_>| {
        let frame = event.encode().unwrap();
        bench
            .state
            .publish(Time::ZERO, "/t", frame, Room::Evict)
            .unwrap()
            .unchanged
    };
    assert!(!publish(Event::new("v").id("1")));
    assert!(publish(Event::new("v").id("2")));
    assert!(!publish(Event::new("v").name("n").id("2")));
    assert!(!publish(Event::new("v")));
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
fn a1_nothing_new_is_lent_after_expires_but_what_is_begun_is_finished() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| {
        subscribe.expires = Some(Time::from_millis(500))
    });
    bench.pump();
    bench.readers.insert(id, Reader::Bytes(3));
    bench.publish("/t", "begun");
    bench.pump();
    bench.publish("/t", "too late");
    bench.now = Time::from_millis(500);
    bench.writable(id, Reader::Fast);
    assert_eq!(bench.read(id), ":\n\ndata: begun\n\n");
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.pump();
    assert_eq!(
        bench.closes(),
        [(id, CloseReason::Expired, Ending::Orderly)]
    );
}

#[test]
fn a1_close_key_ends_its_streams_and_refuses_grants_that_began_before() {
    let mut bench = Bench::new();
    let key = |subscribe: &mut Subscribe| subscribe.key = Some(name("ann"));
    let (a, other) = (
        bench.open_with(&["/t"], key),
        bench.open(&["/t"], Start::Now),
    );
    bench.pump();
    let slow = bench.accept();
    bench.state.head_done(bench.now, slow).unwrap();
    assert_eq!(bench.state.close_key(bench.now, &name("ann")), Ok(1));
    bench.publish("/t", "secret");
    bench.pump();
    assert_eq!(bench.read(a), ":\n\n");
    assert_eq!(bench.read(other), ":\n\ndata: secret\n\n");
    let mut subscribe = Subscribe::new(Via::Connection(slow), name("/t"));
    key(&mut subscribe);
    assert_eq!(
        bench.state.subscribe(bench.now, &subscribe),
        Err(Error::Closed)
    );
    // Whoever asks now may come back.
    let again = bench.accept();
    bench.state.head_done(bench.now, again).unwrap();
    subscribe.via = Via::Connection(again);
    assert!(bench.state.subscribe(bench.now, &subscribe).is_ok());
}

#[test]
fn d9_frames_of_several_topics_go_in_the_order_of_their_publishing() {
    let mut bench = Bench::new();
    bench.declare("/a", history());
    bench.declare("/b", history());
    let id = bench.open(&["/b", "/a"], Start::Now);
    bench.pump();
    bench.read(id);
    for (topic, data) in [("/a", "1"), ("/b", "2"), ("/b", "3"), ("/a", "4")] {
        bench.publish(topic, data);
    }
    bench.pump();
    let frames = [1, 2, 3, 4].map(|n| format!("data: {n}\nid: 1-{n}\n\n"));
    assert_eq!(bench.read(id), frames.concat());
}

#[test]
fn i6_a_stream_is_primed_and_its_snapshots_carry_no_id() {
    let mut bench = Bench::new();
    bench.declare(
        "/a",
        TopicOptions {
            dedupe: true,
            ..history()
        },
    );
    bench.declare("/b", history());
    bench.publish("/a", "value");
    bench.publish("/b", "before");
    let id = bench.open(&["/a", "/b"], Start::Now);
    bench.publish("/b", "after");
    bench.pump();
    assert_eq!(
        bench.read(id),
        ":\n\ndata: value\n\nid: 1-2\n\ndata: after\nid: 1-3\n\n"
    );
}

#[test]
fn d10_i7_resume_tells_a_gap_unless_nothing_can_be_gone() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 2,
            ..history()
        },
    );
    for number in 1..=4 {
        bench.publish("/t", &number.to_string());
    }
    let rest = "data: 3\nid: 1-3\n\ndata: 4\nid: 1-4\n\n";
    let gap = |why: &str| {
        format!(
            "event: sse-gap\ndata: {{\"topic\":\"/t\",\"missed\":null,\"why\":\"{why}\"}}\nid: 1-2\n\n"
        )
    };
    for (last, expected) in [
        ("1-4", String::new()),
        ("1-3", "data: 4\nid: 1-4\n\n".into()),
        ("1-2", rest.into()),
        ("1-1", gap("expired") + rest),
        ("1-5", gap("ahead") + rest),
        ("2-3", gap("epoch") + rest),
        ("nonsense", gap("unknown") + rest),
    ] {
        let id = bench.open(&["/t"], Start::After(last.to_string().into()));
        bench.pump();
        assert_eq!(bench.read(id), format!(":\n\n{expected}"), "after {last}");
    }
    assert_eq!(bench.state.stats().gaps, 4);
}

#[test]
fn a_log_with_history_outlives_its_last_subscriber_for_its_retention() {
    let mut bench = Bench::new();
    let options = history();
    let join = |subscribe: &mut Subscribe| {
        subscribe.topics[0].options = Some(std::sync::Arc::new(options.clone()));
    };
    let a = bench.open_with(&["/t"], join);
    bench.publish("/t", "1");
    bench.pump();
    bench.state.peer_gone(bench.now, a).unwrap();
    bench.pass(30 * SECOND);
    assert_eq!(bench.publish("/t", "2").streams, 0);
    let b = bench.open(&["/t"], Start::After(b"1-1"[..].into()));
    bench.pump();
    assert_eq!(bench.read(b), ":\n\ndata: 2\nid: 1-2\n\n");
    bench.state.peer_gone(bench.now, b).unwrap();
    bench.pass(60 * SECOND);
    assert_eq!(bench.state.stats().topics, 0);
}

#[test]
fn s1_s3_shutdown_drains_says_farewell_and_ends_in_order() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let (fast, stuck) = (
        bench.open(&["/t"], Start::Now),
        bench.open(&["/t"], Start::Now),
    );
    bench.pump();
    bench.readers.insert(stuck, Reader::Bytes(2));
    bench.publish("/t", "last words");
    let opening = bench.accept();
    bench
        .state
        .shutdown(bench.now, Some(3 * SECOND), ShutdownCause::Asked);
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 1", "stop /t 1 Shutdown"]);
    let text = bench.read(fast);
    let farewell = text
        .strip_prefix(":\n\ndata: last words\n\nretry: ")
        .unwrap();
    let millis: u64 = farewell.strip_suffix("\n\n").unwrap().parse().unwrap();
    assert!((2000..=4000).contains(&millis));
    // Refused from here on, but an opening may still be answered.
    assert_eq!(bench.state.accept(bench.now), Err(Error::ShuttingDown));
    let publish = bench
        .state
        .publish(bench.now, "/t", frame("x"), Room::Evict);
    assert_eq!(publish, Err(Error::ShuttingDown));
    bench
        .state
        .answer(bench.now, opening, b"busy"[..].into())
        .unwrap();
    bench.pump();
    assert_eq!(bench.read(opening), "busy");
    bench.state.peer_gone(bench.now, fast).unwrap();
    bench.state.peer_gone(bench.now, opening).unwrap();
    bench.pass(3 * SECOND - Duration::from_nanos(1));
    assert!(!bench.state.is_terminated());
    bench.controls();
    bench.pass(Duration::from_nanos(1));
    assert_eq!(
        bench.closes(),
        [(stuck, CloseReason::Shutdown, Ending::Cut)]
    );
    assert!(bench.state.is_terminated());
    assert_eq!(bench.state.poll_timeout(), None);
    bench.pass(1000 * SECOND);
    assert!(bench.state.is_terminated(), "it stays so");
}

#[test]
fn the_peer_has_two_seconds_to_go_after_a_finish() {
    let mut bench = Bench::new();
    let id = bench.accept();
    bench.state.answer(bench.now, id, b"no"[..].into()).unwrap();
    bench.pump();
    assert_eq!(bench.controls(), [Control::Finish { id }]);
    bench.pass(2 * SECOND - Duration::from_nanos(1));
    assert_eq!(bench.closes(), []);
    bench.pass(Duration::from_millis(135));
    assert_eq!(
        bench.closes(),
        [(id, CloseReason::Answered, Ending::Orderly)]
    );
}

#[test]
fn b7_the_oldest_opening_is_evicted_and_no_stream_ever() {
    let mut bench = Bench::with(Config {
        openings: 2,
        ..Config::new(Epoch(1))
    });
    let stream = bench.open(&["/t"], Start::Now);
    let (oldest, _) = (bench.accept(), bench.accept());
    bench.accept();
    bench.pump();
    assert_eq!(
        bench.closes(),
        [(oldest, CloseReason::Evicted, Ending::Cut)]
    );
    assert!(bench.state.is_live(stream));
}

#[test]
fn p5_no_head_by_its_deadline_is_closed_a_decision_too_and_a_body_by_its_own() {
    let mut bench = Bench::new();
    let (head, deciding, body) = (bench.accept(), bench.accept(), bench.accept());
    bench.state.head_done(bench.now, deciding).unwrap();
    bench.pass(5 * SECOND);
    bench.state.head_done(bench.now, body).unwrap();
    bench.state.body(bench.now, body, 100).unwrap();
    bench.pass(5 * SECOND + Duration::from_millis(134));
    let timeout = |id| (id, CloseReason::HeadTimeout, Ending::Cut);
    let mut closes = bench.closes();
    closes.sort_by_key(|close| close.0);
    assert_eq!(closes, [timeout(head), timeout(deciding)]);
    bench.pass(5 * SECOND - Duration::from_millis(134));
    assert_eq!(
        bench.closes(),
        [(body, CloseReason::BodyTimeout, Ending::Cut)]
    );
}

#[test]
fn streams_end_with_their_source_only_where_the_route_says_so() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let ends = bench.open_with(&["/t"], |subscribe| subscribe.end_when_finished = true);
    let stays = bench.open(&["/t"], Start::Now);
    bench.pump();
    let controls = bench.controls();
    let Some(Control::StartSource { token, .. }) = controls.first() else {
        panic!("the source starts");
    };
    bench
        .state
        .feed(bench.now, *token, frame("done"), Room::Evict)
        .unwrap();
    bench
        .state
        .source_ended(bench.now, *token, SourceEnd::Finished)
        .unwrap();
    bench.pump();
    assert_eq!(
        bench.read(ends),
        ":\n\ndata: done\n\nevent: sse-end\ndata: {}\n\n"
    );
    assert_eq!(bench.read(stays), ":\n\ndata: done\n\n");
    bench.state.peer_gone(bench.now, ends).unwrap();
    bench.pump();
    assert_eq!(
        bench.closes(),
        [(ends, CloseReason::Finished, Ending::Orderly)]
    );
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
fn s3_an_end_that_is_decided_in_flight_still_says_farewell() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| {
        subscribe.lifetime = Some(Duration::from_millis(1300));
    });
    bench.now = Time::from_millis(1000);
    bench.state.handle_timeout(bench.now);
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        panic!("the first bytes are due");
    };
    bench.now = Time::from_millis(2000);
    bench.state.handle_timeout(bench.now);
    bench.pump();
    let bytes = run.len() as u32;
    bench.state.report(
        bench.now,
        &[Report {
            id,
            bytes,
            socket: Socket::Ready,
        }],
    );
    bench.pump();
    assert!(bench.read(id).starts_with("retry: "));
    assert_eq!(bench.controls(), [Control::Finish { id }]);
}

#[test]
fn nothing_follows_the_end_event() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let id = bench.open_with(&["/t"], |subscribe| subscribe.end_when_finished = true);
    bench.pump();
    let controls = bench.controls();
    let Some(Control::StartSource { token, .. }) = controls.first() else {
        panic!("the source starts");
    };
    bench.readers.insert(id, Reader::Bytes(3));
    bench
        .state
        .source_ended(bench.now, *token, SourceEnd::Finished)
        .unwrap();
    bench.pump();
    bench.publish("/t", "too late");
    bench.writable(id, Reader::Fast);
    assert_eq!(bench.read(id), ":\n\nevent: sse-end\ndata: {}\n\n");
}

#[test]
fn a1_a_harder_end_revokes_what_was_to_be_drained() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "pending");
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    bench.pump();
    assert_eq!(bench.read(id), ":\n\n");
    assert_eq!(bench.controls(), [Control::Finish { id }]);
}

#[test]
fn i4_a_peer_that_goes_twice_gets_its_close() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.pump();
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.pump();
    assert_eq!(bench.closes(), [(id, CloseReason::Asked, Ending::Orderly)]);
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
fn a1_a_mounted_stream_that_is_never_pulled_ends_with_its_grant() {
    let mut bench = Bench::new();
    let mut subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    subscribe.expires = Some(Time::from_millis(1500));
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    bench.pass(2 * SECOND);
    assert_eq!(
        bench.closes(),
        [(id, CloseReason::Expired, Ending::Orderly)]
    );
}

#[test]
fn d4_what_is_published_after_an_end_was_decided_is_for_others() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.publish("/t", "before");
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.publish("/t", "after");
    bench.pump();
    let text = bench.read(id);
    assert!(text.starts_with(":\n\ndata: before\n\nretry: "), "{text}");
}

#[test]
fn i6_nothing_carries_an_id_before_a_stream_is_primed() {
    let mut bench = Bench::new();
    bench.declare(
        "/a",
        TopicOptions {
            dedupe: true,
            log_frames: 1,
            ..history()
        },
    );
    bench.publish("/a", "old");
    let id = bench.open(&["/a"], Start::Now);
    bench.publish("/a", "new");
    bench.pump();
    let gap = "event: sse-gap\ndata: {\"topic\":\"/a\",\"missed\":1,\"why\":\"slow\"}\n\n";
    assert_eq!(
        bench.read(id),
        format!(":\n\n{gap}id: 1-1\n\ndata: new\nid: 1-2\n\n")
    );
}

#[test]
fn i3_a_peer_that_goes_before_its_close_was_pulled_is_dead_at_once() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.state.close(bench.now, id, CloseHow::Cut).unwrap();
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.pump();
    assert_eq!(bench.controls(), []);
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
fn a1_a_grant_that_is_over_before_a_drain_revokes_what_is_pending() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| {
        subscribe.expires = Some(Time::from_millis(500));
    });
    bench.pump();
    bench.publish("/t", "too late");
    bench.now = Time::from_millis(600);
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.pump();
    assert_eq!(bench.read(id), ":\n\n");
}

#[test]
fn s3_a_life_that_is_over_does_not_end_a_drain() {
    let mut bench = Bench::new();
    bench.declare("/t", fed());
    let mut subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    subscribe.end_when_finished = true;
    subscribe.retry = false;
    subscribe.lifetime = Some(5 * SECOND);
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    bench.pump();
    bench.state.pull(bench.now, id).unwrap();
    bench.state.stop_source(bench.now, "/t").unwrap();
    bench.pump();
    bench.pass(6 * SECOND);
    let end = b"event: sse-end\ndata: {}\n\n"[..].into();
    assert_eq!(bench.state.pull(bench.now, id), Ok(Pulled::Run(end)));
}

#[test]
fn s3_a_life_that_ends_shortly_before_its_grant_says_farewell() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| {
        subscribe.lifetime = Some(2 * SECOND);
        subscribe.expires = Some(Time::from_millis(3000));
    });
    bench.pass(2 * SECOND + Duration::from_millis(134));
    assert!(bench.read(id).starts_with(":\n\nretry: "));
}

#[test]
fn l10_a_publish_is_not_for_one_that_is_drained_and_does_not_wait_for_it() {
    let mut bench = Bench::new();
    bench.declare(
        "/t",
        TopicOptions {
            log_frames: 1,
            ..TopicOptions::default()
        },
    );
    let id = bench.open(&["/t"], Start::Now);
    bench.readers.insert(id, Reader::Bytes(0));
    bench.pump();
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.pump();
    assert_eq!(bench.publish("/t", "1").streams, 0);
    let wait = bench.state.publish(bench.now, "/t", frame("2"), Room::Wait);
    assert!(wait.is_ok(), "{wait:?}");
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

#[test]
fn r2_a_clone_does_in_each_step_what_its_original_does() {
    let mut bench = Bench::new();
    for topic in 0..5 {
        bench.open(&[&format!("/{topic}")], Start::Now);
    }
    let mut one = bench.state;
    let mut other = one.clone();
    for state in [&mut one, &mut other] {
        state.shutdown(Time::ZERO, None, ShutdownCause::Asked);
    }
    for _ in 0..40 {
        assert_eq!(one.digest(), other.digest(), "R2");
        struct Nobody;
        impl Sink for Nobody {
            fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
                Answer::All
            }
            fn control(&mut self, _: Control) {}
        }
        assert_eq!(one.pump(1, &mut Nobody), other.pump(1, &mut Nobody));
    }
}
