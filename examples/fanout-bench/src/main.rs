//! The binary: `fanout-bench COMMAND [--option value …]`.

use std::alloc::System;
use std::process::ExitCode;

use fanout_bench::args::Args;
use fanout_bench::figures::Figures;
use fanout_bench::words::Words;
use fanout_bench::{cmd, core_bench, serve};
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
        return Err(cmd::USAGE.to_owned());
    };
    let mut args = Args::parse(words)?;
    // What a command starts for itself.
    if let Some(kind) = command.strip_prefix("serve-") {
        let settings = Words::parse(&args.take("settings", String::new())?);
        args.finish()?;
        return serve::run(kind, &settings).map(|()| true);
    }
    if command == "once-more" {
        return core_bench::once_more(args).map(|()| true);
    }
    let mut figures = Figures::new();
    cmd::run(&command, args, &mut figures)?;
    Ok(figures.all_met())
}
