//! Is a driver's loop right? [`Checked`] stands between the loop and the engine, and says which duty was
//! neglected, at the call that shows it.
//!
//! The machine cannot know whether a socket took the bytes that it lent, or whether anybody closed the
//! connection that it wanted closed. [`RULES`] is the list of what it trusts a driver to do. Those that show in
//! the calls alone are checked by `Checked` wherever it is put, on real sockets too; the others need sockets
//! that tell the truth: [`Script`](crate::script::Script), on which [`sweep`](crate::sweep::sweep) puts a loop
//! through every fault at every step.
//!
//! ```
//! use sse_state::{Config, Engine, Epoch, Input, SseState, Time};
//! use sse_state_proptests::checked::Checked;
//!
//! let mut state = Checked::recording(SseState::new(Config::new(Epoch(7))).unwrap());
//! let now = Time::from_millis(5);
//! state.apply(now, Input::Accept).unwrap();
//! // The deadline of its head is 10 s away; a loop that sleeps for a minute has not asked for it.
//! state.duties().waits(now, Some(Time::from_millis(60_000)));
//! assert_eq!(state.duties().violations()[0].rule, "K2");
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sse_state::{
    Action, Answer, Control, Engine, Error, Input, Pumped, Reply, Run, Sink, SubscriberId, Time,
};

use crate::rules::{How, Rule};
use crate::script::Over;

mod ledger;
mod truth;
mod words;

pub(crate) use ledger::Ledger;
pub(crate) use truth::Outcome;

/// The duties of a driver, by id.
pub const RULES: &[Rule] = &[
    duty("K1", "It pumps until `Idle` before it waits."),
    duty("K2", "It never waits past `poll_timeout`."),
    duty("K3", "It feeds `Timeout` when one is due."),
    duty("K4", "The `now` of its calls never goes back."),
    duty("K5", "What it took in flight it reports, before it waits."),
    duty(
        "K6",
        "It reports a run once, and none that is not in flight.",
    ),
    duty(
        "K7",
        "It says of a write what the socket said: how many bytes it took, and whether it blocked or is gone.",
    ),
    duty(
        "K8",
        "When a socket that had blocked has room again, it feeds `Writable`.",
    ),
    duty(
        "K9",
        "It feeds nothing for an id that is dead or was never handed out.",
    ),
    duty(
        "K10",
        "It closes the socket of an id that is dead: by a reset after `Cut`, by nothing worse than a FIN after `Orderly`.",
    ),
    duty(
        "K11",
        "At `Finish` it shuts the write side, writes nothing more, and reads and drops what comes in until `Close`.",
    ),
    duty(
        "K12",
        "When a peer is gone (end of input, an error), it says so, and only then.",
    ),
    duty(
        "K13",
        "It accepts whoever connects, whatever `accept` returned before; feeds `Accept` for each in order, closes a socket whose `Accept` was refused, and asks for the events of the others.",
    ),
    duty(
        "K14",
        "It starts each source and makes each poll that it is told to.",
    ),
    duty(
        "K15",
        "It drops a source that is stopped, and a poll that a stop or a newer poll has replaced.",
    ),
    duty(
        "K16",
        "What a source gives is fed with the token and number that it was started with.",
    ),
    duty(
        "K17",
        "It keeps what an `Err` refused: such a request is answered or closed, a publish that was to wait comes again after `Room`.",
    ),
    duty(
        "K18",
        "What other threads hand to the loop is fed, once and in order.",
    ),
    duty(
        "K19",
        "A socket gets the bytes that were lent for it, each once and in order, and no others.",
    ),
    duty(
        "K20",
        "It says how many bytes of an unfinished head it holds (`HeadHeld`).",
    ),
    duty(
        "K21",
        "Whoever sent a whole request is decided on, and answered.",
    ),
    duty(
        "K22",
        "A client sees the topic that it asked for, in order, nothing twice, no gap that is not told, and an orderly end only after a whole event.",
    ),
    duty(
        "K23",
        "It does not spin: it waits when there is nothing to do.",
    ),
    duty(
        "K24",
        "It ends when, and only when, the machine has; it never panics.",
    ),
];

/// An engine that watches who drives it.
///
/// It panics at the first duty that is neglected, with the rule's id; [`recording`](Self::recording) keeps a
/// list instead. What it can see without being told is seen from the `now` of the calls: who comes back a
/// second after `poll_timeout` has slept too long. Tell [`Duties::waits`] before each wait, and the rules are
/// exact.
#[derive(Debug)]
pub struct Checked<E> {
    inner: E,
    duties: Duties,
}

impl<E: Engine> Checked<E> {
    /// Watches, and panics when a duty is neglected.
    pub fn new(engine: E) -> Checked<E> {
        Checked::with(engine, Duties::new(true, false))
    }

    /// Watches, and keeps what it sees.
    pub fn recording(engine: E) -> Checked<E> {
        Checked::with(engine, Duties::new(false, false))
    }

    pub(crate) fn with(engine: E, duties: Duties) -> Checked<E> {
        let checked = Checked {
            inner: engine,
            duties,
        };
        checked.look();
        checked
    }

    /// What is known of the duties; a handle that can be kept after the engine was given away.
    pub fn duties(&self) -> Duties {
        self.duties.clone()
    }

    /// The engine inside.
    pub fn inner(&self) -> &E {
        &self.inner
    }

    /// Unwinds out of a scripted run whose loop does not wait any more.
    fn end_if_endless(&self) {
        let is_endless = self.duties.ledger().is_endless();
        if is_endless {
            std::panic::resume_unwind(Box::new(Over));
        }
    }

    /// Takes in what the engine shows after a call.
    fn look(&self) {
        let mut ledger = self.duties.ledger();
        ledger.deadline = self.inner.poll_timeout();
        ledger.terminated = self.inner.is_terminated();
    }
}

impl<E: Engine> Engine for Checked<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let fed = self.duties.ledger().before(now, &input);
        let result = self.inner.apply(now, input);
        let live = fed.id.is_some_and(|id| self.inner.is_live(id));
        self.look();
        self.duties.ledger().after(fed, &result, live);
        self.end_if_endless();
        result
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let duties = &self.duties;
        let pumped = self.inner.pump(budget, &mut Watched { sink, duties });
        self.look();
        self.duties.ledger().pumped(pumped == Pumped::Idle);
        self.end_if_endless();
        pumped
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.inner.poll_action();
        self.look();
        let mut ledger = self.duties.ledger();
        ledger.pumped(action.is_none());
        match &action {
            Some(Action::Write { id, run }) => {
                ledger.lends(*id, run);
                ledger.answers(*id, Answer::InFlight);
            }
            Some(Action::Control(control)) => ledger.control(control),
            None => {}
        }
        drop(ledger);
        self.end_if_endless();
        action
    }

    views_of_inner!();
}

/// The driver's own sink, watched.
struct Watched<'a> {
    sink: &'a mut dyn Sink,
    duties: &'a Duties,
}

impl Sink for Watched<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.duties.ledger().lends(id, &run.to_bytes());
        let answer = self.sink.write(id, run);
        self.duties.ledger().answers(id, answer);
        answer
    }

    fn control(&mut self, control: Control) {
        self.duties.ledger().control(&control);
        self.sink.control(control);
    }
}

/// What is known of a driver: which of its duties are due, and which it has neglected.
#[derive(Clone, Debug)]
pub struct Duties(Arc<Mutex<Ledger>>);

impl Duties {
    pub(crate) fn new(panics: bool, scripted: bool) -> Duties {
        Duties(Arc::new(Mutex::new(Ledger::new(panics, scripted))))
    }

    /// The driver waits now, until this time at the latest (`None`: for an event, however long). Call it
    /// wherever a loop blocks: whatever should have been done before is checked here.
    pub fn waits(&self, now: Time, until: Option<Time>) {
        self.ledger().waits(now, until);
    }

    /// The driver's loop has ended.
    pub fn ends(&self) {
        self.ledger().ends();
    }

    /// What was neglected so far.
    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations.clone()
    }

    /// A panic in the middle of a call must not hide what it was about.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A duty that was neglected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which; see [`RULES`].
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

impl core::fmt::Display for Violation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let says = RULES.iter().find(|rule| rule.id == self.rule);
        write!(f, "{}: {}", self.rule, self.text)?;
        says.map_or(Ok(()), |rule| write!(f, "\n  the duty: {}", rule.says))
    }
}

/// A duty of a driver.
const fn duty(id: &'static str, says: &'static str) -> Rule {
    Rule {
        id,
        how: How::Driver,
        says,
    }
}
