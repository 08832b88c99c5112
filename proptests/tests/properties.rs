//! The rules as properties over lists of operations, which shrink to short ones.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use sse_state_proptests::choice::{Bytes, Prng};
use sse_state_proptests::journal::kept;
use sse_state_proptests::model::Model;
use sse_state_proptests::other::Other;
use sse_state_proptests::relations::relations;
use sse_state_proptests::scenario::{Op, Pace, Scenario, Setup, Weights};
use sse_state_proptests::suite::{Budget, Factory, Real, Report, findings, run};

/// An operation from its own few bytes, so that leaving one out changes no other, and a smaller byte is
/// a simpler choice.
fn op(pace: Pace) -> impl Strategy<Value = Op> {
    vec(any::<u8>(), 16)
        .prop_map(move |bytes| Op::choose(&mut Bytes::new(&bytes), &Weights::default(), pace))
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let pace = prop_oneof![Just(Pace::Calm), Just(Pace::Wild)];
    (pace, any::<u16>()).prop_flat_map(|(pace, seed)| {
        let setup = Setup::choose(&mut Prng::new(u64::from(seed)), pace);
        vec(op(pace), 0..60).prop_map(move |ops| Scenario {
            setup: setup.clone(),
            ops,
        })
    })
}

/// The smallest list that breaks a rule is kept as a journal, which is replayed first from then on.
fn keep_the_rules<F: Factory>(factory: &F, cases: u32) {
    let broken = |scenario: &Scenario| findings(&run(factory, scenario)).into_iter().next();
    let config = ProptestConfig {
        cases,
        // A seed says nothing once scenarios change.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let checked = TestRunner::new(config).run(&scenario(), |scenario| match broken(&scenario) {
        Some(finding) => Err(TestCaseError::fail(finding.to_string())),
        None => Ok(()),
    });
    let scenario = match checked {
        Ok(()) => return,
        Err(TestError::Fail(_, scenario)) => scenario,
        Err(error) => panic!("{error}"),
    };
    let Some(finding) = broken(&scenario) else {
        panic!("what failed holds now\n{scenario}")
    };
    let kept = kept::keep(factory, &scenario, finding.rule).unwrap();
    let journal = std::fs::read_to_string(&kept).unwrap();
    panic!("{finding}\nkept as {}:\n{journal}", kept.display());
}

#[test]
fn lists_of_operations_keep_the_rules_on_the_machine() {
    keep_the_rules(&Real, 300);
}

#[test]
fn lists_of_operations_keep_the_rules_on_the_model() {
    keep_the_rules(&Model::new, 100);
}

fn assert_related(report: &Report) {
    if let Some(failure) = report.failures.first() {
        panic!(
            "{} broken relations, the first:\n{failure}",
            report.failures.len()
        );
    }
}

const RELATED: Budget = Budget {
    first_seed: 0,
    scenarios: 60,
    length: 50,
};

#[test]
fn two_runs_of_the_machine_agree() {
    assert_related(&relations(&Real, RELATED));
}

#[test]
fn two_runs_of_the_model_agree() {
    let budget = Budget {
        scenarios: 16,
        ..RELATED
    };
    assert_related(&relations(&Model::new, budget));
}

#[test]
fn two_runs_of_an_engine_that_chooses_otherwise_agree() {
    let budget = Budget {
        scenarios: 16,
        ..RELATED
    };
    assert_related(&relations(&Other, budget));
}
