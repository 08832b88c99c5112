//! WIRE §7: who may.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sse_state_hub::{
    App, CloseReason, Event, Grant, Method, Publisher, Refuse, Route, Source, StreamEnd,
};
use support::{Server, broken, builder, data, eventually, get, hub, post, settle, status};
use tokio::sync::Notify;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn w7_the_hook_sees_method_topics_headers_and_peer() {
    let hub = hub();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        move |asked: sse_state_hub::Asked| {
            let topics: Vec<&str> = asked.topics().iter().map(|topic| topic.as_str()).collect();
            let line = format!(
                "{:?} {topics:?} {} {:?} {:?} {:?} {:?} {:?}",
                asked.method(),
                asked.path(),
                asked.bearer(),
                asked.header("x-twice"),
                asked.headers("X-Twice").count(),
                asked.parameter("id"),
                asked.peer().map(|peer| peer.to_string()),
            );
            seen.lock().unwrap().push(line);
            async { Ok(Grant::new()) }
        }
    };
    let app = App::new(&hub)
        .get("/all", Route::topics(["a", "b"]).authorize(see(&seen)))
        .get(
            "/dev/{id}",
            Route::topic_from(|params| params.get("id").map(|id| format!("dev {id}")))
                .authorize(see(&seen)),
        )
        .post("/a", Route::publish("a").authorize(see(&seen)));
    let server = Server::start(app);
    let lines = "Authorization: bearer  tok \r\nX-Twice: 1\r\nx-twice: 2\r\n";
    let _all = server.open_with("/all", lines).await;
    let _dev = server.open("/dev/%61").await;
    let answer = server.post("/a?event=x", "body").await;
    assert_eq!(status(&answer), 201);
    // Neither is a token.
    let _basic = server
        .open_with("/all", "Authorization: Basic tok\r\nX-Twice: 1\r\n")
        .await;
    let _none = server
        .open_with("/all", "Authorization: Bearer\t\r\n")
        .await;
    let peer = r#"Some("192.0.2.1:4711")"#;
    let expected = [
        format!(r#"Get ["a", "b"] /all Some("tok") None 2 None {peer}"#),
        format!(r#"Get ["dev a"] /dev/a None None 0 Some("a") {peer}"#),
        format!(r#"Post ["a"] /a None None 0 None {peer}"#),
        format!(r#"Get ["a", "b"] /all None Some([49]) 1 None {peer}"#),
        format!(r#"Get ["a", "b"] /all None None 0 None {peer}"#),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn w7_a_refusal_keeps_its_status_and_challenge_and_all_topics_go_or_none() {
    let hub = hub();
    let refuse = |status: u16, challenge: Option<&'static str>| {
        move |_| async move {
            let refuse = Refuse::new(status);
            Err(match challenge {
                Some(challenge) => refuse.challenge(challenge),
                None => refuse,
            })
        }
    };
    let app = App::new(&hub)
        .get(
            "/401",
            Route::topic("a").authorize(refuse(401, Some("Bearer"))),
        )
        .get(
            "/204",
            Route::topics(["a", "b"]).authorize(refuse(204, None)),
        )
        .get("/odd", Route::topic("a").authorize(refuse(99, None)))
        .get(
            "/text",
            Route::topic("a").authorize(|_| async { Err(Refuse::new(402).text("pay")) }),
        )
        .get(
            "/forged",
            Route::topic("a").authorize(refuse(401, Some("a\r\nb: c"))),
        )
        .post("/403", Route::publish("a").authorize(refuse(403, None)));
    let server = Server::start(app);
    let answer = server.ask(&get("/401", "")).await;
    assert_eq!(status(&answer), 401);
    assert!(
        answer.contains("\r\nWWW-Authenticate: Bearer\r\n"),
        "{answer}"
    );
    assert_eq!(status(&server.ask(&get("/204", "")).await), 204);
    assert_eq!(status(&server.ask(&get("/odd", "")).await), 500);
    let forged = server.ask(&get("/forged", "")).await;
    assert_eq!(status(&forged), 500);
    assert!(!forged.contains("b: c"));
    let refused = server.post("/403", "x").await;
    assert_eq!(
        (status(&refused), support::body(&refused)),
        (403, "refused\n")
    );
    let text = server.ask(&get("/text", "")).await;
    assert_eq!((status(&text), support::body(&text)), (402, "pay"));
    assert_eq!(hub.stats().state.subscribed, 0);
    assert_eq!(hub.stats().state.published, 0);
}

#[tokio::test(start_paused = true)]
async fn w7_a_hook_that_panics_lets_nobody_in() {
    let hub = hub();
    let app = App::new(&hub)
        .get(
            "/future",
            Route::topic("a").authorize(|_| async { broken() }),
        )
        .get(
            "/function",
            Route::topic("a")
                .authorize(|_| -> std::future::Ready<sse_state_hub::Decision> { broken() }),
        );
    let server = Server::start(app);
    assert_eq!(status(&server.ask(&get("/future", "")).await), 500);
    assert_eq!(status(&server.ask(&get("/function", "")).await), 500);
    assert_eq!(hub.stats().state.subscribed, 0);
}

#[tokio::test(start_paused = true)]
async fn w7_head_is_authorized_and_starts_nothing() {
    let hub = hub();
    let starts = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&starts);
    let source = Source::new(move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    });
    let methods = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&methods);
    let route = Route::from_url().source(source).authorize(move |asked| {
        seen.lock().unwrap().push(asked.method());
        let is_let_in = asked.query("pass").is_some();
        async move {
            if is_let_in {
                Ok(Grant::new())
            } else {
                Err(Refuse::new(403))
            }
        }
    });
    let server = Server::start(App::new(&hub).get("/{*any}", route));
    let head = "HEAD /a?pass=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server.ask(head).await;
    assert_eq!(status(&answer), 200);
    assert!(
        answer.contains("\r\nContent-Type: text/event-stream\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
    let refused = server.ask(&head.replace("?pass=1", "")).await;
    assert_eq!(status(&refused), 403);
    assert!(refused.ends_with("\r\n\r\n"), "no body: {refused}");
    assert_eq!(*methods.lock().unwrap(), [Method::Head, Method::Head]);
    assert_eq!(hub.topic("/a?pass=1"), None);
    assert_eq!(
        (starts.load(Ordering::SeqCst), hub.stats().state.subscribed),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn w7_a_stream_ends_in_order_at_the_expiry_of_its_grant() {
    let hub = hub();
    let route =
        |grant: fn() -> Grant| Route::topic("a").authorize(move |_| async move { Ok(grant()) });
    let app = App::new(&hub)
        .get("/in", route(|| Grant::new().expires_in(10 * SECOND)))
        .get(
            "/past",
            route(|| Grant::new().expires_at(SystemTime::now() - SECOND)),
        )
        .get("/bad", route(|| Grant::new().key("no\nname")));
    let server = Server::start(app);
    let start = Instant::now();
    let mut client = server.open("/in").await;
    tokio::time::sleep(9 * SECOND).await;
    hub.publish("a", Event::new("in time")).expect("published");
    client.end().await.expect("in order");
    let took = start.elapsed();
    assert!(
        took >= 10 * SECOND && took < 10 * SECOND + SECOND / 2,
        "{took:?}"
    );
    assert_eq!(data(&client.text()), ["in time"]);
    drop(client);
    let expired = || hub.stats().closed_for(CloseReason::Expired) == 1;
    eventually("counted", expired).await;
    assert_eq!(status(&server.ask(&get("/past", "")).await), 403);
    assert_eq!(status(&server.ask(&get("/bad", "")).await), 403);
}

#[tokio::test(start_paused = true)]
async fn w7_close_key_tells_how_many_streams_it_ends() {
    let hub = hub();
    let hook = |asked: sse_state_hub::Asked| async move {
        let key = asked.query("user").ok_or(Refuse::new(401))?;
        Ok(Grant::new().key(key))
    };
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").authorize(hook)));
    let mut clients = Vec::new();
    for user in ["1", "2", "2", "2"] {
        clients.push(server.open(&format!("/a?user={user}")).await);
    }
    assert_eq!(
        hub.close_key(""),
        Ok(0),
        "a text that is no name is nobody's"
    );
    assert_eq!(hub.close_key("2"), Ok(3));
    for client in &mut clients[1..] {
        client.end().await.expect("in order");
    }
    assert_eq!(hub.stats().state.streams, 1);
}

#[tokio::test(start_paused = true)]
async fn w7_close_key_ends_the_streams_of_a_principal_and_refuses_grants_begun_before() {
    let door = Arc::new(Notify::new());
    let waits = Arc::new(AtomicBool::new(false));
    let (hook_door, hook_waits) = (Arc::clone(&door), Arc::clone(&waits));
    let closed = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&closed);
    let hub = builder()
        .on_close(move |stream, end| {
            let key = stream.key.as_ref().map(|key| key.to_string());
            told.lock().unwrap().push((key, end));
        })
        .build()
        .expect("a hub");
    let route = Route::topic("a").authorize(move |asked| {
        let (door, waits) = (Arc::clone(&hook_door), Arc::clone(&hook_waits));
        async move {
            let key = asked.query("user").ok_or(Refuse::new(401))?;
            if waits.load(Ordering::SeqCst) {
                door.notified().await;
            }
            Ok(Grant::new().key(key))
        }
    });
    let server = Server::start(App::new(&hub).get("/a", route));
    let mut one = server.open("/a?user=1").await;
    let mut other = server.open("/a?user=2").await;
    waits.store(true, Ordering::SeqCst);
    let mut late = server.send(&get("/a?user=1", ""));
    settle().await;
    assert_eq!(hub.stats().state.deciding, 1);
    assert_eq!(hub.close_key("1"), Ok(1));
    assert_eq!(hub.close_key("nobody"), Ok(0));
    one.end().await.expect("in order");
    door.notify_one();
    late.end().await.expect("an answer");
    assert_eq!(status(&late.text()), 403, "it had begun before");
    waits.store(false, Ordering::SeqCst);
    let _again = server.open("/a?user=1").await;
    hub.publish("a", Event::new("1")).expect("published");
    other.until("data: 1\n\n").await;
    drop(one);
    eventually("told", || !closed.lock().unwrap().is_empty()).await;
    let asked = StreamEnd::Closed(CloseReason::Asked);
    assert_eq!(*closed.lock().unwrap(), [(Some("1".into()), asked)]);
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn hanging(
    dropped: &Arc<AtomicBool>,
) -> impl Fn(sse_state_hub::Asked) -> Hanging + Send + Sync + use<> {
    let dropped = Arc::clone(dropped);
    move |_| {
        let flag = Flag(Arc::clone(&dropped));
        Box::pin(async move {
            let _flag = flag;
            std::future::pending().await
        })
    }
}

type Hanging = std::pin::Pin<Box<dyn Future<Output = sse_state_hub::Decision> + Send>>;

#[tokio::test(start_paused = true)]
async fn w7_the_hook_is_dropped_when_the_peer_leaves() {
    let hub = hub();
    let dropped = Arc::new(AtomicBool::new(false));
    let app = App::new(&hub)
        .get("/a", Route::topic("a").authorize(hanging(&dropped)))
        .post("/a", Route::publish("a").authorize(hanging(&dropped)));
    let server = Server::start(app);
    for request in [get("/a", ""), post("/a", "body")] {
        dropped.store(false, Ordering::SeqCst);
        let client = server.send(&request);
        settle().await;
        assert_eq!(hub.stats().state.deciding, 1);
        assert!(!dropped.load(Ordering::SeqCst));
        drop(client);
        let start = Instant::now();
        eventually("dropped", || dropped.load(Ordering::SeqCst)).await;
        assert!(start.elapsed() < SECOND, "at once");
        assert_eq!(hub.stats().state.deciding, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn w7_the_hook_is_dropped_when_the_head_deadline_passes() {
    let hub = hub();
    let dropped = Arc::new(AtomicBool::new(false));
    let app = App::new(&hub)
        .get("/a", Route::topic("a").authorize(hanging(&dropped)))
        .post("/a", Route::publish("a").authorize(hanging(&dropped)));
    let server = Server::start(app);
    let start = Instant::now();
    let mut client = server.send(&get("/a", ""));
    client.end().await.expect_err("cut");
    eventually("dropped", || dropped.load(Ordering::SeqCst)).await;
    let took = start.elapsed();
    assert!(took >= 10 * SECOND && took < 11 * SECOND, "{took:?}");
    assert_eq!(hub.stats().closed_for(CloseReason::HeadTimeout), 1);
    // Nor does it outlive that if the peer leaves behind a body of which most is unread.
    dropped.store(false, Ordering::SeqCst);
    let start = Instant::now();
    drop(server.send(&post("/a", &"x".repeat(60_000))));
    eventually("dropped", || dropped.load(Ordering::SeqCst)).await;
    let took = start.elapsed();
    assert!(took >= 10 * SECOND && took < 11 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn w7_more_than_the_bound_of_hooks_is_refused() {
    let hub = builder().deciding(2).build().expect("a hub");
    let dropped = Arc::new(AtomicBool::new(false));
    let app = App::new(&hub)
        .get("/a", Route::topic("a").authorize(hanging(&dropped)))
        .get("/open", Route::topic("a"))
        .post("/a", Route::publish("a").authorize(hanging(&dropped)));
    let server = Server::start(app);
    let _one = server.send(&get("/a", ""));
    let _two = server.send(&get("/a", ""));
    settle().await;
    let answer = server.ask(&get("/a", "")).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    assert_eq!(status(&server.post("/a", "x").await), 503);
    let _open = server.open("/open").await;
    assert!(!dropped.load(Ordering::SeqCst), "nobody was evicted");
}

#[tokio::test(start_paused = true)]
async fn w7_the_source_gets_the_topic_and_never_the_request() {
    let hub = hub();
    let topics = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&topics);
    // Its type is the proof: a name and a publisher.
    let source = Source::new(move |topic: sse_state_hub::Name, publisher: Publisher| {
        assert_eq!(&topic, publisher.topic());
        seen.lock().unwrap().push(topic);
        std::future::pending()
    });
    let server = Server::start(App::new(&hub).get("/{*any}", Route::from_url().source(source)));
    let _client = server
        .open_with("/a%20b?x=%31", "Cookie: secret=1\r\n")
        .await;
    settle().await;
    let topics = topics.lock().unwrap();
    assert_eq!(
        topics.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["/a b?x=%31"]
    );
}

#[test]
fn w7_values_of_a_request_are_not_in_its_debug_text() {
    let (sent, seen) = std::sync::mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let hub = hub();
        let route = Route::topic("a").authorize(move |asked| {
            let _ = sent.send(format!("{asked:?}"));
            async { Ok(Grant::new()) }
        });
        let server = Server::start(App::new(&hub).get("/{*any}", route));
        let target = format!("/{}?token=secret", "a".repeat(500));
        let _client = server
            .open_with(&target, "Authorization: Bearer secret\r\n")
            .await;
    });
    let text = seen.recv().expect("it was asked");
    assert!(!text.contains("secret"), "{text}");
    assert!(text.len() < 160, "{text}");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn w7_a_journal_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("sse-state-journal-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("journal");
    std::fs::write(&path, "before").expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let hub = builder().record(&path).build().expect("a hub");
    let mode = std::fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    hub.shutdown(SECOND).await;
    std::fs::remove_dir_all(&folder).expect("removed");
}
