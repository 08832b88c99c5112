#![doc = include_str!("../README.md")]

mod demo;
mod exchange;
pub mod net;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sse_state::http::{Allow, Answer, Request};
use sse_state::{Config, Engine, Epoch, Name, PollOutcome, SourceToken, Subscribe, SubscriberId};

pub use demo::Demo;
pub use exchange::Exchange;

/// What a server serves, whatever loop it runs on.
pub trait Service {
    /// The methods that this path has; `None` if there is no such path.
    fn allows(&self, path: &str) -> Option<Allow>;

    /// What becomes of a request whose path has its method, and that no foreign page has sent.
    fn decide(&mut self, id: SubscriberId, request: &Request, state: &dyn Engine) -> Decision;

    /// The value of a polled topic, at once: the loop waits for it.
    fn poll(&mut self, topic: &Name) -> PollOutcome;

    /// Somebody listens to a topic that has a source. If it is not polled this starts what feeds it, through
    /// the handle of the loop.
    fn start(&mut self, topic: &Name, token: SourceToken) {
        let _ = (topic, token);
    }

    /// Connections are not accepted for a while, for want of descriptors for instance.
    fn accept_failed(&mut self, error: &io::Error) {
        eprintln!("accepting: {error}");
    }
}

/// What becomes of a request.
pub enum Decision {
    /// A stream of these topics. Answer head and last event id are filled in.
    Stream(Box<Subscribe>),
    /// Its body is published to this topic.
    Publish(Name),
    /// An answer, and the end.
    Answer(Answer),
}

/// The default bounds, with the operating system's randomness.
pub fn config() -> Config {
    // The keys of std's hash maps are the one door that std has to it.
    let random = || RandomState::new().hash_one(0);
    Config {
        seed: random(),
        hash_key: [random(), random()],
        ..Config::new(Epoch(random()))
    }
}

/// Calls this, on a thread, when the process is to end.
///
/// # Errors
/// As the system call.
pub fn on_signal(then: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            then();
        }
    });
    Ok(())
}
