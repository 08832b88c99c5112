//! Scenarios: a small configuration and a list of total operations, made from a choice oracle.
//!
//! An operation names "the k-th stream that fits, modulo"; it can always be applied (if nothing fits
//! it does nothing), so that leaving out any of them gives a scenario again.

use core::time::Duration;

use sse_state::{Config, Epoch, Room, Slow, SourceKind, TopicOptions};

use crate::choice::Choice;

mod ops;

pub use ops::{
    From, HowMuch, Number, Op, Options, Outcome, SocketKind, Stream, Value, Weights, Which,
};

/// A configuration and what is done to the engine that has it.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Bounds, topics, how time passes.
    pub setup: Setup,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

impl Scenario {
    /// Makes a scenario of at most `length` operations.
    pub fn choose<C: Choice>(choice: &mut C, pace: Pace, length: usize) -> Scenario {
        let setup = Setup::choose(choice, pace);
        let weights = Weights::choose(choice);
        let ops = (0..length)
            .map(|_| Op::choose(choice, &weights, pace))
            .collect();
        Scenario { setup, ops }
    }
}

impl Scenario {
    /// A scenario in which the contract leaves no choice that a stream could see: bounds are wide (each
    /// has tests of its own), what was taken in flight cannot be lost from a short log meanwhile, ends
    /// and joins are pumped at once, and nobody shuts down in the middle.
    #[must_use]
    pub fn for_comparison(mut self) -> Scenario {
        let config = &mut self.setup.config;
        *config = Config {
            openings: 1000,
            deciding: 1000,
            finishing: 1000,
            subscribers: 1000,
            streams_per_key: None,
            topics_per_subscriber: 16,
            topics: 100,
            topics_by_request: 100,
            sources: 100,
            polls: 100,
            logs_bytes: 1 << 30,
            frame_bytes: 1 << 20,
            held_bytes: 64 << 20,
            grace: millis(2500),
            ..config.clone()
        };
        let mut short = false;
        for topic in &mut self.setup.topics {
            // Whether the last bytes of room count the longest id or the real one is free.
            topic.options.log_bytes = 4 << 20;
            short |= topic.options.log_frames < 64;
            // Whether a lag is found while what is begun is still being finished is free.
            if topic.options.slow == Slow::Close {
                topic.options.slow = Slow::Skip;
            }
        }
        let ops = std::mem::take(&mut self.ops);
        for mut op in ops {
            let mut pumps = true;
            match &mut op {
                Op::Shutdown { .. } => continue,
                Op::Pull { conn } => {
                    op = Op::PullAll { conn: *conn };
                    pumps = false;
                }
                // Whether one that takes nothing when it is offered again after its time is closed then or
                // a granule later is free.
                Op::Read { bytes, .. } => {
                    *bytes = (*bytes).max(1);
                    pumps = false;
                }
                // How many reports it takes follows from how bytes were cut.
                Op::Report { .. } => {
                    op = Op::ReportAll;
                    pumps = false;
                }
                Op::Open { mounted, stream } if *mounted => {
                    stream.end_when_finished = false;
                    stream.lifetime = None;
                    stream.expires = None;
                }
                Op::Open { stream, .. } | Op::Subscribe { stream, .. } => {
                    // Whether a publish between the end of a source and the next turn still comes is free.
                    stream.end_when_finished = false;
                    // Which of two ends that are due together comes first is free.
                    if stream.socket != SocketKind::Fast {
                        stream.lifetime = None;
                        stream.expires = None;
                    }
                    if short && stream.socket == SocketKind::Flight {
                        stream.socket = SocketKind::Fast;
                    }
                }
                Op::Publish { room, .. } | Op::Feed { room, .. } => {
                    *room = Room::Evict;
                    pumps = false;
                }
                Op::Close { .. }
                | Op::CloseKey { .. }
                | Op::OpenTooLate { .. }
                | Op::PeerGone { .. }
                | Op::StopSource { .. }
                | Op::SourceEnded { .. }
                | Op::PollResult { .. }
                | Op::Answer { .. } => {}
                _ => pumps = false,
            }
            // What is pending must be pumped before an end too, else it is free whether it still comes.
            if pumps {
                self.ops.push(Op::PumpAll { budget: 200 });
            }
            self.ops.push(op);
            if pumps {
                self.ops.push(Op::PumpAll { budget: 200 });
            }
        }
        self
    }
}

/// A list for people, one operation a line.
impl core::fmt::Display for Scenario {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "{:?}", self.setup.pace)?;
        writeln!(f, "{:?}", self.setup.config)?;
        for (place, topic) in self.setup.topics.iter().enumerate() {
            writeln!(f, "topic {place}: {topic:?}")?;
        }
        self.ops.iter().try_for_each(|op| writeln!(f, "    {op:?}"))
    }
}

/// How time passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// In whole seconds, each followed by a timeout and a full pump, with every deadline between two
    /// seconds: what an engine may round or spread then makes no difference, so two engines can be
    /// compared.
    Calm,
    /// By nanoseconds around deadlines, backwards, without timeouts: only rules apply.
    Wild,
}

/// What an engine is made with, and its topics.
#[derive(Clone, PartialEq, Debug)]
pub struct Setup {
    /// How time passes.
    pub pace: Pace,
    /// Bounds and seeds.
    pub config: Config,
    /// The topics that operations name.
    pub topics: Vec<TopicSetup>,
}

/// One topic of a scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct TopicSetup {
    /// Its name.
    pub name: String,
    /// Declared at the start.
    pub declared: bool,
    /// Its options.
    pub options: TopicOptions,
}

impl Setup {
    /// Small bounds, so that they are met.
    pub fn choose<C: Choice>(choice: &mut C, pace: Pace) -> Setup {
        let calm = pace == Pace::Calm;
        let base = Config::new(Epoch(u64::from(choice.pick(3)) * 1000 + 7));
        let config = Config {
            seed: u64::from(choice.pick(1000)),
            heartbeat: if calm {
                Duration::from_secs(15)
            } else {
                Duration::from_millis(1120)
            },
            head_timeout: millis(5500),
            body_timeout: millis(4500),
            write_timeout: if calm {
                millis(3500)
            } else {
                millis(choice.one_of(&[2000, 900]))
            },
            grace: choice.one_of(&[millis(2500), millis(0)]),
            finish_timeout: millis(1500),
            poll_timeout: millis(choice.one_of(&[if calm { 1_000_000 } else { 4600 }, 1600])),
            reader_patience: millis(1500),
            openings: choice.one_of(&[8, 2]),
            deciding: choice.one_of(&[8, 2]),
            finishing: choice.one_of(&[16, 1]),
            subscribers: choice.one_of(&[16, 3]),
            streams_per_key: choice.one_of(&[None, Some(2)]),
            topics_per_subscriber: choice.one_of(&[4, 2]),
            topics: choice.one_of(&[16, 3]),
            topics_by_request: choice.one_of(&[16, 2]),
            sources: choice.one_of(&[16, 1]),
            polls: choice.one_of(&[16, 1, 1]),
            run_bytes: choice.one_of(&[64 << 10, 1, 60, 300]),
            logs_bytes: if choice.chance(1, 8) { 900 } else { 1 << 20 },
            frame_bytes: choice.one_of(&[1 << 20, 120]),
            held_bytes: if !calm && choice.chance(1, 8) {
                200
            } else {
                64 << 20
            },
            ..base
        };
        let count = 1 + choice.pick(3) as usize;
        let topics = (0..count)
            .map(|place| TopicSetup::choose(choice, place, calm))
            .collect();
        Setup {
            pace,
            config,
            topics,
        }
    }
}

impl TopicSetup {
    fn choose<C: Choice>(choice: &mut C, place: usize, calm: bool) -> TopicSetup {
        let history = choice.chance(1, 2);
        let source = match choice.pick(6) {
            0 | 1 => SourceKind::None,
            2 | 3 => SourceKind::External,
            // No multiple of it is a whole number of seconds for a long time.
            _ => SourceKind::Interval(millis(if calm { 2377 } else { 700 })),
        };
        TopicSetup {
            name: format!("topic/{}", ["a", "b", "c", "d"][place]),
            declared: choice.chance(1, 3),
            options: TopicOptions {
                source,
                log_frames: choice.one_of(&[64, 1, 2, 3, 4]),
                log_bytes: choice.one_of(&[4 << 20, 4 << 20, 150]),
                history,
                retention: choice.one_of(&[millis(0), millis(3500)]),
                linger: choice.one_of(&[millis(0), millis(1500)]),
                dedupe: choice.chance(1, 2),
                slow: choice.one_of(&[Slow::Skip, Slow::Conflate, Slow::Close]),
                notice: choice.one_of(&[None, None, Some(true), Some(false)]),
                own_ids: !history && choice.chance(1, 4),
            },
        }
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
