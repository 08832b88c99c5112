//! Answers that come token by token: many short streams, each with a source of its own.
//! `cargo run --release -p llm-tokens`, then open what it prints.

mod answers;
mod tokens;

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use sse_state_tokio::{Hub, listen, serve};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm-tokens: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
async fn run() -> Result<(), Box<dyn Error>> {
    let (addr, pace) = options(env::args().skip(1))?;
    let listener = listen(&*addr)
        .await
        .map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let addr = listener.local_addr()?;
    let hub = Hub::builder().build()?;
    let app = answers::app(&hub, pace);
    println!("llm-tokens: http://{addr}/");
    println!("  curl -N 'http://{addr}/answers/1?prompt=why'");
    serve(listener, app)
        .with_graceful_shutdown(asked_to_stop())
        .await?;
    Ok(())
}

/// Ctrl-C, or what a supervisor sends.
async fn asked_to_stop() {
    #[cfg(unix)]
    let terminated = async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    println!("stopping: every stream ends after a whole event");
}

/// Where to listen, and the time between two tokens.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<(String, Duration), String> {
    let (mut addr, mut pace) = (ADDR.to_owned(), PACE);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--addr", Some(value)) => addr = value,
            ("--pace", Some(value)) => {
                let millis = value.parse().map_err(|_| USAGE)?;
                pace = Duration::from_millis(millis);
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((addr, pace))
}

const USAGE: &str = "usage: llm-tokens [--addr HOST:PORT] [--pace MILLISECONDS]";
const ADDR: &str = "127.0.0.1:8080";
const PACE: Duration = Duration::from_millis(50);
