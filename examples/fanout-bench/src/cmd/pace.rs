//! CPU of the servers for each delivery, compared within each round: with the floor, and with what axum has.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::serve::Order;
use crate::side::{Side, Slice};
use crate::words::Words;

/// One event at a time, on everything there is.
pub(super) fn paced(args: Args, figures: &mut Figures) -> Result<(), String> {
    compare(args, figures, 25, 1, PACED, 0.35)
}

/// Ten events at a time.
pub(super) fn burst(args: Args, figures: &mut Figures) -> Result<(), String> {
    compare(args, figures, 10, 10, BURST, 0.35)
}

/// What a ratio of the costs of two subjects may be.
type Bar = (&'static str, &'static str, f64);

/// What is measured: a server in a process of its own, with its streams.
struct Subject {
    name: String,
    kind: String,
    settings: Words,
    rounds: Rounds,
}

/// What is kept of a subject's rounds.
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
    bars: &[Bar],
    user_bar: f64,
) -> Result<(), String> {
    let streams: usize = args.take("streams", 1_000)?;
    let rounds: usize = args.take("rounds", 11)?;
    let rate: u32 = args.take("rate", rate)?;
    let burst: u64 = args.take("burst", burst)?;
    let seconds: f64 = args.take("seconds", 1.5)?;
    let threads: usize = args.take("threads", 2)?;
    let mut all = Vec::new();
    for &(name, of, _) in bars {
        let missing = [of, name].into_iter().filter(|&name| name != FLOOR);
        all.extend(missing);
    }
    let names: String = args.take("servers", all.join(","))?;
    args.finish()?;
    let mut subjects: Vec<Subject> = [FLOOR]
        .into_iter()
        .chain(names.split(','))
        .map(|name| Subject::new(name, threads))
        .collect();
    let order = Order {
        burst,
        ..Order::paced(
            (seconds * f64::from(rate)).ceil() as u64,
            Duration::from_secs(1) / rate,
            1,
        )
    };

    for round in 0..rounds {
        // What runs first is another one in each round.
        let count = subjects.len();
        let turns: Vec<usize> = (0..count).map(|at| (at + round) % count).collect();
        measure(&mut subjects, &turns, order, streams)?;
        eprintln!("round {} of {rounds}", round + 1);
    }

    let events = rate * u32::try_from(burst).unwrap_or(u32::MAX);
    println!(
        "{streams} streams, {events} events/s of 128 B in bursts of {burst}, {threads} threads, {rounds} rounds\n"
    );
    println!(
        "| server | CPU per delivery, µs | user part, µs | / floor | p50, µs | p99, µs | p99.9, µs | allocations |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for subject in &subjects {
        subject.tell(&subjects[0]);
    }
    println!();
    for &(name, of, bar) in bars {
        let find = |name| subjects.iter().find(|subject| subject.name == name);
        if let (Some(subject), Some(of)) = (find(name), find(of)) {
            let told = format!("CPU per delivery, {name} / {}", of.name);
            figures.at_most(&told, subject.ratio_to(of), "×", bar);
        }
    }
    if let Some(tokio) = subjects.iter().find(|subject| subject.name == "tokio") {
        let user = Median::of(&tokio.rounds.user);
        figures.at_most("user part, tokio", user, "µs", user_bar);
    }
    Ok(())
}

/// One round: A B C, then C B A, so that what drifts meets all alike.
fn measure(
    subjects: &mut [Subject],
    turns: &[usize],
    order: Order,
    streams: usize,
) -> Result<(), String> {
    // New processes each time: where their memory happens to lie is part of what scatters.
    let mut sides = Vec::new();
    for subject in &*subjects {
        let told = |error: String| format!("{}: {error}", subject.name);
        let mut side = Side::open(&subject.kind, &subject.settings, streams).map_err(told)?;
        side.slice(Order { ticks: 5, ..order }).map_err(told)?;
        side.load.latency.reset();
        sides.push((side, Slice::default()));
    }
    for &turn in turns.iter().chain(turns.iter().rev()) {
        let (side, used) = &mut sides[turn];
        *used = used.and(side.slice(order)?);
    }
    for (subject, (side, used)) in subjects.iter_mut().zip(&sides) {
        let counts = side.load.counts();
        if !counts.are_clean() {
            return Err(format!("{}: events were lost: {counts:?}", subject.name));
        }
        subject.rounds.add(*used, &side.load.latency);
    }
    Ok(())
}

impl Subject {
    /// The floor has two more names: `again` shows what the method itself scatters by, with `options` its sockets are
    /// set as the hub's.
    fn new(name: &str, threads: usize) -> Subject {
        let settings = Words::default().with("threads", threads);
        let (kind, settings) = match name {
            "again" => (FLOOR, settings),
            "options" => (FLOOR, settings.with("options", 1)),
            kind => (kind, settings),
        };
        Subject {
            name: name.to_owned(),
            kind: kind.to_owned(),
            settings,
            rounds: Rounds::default(),
        }
    }

    /// Of the same round each.
    fn ratio_to(&self, other: &Subject) -> Median {
        let pairs = self.rounds.micros.iter().zip(&other.rounds.micros);
        let ratios: Vec<f64> = pairs.map(|(own, other)| own / other).collect();
        Median::of(&ratios)
    }

    fn tell(&self, floor: &Subject) {
        let Rounds {
            micros,
            user,
            sum,
            latency,
        } = &self.rounds;
        let [p50, p99, p999] = latency.each_ref().map(|samples| Median::of(samples).value);
        println!(
            "| {} | {} | {} | {} | {p50:.0} | {p99:.0} | {p999:.0} | {:.3} |",
            self.name,
            Median::of(micros),
            Median::of(user),
            self.ratio_to(floor),
            sum.calls_each(),
        );
    }
}

impl Rounds {
    fn add(&mut self, used: Slice, latency: &Histogram<u64>) {
        self.micros.push(used.micros_each());
        self.user.push(used.user_micros_each());
        self.sum = self.sum.and(used);
        for (samples, share) in self.latency.iter_mut().zip([0.5, 0.99, 0.999]) {
            samples.push(latency.value_at_quantile(share) as f64 / 1e3);
        }
    }
}

/// A bare loop of `send`.
const FLOOR: &str = "floor";
const PACED: &[Bar] = &[
    ("tokio", FLOOR, 1.05),
    ("smol", FLOOR, 1.10),
    ("async-std", FLOOR, 1.10),
    ("io_uring", FLOOR, 1.0),
    ("mounted", "axum", 0.75),
];
const BURST: &[Bar] = &[("tokio", FLOOR, 0.20)];
