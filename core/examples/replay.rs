//! Replays a journal and prints what the run ended with: `cargo run -p sse-state --example replay FILE`.
//!
//! Every digest in the journal is checked on the way: each line of a pump carries the running digest of all
//! action bytes so far. So a run that is replayed to its end did the same, byte for byte.

use std::process::ExitCode;
use std::{env, fs};

use sse_state::journal::replay;

fn main() -> ExitCode {
    let Some(file) = env::args_os().nth(1) else {
        eprintln!("usage: replay FILE");
        return ExitCode::FAILURE;
    };
    let told = fs::read_to_string(&file)
        .map_err(|error| error.to_string())
        .and_then(|journal| replay(&journal).map_err(|error| error.to_string()));
    match told {
        Ok(replayed) => {
            println!("lines replayed      {}", replayed.lines);
            println!("digest of actions   {:016x}", replayed.actions);
            println!("digest of the state {:016x}", replayed.state);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("replay: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
