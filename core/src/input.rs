//! What is fed to the machine, and what it answers at once.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use crate::action::StopReason;
use crate::frame::Frame;
use crate::id::{EventId, SourceToken, SubscriberId};
use crate::name::Name;
use crate::options::TopicOptions;
use crate::time::Time;

/// One input as a value: what a journal holds and a test generates. Each variant is one method of
/// [`SseState`](crate::SseState), whose documentation tells what it does;
/// [`SseState::apply`](crate::SseState::apply) calls it. `Input<'static>` owns everything.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs)] // the fields are the arguments of the methods
#[non_exhaustive]
pub enum Input<'a> {
    /// [`declare`](crate::SseState::declare)
    Declare {
        topic: Name,
        options: Arc<TopicOptions>,
    },
    /// [`accept`](crate::SseState::accept)
    Accept,
    /// [`head_held`](crate::SseState::head_held)
    HeadHeld { id: SubscriberId, bytes: u32 },
    /// [`head_done`](crate::SseState::head_done)
    HeadDone { id: SubscriberId },
    /// [`body`](crate::SseState::body)
    Body { id: SubscriberId, bytes: u32 },
    /// [`answer`](crate::SseState::answer)
    Answer { id: SubscriberId, bytes: Bytes },
    /// [`subscribe`](crate::SseState::subscribe)
    Subscribe(Box<Subscribe>),
    /// [`publish`](crate::SseState::publish)
    Publish {
        topic: Cow<'a, str>,
        frame: Frame,
        room: Room,
    },
    /// [`close`](crate::SseState::close)
    Close { id: SubscriberId, how: CloseHow },
    /// [`close_key`](crate::SseState::close_key)
    CloseKey { key: Name },
    /// [`peer_gone`](crate::SseState::peer_gone)
    PeerGone { id: SubscriberId },
    /// [`stop_source`](crate::SseState::stop_source)
    StopSource { topic: Cow<'a, str> },
    /// [`poll_result`](crate::SseState::poll_result)
    PollResult {
        token: SourceToken,
        number: u64,
        outcome: PollOutcome,
        next: Next,
    },
    /// [`feed`](crate::SseState::feed)
    Feed {
        token: SourceToken,
        frame: Frame,
        room: Room,
    },
    /// [`source_ended`](crate::SseState::source_ended)
    SourceEnded {
        token: SourceToken,
        reason: SourceEnd,
    },
    /// [`report`](crate::SseState::report)
    Report(Cow<'a, [Report]>),
    /// [`writable`](crate::SseState::writable)
    Writable { id: SubscriberId },
    /// [`pull`](crate::SseState::pull)
    Pull { id: SubscriberId },
    /// [`handle_timeout`](crate::SseState::handle_timeout)
    Timeout,
    /// [`shutdown`](crate::SseState::shutdown)
    Shutdown {
        grace: Option<Duration>,
        cause: ShutdownCause,
    },
}

/// What [`SseState::apply`](crate::SseState::apply) answers: the result of the method.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// Done; there is nothing to tell.
    Done,
    /// The id of a new connection or stream.
    Id(SubscriberId),
    /// What a publish did.
    Published(Published),
    /// What a mounted stream got.
    Pulled(Pulled),
    /// How many reports of the batch named dead ids.
    Stale(u32),
    /// How many streams are being closed.
    Closing(u32),
}

/// A new stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscribe {
    /// On what it is written.
    pub via: Via,
    /// Its topics, at least one and none twice; fixed for its life.
    pub topics: Vec<Join>,
    /// Where it starts.
    pub start: Start,
    /// The answer head; may be empty (always for a mounted stream).
    pub head: Bytes,
    /// Its heartbeat.
    pub heartbeat: Heartbeat,
    /// Whether it begins with a `retry:` block, spread between 2 s and 4 s.
    pub retry: bool,
    /// Its longest life; `None`: [`Config::max_lifetime`](crate::Config::max_lifetime).
    pub lifetime: Option<Duration>,
    /// When its grant ends.
    pub expires: Option<Time>,
    /// Who it belongs to, for [`close_key`](crate::SseState::close_key).
    pub key: Option<Name>,
    /// End it with an event `sse-end` when every source of its topics has finished or was stopped.
    pub end_when_finished: bool,
}

impl Subscribe {
    /// A stream of one topic with the defaults: starts at now, heartbeat and `retry:` block as usual.
    pub fn new(via: Via, topic: Name) -> Subscribe {
        Subscribe {
            via,
            topics: alloc::vec![Join {
                topic,
                options: None
            }],
            start: Start::Now,
            head: Bytes::new(),
            heartbeat: Heartbeat::Default,
            retry: true,
            lifetime: None,
            expires: None,
            key: None,
            end_when_finished: false,
        }
    }
}

/// On what a stream is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// The connection that asked for it.
    Connection(SubscriberId),
    /// A body that a framework pulls: [`Control::Wake`](crate::Control::Wake) and
    /// [`pull`](crate::SseState::pull) instead of writes.
    Mounted {
        /// [`SseState::asked`](crate::SseState::asked) as it was when the decision on it began; 0 if
        /// there was none to wait for.
        asked: u64,
    },
}

/// One topic of a new stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Which.
    pub topic: Name,
    /// Its options if it has to be made; must equal the ones it stands with, unless it was declared.
    /// `None`: as it stands, or the defaults.
    pub options: Option<Arc<TopicOptions>>,
}

/// Where a stream starts in the logs of its topics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// After everything published before; topics with dedupe give their newest frame first.
    Now,
    /// With the newest frame of every topic.
    Newest,
    /// After the event with this id, as the client sent it; anything odd is an unknown id. Topics
    /// without history start at now.
    After(Bytes),
    /// With the oldest frame held of every topic.
    Oldest,
}

/// When and how a silent stream shows that it lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Heartbeat {
    /// A comment after [`Config::heartbeat`](crate::Config::heartbeat).
    Default,
    /// A comment `:` after this silence.
    Comment(Duration),
    /// An event `sse-heartbeat` after this silence, which a page can see.
    Event(Duration),
    /// Never.
    Off,
}

/// What a publish does when the log is full.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Room {
    /// Evict the oldest frame; who still needed it has lagged.
    Evict,
    /// Refuse with [`Error::Wait`](crate::Error::Wait) while a reader still needs the oldest frame.
    Wait,
}

/// What a publish did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Published {
    /// How many streams it was for: the members of the topic.
    pub streams: u32,
    /// Its id, in a topic with history.
    pub id: Option<EventId>,
    /// It equalled the newest frame of a topic with dedupe, and was not appended.
    pub unchanged: bool,
}

/// How a stream is closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseHow {
    /// In order, after what is pending and a farewell `retry:`.
    Drain,
    /// In order; nothing that is not begun is written any more.
    Stop,
    /// By a reset.
    Cut,
}

/// What a poll gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PollOutcome {
    /// A value.
    Frame(Frame),
    /// Nothing new.
    Unchanged,
    /// It failed; with the error event to publish, if there is to be one.
    Failed(Option<Frame>),
}

/// Whether a source goes on after a poll.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Next {
    /// Poll again at the next tick.
    GoOn,
    /// Its stop condition is met. Ignored after a failed poll.
    Finished,
}

/// How an external source ended by itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceEnd {
    /// Its future returned.
    Finished,
    /// Its task panicked.
    Panicked,
}

impl From<SourceEnd> for StopReason {
    fn from(end: SourceEnd) -> StopReason {
        match end {
            SourceEnd::Finished => StopReason::Finished,
            SourceEnd::Panicked => StopReason::Panicked,
        }
    }
}

/// What became of a run that was taken in flight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    /// The stream.
    pub id: SubscriberId,
    /// How many bytes of the run were accepted.
    pub bytes: u32,
    /// What the socket can take now.
    pub socket: Socket,
}

/// What a socket can take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Socket {
    /// More, at once.
    Ready,
    /// Nothing until `writable`.
    Blocked,
    /// Never anything again; the peer is gone.
    Gone,
}

/// What a mounted stream gets when it is pulled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pulled {
    /// These bytes; they count as accepted.
    Run(Bytes),
    /// Nothing now; a [`Control::Wake`](crate::Control::Wake) follows.
    Nothing,
}

/// Who ends the machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ShutdownCause {
    /// The service asked for it.
    Asked,
    /// The last handle was dropped.
    HubDropped,
}

/// What is known of a topic without touching it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Its members.
    pub streams: u32,
    /// A publish would be appended to its log.
    pub kept: bool,
    /// It has a source, running or not.
    pub source: bool,
}
