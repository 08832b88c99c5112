//! A long time of everything at once: connects, disconnects, stalls, publishes, resumes, at random; and after each
//! wave all leave, and the memory has to be what it was.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::load::Load;
use crate::random::Random;
use crate::serve::Order;
use crate::server::Server;
use crate::stream::{Phase, Plan};
use crate::words::Words;

/// Some waves, each of a part of the time.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let minutes: f64 = args.take("minutes", 1.0)?;
    let waves: u32 = args.take("waves", 4)?;
    let streams: usize = args.take("streams", 300)?;
    let seed: u64 = args.take("seed", 1)?;
    args.finish()?;
    if waves < 2 {
        return Err("the second wave is compared with the first: at least 2".to_owned());
    }
    println!("{streams} clients at random for {minutes} min in {waves} waves, seed {seed}");
    let settings = Words::default()
        .with("topics", TOPICS)
        .with("history", "even")
        .with("notice", 1)
        .with("write_timeout", 3_000)
        .with("pairs", 1);
    let mut server = Server::start("tokio", &settings)?;
    let mut random = Random::new(seed);
    let mut memory = Vec::new();
    let mut tally = Tally::default();
    for wave in 1..=u64::from(waves) {
        let mut crowd = Crowd::new(&server, streams, &mut random)?;
        server.publish(Order {
            ticks: u64::from(u32::MAX),
            every: Duration::from_millis(3),
            burst: 1,
            bytes: 3_000,
            topics: TOPICS,
            from: wave * 1_000_000_000,
        })?;
        crowd.live(
            Duration::from_secs_f64(minutes * 60.0 / f64::from(waves)),
            &mut tally,
        )?;
        server.stop_publishing()?;
        let load = &mut crowd.load;
        load.run(LONG, |_| server.published().is_ok_and(|one| one.is_some()))?;
        tally.add(load);
        drop(crowd);
        wait_until_empty(&mut server)?;
        memory.push(server.usage()?.live as f64 / 1024.0);
    }

    let Tally {
        connects,
        resumes,
        stalls,
        closes,
        counts,
        ended,
        reset,
        failed,
        ..
    } = tally;
    println!("connects {connects}, of them resumes {resumes}; stalls {stalls}, closes {closes}");
    println!(
        "events {}, told missed {}, gap notices {}",
        counts.events, counts.told, counts.gaps
    );
    figures.holds(
        "every kind was seen",
        resumes > 0 && stalls > 0 && counts.gaps > 0 && reset > 0,
    );
    figures.exactly("lost without a notice", counts.lost, 0);
    figures.exactly("twice or out of order", counts.again, 0);
    figures.exactly("malformed", counts.odd, 0);
    figures.exactly("ended by the server", ended, 0);
    println!("cut while they did not read: {reset}");
    figures.exactly("cut though they read", tally.reset_reading, 0);
    figures.exactly("failed", failed, 0);
    for (wave, kib) in memory.iter().enumerate() {
        figures.tell(
            &format!("memory without streams after wave {}", wave + 1),
            Median::exactly(*kib),
            "KiB",
        );
    }
    let growth = memory.iter().fold(f64::MIN, |most, kib| most.max(*kib)) - memory[0];
    // Tables keep their high-water marks, and each wave is at another one.
    figures.at_most(
        "growth after the first wave",
        Median::exactly(growth),
        "KiB",
        256.0,
    );
    Ok(())
}

/// What is counted over all waves.
#[derive(Default)]
struct Tally {
    connects: u64,
    resumes: u64,
    stalls: u64,
    closes: u64,
    ended: u64,
    reset: u64,
    reset_reading: u64,
    failed: u64,
    counts: crate::follow::Counts,
}

impl Tally {
    fn add(&mut self, load: &Load) {
        self.counts.add(&load.counts());
    }
}

/// The clients of a wave.
struct Crowd {
    load: Load,
    random: Random,
    /// Which of them did not read at some time of this connection.
    has_stalled: Vec<bool>,
}

impl Crowd {
    fn new(server: &Server, streams: usize, random: &mut Random) -> Result<Crowd, String> {
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
    fn live(&mut self, time: Duration, tally: &mut Tally) -> Result<(), String> {
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

/// Waits until the server has no stream left.
fn wait_until_empty(server: &mut Server) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let stats = server.stats()?;
        let left = ["streams", "finishing", "openings"].map(|name| stats.get::<u64>(name));
        if left.iter().all(|left| *left == Ok(0)) {
            return Ok(());
        }
        if start.elapsed() > LONG {
            return Err(format!("streams, finishing, openings are still {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Those with an even number have history.
const TOPICS: u16 = 8;
const ACTS_PER_SECOND: u128 = 400;
const LONG: Duration = Duration::from_secs(20);
