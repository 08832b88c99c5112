//! TLS between axum and the sockets of the hub.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use sse_state_tokio::mount::{MountListener, MountStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

/// Connections whose handshake is done.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<MountStream>, SocketAddr)>,
    addr: SocketAddr,
}

impl TlsListener {
    /// Accepts from `listener`, with a certificate of its own for `localhost`. Handshakes run beside each other, so that a
    /// slow one holds up nobody.
    pub(crate) fn new(
        mut listener: MountListener,
    ) -> Result<TlsListener, Box<dyn std::error::Error>> {
        let acceptor = TlsAcceptor::from(Arc::new(config()?));
        let addr = listener.local_addr()?;
        let (done, ready) = mpsc::channel(1);
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        tokio::spawn(async move {
            loop {
                let (tcp, peer) = tokio::select! {
                    accepted = listener.accept() => accepted,
                    // axum accepts no more.
                    () = done.closed() => return,
                };
                // Who is too many is turned away, not kept waiting.
                let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else {
                    continue;
                };
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(tls)) = timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                        // An error: axum has ended, and the connection ends with it.
                        let _ = done.send((tls, peer)).await;
                    }
                    drop(permit);
                });
            }
        });
        Ok(TlsListener { ready, addr })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<MountStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

/// A certificate that nobody has signed: a browser asks before it believes it.
fn config() -> Result<ServerConfig, Box<dyn std::error::Error>> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    // What a client speaks that speaks both; without it a browser stays with HTTP/1.1 and its six connections.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// As the hub's bound of connections whose head is not complete.
const HANDSHAKES: usize = 1024;
/// As its deadline for a head.
const HANDSHAKE: Duration = Duration::from_secs(10);
