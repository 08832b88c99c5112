//! All that the world is made of: its clock, its events, what it has counted and what it has found wrong.

use std::cmp::Ordering as Order;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use sse_state_hub::{Hub, Time};

use super::Oracle;
use super::bug::Bug;
use super::client::Ask;
use super::conn::Conn;
use super::exec::Exec;
use super::fault::{Fault, Site};
use super::lock;
use super::mark::Mark;
use super::net::Virtual;
use super::setup::Setup;
use super::topics::Topics;
use crate::choice::Choice as _;

/// The world, as everybody in it holds it.
pub(crate) struct Sim {
    pub(crate) exec: Exec,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) depth: AtomicU32,
    core: Mutex<Core>,
    hub: Mutex<Option<Hub<Virtual>>>,
}

/// Everything that is behind the one lock of the world. The hub's lock is taken before it, never after.
pub(crate) struct Core {
    pub(crate) oracle: Oracle,
    pub(crate) setup: Setup,
    clock: Arc<AtomicU64>,
    events: BinaryHeap<Item>,
    made: u64,

    pub(crate) faults_on: bool,
    /// The only fault of a sweep, and at which of its places it comes.
    pub(crate) sweep: Option<(Fault, u64)>,
    /// Places that the fault of a sweep has had.
    pub(crate) places: u64,
    pub(crate) bug: Option<Bug>,
    bug_at: u64,
    bug_count: u64,

    pub(crate) conns: Vec<Conn>,
    /// Those that are not over for good.
    pub(crate) live: Vec<u32>,
    pub(crate) backlog: VecDeque<u32>,
    pub(crate) listen_waker: Option<Waker>,
    pub(crate) listens: bool,
    /// Which connection a subscriber's id is.
    pub(crate) ids: BTreeMap<u64, u32>,
    /// The connection that was handed to the hub and has no id yet.
    pub(crate) accepting: Option<u32>,
    /// Runs that are with workers.
    pub(crate) flying: u32,
    pub(crate) topics: Topics,
    pub(crate) shutdown_at: Option<Time>,
    pub(crate) ended_at: Option<Time>,
    /// `serve` has returned.
    pub(crate) is_served: bool,
    /// When the engine wants to be called, after the last pump.
    pub(crate) deadline: Option<Time>,
    /// The tasks of publishes that wait: which could be given up.
    pub(crate) waiting: Vec<Arc<Waiting>>,

    pub(crate) tally: Tally,
    pub(crate) digest: u64,
    pub(crate) story: Option<Vec<String>>,
    pub(crate) failures: Vec<String>,
}

/// A publish that waits, which can be given up.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) is_dropped: AtomicBool,
    pub(crate) is_done: AtomicBool,
    pub(crate) waker: Mutex<Option<Waker>>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Virtual time that connections were open, in all.
    pub connected: Duration,
    /// Things that clients, publishers and the service did.
    pub operations: u64,
    /// Faults by kind, in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Rare situations, in the order of [`Mark::ALL`].
    pub marks: [u64; Mark::ALL.len()],
    /// Events that clients got.
    pub delivered: u64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            connected: Duration::ZERO,
            operations: 0,
            faults: [0; Fault::ALL.len()],
            marks: [0; Mark::ALL.len()],
            delivered: 0,
        }
    }
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Tally) {
        self.connected += other.connected;
        self.operations += other.operations;
        self.delivered += other.delivered;
        for (mine, others) in self.faults.iter_mut().zip(other.faults) {
            *mine += others;
        }
        for (mine, others) in self.marks.iter_mut().zip(other.marks) {
            *mine += others;
        }
    }

    /// All faults.
    pub fn all_faults(&self) -> u64 {
        self.faults.iter().sum()
    }
}

/// What happens at a time.
pub(crate) enum Happens {
    /// A timer, or a sleep.
    Wake(Slot),
    /// Readiness is told.
    Readable(u32),
    Writable(u32),
    /// A client looks at its socket, and sends what it has to.
    Client(u32),
    /// The kernel gives a vanished peer up.
    Dead(u32),
    /// Somebody connects.
    Connect(Ask),
    /// A blocking job runs.
    Job(Box<dyn FnOnce() + Send>),
    /// The next operation of the scenario.
    Op,
}

/// A place for the waker of a timer.
pub(crate) type Slot = Arc<Mutex<Option<Waker>>>;

struct Item {
    at: Time,
    number: u64,
    what: Happens,
}

impl Ord for Item {
    fn cmp(&self, other: &Item) -> Order {
        // The earliest is the greatest.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.number == other.number
    }
}

impl Eq for Item {}

impl Sim {
    pub(crate) fn new(oracle: Oracle, setup: Setup, bug: Option<Bug>) -> Arc<Sim> {
        let clock = Arc::new(AtomicU64::new(0));
        let mut core = Core {
            topics: Topics::new(&setup),
            oracle,
            setup,
            clock: Arc::clone(&clock),
            events: BinaryHeap::new(),
            made: 0,
            faults_on: false,
            sweep: None,
            places: 0,
            bug,
            bug_at: 0,
            bug_count: 0,
            conns: Vec::new(),
            live: Vec::new(),
            ended_at: None,
            is_served: false,
            backlog: VecDeque::new(),
            listen_waker: None,
            listens: true,
            ids: BTreeMap::new(),
            accepting: None,
            flying: 0,
            shutdown_at: None,
            deadline: None,
            waiting: Vec::new(),
            tally: Tally::default(),
            digest: 0xcbf2_9ce4_8422_2325,
            story: None,
            failures: Vec::new(),
        };
        if bug.is_some() {
            core.bug_at = 3 + u64::from(core.oracle.pick(20));
        }
        Arc::new(Sim {
            exec: Exec::default(),
            clock,
            depth: AtomicU32::new(0),
            core: Mutex::new(core),
            hub: Mutex::new(None),
        })
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// A handle of the hub, while the world holds one.
    pub(crate) fn hub(&self) -> Option<Hub<Virtual>> {
        lock(&self.hub).clone()
    }

    pub(crate) fn set_hub(&self, hub: Option<Hub<Virtual>>) {
        let before = std::mem::replace(&mut *lock(&self.hub), hub);
        drop(before);
    }
}

impl Core {
    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(self.clock.load(Ordering::Relaxed))
    }

    /// Time passes, by itself or because the machine is slow.
    pub(crate) fn advance(&mut self, to: Time) {
        let to = to.as_nanos();
        if to > self.clock.load(Ordering::Relaxed) {
            self.clock.store(to, Ordering::Relaxed);
        }
    }

    pub(crate) fn at(&mut self, at: Time, what: Happens) {
        self.made += 1;
        self.events.push(Item {
            at,
            number: self.made,
            what,
        });
    }

    pub(crate) fn after(&mut self, time: Duration, what: Happens) {
        let at = self.now() + time;
        self.at(at, what);
    }

    pub(crate) fn next_at(&self) -> Option<Time> {
        self.events.peek().map(|item| item.at)
    }

    pub(crate) fn next(&mut self) -> Option<(Time, Happens)> {
        self.events.pop().map(|item| (item.at, item.what))
    }

    /// Gives away what has not happened, to be dropped outside of the lock: wakers and jobs hold parts of
    /// the hub, which look at the world when they go.
    pub(crate) fn forget(&mut self) -> impl Sized + use<> {
        self.backlog.clear();
        let conns = self.conns.iter_mut();
        let wakers = conns.map(|conn| (conn.read_waker.take(), conn.write_waker.take()));
        (
            std::mem::take(&mut self.events),
            self.listen_waker.take(),
            std::mem::take(&mut self.waiting),
            wakers.collect::<Vec<_>>(),
        )
    }

    /// A time between the two.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let steps = u64::from(self.oracle.pick(1001));
        let width = (most - least).as_nanos() as u64;
        least + Duration::from_nanos(width / 1000 * steps)
    }

    pub(crate) fn chance(&mut self, yes: u32, of: u32) -> bool {
        self.oracle.chance(yes, of)
    }

    pub(crate) fn pick(&mut self, n: u32) -> u32 {
        self.oracle.pick(n)
    }

    /// What goes wrong here, if anything does.
    pub(crate) fn fault(&mut self, site: Site) -> Option<Fault> {
        let fault = if let Some((fault, at)) = self.sweep {
            if !self.faults_on || !fault.fits(site) {
                return None;
            }
            self.places += 1;
            (self.places == at).then_some(fault)?
        } else {
            let rate = self.setup.fault_rate;
            if !self.faults_on || !self.oracle.chance(1, rate) {
                return None;
            }
            let all = Fault::of(site);
            let fault = all[self.oracle.pick(all.len() as u32) as usize];
            if fault.is_deadly() && !self.oracle.chance(1, 16) {
                return None;
            }
            fault
        };
        self.count_fault(fault);
        Some(fault)
    }

    pub(crate) fn count_fault(&mut self, fault: Fault) {
        self.tally.faults[fault as usize] += 1;
    }

    /// It made no difference, so it was none.
    pub(crate) fn uncount_fault(&mut self, fault: Fault) {
        self.tally.faults[fault as usize] -= 1;
    }

    /// This is one of the times when the planted bug shows.
    pub(crate) fn bug(&mut self, bug: Bug) -> bool {
        if self.bug != Some(bug) {
            return false;
        }
        self.bug_count += 1;
        self.bug_count.is_multiple_of(self.bug_at)
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.tally.marks[mark as usize] += 1;
        self.tell(|| format!("mark: {mark:?}"));
    }

    pub(crate) fn operation(&mut self) {
        self.tally.operations += 1;
    }

    /// Something is wrong.
    pub(crate) fn fail(&mut self, rule: &str, text: impl FnOnce() -> String) {
        if self.failures.len() < 20 {
            let text = format!("[{rule}] at {:?}: {}", self.now(), text());
            self.tell(|| format!("FAILED {text}"));
            self.failures.push(text);
        }
    }

    /// A line of the story, if it is told.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(story) = &mut self.story {
            story.push(format!("{now:?} {}", line()));
        }
    }

    /// What was observed, for comparing runs.
    pub(crate) fn observe(&mut self, bytes: &[u8]) {
        self.digest = hash(self.digest ^ self.now().as_nanos(), bytes);
    }
}

/// FNV-1a, eight bytes at a time.
pub(crate) fn hash(start: u64, bytes: &[u8]) -> u64 {
    let mut hash = start;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    hash ^ bytes.len() as u64
}
