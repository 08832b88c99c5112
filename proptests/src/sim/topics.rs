//! The topics of the world, and what was published to each: the truth that clients are held against.

use std::collections::BTreeMap;

use sse_state_hub::{Slow, Time};

use super::setup::Setup;
use super::state::hash;

/// All topics.
pub(crate) struct Topics {
    pub(crate) all: Vec<Topic>,
    by_name: BTreeMap<&'static str, usize>,
    /// Topics of running sources, by start.
    pub(crate) tokens: BTreeMap<u64, usize>,
    /// Numbers that make what is published unique.
    pub(crate) made: u64,
}

/// A topic.
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) slow: Slow,
    pub(crate) history: bool,
    pub(crate) dedupe: bool,
    /// Published to only by those who wait for room, so who reads misses nothing.
    pub(crate) lossless: bool,
    pub(crate) feed: Feed,
    pub(crate) log: u32,
    /// Everything that was appended to its log.
    pub(crate) ledger: Vec<Entry>,
    /// Where the entries of its present life begin.
    pub(crate) life: usize,
    /// A source was started and not stopped yet, as its functions see it.
    pub(crate) runs: i64,
    pub(crate) started: u64,
    pub(crate) stopped: u64,
    /// The newest poll whose future was made.
    pub(crate) newest_poll: u64,
    /// Polls and sources whose futures live.
    pub(crate) futures: i64,
    /// Its start was decided and not pulled.
    pub(crate) start_due: bool,
    pub(crate) runs_in_engine: bool,
    /// Since when nobody listens.
    pub(crate) empty_since: Option<Time>,
    pub(crate) last_text: String,
}

/// What feeds a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Feed {
    Nothing,
    Polled,
    PolledBlocking,
    Source,
}

/// One event of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) hash: u64,
    /// Its place in the order of all publishes.
    pub(crate) seq: u64,
    pub(crate) at: Time,
}

pub(crate) const PLAIN: usize = 0;
pub(crate) const HIST: usize = 1;
pub(crate) const CONF: usize = 2;
pub(crate) const CLOSE: usize = 3;
pub(crate) const WAIT: usize = 4;
pub(crate) const POLL: usize = 5;
pub(crate) const POLL_BLOCKING: usize = 6;
pub(crate) const FEED: usize = 7;
pub(crate) const FEED_HIST: usize = 8;
pub(crate) const AUTH: usize = 9;
pub(crate) const LIFE: usize = 10;
pub(crate) const FIRST_DEVICE: usize = 11;
pub(crate) const DEVICES: [&str; 4] = ["d/0", "d/1", "d/2", "d/3"];

impl Topics {
    pub(crate) fn new(setup: &Setup) -> Topics {
        let mut all = Vec::new();
        let mut add = |name, slow, history, dedupe, lossless, feed| {
            all.push(Topic {
                name,
                slow,
                history,
                dedupe,
                lossless,
                feed,
                log: setup.log,
                ledger: Vec::new(),
                life: 0,
                runs: 0,
                started: 0,
                stopped: 0,
                newest_poll: 0,
                futures: 0,
                start_due: false,
                runs_in_engine: false,
                empty_since: None,
                last_text: String::new(),
            });
        };
        add("plain", Slow::Skip, false, false, false, Feed::Nothing);
        add("hist", Slow::Skip, true, false, false, Feed::Nothing);
        add("conf", Slow::Conflate, false, true, false, Feed::Nothing);
        add("close", Slow::Close, false, false, false, Feed::Nothing);
        add("wait", Slow::Skip, true, false, true, Feed::Nothing);
        add("poll", Slow::Skip, false, true, false, Feed::Polled);
        add(
            "pollb",
            Slow::Skip,
            false,
            true,
            false,
            Feed::PolledBlocking,
        );
        add("feed", Slow::Skip, false, false, false, Feed::Source);
        add("feedh", Slow::Skip, true, false, true, Feed::Source);
        add("auth", Slow::Skip, true, false, false, Feed::Nothing);
        add("life", Slow::Skip, true, false, false, Feed::Nothing);
        for name in DEVICES {
            add(name, Slow::Skip, false, true, false, Feed::Polled);
        }
        Topics {
            by_name: all.iter().map(|topic| topic.name).zip(0..).collect(),
            all,
            tokens: BTreeMap::new(),
            made: 0,
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// A text that was never published before.
    pub(crate) fn text(&mut self, topic: usize, padding: usize) -> String {
        self.made += 1;
        let text = format!("{topic}#{}#{}", self.made, "x".repeat(padding));
        self.all[topic].last_text.clone_from(&text);
        text
    }
}

/// What an event is recognised by.
pub(crate) fn hash_of(name: &str, data: &str) -> u64 {
    hash(hash(7, name.as_bytes()), data.as_bytes())
}

/// The topic that a text of [`Topics::text`] names, also inside of JSON.
pub(crate) fn topic_of(data: &str) -> Option<usize> {
    let (before, _) = data.split_once('#')?;
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
