//! Every topic's bounded ring of frames.

use alloc::collections::VecDeque;

use crate::frame::Sealed;
use crate::list::NIL;

/// One frame in its log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its place in the order of all publishes.
    pub(crate) seq: u64,
    pub(crate) frame: Sealed,
    /// The run that lends it, while somebody holds it; so that it is held once.
    pub(crate) run: u32,
}

/// Frames with dense ordinals. Publish pushes and evicts; it never looks at subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    /// Ordinal of the oldest frame held, or of the next one.
    first: u64,
    /// Bytes of all frames held.
    bytes: u64,
    /// Every frame of this topic with a greater seq is held: the seq of the last one evicted, or
    /// the counter when the topic was made.
    pub(crate) floor: u64,
}

impl Log {
    pub(crate) fn new(floor: u64) -> Log {
        Log {
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            floor,
        }
    }

    /// Ordinal of the oldest frame held.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Ordinal of the next frame.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    #[inline]
    pub(crate) fn get(&self, ordinal: u64) -> Option<&Entry> {
        self.entries.get(place(ordinal.checked_sub(self.first)?))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, ordinal: u64) -> Option<&mut Entry> {
        let place = place(ordinal.checked_sub(self.first)?);
        self.entries.get_mut(place)
    }

    /// A frame that is held.
    #[inline]
    pub(crate) fn held(&self, ordinal: u64) -> &Entry {
        &self.entries[place(ordinal - self.first)]
    }

    /// A frame that is held.
    #[inline]
    pub(crate) fn held_mut(&mut self, ordinal: u64) -> &mut Entry {
        &mut self.entries[place(ordinal - self.first)]
    }

    pub(crate) fn newest(&self) -> Option<&Entry> {
        self.entries.back()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Ordinal of the first frame held whose seq is greater.
    pub(crate) fn after(&self, seq: u64) -> u64 {
        self.first + self.entries.partition_point(|entry| entry.seq <= seq) as u64
    }

    pub(crate) fn push(&mut self, seq: u64, frame: Sealed) {
        self.bytes += frame.bytes.len() as u64;
        self.entries.push_back(Entry {
            seq,
            frame,
            run: NIL,
        });
    }

    /// How many of the oldest frames must go, so that one of `size` fits into
    /// `frames` and `bytes`; the new one always fits alone.
    pub(crate) fn surplus(&self, size: u64, frames: u32, bytes: u64) -> u32 {
        let (mut count, mut freed) = (0, 0);
        for entry in &self.entries {
            let left = self.len() - count;
            if left < frames && self.bytes - freed + size <= bytes {
                break;
            }
            count += 1;
            freed += entry.frame.bytes.len() as u64;
        }
        count
    }

    /// Drops so many of the oldest frames.
    pub(crate) fn evict(&mut self, count: u32) {
        for entry in self.entries.drain(..count as usize) {
            self.first += 1;
            self.bytes -= entry.frame.bytes.len() as u64;
            self.floor = entry.seq;
        }
    }

    /// Drops everything and its memory.
    pub(crate) fn clear(&mut self) {
        self.evict(self.len());
        self.entries = VecDeque::new();
    }
}

/// The place of a frame so many after the first; a log is never as long as an address.
fn place(after_first: u64) -> usize {
    usize::try_from(after_first).unwrap_or(usize::MAX)
}
