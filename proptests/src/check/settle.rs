//! What follows in the ledger from the time and from what was pulled.

use sse_state::Time;

use super::facts::{Ledger, Member, Tri};
use super::intake::with;
use crate::trace::{Step, What};

impl Ledger {
    /// Streams that may have a reason to end by now. When actions are pulled, a stall may be decided
    /// whose close is pulled later.
    pub(super) fn may_end(&mut self, deciding: bool) {
        let now = self.now;
        let finished = |member: &Member| self.topics[member.topic].spent;
        let mut ending = Vec::new();
        for (id, conn) in &self.conns {
            let Some(sub) = conn.sub.as_ref().filter(|_| conn.is_possible()) else {
                continue;
            };
            let life = sub.lifetime.or(self.config.max_lifetime);
            let old = life.is_some_and(|life| now >= conn.opened + life / 8 * 7);
            let expired = sub.expires.is_some_and(|expires| now >= expires);
            let stalled = [conn.stall, conn.woken]
                .into_iter()
                .flatten()
                .any(|since| now >= since + self.config.write_timeout);
            let lagged = conn.members.iter().any(|member| {
                let topic = &self.topics[member.topic];
                topic.options.slow == sse_state::Slow::Close && member.next < topic.from_most
            });
            let done = sub.end_when_finished
                && conn.members.iter().any(|member| {
                    finished(member) != Tri::No || !self.topics[member.topic].causes.is_empty()
                });
            let held = self.config.held_bytes < 1 << 16;
            ending.push((*id, stalled, old || expired || lagged || done || held));
        }
        for (id, stalled, ends) in ending {
            with(self, id, |conn| {
                conn.may_stall = stalled || (conn.may_stall && deciding);
                if ends {
                    conn.may_end_since = conn.may_end_since.min(now);
                    conn.may_end = true;
                }
            });
        }
    }

    /// What follows from a step for topics: who is there, what is held.
    pub(super) fn settle(&mut self, step: &Step) {
        let pulled = !matches!(step.what, What::Call { .. });
        for place in 0..self.topics.len() {
            let (certain, possible) = self.members(place);
            let (now, seq) = (self.now, self.seq);
            let stands = step.after.interests[place].is_some();
            let topic = &mut self.topics[place];
            let len = topic.frames.len();
            if certain > 0 {
                topic.certain_zero = None;
            } else {
                topic.certain_zero.get_or_insert(now);
                if topic.spent == Tri::Yes {
                    topic.spent = Tri::Maybe;
                }
                if topic.causes_stale == Tri::No {
                    topic.causes_stale = Tri::Maybe;
                }
            }
            if possible > 0 {
                topic.possible_zero = None;
            } else {
                topic.possible_zero.get_or_insert(now);
                topic.spent = Tri::No;
                topic.causes_stale = Tri::Yes;
            }
            let retained = topic.options.retained_for();
            let over = |since: Option<Time>| {
                since.is_some_and(|since| now >= (since + retained).max(topic.retained_most))
            };
            let surely = over(topic.possible_zero);
            let maybe = topic
                .certain_zero
                .is_some_and(|since| now >= since + retained);
            let source_idle = topic.running().is_none();
            if !stands || (topic.declared && maybe) {
                // Whoever waits for an emptied topic may be forgotten.
                topic.wanted = None;
            }
            if !stands || (topic.declared && step.is_idle() && surely && source_idle) {
                if topic.from < len || !stands {
                    topic.life = seq;
                    topic.life_from = len;
                }
                topic.from = len;
                topic.from_most = len;
            } else if topic.declared && pulled && maybe {
                topic.from_most = len;
            }
        }
    }

    /// After the rules have looked.
    pub(super) fn close_step(&mut self, step: &Step) {
        if !step.events().is_empty() {
            self.quiet = None;
        }
        if step.is_idle() {
            for conn in self.conns.values_mut() {
                conn.may_stall = false;
            }
            self.quiet = Some(step.after.timeout);
            self.more = false;
            self.stirred = false;
        } else if !matches!(step.what, What::Call { .. }) {
            self.more = true;
        }
        self.before = Some(step.after.clone());
    }
}
