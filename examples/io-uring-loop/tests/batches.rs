//! An event for many streams goes to the kernel in few system calls.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use example_service::Demo;
use io_uring_loop::Loop;
use sse_state::{Config, Epoch, Event, Input, Room, ShutdownCause, SseState};

#[test]
fn sends_of_one_event_share_system_calls() {
    if let Err(why) = io_uring_loop::available() {
        assert!(sse_state_conformance::may_be_missing("io_uring"), "{why}");
        return println!("left out: {why}");
    }
    let config = Config::new(Epoch(7));
    let server = Loop::listen(([127, 0, 0, 1], 0).into(), &config).unwrap();
    let (addr, handle) = (server.addr, server.handle.clone());
    let server = thread::spawn(move || {
        let mut state = SseState::new(config).unwrap();
        let demo = Demo::new(&mut state).unwrap();
        server.serve(state, demo).unwrap()
    });
    let mut clients: Vec<TcpStream> = (0..STREAMS).map(|_| open(addr)).collect();
    for number in 0..EVENTS {
        let text = number.to_string();
        let (topic, frame) = ("/news".into(), Event::new(&text).encode().unwrap());
        let room = Room::Evict;
        handle.send(Input::Publish { topic, frame, room });
        // Every client has it before the next one is published.
        for client in &mut clients {
            read_until(client, &format!("data: {text}\n"));
        }
    }
    let cause = ShutdownCause::Asked;
    handle.send(Input::Shutdown { grace: None, cause });
    drop(clients);
    let figures = server.join().unwrap();
    println!("{figures:?}");
    let (streams, events) = (STREAMS as u64, EVENTS as u64);
    assert!(figures.sends >= streams * events, "{figures:?}");
    // A stream's head and its farewell may go alone; all others share a system call with 31 more at least.
    let most = 2 * streams + streams * events / 32;
    assert!(figures.batches <= most, "{figures:?}");
}

fn open(addr: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(addr).unwrap();
    // Only a failure waits so long.
    let patience = Some(Duration::from_secs(20));
    socket.set_read_timeout(patience).unwrap();
    let head = "GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    read_until(&mut socket, "\r\n\r\n:\n\n");
    socket
}

fn read_until(socket: &mut TcpStream, what: &str) {
    let (mut text, mut buffer) = (String::new(), [0; 1024]);
    while !text.contains(what) {
        let bytes = match socket.read(&mut buffer) {
            // The kernel clears up after the ring that `available` has tried, on this thread.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.unwrap(),
        };
        assert!(bytes > 0, "an end before {what:?}");
        text.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
}

const STREAMS: usize = 200;
const EVENTS: usize = 20;
