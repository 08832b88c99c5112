//! The program itself, as a browser and a supervisor see it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, SignatureScheme, client::danger, crypto,
};

/// A running program, on a port of its own.
struct Dashboard {
    process: Child,
    _out: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl Dashboard {
    fn start(options: &[&str]) -> Dashboard {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum-dashboard"));
        command
            .args(["--addr", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let mut out = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let addr = line
            .trim()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .expect("an address");
        Dashboard {
            addr: addr.parse().expect("an address"),
            process,
            _out: out,
        }
    }

    /// Sends a request on a connection of its own.
    fn send(&self, head: &str, body: &str) -> Client {
        let mut tcp = TcpStream::connect(self.addr).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let length = body.len();
        write!(
            tcp,
            "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        Client {
            tcp,
            seen: String::new(),
        }
    }

    /// A supervisor's end: how long it takes.
    fn stop(mut self) -> Duration {
        let started = Instant::now();
        let id = self.process.id().to_string();
        let told = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill");
        assert!(told.success());
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "{status}");
        started.elapsed()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client {
    tcp: TcpStream,
    seen: String,
}

impl Client {
    fn until(&mut self, text: &str) -> &str {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let bytes = self
                .tcp
                .read(&mut buffer)
                .unwrap_or_else(|error| panic!("no {text:?}: {error}: {}", self.seen));
            assert_ne!(bytes, 0, "it ended before {text:?}: {}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..bytes]);
        }
        &self.seen
    }

    /// Reads to the end of the connection, which comes in order.
    fn end(mut self) -> String {
        self.tcp.read_to_string(&mut self.seen).expect("no reset");
        self.seen
    }
}

/// The last chunk of an answer (RFC 9112 §7.1).
const LAST: &str = "\r\n0\r\n\r\n";

#[test]
fn figures_are_for_everybody_and_notes_for_who_has_logged_in() {
    let dashboard = Dashboard::start(&[]);
    dashboard.send("GET /", "").until("new EventSource");
    dashboard
        .send("GET /events/figures", "")
        .until("data: {\"load\":");
    dashboard.send("GET /events/notes", "").until(" 401 ");
    dashboard.send("POST /events/notes", "hello").until(" 401 ");

    let form = "POST /login HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nX-Rest:";
    let mut login = dashboard.send(form, "name=Ada");
    let answer = login.until("\r\n\r\n").to_owned();
    let cookie = answer
        .split("session=")
        .nth(1)
        .expect("a cookie")
        .split(';')
        .next()
        .expect("its value");
    let as_ada = |line: &str| format!("{line} HTTP/1.1\r\nCookie: session={cookie}\r\nX-Rest:");

    let mut notes = dashboard.send(&as_ada("GET /events/notes"), "");
    notes.until("retry: ");
    dashboard
        .send(&as_ada("POST /events/notes"), "it rains")
        .until(" 201 ");
    notes.until("data: it rains\n");

    // The stream ends with its session, in order; nobody comes back with the cookie.
    dashboard.send(&as_ada("POST /logout"), "").until(" 303 ");
    notes.until(LAST);
    dashboard
        .send(&as_ada("GET /events/notes"), "")
        .until(" 401 ");
}

#[test]
fn it_ends_with_open_streams() {
    let dashboard = Dashboard::start(&[]);
    let mut stream = dashboard.send("GET /events/figures", "");
    stream.until("data: ");
    let took = dashboard.stop();
    // The grace is five seconds; nobody here is slow.
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(stream.end().ends_with(LAST));
}

#[tokio::test]
async fn over_tls_a_browser_gets_http_2_and_many_streams_on_one_connection() {
    let dashboard = Dashboard::start(&["--tls"]);
    let tcp = tokio::net::TcpStream::connect(dashboard.addr)
        .await
        .expect("it listens");
    let crypto = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("a handshake");
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
    let (mut send, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);

    let mut streams = Vec::new();
    for _ in 0..20 {
        let request = Request::get("https://localhost/events/figures").body(Empty::<Bytes>::new());
        streams.push(
            send.send_request(request.expect("a request"))
                .await
                .expect("an answer"),
        );
    }
    for stream in &mut streams {
        assert_eq!(stream.status(), 200);
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("data: {\"load\":") {
            let frame = tokio::time::timeout(PATIENCE, stream.frame())
                .await
                .expect("in time");
            let frame = frame.expect("not the end").expect("no error");
            seen.extend_from_slice(&frame.into_data().expect("data"));
        }
    }
    let took = tokio::task::spawn_blocking(|| dashboard.stop())
        .await
        .expect("it ends");
    assert!(took < Duration::from_secs(7), "{took:?}");
}

/// The certificate is the program's own, made at its start.
#[derive(Debug)]
struct Anything;

impl danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<danger::ServerCertVerified, rustls::Error> {
        Ok(danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
        Ok(danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
        Ok(danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(20);
