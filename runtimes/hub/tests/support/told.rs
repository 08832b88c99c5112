//! What callbacks tell, collected.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state_hub::{Polling, StopReason};

/// Collects what callbacks tell.
#[derive(Clone)]
pub(crate) struct Told<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Told<T> {
    fn default() -> Told<T> {
        Told(Arc::default())
    }
}

impl<T: Clone> Told<T> {
    pub(crate) fn tell(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}

/// Polls a counter.
pub(crate) fn counting(every: Duration) -> (Polling<u32>, Arc<AtomicU32>, Told<StopReason>) {
    let polls = Arc::new(AtomicU32::new(0));
    let stops = Told::default();
    let (counter, told) = (Arc::clone(&polls), stops.clone());
    let polling = Polling::value(every, move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { number }
    })
    .on_stop(move |reason| told.tell(reason));
    (polling, polls, stops)
}
