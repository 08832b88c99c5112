//! A simulated world: the hub's own code on a virtual network and a virtual clock.
//!
//! Everything that happens follows from one sequence of choices: which task runs next, when time passes,
//! what clients, publishers and the service do, and what goes wrong. Clients parse what they get and hold it
//! against what was published. A run has two phases: with faults, and without any, when everything must come
//! right; then the hub ends, and nothing may be left of it.

mod bug;
mod client;
mod conn;
mod exec;
mod fault;
mod mark;
mod net;
mod op;
mod part;
mod reading;
mod setup;
mod site;
mod spy;
mod state;
mod sweep;
mod topics;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use bug::Bug;
pub use fault::Fault;
pub use mark::Mark;
pub use part::{STANDARD_WORLDS, find, part};
pub use state::Tally;
pub use sweep::{Sweep, sweep};

use crate::choice::{Bytes, Choice, Prng};
use setup::Setup;
use state::{Happens, Sim};

/// What a run was like.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// A digest of everything that clients got, and when.
    pub digest: u64,
    /// What is wrong.
    pub failures: Vec<String>,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
}

/// Runs the world of a seed.
pub fn run(seed: u64) -> Outcome {
    play(Oracle::Prng(Prng::new(seed)), None, false)
}

/// Runs the world of a seed with a planted bug.
pub fn run_with(seed: u64, bug: Bug) -> Outcome {
    play(Oracle::Prng(Prng::new(seed)), Some(bug), false)
}

/// Runs the world that these bytes choose; for a fuzzer.
///
/// # Panics
/// If a rule is broken.
pub fn fuzz(bytes: &[u8]) {
    let outcome = play(Oracle::Bytes(bytes.to_vec(), 0, Prng::new(0)), None, false);
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
}

/// Runs the world of a seed, and tells its story.
pub fn replay(seed: u64) -> Outcome {
    play(Oracle::Prng(Prng::new(seed)), None, true)
}

fn play(mut oracle: Oracle, bug: Option<Bug>, tells: bool) -> Outcome {
    let setup = Setup::choose(&mut oracle);
    let (lasts, in_the_middle) = (setup.lasts, setup.ends_in_the_middle);
    let crowd = setup.crowd;
    let sim = Sim::new(oracle, setup, bug);
    {
        let mut core = sim.core();
        core.story = tells.then(Vec::new);
    }
    let serving = sim.begin();
    if crowd > 0 {
        sim.core().crowd(crowd);
        sim.run_for(Duration::from_millis(500));
    }
    {
        let mut core = sim.core();
        core.faults_on = true;
        let now = core.now();
        core.at(now, Happens::Op);
    }
    sim.run_for(lasts);
    if !in_the_middle {
        sim.heal();
    }
    if sim.core().failures.is_empty() {
        sim.end(serving);
    }
    sim.finish();
    let mut core = sim.core();
    Outcome {
        tally: core.tally.clone(),
        digest: core.digest,
        failures: std::mem::take(&mut core.failures),
        story: core.story.take().unwrap_or_default(),
    }
}

/// Where choices come from.
#[derive(Clone, Debug)]
pub(crate) enum Oracle {
    Prng(Prng),
    /// Bytes of a fuzzer, how many were used, and what follows them: with the same answer for ever, the
    /// scheduler would run one task for ever.
    Bytes(Vec<u8>, usize, Prng),
}

impl Choice for Oracle {
    fn pick(&mut self, n: u32) -> u32 {
        match self {
            Oracle::Prng(prng) => prng.pick(n),
            Oracle::Bytes(bytes, used, then) if *used == bytes.len() => then.pick(n),
            Oracle::Bytes(bytes, used, _) => {
                let mut rest = Bytes::new(&bytes[*used..]);
                let picked = rest.pick(n);
                *used = bytes.len() - rest.left();
                picked
            }
        }
    }
}

/// Nothing panics while one of these is held but a bug of this crate, so poison says nothing.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
