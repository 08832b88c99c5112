//! L1, L10, N4, B7, B8, B9, T7: what gauges and counters show, and what is left when nothing is.

use sse_state::{Stats, TopicOptions};

use super::Findings;
use super::facts::{Conn, Ledger, Phase, Topic};
use super::intake::tag_in;
use crate::trace::{Step, Views};
use crate::wire::Parser;

/// What was counted, by the trace.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sums {
    /// Frames that came whole.
    pub delivered: u64,
    /// Heartbeats that came whole.
    pub heartbeats: u64,
    /// Bytes accepted.
    pub bytes: u64,
    /// Publishes that equalled the newest.
    pub unchanged: u64,
    /// Publishes that nobody wanted.
    pub unheard: u64,
    /// Frames that streams were owed, at least.
    pub owed_least: u64,
    /// Frames that streams were owed, at most.
    pub owed_most: u64,
    /// Of those, what was reported of one that is gone: whether it still counts is free.
    pub loose: (u64, u64),
    /// Something happened that a trace does not tell: a report that may have come too late, an event
    /// that is not one of a scenario.
    pub fuzzy: bool,
}

/// After every step.
pub(super) fn check(ledger: &Ledger, step: &Step, out: &mut Findings) {
    let after = &step.after;
    l1_topics_stand(ledger, after, out);
    l10_streams_are_counted(ledger, &after.stats, out);
    n4_publishes_are_counted(ledger, &after.stats, out);
    if !step.is_idle() {
        return;
    }
    b7_gauges(ledger, &after.stats, out);
    b9_accepted_is_counted(ledger, &after.stats, out);
    if ledger.timed {
        l1_topics_go(ledger, after, out);
        t7_no_deadline_for_nobody(ledger, after, out);
    }
    if after.terminated {
        b8_nothing_is_held(&after.stats, out);
        b9_conservation(ledger, &after.stats, out);
    }
}

/// L1: what is needed stands; the gauge counts it.
fn l1_topics_stand(ledger: &Ledger, after: &Views, out: &mut Findings) {
    for (place, topic) in ledger.topics.iter().enumerate() {
        let (certain, _) = ledger.members(place);
        let needed = certain > 0 || topic.running().is_some() || topic.declared;
        let stands = after.interests[place].is_some();
        out.holds("L1a", stands || !needed, || {
            format!(
                "{} is gone, with {certain} members, declared {}, running {:?}",
                topic.name,
                topic.declared,
                topic.running()
            )
        });
    }
    let standing = after.interests.iter().flatten().count() as u32;
    out.holds("L1c", after.stats.topics == standing, || {
        format!(
            "{standing} topics stand, and {} are counted",
            after.stats.topics
        )
    });
}

/// L1: what nobody needs is gone.
fn l1_topics_go(ledger: &Ledger, after: &Views, out: &mut Findings) {
    for (place, topic) in ledger.topics.iter().enumerate() {
        let stands = after.interests[place].is_some();
        out.holds(
            "L1b",
            // When all is over nothing happens any more.
            !stands || topic.declared || after.terminated || is_needed(ledger, topic),
            || format!("{} stands, and nothing needs it", topic.name),
        );
    }
}

/// Its log may be retained, or its source runs, or somebody may be there.
fn is_needed(ledger: &Ledger, topic: &Topic) -> bool {
    let kept_for = TopicOptions::retained_for(&topic.options);
    let retained =
        |since: sse_state::Time| ledger.now < (since + kept_for).max(topic.retained_most);
    topic.running().is_some() || topic.possible_zero.is_none_or(retained)
}

/// L10: the gauge of streams.
fn l10_streams_are_counted(ledger: &Ledger, stats: &Stats, out: &mut Findings) {
    let streams = |fits: fn(&Conn) -> bool| {
        let open = ledger.conns.values().filter(|conn| fits(conn));
        open.count() as u32
    };
    let least = streams(Conn::is_certain);
    let most = streams(|conn| conn.alive && conn.phase == Phase::Streaming);
    out.holds("L10d", (least..=most).contains(&stats.streams), || {
        format!(
            "{} streams are counted, and {least}..={most} are open",
            stats.streams
        )
    });
}

/// N4: unchanged and unheard publishes.
fn n4_publishes_are_counted(ledger: &Ledger, stats: &Stats, out: &mut Findings) {
    let sums = &ledger.sums;
    let right = (stats.unchanged, stats.unheard) == (sums.unchanged, sums.unheard);
    out.holds("N4b", right || sums.fuzzy, || {
        format!(
            "{} unchanged and {} unheard are counted, there were {} and {}",
            stats.unchanged, stats.unheard, sums.unchanged, sums.unheard
        )
    });
}

/// B7: at rest nothing is past its bound.
fn b7_gauges(ledger: &Ledger, stats: &Stats, out: &mut Findings) {
    let config = &ledger.config;
    for (what, is, bound) in [
        (
            "openings",
            u64::from(stats.openings),
            u64::from(config.openings),
        ),
        (
            "deciding",
            u64::from(stats.deciding),
            u64::from(config.deciding),
        ),
        (
            "finishing",
            u64::from(stats.finishing),
            u64::from(config.finishing),
        ),
        (
            "streams",
            u64::from(stats.streams),
            u64::from(config.subscribers),
        ),
        ("topics", u64::from(stats.topics), u64::from(config.topics)),
        (
            "sources",
            u64::from(stats.sources),
            u64::from(config.sources),
        ),
        (
            "polls",
            u64::from(stats.polls_in_flight),
            u64::from(config.polls),
        ),
        ("bytes of logs", stats.logs_bytes, config.logs_bytes),
        ("bytes held", stats.held_bytes, config.held_bytes),
    ] {
        out.holds("B7e", is <= bound, || {
            format!("{is} {what} pass the bound of {bound}")
        });
    }
}

/// B8: nothing is held when all is over.
fn b8_nothing_is_held(stats: &Stats, out: &mut Findings) {
    let held = [
        u64::from(stats.streams),
        u64::from(stats.openings),
        u64::from(stats.deciding),
        u64::from(stats.finishing),
        u64::from(stats.sources),
        u64::from(stats.polls_in_flight),
        stats.held_bytes,
    ];
    out.holds("B8a", held.iter().all(|held| *held == 0), || {
        format!(
            "all is over, and these are left (streams, openings, deciding, finishing, sources, polls, bytes): {held:?}"
        )
    });
}

/// B9: frames, heartbeats and bytes as sockets took them.
fn b9_accepted_is_counted(ledger: &Ledger, stats: &Stats, out: &mut Findings) {
    let sums = &ledger.sums;
    if sums.fuzzy {
        return;
    }
    let begun = |fits: fn(&Conn) -> bool| ledger.conns.values().filter(|c| fits(c)).count() as u64;
    let delivered = sums.delivered + begun(begins_a_frame);
    let (loose, loose_bytes) = sums.loose;
    let fits = |told: u64, sum: u64, loose: u64| told <= sum && sum <= told + loose;
    out.holds("B9a", fits(stats.delivered, delivered, loose), || {
        format!(
            "{delivered} frames were begun, {} are counted",
            stats.delivered
        )
    });
    let beats = sums.heartbeats + begun(begins_a_heartbeat);
    let right = fits(stats.bytes, sums.bytes, loose_bytes) && fits(stats.heartbeats, beats, loose);
    out.holds("B9c", right, || {
        format!(
            "{} bytes and {} heartbeats are counted, there were {} and {beats}",
            stats.bytes, stats.heartbeats, sums.bytes
        )
    });
}

/// B9: nothing that a stream was owed is unaccounted for.
fn b9_conservation(ledger: &Ledger, stats: &Stats, out: &mut Findings) {
    let sums = &ledger.sums;
    let told = stats.delivered + stats.missed + stats.abandoned;
    let right = (sums.owed_least..=sums.owed_most).contains(&told);
    out.holds("B9b", right || sums.fuzzy, || {
        format!(
            "{} delivered, {} missed, {} abandoned, of {}..={}",
            stats.delivered, stats.missed, stats.abandoned, sums.owed_least, sums.owed_most
        )
    });
}

/// T7: nobody lives, nothing runs or is retained, and there is no deadline.
fn t7_no_deadline_for_nobody(ledger: &Ledger, after: &Views, out: &mut Findings) {
    let lives = ledger.conns.values().any(|conn| conn.alive);
    let needed = ledger.topics.iter().any(|topic| is_needed(ledger, topic));
    out.holds("T7", lives || needed || after.timeout.is_none(), || {
        format!("nothing lives, and the deadline is {:?}", after.timeout)
    });
}

/// What a stream has got of a frame is not the whole.
fn begins_a_frame(conn: &Conn) -> bool {
    begun(conn)
        .is_some_and(|block| tag_in(&block).is_some() && block.name.as_deref() != Some("sse-gap"))
}

fn begins_a_heartbeat(conn: &Conn) -> bool {
    conn.blocks > 0
        && begun(conn).is_some_and(|block| {
            block.is_comment() || block.name.as_deref() == Some("sse-heartbeat")
        })
}

fn begun(conn: &Conn) -> Option<crate::wire::Block> {
    let unfinished = conn.parser.unfinished();
    if unfinished.is_empty() || conn.sub.is_none() {
        return None;
    }
    let whole = [unfinished, &conn.rest].concat();
    Parser::new().push(&whole).into_iter().next()
}
