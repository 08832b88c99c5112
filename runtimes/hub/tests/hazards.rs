//! What others have had and this hub must not (docs/hazards.md), where no other file has it.

mod support;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sse_state_hub::{App, PollError, Polling, Route, Source};
use sse_state_tokio::Hub;
use support::{Server, builder, eventually, get, hub, settle, status};

/// A waker of which it is counted how many hold it.
struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// On a clock that is not paused: what never comes is not waited for.
async fn soon(test: impl Future<Output = ()>) {
    let test = tokio::time::timeout(Duration::from_secs(40), test);
    test.await.expect("it takes a second at most");
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_the_end_and_went_leaves_nothing_behind() {
    let hub = hub();
    for _ in 0..1000 {
        // As a handler does that stops when the hub ends: a task of its own, done long before that.
        let one = Arc::new(Nothing);
        let waker = Waker::from(Arc::clone(&one));
        let mut ended = Box::pin(hub.ended());
        let mut cx = Context::from_waker(&waker);
        assert_eq!(ended.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(ended.as_mut().poll(&mut cx), Poll::Pending);
        drop((ended, waker));
        assert_eq!(Arc::strong_count(&one), 1, "its waker is still held");
    }
    // Whoever waits on is woken.
    let ended = tokio::spawn(hub.ended());
    settle().await;
    hub.shutdown(Duration::ZERO).await;
    ended.await.expect("it was told");
}

#[tokio::test]
async fn a_blocking_poll_that_hangs_gets_no_second_beside_it_in_the_next_life_of_its_topic() {
    soon(async {
        let hub = builder()
            .poll_timeout(Duration::from_millis(20))
            .build()
            .expect("a hub");
        let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (door, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
        let polling = Polling::every_blocking(
            Duration::from_millis(10),
            move || -> Result<u32, PollError> {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(at_once, Ordering::SeqCst);
                let _ = wait.lock().unwrap().recv();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(7)
            },
        );
        let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
        for _ in 0..5 {
            let mut client = server.open("/a").await;
            client.until("is not finished").await;
            drop(client);
            eventually("stopped", || {
                hub.topic("a").is_none_or(|topic| topic.streams == 0)
            })
            .await;
            settle().await;
        }
        assert_eq!(most.load(Ordering::SeqCst), 1, "polls of one topic at once");
        drop(door);
        let mut client = server.open("/a").await;
        client.until("data: 7\n\n").await;
    })
    .await;
}

#[tokio::test]
async fn blocking_polls_that_hang_take_no_more_threads_than_there_may_be_polls() {
    soon(async {
        let hub = builder()
            .polls(3)
            .poll_timeout(Duration::from_millis(20))
            .build()
            .expect("a hub");
        let (door, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let begun = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&begun);
        let polling = Polling::every_topic_blocking(
            Duration::from_millis(10),
            move |_| -> Result<u32, PollError> {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = wait.lock().unwrap().recv();
                Ok(7)
            },
        );
        let app = App::new(&hub).get("/{*any}", Route::from_url().source(polling));
        let server = Server::start(app);
        // A client that asks for one name after the other.
        for name in ["/a", "/b", "/c", "/d", "/e"] {
            let mut client = server.open(name).await;
            client.until("not finished").await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), 3);
        drop(door);
        let mut client = server.open("/f").await;
        client.until("data: 7\n\n").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_callback_that_hangs_makes_clients_wait_and_no_queue_grow_without_end() {
    soon(async {
        let (door, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let hub = builder()
            .subscribers(200)
            .on_close(move |_, _| {
                let _ = wait.lock().unwrap().recv();
            })
            .build()
            .expect("a hub");
        let server = Server::start(App::new(&hub).get("/a", Route::topic("a")));
        let accepts = "Accept: text/event-stream\r\n";
        let mut opened = 0;
        let refused = loop {
            let mut client = server.send(&get("/a", accepts));
            let text = client.until("retry: ").await;
            if text.contains("\r\n\r\n:\n\n") {
                opened += 1;
                assert!(opened < 5000, "a queue without end");
                drop(client);
                eventually("gone", || hub.stats().state.streams == 0).await;
            } else {
                client.end().await.expect("in order");
                break client.text();
            }
        };
        assert_eq!(status(&refused), 200);
        // An opening and an end each, and twice as many may wait as there may be streams, and 1 024.
        assert!((712..800).contains(&opened), "{opened}");
        assert!(hub.stats().state.refused_full > 0);
        // What waits is told, and there is room again.
        drop(door);
        let room = async {
            loop {
                let mut client = server.send(&get("/a", accepts));
                if client.until("retry: ").await.contains("\r\n\r\n:\n\n") {
                    break;
                }
            }
        };
        let room = tokio::time::timeout(Duration::from_secs(30), room);
        room.await.expect("room again");
    })
    .await;
}

/// Part of a function of a user: its end asks the hub.
struct AsksAtItsEnd(Hub, std::sync::mpsc::Sender<u32>);

impl Drop for AsksAtItsEnd {
    fn drop(&mut self) {
        let _ = self.1.send(self.0.stats().state.streams);
    }
}

#[test]
fn the_function_of_a_source_is_dropped_outside_of_the_lock() {
    let (told, tells) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let hub = hub();
            let asks = AsksAtItsEnd(hub.clone(), told);
            let source = Source::new(move |_, _| {
                let _ = &asks;
                std::future::pending()
            });
            let app = App::new(&hub).get("/{*any}", Route::from_url().source(source));
            let server = Server::start(app);
            drop(server.open("/first").await);
            eventually("gone", || hub.topic("/first").is_none()).await;
            // Another app takes its place: nobody but the hub knows the function now.
            server.serving.abort();
            eventually("aborted", || server.connector.is_closed()).await;
            let other = Source::new(|_, _| std::future::pending());
            let app = App::new(&hub).get("/{*any}", Route::from_url().source(other));
            let server = Server::start(app);
            for number in 0..200 {
                drop(server.open(&format!("/{number}")).await);
            }
        });
    });
    let streams = tells.recv_timeout(Duration::from_secs(40));
    assert!(
        streams.is_ok(),
        "it waits for the lock that it is dropped under"
    );
}
