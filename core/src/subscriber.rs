//! The table of connections.

use alloc::vec::Vec;
use smallvec::SmallVec;

use crate::action::CloseReason;
use crate::id::SubscriberId;
use crate::list::{Link, Links, NIL};
use crate::time::Time;
use crate::wheel::OUT;

/// One connection. Laid out so that a stream of one topic fits into 120 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sub {
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) list: Where,
    pub(crate) how: How,
    pub(crate) reason: CloseReason,
    pub(crate) flags: u32,
    /// Its entry in the wheel: bucket and neighbours.
    pub(crate) bucket: u16,
    pub(crate) earlier: u32,
    pub(crate) later: u32,
    /// Its place in the list that `list` names; the next free slot if it is free.
    pub(crate) link: Link,
    /// The run that it holds, begun or in flight, and which part; or `NIL`.
    /// While a head is read `off`, and while a body is read `end`, count bytes.
    pub(crate) run: u32,
    pub(crate) off: u32,
    pub(crate) end: u32,
    pub(crate) key: u32,
    pub(crate) cursors: SmallVec<[Cursor; 1]>,
    /// Nanoseconds of silence before a heartbeat; 0: never. While it is drained, when there are none:
    /// the seq of the last frame that is still lent.
    pub(crate) heartbeat: u64,
    /// When its last byte was accepted.
    pub(crate) last: Time,
    /// Since when a write makes no progress; `Time::MAX` if none waits.
    pub(crate) stall: Time,
    /// Head or body deadline; then the end of its longest life; then of its ending or finishing.
    pub(crate) until: Time,
    /// When its grant ends: from then on nothing that is not begun is lent, whatever it is doing.
    pub(crate) expires: Time,
    /// The seq current at subscribing; while deciding the mark of `asked`.
    pub(crate) seq: u64,
}

/// Where a subscriber stands in one topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Ordinal of the next frame it needs.
    pub(crate) next: u64,
    pub(crate) topic: u32,
    /// Vector, flags and index: see the methods.
    bits: u32,
}

impl Cursor {
    pub(crate) fn new(topic: u32, next: u64) -> Cursor {
        Cursor {
            next,
            topic,
            bits: 0,
        }
    }

    /// Which of the topic's vectors it stands in, and where.
    #[inline]
    pub(crate) fn place(self) -> (u32, u32) {
        (self.bits >> 30, self.bits & INDEX)
    }

    #[inline]
    pub(crate) fn set_place(&mut self, vector: u32, index: u32) {
        self.bits = vector << 30 | self.bits & GAP | index & INDEX;
    }

    /// A gap found at resume is still to be told.
    #[inline]
    pub(crate) fn is_gap(self) -> bool {
        self.bits & GAP != 0
    }

    #[inline]
    pub(crate) fn mark_gap(&mut self) {
        self.bits |= GAP;
    }

    /// Past a frame or notice.
    #[inline]
    pub(crate) fn advance(&mut self, next: u64) {
        self.next = next;
        self.bits &= !GAP;
    }
}

const GAP: u32 = 1 << 29;
const INDEX: u32 = GAP - 1;

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Phase {
    Free,
    /// Its head is being read.
    Head,
    /// Its head is complete; somebody decides.
    Deciding,
    /// Its body is being read.
    Body,
    /// A stream.
    Streaming,
    /// A stream or an answer that is being ended: what is left is written.
    Ending,
    /// Everything was written; `Finish` waits to be pulled.
    FinishDue,
    /// Finished; the peer is to go.
    Finishing,
    /// `Close` waits to be pulled.
    CloseDue,
}

/// How it ends; the later ones are harder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum How {
    /// After what is pending and a farewell.
    Drain,
    /// After what is pending and an `sse-end`.
    End,
    /// After what is begun.
    Stop,
    /// At once, as soon as nothing is in flight.
    Cut,
}

/// The list that its link is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Where {
    Nowhere,
    Openings,
    Data,
    Control,
    Finishing,
}

/// A body that a framework pulls.
pub(crate) const MOUNTED: u32 = 1;
/// The socket takes nothing until `writable`.
pub(crate) const BLOCKED: u32 = 1 << 1;
/// The run it holds was handed out and will be reported.
pub(crate) const IN_FLIGHT: u32 = 1 << 2;
/// `writable` arrived while in flight.
pub(crate) const WRITABLE: u32 = 1 << 3;
/// `run[off..end]` was begun and comes before anything else.
pub(crate) const BEGUN: u32 = 1 << 4;
/// The priming block is still to be written.
pub(crate) const PRIME: u32 = 1 << 5;
/// A heartbeat is due.
pub(crate) const BEAT: u32 = 1 << 6;
/// Its heartbeat is an event.
pub(crate) const BEAT_EVENT: u32 = 1 << 7;
/// A mounted stream that was woken and has not pulled.
pub(crate) const WOKEN: u32 = 1 << 8;
/// It ends when all its sources have.
pub(crate) const END_WITH_SOURCES: u32 = 1 << 9;
/// It was blocked when it had taken everything: no offer of its was refused yet.
pub(crate) const RESTED: u32 = 1 << 10;
/// Its farewell was begun.
pub(crate) const FAREWELL: u32 = 1 << 11;
/// Why its resume found a gap, in two bits: see `Why`.
pub(crate) const WHY_SHIFT: u32 = 12;
/// It counts as an open stream.
pub(crate) const STREAM: u32 = 1 << 14;
/// Its `Finish` was pulled, so its `Close` follows whatever happens.
pub(crate) const FINISHED: u32 = 1 << 15;

impl Sub {
    const FREE: Sub = Sub {
        generation: 0,
        phase: Phase::Free,
        list: Where::Nowhere,
        how: How::Stop,
        reason: CloseReason::Asked,
        flags: 0,
        bucket: OUT,
        earlier: NIL,
        later: NIL,
        link: Link::NONE,
        run: NIL,
        off: 0,
        end: 0,
        key: NIL,
        cursors: SmallVec::new_const(),
        heartbeat: 0,
        last: Time::ZERO,
        stall: Time::MAX,
        until: Time::MAX,
        expires: Time::MAX,
        seq: 0,
    };

    #[inline]
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, flag: u32) {
        self.flags |= flag;
    }

    #[inline]
    pub(crate) fn clear(&mut self, flag: u32) {
        self.flags &= !flag;
    }

    /// It cannot be lent anything now.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.has(BLOCKED | IN_FLIGHT | WOKEN)
    }
}

/// Connections in pages, so that growing never moves them. A page holds the slots that were ever used
/// and has room for the others, so that a clone costs what lives and not a page.
#[derive(Clone, Debug)]
pub(crate) struct Subscribers {
    pages: Vec<Vec<Sub>>,
    /// Free slots, the last one freed first: it is still warm.
    free: Vec<u32>,
    /// Slots that were ever used.
    used: u32,
    live: u32,
    generations: u32,
}

impl Subscribers {
    pub(crate) fn new(generations: u32) -> Subscribers {
        Subscribers {
            pages: Vec::new(),
            free: Vec::new(),
            used: 0,
            live: 0,
            generations,
        }
    }

    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Slots that were ever used.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// A free slot, in phase `Head`; `None` when no id is left.
    pub(crate) fn insert(&mut self) -> Option<u32> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                if self.used > INDEX {
                    return None; // coverage: takes 2²⁹ spent slots, 64 GB
                }
                if self.used as usize == self.pages.len() * PAGE {
                    self.pages.push(Vec::with_capacity(PAGE));
                }
                self.pages[self.used as usize / PAGE].push(Sub::FREE);
                self.used += 1;
                self.used - 1
            }
        };
        self.live += 1;
        let sub = self.at_mut(slot);
        sub.phase = Phase::Head;
        Some(slot)
    }

    /// Frees a slot; one whose generations are spent is never used again.
    pub(crate) fn remove(&mut self, slot: u32) {
        let last = self.generations - 1;
        let sub = self.at_mut(slot);
        let generation = sub.generation;
        *sub = Sub {
            generation: generation.saturating_add(1),
            ..Sub::FREE
        };
        self.live -= 1;
        if generation < last {
            self.free.push(slot);
        }
    }

    /// The slot of a live id.
    #[inline]
    pub(crate) fn find(&self, id: SubscriberId) -> Option<u32> {
        if id.slot >= self.used {
            return None;
        }
        let sub = self.at(id.slot);
        (sub.generation == id.generation && sub.phase != Phase::Free).then_some(id.slot)
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> SubscriberId {
        SubscriberId {
            slot,
            generation: self.at(slot).generation,
        }
    }

    #[inline]
    pub(crate) fn at(&self, slot: u32) -> &Sub {
        &self.pages[slot as usize / PAGE][slot as usize % PAGE]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: u32) -> &mut Sub {
        &mut self.pages[slot as usize / PAGE][slot as usize % PAGE]
    }
}

impl Links for Subscribers {
    #[inline]
    fn link(&mut self, member: u32) -> &mut Link {
        &mut self.at_mut(member).link
    }
}

/// Slots of a page: less than half a megabyte, so that no call moves or clears more.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_is_small() {
        assert!(size_of::<Sub>() <= 120, "{}", size_of::<Sub>());
    }
}
