//! The target of a request, and the topic that it names (WIRE §1).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::Refusal;
use super::host::Authority;
use super::query::{Parameter, parameters, triplet};

/// The topic that a target names: its path, decoded once, and what the rule keeps of its query, as sent.
///
/// The one function that names topics, for requests and for publishers alike (P8). `target` is in
/// origin-form (`/a?b`) or absolute-form. The bound on the length of a name is the state's, not this one's.
///
/// # Errors
/// WIRE §1: [`Refusal::TargetByte`], [`Refusal::TargetForm`], [`Refusal::BadTriplet`],
/// [`Refusal::EscapedDelimiter`], [`Refusal::PathNotUtf8`], [`Refusal::PathControl`],
/// [`Refusal::DotSegment`]; [`Refusal::HostInvalid`] for the authority of an absolute-form. All are 400.
///
/// ```
/// use sse_state::http::{QueryRule, Refusal, topic};
///
/// assert_eq!(topic("/a%20b?x=1&lastEventId=7", &QueryRule::all()).as_deref(), Ok("/a b?x=1"));
/// let rule = QueryRule::only(["offset", "labels"])?;
/// assert_eq!(topic("/a?utm=1&labels=b&offset=10", &rule).as_deref(), Ok("/a?offset=10&labels=b"));
/// assert_eq!(topic("/a/../b", &rule), Err(Refusal::DotSegment));
/// # Ok::<(), sse_state::http::QueryRuleError>(())
/// ```
pub fn topic(target: &str, rule: &QueryRule) -> Result<String, Refusal> {
    let parsed = Target::parse(target.as_bytes(), false)?;
    let mut topic = String::from(parsed.path(target));
    rule.append(parsed.query(target).unwrap_or_default(), &mut topic);
    Ok(topic)
}

/// Which parameters of a query belong to the topic.
///
/// `lastEventId` and `last_event_id` never do, in whatever spelling; on a publish route `event` neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRule {
    only: Option<Vec<String>>,
    publishes: bool,
}

impl QueryRule {
    /// All that are not reserved, in the order and spelling of the request.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            only: None,
            publishes: false,
        }
    }

    /// Only these, in this order, with their values as sent: the recommended form, since it bounds how many
    /// topics one path has. Names are compared as sent; one that is sent twice is kept twice.
    ///
    /// # Errors
    /// A name that is empty, reserved, repeated, or that could not stand in a query as it is.
    pub fn only<I>(names: I) -> Result<Self, QueryRuleError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let mut only: Vec<String> = Vec::new();
        for name in names {
            let name = name.into();
            let plain = name.bytes().all(|byte| {
                byte.is_ascii_graphic() && !matches!(byte, b'&' | b'=' | b'#' | b'\\' | b'%' | b'+')
            });
            if name.is_empty() || !plain {
                return Err(QueryRuleError::Malformed(name));
            }
            if LAST_EVENT_ID.contains(&name.as_str()) {
                return Err(QueryRuleError::Reserved(name));
            }
            if only.contains(&name) {
                return Err(QueryRuleError::Repeated(name));
            }
            only.push(name);
        }
        Ok(Self {
            only: Some(only),
            publishes: false,
        })
    }

    /// The same rule on a publish route, where `event` names the event and not the topic.
    #[must_use]
    pub fn for_publish(self) -> Self {
        Self {
            publishes: true,
            ..self
        }
    }

    fn is_reserved(&self, parameter: &Parameter<'_>) -> bool {
        LAST_EVENT_ID.iter().any(|name| parameter.is_named(name))
            || self.publishes && parameter.is_named(EVENT)
    }

    /// Appends `?` and what is kept, if anything is.
    fn append(&self, query: &str, topic: &mut String) {
        let path_end = topic.len();
        let mut keep = |parameter: Parameter<'_>| {
            topic.push(if topic.len() == path_end { '?' } else { '&' });
            topic.push_str(parameter.sent);
        };
        let ours = || parameters(query).filter(|parameter| !self.is_reserved(parameter));
        match &self.only {
            None => ours().for_each(&mut keep),
            Some(names) => {
                for name in names {
                    ours()
                        .filter(|parameter| parameter.sent_name() == name)
                        .for_each(&mut keep);
                }
            }
        }
        // Nothing but one empty piece: the query was empty, or only reserved parameters stood in it.
        if topic.len() == path_end + 1 {
            topic.truncate(path_end);
        }
    }
}

impl Default for QueryRule {
    fn default() -> Self {
        Self::all()
    }
}

/// A name that [`QueryRule::only`] does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRuleError {
    /// Empty, or with a byte that would have to be encoded in a query.
    Malformed(String),
    /// `lastEventId` or `last_event_id`, which never belong to a topic.
    Reserved(String),
    /// Named twice.
    Repeated(String),
}

impl fmt::Display for QueryRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(name) => write!(f, "{name:?} cannot name a query parameter"),
            Self::Reserved(name) => write!(f, "the query parameter {name:?} is never a topic's"),
            Self::Repeated(name) => write!(f, "the query parameter {name:?} is named twice"),
        }
    }
}

impl core::error::Error for QueryRuleError {}

/// Positions in a target that has been found right; the bytes stay with their owner.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Of an absolute-form.
    pub(super) authority: Option<Range<usize>>,
    path: Range<usize>,
    query: Option<Range<usize>>,
    /// The path decoded, if it is not what was sent.
    decoded: Option<Box<str>>,
}

impl Target {
    /// RFC 9112 §3.2 with the refusals of WIRE §1.
    pub(super) fn parse(sent: &[u8], asterisk_allowed: bool) -> Result<Self, Refusal> {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\');
        let text = core::str::from_utf8(sent).map_err(|_| Refusal::TargetByte)?;
        if !sent.iter().all(plain) {
            return Err(Refusal::TargetByte);
        }
        let whole = 0..text.len();
        if text == "*" && asterisk_allowed {
            return Ok(Self {
                authority: None,
                path: whole,
                query: None,
                decoded: None,
            });
        }
        let authority = if text.starts_with('/') {
            None
        } else {
            Some(absolute_authority(text)?)
        };
        let rest = authority.as_ref().map_or(0, |authority| authority.end)..whole.end;
        let mark = text
            .get(rest.clone())
            .and_then(|rest| rest.find('?'))
            .map(|at| rest.start + at);
        let path = rest.start..mark.unwrap_or(rest.end);
        let query = mark.map(|mark| mark + 1..rest.end);
        if !triplets_ok(sent) {
            return Err(Refusal::BadTriplet);
        }
        let decoded = decode_path(text.get(path.clone()).unwrap_or_default())?;
        Ok(Self {
            authority,
            path,
            query,
            decoded,
        })
    }

    /// `text` is what was parsed, in this and what follows.
    pub(super) fn path<'a>(&'a self, text: &'a str) -> &'a str {
        match &self.decoded {
            Some(decoded) => decoded,
            None => text.get(self.path.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn query<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.query.clone().and_then(|query| text.get(query))
    }

    pub(super) fn bytes_held(&self) -> usize {
        self.decoded.as_ref().map_or(0, |decoded| decoded.len())
    }
}

/// The authority of `http://authority…` or `https://authority…` (RFC 9112 §3.2.2).
fn absolute_authority(text: &str) -> Result<Range<usize>, Refusal> {
    let (scheme, after) = text.split_once("://").ok_or(Refusal::TargetForm)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(Refusal::TargetForm);
    }
    let start = text.len() - after.len();
    let end = after.find(['/', '?']).unwrap_or(after.len());
    match after.get(..end).and_then(Authority::parse) {
        Some(_) => Ok(start..start + end),
        None => Err(Refusal::HostInvalid),
    }
}

fn triplets_ok(sent: &[u8]) -> bool {
    sent.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| sent.get(at + 1..).and_then(triplet).is_some())
}

/// Decodes a path once; `None` if it is what it was. The triplets have been found right.
fn decode_path(sent: &str) -> Result<Option<Box<str>>, Refusal> {
    if sent.is_empty() {
        // An absolute-form without a path means the root (RFC 9110 §4.2.3).
        return Ok(Some(Box::from("/")));
    }
    if !sent.contains('%') {
        return if has_dot_segment(sent) {
            Err(Refusal::DotSegment)
        } else {
            Ok(None)
        };
    }
    let mut decoded = Vec::with_capacity(sent.len());
    let mut rest = sent.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match triplet(after) {
            Some((value, after)) if byte == b'%' => {
                // Decoded they would be delimiters that the sender did not mean.
                if matches!(value, b'/' | b'\\' | b'?') {
                    return Err(Refusal::EscapedDelimiter);
                }
                decoded.push(value);
                rest = after;
            }
            _ => decoded.push(byte),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Refusal::PathNotUtf8)?;
    if decoded.contains(char::is_control) {
        return Err(Refusal::PathControl);
    }
    if has_dot_segment(&decoded) {
        return Err(Refusal::DotSegment);
    }
    Ok(Some(decoded.into_boxed_str()))
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// The parameters that carry an id where a header cannot be set.
pub(super) const LAST_EVENT_ID: [&str; 2] = ["lastEventId", "last_event_id"];

/// The parameter that names the event of a publish.
const EVENT: &str = "event";
