//! Recording a run, and replaying it byte for byte.
//!
//! A journal is text, one line per call, in the order of the calls:
//!
//! ```text
//! sse-state-journal 1 0.1.0
//! config epoch=7 seed=0 hash_key_0=0 …
//! 0 accept
//! 1500 subscribe 0.0 now '' default retry - - - - '/load
//! 1500 publish '/load evict 10:10:'data:%200.7%0A
//! pump 256 f =c0d9b5b2b4c0e9a1
//! 2100 report 0.0:31:r
//! end c0d9b5b2b4c0e9a1 83a1b2c3d4e5f607
//! ```
//!
//! - The first line names the format and the version of the crate that wrote it; the second the
//!   whole [`Config`]. Durations are nanoseconds, `-` is none.
//! - A line of an input begins with `now` in nanoseconds, then the call and its arguments. Texts
//!   begin with `'`; bytes outside printable ASCII, the space and `%` are written `%XX`. A frame is
//!   `end of data:start of id:'text`.
//! - `pump` has its budget and the executor's answers: `a` all, `bN` blocked after N bytes, `g` gone,
//!   `f` in flight, each with `*count` when repeated; then the running digest of the action bytes.
//!   `action` is one [`poll_action`](crate::SseState::poll_action).
//! - Rejected calls and views are not in it, but for a publish that was told to wait, since
//!   `Room` follows.
//! - `end` has the running digest of the action bytes and the digest of the state.
//! - A line that begins with `#` is a comment. The digest of `pump` and `action`, and the line `end`,
//!   may be left out: they are then not checked. [`read`] and [`write()`] turn a journal into calls
//!   and back, for whoever wants to do something else with them than [`replay`].

mod call;
mod read;
mod write;

pub use call::{Call, read, write};

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write as _};

use crate::action::{Action, Answer, Control, Pumped, Run, Sink};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::hash::Digest;
use crate::id::SubscriberId;
use crate::input::{Input, Interest, Pulled, Reply};
use crate::state::SseState;
use crate::stats::Stats;
use crate::time::Time;

/// A machine whose calls are written down as they are accepted.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use sse_state::journal::{replay, Recorder};
/// use sse_state::{Config, Engine, Epoch, Input, SseState, Time};
///
/// let text = Arc::new(Mutex::new(String::new()));
/// let out = text.clone();
/// let state = SseState::new(Config::new(Epoch(7))).unwrap();
/// let mut recorder = Recorder::new(state, Box::new(move |line| out.lock().unwrap().push_str(line)));
/// recorder.apply(Time::ZERO, Input::Accept).unwrap();
/// assert!(recorder.poll_action().is_none());
/// recorder.finish();
///
/// let replayed = replay(&text.lock().unwrap()).unwrap();
/// assert_eq!(replayed.state, recorder.digest());
/// assert_eq!(replayed.actions, recorder.actions());
/// ```
pub struct Recorder {
    state: SseState,
    out: Box<dyn FnMut(&str) + Send>,
    line: String,
    actions: Digest,
}

impl Recorder {
    /// Records a machine that was not fed yet; `out` gets whole lines with their line feed.
    pub fn new(state: SseState, out: Box<dyn FnMut(&str) + Send>) -> Recorder {
        let mut recorder = Recorder {
            line: write::header(state.config()),
            state,
            out,
            actions: Digest::new(),
        };
        recorder.flush();
        recorder
    }

    /// The running digest of the action bytes.
    pub fn actions(&self) -> u64 {
        self.actions.get()
    }

    /// Writes the last line: both digests.
    pub fn finish(&mut self) {
        let (actions, state) = (self.actions(), self.state.digest());
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.line, "end {actions:016x} {state:016x}");
        self.flush();
    }

    fn flush(&mut self) {
        (self.out)(&self.line);
        self.line.clear();
    }

    fn tail(&mut self) {
        let actions = self.actions();
        let _ = writeln!(self.line, " ={actions:016x}");
        self.flush();
    }
}

impl Engine for Recorder {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        write::input(&mut self.line, now, &input);
        let reply = self.state.apply(now, input);
        match &reply {
            Ok(reply) => {
                digest_reply(&mut self.actions, reply);
                self.flush();
            }
            Err(Error::Wait) => self.flush(),
            Err(_) => self.line.clear(),
        }
        reply
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let _ = write!(self.line, "pump {budget}");
        let mut tap = Tap {
            sink,
            line: &mut self.line,
            actions: &mut self.actions,
            last: None,
        };
        let pumped = self.state.pump(budget, &mut tap);
        tap.flush();
        self.tail();
        pumped
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.state.poll_action();
        if let Some(action) = &action {
            digest_action(&mut self.actions, action);
        }
        self.line.push_str("action");
        self.tail();
        action
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.state.poll_timeout()
    }

    fn now(&self) -> Time {
        self.state.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.state.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.state.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.state.asked()
    }

    fn is_terminated(&self) -> bool {
        self.state.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.state.stats()
    }

    fn digest(&self) -> u64 {
        self.state.digest()
    }

    fn check_invariants(&self) {
        self.state.check_invariants();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("actions", &self.actions)
            .finish_non_exhaustive()
    }
}

/// Passes actions on, and writes the answers down.
struct Tap<'a> {
    sink: &'a mut dyn Sink,
    line: &'a mut String,
    actions: &'a mut Digest,
    last: Option<(Answer, u32)>,
}

impl Tap<'_> {
    fn flush(&mut self) {
        if let Some((answer, count)) = self.last.take() {
            write::answer(self.line, answer, count);
        }
    }
}

impl Sink for Tap<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        digest_write(self.actions, id, &run);
        let answer = self.sink.write(id, run);
        match &mut self.last {
            Some((last, count)) if *last == answer => *count += 1,
            _ => {
                self.flush();
                self.last = Some((answer, 1));
            }
        }
        answer
    }

    fn control(&mut self, control: Control) {
        digest_control(self.actions, &control);
        self.sink.control(control);
    }
}

/// What a replay ended with.
#[derive(Clone)]
pub struct Replay {
    /// The machine.
    pub machine: SseState,
    /// The running digest of the action bytes.
    pub actions: u64,
    /// The digest of the state.
    pub state: u64,
    /// Lines replayed.
    pub lines: u64,
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("actions", &self.actions)
            .field("state", &self.state)
            .field("lines", &self.lines)
            .finish_non_exhaustive()
    }
}

/// Where and why a journal could not be replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: Fault,
}

/// What is wrong with a line of a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// It is no journal of this format.
    Format,
    /// The line cannot be read.
    Syntax,
    /// The configuration cannot be used.
    Config,
    /// A call that was accepted is refused now.
    Refused(Error),
    /// The actions, or the state, are not those that were recorded.
    Differs,
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.what {
            Fault::Format => f.write_str("not a journal of format 1"),
            Fault::Syntax => f.write_str("cannot be read"),
            Fault::Config => f.write_str("the configuration cannot be used"),
            Fault::Refused(error) => write!(f, "the call was accepted, and is refused: {error}"),
            Fault::Differs => f.write_str("the digest differs from the recorded one"),
        }
    }
}

impl core::error::Error for JournalError {}

/// Replays a journal, and checks every digest in it.
///
/// # Errors
/// [`JournalError`] names the first line that cannot be replayed.
pub fn replay(journal: &str) -> Result<Replay, JournalError> {
    let (config, lines) = read::open(journal)?;
    let mut player = Player::new(config).map_err(|what| JournalError { line: 2, what })?;
    let mut last = 2;
    for (line, text) in lines {
        player
            .play(text)
            .map_err(|what| JournalError { line, what })?;
        last = line;
    }
    Ok(Replay {
        actions: player.actions.get(),
        state: player.state.digest(),
        machine: player.state,
        lines: last,
    })
}

struct Player {
    state: SseState,
    actions: Digest,
}

impl Player {
    fn new(config: Config) -> Result<Player, Fault> {
        Ok(Player {
            state: SseState::new(config).map_err(|_| Fault::Config)?,
            actions: Digest::new(),
        })
    }

    fn play(&mut self, line: &str) -> Result<(), Fault> {
        match read::line(line).ok_or(Fault::Syntax)? {
            read::Line::Input(now, input) => match self.state.apply(now, input) {
                Ok(reply) => digest_reply(&mut self.actions, &reply),
                Err(Error::Wait) => {}
                Err(error) => return Err(Fault::Refused(error)),
            },
            read::Line::Pump(budget, mut script, digest) => {
                let mut echo = Echo {
                    answers: &mut script,
                    actions: &mut self.actions,
                };
                let _ = self.state.pump(budget, &mut echo);
                if script.next().is_some() {
                    return Err(Fault::Differs);
                }
                self.check(digest)?;
            }
            read::Line::Action(digest) => {
                if let Some(action) = self.state.poll_action() {
                    digest_action(&mut self.actions, &action);
                }
                self.check(digest)?;
            }
            read::Line::End(actions, state) => {
                self.check(Some(actions))?;
                if self.state.digest() != state {
                    return Err(Fault::Differs);
                }
            }
        }
        Ok(())
    }

    fn check(&self, digest: Option<u64>) -> Result<(), Fault> {
        if digest.is_none_or(|digest| self.actions.get() == digest) {
            Ok(())
        } else {
            Err(Fault::Differs)
        }
    }
}

/// Gives the recorded answers.
struct Echo<'a, 'b> {
    answers: &'a mut read::Answers<'b>,
    actions: &'a mut Digest,
}

impl Sink for Echo<'_, '_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        digest_write(self.actions, id, &run);
        // One write too many is noticed by the digest.
        self.answers.next().unwrap_or(Answer::InFlight)
    }

    fn control(&mut self, control: Control) {
        digest_control(self.actions, &control);
    }
}

fn digest_action(digest: &mut Digest, action: &Action) {
    match action {
        Action::Write { id, run } => digest_write(digest, *id, run),
        Action::Control(control) => digest_control(digest, control),
    }
}

fn digest_write(digest: &mut Digest, id: SubscriberId, run: &[u8]) {
    digest.number(0);
    digest.number(id.as_u64());
    digest.bytes(run);
}

fn digest_control(digest: &mut Digest, control: &Control) {
    match control {
        Control::StartSource { topic, token } => {
            digest.number(1);
            digest.bytes(topic.as_str().as_bytes());
            digest.number(token.start);
        }
        Control::Poll {
            topic,
            token,
            number,
        } => {
            digest.number(2);
            digest.bytes(topic.as_str().as_bytes());
            digest.number(token.start);
            digest.number(*number);
        }
        Control::StopSource {
            topic,
            token,
            reason,
        } => {
            digest.number(3);
            digest.bytes(topic.as_str().as_bytes());
            digest.number(token.start);
            digest.number(*reason as u64);
        }
        Control::Wake { id } => {
            digest.number(4);
            digest.number(id.as_u64());
        }
        Control::Room { topic } => {
            digest.number(5);
            digest.bytes(topic.as_str().as_bytes());
        }
        Control::Finish { id } => {
            digest.number(6);
            digest.number(id.as_u64());
        }
        Control::Close { id, reason, ending } => {
            digest.number(7);
            digest.number(id.as_u64());
            digest.number(*reason as u64);
            digest.number(*ending as u64);
        }
    }
}

/// What a mounted stream pulled is an output too.
fn digest_reply(digest: &mut Digest, reply: &Reply) {
    if let Reply::Pulled(Pulled::Run(run)) = reply {
        digest.number(8);
        digest.bytes(run);
    }
}
