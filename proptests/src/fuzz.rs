//! What a fuzzer does with its bytes: the bodies of the targets in `proptests/fuzz`.
//!
//! They are here so that a plain test can replay what fuzzers have found, without one.

use crate::choice::{Bytes, Choice};
use crate::scenario::{Op, Pace, Scenario, Setup, Weights};
use crate::suite::{Real, findings, run};
use crate::wire_rules::{Ours, RULES, case};

/// A body: it panics if something is wrong.
pub type Target = fn(&[u8]);

/// Every target, by its name; its corpus is `proptests/fuzz/corpus/NAME`.
pub const TARGETS: &[(&str, Target)] = &[
    ("state", state),
    ("world", crate::sim::fuzz),
    ("frame", frame),
    ("head", head),
];

/// The machine in a scenario made of these bytes: no rule of the checker is broken, nothing inside.
///
/// # Panics
/// If a rule is broken.
pub fn state(bytes: &[u8]) {
    let scenario = scenario(bytes);
    let world = run(&Real, &scenario);
    let broken = findings(&world);
    assert!(broken.is_empty(), "{}\n{scenario}", broken[0]);
}

/// The rules of events and their parsers.
///
/// # Panics
/// If a rule is broken.
pub fn frame(bytes: &[u8]) {
    rules_that(bytes, |id| id.starts_with('F'));
}

/// The rules of heads and answers.
///
/// # Panics
/// If a rule is broken.
pub fn head(bytes: &[u8]) {
    rules_that(bytes, |id| !id.starts_with('F'));
}

/// The scenario that these bytes choose: as many operations as they have choices for.
pub fn scenario(bytes: &[u8]) -> Scenario {
    let mut choice = Bytes::new(bytes);
    let pace = if choice.chance(1, 2) {
        Pace::Calm
    } else {
        Pace::Wild
    };
    let setup = Setup::choose(&mut choice, pace);
    let weights = Weights::choose(&mut choice);
    let mut ops = Vec::new();
    while !choice.is_spent() && ops.len() < MOST_OPS {
        ops.push(Op::choose(&mut choice, &weights, pace));
    }
    Scenario { setup, ops }
}

/// Cases of rules of one kind, one after the other until the bytes are spent; the first byte of a case
/// says of which rule it is.
fn rules_that(bytes: &[u8], kind: fn(&str) -> bool) {
    let places: Vec<usize> = (0..RULES.len())
        .filter(|place| kind(RULES[*place].id))
        .collect();
    let mut choice = Bytes::new(bytes);
    for _ in 0..MOST_CASES {
        let place = choice.one_of(&places);
        if let Some(text) = case(&Ours, place, &mut choice) {
            panic!("{}: {text}", RULES[place].id);
        }
        if choice.is_spent() {
            break;
        }
    }
}

/// Longer scenarios are slower than they are new.
const MOST_OPS: usize = 200;
const MOST_CASES: usize = 16;
