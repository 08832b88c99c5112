//! A machine with many streams, and the sinks that pull from it.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use sse_state::{
    Answer, Config, Control, Epoch, Event, Frame, Name, Published, Pumped, Report, Room, Run, Sink,
    Socket, SseState, Start, Subscribe, SubscriberId, Time, TopicOptions, Via,
};

use crate::random::Random;

/// A machine whose streams all follow one topic.
pub(super) struct Crowd {
    pub(super) state: SseState,
    pub(super) now: Time,
    pub(super) ids: Vec<SubscriberId>,
}

/// In which order the members of the topic stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// As their slots in memory.
    Slots,
    /// Shuffled, as after a long life.
    Random,
}

impl Crowd {
    /// Streams that have been sent their first bytes and are idle.
    pub(super) fn new(streams: u32, order: Order) -> Result<Crowd, String> {
        Crowd::with(streams, order, TopicOptions::default())
    }

    /// The same, of a topic that was declared.
    pub(super) fn with(streams: u32, order: Order, topic: TopicOptions) -> Result<Crowd, String> {
        let config = Config {
            subscribers: streams + SPARE,
            openings: streams + SPARE,
            hash_key: [1, 2],
            ..Config::new(Epoch(1))
        };
        let mut state = SseState::new(config).map_err(|error| error.to_string())?;
        let name = Name::new(TOPIC).map_err(|error| error.to_string())?;
        let declared = state.declare(Time::ZERO, &name, Arc::new(topic));
        declared.map_err(|error| error.to_string())?;
        let mut crowd = Crowd {
            state,
            now: Time::ZERO,
            ids: Vec::with_capacity(streams as usize),
        };
        for _ in 0..streams {
            let id = crowd.state.accept(crowd.now);
            crowd.ids.push(id.map_err(|error| error.to_string())?);
        }
        if order == Order::Random {
            Random::new(7).shuffle(&mut crowd.ids);
        }
        for at in 0..crowd.ids.len() {
            crowd.subscribe(crowd.ids[at], Start::Now)?;
            if at % 1000 == 999 {
                crowd.drain(&mut Taken::default());
            }
        }
        crowd.drain(&mut Taken::default());
        Ok(crowd)
    }

    /// Opens the stream of a connection.
    pub(super) fn subscribe(&mut self, id: SubscriberId, start: Start) -> Result<(), String> {
        let name = Name::new(TOPIC).map_err(|error| error.to_string())?;
        let subscribe = Subscribe {
            head: Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n"),
            start,
            ..Subscribe::new(Via::Connection(id), name)
        };
        let opened = self.state.subscribe(self.now, &subscribe);
        opened.map(drop).map_err(|error| error.to_string())
    }

    /// Publishes one frame to everybody.
    pub(super) fn publish(&mut self, frame: Frame) -> Result<Published, String> {
        let published = self.state.publish(self.now, TOPIC, frame, Room::Evict);
        published.map_err(|error| error.to_string())
    }

    /// Pumps until nothing is left.
    pub(super) fn drain(&mut self, sink: &mut impl Sink) {
        while self.state.pump(BATCH, sink) == Pumped::More {}
    }

    /// As a driver does it: takes a batch in flight, then reports it, until nothing is left.
    pub(super) fn drain_by_reports(&mut self, sink: &mut Flying) {
        loop {
            let pumped = self.state.pump(BATCH, sink);
            self.state.report(self.now, &sink.reports);
            sink.writes += sink.reports.len() as u64;
            sink.reports.clear();
            if pumped == Pumped::Idle {
                return;
            }
        }
    }
}

/// A frame of 128 bytes of data.
pub(super) fn frame() -> Result<Frame, String> {
    const DATA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                        0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    Event::new(black_box(DATA))
        .encode()
        .map_err(|error| error.to_string())
}

/// Takes every write whole, at once.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) writes: u64,
    pub(super) bytes: u64,
}

impl Sink for Taken {
    fn write(&mut self, _: SubscriberId, run: Run<'_>) -> Answer {
        self.writes += 1;
        self.bytes += run.len() as u64;
        Answer::All
    }

    fn control(&mut self, _: Control) {}
}

/// Takes every write in flight, and keeps what is to be reported.
pub(super) struct Flying {
    pub(super) writes: u64,
    reports: Vec<Report>,
    last: Bytes,
}

impl Flying {
    pub(super) fn new() -> Flying {
        Flying {
            writes: 0,
            reports: Vec::with_capacity(BATCH as usize),
            last: Bytes::new(),
        }
    }
}

impl Sink for Flying {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        // A reference per distinct run, as a driver keeps it.
        if self.last.as_ptr() != run.as_ptr() || self.last.len() != run.len() {
            self.last = run.to_bytes();
        }
        self.reports.push(Report {
            id,
            bytes: run.len() as u32,
            socket: Socket::Ready,
        });
        Answer::InFlight
    }

    fn control(&mut self, _: Control) {}
}

/// The topic that everybody follows.
pub(super) const TOPIC: &str = "/bench";
/// Visits of one pump, as the hub has them.
const BATCH: u32 = 256;
/// Room for streams that come and go.
const SPARE: u32 = 16;
