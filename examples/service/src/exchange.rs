//! One request of one connection, from its first byte on.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sse_state::http::{
    Answer, BodyBytes, Busy, Drain, Head, HeadLimits, Method, OriginRules, Progress, Refusal,
    Request, http_date, query_parameter,
};
use sse_state::{
    Bound, CloseHow, Engine, Error, Event, Input, Name, Reply, Room, Start, Subscribe,
    SubscriberId, Time,
};

use crate::{Decision, Service};

/// What a connection has sent so far. It owns no socket: a loop hands it bytes, and it feeds the machine.
pub struct Exchange {
    is_local: bool,
    phase: Phase,
}

enum Phase {
    Head(Head),
    Body(Body),
    /// It is a stream or is being answered. What still comes is dropped.
    Over(Drain),
}

/// A publish that is being read.
struct Body {
    topic: Name,
    event: Option<String>,
    missing: BodyBytes,
    bytes: Vec<u8>,
}

impl Exchange {
    /// Nothing has come. `is_local`: the local address of the connection is loopback, which only names of
    /// this machine may ask for.
    pub fn new(is_local: bool) -> Exchange {
        let phase = Phase::Head(Head::new(HeadLimits::default()));
        Exchange { is_local, phase }
    }

    /// Bytes of the connection `id` have come. False if it has sent far too many, and will be cut: read no more.
    pub fn received(
        &mut self,
        bytes: &[u8],
        id: SubscriberId,
        now: Time,
        state: &mut impl Engine,
        service: &mut impl Service,
    ) -> bool {
        let mut turn = Turn {
            id,
            now,
            state,
            service,
        };
        match &mut self.phase {
            Phase::Head(head) => match head.push(bytes) {
                Progress::More => {
                    let bytes = head.bytes_held() as u32;
                    if turn.apply(Input::HeadHeld { id, bytes }).is_err() {
                        self.phase = turn.refuse(&Refusal::NoRoom);
                    }
                }
                Progress::Refused(why) => self.phase = turn.refuse(&why),
                Progress::Done { consumed } => {
                    if let Some(request) = head.request() {
                        self.phase = turn.decide(request, &bytes[consumed..], self.is_local);
                    }
                }
            },
            Phase::Body(body) => {
                let taken = body.missing.take(bytes.len());
                body.bytes.extend_from_slice(&bytes[..taken]);
                if body.missing.is_complete() {
                    let answer = turn.publish(body);
                    self.phase = turn.answer(false, &answer);
                }
            }
            Phase::Over(drain) => {
                if !drain.push(bytes.len()) {
                    let how = CloseHow::Cut;
                    // Nothing to do if it is closed already.
                    let _ = turn.apply(Input::Close { id, how });
                    return false;
                }
            }
        }
        true
    }
}

/// What is at hand while bytes are taken in.
struct Turn<'a, E, S> {
    id: SubscriberId,
    now: Time,
    state: &'a mut E,
    service: &'a mut S,
}

impl<E: Engine, S: Service> Turn<'_, E, S> {
    fn decide(&mut self, request: &Request, rest: &[u8], is_local: bool) -> Phase {
        match self.admit(request, is_local) {
            Ok(Decision::Stream(subscribe)) if !request.is_head() => {
                self.subscribe(request, *subscribe)
            }
            Ok(Decision::Stream(_)) => self.answer(true, &Answer::stream()),
            Ok(Decision::Publish(topic)) => match self.body(request, topic, rest) {
                Ok(body) => body,
                Err(why) => self.refuse(&why),
            },
            Ok(Decision::Answer(answer)) => self.answer(request.is_head(), &answer),
            Err(why) => self.answer(request.is_head(), &Answer::refusal(&why)),
        }
    }

    /// What the head alone decides, in the order of the wire's rules: host, path, method, length, origin.
    fn admit(&mut self, request: &Request, is_local: bool) -> Result<Decision, Refusal> {
        request.check_host(is_local, &[])?;
        let allow = self.service.allows(request.path());
        let allow = allow.ok_or(Refusal::NoRoute)?;
        allow.check(request.method())?;
        let rules = OriginRules::same_origin();
        match request.method() {
            Method::Options => {
                let answer = Answer::options(allow, &rules, request);
                return Ok(Decision::Answer(answer));
            }
            // That it has a length within the bound.
            Method::Post => {
                request.body(MOST_BODY)?;
            }
            _ => {}
        }
        rules.check(request)?;
        Ok(self.service.decide(self.id, request, &*self.state))
    }

    fn subscribe(&mut self, request: &Request, mut subscribe: Subscribe) -> Phase {
        subscribe.head = Answer::stream().to_bytes(false, &http_date(unix_seconds()));
        if let Some(last) = request.last_event_id().as_bytes() {
            subscribe.start = Start::After(Bytes::copy_from_slice(last));
        }
        match self.apply(Input::Subscribe(Box::new(subscribe))) {
            Ok(_) => Phase::Over(Drain::new()),
            Err(Error::Full(Bound::Name)) => self.refuse(&Refusal::NameTooLong),
            Err(Error::Full(_) | Error::ShuttingDown) => {
                // Spread, so that they do not all come back at once.
                let spread = self.id.as_u64().wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let retry_ms = RETRY_MS + spread % (RETRY_MS + 1);
                let accepts = request.accepts_event_stream();
                self.answer(false, &Answer::busy(Busy::Auto, accepts, retry_ms))
            }
            Err(_) => self.refuse(&Refusal::OptionsConflict),
        }
    }

    /// Begins to read the body of a publish; `bytes` of it came with the head.
    fn body(&mut self, request: &Request, topic: Name, bytes: &[u8]) -> Result<Phase, Refusal> {
        let event = query_parameter(request.query().unwrap_or_default(), "event")?;
        let mut missing = request.body(MOST_BODY)?;
        let taken = missing.take(bytes.len());
        let body = Body {
            topic,
            event,
            missing,
            bytes: bytes[..taken].to_vec(),
        };
        if body.missing.is_complete() {
            let answer = self.publish(&body);
            return Ok(self.answer(false, &answer));
        }
        let id = self.id;
        // No more than the bound just checked.
        let bytes = (taken as u64 + body.missing.missing()) as u32;
        self.apply(Input::HeadDone { id })
            .and_then(|_| self.apply(Input::Body { id, bytes }))
            .map_err(|_| Refusal::NoRoom)?;
        Ok(Phase::Body(body))
    }

    fn publish(&mut self, body: &Body) -> Answer {
        self.try_publish(body)
            .unwrap_or_else(|why| Answer::refusal(&why))
    }

    fn try_publish(&mut self, body: &Body) -> Result<Answer, Refusal> {
        let text = std::str::from_utf8(&body.bytes).map_err(|_| Refusal::BodyNotUtf8)?;
        let mut event = Event::new(text);
        if let Some(name) = &body.event {
            event = event.name(name);
        }
        // A line break in a name, for instance.
        let frame = event.encode().map_err(|_| Refusal::QueryParameter)?;
        let topic = body.topic.as_str();
        if self.state.interest(topic).is_some_and(|topic| topic.source) {
            return Err(Refusal::TopicHasSource);
        }
        let (topic, room) = (topic.into(), Room::Evict);
        match self.apply(Input::Publish { topic, frame, room }) {
            Ok(Reply::Published(done)) => {
                Ok(Answer::published(u64::from(done.streams), done.unchanged))
            }
            Err(Error::Full(Bound::Frame)) => Err(Refusal::ContentTooLarge),
            Ok(_) | Err(_) => Err(Refusal::NoRoom),
        }
    }

    fn refuse(&mut self, why: &Refusal) -> Phase {
        self.answer(false, &Answer::refusal(why))
    }

    fn answer(&mut self, is_head: bool, answer: &Answer) -> Phase {
        let (id, bytes) = (
            self.id,
            answer.to_bytes(is_head, &http_date(unix_seconds())),
        );
        if self.apply(Input::Answer { id, bytes }).is_err() {
            // There is no room for the answer either. (If it is dead, nothing happens.)
            let how = CloseHow::Cut;
            let _ = self.apply(Input::Close { id, how });
        }
        Phase::Over(Drain::new())
    }

    fn apply(&mut self, input: Input<'_>) -> Result<Reply, Error> {
        self.state.apply(self.now, input)
    }
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What an event may be long: the default of `Config::frame_bytes`.
const MOST_BODY: u64 = 1 << 20;
/// When a client that was refused for want of room should come back, at the earliest.
const RETRY_MS: u64 = 10_000;
