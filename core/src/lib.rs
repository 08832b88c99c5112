//! A deterministic sans-IO state machine for Server-Sent Events.
//!
//! [`SseState`] is the whole of a server that pushes live state to many browsers, but for the part that touches
//! the world: topics with their logs, streams with their positions in them, sources that feed topics while
//! somebody listens, every deadline, every bound, resume and shutdown. It opens no socket, reads no clock,
//! starts no thread and draws no random number. A *driver* does that: it feeds what has happened and executes
//! what is asked for.
//!
//! ```text
//!   bytes, clock, publishes, poll results          actions: write, close, start / stop source, poll
//!   ────────────────── inputs ────────────────▶ SseState ───────────── actions ──────────────▶
//! ```
//!
//! A service on an async runtime takes a driver that is there: the crate `sse-state-tokio`. This crate is for
//! whoever writes another one, and for whoever wants to know what the machine promises.
//!
//! # The loop
//!
//! A driver repeats three steps. **Feed** what has happened, each input with the time of now. **Pump** until
//! the machine is idle, and execute the actions as they come. **Wait** for the next event, at most until
//! [`poll_timeout`](SseState::poll_timeout).
//!
//! Here is one whole driver. Its sockets are buffers and its clock is a number, so that it runs as a test; with
//! real ones only the bodies of `write` and `control` change.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::time::Duration;
//! use sse_state::*;
//!
//! /// What touches the world.
//! #[derive(Default)]
//! struct World {
//!     /// What was written to whom.
//!     sockets: BTreeMap<SubscriberId, Vec<u8>>,
//!     /// The poll that is to be made.
//!     poll: Option<(SourceToken, u64)>,
//! }
//!
//! impl Sink for World {
//!     fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
//!         let Some(socket) = self.sockets.get_mut(&id) else { return Answer::Gone };
//!         // `socket.write(&run)`: all of it, or `Blocked` after so many bytes; an error is `Gone`.
//!         socket.extend_from_slice(&run);
//!         Answer::All
//!     }
//!
//!     fn control(&mut self, control: Control) {
//!         match control {
//!             // Shut the write side; read and drop what still comes in.
//!             Control::Finish { .. } => {}
//!             // Close it; reset it if `ending` is `Cut`. No action names this id after this one.
//!             Control::Close { id, .. } => drop(self.sockets.remove(&id)),
//!             // Start and stop whatever feeds the topic. Nobody waits for it.
//!             Control::StartSource { .. } => {}
//!             Control::StopSource { .. } => self.poll = None,
//!             // Call the function; a poll of the same source that is not finished is dropped.
//!             Control::Poll { token, number, .. } => self.poll = Some((token, number)),
//!             // Only for streams in a framework's body, and for publishes that were told to wait.
//!             Control::Wake { .. } | Control::Room { .. } => {}
//!         }
//!     }
//! }
//!
//! struct Driver {
//!     state: SseState,
//!     world: World,
//!     now: Time,
//! }
//!
//! impl Driver {
//!     /// Feeds one input, and executes what follows from it.
//!     fn feed(&mut self, input: Input<'_>) -> Result<Reply, Error> {
//!         let reply = self.state.apply(self.now, input);
//!         while self.state.pump(256, &mut self.world) == Pumped::More {
//!             // Work is left: a good moment to look at sockets again.
//!         }
//!         reply
//!     }
//!
//!     /// Waits until the next deadline. (A driver waits for sockets and publishers as well.)
//!     fn wait(&mut self) {
//!         if let Some(at) = self.state.poll_timeout() {
//!             self.now = at;
//!             self.feed(Input::Timeout).unwrap();
//!         }
//!     }
//! }
//!
//! let state = SseState::new(Config::new(Epoch(7))).unwrap();
//! let mut driver = Driver { state, world: World::default(), now: Time::ZERO };
//!
//! // The author of the service: a topic that is polled every second while somebody listens.
//! let load = Name::new("/load").unwrap();
//! let options = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
//! driver.feed(Input::Declare { topic: load.clone(), options: options.into() }).unwrap();
//! assert_eq!(driver.world.poll, None, "nobody listens");
//!
//! // A connection comes, and its request asks for the topic.
//! let Ok(Reply::Id(id)) = driver.feed(Input::Accept) else { panic!() };
//! driver.world.sockets.insert(id, Vec::new());
//! let mut subscribe = Subscribe::new(Via::Connection(id), load);
//! subscribe.head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".into();
//! subscribe.retry = false;
//! driver.feed(Input::Subscribe(Box::new(subscribe))).unwrap();
//! assert!(driver.world.sockets[&id].ends_with(b"\r\n\r\n:\n\n"), "its first bytes, at once");
//!
//! // It is the first subscriber, so the source was started, and polled at once.
//! for value in ["0.5", "0.5", "0.7"] {
//!     let (token, number) = driver.world.poll.take().unwrap();
//!     let frame = Event::new(value).encode().unwrap();
//!     let outcome = PollOutcome::Frame(frame);
//!     driver.feed(Input::PollResult { token, number, outcome, next: Next::GoOn }).unwrap();
//!     driver.wait();
//! }
//! assert!(driver.world.sockets[&id].ends_with(b":\n\ndata: 0.5\n\ndata: 0.7\n\n"), "once each");
//!
//! // It goes, as the last one: the source is stopped.
//! driver.world.sockets.remove(&id);
//! driver.feed(Input::PeerGone { id }).unwrap();
//! assert_eq!(driver.world.poll, None);
//! let stats = driver.state.stats();
//! assert_eq!((stats.sources_started, stats.sources_stopped), (1, 1));
//!
//! // And the end.
//! driver.feed(Input::Shutdown { grace: None, cause: ShutdownCause::Asked }).unwrap();
//! assert!(driver.state.is_terminated());
//! ```
//!
//! # Inputs
//!
//! Each input is a method of [`SseState`] and a variant of [`Input`], which [`apply`](SseState::apply) takes:
//! for journals, for tests, and for whoever likes one door better than twenty.
//!
//! | what has happened | input |
//! |---|---|
//! | a topic is part of the service | [`declare`](SseState::declare) |
//! | a connection; its head is complete; its body is to be read | [`accept`](SseState::accept), [`head_done`](SseState::head_done), [`body`](SseState::body) |
//! | it is answered with bytes, and ends | [`answer`](SseState::answer) |
//! | it becomes a stream | [`subscribe`](SseState::subscribe) |
//! | an event | [`publish`](SseState::publish); of a source, [`feed`](SseState::feed), [`poll_result`](SseState::poll_result) |
//! | a source has ended, or is to | [`source_ended`](SseState::source_ended), [`stop_source`](SseState::stop_source) |
//! | a run in flight has landed; a socket has room | [`report`](SseState::report), [`writable`](SseState::writable) |
//! | a stream is to end; a principal loses access | [`close`](SseState::close), [`close_key`](SseState::close_key) |
//! | the peer is gone | [`peer_gone`](SseState::peer_gone) |
//! | time has passed | [`handle_timeout`](SseState::handle_timeout) |
//! | the service ends | [`shutdown`](SseState::shutdown) |
//!
//! An input never emits: it marks what is dirty, and the next action is computed when it is pulled. So inputs
//! may come in any order and as often as they like before anything is pulled, and a start and a stop that
//! nobody has pulled cancel out.
//!
//! # Actions, and who keeps the bytes
//!
//! [`pump`](SseState::pump) hands writes to [`Sink::write`] and everything else to [`Sink::control`];
//! [`poll_action`](SseState::poll_action) hands out one [`Action`] at a time. Control comes before data, and
//! data is fair: a topic's members in rounds, everybody's turn at most one [`run`](Config::run_bytes).
//!
//! A write *lends* one contiguous [`Run`]. The machine keeps the bytes, and the position moves by exactly what
//! the executor says was accepted:
//!
//! - [`Answer::All`], or [`Answer::Blocked`] after so many bytes: then nothing more is lent until
//!   [`writable`](SseState::writable). There is nothing for the driver to buffer.
//! - [`Answer::InFlight`]: the executor keeps a reference ([`Run::to_bytes`]), which is no copy, and says later
//!   by [`report`](SseState::report) what became of it. This is how writes are batched: pump under a lock,
//!   write without it, report with the next batch.
//! - [`Answer::Gone`]: the id is dead at once.
//!
//! # Time
//!
//! [`Time`] is a number of nanoseconds that the driver counts from wherever it likes. It never goes back: an
//! older `now` counts as the last one. While work is queued `poll_timeout` is now; else it is at most a
//! hundredth of a heartbeat after the least deadline, so one timer serves any number of streams. Early and
//! spurious timeouts change nothing, and a late one fires everything once.
//!
//! # Promises
//!
//! - No call panics, whatever its arguments. A dead id or token is [`Error::Stale`], never somebody else's: ids
//!   are never handed out twice.
//! - An `Err` leaves the machine as it was, its clock included. (One exception: [`Error::Wait`] remembers that
//!   room is wanted.)
//! - Everything is bounded by [`Config`]; past a bound there is a typed error or a named policy, and a counter
//!   in [`Stats`]. A running stream is never closed to make room.
//! - Nothing is allocated per delivery. A publish allocates its frame once, for everybody; a subscriber that
//!   does not read costs nothing per publish.
//! - The same calls give the same actions, byte for byte. A run can be recorded and replayed: [`journal`].
//!
//! # Where to look
//!
//! [`TopicOptions`] has what an author chooses for a topic: source, history, dedupe, what happens to the slow.
//! [`Subscribe`] has what one stream chooses: where it starts, heartbeat, grant. [`Event`] is what is
//! published, and says what cannot be. `http` (a feature, on by default) reads request heads and renders
//! answers. [`Engine`] is the surface that drivers and tests are generic over. The folder `docs` of the
//! repository has the design, what goes over the wire, and the tests that prove it; its page `check-your-loop.md`
//! puts a driver of your own through its duties, with every fault at every IO call.
#![no_std]
extern crate alloc;

mod action;
mod config;
mod engine;
mod error;
mod frame;
mod hash;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod index;
mod input;
pub mod journal;
mod list;
mod log;
mod name;
mod options;
mod run;
mod state;
mod stats;
mod subscriber;
mod time;
mod topic;
mod wheel;

pub use action::{Action, Answer, CloseReason, Control, Ending, Pumped, Run, Sink, StopReason};
pub use config::{Config, ConfigError};
pub use engine::Engine;
pub use error::{Bound, Error};
pub use frame::{Event, EventError, Frame};
pub use id::{Epoch, EventId, SourceToken, SubscriberId};
pub use input::{
    CloseHow, Heartbeat, Input, Interest, Join, Next, PollOutcome, Published, Pulled, Reply,
    Report, Room, ShutdownCause, Socket, SourceEnd, Start, Subscribe, Via,
};
pub use name::{Name, NameError};
pub use options::{OptionsError, Slow, SourceKind, TopicOptions};
pub use state::SseState;
pub use stats::Stats;
pub use time::Time;
