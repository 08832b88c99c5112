//! The project's own server, on whatever runtime.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use sse_state_hub::{App, CloseReason, Event, Hub, Listener, Route, Runtime, Slow, serve};

use super::{Order, Receipt, Service, attend, say};
use crate::payload;
use crate::random::Random;
use crate::words::Words;

/// Serves until it is told to end.
///
/// Settings: `topics`, `log`, `history` (`even`: topics with an even number have it), `pairs` (1: a path with two of
/// these), `slow` (`skip`, `conflate`, `close`), `notice` (0 or 1), `write_timeout` and `grace` in milliseconds,
/// `record` (the file of a journal).
pub(super) async fn serve_on<R, L>(
    settings: &Words,
    runtime: R,
    listener: L,
    addr: SocketAddr,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String>
where
    R: Runtime + Clone,
    L: Listener,
{
    let (hub, app) = hub(settings, runtime.clone())?;
    attend(service(hub.clone(), runtime), addr);
    serve(listener, app)
        .with_graceful_shutdown(end)
        .await
        .map_err(|error| error.to_string())?;
    let digests = hub.journal_digests().map_or(Words::default(), |digests| {
        Words::default()
            .with("actions", digests.actions)
            .with("state", digests.state)
    });
    say("ended", &digests);
    Ok(())
}

/// A hub with these settings, and what it serves.
pub(super) fn hub<R: Runtime>(settings: &Words, runtime: R) -> Result<(Hub<R>, App), String> {
    let mut builder = Hub::builder()
        .write_timeout(Duration::from_millis(
            settings.get_or("write_timeout", 30_000)?,
        ))
        .grace(Duration::from_millis(settings.get_or("grace", 5_000)?));
    if let Ok(path) = settings.get::<PathBuf>("record") {
        builder = builder.record(path);
    }
    let hub = builder
        .build_on(runtime)
        .map_err(|error| error.to_string())?;
    let mut app = App::new(&hub);
    for number in 1..=settings.get_or("topics", 1)? {
        app = app.get(topic(number), route(number, settings)?);
    }
    if settings.get_or("pairs", 0)? == 1 {
        app = app.get("/pair", Route::topics([topic(2), topic(4)]));
    }
    Ok((hub, app))
}

/// Publishes by this hub.
pub(super) fn service<R: Runtime + Clone>(hub: Hub<R>, runtime: R) -> Arc<impl Service> {
    Arc::new(Own { hub, runtime })
}

/// The name of a topic, and its path.
fn topic(number: u16) -> String {
    format!("/t/{number}")
}

fn route(number: u16, settings: &Words) -> Result<Route, String> {
    let log = settings.get_or("log", 64)?;
    let route = Route::topic(topic(number));
    let route = match settings.get_or("history", "none".to_owned())?.as_str() {
        "even" if number.is_multiple_of(2) => route.history(log),
        _ => route.log(log),
    };
    let slow = match settings.get_or("slow", "skip".to_owned())?.as_str() {
        "skip" => Slow::Skip,
        "conflate" => Slow::Conflate,
        "close" => Slow::Close,
        other => return Err(format!("`{other}` is not a policy")),
    };
    let route = route.slow(slow);
    Ok(match settings.get_or("notice", 0)? {
        0 => route,
        _ => route.notice(true),
    })
}

struct Own<R: Runtime> {
    hub: Hub<R>,
    runtime: R,
}

impl<R: Runtime + Clone> Service for Own<R> {
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt {
        let (hub, runtime) = (self.hub.clone(), self.runtime.clone());
        in_task(&self.runtime, stop, move |stop| {
            publish(hub, runtime, order, stop)
        })
    }

    fn stats(&self) -> Words {
        let stats = self.hub.stats();
        let state = &stats.state;
        let words = Words::default()
            .with("streams", state.streams)
            .with("finishing", state.finishing)
            .with("openings", state.openings)
            .with("topics", state.topics)
            .with("delivered", state.delivered)
            .with("missed", state.missed)
            .with("gone", state.gone)
            .with("held_bytes", state.held_bytes)
            .with("logs_bytes", state.logs_bytes);
        let reasons = [
            ("stalled", CloseReason::Stalled),
            ("lagged", CloseReason::Lagged),
            ("shutdown", CloseReason::Shutdown),
        ];
        reasons.iter().fold(words, |words, &(name, reason)| {
            words.with(name, stats.closed_for(reason))
        })
    }
}

/// Publishes in a task of the runtime, as a service would, and not on this thread.
pub(super) fn in_task<R: Runtime, F>(
    runtime: &R,
    stop: &AtomicBool,
    publish: impl FnOnce(Arc<AtomicBool>) -> F,
) -> Receipt
where
    F: Future<Output = Receipt> + Send + 'static,
{
    let stopped = Arc::new(AtomicBool::new(false));
    let publish = publish(Arc::clone(&stopped));
    let (sender, receipt) = channel();
    runtime.spawn(Box::pin(async move {
        // Whoever waits for it is the process.
        let _ = sender.send(publish.await);
    }));
    loop {
        match receipt.recv_timeout(Duration::from_millis(100)) {
            Ok(receipt) => return receipt,
            Err(RecvTimeoutError::Timeout) => {
                stopped.store(stop.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Disconnected) => return Receipt::default(),
        }
    }
}

/// By a timer of the runtime.
pub(super) async fn sleep_until<R: Runtime>(runtime: &R, due: Instant) {
    let at = runtime.now() + due.saturating_duration_since(Instant::now());
    let mut timer = runtime.timer();
    poll_fn(|cx| timer.poll_at(at, cx)).await;
}

async fn publish<R: Runtime>(
    hub: Hub<R>,
    runtime: R,
    order: Order,
    stop: Arc<AtomicBool>,
) -> Receipt {
    let names: Vec<String> = (1..=order.topics).map(topic).collect();
    let mut numbers = vec![order.from; names.len()];
    let mut random = Random::new(order.from);
    let mut receipt = Receipt::default();
    let mut data = String::new();
    let start = Instant::now();
    for tick in 0..order.ticks {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if !order.every.is_zero() {
            sleep_until(&runtime, order.due(start, tick)).await;
        }
        for _ in 0..order.burst {
            let at = random.below(names.len() as u64) as usize;
            payload::write(&mut data, at as u16 + 1, numbers[at], order.bytes);
            let event = Event::new(&data);
            let published = if order.every.is_zero() {
                hub.publish_wait(&names[at], event).await
            } else {
                hub.publish(&names[at], event)
            };
            numbers[at] += 1;
            receipt.events += 1;
            match published {
                Ok(published) => receipt.deliveries += u64::from(published.streams),
                Err(_) => receipt.refused += 1,
            }
        }
    }
    receipt
}
