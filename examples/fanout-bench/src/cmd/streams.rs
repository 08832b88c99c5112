//! Many streams on one topic: each gets every event in order, and costs little memory.

use std::time::Duration;

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::load::Load;
use crate::serve::Order;
use crate::server::{Server, Usage};
use crate::side::Side;
use crate::words::Words;

/// Opens them, weighs them, and publishes to them for a while.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let streams: usize = args.take("streams", 10_000)?;
    let seconds: u64 = args.take("seconds", 60)?;
    let rate: u32 = args.take("rate", 5)?;
    let threads: usize = args.take("threads", 2)?;
    args.finish()?;
    let settings = Words::default().with("threads", threads);

    let mut server = Server::start("tokio", &settings)?;
    let idle = settled(&mut server)?;
    let mut side = Side::on(server, streams)?;
    let open = settled(&mut side.server)?;
    println!("{streams} streams, {rate} events/s of 128 B for {seconds} s, {threads} threads");
    let each = |bytes: u64| Median::exactly(bytes as f64 / 1024.0 / streams as f64);
    let live = each(open.live - idle.live);
    figures.at_most(
        "user-space memory per idle stream, by the allocator",
        live,
        "KiB",
        0.7,
    );
    let resident = each(open.resident.saturating_sub(idle.resident));
    figures.tell("resident memory per idle stream", resident, "KiB");

    let ticks = seconds * u64::from(rate);
    let used = side.slice(Order::paced(ticks, Duration::from_secs(1) / rate, 1))?;
    let counts = side.load.counts();
    figures.exactly("events that arrived", counts.events, ticks * streams as u64);
    figures.exactly("lost", counts.lost, 0);
    figures.exactly("twice or out of order", counts.again, 0);
    figures.exactly("malformed", counts.odd, 0);
    figures.exactly(
        "streams that got all in order",
        complete(&side.load, ticks),
        streams as u64,
    );
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        let micros = side.load.latency.value_at_quantile(share) as f64 / 1e3;
        figures.tell(name, Median::exactly(micros), "µs");
    }
    figures.tell(
        "CPU per delivery",
        Median::exactly(used.micros_each()),
        "µs",
    );
    let calls = Median::exactly(used.calls_each());
    figures.at_most("allocations per delivery", calls, "", 0.01);
    let after = settled(&mut side.server)?;
    let live = each(after.live.saturating_sub(idle.live));
    figures.at_most(
        "memory per stream after the run, log included",
        live,
        "KiB",
        0.7,
    );
    let resident = each(after.resident.saturating_sub(idle.resident));
    figures.tell("resident memory per stream after the run", resident, "KiB");
    Ok(())
}

/// How many streams have got the events from 1 to `last`, each once and in order.
fn complete(load: &Load, last: u64) -> u64 {
    let streams = load.streams().iter();
    let complete = streams.filter(|stream| {
        // That many, none missing between the first and the last, none twice: it was all of them.
        stream.counts.are_clean()
            && stream.counts.events == last
            && stream.follower.next(1) == Some(last + 1)
    });
    complete.count() as u64
}

/// What a server has used, once it has nothing to do.
fn settled(server: &mut Server) -> Result<Usage, String> {
    let mut before = server.usage()?;
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(200));
        let now = server.usage()?;
        if now.live == before.live {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}
