//! Clients that connect, disconnect, stall, send what nobody asked for, and resume, at random.

use std::time::{Duration, Instant};

use crate::follow::Counts;
use crate::load::Load;
use crate::random::Random;
use crate::serve::Order;
use crate::server::Server;
use crate::stream::{Phase, Plan};
use crate::words::Words;

/// The settings of the server that they need.
pub(super) fn settings() -> Words {
    Words::default()
        .with("topics", TOPICS)
        .with("history", "even")
        .with("notice", 1)
        .with("write_timeout", 3_000)
        .with("pairs", 1)
}

/// What is published to them until it is stopped; each wave has its own numbers.
pub(super) fn order(wave: u64) -> Order {
    Order {
        ticks: u64::from(u32::MAX),
        every: Duration::from_millis(3),
        burst: 1,
        bytes: 3_000,
        topics: TOPICS,
        from: wave * 1_000_000_000,
    }
}

/// What is counted, over any number of crowds.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) connects: u64,
    pub(super) resumes: u64,
    pub(super) stalls: u64,
    pub(super) closes: u64,
    pub(super) ended: u64,
    pub(super) reset: u64,
    pub(super) reset_reading: u64,
    pub(super) failed: u64,
    pub(super) counts: Counts,
}

impl Tally {
    pub(super) fn add(&mut self, load: &Load) {
        self.counts.add(&load.counts());
    }
}

/// Clients to which something happens all the time.
pub(super) struct Crowd {
    pub(super) load: Load,
    random: Random,
    /// Which of them did not read at some time of this connection.
    has_stalled: Vec<bool>,
}

impl Crowd {
    /// On a server with the [`settings`], each on a path of its choice.
    pub(super) fn new(
        server: &Server,
        streams: usize,
        random: &mut Random,
    ) -> Result<Crowd, String> {
        let mut load = Load::new()?;
        for _ in 0..streams {
            let number = random.below(u64::from(TOPICS) + 1);
            let path = match number {
                // Two topics with history on one stream.
                0 => "/pair".to_owned(),
                number => format!("/t/{number}"),
            };
            load.add(Plan {
                receive_buffer: random.one_in(2).then_some(4096),
                stray: if random.one_in(4) { 50 } else { 0 },
                ..Plan::new(server.addr, &path)
            });
        }
        Ok(Crowd {
            load,
            random: Random::new(random.draw()),
            has_stalled: vec![false; streams],
        })
    }

    /// Something happens to one of them, many times a second.
    pub(super) fn live(&mut self, time: Duration, tally: &mut Tally) -> Result<(), String> {
        let (start, mut acts) = (Instant::now(), 0);
        tally.connects += self.has_stalled.len() as u64;
        while start.elapsed() < time {
            self.load.turn(Duration::from_millis(5))?;
            while acts < start.elapsed().as_millis() * ACTS_PER_SECOND / 1000 {
                acts += 1;
                self.act(tally)?;
            }
        }
        // All read to the end.
        for at in 0..self.has_stalled.len() {
            self.load.set_reads(at, true)?;
        }
        self.load.run(Duration::from_secs(1), |_| false)?;
        for at in 0..self.has_stalled.len() {
            self.settle(at, tally);
        }
        Ok(())
    }

    fn act(&mut self, tally: &mut Tally) -> Result<(), String> {
        let at = self.random.below(self.has_stalled.len() as u64) as usize;
        let stream = self.load.stream(at);
        match stream.phase {
            Phase::Open if stream.plan.reads => match self.random.below(8) {
                0 => self.close(at, tally),
                1 | 2 => {
                    tally.stalls += 1;
                    self.has_stalled[at] = true;
                    self.load.set_reads(at, false)?;
                }
                3 => self.load.stream_mut(at).stray(20),
                _ => {}
            },
            // It looks open, whatever has become of it.
            Phase::Open if self.random.one_in(16) => self.close(at, tally),
            Phase::Open if self.random.one_in(4) => self.load.set_reads(at, true)?,
            Phase::Connecting | Phase::Asked if self.random.one_in(8) => self.close(at, tally),
            Phase::Open | Phase::Waiting | Phase::Connecting | Phase::Asked => {}
            Phase::Ended | Phase::Reset | Phase::Failed | Phase::Closed => {
                self.settle(at, tally);
                self.connect(at, tally);
            }
        }
        Ok(())
    }

    fn close(&mut self, at: usize, tally: &mut Tally) {
        tally.closes += 1;
        let reset = self.random.one_in(2);
        self.load.close(at, reset);
    }

    /// Counts how a stream has ended.
    fn settle(&mut self, at: usize, tally: &mut Tally) {
        match self.load.stream(at).phase {
            Phase::Ended => tally.ended += 1,
            Phase::Failed => tally.failed += 1,
            Phase::Reset if self.has_stalled[at] => tally.reset += 1,
            Phase::Reset => tally.reset_reading += 1,
            _ => {}
        }
    }

    /// Connects again: after the last id that it saw, if there are ids and if it likes.
    fn connect(&mut self, at: usize, tally: &mut Tally) {
        tally.connects += 1;
        self.has_stalled[at] = false;
        let resumes = !self.random.one_in(4);
        let follower = &mut self.load.stream_mut(at).follower;
        let last_id = follower.last_id().to_vec();
        if !resumes || last_id.is_empty() {
            follower.forget();
        }
        let last_id = if resumes { last_id } else { Vec::new() };
        tally.resumes += u64::from(!last_id.is_empty());
        let plan = Plan {
            last_id,
            reads: true,
            ..self.load.stream(at).plan.clone()
        };
        self.load.again(at, plan);
    }
}

/// Those with an even number have history.
const TOPICS: u16 = 8;
const ACTS_PER_SECOND: u128 = 400;
