//! Exhaustive closure: every state that a small configuration can be in, and every step from it.
//!
//! Breadth first over the states of an engine that can be cloned. Two states are one if their canonical
//! digests are equal and so is what the driver knows; a configuration is *closed* when no step leads to a state that is new. Time goes by
//! in units, and every time of a configuration is one or two of them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use sse_state::SseState;

use crate::choice::Prng;
use crate::panics::unless_it_panics;
use crate::part::Part;

pub mod configuration;
mod hand;
pub mod ops;
pub mod others;
mod probes;
pub mod reach;
mod refusals;
mod twins;
pub mod world;

use configuration::{Configuration, Size};
use ops::{Op, Take};
use reach::Reached;
use world::{Broken, Explored, Notes, World};

/// What an exploration found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Steps, those that lead back to a known state included.
    pub transitions: u64,
    /// No step leads to a state that is new, down to the depth asked for.
    pub closed: bool,
    /// The longest of the shortest ways to a state.
    pub depth: u32,
    /// States from which what must hold was tried.
    pub probes: u64,
    /// Pairs of ways to one digest that went on together.
    pub twins: u64,
    /// What was reached.
    pub reached: Reached,
    /// What is wrong, with the way to it.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// How often more is done than one step.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Probes are tried on one of so many states.
    pub probes: u64,
    /// One of so many states is kept, for the twins that come to it by other ways.
    pub kept: u64,
    /// Which ones.
    pub seed: u64,
}

/// Explores a configuration on this engine until it is closed or the time is up.
pub fn explore<E: Explored>(
    engine: E,
    of: &Configuration,
    sampling: Sampling,
    until: Instant,
) -> Found {
    let start = Instant::now();
    let mut search = Search::new(engine, of, sampling);
    while let Some((place, depth, world)) = search.frontier.pop_front() {
        if of.depth.is_some_and(|most| depth >= most) {
            continue;
        }
        if place.is_multiple_of(64) && Instant::now() >= until {
            search.found.closed = false;
            break;
        }
        search.found.depth = depth;
        if let Err((op, broken)) = search.visit(place, depth, &world) {
            let way = search.way_to(place, op);
            search.found.failure = Some(format!("{}: {broken}\nafter {way:?}", of.name));
            search.found.closed = false;
            break;
        }
    }
    search.found.states = search.ways.len();
    search.found.reached = search.notes.reached;
    search.found.took = start.elapsed();
    search.found
}

/// A search that is under way.
struct Search<'a, E> {
    of: &'a Configuration,
    sampling: Sampling,
    choice: Prng,
    /// The place of every key that is known.
    known: HashMap<u64, u32>,
    /// By place: from where, and how.
    ways: Vec<(u32, Option<Op>)>,
    /// Places that were not visited, how deep they are, and what is there.
    frontier: VecDeque<(u32, u32, World<E>)>,
    /// Some of what was visited, by key, and how often it met a twin.
    kept: HashMap<u64, (World<E>, u32)>,
    enabled: Vec<Op>,
    notes: Notes,
    found: Found,
}

impl<'a, E: Explored> Search<'a, E> {
    fn new(engine: E, of: &'a Configuration, sampling: Sampling) -> Search<'a, E> {
        let start = World::new(engine, of);
        Search {
            of,
            sampling,
            choice: Prng::new(sampling.seed),
            known: HashMap::from([(start.key(), 0)]),
            ways: vec![(0, None)],
            frontier: VecDeque::from([(0, 0, start)]),
            kept: HashMap::new(),
            enabled: Vec::new(),
            notes: Notes::default(),
            found: Found {
                closed: true,
                ..Found::default()
            },
        }
    }

    /// Takes every step from a node. What is wrong comes with the operation, if it was one.
    fn visit(
        &mut self,
        place: u32,
        depth: u32,
        world: &World<E>,
    ) -> Result<(), (Option<Op>, Broken)> {
        let (of, before) = (self.of, world.engine.digest());
        if self.is_sampled(before, self.sampling.probes) {
            self.found.probes += 1;
            let notes = &mut self.notes;
            caught(|| probes::probe(world, of, before, notes)).map_err(|broken| (None, broken))?;
        }
        let mut enabled = core::mem::take(&mut self.enabled);
        ops::enabled(world, of, &mut enabled);
        let mut wrote = true;
        for &op in &enabled {
            // Where nothing is written every answer is the same.
            if matches!(op, Op::Pump(take) if take != Take::All) && !wrote {
                continue;
            }
            let mut next = world.clone();
            let notes = &mut self.notes;
            caught(|| next.step(op, of, before, notes)).map_err(|broken| (Some(op), broken))?;
            if op == Op::Pump(Take::All) {
                wrote = self.notes.wrote;
            }
            self.found.transitions += 1;
            self.arrive(place, depth, op, next)
                .map_err(|broken| (Some(op), broken))?;
        }
        self.enabled = enabled;
        Ok(())
    }

    /// A step leads here: to a new state, or to one that is known.
    fn arrive(&mut self, from: u32, depth: u32, op: Op, mut next: World<E>) -> Result<(), Broken> {
        next.sort();
        let key = next.key();
        let fresh = self.ways.len() as u32;
        let place = *self.known.entry(key).or_insert(fresh);
        let kept = self.is_sampled(key, self.sampling.kept);
        if place == fresh {
            self.ways.push((from, Some(op)));
            if kept && self.kept.len() < KEPT {
                self.kept.insert(key, (next.clone(), 0));
            }
            self.frontier.push_back((fresh, depth + 1, next));
        } else if kept
            && let Some((other, met)) = self.kept.get_mut(&key)
            && *met < MEETINGS
        {
            *met += 1;
            self.found.twins += 1;
            let (of, choice) = (self.of, &mut self.choice);
            caught(|| twins::twins(other, &next, of, choice, TOGETHER))?;
        }
        Ok(())
    }

    fn is_sampled(&self, digest: u64, of: u64) -> bool {
        (digest ^ self.sampling.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
            < (1 << 32) / of.max(1)
    }

    /// The operations that lead to a node, and one more.
    fn way_to(&self, mut place: u32, last: Option<Op>) -> Vec<Op> {
        let mut way: Vec<Op> = last.into_iter().collect();
        while let (from, Some(op)) = self.ways[place as usize] {
            way.push(op);
            place = from;
        }
        way.reverse();
        way
    }
}

/// What is wrong, a panic included.
fn caught(check: impl FnOnce() -> Result<(), Broken>) -> Result<(), Broken> {
    unless_it_panics(check).unwrap_or_else(Err)
}

/// Closes every configuration that there is time for, the small ones first.
pub fn part(seed: u64, until: Instant) -> Part {
    let mut part = Part::new("closure");
    let mut reached = Reached::default();
    let mut all_others = true;
    let (mut closed, mut count, mut states, mut transitions, mut twins) = (0, 0, 0, 0, 0);
    let quick = configuration::matrix(Size::Quick)
        .into_iter()
        .chain(others::others());
    let full = others::deep()
        .into_iter()
        .chain(configuration::matrix(Size::Full));
    for of in quick.chain(full) {
        count += 1;
        let is_other = of.size == Size::Quick && of.depth.is_none();
        if Instant::now() >= until {
            all_others &= !is_other;
            continue;
        }
        let found = explore_machine(&of, Sampling { seed, ..SAMPLING }, until);
        part.figure(of.full_name(), &found);
        closed += u32::from(found.closed && of.depth.is_none());
        states += found.states;
        transitions += found.transitions;
        twins += found.twins;
        all_others &= found.closed || !is_other;
        reached.join(&found.reached);
        if let Some(failure) = found.failure {
            part.fail(failure);
        }
    }
    part.figure("closed", format!("{closed} of {count} configurations"));
    part.figure("states", states);
    part.figure("transitions", transitions);
    part.figure("pairs of ways to one digest", twins);
    part.figure("kinds of things reached", reached.len());
    if all_others {
        let missing = reached.missing();
        part.holds(missing.is_empty(), || format!("not reached: {missing:?}"));
    }
    part
}

/// Explores a configuration on the machine itself.
///
/// # Panics
/// If the bounds of the configuration cannot be used.
pub fn explore_machine(of: &Configuration, sampling: Sampling, until: Instant) -> Found {
    let engine = SseState::new(of.config.clone()).expect("bounds that can be used");
    explore(engine, of, sampling, until)
}

impl core::fmt::Display for Found {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{} states, {} transitions, depth {}, {} probes, {} pairs, {} in {:.1} s",
            self.states,
            self.transitions,
            self.depth,
            self.probes,
            self.twins,
            if self.closed { "closed" } else { "not closed" },
            self.took.as_secs_f64()
        )
    }
}

/// Enough to find what is wrong in many states, seldom enough not to be most of the time.
pub const SAMPLING: Sampling = Sampling {
    probes: 32,
    kept: 32,
    seed: 0,
};
/// Worlds that are kept for twins.
const KEPT: usize = 20_000;
/// Twins of one of them.
const MEETINGS: u32 = 4;
/// Operations that twins do together.
const TOGETHER: u32 = 12;
