//! Watches the boundary between the hub and its engine: who is a member since when, and what was
//! appended in which order. What clients must get follows from that.

use std::sync::Arc;
use std::time::Duration;

use sse_state::{
    Action, Answer, CloseReason, Control, Engine, Error, EventId, Input, PollOutcome, Pumped,
    Reply, Report, Room, Run, Sink, Socket, SourceToken, Start, Subscribe, SubscriberId, Time, Via,
};

use super::bug::Bug;
use super::client::{SLACK, What};
use super::conn::{Follow, Member};
use super::mark::Mark;
use super::state::{Core, Sim};
use super::topics::{Entry, hash_of};
use crate::wire::Parser;

/// An engine that is watched.
pub(crate) struct Spy {
    inner: Box<dyn Engine + Send>,
    sim: Arc<Sim>,
}

impl Spy {
    pub(crate) fn new(inner: Box<dyn Engine + Send>, sim: Arc<Sim>) -> Spy {
        Spy { inner, sim }
    }

    /// Looks at an input before it is applied.
    fn before(&self, input: &Input<'_>) -> Before {
        let text = |topic: Option<usize>, frame: &sse_state::Frame| {
            let text = frame.to_string();
            let block = Parser::new().push(text.as_bytes()).into_iter().next();
            let block = block.unwrap_or_default();
            let name = block.name.unwrap_or_default();
            let data = block.data.unwrap_or_default();
            Before::Publish {
                topic,
                hash: hash_of(&name, &data),
                published: self.inner.stats().published,
            }
        };
        match input {
            Input::Accept => Before::Accept,
            Input::Subscribe(subscribe) => Before::Subscribe(Box::new(self.joining(subscribe))),
            Input::Publish { topic, frame, .. } => text(self.sim.core().topics.find(topic), frame),
            Input::Feed { token, frame, .. } => text(self.of_token(*token), frame),
            Input::PollResult {
                token,
                outcome: PollOutcome::Frame(frame) | PollOutcome::Failed(Some(frame)),
                ..
            } => text(self.of_token(*token), frame),
            Input::PeerGone { id } => Before::Gone(*id),
            Input::CloseKey { key } => Before::CloseKey(key.as_str().to_owned()),
            Input::Writable { id } => Before::Writable(*id),
            Input::Report(reports) => Before::Report(reports.to_vec()),
            _ => Before::Nothing,
        }
    }

    fn of_token(&self, token: SourceToken) -> Option<usize> {
        let core = self.sim.core();
        core.topics.tokens.get(&token.start()).copied()
    }

    /// What a stream is going to follow, and from where.
    fn joining(&self, subscribe: &Subscribe) -> Joining {
        let Via::Connection(id) = subscribe.via else {
            return Joining::default();
        };
        let mut core = self.sim.core();
        let epoch = core.setup.config.epoch;
        let after = match &subscribe.start {
            Start::After(bytes) => Some(EventId::parse(bytes).filter(|id| id.epoch == epoch)),
            _ => None,
        };
        let mut joining = Joining {
            id: id.as_u64(),
            ..Joining::default()
        };
        for join in &subscribe.topics {
            let Some(topic) = core.topics.find(join.topic.as_str()) else {
                continue;
            };
            let interest = self.inner.interest(join.topic.as_str());
            let known = &mut core.topics.all[topic];
            let is_empty = interest.is_none_or(|interest| interest.streams == 0);
            let is_new = interest.is_none_or(|interest| {
                interest.streams == 0 && !interest.kept && !known.runs_in_engine
            });
            let length = known.ledger.len();
            let cursor = match after {
                Some(Some(id)) if known.history => {
                    known.ledger.partition_point(|entry| entry.seq <= id.seq)
                }
                Some(None) if known.history => 0,
                // Its newest event may come, if it is of this life.
                _ if known.dedupe && !is_new => {
                    length.saturating_sub(1).max(known.life.min(length))
                }
                _ => length,
            };
            joining.follows.push(Follow {
                topic,
                cursor,
                notice: None,
                life: 0,
                from: length,
                resumes: after.is_some() && known.history,
            });
            joining.was_empty.push(is_empty);
            joining.is_new.push(is_new);
        }
        joining.is_unknown = matches!(after, Some(None));
        joining.resumes = after.is_some();
        joining.expires = subscribe.expires;
        joining
    }

    fn after(&self, before: Before, result: &Result<Reply, Error>) {
        let mut core = self.sim.core();
        let core = &mut *core;
        match (before, result) {
            (Before::Accept, Ok(Reply::Id(id))) => {
                if let Some(c) = core.accepting.take() {
                    core.ids.insert(id.as_u64(), c);
                    let now = core.now();
                    let conn = core.conn(c);
                    conn.id = Some(id.as_u64());
                    conn.accepted = Some(now);
                }
            }
            (Before::Subscribe(joining), Ok(_)) => self.joined(core, *joining),
            (Before::Subscribe(_), Err(Error::Full(_))) => core.mark(Mark::RefusedFull),
            (Before::Subscribe(_), Err(Error::Closed)) => core.mark(Mark::KeyClosedDuringHook),
            (
                Before::Publish {
                    topic,
                    hash,
                    published,
                },
                Ok(reply),
            ) => {
                let Some(topic) = topic else { return };
                let stats = self.inner.stats();
                let id = match reply {
                    Reply::Published(published) => published.id,
                    _ => None,
                };
                if matches!(reply, Reply::Published(published) if published.unchanged) {
                    core.mark(Mark::Unchanged);
                }
                if stats.published == published {
                    return;
                }
                if core.flying > 0 {
                    core.mark(Mark::PublishedDuringWrite);
                }
                let at = core.now();
                let known = &mut core.topics.all[topic];
                let seq = match id {
                    Some(id) => id.seq,
                    None => known.ledger.last().map_or(0, |entry| entry.seq),
                };
                known.ledger.push(Entry { hash, seq, at });
                core.tell(|| format!("published to {topic} as {seq}"));
            }
            (Before::Gone(id), Ok(_)) => {
                if let Some(c) = core.ids.get(&id.as_u64()).copied() {
                    let conn = core.conn(c);
                    let (fin, in_flight) = (conn.server_fin, conn.in_flight);
                    if fin {
                        core.mark(Mark::FinishThenPeerGone);
                    }
                    if in_flight {
                        core.mark(Mark::ClosedInFlight);
                    }
                }
                self.left(core, id);
            }
            (Before::CloseKey(key), Ok(reply)) => {
                if matches!(reply, Reply::Closing(1..)) {
                    core.mark(Mark::KeyClosed);
                }
                let ends: Vec<usize> = core.topics.all.iter().map(|t| t.ledger.len()).collect();
                let members = core
                    .conns
                    .iter_mut()
                    .filter(|conn| conn.ask.key.as_ref() == Some(&key) && !conn.ended);
                for member in members.filter_map(|conn| conn.member.as_mut()) {
                    member.until.get_or_insert_with(|| ends.clone());
                }
            }
            (Before::Writable(id), _) => {
                let c = core.ids.get(&id.as_u64()).copied();
                if let Some(c) = c {
                    core.tell(|| format!("connection {c} is writable"));
                }
            }
            (Before::Report(reports), _) => {
                for report in reports {
                    self.reported(core, report);
                }
            }
            _ => {}
        }
    }

    fn joined(&self, core: &mut Core, joining: Joining) {
        let Some(c) = core.ids.get(&joining.id).copied() else {
            return;
        };
        let now = core.now();
        for (at, follow) in joining.follows.iter().enumerate() {
            let was_empty = joining.was_empty[at];
            let known = &mut core.topics.all[follow.topic];
            if joining.is_new[at] {
                known.life = known.ledger.len();
            }
            let lingers = known.name == "feed" || known.name == "poll";
            let just_now = known
                .empty_since
                .is_some_and(|since| now.since(since) <= Duration::from_millis(1));
            let mark = match (was_empty, known.runs_in_engine, known.start_due) {
                (true, ..) if just_now => Some(Mark::JoinWhileLastLeaves),
                (true, true, _) if lingers => Some(Mark::JoinDuringLinger),
                (false, false, true) => Some(Mark::TwoFirstAtOnce),
                _ => None,
            };
            if was_empty && !known.runs_in_engine && known.feed != super::topics::Feed::Nothing {
                known.start_due = true;
            }
            known.empty_since = None;
            if let Some(mark) = mark {
                core.mark(mark);
            }
        }
        let mut joining = joining;
        for follow in &mut joining.follows {
            follow.life = core.topics.all[follow.topic].life;
        }
        let conn = core.conn(c);
        let (granted, asked) = (conn.granted_until, conn.ask.last_id.is_some());
        if granted.is_some() != joining.expires.is_some() {
            core.fail("W7.3", || {
                let expires = joining.expires;
                format!("the grant of stream {c} ends at {granted:?}, the stream at {expires:?}")
            });
        }
        if asked != joining.resumes {
            core.fail("W5.12", || format!("stream {c} came back: {asked}"));
        }
        if joining.is_unknown {
            core.tell(|| String::from("resumes from an unknown id"));
        }
        core.tell(|| format!("connection {c} is a stream"));
        core.conn(c).member = Some(Member {
            topics: joining.follows,
            expires: joining.expires,
            is_over: false,
            until: None,
        });
    }

    /// A member has left, however.
    fn left(&self, core: &mut Core, id: SubscriberId) {
        let Some(c) = core.ids.get(&id.as_u64()).copied() else {
            return;
        };
        let now = core.now();
        let Some(member) = &mut core.conns[c as usize].member else {
            return;
        };
        if std::mem::replace(&mut member.is_over, true) {
            return;
        }
        let topics: Vec<usize> = member.topics.iter().map(|follow| follow.topic).collect();
        for topic in topics {
            let known = &mut core.topics.all[topic];
            let left = self.inner.interest(known.name);
            if left.is_none_or(|interest| interest.streams == 0) {
                known.empty_since = Some(now);
                if std::mem::take(&mut known.start_due) {
                    core.mark(Mark::StartCancelledBeforePulled);
                }
            }
        }
    }

    fn reported(&self, core: &mut Core, report: Report) {
        if let Some(c) = core.ids.get(&report.id.as_u64()).copied() {
            if std::mem::take(&mut core.conn(c).in_flight) {
                core.flying -= 1;
            }
            core.tell(|| format!("connection {c}: {report:?}"));
        }
        if report.socket == Socket::Gone {
            self.left(core, report.id);
        }
    }
}

/// What is known before an input is applied.
enum Before {
    Nothing,
    Accept,
    Subscribe(Box<Joining>),
    Publish {
        topic: Option<usize>,
        hash: u64,
        published: u64,
    },
    Gone(SubscriberId),
    CloseKey(String),
    Writable(SubscriberId),
    Report(Vec<Report>),
}

#[derive(Default)]
struct Joining {
    id: u64,
    follows: Vec<Follow>,
    was_empty: Vec<bool>,
    is_new: Vec<bool>,
    is_unknown: bool,
    resumes: bool,
    expires: Option<Time>,
}

impl Engine for Spy {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let before = self.before(&input);
        let waits = matches!(
            input,
            Input::Publish {
                room: Room::Wait,
                ..
            }
        );
        let result = self.inner.apply(now, input);
        if waits && result.is_ok() {
            let mut core = self.sim.core();
            if core.conns.iter().rev().take(64).any(|conn| {
                conn.stuck_since.is_some() && conn.member.as_ref().is_some_and(|m| !m.is_over)
            }) {
                core.mark(Mark::PatienceOver);
            }
        }
        self.after(before, &result);
        result
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let (mut gone, mut lent) = (Vec::new(), 0);
        let flying = self.sim.core().flying;
        let pumped = self.inner.pump(
            budget,
            &mut Watched {
                sink,
                sim: &self.sim,
                gone: &mut gone,
                lent: &mut lent,
            },
        );
        let mut core = self.sim.core();
        if flying > 0 && lent > 0 {
            core.mark(Mark::WorkersOverlap);
        }
        for id in gone {
            self.left(&mut core, id);
        }
        core.deadline = match pumped {
            Pumped::Idle => self.inner.poll_timeout(),
            Pumped::More => None,
        };
        pumped
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.inner.poll_action()
    }

    views_of_inner!();
}

/// The end of the hub: nothing may be left.
impl Drop for Spy {
    fn drop(&mut self) {
        let stats = self.inner.stats();
        let gauges = [
            ("openings", stats.openings),
            ("deciding", stats.deciding),
            ("streams", stats.streams),
            ("finishing", stats.finishing),
            ("sources", stats.sources),
            ("polls_in_flight", stats.polls_in_flight),
            ("held_bytes", stats.held_bytes as u32),
        ];
        let mut core = self.sim.core();
        for (name, value) in gauges {
            if value != 0 {
                core.fail("B8", || format!("{value} {name} are left at the end"));
            }
        }
        if stats.sources_started != stats.sources_stopped {
            core.fail("L7", || {
                let (starts, stops) = (stats.sources_started, stats.sources_stopped);
                format!("{starts} starts and {stops} stops")
            });
        }
    }
}

/// Stands between the engine and the hub.
struct Watched<'a> {
    sink: &'a mut dyn Sink,
    sim: &'a Sim,
    gone: &'a mut Vec<SubscriberId>,
    /// Writes of this pump.
    lent: &'a mut u32,
}

impl Sink for Watched<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        {
            let mut core = self.sim.core();
            if let Some(c) = core.ids.get(&id.as_u64()).copied() {
                if !std::mem::replace(&mut core.conn(c).in_flight, true) {
                    core.flying += 1;
                }
                *self.lent += 1;
                core.tell(|| format!("connection {c}: lent {}", run.len()));
            }
        }
        self.sink.write(id, run)
    }

    fn control(&mut self, control: Control) {
        {
            let mut core = self.sim.core();
            let core = &mut *core;
            core.tell(|| format!("{control:?}"));
            match &control {
                Control::StartSource { topic, token } => {
                    if let Some(topic) = core.topics.find(topic.as_str()) {
                        core.topics.tokens.insert(token.start(), topic);
                        let known = &mut core.topics.all[topic];
                        known.start_due = false;
                        known.runs_in_engine = true;
                    }
                }
                Control::StopSource { topic, token, .. } => {
                    if let Some(topic) = core.topics.find(topic.as_str()) {
                        core.topics.tokens.remove(&token.start());
                        core.topics.all[topic].runs_in_engine = false;
                    }
                }
                Control::Close { id, reason, .. } => {
                    let c = core.ids.get(&id.as_u64()).copied();
                    if let Some(c) = c {
                        closing(core, c, *reason);
                    }
                    self.gone.push(*id);
                    if core.bug(Bug::NeverCloses) {
                        return;
                    }
                }
                Control::Finish { id } => self.gone.push(*id),
                _ => {}
            }
        }
        self.sink.control(control);
    }
}

/// What is remarkable about a close.
fn closing(core: &mut Core, c: u32, reason: CloseReason) {
    let conn = core.conn(c);
    let (in_flight, fin, vanished) = (conn.in_flight, conn.server_fin, conn.vanished);
    let is_stuck = conn.stuck_since.is_some();
    let is_stream = conn.member.is_some();
    if in_flight {
        core.mark(Mark::ClosedInFlight);
    }
    if reason == CloseReason::Stalled && !vanished {
        check_stall(core, c);
    }
    match reason {
        CloseReason::HeadTimeout => {
            check_head(core, c);
            let mark = if core.conn(c).hook_running {
                Mark::HookTimedOut
            } else {
                Mark::HeadTimedOut
            };
            core.mark(mark);
        }
        CloseReason::BodyTimeout => core.mark(Mark::PostCut),
        CloseReason::Evicted => core.mark(Mark::OpeningEvicted),
        CloseReason::Stalled if vanished => core.mark(Mark::VanishedFound),
        CloseReason::Stalled => core.mark(Mark::StalledCut),
        CloseReason::Lagged => core.mark(Mark::LagClosed),
        CloseReason::Lifetime => core.mark(Mark::LifetimeOver),
        CloseReason::Expired => core.mark(Mark::Expired),
        CloseReason::Finished => core.mark(Mark::EndedWithSource),
        CloseReason::Shutdown if is_stuck && !fin => core.mark(Mark::GraceExpiredBlocked),
        _ => {}
    }
    if fin && is_stream && !core.conn(c).client_closed && reason != CloseReason::Shutdown {
        core.mark(Mark::FinishTimedOut);
    }
}

/// A stall is one that the other side can see, and as long as it has to be.
fn check_stall(core: &mut Core, c: u32) {
    let now = core.now();
    let least = core.setup.config.write_timeout;
    let conn = core.conn(c);
    if let Some(since) = conn.freed_at
        && conn.room() > 0
        && now.since(since) > SLACK
    {
        core.fail("W1", || {
            format!("connection {c} is cut as stalled, and has had room since {since:?}")
        });
    }
    // What trickles has a total time besides.
    if let Some(since) = core.conn(c).stuck_since
        && !core.conn(c).trickles
        && now.since(since) + SLACK / 4 < least
    {
        core.fail("W1", || {
            format!("connection {c} is cut as stalled, and is stuck since {since:?} only")
        });
    }
}

/// Who has said everything is heard.
fn check_head(core: &mut Core, c: u32) {
    let now = core.now();
    let conn = core.conn(c);
    let is_whole = match &conn.ask.what {
        What::Stream(_) => true,
        What::Odd(text) => text.ends_with("\r\n\r\n"),
        What::Post { .. } | What::Silent => false,
    };
    let said = conn.said_at.is_some_and(|at| now.since(at) > SLACK);
    if is_whole && said && !conn.hook_running && !conn.broken {
        core.fail("P5", || {
            format!("connection {c} has sent its head, and was not heard")
        });
    }
}
