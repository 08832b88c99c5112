//! What the examples serve when they are run.

use std::time::Duration;

use sse_state::http::{Allow, Answer, Method, Refusal, Request};
use sse_state::{
    Engine, Error, Event, Input, Name, PollOutcome, SourceKind, Subscribe, SubscriberId, Time,
    TopicOptions, Via,
};

use crate::{Decision, Service};

/// `/load` is polled every second while somebody listens. `/news` has a history, and takes what is posted.
pub struct Demo {
    load: Name,
    news: Name,
}

impl Demo {
    /// Declares its topics.
    ///
    /// # Errors
    /// If the bounds of the machine leave no room for them.
    pub fn new(state: &mut impl Engine) -> Result<Demo, Error> {
        let name = |text| Name::new(text).map_err(|_| Error::Absent);
        let (load, news) = (name("/load")?, name("/news")?);
        let polled = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
        let kept = TopicOptions {
            history: true,
            ..TopicOptions::default()
        };
        for (topic, options) in [(&load, polled), (&news, kept)] {
            let (topic, options) = (topic.clone(), options.into());
            state.apply(Time::ZERO, Input::Declare { topic, options })?;
        }
        Ok(Demo { load, news })
    }
}

impl Service for Demo {
    fn allows(&self, path: &str) -> Option<Allow> {
        match path {
            "/load" => Some(Allow::Get),
            "/news" => Some(Allow::GetPost),
            _ => None,
        }
    }

    fn decide(&mut self, id: SubscriberId, request: &Request, _: &dyn Engine) -> Decision {
        let stream = |topic: &Name| {
            let subscribe = Subscribe::new(Via::Connection(id), topic.clone());
            Decision::Stream(Box::new(subscribe))
        };
        match (request.path(), request.method()) {
            ("/load", _) => stream(&self.load),
            ("/news", Method::Post) => Decision::Publish(self.news.clone()),
            ("/news", _) => stream(&self.news),
            _ => Decision::Answer(Answer::refusal(&Refusal::NoRoute)),
        }
    }

    fn poll(&mut self, _: &Name) -> PollOutcome {
        // A file of the kernel's memory: it does not block.
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let value = load.and_then(|text| Event::new(text.trim_end()).encode().ok());
        value.map_or(PollOutcome::Failed(None), PollOutcome::Frame)
    }
}
