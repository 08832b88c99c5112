//! Sources of the author's own: a task, a channel, another server (DESIGN §5).

use std::fmt;
use std::future::Future;

use sse_state::{Name, SourceKind, StopReason};

use crate::feed::{Feed, OnStop, Work};
use crate::publish::Publisher;
use crate::route::SourceSpec;

/// What feeds a topic while somebody listens. A factory, called for the first subscriber; its future is
/// dropped after the last has left, and nobody waits for it.
///
/// ```
/// use sse_state_hub::{Event, Source};
///
/// let ticker = Source::new(|topic, publisher| async move {
///     for n in 0..10 {
///         let text = format!("{topic} {n}");
///         if publisher.publish(Event::new(&text)).is_err() {
///             break; // stopped
///         }
///     }
///     // A future that returns has finished; it is not restarted while subscribers remain.
/// });
/// ```
#[must_use = "a source does nothing until a route has it"]
pub struct Source {
    work: Work,
    on_stop: Option<OnStop>,
}

impl Source {
    /// A source from its factory, which is given the topic (never the request: what one user's credentials
    /// fetched cannot reach another) and a publisher that is good for this run only.
    pub fn new<F, Fut>(factory: F) -> Source
    where
        F: Fn(Name, Publisher) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Source {
            work: Work::Source(Box::new(move |topic, publisher| {
                Box::pin(factory(topic, publisher))
            })),
            on_stop: None,
        }
    }

    /// Is called when it has stopped: once per start, whatever the reason. It may use the hub.
    pub fn on_stop(self, on_stop: impl Fn(StopReason) + Send + Sync + 'static) -> Source {
        self.on_stop_topic(move |_, reason| on_stop(reason))
    }

    /// As [`on_stop`](Source::on_stop), and is told the topic, for routes whose topics requests name. It
    /// takes the place of an `on_stop`.
    pub fn on_stop_topic(
        mut self,
        on_stop: impl Fn(&Name, StopReason) + Send + Sync + 'static,
    ) -> Source {
        self.on_stop = Some(Box::new(on_stop));
        self
    }
}

impl From<Source> for SourceSpec {
    fn from(source: Source) -> SourceSpec {
        SourceSpec(std::sync::Arc::new(Feed {
            kind: SourceKind::External,
            work: source.work,
            on_stop: source.on_stop,
            failed: Box::new(|_| None),
        }))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}
