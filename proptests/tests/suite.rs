//! Random scenarios: the machine, the naive model and one that chooses otherwise keep every rule of the
//! checker; the first two agree with each other; a journal replays.

use std::sync::{Arc, Mutex, PoisonError};

use sse_state::Engine;
use sse_state::journal::{Recorder, replay};
use sse_state_proptests::model::Model;
use sse_state_proptests::other::Other;
use sse_state_proptests::suite::{
    Budget, Factory, Real, Report, differential, finish, scenario, suite,
};
use sse_state_proptests::world::World;

const LENGTH: usize = 60;

fn budget(first_seed: u64, scenarios: u64) -> Budget {
    Budget {
        first_seed,
        scenarios,
        length: LENGTH,
    }
}

fn assert_clean(report: &Report) {
    if let Some(failure) = report.failures.first() {
        panic!(
            "{} broken rules, the first:\n{failure}",
            report.failures.len()
        );
    }
}

/// Twenty times as much with `SSE_PROOF=full`, as `.ci/full` has it.
fn proofs(scenarios: u64) -> u64 {
    if is_full() { 20 * scenarios } else { scenarios }
}

fn is_full() -> bool {
    std::env::var("SSE_PROOF").as_deref() == Ok("full")
}

fn keeps_every_rule<F: Factory>(factory: &F, scenarios: u64) {
    let report = suite(factory, budget(0, proofs(scenarios)));
    assert_clean(&report);
    assert!(report.steps > 10_000, "nothing happened");
}

#[test]
fn the_machine_keeps_every_rule() {
    keeps_every_rule(&Real, 600);
}

#[test]
fn the_naive_model_keeps_every_rule() {
    keeps_every_rule(&Model::new, 200);
}

/// No rule encodes one implementation.
#[test]
fn an_engine_that_chooses_otherwise_keeps_every_rule() {
    keeps_every_rule(&Other, 200);
}

/// Those seeds first at which they once differed.
#[test]
fn the_machine_and_the_naive_model_agree() {
    for seed in DIFFERED {
        assert_clean(&differential(&Real, &Model::new, budget(seed, 1)));
    }
    let scenarios = if is_full() { 20_000 } else { 276 };
    assert_clean(&differential(&Real, &Model::new, budget(0, scenarios)));
}

/// Of the first 20 000, when a turn, a lag, a gap or a harder end was not the same to both.
const DIFFERED: [u64; 24] = [
    1280, 3111, 3231, 3366, 3761, 4454, 4789, 5078, 5303, 5858, 6624, 7749, 8861, 8941, 9051, 9268,
    9599, 9638, 9768, 11_900, 14_442, 16_754, 18_370, 19_652,
];

#[test]
fn r3b_a_journal_replays_to_the_same_digests() {
    for seed in 0..proofs(60) {
        let scenario = scenario(seed, LENGTH);
        let text = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&text);
        let out = Box::new(move |line: &str| {
            lines
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(line);
        });
        let machine = Real.make(scenario.setup.config.clone()).unwrap();
        let mut world = World::new(Recorder::new(machine, out), &scenario.setup);
        scenario.ops.iter().for_each(|op| world.apply(op));
        finish(&mut world);
        let replayed = replay(&text.lock().unwrap()).unwrap_or_else(|error| {
            panic!("R3: seed {seed}: {error}");
        });
        assert_eq!(replayed.state, world.engine.digest(), "R3: seed {seed}");
        assert_eq!(replayed.actions, world.engine.actions(), "R3: seed {seed}");
    }
}
