//! The supervisor: runs users' callbacks, and starts and stops what feeds topics.
//!
//! Workers move bytes and never call a user's code; what the machine says about sources, and what the hooks
//! are to be told, they put into one queue, in the order in which the machine said it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sse_state::{Name, SourceToken, StopReason};

use crate::feed::{Blocking, Feed, Running};
use crate::hooks::{StreamEnd, StreamInfo};
use crate::shared::{End, Shared};
use crate::signal::Listener;
use crate::task;

/// One thing to do.
pub(crate) enum Event {
    Start {
        topic: Name,
        token: SourceToken,
        source: Option<Arc<Feed>>,
    },
    Poll {
        token: SourceToken,
        number: u64,
    },
    Stop {
        token: SourceToken,
        reason: StopReason,
    },
    Opened(Arc<StreamInfo>),
    Closed(Arc<StreamInfo>, StreamEnd),
}

/// The supervisor, as a task.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    running: BTreeMap<SourceToken, Running>,
    blocking: Arc<Blocking>,
    /// Woken when there is something to do. It lives as long as the hub.
    listener: Listener,
}

impl Supervisor {
    pub(crate) fn new(shared: Arc<Shared>) -> Supervisor {
        let blocking = Arc::new(Blocking::new(shared.settings.polls));
        Supervisor {
            shared,
            blocking,
            running: BTreeMap::new(),
            listener: Listener::default(),
        }
    }

    fn handle(&mut self, event: Event) {
        let shared = &self.shared;
        match event {
            Event::Start {
                topic,
                token,
                source,
            } => {
                // A topic with a source has come with one.
                if let Some(feed) = source {
                    let running = Running::start(shared, topic, token, feed, &self.blocking);
                    self.running.insert(token, running);
                }
            }
            Event::Poll { token, number } => {
                if let Some(running) = self.running.get_mut(&token) {
                    running.poll(shared, token, number);
                }
            }
            Event::Stop { token, reason } => {
                if let Some(running) = self.running.remove(&token) {
                    running.stop(reason);
                }
            }
            Event::Opened(info) => {
                if let Some(on_open) = &shared.hooks.on_open {
                    // Its panic is its own affair, here and below.
                    let _ = task::call(|| on_open(&info));
                }
            }
            Event::Closed(info, end) => {
                if let Some(on_close) = &shared.hooks.on_close {
                    let _ = task::call(|| on_close(&info, end));
                }
            }
        }
    }
}

impl Future for Supervisor {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            this.shared.supervisor.listen(&mut this.listener, cx);
            let (events, functions) = {
                let mut inner = this.shared.lock();
                let events = std::mem::take(&mut inner.events);
                let mut functions = None;
                if events.is_empty() {
                    if inner.end == End::NotYet {
                        return Poll::Pending;
                    }
                    inner.end = End::All;
                    functions = Some(inner.sources.clear());
                }
                (events, functions)
            };
            if let Some(functions) = functions {
                // Users' functions are dropped outside of the lock.
                let _ = task::call(|| drop(functions));
                this.shared.end.ring();
                return Poll::Ready(());
            }
            for event in events {
                this.handle(event);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Queues of one poll, after which the runtime gets its turn.
const ROUNDS: usize = 16;
