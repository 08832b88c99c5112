//! Everything that can be said back, as bytes or as fields for a framework (WIRE §3).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::{Allow, HttpDate, OriginRules, Refusal, Request};

/// An answer: a status, fields, and a body unless it opens a stream.
///
/// Nothing of a request can get into it (P4): it is made of fixed texts, numbers, and what the author of the
/// service handed in, which is checked. Every answer says `Cache-Control: no-store` and
/// `X-Content-Type-Options: nosniff`; as bytes it says `Connection: close` too, since a connection serves one
/// request.
///
/// ```
/// use sse_state::http::{Answer, http_date};
///
/// let answer = Answer::published(3, false).to_bytes(false, &http_date(784_111_777));
/// assert!(answer.starts_with(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"));
/// assert!(answer.ends_with(b"\r\n\r\n{\"subscribers\":3}"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    /// Those of the kind of answer first, then what was added.
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    /// Ends with the connection.
    Stream,
    /// A status that has none (RFC 9110 §6.4.1).
    None,
    Fixed(Bytes),
}

/// How a stream is refused for want of room or because the server is going down (WIRE §3).
///
/// A browser's `EventSource` gives up for ever on any status but 200; everything else understands 503.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// [`Busy::Retry200`] for whoever names `text/event-stream` in `Accept`, else [`Busy::Status503`].
    #[default]
    Auto,
    /// A stream of one `retry:` block, and its end.
    Retry200,
    /// 503 with `Retry-After`.
    Status503,
}

impl Answer {
    /// The head of a stream; its body is what the state machine lends, and it ends with the connection.
    #[must_use]
    pub fn stream() -> Self {
        Self {
            status: 200,
            fields: event_stream_fields(),
            body: Body::Stream,
        }
    }

    /// A refusal: its status, one line of text, and `Allow` with 405.
    #[must_use]
    pub fn refusal(refusal: &Refusal) -> Self {
        let text = format!("{}\n", refusal.text());
        let mut answer = Self::new(refusal.status(), Cow::Borrowed(PLAIN), Bytes::from(text));
        if let Refusal::MethodNotAllowed(allow) = refusal {
            answer.add("Allow", allow.as_str());
        }
        answer
    }

    /// The answer of a hook or of the author: any final status, with a line of text.
    ///
    /// A status that has no body (204, 205, 304) has none here either.
    ///
    /// # Errors
    /// [`AnswerError::Status`] if it is not 200–599.
    pub fn status(status: u16, text: impl Into<String>) -> Result<Self, AnswerError> {
        let body = Bytes::from(text.into());
        if (200..=599).contains(&status) {
            Ok(Self::new(status, Cow::Borrowed(PLAIN), body))
        } else {
            Err(AnswerError::Status(status))
        }
    }

    /// A fixed answer of the author, a page for instance: 200 with this content type and body.
    ///
    /// # Errors
    /// [`AnswerError::Value`] for a content type that is no field value.
    pub fn fixed(
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Bytes>,
    ) -> Result<Self, AnswerError> {
        let content_type = content_type.into();
        if content_type.is_empty() || !is_field_value(&content_type) {
            return Err(AnswerError::Value(content_type.into_owned()));
        }
        Ok(Self::new(200, content_type, body.into()))
    }

    /// The answer to a publish: 201, or 202 if nobody got it, or 200 if it changed nothing.
    #[must_use]
    pub fn published(subscribers: u64, unchanged: bool) -> Self {
        let (status, rest) = match (subscribers, unchanged) {
            (_, true) => (200, ",\"unchanged\":true"),
            (0, false) => (202, ""),
            (_, false) => (201, ""),
        };
        let json = format!("{{\"subscribers\":{subscribers}{rest}}}");
        Self::new(status, Cow::Borrowed(JSON), Bytes::from(json))
    }

    /// A stream refused for room or shutdown, to be tried again after `retry_ms` (10 s and a spread).
    ///
    /// `accepts_event_stream` is [`Request::accepts_event_stream`].
    #[must_use]
    pub fn busy(busy: Busy, accepts_event_stream: bool, retry_ms: u64) -> Self {
        let retry_200 = match busy {
            Busy::Auto => accepts_event_stream,
            Busy::Retry200 => true,
            Busy::Status503 => false,
        };
        if retry_200 {
            let body = Body::Fixed(Bytes::from(format!("retry: {retry_ms}\n\n")));
            return Self {
                status: 200,
                fields: event_stream_fields(),
                body,
            };
        }
        let mut answer = Self::refusal(&Refusal::NoRoom);
        answer.add("Retry-After", retry_ms.div_ceil(1_000).to_string());
        answer
    }

    /// The answer to OPTIONS: 204 with `Allow`, and what a CORS preflight asks for if it is one.
    ///
    /// Of the fields asked for those of `Last-Event-ID`, `Cache-Control`, `Authorization`, `Content-Type` are
    /// allowed. Whether the origin may is said by [`Answer::cors`], as on every answer.
    #[must_use]
    pub fn options(allow: Allow, rules: &OriginRules, request: &Request) -> Self {
        let mut answer = Self::new(204, Cow::Borrowed(PLAIN), Bytes::new());
        answer.add("Allow", allow.as_str());
        let is_preflight = request
            .field("access-control-request-method")
            .next()
            .is_some()
            && request.field("origin").next().is_some();
        if is_preflight && rules.allow_origin(request).is_some() {
            answer.add("Access-Control-Allow-Methods", allow.as_str());
            let fields = fields_asked_for(request);
            if !fields.is_empty() {
                answer.add("Access-Control-Allow-Headers", fields);
            }
            answer.add("Access-Control-Max-Age", "7200");
        }
        answer
    }

    /// Adds what the rules of the route say to the origin of the request; for every answer of a route,
    /// refusals too.
    #[must_use]
    pub fn cors(mut self, rules: &OriginRules, request: &Request) -> Self {
        if let Some(origin) = rules.allow_origin(request) {
            self.add("Access-Control-Allow-Origin", String::from(origin));
            if rules.credentials() {
                self.add("Access-Control-Allow-Credentials", "true");
            }
        }
        if rules.varies() {
            self.add("Vary", "Origin");
        }
        self
    }

    /// Adds `WWW-Authenticate`, the challenge of a 401 (RFC 9110 §11.6.1).
    ///
    /// # Errors
    /// As [`Answer::field`].
    pub fn challenge(self, value: impl Into<Cow<'static, str>>) -> Result<Self, AnswerError> {
        self.field("WWW-Authenticate", value)
    }

    /// Adds a field of the author, such as `Content-Security-Policy`.
    ///
    /// # Errors
    /// [`AnswerError::Name`] if the name is no token, [`AnswerError::Reserved`] if it is written here
    /// (framing, caching, type, CORS), [`AnswerError::Value`] if the value is not printable ASCII with inner
    /// spaces and tabs: no CR, LF or NUL gets through.
    pub fn field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Result<Self, AnswerError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || !name.bytes().all(super::request::is_token_byte) {
            return Err(AnswerError::Name(name.into_owned()));
        }
        if RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            return Err(AnswerError::Reserved(name.into_owned()));
        }
        if !is_field_value(&value) {
            return Err(AnswerError::Value(value.into_owned()));
        }
        self.add(name, value);
        Ok(self)
    }

    /// The status code.
    #[must_use]
    pub const fn status_code(&self) -> u16 {
        self.status
    }

    /// Whether the body is a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.body, Body::Stream)
    }

    /// The body; empty for a stream and for a status without one.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match &self.body {
            Body::Fixed(body) => body.clone(),
            Body::Stream | Body::None => Bytes::new(),
        }
    }

    /// The fields for a framework that owns the connection: without `Connection`, `Date`, `Content-Length`.
    pub fn mounted_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The answer as it goes over the wire; of a stream its head. To HEAD (`is_head`) the same without its
    /// body (RFC 9110 §9.3.2).
    #[must_use]
    pub fn to_bytes(&self, is_head: bool, date: &HttpDate) -> Bytes {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in self.mounted_fields() {
            put(&mut head, name, value);
        }
        put(&mut head, "Date", date.as_str());
        put(&mut head, "Connection", "close");
        let mut bytes = Vec::new();
        if let Body::Fixed(body) = &self.body {
            put(&mut head, "Content-Length", &body.len().to_string());
            if !is_head {
                bytes.extend_from_slice(body);
            }
        }
        head.push_str("\r\n");
        let mut head = head.into_bytes();
        head.append(&mut bytes);
        Bytes::from(head)
    }

    fn new(status: u16, content_type: Cow<'static, str>, body: Bytes) -> Self {
        let mut answer = Self {
            status,
            fields: Vec::new(),
            body: Body::None,
        };
        if !matches!(status, 204 | 205 | 304) {
            answer.add("Content-Type", content_type);
            answer.body = Body::Fixed(body);
        }
        answer.add("Cache-Control", "no-store");
        answer.add("X-Content-Type-Options", "nosniff");
        answer
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        self.fields.push((name.into(), value.into()));
    }
}

/// What an author handed in that cannot stand in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// Not a final status, 200–599.
    Status(u16),
    /// Not a field name (RFC 9110 §5.1).
    Name(String),
    /// A field that is written by this crate.
    Reserved(String),
    /// Not printable ASCII, or with spaces around it (RFC 9110 §5.5).
    Value(String),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status} is not a final status (200-599)"),
            Self::Name(name) => write!(f, "{name:?} is not a field name"),
            Self::Reserved(name) => write!(f, "the field {name:?} is written by this crate"),
            Self::Value(value) => write!(f, "{value:?} is not a field value of printable ASCII"),
        }
    }
}

impl core::error::Error for AnswerError {}

fn event_stream_fields() -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    EVENT_STREAM
        .iter()
        .map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value)))
        .collect()
}

/// In our spelling and order, so that nothing of the request is echoed.
fn fields_asked_for(request: &Request) -> String {
    let asked = |known: &&&str| {
        request
            .field("access-control-request-headers")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|name| name.trim_ascii().eq_ignore_ascii_case(known.as_bytes()))
    };
    CORS_FIELDS
        .iter()
        .filter(asked)
        .copied()
        .collect::<Vec<_>>()
        .join(", ")
}

fn put(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

fn is_field_value(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && value.trim_ascii() == value
}

/// RFC 9110 §15; empty for what is not listed, which is allowed (RFC 9112 §4).
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const EVENT_STREAM: [(&str, &str); 4] = [
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),
    ("X-Content-Type-Options", "nosniff"),
];

const CORS_FIELDS: [&str; 4] = [
    "Last-Event-ID",
    "Cache-Control",
    "Authorization",
    "Content-Type",
];

/// Two of one of these would make two readings of one answer.
const RESERVED: [&str; 18] = [
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Trailer",
    "Upgrade",
    "Connection",
    "Keep-Alive",
    "Date",
    "Cache-Control",
    "X-Accel-Buffering",
    "X-Content-Type-Options",
    "Allow",
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
];
