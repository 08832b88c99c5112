//! The hand of a driver: what one visit of a pump wants done, and whether it may want it.

use sse_state::{Answer, CloseReason, Control, Name, Run, Sink, SourceToken, SubscriberId};

use super::configuration::Configuration;
use super::ops::{Lent, Take};
use super::world::{Broken, Conn, Env, Notes, Seen, Source, masked};

/// Executes what one visit of a pump wants done.
pub(super) struct Hand<'a> {
    pub(super) env: &'a mut Env,
    pub(super) of: &'a Configuration,
    pub(super) take: Take,
    pub(super) notes: &'a mut Notes,
    pub(super) broken: Option<Broken>,
    pub(super) acted: bool,
}

impl Sink for Hand<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.acted = true;
        self.notes.wrote = true;
        let lent = Lent::of(&run);
        let answer = match self.take {
            Take::All => Answer::All,
            // What is no choice of its own is taken whole.
            Take::Blocked(part) => part.of(lent).map_or(Answer::All, Answer::Blocked),
            Take::Gone => Answer::Gone,
            Take::InFlight => Answer::InFlight,
        };
        self.notes.reached.answer(answer);
        let Some(conn) = self.env.conn(id) else {
            self.breaks(format!("I3: a write to {id:?}, which is dead"));
            return answer;
        };
        if conn.flight.is_some() || conn.blocked {
            let text = format!("B1: a write to {id:?}, which waits");
            self.breaks(text);
            return answer;
        }
        if !run.starts_with(&conn.owed) || !run.ends_with(b"\n\n") && run.len() != conn.owed.len() {
            let text = format!("D11: {:?} is owed, and {run:?} is lent", conn.owed);
            self.breaks(text);
            return answer;
        }
        conn.run = run.to_bytes();
        let mut frames = 0;
        match answer {
            Answer::All => frames = conn.accepts(lent.bytes),
            Answer::Blocked(bytes) => frames = conn.accepts(bytes),
            Answer::Gone | Answer::InFlight => {}
        }
        conn.blocked = matches!(answer, Answer::Blocked(bytes) if bytes < lent.bytes);
        conn.flight = (answer == Answer::InFlight).then_some(lent);
        let role = conn.role;
        self.env.frames += frames;
        if answer == Answer::Gone {
            self.env.conns.retain(|conn| conn.id != id);
        }
        if let Some(seen) = &mut self.notes.seen {
            seen.push(Seen::Wrote {
                role,
                bytes: masked(&run.to_bytes()),
                take: self.take,
            });
        }
        answer
    }

    fn control(&mut self, control: Control) {
        self.acted = true;
        self.notes.reached.control(&control);
        let (id, what) = match &control {
            Control::Wake { id } => (Some(*id), "wake".to_owned()),
            Control::Finish { id } => (Some(*id), "finish".to_owned()),
            Control::Close { id, reason, ending } => {
                (Some(*id), format!("close {reason:?} {ending:?}"))
            }
            Control::Room { topic } => (None, format!("room {topic}")),
            Control::StartSource { topic, .. } => (None, format!("start {topic}")),
            Control::Poll { topic, .. } => (None, format!("poll {topic}")),
            Control::StopSource { topic, reason, .. } => (None, format!("stop {topic} {reason:?}")),
        };
        let role = match id {
            None => None,
            Some(id) => match self.env.conn(id) {
                Some(conn) => Some(conn.role),
                None => return self.breaks(format!("I3: {what} of {id:?}, which is dead")),
            },
        };
        match &control {
            Control::Wake { id } => {
                if let Some(conn) = self.env.conn(*id) {
                    conn.woken = true;
                }
            }
            Control::Close { id, reason, .. } => {
                if *reason == CloseReason::Shutdown && !self.env.shutdown {
                    self.breaks("S1: closed for a shutdown that is none".into());
                }
                self.env.conns.retain(|conn| conn.id != *id);
            }
            Control::Finish { id } => {
                let owes = |conn: &&mut Conn| !conn.owed.is_empty() || conn.flight.is_some();
                if self.env.conn(*id).filter(owes).is_some() {
                    self.breaks(format!("D11: {id:?} ends in the middle of a block"));
                }
            }
            Control::StartSource { topic, token } => self.started(topic, *token),
            Control::Poll {
                topic,
                token,
                number,
            } => self.polled(topic, *token, *number),
            Control::StopSource { topic, token, .. } => self.stopped(topic, *token),
            Control::Room { .. } => {}
        }
        if let Some(seen) = &mut self.notes.seen {
            seen.push(Seen::Told { role, what });
        }
    }
}

impl Hand<'_> {
    fn started(&mut self, topic: &Name, token: SourceToken) {
        if token.start() <= self.env.starts {
            self.breaks(format!("I5: start {} again", token.start()));
        }
        self.env.starts = token.start();
        match self.source(topic) {
            Some(source) if source.token.is_none() => {
                *source = Source {
                    token: Some(token),
                    ..Source::default()
                };
            }
            _ => self.breaks("L2: a second start".into()),
        }
    }

    fn polled(&mut self, topic: &Name, token: SourceToken, number: u64) {
        match self.source(topic) {
            Some(source) if source.token == Some(token) && number == source.polls + 1 => {
                source.polls = number;
            }
            _ => self.breaks(format!(
                "L11: poll {number} of a source that does not wait for it"
            )),
        }
    }

    fn stopped(&mut self, topic: &Name, token: SourceToken) {
        match self.source(topic) {
            Some(source) if source.token == Some(token) => *source = Source::default(),
            _ => self.breaks("L2: a stop without its start".into()),
        }
    }

    fn source(&mut self, topic: &Name) -> Option<&mut Source> {
        let place = self
            .of
            .topics
            .iter()
            .position(|other| other.name == *topic)?;
        self.env.sources.get_mut(place)
    }

    fn breaks(&mut self, text: Broken) {
        self.broken.get_or_insert(text);
    }
}
