//! Building a hub: every bound, and every setting that is closed by default.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sse_state::http::{Busy, OriginRules};
use sse_state::journal::Recorder;
use sse_state::{Config, ConfigError, Engine, Epoch, SseState};

use crate::foreign::Foreign;
use crate::hooks::{Hooks, StreamEnd, StreamInfo};
use crate::hub::Hub;
use crate::record::{self, Journal};
use crate::runtime::{NoRuntime, Runtime};
use crate::shared::{Machine, Parts, Settings, Shared};
use crate::supervisor::Supervisor;
use crate::timer::TimerTask;
use crate::worker::Worker;

/// A hub in the making. Every bound of DESIGN §6 has its default and its setter; zero is refused, except
/// where a setter says otherwise.
#[must_use = "a builder does nothing until `build`"]
pub struct HubBuilder<R> {
    config: Config,
    allowed_hosts: Vec<String>,
    cors: OriginRules,
    busy: Busy,
    hooks: Hooks,
    record: Option<Record>,
    workers: Option<usize>,
    engine: Option<MakeEngine>,
    runtime: PhantomData<fn() -> R>,
}

/// Makes an engine of the configuration.
type MakeEngine = Box<dyn FnOnce(Config) -> Box<dyn Engine + Send> + Send>;

enum Record {
    File(PathBuf),
    Writer(Box<dyn Write + Send>),
}

/// A setter of a bound, under the name of its field.
macro_rules! bounds {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            pub fn $field(mut self, $field: $type) -> HubBuilder<R> {
                self.config.$field = $field;
                self
            }
        )*
    };
}

impl<R> HubBuilder<R> {
    /// Takes all bounds, the epoch and the seeds from this configuration, instead of the defaults and the
    /// operating system's randomness.
    pub fn config(mut self, config: Config) -> HubBuilder<R> {
        self.config = config;
        self
    }

    bounds! {
        /// Bytes of one request head: 16 KiB.
        head_bytes: u32,
        /// Header fields of one request: 64.
        head_fields: u32,
        /// Bytes of all unfinished request heads: 16 MiB. Past it a connection is refused.
        heads_bytes: u64,
        /// Time for a request head and the decision on it: 10 s.
        head_timeout: Duration,
        /// Connections without a complete head: 1 024. Past it the oldest is cut.
        openings: u32,
        /// Requests that wait for their hook: 1 024. Past it they are refused.
        deciding: u32,
        /// Bytes of all publish bodies that are being read: 64 MiB. Past it requests are refused.
        bodies_bytes: u64,
        /// Time for the body of a publish: 10 s.
        body_timeout: Duration,
        /// Silence after which a stream gets a heartbeat: 15 s, which zero means, too.
        heartbeat: Duration,
        /// Time without an accepted byte after which a stream that has something to read is cut: 30 s.
        write_timeout: Duration,
        /// Longest life of a stream, of which the last eighth is spread: none.
        max_lifetime: Option<Duration>,
        /// Time that a shutdown gives to streams: 5 s; may be zero.
        grace: Duration,
        /// Time for a peer to go whose stream was ended in order: 2 s.
        finish_timeout: Duration,
        /// Ended streams that wait for their peers: 1 024. Past it the oldest is closed.
        finishing: u32,
        /// Open streams: 100 000. Past it they are refused.
        subscribers: u32,
        /// Open streams of one key: no bound.
        streams_per_key: Option<u32>,
        /// Topics of one stream: 16.
        topics_per_subscriber: u32,
        /// Topics: 100 000.
        topics: u32,
        /// Topics that only requests name, of these: 10 000.
        topics_by_request: u32,
        /// Bytes of the name of a topic: 1 KiB.
        name_bytes: u32,
        /// Running sources: 1 024. Past it streams that would start one are refused.
        sources: u32,
        /// Polls in flight over all sources: 64. Past it they wait, longest-waiting first.
        polls: u32,
        /// Time for one poll: 30 s. Then it has failed, and the next one replaces it.
        poll_timeout: Duration,
        /// Bytes of one event as sent: 1 MiB. Past it a publish is refused.
        frame_bytes: u32,
        /// Bytes of all logs: 1 GiB.
        logs_bytes: u64,
        /// Bytes of one write: 64 KiB. A larger event travels alone.
        run_bytes: u32,
        /// Bytes kept for streams outside the logs: 64 MiB.
        held_bytes: u64,
        /// How long a stream that takes nothing holds up a publisher that waits: 1 s.
        reader_patience: Duration,
    }

    /// Hosts that are served on loopback addresses beside `localhost`, `*.localhost`, `127.0.0.0/8` and
    /// `[::1]` (WIRE §2): the name that a local proxy passes on, for instance. Without a port: any port.
    pub fn allowed_hosts<I>(mut self, hosts: I) -> HubBuilder<R>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.allowed_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Pages of which origins may read and publish beside those of the server's own: none (WIRE §2, §3).
    pub fn cors(mut self, rules: OriginRules) -> HubBuilder<R> {
        self.cors = rules;
        self
    }

    /// What a stream gets for which there is no room: [`Busy::Auto`].
    pub fn busy(mut self, busy: Busy) -> HubBuilder<R> {
        self.busy = busy;
        self
    }

    /// Is called after a stream was opened; in a task, one call after the other. It may use the hub. It must
    /// not block: sources start in the same task, and while twice as many calls wait as there may be streams
    /// (and 1 024), streams are refused as for want of room.
    pub fn on_open(mut self, hook: impl Fn(&StreamInfo) + Send + Sync + 'static) -> HubBuilder<R> {
        self.hooks.on_open = Some(Arc::new(hook));
        self
    }

    /// Is called after a stream has ended; in the same task as [`on_open`](HubBuilder::on_open), whose rules
    /// it shares.
    pub fn on_close(
        mut self,
        hook: impl Fn(&StreamInfo, StreamEnd) + Send + Sync + 'static,
    ) -> HubBuilder<R> {
        self.hooks.on_close = Some(Arc::new(hook));
        self
    }

    /// Records the run into this file, which only its owner may read: it holds everything that was
    /// published. What was there is overwritten.
    pub fn record(mut self, path: impl AsRef<Path>) -> HubBuilder<R> {
        self.record = Some(Record::File(path.as_ref().to_owned()));
        self
    }

    /// Records the run into a writer.
    pub fn record_to(mut self, writer: impl Write + Send + 'static) -> HubBuilder<R> {
        self.record = Some(Record::Writer(Box::new(writer)));
        self
    }

    /// Workers that move bytes: as many as the runtime has threads. At least one.
    pub fn workers(mut self, workers: usize) -> HubBuilder<R> {
        self.workers = Some(workers.max(1));
        self
    }

    /// Drives this engine instead of a new [`SseState`], and records nothing. For tests that watch the
    /// hub and its engine at their boundary, or break one of them on purpose.
    #[doc(hidden)]
    pub fn engine<F>(mut self, make: F) -> HubBuilder<R>
    where
        F: FnOnce(Config) -> Box<dyn Engine + Send> + Send + 'static,
    {
        self.engine = Some(Box::new(make));
        self
    }
}

impl<R: Runtime> HubBuilder<R> {
    pub(crate) fn new() -> HubBuilder<R> {
        HubBuilder {
            config: random_config(),
            allowed_hosts: Vec::new(),
            cors: OriginRules::same_origin(),
            busy: Busy::Auto,
            hooks: Hooks::default(),
            record: None,
            workers: None,
            engine: None,
            runtime: PhantomData,
        }
    }

    /// Builds the hub, and spawns its workers, its timer and its supervisor in the runtime around the
    /// caller.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Hub<R>, BuildError> {
        let runtime = R::enter().map_err(BuildError::NoRuntime)?;
        self.build_on(runtime)
    }

    /// Builds the hub on a runtime of the caller's own.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build_on(self, runtime: R) -> Result<Hub<R>, BuildError> {
        let workers = self.workers.unwrap_or_else(|| runtime.workers()).max(1);
        let config = self.config;
        let settings = Settings {
            allowed_hosts: self.allowed_hosts,
            cors: self.cors,
            busy: self.busy,
            seed: config.seed,
            frame_bytes: config.frame_bytes as usize,
            openings: config.openings,
            head_bytes: config.head_bytes as usize,
            head_fields: config.head_fields as usize,
            name_bytes: config.name_bytes as usize,
            // The machine's own reason comes first (WIRE §8).
            head_timeout: config.head_timeout,
            body_timeout: config.body_timeout,
            deciding: config.deciding,
            user_timeout: config.write_timeout + KERNEL_AFTER,
            polls: config.polls as usize,
            // The opening and the end of every stream that there may be, and a few.
            untold: 2 * config.subscribers as usize + UNTOLD_SPARE,
            workers,
        };
        let state = SseState::new(config.clone()).map_err(BuildError::Config)?;
        let (engine, journal): (Box<dyn Machine>, _) = match (self.engine, self.record) {
            (Some(make), _) => (Box::new(Foreign(make(config))), None),
            (None, None) => (Box::new(state), None),
            (None, Some(record)) => {
                let writer = match record {
                    Record::File(path) => record::create(&path).map_err(BuildError::Journal)?,
                    Record::Writer(writer) => writer,
                };
                let (journal, lines) = Journal::new(writer);
                (Box::new(Recorder::new(state, lines)), Some(journal))
            }
        };
        let shared = Arc::new(Shared::new(Parts {
            engine,
            runtime: Box::new(runtime),
            settings,
            hooks: self.hooks,
            journal,
        }));
        for number in 0..workers {
            let worker = Worker::new(Arc::clone(&shared), number);
            shared.runtime.spawn_worker(Box::pin(worker));
        }
        let timer = TimerTask::new(Arc::clone(&shared));
        shared.runtime.spawn(Box::pin(timer));
        let supervisor = Supervisor::new(Arc::clone(&shared));
        shared.runtime.spawn(Box::pin(supervisor));
        Ok(Hub::new(shared))
    }
}

impl<R> fmt::Debug for HubBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Why a hub was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A bound that cannot be.
    Config(ConfigError),
    /// The journal cannot be written.
    Journal(io::Error),
    /// Not inside a runtime.
    NoRuntime(NoRuntime),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Config(error) => error.fmt(f),
            BuildError::Journal(error) => write!(f, "cannot write the journal: {error}"),
            BuildError::NoRuntime(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

/// The defaults, with an epoch and seeds from the operating system, through the one door to its
/// randomness that std has: the keys of `RandomState`.
fn random_config() -> Config {
    let keys = RandomState::new();
    let number = |which: u64| {
        let mut hasher = keys.build_hasher();
        hasher.write_u64(which);
        hasher.finish()
    };
    Config {
        seed: number(1),
        hash_key: [number(2), number(3)],
        ..Config::new(Epoch(number(0)))
    }
}

/// What waits for the supervisor, beside streams: starts, stops and polls of sources.
const UNTOLD_SPARE: usize = 1024;
/// How much longer than the machine the kernel waits for a peer.
const KERNEL_AFTER: Duration = Duration::from_secs(5);
