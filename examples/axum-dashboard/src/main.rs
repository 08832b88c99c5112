//! Live figures and notes behind a login: streams of `sse-state` mounted in axum, over HTTP/1.1, and with `--tls` over
//! HTTP/2 and TLS, too. `cargo run --release -p axum-dashboard`, then open what it prints.

mod figures;
mod sessions;
mod tls;

use std::future::IntoFuture;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use serde::Deserialize;
use sse_state_tokio::mount::Mounted;
use sse_state_tokio::{App, Event, Grant, Hub, Polling, Refuse, Route};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::sessions::Sessions;
use crate::tls::TlsListener;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum-dashboard: {error}\nusage: axum-dashboard [--addr HOST:PORT] [--tls]");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (addr, tls) = options()?;
    let hub = Hub::builder().build()?;
    let sessions = Sessions::default();
    let events = Mounted::new(streams(&hub, &sessions))?;

    // Sockets as the hub wants them, which end with it, whatever axum waits for.
    let listener = events.listener(TcpListener::bind(addr).await?);
    let scheme = if tls { "https" } else { "http" };
    println!("dashboard: {scheme}://{}/", listener.local_addr()?);

    let router = Router::new()
        .route("/", get(page))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .with_state((hub.clone(), sessions))
        .nest_service("/events", events);
    let stopping = stop(hub);
    if tls {
        let serving = axum::serve(TlsListener::new(listener)?, router);
        serving
            .with_graceful_shutdown(stopping)
            .into_future()
            .await?;
    } else {
        let serving = axum::serve(listener, router);
        serving
            .with_graceful_shutdown(stopping)
            .into_future()
            .await?;
    }
    Ok(())
}

/// What is streamed. Paths are those below `/events`, where it is nested.
fn streams(hub: &Hub, sessions: &Sessions) -> App {
    let (may_read, may_write) = (sessions.clone(), sessions.clone());
    App::new(hub)
        // Read once a second while somebody watches, however many do.
        .get(
            "/figures",
            Route::topic("figures").source(Polling::every(SECOND, figures::read)),
        )
        // For who has logged in, until they log out or their session ends.
        .get(
            "/notes",
            Route::topic("notes").history(32).authorize(move |asked| {
                let session = may_read.of(asked.header("cookie"));
                async move {
                    let session = session.ok_or_else(|| Refuse::new(401))?;
                    Ok(Grant::new().key(session.id).expires_in(session.left))
                }
            }),
        )
        .post(
            "/notes",
            Route::publish("notes").authorize(move |asked| {
                let session = may_write.of(asked.header("cookie"));
                async move {
                    session
                        .map(|_| Grant::new())
                        .ok_or_else(|| Refuse::new(401))
                }
            }),
        )
}

async fn page() -> Html<&'static str> {
    Html(include_str!("../page/page.html"))
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// Whoever says a name is let in: what a real service asks for here is not what this shows.
async fn login(
    State((hub, sessions)): State<(Hub, Sessions)>,
    Form(login): Form<Login>,
) -> Result<impl IntoResponse, StatusCode> {
    let id = sessions
        .open()
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let note = format!("{} has come", login.name);
    hub.publish("notes", Event::new(&note))
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let cookie = format!("session={id}; Path=/; HttpOnly; SameSite=Strict");
    Ok((
        StatusCode::SEE_OTHER,
        [(SET_COOKIE, cookie), (LOCATION, "/".to_owned())],
    ))
}

/// Ends the session, and with it the streams that were opened in it, wherever they are.
async fn logout(
    State((hub, sessions)): State<(Hub, Sessions)>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let cookie = headers.get("cookie").map(|value| value.as_bytes());
    if let Some(session) = sessions.of(cookie) {
        sessions.close(&session.id);
        // Nothing to do if the hub is ending anyway: so are its streams.
        let _ = hub.close_key(&session.id);
    }
    (StatusCode::SEE_OTHER, [(LOCATION, "/")])
}

/// Ctrl-C, or what a supervisor sends. Streams end in order; what is left after the grace is cut, so that axum, which
/// waits for every connection, ends as well.
async fn stop(hub: Hub) {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
    drop(hub.shutdown(None));
}

/// The address, and whether to serve TLS.
fn options() -> io::Result<(String, bool)> {
    let (mut addr, mut tls) = ("127.0.0.1:8080".to_owned(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--tls" => tls = true,
            "--addr" => {
                addr = arguments
                    .next()
                    .ok_or_else(|| io::Error::other("--addr needs a value"))?
            }
            _ => return Err(io::Error::other(format!("what is {argument}?"))),
        }
    }
    Ok((addr, tls))
}

const SECOND: Duration = Duration::from_secs(1);
