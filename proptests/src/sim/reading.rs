//! What clients make of what comes: each event is held against what was published.

use std::time::Duration;

use sse_state::EventId;
use sse_state_hub::{CloseReason, StreamEnd, Time};

use super::client::{SLACK, What};
use super::conn::Mode;
use super::mark::Mark;
use super::state::{Core, Happens};
use super::topics::{hash_of, topic_of};
use crate::wire::{Block, Parser};

/// How far a client has read.
pub(crate) enum Reading {
    Head(Vec<u8>),
    Stream(Box<Streaming>),
    Answer { status: u16, body: Vec<u8> },
}

/// A stream as its client sees it.
pub(crate) struct Streaming {
    parser: Parser,
    blocks: u64,
    last_at: Time,
    last_seq: u64,
    farewell: bool,
    is_refused: bool,
    got_end: bool,
    /// It has read quickly and without a break so far, so times can be told.
    is_steady: bool,
}

impl Core {
    pub(crate) fn client_reads(&mut self, c: u32, bytes: &[u8]) {
        let reading = std::mem::replace(&mut self.conn(c).reading, Reading::Head(Vec::new()));
        let reading = match reading {
            Reading::Head(mut head) => {
                head.extend_from_slice(bytes);
                let end = head.windows(4).position(|four| four == b"\r\n\r\n");
                match end {
                    None => Reading::Head(head),
                    Some(end) => {
                        let rest = head.split_off(end + 4);
                        let reading = self.read_head(c, &head);
                        self.conn(c).reading = reading;
                        return self.client_reads(c, &rest);
                    }
                }
            }
            Reading::Stream(mut stream) => {
                self.observe(bytes);
                for block in stream.parser.push(bytes) {
                    self.read_block(c, &mut stream, &block);
                }
                Reading::Stream(stream)
            }
            Reading::Answer { status, mut body } => {
                self.observe(bytes);
                body.extend_from_slice(bytes);
                Reading::Answer { status, body }
            }
        };
        self.conn(c).reading = reading;
    }

    fn read_head(&mut self, c: u32, head: &[u8]) -> Reading {
        let head = String::from_utf8_lossy(head).into_owned();
        // The date is of the real world.
        let lines = head
            .split("\r\n")
            .filter(|line| !line.starts_with("Date: "));
        let dateless: Vec<&str> = lines.collect();
        self.observe(dateless.join("\n").as_bytes());
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status: u16 = status.unwrap_or(0);
        if !head.starts_with("HTTP/1.1 ") || !head.contains("\r\nConnection: close\r\n") {
            self.fail("P4", || format!("connection {c} got the head {head:?}"));
        }
        let conn = self.conn(c);
        let (wanted, is_stream) = (conn.ask.status, matches!(conn.ask.what, What::Stream(_)));
        // A shutdown, or a full house, says 503 whatever was asked.
        let is_busy = status == 503 || (status == 200 && is_stream);
        if wanted != 0 && status != wanted && !is_busy {
            self.fail("W2", || format!("connection {c} got {status} for {wanted}"));
        }
        if head.contains("\r\nContent-Type: text/event-stream\r\n") && status == 200 {
            let is_head =
                matches!(&self.conn(c).ask.what, What::Odd(text) if text.starts_with("HEAD"));
            if !is_stream && !is_head {
                self.fail("W2", || format!("connection {c} got a stream"));
            }
            if is_head {
                return Reading::Answer {
                    status,
                    body: Vec::new(),
                };
            }
            if !head.starts_with(STREAM_HEAD) && !head.contains("\r\nContent-Length: ") {
                self.fail("W3.1", || format!("connection {c} got the head {head:?}"));
            }
            let conn = self.conn(c);
            let is_steady = conn.mode == Mode::Fast && conn.window > 4096;
            return Reading::Stream(Box::new(Streaming {
                parser: Parser::new(),
                blocks: 0,
                last_at: self.now(),
                last_seq: 0,
                farewell: false,
                is_refused: false,
                got_end: false,
                is_steady,
            }));
        }
        Reading::Answer {
            status,
            body: Vec::new(),
        }
    }

    fn read_block(&mut self, c: u32, stream: &mut Streaming, block: &Block) {
        let now = self.now();
        let number = stream.blocks;
        stream.blocks += 1;
        let silence = now.since(std::mem::replace(&mut stream.last_at, now));
        stream.is_steady &= self.conn(c).mode == Mode::Fast && !self.conn(c).was_slow;
        if stream.is_steady && number > 1 {
            self.check_silence(c, silence, block.is_comment());
        }
        if stream.farewell || stream.got_end {
            self.fail("W3.22", || {
                format!("connection {c} got {block:?} after its farewell")
            });
        }
        match number {
            0 if block.is_comment() && block.raw == b":\n\n" => {
                if self.conn(c).member.is_none() {
                    self.fail("W3.7", || format!("connection {c} is nobody's stream"));
                }
                return;
            }
            0 if block.is_retry() && block.retry.is_some_and(|ms| ms >= 10_000) => {
                if self.conn(c).member.is_some() {
                    self.fail("W3.13", || format!("the stream {c} was refused"));
                }
                stream.is_refused = true;
                stream.farewell = true;
                return;
            }
            1 if block.is_retry() => return,
            0 | 1 => {
                self.fail("W3.7", || format!("connection {c} began with {block:?}"));
                return;
            }
            _ => {}
        }
        if let Some(id) = &block.id {
            let seq = EventId::parse(id.as_bytes()).map_or(0, |id| id.seq);
            if seq < stream.last_seq {
                let last = stream.last_seq;
                self.fail("I6", || format!("connection {c} got {seq} after {last}"));
            }
            stream.last_seq = seq;
        }
        if block.is_comment() {
            if block.raw != b":\n\n" {
                self.fail("H5", || format!("connection {c} got {block:?}"));
            }
        } else if block.is_retry() {
            stream.farewell = true;
            if self.shutdown_at.is_some() {
                self.mark(Mark::ShutdownDrained);
            }
        } else if block.is_prime() {
            // What it says, the ids that follow show.
        } else if block.is_event() {
            match block.name.as_deref() {
                Some("sse-gap") => self.read_gap(c, block),
                Some("sse-end") => stream.got_end = true,
                name => {
                    let name = name.unwrap_or_default().to_owned();
                    self.read_event(c, &name, block);
                }
            }
        } else {
            self.fail("W4.14", || format!("connection {c} got {block:?}"));
        }
    }

    fn check_silence(&mut self, c: u32, silence: Duration, is_heartbeat: bool) {
        let every = self.setup.config.heartbeat;
        if silence > every + every / 32 + SLACK {
            self.fail("H2", || format!("connection {c}: silent for {silence:?}"));
        }
        if is_heartbeat && silence + SLACK / 4 < every * 7 / 8 {
            self.fail("H1", || {
                format!("connection {c}: a heartbeat after {silence:?}")
            });
        }
    }

    /// A notice: so many events are missing here.
    fn read_gap(&mut self, c: u32, block: &Block) {
        let data = block.data.clone().unwrap_or_default();
        let field = |name: &str| {
            let rest = data.split_once(&format!("\"{name}\":"))?.1;
            let end = rest.find([',', '}'])?;
            Some(rest[..end].trim_matches('"').to_owned())
        };
        let (topic, missed, why) = (field("topic"), field("missed"), field("why"));
        let topic = topic.and_then(|name| self.topics.find(&name));
        let missed = missed.and_then(|text| text.parse::<u64>().ok());
        match why.as_deref() {
            Some("slow") => self.mark(Mark::GapTold),
            Some("unknown" | "epoch" | "ahead") => self.mark(Mark::ResumedFromUnknown),
            Some("expired") => self.mark(Mark::ResumedOverEvicted),
            _ => self.fail("W5.22", || format!("connection {c} got {data}")),
        }
        let is_slow = why.as_deref() == Some("slow");
        if is_slow != missed.is_some() {
            self.fail("W5.22", || format!("connection {c} got {data}"));
        }
        let lossless = topic.is_some_and(|topic| self.topics.all[topic].lossless);
        let conn = self.conn(c);
        if lossless && is_slow && !conn.was_slow && conn.mode == Mode::Fast {
            self.fail("D12", || {
                format!("connection {c} reads, and lost events that waited for room: {data}")
            });
        }
        let conn = self.conn(c);
        let follows = conn.member.iter_mut().flat_map(|member| &mut member.topics);
        let follow = follows
            .into_iter()
            .find(|follow| Some(follow.topic) == topic);
        let Some(follow) = follow else {
            return self.fail("W5.21", || format!("connection {c} got {data}"));
        };
        follow.notice = Some(match (follow.notice, missed) {
            (None, missed) => missed,
            (Some(Some(before)), Some(more)) => Some(before + more),
            _ => None,
        });
    }

    /// An event: the next one of its topic, or one after a gap that is told or may be.
    fn read_event(&mut self, c: u32, name: &str, block: &Block) {
        self.tally.delivered += 1;
        let data = block.data.as_deref().unwrap_or_default();
        if data.contains("the poll before is not finished") {
            self.mark(Mark::BlockingPollOverrun);
        }
        let hash = hash_of(name, data);
        let seq = block.id.as_ref();
        let seq = seq
            .and_then(|id| EventId::parse(id.as_bytes()))
            .map(|id| id.seq);
        let conn = &mut self.conns[c as usize];
        let Some(member) = &mut conn.member else {
            return self.fail("D4", || format!("connection {c} got an event: {block:?}"));
        };
        let only = match &member.topics[..] {
            [follow] => Some(follow.topic),
            _ => topic_of(data),
        };
        let (expires, until) = (member.expires, member.until.clone());
        let mut follows = member.topics.iter_mut();
        let Some(follow) = follows.find(|follow| Some(follow.topic) == only) else {
            return self.fail("D4", || format!("connection {c} got {block:?}"));
        };
        let topic = &self.topics.all[follow.topic];
        let log = topic.log as usize;
        let cursor = follow.cursor;
        let rest = topic.ledger.get(cursor..).unwrap_or_default();
        let is_it = |entry: &super::topics::Entry| {
            entry.hash == hash && seq.is_none_or(|seq| entry.seq == seq)
        };
        let Some(skipped) = rest.iter().position(is_it) else {
            let was_there = topic.ledger[..cursor].iter().any(is_it);
            let rule = if was_there { "D1" } else { "D4" };
            return self.fail(rule, || {
                format!("connection {c} got {block:?}, of which it is not the turn: {cursor}")
            });
        };
        let entry = rest[skipped];
        let is_behind = rest.len() > log;
        let (slow, tells) = (topic.slow, topic.history);
        let notice = follow.notice.take();
        follow.cursor = cursor + skipped + 1;
        let resumes = std::mem::take(&mut follow.resumes);
        let (topic, life) = (follow.topic, follow.life);
        if let Some(until) = until
            && cursor + skipped >= until[topic]
        {
            self.fail("A1", || {
                format!("connection {c} got {data} after its key was closed")
            });
        }
        if expires.is_some_and(|expires| entry.at > expires) {
            self.fail("A1", || {
                format!("connection {c} got {data} after its grant")
            });
        }
        if cursor + skipped < life && !tells {
            self.fail("D4", || {
                format!("connection {c} got {data} of an earlier life")
            });
        }
        match notice {
            Some(Some(missed)) if missed != skipped as u64 => self.fail("D3", || {
                format!("connection {c} missed {skipped} and was told {missed}")
            }),
            Some(_) => {}
            None if skipped == 0 && resumes => self.mark(Mark::ResumedExactly),
            None if skipped == 0 => {}
            None if tells => self.fail("D3", || {
                format!("connection {c} missed {skipped} of topic {topic} and was told nothing")
            }),
            None if slow == sse_state_hub::Slow::Close || !is_behind => self.fail("D3", || {
                format!("connection {c} missed {skipped} of topic {topic} without a lag")
            }),
            None if slow == sse_state_hub::Slow::Conflate => self.mark(Mark::Conflated),
            None => {}
        }
    }

    /// A client sees the end of its connection.
    pub(crate) fn client_ends(&mut self, c: u32) {
        let conn = self.conn(c);
        conn.ended = true;
        let is_reset = conn.server_closed && conn.server_reset && !conn.server_fin;
        let is_orderly = !conn.broken && !is_reset;
        let reading = std::mem::replace(&mut conn.reading, Reading::Head(Vec::new()));
        let closed_for = conn.closed_for;
        let mut last_id = conn.ask.last_id.clone();
        self.observe(&[u8::from(is_orderly)]);
        self.tell(|| format!("connection {c} ends, in order: {is_orderly}"));
        match &reading {
            Reading::Head(head) if is_orderly && !head.is_empty() => {
                self.fail("D11", || format!("connection {c} ends in its head"));
            }
            Reading::Stream(stream) => {
                let unfinished = stream.parser.unfinished().len();
                if is_orderly && unfinished > 0 {
                    self.fail("D11", || {
                        format!("connection {c} ends in order within an event")
                    });
                }
                let cut = matches!(
                    closed_for,
                    Some(StreamEnd::Closed(CloseReason::Stalled | CloseReason::Held))
                );
                let fin = self.conn(c).server_fin;
                if is_orderly && cut && !fin {
                    self.fail("S7", || format!("connection {c} was cut, and got an end"));
                }
                if let Some(id) = stream.parser.last_id() {
                    last_id = Some(id.to_owned());
                }
            }
            Reading::Answer { status, body } => self.read_answer(c, *status, body, is_orderly),
            Reading::Head(_) => {}
        }
        let is_stream = matches!(reading, Reading::Stream(_));
        if self.chance(7, 8) || !self.faults_on {
            self.client_leaves(c);
        }
        if is_stream && self.shutdown_at.is_none() && self.chance(3, 4) {
            let mut ask = self.conn(c).ask.clone();
            ask.last_id = last_id;
            let time = self.between(Duration::from_millis(10), Duration::from_secs(3));
            self.after(time, Happens::Connect(ask));
        }
    }

    fn read_answer(&mut self, c: u32, status: u16, body: &[u8], is_orderly: bool) {
        let What::Post {
            topic, text, sent, ..
        } = self.conn(c).ask.what.clone()
        else {
            return;
        };
        if !is_orderly {
            return;
        }
        let count = self.published(topic, &text);
        let body = String::from_utf8_lossy(body).into_owned();
        let wanted = match status {
            201 => {
                self.mark(Mark::PostHeard);
                1..=1
            }
            202 => {
                self.mark(Mark::PostUnheard);
                0..=1
            }
            409 => {
                self.mark(Mark::PostToSource);
                0..=0
            }
            _ => 0..=0,
        };
        let is_whole = sent == text.len();
        if !wanted.contains(&count) || (status < 300 && !is_whole) {
            self.fail("W6", || {
                format!("the publish {c} was answered {status} {body} and made {count} times")
            });
        }
    }

    /// What a client would come back with.
    pub(crate) fn last_id(&self, c: u32) -> Option<String> {
        match &self.conns[c as usize].reading {
            Reading::Stream(stream) => stream.parser.last_id().map(str::to_owned),
            _ => None,
        }
    }

    /// How often a text was appended.
    pub(crate) fn published(&self, topic: usize, text: &str) -> usize {
        let hash = hash_of("", text);
        let ledger = &self.topics.all[topic].ledger;
        ledger.iter().filter(|entry| entry.hash == hash).count()
    }

    /// Silence at the end of a run, and before it.
    pub(crate) fn check_streams(&mut self) {
        let now = self.now();
        let every = self.setup.config.heartbeat;
        for c in 0..self.live.len() {
            let c = self.live[c];
            let conn = &self.conns[c as usize];
            let Reading::Stream(stream) = &conn.reading else {
                continue;
            };
            let silence = now.since(stream.last_at);
            let is_steady = stream.is_steady && stream.blocks > 2 && conn.is_open_stream();
            if is_steady && silence > every + every / 32 + 2 * SLACK {
                self.fail("H2", || format!("connection {c} is silent for {silence:?}"));
            }
        }
    }
}

/// How the head of a stream begins (W§3.1).
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\n\
    X-Content-Type-Options: nosniff\r\nDate: ";
