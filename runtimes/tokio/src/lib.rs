//! Server-Sent Events on tokio.
//!
//! The whole of [`sse_state_hub`] is re-exported here, and the machine as
//! [`sse_state`]: this crate is the one dependency of a service on tokio.
//!
//! ```no_run
//! use std::time::Duration;
//! use sse_state_tokio::{App, Hub, Polling, Route, listen, serve};
//!
//! # fn read_load() -> std::io::Result<f64> { Ok(0.5) }
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::builder().build()?;
//!     let load = Polling::every(Duration::from_secs(1), || async { read_load() });
//!     let app = App::new(&hub)
//!         .get("/load", Route::topic("load").source(load))
//!         .get("/news", Route::topic("news").history(64))
//!         .post("/news", Route::publish("news").open_to_anyone());
//!     let listener = listen("127.0.0.1:8080").await?;
//!     serve(listener, app).with_graceful_shutdown(tokio::signal::ctrl_c()).await?;
//!     Ok(())
//! }
//! ```

#[cfg(feature = "http-body")]
pub mod mount;
mod runtime;

pub use runtime::{Socket, TcpListener, Tokio, listen, serve};
pub use sse_state_hub::{
    Accepted, Answer, App, AppError, Asked, Bound, BuildError, Busy, CloseReason, Config, Decision,
    Ended, Epoch, Error, Event, EventError, EventId, Fault, Grant, Heartbeat, HubBuilder, HubStats,
    Interest, JournalDigests, JsonError, Listener, Method, Mistake, Name, NoRuntime, OriginRules,
    Params, PollError, Polling, Problem, PublishError, PublishWait, Published, Publisher, Refuse,
    Route, Runtime, Serve, ServeError, Serving, Slow, Source, SourceSpec, Start, Stats, StopReason,
    Stream, StreamEnd, StreamInfo, SubscriberId, Task, Time, Timer, socket, sse_state, to_json,
};

/// A hub on tokio; built inside its runtime.
pub type Hub = sse_state_hub::Hub<Tokio>;

/// The examples of the README, so that they are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The example of the README of this crate, so that it is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeOfTheCrate;
