//! Events, and their one encoding.

use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::{self, Write as _};
use core::time::Duration;
use memchr::{memchr2, memchr2_iter};

use crate::id::{EventId, ID_BYTES};

/// What a publisher hands in, before it is encoded: data, and optionally a name, an id and a
/// reconnection time (WHATWG HTML §9.2.6).
///
/// Whatever [`encode`](Event::encode) accepts comes out of every conforming parser as exactly one
/// event with the same fields; CR, LF and CRLF in data are line breaks there and come back as LF.
///
/// ```
/// use sse_state::Event;
///
/// let frame = Event::new("hello\nworld").name("greeting").encode().unwrap();
/// assert_eq!(frame.to_string(), "event: greeting\ndata: hello\ndata: world\n\n");
/// assert!(Event::new("x").name("a\nb").encode().is_err());
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "an event does nothing until it is encoded and published"]
pub struct Event<'a> {
    data: &'a str,
    name: &'a str,
    id: Option<&'a str>,
    retry: Option<Duration>,
}

impl<'a> Event<'a> {
    /// An event with this data; empty data is an event too.
    pub fn new(data: &'a str) -> Event<'a> {
        Event {
            data,
            name: "",
            id: None,
            retry: None,
        }
    }

    /// Gives it a name, for `addEventListener(name, …)`. Empty and `message` mean none.
    /// Names that begin with `sse-` are this library's own.
    pub fn name(self, name: &'a str) -> Event<'a> {
        let name = if name == "message" { "" } else { name };
        Event { name, ..self }
    }

    /// Gives it an id of the publisher's own: 1 to 128 bytes. Only for topics with
    /// [`own_ids`](crate::TopicOptions::own_ids).
    pub fn id(self, id: &'a str) -> Event<'a> {
        Event {
            id: Some(id),
            ..self
        }
    }

    /// Sets the client's reconnection time: 1 ms to an hour, in whole milliseconds.
    pub fn retry(self, retry: Duration) -> Event<'a> {
        Event {
            retry: Some(retry),
            ..self
        }
    }

    /// Encodes it, once for everybody.
    ///
    /// # Errors
    /// [`EventError`]: what cannot be sent is refused, never edited.
    pub fn encode(self) -> Result<Frame, EventError> {
        if self.name.bytes().any(breaks_a_field) {
            return Err(EventError::Name);
        }
        if self.name.starts_with(RESERVED) {
            return Err(EventError::Reserved);
        }
        if let Some(id) = self.id
            && (id.is_empty() || id.len() > OWN_ID_BYTES || id.bytes().any(breaks_a_field))
        {
            return Err(EventError::Id);
        }
        let retry = match self.retry {
            Some(retry) => match u32::try_from(retry.as_millis()) {
                Ok(millis @ 1..=RETRY_MAX_MS) => Some(millis),
                _ => return Err(EventError::Retry),
            },
            None => None,
        };
        if self.data.len() > DATA_BYTES {
            return Err(EventError::TooLarge);
        }
        Ok(self.write(retry))
    }

    /// Enough for all fields and an id of the machine's.
    fn capacity(&self) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', self.data.as_bytes());
        let lines = breaks.count() * "data: \n".len();
        let id = self.id.map_or(0, str::len).max(ID_BYTES);
        [self.data.len(), lines, self.name.len(), id, OTHER_BYTES]
            .into_iter()
            .sum()
    }

    /// Writes the fields: name and data first, since dedupe compares just these; the id last, since
    /// a snapshot leaves it out and the machine's own id is appended at publish.
    fn write(self, retry: Option<u32>) -> Frame {
        let mut buf = Vec::with_capacity(self.capacity());
        if !self.name.is_empty() {
            put(&mut buf, &[b"event: ", self.name.as_bytes(), b"\n"]);
        }
        let mut rest = self.data.as_bytes();
        loop {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            put(&mut buf, &[b"data: ", &rest[..end], b"\n"]);
            if end == rest.len() {
                break;
            }
            let crlf = rest[end..].starts_with(b"\r\n");
            rest = &rest[end + 1 + usize::from(crlf)..];
        }
        let key = buf.len();
        if let Some(millis) = retry {
            // Writing to a `Vec` cannot fail.
            let _ = writeln!(Text(&mut buf), "retry: {millis}");
        }
        let id_at = buf.len();
        if let Some(id) = self.id {
            put(&mut buf, &[b"id: ", id.as_bytes(), b"\n"]);
        }
        Frame { buf, key, id_at }
    }
}

/// An encoded event that has not been published: its fields, and room for an id.
///
/// Encode outside any lock; publishing only appends the id. [`Display`](fmt::Display) shows the wire form without
/// the machine's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Whole lines; the empty line that ends the event is still missing.
    pub(crate) buf: Vec<u8>,
    /// Where name and data end: what dedupe compares.
    pub(crate) key: usize,
    /// Where the id line begins; the end if there is none.
    pub(crate) id_at: usize,
}

impl Frame {
    /// True if the publisher gave it an id of its own.
    pub fn has_own_id(&self) -> bool {
        self.id_at < self.buf.len()
    }

    /// Its size on the wire in bytes, with the longest id that the machine could add if `with_id`.
    pub fn wire_bytes(&self, with_id: bool) -> usize {
        self.buf.len() + 1 + if with_id { ID_BYTES + 5 } else { 0 }
    }

    /// Ends the frame, with the machine's id if it is to have one, and shares it.
    pub(crate) fn seal(mut self, id: Option<EventId>) -> Sealed {
        if let Some(id) = id {
            let _ = writeln!(Text(&mut self.buf), "id: {id}");
        }
        self.buf.push(b'\n');
        Sealed {
            key: self.key as u32,
            id_at: self.id_at as u32,
            bytes: share(self.buf),
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.buf.utf8_chunks() {
            f.write_str(chunk.valid())?;
        }
        f.write_str("\n")
    }
}

/// A frame as it stands in a log.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Bytes,
    pub(crate) key: u32,
    pub(crate) id_at: u32,
}

impl Sealed {
    /// Name and data, as dedupe compares them.
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[..self.key as usize]
    }

    /// Everything before the id line.
    pub(crate) fn before_id(&self) -> &[u8] {
        &self.bytes[..self.id_at as usize]
    }
}

/// Why an [`Event`] cannot be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventError {
    /// The name holds CR, LF or NUL.
    Name,
    /// The name begins with `sse-`, which is reserved.
    Reserved,
    /// The id is empty, longer than 128 bytes, or holds CR, LF or NUL.
    Id,
    /// The reconnection time is not between 1 ms and 1 h.
    Retry,
    /// The data has more than 256 MiB.
    TooLarge,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventError::Name => "an event name cannot hold CR, LF or NUL",
            EventError::Reserved => "event names that begin with `sse-` are reserved",
            EventError::Id => "an event id has 1 to 128 bytes without CR, LF and NUL",
            EventError::Retry => "a reconnection time lies between 1 ms and 1 h",
            EventError::TooLarge => "an event has at most 256 MiB of data",
        })
    }
}

impl core::error::Error for EventError {}

/// Writes text into a `Vec`; never fails.
pub(crate) struct Text<'a>(pub(crate) &'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Makes bytes shared at once, so that the first delivery does not allocate the count.
pub(crate) fn share(buf: Vec<u8>) -> Bytes {
    let bytes = Bytes::from(buf);
    drop(bytes.clone());
    bytes
}

/// Names with this prefix are the library's own: `sse-gap`, `sse-end`, `sse-heartbeat`.
const RESERVED: &str = "sse-";
/// The longest id of a publisher's own; the same bound as on a `Last-Event-ID`.
const OWN_ID_BYTES: usize = 128;
/// What a frame of one line holds beside its data, name and id, with the longest `retry:`.
const OTHER_BYTES: usize = "event: \ndata: \nretry: 3600000\nid: \n\n".len();
/// One hour: the longest reconnection time that is not a mistake.
const RETRY_MAX_MS: u32 = 3_600_000;
/// Offsets in a frame are 32 bits, and data of line breaks grows eightfold.
const DATA_BYTES: usize = 256 << 20;

/// CR and LF end a field; NUL makes a client ignore an id.
fn breaks_a_field(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

fn put(buf: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        buf.extend_from_slice(part);
    }
}
