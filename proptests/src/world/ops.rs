//! Operations of a scenario, executed.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use sse_state::{
    CloseHow, Engine, Event as Payload, EventId, Frame, Heartbeat, Input, Join, Name, PollOutcome,
    Reply, Report, Room, Socket, SourceToken, Start, Subscribe, SubscriberId, TopicOptions, Via,
};

use super::{Peer, Phase, World};
use crate::scenario::{
    From, HowMuch, Number, Op, Options, Outcome, Pace, SocketKind, Stream, Value, Which,
};

impl<E: Engine> World<E> {
    /// Does one operation; nothing if nothing fits it.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Declare { topic } => self.declare(self.topic(*topic)),
            Op::Accept => self.tell(Input::Accept),
            Op::HeadHeld { conn, bytes } => self.with_conn(*conn, waits, |id| Input::HeadHeld {
                id,
                bytes: u32::from(*bytes),
            }),
            Op::HeadDone { conn } => self.with_conn(*conn, waits, |id| Input::HeadDone { id }),
            Op::Body { conn, bytes } => self.with_conn(*conn, waits, |id| Input::Body {
                id,
                bytes: u32::from(*bytes),
            }),
            Op::Answer { conn, bytes } => {
                let bytes = Bytes::from(vec![b'a'; usize::from(*bytes)]);
                self.with_conn(*conn, decides, |id| Input::Answer { id, bytes });
            }
            Op::Subscribe { conn, stream } => {
                if let Some(id) = self.nth(*conn, decides) {
                    self.subscribe(Via::Connection(id), stream);
                }
            }
            Op::Open { mounted, stream } => self.open(*mounted, stream),
            Op::OpenTooLate { stream } => {
                if let Ok(Reply::Id(id)) = self.call(Input::Accept)
                    && self.call(Input::HeadDone { id }).is_ok()
                {
                    let key = key_name(stream.key.unwrap_or_default());
                    self.tell(Input::CloseKey { key });
                    self.subscribe(Via::Connection(id), stream);
                }
            }
            Op::Publish { topic, value, room } => {
                let topic = self.name(self.topic(*topic));
                let frame = self.frame(*value);
                self.tell(Input::Publish {
                    topic: topic.as_str().to_owned().into(),
                    frame,
                    room: *room,
                });
            }
            Op::Feed { .. } | Op::PollResult { .. } | Op::SourceEnded { .. } => self.source(op),
            Op::StopSource { topic } => {
                let topic = self.name(self.topic(*topic));
                self.tell(Input::StopSource {
                    topic: topic.as_str().to_owned().into(),
                });
            }
            Op::Close { conn, how } => {
                self.with_conn(*conn, lives, |id| Input::Close { id, how: *how });
            }
            Op::CloseKey { key } => self.tell(Input::CloseKey {
                key: key_name(*key),
            }),
            Op::PeerGone { conn } => self.with_conn(*conn, lives, |id| Input::PeerGone { id }),
            Op::Report { first, count, how } => self.report(*first, *count, *how),
            Op::ReportAll => {
                while self
                    .peers
                    .iter()
                    .any(|peer| peer.flight.is_some() && lives(peer))
                {
                    self.report(0, u8::MAX, HowMuch::All);
                    self.pump_all(1000);
                }
            }
            Op::Read { conn, bytes } => self.read(*conn, u64::from(*bytes)),
            Op::Writable { conn } => self.with_conn(*conn, lives, |id| Input::Writable { id }),
            Op::Pull { conn } => self.with_conn(*conn, pulls, |id| Input::Pull { id }),
            Op::PullAll { conn } => {
                if let Some(id) = self.nth(*conn, pulls) {
                    let pull = |world: &mut Self| {
                        let reply = world.call(Input::Pull { id });
                        matches!(reply, Ok(Reply::Pulled(sse_state::Pulled::Run(_))))
                    };
                    while pull(self) {}
                }
            }
            Op::Seconds { seconds } => (0..*seconds).for_each(|_| self.second()),
            Op::Elapse { nanos } => self.elapse(*nanos),
            Op::ToDeadline { delta } => self.pass_to_deadline(*delta),
            Op::Back { nanos } => self.back = Some(*nanos),
            Op::Timeout => self.tell(Input::Timeout),
            Op::Pump { budget } => {
                let _ = self.pump(u32::from(*budget));
            }
            Op::PumpAll { budget } => {
                self.pump_all(u32::from(*budget));
            }
            Op::PollAction { count } => {
                let _ = (0..*count).all(|_| self.poll_action());
            }
            Op::Shutdown { grace, cause } => self.tell(Input::Shutdown {
                grace: grace.map(|millis| Duration::from_millis(u64::from(millis))),
                cause: *cause,
            }),
            Op::Stale { call, which } => self.stale(*call, *which),
        }
    }

    /// Does two publishes in the other order, each with the event that it would have had.
    pub fn swap(&mut self, first: &Op, second: &Op) {
        let tags = self.tags;
        self.tags = tags + 1;
        self.apply(second);
        self.tags = tags;
        self.apply(first);
        self.tags = tags + 2;
    }

    /// Faults end: everything is reported and read, until nothing changes any more.
    pub fn heal(&mut self) {
        for _ in 0..200 {
            let before = self.trace.len();
            self.pump_all(1000);
            let pumped = self
                .trace
                .last()
                .is_some_and(|step| !step.events().is_empty());
            let mut moved = pumped;
            for place in 0..self.peers.len() {
                let peer = &mut self.peers[place];
                if peer.phase == Phase::Dead {
                    continue;
                }
                let id = peer.id;
                if peer.flight.is_some() {
                    self.report_one(id, HowMuch::All);
                    moved = true;
                } else if peer.mounted {
                    moved |= matches!(
                        self.call(Input::Pull { id }),
                        Ok(Reply::Pulled(sse_state::Pulled::Run(_)))
                    );
                } else if peer.blocked || peer.room < HEALED {
                    peer.room = u64::MAX / 2;
                    if peer.blocked {
                        self.tell(Input::Writable { id });
                        moved = true;
                    }
                }
            }
            if !moved || self.trace.len() == before {
                break;
            }
        }
        self.pump_all(1000);
    }

    /// One second, a timeout, and a full pump.
    pub fn second(&mut self) {
        self.clock += 1_000_000_000;
        self.tell(Input::Timeout);
        self.pump_all(1000);
    }

    pub(super) fn declare(&mut self, place: usize) {
        let options = Arc::new(self.setup.topics[place].options.clone());
        self.tell(Input::Declare {
            topic: self.name(place),
            options,
        });
    }

    fn tell(&mut self, input: Input<'static>) {
        // The trace holds the answer.
        let _ = self.call(input);
    }

    fn topic(&self, number: u8) -> usize {
        usize::from(number) % self.setup.topics.len()
    }

    /// The k-th connection that fits, modulo.
    fn nth(&self, number: u8, fits: fn(&Peer) -> bool) -> Option<SubscriberId> {
        let fitting: Vec<SubscriberId> = self
            .peers
            .iter()
            .filter(|peer| fits(peer))
            .map(|peer| peer.id)
            .collect();
        (!fitting.is_empty()).then(|| fitting[usize::from(number) % fitting.len()])
    }

    fn with_conn(
        &mut self,
        number: u8,
        fits: fn(&Peer) -> bool,
        input: impl FnOnce(SubscriberId) -> Input<'static>,
    ) {
        if let Some(id) = self.nth(number, fits) {
            self.tell(input(id));
        }
    }

    fn open(&mut self, mounted: bool, stream: &Stream) {
        if mounted {
            let asked = self.engine.asked();
            self.subscribe(Via::Mounted { asked }, stream);
        } else if let Ok(Reply::Id(id)) = self.call(Input::Accept)
            && self.call(Input::HeadDone { id }).is_ok()
        {
            self.subscribe(Via::Connection(id), stream);
        }
    }

    fn subscribe(&mut self, via: Via, stream: &Stream) {
        let mounted = matches!(via, Via::Mounted { .. });
        let head = if mounted { 0 } else { usize::from(stream.head) };
        let subscribe = Subscribe {
            via,
            topics: self.joins(stream),
            start: self.start(stream.start),
            head: Bytes::from(vec![b'h'; head]),
            heartbeat: match stream.heartbeat {
                0 => Heartbeat::Default,
                1 => Heartbeat::Comment(Duration::from_millis(560)),
                2 => Heartbeat::Event(Duration::from_millis(560)),
                _ => Heartbeat::Off,
            },
            retry: stream.retry,
            // In calm scenarios the last eighth lies between two seconds.
            lifetime: stream
                .lifetime
                .map(|steps| Duration::from_millis([3600, 3600, 1300][usize::from(steps)])),
            // Zero lies in the past: refused.
            expires: stream
                .expires
                .map(|steps| self.clock() + Duration::from_millis(1500 * u64::from(steps))),
            key: stream.key.map(key_name),
            end_when_finished: stream.end_when_finished,
        };
        let result = self.call(Input::Subscribe(Box::new(subscribe)));
        let id = match (via, result) {
            (Via::Connection(id), Ok(_)) => id,
            (Via::Mounted { .. }, Ok(Reply::Id(id))) => {
                self.peers.push(Peer::new(id));
                id
            }
            _ => return,
        };
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.phase = Phase::Open;
            peer.mounted = mounted;
            peer.socket = stream.socket;
            peer.head = head;
            peer.key = stream.key;
            if let SocketKind::Slow { room } = stream.socket {
                peer.room = u64::from(room);
            }
        }
    }

    fn joins(&self, stream: &Stream) -> Vec<Join> {
        let count = self.setup.topics.len();
        let mut places: Vec<usize> = (0..count)
            .filter(|&place| stream.topics & 1 << place != 0)
            .collect();
        if places.is_empty() {
            places.push(usize::from(stream.topics) % count);
        }
        places
            .into_iter()
            .map(|place| Join {
                topic: self.name(place),
                options: self.options(place, stream.options),
            })
            .collect()
    }

    /// A topic that was not declared is always made with the scenario's options, except where a
    /// conflict is asked for: the rules would not know its options else.
    fn options(&self, place: usize, options: Options) -> Option<Arc<TopicOptions>> {
        let own = &self.setup.topics[place].options;
        let stands = self.looks.interests[place].is_some();
        match options {
            Options::None if stands => None,
            Options::Other if stands => Some(Arc::new(TopicOptions {
                log_frames: own.log_frames + 1,
                ..own.clone()
            })),
            _ => Some(Arc::new(own.clone())),
        }
    }

    fn start(&self, from: From) -> Start {
        match from {
            From::Now => Start::Now,
            From::Newest => Start::Newest,
            From::Oldest => Start::Oldest,
            From::Seen(number) => match self.seen(usize::from(number)) {
                Some(id) => Start::After(Bytes::from(id)),
                None => Start::Now,
            },
            From::Forged(kind) => Start::After(Bytes::from(self.forged(kind))),
        }
    }

    /// An id that some stream was sent: a stream, and how far back. What order streams are served in
    /// makes no difference; of gaps only in wild scenarios, since which id they carry may differ.
    fn seen(&self, number: usize) -> Option<String> {
        let ids = |peer: &Peer| {
            let gaps = if self.calm() { 0 } else { peer.gap_ids.len() };
            [&peer.gap_ids[..gaps], &peer.ids[..]].concat()
        };
        let mut all: Vec<Vec<String>> = self.peers.iter().map(ids).collect();
        all.retain(|ids| !ids.is_empty());
        let ids = all.get(number % all.len().max(1))?;
        let back = number / all.len() % ids.len();
        Some(ids[ids.len() - 1 - back].clone())
    }

    fn forged(&self, kind: u8) -> Vec<u8> {
        let epoch = self.setup.config.epoch;
        let other = sse_state::Epoch(epoch.0 ^ 1);
        let id = |epoch, seq| EventId { epoch, seq }.to_string().into_bytes();
        match kind {
            0 => b"no id at all".to_vec(),
            1 => Vec::new(),
            2 => id(other, 1),
            3 => id(other, u64::MAX),
            4 => id(epoch, u64::MAX),
            _ => id(epoch, 0),
        }
    }

    fn frame(&mut self, value: Value) -> Frame {
        self.tags += 1;
        encode(self.tags, value)
    }

    fn source(&mut self, op: &Op) {
        let (Op::Feed { source, .. }
        | Op::PollResult { source, .. }
        | Op::SourceEnded { source, .. }) = op
        else {
            return;
        };
        let Some((token, polls)) = self.token(*source) else {
            return;
        };
        match op {
            Op::Feed { value, room, .. } => {
                let frame = self.frame(*value);
                self.tell(Input::Feed {
                    token,
                    frame,
                    room: *room,
                });
            }
            Op::PollResult {
                number,
                outcome,
                next,
                ..
            } => {
                let outcome = match outcome {
                    Outcome::Value(value) => PollOutcome::Frame(self.frame(*value)),
                    Outcome::Unchanged => PollOutcome::Unchanged,
                    Outcome::Failed => PollOutcome::Failed(None),
                    Outcome::FailedWith(value) => PollOutcome::Failed(Some(self.frame(*value))),
                };
                self.tell(Input::PollResult {
                    token,
                    number: match number {
                        Number::Latest => polls,
                        Number::Earlier => polls.saturating_sub(1),
                        Number::Ahead => polls + 1,
                    },
                    outcome,
                    next: *next,
                });
            }
            Op::SourceEnded { reason, .. } => self.tell(Input::SourceEnded {
                token,
                reason: *reason,
            }),
            _ => {}
        }
    }

    fn token(&self, which: Which) -> Option<(SourceToken, u64)> {
        let (number, running) = match which {
            Which::Running(number) => (number, true),
            Which::Stopped(number) => (number, false),
        };
        let mut fitting: Vec<_> = self
            .sources
            .iter()
            .filter(|source| source.running == running)
            .collect();
        // In what order sources of several topics start makes no difference.
        fitting.sort_by(|a, b| a.topic.cmp(&b.topic));
        let source = fitting.get(usize::from(number) % fitting.len().max(1))?;
        Some((source.token, source.polls))
    }

    fn report(&mut self, first: u8, count: u8, how: HowMuch) {
        let fitting: Vec<usize> = (0..self.peers.len())
            .filter(|&place| self.peers[place].flight.is_some() && lives(&self.peers[place]))
            .collect();
        let count = usize::from(count).min(fitting.len());
        let batch: Vec<Report> = (0..count)
            .map(|k| &self.peers[fitting[(usize::from(first) + k) % fitting.len()]])
            .map(|peer| report_of(peer, how))
            .collect();
        if !batch.is_empty() {
            self.tell(Input::Report(batch.into()));
        }
    }

    fn report_one(&mut self, id: SubscriberId, how: HowMuch) {
        if let Some(peer) = self.peers.iter().find(|peer| peer.id == id) {
            let report = report_of(peer, how);
            self.tell(Input::Report(vec![report].into()));
        }
    }

    /// A reader makes room; if its socket was blocked, it says so now.
    fn read(&mut self, conn: u8, bytes: u64) {
        fn reads(peer: &Peer) -> bool {
            lives(peer) && !peer.mounted && (peer.blocked || peer.socket != SocketKind::Fast)
        }
        let Some(id) = self.nth(conn, reads) else {
            return;
        };
        let mut blocked = false;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.room = peer.room.saturating_add(bytes);
            blocked = peer.blocked || peer.flight.is_some();
        }
        if blocked {
            self.tell(Input::Writable { id });
        }
    }

    fn pass_to_deadline(&mut self, delta: i8) {
        if let Some(deadline) = self.looks.timeout {
            let target = deadline
                .as_nanos()
                .saturating_add_signed(i64::from(delta))
                .max(self.clock);
            self.clock = target;
        }
        self.tell(Input::Timeout);
    }

    /// A call with something dead, or never alive.
    fn stale(&mut self, call: u8, which: u8) {
        let dead: Vec<SubscriberId> = self
            .peers
            .iter()
            .filter(|peer| peer.phase == Phase::Dead)
            .map(|peer| peer.id)
            .collect();
        let never = SubscriberId::from_u64(u64::from(which) << 33 | 0x7fff_0000);
        let id = match dead.len() {
            0 => never,
            n if usize::from(which) % (n + 1) < n => dead[usize::from(which) % (n + 1)],
            _ => never,
        };
        let token = SourceToken::from_parts(u32::from(which), 1 << 40);
        let input = match call {
            0 => Input::HeadDone { id },
            1 => Input::HeadHeld { id, bytes: 1 },
            2 => Input::Body { id, bytes: 1 },
            3 => Input::Answer {
                id,
                bytes: Bytes::from_static(b"x"),
            },
            4 => {
                let topic = self.name(0);
                Input::Subscribe(Box::new(Subscribe::new(Via::Connection(id), topic)))
            }
            5 => Input::Close {
                id,
                how: CloseHow::Cut,
            },
            6 => Input::PeerGone { id },
            7 => Input::Report(
                vec![Report {
                    id,
                    bytes: 5,
                    socket: Socket::Ready,
                }]
                .into(),
            ),
            8 => Input::Writable { id },
            9 => Input::Pull { id },
            10 => Input::PollResult {
                token,
                number: 1,
                outcome: PollOutcome::Unchanged,
                next: sse_state::Next::GoOn,
            },
            _ => {
                let frame = self.frame(Value::Unique { pad: 0 });
                Input::Feed {
                    token,
                    frame,
                    room: Room::Evict,
                }
            }
        };
        self.tell(input);
    }

    /// The pace of the scenario.
    pub fn pace(&self) -> Pace {
        if self.calm() { Pace::Calm } else { Pace::Wild }
    }
}

/// The event with this tag: the tag makes it known again wherever it comes out.
fn encode(tag: u64, value: Value) -> Frame {
    let payload = |data: &str| {
        let name = ["", "tick", "message"][tag as usize % 3];
        Payload::new(data).name(name).encode()
    };
    match value {
        Value::Unique { pad } => {
            let breaks = ["\n", "\r\n", "\r", ""][tag as usize % 4];
            payload(&format!("#{tag}{breaks}{}", "p".repeat(usize::from(pad))))
        }
        Value::Again { which } => Payload::new(&format!("again {which}"))
            .retry(Duration::from_millis(tag))
            .encode(),
        Value::OwnId => Payload::new(&format!("#{tag}"))
            .id(&format!("own{tag}"))
            .encode(),
    }
    .expect("events of scenarios can be encoded")
}

fn report_of(peer: &Peer, how: HowMuch) -> Report {
    let length = peer.flight.as_ref().map_or(0, Bytes::len) as u32;
    let (bytes, socket) = match how {
        HowMuch::All => (length, Socket::Ready),
        HowMuch::AllBlocked => (length, Socket::Blocked),
        HowMuch::Some(most) => (length.min(u32::from(most)), Socket::Blocked),
        HowMuch::SomeReady(most) => (length.min(u32::from(most)), Socket::Ready),
        HowMuch::Gone => (length / 2, Socket::Gone),
    };
    Report {
        id: peer.id,
        bytes,
        socket,
    }
}

fn key_name(key: u8) -> Name {
    Name::new(["alice", "bob"][usize::from(key) % 2]).expect("keys of scenarios are names")
}

fn lives(peer: &Peer) -> bool {
    peer.phase != Phase::Dead
}

fn waits(peer: &Peer) -> bool {
    matches!(peer.phase, Phase::Opening | Phase::Deciding)
}

fn decides(peer: &Peer) -> bool {
    peer.phase == Phase::Deciding
}

fn pulls(peer: &Peer) -> bool {
    peer.mounted && lives(peer)
}

/// More room than anything pending needs.
const HEALED: u64 = 1 << 40;
