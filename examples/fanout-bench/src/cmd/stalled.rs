//! One client of many never reads: the others do not notice, it is told or cut, and memory stays in its bound.

use std::time::Duration;

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::load::Load;
use crate::serve::Order;
use crate::server::Server;
use crate::side::{OPEN, PATH};
use crate::stream::{Phase, Plan};
use crate::words::Words;

/// What is set for a run.
#[derive(Clone, Copy)]
struct Setting {
    streams: usize,
    seconds: u32,
    slow: &'static str,
    /// One of the streams never reads.
    stalls: bool,
    /// In milliseconds.
    write_timeout: u64,
}

/// A run that is at its end; the streams are still open.
struct Run {
    server: Server,
    load: Load,
    p99: f64,
    last: u64,
}

/// Rounds of each policy, with and without the one that never reads, alternating; then one round of each in which it
/// is left to its fate.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let streams: usize = args.take("streams", 1_000)?;
    let rounds: usize = args.take("rounds", 4)?;
    let seconds: u32 = args.take("seconds", 3)?;
    args.finish()?;
    println!(
        "{streams} streams, 25 events/s of 128 B for {seconds} s, {rounds} rounds of each policy"
    );

    let mut ratios = Vec::new();
    for round in 0..rounds {
        for slow in POLICIES {
            let with = Setting {
                streams,
                seconds,
                slow,
                stalls: true,
                write_timeout: 30_000,
            };
            let without = Setting {
                stalls: false,
                ..with
            };
            let (mut a, mut b);
            if round.is_multiple_of(2) {
                a = Run::new(with)?;
                b = Run::new(without)?;
            } else {
                b = Run::new(without)?;
                a = Run::new(with)?;
            }
            ratios.push(a.p99 / b.p99);
            b.judge_others(&format!("{slow}, without"), streams, figures);
            a.judge_others(&format!("{slow}, with"), streams - 1, figures);
            a.judge_memory(slow, &mut b, figures)?;
            a.judge_told(slow, streams - 1, figures)?;
        }
    }
    for slow in POLICIES {
        let left = Setting {
            streams,
            seconds: seconds + 2,
            slow,
            stalls: true,
            write_timeout: 2_000,
        };
        let mut run = Run::new(left)?;
        run.judge_others(&format!("{slow}, left alone"), streams - 1, figures);
        run.judge_cut(slow, streams - 1, figures)?;
    }
    figures.at_most(
        "p99 of the others, with / without",
        Median::of(&ratios),
        "×",
        1.1,
    );
    Ok(())
}

impl Run {
    /// Opens the streams, fills the buffers of the one that does not read, and publishes for a while.
    fn new(setting: Setting) -> Result<Run, String> {
        let settings = Words::default()
            .with("slow", setting.slow)
            .with("notice", u8::from(setting.slow != "close"))
            .with("write_timeout", setting.write_timeout);
        let mut server = Server::start("tokio", &settings)?;
        let mut load = Load::new()?;
        let reader = Plan::new(server.addr, PATH);
        let readers = setting.streams - usize::from(setting.stalls);
        for _ in 0..readers {
            load.add(reader.clone());
        }
        if setting.stalls {
            load.add(Plan {
                reads: false,
                receive_buffer: Some(4096),
                ..reader
            });
        }
        load.open_all(OPEN)?;
        let all = setting.streams as u64;
        load.run(OPEN, |_| {
            server.stats().and_then(|stats| stats.get("streams")) == Ok(all)
        })?;

        let fill = Order {
            bytes: 16 << 10,
            ..Order::paced(FILL, Duration::from_millis(20), 1)
        };
        publish(&mut server, &mut load, fill, readers)?;
        load.latency.reset();
        load.times = readers;
        let ticks = u64::from(25 * setting.seconds);
        let paced = Order::paced(ticks, Duration::from_millis(40), FILL + 1);
        publish(&mut server, &mut load, paced, readers)?;
        let p99 = load.latency.value_at_quantile(0.99) as f64 / 1e3;
        let last = FILL + ticks;
        Ok(Run {
            server,
            load,
            p99,
            last,
        })
    }

    /// Everybody else has everything.
    fn judge_others(&self, name: &str, readers: usize, figures: &mut Figures) {
        let streams = &self.load.streams()[..readers];
        let complete = streams.iter().filter(|stream| {
            stream.phase == Phase::Open
                && stream.counts.are_clean()
                && stream.counts.gaps == 0
                && stream.counts.events == self.last
        });
        let complete = complete.count() as u64;
        let name = format!(
            "{name}: streams that missed nothing (p99 {:.0} µs)",
            self.p99
        );
        figures.exactly(&name, complete, readers as u64);
    }

    /// What the one that does not read costs.
    fn judge_memory(
        &mut self,
        slow: &str,
        without: &mut Run,
        figures: &mut Figures,
    ) -> Result<(), String> {
        let stats = idle(&mut self.server)?;
        let kib = |bytes: f64| Median::exactly(bytes / 1024.0);
        let held = kib(stats.get::<f64>("held_bytes")?);
        figures.at_most(&format!("{slow}: held for it"), held, "KiB", 128.0);
        let logs = kib(stats.get::<f64>("logs_bytes")?);
        figures.at_most(&format!("{slow}: log"), logs, "KiB", 4096.0);
        let (a, b) = (self.server.usage()?.live, without.server.usage()?.live);
        let more = kib(a as f64 - b as f64);
        figures.at_most(
            &format!("{slow}: memory more than without it"),
            more,
            "KiB",
            256.0,
        );
        Ok(())
    }

    /// It reads on: it is told what it missed, or its stream ends, as the policy says.
    fn judge_told(&mut self, slow: &str, at: usize, figures: &mut Figures) -> Result<(), String> {
        let last = self.last;
        self.load.set_reads(at, true)?;
        let ends = slow == "close";
        self.load.run(TOLD, |load| {
            let stream = load.stream(at);
            match ends {
                true => !stream.is_connected(),
                false => stream.follower.next(1) > Some(last),
            }
        })?;
        let stream = self.load.stream(at);
        let counts = stream.counts;
        let is_right = match slow {
            "close" => stream.phase == Phase::Ended && stream.is_whole() && counts.gaps == 0,
            _ => stream.phase == Phase::Open && counts.gaps == 1 && counts.told > 0,
        };
        let all_accounted = ends || counts.events + counts.told == last;
        let what = match slow {
            "close" => format!("ended in order after {} events", counts.events),
            _ => format!(
                "told of {} missed, got {}, ends with the newest",
                counts.told, counts.events
            ),
        };
        let holds = is_right && all_accounted && counts.are_clean();
        figures.holds(&format!("{slow}: {what}"), holds);
        if slow == "conflate" {
            // Nothing of the log but the newest; what it had begun is whole.
            figures.holds(
                "conflate: went on with the newest",
                counts.told + FILL >= last - 1,
            );
        }
        Ok(())
    }

    /// It never reads: it was cut.
    fn judge_cut(&mut self, slow: &str, at: usize, figures: &mut Figures) -> Result<(), String> {
        // What a worker has just written counts as held until it is reported.
        let stats = idle(&mut self.server)?;
        let name = format!("{slow}, left alone");
        figures.exactly(&format!("{name}: cut as stalled"), stats.get("stalled")?, 1);
        figures.exactly(
            &format!("{name}: streams left"),
            stats.get("streams")?,
            at as u64,
        );
        figures.exactly(&format!("{name}: held"), stats.get("held_bytes")?, 0);
        self.load.set_reads(at, true)?;
        self.load
            .run(TOLD, |load| !load.stream(at).is_connected())?;
        let is_reset = self.load.stream(at).phase == Phase::Reset;
        figures.holds(&format!("{name}: it finds a reset, not an end"), is_reset);
        Ok(())
    }
}

/// The counters of a server that has nothing left to report.
fn idle(server: &mut Server) -> Result<Words, String> {
    let mut before = server.stats()?;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = server.stats()?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

/// Publishes, and reads until all that read have it.
fn publish(
    server: &mut Server,
    load: &mut Load,
    order: Order,
    readers: usize,
) -> Result<(), String> {
    let last = order.from + order.events() - 1;
    server.publish(order)?;
    let done = load.run(LONG, |load| {
        load.events >= last * readers as u64 && server.published().is_ok_and(|one| one.is_some())
    })?;
    if done {
        Ok(())
    } else {
        Err(format!("not everything has come: {:?}", load.counts()))
    }
}

const POLICIES: [&str; 3] = ["skip", "conflate", "close"];
/// Large events that fill the buffers of who does not read.
const FILL: u64 = 24;
const LONG: Duration = Duration::from_secs(40);
const TOLD: Duration = Duration::from_secs(10);
