//! What became of runs that were taken in flight, and of sockets that were blocked.

use super::SseState;
use super::turn::settle;
use crate::error::Error;
use crate::id::SubscriberId;
use crate::input::{Report, Socket};
use crate::list::NIL;
use crate::run::Pieces;
use crate::subscriber::{
    BEAT, BEGUN, BLOCKED, END_WITH_SOURCES, IN_FLIGHT, PRIME, Phase, RESTED, WRITABLE,
};
use crate::time::Time;
use crate::topic::Crowd;

impl SseState {
    /// Tells what became of runs that were taken in flight, in one batch. A report is due exactly once
    /// for each; one for an id that is dead or has nothing in flight changes nothing. Tells how many
    /// of those there were. More bytes than were lent count as all of them.
    pub fn report(&mut self, now: Time, reports: &[Report]) -> u32 {
        self.clock(now);
        let mut stale = 0;
        for report in reports {
            match self.subs.find(report.id) {
                Some(slot) if self.subs.at(slot).has(IN_FLIGHT) => {
                    if !self.quick_report(slot, report) {
                        self.reported(slot, report);
                    }
                }
                _ => stale += 1,
            }
        }
        self.stats.stale += u64::from(stale);
        stale
    }

    /// The report of nearly everybody: of one topic, one frame taken whole, and nothing newer since.
    /// The same as [`reported`](Self::reported), with one look at each record; false, and nothing has
    /// happened, if it is not such a report.
    fn quick_report(&mut self, slot: u32, report: &Report) -> bool {
        let sub = self.subs.at_mut(slot);
        if sub.phase != Phase::Streaming
            || sub.flags & (BEGUN | PRIME | END_WITH_SOURCES) != 0
            || report.socket != Socket::Ready
            || report.bytes < sub.end
        {
            return false;
        }
        let [cursor] = &mut sub.cursors[..] else {
            return false;
        };
        let Pieces::Frame { topic, ordinal, .. } = self.runs.get(sub.run).pieces else {
            return false;
        };
        let here = &mut self.topics[topic as usize];
        if here.room.is_some() || here.log.head() != ordinal + 1 {
            return false;
        }
        cursor.advance(ordinal + 1);
        let (from, index) = cursor.place();
        let to = here.vector(Crowd::Idle);
        cursor.set_place(to, here.crowds[to as usize].len() as u32);
        here.crowds[to as usize].push(slot);
        let run = core::mem::replace(&mut sub.run, NIL);
        self.stats.delivered += 1;
        self.stats.bytes += u64::from(sub.end);
        sub.last = self.now;
        sub.stall = Time::MAX;
        sub.clear(IN_FLIGHT | WRITABLE | BEAT);
        self.take_out(topic, from, index);
        self.release(run);
        true
    }

    fn reported(&mut self, slot: u32, report: &Report) {
        if report.socket == Socket::Gone {
            return self.gone(slot);
        }
        let sub = self.subs.at_mut(slot);
        sub.clear(IN_FLIGHT);
        let writable = sub.has(WRITABLE);
        sub.clear(WRITABLE);
        let lent = sub.end - sub.off;
        let bytes = report.bytes.min(lent);
        let whole = bytes == lent;
        let blocked = report.socket == Socket::Blocked && !writable;
        if blocked {
            sub.set(BLOCKED);
        }
        if sub.has(BEGUN) {
            self.progress(slot, bytes, whole);
            self.rest_accepted(slot, bytes);
        } else if sub.run != NIL {
            self.progress(slot, bytes, whole);
            let run = sub_run(self.subs.at_mut(slot));
            let held = self.runs.get(run);
            let size = held.bytes.len() as u32;
            let sub = self.subs.at_mut(slot);
            let left = settle(sub, &held.pieces, size, bytes, &mut self.stats);
            match left {
                Some((off, end)) => {
                    let sub = self.subs.at_mut(slot);
                    sub.run = run;
                    sub.off = off;
                    sub.end = end;
                    sub.set(BEGUN);
                }
                None => self.release(run),
            }
            self.moved(slot);
        }
        if blocked && whole {
            // From now on it accepts nothing, though nothing was refused; see `writable`.
            let now = self.now;
            let sub = self.subs.at_mut(slot);
            sub.set(RESTED);
            sub.stall = now;
        }
        self.advance(slot);
    }

    /// The socket takes bytes again. One that arrives while a run is in flight is remembered; one
    /// too many changes nothing.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn writable(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> {
        let slot = self.find(id)?;
        self.clock(now);
        let sub = self.subs.at_mut(slot);
        if sub.has(IN_FLIGHT) {
            sub.set(WRITABLE);
        } else if sub.has(BLOCKED) {
            sub.clear(BLOCKED);
            if sub.has(RESTED) {
                // The clock runs from the first offer that is not accepted whole.
                sub.clear(RESTED);
                sub.stall = Time::MAX;
            }
            self.advance(slot);
        }
        Ok(())
    }
}

/// Takes the run out of a subscriber.
fn sub_run(sub: &mut crate::subscriber::Sub) -> u32 {
    core::mem::replace(&mut sub.run, NIL)
}
