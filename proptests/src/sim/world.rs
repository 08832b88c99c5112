//! One run: faults, then healing and liveness, then the end.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sse_state::SseState;
use sse_state_hub::{Config, Hub, Time, serve};

use super::bug::Bug;
use super::client::{Ask, SLACK, What};
use super::conn::Mode;
use super::exec::Stepped;
use super::lock;
use super::mark::Mark;
use super::net::{Virtual, VirtualListener};
use super::reading::Reading;
use super::site::{self, LINGER, STREAMS};
use super::spy::Spy;
use super::state::{Core, Happens, Sim};
use super::topics::{Feed, WAIT};
use crate::faulty::FaultyFactory;
use crate::suite::{Factory as _, Real};

impl Sim {
    /// Builds the hub, and serves it.
    pub(crate) fn begin(self: &Arc<Sim>) -> u32 {
        let (config, workers, bug) = {
            let core = self.core();
            (core.setup.config.clone(), core.setup.workers, core.bug)
        };
        let (watched, opens, closes) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let built = Hub::<Virtual>::builder()
            .config(config)
            .workers(workers)
            .engine(move |config| Box::new(Spy::new(engine(config, bug), watched)))
            .on_open(move |info| site::opened(&opens, info))
            .on_close(move |info, end| site::closed(&closes, info, end))
            .build_on(Virtual(Arc::clone(self)));
        let hub = match built {
            Ok(hub) => hub,
            Err(error) => {
                self.core().fail("setup", || error.to_string());
                return 0;
            }
        };
        let app = site::app(self, &hub);
        let serving = serve(VirtualListener(Arc::clone(self)), app).into_future();
        let sim = Arc::clone(self);
        let task = async move {
            let served = serving.await;
            let mut core = sim.core();
            core.is_served = true;
            if let Err(error) = served {
                core.fail("setup", || error.to_string());
            }
        };
        self.set_hub(Some(hub));
        self.exec.spawn(Box::pin(task))
    }

    /// Lets the world go on until this time.
    pub(crate) fn run_until(self: &Arc<Sim>, until: Time) {
        let (mut polls, mut at) = (0u32, self.now());
        loop {
            if self.now() > at {
                (polls, at) = (0, self.now());
            }
            polls += 1;
            if polls > MANY_POLLS {
                return self
                    .core()
                    .fail("X1", || String::from("it never comes to rest"));
            }
            match self.exec.step(|n| self.core().pick(n)) {
                Stepped::Polled => continue,
                Stepped::Panicked => {
                    self.core()
                        .fail("X1", || String::from("a task of the hub panicked"));
                    return;
                }
                Stepped::Idle => {}
            }
            let happens = {
                let mut core = self.core();
                if !core.failures.is_empty() {
                    return;
                }
                match core.next_at() {
                    Some(at) if at <= until => {
                        core.check_deadline(at);
                        let (at, what) = core.next().unwrap_or((until, Happens::Op));
                        core.advance(at);
                        what
                    }
                    _ => {
                        core.check_deadline(until);
                        core.advance(until);
                        return;
                    }
                }
            };
            self.happen(happens);
        }
    }

    /// Something happens while a worker writes.
    pub(crate) fn happen_early(self: &Arc<Sim>) {
        let happens = {
            let mut core = self.core();
            let soon = core.now() + Duration::from_millis(5);
            if core.next_at().is_none_or(|at| at > soon) {
                return;
            }
            let next = core.next();
            if let Some((at, _)) = &next {
                core.advance(*at);
            }
            next
        };
        if let Some((_, what)) = happens {
            self.happen(what);
        }
    }

    fn happen(self: &Arc<Sim>, what: Happens) {
        match what {
            Happens::Wake(slot) => {
                let waker = lock(&slot).take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Happens::Readable(c) => self.core().wake_reader(c),
            Happens::Writable(c) => self.core().wake_writer(c),
            Happens::Client(c) => self.core().client_acts(c),
            Happens::Dead(c) => {
                let mut core = self.core();
                if !core.conn(c).server_closed {
                    core.mark(Mark::VanishedFound);
                }
                core.break_conn(c);
            }
            Happens::Connect(ask) => {
                let mut core = self.core();
                core.operation();
                core.connect(ask);
            }
            Happens::Job(job) => job(),
            Happens::Op => {
                let faults_on = {
                    let mut core = self.core();
                    core.check();
                    core.faults_on
                };
                if faults_on {
                    self.act();
                }
            }
        }
    }

    pub(crate) fn run_for(self: &Arc<Sim>, time: Duration) {
        self.run_until(self.now() + time);
    }

    /// Everything heals; then whoever is there must get everything, and whoever comes must be served.
    pub(crate) fn heal(self: &Arc<Sim>) {
        let config = {
            let mut core = self.core();
            core.faults_on = false;
            core.tell(|| String::from("everything heals"));
            for c in core.live.clone() {
                let conn = core.conn(c);
                conn.mode = Mode::Fast;
                conn.window = conn.window.max(16 << 10);
                conn.piece = usize::MAX;
                core.notify(c);
                core.wake_reader(c);
                core.wake_writer(c);
            }
            core.setup.config.clone()
        };
        // What has a deadline is over by then; so are runs that hang.
        let deadlines = config.head_timeout + config.body_timeout + config.poll_timeout;
        self.run_for(config.write_timeout.max(config.heartbeat) + deadlines + 4 * SLACK);
        let first = {
            let mut core = self.core();
            core.check();
            let first = core.conns.len();
            for stream in 0..STREAMS.len() {
                core.connect(Ask::new(What::Stream(stream)));
            }
            first
        };
        self.run_for(Duration::from_secs(1));
        let every = self.core().setup.poll_every;
        self.run_for(every + SLACK + SLACK / 2);
        self.core().check_newcomers(first);
        let topics = [0, 1, 2, 3, 9, 10];
        let texts: Vec<(&str, String)> = {
            let mut core = self.core();
            let text = |topic: &usize| (core.topics.all[*topic].name, core.topics.text(*topic, 5));
            topics.iter().map(text).collect()
        };
        if let Some(hub) = self.hub() {
            for (topic, text) in texts {
                let published = hub.publish(topic, sse_state_hub::Event::new(&text));
                if let Err(error) = published {
                    self.core()
                        .fail("D5", || format!("publish to {topic}: {error}"));
                }
            }
        }
        let text = self.core().topics.text(WAIT, 5);
        self.publish_wait(&text);
        self.run_for(Duration::from_millis(100));
        let ends = self.core().ends();
        self.run_for(2 * SLACK);
        let mut core = self.core();
        core.check_newest(&ends);
        core.check_streams();
        core.check();
    }

    /// The end of the hub: everything is over by the end of grace, and nothing is left.
    pub(crate) fn end(self: &Arc<Sim>, serving: u32) {
        if self.core().faults_on {
            // More than the log holds, so that some wait when the end comes.
            for _ in 0..20 {
                let text = self.core().topics.text(WAIT, 5);
                self.publish_wait(&text);
            }
            self.run_for(Duration::from_micros(20));
        }
        let (grace, drops) = {
            let mut core = self.core();
            let now = core.now();
            core.shutdown_at = Some(now);
            core.tell(|| String::from("shutdown"));
            let during = |conn: &&super::conn::Conn| {
                conn.id.is_some() && !conn.server_closed && conn.member.is_none()
            };
            let waiting = core.conns.iter().filter(during);
            let (hooks, heads): (Vec<_>, Vec<_>) = waiting.partition(|conn| conn.hook_running);
            let (hooks, heads) = (hooks.len(), heads.len());
            if hooks > 0 {
                core.mark(Mark::ShutdownDuringHook);
            }
            if heads > 0 {
                core.mark(Mark::ShutdownDuringHead);
            }
            (core.setup.config.grace, core.setup.drops_the_hub)
        };
        let Some(hub) = self.hub() else { return };
        let ended = hub.ended();
        let sim = Arc::clone(self);
        let mut ended = Box::pin(ended);
        let task = std::future::poll_fn(move |cx| {
            if ended.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let mut core = sim.core();
            core.ended_at = Some(core.now());
            Poll::Ready(())
        });
        self.exec.spawn(Box::pin(task));
        let grace = if drops {
            drop(hub);
            self.core().mark(Mark::HubDropped);
            self.core().is_served = true;
            self.exec.kill(serving);
            self.set_hub(None);
            Duration::ZERO
        } else {
            drop(hub.shutdown(None));
            grace
        };
        self.run_for(grace + SLACK);
        {
            let mut core = self.core();
            core.faults_on = false;
            for c in core.live.clone() {
                core.conn(c).mode = Mode::Fast;
                core.notify(c);
            }
            if core.ended_at.is_none() {
                core.fail("S1", || format!("the hub has not ended after {grace:?}"));
            }
            if !core.is_served {
                core.fail("S1", || String::from("`serve` has not returned"));
            }
        }
        // Users' functions that nobody can stop: blocking polls, and whoever keeps a publisher.
        self.run_for(Duration::from_secs(12));
        let tasks = self.exec.tasks();
        let mut core = self.core();
        if tasks > 0 {
            core.fail("S1", || format!("{tasks} tasks are left"));
        }
        core.check_end();
    }

    /// Lets go of everything; nothing of the hub may hold the world then.
    pub(crate) fn finish(self: &Arc<Sim>) {
        let is_clean = self.core().failures.is_empty();
        self.set_hub(None);
        self.exec.clear();
        let forgotten = self.core().forget();
        drop(forgotten);
        let holders = Arc::strong_count(self);
        if is_clean && holders > 1 {
            self.core().fail("B8", || {
                format!("{} references to the hub's parts are left", holders - 1)
            });
        }
    }
}

fn engine(config: Config, bug: Option<Bug>) -> Box<dyn sse_state::Engine + Send> {
    // The configuration has been checked by the builder.
    match bug {
        Some(Bug::Engine(fault)) => match FaultyFactory(Real, fault).make(config) {
            Ok(engine) => Box::new(engine),
            Err(error) => unreachable!("{error}"),
        },
        _ => match SseState::new(config) {
            Ok(engine) => Box::new(engine),
            Err(error) => unreachable!("{error}"),
        },
    }
}

impl Core {
    /// Time must not pass the engine's deadline by more than timers are late.
    fn check_deadline(&mut self, to: Time) {
        if let Some(deadline) = self.deadline
            && to.since(deadline) > SLACK / 4
            && self.ended_at.is_none()
        {
            let now = self.now();
            self.fail("T1", || {
                format!("asleep at {now:?} until {to:?}, past {deadline:?}")
            });
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&mut self) {
        let now = self.now();
        let config = &self.setup.config;
        let stall = config.write_timeout + config.write_timeout / 32 + SLACK;
        let decided = config.head_timeout
            + config.body_timeout
            + config.write_timeout
            + config.finish_timeout
            + 4 * SLACK;
        for at in 0..self.live.len() {
            let c = self.live[at];
            let conn = &self.conns[c as usize];
            if conn.server_closed {
                continue;
            }
            if let Some(since) = conn.stuck_since
                && now.since(since) > stall
            {
                self.fail("W1", || {
                    format!("connection {c} has been stuck since {since:?}")
                });
            }
            let conn = &self.conns[c as usize];
            let waits = matches!(&conn.reading, Reading::Head(head) if head.is_empty());
            let is_late = conn.accepted.is_some_and(|at| now.since(at) > decided);
            if waits && conn.reads() && !conn.was_slow && is_late {
                self.fail("P5", || format!("connection {c} was never answered"));
            }
        }
        for topic in 0..self.topics.all.len() {
            let known = &self.topics.all[topic];
            let Some(since) = known.empty_since else {
                continue;
            };
            let runs = known.runs_in_engine || known.runs > 0 || known.futures > 0;
            if runs && now.since(since) > LINGER + SLACK {
                self.fail("L4", || {
                    format!("topic {topic} is fed though it is empty since {since:?}")
                });
            }
        }
    }

    fn ends(&self) -> Vec<usize> {
        let topics = self.topics.all.iter();
        topics.map(|topic| topic.ledger.len()).collect()
    }

    /// Whoever reads has come to these ends.
    fn check_newest(&mut self, ends: &[usize]) {
        for c in 0..self.conns.len() as u32 {
            let conn = &self.conns[c as usize];
            if !conn.is_open_stream() {
                continue;
            }
            let follows = conn.member.iter().flat_map(|member| &member.topics);
            let behind: Vec<(usize, usize)> = follows
                .filter(|follow| {
                    let end = ends[follow.topic];
                    // After a notice there may have been nothing to replay.
                    follow.cursor < end && (end > follow.from || follow.notice.is_none())
                })
                .map(|follow| (follow.topic, follow.cursor))
                .collect();
            for (topic, cursor) in behind {
                let end = ends[topic];
                self.fail("D5", || {
                    format!("connection {c} is at {cursor} of {end} in topic {topic}")
                });
            }
        }
    }

    /// Those who came after everything had healed.
    fn check_newcomers(&mut self, first: usize) {
        for c in first..first + STREAMS.len() {
            let conn = &self.conns[c];
            if let Reading::Head(head) = &conn.reading
                && !conn.ended
            {
                let length = head.len();
                self.fail("D5", || {
                    format!("newcomer {c} was not answered, {length} bytes")
                });
                continue;
            }
            if !conn.is_open_stream() {
                continue;
            }
            let Some(member) = &conn.member else { continue };
            let [follow] = &member.topics[..] else {
                continue;
            };
            let known = &self.topics.all[follow.topic];
            let is_fed = known.feed != Feed::Nothing && known.runs_in_engine;
            let topic = follow.topic;
            if is_fed && follow.cursor == 0 {
                self.fail("L3", || {
                    format!("newcomer {c} of topic {topic} gets nothing")
                });
            }
        }
    }

    /// Everything is over.
    fn check_end(&mut self) {
        for topic in 0..self.topics.all.len() {
            let known = &self.topics.all[topic];
            let (runs, futures) = (known.runs, known.futures);
            if runs != 0 || futures != 0 {
                self.fail("L7", || {
                    format!("topic {topic}: {runs} runs, {futures} futures are left")
                });
            }
            let known = &self.topics.all[topic];
            let (starts, stops) = (known.started, known.stopped);
            if known.feed == Feed::Source && starts != stops {
                self.fail("L2", || {
                    format!("topic {topic}: {starts} starts, {stops} stops")
                });
            }
        }
        for c in 0..self.conns.len() as u32 {
            let conn = &self.conns[c as usize];
            let (id, closed, told) = (conn.id, conn.server_closed, conn.is_told_open);
            let is_stream = conn.member.is_some();
            let (ended, reads) = (conn.ended, conn.reads());
            let (hook, end) = (conn.hook_running, conn.closed_for);
            if id.is_some() && !closed {
                self.fail("S1", || format!("connection {c} is still open"));
            }
            if is_stream && (!told || end.is_none()) {
                self.fail("hooks", || {
                    format!("stream {c}: opened {told}, closed {end:?}")
                });
            }
            if hook {
                self.fail("W7.11", || format!("the hook of connection {c} still runs"));
            }
            if closed && reads && !ended {
                self.fail("S1", || format!("client {c} has not seen its end"));
            }
        }
    }
}

/// Polls and happenings at one instant that nothing here needs.
const MANY_POLLS: u32 = 30_000;
