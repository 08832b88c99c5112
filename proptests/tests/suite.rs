//! Random scenarios: the machine and the naive model keep every rule of the checker, and engines that are
//! faulty on purpose do not.

use sse_state::{
    Action, Answer, Config, Control, Engine, Error, Input, Interest, Pumped, Reply, Run, Sink,
    SseState, Stats, SubscriberId, Time,
};
use sse_state_proptests::model::Model;
use sse_state_proptests::suite::{Budget, Factory, Real, Report, suite};

fn run<F: Factory>(factory: &F, scenarios: u64) -> Report {
    suite(
        factory,
        Budget {
            first_seed: 0,
            scenarios,
            length: 60,
        },
    )
}

fn assert_clean(report: &Report) {
    if let Some(failure) = report.failures.first() {
        panic!(
            "{} broken rules, the first:\n{failure}",
            report.failures.len()
        );
    }
    assert!(report.steps > 10_000, "nothing happened");
}

#[test]
fn the_machine_keeps_every_rule() {
    assert_clean(&run(&Real, 500));
}

#[test]
fn the_naive_model_keeps_every_rule() {
    assert_clean(&run(&Model::new, 200));
}

/// What a faulty engine does wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    ForgetsWritable,
    StartsTwice,
    ForgetsStop,
    PollsTwice,
    ClosesTwice,
    TakesDeadIds,
    SleepsForEver,
    NeverSleeps,
    ForgetsTime,
    ForgetsShutdown,
    LosesPublishes,
    ForgetsPeers,
}

#[derive(Clone)]
struct Faulty(SseState, Fault);

struct Twisted<'a>(&'a mut dyn Sink, Fault);

impl Sink for Twisted<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.0.write(id, run)
    }

    fn control(&mut self, control: Control) {
        let (times, of) = match (self.1, &control) {
            (Fault::StartsTwice, Control::StartSource { .. })
            | (Fault::PollsTwice, Control::Poll { .. })
            | (Fault::ClosesTwice, Control::Close { .. }) => (2, control),
            (Fault::ForgetsStop, Control::StopSource { .. }) => (0, control),
            _ => (1, control),
        };
        for _ in 0..times {
            self.0.control(of.clone());
        }
    }
}

impl Engine for Faulty {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let forgotten = matches!(
            (self.1, &input),
            (Fault::ForgetsWritable, Input::Writable { .. })
                | (Fault::ForgetsTime, Input::Timeout)
                | (Fault::ForgetsShutdown, Input::Shutdown { .. })
                | (Fault::ForgetsPeers, Input::PeerGone { .. })
        );
        if forgotten {
            return Ok(Reply::Done);
        }
        if let (Fault::LosesPublishes, Input::Publish { topic, frame, room }) = (self.1, &input) {
            // It says what a publish says, and keeps nothing.
            let published = self.0.clone().publish(now, topic, frame.clone(), *room);
            return published.map(Reply::Published);
        }
        match self.0.apply(now, input) {
            Err(Error::Stale) if matches!(self.1, Fault::TakesDeadIds) => Ok(Reply::Done),
            reply => reply,
        }
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        self.0.pump(budget, &mut Twisted(sink, self.1))
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        match self.1 {
            Fault::SleepsForEver => None,
            Fault::NeverSleeps => Some(self.0.now()),
            _ => self.0.poll_timeout(),
        }
    }

    fn now(&self) -> Time {
        self.0.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.0.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.0.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.0.asked()
    }

    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn digest(&self) -> u64 {
        self.0.digest()
    }
}

#[test]
fn every_faulty_engine_is_caught() {
    for fault in [
        Fault::ForgetsWritable,
        Fault::StartsTwice,
        Fault::ForgetsStop,
        Fault::PollsTwice,
        Fault::ClosesTwice,
        Fault::TakesDeadIds,
        Fault::SleepsForEver,
        Fault::NeverSleeps,
        Fault::ForgetsTime,
        Fault::ForgetsShutdown,
        Fault::LosesPublishes,
        Fault::ForgetsPeers,
    ] {
        let make = |config: Config| SseState::new(config).map(|state| Faulty(state, fault));
        let caught = (0..60).any(|seed| {
            let budget = Budget {
                first_seed: seed,
                scenarios: 1,
                length: 60,
            };
            !suite(&make, budget).failures.is_empty()
        });
        assert!(caught, "{fault:?} was not caught");
    }
}
