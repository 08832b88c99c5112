//! The checks of `sse-state-conformance` on this loop, while it is watched: a duty that it neglects is a panic
//! of the server, and a check that fails.

use std::process::ExitCode;

use mio_loop::Loop;
use sse_state::{Input, ShutdownCause, SseState};
use sse_state_conformance::{Settings, Site, Watched};

fn main() -> ExitCode {
    sse_state_conformance::main("mio", serve)
}

fn serve(settings: &Settings) {
    let config = settings.config();
    let server = Loop::listen(([127, 0, 0, 1], 0).into(), &config).expect("a free port");
    settings.listening(server.addr);
    let handle = server.handle.clone();
    let stop = handle.clone();
    settings.when_asked_to_stop(move || {
        let cause = ShutdownCause::Asked;
        stop.send(Input::Shutdown { grace: None, cause });
    });
    let mut state = Watched::new(SseState::new(config).expect("bounds"));
    let site = Site::new(&mut state, move |input| handle.send(input)).expect("its topics");
    server.serve(state, site).expect("events");
}
