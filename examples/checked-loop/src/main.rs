//! Serves `/load`, which is polled every second while somebody listens, and `/news`, which takes every line of
//! the standard input. The line `quit` ends it.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use checked_loop::net::{Handle, Mio};
use checked_loop::serve::serve;
use sse_state::{
    Config, Epoch, Event, Input, Name, Room, ShutdownCause, SourceKind, SseState, Time,
    TopicOptions,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("checked-loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8081".into());
    let addr: SocketAddr = addr.parse().map_err(|error| format!("{addr}: {error}"))?;
    // What is polled: any function that blocks.
    let read = Arc::new(|_: &str| {
        let text = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
        Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
    });
    let net =
        Mio::listen(addr, read).map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let addr = net.local_addr().map_err(|error| error.to_string())?;
    println!("checked-loop: curl -N http://{addr}/load, curl -N http://{addr}/news");
    let handle = net.handle();
    thread::spawn(move || read_lines(&handle));
    let state = state().map_err(|error| error.to_string())?;
    serve(net, state).map_err(|error| error.to_string())
}

/// The machine, and its topics.
fn state() -> Result<SseState, Box<dyn std::error::Error>> {
    // An id from before a restart is told from a new one by the epoch. (The nanosecond is the whole of what
    // std has for randomness; a server of consequence asks the operating system.)
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut state = SseState::new(Config::new(Epoch(epoch)))?;
    let load = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
    let news = TopicOptions {
        history: true,
        ..TopicOptions::default()
    };
    state.declare(Time::ZERO, &Name::new("/load")?, load.into())?;
    state.declare(Time::ZERO, &Name::new("/news")?, news.into())?;
    Ok(state)
}

/// Publishes every line; `quit` is the end.
fn read_lines(handle: &Handle) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if line == "quit" {
            let cause = ShutdownCause::Asked;
            handle.send(Input::Shutdown { grace: None, cause });
        } else if let Ok(frame) = Event::new(&line).encode() {
            let (topic, room) = ("/news".into(), Room::Evict);
            handle.send(Input::Publish { topic, frame, room });
        }
    }
}
