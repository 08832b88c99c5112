//! Small configurations.

use std::sync::Arc;
use std::time::Duration;

use sse_state::{
    CloseHow, Config, Epoch, Event, Frame, Name, ShutdownCause, Slow, SourceEnd, SourceKind,
    TopicOptions,
};

use super::ops::Opening;

/// A small machine, and what may happen to it.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What it is called where its figures are told.
    pub name: String,
    /// Whether it closes in a moment.
    pub size: Size,
    /// Its bounds; every time of them is one or two units.
    pub config: Config,
    /// Its topics; every stream follows all of them.
    pub topics: Vec<Topic>,
    /// Connections at once.
    pub streams: usize,
    /// Who executes writes.
    pub hands: Hands,
    /// What may happen.
    pub alphabet: Alphabet,
    /// How much time goes by at once.
    pub unit: Duration,
    /// How many operations deep; `None`: until nothing is new.
    pub depth: Option<u32>,
}

impl Configuration {
    /// Its name, and how much of it is looked at.
    pub fn full_name(&self) -> String {
        match self.depth {
            Some(depth) => format!("{}, to depth {depth}", self.name),
            None => format!("{}, {:?}", self.name, self.size).to_lowercase(),
        }
    }
}

/// A topic of a configuration.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Name,
    /// Its options.
    pub options: Arc<TopicOptions>,
    /// Declared at the start, or made by whoever comes first.
    pub declared: bool,
}

/// Who executes writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hands {
    /// Every write is answered at once.
    AtOnce,
    /// Or is taken in flight and reported later.
    InFlight,
    /// Streams are bodies that a framework pulls.
    Mounted,
}

/// What may happen, besides time, pumps, sockets and peers that go.
#[derive(Clone, Debug, Default)]
pub struct Alphabet {
    /// How streams are opened.
    pub opens: Vec<Opening>,
    /// How many values are published.
    pub values: u8,
    /// Publishes wait for room, too.
    pub wait: bool,
    /// How streams are closed.
    pub closes: Vec<CloseHow>,
    /// How sources end.
    pub ends: Vec<SourceEnd>,
    /// Sources are stopped by request.
    pub stops: bool,
    /// Sockets take a part of a run.
    pub partial: bool,
    /// Polls have results.
    pub polls: bool,
    /// Sources publish.
    pub feeds: bool,
    /// The key is closed, once.
    pub key: bool,
    /// Why the machine is shut down.
    pub shutdown: Vec<ShutdownCause>,
    /// Heads, bodies and answers; else a connection is a stream at once.
    pub heads: bool,
    /// Streams have no heartbeat.
    pub silent: bool,
}

/// Every combination of slow policy, dedupe and linger, for one stream with in flight and two without.
pub fn matrix(size: Size) -> Vec<Configuration> {
    let mut all = Vec::new();
    for (streams, hands) in [(1, Hands::InFlight), (2, Hands::AtOnce)] {
        for slow in [Slow::Skip, Slow::Conflate, Slow::Close] {
            for dedupe in [false, true] {
                for linger in [0, 1] {
                    all.push(of_matrix(size, streams, hands, slow, dedupe, linger));
                }
            }
        }
    }
    all
}

/// How much may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// What closes in a second.
    Quick,
    /// Everything that closes.
    Full,
}

fn of_matrix(
    size: Size,
    streams: usize,
    hands: Hands,
    slow: Slow,
    dedupe: bool,
    linger: u32,
) -> Configuration {
    let unit = UNIT;
    let options = TopicOptions {
        source: SourceKind::External,
        log_frames: if streams == 1 || size == Size::Full {
            2
        } else {
            1
        },
        linger: unit * linger,
        notice: Some(true),
        dedupe,
        slow,
        ..TopicOptions::default()
    };
    let shape = if hands == Hands::InFlight {
        "in flight"
    } else {
        "at once"
    };
    let full = size == Size::Full;
    let one = streams == 1;
    Configuration {
        name: format!("1 x {streams} {shape}, {slow:?}, dedupe {dedupe}, linger {linger}"),
        size,
        config: config(1),
        topics: vec![topic("t", options, false)],
        streams,
        hands,
        alphabet: Alphabet {
            opens: vec![Opening::Plain],
            values: if dedupe || (one && full) { 2 } else { 1 },
            closes: if one && full {
                vec![CloseHow::Drain]
            } else {
                Vec::new()
            },
            ends: if one {
                vec![SourceEnd::Finished]
            } else {
                Vec::new()
            },
            partial: one || full,
            silent: !(one && full),
            shutdown: if one && full {
                vec![ShutdownCause::Asked]
            } else {
                Vec::new()
            },
            ..Alphabet::default()
        },
        unit,
        depth: None,
    }
}

/// A topic with these options.
pub fn topic(name: &str, options: TopicOptions, declared: bool) -> Topic {
    Topic {
        name: Name::new(name).expect("a plain name"),
        options: Arc::new(options),
        declared,
    }
}

/// Bounds with times of so many units.
pub fn config(units: u32) -> Config {
    Config {
        heartbeat: UNIT * units,
        write_timeout: UNIT * units,
        grace: UNIT,
        finish_timeout: UNIT,
        head_timeout: UNIT,
        body_timeout: UNIT,
        poll_timeout: UNIT * 2,
        reader_patience: UNIT,
        ..Config::new(Epoch(1))
    }
}

/// The frame of a value.
pub fn frame(value: u8) -> Frame {
    let long = "a value that is longer than the bound on what is held";
    let data = ["a", "b", long][usize::from(value) % 3];
    Event::new(data).encode().expect("plain data")
}

/// The key of streams that have one.
pub fn key() -> Name {
    Name::new("key").expect("a plain name")
}

/// Half the retention that every history has at least is less, so that all times are a few units.
pub(super) const UNIT: Duration = Duration::from_secs(56);
