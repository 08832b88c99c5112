//! What one part of a verification did: its figures, and what it found wrong.

use core::fmt::{Display, Formatter, Result};

/// One part of a verification: rules, closure, simulation, sweep, …
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What it counted, in the order of its story.
    pub figures: Vec<(String, String)>,
    /// What is wrong, each with all that is needed to see it again.
    pub failures: Vec<String>,
}

impl Part {
    /// A part that has done nothing yet.
    pub fn new(name: &'static str) -> Part {
        Part {
            name,
            figures: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn figure(&mut self, what: impl Into<String>, value: impl Display) {
        self.figures.push((what.into(), value.to_string()));
    }

    /// Something is wrong.
    pub fn fail(&mut self, text: impl Display) {
        self.failures.push(text.to_string());
    }

    /// This holds, or it is wrong.
    pub fn holds(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(text());
        }
    }
}

/// One line per figure; then what is wrong.
impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (what, value) in &self.figures {
            writeln!(f, "{}: {what}: {value}", self.name)?;
        }
        self.failures
            .iter()
            .try_for_each(|text| writeln!(f, "{}: FAILED: {text}", self.name))
    }
}
