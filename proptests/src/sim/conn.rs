//! One connection: the two ends of a socket, and the client behind it.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use sse_state_hub::Time;

use super::bug::Bug;
use super::client::Ask;
use super::reading::Reading;
use super::state::{Core, Happens};

/// A connection.
pub(crate) struct Conn {
    pub(crate) ask: Ask,
    /// Its id in the machine, once it has one.
    pub(crate) id: Option<u64>,
    pub(crate) opened: Time,
    /// When the hub has taken it.
    pub(crate) accepted: Option<Time>,

    // The way to the server.
    pub(crate) to_server: VecDeque<u8>,
    /// What the client has not sent yet.
    pub(crate) unsent: VecDeque<u8>,
    /// Bytes that it sends at a time.
    pub(crate) piece: usize,
    pub(crate) pieces: u32,
    /// When all of it was sent.
    pub(crate) said_at: Option<Time>,
    pub(crate) client_fin: bool,
    /// The client's side is closed: what comes there is answered by a reset.
    pub(crate) client_closed: bool,
    pub(crate) broken: bool,
    pub(crate) vanished: bool,
    pub(crate) dying: bool,

    // The way to the client.
    pub(crate) to_client: Vec<u8>,
    pub(crate) window: usize,
    pub(crate) server_fin: bool,
    pub(crate) server_reset: bool,
    /// The hub has closed it.
    pub(crate) server_closed: bool,
    pub(crate) resets_on_close: bool,

    // What the hub waits for.
    pub(crate) read_waker: Option<Waker>,
    pub(crate) write_waker: Option<Waker>,
    pub(crate) user_timeout: Option<Duration>,
    /// The last write was accepted in part.
    pub(crate) partial: bool,
    /// Since when it has accepted nothing of what it was offered.
    pub(crate) stuck_since: Option<Time>,
    /// It has taken something in part twice in a row.
    pub(crate) trickles: bool,
    /// Since when there is room again.
    pub(crate) freed_at: Option<Time>,
    /// It once accepted nothing for so long that no publisher waits for it.
    pub(crate) was_slow: bool,
    /// A run of it is with a worker.
    pub(crate) in_flight: bool,

    // The client.
    pub(crate) mode: Mode,
    pub(crate) latency: Duration,
    pub(crate) is_scheduled: bool,
    pub(crate) reading: Reading,
    pub(crate) ended: bool,
    pub(crate) member: Option<Member>,
    /// How the machine closed it, once `on_close` has said so.
    pub(crate) closed_for: Option<sse_state_hub::StreamEnd>,
    pub(crate) hook_running: bool,
    /// When the grant of its hook ends.
    pub(crate) granted_until: Option<Time>,
    pub(crate) is_told_open: bool,
}

/// How a client reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Fast,
    /// So many bytes at a time.
    Throttled(usize),
    Stalled,
}

/// A stream, from the accepted subscribe on: what it may get.
pub(crate) struct Member {
    /// Topic, and the next entry of its ledger that the stream has not got.
    pub(crate) topics: Vec<Follow>,
    pub(crate) expires: Option<Time>,
    pub(crate) is_over: bool,
    /// The lengths of the ledgers when it ended.
    pub(crate) until: Option<Vec<usize>>,
}

/// One topic of a stream.
pub(crate) struct Follow {
    pub(crate) topic: usize,
    pub(crate) cursor: usize,
    /// Notices that have come since the last event: the number missed, if it was told.
    pub(crate) notice: Option<Option<u64>>,
    /// The length of the ledger when it joined.
    pub(crate) from: usize,
    /// Where the life of the topic began that it joined.
    pub(crate) life: usize,
    /// It resumed.
    pub(crate) resumes: bool,
}

impl Conn {
    pub(crate) fn new(ask: Ask, opened: Time) -> Conn {
        Conn {
            ask,
            id: None,
            opened,
            accepted: None,
            to_server: VecDeque::new(),
            unsent: VecDeque::new(),
            piece: usize::MAX,
            pieces: 0,
            said_at: None,
            client_fin: false,
            client_closed: false,
            broken: false,
            vanished: false,
            dying: false,
            to_client: Vec::new(),
            window: 16 << 10,
            server_fin: false,
            server_reset: false,
            server_closed: false,
            resets_on_close: false,
            read_waker: None,
            write_waker: None,
            user_timeout: None,
            partial: false,
            stuck_since: None,
            trickles: false,
            freed_at: None,
            was_slow: false,
            in_flight: false,
            mode: Mode::Fast,
            latency: Duration::from_millis(1),
            is_scheduled: false,
            reading: Reading::Head(Vec::new()),
            ended: false,
            member: None,
            closed_for: None,
            hook_running: false,
            granted_until: None,
            is_told_open: false,
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.to_client.len())
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.to_server.is_empty() || self.client_fin || self.broken
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.room() > 0 || self.broken || self.client_closed
    }

    /// Somebody is there who reads.
    pub(crate) fn reads(&self) -> bool {
        !self.vanished && !self.client_closed && !self.ended && self.mode != Mode::Stalled
    }

    /// An open stream whose client reads.
    pub(crate) fn is_open_stream(&self) -> bool {
        self.reads()
            && !self.broken
            && !self.client_fin
            && !self.server_closed
            && !self.server_fin
            && self.member.as_ref().is_some_and(|member| !member.is_over)
    }
}

impl Core {
    pub(crate) fn conn(&mut self, c: u32) -> &mut Conn {
        &mut self.conns[c as usize]
    }

    /// Tells the hub that it may read.
    pub(crate) fn wake_reader(&mut self, c: u32) {
        if self.conn(c).read_waker.is_some() && self.bug(Bug::LosesReadiness) {
            self.conn(c).read_waker = None;
        }
        if let Some(waker) = self.conn(c).read_waker.take() {
            waker.wake();
        }
    }

    /// Tells the hub that it may write.
    pub(crate) fn wake_writer(&mut self, c: u32) {
        if self.conn(c).write_waker.is_some() && self.bug(Bug::LosesWritable) {
            self.conn(c).write_waker = None;
        }
        if let Some(waker) = self.conn(c).write_waker.take() {
            waker.wake();
        }
    }

    /// Has the client look at its socket, unless it does not.
    pub(crate) fn notify(&mut self, c: u32) {
        let conn = self.conn(c);
        if conn.is_scheduled || !conn.reads() {
            return;
        }
        conn.is_scheduled = true;
        let latency = conn.latency;
        self.after(latency, Happens::Client(c));
    }

    /// The connection breaks, as by a reset of the peer or of the network.
    pub(crate) fn break_conn(&mut self, c: u32) {
        let conn = self.conn(c);
        conn.broken = true;
        conn.client_fin = true;
        conn.to_server.clear();
        conn.to_client.clear();
        self.wake_reader(c);
        self.wake_writer(c);
        self.notify(c);
    }
}
