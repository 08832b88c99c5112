//! What a server is told to publish, and what it says when it is done.

use std::time::{Duration, Instant};

use crate::random::Random;
use crate::words::Words;

/// A number of ticks with some events each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Ticks; as good as endless if it is to be stopped.
    pub ticks: u64,
    /// Between ticks. Zero: as fast as there is room, waiting for it.
    pub every: Duration,
    /// Events of a tick.
    pub burst: u64,
    /// Bytes of their data.
    pub bytes: usize,
    /// Topics among which the events are spread at random; 1: all into the first.
    pub topics: u16,
    /// The number of the first event, if there is one topic. With more, each topic counts on.
    pub from: u64,
}

impl Order {
    /// So many events of 128 bytes, one at a time, at this pace.
    pub fn paced(ticks: u64, every: Duration, from: u64) -> Order {
        Order {
            ticks,
            every,
            burst: 1,
            bytes: 128,
            topics: 1,
            from,
        }
    }

    /// The events of all ticks.
    pub fn events(&self) -> u64 {
        self.ticks.saturating_mul(self.burst)
    }

    /// When tick number `tick`, from 0, is due. A bit early or late, as the number says: a pace that keeps step
    /// with the kernel's own clock would be seen by it always at the same point.
    pub fn due(&self, start: Instant, tick: u64) -> Instant {
        let shift = Random::new(tick ^ self.from).below(self.every.as_nanos() as u64 / 8 + 1);
        start + self.every * u32::try_from(tick).unwrap_or(u32::MAX) + Duration::from_nanos(shift)
    }

    pub(crate) fn to_words(self) -> Words {
        Words::default()
            .with("ticks", self.ticks)
            .with("every", self.every.as_nanos())
            .with("burst", self.burst)
            .with("bytes", self.bytes)
            .with("topics", self.topics)
            .with("from", self.from)
    }

    pub(super) fn from_words(words: &Words) -> Result<Order, String> {
        Ok(Order {
            ticks: words.get("ticks")?,
            every: Duration::from_nanos(words.get("every")?),
            burst: words.get("burst")?,
            bytes: words.get("bytes")?,
            topics: words.get("topics")?,
            from: words.get("from")?,
        })
    }
}

/// What was published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Receipt {
    /// Events.
    pub events: u64,
    /// Events times the streams that each was for.
    pub deliveries: u64,
    /// Events that were refused, or not taken by a socket.
    pub refused: u64,
}

impl Receipt {
    pub(super) fn to_words(self) -> Words {
        Words::default()
            .with("events", self.events)
            .with("deliveries", self.deliveries)
            .with("refused", self.refused)
    }

    pub(crate) fn from_words(words: &Words) -> Result<Receipt, String> {
        Ok(Receipt {
            events: words.get("events")?,
            deliveries: words.get("deliveries")?,
            refused: words.get("refused")?,
        })
    }
}
