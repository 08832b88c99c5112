//! When deadlines are met: rounded up to a granule, in whatever order they were set and however late they are
//! looked at; and what counters say.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{Bench, SECOND, frame, name};
use sse_state::*;

/// A small generator with a fixed seed: failures repeat.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// The granule of a configuration: a 112th of the shorter of heartbeat and write timeout.
fn granule(config: &Config) -> u64 {
    let shortest = config.heartbeat.min(config.write_timeout);
    (shortest.as_nanos() as u64 / 112).max(1000)
}

/// The end of the granule that a deadline lies in.
fn rounded(at: Time, granule: u64) -> Time {
    Time::from_nanos(at.as_nanos().div_ceil(granule) * granule)
}

/// Connections come and go at any time; each that stays is closed in the granule of its deadline, and the
/// machine asks to be woken for just that.
fn run(config: Config, seed: u64, longest: Duration) -> u64 {
    let granule = granule(&config);
    let head = config.head_timeout;
    // Deadlines further off than the wheel spans come up early, once for each span.
    let span = Duration::from_nanos(granule * 256);
    let mut bench = Bench::with(config);
    let mut dice = Dice(seed);
    let mut open: BTreeMap<SubscriberId, Time> = BTreeMap::new();
    let mut early = 0;
    for step in 0..1500 {
        match dice.pick(4) {
            0 if open.len() < 60 => {
                let id = bench.accept();
                open.insert(id, bench.now + head);
            }
            1 if !open.is_empty() => {
                let id = *open
                    .keys()
                    .nth(dice.pick(open.len() as u64) as usize)
                    .unwrap();
                bench.state.peer_gone(bench.now, id).unwrap();
                open.remove(&id);
            }
            2 => {
                let by = dice.pick(longest.as_nanos() as u64);
                bench.now = bench.now + Duration::from_nanos(by);
                bench.state.handle_timeout(bench.now);
            }
            3 => {
                if let Some(at) = bench.state.poll_timeout() {
                    bench.now = at.max(bench.now);
                    bench.state.handle_timeout(bench.now);
                }
            }
            _ => {}
        }
        bench.pump();
        let mut due: Vec<SubscriberId> = Vec::new();
        open.retain(|id, until| {
            let late = rounded(*until, granule) <= bench.now;
            due.extend(late.then_some(*id));
            !late
        });
        let mut closed: Vec<SubscriberId> = bench
            .closes()
            .into_iter()
            .map(|(id, reason, ending)| {
                assert_eq!((reason, ending), (CloseReason::HeadTimeout, Ending::Cut));
                id
            })
            .collect();
        closed.sort_unstable();
        assert_eq!(closed, due, "step {step}, at {:?}", bench.now);
        let least = open.values().min().map(|at| rounded(*at, granule));
        let next = bench.state.poll_timeout();
        assert_eq!(next.is_some(), least.is_some(), "step {step}");
        if let (Some(next), Some(least)) = (next, least) {
            assert!(
                bench.now < next && next <= least,
                "T1: {next:?} for {least:?}"
            );
            early += u64::from(next < least);
            assert_eq!(next.as_nanos() % granule, 0);
            if head < span / 2 && longest < span / 4 {
                assert_eq!(next, least, "T1: step {step}");
            }
        }
    }
    early
}

#[test]
fn t1_a_deadline_within_the_span_of_the_wheel_is_met_in_its_granule() {
    // A granule of 134 ms, and of less than a tenth of that.
    for heartbeat in [15_000, 4_000] {
        for seed in 1..=3 {
            let config = Config {
                heartbeat: Duration::from_millis(heartbeat),
                head_timeout: Duration::from_millis(heartbeat),
                ..Config::new(Epoch(1))
            };
            run(config, seed, Duration::from_millis(heartbeat / 40));
        }
    }
}

#[test]
fn t1_t4_a_deadline_past_the_span_of_the_wheel_is_met_in_its_granule() {
    let mut early = 0;
    for (heartbeat, longest) in [(100, 20), (100, 300), (1000, 5000), (20, 60_000)] {
        let config = Config {
            heartbeat: Duration::from_millis(heartbeat),
            ..Config::new(Epoch(1))
        };
        early += run(config, 7, Duration::from_millis(longest));
    }
    assert!(early > 0, "spans are met");
}

#[test]
fn t1_the_granule_of_the_shortest_times_is_a_microsecond() {
    let config = Config {
        heartbeat: Duration::from_nanos(1),
        head_timeout: Duration::from_micros(90),
        ..Config::new(Epoch(1))
    };
    assert_eq!(granule(&config), 1000);
    run(config, 3, Duration::from_micros(20));
}

#[test]
fn s6_what_is_spread_differs_by_slot_life_and_seed() {
    let retry = |bench: &mut Bench, id| -> u64 {
        bench.pump();
        let text = bench.read(id);
        let (_, digits) = text.trim_end().rsplit_once("retry: ").unwrap();
        digits.parse().unwrap()
    };
    let with_seed = |seed| {
        let mut bench = Bench::with(Config {
            seed,
            ..Config::new(Epoch(1))
        });
        let values: Vec<u64> = (0..400)
            .map(|_| {
                let id = bench.open_with(&["/t"], |subscribe| subscribe.retry = true);
                retry(&mut bench, id)
            })
            .collect();
        let lives: Vec<u64> = (0..40)
            .map(|_| {
                let id = bench.open_with(&["/t"], |subscribe| subscribe.retry = true);
                let value = retry(&mut bench, id);
                bench.state.peer_gone(bench.now, id).unwrap();
                value
            })
            .collect();
        (values, lives)
    };
    let (values, lives) = with_seed(0);
    assert_eq!(with_seed(0).0, values, "the same seed");
    assert!(values.iter().all(|value| (2000..=4000).contains(value)));
    // No tenth of the two seconds has three times its share.
    for tenth in 0..10 {
        let low = 2000 + tenth * 200_u64;
        let here = values
            .iter()
            .filter(|value| (low..low + 200).contains(*value));
        assert!((15..100).contains(&here.count()), "S6: {tenth}: {values:?}");
    }
    let mut distinct = lives.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(
        distinct.len() > 30,
        "each life of a slot draws anew: {lives:?}"
    );
    for bit in 0..64 {
        let (other, _) = with_seed(1 << bit);
        let same = other.iter().zip(&values).filter(|(a, b)| a == b).count();
        assert!(same < 20, "S6: bit {bit} of the seed: {same} of 400");
    }
}

#[test]
fn every_refused_call_is_counted_by_its_reason() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        log_frames: 1,
        ..TopicOptions::default()
    };
    bench.declare("/t", options.clone());
    let id = bench.open(&["/t"], Start::Now);
    let gone = bench.accept();
    let deciding = bench.accept();
    bench.state.head_done(bench.now, deciding).unwrap();
    let stats = bench.state.stats();
    assert_eq!((stats.openings, stats.deciding, stats.streams), (1, 1, 1));
    bench.state.peer_gone(bench.now, gone).unwrap();
    assert_eq!(bench.state.peer_gone(bench.now, gone), Err(Error::Stale));
    assert_eq!(bench.state.stats().stale, 1);
    assert_eq!(bench.state.stats().gone, 1);
    let other = Arc::new(TopicOptions {
        log_frames: 2,
        ..options
    });
    let declared = bench.state.declare(bench.now, &name("/t"), other);
    assert_eq!(declared, Err(Error::Conflict));
    assert_eq!(bench.state.stats().refused_conflict, 1);
    bench.pump();
    bench.publish("/t", "x");
    let waits = bench.state.publish(bench.now, "/t", frame("y"), Room::Wait);
    assert_eq!(waits, Err(Error::Wait));
    assert_eq!(bench.state.stats().waited, 1);
    bench.declare(
        "/s",
        TopicOptions {
            source: SourceKind::External,
            ..TopicOptions::default()
        },
    );
    let fed = bench.open(&["/s"], Start::Now);
    bench.pump();
    assert_eq!(bench.state.stats().sources, 1);
    let cause = ShutdownCause::Asked;
    bench.state.shutdown(bench.now, Some(Duration::ZERO), cause);
    assert_eq!(bench.state.accept(bench.now), Err(Error::ShuttingDown));
    assert_eq!(bench.state.stats().refused_shutdown, 1);
    // Until the machine is done a dead id is stale; then it is shutting down, for ever.
    assert_eq!(bench.state.writable(bench.now, gone), Err(Error::Stale));
    bench.pump();
    assert!(bench.state.is_terminated());
    for id in [id, fed, gone, deciding] {
        assert_eq!(
            bench.state.writable(bench.now, id),
            Err(Error::ShuttingDown)
        );
    }
    let stats = bench.state.stats();
    assert_eq!((stats.refused_shutdown, stats.stale), (5, 2));
    assert_eq!((stats.sources, stats.streams, stats.deciding), (0, 0, 0));
    assert_eq!(bench.state.poll_timeout(), None, "nothing waits for time");
}

#[test]
fn t1_work_of_every_kind_is_work() {
    let mut bench = Bench::new();
    let check = |bench: &mut Bench, visits: u32| {
        let mut none = Silent;
        for visit in 1..=visits {
            let now = Some(bench.state.now());
            assert_eq!(bench.state.poll_timeout(), now, "T1: before visit {visit}");
            let more = bench.state.pump(1, &mut none) == Pumped::More;
            assert_eq!(more, visit < visits, "after visit {visit}");
        }
        assert!(
            bench
                .state
                .poll_timeout()
                .is_none_or(|at| Some(at) > Some(bench.state.now()))
        );
    };
    // A turn; then nothing. A close. A deadline and its close.
    let id = bench.open(&["/t"], Start::Now);
    check(&mut bench, 1);
    bench.state.close(bench.now, id, CloseHow::Cut).unwrap();
    // Its close, and the end of its topic.
    check(&mut bench, 2);
    bench.accept();
    bench.now = bench.state.poll_timeout().unwrap();
    bench.state.handle_timeout(bench.now);
    check(&mut bench, 2);
    let every = SourceKind::Interval(SECOND);
    bench.declare("/p", TopicOptions::polled(every));
    bench.open(&["/p"], Start::Now);
    // Start the source, look that nothing else is due, poll, write.
    check(&mut bench, 4);
}

/// Time alone does not end a stream that could write and was not pumped; and its deadline, which has
/// come and does nothing, does not keep the machine from writing.
#[test]
fn t1_a_late_end_that_was_not_pumped_is_written() {
    let mut bench = Bench::new();
    let id = bench.open(&["/t"], Start::Now);
    bench.pump();
    bench.publish("/t", "x");
    bench.read(id);
    bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
    bench.now = bench.now + Duration::from_secs(40);
    bench.state.handle_timeout(bench.now);
    bench.pump();
    assert!(bench.read(id).starts_with("data: x\n\n"));
}

/// Takes everything.
struct Silent;

impl Sink for Silent {
    fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
        Answer::All
    }

    fn control(&mut self, _: Control) {}
}

#[test]
fn b7_deadlines_to_the_nanosecond() {
    let nano = Duration::from_nanos(1);
    // Exact ones: linger, retention, body and grace; see also `life`.
    let mut bench = Bench::with(Config {
        body_timeout: SECOND,
        grace: SECOND,
        ..Config::new(Epoch(1))
    });
    let body = bench.accept();
    bench.state.head_done(bench.now, body).unwrap();
    bench.state.body(bench.now, body, 1).unwrap();
    bench.pass(SECOND - nano);
    assert!(bench.state.is_live(body));
    bench.pass(nano);
    assert_eq!(
        bench.closes(),
        [(body, CloseReason::BodyTimeout, Ending::Cut)]
    );
    let opening = bench.accept();
    bench.state.shutdown(bench.now, None, ShutdownCause::Asked);
    bench.pass(SECOND - nano);
    assert!(bench.state.is_live(opening));
    bench.pass(nano);
    assert_eq!(
        bench.closes(),
        [(opening, CloseReason::Shutdown, Ending::Cut)]
    );
}
