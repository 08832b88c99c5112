//! The routes of an app, built: what a request is looked up in.

use std::sync::Arc;
use std::time::Duration;

use sse_state::http::{Allow, Answer, QueryRule};
use sse_state::{Heartbeat, Name, Start, TopicOptions};

use crate::authorize::{Asked, Hook};
use crate::feed::Feed;
use crate::route::Params;

/// All routes.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) router: matchit::Router<usize>,
    pub(crate) paths: Vec<Path>,
}

/// The routes of one pattern.
#[derive(Default)]
pub(crate) struct Path {
    pub(crate) get: Option<GetRoute>,
    pub(crate) post: Option<Arc<PublishRoute>>,
}

/// What GET and HEAD get.
pub(crate) enum GetRoute {
    Stream(Arc<StreamRoute>),
    Fixed(Answer),
    Respond(Respond),
}

/// A function that answers at once.
pub(crate) type Respond = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;
/// A function that names topics.
pub(crate) type Compute = Arc<dyn Fn(&Params<'_>) -> Option<String> + Send + Sync>;

/// A route of streams.
pub(crate) struct StreamRoute {
    pub(crate) topic: TopicRule,
    /// What a topic is made with that only requests name.
    pub(crate) options: Option<Arc<TopicOptions>>,
    pub(crate) feed: Option<Arc<Feed>>,
    pub(crate) authorize: Option<Hook>,
    pub(crate) start: Start,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) retry: bool,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) end_when_finished: bool,
}

/// A route that publishes.
pub(crate) struct PublishRoute {
    pub(crate) to: TopicRule,
    pub(crate) authorize: Option<Hook>,
}

/// How a request names its topic.
#[derive(Clone)]
pub(crate) enum TopicRule {
    Fixed(Vec<Name>),
    Computed(Compute),
    FromUrl(QueryRule),
}

impl Site {
    /// The routes for a decoded path, and the parameters of their pattern.
    pub(crate) fn find(&self, path: &str) -> Option<(&Path, Vec<(String, String)>)> {
        let found = self.router.at(path).ok()?;
        let parameters = found
            .params
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Some((self.paths.get(*found.value)?, parameters))
    }
}

impl Path {
    pub(crate) fn allow(&self) -> Allow {
        match (&self.get, &self.post) {
            (Some(_), Some(_)) => Allow::GetPost,
            (None, Some(_)) => Allow::Post,
            _ => Allow::Get,
        }
    }
}
