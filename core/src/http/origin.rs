//! Which web pages may ask (WIRE §2), and how a browser is told (Fetch, CORS protocol).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::host::Authority;
use super::{Method, Refusal, Request};

/// Which origins may use a route. The list is the CORS list too: whoever may ask may read.
///
/// The default is the same origin only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginRules {
    allowed: Allowed,
    credentials: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Allowed {
    #[default]
    SameOrigin,
    Any,
    List(Vec<String>),
}

impl OriginRules {
    /// Pages of the server's own origin, and whatever is no browser.
    #[must_use]
    pub const fn same_origin() -> Self {
        Self {
            allowed: Allowed::SameOrigin,
            credentials: false,
        }
    }

    /// Pages of any origin, without credentials.
    #[must_use]
    pub const fn any() -> Self {
        Self {
            allowed: Allowed::Any,
            credentials: false,
        }
    }

    /// Pages of these origins as well, each as a browser sends it: `https://app.example`,
    /// `http://localhost:3000`, or `null`. An empty list is [`OriginRules::same_origin`].
    ///
    /// # Errors
    /// [`OriginError::Malformed`] for what no browser can send: a path, upper case, a default port, `*`.
    pub fn list<I>(origins: I) -> Result<Self, OriginError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut list = Vec::new();
        for origin in origins {
            let origin = origin.into();
            if !is_serialized_origin(&origin) {
                return Err(OriginError::Malformed(origin));
            }
            list.push(origin);
        }
        let allowed = if list.is_empty() {
            Allowed::SameOrigin
        } else {
            Allowed::List(list)
        };
        Ok(Self {
            allowed,
            credentials: false,
        })
    }

    /// Listed pages may also send cookies and the like (`Access-Control-Allow-Credentials`).
    ///
    /// # Errors
    /// [`OriginError::CredentialsNeedList`] if there is no list: any origin with credentials would be no rule
    /// at all.
    pub fn with_credentials(self) -> Result<Self, OriginError> {
        match self.allowed {
            Allowed::List(_) => Ok(Self {
                credentials: true,
                ..self
            }),
            Allowed::SameOrigin | Allowed::Any => Err(OriginError::CredentialsNeedList),
        }
    }

    /// Whether the page that asks, if it is one, may. To be asked before authorize and before anything is
    /// subscribed.
    ///
    /// OPTIONS always may. An `Origin` that is allowed may; else, if `Sec-Fetch-Site` is there, only
    /// `same-origin` and `none`; else `Origin`, if it is there, must name the host of the request; else it is
    /// no browser. One of the two fields twice is refused.
    ///
    /// # Errors
    /// [`Refusal::CrossSite`].
    pub fn check(&self, request: &Request) -> Result<(), Refusal> {
        if request.method() == Method::Options {
            return Ok(());
        }
        let origin = single(request, "origin")?;
        if origin.is_some_and(|origin| self.allowed_as(origin).is_some()) {
            return Ok(());
        }
        let passes = match (single(request, "sec-fetch-site")?, origin) {
            (Some(site), _) => matches!(site, b"same-origin" | b"none"),
            (None, Some(origin)) => names_host(origin, request.host()),
            (None, None) => true,
        };
        if passes {
            Ok(())
        } else {
            Err(Refusal::CrossSite)
        }
    }

    /// `Access-Control-Allow-Origin` for the answer, in the author's spelling and never the request's.
    pub(super) fn allow_origin(&self, request: &Request) -> Option<&str> {
        match self.allowed {
            // The same for everybody, so that answers do not vary.
            Allowed::Any => Some(ANY),
            _ => single(request, "origin")
                .ok()
                .flatten()
                .and_then(|origin| self.allowed_as(origin)),
        }
    }

    pub(super) const fn credentials(&self) -> bool {
        self.credentials
    }

    /// Whether answers depend on `Origin`, so that caches must know.
    pub(super) const fn varies(&self) -> bool {
        matches!(self.allowed, Allowed::List(_))
    }

    fn allowed_as(&self, origin: &[u8]) -> Option<&str> {
        match &self.allowed {
            Allowed::SameOrigin => None,
            Allowed::Any => Some(ANY),
            Allowed::List(list) => list
                .iter()
                .map(String::as_str)
                .find(|listed| listed.as_bytes() == origin),
        }
    }
}

/// Rules for origins that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// No browser sends this as an origin.
    Malformed(String),
    /// Credentials go only with a list of origins (Fetch, CORS protocol and credentials).
    CredentialsNeedList,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(origin) => {
                write!(
                    f,
                    "{origin:?} is not an origin as browsers send it (scheme://host[:port], "
                )?;
                f.write_str("lower case, no path, no default port, or null); for any use `any`")
            }
            Self::CredentialsNeedList => f.write_str("credentials need a list of origins"),
        }
    }
}

impl core::error::Error for OriginError {}

/// RFC 6454 §6.2 as browsers write it: anything else in a list would silently never match.
fn is_serialized_origin(text: &str) -> bool {
    if text == "null" {
        return true;
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let scheme_ok = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte)
        });
    let Some(parsed) = Authority::parse(authority) else {
        return false;
    };
    let default_port = parsed.port().is_some() && parsed.port() == default_port(scheme);
    let lower = !authority.bytes().any(|byte| byte.is_ascii_uppercase());
    scheme_ok && lower && !default_port && !authority.ends_with(':')
}

/// The scheme that a server sees behind a proxy is not the browser's, so only host and port are compared; a
/// port that is not named is the default one of the origin's scheme on both sides.
fn names_host(origin: &[u8], host: Option<&str>) -> bool {
    let compare = || {
        let (scheme, authority) = core::str::from_utf8(origin).ok()?.split_once("://")?;
        let origin = Authority::parse(authority)?;
        let host = Authority::parse(host?)?; // coverage: a head with another `Host` was refused
        Some(origin.is_same(&host, default_port(scheme)?))
    };
    compare().unwrap_or(false)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Browsers send these once; whoever sends two wants one to be overlooked.
fn single<'a>(request: &'a Request, name: &'a str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = request.field(name);
    let value = values.next();
    if values.next().is_some() {
        Err(Refusal::CrossSite)
    } else {
        Ok(value)
    }
}

const ANY: &str = "*";
