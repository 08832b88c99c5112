//! What follows from an input: who is ready, and which topics and sources live on.

use super::timers::Timer;
use super::{SseState, TOPIC};
use crate::action::{CloseReason, Control, Sink, StopReason};
use crate::id::SourceToken;
use crate::options::SourceKind;
use crate::subscriber::{BEAT, BEGUN, END_WITH_SOURCES, How, IN_FLIGHT, PRIME, Phase, Where};
use crate::time::Time;
use crate::topic::{Crowd, Poll, Running, Source, Unsettled};

impl SseState {
    /// Puts a stream where it belongs after something about it has changed: among the idle, in the
    /// queue of data, behind, or a step further to its end.
    pub(super) fn advance(&mut self, slot: u32) {
        let sub = self.subs.at(slot);
        match sub.phase {
            Phase::Streaming => {
                if sub.waits() {
                    self.unlist(slot);
                    self.place(slot, Crowd::Behind);
                } else if sub.has(END_WITH_SOURCES) && self.sources_ended(slot) {
                    self.begin_ending(slot, How::End, CloseReason::Finished);
                } else if self.has_pending(slot) {
                    self.place(slot, Crowd::Behind);
                    self.enqueue(slot);
                } else {
                    self.unlist(slot);
                    self.subs.at_mut(slot).stall = Time::MAX;
                    self.place(slot, Crowd::Idle);
                }
            }
            Phase::Ending => {
                if sub.has(IN_FLIGHT) {
                    self.unlist(slot);
                } else if sub.how == How::Cut {
                    let reason = sub.reason;
                    self.doom(slot, reason, crate::Ending::Cut);
                } else if self.is_drained(slot) {
                    self.finish_due(slot);
                } else if self.subs.at(slot).waits() {
                    self.unlist(slot);
                    self.place(slot, Crowd::Behind);
                } else {
                    self.place(slot, Crowd::Behind);
                    self.enqueue(slot);
                }
            }
            _ => {}
        }
    }

    pub(super) fn has_pending(&self, slot: u32) -> bool {
        let sub = self.subs.at(slot);
        sub.has(BEGUN | PRIME | BEAT)
            || sub.cursors.iter().any(|cursor| {
                cursor.is_gap() || cursor.next < self.topics[cursor.topic as usize].log.head()
            })
    }

    /// True if it has no turn coming in a round.
    pub(super) fn is_idle(&self, slot: u32) -> bool {
        self.subs.at(slot).cursors.iter().all(|cursor| {
            let topic = &self.topics[cursor.topic as usize];
            cursor.place().0 != topic.vector(Crowd::Round)
        })
    }

    fn enqueue(&mut self, slot: u32) {
        let sub = self.subs.at_mut(slot);
        if sub.list == Where::Nowhere {
            sub.list = Where::Data;
            self.queue(slot);
        }
    }

    /// Moves a member, in every topic of it, to this crowd.
    pub(super) fn place(&mut self, slot: u32, crowd: Crowd) {
        for which in 0..self.subs.at(slot).cursors.len() {
            let cursor = self.subs.at(slot).cursors[which];
            let to = self.topics[cursor.topic as usize].vector(crowd);
            let (from, index) = cursor.place();
            if from == to {
                continue;
            }
            self.take_out(cursor.topic, from, index);
            let vector = &mut self.topics[cursor.topic as usize].crowds[to as usize];
            self.subs.at_mut(slot).cursors[which].set_place(to, vector.len() as u32);
            vector.push(slot);
        }
    }

    /// Takes a member out of one vector of a topic; the last one takes its place there.
    pub(super) fn take_out(&mut self, topic: u32, vector: u32, index: u32) {
        let members = &mut self.topics[topic as usize].crowds[vector as usize];
        members.swap_remove(index as usize);
        if let Some(&moved) = members.get(index as usize) {
            let sub = self.subs.at_mut(moved);
            for cursor in sub.cursors.iter_mut().filter(|one| one.topic == topic) {
                cursor.set_place(vector, index);
            }
        }
    }

    /// This topic's life is to be looked at.
    pub(super) fn unsettle(&mut self, slot: u32) {
        let topic = &mut self.topics[slot as usize];
        if !topic.unsettled {
            topic.unsettled = true;
            self.unsettled
                .push_back(&mut Unsettled(&mut self.topics), slot);
        }
    }

    /// Does the next thing that the life of this topic needs; it stays unsettled until there is none.
    pub(super) fn settle(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        if self.give_room(slot, sink) || self.step_source(slot, sink) {
            return;
        }
        let topic = &mut self.topics[slot as usize];
        topic.unsettled = false;
        self.unsettled
            .remove(&mut Unsettled(&mut self.topics), slot);
        self.age(slot);
    }

    /// A topic without members, source and retention is emptied and, unless declared, goes.
    fn age(&mut self, slot: u32) {
        let topic = &mut self.topics[slot as usize];
        if topic.members() > 0 || topic.is_active() || topic.retained.is_some() {
            return;
        }
        self.logs_bytes -= topic.log.bytes();
        topic.log.clear();
        if topic.declared {
            return;
        }
        if topic.queued {
            self.unqueue(slot | TOPIC);
        }
        let topic = self.topics.remove(slot as usize);
        self.names.remove(topic.name.as_str(), slot);
        self.held.by_request -= 1;
    }

    /// Starts or stops the source, if that is due.
    fn step_source(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) -> bool {
        let stop = self.shutdown_reason();
        let topic = &mut self.topics[slot as usize];
        match topic.source {
            Source::StartDue => {
                self.starts += 1;
                let poll = match topic.options.source {
                    SourceKind::Interval(_) => Poll::Waiting(self.now),
                    _ => Poll::Never,
                };
                topic.source = Source::Running(Running {
                    start: self.starts,
                    end: None,
                    restart: false,
                    since: self.now,
                    polls: 0,
                    poll: Poll::Never,
                });
                let name = topic.name.clone();
                self.set_poll(slot, poll);
                self.stats.sources_started += 1;
                sink.control(Control::StartSource {
                    topic: name,
                    token: SourceToken {
                        slot,
                        start: self.starts,
                    },
                });
                true
            }
            Source::Running(running) => {
                let unwanted = topic.members() == 0 && topic.linger.is_none();
                let reason = running
                    .end
                    .or(stop)
                    .or(unwanted.then_some(StopReason::NoSubscribers));
                let Some(reason) = reason else {
                    return false;
                };
                self.cancel_poll(slot);
                self.set_linger(slot, None);
                let topic = &mut self.topics[slot as usize];
                topic.source = if running.restart && stop.is_none() {
                    Source::StartDue
                } else if topic.members() > 0 {
                    Source::Ended
                } else {
                    Source::Idle
                };
                let name = topic.name.clone();
                self.held.sources -= u32::from(!matches!(topic.source, Source::StartDue));
                self.stats.sources_stopped += 1;
                sink.control(Control::StopSource {
                    topic: name,
                    token: SourceToken {
                        slot,
                        start: running.start,
                    },
                    reason,
                });
                self.offer_end(slot);
                true
            }
            Source::Idle | Source::Ended => false,
        }
    }

    /// The source has ended: members that end with it find out at a turn of theirs.
    pub(super) fn offer_end(&mut self, slot: u32) {
        if matches!(self.topics[slot as usize].source, Source::Ended) {
            self.start_round(slot);
        }
    }

    /// At a shutdown: what was not started never is; what runs is stopped.
    pub(super) fn stop_for_shutdown(&mut self, slot: u32) {
        let topic = &mut self.topics[slot as usize];
        if matches!(topic.source, Source::StartDue) {
            topic.source = Source::Idle;
            self.held.sources -= 1;
        }
        if topic.is_running() {
            self.unsettle(slot);
        }
    }

    /// A publisher waits for room.
    pub(super) fn want_room(&mut self, slot: u32, wanted: crate::topic::RoomWanted) {
        let old = self.topics[slot as usize]
            .room
            .replace(wanted)
            .and_then(|old| old.until);
        self.set_timer(Timer::Room(slot), old, wanted.until);
    }

    /// Tells a waiting publisher if there is room now.
    fn give_room(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) -> bool {
        let Some(wanted) = self.topics[slot as usize].room else {
            return false;
        };
        let found = self.search_room(slot, wanted.bytes, wanted.at, self.now);
        let topic = &mut self.topics[slot as usize];
        topic.room = found;
        let name = topic.name.clone();
        self.set_timer(
            Timer::Room(slot),
            wanted.until,
            found.and_then(|found| found.until),
        );
        if found.is_some() {
            return false;
        }
        sink.control(Control::Room { topic: name });
        true
    }

    /// Asks for the poll of this topic, which has waited longest.
    pub(super) fn poll_next(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        self.set_poll(slot, Poll::InFlight(self.now + self.config.poll_timeout));
        let topic = &mut self.topics[slot as usize];
        let Source::Running(running) = &mut topic.source else {
            return; // coverage: polls wait while their source runs
        };
        running.polls += 1;
        let (start, number) = (running.start, running.polls);
        self.stats.polls += 1;
        sink.control(Control::Poll {
            topic: topic.name.clone(),
            token: SourceToken { slot, start },
            number,
        });
    }

    /// A member of topics with waiting publishers has moved, or has begun to try their patience.
    pub(super) fn moved(&mut self, slot: u32) {
        for which in 0..self.subs.at(slot).cursors.len() {
            let topic = self.subs.at(slot).cursors[which].topic;
            if self.topics[topic as usize].room.is_some() {
                self.unsettle(topic);
            }
        }
    }
}
