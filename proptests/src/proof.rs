//! The part of a verification that is about rules: scenarios on three engines, pairs of runs, and engines
//! that are faulty on purpose.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::faulty::Fault;
use crate::journal::kept;
use crate::matrix::{MOST_CALLS, Matrix, within_reach};
use crate::model::Model;
use crate::other::Other;
use crate::part::Part;
use crate::relations::relations;
use crate::rules::{How, RULES};
use crate::suite::{Budget, Real, Report, suite};

/// Works in slices until the time is up; at least one of each kind.
pub fn part(seed: u64, until: Instant) -> Part {
    let mut part = Part::new("rules");
    for how in [
        How::Trace,
        How::Inside,
        How::Relation,
        How::Memory,
        How::Apart,
    ] {
        let coded = RULES.iter().filter(|rule| rule.how == how).count();
        part.figure(format!("rules, {how:?}").to_lowercase(), coded);
    }
    let mut sum = Report::default();
    let mut pairs = 0;
    let mut matrix = Matrix::new();
    let mut faults = Fault::ALL.into_iter().cycle();
    let mut round = 0;
    loop {
        let budget = |scenarios| Budget {
            first_seed: seed.wrapping_mul(1 << 32).wrapping_add(round * SLICE),
            scenarios,
            length: LENGTH,
        };
        for report in [
            suite(&Real, budget(SLICE)),
            suite(&Model::new, budget(SLICE / 4)),
            suite(&Other, budget(SLICE / 4)),
        ] {
            sum.scenarios += report.scenarios;
            sum.steps += report.steps;
            sum.operations += report.operations;
            sum.connection_seconds += report.connection_seconds;
            for failure in &report.failures {
                // Whether it can be written down does not matter to what was found.
                let _ = kept::keep(&Real, &failure.scenario, failure.finding.rule);
            }
            sum.failures.extend(report.failures);
        }
        let related = relations(&Real, budget(SLICE / 8));
        pairs += related.scenarios;
        sum.failures.extend(related.failures);
        // Those that are caught already break more rules; those that are not have many tries.
        for fault in faults.by_ref().take(Fault::ALL.len() / 4) {
            let met = matrix.row(fault).map_or(0, |row| row.met.scenarios);
            matrix.run(Real, fault, met + 8, |_| false);
        }
        round += 1;
        if Instant::now() >= until || !sum.failures.is_empty() {
            break;
        }
    }
    part.figure("scenarios", sum.scenarios);
    part.figure("steps", sum.steps);
    part.figure("operations", sum.operations);
    part.figure("connection-hours", sum.connection_seconds / 3600);
    part.figure("scenarios of pairs of runs", pairs);
    let rows = || {
        Fault::ALL
            .into_iter()
            .filter_map(|fault| Some((fault, matrix.row(fault)?)))
    };
    let caught = rows().filter(|(_, row)| row.caught.is_some()).count();
    part.figure(
        "faulty engines",
        format!("{caught} of {} caught", rows().count()),
    );
    if let Some((fault, cost)) = matrix.slowest() {
        part.figure("faulty engines, the slowest", format!("{fault:?}, {cost}"));
    }
    let idle: BTreeSet<&str> = within_reach()
        .map(|rule| rule.id)
        .filter(|id| matrix.found_by(id).is_empty())
        .collect();
    let reach = within_reach().count();
    part.figure(
        "rules that caught one",
        format!("{} of {reach}", reach - idle.len()),
    );
    for (fault, row) in rows() {
        let calls = row.caught.unwrap_or(row.met).calls;
        part.holds(calls <= MOST_CALLS, || {
            format!("{fault:?} is not caught in {calls} calls")
        });
    }
    for failure in sum.failures {
        part.fail(failure);
    }
    part
}

const SLICE: u64 = 40;
const LENGTH: usize = 60;

#[cfg(test)]
mod tests {
    #[test]
    fn a_slice_holds() {
        let part = super::part(0, std::time::Instant::now());
        assert!(part.failures.is_empty(), "{part}");
        println!("{part}");
    }
}
