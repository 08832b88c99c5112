//! Sockets and the hub: errors that pass and errors that do not, what is read when, and what is left at the end.

mod support;

use std::collections::BTreeSet;
use std::io::ErrorKind::{ConnectionReset, Interrupted, TimedOut, WouldBlock};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sse_state_hub::{App, CloseReason, Event, Grant, Route, Source, StreamEnd};
use support::told::Told;
use support::{Server, builder, data, eventually, get, hub, post, settle, status};
use tokio::sync::Notify;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn errors_that_pass_are_no_end() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let mut client = server.connect();
    client.fail_reads(&[Interrupted, WouldBlock, Interrupted]);
    client.fail_writes(&[Interrupted, WouldBlock, Interrupted]);
    client.write(get("/a", "").as_bytes());
    client.until("\r\n\r\n:\n\n").await;
    client.fail_reads(&[WouldBlock, Interrupted]);
    client.fail_writes(&[WouldBlock, Interrupted]);
    settle().await;
    hub.publish("a", Event::new("on")).expect("published");
    client.until("data: on\n\n").await;
    assert_eq!(hub.stats().state.streams, 1);
}

#[tokio::test(start_paused = true)]
async fn whose_socket_breaks_is_gone_at_once() {
    let ends = Told::default();
    let told = ends.clone();
    let hub = builder().on_close(move |_, end| told.tell(end)).build();
    let hub = hub.expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let start = Instant::now();
    let reads = server.open("/a").await;
    reads.fail_reads(&[ConnectionReset]);
    reads.write(b"never read");
    eventually("gone", || hub.stats().state.streams == 0).await;
    let writes = server.open("/a").await;
    writes.fail_writes(&[TimedOut]);
    hub.publish("a", Event::new("lost")).expect("published");
    eventually("gone", || hub.stats().state.streams == 0).await;
    eventually("told", || ends.all().len() == 2).await;
    assert_eq!(ends.all(), [StreamEnd::Gone, StreamEnd::Gone]);
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn w3_what_is_left_unread_at_an_end_in_order_is_dropped_up_to_64_kib() {
    for (bytes, errors, is_in_order) in [
        (60 << 10, &[Interrupted][..], true),
        (64 << 10, &[], true),
        ((64 << 10) + 1, &[], false),
    ] {
        let hub = hub();
        let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
        // It is answered, and stays.
        let mut client = server.send(&get("/missing", ""));
        client.end().await.expect("in order");
        assert_eq!(status(&client.text()), 404);
        // Nobody has looked at these when the time for it to go is over.
        client.slip_in(&vec![b'x'; bytes]);
        client.fail_reads(errors);
        eventually("closed", || {
            hub.stats().closed_for(CloseReason::Answered) == 1
        })
        .await;
        settle().await;
        assert_eq!(client.end().await.is_ok(), is_in_order, "{bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_hook_decides_little_of_a_body_is_read_and_whoever_leaves_is_missed() {
    let hub = hub();
    let (door, asked) = (Arc::new(Notify::new()), Arc::new(()));
    let (wait, held) = (Arc::clone(&door), Arc::clone(&asked));
    let hook = move |_| {
        let (wait, held) = (Arc::clone(&wait), Arc::clone(&held));
        async move {
            wait.notified().await;
            drop(held);
            Ok(Grant::new())
        }
    };
    let publish = Route::publish("a").authorize(hook);
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .post("/a", publish);
    let server = Server::start(app);
    let mut reader = server.open("/a").await;
    let start = Instant::now();
    // It goes within its body.
    let client =
        server.send("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf");
    eventually("asked", || Arc::strong_count(&asked) == 3).await;
    drop(client);
    eventually("dropped", || Arc::strong_count(&asked) == 2).await;
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    // Of a large body little is read before it is known whether it is wanted.
    let body = "x".repeat(200 << 10);
    let mut client = server.send(&post("/a", &body));
    eventually("asked", || Arc::strong_count(&asked) == 3).await;
    settle().await;
    assert!(client.unread() > 100 << 10, "{}", client.unread());
    door.notify_one();
    reader.set_window(1 << 20);
    assert_eq!(data(&reader.until("x\n\n").await), [body]);
    client.end().await.expect("in order");
    assert_eq!(status(&client.text()), 201);
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_topic_share_their_bytes_and_get_none_of_another() {
    let hub = hub();
    let app = App::new(&hub).get("/{*any}", Route::from_url());
    let server = Server::start(app);
    let mut clients = Vec::new();
    for number in 0..24 {
        let topic = format!("/{}", number % 8);
        clients.push((server.open(&topic).await, topic));
    }
    let expected = |topic: &str| {
        (0..5)
            .map(|round| format!("{topic} {round}"))
            .collect::<Vec<_>>()
    };
    for round in 0..5 {
        for topic in 0..8 {
            let (topic, text) = (format!("/{topic}"), format!("/{topic} {round}"));
            hub.publish(&topic, Event::new(&text)).expect("published");
        }
        settle().await;
    }
    for (mut client, topic) in clients {
        let text = client.until(" 4\n\n").await;
        assert_eq!(data(&text), expected(&topic));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_clients_come_back_at_different_times() {
    let hub = builder().subscribers(1).build().expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    let _open = server.open("/a").await;
    let mut times = BTreeSet::new();
    for _ in 0..20 {
        let refused = server
            .ask(&get("/a", "Accept: text/event-stream\r\n"))
            .await;
        let time = refused.split("retry: ").nth(1).expect("a time").trim_end();
        times.insert(time.parse::<u32>().expect("a number"));
    }
    assert!(times.len() > 10, "{times:?}");
    assert!(
        times.iter().all(|time| (10_000..=20_000).contains(time)),
        "{times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_be_written_ends_and_the_server_does_not() {
    /// Takes the first write.
    #[derive(Clone, Default)]
    struct Full(Arc<AtomicU32>);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!bytes.is_empty(), "there is nothing to write");
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(bytes.len()),
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let full = Full::default();
    let hub = builder().record_to(full.clone()).build().expect("a hub");
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
    for _ in 0..5 {
        let _client = server.open("/a").await;
        settle().await;
    }
    assert_eq!(
        full.0.load(Ordering::SeqCst),
        2,
        "one that fails, and no more"
    );
}

#[tokio::test(start_paused = true)]
async fn at_its_end_a_hub_lets_go_of_what_feeds_it() {
    let hub = hub();
    let held = Arc::new(());
    let within = Arc::clone(&held);
    let source = Source::new(move |_, _| {
        let _ = &within;
        std::future::pending()
    });
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(source)));
    drop(server.open("/a").await);
    hub.shutdown(SECOND).await;
    server.serving.await.expect("served").expect("an end");
    settle().await;
    assert_eq!(Arc::strong_count(&held), 1, "its function is still there");
}
