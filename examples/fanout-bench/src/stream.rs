//! One stream of the load generator: a socket, what it is to do, and what it has got.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

use crate::follow::{Counts, Follower};
use crate::payload::Stamp;
use crate::sse::Parser;

/// What a stream is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it connects.
    pub addr: SocketAddr,
    /// What it asks for.
    pub path: Arc<str>,
    /// The id after which it resumes; empty: none.
    pub last_id: Vec<u8>,
    /// Bytes that it sends after its request, though nobody asked for them.
    pub stray: usize,
    /// The size of its receive buffer; `None`: what the kernel thinks right.
    pub receive_buffer: Option<usize>,
    /// It reads. If not, what comes stays in the kernel.
    pub reads: bool,
}

impl Plan {
    /// A stream that reads all.
    pub fn new(addr: SocketAddr, path: &str) -> Plan {
        Plan {
            addr,
            path: path.into(),
            last_id: Vec::new(),
            stray: 0,
            receive_buffer: None,
            reads: true,
        }
    }
}

/// How a stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It waits for its turn to connect.
    Waiting,
    /// It is being connected; then the request is sent.
    Connecting,
    /// The request was sent.
    Asked,
    /// The head of the answer is there.
    Open,
    /// The server has ended it (FIN).
    Ended,
    /// The server has cut it (RST).
    Reset,
    /// It failed in another way, or the answer was no stream.
    Failed,
    /// It was closed here.
    Closed,
}

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// What it is to do.
    pub plan: Plan,
    /// How it stands.
    pub phase: Phase,
    /// What it has got in all.
    pub counts: Counts,
    /// Which events are the next.
    pub follower: Follower,
    /// The last block was a farewell, and nothing followed it.
    pub said_farewell: bool,
    parser: Parser,
    socket: Option<TcpStream>,
    error: Option<ErrorKind>,
}

impl Stream {
    pub(crate) fn new(plan: Plan) -> Stream {
        Stream {
            plan,
            phase: Phase::Waiting,
            counts: Counts::default(),
            follower: Follower::default(),
            said_farewell: false,
            parser: Parser::default(),
            socket: None,
            error: None,
        }
    }

    /// Everything that was read makes whole blocks.
    pub fn is_whole(&self) -> bool {
        self.parser.is_whole()
    }

    /// The status of the answer.
    pub fn status(&self) -> Option<u16> {
        self.parser.status()
    }

    /// What a failed stream failed of.
    pub fn error(&self) -> Option<ErrorKind> {
        self.error
    }

    /// It has a socket.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Asked | Phase::Open)
    }

    pub(crate) fn socket(&mut self) -> Option<&mut TcpStream> {
        self.socket.as_mut()
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self) -> io::Result<()> {
        self.parser = Parser::default();
        self.said_farewell = false;
        self.error = None;
        let socket = Socket::new(Domain::for_address(self.plan.addr), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if let Some(bytes) = self.plan.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        match socket.connect(&self.plan.addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
            Err(error) => return Err(error),
        }
        self.socket = Some(TcpStream::from_std(socket.into()));
        self.phase = Phase::Connecting;
        Ok(())
    }

    /// Sends the request, if it is connected by now.
    pub(crate) fn ask(&mut self) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if let Ok(Some(error)) | Err(error) = socket.take_error() {
            return self.fail(&error);
        }
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n",
            self.plan.path
        )
        .into_bytes();
        if !self.plan.last_id.is_empty() {
            request.extend_from_slice(b"Last-Event-ID: ");
            request.extend_from_slice(&self.plan.last_id);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend(std::iter::repeat_n(b'?', self.plan.stray));
        match socket.write(&request) {
            // A new connection takes a request at once.
            Ok(sent) if sent == request.len() => self.phase = Phase::Asked,
            Ok(_) => self.fail(&ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => self.fail(&error),
        }
    }

    /// Sends bytes that nobody asked for; what is not taken is not sent.
    pub fn stray(&mut self, bytes: usize) {
        if let Some(socket) = &mut self.socket {
            // If the peer has gone, reading tells.
            let _ = socket.write(&vec![b'?'; bytes]);
        }
    }

    /// Reads what is there, at most `buffer` a few times. `each` gets every event. True if there may be more.
    /// Without `to_end` a short read counts as the last one, which it is unless the end is known to follow.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        to_end: bool,
        mut each: impl FnMut(Stamp),
    ) -> bool {
        for _ in 0..READS {
            let Some(socket) = &mut self.socket else {
                return false;
            };
            match socket.read(buffer) {
                Ok(0) => {
                    self.end(Phase::Ended);
                    return false;
                }
                Ok(bytes) => {
                    self.take(&buffer[..bytes], &mut each);
                    if bytes < buffer.len() && !to_end {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.end(Phase::Reset);
                    return false;
                }
                Err(error) => {
                    self.fail(&error);
                    return false;
                }
            }
        }
        true
    }

    /// Closes it from here: by a reset, which leaves nothing behind in the kernel, or by a FIN.
    pub fn close(&mut self, reset: bool) {
        if let Some(socket) = self.socket.take() {
            if reset {
                // If it fails a FIN is sent, which is as good.
                let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            }
            self.phase = Phase::Closed;
        }
    }

    fn take(&mut self, bytes: &[u8], each: &mut impl FnMut(Stamp)) {
        let Stream {
            parser,
            follower,
            counts,
            said_farewell,
            ..
        } = self;
        parser.feed(bytes, |block| {
            *said_farewell = block.is_farewell();
            if let Some(stamp) = follower.block(&block, counts) {
                each(stamp);
            }
        });
        if self.phase == Phase::Asked {
            match self.parser.status() {
                Some(200) => self.phase = Phase::Open,
                Some(_) => self.fail(&ErrorKind::InvalidData.into()),
                None => {}
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.error = Some(error.kind());
        self.end(Phase::Failed);
    }

    fn end(&mut self, phase: Phase) {
        self.socket = None;
        self.phase = phase;
    }
}

impl Drop for Stream {
    /// Ports that linger would be missing in the next round.
    fn drop(&mut self) {
        self.close(true);
    }
}

/// EINPROGRESS.
const IN_PROGRESS: i32 = 115;
/// Reads of one turn, after which the others get theirs.
const READS: usize = 4;
