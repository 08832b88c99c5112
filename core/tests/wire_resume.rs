//! Ids, and where a stream starts (docs/wire.md W§5.7 to W§5.20, W§5.28, W§5.29).

mod wire;

use std::time::Duration;

use sse_state::{Config, Epoch, EventId, Join, Room, Start, Subscribe, TopicOptions, Via};
use wire::{EPOCH, Parsed, World, parse};

fn history() -> TopicOptions {
    TopicOptions {
        history: true,
        ..TopicOptions::default()
    }
}

fn snapshots() -> TopicOptions {
    TopicOptions {
        dedupe: true,
        ..history()
    }
}

/// The ids on a stream, in order.
fn ids(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let lines = text.lines();
    lines
        .filter_map(|line| line.strip_prefix("id: "))
        .map(str::to_owned)
        .collect()
}

/// Their seqs; all are of the epoch of these tests.
fn seqs(bytes: &[u8]) -> Vec<u64> {
    let seq = |id: &String| {
        let id = EventId::parse(id.as_bytes()).unwrap();
        assert_eq!(id.epoch, EPOCH);
        id.seq
    };
    ids(bytes).iter().map(seq).collect()
}

#[test]
fn w5_7_ids_are_epoch_and_seq_short_and_plain() {
    for (epoch, text) in [
        (0, "0"),
        (31, "v"),
        (32, "10"),
        (1234, "16i"),
        (u64::MAX, "fvvvvvvvvvvvv"),
    ] {
        let mut world = World::with(Config::new(Epoch(epoch)));
        world.declare("t", history());
        let stream = world.open(&["t"], Start::Now);
        world.publish("t", "a");
        let id = ids(&world.take(stream)).pop().unwrap();
        assert_eq!(id, format!("{text}-1"));
    }
    let longest = EventId {
        epoch: Epoch(u64::MAX),
        seq: u64::MAX,
    }
    .to_string();
    assert_eq!(longest.len(), 34);
    assert!(
        longest
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    );
}

#[test]
fn w5_8_seq_is_one_counter_over_all_topics() {
    let mut world = World::new();
    for topic in ["a", "b"] {
        world.declare(topic, history());
    }
    world.open(&["plain"], Start::Now);
    for (topic, seq) in [("a", 1), ("b", 2), ("plain", 3), ("a", 4)] {
        let published = world.publish(topic, "x");
        match published.id {
            Some(id) => assert_eq!(id.seq, seq, "{topic}"),
            None => assert_eq!(topic, "plain"),
        }
    }
    let stream = world.open(&["b", "a"], Start::Oldest);
    assert_eq!(seqs(&world.take(stream)), [1, 2, 4]);
}

#[test]
fn w5_9_ids_stand_last_in_frames_of_topics_with_history_only() {
    let mut world = World::new();
    world.declare("news", history());
    let stream = world.open(&["news", "plain"], Start::Oldest);
    world.publish("news", "a");
    world.publish("plain", "b");
    assert_eq!(world.text(stream), ":\n\ndata: a\nid: 16i-1\n\ndata: b\n\n");
}

#[test]
fn w5_10_another_epoch_writes_other_ids_and_knows_no_old_ones() {
    let mut before = World::new();
    before.declare("t", history());
    before.publish("t", "a");
    let mut after = World::with(Config::new(Epoch(EPOCH.0 + 1)));
    after.declare("t", history());
    after.publish("t", "a");
    let stream = after.resume(&["t"], "16i-1");
    let parsed = parse(&after.take(stream)).events;
    assert_eq!(
        parsed[0].data, r#"{"topic":"t","missed":null,"why":"epoch"}"#,
        "I7"
    );
    assert_eq!(parsed[1].id, "16j-1");
}

#[test]
fn w5_13_an_odd_id_is_unknown_and_never_echoed() {
    let long = "9".repeat(128);
    for odd in [
        "",
        "-",
        "?",
        "16i",
        "16i-",
        "-1",
        "16i-01",
        "016i-1",
        "16I-1",
        "16i-1 ",
        " 16i-1",
        "16i-1-1",
        "16i-+1",
        "16i-18446744073709551616",
        "zzz-1",
        "16i-1\n",
        "16i-1\r\nx: y",
        "\0",
        "\u{FEFF}16i-1",
        "<script>",
        &long,
    ] {
        let mut world = World::new();
        world.declare("t", history());
        world.publish("t", "a");
        let stream = world.resume(&["t"], odd);
        assert_eq!(
            world.text(stream),
            ":\n\nevent: sse-gap\ndata: {\"topic\":\"t\",\"missed\":null,\"why\":\"unknown\"}\nid: 16i-0\n\n\
             data: a\nid: 16i-1\n\n",
            "{odd:?}"
        );
    }
}

#[test]
fn w5_14_whatever_is_published_around_a_resume_comes_once() {
    const ALL: u64 = 6;
    for seen in 0..=ALL {
        for before in seen..=ALL {
            let mut world = World::new();
            world.declare("t", history());
            for number in 1..=before {
                world.publish("t", &number.to_string());
            }
            let stream = world.resume(&["t"], &format!("16i-{seen}"));
            for number in before + 1..=ALL {
                world.publish("t", &number.to_string());
            }
            let expected: Vec<u64> = (seen + 1..=ALL).collect();
            assert_eq!(
                seqs(&world.take(stream)),
                expected,
                "after {seen}, {before} published"
            );
        }
    }
}

#[test]
fn w5_15_a_stream_that_starts_at_now_or_newest_is_primed() {
    let mut world = World::new();
    world.declare("load", snapshots());
    world.declare("news", history());
    world.publish("load", "0.5");
    world.publish("news", "a");
    world.publish("load", "0.7");
    world.publish("news", "b");
    // Only dedupe gives a snapshot at now; newest gives one of every topic, in the order of publishes.
    let now = world.open(&["news", "load"], Start::Now);
    assert_eq!(world.text(now), ":\n\ndata: 0.7\n\nid: 16i-4\n\n");
    let newest = world.open(&["news", "load"], Start::Newest);
    assert_eq!(
        world.text(newest),
        ":\n\ndata: 0.7\n\ndata: b\n\nid: 16i-4\n\n"
    );
    world.publish("news", "c");
    for stream in [now, newest] {
        assert_eq!(world.text(stream), "data: c\nid: 16i-5\n\n");
    }
    let plain = world.open(&["plain"], Start::Now);
    assert_eq!(
        world.text(plain),
        ":\n\n",
        "no id where nothing can be resumed"
    );
}

#[test]
fn w5_15_what_is_published_before_the_priming_block_is_written_comes_after_it() {
    let mut world = World::new();
    world.declare("load", snapshots());
    world.publish("load", "1");
    let slow = world.state.accept(world.now).unwrap();
    let mut subscribe = Subscribe::new(Via::Connection(slow), wire::join("load").topic);
    subscribe.retry = false;
    world.state.subscribe(world.now, &subscribe).unwrap();
    for value in ["2", "3"] {
        let frame = wire::frame(value);
        world
            .state
            .publish(world.now, "load", frame, Room::Evict)
            .unwrap();
    }
    world.pump();
    assert_eq!(
        world.text(slow),
        ":\n\ndata: 1\n\nid: 16i-1\n\ndata: 2\nid: 16i-2\n\ndata: 3\nid: 16i-3\n\n"
    );
}

#[test]
fn w5_16_a_resumed_stream_and_one_from_the_oldest_are_not_primed() {
    let mut world = World::new();
    world.declare("load", snapshots());
    world.publish("load", "1");
    world.publish("load", "2");
    let oldest = world.open(&["load"], Start::Oldest);
    assert_eq!(
        world.text(oldest),
        ":\n\ndata: 1\nid: 16i-1\n\ndata: 2\nid: 16i-2\n\n"
    );
    let resumed = world.resume(&["load"], "16i-1");
    assert_eq!(world.text(resumed), ":\n\ndata: 2\nid: 16i-2\n\n");
    let current = world.resume(&["load"], "16i-2");
    assert_eq!(
        world.text(current),
        ":\n\n",
        "N6: who has the newest gets nothing again"
    );
}

#[test]
fn w5_17_before_the_priming_block_there_is_no_id() {
    let mut world = World::new();
    world.declare("load", snapshots());
    world.declare("news", history());
    world.publish("load", "1");
    world.publish("news", "a");
    let stream = world.open(&["load", "news"], Start::Newest);
    let bytes = world.take(stream);
    let priming = bytes.len() - "id: 16i-2\n\n".len();
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end]).last_id, "", "cut at {end}");
        assert!(
            end > priming + 2 || ids(&bytes[..end]).is_empty(),
            "cut at {end}"
        );
    }
    assert_eq!(parse(&bytes).last_id, "16i-2");
}

/// An unbroken stream, and for each cut what the client has then, and what it gets when it comes back.
fn resumes_as_if_unbroken(topics: &[&str], start: Start, mut publish: impl FnMut(&mut World, u32)) {
    let mut world = World::new();
    world.declare("load", snapshots());
    world.declare("news", history());
    world.declare("alerts", history());
    for step in 0..4 {
        publish(&mut world, step);
    }
    let unbroken = world.open(topics, start);
    for step in 4..12 {
        publish(&mut world, step);
    }
    let bytes = world.take(unbroken);
    let whole = parse(&bytes);
    let mut cuts = 0;
    for end in 0..=bytes.len() {
        let seen = parse(&bytes[..end]);
        if seen.last_id.is_empty() {
            continue;
        }
        cuts += 1;
        let resumed = world.resume(topics, &seen.last_id);
        let rest = world.take(resumed);
        world.leave(resumed);
        let together: Vec<Parsed> = seen.events.into_iter().chain(parse(&rest).events).collect();
        assert_eq!(together, whole.events, "I6: cut at {end}");
    }
    assert!(cuts > 50, "{cuts} cuts");
}

#[test]
fn w5_18_i6_a_resume_after_any_prefix_with_an_id_equals_the_unbroken_stream() {
    let turns = |world: &mut World, step: u32| {
        let topic = ["load", "news", "alerts", "news"][step as usize % 4];
        world.publish(topic, &format!("{step}\nof {topic}"));
    };
    for topics in [
        &["news"][..],
        &["load"],
        &["load", "news"],
        &["alerts", "load", "news"],
    ] {
        for start in [Start::Now, Start::Newest, Start::Oldest] {
            resumes_as_if_unbroken(topics, start, turns);
        }
    }
}

#[test]
fn w5_11_ids_on_one_stream_never_fall() {
    // Snapshots, replays and gaps of topics that were published to in all orders, with short logs.
    let starts = |seen: u64| {
        let after = |id: String| Start::After(id.into_bytes().into());
        [
            Start::Now,
            Start::Newest,
            Start::Oldest,
            after(format!("16i-{seen}")),
            after("16j-1".to_owned()),
            after("odd".to_owned()),
        ]
    };
    for order in 0..3_u32.pow(5) {
        let mut world = World::new();
        for (topic, options) in [("a", snapshots()), ("b", history()), ("c", snapshots())] {
            let log_frames = 1 + order % 2;
            world.declare(
                topic,
                TopicOptions {
                    log_frames,
                    ..options
                },
            );
        }
        let at = |step: u32| ["a", "b", "c"][(order / 3_u32.pow(step)) as usize % 3];
        for step in 0..3 {
            world.publish(at(step), &step.to_string());
        }
        let streams = starts(u64::from(order % 4)).map(|start| {
            let stream = world.open(&["c", "a", "b"], start);
            world.stick(stream, 0);
            stream
        });
        for step in 3..5 {
            world.publish(at(step), &step.to_string());
        }
        for stream in streams {
            world.unstick(stream);
            let seqs = seqs(&world.take(stream));
            assert!(seqs.is_sorted(), "I6: order {order}: {seqs:?}");
            assert!(!seqs.is_empty());
        }
    }
}

#[test]
fn w5_19_without_history_a_resume_starts_at_now() {
    let mut world = World::new();
    let first = world.open(&["t"], Start::Now);
    world.publish("t", "a");
    for id in ["16i-0", "16i-1", "16j-1", "odd"] {
        let stream = world.resume(&["t"], id);
        assert_eq!(world.text(stream), ":\n\n", "{id}");
    }
    assert_eq!(world.text(first), ":\n\ndata: a\n\n");
    // Beside one with history, too.
    world.declare("news", history());
    world.publish("news", "b");
    let both = world.resume(&["t", "news"], "16i-1");
    assert_eq!(world.text(both), ":\n\ndata: b\nid: 16i-2\n\n");
}

#[test]
fn w5_20_a_lost_client_starts_at_the_oldest_frame_held() {
    for id in ["odd", "16j-2", "16i-9"] {
        let mut world = World::new();
        world.declare(
            "t",
            TopicOptions {
                log_frames: 2,
                ..history()
            },
        );
        for data in ["a", "b", "c"] {
            world.publish("t", data);
        }
        let stream = world.resume(&["t"], id);
        let events = parse(&world.take(stream)).events;
        let data: Vec<&str> = events[1..]
            .iter()
            .map(|event| event.data.as_str())
            .collect();
        assert_eq!(data, ["b", "c"], "{id}");
    }
}

#[test]
fn w5_28_history_outlives_the_last_subscriber_by_a_minute() {
    let made = |join: &mut Join, retention: u64| {
        let retention = Duration::from_secs(retention);
        join.options = Some(
            TopicOptions {
                retention,
                ..history()
            }
            .into(),
        );
    };
    for (retention, kept) in [(0, 60), (59, 60), (61, 61)] {
        for (after, is_kept) in [(-1, true), (0, false)] {
            let mut world = World::new();
            let mut joined = wire::join("t");
            made(&mut joined, retention);
            let first = world
                .open_as(|subscribe| subscribe.topics = vec![joined])
                .unwrap();
            world.publish("t", "a");
            world.leave(first);
            let wait = Duration::from_secs(kept);
            world.pass(if after < 0 {
                wait - Duration::from_nanos(1)
            } else {
                wait
            });
            assert_eq!(
                world.state.interest("t").is_some(),
                is_kept,
                "L1: {retention} {after}"
            );
        }
    }
}

#[test]
fn w5_28_a_publish_without_a_subscriber_keeps_the_log_anew() {
    let mut world = World::new();
    world.declare("t", history());
    let first = world.open(&["t"], Start::Now);
    world.publish("t", "a");
    world.leave(first);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.publish("t", "b").streams, 0);
    world.pass(Duration::from_secs(59));
    let resumed = world.resume(&["t"], "16i-1");
    assert_eq!(world.text(resumed), ":\n\ndata: b\nid: 16i-2\n\n");
}

#[test]
fn w5_29_a_publish_makes_no_topic_and_is_logged_where_one_is_retained() {
    let mut world = World::new();
    assert_eq!(world.publish("absent", "a").streams, 0);
    assert_eq!(world.state.interest("absent"), None);
    assert_eq!(world.state.stats().published, 0);

    world.declare("t", history());
    let first = world.open(&["t"], Start::Now);
    world.publish("t", "a");
    world.leave(first);
    let published = world.publish("t", "b");
    assert_eq!(
        (published.streams, published.id.map(|id| id.seq)),
        (0, Some(2))
    );
    let resumed = world.resume(&["t"], "16i-1");
    assert_eq!(world.text(resumed), ":\n\ndata: b\nid: 16i-2\n\n");
    // Declared without history: nothing is kept for nobody.
    world.declare("plain", TopicOptions::default());
    assert_eq!(world.publish("plain", "a").streams, 0);
    assert_eq!(
        world.state.interest("plain").map(|interest| interest.kept),
        Some(false)
    );
}
