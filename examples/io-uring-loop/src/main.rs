//! Serves the demo on io_uring until SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;

use example_service::Demo;
use io_uring_loop::Loop;
use sse_state::{Input, ShutdownCause, SseState};

fn main() -> ExitCode {
    if let Err(why) = io_uring_loop::available() {
        eprintln!("io-uring-loop: {why}");
        return ExitCode::from(UNAVAILABLE);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("io-uring-loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:8083".into());
    let addr: SocketAddr = addr.parse().map_err(|error| format!("{addr}: {error}"))?;
    let config = example_service::config();
    let server = Loop::listen(addr, &config).map_err(|error| format!("{addr}: {error}"))?;
    let handle = server.handle.clone();
    example_service::on_signal(move || {
        let cause = ShutdownCause::Asked;
        handle.send(Input::Shutdown { grace: None, cause });
    })?;
    let addr = server.addr;
    println!("io-uring-loop: curl -N http://{addr}/load, curl -N http://{addr}/news");
    let mut state = SseState::new(config)?;
    let demo = Demo::new(&mut state)?;
    let figures = server.serve(state, demo)?;
    println!(
        "io-uring-loop: {} sends in {} system calls",
        figures.sends, figures.batches
    );
    Ok(())
}

/// `EX_UNAVAILABLE` of sysexits: what it needs is not here.
const UNAVAILABLE: u8 = 69;
