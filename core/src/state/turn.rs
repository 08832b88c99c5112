//! A turn: lending a run, and what becomes of it at once.

use super::SseState;
use super::compose::Lend;
use crate::action::{Answer, CloseReason, Control, Run, Sink};
use crate::error::Error;
use crate::id::SubscriberId;
use crate::input::Pulled;
use crate::list::NIL;
use crate::run::{Piece, Pieces};
use crate::stats::Stats;
use crate::subscriber::{
    BEAT, BEGUN, BLOCKED, END_WITH_SOURCES, FAREWELL, How, IN_FLIGHT, MOUNTED, PRIME, Phase, Sub,
    WOKEN, WRITABLE,
};
use crate::time::Time;
use crate::topic::Crowd;

impl SseState {
    /// A stream's turn; it is in no queue, and takes everything pending, up to one run.
    pub(super) fn turn(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        if self.end_if_told(slot) {
            return;
        }
        if self.subs.at(slot).has(MOUNTED) {
            // It may have been pulled since, or visited for nothing.
            if self.subs.at(slot).phase == Phase::Streaming && !self.has_pending(slot) {
                return self.advance(slot);
            }
            return self.wake(slot, sink);
        }
        let Some(lend) = self.compose(slot) else {
            return self.advance(slot);
        };
        let id = self.subs.id(slot);
        let (answer, size) = match &lend {
            Lend::Frame { topic, ordinal } => {
                let whole = &self.topics[*topic as usize].log.held(*ordinal).frame.bytes;
                let end = whole.len() as u32;
                let start = 0;
                (sink.write(id, Run { whole, start, end }), end)
            }
            Lend::Own { bytes, .. } => {
                let end = bytes.len() as u32;
                let (whole, start) = (bytes, 0);
                (sink.write(id, Run { whole, start, end }), end)
            }
            Lend::Rest | Lend::Shared(_) => {
                let sub = self.subs.at(slot);
                let (run, start, rest_end) = match lend {
                    Lend::Shared(run) => (run, 0, None),
                    _ => (sub.run, sub.off, Some(sub.end)),
                };
                let whole = &self.runs.get(run).bytes;
                let end = rest_end.unwrap_or(whole.len() as u32);
                (sink.write(id, Run { whole, start, end }), end - start)
            }
        };
        self.answered(slot, lend, size, answer);
    }

    /// The turn of nearly everybody: the last member of a round, of one topic and one frame behind,
    /// that takes it whole or in flight. The same as [`turn`](Self::turn), with one look at each record;
    /// false, and nothing has happened, if it is not such a turn.
    pub(super) fn quick_turn(
        &mut self,
        slot: u32,
        member: u32,
        sink: &mut (impl Sink + ?Sized),
    ) -> bool {
        let id = self.subs.id(member);
        let sub = self.subs.at_mut(member);
        let topic = &mut self.topics[slot as usize];
        let usual = sub.flags & UNUSUAL == 0
            && sub.key == NIL
            && sub.expires > self.now
            && topic.room.is_none();
        let [cursor] = &mut sub.cursors[..] else {
            return false;
        };
        let ordinal = cursor.next;
        if !usual || ordinal + 1 != topic.log.head() {
            return false;
        }
        let entry = topic.log.held_mut(ordinal);
        let whole = &entry.frame.bytes;
        let end = whole.len() as u32;
        let start = 0;
        let answer = sink.write(id, Run { whole, start, end });
        let crowd = match answer {
            Answer::All => {
                cursor.advance(ordinal + 1);
                sub.last = self.now;
                sub.stall = Time::MAX;
                sub.flags &= !BEAT;
                self.stats.delivered += 1;
                self.stats.bytes += u64::from(end);
                Crowd::Idle
            }
            Answer::InFlight if entry.run != NIL => {
                self.runs.hold(entry.run);
                sub.run = entry.run;
                sub.off = 0;
                sub.end = end;
                sub.stall = sub.stall.min(self.now);
                sub.flags |= IN_FLIGHT;
                Crowd::Behind
            }
            _ => {
                let topic = slot;
                self.answered(member, Lend::Frame { topic, ordinal }, end, answer);
                return true;
            }
        };
        // It was the last of the round, so nobody moves.
        let (round, to) = (topic.vector(Crowd::Round), topic.vector(crowd));
        topic.crowds[round as usize].pop();
        let vector = &mut topic.crowds[to as usize];
        cursor.set_place(to, vector.len() as u32);
        vector.push(member);
        true
    }

    /// A mounted stream has something: that is said once, until it pulls.
    fn wake(&mut self, slot: u32, sink: &mut (impl Sink + ?Sized)) {
        let now = self.now;
        let sub = self.subs.at_mut(slot);
        sub.set(WOKEN);
        sub.stall = sub.stall.min(now);
        let id = self.subs.id(slot);
        sink.control(Control::Wake { id });
        self.moved(slot);
        self.advance(slot);
    }

    /// What a mounted stream has pending, up to one run; it counts as accepted. Its turn, outside the
    /// queue.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::Phase`] if it is written to a connection.
    pub fn pull(&mut self, now: Time, id: SubscriberId) -> Result<Pulled, Error> {
        let slot = self.find(id)?;
        let sub = self.subs.at(slot);
        if !sub.has(MOUNTED) {
            return Err(Error::Phase);
        }
        self.clock(now);
        if !matches!(self.subs.at(slot).phase, Phase::Streaming | Phase::Ending) {
            return Ok(Pulled::Nothing);
        }
        self.unlist(slot);
        self.subs.at_mut(slot).clear(WOKEN);
        if self.end_if_told(slot) {
            return Ok(Pulled::Nothing);
        }
        let Some(lend) = self.compose(slot) else {
            self.advance(slot);
            return Ok(Pulled::Nothing);
        };
        let bytes = match &lend {
            Lend::Frame { topic, ordinal } => {
                let log = &self.topics[*topic as usize].log;
                log.held(*ordinal).frame.bytes.clone()
            }
            Lend::Own { bytes, .. } => bytes.clone(),
            Lend::Shared(run) => self.runs.get(*run).bytes.clone(),
            Lend::Rest => {
                let sub = self.subs.at(slot);
                let range = sub.off as usize..sub.end as usize;
                self.runs.get(sub.run).bytes.slice(range)
            }
        };
        self.answered(slot, lend, bytes.len() as u32, Answer::All);
        self.drop_gathered();
        Ok(Pulled::Run(bytes))
    }

    /// The executor's answer to what was lent.
    fn answered(&mut self, slot: u32, lend: Lend, size: u32, answer: Answer) {
        match answer {
            Answer::Gone => {
                self.stats.gone += 1;
                return self.forget(slot);
            }
            Answer::All => self.accepted(slot, lend, size, size),
            Answer::Blocked(bytes) if bytes >= size => self.accepted(slot, lend, size, size),
            Answer::Blocked(bytes) => {
                let now = self.now;
                let sub = self.subs.at_mut(slot);
                sub.set(BLOCKED);
                sub.stall = sub.stall.min(now);
                if bytes > 0 {
                    self.accepted(slot, lend, size, bytes);
                }
                self.moved(slot);
            }
            Answer::InFlight => {
                self.take(slot, lend);
                self.moved(slot);
            }
        }
        self.advance(slot);
    }

    /// So many bytes of a run that was answered at once were accepted.
    fn accepted(&mut self, slot: u32, lend: Lend, size: u32, bytes: u32) {
        let held = match &lend {
            Lend::Rest => {
                self.progress(slot, bytes, bytes == size);
                return self.rest_accepted(slot, bytes);
            }
            // What was begun stays where it is until the last byte of it.
            Lend::Own { rest, .. } if bytes < *rest => {
                self.progress(slot, bytes, false);
                return self.rest_accepted(slot, bytes);
            }
            Lend::Own { pieces, rest, .. } => {
                if *rest > 0 {
                    let left = *rest;
                    self.rest_accepted(slot, left);
                }
                let sub = self.subs.at_mut(slot);
                settle(sub, pieces, size, bytes, &mut self.stats)
            }
            Lend::Frame { topic, ordinal } => {
                let pieces = Pieces::One(Piece::Frame {
                    topic: *topic,
                    next: ordinal + 1,
                });
                let sub = self.subs.at_mut(slot);
                settle(sub, &pieces, size, bytes, &mut self.stats)
            }
            Lend::Shared(run) => {
                let held = self.runs.get(*run);
                let sub = self.subs.at_mut(slot);
                settle(sub, &held.pieces, size, bytes, &mut self.stats)
            }
        };
        self.progress(slot, bytes, bytes == size);
        self.moved(slot);
        let Some((off, end)) = held else {
            return;
        };
        match self.hold(lend) {
            Some(run) => {
                let sub = self.subs.at_mut(slot);
                sub.run = run;
                sub.off = off;
                sub.end = end;
                sub.set(BEGUN);
            }
            None => self.begin_ending(slot, How::Cut, CloseReason::Held),
        }
    }

    /// It is in flight: the executor keeps a reference, and so does the state.
    fn take(&mut self, slot: u32, lend: Lend) {
        let now = self.now;
        let sub = self.subs.at_mut(slot);
        sub.stall = sub.stall.min(now);
        sub.set(IN_FLIGHT);
        let rest = match &lend {
            Lend::Rest => return,
            Lend::Own { rest, .. } => *rest,
            _ => 0,
        };
        if let Some(run) = self.hold(lend) {
            let size = self.runs.get(run).bytes.len();
            let sub = self.subs.at_mut(slot);
            let old = core::mem::replace(&mut sub.run, run);
            sub.off = 0;
            sub.end = size as u32;
            sub.clear(BEGUN);
            if rest > 0 {
                self.release(old);
            }
        } else {
            // The executor's reference is its own; the report finds nothing and the stream is cut.
            let sub = self.subs.at_mut(slot);
            let old = core::mem::replace(&mut sub.run, NIL);
            sub.clear(BEGUN);
            self.release(old);
            self.begin_ending(slot, How::Cut, CloseReason::Held);
        }
    }

    /// Holds what was lent, once for all its holders; `None` if that would pass the bound.
    fn hold(&mut self, lend: Lend) -> Option<u32> {
        let room = self.config.held_bytes - self.runs.bytes().min(self.config.held_bytes);
        match lend {
            Lend::Rest => None, // coverage: what was begun is held already
            Lend::Shared(run) => {
                self.runs.hold(run);
                Some(run)
            }
            Lend::Own { bytes, pieces, .. } => {
                (bytes.len() as u64 <= room).then(|| self.runs.insert(bytes, pieces))
            }
            Lend::Frame { topic, ordinal } => {
                let entry = self.topics[topic as usize].log.held_mut(ordinal);
                if entry.run != NIL {
                    self.runs.hold(entry.run);
                    return Some(entry.run);
                }
                if entry.frame.bytes.len() as u64 > room {
                    return None;
                }
                let pieces = Pieces::Frame {
                    topic,
                    ordinal,
                    seq: entry.seq,
                };
                entry.run = self.runs.insert(entry.frame.bytes.clone(), pieces);
                Some(entry.run)
            }
        }
    }

    /// Bytes of what was begun were accepted.
    pub(super) fn rest_accepted(&mut self, slot: u32, bytes: u32) {
        let sub = self.subs.at_mut(slot);
        sub.off += bytes;
        if sub.off >= sub.end {
            sub.clear(BEGUN);
            let run = core::mem::replace(&mut sub.run, NIL);
            self.release(run);
        }
    }

    /// Bytes were accepted: that ends a silence, and the wait if nothing was left over.
    pub(super) fn progress(&mut self, slot: u32, bytes: u32, whole: bool) {
        if bytes == 0 {
            return;
        }
        self.stats.bytes += u64::from(bytes);
        let now = self.now;
        let sub = self.subs.at_mut(slot);
        sub.last = now;
        sub.clear(BEAT);
        sub.stall = if whole { Time::MAX } else { now };
    }
}

/// Moves a stream past the pieces that were begun by `bytes` of a run of `size`; tells what is left of
/// the one that is not whole.
pub(super) fn settle(
    sub: &mut Sub,
    pieces: &Pieces,
    size: u32,
    bytes: u32,
    stats: &mut Stats,
) -> Option<(u32, u32)> {
    let cut = |end: u32| (bytes < end).then_some((bytes, end));
    match pieces {
        Pieces::Frame { topic, ordinal, .. } => {
            if bytes == 0 {
                return None;
            }
            pass_frames(sub, *topic, ordinal + 1, 1, stats);
            cut(size)
        }
        Pieces::Span { topic, from, ends } => {
            if bytes == 0 {
                return None;
            }
            let whole = ends.partition_point(|&end| end <= bytes);
            let left = ends.get(whole).copied();
            let start = if whole == 0 { 0 } else { ends[whole - 1] };
            let begun = left.filter(|_| start < bytes);
            let passed = whole as u64 + u64::from(begun.is_some());
            pass_frames(sub, *topic, from + passed, passed, stats);
            begun.and_then(cut)
        }
        Pieces::One(piece) => {
            if bytes == 0 {
                return None;
            }
            pass(sub, *piece, stats);
            cut(size)
        }
        Pieces::List(list) => {
            let mut start = 0;
            for &(end, piece) in list {
                if bytes <= start && piece != Piece::Begun {
                    break;
                }
                pass(sub, piece, stats);
                if bytes < end {
                    return cut(end);
                }
                start = end;
            }
            None
        }
    }
}

/// Whoever has one of these takes the long way.
const UNUSUAL: u32 =
    MOUNTED | BLOCKED | IN_FLIGHT | WRITABLE | BEGUN | PRIME | WOKEN | END_WITH_SOURCES;

/// Past one piece.
fn pass(sub: &mut Sub, piece: Piece, stats: &mut Stats) {
    match piece {
        Piece::Begun => {}
        Piece::Prime => sub.clear(PRIME),
        Piece::Frame { topic, next } => pass_frames(sub, topic, next, 1, stats),
        Piece::Notice {
            topic,
            next,
            missed,
        } => {
            pass_by(sub, topic, next, missed, stats);
            stats.missed += missed;
        }
        Piece::Heartbeat => {
            sub.clear(BEAT);
            stats.heartbeats += 1;
        }
        Piece::Farewell => sub.set(FAREWELL),
    }
}

/// Past frames of one topic that were delivered.
fn pass_frames(sub: &mut Sub, topic: u32, next: u64, count: u64, stats: &mut Stats) {
    stats.delivered += count;
    pass_by(sub, topic, next, count, stats);
}

/// Past so many frames of one topic; a stream that has left its topics has no cursor to move.
fn pass_by(sub: &mut Sub, topic: u32, next: u64, count: u64, stats: &mut Stats) {
    match sub.cursors.iter_mut().find(|cursor| cursor.topic == topic) {
        Some(cursor) => cursor.advance(next),
        // They were given up with the topic while in flight, and came or were told all the same.
        None => stats.abandoned = stats.abandoned.saturating_sub(count),
    }
}
