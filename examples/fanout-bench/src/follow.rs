//! Whether the events of one stream are the right ones: in order, none missing, none twice, gaps told exactly.

use crate::payload::{self, Stamp};
use crate::sse::Block;

/// What a stream has got of each of its topics.
#[derive(Clone, Default, Debug)]
pub struct Follower {
    topics: Vec<Place>,
    /// The last id that was seen: what a resume begins after.
    last_id: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    topic: u16,
    /// The next event that is right.
    next: u64,
    /// A gap of unknown size was told: any later event is right.
    is_open: bool,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Events that are missing, and no gap was told.
    pub lost: u64,
    /// Events that came again, or late.
    pub again: u64,
    /// Events that are missing as a gap notice said, by its number.
    pub told: u64,
    /// Gap notices.
    pub gaps: u64,
    /// Blocks that are malformed or unknown, and gap notices that cannot be true.
    pub odd: u64,
    /// Comments.
    pub comments: u64,
}

impl Counts {
    /// Nothing is wrong with the events.
    pub fn are_clean(&self) -> bool {
        self.lost == 0 && self.again == 0 && self.odd == 0
    }

    /// Adds another stream's.
    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.lost += other.lost;
        self.again += other.again;
        self.told += other.told;
        self.gaps += other.gaps;
        self.odd += other.odd;
        self.comments += other.comments;
    }
}

impl Follower {
    /// The next block of the stream. Gives the stamp of an event.
    pub fn block(&mut self, block: &Block<'_>, counts: &mut Counts) -> Option<Stamp> {
        if let Some(id) = block.id {
            self.last_id.clear();
            self.last_id.extend_from_slice(id);
        }
        let stamp = match (block.data, block.name) {
            _ if block.is_malformed => None,
            (None, _) => {
                counts.comments += u64::from(block.id.is_none() && block.retry.is_none());
                return None;
            }
            (Some(data), b"sse-gap") => {
                counts.gaps += 1;
                counts.odd += u64::from(self.gap(data, counts).is_none());
                return None;
            }
            (Some(data), b"") => payload::read(data),
            _ => None,
        };
        match stamp {
            Some(stamp) => self.event(stamp, counts),
            None => counts.odd += 1,
        }
        stamp
    }

    /// The last id that was seen; empty if none was.
    pub fn last_id(&self) -> &[u8] {
        &self.last_id
    }

    /// The next event of a topic, if one has been seen.
    pub fn next(&self, topic: u16) -> Option<u64> {
        let place = self.topics.iter().find(|place| place.topic == topic)?;
        Some(place.next)
    }

    /// A new stream that starts at now: what comes next is not known.
    pub fn forget(&mut self) {
        self.topics.clear();
        self.last_id.clear();
    }

    fn event(&mut self, stamp: Stamp, counts: &mut Counts) {
        counts.events += 1;
        let Some(place) = self.place(stamp.topic) else {
            self.topics.push(Place {
                topic: stamp.topic,
                next: stamp.number + 1,
                is_open: false,
            });
            return;
        };
        if stamp.number < place.next {
            counts.again += 1;
            return;
        }
        if !place.is_open {
            counts.lost += stamp.number - place.next;
        }
        place.next = stamp.number + 1;
        place.is_open = false;
    }

    /// A gap notice: `{"topic":"…7","missed":12,"why":"slow"}`, where 7 is the number of the topic.
    fn gap(&mut self, data: &[u8], counts: &mut Counts) -> Option<()> {
        let text = std::str::from_utf8(data).ok()?;
        let (name, rest) = text
            .strip_prefix("{\"topic\":\"")?
            .split_once("\",\"missed\":")?;
        let (missed, why) = rest.split_once(",\"why\":\"")?;
        why.strip_suffix("\"}")?;
        let digits = name
            .trim_end_matches(|char: char| char.is_ascii_digit())
            .len();
        let topic = name[digits..].parse().ok()?;
        let missed: Option<u64> = match missed {
            "null" => None,
            number => Some(number.parse().ok()?),
        };
        counts.told += missed.unwrap_or(0);
        match (self.place(topic), missed) {
            (Some(place), Some(missed)) => place.next += missed,
            (Some(place), None) => place.is_open = true,
            // Nothing was seen of it: nothing can be missing.
            (None, _) => {}
        }
        Some(())
    }

    fn place(&mut self, topic: u16) -> Option<&mut Place> {
        self.topics.iter_mut().find(|place| place.topic == topic)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, Follower};
    use crate::payload;
    use crate::sse::Block;

    fn event(follower: &mut Follower, counts: &mut Counts, number: u64) {
        let mut data = String::new();
        payload::write(&mut data, 3, number, 64);
        let data = Some(data.as_bytes());
        follower.block(
            &Block {
                data,
                ..Block::default()
            },
            counts,
        );
    }

    fn gap(follower: &mut Follower, counts: &mut Counts, missed: &str) {
        let data = format!("{{\"topic\":\"/t/3\",\"missed\":{missed},\"why\":\"slow\"}}");
        let block = Block {
            name: b"sse-gap",
            data: Some(data.as_bytes()),
            ..Block::default()
        };
        follower.block(&block, counts);
    }

    #[test]
    fn finds_loss_and_repetition() {
        let (mut follower, mut counts) = Default::default();
        for number in [5, 6, 9, 9, 8, 10] {
            event(&mut follower, &mut counts, number);
        }
        assert_eq!((counts.events, counts.lost, counts.again), (6, 2, 2));
        assert!(!counts.are_clean());
    }

    #[test]
    fn believes_a_gap_only_if_it_is_exact() {
        let (mut follower, mut counts) = Default::default();
        event(&mut follower, &mut counts, 1);
        gap(&mut follower, &mut counts, "3");
        event(&mut follower, &mut counts, 5);
        assert!(counts.are_clean());
        gap(&mut follower, &mut counts, "3");
        event(&mut follower, &mut counts, 10);
        assert_eq!((counts.lost, counts.told), (1, 6));
        gap(&mut follower, &mut counts, "null");
        event(&mut follower, &mut counts, 1000);
        assert_eq!((counts.lost, counts.gaps, counts.odd), (1, 3, 0));
        gap(&mut follower, &mut counts, "x");
        assert_eq!(counts.odd, 1);
    }
}
