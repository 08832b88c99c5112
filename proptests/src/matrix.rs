//! Faulty engines against rules: who finds what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter, Result};
use std::time::{Duration, Instant};

use crate::faulty::{Fault, FaultyFactory};
use crate::relations;
use crate::rules::{How, RULES, Rule};
use crate::suite::{Factory, findings, run, scenario};

/// Every rule that fires, for every fault, in the scenarios so far.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    rows: BTreeMap<Fault, Row>,
}

/// What one fault has met.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The rules that it broke.
    pub rules: BTreeSet<&'static str>,
    /// What it took until the first did.
    pub caught: Option<Cost>,
    /// What it has met in all.
    pub met: Cost,
}

/// What the scenarios have cost that a fault has met.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cost {
    /// How many there were.
    pub scenarios: u64,
    /// Calls that were made in them and checked.
    pub calls: u64,
    /// The time that took.
    pub time: Duration,
}

/// `57 scenarios, 9000 calls, 0.12 s`
impl Display for Cost {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (scenarios, calls, time) = (self.scenarios, self.calls, self.time.as_secs_f64());
        write!(f, "{scenarios} scenarios, {calls} calls, {time:.2} s")
    }
}

impl Matrix {
    /// Before any scenario.
    pub fn new() -> Matrix {
        Matrix::default()
    }

    /// Puts a fault through further scenarios, until it has met so many, or a rule has fired.
    pub fn run<F: Factory + Copy>(
        &mut self,
        factory: F,
        fault: Fault,
        scenarios: u64,
        until: impl Fn(&Row) -> bool,
    ) {
        let faulty = FaultyFactory(factory, fault);
        let related = RELATED.iter().find(|(related, _)| *related == fault);
        let related = related.map_or(&[][..], |(_, rules)| rules);
        let row = self.rows.entry(fault).or_default();
        while row.met.scenarios < scenarios && !until(row) {
            let begun = Instant::now();
            let scenario = scenario(row.met.scenarios, LENGTH);
            let world = run(&faulty, &scenario);
            row.rules
                .extend(findings(&world).iter().map(|found| found.rule));
            for rule in related
                .iter()
                .filter(|rule| !row.rules.contains(**rule))
                .collect::<Vec<_>>()
            {
                row.rules
                    .extend(relations::breaks(&faulty, &scenario, rule));
            }
            row.met.scenarios += 1;
            row.met.calls += world.trace.len() as u64;
            row.met.time += begun.elapsed();
            if !row.rules.is_empty() {
                row.caught.get_or_insert(row.met);
            }
        }
    }

    /// What a fault has met so far.
    pub fn row(&self, fault: Fault) -> Option<&Row> {
        self.rows.get(&fault)
    }

    /// The faults that a rule has found so far, those first that break the fewest rules.
    pub fn found_by(&self, rule: &str) -> Vec<Fault> {
        let rows = self.rows.iter().filter(|(_, row)| row.rules.contains(rule));
        let mut found: Vec<(usize, Fault)> =
            rows.map(|(fault, row)| (row.rules.len(), *fault)).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, fault)| fault).collect()
    }

    /// The fault that took the most calls until it was caught, and what it took.
    pub fn slowest(&self) -> Option<(Fault, Cost)> {
        let caught = |(fault, row): (&Fault, &Row)| Some((*fault, row.caught?));
        let rows = self.rows.iter().filter_map(caught);
        rows.max_by_key(|(_, cost)| cost.calls)
    }

    /// The faults that no rule has found so far.
    pub fn missed(&self) -> Vec<Fault> {
        let missed = |fault: &Fault| self.row(*fault).is_none_or(|row| row.rules.is_empty());
        Fault::ALL.into_iter().filter(missed).collect()
    }
}

/// One line for every fault.
impl Display for Matrix {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (fault, row) in &self.rows {
            let steps = if fault.takes_two_steps() {
                "two steps"
            } else {
                ""
            };
            let rules: Vec<&str> = row.rules.iter().copied().collect();
            let caught = row
                .caught
                .map_or("never".into(), |caught| caught.to_string());
            writeln!(f, "{fault:?} | {steps} | {caught} | {}", rules.join(" "))?;
        }
        Ok(())
    }
}

/// The rules that faulty engines can break: a wrapper cannot reach into an engine.
pub fn within_reach() -> impl Iterator<Item = &'static Rule> {
    let reach = |rule: &&Rule| matches!(rule.how, How::Trace | How::Relation);
    RULES.iter().filter(reach)
}

/// Those that two runs find and one does not, with the relations that are to find them.
const RELATED: [(Fault, &[&str]); 12] = [
    (Fault::LosesEveryFourthPublish, &["M2", "M6", "M8"]),
    (Fault::LosesPublishesWhileOneIsBlocked, &["B5"]),
    (Fault::LosesPublishesLate, &["M3"]),
    (Fault::LosesPublishesToOddNames, &["M4"]),
    (Fault::LosesAPublishAfterARefusal, &["M5"]),
    (Fault::LosesAWriteAfterAShortPump, &["M1"]),
    (Fault::ResumesOneLate, &["I6f"]),
    (Fault::ShutsDownHarderTheSecondTime, &["S4"]),
    (Fault::ChangesWithTheProcess, &["R1a", "R3a"]),
    (Fault::ChangesWithTheHashKey, &["R1b"]),
    (Fault::ChangesWhenCloned, &["R2"]),
    (Fault::ChangesWhenTimeGoesBack, &["T5b"]),
];

const LENGTH: usize = 60;

/// Calls after which every fault is caught: ten seconds' worth at 5 000 checked calls a second, half of what
/// a debug build does on two cores that are busy with eight times as much.
pub const MOST_CALLS: u64 = 50_000;
