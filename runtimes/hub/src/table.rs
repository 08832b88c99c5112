//! The connections, by the slots of their ids.

use std::sync::Arc;

use sse_state::SubscriberId;

use crate::conn::Conn;
use crate::hooks::StreamInfo;
use crate::mount::Pull;

/// One connection of the table, or one body of a framework.
pub(crate) struct Entry {
    pub(crate) id: SubscriberId,
    pub(crate) way: Way,
    /// What the hooks are told; only kept if there are hooks.
    pub(crate) info: Option<Arc<StreamInfo>>,
}

/// How bytes come to a peer.
pub(crate) enum Way {
    /// Written to a connection of ours.
    Conn(Arc<Conn>),
    /// Pulled by a framework.
    Pull(Arc<Pull>),
}

impl Way {
    pub(crate) fn conn(&self) -> Option<&Arc<Conn>> {
        match self {
            Way::Conn(conn) => Some(conn),
            Way::Pull(_) => None,
        }
    }
}

/// A table that grows by pages, so that no insertion moves the others.
#[derive(Default)]
pub(crate) struct Table {
    pages: Vec<Vec<Option<Entry>>>,
}

impl Table {
    /// Puts a new connection into its slot, and gives back what stood there.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let (page, place) = split(entry.id.slot());
        while self.pages.len() <= page {
            self.pages.push(Vec::new());
        }
        let page = self.pages.get_mut(page)?;
        if page.is_empty() {
            page.resize_with(PAGE, || None);
        }
        page.get_mut(place)?.replace(entry)
    }

    pub(crate) fn get(&self, id: SubscriberId) -> Option<&Entry> {
        self.at(id.slot()).filter(|entry| entry.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: SubscriberId) -> Option<&mut Entry> {
        let (page, place) = split(id.slot());
        let entry = self.pages.get_mut(page)?.get_mut(place)?.as_mut()?;
        (entry.id == id).then_some(entry)
    }

    /// Whoever has this slot now.
    pub(crate) fn at(&self, slot: u32) -> Option<&Entry> {
        let (page, place) = split(slot);
        self.pages.get(page)?.get(place)?.as_ref()
    }

    pub(crate) fn remove(&mut self, id: SubscriberId) -> Option<Entry> {
        let (page, place) = split(id.slot());
        let entry = self.pages.get_mut(page)?.get_mut(place)?;
        entry.take_if(|entry| entry.id == id)
    }

    /// Takes everything.
    pub(crate) fn clear(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.pages)
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

/// Entries of one page: 32 KiB. (A way is as wide as a pointer to a connection.)
const PAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_of_its_own() {
        let last = PAGE as u32 - 1;
        let places = [0, 1, last, last + 1, last + 2, 2 * last + 2];
        assert_eq!(
            places.map(split),
            [(0, 0), (0, 1), (0, PAGE - 1), (1, 0), (1, 1), (2, 0)]
        );
    }
}
