//! As fast as there is room: a publisher that waits, and streams that must not lose anything.

use std::time::Duration;

use crate::args::Args;
use crate::clock;
use crate::figures::{Figures, Median};
use crate::serve::Order;
use crate::side::Side;
use crate::words::Words;

/// Some rounds, each with a new server.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let streams: usize = args.take("streams", 1_000)?;
    let rounds: usize = args.take("rounds", 5)?;
    let events: u64 = args.take("events", 20_000)?;
    let threads: usize = args.take("threads", 2)?;
    args.finish()?;
    let settings = Words::default().with("threads", threads);

    let client = clock::process_cpu();
    let mut delivered = 0;
    let (mut rates, mut micros, mut user) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut side = Side::open("tokio", &settings, streams)?;
        // Latencies of a queue that is always full say nothing.
        side.load.times = 0;
        let used = side.slice(Order::paced(events, Duration::ZERO, 1))?;
        let counts = side.load.counts();
        if !counts.are_clean() || counts.gaps > 0 {
            return Err(format!("events were lost: {counts:?}"));
        }
        delivered += used.delivered;
        rates.push(used.rate() / 1e6);
        micros.push(used.micros_each());
        user.push(used.user_micros_each());
    }
    println!(
        "{streams} streams, {events} events of 128 B as fast as there is room, {threads} threads, {rounds} rounds"
    );
    figures.exactly("events lost", 0, 0);
    let client = (clock::process_cpu() - client) as f64 / 1e3 / delivered as f64;
    figures.tell(
        "CPU of the client per delivery",
        Median::exactly(client),
        "µs",
    );
    figures.tell("user part", Median::of(&user), "µs");
    figures.at_most("CPU per delivery", Median::of(&micros), "µs", 0.2);
    figures.at_least("deliveries", Median::of(&rates), "M/s", 5.0);
    Ok(())
}
