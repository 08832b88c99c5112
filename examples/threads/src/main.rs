//! Serves the demo on threads until SIGINT or SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;

use example_service::Demo;
use sse_state::{Input, ShutdownCause, SseState};
use threads::Server;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("threads: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1);
    let addr = addr.unwrap_or_else(|| "127.0.0.1:8084".into());
    let addr: SocketAddr = addr.parse().map_err(|error| format!("{addr}: {error}"))?;
    let config = example_service::config();
    let server = Server::listen(addr, &config).map_err(|error| format!("{addr}: {error}"))?;
    let handle = server.handle.clone();
    example_service::on_signal(move || {
        let cause = ShutdownCause::Asked;
        handle.send(Input::Shutdown { grace: None, cause });
    })?;
    let addr = server.addr;
    println!("threads: curl -N http://{addr}/load, curl -N http://{addr}/news");
    let mut state = SseState::new(config)?;
    let demo = Demo::new(&mut state)?;
    server.serve(state, demo)?;
    Ok(())
}
