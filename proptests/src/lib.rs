//! A naive model of `sse-state`, a scenario generator, and the rules that both must obey.
//!
//! Everything is generic over [`sse_state::Engine`]: an engine is put through [`scenario`]s by a
//! [`world`] of obedient sockets, which leaves a [`trace`].
//!
//! Authors of event loops put theirs through [`sweep`]: scripted IO, and the duties of a driver, by id.
//! `docs/check-your-loop.md` shows how, in ten minutes.

#[macro_use]
mod macros;

pub mod check;
pub mod checked;
pub mod choice;
pub mod closure;
pub mod compare;
pub mod faulty;
pub mod fuzz;
pub mod journal;
pub mod matrix;
pub mod model;
pub mod other;
mod panics;
pub mod part;
pub mod proof;
pub mod reference;
pub mod relations;
pub mod rules;
pub mod scenario;
pub mod script;
pub mod sim;
pub mod suite;
pub mod sweep;
pub mod trace;
pub mod wire;
pub mod wire_rules;
pub mod world;
