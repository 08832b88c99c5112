//! A machine and what its driver knows: one node of the graph, and one step from it.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use sse_state::{
    Config, Engine, Error, EventId, Input, Published, Pulled, Pumped, Reply, Room, SourceToken,
    SseState, SubscriberId, Time,
};

use super::configuration::{Configuration, Hands, frame};
use super::hand::Hand;
use super::ops::{self, Lent, Op, Take};
use super::reach::Reached;

/// An engine that can be explored from inside.
pub trait Explored: Engine + Clone {
    /// How many frames the last of all members is behind its topic.
    fn greatest_lag(&self) -> u64;
    /// How many frames all members together are behind their topics.
    fn pending(&self) -> u64;
    /// Panics if it is broken inside.
    fn check(&self);
}

impl Explored for SseState {
    fn greatest_lag(&self) -> u64 {
        SseState::greatest_lag(self)
    }

    fn pending(&self) -> u64 {
        SseState::pending(self)
    }

    fn check(&self) {
        self.check_invariants();
    }
}

/// A node.
#[derive(Clone)]
pub struct World<E> {
    /// The machine.
    pub engine: E,
    /// What its driver knows.
    pub env: Env,
}

/// What a driver knows. All of it but ids and tokens follows from what decides the machine's future.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// Connections that live, by slot.
    pub conns: Vec<Conn>,
    /// By topic.
    pub sources: Vec<Source>,
    /// The id of the newest frame with one.
    pub newest: Option<EventId>,
    /// A shutdown has begun.
    pub shutdown: bool,
    /// The start of the last source.
    pub starts: u64,
    /// Frames that were begun in this step.
    pub frames: u64,
    roles: u32,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Its id.
    pub id: SubscriberId,
    /// The same for the same connection in two runs.
    pub role: u32,
    /// It was subscribed.
    pub stream: bool,
    /// What it has in flight.
    pub flight: Option<Lent>,
    /// It takes nothing until it is writable.
    pub blocked: bool,
    /// What of a block was begun and is not finished.
    pub owed: Bytes,
    /// The run that is in flight.
    pub(super) run: Bytes,
    /// It became writable while in flight.
    pub early: bool,
    /// It was woken and has not pulled.
    pub woken: bool,
}

/// The source of a topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source {
    /// While it runs.
    pub token: Option<SourceToken>,
    /// Polls asked for.
    pub polls: u64,
}

/// What a step showed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Seen {
    Replied(String),
    Wrote { role: u32, bytes: Bytes, take: Take },
    Told { role: Option<u32>, what: String },
}

/// What is told of a step.
#[derive(Default)]
pub struct Notes {
    /// Which kinds of things were reached.
    pub reached: Reached,
    /// What was seen, if it is to be kept.
    pub seen: Option<Vec<Seen>>,
    /// A write was lent.
    pub wrote: bool,
}

/// What is wrong, by the id of its rule.
pub type Broken = String;

impl<E: Explored> World<E> {
    /// A machine on which nothing has happened but declarations.
    pub fn new(mut engine: E, of: &Configuration) -> World<E> {
        for topic in of.topics.iter().filter(|topic| topic.declared) {
            let (options, topic) = (topic.options.clone(), topic.name.clone());
            let declared = engine.apply(Time::ZERO, Input::Declare { topic, options });
            debug_assert!(declared.is_ok());
        }
        // A history begins with more publishes than any id that is asked for is old.
        let mut newest = None;
        for topic in of.topics.iter().filter(|topic| topic.options.history) {
            for _ in 0..WARMING {
                let publish = Input::Publish {
                    topic: topic.name.as_str().into(),
                    frame: frame(0),
                    room: Room::Evict,
                };
                if let Ok(Reply::Published(published)) = engine.apply(Time::ZERO, publish) {
                    newest = published.id;
                }
            }
        }
        let sources = vec![Source::default(); of.topics.len()];
        let env = Env {
            sources,
            newest,
            ..Env::default()
        };
        World { engine, env }
    }

    /// Does one operation and checks what can be seen of it. `before` is the digest of the node.
    pub fn step(
        &mut self,
        op: Op,
        of: &Configuration,
        before: u64,
        notes: &mut Notes,
    ) -> Result<(), Broken> {
        let due = self.engine.poll_timeout();
        let sums = self.sums();
        notes.wrote = false;
        self.env.frames = 0;
        match op {
            Op::Pump(take) => self.pump(take, of, notes)?,
            Op::Tick => {
                let at = self.engine.now() + of.unit;
                let done = self.engine.apply(at, Input::Timeout);
                note(&done, notes);
                let after = self.engine.poll_timeout();
                if later(due) > later(after) {
                    return Err(format!("T3: time alone moved {due:?} to {after:?}"));
                }
            }
            Op::Open(_) if of.hands != Hands::Mounted && !of.alphabet.heads => {
                // A connection is a stream at once, or never was.
                self.call(Op::Accept, of, before, notes)?;
                let between = self.engine.digest();
                self.call(op, of, between, notes)?;
            }
            _ => self.call(op, of, before, notes)?,
        }
        self.engine.check();
        self.conserved(op, of, sums)
    }

    /// Frames pending, published, and what has become of them: delivered, missed, abandoned.
    fn sums(&self) -> [u64; 5] {
        let stats = self.engine.stats();
        [
            self.engine.pending(),
            stats.published,
            stats.delivered,
            stats.missed,
            stats.abandoned,
        ]
    }

    /// No frame is lost or doubled: what was pending still is, or is counted; and what is counted as
    /// delivered was written.
    fn conserved(&self, op: Op, of: &Configuration, before: [u64; 5]) -> Result<(), Broken> {
        let [was, published, delivered, missed, abandoned] = before;
        let after = self.sums();
        let given = after[2] - delivered;
        // What could not be held in flight is cut, whatever was written of it.
        let cut = of.config.held_bytes < Config::new(of.config.epoch).held_bytes;
        if given != self.env.frames && !(cut && given < self.env.frames) {
            let frames = self.env.frames;
            return Err(format!(
                "D2: {frames} frames were written, {given} are counted"
            ));
        }
        let gone = given + (after[3] - missed) + (after[4] - abandoned);
        let joins = matches!(op, Op::Open(_));
        if !joins && published == after[1] && was != after[0] + gone {
            let is = after[0];
            return Err(format!(
                "B9: {was} were pending, {is} are, {gone} are accounted for"
            ));
        }
        Ok(())
    }

    /// Pumps on until nothing is left.
    ///
    /// # Errors
    /// What is broken; that it never ends is too.
    pub fn drain(&mut self, pump: Op, of: &Configuration, notes: &mut Notes) -> Result<(), Broken> {
        for _ in 0..PATIENCE {
            let now = self.engine.now();
            if self.engine.poll_timeout() != Some(now) {
                return Ok(());
            }
            self.step(pump, of, 0, notes)?;
        }
        Err("X1: there is always work".into())
    }

    /// What tells this node from others: the digest of its machine, and what its driver knows. That
    /// follows from it but for connections that are to be closed, whatever is in flight or blocked.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.digest().hash(&mut hasher);
        for conn in &self.env.conns {
            (
                conn.stream,
                conn.flight,
                conn.blocked,
                conn.early,
                conn.woken,
            )
                .hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Sorts connections by slot, so that one number means the same in equal states.
    pub fn sort(&mut self) {
        self.env.conns.sort_unstable_by_key(|conn| conn.id.slot());
    }

    /// Gives every connection its place as role.
    pub fn name_roles(&mut self) {
        for (place, conn) in self.env.conns.iter_mut().enumerate() {
            conn.role = place as u32;
        }
        self.env.roles = self.env.conns.len() as u32;
    }

    fn call(
        &mut self,
        op: Op,
        of: &Configuration,
        before: u64,
        notes: &mut Notes,
    ) -> Result<(), Broken> {
        let Some(input) = ops::input(op, self, of) else {
            return Ok(());
        };
        let now = self.engine.now();
        let result = self.engine.apply(now, input.clone());
        note(&result, notes);
        match &result {
            // Told to wait it remembers that room is wanted.
            Err(Error::Wait) => {}
            Err(error) => {
                if self.engine.digest() != before {
                    return Err(format!("R5: {error:?} of {op:?} changed something"));
                }
            }
            Ok(reply) => self.after(&input, reply, notes),
        }
        self.bury(&input)
    }

    /// Takes in what an accepted call means.
    fn after(&mut self, input: &Input<'_>, reply: &Reply, notes: &mut Notes) {
        match (input, reply) {
            (Input::Accept, Reply::Id(id)) => self.env.born(*id, false),
            (Input::Subscribe(_), Reply::Id(id)) => match self.env.conn(*id) {
                Some(conn) => conn.stream = true,
                None => self.env.born(*id, true),
            },
            (Input::Answer { id, .. }, _) => {
                if let Some(conn) = self.env.conn(*id) {
                    conn.stream = true;
                }
            }
            // A report for one that is to be closed comes too late.
            (Input::Report(reports), stale) => {
                for report in reports.iter() {
                    if let Some(conn) = self.env.conn(report.id) {
                        let frames = match stale {
                            Reply::Stale(0) => conn.accepts(report.bytes),
                            _ => 0,
                        };
                        conn.flight = None;
                        conn.blocked = report.socket == sse_state::Socket::Blocked && !conn.early;
                        conn.early = false;
                        self.env.frames += frames;
                    }
                }
            }
            (Input::Writable { id }, _) => {
                if let Some(conn) = self.env.conn(*id) {
                    conn.blocked = false;
                    conn.early = conn.flight.is_some();
                }
            }
            (Input::Pull { id }, Reply::Pulled(pulled)) => {
                if let Some(conn) = self.env.conn(*id) {
                    conn.woken = false;
                    let mut frames = 0;
                    if let Pulled::Run(bytes) = pulled {
                        conn.run = bytes.clone();
                        frames = conn.accepts(u32::MAX);
                    }
                    let role = conn.role;
                    if let (Pulled::Run(bytes), Some(seen)) = (pulled, &mut notes.seen) {
                        seen.push(Seen::Wrote {
                            role,
                            bytes: masked(bytes),
                            take: Take::All,
                        });
                    }
                    self.env.frames += frames;
                }
            }
            (Input::Shutdown { .. }, _) => self.env.shutdown = true,
            _ => {}
        }
        if let Reply::Published(published) = reply {
            self.env.newest = published.id.or(self.env.newest);
        }
    }

    /// Forgets who is dead; only a peer that goes dies without a close.
    fn bury(&mut self, input: &Input<'_>) -> Result<(), Broken> {
        let gone = |id: SubscriberId| match input {
            Input::PeerGone { id: peer } => *peer == id,
            Input::Report(reports) => reports
                .iter()
                .any(|report| report.id == id && report.socket == sse_state::Socket::Gone),
            _ => false,
        };
        let engine = &self.engine;
        let lost = (self.env.conns.iter()).find(|conn| !engine.is_live(conn.id) && !gone(conn.id));
        if let Some(lost) = lost {
            return Err(format!("I4: {:?} died without a close", lost.id));
        }
        self.env.conns.retain(|conn| engine.is_live(conn.id));
        Ok(())
    }

    fn pump(&mut self, take: Take, of: &Configuration, notes: &mut Notes) -> Result<(), Broken> {
        let now = self.engine.now();
        let work = self.engine.poll_timeout() == Some(now);
        let mut hand = Hand {
            env: &mut self.env,
            of,
            take,
            notes,
            broken: None,
            acted: false,
        };
        let pumped = self.engine.pump(1, &mut hand);
        let (broken, acted) = (hand.broken, hand.acted);
        if let Some(broken) = broken {
            return Err(broken);
        }
        if acted && !work {
            return Err("T1: an action, though no work was queued".into());
        }
        let due = self.engine.poll_timeout();
        match pumped {
            Pumped::More if due != Some(now) => {
                return Err(format!("T1: work is left, and the next time is {due:?}"));
            }
            Pumped::Idle if due.is_some_and(|due| due <= now) => {
                return Err(format!(
                    "T2: nothing is left to do, and it is due at {due:?}"
                ));
            }
            Pumped::Idle => self.quiet(of, due)?,
            Pumped::More => {}
        }
        let engine = &self.engine;
        let alive = self.env.conns.iter().find(|conn| !engine.is_live(conn.id));
        match alive {
            Some(dead) => Err(format!("I4: {:?} died without a close", dead.id)),
            None => Ok(()),
        }
    }

    /// What holds when there is nothing left to do.
    fn quiet(&self, of: &Configuration, due: Option<Time>) -> Result<(), Broken> {
        let waits = |conn: &Conn| conn.blocked || conn.woken || conn.flight.is_some();
        if !self.env.conns.iter().any(waits) && self.engine.greatest_lag() > 0 {
            return Err("D5: nobody waits, and somebody is not at the head".into());
        }
        let ends = self
            .env
            .conns
            .iter()
            .any(|conn| !conn.stream || waits(conn));
        if ends && due.is_none() {
            return Err("T1: somebody has a deadline, and none is told".into());
        }
        let farthest = of.config.heartbeat + of.config.write_timeout;
        if ends && due.is_some_and(|due| due > self.engine.now() + farthest) {
            return Err(format!("T1: the next time is {due:?}"));
        }
        if self.engine.is_terminated() && !self.env.conns.is_empty() {
            return Err("S1: all is over, and connections live".into());
        }
        Ok(())
    }
}

impl Conn {
    /// So many bytes of its run were accepted: what is left of the block that they end in is owed. Tells
    /// how many frames were begun.
    pub(super) fn accepts(&mut self, bytes: u32) -> u64 {
        let run = core::mem::take(&mut self.run);
        let (bytes, owed) = (run.len().min(bytes as usize), self.owed.len());
        let start = bytes.min(owed);
        let rest = run.slice(start..);
        if bytes < owed {
            self.owed = run.slice(bytes..owed);
            return 0;
        }
        let (mut end, mut frames) = (0, 0);
        for at in 2..=rest.len() {
            if rest[at - 2..at] == *b"\n\n" && end < bytes - start {
                frames += u64::from(rest[end..].starts_with(b"data: "));
                end = at;
            }
        }
        self.owed = rest.slice(bytes - start..end.max(bytes - start));
        frames
    }
}

impl Env {
    pub(super) fn conn(&mut self, id: SubscriberId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    fn born(&mut self, id: SubscriberId, stream: bool) {
        self.conns.push(Conn {
            id,
            role: self.roles,
            stream,
            flight: None,
            blocked: false,
            owed: Bytes::new(),
            run: Bytes::new(),
            early: false,
            woken: false,
        });
        self.roles += 1;
    }
}

/// What a call answered.
pub(super) fn note(result: &Result<Reply, Error>, notes: &mut Notes) {
    let kind = match result {
        Ok(reply) => notes.reached.reply(reply),
        Err(error) => notes.reached.error(*error),
    };
    if let Some(seen) = &mut notes.seen {
        seen.push(Seen::Replied(match result {
            Ok(Reply::Published(Published {
                streams,
                id,
                unchanged,
            })) => {
                format!(
                    "{kind} to {streams}, id {}, unchanged {unchanged}",
                    id.is_some()
                )
            }
            _ => kind.to_owned(),
        }));
    }
}

/// The bytes without what two lives may differ in: seqs of ids, and drawn times, which have four digits.
pub(super) fn masked(bytes: &Bytes) -> Bytes {
    let mut text: Vec<u8> = Vec::with_capacity(bytes.len());
    for group in bytes.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let id = group[0].is_ascii_digit() && text.ends_with(b"1-");
        if id || (group[0].is_ascii_digit() && group.len() == 4) {
            text.push(b'#');
        } else {
            text.extend_from_slice(group);
        }
    }
    text.into()
}

fn later(at: Option<Time>) -> Time {
    at.unwrap_or(Time::MAX)
}

/// Enough publishes that every id which is asked for is old, and that all of them have two digits.
const WARMING: u32 = 12;
/// More visits than any state of a small machine needs.
const PATIENCE: u32 = 10_000;
