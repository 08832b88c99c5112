//! WIRE §3 and §8 on real sockets: how connections end, and how they are set up.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use socket2::SockRef;
use sse_state_tokio::{App, CloseReason, Event, Hub, Route, socket};
use support::{Client, ask, eventually, hub, start, within};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_19_streams_that_sent_stray_bytes_end_with_a_fin_at_shutdown() {
    let hub = hub();
    let (addr, serving) = start(App::new(&hub).get("/a", Route::topic("a"))).await;
    let mut clients = Vec::new();
    for number in 0..60 {
        let mut client = Client::get(addr, "/a").await;
        if number % 3 == 0 {
            client.write(b"stray bytes after the request").await;
        }
        clients.push(client);
    }
    hub.publish("a", Event::new("last")).expect("published");
    let ended = hub.shutdown(None);
    for mut client in clients {
        // More of them while it ends, which it may or may not take any more.
        let _ = client.stream.try_write(b"and more");
        let text = client.rest().await.expect("a FIN and no reset");
        let (_, farewell) = text.split_once("data: last\n\n").expect("what was pending");
        assert!(
            farewell.starts_with("retry: ") && text.ends_with("\n\n"),
            "{text}"
        );
    }
    within("the end", ended).await;
    within("the server", serving)
        .await
        .expect("it ran")
        .expect("it served");
    assert!(
        TcpStream::connect(addr).await.is_err(),
        "the listener is closed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_19_an_answer_to_a_request_with_more_bytes_ends_with_a_fin() {
    let hub = hub();
    let (addr, _serving) = start(App::new(&hub).get("/a", Route::topic("a"))).await;
    for _ in 0..50 {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: localhost\r\n\r\n{}",
            "x".repeat(20_000)
        );
        let text = ask(addr, &request).await;
        assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
    }
    let closed = || hub.stats().closed_for(CloseReason::Answered) == 50;
    eventually("every one is closed", closed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_20_a_stalled_stream_is_cut_with_a_reset_and_the_others_go_on() {
    let timeout = Duration::from_millis(300);
    let hub = Hub::builder()
        .write_timeout(timeout)
        .build()
        .expect("a hub");
    let route = Route::topic("a").log(64);
    let (addr, _serving) = start(App::new(&hub).get("/a", route)).await;
    let mut reader = Client::get(addr, "/a").await;
    let stuck = small_window(addr).await;
    eventually("both", || hub.stats().state.streams == 2).await;
    let text = "x".repeat(60_000);
    let mut number = 0;
    let stalled = |hub: &Hub| hub.stats().closed_for(CloseReason::Stalled) == 1;
    while !stalled(&hub) {
        let event = format!("{number} {text}");
        hub.publish("a", Event::new(&event)).expect("published");
        reader.until(&format!("data: {number} ")).await;
        reader.seen.clear();
        number += 1;
        assert!(number < 100_000, "it is never cut");
    }
    let mut stuck = Client {
        stream: stuck,
        seen: Vec::new(),
    };
    let error = stuck.rest().await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(hub.stats().state.streams, 1);
}

/// A client that takes little and reads nothing.
async fn small_window(addr: std::net::SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small one");
    let mut stream = socket.connect(addr).await.expect("connects");
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("writes");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w3_a_peer_that_is_gone_is_found_without_a_write() {
    let hub = hub();
    let (addr, _serving) = start(App::new(&hub).get("/a", Route::topic("a"))).await;
    let ends = Client::get(addr, "/a").await;
    let resets = Client::get(addr, "/a").await;
    eventually("both", || hub.stats().state.streams == 2).await;
    drop(ends);
    eventually("one", || hub.stats().state.streams == 1).await;
    SockRef::from(&resets.stream)
        .set_linger(Some(Duration::ZERO))
        .expect("it is open");
    drop(resets);
    eventually("none", || hub.stats().state.streams == 0).await;
    assert_eq!(hub.stats().state.gone, 2);
}

#[tokio::test]
async fn w8_1_to_3_the_options_of_a_socket() {
    let listener = socket::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let addr = listener.local_addr().expect("an address");
    let _client = TcpStream::connect(addr).await.expect("connects");
    let (accepted, _) = listener.accept().expect("a connection");
    let timeout = Duration::from_secs(35);
    socket::set_options(&accepted, timeout);
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().expect("an option"));
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket.tcp_notsent_lowat().expect("an option"), 128 << 10);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(timeout));
    }
}

/// At a backlog of 128 the kernel drops the connections past it, which a client tries again a second later.
#[cfg(target_os = "linux")]
#[test]
fn w8_5_the_backlog_takes_a_thousand_connections_that_nobody_accepts() {
    let most: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let wanted = 1000.min(most);
    let listener = socket::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let addr = listener.local_addr().expect("an address");
    let connect = |_| std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(900));
    let connections: Result<Vec<_>, _> = (0..wanted).map(connect).collect();
    assert_eq!(connections.expect("no SYN is lost").len(), wanted);
}

#[tokio::test]
async fn a_busy_port_is_a_clear_error() {
    let first = sse_state_tokio::listen("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = first.local_addr().expect("an address");
    let error = sse_state_tokio::listen(addr)
        .await
        .expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}
