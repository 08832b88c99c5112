//! Pulling actions.
//!
//! All this is compiled where its sink is, in another crate. Into that, the small functions of this one which it calls for
//! every write are inlined for sure only if they say `inline`: so do those of lists, logs, cursors and runs.

use super::{SseState, TOPIC};
use crate::action::{Action, Answer, Control, Ending, Pumped, Run, Sink};
use crate::id::SubscriberId;
use crate::subscriber::{How, Phase, Where};
use crate::topic::Crowd;

impl SseState {
    /// Pulls and executes pending actions: deadlines first, then closes, stops, starts and polls,
    /// then data in the order in which it became ready. At most `budget` visits (a member looked at,
    /// a deadline moved) are made, whether they give an action or not; an interrupted pump goes on
    /// where it stopped.
    pub fn pump(&mut self, budget: u32, sink: &mut (impl Sink + ?Sized)) -> Pumped {
        let mut left = budget;
        while left > 0 && self.step(&mut left, sink) {}
        self.drop_gathered();
        if self.has_work() {
            Pumped::More
        } else {
            Pumped::Idle
        }
    }

    /// Pulls one action; a write is then in flight. `None`: nothing is left to do.
    ///
    /// The simple face of [`pump`](Self::pump), over the same cursor.
    pub fn poll_action(&mut self) -> Option<Action> {
        let mut one = One(None);
        while one.0.is_none() && self.step(&mut 1, &mut one) {}
        self.drop_gathered();
        one.0
    }

    /// True if a pump would visit something.
    pub(super) fn has_work(&self) -> bool {
        !self.is_terminated() && (self.urgent() || !self.data.is_empty())
    }

    fn urgent(&self) -> bool {
        self.timer_due()
            || self.sweep_topics.is_some()
            || self.sweep_subs.is_some()
            || !self.control.is_empty()
            || !self.unsettled.is_empty()
            || self.next_in_line().is_some()
    }

    /// The topic whose poll has waited longest, if there is room for one.
    fn next_in_line(&self) -> Option<u32> {
        let room = self.held.polls < self.config.polls;
        let longest = self.polls_waiting.first().filter(|_| room);
        longest.map(|&(_, slot)| slot)
    }

    /// One visit with at most one action, or as many turns of one round as are `left` and nothing
    /// else comes before; false if there is nothing to visit.
    fn step(&mut self, left: &mut u32, sink: &mut (impl Sink + ?Sized)) -> bool {
        if self.is_terminated() {
            return false;
        }
        *left -= 1;
        if self.timer_due() {
            self.fire();
            return true;
        }
        if self.sweep() {
            return true;
        }
        if let Some(slot) = self.control.first() {
            self.control(slot, sink);
            return true;
        }
        if let Some(slot) = self.unsettled.first() {
            self.settle(slot, sink);
            return true;
        }
        if let Some(slot) = self.next_in_line() {
            self.poll_next(slot, sink);
            return true;
        }
        match self.data.first() {
            None => false,
            Some(node) if node & TOPIC != 0 => {
                self.round(node & !TOPIC, sink);
                while *left > 0
                    && self.data.first() == Some(node)
                    && self.control.is_empty()
                    && self.unsettled.is_empty()
                {
                    *left -= 1;
                    self.round(node & !TOPIC, sink);
                }
                true
            }
            Some(slot) => {
                self.unqueue(slot);
                self.subs.at_mut(slot).list = Where::Nowhere;
                self.turn(slot, sink);
                true
            }
        }
    }

    /// Finishes or closes a connection.
    fn control(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        self.unlist(slot);
        let id = self.subs.id(slot);
        let sub = self.subs.at(slot);
        if sub.phase == Phase::FinishDue {
            self.finished(slot);
            return sink.control(Control::Finish { id });
        }
        let (reason, how) = (sub.reason, sub.how);
        self.stats.closed[reason as usize] += 1;
        self.forget(slot);
        let ending = match how {
            How::Cut => Ending::Cut,
            _ => Ending::Orderly,
        };
        sink.control(Control::Close { id, reason, ending });
    }

    /// The turn of the next member of a topic's round. Members come and go at the end of the vector,
    /// so nobody is skipped or served twice.
    fn round(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        let topic = &mut self.topics[slot as usize];
        match topic.crowd(Crowd::Round).last() {
            Some(&member) => {
                if !self.quick_turn(slot, member, sink) {
                    self.turn(member, sink);
                }
            }
            None => {
                topic.queued = false;
                let again = core::mem::take(&mut topic.again);
                self.unqueue(slot | TOPIC);
                if again {
                    self.start_round(slot);
                }
            }
        }
    }
}

/// Takes one action, and writes in flight.
struct One(Option<Action>);

impl Sink for One {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.0 = Some(Action::Write {
            id,
            run: run.to_bytes(),
        });
        Answer::InFlight
    }

    fn control(&mut self, control: Control) {
        self.0 = Some(Action::Control(control));
    }
}
