//! Publishers that wait for room.

use std::collections::BTreeMap;
use std::task::Waker;

/// Who waits for room in which topic. The machine says once that there is room, so all that wait there
/// are woken, in the order in which they came; whoever still finds none waits again.
#[derive(Default)]
pub(crate) struct Waiters {
    by_topic: BTreeMap<Box<str>, Vec<(u64, Waker)>>,
    next: u64,
}

impl Waiters {
    /// Waits, from now on under the number that is given back. To be called under the same lock as the
    /// publish that found no room.
    pub(crate) fn add(&mut self, topic: &str, waker: &Waker) -> u64 {
        self.next += 1;
        let waiter = (self.next, waker.clone());
        match self.by_topic.get_mut(topic) {
            Some(waiters) => waiters.push(waiter),
            None => {
                self.by_topic.insert(topic.into(), vec![waiter]);
            }
        }
        self.next
    }

    /// Waits no longer.
    pub(crate) fn remove(&mut self, topic: &str, number: u64) {
        if let Some(waiters) = self.by_topic.get_mut(topic) {
            waiters.retain(|(waiter, _)| *waiter != number);
            if waiters.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }

    /// Those who wait for this topic, to be woken outside of the lock.
    pub(crate) fn take(&mut self, topic: &str, into: &mut Vec<Waker>) {
        let waiters = self.by_topic.remove(topic).unwrap_or_default();
        into.extend(waiters.into_iter().map(|(_, waker)| waker));
    }

    /// All.
    pub(crate) fn take_all(&mut self) -> Vec<Waker> {
        let waiting = std::mem::take(&mut self.by_topic);
        waiting
            .into_values()
            .flatten()
            .map(|(_, waker)| waker)
            .collect()
    }
}
