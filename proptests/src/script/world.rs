//! What stands behind the handles of a script.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use sse_state::{Ending, Input, SourceToken, Time};

use super::acts::{Act, Client, FEED};
use super::{Fault, Readiness, Ready};
use crate::checked::{Duties, Outcome};

/// The run is over: somebody has neglected a duty.
pub(crate) struct Over;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JobIs {
    Running,
    Done,
    Dropped,
}

/// What is to be done by the loop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    /// This client is to be accepted.
    Accept(usize),
    /// So many inputs were taken, and there is one more.
    Take(u64),
    /// The request of this client is whole.
    Decide(usize),
}

impl core::fmt::Display for Due {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Due::Accept(client) => write!(f, "client {client} waits to be accepted"),
            Due::Take(_) => f.write_str("an input of another thread waits to be taken"),
            Due::Decide(client) => write!(f, "the whole request of client {client} waits"),
        }
    }
}

/// Everything behind the handles.
pub(crate) struct World {
    pub(crate) clock: Time,
    pub(crate) duties: Duties,
    pub(crate) clients: Vec<Client>,
    /// The faults that come, and at which IO calls.
    faults: Vec<(u64, Fault)>,
    /// How many came.
    pub(crate) struck: u64,
    /// The faults that fit each step.
    pub(crate) fits: Vec<&'static [Fault]>,
    readiness: Readiness,
    agenda: BTreeMap<(Time, u64), Act>,
    acts: u64,
    pub(super) backlog: VecDeque<usize>,
    /// Somebody came since the last wait.
    pub(super) news: bool,
    pub(super) inputs: VecDeque<Input<'static>>,
    /// How many were taken.
    taken: u64,
    /// What is due, and since which wait.
    due: BTreeMap<Due, Time>,
    pub(super) inputs_news: bool,
    pub(super) jobs: BTreeMap<(SourceToken, u64), JobIs>,
    /// How many values each topic had.
    pub(super) values: BTreeMap<String, u64>,
    pub(super) slow_polls: bool,
    shutting_down: bool,
    /// Waits since the clock or anything else moved.
    idle_waits: u32,
    /// IO calls since the last wait.
    calls: u32,
    moved: bool,
}

impl World {
    pub(crate) fn new(
        duties: Duties,
        acts: impl IntoIterator<Item = (Time, Act)>,
        readiness: Readiness,
        faults: &[(u64, Fault)],
    ) -> World {
        let mut world = World {
            clock: Time::ZERO,
            duties,
            clients: Vec::new(),
            faults: faults.to_vec(),
            struck: 0,
            fits: Vec::new(),
            readiness,
            agenda: BTreeMap::new(),
            acts: 0,
            backlog: VecDeque::new(),
            news: false,
            inputs: VecDeque::new(),
            taken: 0,
            due: BTreeMap::new(),
            inputs_news: false,
            jobs: BTreeMap::new(),
            values: BTreeMap::new(),
            slow_polls: false,
            shutting_down: false,
            idle_waits: 0,
            calls: 0,
            moved: false,
        };
        for (at, act) in acts {
            world.plan(at, act);
        }
        world
    }

    /// One IO call; the fault that comes at it.
    fn step(&mut self, fits: &'static [Fault]) -> Option<Fault> {
        let step = self.fits.len() as u64;
        self.fits.push(fits);
        self.calls += 1;
        if self.calls == CALLS {
            self.broken("K23", format!("{CALLS} IO calls without a wait"));
            std::panic::resume_unwind(Box::new(Over));
        }
        let strikes = |&&(at, fault): &&(u64, Fault)| at == step && fits.contains(&fault);
        let (_, fault) = *self.faults.iter().find(strikes)?;
        self.struck += 1;
        Some(fault)
    }

    fn plan(&mut self, at: Time, act: Act) {
        self.acts += 1;
        self.agenda.insert((at, self.acts), act);
    }

    pub(super) fn plan_in(&mut self, millis: u64, act: Act) {
        self.plan(self.clock + Duration::from_millis(millis), act);
    }

    pub(super) fn wait(&mut self, until: Option<Time>) -> Result<io::Result<Vec<Ready>>, Over> {
        self.duties.ledger().waits(self.clock, until);
        self.look_at_jobs();
        self.look_at_clients();
        let fault = self.step(Fault::WAIT);
        self.calls = 0;
        let moved = std::mem::take(&mut self.moved);
        self.idle_waits = if moved { 0 } else { self.idle_waits + 1 };
        if self.idle_waits > PATIENCE {
            self.broken(
                "K23",
                "it waited a thousand times, and neither did anything nor let time pass",
            );
        }
        if self.duties.ledger().terminated {
            self.broken("K24", "the machine has ended, and the loop goes on");
        }
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        let until = match (fault, until) {
            (Some(Fault::Interrupted), _) => return self.unless_over(Err(interrupted())),
            (Some(Fault::Late), Some(until)) => Some(until + LATENESS),
            (Some(Fault::Early), until) => {
                let half = self.clock + until.map_or(Duration::ZERO, |u| u.since(self.clock) / 2);
                Some(half.min(next.unwrap_or(Time::MAX)))
            }
            (_, until) => until,
        };
        let mut ready = self.ready();
        if ready.is_empty() || fault == Some(Fault::Late) {
            let stop = match (fault, next, until) {
                (Some(Fault::Late), _, Some(until)) => until,
                (_, Some(next), Some(until)) => next.min(until),
                (_, Some(at), None) | (_, None, Some(at)) => at,
                (_, None, None) => {
                    self.broken(
                        "K24",
                        "nothing will ever happen again, and the loop waits for it",
                    );
                    self.clock
                }
            };
            self.moved |= stop > self.clock;
            while let Some((&(at, _), _)) = self.agenda.first_key_value()
                && at <= stop
            {
                self.clock = self.clock.max(at);
                if let Some((_, act)) = self.agenda.pop_first() {
                    self.moved = true;
                    self.act(act);
                }
            }
            self.clock = self.clock.max(stop);
            ready.extend(self.ready());
        }
        if fault == Some(Fault::Late) {
            // The world has overslept, which is no neglect of the loop.
            for since in self.due.values_mut() {
                *since = (*since + LATENESS).min(self.clock);
            }
        }
        if fault == Some(Fault::Backwards) {
            ready.reverse();
        }
        self.unless_over(Ok(ready))
    }

    fn unless_over<T>(&self, result: T) -> Result<T, Over> {
        match self.duties.ledger().violations.is_empty() {
            true => Ok(result),
            false => Err(Over),
        }
    }

    /// Who is ready now.
    fn ready(&mut self) -> Vec<Ready> {
        let level = self.readiness == Readiness::Level;
        let mut ready = Vec::new();
        if std::mem::take(&mut self.news) || level && !self.backlog.is_empty() {
            ready.push(Ready::Accept);
        }
        if std::mem::take(&mut self.inputs_news) || level && !self.inputs.is_empty() {
            ready.push(Ready::Inputs);
        }
        for (key, client) in self.clients.iter_mut().enumerate() {
            let Some(token) = client.token.filter(|_| client.is_held()) else {
                continue;
            };
            let readable = std::mem::take(&mut client.readable) || level && client.can_read();
            let writable = std::mem::take(&mut client.writable) || level && client.can_write();
            if writable {
                self.duties.ledger().announces_room(key);
            }
            if readable || writable {
                ready.push(Ready::Socket {
                    token,
                    readable,
                    writable,
                });
            }
        }
        ready
    }

    pub(super) fn accept(&mut self) -> io::Result<usize> {
        let fault = self.step(Fault::ACCEPT);
        let error = match fault {
            Some(Fault::Interrupted) => Some(interrupted()),
            Some(Fault::Aborted) => self.backlog.pop_front().map(|key| {
                self.clients[key].aborts();
                io::ErrorKind::ConnectionAborted.into()
            }),
            Some(Fault::NoDescriptors) => Some(io::Error::from_raw_os_error(EMFILE)),
            Some(Fault::Spurious) => {
                self.news = true;
                Some(would_block())
            }
            _ => None,
        };
        if let Some(error) = error {
            self.moved = true;
            self.duties.ledger().tell(|| format!("  accept: {error}"));
            return Err(error);
        }
        let key = self.backlog.pop_front().ok_or_else(would_block)?;
        self.moved = true;
        self.clients[key].accepted();
        self.duties.ledger().socket(key);
        Ok(key)
    }

    pub(super) fn register(&mut self, key: usize, token: u64) {
        self.clients[key].token = Some(token);
        self.duties.ledger().registered(key);
    }

    pub(super) fn take(&mut self) -> Option<Input<'static>> {
        let input = self.inputs.pop_front()?;
        self.taken += 1;
        self.moved = true;
        self.shutting_down |= matches!(input, Input::Shutdown { .. });
        self.duties.ledger().hands(input.clone());
        Some(input)
    }

    pub(super) fn start(&mut self, topic: &str, key: (SourceToken, u64)) {
        self.moved = true;
        self.duties.ledger().begins(topic, key.0, key.1);
        self.jobs.insert(key, JobIs::Running);
        if key.1 == 0 && topic != FEED {
            // What is polled does nothing before its first poll.
            self.jobs.insert(key, JobIs::Done);
        } else if key.1 == 0 {
            self.plan_in(FEED_EVERY, Act::Feed(topic.into(), key.0));
        } else {
            let takes = if self.slow_polls { SLOW_POLL } else { POLL };
            self.plan_in(takes, Act::PollDone(topic.into(), key.0, key.1));
        }
    }

    pub(super) fn read(&mut self, key: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let fault = self.step(Fault::READ);
        let client = &mut self.clients[key];
        let result = match fault {
            Some(Fault::Interrupted) => Err(interrupted()),
            Some(Fault::Spurious) => {
                client.readable = true;
                Err(would_block())
            }
            Some(Fault::Reset) => {
                client.resets();
                client.read(buffer)
            }
            Some(Fault::End) => {
                client.ends();
                client.read(buffer)
            }
            Some(Fault::Short) => {
                let most = buffer.len().min(1);
                client.read(&mut buffer[..most])
            }
            _ => client.read(buffer),
        };
        let seen = match &result {
            Ok(0) if !buffer.is_empty() => Some(None),
            Ok(bytes) => Some(Some(*bytes)),
            Err(error) if is_no_end(error) => None,
            Err(_) => Some(None),
        };
        if let Some(seen) = seen {
            self.moved = true;
            self.duties.ledger().read(key, seen);
        }
        result
    }

    pub(super) fn write(&mut self, key: usize, bytes: &[u8]) -> io::Result<usize> {
        self.duties.ledger().offers(key, bytes);
        let fault = self.step(Fault::WRITE);
        let client = &mut self.clients[key];
        let result = match fault {
            Some(Fault::Interrupted) => Err(interrupted()),
            Some(Fault::Reset) => {
                client.resets();
                client.write(bytes)
            }
            Some(Fault::Short) => client.write(&bytes[..bytes.len().min(1)]),
            // It takes what it took before, and then nothing for a while.
            Some(Fault::Block) => {
                let taken = client.write(&bytes[..bytes.len() / 2]);
                let room = client.shuts_window();
                self.plan_in(20, Act::Room(key, room));
                taken.and_then(|taken| {
                    if taken == 0 {
                        self.clients[key].write(bytes)
                    } else {
                        Ok(taken)
                    }
                })
            }
            Some(Fault::BlockOnce) => {
                client.blocked = true;
                client.writable = true;
                Err(would_block())
            }
            Some(Fault::Stall) => {
                client.shuts_window();
                client.stalls = true;
                client.write(bytes)
            }
            _ => client.write(bytes),
        };
        let outcome = match &result {
            Ok(taken) => Some(Outcome::Took(*taken)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) if is_no_end(error) => Some(Outcome::Blocked),
            Err(_) => Some(Outcome::Failed),
        };
        if let Some(outcome) = outcome {
            self.moved |= outcome != Outcome::Blocked;
            self.duties.ledger().wrote(key, outcome);
        }
        result
    }

    pub(super) fn shutdown_write(&mut self, key: usize) -> io::Result<()> {
        let fault = self.step(Fault::SHUTDOWN);
        self.moved = true;
        let client = &mut self.clients[key];
        if fault.is_some() {
            client.resets();
        }
        let done = client.shut();
        let polite = client.polite;
        self.duties.ledger().shut(key, !done);
        if !done {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // A client that saw the end closes, too.
        if polite {
            self.plan_in(1, Act::End(key));
        }
        Ok(())
    }

    pub(super) fn close(&mut self, key: usize, how: Ending) {
        self.moved = true;
        let client = &mut self.clients[key];
        client.close(how);
        let unread = client.has_unread();
        self.duties.ledger().closed(key, how, unread);
    }

    /// Whether every source is executed, and nothing else is.
    fn look_at_jobs(&mut self) {
        let wanted = self.duties.ledger().wanted();
        for (token, number, topic) in &wanted {
            // A source that is polled is not started before its first poll.
            if *number == 0 && topic != FEED {
                continue;
            }
            match self.jobs.get(&(*token, *number)) {
                None => self.broken(
                    "K14",
                    format!("{token} number {number} of {topic} was not begun"),
                ),
                Some(JobIs::Dropped) if !self.is_over(*token, *number) => {
                    self.broken(
                        "K14",
                        format!("{token} number {number} of {topic} was dropped"),
                    );
                }
                Some(_) => {}
            }
        }
        let stray = self.jobs.iter().find(|(key, is)| {
            **is == JobIs::Running
                && !wanted
                    .iter()
                    .any(|(token, number, _)| (*token, *number) == **key)
        });
        if let Some(((token, number), _)) = stray {
            let text = format!("{token} number {number} goes on, and is stopped or replaced");
            self.broken("K15", text);
        }
    }

    /// Its job had given its result, or was not to, before it was dropped.
    fn is_over(&self, token: SourceToken, number: u64) -> bool {
        !self.agenda.values().any(|act| act.is_of(token, number))
    }

    /// Whether anybody waits who should not.
    fn look_at_clients(&mut self) {
        if self.shutting_down {
            return;
        }
        let mut due = Vec::new();
        if let Some(&key) = self.backlog.front() {
            due.push((Due::Accept(key), "K13"));
        }
        if !self.inputs.is_empty() {
            due.push((Due::Take(self.taken), "K18"));
        }
        for (key, client) in self.clients.iter().enumerate() {
            if client.is_held() && client.has_asked() && !self.duties.ledger().is_decided(key) {
                due.push((Due::Decide(key), "K21"));
            }
        }
        let before = std::mem::take(&mut self.due);
        for (what, rule) in due {
            let since = before.get(&what).copied().unwrap_or(self.clock);
            if self.clock.since(since) > NEGLECT {
                self.broken(rule, format!("for more than 2 s {what}"));
            }
            self.due.insert(what, since);
        }
    }

    fn broken(&self, rule: &'static str, text: impl Into<String>) {
        self.duties.ledger().broken(rule, text);
    }
}

fn is_no_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

fn interrupted() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

/// "Too many open files", on every Unix.
const EMFILE: i32 = 24;
/// Waits in which nothing happens, before a loop is taken to spin.
const PATIENCE: u32 = 1000;
/// So many IO calls without a wait are taken for a loop that never waits again.
const CALLS: u32 = 100_000;
/// So long nobody and nothing waits for a loop that is not busy. A pause after an error of accept is shorter.
const NEGLECT: Duration = Duration::from_secs(2);
/// So much later than asked for a wait ends that is [`Fault::Late`].
const LATENESS: Duration = Duration::from_secs(3);
/// Milliseconds of a poll, of one that is slower than its timeout, and between values of an external source.
const POLL: u64 = 30;
const SLOW_POLL: u64 = 45_000;
pub(super) const FEED_EVERY: u64 = 400;
