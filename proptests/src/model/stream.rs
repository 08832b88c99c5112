//! What a stream of the naive engine is lent, and what becomes of it.

use std::mem::take;

use bytes::Bytes;
use sse_state::{CloseReason, Name, Slow, SubscriberId};

use super::{Conn, Item, Model, STOP, Topic, What};

impl Model {
    /// What a stream would be lent now, up to one run; takes it out of the stream.
    pub(super) fn compose(&mut self, id: SubscriberId) -> Option<(Vec<Item>, Bytes)> {
        let bound = self.config.run_bytes as usize;
        let conn = self.conn(id).ok()?;
        let mut items = Vec::new();
        if !conn.begun.is_empty() {
            items.push(Item::new(What::Rest, take(&mut conn.begun)));
        } else if conn.outbox.first().is_some_and(Item::is_prelude) {
            items.push(conn.outbox.remove(0));
        }
        let mut size: usize = items.iter().map(|item| item.bytes.len()).sum();
        // A lag matters only to what comes after that.
        if size < bound {
            self.find_lags(id);
        }
        let beats = self.beats(id);
        let conn = self.conn(id).ok()?;
        if items.is_empty() && conn.outbox.is_empty() && beats {
            let event = conn.stream.as_ref().is_some_and(|stream| stream.beat_event);
            let text = if event {
                "event: sse-heartbeat\ndata: {}\n\n"
            } else {
                ":\n\n"
            };
            conn.outbox.push(Item::new(What::Beat, text.into()));
        }
        while let Some(item) = conn.outbox.first() {
            if size > 0 && size + item.bytes.len() > bound {
                break;
            }
            size += item.bytes.len();
            items.push(conn.outbox.remove(0));
        }
        let bytes: Vec<u8> = items.iter().flat_map(|item| item.bytes.clone()).collect();
        (!bytes.is_empty()).then(|| (items, Bytes::from(bytes)))
    }

    /// A heartbeat is due and nothing else would be written.
    pub(super) fn beats(&self, id: SubscriberId) -> bool {
        self.conns
            .iter()
            .find(|conn| conn.id == id)
            .and_then(|conn| self.beat_at(conn))
            .is_some_and(|at| at <= self.now)
    }

    /// When silence ends: fifteen sixteenths, or all, of the interval after the last traffic.
    pub(super) fn beat_at(&self, conn: &super::Conn) -> Option<sse_state::Time> {
        let quiet = conn.end.is_none() && conn.finished.is_none() && !conn.has_something();
        let every = conn.stream.as_ref()?.heartbeat.filter(|_| quiet)?;
        let sixteenths = if self.is_other() { 16 } else { 15 };
        Some(conn.traffic + every / 16 * sixteenths)
    }

    /// Of a run that was taken out, so much was accepted: what was not begun goes back.
    pub(super) fn accepted(
        &mut self,
        id: SubscriberId,
        items: Vec<Item>,
        run: &[u8],
        bytes: usize,
    ) {
        let (now, stopping) = (self.now, self.is_stopping(id));
        let (mut delivered, mut missed, mut beats, mut abandoned) = (0, 0, 0, 0);
        let Ok(conn) = self.conn(id) else { return };
        if bytes > 0 {
            conn.traffic = now;
        }
        let mut left = bytes;
        let mut back = Vec::new();
        for item in items {
            let taken = left.min(item.bytes.len());
            left -= taken;
            if taken > 0 || item.what == What::Rest {
                match item.what {
                    What::Frame { .. } => delivered += 1,
                    What::Notice { .. } => missed += item.frames(),
                    What::Beat => beats += 1,
                    _ => {}
                }
                conn.begun = item.bytes[taken..].to_vec();
            } else if stopping && (!item.is_prelude() || conn.mounted) {
                abandoned += item.frames();
            } else if item.what != What::Beat {
                back.push(item);
            }
        }
        back.append(&mut conn.outbox);
        conn.outbox = back;
        conn.outstanding = bytes < run.len();
        if bytes == run.len() {
            conn.stall = None;
        } else if bytes > 0 || conn.stall.is_none() {
            conn.stall = Some(now);
        }
        self.stats.bytes += bytes as u64;
        self.stats.delivered += delivered;
        self.stats.missed += missed;
        self.stats.heartbeats += beats;
        self.stats.abandoned += abandoned;
    }

    fn is_stopping(&self, id: SubscriberId) -> bool {
        self.conns
            .iter()
            .find(|conn| conn.id == id)
            .and_then(|conn| conn.end.as_ref())
            .is_some_and(|end| end.strength >= STOP)
    }

    /// Frames that wait for this stream and have left their log.
    fn find_lags(&mut self, id: SubscriberId) {
        let Ok(conn) = self.conn(id) else { return };
        conn.forget_notices();
        let Some(stream) = &conn.stream else { return };
        for name in stream.topics.clone() {
            let Some(topic) = self.topic(name.as_str()).cloned() else {
                continue;
            };
            let Ok(conn) = self.conn(id) else { return };
            let pending = conn.pending(&name);
            let held = |seq: u64| topic.log.iter().any(|logged| logged.seq == seq);
            let Some(newest_lost) = pending.iter().rposition(|seq| !held(*seq)) else {
                continue;
            };
            let lost = match topic.options.slow {
                Slow::Skip => newest_lost + 1,
                Slow::Conflate => (pending.len() - 1).max(newest_lost + 1),
                Slow::Close => {
                    self.end(id, CloseReason::Lagged, STOP);
                    return;
                }
            };
            self.skip(id, &topic, pending[lost - 1]);
        }
    }

    /// Takes out the frames of a topic up to this one. If that is told, a notice stands for them until it
    /// is begun.
    fn skip(&mut self, id: SubscriberId, topic: &Topic, last: u64) {
        let tells = topic
            .options
            .notice
            .unwrap_or(topic.options.history && topic.options.slow == Slow::Skip);
        let Ok(conn) = self.conn(id) else { return };
        // One that ends is not told of a gap that nothing follows.
        let follows = conn.pending(&topic.name).last() != Some(&last);
        let tells = tells && (follows || conn.end.is_none());
        let is_lost = |item: &Item| match &item.what {
            What::Frame { topic: of, seq, .. } => *of == topic.name && *seq <= last,
            What::Notice { topic: of, .. } => *of == topic.name,
            _ => false,
        };
        let (lost, kept): (Vec<Item>, Vec<Item>) =
            take(&mut conn.outbox).into_iter().partition(is_lost);
        conn.outbox = kept;
        let resume = lost.iter().find_map(|item| match item.what {
            What::Notice { why, .. } => Some(why),
            _ => None,
        });
        if !tells && resume.is_none() {
            self.stats.missed += lost.len() as u64;
            return;
        }
        let notice = self.notice(topic, lost, resume.unwrap_or("slow"), last);
        if let Ok(conn) = self.conn(id) {
            conn.outbox.push(notice);
            conn.outbox.sort_by_key(Item::place);
        }
    }
}

impl Conn {
    /// The seqs of the frames of a topic that wait.
    fn pending(&self, topic: &Name) -> Vec<u64> {
        let seq = |item: &Item| match &item.what {
            What::Frame { topic: of, seq, .. } if of == topic => Some(*seq),
            _ => None,
        };
        self.outbox.iter().filter_map(seq).collect()
    }

    /// The frames that notices stand for wait again.
    fn forget_notices(&mut self) {
        for item in take(&mut self.outbox) {
            match item.what {
                What::Notice { missed, .. } if !missed.is_empty() => self.outbox.extend(missed),
                _ => self.outbox.push(item),
            }
        }
        self.outbox.sort_by_key(Item::place);
    }
}

impl Item {
    fn is_prelude(&self) -> bool {
        self.what == What::Prelude
    }

    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self.what, What::Frame { snapshot: true, .. })
    }
}
