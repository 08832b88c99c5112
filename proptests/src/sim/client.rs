//! The clients: what they ask, and what they make of what comes.

use std::time::Duration;

use super::conn::{Conn, Mode};
use super::mark::Mark;
use super::reading::Reading;
use super::site::STREAMS;
use super::state::Core;

/// What a client wants.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) what: What,
    /// What it has seen last, when it comes back.
    pub(crate) last_id: Option<String>,
    /// What the hook is to do, as a query.
    pub(crate) hook: String,
    pub(crate) key: Option<String>,
    /// What it expects for an answer; 0: anything that fits.
    pub(crate) status: u16,
}

/// Its request.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A stream of [`STREAMS`].
    Stream(usize),
    /// A publish: path, topic, text, and how many bytes of it are sent.
    Post {
        path: &'static str,
        topic: usize,
        text: String,
        sent: usize,
    },
    /// Something else, in full.
    Odd(&'static str),
    /// Nothing.
    Silent,
}

impl Ask {
    pub(crate) fn new(what: What) -> Ask {
        Ask {
            what,
            last_id: None,
            hook: String::new(),
            key: None,
            status: 0,
        }
    }

    /// The bytes of the request.
    fn request(&self, c: u32) -> Vec<u8> {
        let query = if self.hook.is_empty() {
            String::new()
        } else {
            format!("?c={c}&{}", self.hook)
        };
        match &self.what {
            What::Stream(stream) => {
                let path = STREAMS[*stream].0;
                let id = match &self.last_id {
                    Some(id) => format!("Last-Event-ID: {id}\r\n"),
                    None => String::new(),
                };
                let accept = "Accept: text/event-stream\r\n";
                format!("GET {path}{query} HTTP/1.1\r\nHost: localhost\r\n{accept}{id}\r\n")
                    .into_bytes()
            }
            What::Post {
                path, text, sent, ..
            } => {
                let length = text.len();
                let head = format!(
                    "POST {path}{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
                );
                [head.as_bytes(), &text.as_bytes()[..*sent]].concat()
            }
            What::Odd(text) => text.as_bytes().to_vec(),
            What::Silent => Vec::new(),
        }
    }
}

impl Core {
    /// Somebody connects.
    pub(crate) fn connect(&mut self, ask: Ask) -> u32 {
        let c = self.conns.len() as u32;
        let now = self.now();
        let mut conn = Conn::new(ask, now);
        conn.unsent.extend(conn.ask.request(c));
        if self.faults_on && self.sweep.is_none() {
            conn.piece = match self.pick(6) {
                0 => 1 + self.pick(40) as usize,
                1 => 20,
                _ => usize::MAX,
            };
            conn.window = match self.pick(6) {
                0 => 1 + self.pick(200) as usize,
                1 => 600,
                _ => 16 << 10,
            };
            conn.mode = match self.pick(8) {
                0 => Mode::Throttled(1 + self.pick(60) as usize),
                _ => Mode::Fast,
            };
            conn.was_slow = conn.mode != Mode::Fast;
            conn.latency = self.between(Duration::from_micros(20), Duration::from_millis(30));
        }
        self.conns.push(conn);
        self.live.push(c);
        self.tell(|| format!("connection {c}"));
        if self.bug(super::bug::Bug::LosesAConnection) {
            // The listener has lost it.
        } else if self.listens && self.backlog.len() < BACKLOG {
            self.backlog.push_back(c);
            if let Some(waker) = self.listen_waker.take() {
                waker.wake();
            }
        } else {
            let conn = self.conn(c);
            conn.server_closed = true;
            conn.server_reset = true;
        }
        self.notify(c);
        c
    }

    /// A client sends and reads.
    pub(crate) fn client_acts(&mut self, c: u32) {
        let now = self.now();
        let conn = self.conn(c);
        conn.is_scheduled = false;
        if conn.vanished || conn.client_closed || conn.ended {
            return;
        }
        if !conn.unsent.is_empty() && !conn.broken && !conn.client_fin {
            let bytes = conn.unsent.len().min(conn.piece);
            let piece: Vec<u8> = conn.unsent.drain(..bytes).collect();
            conn.pieces += 1;
            if !conn.server_closed {
                conn.to_server.extend(piece);
            }
            if self.conn(c).unsent.is_empty() {
                self.conn(c).said_at = Some(now);
            }
            let conn = self.conn(c);
            if conn.pieces == 3 {
                self.mark(Mark::HeadInPieces);
            }
            self.wake_reader(c);
        }
        let conn = self.conn(c);
        if conn.mode != Mode::Stalled {
            let most = match conn.mode {
                Mode::Throttled(bytes) => bytes,
                _ => usize::MAX,
            };
            let most = most.min(conn.to_client.len());
            let bytes: Vec<u8> = conn.to_client.drain(..most).collect();
            if !bytes.is_empty() {
                let conn = self.conn(c);
                if !conn.server_closed && conn.room() > 0 {
                    conn.freed_at.get_or_insert(now);
                    self.wake_writer(c);
                }
                self.client_reads(c, &bytes);
            }
            let conn = self.conn(c);
            let is_over = conn.server_fin || conn.server_closed || conn.broken;
            if conn.to_client.is_empty() && is_over && !conn.ended {
                self.client_ends(c);
            }
        }
        let conn = self.conn(c);
        if conn.ended {
            return;
        }
        if !conn.unsent.is_empty() || (conn.mode != Mode::Stalled && !conn.to_client.is_empty()) {
            self.notify(c);
        }
    }

    /// A client closes its socket, whatever it is doing.
    pub(crate) fn client_leaves(&mut self, c: u32) {
        let conn = self.conn(c);
        if conn.client_closed || conn.vanished {
            return;
        }
        if matches!(&conn.reading, Reading::Head(head) if head.is_empty()) && !conn.ended {
            self.mark(Mark::LeftInHead);
        }
        let conn = self.conn(c);
        conn.client_fin = true;
        conn.client_closed = true;
        conn.unsent.clear();
        conn.to_client.clear();
        self.wake_reader(c);
        self.wake_writer(c);
    }
}

/// Connections that wait to be accepted; more are refused, as by a kernel.
const BACKLOG: usize = 400;

/// What virtual machines and networks may add to times.
pub(crate) const SLACK: Duration = Duration::from_millis(1000);
