//! The loop: it waits, feeds what has happened, and pumps.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use example_service::net::{self, ACCEPT_PAUSE, Accept};
use example_service::{Exchange, Service};
use sse_state::{
    Answer, Config, Control, Ending, Engine, Input, Name, Next, Pumped, Reply, Report, Run, Sink,
    Socket, SourceToken, SubscriberId, Time,
};

use crate::ring::{Done, Op, Ring};

/// A listener and the queues.
pub struct Loop {
    ring: Ring,
    listener: TcpListener,
    inputs: Receiver<Input<'static>>,
    woken: UnixStream,
    /// Where it listens.
    pub addr: SocketAddr,
    /// For other threads.
    pub handle: Handle,
}

/// Hands inputs to the loop, from any thread.
#[derive(Clone)]
pub struct Handle(Sender<Input<'static>>, Arc<UnixStream>);

impl Handle {
    /// Hands an input to the loop: a publish, the end. What the machine refuses is dropped.
    pub fn send(&self, input: Input<'static>) {
        if self.0.send(input).is_ok() {
            // If it blocks there are bytes enough to wake the loop; if it fails the loop is gone.
            let _ = (&*self.1).write(&[1]);
        }
    }
}

impl Loop {
    /// Listens.
    ///
    /// # Errors
    /// As `bind`, and as `io_uring_setup`.
    pub fn listen(addr: SocketAddr, config: &Config) -> io::Result<Loop> {
        let ring = Ring::new()?;
        let listener = net::listen(addr, config)?;
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (sender, inputs) = channel();
        Ok(Loop {
            ring,
            addr: listener.local_addr()?,
            listener,
            inputs,
            woken,
            handle: Handle(sender, Arc::new(waker)),
        })
    }

    /// Serves until the machine has ended.
    ///
    /// # Errors
    /// If the queues fail.
    pub fn serve(self, state: impl Engine, service: impl Service) -> io::Result<Figures> {
        let mut hands = Hands {
            ring: self.ring,
            conns: HashMap::new(),
            closing: HashMap::new(),
            polls: Vec::new(),
            service,
            failed: None,
        };
        hands.ring.start(&self.woken, Op::Inputs)?;
        let accepting = hands.ring.start(&self.listener, Op::Accept)?;
        let mut server = Server {
            state,
            hands,
            listener: Some(self.listener),
            accepting: Some(accepting),
            accept_at: None,
            inputs: self.inputs,
            woken: self.woken,
            start: Instant::now(),
            now: Time::ZERO,
            figures: Figures::default(),
        };
        server.run()?;
        Ok(server.figures)
    }
}

/// How well sends were batched.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Figures {
    /// Sends.
    pub sends: u64,
    /// System calls that took sends to the kernel.
    pub batches: u64,
}

struct Server<E, S> {
    state: E,
    hands: Hands<S>,
    /// Closed by the shutdown.
    listener: Option<TcpListener>,
    /// The operation that tells of connections.
    accepting: Option<usize>,
    /// When to accept again, after an error that no event will end.
    accept_at: Option<Time>,
    inputs: Receiver<Input<'static>>,
    woken: UnixStream,
    start: Instant,
    now: Time,
    figures: Figures,
}

/// What executes the machine's actions.
struct Hands<S> {
    ring: Ring,
    conns: HashMap<SubscriberId, Conn>,
    /// Closed, but an operation holds the socket open.
    closing: HashMap<SubscriberId, Conn>,
    /// Polls of sources to be made.
    polls: Vec<(Name, SourceToken, u64)>,
    service: S,
    /// Why the queues do not work.
    failed: Option<io::Error>,
}

struct Conn {
    stream: TcpStream,
    exchange: Exchange,
    /// The operations that wait until it can be read, and written.
    readable: Option<usize>,
    writable: Option<usize>,
    sends: bool,
}

impl<E: Engine, S: Service> Server<E, S> {
    fn run(&mut self) -> io::Result<()> {
        while !self.state.is_terminated() {
            let times = [self.state.poll_timeout(), self.accept_at];
            let until = times.into_iter().flatten().min();
            let timeout = until.map(|until| until.since(self.clock()));
            self.hands.ring.wait(timeout)?;
            self.now = self.clock();
            self.take_done()?;
            if self.accept_at.is_some_and(|at| at <= self.now) {
                self.accept()?;
            }
            // If none is due, nothing happens.
            self.tell(Input::Timeout);
            self.pump()?;
        }
        Ok(())
    }

    fn clock(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Executes all there is to do.
    fn pump(&mut self) -> io::Result<()> {
        loop {
            let pumped = self.state.pump(BATCH, &mut self.hands);
            if let Some(error) = self.hands.failed.take() {
                return Err(error);
            }
            let sends = self.hands.ring.sends();
            self.figures.sends += sends as u64;
            self.figures.batches += u64::from(sends > 0);
            // They do not wait for their sockets, so the call that begins them ends them as well.
            while self.hands.ring.sends() > 0 {
                self.hands.ring.wait(None)?;
                self.take_done()?;
            }
            let next = Next::GoOn;
            let polls = std::mem::take(&mut self.hands.polls);
            if pumped == Pumped::Idle && sends == 0 && polls.is_empty() {
                return Ok(());
            }
            for (topic, token, number) in polls {
                let outcome = self.hands.service.poll(&topic);
                self.tell(Input::PollResult {
                    token,
                    number,
                    outcome,
                    next,
                });
            }
        }
    }

    /// Feeds what has happened. What became of sends comes first: who is gone is not reported on.
    fn take_done(&mut self) -> io::Result<()> {
        let done = self.hands.ring.done();
        let mut reports = Vec::new();
        for done in &done {
            if let Op::Send(id, _) = done.op {
                reports.extend(self.hands.sent(id, done.result)?);
            }
        }
        if !reports.is_empty() {
            self.tell(Input::Report(Cow::Owned(reports)));
        }
        for Done { number, op, .. } in done {
            match op {
                Op::Send(..) => {}
                Op::Accept => {
                    self.accepting.take_if(|accepting| *accepting == number);
                    self.accept()?;
                }
                Op::Inputs => self.take_inputs()?,
                Op::Readable(id) => {
                    if self.hands.has_ended(id, |conn| conn.readable = None) {
                        self.read(id)?;
                    }
                }
                Op::Writable(id) => {
                    if self.hands.has_ended(id, |conn| conn.writable = None) {
                        self.tell(Input::Writable { id });
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        self.accept_at = None;
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, _)) => self.open(stream)?,
                Err(error) => match Accept::from(&error) {
                    Accept::Nobody => {
                        self.accepting = Some(self.hands.ring.start(listener, Op::Accept)?);
                        break;
                    }
                    Accept::Next => {}
                    Accept::Later => {
                        self.hands.service.accept_failed(&error);
                        self.accept_at = Some(self.now + ACCEPT_PAUSE);
                        break;
                    }
                },
            }
        }
        Ok(())
    }

    fn open(&mut self, stream: TcpStream) -> io::Result<()> {
        // A connection that is refused is closed.
        let Ok(Reply::Id(id)) = self.state.apply(self.now, Input::Accept) else {
            return Ok(());
        };
        if stream.set_nonblocking(true).is_err() {
            self.tell(Input::PeerGone { id });
            return Ok(());
        }
        let readable = self.hands.ring.start(&stream, Op::Readable(id))?;
        let exchange = Exchange::new(net::is_local(stream.local_addr()));
        let conn = Conn {
            stream,
            exchange,
            readable: Some(readable),
            writable: None,
            sends: false,
        };
        self.hands.conns.insert(id, conn);
        Ok(())
    }

    /// Reads until it would block, and asks to be told of more.
    fn read(&mut self, id: SubscriberId) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let Hands {
            ring,
            conns,
            service,
            ..
        } = &mut self.hands;
        while let Some(conn) = conns.get_mut(&id) {
            match conn.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    conn.readable = Some(ring.start(&conn.stream, Op::Readable(id))?);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(bytes) if bytes > 0 => {
                    let (exchange, bytes) = (&mut conn.exchange, &buffer[..bytes]);
                    if !exchange.received(bytes, id, self.now, &mut self.state, service) {
                        break;
                    }
                }
                Ok(_) | Err(_) => {
                    self.hands.close(id)?;
                    self.tell(Input::PeerGone { id });
                    break;
                }
            }
        }
        Ok(())
    }

    fn take_inputs(&mut self) -> io::Result<()> {
        while (&self.woken)
            .read(&mut [0; 64])
            .is_ok_and(|bytes| bytes > 0)
        {}
        while let Ok(input) = self.inputs.try_recv() {
            if let Input::Shutdown { .. } = input {
                self.listener = None;
                // It holds the listener open.
                if let Some(accepting) = self.accepting.take() {
                    self.hands.ring.cancel(accepting)?;
                }
            }
            self.tell(input);
        }
        self.hands.ring.start(&self.woken, Op::Inputs)?;
        Ok(())
    }

    /// Feeds what needs no answer.
    fn tell(&mut self, input: Input<'_>) {
        let _ = self.state.apply(self.now, input);
    }
}

impl<S> Hands<S> {
    /// What became of a send.
    fn sent(&mut self, id: SubscriberId, result: i32) -> io::Result<Option<Report>> {
        if !self.has_ended(id, |conn| conn.sends = false) {
            return Ok(None);
        }
        let (bytes, socket) = match (u32::try_from(result), -result) {
            // Less than all is not a block yet: only the socket can say so.
            (Ok(bytes), _) if bytes > 0 => (bytes, Socket::Ready),
            (_, libc::EINTR) => (0, Socket::Ready),
            (_, libc::EAGAIN) => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.writable = Some(self.ring.start(&conn.stream, Op::Writable(id))?);
                }
                (0, Socket::Blocked)
            }
            _ => {
                self.close(id)?;
                (0, Socket::Gone)
            }
        };
        Ok(Some(Report { id, bytes, socket }))
    }

    /// An operation of this connection has ended. False if it is closed.
    fn has_ended(&mut self, id: SubscriberId, forget: impl FnOnce(&mut Conn)) -> bool {
        if let Some(conn) = self.conns.get_mut(&id) {
            forget(conn);
            return true;
        }
        if let Some(conn) = self.closing.get_mut(&id) {
            forget(conn);
            if conn.is_idle() {
                self.closing.remove(&id);
            }
        }
        false
    }

    /// Closes a connection, which has to wait until the kernel holds its socket no more.
    fn close(&mut self, id: SubscriberId) -> io::Result<()> {
        if let Some(conn) = self.conns.remove(&id) {
            for poll in [conn.readable, conn.writable].into_iter().flatten() {
                self.ring.cancel(poll)?;
            }
            if !conn.is_idle() {
                self.closing.insert(id, conn);
            }
        }
        Ok(())
    }
}

impl Conn {
    fn is_idle(&self) -> bool {
        self.readable.is_none() && self.writable.is_none() && !self.sends
    }
}

impl<S: Service> Sink for Hands<S> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Answer::Gone;
        };
        match self.ring.start(&conn.stream, Op::Send(id, run.to_bytes())) {
            Ok(_) => conn.sends = true,
            Err(error) => self.failed = Some(error),
        }
        Answer::InFlight
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { topic, token } => self.service.start(&topic, token),
            Control::Poll {
                topic,
                token,
                number,
            } => self.polls.push((topic, token, number)),
            Control::StopSource { token, .. } => self.polls.retain(|poll| poll.1 != token),
            Control::Finish { id } => {
                if let Some(conn) = self.conns.get(&id) {
                    // If it fails the peer is gone, which the next read tells.
                    let _ = conn.stream.shutdown(Shutdown::Write);
                }
            }
            Control::Close { id, ending, .. } => {
                match (self.conns.get_mut(&id), ending) {
                    (Some(conn), Ending::Cut) => net::reset_on_close(&conn.stream),
                    // Bytes that are not read would make a reset of it. (Who goes on sending gets one.)
                    (Some(conn), Ending::Orderly) => {
                        let _ = conn.stream.read(&mut vec![0; 64 << 10]);
                    }
                    (None, _) => {}
                }
                if let Err(error) = self.close(id) {
                    self.failed = Some(error);
                }
            }
            // No body of a framework is served, and no publish waits for room.
            Control::Wake { .. } | Control::Room { .. } => {}
        }
    }
}

/// Visits of one pump, and so most sends of one system call.
const BATCH: u32 = 256;
