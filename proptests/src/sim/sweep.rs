//! The k-th fault: scripts, and in each of them every kind of fault at every place where it can come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Ask, What};
use super::fault::Fault;
use super::setup::Setup;
use super::state::Sim;
use super::topics::{AUTH, HIST, PLAIN, WAIT};
use super::{Oracle, Outcome};
use crate::choice::Prng;

/// What a sweep did.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Runs: each a script, a kind of fault, and the place where it came.
    pub runs: u64,
    /// Pairs of a script and a kind of fault that came to their last place.
    pub pairs: u64,
    /// What is wrong.
    pub failures: Vec<String>,
}

/// Every kind of fault at every place of every script, as long as there is time.
pub fn sweep(until: Option<Instant>) -> Sweep {
    let mut sweep = Sweep::default();
    for script in 0..SCRIPTS {
        for fault in Fault::ALL {
            if !whole(&mut sweep, script, fault, until) {
                return sweep;
            }
        }
    }
    sweep
}

/// A script and a kind of fault at each of its places; false if the time is up.
fn whole(sweep: &mut Sweep, script: u32, fault: Fault, until: Option<Instant>) -> bool {
    for k in 1.. {
        if until.is_some_and(|until| Instant::now() >= until) {
            return false;
        }
        let (outcome, came) = run(script, fault, k);
        if let Some(failure) = outcome.failures.first() {
            let text = format!("script {script}, {fault:?} at its place {k}: {failure}");
            sweep.failures.push(text);
        }
        if !came {
            break;
        }
        sweep.runs += 1;
    }
    sweep.pairs += 1;
    true
}

/// One run; and whether the fault came.
fn run(script: u32, fault: Fault, k: u64) -> (Outcome, bool) {
    let sim = Sim::new(Oracle::Prng(Prng::new(k)), Setup::calm(), None);
    {
        let mut core = sim.core();
        core.faults_on = true;
        core.sweep = Some((fault, k));
    }
    let serving = sim.begin();
    play(&sim, script);
    let came = sim.core().places >= k;
    sim.heal();
    if sim.core().failures.is_empty() {
        sim.end(serving);
    }
    sim.finish();
    let mut core = sim.core();
    let outcome = Outcome {
        tally: core.tally.clone(),
        digest: core.digest,
        failures: std::mem::take(&mut core.failures),
        story: Vec::new(),
    };
    (outcome, came)
}

/// What happens in each script.
fn play(sim: &Arc<Sim>, script: u32) {
    let pause = Duration::from_millis(50);
    let open = |stream, last_id: Option<String>, hook: &str| {
        let mut ask = Ask::new(What::Stream(stream));
        ask.last_id = last_id;
        hook.clone_into(&mut ask.hook);
        let c = sim.core().connect(ask);
        sim.run_for(pause);
        c
    };
    let publish = |topic: usize| {
        let (name, text) = {
            let mut core = sim.core();
            (core.topics.all[topic].name, core.topics.text(topic, 20))
        };
        sim.publish(name, &text);
        sim.run_for(pause);
    };
    match script {
        // Two streams, one of which leaves.
        0 => {
            let (one, _other) = (open(1, None, ""), open(1, None, ""));
            publish(HIST);
            publish(HIST);
            sim.core().client_leaves(one);
            publish(HIST);
        }
        // One comes back.
        1 => {
            let one = open(1, None, "");
            publish(HIST);
            let seen = sim.core().last_id(one);
            sim.core().client_leaves(one);
            publish(HIST);
            open(1, seen, "");
            publish(HIST);
        }
        // A publish over HTTP.
        2 => {
            let _stream = open(0, None, "");
            let text = sim.core().topics.text(PLAIN, 40);
            let sent = text.len();
            let post = What::Post {
                path: "/plain",
                topic: PLAIN,
                text,
                sent,
            };
            sim.core().connect(Ask::new(post));
            sim.run_for(pause);
        }
        // A source that is polled, and stopped.
        3 => {
            let one = open(5, None, "");
            sim.run_for(Duration::from_secs(3));
            let _two = open(5, None, "");
            sim.core().client_leaves(one);
            sim.run_for(Duration::from_secs(3));
        }
        // A hook, and a key that is closed.
        4 => {
            open(9, None, "does=slow&ms=20&key=k");
            publish(AUTH);
            if let Some(hub) = sim.hub() {
                let _ = hub.close_key("k");
            }
            sim.run_for(pause);
        }
        // Publishes that wait for a reader with a small window.
        5 => {
            let c = open(4, None, "");
            sim.core().conn(c).window = 60;
            for _ in 0..20 {
                let text = sim.core().topics.text(WAIT, 30);
                sim.publish_wait(&text);
            }
            sim.run_for(Duration::from_secs(1));
        }
        // An event that is larger than the window, and a reader that stalls and reads on.
        _ => {
            let c = open(15, None, "");
            let text = sim.core().topics.text(PLAIN, 3000);
            sim.core().conn(c).window = 700;
            sim.core().conn(c).mode = super::conn::Mode::Stalled;
            sim.core().conn(c).was_slow = true;
            sim.publish("plain", &text);
            sim.run_for(pause);
            sim.core().conn(c).mode = super::conn::Mode::Fast;
            sim.core().notify(c);
            sim.run_for(pause);
            publish(HIST);
        }
    }
}

const SCRIPTS: u32 = 7;
