//! Journals: what is kept holds, a run that is written down can be run again, and what shows a bug can be
//! cut down to a few calls.

use std::time::{Duration, Instant};

use sse_state_proptests::faulty::{Fault, FaultyFactory};
use sse_state_proptests::journal::run::run;
use sse_state_proptests::journal::script::Script;
use sse_state_proptests::journal::shrink::{breaks, for_rule};
use sse_state_proptests::journal::{Journal, kept, taped};
use sse_state_proptests::model::Model;
use sse_state_proptests::suite::{self, Real, scenario};

/// What once showed a bug, or shows one that is planted, breaks no rule.
#[test]
fn kept_journals_hold() {
    let part = kept::part(0, Instant::now());
    assert!(part.failures.is_empty(), "{part}");
}

#[test]
fn what_was_written_down_does_the_same_again() {
    for seed in 0..60 {
        let scenario = scenario(seed, 60);
        let world = suite::run(&Real, &scenario);
        let journal = taped(&Real, &scenario);
        let text = journal.to_string();
        assert_eq!(Journal::parse(&text).unwrap(), journal);

        let again = run(&Real, &journal);
        assert_eq!(again.journal(), journal, "seed {seed}: other answers");
        assert_eq!(again.engine.digest(), world.engine.digest(), "seed {seed}");
        assert_eq!(again.trace.len(), world.trace.len(), "seed {seed}");

        let script = Script::learn(&Real, &journal);
        let (played, done) = script.play(&Real);
        let named = run(&Real, &played);
        assert_eq!(
            named.engine.digest(),
            world.engine.digest(),
            "seed {seed}: with names"
        );
        assert_eq!(done.len(), journal.calls.len(), "seed {seed}");
    }
}

/// A part of a journal is a journal: whatever is left out, no rule is broken on a machine that is right.
#[test]
fn whatever_is_left_out_the_rest_is_a_journal() {
    for seed in 0..30 {
        let journal = taped(&Real, &scenario(seed, 60));
        let script = Script::learn(&Real, &journal);
        for every in 2..6 {
            let mut some = script.clone();
            some.steps.retain(|step| step.label % every != 1);
            let (played, _) = some.play(&Real);
            let broken = breaks(&Real, &played);
            assert!(
                broken.is_empty(),
                "seed {seed}/{every}: {}\n{played}",
                broken[0]
            );
        }
    }
}

/// A journal of a service has events that no scenario made; rules that would have to know them again are silent.
#[test]
fn whatever_events_a_journal_has_a_right_machine_keeps_its_rules() {
    for seed in 0..200 {
        let text = taped(&Real, &scenario(seed, 60)).to_string();
        let text = text
            .replace("data:%20#", "data:%20%25")
            .replace("retry:%20", "again:%20");
        let journal = Journal::parse(&text).unwrap();
        let broken = breaks(&Real, &journal);
        assert!(broken.is_empty(), "seed {seed}: {}\n{journal}", broken[0]);
    }
}

/// An engine that is wrong only after several things have come together.
#[test]
fn a_bug_is_shown_in_a_few_calls() {
    let mut most = 0;
    for fault in Fault::ALL
        .into_iter()
        .filter(|fault| fault.takes_two_steps())
    {
        let faulty = FaultyFactory(Model::new, fault);
        let shown = (0..150).find_map(|seed| {
            let journal = taped(&faulty, &scenario(seed, 60));
            let rule = breaks(&faulty, &journal).into_iter().next()?.rule;
            Some((journal, rule))
        });
        let Some((journal, rule)) = shown else {
            panic!("{fault:?} is not found")
        };
        let until = Instant::now() + Duration::from_secs(60);
        let small = for_rule(&faulty, &journal, &rule, until);
        assert!(small.calls.len() <= journal.calls.len());
        assert!(
            breaks(&faulty, &small)
                .iter()
                .any(|broken| broken.rule == rule)
        );
        println!("{fault:?}: {rule}: {} calls", small.calls.len());
        most = most.max(small.calls.len());
    }
    assert!(most <= 20, "{most} calls");
}
