//! axum: a service for its routers, a handler's extractor, a listener for its server.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::{Inside, MountBody, MountListener, MountStream, Mounted};

type Answering = Pin<Box<dyn Future<Output = Result<Response<MountBody>, Infallible>> + Send>>;

/// For `Router::fallback_service`, `nest_service` and `route_service`. Hooks are told the peer if the router is
/// served with `into_make_service_with_connect_info`, of a [`Peer`] with a
/// [`MountListener`], else of a `SocketAddr`.
impl<B> Service<Request<B>> for Mounted
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<MountBody>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Its bounds are answers.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let mounted = self.clone();
        let peer = peer(request.extensions());
        Box::pin(async move { Ok(mounted.respond(request, peer).await) })
    }
}

/// The request of a handler that answers with a stream of a [`Mounted`] app, after looking at it itself.
///
/// ```
/// use axum::Router;
/// use axum::extract::State;
/// use axum::response::Response;
/// use axum::routing::get;
/// use sse_state_tokio::mount::{Mounted, StreamRequest};
///
/// async fn news(State(events): State<Mounted>, request: StreamRequest) -> Response {
///     events.stream(request).await
/// }
///
/// # fn router(events: Mounted) -> Router {
/// Router::new().route("/news", get(news)).with_state(events)
/// # }
/// ```
#[derive(Debug)]
pub struct StreamRequest {
    parts: request::Parts,
}

impl<S: Sync> FromRequestParts<S> for StreamRequest {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<StreamRequest, Infallible> {
        let parts = parts.clone();
        Ok(StreamRequest { parts })
    }
}

impl Mounted {
    /// Answers a handler's request: a stream, or why there is none. Nothing is published.
    pub async fn stream(&self, request: StreamRequest) -> axum::response::Response {
        let peer = peer(&request.parts.extensions);
        let request = Request::from_parts(request.parts, MountBody(Inside::Whole(Bytes::new())));
        self.respond(request, peer).await.map(axum::body::Body::new)
    }
}

fn peer(extensions: &http::Extensions) -> Option<SocketAddr> {
    let ours = extensions.get::<ConnectInfo<Peer>>();
    let axums = extensions.get::<ConnectInfo<SocketAddr>>();
    ours.map(|info| info.0.0).or(axums.map(|info| info.0))
}

impl Listener for MountListener {
    type Io = MountStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (MountStream, SocketAddr) {
        MountListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        MountListener::local_addr(self)
    }
}

/// Where a connection of a [`MountListener`] comes from, for `into_make_service_with_connect_info::<Peer>()`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, MountListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, MountListener>) -> Peer {
        Peer(*stream.remote_addr())
    }
}
