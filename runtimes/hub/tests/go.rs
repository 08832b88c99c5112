//! The rows of DESIGN §5: what the Go package did, done here.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use sse_state_hub::{
    App, Error, Event, Fault, Mistake, NoRuntime, PublishError, Published, Publisher, Route,
    Source, StopReason,
};
use sse_state_tokio::{BuildError, Hub};
use support::told::{Told, counting};
use support::{Server, body, broken, builder, data, events, eventually, get, hub, settle};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn go_manager_is_built_inside_a_runtime_only() {
    let error = Hub::builder().build().expect_err("no runtime");
    assert!(matches!(error, BuildError::NoRuntime(NoRuntime)));
}

#[tokio::test(start_paused = true)]
async fn go_manager_ends_with_its_last_handle() {
    let hub = hub();
    let ended = hub.ended();
    let (polling, _, stops) = counting(SECOND);
    let app = App::new(&hub).get("/load", Route::topic("load").source(polling));
    let server = Server::start(app);
    let mut client = server.open("/load").await;
    drop(hub);
    settle().await;
    client.until("data: 1\n\n").await;
    // The server holds the last one.
    server.serving.abort();
    ended.await;
    assert!(client.end().await.is_err(), "no grace: a reset");
    assert_eq!(stops.all(), [StopReason::HubDropped]);
}

#[tokio::test(start_paused = true)]
async fn go_manager_heartbeat_zero_is_the_default_and_a_route_may_override_it() {
    let hub = builder().heartbeat(Duration::ZERO).build().expect("a hub");
    let own = sse_state_hub::Heartbeat::Event(2 * SECOND);
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/b", Route::topic("b").heartbeat(own));
    let server = Server::start(app);
    let start = Instant::now();
    let mut b = server.open("/b").await;
    b.until("event: sse-heartbeat\ndata: {}\n\n").await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1750) && took < Duration::from_millis(2100),
        "{took:?}"
    );
    let start = Instant::now();
    let mut a = server.open("/a").await;
    // The second comment; the first begins the stream.
    a.until_count(":\n\n", 2).await;
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(13_125) && took < Duration::from_millis(15_200),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn go_publish_reaches_every_current_subscriber_and_an_absent_topic_nothing() {
    let hub = hub();
    let app = App::new(&hub).get("/{*any}", Route::from_url());
    let server = Server::start(app);
    let nobody = Published {
        streams: 0,
        id: None,
        unchanged: false,
    };
    assert_eq!(hub.publish("/a", Event::new("1")), Ok(nobody));
    let mut one = server.open("/a").await;
    let mut two = server.open("/a").await;
    let _other = server.open("/b").await;
    for number in 0..50 {
        let published = hub
            .publish("/a", Event::new(&number.to_string()))
            .expect("published");
        assert_eq!((published.streams, published.unchanged), (2, false));
        settle().await;
    }
    let all: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for client in [&mut one, &mut two] {
        assert_eq!(data(&client.until("data: 49\n\n").await), all);
    }
    assert_eq!(hub.stats().unheard, 1);
}

#[tokio::test(start_paused = true)]
async fn go_publish_at_each_step_of_a_leave_reaches_exactly_the_members() {
    let hub = hub();
    let (polling, _, stops) = counting(3600 * SECOND);
    let route = Route::topic_from(|params| params.get("id").map(str::to_owned))
        .source(polling)
        .dedupe(false)
        .linger(SECOND);
    let server = Server::start(App::new(&hub).get("/{id}", route));
    let streams = |text: &str| {
        hub.publish("x", Event::new(text))
            .expect("published")
            .streams
    };
    assert_eq!(streams("before"), 0);
    let client = server.open("/x").await;
    settle().await;
    assert_eq!(streams("joined"), 1);
    drop(client);
    eventually("gone", || hub.stats().state.streams == 0).await;
    assert_eq!(hub.stats().state.sources, 1, "lingers");
    assert_eq!(streams("lingers"), 0);
    let mut client = server.open("/x").await;
    assert_eq!(streams("back"), 1);
    client.until("data: back\n\n").await;
    assert_eq!(data(&client.text()), ["back"]);
    assert_eq!(stops.all(), [], "the same run");
    drop(client);
    eventually("stopped", || !stops.all().is_empty()).await;
    assert_eq!(streams("stopped"), 0);
    assert_eq!(hub.topic("x"), None, "removed");
    assert_eq!(stops.all(), [StopReason::NoSubscribers]);
}

#[tokio::test(start_paused = true)]
async fn go_handler_creates_the_topic_on_demand_and_in_one_step() {
    let hub = hub();
    let app = App::new(&hub).get("/{*any}", Route::from_url());
    let server = Server::start(app);
    assert_eq!(hub.topic("/api?x=1"), None);
    let client = server.open("/api?x=1&lastEventId=9").await;
    let interest = hub.topic("/api?x=1").expect("it exists");
    assert_eq!((interest.streams, interest.source), (1, false));
    drop(client);
    eventually("gone", || hub.topic("/api?x=1").is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn go_custom_topics() {
    let hub = hub();
    let device = Route::topic_from(|params| match params.get("id") {
        Some("none") => None,
        Some(id) => Some(format!(
            "device/{id}/{}",
            params.query("v").unwrap_or_default()
        )),
        None => None,
    });
    let app = App::new(&hub)
        .get("/fixed", Route::topic("name of its own"))
        .get("/device/{id}", device)
        .get("/url/{*any}", Route::from_url().query(["b", "a"]));
    let server = Server::start(app);
    let mut streams = Vec::new();
    for (target, topic) in [
        ("/fixed?whatever", "name of its own"),
        ("/device/%61%20b?v=%41", "device/a b/A"),
        ("/url/%61?a=1&x=2&b=3", "/url/a?b=3&a=1"),
    ] {
        streams.push(server.open(target).await);
        assert_eq!(
            hub.topic(topic).map(|interest| interest.streams),
            Some(1),
            "{topic}"
        );
    }
    let answer = server.ask(&get("/device/none", "")).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let empty = App::new(&hub).get("/", Route::topic("")).check();
    let faults: Vec<Fault> = problems(empty);
    assert!(
        matches!(faults[..], [Fault::Route(Mistake::Name(_))]),
        "{faults:?}"
    );
}

fn problems(checked: Result<(), sse_state_hub::AppError>) -> Vec<Fault> {
    let error = checked.expect_err("it does not fit together");
    error
        .problems()
        .iter()
        .map(|problem| problem.fault.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn go_source_is_started_once_per_topic_life_and_stopped_in_the_background() {
    let hub = hub();
    let (starts, drops, stops) = (Told::default(), Told::default(), Told::default());
    struct OnDrop(Told<&'static str>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.tell("dropped");
        }
    }
    let (started, dropped, stopped) = (starts.clone(), drops.clone(), stops.clone());
    let source = Source::new(move |topic, publisher: Publisher| {
        started.tell((topic.to_string(), publisher.clone()));
        let on_drop = OnDrop(dropped.clone());
        async move {
            let _on_drop = on_drop;
            publisher.publish(Event::new("hello")).expect("it runs");
            std::future::pending::<()>().await;
        }
    })
    .on_stop(move |reason| stopped.tell(reason));
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(source)));
    assert!(starts.all().is_empty(), "nobody listens");
    let mut one = server.open("/a").await;
    one.until("data: hello\n\n").await;
    let two = server.open("/a").await;
    settle().await;
    assert_eq!(starts.all().len(), 1);
    assert_eq!(starts.all()[0].0, "a");
    drop((one, two));
    eventually("stopped", || stops.all() == [StopReason::NoSubscribers]).await;
    assert_eq!(drops.all(), ["dropped"]);
    let mut three = server.open("/a").await;
    three.until("data: hello\n\n").await;
    assert_eq!(starts.all().len(), 2, "a fresh run");
    // The publisher of the run before reaches nobody.
    let old = starts.all()[0].1.clone();
    let refused = old.publish(Event::new("late"));
    assert_eq!(refused, Err(PublishError::Refused(Error::Stale)));
    assert_eq!(data(&three.text()), ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn go_source_is_stopped_by_request_and_starts_afresh_with_the_next_first() {
    let hub = hub();
    let (polling, polls, stops) = counting(SECOND);
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").source(polling)));
    assert_eq!(hub.stop_source("a"), Err(Error::Absent), "it does not run");
    let mut one = server.open("/a").await;
    one.until("data: 1\n\n").await;
    hub.stop_source("a").expect("it runs");
    eventually("stopped", || stops.all() == [StopReason::Asked]).await;
    let before = polls.load(Ordering::SeqCst);
    let two = server.open("/a").await;
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(
        polls.load(Ordering::SeqCst),
        before,
        "not while subscribers remain"
    );
    drop((one, two));
    eventually("gone", || hub.stats().state.streams == 0).await;
    let mut three = server.open("/a").await;
    three.until(&format!("data: {}\n\n", before + 1)).await;
    assert_eq!(stops.all(), [StopReason::Asked], "once per start");
}

#[tokio::test(start_paused = true)]
async fn go_source_that_panics_or_returns_is_told_once() {
    let hub = hub();
    let stops = Told::default();
    let (one, two, three) = (stops.clone(), stops.clone(), stops.clone());
    let panics =
        Source::new(|_, _| async { broken() }).on_stop(move |reason| one.tell(("panics", reason)));
    let returns = Source::new(|_, _| async {}).on_stop(move |reason| two.tell(("returns", reason)));
    let broken = Source::new(|_, _| -> std::future::Ready<()> { broken() })
        .on_stop(move |reason| three.tell(("broken", reason)));
    let app = App::new(&hub)
        .get("/panics", Route::topic("panics").source(panics))
        .get("/returns", Route::topic("returns").source(returns))
        .get("/broken", Route::topic("broken").source(broken));
    let server = Server::start(app);
    let mut open = Vec::new();
    for target in ["/panics", "/returns", "/broken"] {
        open.push(server.open(target).await);
        settle().await;
    }
    let expected = [
        ("panics", StopReason::Panicked),
        ("returns", StopReason::Finished),
        ("broken", StopReason::Panicked),
    ];
    assert_eq!(stops.all(), expected);
    drop(open);
    eventually("gone", || hub.stats().state.streams == 0).await;
    assert_eq!(stops.all(), expected);
    assert_eq!(hub.stats().state.sources, 0);
}

#[derive(Serialize)]
struct Reading {
    zeta: u32,
    alpha: f64,
    map: HashMap<String, u32>,
}

#[tokio::test(start_paused = true)]
async fn go_value_is_one_line_of_compact_json_and_equal_maps_are_equal() {
    let hub = hub();
    let app = App::new(&hub).get("/a", Route::topic("a").dedupe(true));
    let server = Server::start(app);
    let mut client = server.open("/a").await;
    let keys = ["b", "a", "<&>", "ä"];
    let map = |order: &[usize]| -> HashMap<String, u32> {
        order
            .iter()
            .map(|&key| (keys[key].to_owned(), key as u32))
            .collect()
    };
    let reading = |order: &[usize]| Reading {
        zeta: 1,
        alpha: 0.5,
        map: map(order),
    };
    let first = hub
        .publish_json("a", &reading(&[0, 1, 2, 3]))
        .expect("published");
    let again = hub
        .publish_json("a", &reading(&[3, 2, 1, 0]))
        .expect("published");
    assert_eq!((first.unchanged, again.unchanged), (false, true));
    let text = client.until("data: ").await;
    let json = r#"{"zeta":1,"alpha":0.5,"map":{"<&>":2,"a":1,"b":0,"ä":3}}"#;
    assert_eq!(data(&text), [json]);
    // serde_json's maps keep the order of insertion here: its feature `preserve_order` is on.
    let one: serde_json::Value = serde_json::from_str(r#"{"b":{"y":1,"x":2},"a":3}"#).unwrap();
    let other: serde_json::Value = serde_json::from_str(r#"{"a":3,"b":{"x":2,"y":1}}"#).unwrap();
    assert_ne!(one.to_string(), other.to_string(), "the feature is on");
    let first = hub.publish_json("a", &one).expect("published");
    let again = hub.publish_json("a", &other).expect("published");
    assert_eq!((first.unchanged, again.unchanged), (false, true));
    client
        .until("data: {\"a\":3,\"b\":{\"x\":2,\"y\":1}}\n\n")
        .await;
}

#[tokio::test(start_paused = true)]
async fn go_log_of_64_frames_by_default_and_a_policy_instead_of_silence() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").history(64)));
    let mut client = server.open("/a").await;
    client.until("retry: ").await;
    client.set_window(0);
    settle().await;
    for number in 0..100 {
        hub.publish("a", Event::new(&number.to_string()))
            .expect("published");
    }
    client.set_window(1 << 20);
    let text = client.until("data: 99\n").await;
    let events = events(&text);
    let gaps: Vec<&str> = events
        .iter()
        .filter(|(name, _)| name == "sse-gap")
        .map(|(_, data)| data.as_str())
        .collect();
    assert_eq!(events.last().map(|(_, data)| data.as_str()), Some("99"));
    let got = events.len() - gaps.len();
    let missed = 100 - got;
    assert!((35..=36).contains(&missed), "{missed}");
    assert_eq!(
        gaps,
        [format!(r#"{{"topic":"a","missed":{missed},"why":"slow"}}"#)]
    );
    assert_eq!(hub.stats().state.missed, missed as u64);
}

#[tokio::test(start_paused = true)]
async fn go_unchanged_publish_reaches_nobody_while_a_newcomer_gets_the_value_at_once() {
    let hub = hub();
    let server = Server::start(App::new(&hub).get("/a", Route::topic("a").dedupe(true)));
    let mut one = server.open("/a").await;
    hub.publish("a", Event::new("1")).expect("published");
    one.until("data: 1\n\n").await;
    let published = hub.publish("a", Event::new("1")).expect("published");
    assert!(published.unchanged);
    let mut two = server.open("/a").await;
    two.until("data: 1\n\n").await;
    settle().await;
    one.read(usize::MAX).expect("it is open");
    assert_eq!(data(&one.text()), ["1"]);
    // The value dies with the last subscriber.
    drop((one, two));
    eventually("gone", || hub.stats().state.streams == 0).await;
    let mut three = server.open("/a").await;
    hub.publish("a", Event::new("2")).expect("published");
    three.until("data: 2\n\n").await;
    assert_eq!(data(&three.text()), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn go_several_sources_of_one_name_do_not_build() {
    let hub = hub();
    let app = App::new(&hub)
        .get("/a", Route::topic("a").source(counting(SECOND).0))
        .get("/b", Route::topic("a").source(counting(SECOND).0))
        .get("/c", Route::topic("a"))
        .get("/d", Route::topic("a").history(3));
    let faults = problems(app.check());
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(
        faults
            .iter()
            .all(|fault| matches!(fault, Fault::Conflict(_)))
    );
    // Also of two apps over one hub.
    let one = App::new(&hub).get("/a", Route::topic("z").source(counting(SECOND).0));
    let two = App::new(&hub).get("/a", Route::topic("z").source(counting(SECOND).0));
    let _server = Server::start(one);
    settle().await;
    let second = Server::start(two).serving.await.expect("it ran");
    assert!(second.is_err(), "two sources");
}

#[tokio::test(start_paused = true)]
async fn go_conflicts_of_topics_that_requests_name_are_500_and_counted() {
    let hub = hub();
    let name = |params: &sse_state_hub::Params<'_>| params.get("name").map(str::to_owned);
    let app = App::new(&hub)
        .get("/a/{name}", Route::topic_from(name).log(3))
        .get("/b/{name}", Route::topic_from(name).log(4))
        .get(
            "/c/{name}",
            Route::topic_from(name).source(counting(SECOND).0),
        )
        .get(
            "/d/{name}",
            Route::topic_from(name).source(counting(SECOND).0),
        )
        .get("/e/{name}", Route::topic_from(name));
    let server = Server::start(app);
    let _a = server.open("/a/x").await;
    let _e = server.open("/e/x").await;
    let answer = server.ask(&get("/b/x", "")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(body(&answer).contains("two ways"), "{answer}");
    assert_eq!(hub.stats().state.refused_conflict, 1);
    let _c = server.open("/c/y").await;
    let answer = server.ask(&get("/d/y", "")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "two sources: {answer}");
}

#[test]
fn go_maps_are_equal_in_any_order_at_any_depth() {
    let sorted = BTreeMap::from([(2, "b"), (10, "a")]);
    // By the bytes of the keys, not by their numbers.
    assert_eq!(
        sse_state_hub::to_json(&sorted).unwrap(),
        r#"{"10":"a","2":"b"}"#
    );
}
