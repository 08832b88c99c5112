//! What a socket may do: errors that pass and errors that do not, bytes that nobody has asked for.

mod support;

use std::io::ErrorKind::{ConnectionReset, Interrupted, TimedOut, WouldBlock};
use std::time::Duration;

use sse_state_hub::{App, CloseReason, Event, Route, StreamEnd};
use support::told::Told;
use support::{Server, builder, eventually, get, hub, settle, status};
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
