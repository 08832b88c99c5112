//! Black-box checks of a server built on `sse-state`: over TCP, and by the counters that it shows at `/stats`.
//!
//! They are written once and run for every runtime. A test binary without the standard harness is server and
//! checks at once: [`main`] runs the checks, each against a server process of its own, which is the same binary
//! again.
//!
//! ```no_run
//! use sse_state_conformance::Settings;
//!
//! fn serve(settings: &Settings) {
//!     // Build the hub with `settings.builder()`, the routes with `settings.app(&hub)`; listen on a free port of
//!     // 127.0.0.1, tell it with `settings.listening(addr)`, and serve until `settings.asked_to_stop()`.
//! #   let _ = settings;
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     sse_state_conformance::main("name of the runtime", serve)
//! }
//! ```
//!
//! A loop without the hub takes [`Settings::config`] and the [`Site`], and is [`Watched`] while it serves.

mod by_hand;
mod checks;
mod client;
mod clients;
mod process;
mod program;
mod settings;
mod watched;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

pub use by_hand::Site;
pub use program::check_demo;
pub use settings::{AskedToStop, Settings};
pub use watched::Watched;

/// Serves if this process was started to serve, else runs the checks: a test binary with `harness = false`.
/// The name of what runs it stands before the name of each check.
pub fn main(runs_on: &str, serve: fn(&Settings)) -> ExitCode {
    main_where(runs_on, Ok(()), serve)
}

/// As [`main`], for what a machine may lack: then every check fails with the reason, or is shown as ignored if
/// the variable `SSE_STATE_WITHOUT` holds this name.
pub fn main_where(runs_on: &str, is_there: Result<(), String>, serve: fn(&Settings)) -> ExitCode {
    if let Some(settings) = Settings::of_this_process() {
        serve(&settings);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trials = checks::ALL.iter().map(|&(name, check)| {
        let missing = is_there.clone().err();
        let may_be_missing = may_be_missing(runs_on);
        let run = move || match missing {
            None => check()
                .map(|()| Completion::Completed)
                .map_err(Failed::from),
            Some(why) if may_be_missing => Ok(Completion::ignored_with(why)),
            Some(why) => Err(Failed::from(why)),
        };
        Trial::ignorable_test(name, run).with_kind(runs_on)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Whether the person who runs the checks said that this machine lacks it.
#[must_use]
pub fn may_be_missing(what: &str) -> bool {
    let without = std::env::var("SSE_STATE_WITHOUT").unwrap_or_default();
    without.split([',', ' ']).any(|name| name == what)
}
