//! The machine without IO: what each of its steps costs, by the CPU time of this thread.

mod absent;
mod crowd;

use std::hint::black_box;
use std::time::Duration;

use crate::alloc::Heap;
use crate::args::Args;
use crate::clock::thread_cpu;
use crate::figures::{Figures, Median};
use crowd::{Crowd, Flying, Order, Taken, frame};

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
    // Small tables are mostly room to grow: weighed at the largest size.
    let most = sizes.clone().next_back().unwrap_or(0);
    for streams in sizes {
        for (order, bar) in [(Order::Slots, 15.0), (Order::Random, 100.0)] {
            let before = Heap::now();
            let mut crowd = Crowd::new(streams, order)?;
            if streams == most && streams > 1_000 && order == Order::Slots {
                // What the list of ids takes is the bench's own.
                let own = crowd.ids.capacity() * size_of_val(&crowd.ids[0]);
                let bytes = Heap::now().live - before.live - own as u64;
                let each = Median::exactly(bytes as f64 / f64::from(streams));
                figures.at_most(&format!("bytes per stream, {streams}"), each, "B", 128.0);
            }
            let (ns, calls) = writes(&mut crowd, rounds)?;
            let order = format!("{order:?}").to_lowercase();
            let name = format!("pumped write, {streams} streams, {order}");
            figures.at_most(&name, ns, "ns", bar);
            figures.exactly(&format!("{name}, allocations"), calls, 0);
            let (ns, calls) = flights(&mut crowd, rounds)?;
            let name = format!("take and report, {streams} streams, {order}");
            figures.exactly(&format!("{name}, allocations"), calls, 0);
            if streams == 1_000 && order == "slots" {
                figures.at_most(&name, ns, "ns", 40.0);
            } else {
                figures.tell(&name, ns, "ns");
            }
            if streams == most && order == "slots" {
                let (ns, calls) = heartbeats(&mut crowd, rounds)?;
                let name = format!("heartbeat, {streams} streams");
                figures.tell(&name, ns, "ns");
                figures.exactly(&format!("{name}, allocations"), calls, 0);
            }
            if streams == 1_000 && order == "slots" {
                publishes(&mut crowd, rounds, figures)?;
                connects(&mut crowd, rounds, figures)?;
                absent::run(rounds, figures)?;
            }
        }
    }
    Ok(())
}

/// Rounds of one publish to all, pulled and answered at once: ns per write, and allocations while pumping.
fn writes(crowd: &mut Crowd, rounds: usize) -> Result<(Median, u64), String> {
    let streams = crowd.ids.len();
    let repeat = (500_000 / streams).max(1);
    let mut calls = 0;
    let mut samples = Vec::new();
    for round in 0..=rounds {
        let frames = frames(repeat)?;
        let mut sink = Taken::default();
        let start = thread_cpu();
        for frame in frames {
            crowd.publish(frame)?;
            let heap = Heap::now();
            crowd.drain(&mut sink);
            if round > 0 {
                calls += Heap::now().calls - heap.calls;
            }
        }
        let used = thread_cpu() - start;
        if sink.writes != (streams * repeat) as u64 {
            return Err(format!(
                "{} writes instead of {}",
                sink.writes,
                streams * repeat
            ));
        }
        black_box(sink.bytes);
        // The first round warms up.
        if round > 0 {
            samples.push(used as f64 / sink.writes as f64);
        }
    }
    Ok((Median::of(&samples), calls))
}

/// The same, taken in flight in batches and reported: ns per write, and allocations while pumping.
fn flights(crowd: &mut Crowd, rounds: usize) -> Result<(Median, u64), String> {
    let streams = crowd.ids.len();
    let repeat = (500_000 / streams).max(1);
    let mut calls = 0;
    let mut samples = Vec::new();
    for round in 0..=rounds {
        let frames = frames(repeat)?;
        let mut sink = Flying::new();
        let start = thread_cpu();
        for frame in frames {
            crowd.publish(frame)?;
            let heap = Heap::now();
            crowd.drain_by_reports(&mut sink);
            if round > 0 {
                calls += Heap::now().calls - heap.calls;
            }
        }
        let used = thread_cpu() - start;
        if sink.writes != (streams * repeat) as u64 {
            return Err(format!(
                "{} writes instead of {}",
                sink.writes,
                streams * repeat
            ));
        }
        if round > 0 {
            samples.push(used as f64 / sink.writes as f64);
        }
    }
    Ok((Median::of(&samples), calls))
}

/// A whole interval of silence: every stream gets one. ns per heartbeat, deadlines included, and allocations.
fn heartbeats(crowd: &mut Crowd, rounds: usize) -> Result<(Median, u64), String> {
    let mut calls = 0;
    let mut samples = Vec::new();
    for round in 0..=rounds {
        let mut sink = Taken::default();
        let end = crowd.now + Duration::from_secs(15);
        let heap = Heap::now();
        let start = thread_cpu();
        while let Some(at) = crowd.state.poll_timeout().filter(|&at| at <= end) {
            crowd.now = at;
            crowd.state.handle_timeout(at);
            crowd.drain(&mut sink);
        }
        let used = thread_cpu() - start;
        crowd.now = end;
        if round > 0 {
            calls += Heap::now().calls - heap.calls;
        }
        if sink.writes == 0 {
            return Err("no heartbeat in an interval".to_owned());
        }
        if round > 0 {
            samples.push(used as f64 / sink.writes as f64);
        }
    }
    Ok((Median::of(&samples), calls))
}

/// Encoding, and publishing while nobody pulls: the log is full, so that every publish evicts.
fn publishes(crowd: &mut Crowd, rounds: usize, figures: &mut Figures) -> Result<(), String> {
    const REPEAT: usize = 20_000;
    let (mut encode, mut publish) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = thread_cpu();
        let frames = frames(REPEAT)?;
        encode.push((thread_cpu() - start) as f64 / REPEAT as f64);

        let start = thread_cpu();
        for frame in frames {
            crowd.publish(frame)?;
        }
        publish.push((thread_cpu() - start) as f64 / REPEAT as f64);
        crowd.drain(&mut Taken::default());
    }
    figures.tell("encode 128 B", Median::of(&encode), "ns");
    let name = "publish to 1000 streams, not pulled";
    figures.tell(name, Median::of(&publish), "ns");
    Ok(())
}

/// Connections that open a stream, get its first bytes and go: ns for all of that, and whether a million of them
/// leave anything behind.
fn connects(crowd: &mut Crowd, rounds: usize, figures: &mut Figures) -> Result<(), String> {
    let repeat = 1_000_000_usize.div_ceil(rounds);
    // Whose growing must not be counted.
    let mut samples = Vec::with_capacity(rounds);
    let mut live = 0;
    for round in 0..=rounds {
        let heap = Heap::now();
        let start = thread_cpu();
        for _ in 0..repeat {
            let id = crowd.state.accept(crowd.now);
            let id = id.map_err(|error| error.to_string())?;
            crowd.subscribe(id)?;
            crowd.drain(&mut Taken::default());
            let gone = crowd.state.peer_gone(crowd.now, id);
            gone.map_err(|error| error.to_string())?;
            crowd.drain(&mut Taken::default());
        }
        if round > 0 {
            samples.push((thread_cpu() - start) as f64 / repeat as f64);
            live += Heap::now().live.saturating_sub(heap.live);
        }
    }
    let name = "connect, first bytes, disconnect";
    figures.tell(name, Median::of(&samples), "ns");
    figures.exactly("bytes left behind by a million of them", live, 0);
    Ok(())
}

fn frames(count: usize) -> Result<Vec<sse_state::Frame>, String> {
    (0..count).map(|_| frame()).collect()
}
