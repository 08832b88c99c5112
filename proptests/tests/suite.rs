//! Random scenarios: the machine and the naive model keep every rule of the checker and agree with each
//! other, and engines that are faulty on purpose do not.

use std::collections::BTreeMap;

use sse_state_proptests::faulty::{Fault, FaultyFactory};
use sse_state_proptests::model::Model;
use sse_state_proptests::suite::{Budget, Factory, Real, Report, differential, suite};

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
    match std::env::var("SSE_PROOF").as_deref() {
        Ok("full") => 20 * scenarios,
        _ => scenarios,
    }
}

fn keeps_every_rule<F: Factory>(factory: &F, scenarios: u64) {
    let report = suite(factory, budget(0, proofs(scenarios)));
    assert_clean(&report);
    assert!(report.steps > 10_000, "nothing happened");
}

#[test]
fn the_machine_keeps_every_rule() {
    keeps_every_rule(&Real, 1000);
}

#[test]
fn the_naive_model_keeps_every_rule() {
    keeps_every_rule(&Model::new, 300);
}

/// Always as many: where the contract leaves a choice (a stall told one granule later, what one run holds
/// when pumps are short, two notices in one) the two may differ, and in ten thousand scenarios some do.
#[test]
fn the_machine_and_the_naive_model_agree() {
    assert_clean(&differential(&Real, &Model::new, budget(0, 500)));
}

/// Every fault is found, on an engine that is right but for it. What is printed is the matrix of faults
/// and the rules that found them first.
#[test]
fn every_faulty_engine_is_caught() {
    let mut missed = Vec::new();
    let mut matrix: BTreeMap<&str, Vec<Fault>> = BTreeMap::new();
    for fault in Fault::ALL {
        let faulty = FaultyFactory(Model::new, fault);
        let found = (0..SEEDS).find_map(|seed| {
            let report = suite(&faulty, budget(seed, 1));
            report.failures.first().map(|failure| failure.finding.rule)
        });
        match found {
            Some(rule) => matrix.entry(rule).or_default().push(fault),
            None => missed.push(fault),
        }
    }
    for (rule, faults) in matrix {
        println!("{rule:6} {faults:?}");
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

const SEEDS: u64 = 150;
