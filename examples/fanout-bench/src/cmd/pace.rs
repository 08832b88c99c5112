//! CPU of the server for each delivery, against the floor of the same round.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::serve::Order;
use crate::side::{Side, Slice};
use crate::words::Words;

/// One event at a time.
pub(super) fn paced(args: Args, figures: &mut Figures) -> Result<(), String> {
    compare(args, figures, 25, 1, (1.05, 0.35))
}

/// Ten events at a time.
pub(super) fn burst(args: Args, figures: &mut Figures) -> Result<(), String> {
    compare(args, figures, 10, 10, (0.20, 0.35))
}

/// What is kept of one side's rounds.
#[derive(Default)]
struct Rounds {
    micros: Vec<f64>,
    user: Vec<f64>,
    sum: Slice,
    latency: [Vec<f64>; 3],
}

fn compare(
    mut args: Args,
    figures: &mut Figures,
    rate: u32,
    burst: u64,
    (ratio_bar, user_bar): (f64, f64),
) -> Result<(), String> {
    let streams: usize = args.take("streams", 1_000)?;
    let rounds: usize = args.take("rounds", 11)?;
    let rate: u32 = args.take("rate", rate)?;
    let burst: u64 = args.take("burst", burst)?;
    let seconds: f64 = args.take("seconds", 1.5)?;
    let threads: usize = args.take("threads", 2)?;
    let ratio_bar: f64 = args.take("ratio", ratio_bar)?;
    // `floor` against itself tells what the method scatters by.
    let server: String = args.take("server", "tokio".to_owned())?;
    let options: u8 = args.take("floor-options", 0)?;
    args.finish()?;
    let settings = Words::default()
        .with("threads", threads)
        .with("options", options);
    let bare = Words::default();
    let order = Order {
        burst,
        ..Order::paced(
            (seconds * f64::from(rate)).ceil() as u64,
            Duration::from_secs(1) / rate,
            1,
        )
    };

    let (mut own, mut floor) = (Rounds::default(), Rounds::default());
    let (mut ratios, mut late) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // New processes each time: where their memory happens to lie is part of what scatters.
        let mut a = Side::open(&server, &settings, streams)?;
        let mut b = Side::open("floor", &bare, streams)?;
        let warm_up = Order { ticks: 5, ..order };
        a.slice(warm_up)?;
        b.slice(warm_up)?;
        a.load.latency.reset();
        b.load.latency.reset();
        let (mut used_a, mut used_b) = (Slice::default(), Slice::default());
        // A B B A, then B A A B: what drifts meets both alike.
        for turn in 0..4 {
            if (turn == 0 || turn == 3) == round.is_multiple_of(2) {
                used_a = used_a.and(a.slice(order)?);
            } else {
                used_b = used_b.and(b.slice(order)?);
            }
        }
        for side in [&a, &b] {
            let counts = side.load.counts();
            if !counts.are_clean() {
                return Err(format!("events were lost: {counts:?}"));
            }
        }
        ratios.push(used_a.micros_each() / used_b.micros_each());
        late.push(quantile(&a.load.latency, 0.99) / quantile(&b.load.latency, 0.99));
        own.add(used_a, &a.load.latency);
        floor.add(used_b, &b.load.latency);
    }

    let events = rate * u32::try_from(burst).unwrap_or(u32::MAX);
    println!(
        "{streams} streams, {events} events/s of 128 B in bursts of {burst}, {threads} threads, {rounds} rounds"
    );
    own.tell(&server, figures);
    floor.tell("floor", figures);
    figures.tell(&format!("p99, {server} / floor"), Median::of(&late), "×");
    figures.at_most(
        &format!("CPU per delivery, {server} / floor"),
        Median::of(&ratios),
        "×",
        ratio_bar,
    );
    figures.at_most(
        &format!("user part, {server}"),
        Median::of(&own.user),
        "µs",
        user_bar,
    );
    Ok(())
}

impl Rounds {
    fn add(&mut self, used: Slice, latency: &Histogram<u64>) {
        self.micros.push(used.micros_each());
        self.user.push(used.user_micros_each());
        self.sum = self.sum.and(used);
        for (samples, share) in self.latency.iter_mut().zip(SHARES) {
            samples.push(quantile(latency, share));
        }
    }

    fn tell(&self, name: &str, figures: &mut Figures) {
        let micros = Median::of(&self.micros);
        figures.tell(&format!("{name}: CPU per delivery"), micros, "µs");
        let user = Median::of(&self.user);
        figures.tell(&format!("{name}: user part"), user, "µs");
        let user = Median::exactly(self.sum.user_micros_each());
        figures.tell(&format!("{name}: user part over all rounds"), user, "µs");
        let calls = Median::exactly(self.sum.calls_each());
        figures.tell(&format!("{name}: allocations per delivery"), calls, "");
        for (samples, share) in self.latency.iter().zip(SHARES) {
            let name = format!("{name}: p{}", share * 100.0);
            figures.tell(&name, Median::of(samples), "µs");
        }
    }
}

/// A quantile in microseconds.
fn quantile(latency: &Histogram<u64>, share: f64) -> f64 {
    latency.value_at_quantile(share) as f64 / 1e3
}

const SHARES: [f64; 3] = [0.5, 0.99, 0.999];
