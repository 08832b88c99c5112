//! What clients, publishers and the service do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use sse_state_hub::{Error, Event, PublishError};

use super::client::{Ask, What};
use super::conn::Mode;
use super::fault::Fault;
use super::lock;
use super::mark::Mark;
use super::site::STREAMS;
use super::state::{Core, Happens, Sim, Waiting};
use super::topics::{AUTH, CLOSE, CONF, FIRST_DEVICE, HIST, LIFE, PLAIN, WAIT};

listed! {
    /// An operation.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)] // each says itself what it is
    pub(crate) enum Op {
        Connect,
        Post,
        Odd,
        Leave,
        Reset,
        Vanish,
        Stall,
        ReadOn,
        Throttle,
        Stray,
        Flood,
        HalfClose,
        Publish,
        Burst,
        Repeat,
        PublishWait,
        DropWait,
        CloseKey,
        StopSource,
        Spurious,
        Storm,
        Exodus,
        Trade,
    }
}

impl Op {
    pub(crate) fn weight(self) -> u32 {
        match self {
            Op::Connect | Op::Publish => 12,
            Op::Leave | Op::ReadOn | Op::PublishWait | Op::Trade => 6,
            Op::Post | Op::Stall | Op::Throttle | Op::Odd | Op::Repeat => 3,
            Op::Burst | Op::Spurious | Op::CloseKey => 2,
            _ => 1,
        }
    }
}

/// What is to be done outside of the world's lock.
enum Outside {
    Nothing,
    Publish(&'static str, Vec<String>),
    PublishWait(String),
    CloseKey(String),
    StopSource(&'static str),
}

impl Sim {
    /// One operation of the scenario, and the next one in a while.
    pub(crate) fn act(self: &Arc<Sim>) {
        let outside = {
            let mut core = self.core();
            let outside = core.operate();
            let pause = core.setup.pause;
            let pause = core.between(Duration::ZERO, pause);
            if core.faults_on {
                core.after(pause, Happens::Op);
            }
            outside
        };
        self.outside(outside);
    }

    /// One operation in the middle of a write.
    pub(crate) fn interrupt(self: &Arc<Sim>) {
        let outside = {
            let mut core = self.core();
            // The script of a sweep has its own.
            if core.sweep.is_some() {
                return;
            }
            core.operate()
        };
        self.outside(outside);
    }

    /// A publish, whatever becomes of it.
    pub(crate) fn publish(&self, topic: &'static str, text: &str) {
        if let Some(hub) = self.hub() {
            // Bounds and a shutdown refuse it.
            let _ = hub.publish(topic, Event::new(text));
        }
    }

    fn outside(self: &Arc<Sim>, outside: Outside) {
        let Some(hub) = self.hub() else { return };
        match outside {
            Outside::Nothing => {}
            Outside::Publish(topic, texts) => {
                for text in texts {
                    self.publish(topic, &text);
                }
            }
            Outside::PublishWait(text) => self.publish_wait(&text),
            Outside::CloseKey(key) => {
                let _ = hub.close_key(&key);
            }
            Outside::StopSource(topic) => {
                let _ = hub.stop_source(topic);
            }
        }
    }

    /// A task that publishes when there is room, and may be given up.
    pub(crate) fn publish_wait(self: &Arc<Sim>, text: &str) {
        let Some(hub) = self.hub() else { return };
        // It does not keep the hub alive.
        let mut publish = Box::pin(hub.publish_wait("wait", Event::new(text)));
        let waiting = Arc::new(Waiting::default());
        self.core().waiting.push(Arc::clone(&waiting));
        let sim = Arc::clone(self);
        let mut has_waited = false;
        let task = std::future::poll_fn(move |cx| {
            if waiting.is_dropped.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *lock(&waiting.waker) = Some(cx.waker().clone());
            let Poll::Ready(published) = publish.as_mut().poll(cx) else {
                has_waited = true;
                return Poll::Pending;
            };
            waiting.is_done.store(true, Ordering::Relaxed);
            let mark = match published {
                Ok(published) if published.streams > 0 => Some(Mark::PublishWaitWoken),
                Err(PublishError::Refused(Error::ShuttingDown)) => Some(Mark::PublishWaitShutdown),
                _ => None,
            };
            if let (true, Some(mark)) = (has_waited, mark) {
                sim.core().mark(mark);
            }
            Poll::Ready(())
        });
        self.exec.spawn(Box::pin(task));
    }
}

impl Core {
    fn operate(&mut self) -> Outside {
        self.forget_the_dead();
        let total: u32 = self.setup.weights.iter().sum();
        let mut at = self.pick(total);
        let mut op = Op::Connect;
        for (candidate, weight) in Op::ALL.into_iter().zip(self.setup.weights) {
            if at < weight {
                op = candidate;
                break;
            }
            at -= weight;
        }
        let crowd = self.live.len() as u32;
        if crowd < self.setup.clients && self.chance(1, 2) {
            op = Op::Connect;
        } else if crowd > 2 * self.setup.clients && matches!(op, Op::Connect | Op::Storm) {
            op = Op::Exodus;
        }
        self.operation();
        self.tell(|| format!("op: {op:?}"));
        self.perform(op)
    }

    fn perform(&mut self, op: Op) -> Outside {
        match op {
            Op::Connect => {
                let ask = self.stream();
                self.connect(ask);
            }
            Op::Post => self.post(),
            Op::Odd => self.odd(),
            Op::Storm => {
                let ask = self.stream();
                for _ in 0..6 {
                    self.connect(ask.clone());
                }
            }
            Op::Publish | Op::Burst | Op::Repeat => return self.publish(op),
            Op::PublishWait => {
                let padding = self.pick(60) as usize;
                return Outside::PublishWait(self.topics.text(WAIT, padding));
            }
            Op::DropWait => {
                self.waiting
                    .retain(|waiting| !waiting.is_done.load(Ordering::Relaxed));
                if let Some(waiting) = self.waiting.pop() {
                    self.mark(Mark::PublishWaitDropped);
                    waiting.is_dropped.store(true, Ordering::Relaxed);
                    if let Some(waker) = lock(&waiting.waker).take() {
                        waker.wake();
                    }
                }
            }
            Op::CloseKey => return Outside::CloseKey(format!("key{}", self.pick(3))),
            Op::StopSource => {
                let topic = self.pick(self.topics.all.len() as u32) as usize;
                return Outside::StopSource(self.topics.all[topic].name);
            }
            _ => {
                if !self.live.is_empty() {
                    let at = self.pick(self.live.len() as u32) as usize;
                    let c = self.live[at];
                    self.befall(op, c);
                }
            }
        }
        Outside::Nothing
    }

    /// What a client does, or what happens to it.
    fn befall(&mut self, op: Op, c: u32) {
        self.tell(|| format!("connection {c}: {op:?}"));
        match op {
            Op::Leave => self.client_leaves(c),
            Op::Trade => {
                // Somebody comes for the same, just when this one leaves.
                if !matches!(self.conn(c).ask.what, What::Stream(_)) {
                    return;
                }
                let ask = self.conn(c).ask.clone();
                if self.chance(1, 2) {
                    self.client_leaves(c);
                    self.connect(ask);
                } else {
                    self.connect(ask);
                    self.client_leaves(c);
                }
            }
            Op::Exodus => {
                let path = match self.conn(c).ask.what {
                    What::Stream(stream) => Some(stream),
                    _ => None,
                };
                for c in self.live.clone() {
                    if matches!(self.conn(c).ask.what, What::Stream(stream) if Some(stream) == path)
                    {
                        self.client_leaves(c);
                    }
                }
            }
            Op::Reset => self.break_conn(c),
            Op::Vanish => {
                self.count_fault(Fault::PeerVanishes);
                self.conn(c).vanished = true;
            }
            Op::Stall => {
                self.count_fault(Fault::PeerStalls);
                let small = self.chance(1, 2);
                let conn = self.conn(c);
                conn.was_slow = true;
                conn.mode = Mode::Stalled;
                if small {
                    conn.window = conn.window.min(200);
                }
            }
            Op::ReadOn => {
                self.conn(c).mode = Mode::Fast;
                self.notify(c);
            }
            Op::Throttle => {
                let bytes = 1 + self.pick(100) as usize;
                let conn = self.conn(c);
                conn.was_slow = true;
                conn.mode = Mode::Throttled(bytes);
                self.notify(c);
            }
            Op::Stray | Op::Flood => {
                let conn = self.conn(c);
                // It would complete a body.
                if matches!(conn.ask.what, What::Post { .. }) {
                    return;
                }
                if !conn.unsent.is_empty() || conn.client_fin || conn.server_closed || conn.vanished
                {
                    return;
                }
                let bytes = if op == Op::Flood { 70 << 10 } else { 40 };
                let text = b"GET /plain HTTP/1.1\r\nHost: evil\r\n\r\n";
                conn.to_server.extend(text.iter().cycle().take(bytes));
                let is_open = conn.is_open_stream();
                if is_open {
                    let flood = op == Op::Flood;
                    self.mark(if flood {
                        Mark::StrayFlood
                    } else {
                        Mark::StrayDropped
                    });
                }
                self.wake_reader(c);
            }
            Op::HalfClose => {
                let conn = self.conn(c);
                if conn.unsent.is_empty() && !conn.vanished && !conn.client_fin {
                    conn.client_fin = true;
                    self.mark(Mark::HalfClosed);
                    self.wake_reader(c);
                }
            }
            Op::Spurious => {
                self.count_fault(Fault::SpuriousWake);
                self.mark(Mark::SpuriousWake);
                self.wake_reader(c);
                self.wake_writer(c);
            }
            _ => {}
        }
    }

    fn forget_the_dead(&mut self) {
        let conns = &self.conns;
        // What is over is kept for the checks at the end.
        self.live.retain(|c| {
            let conn = &conns[*c as usize];
            let is_gone = conn.client_closed || conn.ended || conn.vanished || conn.broken;
            !(is_gone && conn.server_closed)
        });
    }

    fn publish(&mut self, op: Op) -> Outside {
        let topics = [PLAIN, HIST, HIST, CONF, CLOSE, AUTH, LIFE];
        let topic = topics[self.pick(topics.len() as u32) as usize];
        let name = self.topics.all[topic].name;
        let times = if op == Op::Burst {
            1 + self.pick(40)
        } else {
            1
        };
        let padding = match self.pick(10) {
            0 => 3000,
            1 => 400,
            _ => self.pick(60),
        } as usize;
        let last = self.topics.all[topic].last_text.clone();
        if op == Op::Repeat && topic == CONF && !last.is_empty() {
            return Outside::Publish(name, vec![last]);
        }
        let texts = (0..times).map(|_| self.topics.text(topic, padding));
        Outside::Publish(name, texts.collect())
    }

    /// Many come at once, for the same few topics.
    pub(crate) fn crowd(&mut self, crowd: u32) {
        for n in 0..crowd {
            self.operation();
            self.connect(Ask::new(What::Stream([0, 0, 15][n as usize % 3])));
        }
    }

    /// A request for a stream.
    pub(crate) fn stream(&mut self) -> Ask {
        // A few paths are crowded, so that others are left by their last member often.
        let paths = STREAMS.len() as u32;
        let stream = if self.chance(1, 3) {
            self.pick(paths) as usize
        } else {
            [5, 7, 4, 9, 1, 11][self.pick(6) as usize]
        };
        let mut ask = Ask::new(What::Stream(stream));
        if self.chance(1, 24) {
            ask.last_id = Some(String::from("forged-7"));
        }
        let path = STREAMS[stream].0;
        if path == "/auth" || (path.starts_with("/d/") && self.chance(1, 2)) {
            self.authorized(&mut ask);
        }
        ask
    }

    fn authorized(&mut self, ask: &mut Ask) {
        let key = format!("key{}", self.pick(3));
        let does = match self.pick(12) {
            0 => String::from("does=hang&"),
            1 => {
                ask.status = 500;
                String::from("does=panic&")
            }
            2 => {
                ask.status = 403;
                String::from("does=refuse&")
            }
            // Whoever else has another key has to go first.
            6 | 7 => format!("does=takeover&old=key{}&", self.pick(3)),
            3..6 => format!("does=slow&ms={}&", self.pick(3000)),
            _ => String::new(),
        };
        let expires = match self.pick(3) {
            0 => format!("exp={}&", 1 + self.pick(60)),
            _ => String::new(),
        };
        ask.hook = format!("{does}{expires}key={key}");
        ask.key = Some(key);
    }

    fn post(&mut self) {
        let (path, topic) = match self.pick(6) {
            0 | 1 => ("/plain", PLAIN),
            2 | 3 => ("/hist", HIST),
            4 => ("/auth", AUTH),
            _ => ("/d/0", FIRST_DEVICE),
        };
        let padding = self.pick(200) as usize;
        let text = self.topics.text(topic, padding);
        let sent = if self.chance(1, 4) {
            self.pick(text.len() as u32) as usize
        } else {
            text.len()
        };
        let mut ask = Ask::new(What::Post {
            path,
            topic,
            text,
            sent,
        });
        if topic == AUTH {
            self.authorized(&mut ask);
            ask.status = 0;
        }
        self.connect(ask);
    }

    fn odd(&mut self) {
        let (text, status) = [
            ("HEAD /poll HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
            ("OPTIONS /plain HTTP/1.1\r\nHost: localhost\r\n\r\n", 204),
            ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
            ("GET /plain HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 421),
            ("PUT /plain HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
            ("GET /plain HTTP/1.1\nHost: localhost\n\n", 400),
            (
                "GET /plain HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
                403,
            ),
            ("GET /pl", 0),
        ][self.pick(8) as usize];
        let mut ask = Ask::new(if self.chance(1, 4) {
            What::Silent
        } else {
            What::Odd(text)
        });
        if matches!(ask.what, What::Odd(_)) {
            ask.status = status;
        }
        self.connect(ask);
    }
}
