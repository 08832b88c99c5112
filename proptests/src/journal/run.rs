//! What calls do to an engine, and what the rules say to it.

use core::fmt;
use std::collections::BTreeMap;

use sse_state::journal::Call;
use sse_state::{
    Action, Answer, Config, Control, Engine, Error, Input, Reply, Run as Lent, Sink, SubscriberId,
    Time,
};

use super::Journal;
use crate::check::check;
use crate::panics::unless_it_panics;
use crate::rules;
use crate::scenario::{Pace, Setup};
use crate::suite::Factory;
use crate::trace::{Event, Step, What};
use crate::world::look;

/// An engine, the calls that were made, and what came of them.
#[derive(Clone, Debug)]
pub struct Run<E> {
    /// The engine, as far as it came.
    pub engine: E,
    /// The calls, with the answers that its writes got.
    pub calls: Vec<Call>,
    /// What came of them.
    pub trace: Vec<Step>,
    /// What the engine panicked with in the last call, if it did.
    pub panicked: Option<String>,
    config: Config,
    setup: Setup,
    flights: BTreeMap<SubscriberId, u32>,
    /// Nothing is looked at and no trace is written.
    blind: bool,
}

/// A rule that is broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its id.
    pub rule: String,
    /// How.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Runs a journal as it is written on an engine: writes get its answers in order, and what it answers
/// too little is accepted whole.
///
/// # Panics
/// If the engine refuses the bounds of the journal.
pub fn run<F: Factory>(factory: &F, journal: &Journal) -> Run<F::Engine> {
    let mut run = Run::new(factory, &journal.config, journal.setup());
    for call in &journal.calls {
        match call {
            Call::Input(at, input) => {
                run.input(*at, input.clone());
            }
            Call::Pump { budget, answers } => {
                let mut answers = answers.iter().copied();
                run.pump(*budget, |_| answers.next().unwrap_or(Answer::All));
            }
            Call::Action => {
                run.action();
            }
        }
    }
    run
}

impl<E: Engine> Run<E> {
    /// Before the first call.
    ///
    /// # Panics
    /// If the engine refuses the bounds.
    pub fn new<F: Factory<Engine = E>>(factory: &F, config: &Config, setup: Setup) -> Run<E> {
        Run {
            engine: factory
                .make(config.clone())
                .expect("the bounds of a journal can be used"),
            calls: Vec::new(),
            trace: Vec::new(),
            panicked: None,
            config: config.clone(),
            setup,
            flights: BTreeMap::new(),
            blind: false,
        }
    }

    /// As `new`, for whoever needs the calls only: nothing is looked at, and no trace is written.
    ///
    /// # Panics
    /// If the engine refuses the bounds.
    pub fn blind<F: Factory<Engine = E>>(factory: &F, config: &Config) -> Run<E> {
        let setup = Setup {
            pace: Pace::Wild,
            config: config.clone(),
            topics: Vec::new(),
        };
        Run {
            blind: true,
            ..Run::new(factory, config, setup)
        }
    }

    /// What was called, as a journal.
    pub fn journal(&self) -> Journal {
        Journal {
            notes: Vec::new(),
            config: self.config.clone(),
            calls: self.calls.clone(),
        }
    }

    /// Every rule that is broken: those of the trace, then the one that the engine panicked with. If the
    /// events are not those of scenarios, only rules that need not know them again.
    pub fn broken(&self) -> Vec<Broken> {
        let findings = check(&self.setup, &self.trace);
        let inside = self.panicked.iter().map(|text| Broken {
            rule: rules::panicked(text).to_owned(),
            text: format!("it panicked: {text}"),
        });
        let foreign = super::is_foreign(&self.calls);
        let outside = findings.into_iter().filter(|finding| {
            let family = finding
                .rule
                .trim_end_matches(|c: char| c.is_ascii_lowercase());
            !(foreign && (family.starts_with(['D', 'N']) || FOLLOW_EVENTS.contains(&family)))
        });
        let outside = outside.map(|finding| Broken {
            rule: finding.rule.to_owned(),
            text: format!("in call {}: {}", finding.step + 1, finding.text),
        });
        outside.chain(inside).collect()
    }

    /// The bytes in flight to this stream.
    pub fn flight(&self, id: SubscriberId) -> Option<u32> {
        self.flights.get(&id).copied()
    }

    /// Feeds an input; `None` if the engine has panicked.
    pub fn input(&mut self, at: Time, input: Input<'static>) -> Option<Result<Reply, Error>> {
        if self.panicked.is_some() {
            return None;
        }
        self.calls.push(Call::Input(at, input.clone()));
        let result = self.guarded(|engine| engine.apply(at, input.clone()))?;
        if let (Input::Report(reports), Ok(_)) = (&input, &result) {
            for report in reports.iter() {
                self.flights.remove(&report.id);
            }
        }
        let what = What::Call {
            at,
            input,
            result: result.clone(),
        };
        self.record(what);
        Some(result)
    }

    /// Pumps; the events.
    pub fn pump(&mut self, budget: u32, answer: impl FnMut(SubscriberId) -> Answer) -> Vec<Event> {
        if self.panicked.is_some() {
            return Vec::new();
        }
        let mut hands = Hands {
            answer,
            answers: Vec::new(),
            events: Vec::new(),
        };
        let pumped = self.guarded(|engine| engine.pump(budget, &mut hands));
        let Hands {
            answers, events, ..
        } = hands;
        for event in &events {
            self.took(event);
        }
        self.calls.push(Call::Pump { budget, answers });
        if let Some(answer) = pumped {
            self.record(What::Pump {
                budget,
                answer,
                events: events.clone(),
            });
        }
        events
    }

    /// Pulls one action.
    pub fn action(&mut self) -> Option<Event> {
        if self.panicked.is_some() {
            return None;
        }
        self.calls.push(Call::Action);
        let event = self
            .guarded(|engine| engine.poll_action())?
            .map(|action| match action {
                Action::Write { id, run } => Event::Write {
                    id,
                    run,
                    answer: Answer::InFlight,
                },
                Action::Control(control) => Event::Control(control),
            });
        if let Some(event) = &event {
            self.took(event);
        }
        let what = What::Poll {
            event: event.clone(),
        };
        self.record(what);
        event
    }

    fn took(&mut self, event: &Event) {
        if let Event::Write {
            id,
            run,
            answer: Answer::InFlight,
        } = event
        {
            self.flights.insert(*id, run.len() as u32);
        }
    }

    fn record(&mut self, what: What) {
        if self.blind {
            return;
        }
        let setup = &self.setup;
        let seen = unless_it_panics(|| {
            self.engine.check_invariants();
            let after = look(&self.engine, setup);
            let views_are_pure = self.engine.digest() == after.digest;
            (after, views_are_pure)
        });
        match seen {
            Ok((after, views_are_pure)) => self.trace.push(Step {
                what,
                after,
                views_are_pure,
            }),
            Err(text) => self.panicked = Some(text),
        }
    }

    fn guarded<T>(&mut self, act: impl FnOnce(&mut E) -> T) -> Option<T> {
        match unless_it_panics(|| act(&mut self.engine)) {
            Ok(done) => Some(done),
            Err(text) => {
                self.panicked = Some(text);
                None
            }
        }
    }
}

/// Families of rules, besides D and N, that know events again, or what follows from them: who has
/// lagged, who was closed for it, whose source goes on.
const FOLLOW_EVENTS: [&str; 15] = [
    "A1", "B4", "B7", "B9", "B10", "C1", "I6", "I7", "L1", "L4", "L5", "L9", "L10", "T7", "W3",
];

struct Hands<A> {
    answer: A,
    answers: Vec<Answer>,
    events: Vec<Event>,
}

impl<A: FnMut(SubscriberId) -> Answer> Sink for Hands<A> {
    fn write(&mut self, id: SubscriberId, run: Lent<'_>) -> Answer {
        let run = run.to_bytes();
        let answer = match (self.answer)(id) {
            // Whoever takes everything is not blocked.
            Answer::Blocked(bytes) if bytes as usize >= run.len() => Answer::All,
            answer => answer,
        };
        self.answers.push(answer);
        self.events.push(Event::Write { id, run, answer });
        answer
    }

    fn control(&mut self, control: Control) {
        self.events.push(Event::Control(control));
    }
}
