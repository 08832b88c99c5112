//! Things that come together: deadlines in one pump, an end during an end, a call between two actions.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, Reader, SECOND, frame, name};
use sse_state::*;

fn asked() -> (Option<Duration>, ShutdownCause) {
    (Some(Duration::from_secs(5)), ShutdownCause::Asked)
}

/// Time passes without a pump in between.
fn jump(bench: &mut Bench, by: Duration) {
    bench.now = bench.now + by;
    bench.state.handle_timeout(bench.now);
}

fn mount(bench: &mut Bench) -> SubscriberId {
    let subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    bench.state.subscribe(bench.now, &subscribe).unwrap()
}

#[test]
fn s3_a_blocked_stream_is_cut_by_the_end_of_grace_and_not_by_its_own() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.readers.insert(id, Reader::Bytes(3));
    bench.publish("/t", "x");
    bench.pump();
    let (grace, cause) = asked();
    bench.state.shutdown(bench.now, grace, cause);
    bench.pump();
    assert_eq!(bench.closes(), []);
    // Grace, write timeout and everything else are over at once.
    jump(&mut bench, Duration::from_secs(100));
    bench.pump();
    assert_eq!(bench.closes(), [(id, CloseReason::Shutdown, Ending::Cut)]);
    assert_eq!(bench.state.stats().closed_for(CloseReason::Shutdown), 1);
    assert_eq!(bench.state.stats().closed_for(CloseReason::Stalled), 0);
    assert!(bench.state.is_terminated());
}

#[test]
fn s3_a_finish_that_nobody_pulled_until_grace_is_over_is_closed_at_once() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    let (grace, cause) = asked();
    bench.state.shutdown(bench.now, grace, cause);
    jump(&mut bench, Duration::from_secs(6));
    bench.pump();
    let controls = bench.controls();
    let close = Control::Close {
        id,
        reason: CloseReason::Asked,
        ending: Ending::Orderly,
    };
    assert_eq!(controls, [Control::Finish { id }, close]);
    assert!(bench.state.is_terminated());
}

#[test]
fn a1_a_key_that_was_closed_before_a_shutdown_gets_no_farewell() {
    let mut bench = Bench::new();
    let id = bench.open_with(&["/t"], |subscribe| subscribe.key = Some(name("ann")));
    let other = bench.open_with(&["/t"], |subscribe| subscribe.key = Some(name("bob")));
    bench.pump();
    bench.read(id);
    bench.read(other);
    bench.publish("/t", "x");
    assert_eq!(bench.state.close_key(bench.now, &name("ann")), Ok(1));
    let (grace, cause) = asked();
    bench.state.shutdown(bench.now, grace, cause);
    assert_eq!(
        bench.state.close_key(bench.now, &name("bob")),
        Err(Error::ShuttingDown)
    );
    bench.pump();
    assert_eq!(bench.read(id), "");
    let farewell = bench.read(other);
    assert!(farewell.starts_with("data: x\n\nretry: "), "{farewell}");
    for id in [id, other] {
        bench.state.peer_gone(bench.now, id).unwrap();
    }
    bench.pump();
    let (asked, shutdown) = (CloseReason::Asked, CloseReason::Shutdown);
    let closes = bench.closes();
    assert_eq!(
        closes,
        [
            (id, asked, Ending::Orderly),
            (other, shutdown, Ending::Orderly)
        ]
    );
    assert!(bench.state.is_terminated());
}

#[test]
fn i4_a_mounted_stream_whose_close_is_due_pulls_nothing_more() {
    let mut bench = Bench::new();
    let id = mount(&mut bench);
    bench.pump();
    assert_eq!(bench.controls(), [Control::Wake { id }]);
    bench.publish("/t", "x");
    jump(&mut bench, Duration::from_secs(40));
    // One visit: its deadline fires. Its close is the next.
    let mut none = Refuses;
    assert_eq!(bench.state.pump(1, &mut none), Pumped::More);
    assert_eq!(bench.state.stats().streams, 0);
    assert_eq!(bench.state.pull(bench.now, id), Ok(Pulled::Nothing));
    bench.state.check_invariants();
    bench.pump();
    assert_eq!(bench.closes(), [(id, CloseReason::Stalled, Ending::Cut)]);
    assert_eq!(bench.state.pull(bench.now, id), Err(Error::Stale));
}

/// Expects no action.
struct Refuses;

impl Sink for Refuses {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        panic!("{id}: {run:?}")
    }

    fn control(&mut self, control: Control) {
        panic!("{control:?}")
    }
}

#[test]
fn b7_accept_is_refused_while_closes_are_not_pulled() {
    let mut bench = Bench::with(Config {
        subscribers: 1,
        openings: 1,
        deciding: 1,
        finishing: 1,
        ..Config::new(Epoch(1))
    });
    for _ in 0..4 {
        bench.accept();
    }
    let digest = bench.state.digest();
    let full = Err(Error::Full(Bound::Subscribers));
    assert_eq!(bench.state.accept(bench.now + SECOND), full);
    let subscribe = Subscribe::new(Via::Mounted { asked: 0 }, name("/t"));
    assert_eq!(bench.state.subscribe(bench.now, &subscribe), full);
    assert_eq!(bench.state.digest(), digest, "R5");
    assert_eq!(
        (bench.state.stats().openings, bench.state.stats().accepted),
        (1, 4)
    );
    bench.pump();
    assert_eq!(bench.closes().len(), 3, "the oldest three were evicted");
    bench.accept();
}

#[test]
fn an_empty_answer_is_an_end() {
    let mut bench = Bench::new();
    let id = bench.accept();
    bench.state.answer(bench.now, id, "".into()).unwrap();
    bench.pump();
    assert_eq!(bench.controls(), [Control::Finish { id }]);
    assert_eq!(bench.read(id), "");
    assert_eq!(
        bench.state.answer(bench.now, id, "x".into()),
        Err(Error::Phase)
    );
}

#[test]
fn l8_a_result_that_cannot_be_published_leaves_its_poll_in_flight() {
    let mut bench = Bench::with(Config {
        frame_bytes: 100,
        ..Config::new(Epoch(1))
    });
    let every = SourceKind::Interval(SECOND);
    bench.declare("/t", TopicOptions::polled(every));
    bench.open(&["/t"], Start::Now);
    bench.pump();
    let (token, number) = bench.poll();
    let tell = |bench: &mut Bench, outcome| {
        let (now, next) = (bench.now, Next::GoOn);
        bench.state.poll_result(now, token, number, outcome, next)
    };
    let digest = bench.state.digest();
    let large = PollOutcome::Frame(frame(&"x".repeat(100)));
    assert_eq!(tell(&mut bench, large), Err(Error::Full(Bound::Frame)));
    assert_eq!(bench.state.digest(), digest, "R5");
    assert_eq!(bench.state.stats().polls_in_flight, 1);
    let none = Published {
        streams: 1,
        id: None,
        unchanged: true,
    };
    assert_eq!(tell(&mut bench, PollOutcome::Unchanged), Ok(none));
    assert_eq!(bench.state.stats().polls_in_flight, 0);
    assert_eq!(tell(&mut bench, PollOutcome::Unchanged), Err(Error::Stale));
}

#[test]
fn what_cannot_be_joined_or_declared_leaves_no_trace() {
    let mut bench = Bench::with(Config {
        name_bytes: 5,
        ..Config::new(Epoch(1))
    });
    let both = TopicOptions {
        own_ids: true,
        history: true,
        ..TopicOptions::default()
    };
    let wrong = Error::Options(OptionsError::OwnIdsWithHistory);
    let digest = bench.state.digest();
    let mut declare = |topic: &str, options: &TopicOptions| {
        let options = Arc::new(options.clone());
        bench.state.declare(bench.now, &name(topic), options)
    };
    assert_eq!(
        declare("/long1", &TopicOptions::default()),
        Err(Error::Full(Bound::Name))
    );
    assert_eq!(declare("/t", &both), Err(wrong));
    let mut join = |topics: Vec<(&str, Option<&TopicOptions>)>| {
        let topics = topics.into_iter().map(|(topic, options)| Join {
            topic: name(topic),
            options: options.cloned().map(Arc::new),
        });
        let subscribe = Subscribe {
            topics: topics.collect(),
            ..Subscribe::new(Via::Mounted { asked: 0 }, name("/t"))
        };
        bench.state.subscribe(bench.now, &subscribe).map(drop)
    };
    assert_eq!(join(vec![("/t", Some(&both))]), Err(wrong));
    assert_eq!(join(vec![]), Err(Error::Topics));
    assert_eq!(
        join(vec![("/a", None), ("/b", None), ("/a", None)]),
        Err(Error::Topics)
    );
    assert_eq!(
        join(vec![("/a", None), ("/long1", None)]),
        Err(Error::Full(Bound::Name))
    );
    assert_eq!(bench.state.digest(), digest, "R5");
    assert_eq!(bench.state.stats().topics, 0);
}

#[test]
fn h1_a_comment_comes_after_the_silence_that_the_stream_asks_for() {
    let mut bench = Bench::new();
    let every = Duration::from_secs(3);
    let asked = bench.open_with(&["/t"], |stream| {
        stream.heartbeat = Heartbeat::Comment(every)
    });
    let usual = bench.open_with(&["/t"], |stream| {
        stream.heartbeat = Heartbeat::Comment(Duration::ZERO);
    });
    let zero = bench.open_with(&["/t"], |stream| {
        stream.heartbeat = Heartbeat::Event(Duration::ZERO);
    });
    let event = bench.open_with(&["/t"], |stream| stream.heartbeat = Heartbeat::Event(every));
    let never = bench.open_with(&["/t"], |stream| stream.heartbeat = Heartbeat::Off);
    bench.pass(Duration::from_secs(12));
    let text = bench.read(asked);
    assert!(
        (4..=5).contains(&text.matches(":\n\n").count()),
        "the first, and three or four: {text:?}"
    );
    let text = bench.read(event);
    let beats = text.matches("event: sse-heartbeat\ndata: {}\n\n").count();
    assert!((3..=4).contains(&beats), "{text:?}");
    assert_eq!(bench.read(usual), ":\n\n", "zero is the default");
    assert_eq!(bench.read(zero), ":\n\n");
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.read(usual), ":\n\n");
    assert_eq!(bench.read(zero), "event: sse-heartbeat\ndata: {}\n\n");
    assert_eq!(bench.read(never), ":\n\n");
}

#[test]
fn a_close_of_one_that_ends_makes_its_end_harder_or_nothing() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    // Its finish is due, and then pulled: only a cut is harder.
    for pulled in [false, true] {
        if pulled {
            bench.pump();
            assert_eq!(bench.controls(), [Control::Finish { id }]);
        }
        for how in [CloseHow::Stop, CloseHow::Drain] {
            bench.state.close(bench.now, id, how).unwrap();
            bench.state.check_invariants();
        }
    }
    let due = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.close(bench.now, due, CloseHow::Stop).unwrap();
    bench.state.close(bench.now, due, CloseHow::Cut).unwrap();
    bench.pump();
    let cut = (CloseReason::Asked, Ending::Cut);
    assert_eq!(bench.closes(), [(due, cut.0, cut.1)], "and no finish");
    for _ in 0..2 {
        bench.state.close(bench.now, id, CloseHow::Cut).unwrap();
    }
    bench.pump();
    assert_eq!(bench.closes(), [(id, CloseReason::Asked, Ending::Cut)]);
    assert_eq!(
        bench.state.close(bench.now, id, CloseHow::Cut),
        Err(Error::Stale)
    );
}

#[test]
fn a1_a_mounted_stream_pulls_nothing_after_its_grant() {
    let mut bench = Bench::new();
    let subscribe = Subscribe {
        expires: Some(Time::from_millis(5000)),
        ..Subscribe::new(Via::Mounted { asked: 0 }, name("/t"))
    };
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    bench.pump();
    bench.publish("/t", "x");
    bench.now = Time::from_millis(5000);
    assert_eq!(bench.state.pull(bench.now, id), Ok(Pulled::Nothing));
    assert_eq!(bench.state.stats().abandoned, 1);
    bench.controls();
    bench.pump();
    assert_eq!(
        bench.closes(),
        [(id, CloseReason::Expired, Ending::Orderly)]
    );
}

#[test]
fn a1_a_grant_is_refused_if_its_key_was_closed_since_it_began_however_long_ago() {
    let mut bench = Bench::new();
    let grant = |bench: &mut Bench, key: &str, asked| {
        let subscribe = Subscribe {
            key: Some(name(key)),
            ..Subscribe::new(Via::Mounted { asked }, name("/t"))
        };
        bench.state.subscribe(bench.now, &subscribe).map(drop)
    };
    assert_eq!(bench.state.asked(), 0);
    for call in 1..=1024 {
        let closed = bench.state.close_key(bench.now, &name(&format!("k{call}")));
        assert_eq!(closed, Ok(0));
        assert_eq!(bench.state.asked(), call);
    }
    assert_eq!(grant(&mut bench, "k1", 0), Err(Error::Closed));
    assert_eq!(grant(&mut bench, "k1", 1), Ok(()));
    assert_eq!(grant(&mut bench, "k1024", 1023), Err(Error::Closed));
    assert_eq!(grant(&mut bench, "k1024", 1024), Ok(()));
    assert_eq!(grant(&mut bench, "other", 0), Ok(()));
    // The list is full: the first call leaves it, and with it whoever began before that.
    assert_eq!(bench.state.close_key(bench.now, &name("last")), Ok(0));
    assert_eq!(grant(&mut bench, "other", 0), Err(Error::Closed));
    assert_eq!(grant(&mut bench, "other", 1), Ok(()));
    assert_eq!(grant(&mut bench, "k2", 1), Err(Error::Closed));
    assert_eq!(grant(&mut bench, "k2", 2), Ok(()));
}

#[test]
fn a1_of_many_keys_one_is_closed() {
    let mut bench = Bench::new();
    let keys: Vec<String> = (0..100).map(|key| format!("key {key}")).collect();
    for key in keys.iter().chain(&keys) {
        bench.open_with(&["/t"], |subscribe| subscribe.key = Some(name(key)));
    }
    bench.pump();
    assert_eq!(bench.state.close_key(bench.now, &name("key 42")), Ok(2));
    assert_eq!(
        bench.state.close_key(bench.now, &name("key 42")),
        Ok(0),
        "once"
    );
    assert_eq!(bench.state.close_key(bench.now, &name("key 100")), Ok(0));
    bench.pump();
    assert_eq!(bench.state.stats().streams, 198);
    for key in &keys[43..] {
        assert_eq!(bench.state.close_key(bench.now, &name(key)), Ok(2), "{key}");
    }
}

#[test]
fn r1_any_bytes_of_an_answer_are_part_of_the_digest() {
    let digest = |answer: &'static [u8]| {
        let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
        let id = state.accept(Time::ZERO).unwrap();
        state.answer(Time::ZERO, id, answer.into()).unwrap();
        state.digest()
    };
    let answers: [&[u8]; 8] = [
        b"id: 2-5\n",
        b"id: 2-6\n",
        b"retry: \xff\n",
        b"retry: \xfe\n",
        b"retry: x\n",
        b"retry: 1\n",
        b"retry: 2\n",
        b"retry: 2",
    ];
    let digests = answers.map(digest);
    for (at, one) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(one), "{:?}", answers[at]);
    }
}

#[test]
fn l9_a_fresh_source_that_is_wanted_when_everything_ends_is_not_started() {
    let mut bench = Bench::new();
    let source = SourceKind::External;
    bench.declare(
        "/t",
        TopicOptions {
            source,
            ..TopicOptions::default()
        },
    );
    let first = bench.open(&["/t"], Start::Now);
    bench.pump();
    assert_eq!(bench.lives(), ["start /t 1"]);
    bench.state.stop_source(bench.now, "/t").unwrap();
    bench.state.peer_gone(bench.now, first).unwrap();
    bench.open(&["/t"], Start::Now);
    let (grace, cause) = asked();
    bench.state.shutdown(bench.now, grace, cause);
    bench.pump();
    assert_eq!(bench.lives(), ["stop /t 1 Asked"], "and no start after it");
    bench.pass(Duration::from_secs(6));
    assert!(bench.state.is_terminated());
    assert_eq!(bench.state.stats().sources_started, 1);
}

#[test]
fn s3_a_peer_that_was_finished_before_a_shutdown_keeps_its_time_to_go() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
    bench.pump();
    assert_eq!(bench.controls(), [Control::Finish { id }]);
    let (grace, cause) = asked();
    bench.state.shutdown(bench.now, grace, cause);
    bench.pass(SECOND);
    assert_eq!(bench.closes(), []);
    bench.pass(2 * SECOND);
    assert_eq!(bench.closes(), [(id, CloseReason::Asked, Ending::Orderly)]);
}

#[test]
fn s3_a_stream_that_trickles_has_all_of_a_long_grace() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", &"x".repeat(100));
    bench.readers.insert(id, Reader::Bytes(1));
    bench.pump();
    let grace = Some(Duration::from_secs(100));
    bench.state.shutdown(bench.now, grace, ShutdownCause::Asked);
    // The write timeout is 30 s, and each byte is progress.
    for _ in 0..9 {
        bench.pass(10 * SECOND);
        assert!(bench.state.is_live(id), "at {:?}", bench.now);
        bench.writable(id, Reader::Bytes(1));
    }
    bench.pass(11 * SECOND);
    assert_eq!(bench.closes(), [(id, CloseReason::Shutdown, Ending::Cut)]);
}

#[test]
fn r1_whose_stream_it_is_is_part_of_the_digest() {
    let digest = |key: Option<&str>| {
        let mut bench = Bench::new();
        bench.open_with(&["/t"], |subscribe| subscribe.key = key.map(name));
        bench.state.digest()
    };
    assert_ne!(digest(Some("ann")), digest(Some("bob")));
    assert_ne!(digest(Some("ann")), digest(None));
    assert_eq!(digest(Some("ann")), digest(Some("ann")));
}

#[test]
fn a_publish_that_nobody_wants_is_counted() {
    let mut bench = Bench::new();
    bench.publish("/nowhere", "x");
    bench.declare("/t", TopicOptions::default());
    bench.publish("/t", "x");
    let stats = bench.state.stats();
    assert_eq!((stats.unheard, stats.published), (2, 0));
}

#[test]
fn a_publish_that_evicts_nothing_does_not_wait_for_who_has_lagged() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_bytes: 100,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    // The second evicts the first, which the stream still needs; the third has room beside the second.
    for _ in 0..2 {
        bench.publish("/t", &"x".repeat(60));
    }
    let small = bench.state.publish(bench.now, "/t", frame("y"), Room::Wait);
    assert_eq!(small.map(|published| published.streams), Ok(1));
    let large = bench
        .state
        .publish(bench.now, "/t", frame(&"z".repeat(60)), Room::Wait);
    assert_eq!(large, Err(Error::Wait), "this one would evict the second");
    bench.pump();
    assert_eq!(bench.state.stats().missed, 1);
    assert!(bench.read(id).ends_with("xx\n\ndata: y\n\n"));
}
