//! Which kinds of things were reached.

use std::collections::BTreeSet;

use sse_state::{Answer, Bound, CloseReason, Control, Ending, Error, Pulled, Reply, StopReason};

/// Names of what was reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached(BTreeSet<&'static str>);

impl Reached {
    /// Adds what another run has reached.
    pub fn join(&mut self, other: &Reached) {
        self.0.extend(&other.0);
    }

    /// What is missing of what there is.
    pub fn missing(&self) -> Vec<&'static str> {
        EVERYTHING
            .iter()
            .copied()
            .filter(|name| !self.0.contains(name))
            .collect()
    }

    /// Whether this is reached.
    pub fn holds(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// How many kinds.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is reached.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        self.add(match answer {
            Answer::All => "Answer::All",
            Answer::Blocked(_) => "Answer::Blocked",
            Answer::Gone => "Answer::Gone",
            Answer::InFlight => "Answer::InFlight",
        });
    }

    pub(super) fn control(&mut self, control: &Control) {
        let name = match control {
            Control::StartSource { .. } => "Control::StartSource",
            Control::Poll { .. } => "Control::Poll",
            Control::StopSource { reason, .. } => {
                self.add(stop(*reason));
                "Control::StopSource"
            }
            Control::Wake { .. } => "Control::Wake",
            Control::Room { .. } => "Control::Room",
            Control::Finish { .. } => "Control::Finish",
            Control::Close { reason, ending, .. } => {
                self.add(close(*reason));
                self.add(match ending {
                    Ending::Orderly => "Ending::Orderly",
                    Ending::Cut => "Ending::Cut",
                });
                "Control::Close"
            }
        };
        self.add(name);
    }

    pub(super) fn reply(&mut self, reply: &Reply) -> &'static str {
        let name = match reply {
            Reply::Done => "Reply::Done",
            Reply::Id(_) => "Reply::Id",
            Reply::Published(_) => "Reply::Published",
            Reply::Pulled(Pulled::Run(_)) => "Reply::Pulled Run",
            Reply::Pulled(Pulled::Nothing) => "Reply::Pulled Nothing",
            Reply::Stale(_) => "Reply::Stale",
            Reply::Closing(_) => "Reply::Closing",
            _ => UNKNOWN,
        };
        self.add(name)
    }

    pub(super) fn error(&mut self, error: Error) -> &'static str {
        self.add(match error {
            Error::Stale => "Error::Stale",
            Error::Phase => "Error::Phase",
            Error::ShuttingDown => "Error::ShuttingDown",
            Error::Full(full) => bound(full),
            Error::Wait => "Error::Wait",
            Error::Conflict => "Error::Conflict",
            Error::Options(_) => "Error::Options",
            Error::OwnId => "Error::OwnId",
            Error::MixedIds => "Error::MixedIds",
            Error::Topics => "Error::Topics",
            Error::Closed => "Error::Closed",
            Error::Expired => "Error::Expired",
            Error::Absent => "Error::Absent",
            _ => UNKNOWN,
        })
    }

    fn add(&mut self, name: &'static str) -> &'static str {
        self.0.insert(name);
        name
    }
}

fn close(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::HeadTimeout => "CloseReason::HeadTimeout",
        CloseReason::BodyTimeout => "CloseReason::BodyTimeout",
        CloseReason::Evicted => "CloseReason::Evicted",
        CloseReason::Answered => "CloseReason::Answered",
        CloseReason::Asked => "CloseReason::Asked",
        CloseReason::Lagged => "CloseReason::Lagged",
        CloseReason::Held => "CloseReason::Held",
        CloseReason::Stalled => "CloseReason::Stalled",
        CloseReason::Lifetime => "CloseReason::Lifetime",
        CloseReason::Expired => "CloseReason::Expired",
        CloseReason::Finished => "CloseReason::Finished",
        CloseReason::Shutdown => "CloseReason::Shutdown",
        _ => UNKNOWN,
    }
}

fn stop(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Condition => "StopReason::Condition",
        StopReason::Finished => "StopReason::Finished",
        StopReason::Asked => "StopReason::Asked",
        StopReason::NoSubscribers => "StopReason::NoSubscribers",
        StopReason::Shutdown => "StopReason::Shutdown",
        StopReason::HubDropped => "StopReason::HubDropped",
        StopReason::Panicked => "StopReason::Panicked",
        _ => UNKNOWN,
    }
}

fn bound(bound: Bound) -> &'static str {
    match bound {
        Bound::Head => "Bound::Head",
        Bound::Heads => "Bound::Heads",
        Bound::Deciding => "Bound::Deciding",
        Bound::Bodies => "Bound::Bodies",
        Bound::Subscribers => "Bound::Subscribers",
        Bound::StreamsPerKey => "Bound::StreamsPerKey",
        Bound::TopicsPerSubscriber => "Bound::TopicsPerSubscriber",
        Bound::Topics => "Bound::Topics",
        Bound::TopicsByRequest => "Bound::TopicsByRequest",
        Bound::Name => "Bound::Name",
        Bound::Sources => "Bound::Sources",
        Bound::Frame => "Bound::Frame",
        Bound::Logs => "Bound::Logs",
        Bound::Held => "Bound::Held",
        Bound::Ids => "Bound::Ids",
        _ => UNKNOWN,
    }
}

/// A variant that this file does not know; it is never among what there is.
const UNKNOWN: &str = "unknown";

/// Everything that there is to reach. `Bound::Ids` is not: no id is left only when half a thousand million
/// slots were used.
pub const EVERYTHING: [&str; 65] = [
    "Answer::All",
    "Answer::Blocked",
    "Answer::Gone",
    "Answer::InFlight",
    "Control::StartSource",
    "Control::Poll",
    "Control::StopSource",
    "Control::Wake",
    "Control::Room",
    "Control::Finish",
    "Control::Close",
    "Ending::Orderly",
    "Ending::Cut",
    "CloseReason::HeadTimeout",
    "CloseReason::BodyTimeout",
    "CloseReason::Evicted",
    "CloseReason::Answered",
    "CloseReason::Asked",
    "CloseReason::Lagged",
    "CloseReason::Held",
    "CloseReason::Stalled",
    "CloseReason::Lifetime",
    "CloseReason::Expired",
    "CloseReason::Finished",
    "CloseReason::Shutdown",
    "StopReason::Condition",
    "StopReason::Finished",
    "StopReason::Asked",
    "StopReason::NoSubscribers",
    "StopReason::Shutdown",
    "StopReason::HubDropped",
    "StopReason::Panicked",
    "Reply::Done",
    "Reply::Id",
    "Reply::Published",
    "Reply::Pulled Run",
    "Reply::Pulled Nothing",
    "Reply::Stale",
    "Reply::Closing",
    "Error::Stale",
    "Error::Phase",
    "Error::ShuttingDown",
    "Error::Wait",
    "Error::Conflict",
    "Error::Options",
    "Error::OwnId",
    "Error::MixedIds",
    "Error::Topics",
    "Error::Closed",
    "Error::Expired",
    "Error::Absent",
    "Bound::Head",
    "Bound::Heads",
    "Bound::Deciding",
    "Bound::Bodies",
    "Bound::Subscribers",
    "Bound::StreamsPerKey",
    "Bound::TopicsPerSubscriber",
    "Bound::Topics",
    "Bound::TopicsByRequest",
    "Bound::Name",
    "Bound::Sources",
    "Bound::Frame",
    "Bound::Logs",
    "Bound::Held",
];
