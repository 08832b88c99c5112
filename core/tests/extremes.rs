//! X1, T6: extreme arguments. No call panics or overflows, and the work stays in proportion.

use std::sync::Arc;
use std::time::Duration;

use sse_state::*;

fn tiny() -> Config {
    Config {
        heartbeat: Duration::from_nanos(1),
        write_timeout: Duration::from_nanos(1),
        ..Config::new(Epoch(u64::MAX))
    }
}

fn huge() -> Config {
    Config {
        heartbeat: Duration::MAX,
        write_timeout: Duration::MAX,
        head_timeout: Duration::MAX,
        max_lifetime: Some(Duration::MAX),
        poll_timeout: Duration::MAX,
        grace: Duration::MAX,
        ..Config::new(Epoch(0))
    }
}

fn drain(state: &mut SseState) -> u32 {
    let mut actions = 0;
    while let Some(action) = state.poll_action() {
        actions += 1;
        assert!(actions < 10_000, "it never ends");
        if let Action::Write { id, run } = action {
            let bytes = run.len() as u32;
            let report = Report {
                id,
                bytes,
                socket: Socket::Ready,
            };
            assert_eq!(state.report(state.now(), &[report]), 0);
        }
        state.check_invariants();
    }
    actions
}

#[test]
fn x1_extreme_times_and_bounds() {
    for config in [tiny(), huge()] {
        let mut state = SseState::new(config).unwrap();
        let topic = Name::new("/t").unwrap();
        let options = TopicOptions {
            source: SourceKind::Interval(Duration::MAX),
            history: true,
            dedupe: true,
            retention: Duration::MAX,
            linger: Duration::MAX,
            ..TopicOptions::default()
        };
        state
            .declare(Time::ZERO, &topic, Arc::new(options))
            .unwrap();
        for nanos in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX, 5] {
            let now = Time::from_nanos(nanos);
            let id = state.accept(now).unwrap();
            let subscribe = Subscribe {
                heartbeat: Heartbeat::Event(Duration::MAX),
                lifetime: Some(Duration::MAX),
                ..Subscribe::new(Via::Connection(id), topic.clone())
            };
            state.subscribe(now, &subscribe).unwrap();
            let frame = Event::new("x").encode().unwrap();
            state.publish(now, "/t", frame, Room::Wait).unwrap();
            state.handle_timeout(now);
            drain(&mut state);
            let _ = state.poll_timeout();
            state.check_invariants();
        }
        state.shutdown(Time::MAX, Some(Duration::MAX), ShutdownCause::HubDropped);
        drain(&mut state);
    }
}

#[test]
fn t6_a_jump_of_ten_years_fires_everything_once() {
    let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
    let topic = Name::new("/t").unwrap();
    let options = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
    state
        .declare(Time::ZERO, &topic, Arc::new(options))
        .unwrap();
    for _ in 0..50 {
        let id = state.accept(Time::ZERO).unwrap();
        state
            .subscribe(
                Time::ZERO,
                &Subscribe::new(Via::Connection(id), topic.clone()),
            )
            .unwrap();
    }
    // Start, first poll, fifty first writes.
    assert_eq!(drain(&mut state), 52);
    let later = Time::ZERO + Duration::from_secs(10 * 365 * 24 * 3600);
    state.handle_timeout(later);
    // One heartbeat each; the poll has failed, and one follows it, whatever ticks were missed.
    assert_eq!(drain(&mut state), 51);
    assert_eq!(state.stats().heartbeats, 50);
    assert_eq!(state.stats().polls_failed, 1);
    assert!(state.poll_timeout().unwrap() > later, "T2");
}

#[test]
fn x1_dead_and_forged_ids_are_stale() {
    let mut state = SseState::new(Config::new(Epoch(1))).unwrap();
    let now = Time::ZERO;
    let dead = state.accept(now).unwrap();
    state.peer_gone(now, dead).unwrap();
    let before = state.digest();
    for id in [
        dead,
        SubscriberId::from_u64(u64::MAX),
        SubscriberId::from_u64(1 << 32),
        SubscriberId::from_u64(7),
    ] {
        assert_eq!(state.head_held(now, id, 1), Err(Error::Stale));
        assert_eq!(state.head_done(now, id), Err(Error::Stale));
        assert_eq!(state.body(now, id, 1), Err(Error::Stale));
        assert_eq!(state.answer(now, id, b"x"[..].into()), Err(Error::Stale));
        assert_eq!(state.close(now, id, CloseHow::Cut), Err(Error::Stale));
        assert_eq!(state.peer_gone(now, id), Err(Error::Stale));
        assert_eq!(state.writable(now, id), Err(Error::Stale));
        assert_eq!(state.pull(now, id), Err(Error::Stale));
        let topic = Name::new("/t").unwrap();
        assert_eq!(
            state.subscribe(now, &Subscribe::new(Via::Connection(id), topic)),
            Err(Error::Stale)
        );
        let report = Report {
            id,
            bytes: u32::MAX,
            socket: Socket::Gone,
        };
        assert_eq!(state.report(now, &[report]), 1);
    }
    for token in [
        SourceToken::from_parts(0, 0),
        SourceToken::from_parts(u32::MAX, u64::MAX),
    ] {
        assert_eq!(
            state.source_ended(now, token, SourceEnd::Panicked),
            Err(Error::Stale)
        );
        let result = state.poll_result(now, token, 1, PollOutcome::Unchanged, Next::GoOn);
        assert_eq!(result, Err(Error::Stale));
    }
    assert_eq!(state.digest(), before, "I2");
    assert_eq!(state.poll_action(), None);
}

/// A slot whose generations are spent is retired; no id comes twice.
#[test]
fn i1_ids_never_repeat_when_generations_are_spent() {
    let config = Config {
        generations: 3,
        ..Config::new(Epoch(1))
    };
    let mut state = SseState::new(config).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let id = state.accept(Time::ZERO).unwrap();
        assert!(seen.insert(id), "I1: {id} again");
        state.peer_gone(Time::ZERO, id).unwrap();
    }
    assert!(seen.iter().map(|id| id.slot()).max() >= Some(6));
}
