//! P1 to P3, P9, X1: how a head is read, whatever it says.

use sse_state::http::{HeadLimits, LastEventId, Progress, Refusal, Request};

use super::good::{Text, door};
use super::subject::{Parts, ReadsHead, Seen, Served, Subject, serve};
use super::{Oracle, broken, pieces, show};
use crate::choice::Choice;

/// However a head is cut, the outcome is the same.
pub(super) fn p1a_split(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let bytes = mangled(choice);
    let whole = read(subject, &[&bytes], HeadLimits::default())?;
    let by_byte: Vec<&[u8]> = bytes.chunks(1).collect();
    let cut = pieces(&bytes, choice);
    for pieces in [by_byte, cut] {
        let outcome = read(subject, &pieces, HeadLimits::default())?;
        broken(outcome != whole, || {
            format!(
                "{}: {whole:?}, but in {} pieces {outcome:?}",
                show(&bytes),
                pieces.len()
            )
        })?;
    }
    Ok(())
}

/// What follows a head is not consumed.
pub(super) fn p1b_consumed(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let head = Text::choose(choice).bytes();
    let tail = tail(choice);
    let bytes = [head.as_slice(), &tail].concat();
    let cut = pieces(&bytes, choice);
    let outcome = read(subject, &cut, HeadLimits::default())?;
    let consumed = match &outcome {
        Outcome::Done { consumed, .. } => Some(*consumed),
        _ => None,
    };
    broken(consumed != Some(head.len()), || {
        format!("{} bytes and {}: {outcome:?}", head.len(), show(&tail))
    })
}

/// A head is complete at its empty line, not before; then nothing is taken, and a refusal stays.
pub(super) fn p1c_final(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let head = text.bytes();
    let cut = choice.pick(head.len() as u32) as usize;
    let mut reader = subject.head(HeadLimits::default());
    let early = reader.push(&head[..cut]);
    broken(early != Progress::More, || {
        format!("{}: {early:?}", show(&head[..cut]))
    })?;
    reader.push(&head[cut..]);
    let after = reader.push(b"GET / HTTP/1.1\r\n");
    broken(after != Progress::Done { consumed: 0 }, || {
        format!("after its end: {after:?}")
    })?;
    let mut refused = subject.head(HeadLimits::default());
    let why = refused.push(b"GET\n");
    let still = refused.push(&head);
    broken(still != why || refused.request().is_some(), || {
        format!("{why:?}, then {still:?}")
    })
}

/// A reader holds at most its bound, and nothing of what it has refused.
pub(super) fn p2a_held(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let bytes = choice.one_of(&[64, 300, 1000, 5000]);
    let limits = HeadLimits { bytes, fields: 64 };
    let mut reader = subject.head(limits);
    let fill = choice.one_of(b"a \r\n");
    let head = [b"GET /".as_slice(), &vec![fill; 2 * bytes]].concat();
    for piece in pieces(&head, choice) {
        let said = reader.push(piece);
        let held = reader.held();
        let most = if said == Progress::More { bytes } else { 0 };
        broken(held > most, || {
            format!("{said:?}: {held} bytes held of {bytes}")
        })?;
    }
    Ok(())
}

/// A head at its bound is read; one byte more is 431, or 414 if the target did it.
pub(super) fn p2b_bounds(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let head = text.bytes();
    let short = choice.pick(4) as usize;
    let limits = HeadLimits {
        bytes: head.len() + 1 - short,
        fields: 64,
    };
    let outcome = read(subject, &pieces(&head, choice), limits)?;
    let right = match &outcome {
        Outcome::Done { .. } => short <= 1,
        Outcome::Refused(why) => short > 1 && *why == Refusal::HeadTooLarge,
        Outcome::More => false,
    };
    broken(!right, || {
        format!("bound {}, {} bytes: {outcome:?}", limits.bytes, head.len())
    })?;
    let target = text.before.len() + text.method.len() + 1;
    let bytes = target + choice.pick(text.target.len() as u32) as usize;
    let limits = HeadLimits { bytes, fields: 64 };
    let outcome = read(subject, &pieces(&head, choice), limits)?;
    broken(outcome != Outcome::Refused(Refusal::TargetTooLong), || {
        format!(
            "bound {bytes} in the target of {}: {outcome:?}",
            show(&head)
        )
    })
}

/// As many field lines as the bound are read; one more is 431.
pub(super) fn p2c_fields(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let text = Text::choose(choice);
    let count = text.lines.len();
    let fields = (count + 1).saturating_sub(choice.pick(3) as usize);
    let limits = HeadLimits {
        bytes: 16 << 10,
        fields,
    };
    let outcome = read(subject, &[&text.bytes()], limits)?;
    let right = match outcome {
        Outcome::Done { .. } => fields >= count,
        Outcome::Refused(why) => fields < count && why == Refusal::TooManyFields,
        Outcome::More => false,
    };
    broken(!right, || {
        format!("{count} fields of {fields}: {outcome:?}")
    })
}

/// `Last-Event-ID` is bytes, as they were sent.
pub(super) fn p3a_bytes(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let id = field_bytes(choice, 128);
    let mut text = Text::choose(choice);
    let name = choice.one_of(&["Last-Event-ID", "last-event-id", "LAST-EVENT-ID"]);
    let line = [name.as_bytes(), b": ", &id].concat();
    text.lines.push(line);
    let seen = done(subject, &text.bytes(), choice)?;
    let expected = (!id.is_empty()).then_some(id);
    broken(seen.resume != expected, || {
        format!("{expected:?} sent, {:?} seen", seen.resume)
    })
}

/// The header wins over the parameter, which is decoded and counts where the header is absent or empty.
pub(super) fn p3b_parameter(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let name = choice.one_of(&["lastEventId", "last_event_id", "last%45ventId"]);
    let mut text = Text::choose(choice);
    text.target = format!("/a?x=1&{name}=a%2Bb+c");
    let mut expected = b"a+b c".to_vec();
    match choice.pick(3) {
        0 => text.add("Last-Event-ID:"),
        1 => {
            text.add("Last-Event-ID: h-1");
            expected = b"h-1".to_vec();
        }
        _ => {}
    }
    let seen = done(subject, &text.bytes(), choice)?;
    broken(seen.resume.as_ref() != Some(&expected), || {
        format!("{}: {:?}", show(&text.bytes()), seen.resume)
    })
}

/// An id that is repeated or over-long is one that nobody knows, and no error.
pub(super) fn p3c_unknown(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut text = Text::choose(choice);
    if choice.chance(1, 2) {
        let length = LastEventId::MAX_BYTES + 1 + choice.pick(200) as usize;
        text.add(&format!("Last-Event-ID: {}", "1".repeat(length)));
    } else {
        let same = choice.chance(1, 2);
        let lines = [
            "Last-Event-ID: 1-1",
            if same {
                "last-event-id: 1-1"
            } else {
                "last-event-id: 2"
            },
        ];
        for line in lines {
            text.add_somewhere(line, choice);
        }
    }
    let seen = done(subject, &text.bytes(), choice)?;
    broken(seen.resume.as_deref() != Some(b"?"), || {
        format!("{}: {:?}", show(&text.bytes()), seen.resume)
    })
}

/// No byte after a head changes a byte of the answer.
pub(super) fn p9_rest(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let head = Text::choose(choice).bytes();
    let tail = tail(choice);
    let bytes = [head.as_slice(), &tail].concat();
    let alone = serve(subject, &door(), &[&head]);
    let followed = serve(subject, &door(), &pieces(&bytes, choice));
    broken(alone != followed || alone == Served::More, || {
        format!(
            "{} and {}: {alone:?}, {followed:?}",
            show(&head),
            show(&tail)
        )
    })
}

/// Every call is total: any bytes, as a head, a target, a query, an event, a text for the log.
pub(super) fn x1_total(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut bytes = Vec::new();
    for _ in 0..choice.pick(60) {
        let any = choice.pick(256) as u8;
        let likely = choice.one_of(b"\r\n :/?%&=GET*.\0\xff\xc3[]");
        bytes.push(if choice.chance(1, 3) { any } else { likely });
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    serve(subject, &door(), &pieces(&bytes, choice));
    let target = [b"GET /", bytes.as_slice(), b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    serve(subject, &door(), &[b"", &target, b""]);
    let field = [b"GET / HTTP/1.1\r\nHost: ", bytes.as_slice(), b"\r\n\r\n"].concat();
    serve(subject, &door(), &[&field]);
    let _ = subject.topic(&text, &door().query);
    let _ = subject.parameter(&text, "a");
    let _ = subject.escape(&bytes);
    let _ = subject.encode(&super::subject::Payload {
        data: text.clone(),
        name: text.clone(),
        id: Some(text.clone()),
        retry: None,
    });
    let _ = subject.parse(&pieces(&bytes, choice));
    let _ = subject.mounted(&Parts {
        method: text.clone(),
        target: text.clone(),
        fields: vec![(text, bytes)],
    });
    Ok(())
}

/// A head whose reader said this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    More,
    Done { consumed: usize, seen: Box<Seen> },
    Refused(Refusal),
}

/// Reads pieces to the end of the head.
pub(super) fn read(
    subject: &dyn Subject,
    pieces: &[&[u8]],
    limits: HeadLimits,
) -> Result<Outcome, String> {
    let mut reader = subject.head(limits);
    let mut before = 0;
    for piece in pieces {
        match reader.push(piece) {
            Progress::More => before += piece.len(),
            Progress::Refused(why) => return Ok(Outcome::Refused(why)),
            Progress::Done { consumed } => {
                return Ok(Outcome::Done {
                    consumed: before + consumed,
                    seen: Box::new(subject.see(&of(reader.as_ref())?)),
                });
            }
        }
    }
    Ok(Outcome::More)
}

/// What a head that must be right says.
pub(super) fn done(
    subject: &dyn Subject,
    head: &[u8],
    choice: &mut Oracle<'_>,
) -> Result<Seen, String> {
    match read(subject, &pieces(head, choice), HeadLimits::default())? {
        Outcome::Done { seen, .. } => Ok(*seen),
        other => Err(format!("{}: {other:?}", show(head))),
    }
}

fn of(reader: &dyn ReadsHead) -> Result<Request, String> {
    reader
        .request()
        .ok_or_else(|| "done, and no request".into())
}

/// A head, with some bytes changed, added or left out; or any bytes.
fn mangled(choice: &mut Oracle<'_>) -> Vec<u8> {
    if choice.chance(1, 8) {
        return (0..choice.pick(256))
            .map(|_| choice.pick(256) as u8)
            .collect();
    }
    let mut bytes = Text::choose(choice).bytes();
    for _ in 0..choice.pick(3) {
        let at = choice.pick(bytes.len() as u32) as usize;
        let byte = choice.one_of(b"\r\n\t :/%.?*#\\0aZ\x00\x7f\xffHTTP1");
        match choice.pick(4) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at + 1),
        }
    }
    bytes
}

/// Bytes that a field value can hold, without spaces around them.
fn field_bytes(choice: &mut Oracle<'_>, most: u32) -> Vec<u8> {
    let length = choice.one_of(&[0, 1, 7, most - 1, most]);
    let bytes: Vec<u8> = (0..length)
        .map(|_| match choice.pick(3) {
            0 => b'!' + choice.pick(94) as u8,
            1 => 0x80 + choice.pick(128) as u8,
            _ => choice.one_of(b"a,; \t\"-"),
        })
        .collect();
    bytes.trim_ascii().to_vec()
}

/// What a client may send after its head.
fn tail(choice: &mut Oracle<'_>) -> Vec<u8> {
    let parts = [
        "\r\n",
        "\n",
        "GET /other HTTP/1.1\r\nHost: evil\r\n\r\n",
        "hello",
        "\0\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Origin: https://evil.example\r\n\r\n",
    ];
    let count = 1 + choice.pick(3);
    (0..count)
        .flat_map(|_| choice.one_of(&parts).bytes())
        .collect()
}
