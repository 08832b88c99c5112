//! What feeds which topic, as the hub has to know it: the machine knows kinds, not functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use sse_state::{Engine, Name};

use crate::feed::Feed;

/// The sources of topics, declared ones for ever, others while their topic may still start one.
#[derive(Default)]
pub(crate) struct Sources {
    declared: BTreeMap<Name, Arc<Feed>>,
    by_request: BTreeMap<Name, Arc<Feed>>,
    /// Entries at which names that are gone are swept.
    sweep_at: usize,
}

/// Another source feeds this topic.
#[derive(Debug)]
pub(crate) struct OtherSource;

impl Sources {
    /// The author declares it.
    pub(crate) fn declare(&mut self, topic: Name, feed: &Arc<Feed>) -> Result<(), OtherSource> {
        let declared = self
            .declared
            .entry(topic)
            .or_insert_with(|| Arc::clone(feed));
        same(declared, feed)
    }

    /// Whether a stream may bring this source to this topic: a declared topic keeps its own, and one that
    /// has members keeps the one that they brought.
    pub(crate) fn check(
        &self,
        topic: &Name,
        feed: &Arc<Feed>,
        engine: &dyn Engine,
    ) -> Result<(), OtherSource> {
        if self.declared.contains_key(topic) || engine.interest(topic.as_str()).is_none() {
            return Ok(());
        }
        match self.by_request.get(topic) {
            Some(brought) => same(brought, feed),
            None => Ok(()),
        }
    }

    /// A stream was opened that brings this source. Gives back those that are not needed any more, to be
    /// dropped outside of the lock.
    pub(crate) fn bring(
        &mut self,
        topic: &Name,
        feed: &Arc<Feed>,
        engine: &dyn Engine,
    ) -> Vec<Arc<Feed>> {
        let mut swept = Vec::new();
        if self.declared.contains_key(topic) {
            return swept;
        }
        if self.by_request.len() >= self.sweep_at {
            let is_gone =
                |topic: &Name, _: &mut Arc<Feed>| engine.interest(topic.as_str()).is_none();
            let gone = self.by_request.extract_if(.., is_gone);
            swept.extend(gone.map(|(_, feed)| feed));
            self.sweep_at = 2 * self.by_request.len() + SWEEP_LEAST;
        }
        swept.extend(self.by_request.insert(topic.clone(), Arc::clone(feed)));
        swept
    }

    /// The source of a topic that is being started.
    pub(crate) fn started(&self, topic: &Name) -> Option<Arc<Feed>> {
        self.declared
            .get(topic)
            .or_else(|| self.by_request.get(topic))
            .cloned()
    }

    /// Lets go of the functions, which may hold handles of the hub.
    pub(crate) fn clear(&mut self) -> Sources {
        std::mem::take(self)
    }
}

fn same(one: &Arc<Feed>, other: &Arc<Feed>) -> Result<(), OtherSource> {
    if Arc::ptr_eq(one, other) {
        Ok(())
    } else {
        Err(OtherSource)
    }
}

/// Sweeps are not worth their look-ups below this.
const SWEEP_LEAST: usize = 64;
