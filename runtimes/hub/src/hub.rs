//! The handle that the author of a service holds.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use sse_state::{Error, Event, Input, Interest, Name, Published, Reply, ShutdownCause};

use crate::builder::HubBuilder;
use crate::publish::{PublishError, PublishWait, To, publish, publish_json};
use crate::runtime::Runtime;
use crate::shared::{End, Shared};
use crate::signal::Listener;
use crate::stats::HubStats;

/// A hub: topics, their streams, and what feeds them. Cheap to clone; the clones are one hub.
///
/// Dropping the last handle ends it at once, as [`shutdown`](Hub::shutdown) with no grace; an
/// [`App`](crate::App) holds one, and so does a server while it serves. Publishers, sources and streams
/// do not.
pub struct Hub<R> {
    guard: Arc<Guard>,
    runtime: PhantomData<fn() -> R>,
}

/// Ends the hub when it is dropped.
pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let cause = ShutdownCause::HubDropped;
        self.shared.shut_down(Some(Duration::ZERO), cause);
    }
}

impl<R: Runtime> Hub<R> {
    /// Begins a hub, with all defaults.
    pub fn builder() -> HubBuilder<R> {
        HubBuilder::new()
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Hub<R> {
        Hub {
            guard: Arc::new(Guard { shared }),
            runtime: PhantomData,
        }
    }
}

impl<R> Hub<R> {
    /// Publishes an event to every stream that follows the topic now. Synchronous, from any thread; an
    /// absent topic costs one look-up, and nothing is encoded. Who is too slow, the topic's policy says.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was published then.
    ///
    /// ```
    /// use sse_state_hub::{Event, Hub, PublishError};
    ///
    /// fn tell<R>(hub: &Hub<R>) -> Result<(), PublishError> {
    ///     let published = hub.publish("news", Event::new("it rains").name("weather"))?;
    ///     println!("for {} streams", published.streams);
    ///     Ok(())
    /// }
    /// ```
    pub fn publish(&self, topic: &str, event: Event<'_>) -> Result<Published, PublishError> {
        publish(self.shared(), To::Topic(topic), event)
    }

    /// Publishes a value as compact JSON. Keys of maps are sorted, so equal maps are equal events; fields
    /// of structs come as declared. Nothing is serialised if nobody listens and nothing is retained.
    ///
    /// # Errors
    /// [`PublishError`]; a number that is not finite and a `Serialize` that fails are
    /// [`PublishError::Json`].
    pub fn publish_json<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        value: &T,
    ) -> Result<Published, PublishError> {
        publish_json(self.shared(), To::Topic(topic), value)
    }

    /// Publishes once there is room: when no stream that keeps reading would lose anything by it. A stream
    /// that has taken nothing for [`reader_patience`](sse_state::Config::reader_patience) holds nobody up.
    pub fn publish_wait<'a>(&self, topic: &'a str, event: Event<'_>) -> PublishWait<'a> {
        PublishWait::to_topic(self.shared(), topic, event)
    }

    /// Ends all streams whose grant has this key, and refuses grants whose hooks have begun before. Gives
    /// how many streams it ended.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`].
    pub fn close_key(&self, key: &str) -> Result<u32, Error> {
        // A text that is no name is nobody's key.
        let Ok(key) = Name::new(key) else {
            return Ok(0);
        };
        match self.shared().apply(Input::CloseKey { key })? {
            Reply::Closing(streams) => Ok(streams),
            _ => Ok(0),
        }
    }

    /// Stops the source of a topic, whose streams stay open. It is started afresh by the next first
    /// subscriber.
    ///
    /// # Errors
    /// [`Error::Absent`] if there is no such topic or it has no running source.
    pub fn stop_source(&self, topic: &str) -> Result<(), Error> {
        let topic = std::borrow::Cow::Borrowed(topic);
        self.shared().apply(Input::StopSource { topic }).map(|_| ())
    }

    /// What is known of a topic: its streams, whether a publish would be kept, whether it has a source.
    /// `None` if it does not exist.
    pub fn topic(&self, topic: &str) -> Option<Interest> {
        self.shared().lock().engine.interest(topic)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> HubStats {
        let shared = self.shared();
        let engine = shared.lock().engine.stats();
        HubStats::new(engine, &shared.counters)
    }

    /// The digests that a replay of the journal must end with: of all action bytes so far, and of the
    /// state. `None` unless the hub records.
    pub fn journal_digests(&self) -> Option<JournalDigests> {
        let inner = self.shared().lock();
        Some(JournalDigests {
            actions: inner.engine.actions()?,
            state: inner.engine.digest(),
        })
    }

    /// Ends the hub: listeners close, sources stop, streams get what is pending and a farewell, and after
    /// `grace` (`None`: [`Config::grace`](sse_state::Config::grace)) what is left is cut. It begins at once;
    /// the future, which need not be awaited, is done when nothing lives any more and every `on_stop` has
    /// returned. A second call changes nothing.
    pub fn shutdown(&self, grace: impl Into<Option<Duration>>) -> Ended {
        self.shared().shut_down(grace.into(), ShutdownCause::Asked);
        self.ended()
    }

    /// Done when the hub has ended, whoever ends it.
    pub fn ended(&self) -> Ended {
        Ended::new(self.shared())
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.guard.shared
    }
}

impl<R> Clone for Hub<R> {
    fn clone(&self) -> Hub<R> {
        Hub {
            guard: Arc::clone(&self.guard),
            runtime: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Hub<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}

/// What a replay of a hub's journal must end with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalDigests {
    /// The running digest of the action bytes.
    pub actions: u64,
    /// The digest of the state.
    pub state: u64,
}

/// The end of a hub, to be awaited. It does not keep the hub alive.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Ended {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Ended {
    pub(crate) fn new(shared: &Arc<Shared>) -> Ended {
        Ended {
            shared: Arc::clone(shared),
            listener: Listener::default(),
        }
    }
}

impl Future for Ended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.end.listen(&mut this.listener, cx);
        if this.shared.lock().end == End::All {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.shared.end.forget(&mut self.listener);
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended")
    }
}
