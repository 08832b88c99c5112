//! Why a call was refused. The machine is then as it was, its clock included.

use core::fmt;

use crate::options::OptionsError;

/// Why a call was refused. Nothing has changed then but a counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The id or token is dead, or was never handed out.
    Stale,
    /// The id lives, but the call does not fit what it is doing (a second answer, a stream that
    /// is not pulled).
    Phase,
    /// The machine is shutting down.
    ShuttingDown,
    /// A bound is reached.
    Full(Bound),
    /// A waiting publish would evict a frame that a reader still needs;
    /// [`Control::Room`](crate::Control::Room) follows once.
    Wait,
    /// The topic stands with other options.
    Conflict,
    /// The options contradict each other.
    Options(OptionsError),
    /// The event does not fit the topic: an own id where the topic has none.
    OwnId,
    /// A stream cannot mix topics with own ids and topics with history.
    MixedIds,
    /// A stream without topics, or the same topic twice.
    Topics,
    /// The key of the grant was closed after its hook began.
    Closed,
    /// The expiry of the grant has passed.
    Expired,
    /// No topic of that name, or it has no running source.
    Absent,
}

/// The bound that was reached; see [`Config`](crate::Config).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Bound {
    /// Bytes of one head.
    Head,
    /// Bytes of all heads.
    Heads,
    /// Requests that wait to be decided.
    Deciding,
    /// Bytes of all bodies.
    Bodies,
    /// Open streams.
    Subscribers,
    /// Open streams of one key.
    StreamsPerKey,
    /// Topics of one stream.
    TopicsPerSubscriber,
    /// Topics.
    Topics,
    /// Topics named by requests.
    TopicsByRequest,
    /// Bytes of a name.
    Name,
    /// Running sources.
    Sources,
    /// Bytes of one frame.
    Frame,
    /// Bytes of all logs.
    Logs,
    /// Bytes held outside the logs.
    Held,
    /// Ids: every generation of every slot is spent.
    Ids,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Stale => f.write_str("the id or token is dead"),
            Error::Phase => f.write_str("the call does not fit what the connection is doing"),
            Error::ShuttingDown => f.write_str("shutting down"),
            Error::Full(bound) => write!(f, "the bound on {bound:?} is reached"),
            Error::Wait => f.write_str("a reader still needs the oldest frame"),
            Error::Conflict => f.write_str("the topic stands with other options"),
            Error::Options(error) => error.fmt(f),
            Error::OwnId => f.write_str("the topic does not take ids from publishers"),
            Error::MixedIds => {
                f.write_str("a stream cannot mix topics with own ids and topics with history")
            }
            Error::Topics => f.write_str("a stream has at least one topic, and none twice"),
            Error::Closed => f.write_str("the key was closed"),
            Error::Expired => f.write_str("the grant has expired"),
            Error::Absent => f.write_str("no such topic, or no running source"),
        }
    }
}

impl core::error::Error for Error {}

impl From<OptionsError> for Error {
    fn from(error: OptionsError) -> Error {
        Error::Options(error)
    }
}
