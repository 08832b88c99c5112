//! D, N and I6: what a stream got, block by block.

use sse_state::{EventId, Published, Slow, SubscriberId};

use super::Findings;
use super::facts::{Conn, Fate, Ledger, Member, Tri};
use super::intake::tag_in;
use crate::wire::Block;

/// A publish was answered.
pub(super) fn published(
    ledger: &Ledger,
    place: usize,
    key: &str,
    published: Option<&Published>,
    kept: bool,
    out: &mut Findings,
) {
    let topic = &ledger.topics[place];
    let Some(published) = published else { return };
    let (certain, possible) = ledger.members(place);
    l10_published_for_the_members(topic.name.as_str(), published, certain, possible, out);
    out.holds("L10b", kept || certain == 0, || {
        format!("{} has members, but would keep no publish", topic.name)
    });
    let equal = equals_newest(ledger, place, key);
    match (published.unchanged, equal) {
        (true, Tri::No) => {
            // Of an earlier life nothing is left to compare with.
            let rule = if topic.from == topic.frames.len() {
                "N5"
            } else {
                "N3"
            };
            out.broken(
                rule,
                format!("{key:?} differs from the newest of {}", topic.name),
            );
        }
        (false, Tri::Yes) if kept => {
            out.broken("N7", format!("{key:?} equals the newest of {}", topic.name));
        }
        _ => {}
    }
    let told = published.id;
    if kept && !published.unchanged {
        out.holds("I6e", told.is_some() == topic.options.history, || {
            format!("{} told the id {told:?}", topic.name)
        });
    }
    if let Some(id) = told.filter(|_| kept && !published.unchanged) {
        out.holds(
            "I6e",
            id.epoch == ledger.config.epoch && id.seq > ledger.seq,
            || format!("the id {id} does not follow seq {}", ledger.seq),
        );
    }
}

fn l10_published_for_the_members(
    topic: &str,
    published: &Published,
    certain: u32,
    possible: u32,
    out: &mut Findings,
) {
    let streams = published.streams;
    out.holds("L10a", (certain..=possible).contains(&streams), || {
        format!("a publish to {topic} was for {streams} streams, not {certain}..={possible}")
    });
}

/// Whether an event equals the newest frame of a topic with dedupe.
pub(super) fn equals_newest(ledger: &Ledger, place: usize, key: &str) -> Tri {
    let topic = &ledger.topics[place];
    let len = topic.frames.len();
    if !topic.options.dedupe || topic.from == len {
        return Tri::No;
    }
    match (
        ledger.frame(place, len - 1).key == key,
        topic.from_most < len,
    ) {
        (false, _) => Tri::No,
        (true, true) => Tri::Yes,
        (true, false) => Tri::Maybe,
    }
}

/// A stream got a whole block.
pub(super) fn block(ledger: &mut Ledger, id: SubscriberId, block: &Block, out: &mut Findings) {
    let Some(conn) = ledger.conns.get_mut(&id) else {
        return;
    };
    let place = conn.blocks;
    conn.blocks += 1;
    let beats = place > 0 && block.is_comment() || block.name.as_deref() == Some("sse-heartbeat");
    conn.beaten = beats;
    ledger.sums.heartbeats += u64::from(beats);
    if let Some(end) = conn.farewell {
        out.broken(
            "D11b",
            format!("{id} got {:?} after its {end}", text(block)),
        );
    }
    i6_ids_never_fall(conn, id, block, out);
    let first = place == 0;
    let retry_due = place == 1 && conn.sub.as_ref().is_some_and(|sub| sub.retry);
    out.holds("W§3.2", !first || block.raw == b":\n\n", || {
        format!("{id} began with {:?}", text(block))
    });
    out.holds("W§3.2", !retry_due || block.is_retry(), || {
        format!("{id} got {:?} instead of its retry block", text(block))
    });
    if block.is_comment() {
        out.holds("D11c", block.raw == b":\n\n", || {
            format!("{id} got the comment {:?}", text(block))
        });
    } else if block.is_retry() {
        s6_retry(conn, id, block, retry_due, out);
    } else if block.is_prime() {
        i6_prime(ledger, id, block, out);
    } else {
        match block.name.as_deref() {
            Some("sse-gap") => notice(ledger, id, block, out),
            Some("sse-end") => {
                out.holds("D11c", block.raw == b"event: sse-end\ndata: {}\n\n", || {
                    format!("{id} got the end {:?}", text(block))
                });
                conn.farewell = Some("end event");
            }
            Some("sse-heartbeat") => {
                out.holds("H5b", block.id.is_none() && block.retry.is_none(), || {
                    format!("{id} got the heartbeat {:?}", text(block))
                });
            }
            _ => frame(ledger, id, block, out),
        }
    }
}

/// I6, first half: ids on one stream never fall.
fn i6_ids_never_fall(conn: &mut Conn, id: SubscriberId, block: &Block, out: &mut Findings) {
    let Some(seq) = block
        .id
        .as_deref()
        .and_then(|id| EventId::parse(id.as_bytes()))
    else {
        return;
    };
    let before = conn.last_id.unwrap_or(0);
    out.holds("I6a", seq.seq >= before, || {
        format!("{id} got the id {seq} after {before}")
    });
    let frame = !block.is_prime() && block.name.as_deref() != Some("sse-gap");
    out.holds(
        "I6g",
        !frame || conn.last_id.is_none_or(|last| seq.seq != last),
        || format!("{id} got {seq} after something that had its id"),
    );
    conn.last_id = Some(seq.seq.max(before));
}

/// S6: `retry:` values are spread over 2 s, and a farewell is one only at an end.
fn s6_retry(conn: &mut Conn, id: SubscriberId, block: &Block, due: bool, out: &mut Findings) {
    let millis = block.retry.unwrap_or(0);
    out.holds("S6", (2000..=4000).contains(&millis), || {
        format!("{id} was told to retry after {millis} ms")
    });
    if !due {
        out.holds("S3c", !conn.is_certain(), || {
            format!("{id} got a farewell, but does not end")
        });
        conn.farewell = Some("farewell");
    }
}

/// I6: a primed stream gets the id that was current when it subscribed, before any later frame.
fn i6_prime(ledger: &mut Ledger, id: SubscriberId, block: &Block, out: &mut Findings) {
    let Some(conn) = ledger.conns.get_mut(&id) else {
        return;
    };
    let due = conn.prime.map(|id| id.to_string());
    out.holds(
        "I6b",
        due.is_some() && due == block.id && !conn.primed,
        || format!("{id} was primed with {:?}, not {due:?}", block.id),
    );
    conn.primed = true;
}

/// A gap notice.
fn notice(ledger: &mut Ledger, id: SubscriberId, block: &Block, out: &mut Findings) {
    let data = block.data.clone().unwrap_or_default();
    let conn = ledger.conns.get_mut(&id).expect("looked at before");
    let known = conn.members.iter().position(|member| {
        let topic = &ledger.topics[member.topic];
        data.starts_with(&format!("{{\"topic\":\"{}\",\"missed\":", topic.name))
    });
    let Some(place) = known else {
        return out.broken("D3c", format!("{id} got a notice about nothing: {data}"));
    };
    let member = &mut conn.members[place];
    let topic = &ledger.topics[member.topic];
    let missed = data
        .split_once("\"missed\":")
        .and_then(|(_, rest)| rest.split_once(','));
    let (missed, rest) = missed.unwrap_or_default();
    let why = rest
        .trim_start_matches("\"why\":\"")
        .trim_end_matches("\"}");
    let parsed = block
        .id
        .as_deref()
        .and_then(|id| EventId::parse(id.as_bytes()));
    if !topic.options.history {
        out.holds("D3c", block.id.is_none(), || {
            format!("{id} got an id with the notice {data}")
        });
    }
    let early = conn.prime.is_some() && !conn.primed;
    out.holds("I6d", !early || block.id.is_none(), || {
        format!("{id} got an id before it was primed: {data}")
    });
    member.told_id = parsed.map(|id| id.seq);
    match (missed, why) {
        ("null", why) => {
            out.holds("D10a", member.resume != Tri::No && member.got == 0, || {
                format!("{id} was told of a gap where there is none: {data}")
            });
            let rule = if why == "epoch" || member.why == "epoch" {
                "I7b"
            } else {
                "D10c"
            };
            out.holds(rule, why == member.why, || {
                format!("{id} was told {why}, not {}", member.why)
            });
            member.resumed = true;
            member.told_gap = true;
        }
        (number, "slow") => {
            let number: u64 = number.parse().unwrap_or(0);
            out.holds("D3d", number > 0 && topic.tells_lag(), || {
                format!("{id} was told of a lag where it is not to be: {data}")
            });
            member.told += number;
        }
        _ => out.broken("D3c", format!("{id} got the notice {data}")),
    }
}

/// A published frame.
fn frame(ledger: &mut Ledger, id: SubscriberId, block: &Block, out: &mut Findings) {
    let fate = tag_in(block).and_then(|tag| ledger.tags.get(&tag).copied());
    let number = match fate {
        Some(Fate::Appended(number)) => number,
        Some(Fate::Unchanged) => {
            return out.broken("N1a", format!("{id} got the unchanged {:?}", text(block)));
        }
        Some(Fate::Dropped) | None => {
            return out.broken("D4a", format!("{id} got {:?}", text(block)));
        }
    };
    let frame = &ledger.pubs[number];
    let conn = ledger.conns.get_mut(&id).expect("looked at before");
    let topic = &ledger.topics[frame.topic];
    let Some(place) = conn.members.iter().position(|m| m.topic == frame.topic) else {
        return out.broken("D4b", format!("{id} does not follow {}", topic.name));
    };
    let member = &conn.members[place];
    let index = frame.index;
    let snapshot = conn.prime.is_some() && index < member.joined && topic.options.history;
    d11_wire_form(id, block, frame, snapshot, out);
    if snapshot {
        out.holds("I6c", !conn.primed, || {
            format!(
                "{id} got the snapshot {index} of {} after its id",
                topic.name
            )
        });
    } else if index >= member.joined && conn.prime.is_some() {
        out.holds("I6c", conn.primed, || {
            format!("{id} got {index} of {} before its id", topic.name)
        });
    }
    if let Some(end) = conn.ends.first() {
        out.holds("D4c", number < end.upto, || {
            format!(
                "{id} got {index} of {}, published after its end at {:?}",
                topic.name, end.at
            )
        });
    }
    let early = match (index < topic.life_from, member.resumes) {
        (true, _) => "N5",
        (_, true) => "N6",
        _ => "D4d",
    };
    out.holds(early, index >= member.first, || {
        format!(
            "{id} was promised {}.. of {} and got {index}",
            member.first, topic.name
        )
    });
    if member.got > 0 && index < member.next {
        let rule = if index + 1 == member.next {
            "D2"
        } else {
            "D1a"
        };
        out.broken(
            rule,
            format!(
                "{id} got {index} of {} after {}",
                topic.name,
                member.next - 1
            ),
        );
    }
    out.holds("D9", frame.seq > conn.last_seq, || {
        format!("{id} got seq {} after {}", frame.seq, conn.last_seq)
    });
    conn.last_seq = conn.last_seq.max(frame.seq);
    if member.last_key.as_ref() == Some(&frame.key) && topic.options.dedupe {
        // Right only if another value lay between, and was missed.
        out.holds("N1b", index > member.next, || {
            format!("{id} got {:?} of {} twice in a row", frame.key, topic.name)
        });
    }
    d3_no_silent_gap(id, member, topic, index, frame.seq, out);
    let (key, seq_before) = (frame.key.clone(), previous_seq(ledger, frame.topic, index));
    let conn = ledger.conns.get_mut(&id).expect("looked at before");
    let member = &mut conn.members[place];
    if let (Some(told), Some(before), true) = (member.told_id, seq_before, member.told > 0) {
        out.holds("D3e", told == before, || {
            format!("{id} got a notice with the id {told}, the last missed is {before}")
        });
    }
    ledger.sums.delivered += 1;
    member.next = member.next.max(index + 1);
    member.moved.clear();
    member.got += 1;
    member.last_key = Some(key);
    member.told = 0;
    member.told_gap = false;
    member.told_id = None;
}

fn previous_seq(ledger: &Ledger, topic: usize, index: usize) -> Option<u64> {
    (index > 0).then(|| ledger.frame(topic, index - 1).seq)
}

/// D11: a frame comes as it was encoded; a snapshot comes without its id.
fn d11_wire_form(
    id: SubscriberId,
    block: &Block,
    frame: &super::facts::Pub,
    snapshot: bool,
    out: &mut Findings,
) {
    let mut expected = frame.text.clone();
    if let Some(id) = frame.id.as_ref().filter(|_| !snapshot) {
        expected.push_str(&format!("id: {id}\n"));
    }
    expected.push('\n');
    out.holds("D11a", block.raw == expected.as_bytes(), || {
        format!("{id} got {:?}, not {expected:?}", text(block))
    });
}

/// D3: what lies between two frames is told, with its number, or the policy says not to tell.
fn d3_no_silent_gap(
    id: SubscriberId,
    member: &Member,
    topic: &super::facts::Topic,
    index: usize,
    seq: u64,
    out: &mut Findings,
) {
    let least = if member.got > 0 {
        member.next
    } else {
        member.next.max(member.first_most)
    };
    let most = member.next;
    let gap = |from: usize| index.saturating_sub(from) as u64;
    let told = member.told;
    if member.resume == Tri::Yes && member.got == 0 {
        let rule = if member.why == "epoch" { "I7a" } else { "D10b" };
        out.holds(rule, member.resumed, || {
            format!(
                "{id} was resumed in {} without a notice ({})",
                topic.name, member.why
            )
        });
    }
    if topic.tells_lag() {
        let fits = (gap(least)..=gap(most)).contains(&told) || member.told_gap;
        out.holds("D3a", fits, || {
            format!(
                "{id} missed {} of {} before seq {seq}, and was told {told}",
                gap(least),
                topic.name
            )
        });
    } else {
        out.holds("D3d", told == 0, || {
            format!("{id} was told of {told} missed in {}", topic.name)
        });
    }
    if topic.options.slow == Slow::Close {
        out.holds("B4b", gap(least) == 0, || {
            format!(
                "{id} goes on after a lag in {}, whose policy is to close",
                topic.name
            )
        });
    }
}

/// Nothing is left to do: whoever can be written to has everything.
pub(super) fn at_rest(ledger: &Ledger, out: &mut Findings) {
    for (id, conn) in &ledger.conns {
        if !conn.is_certain() || !conn.is_ready() {
            continue;
        }
        if conn.mounted {
            d5_mounted_is_woken(ledger, *id, conn, out);
            continue;
        }
        out.holds("W§3.2", conn.blocks > 0, || {
            format!("{id} got no first bytes")
        });
        out.holds("I6b", conn.prime.is_none() || conn.primed, || {
            format!("{id} was not primed")
        });
        out.holds("D5b", conn.rest.is_empty(), || {
            format!("{id} is ready, and its begun frame is not finished")
        });
        for member in &conn.members {
            rested_member(ledger, *id, member, out);
        }
    }
}

fn rested_member(ledger: &Ledger, id: SubscriberId, member: &Member, out: &mut Findings) {
    let topic = &ledger.topics[member.topic];
    let len = topic.frames.len();
    let owed = member.next.max(member.first_most);
    if owed < len {
        let rule = match (ledger.stirred, topic.options.dedupe && member.got == 0) {
            (_, true) => "N2",
            (true, _) => "D7a",
            _ if member.next < topic.from_most => "D12",
            _ => "D5a",
        };
        out.broken(
            rule,
            format!(
                "{id} is ready and at rest at {owed} of {len} in {}",
                topic.name
            ),
        );
        return;
    }
    let newest =
        (topic.is_exact() && topic.from < len).then(|| &ledger.frame(member.topic, len - 1).key);
    if topic.options.dedupe
        && member.got > 0
        && let Some(newest) = newest
    {
        out.holds("N4a", member.last_key.as_ref() == Some(newest), || {
            format!(
                "{id} was left with {:?}, the newest is {newest:?}",
                member.last_key
            )
        });
    }
    out.holds("D3b", member.told == 0, || {
        format!(
            "{id} was told of {} missed in {}, and nothing followed",
            member.told, topic.name
        )
    });
    if member.resume == Tri::Yes {
        let rule = if member.why == "epoch" { "I7a" } else { "D10b" };
        out.holds(rule, member.resumed, || {
            format!(
                "{id} was resumed in {} without a notice ({})",
                topic.name, member.why
            )
        });
    }
}

fn d5_mounted_is_woken(ledger: &Ledger, id: SubscriberId, conn: &Conn, out: &mut Findings) {
    let owes = conn.blocks == 0
        || conn
            .members
            .iter()
            .any(|m| m.next.max(m.first_most) < ledger.topics[m.topic].frames.len());
    out.holds("D5c", !owes || conn.woken.is_some(), || {
        format!("{id} has something to pull, and was not woken")
    });
}

fn text(block: &Block) -> String {
    String::from_utf8_lossy(&block.raw).into_owned()
}
