//! B7: each bound at limit − 1, limit and limit + 1. At the limit a call is refused with its bound, the
//! state is as it was, and no running stream pays for it.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::bounds::{config, subscribe};
use common::{Bench, SECOND, name};
use sse_state::*;

/// Calls `limit` times with success, and is refused for this bound the next time, without a trace.
fn refused_past(
    bench: &mut Bench,
    limit: u32,
    bound: Bound,
    mut call: impl FnMut(&mut Bench, u32) -> Result<(), Error>,
) {
    for number in 1..=limit {
        assert_eq!(
            call(bench, number),
            Ok(()),
            "{number} of {limit}: {bound:?}"
        );
    }
    let (before, full) = (bench.state.digest(), bench.state.stats().refused_full);
    assert_eq!(
        call(bench, limit + 1),
        Err(Error::Full(bound)),
        "past {limit}"
    );
    assert_eq!(
        bench.state.digest(),
        before,
        "B7: a refused call left a trace: {bound:?}"
    );
    assert_eq!(bench.state.stats().refused_full, full + 1, "it is counted");
    bench.state.check_invariants();
}

#[test]
fn b7_subscribers() {
    let mut bench = Bench::with(Config {
        subscribers: 3,
        ..config()
    });
    refused_past(&mut bench, 3, Bound::Subscribers, |bench, _| {
        subscribe(bench, &["/t"], None)
    });
}

#[test]
fn b7_streams_per_key() {
    let mut bench = Bench::with(Config {
        streams_per_key: Some(2),
        ..config()
    });
    refused_past(&mut bench, 2, Bound::StreamsPerKey, |bench, _| {
        subscribe(bench, &["/t"], Some("ann"))
    });
    assert_eq!(
        subscribe(&mut bench, &["/t"], Some("bob")),
        Ok(()),
        "another key has its own"
    );
}

#[test]
fn b7_topics_per_subscriber() {
    let mut bench = Bench::with(Config {
        topics_per_subscriber: 3,
        ..config()
    });
    refused_past(
        &mut bench,
        3,
        Bound::TopicsPerSubscriber,
        |bench, number| subscribe(bench, &["/a", "/b", "/c", "/d"][..number as usize], None),
    );
}

#[test]
fn b7_topics_declared() {
    let mut bench = Bench::with(Config {
        topics: 3,
        ..config()
    });
    refused_past(&mut bench, 3, Bound::Topics, |bench, number| {
        let topic = name(&format!("/{number}"));
        bench
            .state
            .declare(bench.now, &topic, Arc::new(TopicOptions::default()))
    });
    assert_eq!(
        subscribe(&mut bench, &["/new"], None),
        Err(Error::Full(Bound::Topics))
    );
    assert_eq!(subscribe(&mut bench, &["/1"], None), Ok(()));
}

#[test]
fn b7_topics_by_request() {
    let mut bench = Bench::with(Config {
        topics_by_request: 2,
        ..config()
    });
    refused_past(&mut bench, 2, Bound::TopicsByRequest, |bench, number| {
        subscribe(bench, &[&format!("/{number}")], None)
    });
    // What exists may be joined, and several at once are counted together.
    assert_eq!(subscribe(&mut bench, &["/1"], None), Ok(()));
    let mut bench = Bench::with(Config {
        topics_by_request: 2,
        ..config()
    });
    let three = subscribe(&mut bench, &["/a", "/b", "/c"], None);
    assert_eq!(three, Err(Error::Full(Bound::TopicsByRequest)));
    assert_eq!(bench.state.stats().topics, 0, "all or none");
}

/// Declared ones and those made by requests count together, and one that is declared later is no longer
/// among those made by requests.
#[test]
fn b7_topics_of_both_kinds() {
    let mut bench = Bench::with(Config {
        topics: 4,
        topics_by_request: 2,
        ..config()
    });
    bench.declare("/declared", TopicOptions::default());
    refused_past(&mut bench, 2, Bound::TopicsByRequest, |bench, number| {
        subscribe(bench, &[&format!("/{number}")], None)
    });
    bench.declare("/1", TopicOptions::default());
    bench.declare("/2", TopicOptions::default());
    refused_past(&mut bench, 1, Bound::Topics, |bench, number| {
        subscribe(bench, &[&format!("/more{number}")], None)
    });
}

#[test]
fn b7_name_bytes() {
    let mut bench = Bench::with(Config {
        name_bytes: 4,
        ..config()
    });
    for (text, expected) in [
        ("/ab", Ok(())),
        ("/abc", Ok(())),
        ("/abcd", Err(Error::Full(Bound::Name))),
    ] {
        assert_eq!(subscribe(&mut bench, &[text], None), expected, "{text}");
        assert_eq!(
            subscribe(&mut bench, &["/"], Some(text)),
            expected,
            "key {text}"
        );
        let declared =
            bench
                .state
                .declare(bench.now, &name(text), Arc::new(TopicOptions::default()));
        assert_eq!(declared, expected, "{text}");
    }
}

#[test]
fn b7_sources() {
    let mut bench = Bench::with(Config {
        sources: 2,
        ..config()
    });
    let fed = TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    };
    for topic in ["/1", "/2", "/3"] {
        bench.declare(topic, fed.clone());
    }
    refused_past(&mut bench, 2, Bound::Sources, |bench, number| {
        subscribe(bench, &[&format!("/{number}")], None)
    });
    assert_eq!(
        subscribe(&mut bench, &["/1"], None),
        Ok(()),
        "one that runs may be joined"
    );
}

/// What starts nothing needs no room: a topic whose source still runs after its last stream, and one whose
/// source has ended while a stream stays.
#[test]
fn b7_sources_that_are_not_started() {
    let mut bench = Bench::with(Config {
        sources: 1,
        ..config()
    });
    let fed = TopicOptions {
        source: SourceKind::External,
        linger: SECOND,
        ..TopicOptions::default()
    };
    bench.declare("/ended", fed.clone());
    bench.declare("/lingers", fed);
    bench.open(&["/ended"], Start::Now);
    bench.pump();
    bench.state.stop_source(bench.now, "/ended").unwrap();
    bench.pump();
    let last = bench.open(&["/lingers"], Start::Now);
    bench.pump();
    bench.state.peer_gone(bench.now, last).unwrap();
    bench.pump();
    assert_eq!(bench.state.stats().sources, 1);
    assert_eq!(subscribe(&mut bench, &["/ended"], None), Ok(()));
    assert_eq!(subscribe(&mut bench, &["/lingers"], None), Ok(()));
}

/// A start that was never pulled gives its room back: to a stop, and to a shutdown.
#[test]
fn b7_sources_that_never_started() {
    let mut bench = Bench::new();
    let fed = TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    };
    for topic in ["/1", "/2", "/3"] {
        bench.declare(topic, fed.clone());
        bench.open(&[topic], Start::Now);
    }
    assert_eq!(bench.state.stats().sources, 3);
    bench.state.stop_source(bench.now, "/1").unwrap();
    assert_eq!(bench.state.stats().sources, 2);
    bench.state.shutdown(bench.now, None, ShutdownCause::Asked);
    bench.pump();
    assert_eq!(bench.state.stats().sources, 0);
    assert_eq!(bench.state.stats().sources_started, 0);
}

#[test]
fn b7_openings_and_b7_deciding() {
    let mut bench = Bench::with(Config {
        openings: 2,
        deciding: 2,
        ..config()
    });
    let first = bench.accept();
    bench.accept();
    bench.pump();
    assert!(bench.state.is_live(first), "at the limit nobody goes");
    let third = bench.accept();
    bench.pump();
    assert!(!bench.state.is_live(first), "past it the oldest does");
    let second = bench.state.head_done(bench.now, third);
    assert_eq!(second, Ok(()));
    let fourth = bench.accept();
    let deciding = [Ok(()), Err(Error::Full(Bound::Deciding))];
    for (expected, id) in deciding.into_iter().zip([fourth, bench.accept()]) {
        assert_eq!(bench.state.head_done(bench.now, id), expected);
    }
}

#[test]
fn b7_head_bytes_and_heads_bytes() {
    let mut bench = Bench::with(Config {
        head_bytes: 10,
        heads_bytes: 15,
        ..config()
    });
    let (a, b) = (bench.accept(), bench.accept());
    let held = |bench: &mut Bench, id, bytes| bench.state.head_held(bench.now, id, bytes);
    assert_eq!(held(&mut bench, a, 9), Ok(()));
    assert_eq!(held(&mut bench, a, 10), Ok(()));
    assert_eq!(held(&mut bench, a, 11), Err(Error::Full(Bound::Head)));
    assert_eq!(held(&mut bench, b, 4), Ok(()));
    assert_eq!(held(&mut bench, b, 5), Ok(()));
    assert_eq!(held(&mut bench, b, 6), Err(Error::Full(Bound::Heads)));
    bench.state.peer_gone(bench.now, a).unwrap();
    assert_eq!(
        held(&mut bench, b, 6),
        Ok(()),
        "what is given back can be used"
    );
    let long = Subscribe {
        head: vec![b'x'; 11].into(),
        ..Subscribe::new(Via::Connection(b), name("/t"))
    };
    assert_eq!(
        bench.state.subscribe(bench.now, &long),
        Err(Error::Full(Bound::Head))
    );
}

#[test]
fn b7_bodies_bytes() {
    let mut bench = Bench::with(Config {
        bodies_bytes: 10,
        ..config()
    });
    let body = |bench: &mut Bench, bytes| {
        let id = bench.accept();
        bench.state.head_done(bench.now, id).unwrap();
        (id, bench.state.body(bench.now, id, bytes))
    };
    let (first, done) = body(&mut bench, 9);
    assert_eq!(done, Ok(()));
    assert_eq!(body(&mut bench, 1).1, Ok(()));
    assert_eq!(body(&mut bench, 1).1, Err(Error::Full(Bound::Bodies)));
    bench
        .state
        .answer(bench.now, first, b"ok"[..].into())
        .unwrap();
    assert_eq!(
        body(&mut bench, 9).1,
        Ok(()),
        "what is given back can be used"
    );
}

#[test]
fn b7_finishing() {
    let mut bench = Bench::with(Config {
        finishing: 2,
        ..config()
    });
    let ids: Vec<_> = (0..3).map(|_| bench.accept()).collect();
    for &id in &ids {
        bench
            .state
            .answer(bench.now, id, b"bye"[..].into())
            .unwrap();
    }
    bench.pump();
    assert_eq!(
        bench.closes(),
        [(ids[0], CloseReason::Answered, Ending::Orderly)]
    );
    assert_eq!(bench.state.stats().finishing, 2);
}

#[test]
fn b7_polls() {
    let mut bench = Bench::with(Config {
        polls: 2,
        ..config()
    });
    for topic in ["/1", "/2", "/3"] {
        bench.declare(topic, TopicOptions::polled(SourceKind::Interval(SECOND)));
        assert_eq!(subscribe(&mut bench, &[topic], None), Ok(()));
    }
    bench.pump();
    assert_eq!(bench.state.stats().polls_in_flight, 2);
    let (token, number) = bench.poll();
    bench
        .state
        .poll_result(bench.now, token, number, PollOutcome::Unchanged, Next::GoOn)
        .unwrap();
    bench.pump();
    assert_eq!(bench.state.stats().polls, 3, "the third had waited");
}

#[test]
fn b7_zero_is_an_error_where_it_means_nothing() {
    let base = config();
    let zero = Duration::ZERO;
    for (field, config) in [
        (
            "head_bytes",
            Config {
                head_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "head_fields",
            Config {
                head_fields: 0,
                ..base.clone()
            },
        ),
        (
            "heads_bytes",
            Config {
                heads_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "head_timeout",
            Config {
                head_timeout: zero,
                ..base.clone()
            },
        ),
        (
            "openings",
            Config {
                openings: 0,
                ..base.clone()
            },
        ),
        (
            "deciding",
            Config {
                deciding: 0,
                ..base.clone()
            },
        ),
        (
            "bodies_bytes",
            Config {
                bodies_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "body_timeout",
            Config {
                body_timeout: zero,
                ..base.clone()
            },
        ),
        (
            "write_timeout",
            Config {
                write_timeout: zero,
                ..base.clone()
            },
        ),
        (
            "max_lifetime",
            Config {
                max_lifetime: Some(zero),
                ..base.clone()
            },
        ),
        (
            "finish_timeout",
            Config {
                finish_timeout: zero,
                ..base.clone()
            },
        ),
        (
            "finishing",
            Config {
                finishing: 0,
                ..base.clone()
            },
        ),
        (
            "subscribers",
            Config {
                subscribers: 0,
                ..base.clone()
            },
        ),
        (
            "streams_per_key",
            Config {
                streams_per_key: Some(0),
                ..base.clone()
            },
        ),
        (
            "topics_per_subscriber",
            Config {
                topics_per_subscriber: 0,
                ..base.clone()
            },
        ),
        (
            "topics",
            Config {
                topics: 0,
                ..base.clone()
            },
        ),
        (
            "topics_by_request",
            Config {
                topics_by_request: 0,
                ..base.clone()
            },
        ),
        (
            "name_bytes",
            Config {
                name_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "sources",
            Config {
                sources: 0,
                ..base.clone()
            },
        ),
        (
            "polls",
            Config {
                polls: 0,
                ..base.clone()
            },
        ),
        (
            "poll_timeout",
            Config {
                poll_timeout: zero,
                ..base.clone()
            },
        ),
        (
            "frame_bytes",
            Config {
                frame_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "logs_bytes",
            Config {
                logs_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "run_bytes",
            Config {
                run_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "held_bytes",
            Config {
                held_bytes: 0,
                ..base.clone()
            },
        ),
        (
            "reader_patience",
            Config {
                reader_patience: zero,
                ..base.clone()
            },
        ),
        (
            "generations",
            Config {
                generations: 0,
                ..base.clone()
            },
        ),
    ] {
        assert_eq!(SseState::new(config).err(), Some(ConfigError::Zero(field)));
    }
    let allowed = Config {
        heartbeat: zero,
        grace: zero,
        ..base
    };
    let state = SseState::new(allowed).unwrap();
    assert_eq!(
        state.config().heartbeat,
        Duration::from_secs(15),
        "zero is the default"
    );
    let options = TopicOptions {
        log_frames: 0,
        ..TopicOptions::default()
    };
    assert_eq!(options.check(), Err(OptionsError::EmptyLog));
}
