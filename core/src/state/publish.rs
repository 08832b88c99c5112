//! Publishing: one append, whoever listens.

use super::SseState;
use super::compose::last_seq;
use crate::error::{Bound, Error};
use crate::frame::Frame;
use crate::id::EventId;
use crate::input::{Published, Room};
use crate::subscriber::RESTED;
use crate::time::Time;
use crate::topic::{Crowd, RoomWanted};

impl SseState {
    /// Appends a frame to a topic, for its members and for whoever resumes. A topic that is not
    /// there, or that nobody wants kept, takes nothing: that is no error.
    ///
    /// With [`Room::Wait`] a publish that would evict a frame still needed by a member that is not
    /// blocked, or has accepted bytes within [`Config::reader_patience`](crate::Config::reader_patience),
    /// is refused with [`Error::Wait`], and [`Control::Room`](crate::Control::Room) follows once.
    ///
    /// # Errors
    /// [`Error::Wait`]; [`Error::OwnId`]; [`Error::Full`] for the frame's size or the bytes of all
    /// logs; [`Error::ShuttingDown`].
    pub fn publish(
        &mut self,
        now: Time,
        topic: &str,
        frame: Frame,
        room: Room,
    ) -> Result<Published, Error> {
        self.open_for_business()?;
        match self.topic(topic) {
            Some(topic) => self.append(now, topic, frame, room),
            None => {
                self.clock(now);
                self.stats.unheard += 1;
                Ok(NOBODY)
            }
        }
    }

    /// Appends to the topic in this slot. An `Err` changes nothing but, for `Wait`, the wish for room.
    pub(super) fn append(
        &mut self,
        now: Time,
        slot: u32,
        frame: Frame,
        room: Room,
    ) -> Result<Published, Error> {
        let topic = &self.topics[slot as usize];
        let streams = topic.listeners();
        if frame.has_own_id() && !topic.options.own_ids {
            return Err(Error::OwnId);
        }
        let history = topic.options.history;
        let size = frame.wire_bytes(history);
        if size > self.config.frame_bytes as usize {
            return self.refuse(Error::Full(Bound::Frame));
        }
        let size = size as u64;
        if !topic.keeps() {
            self.clock(now);
            self.stats.unheard += 1;
            return Ok(NOBODY);
        }
        let equal = |newest: &crate::log::Entry| newest.frame.key() == &frame.buf[..frame.key];
        if topic.options.dedupe && topic.log.newest().is_some_and(equal) {
            self.clock(now);
            self.stats.unchanged += 1;
            return Ok(Published {
                streams,
                id: None,
                unchanged: true,
            });
        }
        let Some(surplus) = self.surplus(slot, size) else {
            return self.refuse(Error::Full(Bound::Logs));
        };
        if room == Room::Wait && surplus > 0 {
            let now = self.now.max(now);
            if let Some(wanted) = self.search_room(slot, size, 0, now) {
                self.want_room(slot, wanted);
                return self.refuse(Error::Wait);
            }
        }
        self.clock(now);
        self.seq += 1;
        let id = history.then_some(EventId {
            epoch: self.config.epoch,
            seq: self.seq,
        });
        let sealed = frame.seal(id);
        let topic = &mut self.topics[slot as usize];
        let held = topic.log.bytes();
        topic.log.evict(surplus);
        topic.log.push(self.seq, sealed);
        self.logs_bytes = self.logs_bytes - held + topic.log.bytes();
        if surplus > 0 && topic.room.is_some() {
            self.unsettle(slot);
        }
        self.stats.published += 1;
        self.start_round(slot);
        let topic = &self.topics[slot as usize];
        if topic.members() == 0 && topic.declared && topic.options.history {
            self.retain(slot);
        }
        Ok(Published {
            streams,
            id,
            unchanged: false,
        })
    }

    /// The idle are offered what is new: in a round of their own, or in the one after this.
    pub(super) fn start_round(&mut self, slot: u32) {
        let topic = &mut self.topics[slot as usize];
        if topic.queued {
            topic.again = true;
        } else if !topic.crowd(Crowd::Idle).is_empty() {
            topic.swap();
            topic.queued = true;
            self.queue(slot | super::TOPIC);
        }
    }

    /// How many frames of its log must go for one of so many bytes; `None` if that would not help.
    fn surplus(&self, slot: u32, size: u64) -> Option<u32> {
        let topic = &self.topics[slot as usize];
        let bytes = u64::from(topic.options.log_bytes);
        let bytes = match (self.logs_bytes + size).checked_sub(self.config.logs_bytes) {
            None | Some(0) => bytes,
            // Past the bound of all logs this one has to make room itself.
            Some(over) => bytes.min(topic.log.bytes().checked_sub(over)? + size),
        };
        Some(topic.log.surplus(size, topic.options.log_frames, bytes))
    }

    /// Looks, from position `at` on, for a member that needs a frame that must go for one of so many
    /// bytes; `None`: nobody does.
    pub(super) fn search_room(
        &self,
        slot: u32,
        bytes: u64,
        at: u32,
        now: Time,
    ) -> Option<RoomWanted> {
        let topic = &self.topics[slot as usize];
        let first = topic.log.first();
        let before = first + u64::from(self.surplus(slot, bytes)?);
        let (round, behind) = (topic.crowd(Crowd::Round), topic.crowd(Crowd::Behind));
        // Whoever has had its turn in the present round is idle, and owed what came since.
        let idle = topic.crowd(Crowd::Idle).as_slice();
        let idle = if topic.again { idle } else { &[] };
        let count = (round.len() + behind.len() + idle.len()) as u32;
        (0..count).find_map(|step| {
            let at = (at % count + step) % count;
            let index = at as usize;
            let mut ready = round.iter().chain(behind).chain(idle);
            let member = *ready.nth(index)?;
            let sub = self.subs.at(member);
            let mut cursors = sub.cursors.iter().filter(|cursor| cursor.topic == slot);
            // Whoever has lagged goes on at the oldest frame at the earliest.
            let next = cursors
                .next()
                .map_or(u64::MAX, |cursor| cursor.next.max(first));
            let frame = topic.log.get(next);
            if next >= before || frame.is_some_and(|frame| frame.seq > last_seq(sub)) {
                return None;
            }
            // A stalled client must not hold up the others.
            let until = sub.waits().then(|| {
                // Nothing was offered to one that is at rest.
                let since = if sub.has(RESTED) {
                    sub.last
                } else {
                    sub.stall.max(sub.last)
                };
                since + self.config.reader_patience
            });
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            Some(RoomWanted { bytes, at, until })
        })
    }
}

/// A publish that nobody wanted.
const NOBODY: Published = Published {
    streams: 0,
    id: None,
    unchanged: false,
};
