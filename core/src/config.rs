//! Every bound of the machine, by name.

use core::fmt;
use core::time::Duration;

use crate::id::Epoch;

/// The bounds of a machine and its seeds. Everything has a bound, and past it a policy and a counter
/// in [`Stats`](crate::Stats): new work is refused, a running stream is never evicted.
///
/// Zero is an error, except for `heartbeat` (zero is the default), `linger`, `retention` and `grace`.
///
/// ```
/// use sse_state::{Config, Epoch, SseState};
///
/// let config = Config { subscribers: 10, ..Config::new(Epoch(7)) };
/// assert!(SseState::new(config).is_ok());
/// let config = Config { subscribers: 0, ..Config::new(Epoch(7)) };
/// assert!(SseState::new(config).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// First part of every event id. Take it from the operating system's randomness.
    pub epoch: Epoch,
    /// Seeds what is spread: heartbeat phases, `retry:` values, lifetimes.
    pub seed: u64,
    /// Keys the hash of names, which come from URLs. Never changes an action.
    pub hash_key: [u64; 2],

    /// Bytes of one request head: 16 KiB. Also the bound on an answer head handed to subscribe.
    pub head_bytes: u32,
    /// Header fields of one request: 64.
    pub head_fields: u32,
    /// Bytes of all unfinished request heads: 16 MiB. Past it the connection is refused.
    pub heads_bytes: u64,
    /// Time for a request head, and for the decision on it: 10 s. Then `HeadTimeout`.
    pub head_timeout: Duration,
    /// Connections without a complete head: 1 024. Past it the oldest is closed as `Evicted`.
    pub openings: u32,
    /// Requests whose head is complete and which wait to be decided: 1 024. Past it they are refused.
    pub deciding: u32,
    /// Bytes of all publish bodies being read: 64 MiB. Past it the request is refused.
    pub bodies_bytes: u64,
    /// Time for a publish body: 10 s. Then `BodyTimeout`.
    pub body_timeout: Duration,

    /// Silence after which a heartbeat is sent: 15 s (WHATWG HTML §9.2.7). A hundred-and-twelfth of it
    /// is the granule of the subscribers' deadlines.
    pub heartbeat: Duration,
    /// Time without an accepted byte after which a stream that has something to write is cut as
    /// `Stalled`: 30 s. Also the total time of a stream that is being ended.
    pub write_timeout: Duration,
    /// Longest life of a stream, spread over its last eighth: none. Then it ends in order.
    pub max_lifetime: Option<Duration>,
    /// Time that a shutdown gives to streams: 5 s. Then the rest is cut.
    pub grace: Duration,
    /// Time for the peer to go after its stream was ended in order: 2 s.
    pub finish_timeout: Duration,
    /// Ended streams that wait for their peer to go: 1 024. Past it the oldest is closed at once.
    pub finishing: u32,

    /// Open streams: 100 000. Past it subscribe is refused.
    pub subscribers: u32,
    /// Open streams of one key: none. Past it subscribe is refused.
    pub streams_per_key: Option<u32>,
    /// Topics of one stream: 16.
    pub topics_per_subscriber: u32,
    /// Topics: 100 000. Past it declare and subscribe are refused.
    pub topics: u32,
    /// Topics that were not declared, of these: 10 000.
    pub topics_by_request: u32,
    /// Bytes of a topic's name: 1 KiB.
    pub name_bytes: u32,

    /// Running sources: 1 024. Past it a subscription that would start one is refused.
    pub sources: u32,
    /// Polls in flight over all sources: 64. Past it polls wait, longest-waiting first.
    pub polls: u32,
    /// Time for one poll: 30 s. Then it counts as failed and the next one replaces it.
    pub poll_timeout: Duration,

    /// Bytes of one encoded frame: 1 MiB. Past it publish is refused.
    pub frame_bytes: u32,
    /// Bytes of all logs: 1 GiB. Past it a publish evicts from its own topic if that makes room,
    /// else it is refused and evicts nothing.
    pub logs_bytes: u64,
    /// Bytes that one write lends: 64 KiB. A larger frame travels alone.
    pub run_bytes: u32,
    /// Bytes kept for streams outside the logs (begun frames, gathered runs, answer heads), each
    /// distinct one once: 64 MiB. Past it single frames are lent; a stream whose begun frame would
    /// still pass it is cut as `Held`.
    pub held_bytes: u64,
    /// How long a member that is blocked still holds up a publisher that waits, after its last
    /// accepted byte: 1 s.
    pub reader_patience: Duration,

    /// Highest generation of a slot; then the slot is retired. For tests; the default is never reached.
    pub generations: u32,
}

impl Config {
    /// The defaults of every bound, with this epoch.
    pub const fn new(epoch: Epoch) -> Config {
        Config {
            epoch,
            seed: 0,
            hash_key: [0, 0],
            head_bytes: 16 << 10,
            head_fields: 64,
            heads_bytes: 16 << 20,
            head_timeout: Duration::from_secs(10),
            openings: 1024,
            deciding: 1024,
            bodies_bytes: 64 << 20,
            body_timeout: Duration::from_secs(10),
            heartbeat: DEFAULT_HEARTBEAT,
            write_timeout: Duration::from_secs(30),
            max_lifetime: None,
            grace: Duration::from_secs(5),
            finish_timeout: Duration::from_secs(2),
            finishing: 1024,
            subscribers: 100_000,
            streams_per_key: None,
            topics_per_subscriber: 16,
            topics: 100_000,
            topics_by_request: 10_000,
            name_bytes: 1024,
            sources: 1024,
            polls: 64,
            poll_timeout: Duration::from_secs(30),
            frame_bytes: 1 << 20,
            logs_bytes: 1 << 30,
            run_bytes: 64 << 10,
            held_bytes: 64 << 20,
            reader_patience: Duration::from_secs(1),
            generations: u32::MAX - 1,
        }
    }

    /// Checks it and fills in the default heartbeat.
    pub(crate) fn checked(mut self) -> Result<Config, ConfigError> {
        if self.heartbeat.is_zero() {
            self.heartbeat = DEFAULT_HEARTBEAT;
        }
        let counts = [
            ("head_bytes", self.head_bytes),
            ("head_fields", self.head_fields),
            ("openings", self.openings),
            ("deciding", self.deciding),
            ("finishing", self.finishing),
            ("subscribers", self.subscribers),
            ("streams_per_key", self.streams_per_key.unwrap_or(1)),
            ("topics_per_subscriber", self.topics_per_subscriber),
            ("topics", self.topics),
            ("topics_by_request", self.topics_by_request),
            ("name_bytes", self.name_bytes),
            ("sources", self.sources),
            ("polls", self.polls),
            ("frame_bytes", self.frame_bytes),
            ("run_bytes", self.run_bytes),
            ("generations", self.generations),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(ConfigError::Zero(field));
            }
        }
        let sizes = [
            ("heads_bytes", self.heads_bytes),
            ("bodies_bytes", self.bodies_bytes),
            ("logs_bytes", self.logs_bytes),
            ("held_bytes", self.held_bytes),
        ];
        for (field, value) in sizes {
            if value == 0 {
                return Err(ConfigError::Zero(field));
            }
        }
        let times = [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("max_lifetime", self.max_lifetime.unwrap_or(Duration::MAX)),
            ("finish_timeout", self.finish_timeout),
            ("poll_timeout", self.poll_timeout),
            ("reader_patience", self.reader_patience),
        ];
        for (field, value) in times {
            if value.is_zero() {
                return Err(ConfigError::Zero(field));
            }
        }
        // Slots are written into 31 bits where a bit tells streams from topics.
        let most = [
            ("subscribers", self.subscribers, TABLE_MAX),
            ("topics", self.topics, TABLE_MAX),
            ("frame_bytes", self.frame_bytes, 1 << 30),
            ("generations", self.generations, u32::MAX - 1),
        ];
        for (field, value, most) in most {
            if value > most {
                return Err(ConfigError::TooLarge(field));
            }
        }
        Ok(self)
    }
}

/// Why a [`Config`] cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// This field is zero.
    Zero(&'static str),
    /// This field is larger than the machine can count.
    TooLarge(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Zero(field) => write!(f, "`{field}` cannot be zero"),
            ConfigError::TooLarge(field) => write!(f, "`{field}` is too large"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// "About every 15 seconds": WHATWG HTML §9.2.7.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);
/// Entries of the largest table.
const TABLE_MAX: u32 = 1 << 28;
