//! The workers: they pump the machine and move the bytes.
//!
//! A cycle takes the lock once: it reports what became of the last batch and takes the next one. Then, without
//! the lock, it writes and reads. A stream that is in flight is with one worker only, so any number of them
//! may do this at once.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use sse_state::{
    Answer, Control, Ending, Input, Pumped, Report, Run, Sink, Socket, SubscriberId, Time,
};

use crate::conn::Conn;
use crate::hooks::StreamEnd;
use crate::reader::{self, Read};
use crate::shared::{End, Inner, Shared};
use crate::sources::Sources;
use crate::supervisor::Event;
use crate::table::{Entry, Table, Way};
use crate::wait::Waiters;

/// A worker, as a task.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    number: usize,
    asleep: bool,
    batch: Batch,
    buffer: Box<[u8]>,
}

/// What a worker has taken, and what it has to tell.
#[derive(Default)]
struct Batch {
    writes: Vec<(SubscriberId, u32, Arc<Conn>)>,
    /// The distinct runs of `writes`: a reference each, whoever they are for.
    runs: Vec<Bytes>,
    endings: Vec<(Arc<Conn>, Option<Ending>)>,
    wakers: Vec<Waker>,
    ready: Vec<(SubscriberId, Arc<Conn>)>,
    slots: Vec<u32>,

    reports: Vec<Report>,
    writable: Vec<SubscriberId>,
    gone: Vec<SubscriberId>,
    /// Whose last report said that they are gone.
    dead: Vec<SubscriberId>,
    /// Entries whose connections are closed by dropping them, which is a system call.
    trash: Vec<Entry>,
    /// It counts in [`Inner::batches`].
    is_out: bool,
}

/// What a cycle has left.
enum Left {
    Nothing,
    Work,
    /// The hub has ended.
    End,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Worker {
        Worker {
            shared,
            number,
            asleep: false,
            batch: Batch::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    fn cycle(&mut self) -> Left {
        let shared = &self.shared;
        let batch = &mut self.batch;
        shared.signal.lower();
        let slots_left = shared.ready.take(&mut batch.slots, BATCH);
        let now = shared.now();
        let (pumped, has_events, new_deadline, end) = {
            let mut inner = shared.lock();
            batch.bring_back(&mut inner, now);
            batch.resolve_ready(&inner.table);
            let pumped = batch.take(&mut inner);
            let mut new_deadline = false;
            if pumped == Pumped::Idle {
                let deadline = inner.engine.poll_timeout();
                // A later one needs no call: the timer finds it when it fires.
                new_deadline = match (deadline, inner.deadline) {
                    (Some(new), Some(known)) => new < known,
                    (Some(_), None) => true,
                    (None, _) => false,
                };
                if new_deadline {
                    inner.deadline = deadline;
                }
            }
            let last = inner.end == End::NotYet && inner.closing && inner.batches == 0;
            if last && inner.engine.is_terminated() {
                inner.end = End::Machine;
                batch.trash.extend(inner.table.clear());
            }
            let end = inner.end != End::NotYet;
            (pumped, !inner.events.is_empty() || end, new_deadline, end)
        };
        if new_deadline || end {
            shared.timer.ring();
        }
        if has_events {
            shared.supervisor.ring();
        }
        let left = slots_left || pumped == Pumped::More;
        if left && batch.is_out {
            // There is more than one batch: worth another worker.
            shared.signal.wake_one();
        }
        let worked = batch.is_out || !batch.trash.is_empty();
        for entry in batch.trash.drain(..) {
            match entry.way {
                Way::Conn(conn) => conn.close(),
                // The machine is done: whoever still pulls has been told by a close, or the hub is gone.
                Way::Pull(pull) => pull.ended(Ending::Cut).into_iter().for_each(Waker::wake),
            }
        }
        for waker in batch.wakers.drain(..) {
            waker.wake();
        }
        batch.end();
        batch.write();
        batch.read(shared, &mut self.buffer);
        if let Some(journal) = &shared.journal {
            journal.flush();
        }
        if end {
            shared.signal.wake_all();
            Left::End
        } else if left || worked {
            Left::Work
        } else {
            Left::Nothing
        }
    }
}

impl Future for Worker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.asleep && this.shared.signal.is_asleep(this.number, cx) {
            return Poll::Pending;
        }
        this.asleep = false;
        for _ in 0..CYCLES {
            match this.cycle() {
                Left::End => return Poll::Ready(()),
                Left::Work => {}
                Left::Nothing => {
                    if this.shared.signal.sleep(this.number, cx) {
                        this.asleep = true;
                        return Poll::Pending;
                    }
                }
            }
        }
        // Others want to run, too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Batch {
    /// Tells the machine what became of the last batch.
    fn bring_back(&mut self, inner: &mut Inner, now: Time) {
        if std::mem::take(&mut self.is_out) {
            inner.batches -= 1;
        }
        if !self.reports.is_empty() {
            let reports = Input::Report(Cow::Borrowed(&self.reports));
            // Reports of dead ids are counted there; nothing else can go wrong.
            let _ = inner.engine.apply(now, reports);
            self.reports.clear();
        }
        for id in self.writable.drain(..) {
            let _ = inner.engine.apply(now, Input::Writable { id });
        }
        for &id in &self.gone {
            // Stale if it was closed meanwhile.
            let _ = inner.engine.apply(now, Input::PeerGone { id });
        }
        for id in self.gone.drain(..).chain(self.dead.drain(..)) {
            // One that had been ended in order is named once more, by its close.
            if inner.engine.is_live(id) {
                continue;
            }
            if let Some(entry) = inner.table.remove(id) {
                if let Some(info) = &entry.info {
                    let info = Arc::clone(info);
                    inner.events.push_back(Event::Closed(info, StreamEnd::Gone));
                }
                self.trash.push(entry);
            }
        }
    }

    /// Finds the connections that were woken. A slot that has changed hands costs a needless look.
    fn resolve_ready(&mut self, table: &Table) {
        for slot in self.slots.drain(..) {
            if let Some(entry) = table.at(slot)
                && let Some(conn) = entry.way.conn()
            {
                self.ready.push((entry.id, Arc::clone(conn)));
            }
        }
    }

    /// Takes what the machine wants done.
    fn take(&mut self, inner: &mut Inner) -> Pumped {
        let Inner {
            engine,
            table,
            waiters,
            sources,
            events,
            batches,
            ..
        } = inner;
        let pumped = engine.pump(
            BATCH as u32,
            &mut Taker {
                batch: self,
                table,
                waiters,
                sources,
                events,
            },
        );
        if !(self.writes.is_empty() && self.endings.is_empty() && self.ready.is_empty()) {
            self.is_out = true;
            *batches += 1;
        }
        pumped
    }

    /// Ends write sides, and closes.
    fn end(&mut self) {
        for (conn, ending) in self.endings.drain(..) {
            match ending {
                // If it fails the peer is gone, which the next read tells.
                None => drop(conn.stream.shutdown_write()),
                Some(ending) => {
                    if ending == Ending::Cut {
                        conn.stream.reset_on_close();
                    } else {
                        reader::empty(&conn.stream);
                    }
                    conn.close();
                }
            }
        }
    }

    /// Writes each run to its socket.
    fn write(&mut self) {
        for (id, run, conn) in self.writes.drain(..) {
            let run = self.runs.get(run as usize).map_or(&[][..], |run| &run[..]);
            let (bytes, socket) = write(&conn, run);
            conn.waker.set_unfinished((bytes as usize) < run.len());
            if socket == Socket::Gone {
                self.dead.push(id);
            }
            self.reports.push(Report { id, bytes, socket });
        }
        self.runs.clear();
    }

    /// Reads from the connections that were woken.
    fn read(&mut self, shared: &Arc<Shared>, buffer: &mut [u8]) {
        for (id, conn) in self.ready.drain(..) {
            conn.waker.taken();
            let waker = conn.waker();
            let mut cx = Context::from_waker(&waker);
            // What is wrong with a socket, the next write finds out.
            if conn.waker.wants_write() && conn.stream.poll_writable(&mut cx).is_ready() {
                conn.waker.set_wants_write(false);
                self.writable.push(id);
            }
            match reader::read(shared, id, &conn, &mut cx, buffer) {
                Read::Pending => {}
                Read::Gone => self.gone.push(id),
            }
        }
    }
}

/// Writes what the socket takes. What it takes only in part is offered once more: a runtime may report a
/// block that is none.
fn write(conn: &Arc<Conn>, run: &[u8]) -> (u32, Socket) {
    let mut written = 0;
    // A run has at most 4 GiB.
    let report = |written: usize, socket| (written as u32, socket);
    while let Some(rest) = run.get(written..).filter(|rest| !rest.is_empty()) {
        match conn.stream.try_write(rest) {
            Ok(0) => return report(written, Socket::Gone),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // First the mark, then the waker, else a wake-up in between is lost.
                conn.waker.set_wants_write(true);
                let waker = conn.waker();
                match conn.stream.poll_writable(&mut Context::from_waker(&waker)) {
                    Poll::Pending => return report(written, Socket::Blocked),
                    Poll::Ready(Ok(())) => conn.waker.set_wants_write(false),
                    Poll::Ready(Err(_)) => return report(written, Socket::Gone),
                }
            }
            Err(_) => return report(written, Socket::Gone),
        }
    }
    report(written, Socket::Ready)
}

/// Puts what is pulled into a batch.
struct Taker<'a> {
    batch: &'a mut Batch,
    table: &'a mut Table,
    waiters: &'a mut Waiters,
    sources: &'a mut Sources,
    events: &'a mut VecDeque<Event>,
}

impl Taker<'_> {
    /// Where the run stands in the batch. Members of a topic get the same one, one after the other.
    fn run(&mut self, run: Run<'_>) -> u32 {
        let runs = &mut self.batch.runs;
        let is_same = |held: &&Bytes| held.as_ptr() == run.as_ptr() && held.len() == run.len();
        let last = runs.len();
        let recent = runs.iter().rev().take(RECENT_RUNS);
        match recent.zip(1..).find(|(held, _)| is_same(held)) {
            Some((_, back)) => (last - back) as u32,
            None => {
                runs.push(run.to_bytes());
                last as u32
            }
        }
    }
}

impl Sink for Taker<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        // Only connections are written to.
        let Some(conn) = self.table.get(id).and_then(|entry| entry.way.conn()) else {
            return Answer::Gone;
        };
        let conn = Arc::clone(conn);
        let run = self.run(run);
        self.batch.writes.push((id, run, conn));
        Answer::InFlight
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Finish { id } => {
                if let Some(conn) = self.table.get(id).and_then(|entry| entry.way.conn()) {
                    self.batch.endings.push((Arc::clone(conn), None));
                }
            }
            Control::Close { id, reason, ending } => {
                if let Some(entry) = self.table.remove(id) {
                    if let Some(info) = entry.info {
                        let end = StreamEnd::Closed(reason);
                        self.events.push_back(Event::Closed(info, end));
                    }
                    match entry.way {
                        Way::Conn(conn) => self.batch.endings.push((conn, Some(ending))),
                        Way::Pull(pull) => self.batch.wakers.extend(pull.ended(ending)),
                    }
                }
            }
            Control::StartSource { topic, token } => {
                let source = self.sources.started(&topic);
                self.events.push_back(Event::Start {
                    topic,
                    token,
                    source,
                });
            }
            Control::Poll { token, number, .. } => {
                self.events.push_back(Event::Poll { token, number });
            }
            Control::StopSource { token, reason, .. } => {
                self.events.push_back(Event::Stop { token, reason });
            }
            Control::Room { topic } => self.waiters.take(topic.as_str(), &mut self.batch.wakers),
            Control::Wake { id } => {
                if let Some(entry) = self.table.get(id)
                    && let Way::Pull(pull) = &entry.way
                {
                    self.batch.wakers.extend(pull.waker());
                }
            }
        }
    }
}

/// Visits of one pump, and connections that one cycle looks at.
const BATCH: usize = 256;
/// Cycles of one poll, after which the runtime gets its turn.
const CYCLES: usize = 4;
/// Runs that a new one is compared with: streams of a few different groups take turns.
const RECENT_RUNS: usize = 4;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;
