//! The smallest journal that can be found for what a journal shows.

use std::time::Instant;

use super::Journal;
use super::run::{Broken, run};
use super::script::{Script, Step};
use super::simpler::simpler;
use crate::suite::{Factory, minimise};

/// Leaves out calls and makes others simpler as long as the journal that results still shows what it
/// is asked for, until nothing more can go or the time is up.
pub fn shrink<F: Factory>(
    factory: &F,
    journal: &Journal,
    until: Instant,
    shows: impl Fn(&Journal) -> bool,
) -> Journal {
    let journal = &without_tail(journal, |shorter| Instant::now() < until && shows(shorter));
    let script = Script::learn(factory, journal);
    let fails = |script: &Script| Instant::now() < until && shows(&script.play(factory).0);
    if !fails(&script) {
        // What it shows hangs on something that has no name.
        return journal.clone();
    }
    let mut script = script;
    loop {
        let before = (script.steps.len(), script.steps.clone());
        script = fewer(factory, &script, &fails);
        script = plainer(script, &fails);
        if script.steps.len() <= FEW {
            script = without_two(script, &fails);
        }
        if (script.steps.len(), script.steps.clone()) == before || Instant::now() >= until {
            break;
        }
    }
    Journal {
        notes: journal.notes.clone(),
        ..script.play(factory).0
    }
}

/// The journal up to where it shows what it is asked for: what comes after it may be long, if an engine
/// finds no rest.
fn without_tail(journal: &Journal, shows: impl Fn(&Journal) -> bool) -> Journal {
    let first = |count: usize| Journal {
        calls: journal.calls[..count].to_vec(),
        ..journal.clone()
    };
    let (mut not, mut most) = (0, journal.calls.len());
    while not + 1 < most {
        let middle = not.midpoint(most);
        if shows(&first(middle)) {
            most = middle;
        } else {
            not = middle;
        }
    }
    first(most)
}

/// The smallest journal for one rule.
pub fn for_rule<F: Factory>(factory: &F, journal: &Journal, rule: &str, until: Instant) -> Journal {
    shrink(factory, journal, until, |smaller| {
        breaks(factory, smaller).iter().any(|b| b.rule == rule)
    })
}

/// The rules that a journal breaks on an engine.
pub fn breaks<F: Factory>(factory: &F, journal: &Journal) -> Vec<Broken> {
    run(factory, journal).broken()
}

/// Leaves out steps, and those that name what is gone then.
fn fewer<F: Factory>(factory: &F, script: &Script, fails: &impl Fn(&Script) -> bool) -> Script {
    let with = |steps: &[Step]| {
        let mut fewer = script.clone();
        fewer.steps = steps.to_vec();
        fewer
    };
    let steps = minimise(&script.steps, |steps| fails(&with(steps)));
    let mut script = with(&steps);
    let (_, done) = script.play(factory);
    script.steps.retain(|step| done.contains(&step.label));
    script
}

fn plainer(mut script: Script, fails: &impl Fn(&Script) -> bool) -> Script {
    for place in 0..script.steps.len() {
        while let Some(plain) = simpler(&script, place).into_iter().find(fails) {
            script = plain;
        }
    }
    script
}

/// Leaves out two steps that need each other.
fn without_two(mut script: Script, fails: &impl Fn(&Script) -> bool) -> Script {
    let mut first = 0;
    while first < script.steps.len() {
        let smaller = (first + 1..script.steps.len()).find_map(|second| {
            let mut smaller = script.clone();
            smaller.steps.remove(second);
            smaller.steps.remove(first);
            fails(&smaller).then_some(smaller)
        });
        match smaller {
            Some(smaller) => script = smaller,
            None => first += 1,
        }
    }
    script
}

/// Steps of which each pair is tried.
const FEW: usize = 40;
