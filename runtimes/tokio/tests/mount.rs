//! Streams inside of axum and hyper, on real sockets, over HTTP/1.1 and HTTP/2.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sse_state_tokio::mount::{Mounted, Peer, StreamRequest};
use sse_state_tokio::{App, CloseReason, Event, Grant, Hub, Polling, Refuse, Route, Slow};
use support::{Client, ask, eventually, hub, within};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The routes of these tests.
fn app(hub: &Hub) -> App {
    let ticks = Polling::value(Duration::from_millis(20), || async { 1 });
    App::new(hub)
        .get("/news", Route::topic("news").history(64))
        .post("/news", Route::publish("news").open_to_anyone())
        .get("/tight", Route::topic("tight").log(4).slow(Slow::Skip))
        .get("/poll", Route::topic("poll").source(ticks).dedupe(false))
        .get(
            "/members",
            Route::topic("members").authorize(|asked| async move {
                match (asked.bearer(), asked.peer()) {
                    (Some("sesame"), Some(_)) => Ok(Grant::new()),
                    _ => Err(Refuse::new(401)),
                }
            }),
        )
}

/// axum around it, with a route of its own.
struct Server {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(hub: &Hub) -> Server {
        let events = Mounted::new(app(hub)).expect("an app");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listener = events.listener(tcp);
        let addr = listener.local_addr().expect("an address");
        let router: Router = Router::new()
            .route("/own", get(|| async { "axum's own" }))
            .fallback_service(events);
        let (stop, stopped) = oneshot::channel();
        let service = router.into_make_service_with_connect_info::<Peer>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(std::future::IntoFuture::into_future(serving));
        Server {
            addr,
            stop,
            serving,
        }
    }

    /// What the docs say: the hub first, then axum. The time that it took.
    async fn shut_down(self, hub: &Hub, grace: Duration) -> Duration {
        let begun = Instant::now();
        drop(hub.shutdown(grace));
        self.stop.send(()).expect("it serves");
        within("the end", self.serving)
            .await
            .expect("it ran")
            .expect("it served");
        begun.elapsed()
    }
}

/// A connection of HTTP/2.
async fn h2(addr: SocketAddr) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
    let tcp = TcpStream::connect(addr).await.expect("connects");
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await;
    let (send, connection) = handshake.expect("HTTP/2");
    tokio::spawn(connection);
    send
}

/// Publishes, on a connection that is not kept.
async fn post(addr: SocketAddr, body: &str) -> String {
    let length = body.len();
    ask(
        addr,
        &format!(
            "POST /news HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
    .await
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://localhost{path}");
    Request::get(uri).body(Empty::new()).expect("a request")
}

/// Reads until this text has come.
async fn until(response: &mut Response<Incoming>, text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let frame = response
                .frame()
                .await
                .expect("not the end")
                .expect("no error");
            seen.extend_from_slice(&frame.into_data().expect("data"));
        }
    };
    within(text, read).await;
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mounted_stream_shows_what_is_published_over_http_1() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut client = Client::get(server.addr, "/news").await;
    let head = client.until("retry: ").await.to_lowercase();
    for field in ["content-type: text/event-stream", "cache-control: no-store"] {
        assert!(head.contains(field), "{head}");
    }
    let answer = post(server.addr, "it rains").await;
    assert!(
        answer.contains("201 Created") && answer.contains("{\"subscribers\":1}"),
        "{answer}"
    );
    client.until("data: it rains\n").await;
    drop(client);
    eventually("nobody", || hub.stats().state.streams == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w9_rules_of_origins_hooks_and_bounds_hold_in_a_framework() {
    let hub = Hub::builder().frame_bytes(1000).build().expect("a hub");
    let server = Server::start(&hub).await;
    let get = |path: &str, fields: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
    };
    for (request, status) in [
        (get("/news", "Origin: https://evil.example\r\n"), 403),
        (get("/news", "Sec-Fetch-Site: cross-site\r\n"), 403),
        (get("/members", ""), 401),
        (get("/nowhere", ""), 404),
        (get("/a%2Fb", ""), 400),
        (get("/poll", "").replace("GET", "PUT"), 405),
    ] {
        let answer = ask(server.addr, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}{answer}"
        );
    }
    let long = post(server.addr, &"x".repeat(2000)).await;
    assert!(long.starts_with("HTTP/1.1 413 "), "{long}");
    assert_eq!(
        (hub.stats().state.subscribed, hub.stats().state.published),
        (0, 0)
    );
    let own = ask(server.addr, &get("/own", "")).await;
    assert!(own.ends_with("axum's own"), "{own}");
    let mut member = Client::send(
        server.addr,
        &get("/members", "Authorization: Bearer sesame\r\n"),
    )
    .await;
    member.until("retry: ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w7_head_through_axum_starts_no_source() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let request = "HEAD /poll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = ask(server.addr, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let stats = hub.stats().state;
    assert_eq!((stats.subscribed, stats.sources_started), (0, 0));
}

#[tokio::test]
async fn dropping_a_response_ends_its_subscription_at_once() {
    let hub = hub();
    let events = Mounted::new(app(&hub)).expect("an app");
    let response = events.respond(request("/poll"), None).await;
    assert_eq!(hub.stats().state.streams, 1);
    drop(response);
    assert_eq!((hub.stats().state.streams, hub.stats().state.gone), (0, 1));
    eventually("no source", || hub.stats().state.sources == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_answers_with_a_stream_after_looking_at_the_request() {
    async fn handler(
        State(events): State<Mounted>,
        request: StreamRequest,
    ) -> axum::response::Response {
        events.stream(request).await
    }
    let hub = hub();
    let events = Mounted::new(app(&hub)).expect("an app");
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = tcp.local_addr().expect("an address");
    let router = Router::new()
        .route("/news", get(handler))
        .with_state(events);
    tokio::spawn(std::future::IntoFuture::into_future(axum::serve(
        tcp, router,
    )));
    hub.publish("news", Event::new("one")).expect("published");
    let mut client = Client::get(addr, "/news").await;
    client.until("retry: ").await;
    hub.publish("news", Event::new("two")).expect("published");
    client.until("data: two\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_of_one_http_2_connection_do_not_wait_for_one_that_is_not_read() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut send = h2(server.addr).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let response = send
            .send_request(request("/tight"))
            .await
            .expect("a response");
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("connection"));
        streams.push(response);
    }
    let _unread = streams.pop();
    // More than its window takes, over all.
    let text = "x".repeat(50_000);
    for number in 0..60 {
        let event = format!("{text} {number}");
        hub.publish("tight", Event::new(&event)).expect("published");
        let reading = std::mem::take(&mut streams).into_iter().map(|mut stream| {
            tokio::spawn(async move {
                until(&mut stream, &format!("xx {number}\n\n")).await;
                stream
            })
        });
        for stream in reading.collect::<Vec<_>>() {
            streams.push(stream.await.expect("it comes"));
        }
    }
    // The one that is not read has not been cut yet.
    assert_eq!(hub.stats().state.streams, 100);
}

/// The clock is paused: it goes on when nobody has anything to do, however slow the machine is.
#[tokio::test(start_paused = true)]
async fn shutting_axum_down_ends_its_streams_and_a_client_that_reads_nothing() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut reader = Client::get(server.addr, "/news").await;
    let mut stuck = Client::get(server.addr, "/tight").await;
    eventually("both", || hub.stats().state.streams == 2).await;
    fill(&hub).await;
    hub.publish("news", Event::new("last")).expect("published");
    in_time(server.shut_down(&hub, GRACE).await);
    let text = reader.rest().await.expect("an end in order");
    let (_, farewell) = text.split_once("data: last\n").expect("what was pending");
    assert!(farewell.contains("retry: "), "{text}");
    // It was full until the grace was over: cut, and not ended.
    let error = stuck.rest().await.expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

/// Nobody here is slow, so nothing is cut: not the streams, nor the connections that they came on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_axum_down_ends_every_connection_in_order() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Client::get(server.addr, "/news").await);
    }
    eventually("all", || hub.stats().state.streams == 50).await;
    hub.publish("news", Event::new("last")).expect("published");
    server.shut_down(&hub, Duration::from_secs(5)).await;
    for mut client in clients {
        let text = client.rest().await.expect("no reset");
        assert!(text.contains("data: last\n"), "{text}");
        assert!(text.ends_with("\r\n0\r\n\r\n"), "the last chunk: {text}");
    }
}

/// What a framework has written and not closed yet when the hub ends is not reset; what it never closes ends all the same.
#[tokio::test(start_paused = true)]
async fn sockets_fail_half_a_second_after_the_hub_has_ended() {
    let hub = hub();
    let events = Mounted::new(app(&hub)).expect("an app");
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut listener = events.listener(tcp);
    let _client = Client::connect(listener.local_addr().expect("an address")).await;
    let (mut socket, _) = listener.accept().await;
    hub.shutdown(Duration::ZERO).await;
    let ended = Instant::now();
    let error = socket.read_u8().await.expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
    assert_eq!(ended.elapsed().as_millis(), 500);
}

#[tokio::test(start_paused = true)]
async fn shutting_axum_down_ends_http_2_with_a_stream_that_is_not_read() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut send = h2(server.addr).await;
    let mut reader = send
        .send_request(request("/news"))
        .await
        .expect("a response");
    let stuck = send
        .send_request(request("/tight"))
        .await
        .expect("a response");
    eventually("both", || hub.stats().state.streams == 2).await;
    fill(&hub).await;
    hub.publish("news", Event::new("last")).expect("published");
    until(&mut reader, "data: last\n").await;
    in_time(server.shut_down(&hub, GRACE).await);
    assert_eq!(hub.stats().state.streams, 0);
    // It was not read until the grace was over: cut, and not ended.
    let body = within("an end", stuck.into_body().collect()).await;
    assert!(body.is_err(), "a cut stream looks whole");
}

/// Not before the grace is over, for the one that is stuck, and within a second after it.
fn in_time(took: Duration) {
    let most = GRACE + Duration::from_secs(1);
    assert!((GRACE..=most).contains(&took), "{took:?}");
}

const GRACE: Duration = Duration::from_secs(3);

/// Publishes until the one stream of `/tight` takes no more.
async fn fill(hub: &Hub) {
    let text = "x".repeat(200_000);
    within("a full socket", async {
        let (mut bytes, mut rounds) = (0, 0);
        while rounds < 20 {
            hub.publish("tight", Event::new(&text)).expect("published");
            tokio::time::sleep(Duration::from_millis(3)).await;
            let now = hub.stats().state.bytes;
            rounds = if now == bytes { rounds + 1 } else { 0 };
            bytes = now;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_hub_ends_its_streams_and_nothing_else() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut client = Client::get(server.addr, "/news").await;
    client.until("retry: ").await;
    drop(hub);
    // Cut: what was sent is not the end of the stream.
    let _ = client.rest().await;
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let own = ask(server.addr, &get("/own")).await;
    assert!(own.ends_with("axum's own"), "{own}");
    let refused = ask(server.addr, &get("/news")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
}

/// As a shutdown with grace 0 ends them; but the connection goes on, and so does what else is served on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_hub_leaves_its_connections_of_http_2_to_the_framework() {
    let mut ends = Vec::new();
    for is_dropped in [true, false] {
        let hub = hub();
        let server = Server::start(&hub).await;
        let mut send = h2(server.addr).await;
        let response = send.send_request(request("/news")).await;
        let mut response = response.expect("a response");
        until(&mut response, "retry: ").await;
        hub.publish("news", Event::new("last")).expect("published");
        if is_dropped {
            drop(hub);
        } else {
            drop(hub.shutdown(Duration::ZERO));
        }
        let body = within("an end", response.into_body().collect()).await;
        ends.push(body.is_ok());
        if is_dropped {
            // Past the time in which sockets are cut after a shutdown.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let own = send.send_request(request("/own")).await.expect("an answer");
            let own = own.into_body().collect().await.expect("a body").to_bytes();
            assert_eq!(own, "axum's own");
        }
    }
    assert_eq!(ends[0], ends[1], "as at a shutdown with grace 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_2_client_that_drops_one_stream_ends_that_one_and_no_other() {
    let hub = hub();
    let server = Server::start(&hub).await;
    let mut send = h2(server.addr).await;
    let dropped = send.send_request(request("/poll")).await.expect("a stream");
    let mut kept = send.send_request(request("/news")).await.expect("a stream");
    eventually("both", || hub.stats().state.streams == 2).await;
    drop(dropped);
    eventually("one, and no source", || {
        let stats = hub.stats().state;
        (stats.streams, stats.sources, stats.gone) == (1, 0, 1)
    })
    .await;
    hub.publish("news", Event::new("more")).expect("published");
    until(&mut kept, "data: more\n").await;
}

/// Neither by what others are sent nor by time; and once, however much there is, until it has been pulled.
#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_pull_is_not_woken() {
    let hub = hub();
    let events = Mounted::new(app(&hub)).expect("an app");
    let response = events.respond(request("/news"), None).await;
    let mut body = std::pin::pin!(response.into_body());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    // Everything that is there.
    let mut pull = || {
        let mut text = Vec::new();
        while let Poll::Ready(frame) = body.as_mut().poll_frame(&mut Context::from_waker(&waker)) {
            let frame = frame.expect("not the end").expect("no cut");
            text.extend_from_slice(&frame.into_data().expect("data"));
        }
        String::from_utf8(text).expect("text")
    };
    let second = Duration::from_secs(1);
    assert!(pull().contains("retry: "));
    let before = wakes.0.load(Ordering::SeqCst);
    let _other = events.respond(request("/tight"), None).await;
    for _ in 0..10 {
        hub.publish("tight", Event::new("of others"))
            .expect("published");
        tokio::time::sleep(second).await;
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), before, "nothing to pull");
    for text in ["one", "two", "three"] {
        hub.publish("news", Event::new(text)).expect("published");
        tokio::time::sleep(second / 10).await;
    }
    assert_eq!(wakes.0.load(Ordering::SeqCst), before + 1, "once");
    let text = pull();
    assert_eq!(text.matches("data: ").count(), 3, "{text}");
    // A heartbeat is something to pull.
    tokio::time::sleep(16 * second).await;
    assert_eq!(wakes.0.load(Ordering::SeqCst), before + 2);
    assert_eq!(pull(), ":\n\n");
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn hyper_serves_it_as_a_service() {
    let hub = hub();
    let events = Mounted::new(app(&hub)).expect("an app");
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = tcp.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = tcp.accept().await.expect("a connection");
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(TokioIo::new(stream), events).await
    });
    let stream = TcpStream::connect(addr).await.expect("connects");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut send, connection) = handshake.expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/news")
        .header("host", "localhost")
        .body(Full::new(Bytes::from("x")))
        .expect("a request");
    let answer = send.send_request(request).await.expect("an answer");
    // Accepted: nobody listens.
    assert_eq!(answer.status(), 202);
    assert_eq!(hub.stats().closed_for(CloseReason::Stalled), 0);
}
