//! The runtime that the hub is run on: a virtual clock, tasks, and sockets in memory.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use sse_state_hub::{Accepted, Listener, NoRuntime, Runtime, Stream, Task, Time, Timer};

use super::bug::Bug;
use super::exec::Stepped;
use super::fault::{Fault, Site};
use super::lock;
use super::mark::Mark;
use super::state::{Core, Happens, Sim, Slot};

/// The runtime.
pub(crate) struct Virtual(pub(crate) Arc<Sim>);

impl Runtime for Virtual {
    fn enter() -> Result<Virtual, NoRuntime> {
        // There may be many at once: a hub is built on one of them.
        Err(NoRuntime)
    }

    fn now(&self) -> Time {
        self.0.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        Box::new(VirtualTimer {
            sim: Arc::clone(&self.0),
            set: None,
        })
    }

    fn spawn(&self, task: Task) {
        let id = self.0.exec.spawn(task);
        if self.0.core().bug(Bug::LosesATask) {
            self.0.exec.kill(id);
        }
    }

    fn spawn_worker(&self, task: Task) {
        self.0.exec.spawn(task);
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        let mut core = self.0.core();
        let (often, of) = if core.faults_on { (1, 4) } else { (0, 4) };
        let most = if core.chance(often, of) { 6000 } else { 20 };
        let time = core.between(Duration::ZERO, Duration::from_millis(most));
        core.after(time, Happens::Job(job));
    }
}

/// A timer, also the sleep of users' functions.
pub(crate) struct VirtualTimer {
    sim: Arc<Sim>,
    set: Option<(Time, Slot)>,
}

impl VirtualTimer {
    pub(crate) fn new(sim: &Arc<Sim>) -> VirtualTimer {
        VirtualTimer {
            sim: Arc::clone(sim),
            set: None,
        }
    }
}

impl Timer for VirtualTimer {
    fn poll_at(&mut self, at: Time, cx: &mut Context<'_>) -> Poll<()> {
        if self.sim.now() >= at {
            self.set = None;
            return Poll::Ready(());
        }
        if let Some((set, slot)) = &self.set
            && *set == at
        {
            *lock(slot) = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let slot: Slot = Arc::new(Mutex::new(Some(cx.waker().clone())));
        self.set = Some((at, Arc::clone(&slot)));
        let mut core = self.sim.core();
        let late = match core.fault(Site::Timer) {
            Some(_) => core.between(Duration::ZERO, LATE_TIMER),
            None => Duration::ZERO,
        };
        if !core.bug(Bug::LosesATimer) {
            core.at(at + late, Happens::Wake(slot));
        }
        Poll::Pending
    }
}

/// Waits, for users' functions.
pub(crate) async fn sleep(sim: Arc<Sim>, time: Duration) {
    let at = sim.now() + time;
    let mut timer = VirtualTimer::new(&sim);
    std::future::poll_fn(|cx| timer.poll_at(at, cx)).await;
}

/// Where connections come from.
pub(crate) struct VirtualListener(pub(crate) Arc<Sim>);

impl Listener for VirtualListener {
    type Stream = VirtualStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<VirtualStream>>> {
        let mut core = self.0.core();
        let Some(&c) = core.backlog.front() else {
            core.listen_waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        match core.fault(Site::Accept) {
            Some(Fault::AcceptAborted) => {
                core.mark(Mark::AcceptAborted);
                return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
            }
            Some(_) => {
                core.mark(Mark::AcceptExhausted);
                return Poll::Ready(Err(io::Error::other("too many open files")));
            }
            None => {}
        }
        core.backlog.pop_front();
        core.accepting = Some(c);
        Poll::Ready(Ok(Accepted {
            stream: VirtualStream {
                sim: Arc::clone(&self.0),
                c,
            },
            peer: None,
            local_is_loopback: true,
        }))
    }
}

impl Drop for VirtualListener {
    fn drop(&mut self) {
        let mut core = self.0.core();
        core.listens = false;
        if core.shutdown_at.is_none() {
            core.fail("accept", || String::from("the hub accepts no more"));
        }
        while let Some(c) = core.backlog.pop_front() {
            core.conn(c).server_reset = true;
            core.conn(c).server_closed = true;
            core.notify(c);
        }
    }
}

/// The server's end of a connection.
pub(crate) struct VirtualStream {
    sim: Arc<Sim>,
    c: u32,
}

impl VirtualStream {
    /// What goes wrong at this place; what concerns the machine or the peer has happened when it returns.
    fn fault(&self, site: Site) -> Option<Fault> {
        let mut core = self.sim.core();
        let c = self.c;
        let fault = core.fault(site)?;
        core.tell(|| format!("connection {c}: fault {fault:?}"));
        match fault {
            Fault::Preempted => {
                drop(core);
                self.sim.preempt();
            }
            Fault::SlowMachine => {
                let time = core.between(Duration::from_micros(50), SLOW_MACHINE);
                let to = core.now() + time;
                core.advance(to);
            }
            Fault::SpuriousWake => {
                core.mark(Mark::SpuriousWake);
                core.at(Time::ZERO, Happens::Readable(self.c));
                core.at(Time::ZERO, Happens::Writable(self.c));
            }
            Fault::PeerResets => core.break_conn(self.c),
            Fault::PeerEnds => core.client_leaves(self.c),
            Fault::PeerVanishes => core.conn(self.c).vanished = true,
            Fault::PeerStalls => {
                let conn = core.conn(self.c);
                conn.mode = super::conn::Mode::Stalled;
                conn.was_slow = true;
            }
            fault => return Some(fault),
        }
        None
    }
}

impl Stream for VirtualStream {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let fault = self.fault(Site::Read);
        self.sim.core().server_reads(self.c, into, fault)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.fault(Site::Write);
        self.sim.core().server_writes(self.c, bytes, fault)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fault = self.fault(Site::PollRead);
        let mut core = self.sim.core();
        let conn = core.conn(self.c);
        let is_ready = conn.is_readable();
        if is_ready && fault.is_none() {
            return Poll::Ready(Ok(()));
        }
        conn.read_waker = Some(cx.waker().clone());
        if is_ready {
            core.mark(Mark::LateReadiness);
            let time = core.between(Duration::ZERO, LATE_READINESS);
            core.after(time, Happens::Readable(self.c));
        } else if let Some(fault) = fault {
            core.uncount_fault(fault);
        }
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fault = self.fault(Site::PollWrite);
        let mut core = self.sim.core();
        let conn = core.conn(self.c);
        let is_ready = conn.is_writable();
        if is_ready && fault.is_none() {
            return Poll::Ready(Ok(()));
        }
        conn.write_waker = Some(cx.waker().clone());
        if is_ready {
            core.mark(Mark::LateReadiness);
            let time = core.between(Duration::ZERO, LATE_READINESS);
            core.after(time, Happens::Writable(self.c));
        } else if let Some(fault) = fault {
            core.uncount_fault(fault);
        }
        Poll::Pending
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let fault = self.fault(Site::Fin);
        let mut core = self.sim.core();
        let conn = core.conn(self.c);
        conn.server_fin = true;
        if !conn.partial {
            // Nothing more comes: from here on it is the peer that is waited for.
            conn.stuck_since = None;
        }
        core.notify(self.c);
        if fault.is_some() {
            core.break_conn(self.c);
        }
        if core.conn(self.c).broken {
            return Err(ErrorKind::NotConnected.into());
        }
        Ok(())
    }

    fn reset_on_close(&self) {
        let mut core = self.sim.core();
        let is_buggy = core.bug(Bug::EndsInsteadOfResetting);
        core.conn(self.c).resets_on_close = !is_buggy;
    }

    fn set_options(&self, user_timeout: Duration) {
        self.sim.core().conn(self.c).user_timeout = Some(user_timeout);
    }
}

impl Drop for VirtualStream {
    fn drop(&mut self) {
        // Wakers are dropped after the lock is free.
        let _wakers = {
            let mut core = self.sim.core();
            core.server_closes(self.c);
            let conn = core.conn(self.c);
            (conn.read_waker.take(), conn.write_waker.take())
        };
    }
}

impl Core {
    fn server_reads(&mut self, c: u32, into: &mut [u8], fault: Option<Fault>) -> io::Result<usize> {
        match fault {
            Some(Fault::InterruptedRead) => {
                self.mark(Mark::InterruptedRead);
                return Err(ErrorKind::Interrupted.into());
            }
            Some(Fault::FalseBlockedRead) => return Err(ErrorKind::WouldBlock.into()),
            Some(Fault::ResetRead) => self.break_conn(c),
            _ => {}
        }
        let conn = self.conn(c);
        if conn.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if conn.to_server.is_empty() {
            return if conn.client_fin {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let most = if fault == Some(Fault::ShortRead) {
            1
        } else {
            into.len()
        };
        let bytes = conn.to_server.len().min(most);
        for (to, from) in into.iter_mut().zip(conn.to_server.drain(..bytes)) {
            *to = from;
        }
        Ok(bytes)
    }

    fn server_writes(&mut self, c: u32, bytes: &[u8], fault: Option<Fault>) -> io::Result<usize> {
        if self.conn(c).server_fin {
            self.fail("D11", || {
                format!("connection {c} is written to after its end")
            });
        }
        match fault {
            Some(Fault::InterruptedWrite) => {
                self.mark(Mark::InterruptedWrite);
                return Err(ErrorKind::Interrupted.into());
            }
            Some(Fault::FalseBlockedWrite) => {
                self.mark(Mark::FalseBlock);
                return Err(ErrorKind::WouldBlock.into());
            }
            Some(Fault::ResetWrite) => self.break_conn(c),
            _ => {}
        }
        let now = self.now();
        let conn = self.conn(c);
        if conn.client_closed && !conn.broken {
            // Nobody is there to take it: the peer's kernel answers with a reset.
            self.break_conn(c);
            return Ok(bytes.len());
        }
        if conn.broken {
            if conn.partial {
                self.mark(Mark::PartialWriteThenReset);
            }
            return Err(ErrorKind::BrokenPipe.into());
        }
        if conn.vanished && !conn.dying {
            conn.dying = true;
            let time = conn.user_timeout.unwrap_or(Duration::from_secs(900));
            self.after(time, Happens::Dead(c));
        }
        let patience = self.setup.config.reader_patience / 2;
        let conn = self.conn(c);
        if conn
            .stuck_since
            .is_some_and(|since| now.since(since) >= patience)
        {
            conn.was_slow = true;
        }
        let room = conn.room();
        if room == 0 {
            conn.stuck_since.get_or_insert(now);
            let is_partial = conn.partial;
            self.tell(|| format!("connection {c} is full"));
            if is_partial {
                self.mark(Mark::PartialWriteThenBlock);
            }
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut taken = room.min(bytes.len());
        if matches!(fault, Some(Fault::ShortWrite | Fault::PartThenReset)) {
            taken = 1 + self.pick(taken as u32 - 1) as usize;
        }
        let mut sent = bytes[..taken].to_vec();
        if self.bug(Bug::FlipsAByte) {
            sent[taken / 2] ^= 1;
        }
        if self.bug(Bug::LosesAByte) {
            sent.pop();
        }
        if self.bug(Bug::DoublesAByte) {
            sent.push(bytes[taken - 1]);
        }
        let conn = self.conn(c);
        conn.to_client.extend_from_slice(&sent);
        let offered = bytes.len();
        conn.trickles |= conn.stuck_since.is_some() && taken < offered;
        conn.partial = taken < offered;
        conn.freed_at = None;
        conn.stuck_since = conn.partial.then_some(now);
        self.tell(|| format!("connection {c} takes {taken} of {offered}"));
        self.notify(c);
        if fault == Some(Fault::PartThenReset) {
            self.break_conn(c);
        }
        Ok(taken)
    }

    /// The hub drops its end.
    fn server_closes(&mut self, c: u32) {
        let now = self.now();
        let conn = self.conn(c);
        let open = now.since(conn.opened);
        conn.server_closed = true;
        // As a kernel does it: bytes that nobody has read make an end a reset.
        conn.server_reset = conn.resets_on_close || !conn.to_server.is_empty();
        self.tally.connected += open;
        self.tell(|| format!("connection {c} is closed"));
        self.notify(c);
    }
}

impl Sim {
    /// Somebody else runs in the middle of a write: another thread, as it were.
    fn preempt(self: &Arc<Sim>) {
        if self.depth.load(Ordering::Relaxed) > 2 {
            return;
        }
        self.depth.fetch_add(1, Ordering::Relaxed);
        let times = 1 + self.core().pick(3);
        for _ in 0..times {
            let does = self.core().pick(6);
            match does {
                0 | 1 => self.interrupt(),
                2 => self.happen_early(),
                _ => {}
            }
            if self.exec.step(|n| self.core().pick(n)) == Stepped::Panicked {
                self.core()
                    .fail("X1", || String::from("a task of the hub panicked"));
            }
        }
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }
}

const LATE_TIMER: Duration = Duration::from_millis(20);
const LATE_READINESS: Duration = Duration::from_millis(50);
const SLOW_MACHINE: Duration = Duration::from_millis(2);
