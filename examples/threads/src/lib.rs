#![doc = include_str!("../README.md")]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use example_service::net::{self, ACCEPT_PAUSE, Accept};
use example_service::{Exchange, Service};
use socket2::SockRef;
use sse_state::{
    Answer, Config, Control, Ending, Engine, Input, Name, Next, Pumped, Reply, Report, Run, Sink,
    Socket, SourceToken, SubscriberId, Time,
};

/// A listener, and the queue to the one thread that has the machine.
pub struct Server {
    listener: TcpListener,
    messages: Receiver<Message>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// For other threads.
    pub handle: Handle,
}

/// What threads tell the one that has the machine.
enum Message {
    Accepted(TcpStream),
    AcceptFailed(io::Error),
    Received(SubscriberId, Bytes),
    Gone(SubscriberId),
    Sent(Report),
    Input(Input<'static>),
}

/// Hands inputs to the machine, from any thread.
#[derive(Clone)]
pub struct Handle(SyncSender<Message>);

impl Handle {
    /// Hands an input to the machine: a publish, the end. What the machine refuses is dropped.
    pub fn send(&self, input: Input<'static>) {
        self.tell(Message::Input(input));
    }

    /// False if the server has ended.
    fn tell(&self, message: Message) -> bool {
        self.0.send(message).is_ok()
    }
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// As `bind`, a busy port for instance.
    pub fn listen(addr: SocketAddr, config: &Config) -> io::Result<Server> {
        let listener = net::listen(addr, config)?;
        listener.set_nonblocking(false)?;
        let (sender, messages) = sync_channel(QUEUE);
        Ok(Server {
            addr: listener.local_addr()?,
            listener,
            messages,
            handle: Handle(sender),
        })
    }

    /// Serves until the machine has ended.
    ///
    /// # Errors
    /// If there can be no thread that accepts.
    pub fn serve(self, state: impl Engine, service: impl Service) -> io::Result<()> {
        let listener = Arc::new(Listener {
            socket: self.listener,
            is_closed: AtomicBool::new(false),
        });
        let (accepting, handle) = (Arc::clone(&listener), self.handle.clone());
        spawn(move || accepting.accept(&handle))?;
        let hands = Hands {
            conns: HashMap::new(),
            polls: Vec::new(),
            service,
        };
        let mut pump = Pump {
            state,
            hands,
            listener,
            messages: self.messages,
            handle: self.handle,
            start: Instant::now(),
            now: Time::ZERO,
        };
        pump.run();
        Ok(())
    }
}

/// The thread that has the machine.
struct Pump<E, S> {
    state: E,
    hands: Hands<S>,
    listener: Arc<Listener>,
    messages: Receiver<Message>,
    handle: Handle,
    start: Instant,
    now: Time,
}

/// What executes the machine's actions. Nothing here blocks.
struct Hands<S> {
    conns: HashMap<SubscriberId, Conn>,
    /// Polls to be made.
    polls: Vec<(Name, SourceToken, u64)>,
    service: S,
}

struct Conn {
    stream: Arc<TcpStream>,
    /// To its writer, who ends when this is dropped.
    runs: Sender<Bytes>,
    exchange: Exchange,
}

impl<E: Engine, S: Service> Pump<E, S> {
    fn run(&mut self) {
        while !self.state.is_terminated() {
            let message = match self.state.poll_timeout() {
                Some(until) => self.messages.recv_timeout(until.since(self.clock())),
                None => self.messages.recv().map_err(RecvTimeoutError::from),
            };
            self.now = self.clock();
            if let Ok(message) = message {
                self.take(message);
                // Those that have come meanwhile, in one go.
                for _ in 0..QUEUE {
                    let Ok(message) = self.messages.try_recv() else {
                        break;
                    };
                    self.take(message);
                }
            }
            // If none is due, nothing happens.
            self.tell(Input::Timeout);
            self.pump();
        }
    }

    fn clock(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Accepted(stream) => self.open(stream),
            Message::AcceptFailed(error) => self.hands.service.accept_failed(&error),
            Message::Received(id, bytes) => {
                let Hands { conns, service, .. } = &mut self.hands;
                if let Some(conn) = conns.get_mut(&id) {
                    let exchange = &mut conn.exchange;
                    if !exchange.received(&bytes, id, self.now, &mut self.state, service) {
                        // Ends its reader; it will be cut.
                        let _ = conn.stream.shutdown(Shutdown::Read);
                    }
                }
            }
            Message::Gone(id) => {
                if self.hands.conns.remove(&id).is_some() {
                    self.tell(Input::PeerGone { id });
                }
            }
            Message::Sent(report) => {
                if self.hands.conns.contains_key(&report.id) {
                    if report.socket == Socket::Gone {
                        self.hands.drop_conn(report.id);
                    }
                    self.tell(Input::Report(vec![report].into()));
                }
            }
            Message::Input(input) => {
                if let Input::Shutdown { .. } = input {
                    self.listener.close();
                }
                self.tell(input);
            }
        }
    }

    /// Executes all there is to do.
    fn pump(&mut self) {
        loop {
            while self.state.pump(256, &mut self.hands) == Pumped::More {}
            if self.hands.polls.is_empty() {
                return;
            }
            let next = Next::GoOn;
            for (topic, token, number) in std::mem::take(&mut self.hands.polls) {
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

    fn open(&mut self, stream: TcpStream) {
        // A connection that is refused is closed.
        let Ok(Reply::Id(id)) = self.state.apply(self.now, Input::Accept) else {
            return;
        };
        let exchange = Exchange::new(net::is_local(stream.local_addr()));
        let (stream, (runs, to_write)) = (Arc::new(stream), channel());
        let (reads, writes) = (Arc::clone(&stream), Arc::clone(&stream));
        let (handle, other) = (self.handle.clone(), self.handle.clone());
        let conn = Conn {
            stream,
            runs,
            exchange,
        };
        // Without room for threads it is closed again.
        let begun = writes
            .set_write_timeout(Some(LOOK))
            .and_then(|()| spawn(move || read(id, &reads, &handle)))
            .and_then(|()| spawn(move || write(id, &writes, &to_write, &other)));
        match begun {
            Ok(()) => drop(self.hands.conns.insert(id, conn)),
            Err(error) => {
                self.hands.service.accept_failed(&error);
                let _ = conn.stream.shutdown(Shutdown::Both);
                self.tell(Input::PeerGone { id });
            }
        }
    }

    /// Feeds what needs no answer.
    fn tell(&mut self, input: Input<'_>) {
        let _ = self.state.apply(self.now, input);
    }
}

impl<S> Hands<S> {
    /// Ends the threads of a connection; when both have, the socket is closed.
    fn drop_conn(&mut self, id: SubscriberId) {
        if let Some(conn) = self.conns.remove(&id) {
            // Ends its reader. Its writer ends when it can get no more runs.
            let _ = conn.stream.shutdown(Shutdown::Read);
        }
    }
}

impl<S: Service> Sink for Hands<S> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        match self.conns.get(&id) {
            // A reference and no copy. The writer reports; if it is ending, the reader tells that the peer is gone.
            Some(conn) => {
                let _ = conn.runs.send(run.to_bytes());
                Answer::InFlight
            }
            None => Answer::Gone,
        }
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
                    // If it fails the peer is gone, which its reader tells.
                    let _ = conn.stream.shutdown(Shutdown::Write);
                }
            }
            Control::Close { id, ending, .. } => {
                if let (Some(conn), Ending::Cut) = (self.conns.get(&id), ending) {
                    net::reset_on_close(&*conn.stream);
                }
                self.drop_conn(id);
            }
            // No body of a framework is served, and no publish waits for room.
            Control::Wake { .. } | Control::Room { .. } => {}
        }
    }
}

/// What one thread accepts on, and another closes.
struct Listener {
    socket: TcpListener,
    is_closed: AtomicBool,
}

impl Listener {
    fn accept(&self, handle: &Handle) {
        loop {
            let message = match self.socket.accept() {
                Ok((stream, _)) => Message::Accepted(stream),
                Err(_) if self.is_closed.load(Ordering::Acquire) => return,
                Err(error) => match Accept::from(&error) {
                    Accept::Nobody | Accept::Next => continue,
                    Accept::Later => {
                        thread::sleep(ACCEPT_PAUSE);
                        Message::AcceptFailed(error)
                    }
                },
            };
            if !handle.tell(message) {
                return;
            }
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // Ends the accept that blocks. (On systems where it does not, the end of the process does.)
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}

/// Reads until the end.
fn read(id: SubscriberId, mut stream: &TcpStream, handle: &Handle) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(bytes) if bytes > 0 => {
                let bytes = Bytes::copy_from_slice(&buffer[..bytes]);
                if !handle.tell(Message::Received(id, bytes)) {
                    return;
                }
            }
            Ok(_) | Err(_) => {
                handle.tell(Message::Gone(id));
                return;
            }
        }
    }
}

/// Writes what it is handed until its connection is closed. What a write leaves is lent again.
fn write(id: SubscriberId, mut stream: &TcpStream, runs: &Receiver<Bytes>, handle: &Handle) {
    for run in runs {
        let piece = &run[..run.len().min(PIECE)];
        let (bytes, socket) = match stream.write(piece) {
            Ok(bytes) if bytes > 0 => (bytes as u32, Socket::Ready),
            Err(error) => match error.kind() {
                // Not in this time. The machine knows how long it may go on so.
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {
                    (0, Socket::Ready)
                }
                _ => (0, Socket::Gone),
            },
            Ok(_) => (0, Socket::Gone),
        };
        handle.tell(Message::Sent(Report { id, bytes, socket }));
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(run)
        .map(drop)
}

/// Messages that wait; who sends one more waits.
const QUEUE: usize = 256;
/// The most that one write is given, so that a slow client is seen to take something.
const PIECE: usize = 16 << 10;
/// After which a writer whose socket takes nothing looks whether it is closed.
const LOOK: Duration = Duration::from_millis(500);
/// Of a thread that reads or writes one connection.
const STACK: usize = 128 << 10;
