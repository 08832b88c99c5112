//! How streams and the machine end, and who is told: one named test per rule that is easy to break.

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
fn w2_a_harder_end_has_no_time_of_its_own() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(id, Reader::Bytes(3));
    bench.publish("/t", "begun");
    bench.pump();
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.pass(20 * SECOND);
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    // Bytes are taken, so it does not stall; but the end has one write timeout, thirty seconds.
    bench.writable(id, Reader::Bytes(3));
    bench.pass(9 * SECOND);
    assert_eq!(bench.closes(), []);
    bench.pass(2 * SECOND);
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
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
fn i3_a_peer_that_goes_before_its_close_was_pulled_is_dead_at_once() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.state.close(bench.now, id, CloseHow::Cut).unwrap();
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.pump();
    assert_eq!(bench.controls(), []);
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

#[test]
fn b9_what_is_in_flight_when_a_stream_is_stopped_is_counted_once() {
    let mut bench = Bench::new();
    let told = TopicOptions {
        log_frames: 1,
        notice: Some(true),
        ..TopicOptions::default()
    };
    bench.declare("/t", told);
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    for data in ["a", "b", "c"] {
        bench.publish("/t", data);
    }
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        panic!("nothing is lent")
    };
    assert!(run.starts_with(b"event: sse-gap\ndata: {\"topic\":\"/t\",\"missed\":2"));
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    bench.pump();
    let report = Report {
        id,
        bytes: run.len() as u32,
        socket: Socket::Ready,
    };
    assert_eq!(bench.state.report(bench.now, &[report]), 0);
    bench.pump();
    let stats = bench.state.stats();
    let counted = (stats.delivered, stats.missed, stats.abandoned);
    assert_eq!(counted, (1, 2, 0), "B9: three were published");
}

/// Asked to end a second time, and no harder, it goes on as it was: nothing newer is drained, and nothing
/// that was to be stopped is drained again.
#[test]
fn l7_an_end_that_is_no_harder_changes_nothing() {
    for (first, drained) in [(CloseHow::Drain, true), (CloseHow::Stop, false)] {
        let mut bench = Bench::new();
        let id = bench.open(&["/t"], Start::Now);
        bench.readers.insert(id, Reader::Bytes(1));
        bench.pump();
        bench.publish("/t", "before");
        bench.state.close(bench.now, id, first).unwrap();
        bench.publish("/t", "between");
        bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
        bench.writable(id, Reader::Fast);
        let read = bench.read(id);
        assert_eq!(read.contains("before"), drained, "{read}");
        assert!(!read.contains("between"), "{read}");
    }
}

/// A grant ends at its time, not at the end of the granule in which the deadline comes up.
#[test]
fn a1_the_usual_turn_looks_at_the_grant() {
    for (millis, lent) in [(499, true), (500, false), (501, false)] {
        let mut bench = Bench::new();
        let id = bench.open_with(&["/t"], |subscribe| {
            subscribe.expires = Some(Time::from_millis(500));
        });
        bench.pump();
        bench.read(id);
        bench.now = Time::from_millis(millis);
        bench.publish("/t", "x");
        bench.pump();
        assert_eq!(bench.read(id) == "data: x\n\n", lent, "at {millis} ms");
    }
}
