//! The checks of `sse-state-conformance` on smol.

use std::process::ExitCode;

use sse_state_conformance::Settings;
use sse_state_smol::{App, Hub, listen, serve};

fn main() -> ExitCode {
    sse_state_conformance::main("smol", serve_it)
}

fn serve_it(settings: &Settings) {
    smol::block_on(run(settings));
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
