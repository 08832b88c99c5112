//! Streams on real sockets.

mod support;

use sse_state_tokio::{App, Event, Route};
use support::{Client, eventually, hub, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_a_stream_shows_what_is_published() {
    let hub = hub();
    let app = App::new(&hub).get("/news", Route::topic("news"));
    let (addr, _serving) = start(app).await;
    let mut client = Client::get(addr, "/news").await;
    eventually("a stream", || hub.stats().state.streams == 1).await;
    let published = hub
        .publish("news", Event::new("it rains"))
        .expect("published");
    assert_eq!(published.streams, 1);
    let text = client.until("data: it rains\n\n").await;
    assert!(text.contains(":\n\nretry: "), "{text}");
    drop(client);
    eventually("nobody", || hub.stats().state.streams == 0).await;
}
