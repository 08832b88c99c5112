//! The suite: scenarios on an engine, the rules, and what to show when one is broken.

use std::collections::BTreeMap;

use sse_state::{Config, ConfigError, Engine, Input, ShutdownCause, SseState};

use crate::check::{Finding, check};
use crate::choice::Prng;
use crate::compare::compare;
use crate::rules;
use crate::scenario::{Op, Pace, Scenario};
use crate::trace::Step;
use crate::world::World;

/// Makes engines of one kind.
pub trait Factory {
    /// The kind.
    type Engine: Engine + Clone;

    /// A new one.
    ///
    /// # Errors
    /// [`ConfigError`] if the bounds cannot be used.
    fn make(&self, config: Config) -> Result<Self::Engine, ConfigError>;
}

impl<E: Engine + Clone, F: Fn(Config) -> Result<E, ConfigError>> Factory for F {
    type Engine = E;

    fn make(&self, config: Config) -> Result<E, ConfigError> {
        self(config)
    }
}

/// How much the suite does.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// The first seed.
    pub first_seed: u64,
    /// Scenarios.
    pub scenarios: u64,
    /// Operations of each.
    pub length: usize,
}

/// What the suite did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Scenarios that were run.
    pub scenarios: u64,
    /// Steps that were checked.
    pub steps: u64,
    /// Operations that were done.
    pub operations: u64,
    /// Seconds that streams have lived, on the clock of the scenarios; of a pause without any operation
    /// a minute counts.
    pub connection_seconds: u64,
    /// Broken rules, each with the smallest scenario that was found for it.
    pub failures: Vec<Failure>,
}

/// A broken rule, and how to break it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The rule.
    pub finding: Finding,
    /// What was done.
    pub scenario: Scenario,
    /// What happened, line by line.
    pub story: String,
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "{}\nseed {}\n{}", self.finding, self.seed, self.scenario)?;
        f.write_str(&self.story)
    }
}

/// Runs scenarios of both paces on an engine and checks every step.
pub fn suite<F: Factory>(factory: &F, budget: Budget) -> Report {
    let mut report = Report::default();
    for seed in budget.first_seed..budget.first_seed + budget.scenarios {
        let scenario = scenario(seed, budget.length);
        let world = run(factory, &scenario);
        report.scenarios += 1;
        report.steps += world.trace.len() as u64;
        report.operations += scenario.ops.len() as u64;
        report.connection_seconds += lived(&world.trace);
        if let Some(finding) = findings(&world).into_iter().next() {
            report
                .failures
                .push(failure(factory, seed, scenario, finding));
        }
    }
    report
}

/// Seconds that streams have lived.
fn lived(trace: &[Step]) -> u64 {
    let pairs = trace.iter().zip(trace.iter().skip(1));
    let nanos = pairs.map(|(before, after)| {
        let pause = after.after.now.since(before.after.now).as_nanos();
        pause.min(MINUTE) * u128::from(before.after.stats.streams)
    });
    (nanos.sum::<u128>() / 1_000_000_000) as u64
}

const MINUTE: u128 = 60_000_000_000;

/// Every rule that some scenario finds broken, with the first seed that does.
pub fn fired<F: Factory>(factory: &F, budget: Budget) -> BTreeMap<&'static str, u64> {
    let mut fired = BTreeMap::new();
    for seed in budget.first_seed..budget.first_seed + budget.scenarios {
        let world = run(factory, &scenario(seed, budget.length));
        for finding in findings(&world) {
            fired.entry(finding.rule).or_insert(seed);
        }
    }
    fired
}

/// Everything that is wrong with what a world has seen: broken rules of the trace, then of the inside.
pub fn findings<E: Engine>(world: &World<E>) -> Vec<Finding> {
    let mut findings = check(&world.setup, &world.trace);
    if let Some(text) = &world.panicked {
        findings.push(Finding {
            rule: rules::panicked(text),
            step: world.trace.len().saturating_sub(1),
            text: format!("it panicked: {text}"),
        });
    }
    findings
}

/// The scenario of a seed.
pub fn scenario(seed: u64, length: usize) -> Scenario {
    let pace = if seed.is_multiple_of(2) {
        Pace::Calm
    } else {
        Pace::Wild
    };
    Scenario::choose(&mut Prng::new(seed), pace, length)
}

/// Runs a scenario to its end: its operations, then all faults heal, then a shutdown.
///
/// # Panics
/// If the engine refuses the bounds of the scenario.
pub fn run<F: Factory>(factory: &F, scenario: &Scenario) -> World<F::Engine> {
    let engine = factory
        .make(scenario.setup.config.clone())
        .expect("the bounds of a scenario can be used");
    let mut world = World::new(engine, &scenario.setup);
    for op in &scenario.ops {
        world.apply(op);
    }
    finish(&mut world);
    world
}

/// Everything heals; then a shutdown, and its grace passes.
pub fn finish<E: Engine>(world: &mut World<E>) {
    world.heal();
    let _ = world.call(Input::Timeout);
    world.heal();
    let _ = world.call(Input::Shutdown {
        grace: None,
        cause: ShutdownCause::Asked,
    });
    world.heal();
    for _ in 0..4 {
        world.second();
    }
}

/// Runs calm scenarios on two kinds of engine and compares what came of them.
pub fn differential<A: Factory, B: Factory>(left: &A, right: &B, budget: Budget) -> Report {
    let mut report = Report::default();
    for seed in budget.first_seed..budget.first_seed + budget.scenarios {
        let scenario = Scenario::choose(&mut Prng::new(seed), Pace::Calm, budget.length);
        let differs = |ops: &[Op]| {
            let scenario = Scenario {
                setup: scenario.setup.clone(),
                ops: ops.to_vec(),
            }
            .for_comparison();
            let (a, b) = (run(left, &scenario), run(right, &scenario));
            compare(&a, &b).into_iter().next()
        };
        report.scenarios += 1;
        let Some(first) = differs(&scenario.ops) else {
            continue;
        };
        let ops = minimise(&scenario.ops, |ops| differs(ops).is_some());
        let text = differs(&ops).unwrap_or(first);
        let smaller = Scenario {
            setup: scenario.setup.clone(),
            ops,
        }
        .for_comparison();
        let tell = |steps: &[Step]| -> String {
            steps.iter().map(|step| format!("      {step}\n")).collect()
        };
        let story = format!(
            "left:\n{}right:\n{}",
            tell(&run(left, &smaller).trace),
            tell(&run(right, &smaller).trace)
        );
        report.failures.push(Failure {
            seed,
            finding: Finding {
                rule: "differential",
                step: 0,
                text,
            },
            scenario: smaller,
            story,
        });
    }
    report
}

/// The smallest scenario that can be found for a broken rule.
fn failure<F: Factory>(factory: &F, seed: u64, scenario: Scenario, finding: Finding) -> Failure {
    let broken = |ops: &[Op]| {
        let smaller = Scenario {
            setup: scenario.setup.clone(),
            ops: ops.to_vec(),
        };
        let world = run(factory, &smaller);
        findings(&world)
            .into_iter()
            .find(|other| other.rule == finding.rule)
    };
    let ops = minimise(&scenario.ops, |ops| broken(ops).is_some());
    let finding = broken(&ops).unwrap_or(finding);
    let scenario = Scenario {
        setup: scenario.setup.clone(),
        ops,
    };
    let world = run(factory, &scenario);
    let story = world
        .trace
        .iter()
        .enumerate()
        .take(finding.step + 1)
        .map(|(number, step)| format!("{number:4}  {step}\n"))
        .collect();
    Failure {
        seed,
        finding,
        scenario,
        story,
    }
}

/// Leaves out operations, in ever smaller pieces, as long as it still fails.
pub fn minimise<T: Clone>(ops: &[T], fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut ops = ops.to_vec();
    let mut piece = ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + piece).min(ops.len()));
            if fails(&fewer) {
                ops = fewer;
            } else {
                at += piece;
            }
        }
        if piece == 1 {
            return ops;
        }
        piece = piece.div_ceil(2);
    }
}

/// Makes the engine that this project is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl Factory for Real {
    type Engine = SseState;

    fn make(&self, config: Config) -> Result<SseState, ConfigError> {
        SseState::new(config)
    }
}
