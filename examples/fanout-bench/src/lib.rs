//! Load, soak and benchmarks of `sse-state`.
//!
//! One binary with subcommands, see the README. The server is a child process of the same binary, so that
//! each side has its own descriptors and its own CPU time. Every check prints its figures, one a line, and the process
//! exits with 1 when a bar is missed.

pub mod alloc;
pub mod args;
pub mod chunks;
pub mod clock;
pub mod cmd;
pub mod core_bench;
pub mod figures;
pub mod follow;
pub mod load;
pub mod payload;
pub mod random;
pub mod serve;
pub mod server;
pub mod side;
pub mod sse;
pub mod stream;
pub mod words;
