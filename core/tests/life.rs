//! The lives of sources and topics, and what a newcomer gets: one named test per rule that is easy to break.

mod common;

use std::time::Duration;

use common::{Bench, SECOND, frame};
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

/// The floor of a topic that was made later is the seq of another topic's frame: that comes first, or an id
/// would cover what was not sent.
#[test]
fn i6_the_notice_of_a_gap_never_covers_a_frame_that_is_still_to_come() {
    let mut bench = Bench::new();
    bench.declare("/c", history());
    bench.publish("/c", "one");
    bench.declare("/b", history());
    let id = bench.open(&["/b", "/c"], Start::After(b"1-0"[..].into()));
    bench.pump();
    let gap =
        "event: sse-gap\ndata: {\"topic\":\"/b\",\"missed\":null,\"why\":\"expired\"}\nid: 1-1\n\n";
    assert_eq!(bench.read(id), format!(":\n\ndata: one\nid: 1-1\n\n{gap}"));
}

/// An id says where a stream was in the topics with history; what else it follows begins now, whatever
/// the log holds for others.
#[test]
fn i6_an_id_resumes_nothing_without_history() {
    for after in ["1-0", "1-x"] {
        let mut bench = Bench::new();
        bench.declare("/h", history());
        bench.declare("/n", TopicOptions::default());
        bench.open(&["/n"], Start::Now);
        bench.publish("/n", "past");
        bench.publish("/h", "missed");
        for topics in [&["/n"][..], &["/h", "/n"]] {
            let id = bench.open(topics, Start::After(after.into()));
            bench.publish("/n", "new");
            bench.pump();
            let read = bench.read(id);
            assert_eq!(read.contains("missed"), topics.len() == 2, "{read}");
            assert!(read.contains("new") && !read.contains("past"), "{read}");
            assert!(!read.contains("\"/n\""), "{after}: {read}");
        }
    }
}

/// A life is an eighth shorter at most, and not the same for all that came at once.
#[test]
fn l6_lifetimes_are_spread() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.open_with(&["/t"], |subscribe| subscribe.lifetime = Some(80 * SECOND));
    }
    let mut left = Vec::new();
    for pause in [69, 6, 6] {
        bench.pass(pause * SECOND);
        left.push(bench.state.stats().streams);
    }
    assert_eq!(left[0], 40);
    assert!((5..=35).contains(&left[1]), "{left:?}");
    assert_eq!(left[2], 0);
}

#[test]
fn what_comes_and_goes_is_counted() {
    let mut bench = Bench::new();
    for streams in 1..=3 {
        let id = bench.open(&["/t"], Start::Now);
        let Some(Action::Write { .. }) = bench.state.poll_action() else {
            panic!("its first bytes are due");
        };
        bench.state.peer_gone(bench.now, id).unwrap();
        bench.open(&["/t"], Start::Now);
        assert_eq!(bench.state.pump(64, &mut Gone), Pumped::Idle);
        let stats = bench.state.stats();
        assert_eq!((stats.subscribed, stats.gone), (2 * streams, 2 * streams));
    }
}

/// Every peer is gone.
struct Gone;

impl Sink for Gone {
    fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
        Answer::Gone
    }

    fn control(&mut self, _: Control) {}
}
