//! Recording a run, and replaying it.

use alloc::boxed::Box;

use crate::action::{Action, Pumped, Sink};
use crate::engine::Engine;
use crate::error::Error;
use crate::id::SubscriberId;
use crate::input::{Input, Interest, Reply};
use crate::state::SseState;
use crate::stats::Stats;
use crate::time::Time;

/// An engine that writes a journal line for every accepted call.
pub struct Recorder {
    _state: SseState,
    _out: Box<dyn FnMut(&str) + Send>,
}

/// What a replay ended with.
#[derive(Debug)]
pub struct Replay {
    /// The running digest of the action bytes.
    pub actions: u64,
    /// The digest of the state.
    pub state: u64,
    /// Accepted calls replayed.
    pub calls: u64,
}

/// Where and why a journal could not be replayed.
#[derive(Debug)]
pub struct JournalError {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: alloc::string::String,
}

/// Replays a journal.
///
/// # Errors
/// [`JournalError`].
pub fn replay(_journal: &str) -> Result<Replay, JournalError> {
    todo!()
}

#[allow(missing_docs, unused_variables)]
impl Recorder {
    pub fn new(state: SseState, out: Box<dyn FnMut(&str) + Send>) -> Recorder {
        todo!()
    }
    /// The running digest of the action bytes, as [`Replay::actions`] will be.
    pub fn actions(&self) -> u64 {
        todo!()
    }
}

#[allow(unused_variables)]
impl Engine for Recorder {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        todo!()
    }
    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        todo!()
    }
    fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }
    fn poll_timeout(&self) -> Option<Time> {
        todo!()
    }
    fn now(&self) -> Time {
        todo!()
    }
    fn interest(&self, topic: &str) -> Option<Interest> {
        todo!()
    }
    fn is_live(&self, id: SubscriberId) -> bool {
        todo!()
    }
    fn asked(&self) -> u64 {
        todo!()
    }
    fn is_terminated(&self) -> bool {
        todo!()
    }
    fn stats(&self) -> Stats {
        todo!()
    }
    fn digest(&self) -> u64 {
        todo!()
    }
}
