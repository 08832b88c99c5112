//! Who listens, and whether the machine is polled for them: what the page shows of the server.

use std::sync::Arc;

use serde::Serialize;
use sse_state_tokio::{StopReason, StreamEnd, StreamInfo, to_json};
use tokio::sync::watch;

use crate::MACHINE;

/// The figures, kept up by the hooks of the hub. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audience(Arc<watch::Sender<Seen>>);

/// What there is to see.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Seen {
    /// Streams open now, whatever their topics.
    streams: u32,
    /// Those of them that follow the machine.
    watching: u32,
    /// Whether the machine is polled.
    polling: bool,
    /// How often polling has begun.
    starts: u64,
    /// Notes that the server keeps, so that the page can post more than these.
    notes_kept: u32,
}

impl Audience {
    pub(crate) fn new(notes_kept: u32) -> Audience {
        Audience(Arc::new(watch::Sender::new(Seen {
            notes_kept,
            ..Seen::default()
        })))
    }

    pub(crate) fn on_open(&self) -> impl Fn(&StreamInfo) + use<> {
        let audience = self.clone();
        move |stream| {
            audience.0.send_modify(|seen| {
                seen.streams += 1;
                seen.watching += u32::from(follows_the_machine(stream));
            });
        }
    }

    pub(crate) fn on_close(&self) -> impl Fn(&StreamInfo, StreamEnd) + use<> {
        let audience = self.clone();
        move |stream, _| {
            audience.0.send_modify(|seen| {
                seen.streams -= 1;
                seen.watching -= u32::from(follows_the_machine(stream));
            });
        }
    }

    /// Called at every poll: the first one of a run is a start.
    pub(crate) fn is_polled(&self) {
        self.0.send_if_modified(|seen| {
            let is_first = !seen.polling;
            seen.polling = true;
            seen.starts += u64::from(is_first);
            is_first
        });
    }

    pub(crate) fn on_stop(&self) -> impl Fn(StopReason) + use<> {
        let audience = self.clone();
        move |_| audience.0.send_modify(|seen| seen.polling = false)
    }

    /// Sees every change, but of several at once only the last.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Seen> {
        self.0.subscribe()
    }
}

impl Seen {
    pub(crate) fn to_json(self) -> String {
        to_json(&self).expect("whole numbers are always JSON")
    }
}

fn follows_the_machine(stream: &StreamInfo) -> bool {
    stream.topics.iter().any(|topic| topic.as_str() == MACHINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_polls_is_one_start() {
        let audience = Audience::new(32);
        let stopped = audience.on_stop();
        for _ in 0..2 {
            audience.is_polled();
            audience.is_polled();
            assert!(audience.subscribe().borrow().polling);
            stopped(StopReason::NoSubscribers);
        }
        let json = r#"{"streams":0,"watching":0,"polling":false,"starts":2,"notes_kept":32}"#;
        assert_eq!(audience.subscribe().borrow().to_json(), json);
    }
}
