//! From a request to what is to be done about it, without doing it.

use std::net::SocketAddr;
use std::sync::Arc;

use sse_state::Name;
use sse_state::http::{Allow, Answer, Method, Refusal, Request, query_parameter};

use crate::authorize::Asked;
use crate::route::Params;
use crate::shared::Settings;
use crate::site::{GetRoute, PublishRoute, Site, StreamRoute, TopicRule};
use crate::task::{self, Panicked};

/// What is to be done.
pub(crate) enum Plan {
    /// Say this.
    Answer(Answer),
    /// Open this stream, if its hook grants it.
    Stream(StreamPlan),
    /// Read a body and publish it, if its hook grants it.
    Publish(PublishPlan),
}

/// A stream to be opened.
pub(crate) struct StreamPlan {
    pub(crate) route: Arc<StreamRoute>,
    pub(crate) asked: Asked,
}

/// A publish to be made.
pub(crate) struct PublishPlan {
    pub(crate) route: Arc<PublishRoute>,
    pub(crate) asked: Asked,
    pub(crate) event: Option<String>,
    pub(crate) length: usize,
}

/// Why nothing is done: with a request to answer to.
pub(crate) enum Refused {
    Because(Refusal),
    /// A function of the author panicked.
    Broken,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Refused {
        Refused::Because(why)
    }
}

impl From<Panicked> for Refused {
    fn from(Panicked: Panicked) -> Refused {
        Refused::Broken
    }
}

/// Decides everything that the head alone decides, in the order of WIRE §2 and §6: host, route, method,
/// limits, origin. The request is given back to whoever has to answer it.
pub(crate) fn plan(
    settings: &Settings,
    site: &Site,
    request: Request,
    peer: Option<SocketAddr>,
    owner: Owner,
) -> (Result<Plan, Refused>, Option<Request>) {
    match admit(settings, site, &request, owner) {
        Ok(Admitted::Answer(answer)) => (Ok(Plan::Answer(answer)), Some(request)),
        Ok(Admitted::Stream {
            route,
            topics,
            parameters,
        }) => {
            let asked = Asked::new(request, topics, parameters, peer);
            (Ok(Plan::Stream(StreamPlan { route, asked })), None)
        }
        Ok(Admitted::Publish {
            route,
            topic,
            event,
            length,
            parameters,
        }) => {
            let asked = Asked::new(request, vec![topic], parameters, peer);
            let plan = PublishPlan {
                route,
                asked,
                event,
                length,
            };
            (Ok(Plan::Publish(plan)), None)
        }
        Ok(Admitted::Respond(respond, parameters)) => {
            let asked = Asked::new(request.clone(), Vec::new(), parameters, peer);
            let answer = task::call(|| respond(&asked)).map_err(Refused::from);
            (answer.map(Plan::Answer), Some(request))
        }
        Err(why) => (Err(why), Some(request)),
    }
}

/// Who owns the connection that a request came on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The hub.
    Hub { local_is_loopback: bool },
    /// A framework, which knows its hosts and has framed the body.
    Framework,
}

type Parameters = Vec<(String, String)>;

enum Admitted {
    Answer(Answer),
    Respond(crate::site::Respond, Parameters),
    Stream {
        route: Arc<StreamRoute>,
        topics: Vec<Name>,
        parameters: Parameters,
    },
    Publish {
        route: Arc<PublishRoute>,
        topic: Name,
        event: Option<String>,
        length: usize,
        parameters: Parameters,
    },
}

fn admit(
    settings: &Settings,
    site: &Site,
    request: &Request,
    owner: Owner,
) -> Result<Admitted, Refused> {
    if let Owner::Hub { local_is_loopback } = owner {
        request.check_host(local_is_loopback, &settings.allowed_hosts)?;
    }
    let allow = match site.allow(request.path()) {
        // About the server as a whole.
        None if request.path() == "*" => Allow::GetPost,
        None => return Err(Refusal::NoRoute.into()),
        Some(allow) => allow,
    };
    allow.check(request.method())?;
    match request.method() {
        Method::Options => {
            let answer = Answer::options(allow, &settings.cors, request);
            Ok(Admitted::Answer(answer))
        }
        Method::Post => admit_post(settings, site, request, owner),
        _ => admit_get(settings, site, request),
    }
}

fn admit_get(settings: &Settings, site: &Site, request: &Request) -> Result<Admitted, Refused> {
    let (route, parameters) = site.find_get(request.path()).ok_or(Refusal::NoRoute)?;
    let params = Params::new(&parameters, request.query());
    settings.cors.check(request)?;
    match route {
        GetRoute::Fixed(answer) => Ok(Admitted::Answer(answer.clone())),
        GetRoute::Respond(respond) => Ok(Admitted::Respond(Arc::clone(respond), parameters)),
        GetRoute::Stream(route) => Ok(Admitted::Stream {
            topics: topics(&route.topic, request, &params, settings)?,
            route: Arc::clone(route),
            parameters,
        }),
    }
}

fn admit_post(
    settings: &Settings,
    site: &Site,
    request: &Request,
    owner: Owner,
) -> Result<Admitted, Refused> {
    let (route, parameters) = site.find_post(request.path()).ok_or(Refusal::NoRoute)?;
    let params = Params::new(&parameters, request.query());
    let length = match owner {
        // Not over the bound just checked, which is 32 bits wide.
        Owner::Hub { .. } => request.body(settings.frame_bytes as u64)?.missing() as usize,
        Owner::Framework => 0,
    };
    settings.cors.check(request)?;
    let topics = topics(&route.to, request, &params, settings)?;
    let topic = topics.into_iter().next().ok_or(Refusal::NoRoute)?;
    let event = query_parameter(request.query().unwrap_or_default(), "event")?;
    Ok(Admitted::Publish {
        route: Arc::clone(route),
        topic,
        event,
        length,
        parameters,
    })
}

/// The topics of a request, by the rule of its route.
fn topics(
    rule: &TopicRule,
    request: &Request,
    params: &Params<'_>,
    settings: &Settings,
) -> Result<Vec<Name>, Refused> {
    let name = match rule {
        TopicRule::Fixed(names) => return Ok(names.clone()),
        TopicRule::FromUrl(query) => request.topic(query)?,
        TopicRule::Computed(compute) => task::call(|| compute(params))?.ok_or(Refusal::NoRoute)?,
    };
    if name.len() > settings.name_bytes {
        return Err(Refusal::NameTooLong.into());
    }
    // A function may compute what is no name: then there is no such topic.
    let name = Name::new(&name).map_err(|_| Refusal::NoRoute)?;
    Ok(vec![name])
}
