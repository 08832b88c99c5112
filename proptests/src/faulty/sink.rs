//! Faults in what an engine does: the wrapper stands between it and the sockets.

use bytes::Bytes;
use sse_state::{
    Answer, CloseReason, Control, Ending, EventId, Run, Sink, SourceToken, StopReason, SubscriberId,
};

use super::{Fault, Later, Memory};

/// Stands between the engine and the sockets.
pub(super) struct Twisted<'a> {
    pub(super) sink: &'a mut dyn Sink,
    pub(super) fault: Fault,
    pub(super) memory: &'a mut Memory,
}

impl Sink for Twisted<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let memory = &mut *self.memory;
        match self.fault {
            Fault::WritesTwice if memory.every(3) => {
                self.sink.write(id, run);
            }
            Fault::BeatsTwiceAfterAJump if memory.jumped && run.as_slice() == b":\n\n" => {
                self.sink.write(id, run);
            }
            Fault::WritesNothing if memory.every(5) => {
                self.sink.write(id, Run::of(&Bytes::new()));
            }
            Fault::SwallowsARun if memory.every(4) => return Answer::All,
            Fault::LosesAWriteAfterAShortPump if memory.count == 1 => {
                memory.count = 2;
                return Answer::All;
            }
            _ => {}
        }
        let answer = match rewritten(self.fault, memory, run.as_slice()) {
            Some(bytes) => {
                let bytes = Bytes::from(bytes);
                shortened(self.sink.write(id, Run::of(&bytes)), run.as_slice().len())
            }
            None => self.sink.write(id, run),
        };
        self.note(id, run.as_slice(), answer);
        let beat = Bytes::from_static(b":\n\n");
        let memory = &mut *self.memory;
        match (self.fault, answer) {
            (Fault::BeatsEarly, Answer::All) if memory.every(3) => {
                self.sink.write(id, Run::of(&beat))
            }
            (Fault::BeatsWhileBlocked, Answer::Blocked(0) | Answer::InFlight) => {
                self.sink.write(id, Run::of(&beat));
                answer
            }
            (Fault::ClaimsAllWasTaken, Answer::Blocked(_)) => Answer::All,
            (Fault::ClaimsNothingWasTaken, Answer::Blocked(_)) => Answer::Blocked(0),
            (Fault::RepeatsAfterAPartialWrite, Answer::Blocked(bytes)) if bytes > 1 => {
                Answer::Blocked(bytes - 1)
            }
            (Fault::ClosesTheReadyAsStalled, Answer::All) if memory.every(7) => {
                memory.last.push(Later::Stall(id));
                answer
            }
            (_, answer) => answer,
        }
    }

    fn control(&mut self, control: Control) {
        let memory = &mut *self.memory;
        match &control {
            Control::StartSource { topic, token } => {
                memory.runs.insert(*token, (topic.clone(), 0));
            }
            Control::Close { id, .. } => {
                memory.blocked.remove(id);
            }
            _ => {}
        }
        let (times, control) = twisted(self.fault, memory, control);
        for _ in 0..times {
            self.sink.control(control.clone());
        }
        self.after(&control);
    }
}

impl Twisted<'_> {
    /// Remembers who can take something, and who cannot.
    fn note(&mut self, id: SubscriberId, run: &[u8], answer: Answer) {
        let memory = &mut *self.memory;
        match answer {
            Answer::All => {
                memory.reader = Some(id);
                memory.blocked.remove(&id);
                let told = find(run, b"\"why\":\"slow\"").is_some();
                if told && self.fault == Fault::NoticesWithNothingAfter {
                    let start = find(run, b"event: sse-gap").unwrap_or(0);
                    let end = find(&run[start..], b"\n\n").map_or(run.len(), |at| start + at + 2);
                    let notice = Bytes::copy_from_slice(&run[start..end]);
                    memory.last.push(Later::Write(id, notice));
                }
            }
            Answer::Blocked(_) => {
                memory.blocked.entry(id).or_insert(memory.now);
            }
            Answer::InFlight | Answer::Gone => {}
        }
    }

    /// What follows an action.
    fn after(&mut self, control: &Control) {
        let beat = Bytes::from_static(b":\n\n");
        match (self.fault, control) {
            (Fault::WritesToTheMounted, Control::Wake { id })
            | (Fault::WritesAfterTheEnd, Control::Finish { id }) => {
                self.sink.write(*id, Run::of(&beat));
            }
            (Fault::StopsEarly, Control::StartSource { topic, token }) => {
                self.memory.last.push(Later::Control(Control::StopSource {
                    topic: topic.clone(),
                    token: *token,
                    reason: StopReason::NoSubscribers,
                }));
            }
            (Fault::StartsAfreshWhileMembersRemain, Control::StopSource { topic, reason, .. })
                if *reason != StopReason::NoSubscribers =>
            {
                self.sink.control(Control::StartSource {
                    topic: topic.clone(),
                    token: SourceToken::from_parts(99, 1 << 20),
                });
            }
            _ => {}
        }
    }
}

/// How often an action is handed on, and in what form.
fn twisted(fault: Fault, memory: &mut Memory, control: Control) -> (u32, Control) {
    let token = SourceToken::from_parts(0, 1);
    match (fault, control) {
        (Fault::StartsTwice, control @ Control::StartSource { .. })
        | (Fault::PollsTwice, control @ Control::Poll { .. })
        | (Fault::WakesTwice, control @ Control::Wake { .. })
        | (Fault::FinishesTwice, control @ Control::Finish { .. })
        | (Fault::TellsRoomTwice, control @ Control::Room { .. })
        | (Fault::ClosesTwice, control @ Control::Close { .. }) => (2, control),
        (Fault::ForgetsStop, control @ Control::StopSource { .. })
        | (Fault::ForgetsRoom, control @ Control::Room { .. })
        | (Fault::ForgetsFinish, control @ Control::Finish { .. }) => (0, control),
        (
            Fault::EvictsTheNewest,
            Control::Close {
                id,
                reason: reason @ CloseReason::Evicted,
                ending,
            },
        ) => (
            1,
            Control::Close {
                id: memory.newest.unwrap_or(id),
                reason,
                ending,
            },
        ),
        (
            Fault::ForgetsToCloseTheStalled,
            control @ Control::Close {
                reason: CloseReason::Stalled,
                ..
            },
        ) => (0, control),
        (Fault::ForgetsEverySecondStart, control @ Control::StartSource { .. }) => {
            (u32::from(!memory.every(2)), control)
        }
        (Fault::ReusesTokens, Control::StartSource { topic, .. }) => {
            (1, Control::StartSource { topic, token })
        }
        (Fault::ReusesTokens, Control::StopSource { topic, reason, .. }) => (
            1,
            Control::StopSource {
                topic,
                token,
                reason,
            },
        ),
        (Fault::ClosesForAnotherReason, Control::Close { id, reason, ending }) => (
            1,
            Control::Close {
                id,
                reason: another(reason),
                ending,
            },
        ),
        (Fault::CutsWhatHasFinished, Control::Close { id, reason, .. }) => (
            1,
            Control::Close {
                id,
                reason,
                ending: Ending::Cut,
            },
        ),
        (_, control) => (1, control),
    }
}

fn another(reason: CloseReason) -> CloseReason {
    use CloseReason::*;
    match reason {
        HeadTimeout => BodyTimeout,
        BodyTimeout => Evicted,
        Evicted => Answered,
        Answered => Asked,
        Asked => Lagged,
        Lagged => Held,
        Held => Stalled,
        Stalled => Lifetime,
        Lifetime => Expired,
        Expired => Finished,
        Finished => Shutdown,
        _ => HeadTimeout,
    }
}

/// Other bytes than the engine has lent.
fn rewritten(fault: Fault, memory: &mut Memory, run: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(run).ok()?;
    let is_gap = text.contains("event: sse-gap");
    let why = |text: &str| text.replace("\"why\":\"unknown\"", "\"why\":\"epoch\"");
    let new = match fault {
        Fault::FlipsAByte if memory.every(5) => {
            let mut bytes = run.to_vec();
            *bytes.last_mut()? ^= 1;
            return Some(bytes);
        }
        Fault::NumbersEveryNotice if is_gap => text.replace("\"}\n\n", "\"}\nid: 7-0\n\n"),
        Fault::NoticesOfAnotherTopic if is_gap => text.replace("\"topic\":\"", "\"topic\":\"no"),
        Fault::BlamesTheEpoch if is_gap => why(text),
        Fault::NoticesWithTheNextId if text.contains("\"why\":\"slow\"") => next_id(text)?,
        Fault::BeatsWithAnId if text == "event: sse-heartbeat\ndata: {}\n\n" => {
            "event: sse-heartbeat\ndata: {}\nid: 7-0\n\n".into()
        }
        Fault::SwapsNeighbours => {
            let mut blocks: Vec<&str> = text.split_inclusive("\n\n").collect();
            let [.., a, b] = &mut blocks[..] else {
                return None;
            };
            if !a.contains("data: ") || !b.contains("data: ") {
                return None;
            }
            std::mem::swap(a, b);
            blocks.concat()
        }
        _ => return None,
    };
    Some(new.into_bytes())
}

/// The id of the first notice is that of the frame after it.
fn next_id(text: &str) -> Option<String> {
    let notice = text.find("\"why\":\"slow\"")?;
    let start = notice + text[notice..].find("\nid: ")? + 5;
    let end = start + text[start..].find('\n')?;
    let EventId { epoch, seq } = EventId::parse(&text.as_bytes()[start..end])?;
    let next = EventId {
        epoch,
        seq: seq + 1,
    };
    Some(format!("{}{next}{}", &text[..start], &text[end..]))
}

/// What of the run that the engine has lent was taken, if another one was written.
fn shortened(answer: Answer, most: usize) -> Answer {
    match answer {
        Answer::Blocked(bytes) => Answer::Blocked(bytes.min(most as u32)),
        answer => answer,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}
