//! A whole service on smol: a topic that is polled while somebody watches, news with a history, a page, a
//! graceful end. `cargo run --release -p smol-service`, then open what it prints.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;
use sse_state_smol::{App, Hub, Polling, Route, Start, listen, serve};

fn main() -> ExitCode {
    match smol::block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
async fn run() -> Result<(), Box<dyn Error>> {
    let addr = addr(env::args().skip(1))?;
    let listener = listen(addr.clone())
        .await
        .map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    let hub = Hub::builder().build()?;
    let signals = Signals::new([Signal::Int, Signal::Term])?;
    println!("listening: http://{}/", listener.local_addr()?);
    serve(listener, app(&hub))
        .with_graceful_shutdown(asked_to_stop(signals))
        .await?;
    Ok(())
}

/// What is served where.
fn app(hub: &Hub) -> App {
    let load = Polling::every(SECOND, || async { load() })
        .on_stop(|reason| println!("load: not read any more: {reason:?}"));
    App::new(hub)
        .get("/load", Route::topic("load").source(load))
        // Who comes sees what is remembered; who comes back, what was missed.
        .get(
            "/news",
            Route::topic("news").history(64).start(Start::Oldest),
        )
        // Only this machine reaches it, and no page of another site may post.
        .post("/news", Route::publish("news").open_to_anyone())
        .get(
            "/",
            Route::fixed("text/html; charset=utf-8", HTML)
                .header("Content-Security-Policy", POLICY),
        )
        .get(
            "/page.js",
            Route::fixed("text/javascript; charset=utf-8", JS),
        )
}

/// The load of the last minute, where the system tells it in this file; else an error event says why not.
fn load() -> io::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().map_err(io::Error::other)
}

/// Ctrl-C, or what a supervisor sends.
async fn asked_to_stop(mut signals: Signals) {
    signals.next().await;
    println!("stopping: every stream ends after a whole event");
}

/// Where to listen.
fn addr(mut arguments: impl Iterator<Item = String>) -> Result<String, String> {
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(ADDR.to_owned()),
        (Some("--addr"), Some(addr)) => Ok(addr),
        _ => Err("the one argument is --addr HOST:PORT".to_owned()),
    }
}

const ADDR: &str = "127.0.0.1:8080";
const SECOND: Duration = Duration::from_secs(1);
/// Scripts from here only, and nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = include_str!("../page/page.html");
const JS: &str = include_str!("../page/page.js");
