//! Random calls in random order: no call panics, every white-box invariant holds after each, and the
//! journal of the run replays to the same bytes and the same state.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state::journal::{Recorder, replay};
use sse_state::*;

/// A small generator with a fixed seed: failures repeat.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        let sides = items.len() as u64;
        (sides > 0).then(|| items[self.pick(sides) as usize].clone())
    }
}

/// Answers by chance, and keeps what is in flight.
struct Chance<'a> {
    dice: &'a mut Dice,
    world: &'a mut World,
}

#[derive(Default)]
struct World {
    ids: Vec<SubscriberId>,
    flights: Vec<(SubscriberId, u32)>,
    tokens: Vec<(SourceToken, u64)>,
    bytes: u64,
}

impl Sink for Chance<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let size = run.len() as u32;
        assert!(size > 0, "an empty run");
        self.world.bytes += u64::from(size);
        match self.dice.pick(8) {
            0 => Answer::Blocked(0),
            1 => Answer::Blocked(self.dice.pick(u64::from(size)) as u32),
            2 if self.dice.pick(4) == 0 => Answer::Gone,
            2..=4 => {
                self.world.flights.push((id, size));
                Answer::InFlight
            }
            _ => Answer::All,
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { token, .. } => self.world.tokens.push((token, 0)),
            Control::Poll { token, number, .. } => self.world.tokens.push((token, number)),
            _ => {}
        }
    }
}

fn config() -> Config {
    Config {
        head_bytes: 12,
        openings: 2,
        deciding: 2,
        subscribers: 5,
        finishing: 2,
        topics: 5,
        topics_by_request: 3,
        sources: 2,
        polls: 1,
        logs_bytes: 900,
        held_bytes: 150,
        run_bytes: 90,
        frame_bytes: 400,
        streams_per_key: Some(2),
        topics_per_subscriber: 3,
        heartbeat: Duration::from_millis(50),
        write_timeout: Duration::from_millis(90),
        reader_patience: Duration::from_millis(20),
        poll_timeout: Duration::from_millis(30),
        head_timeout: Duration::from_millis(150),
        body_timeout: Duration::from_millis(40),
        ..Config::new(Epoch(77))
    }
}

fn options(dice: &mut Dice, topic: usize) -> TopicOptions {
    let mut fixed = Dice((topic as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let variants = if dice.pick(12) == 0 { dice } else { &mut fixed };
    TopicOptions {
        source: match variants.pick(3) {
            0 => SourceKind::None,
            1 => SourceKind::External,
            _ => SourceKind::Interval(Duration::from_millis(20)),
        },
        log_frames: 1 + variants.pick(4) as u32,
        history: variants.pick(2) == 0,
        linger: Duration::from_millis(variants.pick(3) * 15),
        dedupe: variants.pick(2) == 0,
        slow: [Slow::Skip, Slow::Conflate, Slow::Close][topic % 3],
        notice: [None, Some(true), Some(false)][variants.pick(3) as usize],
        ..TopicOptions::default()
    }
}

fn subscribe(dice: &mut Dice, world: &World) -> Subscribe {
    let names = ["/a", "/b", "/c", "/d", "/e"];
    let mut topics: Vec<Join> = Vec::new();
    for _ in 0..=dice.pick(3) {
        let topic = dice.pick(5) as usize;
        topics.push(Join {
            topic: Name::new(names[topic]).unwrap(),
            options: (dice.pick(4) > 0).then(|| Arc::new(options(dice, topic))),
        });
    }
    let via = match dice.of(&world.ids) {
        Some(id) if dice.pick(4) > 0 => Via::Connection(id),
        _ => Via::Mounted { asked: 0 },
    };
    Subscribe {
        topics,
        start: match dice.pick(6) {
            0 => Start::Oldest,
            1 => Start::Newest,
            2 => Start::After(format!("2d-{}", dice.pick(30)).into()),
            3 => Start::After(b"what"[..].into()),
            _ => Start::Now,
        },
        heartbeat: match dice.pick(4) {
            0 => Heartbeat::Off,
            1 => Heartbeat::Event(Duration::from_millis(30)),
            _ => Heartbeat::Default,
        },
        key: (dice.pick(3) == 0).then(|| Name::new(["k", "l"][dice.pick(2) as usize]).unwrap()),
        lifetime: (dice.pick(4) == 0).then(|| Duration::from_millis(30)),
        expires: (dice.pick(4) == 0).then(|| Time::from_millis(dice.pick(800))),
        end_when_finished: dice.pick(3) == 0,
        ..Subscribe::new(via, Name::new("/a").unwrap())
    }
}

fn frame(dice: &mut Dice) -> Frame {
    let data = "x".repeat(dice.pick(60) as usize) + &dice.pick(4).to_string();
    Event::new(&data).encode().unwrap()
}

fn input(dice: &mut Dice, world: &mut World) -> Option<Input<'static>> {
    let names = ["/a", "/b", "/c", "/d", "/e", "/nobody"];
    let topic = names[dice.pick(6) as usize];
    let room = if dice.pick(3) == 0 {
        Room::Wait
    } else {
        Room::Evict
    };
    Some(match dice.pick(40) {
        0..=3 => Input::Accept,
        5 => Input::HeadHeld {
            id: dice.of(&world.ids)?,
            bytes: dice.pick(20) as u32,
        },
        6..=7 => Input::HeadDone {
            id: dice.of(&world.ids)?,
        },
        8 => Input::Body {
            id: dice.of(&world.ids)?,
            bytes: dice.pick(20) as u32,
        },
        9 => Input::Answer {
            id: dice.of(&world.ids)?,
            bytes: b"no"[..].into(),
        },
        10..=14 => Input::Subscribe(Box::new(subscribe(dice, world))),
        15..=23 | 4 => Input::Publish {
            topic: Cow::Borrowed(topic),
            frame: frame(dice),
            room,
        },
        24 => Input::Close {
            id: dice.of(&world.ids)?,
            how: [CloseHow::Drain, CloseHow::Stop, CloseHow::Cut][dice.pick(3) as usize],
        },
        25 if dice.pick(4) == 0 => Input::CloseKey {
            key: Name::new("k").unwrap(),
        },
        25..=26 => Input::PeerGone {
            id: dice.of(&world.ids)?,
        },
        27 => Input::StopSource {
            topic: Cow::Borrowed(topic),
        },
        28..=30 => {
            let (token, number) = dice.of(&world.tokens)?;
            Input::PollResult {
                token,
                number,
                outcome: match dice.pick(4) {
                    0 => PollOutcome::Failed(None),
                    1 => PollOutcome::Unchanged,
                    _ => PollOutcome::Frame(frame(dice)),
                },
                next: if dice.pick(8) == 0 {
                    Next::Finished
                } else {
                    Next::GoOn
                },
            }
        }
        31 => Input::Feed {
            token: dice.of(&world.tokens)?.0,
            frame: frame(dice),
            room,
        },
        32 => Input::SourceEnded {
            token: dice.of(&world.tokens)?.0,
            reason: [SourceEnd::Finished, SourceEnd::Panicked][dice.pick(2) as usize],
        },
        33 => Input::Pull {
            id: dice.of(&world.ids)?,
        },
        34..=35 => Input::Writable {
            id: dice.of(&world.ids)?,
        },
        36 => Input::Declare {
            topic: Name::new(names[dice.pick(2) as usize]).unwrap(),
            options: Arc::new(options(dice, 0)),
        },
        37 if dice.pick(40) == 0 => Input::Shutdown {
            grace: Some(Duration::from_millis(40)),
            cause: ShutdownCause::Asked,
        },
        37 => Input::Timeout,
        _ => {
            let mut reports = Vec::new();
            while let Some((id, size)) = world.flights.pop() {
                let bytes = if dice.pick(2) == 0 {
                    size
                } else {
                    dice.pick(u64::from(size) + 1) as u32
                };
                let socket = match dice.pick(9) {
                    0..=2 => Socket::Blocked,
                    3 if dice.pick(4) == 0 => Socket::Gone,
                    _ => Socket::Ready,
                };
                reports.push(Report { id, bytes, socket });
                if dice.pick(3) == 0 {
                    break;
                }
            }
            Input::Report(Cow::Owned(reports))
        }
    })
}

fn run(seed: u64, steps: u32) -> (u64, Stats) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = World::default();
    let mut state = SseState::new(config()).unwrap();
    let journal = Arc::new(Mutex::new(String::new()));
    let out = journal.clone();
    let plain = state.clone();
    let mut recorder = Recorder::new(
        plain,
        Box::new(move |line| out.lock().unwrap().push_str(line)),
    );
    let mut now = Time::ZERO;
    for step in 0..steps {
        now = now + Duration::from_millis(dice.pick(3) * dice.pick(3));
        if let Some(input) = input(&mut dice, &mut world) {
            let before = state.digest();
            let was = state.now();
            let reply = state.apply(now, input.clone());
            assert_eq!(
                reply,
                recorder.apply(now, input.clone()),
                "the recorder is the machine"
            );
            match reply {
                Ok(Reply::Id(id)) => world.ids.push(id),
                Err(error) if error != Error::Wait => {
                    assert_eq!(state.digest(), before, "R5: {error:?} of {input:?}");
                    assert_eq!(state.now(), was, "R5: the clock");
                }
                _ => {}
            }
            state.check_invariants();
        }
        if step % 3 == 0 {
            let budget = [1, 2, 7, 1000][dice.pick(4) as usize];
            let again = Dice(dice.0);
            let mut twin = World::default();
            let _ = recorder.pump(
                budget,
                &mut Chance {
                    dice: &mut Dice(again.0),
                    world: &mut twin,
                },
            );
            let pumped = state.pump(
                budget,
                &mut Chance {
                    dice: &mut dice,
                    world: &mut world,
                },
            );
            state.check_invariants();
            let next = state.poll_timeout();
            if pumped == Pumped::More {
                assert_eq!(next, Some(state.now()), "T1: work is queued");
            } else {
                assert_eq!(state.clone().poll_action(), None, "nothing is left to do");
                assert!(next.is_none_or(|at| at > state.now()), "T2: {next:?}");
            }
        }
        world
            .ids
            .retain(|&id| dice.pick(4) == 0 || state.is_live(id));
        let keep = world.tokens.len().saturating_sub(6);
        world.tokens.drain(..keep);
        assert_eq!(state.digest(), recorder.digest(), "R2: step {step}");
    }
    recorder.finish();
    let replayed = replay(&journal.lock().unwrap()).unwrap_or_else(|error| panic!("R3: {error}"));
    assert_eq!(replayed.state, state.digest());
    assert_eq!(replayed.actions, recorder.actions());
    (world.bytes, state.stats())
}

/// R2, R3, R5, X1 and all white-box rules.
#[test]
fn random_calls_hold_every_invariant_and_replay() {
    let mut sum = 0;
    let mut closed = [0; 12];
    for seed in 1..=SEEDS {
        let (bytes, stats) = run(seed, 400);
        sum += bytes;
        for (all, some) in closed.iter_mut().zip(stats.closed) {
            *all += some;
        }
    }
    assert!(sum > 50_000, "nothing happened: {sum}");
    // Every reason to close but a body's deadline is met by chance.
    assert!(closed.iter().all(|&count| count > 0), "{closed:?}");
}

/// Enough to meet every close reason many times; a few seconds without optimisation.
const SEEDS: u64 = 150;
