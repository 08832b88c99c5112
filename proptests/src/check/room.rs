//! B10: publishing that waits.

use std::ops::Range;

use sse_state::{Error, Input, Name, Reply, Room, Time};

use super::facts::{Conn, Ledger, Member, Tri};
use super::{Findings, logs};

/// A publish that would rather wait than take something from a reader.
#[derive(Debug)]
pub(super) struct Asked {
    topic: usize,
    /// What is surely held, before it is answered.
    held: usize,
    /// Of its frame.
    bytes: usize,
}

/// Whether an input is one.
pub(super) fn asks(ledger: &Ledger, input: &Input<'static>) -> Option<Asked> {
    let (topic, frame) = match input {
        Input::Publish {
            topic,
            frame,
            room: Room::Wait,
        } => (ledger.place(topic)?, frame),
        Input::Feed {
            token,
            frame,
            room: Room::Wait,
        } => (*ledger.tokens.get(token)?, frame),
        _ => return None,
    };
    let bytes = frame.wire_bytes(ledger.topics[topic].options.history);
    Some(Asked {
        topic,
        held: ledger.topics[topic].from_most,
        bytes,
    })
}

/// It was answered.
pub(super) fn answered(
    ledger: &mut Ledger,
    at: Time,
    asked: Asked,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let Asked {
        topic: place,
        held,
        bytes,
    } = asked;
    let now = ledger.now.max(at);
    let topic = &ledger.topics[place];
    match result {
        Err(Error::Wait) => {
            let most = logs::may_go(ledger, place, bytes);
            // An end that was asked for may be found at the next pump only.
            let needed = awaited(ledger, place, topic.from..most, now, false);
            out.holds("B10a", needed != Tri::No, || {
                format!(
                    "a publish to {} waits, and nobody needs ..{most}",
                    topic.name
                )
            });
            let topic = &mut ledger.topics[place];
            topic.waiting = true;
            // Of several that wait the engine may remember any.
            topic.wanted = topic.wanted.max(Some(bytes));
        }
        Ok(_) => {
            let needed = awaited(ledger, place, held..topic.from, now, true);
            out.holds("B10b", needed != Tri::Yes, || {
                let gone = topic.from;
                format!(
                    "a publish to {} that may wait took {held}..{gone} away",
                    topic.name
                )
            });
        }
        Err(_) => {}
    }
}

/// A publisher is told of room.
pub(super) fn told(ledger: &mut Ledger, topic: &Name, out: &mut Findings) {
    let place = ledger.place(topic.as_str());
    let waiting = place.is_some_and(|place| ledger.topics[place].waiting);
    out.holds("B10d", waiting, || {
        format!("room in {topic} is told to nobody")
    });
    if let Some(place) = place {
        ledger.topics[place].waiting = false;
        ledger.topics[place].wanted = None;
    }
}

/// Nothing is left to do: who still waits, waits for somebody.
pub(super) fn at_rest(ledger: &Ledger, out: &mut Findings) {
    if ledger.shutdown.is_some() {
        return;
    }
    // Nobody's patience is over before the time was told, at the latest a granule after it.
    let (now, granule) = (ledger.now.as_nanos(), ledger.granule().as_nanos() as u64);
    let now = if ledger.timed {
        now.saturating_sub(granule)
    } else {
        0
    };
    for (place, topic) in ledger.topics.iter().enumerate() {
        let Some(wanted) = topic.wanted else { continue };
        let most = logs::may_go(ledger, place, wanted);
        let needed = awaited(ledger, place, topic.from..most, Time::from_nanos(now), true);
        out.holds("B10c", needed != Tri::No, || {
            format!(
                "a publish to {} waits for nobody, and is not told of room",
                topic.name
            )
        });
    }
}

/// Whether there is a reader that a publish waits for, which needs one of these frames; `ended`: ends that were asked for
/// have begun.
fn awaited(ledger: &Ledger, place: usize, frames: Range<usize>, now: Time, ended: bool) -> Tri {
    let conns = ledger.conns.values().filter(|conn| conn.is_possible());
    let each = conns.filter_map(|conn| {
        let member = conn.members.iter().find(|member| member.topic == place)?;
        Some(waits_for(ledger, conn, member, &frames, now, ended))
    });
    each.fold(Tri::No, |all, one| match (all, one) {
        (Tri::Yes, _) | (_, Tri::Yes) => Tri::Yes,
        (Tri::No, Tri::No) => Tri::No,
        _ => Tri::Maybe,
    })
}

fn waits_for(
    ledger: &Ledger,
    conn: &Conn,
    member: &Member,
    frames: &Range<usize>,
    now: Time,
    ended: bool,
) -> Tri {
    let numbers = &ledger.topics[member.topic].frames;
    // What was published after its end is not for it.
    let owed = |from: usize, ended: bool| {
        let upto = conn.ends.first().filter(|_| ended).map(|end| end.upto);
        (from.max(frames.start)..frames.end.min(numbers.len()))
            .any(|index| upto.is_none_or(|upto| numbers[index] < upto))
    };
    let patience = ledger.config.reader_patience;
    let stuck = conn.blocked || conn.flight.is_some();
    // Since it takes nothing: the latest that may be meant.
    let since = conn.last_accept.max(conn.stall.unwrap_or(conn.opened));
    if !owed(member.next, ended) || (stuck && now >= since + patience) {
        return Tri::No;
    }
    // What was begun is held apart from the log, and a lag may have moved it on.
    let next = member.next.max(member.first_most) + usize::from(!conn.rest.is_empty());
    let sure = conn.is_certain() && conn.flight.is_none() && member.moved.is_empty();
    let reads = !(stuck || conn.woken.is_some()) || now < conn.last_accept + patience;
    if sure && reads && owed(next, true) {
        Tri::Yes
    } else {
        Tri::Maybe
    }
}
