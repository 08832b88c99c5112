//! What the tests of the examples share: a program that is started as a person would, and clients that see
//! what it sends. No example is built from it.
//!
//! A program takes `--addr HOST:PORT`, prints a line with `http://HOST:PORT` once it listens, and ends by SIGTERM.

pub mod service;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    said: String,
    addr: SocketAddr,
}

impl Program {
    /// Starts it on a free port of its own.
    pub fn start(path: &str, arguments: &[&str]) -> Program {
        let mut child = Command::new(path)
            .args(["--addr", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (said, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody listens any more once the test is over.
                let _ = said.send(line);
            }
        });
        let mut program = Program {
            child,
            lines,
            said: String::new(),
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let line = program.until("http://");
        let (_, rest) = line.split_once("http://").expect("it was looked for");
        let addr = rest.split('/').next().and_then(|addr| addr.parse().ok());
        program.addr = addr.expect("an address");
        program
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits for a line with this text among those that were not waited for yet.
    pub fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.said += &format!("{line}\n");
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{text:?} is not said: {}", self.said),
                Err(RecvTimeoutError::Disconnected) => panic!("it has ended: {}", self.said),
            }
        }
    }

    /// A whole answer.
    pub fn get(&self, target: &str) -> Answer {
        Answer::read(self.connect(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")))
    }

    /// What `curl -d` does.
    pub fn post(&self, target: &str, body: &str) -> Answer {
        let length = body.len();
        Answer::read(self.connect(&format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        )))
    }

    /// Opens a stream, which is a 200.
    pub fn stream(&self, target: &str) -> Stream {
        self.stream_with(target, "")
    }

    /// Opens a stream with these field lines, each with its line end.
    pub fn stream_with(&self, target: &str, fields: &str) -> Stream {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let mut stream = Stream(BufReader::new(self.connect(&request)));
        let head = stream.block().expect("a head");
        assert_eq!(head[0], "HTTP/1.1 200 OK", "{target}: {head:?}");
        let is_stream = |line: &String| line == "Content-Type: text/event-stream";
        assert!(head.iter().any(is_stream), "{target}: {head:?}");
        stream
    }

    /// Waits until an answer has this text, a page of figures for instance.
    pub fn until_answer(&self, target: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.get(target).body;
            if body.contains(text) {
                return body;
            }
            assert!(Instant::now() < deadline, "{text:?} never came: {body}");
            thread::sleep(PAUSE);
        }
    }

    /// Asks it to end, as a supervisor does.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.expect("the command kill").success());
    }

    /// Waits for an end with exit code 0; what it has said.
    pub fn ended(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.said);
            thread::sleep(PAUSE);
        };
        while let Ok(line) = self.lines.recv() {
            self.said += &format!("{line}\n");
        }
        assert!(status.success(), "{status}: {}", self.said);
        std::mem::take(&mut self.said)
    }

    fn connect(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.addr).expect("connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        socket.write_all(request.as_bytes()).expect("sends");
        socket
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, each on a line.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    fn read(mut socket: TcpStream) -> Answer {
        let mut text = String::new();
        socket.read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

/// An open stream of events. Dropping it leaves.
#[derive(Debug)]
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The next event; blocks without data are none. `None` is an end in order.
    pub fn next_event(&mut self) -> Option<Event> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let block = self.block()?;
            // Heartbeats keep a silent stream from its read timeout.
            assert!(Instant::now() < deadline, "no event comes");
            let field = |name: &str| {
                let mut lines = block.iter().filter_map(|line| line.split_once(": "));
                lines.find_map(|(field, value)| (field == name).then(|| value.to_owned()))
            };
            if let Some(data) = field("data") {
                return Some(Event {
                    name: field("event"),
                    data,
                    id: field("id"),
                });
            }
        }
    }

    /// The data of the next event.
    pub fn data(&mut self) -> String {
        self.next_event().expect("an event, not the end").data
    }

    /// Reads until an event has this text in its data.
    pub fn until(&mut self, text: &str) -> Event {
        loop {
            let event = self.next_event().expect("an event, not the end");
            if event.data.contains(text) {
                return event;
            }
        }
    }

    /// The events up to an end in order.
    pub fn rest(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next_event()).collect()
    }

    /// Lines up to an empty one; `None` at the end, which is not in the middle of a block.
    fn block(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("no reset, in time") == 0 {
                assert!(lines.is_empty(), "it ended after {lines:?}");
                return None;
            }
            match line.trim_end_matches(['\r', '\n']) {
                "" => return Some(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }
}

/// An event, as a page sees it; its data is one line in all examples.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its data.
    pub data: String,
    /// Its id, if it has one.
    pub id: Option<String>,
}

/// For whatever has no bound of its own; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);
