//! For `.ci/journals`: built with a planted bug, searches the smallest journal that shows it.
//!
//! `journals serve` answers what the machine of its build does with journals. `journals search RIGHT
//! SECONDS CALLS` asks the program RIGHT, of a build without the bug, and prints what it finds;
//! `journals shows FILE` says whether a journal still shows the bug. `journals record SEED OPERATIONS`
//! prints a scenario as the machine's recorder writes it, which is how `core/tests/recorded.journal` was made.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use sse_state_proptests::journal::differ::{Other, search, serve, told};
use sse_state_proptests::journal::{Journal, recorded, taped};
use sse_state_proptests::suite::{Real, scenario};

fn main() -> ExitCode {
    // A machine with a bug may panic as often as it likes.
    std::panic::set_hook(Box::new(|_| {}));
    match task() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("journals: {error}");
            ExitCode::from(2)
        }
    }
}

fn task() -> io::Result<bool> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve"] => serve().map(|()| true),
        ["search", right, seconds, calls] => {
            let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
            let until = Instant::now() + Duration::from_secs(number(seconds)?);
            let other = Other::start(Path::new(right))?;
            let found = search(&other, number(calls)? as usize, until)?;
            if let Some(journal) = &found {
                print!("{journal}");
            }
            Ok(found.is_some())
        }
        ["shows", file] => {
            let journal = Journal::parse(&fs::read_to_string(file)?).map_err(io::Error::other)?;
            let (here, first) = told(&journal);
            if let Some(broken) = &first {
                println!("{broken}");
            }
            let actions = journal.note("actions");
            Ok(first.is_some() || actions.is_some_and(|note| note != here.actions_note()))
        }
        ["record", seed, operations] => {
            let number = |word: &str| word.parse::<u64>().map_err(io::Error::other);
            let scenario = scenario(number(seed)?, number(operations)? as usize);
            print!("{}", recorded(&taped(&Real, &scenario)));
            Ok(true)
        }
        _ => {
            let usage =
                "usage: serve | search RIGHT SECONDS CALLS | shows FILE | record SEED OPERATIONS";
            Err(io::Error::other(usage))
        }
    }
}
