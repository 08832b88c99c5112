//! Finding a slot by name.

use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// A table from names to slots; the names stay with the slots. It has no iterator, so nothing can
/// depend on the order of a hash. Names come from URLs, so the hash is keyed.
#[derive(Clone)]
pub(crate) struct Index {
    table: HashTable<u32>,
    key: [u64; 2],
}

impl Index {
    pub(crate) fn new(key: [u64; 2]) -> Index {
        Index {
            table: HashTable::new(),
            key,
        }
    }

    /// The slot of this name, where `name_of` tells the name of a slot.
    pub(crate) fn find<'a>(&self, name: &str, name_of: impl Fn(u32) -> &'a str) -> Option<u32> {
        self.table
            .find(hash(self.key, name), |&slot| name_of(slot) == name)
            .copied()
    }

    /// Adds a slot whose name is not in the table.
    pub(crate) fn insert<'a>(&mut self, name: &str, slot: u32, name_of: impl Fn(u32) -> &'a str) {
        let key = self.key;
        self.table
            .insert_unique(hash(key, name), slot, |&slot| hash(key, name_of(slot)));
    }

    /// Removes a slot.
    pub(crate) fn remove(&mut self, name: &str, slot: u32) {
        let entry = self
            .table
            .find_entry(hash(self.key, name), |&other| other == slot);
        let _ = entry.map(|entry| entry.remove());
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len() as u32
    }
}

fn hash([a, b]: [u64; 2], name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(a, b);
    hasher.write(name.as_bytes());
    hasher.finish()
}
