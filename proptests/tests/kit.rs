//! The kit for drivers: the one that is right passes the sweep, each that is wrong is found by its rule.

use std::time::{Duration, Instant};

use sse_state_proptests::reference::Wrong;
use sse_state_proptests::script::Readiness;
use sse_state_proptests::sweep::{found, part, reference, sweep_with};

#[test]
fn the_right_driver_passes_every_fault_at_every_step() {
    for readiness in [Readiness::Edge, Readiness::Level] {
        let report = sweep_with(readiness, reference);
        println!("{readiness:?}: {report}reached: {:?}", report.reached);
        assert!(report.failures.is_empty());
        let missing: Vec<&&str> = REACHED
            .iter()
            .filter(|what| !report.reached.contains(**what))
            .collect();
        assert!(missing.is_empty(), "the scenes do not reach {missing:?}");
    }
}

/// What the scenes are for.
const REACHED: &[&str] = &[
    "Close Answered",
    "Close Evicted",
    "Close HeadTimeout",
    "Close Shutdown",
    "Close Stalled",
    "Finish",
    "Poll",
    "Room",
    "StartSource",
    "StopSource Asked",
    "StopSource NoSubscribers",
    "StopSource Shutdown",
    "sse-gap",
];

#[test]
fn every_wrong_driver_is_found_by_its_rule() {
    let start = Instant::now();
    let mut missed = Vec::new();
    for wrong in Wrong::ALL {
        let found = found(wrong);
        println!(
            "{:20} {:4} found by {}",
            format!("{wrong:?}"),
            wrong.rule(),
            found.join(" ")
        );
        if !found.contains(&wrong.rule()) {
            missed.push(wrong);
        }
    }
    println!("{:?}", start.elapsed());
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn the_part_of_a_verification_has_its_figures() {
    let part = part(7, Instant::now() + Duration::from_secs(8));
    print!("{part}");
    assert!(part.failures.is_empty());
}
