//! Connections before they are streams, and answers that are none.

use bytes::Bytes;

use super::SseState;
use super::timers::Timer;
use crate::action::{CloseReason, Ending};
use crate::error::{Bound, Error};
use crate::id::SubscriberId;
use crate::run::{Piece, Pieces};
use crate::subscriber::{BEGUN, How, Phase, Where};
use crate::time::Time;

impl SseState {
    /// A connection was accepted; its head must be complete, and decided on, by
    /// [`Config::head_timeout`](crate::Config::head_timeout). It is not yet a subscriber. Past
    /// [`Config::openings`](crate::Config::openings) the oldest one without a complete head is closed.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`]; [`Error::Full`] when the table of connections is full because closes
    /// were not pulled, or no id is left.
    pub fn accept(&mut self, now: Time) -> Result<SubscriberId, Error> {
        self.open_for_business()?;
        let slot = self.new_slot()?;
        self.clock(now);
        if self.held.openings == self.config.openings
            // coverage: the bound is not zero
            && let Some(oldest) = self.openings.first()
        {
            self.doom(oldest, CloseReason::Evicted, Ending::Cut);
        }
        self.stats.accepted += 1;
        self.held.openings += 1;
        let until = self.now + self.config.head_timeout;
        self.subs.at_mut(slot).until = until;
        self.subs.at_mut(slot).list = Where::Openings;
        self.openings.push_back(&mut self.subs, slot);
        self.wheel.insert(&mut self.subs, slot, until);
        Ok(self.subs.id(slot))
    }

    /// So many bytes of an unfinished head are kept for this connection now.
    ///
    /// # Errors
    /// [`Error::Full`] when one head or all heads together pass their bound; [`Error::Stale`];
    /// [`Error::Phase`] if its head is complete.
    pub fn head_held(&mut self, now: Time, id: SubscriberId, bytes: u32) -> Result<(), Error> {
        let slot = self.find(id)?;
        let sub = self.subs.at(slot);
        if sub.phase != Phase::Head {
            return Err(Error::Phase);
        }
        let heads = self.held.heads_bytes - u64::from(sub.off) + u64::from(bytes);
        if bytes > self.config.head_bytes {
            return self.refuse(Error::Full(Bound::Head));
        }
        if heads > self.config.heads_bytes {
            return self.refuse(Error::Full(Bound::Heads));
        }
        self.clock(now);
        self.held.heads_bytes = heads;
        self.subs.at_mut(slot).off = bytes;
        Ok(())
    }

    /// Its head is complete: it leaves the bound on heads and is being decided on. The deadline stays.
    ///
    /// # Errors
    /// [`Error::Full`] when too many are being decided on; [`Error::Stale`]; [`Error::Phase`] if it
    /// was complete before.
    pub fn head_done(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> {
        let slot = self.find(id)?;
        if self.subs.at(slot).phase != Phase::Head {
            return Err(Error::Phase);
        }
        if self.held.deciding == self.config.deciding {
            return self.refuse(Error::Full(Bound::Deciding));
        }
        self.clock(now);
        self.leave_phase(slot);
        self.held.deciding += 1;
        let sub = self.subs.at_mut(slot);
        sub.phase = Phase::Deciding;
        sub.seq = self.keys.asked();
        Ok(())
    }

    /// It was decided that its body, of so many bytes, is read; complete by
    /// [`Config::body_timeout`](crate::Config::body_timeout).
    ///
    /// # Errors
    /// [`Error::Full`] when all bodies together pass their bound; [`Error::Stale`];
    /// [`Error::Phase`] if no decision was pending.
    pub fn body(&mut self, now: Time, id: SubscriberId, bytes: u32) -> Result<(), Error> {
        let slot = self.find(id)?;
        if self.subs.at(slot).phase != Phase::Deciding {
            return Err(Error::Phase);
        }
        let bodies = self.held.bodies_bytes + u64::from(bytes);
        if bodies > self.config.bodies_bytes {
            return self.refuse(Error::Full(Bound::Bodies));
        }
        self.clock(now);
        self.leave_phase(slot);
        self.wheel.remove(&mut self.subs, slot);
        self.held.bodies_bytes = bodies;
        let until = self.now + self.config.body_timeout;
        let sub = self.subs.at_mut(slot);
        sub.phase = Phase::Body;
        sub.end = bytes;
        sub.until = until;
        self.timers.insert((until, Timer::Body(slot)));
        Ok(())
    }

    /// Answers with these bytes, then ends in order (`Finish`, then `Close` as `Answered`). For every
    /// response that is no stream, until the end of grace.
    ///
    /// # Errors
    /// [`Error::Full`] when the bytes held would pass their bound; [`Error::Stale`];
    /// [`Error::Phase`] if it was answered before or is a stream.
    pub fn answer(&mut self, now: Time, id: SubscriberId, bytes: Bytes) -> Result<(), Error> {
        let slot = self.find(id)?;
        let phase = self.subs.at(slot).phase;
        if !matches!(phase, Phase::Head | Phase::Deciding | Phase::Body) {
            return Err(Error::Phase);
        }
        let Ok(size) = u32::try_from(bytes.len()) else {
            return self.refuse(Error::Full(Bound::Held)); // coverage: takes 4 GiB
        };
        if self.runs.bytes() + u64::from(size) > self.config.held_bytes {
            return self.refuse(Error::Full(Bound::Held));
        }
        self.clock(now);
        self.leave_phase(slot);
        if !bytes.is_empty() {
            let run = self.runs.insert(bytes, Pieces::One(Piece::Begun));
            let sub = self.subs.at_mut(slot);
            sub.run = run;
            sub.off = 0;
            sub.end = size;
            sub.set(BEGUN);
        }
        self.begin_ending(slot, How::Stop, CloseReason::Answered);
        Ok(())
    }

    /// The peer is gone. The id is dead at once, without an action; only after `Finish` its `Close`
    /// still follows.
    ///
    /// # Errors
    /// [`Error::Stale`].
    pub fn peer_gone(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> {
        let slot = self.find(id)?;
        self.clock(now);
        self.gone(slot);
        Ok(())
    }

    /// A slot for a connection, if there may be one more.
    pub(super) fn new_slot(&mut self) -> Result<u32, Error> {
        let most = [
            self.config.subscribers,
            self.config.openings,
            self.config.deciding,
            self.config.finishing,
        ];
        if self.subs.live() >= most.into_iter().fold(0, u32::saturating_add) {
            return self.refuse(Error::Full(Bound::Subscribers));
        }
        match self.subs.insert() {
            Some(slot) => Ok(slot),
            None => self.refuse(Error::Full(Bound::Ids)), // coverage: takes 2²⁹ spent slots, 64 GB
        }
    }

    /// Gives back what a connection counts for in its phase, and takes it out of its list.
    pub(super) fn leave_phase(&mut self, slot: u32) {
        self.unlist(slot);
        let sub = self.subs.at_mut(slot);
        match sub.phase {
            Phase::Head => {
                self.held.openings -= 1;
                self.held.heads_bytes -= u64::from(sub.off);
                sub.off = 0;
            }
            Phase::Deciding => self.held.deciding -= 1,
            Phase::Body => {
                self.held.bodies_bytes -= u64::from(sub.end);
                sub.end = 0;
                self.timers.remove(&(sub.until, Timer::Body(slot)));
            }
            Phase::Finishing => self.held.finishing -= 1,
            _ => {}
        }
    }

    /// Takes a connection out of the list that it is in.
    pub(super) fn unlist(&mut self, slot: u32) {
        let list = core::mem::replace(&mut self.subs.at_mut(slot).list, Where::Nowhere);
        match list {
            Where::Nowhere => {}
            Where::Openings => self.openings.remove(&mut self.subs, slot),
            Where::Control => self.control.remove(&mut self.subs, slot),
            Where::Finishing => self.finishing.remove(&mut self.subs, slot),
            Where::Data => self.unqueue(slot),
        }
    }
}
