//! A machine with sockets that are just buffers, on virtual time.

#![allow(dead_code)] // each test binary uses a part

pub(crate) mod bounds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sse_state::*;

/// What a socket does with the next run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Reader {
    /// Accepts everything.
    Fast,
    /// Accepts so many bytes in all, then blocks.
    Bytes(u32),
    /// Is handed everything, and reports nothing.
    InFlight,
}

pub(crate) struct Bench {
    pub(crate) state: SseState,
    pub(crate) now: Time,
    pub(crate) bytes: BTreeMap<SubscriberId, Vec<u8>>,
    pub(crate) readers: BTreeMap<SubscriberId, Reader>,
    pub(crate) controls: Vec<Control>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(Config::new(Epoch(1)))
    }

    pub(crate) fn with(config: Config) -> Bench {
        Bench {
            state: SseState::new(config).unwrap(),
            now: Time::ZERO,
            bytes: BTreeMap::new(),
            readers: BTreeMap::new(),
            controls: Vec::new(),
        }
    }

    pub(crate) fn declare(&mut self, topic: &str, options: TopicOptions) {
        self.state
            .declare(self.now, &name(topic), Arc::new(options))
            .unwrap();
    }

    pub(crate) fn accept(&mut self) -> SubscriberId {
        self.state.accept(self.now).unwrap()
    }

    /// A stream with neither head nor `retry:` block.
    pub(crate) fn open(&mut self, topics: &[&str], start: Start) -> SubscriberId {
        self.open_with(topics, |subscribe| subscribe.start = start)
    }

    pub(crate) fn open_with(
        &mut self,
        topics: &[&str],
        change: impl FnOnce(&mut Subscribe),
    ) -> SubscriberId {
        let id = self.accept();
        let mut subscribe = Subscribe::new(Via::Connection(id), name(topics[0]));
        subscribe.retry = false;
        subscribe.topics = topics
            .iter()
            .map(|topic| Join {
                topic: name(topic),
                options: None,
            })
            .collect();
        change(&mut subscribe);
        self.state.subscribe(self.now, &subscribe).unwrap()
    }

    pub(crate) fn publish(&mut self, topic: &str, data: &str) -> Published {
        self.state
            .publish(self.now, topic, frame(data), Room::Evict)
            .unwrap()
    }

    /// Pumps until idle.
    pub(crate) fn pump(&mut self) {
        let Bench {
            state,
            bytes,
            readers,
            controls,
            ..
        } = self;
        let mut sockets = Sockets {
            bytes,
            readers,
            controls,
        };
        for _ in 0..10_000 {
            if state.pump(64, &mut sockets) == Pumped::Idle {
                state.check_invariants();
                return;
            }
            state.check_invariants();
        }
        panic!("it never becomes idle");
    }

    /// Time passes; the machine is told as its `poll_timeout` wants it.
    pub(crate) fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        loop {
            self.pump();
            match self.state.poll_timeout() {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => break,
            }
            self.state.handle_timeout(self.now);
        }
        self.now = end;
        self.state.handle_timeout(end);
        self.pump();
    }

    /// The socket takes so many more bytes.
    pub(crate) fn writable(&mut self, id: SubscriberId, reader: Reader) {
        self.readers.insert(id, reader);
        self.state.writable(self.now, id).unwrap();
        self.pump();
    }

    /// What a stream has read since the last look.
    pub(crate) fn read(&mut self, id: SubscriberId) -> String {
        let bytes = self.bytes.remove(&id).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    /// The controls since the last look.
    pub(crate) fn controls(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.controls)
    }

    /// The starts, stops and their reasons since the last look.
    pub(crate) fn lives(&mut self) -> Vec<String> {
        let lives = self.controls();
        let lives = lives.iter().filter_map(|control| match control {
            Control::StartSource { topic, token } => {
                Some(format!("start {topic} {}", token.start()))
            }
            Control::StopSource {
                topic,
                token,
                reason,
            } => Some(format!("stop {topic} {} {reason:?}", token.start())),
            _ => None,
        });
        lives.collect()
    }

    /// The closes since the last look.
    pub(crate) fn closes(&mut self) -> Vec<(SubscriberId, CloseReason, Ending)> {
        let controls = self.controls();
        let closes = controls.iter().filter_map(|control| match *control {
            Control::Close { id, reason, ending } => Some((id, reason, ending)),
            _ => None,
        });
        closes.collect()
    }

    /// The token and number of the last poll asked for.
    pub(crate) fn poll(&self) -> (SourceToken, u64) {
        let polls = self.controls.iter().rev();
        polls
            .filter_map(|control| match *control {
                Control::Poll { token, number, .. } => Some((token, number)),
                _ => None,
            })
            .next()
            .expect("a poll was asked for")
    }
}

struct Sockets<'a> {
    bytes: &'a mut BTreeMap<SubscriberId, Vec<u8>>,
    readers: &'a mut BTreeMap<SubscriberId, Reader>,
    controls: &'a mut Vec<Control>,
}

impl Sink for Sockets<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let reader = self.readers.entry(id).or_insert(Reader::Fast);
        let size = run.len() as u32;
        let taken = match reader {
            Reader::Fast => size,
            Reader::InFlight => return Answer::InFlight,
            Reader::Bytes(left) => {
                let taken = size.min(*left);
                *left -= taken;
                taken
            }
        };
        let bytes = self.bytes.entry(id).or_default();
        bytes.extend_from_slice(&run[..taken as usize]);
        if taken == size {
            Answer::All
        } else {
            Answer::Blocked(taken)
        }
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn frame(data: &str) -> Frame {
    Event::new(data).encode().unwrap()
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
