//! How connections end, and how the machine does.

use core::time::Duration;

use super::SseState;
use super::timers::Timer;
use crate::action::{CloseReason, Ending};
use crate::error::Error;
use crate::id::SubscriberId;
use crate::input::{CloseHow, ShutdownCause};
use crate::list::NIL;
use crate::subscriber::{
    BEAT, BEGUN, FAREWELL, FINISHED, How, IN_FLIGHT, MOUNTED, PRIME, Phase, STREAM, WOKEN, Where,
};
use crate::time::Time;

use super::Shutdown;

impl SseState {
    /// Ends a connection, with reason `Asked`. One that is ending already is only made to end harder.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn close(&mut self, now: Time, id: SubscriberId, how: CloseHow) -> Result<(), Error> {
        let slot = self.find(id)?;
        self.clock(now);
        let how = match how {
            CloseHow::Drain => How::Drain,
            CloseHow::Stop => How::Stop,
            CloseHow::Cut => How::Cut,
        };
        match self.subs.at(slot).phase {
            Phase::Streaming => self.begin_ending(slot, how, CloseReason::Asked),
            Phase::Head | Phase::Deciding | Phase::Body if how == How::Cut => {
                self.doom(slot, CloseReason::Asked, Ending::Cut);
            }
            Phase::Head | Phase::Deciding | Phase::Body => {
                self.leave_phase(slot);
                self.begin_ending(slot, How::Stop, CloseReason::Asked);
            }
            // A harder end wins over a softer one: what was to be drained may be revoked.
            Phase::Ending if how > self.subs.at(slot).how => {
                self.begin_ending(slot, how, CloseReason::Asked);
            }
            Phase::FinishDue | Phase::Finishing if how == How::Cut => {
                self.doom(slot, CloseReason::Asked, Ending::Cut);
            }
            _ => {}
        }
        Ok(())
    }

    /// Begins the end of everything: accept, subscribe, publish and results are refused from here on;
    /// sources stop; streams get what is pending and a farewell `retry:`, and end in order; at the
    /// end of `grace` (`None`: [`Config::grace`](crate::Config::grace)) the rest is cut. A second call
    /// changes nothing.
    pub fn shutdown(&mut self, now: Time, grace: Option<Duration>, cause: ShutdownCause) {
        self.clock(now);
        if self.shutdown.is_some() {
            return;
        }
        let until = self.now + grace.unwrap_or(self.config.grace);
        self.shutdown = Some(Shutdown {
            cause,
            until,
            over: false,
        });
        self.timers.insert((until, Timer::Grace));
        self.sweep_subs = Some(0);
        self.sweep_topics = Some(0);
    }

    /// Visits one slot of a sweep; false if none is under way. Topics come first: control before data.
    pub(super) fn sweep(&mut self) -> bool {
        if let Some(slot) = self.sweep_topics {
            let last = slot >= self.topic_slots;
            self.sweep_topics = (!last).then_some(slot.wrapping_add(1));
            if self.topics.contains(slot as usize) {
                self.stop_for_shutdown(slot);
            }
            return true;
        }
        if let Some(slot) = self.sweep_subs {
            let last = slot >= self.subs.used();
            self.sweep_subs = (!last).then_some(slot.wrapping_add(1));
            if !last {
                self.sweep_sub(slot);
            }
            return true;
        }
        false
    }

    fn sweep_sub(&mut self, slot: u32) {
        let sub = self.subs.at(slot);
        let (phase, reason) = (sub.phase, sub.reason);
        let Some(shutdown) = self.shutdown else {
            self.end_if_told(slot);
            return;
        };
        match phase {
            // One that is to be finished is closed as soon as it is.
            Phase::Free | Phase::FinishDue | Phase::CloseDue => {}
            Phase::Finishing if shutdown.over => {
                self.doom(slot, reason, Ending::Orderly);
            }
            _ if shutdown.over => self.doom(slot, CloseReason::Shutdown, Ending::Cut),
            _ if self.end_if_told(slot) => {}
            Phase::Streaming => self.begin_ending(slot, How::Drain, CloseReason::Shutdown),
            _ => {}
        }
    }

    /// Stops a stream whose grant is over or whose key was closed; one that is being drained too.
    pub(super) fn end_if_told(&mut self, slot: u32) -> bool {
        let sub = self.subs.at(slot);
        let closed = self.keys.is_closed(sub.key);
        if !closed && sub.expires > self.now {
            return false;
        }
        let reason = match (sub.phase, sub.how) {
            (Phase::Streaming, _) if closed => CloseReason::Asked,
            (Phase::Streaming, _) => CloseReason::Expired,
            (Phase::Ending, How::Drain | How::End) => sub.reason,
            _ => return false,
        };
        self.begin_ending(slot, How::Stop, reason);
        true
    }

    /// From here on it is being ended, in the way and for the reason given.
    pub(super) fn begin_ending(&mut self, slot: u32, how: How, reason: CloseReason) {
        let drains = matches!(how, How::Drain | How::End);
        if !drains {
            // Nothing of its topics is lent any more.
            self.leave_topics(slot);
        }
        self.unlist(slot);
        // A shutdown gives grace; everything else the time of one write, in all.
        let until = match self.shutdown {
            Some(shutdown) if reason == CloseReason::Shutdown => shutdown.until,
            _ => self.now + self.config.write_timeout,
        };
        let sub = self.subs.at(slot);
        let until = match sub.phase {
            Phase::Ending => until.min(sub.until),
            _ => until,
        };
        if drains {
            self.count_drained(slot, true);
        }
        let seq = self.seq;
        let sub = self.subs.at_mut(slot);
        if how == How::Stop && sub.has(MOUNTED) {
            // What was pulled is accepted, so nothing is begun but what nobody has seen.
            sub.clear(BEGUN);
            let run = core::mem::replace(&mut sub.run, NIL);
            self.release(run);
        }
        let sub = self.subs.at_mut(slot);
        sub.clear(BEAT);
        sub.until = until;
        if drains {
            sub.heartbeat = seq;
        }
        sub.phase = Phase::Ending;
        sub.how = how;
        sub.reason = reason;
        self.rewheel(slot);
        self.advance(slot);
    }

    /// True if an ending connection has nothing left to write.
    pub(super) fn is_drained(&self, slot: u32) -> bool {
        let sub = self.subs.at(slot);
        match sub.how {
            How::Stop | How::Cut => !sub.has(BEGUN),
            How::Drain | How::End => !sub.has(BEGUN) && sub.has(FAREWELL),
        }
    }

    /// It has written everything: the write side is to be shut. A mounted body just ends.
    pub(super) fn finish_due(&mut self, slot: u32) {
        let sub = self.subs.at(slot);
        let reason = sub.reason;
        if sub.has(MOUNTED) {
            return self.doom(slot, reason, Ending::Orderly);
        }
        self.stop_being(slot);
        self.subs.at_mut(slot).phase = Phase::FinishDue;
        self.control_due(slot);
    }

    /// `Finish` was pulled: the peer has some time to go.
    pub(super) fn finished(&mut self, slot: u32) {
        self.subs.at_mut(slot).set(FINISHED);
        if self.shutdown.is_some_and(|shutdown| shutdown.over) {
            let reason = self.subs.at(slot).reason;
            return self.doom(slot, reason, Ending::Orderly);
        }
        if self.held.finishing >= self.config.finishing
            // coverage: the bound is not zero
            && let Some(oldest) = self.finishing.first()
        {
            let reason = self.subs.at(oldest).reason;
            self.doom(oldest, reason, Ending::Orderly);
        }
        self.held.finishing += 1;
        let until = self.now + self.config.finish_timeout;
        let sub = self.subs.at_mut(slot);
        sub.phase = Phase::Finishing;
        sub.until = until;
        sub.list = Where::Finishing;
        self.finishing.push_back(&mut self.subs, slot);
        self.rewheel(slot);
    }

    /// It is to be closed; nothing is lent to it any more, and no report is waited for.
    pub(super) fn doom(&mut self, slot: u32, reason: CloseReason, ending: Ending) {
        self.stop_being(slot);
        let sub = self.subs.at_mut(slot);
        sub.phase = Phase::CloseDue;
        sub.reason = reason;
        sub.how = match ending {
            Ending::Orderly => How::Stop,
            Ending::Cut => How::Cut,
        };
        self.control_due(slot);
    }

    /// The peer is gone: so is the connection. Only one that was finished still gets its `Close`.
    pub(super) fn gone(&mut self, slot: u32) {
        self.stats.gone += 1;
        let sub = self.subs.at(slot);
        match sub.phase {
            Phase::Finishing => {
                let reason = sub.reason;
                self.doom(slot, reason, Ending::Orderly);
            }
            // Its close is due already, and follows.
            Phase::CloseDue if sub.has(FINISHED) => {}
            _ => self.forget(slot),
        }
    }

    /// Frees the slot; its id is dead.
    pub(super) fn forget(&mut self, slot: u32) {
        self.stop_being(slot);
        self.subs.remove(slot);
    }

    /// Gives up everything that it holds: topics, run, key, places in lists and wheel.
    fn stop_being(&mut self, slot: u32) {
        self.leave_phase(slot);
        self.leave_topics(slot);
        self.wheel.remove(&mut self.subs, slot);
        let sub = self.subs.at_mut(slot);
        let run = core::mem::replace(&mut sub.run, NIL);
        let key = core::mem::replace(&mut sub.key, NIL);
        self.held.streams -= u32::from(sub.has(STREAM));
        sub.clear(STREAM | BEGUN | IN_FLIGHT | WOKEN | PRIME);
        self.keys.leave(key);
        self.release(run);
    }

    /// What is published to its topics from now on is not for one that is being drained.
    fn count_drained(&mut self, slot: u32, more: bool) {
        for cursor in &self.subs.at(slot).cursors {
            let drained = &mut self.topics[cursor.topic as usize].drained;
            *drained = if more { *drained + 1 } else { *drained - 1 };
        }
    }

    /// It is a member of nothing any more.
    fn leave_topics(&mut self, slot: u32) {
        if self.subs.at(slot).phase == Phase::Ending {
            self.count_drained(slot, false);
        }
        let cursors = core::mem::take(&mut self.subs.at_mut(slot).cursors);
        for cursor in &cursors {
            let (vector, index) = cursor.place();
            self.take_out(cursor.topic, vector, index);
            let topic = &self.topics[cursor.topic as usize];
            self.stats.abandoned += topic.log.head() - cursor.next;
            let room = topic.room.is_some();
            if topic.members() == 0 {
                self.last_left(cursor.topic);
            } else if room {
                self.unsettle(cursor.topic);
            }
        }
    }

    fn control_due(&mut self, slot: u32) {
        self.subs.at_mut(slot).list = Where::Control;
        self.control.push_back(&mut self.subs, slot);
    }

    /// The machine's shutdown, as the reason of a stop.
    pub(super) fn shutdown_reason(&self) -> Option<crate::StopReason> {
        self.shutdown.map(|shutdown| match shutdown.cause {
            ShutdownCause::Asked => crate::StopReason::Shutdown,
            ShutdownCause::HubDropped => crate::StopReason::HubDropped,
        })
    }
}
