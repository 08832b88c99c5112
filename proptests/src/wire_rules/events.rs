//! F: what an event looks like on the wire, and what a parser makes of it.

use std::time::Duration;

use sse_state::{EventError, EventId};

use super::subject::{Ours, Parsed, Payload, Subject};
use super::{Oracle, broken, show};
use crate::choice::Choice;
use crate::wire::{Block, encode};

/// Whatever is accepted comes out of a conforming parser as one event with the same fields.
pub(super) fn f1a_one_event(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let event = payload(choice);
    let Ok(bytes) = subject.encode(&event) else {
        return Ok(());
    };
    let read = Ours.parse(&[&bytes]);
    let expected = [as_block(&event)];
    broken(read.events() != expected, || {
        format!("{event:?} came out as {:?}", read.blocks)
    })
}

/// Fields come in one order and one spelling, and nothing else comes.
pub(super) fn f1b_spelling(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let event = payload(choice);
    let Ok(bytes) = subject.encode(&event) else {
        return Ok(());
    };
    let retry = event.retry.map(|retry| retry.as_millis() as u64);
    let expected = encode(&event.name, &event.data, retry, event.id.as_deref());
    broken(bytes != expected.as_bytes(), || {
        format!("{event:?} is {}", show(&bytes))
    })
}

/// A name or an id that would break its field is an error, the right one, and never edited.
pub(super) fn f2a_refused(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let good = good_payload(choice);
    let bad = format!("{}{}{}", word(choice), choice.one_of(&BREAKS), word(choice));
    let (event, error) = match choice.pick(3) {
        0 => (Payload { name: bad, ..good }, EventError::Name),
        1 => {
            let name = format!("sse-{}", word(choice));
            (Payload { name, ..good }, EventError::Reserved)
        }
        _ => {
            let id = Some(bad);
            (Payload { id, ..good }, EventError::Id)
        }
    };
    let said = subject.encode(&event);
    broken(said != Err(error), || {
        format!("{event:?}: {:?}", said.map(|bytes| show(&bytes)))
    })
}

/// What can be sent is not refused.
pub(super) fn f2b_accepted(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let event = good_payload(choice);
    let said = subject.encode(&event);
    broken(said.is_err(), || format!("{event:?}: {said:?}"))
}

/// CR, LF and CRLF in data are one line break each; no CR goes over the wire.
pub(super) fn f2c_breaks(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let symbols = ["a", " ", "data: ", "\n", "\r", "\r\n", "\r", "\n"];
    let data: String = (0..1 + choice.pick(8))
        .map(|_| choice.one_of(&symbols))
        .collect();
    let expected = data.replace("\r\n", "\n").replace('\r', "\n");
    let event = Payload {
        data,
        ..Payload::default()
    };
    let Ok(bytes) = subject.encode(&event) else {
        return Err(format!("{event:?} is refused"));
    };
    let events = Ours.parse(&[&bytes]).events();
    let data = events.first().and_then(|block| block.data.clone());
    broken(bytes.contains(&b'\r') || data != Some(expected), || {
        format!("{event:?} is {}", show(&bytes))
    })
}

/// Frames one after the other parse to their events.
pub(super) fn f3a_joined(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let (events, frames) = frames(subject, choice);
    let read = Ours.parse(&[&frames.concat()]);
    let expected: Vec<Block> = events.iter().map(as_block).collect();
    broken(read.events() != expected, || {
        format!("{} reads as {:?}", show(&frames.concat()), read.events())
    })
}

/// Cut at any byte they parse to the events whose frames are whole, and to no other.
pub(super) fn f3b_cut(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let (events, frames) = frames(subject, choice);
    let bytes = frames.concat();
    let cut = choice.pick(bytes.len() as u32 + 1) as usize;
    let mut end = 0;
    let whole = frames.iter().take_while(|frame| {
        end += frame.len();
        end <= cut
    });
    let whole = whole.count();
    let read = Ours.parse(&[&bytes[..cut]]);
    let expected: Vec<Block> = events[..whole].iter().map(as_block).collect();
    broken(read.events() != expected, || {
        format!("{} reads as {:?}", show(&bytes[..cut]), read.events())
    })
}

/// Data that a line-based format could stumble over comes back as it was.
pub(super) fn f4_survives(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let middle = word(choice);
    let data = match choice.pick(9) {
        0 => format!(" {middle}"),
        1 => format!(":{middle}"),
        2 => format!("\u{feff}{middle}"),
        3 => String::new(),
        4 => format!("{middle}\n"),
        5 => format!("\n{middle}\n\n"),
        6 => format!("{middle}\0"),
        7 => format!("data: {middle}\nid: 7\n\nevent: {middle}"),
        _ => format!("{middle} \t"),
    };
    let event = Payload {
        data: data.clone(),
        ..Payload::default()
    };
    let read = subject.encode(&event).map(|bytes| Ours.parse(&[&bytes]));
    let events = read.as_ref().map(Parsed::events).unwrap_or_default();
    let back: Vec<_> = events.into_iter().map(|block| block.data).collect();
    broken(back != [Some(data)], || format!("{event:?}: {back:?}"))
}

/// `retry` is 1 ms to an hour, in digits; anything else is an error.
pub(super) fn f5a_retry(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let millis = match choice.pick(4) {
        0 => u64::from(choice.pick(3)),
        1 => 3_599_999 + u64::from(choice.pick(3)),
        2 => 1 + u64::from(choice.pick(3_600_000)),
        _ => u64::from(choice.pick(u32::MAX)) * u64::from(choice.pick(u32::MAX)),
    };
    let event = Payload {
        retry: Some(Duration::from_millis(millis)),
        ..good_payload(choice)
    };
    let said = subject.encode(&event);
    let line = format!("\nretry: {millis}\n");
    let holds = match &said {
        Ok(bytes) => {
            (1..=3_600_000).contains(&millis)
                && bytes.windows(line.len()).any(|w| w == line.as_bytes())
        }
        Err(error) => *error == EventError::Retry && !(1..=3_600_000).contains(&millis),
    };
    broken(!holds, || {
        format!("{millis} ms: {:?}", said.map(|b| show(&b)))
    })
}

/// An id of the publisher's own has 1 to 128 bytes, to the byte.
pub(super) fn f5b_own_ids(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let length = choice.one_of(&[0_usize, 1, 2, 127, 128, 129, 130, 1000]);
    let two = choice.chance(1, 2) && length.is_multiple_of(2);
    let id = if two {
        "é".repeat(length / 2)
    } else {
        "i".repeat(length)
    };
    let event = Payload {
        id: Some(id),
        ..good_payload(choice)
    };
    let said = subject.encode(&event);
    let expected = (1..=128).contains(&length);
    let right = match &said {
        Ok(_) => expected,
        Err(error) => !expected && *error == EventError::Id,
    };
    broken(!right, || {
        format!("{length} bytes: {:?}", said.map(|b| show(&b)))
    })
}

/// An id of the machine's is at most 34 bytes of `[a-z0-9-]`, is read back, and has one spelling.
pub(super) fn f5c_ids(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let mut number = || match choice.pick(4) {
        0 => u64::from(choice.pick(100)),
        1 => u64::MAX - u64::from(choice.pick(100)),
        _ => 1_u64.rotate_left(choice.pick(64)) ^ u64::from(choice.pick(1000)),
    };
    let (epoch, seq) = (number(), number());
    let text = subject.id(epoch, seq);
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let back = EventId::parse(text.as_bytes()).map(|id| (id.epoch.0, id.seq));
    broken(
        !plain || text.len() > 34 || back != Some((epoch, seq)),
        || format!("{epoch} and {seq} are {text:?}"),
    )
}

/// A parser follows the text of the standard, byte for byte.
pub(super) fn f6a_matrix(subject: &dyn Subject, _: &mut Oracle<'_>) -> Result<(), String> {
    for (bytes, expected) in MATRIX {
        let read = subject.parse(&[bytes.as_bytes()]);
        let seen = read.blocks.iter().filter_map(|block| {
            let name = block.name.as_deref().unwrap_or_default();
            Some((name, block.data.as_deref()?))
        });
        let seen: Vec<(&str, &str)> = seen.collect();
        let id = read.last_id.as_deref().unwrap_or_default();
        let retries: Vec<u64> = read.blocks.iter().filter_map(|block| block.retry).collect();
        let right =
            seen == expected.events && id == expected.last_id && retries == expected.retries;
        broken(!right, || {
            format!("{bytes:?}: {seen:?}, id {id:?}, retry {retries:?}")
        })?;
    }
    Ok(())
}

/// A parser reads the same, however the bytes are cut.
pub(super) fn f6b_split(subject: &dyn Subject, choice: &mut Oracle<'_>) -> Result<(), String> {
    let bytes: Vec<u8> = if choice.chance(1, 3) {
        choice.one_of(MATRIX).0.into()
    } else {
        let symbols = [
            "data: a", "data", ":", "id: 1", "id", "event: n", "retry: 7", "\n", "\n", "\r", "\r",
            "\r\n", "\u{feff}", "é",
        ];
        let count = 1 + choice.pick(12);
        (0..count)
            .flat_map(|_| choice.one_of(&symbols).bytes())
            .collect()
    };
    let whole = subject.parse(&[&bytes]);
    let pieces = super::pieces(&bytes, choice);
    let cut = subject.parse(&pieces);
    // A piece that ends with a CR may leave the LF for the next block; clients see no difference.
    let same = cut.last_id == whole.last_id && seen(&cut) == seen(&whole);
    broken(!same, || {
        let shown: Vec<String> = pieces.iter().map(|piece| show(piece)).collect();
        format!("{shown:?}: {:?} and {:?}", cut.blocks, whole.blocks)
    })
}

fn seen(parsed: &Parsed) -> Vec<Block> {
    let blocks = parsed.blocks.iter().map(|block| Block {
        raw: Vec::new(),
        ..block.clone()
    });
    blocks.filter(|block| *block != Block::default()).collect()
}

/// Events and their frames, those that are accepted.
fn frames(subject: &dyn Subject, choice: &mut Oracle<'_>) -> (Vec<Payload>, Vec<Vec<u8>>) {
    let count = 1 + choice.pick(4);
    let made = (0..count).filter_map(|_| {
        let event = payload(choice);
        let frame = subject.encode(&event).ok()?;
        Some((event, frame))
    });
    made.unzip()
}

/// What a client sees of an event, by the contract.
fn as_block(event: &Payload) -> Block {
    let named = !event.name.is_empty() && event.name != "message";
    Block {
        raw: Vec::new(),
        name: named.then(|| event.name.clone()),
        data: Some(event.data.replace("\r\n", "\n").replace('\r', "\n")),
        id: event.id.clone(),
        retry: event.retry.map(|retry| retry.as_millis() as u64),
        comment: false,
    }
}

/// Any event, good or bad.
pub(super) fn payload(choice: &mut Oracle<'_>) -> Payload {
    let optional = |choice: &mut Oracle<'_>| choice.chance(1, 3).then(|| text(choice));
    Payload {
        data: text(choice),
        name: optional(choice).unwrap_or_default(),
        id: optional(choice),
        retry: choice
            .chance(1, 4)
            .then(|| Duration::from_millis(u64::from(choice.pick(4_000_000)))),
    }
}

/// An event that can be sent.
fn good_payload(choice: &mut Oracle<'_>) -> Payload {
    let name = choice.one_of(&["", "message", "n", "é :x", "sse", "Sse-x", "data"]);
    Payload {
        data: text(choice),
        name: name.into(),
        id: choice.chance(1, 3).then(|| format!("{}i", word(choice))),
        retry: choice
            .chance(1, 3)
            .then(|| Duration::from_millis(1 + u64::from(choice.pick(3_600_000)))),
    }
}

/// A text of what a line-based format could stumble over.
fn text(choice: &mut Oracle<'_>) -> String {
    let symbols = [
        "a", "b", " ", ":", "\n", "\r", "\r\n", "\0", "\u{feff}", "é", "data: ", "id: 9", "\n\n",
        "x: y", "sse-", "message",
    ];
    (0..choice.pick(7))
        .map(|_| match choice.pick(symbols.len() as u32 + 1) as usize {
            // Any character at all.
            at if at == symbols.len() => char::from_u32(choice.pick(0x11_0000))
                .unwrap_or('\u{2028}')
                .to_string(),
            at => symbols[at].into(),
        })
        .collect()
}

/// A text without line breaks and NUL.
fn word(choice: &mut Oracle<'_>) -> String {
    let symbols = ["a", "7", " ", ":", "é", "\u{feff}", "-", "data"];
    (0..choice.pick(4))
        .map(|_| choice.one_of(&symbols))
        .collect()
}

/// What ends a field, or makes a client ignore it.
const BREAKS: [&str; 5] = ["\n", "\r", "\r\n", "\0", "\n\n"];

/// What a stream is to be read as.
#[derive(Clone, Copy)]
struct Reading {
    /// Name and data of its events.
    events: &'static [(&'static str, &'static str)],
    last_id: &'static str,
    retries: &'static [u64],
}

const fn reading(
    events: &'static [(&'static str, &'static str)],
    last_id: &'static str,
    retries: &'static [u64],
) -> Reading {
    Reading {
        events,
        last_id,
        retries,
    }
}

/// The byte matrix of WHATWG HTML §9.2.6: its examples, and what its text says of each odd byte.
const MATRIX: &[(&str, Reading)] = &[
    (
        "data: YHOO\ndata: +2\ndata: 10\n\n",
        reading(&[("", "YHOO\n+2\n10")], "", &[]),
    ),
    (
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        reading(
            &[
                ("", "first event"),
                ("", "second event"),
                ("", " third event"),
            ],
            "",
            &[],
        ),
    ),
    (
        "data\n\ndata\ndata\n\ndata:",
        reading(&[("", ""), ("", "\n")], "", &[]),
    ),
    (
        "data:test\n\ndata: test\n\n",
        reading(&[("", "test"), ("", "test")], "", &[]),
    ),
    // Line ends: LF, CR, CRLF, and mixes of them.
    (
        "data: a\r\rdata: b\r\n\r\ndata: c\n\n",
        reading(&[("", "a"), ("", "b"), ("", "c")], "", &[]),
    ),
    (
        "data: a\r\n\ndata: b\n\r\ndata: c\n\rdata: d\n\n",
        reading(&[("", "a"), ("", "b"), ("", "c"), ("", "d")], "", &[]),
    ),
    (
        "data: a\ndata: b\rdata: c\r\n\n",
        reading(&[("", "a\nb\nc")], "", &[]),
    ),
    // A byte order mark is dropped once, at the start.
    ("\u{feff}data: a\n\n", reading(&[("", "a")], "", &[])),
    ("\u{feff}\u{feff}data: a\n\n", reading(&[], "", &[])),
    (
        "data: \u{feff}a\n\n",
        reading(&[("", "\u{feff}a")], "", &[]),
    ),
    (
        "data: a\n\n\u{feff}data: b\n\n",
        reading(&[("", "a")], "", &[]),
    ),
    ("\n\u{feff}data: b\n\n", reading(&[], "", &[])),
    // One space is dropped, a colon in a value stays, a comment says nothing, names have their case.
    ("data:  a\n\n", reading(&[("", " a")], "", &[])),
    ("data:\ta\n\n", reading(&[("", "\ta")], "", &[])),
    ("data: :a: b\n\n", reading(&[("", ":a: b")], "", &[])),
    (":data: a\n\n", reading(&[], "", &[])),
    (" data: a\n\n", reading(&[], "", &[])),
    ("Data: a\n\n", reading(&[], "", &[])),
    ("data : a\n\n", reading(&[], "", &[])),
    ("data: a\0b\n\n", reading(&[("", "a\0b")], "", &[])),
    // Ids: kept until the next one, reset by an empty one, not set by one with NUL.
    (
        "id: 1\ndata: a\n\ndata: b\n\n",
        reading(&[("", "a"), ("", "b")], "1", &[]),
    ),
    (
        "id: 1\ndata: a\n\nid\ndata: c\n\n",
        reading(&[("", "a"), ("", "c")], "", &[]),
    ),
    (
        "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        reading(&[("", "a"), ("", "b")], "1", &[]),
    ),
    ("id: 7\n\n", reading(&[], "7", &[])),
    ("id: 7\n", reading(&[], "", &[])),
    ("id: 7\nid: 8\n\n", reading(&[], "8", &[])),
    // Names: of one event only, the last one counts.
    (
        "event: x\ndata: a\n\ndata: b\n\n",
        reading(&[("x", "a"), ("", "b")], "", &[]),
    ),
    ("event: x\n\ndata: b\n\n", reading(&[("", "b")], "", &[])),
    (
        "event: x\nevent: y\ndata: a\n\n",
        reading(&[("y", "a")], "", &[]),
    ),
    // An event that is cut off says nothing.
    ("data: a\n", reading(&[], "", &[])),
    ("data: a\n\ndata: b", reading(&[("", "a")], "", &[])),
    // Only digits.
    (
        "retry: 10\n\nretry: 1s\n\nretry:\n\nretry: -1\n\nretry: 007\n\n",
        reading(&[], "", &[10, 7]),
    ),
    (
        "retry: +1\n\nretry: 1.5\n\nretry: 1 \n\n",
        reading(&[], "", &[]),
    ),
];
