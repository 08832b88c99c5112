//! What a route may say, setting by setting, and what is said of one that makes no sense.

mod support;

use std::time::Duration;

use sse_state_hub::{
    App, BuildError, Error, Fault, Heartbeat, Mistake, Name, NoRuntime, Polling, PublishError,
    Route, ServeError, Slow, Source, Start,
};
use support::{Server, builder, hub};

const SECOND: Duration = Duration::from_secs(1);

/// A setting, and its name.
type Setting = (&'static str, fn(Route) -> Route);

const OF_TOPICS: [Setting; 10] = [
    ("log", |route| route.log(1)),
    ("log_bytes", |route| route.log_bytes(1)),
    ("history", |route| route.history(1)),
    ("retention", |route| route.retention(SECOND)),
    ("linger", |route| route.linger(SECOND)),
    ("dedupe", |route| route.dedupe(false)),
    ("slow", |route| route.slow(Slow::Skip)),
    ("notice", |route| route.notice(true)),
    ("own_ids", Route::own_ids),
    ("source", |route| route.source(source())),
];

const OF_STREAMS: [Setting; 5] = [
    ("start", |route| route.start(Start::Now)),
    ("heartbeat", |route| route.heartbeat(Heartbeat::Default)),
    ("retry", |route| route.retry(true)),
    ("lifetime", |route| route.lifetime(SECOND)),
    ("end_when_finished", Route::end_when_finished),
];

fn source() -> Source {
    Source::new(|_, _| std::future::pending())
}

fn publishes() -> Route {
    Route::publish_to(|_| None).open_to_anyone()
}

fn page() -> Route {
    Route::fixed("text/html", "")
}

fn responds() -> Route {
    Route::respond(|_| unreachable!("nobody asks"))
}

fn faults(app: &App) -> Vec<Fault> {
    let problems = app.check().err();
    let problems = problems.iter().flat_map(|error| error.problems());
    problems.map(|problem| problem.fault.clone()).collect()
}

/// What is wrong with one route, served by GET.
fn got(route: Route) -> Vec<Fault> {
    faults(&App::new(&hub()).get("/", route))
}

/// What is wrong with one route, served by POST.
fn posted(route: Route) -> Vec<Fault> {
    faults(&App::new(&hub()).post("/", route))
}

fn unused(setting: &'static str) -> Vec<Fault> {
    vec![Fault::Route(Mistake::Unused(setting))]
}

fn conflict() -> Fault {
    Fault::Conflict(Name::new("a").unwrap())
}

#[tokio::test]
async fn what_is_said_of_streams_is_said_of_streams_only() {
    let told = [
        (&OF_TOPICS[..], "an option of a topic"),
        (&OF_STREAMS[..], "an option of streams"),
    ];
    for (settings, what) in told {
        for (name, set) in settings {
            assert_eq!(posted(set(publishes())), unused(what), "{name}");
            assert_eq!(got(set(page())), unused(what), "{name}");
            assert_eq!(got(set(responds())), unused(what), "{name}");
            assert_eq!(got(set(Route::topic("a"))), [], "{name}");
            assert_eq!(got(set(Route::topic_from(|_| None))), [], "{name}");
            assert_eq!(got(set(Route::from_url())), [], "{name}");
        }
    }
    assert_eq!(posted(publishes()), []);
    for route in [page(), responds(), Route::topic("a"), Route::from_url()] {
        assert_eq!(got(route), []);
    }
}

#[tokio::test]
async fn a_topic_takes_its_options_from_the_routes_that_serve_it_alone() {
    for (name, set) in OF_TOPICS {
        let of_several = "options of a topic, several of which are named,";
        assert_eq!(
            got(set(Route::topics(["a", "b"]))),
            unused(of_several),
            "{name}"
        );
        // Whoever says nothing does not contradict.
        let app = App::new(&hub())
            .get("/one", set(Route::topic("a")))
            .get("/other", Route::topic("a"))
            .get("/both", Route::topics(["a", "b"]));
        assert_eq!(faults(&app), [], "{name}");
        let app = App::new(&hub())
            .get("/one", set(Route::topic("a")))
            .get("/other", Route::topic("a").log(17).log_bytes(1000));
        assert_eq!(faults(&app), [conflict()], "{name}");
    }
    let same = || Route::topic("a").log(3).retention(SECOND);
    let app = App::new(&hub()).get("/one", same()).get("/other", same());
    assert_eq!(faults(&app), []);
    let polled = || Route::topic("a").source(Polling::value(SECOND, || async { 1 }));
    let app = App::new(&hub())
        .get("/one", polled())
        .get("/other", polled());
    assert_eq!(faults(&app), [conflict()], "two sources");
}

#[tokio::test]
async fn who_may_read_and_who_may_publish() {
    let hook = |route: Route| route.authorize(|_| async { Ok(Default::default()) });
    assert_eq!(got(hook(Route::topic("a"))), []);
    assert_eq!(got(hook(page())), unused("authorize"));
    assert_eq!(got(hook(responds())), unused("authorize"));
    assert_eq!(
        got(Route::topic("a").open_to_anyone()),
        unused("open_to_anyone")
    );
    assert_eq!(got(publishes()), unused("get"));
    assert_eq!(posted(Route::topic("a")), unused("post"));
    assert_eq!(posted(hook(Route::publish("a"))), []);
    let unguarded = [Fault::Route(Mistake::PublishUnguarded)];
    assert_eq!(posted(Route::publish("a")), unguarded);
    assert_eq!(posted(Route::publish_to(|_| None)), unguarded);
    // One path may be read and published to.
    let publish = || Route::publish("a").open_to_anyone();
    let app = App::new(&hub())
        .get("/a", Route::topic("a"))
        .post("/a", publish());
    assert_eq!(faults(&app), []);
    let app = App::new(&hub())
        .get("/a", Route::topic("a").source(source()))
        .post("/a", publish());
    assert_eq!(faults(&app), [Fault::Route(Mistake::PublishToSource)]);
    let app = App::new(&hub())
        .get("/b", Route::topic("b").source(source()))
        .post("/a", publish());
    assert_eq!(faults(&app), [], "another topic");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_words() {
    let says = |faults: Vec<Fault>| faults.iter().map(Fault::to_string).collect::<Vec<_>>();
    assert_eq!(says(got(Route::topic(""))), ["a name cannot be empty"]);
    let publish = Route::publish("").open_to_anyone();
    assert_eq!(says(posted(publish)), ["a name cannot be empty"]);
    assert_eq!(
        says(got(Route::topics(["a", "a"]))),
        ["a stream has at least one topic, and none twice"]
    );
    assert_eq!(
        says(got(Route::topic("a").log(0))),
        ["a log holds at least one frame and one byte"]
    );
    assert_eq!(
        says(got(Route::from_url().query(["a", "a"]))),
        ["the query parameter \"a\" is named twice"]
    );
    assert_eq!(
        says(got(Route::topic("a").query(["a"]))),
        ["`query` means nothing on this kind of route"]
    );
    assert_eq!(
        says(got(responds().header("a", "b"))),
        ["`header` means nothing on this kind of route"]
    );
    assert_eq!(
        says(got(Route::topic("a").source(source()).source(source()))),
        ["a topic has one source"]
    );
    assert_eq!(
        says(got(Route::topic("a").start(Start::After("1".into())))),
        ["where to resume is said by clients"]
    );
    let twice = App::new(&hub()).get("/a", page()).get("/a", page());
    let twice = twice.check().expect_err("twice").to_string();
    assert!(
        twice.starts_with("the app does not fit together: \"/a\": ") && twice.ends_with(';'),
        "{twice}"
    );

    let hub = builder().topics(1).build().expect("a hub");
    let app = App::new(&hub)
        .get("/a", Route::topic("a"))
        .get("/b", Route::topic("b"));
    assert_eq!(faults(&app), [], "it declares nothing");
    let error = Server::start(app)
        .serving
        .await
        .expect("served")
        .expect_err("too many");
    let ServeError::App(problems) = &error else {
        panic!("{error}")
    };
    let [problem] = problems.problems() else {
        panic!("{error}")
    };
    assert_eq!(problem.pattern, "");
    assert!(
        matches!(&problem.fault, Fault::Declare(topic, Error::Full(_)) if topic.as_str() == "b")
    );
    assert_eq!(error.to_string(), problems.to_string());
    assert!(error.to_string().contains("topic \"b\": "), "{error}");
    let error = std::io::Error::from(error);
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);

    let error = builder().subscribers(0).build().expect_err("none at all");
    assert_eq!(error.to_string(), "`subscribers` cannot be zero");
    let error = BuildError::NoRuntime(NoRuntime);
    assert_eq!(
        error.to_string(),
        "not inside a runtime: build the hub where its tasks can be spawned"
    );
    let error = builder().record("/").build().expect_err("a folder");
    assert!(
        error.to_string().starts_with("cannot write the journal: "),
        "{error}"
    );
    let error = PublishError::from(Error::Stale);
    assert_eq!(error.to_string(), Error::Stale.to_string());
}
