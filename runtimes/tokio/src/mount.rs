//! An app inside hyper, axum, or whatever takes an [`http_body::Body`].
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::Router;
//! use sse_state_tokio::mount::Mounted;
//! use sse_state_tokio::{App, Hub, Route};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().build()?;
//! let events = Mounted::new(App::new(&hub).get("/news", Route::topic("news")))?;
//! let tcp = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let listener = events.listener(tcp);
//! let router: Router = Router::new()
//!     .route("/", axum::routing::get(|| async { "hello" }))
//!     .fallback_service(events);
//! axum::serve(listener, router)
//!     .with_graceful_shutdown(async move {
//!         let _ = tokio::signal::ctrl_c().await;
//!         // Streams end; what is left after the grace is cut. It need not be awaited.
//!         drop(hub.shutdown(None));
//!     })
//!     .await?;
//! # Ok(()) }
//! # }
//! ```
//!
//! Streams come over HTTP/1.1 and HTTP/2, with TLS or without: connections are the framework's. What the hub sets
//! on its own sockets ([`socket::set_options`]) a [`MountListener`] sets, which also ends sockets of peers that
//! read nothing half a second after a shutdown is over: no framework polls a body whose socket is full.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use sse_state_hub::{
    Answer, App, AppError, Ask, Cut, Decided, Mount, Publish, Subscription, socket,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "hyper")]
mod hyper;

#[cfg(feature = "axum")]
pub use self::axum::{Peer, StreamRequest};

/// A body that is a stream, or a whole answer.
#[derive(Debug)]
pub struct MountBody(Inside);

#[derive(Debug)]
enum Inside {
    Whole(Bytes),
    Stream(Subscription),
}

impl Body for MountBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Inside::Stream(stream) => stream.poll_bytes(cx).map_ok(Frame::data),
            Inside::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inside::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inside::Stream(stream) => stream.is_over(),
            Inside::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inside::Stream(_) => SizeHint::default(),
            Inside::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

/// An app that a framework serves: a service of tower (`axum`) and of hyper (`hyper`). Cheap to clone.
///
/// It does not keep the hub alive: when the last [`Hub`](crate::Hub) is dropped, open streams end at once, new
/// ones are refused, and whatever else the framework serves goes on.
#[derive(Clone, Debug)]
pub struct Mounted(Mount);

impl Mounted {
    /// Builds the routes, and declares their topics. Their paths are those that the framework hands on: a router
    /// that is nested takes its prefix away.
    ///
    /// # Errors
    /// [`AppError`] lists everything that is wrong with them.
    pub fn new(app: App) -> Result<Mounted, AppError> {
        app.mount().map(Mounted)
    }

    /// Answers a request; to HEAD without a body. `peer` is where it comes from, for hooks.
    pub async fn respond<B: Body>(
        &self,
        request: Request<B>,
        peer: Option<SocketAddr>,
    ) -> Response<MountBody> {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == http::Method::HEAD;
        match self.0.decide(ask(&self.0, &parts, peer)).await {
            Decided::Answer(answer) if is_head => response(&answer, Inside::Whole(Bytes::new())),
            Decided::Answer(answer) => response(&answer, Inside::Whole(answer.body())),
            Decided::Stream(head, stream) => response(&head, Inside::Stream(stream)),
            Decided::Publish(publish) => {
                let answer = take(publish, body).await;
                response(&answer, Inside::Whole(answer.body()))
            }
        }
    }

    /// Accepts connections from `tcp`, as a [`MountListener`]. Called inside of tokio's runtime.
    pub fn listener(&self, tcp: TcpListener) -> MountListener {
        MountListener::new(&self.0, tcp)
    }
}

/// The parts of a request, held to the rules of the hub.
fn ask(mount: &Mount, parts: &http::request::Parts, peer: Option<SocketAddr>) -> Ask {
    let fields = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    mount.ask(parts.method.as_str(), target, authority, fields, peer)
}

fn response(answer: &Answer, body: Inside) -> Response<MountBody> {
    let mut response = Response::new(MountBody(body));
    // The statuses and fields of an answer are valid by its construction.
    *response.status_mut() =
        StatusCode::from_u16(answer.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.mounted_fields() {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name.as_bytes()),
            http::HeaderValue::from_str(value),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Reads the body of a publish, within its bounds, and publishes it.
async fn take<B: Body>(publish: Publish, body: B) -> Answer {
    let limit = publish.limit();
    let read = tokio::time::timeout(publish.deadline(), collect(body, limit)).await;
    match read {
        Ok(Collected::All(bytes)) => publish.body(Some(&bytes)),
        Ok(Collected::TooLong) => publish.body(None),
        // It never came whole: nothing is published.
        Ok(Collected::Broken) | Err(_) => publish.cut_off(),
    }
}

enum Collected {
    All(BytesMut),
    TooLong,
    Broken,
}

async fn collect<B: Body>(body: B, limit: usize) -> Collected {
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else {
            return Collected::Broken;
        };
        if let Ok(mut data) = frame.into_data() {
            if data.remaining() > limit - all.len() {
                return Collected::TooLong;
            }
            while data.has_remaining() {
                let chunk = data.chunk();
                all.extend_from_slice(chunk);
                let read = chunk.len();
                data.advance(read);
            }
        }
    }
    Collected::All(all)
}

/// Accepts connections whose sockets are as the hub wants them (WIRE §8), and which fail half a second after a
/// shutdown of the hub is over, unless the framework has ended them by then.
#[derive(Debug)]
pub struct MountListener {
    tcp: TcpListener,
    user_timeout: Duration,
    over: Arc<Over>,
}

/// The end of the hub, for any number of sockets.
#[derive(Debug, Default)]
struct Over {
    is: AtomicBool,
    notify: Arc<Notify>,
}

impl MountListener {
    /// A task waits for the end of the hub.
    fn new(mount: &Mount, tcp: TcpListener) -> MountListener {
        let over = Arc::new(Over::default());
        let (told, mount_of_task) = (Arc::clone(&over), mount.clone());
        tokio::spawn(async move {
            mount_of_task.ended().await;
            if mount_of_task.was_shut_down() {
                tokio::time::sleep(FLUSH).await;
                told.is.store(true, Ordering::SeqCst);
                told.notify.notify_waiters();
            }
        });
        MountListener {
            tcp,
            user_timeout: mount.user_timeout(),
            over,
        }
    }

    /// The next connection. No error ends it: without descriptors it waits for some.
    pub async fn accept(&mut self) -> (MountStream, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, peer)) => return (self.wrap(tcp), peer),
                Err(error) if socket::is_of_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(socket::ACCEPT_PAUSE).await,
            }
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// As `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    fn wrap(&self, tcp: TcpStream) -> MountStream {
        socket::set_options(&tcp, self.user_timeout);
        MountStream {
            tcp,
            over: Arc::clone(&self.over),
            waiting: None,
        }
    }
}

/// A connection that fails, with a reset, half a second after a shutdown of the hub is over.
#[derive(Debug)]
pub struct MountStream {
    tcp: TcpStream,
    over: Arc<Over>,
    /// Made when it has to wait for the first time.
    waiting: Option<Pin<Box<OwnedNotified>>>,
}

impl MountStream {
    /// Asked only where it would wait: what a socket takes and gives it may.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let notify = &self.over.notify;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(Arc::clone(notify).notified_owned()));
        // First the waker, then the look, else the end in between is lost.
        let told = waiting.as_mut().poll(cx).is_ready();
        if told || self.over.is.load(Ordering::SeqCst) {
            socket::reset_on_close(&self.tcp);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for MountStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.tcp).poll_read(cx, buffer) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }
}

impl AsyncWrite for MountStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.tcp).poll_write(cx, bytes) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.tcp).poll_write_vectored(cx, slices) {
            Poll::Pending => self.wait(cx),
            ready => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What a framework has after the last stream has ended to write what it holds and to close its connections in
/// order; within the second by which a server may end later than its grace.
const FLUSH: Duration = Duration::from_millis(500);
