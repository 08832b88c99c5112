//! WIRE §6: publishing over HTTP.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sse_state_hub::{
    App, CloseReason, Fault, Grant, Mistake, Polling, Publisher, Refuse, Route, Source,
};
use support::{Server, body, builder, data, events, get, hub, post, settle, status};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// A server with one topic that anybody publishes to.
fn open(hub: &sse_state_tokio::Hub) -> Server {
    let app = App::new(hub)
        .get("/a", Route::topic("a").dedupe(true))
        .post("/a", Route::publish("a").open_to_anyone());
    Server::start(app)
}

#[tokio::test(start_paused = true)]
async fn w6_1_only_where_a_publish_route_is() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let answer = server.post("/a", "x").await;
    assert_eq!(status(&answer), 405);
    assert!(
        answer.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        "{answer}"
    );
    assert_eq!(status(&server.post("/b", "x").await), 404);
}

#[tokio::test]
async fn w6_2_it_does_not_build_unguarded() {
    let hub = hub();
    let app = App::new(&hub).post("/a", Route::publish("a"));
    let error = app.check().expect_err("unguarded");
    let fault = &error.problems()[0].fault;
    assert_eq!(fault, &Fault::Route(Mistake::PublishUnguarded));
    let served = Server::start(app).serving.await.expect("it ran");
    assert!(served.is_err(), "nor is it served");
    let guarded = Route::publish("a").authorize(|_| async { Ok(Grant::new()) });
    let app = App::new(&hub)
        .post("/a", guarded)
        .post("/b", Route::publish("b").open_to_anyone());
    assert!(app.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn w6_3_to_the_topic_of_the_route_or_of_a_function() {
    let hub = hub();
    let to = Route::publish_to(|params| match params.get("id") {
        Some("none") => None,
        id => id.map(|id| format!("device/{id}")),
    });
    let app = App::new(&hub)
        .get(
            "/{id}",
            Route::topic_from(|params| params.get("id").map(|id| format!("device/{id}"))),
        )
        .post("/{id}", to.open_to_anyone());
    let server = Server::start(app);
    let mut client = server.open("/%61").await;
    assert_eq!(status(&server.post("/a?event=e", "1").await), 201);
    assert_eq!(status(&server.post("/b", "2").await), 202);
    assert_eq!(status(&server.post("/none", "3").await), 404);
    client.until("data: 1\n\n").await;
    assert_eq!(events(&client.text()), [("e".to_owned(), "1".to_owned())]);
    assert_eq!(hub.topic("device/b"), None, "publishing makes no topic");
}

#[tokio::test(start_paused = true)]
async fn w6_4_never_to_a_topic_that_has_a_source() {
    let hub = hub();
    let polling = || Polling::value(SECOND, || async { 1 });
    let fixed = App::new(&hub)
        .get("/a", Route::topic("a").source(polling()))
        .post("/a", Route::publish("a").open_to_anyone());
    let error = fixed.check().expect_err("it has a source");
    assert_eq!(
        error.problems()[0].fault,
        Fault::Route(Mistake::PublishToSource)
    );
    let name = |params: &sse_state_hub::Params<'_>| params.get("id").map(str::to_owned);
    let app = App::new(&hub)
        .get("/declared", Route::topic("declared").source(polling()))
        .get("/s/{id}", Route::topic_from(name).source(polling()))
        .post("/p/{id}", Route::publish_to(name).open_to_anyone());
    let server = Server::start(app);
    assert_eq!(status(&server.post("/p/declared", "x").await), 409);
    let _client = server.open("/s/y").await;
    let answer = server.post("/p/y", "x").await;
    assert_eq!(status(&answer), 409, "{answer}");
    assert_eq!(status(&server.post("/p/z", "x").await), 202);
}

#[tokio::test(start_paused = true)]
async fn w6_5_the_order_is_head_limits_origin_authorize_body_publish() {
    let hub = hub();
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let route = Route::publish("a").authorize(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(Refuse::new(401).challenge("Bearer")) }
    });
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .post("/a", route);
    let server = Server::start(app);
    let foreign = "Origin: https://evil.example\r\n";
    let request = |lines: &str| format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
    // Each is wrong in everything that comes later, too.
    let head = server
        .ask(&request(&format!("Expect: 100-continue\r\n{foreign}")))
        .await;
    assert_eq!(status(&head), 417);
    let limits = server.ask(&request(foreign)).await;
    assert_eq!(status(&limits), 411);
    let large = format!("Content-Length: 1048577\r\n{foreign}");
    assert_eq!(status(&server.ask(&request(&large)).await), 413);
    let small = format!("Content-Length: 5\r\n{foreign}");
    assert_eq!(status(&server.ask(&request(&small)).await), 403);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "not asked so far");
    // It does not wait for a body that it does not want.
    let refused = server.ask(&request("Content-Length: 5\r\n")).await;
    assert_eq!(status(&refused), 401);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(hub.stats().state.published + hub.stats().state.unheard, 0);
}

#[tokio::test(start_paused = true)]
async fn w6_6_a_publish_needs_a_length() {
    let hub = hub();
    let server = open(&hub);
    let chunked = "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(status(&server.ask(chunked).await), 411);
    assert_eq!(
        status(
            &server
                .ask("POST /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await
        ),
        411
    );
    assert_eq!(
        status(&server.post("/a", "").await),
        202,
        "an empty one is an event"
    );
}

#[tokio::test(start_paused = true)]
async fn w6_7_a_body_that_is_not_complete_publishes_nothing() {
    let hub = hub();
    let server = open(&hub);
    let mut stream = server.open("/a").await;
    let whole = post("/a", "0123456789");
    // The peer goes.
    let client = server.send(&whole[..whole.len() - 1]);
    settle().await;
    drop(client);
    // Nothing more comes.
    let start = Instant::now();
    let mut client = server.send(&whole[..whole.len() - 1]);
    client.end().await.expect_err("cut");
    let took = start.elapsed();
    assert!(took >= 10 * SECOND && took < 11 * SECOND, "{took:?}");
    assert_eq!(hub.stats().closed_for(CloseReason::BodyTimeout), 1);
    assert_eq!(hub.stats().state.published, 0);
    // Byte by byte it is one event.
    let mut client = server.connect();
    for byte in whole.bytes() {
        client.write(&[byte]);
        settle().await;
    }
    client.end().await.expect("an answer");
    assert_eq!(body(&client.text()), r#"{"subscribers":1}"#);
    stream.until("data: 0123456789\n\n").await;
}

#[tokio::test(start_paused = true)]
async fn w6_8_over_the_bound_on_frames_is_413() {
    let hub = builder().frame_bytes(100).build().expect("a hub");
    let server = open(&hub);
    let _stream = server.open("/a").await;
    // `data: `, the text, two line feeds.
    assert_eq!(status(&server.post("/a", &"x".repeat(92)).await), 201);
    assert_eq!(status(&server.post("/a", &"y".repeat(93)).await), 413);
    assert_eq!(
        status(&server.post("/a", &"\n".repeat(20)).await),
        413,
        "as encoded"
    );
    assert_eq!(status(&server.post("/a", &"x".repeat(101)).await), 413);
    let hub = support::hub();
    let server = open(&hub);
    let megabyte = "\n".repeat(1 << 20);
    assert_eq!(
        status(&server.post("/a", &megabyte).await),
        413,
        "seven times as long as sent"
    );
}

#[tokio::test(start_paused = true)]
async fn w6_9_10_text_of_any_content_type() {
    let hub = hub();
    let server = open(&hub);
    let mut stream = server.open("/a").await;
    let form = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\na=b&c";
    assert_eq!(status(&server.ask(form).await), 201);
    let client = server.connect();
    client.write(b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n\xC3\x28");
    let mut client = client;
    client.end().await.expect("an answer");
    assert_eq!(status(&client.text()), 400);
    stream.until("data: a=b&c\n\n").await;
}

#[tokio::test(start_paused = true)]
async fn w6_11_the_event_is_named_by_the_query_decoded_then_validated() {
    let hub = hub();
    let server = open(&hub);
    let mut stream = server.open("/a").await;
    assert_eq!(status(&server.post("/a?event=door+%C3%A4", "1").await), 201);
    for bad in ["a%0Ab", "a%0Db", "a%00b", "sse-gap", "x&event=y", "%FF"] {
        let answer = server.post(&format!("/a?event={bad}"), "2").await;
        assert_eq!(status(&answer), 400, "{bad}: {answer}");
    }
    assert_eq!(status(&server.post("/a?event=", "3").await), 201);
    stream.until("data: 3\n\n").await;
    let expected = [("door ä", "1"), ("message", "3")];
    let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
    assert_eq!(events(&stream.text()), expected);
}

#[tokio::test(start_paused = true)]
async fn w6_12_no_room_is_503() {
    let hub = builder()
        .frame_bytes(200)
        .logs_bytes(200)
        .build()
        .expect("a hub");
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/b", Route::topic("b"))
        .post("/a", Route::publish("a").open_to_anyone())
        .post("/b", Route::publish("b").open_to_anyone());
    let server = Server::start(app);
    let _a = server.open("/a").await;
    let _b = server.open("/b").await;
    assert_eq!(status(&server.post("/a", &"x".repeat(150)).await), 201);
    assert_eq!(status(&server.post("/b", &"x".repeat(150)).await), 503);
    // More bodies at once than there is room for.
    let hub = builder().bodies_bytes(100).build().expect("a hub");
    let server = open(&hub);
    let begun = post("/a", &"x".repeat(80));
    let _one = server.send(&begun[..begun.len() - 1]);
    settle().await;
    assert_eq!(status(&server.ask(&begun[..begun.len() - 1]).await), 503);
}

#[tokio::test(start_paused = true)]
async fn w6_13_the_answer_tells_what_it_did() {
    let hub = hub();
    let server = open(&hub);
    let nobody = server.post("/a", "1").await;
    assert_eq!(
        (status(&nobody), body(&nobody)),
        (202, r#"{"subscribers":0}"#)
    );
    assert!(nobody.contains("\r\nContent-Type: application/json\r\n"));
    let _one = server.open("/a").await;
    let _two = server.open("/a").await;
    let two = server.post("/a", "1").await;
    assert_eq!((status(&two), body(&two)), (201, r#"{"subscribers":2}"#));
    let again = server.post("/a", "1").await;
    let unchanged = r#"{"subscribers":2,"unchanged":true}"#;
    assert_eq!((status(&again), body(&again)), (200, unchanged));
}

#[tokio::test(start_paused = true)]
async fn w6_a_name_over_its_bound_is_414() {
    let hub = builder().name_bytes(10).build().expect("a hub");
    let name = |params: &sse_state_hub::Params<'_>| params.get("id").map(str::to_owned);
    let app = App::new(&hub)
        .get("/s/{id}", Route::topic_from(name))
        .post("/p/{id}", Route::publish_to(name).open_to_anyone());
    let server = Server::start(app);
    assert_eq!(status(&server.post("/p/0123456789", "x").await), 202);
    assert_eq!(status(&server.post("/p/01234567890", "x").await), 414);
    assert_eq!(status(&server.ask(&get("/s/01234567890", "")).await), 414);
}

#[tokio::test(start_paused = true)]
async fn w6_a_body_that_comes_while_the_hook_is_asked_is_read_once_it_has_granted() {
    let hub = hub();
    let door = Arc::new(tokio::sync::Notify::new());
    let hook_door = Arc::clone(&door);
    let route = Route::publish("a").authorize(move |_| {
        let door = Arc::clone(&hook_door);
        async move {
            door.notified().await;
            Ok(Grant::new())
        }
    });
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .post("/a", route);
    let server = Server::start(app);
    let mut stream = server.open("/a").await;
    for length in [3, 16 << 10, 200_000] {
        let text = "x".repeat(length);
        let mut client = server.send(&post("/a", &text));
        settle().await;
        client.write(b"stray bytes after it");
        settle().await;
        door.notify_one();
        client.end().await.expect("in order");
        assert_eq!(status(&client.text()), 201, "{length}");
        stream.until(&format!("data: {text}\n\n")).await;
    }
    assert_eq!(data(&stream.text()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn w6_a_source_that_is_stopped_publishes_to_nobody_through_its_publisher() {
    let hub = hub();
    let (send, mut publishers) = tokio::sync::mpsc::unbounded_channel::<Publisher>();
    let source = Source::new(move |_, publisher| {
        let _ = send.send(publisher);
        std::future::pending()
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(source)));
    let _client = server.open("/a").await;
    let publisher = publishers.recv().await.expect("it was started");
    assert!(publisher.publish_json(&1).is_ok());
    hub.stop_source("a").expect("it runs");
    assert!(publisher.publish_json(&2).is_err());
}
