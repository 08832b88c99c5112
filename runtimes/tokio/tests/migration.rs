//! What `docs/migration.md` shows and says: services before and after, and where they differ.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::sse::{Event as AxumEvent, KeepAlive, Sse};
use axum::routing::get;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;
use serde::Serialize;
use sse_state_tokio::mount::Mounted;
use sse_state_tokio::{App, Event, Hub, PollError, Polling, PublishError, Route, Source, to_json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;
use tower_service::Service as _;

const SECOND: Duration = Duration::from_secs(1);

// ---- The Go package ----

#[derive(Serialize)]
struct Device {
    id: String,
    online: bool,
}

async fn read_device(topic: &str) -> Result<Device, PollError> {
    let id = topic.rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Device { id, online: true })
}

/// A handler that opens a stream on a topic taken from the URL, and polls it while somebody listens.
fn devices(hub: &Hub) -> App {
    let polling = Polling::every_topic(Duration::from_secs(5), |topic| async move {
        read_device(topic.as_str()).await
    })
    .api_version("v3")
    .stop_when(|device| !device.online)
    .on_stop(|reason| println!("not polled any more: {reason:?}"));
    App::new(hub).get(
        "/api/v3/device/{id}/sse",
        Route::topic_from(|params| Some(format!("device/{}", params.get("id")?))).source(polling),
    )
}

/// A service that feeds a topic by itself, as `Start` and `Stop` did.
fn feed(hub: &Hub) -> App {
    let source = Source::new(|_topic, publisher| async move {
        // Dropped at its next await when the last subscriber has left: that is the `Stop`.
        loop {
            let Ok(_) = publisher.publish(Event::new("tick")) else {
                return;
            };
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    App::new(hub).get("/ticks", Route::topic("ticks").source(source))
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_the_url_is_polled_while_somebody_listens() {
    let hub = Hub::builder()
        .heartbeat(Duration::from_secs(30))
        .build()
        .unwrap();
    let mut events = Mounted::new(devices(&hub)).unwrap();
    let mut body = open(&mut events, "/api/v3/device/7/sse").await;
    until(&mut body, "data: {\"id\":\"7\",\"online\":true}\n\n").await;
    assert_eq!(hub.topic("device/7").unwrap().streams, 1);
    drop(body);
    until_so(|| hub.stats().state.sources == 0).await;
    let mut ticks = Mounted::new(feed(&hub)).unwrap();
    let mut body = open(&mut ticks, "/ticks").await;
    until(&mut body, "data: tick\n\ndata: tick\n\n").await;
}

/// What Go's `encoding/json` writes for `<`, `>` and `&`. They stand only in strings, so this is the same JSON.
fn escaped(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn publish_escaped<T: Serialize>(hub: &Hub, topic: &str, value: &T) -> Result<(), PublishError> {
    hub.publish(topic, Event::new(&escaped(&to_json(value)?)))?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn json_is_not_escaped_unless_one_does_it() {
    let hub = Hub::builder().build().unwrap();
    let app = App::new(&hub).get("/a", Route::topic("a"));
    let mut events = Mounted::new(app).unwrap();
    let mut body = open(&mut events, "/a").await;
    hub.publish_json("a", "<a & b>").unwrap();
    publish_escaped(&hub, "a", &"<a & b>").unwrap();
    let text = until(&mut body, "u003e").await;
    assert!(text.contains("data: \"<a & b>\"\n"), "{text}");
    assert!(
        text.contains("data: \"\\u003ca \\u0026 b\\u003e\"\n"),
        "{text}"
    );
    let same: String = serde_json::from_str("\"\\u003ca \\u0026 b\\u003e\"").unwrap();
    assert_eq!(same, "<a & b>");
}

// ---- axum's Sse over a broadcast channel ----

/// Before.
async fn news(
    State(news): State<broadcast::Sender<String>>,
) -> Sse<impl Stream<Item = Result<AxumEvent, Infallible>>> {
    let stream = stream::unfold(news.subscribe(), |mut news| async move {
        loop {
            match news.recv().await {
                Ok(text) => return Some((Ok(AxumEvent::default().data(text)), news)),
                // A slow client: the oldest are lost, and nobody is told.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn before(sender: broadcast::Sender<String>) -> Router {
    Router::new().route("/news", get(news)).with_state(sender)
}

/// After.
fn after(hub: &Hub) -> Result<Router, sse_state_tokio::AppError> {
    let route = Route::topic("news").log(16).notice(true);
    let events = App::new(hub).get("/news", route);
    Ok(Router::new().fallback_service(Mounted::new(events)?))
}

/// A handler that looks at the request first stays a handler.
async fn members_only(
    State(events): State<Mounted>,
    request: sse_state_tokio::mount::StreamRequest,
) -> axum::response::Response {
    events.stream(request).await
}

fn both() -> (broadcast::Sender<String>, Router, Hub, Router) {
    let (sender, _) = broadcast::channel(16);
    let hub = Hub::builder().build().unwrap();
    let after = after(&hub).unwrap();
    (sender.clone(), before(sender), hub, after)
}

#[tokio::test(start_paused = true)]
async fn both_show_what_is_published() {
    let (sender, mut before, hub, mut after) = both();
    let (mut old, mut new) = (
        open(&mut before, "/news").await,
        open(&mut after, "/news").await,
    );
    sender.send("it rains".to_owned()).unwrap();
    hub.publish("news", Event::new("it rains")).unwrap();
    until(&mut old, "data: it rains\n\n").await;
    until(&mut new, "data: it rains\n\n").await;
    // And through a handler.
    let app = App::new(&hub).get("/news", Route::topic("members"));
    let state = Mounted::new(app).unwrap();
    let mut router = Router::new()
        .route("/news", get(members_only))
        .with_state(state);
    let mut body = open(&mut router, "/news").await;
    hub.publish("members", Event::new("for members")).unwrap();
    until(&mut body, "data: for members\n\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_loses_the_oldest_and_is_told_if_one_wants() {
    let (sender, mut before, hub, mut after) = both();
    let (mut old, mut new) = (
        open(&mut before, "/news").await,
        open(&mut after, "/news").await,
    );
    until(&mut new, "retry: ").await;
    for number in 0..100 {
        let _ = sender.send(number.to_string());
        hub.publish("news", Event::new(&number.to_string()))
            .unwrap();
    }
    let text = until(&mut old, "data: 99\n\n").await;
    assert!(
        text.starts_with("data: 84\n\n"),
        "16 of 100, and no word of the others: {text}"
    );
    let text = until(&mut new, "data: 99\n\n").await;
    let notice =
        "event: sse-gap\ndata: {\"topic\":\"news\",\"missed\":84,\"why\":\"slow\"}\n\ndata: 84\n";
    assert!(text.contains(notice), "{text}");
    assert_eq!(hub.stats().state.missed, 84);
}

#[tokio::test(start_paused = true)]
async fn a_publish_for_nobody_is_no_error() {
    let (sender, _, hub, _) = both();
    assert!(sender.send("nobody".to_owned()).is_err());
    assert_eq!(
        hub.publish("news", Event::new("nobody")).unwrap().streams,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_without_being_asked_for() {
    let (_, _, _hub, mut after) = both();
    let silent = || async { Sse::new(stream::pending::<Result<AxumEvent, Infallible>>()) };
    let mut before: Router = Router::new().route("/news", get(silent));
    let (mut old, mut new) = (
        open(&mut before, "/news").await,
        open(&mut after, "/news").await,
    );
    until(&mut new, "retry: ").await;
    let heartbeat = timeout(16 * SECOND, new.frame())
        .await
        .expect("within 15 s");
    assert_eq!(heartbeat.unwrap().unwrap().into_data().unwrap(), ":\n\n");
    assert!(
        timeout(600 * SECOND, old.frame()).await.is_err(),
        "ten minutes without a byte"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_bytes_and_the_fields_for_proxies() {
    let (_, mut before, _hub, mut after) = both();
    let old = respond(&mut before, "/news", "").await;
    let new = respond(&mut after, "/news", "").await;
    assert_eq!(old.headers()["cache-control"], "no-cache");
    assert_eq!(new.headers()["cache-control"], "no-store, no-transform");
    assert!(
        !old.headers().contains_key("x-accel-buffering"),
        "nginx holds it back"
    );
    assert_eq!(new.headers()["x-accel-buffering"], "no");
    let (mut old, mut new) = (old.into_body(), new.into_body());
    assert!(
        timeout(10 * SECOND, old.frame()).await.is_err(),
        "nothing before the first event"
    );
    assert!(until(&mut new, "\n\n").await.starts_with(":\n\n"));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_site_is_refused() {
    let (_, mut before, _hub, mut after) = both();
    for (router, status) in [(&mut before, 200), (&mut after, 403)] {
        let answer = respond(router, "/news", "https://evil.example").await;
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_break_in_an_id_is_an_error_and_no_panic() {
    let axum = catch_unwind(AssertUnwindSafe(|| AxumEvent::default().id("a\nb")));
    assert!(axum.is_err(), "it panics");
    let hub = Hub::builder().build().unwrap();
    let app = App::new(&hub).get("/a", Route::topic("a").own_ids());
    let mut events = Mounted::new(app).unwrap();
    let _body = open(&mut events, "/a").await;
    let refused = hub.publish("a", Event::new("text").id("a\nb"));
    assert!(
        matches!(refused, Err(PublishError::Event(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_shutdown_ends() {
    let (_sender, before, hub, after) = both();
    let wait_for_ever = serve(before, async {}).await;
    let ends = serve(after, async move { drop(hub.shutdown(None)) }).await;
    assert_eq!((wait_for_ever, ends), (false, true));
}

/// Whether axum's graceful shutdown ends while a stream is open.
async fn serve(router: Router, first: impl Future<Output = ()> + Send + 'static) -> bool {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        let _ = stopped.await;
        first.await;
    });
    let serving = tokio::spawn(std::future::IntoFuture::into_future(serving));
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client, request)
        .await
        .unwrap();
    let mut head = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut head)
        .await
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stop.send(()).unwrap();
    // The client reads on, as a browser does.
    let read = tokio::spawn(async move {
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut client, &mut rest).await
    });
    let ended = timeout(2 * SECOND, serving).await.is_ok();
    read.abort();
    ended
}

// ---- A broadcast channel per topic, and a queue per client ----

#[tokio::test(start_paused = true)]
async fn a_newcomer_gets_the_current_value() {
    let (sender, mut before, hub, _) = both();
    let app = App::new(&hub).get("/load", Route::topic("load").dedupe(true));
    let mut after = Mounted::new(app).unwrap();
    let mut first = open(&mut after, "/load").await;
    let _listens = open(&mut before, "/news").await;
    sender.send("0.5".to_owned()).unwrap();
    hub.publish("load", Event::new("0.5")).unwrap();
    until(&mut first, "data: 0.5\n\n").await;
    let mut old = open(&mut before, "/news").await;
    let mut new = open(&mut after, "/load").await;
    assert!(
        timeout(10 * SECOND, old.frame()).await.is_err(),
        "it waits for the next one"
    );
    until(&mut new, "data: 0.5\n\n").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_gets_what_was_missed() {
    let hub = Hub::builder().build().unwrap();
    let app = App::new(&hub).get("/news", Route::topic("news").history(64));
    let mut events = Mounted::new(app).unwrap();
    let mut body = open(&mut events, "/news").await;
    hub.publish("news", Event::new("1")).unwrap();
    let text = until(&mut body, "data: 1\n").await;
    let text = text + &until(&mut body, "\n\n").await;
    let id = text.rsplit("id: ").next().unwrap().lines().next().unwrap();
    drop(body);
    hub.publish("news", Event::new("2")).unwrap();
    let mut body = open(&mut events, &format!("/news?lastEventId={id}")).await;
    let text = until(&mut body, "data: 2\n").await;
    assert!(
        !text.contains("data: 1\n") && !text.contains("sse-gap"),
        "{text}"
    );
}

// ---- The page ----

#[test]
fn the_page_shows_what_is_run() {
    let source = unindented(include_str!("migration.rs"));
    let page = include_str!("../../../docs/migration.md");
    let mut blocks = 0;
    for block in page.split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("its end");
        let code = unindented(code);
        assert!(source.contains(&code), "not in the source:\n{code}");
        blocks += 1;
    }
    assert!(blocks >= 5, "{blocks}");
}

#[test]
fn the_page_names_tests_that_exist() {
    let files = [
        ("go", include_str!("../../hub/tests/go.rs")),
        ("go_polling", include_str!("../../hub/tests/go_polling.rs")),
        ("migration", include_str!("migration.rs")),
        ("five", include_str!("../../hub/tests/five.rs")),
    ];
    let page = include_str!("../../../docs/migration.md");
    let mut named = 0;
    for words in page.split('`') {
        let Some((file, test)) = words.split_once("::") else {
            continue;
        };
        let Some((_, source)) = files.iter().find(|(name, _)| *name == file) else {
            continue;
        };
        assert!(source.contains(&format!("fn {test}(")), "{words}");
        named += 1;
    }
    assert!(named > 20, "{named}");
}

/// Lines without what they begin with.
fn unindented(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

// ---- Asking ----

/// What both kinds of service are: routers, and mounted apps.
trait Service {
    async fn answer(&mut self, request: axum::extract::Request) -> axum::response::Response;
}

impl Service for Router {
    async fn answer(&mut self, request: axum::extract::Request) -> axum::response::Response {
        let Ok(response) = self.call(request).await;
        response
    }
}

impl Service for Mounted {
    async fn answer(&mut self, request: axum::extract::Request) -> axum::response::Response {
        self.respond(request, None).await.map(Body::new)
    }
}

async fn respond(service: &mut impl Service, path: &str, origin: &str) -> axum::response::Response {
    let mut request = axum::extract::Request::get(path).header("host", "localhost");
    if !origin.is_empty() {
        request = request.header("origin", origin);
    }
    service.answer(request.body(Body::empty()).unwrap()).await
}

async fn open(service: &mut impl Service, path: &str) -> Body {
    let response = respond(service, path, "").await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Reads until this text has come.
async fn until(body: &mut Body, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let frame = timeout(60 * SECOND, body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("{text:?} does not come: {seen:?}"));
        let bytes: Bytes = frame
            .expect("not the end")
            .expect("no error")
            .into_data()
            .unwrap();
        seen.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    seen
}

async fn until_so(holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not become so");
}
