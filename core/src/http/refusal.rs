//! Every way in which a request is refused, with its status and its one line of text.

use core::fmt;

use super::Allow;

/// Why a request is refused: one variant per reason, so that each can be counted.
///
/// It holds nothing of the request, so that nothing of a request can come back in an answer.
/// `Display` gives the text of the answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A CR without LF or a LF without CR in the head (RFC 9112 §2.2): 400.
    LineEnding,
    /// A control byte in the head that no field may hold (RFC 9110 §5.5): 400.
    ControlByte,
    /// The request line is not `method SP target SP HTTP/d.d` (RFC 9112 §3): 400.
    RequestLine,
    /// A byte outside 0x21–0x7E, a `#` or a `\` in the target: 400.
    TargetByte,
    /// The target is not in origin-form or absolute-form, or is `*` without OPTIONS (RFC 9112 §3.2): 400.
    TargetForm,
    /// A `%` that two hexadecimal digits do not follow: 400.
    BadTriplet,
    /// `%2F`, `%5C` or `%3F` in the path: two names for one thing: 400.
    EscapedDelimiter,
    /// The path decodes to something that is not UTF-8: 400.
    PathNotUtf8,
    /// The path decodes to a control character: 400.
    PathControl,
    /// A `.` or `..` segment, however it is spelled: 400.
    DotSegment,
    /// A query parameter that must be single and UTF-8 is not: 400.
    QueryParameter,
    /// A field line that is folded, has a space before its colon, no name, or no colon (RFC 9112 §5): 400.
    FieldLine,
    /// HTTP/1.1 without `Host` (RFC 9112 §3.2): 400.
    HostMissing,
    /// More than one `Host` (RFC 9112 §3.2): 400.
    HostRepeated,
    /// A `Host`, or an authority of the target, that is none (RFC 9110 §4.2): 400.
    HostInvalid,
    /// Two `Content-Length`, or one that is not a number below 2⁶⁴ (RFC 9112 §6.3): 400.
    ContentLength,
    /// A length and a transfer coding together (RFC 9112 §6.3): 400.
    LengthWithCoding,
    /// A body on GET, HEAD or OPTIONS: 400.
    BodyNotAllowed,
    /// The body of a publish is not UTF-8: 400.
    BodyNotUtf8,
    /// A web page of another site asks (WIRE §2): 403.
    CrossSite,
    /// No route has this path: 404.
    NoRoute,
    /// The route does not have this method; the answer carries `Allow` (RFC 9110 §15.5.6): 405.
    MethodNotAllowed(Allow),
    /// The topic has a source, which alone publishes to it: 409.
    TopicHasSource,
    /// A publish without a `Content-Length` (RFC 9110 §15.5.12): 411.
    LengthRequired,
    /// The event of a publish is over the frame bound: 413.
    ContentTooLarge,
    /// The head's bound was passed before the target ended (RFC 9112 §3): 414.
    TargetTooLong,
    /// The name of the topic is over its bound: 414.
    NameTooLong,
    /// Any `Expect` (RFC 9110 §10.1.1): 417.
    Expectation,
    /// A connection from this machine names a host that is not this machine (DNS rebinding): 421.
    HostNotAllowed,
    /// The head is over its bound of bytes (RFC 6585 §5): 431.
    HeadTooLarge,
    /// The head is over its bound of fields (RFC 6585 §5): 431.
    TooManyFields,
    /// The options of two routes for one topic contradict each other: 500.
    OptionsConflict,
    /// A method that nobody knows (RFC 9110 §15.6.2): 501.
    UnknownMethod,
    /// No room for this publish: 503.
    NoRoom,
    /// A major version that is not 1, or the preface of HTTP/2 (RFC 9110 §15.6.6): 505.
    Version,
}

impl Refusal {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.parts().0
    }

    /// The text of the answer's body: one fixed line per reason.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.parts().1
    }

    // One table, so that a reader sees status and text side by side.
    const fn parts(&self) -> (u16, &'static str) {
        match self {
            Self::LineEnding => (400, "a line of the head does not end with CRLF"),
            Self::ControlByte => (400, "a control byte in the head"),
            Self::RequestLine => (400, "malformed request line"),
            Self::TargetByte => (400, "a byte that a target cannot hold"),
            Self::TargetForm => (400, "a form of target that is not served"),
            Self::BadTriplet => (400, "malformed percent-encoding in the target"),
            Self::EscapedDelimiter => (400, "an escaped delimiter in the path"),
            Self::PathNotUtf8 => (400, "the path is not UTF-8"),
            Self::PathControl => (400, "a control character in the path"),
            Self::DotSegment => (400, "a dot segment in the path"),
            Self::QueryParameter => (400, "a query parameter that is repeated or not UTF-8"),
            Self::FieldLine => (400, "malformed field line"),
            Self::HostMissing => (400, "Host is missing"),
            Self::HostRepeated => (400, "Host is repeated"),
            Self::HostInvalid => (400, "Host is malformed"),
            Self::ContentLength => (400, "Content-Length is repeated or malformed"),
            Self::LengthWithCoding => (400, "Content-Length and Transfer-Encoding together"),
            Self::BodyNotAllowed => (400, "this method has no body here"),
            Self::BodyNotUtf8 => (400, "the body is not UTF-8"),
            Self::CrossSite => (403, "cross-site request; the server can list its origin"),
            Self::NoRoute => (404, "not found"),
            Self::MethodNotAllowed(_) => (405, "method not allowed"),
            Self::TopicHasSource => (409, "the topic is fed by its source"),
            Self::LengthRequired => (411, "Content-Length is required"),
            Self::ContentTooLarge => (413, "the event is too large"),
            Self::TargetTooLong => (414, "the target is too long"),
            Self::NameTooLong => (414, "the name of the topic is too long"),
            Self::Expectation => (417, "send the request without Expect"),
            Self::HostNotAllowed => (
                421,
                "on a loopback address only localhost, *.localhost, 127.0.0.0/8 and [::1] are \
                 served; the server can add names with `allowed_hosts`",
            ),
            Self::HeadTooLarge => (431, "the request head is too large"),
            Self::TooManyFields => (431, "the request head has too many fields"),
            Self::OptionsConflict => (500, "the topic is configured in two ways"),
            Self::UnknownMethod => (501, "unknown method"),
            Self::NoRoom => (503, "no room, try again"),
            Self::Version => (505, "only HTTP/1.0 and HTTP/1.1 are served"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Refusal {}
