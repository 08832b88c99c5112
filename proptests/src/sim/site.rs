//! The service: its routes, and functions of its author that are slow, late, failing and panicking.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use sse_state::StopReason;
use sse_state_hub::{
    App, Asked, Decision, Event, Grant, Hub, PollError, Polling, PublishError, Publisher, Refuse,
    Route, Slow, Source, StreamEnd, StreamInfo,
};

use super::mark::Mark;
use super::net::{Virtual, sleep};
use super::state::Sim;
use super::topics::{
    AUTH, CLOSE, CONF, DEVICES, FEED, FEED_HIST, FIRST_DEVICE, Feed, HIST, LIFE, PLAIN, POLL,
    POLL_BLOCKING, WAIT,
};

/// The paths of streams, and their topics.
pub(crate) const STREAMS: [(&str, &[usize]); 17] = [
    ("/plain", &[PLAIN]),
    ("/hist", &[HIST]),
    ("/conf", &[CONF]),
    ("/close", &[CLOSE]),
    ("/wait", &[WAIT]),
    ("/poll", &[POLL]),
    ("/pollb", &[POLL_BLOCKING]),
    ("/feed", &[FEED]),
    ("/feedh", &[FEED_HIST]),
    ("/auth", &[AUTH]),
    ("/life", &[LIFE]),
    ("/d/0", &[FIRST_DEVICE]),
    ("/d/1", &[FIRST_DEVICE + 1]),
    ("/d/2", &[FIRST_DEVICE + 2]),
    ("/d/3", &[FIRST_DEVICE + 3]),
    ("/both", &[PLAIN, HIST, CONF]),
    ("/mix", &[HIST, WAIT]),
];

/// The app of a hub.
pub(crate) fn app(sim: &Arc<Sim>, hub: &Hub<Virtual>) -> App {
    let (log, every) = {
        let core = sim.core();
        (core.setup.log, core.setup.poll_every)
    };
    let hist = || Route::topic("hist").history(log);
    let auth = Route::topic("auth")
        .history(log)
        .authorize(hook(Arc::clone(sim)));
    let life = Route::topic("life")
        .history(log)
        .lifetime(Duration::from_secs(40));
    let device = |params: &sse_state_hub::Params<'_>| {
        let id = params.get("id")?;
        let name = format!("d/{id}");
        DEVICES.contains(&name.as_str()).then_some(name)
    };
    App::new(hub)
        .get("/plain", Route::topic("plain").log(log))
        .get("/hist", hist())
        .get(
            "/conf",
            Route::topic("conf")
                .log(log)
                .slow(Slow::Conflate)
                .dedupe(true),
        )
        .get("/close", Route::topic("close").log(log).slow(Slow::Close))
        .get("/wait", Route::topic("wait").history(log))
        .get(
            "/poll",
            Route::topic("poll")
                .log(log)
                .linger(LINGER)
                .source(polling(sim, every)),
        )
        .get(
            "/pollb",
            Route::topic("pollb").log(log).source(blocking(sim, every)),
        )
        .get(
            "/feed",
            Route::topic("feed")
                .log(log)
                .linger(LINGER)
                .source(source(sim, FEED))
                .end_when_finished(),
        )
        .get(
            "/feedh",
            Route::topic("feedh")
                .history(log)
                .source(source(sim, FEED_HIST)),
        )
        .get("/auth", auth)
        .get("/life", life)
        .get("/both", Route::topics(["plain", "hist", "conf"]))
        .get("/mix", Route::topics(["hist", "wait"]))
        .get(
            "/d/{id}",
            Route::topic_from(device)
                .log(log)
                .source(polling(sim, every))
                .authorize(hook(Arc::clone(sim))),
        )
        .post("/plain", Route::publish("plain").open_to_anyone())
        .post("/hist", Route::publish("hist").open_to_anyone())
        .post(
            "/auth",
            Route::publish("auth").authorize(hook(Arc::clone(sim))),
        )
        .post("/d/{id}", Route::publish_to(device).open_to_anyone())
}

/// Sources outlive their last subscriber by this, where they do.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Counts what must not be there twice, and what must be gone at the end.
struct Alive {
    sim: Arc<Sim>,
    topic: usize,
    finished: bool,
    is_poll: bool,
}

impl Alive {
    fn new(sim: &Arc<Sim>, topic: usize, is_poll: bool) -> Alive {
        sim.core().topics.all[topic].futures += 1;
        Alive {
            sim: Arc::clone(sim),
            topic,
            finished: false,
            is_poll,
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut core = self.sim.core();
        let known = &mut core.topics.all[self.topic];
        known.futures -= 1;
        let runs = known.runs_in_engine;
        if self.is_poll && !self.finished {
            core.mark(if runs {
                Mark::PollTimedOut
            } else {
                Mark::PollDroppedByStop
            });
        }
    }
}

/// What a poll is going to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Value,
    Same,
    Fails,
    Panics,
    Hangs,
    Ends,
}

fn does(sim: &Sim) -> (Does, Duration) {
    let mut core = sim.core();
    if !core.faults_on || core.sweep.is_some() {
        return (Does::Value, Duration::ZERO);
    }
    let time = if core.chance(1, 2) {
        core.between(Duration::ZERO, Duration::from_millis(1500))
    } else {
        Duration::ZERO
    };
    let does = match core.pick(24) {
        0..14 => Does::Value,
        14..18 => Does::Same,
        18..20 => Does::Fails,
        20..21 => Does::Panics,
        21..23 => Does::Hangs,
        _ => Does::Ends,
    };
    (does, time)
}

fn value(sim: &Sim, topic: usize, does: Does) -> Result<String, PollError> {
    let mut core = sim.core();
    match does {
        Does::Fails => {
            core.mark(Mark::PollFailed);
            let message = core.topics.text(topic, 0);
            Err(PollError::new(500, message))
        }
        Does::Panics => {
            core.mark(Mark::PollPanicked);
            drop(core);
            resume_unwind(Box::new("planned"))
        }
        Does::Same => {
            let text = core.topics.all[topic].last_text.clone();
            Ok(if text.is_empty() {
                core.topics.text(topic, 1)
            } else {
                text
            })
        }
        Does::Ends => Ok(core.topics.text(topic, 0) + "end"),
        _ => Ok(core.topics.text(topic, 3)),
    }
}

fn topic_named(sim: &Sim, name: &str) -> usize {
    // Names come from the routes above.
    sim.core().topics.find(name).unwrap_or(POLL)
}

fn polling(sim: &Arc<Sim>, every: Duration) -> Polling<String> {
    let (sim, told) = (Arc::clone(sim), Arc::clone(sim));
    let poll = move |name: sse_state::Name| {
        let sim = Arc::clone(&sim);
        let topic = topic_named(&sim, name.as_str());
        let number = {
            let mut core = sim.core();
            let known = &mut core.topics.all[topic];
            known.newest_poll += 1;
            let (number, runs) = (known.newest_poll, known.runs_in_engine);
            core.operation();
            let _ = runs;
            number
        };
        let alive = Alive::new(&sim, topic, true);
        async move {
            // All of it, not the one field that is written.
            let mut alive = alive;
            let (does, time) = does(&sim);
            let work = async {
                if does == Does::Hangs {
                    std::future::pending::<()>().await;
                }
                if !time.is_zero() {
                    sleep(Arc::clone(&sim), time).await;
                }
            };
            let mut work = Box::pin(work);
            std::future::poll_fn(|cx| {
                let mut core = sim.core();
                let newest = core.topics.all[topic].newest_poll;
                if newest != number {
                    core.fail("L11", || format!("two polls of topic {topic} at once"));
                }
                drop(core);
                work.as_mut().poll(cx)
            })
            .await;
            alive.finished = true;
            value(&sim, topic, does)
        }
    };
    let polling: Polling<String> = Polling::every_topic(every, poll);
    polling
        .stop_when(|text: &String| text.ends_with("end"))
        .on_stop(move |reason| stopped(&told, None, reason))
}

fn blocking(sim: &Arc<Sim>, every: Duration) -> Polling<String> {
    let (sim, told) = (Arc::clone(sim), Arc::clone(sim));
    let poll = move || {
        sim.core().operation();
        let (does, _) = does(&sim);
        value(&sim, POLL_BLOCKING, does)
    };
    let polling: Polling<String> = Polling::every_blocking(every, poll);
    polling
        .stop_when(|text: &String| text.ends_with("end"))
        .on_stop(move |reason| stopped(&told, Some(POLL_BLOCKING), reason))
}

/// The topic of a polling is not told to its `on_stop`; of a source it is known.
fn stopped(sim: &Sim, topic: Option<usize>, reason: StopReason) {
    let mut core = sim.core();
    match reason {
        StopReason::Condition => core.mark(Mark::PollingConditionMet),
        StopReason::Finished => core.mark(Mark::SourceFinished),
        StopReason::Panicked => core.mark(Mark::SourcePanicked),
        StopReason::Asked => core.mark(Mark::SourceStoppedByHand),
        _ => {}
    }
    let Some(topic) = topic else { return };
    let known = &mut core.topics.all[topic];
    known.stopped += 1;
    if known.feed == Feed::Source {
        known.runs -= 1;
        if known.runs < 0 {
            core.fail("L2", || {
                format!("topic {topic} was stopped without a start")
            });
        }
    }
}

fn source(sim: &Arc<Sim>, topic: usize) -> Source {
    let (sim, told) = (Arc::clone(sim), Arc::clone(sim));
    Source::new(move |_, publisher| {
        {
            let mut core = sim.core();
            core.operation();
            let known = &mut core.topics.all[topic];
            known.started += 1;
            known.runs += 1;
            if known.runs > 1 {
                core.fail("L2", || format!("two sources of topic {topic} run at once"));
            }
        }
        feed(Arc::clone(&sim), topic, publisher)
    })
    .on_stop(move |reason| stopped(&told, Some(topic), reason))
}

async fn feed(sim: Arc<Sim>, topic: usize, publisher: Publisher) {
    let mut alive = Alive::new(&sim, topic, false);
    let kept = Arc::new(publisher);
    loop {
        let (time, what, text) = {
            let mut core = sim.core();
            let most = core.setup.poll_every;
            let time = core.between(Duration::from_millis(5), most);
            let what = if core.faults_on && core.sweep.is_none() {
                core.pick(16)
            } else {
                9
            };
            core.operation();
            (time, what, core.topics.text(topic, 9))
        };
        match what {
            0 => {
                alive.finished = true;
                return;
            }
            1 => resume_unwind(Box::new("planned")),
            2 if topic == FEED => outlive(&sim, &kept, topic),
            _ => {}
        }
        let published = if sim.core().topics.all[topic].lossless {
            kept.publish_wait(Event::new(&text)).await
        } else {
            kept.publish(Event::new(&text))
        };
        if let Err(PublishError::Refused(sse_state::Error::Stale)) = published {
            let mut core = sim.core();
            if core.topics.all[topic].runs_in_engine && core.shutdown_at.is_none() {
                // It may have ended by itself; a task that still runs then is dropped soon.
                core.mark(Mark::StalePublish);
            }
            return;
        }
        sleep(Arc::clone(&sim), time).await;
    }
}

/// Somebody keeps the publisher beyond its run.
fn outlive(sim: &Arc<Sim>, publisher: &Arc<Publisher>, topic: usize) {
    let (publisher, sim) = (Publisher::clone(publisher), Arc::clone(sim));
    let for_task = Arc::clone(&sim);
    let task = async move {
        sleep(Arc::clone(&for_task), Duration::from_secs(4)).await;
        let text = for_task.core().topics.text(topic, 2);
        let published = publisher.publish(Event::new(&text));
        if let Err(PublishError::Refused(sse_state::Error::Stale)) = published {
            for_task.core().mark(Mark::StalePublish);
        }
    };
    sim.exec.spawn(Box::pin(task));
}

/// A hook: what it does stands in the query, so that the client knows what to expect.
fn hook(
    sim: Arc<Sim>,
) -> impl Fn(Asked) -> std::pin::Pin<Box<dyn Future<Output = Decision> + Send>> + Send + Sync + 'static
{
    move |asked| {
        let sim = Arc::clone(&sim);
        let c = asked
            .query("c")
            .and_then(|number| number.parse::<u32>().ok());
        let running = Deciding::new(&sim, c);
        Box::pin(async move {
            let mut running = running;
            let number = |name: &str| asked.query(name).and_then(|text| text.parse::<u64>().ok());
            match asked.query("does").as_deref() {
                Some("slow") => {
                    let time = Duration::from_millis(number("ms").unwrap_or(1000));
                    sleep(Arc::clone(&sim), time).await;
                    sim.core().mark(Mark::HookSlow);
                }
                Some("takeover") => {
                    let old = asked.query("old").unwrap_or_default();
                    if let Some(hub) = sim.hub() {
                        let _ = hub.close_key(&old);
                    }
                }
                Some("hang") => std::future::pending().await,
                Some("panic") => {
                    sim.core().mark(Mark::HookPanicked);
                    running.done = true;
                    resume_unwind(Box::new("planned"));
                }
                Some("refuse") => {
                    sim.core().mark(Mark::HookRefused);
                    running.done = true;
                    return Err(Refuse::new(403));
                }
                _ => {}
            }
            running.done = true;
            let mut grant = Grant::new();
            if let Some(seconds) = number("exp") {
                grant = grant.expires_in(Duration::from_secs(seconds));
                if let Some(c) = running.c {
                    let until = sim.now() + Duration::from_secs(seconds);
                    sim.core().conn(c).granted_until = Some(until);
                }
            }
            if let Some(key) = asked.query("key") {
                grant = grant.key(key);
            }
            Ok(grant)
        })
    }
}

/// A hook that runs.
struct Deciding {
    sim: Arc<Sim>,
    c: Option<u32>,
    done: bool,
}

impl Deciding {
    fn new(sim: &Arc<Sim>, c: Option<u32>) -> Deciding {
        if let Some(c) = c {
            sim.core().conn(c).hook_running = true;
        }
        Deciding {
            sim: Arc::clone(sim),
            c,
            done: false,
        }
    }
}

impl Drop for Deciding {
    fn drop(&mut self) {
        let Some(c) = self.c else { return };
        let mut core = self.sim.core();
        let conn = core.conn(c);
        conn.hook_running = false;
        let left = conn.client_fin || conn.broken;
        if !self.done && left {
            core.mark(Mark::HookDroppedByLeave);
        }
    }
}

/// A stream was opened.
pub(crate) fn opened(sim: &Sim, info: &StreamInfo) {
    let mut core = sim.core();
    let Some(c) = core.ids.get(&info.id.as_u64()).copied() else {
        return core.fail("hooks", || String::from("on_open of nobody"));
    };
    let conn = core.conn(c);
    if std::mem::replace(&mut conn.is_told_open, true) {
        core.fail("hooks", || format!("on_open twice for connection {c}"));
    }
}

/// A stream has ended.
pub(crate) fn closed(sim: &Sim, info: &StreamInfo, end: StreamEnd) {
    let mut core = sim.core();
    let Some(c) = core.ids.get(&info.id.as_u64()).copied() else {
        return core.fail("hooks", || String::from("on_close of nobody"));
    };
    let conn = core.conn(c);
    let (is_told_open, before) = (conn.is_told_open, conn.closed_for.replace(end));
    let is_there = !(conn.client_fin || conn.broken || conn.client_closed);
    if end == StreamEnd::Gone && is_there {
        core.fail("gone", || format!("the peer of connection {c} is not gone"));
    }
    if !is_told_open || before.is_some() {
        core.fail("hooks", || {
            format!("on_close of connection {c}: opened {is_told_open}, before {before:?}")
        });
    }
}
