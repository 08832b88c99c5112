//! Publishing, from any thread.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;
use sse_state::{
    Error, Event, EventError, Frame, Input, Interest, Name, Published, Reply, Room, SourceToken,
};

use crate::json::{JsonError, to_json};
use crate::shared::Shared;

/// Why nothing was published; nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The event cannot be sent.
    Event(EventError),
    /// The value is no JSON.
    Json(JsonError),
    /// The hub does not take it: a bound is reached, it is shutting down, an id where the topic has none;
    /// to a [`Publisher`], `Stale`: its source was stopped.
    Refused(Error),
}

impl From<EventError> for PublishError {
    fn from(error: EventError) -> PublishError {
        PublishError::Event(error)
    }
}

impl From<JsonError> for PublishError {
    fn from(error: JsonError) -> PublishError {
        PublishError::Json(error)
    }
}

impl From<Error> for PublishError {
    fn from(error: Error) -> PublishError {
        PublishError::Refused(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Event(error) => error.fmt(f),
            PublishError::Json(error) => error.fmt(f),
            PublishError::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}

/// Where a publish goes.
#[derive(Clone, Copy)]
pub(crate) enum To<'a> {
    Topic(&'a str),
    Source(&'a Name, SourceToken),
}

impl<'a> To<'a> {
    fn topic(self) -> &'a str {
        match self {
            To::Topic(topic) => topic,
            To::Source(topic, _) => topic.as_str(),
        }
    }

    fn input(self, frame: Frame, room: Room) -> Input<'a> {
        match self {
            To::Topic(topic) => Input::Publish {
                topic: Cow::Borrowed(topic),
                frame,
                room,
            },
            To::Source(_, token) => Input::Feed { token, frame, room },
        }
    }

    /// Whether it has to be encoded at all. A source's topic is always there, until it is stopped, which
    /// the machine tells it.
    fn is_heard(self, shared: &Shared) -> Result<bool, Error> {
        let To::Topic(topic) = self else {
            return Ok(true);
        };
        let inner = shared.lock();
        if inner.closing {
            return Err(Error::ShuttingDown);
        }
        let interest = inner.engine.interest(topic);
        drop(inner);
        let is_heard = interest.is_some_and(|interest: Interest| interest.kept);
        if !is_heard {
            shared.counters.unheard();
        }
        Ok(is_heard)
    }
}

/// Publishes an event: looks the topic up, encodes unlocked, appends.
pub(crate) fn publish(
    shared: &Shared,
    to: To<'_>,
    event: Event<'_>,
) -> Result<Published, PublishError> {
    if !to.is_heard(shared)? {
        return Ok(NOBODY);
    }
    append(shared, to, event.encode()?)
}

/// Publishes a value as JSON, which is made only if somebody hears it.
pub(crate) fn publish_json<T: Serialize + ?Sized>(
    shared: &Shared,
    to: To<'_>,
    value: &T,
) -> Result<Published, PublishError> {
    if !to.is_heard(shared)? {
        return Ok(NOBODY);
    }
    append(shared, to, Event::new(&to_json(value)?).encode()?)
}

fn append(shared: &Shared, to: To<'_>, frame: Frame) -> Result<Published, PublishError> {
    match shared.apply(to.input(frame, Room::Evict))? {
        Reply::Published(published) => Ok(published),
        _ => Ok(NOBODY),
    }
}

/// What an absent topic answers.
const NOBODY: Published = Published {
    streams: 0,
    id: None,
    unchanged: false,
};

/// A publish that waits until no stream that keeps reading would lose anything by it. It is made when
/// this is awaited; dropped before, it is not made. Whether anybody listens at all is asked at once: an event
/// for nobody is not even encoded.
#[must_use = "futures do nothing unless they are awaited"]
pub struct PublishWait<'a> {
    shared: Arc<Shared>,
    to: Target<'a>,
    frame: Result<Option<Frame>, PublishError>,
    waiting: Option<u64>,
}

enum Target<'a> {
    Topic(Cow<'a, str>),
    Source(Name, SourceToken),
}

impl Target<'_> {
    fn to(&self) -> To<'_> {
        match self {
            Target::Topic(topic) => To::Topic(topic),
            Target::Source(topic, token) => To::Source(topic, *token),
        }
    }
}

impl<'a> PublishWait<'a> {
    pub(crate) fn to_topic(
        shared: &Arc<Shared>,
        topic: &'a str,
        event: Event<'_>,
    ) -> PublishWait<'a> {
        PublishWait::new(shared, Target::Topic(Cow::Borrowed(topic)), event)
    }

    fn new(shared: &Arc<Shared>, to: Target<'a>, event: Event<'_>) -> PublishWait<'a> {
        let heard = to.to().is_heard(shared).map_err(PublishError::from);
        let frame = heard.and_then(|heard| {
            let frame = heard.then(|| event.encode()).transpose();
            frame.map_err(PublishError::from)
        });
        PublishWait {
            shared: Arc::clone(shared),
            to,
            frame,
            waiting: None,
        }
    }

    fn forget(&mut self) {
        if let Some(number) = self.waiting.take() {
            let topic = self.to.to().topic();
            self.shared.lock().waiters.remove(topic, number);
        }
    }
}

impl Future for PublishWait<'_> {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let frame = match &this.frame {
            Ok(Some(frame)) => frame.clone(),
            Ok(None) => return Poll::Ready(Ok(NOBODY)),
            Err(error) => return Poll::Ready(Err(error.clone())),
        };
        let to = this.to.to();
        let now = this.shared.now();
        let published = {
            let mut inner = this.shared.lock();
            if let Some(number) = this.waiting.take() {
                inner.waiters.remove(to.topic(), number);
            }
            let published = inner.engine.apply(now, to.input(frame, Room::Wait));
            if published == Err(Error::Wait) {
                // Under the same lock, so that the room that follows is not missed.
                this.waiting = Some(inner.waiters.add(to.topic(), cx.waker()));
            }
            published
        };
        match published {
            Err(Error::Wait) => {
                // Room for who is blocked comes with time, which the machine has to be asked for.
                this.shared.signal.raise();
                Poll::Pending
            }
            Ok(Reply::Published(published)) => {
                this.shared.signal.raise();
                Poll::Ready(Ok(published))
            }
            Ok(_) => Poll::Ready(Ok(NOBODY)),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Drop for PublishWait<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for PublishWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublishWait({:?})", self.to.to().topic())
    }
}

/// The publisher of one run of a source: after the source was stopped it is refused as `Stale`, so it can
/// never reach a later life of the topic. It does not keep the hub alive.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
    topic: Name,
    token: SourceToken,
}

impl Publisher {
    pub(crate) fn new(shared: &Arc<Shared>, topic: Name, token: SourceToken) -> Publisher {
        Publisher {
            shared: Arc::clone(shared),
            topic,
            token,
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Name {
        &self.topic
    }

    /// Publishes an event to the topic.
    ///
    /// # Errors
    /// [`PublishError`]; `Refused(Stale)` once the source was stopped.
    pub fn publish(&self, event: Event<'_>) -> Result<Published, PublishError> {
        publish(&self.shared, self.to(), event)
    }

    /// Publishes a value as JSON, as [`Hub::publish_json`](crate::Hub::publish_json).
    ///
    /// # Errors
    /// As [`publish`](Publisher::publish).
    pub fn publish_json<T: Serialize + ?Sized>(
        &self,
        value: &T,
    ) -> Result<Published, PublishError> {
        publish_json(&self.shared, self.to(), value)
    }

    /// Publishes once there is room, as [`Hub::publish_wait`](crate::Hub::publish_wait).
    pub fn publish_wait(&self, event: Event<'_>) -> PublishWait<'static> {
        let to = Target::Source(self.topic.clone(), self.token);
        PublishWait::new(&self.shared, to, event)
    }

    fn to(&self) -> To<'_> {
        To::Source(&self.topic, self.token)
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({:?}, run {})", self.topic, self.token.start())
    }
}
