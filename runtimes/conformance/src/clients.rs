//! What the clients of `.ci/clients` ask for: browsers, libraries, curl. Each takes a topic of its own, named by
//! the last segment of the path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use sse_state_hub::{
    Answer, App, Event, Grant, Heartbeat, Hub, Polling, Refuse, Route, Runtime, Source,
};
use sse_state_proptests::wire_rules::{Payload, accepted_events};

/// The app with these routes as well.
pub(crate) fn routes<R: Runtime>(app: App, hub: &Hub<R>) -> App {
    let ends = hub.clone();
    let events = Arc::new(awkward());
    let expected: Vec<_> = events.iter().map(expected).collect();
    let awkward = Source::new(move |_, publisher| {
        let events = Arc::clone(&events);
        async move {
            for event in &*events {
                if publisher.publish_wait(as_event(event)).await.is_err() {
                    return; // stopped
                }
            }
        }
    });
    let beats = |heartbeat| {
        Route::from_url()
            .source(rising())
            .dedupe(false)
            .heartbeat(heartbeat)
    };
    app.get(
        "/awkward/{client}",
        Route::from_url()
            .own_ids()
            .retry(false)
            .source(awkward)
            .end_when_finished(),
    )
    .get(
        "/awkward.json",
        Route::fixed("application/json", json!(expected).to_string()),
    )
    .get("/kept/{client}", Route::from_url().history(64))
    .post("/kept/{client}", publish("/kept/"))
    .get("/short/{client}", Route::from_url().history(4))
    .post("/short/{client}", publish("/short/"))
    .get(
        "/brief/{client}",
        Route::from_url().history(64).authorize(|asked| {
            let key = asked.parameter("client").unwrap_or_default().to_owned();
            async move { Ok(Grant::new().key(key)) }
        }),
    )
    .get(
        "/end/{client}",
        Route::respond(move |asked| {
            let ended = ends.close_key(asked.parameter("client").unwrap_or_default());
            Answer::fixed("text/plain", format!("{ended:?}"))
                .expect("a content type without control characters")
        }),
    )
    .post("/brief/{client}", publish("/brief/"))
    .get("/comments/{client}", beats(Heartbeat::Comment(BEAT / 4)))
    .get("/heartbeats/{client}", beats(Heartbeat::Event(BEAT / 4)))
    .get(
        "/enough/{client}",
        Route::from_url().authorize(|_| async { Err(Refuse::new(204)) }),
    )
    .get(
        "/cookie/{client}",
        beats(Heartbeat::Default).authorize(|asked| {
            let has_it = asked.header("cookie") == Some(b"door=open");
            async move {
                if has_it {
                    Ok(Grant::new())
                } else {
                    Err(Refuse::new(401).challenge("Cookie"))
                }
            }
        }),
    )
}

/// Numbers that rise.
fn rising() -> Polling<u64> {
    let count = AtomicU64::new(0);
    Polling::value(BEAT, move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move { number }
    })
}

/// Anybody publishes to the topics of such paths.
fn publish(path: &'static str) -> Route {
    Route::publish_to(move |params| params.get("client").map(|client| format!("{path}{client}")))
        .open_to_anyone()
}

/// Events that a parser may stumble over: random ones, some by hand, and at last the largest that is accepted.
fn awkward() -> Vec<Payload> {
    let data = [
        "",
        " ",
        "\n",
        "\n\n\n",
        "\r\n\r\n",
        "\rone\r\n\ntwo\r",
        "  leading and trailing  ",
        "\tdata: x",
        ": no comment",
        "data",
        "data:",
        "id: 7\nevent: x\nretry: 1",
        "nul \0 inside",
        "\u{feff}",
        "\u{feff}a mark of byte order",
        "\u{1f41f}\u{10ffff}\u{0}\u{7f}\u{85}\u{2028}\u{2029}",
        "\u{65}\u{301} \u{202e}abc \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    ];
    let by_hand = data.iter().map(|data| Payload {
        data: (*data).to_owned(),
        ..Payload::default()
    });
    let named = Payload {
        data: "all fields".to_owned(),
        name: " \u{1f41f} named: so ".to_owned(),
        id: Some(" an id: \u{1f41f} ".to_owned()),
        retry: Some(Duration::from_millis(1)),
    };
    // Names that mean something else to a browser.
    let names = ["error", "open", "message"].map(|name| Payload {
        data: name.to_owned(),
        name: name.to_owned(),
        ..Payload::default()
    });
    let largest = Payload {
        data: "x".repeat((1 << 20) - "data: \n\n".len()),
        ..Payload::default()
    };
    let mut events = accepted_events(SEED, RANDOM);
    events.extend(by_hand);
    events.push(named);
    events.extend(names);
    events.push(largest);
    events
}

fn as_event(event: &Payload) -> Event<'_> {
    let mut made = Event::new(&event.data).name(&event.name);
    if let Some(id) = &event.id {
        made = made.id(id);
    }
    if let Some(retry) = event.retry {
        made = made.retry(retry);
    }
    made
}

/// What comes out of a conforming parser.
fn expected(event: &Payload) -> serde_json::Value {
    json!({
        "name": if event.name.is_empty() { "message" } else { &event.name },
        "data": event.data.replace("\r\n", "\n").replace('\r', "\n"),
        "id": event.id,
        "retry": event.retry.map(|retry| retry.as_millis() as u64),
    })
}

/// Between two events of a stream with heartbeats.
const BEAT: Duration = Duration::from_millis(200);
/// Of the random events.
const SEED: u64 = 1;
/// How many there are.
const RANDOM: usize = 2_000;
