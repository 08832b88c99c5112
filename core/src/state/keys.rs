//! Keys: whose stream it is.

use alloc::collections::VecDeque;

use slab::Slab;

use super::SseState;
use crate::error::{Bound, Error};
use crate::index::Index;
use crate::list::NIL;
use crate::name::Name;
use crate::time::Time;

/// The principals that have streams, and which of them were closed lately.
#[derive(Clone)]
pub(super) struct Keys {
    table: Slab<Key>,
    names: Index,
    /// Calls of `close_key` so far.
    asked: u64,
    /// The last of them: a grant that began before is refused.
    closed: VecDeque<(u64, Name)>,
    /// Grants with a key that began before this call are refused whatever their key: it has left
    /// the list.
    forgotten: u64,
}

#[derive(Clone)]
struct Key {
    name: Name,
    streams: u32,
    /// It was closed: its streams end, and no new one joins this entry.
    closed: bool,
}

impl Keys {
    pub(super) fn new(hash_key: [u64; 2]) -> Keys {
        Keys {
            table: Slab::new(),
            names: Index::new(hash_key),
            asked: 0,
            closed: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Open streams of this key that were not closed.
    fn streams(&self, key: &Name) -> u32 {
        self.find(key)
            .map_or(0, |slot| self.table[slot as usize].streams)
    }

    fn find(&self, key: &Name) -> Option<u32> {
        self.names
            .find(key.as_str(), |slot| self.table[slot as usize].name.as_str())
    }

    /// May a stream of this key open, whose decision began at this mark?
    pub(super) fn check(&self, key: &Name, mark: u64, most: Option<u32>) -> Result<(), Error> {
        let closed = self
            .closed
            .iter()
            .any(|(asked, name)| *asked > mark && name == key);
        if closed || mark < self.forgotten {
            return Err(Error::Closed);
        }
        if most.is_some_and(|most| self.streams(key) >= most) {
            return Err(Error::Full(Bound::StreamsPerKey));
        }
        Ok(())
    }

    /// One stream more.
    pub(super) fn join(&mut self, key: &Name) -> u32 {
        if let Some(slot) = self.find(key) {
            self.table[slot as usize].streams += 1;
            return slot;
        }
        let slot = self.table.insert(Key {
            name: key.clone(),
            streams: 1,
            closed: false,
        }) as u32;
        let table = &self.table;
        self.names.insert(key.as_str(), slot, |slot| {
            table[slot as usize].name.as_str()
        });
        slot
    }

    /// One stream less.
    pub(super) fn leave(&mut self, slot: u32) {
        if slot == NIL {
            return;
        }
        let key = &mut self.table[slot as usize];
        key.streams -= 1;
        if key.streams == 0 {
            if !key.closed {
                self.names.remove(key.name.as_str(), slot);
            }
            self.table.remove(slot as usize);
        }
    }

    pub(super) fn is_closed(&self, slot: u32) -> bool {
        slot != NIL && self.table[slot as usize].closed
    }

    /// The name of a key that streams hold.
    pub(super) fn name(&self, slot: u32) -> Option<&Name> {
        self.table.get(slot as usize).map(|key| &key.name)
    }

    /// The closes that still refuse grants, newest last, by how many calls ago they were.
    pub(super) fn recent(&self) -> impl Iterator<Item = (u64, &Name)> {
        self.closed
            .iter()
            .map(|(asked, name)| (self.asked - asked, name))
    }

    /// How many of the closes that are remembered came after this mark; more than all if one did that is not.
    pub(super) fn since(&self, mark: u64) -> u64 {
        self.asked - mark.max(self.forgotten.saturating_sub(1)).min(self.asked)
    }

    fn close(&mut self, key: &Name) -> u32 {
        self.asked += 1;
        if self.closed.len() == RECENT
            // coverage: it is full
            && let Some((asked, _)) = self.closed.pop_front()
        {
            self.forgotten = asked;
        }
        self.closed.push_back((self.asked, key.clone()));
        let Some(slot) = self.find(key) else {
            return 0;
        };
        self.names.remove(key.as_str(), slot);
        let key = &mut self.table[slot as usize];
        key.closed = true;
        key.streams
    }
}

impl SseState {
    /// Ends all streams of a key: nothing that is not begun is lent to them any more. A grant for
    /// it whose decision began before this call is refused. Tells how many streams end.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub fn close_key(&mut self, now: Time, key: &Name) -> Result<u32, Error> {
        self.open_for_business()?;
        self.clock(now);
        let streams = self.keys.close(key);
        if streams > 0 {
            self.sweep_subs = Some(0);
        }
        Ok(streams)
    }
}

/// Closes of keys that are remembered for grants still being decided.
const RECENT: usize = 1024;
