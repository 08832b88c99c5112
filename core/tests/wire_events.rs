//! Events on the wire (docs/wire.md §4): what is accepted comes out of an independent parser as it went in,
//! and what is not is an error.

mod wire;

use std::time::Duration;

use sse_state::{Bound, Config, Error, Event, EventError, OptionsError, Room, Start, TopicOptions};
use wire::{EPOCH, Parsed, Parser, World, frame, join, parse};

/// The stream of `bytes` as the parser sees it, which must be the same however they are cut.
fn under_every_split(bytes: &[u8]) -> Parser {
    let whole = parse(bytes);
    let seen = |parser: &Parser| {
        let Parser {
            events,
            retries,
            comments,
            last_id,
            ..
        } = parser.clone();
        (events, retries, comments, last_id)
    };
    let mut by_byte = Parser::default();
    bytes.chunks(1).for_each(|byte| by_byte.push(byte));
    assert_eq!(seen(&by_byte), seen(&whole), "byte by byte");
    for at in 0..bytes.len() {
        let mut two = Parser::default();
        two.push(&bytes[..at]);
        two.push(&bytes[at..]);
        assert_eq!(seen(&two), seen(&whole), "split at {at}");
    }
    whole
}

fn event(name: &str, data: &str, id: &str) -> Parsed {
    let [name, data, id] = [name, data, id].map(str::to_owned);
    Parsed { name, data, id }
}

/// The parser is what everything else here is measured with, so it is measured with the standard's own text.
#[test]
fn f6_the_parser_of_these_tests_follows_the_standard() {
    let message = |data: &str| event("message", data, "");
    let table: &[(&str, &[Parsed])] = &[
        // The examples of HTML §9.2.6.
        (
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            &[message("YHOO\n+2\n10")],
        ),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            &[
                event("message", "first event", "1"),
                message("second event"),
                message(" third event"),
            ],
        ),
        ("data\n\ndata\ndata\n\ndata:", &[message(""), message("\n")]),
        (
            "data:test\n\ndata: test\n\n",
            &[message("test"), message("test")],
        ),
        // Line ends: LF, CR, CRLF, and mixes of them.
        (
            "data: a\r\rdata: b\r\n\r\ndata: c\n\n",
            &[message("a"), message("b"), message("c")],
        ),
        ("data: a\r\n\ndata: b\n\r\n", &[message("a"), message("b")]),
        ("data: a\ndata: b\rdata: c\r\n\r", &[message("a\nb\nc")]),
        // A byte order mark is dropped once, at the start.
        ("\u{FEFF}data: a\n\n", &[message("a")]),
        ("\u{FEFF}\u{FEFF}data: a\n\n", &[]),
        ("data: \u{FEFF}a\n\n", &[message("\u{FEFF}a")]),
        ("data: a\n\n\u{FEFF}data: b\n\n", &[message("a")]),
        // One space is dropped, a colon in a value stays, a comment says nothing.
        ("data:  a\n\n", &[message(" a")]),
        ("data: :a: b\n\n", &[message(":a: b")]),
        (":data: a\n\n", &[]),
        (" data: a\n\n", &[]),
        ("Data: a\n\n", &[]),
        // Ids: kept until the next one, reset by an empty one, not set by one with NUL.
        (
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            &[
                event("message", "a", "1"),
                event("message", "b", "1"),
                message("c"),
            ],
        ),
        (
            "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
            &[event("message", "a", "1"), event("message", "b", "1")],
        ),
        ("id: 7\n\ndata: a\n\n", &[event("message", "a", "7")]),
        // Names: of one event only, and `message` where there is none.
        (
            "event: x\ndata: a\n\ndata: b\n\n",
            &[event("x", "a", ""), message("b")],
        ),
        ("event: x\n\ndata: b\n\n", &[message("b")]),
        ("event: x\nevent: y\ndata: a\n\n", &[event("y", "a", "")]),
        // An event that is cut off says nothing.
        ("data: a\n", &[]),
        ("data: a\n\ndata: b", &[message("a")]),
        ("data: a\0b\n\n", &[message("a\0b")]),
    ];
    for (bytes, events) in table {
        assert_eq!(
            under_every_split(bytes.as_bytes()).events,
            *events,
            "{bytes:?}"
        );
    }
    let retries =
        under_every_split(b"retry: 10\n\nretry: 1s\nretry:\nretry: -1\n\nretry: 007\n\n").retries;
    assert_eq!(retries, [10, 7]);
    assert_eq!(
        parse(b"id: 1\n").last_id,
        "",
        "an id counts from the end of its block"
    );
    assert_eq!(parse(b"id: 1\n\n").last_id, "1");
}

/// Every text of up to four symbols that a line-based format could stumble over.
fn texts() -> Vec<String> {
    let symbols = ["a", " ", ":", "\n", "\r", "\0", "\u{FEFF}", "é", "data: "];
    let mut texts = vec![String::new()];
    let mut last = texts.clone();
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|text| symbols.map(|symbol| format!("{text}{symbol}")))
            .collect();
        texts.extend_from_slice(&last);
    }
    texts
}

/// What line breaks in data come back as.
fn with_lf(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

#[test]
fn w4_14_f1_whatever_is_accepted_is_one_event_with_the_same_fields() {
    let texts = texts();
    for data in &texts {
        let bytes = frame(data).to_string();
        let parsed = parse(bytes.as_bytes());
        assert_eq!(
            parsed.events,
            [event("message", &with_lf(data), "")],
            "F1: {data:?}"
        );
        assert!(
            parsed.retries.is_empty() && parsed.comments.is_empty(),
            "{data:?}"
        );
    }
    for (name, id) in texts
        .iter()
        .zip(texts.iter().rev())
        .filter(|(name, _)| name.len() < 8)
    {
        let made = Event::new("x\ry")
            .name(name)
            .id(id)
            .retry(Duration::from_millis(1_500));
        let breaks = |text: &str| text.contains(['\r', '\n', '\0']);
        let is_good = !breaks(name) && !breaks(id) && !id.is_empty();
        match made.encode() {
            Ok(frame) => {
                let parsed = under_every_split(frame.to_string().as_bytes());
                let shown = if name.is_empty() { "message" } else { name };
                assert_eq!(
                    parsed.events,
                    [event(shown, "x\ny", id)],
                    "F1: {name:?} {id:?}"
                );
                assert_eq!(parsed.retries, [1_500]);
                assert!(is_good, "F2: {name:?} {id:?}");
            }
            Err(_) => assert!(!is_good, "F1: {name:?} {id:?}"),
        }
    }
}

#[test]
fn w4_1_fields_come_in_one_order_and_one_spelling() {
    let whole = Event::new("a\nb")
        .name("n")
        .id("i")
        .retry(Duration::from_secs(3));
    let whole = whole.encode().unwrap().to_string();
    assert_eq!(whole, "event: n\ndata: a\ndata: b\nretry: 3000\nid: i\n\n");
    assert_eq!(frame("a").to_string(), "data: a\n\n");
    assert!(!whole.contains('\r'));
}

#[test]
fn w4_2_cr_lf_and_crlf_in_data_are_one_line_break_each() {
    for (data, bytes) in [
        ("a\nb", "data: a\ndata: b\n\n"),
        ("a\rb", "data: a\ndata: b\n\n"),
        ("a\r\nb", "data: a\ndata: b\n\n"),
        ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
        ("a\r\r\nb", "data: a\ndata: \ndata: b\n\n"),
        ("a\r\n\nb", "data: a\ndata: \ndata: b\n\n"),
        ("\n", "data: \ndata: \n\n"),
        ("\r\n", "data: \ndata: \n\n"),
        ("a\r", "data: a\ndata: \n\n"),
    ] {
        assert_eq!(frame(data).to_string(), bytes, "{data:?}");
    }
}

#[test]
fn w4_3_empty_data_is_an_event() {
    assert_eq!(frame("").to_string(), "data: \n\n");
    assert_eq!(parse(b"data: \n\n").events, [event("message", "", "")]);
}

#[test]
fn w4_4_f4_any_utf8_is_data() {
    for data in [
        " a",
        "  a",
        ":a",
        "\u{FEFF}a",
        "a\n",
        "a\n\n",
        "\0",
        "a\0b",
        "id: 7",
        "\u{1F980}",
    ] {
        let parsed = under_every_split(frame(data).to_string().as_bytes());
        assert_eq!(parsed.events, [event("message", data, "")], "F4: {data:?}");
    }
}

#[test]
fn w4_5_f2_breaks_and_nul_in_name_or_id_are_errors() {
    for bad in [
        "\n",
        "\r",
        "\0",
        "a\nb",
        "a\rdata: x",
        "a\r\n\r\ndata: forged",
        "a\0",
        "\0a",
    ] {
        assert_eq!(
            Event::new("x").name(bad).encode(),
            Err(EventError::Name),
            "F2: {bad:?}"
        );
        assert_eq!(
            Event::new("x").id(bad).encode(),
            Err(EventError::Id),
            "F2: {bad:?}"
        );
    }
}

#[test]
fn w4_6_an_empty_name_and_message_are_no_name() {
    for none in ["", "message"] {
        assert_eq!(
            Event::new("x").name(none).encode().unwrap().to_string(),
            "data: x\n\n"
        );
    }
    let other = Event::new("x").name("Message").encode().unwrap();
    assert_eq!(other.to_string(), "event: Message\ndata: x\n\n");
}

#[test]
fn w4_7_an_id_has_one_to_128_bytes() {
    let id = |bytes: usize| "i".repeat(bytes);
    assert_eq!(Event::new("x").id("").encode(), Err(EventError::Id));
    for bytes in [1, 127, 128] {
        let id = id(bytes);
        assert!(
            Event::new("x").id(&id).encode().unwrap().has_own_id(),
            "{bytes}"
        );
    }
    for bytes in [129, 10_000_000] {
        assert_eq!(
            Event::new("x").id(&id(bytes)).encode(),
            Err(EventError::Id),
            "{bytes}"
        );
    }
    // Bytes, not characters.
    assert_eq!(
        Event::new("x").id(&"é".repeat(65)).encode(),
        Err(EventError::Id)
    );
}

#[test]
fn w4_8_own_ids_only_where_the_topic_takes_them() {
    let mut world = World::new();
    world.declare(
        "own",
        TopicOptions {
            own_ids: true,
            ..TopicOptions::default()
        },
    );
    world.declare("plain", TopicOptions::default());
    let stream = world.open(&["own"], Start::Now);
    world.open(&["plain"], Start::Now);
    let with_id = || Event::new("x").id("mine").encode().unwrap();
    let before = world.state.digest();
    let refused = world
        .state
        .publish(world.now, "plain", with_id(), Room::Evict);
    assert_eq!(refused, Err(Error::OwnId));
    assert_eq!(world.state.digest(), before, "R5");
    world
        .state
        .publish(world.now, "own", with_id(), Room::Evict)
        .unwrap();
    world.pump();
    assert_eq!(world.text(stream), ":\n\ndata: x\nid: mine\n\n");
}

#[test]
fn w4_9_a_topic_with_own_ids_has_no_history() {
    let both = TopicOptions {
        own_ids: true,
        history: true,
        ..TopicOptions::default()
    };
    assert_eq!(both.check(), Err(OptionsError::OwnIdsWithHistory));
}

#[test]
fn w4_10_a_stream_mixes_no_own_ids_with_history() {
    let mut world = World::new();
    world.declare(
        "own",
        TopicOptions {
            own_ids: true,
            ..TopicOptions::default()
        },
    );
    world.declare(
        "news",
        TopicOptions {
            history: true,
            ..TopicOptions::default()
        },
    );
    world.declare("plain", TopicOptions::default());
    let mut open = |topics: &[&str]| {
        world
            .open_as(|subscribe| subscribe.topics = topics.iter().map(|name| join(name)).collect())
            .map(|_| ())
    };
    assert_eq!(open(&["own", "news"]), Err(Error::MixedIds));
    assert_eq!(open(&["news", "plain", "own"]), Err(Error::MixedIds));
    assert_eq!(open(&["own", "plain"]), Ok(()));
    assert_eq!(open(&["news", "plain"]), Ok(()));
}

#[test]
fn w4_11_names_that_begin_with_sse_are_reserved() {
    for name in [
        "sse-",
        "sse-gap",
        "sse-end",
        "sse-heartbeat",
        "sse-of-my-own",
    ] {
        assert_eq!(
            Event::new("x").name(name).encode(),
            Err(EventError::Reserved),
            "{name}"
        );
    }
    for name in ["sse", "SSE-gap", "my-sse-gap", " sse-gap"] {
        assert!(Event::new("x").name(name).encode().is_ok(), "{name}");
    }
}

#[test]
fn w4_12_f5_retry_is_one_millisecond_to_an_hour_in_digits() {
    let retry = |time| Event::new("x").retry(time).encode();
    for (time, digits) in [
        (Duration::from_millis(1), "1"),
        (Duration::from_micros(1_999), "1"),
        (Duration::from_millis(3_600_000), "3600000"),
    ] {
        let bytes = retry(time).unwrap().to_string();
        assert_eq!(bytes, format!("data: x\nretry: {digits}\n\n"), "F5");
    }
    for time in [
        Duration::ZERO,
        Duration::from_micros(999),
        Duration::from_millis(3_600_001),
        Duration::MAX,
    ] {
        assert_eq!(retry(time), Err(EventError::Retry), "{time:?}");
    }
}

#[test]
fn w4_13_the_bound_on_a_frame_is_on_its_encoded_bytes() {
    // `data: `, a line feed and an empty line, and in a topic with history the longest id: `id: `, 34 bytes.
    for (history, around) in [(false, 8), (true, 8 + 39)] {
        let mut world = World::with(Config {
            frame_bytes: 1_000,
            ..Config::new(EPOCH)
        });
        world.declare(
            "t",
            TopicOptions {
                history,
                ..TopicOptions::default()
            },
        );
        world.open(&["t"], Start::Now);
        for (size, fits) in [(999, true), (1_000, true), (1_001, false)] {
            let before = world.state.digest();
            let data = "x".repeat(size - around);
            let done = world
                .state
                .publish(world.now, "t", frame(&data), Room::Evict);
            if fits {
                assert_eq!(done.unwrap().streams, 1, "B7: {size}");
            } else {
                assert_eq!(done, Err(Error::Full(Bound::Frame)), "B7: {size}");
                assert_eq!(world.state.digest(), before, "B7: {size}");
            }
        }
    }
}

#[test]
fn w4_13_a_body_of_one_mebibyte_of_lf_is_refused_and_costs_seven() {
    let lf = "\n".repeat(1 << 20);
    let encoded = frame(&lf);
    assert_eq!(encoded.wire_bytes(false), 7 * ((1 << 20) + 1) + 1);
    let mut world = World::new();
    world.open(&["t"], Start::Now);
    let refused = world.state.publish(world.now, "t", encoded, Room::Evict);
    assert_eq!(refused, Err(Error::Full(Bound::Frame)));
    // A seventh of it is an event, and comes back whole.
    let most = (1 << 20) / 7 - 1;
    let id = world.open(&["u"], Start::Now);
    world.take(id);
    world.publish("u", &lf[..most]);
    assert_eq!(
        parse(&world.take(id)).events,
        [event("message", &lf[..most], "")]
    );
}

#[test]
fn w4_15_f3_frames_parse_to_their_events_and_a_cut_to_a_prefix_of_them() {
    let mut bytes = Vec::new();
    let mut events = Vec::new();
    for (number, data) in ["a", "", "b\r\nc", ":", " d\n"].into_iter().enumerate() {
        let id = number.to_string();
        let made = Event::new(data)
            .name("n")
            .id(&id)
            .retry(Duration::from_millis(9));
        bytes.extend_from_slice(made.encode().unwrap().to_string().as_bytes());
        bytes.extend_from_slice(b":\n\n");
        events.push(event("n", &with_lf(data), &id));
    }
    assert_eq!(under_every_split(&bytes).events, events, "F3");
    for end in 0..bytes.len() {
        let cut = parse(&bytes[..end]).events;
        assert_eq!(cut, events[..cut.len()], "F3: cut at {end}");
    }
}
