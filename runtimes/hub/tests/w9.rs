//! WIRE §9: what is denied unless the author opens it, row by row.

mod support;

use std::time::Duration;

use sse_state_hub::{App, CloseReason, Event, Polling, Route};
use support::{Server, builder, data, events, eventually, get, hub, post, settle, status};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn open(hub: &sse_state_tokio::Hub) -> Server {
    let app = App::new(hub)
        .get("/{*any}", Route::from_url())
        .post("/a", Route::publish("/a").open_to_anyone());
    Server::start(app)
}

#[tokio::test(start_paused = true)]
async fn w9_1_a_page_of_another_site_neither_publishes_nor_opens_streams() {
    let hub = hub();
    let server = open(&hub);
    for lines in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nOrigin: http://localhost\r\n",
        "Origin: http://localhost\r\nOrigin: http://localhost\r\n",
    ] {
        assert_eq!(status(&server.ask(&get("/a", lines)).await), 403, "{lines}");
        let publish = post("/a", "x").replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
        assert_eq!(status(&server.ask(&publish).await), 403, "{lines}");
    }
    assert_eq!(hub.stats().state.topics, 0);
    let _same = server
        .open_with("/a", "Sec-Fetch-Site: same-origin\r\n")
        .await;
    let _host = server.open_with("/a", "Origin: http://localhost\r\n").await;
    let _curl = server.open("/a").await;
}

#[tokio::test(start_paused = true)]
async fn w9_2_dns_rebinding_to_loopback_is_421_unless_the_host_is_allowed() {
    let hub = builder()
        .allowed_hosts(["dev.example"])
        .build()
        .expect("a hub");
    let server = open(&hub);
    let host = |host: &str| get("/a", "").replace("localhost", host);
    let answer = server.ask(&host("rebound.example")).await;
    assert_eq!(status(&answer), 421);
    assert!(answer.contains("allowed_hosts"), "it says how: {answer}");
    for allowed in [
        "dev.example:8080",
        "localhost:1",
        "a.localhost",
        "127.0.0.9",
        "[::1]:80",
    ] {
        let mut client = server.send(&host(allowed));
        client.until(":\n\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn w9_4_topics_named_by_requests_are_bounded() {
    let hub = builder().topics_by_request(2).build().expect("a hub");
    let server = open(&hub);
    let one = server.open("/1").await;
    let _two = server.open("/2").await;
    let accept = "Accept: text/event-stream\r\n";
    let refused = server.ask(&get("/3", accept)).await;
    assert!(refused.contains("\r\n\r\nretry: 1"), "{refused}");
    let _again = server.open("/2").await;
    drop(one);
    eventually("gone", || hub.stats().state.topics == 1).await;
    let _three = server.open("/3").await;
    assert_eq!(hub.stats().state.refused_full, 1);
}

#[tokio::test(start_paused = true)]
async fn w9_5_sources_and_polls_are_bounded() {
    let hub = builder().sources(2).polls(1).build().expect("a hub");
    let polling = Polling::value(SECOND, || async {
        tokio::time::sleep(SECOND / 4).await;
        1
    });
    let app = App::new(&hub).get("/{*any}", Route::from_url().source(polling));
    let server = Server::start(app);
    let start = Instant::now();
    let mut one = server.open("/1").await;
    let mut two = server.open("/2").await;
    assert_eq!(status(&server.ask(&get("/3", "")).await), 503);
    let mut again = server.open("/1").await;
    one.until("data: 1\n\n").await;
    two.until("data: 1\n\n").await;
    assert!(start.elapsed() >= SECOND / 2, "one after the other");
    again.until("data: 1\n\n").await;
}

#[tokio::test(start_paused = true)]
async fn w9_6_slow_heads_have_a_deadline_and_bounds_and_touch_no_stream() {
    let hub = builder()
        .openings(3)
        .heads_bytes(2000)
        .build()
        .expect("a hub");
    let server = open(&hub);
    let mut stream = server.open("/a").await;
    let start = Instant::now();
    let mut slow = server.send("GET /a HTTP/1.1\r\nHost: loc");
    slow.end().await.expect_err("cut");
    let took = start.elapsed();
    assert!(took >= 10 * SECOND && took < 11 * SECOND, "{took:?}");
    // Byte by byte does not help.
    let mut drip = server.connect();
    let start = Instant::now();
    while drip.read(1000).is_ok() {
        drip.write(b"G");
        tokio::time::sleep(SECOND / 4).await;
    }
    assert!(start.elapsed() < 11 * SECOND);
    assert_eq!(hub.stats().closed_for(CloseReason::HeadTimeout), 2);
    // Too many: the oldest goes.
    let mut oldest = server.connect();
    let others = [server.connect(), server.connect(), server.connect()];
    oldest.end().await.expect_err("cut");
    assert_eq!(hub.stats().closed_for(CloseReason::Evicted), 1);
    drop(others);
    settle().await;
    // Too much of them: refused.
    let large = format!(
        "GET /a HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(900)
    );
    let _one = server.send(&large);
    settle().await;
    let answer = server.ask(&large).await;
    assert_eq!(status(&answer), 503);
    hub.publish("/a", Event::new("1")).expect("published");
    stream.until("data: 1\n\n").await;
    assert_eq!(data(&stream.text()), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn w9_6_a_head_over_its_bound_is_refused() {
    let hub = builder()
        .head_bytes(400)
        .head_fields(3)
        .build()
        .expect("a hub");
    let server = open(&hub);
    let long = format!("/{}", "a".repeat(500));
    assert_eq!(status(&server.ask(&get(&long, "")).await), 414);
    let field = format!("X: {}\r\n", "x".repeat(500));
    assert_eq!(status(&server.ask(&get("/a", &field)).await), 431);
    assert_eq!(
        status(&server.ask(&get("/a", "A: 1\r\nB: 2\r\nC: 3\r\n")).await),
        431
    );
    let _stream = server.open_with("/a", "A: 1\r\nB: 2\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn w9_9_forged_and_huge_ids_are_unknown_and_replay_at_most_the_log() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").history(2)));
    let _first = server.open("/a").await;
    for number in 0..5 {
        hub.publish("a", Event::new(&number.to_string()))
            .expect("published");
    }
    let huge = "9".repeat(4000);
    for id in [
        "18446744073709551616-1",
        "a-b\u{7f}",
        huge.as_str(),
        "1-1, 2-2",
    ] {
        let mut client = server.send(&get("/a", &format!("Last-Event-ID: {id}\r\n")));
        if id.contains('\u{7f}') {
            client.end().await.expect("in order");
            assert_eq!(status(&client.text()), 400, "a control byte in the head");
            continue;
        }
        let text = client.until("data: 4\n").await;
        let events = events(&text);
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].0, "sse-gap");
        assert!(events[0].1.contains("unknown"), "{text}");
        assert!(!text.contains(id), "never echoed");
    }
}

#[tokio::test(start_paused = true)]
async fn w9_10_tricks_with_names_are_400() {
    let hub = hub();
    let server = open(&hub);
    for target in [
        "/a%2Fb",
        "/a/../b",
        "/a/%2e%2E/b",
        "/a%3Fb",
        "/a\\b",
        "/a%5Cb",
        "/a%00b",
        "/%FF",
    ] {
        assert_eq!(status(&server.ask(&get(target, "")).await), 400, "{target}");
    }
    assert_eq!(hub.stats().state.topics, 0);
}

#[tokio::test(start_paused = true)]
async fn w9_12_a_topic_cannot_forge_through_its_gap_notice() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/{*any}", Route::from_url().history(1)));
    let mut client = server
        .open_with("/%22%2C%5B%7D%C3%A9", "Last-Event-ID: ?\r\n")
        .await;
    let text = client.until("event: sse-gap\n").await;
    let text = if text.ends_with("\n\n") {
        text
    } else {
        client.until("}\n").await
    };
    let gap = &events(&text)[0].1;
    let json: serde_json::Value = serde_json::from_str(gap).expect("JSON");
    assert_eq!(json["topic"], "/\",[}é");
}

#[tokio::test(start_paused = true)]
async fn w9_13_one_request_per_connection_and_strict_lines() {
    let hub = hub();
    let server = open(&hub);
    for head in [
        "GET /a HTTP/1.1\nHost: localhost\n\n",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nX : 1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: localhost\r\nX: 1\r\n folded\r\n\r\n",
        "GET /a HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(status(&server.ask(head).await), 400, "{head:?}");
    }
    let two = post("/a", "1") + &post("/a", "2");
    let answer = server.ask(&two).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
    assert_eq!(
        hub.stats().answered.get(&202),
        Some(&1),
        "the second is not interpreted"
    );
}

#[tokio::test(start_paused = true)]
async fn w9_14_nothing_is_stored_or_sniffed() {
    let hub = hub();
    let server = open(&hub);
    let mut stream = server.open("/a").await;
    let answers = [
        stream.until("\r\n\r\n").await,
        server.post("/a", "x").await,
        server
            .ask("PUT /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await,
        server.ask("nonsense\r\n\r\n").await,
    ];
    for answer in answers {
        assert!(answer.contains("\r\nCache-Control: no-store"), "{answer}");
        assert!(
            answer.contains("\r\nX-Content-Type-Options: nosniff\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn w9_16_streams_and_streams_of_one_key_are_bounded() {
    let hub = builder()
        .subscribers(3)
        .streams_per_key(Some(2))
        .build()
        .expect("a hub");
    let route = Route::topic("a").authorize(|asked| async move {
        Ok(sse_state_hub::Grant::new().key(asked.query("user").unwrap_or_default()))
    });
    let server = Server::start(App::new(&hub).get("/a", route));
    let mut streams = vec![
        server.open("/a?user=1").await,
        server.open("/a?user=1").await,
    ];
    assert_eq!(status(&server.ask(&get("/a?user=1", "")).await), 503);
    streams.push(server.open("/a?user=2").await);
    assert_eq!(status(&server.ask(&get("/a?user=3", "")).await), 503);
    hub.publish("a", Event::new("1")).expect("published");
    for stream in &mut streams {
        stream.until("data: 1\n\n").await;
    }
}
