//! The rules as properties over lists of operations, which shrink to short ones.

use proptest::collection::vec;
use proptest::prelude::*;
use sse_state_proptests::check::check;
use sse_state_proptests::choice::{Bytes, Prng};
use sse_state_proptests::model::Model;
use sse_state_proptests::relations::relations;
use sse_state_proptests::scenario::{Op, Pace, Scenario, Setup, Weights};
use sse_state_proptests::suite::{Budget, Factory, Real, Report, run};

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

fn keeps_the_rules<F: Factory>(factory: &F, scenario: &Scenario) -> Result<(), TestCaseError> {
    let world = run(factory, scenario);
    match check(&scenario.setup, &world.trace).first() {
        Some(finding) => Err(TestCaseError::fail(format!("{finding}\n{scenario}"))),
        None => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_operations_keep_the_rules_on_the_machine(scenario in scenario()) {
        keeps_the_rules(&Real, &scenario)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lists_of_operations_keep_the_rules_on_the_model(scenario in scenario()) {
        keeps_the_rules(&Model::new, &scenario)?;
    }
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
    scenarios: 150,
    length: 50,
};

#[test]
fn r1_r2_m1_m3_m4_m5_t5_two_runs_of_the_machine_agree() {
    assert_related(&relations(&Real, RELATED));
}

#[test]
fn r1_r2_m1_m3_m4_m5_t5_two_runs_of_the_model_agree() {
    let budget = Budget {
        scenarios: 40,
        ..RELATED
    };
    assert_related(&relations(&Model::new, budget));
}
