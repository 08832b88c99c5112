//! What a world is like: chosen once, by the same oracle as everything else.

use std::time::Duration;

use sse_state_hub::{Config, Epoch};

use super::Oracle;
use super::op::Op;
use crate::choice::Choice as _;

/// A world.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Connections that it tends to have.
    pub(crate) clients: u32,
    /// Streams that are there from the start: more than one batch of a worker.
    pub(crate) crowd: u32,
    /// How long faults go on.
    pub(crate) lasts: Duration,
    /// Between two operations, at most.
    pub(crate) pause: Duration,
    /// One place of so many has a fault.
    pub(crate) fault_rate: u32,
    pub(crate) workers: usize,
    /// How much of each operation.
    pub(crate) weights: [u32; Op::ALL.len()],
    pub(crate) log: u32,
    pub(crate) poll_every: Duration,
    /// The end comes in the middle of it all.
    pub(crate) ends_in_the_middle: bool,
    /// By dropping the last handle.
    pub(crate) drops_the_hub: bool,
    pub(crate) config: Config,
}

const SECOND: Duration = Duration::from_secs(1);

impl Setup {
    /// A quiet world that is not random: for scripts.
    pub(crate) fn calm() -> Setup {
        Setup {
            clients: 0,
            crowd: 0,
            lasts: SECOND,
            pause: SECOND,
            fault_rate: u32::MAX,
            workers: 2,
            weights: [0; Op::ALL.len()],
            log: 8,
            poll_every: 2 * SECOND,
            ends_in_the_middle: false,
            drops_the_hub: false,
            config: Config {
                head_timeout: 5 * SECOND,
                body_timeout: 5 * SECOND,
                heartbeat: 4 * SECOND,
                write_timeout: 8 * SECOND,
                poll_timeout: 4 * SECOND,
                grace: 3 * SECOND,
                ..Config::new(Epoch(77))
            },
        }
    }

    /// A random world: dense ones of minutes, long ones of hours.
    pub(crate) fn choose(oracle: &mut Oracle) -> Setup {
        let is_dense = oracle.chance(2, 5);
        let seconds = |oracle: &mut Oracle, of: &[u64]| Duration::from_secs(oracle.one_of(of));
        let mut weights = [0; Op::ALL.len()];
        for (weight, op) in weights.iter_mut().zip(Op::ALL) {
            *weight = op.weight() * oracle.one_of(&[0, 1, 2, 2, 4]);
        }
        // Without these nothing happens at all.
        weights[Op::Connect as usize] += 8;
        weights[Op::Publish as usize] += 4;
        let heartbeat = seconds(oracle, if is_dense { &[1, 2, 5] } else { &[10, 15, 30] });
        let config = Config {
            seed: u64::from(oracle.pick(1 << 20)),
            hash_key: [3, u64::from(oracle.pick(1 << 20))],
            openings: oracle.one_of(&[8, 32, 64]),
            deciding: oracle.one_of(&[3, 16]),
            head_timeout: seconds(oracle, &[2, 5, 10]),
            body_timeout: seconds(oracle, &[2, 5]),
            heartbeat,
            write_timeout: seconds(oracle, if is_dense { &[2, 5] } else { &[20, 30] }),
            max_lifetime: oracle.one_of(&[None, None, Some(600 * SECOND)]),
            grace: Duration::from_millis(oracle.one_of(&[0, 500, 3000, 5000])),
            finish_timeout: seconds(oracle, &[1, 2]),
            subscribers: oracle.one_of(&[8, 40, 1000]),
            streams_per_key: oracle.one_of(&[None, Some(2)]),
            topics_by_request: oracle.one_of(&[2, 8]),
            sources: oracle.one_of(&[4, 64]),
            polls: oracle.one_of(&[1, 3, 64]),
            poll_timeout: seconds(oracle, &[2, 5]),
            run_bytes: oracle.one_of(&[64, 300, 64 << 10]),
            reader_patience: Duration::from_millis(oracle.one_of(&[500, 1000])),
            ..Config::new(Epoch(1 + u64::from(oracle.pick(1 << 20))))
        };
        let setup = Setup {
            crowd: 0,
            clients: oracle.one_of(if is_dense { &[3, 8, 20] } else { &[15, 30, 40] }),
            lasts: seconds(
                oracle,
                if is_dense {
                    &[30, 60, 120]
                } else {
                    &[1200, 3600, 7200]
                },
            ),
            pause: Duration::from_millis(if is_dense {
                oracle.one_of(&[2, 20, 200])
            } else {
                3000
            }),
            fault_rate: oracle.one_of(&[3, 6, 12, 40]),
            workers: oracle.one_of(&[1, 2, 3]),
            weights,
            log: oracle.one_of(&[2, 4, 16]),
            poll_every: if is_dense { SECOND } else { 60 * SECOND },
            ends_in_the_middle: oracle.chance(1, 4),
            drops_the_hub: oracle.chance(1, 8),
            config,
        };
        if oracle.chance(1, 12) {
            setup.crowded()
        } else {
            setup
        }
    }

    /// Several workers, and more for them to do than one can take.
    fn crowded(mut self) -> Setup {
        self.crowd = 320;
        self.clients = 320;
        self.lasts = 5 * SECOND;
        self.pause = Duration::from_millis(20);
        self.workers = self.workers.max(2);
        self.fault_rate = self.fault_rate.min(12);
        self.weights[Op::Publish as usize] = 60;
        self.config.subscribers = 1000;
        self.config.openings = 512;
        self.config.heartbeat = 2 * SECOND;
        self
    }
}
