//! Who may: what a hook is shown, and what it answers (WIRE §7).

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sse_state::Name;
use sse_state::http::{Answer, Method, Request, query_parameter};

/// A request that asks to be let in, as a hook sees it. Cheap to clone.
#[derive(Clone)]
pub struct Asked(Arc<Parts>);

struct Parts {
    request: Request,
    topics: Vec<Name>,
    parameters: Vec<(String, String)>,
    peer: Option<SocketAddr>,
}

impl Asked {
    pub(crate) fn new(
        request: Request,
        topics: Vec<Name>,
        parameters: Vec<(String, String)>,
        peer: Option<SocketAddr>,
    ) -> Asked {
        Asked(Arc::new(Parts {
            request,
            topics,
            parameters,
            peer,
        }))
    }

    /// What is asked for: `GET` and `HEAD` want to read, `POST` wants to publish.
    #[must_use]
    pub fn method(&self) -> Method {
        self.0.request.method()
    }

    /// The topics, all of which are granted, or none. The names that sources and publishers see, too.
    #[must_use]
    pub fn topics(&self) -> &[Name] {
        &self.0.topics
    }

    /// The path, percent-decoded once.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.request.path()
    }

    /// A parameter of the route's pattern, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.0.parameters.iter();
        parameters
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .next()
    }

    /// A parameter of the query, decoded; `None` also if it stands there twice or is no UTF-8.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        query_parameter(self.0.request.query()?, name).ok()?
    }

    /// The values of a header field, one per line.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.request.field(name)
    }

    /// The value of a header field that stands there once; `None` if it is absent or repeated.
    #[must_use]
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.0.request.field(name);
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The token of `Authorization: Bearer …` (RFC 6750 §2.1). To compare it with a secret, compare in
    /// constant time.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        let value = std::str::from_utf8(self.header("authorization")?).ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim_ascii();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    }

    /// The address that the connection comes from, that of a proxy if there is one.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }

    pub(crate) fn request(&self) -> &Request {
        &self.0.request
    }
}

/// Without header and query values, which never go into a log.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.request.fmt(f)
    }
}

/// Let in.
///
/// ```
/// use std::time::Duration;
/// use sse_state_hub::Grant;
///
/// let grant = Grant::new().expires_in(Duration::from_secs(3600)).key("user/42");
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[must_use = "a grant lets somebody in when the hook returns it"]
pub struct Grant {
    expires: Option<Expiry>,
    key: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expiry {
    In(Duration),
    At(SystemTime),
}

impl Grant {
    /// For as long as the stream lives, for nobody in particular.
    pub fn new() -> Grant {
        Grant::default()
    }

    /// The stream ends in order after this time, counted from the decision.
    pub fn expires_in(self, time: Duration) -> Grant {
        Grant {
            expires: Some(Expiry::In(time)),
            ..self
        }
    }

    /// The stream ends in order at this time, the expiry of a token for instance. A time that has passed
    /// lets nobody in.
    pub fn expires_at(self, time: SystemTime) -> Grant {
        Grant {
            expires: Some(Expiry::At(time)),
            ..self
        }
    }

    /// Whose stream it is: [`Hub::close_key`](crate::Hub::close_key) ends all of one key. A text that is
    /// no name (empty, with control characters) lets nobody in.
    pub fn key(self, key: impl Into<String>) -> Grant {
        Grant {
            key: Some(key.into()),
            ..self
        }
    }

    /// How long it is good for; zero if no longer.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.expires.map(|expiry| match expiry {
            Expiry::In(time) => time,
            Expiry::At(time) => time
                .duration_since(SystemTime::now())
                .unwrap_or(Duration::ZERO),
        })
    }

    /// The key as a name; an error if it is none.
    pub(crate) fn name(&self) -> Result<Option<Name>, sse_state::NameError> {
        self.key.as_deref().map(Name::new).transpose()
    }
}

/// Not let in.
///
/// ```
/// use sse_state_hub::Refuse;
///
/// let unknown = Refuse::new(401).challenge("Bearer realm=\"news\"");
/// let never = Refuse::new(204); // a browser does not come back
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a refusal refuses when the hook returns it"]
pub struct Refuse {
    status: u16,
    text: String,
    challenge: Option<String>,
}

impl Refuse {
    /// With this status, 200 to 599; anything else becomes 500. A browser gives up for ever on whatever
    /// is not 200; 204 tells it so in so many words.
    pub fn new(status: u16) -> Refuse {
        Refuse {
            status,
            text: String::from("refused\n"),
            challenge: None,
        }
    }

    /// With this text instead of `refused`.
    pub fn text(self, text: impl Into<String>) -> Refuse {
        Refuse {
            text: text.into(),
            ..self
        }
    }

    /// With this challenge in `WWW-Authenticate`, which a 401 needs (RFC 9110 §15.5.2).
    pub fn challenge(self, challenge: impl Into<String>) -> Refuse {
        Refuse {
            challenge: Some(challenge.into()),
            ..self
        }
    }

    /// The answer; what cannot be said as it stands becomes a plain 500.
    pub(crate) fn into_answer(self) -> Option<Answer> {
        let answer = Answer::status(self.status, self.text).ok()?;
        match self.challenge {
            Some(challenge) => answer.challenge(challenge).ok(),
            None => Some(answer),
        }
    }
}

/// What a hook gives.
pub type Decision = Result<Grant, Refuse>;

/// A hook, with its types erased: one box per request that is to be decided.
pub(crate) type Hook =
    Arc<dyn Fn(Asked) -> Pin<Box<dyn Future<Output = Decision> + Send>> + Send + Sync>;

pub(crate) fn hook<F, Fut>(hook: F) -> Hook
where
    F: Fn(Asked) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Decision> + Send + 'static,
{
    Arc::new(move |asked| Box::pin(hook(asked)))
}
