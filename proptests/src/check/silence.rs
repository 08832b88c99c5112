//! H: heartbeats. W: streams that do not take what they are lent.

use std::time::Duration;

use sse_state::{Heartbeat, SubscriberId};

use super::Findings;
use super::facts::{Conn, Ledger, Phase};
use crate::wire::Block;

/// A run is offered or pulled: is it a heartbeat, and may it be?
pub(super) fn offer(ledger: &mut Ledger, id: SubscriberId, run: &[u8], out: &mut Findings) {
    let Some(conn) = ledger
        .live(id)
        .filter(|conn| conn.phase == Phase::Streaming)
    else {
        return;
    };
    let head = conn.head_left.min(run.len());
    let begun = !conn.parser.unfinished().is_empty();
    let blocks = conn.parser.clone().push(&run[head..]);
    let first = conn.blocks == 0;
    let beats = blocks
        .iter()
        .skip(usize::from(begun || first))
        .filter(|block| is_heartbeat(block))
        .count();
    if beats == 0 {
        return;
    }
    out.holds("H4b", !conn.blocked && conn.flight.is_none(), || {
        format!("{id} cannot be written to, and is lent a heartbeat")
    });
    out.holds("H4a", beats == 1 && blocks.len() == 1, || {
        format!(
            "{id} is lent {beats} heartbeats among {} frames",
            blocks.len()
        )
    });
    let every = conn.heartbeat(&ledger.config);
    match every {
        Some(every) => h1_not_early(ledger, id, conn, every, out),
        None => out.broken("H1", format!("{id} wants no heartbeat and is lent one")),
    }
    let event = conn
        .sub
        .as_ref()
        .is_some_and(|sub| matches!(sub.heartbeat, Heartbeat::Event(_)));
    out.holds("H5a", blocks.iter().all(|b| b.is_event() == event), || {
        format!("{id} is lent a heartbeat of the wrong form")
    });
    ledger.work.beat(id, out);
}

/// H1 and H3: not before seven eighths of silence, which any traffic ends.
fn h1_not_early(
    ledger: &Ledger,
    id: SubscriberId,
    conn: &Conn,
    every: Duration,
    out: &mut Findings,
) {
    let silent = ledger.now.since(conn.last_accept.min(conn.last_offer));
    let rule = if conn.beaten { "H1" } else { "H3" };
    out.holds(rule, silent * 8 >= every * 7, || {
        format!("{id} is lent a heartbeat after {silent:?} of silence, not {every:?}")
    });
}

/// Nothing is left to do and the time is known: nobody is silent or stalled for too long.
pub(super) fn at_rest(ledger: &Ledger, out: &mut Findings) {
    if !ledger.timed {
        return;
    }
    for (id, conn) in &ledger.conns {
        if let Some(due) = heartbeat_due(ledger, conn) {
            out.holds("H2", ledger.now < due, || {
                format!("{id} should have got a heartbeat by {due:?}")
            });
        }
        if let Some(due) = stall_due(ledger, conn) {
            let beats = |every: Duration| every <= ledger.config.write_timeout;
            let beaten = conn.heartbeat(&ledger.config).is_some_and(beats);
            let rule = if beaten { "W4" } else { "W1b" };
            out.holds(rule, ledger.now < due, || {
                format!("{id} took nothing since {:?}, and lives", conn.stall)
            });
        }
    }
}

/// H2: when a heartbeat must have come.
pub(super) fn heartbeat_due(ledger: &Ledger, conn: &Conn) -> Option<sse_state::Time> {
    let every = conn.heartbeat(&ledger.config)?;
    let speaks = conn.is_certain() && conn.is_ready() && !conn.mounted;
    speaks.then(|| conn.last_accept.max(conn.last_offer) + every + ledger.granule())
}

/// W1: when a stalled stream must have been closed.
pub(super) fn stall_due(ledger: &Ledger, conn: &Conn) -> Option<sse_state::Time> {
    let stuck = conn.alive
        && conn.phase == Phase::Streaming
        && conn.finished.is_none()
        // One that is ending may have its own time for that.
        && conn.ends.is_empty()
        && !conn.may_end
        && conn.outstanding
        && (conn.blocked || conn.flight.is_some());
    let since = conn.stall.filter(|_| stuck)?;
    let due = since + ledger.config.write_timeout;
    // Ready time that was not pumped closes nobody: what is offered late has its time.
    let late = conn.last_offer >= due;
    let due = if late {
        conn.last_offer + ledger.config.write_timeout
    } else {
        due
    };
    Some(due + ledger.granule())
}

fn is_heartbeat(block: &Block) -> bool {
    block.is_comment() || block.name.as_deref() == Some("sse-heartbeat")
}
