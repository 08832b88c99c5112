//! T: `poll_timeout` and what time alone does.

use sse_state::{Control, Time};

use super::Findings;
use super::facts::Ledger;
use super::{ends, silence, sources};
use crate::trace::{Event, Step, What};

/// After every step.
pub(super) fn check(ledger: &Ledger, step: &Step, out: &mut Findings) {
    let timeout = step.after.timeout;
    if step.is_idle() {
        t1_covers_every_deadline(ledger, timeout, out);
        if ledger.timed {
            t2_lies_ahead(ledger, timeout, out);
        }
        t3_time_alone_never_lowers_it(ledger, step, out);
        t4_once(step, out);
    } else if let What::Pump { .. } = step.what {
        out.holds("T1a", timeout.is_some_and(|at| at <= ledger.now), || {
            format!("work is left, and the deadline is {timeout:?}")
        });
    } else {
        t1_now_while_work_waits(ledger, timeout, out);
    }
}

/// T1: never none, or too late, while something waits for time.
fn t1_covers_every_deadline(ledger: &Ledger, timeout: Option<Time>, out: &mut Findings) {
    let mut least: Option<(Time, String)> = None;
    let mut add = |at: Option<Time>, what: &dyn Fn() -> String| {
        if let Some(at) = at.filter(|at| least.as_ref().is_none_or(|(least, _)| at < least)) {
            least = Some((at, what()));
        }
    };
    for (id, conn) in &ledger.conns {
        add(ends::end_due(ledger, conn), &|| format!("the end of {id}"));
        add(silence::heartbeat_due(ledger, conn), &|| {
            format!("the heartbeat of {id}")
        });
        add(silence::stall_due(ledger, conn), &|| {
            format!("the stall of {id}")
        });
    }
    for topic in &ledger.topics {
        add(sources::linger_due(topic), &|| {
            format!("the linger of {}", topic.name)
        });
    }
    let live = ledger.conns.values().any(|conn| conn.alive);
    add(
        ledger.shutdown.filter(|_| live).map(|down| down.most),
        &|| "the end of grace".into(),
    );
    if let Some((least, what)) = least {
        out.holds(
            "T1b",
            timeout.is_some_and(|at| at <= least.max(ledger.now)),
            || format!("{what} is due at {least:?}, and the deadline is {timeout:?}"),
        );
    }
}

/// T1: now, while a frame waits for a stream that can take it.
fn t1_now_while_work_waits(ledger: &Ledger, timeout: Option<Time>, out: &mut Findings) {
    let waiting = ledger.conns.iter().find(|(_, conn)| {
        let owed = |m: &super::facts::Member| {
            m.next.max(m.first_most) < ledger.topics[m.topic].frames.len()
        };
        conn.is_certain()
            && conn.is_ready()
            && !conn.mounted
            && (conn.blocks == 0 || conn.members.iter().any(owed))
    });
    if let Some((id, _)) = waiting {
        out.holds("T1a", timeout.is_some_and(|at| at <= ledger.now), || {
            format!("{id} waits for its turn, and the deadline is {timeout:?}")
        });
    }
}

/// T2: after a timeout and a full pump the deadline lies ahead.
fn t2_lies_ahead(ledger: &Ledger, timeout: Option<Time>, out: &mut Findings) {
    out.holds("T2", timeout.is_none_or(|at| at > ledger.now), || {
        format!(
            "all is done at {:?}, and the deadline is {timeout:?}",
            ledger.now
        )
    });
}

/// T3: when only time has passed and nothing came of it, the deadline is not earlier. T4: a timeout
/// before the deadline does nothing.
fn t3_time_alone_never_lowers_it(ledger: &Ledger, step: &Step, out: &mut Findings) {
    let Some(before) = ledger.quiet else { return };
    let late = |at: Option<Time>| at.unwrap_or(Time::MAX);
    let acted = !step.events().is_empty();
    if ledger.now < late(before) {
        out.holds("T4a", !acted, || {
            format!(
                "something happened at {:?}, before the deadline {before:?}",
                ledger.now
            )
        });
    }
    if !acted {
        out.holds("T3", late(step.after.timeout) >= late(before), || {
            format!(
                "the deadline went from {before:?} to {:?}",
                step.after.timeout
            )
        });
    }
}

/// T4: a late timeout catches up once: no source is polled twice in one pump.
fn t4_once(step: &Step, out: &mut Findings) {
    let mut polled = Vec::new();
    for event in step.events() {
        if let Event::Control(Control::Poll { token, .. }) = event {
            out.holds("T4b", !polled.contains(token), || {
                format!("{token} is polled twice at once")
            });
            polled.push(*token);
        }
    }
}
