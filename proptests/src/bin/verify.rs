//! Runs every part of the verification for a given time and prints its figures, one a line.
//!
//! `cargo run --release -p sse-state-proptests --bin verify -- --seconds 60`

use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use sse_state::journal::replay;
use sse_state_proptests::journal::kept;
use sse_state_proptests::journal::{Journal, shrink};
use sse_state_proptests::part::Part;
use sse_state_proptests::suite::Real;
use sse_state_proptests::{closure, proof, sim, sweep, wire_rules};

const HELP: &str = "\
verify: proves the lifecycle of sse-state without IO, for as long as you like.

    verify [--seconds N | --hours N] [--seed S]
        Replays the journals that are kept, then runs every part of the verification, and prints one
        line per figure. The exit code is 1 if anything is wrong. N may be a fraction; 60 seconds if
        nothing is said. The seed (0) moves every random search.
    verify --journal FILE
        Replays a journal, says which rule it breaks, and prints the smallest one that still does;
        at most a minute.
    verify --help
";

/// A part of the verification: with this seed, until then.
type Proves = fn(u64, Instant) -> Part;

/// Parts that are run one after the other, each with its share of the time.
type Lane = &'static [(u32, Proves)];

/// What is run: two lanes at once, after what is kept. The simulation has one for itself, since its hours
/// are what takes long.
const LANES: &[Lane] = &[
    &[
        (6, proof::part),
        (1, wire_rules::part),
        (6, closure::part),
        (2, sweep::part),
    ],
    &[(1, sim::part)],
];

fn main() -> ExitCode {
    match Task::parse(env::args().skip(1)) {
        Ok(Task::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Task::Everything { time, seed }) => everything(LANES, time, seed),
        Ok(Task::Journal(file)) => match explain(&file) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("verify: {file}: {error}");
                ExitCode::from(2)
            }
        },
        Err(error) => {
            eprintln!("verify: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// What is asked for.
enum Task {
    Help,
    Everything { time: Duration, seed: u64 },
    Journal(String),
}

impl Task {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Task, String> {
        let (mut time, mut seed) = (Duration::from_secs(60), 0);
        while let Some(word) = words.next() {
            if word == "--help" {
                return Ok(Task::Help);
            }
            let value = words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value"))?;
            let number = || value.parse::<f64>().ok().filter(|n| (0.0..1e9).contains(n));
            let no_number = || format!("`{word} {value}`: not a number");
            match word.as_str() {
                "--seconds" => time = Duration::from_secs_f64(number().ok_or_else(no_number)?),
                "--hours" => {
                    time = Duration::from_secs_f64(3600.0 * number().ok_or_else(no_number)?);
                }
                "--seed" => seed = value.parse().map_err(|_| no_number())?,
                "--journal" => return Ok(Task::Journal(value)),
                _ => return Err(format!("`{word}` is not an option")),
            }
        }
        Ok(Task::Everything { time, seed })
    }
}

/// What is kept, then every lane.
fn everything(lanes: &[Lane], time: Duration, seed: u64) -> ExitCode {
    let start = Instant::now();
    let end = start + time;
    let kept = lane(&[(1, kept::part)], end, seed);
    let failures: usize = thread::scope(|scope| {
        let running: Vec<_> = lanes
            .iter()
            .map(|parts| scope.spawn(move || lane(parts, end, seed)))
            .collect();
        running
            .into_iter()
            // A part that panics has failed.
            .map(|lane| lane.join().unwrap_or(1))
            .sum()
    });
    let failures = kept + failures;
    println!(
        "verify: {} parts in {:.0} s, seed {seed}: {}",
        1 + lanes.iter().map(|lane| lane.len()).sum::<usize>(),
        start.elapsed().as_secs_f64(),
        match failures {
            0 => "all hold".to_owned(),
            failures => format!("{failures} FAILED"),
        }
    );
    ExitCode::from(u8::from(failures > 0))
}

/// Every part in turn, each with its share of the time that is left; how much is wrong.
fn lane(parts: &[(u32, Proves)], end: Instant, seed: u64) -> usize {
    let mut failures = 0;
    for (place, (share, part)) in parts.iter().enumerate() {
        let shares: u32 = parts[place..].iter().map(|(share, _)| share).sum();
        let begun = Instant::now();
        let until = begun + end.saturating_duration_since(begun) * *share / shares;
        let mut part = part(seed, until);
        part.figure("seconds", format!("{:.1}", begun.elapsed().as_secs_f64()));
        print!("{part}");
        failures += part.failures.len();
    }
    failures
}

/// Which rules a journal breaks on the machine, and how little it takes.
fn explain(file: &str) -> Result<ExitCode, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let journal = Journal::parse(&text).map_err(|error| error.to_string())?;
    let calls = journal.calls.len();
    if journal.is_foreign() {
        println!("its events are not those of scenarios: rules that know them again are left out");
    }
    match replay(&text) {
        Ok(_) => println!("{calls} calls, and what digests were recorded come again"),
        Err(error) => println!("{calls} calls; as a recording: {error}"),
    }
    let broken = shrink::breaks(&Real, &journal);
    let Some(first) = broken.first() else {
        println!("every rule holds");
        return Ok(ExitCode::SUCCESS);
    };
    println!("broken: {first}");
    let until = Instant::now() + Duration::from_secs(50);
    let smaller = shrink::for_rule(&Real, &journal, &first.rule, until);
    let still = shrink::breaks(&Real, &smaller);
    if let Some(told) = still.iter().find(|broken| broken.rule == first.rule) {
        println!("{} calls are enough: {told}\n", smaller.calls.len());
    }
    print!("{smaller}");
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Task, String> {
        Task::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_are_read() {
        let seconds = |words, seconds| {
            let task = parse(words);
            matches!(task, Ok(Task::Everything { time, .. }) if time == Duration::from_secs(seconds))
        };
        assert!(seconds("", 60) && seconds("--seconds 5", 5) && seconds("--hours 0.5", 1800));
        assert!(matches!(
            parse("--seed 7"),
            Ok(Task::Everything { seed: 7, .. })
        ));
        assert!(matches!(parse("--journal x"), Ok(Task::Journal(file)) if file == "x"));
        for wrong in [
            "--seconds",
            "--seconds x",
            "--seconds -1",
            "--seed x",
            "--sed 1",
            "7",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_part_that_fails_fails_all() {
        fn right(_: u64, _: Instant) -> Part {
            Part::new("right")
        }
        fn panics(_: u64, _: Instant) -> Part {
            panic!("as it is told")
        }
        fn wrong(_: u64, _: Instant) -> Part {
            let mut part = Part::new("wrong");
            part.fail("it is wrong");
            part
        }
        let code = |lanes: &[Lane]| everything(lanes, Duration::ZERO, 0);
        assert_eq!(code(&[&[(1, right)], &[(1, right)]]), ExitCode::SUCCESS);
        assert_eq!(
            code(&[&[(1, right), (1, wrong)], &[(1, right)]]),
            ExitCode::FAILURE
        );
        assert_eq!(code(&[&[(1, right)], &[(1, wrong)]]), ExitCode::FAILURE);
        assert_eq!(code(&[&[(1, panics)]]), ExitCode::FAILURE);
    }

    #[test]
    fn a_kept_journal_is_explained() {
        for (name, _) in kept::all().unwrap().into_iter().take(5) {
            let file = kept::folder().join(name);
            assert_eq!(explain(&file.to_string_lossy()), Ok(ExitCode::SUCCESS));
        }
        assert!(explain("no such file").is_err());
    }
}
