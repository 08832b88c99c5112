//! Two engines that went through the same scenario: what each stream got must be the same.
//!
//! Free are the values of `retry:`, heartbeats, how bytes are cut into runs, and in what order streams
//! are served.

use sse_state::{Control, Engine, Error, EventId, Published, Reply};

use crate::trace::{Event, What};
use crate::wire::Parser;
use crate::world::World;

/// Where two worlds differ; nothing if they agree.
pub fn compare<A: Engine, B: Engine>(left: &World<A>, right: &World<B>) -> Vec<String> {
    let mut differences = Vec::new();
    answers(left, right, &mut differences);
    if left.peers.len() != right.peers.len() {
        differences.push(format!(
            "{} connections against {}",
            left.peers.len(),
            right.peers.len()
        ));
        return differences;
    }
    for (number, (a, b)) in left.peers.iter().zip(&right.peers).enumerate() {
        let (events_a, events_b) = (events(a.body()), events(b.body()));
        let at = events_a
            .iter()
            .zip(&events_b)
            .position(|(a, b)| a != b)
            .unwrap_or(events_a.len().min(events_b.len()));
        if events_a != events_b {
            differences.push(format!(
                "stream {number} differs at event {at}: {:?} against {:?}",
                events_a.get(at),
                events_b.get(at)
            ));
        }
        let (ends_a, ends_b) = (closes(left, number), closes(right, number));
        if ends_a.is_some() != ends_b.is_some() {
            differences.push(format!(
                "connection {number} ended as {ends_a:?} against {ends_b:?}"
            ));
        }
    }
    for topic in &left.setup.topics {
        let (a, b) = (sources(left, &topic.name), sources(right, &topic.name));
        if a != b {
            differences.push(format!("source of {}: {a:?} against {b:?}", topic.name));
        }
    }
    differences
}

/// An event without what is free.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its data; of a gap, who, how many, why.
    pub data: String,
    /// Its id.
    pub id: Option<String>,
}

/// The events of a body, in order. The order of gaps of several topics that stand at one seq is free, and so
/// is whether a gap is told that nothing follows.
pub fn events(body: &[u8]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    for block in Parser::new().push(body) {
        if block.is_comment() || block.is_retry() || block.name.as_deref() == Some("sse-heartbeat")
        {
            continue;
        }
        let event = Seen {
            name: block.name.clone().unwrap_or_default(),
            data: block.data.clone().unwrap_or_default(),
            id: block.id.clone(),
        };
        let after = |other: &Seen| is_gap(other) && other.id == event.id && other.data > event.data;
        let place = seen
            .iter()
            .rposition(|other| !is_gap(&event) || !after(other));
        seen.insert(place.map_or(0, |place| place + 1), event);
    }
    while seen.last().is_some_and(is_gap) {
        seen.pop();
    }
    seen
}

fn is_gap(seen: &Seen) -> bool {
    seen.name == "sse-gap"
}

/// The calls that both got must have been answered alike.
fn answers<A: Engine, B: Engine>(left: &World<A>, right: &World<B>, differences: &mut Vec<String>) {
    let (a, b) = (calls(left), calls(right));
    for (number, (a, b)) in a.iter().zip(&b).enumerate() {
        if a != b {
            differences.push(format!("call {number}: {a} against {b}"));
            return;
        }
    }
}

fn calls<E: Engine>(world: &World<E>) -> Vec<String> {
    let call = |what: &What| match what {
        What::Call { input, result, .. } => {
            let input = format!("{input:?}");
            let name = input.split([' ', '(']).next().unwrap_or_default();
            // Reports and readiness follow from how bytes were cut.
            (!matches!(name, "Report" | "Writable" | "Pull")).then(|| {
                match (name, answer(result)) {
                    // What a poll did is seen on the streams.
                    ("PollResult", answer) if answer.starts_with("published") => {
                        "PollResult -> ok".into()
                    }
                    (name, answer) => format!("{name} -> {answer}"),
                }
            })
        }
        _ => None,
    };
    world
        .trace
        .iter()
        .filter_map(|step| call(&step.what))
        .collect()
}

fn answer(result: &Result<Reply, Error>) -> String {
    match result {
        Ok(Reply::Published(Published { id, unchanged, .. })) => {
            let id = id.map(|id: EventId| id.to_string());
            format!("published {id:?} unchanged {unchanged}")
        }
        Ok(_) => "ok".into(),
        // Which of several reasons comes first is free.
        Err(Error::Stale) => "stale".into(),
        Err(Error::Wait) => "wait".into(),
        Err(_) => "refused".into(),
    }
}

fn closes<E: Engine>(world: &World<E>, number: usize) -> Option<String> {
    let id = world.peers[number].id;
    world
        .trace
        .iter()
        .flat_map(|step| step.events())
        .find_map(|event| match event {
            Event::Control(Control::Close {
                id: of,
                reason,
                ending,
            }) if *of == id => Some(format!("{reason:?} {ending:?}")),
            _ => None,
        })
}

fn sources<E: Engine>(world: &World<E>, name: &str) -> Vec<String> {
    world
        .trace
        .iter()
        .flat_map(|step| step.events())
        .filter_map(|event| match event {
            Event::Control(Control::StartSource { topic, .. }) if topic.as_str() == name => {
                Some("start".to_owned())
            }
            Event::Control(Control::StopSource { topic, reason, .. }) if topic.as_str() == name => {
                Some(format!("{reason:?}"))
            }
            // When a poll that took too long is replaced may differ by a tick.
            Event::Control(Control::Poll { topic, number, .. })
                if topic.as_str() == name && world.setup.config.poll_timeout.as_secs() > 100 =>
            {
                Some(format!("poll {number}"))
            }
            _ => None,
        })
        .collect()
}
