//! What a driver owes (DESIGN §7): accepting, blocking, waiting, ending, hooks, the journal.

mod support;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state_hub::sse_state::journal::replay;
use sse_state_hub::{
    Answer, App, CloseReason, Epoch, Event, Fault, Mistake, OriginRules, Polling, Route, Start,
    StreamEnd,
};
use support::{Server, body, broken, builder, data, eventually, get, hub, settle, status, within};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn accept_errors_do_not_end_the_server() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    // Of one connection: the next is accepted at once.
    let start = Instant::now();
    server
        .connector
        .fail(io::ErrorKind::ConnectionAborted.into());
    let _first = server.open("/a").await;
    assert!(start.elapsed() < Duration::from_millis(10));
    // Out of descriptors: a pause, and on.
    for _ in 0..3 {
        server.connector.fail(io::Error::from_raw_os_error(24));
    }
    let _second = server.open("/a").await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(150) && took < SECOND,
        "{took:?}"
    );
    assert_eq!(hub.stats().accept_errors, 4);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_clients_that_have_sent_their_heads_evicts_none_of_them() {
    let hub = builder().openings(20).build().expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    // All of them are there before the first is accepted.
    let mut clients: Vec<_> = (0..500).map(|_| server.send(&get("/a", ""))).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.until(":\n\n").await;
    }
    let took = start.elapsed();
    assert!(took < 10 * SECOND, "{took:?}");
    assert_eq!(hub.stats().closed_for(CloseReason::Evicted), 0);
    // Nor do those who send nothing keep one out who comes in a crowd of them.
    let silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let mut client = server.send(&get("/a", ""));
    let more: Vec<_> = (0..100).map(|_| server.connect()).collect();
    client.until(":\n\n").await;
    assert_eq!(hub.stats().state.streams, 501);
    drop((silent, more));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_written_in_whatever_pieces_its_socket_takes() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").log(1000)));
    let mut client = server.open("/a").await;
    let mut expected = Vec::new();
    for number in 0..200 {
        let text = format!("{number} {}", "x".repeat(number * 7 % 90));
        hub.publish("a", Event::new(&text)).expect("published");
        expected.push(text);
        if number == 20 {
            client.set_window(5);
        }
    }
    for _ in 0..100_000 {
        if client.text().ends_with(&format!("{}\n\n", expected[199])) {
            break;
        }
        client.read(3).expect("it is open");
        tokio::task::yield_now().await;
    }
    assert_eq!(data(&client.text()), expected);
    assert_eq!(hub.stats().state.missed, 0);
}

#[tokio::test(start_paused = true)]
async fn publish_wait_loses_nothing_for_who_keeps_reading_and_a_stalled_one_holds_up_nobody() {
    let hub = builder()
        .write_timeout(3600 * SECOND)
        .build()
        .expect("a hub");
    let app = App::new(&hub).get("/a", Route::topic("a").log(4));
    let server = Server::start(app);
    let mut reader = server.open("/a").await;
    reader.set_window(60);
    let publishers: Vec<_> = ["x", "y", "z"]
        .map(|name| {
            let hub = hub.clone();
            tokio::spawn(async move {
                for number in 0..200 {
                    let text = format!("{name}{number}");
                    let published = hub.publish_wait("a", Event::new(&text)).await;
                    assert_eq!(published.expect("published").streams, 1);
                }
            })
        })
        .into();
    reader.until_all("data: ", 600).await;
    for publisher in publishers {
        within(publisher).await.expect("it went through");
    }
    let got = data(&reader.text());
    for name in ["x", "y", "z"] {
        let of_one: Vec<_> = got.iter().filter(|text| text.starts_with(name)).collect();
        let expected: Vec<_> = (0..200).map(|number| format!("{name}{number}")).collect();
        assert_eq!(of_one, expected.iter().collect::<Vec<_>>());
    }
    assert_eq!(hub.stats().state.missed, 0);
    assert!(hub.stats().state.waited > 0);
    // One that takes nothing is waited for a second.
    reader.set_window(0);
    let start = Instant::now();
    for number in 0..20 {
        let text = number.to_string();
        within(hub.publish_wait("a", Event::new(&text)))
            .await
            .expect("published");
    }
    let took = start.elapsed();
    assert!(took >= SECOND / 2 && took < 2 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn publish_wait_that_is_dropped_takes_no_wake_up_from_the_others() {
    let hub = builder()
        .write_timeout(3600 * SECOND)
        .build()
        .expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").log(1)));
    let mut reader = server.open("/a").await;
    reader.set_window(0);
    hub.publish("a", Event::new("first")).expect("published");
    settle().await;
    let mut dropped = Box::pin(hub.publish_wait("a", Event::new("dropped")));
    assert!(futures_poll(dropped.as_mut()).await.is_none(), "no room");
    let waiting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish_wait("a", Event::new("second")).await }
    });
    settle().await;
    drop(dropped);
    reader.set_window(1 << 20);
    within(waiting).await.expect("it ran").expect("published");
    reader.until("data: second\n\n").await;
    assert_eq!(data(&reader.text()), ["first", "second"]);
    // To nobody it does not wait, and at the end it is refused.
    drop(reader);
    eventually("gone", || hub.stats().state.streams == 0).await;
    let nobody = hub.publish_wait("a", Event::new("x")).await.expect("done");
    assert_eq!(nobody.streams, 0);
}

#[tokio::test(start_paused = true)]
async fn publish_wait_that_is_dropped_leaves_nothing_behind() {
    struct Held;
    impl std::task::Wake for Held {
        fn wake(self: Arc<Self>) {}
    }
    let hub = builder()
        .write_timeout(3600 * SECOND)
        .build()
        .expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").log(1)));
    let reader = server.open("/a").await;
    reader.set_window(0);
    hub.publish("a", Event::new("first")).expect("published");
    settle().await;
    let held = Arc::new(Held);
    let waker = std::task::Waker::from(Arc::clone(&held));
    let mut cx = std::task::Context::from_waker(&waker);
    for _ in 0..100 {
        let mut waiting = Box::pin(hub.publish_wait("a", Event::new("x")));
        for _ in 0..3 {
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
        }
    }
    assert_eq!(
        Arc::strong_count(&held),
        2,
        "this one, and that of the waker"
    );
}

/// Polls a future once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn publish_wait_ends_with_the_hub_and_with_the_last_reader() {
    let hub = builder()
        .write_timeout(3600 * SECOND)
        .build()
        .expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").log(1)));
    for shuts_down in [false, true] {
        let reader = server.open("/a").await;
        reader.set_window(0);
        settle().await;
        hub.publish("a", Event::new("first")).expect("published");
        settle().await;
        let waiting = tokio::spawn({
            let hub = hub.clone();
            async move { hub.publish_wait("a", Event::new("second")).await }
        });
        settle().await;
        let start = Instant::now();
        if shuts_down {
            drop(hub.shutdown(None));
            assert!(within(waiting).await.expect("it ran").is_err());
        } else {
            drop(reader);
            assert_eq!(
                within(waiting)
                    .await
                    .expect("it ran")
                    .expect("done")
                    .streams,
                0
            );
        }
        assert!(start.elapsed() < SECOND / 2, "it was woken, not timed out");
        eventually("gone", || hub.stats().state.streams == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn w2_bytes_after_the_head_are_dropped_and_past_64_kib_it_is_cut() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let mut client = server.send(&(get("/a", "") + "GET /b HTTP/1.1\r\n\r\n"));
    client.until(":\n\n").await;
    client.write(&vec![b'x'; (64 << 10) - 19]);
    settle().await;
    hub.publish("a", Event::new("still here"))
        .expect("published");
    client.until("data: still here\n\n").await;
    assert_eq!(client.text().matches("HTTP/1.1").count(), 1, "one answer");
    client.write(b"x");
    client.end().await.expect_err("cut");
    assert_eq!(hub.stats().state.streams, 0);
}

#[tokio::test(start_paused = true)]
async fn w5_w8_3_the_kernel_waits_five_seconds_longer_than_the_machine() {
    for (timeout, expected) in [(30, 35), (7, 12)] {
        let hub = builder()
            .write_timeout(timeout * SECOND)
            .build()
            .expect("a hub");
        let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
        let client = server.open("/a").await;
        assert_eq!(client.options(), Some(expected * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_are_told_of_streams_outside_of_the_lock() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (opened, closed) = (Arc::clone(&told), Arc::clone(&told));
    let handle: Arc<Mutex<Option<sse_state_tokio::Hub>>> = Arc::default();
    let inside = Arc::clone(&handle);
    let hub = builder()
        .on_open(move |stream| {
            // It may use the hub.
            let streams = inside
                .lock()
                .unwrap()
                .as_ref()
                .map(|hub| hub.stats().state.streams);
            assert!(streams.is_some_and(|streams| streams > 0));
            opened.lock().unwrap().push((stream.id, None));
            assert_eq!(stream.topics[0].as_str(), "a");
        })
        .on_close(move |stream, end| {
            closed.lock().unwrap().push((stream.id, Some(end)));
            broken(); // its panic is its own affair
        })
        .build()
        .expect("a hub");
    *handle.lock().unwrap() = Some(hub.clone());
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/short", Route::topic("a").lifetime(SECOND));
    let server = Server::start(app);
    let goes = server.open("/a").await;
    settle().await;
    drop(goes);
    let mut ends = server.open("/short").await;
    ends.end().await.expect("in order");
    drop(ends);
    eventually("told", || told.lock().unwrap().len() == 4).await;
    let told = told.lock().unwrap();
    let ends: Vec<_> = told.iter().map(|(_, end)| *end).collect();
    let lifetime = StreamEnd::Closed(CloseReason::Lifetime);
    assert_eq!(ends, [None, Some(StreamEnd::Gone), None, Some(lifetime)]);
    assert_ne!(told[0].0, told[2].0, "ids are never used twice");
    *handle.lock().unwrap() = None;
}

/// Bytes that a journal writes.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_run_replays_to_the_same_digests() {
    let sink = Sink::default();
    let hub = builder()
        .record_to(sink.clone())
        .workers(3)
        .build()
        .expect("a hub");
    let polling = Polling::value(SECOND, || async { "value" });
    let app = App::new(&hub)
        .get("/a", Route::topic("a").history(5))
        .get("/load", Route::topic("load").source(polling))
        .post("/a", Route::publish("a").open_to_anyone());
    let server = Server::start(app);
    let mut clients = Vec::new();
    for number in 0..30 {
        let client = server
            .open(if number % 3 == 0 { "/load" } else { "/a" })
            .await;
        client.set_window(if number % 4 == 0 { 40 } else { 1 << 20 });
        clients.push(client);
        server.post("/a", &number.to_string()).await;
        if number % 5 == 4 {
            clients.remove(0);
            tokio::time::sleep(SECOND).await;
        }
    }
    hub.shutdown(SECOND).await;
    let digests = hub.journal_digests().expect("it records");
    let journal = String::from_utf8(sink.0.lock().unwrap().clone()).expect("text");
    let replayed = replay(&journal).expect("it replays");
    assert_eq!(
        (replayed.actions, replayed.state),
        (digests.actions, digests.state)
    );
    assert_eq!(support::hub().journal_digests(), None);
}

#[tokio::test(start_paused = true)]
async fn fixed_and_computed_answers() {
    let hub = hub();
    let handle = hub.clone();
    let app = App::new(&hub)
        .get(
            "/",
            Route::fixed("text/html; charset=utf-8", "<p>hello")
                .header("Content-Security-Policy", "default-src 'self'"),
        )
        .get(
            "/stats",
            Route::respond(move |_| {
                Answer::fixed("application/json", handle.stats().to_json()).expect("an answer")
            }),
        )
        .get("/breaks", Route::respond(|_| broken()));
    let server = Server::start(app);
    let page = server.ask(&get("/", "")).await;
    assert_eq!((status(&page), body(&page)), (200, "<p>hello"));
    assert!(
        page.contains("\r\nContent-Security-Policy: default-src 'self'\r\n"),
        "{page}"
    );
    let stats: serde_json::Value =
        serde_json::from_str(body(&server.ask(&get("/stats", "")).await)).expect("JSON");
    assert_eq!(
        (&stats["streams"], &stats["answered"]["200"]),
        (&0.into(), &1.into())
    );
    assert_eq!(status(&server.ask(&get("/breaks", "")).await), 500);
    let _again = server.ask(&get("/", "")).await;
}

#[tokio::test]
async fn what_does_not_fit_together_does_not_build_and_is_told_all_at_once() {
    let hub = hub();
    let route = || Route::topic("a");
    let app = App::new(&hub)
        .get("/{a}/{b", route())
        .get("/twice", route())
        .get("/twice", route())
        .get("/x/{a}", route())
        .get("/x/{b}", route())
        .get("/none", Route::topics(Vec::<String>::new()))
        .get("/same", Route::topics(["a", "a"]))
        .get("/options", Route::topics(["a", "b"]).history(3))
        .get("/ids", Route::topic("ids").own_ids().history(3))
        .get("/log", Route::topic("log").log(0))
        .get("/start", route().start(Start::After(Default::default())))
        .get("/query", Route::from_url().query(["lastEventId"]))
        .get("/noquery", route().query(["a"]))
        .get(
            "/page",
            Route::fixed("text/html", "").heartbeat(sse_state_hub::Heartbeat::Off),
        )
        .get(
            "/field",
            Route::fixed("text/html", "").header("Date", "now"),
        )
        .get("/get", Route::publish("a").open_to_anyone())
        .post("/post", route());
    let error = app.check().expect_err("all of it");
    let mut patterns: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.pattern.as_str())
        .collect();
    patterns.dedup();
    assert_eq!(
        patterns,
        [
            "/{a}/{b", "/twice", "/x/{b}", "/none", "/same", "/options", "/ids", "/log", "/start",
            "/query", "/noquery", "/page", "/field", "/get", "/post"
        ]
    );
    let unused = Fault::Route(Mistake::Unused("post"));
    assert!(
        error
            .problems()
            .iter()
            .any(|problem| problem.fault == unused)
    );
    assert!(error.to_string().contains("\"/twice\": "), "{error}");
    let credentials = OriginRules::any().with_credentials();
    assert!(credentials.is_err(), "w3_11");
}

#[tokio::test]
async fn every_hub_has_an_epoch_of_its_own_from_the_system() {
    let one = format!("{:?}", builder());
    let other = format!("{:?}", builder());
    for field in ["epoch: ", " seed: ", " hash_key: "] {
        let value = |text: &str| {
            let rest = text.split(field).nth(1).expect("it is shown");
            rest.split([',', ')']).next().map(str::to_owned)
        };
        assert_ne!(value(&one), value(&other), "{field}");
    }
    let fixed = sse_state_hub::Config::new(Epoch(7));
    assert!(builder().config(fixed).build().is_ok());
    let zero = builder().subscribers(0).build();
    assert!(matches!(zero, Err(sse_state_tokio::BuildError::Config(_))));
}
