//! Carrying out what was decided: answers, streams, publishes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sse_state::http::{Answer, Drain, HttpDate, Refusal, Request, http_date};
use sse_state::{
    Bound, Error, Event, Input, Join, Name, Reply, Room, Start, Subscribe, SubscriberId, Time, Via,
};

use crate::authorize::{Asked, Decision, Grant, Hook};
use crate::conn::{BodyIn, Conn, Deciding, Opening, Phase};
use crate::decide::{self, Owner, Plan, PublishPlan, Refused, StreamPlan};
use crate::feed::Feed;
use crate::hooks::StreamInfo;
use crate::mount::Pull;
use crate::shared::{Inner, Shared};
use crate::signal::lock;
use crate::supervisor;
use crate::table::{Entry, Way};
use crate::task::{self, Panicked, guarded};

/// Decides a request whose head is complete. `rest` is what came with it.
pub(crate) fn decide(
    shared: &Arc<Shared>,
    id: SubscriberId,
    conn: &Arc<Conn>,
    phase: &mut Phase,
    opening: Opening,
    rest: &[u8],
) {
    let Some(request) = opening.head.into_request() else {
        return;
    };
    let (plan, request) = decide::plan(
        &shared.settings,
        &opening.site,
        request,
        opening.peer,
        Owner::Hub {
            local_is_loopback: opening.local_is_loopback,
        },
    );
    match plan {
        Err(Refused::Because(why)) => refuse(shared, id, phase, request.as_ref(), &why),
        Err(Refused::Broken) => say(shared, id, request.as_ref(), broken()),
        Ok(Plan::Answer(answer)) => say(shared, id, request.as_ref(), answer),
        Ok(Plan::Stream(plan)) => match plan.route.authorize.clone() {
            None => subscribe(shared, id, &plan, &Grant::new()),
            Some(hook) => {
                let asked = plan.asked.clone();
                let plan = Waiting::Stream(plan);
                return ask(shared, id, conn, phase, &hook, asked, plan, rest);
            }
        },
        Ok(Plan::Publish(plan)) => match plan.route.authorize.clone() {
            None => return read_body(shared, id, phase, plan, rest, Drain::new()),
            Some(hook) => {
                let asked = plan.asked.clone();
                let plan = Waiting::Publish(plan);
                return ask(shared, id, conn, phase, &hook, asked, plan, rest);
            }
        },
    }
    let mut drain = Drain::new();
    // Less than the limit: it came with the head.
    let _ = drain.push(rest.len());
    *phase = Phase::Open(drain);
}

/// What waits for a hook.
enum Waiting {
    Stream(StreamPlan),
    Publish(PublishPlan),
}

impl Waiting {
    fn asked(&self) -> &Asked {
        match self {
            Waiting::Stream(plan) => &plan.asked,
            Waiting::Publish(plan) => &plan.asked,
        }
    }

    /// Bytes of its body.
    fn body(&self) -> usize {
        match self {
            Waiting::Stream(_) => 0,
            Waiting::Publish(plan) => plan.length,
        }
    }

    /// The answer if there is no room for it.
    fn busy(&self, shared: &Shared) -> Answer {
        match self {
            Waiting::Stream(plan) => busy(shared, plan.asked.request()),
            Waiting::Publish(_) => Answer::refusal(&Refusal::NoRoom),
        }
    }
}

/// Asks the hook, in a task of its own that is dropped with the phase.
#[expect(clippy::too_many_arguments, reason = "one call, from `decide`")]
fn ask(
    shared: &Arc<Shared>,
    id: SubscriberId,
    conn: &Arc<Conn>,
    phase: &mut Phase,
    hook: &Hook,
    asked: Asked,
    plan: Waiting,
    rest: &[u8],
) {
    match shared.apply(Input::HeadDone { id }) {
        Ok(_) => {}
        Err(Error::Stale) => return,
        Err(_) => {
            let answer = plan.busy(shared);
            return say(shared, id, Some(plan.asked().request()), answer);
        }
    }
    let future = match task::call(|| hook(asked)) {
        Ok(future) => future,
        Err(Panicked) => return say(shared, id, Some(plan.asked().request()), broken()),
    };
    let body = plan.body();
    let (told, target) = (Arc::clone(shared), Arc::clone(conn));
    let (cancel, future) = guarded(future, move |decision| {
        decided(&told, id, &target, plan, decision);
    });
    let mut deciding = Deciding {
        _hook: cancel,
        early: Vec::new(),
        body,
        drain: Drain::new(),
    };
    // Less than the limit: it came with the head.
    let _ = deciding.take(rest);
    *phase = Phase::Deciding(Box::new(deciding));
    shared.runtime.spawn(Box::pin(future));
}

/// The hook has decided.
fn decided(
    shared: &Arc<Shared>,
    id: SubscriberId,
    conn: &Arc<Conn>,
    plan: Waiting,
    decision: Result<Decision, Panicked>,
) {
    let mut phase = lock(&conn.phase);
    let deciding = match std::mem::replace(&mut *phase, Phase::Closed) {
        Phase::Deciding(deciding) => *deciding,
        // It was closed meanwhile.
        other => {
            *phase = other;
            return;
        }
    };
    *phase = Phase::Open(deciding.drain.clone());
    // Reading may have paused.
    conn.look();
    let grant = match decision {
        Ok(Ok(grant)) => grant,
        Ok(Err(refuse)) => {
            let answer = refuse.into_answer().unwrap_or_else(broken);
            return say(shared, id, Some(plan.asked().request()), answer);
        }
        Err(Panicked) => return say(shared, id, Some(plan.asked().request()), broken()),
    };
    match plan {
        Waiting::Stream(plan) => subscribe(shared, id, &plan, &grant),
        Waiting::Publish(plan) => {
            let Deciding { early, drain, .. } = deciding;
            read_body(shared, id, &mut phase, plan, &early, drain);
        }
    }
}

/// Opens a stream, or tells what its head would be.
fn subscribe(shared: &Arc<Shared>, id: SubscriberId, plan: &StreamPlan, grant: &Grant) {
    let request = plan.asked.request();
    if request.is_head() {
        return say(shared, id, Some(request), Answer::stream());
    }
    match try_subscribe(shared, Target::Connection(id), plan, grant) {
        Ok(_) => shared.signal.raise(),
        Err(Error::Stale) => {}
        Err(error) => say(shared, id, Some(request), no_stream(shared, request, error)),
    }
}

/// The answer to who gets no stream.
pub(crate) fn no_stream(shared: &Shared, request: &Request, why: Error) -> Answer {
    match why {
        Error::Full(Bound::Name) => Answer::refusal(&Refusal::NameTooLong),
        Error::Full(_) | Error::ShuttingDown => busy(shared, request),
        // The grant is over before it began.
        Error::Closed | Error::Expired => forbidden(),
        // What the author has declared does not fit together.
        _ => Answer::refusal(&Refusal::OptionsConflict),
    }
}

/// What a stream is written to, or who pulls it.
pub(crate) enum Target<'a> {
    Connection(SubscriberId),
    /// And the mark that the decision took when it began.
    Pull(&'a Arc<Pull>, u64),
}

/// Opens a stream, in one step with what belongs to it.
pub(crate) fn try_subscribe(
    shared: &Shared,
    target: Target<'_>,
    plan: &StreamPlan,
    grant: &Grant,
) -> Result<SubscriberId, Error> {
    let route = &plan.route;
    let request = plan.asked.request();
    let first = plan.asked.topics().first().ok_or(Error::Topics)?;
    let now = shared.now();
    // A key that is no name is nobody's.
    let key = grant.name().map_err(|_| Error::Closed)?;
    let (via, head) = match target {
        Target::Connection(id) => {
            let answer = Answer::stream().cors(&shared.settings.cors, request);
            (Via::Connection(id), answer.to_bytes(false, &date()))
        }
        // The head is the framework's.
        Target::Pull(_, asked) => (Via::Mounted { asked }, Bytes::new()),
    };
    let joins = plan.asked.topics().iter().map(|topic| Join {
        topic: topic.clone(),
        options: route.options.clone(),
    });
    let subscribe = Subscribe {
        topics: joins.collect(),
        start: match request.last_event_id().as_bytes() {
            Some(id) => Start::After(Bytes::copy_from_slice(id)),
            None => route.start.clone(),
        },
        head,
        heartbeat: route.heartbeat,
        retry: route.retry,
        lifetime: route.lifetime,
        expires: grant.lasts().map(|time| now + time),
        key: key.clone(),
        end_when_finished: route.end_when_finished,
        ..Subscribe::new(via, first.clone())
    };
    let entered = enter(
        shared,
        &mut shared.lock(),
        &target,
        plan,
        key,
        now,
        subscribe,
    );
    // Functions of users, at whose end a user's code may run; the lock has been given back.
    entered.map(|(id, swept)| {
        drop(task::call(|| drop(swept)));
        id
    })
}

/// Subscribes, under the lock; gives back what is to be dropped outside of it.
fn enter(
    shared: &Shared,
    inner: &mut Inner,
    target: &Target<'_>,
    plan: &StreamPlan,
    key: Option<Name>,
    now: Time,
    subscribe: Subscribe,
) -> Result<(SubscriberId, Vec<Arc<Feed>>), Error> {
    if inner.events.len() >= shared.settings.untold {
        // The supervisor hangs in a callback. A stream more would wait for its source, and grow the queue.
        shared.counters.refused();
        return Err(Error::Full(Bound::Subscribers));
    }
    let route = &plan.route;
    if let (Some(feed), [topic]) = (&route.feed, plan.asked.topics()) {
        let checked = inner.sources.check(topic, feed, &*inner.engine);
        checked.map_err(|_| Error::Conflict)?;
    }
    let reply = inner
        .engine
        .apply(now, Input::Subscribe(Box::new(subscribe)))?;
    let Reply::Id(id) = reply else {
        return Err(Error::Stale);
    };
    if let Target::Pull(pull, _) = target {
        let way = Way::Pull(Arc::clone(pull));
        // A slot is free before it is given out again.
        inner.table.insert(Entry {
            id,
            way,
            info: None,
        });
    }
    let mut swept = Vec::new();
    if let (Some(feed), [topic]) = (&route.feed, plan.asked.topics()) {
        swept = inner.sources.bring(topic, feed, &*inner.engine);
    }
    if shared.hooks.are_set() {
        let info = Arc::new(StreamInfo {
            id,
            topics: plan.asked.topics().to_vec(),
            key,
            peer: plan.asked.peer(),
        });
        if let Some(entry) = inner.table.get_mut(id) {
            entry.info = Some(Arc::clone(&info));
            inner.events.push_back(supervisor::Event::Opened(info));
        }
    }
    Ok((id, swept))
}

/// Reads the body of a publish; what came of it so far is `bytes`.
fn read_body(
    shared: &Arc<Shared>,
    id: SubscriberId,
    phase: &mut Phase,
    plan: PublishPlan,
    bytes: &[u8],
    drain: Drain,
) {
    let length = plan.length;
    let mut body = BodyIn {
        plan,
        bytes: Vec::new(),
        length,
        drain,
    };
    if bytes.len() < length {
        // A body is bounded to 32 bits.
        let input = Input::Body {
            id,
            bytes: length as u32,
        };
        let begun = if body.plan.route.authorize.is_none() {
            // Nobody was asked, so the machine does not know yet that the head is complete.
            shared.apply(Input::HeadDone { id })
        } else {
            Ok(Reply::Done)
        };
        match begun.and_then(|_| shared.apply(input)) {
            Ok(_) => body.bytes.reserve_exact(length),
            Err(Error::Stale) => return,
            Err(_) => {
                *phase = Phase::Open(body.drain);
                let answer = Answer::refusal(&Refusal::NoRoom);
                return say(shared, id, Some(body.plan.asked.request()), answer);
            }
        }
    }
    // What came with the head is less than the limit of what may follow.
    let _ = body.take(bytes);
    let is_complete = body.is_complete();
    *phase = Phase::Body(Box::new(body));
    if is_complete {
        publish(shared, id, phase);
    }
}

/// Publishes a body that is complete.
pub(crate) fn publish(shared: &Shared, id: SubscriberId, phase: &mut Phase) {
    let Phase::Body(body) = std::mem::replace(phase, Phase::Closed) else {
        return;
    };
    let (plan, bytes, drain) = body.into_parts();
    *phase = Phase::Open(drain);
    let answer = match try_publish(shared, &plan, &bytes) {
        Ok(published) => published,
        Err(answer) => answer,
    };
    say(shared, id, Some(plan.asked.request()), answer);
}

pub(crate) fn try_publish(
    shared: &Shared,
    plan: &PublishPlan,
    body: &[u8],
) -> Result<Answer, Answer> {
    let refused = |why| Answer::refusal(&why);
    let text = std::str::from_utf8(body).map_err(|_| refused(Refusal::BodyNotUtf8))?;
    let mut event = Event::new(text);
    if let Some(name) = &plan.event {
        event = event.name(name);
    }
    let frame = event.encode().map_err(|error| {
        let text = format!("{error}\n");
        Answer::status(400, text).unwrap_or_else(|_| broken())
    })?;
    if frame.wire_bytes(false) > shared.settings.frame_bytes {
        return Err(refused(Refusal::ContentTooLarge));
    }
    let [topic] = plan.asked.topics() else {
        return Err(broken());
    };
    let now = shared.now();
    let mut inner = shared.lock();
    let interest = inner.engine.interest(topic.as_str());
    if interest.is_some_and(|interest| interest.source) {
        return Err(refused(Refusal::TopicHasSource));
    }
    let input = Input::Publish {
        topic: Cow::Borrowed(topic.as_str()),
        frame,
        room: Room::Evict,
    };
    let published = inner.engine.apply(now, input);
    drop(inner);
    shared.signal.raise();
    match published {
        Ok(Reply::Published(published)) => Ok(Answer::published(
            u64::from(published.streams),
            published.unchanged,
        )),
        Err(Error::Full(Bound::Frame)) => Err(refused(Refusal::ContentTooLarge)),
        Err(Error::Full(Bound::Name)) => Err(refused(Refusal::NameTooLong)),
        Err(_) => Err(refused(Refusal::NoRoom)),
        Ok(_) => Err(broken()),
    }
}

/// Refuses a request, or bytes that are none.
pub(crate) fn refuse(
    shared: &Shared,
    id: SubscriberId,
    phase: &mut Phase,
    request: Option<&Request>,
    why: &Refusal,
) {
    *phase = Phase::Open(Drain::new());
    say(shared, id, request, Answer::refusal(why));
}

/// Says it, with what CORS adds on every answer of a route.
fn say(shared: &Shared, id: SubscriberId, request: Option<&Request>, answer: Answer) {
    shared.counters.answered(answer.status_code());
    crate::trace::answered(request.map(Request::path), answer.status_code());
    let bytes = match request {
        Some(request) => answer
            .cors(&shared.settings.cors, request)
            .to_bytes(request.is_head(), &date()),
        None => answer.to_bytes(false, &date()),
    };
    shared.answer(id, bytes);
}

/// No room, or going down (WIRE §3).
pub(crate) fn busy(shared: &Shared, request: &Request) -> Answer {
    let retry_ms = BUSY_RETRY_MS + shared.spread(BUSY_RETRY_MS + 1);
    Answer::busy(
        shared.settings.busy,
        request.accepts_event_stream(),
        retry_ms,
    )
}

/// A function of the author broke.
pub(crate) fn broken() -> Answer {
    crate::trace::panicked("a decision on a request");
    text_answer(500, "internal error\n")
}

fn forbidden() -> Answer {
    text_answer(403, "refused\n")
}

pub(crate) fn text_answer(status: u16, text: &str) -> Answer {
    // Any status of this file is a final one; should it not be, nothing is let in.
    Answer::status(status, text).unwrap_or_else(|_| Answer::refusal(&Refusal::NoRoom))
}

fn date() -> HttpDate {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    http_date(since.map_or(0, |since| since.as_secs()))
}

/// A refused client comes back after this, and up to as much again.
const BUSY_RETRY_MS: u64 = 10_000;
