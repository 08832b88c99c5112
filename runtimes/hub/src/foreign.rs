//! An engine that a test has brought.

use sse_state::{
    Action, Engine, Error, Input, Interest, Pumped, Reply, Sink, Stats, SubscriberId, Time,
};

use crate::shared::Machine;

/// Passes everything on to the engine inside.
pub(crate) struct Foreign(pub(crate) Box<dyn Engine + Send>);

impl Machine for Foreign {}

impl Engine for Foreign {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        self.0.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        self.0.pump(budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
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
