//! Counters of the hub, beside those of the machine.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sse_state::{CloseReason, Stats};

use crate::signal::lock;

/// What the hub counts without its lock.
#[derive(Default)]
pub(crate) struct Counters {
    unheard: AtomicU64,
    polls_panicked: AtomicU64,
    accept_errors: AtomicU64,
    refused: AtomicU64,
    /// Answers by status; there are a few dozen of them at most.
    answered: Mutex<BTreeMap<u16, u64>>,
}

impl Counters {
    pub(crate) fn unheard(&self) {
        self.unheard.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn poll_panicked(&self) {
        self.polls_panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: u16) {
        *lock(&self.answered).entry(status).or_default() += 1;
    }
}

/// Counters since the start, and gauges of now. Serialises to a JSON object.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HubStats {
    /// Those of the machine.
    pub state: Stats,
    /// Publishes to topics that nobody listens to, which were not even encoded.
    pub unheard: u64,
    /// Polls that panicked; they count as failed in the machine, too.
    pub polls_panicked: u64,
    /// Accepts that failed, for want of descriptors for instance.
    pub accept_errors: u64,
    /// Answers that were no streams, by status; of streams those for HEAD.
    pub answered: BTreeMap<u16, u64>,
}

impl HubStats {
    pub(crate) fn new(mut state: Stats, counters: &Counters) -> HubStats {
        let unheard = counters.unheard.load(Ordering::Relaxed);
        state.unheard += unheard;
        state.refused_full += counters.refused.load(Ordering::Relaxed);
        HubStats {
            state,
            unheard,
            polls_panicked: counters.polls_panicked.load(Ordering::Relaxed),
            accept_errors: counters.accept_errors.load(Ordering::Relaxed),
            answered: lock(&counters.answered).clone(),
        }
    }

    /// How many connections were closed for this reason.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.state.closed_for(reason)
    }

    /// As JSON, for a route that shows them.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and fixed keys are always JSON.
        crate::json::to_json(self).unwrap_or_default()
    }
}

impl Serialize for HubStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = &self.state;
        let gauges = [
            ("openings", state.openings),
            ("deciding", state.deciding),
            ("streams", state.streams),
            ("finishing", state.finishing),
            ("topics", state.topics),
            ("sources", state.sources),
            ("polls_in_flight", state.polls_in_flight),
        ];
        let counters = [
            ("accepted", state.accepted),
            ("subscribed", state.subscribed),
            ("published", state.published),
            ("unchanged", state.unchanged),
            ("unheard", state.unheard),
            ("waited", state.waited),
            ("delivered", state.delivered),
            ("missed", state.missed),
            ("gaps", state.gaps),
            ("abandoned", state.abandoned),
            ("bytes", state.bytes),
            ("heartbeats", state.heartbeats),
            ("sources_started", state.sources_started),
            ("sources_stopped", state.sources_stopped),
            ("polls", state.polls),
            ("polls_failed", state.polls_failed),
            ("polls_panicked", self.polls_panicked),
            ("logs_bytes", state.logs_bytes),
            ("held_bytes", state.held_bytes),
            ("refused_full", state.refused_full),
            ("refused_conflict", state.refused_conflict),
            ("refused_shutdown", state.refused_shutdown),
            ("stale", state.stale),
            ("gone", state.gone),
            ("accept_errors", self.accept_errors),
        ];
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in gauges {
            map.serialize_entry(name, &value)?;
        }
        for (name, value) in counters {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("closed", &Closed(state))?;
        map.serialize_entry("answered", &self.answered)?;
        map.end()
    }
}

/// Closes by reason.
struct Closed<'a>(&'a Stats);

impl Serialize for Closed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, reason) in REASONS {
            map.serialize_entry(name, &self.0.closed_for(reason))?;
        }
        map.end()
    }
}

const REASONS: [(&str, CloseReason); 12] = [
    ("head_timeout", CloseReason::HeadTimeout),
    ("body_timeout", CloseReason::BodyTimeout),
    ("evicted", CloseReason::Evicted),
    ("answered", CloseReason::Answered),
    ("asked", CloseReason::Asked),
    ("lagged", CloseReason::Lagged),
    ("held", CloseReason::Held),
    ("stalled", CloseReason::Stalled),
    ("lifetime", CloseReason::Lifetime),
    ("expired", CloseReason::Expired),
    ("finished", CloseReason::Finished),
    ("shutdown", CloseReason::Shutdown),
];
