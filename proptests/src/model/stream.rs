//! What a stream of the naive engine is lent, and what becomes of it.

use bytes::Bytes;
use sse_state::{CloseReason, Slow, SubscriberId};

use super::{Item, Model, STOP, What};

impl Model {
    /// What a stream would be lent now; takes it out of the stream.
    pub(super) fn compose(&mut self, id: SubscriberId) -> Option<(Vec<Item>, Bytes)> {
        // What is begun is finished first; a lag matters only to what comes then.
        if self.conn(id).is_ok_and(|conn| conn.begun.is_empty()) {
            self.find_lags(id);
        }
        let bound = self.config.run_bytes as usize;
        let beats = self.beats(id);
        let conn = self.conn(id).ok()?;
        if !conn.begun.is_empty() {
            return Some((Vec::new(), Bytes::from(std::mem::take(&mut conn.begun))));
        }
        if conn.outbox.is_empty() && beats {
            let event = conn.stream.as_ref().is_some_and(|stream| stream.beat_event);
            let text = if event {
                "event: sse-heartbeat\ndata: {}\n\n"
            } else {
                ":\n\n"
            };
            conn.outbox.push(Item {
                what: What::Beat,
                bytes: text.into(),
            });
        }
        let mut bytes = Vec::new();
        let mut items = Vec::new();
        while let Some(item) = conn.outbox.first() {
            if !bytes.is_empty() && bytes.len() + item.bytes.len() > bound {
                break;
            }
            bytes.extend_from_slice(&item.bytes);
            items.push(conn.outbox.remove(0));
        }
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
        let mut delivered = 0;
        let mut beats = 0;
        let mut abandoned = 0;
        let Ok(conn) = self.conn(id) else { return };
        if bytes > 0 {
            conn.traffic = now;
        }
        if items.is_empty() {
            conn.begun = run[bytes..].to_vec();
        }
        let mut left = bytes;
        let mut back = Vec::new();
        for item in items {
            let taken = left.min(item.bytes.len());
            left -= taken;
            if taken == 0 {
                let keeps = !stopping || (item.what == What::Prelude && !conn.mounted);
                if keeps && item.what != What::Beat {
                    back.push(item);
                } else {
                    abandoned += u64::from(item.is_frame());
                }
                continue;
            }
            delivered += u64::from(item.is_frame());
            beats += u64::from(item.what == What::Beat);
            conn.begun = item.bytes[taken..].to_vec();
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
        let topics = match &conn.stream {
            Some(stream) => stream.topics.clone(),
            None => return,
        };
        for name in topics {
            let Some(topic) = self.topic(name.as_str()).cloned() else {
                continue;
            };
            let Some(conn) = self.conns.iter().find(|conn| conn.id == id) else {
                return;
            };
            let of_topic: Vec<(usize, u64, bool)> = conn
                .outbox
                .iter()
                .enumerate()
                .filter_map(|(place, item)| match &item.what {
                    What::Frame {
                        topic,
                        seq,
                        snapshot,
                    } if *topic == name => Some((place, *seq, *snapshot)),
                    _ => None,
                })
                .collect();
            let held = |seq: u64| topic.log.iter().any(|logged| logged.seq == seq);
            let mut lost: Vec<_> = of_topic
                .iter()
                .copied()
                .filter(|(_, seq, _)| !held(*seq))
                .collect();
            if lost.is_empty() {
                continue;
            }
            match topic.options.slow {
                Slow::Skip => {}
                Slow::Conflate => {
                    let newest = of_topic.last().map(|(_, seq, _)| *seq);
                    lost = of_topic
                        .iter()
                        .copied()
                        .filter(|(_, seq, _)| Some(*seq) != newest || !held(*seq))
                        .collect();
                }
                Slow::Close => {
                    self.end(id, CloseReason::Lagged, STOP);
                    return;
                }
            }
            self.skip(id, &topic, &lost);
        }
    }

    /// Takes out what was lost and puts a notice in its place.
    fn skip(&mut self, id: SubscriberId, topic: &super::Topic, lost: &[(usize, u64, bool)]) {
        let mut missed = lost.len() as u64;
        self.stats.missed += missed;
        let Some(&(place, seq, snapshot)) = lost.last() else {
            return;
        };
        let tells = topic
            .options
            .notice
            .unwrap_or(topic.options.history && topic.options.slow == Slow::Skip);
        let Some(conn) = self.conns.iter_mut().find(|conn| conn.id == id) else {
            return;
        };
        let mut gone: Vec<usize> = lost.iter().map(|(place, ..)| *place).collect();
        for (at, item) in conn.outbox.iter().enumerate() {
            if let What::Notice {
                topic: of,
                missed: Some(told),
            } = &item.what
                && *of == topic.name
                && at < place
            {
                missed += told;
                gone.push(at);
            }
        }
        let before = gone.iter().filter(|at| **at < place).count();
        let mut at = 0;
        conn.outbox.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
        if tells {
            let last = (!snapshot).then_some(seq);
            let notice = self.notice(topic, Some(missed), "slow", last);
            if let Ok(conn) = self.conn(id) {
                conn.outbox.insert(place - before, notice);
            }
        }
    }
}
