//! Server-Sent Events on async-std, for existing applications.
//!
//! The whole of [`sse_state_hub`] is re-exported here, and the machine as
//! [`sse_state`]: this crate is the one dependency of a service on async-std.
//!
//! ```no_run
//! use std::time::Duration;
//! use sse_state_async_std::{App, Hub, Polling, Route, listen, serve};
//!
//! # fn read_load() -> std::io::Result<f64> { Ok(0.5) }
//! # fn ctrl_c() -> std::future::Pending<()> { std::future::pending() }
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     async_std::task::block_on(async {
//!         let hub = Hub::builder().build()?;
//!         let load = Polling::every(Duration::from_secs(1), || async { read_load() });
//!         let app = App::new(&hub)
//!             .get("/load", Route::topic("load").source(load))
//!             .get("/news", Route::topic("news").history(64))
//!             .post("/news", Route::publish("news").open_to_anyone());
//!         let listener = listen("127.0.0.1:8080").await?;
//!         serve(listener, app).with_graceful_shutdown(ctrl_c()).await?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! async-std is discontinued (RUSTSEC-2025-0052): its own advice is to move to smol, which takes the crate
//! `sse-state-smol` and these same lines with other names. So nothing else of this project depends on this
//! crate.

mod runtime;

pub use runtime::{AsyncStd, listen, serve};
pub use sse_state_hub::async_io::{Socket, TcpListener};
pub use sse_state_hub::{
    Accepted, Answer, App, AppError, Asked, Bound, BuildError, Busy, CloseReason, Config, Decision,
    Ended, Epoch, Error, Event, EventError, EventId, Fault, Grant, Heartbeat, HubBuilder, HubStats,
    Interest, JournalDigests, JsonError, Listener, Method, Mistake, Name, NoRuntime, OriginRules,
    Params, PollError, Polling, Problem, PublishError, PublishWait, Published, Publisher, Refuse,
    Route, Runtime, Serve, ServeError, Serving, Slow, Source, SourceSpec, Start, Stats, StopReason,
    Stream, StreamEnd, StreamInfo, SubscriberId, Task, Time, Timer, socket, sse_state, to_json,
};

/// A hub on async-std.
pub type Hub = sse_state_hub::Hub<AsyncStd>;

/// The example of the README of this crate, so that it is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeOfTheCrate;
