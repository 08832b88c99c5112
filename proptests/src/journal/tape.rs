//! Writes down the calls of an engine.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use sse_state::journal::{Call, Recorder};
use sse_state::{
    Action, Answer, Config, Control, Engine, Error, Input, Interest, Pumped, Reply, Run, Sink,
    SseState, Stats, SubscriberId, Time,
};

use super::Journal;
use crate::panics::quietly;
use crate::scenario::Scenario;
use crate::suite::{self, Factory};

/// An engine whose calls are written down, refused ones too, and the one in which it panicked.
#[derive(Clone, Debug)]
pub struct Tape<E> {
    engine: E,
    calls: Rc<RefCell<Vec<Call>>>,
}

/// The journal of a scenario on an engine, up to the call in which it panicked if it did.
///
/// # Panics
/// If the engine refuses the bounds of the scenario.
pub fn taped<F: Factory>(factory: &F, scenario: &Scenario) -> Journal {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let tape = |config: Config| {
        Ok(Tape {
            engine: factory.make(config)?,
            calls: calls.clone(),
        })
    };
    // Only the calls are looked at afterwards.
    let _ = quietly(|| suite::run(&tape, scenario));
    Journal {
        notes: Vec::new(),
        config: scenario.setup.config.clone(),
        calls: calls.take(),
    }
}

/// The journal as the machine's own recorder writes it: with digests, without what is refused.
///
/// # Panics
/// If the machine refuses the bounds of the journal.
pub fn recorded(journal: &Journal) -> String {
    let text = Arc::new(Mutex::new(String::new()));
    let out = text.clone();
    let state = SseState::new(journal.config.clone()).expect("the bounds of a journal can be used");
    let line = move |line: &str| out.lock().expect("nobody panics with it").push_str(line);
    let mut recorder = Recorder::new(state, Box::new(line));
    for call in &journal.calls {
        match call {
            // What is refused is not recorded.
            Call::Input(at, input) => drop(recorder.apply(*at, input.clone())),
            Call::Pump { budget, answers } => {
                let mut answers = answers.iter().copied();
                let _ = recorder.pump(*budget, &mut Echo(&mut answers));
            }
            Call::Action => drop(recorder.poll_action()),
        }
    }
    recorder.finish();
    drop(recorder);
    Mutex::into_inner(Arc::into_inner(text).expect("the recorder is gone"))
        .expect("nobody panics with it")
}

struct Echo<'a>(&'a mut dyn Iterator<Item = Answer>);

impl Sink for Echo<'_> {
    fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
        self.0.next().unwrap_or(Answer::All)
    }

    fn control(&mut self, _: Control) {}
}

impl<E: Engine> Engine for Tape<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let input = owned(input);
        self.calls
            .borrow_mut()
            .push(Call::Input(now, input.clone()));
        self.engine.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let answers = Vec::new();
        self.calls.borrow_mut().push(Call::Pump { budget, answers });
        let calls = self.calls.clone();
        self.engine.pump(budget, &mut Tap { sink, calls })
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.calls.borrow_mut().push(Call::Action);
        self.engine.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.engine.poll_timeout()
    }

    fn now(&self) -> Time {
        self.engine.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.engine.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.engine.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.engine.asked()
    }

    fn is_terminated(&self) -> bool {
        self.engine.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.engine.stats()
    }

    fn digest(&self) -> u64 {
        self.engine.digest()
    }

    fn check_invariants(&self) {
        self.engine.check_invariants();
    }
}

struct Tap<'a> {
    sink: &'a mut dyn Sink,
    calls: Rc<RefCell<Vec<Call>>>,
}

impl Sink for Tap<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let answer = self.sink.write(id, run);
        if let Some(Call::Pump { answers, .. }) = self.calls.borrow_mut().last_mut() {
            answers.push(answer);
        }
        answer
    }

    fn control(&mut self, control: Control) {
        self.sink.control(control);
    }
}

/// The same input, owning what it borrows.
fn owned(input: Input<'_>) -> Input<'static> {
    match input {
        Input::Declare { topic, options } => Input::Declare { topic, options },
        Input::Accept => Input::Accept,
        Input::HeadHeld { id, bytes } => Input::HeadHeld { id, bytes },
        Input::HeadDone { id } => Input::HeadDone { id },
        Input::Body { id, bytes } => Input::Body { id, bytes },
        Input::Answer { id, bytes } => Input::Answer { id, bytes },
        Input::Subscribe(subscribe) => Input::Subscribe(subscribe),
        Input::Publish { topic, frame, room } => Input::Publish {
            topic: topic.into_owned().into(),
            frame,
            room,
        },
        Input::Close { id, how } => Input::Close { id, how },
        Input::CloseKey { key } => Input::CloseKey { key },
        Input::PeerGone { id } => Input::PeerGone { id },
        Input::StopSource { topic } => Input::StopSource {
            topic: topic.into_owned().into(),
        },
        Input::PollResult {
            token,
            number,
            outcome,
            next,
        } => Input::PollResult {
            token,
            number,
            outcome,
            next,
        },
        Input::Feed { token, frame, room } => Input::Feed { token, frame, room },
        Input::SourceEnded { token, reason } => Input::SourceEnded { token, reason },
        Input::Report(reports) => Input::Report(reports.into_owned().into()),
        Input::Writable { id } => Input::Writable { id },
        Input::Pull { id } => Input::Pull { id },
        Input::Timeout => Input::Timeout,
        Input::Shutdown { grace, cause } => Input::Shutdown { grace, cause },
        other => unreachable!("an input that journals do not know: {other:?}"),
    }
}
