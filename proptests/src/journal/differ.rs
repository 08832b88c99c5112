//! Two builds of the machine that are asked about the same journal: one is right, one has a bug.
//!
//! The right one runs in a process of its own and answers over a pipe, since a build has one machine.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use super::kept::Fnv;
use super::run::{Broken, Run, run};
use super::shrink::shrink;
use super::{Journal, taped};
use crate::choice::{Choice, Prng};
use crate::scenario::{Op, Scenario};
use crate::suite::{Real, scenario};

/// What a machine does with a journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// The first rule that is broken.
    pub broken: Option<String>,
    /// A hash of every answer and action.
    pub actions: u64,
}

impl Told {
    /// The hash as a note has it.
    pub fn actions_note(&self) -> String {
        format!("{:016x}", self.actions)
    }
}

/// What the machine of this build does with a journal.
pub fn told(journal: &Journal) -> (Told, Option<Broken>) {
    let run = run(&Real, journal);
    let first = run.broken().into_iter().next();
    let broken = first.as_ref().map(|broken| broken.rule.clone());
    let actions = actions(&run);
    (Told { broken, actions }, first)
}

fn actions<E>(run: &Run<E>) -> u64 {
    let mut hash = Fnv::default();
    for step in &run.trace {
        hash.add(format!("{:?}", step.what).as_bytes());
    }
    hash.get()
}

/// Answers about journals on standard input, each ended by a line with a dot.
///
/// # Errors
/// If the other side is gone, or what it says is no journal.
pub fn serve() -> io::Result<()> {
    let mut text = String::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line != "." {
            text.push_str(&line);
            text.push('\n');
            continue;
        }
        let journal = Journal::parse(&text).map_err(io::Error::other)?;
        let (told, _) = told(&journal);
        let rule = told.broken.as_deref().unwrap_or("-");
        println!("{rule} {}", told.actions_note());
        io::stdout().flush()?;
        text.clear();
    }
    Ok(())
}

/// The other build.
#[derive(Debug)]
pub struct Other {
    child: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Other {
    /// Starts it: a program that calls [`serve`] when its first argument is `serve`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &Path) -> io::Result<Other> {
        let mut child = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("no pipe");
        let to = child.stdin.take().ok_or_else(gone)?;
        let from = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        let pipes = RefCell::new((to, from));
        Ok(Other { child, pipes })
    }

    /// What it does with a journal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn told(&self, journal: &Journal) -> io::Result<Told> {
        let (to, from) = &mut *self.pipes.borrow_mut();
        to.write_all(format!("{journal}.\n").as_bytes())?;
        to.flush()?;
        let mut line = String::new();
        from.read_line(&mut line)?;
        let told = line.trim_end().split_once(' ').and_then(|(rule, actions)| {
            Some(Told {
                broken: (rule != "-").then(|| rule.to_owned()),
                actions: u64::from_str_radix(actions, 16).ok()?,
            })
        });
        told.ok_or_else(|| io::Error::other("the other build is gone"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The smallest journal found that breaks a rule on the machine of this build and none on the other's;
/// or, if there is none, on which the two act differently. Stops early at one that is small enough.
///
/// # Errors
/// If the other build is gone.
pub fn search(other: &Other, enough: usize, until: Instant) -> io::Result<Option<Journal>> {
    let start = Instant::now();
    let mut best: Option<Journal> = None;
    for seed in 0.. {
        let now = Instant::now();
        // A third of the time for rules alone.
        let only_rules = now.duration_since(start) < until.duration_since(start) / 3;
        let small = best.as_ref().is_some_and(|best| best.calls.len() <= enough);
        if small || now >= until {
            break;
        }
        let mut journal = taped(&Real, &searched(seed));
        // An engine that never comes to rest is pumped for ever: its beginning is enough.
        journal.calls.truncate(LONGEST);
        let (here, _) = told(&journal);
        let by_rule = here.broken.is_some();
        let ruled = best.as_ref().is_some_and(|best| best.rule() != ACTIONS);
        if !by_rule && (only_rules || ruled) {
            continue;
        }
        let shows = |journal: &Journal| {
            let (here, _) = told(journal);
            (!by_rule || here.broken.is_some())
                && other.told(journal).is_ok_and(|there| {
                    there.broken.is_none() && (by_rule || there.actions != here.actions)
                })
        };
        if !shows(&journal) {
            continue;
        }
        journal = shrink(&Real, &journal, until, shows);
        let there = other.told(&journal)?;
        let (_, first) = told(&journal);
        journal.notes = match first {
            Some(broken) => vec![note("rule", &broken.rule), note("says", &broken.text)],
            None => vec![
                note("rule", ACTIONS),
                note("actions", &there.actions_note()),
            ],
        };
        let better = best.as_ref().is_none_or(|best| {
            (journal.rule() == ACTIONS, journal.calls.len())
                < (best.rule() == ACTIONS, best.calls.len())
        });
        if better {
            best = Some(journal);
        }
    }
    Ok(best)
}

/// A scenario of the suite; every third one with little room in all logs, and with connections that pass
/// the bound on heads, which the suite has tests of their own for.
fn searched(seed: u64) -> Scenario {
    let mut scenario = scenario(seed, LENGTHS[seed as usize % LENGTHS.len()]);
    if seed % 3 == 2 {
        scenario.setup.config.logs_bytes = 300;
        let mut choice = Prng::new(!seed);
        for _ in 0..4 {
            let place = choice.pick(scenario.ops.len() as u32 + 1) as usize;
            let head = Op::HeadHeld {
                conn: 0,
                bytes: choice.one_of(&[16385, 300]),
            };
            let ops = [Op::Accept, Op::Elapse { nanos: 1_000_000 }, head];
            scenario.ops.splice(place..place, ops);
        }
    }
    scenario
}

fn note(key: &str, value: &str) -> (String, String) {
    let line = value.lines().next().unwrap_or_default();
    (key.to_owned(), line.to_owned())
}

/// In the place of a rule: no rule is broken, but the actions are others.
pub const ACTIONS: &str = "actions";

/// Calls of a journal that is searched.
const LONGEST: usize = 2000;

/// Operations of the scenarios that are searched.
const LENGTHS: [usize; 4] = [60, 60, 120, 30];
