//! What a turn lends: one run.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use smallvec::SmallVec;

use super::SseState;
use super::subscribe::{SALT_FAREWELL, Why};
use crate::action::CloseReason;
use crate::frame::{Sealed, Text, share};
use crate::id::EventId;
use crate::list::NIL;
use crate::options::Slow;
use crate::run::{Held, Piece, Pieces};
use crate::subscriber::{BEAT, BEAT_EVENT, BEGUN, FAREWELL, How, PRIME, Phase, Sub};
use crate::topic::Topic;

/// What a stream is lent at its turn.
pub(super) enum Lend {
    /// `run[off..end]` that it holds already.
    Rest,
    /// One frame, as it stands in its log.
    Frame { topic: u32, ordinal: u64 },
    /// A run that stands in the table, shared.
    Shared(u32),
    /// Bytes made for this stream; the first `rest` of them were begun before.
    Own {
        bytes: Bytes,
        pieces: Pieces,
        rest: u32,
    },
}

/// The spans gathered last, so that all who stand at the same cursor share one. They are kept while
/// a pump lasts, and after it as long as somebody else holds them.
#[derive(Clone, Default)]
pub(super) struct Gathered {
    spans: [Option<Span>; SPANS],
    next: u8,
}

#[derive(Clone, Copy)]
struct Span {
    topic: u32,
    from: u64,
    /// The newest frame of the topic then; never the same in another life of the slot.
    newest: u64,
    run: u32,
    /// This table holds it too.
    owned: bool,
}

/// One item of a run that is put together.
struct Item {
    piece: Piece,
    bytes: Src,
}

enum Src {
    /// A frame of a log; without its id line if it is a snapshot.
    Log {
        topic: u32,
        ordinal: u64,
        strip: bool,
    },
    Text(Bytes),
}

impl SseState {
    /// Finds what is to be lent to this stream now; `None`: nothing is pending, or it was found that
    /// the stream ends, so look at it again.
    pub(super) fn compose(&mut self, slot: u32) -> Option<Lend> {
        let sub = self.subs.at(slot);
        if sub.phase == Phase::Streaming
            && !sub.has(BEGUN | PRIME)
            && let [cursor] = sub.cursors[..]
        {
            let topic = &self.topics[cursor.topic as usize];
            let pending = topic.log.head() - cursor.next;
            if !cursor.is_gap() && cursor.next >= topic.log.first() && pending > 0 {
                let (topic, ordinal) = (cursor.topic, cursor.next);
                if let Some(run) = self.span(topic, ordinal) {
                    return Some(Lend::Shared(run));
                }
                return Some(Lend::Frame { topic, ordinal });
            }
        }
        self.compose_any(slot)
    }

    /// The frames of a topic from this one on, in one run; `None` if it would hold just one frame, or
    /// if there is no room to hold it.
    fn span(&mut self, slot: u32, from: u64) -> Option<u32> {
        let log = &self.topics[slot as usize].log;
        let newest = log.held(log.head() - 1).seq;
        let known = self
            .gathered
            .spans
            .iter()
            .flatten()
            .find(|span| span.topic == slot && span.from == from && span.newest == newest);
        if let Some(span) = known {
            return Some(span.run);
        }
        let (mut total, mut count) = (0, 0);
        for ordinal in from..log.head() {
            let size = log.held(ordinal).frame.bytes.len();
            if total + size > self.config.run_bytes as usize {
                break;
            }
            total += size;
            count += 1;
        }
        if count < 2 || self.runs.bytes() + total as u64 > self.config.held_bytes {
            return None;
        }
        let mut buf = Vec::with_capacity(total);
        let mut ends = Vec::with_capacity(count);
        for ordinal in from..from + count as u64 {
            buf.extend_from_slice(&log.held(ordinal).frame.bytes);
            ends.push(buf.len() as u32);
        }
        let pieces = Pieces::Span {
            topic: slot,
            from,
            ends: ends.into_boxed_slice(),
        };
        let run = self.runs.insert(share(buf), pieces);
        let at = usize::from(self.gathered.next);
        self.gathered.next = (at as u8 + 1) % SPANS as u8;
        let old = self.gathered.spans[at].replace(Span {
            topic: slot,
            from,
            newest,
            run,
            owned: true,
        });
        if let Some(old) = old
            && old.owned
        {
            self.release(old.run);
        }
        Some(run)
    }

    /// The end of a pump: spans that nobody else holds are dropped.
    pub(super) fn drop_gathered(&mut self) {
        for at in 0..SPANS {
            if let Some(span) = &mut self.gathered.spans[at]
                && core::mem::replace(&mut span.owned, false)
            {
                let run = span.run;
                self.release(run);
            }
        }
    }

    /// One holder of a run less. What nobody holds is forgotten wherever it was remembered.
    pub(super) fn release(&mut self, run: u32) {
        if run == NIL {
            return;
        }
        let Some(Held { pieces, .. }) = self.runs.release(run) else {
            return;
        };
        match pieces {
            Pieces::Frame {
                topic,
                ordinal,
                seq,
            } => {
                if let Some(topic) = self.topics.get_mut(topic as usize)
                    && let Some(entry) = topic.log.get_mut(ordinal)
                    && entry.seq == seq
                {
                    entry.run = NIL;
                }
            }
            Pieces::Span { .. } => {
                for span in &mut self.gathered.spans {
                    if span.is_some_and(|span| span.run == run) {
                        *span = None;
                    }
                }
            }
            Pieces::List(_) | Pieces::One(_) => {}
        }
    }

    /// Puts together what is pending, whatever it is: the rest of what was begun; then notices,
    /// frames and the priming block in the order of their seqs; then the farewell; or a heartbeat.
    fn compose_any(&mut self, slot: u32) -> Option<Lend> {
        let sub = self.subs.at(slot);
        let rest = if sub.has(BEGUN) { sub.end - sub.off } else { 0 };
        let limit = self.config.run_bytes as usize;
        // One that is stopped has a turn only for what was begun.
        let stopped = sub.phase == Phase::Ending && sub.how == How::Stop;
        if stopped || rest as usize >= limit {
            return Some(Lend::Rest);
        }
        if self.pass_lag(slot) {
            return None;
        }
        let items = self.items(slot, rest as usize, limit);
        let total = items.iter().map(|item| self.size_of(item)).sum::<usize>();
        match (rest, &items[..]) {
            (0, []) => return None,
            (_, []) => return Some(Lend::Rest),
            (0, [item]) => return Some(self.lend_one(item)),
            _ => {}
        }
        if self.runs.bytes() + u64::from(rest) + total as u64 > self.config.held_bytes {
            return Some(match rest {
                0 => self.lend_one(&items[0]),
                _ => Lend::Rest,
            });
        }
        let mut buf = Vec::with_capacity(rest as usize + total);
        let mut pieces = Vec::with_capacity(items.len() + 1);
        if rest > 0 {
            let sub = self.subs.at(slot);
            let begun = &self.runs.get(sub.run).bytes;
            buf.extend_from_slice(&begun[sub.off as usize..sub.end as usize]);
            pieces.push((rest, Piece::Begun));
        }
        for item in &items {
            self.write_item(item, &mut buf);
            pieces.push((buf.len() as u32, item.piece));
        }
        Some(Lend::Own {
            bytes: share(buf),
            pieces: Pieces::List(pieces.into_boxed_slice()),
            rest,
        })
    }

    /// Lag that is not told moves the cursor at once. True if it ends the stream.
    fn pass_lag(&mut self, slot: u32) -> bool {
        let limit = last_seq(self.subs.at(slot));
        for which in 0..self.subs.at(slot).cursors.len() {
            let cursor = self.subs.at(slot).cursors[which];
            let topic = &self.topics[cursor.topic as usize];
            let Some((next, missed)) = lag(topic, cursor.next, limit) else {
                continue;
            };
            if topic.options.slow == Slow::Close {
                self.begin_ending(slot, How::Stop, CloseReason::Lagged);
                return true;
            }
            if !topic.options.tells_lag() && !cursor.is_gap() {
                self.subs.at_mut(slot).cursors[which].advance(next);
                self.stats.missed += missed;
            }
        }
        false
    }

    /// What is pending after the rest, in order, at most `limit` bytes or one item.
    fn items(&self, slot: u32, rest: usize, limit: usize) -> SmallVec<[Item; 4]> {
        let sub = self.subs.at(slot);
        let mut items = SmallVec::new();
        let mut at: SmallVec<[(u64, bool); 4]> = sub
            .cursors
            .iter()
            .map(|cursor| (cursor.next, cursor.is_gap()))
            .collect();
        let mut prime = sub.has(PRIME);
        let limit_seq = last_seq(sub);
        let mut total = rest;
        loop {
            // The least seq comes next, at one seq its frame before a notice, whose id says that all up
            // to it was sent; the priming block stands after its own.
            let first = (0..at.len())
                .filter_map(|which| {
                    let topic = &self.topics[sub.cursors[which].topic as usize];
                    let (seq, notice) = next_seq(topic, at[which], limit_seq)?;
                    Some((seq, notice, which))
                })
                .filter(|(seq, ..)| *seq <= limit_seq)
                .min();
            let item = match first {
                Some((seq, _, which)) if !prime || seq <= sub.seq => {
                    let slot = sub.cursors[which].topic;
                    let topic = &self.topics[slot as usize];
                    let (next, item) = self.item(slot, topic, at[which], sub);
                    at[which] = (next, false);
                    item
                }
                _ if prime => {
                    prime = false;
                    self.prime(sub.seq)
                }
                _ => break,
            };
            let size = self.size_of(&item);
            if total > 0 && total + size > limit {
                return items;
            }
            total += size;
            items.push(item);
        }
        if sub.phase == Phase::Ending && !sub.has(FAREWELL) {
            let item = self.farewell(slot, sub.how);
            if total == 0 || total + self.size_of(&item) <= limit {
                items.push(item);
            }
        } else if total == 0 && sub.has(BEAT) {
            items.push(beat(sub.has(BEAT_EVENT)));
        }
        items
    }

    /// The notice or frame at this place of a topic, and the place after it.
    fn item(&self, slot: u32, topic: &Topic, at: (u64, bool), sub: &Sub) -> (u64, Item) {
        let (flags, seq) = (sub.flags, sub.seq);
        let (next, gap) = at;
        let lagged = lag(topic, next, last_seq(sub));
        if gap || lagged.is_some() {
            let why = if gap { Why::of(flags).as_str() } else { "slow" };
            let (to, missed) = lagged.unwrap_or((next, 0));
            let last = before(topic, to);
            // Before it is primed a stream carries no id: it would cover snapshots still to come.
            let primed = flags & PRIME != 0 && last <= seq;
            let id = (topic.options.history && !primed).then_some(last);
            let piece = Piece::Notice {
                topic: slot,
                next: to,
                missed,
            };
            let bytes = Src::Text(self.notice(topic, (!gap).then_some(missed), why, id));
            return (to, Item { piece, bytes });
        }
        let primed = flags & PRIME != 0;
        let strip = primed && topic.options.history && topic.log.held(next).seq <= seq;
        let piece = Piece::Frame {
            topic: slot,
            next: next + 1,
        };
        let bytes = Src::Log {
            topic: slot,
            ordinal: next,
            strip,
        };
        (next + 1, Item { piece, bytes })
    }

    fn notice(&self, topic: &Topic, missed: Option<u64>, why: &str, id: Option<u64>) -> Bytes {
        let mut buf = Vec::with_capacity(96 + topic.name.as_str().len());
        let mut text = Text(&mut buf);
        // Writing to a `Vec` cannot fail.
        let _ = text.write_str("event: sse-gap\ndata: {\"topic\":\"");
        for char in topic.name.as_str().chars() {
            if matches!(char, '"' | '\\') {
                let _ = text.write_char('\\');
            }
            let _ = text.write_char(char);
        }
        let _ = match missed {
            Some(missed) => write!(text, "\",\"missed\":{missed}"),
            None => text.write_str("\",\"missed\":null"),
        };
        let _ = writeln!(text, ",\"why\":\"{why}\"}}");
        if let Some(seq) = id {
            let _ = writeln!(text, "id: {}", self.event_id(seq));
        }
        let _ = text.write_str("\n");
        share(buf)
    }

    fn prime(&self, seq: u64) -> Item {
        let mut buf = Vec::with_capacity(48);
        let _ = write!(Text(&mut buf), "id: {}\n\n", self.event_id(seq));
        Item {
            piece: Piece::Prime,
            bytes: Src::Text(share(buf)),
        }
    }

    fn farewell(&self, slot: u32, how: How) -> Item {
        let bytes = if how == How::End {
            Bytes::from_static(b"event: sse-end\ndata: {}\n\n")
        } else {
            let mut buf = Vec::with_capacity(24);
            let millis = self.retry_ms(slot, SALT_FAREWELL);
            let _ = write!(Text(&mut buf), "retry: {millis}\n\n");
            share(buf)
        };
        Item {
            piece: Piece::Farewell,
            bytes: Src::Text(bytes),
        }
    }

    fn event_id(&self, seq: u64) -> EventId {
        EventId {
            epoch: self.config.epoch,
            seq,
        }
    }

    fn lend_one(&self, item: &Item) -> Lend {
        match item.bytes {
            Src::Log {
                topic,
                ordinal,
                strip: false,
            } => Lend::Frame { topic, ordinal },
            Src::Log { .. } => {
                let mut buf = Vec::with_capacity(self.size_of(item));
                self.write_item(item, &mut buf);
                Lend::Own {
                    bytes: share(buf),
                    pieces: Pieces::One(item.piece),
                    rest: 0,
                }
            }
            Src::Text(ref bytes) => Lend::Own {
                bytes: bytes.clone(),
                pieces: Pieces::One(item.piece),
                rest: 0,
            },
        }
    }

    fn size_of(&self, item: &Item) -> usize {
        match &item.bytes {
            Src::Text(bytes) => bytes.len(),
            Src::Log {
                topic,
                ordinal,
                strip,
            } => {
                let frame = self.frame(*topic, *ordinal);
                if *strip {
                    frame.before_id().len() + 1
                } else {
                    frame.bytes.len()
                }
            }
        }
    }

    fn write_item(&self, item: &Item, buf: &mut Vec<u8>) {
        match &item.bytes {
            Src::Text(bytes) => buf.extend_from_slice(bytes),
            Src::Log {
                topic,
                ordinal,
                strip,
            } => {
                let frame = self.frame(*topic, *ordinal);
                if *strip {
                    buf.extend_from_slice(frame.before_id());
                    buf.push(b'\n');
                } else {
                    buf.extend_from_slice(&frame.bytes);
                }
            }
        }
    }

    fn frame(&self, topic: u32, ordinal: u64) -> &Sealed {
        &self.topics[topic as usize].log.held(ordinal).frame
    }
}

/// The seq of the last frame that is lent to this stream: what was published after its end was decided is
/// for others.
pub(super) fn last_seq(sub: &Sub) -> u64 {
    match sub.phase {
        Phase::Ending => sub.heartbeat,
        _ => u64::MAX,
    }
}

/// Where a cursor that has lagged goes on, and past how many frames.
fn lag(topic: &Topic, next: u64, limit: u64) -> Option<(u64, u64)> {
    let log = &topic.log;
    if next >= log.first() {
        return None;
    }
    let to = match topic.options.slow {
        Slow::Skip | Slow::Close => log.first(),
        Slow::Conflate => log.after(limit).saturating_sub(1).max(log.first()),
    };
    Some((to, to - next))
}

/// The seq at which the notice or frame at this place stands, and whether it is a notice.
fn next_seq(topic: &Topic, (next, gap): (u64, bool), limit: u64) -> Option<(u64, bool)> {
    match lag(topic, next, limit) {
        // A gap found at resume was pending before the end was decided, whatever has gone since.
        Some((to, _)) if gap => Some((before(topic, to).min(limit), true)),
        Some((to, _)) => Some((before(topic, to), true)),
        None if gap => Some((before(topic, next), true)),
        None => topic.log.get(next).map(|entry| (entry.seq, false)),
    }
}

/// The seq of the frame before this one: of the last one missed.
fn before(topic: &Topic, ordinal: u64) -> u64 {
    let held = ordinal.checked_sub(1).and_then(|last| topic.log.get(last));
    held.map_or(topic.log.floor, |entry| entry.seq)
}

fn beat(event: bool) -> Item {
    let bytes: &'static [u8] = if event {
        b"event: sse-heartbeat\ndata: {}\n\n"
    } else {
        b":\n\n"
    };
    Item {
        piece: Piece::Heartbeat,
        bytes: Src::Text(Bytes::from_static(bytes)),
    }
}

/// Streams fall behind by differing counts; a few of these at a time share their runs.
const SPANS: usize = 4;
