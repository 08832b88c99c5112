//! Takes steps into the ledger.

use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Answer, CloseHow, CloseReason, Control, Error, Input, Next, PollOutcome, Published, Pulled,
    Reply, Report, Socket, StopReason, SubscriberId, Time,
};

use super::facts::{Conn, Down, End, Fate, Ledger, Phase, Running, Source, Tri};
use super::{Findings, delivery, logs, offers, room};
use crate::trace::Views;
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
        ledger.work.time(ledger.now, at);
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
            let order = ledger.conns.len();
            ledger.conns.insert(*id, Conn::new(now, order));
        }
        (Input::HeadDone { id }, _) => {
            let closes = ledger.closes;
            with(ledger, *id, |conn| conn.asked = closes);
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
        (Input::Subscribe(sub), Reply::Id(id)) => logs::subscribe(ledger, *id, sub),
        (Input::Publish { topic, frame, .. }, Reply::Published(published)) => {
            if let Some(place) = ledger.place(topic) {
                logs::publish(ledger, place, frame, Some(published), out);
            }
        }
        (Input::Feed { token, frame, .. }, reply) => {
            if let Some(&place) = ledger.tokens.get(token) {
                logs::publish(ledger, place, frame, published_in(reply), out);
            }
        }
        (Input::Close { id, how }, _) => {
            end(ledger, *id, *how, CloseReason::Asked);
            ledger.stirred |= ledger.more;
        }
        (Input::CloseKey { key }, _) => {
            ledger.closes += 1;
            let closes = ledger.closes;
            ledger.closed_keys.insert(key.as_str().to_owned(), closes);
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
                    logs::publish(ledger, place, frame, published_in(reply), out);
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
        (Input::Report(reports), Reply::Stale(stale)) => {
            let dead = |id| ledger.live(id).is_none();
            let late = *stale > reports.iter().filter(|report| dead(report.id)).count() as u32;
            ledger.sums.fuzzy |= late;
            for report in reports.iter() {
                // A close that was decided, and not pulled, makes a report come too late.
                let dying = ledger
                    .live(report.id)
                    .is_some_and(|conn| !conn.is_certain());
                let mut report = *report;
                if late && dying {
                    // Which of them is not told; nothing but a close can follow.
                    with(ledger, report.id, |conn| conn.late = true);
                    report.socket = Socket::Ready;
                }
                reported(ledger, report, out);
            }
        }
        (Input::Writable { id }, _) => writable(ledger, *id),
        (Input::Pull { id }, Reply::Pulled(pulled)) => {
            with(ledger, *id, |conn| conn.woken = None);
            offers::note_lags(ledger, *id);
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
pub(super) fn control(ledger: &mut Ledger, control: &Control, out: &mut Findings) {
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
        Control::Close { id, reason, ending } => {
            // What is reported between the take that was too much and the close comes too late.
            ledger.sums.fuzzy |= *reason == CloseReason::Held;
            with(ledger, *id, |conn| {
                conn.alive = false;
                conn.closed = Some((*reason, *ending));
            });
        }
        Control::Room { topic } => room::told(ledger, topic, out),
    }
}

pub(super) fn with(ledger: &mut Ledger, id: SubscriberId, act: impl FnOnce(&mut Conn)) {
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
    let before = ledger.sums.delivered;
    accept(ledger, report.id, &run, bytes, out);
    if report.socket == Socket::Gone {
        let sums = &mut ledger.sums;
        sums.loose.0 += sums.delivered - before + 1;
        sums.loose.1 += bytes as u64;
    }
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
                conn.progressed = true;
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
        "D11f",
        taken[..head] == expected[start..start + head],
        || format!("{id} was not sent its head as it was handed in"),
    );
    conn.head_left -= head;
    conn.accepted += bytes;
    ledger.sums.bytes += bytes as u64;
    if bytes > 0 {
        conn.last_accept = now;
    }
    if conn.sub.is_none() {
        out.holds("D11f", head == bytes, || {
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
            self.progressed = bytes > 0;
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

/// The tag that a scenario gave an event.
pub(crate) fn tag_of(wire: &str) -> Option<u64> {
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
