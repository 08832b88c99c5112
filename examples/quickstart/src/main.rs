//! This machine's figures, streamed to a web page while somebody watches, and a topic of notes that anybody
//! on this machine may publish to. `cargo run --release -p quickstart`, then open what it prints.

mod audience;
mod machine;
mod page;

use std::env;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sse_state_tokio::{
    Answer, App, Event, Heartbeat, Hub, Polling, Publisher, Route, Source, Start, listen, serve,
};

use crate::audience::Audience;
use crate::machine::Machine;

#[tokio::main]
async fn main() -> ExitCode {
    let told = match Options::read(env::args().skip(1)) {
        Ok(Some(options)) => run(options).await,
        Ok(None) => {
            print!("{USAGE}");
            Ok(())
        }
        Err(mistake) => Err(format!("{mistake}\n\n{USAGE}")),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {}", error.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C or SIGTERM.
async fn run(options: Options) -> Result<(), String> {
    let listener = listen(&options.addr).await.map_err(|error| {
        let addr = &options.addr;
        format!("cannot listen on {addr}: {error}; --addr HOST:PORT chooses another address")
    })?;
    let addr = listener.local_addr().map_err(|error| error.to_string())?;

    let audience = Audience::new(NOTES_KEPT);
    let mut hub = Hub::builder()
        .on_open(audience.on_open())
        .on_close(audience.on_close());
    if let Some(file) = &options.record {
        hub = hub.record(file);
    }
    let hub = hub.build().map_err(|error| error.to_string())?;
    let machine =
        Machine::new().map_err(|error| format!("cannot read this machine's figures: {error}"))?;
    let app = app(&hub, &audience, machine);

    say(addr, &options);
    let serving = serve(listener, app).with_graceful_shutdown(asked_to_stop());
    // Serving declares the topics first. A stream that has seen no note has no id to come back with, so
    // there is one from the start.
    let note = format!(
        "Started. The newest {NOTES_KEPT} notes are kept, for a day after the last listener."
    );
    let first = async { hub.publish(NOTES, Event::new(&note)) };
    let (served, _) = tokio::join!(biased; serving.into_future(), first);
    served.map_err(|error| error.to_string())?;
    if let Some((file, digests)) = options.record.zip(hub.journal_digests()) {
        // As the example `replay` prints them.
        println!("recorded {}", file.display());
        println!("digest of actions   {:016x}", digests.actions);
        println!("digest of the state {:016x}", digests.state);
    }
    Ok(())
}

/// What is served where.
fn app(hub: &Hub, audience: &Audience, machine: Machine) -> App {
    let polled = audience.clone();
    let figures = Polling::every(SECOND, move || {
        polled.is_polled();
        machine.clone().figures()
    })
    .on_stop(audience.on_stop());
    // What the server says of itself: published when it changes, while somebody listens.
    let heard = audience.clone();
    let state = Source::new(move |_, publisher| tell_changes(heard.clone(), publisher));

    let stats = hub.clone();
    let often = Heartbeat::Event(HEARTBEAT);
    page::routes(App::new(hub))
        // With history, so that a page which comes back fills the hole in its charts.
        .get(
            "/machine",
            Route::topic(MACHINE).source(figures).history(FIGURES_KEPT),
        )
        .get(
            "/state",
            Route::topic(STATE).source(state).dedupe(true).log(1),
        )
        // Two topics on one stream: browsers open only six connections to one server.
        .get(
            "/live",
            Route::topics([MACHINE, STATE])
                .start(Start::Oldest)
                .heartbeat(often),
        )
        .get(
            "/notes",
            Route::topic(NOTES)
                .history(NOTES_KEPT)
                .retention(DAY)
                .start(Start::Oldest)
                .heartbeat(often),
        )
        .post("/notes", Route::publish(NOTES).open_to_anyone())
        .get(
            "/stats",
            Route::respond(move |_| answer(&stats.stats().to_json())),
        )
}

/// Publishes the audience whenever it has changed.
async fn tell_changes(audience: Audience, publisher: Publisher) {
    let mut changes = audience.subscribe();
    loop {
        let json = changes.borrow_and_update().to_json();
        // Refused once the source is stopped; its future is dropped then, too.
        if publisher.publish(Event::new(&json).name(STATE)).is_err()
            || changes.changed().await.is_err()
        {
            return;
        }
    }
}

/// An answer of JSON.
fn answer(json: &str) -> Answer {
    Answer::fixed("application/json", json.to_owned())
        .expect("a content type without control characters")
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

/// Says where it listens, and what that means.
fn say(addr: SocketAddr, options: &Options) {
    println!("sse-state quickstart: http://{addr}/");
    println!("  curl -N http://{addr}/machine");
    println!("  curl -d 'hello' http://{addr}/notes");
    if let Some(file) = &options.record {
        println!("  recording into {}", file.display());
    }
    if !addr.ip().is_loopback() {
        println!("  note: whoever reaches this address may read the figures and post notes");
    }
}

/// What the command line says.
struct Options {
    addr: String,
    record: Option<PathBuf>,
}

impl Options {
    /// `None` if only help is wanted.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            addr: ADDR.to_owned(),
            record: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--addr" => options.addr = value()?,
                "--record" => options.record = Some(value()?.into()),
                "-h" | "--help" => return Ok(None),
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        Ok(Some(options))
    }
}

const USAGE: &str = "\
This machine's figures, streamed to a web page while somebody watches.

Usage: quickstart [--addr HOST:PORT] [--record FILE]
    --addr    where to listen; 127.0.0.1:8080 otherwise
    --record  writes a journal of the run, for `cargo run -p sse-state --example replay FILE`
";
const ADDR: &str = "127.0.0.1:8080";
const MACHINE: &str = "machine";
const STATE: &str = "state";
const NOTES: &str = "notes";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Short, so that one sees them on the page; the default is 15 s.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The two minutes that the charts show.
const FIGURES_KEPT: u32 = 120;
/// Few, so that a gap is easily made.
const NOTES_KEPT: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Options>, String> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line() {
        let Ok(Some(Options { addr, record: None })) = read("") else {
            panic!("no arguments");
        };
        assert_eq!(addr, "127.0.0.1:8080");
        let Ok(Some(options)) = read("--record run.txt --addr [::1]:0") else {
            panic!("both arguments");
        };
        assert_eq!(options.addr, "[::1]:0");
        assert_eq!(options.record, Some(PathBuf::from("run.txt")));
        assert!(matches!(read("--help"), Ok(None)));
        for mistake in ["--addr", "--record", "--port 1", "run.txt"] {
            assert!(read(mistake).is_err(), "{mistake}");
        }
    }

    #[tokio::test]
    async fn the_routes_fit_together() {
        let hub = Hub::builder().build().expect("a hub");
        let machine = Machine::new().expect("a system that tells its figures");
        app(&hub, &Audience::new(NOTES_KEPT), machine)
            .check()
            .expect("an app");
    }
}
