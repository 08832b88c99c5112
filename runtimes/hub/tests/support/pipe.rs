//! Byte streams in memory, which end as TCP does: by a FIN, or by a reset, also if unread bytes were left.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sse_state_hub::{Accepted, Listener, Stream};
use tokio::time::Instant;

/// Where clients connect.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Mutex<Queue>>);

/// The server's end of it.
pub(crate) struct MemoryListener(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<io::Result<Arc<Mutex<Pipe>>>>,
    waker: Option<Waker>,
    closed: bool,
}

pub(crate) fn listener() -> (Connector, MemoryListener) {
    let queue = Arc::default();
    (Connector(Arc::clone(&queue)), MemoryListener(queue))
}

impl Connector {
    pub(crate) fn connect(&self) -> Client {
        let pipe = Arc::new(Mutex::new(Pipe {
            window: 64 << 10,
            ..Pipe::default()
        }));
        self.push(Ok(Arc::clone(&pipe)));
        Client {
            pipe,
            seen: Vec::new(),
        }
    }

    /// The next accept fails.
    pub(crate) fn fail(&self, error: io::Error) {
        self.push(Err(error));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }

    fn push(&self, connection: io::Result<Arc<Mutex<Pipe>>>) {
        let mut queue = self.0.lock().unwrap();
        queue.waiting.push_back(connection);
        wake(&mut queue.waker);
    }
}

impl Listener for MemoryListener {
    type Stream = MemoryStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted<MemoryStream>>> {
        let mut queue = self.0.lock().unwrap();
        match queue.waiting.pop_front() {
            Some(connection) => Poll::Ready(connection.map(|pipe| Accepted {
                stream: MemoryStream(pipe),
                peer: Some(([192, 0, 2, 1], 4711).into()),
                local_is_loopback: true,
            })),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.0.lock().unwrap().closed = true;
    }
}

/// One connection.
#[derive(Default)]
struct Pipe {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// How many bytes the client's side takes unread.
    window: usize,
    client_ended: bool,
    server_ended: bool,
    server_reset: bool,
    resets_on_close: bool,
    options: Option<Duration>,
    writes: usize,
    /// What the next reads and writes of the server fail with.
    read_errors: VecDeque<io::ErrorKind>,
    write_errors: VecDeque<io::ErrorKind>,
    server_reads: Option<Waker>,
    server_writes: Option<Waker>,
    client: Option<Waker>,
}

/// The server's end of a connection.
pub(crate) struct MemoryStream(Arc<Mutex<Pipe>>);

impl Stream for MemoryStream {
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock().unwrap();
        if let Some(error) = pipe.read_errors.pop_front() {
            return Err(error.into());
        }
        if pipe.to_server.is_empty() && !pipe.client_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = pipe.to_server.len().min(into.len());
        for (to, from) in into.iter_mut().zip(pipe.to_server.drain(..bytes)) {
            *to = from;
        }
        Ok(bytes)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.lock().unwrap();
        assert!(!pipe.server_ended, "a write after the end");
        if let Some(error) = pipe.write_errors.pop_front() {
            return Err(error.into());
        }
        if pipe.client_ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.window.saturating_sub(pipe.to_client.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = &bytes[..room.min(bytes.len())];
        pipe.to_client.extend(bytes);
        pipe.writes += 1;
        wake(&mut pipe.client);
        Ok(bytes.len())
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.to_server.is_empty() && pipe.read_errors.is_empty() && !pipe.client_ended {
            pipe.server_reads = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock().unwrap();
        if pipe.to_client.len() >= pipe.window && !pipe.client_ended {
            pipe.server_writes = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        let mut pipe = self.0.lock().unwrap();
        pipe.server_ended = true;
        wake(&mut pipe.client);
        Ok(())
    }

    fn reset_on_close(&self) {
        self.0.lock().unwrap().resets_on_close = true;
    }

    fn set_options(&self, user_timeout: Duration) {
        self.0.lock().unwrap().options = Some(user_timeout);
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut pipe = self.0.lock().unwrap();
        // As a kernel does it: bytes that nobody has read make an end a reset.
        pipe.server_reset = pipe.resets_on_close || !pipe.to_server.is_empty();
        pipe.server_ended = true;
        pipe.server_reads = None;
        pipe.server_writes = None;
        wake(&mut pipe.client);
    }
}

/// The client's end of a connection.
pub(crate) struct Client {
    pipe: Arc<Mutex<Pipe>>,
    pub(crate) seen: Vec<u8>,
}

impl Client {
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.to_server.extend(bytes);
        wake(&mut pipe.server_reads);
    }

    /// Bytes of which the server is not woken, as if they had come after its last look.
    pub(crate) fn slip_in(&self, bytes: &[u8]) {
        self.pipe.lock().unwrap().to_server.extend(bytes);
    }

    /// The server's next reads fail, one after the other.
    pub(crate) fn fail_reads(&self, errors: &[io::ErrorKind]) {
        self.pipe.lock().unwrap().read_errors.extend(errors);
    }

    /// The server's next writes fail, one after the other.
    pub(crate) fn fail_writes(&self, errors: &[io::ErrorKind]) {
        self.pipe.lock().unwrap().write_errors.extend(errors);
    }

    /// Ends the client's side of the connection, and reads on.
    pub(crate) fn end_writing(&self) {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.client_ended = true;
        wake(&mut pipe.server_reads);
    }

    /// How much is taken while nobody reads.
    pub(crate) fn set_window(&self, bytes: usize) {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.window = bytes;
        wake(&mut pipe.server_writes);
    }

    /// The options that the server has set.
    pub(crate) fn options(&self) -> Option<Duration> {
        self.pipe.lock().unwrap().options
    }

    /// Bytes that the server has not read.
    pub(crate) fn unread(&self) -> usize {
        self.pipe.lock().unwrap().to_server.len()
    }

    /// Writes of the server that were accepted.
    pub(crate) fn writes(&self) -> usize {
        self.pipe.lock().unwrap().writes
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads what is there, at most so many bytes; `Ok(true)` at the end.
    pub(crate) fn read(&mut self, most: usize) -> io::Result<bool> {
        let mut pipe = self.pipe.lock().unwrap();
        let bytes = pipe.to_client.len().min(most);
        self.seen.extend(pipe.to_client.drain(..bytes));
        if bytes > 0 {
            wake(&mut pipe.server_writes);
        }
        if pipe.server_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(bytes == 0 && pipe.server_ended)
    }

    /// Reads until this text has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        self.until_count(text, 1).await
    }

    /// Reads until this text has come so many times.
    pub(crate) async fn until_count(&mut self, text: &str, times: usize) -> String {
        for _ in 0..MANY {
            let ended = self.read(usize::MAX);
            let seen = self.text();
            if seen.matches(text).count() >= times {
                return seen;
            }
            assert!(
                matches!(ended, Ok(false)),
                "{ended:?} before {text:?}: {seen:?}"
            );
            self.more().await;
        }
        panic!("so much, and no {text:?}: {:?}", self.text());
    }

    /// As [`until_count`](Client::until_count), for many.
    pub(crate) async fn until_all(&mut self, text: &str, times: usize) -> String {
        let start = Instant::now();
        for _ in 0..100 * times {
            let ended = self.read(usize::MAX);
            if self.text().matches(text).count() >= times {
                return self.text();
            }
            assert!(matches!(ended, Ok(false)), "{ended:?} before {text:?}");
            self.more().await;
            assert!(
                start.elapsed() < LONG,
                "{LONG:?}, and too few {text:?}: {:?}",
                self.text()
            );
        }
        panic!("so much, and too few {text:?}: {:?}", self.text());
    }

    /// Reads to the end, or to the reset.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while !self.read(usize::MAX)? {
            self.more().await;
            assert!(
                start.elapsed() < LONG,
                "no end within {LONG:?}: {:?}",
                self.text()
            );
        }
        Ok(())
    }

    /// Waits for more, or for the end.
    async fn more(&self) {
        let more = poll_fn(|cx| {
            let mut pipe = self.pipe.lock().unwrap();
            if pipe.to_client.is_empty() && !pipe.server_ended {
                pipe.client = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        });
        let came = tokio::time::timeout(LONG, more).await;
        assert!(
            came.is_ok(),
            "nothing more within {LONG:?}: {:?}",
            self.text()
        );
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut pipe = self.pipe.lock().unwrap();
        pipe.client_ended = true;
        wake(&mut pipe.server_reads);
        wake(&mut pipe.server_writes);
    }
}

/// Virtual time that nothing here is worth: what has not come by then never comes.
pub(crate) const LONG: Duration = Duration::from_secs(2 * 3600);
/// Looks at a stream that heartbeats alone may keep going.
const MANY: usize = 300;

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
