//! Bounds of bytes, each at its limit − 1, limit, limit + 1.

mod common;

use common::bounds::{config, subscribe};
use common::{Bench, Reader, frame, name};
use sse_state::*;

#[test]
fn b7_frame_bytes() {
    let mut bench = Bench::with(Config {
        frame_bytes: 100,
        ..config()
    });
    subscribe(&mut bench, &["/t"], None).unwrap();
    // `data: `, two line feeds: eight bytes around the data.
    for (size, expected) in [(91, true), (92, true), (93, false)] {
        let publish = bench
            .state
            .publish(bench.now, "/t", frame(&"x".repeat(size)), Room::Evict);
        assert_eq!(publish.is_ok(), expected, "{size}");
        if !expected {
            assert_eq!(publish, Err(Error::Full(Bound::Frame)));
        }
    }
}

#[test]
fn b7_log_frames_and_log_bytes() {
    for (options, held) in [
        (
            TopicOptions {
                log_frames: 3,
                ..TopicOptions::default()
            },
            3,
        ),
        // Frames of nine bytes.
        (
            TopicOptions {
                log_bytes: 35,
                ..TopicOptions::default()
            },
            3,
        ),
        (
            TopicOptions {
                log_bytes: 36,
                ..TopicOptions::default()
            },
            4,
        ),
        (
            TopicOptions {
                log_bytes: 37,
                ..TopicOptions::default()
            },
            4,
        ),
        (
            TopicOptions {
                log_bytes: 1,
                ..TopicOptions::default()
            },
            1,
        ),
    ] {
        let mut bench = Bench::new();
        bench.declare("/t", options);
        bench.open(&["/t"], Start::Now);
        for number in 0..9 {
            bench.publish("/t", &number.to_string());
        }
        assert_eq!(bench.state.stats().logs_bytes, held * 9);
        let late = bench.open(&["/t"], Start::Oldest);
        bench.pump();
        let oldest = format!(":\n\ndata: {}\n", 9 - held);
        assert!(bench.read(late).starts_with(&oldest));
    }
}

#[test]
fn b7_logs_bytes_a_publish_makes_room_in_its_own_topic_or_fails_and_evicts_nothing() {
    let mut bench = Bench::with(Config {
        logs_bytes: 27,
        ..config()
    });
    for topic in ["/a", "/b"] {
        bench.open(&[topic], Start::Now);
    }
    for (topic, data) in [("/a", "1"), ("/a", "2"), ("/b", "3")] {
        bench.publish(topic, data);
    }
    assert_eq!(
        bench.state.stats().logs_bytes,
        27,
        "the limit is usable to the byte"
    );
    bench.publish("/a", "4");
    let a = bench.open(&["/a"], Start::Oldest);
    bench.pump();
    assert_eq!(
        bench.read(a),
        ":\n\ndata: 2\n\ndata: 4\n\n",
        "its own oldest went"
    );
    let before = bench.state.digest();
    let ten = bench
        .state
        .publish(bench.now, "/b", frame(&"x".repeat(11)), Room::Evict);
    assert_eq!(
        ten,
        Err(Error::Full(Bound::Logs)),
        "its own log is not enough"
    );
    assert_eq!(bench.state.digest(), before, "nothing was evicted");
}

#[test]
fn b7_run_bytes() {
    // Frames of nine bytes; a run of two, of exactly three, and of three.
    for (run_bytes, expected) in [(26, 18), (27, 27), (28, 27), (1, 9)] {
        let mut bench = Bench::with(Config {
            run_bytes,
            ..config()
        });
        let id = bench.open(&["/t"], Start::Now);
        bench.pump();
        for number in 0..4 {
            bench.publish("/t", &number.to_string());
        }
        let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
            panic!("there is something to write");
        };
        assert_eq!(
            run.len(),
            expected,
            "run_bytes {run_bytes}; a larger frame travels alone"
        );
        let report = Report {
            id,
            bytes: run.len() as u32,
            socket: Socket::Ready,
        };
        bench.state.report(bench.now, &[report]);
    }
}

#[test]
fn b7_held_bytes_of_answers() {
    let mut bench = Bench::with(Config {
        held_bytes: 30,
        ..config()
    });
    let id = bench.accept();
    let mut answer = |bytes: usize| bench.state.answer(Time::ZERO, id, vec![b'x'; bytes].into());
    assert_eq!(answer(31), Err(Error::Full(Bound::Held)));
    assert_eq!(answer(30), Ok(()));
}

/// A stream that begins is counted with 24 bytes for what follows its head.
#[test]
fn b7_held_bytes_of_heads() {
    for (head, expected) in [
        (76, Ok(())),
        (77, Err(Error::Full(Bound::Held))),
        (1_000, Err(Error::Full(Bound::Held))),
    ] {
        let mut bench = Bench::with(Config {
            held_bytes: 100,
            ..config()
        });
        let id = bench.accept();
        let mut subscribe = Subscribe::new(Via::Connection(id), name("/t"));
        subscribe.head = vec![b'x'; head].into();
        let got = bench.state.subscribe(Time::ZERO, &subscribe).map(drop);
        assert_eq!(got, expected, "a head of {head} bytes");
    }
}

#[test]
fn b7_held_bytes_of_begun_frames() {
    for (held_bytes, cut) in [(49, true), (50, false)] {
        let mut bench = Bench::with(Config {
            held_bytes,
            ..config()
        });
        let streams = ["/a", "/b"].map(|topic| {
            let id = bench.open(&[topic], Start::Now);
            bench.pump();
            bench.readers.insert(id, Reader::Bytes(4));
            id
        });
        for topic in ["/a", "/b"] {
            // 25 bytes each.
            bench.publish(topic, "seventeen letters");
        }
        bench.pump();
        let closes = bench.closes();
        if cut {
            assert_eq!(closes.len(), 1, "held_bytes {held_bytes}");
            assert!(streams.contains(&closes[0].0));
            assert_eq!((closes[0].1, closes[0].2), (CloseReason::Held, Ending::Cut));
        } else {
            assert_eq!(closes, []);
            assert_eq!(bench.state.stats().held_bytes, 50);
        }
    }
}

#[test]
fn b7_held_bytes_lends_single_frames_instead_of_gathered_runs() {
    // Three frames of nine bytes: one run of 27 is held while it is lent, or single frames are.
    for (held_bytes, expected) in [(26, 9), (27, 27)] {
        let mut bench = Bench::with(Config {
            held_bytes,
            ..config()
        });
        bench.open(&["/t"], Start::Now);
        bench.pump();
        for number in 0..3 {
            bench.publish("/t", &number.to_string());
        }
        let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
            panic!("there is something to write");
        };
        assert_eq!(run.len(), expected);
    }
}
