//! B1, B4, B6, A1, D8, I3: what is lent, and to whom.

use sse_state::{CloseHow, Slow, SubscriberId, Time};

use super::Findings;
use super::facts::{Conn, Fate, Ledger, Phase, Topic};
use super::intake::tag_in;
use crate::wire::Block;

/// A run is offered to a stream, or pulled by it.
pub(super) fn check(ledger: &Ledger, id: SubscriberId, run: &[u8], out: &mut Findings) {
    let Some(conn) = ledger.live(id) else {
        return out.broken("I3b", format!("a write to {id}, which is dead"));
    };
    b1_one_run(conn, id, run, out);
    b6_resumes_at_the_same_byte(conn, id, run, out);
    let Some(conn) = ledger
        .live(id)
        .filter(|conn| conn.phase == Phase::Streaming)
    else {
        return;
    };
    let head = conn.head_left.min(run.len());
    let mut parser = conn.parser.clone();
    let blocks = parser.push(&run[head..]);
    out.holds("D11d", parser.unfinished().is_empty(), || {
        format!("a run for {id} ends inside a frame")
    });
    // The answer head, the first comment and the retry block count as one frame.
    let retry = conn.sub.as_ref().is_some_and(|sub| sub.retry);
    let prelude = (1 + usize::from(retry)).saturating_sub(conn.blocks);
    let units = blocks.len().saturating_sub(prelude) + usize::from(head > 0 || prelude > 0);
    let bound = ledger.config.run_bytes as usize;
    out.holds("B1b", run.len() <= bound || units <= 1, || {
        format!(
            "{id} is lent {} bytes of {units} frames, the bound is {bound}",
            run.len()
        )
    });
    let begun = !conn.parser.unfinished().is_empty();
    let fresh = blocks.get(usize::from(begun)..).unwrap_or_default();
    a1_nothing_new(ledger, id, conn, fresh, out);
    b4_policy_is_exact(ledger, id, conn, &blocks, begun, out);
}

/// A write is offered: it is a turn, which a pull is not.
pub(super) fn turn(ledger: &mut Ledger, id: SubscriberId, out: &mut Findings) {
    d8_nobody_waits_for_ever(ledger, id, out);
    note_lags(ledger, id);
    let mounted = ledger.live(id).is_some_and(|conn| conn.mounted);
    out.holds("B1c", !mounted, || {
        format!("{id} is mounted, and gets a write")
    });
}

/// B1: one run at a time, and only to a stream that can take it.
fn b1_one_run(conn: &Conn, id: SubscriberId, run: &[u8], out: &mut Findings) {
    out.holds("B1a", conn.flight.is_none(), || {
        format!("{id} gets a write while one is in flight")
    });
    out.holds("B6a", !conn.blocked, || {
        format!("{id} gets a write while it is blocked")
    });
    out.holds("S7e", conn.finished.is_none(), || {
        format!("{id} gets a write after its end")
    });
    out.holds("B1d", !run.is_empty(), || format!("{id} is lent nothing"));
}

/// B6: what was begun is finished first, at the byte where it stopped.
fn b6_resumes_at_the_same_byte(conn: &Conn, id: SubscriberId, run: &[u8], out: &mut Findings) {
    let both = run.len().min(conn.rest.len());
    out.holds("B6b", run[..both] == conn.rest[..both], || {
        format!(
            "{id} is lent {:?}, the rest of what was begun is {:?}",
            String::from_utf8_lossy(run),
            String::from_utf8_lossy(&conn.rest)
        )
    });
}

/// D8: while a ready stream waits for its turn, no other gets more than one for each of its topics,
/// plus two.
fn d8_nobody_waits_for_ever(ledger: &mut Ledger, id: SubscriberId, out: &mut Findings) {
    let topics = ledger.conns.get(&id).map_or(0, |conn| conn.members.len()) as u32;
    for (other, conn) in &mut ledger.conns {
        let ready = conn.is_ready() && !conn.mounted;
        if *other == id || !ready {
            conn.waits = None;
            continue;
        }
        if let Some(waits) = &mut conn.waits {
            let turns = waits.entry(id).or_default();
            *turns += 1;
            out.holds("D8", *turns <= topics + 2, || {
                format!("{id} got {turns} turns while {other} waits")
            });
        }
    }
}

/// A1: after `expires`, `close_key` or a stop nothing that was not begun is lent.
fn a1_nothing_new(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    fresh: &[Block],
    out: &mut Findings,
) {
    let expired = conn
        .sub
        .as_ref()
        .and_then(|sub| sub.expires)
        .is_some_and(|expires: Time| ledger.now >= expires);
    let stopped = conn.ends.iter().any(|end| end.how != CloseHow::Drain);
    if !expired && !stopped {
        return;
    }
    for block in fresh {
        out.holds("A1b", tag_in(block).is_none(), || {
            format!(
                "{id} is lent {:?} after its end",
                String::from_utf8_lossy(&block.raw)
            )
        });
    }
}

/// B4: whoever has lagged goes on exactly where its policy says; nobody else misses anything.
fn b4_policy_is_exact(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    blocks: &[Block],
    begun: bool,
    out: &mut Findings,
) {
    if !conn.is_certain() {
        return;
    }
    let mut next: Vec<usize> = conn.members.iter().map(|member| member.next).collect();
    let mut lent = vec![false; next.len()];
    for (number, block) in blocks.iter().enumerate() {
        let fate = tag_in(block).and_then(|tag| ledger.tags.get(&tag));
        let Some(Fate::Appended(frame)) = fate.filter(|_| block.name.as_deref() != Some("sse-gap"))
        else {
            continue;
        };
        let frame = &ledger.pubs[*frame];
        let Some(place) = conn.members.iter().position(|m| m.topic == frame.topic) else {
            continue;
        };
        let member = &conn.members[place];
        let topic = &ledger.topics[frame.topic];
        let expected = next[place];
        next[place] = frame.index + 1;
        let sure = topic.is_exact() && (member.got > 0 || member.first == member.first_most);
        if (begun && number == 0) || !sure {
            continue;
        }
        let mut places = vec![expected];
        if !std::mem::replace(&mut lent[place], true) {
            places.extend(&member.moved);
        }
        let fits = |at: usize| {
            let goes_on = if at < topic.from {
                after_lag(topic)
            } else {
                at
            };
            frame.index == goes_on
        };
        let closes = topic.options.slow == Slow::Close && frame.index != expected;
        let right = places.into_iter().any(fits) && !closes;
        out.holds("B4a", right, || {
            format!(
                "{id} was at {expected} of {}, which holds {}..{}, and is lent {} under {:?}",
                topic.name,
                topic.from,
                topic.frames.len(),
                frame.index,
                topic.options.slow
            )
        });
    }
}

/// Where a stream goes on that has lagged.
fn after_lag(topic: &Topic) -> usize {
    match topic.options.slow {
        Slow::Skip | Slow::Close => topic.from,
        Slow::Conflate => topic.frames.len() - 1,
    }
}

/// A turn finds every lag of its stream, also where it lends nothing of that topic yet.
pub(super) fn note_lags(ledger: &mut Ledger, id: SubscriberId) {
    let Some(conn) = ledger.conns.get_mut(&id) else {
        return;
    };
    for member in &mut conn.members {
        let topic = &ledger.topics[member.topic];
        let lagged = member
            .moved
            .iter()
            .chain([&member.next])
            .any(|at| *at < topic.from_most);
        if lagged && topic.from < topic.frames.len() && !member.moved.contains(&after_lag(topic)) {
            member.moved.push(after_lag(topic));
        }
    }
}
