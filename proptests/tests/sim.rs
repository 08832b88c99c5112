//! The simulated world: the hub's own code on a virtual network and a virtual clock.

use sse_state_proptests::sim::{self, Bug};

/// Twenty times as much with `SSE_PROOF=full`, as `.ci/full` has it.
fn proofs(worlds: u64) -> u64 {
    match std::env::var("SSE_PROOF").as_deref() {
        Ok("full") => 20 * worlds,
        _ => worlds,
    }
}

#[test]
fn worlds_keep_every_rule() {
    for seed in 0..proofs(10) {
        let outcome = sim::run(seed);
        let failures = outcome.failures;
        assert!(failures.is_empty(), "world {seed}: {failures:#?}");
    }
}

#[test]
fn a_world_is_the_same_twice() {
    for seed in [100, 101] {
        let (one, other) = (sim::run(seed), sim::run(seed));
        assert_eq!(one.digest, other.digest, "world {seed}");
        assert_eq!(one.tally.marks, other.tally.marks, "world {seed}");
    }
}

/// Every bug that is planted around the hub is found, else the checks are blind: each fourth of them here,
/// all with `SSE_PROOF=full`.
#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    let step = if proofs(1) == 1 { 4 } else { 1 };
    for bug in Bug::ALL.into_iter().step_by(step) {
        match sim::find(bug, 0) {
            Some((seed, outcome)) => println!("{bug:?}, world {seed}: {}", outcome.failures[0]),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// Every kind of fault at every place of scripts, in five seconds as far as it comes.
#[test]
fn every_fault_at_every_place_is_survived() {
    let ends = proofs(1) == 1;
    let until = ends.then(|| std::time::Instant::now() + std::time::Duration::from_secs(5));
    let sweep = sim::sweep(until);
    println!("{} runs, {} pairs", sweep.runs, sweep.pairs);
    assert!(sweep.failures.is_empty(), "{:#?}", sweep.failures);
    assert!(sweep.runs > 0);
}

/// With `SSE_PROOF=full`: the standard budget, in which every rare situation has its quota.
#[test]
fn the_standard_budget_meets_every_quota() {
    if proofs(1) == 1 {
        return;
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(240);
    let part = sim::part(0, until);
    println!("{part}");
    assert!(part.failures.is_empty(), "{:#?}", part.failures);
}
