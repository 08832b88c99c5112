//! Bytes that are held outside the logs: taken in flight, or begun.

use alloc::boxed::Box;
use bytes::Bytes;
use slab::Slab;

/// Bytes that at least one stream holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    pub(crate) pieces: Pieces,
    refs: u32,
}

/// What the bytes of a run are, so that a report can be turned into positions.
#[derive(Clone, Debug)]
pub(crate) enum Pieces {
    /// One frame of a log, as it stands there.
    Frame { topic: u32, ordinal: u64, seq: u64 },
    /// Consecutive frames of one topic, from this ordinal; each ends at its offset.
    Span {
        topic: u32,
        from: u64,
        ends: Box<[u32]>,
    },
    /// Made for one stream; each piece ends at its offset.
    List(Box<[(u32, Piece)]>),
    /// One piece.
    One(Piece),
}

/// One unit on the wire: it is begun or not, and once begun it is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// What was begun before: the rest of a frame, an answer, the head of a stream.
    Begun,
    /// The block that carries the id current at subscribing.
    Prime,
    /// A frame of the topic in this slot; the cursor then stands at `next`.
    Frame { topic: u32, next: u64 },
    /// The notice of a gap; the cursor then stands at `next`, past `missed` frames.
    Notice { topic: u32, next: u64, missed: u64 },
    /// Nothing happened for a while.
    Heartbeat,
    /// The last block: `retry:` or `sse-end`.
    Farewell,
}

/// The runs that are held, each once, whoever holds it.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    table: Slab<Held>,
    /// Bytes of all of them.
    bytes: u64,
}

impl Runs {
    pub(crate) fn new() -> Runs {
        Runs {
            table: Slab::new(),
            bytes: 0,
        }
    }

    /// Holds these bytes for one holder.
    pub(crate) fn insert(&mut self, bytes: Bytes, pieces: Pieces) -> u32 {
        self.bytes += bytes.len() as u64;
        self.table.insert(Held {
            bytes,
            pieces,
            refs: 1,
        }) as u32
    }

    pub(crate) fn hold(&mut self, run: u32) {
        self.table[run as usize].refs += 1;
    }

    /// One holder less; what is held by nobody is returned.
    pub(crate) fn release(&mut self, run: u32) -> Option<Held> {
        let held = &mut self.table[run as usize];
        held.refs -= 1;
        if held.refs > 0 {
            return None;
        }
        let held = self.table.remove(run as usize);
        self.bytes -= held.bytes.len() as u64;
        if self.table.is_empty() {
            self.shrink();
        }
        Some(held)
    }

    /// A burst of streams in flight must not be remembered for ever.
    fn shrink(&mut self) {
        if self.table.capacity() > KEPT_RUNS {
            self.table = Slab::new();
        }
    }

    /// A run that somebody holds.
    #[inline]
    pub(crate) fn get(&self, run: u32) -> &Held {
        &self.table[run as usize]
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn refs(&self) -> u64 {
        self.table
            .iter()
            .map(|(_, held)| u64::from(held.refs))
            .sum()
    }
}

/// Capacity of the table that is kept when nothing is held: a batch of every worker and then some.
const KEPT_RUNS: usize = 4096;
