//! Several topics, dedupe, slow clients and the gap notice (docs/wire.md W§5.1 to W§5.6, W§5.21 to W§5.27).

mod wire;

use sse_state::{
    CloseReason, Config, Control, Ending, Epoch, Room, Slow, Start, SubscriberId, TopicOptions,
};
use wire::{World, named, parse};

/// A log of two frames.
fn short(slow: Slow) -> TopicOptions {
    TopicOptions {
        log_frames: 2,
        slow,
        ..TopicOptions::default()
    }
}

/// The same with ids and resume.
fn short_history(slow: Slow) -> TopicOptions {
    TopicOptions {
        history: true,
        ..short(slow)
    }
}

/// A world with this topic, and a stream of it that has read its beginning and takes nothing more.
fn stuck(topic: &str, options: TopicOptions) -> (World, SubscriberId) {
    let mut world = World::new();
    world.declare(topic, options);
    let stream = world.open(&[topic], Start::Now);
    world.take(stream);
    world.stick(stream, 0);
    (world, stream)
}

fn publish_all(world: &mut World, topic: &str, all: &[&str]) {
    for data in all {
        world.publish(topic, data);
    }
}

#[test]
fn w5_1_topics_come_in_the_order_of_publishes() {
    let mut world = World::new();
    let stream = world.open(&["b", "a", "c"], Start::Now);
    world.take(stream);
    for stop in [false, true] {
        if stop {
            world.stick(stream, 0);
        }
        for (topic, data) in [
            ("a", "1"),
            ("b", "2"),
            ("b", "3"),
            ("c", "4"),
            ("a", "5"),
            ("b", "6"),
        ] {
            world.publish(topic, data);
        }
        world.unstick(stream);
        let events = parse(&world.take(stream)).events;
        let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
        assert_eq!(
            data,
            ["1", "2", "3", "4", "5", "6"],
            "D9: blocked meanwhile: {stop}"
        );
    }
}

#[test]
fn w5_2_n3_equal_events_are_not_appended_and_a_b_a_are_three() {
    let mut world = World::new();
    world.declare(
        "t",
        TopicOptions {
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    let stream = world.open(&["t"], Start::Now);
    world.take(stream);
    for (data, unchanged) in [
        ("A", false),
        ("A", true),
        ("B", false),
        ("A", false),
        ("A", true),
    ] {
        let published = world.publish("t", data);
        assert_eq!(
            (published.streams, published.unchanged),
            (1, unchanged),
            "{data}"
        );
    }
    assert_eq!(world.text(stream), "data: A\n\ndata: B\n\ndata: A\n\n");
    // N7: the name counts, too.
    for (name, unchanged) in [("n", false), ("n", true), ("m", false)] {
        let frame = named(name, "A");
        let published = world.state.publish(world.now, "t", frame, Room::Evict);
        assert_eq!(published.unwrap().unchanged, unchanged, "N7: {name}");
    }
    assert_eq!(world.state.stats().unchanged, 3, "N4");
}

#[test]
fn w5_3_a_newcomer_of_a_topic_with_dedupe_gets_its_newest_event_at_once() {
    let mut world = World::new();
    world.declare(
        "t",
        TopicOptions {
            dedupe: true,
            ..TopicOptions::default()
        },
    );
    let first = world.open(&["t"], Start::Now);
    assert_eq!(world.text(first), ":\n\n");
    publish_all(&mut world, "t", &["A", "B"]);
    let second = world.open(&["t"], Start::Now);
    assert_eq!(world.text(second), ":\n\ndata: B\n\n");
    assert_eq!(world.text(first), "data: A\n\ndata: B\n\n");
    // N1: an equal publish reaches neither of them, and a newcomer all the same.
    assert!(world.publish("t", "B").unchanged);
    let third = world.open(&["t"], Start::Now);
    assert_eq!(world.text(third), ":\n\ndata: B\n\n");
    assert_eq!(
        (world.text(first), world.text(second)),
        (String::new(), String::new())
    );
    // N5: with the last subscriber it is forgotten.
    for stream in [first, second, third] {
        world.leave(stream);
    }
    let again = world.open(&["t"], Start::Now);
    assert_eq!(world.text(again), ":\n\n");
    assert!(!world.publish("t", "B").unchanged);
}

#[test]
fn w5_4_skip_goes_on_at_the_oldest_frame_held() {
    let (mut world, stream) = stuck("t", short(Slow::Skip));
    publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
    world.unstick(stream);
    assert_eq!(world.text(stream), "data: 4\n\ndata: 5\n\n", "B4");
    assert_eq!(world.state.stats().missed, 3);
}

#[test]
fn w5_5_conflate_goes_on_at_the_newest_frame() {
    let (mut world, stream) = stuck("t", short(Slow::Conflate));
    publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
    world.unstick(stream);
    assert_eq!(world.text(stream), "data: 5\n\n", "B4");
    assert_eq!(world.state.stats().missed, 4);
    // Who is not behind its log gets everything.
    world.stick(stream, 0);
    publish_all(&mut world, "t", &["6", "7"]);
    world.unstick(stream);
    assert_eq!(world.text(stream), "data: 6\n\ndata: 7\n\n");
}

#[test]
fn w5_6_close_ends_in_order_and_begins_nothing_more() {
    for begun in [0, 5] {
        let (mut world, stream) = stuck("t", short(Slow::Close));
        let other = world.open(&["t"], Start::Now);
        world.stick(stream, begun);
        publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
        world.unstick(stream);
        let rest = if begun > 0 { "data: 1\n\n" } else { "" };
        assert_eq!(world.text(stream), rest, "B4: {begun} bytes were begun");
        world.leave(stream);
        let finish = Control::Finish { id: stream };
        let close = Control::Close {
            id: stream,
            reason: CloseReason::Lagged,
            ending: Ending::Orderly,
        };
        assert_eq!(world.wires.controls, [finish, close]);
        assert_eq!(parse(&world.take(other)).events.len(), 5, "B5");
    }
}

#[test]
fn w5_21_w5_22_a_lag_is_told_with_its_exact_number() {
    let (mut world, stream) = stuck("t", short_history(Slow::Skip));
    publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
    world.unstick(stream);
    assert_eq!(
        world.text(stream),
        "event: sse-gap\ndata: {\"topic\":\"t\",\"missed\":3,\"why\":\"slow\"}\nid: 16i-3\n\n\
         data: 4\nid: 16i-4\n\ndata: 5\nid: 16i-5\n\n"
    );
    // And again: each lag is one notice.
    world.stick(stream, 0);
    publish_all(&mut world, "t", &["6", "7", "8"]);
    world.unstick(stream);
    assert_eq!(
        world.text(stream),
        "event: sse-gap\ndata: {\"topic\":\"t\",\"missed\":1,\"why\":\"slow\"}\nid: 16i-6\n\n\
         data: 7\nid: 16i-7\n\ndata: 8\nid: 16i-8\n\n"
    );
}

#[test]
fn w5_21_w5_22_a_gap_at_resume_says_why_and_no_number() {
    for (id, why) in [
        ("16i-1", "expired"),
        ("16i-x", "unknown"),
        ("16j-1", "epoch"),
        ("16i-6", "ahead"),
    ] {
        let mut world = World::new();
        world.declare("t", short_history(Slow::Skip));
        publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
        let stream = world.resume(&["t"], id);
        assert_eq!(
            world.text(stream),
            format!(
                ":\n\nevent: sse-gap\ndata: {{\"topic\":\"t\",\"missed\":null,\"why\":\"{why}\"}}\nid: 16i-3\n\n\
                 data: 4\nid: 16i-4\n\ndata: 5\nid: 16i-5\n\n"
            ),
            "{id}"
        );
        assert_eq!(world.state.stats().gaps, 1);
    }
}

#[test]
fn w5_21_the_topic_of_a_notice_is_a_json_string() {
    let topic = r#"/a"b\c/ü?x=1&y=<é>"#;
    let (mut world, stream) = stuck(topic, short_history(Slow::Skip));
    publish_all(&mut world, topic, &["1", "2", "3"]);
    world.unstick(stream);
    let events = parse(&world.take(stream)).events;
    assert_eq!(events[0].name, "sse-gap");
    assert_eq!(
        events[0].data,
        r#"{"topic":"/a\"b\\c/ü?x=1&y=<é>","missed":1,"why":"slow"}"#
    );
    assert_eq!(events[0].id, "16i-1");
}

#[test]
fn w5_22_a_resume_that_lags_before_its_first_byte_is_one_gap() {
    let mut world = World::new();
    world.declare("t", short_history(Slow::Skip));
    publish_all(&mut world, "t", &["1", "2", "3"]);
    let id = world.state.accept(world.now).unwrap();
    let via = sse_state::Via::Connection(id);
    let mut subscribe = sse_state::Subscribe::new(via, wire::join("t").topic);
    subscribe.retry = false;
    subscribe.start = Start::After("16i-0".into());
    world.state.subscribe(world.now, &subscribe).unwrap();
    world.stick(id, 0);
    publish_all(&mut world, "t", &["4", "5", "6"]);
    world.unstick(id);
    assert_eq!(
        world.text(id),
        ":\n\nevent: sse-gap\ndata: {\"topic\":\"t\",\"missed\":null,\"why\":\"expired\"}\nid: 16i-4\n\n\
         data: 5\nid: 16i-5\n\ndata: 6\nid: 16i-6\n\n"
    );
}

#[test]
fn w5_23_no_notice_where_it_is_proved_that_nothing_is_gone() {
    let mut world = World::new();
    world.declare("t", short_history(Slow::Skip));
    publish_all(&mut world, "t", &["1", "2", "3", "4", "5"]);
    for (seen, has_gap) in [(0, true), (2, true), (3, false), (4, false), (5, false)] {
        let stream = world.resume(&["t"], &format!("16i-{seen}"));
        let events = parse(&world.take(stream)).events;
        let told = events.iter().any(|event| event.name == "sse-gap");
        assert_eq!(told, has_gap, "D10: after {seen}");
        assert_eq!(
            events.len() - usize::from(told),
            2.min(5 - seen),
            "D10: after {seen}"
        );
    }
    // A topic that came to be after the id: whether it had been there before, nobody knows.
    let made = |world: &mut World| {
        let mut joined = wire::join("made");
        joined.options = Some(short_history(Slow::Skip).into());
        let start = Start::After("16i-4".into());
        world
            .open_as(|subscribe| (subscribe.topics, subscribe.start) = (vec![joined], start))
            .unwrap()
    };
    let stream = made(&mut world);
    assert_eq!(
        world.text(stream),
        ":\n\nevent: sse-gap\ndata: {\"topic\":\"made\",\"missed\":null,\"why\":\"expired\"}\nid: 16i-5\n\n"
    );
    // And one that stood before it and has lost nothing.
    let stream = world.resume(&["made"], "16i-5");
    assert_eq!(world.text(stream), ":\n\n");
}

#[test]
fn w5_24_a_notice_stands_at_the_place_of_its_gap() {
    let mut world = World::new();
    world.declare("a", short_history(Slow::Skip));
    world.declare(
        "b",
        TopicOptions {
            history: true,
            ..TopicOptions::default()
        },
    );
    let stream = world.open(&["a", "b"], Start::Now);
    world.take(stream);
    world.stick(stream, 0);
    for (topic, data) in [
        ("b", "1"),
        ("a", "2"),
        ("b", "3"),
        ("a", "4"),
        ("b", "5"),
        ("a", "6"),
        ("a", "7"),
        ("b", "8"),
    ] {
        world.publish(topic, data);
    }
    world.unstick(stream);
    let seen = |bytes: &[u8]| -> Vec<String> {
        let events = parse(bytes).events;
        events
            .into_iter()
            .map(|event| format!("{} {}", event.id, event.name))
            .collect()
    };
    // 2 and 4 are gone: the notice is at 4.
    let expected = [
        "1 message",
        "3 message",
        "4 sse-gap",
        "5 message",
        "6 message",
        "7 message",
        "8 message",
    ];
    assert_eq!(
        seen(&world.take(stream)),
        expected.map(|line| format!("16i-{line}")),
        "D3"
    );
    // The same at a resume.
    let resumed = world.resume(&["a", "b"], "16i-0");
    assert_eq!(
        seen(&world.take(resumed)),
        expected.map(|line| format!("16i-{line}")),
        "D10"
    );
}

#[test]
fn w5_25_notices_are_on_for_resume_and_for_skip_with_history() {
    for history in [false, true] {
        for slow in [Slow::Skip, Slow::Conflate] {
            for notice in [None, Some(false), Some(true)] {
                let options = TopicOptions {
                    history,
                    notice,
                    ..short(slow)
                };
                let (mut world, stream) = stuck("t", options);
                publish_all(&mut world, "t", &["1", "2", "3", "4"]);
                world.unstick(stream);
                let told = |bytes: &[u8]| bytes.windows(7).any(|part| part == b"sse-gap");
                let lag = notice.unwrap_or(history && slow == Slow::Skip);
                let case = format!("{history} {slow:?} {notice:?}");
                assert_eq!(told(&world.take(stream)), lag, "lag: {case}");
                let resumed = world.resume(&["t"], "16i-1");
                let resume = history && notice.unwrap_or(true);
                assert_eq!(told(&world.take(resumed)), resume, "resume: {case}");
                let missed = if slow == Slow::Skip { 2 } else { 3 };
                assert_eq!(world.state.stats().missed, missed, "W§5.26: {case}");
                assert_eq!(
                    world.state.stats().gaps,
                    u64::from(history),
                    "W§5.26: {case}"
                );
            }
        }
    }
}

#[test]
fn w5_26_what_was_missed_is_counted_for_each_stream() {
    let (mut world, one) = stuck("t", short(Slow::Skip));
    let two = world.open(&["t"], Start::Now);
    world.stick(two, 0);
    let reader = world.open(&["t"], Start::Now);
    publish_all(&mut world, "t", &["1", "2", "3"]);
    for stream in [one, two] {
        world.unstick(stream);
    }
    let stats = world.state.stats();
    assert_eq!((stats.missed, stats.delivered), (2, 7), "D3, B9");
    assert_eq!(parse(&world.take(reader)).events.len(), 3, "B5");
}

#[test]
fn w5_27_without_history_a_notice_has_no_id() {
    let options = TopicOptions {
        notice: Some(true),
        ..short(Slow::Conflate)
    };
    let (mut world, stream) = stuck("t", options);
    publish_all(&mut world, "t", &["1", "2", "3", "4"]);
    world.unstick(stream);
    assert_eq!(
        world.text(stream),
        "event: sse-gap\ndata: {\"topic\":\"t\",\"missed\":3,\"why\":\"slow\"}\n\ndata: 4\n\n"
    );
}

#[test]
fn w5_20_a_notice_in_a_log_that_is_empty_names_where_it_begins() {
    let mut world = World::with(Config::new(Epoch(0)));
    world.declare("t", short_history(Slow::Skip));
    let stream = world.resume(&["t"], "1-7");
    let notice = ":\n\nevent: sse-gap\ndata: {\"topic\":\"t\",\"missed\":null,\"why\":\"epoch\"}\nid: 0-0\n\n";
    assert_eq!(world.text(stream), notice);
    world.publish("t", "a");
    assert_eq!(world.text(stream), "data: a\nid: 0-1\n\n");
}
