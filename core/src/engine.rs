//! The surface that drivers, wrappers and tests are generic over.

use crate::action::{Action, Pumped, Sink};
use crate::error::Error;
use crate::id::SubscriberId;
use crate::input::{Input, Interest, Reply};
use crate::stats::Stats;
use crate::time::Time;

/// An engine: [`SseState`](crate::SseState) itself, a [`Recorder`](crate::journal::Recorder) around
/// it, or another implementation of the same rules.
pub trait Engine {
    /// Feeds one input.
    ///
    /// # Errors
    /// As the method of [`SseState`](crate::SseState) that the input names; the engine is then as it was.
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error>;
    /// Pulls and executes pending actions, at most `budget` visits.
    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped;
    /// Pulls one action; a write is in flight.
    fn poll_action(&mut self) -> Option<Action>;
    /// When [`Input::Timeout`] is due; `None` if nothing waits for time.
    fn poll_timeout(&self) -> Option<Time>;
    /// The greatest time seen.
    fn now(&self) -> Time;
    /// What is known of a topic.
    fn interest(&self, topic: &str) -> Option<Interest>;
    /// True while the id names a connection.
    fn is_live(&self, id: SubscriberId) -> bool;
    /// The mark that a decision on a mounted stream takes when it begins.
    fn asked(&self) -> u64;
    /// True once a shutdown is complete: nothing lives and nothing is left to pull.
    fn is_terminated(&self) -> bool;
    /// Counters and gauges.
    fn stats(&self) -> Stats;
    /// A digest of everything that decides what the engine will do.
    fn digest(&self) -> u64;
    /// Checks what must hold inside between any two calls, if the engine can.
    ///
    /// # Panics
    /// If something does not hold; the message begins with the id of the rule.
    #[doc(hidden)]
    fn check_invariants(&self) {} // coverage: for engines of others
}
