//! A server with its streams, of which slices are measured.

use std::time::{Duration, Instant};

use crate::clock::Cpu;
use crate::load::Load;
use crate::serve::Order;
use crate::server::Server;
use crate::stream::Plan;
use crate::words::Words;

/// One side of a comparison: a server and the streams that are open on it.
pub struct Side {
    /// The server.
    pub server: Server,
    /// Its streams.
    pub load: Load,
    next: u64,
}

/// What a slice has used.
#[derive(Clone, Copy, Default, Debug)]
pub struct Slice {
    /// Events that arrived, over all streams.
    pub delivered: u64,
    /// CPU of the server.
    pub cpu: Cpu,
    /// The same in nanoseconds, both parts.
    pub cpu_nanos: u64,
    /// Calls of the server's allocator.
    pub calls: u64,
    /// Time that passed, in nanoseconds.
    pub nanos: u64,
}

impl Side {
    /// Starts a server and opens that many streams of its first topic.
    ///
    /// # Errors
    /// A text for the user.
    pub fn open(kind: &str, settings: &Words, streams: usize) -> Result<Side, String> {
        Side::on(Server::start(kind, settings)?, streams)
    }

    /// Opens that many streams of a server's first topic.
    ///
    /// # Errors
    /// A text for the user.
    pub fn on(server: Server, streams: usize) -> Result<Side, String> {
        let mut load = Load::new()?;
        let plan = Plan::new(server.addr, PATH);
        for _ in 0..streams {
            load.add(plan.clone());
        }
        load.open_all(OPEN)?;
        let next = 1;
        Ok(Side { server, load, next })
    }

    /// Publishes, and reads until every stream has everything.
    ///
    /// # Errors
    /// If something is missing after a while.
    pub fn slice(&mut self, order: Order) -> Result<Slice, String> {
        let order = Order {
            from: self.next,
            ..order
        };
        let streams = self.load.streams().len() as u64;
        let before = self.load.events;
        let usage = self.server.usage()?;
        let start = Instant::now();
        self.server.publish(order)?;
        self.next += order.events();
        let all = before + order.events() * streams;
        let ticks = u32::try_from(order.ticks).unwrap_or(u32::MAX);
        let limit = order.every * ticks + LATE;
        if !self.load.run(limit, |load| load.events >= all)? {
            let missing = all - self.load.events;
            return Err(format!(
                "{missing} events have not come, {:?}",
                self.load.counts()
            ));
        }
        let nanos = start.elapsed().as_nanos() as u64;
        let used = self.server.usage()?;
        self.load
            .run(LATE, |_| !matches!(self.server.published(), Ok(None)))?;
        Ok(Slice {
            delivered: all - before,
            cpu: used.cpu - usage.cpu,
            cpu_nanos: used.cpu_nanos - usage.cpu_nanos,
            calls: used.calls - usage.calls,
            nanos,
        })
    }
}

impl Slice {
    /// With another one.
    #[must_use]
    pub fn and(self, other: Slice) -> Slice {
        Slice {
            delivered: self.delivered + other.delivered,
            cpu: self.cpu + other.cpu,
            cpu_nanos: self.cpu_nanos + other.cpu_nanos,
            calls: self.calls + other.calls,
            nanos: self.nanos + other.nanos,
        }
    }

    /// CPU of the server for one delivery, in microseconds.
    pub fn micros_each(&self) -> f64 {
        self.cpu_nanos as f64 / 1e3 / self.delivered as f64
    }

    /// The part of it that is spent in the program.
    pub fn user_micros_each(&self) -> f64 {
        let share = self.cpu.user as f64 / self.cpu.total().max(1) as f64;
        self.micros_each() * share
    }

    /// Calls of the allocator for one delivery: those of the publishes, spread over the streams.
    pub fn calls_each(&self) -> f64 {
        self.calls as f64 / self.delivered as f64
    }

    /// Deliveries per second.
    pub fn rate(&self) -> f64 {
        self.delivered as f64 * 1e9 / self.nanos as f64
    }
}

/// The path of the first topic.
pub const PATH: &str = "/t/1";
/// How long it may take to open all streams.
pub const OPEN: Duration = Duration::from_secs(60);
/// How much later than published an event may come before it counts as lost.
const LATE: Duration = Duration::from_secs(20);
