//! What the Go package did with polling, row by row.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state_hub::{App, Event, PollError, Polling, Route, Source, StopReason};
use support::told::{Told, counting};
use support::{Server, broken, builder, data, eventually, hub, settle};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn go_polling_comes_at_once_and_then_at_its_interval_while_somebody_listens() {
    let hub = hub();
    let (polling, polls, stops) = counting(5 * SECOND);
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(polls.load(Ordering::SeqCst), 0, "nobody listens");
    let start = Instant::now();
    let mut client = server.open("/a").await;
    client.until("data: 1\n\n").await;
    assert!(start.elapsed() < Duration::from_millis(50), "at once");
    for number in 2..5_u32 {
        client.until(&format!("data: {number}\n\n")).await;
        let due = 5 * SECOND * (number - 1);
        let took = start.elapsed();
        assert!(
            took >= due && took < due + Duration::from_millis(50),
            "{number}: {took:?}"
        );
    }
    drop(client);
    eventually("stopped", || stops.all() == [StopReason::NoSubscribers]).await;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(polls.load(Ordering::SeqCst), 4, "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn go_polling_interval_zero_is_five_seconds() {
    let hub = hub();
    let (polling, polls, _) = counting(Duration::ZERO);
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let _client = server.open("/a").await;
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(polls.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn go_polling_drops_the_poll_in_flight_when_it_stops() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let hub = hub();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&dropped);
    let polling = Polling::value(SECOND, move || {
        let flag = Flag(Arc::clone(&flag));
        async move {
            std::future::pending::<()>().await;
            drop(flag);
            0
        }
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let client = server.open("/a").await;
    settle().await;
    assert!(!dropped.load(Ordering::SeqCst));
    drop(client);
    eventually("dropped", || dropped.load(Ordering::SeqCst)).await;
}

#[tokio::test(start_paused = true)]
async fn go_polling_past_its_timeout_is_dropped_and_the_next_replaces_it() {
    let hub = builder().poll_timeout(3 * SECOND).build().expect("a hub");
    let running = Arc::new(AtomicU32::new(0));
    let polls = AtomicU32::new(0);
    struct Running(Arc<AtomicU32>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let polling = Polling::value(SECOND, move || {
        let number = polls.fetch_add(1, Ordering::SeqCst) + 1;
        running.fetch_add(1, Ordering::SeqCst);
        let guard = Running(Arc::clone(&running));
        async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            assert_eq!(guard.0.load(Ordering::SeqCst), 1, "the first was dropped");
            number
        }
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let start = Instant::now();
    let mut client = server.open("/a").await;
    client.until("data: 2\n\n").await;
    let took = start.elapsed();
    assert!(
        took >= 3 * SECOND && took <= 4 * SECOND + Duration::from_millis(50),
        "{took:?}"
    );
    assert_eq!(hub.stats().state.polls_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn go_polling_panic_is_a_failed_poll() {
    let hub = hub();
    let polls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&polls);
    let stops = Told::default();
    let told = stops.clone();
    let polling = Polling::value(SECOND, move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        if number == 1 {
            broken(); // in the function
        }
        async move {
            if number == 2 {
                broken(); // in the future
            }
            number
        }
    })
    .on_stop(move |reason| told.tell(reason));
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let mut client = server.open("/a").await;
    let text = client.until("data: 3\n\n").await;
    let error = r#"{"apiVersion":"v1","message":"the poll panicked","statusCode":500}"#;
    assert_eq!(
        data(&text),
        [error, "3"],
        "the second error is the same event"
    );
    assert_eq!(hub.stats().polls_panicked, 2);
    assert_eq!(stops.all(), [], "it goes on");
}

#[tokio::test]
async fn go_polling_blocking_runs_on_a_thread_of_its_own() {
    let hub = hub();
    let here = std::thread::current().id();
    let polling = Polling::every_blocking(SECOND, move || -> std::io::Result<bool> {
        Ok(std::thread::current().id() == here)
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let mut client = server.open("/a").await;
    assert_eq!(data(&client.until("data: ").await), ["false"]);
}

#[tokio::test]
async fn go_polling_blocking_never_runs_twice_at_once() {
    let hub = builder()
        .poll_timeout(Duration::from_millis(20))
        .build()
        .expect("a hub");
    let running = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let (door, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let every = Duration::from_millis(10);
    let polling = Polling::every_blocking(every, move || -> Result<u32, PollError> {
        let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(at_once, Ordering::SeqCst);
        let _ = wait.lock().unwrap().recv();
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(7)
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let mut client = server.open("/a").await;
    client
        .until(r#""message":"the poll before is not finished""#)
        .await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
    drop(door);
    client.until("data: 7\n\n").await;
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn go_stop_condition_stops_after_publishing_also_when_deduped_never_after_an_error() {
    let hub = hub();
    let values = ["go", "stop", "fail", "stop"];
    for (name, skip, expected) in [
        ("a", 0, &["go", "stop"][..]),
        ("b", 2, &["fail", "stop"][..]),
    ] {
        let polls = Arc::new(AtomicU32::new(skip));
        let stops = Told::default();
        let told = stops.clone();
        let counter = Arc::clone(&polls);
        let polling = Polling::every(SECOND, move || {
            let value = values[counter.fetch_add(1, Ordering::SeqCst) as usize % 4];
            async move {
                match value {
                    "fail" => Err("fail"),
                    value => Ok(value),
                }
            }
        })
        .stop_when(|value| *value == "stop" || *value == "fail")
        .on_stop(move |reason| told.tell(reason));
        let app = App::new(&hub).get("/", Route::topic(name).source(polling));
        let server = Server::start(app);
        let mut client = server.open("/").await;
        let text = client.until("data: \"stop\"\n\n").await;
        eventually("stopped", || stops.all() == [StopReason::Condition]).await;
        let seen = data(&text);
        assert_eq!(seen.len(), 2, "{seen:?}");
        for (seen, expected) in seen.iter().zip(expected) {
            assert!(seen.contains(expected), "{seen} {expected}");
        }
        tokio::time::sleep(10 * SECOND).await;
        assert_eq!(polls.load(Ordering::SeqCst), skip + 2);
    }
    // The same value again, which is not sent again, stops it, too.
    let polls = Arc::new(AtomicU32::new(0));
    let stops = Told::default();
    let (told, counter) = (stops.clone(), Arc::clone(&polls));
    let polling = Polling::value(SECOND, move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { "same" }
    })
    .stop_when({
        let polls = Arc::clone(&polls);
        move |_| polls.load(Ordering::SeqCst) == 2
    })
    .on_stop(move |reason| told.tell(reason));
    let server = Server::start(App::new(&hub).get("/", Route::topic("c").source(polling)));
    let mut client = server.open("/").await;
    client.until("data: \"same\"\n\n").await;
    eventually("stopped", || stops.all() == [StopReason::Condition]).await;
    assert_eq!(data(&client.text()), ["\"same\""]);
    assert_eq!(hub.stats().state.unchanged, 1);
}

#[tokio::test(start_paused = true)]
async fn go_stop_callback_is_told_the_topic_that_a_request_named() {
    let hub = hub();
    let stops = Told::default();
    let (of_poll, of_source) = (stops.clone(), stops.clone());
    let polling = Polling::value(SECOND, || async { 1 })
        .on_stop_topic(move |topic, reason| of_poll.tell((topic.to_string(), reason)));
    let source = Source::new(|_, _| std::future::pending())
        .on_stop_topic(move |topic, reason| of_source.tell((topic.to_string(), reason)));
    let app = App::new(&hub)
        .get("/poll/{id}", Route::from_url().source(polling))
        .get("/source/{id}", Route::from_url().source(source));
    let server = Server::start(app);
    let mut expected = Vec::new();
    for target in ["/poll/1", "/poll/2", "/source/1"] {
        drop(server.open(target).await);
        expected.push((target.to_owned(), StopReason::NoSubscribers));
        eventually("stopped", || stops.all() == expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn go_stop_callback_comes_once_per_start_whatever_the_reason_and_may_call_the_hub() {
    let hub = hub();
    let stops = Told::default();
    let (told, inside) = (stops.clone(), hub.clone());
    let polling = Polling::value(SECOND, || async { 1 }).on_stop(move |reason| {
        told.tell((reason, inside.topic("a").is_some()));
        let _ = inside.publish("b", Event::new("a has stopped"));
    });
    let app = App::new(&hub)
        .get("/a", Route::topic("a").source(polling))
        .get("/b", Route::topic("b"));
    let server = Server::start(app);
    let mut b = server.open("/b").await;
    for _ in 0..3 {
        let mut a = server.open("/a").await;
        a.until("data: 1\n\n").await;
        drop(a);
        eventually("gone", || hub.stats().state.streams == 1).await;
    }
    b.until_count("data: a has stopped\n\n", 3).await;
    assert_eq!(stops.all(), [(StopReason::NoSubscribers, true); 3]);
    let mut a = server.open("/a").await;
    a.until("data: 1\n\n").await;
    hub.shutdown(SECOND).await;
    assert_eq!(stops.all()[3].0, StopReason::Shutdown);
    assert_eq!(stops.all().len(), 4);
    assert_eq!(hub.stats().state.sources_started, 4);
}

#[tokio::test(start_paused = true)]
async fn go_custom_api_version_and_the_error_event_byte_for_byte() {
    let hub = hub();
    let failing = |error: fn() -> PollError| {
        Polling::every(
            SECOND,
            move || async move { Err::<u32, PollError>(error()) },
        )
    };
    let plain = failing(|| PollError::from("no such \"sensor\""));
    let carries = failing(|| PollError::new(503, "it sleeps")).api_version("v3");
    let empty = failing(|| PollError::new(500, ""));
    let io = Polling::every(SECOND, || async {
        Err::<u32, _>(std::io::Error::other("from io"))
    });
    let app = App::new(&hub)
        .get("/plain", Route::topic("plain").source(plain))
        .get("/carries", Route::topic("carries").source(carries))
        .get("/empty", Route::topic("empty").source(empty))
        .get("/io", Route::topic("io").source(io));
    let server = Server::start(app);
    for (target, event) in [
        (
            "/plain",
            r#"data: {"apiVersion":"v1","message":"no such \"sensor\"","statusCode":500}"#,
        ),
        (
            "/carries",
            r#"data: {"apiVersion":"v3","message":"it sleeps","statusCode":503}"#,
        ),
        ("/empty", r#"data: {"apiVersion":"v1","statusCode":500}"#),
        (
            "/io",
            r#"data: {"apiVersion":"v1","message":"from io","statusCode":500}"#,
        ),
    ] {
        let mut client = server.open(target).await;
        client.until(&format!("\n\n{event}\n\n")).await;
        tokio::time::sleep(5 * SECOND).await;
        client.read(usize::MAX).expect("it is open");
        assert_eq!(data(&client.text()).len(), 1, "through dedupe");
    }
}

#[tokio::test(start_paused = true)]
async fn go_error_event_goes_through_dedupe_a_b_a_delivers_three() {
    let hub = hub();
    let polls = Arc::new(AtomicU32::new(0));
    let polling = Polling::every(SECOND, move || {
        let number = polls.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 | 1 | 4.. => Ok("A"),
                _ => Err("B"),
            }
        }
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let mut client = server.open("/a").await;
    client.until_count("data: \"A\"\n\n", 2).await;
    let error = r#"{"apiVersion":"v1","message":"B","statusCode":500}"#;
    assert_eq!(data(&client.text()), ["\"A\"", error, "\"A\""]);
}
