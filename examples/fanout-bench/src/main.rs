//! The binary: `fanout-bench COMMAND [--option value …]`.

use std::alloc::System;
use std::process::ExitCode;

use fanout_bench::args::Args;
use fanout_bench::core_bench;
use fanout_bench::figures::Figures;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fanout-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that was checked holds.
fn run() -> Result<bool, String> {
    let mut words = std::env::args().skip(1);
    let Some(command) = words.next() else {
        return Err(USAGE.to_owned());
    };
    let args = Args::parse(words)?;
    let mut figures = Figures::new();
    match command.as_str() {
        "core" => core_bench::run(args, &mut figures)?,
        other => return Err(format!("`{other}` is not a command\n{USAGE}")),
    }
    Ok(figures.all_met())
}

const USAGE: &str = "\
usage: fanout-bench COMMAND [--option value …]
  core       the machine without IO: ns per write, publish, subscribe; bytes per stream";
