//! What was done to an engine and what it did: all that the rules may look at.

use bytes::Bytes;
use sse_state::{
    Answer, Control, Error, Input, Interest, Pumped, Reply, Stats, SubscriberId, Time,
};

/// One call and what came of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The call.
    pub what: What,
    /// What the engine shows after it.
    pub after: Views,
    /// Looked at everything twice and the digest stayed the same.
    pub views_are_pure: bool,
}

/// A call.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// An input.
    Call {
        /// The time that was handed in, which may lie before the engine's.
        at: Time,
        /// The input.
        input: Input<'static>,
        /// The answer.
        result: Result<Reply, Error>,
    },
    /// A pump.
    Pump {
        /// Its budget.
        budget: u32,
        /// What it said about work left.
        answer: Pumped,
        /// What it did, in order.
        events: Vec<Event>,
    },
    /// A single action.
    Poll {
        /// It, if there was one.
        event: Option<Event>,
    },
}

/// An action that was pulled.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// Bytes for a stream.
    Write {
        /// The stream.
        id: SubscriberId,
        /// The bytes.
        run: Bytes,
        /// What the socket said.
        answer: Answer,
    },
    /// Anything else.
    Control(Control),
}

/// What an engine shows without being touched.
#[derive(Clone, PartialEq, Debug)]
pub struct Views {
    /// The greatest time seen.
    pub now: Time,
    /// When it wants to be called.
    pub timeout: Option<Time>,
    /// Digest of what decides its future.
    pub digest: u64,
    /// Nothing is left.
    pub terminated: bool,
    /// Its counters.
    pub stats: Stats,
    /// What it knows of each topic of the scenario, in order.
    pub interests: Vec<Option<Interest>>,
}

impl Step {
    /// The actions that were pulled.
    pub fn events(&self) -> &[Event] {
        match &self.what {
            What::Call { .. } => &[],
            What::Pump { events, .. } => events,
            What::Poll { event } => event.as_slice(),
        }
    }

    /// Nothing is left to do until the next input.
    pub fn is_idle(&self) -> bool {
        matches!(
            self.what,
            What::Pump {
                answer: Pumped::Idle,
                ..
            } | What::Poll { event: None }
        )
    }
}

/// One line for people.
impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.what {
            What::Call { at, input, result } => write!(f, "{at:?} {input:?} -> {result:?}"),
            What::Pump {
                budget,
                answer,
                events,
            } => {
                write!(f, "pump({budget}) -> {answer:?}")?;
                events
                    .iter()
                    .try_for_each(|event| write!(f, "\n      {event:?}"))
            }
            What::Poll { event } => write!(f, "poll_action -> {event:?}"),
        }
    }
}
