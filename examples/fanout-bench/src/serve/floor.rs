//! The floor: what fan-out costs at least. A bare loop of non-blocking `send`s over accepted sockets, one call per
//! event and stream, with the same bytes on the wire. It knows no slow clients, no topics and no end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use sse_state_tokio::socket;

use super::{Order, Receipt, Service, attend};
use crate::payload;
use crate::words::Words;

/// Serves until the input ends. With `options` 1 its sockets have the options of the hub's.
pub(super) fn run(settings: &Words) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).map_err(text)?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).map_err(text)?;
    listener.listen(4096).map_err(text)?;
    let listener = std::net::TcpListener::from(listener);
    let addr = listener.local_addr().map_err(text)?;
    let has_options = settings.get_or("options", 0)? == 1;
    let floor = Arc::new(Floor::default());
    attend(Arc::clone(&floor), addr);
    for stream in listener.incoming() {
        // One that fails is not served; its client tells.
        if let Some(stream) = stream.ok().and_then(greet) {
            if has_options {
                socket::set_options(&stream, Duration::from_secs(35));
            }
            floor.lock().push(stream);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Floor {
    streams: Mutex<Vec<TcpStream>>,
}

impl Floor {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the request and sends the head and the first blocks.
fn greet(mut stream: TcpStream) -> Option<TcpStream> {
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.ends_with(b"\r\n\r\n") {
        let bytes = stream.read(&mut buffer).ok().filter(|&bytes| bytes > 0)?;
        request.extend_from_slice(&buffer[..bytes]);
    }
    stream.write_all(HEAD.as_bytes()).ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

impl Service for Floor {
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt {
        let streams = self.lock();
        let start = Instant::now();
        let mut receipt = Receipt::default();
        let mut data = String::new();
        let mut frame = Vec::new();
        for tick in 0..order.ticks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let wait = order
                .due(start, tick)
                .saturating_duration_since(Instant::now());
            std::thread::sleep(wait);
            for event in 0..order.burst {
                let number = order.from + tick * order.burst + event;
                payload::write(&mut data, 1, number, order.bytes);
                frame.clear();
                frame.extend_from_slice(b"data: ");
                frame.extend_from_slice(data.as_bytes());
                frame.extend_from_slice(b"\n\n");
                receipt.events += 1;
                receipt.deliveries += streams.len() as u64;
                for stream in &*streams {
                    if !send(stream, &frame) {
                        receipt.refused += 1;
                    }
                }
            }
        }
        receipt
    }

    fn stats(&self) -> Words {
        Words::default().with("streams", self.lock().len())
    }
}

/// One call; whether the socket took all of it.
fn send(mut stream: &TcpStream, frame: &[u8]) -> bool {
    loop {
        match stream.write(frame) {
            Ok(bytes) => return bytes == frame.len(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// As the hub's, with the same length.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-store, no-transform\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n:\n\nretry: 3000\n\n";
