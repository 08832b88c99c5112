//! The canonical digest: equal exactly where the future is.

mod common;

use std::time::Duration;

use common::*;
use sse_state::*;

/// What one life of a stream leaves behind decides nothing, at no step of the next one.
#[test]
fn r2_every_life_of_a_stream_looks_alike() {
    for history in [false, true] {
        let mut bench = Bench::new();
        let options = TopicOptions {
            history,
            retention: Duration::from_secs(60),
            log_frames: 2,
            ..TopicOptions::default()
        };
        bench.declare("/t", options);
        let first = life(&mut bench);
        let second = life(&mut bench);
        // The log differs before and after the first life, not after that.
        let third = life(&mut bench);
        let steps = first.len();
        assert_eq!(second, third, "history: {history}");
        assert_eq!(second.len(), steps);
        assert!(second.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

/// A stream from its head to its end, with a digest after each step.
fn life(bench: &mut Bench) -> Vec<u64> {
    let mut digests = Vec::new();
    let id = bench.open_with(&["/t"], |subscribe| subscribe.retry = true);
    digests.push(bench.state.digest());
    for socket in [Socket::Blocked, Socket::Ready] {
        take(bench, id, socket, &mut digests);
    }
    for _ in 0..3 {
        bench.publish("/t", "x");
        digests.push(bench.state.digest());
    }
    take(bench, id, Socket::Blocked, &mut digests);
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    digests.push(bench.state.digest());
    for _ in 0..8 {
        if bench.state.is_live(id) && bench.state.stats().finishing == 0 {
            take(bench, id, Socket::Blocked, &mut digests);
        }
    }
    assert_eq!(bench.state.stats().finishing, 1);
    digests.push(bench.state.digest());
    bench.state.peer_gone(bench.now, id).unwrap();
    bench.pump();
    assert!(!bench.state.is_live(id));
    digests
}

/// Takes what is lent in flight; all but ten bytes of it are accepted.
fn take(bench: &mut Bench, id: SubscriberId, socket: Socket, digests: &mut Vec<u64>) {
    let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
        return;
    };
    digests.push(bench.state.digest());
    let bytes = match socket {
        Socket::Blocked if run.len() > 10 => run.len() as u32 - 10,
        _ => run.len() as u32,
    };
    let report = Report { id, bytes, socket };
    bench.state.report(bench.now, &[report]);
    digests.push(bench.state.digest());
    if socket == Socket::Blocked {
        bench.state.writable(bench.now, id).unwrap();
    }
}

/// Whether its key was closed before or after its decision began is told apart.
#[test]
fn a1_the_mark_of_a_decision_is_told_apart() {
    let at = |marks: [bool; 2]| {
        let mut bench = Bench::new();
        let options = TopicOptions {
            history: true,
            log_frames: 1,
            ..TopicOptions::default()
        };
        bench.declare("/t", options);
        for _ in 0..5 {
            bench.publish("/t", "x");
        }
        bench.pump();
        let id = bench.accept();
        for begins in marks {
            if begins {
                bench.state.head_done(bench.now, id).unwrap();
            } else {
                bench.state.close_key(bench.now, &name("k")).unwrap();
            }
        }
        let digest = bench.state.digest();
        let mut subscribe = Subscribe::new(Via::Connection(id), name("/t"));
        subscribe.key = Some(name("k"));
        (digest, bench.state.subscribe(bench.now, &subscribe).is_ok())
    };
    let (before, refused) = at([true, false]);
    let (after, taken) = at([false, true]);
    assert!(!refused && taken);
    assert_ne!(before, after);
}

/// A stream may have a heartbeat that is longer than every time of the machine's own.
#[test]
fn h2_a_long_silence_is_told_apart_from_a_longer_one() {
    let at = |silence: u64| {
        let mut bench = Bench::new();
        bench.declare("/t", TopicOptions::default());
        bench.open_with(&["/t"], |subscribe| {
            subscribe.heartbeat = Heartbeat::Comment(Duration::from_secs(600));
        });
        bench.pump();
        bench.now = bench.now + Duration::from_secs(silence);
        bench.state.handle_timeout(bench.now);
        bench.pump();
        bench.state.digest()
    };
    assert_ne!(at(100), at(200));
}

/// A socket that is blocked at rest: whether its deadline was looked at, when there was nothing to write,
/// decides when it has stalled, so it is told apart.
#[test]
fn w1_a_socket_at_rest_that_was_looked_at_is_told_apart() {
    let at = |looked: bool| {
        let mut bench = Bench::new();
        let id = bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
        let Some(Action::Write { run, .. }) = bench.state.poll_action() else {
            panic!("the first bytes are due");
        };
        let bytes = run.len() as u32;
        let socket = Socket::Blocked;
        bench
            .state
            .report(bench.now, &[Report { id, bytes, socket }]);
        bench.now = bench.now + Duration::from_secs(40);
        bench.state.handle_timeout(bench.now);
        if looked {
            bench.pump();
        }
        let digest = bench.state.digest();
        bench.publish("/t", "x");
        bench.pump();
        let lives = bench.state.is_live(id);
        bench.pass(Duration::from_millis(30_300));
        assert!(!bench.state.is_live(id), "W1: it has stalled in any case");
        (digest, lives)
    };
    let (looked, lives) = at(true);
    let (late, lived) = at(false);
    assert!(lives && !lived);
    assert_ne!(looked, late);
}

/// How late a poll that failed by time is decides whether the next one is due at once.
#[test]
fn l11_a_late_poll_is_told_apart_from_a_later_one() {
    let at = |seconds: u64| {
        let mut bench = Bench::new();
        let every = SourceKind::Interval(Duration::from_secs(40));
        bench.declare("/t", TopicOptions::polled(every));
        bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
        bench.pump();
        bench.now = bench.now + Duration::from_secs(seconds);
        bench.state.handle_timeout(bench.now);
        let digest = bench.state.digest();
        bench.pump();
        (digest, bench.state.stats().polls)
    };
    // In the same phase of the interval, and both after the timeout of the poll.
    let (late, once) = at(35);
    let (later, twice) = at(75);
    assert_eq!((once, twice), (1, 2));
    assert_ne!(late, later);
}

/// A stream that only finishes what it has begun: what else it would have been told decides nothing any
/// more, but whether its socket takes more does.
#[test]
fn r2_a_stream_that_stops_is_told_apart_by_its_socket_alone() {
    let at = |heartbeat: Heartbeat, writable: bool| {
        let mut bench = Bench::new();
        let id = bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = heartbeat);
        assert!(matches!(
            bench.state.poll_action(),
            Some(Action::Write { .. })
        ));
        bench.state.close(bench.now, id, CloseHow::Stop).unwrap();
        if writable {
            bench.state.writable(bench.now, id).unwrap();
        }
        bench.state.digest()
    };
    let comment = Heartbeat::Comment(SECOND);
    assert_eq!(at(comment, false), at(Heartbeat::Event(SECOND), false));
    assert_ne!(at(comment, false), at(comment, true));
}

/// A stream that is drained is still told why its resume found a gap.
#[test]
fn r2_what_a_drained_stream_is_to_be_told_is_told_apart() {
    let at = |after: &'static str| {
        let mut bench = Bench::new();
        let options = TopicOptions {
            history: true,
            notice: Some(true),
            ..TopicOptions::default()
        };
        bench.declare("/t", options);
        bench.publish("/t", "x");
        let id = bench.open(&["/t"], Start::After(after.into()));
        bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
        let digest = bench.state.digest();
        bench.pump();
        (digest, bench.read(id))
    };
    let (unknown, first) = at("1-x");
    let (epoch, second) = at("2-0");
    assert!(first.contains("unknown") && second.contains("epoch"));
    assert_ne!(unknown, epoch);
}

/// Of a stream that has written everything only its deadline is left: not where in the order of events it
/// ended, nor that it was never primed.
#[test]
fn r2_where_a_stream_ended_decides_nothing() {
    let at = |ends_after: u32, how: CloseHow| {
        let mut bench = Bench::new();
        let options = TopicOptions {
            history: true,
            log_frames: 1,
            ..TopicOptions::default()
        };
        bench.declare("/t", options);
        let id = bench.open(&["/t"], Start::Now);
        if how == CloseHow::Drain {
            bench.pump();
        }
        for published in 1..=4 {
            bench.publish("/t", "x");
            if how == CloseHow::Drain {
                bench.pump();
            }
            if published == ends_after {
                bench.state.close(bench.now, id, how).unwrap();
                bench.pump();
            }
        }
        assert_eq!(bench.state.stats().finishing, 1);
        bench.state.digest()
    };
    assert_eq!(at(1, CloseHow::Drain), at(2, CloseHow::Drain));
    assert_eq!(at(1, CloseHow::Stop), at(4, CloseHow::Stop));
}

/// A stream that is late, and whose entry comes up in the next granule: whether this granule was begun
/// decides where its entry is put.
#[test]
fn t1_whether_a_granule_was_begun_is_told_apart() {
    let at = |pumped: bool| {
        let mut bench = Bench::new();
        let id = bench.open_with(&["/t"], |subscribe| {
            subscribe.heartbeat = Heartbeat::Off;
            subscribe.key = Some(name("k"));
        });
        bench.open_with(&["/t"], |subscribe| {
            subscribe.heartbeat = Heartbeat::Comment(SECOND);
        });
        bench.pump();
        // The entry of the other one comes up, too early, since something was written meanwhile.
        bench.now = bench.now + SECOND / 2;
        bench.publish("/t", "x");
        bench.pump();
        bench.now = bench.now + SECOND / 2;
        bench.state.handle_timeout(bench.now);
        if pumped {
            bench.pump();
        }
        bench.state.close_key(bench.now, &name("k")).unwrap();
        assert!(bench.state.is_live(id));
        bench.state.digest()
    };
    assert_ne!(at(true), at(false));
}

/// How often a source was polled decides nothing: of the time since its start only the phase of its interval does.
#[test]
fn r2_every_interval_of_a_source_looks_alike() {
    let mut bench = Bench::new();
    bench.declare("/t", TopicOptions::polled(SourceKind::Interval(SECOND)));
    bench.open_with(&["/t"], |subscribe| subscribe.heartbeat = Heartbeat::Off);
    bench.pass(100 * SECOND + SECOND / 4);
    let mut digests = Vec::new();
    for _ in 0..3 {
        let (token, number) = bench.poll();
        let outcome = PollOutcome::Unchanged;
        let _ = bench
            .state
            .poll_result(bench.now, token, number, outcome, Next::GoOn);
        bench.pump();
        digests.push(bench.state.digest());
        bench.pass(SECOND);
    }
    assert!(
        digests.windows(2).all(|pair| pair[0] == pair[1]),
        "{digests:?}"
    );
}
