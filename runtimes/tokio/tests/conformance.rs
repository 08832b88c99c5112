//! The checks of `sse-state-conformance` on tokio.

use std::process::ExitCode;

use sse_state_conformance::Settings;
use sse_state_tokio::{App, Hub, listen, serve};

fn main() -> ExitCode {
    sse_state_conformance::main("tokio", serve_it)
}

fn serve_it(settings: &Settings) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(settings));
}

async fn run(settings: &Settings) {
    let hub: Hub = settings.builder().build().expect("a hub");
    let app: App = settings.app(&hub);
    let listener = listen("127.0.0.1:0").await.expect("a free port");
    settings.listening(listener.local_addr().expect("an address"));
    serve(listener, app)
        .with_graceful_shutdown(settings.asked_to_stop())
        .await
        .expect("routes that fit together");
}
