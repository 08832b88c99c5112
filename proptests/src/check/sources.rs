//! L and I5: sources start, are polled, and stop.

use std::time::Duration;

use sse_state::{Control, Name, ShutdownCause, SourceKind, SourceToken, StopReason, Time};

use super::Findings;
use super::facts::{Ledger, Running, Source, Topic, Tri};
use crate::trace::Views;

/// An action that concerns a source.
pub(super) fn control(ledger: &Ledger, control: &Control, out: &mut Findings) {
    match control {
        Control::StartSource { topic, token } => start(ledger, topic, *token, out),
        Control::StopSource {
            topic,
            token,
            reason,
        } => stop(ledger, topic, *token, *reason, out),
        Control::Poll {
            topic,
            token,
            number,
        } => poll(ledger, topic, *token, *number, out),
        _ => {}
    }
}

fn start(ledger: &Ledger, name: &Name, token: SourceToken, out: &mut Findings) {
    let Some(place) = ledger.place(name.as_str()) else {
        return out.broken(
            "L2a",
            format!("a source of {name} starts, which nobody named"),
        );
    };
    let topic = &ledger.topics[place];
    out.holds("L2a", topic.source == Source::Idle, || {
        format!("the source of {name} starts twice")
    });
    let newest = ledger.tokens.keys().map(|token| token.start()).max();
    out.holds(
        "I5",
        newest.is_none_or(|newest| newest < token.start()),
        || format!("the token {token} comes after {newest:?}"),
    );
    out.holds("L3b", topic.options.source != SourceKind::None, || {
        format!("{name} has no source, and it starts")
    });
    let (_, possible) = ledger.members(place);
    out.holds("L7a", possible > 0, || {
        format!("the source of {name} starts, and nobody is there")
    });
    out.holds("L9a", topic.spent != Tri::Yes, || {
        format!("the source of {name} is done, and starts again while members remain")
    });
    out.holds("S1d", ledger.shutdown.is_none(), || {
        format!("the source of {name} starts after shutdown")
    });
}

fn stop(ledger: &Ledger, name: &Name, token: SourceToken, reason: StopReason, out: &mut Findings) {
    let Some(topic) = ledger
        .place(name.as_str())
        .map(|place| &ledger.topics[place])
    else {
        return out.broken(
            "L2b",
            format!("a source of {name} stops, which nobody named"),
        );
    };
    let running = topic.running().map(|running| running.token);
    out.holds("L2b", running == Some(token), || {
        format!("the source {token} of {name} stops, {running:?} runs")
    });
    let down = ledger.shutdown.map(|down| down.cause);
    match reason {
        StopReason::NoSubscribers => l4_not_before_linger(ledger, topic, out),
        StopReason::Shutdown => out.holds("L9b", down == Some(ShutdownCause::Asked), || {
            format!("the source of {name} stops for a shutdown: {down:?}")
        }),
        StopReason::HubDropped => out.holds("L9b", down == Some(ShutdownCause::HubDropped), || {
            format!("the source of {name} stops as dropped: {down:?}")
        }),
        reason => {
            // L8: a failed poll is no condition, nor a finish.
            let rule = if reason == StopReason::Condition {
                "L8"
            } else {
                "L9b"
            };
            out.holds(rule, topic.causes.contains(&reason), || {
                format!(
                    "the source of {name} stops as {reason:?}, the causes are {:?}",
                    topic.causes
                )
            });
        }
    }
}

/// L4: not while somebody is there, nor before linger has passed. L5: who comes during linger finds
/// it running.
fn l4_not_before_linger(ledger: &Ledger, topic: &Topic, out: &mut Findings) {
    match topic.certain_zero {
        None => out.broken(
            "L5",
            format!("the source of {} stops, and it has members", topic.name),
        ),
        Some(since) => out.holds("L4a", ledger.now >= since + topic.options.linger, || {
            format!(
                "the source of {} stops before its linger is over",
                topic.name
            )
        }),
    }
}

fn poll(ledger: &Ledger, name: &Name, token: SourceToken, number: u64, out: &mut Findings) {
    let place = ledger.place(name.as_str());
    let Some(topic) = place.map(|place| &ledger.topics[place]) else {
        return out.broken("L11d", format!("a poll of {name}, which nobody named"));
    };
    let Some(running) = topic.running().filter(|running| running.token == token) else {
        return out.broken(
            "L11d",
            format!("a poll of {name} with {token}, which does not run"),
        );
    };
    let SourceKind::Interval(every) = topic.options.source else {
        return out.broken("L11d", format!("{name} is polled, and has no interval"));
    };
    let last = running.last.map_or(0, |(number, _)| number);
    out.holds("L11a", number == last + 1, || {
        format!("poll {number} of {name} comes after {last}")
    });
    let busy = ledger
        .polls
        .get(&token)
        .is_some_and(|(_, at)| ledger.now < *at + ledger.config.poll_timeout);
    out.holds("L11b", !busy, || {
        format!("two polls of {name} are in flight")
    });
    if let Some((_, before)) = running.last {
        let later = [Some(running.since), running.first]
            .into_iter()
            .flatten()
            .any(|phase| tick(ledger.now, phase, every) > tick(before, phase, every));
        out.holds("L11c", later, || {
            format!("{name} is polled twice in one interval")
        });
    }
    out.holds(
        "L12a",
        ledger.polls_in_flight() < ledger.config.polls as usize,
        || format!("{} polls are in flight", ledger.polls_in_flight() + 1),
    );
    out.holds(
        "L9c",
        !topic.causes.contains(&StopReason::Condition),
        || format!("{name} is polled after its condition was met"),
    );
}

/// Which interval of a phase a time lies in.
fn tick(at: Time, phase: Time, every: Duration) -> u128 {
    at.since(phase).as_nanos() / every.as_nanos().max(1)
}

/// Nothing is left to do: who listens is fed, and nobody else is.
pub(super) fn at_rest(ledger: &Ledger, after: &Views, out: &mut Findings) {
    for (place, topic) in ledger.topics.iter().enumerate() {
        let (certain, possible) = ledger.members(place);
        let wants = topic.options.source != SourceKind::None && ledger.shutdown.is_none();
        if wants && certain > 0 && topic.spent == Tri::No {
            out.holds("L3a", topic.running().is_some(), || {
                format!("{} has members, and its source does not run", topic.name)
            });
        }
        if let Some(due) = linger_due(topic) {
            out.holds("L4b", ledger.now < due, || {
                format!(
                    "the source of {} runs on for nobody since {due:?}",
                    topic.name
                )
            });
        }
        out.holds("L9d", topic.causes.is_empty(), || {
            format!(
                "the source of {} was to stop: {:?}",
                topic.name, topic.causes
            )
        });
        if ledger.shutdown.is_some() {
            out.holds("S1d", topic.running().is_none(), || {
                format!("the source of {} runs after shutdown", topic.name)
            });
        }
        if let Some(running) = topic.running().filter(|_| ledger.timed) {
            l12_no_poll_waits_for_ever(ledger, topic, running, out);
        }
        let streams = after.interests[place].map_or(0, |interest| interest.streams);
        out.holds("L10c", (certain..=possible).contains(&streams), || {
            format!(
                "{} shows {streams} members, not {certain}..={possible}",
                topic.name
            )
        });
    }
}

/// L4: when a source that nobody listens to must have stopped.
pub(super) fn linger_due(topic: &Topic) -> Option<Time> {
    topic.running()?;
    Some(topic.possible_zero? + topic.options.linger)
}

/// L12: a poll that is due comes, if there is room.
fn l12_no_poll_waits_for_ever(
    ledger: &Ledger,
    topic: &Topic,
    running: &Running,
    out: &mut Findings,
) {
    let room = ledger.polls_in_flight() < ledger.config.polls as usize;
    let SourceKind::Interval(every) = topic.options.source else {
        return;
    };
    let busy = ledger
        .polls
        .get(&running.token)
        .is_some_and(|(_, at)| ledger.now < *at + ledger.config.poll_timeout);
    if !room || busy || !topic.causes.is_empty() {
        return;
    }
    match (running.last, running.free) {
        (None, _) => out.broken("L12b", format!("{} was never polled", topic.name)),
        // Two intervals later no tick can have been missed for a good reason.
        (Some(_), Some(free)) => out.holds("L12b", ledger.now < free + every + every, || {
            format!("{} is free since {free:?} and is not polled", topic.name)
        }),
        (Some(_), None) => {}
    }
}

/// Remembers since when sources have had no poll in flight.
pub(super) fn note_free(ledger: &mut Ledger) {
    let busy = |token: &SourceToken| {
        ledger
            .polls
            .get(token)
            .is_some_and(|(_, at)| ledger.now < *at + ledger.config.poll_timeout)
    };
    let room = ledger.polls_in_flight() < ledger.config.polls as usize;
    for topic in &mut ledger.topics {
        if let Source::Running(running) = &mut topic.source {
            if busy(&running.token) || !room {
                running.free = None;
            } else {
                running.free.get_or_insert(ledger.now);
            }
        }
    }
}
