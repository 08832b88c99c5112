//! A user's own loop, put through every fault at every IO step.
//!
//! [`sweep`] gives the loop a [`Script`] and a [`Checked`] machine, and lets it run: first every scene without
//! a fault, then again and again, each time with one fault at one more of its IO calls. A loop is any function
//! that serves until the machine has ended:
//!
//! ```
//! use sse_state_proptests::reference::Reference;
//! use sse_state_proptests::sweep::sweep;
//!
//! let report = sweep(|script, state| Reference::new(script, state).run());
//! assert!(report.failures.is_empty(), "{report}");
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use sse_state::{Input, SseState, Time};

use crate::checked::{Checked, Duties, Violation};
use crate::choice::{Choice, Prng};
use crate::panics::{message, quietly};
use crate::part::Part;
use crate::reference::{Reference, Wrong, WrongEngine, WrongIo};
use crate::script::{FEED, Fault, LOAD, Over, Readiness, Script, World};

mod scenes;
mod wire;

use scenes::Scene;

/// Runs a loop through everything, told of each readiness once, as mio does.
pub fn sweep(run: impl Fn(Script, Checked<SseState>)) -> Report {
    Sweep::new().run(run)
}

/// What a loop is put through.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    readiness: Readiness,
    polls: bool,
    feeds: bool,
    every: u64,
}

impl Default for Sweep {
    fn default() -> Sweep {
        Sweep::new()
    }
}

impl Sweep {
    /// Everything; readiness is told once.
    pub fn new() -> Sweep {
        Sweep {
            readiness: Readiness::Edge,
            polls: true,
            feeds: true,
            every: 1,
        }
    }

    /// Readiness is told again at every wait, as plain epoll does.
    pub fn level(self) -> Sweep {
        Sweep {
            readiness: Readiness::Level,
            ..self
        }
    }

    /// No topic is polled: for a loop that does not execute `Poll`.
    pub fn without_polls(self) -> Sweep {
        Sweep {
            polls: false,
            ..self
        }
    }

    /// No topic is fed by a source: for a loop that does not execute `StartSource`.
    pub fn without_feeds(self) -> Sweep {
        Sweep {
            feeds: false,
            ..self
        }
    }

    /// Only every so many-th fault, for a quick look.
    pub fn every(self, every: u64) -> Sweep {
        Sweep { every, ..self }
    }

    /// Runs a loop through it.
    pub fn run(self, run: impl Fn(Script, Checked<SseState>)) -> Report {
        let mut sweeping = Sweeping::new(self);
        sweeping.go(&run);
        sweeping.report
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Scenes.
    pub scenes: u64,
    /// Runs, those without a fault included.
    pub runs: u64,
    /// IO calls of the runs without a fault.
    pub steps: u64,
    /// Faults that came.
    pub faults: u64,
    /// Runs with more than one.
    pub several: u64,
    /// What the machine wanted done in them: closes by reason, stops by reason, …
    pub reached: BTreeSet<String>,
    /// Runs in which a duty was neglected, by rule.
    pub broken: BTreeMap<&'static str, u64>,
    /// The first of each rule.
    pub failures: Vec<Failure>,
}

/// A duty that was neglected, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was going on.
    pub scene: &'static str,
    /// The faults that came, and at which IO call each.
    pub faults: Vec<(u64, Fault)>,
    /// The duty.
    pub violation: Violation,
    /// The end of what happened before.
    pub story: Vec<String>,
}

impl core::fmt::Display for Report {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Report {
            scenes,
            runs,
            steps,
            faults,
            ..
        } = self;
        writeln!(
            f,
            "{scenes} scenes, {steps} IO steps, {faults} faults, {runs} runs"
        )?;
        for (rule, runs) in &self.broken {
            writeln!(f, "{rule}: neglected in {runs} runs")?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| writeln!(f, "\n{failure}"))
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}\n  the scene: {}", self.violation, self.scene)?;
        for (step, fault) in &self.faults {
            write!(f, ", {fault:?} at IO call {step}")?;
        }
        let end = if self.faults.is_empty() {
            ", without a fault"
        } else {
            ""
        };
        writeln!(f, "{end}")?;
        self.story
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Sweeps the driver that is right, and shows that those which are wrong are found. Then, as long as there is
/// time, several faults in one run.
pub fn part(seed: u64, until: Instant) -> Part {
    let mut part = Part::new("drivers");
    let now = Instant::now();
    let half = now + until.saturating_duration_since(now) / 2;
    let (mut tried, mut missed) = (0, Vec::new());
    let first = seed as usize % Wrong::ALL.len();
    for place in 0..Wrong::ALL.len() {
        if Instant::now() >= half && tried > 0 {
            break;
        }
        let wrong = Wrong::ALL[(first + place) % Wrong::ALL.len()];
        let found = found(wrong);
        tried += 1;
        if !found.contains(&wrong.rule()) {
            missed.push(format!(
                "{wrong:?} is found by {found:?}, not by {}",
                wrong.rule()
            ));
        }
    }
    let mut sweeps = [Sweep::new(), Sweep::new().level()].map(Sweeping::new);
    for sweep in &mut sweeps {
        sweep.until = Some(until);
        sweep.go(&reference);
    }
    let single: u64 = sweeps.iter().map(|sweep| sweep.report.faults).sum();
    let mut random = Prng::new(seed);
    while Instant::now() < until && sweeps.iter().all(|sweep| sweep.report.failures.is_empty()) {
        for sweep in &mut sweeps {
            sweep.several(&reference, &mut random);
        }
    }
    let reports = sweeps.map(|sweep| sweep.report);
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let each = format!(
        "{} scenes, {} IO steps",
        reports[0].scenes, reports[0].steps
    );
    part.figure("the right driver, edge and level", each);
    part.figure("one fault, at every step", format!("{single} runs"));
    let several = sum(|report| report.faults) - single;
    part.figure(
        "several faults in one run",
        format!("{several} in {} runs", sum(|r| r.several)),
    );
    part.figure(
        "wrong drivers found by their rule",
        format!("{} of {tried}", tried - missed.len()),
    );
    for report in &reports {
        report
            .failures
            .iter()
            .for_each(|failure| part.fail(failure));
    }
    missed.iter().for_each(|text| part.fail(text));
    part
}

/// Runs the driver that is right.
pub fn reference(script: Script, state: Checked<SseState>) {
    Reference::new(script, state).run();
}

/// The rules by which a driver that is wrong is found.
pub fn found(wrong: Wrong) -> Vec<&'static str> {
    let run = |script, state| {
        let mut driver =
            Reference::new(WrongIo::new(script, wrong), WrongEngine::new(state, wrong));
        driver.run();
    };
    let mut sweep = Sweeping::new(Sweep::new());
    sweep.stop_at = Some(wrong.rule());
    sweep.go(&run);
    sweep.report.broken.into_keys().collect()
}

/// A user's loop.
type Loop<'a> = &'a dyn Fn(Script, Checked<SseState>);

/// A sweep on its way.
struct Sweeping {
    readiness: Readiness,
    every: u64,
    /// Enough is known when this rule was broken.
    stop_at: Option<&'static str>,
    /// No new run after this.
    until: Option<Instant>,
    scenes: Vec<Scene>,
    /// Of each scene, the faults that fit each IO call.
    fits: Vec<Vec<&'static [Fault]>>,
    report: Report,
}

/// What one run came to.
struct Ran {
    fits: Vec<&'static [Fault]>,
    struck: u64,
    reached: BTreeSet<String>,
    violation: Option<Violation>,
    story: Vec<String>,
}

impl Sweeping {
    fn new(sweep: Sweep) -> Sweeping {
        let mut scenes = scenes::all();
        scenes.retain(|scene| {
            (sweep.polls || !scene.asks_for(LOAD)) && (sweep.feeds || !scene.asks_for(FEED))
        });
        Sweeping {
            readiness: sweep.readiness,
            every: sweep.every.max(1),
            stop_at: None,
            until: None,
            scenes,
            fits: Vec::new(),
            report: Report::default(),
        }
    }

    /// Every scene without a fault, then with one fault at each step.
    fn go(&mut self, run: Loop<'_>) {
        for scene in 0..self.scenes.len() {
            let fits = self.one(run, scene, &[]);
            self.report.scenes += 1;
            self.report.steps += fits.len() as u64;
            self.fits.push(fits);
        }
        // Without a fault it must be right first; else every run tells the same.
        if self.stop_at.is_none() && !self.report.failures.is_empty() {
            return;
        }
        let mut number = 0;
        for scene in 0..self.scenes.len() {
            for step in 0..self.fits[scene].len() {
                for &fault in self.fits[scene][step] {
                    number += 1;
                    if self.is_enough() {
                        return;
                    }
                    if number % self.every != 0 {
                        continue;
                    }
                    self.one(run, scene, &[(step as u64, fault)]);
                }
            }
        }
    }

    fn is_enough(&self) -> bool {
        self.stop_at
            .is_some_and(|rule| self.report.broken.contains_key(rule))
            || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// One run with two to five faults.
    fn several(&mut self, run: Loop<'_>, random: &mut Prng) {
        let mut below = |n: usize| random.pick(n as u32) as usize;
        let scene = below(self.scenes.len());
        let fits = &self.fits[scene];
        let fault = |below: &mut dyn FnMut(usize) -> usize| {
            let step = below(fits.len());
            (step as u64, fits[step][below(fits[step].len())])
        };
        let count = 2 + below(4);
        let faults: Vec<_> = (0..count).map(|_| fault(&mut below)).collect();
        self.report.several += 1;
        self.one(run, scene, &faults);
    }

    /// One run; the faults that fit each of its IO calls.
    fn one(
        &mut self,
        run: Loop<'_>,
        scene: usize,
        faults: &[(u64, Fault)],
    ) -> Vec<&'static [Fault]> {
        let ran = self.run(run, &self.scenes[scene], faults, false);
        self.report.runs += 1;
        self.report.faults += ran.struck;
        self.report.reached.extend(ran.reached);
        if let Some(violation) = ran.violation {
            let rule = violation.rule;
            let runs = self.report.broken.entry(rule).or_default();
            *runs += 1;
            if *runs == 1 {
                // Once more, to write down what happens.
                let scene = &self.scenes[scene];
                let again = self.run(run, scene, faults, true);
                let seen = again.story.iter().position(|line| line.contains("!! "));
                let to = seen.map_or(again.story.len(), |line| line + 1);
                self.report.failures.push(Failure {
                    scene: scene.name,
                    faults: faults.to_vec(),
                    violation,
                    story: again.story[to.saturating_sub(STORY)..to].to_vec(),
                });
            }
        }
        ran.fits
    }

    fn run(&self, run: Loop<'_>, scene: &Scene, faults: &[(u64, Fault)], tells: bool) -> Ran {
        let duties = Duties::new(false, true);
        let acts = scene.acts.iter().cloned();
        let script = Script::new(World::new(duties.clone(), acts, self.readiness, faults));
        // The bounds of a scene can be used, and so can its topics.
        let mut state = SseState::new(scene.config.clone()).expect("bounds that can be used");
        for (topic, options) in scenes::topics() {
            duties.ledger().topics.insert(topic.as_str().into());
            let options = options.into();
            let declared = state.apply(Time::ZERO, Input::Declare { topic, options });
            declared.expect("options that can be used");
        }
        if tells {
            duties.ledger().story = Some(Vec::new());
        }
        let state = Checked::with(state, duties.clone());
        let driver = script.clone();
        let ended = quietly(|| run(driver, state));
        match ended {
            Ok(()) => {
                duties.ends();
                script.with(wire::check);
            }
            Err(panic) if panic.is::<Over>() => {}
            Err(panic) => {
                let text = format!("the loop panicked: {}", message(&*panic));
                duties.ledger().broken("K24", text);
            }
        }
        let mut ledger = duties.ledger();
        script.with(|world| Ran {
            fits: std::mem::take(&mut world.fits),
            struck: world.struck,
            reached: std::mem::take(&mut ledger.reached),
            violation: ledger.violations.first().cloned(),
            story: ledger.story.take().unwrap_or_default(),
        })
    }
}

/// Lines of a story that are shown.
const STORY: usize = 40;
