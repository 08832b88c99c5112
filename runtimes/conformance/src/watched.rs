//! An engine that watches its loop, waits included.

use sse_state::{
    Action, Engine, Error, Input, Interest, Pumped, Reply, Sink, SseState, Stats, SubscriberId,
    Time,
};
use sse_state_proptests::checked::{Checked, Duties};

/// [`Checked`] for a loop that asks for `poll_timeout` where it waits, and only there: what was to be done
/// before a wait is checked then. Not for loops that wait while a write is under way.
pub struct Watched {
    state: Checked<SseState>,
    duties: Duties,
}

impl Watched {
    /// Panics at the first duty that is neglected.
    #[must_use]
    pub fn new(state: SseState) -> Watched {
        let state = Checked::new(state);
        let duties = state.duties();
        Watched { state, duties }
    }
}

impl Engine for Watched {
    fn poll_timeout(&self) -> Option<Time> {
        let until = self.state.poll_timeout();
        self.duties.waits(self.state.now(), until);
        until
    }

    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        self.state.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        self.state.pump(budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.state.poll_action()
    }

    fn now(&self) -> Time {
        self.state.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.state.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.state.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.state.asked()
    }

    fn is_terminated(&self) -> bool {
        self.state.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.state.stats()
    }

    fn digest(&self) -> u64 {
        self.state.digest()
    }
}
