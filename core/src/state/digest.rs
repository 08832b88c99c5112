//! A canonical digest: what decides the future, and nothing else.

use alloc::vec::Vec;

use super::SseState;
use super::source::tick_after;
use super::subscribe::{SALT_FAREWELL, SALT_OPENING};
use crate::hash::Digest;
use crate::id::EventId;
use crate::list::NIL;
use crate::options::SourceKind;
use crate::run::{Piece, Pieces};
use crate::subscriber::{
    BEAT_EVENT, END_WITH_SOURCES, FAREWELL, FINISHED, How, MOUNTED, PRIME, Phase, Sub, WHY_SHIFT,
};
use crate::time::{Time, nanos};
use crate::topic::{Crowd, Poll, Source, Topic};

impl SseState {
    /// A digest of everything that decides what the machine will do: cursors as distances from the
    /// head, times as distances from now, seqs as ranks; no generations, run numbers or counters, so
    /// that states repeat. Not fast; for tests and for the end of a journal.
    #[doc(hidden)]
    pub fn digest(&self) -> u64 {
        let mut seqs: Vec<u64> = self
            .topics
            .iter()
            .flat_map(|(_, topic)| {
                topic
                    .log
                    .iter()
                    .map(|entry| entry.seq)
                    .chain([topic.log.floor])
            })
            .chain((0..self.subs.used()).flat_map(|slot| seqs_of(self.subs.at(slot))))
            .chain([self.seq])
            .collect();
        seqs.sort_unstable();
        seqs.dedup();
        let mut walk = Walk {
            state: self,
            digest: Digest::new(),
            seqs,
        };
        walk.machine();
        walk.digest.get()
    }
}

/// The seqs that a connection goes by: where its priming block stands, and the last frame that is still
/// lent while it is drained.
fn seqs_of(sub: &Sub) -> impl Iterator<Item = u64> + use<> {
    let prime = sub.has(PRIME).then_some(sub.seq);
    let drains = sub.phase == Phase::Ending && matches!(sub.how, How::Drain | How::End);
    let last = drains.then_some(sub.heartbeat);
    prime.into_iter().chain(last)
}

/// The flags that still decide something.
fn flags_of(sub: &Sub) -> u32 {
    let drains = matches!(sub.how, How::Drain | How::End);
    match sub.phase {
        Phase::Streaming => u32::MAX,
        Phase::Ending if drains => u32::MAX,
        Phase::Ending => !(BEAT_EVENT | PRIME | END_WITH_SOURCES | FAREWELL | 3 << WHY_SHIFT),
        _ => FINISHED | MOUNTED,
    }
}

struct Walk<'a> {
    state: &'a SseState,
    digest: Digest,
    seqs: Vec<u64>,
}

impl Walk<'_> {
    fn machine(&mut self) {
        let state = self.state;
        for (slot, topic) in &state.topics {
            self.topic(slot as u32, topic);
        }
        for slot in 0..state.subs.used() {
            if state.subs.at(slot).phase != Phase::Free {
                self.number(u64::from(slot));
                self.sub(slot);
            }
        }
        for list in [
            &state.data,
            &state.control,
            &state.openings,
            &state.finishing,
        ] {
            for node in list.iter(|node| state.place_of(node)) {
                self.number(u64::from(node));
            }
            self.number(u64::MAX);
        }
        let topics = &state.topics;
        for slot in state.unsettled.iter(|slot| topics[slot as usize].settle) {
            self.number(u64::from(slot));
        }
        for &(since, slot) in &state.polls_waiting {
            self.past(since, 0);
            self.number(u64::from(slot));
        }
        for sweep in [state.sweep_subs, state.sweep_topics] {
            self.number(sweep.map_or(0, |slot| u64::from(slot) + 1));
        }
        if let Some(shutdown) = state.shutdown {
            self.number(shutdown.cause as u64 + 1);
            self.time(shutdown.until);
            self.number(u64::from(shutdown.over));
        }
        for (ago, name) in state.keys.recent() {
            self.number(ago);
            self.digest.bytes(name.as_str().as_bytes());
        }
        let seq = self.rank(state.seq);
        self.number(seq);
        // How what is held is shared decides what can still be; not as long as it is little.
        let held = state.runs.bytes();
        let little = held <= state.config.held_bytes / 8;
        self.number(if little { 0 } else { held });
    }

    fn topic(&mut self, slot: u32, topic: &Topic) {
        self.number(u64::from(slot));
        self.digest.bytes(topic.name.as_str().as_bytes());
        let options = &topic.options;
        let source = match options.source {
            SourceKind::None => 0,
            SourceKind::External => 1,
            SourceKind::Interval(every) => nanos(every).saturating_add(1),
        };
        for number in [
            source,
            u64::from(options.log_frames),
            u64::from(options.log_bytes),
            nanos(options.retention),
            nanos(options.linger),
            options.slow as u64,
            options.notice.map_or(2, u64::from),
            u64::from(options.history) << 3
                | u64::from(options.dedupe) << 2
                | u64::from(options.own_ids) << 1
                | u64::from(topic.declared),
            u64::from(topic.again) << 1 | u64::from(topic.queued),
        ] {
            self.number(number);
        }
        let floor = self.rank(topic.log.floor);
        self.number(floor);
        for entry in topic.log.iter() {
            let seq = self.rank(entry.seq);
            self.number(seq);
            // The id in it holds epoch and seq; it is told by the rank.
            self.digest.bytes(entry.frame.before_id());
        }
        for crowd in [Crowd::Idle, Crowd::Round, Crowd::Behind] {
            self.number(topic.crowd(crowd).len() as u64);
            for &member in topic.crowd(crowd) {
                self.number(u64::from(member));
            }
        }
        for at in [topic.linger, topic.retained] {
            self.time(at.unwrap_or(Time::MAX));
        }
        if let Some(room) = topic.room {
            self.number(room.bytes);
            self.number(u64::from(room.at));
            self.time(room.until.unwrap_or(Time::MAX));
        }
        match topic.source {
            Source::Idle => self.number(0),
            Source::StartDue => self.number(1),
            Source::Ended => self.number(2),
            Source::Running(running) => {
                self.number(3);
                self.number(running.end.map_or(0, |reason| reason as u64 + 1));
                self.number(u64::from(running.restart));
                // Of the start only the phase of the polls matters.
                if let SourceKind::Interval(every) = options.source {
                    let gone = self.state.now.since(running.since);
                    self.number(nanos(gone) % nanos(every).max(1));
                }
                match running.poll {
                    Poll::Never => self.number(0),
                    Poll::At(at) => {
                        self.number(1);
                        self.time(at);
                    }
                    Poll::Waiting(since) => {
                        self.number(2);
                        self.past(since, 0);
                    }
                    Poll::InFlight(until) => {
                        self.number(3);
                        self.time(until);
                        // A late one is followed by the tick after that time, if that is late too at once.
                        self.time(tick_after(topic, until));
                    }
                }
            }
        }
    }

    fn sub(&mut self, slot: u32) {
        let state = self.state;
        let sub = state.subs.at(slot);
        for number in [
            sub.phase as u64,
            sub.list as u64,
            sub.how as u64,
            sub.reason as u64,
            u64::from(sub.flags & flags_of(sub)),
        ] {
            self.number(number);
        }
        match sub.phase {
            Phase::Free | Phase::FinishDue | Phase::CloseDue => {}
            Phase::Finishing => self.time(sub.until),
            Phase::Head => {
                self.time(sub.until);
                self.number(u64::from(sub.off));
            }
            Phase::Body => {
                self.time(sub.until);
                self.number(u64::from(sub.end));
            }
            Phase::Deciding => {
                self.time(sub.until);
                self.number(state.keys.since(sub.seq));
            }
            Phase::Streaming | Phase::Ending => self.stream(slot, sub),
        }
    }

    /// One that has something to write, or may have.
    fn stream(&mut self, slot: u32, sub: &Sub) {
        let state = self.state;
        self.time(sub.until);
        let stalls = match sub.phase {
            // Nothing more comes to be pending.
            Phase::Ending => state.stalls_at(slot, sub),
            _ => sub.stall + state.config.write_timeout,
        };
        let ends = sub.until.min(sub.expires);
        if ends.min(stalls) <= state.now || state.keys.is_closed(sub.key) {
            // It is late: it is looked at in this granule, or was and comes up in the next one.
            let comes = state.wheel.tick_of(usize::from(sub.bucket));
            self.number(comes.saturating_sub(state.tick).min(1));
            self.number(state.tick.saturating_sub(state.wheel.begun()).min(1));
        }
        if sub.stall == Time::MAX {
            self.number(u64::MAX);
        } else {
            self.past(sub.stall, 0);
        }
        if sub.phase == Phase::Streaming {
            self.number(sub.heartbeat);
        }
        // Whoever is only to write what it has begun has no silence, no grant and no topics.
        if matches!(sub.how, How::Drain | How::End) || sub.phase == Phase::Streaming {
            self.past(sub.last, sub.heartbeat);
            self.time(sub.expires);
            for seq in seqs_of(sub) {
                let seq = self.rank(seq);
                self.number(seq);
            }
        }
        match state.keys.name(sub.key) {
            Some(name) => {
                self.digest.bytes(name.as_str().as_bytes());
                self.number(u64::from(state.keys.is_closed(sub.key)));
            }
            None => self.number(0),
        }
        for cursor in &sub.cursors {
            let topic = &state.topics[cursor.topic as usize];
            self.number(u64::from(cursor.topic));
            self.number(topic.log.head() - cursor.next);
            self.number(u64::from(cursor.is_gap()));
        }
        if sub.run == NIL {
            return self.number(0);
        }
        let held = state.runs.get(sub.run);
        self.lent(slot, &held.bytes[..sub.end as usize], sub.off);
        if !sub.has(crate::subscriber::BEGUN) {
            self.pieces(&held.pieces);
        }
    }

    /// What is left of a run. Which id a line tells is a rank, and which reconnection time was drawn for
    /// this connection decides nothing.
    fn lent(&mut self, slot: u32, bytes: &[u8], off: u32) {
        let (state, off) = (self.state, off as usize);
        let drawn = [SALT_OPENING, SALT_FAREWELL].map(|salt| state.retry_ms(slot, salt));
        let mut start = bytes[..off]
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        for line in bytes[start..].split_inclusive(|&byte| byte == b'\n') {
            let gone = off.saturating_sub(start);
            start += line.len();
            let value = |field: &[u8]| line.strip_prefix(field)?.strip_suffix(b"\n");
            let id = value(b"id: ").and_then(EventId::parse);
            let millis = value(b"retry: ")
                .and_then(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
            let told = match (id, millis) {
                (Some(id), _) if id.epoch == state.config.epoch => self.rank(id.seq),
                (_, Some(millis)) if drawn.contains(&millis) => u64::MAX,
                _ => {
                    self.digest.bytes(&line[gone..]);
                    continue;
                }
            };
            self.number(told);
            self.number(gone as u64);
        }
    }

    /// What a report of a run will do.
    fn pieces(&mut self, pieces: &Pieces) {
        match pieces {
            Pieces::Frame { topic, ordinal, .. } => self.piece(Piece::Frame {
                topic: *topic,
                next: ordinal + 1,
            }),
            Pieces::One(piece) => self.piece(*piece),
            Pieces::Span { topic, from, ends } => {
                for (ordinal, &end) in (*from..).zip(ends) {
                    self.number(u64::from(end));
                    self.piece(Piece::Frame {
                        topic: *topic,
                        next: ordinal + 1,
                    });
                }
            }
            Pieces::List(list) => {
                for &(end, piece) in list {
                    self.number(u64::from(end));
                    self.piece(piece);
                }
            }
        }
    }

    fn piece(&mut self, piece: Piece) {
        let behind = |topic: u32, next: u64| {
            let topic = self.state.topics.get(topic as usize);
            topic.map_or(0, |topic| topic.log.head().wrapping_sub(next))
        };
        let numbers = match piece {
            Piece::Begun => [0, 0, 0],
            Piece::Prime => [1, 0, 0],
            Piece::Frame { topic, next } => [2, u64::from(topic), behind(topic, next)],
            Piece::Notice {
                topic,
                next,
                missed,
            } => [3 + (missed << 8), u64::from(topic), behind(topic, next)],
            Piece::Heartbeat => [4, 0, 0],
            Piece::Farewell => [5, 0, 0],
        };
        for number in numbers {
            self.number(number);
        }
    }

    fn rank(&self, seq: u64) -> u64 {
        self.seqs.partition_point(|&other| other < seq) as u64
    }

    /// A time to come, as a distance; one that is past is now.
    fn time(&mut self, at: Time) {
        let left = match at {
            Time::MAX => u64::MAX,
            at => nanos(at.since(self.state.now)),
        };
        self.number(left);
    }

    /// A time past, as a distance, up to the longest that matters.
    fn past(&mut self, at: Time, heartbeat: u64) {
        let config = &self.state.config;
        let longest = [
            config.write_timeout,
            config.heartbeat,
            config.reader_patience,
        ];
        let most = longest.into_iter().map(nanos).fold(heartbeat, u64::max);
        self.number(nanos(self.state.now.since(at)).min(most));
    }

    fn number(&mut self, number: u64) {
        self.digest.number(number);
    }
}
