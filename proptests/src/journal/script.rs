//! A journal whose ids, tokens and numbers are names: calls can be left out and the rest still means
//! the same.
//!
//! Ids are given in order of birth, so that a connection that is left out shifts all ids after it. A
//! script knows which call each id was born in, which start of which topic a token is of, which
//! publish an event id is of, and to which stream a socket's answer belongs. Whatever is named and is
//! not there any more is not done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sse_state::journal::Call;
use sse_state::{
    Answer, Config, Control, Engine, EventId, Input, Published, Reply, SourceToken, Start,
    SubscriberId, TopicOptions, Via,
};

use super::Journal;
use super::run::Run;
use crate::scenario::TopicSetup;
use crate::suite::Factory;
use crate::trace::Event;

/// A journal with names.
#[derive(Clone, Debug)]
pub struct Script {
    /// What the engine is made with.
    pub config: Config,
    /// The calls that are left.
    pub steps: Vec<Step>,
    births: BTreeMap<SubscriberId, usize>,
    starts: BTreeMap<SourceToken, (String, usize)>,
    publishes: BTreeMap<u64, usize>,
    topics: Vec<TopicSetup>,
}

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// Its number in the journal.
    pub label: usize,
    /// The call, with the ids of the journal.
    pub call: Call,
    /// To which streams the answers of a pump belong.
    pub streams: Vec<SubscriberId>,
    /// How far the number of a poll's result is ahead of the last poll, or the mark of a mounted stream
    /// of the engine's.
    pub ahead: i64,
}

impl Script {
    /// Gives names to what a journal does on this engine.
    pub fn learn<F: Factory>(factory: &F, journal: &Journal) -> Script {
        let mut script = Script {
            config: journal.config.clone(),
            steps: Vec::new(),
            births: BTreeMap::new(),
            starts: BTreeMap::new(),
            publishes: BTreeMap::new(),
            topics: journal.setup().topics,
        };
        let mut run = Run::new(factory, &journal.config, journal.setup());
        let mut started: BTreeMap<String, usize> = BTreeMap::new();
        let mut polls: BTreeMap<SourceToken, u64> = BTreeMap::new();
        for (label, call) in journal.calls.iter().enumerate() {
            let mut step = Step {
                label,
                call: call.clone(),
                streams: Vec::new(),
                ahead: 0,
            };
            let events = match call {
                Call::Input(at, input) => {
                    if let Input::PollResult { token, number, .. } = input {
                        let last = polls.get(token).copied().unwrap_or(0);
                        step.ahead = number.wrapping_sub(last) as i64;
                    }
                    if let Input::Subscribe(subscribe) = input
                        && let Via::Mounted { asked } = subscribe.via
                    {
                        step.ahead = asked.wrapping_sub(run.engine.asked()) as i64;
                    }
                    match run.input(*at, input.clone()) {
                        Some(Ok(Reply::Id(id))) => {
                            script.births.entry(id).or_insert(label);
                        }
                        Some(Ok(Reply::Published(Published { id: Some(id), .. }))) => {
                            script.publishes.insert(id.seq, label);
                        }
                        _ => {}
                    }
                    Vec::new()
                }
                Call::Pump { budget, answers } => {
                    let mut answers = answers.iter().copied();
                    run.pump(*budget, |id| {
                        step.streams.push(id);
                        answers.next().unwrap_or(Answer::All)
                    })
                }
                Call::Action => run.action().into_iter().collect(),
            };
            for event in &events {
                match event {
                    Event::Control(Control::StartSource { topic, token }) => {
                        let count = started.entry(topic.to_string()).or_default();
                        script.starts.insert(*token, (topic.to_string(), *count));
                        *count += 1;
                    }
                    Event::Control(Control::Poll { token, number, .. }) => {
                        polls.insert(*token, *number);
                    }
                    _ => {}
                }
            }
            script.steps.push(step);
        }
        script
    }

    /// Does what is left on an engine; the journal of it, and the labels of the steps that were done.
    pub fn play<F: Factory>(&self, factory: &F) -> (Journal, BTreeSet<usize>) {
        let mut player = Player {
            script: self,
            run: Run::blind(factory, &self.config),
            ids: BTreeMap::new(),
            back: BTreeMap::new(),
            tokens: BTreeMap::new(),
            polls: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        let done = self
            .steps
            .iter()
            .filter(|step| player.step(step))
            .map(|step| step.label)
            .collect();
        (player.run.journal(), done)
    }

    /// The stream is born in this call from now on.
    pub fn rebirth(&mut self, id: SubscriberId, label: usize) {
        self.births.insert(id, label);
    }
}

struct Player<'a, E> {
    script: &'a Script,
    run: Run<E>,
    /// From the ids of the journal to those of this run, and back.
    ids: BTreeMap<SubscriberId, SubscriberId>,
    back: BTreeMap<SubscriberId, SubscriberId>,
    tokens: BTreeMap<String, Vec<SourceToken>>,
    polls: BTreeMap<SourceToken, u64>,
    events: BTreeMap<usize, EventId>,
}

impl<E: Engine> Player<'_, E> {
    /// Does a step; false if what it names is not there.
    fn step(&mut self, step: &Step) -> bool {
        if self.run.panicked.is_some() {
            return false;
        }
        let events = match &step.call {
            Call::Input(at, input) => {
                let Some(input) = self.named(input, step) else {
                    return false;
                };
                let reply = self.run.input(*at, input);
                self.replied(step.label, reply.and_then(Result::ok));
                Vec::new()
            }
            Call::Pump { budget, answers } => {
                let mut left: Vec<(SubscriberId, Answer)> = step
                    .streams
                    .iter()
                    .copied()
                    .zip(answers.iter().copied())
                    .collect();
                let back = &self.back;
                self.run.pump(*budget, |id| {
                    let named = back.get(&id).copied().unwrap_or(id);
                    match left.iter().position(|&(of, _)| of == named) {
                        Some(place) => left.remove(place).1,
                        None => Answer::All,
                    }
                })
            }
            Call::Action => self.run.action().into_iter().collect(),
        };
        for event in events {
            match event {
                Event::Control(Control::StartSource { topic, token }) => {
                    self.tokens
                        .entry(topic.to_string())
                        .or_default()
                        .push(token);
                }
                Event::Control(Control::Poll { token, number, .. }) => {
                    self.polls.insert(token, number);
                }
                _ => {}
            }
        }
        true
    }

    fn replied(&mut self, label: usize, reply: Option<Reply>) {
        match reply {
            Some(Reply::Id(now)) => {
                let births = self.script.births.iter();
                for (&named, _) in births.filter(|&(_, &born)| born == label) {
                    self.ids.insert(named, now);
                    self.back.insert(now, named);
                }
            }
            Some(Reply::Published(Published { id: Some(id), .. })) => {
                self.events.insert(label, id);
            }
            _ => {}
        }
    }

    /// The input with the ids of this run.
    fn named(&self, input: &Input<'static>, step: &Step) -> Option<Input<'static>> {
        let mut input = input.clone();
        match &mut input {
            Input::HeadHeld { id, .. }
            | Input::HeadDone { id }
            | Input::Body { id, .. }
            | Input::Answer { id, .. }
            | Input::Close { id, .. }
            | Input::PeerGone { id }
            | Input::Writable { id }
            | Input::Pull { id } => *id = self.id(*id)?,
            Input::Subscribe(subscribe) => {
                match &mut subscribe.via {
                    Via::Connection(id) => *id = self.id(*id)?,
                    Via::Mounted { asked } => {
                        *asked = self.run.engine.asked().wrapping_add_signed(step.ahead);
                    }
                }
                // Whoever makes a topic gives its options: the rules would not know them else.
                for join in &mut subscribe.topics {
                    if self.run.engine.interest(join.topic.as_str()).is_none() {
                        join.options = self.options(join.topic.as_str());
                    }
                }
                if let Start::After(text) = &mut subscribe.start
                    && let Some(id) = EventId::parse(text)
                    && id.epoch == self.script.config.epoch
                    && let Some(label) = self.script.publishes.get(&id.seq)
                    && let Some(now) = self.events.get(label)
                {
                    *text = now.to_string().into();
                }
            }
            Input::Report(reports) => {
                let mut now = Vec::new();
                for mut report in reports.iter().copied() {
                    let Some(id) = self.id(report.id) else {
                        continue;
                    };
                    report.id = id;
                    match self.run.flight(id) {
                        Some(length) => report.bytes = report.bytes.min(length),
                        None if self.run.engine.is_live(id) => continue,
                        None => {}
                    }
                    now.push(report);
                }
                if now.is_empty() {
                    return None;
                }
                *reports = now.into();
            }
            Input::Feed { token, .. } | Input::SourceEnded { token, .. } => {
                *token = self.token(*token)?;
            }
            Input::PollResult { token, number, .. } => {
                *token = self.token(*token)?;
                let last = self.polls.get(token).copied().unwrap_or(0);
                *number = last.wrapping_add_signed(step.ahead);
            }
            _ => {}
        }
        Some(input)
    }

    /// What is now called so; itself if the journal did not know it either.
    fn id(&self, named: SubscriberId) -> Option<SubscriberId> {
        if self.script.births.contains_key(&named) {
            self.ids.get(&named).copied()
        } else {
            Some(named)
        }
    }

    fn options(&self, topic: &str) -> Option<Arc<TopicOptions>> {
        let mut topics = self.script.topics.iter();
        let known = topics.find(|known| known.name == topic)?;
        Some(Arc::new(known.options.clone()))
    }

    fn token(&self, named: SourceToken) -> Option<SourceToken> {
        let Some((topic, start)) = self.script.starts.get(&named) else {
            return Some(named);
        };
        let tokens = self.tokens.get(topic)?;
        tokens.get(*start).or(tokens.last()).copied()
    }
}
