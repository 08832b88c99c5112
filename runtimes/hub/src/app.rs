//! All that one server serves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sse_state::{Error, Input, Name, TopicOptions};

use crate::feed::Feed;
use crate::hub::{Guard, Hub};
use crate::route::{Kind, Mistake, Route, TopicSettings};
use crate::runtime::Runtime;
use crate::site::{GetRoute, PublishRoute, Site, StreamRoute, TopicRule};

/// Routes under patterns, over one hub. An app keeps its hub alive.
///
/// Patterns are matched on the decoded path: `/news`, `/device/{id}`, `/{*rest}`. What is wrong with
/// any of them is told when the app is served, all of it at once.
#[must_use = "an app does nothing until it is served"]
pub struct App {
    pub(crate) hub: Arc<Guard>,
    routes: Vec<(String, Verb, Route)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verb {
    Get,
    Post,
}

impl App {
    /// An app without routes.
    pub fn new<R: Runtime>(hub: &Hub<R>) -> App {
        App {
            hub: Arc::clone(hub.guard()),
            routes: Vec::new(),
        }
    }

    /// Serves GET and HEAD.
    pub fn get(self, pattern: impl Into<String>, route: Route) -> App {
        self.route(pattern.into(), Verb::Get, route)
    }

    /// Serves POST: a route that publishes.
    pub fn post(self, pattern: impl Into<String>, route: Route) -> App {
        self.route(pattern.into(), Verb::Post, route)
    }

    /// Checks that everything fits together, which serving it does, too, and declares nothing.
    ///
    /// # Errors
    /// [`AppError`] lists everything that is wrong with it.
    pub fn check(&self) -> Result<(), AppError> {
        let mut problems = Vec::new();
        self.plan(&mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(AppError { problems })
        }
    }

    /// Builds the routes, and declares their topics.
    pub(crate) fn build(self) -> Result<(Arc<Guard>, Site), AppError> {
        let mut problems = Vec::new();
        let declared = self.plan(&mut problems);
        if problems.is_empty() {
            self.declare(&declared, &mut problems);
        }
        let hub = Arc::clone(&self.hub);
        let site = self.site(&mut problems);
        if problems.is_empty() {
            Ok((hub, site))
        } else {
            Err(AppError { problems })
        }
    }

    fn route(mut self, pattern: String, verb: Verb, route: Route) -> App {
        self.routes.push((pattern, verb, route));
        self
    }

    /// Finds what is wrong, and what is to be declared.
    fn plan(&self, problems: &mut Vec<Problem>) -> BTreeMap<Name, Declaration> {
        let mut declared: BTreeMap<Name, Declaration> = BTreeMap::new();
        let mut patterns = [matchit::Router::new(), matchit::Router::new()];
        for (pattern, verb, route) in &self.routes {
            let mut report = |fault| problems.push(Problem::new(pattern, fault));
            if let Err(error) = patterns[*verb as usize].insert(pattern.as_str(), ()) {
                report(Fault::Pattern(error.to_string()));
            }
            let mut mistakes = route.mistakes.clone();
            check_verb(*verb, route, &mut mistakes);
            check_settings(route, &mut mistakes);
            for mistake in mistakes {
                report(Fault::Route(mistake));
            }
            if let Kind::Topics(names) = &route.kind {
                for name in names.iter().filter_map(|name| Name::new(name).ok()) {
                    let declaration = declared.entry(name.clone()).or_default();
                    if names.len() == 1 && declaration.add(&route.topic).is_err() {
                        report(Fault::Conflict(name));
                    }
                }
            }
        }
        for (pattern, _, route) in &self.routes {
            let Kind::Publish(name) = &route.kind else {
                continue;
            };
            let declaration = Name::new(name).ok().and_then(|name| declared.get(&name));
            if declaration.is_some_and(|declaration| declaration.feed.is_some()) {
                let fault = Fault::Route(Mistake::PublishToSource);
                problems.push(Problem::new(pattern, fault));
            }
        }
        declared
    }

    fn declare(&self, declared: &BTreeMap<Name, Declaration>, problems: &mut Vec<Problem>) {
        let shared = &self.hub.shared;
        let now = shared.now();
        let mut inner = shared.lock();
        for (topic, declaration) in declared {
            let options = declaration.options.clone().unwrap_or_default();
            let input = Input::Declare {
                topic: topic.clone(),
                options: Arc::new(options),
            };
            let mut result = inner.engine.apply(now, input).map(|_| ());
            if let (Ok(()), Some(feed)) = (&result, &declaration.feed) {
                let declared = inner.sources.declare(topic.clone(), feed);
                result = declared.map_err(|_| Error::Conflict);
            }
            if let Err(error) = result {
                let fault = Fault::Declare(topic.clone(), error);
                problems.push(Problem::new("", fault));
            }
        }
    }

    fn site(self, problems: &mut Vec<Problem>) -> Site {
        let mut site = Site::default();
        for (pattern, _, route) in self.routes {
            let put = match built(route) {
                Built::Get(route) => site.get.insert(pattern.as_str(), route),
                Built::Post(route) => site.post.insert(pattern.as_str(), Arc::new(route)),
            };
            // It has been checked before.
            if let Err(error) = put {
                let fault = Fault::Pattern(error.to_string());
                problems.push(Problem::new(&pattern, fault));
            }
        }
        site
    }
}

/// What the routes say about one topic together.
#[derive(Default)]
struct Declaration {
    options: Option<TopicOptions>,
    feed: Option<Arc<Feed>>,
}

impl Declaration {
    /// Adds what one route says; what only names the topic says nothing.
    fn add(&mut self, settings: &TopicSettings) -> Result<(), ()> {
        let Some(options) = settings.options() else {
            return Ok(());
        };
        if self.options.as_ref().is_some_and(|said| *said != options) {
            return Err(());
        }
        self.options = Some(options);
        match (&self.feed, &settings.feed) {
            (Some(one), Some(other)) if !Arc::ptr_eq(one, other) => return Err(()),
            (None, Some(feed)) => self.feed = Some(Arc::clone(feed)),
            _ => {}
        }
        Ok(())
    }
}

fn check_verb(verb: Verb, route: &Route, mistakes: &mut Vec<Mistake>) {
    let publishes = matches!(route.kind, Kind::Publish(_) | Kind::PublishTo(_));
    match verb {
        Verb::Get if publishes => mistakes.push(Mistake::Unused("get")),
        Verb::Post if !publishes => mistakes.push(Mistake::Unused("post")),
        _ => {}
    }
    if publishes && route.authorize.is_none() && !route.open_to_anyone {
        mistakes.push(Mistake::PublishUnguarded);
    }
    if route.open_to_anyone && !publishes {
        mistakes.push(Mistake::Unused("open_to_anyone"));
    }
}

fn check_settings(route: &Route, mistakes: &mut Vec<Mistake>) {
    let options = route.topic.options();
    let names = match &route.kind {
        Kind::Topics(names) => {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            if names.is_empty() || sorted.len() != names.len() {
                mistakes.push(Mistake::Topics);
            }
            if names.len() > 1 && options.is_some() {
                mistakes.push(Mistake::Unused(
                    "options of a topic, several of which are named,",
                ));
            }
            names.as_slice()
        }
        Kind::Publish(name) => std::slice::from_ref(name),
        _ => &[],
    };
    for error in names.iter().filter_map(|name| Name::new(name).err()) {
        mistakes.push(Mistake::Name(error));
    }
    if let Some(Err(error)) = options.as_ref().map(TopicOptions::check) {
        mistakes.push(Mistake::Options(error));
    }
    let streams = matches!(
        route.kind,
        Kind::Topics(_) | Kind::Computed(_) | Kind::FromUrl(_)
    );
    if !streams && options.is_some() {
        mistakes.push(Mistake::Unused("an option of a topic"));
    }
    if !streams && route.stream.is_set() {
        mistakes.push(Mistake::Unused("an option of streams"));
    }
    let answers = matches!(route.kind, Kind::Answer(_) | Kind::Respond(_));
    if answers && route.authorize.is_some() {
        mistakes.push(Mistake::Unused("authorize"));
    }
}

/// A route, ready to be found.
enum Built {
    Get(GetRoute),
    Post(PublishRoute),
}

/// Builds a route that has been checked.
fn built(route: Route) -> Built {
    let names = |names: &[String]| {
        let names = names.iter().filter_map(|name| Name::new(name).ok());
        TopicRule::Fixed(names.collect())
    };
    let topic = match route.kind {
        Kind::Answer(answer) => return Built::Get(GetRoute::Fixed(answer)),
        Kind::Respond(respond) => return Built::Get(GetRoute::Respond(respond)),
        Kind::Publish(topic) => {
            return Built::Post(PublishRoute {
                to: names(std::slice::from_ref(&topic)),
                authorize: route.authorize,
            });
        }
        Kind::PublishTo(compute) => {
            return Built::Post(PublishRoute {
                to: TopicRule::Computed(compute),
                authorize: route.authorize,
            });
        }
        Kind::Topics(topics) => names(&topics),
        Kind::Computed(compute) => TopicRule::Computed(compute),
        Kind::FromUrl(rule) => TopicRule::FromUrl(rule),
    };
    // A declared topic stands with its options; only one that requests name is made with the route's.
    let is_declared = matches!(topic, TopicRule::Fixed(_));
    let options = route.topic.options().filter(|_| !is_declared);
    Built::Get(GetRoute::Stream(Arc::new(StreamRoute {
        topic,
        options: options.map(Arc::new),
        feed: route.topic.feed.filter(|_| !is_declared),
        authorize: route.authorize,
        start: route.stream.start,
        heartbeat: route.stream.heartbeat,
        retry: route.stream.retry,
        lifetime: route.stream.lifetime,
        end_when_finished: route.stream.end_when_finished,
    })))
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.iter();
        f.debug_list()
            .entries(routes.map(|(pattern, verb, route)| (verb, pattern, route)))
            .finish()
    }
}

/// Why an app cannot be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppError {
    problems: Vec<Problem>,
}

impl AppError {
    /// Everything that is wrong, in the order of the routes.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the app does not fit together:")?;
        for problem in &self.problems {
            write!(f, " {problem};")?;
        }
        Ok(())
    }
}

impl std::error::Error for AppError {}

/// One thing that is wrong with an app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The pattern of the route; empty if it concerns several.
    pub pattern: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Problem {
    fn new(pattern: &str, fault: Fault) -> Problem {
        Problem {
            pattern: pattern.to_owned(),
            fault,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.pattern, self.fault)
    }
}

/// What is wrong with a part of an app.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The pattern is none, or clashes with another one of the same method.
    Pattern(String),
    /// The route contradicts itself.
    Route(Mistake),
    /// Two routes say different things about this topic, two sources for instance.
    Conflict(Name),
    /// The machine does not take this topic: it stands with other options, or a bound is reached.
    Declare(Name, Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Pattern(error) => f.write_str(error),
            Fault::Route(mistake) => mistake.fmt(f),
            Fault::Conflict(topic) => {
                write!(
                    f,
                    "two routes say different things about the topic {topic:?}"
                )
            }
            Fault::Declare(topic, error) => write!(f, "topic {topic:?}: {error}"),
        }
    }
}
