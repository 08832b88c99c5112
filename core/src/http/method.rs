//! Methods, and which of them a route has.

use super::Refusal;

/// A method that somebody knows (RFC 9110 §9.3, RFC 5789); all others are refused with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Opens a stream.
    Get,
    /// The fields that GET would answer, and nothing else.
    Head,
    /// Publishes.
    Post,
    /// Asks what is allowed; also the CORS preflight.
    Options,
    /// Known, never served: 405.
    Put,
    /// Known, never served: 405.
    Delete,
    /// Known, never served: 405.
    Patch,
    /// Known, never served: 405 (its own form of target, the authority-form, is 400).
    Connect,
    /// Known, never served: 405. It would echo the request.
    Trace,
}

impl Method {
    /// The method of this name; methods are case-sensitive (RFC 9110 §9.1).
    #[must_use]
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"OPTIONS" => Self::Options,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => return None,
        })
    }

    /// The name as it stands in a request line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Options => "OPTIONS",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
        }
    }

    /// Whether a request of this method may not have a body here: GET, HEAD, OPTIONS.
    #[must_use]
    pub(super) const fn is_bodiless(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// What a route serves, besides OPTIONS, which every route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allow {
    /// A stream or a fixed answer: GET and HEAD.
    Get,
    /// A publish route: POST.
    Post,
    /// Both on one path.
    GetPost,
}

impl Allow {
    /// The value of `Allow` (RFC 9110 §10.2.1), used for `Access-Control-Allow-Methods` too.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "POST, OPTIONS",
            Self::GetPost => "GET, HEAD, POST, OPTIONS",
        }
    }

    /// Whether a route that serves this serves `method`.
    ///
    /// # Errors
    /// [`Refusal::MethodNotAllowed`], which carries `self`.
    pub const fn check(self, method: Method) -> Result<(), Refusal> {
        let served = match method {
            Method::Get | Method::Head => matches!(self, Self::Get | Self::GetPost),
            Method::Post => matches!(self, Self::Post | Self::GetPost),
            Method::Options => true,
            Method::Put | Method::Delete | Method::Patch | Method::Connect | Method::Trace => false,
        };
        if served {
            Ok(())
        } else {
            Err(Refusal::MethodNotAllowed(self))
        }
    }
}
