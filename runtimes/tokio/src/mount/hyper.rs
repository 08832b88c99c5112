//! hyper: a service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use http::{Request, Response};
use http_body::Body;
use hyper::service::Service;

use super::{MountBody, Mounted};

/// One for all connections; hooks are told no peer. (Who has it calls [`Mounted::respond`].)
impl<B> Service<Request<B>> for Mounted
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<MountBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<MountBody>, Infallible>> + Send>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let mounted = self.clone();
        Box::pin(async move { Ok(mounted.respond(request, None).await) })
    }
}
