//! P4: what is said back, and that nothing of a client gets into it.

use sse_state::http::{Allow, AnswerError, Busy, OriginRules, Refusal};

use super::good::{Text, door};
use super::strict::Strict;
use super::subject::{Door, Said, Served, Subject, What, serve};
use super::{Oracle, broken, pieces, show};
use crate::choice::Choice;

/// A strict client reads every answer, and the fields that guard it are there, once.
pub(super) fn p4a_strict(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let said = said(choice);
    let bytes = subject
        .answer(&said, false)
        .map_err(|error| format!("{said:?}: {error}"))?;
    let answer =
        Strict::read(&bytes, false).map_err(|error| format!("{error}: {}", show(&bytes)))?;
    let streams = matches!(said.what, What::Stream | What::Busy(Busy::Retry200, ..));
    let cache = if streams {
        "no-store, no-transform"
    } else {
        "no-store"
    };
    for (name, value) in [
        ("Cache-Control", cache),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let auto = matches!(said.what, What::Busy(Busy::Auto, ..)) && name == "Cache-Control";
        broken(answer.field(name) != Some(value) && !auto, || {
            format!("{name} is {:?}: {}", answer.field(name), show(&bytes))
        })?;
    }
    Ok(())
}

/// The head of a stream is these bytes.
pub(super) fn p4b_stream(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let said = Said {
        what: What::Stream,
        fields: Vec::new(),
    };
    let bytes = subject.answer(&said, choice.chance(1, 2));
    broken(bytes.as_deref() != Ok(STREAM), || {
        format!("{:?}", bytes.map(|bytes| show(&bytes)))
    })
}

/// HEAD gets the fields of GET, and no body.
pub(super) fn p4c_head(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let said = said(choice);
    let [get, head] = [false, true].map(|to_head| {
        let bytes = subject.answer(&said, to_head);
        let bytes = bytes.map_err(|error| error.to_string())?;
        Strict::read(&bytes, to_head).map_err(|error| format!("{error}: {}", show(&bytes)))
    });
    let (get, head) = (get?, head?);
    let same = get.status == head.status && get.fields == head.fields && head.body.is_empty();
    broken(!same, || format!("{get:?}, {head:?}"))
}

/// Nothing that a client sends comes back.
pub(super) fn p4d_echo(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    for _ in 0..1 + choice.pick(4) {
        match choice.pick(10) {
            0 => text.target.push_str(MARK),
            1 => text.target.push_str(&format!("?{MARK}=%0D%0AX:{MARK}")),
            2 => text.add(&format!("X-{MARK}: {MARK}")),
            3 => text.add(&format!("Origin: https://{MARK}.example")),
            4 => {
                text.method = "OPTIONS".into();
                text = text.without("content-length");
                text.add("Access-Control-Request-Method: GET");
                text.add(&format!(
                    "Access-Control-Request-Headers: {MARK}, authorization, {MARK}"
                ));
            }
            5 => text.add(&format!("Last-Event-ID: {MARK}")),
            6 => text.method.push_str(MARK),
            7 => text.version = format!("HTTP/{MARK}"),
            8 => {
                text = text
                    .without("host")
                    .with(&format!("Host: {MARK}.example"), choice)
            }
            _ => text.add(&format!("Accept: text/{MARK}")),
        }
    }
    let origins = match choice.pick(3) {
        0 => OriginRules::same_origin(),
        1 => OriginRules::any(),
        _ => OriginRules::list(["https://app.example"]).unwrap_or_default(),
    };
    let door = Door {
        origins,
        loopback: choice.chance(1, 3),
        ..door()
    };
    let head = text.bytes();
    let Served::Answered { bytes, .. } = serve(subject, &door, &pieces(&head, choice)) else {
        return Err(format!("{} is not answered", show(&head)));
    };
    let echoed = bytes
        .windows(MARK.len())
        .any(|part| part.eq_ignore_ascii_case(MARK.as_bytes()));
    broken(echoed, || format!("{}: {}", show(&head), show(&bytes)))?;
    // Whether a head that is refused is of HEAD may not be known.
    let read = Strict::read(&bytes, false).or_else(|_| Strict::read(&bytes, true));
    read.map(drop)
        .map_err(|error| format!("{error}: {}", show(&bytes)))
}

/// What an author hands in and cannot stand in a field is an error, and never edited.
pub(super) fn p4e_author(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let bad = choice.one_of(&[
        "\r\nX: y",
        "a\nb",
        "a\rb",
        "a\0b",
        "\u{7f}",
        "\u{1b}[31m",
        "ä",
        " a",
        "a ",
    ]);
    let mut said = said(choice);
    let expected = match choice.pick(5) {
        0 => {
            said.fields.push(("X-A".into(), bad.into()));
            AnswerError::Value(bad.into())
        }
        1 => {
            said.fields.push((bad.into(), "x".into()));
            AnswerError::Name(bad.into())
        }
        2 => {
            said.what = What::Fixed(bad.into(), Vec::new());
            AnswerError::Value(bad.into())
        }
        3 => {
            let name = choice.one_of(&[
                "Content-Length",
                "transfer-encoding",
                "Connection",
                "Date",
                "Cache-Control",
            ]);
            said.fields.push((name.into(), "x".into()));
            AnswerError::Reserved(name.into())
        }
        _ => {
            let status = choice.one_of(&[0, 99, 100, 199, 600, 999]);
            said.what = What::Status(status, String::new());
            AnswerError::Status(status)
        }
    };
    let result = subject.answer(&said, false);
    broken(result.as_ref() != Err(&expected), || {
        format!("{said:?}: {:?}", result.map(|bytes| show(&bytes)))
    })
}

/// What a log gets of a request is printable ASCII, at most 128 bytes, without a bare quote or backslash.
pub(super) fn p4f_log(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let length = choice.one_of(&[0, 1, 31, 32, 33, 127, 128, 129, 500]);
    let plain = choice.chance(1, 3);
    let bytes: Vec<u8> = (0..length)
        .map(|_| {
            if plain {
                choice.one_of(b"abc /")
            } else {
                choice.pick(256) as u8
            }
        })
        .collect();
    let shown = subject.escape(&bytes);
    let printable = shown.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let uncut = bytes.escape_ascii().to_string();
    let whole = uncut.len() > 128 || shown == uncut;
    broken(!printable || shown.len() > 128 || !whole, || {
        format!("{} is {shown:?}", show(&bytes))
    })
}

/// Every refusal has its status, a line of text, and `Allow` with 405.
pub(super) fn p4g_refusals(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let (why, status) = choice.one_of(&REFUSALS);
    let said = Said {
        what: What::Refusal(why),
        fields: Vec::new(),
    };
    let bytes = subject
        .answer(&said, false)
        .map_err(|error| error.to_string())?;
    let answer = Strict::read(&bytes, false)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let one_line = text.len() > 1 && text.len() < 250 && text.find('\n') == Some(text.len() - 1);
    let allow = match why {
        Refusal::MethodNotAllowed(allow) => Some(allow.as_str()),
        _ => None,
    };
    broken(
        answer.status != status || !one_line || answer.field("Allow") != allow,
        || format!("{why:?}: {}", show(&bytes)),
    )
}

/// The answer to a publish, and to whom there is no room for.
pub(super) fn p4h_counts(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let number = choice.one_of(&[0, 1, 9999, 10_000, 10_001, 20_000, u64::MAX]);
    let flag = choice.chance(1, 2);
    let (what, status, body) = if choice.chance(1, 2) {
        let status = if flag {
            200
        } else if number == 0 {
            202
        } else {
            201
        };
        let unchanged = if flag { ",\"unchanged\":true" } else { "" };
        let body = format!("{{\"subscribers\":{number}{unchanged}}}");
        (What::Published(number, flag), status, Some(body))
    } else {
        let busy = choice.one_of(&[Busy::Auto, Busy::Retry200, Busy::Status503]);
        let retries = busy == Busy::Retry200 || busy == Busy::Auto && flag;
        let body = retries.then(|| format!("retry: {number}\n\n"));
        (
            What::Busy(busy, flag, number),
            if retries { 200 } else { 503 },
            body,
        )
    };
    let said = Said {
        what,
        fields: Vec::new(),
    };
    let bytes = subject
        .answer(&said, false)
        .map_err(|error| error.to_string())?;
    let answer =
        Strict::read(&bytes, false).map_err(|error| format!("{error}: {}", show(&bytes)))?;
    let after = (status == 503).then(|| number.div_ceil(1000).to_string());
    let right = answer.status == status
        && answer.field("Retry-After") == after.as_deref()
        && body.is_none_or(|body| answer.body == body.as_bytes());
    broken(!right, || format!("{said:?}: {}", show(&bytes)))
}

/// Something that can be said.
fn said(choice: &mut Oracle<'_>) -> Said {
    let what = match choice.pick(6) {
        0 => What::Stream,
        1 => What::Refusal(choice.one_of(&REFUSALS).0),
        2 => What::Status(
            choice.one_of(&[200, 204, 205, 302, 304, 401, 418, 599]),
            "no\n".into(),
        ),
        3 => What::Fixed(
            "text/html".into(),
            choice.one_of(&[&b""[..], b"<p>\r\n\r\n\0\xff"]).into(),
        ),
        4 => What::Published(u64::from(choice.pick(3)), choice.chance(1, 2)),
        _ => What::Busy(
            choice.one_of(&[Busy::Auto, Busy::Retry200, Busy::Status503]),
            choice.chance(1, 2),
            10_000 + u64::from(choice.pick(10_001)),
        ),
    };
    let fields = [
        ("Content-Security-Policy", "default-src 'self'"),
        ("X-Tab", "a\tb"),
        ("WWW-Authenticate", "Bearer realm=\"x\""),
        ("X-Empty", ""),
    ];
    let taken = choice.pick(3) as usize;
    let first = choice.pick(3) as usize;
    let fields = fields.iter().cycle().skip(first).take(taken);
    Said {
        what,
        fields: fields.map(|(n, v)| ((*n).into(), (*v).into())).collect(),
    }
}

/// What a client sends and never sees again.
const MARK: &str = "Zm4rk";

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-store, no-transform\r\n\
    X-Accel-Buffering: no\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Connection: close\r\n\
    \r\n";

/// Every reason, with the status that docs/wire.md gives it.
const REFUSALS: [(Refusal, u16); 35] = [
    (Refusal::LineEnding, 400),
    (Refusal::ControlByte, 400),
    (Refusal::RequestLine, 400),
    (Refusal::TargetByte, 400),
    (Refusal::TargetForm, 400),
    (Refusal::BadTriplet, 400),
    (Refusal::EscapedDelimiter, 400),
    (Refusal::PathNotUtf8, 400),
    (Refusal::PathControl, 400),
    (Refusal::DotSegment, 400),
    (Refusal::QueryParameter, 400),
    (Refusal::FieldLine, 400),
    (Refusal::HostMissing, 400),
    (Refusal::HostRepeated, 400),
    (Refusal::HostInvalid, 400),
    (Refusal::ContentLength, 400),
    (Refusal::LengthWithCoding, 400),
    (Refusal::BodyNotAllowed, 400),
    (Refusal::BodyNotUtf8, 400),
    (Refusal::CrossSite, 403),
    (Refusal::NoRoute, 404),
    (Refusal::MethodNotAllowed(Allow::Get), 405),
    (Refusal::MethodNotAllowed(Allow::GetPost), 405),
    (Refusal::TopicHasSource, 409),
    (Refusal::LengthRequired, 411),
    (Refusal::ContentTooLarge, 413),
    (Refusal::TargetTooLong, 414),
    (Refusal::NameTooLong, 414),
    (Refusal::Expectation, 417),
    (Refusal::HostNotAllowed, 421),
    (Refusal::HeadTooLarge, 431),
    (Refusal::OptionsConflict, 500),
    (Refusal::UnknownMethod, 501),
    (Refusal::NoRoom, 503),
    (Refusal::Version, 505),
];
