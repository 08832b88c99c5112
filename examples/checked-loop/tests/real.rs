//! The loop on mio and real sockets, watched while it serves.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use checked_loop::net::{Handle, Job, Mio};
use checked_loop::serve::{Event as Happened, Net, serve};
use sse_state::{
    Config, Epoch, Event, Input, Name, Room, ShutdownCause, SourceKind, SourceToken, SseState,
    SubscriberId, Time, TopicOptions,
};
use sse_state_proptests::checked::{Checked, Duties};

#[test]
fn it_serves_for_real_and_neglects_nothing() {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let net = Mio::listen(addr, Arc::new(|_: &str| Ok("0.5".into()))).unwrap();
    let (addr, handle) = (net.local_addr().unwrap(), net.handle());
    // It panics when a duty is neglected, and the join below tells.
    let state = Checked::new(state());
    let duties = state.duties();
    let server = thread::spawn(move || serve(Watched { net, duties }, state));

    let mut load = Client::open(addr, "/load");
    load.read_until("data: 0.5\n\n");
    let mut news = Client::open(addr, "/news");
    news.read_until("\r\n\r\n:\n\n");
    publish(&handle, "hello");
    news.read_until("data: hello\n");

    // One reads nothing while far more is published than its socket holds, then reads on: it is told of the
    // gap, and ends with the newest.
    let mut slow = Client::open(addr, "/news");
    slow.read_until("\r\n\r\n:\n\n");
    let much = "x".repeat(200_000);
    for number in 0..100 {
        publish(&handle, &format!("{number} {much}"));
    }
    publish(&handle, "the last");
    news.read_until("data: the last\n");
    slow.read_until("data: the last\n");
    assert!(slow.text.contains("event: sse-gap"), "it has lagged");

    // Nobody has this one; and this is no request.
    Client::open(addr, "/nothing").read_until("404 Not Found");
    let mut odd = Client::connect(addr);
    odd.socket.write_all(b"hello\r\n\r\n").unwrap();
    odd.read_until("400 Bad Request");

    let cause = ShutdownCause::Asked;
    handle.send(Input::Shutdown { grace: None, cause });
    for client in [load, news, slow] {
        client.read_to_the_end();
    }
    server.join().expect("no duty was neglected").unwrap();
}

#[test]
fn the_program_serves_what_is_typed_and_ends_in_order() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_checked-loop"))
        .arg("127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = program.stdin.take().unwrap();
    let mut line = String::new();
    let mut printed = BufReader::new(program.stdout.take().unwrap());
    printed.read_line(&mut line).unwrap();
    let addr = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let mut news = Client::open(addr.unwrap().parse().unwrap(), "/news");
    news.read_until("\r\n\r\n:\n\n");
    typed.write_all(b"hello\n").unwrap();
    news.read_until("data: hello\n");
    typed.write_all(b"quit\n").unwrap();
    news.read_to_the_end();
    assert!(program.wait().unwrap().success());
}

/// The world of the loop, which says when the loop waits.
struct Watched {
    net: Mio,
    duties: Duties,
}

impl Net for Watched {
    type Stream = <Mio as Net>::Stream;
    type Job = Job;

    fn wait(&mut self, until: Option<Time>, events: &mut Vec<Happened>) -> io::Result<()> {
        self.duties.waits(self.now(), until);
        self.net.wait(until, events)
    }

    fn now(&self) -> Time {
        self.net.now()
    }

    fn unix_seconds(&self) -> u64 {
        self.net.unix_seconds()
    }

    fn accept(&mut self) -> io::Result<Self::Stream> {
        self.net.accept()
    }

    fn register(&mut self, stream: &mut Self::Stream, id: SubscriberId) -> io::Result<()> {
        self.net.register(stream, id)
    }

    fn finish(&mut self, stream: &mut Self::Stream) -> io::Result<()> {
        self.net.finish(stream)
    }

    fn reset(&mut self, stream: Self::Stream) {
        self.net.reset(stream);
    }

    fn take(&mut self) -> Option<Input<'static>> {
        self.net.take()
    }

    fn poll(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        self.net.poll(topic, token, number)
    }
}

fn state() -> SseState {
    let mut state = SseState::new(Config::new(Epoch(7))).unwrap();
    let load = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
    let news = TopicOptions {
        history: true,
        log_frames: 4,
        ..TopicOptions::default()
    };
    for (name, options) in [("/load", load), ("/news", news)] {
        let name = Name::new(name).unwrap();
        state.declare(Time::ZERO, &name, options.into()).unwrap();
    }
    state
}

fn publish(handle: &Handle, text: &str) {
    let (topic, frame) = ("/news".into(), Event::new(text).encode().unwrap());
    let room = Room::Evict;
    handle.send(Input::Publish { topic, frame, room });
}

struct Client {
    socket: TcpStream,
    text: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Client {
        let socket = TcpStream::connect(addr).unwrap();
        // Only a failure waits so long.
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let text = String::new();
        Client { socket, text }
    }

    fn open(addr: SocketAddr, path: &str) -> Client {
        let mut client = Client::connect(addr);
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.socket.write_all(head.as_bytes()).unwrap();
        client
    }

    /// Reads until what it got, from now on, holds this.
    fn read_until(&mut self, what: &str) {
        let mut from = 0;
        let mut buffer = vec![0; 64 << 10];
        while !self.text[from..].contains(what) {
            from = self.text.len().saturating_sub(what.len());
            let bytes = self.socket.read(&mut buffer).expect("it reads on");
            assert!(bytes > 0, "an end before {what:?}");
            self.text
                .push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
        }
    }

    /// Reads the rest, which ends in order, with a farewell.
    fn read_to_the_end(mut self) {
        self.socket
            .read_to_string(&mut self.text)
            .expect("an orderly end");
        let last = self.text.trim_end().rsplit('\n').next().unwrap_or_default();
        assert!(last.starts_with("retry: "), "{last:?}");
    }
}
