//! A machine whose streams are read into memory, with a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sse_state::{
    Answer, Config, Control, Epoch, Error, Event, Frame, Join, Name, Published, Pumped, Room, Run,
    Sink, SseState, Start, Subscribe, SubscriberId, Time, TopicOptions, Via,
};

/// Written `16i` in ids.
pub(crate) const EPOCH: Epoch = Epoch(1234);

/// A machine, its clock, and its sockets.
pub(crate) struct World {
    pub(crate) state: SseState,
    pub(crate) now: Time,
    pub(crate) wires: Wires,
}

/// What has been written, to whom.
#[derive(Default)]
pub(crate) struct Wires {
    bytes: BTreeMap<SubscriberId, Vec<u8>>,
    /// Who takes no more than so many bytes.
    stuck: BTreeMap<SubscriberId, usize>,
    was_blocked: BTreeSet<SubscriberId>,
    pub(crate) controls: Vec<Control>,
}

impl World {
    /// With the defaults of every bound.
    pub(crate) fn new() -> World {
        World::with(Config::new(EPOCH))
    }

    pub(crate) fn with(config: Config) -> World {
        World {
            state: SseState::new(config).unwrap(),
            now: Time::ZERO,
            wires: Wires::default(),
        }
    }

    /// Declares a topic.
    pub(crate) fn declare(&mut self, topic: &str, options: TopicOptions) {
        let topic = Name::new(topic).unwrap();
        self.state
            .declare(self.now, &topic, Arc::new(options))
            .unwrap();
    }

    /// Opens a stream of topics as they stand, without a `retry:` block, and pumps.
    pub(crate) fn open(&mut self, topics: &[&str], start: Start) -> SubscriberId {
        self.open_as(|subscribe| {
            subscribe.topics = topics.iter().map(|topic| join(topic)).collect();
            subscribe.start = start;
        })
        .unwrap()
    }

    /// Opens a stream, and pumps.
    pub(crate) fn open_as(
        &mut self,
        change: impl FnOnce(&mut Subscribe),
    ) -> Result<SubscriberId, Error> {
        let id = self.state.accept(self.now).unwrap();
        let mut subscribe = Subscribe::new(Via::Connection(id), Name::new("unnamed").unwrap());
        subscribe.retry = false;
        change(&mut subscribe);
        self.state.subscribe(self.now, &subscribe)?;
        self.pump();
        Ok(id)
    }

    /// Resumes after this id.
    pub(crate) fn resume(&mut self, topics: &[&str], id: &str) -> SubscriberId {
        self.open(topics, Start::After(id.as_bytes().to_vec().into()))
    }

    /// Publishes this data, and pumps.
    pub(crate) fn publish(&mut self, topic: &str, data: &str) -> Published {
        let published = self
            .state
            .publish(self.now, topic, frame(data), Room::Evict)
            .unwrap();
        self.pump();
        published
    }

    /// From now on this stream takes so many bytes more, and then nothing.
    pub(crate) fn stick(&mut self, id: SubscriberId, after: usize) {
        self.wires.stuck.insert(id, after);
    }

    /// It takes everything again.
    pub(crate) fn unstick(&mut self, id: SubscriberId) {
        self.wires.stuck.remove(&id);
        if self.wires.was_blocked.remove(&id) && self.state.is_live(id) {
            self.state.writable(self.now, id).unwrap();
        }
        self.pump();
    }

    pub(crate) fn pump(&mut self) {
        while self.state.pump(1_000, &mut self.wires) == Pumped::More {}
    }

    /// Lets time pass, in steps of the machine's own deadlines.
    pub(crate) fn pass(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.state.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.state.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
        self.state.handle_timeout(self.now);
        self.pump();
    }

    /// The peer goes.
    pub(crate) fn leave(&mut self, id: SubscriberId) {
        self.state.peer_gone(self.now, id).unwrap();
        self.pump();
    }

    /// Everything that was written to this stream since it was last taken.
    pub(crate) fn take(&mut self, id: SubscriberId) -> Vec<u8> {
        self.wires.bytes.remove(&id).unwrap_or_default()
    }

    /// As [`take`](World::take), as text.
    pub(crate) fn text(&mut self, id: SubscriberId) -> String {
        String::from_utf8(self.take(id)).unwrap()
    }
}

impl Sink for Wires {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let wire = self.bytes.entry(id).or_default();
        match self.stuck.get_mut(&id) {
            Some(room) if *room < run.len() => {
                let taken = std::mem::take(room);
                wire.extend_from_slice(&run[..taken]);
                self.was_blocked.insert(id);
                Answer::Blocked(taken as u32)
            }
            room => {
                if let Some(room) = room {
                    *room -= run.len();
                }
                wire.extend_from_slice(&run);
                Answer::All
            }
        }
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

/// A topic as it stands, or with the defaults.
pub(crate) fn join(topic: &str) -> Join {
    Join {
        topic: Name::new(topic).unwrap(),
        options: None,
    }
}

/// A frame of this data.
pub(crate) fn frame(data: &str) -> Frame {
    Event::new(data).encode().unwrap()
}

/// A frame of this data with a name.
pub(crate) fn named(name: &str, data: &str) -> Frame {
    Event::new(data).name(name).encode().unwrap()
}
