//! A server on a real socket, and clients that see bytes.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use sse_state_tokio::{App, Hub, ServeError, listen, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Serves an app on a port of its own.
pub(crate) async fn start(app: App) -> (SocketAddr, JoinHandle<Result<(), ServeError>>) {
    let listener = listen("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let serving = tokio::spawn(std::future::IntoFuture::into_future(serve(listener, app)));
    (addr, serving)
}

/// A connection of a client.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) seen: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).await.expect("connects");
        Client {
            stream,
            seen: Vec::new(),
        }
    }

    /// Connects and sends a request.
    pub(crate) async fn send(addr: SocketAddr, request: &str) -> Client {
        let mut client = Client::connect(addr).await;
        client.write(request.as_bytes()).await;
        client
    }

    /// Opens a stream.
    pub(crate) async fn get(addr: SocketAddr, target: &str) -> Client {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut client = Client::send(addr, &request).await;
        client.until("\r\n\r\n").await;
        client
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("writes");
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads until this text has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        self.until_count(text, 1).await
    }

    /// Reads until this text has come so many times.
    pub(crate) async fn until_count(&mut self, text: &str, times: usize) -> String {
        let read = async {
            while self.text().matches(text).count() < times {
                let mut buffer = [0; 4096];
                let bytes = self.stream.read(&mut buffer).await.expect("reads");
                assert_ne!(bytes, 0, "it ended before {text:?}: {:?}", self.text());
                self.seen.extend_from_slice(&buffer[..bytes]);
            }
        };
        within("the text", read).await;
        self.text()
    }

    /// Reads to the end; an error is what ended it otherwise.
    pub(crate) async fn rest(&mut self) -> std::io::Result<String> {
        let read = async { self.stream.read_to_end(&mut self.seen).await };
        within("the end", read).await?;
        Ok(self.text())
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut client = Client::send(addr, request).await;
    client.rest().await.expect("an orderly end")
}

/// Publishes as `curl -d` does.
pub(crate) async fn post(addr: SocketAddr, target: &str, body: &str) -> String {
    let length = body.len();
    ask(
        addr,
        &format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
    .await
}

/// Waits for a future, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("never came: {what}"))
}

/// Waits for a condition, but not for ever.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A hub with the defaults.
pub(crate) fn hub() -> Hub {
    Hub::builder().build().expect("a hub")
}
