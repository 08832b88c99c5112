//! I6, D10, I7: a stream that was cut anywhere and resumed is the unbroken stream, or says of each topic
//! where it is not; for many topics, small logs, any cut, and a restart with another epoch.

mod common;

use common::Bench;
use proptest::prelude::*;
use sse_state::*;

const TOPICS: [&str; 3] = ["/a", "/b", "/c"];

/// What a conforming parser makes of one block of our own making (LF only).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    gap: bool,
    data: Option<String>,
    id: Option<u64>,
}

/// The whole blocks of a body, without comments and `retry:`.
fn blocks(text: &str) -> Vec<Block> {
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let blocks = whole.split("\n\n").map(|block| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Block {
            gap: field("event: ") == Some("sse-gap"),
            data: field("data: ").map(str::to_owned),
            id: field("id: ").map(|id| id.split_once('-').unwrap().1.parse().unwrap()),
        }
    });
    blocks
        .filter(|block| block.data.is_some() || block.id.is_some())
        .collect()
}

fn last_id(blocks: &[Block]) -> Option<u64> {
    blocks.iter().rev().find_map(|block| block.id)
}

/// The numbers of the events in these blocks, with their topics: `/a 17`.
fn events(blocks: &[Block]) -> Vec<String> {
    let events = blocks.iter().filter(|block| !block.gap);
    events.filter_map(|block| block.data.clone()).collect()
}

#[derive(Clone, Debug)]
struct Plan {
    log_frames: u32,
    /// For each publish its topic, and whether everybody is served after it.
    publishes: Vec<(usize, bool)>,
    /// Which topics are followed: at least one bit of three.
    followed: u8,
    /// After how many publishes the stream is cut, at which byte of what it has got, and after how many
    /// more it comes back.
    cut: usize,
    byte: prop::sample::Index,
    back: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let publishes = proptest::collection::vec((0..3usize, any::<bool>()), 0..40);
    (
        1..12u32,
        publishes,
        1..8u8,
        0..40usize,
        any::<prop::sample::Index>(),
        0..20usize,
    )
        .prop_map(|(log_frames, publishes, followed, cut, byte, back)| Plan {
            log_frames,
            byte,
            publishes,
            followed,
            cut,
            back,
        })
}

fn bench(plan: &Plan, epoch: u64) -> Bench {
    let mut bench = Bench::with(Config::new(Epoch(epoch)));
    for topic in TOPICS {
        let options = TopicOptions {
            history: true,
            log_frames: plan.log_frames,
            ..TopicOptions::default()
        };
        bench.declare(topic, options);
    }
    bench
}

fn followed(plan: &Plan) -> Vec<&'static str> {
    let topics = TOPICS.iter().enumerate();
    topics
        .filter(|(bit, _)| plan.followed & 1 << bit != 0)
        .map(|(_, topic)| *topic)
        .collect()
}

/// Resumed events are the missing rest; where frames are missing their topic has one notice before them,
/// and none where nothing is.
fn check_resumed(
    plan: &Plan,
    before: &[String],
    resumed: &[Block],
    unbroken: &[String],
    from: u64,
) -> Result<(), TestCaseError> {
    let rest = unbroken
        .strip_prefix(before)
        .unwrap_or_else(|| panic!("{before:?} of {unbroken:?}"));
    let got = events(resumed);
    let mut at = from;
    for block in resumed {
        if let Some(id) = block.id {
            prop_assert!(id >= at, "ids fall: {} after {}", id, at);
            at = id;
        }
    }
    for topic in followed(plan) {
        let of = |events: &[String]| -> Vec<String> {
            let mine = events.iter().filter(|event| event.starts_with(topic));
            mine.cloned().collect()
        };
        let (wanted, came) = (of(rest), of(&got));
        prop_assert!(
            wanted.ends_with(&came),
            "{:?} is no end of {:?}",
            came,
            wanted
        );
        let names = |block: &&Block| {
            let data = block.data.as_deref().unwrap_or_default();
            block.gap && data.contains(&format!("\"{topic}\""))
        };
        let notices = resumed.iter().filter(names).count();
        let lost = usize::from(wanted.len() > came.len());
        prop_assert_eq!(notices, lost, "{} of {} came", came.len(), wanted.len());
    }
    let mut ordered = rest.iter();
    prop_assert!(
        got.iter().all(|event| ordered.any(|other| other == event)),
        "out of order"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i6_d10_resume_after_any_prefix_plus_the_rest_is_the_unbroken_stream(plan in plan()) {
        let mut bench = bench(&plan, 1);
        let topics = followed(&plan);
        let unbroken = bench.open(&topics, Start::Now);
        let broken = bench.open(&topics, Start::Now);
        bench.pump();
        let cut = plan.cut.min(plan.publishes.len());
        let back = (cut + plan.back).min(plan.publishes.len());
        let mut resumed = None;
        let mut prefix = String::new();
        for step in 0..=plan.publishes.len() {
            if step == cut {
                prefix = bench.read(broken);
                bench.state.peer_gone(bench.now, broken).unwrap();
            }
            if step == back {
                let seen = blocks(&prefix[..plan.byte.index(prefix.len() + 1)]);
                let Some(id) = last_id(&seen) else {
                    return Ok(());
                };
                let start = Start::After(format!("1-{id}").into());
                resumed = Some((bench.open(&topics, start), events(&seen), id));
            }
            if let Some(&(topic, serve)) = plan.publishes.get(step) {
                bench.publish(TOPICS[topic], &format!("{} {step}", TOPICS[topic]));
                // The unbroken one must lose nothing to the small log.
                if serve || plan.log_frames < 40 {
                    bench.pump();
                }
            }
        }
        bench.pump();
        let (id, before, from) = resumed.unwrap();
        let unbroken = events(&blocks(&bench.read(unbroken)));
        let resumed = blocks(&bench.read(id));
        check_resumed(&plan, &before, &resumed, &unbroken, from)?;
    }

    #[test]
    fn i7_an_id_of_another_epoch_gives_every_topic_a_notice_and_what_is_held(plan in plan()) {
        let mut bench = bench(&plan, 2);
        for (step, &(topic, _)) in plan.publishes.iter().enumerate() {
            bench.publish(TOPICS[topic], &format!("{} {step}", TOPICS[topic]));
        }
        let topics = followed(&plan);
        let lost = bench.open(&topics, Start::After(format!("1-{}", plan.byte.index(50)).into()));
        let oldest = bench.open(&topics, Start::Oldest);
        bench.pump();
        let lost = blocks(&bench.read(lost));
        let notices = lost.iter().filter(|block| block.gap);
        prop_assert_eq!(notices.count(), topics.len());
        prop_assert_eq!(events(&lost), events(&blocks(&bench.read(oldest))));
        prop_assert!(lost.iter().filter_map(|block| block.id).is_sorted(), "ids fall");
    }
}
