//! What is served: an answer per stream, which is generated while somebody reads it.

use std::time::Duration;

use sse_state_tokio::sse_state::http::query_parameter;
use sse_state_tokio::{Answer, App, Event, Hub, Name, Publisher, Route, Slow, Source};

use crate::tokens::tokens;

/// The routes. A page chooses the id of its answer, and so has a topic, and a generation, of its own.
pub(crate) fn app(hub: &Hub, pace: Duration) -> App {
    let generation = Source::new(move |topic, publisher| generate(topic, publisher, pace))
        .on_stop_topic(|topic, reason| println!("{}: {reason:?}", id(topic)));
    let stats = hub.clone();
    App::new(hub)
        .get(
            "/answers/{id}",
            Route::from_url()
                .query(["prompt"])
                .source(generation)
                // An answer with a hole is none: who cannot follow is ended, and not skipped.
                .slow(Slow::Close)
                .end_when_finished(),
        )
        .get(
            "/",
            Route::fixed("text/html; charset=utf-8", HTML)
                .header("Content-Security-Policy", POLICY),
        )
        .get(
            "/page.js",
            Route::fixed("text/javascript; charset=utf-8", JS),
        )
        .get(
            "/stats",
            Route::respond(move |_| {
                Answer::fixed("application/json", stats.stats().to_json())
                    .expect("a content type without control characters")
            }),
        )
}

/// One generation. It is dropped, wherever it stands, when its reader leaves; when it returns the stream ends
/// with `sse-end`.
async fn generate(topic: Name, publisher: Publisher, pace: Duration) {
    for token in tokens(&prompt(&topic)) {
        // The work that a model does here would stop with this future, too.
        tokio::time::sleep(pace).await;
        // It waits for readers that are slow but do read.
        if publisher.publish_wait(Event::new(token)).await.is_err() {
            return;
        }
    }
}

/// The source is told the topic, never the request. So the prompt is a part of the topic's name.
fn prompt(topic: &Name) -> String {
    let query = topic
        .as_str()
        .split_once('?')
        .map_or("", |(_, query)| query);
    let prompt = query_parameter(query, "prompt");
    prompt.ok().flatten().unwrap_or_default()
}

/// What may stand in a log: the prompt may not.
fn id(topic: &Name) -> &str {
    topic.as_str().split('?').next().unwrap_or_default()
}

/// Scripts from here only, and nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = include_str!("../page/page.html");
const JS: &str = include_str!("../page/page.js");
