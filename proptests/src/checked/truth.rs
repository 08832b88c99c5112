//! What scripted sockets know, and how it compares with what the driver says.

use sse_state::{CloseReason, Ending, Input, SourceToken, SubscriberId};

use super::ledger::{Ledger, Truth};
use super::words::brief;

/// What the last attempt to write came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// There was none.
    Untried,
    /// It took so many bytes.
    Took(usize),
    /// It blocked.
    Blocked,
    /// It failed.
    Failed,
}

impl Ledger {
    /// A connection was accepted.
    pub(crate) fn socket(&mut self, key: usize) {
        self.tell(|| format!("  accept: socket {key}"));
        self.unannounced.push_back(key);
        self.sockets.insert(key, Truth::default());
    }

    /// The driver will hear of this socket.
    pub(crate) fn registered(&mut self, key: usize) {
        self.truth(key).registered = true;
    }

    /// Bytes are offered to a socket.
    pub(crate) fn offers(&mut self, key: usize, bytes: &[u8]) {
        let Some(id) = self.id_of(key) else { return };
        let wrong = match self.conns.get(&id) {
            Some(conn) if conn.finish => {
                let text = format!("{} bytes are written to {id} after Finish", bytes.len());
                return self.broken("K11", text);
            }
            Some(conn) => match &conn.lent {
                None => Some("nothing is lent".to_string()),
                Some(lent) if lent.rest().starts_with(bytes) => None,
                Some(lent) => {
                    let (size, taken) = (lent.run.len(), lent.taken);
                    Some(format!(
                        "lent are {size} bytes of which it took {taken}, and these differ"
                    ))
                }
            },
            None => None,
        };
        if let Some(wrong) = wrong {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            self.broken(
                "K19",
                format!("{text:?} is written to {id}, to whom {wrong}"),
            );
        }
    }

    /// What the socket did with them.
    pub(crate) fn wrote(&mut self, key: usize, outcome: Outcome) {
        self.tell(|| format!("  socket {key} write: {outcome:?}"));
        if outcome == Outcome::Failed {
            self.truth(key).gone = true;
        }
        let id = self.id_of(key);
        let conn = id.and_then(|id| self.conns.get_mut(&id));
        if let Some(lent) = conn.and_then(|conn| conn.lent.as_mut()) {
            lent.last = outcome;
            if let Outcome::Took(bytes) = outcome {
                lent.taken += bytes;
            }
        }
    }

    /// Bytes were read from it; `None`: its end, or an error.
    pub(crate) fn read(&mut self, key: usize, bytes: Option<usize>) {
        self.tell(|| format!("  socket {key} read: {bytes:?}"));
        if bytes.is_none() {
            self.truth(key).gone = true;
        }
        let id = self.id_of(key);
        if let Some(conn) = id.and_then(|id| self.conns.get_mut(&id)) {
            conn.read += bytes.unwrap_or(0) as u64;
        }
    }

    /// The driver is told that a socket that had blocked has room.
    pub(crate) fn announces_room(&mut self, key: usize) {
        let id = self.id_of(key);
        if let Some(conn) = id.and_then(|id| self.conns.get_mut(&id)) {
            conn.has_room = !conn.dead;
        }
    }

    /// The write side of a socket was shut.
    pub(crate) fn shut(&mut self, key: usize, fails: bool) {
        self.tell(|| format!("  socket {key} shut for writing"));
        let truth = self.truth(key);
        truth.shut = true;
        truth.shut_failed |= fails;
        if let Some(id) = self.id_of(key)
            && self.conns.get(&id).is_some_and(|c| !c.finish && !c.dead)
        {
            self.broken(
                "K11",
                format!("the write side of {id} is shut without a Finish"),
            );
        }
    }

    /// The driver says that the peer is gone.
    pub(super) fn expect_gone(&mut self, id: SubscriberId) {
        let key = self.conns.get(&id).and_then(|conn| conn.socket);
        let truth = key.and_then(|key| self.sockets.get(&key));
        if truth.is_some_and(|truth| !truth.gone && !truth.shut_failed) {
            self.broken(
                "K12",
                format!("it says that the peer of {id} is gone, and it is not"),
            );
        }
    }

    /// A socket was closed.
    pub(crate) fn closed(&mut self, key: usize, how: Ending, unread: bool) {
        self.tell(|| format!("  socket {key} closed: {how:?}"));
        self.truth(key).closed = Some(how);
        let Some(id) = self.id_of(key) else { return };
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let gone = self.sockets.get(&key).is_some_and(|truth| truth.gone);
        match conn.ending {
            Some(ending) if ending != how && !(gone && how == Ending::Cut) => {
                let text = format!("{id} was to be closed {ending:?}, and was closed {how:?}");
                self.broken("K10", text);
            }
            Some(Ending::Orderly) if unread && !gone => {
                let text = "closed with bytes unread, which makes a reset of an orderly end";
                self.broken("K11", format!("{id} was {text}"));
            }
            _ => {}
        }
    }

    /// The driver was handed an input.
    pub(crate) fn hands(&mut self, input: Input<'static>) {
        self.tell(|| format!("  takes {}", brief(&input)));
        self.handed.push_back(input);
    }

    /// A source or a poll was begun.
    pub(crate) fn begins(&mut self, topic: &str, token: SourceToken, number: u64) {
        self.tell(|| format!("  begins {token} number {number}"));
        let asked = self
            .sources
            .get(&token)
            .is_some_and(|source| source.topic.as_str() == topic && number <= source.polls);
        if !asked {
            let text = format!("poll {number} of {token} for {topic} is begun, and nobody asked");
            self.broken("K14", text);
        }
    }

    /// Runs of sources that are to be executed now: token, number of the poll (0: none was asked for), topic.
    pub(crate) fn wanted(&self) -> Vec<(SourceToken, u64, String)> {
        let running = self.sources.iter().filter(|(_, source)| source.running);
        running
            .map(|(token, source)| (*token, source.polls, source.topic.as_str().into()))
            .collect()
    }

    /// What the machine closed this socket for, and whether it was ever asked for a stream.
    pub(crate) fn end_of(&self, key: usize) -> (Option<CloseReason>, bool) {
        let conn = self.id_of(key).and_then(|id| self.conns.get(&id));
        conn.map_or((None, false), |conn| (conn.reason, conn.tried))
    }

    /// True if a request of this socket was decided on, or need not be any more.
    pub(crate) fn is_decided(&self, key: usize) -> bool {
        let id = self.sockets.get(&key).and_then(|truth| truth.id);
        match id.and_then(|id| self.conns.get(&id)) {
            Some(conn) => conn.decided || conn.dead,
            None => self.sockets.get(&key).is_some_and(|truth| truth.refused),
        }
    }

    /// What must be done with sockets before the driver waits.
    pub(super) fn truth_before_a_wait(&mut self) {
        let mut wrong: Vec<(&'static str, String)> = Vec::new();
        if let Some(key) = self.unannounced.front() {
            wrong.push((
                "K13",
                format!("socket {key} was accepted, and no Accept was fed"),
            ));
        }
        if let Some(input) = self.handed.front() {
            wrong.push(("K18", format!("{} was taken, and not fed", brief(input))));
        }
        for (key, truth) in &self.sockets {
            let closed = truth.closed.is_some();
            if truth.refused && !closed {
                wrong.push((
                    "K13",
                    format!("Accept was refused, and socket {key} is open"),
                ));
            }
            let Some(conn) = truth.id.and_then(|id| self.conns.get(&id)) else {
                continue;
            };
            let id = truth.id.map_or(String::new(), |id| id.to_string());
            if conn.dead && !closed {
                wrong.push(("K10", format!("{id} is dead, and its socket {key} is open")));
            }
            if conn.dead {
                continue;
            }
            if closed {
                wrong.push((
                    "K12",
                    format!("the socket of {id} is closed, and it lives on"),
                ));
            } else if truth.gone {
                wrong.push((
                    "K12",
                    format!("the peer of {id} is gone, and nobody said so"),
                ));
            } else if !truth.registered {
                wrong.push((
                    "K13",
                    format!("no events are asked for of socket {key} of {id}"),
                ));
            }
            if conn.finish && !truth.shut && !closed {
                wrong.push((
                    "K11",
                    format!("{id} is to finish, and its write side is open"),
                ));
            }
            if conn.has_room {
                wrong.push((
                    "K8",
                    format!("{id} has room again, and no Writable was fed"),
                ));
            }
            // An empty line before a head need not be kept.
            if conn.read > conn.held + 2 && !conn.decided {
                let (read, held) = (conn.read, conn.held);
                let text = format!("{read} bytes of the head of {id} were read, and {held} told");
                wrong.push(("K20", text));
            }
        }
        for (rule, text) in wrong {
            self.broken(rule, text);
        }
    }

    fn id_of(&self, key: usize) -> Option<SubscriberId> {
        self.sockets.get(&key).and_then(|truth| truth.id)
    }

    fn truth(&mut self, key: usize) -> &mut Truth {
        self.sockets.entry(key).or_default()
    }
}
