//! The simulation as one part of a verification.

use std::time::Instant;

use super::{Bug, Fault, Mark, Outcome, Tally, run, run_with, sweep};
use crate::part::Part;

/// Worlds of seeds from this one on, until the time is up, with a planted bug among every few of them.
pub fn part(seed: u64, until: Instant) -> Part {
    let mut part = Part::new("simulation");
    let (mut tally, mut worlds, mut found) = (Tally::default(), 0, 0);
    let mut planted = 0u64;
    // The sweep has a third of the time at most.
    let begun = Instant::now();
    let swept = sweep(Some(begun + until.saturating_duration_since(begun) / 3));
    part.figure("faults swept through scripts", swept.runs);
    part.figure("scripts and kinds of fault swept to their end", swept.pairs);
    for failure in swept.failures {
        part.fail(failure);
    }
    loop {
        let at = seed + worlds;
        let outcome = run(at);
        tally.add(&outcome.tally);
        worlds += 1;
        if let Some(failure) = outcome.failures.first() {
            part.fail(format_args!("world {at}: {failure}"));
        }
        if worlds % WORLDS_PER_BUG == 1 {
            let bug = Bug::ALL[((seed + planted) % Bug::ALL.len() as u64) as usize];
            planted += 1;
            match find(bug, at) {
                Some(_) => found += 1,
                None => part.fail(format_args!(
                    "the planted bug {bug:?} is not found from {at} on"
                )),
            }
        }
        if Instant::now() >= until {
            break;
        }
    }
    part.figure("worlds", worlds);
    figures(&mut part, &tally, worlds);
    part.figure("planted bugs found", format_args!("{found} of {planted}"));
    part
}

/// The first world, of a few from this seed on, in which a planted bug is found.
pub fn find(bug: Bug, seed: u64) -> Option<(u64, Outcome)> {
    (seed..seed + WORLDS_FOR_A_BUG).find_map(|seed| {
        let outcome = run_with(seed, bug);
        (!outcome.failures.is_empty()).then_some((seed, outcome))
    })
}

fn figures(part: &mut Part, tally: &Tally, worlds: u64) {
    let hours = tally.connected.as_secs_f64() / 3600.0;
    let all = tally.operations + tally.all_faults();
    part.figure("virtual connection-hours", format_args!("{hours:.0}"));
    part.figure("operations", tally.operations);
    part.figure("faults", tally.all_faults());
    let each = all as f64 / (hours * 60.0);
    let text = "operations and faults per connection-minute";
    part.figure(text, format_args!("{each:.1}"));
    part.holds(each >= 1.0, || format!("only {each:.2} {text}"));
    let kinds = Fault::ALL.into_iter().zip(tally.faults);
    let kinds = kinds.map(|(fault, times)| format!("{fault:?} {times}"));
    part.figure("faults by kind", kinds.collect::<Vec<_>>().join(", "));
    part.figure("events delivered", tally.delivered);
    let marks = Mark::ALL.iter().zip(tally.marks);
    let (hit, missed): (Vec<_>, Vec<_>) = marks.partition(|(mark, times)| *times >= mark.quota());
    part.figure(
        "rare situations at their quota",
        format_args!("{} of {}", hit.len(), Mark::ALL.len()),
    );
    if worlds >= STANDARD_WORLDS {
        for (mark, times) in missed {
            let quota = mark.quota();
            part.fail(format_args!("{mark:?} was seen {times} times of {quota}"));
        }
    }
}

/// Worlds of the standard budget, in which every quota must be met.
pub const STANDARD_WORLDS: u64 = 650;
/// One planted bug among so many worlds.
const WORLDS_PER_BUG: u64 = 32;
/// Worlds in which a planted bug must show.
const WORLDS_FOR_A_BUG: u64 = 24;
