//! Where the project's own server runs: tokio, smol, async-std, and mounted in axum on tokio.

use std::future::{Future, pending};
use std::sync::Arc;

use async_executor::Executor;
use axum::Router;
use sse_state_tokio::mount::Mounted;
use sse_state_tokio::{Runtime as _, Tokio};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::{attend, own};
use crate::words::Words;

/// Runs this on a tokio runtime with so many `threads` (0: one, that of the caller).
pub(super) fn on_tokio<F>(settings: &Words, future: F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let runtime = match settings.get_or("threads", 2)? {
        0 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    };
    let runtime: Runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(future)
}

/// Until SIGTERM, or until the input ends.
pub(super) async fn tokio(settings: &Words) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut terminated = signal(SignalKind::terminate()).map_err(text)?;
    let listener = sse_state_tokio::listen(ANY).await.map_err(text)?;
    let addr = listener.local_addr().map_err(text)?;
    let runtime = Tokio::enter().map_err(|error| error.to_string())?;
    own::serve_on(settings, runtime, listener, addr, async move {
        terminated.recv().await;
    })
    .await
}

/// Until the input ends.
pub(super) async fn mounted(settings: &Words) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let runtime = Tokio::enter().map_err(|error| error.to_string())?;
    let (hub, app) = own::hub(settings, runtime.clone())?;
    let events = Mounted::new(app).map_err(|error| error.to_string())?;
    let listener = tokio::net::TcpListener::bind(ANY).await.map_err(text)?;
    let addr = listener.local_addr().map_err(text)?;
    attend(own::service(hub, runtime), addr);
    let listener = events.listener(listener);
    axum::serve(listener, Router::new().fallback_service(events))
        .await
        .map_err(text)
}

/// Until the input ends.
pub(super) fn smol(settings: &Words) -> Result<(), String> {
    let executor = Arc::new(Executor::new());
    let threads: usize = settings.get_or("threads", 2)?.max(1);
    for _ in 0..threads {
        let executor = Arc::clone(&executor);
        std::thread::spawn(move || async_io::block_on(executor.run(pending::<()>())));
    }
    let runtime = sse_state_smol::Smol::on(Arc::clone(&executor), threads);
    async_io::block_on(async {
        let text = |error: std::io::Error| error.to_string();
        let listener = sse_state_smol::listen(ANY).await.map_err(text)?;
        let addr = listener.local_addr().map_err(text)?;
        own::serve_on(settings, runtime, listener, addr, pending()).await
    })
}

/// Until the input ends. Its runtime has a thread per core, whatever the settings say.
pub(super) fn async_std(settings: &Words) -> Result<(), String> {
    let runtime = sse_state_async_std::AsyncStd::enter().map_err(|error| error.to_string())?;
    async_io::block_on(async {
        let text = |error: std::io::Error| error.to_string();
        let listener = sse_state_async_std::listen(ANY).await.map_err(text)?;
        let addr = listener.local_addr().map_err(text)?;
        own::serve_on(settings, runtime, listener, addr, pending()).await
    })
}

const ANY: &str = "127.0.0.1:0";
