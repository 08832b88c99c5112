//! A server on pipes in memory, so that tests of time run on tokio's paused clock and wait for nothing.
#![allow(dead_code, reason = "each test file uses a part of it")]

mod pipe;
pub(crate) mod told;

use std::future::{Future, IntoFuture as _};
use std::time::Duration;

pub(crate) use pipe::{Client, Connector};
use sse_state_hub::{App, ServeError, serve};
use sse_state_tokio::{Hub, HubBuilder, Tokio};
use tokio::task::JoinHandle;

/// A hub that is served in memory.
pub(crate) struct Server {
    pub(crate) connector: Connector,
    pub(crate) serving: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    /// Serves an app.
    pub(crate) fn start(app: App) -> Server {
        let (connector, listener) = pipe::listener();
        let serving = tokio::spawn(serve(listener, app).into_future());
        Server { connector, serving }
    }

    /// Serves an app until the signal.
    pub(crate) fn start_until(
        app: App,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Server {
        let (connector, listener) = pipe::listener();
        let serving = serve(listener, app).with_graceful_shutdown(signal);
        let serving = tokio::spawn(serving.into_future());
        Server { connector, serving }
    }

    pub(crate) fn connect(&self) -> Client {
        self.connector.connect()
    }

    /// Connects and sends a request.
    pub(crate) fn send(&self, request: &str) -> Client {
        let client = self.connect();
        client.write(request.as_bytes());
        client
    }

    /// Opens a stream, and waits for its first bytes.
    pub(crate) async fn open(&self, target: &str) -> Client {
        self.open_with(target, "").await
    }

    /// Opens a stream with more header lines, each with its CRLF.
    pub(crate) async fn open_with(&self, target: &str, lines: &str) -> Client {
        let mut client = self.send(&get(target, lines));
        let text = client.until("\r\n\r\n:\n\n").await;
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        client
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.send(request);
        client.end().await.expect("an orderly end");
        client.text()
    }

    /// Publishes as `curl -d` does.
    pub(crate) async fn post(&self, target: &str, body: &str) -> String {
        self.ask(&post(target, body)).await
    }
}

/// Panics as code of a user does that is broken; no test has failed by it, so the hook of panics is not told.
pub(crate) fn broken() -> ! {
    std::panic::resume_unwind(Box::new("broken on purpose"))
}

/// The bytes of a GET.
pub(crate) fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// The bytes of a POST.
pub(crate) fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// The body of an answer.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

/// The events of a stream that have data, as `(name, data)`.
pub(crate) fn events(stream: &str) -> Vec<(String, String)> {
    let mut events = Vec::new();
    for block in body(stream).split("\n\n") {
        let mut name = String::from("message");
        let mut data = Vec::new();
        for line in block.lines() {
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data.push(text);
            }
        }
        if !data.is_empty() {
            events.push((name, data.join("\n")));
        }
    }
    events
}

/// The data of a stream's events.
pub(crate) fn data(stream: &str) -> Vec<String> {
    events(stream).into_iter().map(|(_, data)| data).collect()
}

/// A builder with the defaults.
pub(crate) fn builder() -> HubBuilder<Tokio> {
    Hub::builder()
}

/// A hub with the defaults.
pub(crate) fn hub() -> Hub {
    builder().build().expect("a hub")
}

/// Waits until everything that can happen without time has happened.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits for what has to come; fails at once, on a paused clock, if it never does.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let done = tokio::time::timeout(pipe::LONG, future).await;
    done.unwrap_or_else(|_| panic!("not done within {:?}", pipe::LONG))
}

/// Waits for a condition, on a paused clock.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}
