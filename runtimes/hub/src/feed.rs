//! What feeds a topic, with the types of the user's functions erased.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use sse_state::{
    Error, Frame, Input, Name, Next, PollOutcome, SourceEnd, SourceKind, SourceToken, StopReason,
};

use crate::publish::Publisher;
use crate::shared::Shared;
use crate::signal::lock;
use crate::task::{self, Cancel, guarded};

/// What feeds a topic, and who is told when it was stopped.
pub(crate) struct Feed {
    pub(crate) kind: SourceKind,
    pub(crate) work: Work,
    pub(crate) on_stop: Option<OnStop>,
    /// The error event of a poll that failed without an error of its own.
    pub(crate) failed: ErrorEvents,
}

/// Makes the error event of a message.
type ErrorEvents = Box<dyn Fn(&str) -> Option<Frame> + Send + Sync>;

/// What is called when a source was stopped.
pub(crate) type OnStop = Box<dyn Fn(&Name, StopReason) + Send + Sync>;
/// What one poll gave.
pub(crate) type Polled = (PollOutcome, Next);
type PollFuture = Pin<Box<dyn Future<Output = Polled> + Send>>;
type SourceFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a feed works.
pub(crate) enum Work {
    Poll(Box<dyn Fn(&Name) -> PollFuture + Send + Sync>),
    PollBlocking(Arc<dyn Fn(&Name) -> Polled + Send + Sync>),
    Source(Box<dyn Fn(Name, Publisher) -> SourceFuture + Send + Sync>),
}

/// One run of a feed: from start to stop.
pub(crate) struct Running {
    topic: Name,
    feed: Arc<Feed>,
    /// What is dropped at the stop: the source, or the poll in flight.
    work: Option<Cancel>,
    blocking: Arc<Blocking>,
}

/// The blocking polls that run. They cannot be dropped, so they may outlive their timeout and their source;
/// no second one of a topic is started beside them, and not more in all than there may be polls.
#[derive(Debug)]
pub(crate) struct Blocking {
    topics: Mutex<BTreeSet<Name>>,
    most: usize,
}

/// One of them.
struct Blocks {
    blocking: Arc<Blocking>,
    topic: Name,
}

impl Blocking {
    pub(crate) fn new(most: usize) -> Blocking {
        Blocking {
            topics: Mutex::default(),
            most,
        }
    }

    /// Begins one, unless another has to end first, of which it tells.
    fn begin(self: &Arc<Blocking>, topic: &Name) -> Result<Blocks, &'static str> {
        let mut topics = lock(&self.topics);
        if topics.contains(topic) {
            return Err("the poll before is not finished");
        }
        if topics.len() >= self.most {
            return Err("too many polls are not finished");
        }
        topics.insert(topic.clone());
        Ok(Blocks {
            blocking: Arc::clone(self),
            topic: topic.clone(),
        })
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        lock(&self.blocking.topics).remove(&self.topic);
    }
}

impl Running {
    pub(crate) fn start(
        shared: &Arc<Shared>,
        topic: Name,
        token: SourceToken,
        feed: Arc<Feed>,
        blocking: &Arc<Blocking>,
    ) -> Running {
        crate::trace::source(topic.as_str(), "started");
        let mut running = Running {
            topic,
            feed,
            work: None,
            blocking: Arc::clone(blocking),
        };
        if let Work::Source(factory) = &running.feed.work {
            let topic = running.topic.clone();
            let publisher = Publisher::new(shared, topic.clone(), token);
            match task::call(|| factory(topic, publisher)) {
                Ok(future) => {
                    let told = Arc::clone(shared);
                    let (cancel, future) = guarded(future, move |end: Result<(), _>| {
                        let reason = match end {
                            Ok(()) => SourceEnd::Finished,
                            Err(_) => SourceEnd::Panicked,
                        };
                        // Stale if it was stopped meanwhile.
                        let _ = told.apply(Input::SourceEnded { token, reason });
                    });
                    running.work = Some(cancel);
                    shared.runtime.spawn(Box::pin(future));
                }
                Err(_) => {
                    let reason = SourceEnd::Panicked;
                    let _ = shared.apply(Input::SourceEnded { token, reason });
                }
            }
        }
        running
    }

    /// Polls; a poll that is not finished is dropped.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, token: SourceToken, number: u64) {
        self.work = None;
        let feed = Arc::clone(&self.feed);
        let told = Arc::clone(shared);
        let tell = move |polled: Result<Polled, task::Panicked>| {
            let (outcome, next) = polled.unwrap_or_else(|_| {
                told.counters.poll_panicked();
                crate::trace::panicked("a poll");
                (failed(&feed, "the poll panicked"), Next::GoOn)
            });
            tell_result(&told, &feed, token, number, outcome, next);
        };
        match &self.feed.work {
            Work::Poll(poll) => match task::call(|| poll(&self.topic)) {
                Ok(future) => {
                    let (cancel, future) = guarded(future, tell);
                    self.work = Some(cancel);
                    shared.runtime.spawn(Box::pin(future));
                }
                Err(panicked) => tell(Err(panicked)),
            },
            Work::PollBlocking(poll) => match self.blocking.begin(&self.topic) {
                Ok(blocks) => {
                    let poll = Arc::clone(poll);
                    shared.runtime.spawn_blocking(Box::new(move || {
                        let polled = task::call(|| poll(&blocks.topic));
                        drop(blocks);
                        tell(polled);
                    }));
                }
                Err(why) => tell(Ok((failed(&self.feed, why), Next::GoOn))),
            },
            Work::Source(_) => {}
        }
    }

    /// Drops what runs, then tells why.
    pub(crate) fn stop(mut self, reason: StopReason) {
        self.work = None;
        crate::trace::source(self.topic.as_str(), "stopped");
        if let Some(on_stop) = &self.feed.on_stop {
            // Its panic is its own affair.
            let _ = task::call(|| on_stop(&self.topic, reason));
        }
    }
}

/// Hands in what a poll gave. What the machine cannot take is a failed poll.
fn tell_result(
    shared: &Shared,
    feed: &Feed,
    token: SourceToken,
    number: u64,
    outcome: PollOutcome,
    next: Next,
) {
    let result = |outcome, next| Input::PollResult {
        token,
        number,
        outcome,
        next,
    };
    match shared.apply(result(outcome, next)) {
        // Stale: it was stopped, or a newer poll has taken its place.
        Ok(_) | Err(Error::Stale | Error::ShuttingDown) => {}
        Err(error) => {
            let outcome = failed(feed, &error.to_string());
            if shared.apply(result(outcome, Next::GoOn)).is_err() {
                // Not even its error event is taken: it failed in silence, and is not in flight any more.
                let _ = shared.apply(result(PollOutcome::Failed(None), Next::GoOn));
            }
        }
    }
}

fn failed(feed: &Feed, message: &str) -> PollOutcome {
    PollOutcome::Failed((feed.failed)(message))
}
