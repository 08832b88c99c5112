//! The service that the checks know, on a loop without the hub.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use example_service::{Decision, Service};
use serde_json::json;
use sse_state::http::{Allow, Answer, Method, QueryRule, Refusal, Request};
use sse_state::{
    CloseReason, Engine, Error, Event, Input, Name, PollOutcome, Room, Slow, SourceEnd, SourceKind,
    SourceToken, Stats, Subscribe, SubscriberId, Time, TopicOptions, Via,
};

/// The same routes as [`Settings::app`](crate::Settings::app) has them.
pub struct Site {
    send: Feed,
    accept_errors: u64,
}

/// Hands an input to the loop, from any thread.
type Feed = Arc<dyn Fn(Input<'static>) + Send + Sync>;

impl Site {
    /// Declares its topics. `send` is how threads feed the loop.
    ///
    /// # Errors
    /// If the bounds of the machine leave no room for them.
    pub fn new(
        state: &mut impl Engine,
        send: impl Fn(Input<'static>) + Send + Sync + 'static,
    ) -> Result<Site, Error> {
        let plain = TopicOptions::default;
        let topics = [
            (
                "news",
                TopicOptions {
                    history: true,
                    retention: Duration::from_secs(600),
                    ..plain()
                },
            ),
            (
                "tight",
                TopicOptions {
                    log_frames: 8,
                    notice: Some(true),
                    ..plain()
                },
            ),
            (
                "close",
                TopicOptions {
                    log_frames: 4,
                    slow: Slow::Close,
                    ..plain()
                },
            ),
            (
                "poll",
                TopicOptions {
                    source: SourceKind::Interval(Duration::from_millis(20)),
                    ..plain()
                },
            ),
            (
                "three",
                TopicOptions {
                    source: SourceKind::External,
                    ..plain()
                },
            ),
            ("members", plain()),
        ];
        for (topic, options) in topics {
            let topic = Name::new(topic).map_err(|_| Error::Absent)?;
            let options = options.into();
            state.apply(Time::ZERO, Input::Declare { topic, options })?;
        }
        Ok(Site {
            send: Arc::new(send),
            accept_errors: 0,
        })
    }

    fn try_decide(
        &self,
        id: SubscriberId,
        request: &Request,
        state: &dyn Engine,
    ) -> Result<Decision, Answer> {
        let refused = |why: Refusal| Answer::refusal(&why);
        let path = request.path();
        let name = match path.strip_prefix('/').unwrap_or_default() {
            "stats" => {
                let stats = stats(&state.stats(), self.accept_errors);
                return Answer::fixed("application/json", stats.to_string())
                    .map(Decision::Answer)
                    .map_err(|_| refused(Refusal::NoRoute));
            }
            "members" if !is_member(request) => {
                let answer = Answer::status(401, "members only\n");
                let answer = answer.and_then(|answer| answer.challenge("Bearer"));
                return answer
                    .map(Decision::Answer)
                    .map_err(|_| refused(Refusal::NoRoute));
            }
            rest if rest.starts_with("any/") => {
                request.topic(&QueryRule::all()).map_err(refused)?
            }
            fixed => fixed.to_owned(),
        };
        let topic = Name::new(&name).map_err(|_| refused(Refusal::NoRoute))?;
        if request.method() == Method::Post {
            return Ok(Decision::Publish(topic));
        }
        let mut subscribe = Subscribe::new(Via::Connection(id), topic);
        subscribe.end_when_finished = path == "/three";
        Ok(Decision::Stream(Box::new(subscribe)))
    }
}

impl Service for Site {
    fn allows(&self, path: &str) -> Option<Allow> {
        match path {
            "/news" | "/tight" | "/close" => Some(Allow::GetPost),
            "/poll" | "/three" | "/members" | "/stats" => Some(Allow::Get),
            _ => path
                .strip_prefix("/any/")
                .is_some_and(|rest| !rest.is_empty())
                .then_some(Allow::Get),
        }
    }

    fn decide(&mut self, id: SubscriberId, request: &Request, state: &dyn Engine) -> Decision {
        self.try_decide(id, request, state)
            .unwrap_or_else(Decision::Answer)
    }

    fn poll(&mut self, _: &Name) -> PollOutcome {
        Event::new("1")
            .encode()
            .map_or(PollOutcome::Failed(None), PollOutcome::Frame)
    }

    fn start(&mut self, topic: &Name, token: SourceToken) {
        if topic.as_str() != "three" {
            return;
        }
        let send = Arc::clone(&self.send);
        thread::spawn(move || {
            for text in ["1", "2", "3"] {
                if let Ok(frame) = Event::new(text).encode() {
                    let room = Room::Evict;
                    send(Input::Feed { token, frame, room });
                }
            }
            let reason = SourceEnd::Finished;
            send(Input::SourceEnded { token, reason });
        });
    }

    fn accept_failed(&mut self, _: &io::Error) {
        self.accept_errors += 1;
    }
}

fn is_member(request: &Request) -> bool {
    let mut fields = request.field("authorization");
    fields.next() == Some(b"Bearer sesame") && fields.next().is_none()
}

/// The counters that the checks ask for, by the names that the hub gives them.
fn stats(stats: &Stats, accept_errors: u64) -> serde_json::Value {
    json!({
        "streams": stats.streams,
        "finishing": stats.finishing,
        "subscribed": stats.subscribed,
        "published": stats.published,
        "missed": stats.missed,
        "sources": stats.sources,
        "sources_started": stats.sources_started,
        "sources_stopped": stats.sources_stopped,
        "accept_errors": accept_errors,
        "closed": {
            "head_timeout": stats.closed_for(CloseReason::HeadTimeout),
            "lagged": stats.closed_for(CloseReason::Lagged),
            "stalled": stats.closed_for(CloseReason::Stalled),
        },
    })
}
