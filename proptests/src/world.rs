//! A driver, its sockets and its clock, all of them obedient to a scenario.

use bytes::Bytes;
use sse_state::{
    Action, Answer, Control, Engine, Error, Input, Name, Pulled, Pumped, Reply, Report, Run, Sink,
    Socket, SourceToken, SubscriberId, Time, Via,
};

use crate::panics::unless_it_panics;
use crate::scenario::{Pace, Setup, SocketKind};
use crate::trace::{Event, Step, Views, What};
use crate::wire::Parser;

mod ops;

/// An engine, and what a driver around it knows.
#[derive(Clone)]
pub struct World<E> {
    /// The engine.
    pub engine: E,
    /// What it was made with.
    pub setup: Setup,
    /// All that happened.
    pub trace: Vec<Step>,
    /// Every connection ever, in order of birth.
    pub peers: Vec<Peer>,
    /// What the engine panicked with, if it did: nothing is done to it any more.
    pub panicked: Option<String>,
    clock: u64,
    back: Option<u32>,
    tags: u64,
    sources: Vec<SourceSeen>,
    looks: Views,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its id.
    pub id: SubscriberId,
    /// What the driver knows of its state.
    pub phase: Phase,
    /// A body that a framework pulls.
    pub mounted: bool,
    /// What its socket does.
    pub socket: SocketKind,
    /// Bytes that a slow socket still takes.
    pub room: u64,
    /// It said that it is blocked.
    pub blocked: bool,
    /// What is in flight.
    pub flight: Option<Bytes>,
    /// What it got.
    pub received: Vec<u8>,
    /// The key that it was opened with.
    pub key: Option<u8>,
    /// The ids that it got, in order.
    pub ids: Vec<String>,
    /// The ids of gaps that it got, in order.
    pub gap_ids: Vec<String>,
    head: usize,
    parser: Parser,
}

/// What a driver knows of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Its head is being read.
    Opening,
    /// It waits to be decided, or its body is read.
    Deciding,
    /// It is a stream, or being answered.
    Open,
    /// Its write side is shut.
    Finished,
    /// Gone.
    Dead,
}

/// A run of a source.
#[derive(Clone, Debug)]
struct SourceSeen {
    topic: Name,
    token: SourceToken,
    running: bool,
    polls: u64,
}

impl<E: Engine> World<E> {
    /// Declares what is declared at the start.
    pub fn new(engine: E, setup: &Setup) -> World<E> {
        let looks = look(&engine, setup);
        let mut world = World {
            engine,
            setup: setup.clone(),
            trace: Vec::new(),
            peers: Vec::new(),
            panicked: None,
            clock: 0,
            back: None,
            tags: 0,
            sources: Vec::new(),
            looks,
        };
        for place in 0..setup.topics.len() {
            if setup.topics[place].declared {
                world.declare(place);
            }
        }
        world
    }

    /// What the engine shows now.
    pub fn views(&self) -> &Views {
        &self.looks
    }

    /// The time of the next call.
    pub fn clock(&self) -> Time {
        Time::from_nanos(self.clock)
    }

    /// Lets the clock of the driver go on; nobody is told.
    pub fn elapse(&mut self, nanos: u64) {
        self.clock = self.clock.saturating_add(nanos);
    }

    /// Feeds one input at the driver's time.
    pub fn call(&mut self, input: Input<'static>) -> Result<Reply, Error> {
        let back = self.back.take().map_or(0, u64::from);
        let at = Time::from_nanos(self.clock.saturating_sub(back));
        if self.panicked.is_some() {
            return Err(Error::Stale);
        }
        let engine = &mut self.engine;
        let result = match unless_it_panics(|| engine.apply(at, input.clone())) {
            Ok(result) => result,
            Err(text) => {
                self.panicked = Some(text);
                return Err(Error::Stale);
            }
        };
        self.after_call(&input, &result);
        self.record(What::Call {
            at,
            input,
            result: result.clone(),
        });
        result
    }

    /// Pumps once.
    pub fn pump(&mut self, budget: u32) -> Pumped {
        let mut sink = Hands {
            peers: &mut self.peers,
            events: Vec::new(),
        };
        let engine = &mut self.engine;
        if self.panicked.is_some() {
            return Pumped::Idle;
        }
        let answer = match unless_it_panics(|| engine.pump(budget, &mut sink)) {
            Ok(answer) => answer,
            Err(text) => {
                self.panicked = Some(text);
                return Pumped::Idle;
            }
        };
        let events = sink.events;
        self.after_events(&events);
        self.record(What::Pump {
            budget,
            answer,
            events,
        });
        answer
    }

    /// Pumps until nothing is left; gives up after a number of calls that no engine needs.
    pub fn pump_all(&mut self, budget: u32) -> bool {
        (0..PATIENCE).any(|_| self.pump(budget.max(1)) == Pumped::Idle)
    }

    /// Pulls one action; a write is in flight then.
    pub fn poll_action(&mut self) -> bool {
        if self.panicked.is_some() {
            return false;
        }
        let engine = &mut self.engine;
        let action = match unless_it_panics(|| engine.poll_action()) {
            Ok(action) => action,
            Err(text) => {
                self.panicked = Some(text);
                return false;
            }
        };
        let event = action.map(|action| match action {
            Action::Write { id, run } => {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
                    peer.flight = Some(run.clone());
                }
                Event::Write {
                    id,
                    run,
                    answer: Answer::InFlight,
                }
            }
            Action::Control(control) => Event::Control(control),
        });
        self.after_events(event.as_slice());
        let more = event.is_some();
        self.record(What::Poll { event });
        more
    }

    /// Decides how the socket of a connection behaves.
    pub fn set_socket(&mut self, id: SubscriberId, socket: SocketKind) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.socket = socket;
            if let SocketKind::Slow { room } = socket {
                peer.room = u64::from(room);
            }
        }
    }

    /// Takes in what a call did to the peers.
    fn after_call(&mut self, input: &Input<'static>, result: &Result<Reply, Error>) {
        let Ok(reply) = result else { return };
        match (input, reply) {
            (Input::Accept, Reply::Id(id)) => self.peers.push(Peer::new(*id)),
            (Input::HeadDone { id } | Input::Body { id, .. }, _) => {
                self.set_phase(*id, Phase::Deciding);
            }
            (Input::Answer { id, .. }, _) => self.set_phase(*id, Phase::Open),
            (Input::Subscribe(sub), Reply::Id(id)) if sub.via == Via::Connection(*id) => {
                self.set_phase(*id, Phase::Open);
            }
            (Input::PeerGone { id }, _) => {
                let peer = self.peers.iter_mut().find(|peer| peer.id == *id);
                if let Some(peer) = peer.filter(|peer| peer.phase != Phase::Finished) {
                    peer.phase = Phase::Dead;
                }
            }
            (Input::Report(reports), _) => {
                for report in reports.iter() {
                    self.reported(*report);
                }
            }
            (Input::Writable { id }, _) => {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == *id) {
                    peer.blocked = false;
                }
            }
            (Input::Pull { id }, Reply::Pulled(Pulled::Run(bytes))) => {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == *id) {
                    peer.receive(bytes);
                }
            }
            _ => {}
        }
    }

    fn reported(&mut self, report: Report) {
        let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == report.id) else {
            return;
        };
        let Some(run) = peer.flight.take() else {
            return;
        };
        let bytes = run.slice(..run.len().min(report.bytes as usize));
        peer.receive(&bytes);
        match report.socket {
            Socket::Ready => peer.blocked = false,
            Socket::Blocked => peer.blocked = true,
            Socket::Gone if peer.phase != Phase::Finished => peer.phase = Phase::Dead,
            Socket::Gone => {}
        }
    }

    /// Takes in what a pump did to the peers and sources.
    fn after_events(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Control(Control::Finish { id }) => self.set_phase(*id, Phase::Finished),
                Event::Control(Control::Close { id, .. }) => self.set_phase(*id, Phase::Dead),
                Event::Control(Control::StartSource { topic, token }) => {
                    self.sources.push(SourceSeen {
                        topic: topic.clone(),
                        token: *token,
                        running: true,
                        polls: 0,
                    });
                }
                Event::Control(Control::StopSource { token, .. }) => {
                    for source in self.sources.iter_mut().filter(|s| s.token == *token) {
                        source.running = false;
                    }
                }
                Event::Control(Control::Poll { token, number, .. }) => {
                    for source in self.sources.iter_mut().filter(|s| s.token == *token) {
                        source.polls = *number;
                    }
                }
                Event::Control(_) | Event::Write { .. } => {}
            }
        }
    }

    fn set_phase(&mut self, id: SubscriberId, phase: Phase) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            peer.phase = phase;
        }
    }

    fn record(&mut self, what: What) {
        let looked = unless_it_panics(|| {
            let after = look(&self.engine, &self.setup);
            let views_are_pure = self.engine.digest() == after.digest;
            (after, views_are_pure)
        });
        let checked = unless_it_panics(|| self.engine.check_invariants());
        // What does not hold inside explains what cannot be looked at.
        self.panicked = checked.err().or_else(|| looked.as_ref().err().cloned());
        let Ok((after, views_are_pure)) = looked else {
            return;
        };
        self.clock = self.clock.max(after.now.as_nanos());
        self.looks = after.clone();
        self.trace.push(Step {
            what,
            after,
            views_are_pure,
        });
    }

    fn calm(&self) -> bool {
        self.setup.pace == Pace::Calm
    }

    fn name(&self, place: usize) -> Name {
        Name::new(&self.setup.topics[place].name).expect("names of scenarios are names")
    }
}

impl Peer {
    fn new(id: SubscriberId) -> Peer {
        Peer {
            id,
            phase: Phase::Opening,
            mounted: false,
            socket: SocketKind::Fast,
            room: 0,
            blocked: false,
            flight: None,
            received: Vec::new(),
            key: None,
            ids: Vec::new(),
            gap_ids: Vec::new(),
            head: 0,
            parser: Parser::new(),
        }
    }

    /// The events that it can see, without its answer head.
    pub fn body(&self) -> &[u8] {
        &self.received[self.head.min(self.received.len())..]
    }

    fn receive(&mut self, bytes: &[u8]) {
        let head_left = self
            .head
            .saturating_sub(self.received.len())
            .min(bytes.len());
        self.received.extend_from_slice(bytes);
        for block in self.parser.push(&bytes[head_left..]) {
            if block.name.as_deref() == Some("sse-gap") {
                self.gap_ids.extend(block.id);
            } else {
                self.ids.extend(block.id);
            }
        }
    }
}

/// Everything that a rule may ask an engine.
pub(crate) fn look<E: Engine>(engine: &E, setup: &Setup) -> Views {
    Views {
        now: engine.now(),
        timeout: engine.poll_timeout(),
        digest: engine.digest(),
        terminated: engine.is_terminated(),
        stats: engine.stats(),
        interests: setup
            .topics
            .iter()
            .map(|topic| engine.interest(&topic.name))
            .collect(),
    }
}

/// Executes actions on the peers' sockets.
struct Hands<'a> {
    peers: &'a mut Vec<Peer>,
    events: Vec<Event>,
}

impl Sink for Hands<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let bytes = run.to_bytes();
        let answer = match self.peers.iter_mut().find(|peer| peer.id == id) {
            Some(peer) => match peer.socket {
                SocketKind::Fast => Answer::All,
                SocketKind::Slow { .. } => {
                    let taken = peer.room.min(bytes.len() as u64);
                    peer.room -= taken;
                    if taken == bytes.len() as u64 {
                        Answer::All
                    } else {
                        Answer::Blocked(taken as u32)
                    }
                }
                SocketKind::Flight => Answer::InFlight,
            },
            // The rules will say what they think of a write to nobody.
            None => Answer::Gone,
        };
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            match answer {
                Answer::All => peer.receive(&bytes),
                Answer::Blocked(taken) => {
                    peer.receive(&bytes[..taken as usize]);
                    peer.blocked = true;
                }
                Answer::InFlight => peer.flight = Some(bytes.clone()),
                Answer::Gone => peer.phase = Phase::Dead,
            }
        }
        self.events.push(Event::Write {
            id,
            run: bytes,
            answer,
        });
        answer
    }

    fn control(&mut self, control: Control) {
        self.events.push(Event::Control(control));
    }
}

/// Pumps after which an engine that still has work is taken to have work for ever.
const PATIENCE: u32 = 20_000;
