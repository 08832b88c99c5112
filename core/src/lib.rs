//! A deterministic sans-IO state machine for Server-Sent Events.
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
