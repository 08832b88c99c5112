//! Instructions and allocations of each step, against what is written down: the same on every machine with the same
//! compiler, however busy it is.

use std::collections::BTreeMap;
use std::process::Command;

use super::steps::STEPS;
use crate::alloc::Heap;
use crate::args::Args;
use crate::figures::{Figures, Median};

/// Counts the instructions of every step and compares; with `--write 1` writes them down instead.
///
/// # Errors
/// A text for the user, also if valgrind is missing.
pub fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let write: u8 = args.take("write", 0)?;
    let path: String = args.take("file", FILE.to_owned())?;
    args.finish()?;

    let mut found = BTreeMap::new();
    for (name, _) in STEPS {
        found.insert(name, cost(name)?);
    }
    if write != 0 {
        let lines = found.iter().map(|(name, cost)| format!("{name}: {cost}\n"));
        let text = HEADER.to_owned() + &lines.collect::<String>();
        return std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let allowed = read(&text)?;
    if !allowed.keys().eq(found.keys()) {
        return Err(format!("{path} has other steps than there are"));
    }
    for (name, cost) in found {
        let allowed = &allowed[name];
        let value = Median::exactly(cost.instructions);
        let bar = (allowed.instructions * GROWTH * 10.0).round() / 10.0;
        figures.at_most(name, value, "instructions", bar);
        figures.exactly(&format!("{name}, allocations"), cost.calls, allowed.calls);
    }
    Ok(())
}

/// Repeats a step, for whoever counts its instructions; prints the calls of the allocator in one.
///
/// # Errors
/// A text for the user.
pub fn once_more(mut args: Args) -> Result<(), String> {
    let name: String = args.take("step", String::new())?;
    let times: u64 = args.take("times", 1)?;
    args.finish()?;
    let set_up = STEPS.iter().find(|(known, _)| *known == name);
    let (_, set_up) = set_up.ok_or_else(|| format!("`{name}` is no step"))?;
    let mut step = set_up()?;
    let (mut units, mut calls) = (0, 0);
    for _ in 0..times {
        let before = Heap::now();
        units += step()?;
        calls = Heap::now().calls - before.calls;
    }
    println!("{units} {calls}");
    Ok(())
}

/// What one of what a step is named after costs.
struct Cost {
    instructions: f64,
    /// Calls of the allocator in the whole step.
    calls: u64,
}

/// Two runs of different length, subtracted: what comes before and after is in both. The heap and the log are as full
/// in the shorter one as they will ever be.
fn cost(name: &str) -> Result<Cost, String> {
    let (short, long) = (count(name, 200)?, count(name, 400)?);
    Ok(Cost {
        instructions: (long.instructions - short.instructions) as f64
            / (long.units - short.units) as f64,
        calls: long.calls,
    })
}

struct Count {
    instructions: u64,
    units: u64,
    calls: u64,
}

/// Runs a step so many times under callgrind.
fn count(name: &str, times: u64) -> Result<Count, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(exe)
        .args(["once-more", "--step", name, "--times", &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let (out, told) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    let numbers = out
        .trim()
        .split_once(' ')
        .zip(told.split("Collected :").nth(1));
    let numbers = numbers.and_then(|((units, calls), rest)| {
        Some(Count {
            instructions: rest.split_whitespace().next()?.parse().ok()?,
            units: units.parse().ok()?,
            calls: calls.parse().ok()?,
        })
    });
    numbers.ok_or_else(|| format!("`{name}` under valgrind: {told}"))
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} instructions, {} allocations",
            self.instructions, self.calls
        )
    }
}

fn read(text: &str) -> Result<BTreeMap<&str, Cost>, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line| {
        let (name, cost): (&str, &str) = str::rsplit_once(line, ": ")?;
        let (instructions, calls) = cost.split_once(" instructions, ")?;
        let cost = Cost {
            instructions: instructions.parse().ok()?,
            calls: calls.strip_suffix(" allocations")?.parse().ok()?,
        };
        Some((name, cost))
    };
    lines
        .map(|line| read(line).ok_or_else(|| format!("`{line}` is no line of a budget")))
        .collect()
}

/// Where the budget is kept, from the top of the repository.
const FILE: &str = "examples/fanout-bench/budget.txt";
/// How much more than what is written down still passes: a change that costs more writes it down, with its reason.
const GROWTH: f64 = 1.02;
const HEADER: &str = "\
# What each step costs: instructions for one of what it is named after, and calls of the allocator in the whole step.
# Compared by `fanout-bench budget`, written by `fanout-bench budget --write 1`. Compiled for x86-64 by Rust 1.95.
";
