//! docs/wire.md §1, §2, §7 and §9 where a hub with routes and hooks is needed to see it.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state_hub::{
    App, CloseReason, Event, Grant, OriginRules, Publisher, Refuse, Route, Source,
};
use support::{Server, body, builder, get, hub, post, settle, status};

#[tokio::test(start_paused = true)]
async fn w1_11_hook_source_publisher_and_streams_see_one_name() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let see = |who: &'static str| {
        let seen = Arc::clone(&seen);
        move |name: &str| seen.lock().unwrap().push(format!("{who}: {name}"))
    };
    let (open, hook, fed) = (see("stream"), see("hook"), see("source"));
    let hub = builder()
        .on_open(move |info| info.topics.iter().for_each(|name| open(name.as_str())))
        .build()
        .expect("a hub");
    let source = Source::new(move |topic, publisher: Publisher| {
        assert_eq!(&topic, publisher.topic());
        fed(topic.as_str());
        std::future::pending()
    });
    let route = Route::from_url()
        .query(["b", "a"])
        .source(source)
        .authorize(move |asked| {
            asked.topics().iter().for_each(|name| hook(name.as_str()));
            async { Ok(Grant::new()) }
        });
    let server = Server::start(App::new(&hub).get("/{*any}", route));
    let target = "/%61%20b?a=%31&utm=1&lastEventId=9&b=2";
    let _client = server.open(target).await;
    settle().await;
    let name = "/a b?b=2&a=%31";
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    let expected = ["hook", "source", "stream"].map(|who| format!("{who}: {name}"));
    assert_eq!(seen, expected, "P8");
    let rule = sse_state_hub::sse_state::http::QueryRule::only(["b", "a"]).unwrap();
    let named = sse_state_hub::sse_state::http::topic(target, &rule).unwrap();
    assert_eq!(hub.topic(&named).map(|interest| interest.streams), Some(1));
}

#[tokio::test(start_paused = true)]
async fn w2_18_patterns_match_the_decoded_path_and_what_has_no_route_is_404() {
    let hub = hub();
    let page = |text: &'static str| Route::fixed("text/plain", text);
    let app = App::new(&hub)
        .get("/a/{x}", page("one segment"))
        .get("/rest/{*rest}", page("the rest"))
        .get("/ä", page("decoded"));
    let server = Server::start(app);
    for (target, expected) in [
        ("/a/b", "one segment"),
        ("/%61/b?c=/d/e", "one segment"),
        ("/rest/b/c/d", "the rest"),
        ("/%C3%A4", "decoded"),
    ] {
        let answer = server.ask(&get(target, "")).await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (200, expected),
            "{target}"
        );
    }
    for target in [
        "/", "/a", "/a/", "/a/b/c", "/a/b/", "/rest", "/A/b", "//a/b",
    ] {
        let answer = server.ask(&get(target, "")).await;
        assert_eq!(
            (status(&answer), body(&answer)),
            (404, "not found\n"),
            "{target}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn w2_21_options_asks_no_hook_and_makes_nothing() {
    let hub = hub();
    let route = Route::topic_from(|_| Some("a".to_owned()))
        .authorize(|_| async { panic!("asked for OPTIONS") });
    let publish = Route::publish("a").authorize(|_| async { panic!("asked for OPTIONS") });
    let app = App::new(&hub).get("/a", route).post("/a", publish);
    let server = Server::start(app);
    for (target, expected) in [("/a", 204), ("*", 204), ("/b", 404)] {
        let request = get(target, "").replacen("GET", "OPTIONS", 1);
        let answer = server.ask(&request).await;
        assert_eq!(status(&answer), expected, "{target}: {answer}");
        assert_eq!(
            answer.contains("\r\nAllow: GET, HEAD, POST, OPTIONS\r\n"),
            expected == 204
        );
    }
    assert_eq!(hub.stats().state.topics, 0, "P6");
}

#[tokio::test(start_paused = true)]
async fn w2_29_a_foreign_page_is_refused_before_the_hook_is_asked() {
    let hub = hub();
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let route = Route::from_url().authorize(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Ok(Grant::new()) }
    });
    let server = Server::start(App::new(&hub).get("/{*any}", route));
    for method in ["GET", "HEAD"] {
        let foreign = get("/a", "Origin: https://evil.example\r\n");
        let answer = answered(&server, &foreign.replacen("GET", method, 1)).await;
        assert_eq!(status(&answer), 403, "{method}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(
        (hub.stats().state.topics, hub.stats().state.subscribed),
        (0, 0),
        "P6"
    );
    let _own = server.open_with("/a", "Origin: http://localhost\r\n").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn w2_36_one_list_says_who_may_ask_and_who_may_read() {
    let rules = OriginRules::list(["https://app.example"]).unwrap();
    let hub = builder().cors(rules).build().expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let reads =
        |text: &str| text.contains("\r\nAccess-Control-Allow-Origin: https://app.example\r\n");
    for (origin, may) in [
        ("https://app.example", true),
        ("https://other.example", false),
    ] {
        let lines = format!("Sec-Fetch-Site: cross-site\r\nOrigin: {origin}\r\n");
        let text = if may {
            server.open_with("/a", &lines).await.text()
        } else {
            let answer = answered(&server, &get("/a", &lines)).await;
            assert_eq!(status(&answer), 403, "{origin}");
            answer
        };
        assert_eq!(reads(&text), may, "{origin}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn w7_9_unknown_and_forbidden_topics_look_alike() {
    let hub = hub();
    let route = Route::from_url().history(4).authorize(|asked| async move {
        let own = asked
            .topics()
            .iter()
            .all(|topic| topic.as_str().starts_with("/own/"));
        if own {
            Ok(Grant::new())
        } else {
            Err(Refuse::new(403))
        }
    });
    let app = App::new(&hub)
        .get("/{*any}", route)
        .get("/theirs", Route::topic("/other/1").history(4));
    let server = Server::start(app);
    let _theirs = server.open("/theirs").await;
    hub.publish("/other/1", Event::new("secret"))
        .expect("published");
    let mut answers = Vec::new();
    // One that stands and has an event, one that never was, one of another spelling.
    for target in ["/other/1", "/never", "/own%2E/1"] {
        let answer = answered(&server, &get(target, "Last-Event-ID: 1-1\r\n")).await;
        answers.push(
            answer
                .lines()
                .filter(|line| !line.starts_with("Date: "))
                .collect::<String>(),
        );
    }
    assert_eq!(status(&answers[0]), 403);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(hub.stats().state.topics, 1);
}

#[tokio::test(start_paused = true)]
async fn w9_7_slow_bodies_are_bounded_and_touch_no_stream() {
    let hub = builder().bodies_bytes(100).build().expect("a hub");
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .post("/a", Route::publish("a").open_to_anyone());
    let server = Server::start(app);
    let mut stream = server.open("/a").await;
    let whole = post("/a", &"x".repeat(60));
    let part = &whole[..whole.len() - 50];
    let mut slow = server.send(part);
    settle().await;
    // 60 of 100 bytes are promised: 60 more are not, 40 are.
    assert_eq!(status(&server.ask(part).await), 503);
    let small = post("/a", &"y".repeat(40));
    let mut second = server.send(&small[..small.len() - 1]);
    settle().await;
    assert_eq!(status(&server.ask(part).await), 503);
    second.write(b"y");
    second.end().await.expect("an answer");
    assert_eq!(status(&second.text()), 201);
    slow.end().await.expect_err("cut");
    assert_eq!(hub.stats().closed_for(CloseReason::BodyTimeout), 1);
    // Its room is free again, and the stream was never touched.
    assert_eq!(status(&server.ask(&whole).await), 201);
    stream.until(&format!("data: {}\n\n", "x".repeat(60))).await;
}

/// The answer to a request that must get one: a stream would never end.
async fn answered(server: &Server, request: &str) -> String {
    let answer = tokio::time::timeout(Duration::from_secs(1), server.ask(request));
    answer.await.expect("an answer, and no stream")
}
