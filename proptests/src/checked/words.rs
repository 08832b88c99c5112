//! What calls and actions are, in a few words.

use std::collections::BTreeMap;

use sse_state::{Control, Input, SourceToken, SubscriberId, Via};

use super::ledger::Source;

/// The id that an input names.
pub(super) fn subject(input: &Input<'_>) -> Option<SubscriberId> {
    match input {
        Input::HeadHeld { id, .. }
        | Input::HeadDone { id }
        | Input::Body { id, .. }
        | Input::Answer { id, .. }
        | Input::Close { id, .. }
        | Input::PeerGone { id }
        | Input::Writable { id }
        | Input::Pull { id } => Some(*id),
        Input::Subscribe(subscribe) => match subscribe.via {
            Via::Connection(id) => Some(id),
            Via::Mounted { .. } => None,
        },
        _ => None,
    }
}

/// What an action is, in a word or two.
pub(super) fn kind(control: &Control) -> String {
    match control {
        Control::StartSource { .. } => "StartSource".into(),
        Control::Poll { .. } => "Poll".into(),
        Control::StopSource { reason, .. } => format!("StopSource {reason:?}"),
        Control::Wake { .. } => "Wake".into(),
        Control::Room { .. } => "Room".into(),
        Control::Finish { .. } => "Finish".into(),
        Control::Close { reason, .. } => format!("Close {reason:?}"),
    }
}

/// The topic that an input is for.
pub(super) fn topic_of<'a>(
    input: &'a Input<'_>,
    sources: &'a BTreeMap<SourceToken, Source>,
) -> Option<&'a str> {
    match input {
        Input::Publish { topic, .. } | Input::StopSource { topic } => Some(topic),
        Input::PollResult { token, .. }
        | Input::Feed { token, .. }
        | Input::SourceEnded { token, .. } => {
            sources.get(token).map(|source| source.topic.as_str())
        }
        _ => None,
    }
}

/// The input as one that owns what it holds, if it is of a kind that a script hands over.
pub(super) fn owned(input: &Input<'_>) -> Option<Input<'static>> {
    Some(match input.clone() {
        Input::Publish { topic, frame, room } => Input::Publish {
            topic: topic.into_owned().into(),
            frame,
            room,
        },
        Input::StopSource { topic } => Input::StopSource {
            topic: topic.into_owned().into(),
        },
        Input::CloseKey { key } => Input::CloseKey { key },
        Input::PollResult {
            token,
            number,
            outcome,
            next,
        } => Input::PollResult {
            token,
            number,
            outcome,
            next,
        },
        Input::Feed { token, frame, room } => Input::Feed { token, frame, room },
        Input::SourceEnded { token, reason } => Input::SourceEnded { token, reason },
        Input::Shutdown { grace, cause } => Input::Shutdown { grace, cause },
        _ => return None,
    })
}

/// An input in a few words.
pub(super) fn brief(input: &Input<'_>) -> String {
    match input {
        Input::Subscribe(subscribe) => {
            let topics: Vec<&str> = subscribe.topics.iter().map(|j| j.topic.as_str()).collect();
            format!("Subscribe {:?} {}", subscribe.via, topics.join(" "))
        }
        Input::Answer { id, bytes } => format!("Answer {id} {} B", bytes.len()),
        Input::Publish { topic, room, .. } => format!("Publish {topic} {room:?}"),
        Input::Feed { token, .. } => format!("Feed {token}"),
        Input::PollResult { token, number, .. } => format!("PollResult {token} number {number}"),
        Input::Report(reports) => format!("Report {reports:?}"),
        Input::Declare { topic, .. } => format!("Declare {}", topic.as_str()),
        other => format!("{other:?}"),
    }
}
