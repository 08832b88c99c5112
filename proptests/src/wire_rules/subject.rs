//! What is put through the rules: everything that stands between a service and its bytes.

use std::time::Duration;

use sse_state::http::{
    Allow, Answer, AnswerError, Busy, Head, HeadLimits, Method, OriginRules, Progress, QueryRule,
    Refusal, Request, escape_for_log, http_date, query_parameter, topic,
};
use sse_state::{Epoch, Event, EventError, EventId};

use crate::wire::{Block, Parser};

/// The surface that the rules are generic over. [`Ours`] is `sse_state` itself.
pub trait Subject {
    /// The one encoding of an event, the empty line included.
    ///
    /// # Errors
    /// What cannot be sent.
    fn encode(&self, event: &Payload) -> Result<Vec<u8>, EventError>;

    /// How an id of the machine's own is written.
    fn id(&self, epoch: u64, seq: u64) -> String;

    /// What a client reads from a stream that comes in these pieces.
    fn parse(&self, pieces: &[&[u8]]) -> Parsed;

    /// A reader of a request head.
    fn head(&self, limits: HeadLimits) -> Box<dyn ReadsHead>;

    /// What the service sees of a request.
    fn see(&self, request: &Request) -> Seen;

    /// The same request as a framework that has parsed it hands it over.
    ///
    /// # Errors
    /// Why it is not served.
    fn mounted(&self, parts: &Parts) -> Result<Request, Refusal>;

    /// The topic that a publisher means by a target.
    ///
    /// # Errors
    /// Why a target names none.
    fn topic(&self, target: &str, rule: &QueryRule) -> Result<String, Refusal>;

    /// The topic that a request is shown under to the hook, the source and the statistics.
    ///
    /// # Errors
    /// Why the request names none.
    fn topic_of(&self, request: &Request, rule: &QueryRule) -> Result<String, Refusal>;

    /// One decoded parameter of a query.
    ///
    /// # Errors
    /// It is repeated or not UTF-8.
    fn parameter(&self, query: &str, name: &str) -> Result<Option<String>, Refusal>;

    /// What the head alone decides.
    ///
    /// # Errors
    /// Why it is not served.
    fn admit(&self, door: &Door, request: &Request) -> Result<Admitted, Refusal>;

    /// An answer of the service, as it goes over the wire.
    ///
    /// # Errors
    /// What the author handed in cannot stand in an answer.
    fn answer(&self, said: &Said, to_head: bool) -> Result<Vec<u8>, AnswerError>;

    /// The answer to a request that was or was not admitted; no request if its head was refused.
    fn reply(
        &self,
        door: &Door,
        request: Option<&Request>,
        admitted: &Result<Admitted, Refusal>,
    ) -> Vec<u8>;

    /// Untrusted bytes as a log holds them.
    fn escape(&self, bytes: &[u8]) -> String;
}

/// An event before it is encoded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    /// Its data.
    pub data: String,
    /// Its name; empty for none.
    pub name: String,
    /// An id of the publisher's own.
    pub id: Option<String>,
    /// The reconnection time.
    pub retry: Option<Duration>,
}

/// What a client has read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    /// The blocks that are complete.
    pub blocks: Vec<Block>,
    /// What it would send as `Last-Event-ID`.
    pub last_id: Option<String>,
}

impl Parsed {
    /// Its events, without the bytes that they came in.
    pub fn events(&self) -> Vec<Block> {
        let events = self.blocks.iter().filter(|block| block.is_event());
        events
            .map(|block| Block {
                raw: Vec::new(),
                ..block.clone()
            })
            .collect()
    }
}

/// Collects a head from pieces.
pub trait ReadsHead {
    /// Takes the next piece.
    fn push(&mut self, piece: &[u8]) -> Progress;

    /// Heap bytes that it holds.
    fn held(&self) -> usize;

    /// The request, once it is complete.
    fn request(&self) -> Option<Request>;
}

/// What a service sees of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The target as sent.
    pub target: String,
    /// The path, decoded.
    pub path: String,
    /// The query as sent.
    pub query: Option<String>,
    /// The minor version.
    pub minor: u8,
    /// The host asked for.
    pub host: Option<String>,
    /// The length of the body.
    pub length: Option<u64>,
    /// The id to resume after.
    pub resume: Option<Vec<u8>>,
    /// `Accept` names an event stream.
    pub accepts: bool,
    /// All fields.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// A request in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All fields.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// A route, and the connection that a request for it comes on.
#[derive(Clone, Debug)]
pub struct Door {
    /// What the route serves.
    pub allow: Allow,
    /// Who may ask.
    pub origins: OriginRules,
    /// What of a query belongs to the topic.
    pub query: QueryRule,
    /// The local address is loopback.
    pub loopback: bool,
    /// Hosts that may be named then.
    pub allowed_hosts: Vec<String>,
}

/// What a request that is served does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admitted {
    /// Opens a stream of this topic.
    Stream(String),
    /// Is told what a stream would say (HEAD).
    Fields,
    /// Is told what is allowed (OPTIONS).
    Options,
    /// Publishes to this topic.
    Publish(String),
}

/// Everything that can be said.
#[derive(Clone, Debug)]
pub struct Said {
    /// What.
    pub what: What,
    /// Fields of the author.
    pub fields: Vec<(String, String)>,
}

/// The kinds of answers.
#[derive(Clone, Debug)]
pub enum What {
    /// The head of a stream.
    Stream,
    /// A refusal.
    Refusal(Refusal),
    /// The status of a hook, and its text.
    Status(u16, String),
    /// A page: its type and body.
    Fixed(String, Vec<u8>),
    /// How many got a publish; whether it changed nothing.
    Published(u64, bool),
    /// No room.
    Busy(Busy, bool, u64),
}

/// `sse_state`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ours;

impl Subject for Ours {
    fn encode(&self, event: &Payload) -> Result<Vec<u8>, EventError> {
        let mut made = Event::new(&event.data).name(&event.name);
        if let Some(id) = &event.id {
            made = made.id(id);
        }
        if let Some(retry) = event.retry {
            made = made.retry(retry);
        }
        Ok(made.encode()?.to_string().into_bytes())
    }

    fn id(&self, epoch: u64, seq: u64) -> String {
        let epoch = Epoch(epoch);
        EventId { epoch, seq }.to_string()
    }

    fn parse(&self, pieces: &[&[u8]]) -> Parsed {
        let mut parser = Parser::new();
        let blocks = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
        let last_id = parser.last_id().map(String::from);
        Parsed { blocks, last_id }
    }

    fn head(&self, limits: HeadLimits) -> Box<dyn ReadsHead> {
        Box::new(Head::new(limits))
    }

    fn see(&self, request: &Request) -> Seen {
        Seen {
            method: request.method(),
            target: request.target().into(),
            path: request.path().into(),
            query: request.query().map(String::from),
            minor: request.minor_version(),
            host: request.host().map(String::from),
            length: request.content_length(),
            resume: request.last_event_id().as_bytes().map(<[u8]>::to_vec),
            accepts: request.accepts_event_stream(),
            fields: request
                .fields()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    fn mounted(&self, parts: &Parts) -> Result<Request, Refusal> {
        let fields = parts.fields.iter().map(|(n, v)| (n.as_str(), v.as_slice()));
        let limits = HeadLimits::default();
        Request::from_parts(&parts.method, &parts.target, None, fields, limits)
    }

    fn topic(&self, target: &str, rule: &QueryRule) -> Result<String, Refusal> {
        topic(target, rule)
    }

    fn topic_of(&self, request: &Request, rule: &QueryRule) -> Result<String, Refusal> {
        request.topic(rule)
    }

    fn parameter(&self, query: &str, name: &str) -> Result<Option<String>, Refusal> {
        query_parameter(query, name)
    }

    fn admit(&self, door: &Door, request: &Request) -> Result<Admitted, Refusal> {
        request.check_host(door.loopback, &door.allowed_hosts)?;
        door.allow.check(request.method())?;
        if request.method() == Method::Options {
            return Ok(Admitted::Options);
        }
        door.origins.check(request)?;
        let topic = request.topic(&door.query)?;
        Ok(match request.method() {
            Method::Get => Admitted::Stream(topic),
            Method::Post => Admitted::Publish(topic),
            _ => Admitted::Fields,
        })
    }

    fn answer(&self, said: &Said, to_head: bool) -> Result<Vec<u8>, AnswerError> {
        let mut answer = match &said.what {
            What::Stream => Answer::stream(),
            What::Refusal(why) => Answer::refusal(why),
            What::Status(status, text) => Answer::status(*status, text.as_str())?,
            What::Fixed(kind, body) => Answer::fixed(kind.clone(), body.clone())?,
            What::Published(subscribers, unchanged) => Answer::published(*subscribers, *unchanged),
            What::Busy(busy, accepts, retry) => Answer::busy(*busy, *accepts, *retry),
        };
        for (name, value) in &said.fields {
            answer = answer.field(name.clone(), value.clone())?;
        }
        Ok(answer.to_bytes(to_head, &http_date(NOW)).to_vec())
    }

    fn reply(
        &self,
        door: &Door,
        request: Option<&Request>,
        admitted: &Result<Admitted, Refusal>,
    ) -> Vec<u8> {
        let answer = match (admitted, request) {
            (Err(why), _) => Answer::refusal(why),
            (Ok(Admitted::Options), Some(request)) => {
                Answer::options(door.allow, &door.origins, request)
            }
            (Ok(Admitted::Publish(_)), _) => Answer::published(1, false),
            (Ok(_), _) => Answer::stream(),
        };
        let answer = match request {
            Some(request) => answer.cors(&door.origins, request),
            None => answer,
        };
        let to_head = request.is_some_and(Request::is_head);
        answer.to_bytes(to_head, &http_date(NOW)).to_vec()
    }

    fn escape(&self, bytes: &[u8]) -> String {
        escape_for_log(bytes).to_string()
    }
}

impl ReadsHead for Head {
    fn push(&mut self, piece: &[u8]) -> Progress {
        Head::push(self, piece)
    }

    fn held(&self) -> usize {
        self.bytes_held()
    }

    fn request(&self) -> Option<Request> {
        Head::request(self).cloned()
    }
}

/// How a connection went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Served {
    /// Its head is not complete.
    More,
    /// It was answered.
    Answered {
        /// What was decided.
        admitted: Result<Admitted, Refusal>,
        /// What was written.
        bytes: Vec<u8>,
    },
}

/// Serves a connection on which these pieces come.
pub fn serve(subject: &dyn Subject, door: &Door, pieces: &[&[u8]]) -> Served {
    let mut head = subject.head(HeadLimits::default());
    let mut last = Progress::More;
    for piece in pieces {
        if last != Progress::More {
            break;
        }
        last = head.push(piece);
    }
    let request = head.request();
    let admitted = match (last, &request) {
        (Progress::Refused(why), _) => Err(why),
        (Progress::Done { .. }, Some(request)) => subject.admit(door, request),
        _ => return Served::More,
    };
    let bytes = subject.reply(door, request.as_ref(), &admitted);
    Served::Answered { admitted, bytes }
}

/// The time of every answer: Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
const NOW: u64 = 784_111_777;
