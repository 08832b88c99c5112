//! What goes on while a loop is checked.

use std::time::Duration;

use sse_state::{Config, Epoch, Name, Room, SourceKind, Time, TopicOptions};

use crate::script::{Act, FEED, LOAD, Manners, NEWS, WAIT};

/// A course of events, without faults.
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) config: Config,
    pub(super) acts: Vec<(Time, Act)>,
}

/// All scenes. Each ends with a shutdown.
pub(super) fn all() -> Vec<Scene> {
    vec![
        Scene::new("one client reads what is published, and leaves")
            .client(10, FAST, NEWS)
            .publish(100, NEWS, 3)
            .at(2_000, Act::End(0))
            .publish(2_500, NEWS, 1)
            .shutdown(3_000),
        Scene::new("a request that comes in pieces, and one that is none")
            .at(10, Act::Connect(FAST))
            .at(20, Act::Send(0, "G".into()))
            .at(40, Act::Send(0, "ET /news HTTP/1.1\r\nHost: local".into()))
            .at(60, Act::Send(0, "host\r\n\r".into()))
            .at(80, Act::Send(0, "\nand more".into()))
            .at(90, Act::Connect(FAST))
            .at(90, Act::Send(1, "nonsense\r\n\r\n".into()))
            .publish(200, NEWS, 1)
            .at(1_500, Act::Send(0, "and more".into()))
            .shutdown(2_000),
        Scene::new("slow readers")
            .client(10, slow(30), NEWS)
            .client(15, slow(400), NEWS)
            .publish(100, NEWS, 6)
            .rooms(150, 0, 50, 40)
            .rooms(170, 1, 300, 8)
            .publish(1_000, NEWS, 12)
            .shutdown(4_000),
        Scene::new("a client that never reads, beside one that does")
            .client(10, slow(300), NEWS)
            .client(11, FAST, NEWS)
            .publish(100, NEWS, 20)
            .shutdown(45_000),
        Scene::new("a topic that is polled while somebody listens")
            .client(10, FAST, LOAD)
            .client(700, FAST, LOAD)
            .at(2_400, Act::End(0))
            .at(3_015, Act::Reset(1))
            .client(5_000, FAST, LOAD)
            .at(7_000, Act::StopSource(LOAD))
            .shutdown(9_000),
        Scene::new("polls that are slower than their timeout")
            .at(1, Act::SlowPolls(true))
            .client(10, FAST, LOAD)
            .at(35_000, Act::SlowPolls(false))
            .shutdown(64_000),
        Scene::new("a topic that a source feeds")
            .client(10, FAST, FEED)
            .at(1_000, Act::Reset(0))
            .client(1_500, FAST, FEED)
            .client(1_500, slow(200), FEED)
            .at(3_100, Act::StopSource(FEED))
            .shutdown(4_000),
        Scene::new("heads that never end")
            .at(10, Act::Connect(FAST))
            .at(20, Act::Connect(FAST))
            .at(25, Act::Send(1, "GET /news HTT".into()))
            .at(30, Act::Connect(FAST))
            .at(35, Act::Send(2, "GET".into()))
            .at(50, Act::Reset(2))
            .client(60, FAST, NEWS)
            .publish(100, NEWS, 1)
            .shutdown(12_000),
        Scene::new("more clients than there is room for")
            .bounds(|config| {
                config.subscribers = 2;
                config.openings = 2;
            })
            .client(10, FAST, NEWS)
            .client(10, FAST, NEWS)
            .client(10, FAST, NEWS)
            .client(20, RUDE, NEWS)
            .at(500, Act::Connect(FAST))
            .at(510, Act::Connect(FAST))
            .at(520, Act::Connect(FAST))
            .publish(600, NEWS, 1)
            .shutdown(5_000),
        Scene::new("a client comes back")
            .client(10, FAST, NEWS)
            .publish(100, NEWS, 2)
            .at(500, Act::Reset(0))
            .publish(600, NEWS, 3)
            .at(1_000, Act::Connect(FAST))
            .at(1_005, Act::Resume(1, NEWS, 0))
            .publish(1_100, NEWS, 1)
            .publish(1_200, NEWS, 14)
            .at(3_000, Act::Reset(1))
            .publish(3_100, NEWS, 12)
            .at(3_500, Act::Connect(slow(100)))
            .at(3_505, Act::Resume(2, NEWS, 1))
            .rooms(3_600, 2, 200, 12)
            .shutdown(6_000),
        Scene::new("silence")
            .client(10, FAST, NEWS)
            .client(10, slow(100), NEWS)
            .rooms(30_000, 1, 10, 1)
            .shutdown(50_000),
        Scene::new("a publisher that waits for room")
            .client(10, slow(250), WAIT)
            .waiting(100, 12)
            .rooms(150, 0, 40, 90)
            .shutdown(8_000),
        Scene::new("the end, with clients of every kind")
            .client(10, FAST, NEWS)
            .client(10, RUDE, WAIT)
            .client(10, slow(200), NEWS)
            .publish(100, NEWS, 5)
            .at(500, Act::Connect(FAST))
            .shutdown(1_000)
            .client(1_001, FAST, NEWS)
            .rooms(1_500, 2, 100, 3),
    ]
}

/// The topics that there are.
pub(super) fn topics() -> Vec<(Name, TopicOptions)> {
    let news = TopicOptions {
        history: true,
        log_frames: 8,
        ..TopicOptions::default()
    };
    let wait = TopicOptions {
        log_frames: 2,
        ..TopicOptions::default()
    };
    let load = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
    let feed = TopicOptions::polled(SourceKind::External);
    [(NEWS, news), (WAIT, wait), (LOAD, load), (FEED, feed)]
        .into_iter()
        .filter_map(|(name, options)| Some((Name::new(name).ok()?, options)))
        .collect()
}

impl Scene {
    fn new(name: &'static str) -> Scene {
        Scene {
            name,
            config: Config::new(Epoch(7)),
            acts: Vec::new(),
        }
    }

    /// A client asks for this topic in it.
    pub(super) fn asks_for(&self, topic: &str) -> bool {
        let asks = |act: &Act| matches!(act, Act::Send(_, text) if text.contains(topic));
        self.acts.iter().any(|(_, act)| asks(act))
    }

    fn bounds(mut self, change: impl FnOnce(&mut Config)) -> Scene {
        change(&mut self.config);
        self
    }

    fn at(mut self, millis: u64, act: Act) -> Scene {
        self.acts.push((Time::from_millis(millis), act));
        self
    }

    /// A client connects and asks at once.
    fn client(self, millis: u64, manners: Manners, topic: &'static str) -> Scene {
        let earlier = self
            .acts
            .iter()
            .filter(|(_, act)| matches!(act, Act::Connect(_)));
        let key = earlier.count();
        let head = format!("GET {topic} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let send = Act::Send(key, head.into());
        self.at(millis, Act::Connect(manners)).at(millis, send)
    }

    fn publish(self, millis: u64, topic: &'static str, count: u64) -> Scene {
        (0..count).fold(self, |scene, _| {
            scene.at(millis, Act::Publish(topic, Room::Evict))
        })
    }

    /// Publishes that wait for room.
    fn waiting(self, millis: u64, count: u64) -> Scene {
        (0..count).fold(self, |scene, place| {
            scene.at(millis + 100 * place, Act::Publish(WAIT, Room::Wait))
        })
    }

    /// A client reads on, a few bytes every 20 ms.
    fn rooms(self, millis: u64, key: usize, bytes: u64, times: u64) -> Scene {
        (0..times).fold(self, |scene, place| {
            scene.at(millis + 20 * place, Act::Room(key, bytes))
        })
    }

    fn shutdown(self, millis: u64) -> Scene {
        self.at(millis, Act::Shutdown)
    }
}

/// It reads at once whatever comes.
const FAST: Manners = Manners {
    window: u64::MAX,
    polite: true,
};
/// It reads, and stays when the server ends the stream.
const RUDE: Manners = Manners {
    polite: false,
    ..FAST
};

/// It has room for so many bytes, and then only what it is given.
const fn slow(window: u64) -> Manners {
    Manners {
        window,
        polite: true,
    }
}
