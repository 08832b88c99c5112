//! The journals that are kept, in `proptests/regressions`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Journal;
use super::differ::told;
use super::run::{Broken, run};
use super::shrink::for_rule;
use super::taped;
use crate::model::Model;
use crate::part::Part;
use crate::scenario::Scenario;
use crate::suite::{Factory, Real};

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions")
}

/// All of them, in the order of their names.
///
/// # Errors
/// If a file cannot be read, or is no journal.
pub fn all() -> io::Result<Vec<(String, Journal)>> {
    let mut paths: Vec<PathBuf> = folder()
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "journal"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        match Journal::parse(&std::fs::read_to_string(&path)?) {
            Ok(journal) => Ok((name, journal)),
            Err(error) => Err(io::Error::other(format!("{name}: {error}"))),
        }
    };
    paths.into_iter().map(read).collect()
}

/// Replays every kept journal on the machine and on the naive model; every rule must hold.
pub fn part(_seed: u64, _until: Instant) -> Part {
    let mut part = Part::new("regressions");
    let journals = all().unwrap_or_else(|error| {
        part.fail(error);
        Vec::new()
    });
    let mut calls = 0;
    for (name, journal) in &journals {
        calls += journal.calls.len();
        for (engine, broken) in [
            ("the machine", broken(&Real, journal)),
            ("the naive model", broken(&Model::new, journal)),
        ] {
            part.holds(broken.is_empty(), || {
                format!("{name}: on {engine}: {}", broken[0])
            });
        }
        if let Some(actions) = journal.note("actions") {
            let (here, _) = told(journal);
            part.holds(here.actions_note() == actions, || {
                format!("{name}: the machine acts differently")
            });
        }
    }
    part.figure("journals replayed", journals.len());
    part.figure("calls in them", calls);
    part
}

fn broken<F: Factory>(factory: &F, journal: &Journal) -> Vec<Broken> {
    run(factory, journal).broken()
}

/// Keeps what a scenario shows of a rule, as small as can be found within half a minute; the file.
///
/// # Errors
/// If it cannot be written.
pub fn keep<F: Factory>(factory: &F, scenario: &Scenario, rule: &str) -> io::Result<PathBuf> {
    let journal = taped(factory, scenario);
    let until = Instant::now() + Duration::from_secs(30);
    let mut journal = for_rule(factory, &journal, rule, until);
    journal.notes = vec![("rule".to_owned(), rule.to_owned())];
    write(&journal)
}

/// Writes a journal into the folder, with a name of its rule and a hash of its text.
///
/// # Errors
/// If it cannot be written.
pub fn write(journal: &Journal) -> io::Result<PathBuf> {
    let text = journal.to_string();
    let mut hash = Fnv::default();
    hash.add(text.as_bytes());
    let rule = journal.rule().to_lowercase();
    let path = folder().join(format!("{rule}-{:08x}.journal", hash.get() as u32));
    std::fs::create_dir_all(folder())?;
    std::fs::write(&path, text)?;
    Ok(path)
}

/// FNV-1a: the same in every process.
pub(super) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(super) fn get(&self) -> u64 {
        self.0
    }
}
