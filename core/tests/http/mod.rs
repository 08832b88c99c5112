//! What the tests of the HTTP part share: heads under every split, and a strict reader of answers.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use sse_state::http::{Answer, Head, HeadLimits, HttpDate, Progress, Refusal, Request, http_date};

/// How a head ended: everything that can be seen of it, so that two ways of cutting it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    More,
    Done { consumed: usize, seen: String },
    Refused(Refusal),
}

/// The outcome of `bytes`, which must be the same whole, byte by byte, under every split in two, and under
/// some in many.
pub(crate) fn read_with(bytes: &[u8], limits: HeadLimits) -> Outcome {
    let whole = feed(&[bytes], limits);
    let by_byte: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        feed(&by_byte, limits),
        whole,
        "M9: byte by byte: {}",
        show(bytes)
    );
    // Every split of a short head; of a long one those near its ends and a sample of the others.
    let stride = 1 + bytes.len() / 400;
    for at in (0..=bytes.len()).filter(|at| *at < 60 || bytes.len() - at < 60 || at % stride == 0) {
        let (first, second) = bytes.split_at(at);
        assert_eq!(
            feed(&[first, second], limits),
            whole,
            "M9: split at {at}: {}",
            show(bytes)
        );
    }
    for size in [2, 3, 5, 7, 64, 1_000] {
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        assert_eq!(
            feed(&pieces, limits),
            whole,
            "M9: pieces of {size}: {}",
            show(bytes)
        );
    }
    whole
}

pub(crate) fn read(bytes: impl AsRef<[u8]>) -> Outcome {
    read_with(bytes.as_ref(), HeadLimits::default())
}

/// The refusal of a head.
#[track_caller]
pub(crate) fn refused(bytes: impl AsRef<[u8]>) -> Refusal {
    match read(&bytes) {
        Outcome::Refused(refusal) => refusal,
        other => panic!("not refused: {}: {other:?}", show(bytes.as_ref())),
    }
}

/// A head that must be complete and right, read under every split, with nothing of what follows consumed.
#[track_caller]
pub(crate) fn request(bytes: impl AsRef<[u8]>) -> Request {
    let bytes = bytes.as_ref();
    match read(bytes) {
        Outcome::Done { consumed, .. } => assert_eq!(consumed, bytes.len(), "{}", show(bytes)),
        other => panic!("not done: {}: {other:?}", show(bytes)),
    }
    let mut head = Head::new(HeadLimits::default());
    head.push(bytes);
    head.into_request().expect("it is done")
}

/// A GET of `/` with these field lines after its `Host`.
pub(crate) fn get(field_lines: &str) -> Vec<u8> {
    with_method("GET", field_lines)
}

pub(crate) fn with_method(method: &str, field_lines: &str) -> Vec<u8> {
    format!("{method} / HTTP/1.1\r\nHost: h.example\r\n{field_lines}\r\n").into_bytes()
}

fn feed(pieces: &[&[u8]], limits: HeadLimits) -> Outcome {
    let mut head = Head::new(limits);
    let mut before = 0;
    let mut last = Progress::More;
    for piece in pieces {
        let progress = head.push(piece);
        match (last, progress) {
            (Progress::More, Progress::Done { consumed }) => before += consumed,
            (Progress::More, _) => before += piece.len(),
            (Progress::Done { .. }, now) => assert_eq!(now, Progress::Done { consumed: 0 }),
            (Progress::Refused(_), now) => assert_eq!(now, last, "a refusal stays"),
        }
        last = progress;
        assert!(
            held_is_bounded(&head, limits),
            "P2: {} held",
            head.bytes_held()
        );
        assert_eq!(
            head.request().is_some(),
            matches!(last, Progress::Done { .. })
        );
    }
    match last {
        Progress::More => Outcome::More,
        Progress::Refused(refusal) => {
            assert_eq!(head.bytes_held(), 0, "P2: a refused head is forgotten");
            Outcome::Refused(refusal)
        }
        Progress::Done { .. } => {
            let seen = see(&head.into_request().expect("it is done"));
            Outcome::Done {
                consumed: before,
                seen,
            }
        }
    }
}

fn held_is_bounded(head: &Head, limits: HeadLimits) -> bool {
    let most = match head.request() {
        None => limits.bytes,
        Some(_) => 2 * limits.bytes + 16 * limits.fields,
    };
    head.bytes_held() <= most
}

pub(crate) fn see(request: &Request) -> String {
    let fields: Vec<_> = request
        .fields()
        .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
        .collect();
    format!(
        "{:?} {} | {} | {:?} | 1.{} | {:?} | {:?} | {:?} | {} | {fields:?}",
        request.method(),
        request.target(),
        request.path(),
        request.query(),
        request.minor_version(),
        request.host(),
        request.content_length(),
        request.last_event_id(),
        request.accepts_event_stream(),
    )
}

pub(crate) fn show(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(200)].escape_ascii().to_string()
}

/// An answer as a strict client reads it: it accepts nothing but the grammar of RFC 9112, one of each field
/// that must be single, and a body of exactly the length that was said.
#[derive(Debug)]
pub(crate) struct StrictAnswer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl StrictAnswer {
    #[track_caller]
    pub(crate) fn read(bytes: &[u8], to_head: bool) -> Self {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head ends");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
        let body = bytes[end + 4..].to_vec();
        let mut lines = head.split("\r\n");
        let status = status_line(lines.next().expect("a status line"));
        let fields: Vec<(String, String)> = lines.map(field_line).collect();
        let answer = Self {
            status,
            fields,
            body,
        };
        for (name, _) in &answer.fields {
            let times = answer
                .fields
                .iter()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .count();
            assert!(
                times == 1 || name == "Set-Cookie" || name == "Vary",
                "{name} stands {times} times"
            );
        }
        match answer.field("Content-Length") {
            Some(length) if !to_head => assert_eq!(length, answer.body.len().to_string()),
            _ => assert!(answer.body.is_empty(), "a body without a length"),
        }
        // A second reader, written by others.
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Response::new(&mut headers);
        assert_eq!(other.parse(bytes), Ok(httparse::Status::Complete(end + 4)));
        assert_eq!(
            (other.code, other.headers.len()),
            (Some(status), answer.fields.len())
        );
        answer
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }
}

pub(crate) fn date() -> HttpDate {
    http_date(784_111_777)
}

/// The answer as GET gets it; HEAD must get the same fields and no body.
#[track_caller]
pub(crate) fn read_answer(answer: &Answer) -> StrictAnswer {
    let to_get = StrictAnswer::read(&answer.to_bytes(false, &date()), false);
    let to_head = StrictAnswer::read(&answer.to_bytes(true, &date()), true);
    assert_eq!(
        (to_get.status, &to_get.fields),
        (to_head.status, &to_head.fields)
    );
    assert!(to_head.body.is_empty());
    assert_eq!(to_get.status, answer.status_code());
    to_get
}

fn status_line(line: &str) -> u16 {
    let rest = line.strip_prefix("HTTP/1.1 ").expect("the version");
    let (status, reason) = rest
        .split_once(' ')
        .expect("a space before the reason, even if it is empty");
    assert!(
        reason.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{reason:?}"
    );
    assert!(
        status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()),
        "{status:?}"
    );
    status.parse().expect("three digits")
}

fn field_line(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").expect("a colon and one space");
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    assert!(!name.is_empty() && name.bytes().all(token), "{name:?}");
    assert!(
        value
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~')),
        "{value:?}"
    );
    assert_eq!(value.trim(), value);
    (name.to_string(), value.to_string())
}

/// The same numbers on every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
