//! A client that sees every byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use sse_state_proptests::wire::{Block, Parser};

use crate::process::PATIENCE;

/// A connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// The head of the answer.
    pub(crate) head: String,
    /// All blocks of its body.
    pub(crate) blocks: Vec<Block>,
    parser: Parser,
}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// By a FIN.
    Orderly,
    /// By a reset.
    Reset,
}

/// A whole answer.
pub(crate) struct Reply {
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        let status = self.text.split(' ').nth(1);
        status.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.text, name)
    }
}

/// The value of a field of a head.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next().unwrap_or(text);
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Sends a request and reads its whole answer; `fields` are lines with their line ends.
pub(crate) fn ask(
    addr: SocketAddr,
    method: &str,
    target: &str,
    fields: &str,
    body: &str,
) -> Result<Reply, String> {
    let length = match body {
        "" if method != "POST" => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    send(
        addr,
        &format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}"),
    )
}

/// Sends bytes and reads what comes until the end.
pub(crate) fn send(addr: SocketAddr, request: &str) -> Result<Reply, String> {
    let mut socket = connect(addr)?;
    socket
        .write_all(request.as_bytes())
        .map_err(of("writing"))?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).map_err(of("an answer"))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Reply { text })
}

/// Connects, with a limit to every read.
pub(crate) fn connect(addr: SocketAddr) -> Result<TcpStream, String> {
    let socket = TcpStream::connect_timeout(&addr, PATIENCE).map_err(of("connecting"))?;
    limit(socket)
}

fn limit(socket: TcpStream) -> Result<TcpStream, String> {
    socket
        .set_read_timeout(Some(PATIENCE))
        .map_err(of("a limit"))?;
    socket
        .set_write_timeout(Some(PATIENCE))
        .map_err(of("a limit"))?;
    Ok(socket)
}

fn of<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

impl Client {
    /// Opens a stream and reads its head, which has to be a 200.
    pub(crate) fn open(addr: SocketAddr, target: &str, fields: &str) -> Result<Client, String> {
        Client::on(connect(addr)?, target, fields)?.with_head()
    }

    /// Opens a stream whose kernel takes little, and reads nothing of it.
    pub(crate) fn open_narrow(addr: SocketAddr, target: &str) -> Result<Client, String> {
        let socket =
            Socket::new(Domain::for_address(addr), Type::STREAM, None).map_err(of("a socket"))?;
        socket
            .set_recv_buffer_size(4096)
            .map_err(of("a small buffer"))?;
        socket.connect(&addr.into()).map_err(of("connecting"))?;
        Client::on(limit(socket.into())?, target, "")
    }

    fn on(mut socket: TcpStream, target: &str, fields: &str) -> Result<Client, String> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        socket
            .write_all(request.as_bytes())
            .map_err(of("writing"))?;
        Ok(Client {
            socket,
            head: String::new(),
            blocks: Vec::new(),
            parser: Parser::new(),
        })
    }

    /// Reads the head.
    pub(crate) fn with_head(mut self) -> Result<Client, String> {
        let mut byte = [0];
        while !self.head.ends_with("\r\n\r\n") {
            match self.socket.read(&mut byte).map_err(of("a head"))? {
                0 => return Err(format!("the head ends: {}", self.head)),
                _ => self.head.push(char::from(byte[0])),
            }
        }
        if self.head.starts_with("HTTP/1.1 200 OK\r\n") {
            Ok(self)
        } else {
            Err(format!("not a stream: {}", self.head))
        }
    }

    /// Reads some bytes of the body; what ended it, if it has ended.
    pub(crate) fn read(&mut self) -> Result<Option<End>, String> {
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => Ok(Some(End::Orderly)),
            Ok(bytes) => {
                self.blocks.extend(self.parser.push(&buffer[..bytes]));
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Some(End::Reset)),
            Err(error) => Err(format!("reading: {error}; so far {:?}", self.data())),
        }
    }

    /// Reads until this holds of the client.
    pub(crate) fn until(&mut self, what: &str, is: impl Fn(&Client) -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !is(self) {
            // Heartbeats alone would keep it reading.
            if start.elapsed() > IN_ALL {
                return Err(format!("never {what}: {:?}", self.data()));
            }
            if let Some(end) = self.read().map_err(|error| format!("{what}: {error}"))? {
                return Err(format!("{end:?} before {what}: {:?}", self.data()));
            }
        }
        Ok(())
    }

    /// Reads until there are so many events.
    pub(crate) fn events(&mut self, count: usize) -> Result<(), String> {
        self.until(&format!("{count} events"), |client| {
            client.data().len() >= count
        })
    }

    /// Reads to the end.
    pub(crate) fn rest(&mut self) -> Result<End, String> {
        let start = Instant::now();
        while start.elapsed() < IN_ALL {
            if let Some(end) = self.read()? {
                return Ok(end);
            }
        }
        Err(format!("it never ends: {:?}", self.data()))
    }

    /// The data of its events, those of the server among them.
    pub(crate) fn data(&self) -> Vec<&str> {
        let data = self.blocks.iter().map(|block| block.data.as_deref());
        data.flatten().collect()
    }

    /// The ids of its events.
    pub(crate) fn ids(&self) -> Vec<&str> {
        let events = self.blocks.iter().filter(|block| block.is_event());
        events.filter_map(|block| block.id.as_deref()).collect()
    }

    /// How many events its gap notices tell as missed.
    pub(crate) fn missed(&self) -> u64 {
        let gaps = self
            .blocks
            .iter()
            .filter(|block| block.name.as_deref() == Some("sse-gap"));
        gaps.filter_map(|block| {
            let json: serde_json::Value = serde_json::from_str(block.data.as_deref()?).ok()?;
            json["missed"].as_u64()
        })
        .sum()
    }

    /// Events that are not of the server itself.
    pub(crate) fn own(&self) -> Vec<&str> {
        let is_own = |block: &&Block| {
            !block
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("sse-"))
        };
        let events = self.blocks.iter().filter(is_own);
        events.filter_map(|block| block.data.as_deref()).collect()
    }

    /// True if nothing of a block has come that is not whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.parser.unfinished().is_empty()
    }

    /// Closes it with a reset.
    pub(crate) fn reset(self) {
        reset(&self.socket);
    }
}

/// Makes the coming close a reset.
pub(crate) fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// After which a stream that gives signs of life is taken never to bring what is waited for.
const IN_ALL: Duration = Duration::from_secs(60);
