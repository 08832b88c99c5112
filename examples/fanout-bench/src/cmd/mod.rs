//! The commands: each prints its figures and judges them.

mod crowd;
mod drain;
mod pace;
mod replay;
mod saturate;
mod soak;
mod stalled;
mod streams;

use crate::args::Args;
use crate::core_bench;
use crate::figures::Figures;

/// Runs a command.
///
/// # Errors
/// A text for the user; missed bars are in the figures.
pub fn run(command: &str, args: Args, figures: &mut Figures) -> Result<(), String> {
    match command {
        "core" => core_bench::run(args, figures),
        "budget" => core_bench::budget(args, figures),
        "paced" => pace::paced(args, figures),
        "burst" => pace::burst(args, figures),
        "streams" => streams::run(args, figures),
        "stalled" => stalled::run(args, figures),
        "drain" => drain::run(args, figures),
        "soak" => soak::run(args, figures),
        "replay" => replay::run(args, figures),
        "saturate" => saturate::run(args, figures),
        other => Err(format!("`{other}` is not a command\n{USAGE}")),
    }
}

/// What there is.
pub const USAGE: &str = "\
usage: fanout-bench COMMAND [--option value …]
  core       the machine without IO: ns per write, publish, connect …; bytes per stream
  budget     instructions and allocations of each of these steps against budget.txt
  paced      CPU per delivery on each runtime, io_uring, axum against a bare send() loop, 25 events a second
  burst      the same on tokio in bursts of ten
  streams    10 000 streams: every event in order, memory per stream
  stalled    one of 1 000 never reads: the others do not notice, it is told or cut
  drain      SIGTERM with 1 000 streams: all end in order
  soak       connects, stalls, publishes, resumes at random
  replay     a run under load is recorded and replayed, byte for byte
  saturate   as fast as there is room, nothing lost";
