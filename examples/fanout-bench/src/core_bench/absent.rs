//! A publish that nobody hears, through the hub and its lock.

use std::hint::black_box;

use sse_state_tokio::{Event, Hub};

use crate::clock::thread_cpu;
use crate::figures::{Figures, Median};

/// ns per publish to a topic that is not there; nothing is encoded.
pub(super) fn run(rounds: usize, figures: &mut Figures) -> Result<(), String> {
    const REPEAT: usize = 100_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let _inside = runtime.enter();
    let hub = Hub::builder().build().map_err(|error| error.to_string())?;
    let data = "x".repeat(128);
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let start = thread_cpu();
        for _ in 0..REPEAT {
            let published = hub.publish(black_box("/absent"), Event::new(&data));
            black_box(published).map_err(|error| error.to_string())?;
        }
        samples.push((thread_cpu() - start) as f64 / REPEAT as f64);
    }
    let name = "publish to an absent topic, by the hub";
    figures.at_most(name, Median::of(&samples), "ns", 50.0);
    Ok(())
}
