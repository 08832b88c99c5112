//! A server in a process of its own, as the side that measures sees it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock::Cpu;
use crate::serve::{Order, Receipt};
use crate::words::Words;

/// A server. It ends when this is dropped.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Answers that nobody has asked for yet.
    early: VecDeque<String>,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a server has used so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// CPU.
    pub cpu: Cpu,
    /// CPU in nanoseconds, both parts.
    pub cpu_nanos: u64,
    /// Live bytes of its allocator.
    pub live: u64,
    /// Calls of its allocator.
    pub calls: u64,
    /// Resident bytes.
    pub resident: u64,
}

impl Server {
    /// Starts `kind` with these settings.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(kind: &str, settings: &Words) -> Result<Server, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        // A profiler, for instance.
        let wrap = std::env::var(WRAP).unwrap_or_default();
        let mut words = wrap.split_whitespace();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args([
                &format!("serve-{kind}"),
                "--settings",
                &settings.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("server: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("server: no pipes".to_owned());
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Server {
            child,
            input: Some(input),
            lines,
            early: VecDeque::new(),
            addr: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        server.addr = server.answer("listening", ANSWER)?.get("addr")?;
        Ok(server)
    }

    /// What it has used.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn usage(&mut self) -> Result<Usage, String> {
        let words = self.ask("usage", &Words::default())?;
        Ok(Usage {
            cpu: Cpu {
                user: words.get("user")?,
                system: words.get("system")?,
            },
            cpu_nanos: words.get("cpu")?,
            live: words.get("live")?,
            calls: words.get("calls")?,
            resident: words.get("resident")?,
        })
    }

    /// Its counters and gauges, by name.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn stats(&mut self) -> Result<Words, String> {
        self.ask("stats", &Words::default())
    }

    /// Has it publish. The receipt comes when it is done, see [`published`](Self::published).
    ///
    /// # Errors
    /// If it has gone.
    pub fn publish(&mut self, order: Order) -> Result<(), String> {
        self.say("publish", &order.to_words())
    }

    /// Has it stop publishing; the receipt then comes.
    ///
    /// # Errors
    /// If it has gone.
    pub fn stop_publishing(&mut self) -> Result<(), String> {
        self.say("stop", &Words::default())
    }

    /// The receipt of a publish that is done, without waiting.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn published(&mut self) -> Result<Option<Receipt>, String> {
        match self.find("published", Duration::ZERO) {
            Ok(words) => Receipt::from_words(&words).map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("server: gone while publishing".to_owned()),
        }
    }

    /// Asks it to end, as a service manager does.
    ///
    /// # Errors
    /// If it has gone.
    pub fn terminate(&self) -> Result<(), String> {
        let pid = i32::try_from(self.child.id()).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| error.to_string())
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.child.try_wait().map_err(|error| error.to_string())
    }

    /// What it says when it has ended in order: digests, if it recorded.
    ///
    /// # Errors
    /// If it says nothing.
    pub fn last_words(&mut self) -> Result<Words, String> {
        self.answer("ended", ANSWER)
    }

    fn ask(&mut self, what: &str, words: &Words) -> Result<Words, String> {
        self.say(what, words)?;
        self.answer(what, ANSWER)
    }

    fn say(&mut self, what: &str, words: &Words) -> Result<(), String> {
        let Some(input) = &mut self.input else {
            return Err("server: its input was closed".to_owned());
        };
        writeln!(input, "{what} {words}").map_err(|error| format!("server: {error}"))
    }

    fn answer(&mut self, what: &str, limit: Duration) -> Result<Words, String> {
        self.find(what, limit)
            .map_err(|error| format!("server: no answer to `{what}`: {error}"))
    }

    /// The next answer of this kind; others are kept.
    fn find(&mut self, what: &str, limit: Duration) -> Result<Words, RecvTimeoutError> {
        let is_it = |line: &str| line.split_whitespace().next() == Some(what);
        if let Some(at) = self.early.iter().position(|line| is_it(line)) {
            let line = self.early.remove(at).unwrap_or_default();
            return Ok(Words::parse(&line));
        }
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left)?;
            if is_it(&line) {
                return Ok(Words::parse(&line));
            }
            self.early.push_back(line);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At the end of its input it ends by itself, and a profiler around it writes what it has.
        self.input = None;
        let end = Instant::now() + GONE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Names an environment variable: a command that the server is started by, with its arguments.
const WRAP: &str = "FANOUT_BENCH_WRAP";
/// How long a server may take to go.
const GONE: Duration = Duration::from_secs(10);
/// How long an answer may take on a busy machine.
const ANSWER: Duration = Duration::from_secs(20);
