//! The five failures that are common in the field (DESIGN §1), at the level of a server.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sse_state_hub::{
    App, CloseReason, Event, EventError, Polling, PublishError, Route, Slow, StopReason,
};
use support::{Server, builder, data, events, eventually, hub, post, settle, status};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Polls a counter, and counts starts by the first poll of each run and stops.
fn polling(stops: &Arc<AtomicU32>) -> (Polling<u32>, Arc<AtomicU32>) {
    let polls = Arc::new(AtomicU32::new(0));
    let (counter, stops) = (Arc::clone(&polls), Arc::clone(stops));
    let polling = Polling::value(SECOND, move || {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move { number }
    })
    .on_stop(move |reason| {
        assert_eq!(reason, StopReason::NoSubscribers);
        stops.fetch_add(1, Ordering::SeqCst);
    });
    (polling, polls)
}

#[tokio::test(start_paused = true)]
async fn f1_a_client_that_joins_while_the_last_one_leaves_is_fed() {
    let hub = hub();
    let stops = Arc::new(AtomicU32::new(0));
    let (polling, polls) = polling(&stops);
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    let mut last = server.open("/a").await;
    last.until("data: ").await;
    // The newcomer arrives at every step of the leaving.
    for step in 0..60 {
        drop(last);
        for _ in 0..step {
            tokio::task::yield_now().await;
        }
        let mut client = server.open("/a").await;
        let before = polls.load(Ordering::SeqCst);
        client.until(&format!("data: {}\n\n", before + 1)).await;
        assert_eq!(hub.stats().state.sources, 1, "step {step}");
        last = client;
    }
    drop(last);
    eventually("stopped", || hub.stats().state.sources == 0).await;
    settle().await;
    let stats = hub.stats().state;
    assert_eq!(stats.sources_started, stats.sources_stopped);
    assert_eq!(
        u64::from(stops.load(Ordering::SeqCst)),
        stats.sources_stopped
    );
    assert!(stats.sources_started > 1, "some of them found it stopped");
}

#[tokio::test(start_paused = true)]
async fn f2_first_subscribers_at_once_start_one_poller_and_none_deletes_it() {
    let hub = hub();
    let stops = Arc::new(AtomicU32::new(0));
    let (polling, polls) = polling(&stops);
    let app = App::new(&hub).get("/{*any}", Route::from_url().source(polling));
    let server = Server::start(app);
    let mut clients: Vec<_> = (0..20)
        .map(|_| server.send(&support::get("/a", "")))
        .collect();
    for client in &mut clients {
        client.until("data: 1\n\n").await;
    }
    assert_eq!(hub.stats().state.sources_started, 1);
    clients.truncate(1);
    eventually("the others have left", || hub.stats().state.streams == 1).await;
    clients[0].until("data: 5\n\n").await;
    assert_eq!(polls.load(Ordering::SeqCst), 5, "one poll a second");
    assert_eq!(stops.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn f3_a_slow_client_freezes_nobody_and_is_told_or_ended_by_its_policy() {
    for (slow, streams) in [(Slow::Skip, 2), (Slow::Conflate, 2), (Slow::Close, 1)] {
        let hub = builder()
            .write_timeout(3600 * SECOND)
            .build()
            .expect("a hub");
        let route = Route::topic("a").history(10).slow(slow);
        let server = Server::start(App::new(&hub).get("/a", route));
        let mut fast = server.open("/a").await;
        let mut stuck = server.open("/a").await;
        stuck.set_window(0);
        let start = Instant::now();
        for number in 0..1000 {
            let published = hub.publish("a", Event::new(&number.to_string()));
            assert!(published.is_ok());
            if number % 5 == 4 {
                fast.until(&format!("data: {number}\n")).await;
            }
        }
        assert!(start.elapsed() < SECOND, "nobody has waited");
        let got = data(&fast.text());
        assert_eq!(got.len(), 1000, "the fast one misses nothing");
        assert!(hub.stats().state.logs_bytes < 1000, "ten frames are kept");
        stuck.set_window(1 << 20);
        settle().await;
        assert_eq!(hub.stats().state.streams, streams, "{slow:?}");
        match slow {
            Slow::Skip => {
                stuck.until("data: 999\n").await;
                let (gaps, rest): (Vec<_>, Vec<_>) = events(&stuck.text())
                    .into_iter()
                    .partition(|(name, _)| name == "sse-gap");
                assert_eq!(gaps[0].1, r#"{"topic":"a","missed":990,"why":"slow"}"#);
                assert_eq!(rest.len(), 10);
            }
            Slow::Conflate => {
                stuck.until("data: 999\n").await;
                assert_eq!(data(&stuck.text()), ["999"]);
            }
            Slow::Close => {
                stuck.end().await.expect("in order");
                drop(stuck);
                let lagged = || hub.stats().closed_for(CloseReason::Lagged) == 1;
                eventually("counted", lagged).await;
            }
        }
        hub.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test(start_paused = true)]
async fn f3_a_client_that_never_reads_is_cut_after_the_write_timeout() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let mut stuck = server.open("/a").await;
    stuck.set_window(0);
    hub.publish("a", Event::new("1")).expect("published");
    let start = Instant::now();
    let end = stuck.end().await.expect_err("a reset");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    let took = start.elapsed();
    assert!(took >= 30 * SECOND && took < 31 * SECOND, "{took:?}");
    assert_eq!(hub.stats().closed_for(CloseReason::Stalled), 1);
}

#[tokio::test(start_paused = true)]
async fn f4_shutdown_ends_though_streams_never_do() {
    let hub = hub();
    let app = App::new(&hub).get("/a", Route::topic("a"));
    let (signal, asked) = tokio::sync::oneshot::channel::<()>();
    let server = Server::start_until(app, async move {
        let _ = asked.await;
    });
    let mut readers = Vec::new();
    for _ in 0..10 {
        readers.push(server.open("/a").await);
    }
    let mut stuck = server.open("/a").await;
    stuck.set_window(0);
    hub.publish("a", Event::new("last")).expect("published");
    let start = Instant::now();
    signal.send(()).expect("it listens");
    for mut reader in readers {
        reader.end().await.expect("in order");
        let text = reader.text();
        let (_, farewell) = text.split_once("data: last\n\n").expect("what was pending");
        assert!(farewell.starts_with("retry: "), "{text}");
        assert!(text.ends_with("\n\n"), "whole frames: {text}");
    }
    assert!(
        start.elapsed() < SECOND,
        "readers do not wait for the grace"
    );
    assert!(server.connector.is_closed(), "nobody is accepted");
    stuck.end().await.expect_err("cut");
    server
        .serving
        .await
        .expect("it ran")
        .expect("it was served");
    let took = start.elapsed();
    assert!(
        took >= 5 * SECOND && took < 6 * SECOND,
        "the grace: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn f5_no_line_break_forges_an_event_or_breaks_a_stream() {
    let hub = hub();
    let app = App::new(&hub)
        .get("/a", Route::topic("a").own_ids())
        .post("/a", Route::publish("a").open_to_anyone());
    let server = Server::start(app);
    let mut client = server.open("/a").await;
    for bad in ["a\nb", "a\rb", "a\0b"] {
        let named = hub.publish("a", Event::new("x").name(bad));
        assert_eq!(named, Err(PublishError::Event(EventError::Name)));
        let with_id = hub.publish("a", Event::new("x").id(bad));
        assert_eq!(with_id, Err(PublishError::Event(EventError::Id)));
    }
    for bad in ["%0A", "a%0D%0Adata:%20forged", "%00"] {
        let answer = server.post(&format!("/a?event={bad}"), "x").await;
        assert_eq!(status(&answer), 400, "{answer}");
    }
    let answer = server.ask(&post("/a?event=%0a", "x")).await;
    assert_eq!(status(&answer), 400);
    for data in [
        "1\n\ndata: forged\n\n",
        "2\r\rid: 7\r",
        "3\r\n\r\nretry: 1",
        "\0",
    ] {
        hub.publish("a", Event::new(data)).expect("published");
    }
    client.until("data: \0\n\n").await;
    assert_eq!(
        data(&client.text()),
        [
            "1\n\ndata: forged\n\n",
            "2\n\nid: 7\n",
            "3\n\nretry: 1",
            "\0"
        ]
    );
}
