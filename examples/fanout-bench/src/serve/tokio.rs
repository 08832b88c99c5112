//! The project's own server on tokio.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sse_state_tokio::{App, CloseReason, Event, Hub, Route, Slow, listen, serve};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};

use super::{Order, Receipt, Service, attend, say};
use crate::payload;
use crate::random::Random;
use crate::words::Words;

/// Serves until SIGTERM, or until the input ends.
///
/// Settings: `threads` of the runtime (0: one, that of the caller), `topics`, `log`, `history` (`even`: topics with an
/// even number have it), `pairs` (1: a path with two of these), `slow` (`skip`, `conflate`, `close`), `notice` (0 or 1),
/// `write_timeout` and `grace` in milliseconds, `record` (the file of a journal).
pub(super) fn run(settings: &Words) -> Result<(), String> {
    let mut builder = match settings.get_or("threads", 2)? {
        0 => Builder::new_current_thread(),
        threads => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(serve_all(settings))
}

async fn serve_all(settings: &Words) -> Result<(), String> {
    let mut builder = Hub::builder()
        .write_timeout(Duration::from_millis(
            settings.get_or("write_timeout", 30_000)?,
        ))
        .grace(Duration::from_millis(settings.get_or("grace", 5_000)?));
    if let Ok(path) = settings.get::<PathBuf>("record") {
        builder = builder.record(path);
    }
    let hub = builder.build().map_err(|error| error.to_string())?;
    let mut app = App::new(&hub);
    for number in 1..=settings.get_or("topics", 1)? {
        app = app.get(topic(number), route(number, settings)?);
    }
    if settings.get_or("pairs", 0)? == 1 {
        app = app.get("/pair", Route::topics([topic(2), topic(4)]));
    }
    let text = |error: std::io::Error| error.to_string();
    let mut terminated = signal(SignalKind::terminate()).map_err(text)?;
    let listener = listen("127.0.0.1:0").await.map_err(text)?;
    let addr = listener.local_addr().map_err(text)?;
    let service = Own {
        hub: hub.clone(),
        runtime: Handle::current(),
    };
    attend(Arc::new(service), addr);
    serve(listener, app)
        .with_graceful_shutdown(async move { terminated.recv().await })
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

struct Own {
    hub: Hub,
    runtime: Handle,
}

impl Service for Own {
    /// In a task of the runtime, as a service would.
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt {
        self.runtime.block_on(async {
            // On a thread of the runtime, not on this one.
            let (hub, stopped) = (self.hub.clone(), Arc::new(AtomicBool::new(false)));
            let mut task = tokio::spawn(publish(hub, order, Arc::clone(&stopped)));
            loop {
                let look = tokio::time::timeout(Duration::from_millis(100), &mut task);
                match look.await {
                    Ok(receipt) => return receipt.unwrap_or_default(),
                    Err(_) => stopped.store(stop.load(Ordering::Relaxed), Ordering::Relaxed),
                }
            }
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

async fn publish(hub: Hub, order: Order, stop: Arc<AtomicBool>) -> Receipt {
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
            tokio::time::sleep_until(order.due(start, tick).into()).await;
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
