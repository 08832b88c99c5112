//! S, I3, I4, W1, W3, P5: how connections end.

use sse_state::{CloseHow, CloseReason, Control, Ending, SubscriberId, Time};

use super::Findings;
use super::facts::{Conn, Ledger, Phase};
use crate::trace::Views;

/// A control action that names a connection.
pub(super) fn control(ledger: &Ledger, control: &Control, out: &mut Findings) {
    let id = match control {
        Control::Finish { id } | Control::Wake { id } | Control::Close { id, .. } => *id,
        _ => return,
    };
    let Some(conn) = ledger.live(id) else {
        let closed = ledger.conns.get(&id).is_some_and(|c| c.closed.is_some());
        let rule = if closed { "I4a" } else { "I3a" };
        return out.broken(rule, format!("{control:?} names a dead id"));
    };
    match control {
        Control::Wake { .. } => {
            out.holds("D5d", conn.mounted && conn.woken.is_none(), || {
                format!(
                    "{id} is woken, mounted {}, since {:?}",
                    conn.mounted, conn.woken
                )
            });
            w3_woken_for_something(ledger, id, conn, out);
        }
        Control::Finish { .. } => finish(id, conn, out),
        Control::Close { reason, ending, .. } => close(ledger, id, conn, *reason, *ending, out),
        _ => {}
    }
}

/// W3: a mounted stream is woken only if it can pull something; its stall clock runs from then.
fn w3_woken_for_something(ledger: &Ledger, id: SubscriberId, conn: &Conn, out: &mut Findings) {
    let beats = conn
        .heartbeat(&ledger.config)
        .is_some_and(|every| ledger.now.since(conn.last_accept) * 8 >= every * 7);
    let first = conn.blocks < 1 + usize::from(conn.sub.as_ref().is_some_and(|sub| sub.retry));
    let primes = conn.prime.is_some() && !conn.primed;
    let owed = conn.members.iter().any(|member| {
        let gap = member.resume != super::facts::Tri::No && !member.resumed && member.got == 0;
        gap || member.next < ledger.topics[member.topic].frames.len()
    });
    let something = beats || first || primes || owed || !conn.is_certain();
    out.holds("W3b", something, || {
        format!("{id} is woken, and has nothing to pull")
    });
}

/// D11 and S7: the write side is shut after a whole frame, once.
fn finish(id: SubscriberId, conn: &Conn, out: &mut Findings) {
    out.holds("S7a", conn.finished.is_none() && !conn.mounted, || {
        format!("{id} is finished twice, or a body")
    });
    d11_ends_whole(id, conn, out);
    out.holds("B1a", conn.flight.is_none(), || {
        format!("{id} is finished with a write in flight")
    });
    let answered = conn.phase == Phase::Answering && conn.head_left == 0;
    out.holds("C1a", answered || !conn.is_certain(), || {
        format!("{id} is finished without a cause")
    });
}

fn d11_ends_whole(id: SubscriberId, conn: &Conn, out: &mut Findings) {
    out.holds(
        "D11e",
        conn.rest.is_empty() && conn.parser.unfinished().is_empty(),
        || format!("{id} ends inside a frame, in order"),
    );
}

fn close(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    reason: CloseReason,
    ending: Ending,
    out: &mut Findings,
) {
    c1_has_a_cause(ledger, id, conn, reason, out);
    if ending == Ending::Orderly {
        d11_ends_whole(id, conn, out);
        out.holds("S7b", conn.mounted || conn.finished.is_some(), || {
            format!("{id} is closed in order and was not finished")
        });
        s3_pending_first(ledger, id, conn, reason, out);
    } else {
        let asked = conn.ends.iter().any(|end| end.how == CloseHow::Cut);
        out.holds("S7c", conn.finished.is_none() || asked, || {
            format!("{id} was finished, and is cut")
        });
    }
    if let Some(at) = conn.finished {
        let due = at + ledger.config.finish_timeout;
        let grace = ledger.shutdown.is_some_and(|down| ledger.now >= down.least);
        let finishing = ledger
            .conns
            .values()
            .filter(|c| c.alive && c.finished.is_some());
        let crowded = finishing.count() > ledger.config.finishing as usize;
        let cut = ending == Ending::Cut;
        out.holds(
            "S7d",
            conn.peer_went || ledger.now >= due || grace || crowded || cut,
            || format!("{id} was finished at {at:?} and is closed before its peer went"),
        );
    }
}

/// C1: every close has the cause that it names.
fn c1_has_a_cause(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    reason: CloseReason,
    out: &mut Findings,
) {
    let (now, config) = (ledger.now, &ledger.config);
    let (rule, right) = match reason {
        CloseReason::HeadTimeout => (
            "P5a",
            conn.phase == Phase::Deciding && now >= conn.born + config.head_timeout,
        ),
        CloseReason::BodyTimeout => (
            "P5a",
            conn.phase == Phase::Body && now >= conn.opened + config.body_timeout,
        ),
        CloseReason::Evicted => ("C1f", conn.phase == Phase::Deciding),
        CloseReason::Answered => ("C1f", conn.phase == Phase::Answering),
        CloseReason::Asked => (
            "C1b",
            conn.ends.iter().any(|end| end.reason == CloseReason::Asked),
        ),
        CloseReason::Lagged => ("C1c", conn.may_end),
        CloseReason::Finished => ("C1d", conn.may_end),
        CloseReason::Held => ("C1f", config.held_bytes < 1 << 20),
        CloseReason::Stalled => return w1_stalled(ledger, id, conn, out),
        CloseReason::Lifetime => ("C1e", life(ledger, conn).is_some_and(|due| now >= due)),
        CloseReason::Expired => (
            "A1c",
            conn.sub
                .as_ref()
                .and_then(|sub| sub.expires)
                .is_some_and(|expires| now >= expires),
        ),
        CloseReason::Shutdown => ("S1a", ledger.shutdown.is_some()),
        _ => ("C1f", true),
    };
    out.holds(rule, right, || {
        format!("{id} is closed as {reason:?} without that cause")
    });
}

/// The earliest end of a stream's life.
fn life(ledger: &Ledger, conn: &Conn) -> Option<Time> {
    let life = conn.sub.as_ref()?.lifetime.or(ledger.config.max_lifetime)?;
    Some(conn.opened + life / 8 * 7)
}

/// W1: not before the write timeout has passed without an accepted byte. W3: never one that can be
/// written to, unless it is ending.
fn w1_stalled(ledger: &Ledger, id: SubscriberId, conn: &Conn, out: &mut Findings) {
    let timeout = ledger.config.write_timeout;
    let over = |since: Time| ledger.now >= since + timeout;
    let ending = conn
        .ends
        .iter()
        .map(|end| end.at)
        .chain(conn.may_end.then_some(conn.may_end_since));
    let ended = ending.min().is_some_and(over);
    let answering = conn.phase == Phase::Answering && over(conn.opened);
    if ended || answering || conn.late {
        return;
    }
    match conn.stall.or(conn.woken) {
        None if conn.may_stall => {}
        None => out.broken(
            "W3a",
            format!("{id} is closed as stalled, and can be written to"),
        ),
        Some(since) => {
            let rule = if conn.progressed { "W2" } else { "W1a" };
            out.holds(rule, over(since), || {
                format!(
                    "{id} is closed as stalled, {:?} after it took something",
                    ledger.now.since(since)
                )
            });
        }
    }
}

/// S3: what was accepted before an orderly end came first, and a farewell last.
fn s3_pending_first(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    reason: CloseReason,
    out: &mut Findings,
) {
    let drained = match reason {
        CloseReason::Shutdown | CloseReason::Lifetime => Some("farewell"),
        CloseReason::Finished => Some("end event"),
        CloseReason::Asked => conn
            .ends
            .first()
            .filter(|end| end.how == CloseHow::Drain)
            .map(|_| "farewell"),
        _ => None,
    };
    // An expiry is stronger than an end that drains.
    let expired = conn
        .sub
        .as_ref()
        .and_then(|sub| sub.expires)
        .is_some_and(|expires| ledger.now >= expires);
    let several = expired || conn.ends.len() + usize::from(conn.may_end) > 1;
    let Some(last) = drained.filter(|_| conn.phase == Phase::Streaming && !several) else {
        return;
    };
    out.holds("S3a", conn.farewell == Some(last), || {
        format!("{id} ended as {reason:?} without its {last}")
    });
    let Some(end) = conn.ends.first() else { return };
    for member in &conn.members {
        let topic = &ledger.topics[member.topic];
        let owed = topic
            .frames
            .iter()
            .filter(|&&frame| frame < end.upto)
            .count();
        let next = member.next.max(member.first_most);
        // What a lag has taken away meanwhile cannot be sent.
        let left = next < owed && owed > topic.from_most;
        out.holds("S3b", !left, || {
            format!(
                "{id} ended as {reason:?} at {next} of {owed} in {}",
                topic.name
            )
        });
    }
}

/// Nothing is left to do: what had to end has ended.
pub(super) fn at_rest(ledger: &Ledger, after: &Views, out: &mut Findings) {
    if after.terminated {
        s1_all_has_ended(ledger, out);
    }
    c1_the_oldest_is_evicted(ledger, out);
    if !ledger.timed {
        return;
    }
    let now = ledger.now;
    for (id, conn) in ledger.conns.iter().filter(|(_, conn)| conn.alive) {
        if let Some(due) = end_due(ledger, conn) {
            out.holds("P5b", now < due, || {
                format!("{id} should be closed since {due:?}")
            });
        }
    }
    if let Some(down) = ledger.shutdown.filter(|down| now >= down.most) {
        let live = ledger.conns.values().filter(|conn| conn.alive).count();
        out.holds("S5", live == 0, || {
            format!("{live} connections outlive the grace, {:?}", down.most)
        });
        out.holds("S1b", after.terminated, || {
            "grace is over, and it is not terminated".into()
        });
    }
}

/// C1: who made room for a newcomer came before everybody whose head is still not complete.
fn c1_the_oldest_is_evicted(ledger: &Ledger, out: &mut Findings) {
    let evicted = |conn: &&Conn| matches!(conn.closed, Some((CloseReason::Evicted, _)));
    let conns = ledger.conns.values();
    let last = conns.clone().filter(evicted).map(|conn| conn.order).max();
    // Who was closed meanwhile only finishes.
    let first = conns
        .filter(|conn| conn.is_opening() && conn.ends.is_empty())
        .map(|conn| conn.order)
        .min();
    if let (Some(evicted), Some(opening)) = (last, first) {
        out.holds("C1g", evicted < opening, || {
            format!("connection {evicted} was evicted, and {opening} is older and still opening")
        });
    }
}

/// When a connection that is no stream, or has ended, must be closed.
pub(super) fn end_due(ledger: &Ledger, conn: &Conn) -> Option<Time> {
    let config = &ledger.config;
    if !conn.alive {
        return None;
    }
    if let Some(at) = conn.finished {
        return Some(at + config.finish_timeout + ledger.granule());
    }
    match conn.phase {
        Phase::Deciding => Some(conn.born + config.head_timeout + ledger.granule()),
        Phase::Body => Some(conn.opened + config.body_timeout + ledger.granule()),
        Phase::Answering | Phase::Streaming => None,
    }
}

/// S1 and L7: terminated means that nobody lives and no source runs.
fn s1_all_has_ended(ledger: &Ledger, out: &mut Findings) {
    out.holds("S1c", ledger.shutdown.is_some(), || {
        "terminated without a shutdown".into()
    });
    for (id, conn) in &ledger.conns {
        out.holds("S1c", !conn.alive, || format!("terminated, and {id} lives"));
    }
    for topic in &ledger.topics {
        out.holds("L7b", topic.running().is_none(), || {
            format!("terminated, and the source of {} runs", topic.name)
        });
    }
}
