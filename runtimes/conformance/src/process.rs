//! A server process, and what can be seen of it from outside.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, ask};
use crate::settings::VARIABLE;

/// A server that ends with this value.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Kept, so that it may go on printing.
    _stdout: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts this binary as a server.
    pub(crate) fn start(settings: &str) -> Result<Server, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        Server::spawn(Command::new(this), settings)
    }

    /// Starts it with so many descriptors.
    pub(crate) fn with_descriptors(most: u32, settings: &str) -> Result<Server, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut shell = Command::new("sh");
        shell.arg("-c");
        shell
            .arg(format!("ulimit -n {most} && exec \"$0\""))
            .arg(this);
        Server::spawn(shell, settings)
    }

    fn spawn(mut command: Command, settings: &str) -> Result<Server, String> {
        command.env(VARIABLE, settings);
        Server::listen(command, |line| line.trim().parse().ok())
    }

    /// Starts a program whose first line tells where it listens.
    pub(crate) fn listen(
        mut command: Command,
        address: impl FnOnce(&str) -> Option<SocketAddr>,
    ) -> Result<Server, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the server does not start: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let read = stdout.read_line(&mut line);
        let (Ok(_), Some(addr)) = (read, address(&line)) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the server said {line:?} and not where it listens"));
        };
        Ok(Server {
            child,
            stdin,
            _stdout: stdout,
            addr,
        })
    }

    /// One counter or gauge of `/stats`, with dots between the levels.
    pub(crate) fn stat(&self, name: &str) -> Result<u64, String> {
        let answer = ask(self.addr, "GET", "/stats", "", "")?;
        let json: Value = serde_json::from_str(answer.body()).map_err(|error| error.to_string())?;
        name.split('.')
            .fold(&json, |value, name| &value[name])
            .as_u64()
            .ok_or_else(|| format!("{name} is not in {json}"))
    }

    /// Waits until a counter is so, but not for ever.
    pub(crate) fn until(&self, name: &str, is: impl Fn(u64) -> bool) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let value = self.stat(name)?;
            if is(value) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{name} stays {value}"));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Opens a stream.
    pub(crate) fn open(&self, target: &str) -> Result<Client, String> {
        Client::open(self.addr, target, "")
    }

    /// Publishes with `curl -d`; the answer has to be 201.
    pub(crate) fn publish(&self, target: &str, text: &str) -> Result<(), String> {
        let answer = ask(self.addr, "POST", target, "", text)?;
        match answer.status() {
            201 => Ok(()),
            _ => Err(format!("not published: {}", answer.text)),
        }
    }

    /// For signals.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> Result<usize, String> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        Ok(open.map_err(|error| error.to_string())?.count())
    }

    /// Connections that its kernel holds for established.
    pub(crate) fn connected(&self) -> Result<usize, String> {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id()))
            .map_err(|error| error.to_string())?;
        let port = format!(":{:04X}", self.addr.port());
        let is_ours = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next(), words.nth(1));
            local.is_some_and(|local| local.ends_with(&port)) && state == Some("01")
        };
        Ok(table.lines().filter(is_ours).count())
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> Result<u64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .map_err(|error| error.to_string())?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| "no VmRSS".to_owned())
    }

    /// Asks it to shut down.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    /// How it ended, once it has; it has to within this time.
    pub(crate) fn ended(&mut self, within: Duration) -> Result<ExitStatus, String> {
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if start.elapsed() > within => {
                    return Err(format!("it has not ended after {within:?}"));
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// After which a condition is taken never to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(5);
