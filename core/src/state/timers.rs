//! Deadlines: the wheel for connections, one ordered map for what is exact.

use super::subscribe::SALT_HEARTBEAT;
use super::{Shutdown, SseState};
use crate::action::{CloseReason, Ending};
use crate::subscriber::{BEAT, How, Phase, RESTED, Sub, Where};
use crate::time::{Time, nanos};
use crate::topic::{Poll, RoomWanted, Source};
use core::time::Duration;

/// A deadline that is exact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// Of a publish body.
    Body(u32),
    /// When the source of a topic without members is stopped.
    Linger(u32),
    /// When the log of a topic without members is dropped.
    Retained(u32),
    /// When a poll is due, or has failed.
    Poll(u32),
    /// When the member that a publisher waits for is patient no more.
    Room(u32),
    /// When a shutdown's time is over.
    Grace,
}

impl SseState {
    /// Time has passed. Deadlines up to `now` fire at the next pump; early and spurious calls change
    /// nothing, and a late one fires everything once.
    pub fn handle_timeout(&mut self, now: Time) {
        self.clock(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. While work is queued that is now;
    /// otherwise at most one granule (1/112 of a heartbeat) after the least deadline. It may be
    /// early, at most once per subscriber and heartbeat. `None`: nothing waits for time.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.is_terminated() {
            return None;
        }
        if self.has_work() {
            return Some(self.now);
        }
        let exact = self.timers.first().map(|&(at, _)| at);
        match (self.wheel.next_time(), exact) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(super) fn set_timer(&mut self, timer: Timer, old: Option<Time>, new: Option<Time>) {
        if let Some(at) = old {
            self.timers.remove(&(at, timer));
        }
        if let Some(at) = new {
            self.timers.insert((at, timer));
        }
    }

    pub(super) fn timer_due(&self) -> bool {
        self.wheel.is_due(self.tick) || self.timers.first().is_some_and(|&(at, _)| at <= self.now)
    }

    /// Fires one deadline that has come.
    pub(super) fn fire(&mut self) {
        if let Some(&(at, timer)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            return self.fire_exact(timer, at);
        }
        let due = self.wheel.pop(&mut self.subs, self.tick);
        let _ = due.map(|slot| self.fire_sub(slot));
    }

    fn fire_exact(&mut self, timer: Timer, at: Time) {
        match timer {
            Timer::Body(slot) => self.doom(slot, CloseReason::BodyTimeout, Ending::Cut),
            Timer::Linger(slot) => {
                self.topics[slot as usize].linger = None;
                self.unsettle(slot);
            }
            Timer::Retained(slot) => {
                self.topics[slot as usize].retained = None;
                self.unsettle(slot);
            }
            Timer::Room(slot) => {
                let topic = &mut self.topics[slot as usize];
                topic.room = topic.room.map(|wanted| RoomWanted {
                    until: None,
                    ..wanted
                });
                self.unsettle(slot);
            }
            Timer::Poll(slot) => self.fire_poll(slot, at),
            Timer::Grace => {
                self.shutdown = self.shutdown.map(|shutdown| Shutdown {
                    over: true,
                    ..shutdown
                });
                self.sweep_subs = Some(0);
            }
        }
    }

    /// A poll is due, or the one in flight has taken too long.
    fn fire_poll(&mut self, slot: u32, at: Time) {
        let late = matches!(self.topics[slot as usize].source,
            Source::Running(running) if matches!(running.poll, Poll::InFlight(_)));
        if late {
            self.stats.polls_failed += 1;
            self.next_poll(slot, at);
        } else {
            self.set_poll(slot, Poll::Waiting(at));
        }
    }

    /// A connection's entry came up: whatever is really due happens, and the entry goes back.
    fn fire_sub(&mut self, slot: u32) {
        // When grace is over the rest is cut, whether a deadline of it comes up in the same pump or not.
        let over = self.shutdown.is_some_and(|shutdown| shutdown.over);
        if !over && self.end_if_told(slot) {
            return;
        }
        self.rest_on(slot);
        let sub = self.subs.at(slot);
        let now = self.now;
        let ended = sub.until <= now;
        let stalled = sub.waits() && self.stalls_at(slot, sub) <= now;
        match sub.phase {
            Phase::Head | Phase::Deciding if ended => {
                return self.doom(slot, CloseReason::HeadTimeout, Ending::Cut);
            }
            Phase::Streaming if ended => {
                return self.begin_ending(slot, How::Drain, CloseReason::Lifetime);
            }
            Phase::Streaming if stalled => {
                return self.doom(slot, CloseReason::Stalled, Ending::Cut);
            }
            Phase::Streaming if self.beat_at(slot, sub) <= now => self.beat(slot),
            // Time alone does not end one that could write and was not pumped.
            Phase::Ending if stalled || (ended && sub.waits()) => {
                let over = self.shutdown.is_some_and(|shutdown| shutdown.over);
                let reason = if over {
                    CloseReason::Shutdown
                } else {
                    CloseReason::Stalled
                };
                return self.doom(slot, reason, Ending::Cut);
            }
            Phase::Finishing if ended => {
                let reason = sub.reason;
                return self.doom(slot, reason, Ending::Orderly);
            }
            _ => {}
        }
        self.rewheel(slot);
    }

    /// One that was blocked when it had taken everything, and has had nothing to write for so long that it
    /// would have stalled, stalls from here on: else what is published next would find it stalled or not
    /// by when its entry comes up again.
    fn rest_on(&mut self, slot: u32) {
        let (now, patience) = (self.now, self.config.write_timeout);
        let sub = self.subs.at(slot);
        let rests = sub.phase == Phase::Streaming && sub.waits() && sub.has(RESTED);
        if rests && sub.stall + patience <= now && !self.has_pending(slot) {
            self.subs.at_mut(slot).stall = now;
        }
    }

    /// A heartbeat is due. If nothing can be written now the stall clock runs from here at the latest.
    fn beat(&mut self, slot: u32) {
        let now = self.now;
        let sub = self.subs.at_mut(slot);
        sub.set(BEAT);
        if sub.waits() {
            sub.stall = sub.stall.min(now);
        } else if sub.list == Where::Nowhere && self.is_idle(slot) {
            // Whoever has a turn coming keeps its place.
            self.advance(slot);
        }
    }

    /// Puts a connection's entry where its next deadline is.
    pub(super) fn rewheel(&mut self, slot: u32) {
        let sub = self.subs.at(slot);
        let patience = nanos(self.config.write_timeout);
        let (deadline, span) = match sub.phase {
            Phase::Streaming => {
                let span = match sub.heartbeat {
                    0 => patience,
                    beat => patience.min(beat),
                };
                let ends = sub.until.min(sub.expires);
                let stalls = self.stalls_at(slot, sub);
                (ends.min(stalls).min(self.beat_at(slot, sub)), span)
            }
            Phase::Ending => {
                let expires = match sub.how {
                    How::Drain | How::End => sub.expires,
                    How::Stop | How::Cut => Time::MAX,
                };
                let stalls = self.stalls_at(slot, sub);
                (sub.until.min(expires).min(stalls), patience)
            }
            _ => (sub.until, u64::MAX),
        };
        // A stall that begins later than now is still met.
        let at = deadline.min(self.now + Duration::from_nanos(span));
        self.wheel.remove(&mut self.subs, slot);
        self.wheel.insert(&mut self.subs, slot, at);
    }

    /// When it has stalled, if it still waits then, with something to write.
    pub(super) fn stalls_at(&self, slot: u32, sub: &Sub) -> Time {
        if sub.stall == Time::MAX || (sub.has(RESTED) && !self.has_pending(slot)) {
            return Time::MAX;
        }
        sub.stall + self.config.write_timeout
    }

    /// When its next heartbeat is due: after seven eighths to the whole of its interval of silence.
    pub(super) fn beat_at(&self, slot: u32, sub: &Sub) -> Time {
        if sub.heartbeat == 0 || sub.has(BEAT) {
            return Time::MAX;
        }
        let share = self.spread(slot, SALT_HEARTBEAT) >> 32;
        let less = (u128::from(sub.heartbeat / 8) * u128::from(share)) >> 32;
        sub.last + Duration::from_nanos(sub.heartbeat - less as u64)
    }
}
