//! What all of a hub's tasks and handles share: the machine behind its one lock, and the bells.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Busy, OriginRules};
use sse_state::{Engine, Error, Input, Reply, ShutdownCause, SubscriberId, Time};

use crate::hooks::Hooks;
use crate::record::Journal;
use crate::runtime::Runtime;
use crate::signal::{Bell, Ready, Signal, lock};
use crate::sources::Sources;
use crate::stats::Counters;
use crate::supervisor::Event;
use crate::table::Table;
use crate::wait::Waiters;

/// Everything behind the lock.
pub(crate) struct Inner {
    pub(crate) engine: Box<dyn Machine>,
    pub(crate) table: Table,
    /// Who waits for room, by topic.
    pub(crate) waiters: Waiters,
    /// What feeds which topic.
    pub(crate) sources: Sources,
    /// What the supervisor is to do, in the order in which the machine said so.
    pub(crate) events: VecDeque<Event>,
    /// What the timer task knows.
    pub(crate) deadline: Option<Time>,
    /// Batches that workers have taken and not brought back.
    pub(crate) batches: usize,
    /// A shutdown has begun.
    pub(crate) closing: bool,
    /// It was asked for, and not the last handle dropped.
    pub(crate) asked_to_end: bool,
    /// How it ends.
    pub(crate) end: End,
}

/// The end of a hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    NotYet,
    /// The machine is done; the supervisor has callbacks left.
    Machine,
    /// Everything is done.
    All,
}

/// An engine that a hub can drive.
pub(crate) trait Machine: Engine + Send {
    /// The running digest of its action bytes, if it records.
    fn actions(&self) -> Option<u64> {
        None
    }
}

/// What is fixed when a hub is built, and what is not behind the lock.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) signal: Arc<Signal>,
    pub(crate) ready: Arc<Ready>,
    /// Rings when the timer has to be set anew.
    pub(crate) timer: Bell,
    /// Rings when the supervisor has something to do.
    pub(crate) supervisor: Bell,
    /// Rings when a shutdown begins, and when it is complete.
    pub(crate) end: Bell,
    pub(crate) settings: Settings,
    pub(crate) hooks: Hooks,
    pub(crate) counters: Counters,
    pub(crate) journal: Option<Journal>,
    spread: AtomicU64,
}

/// What the hub itself has to know of its configuration.
pub(crate) struct Settings {
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) cors: OriginRules,
    pub(crate) busy: Busy,
    pub(crate) seed: u64,
    pub(crate) frame_bytes: usize,
    pub(crate) openings: u32,
    pub(crate) head_bytes: usize,
    pub(crate) head_fields: usize,
    pub(crate) name_bytes: usize,
    pub(crate) user_timeout: Duration,
    pub(crate) polls: usize,
    /// Events that may wait for the supervisor before streams are refused.
    pub(crate) untold: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) deciding: u32,
    pub(crate) workers: usize,
}

/// What a hub is made of.
pub(crate) struct Parts {
    pub(crate) engine: Box<dyn Machine>,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) settings: Settings,
    pub(crate) hooks: Hooks,
    pub(crate) journal: Option<Journal>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Shared {
        let signal = Arc::new(Signal::new(parts.settings.workers));
        Shared {
            inner: Mutex::new(Inner {
                engine: parts.engine,
                table: Table::default(),
                waiters: Waiters::default(),
                sources: Sources::default(),
                events: VecDeque::new(),
                deadline: None,
                batches: 0,
                closing: false,
                asked_to_end: false,
                end: End::NotYet,
            }),
            ready: Arc::new(Ready::new(Arc::clone(&signal))),
            signal,
            runtime: parts.runtime,
            timer: Bell::default(),
            supervisor: Bell::default(),
            end: Bell::default(),
            spread: AtomicU64::new(parts.settings.seed),
            settings: parts.settings,
            hooks: parts.hooks,
            counters: Counters::default(),
            journal: parts.journal,
        }
    }

    /// The lock. Held for bounded work only: never across a system call, an await, or a user's code.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    pub(crate) fn now(&self) -> Time {
        self.runtime.now()
    }

    /// Feeds one input, and has a worker look at what follows from it.
    pub(crate) fn apply(&self, input: Input<'_>) -> Result<Reply, Error> {
        let now = self.now();
        let reply = self.lock().engine.apply(now, input);
        if reply.is_ok() {
            self.signal.raise();
        }
        reply
    }

    /// Answers a request with bytes. If there is no room for them the connection is cut.
    pub(crate) fn answer(&self, id: SubscriberId, bytes: Bytes) {
        match self.apply(Input::Answer { id, bytes }) {
            Ok(_) | Err(Error::Stale) => {}
            Err(_) => {
                let how = sse_state::CloseHow::Cut;
                // It may have gone meanwhile.
                let _ = self.apply(Input::Close { id, how });
            }
        }
    }

    /// Begins the end.
    pub(crate) fn shut_down(&self, grace: Option<Duration>, cause: ShutdownCause) {
        let now = self.now();
        let waiting = {
            let mut inner = self.lock();
            if !inner.closing {
                inner.asked_to_end = cause == ShutdownCause::Asked;
            }
            inner.closing = true;
            // It cannot fail: a second one changes nothing.
            let _ = inner.engine.apply(now, Input::Shutdown { grace, cause });
            inner.waiters.take_all()
        };
        for waker in waiting {
            waker.wake();
        }
        self.signal.raise();
        self.end.ring();
    }

    /// A number that differs from call to call, for values that are spread.
    pub(crate) fn spread(&self, below: u64) -> u64 {
        let step = self
            .spread
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        // SplitMix64's finalizer.
        let mut mixed = step ^ (step >> 30);
        mixed = mixed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}
