//! What a server under check is built with, and how it is told to stop.

use std::env;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use sse_state::Config;
use sse_state_hub::{
    Answer, App, Event, Grant, Hub, HubBuilder, OriginRules, Polling, Refuse, Route, Runtime, Slow,
    Source,
};

use crate::clients;

/// Settings of one server, handed to its process in its environment.
#[derive(Clone, Debug)]
pub struct Settings {
    text: String,
}

impl Settings {
    /// Those of this process, if it was started to serve.
    pub(crate) fn of_this_process() -> Option<Settings> {
        let text = env::var(VARIABLE).ok()?;
        Some(Settings { text })
    }

    /// A hub with these settings.
    pub fn builder<R: Runtime>(&self) -> HubBuilder<R> {
        let config = self.config();
        let hosts = self.all().filter(|(name, _)| *name == ALLOWED_HOSTS);
        Hub::builder()
            .heartbeat(config.heartbeat)
            .write_timeout(config.write_timeout)
            .head_timeout(config.head_timeout)
            .grace(config.grace)
            .topics_by_request(config.topics_by_request)
            .allowed_hosts(hosts.map(|(_, host)| host))
            .cors(self.cors())
    }

    /// Pages of which other origins may read and publish.
    fn cors(&self) -> OriginRules {
        let of = |wanted| {
            let of_it = self.all().filter(move |(name, _)| *name == wanted);
            OriginRules::list(of_it.map(|(_, origin)| origin))
                .expect("origins as browsers send them")
        };
        // Without a list there is nothing to send credentials to.
        of(CREDENTIALS).with_credentials().unwrap_or(of(CORS))
    }

    /// The bounds of a machine with these settings, for a loop without the hub.
    ///
    /// # Panics
    /// If a setting is not known.
    pub fn config(&self) -> Config {
        let mut config = Config {
            write_timeout: Duration::from_secs(20),
            grace: Duration::from_secs(2),
            ..example_service::config()
        };
        for (name, value) in self.all() {
            if OF_THE_HUB.contains(&name) {
                continue;
            }
            let number: u32 = value.parse().expect("a number");
            let millis = Duration::from_millis(u64::from(number));
            match name {
                "heartbeat" => config.heartbeat = millis,
                "write_timeout" => config.write_timeout = millis,
                "head_timeout" => config.head_timeout = millis,
                "grace" => config.grace = millis,
                "topics_by_request" => config.topics_by_request = number,
                _ => panic!("no setting is called {name}"),
            }
        }
        config
    }

    /// Names and values.
    ///
    /// # Panics
    /// If a setting has no value.
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.text.split_whitespace();
        settings.map(|setting| setting.split_once('=').expect("name=value"))
    }

    /// The service that the checks know.
    pub fn app<R: Runtime>(&self, hub: &Hub<R>) -> App {
        let stats = hub.clone();
        let ticks = Polling::value(Duration::from_millis(20), || async { 1 });
        let three = Source::new(|_, publisher| async move {
            for number in 1..=3 {
                let text = number.to_string();
                let _ = publisher.publish_wait(Event::new(&text)).await;
            }
        });
        clients::routes(App::new(hub), hub)
            .get(
                "/news",
                Route::topic("news")
                    .history(64)
                    .retention(Duration::from_secs(600)),
            )
            .post("/news", Route::publish("news").open_to_anyone())
            .get(
                "/tight",
                Route::topic("tight").log(8).slow(Slow::Skip).notice(true),
            )
            .post("/tight", Route::publish("tight").open_to_anyone())
            .get("/close", Route::topic("close").log(4).slow(Slow::Close))
            .post("/close", Route::publish("close").open_to_anyone())
            .get("/poll", Route::topic("poll").source(ticks).dedupe(false))
            .get(
                "/three",
                Route::topic("three").source(three).end_when_finished(),
            )
            .get(
                "/members",
                Route::topic("members").authorize(|asked| async move {
                    match asked.bearer() {
                        Some("sesame") => Ok(Grant::new()),
                        _ => Err(Refuse::new(401).challenge("Bearer")),
                    }
                }),
            )
            .get("/any/{*rest}", Route::from_url())
            .get(
                "/stats",
                Route::respond(move |_| {
                    Answer::fixed("application/json", stats.stats().to_json())
                        .expect("a content type without control characters")
                }),
            )
    }

    /// Tells where the server listens.
    pub fn listening(&self, addr: SocketAddr) {
        println!("{addr}");
        let _ = std::io::stdout().flush();
    }

    /// Ready once the server is to shut down: its standard input has ended.
    pub fn asked_to_stop(&self) -> AskedToStop {
        let shared = Arc::new(Mutex::new((false, None::<Waker>)));
        let told = Arc::clone(&shared);
        self.when_asked_to_stop(move || {
            let waker = {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.0 = true;
                told.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        AskedToStop(shared)
    }

    /// The same for a loop without futures: calls this, on a thread.
    pub fn when_asked_to_stop(&self, stop: impl FnOnce() + Send + 'static) {
        thread::spawn(move || {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop();
        });
    }
}

/// See [`Settings::asked_to_stop`].
#[derive(Debug)]
pub struct AskedToStop(Arc<Mutex<(bool, Option<Waker>)>>);

impl Future for AskedToStop {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.0 {
            return Poll::Ready(());
        }
        shared.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The variable that makes a process a server.
pub(crate) const VARIABLE: &str = "SSE_STATE_CONFORMANCE";
/// A host behind a proxy; see `HubBuilder::allowed_hosts`.
const ALLOWED_HOSTS: &str = "allowed_hosts";
/// An origin whose pages may read and publish; see `HubBuilder::cors`.
const CORS: &str = "cors";
/// The same, with credentials.
const CREDENTIALS: &str = "credentials";
/// What a loop without the hub does not have.
const OF_THE_HUB: [&str; 3] = [ALLOWED_HOSTS, CORS, CREDENTIALS];
