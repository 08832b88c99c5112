//! Sources that are polled: a function at an interval, while somebody listens (DESIGN §5).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sse_state::{Event, Frame, Name, Next, PollOutcome, SourceKind, StopReason, TopicOptions};

use crate::feed::{Feed, OnStop, Polled, Work};
use crate::json::to_json;
use crate::route::SourceSpec;

/// A function that is polled for the value of a topic: at once when the first subscriber is in, then at
/// an interval from a fixed phase, until the last has left.
///
/// A value is published as compact JSON, and only if it differs from the last one. A poll that fails, or
/// panics, publishes the error event of WIRE §4 and changes nothing else. Two polls of one topic never
/// run at once; a poll that is not finished when the topic stops, or past
/// [`Config::poll_timeout`](sse_state::Config::poll_timeout), is dropped.
///
/// ```
/// use std::time::Duration;
/// use sse_state_hub::Polling;
///
/// let load = Polling::every(Duration::from_secs(1), || async { read_load() })
///     .stop_when(|load| *load > 0.99)
///     .on_stop(|reason| println!("not polled any more: {reason:?}"));
/// # fn read_load() -> std::io::Result<f64> { Ok(0.5) }
/// # let _ = load;
/// ```
#[must_use = "a polling does nothing until it is the source of a route"]
pub struct Polling<T> {
    every: Duration,
    poll: Poll<T>,
    api_version: String,
    stop_when: Option<StopWhen<T>>,
    on_stop: Option<OnStop>,
}

type Polls<T> = Pin<Box<dyn Future<Output = Result<T, PollError>> + Send>>;
type PollWith<V> = Box<dyn Fn(&Name) -> V + Send + Sync>;
type StopWhen<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;

enum Poll<T> {
    Async(PollWith<Polls<T>>),
    Blocking(PollWith<Result<T, PollError>>),
}

impl<T: Serialize + Send + 'static> Polling<T> {
    /// Polls a function that may fail. An interval of zero is the default of 5 s.
    pub fn every<F, Fut, E>(interval: Duration, poll: F) -> Polling<T>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<PollError>,
    {
        Polling::every_topic(interval, move |_| poll())
    }

    /// Polls a function that cannot fail.
    pub fn value<F, Fut>(interval: Duration, poll: F) -> Polling<T>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        Polling::every_topic(interval, move |_| {
            let value = poll();
            async move { Ok::<T, PollError>(value.await) }
        })
    }

    /// Polls a function that may fail and is told the topic, for routes whose topics requests name.
    pub fn every_topic<F, Fut, E>(interval: Duration, poll: F) -> Polling<T>
    where
        F: Fn(Name) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<PollError>,
    {
        let poll = move |topic: &Name| -> Polls<T> {
            let value = poll(topic.clone());
            Box::pin(async move { value.await.map_err(Into::into) })
        };
        Polling::new(interval, Poll::Async(Box::new(poll)))
    }

    /// Polls a function that blocks, on a thread where it may. What it does past its timeout or after the
    /// stop is ignored, but it cannot be dropped: while it runs, further polls of the topic fail, those of its
    /// next life too; and no more run than there may be polls ([`Config::polls`](sse_state::Config::polls)).
    pub fn every_blocking<F, E>(interval: Duration, poll: F) -> Polling<T>
    where
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
        E: Into<PollError>,
    {
        Polling::every_topic_blocking(interval, move |_| poll())
    }

    /// As [`every_blocking`](Polling::every_blocking), and the function is told the topic.
    pub fn every_topic_blocking<F, E>(interval: Duration, poll: F) -> Polling<T>
    where
        F: Fn(&Name) -> Result<T, E> + Send + Sync + 'static,
        E: Into<PollError>,
    {
        let poll = move |topic: &Name| poll(topic).map_err(Into::into);
        Polling::new(interval, Poll::Blocking(Box::new(poll)))
    }

    /// What error events say as `apiVersion`: `v1`.
    pub fn api_version(mut self, version: impl Into<String>) -> Polling<T> {
        self.api_version = version.into();
        self
    }

    /// Stops polling once a value meets this condition, after it was published, and also if it was the
    /// same as the one before. Polling begins again with the next first subscriber.
    pub fn stop_when(mut self, stop: impl Fn(&T) -> bool + Send + Sync + 'static) -> Polling<T> {
        self.stop_when = Some(Box::new(stop));
        self
    }

    /// Is called when polling has stopped: once per start, whatever the reason. It may use the hub.
    pub fn on_stop(self, on_stop: impl Fn(StopReason) + Send + Sync + 'static) -> Polling<T> {
        self.on_stop_topic(move |_, reason| on_stop(reason))
    }

    /// As [`on_stop`](Polling::on_stop), and is told the topic, for routes whose topics requests name. It
    /// takes the place of an `on_stop`.
    pub fn on_stop_topic(
        mut self,
        on_stop: impl Fn(&Name, StopReason) + Send + Sync + 'static,
    ) -> Polling<T> {
        self.on_stop = Some(Box::new(on_stop));
        self
    }

    fn new(interval: Duration, poll: Poll<T>) -> Polling<T> {
        let every = if interval.is_zero() {
            DEFAULT_INTERVAL
        } else {
            interval
        };
        Polling {
            every,
            poll,
            api_version: String::from("v1"),
            stop_when: None,
            on_stop: None,
        }
    }
}

impl<T: Serialize + Send + 'static> From<Polling<T>> for SourceSpec {
    fn from(polling: Polling<T>) -> SourceSpec {
        let to_polled = Arc::new(ToPolled {
            api_version: polling.api_version,
            stop_when: polling.stop_when,
        });
        let failed = Arc::clone(&to_polled);
        let work = match polling.poll {
            Poll::Async(poll) => Work::Poll(Box::new(move |topic| {
                let (value, to_polled) = (poll(topic), Arc::clone(&to_polled));
                Box::pin(async move { to_polled.convert(value.await) })
            })),
            Poll::Blocking(poll) => {
                Work::PollBlocking(Arc::new(move |topic| to_polled.convert(poll(topic))))
            }
        };
        SourceSpec(Arc::new(Feed {
            kind: SourceKind::Interval(polling.every),
            work,
            on_stop: polling.on_stop,
            failed: Box::new(move |message| failed.error_event(500, message)),
        }))
    }
}

impl<T> fmt::Debug for Polling<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Polling every {:?}", self.every)
    }
}

impl Feed {
    /// The options of a topic that it feeds, where the author says nothing else.
    pub(crate) fn options(&self) -> TopicOptions {
        TopicOptions {
            dedupe: matches!(self.kind, SourceKind::Interval(_)),
            source: self.kind,
            ..TopicOptions::default()
        }
    }
}

/// Makes events of values and errors.
struct ToPolled<T> {
    api_version: String,
    stop_when: Option<StopWhen<T>>,
}

impl<T: Serialize> ToPolled<T> {
    fn convert(&self, value: Result<T, PollError>) -> Polled {
        let value = match value {
            Ok(value) => value,
            Err(error) => return self.fail(error.status, &error.message),
        };
        let json = match to_json(&value) {
            Ok(json) => json,
            Err(error) => return self.fail(500, &error.to_string()),
        };
        match Event::new(&json).encode() {
            Ok(frame) => {
                let stops = self.stop_when.as_ref().is_some_and(|stop| stop(&value));
                let next = if stops { Next::Finished } else { Next::GoOn };
                (PollOutcome::Frame(frame), next)
            }
            Err(error) => self.fail(500, &error.to_string()),
        }
    }

    fn fail(&self, status: u16, message: &str) -> Polled {
        let event = self.error_event(status, message);
        (PollOutcome::Failed(event), Next::GoOn)
    }

    fn error_event(&self, status: u16, message: &str) -> Option<Frame> {
        let json = to_json(&ErrorEvent {
            api_version: &self.api_version,
            message,
            status_code: status,
        });
        // Strings and a number are always JSON, and JSON is always an event.
        Event::new(&json.ok()?).encode().ok()
    }
}

/// The event of a failed poll; its keys in the order of WIRE §4.
struct ErrorEvent<'a> {
    api_version: &'a str,
    message: &'a str,
    status_code: u16,
}

impl Serialize for ErrorEvent<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut event = serializer.serialize_struct("ErrorEvent", 3)?;
        event.serialize_field("apiVersion", self.api_version)?;
        if !self.message.is_empty() {
            event.serialize_field("message", self.message)?;
        }
        event.serialize_field("statusCode", &self.status_code)?;
        event.end()
    }
}

/// Why a poll failed: what its error event says. Any error that can be shown becomes one with status 500.
///
/// ```
/// use sse_state_hub::PollError;
///
/// let from_io = PollError::from(std::io::Error::other("no such sensor"));
/// let of_our_own = PollError::new(503, "the sensor sleeps");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PollError {
    status: u16,
    message: String,
}

impl PollError {
    /// With this status and message. Every subscriber reads it: it says nothing that they may not know.
    pub fn new(status: u16, message: impl Into<String>) -> PollError {
        PollError {
            status,
            message: message.into(),
        }
    }
}

// `PollError` is not `Display` itself, else this would clash with `From<T> for T`.
impl<E: fmt::Display> From<E> for PollError {
    fn from(error: E) -> PollError {
        PollError::new(500, error.to_string())
    }
}

/// As the Go package that this carries on.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
