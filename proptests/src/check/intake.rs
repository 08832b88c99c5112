//! Takes steps into the ledger.

use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Answer, CloseHow, CloseReason, Control, Error, EventId, Frame, Input, Next, PollOutcome,
    Published, Pulled, Reply, Report, Socket, Start, StopReason, Subscribe, SubscriberId, Time,
    Via,
};

use super::facts::{Conn, Down, End, Fate, Ledger, Member, Phase, Pub, Running, Source, Tri};
use super::{Findings, delivery, offers};
use crate::trace::{Step, Views, What};
use crate::wire::Parser;

/// Takes in a call.
pub(super) fn call(
    ledger: &mut Ledger,
    at: Time,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    after: &Views,
    out: &mut Findings,
) {
    let Ok(reply) = result else {
        if *result == Err(Error::Wait) {
            // Room will be told of, so that more than time has passed.
            ledger.quiet = None;
        }
        return refused(ledger, input);
    };
    if at > ledger.now {
        ledger.now = at;
        ledger.timed = false;
    }
    match input {
        Input::Timeout => ledger.timed = true,
        _ => ledger.quiet = None,
    }
    ledger.may_end(true);
    let now = ledger.now;
    match (input, reply) {
        (Input::Declare { topic, .. }, _) => {
            if let Some(place) = ledger.place(topic.as_str()) {
                ledger.topics[place].declared = true;
            }
        }
        (Input::Accept, Reply::Id(id)) => {
            ledger.conns.insert(*id, Conn::new(now));
        }
        (Input::Body { id, .. }, _) => with(ledger, *id, |conn| {
            conn.phase = Phase::Body;
            conn.opened = now;
        }),
        (Input::Answer { id, bytes }, _) => with(ledger, *id, |conn| {
            conn.phase = Phase::Answering;
            conn.opened = now;
            conn.answer = bytes.clone();
            conn.head_left = bytes.len();
        }),
        (Input::Subscribe(sub), Reply::Id(id)) => subscribe(ledger, *id, sub),
        (Input::Publish { topic, frame, .. }, Reply::Published(published)) => {
            if let Some(place) = ledger.place(topic) {
                publish(ledger, place, frame, Some(published), out);
            }
        }
        (Input::Feed { token, frame, .. }, reply) => {
            if let Some(&place) = ledger.tokens.get(token) {
                publish(ledger, place, frame, published_in(reply), out);
            }
        }
        (Input::Close { id, how }, _) => {
            end(ledger, *id, *how, CloseReason::Asked);
            ledger.stirred |= ledger.more;
        }
        (Input::CloseKey { key }, _) => {
            ledger.closed_keys.insert(key.as_str().to_owned());
            let ids: Vec<SubscriberId> = ledger
                .conns
                .iter()
                .filter(|(_, conn)| {
                    conn.is_possible()
                        && conn
                            .sub
                            .as_ref()
                            .is_some_and(|s| s.key.as_ref() == Some(key))
                })
                .map(|(id, _)| *id)
                .collect();
            for id in ids {
                end(ledger, id, CloseHow::Stop, CloseReason::Asked);
            }
        }
        (Input::PeerGone { id }, _) => {
            with(ledger, *id, Conn::peer_goes);
            ledger.stirred |= ledger.more;
        }
        (Input::StopSource { topic }, _) => {
            if let Some(place) = ledger.place(topic) {
                let topic = &mut ledger.topics[place];
                topic.cause(StopReason::Asked);
                if topic.running().is_none() {
                    // A start that was not pulled, and is no longer wanted.
                    topic.spent = Tri::Yes;
                    topic.causes.clear();
                }
            }
        }
        (
            Input::PollResult {
                token,
                outcome,
                next,
                ..
            },
            reply,
        ) => {
            ledger.polls.remove(token);
            if let Some(&place) = ledger.tokens.get(token) {
                if let PollOutcome::Frame(frame) | PollOutcome::Failed(Some(frame)) = outcome {
                    publish(ledger, place, frame, published_in(reply), out);
                }
                if *next == Next::Finished && !matches!(outcome, PollOutcome::Failed(_)) {
                    ledger.topics[place].cause(StopReason::Condition);
                }
            }
        }
        (Input::SourceEnded { token, reason }, _) => {
            if let Some(&place) = ledger.tokens.get(token) {
                ledger.topics[place].cause((*reason).into());
            }
        }
        (Input::Report(reports), _) => {
            for report in reports.iter() {
                reported(ledger, *report, out);
            }
        }
        (Input::Writable { id }, _) => writable(ledger, *id),
        (Input::Pull { id }, Reply::Pulled(pulled)) => {
            with(ledger, *id, |conn| conn.woken = None);
            if let Pulled::Run(run) = pulled {
                offers::check(ledger, *id, run, out);
                super::silence::offer(ledger, *id, run, out);
                accept(ledger, *id, run, run.len(), out);
            }
        }
        (Input::Shutdown { grace, cause }, _) => shutdown(ledger, *grace, *cause),
        _ => {}
    }
    let _ = after;
}

/// A refused call may still have told that an event went nowhere.
fn refused(ledger: &mut Ledger, input: &Input<'static>) {
    if let Input::Publish { frame, .. } | Input::Feed { frame, .. } = input
        && let Some(tag) = tag_of(&frame.to_string())
    {
        ledger.tags.insert(tag, Fate::Dropped);
    }
}

/// Takes in a write and its answer.
pub(super) fn write(
    ledger: &mut Ledger,
    id: SubscriberId,
    run: &Bytes,
    answer: Answer,
    out: &mut Findings,
) {
    let now = ledger.now;
    with(ledger, id, |conn| conn.last_offer = now);
    match answer {
        Answer::All => {
            accept(ledger, id, run, run.len(), out);
            with(ledger, id, Conn::all_accepted);
        }
        Answer::Blocked(bytes) => {
            accept(ledger, id, run, bytes as usize, out);
            with(ledger, id, |conn| {
                conn.blocked = true;
                conn.some_accepted(bytes, now);
            });
        }
        Answer::Gone => with(ledger, id, Conn::peer_goes),
        Answer::InFlight => with(ledger, id, |conn| {
            conn.flight = Some((run.clone(), now));
            conn.remembered = false;
            conn.outstanding = true;
            conn.stall.get_or_insert(now);
        }),
    }
}

/// Takes in a control action.
pub(super) fn control(ledger: &mut Ledger, control: &Control, _out: &mut Findings) {
    let now = ledger.now;
    match control {
        Control::StartSource { topic, token } => {
            if let Some(place) = ledger.place(topic.as_str()) {
                ledger.tokens.insert(*token, place);
                let topic = &mut ledger.topics[place];
                topic.causes.clear();
                topic.spent = Tri::No;
                topic.source = Source::Running(Running {
                    token: *token,
                    since: now,
                    first: None,
                    last: None,
                    free: None,
                });
            }
        }
        Control::StopSource {
            topic,
            token,
            reason,
        } => {
            ledger.polls.remove(token);
            if let Some(place) = ledger.place(topic.as_str()) {
                let (certain, possible) = ledger.members(place);
                let topic = &mut ledger.topics[place];
                topic.source = Source::Idle;
                topic.spent = match (topic.causes_stale, reason) {
                    (_, StopReason::NoSubscribers) | (Tri::Yes, _) => Tri::No,
                    _ if possible == 0 => Tri::No,
                    (Tri::No, _) if certain > 0 => Tri::Yes,
                    _ => Tri::Maybe,
                };
                topic.causes.clear();
                topic.causes_stale = Tri::No;
            }
        }
        Control::Poll { token, number, .. } => {
            ledger.polls.insert(*token, (*number, now));
            if let Some(&place) = ledger.tokens.get(token)
                && let Source::Running(running) = &mut ledger.topics[place].source
            {
                running.first.get_or_insert(now);
                running.last = Some((*number, now));
                running.free = None;
            }
        }
        Control::Wake { id } => with(ledger, *id, |conn| conn.woken = Some(now)),
        Control::Finish { id } => with(ledger, *id, |conn| conn.finished = Some(now)),
        Control::Close { id, reason, ending } => with(ledger, *id, |conn| {
            conn.alive = false;
            conn.closed = Some((*reason, *ending));
        }),
        Control::Room { .. } => {}
    }
}

fn with(ledger: &mut Ledger, id: SubscriberId, act: impl FnOnce(&mut Conn)) {
    if let Some(conn) = ledger.conns.get_mut(&id) {
        act(conn);
    }
}

fn published_in(reply: &Reply) -> Option<&Published> {
    match reply {
        Reply::Published(published) => Some(published),
        _ => None,
    }
}

fn end(ledger: &mut Ledger, id: SubscriberId, how: CloseHow, reason: CloseReason) {
    let (at, upto) = (ledger.now, ledger.pubs.len());
    with(ledger, id, |conn| {
        conn.ends.push(End {
            at,
            how,
            reason,
            upto,
        });
    });
}

fn shutdown(ledger: &mut Ledger, grace: Option<Duration>, cause: sse_state::ShutdownCause) {
    let until = ledger.now + grace.unwrap_or(ledger.config.grace);
    if let Some(down) = &mut ledger.shutdown {
        down.least = down.least.min(until);
        return;
    }
    ledger.shutdown = Some(Down {
        least: until,
        most: until,
        cause,
    });
    let streams: Vec<SubscriberId> = ledger
        .conns
        .iter()
        .filter(|(_, conn)| conn.is_possible())
        .map(|(id, _)| *id)
        .collect();
    for id in streams {
        end(ledger, id, CloseHow::Drain, CloseReason::Shutdown);
    }
}

fn subscribe(ledger: &mut Ledger, id: SubscriberId, sub: &Subscribe) {
    let now = ledger.now;
    let mounted = matches!(sub.via, Via::Mounted { .. });
    if mounted {
        ledger.conns.insert(id, Conn::new(now));
    }
    let members: Vec<Member> = sub
        .topics
        .iter()
        .filter_map(|join| ledger.place(join.topic.as_str()))
        .map(|place| member(ledger, place, &sub.start))
        .collect();
    let history = members
        .iter()
        .any(|member| ledger.topics[member.topic].options.history);
    let primes = history && matches!(sub.start, Start::Now | Start::Newest);
    let prime = primes.then_some(EventId {
        epoch: ledger.config.epoch,
        seq: ledger.seq,
    });
    ledger.stirred |= ledger.more;
    with(ledger, id, |conn| {
        conn.phase = Phase::Streaming;
        conn.mounted = mounted;
        conn.opened = now;
        conn.last_offer = now;
        conn.last_accept = now;
        conn.head_left = sub.head.len();
        conn.members = members;
        conn.prime = prime;
        conn.sub = Some(sub.clone());
        conn.waits = (!mounted).then(Default::default);
    });
}

/// What a new member of a topic is promised.
fn member(ledger: &Ledger, place: usize, start: &Start) -> Member {
    let topic = &ledger.topics[place];
    let len = topic.frames.len();
    // With the newest frame, if one is held.
    let newest = |from: usize| if from < len { len - 1 } else { len };
    let at_now = |from: usize| {
        if topic.options.dedupe {
            newest(from)
        } else {
            len
        }
    };
    let after = |from: usize, seq: u64| {
        (from..len)
            .find(|&index| ledger.frame(place, index).seq > seq)
            .unwrap_or(len)
    };
    let mut resume = Tri::No;
    let mut why = "";
    let span = match start {
        Start::Newest => (newest(topic.from), newest(topic.from_most)),
        Start::Oldest => (topic.from, topic.from_most),
        Start::After(id) if topic.options.history => {
            let known = EventId::parse(id);
            why = match known {
                None => "unknown",
                Some(id) if id.epoch != ledger.config.epoch => "epoch",
                Some(id) if id.seq > ledger.seq => "ahead",
                Some(_) => "expired",
            };
            match known.filter(|_| why == "expired") {
                None => {
                    resume = Tri::Yes;
                    (topic.from, topic.from_most)
                }
                Some(id) => {
                    let gone = |from: usize| {
                        (0..from).any(|index| ledger.frame(place, index).seq > id.seq)
                    };
                    resume = if gone(topic.from) {
                        Tri::Yes
                    } else if !gone(topic.from_most) && id.seq >= topic.life {
                        Tri::No
                    } else {
                        Tri::Maybe
                    };
                    (after(topic.from, id.seq), after(topic.from_most, id.seq))
                }
            }
        }
        Start::Now | Start::After(_) => (at_now(topic.from), at_now(topic.from_most)),
    };
    if !topic.tells_resume() {
        resume = Tri::No;
    }
    Member {
        topic: place,
        first: span.0.min(span.1),
        first_most: span.0.max(span.1),
        joined: len,
        next: span.0.min(span.1),
        moved: Vec::new(),
        got: 0,
        last_key: None,
        told: 0,
        told_gap: false,
        told_id: None,
        resume,
        why,
        resumed: false,
    }
}

fn publish(
    ledger: &mut Ledger,
    place: usize,
    frame: &Frame,
    published: Option<&Published>,
    out: &mut Findings,
) {
    let wire = frame.to_string();
    let Some(tag) = tag_of(&wire) else { return };
    let kept = ledger
        .before
        .as_ref()
        .and_then(|views| views.interests[place])
        .is_some_and(|interest| interest.kept);
    let (text, own) = split_id(&wire, frame.has_own_id());
    let key: String = text
        .split_inclusive('\n')
        .filter(|line| line.starts_with("event:") || line.starts_with("data:"))
        .collect();
    delivery::published(ledger, place, &key, published, kept, out);
    let unchanged = match published {
        Some(published) => published.unchanged,
        None => delivery::equals_newest(ledger, place, &key) == Tri::Yes,
    };
    if unchanged || !kept {
        let fate = if unchanged {
            Fate::Unchanged
        } else {
            Fate::Dropped
        };
        ledger.tags.insert(tag, fate);
        return;
    }
    let told = published.and_then(|published| published.id);
    ledger.seq = told.map_or(ledger.seq + 1, |id| id.seq);
    let id = if ledger.topics[place].options.history {
        Some(format!("{}-{}", ledger.config.epoch, ledger.seq))
    } else {
        own
    };
    let index = ledger.topics[place].frames.len();
    ledger.tags.insert(tag, Fate::Appended(ledger.pubs.len()));
    ledger.topics[place].frames.push(ledger.pubs.len());
    ledger.pubs.push(Pub {
        topic: place,
        index,
        seq: ledger.seq,
        key,
        text,
        id,
    });
    evict(ledger, place);
    let retained = ledger.now + ledger.topics[place].options.retained_for();
    if ledger.topics[place].declared {
        ledger.topics[place].retained_most = ledger.topics[place].retained_most.max(retained);
    }
    for conn in ledger.conns.values_mut() {
        if conn.is_certain() && conn.is_ready() && !conn.mounted && conn.follows(place) {
            conn.waits.get_or_insert_default();
        }
    }
}

/// What leaves the log after a publish, for both ends of what is known.
fn evict(ledger: &mut Ledger, place: usize) {
    let topic = &ledger.topics[place];
    let size = |index: usize| {
        let frame = ledger.frame(place, index);
        frame.text.len() + frame.id.as_ref().map_or(0, |id| id.len() + 5) + 1
    };
    let len = topic.frames.len();
    // An engine may make room for the longest id before it knows the id.
    let slack = if topic.options.history { LONGEST_ID } else { 0 };
    let fit = |mut from: usize, slack: usize| {
        let mut bytes: usize = (from..len).map(size).sum::<usize>() + slack;
        while from + 1 < len
            && (len - from > topic.options.log_frames as usize
                || bytes > topic.options.log_bytes as usize)
        {
            bytes -= size(from);
            from += 1;
        }
        from
    };
    let from = fit(topic.from, 0);
    let mut from_most = fit(topic.from_most, slack);
    if ledger.logs_are_fuzzy() {
        from_most = len - 1;
    }
    let topic = &mut ledger.topics[place];
    topic.from = from;
    topic.from_most = from_most.max(from);
}

fn reported(ledger: &mut Ledger, report: Report, out: &mut Findings) {
    let now = ledger.now;
    let Some((run, _)) = ledger
        .conns
        .get_mut(&report.id)
        .filter(|conn| conn.alive)
        .and_then(|conn| conn.flight.take())
    else {
        return;
    };
    let bytes = run.len().min(report.bytes as usize);
    accept(ledger, report.id, &run, bytes, out);
    with(ledger, report.id, |conn| {
        if report.socket == Socket::Gone {
            return conn.peer_goes();
        }
        conn.blocked = report.socket == Socket::Blocked && !conn.remembered;
        if bytes == run.len() {
            conn.all_accepted();
            if conn.blocked {
                // Nothing waits to be accepted, but nothing would be.
                conn.stall = Some(now);
            }
        } else {
            conn.some_accepted(report.bytes, now);
        }
    });
}

fn writable(ledger: &mut Ledger, id: SubscriberId) {
    with(ledger, id, |conn| {
        if conn.flight.is_some() {
            conn.remembered = true;
            return;
        }
        conn.blocked = false;
        if !conn.outstanding {
            conn.stall = None;
        }
    });
}

/// Takes in bytes that a stream accepted.
fn accept(ledger: &mut Ledger, id: SubscriberId, run: &[u8], bytes: usize, out: &mut Findings) {
    let now = ledger.now;
    let Some(conn) = ledger.conns.get_mut(&id) else {
        return;
    };
    let taken = &run[..bytes];
    let head = conn.head_left.min(bytes);
    let expected = match &conn.sub {
        Some(sub) => &sub.head,
        None => &conn.answer,
    };
    let start = expected.len() - conn.head_left;
    out.holds(
        "D11",
        taken[..head] == expected[start..start + head],
        || format!("{id} was not sent its head as it was handed in"),
    );
    conn.head_left -= head;
    conn.accepted += bytes;
    if bytes > 0 {
        conn.last_accept = now;
    }
    if conn.sub.is_none() {
        out.holds("D11", head == bytes, || {
            format!("{id} was sent more than its answer")
        });
        conn.rest = run[bytes..].to_vec();
        return;
    }
    let blocks = conn.parser.push(&taken[head..]);
    conn.rest = rest(conn, &run[bytes..]);
    for block in blocks {
        delivery::block(ledger, id, &block, out);
    }
}

/// What of a run that was not accepted belongs to something begun.
fn rest(conn: &Conn, left: &[u8]) -> Vec<u8> {
    if conn.head_left > 0 {
        let begun = conn.accepted > 0;
        return left[..if begun {
            conn.head_left.min(left.len())
        } else {
            0
        }]
            .to_vec();
    }
    if conn.parser.unfinished().is_empty() {
        return Vec::new();
    }
    let mut parser: Parser = conn.parser.clone();
    let mut end = 0;
    while end < left.len() {
        end += 1;
        if !parser.push(&left[end - 1..end]).is_empty() {
            break;
        }
    }
    left[..end].to_vec()
}

impl Conn {
    fn peer_goes(&mut self) {
        if self.finished.is_some() {
            self.peer_went = true;
        } else {
            self.alive = false;
        }
    }

    fn all_accepted(&mut self) {
        self.outstanding = false;
        self.stall = None;
    }

    fn some_accepted(&mut self, bytes: u32, now: Time) {
        self.outstanding = true;
        if bytes > 0 || self.stall.is_none() {
            self.stall = Some(now);
        }
    }
}

impl super::facts::Topic {
    fn cause(&mut self, reason: StopReason) {
        if self.causes.is_empty() {
            self.causes_stale = Tri::No;
        }
        self.causes.push(reason);
    }
}

impl Ledger {
    /// Streams that may have a reason to end by now. When actions are pulled, a stall may be decided
    /// whose close is pulled later.
    pub(super) fn may_end(&mut self, deciding: bool) {
        let now = self.now;
        let finished = |member: &Member| self.topics[member.topic].spent;
        let mut ending = Vec::new();
        for (id, conn) in &self.conns {
            let Some(sub) = conn.sub.as_ref().filter(|_| conn.is_possible()) else {
                continue;
            };
            let life = sub.lifetime.or(self.config.max_lifetime);
            let old = life.is_some_and(|life| now >= conn.opened + life / 8 * 7);
            let expired = sub.expires.is_some_and(|expires| now >= expires);
            let stalled = [conn.stall, conn.woken]
                .into_iter()
                .flatten()
                .any(|since| now >= since + self.config.write_timeout);
            let lagged = conn.members.iter().any(|member| {
                let topic = &self.topics[member.topic];
                topic.options.slow == sse_state::Slow::Close && member.next < topic.from_most
            });
            let done = sub.end_when_finished
                && conn.members.iter().any(|member| {
                    finished(member) != Tri::No || !self.topics[member.topic].causes.is_empty()
                });
            let held = self.config.held_bytes < 1 << 16;
            ending.push((*id, stalled, old || expired || lagged || done || held));
        }
        for (id, stalled, ends) in ending {
            with(self, id, |conn| {
                conn.may_stall = stalled || (conn.may_stall && deciding);
                if ends {
                    conn.may_end_since = conn.may_end_since.min(now);
                    conn.may_end = true;
                }
            });
        }
    }

    /// What follows from a step for topics: who is there, what is held.
    pub(super) fn settle(&mut self, step: &Step) {
        let pulled = !matches!(step.what, What::Call { .. });
        for place in 0..self.topics.len() {
            let (certain, possible) = self.members(place);
            let (now, seq) = (self.now, self.seq);
            let stands = step.after.interests[place].is_some();
            let topic = &mut self.topics[place];
            let len = topic.frames.len();
            if certain > 0 {
                topic.certain_zero = None;
            } else {
                topic.certain_zero.get_or_insert(now);
                if topic.spent == Tri::Yes {
                    topic.spent = Tri::Maybe;
                }
                if topic.causes_stale == Tri::No {
                    topic.causes_stale = Tri::Maybe;
                }
            }
            if possible > 0 {
                topic.possible_zero = None;
            } else {
                topic.possible_zero.get_or_insert(now);
                topic.spent = Tri::No;
                topic.causes_stale = Tri::Yes;
            }
            let retained = topic.options.retained_for();
            let over = |since: Option<Time>| {
                since.is_some_and(|since| now >= (since + retained).max(topic.retained_most))
            };
            let surely = over(topic.possible_zero);
            let maybe = topic
                .certain_zero
                .is_some_and(|since| now >= since + retained);
            let source_idle = topic.running().is_none();
            if !stands || (topic.declared && step.is_idle() && surely && source_idle) {
                if topic.from < len || !stands {
                    topic.life = seq;
                }
                topic.from = len;
                topic.from_most = len;
            } else if topic.declared && pulled && maybe {
                topic.from_most = len;
            }
        }
    }

    /// After the rules have looked.
    pub(super) fn close_step(&mut self, step: &Step) {
        if !step.events().is_empty() {
            self.quiet = None;
        }
        if step.is_idle() {
            for conn in self.conns.values_mut() {
                conn.may_stall = false;
            }
            self.quiet = Some(step.after.timeout);
            self.more = false;
            self.stirred = false;
        } else if !matches!(step.what, What::Call { .. }) {
            self.more = true;
        }
        self.before = Some(step.after.clone());
    }
}

/// Bytes of the longest id of a machine.
const LONGEST_ID: usize = 34;

/// The tag that a scenario gave an event.
pub(super) fn tag_of(wire: &str) -> Option<u64> {
    let block = Parser::new().push(wire.as_bytes()).pop()?;
    tag_in(&block)
}

/// The tag of an event that was read.
pub(super) fn tag_in(block: &crate::wire::Block) -> Option<u64> {
    let data = block.data.as_deref()?;
    match data.strip_prefix('#') {
        Some(rest) => {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        }
        None => block.retry,
    }
}

/// The text before the id line, and the id.
fn split_id(wire: &str, own: bool) -> (String, Option<String>) {
    let text = wire.strip_suffix("\n\n").unwrap_or(wire);
    if own && let Some((text, id)) = text.rsplit_once("\nid: ") {
        return (format!("{text}\n"), Some(id.to_owned()));
    }
    (format!("{text}\n"), None)
}
