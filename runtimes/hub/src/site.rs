//! The routes of an app, built: what a request is looked up in.

use std::sync::Arc;
use std::time::Duration;

use sse_state::http::{Allow, Answer, QueryRule};
use sse_state::{Heartbeat, Name, Start, TopicOptions};

use crate::authorize::{Asked, Hook};
use crate::feed::Feed;
use crate::route::Params;

/// All routes. Each method has its own patterns: GET may be served by `/{*rest}` where POST has a path of
/// its own.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) get: matchit::Router<GetRoute>,
    pub(crate) post: matchit::Router<Arc<PublishRoute>>,
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

/// A route, and the parameters of its pattern.
pub(crate) type Found<'a, T> = Option<(&'a T, Vec<(String, String)>)>;

impl Site {
    /// What GET and HEAD get at a decoded path.
    pub(crate) fn find_get(&self, path: &str) -> Found<'_, GetRoute> {
        find(&self.get, path)
    }

    /// What POST does at a decoded path.
    pub(crate) fn find_post(&self, path: &str) -> Found<'_, Arc<PublishRoute>> {
        find(&self.post, path)
    }

    /// What is allowed at a decoded path, if anything.
    pub(crate) fn allow(&self, path: &str) -> Option<Allow> {
        match (self.get.at(path).is_ok(), self.post.at(path).is_ok()) {
            (true, true) => Some(Allow::GetPost),
            (true, false) => Some(Allow::Get),
            (false, true) => Some(Allow::Post),
            (false, false) => None,
        }
    }
}

fn find<'a, T>(router: &'a matchit::Router<T>, path: &str) -> Found<'a, T> {
    let found = router.at(path).ok()?;
    let parameters = found
        .params
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Some((found.value, parameters))
}
