//! What the gateway serves: a stream per device, each polled while somebody watches it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use sse_state_tokio::{Answer, App, Hub, Name, PollError, Polling, Route};

use crate::device::{self, DEVICES};

/// One reading, as its subscribers see it.
#[derive(Serialize)]
struct Reading {
    value: f64,
    unit: String,
}

/// The routes. One polling serves all devices: each has a topic of its own, which says which one to read.
pub(crate) fn app(hub: &Hub, devices: SocketAddr, every: Duration) -> App {
    let readings = Polling::every_topic(every, move |topic| read(devices, topic))
        // What an error event says of its own format.
        .api_version("v3")
        // A battery that is full needs no more reading. Streams stay open; the next first one begins anew.
        .stop_when(|reading: &Reading| reading.unit == "%" && reading.value >= 100.0)
        .on_stop_topic(|topic, reason| println!("{topic}: not polled any more: {reason:?}"));
    let stats = hub.clone();
    App::new(hub)
        .get(
            "/devices",
            Route::fixed("application/json", format!("{DEVICES:?}")),
        )
        .get(
            "/devices/{id}",
            Route::topic_from(|params| topic(params.get("id")?)).source(readings),
        )
        .get(
            "/stats",
            Route::respond(move |_| {
                Answer::fixed("application/json", stats.stats().to_json())
                    .expect("a content type without control characters")
            }),
        )
}

/// The topic of a device; what is none gets a 404, and no topic.
fn topic(id: &str) -> Option<String> {
    DEVICES.contains(&id).then(|| format!("{PREFIX}{id}"))
}

/// Polls the device of a topic.
async fn read(devices: SocketAddr, topic: Name) -> Result<Reading, PollError> {
    let id = topic.as_str().trim_start_matches(PREFIX);
    let (value, unit) = tokio::time::timeout(DEADLINE, device::read(devices, id))
        .await
        .map_err(|_| PollError::new(504, "the device does not answer"))??;
    Ok(Reading { value, unit })
}

const PREFIX: &str = "devices/";
/// Devices are near; one that takes longer does not answer at all.
const DEADLINE: Duration = Duration::from_millis(500);
