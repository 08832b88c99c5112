//! Streams on real sockets and several workers.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sse_state_tokio::{App, Event, Hub, Polling, Route};
use support::{Client, eventually, hub, post, start, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_a_stream_shows_what_is_published() {
    let hub = hub();
    let app = App::new(&hub)
        .get("/news", Route::topic("news"))
        .post("/news", Route::publish("news").open_to_anyone());
    let (addr, _serving) = start(app).await;
    let mut client = Client::get(addr, "/news").await;
    client.until("\n\nretry: ").await;
    let answer = post(addr, "/news", "it rains").await;
    assert!(answer.ends_with("\r\n\r\n{\"subscribers\":1}"), "{answer}");
    client.until("data: it rains\n\n").await;
    drop(client);
    eventually("nobody", || hub.stats().state.streams == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn many_streams_get_every_event_in_order_from_several_workers() {
    let hub = Hub::builder().workers(3).build().expect("a hub");
    let (addr, _serving) = start(App::new(&hub).get("/a", Route::topic("a"))).await;
    let mut readers = Vec::new();
    for _ in 0..300 {
        let mut client = Client::get(addr, "/a").await;
        readers.push(tokio::spawn(async move {
            let text = client.until("data: 499\n\n").await;
            let (_, stream) = text.split_once("\n\nretry: ").expect("the first bytes");
            let events: Vec<&str> = stream.split("\n\n").skip(1).collect();
            let expected: Vec<String> = (0..500).map(|number| format!("data: {number}")).collect();
            assert_eq!(events[..500], expected);
            client
        }));
    }
    eventually("all", || hub.stats().state.streams == 300).await;
    for number in 0..500 {
        let text = number.to_string();
        let published = hub.publish_wait("a", Event::new(&text)).await;
        assert_eq!(published.expect("published").streams, 300);
    }
    let mut clients = Vec::new();
    for reader in readers {
        clients.push(within("a reader", reader).await.expect("all events"));
    }
    // The last batch is reported after it was read.
    let all = || hub.stats().state.delivered == 300 * 500;
    eventually("all are counted", all).await;
    assert_eq!(hub.stats().state.missed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publish_wait_from_many_threads_loses_nothing() {
    let hub = hub();
    let (addr, _serving) = start(App::new(&hub).get("/a", Route::topic("a").log(8))).await;
    let mut client = Client::get(addr, "/a").await;
    eventually("a stream", || hub.stats().state.streams == 1).await;
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let hub = hub.clone();
            tokio::spawn(async move {
                for number in 0..500 {
                    let text = format!("{publisher}:{number};");
                    hub.publish_wait("a", Event::new(&text))
                        .await
                        .expect("published");
                }
            })
        })
        .collect();
    let text = client.until_count("data: ", 2000).await;
    for publisher in publishers {
        within("a publisher", publisher)
            .await
            .expect("all published");
    }
    let text = if text.ends_with("\n\n") {
        text
    } else {
        client.until("\n\n").await
    };
    for publisher in 0..4 {
        let mine: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter(|data| data.starts_with(&format!("{publisher}:")))
            .collect();
        assert_eq!(mine.len(), 500);
        let in_order = (0..500).all(|number| mine[number] == format!("{publisher}:{number};"));
        assert!(in_order, "{mine:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn streams_that_come_and_go_while_events_fly_leave_nothing_behind() {
    let hub = Hub::builder().workers(3).build().expect("a hub");
    let polling = Polling::value(Duration::from_millis(3), || async { 1 }).on_stop(|_| ());
    let app = App::new(&hub)
        .get("/a", Route::topic("a").log(4))
        .get("/p", Route::topic("p").source(polling))
        .get("/{*any}", Route::from_url());
    let (addr, _serving) = start(app).await;
    let done = Arc::new(AtomicBool::new(false));
    let publisher = {
        let (hub, done) = (hub.clone(), Arc::clone(&done));
        std::thread::spawn(move || {
            while !done.load(Ordering::SeqCst) {
                for topic in ["a", "/x/1", "/x/2"] {
                    hub.publish(topic, Event::new("an event"))
                        .expect("published");
                }
                std::thread::yield_now();
            }
        })
    };
    let clients = (0..8).map(|number| {
        tokio::spawn(async move {
            for round in 0..40 {
                let target = ["/a", "/p", "/x/1", "/x/2"][(number + round) % 4];
                let mut client = Client::get(addr, target).await;
                if round % 3 != 0 {
                    client.until("data: ").await;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        within("a client", client).await.expect("it went well");
    }
    done.store(true, Ordering::SeqCst);
    publisher.join().expect("it went well");
    eventually("all have gone", || {
        let stats = hub.stats().state;
        stats.streams == 0 && stats.openings == 0 && stats.sources == 0
    })
    .await;
    let stats = hub.stats().state;
    assert_eq!(stats.subscribed, 320);
    assert_eq!(stats.sources_started, stats.sources_stopped);
    assert_eq!(stats.topics, 2, "the declared ones");
}

/// Bytes that a journal writes.
#[derive(Clone, Default)]
struct Sink(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_run_of_several_workers_replays_to_the_same_digests() {
    let sink = Sink::default();
    let hub = Hub::builder()
        .workers(3)
        .record_to(sink.clone())
        .build()
        .expect("a hub");
    let polling = Polling::value(Duration::from_millis(2), || async { 1 });
    let app = App::new(&hub)
        .get("/a", Route::topic("a").log(4))
        .get("/p", Route::topic("p").source(polling).dedupe(false));
    let (addr, _serving) = start(app).await;
    let clients = (0..12).map(|number| {
        tokio::spawn(async move {
            for round in 0..10 {
                let target = ["/a", "/p"][(number + round) % 2];
                let mut client = Client::get(addr, target).await;
                client.until("data: ").await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        hub.publish("a", Event::new("an event")).expect("published");
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.expect("it went well");
    }
    within("the end", hub.shutdown(Duration::from_secs(1))).await;
    let digests = hub.journal_digests().expect("it records");
    let journal = String::from_utf8(sink.0.lock().unwrap().clone()).expect("text");
    let replayed = sse_state_tokio::sse_state::journal::replay(&journal).expect("it replays");
    assert_eq!(
        (replayed.actions, replayed.state),
        (digests.actions, digests.state)
    );
}
