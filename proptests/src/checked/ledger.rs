//! What a driver owes, as far as the calls to its engine show it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Answer, CloseReason, Control, Ending, Error, Input, Name, Reply, Report, Socket, SourceToken,
    SubscriberId, Time,
};

use super::Violation;
use super::truth::Outcome;
use super::words::{brief, kind, owned, subject, topic_of};

/// All that is known.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) violations: Vec<Violation>,
    /// What happened, if somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
    /// What the engine showed after the last call.
    pub(crate) deadline: Option<Time>,
    pub(crate) terminated: bool,
    /// What the machine wanted done, in a word or two.
    pub(crate) reached: BTreeSet<String>,
    pub(super) panics: bool,
    /// There are sockets that tell the truth.
    pub(super) scripted: bool,
    pub(crate) now: Time,
    /// Calls since it waited.
    calls: u32,
    idle: bool,
    pub(super) conns: BTreeMap<SubscriberId, Conn>,
    pub(super) sources: BTreeMap<SourceToken, Source>,
    /// Topics whose waiting publish would succeed now.
    room: BTreeSet<String>,

    /// Sockets that were accepted and not announced, oldest first.
    pub(super) unannounced: VecDeque<usize>,
    pub(super) sockets: BTreeMap<usize, Truth>,
    /// Topics whose inputs come from the script alone.
    pub(crate) topics: BTreeSet<String>,
    /// Inputs that the driver has taken and not fed.
    pub(super) handed: VecDeque<Input<'static>>,
    /// Inputs that were refused with `Wait`.
    waiting: Vec<Input<'static>>,
}

/// What is known of one id.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) dead: bool,
    /// `Finish` was pulled.
    pub(super) finish: bool,
    pub(super) ending: Option<Ending>,
    /// Why it was closed.
    pub(super) reason: Option<CloseReason>,
    pub(super) socket: Option<usize>,
    /// Subscribed, answered or being closed.
    pub(super) decided: bool,
    /// A request that was refused and not dealt with.
    owes: bool,
    /// The machine was asked for a stream, or refused something before.
    pub(super) tried: bool,
    /// What was lent, and how much of it the socket took.
    pub(super) lent: Option<Lent>,
    pub(super) in_flight: bool,
    /// It died in flight, and one report may still come.
    late_report: bool,
    /// The socket has room again, and the machine does not know.
    pub(super) has_room: bool,
    /// Bytes that were read, and what the last `HeadHeld` said of them.
    pub(super) read: u64,
    pub(super) held: u64,
}

/// A run that was lent, and what the socket did with it.
#[derive(Debug)]
pub(super) struct Lent {
    pub(super) run: Bytes,
    pub(super) taken: usize,
    pub(super) last: Outcome,
}

/// What a scripted socket knows of itself.
#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) id: Option<SubscriberId>,
    /// Its `Accept` was refused.
    pub(super) refused: bool,
    pub(super) registered: bool,
    /// The driver has seen that the peer is gone.
    pub(super) gone: bool,
    pub(super) shut: bool,
    /// It failed: the peer is gone, though a read has not told yet.
    pub(super) shut_failed: bool,
    /// How it was closed.
    pub(super) closed: Option<Ending>,
}

/// A source that was started.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) topic: Name,
    pub(super) running: bool,
    /// The number of its last poll; 0 if there was none.
    pub(super) polls: u64,
}

/// What one call is about, between its two halves.
#[derive(Debug)]
pub(crate) struct Fed {
    pub(crate) id: Option<SubscriberId>,
    subscribes: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Accept,
    Decide,
    HeadHeld(u32),
    Writable,
    Reports(Vec<Report>),
    /// What a script may have handed over; whether it did.
    Handed(Input<'static>),
    Other,
}

impl Ledger {
    pub(super) fn new(panics: bool, scripted: bool) -> Ledger {
        Ledger {
            violations: Vec::new(),
            story: None,
            deadline: None,
            terminated: false,
            reached: BTreeSet::new(),
            panics,
            scripted,
            now: Time::ZERO,
            calls: 0,
            idle: true,
            conns: BTreeMap::new(),
            sources: BTreeMap::new(),
            room: BTreeSet::new(),
            unannounced: VecDeque::new(),
            sockets: BTreeMap::new(),
            topics: BTreeSet::new(),
            handed: VecDeque::new(),
            waiting: Vec::new(),
        }
    }

    /// One more call. True if it is time to end a run that will not end by itself.
    pub(super) fn is_endless(&mut self) -> bool {
        self.calls += 1;
        if self.scripted && self.calls == CALLS {
            self.broken(
                "K23",
                format!("{CALLS} calls to the machine without a wait"),
            );
        }
        self.scripted && self.calls >= CALLS && !std::thread::panicking()
    }

    /// A duty was neglected.
    pub(crate) fn broken(&mut self, rule: &'static str, text: impl Into<String>) {
        let violation = Violation {
            rule,
            text: text.into(),
        };
        self.tell(|| format!("!! {rule}: {}", violation.text));
        self.violations.push(violation.clone());
        if self.panics && !std::thread::panicking() {
            panic!("{violation}");
        }
    }

    /// Something happened.
    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(story) = &mut self.story {
            story.push(format!("{now:?}  {}", text()));
        }
    }

    /// A call is made.
    pub(super) fn before(&mut self, now: Time, input: &Input<'_>) -> Fed {
        self.tell(|| format!("  feeds {}", brief(input)));
        if now < self.now {
            let last = self.now;
            self.broken("K4", format!("a call at {now:?} after one at {last:?}"));
        }
        if !self.scripted {
            self.slept(now);
        }
        self.now = self.now.max(now);
        let id = subject(input);
        if let Some(id) = id {
            self.expect_alive(id, input);
        }
        if let Input::PeerGone { id } = input {
            self.expect_gone(*id);
        }
        let what = match input {
            Input::Accept => What::Accept,
            Input::Answer { .. } | Input::Subscribe(_) | Input::Close { .. } => What::Decide,
            Input::HeadHeld { bytes, .. } => What::HeadHeld(*bytes),
            Input::Writable { .. } => What::Writable,
            Input::Report(reports) => {
                let reports = reports.to_vec();
                for report in &reports {
                    self.reports(report);
                }
                What::Reports(reports)
            }
            Input::Publish { topic, .. } => {
                self.room.remove(topic.as_ref());
                self.fed(input)
            }
            Input::PollResult { token, number, .. } => {
                self.expect_source(*token, Some(*number));
                self.fed(input)
            }
            Input::Feed { token, .. } => {
                self.expect_source(*token, None);
                if let Some(source) = self.sources.get(token) {
                    self.room.remove(source.topic.as_str());
                }
                self.fed(input)
            }
            Input::SourceEnded { token, .. } => {
                self.expect_source(*token, None);
                self.fed(input)
            }
            Input::StopSource { .. } | Input::CloseKey { .. } | Input::Shutdown { .. } => {
                self.fed(input)
            }
            _ => What::Other,
        };
        let subscribes = matches!(input, Input::Subscribe(_));
        Fed {
            id,
            subscribes,
            what,
        }
    }

    /// The call has returned; whether the id that it named lives.
    pub(super) fn after(&mut self, fed: Fed, result: &Result<Reply, Error>, live: bool) {
        if let Err(error) = result {
            self.tell(|| format!("    Err: {error}"));
        }
        if result.is_ok() {
            self.idle = false;
        }
        if let Some(conn) = fed.id.and_then(|id| self.conns.get_mut(&id))
            && !live
        {
            conn.dies();
        }
        let mut conn = fed.id.and_then(|id| self.conns.get_mut(&id));
        if let Some(conn) = &mut conn {
            conn.tried |= fed.subscribes || result.is_err();
        }
        match (fed.what, conn) {
            (What::Accept, _) => self.accepted(result),
            (What::Decide, Some(conn)) => match result {
                Ok(_) => {
                    conn.owes = false;
                    conn.decided = true;
                }
                Err(Error::Phase) => {}
                Err(_) => conn.owes = live && !conn.decided,
            },
            (What::HeadHeld(bytes), Some(conn)) => conn.held = bytes.into(),
            (What::Writable, Some(conn)) => conn.has_room = false,
            (What::Reports(reports), _) => {
                for report in reports {
                    if let Some(conn) = self.conns.get_mut(&report.id)
                        && report.socket == Socket::Gone
                        && !conn.finish
                    {
                        conn.dies();
                    }
                }
            }
            (What::Handed(input), _) if *result == Err(Error::Wait) => self.waiting.push(input),
            _ => {}
        }
    }

    /// A pump or a pull has returned.
    pub(super) fn pumped(&mut self, idle: bool) {
        self.idle = idle;
        self.tell(|| format!("  pumped: {}", if idle { "idle" } else { "more" }));
    }

    /// The machine lends a run.
    pub(super) fn lends(&mut self, id: SubscriberId, run: &Bytes) {
        self.tell(|| format!("    lends {id} {} B", run.len()));
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.lent = Some(Lent {
                run: run.clone(),
                taken: 0,
                last: Outcome::Untried,
            });
        }
    }

    /// The driver's answer to it.
    pub(super) fn answers(&mut self, id: SubscriberId, answer: Answer) {
        self.tell(|| format!("    {id} answers {answer:?}"));
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let size = conn.lent.as_ref().map_or(0, |lent| lent.run.len());
        match answer {
            Answer::InFlight => conn.in_flight = true,
            Answer::All => self.said(id, size, Socket::Ready),
            Answer::Blocked(bytes) => self.said(id, bytes as usize, Socket::Blocked),
            Answer::Gone => {
                self.said(id, 0, Socket::Gone);
                if let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.finish) {
                    conn.dies();
                }
            }
        }
    }

    /// The machine wants something done.
    pub(super) fn control(&mut self, control: &Control) {
        self.tell(|| format!("    {control:?}"));
        self.reached.insert(kind(control));
        match control {
            Control::StartSource { topic, token } => {
                let source = Source {
                    topic: topic.clone(),
                    running: true,
                    polls: 0,
                };
                self.sources.insert(*token, source);
            }
            Control::Poll { token, number, .. } => {
                if let Some(source) = self.sources.get_mut(token) {
                    source.polls = *number;
                }
            }
            Control::StopSource { token, .. } => {
                if let Some(source) = self.sources.get_mut(token) {
                    source.running = false;
                }
            }
            Control::Room { topic } => {
                self.room.insert(topic.as_str().into());
            }
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.finish = true;
                }
            }
            Control::Close { id, ending, reason } => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.ending = Some(*ending);
                    conn.reason = Some(*reason);
                    conn.dies();
                }
            }
            // Bodies that a framework pulls have no loop of their own to be checked.
            Control::Wake { .. } => {}
        }
    }

    /// The driver waits.
    pub(crate) fn waits(&mut self, now: Time, until: Option<Time>) {
        self.now = self.now.max(now);
        self.calls = 0;
        let deadline = self.deadline;
        self.tell(|| format!("waits until {until:?}, poll_timeout is {deadline:?}"));
        self.before_a_wait(now);
        if let Some(deadline) = self.deadline
            && deadline > now
            && until.is_none_or(|until| until > deadline)
        {
            let until = until.map_or("an event".into(), |until| format!("{until:?}"));
            self.broken(
                "K2",
                format!("it waits until {until}, and poll_timeout is {deadline:?}"),
            );
        }
    }

    fn before_a_wait(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            if self.idle {
                self.broken(
                    "K3",
                    format!("it waits at {now:?}, and a Timeout is due that was not fed"),
                );
            } else {
                self.broken("K1", "it waits while work is queued");
            }
        }
        let conns = || self.conns.iter().filter(|(_, conn)| !conn.dead);
        let in_flight = conns().find(|(_, conn)| conn.in_flight);
        let owes = conns().find(|(_, conn)| conn.owes);
        let texts = [
            in_flight.map(|(id, _)| ("K5", format!("it waits while a run of {id} is in flight"))),
            owes.map(|(id, _)| {
                let text = "was refused, and neither answered nor closed";
                ("K17", format!("the request of {id} {text}"))
            }),
        ];
        for (rule, text) in texts.into_iter().flatten() {
            self.broken(rule, text);
        }
        let kept = |input: &Input<'_>| {
            topic_of(input, &self.sources).is_some_and(|t| self.room.contains(t))
        };
        if let Some(topic) = self.room.first()
            && (!self.scripted || self.waiting.iter().any(kept))
        {
            let text =
                format!("there is room in {topic}, and the publish that waited did not come");
            self.broken("K17", text);
        }
        if self.scripted {
            self.truth_before_a_wait();
        }
    }

    /// The driver's loop has ended.
    pub(crate) fn ends(&mut self) {
        if !self.terminated {
            self.broken("K24", "the loop has ended, and the machine has not");
        }
    }

    /// What the driver said of a write.
    pub(super) fn said(&mut self, id: SubscriberId, bytes: usize, socket: Socket) {
        let scripted = self.scripted;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Some(lent) = conn.lent.take() else { return };
        let size = lent.run.len();
        let gone = conn
            .socket
            .and_then(|key| self.sockets.get(&key))
            .is_none_or(|truth| truth.gone || truth.shut_failed);
        let wrong = if bytes > size {
            Some(format!("{bytes} of {size} bytes were accepted"))
        } else if !scripted || socket == Socket::Gone {
            let lives = scripted && !gone;
            lives.then(|| "the peer is gone, and its socket lives".into())
        } else if bytes != lent.taken {
            Some(format!(
                "{bytes} bytes were accepted, and it was {} of {size}",
                lent.taken
            ))
        } else if socket == Socket::Blocked && lent.last != Outcome::Blocked {
            Some("the socket blocked, and it did not".into())
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.broken("K7", format!("it says of {id} that {wrong}"));
        }
    }

    fn reports(&mut self, report: &Report) {
        let Some(conn) = self.conns.get_mut(&report.id) else {
            let text = format!("a report for {}, which was never handed out", report.id);
            return self.broken("K6", text);
        };
        if std::mem::take(&mut conn.late_report) {
            return;
        }
        if !std::mem::take(&mut conn.in_flight) {
            let text = format!("a report for {}, which has nothing in flight", report.id);
            return self.broken("K6", text);
        }
        self.said(report.id, report.bytes as usize, report.socket);
    }

    fn expect_alive(&mut self, id: SubscriberId, input: &Input<'_>) {
        let text = match self.conns.get(&id) {
            // An engine that was used before it was watched.
            None if !self.scripted && self.conns.is_empty() => return,
            // A stream that is mounted has no accept.
            None if matches!(input, Input::Pull { .. } | Input::PeerGone { .. }) => return,
            None => "was never handed out",
            Some(conn) if conn.dead => "is dead",
            Some(_) => return,
        };
        self.broken("K9", format!("{} names {id}, which {text}", brief(input)));
    }

    fn expect_source(&mut self, token: SourceToken, number: Option<u64>) {
        match (self.sources.get(&token), number) {
            (None, _) => self.broken("K16", format!("a result for {token}, never started")),
            (Some(source), Some(number)) if number == 0 || number > source.polls => {
                let text = format!("a result for poll {number} of {token}, never asked for");
                self.broken("K16", text);
            }
            _ => {}
        }
    }

    /// Something that the script may have handed over is fed.
    fn fed(&mut self, input: &Input<'_>) -> What {
        let Some(input) = self.scripted.then(|| owned(input)).flatten() else {
            return What::Other;
        };
        let again = self.waiting.iter().position(|waiting| *waiting == input);
        if self.handed.front() == Some(&input) {
            self.handed.pop_front();
        } else if let Some(again) = again {
            self.waiting.remove(again);
        } else if topic_of(&input, &self.sources).is_none_or(|topic| self.topics.contains(topic)) {
            let text = match self.handed.front() {
                Some(next) => format!("it feeds {}; next comes {}", brief(&input), brief(next)),
                None => format!("it feeds {}, which nobody handed over", brief(&input)),
            };
            self.broken("K18", text);
        }
        What::Handed(input)
    }

    fn accepted(&mut self, result: &Result<Reply, Error>) {
        let socket = self.unannounced.pop_front();
        if self.scripted && socket.is_none() {
            self.broken("K13", "an Accept, and no socket was accepted for it");
        }
        let id = match result {
            Ok(Reply::Id(id)) => Some(*id),
            _ => None,
        };
        if let Some(truth) = socket.and_then(|key| self.sockets.get_mut(&key)) {
            truth.id = id;
            truth.refused = id.is_none();
        }
        if let Some(id) = id {
            let conn = Conn {
                socket,
                ..Conn::default()
            };
            self.conns.insert(id, conn);
            self.tell(|| format!("    {id}, socket {socket:?}"));
        }
    }

    /// Without being told, from the clock alone: did it sleep through something?
    fn slept(&mut self, now: Time) {
        let Some(deadline) = self.deadline else {
            return;
        };
        let queued = deadline <= self.now;
        if now.since(deadline.max(self.now)) < LATE {
            return;
        }
        if queued && !self.idle {
            let text =
                format!("work was queued since {deadline:?}, and the next call is at {now:?}");
            self.broken("K1", text);
        } else {
            let text = format!("poll_timeout was {deadline:?}, and the next call is at {now:?}");
            self.broken("K2", text);
        }
    }
}

impl Conn {
    fn dies(&mut self) {
        self.dead = true;
        self.late_report |= std::mem::take(&mut self.in_flight);
        self.has_room = false;
        self.owes = false;
        self.lent = None;
    }
}

impl Lent {
    /// What the socket has not taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.run.get(self.taken..).unwrap_or_default()
    }
}

/// So long after `poll_timeout` a driver that is only seen by its calls has slept too long. A busy machine may
/// well be late by less.
const LATE: Duration = Duration::from_secs(1);
/// So many calls without a wait are taken for a loop that never waits again.
const CALLS: u32 = 100_000;
