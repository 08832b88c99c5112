//! A journal as a list of calls.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::read::{self, Line};
use super::write::{answer, header, input};
use super::{Fault, JournalError};
use crate::action::Answer;
use crate::config::Config;
use crate::input::Input;
use crate::time::Time;

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    /// An input, and the time that was handed in with it.
    Input(Time, Input<'static>),
    /// A pump.
    Pump {
        /// Its budget.
        budget: u32,
        /// What the executor answered to its writes, in order.
        answers: Vec<Answer>,
    },
    /// One [`poll_action`](crate::SseState::poll_action).
    Action,
}

/// Its line, without a digest and a line feed.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        match self {
            Call::Input(at, call) => {
                input(&mut line, *at, call);
                line.pop();
            }
            Call::Pump { budget, answers } => {
                // Writing to a `String` cannot fail.
                let _ = write!(line, "pump {budget}");
                for same in answers.chunk_by(PartialEq::eq) {
                    answer(&mut line, same[0], same.len() as u32);
                }
            }
            Call::Action => line.push_str("action"),
        }
        f.write_str(&line)
    }
}

/// Reads a journal: the configuration of its machine, and the calls. Digests in it are not looked at.
///
/// ```
/// use sse_state::journal::{read, write};
/// use sse_state::{Config, Epoch};
///
/// let journal = write(&Config::new(Epoch(7)), &[]) + "0 accept\npump 256\n";
/// let (config, calls) = read(&journal).unwrap();
/// assert_eq!(calls.len(), 2);
/// assert_eq!(write(&config, &calls), journal);
/// ```
///
/// # Errors
/// [`JournalError`] names the first line that cannot be read.
pub fn read(journal: &str) -> Result<(Config, Vec<Call>), JournalError> {
    let (config, lines) = read::open(journal)?;
    let mut calls = Vec::new();
    for (line, text) in lines {
        let call = match read::line(text) {
            Some(Line::Input(at, input)) => Some(Call::Input(at, input)),
            Some(Line::Pump(budget, answers, _)) => {
                answers.all().map(|answers| Call::Pump { budget, answers })
            }
            Some(Line::Action(_)) => Some(Call::Action),
            Some(Line::End(..)) => continue,
            None => None,
        };
        let what = Fault::Syntax;
        calls.push(call.ok_or(JournalError { line, what })?);
    }
    Ok((config, calls))
}

/// Writes calls as a journal without digests.
pub fn write(config: &Config, calls: &[Call]) -> String {
    let mut journal = header(config);
    for call in calls {
        // Writing to a `String` cannot fail.
        let _ = writeln!(journal, "{call}");
    }
    journal
}
