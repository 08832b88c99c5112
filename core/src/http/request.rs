//! A request head that is complete and right, and what it says.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::host::Authority;
use super::query::{Parameter, parameters};
use super::target::{LAST_EVENT_ID, Target};
use super::{
    BodyBytes, Head, HeadLimits, Method, Progress, QueryRule, Refusal, escape_for_log,
    loopback_host_allowed,
};

/// A request head that passed every rule of WIRE §2 that the head alone decides.
///
/// Made by [`Head`] from bytes, or by [`Request::from_parts`] from what a framework has parsed.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    method: Method,
    minor: u8,
    target_text: Span,
    target: Target,
    fields: Vec<Field>,
    host: Option<Span>,
    content_length: Option<u64>,
}

/// The id after which a client wants to go on (WHATWG HTML §9.2.3, WIRE §5). It is bytes, never an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastEventId<'a> {
    /// Neither the field nor the parameter is there, or it is empty: no id was ever received.
    Absent,
    /// At most [`LastEventId::MAX_BYTES`] bytes, whatever they are.
    Bytes(Cow<'a, [u8]>),
    /// Repeated or over-long: some id that nobody knows.
    Unknown,
}

impl LastEventId<'_> {
    /// The longest id that is looked at.
    pub const MAX_BYTES: usize = 128;

    /// The bytes to resume after, if any; an unknown id is given as `?`, which no server makes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Absent => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Unknown => Some(b"?"),
        }
    }
}

impl Request {
    /// A request that a framework has parsed, held to the same rules as one that came as bytes.
    ///
    /// `target` is path and query; `authority` is the host of the request's URI where the protocol carries it
    /// there (HTTP/2 and later) and replaces `Host`. `Content-Length`, `Transfer-Encoding` and `Expect` are
    /// left out, since framing is the framework's.
    ///
    /// # Errors
    /// The refusal that the same request would get as bytes.
    ///
    /// ```
    /// use sse_state::http::{HeadLimits, QueryRule, Request};
    ///
    /// let fields = [("last-event-id", b"7".as_slice())];
    /// let request = Request::from_parts("GET", "/a?b=1", Some("h"), fields, HeadLimits::default())?;
    /// assert_eq!(request.topic(&QueryRule::all())?, "/a?b=1");
    /// assert_eq!(request.last_event_id().as_bytes(), Some(b"7".as_slice()));
    /// # Ok::<(), sse_state::http::Refusal>(())
    /// ```
    pub fn from_parts<'a>(
        method: &str,
        target: &str,
        authority: Option<&str>,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        limits: HeadLimits,
    ) -> Result<Self, Refusal> {
        let mut head = Head::new(limits);
        // HTTP/1.0 is the version that may come without a host.
        let mut has_host = authority.is_some();
        let mut lines = Vec::new();
        if let Some(authority) = authority {
            lines.push(("host", authority.as_bytes()));
        }
        for (name, value) in fields {
            let is_host = name.eq_ignore_ascii_case("host");
            let replaced = is_host && authority.is_some();
            if replaced
                || LEFT_TO_THE_FRAMEWORK
                    .iter()
                    .any(|left| name.eq_ignore_ascii_case(left))
            {
                continue;
            }
            has_host |= is_host;
            lines.push((name, value));
        }
        let version: &[u8] = if has_host {
            b" HTTP/1.1\r\n"
        } else {
            b" HTTP/1.0\r\n"
        };
        push_part(&mut head, method.as_bytes())?;
        push(&mut head, b" ")?;
        push_part(&mut head, target.as_bytes())?;
        push(&mut head, version)?;
        for (name, value) in lines {
            if !name.bytes().all(is_token_byte) {
                return Err(Refusal::FieldLine);
            }
            push_part(&mut head, name.as_bytes())?;
            push(&mut head, b": ")?;
            push_part(&mut head, value)?;
            push(&mut head, b"\r\n")?;
        }
        push(&mut head, b"\r\n")?;
        head.into_request().ok_or(Refusal::RequestLine)
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whether this is HEAD, whose answer has no body.
    #[must_use]
    pub const fn is_head(&self) -> bool {
        matches!(self.method, Method::Head)
    }

    /// The minor version: 0 for HTTP/1.0, else 1 (RFC 9110 §2.5: a higher one is spoken to as 1).
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor
    }

    /// The target as sent: bytes 0x21–0x7E. For [`topic`](super::topic()); never for a log or a hook.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text(&self.target_text)
    }

    /// The path, percent-decoded once; `*` if the target is that.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path(self.target())
    }

    /// The query as sent, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query(self.target())
    }

    /// The topic that the target names.
    ///
    /// # Errors
    /// [`Refusal::TargetForm`] for `*`; everything else was found right before.
    pub fn topic(&self, rule: &QueryRule) -> Result<String, Refusal> {
        super::topic(self.target(), rule)
    }

    /// The host asked for, with its port as sent: the authority of an absolute-form, else `Host`; well-formed.
    /// `None` only in HTTP/1.0.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match &self.target.authority {
            Some(authority) => self.target().get(authority.clone()),
            None => self.host.as_ref().map(|host| self.text(host)),
        }
    }

    /// Whether the connection may name this host (WIRE §2, DNS rebinding), see [`loopback_host_allowed`].
    ///
    /// Without a host (HTTP/1.0) it may: no web page can make such a request.
    ///
    /// # Errors
    /// [`Refusal::HostNotAllowed`].
    pub fn check_host(
        &self,
        local_is_loopback: bool,
        allowed_hosts: &[String],
    ) -> Result<(), Refusal> {
        match self.host() {
            Some(host) if local_is_loopback && !loopback_host_allowed(host, allowed_hosts) => {
                Err(Refusal::HostNotAllowed)
            }
            _ => Ok(()),
        }
    }

    /// The values of a field, without spaces around them, one per line, in the order of the request.
    pub fn field<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields()
            .filter(move |(sent, _)| sent.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All fields: names as sent, values without spaces around them. Values may hold any byte but control
    /// bytes other than the tab.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|field| (self.text(&field.name), self.bytes(&field.value)))
    }

    /// The id to resume after: the field `Last-Event-ID`, else the parameter `lastEventId` or
    /// `last_event_id`, decoded.
    #[must_use]
    pub fn last_event_id(&self) -> LastEventId<'_> {
        let field = single_id(self.field("last-event-id").map(Cow::Borrowed));
        if field != LastEventId::Absent {
            return field;
        }
        let is_id =
            |parameter: &Parameter<'_>| LAST_EVENT_ID.iter().any(|id| parameter.is_named(id));
        let sent = parameters(self.query().unwrap_or_default()).filter(is_id);
        single_id(sent.map(|parameter| parameter.value()))
    }

    /// Whether `Accept` names `text/event-stream`. Only for how to refuse (WIRE §3), never to refuse.
    #[must_use]
    pub fn accepts_event_stream(&self) -> bool {
        self.field("accept")
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|range| {
                let name = range.split(|byte| *byte == b';').next().unwrap_or_default();
                name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
            })
    }

    /// `Content-Length`, if it is there.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// The body of a publish, of at most `most` bytes.
    ///
    /// # Errors
    /// [`Refusal::LengthRequired`] without a `Content-Length`, a transfer coding included;
    /// [`Refusal::ContentTooLarge`] if it is over `most`.
    pub fn body(&self, most: u64) -> Result<BodyBytes, Refusal> {
        match self.content_length {
            None => Err(Refusal::LengthRequired),
            Some(length) if length > most => Err(Refusal::ContentTooLarge),
            Some(length) => Ok(BodyBytes::new(length)),
        }
    }

    /// Heap bytes held: at most twice [`HeadLimits::bytes`] and 16 for each field.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.bytes.capacity()
            + self.fields.capacity() * size_of::<Field>()
            + self.target.bytes_held()
    }

    /// `bytes` is a head with CRLF as its only line end, from its request line of length `request_line` on.
    pub(super) fn parse(
        bytes: Vec<u8>,
        request_line: usize,
        field_lines: usize,
    ) -> Result<Self, Refusal> {
        let line = bytes.get(..request_line).unwrap_or_default();
        let (method, target, minor) = request_line_parts(line)?;
        let target_text = Span::of(target, &bytes);
        let target = Target::parse(target, method == Method::Options)?;
        let fields = fields(&bytes, request_line + CRLF.len(), field_lines)?;
        let mut request = Self {
            bytes,
            method,
            minor,
            target_text,
            target,
            fields,
            host: None,
            content_length: None,
        };
        request.check_host_field()?;
        request.check_body()?;
        if request.field("expect").next().is_some() {
            return Err(Refusal::Expectation);
        }
        Ok(request)
    }

    fn check_host_field(&mut self) -> Result<(), Refusal> {
        let mut hosts = self
            .fields
            .iter()
            .filter(|field| self.text(&field.name).eq_ignore_ascii_case("host"));
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Some(host.value.clone()),
            (Some(_), Some(_)) => return Err(Refusal::HostRepeated),
            (None, _) if self.minor == 0 => None,
            (None, _) => return Err(Refusal::HostMissing),
        };
        if let Some(host) = &host {
            let text = core::str::from_utf8(self.bytes(host)).map_err(|_| Refusal::HostInvalid)?;
            Authority::parse(text).ok_or(Refusal::HostInvalid)?;
        }
        self.host = host;
        Ok(())
    }

    fn check_body(&mut self) -> Result<(), Refusal> {
        let coded = self.field("transfer-encoding").next().is_some();
        let mut lengths = self.field("content-length");
        let length = match (lengths.next(), lengths.next()) {
            (Some(value), None) => Some(number(value).ok_or(Refusal::ContentLength)?),
            (Some(_), Some(_)) => return Err(Refusal::ContentLength),
            (None, _) => None,
        };
        drop(lengths);
        if coded && length.is_some() {
            return Err(Refusal::LengthWithCoding);
        }
        if self.method.is_bodiless() && (coded || length.is_some_and(|length| length > 0)) {
            return Err(Refusal::BodyNotAllowed);
        }
        self.content_length = length;
        Ok(())
    }

    fn bytes(&self, span: &Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }

    /// Only for spans that were found to be ASCII.
    fn text(&self, span: &Span) -> &str {
        core::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }
}

/// Without field and query values, which never go into a log (WIRE §7).
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = escape_for_log(self.path().as_bytes());
        write!(f, "Request({} {path})", self.method.as_str())
    }
}

/// Positions of one field line.
#[derive(Clone, Debug)]
struct Field {
    name: Span,
    value: Span,
}

/// A part of the head.
#[derive(Clone, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Where `part` stands in `whole`, of which it is a slice; a head is never over `u32::MAX` bytes.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self {
            start: start as u32,
            end: (start + part.len()) as u32,
        }
    }

    fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// `method SP target SP HTTP/1.x` (RFC 9112 §3). The version is judged first, then the method: whoever
/// speaks another protocol is told so.
fn request_line_parts(line: &[u8]) -> Result<(Method, &[u8], u8), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || !method.iter().copied().all(is_token_byte) || target.is_empty() {
        return Err(Refusal::RequestLine);
    }
    let minor = match version.strip_prefix(b"HTTP/") {
        Some(&[b'1', b'.', minor @ b'0'..=b'9']) => u8::from(minor != b'0'),
        Some(&[b'0'..=b'9', b'.', b'0'..=b'9']) => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    Ok((
        Method::from_bytes(method).ok_or(Refusal::UnknownMethod)?,
        target,
        minor,
    ))
}

/// The field lines from `start` to the end, as httparse splits them; what it lets pass and we do not
/// (a bare LF) was refused byte by byte before.
fn fields(bytes: &[u8], start: usize, lines: usize) -> Result<Vec<Field>, Refusal> {
    let block = bytes.get(start..).unwrap_or_default();
    let mut found = vec![httparse::EMPTY_HEADER; lines];
    match httparse::parse_headers(block, &mut found) {
        Ok(httparse::Status::Complete((_, headers))) => Ok(headers
            .iter()
            .map(|header| Field {
                name: Span::of(header.name.as_bytes(), bytes),
                value: Span::of(header.value, bytes),
            })
            .collect()),
        _ => Err(Refusal::FieldLine),
    }
}

/// One id of all that were sent. An empty one says that no id was ever received, as it does for a browser.
fn single_id<'a>(mut sent: impl Iterator<Item = Cow<'a, [u8]>>) -> LastEventId<'a> {
    match (sent.next(), sent.next()) {
        (Some(_), Some(_)) => LastEventId::Unknown,
        (Some(id), None) if id.len() > LastEventId::MAX_BYTES => LastEventId::Unknown,
        (Some(id), None) if !id.is_empty() => LastEventId::Bytes(id),
        _ => LastEventId::Absent,
    }
}

/// Digits only, below 2⁶⁴.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn push(head: &mut Head, bytes: &[u8]) -> Result<(), Refusal> {
    match head.push(bytes) {
        Progress::Refused(refusal) => Err(refusal),
        Progress::More | Progress::Done { .. } => Ok(()),
    }
}

/// A part that must not end a line of its own accord.
fn push_part(head: &mut Head, part: &[u8]) -> Result<(), Refusal> {
    if part.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(Refusal::LineEnding);
    }
    push(head, part)
}

const CRLF: &str = "\r\n";
const LEFT_TO_THE_FRAMEWORK: [&str; 3] = ["content-length", "transfer-encoding", "expect"];
