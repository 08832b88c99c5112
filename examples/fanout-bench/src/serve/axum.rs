//! What axum has of its own: `Sse` over a broadcast channel of tokio, each stream a receiver.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::stream::{Stream, unfold};
use sse_state_tokio::{Runtime as _, Tokio};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{Receiver, Sender, channel, error::RecvError};

use super::own::{in_task, sleep_until};
use super::{Order, Receipt, Service, attend};
use crate::payload;
use crate::words::Words;

/// Serves until the input ends.
pub(super) async fn run() -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let (sender, _) = channel(LOG);
    let topic = sender.clone();
    let route = get(move || {
        let events = stream(topic.subscribe());
        async move { Sse::new(events).keep_alive(KeepAlive::default()) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let addr = listener.local_addr().map_err(text)?;
    let runtime = Tokio::enter().map_err(|error| error.to_string())?;
    attend(Arc::new(Own { sender, runtime }), addr);
    let listener = listener.tap_io(|socket| {
        // As its documentation advises for small writes.
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, Router::new().route(crate::side::PATH, route))
        .await
        .map_err(text)
}

fn stream(events: Receiver<Arc<str>>) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(events, |mut events| async move {
        loop {
            match events.recv().await {
                Ok(data) => return Some((Ok(Event::default().data(data)), events)),
                // The client finds out.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

struct Own {
    sender: Sender<Arc<str>>,
    runtime: Tokio,
}

impl Service for Own {
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt {
        let (sender, runtime) = (self.sender.clone(), self.runtime.clone());
        in_task(&self.runtime, stop, move |stop| async move {
            let mut receipt = Receipt::default();
            let mut data = String::new();
            let start = Instant::now();
            for tick in 0..order.ticks {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                sleep_until(&runtime, order.due(start, tick)).await;
                for event in 0..order.burst {
                    let number = order.from + tick * order.burst + event;
                    payload::write(&mut data, 1, number, order.bytes);
                    receipt.events += 1;
                    match sender.send(data.as_str().into()) {
                        Ok(streams) => receipt.deliveries += streams as u64,
                        Err(_) => receipt.refused += 1,
                    }
                }
            }
            receipt
        })
    }

    fn stats(&self) -> Words {
        Words::default().with("streams", self.sender.receiver_count())
    }
}

/// As many as the log of a topic of the hub.
const LOG: usize = 64;
