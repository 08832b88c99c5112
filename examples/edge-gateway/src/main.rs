//! Readings of devices, polled while somebody watches and streamed to all who do.
//! `cargo run -p edge-gateway`, then `curl -N` what it prints.

mod device;
mod gateway;

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
            eprintln!("edge-gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
async fn run() -> Result<(), Box<dyn Error>> {
    let (addr, every) = options(env::args().skip(1))?;
    let listener = listen(&*addr)
        .await
        .map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let addr = listener.local_addr()?;
    let devices = device::serve().await?;

    let hub = Hub::builder().build()?;
    let app = gateway::app(&hub, devices, every);
    println!("edge-gateway: http://{addr}/devices");
    for device in device::DEVICES {
        println!("  curl -N http://{addr}/devices/{device}");
    }
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

/// Where to listen, and how often devices are read.
fn options(mut arguments: impl Iterator<Item = String>) -> Result<(String, Duration), String> {
    let (mut addr, mut every) = (ADDR.to_owned(), EVERY);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--addr", Some(value)) => addr = value,
            ("--every", Some(value)) => {
                let millis = value.parse().map_err(|_| USAGE)?;
                every = Duration::from_millis(millis);
            }
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((addr, every))
}

const USAGE: &str = "usage: edge-gateway [--addr HOST:PORT] [--every MILLISECONDS]";
const ADDR: &str = "127.0.0.1:8080";
const EVERY: Duration = Duration::from_secs(1);
