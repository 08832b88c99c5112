//! T6, X1: how much is done between two rests.

use std::collections::BTreeMap;
use std::time::Duration;

use sse_state::{Control, SourceToken, SubscriberId, Time};

use super::Findings;
use super::facts::Ledger;
use crate::trace::{Event, Step, What};

/// What has been done since the last call.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Work {
    /// Visits that pumps were allowed, as far as they used them up.
    visits: u64,
    /// Actions that came out.
    actions: u64,
    /// Since a jump of years: heartbeats of each stream and polls of each run.
    jumped: Option<(BTreeMap<SubscriberId, u32>, BTreeMap<SourceToken, u32>)>,
}

impl Work {
    /// The time goes on.
    pub(super) fn time(&mut self, from: Time, to: Time) {
        self.jumped = (to.since(from) > YEARS).then(Default::default);
    }

    /// A heartbeat is lent.
    pub(super) fn beat(&mut self, id: SubscriberId, out: &mut Findings) {
        if let Some((beats, _)) = &mut self.jumped {
            let count = beats.entry(id).or_default();
            *count += 1;
            out.holds("T6", *count == 1, || {
                format!("{id} gets {count} heartbeats after a jump")
            });
        }
    }

    fn poll(&mut self, token: SourceToken, out: &mut Findings) {
        if let Some((_, polls)) = &mut self.jumped {
            let count = polls.entry(token).or_default();
            *count += 1;
            out.holds("T6", *count == 1, || {
                format!("{token} is polled {count} times after a jump")
            });
        }
    }
}

/// After every step.
pub(super) fn check(ledger: &mut Ledger, step: &Step, out: &mut Findings) {
    let lives = ledger.conns.values().filter(|conn| conn.alive).count() + ledger.topics.len();
    let work = &mut ledger.work;
    match &step.what {
        What::Call { .. } => {
            work.visits = 0;
            work.actions = 0;
        }
        What::Pump { budget, .. } => work.visits += u64::from(*budget) * u64::from(!step.is_idle()),
        What::Poll { .. } => work.visits += 1,
    }
    work.actions += step.events().len() as u64;
    for event in step.events() {
        if let Event::Control(Control::Poll { token, .. }) = event {
            work.poll(*token, out);
        }
    }
    let bound = SLACK + EACH * (lives as u64 + work.actions);
    out.holds("X1b", work.visits <= bound, || {
        format!(
            "{} visits for {} actions among {lives} that live",
            work.visits, work.actions
        )
    });
    if step.is_idle() {
        work.jumped = None;
    }
}

const YEARS: Duration = Duration::from_secs(365 * 24 * 3600);
/// Visits for each that lives or comes out: a turn, a timer, a move between lists, in every topic.
const EACH: u64 = 20;
/// A pump that is not idle need not have used up its budget.
const SLACK: u64 = 2000;
