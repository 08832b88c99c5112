//! Takes subscriptions and publishes into the ledger: who is promised what, and what logs hold.

use sse_state::{EventId, Frame, Published, Start, Subscribe, SubscriberId, Via};

use super::facts::{Conn, Fate, Ledger, Member, Phase, Pub, Tri};
use super::intake::{tag_of, with};
use super::{Findings, delivery};

pub(super) fn subscribe(ledger: &mut Ledger, id: SubscriberId, sub: &Subscribe) {
    let now = ledger.now;
    let mounted = matches!(sub.via, Via::Mounted { .. });
    if mounted {
        let order = ledger.conns.len();
        ledger.conns.insert(id, Conn::new(now, order));
    }
    let members: Vec<Member> = sub
        .topics
        .iter()
        .filter_map(|join| ledger.place(join.topic.as_str()))
        .map(|place| member(ledger, place, &sub.start))
        .collect();
    let history = members
        .iter()
        .any(|member| ledger.topics[member.topic].options.history);
    let primes = history && matches!(sub.start, Start::Now | Start::Newest);
    let prime = primes.then_some(EventId {
        epoch: ledger.config.epoch,
        seq: ledger.seq,
    });
    ledger.stirred |= ledger.more;
    for member in &members {
        let len = ledger.topics[member.topic].frames.len();
        ledger.sums.owed_least += (len - member.first_most) as u64;
        ledger.sums.owed_most += (len - member.first) as u64;
    }
    with(ledger, id, |conn| {
        conn.phase = Phase::Streaming;
        conn.mounted = mounted;
        conn.opened = now;
        conn.last_offer = now;
        conn.last_accept = now;
        conn.head_left = sub.head.len();
        conn.members = members;
        conn.prime = prime;
        conn.sub = Some(sub.clone());
        conn.waits = (!mounted).then(Default::default);
    });
}

/// What a new member of a topic is promised.
fn member(ledger: &Ledger, place: usize, start: &Start) -> Member {
    let topic = &ledger.topics[place];
    let len = topic.frames.len();
    // With the newest frame, if one is held.
    let newest = |from: usize| if from < len { len - 1 } else { len };
    let at_now = |from: usize| {
        if topic.options.dedupe {
            newest(from)
        } else {
            len
        }
    };
    let after = |from: usize, seq: u64| {
        (from..len)
            .find(|&index| ledger.frame(place, index).seq > seq)
            .unwrap_or(len)
    };
    let mut resume = Tri::No;
    let mut why = "";
    let span = match start {
        Start::Newest => (newest(topic.from), newest(topic.from_most)),
        Start::Oldest => (topic.from, topic.from_most),
        Start::After(id) if topic.options.history => {
            let known = EventId::parse(id);
            why = match known {
                None => "unknown",
                Some(id) if id.epoch != ledger.config.epoch => "epoch",
                Some(id) if id.seq > ledger.seq => "ahead",
                Some(_) => "expired",
            };
            match known.filter(|_| why == "expired") {
                None => {
                    resume = Tri::Yes;
                    (topic.from, topic.from_most)
                }
                Some(id) => {
                    let gone = |from: usize| {
                        (0..from).any(|index| ledger.frame(place, index).seq > id.seq)
                    };
                    resume = if gone(topic.from) {
                        Tri::Yes
                    } else if !gone(topic.from_most) && id.seq >= topic.life {
                        Tri::No
                    } else {
                        Tri::Maybe
                    };
                    (after(topic.from, id.seq), after(topic.from_most, id.seq))
                }
            }
        }
        Start::Now | Start::After(_) => (at_now(topic.from), at_now(topic.from_most)),
    };
    if !topic.tells_resume() {
        resume = Tri::No;
    }
    Member {
        topic: place,
        first: span.0.min(span.1),
        first_most: span.0.max(span.1),
        joined: len,
        next: span.0.min(span.1),
        moved: Vec::new(),
        got: 0,
        last_key: None,
        told: 0,
        told_gap: false,
        told_id: None,
        resumes: why == "expired",
        resume,
        why,
        resumed: false,
    }
}

pub(super) fn publish(
    ledger: &mut Ledger,
    place: usize,
    frame: &Frame,
    published: Option<&Published>,
    out: &mut Findings,
) {
    let wire = frame.to_string();
    let Some(tag) = tag_of(&wire) else {
        ledger.sums.fuzzy = true;
        return;
    };
    let kept = ledger
        .before
        .as_ref()
        .and_then(|views| views.interests[place])
        .is_some_and(|interest| interest.kept);
    let (text, own) = split_id(&wire, frame.has_own_id());
    let key: String = text
        .split_inclusive('\n')
        .filter(|line| line.starts_with("event:") || line.starts_with("data:"))
        .collect();
    delivery::published(ledger, place, &key, published, kept, out);
    let unchanged = match published {
        Some(published) => published.unchanged,
        None => delivery::equals_newest(ledger, place, &key) == Tri::Yes,
    };
    if unchanged || !kept {
        let fate = if unchanged {
            ledger.sums.unchanged += 1;
            Fate::Unchanged
        } else {
            ledger.sums.unheard += 1;
            Fate::Dropped
        };
        ledger.tags.insert(tag, fate);
        return;
    }
    let (certain, possible) = ledger.members(place);
    ledger.sums.owed_least += u64::from(certain);
    ledger.sums.owed_most += u64::from(possible);
    let told = published.and_then(|published| published.id);
    ledger.seq = told.map_or(ledger.seq + 1, |id| id.seq);
    let id = if ledger.topics[place].options.history {
        Some(format!("{}-{}", ledger.config.epoch, ledger.seq))
    } else {
        own
    };
    let index = ledger.topics[place].frames.len();
    ledger.tags.insert(tag, Fate::Appended(ledger.pubs.len()));
    ledger.topics[place].frames.push(ledger.pubs.len());
    ledger.pubs.push(Pub {
        topic: place,
        index,
        seq: ledger.seq,
        key,
        text,
        id,
    });
    evict(ledger, place);
    let retained = ledger.now + ledger.topics[place].options.retained_for();
    if ledger.topics[place].declared {
        ledger.topics[place].retained_most = ledger.topics[place].retained_most.max(retained);
    }
    for conn in ledger.conns.values_mut() {
        if conn.is_certain() && conn.is_ready() && !conn.mounted && conn.follows(place) {
            conn.waits.get_or_insert_default();
        }
    }
}

/// What leaves the log after a publish, for both ends of what is known.
fn evict(ledger: &mut Ledger, place: usize) {
    let topic = &ledger.topics[place];
    // An engine may make room for the longest id before it knows the id.
    let slack = if topic.options.history { LONGEST_ID } else { 0 };
    let from = fit(ledger, place, topic.from, 0, 0);
    let mut from_most = fit(ledger, place, topic.from_most, 0, slack);
    if ledger.logs_are_fuzzy() {
        from_most = topic.frames.len() - 1;
    }
    let topic = &mut ledger.topics[place];
    topic.from = from;
    topic.from_most = from_most.max(from);
}

/// The first frame that a log keeps, with so many frames and bytes more than are in it now.
fn fit(ledger: &Ledger, place: usize, mut from: usize, frames: usize, bytes: usize) -> usize {
    let topic = &ledger.topics[place];
    let size = |index: usize| {
        let frame = ledger.frame(place, index);
        frame.text.len() + frame.id.as_ref().map_or(0, |id| id.len() + 5) + 1
    };
    let held = topic.frames.len();
    let len = held + frames;
    let mut bytes = (from..held).map(size).sum::<usize>() + bytes;
    while from < held
        && from + 1 < len
        && (len - from > topic.options.log_frames as usize
            || bytes > topic.options.log_bytes as usize)
    {
        bytes -= size(from);
        from += 1;
    }
    from
}

/// Frames before this one may have to go for one of so many bytes.
pub(super) fn may_go(ledger: &Ledger, place: usize, bytes: usize) -> usize {
    let topic = &ledger.topics[place];
    if ledger.logs_are_fuzzy() {
        return topic.frames.len();
    }
    fit(ledger, place, topic.from_most, 1, bytes + LONGEST_ID)
}

/// Bytes of the longest id of a machine.
const LONGEST_ID: usize = 34;

/// The text before the id line, and the id.
fn split_id(wire: &str, own: bool) -> (String, Option<String>) {
    let text = wire.strip_suffix("\n\n").unwrap_or(wire);
    if own && let Some((text, id)) = text.rsplit_once("\nid: ") {
        return (format!("{text}\n"), Some(id.to_owned()));
    }
    (format!("{text}\n"), None)
}
