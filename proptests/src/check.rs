//! The trace checker: the P rules of INVARIANTS, each by its id.
//!
//! It sees inputs, their times and answers, actions, and views; nothing of an engine's inside. A rule
//! is a function that begins with its id; what it says when it is broken begins with the id too.

use crate::scenario::Setup;
use crate::trace::{Event, Step, What};

pub mod facts;

mod calls;
pub mod counts;
mod delivery;
mod ends;
mod intake;
mod logs;
mod offers;
mod room;
mod settle;
mod silence;
mod sources;
mod time;
pub mod work;

use facts::Ledger;
pub(crate) use intake::tag_of;

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its id.
    pub rule: &'static str,
    /// In which step.
    pub step: usize,
    /// How.
    pub text: String,
}

impl core::fmt::Display for Finding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} in step {}: {}", self.rule, self.step, self.text)
    }
}

/// Where rules report.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    step: usize,
    found: Vec<Finding>,
}

impl Findings {
    /// This rule is broken.
    pub fn broken(&mut self, rule: &'static str, text: impl Into<String>) {
        self.found.push(Finding {
            rule,
            step: self.step,
            text: text.into(),
        });
    }

    /// This rule holds, or is broken.
    pub fn holds(&mut self, rule: &'static str, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.broken(rule, text());
        }
    }
}

/// Checks a whole trace; what was found, in order.
pub fn check(setup: &Setup, trace: &[Step]) -> Vec<Finding> {
    let mut checker = Checker::new(setup);
    for step in trace {
        checker.step(step);
    }
    checker.findings.found
}

/// Checks a trace step by step.
#[derive(Clone, Debug)]
pub struct Checker {
    ledger: Ledger,
    findings: Findings,
}

impl Checker {
    /// Before the first step.
    pub fn new(setup: &Setup) -> Checker {
        Checker {
            ledger: Ledger::new(setup),
            findings: Findings::default(),
        }
    }

    /// Looks at the next step.
    pub fn step(&mut self, step: &Step) {
        let (ledger, out) = (&mut self.ledger, &mut self.findings);
        out.holds("R6", step.views_are_pure, || {
            "a view changed the digest".into()
        });
        match &step.what {
            What::Call { at, input, result } => {
                calls::check(ledger, *at, input, result, step, out);
                let asked = room::asks(ledger, input);
                intake::call(ledger, *at, input, result, &step.after, out);
                if let Some(asked) = asked {
                    room::answered(ledger, *at, asked, result, out);
                }
            }
            What::Pump { .. } | What::Poll { .. } => {
                ledger.may_end(true);
                for event in step.events() {
                    Checker::event(ledger, event, out);
                }
            }
        }
        ledger.may_end(true);
        ledger.settle(step);
        if step.is_idle() {
            delivery::at_rest(ledger, out);
            sources::at_rest(ledger, &step.after, out);
            silence::at_rest(ledger, out);
            ends::at_rest(ledger, &step.after, out);
            room::at_rest(ledger, out);
            sources::note_free(ledger);
        }
        time::check(ledger, step, out);
        counts::check(ledger, step, out);
        work::check(ledger, step, out);
        ledger.close_step(step);
        out.step += 1;
    }

    /// What was found so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings.found
    }

    fn event(ledger: &mut Ledger, event: &Event, out: &mut Findings) {
        match event {
            Event::Write { id, run, answer } => {
                offers::check(ledger, *id, run, out);
                offers::turn(ledger, *id, out);
                silence::offer(ledger, *id, run, out);
                intake::write(ledger, *id, run, *answer, out);
            }
            Event::Control(control) => {
                sources::control(ledger, control, out);
                ends::control(ledger, control, out);
                intake::control(ledger, control, out);
            }
        }
    }
}
