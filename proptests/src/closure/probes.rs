//! What must hold from a state on: tried on clones, so that the exploration does not go there.

use std::time::Duration;

use sse_state::{
    Answer, Control, Error, Input, Pumped, Run, ShutdownCause, Sink, Socket, SubscriberId, Time,
};

use super::configuration::Configuration;
use super::ops::{Op, Part, Take};
use super::refusals;
use super::world::{Broken, Explored, Notes, World};

/// Tries everything that is to be tried on a state of this digest.
///
/// # Errors
/// What does not hold.
pub(super) fn probe<E: Explored>(
    world: &World<E>,
    of: &Configuration,
    digest: u64,
    notes: &mut Notes,
) -> Result<(), Broken> {
    let now = world.engine.now();
    if world.engine.poll_timeout() != Some(now) {
        time(world, digest)?;
    }
    heal(world, of)?;
    end(world, of)?;
    refusals::try_all(world, of, digest, notes)
}

/// Timeouts that are early or spurious do nothing; one at its time leaves nothing that is due.
fn time<E: Explored>(world: &World<E>, digest: u64) -> Result<(), Broken> {
    let now = world.engine.now();
    for at in [Time::ZERO, now] {
        let mut engine = world.engine.clone();
        let _ = engine.apply(at, Input::Timeout);
        if engine.digest() != digest || engine.now() != now {
            return Err("T5: a timeout that is not due changed something".into());
        }
    }
    let Some(due) = world.engine.poll_timeout() else {
        return Ok(());
    };
    let mut engine = world.engine.clone();
    let early = Time::from_nanos(due.as_nanos() - 1);
    let _ = engine.apply(early, Input::Timeout);
    let mut nothing = Nothing(None);
    if engine.pump(64, &mut nothing) == Pumped::More {
        return Err("T4: early, and there is work".into());
    }
    match nothing.0 {
        Some(what) => Err(format!("T4: early, and {what}")),
        None => Ok(()),
    }
}

/// All that is in flight is written and every socket is writable: then everybody gets to the head.
fn heal<E: Explored>(world: &World<E>, of: &Configuration) -> Result<(), Broken> {
    let mut world = world.clone();
    let mut notes = Notes::default();
    for _ in 0..HEALING {
        let conns = world.env.conns.clone();
        for (place, conn) in conns.iter().enumerate().rev() {
            let place = place as u8;
            let report = Op::Report(place, Part::All, Socket::Ready);
            for op in [
                conn.flight.map(|_| report),
                conn.blocked.then_some(Op::Writable(place)),
                conn.woken.then_some(Op::Pull(place)),
            ]
            .into_iter()
            .flatten()
            {
                let before = world.engine.digest();
                world.step(op, of, before, &mut notes)?;
            }
        }
        world.drain(Op::Pump(Take::All), of, &mut notes)?;
    }
    if world.engine.greatest_lag() > 0 {
        return Err("D12: everybody reads on, and somebody does not get to the head".into());
    }
    Ok(())
}

/// A shutdown ends, whatever is in flight or blocked: every connection is closed once, every source is
/// stopped.
fn end<E: Explored>(world: &World<E>, of: &Configuration) -> Result<(), Broken> {
    let mut world = world.clone();
    let mut notes = Notes::default();
    let before = world.engine.digest();
    world.step(Op::Shutdown(ShutdownCause::Asked), of, before, &mut notes)?;
    // Whoever has still to be finished waits for its peer; the end of grace ends all of them.
    for _ in 0..3 {
        world.drain(Op::Pump(Take::Blocked(Part::Nothing)), of, &mut notes)?;
        let before = world.engine.digest();
        world.step(Op::Tick, of, before, &mut notes)?;
    }
    world.drain(Op::Pump(Take::All), of, &mut notes)?;
    let sources = world
        .env
        .sources
        .iter()
        .any(|source| source.token.is_some());
    if !world.engine.is_terminated() || !world.env.conns.is_empty() || sources {
        return Err("S1: grace is over, and something lives".into());
    }
    let mut engine = world.engine.clone();
    match engine.apply(engine.now(), Input::Accept) {
        Err(Error::ShuttingDown) => Ok(()),
        other => Err(format!("S2: after the end accept is {other:?}")),
    }
}

/// Nothing may come here.
struct Nothing(Option<String>);

impl Sink for Nothing {
    fn write(&mut self, id: SubscriberId, _: Run<'_>) -> Answer {
        self.0 = Some(format!("a write to {id}"));
        Answer::All
    }

    fn control(&mut self, control: Control) {
        self.0 = Some(format!("{control:?}"));
    }
}

/// More rounds of reading than any state needs.
const HEALING: u32 = 12;
/// A time that no configuration has.
pub(super) const LONG: Duration = Duration::from_secs(1 << 20);
