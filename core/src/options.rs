//! What an author chooses for a topic.

use core::fmt;
use core::time::Duration;

/// The options of a topic. Fixed while the topic exists; two different sets for one name conflict.
///
/// ```
/// use core::time::Duration;
/// use sse_state::{SourceKind, TopicOptions};
///
/// let polled = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(5)));
/// assert!(polled.dedupe);
/// assert!(polled.check().is_ok());
/// let both = TopicOptions { own_ids: true, history: true, ..TopicOptions::default() };
/// assert!(both.check().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TopicOptions {
    /// What feeds it while somebody listens.
    pub source: SourceKind,
    /// Frames kept in the log: 64.
    pub log_frames: u32,
    /// Bytes kept in the log: 4 MiB. At least one frame is always kept.
    pub log_bytes: u32,
    /// Frames carry ids and the topic can be resumed.
    pub history: bool,
    /// How long the log outlives the last subscriber: 0, with history at least 60 s.
    pub retention: Duration,
    /// How long the source outlives the last subscriber: 0.
    pub linger: Duration,
    /// A publish equal (name and data) to the newest frame is not appended, and a newcomer gets the
    /// newest frame at once. On for polled topics, off for others.
    pub dedupe: bool,
    /// What becomes of a subscriber that the log has left behind.
    pub slow: Slow,
    /// Tell the client of a gap by an event `sse-gap`. `None`: for resumes, and for lag under `Skip`
    /// in a topic with history.
    pub notice: Option<bool>,
    /// Publishers may give ids of their own. Not with history.
    pub own_ids: bool,
}

impl Default for TopicOptions {
    /// No source, a log of 64 frames and 4 MiB, nothing else.
    fn default() -> TopicOptions {
        TopicOptions {
            source: SourceKind::None,
            log_frames: 64,
            log_bytes: 4 << 20,
            history: false,
            retention: Duration::ZERO,
            linger: Duration::ZERO,
            dedupe: false,
            slow: Slow::Skip,
            notice: None,
            own_ids: false,
        }
    }
}

impl TopicOptions {
    /// The defaults of a topic that is fed by `source`: as [`default`](Self::default), with dedupe.
    pub fn polled(source: SourceKind) -> TopicOptions {
        TopicOptions {
            source,
            dedupe: true,
            ..TopicOptions::default()
        }
    }

    /// Checks that they go together.
    ///
    /// # Errors
    /// [`OptionsError`] names the contradiction.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.log_frames == 0 || self.log_bytes == 0 {
            Err(OptionsError::EmptyLog)
        } else if self.own_ids && self.history {
            Err(OptionsError::OwnIdsWithHistory)
        } else if self.source == SourceKind::Interval(Duration::ZERO) {
            Err(OptionsError::ZeroInterval)
        } else {
            Ok(())
        }
    }

    /// How long the log in fact outlives the last subscriber.
    pub fn retained_for(&self) -> Duration {
        if self.history {
            self.retention.max(HISTORY_RETENTION)
        } else {
            self.retention
        }
    }

    /// Whether a lag is told to the client.
    pub(crate) fn tells_lag(&self) -> bool {
        self.notice
            .unwrap_or(self.history && self.slow == Slow::Skip)
    }

    /// Whether a gap found at resume is told to the client.
    pub(crate) fn tells_resume(&self) -> bool {
        self.notice.unwrap_or(self.history)
    }
}

/// What feeds a topic while somebody listens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceKind {
    /// Nothing: only publishes.
    None,
    /// A task, a channel, another server: it feeds when it likes.
    External,
    /// A function that is polled: at once, then at this interval from a fixed phase.
    Interval(Duration),
}

/// What becomes of a subscriber whose next frame has left the log. Found at its next turn; always
/// counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Slow {
    /// It goes on at the oldest frame held.
    Skip,
    /// It goes on at the newest frame.
    Conflate,
    /// Its stream ends in order.
    Close,
}

/// Why [`TopicOptions`] cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OptionsError {
    /// A log of no frames or no bytes.
    EmptyLog,
    /// Ids of the publisher's own and ids of the machine's cannot share a topic.
    OwnIdsWithHistory,
    /// Polling with an interval of zero.
    ZeroInterval,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OptionsError::EmptyLog => "a log holds at least one frame and one byte",
            OptionsError::OwnIdsWithHistory => "a topic with own ids cannot have history",
            OptionsError::ZeroInterval => "a poll interval cannot be zero",
        })
    }
}

impl core::error::Error for OptionsError {}

/// The least time that a log with history outlives its last subscriber: long enough for a browser
/// to come back.
const HISTORY_RETENTION: Duration = Duration::from_secs(60);
