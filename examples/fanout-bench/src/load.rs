//! The load generator: any number of streams on one epoll loop.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use crate::clock;
use crate::follow::Counts;
use crate::stream::{Phase, Plan, Stream};

/// Streams, and what they have got.
pub struct Load {
    poll: Poll,
    ready: Events,
    streams: Vec<Stream>,
    /// They wait to be connected.
    waiting: VecDeque<usize>,
    /// They are being connected or have no answer yet.
    connecting: usize,
    /// They may have more to read.
    again: Vec<usize>,
    buffer: Box<[u8]>,
    /// Events that have come.
    pub events: u64,
    /// From publish to arrival, in nanoseconds, of the streams for which `times` says so.
    pub latency: Histogram<u64>,
    /// Which streams' latencies are taken: those before this one.
    pub times: usize,
}

impl Load {
    /// No streams yet.
    ///
    /// # Errors
    /// If there is no epoll to be had.
    pub fn new() -> Result<Load, String> {
        let histogram = Histogram::new_with_bounds(1_000, 100_000_000_000, 3);
        Ok(Load {
            poll: Poll::new().map_err(text)?,
            ready: Events::with_capacity(1024),
            streams: Vec::new(),
            waiting: VecDeque::new(),
            connecting: 0,
            again: Vec::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            events: 0,
            latency: histogram.map_err(|error| error.to_string())?,
            times: usize::MAX,
        })
    }

    /// A stream more; it connects when it is its turn.
    pub fn add(&mut self, plan: Plan) -> usize {
        let at = self.streams.len();
        self.streams.push(Stream::new(plan));
        self.waiting.push_back(at);
        at
    }

    /// Connects a stream again that has ended or was closed; it keeps what it has got.
    pub fn again(&mut self, at: usize, plan: Plan) {
        let stream = &mut self.streams[at];
        stream.plan = plan;
        stream.phase = Phase::Waiting;
        self.waiting.push_back(at);
    }

    /// One of the streams.
    pub fn stream(&self, at: usize) -> &Stream {
        &self.streams[at]
    }

    /// One of the streams, to send or to close.
    pub fn stream_mut(&mut self, at: usize) -> &mut Stream {
        &mut self.streams[at]
    }

    /// All streams.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Closes a stream from here.
    pub fn close(&mut self, at: usize, reset: bool) {
        let was_connecting = is_connecting(self.streams[at].phase);
        self.streams[at].close(reset);
        self.connecting -= usize::from(was_connecting);
    }

    /// How many streams stand so.
    pub fn count(&self, phase: Phase) -> usize {
        let streams = self.streams.iter();
        streams.filter(|stream| stream.phase == phase).count()
    }

    /// What all streams have got together.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for stream in &self.streams {
            sum.add(&stream.counts);
        }
        sum
    }

    /// Makes a stream read, or leaves what comes in the kernel.
    ///
    /// # Errors
    /// If epoll refuses.
    pub fn set_reads(&mut self, at: usize, reads: bool) -> Result<(), String> {
        let stream = &mut self.streams[at];
        if stream.plan.reads == reads {
            return Ok(());
        }
        stream.plan.reads = reads;
        if let Some(socket) = stream.socket() {
            let registry = self.poll.registry();
            let interest = if reads { READ } else { Interest::WRITABLE };
            registry
                .reregister(socket, Token(at), interest)
                .map_err(text)?;
        }
        Ok(())
    }

    /// Connects everything that waits, and reads meanwhile.
    ///
    /// # Errors
    /// If they are not all open in time.
    pub fn open_all(&mut self, limit: Duration) -> Result<(), String> {
        let done = |load: &mut Load| load.waiting.is_empty() && load.connecting == 0;
        self.run(limit, done)?;
        let open = self.count(Phase::Open);
        if open == self.streams.len() {
            return Ok(());
        }
        let failed = self
            .streams
            .iter()
            .find(|stream| stream.phase != Phase::Open);
        let failed = failed.map(|stream| (stream.phase, stream.status(), stream.error()));
        Err(format!(
            "{open} of {} streams are open after {limit:?}; one of the others: {failed:?}",
            self.streams.len()
        ))
    }

    /// Reads until `done` says so, or the time is over. True if it did.
    ///
    /// # Errors
    /// If epoll fails.
    pub fn run(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Load) -> bool,
    ) -> Result<bool, String> {
        let end = Instant::now() + limit;
        loop {
            if done(self) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.turn(left.min(LOOK))?;
        }
    }

    /// Waits for something to be ready, and looks at what is.
    ///
    /// # Errors
    /// If epoll fails.
    pub fn turn(&mut self, limit: Duration) -> Result<(), String> {
        self.connect_more();
        let limit = if self.again.is_empty() {
            limit
        } else {
            Duration::ZERO
        };
        match self.poll.poll(&mut self.ready, Some(limit)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(text(error)),
        }
        let ready = std::mem::replace(&mut self.ready, Events::with_capacity(0));
        for event in &ready {
            let Token(at) = event.token();
            if self.streams[at].phase == Phase::Connecting {
                self.streams[at].ask();
                self.asked(at);
            }
            if event.is_readable() && self.streams[at].plan.reads {
                self.read(at, event.is_read_closed());
            }
        }
        self.ready = ready;
        for at in std::mem::take(&mut self.again) {
            self.read(at, true);
        }
        Ok(())
    }

    fn connect_more(&mut self) {
        while self.connecting < CONNECTING {
            let Some(at) = self.waiting.pop_front() else {
                return;
            };
            let stream = &mut self.streams[at];
            if stream.phase != Phase::Waiting {
                continue;
            }
            let registry = self.poll.registry();
            let begun = stream.connect().and_then(|()| match stream.socket() {
                Some(socket) => registry.register(socket, Token(at), BOTH),
                None => Ok(()),
            });
            match begun {
                Ok(()) => self.connecting += 1,
                Err(_) => stream.phase = Phase::Failed,
            }
        }
    }

    /// The request was sent, or it failed: only reading is of interest now.
    fn asked(&mut self, at: usize) {
        let stream = &mut self.streams[at];
        let (phase, reads) = (stream.phase, stream.plan.reads);
        if phase == Phase::Failed {
            self.connecting -= 1;
        }
        if phase != Phase::Asked {
            return;
        }
        if !reads {
            // Nothing more is known of it.
            stream.phase = Phase::Open;
            self.connecting -= 1;
        }
        let interest = if reads { READ } else { Interest::WRITABLE };
        if let Some(socket) = stream.socket() {
            // It was registered before.
            let _ = self.poll.registry().reregister(socket, Token(at), interest);
        }
    }

    fn read(&mut self, at: usize, to_end: bool) {
        let Load {
            streams,
            buffer,
            events,
            latency,
            ..
        } = self;
        let stream = &mut streams[at];
        let was_connecting = is_connecting(stream.phase);
        let takes_time = at < self.times;
        let mut now = 0;
        let more = stream.read(buffer, to_end, |stamp| {
            *events += 1;
            if takes_time {
                if now == 0 {
                    now = clock::nanos();
                }
                latency.saturating_record(now.saturating_sub(stamp.nanos));
            }
        });
        if was_connecting && !is_connecting(stream.phase) {
            self.connecting -= 1;
        }
        if more {
            self.again.push(at);
        }
    }
}

fn is_connecting(phase: Phase) -> bool {
    matches!(phase, Phase::Connecting | Phase::Asked)
}

fn text(error: io::Error) -> String {
    format!("epoll: {error}")
}

const READ: Interest = Interest::READABLE;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
/// Connections that are begun and have no answer yet.
const CONNECTING: usize = 256;
/// How often a condition is looked at when nothing happens.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of one read.
const BUFFER: usize = 128 << 10;
