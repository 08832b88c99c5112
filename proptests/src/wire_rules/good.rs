//! Requests that are right, made from choices; a rule then breaks one thing.

use super::Oracle;
use super::subject::Door;
use crate::choice::Choice;
use sse_state::http::{Allow, OriginRules, QueryRule};

/// A request head in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Text {
    pub(super) before: &'static str,
    pub(super) method: String,
    pub(super) target: String,
    pub(super) version: String,
    /// Field lines without their ends.
    pub(super) lines: Vec<Vec<u8>>,
}

impl Text {
    /// A request that every rule lets pass on [`door`]; its topic is `/` and what follows of the target.
    pub(super) fn choose(choice: &mut Oracle<'_>) -> Text {
        let method = choice.one_of(&["GET", "GET", "HEAD", "OPTIONS", "POST"]);
        let mut text = Text {
            before: choice.one_of(&["", "", "\r\n"]),
            method: method.into(),
            target: choice.one_of(&TARGETS).into(),
            version: "HTTP/1.1".into(),
            lines: Vec::new(),
        };
        let name = choice.one_of(&["Host", "host", "HOST"]);
        text.add(&format!(
            "{name}:{}{HOST}",
            choice.one_of(&["", " ", "\t ", "  "])
        ));
        for _ in 0..choice.pick(4) {
            let line = choice.one_of(&HARMLESS);
            text.add_somewhere(line, choice);
        }
        if method == "POST" {
            text.add("Content-Length: 5");
        }
        text
    }

    pub(super) fn add(&mut self, line: &str) {
        self.lines.push(line.into());
    }

    /// Field lines have no order; a rule may not hang on it.
    pub(super) fn add_somewhere(&mut self, line: &str, choice: &mut Oracle<'_>) {
        let at = choice.pick(self.lines.len() as u32 + 1) as usize;
        self.lines.insert(at, line.into());
    }

    pub(super) fn with(mut self, line: &str, choice: &mut Oracle<'_>) -> Text {
        self.add_somewhere(line, choice);
        self
    }

    /// Without the lines of this field.
    pub(super) fn without(mut self, name: &str) -> Text {
        let prefix = format!("{name}:");
        self.lines.retain(|line| {
            !line
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        });
        self
    }

    pub(super) fn of_method(self, method: &str) -> Text {
        let bare = self.without("content-length");
        let mut text = Text {
            method: method.into(),
            ..bare
        };
        if method == "POST" {
            text.add("Content-Length: 5");
        }
        text
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let Text {
            method,
            target,
            version,
            ..
        } = self;
        let mut bytes = format!("{}{method} {target} {version}\r\n", self.before).into_bytes();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

/// A route that serves everything, to pages of its own origin, on a public address.
pub(super) fn door() -> Door {
    Door {
        allow: Allow::GetPost,
        origins: OriginRules::same_origin(),
        query: QueryRule::all(),
        loopback: false,
        allowed_hosts: Vec::new(),
    }
}

/// Whom good requests ask.
pub(super) const HOST: &str = "h.example";

/// Targets that name themselves.
const TARGETS: [&str; 7] = [
    "/",
    "/a",
    "/a/b",
    "/a//b/",
    "/a?x=1",
    "/api/v3/device/all/sse?offset=10&labels=label1,label2",
    "/-._~!$&'()*+,;=:@?/?",
];

/// Fields that change nothing (W§2.15, W§2.16), and one of nobody.
pub(super) const HARMLESS: [&str; 12] = [
    "Accept: text/event-stream",
    "Accept: image/png",
    "Accept-Encoding: gzip, br",
    "Range: bytes=0-",
    "If-None-Match: \"x\"",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "Upgrade: h2c",
    "Connection: keep-alive, Upgrade",
    "Cache-Control: no-cache",
    "Cookie: a=b; c=d",
    "X-Odd:\ta\tb  c ",
    "x-empty:",
];
