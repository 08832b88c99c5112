//! The runtime-neutral server around [`sse_state`]: hub, routes, connections, polling.
//!
//! A service takes the crate of its runtime, `sse-state-tokio` for instance, which re-exports all of this.
//! Whoever brings another runtime implements [`Runtime`], [`Timer`], [`Stream`] and [`Listener`], about
//! 150 lines.
//!
//! How it works: the machine stands behind one lock. A few workers pump it: under the lock they report
//! what became of the last batch of writes and take the next, without it they write and read. A connection
//! is an entry of a table with a waker, not a task; a timer task tells the machine the time, a supervisor
//! runs whatever a user has written. Nothing of that is ever done under the lock.

mod app;
#[cfg(feature = "async-io")]
pub mod async_io;
mod authorize;
mod builder;
mod conn;
mod decide;
mod feed;
mod foreign;
mod hooks;
mod hub;
mod json;
mod mount;
mod open;
mod polling;
mod publish;
mod reader;
mod record;
mod route;
mod runtime;
mod serve;
mod shared;
mod signal;
mod site;
pub mod socket;
mod source;
mod sources;
mod stats;
mod supervisor;
mod table;
mod task;
mod timer;
mod trace;
mod wait;
mod worker;

pub use app::{App, AppError, Fault, Problem};
pub use authorize::{Asked, Decision, Grant, Refuse};
pub use builder::{BuildError, HubBuilder};
pub use hooks::{StreamEnd, StreamInfo};
pub use hub::{Ended, Hub, JournalDigests};
pub use json::{JsonError, to_json};
pub use mount::{Ask, Cut, Decided, Mount, Publish, Subscription};
pub use polling::{PollError, Polling};
pub use publish::{PublishError, PublishWait, Publisher};
pub use route::{Mistake, Params, Route, SourceSpec};
pub use runtime::{Accepted, Listener, NoRuntime, Runtime, Stream, Task, Timer};
pub use serve::{Serve, ServeError, Serving, serve};
pub use source::Source;
pub use sse_state;
pub use sse_state::http::{Answer, Busy, Method, OriginRules};
pub use sse_state::{
    Bound, CloseReason, Config, Epoch, Error, Event, EventError, EventId, Heartbeat, Interest,
    Name, Published, Slow, Start, Stats, StopReason, SubscriberId, Time,
};
pub use stats::HubStats;
