//! Is one digest one state? Two ways to it go on together, and must see the same.

use super::configuration::Configuration;
use super::ops::{self, Op};
use super::world::{Broken, Conn, Explored, Notes, Seen, World};
use crate::choice::{Choice, Prng};

/// Goes on from two worlds of one digest by the same operations; ids, tokens and drawn times may differ,
/// and, where there are several streams, what comes first of two things that are due at once.
///
/// # Errors
/// What differs.
pub(super) fn twins<E: Explored>(
    one: &World<E>,
    other: &World<E>,
    of: &Configuration,
    choice: &mut Prng,
    steps: u32,
) -> Result<(), Broken> {
    let mut pair = [one.clone(), other.clone()];
    for world in &mut pair {
        world.sort();
        world.name_roles();
    }
    alike(&pair, of, "at first".into())?;
    let mut done = Vec::new();
    for _ in 0..steps {
        let mut enabled = [Vec::new(), Vec::new()];
        for (world, ops) in pair.iter().zip(&mut enabled) {
            ops::enabled(world, of, ops);
        }
        if enabled[0] != enabled[1] {
            return Err(format!("R2: one digest, but other steps after {done:?}"));
        }
        if enabled[0].is_empty() {
            return Ok(());
        }
        let op = enabled[0][choice.pick(enabled[0].len() as u32) as usize];
        done.push(op);
        let mut seen = [Vec::new(), Vec::new()];
        for (world, seen) in pair.iter_mut().zip(&mut seen) {
            *seen = go_on(world, op, of)?;
        }
        if seen[0] != seen[1] {
            return Err(format!(
                "R2: one digest, but {:?} and {:?} after {done:?}",
                seen[0], seen[1]
            ));
        }
        alike(&pair, of, format!("after {done:?}"))?;
    }
    Ok(())
}

/// One operation; pumps go on until nothing is left, since visits that find nothing may differ.
fn go_on<E: Explored>(
    world: &mut World<E>,
    op: Op,
    of: &Configuration,
) -> Result<Vec<Seen>, Broken> {
    let mut notes = Notes {
        seen: Some(Vec::new()),
        ..Notes::default()
    };
    let before = world.engine.digest();
    world.step(op, of, before, &mut notes)?;
    if matches!(op, Op::Pump(_)) {
        world.drain(op, of, &mut notes)?;
    }
    let mut seen = notes.seen.unwrap_or_default();
    // Stable: what one stream sees keeps its order.
    seen.sort_by_key(|seen| match seen {
        Seen::Replied(_) => None,
        Seen::Wrote { role, .. } => Some(*role),
        Seen::Told { role, .. } => *role,
    });
    Ok(seen)
}

/// What a driver knows, and what can be looked up, is the same.
fn alike<E: Explored>(
    pair: &[World<E>; 2],
    of: &Configuration,
    when: String,
) -> Result<(), Broken> {
    let views = pair.each_ref().map(|world| {
        let mut conns: Vec<_> = world.env.conns.iter().map(known).collect();
        conns.sort_unstable_by_key(|conn| conn.0);
        let sources: Vec<_> = (world.env.sources.iter())
            .map(|source| source.token.is_some())
            .collect();
        let interests: Vec<_> = (of.topics.iter())
            .map(|topic| world.engine.interest(topic.name.as_str()))
            .collect();
        let stats = world.engine.stats();
        let gauges = [stats.streams, stats.finishing, stats.topics, stats.sources];
        (
            conns,
            sources,
            interests,
            gauges,
            world.engine.is_terminated(),
        )
    });
    if views[0] != views[1] {
        return Err(format!(
            "R2: one digest, but {:?} and {:?} {when}",
            views[0], views[1]
        ));
    }
    // A key that is closed is found when a deadline is looked at, which may be early for one of the two.
    if of.streams == 1 && !of.alphabet.key && pair[0].engine.digest() != pair[1].engine.digest() {
        return Err(format!("R2: one digest, but two {when}"));
    }
    Ok(())
}

fn known(conn: &Conn) -> (u32, bool, Option<ops::Lent>, bool, bool) {
    (
        conn.role,
        conn.stream,
        conn.flight,
        conn.blocked,
        conn.woken,
    )
}
