//! What an author says about one path.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Answer, AnswerError, QueryRule, QueryRuleError, query_parameter};
use sse_state::{Heartbeat, NameError, OptionsError, Slow, Start, TopicOptions};

use crate::authorize::{Asked, Decision, Hook, hook};
use crate::feed::Feed;
use crate::site::{Compute, Respond};

/// What is served on one path: a stream, a publish, a page.
///
/// A route is only described here; what does not fit together is told when the
/// [`App`](crate::App) is built.
///
/// ```
/// use std::time::Duration;
/// use sse_state_hub::{Polling, Route, Slow};
///
/// let load = Route::topic("load").source(Polling::value(Duration::from_secs(1), || async { 0.7 }));
/// let news = Route::topic("news").history(64).slow(Slow::Skip);
/// let device = Route::topic_from(|params| params.get("id").map(|id| format!("device/{id}")));
/// let by_url = Route::from_url().query(["offset", "labels"]);
/// ```
#[must_use = "a route does nothing until it is put into an app"]
pub struct Route {
    pub(crate) kind: Kind,
    pub(crate) topic: TopicSettings,
    pub(crate) stream: StreamSettings,
    pub(crate) authorize: Option<Hook>,
    pub(crate) open_to_anyone: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

/// What a route is for.
pub(crate) enum Kind {
    Topics(Vec<String>),
    Computed(Compute),
    FromUrl(QueryRule),
    Publish(String),
    PublishTo(Compute),
    Answer(Answer),
    Respond(Respond),
}

/// Options of the topic; `None` where the author has said nothing.
#[derive(Default)]
pub(crate) struct TopicSettings {
    pub(crate) feed: Option<Arc<Feed>>,
    log_frames: Option<u32>,
    log_bytes: Option<u32>,
    history: bool,
    retention: Option<Duration>,
    linger: Option<Duration>,
    dedupe: Option<bool>,
    slow: Option<Slow>,
    notice: Option<bool>,
    own_ids: bool,
}

/// Options of the streams.
pub(crate) struct StreamSettings {
    pub(crate) start: Start,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) retry: bool,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) end_when_finished: bool,
    is_set: bool,
}

impl Route {
    /// Streams of this topic, which is declared when the app is built.
    pub fn topic(name: impl Into<String>) -> Route {
        Route::new(Kind::Topics(vec![name.into()]))
    }

    /// Streams that follow all of these topics, in the order in which their events were published. The
    /// topics take their options from the routes that serve them alone.
    pub fn topics<I>(names: I) -> Route
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Route::new(Kind::Topics(names.into_iter().map(Into::into).collect()))
    }

    /// Streams of the topic that a function of the request's parameters names; `None` is 404. It is
    /// called where it may not block. How many topics requests can name is bounded
    /// ([`Config::topics_by_request`](sse_state::Config::topics_by_request)).
    pub fn topic_from<F, T>(name: F) -> Route
    where
        F: Fn(&Params<'_>) -> T + Send + Sync + 'static,
        T: Into<Option<String>>,
    {
        Route::new(Kind::Computed(Arc::new(move |params| name(params).into())))
    }

    /// Streams of the topic that the URL names: its path and query (WIRE §1), better only some of the
    /// query's parameters: [`query`](Route::query).
    pub fn from_url() -> Route {
        Route::new(Kind::FromUrl(QueryRule::all()))
    }

    /// Publishes the bodies of requests to this topic (WIRE §6). It does not build without
    /// [`authorize`](Route::authorize) or [`open_to_anyone`](Route::open_to_anyone), nor for a topic that
    /// has a source.
    pub fn publish(topic: impl Into<String>) -> Route {
        Route::new(Kind::Publish(topic.into()))
    }

    /// As [`publish`](Route::publish), to the topic that a function of the request's parameters names;
    /// `None` is 404.
    pub fn publish_to<F, T>(name: F) -> Route
    where
        F: Fn(&Params<'_>) -> T + Send + Sync + 'static,
        T: Into<Option<String>>,
    {
        Route::new(Kind::PublishTo(Arc::new(move |params| name(params).into())))
    }

    /// Answers GET with this body, a page for instance.
    pub fn fixed(content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Route {
        match Answer::fixed(content_type, body) {
            Ok(answer) => Route::new(Kind::Answer(answer)),
            Err(error) => Route::nothing().mistaken(Mistake::Answer(error)),
        }
    }

    /// Answers GET with what a function gives, which is called where it may not block.
    pub fn respond<F>(respond: F) -> Route
    where
        F: Fn(&Asked) -> Answer + Send + Sync + 'static,
    {
        Route::new(Kind::Respond(Arc::new(respond)))
    }

    /// Adds a field to a [`fixed`](Route::fixed) answer, such as `Content-Security-Policy`.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Route {
        match self.kind {
            Kind::Answer(answer) => match answer.field(name, value) {
                Ok(answer) => self.kind = Kind::Answer(answer),
                Err(error) => return Route::nothing().mistaken(Mistake::Answer(error)),
            },
            _ => return self.mistaken(Mistake::Unused("header")),
        }
        self
    }

    /// Of the query only these parameters belong to the topic, in this order: it bounds how many topics
    /// one path has. For [`from_url`](Route::from_url).
    pub fn query<I>(mut self, names: I) -> Route
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        match (&self.kind, QueryRule::only(names)) {
            (Kind::FromUrl(_), Ok(rule)) => self.kind = Kind::FromUrl(rule),
            (Kind::FromUrl(_), Err(error)) => self.mistakes.push(Mistake::Query(error)),
            _ => self.mistakes.push(Mistake::Unused("query")),
        }
        self
    }

    /// What feeds the topic while somebody listens: a [`Polling`](crate::Polling) or a
    /// [`Source`](crate::Source). Dedupe is on for polled topics. One topic has one source.
    pub fn source(mut self, source: impl Into<SourceSpec>) -> Route {
        if self.topic.feed.is_some() {
            self.mistakes.push(Mistake::TwoSources);
        }
        self.topic.feed = Some(source.into().0);
        self
    }

    /// Events get ids, and a client that comes back goes on where it was, from a log of so many events,
    /// kept for at least 60 s after the last subscriber.
    pub fn history(mut self, events: u32) -> Route {
        self.topic.history = true;
        self.log(events)
    }

    /// Events in the log of the topic, which is how far a client may fall behind: 64.
    pub fn log(mut self, events: u32) -> Route {
        self.topic.log_frames = Some(events);
        self
    }

    /// Bytes in the log of the topic: 4 MiB. One event is always kept.
    pub fn log_bytes(mut self, bytes: u32) -> Route {
        self.topic.log_bytes = Some(bytes);
        self
    }

    /// How long the log outlives the last subscriber: not at all, with history at least 60 s.
    pub fn retention(mut self, time: Duration) -> Route {
        self.topic.retention = Some(time);
        self
    }

    /// How long the source outlives the last subscriber: not at all.
    pub fn linger(mut self, time: Duration) -> Route {
        self.topic.linger = Some(time);
        self
    }

    /// An event equal (name and data) to the newest one is not sent again, and who comes gets the newest
    /// one at once. On for polled topics, off for others.
    pub fn dedupe(mut self, on: bool) -> Route {
        self.topic.dedupe = Some(on);
        self
    }

    /// What becomes of a client that the log has left behind: [`Slow::Skip`].
    pub fn slow(mut self, slow: Slow) -> Route {
        self.topic.slow = Some(slow);
        self
    }

    /// Whether a client is told of a gap by an event `sse-gap`. Without this: on for resumes, and with
    /// [`Slow::Skip`], in topics with history.
    pub fn notice(mut self, on: bool) -> Route {
        self.topic.notice = Some(on);
        self
    }

    /// Publishers give ids of their own. Not with history.
    pub fn own_ids(mut self) -> Route {
        self.topic.own_ids = true;
        self
    }

    /// Where a stream starts whose client does not resume: [`Start::Now`].
    pub fn start(mut self, start: Start) -> Route {
        if let Start::After(_) = start {
            self.mistakes.push(Mistake::StartAfter);
        }
        self.stream.start = start;
        self.stream.is_set = true;
        self
    }

    /// The heartbeat of the streams: that of the hub.
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Route {
        self.stream.heartbeat = heartbeat;
        self.stream.is_set = true;
        self
    }

    /// Whether streams begin with a `retry:` block between 2 s and 4 s: yes.
    pub fn retry(mut self, on: bool) -> Route {
        self.stream.retry = on;
        self.stream.is_set = true;
        self
    }

    /// The longest life of a stream, of which the last eighth is spread: that of the hub.
    pub fn lifetime(mut self, time: Duration) -> Route {
        self.stream.lifetime = Some(time);
        self.stream.is_set = true;
        self
    }

    /// Streams end, with an event `sse-end`, when the source has finished. The page must `close()` on it,
    /// else the browser comes back and starts the source again.
    pub fn end_when_finished(mut self) -> Route {
        self.stream.end_when_finished = true;
        self.stream.is_set = true;
        self
    }

    /// Asks this hook before a stream is opened or an event is published (WIRE §7). Its future is dropped
    /// when the peer leaves or the head deadline passes; a panic is 500.
    ///
    /// ```
    /// use sse_state_hub::{Grant, Refuse, Route};
    ///
    /// let route = Route::topic("news").authorize(|asked| async move {
    ///     match asked.bearer() {
    ///         Some("secret") => Ok(Grant::new()),
    ///         _ => Err(Refuse::new(401).challenge("Bearer")),
    ///     }
    /// });
    /// ```
    pub fn authorize<F, Fut>(mut self, authorize: F) -> Route
    where
        F: Fn(Asked) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Decision> + Send + 'static,
    {
        self.authorize = Some(hook(authorize));
        self
    }

    /// Anybody who reaches the server may publish. (Pages of other sites still may not, WIRE §2.)
    pub fn open_to_anyone(mut self) -> Route {
        self.open_to_anyone = true;
        self
    }

    fn new(kind: Kind) -> Route {
        Route {
            kind,
            topic: TopicSettings::default(),
            stream: StreamSettings {
                start: Start::Now,
                heartbeat: Heartbeat::Default,
                retry: true,
                lifetime: None,
                end_when_finished: false,
                is_set: false,
            },
            authorize: None,
            open_to_anyone: false,
            mistakes: Vec::new(),
        }
    }

    /// Stands where a mistake has been made.
    fn nothing() -> Route {
        Route::new(Kind::Topics(Vec::new()))
    }

    fn mistaken(mut self, mistake: Mistake) -> Route {
        self.mistakes.push(mistake);
        self
    }
}

impl TopicSettings {
    /// The options, if the author has chosen any.
    pub(crate) fn options(&self) -> Option<TopicOptions> {
        let is_plain = self.feed.is_none()
            && self.log_frames.is_none()
            && self.log_bytes.is_none()
            && !self.history
            && self.retention.is_none()
            && self.linger.is_none()
            && self.dedupe.is_none()
            && self.slow.is_none()
            && self.notice.is_none()
            && !self.own_ids;
        if is_plain {
            return None;
        }
        let defaults = match &self.feed {
            Some(feed) => feed.options(),
            None => TopicOptions::default(),
        };
        Some(TopicOptions {
            source: defaults.source,
            log_frames: self.log_frames.unwrap_or(defaults.log_frames),
            log_bytes: self.log_bytes.unwrap_or(defaults.log_bytes),
            history: self.history,
            retention: self.retention.unwrap_or(defaults.retention),
            linger: self.linger.unwrap_or(defaults.linger),
            dedupe: self.dedupe.unwrap_or(defaults.dedupe),
            slow: self.slow.unwrap_or(defaults.slow),
            notice: self.notice,
            own_ids: self.own_ids,
        })
    }
}

impl StreamSettings {
    pub(crate) fn is_set(&self) -> bool {
        self.is_set
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Topics(_) => "Route of topics",
            Kind::Computed(_) => "Route of computed topics",
            Kind::FromUrl(_) => "Route of topics named by URLs",
            Kind::Publish(_) | Kind::PublishTo(_) => "Route that publishes",
            Kind::Answer(_) | Kind::Respond(_) => "Route that answers",
        })
    }
}

/// A source with its types erased: what [`Polling`](crate::Polling) and [`Source`](crate::Source)
/// become in a route.
pub struct SourceSpec(pub(crate) Arc<Feed>);

impl fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

/// What a request says beside its path: the parameters of the pattern and of the query.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    path: &'a [(String, String)],
    query: Option<&'a str>,
}

impl<'a> Params<'a> {
    pub(crate) fn new(path: &'a [(String, String)], query: Option<&'a str>) -> Params<'a> {
        Params { path, query }
    }

    /// A parameter of the pattern, decoded.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.path
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded; `None` also if it stands there twice or is no UTF-8. To be
    /// checked before it becomes part of a name.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        query_parameter(self.query?, name).ok()?
    }
}

/// What is wrong with a route.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mistake {
    /// A name of a topic that is none, the empty one for instance.
    Name(NameError),
    /// A stream of no topics, or of the same one twice.
    Topics,
    /// Options of the topic that contradict each other.
    Options(OptionsError),
    /// Parameters of a query that are none.
    Query(QueryRuleError),
    /// A status, field or content type that cannot stand in an answer.
    Answer(AnswerError),
    /// Two sources on one route.
    TwoSources,
    /// A publish route without `authorize` and without `open_to_anyone`.
    PublishUnguarded,
    /// A publish route to a topic that has a source.
    PublishToSource,
    /// A route cannot start after an id: clients say that.
    StartAfter,
    /// This setting means nothing on this kind of route.
    Unused(&'static str),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Name(error) => error.fmt(f),
            Mistake::Topics => f.write_str("a stream has at least one topic, and none twice"),
            Mistake::Options(error) => error.fmt(f),
            Mistake::Query(error) => error.fmt(f),
            Mistake::Answer(error) => error.fmt(f),
            Mistake::TwoSources => f.write_str("a topic has one source"),
            Mistake::PublishUnguarded => f.write_str(
                "a publish route needs `authorize(hook)`, or `open_to_anyone()` to say that it is open",
            ),
            Mistake::PublishToSource => {
                f.write_str("a topic that has a source is not published to from outside")
            }
            Mistake::StartAfter => f.write_str("where to resume is said by clients"),
            Mistake::Unused(setting) => {
                write!(f, "`{setting}` means nothing on this kind of route")
            }
        }
    }
}
