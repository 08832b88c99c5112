//! Journals as evidence: what shows a bug is kept as the calls that show it, not as a seed.
//!
//! A [`Journal`] is the text format of [`sse_state::journal`] with comments before it: which rule it is
//! about, and what is known of it. It runs on any [`Engine`](sse_state::Engine) under the rules
//! ([`run`]); a [`Tape`] around an engine writes one; [`script`] and [`shrink`] leave out what is not
//! needed to show the same; [`kept`] are the files in `proptests/regressions`, which every verification
//! replays first.

pub mod differ;
pub mod kept;
pub mod run;
pub mod script;
pub mod shrink;
mod simpler;
mod tape;

use core::fmt;
use std::collections::BTreeMap;

use sse_state::journal::{Call, JournalError, read, write};
use sse_state::{Config, Frame, Input, PollOutcome, TopicOptions};

use crate::check::tag_of;
use crate::scenario::{Pace, Setup, TopicSetup};

pub use tape::{Tape, recorded, taped};

/// Calls, and what they show.
#[derive(Clone, PartialEq, Debug)]
pub struct Journal {
    /// `key: value`, in the order of the file.
    pub notes: Vec<(String, String)>,
    /// What the engine is made with.
    pub config: Config,
    /// What is done to it.
    pub calls: Vec<Call>,
}

impl Journal {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is no journal.
    pub fn parse(text: &str) -> Result<Journal, JournalError> {
        let (config, calls) = read(text)?;
        let notes = text
            .lines()
            .map_while(|line| line.strip_prefix("# "))
            .filter_map(|line| line.split_once(": "))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Journal {
            notes,
            config,
            calls,
        })
    }

    /// What a note says.
    pub fn note(&self, key: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes
            .find(|(other, _)| other == key)
            .map(|(_, value)| value.as_str())
    }

    /// The rule that it is about.
    pub fn rule(&self) -> &str {
        self.note("rule").unwrap_or("any")
    }

    /// Some event in it was not made by a scenario, so it cannot be known again where it comes out.
    pub fn is_foreign(&self) -> bool {
        is_foreign(&self.calls)
    }

    /// The setup that the rules are told: topics as they are first seen with options.
    pub fn setup(&self) -> Setup {
        setup(&self.config, self.calls.iter())
    }
}

/// The file.
impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.notes {
            writeln!(f, "# {key}: {value}")?;
        }
        f.write_str(&write(&self.config, &self.calls))
    }
}

fn is_foreign(calls: &[Call]) -> bool {
    let unknown = |frame: &Frame| tag_of(&frame.to_string()).is_none();
    calls.iter().any(|call| match call {
        Call::Input(_, Input::Publish { frame, .. } | Input::Feed { frame, .. }) => unknown(frame),
        Call::Input(
            _,
            Input::PollResult {
                outcome: PollOutcome::Frame(frame) | PollOutcome::Failed(Some(frame)),
                ..
            },
        ) => unknown(frame),
        _ => false,
    })
}

/// What the rules have to know of calls beforehand. How time passes in them is unknown: wild.
fn setup<'a>(config: &Config, calls: impl Iterator<Item = &'a Call>) -> Setup {
    let mut names: Vec<&str> = Vec::new();
    let mut options: BTreeMap<&str, &TopicOptions> = BTreeMap::new();
    for call in calls {
        let Call::Input(_, input) = call else {
            continue;
        };
        match input {
            Input::Declare {
                topic,
                options: given,
            } => {
                names.push(topic.as_str());
                options.entry(topic.as_str()).or_insert(given);
            }
            Input::Subscribe(subscribe) => {
                for join in &subscribe.topics {
                    names.push(join.topic.as_str());
                    if let Some(given) = &join.options {
                        options.entry(join.topic.as_str()).or_insert(given);
                    }
                }
            }
            Input::Publish { topic, .. } => names.push(topic),
            _ => {}
        }
    }
    let mut topics: Vec<TopicSetup> = Vec::new();
    for name in names {
        if topics.iter().all(|topic| topic.name != name) {
            topics.push(TopicSetup {
                name: name.to_owned(),
                declared: false,
                options: options
                    .get(name)
                    .map_or_else(TopicOptions::default, |&options| options.clone()),
            });
        }
    }
    Setup {
        pace: Pace::Wild,
        config: config.clone(),
        topics,
    }
}
