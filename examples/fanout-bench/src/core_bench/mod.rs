//! The machine without IO: what each of its steps costs, by the CPU time of this thread, by the calls of the allocator,
//! and by instructions.

mod budget;
mod crowd;
mod steps;

use crate::alloc::Heap;
use crate::args::Args;
use crate::clock::thread_cpu;
use crate::figures::{Figures, Median};
pub use budget::{once_more, run as budget};
use crowd::{Crowd, Order};
use steps::{STEPS, Step};

/// Runs all of them.
///
/// # Errors
/// A text for the user.
pub fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let most: u32 = args.take("streams", 1_000_000)?;
    let rounds: usize = args.take("rounds", 11)?;
    args.finish()?;

    let sizes = [1_000, 100_000, 1_000_000];
    let sizes = sizes.into_iter().filter(|&streams| streams <= most);
    let most = sizes.clone().next_back().unwrap_or(0);
    for streams in sizes {
        for (order, bar) in [(Order::Slots, 15.0), (Order::Random, 100.0)] {
            let of = format!("{streams} streams, {}", format!("{order:?}").to_lowercase());
            // A publish allocates its frame, which everybody shares; a delivery nothing.
            let (ns, calls) = measure(steps::writes(streams, order)?, rounds)?;
            figures.at_most(&format!("pumped write, {of}"), ns, "ns", bar);
            figures.exactly(&format!("allocations for all of them, {of}"), calls, FRAME);

            let (ns, calls) = measure(steps::flights(streams, order)?, rounds)?;
            let name = format!("take and report, {of}");
            if (streams, order) == (1_000, Order::Slots) {
                figures.at_most(&name, ns, "ns", 40.0);
            } else {
                figures.tell(&name, ns, "ns");
            }
            figures.exactly(&format!("allocations for all of them, {of}"), calls, FRAME);
        }
        let (ns, calls) = measure(steps::heartbeats(streams)?, rounds)?;
        figures.tell(&format!("heartbeat, {streams} streams"), ns, "ns");
        figures.exactly("allocations for all of them", calls, 0);
        // Small tables are mostly room to grow: weighed at the largest size.
        if streams == most && streams > 1_000 {
            let bytes = Median::exactly(bytes_per_stream(streams)?);
            figures.at_most(&format!("bytes per stream, {streams}"), bytes, "B", 128.0);
        }
    }
    for (name, step) in STEPS {
        let (ns, _) = measure(step()?, rounds)?;
        match name {
            steps::ABSENT => figures.at_most(name, ns, "ns", 50.0),
            _ => figures.tell(name, ns, "ns"),
        }
    }
    figures.exactly("bytes left behind by a million connects", left_behind()?, 0);
    Ok(())
}

/// ns for each of what the step is named after, and the calls of the allocator in one whole step; tables that
/// grow now and then are no part of a step.
fn measure(mut step: Step, rounds: usize) -> Result<(Median, u64), String> {
    // A round lasts long enough for the clock.
    let repeat = 200_000_u64.div_ceil(step()?);
    let mut samples = Vec::with_capacity(rounds);
    let mut calls = 0;
    for round in 0..=rounds {
        let (heap, start) = (Heap::now(), thread_cpu());
        let mut units = 0;
        for _ in 0..repeat {
            units += step()?;
        }
        // The first round warms up.
        if round > 0 {
            samples.push((thread_cpu() - start) as f64 / units as f64);
            calls += Heap::now().calls - heap.calls;
        }
    }
    Ok((Median::of(&samples), calls / (repeat * rounds as u64)))
}

/// What the allocator has handed out for idle streams of one topic.
fn bytes_per_stream(streams: u32) -> Result<f64, String> {
    let before = Heap::now();
    let crowd = Crowd::new(streams, Order::Slots)?;
    // The list of ids is the bench's own.
    let own = crowd.ids.capacity() * size_of_val(&crowd.ids[0]);
    let bytes = Heap::now().live - before.live - own as u64;
    Ok(bytes as f64 / f64::from(streams))
}

/// Bytes that are more after a million connections came and went.
fn left_behind() -> Result<u64, String> {
    let mut step = steps::connects()?;
    step()?;
    let before = Heap::now();
    for _ in 0..1_000_000 {
        step()?;
    }
    Ok(Heap::now().live.saturating_sub(before.live))
}

/// What a frame is made of: its bytes, and the count of who shares them.
const FRAME: u64 = 2;
