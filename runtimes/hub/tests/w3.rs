//! WIRE §3 and §4 as a server says them: heads, first bytes, refusals, ends, silence.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::ser::Error as _;
use sse_state_hub::{
    App, Busy, CloseReason, Error, Event, JsonError, OriginRules, PublishError, Route, Slow,
};
use support::{Server, body, builder, data, events, eventually, get, hub, settle, status};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn w3_1_to_8_the_head_and_the_first_bytes_come_at_once() {
    let hub = hub();
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/plain", Route::topic("a").retry(false));
    let server = Server::start(app);
    let start = Instant::now();
    let mut client = server.open("/a").await;
    let text = client.until("retry: ").await;
    let text = if text.ends_with("\n\n") {
        text
    } else {
        client.until("\n\nretry").await
    };
    assert!(start.elapsed() < Duration::from_millis(50));
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[..5],
        [
            "HTTP/1.1 200 OK",
            "Content-Type: text/event-stream",
            "Cache-Control: no-store, no-transform",
            "X-Accel-Buffering: no",
            "X-Content-Type-Options: nosniff",
        ]
    );
    assert!(
        lines[5].starts_with("Date: ") && lines[5].ends_with(" GMT"),
        "{text}"
    );
    assert_eq!(lines[6..8], ["Connection: close", ""]);
    let first = body(&text);
    let retry = first.strip_prefix(":\n\nretry: ").expect("the first bytes");
    let millis: u32 = retry.trim_end().parse().expect("a number");
    assert!((2000..=4000).contains(&millis), "{millis}");
    assert_eq!(
        client.writes(),
        1,
        "everything that is pending goes in one write"
    );
    let mut plain = server.open("/plain").await;
    hub.publish("a", Event::new("1")).expect("published");
    let text = plain.until("data: 1\n\n").await;
    assert_eq!(body(&text), ":\n\ndata: 1\n\n");
}

#[tokio::test(start_paused = true)]
async fn w3_9_10_cors_is_on_every_answer_of_a_route_and_off_by_default() {
    let rules = OriginRules::list(["https://app.example"]).expect("a list");
    let hub = builder().cors(rules).build().expect("a hub");
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/page", Route::fixed("text/html", "hello"))
        .post("/a", Route::publish("a").open_to_anyone());
    let server = Server::start(app);
    let origin = "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n";
    let mut client = server.send(&get("/a", origin));
    let stream = client.until("\r\n\r\n:").await;
    let page = server.ask(&get("/page", origin)).await;
    let missing = server.ask(&get("/missing", origin)).await;
    let length = server
        .ask(&format!(
            "POST /a HTTP/1.1\r\nHost: localhost\r\n{origin}\r\n"
        ))
        .await;
    for (answer, expected) in [
        (&stream, 200),
        (&page, 200),
        (&missing, 404),
        (&length, 411),
    ] {
        assert_eq!(status(answer), expected);
        assert!(answer.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n"));
        assert!(answer.contains("\r\nVary: Origin\r\n"));
    }
    let other = server
        .ask(&get("/a", "Origin: https://other.example\r\n"))
        .await;
    assert_eq!(status(&other), 403);
    assert!(other.contains("\r\nVary: Origin\r\n"), "a refusal, too");
    assert!(!other.contains("Access-Control"), "{other}");

    let hub = support::hub();
    let server = Server::start(App::new(&hub).get("/page", Route::fixed("text/html", "hello")));
    let answer = server
        .ask(&get("/page", "Origin: http://localhost\r\n"))
        .await;
    assert_eq!(status(&answer), 200);
    assert!(
        !answer.contains("Vary") && !answer.contains("Access-Control"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn w3_12_a_preflight_is_answered_without_authorize() {
    let rules = OriginRules::list(["https://app.example"]).expect("a list");
    let hub = builder().cors(rules).build().expect("a hub");
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let route = Route::publish("a").authorize(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(sse_state_hub::Refuse::new(401)) }
    });
    let server = Server::start(
        App::new(&hub)
            .get("/a", Route::topic("a"))
            .post("/a", route),
    );
    let preflight = "OPTIONS /a HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\
        Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, x\r\n\r\n";
    let answer = server.ask(preflight).await;
    assert_eq!(status(&answer), 204);
    for line in [
        "Allow: GET, HEAD, POST, OPTIONS",
        "Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS",
        "Access-Control-Allow-Headers: Authorization",
        "Access-Control-Max-Age: 7200",
        "Access-Control-Allow-Origin: https://app.example",
    ] {
        assert!(
            answer.contains(&format!("\r\n{line}\r\n")),
            "{line}: {answer}"
        );
    }
    let other = server.ask(&preflight.replace("app.", "other.")).await;
    assert_eq!(status(&other), 204);
    assert!(!other.contains("Access-Control"), "{other}");
    let star = server
        .ask("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(status(&star), 204);
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn w3_13_to_16_no_room_is_said_so_that_browsers_come_back() {
    for (busy, accept, expected) in [
        (Busy::Auto, "Accept: text/event-stream\r\n", 200),
        (Busy::Auto, "Accept: */*\r\n", 503),
        (Busy::Auto, "", 503),
        (Busy::Retry200, "", 200),
        (Busy::Status503, "Accept: text/event-stream\r\n", 503),
    ] {
        let hub = builder().subscribers(1).busy(busy).build().expect("a hub");
        let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
        let mut first = server.open("/a").await;
        let answer = server.ask(&get("/a", accept)).await;
        assert_eq!(status(&answer), expected, "{answer}");
        if expected == 200 {
            let retry = body(&answer).strip_prefix("retry: ").expect("a block");
            let millis: u32 = retry.trim_end().parse().expect("a number");
            assert!((10_000..=20_000).contains(&millis) && retry.ends_with("\n\n"));
        } else {
            let (_, after) = answer.split_once("\r\nRetry-After: ").expect("a field");
            let seconds: u32 = after
                .split("\r\n")
                .next()
                .unwrap()
                .parse()
                .expect("a number");
            assert!((10..=20).contains(&seconds));
        }
        assert_eq!(hub.stats().state.refused_full, 1);
        hub.publish("a", Event::new("1")).expect("published");
        first.until("data: 1\n\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn w3_16_refusals_while_shutting_down_are_counted_apart() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let mut stuck = server.open("/a").await;
    stuck.set_window(0);
    hub.publish("a", Event::new("1")).expect("published");
    let mut opening = server.connect();
    settle().await;
    let ended = hub.shutdown(None);
    settle().await;
    // It was accepted before, and is answered while there is grace.
    opening.write(get("/a", "Accept: text/event-stream\r\n").as_bytes());
    opening.end().await.expect("an answer");
    assert_eq!(status(&opening.text()), 200);
    assert!(
        body(&opening.text()).starts_with("retry: 1"),
        "{}",
        opening.text()
    );
    assert_eq!(hub.stats().state.refused_shutdown, 1);
    assert_eq!(hub.stats().state.refused_full, 0);
    let refused = hub.publish("a", Event::new("2"));
    assert_eq!(refused, Err(PublishError::Refused(Error::ShuttingDown)));
    ended.await;
    stuck.end().await.expect_err("cut");
}

#[tokio::test(start_paused = true)]
async fn w3_19_an_orderly_end_waits_for_the_peer_two_seconds_and_drops_what_comes() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    // One that goes by itself.
    let mut client = server.send("GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.write(b"stray bytes");
    client.end().await.expect("in order");
    let start = Instant::now();
    client.write(b"more of them");
    drop(client);
    let answered = |count| hub.stats().closed_for(CloseReason::Answered) == count;
    eventually("closed", || answered(1)).await;
    assert!(start.elapsed() < SECOND, "at once");
    // One that stays.
    let mut client = server.send("GET /missing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.end().await.expect("in order");
    let start = Instant::now();
    client.write(b"still here");
    settle().await;
    client.slip_in(b"and this");
    eventually("closed", || answered(2)).await;
    let took = start.elapsed();
    assert!(took >= 2 * SECOND && took < 3 * SECOND, "{took:?}");
    client.end().await.expect("no reset either");
}

#[tokio::test(start_paused = true)]
async fn w3_22_an_end_by_age_is_preceded_by_a_farewell() {
    let hub = builder()
        .max_lifetime(Some(80 * SECOND))
        .build()
        .expect("a hub");
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/short", Route::topic("a").lifetime(8 * SECOND));
    let server = Server::start(app);
    for (target, life) in [("/a", 80 * SECOND), ("/short", 8 * SECOND)] {
        let start = Instant::now();
        let mut client = server.open(target).await;
        client.end().await.expect("in order");
        let took = start.elapsed();
        assert!(took >= life * 7 / 8 && took <= life + SECOND, "{took:?}");
        let text = client.text();
        assert_eq!(text.matches("retry: ").count(), 2, "{text}");
        assert!(text.ends_with("\n\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn w4_events_of_several_topics_go_out_in_the_order_of_publishing() {
    let hub = hub();
    let app = App::new(&hub)
        .get("/all", Route::topics(["a", "b", "c"]))
        .get("/a", Route::topic("a").history(10))
        .get("/b", Route::topic("b").history(10));
    let server = Server::start(app);
    let mut client = server.open("/all").await;
    let mut expected = Vec::new();
    for number in 0..30 {
        let topic = ["a", "b", "c"][number * 7 % 3];
        let text = format!("{topic}{number}");
        hub.publish(topic, Event::new(&text)).expect("published");
        expected.push(text);
    }
    let text = client.until("data: a27\n").await;
    let text = if text.contains("29\n") {
        text
    } else {
        client.until("29\n").await
    };
    assert_eq!(data(&text), expected);
}

#[tokio::test(start_paused = true)]
async fn w4_publish_json_errors_change_nothing_and_nobody_means_not_serialised() {
    struct Fails(Arc<AtomicU32>);
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(S::Error::custom("on purpose"))
        }
    }
    let hub = hub();
    let serialised = Arc::new(AtomicU32::new(0));
    let fails = Fails(Arc::clone(&serialised));
    let nobody = hub.publish_json("a", &fails).expect("nobody listens");
    assert_eq!((nobody.streams, serialised.load(Ordering::SeqCst)), (0, 0));
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    settle().await;
    let declared = hub.publish_json("a", &fails).expect("nobody listens");
    assert_eq!(
        (declared.streams, serialised.load(Ordering::SeqCst)),
        (0, 0)
    );
    let mut client = server.open("/a").await;
    let failed = hub.publish_json("a", &fails);
    let on_purpose = JsonError::Failed(String::from("on purpose"));
    assert_eq!(failed, Err(PublishError::Json(on_purpose)));
    let not_finite = hub.publish_json("a", &[1.0, f64::NAN]);
    assert_eq!(not_finite, Err(PublishError::Json(JsonError::NotFinite)));
    assert_eq!(hub.stats().state.published, 0);
    hub.publish_json("a", &[1.5, -0.0]).expect("published");
    client.until("data: [1.5,-0.0]\n\n").await;
}

#[test]
fn w4_json_is_what_serde_json_writes_but_for_the_order_of_maps() {
    #[derive(Serialize)]
    enum Shape {
        Unit,
        New(u8),
        Tuple(u8, &'static str),
        Struct { z: Option<u8>, a: () },
    }
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Wide(u128, i128, char, f32, bool);
    let shapes = [
        Shape::Unit,
        Shape::New(1),
        Shape::Tuple(2, "\"\\\n\u{1}é\u{2028}"),
        Shape::Struct { z: None, a: () },
    ];
    let wide = Wide(u128::MAX, i128::MIN, '\'', 0.1, true);
    let all = (
        shapes,
        Unit,
        wide,
        [[1e300, 1.0], [0.0; 2]],
        "",
        Some([1_u8; 0]),
    );
    assert_eq!(
        sse_state_hub::to_json(&all).unwrap(),
        serde_json::to_string(&all).unwrap()
    );
    let numbers: serde_json::Value =
        serde_json::from_str(r#"{"b":[1,2.5,-3,1e100,18446744073709551615],"a":{}}"#).unwrap();
    let json = sse_state_hub::to_json(&numbers).unwrap();
    assert!(json.starts_with(r#"{"a":{},"b":[1,2.5,-3,1e"#), "{json}");
    let keys = std::collections::BTreeMap::from([(true, 1), (false, 2)]);
    assert_eq!(
        sse_state_hub::to_json(&keys).unwrap(),
        r#"{"false":2,"true":1}"#
    );
    let bad = std::collections::BTreeMap::from([((1, 2), 1)]);
    assert_eq!(sse_state_hub::to_json(&bad), Err(JsonError::Key));
}

#[tokio::test(start_paused = true)]
async fn w4_end_when_finished_says_so_and_ends_in_order() {
    let hub = hub();
    let finishing = || {
        sse_state_hub::Source::new(|_, publisher: sse_state_hub::Publisher| async move {
            for token in ["one", "two"] {
                publisher.publish(Event::new(token)).expect("it runs");
            }
        })
    };
    let app = App::new(&hub)
        .get(
            "/ends",
            Route::topic("ends").source(finishing()).end_when_finished(),
        )
        .get("/stays", Route::topic("stays").source(finishing()));
    let server = Server::start(app);
    let mut client = server.open("/ends").await;
    client.end().await.expect("in order");
    assert!(
        client
            .text()
            .ends_with("data: one\n\ndata: two\n\nevent: sse-end\ndata: {}\n\n"),
        "{}",
        client.text()
    );
    let mut client = server.open("/stays").await;
    client.until("data: two\n\n").await;
    // The heartbeat says that it is open.
    client.until_count(":\n\n", 2).await;
    assert_eq!(data(&client.text()), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn w5_a_client_goes_on_where_it_was_by_header_or_parameter() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").history(3)));
    let mut client = server.open("/a").await;
    for number in 1..=2 {
        hub.publish("a", Event::new(&number.to_string()))
            .expect("published");
    }
    let text = client.until("data: 2\nid: ").await;
    let text = if text.ends_with("\n\n") {
        text
    } else {
        client.until("2\n\n").await
    };
    drop(client);
    eventually("gone", || hub.stats().state.streams == 0).await;
    for number in 3..=4 {
        let published = hub
            .publish("a", Event::new(&number.to_string()))
            .expect("published");
        assert_eq!(published.streams, 0);
        assert!(published.id.is_some(), "it is logged");
    }
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect();
    let last = *ids.last().expect("an id");
    let header = format!("Last-Event-ID: {last}\r\n");
    let mut by_header = server.open_with("/a?lastEventId=nonsense", &header).await;
    by_header.until("data: 4\n").await;
    assert_eq!(data(&by_header.text()), ["3", "4"]);
    let mut by_parameter = server.open(&format!("/a?lastEventId={last}")).await;
    by_parameter.until("data: 4\n").await;
    assert_eq!(data(&by_parameter.text()), ["3", "4"]);
    // Everything is gone that follows the first id, and an odd one never errs.
    for (id, why) in [(ids[0], "expired"), ("?", "unknown"), ("0-1", "epoch")] {
        let header = format!("Last-Event-ID: {id}\r\n");
        let mut client = server.open_with("/a", &header).await;
        client.until("data: 4\n").await;
        let events = events(&client.text());
        let gap = format!(r#"{{"topic":"a","missed":null,"why":"{why}"}}"#);
        assert_eq!(events[0], (String::from("sse-gap"), gap));
        assert_eq!(events.len(), 4, "and the log");
    }
}

#[tokio::test(start_paused = true)]
async fn w3_routes_say_what_their_topics_do_when_slow() {
    let hub = hub();
    let app = App::new(&hub).get(
        "/a",
        Route::topic("a").log(1).slow(Slow::Conflate).notice(true),
    );
    let server = Server::start(app);
    let mut client = server.open("/a").await;
    client.set_window(0);
    for number in 0..10 {
        hub.publish("a", Event::new(&number.to_string()))
            .expect("published");
    }
    client.set_window(1 << 20);
    client.until("data: 9\n").await;
    let gap = (
        String::from("sse-gap"),
        String::from(r#"{"topic":"a","missed":9,"why":"slow"}"#),
    );
    assert_eq!(
        events(&client.text()),
        [gap, ("message".into(), "9".into())]
    );
}

#[tokio::test(start_paused = true)]
async fn w3_20_a_peer_that_ended_its_side_within_an_event_sees_a_reset() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    for window in [30, 1 << 20] {
        let mut client = server.open("/a").await;
        client.until("retry: ").await;
        client.set_window(window);
        let text = "x".repeat(100);
        hub.publish("a", Event::new(&text)).expect("published");
        settle().await;
        client.end_writing();
        let end = client.end().await;
        assert_eq!(end.is_ok(), window > 100, "{window}: {end:?}");
        drop(client);
        eventually("gone", || hub.stats().state.streams == 0).await;
    }
}
