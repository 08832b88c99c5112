//! WIRE §3: every answer, read back by a strict client.
#![cfg(feature = "http")]

mod http;

use http::{StrictAnswer, date, get, read_answer as read, request, with_method};
use sse_state::http::{Allow, Answer, AnswerError, Busy, Method, OriginRules, Refusal, Request};

fn names(answer: &StrictAnswer) -> Vec<&str> {
    answer
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

fn list() -> OriginRules {
    OriginRules::list(["https://app.example", "null"]).expect("a list")
}

#[test]
fn w3_the_head_of_a_stream_is_exactly_this() {
    let bytes = Answer::stream().to_bytes(false, &date());
    let expected = "HTTP/1.1 200 OK\r\n\
        Content-Type: text/event-stream\r\n\
        Cache-Control: no-store, no-transform\r\n\
        X-Accel-Buffering: no\r\n\
        X-Content-Type-Options: nosniff\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        Connection: close\r\n\
        \r\n";
    assert_eq!(bytes, expected);
    assert!(Answer::stream().is_stream());
}

#[test]
fn w3_no_chunking_and_no_length_on_a_stream() {
    let answer = read(&Answer::stream().cors(&list(), &request(get("Origin: null\r\n"))));
    assert_eq!(answer.field("Transfer-Encoding"), None);
    assert_eq!(answer.field("Content-Length"), None);
}

#[test]
fn w2_head_has_the_fields_of_get_and_ends() {
    let stream = Answer::stream();
    assert_eq!(
        stream.to_bytes(true, &date()),
        stream.to_bytes(false, &date())
    );
    let fixed = Answer::fixed("text/html", "<p>").expect("right");
    let (get, head) = (
        fixed.to_bytes(false, &date()),
        fixed.to_bytes(true, &date()),
    );
    assert_eq!(get, [head.as_ref(), b"<p>"].concat());
    assert!(head.ends_with(b"Content-Length: 3\r\n\r\n"));
    assert!(request(with_method("HEAD", "")).is_head() && !request(get_plain()).is_head());
}

fn get_plain() -> Vec<u8> {
    get("")
}

#[test]
fn w3_a_mounted_answer_has_no_connection_date_or_length() {
    let names = |answer: &Answer| {
        answer
            .mounted_fields()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let stream = [
        "Content-Type",
        "Cache-Control",
        "X-Accel-Buffering",
        "X-Content-Type-Options",
    ];
    assert_eq!(names(&Answer::stream()), stream);
    let refusal =
        Answer::refusal(&Refusal::MethodNotAllowed(Allow::Get)).cors(&list(), &request(get("")));
    assert_eq!(
        names(&refusal),
        [
            "Content-Type",
            "Cache-Control",
            "X-Content-Type-Options",
            "Allow",
            "Vary"
        ]
    );
    assert_eq!(refusal.body(), "method not allowed\n");
    assert_eq!(Answer::stream().body(), "");
    let read = read(&refusal);
    for (name, value) in refusal.mounted_fields() {
        assert_eq!(read.field(name), Some(value), "the same over both ways");
    }
}

#[test]
fn w2_every_refusal_has_its_status_and_a_short_text() {
    use Refusal::*;
    let all = [
        (
            400,
            [
                LineEnding,
                ControlByte,
                RequestLine,
                TargetByte,
                TargetForm,
                BadTriplet,
                EscapedDelimiter,
                PathNotUtf8,
                PathControl,
                DotSegment,
                QueryParameter,
                FieldLine,
                HostMissing,
                HostRepeated,
                HostInvalid,
                ContentLength,
                LengthWithCoding,
                BodyNotAllowed,
                BodyNotUtf8,
            ]
            .as_slice(),
        ),
        (403, &[CrossSite]),
        (404, &[NoRoute]),
        (405, &[MethodNotAllowed(Allow::Get)]),
        (409, &[TopicHasSource]),
        (411, &[LengthRequired]),
        (413, &[ContentTooLarge]),
        (414, &[TargetTooLong, NameTooLong]),
        (417, &[Expectation]),
        (421, &[HostNotAllowed]),
        (431, &[HeadTooLarge, TooManyFields]),
        (500, &[OptionsConflict]),
        (501, &[UnknownMethod]),
        (503, &[NoRoom]),
        (505, &[Version]),
    ];
    let mut texts = std::collections::BTreeSet::new();
    for (status, refusals) in all {
        for refusal in refusals {
            let answer = read(&Answer::refusal(refusal));
            assert_eq!(
                (answer.status, refusal.status()),
                (status, status),
                "{refusal:?}"
            );
            assert_eq!(answer.text(), format!("{refusal}\n"));
            assert!(
                answer.body.len() < 200 && texts.insert(refusal.text()),
                "{refusal:?}"
            );
            let bytes = Answer::refusal(refusal).to_bytes(false, &date());
            let line = String::from_utf8_lossy(&bytes)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            assert!(
                line.len() > "HTTP/1.1 400 ".len(),
                "a reason is given: {line}"
            );
        }
    }
}

#[test]
fn w9_refusals_are_plain_text_no_store_nosniff_and_close() {
    let answer = read(&Answer::refusal(&Refusal::RequestLine));
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(answer.field("Date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[test]
fn w9_every_answer_is_no_store_nosniff_and_closes() {
    let options = request(with_method("OPTIONS", ""));
    for answer in [
        Answer::stream(),
        Answer::refusal(&Refusal::NoRoute),
        Answer::published(1, false),
        Answer::options(Allow::Get, &list(), &options),
        Answer::busy(Busy::Retry200, false, 10_000),
        Answer::busy(Busy::Status503, false, 10_000),
        Answer::fixed("text/html", "x").expect("right"),
        Answer::status(204, "").expect("right"),
        Answer::status(401, "x").expect("right"),
    ] {
        let read = read(&answer);
        assert!(
            read.field("Cache-Control")
                .is_some_and(|value| value.starts_with("no-store")),
            "{answer:?}"
        );
        assert_eq!(
            read.field("X-Content-Type-Options"),
            Some("nosniff"),
            "{answer:?}"
        );
        assert_eq!(read.field("Connection"), Some("close"), "{answer:?}");
        assert!(read.field("Date").is_some(), "{answer:?}");
    }
}

#[test]
fn w2_405_carries_allow_and_other_refusals_do_not() {
    for allow in [Allow::Get, Allow::Post, Allow::GetPost] {
        let answer = read(&Answer::refusal(&Refusal::MethodNotAllowed(allow)));
        assert_eq!(answer.field("Allow"), Some(allow.as_str()));
    }
    assert_eq!(
        read(&Answer::refusal(&Refusal::UnknownMethod)).field("Allow"),
        None
    );
}

#[test]
fn w6_the_answer_to_a_publish_is_json() {
    for (subscribers, unchanged, status, json) in [
        (3, false, 201, r#"{"subscribers":3}"#),
        (0, false, 202, r#"{"subscribers":0}"#),
        (3, true, 200, r#"{"subscribers":3,"unchanged":true}"#),
        (0, true, 200, r#"{"subscribers":0,"unchanged":true}"#),
        (
            u64::MAX,
            false,
            201,
            r#"{"subscribers":18446744073709551615}"#,
        ),
    ] {
        let answer = read(&Answer::published(subscribers, unchanged));
        assert_eq!((answer.status, answer.text()), (status, json));
        assert_eq!(answer.field("Content-Type"), Some("application/json"));
    }
}

#[test]
fn w3_busy_auto_is_a_stream_that_ends_for_whoever_accepts_one() {
    for (busy, accepts) in [
        (Busy::Auto, true),
        (Busy::Retry200, true),
        (Busy::Retry200, false),
    ] {
        let answer = read(&Answer::busy(busy, accepts, 12_345));
        assert_eq!((answer.status, answer.text()), (200, "retry: 12345\n\n"));
        for (name, value) in Answer::stream().mounted_fields() {
            assert_eq!(answer.field(name), Some(value));
        }
        assert_eq!(
            answer.field("Content-Length"),
            Some("14"),
            "it is known where it ends"
        );
    }
    assert_eq!(Busy::default(), Busy::Auto);
}

#[test]
fn w3_busy_auto_is_503_with_retry_after_for_others() {
    for (busy, accepts) in [
        (Busy::Auto, false),
        (Busy::Status503, true),
        (Busy::Status503, false),
    ] {
        for (retry_ms, seconds) in [(10_000, "10"), (10_001, "11"), (19_999, "20"), (1, "1")] {
            let answer = read(&Answer::busy(busy, accepts, retry_ms));
            assert_eq!(
                (answer.status, answer.field("Retry-After")),
                (503, Some(seconds))
            );
        }
    }
    assert_eq!(
        read(&Answer::busy(Busy::Status503, true, u64::MAX)).status,
        503
    );
}

#[test]
fn w3_the_status_of_a_hook_is_kept() {
    for status in [200, 204, 302, 401, 403, 404, 418, 429, 500, 599] {
        let answer = read(&Answer::status(status, "no\n").expect("a final status"));
        assert_eq!(answer.status, status);
        if status != 204 {
            assert_eq!(answer.text(), "no\n");
        }
    }
    for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
        assert_eq!(Answer::status(status, ""), Err(AnswerError::Status(status)));
    }
}

#[test]
fn w3_204_205_and_304_have_no_body() {
    for status in [204, 205, 304] {
        let answer = read(&Answer::status(status, "dropped").expect("right"));
        assert_eq!(
            (answer.field("Content-Length"), answer.field("Content-Type")),
            (None, None)
        );
        assert!(answer.body.is_empty());
    }
}

#[test]
fn w3_401_carries_its_challenge() {
    let answer = Answer::status(401, "who are you\n")
        .and_then(|answer| answer.challenge("Bearer realm=\"x\""));
    let answer = read(&answer.expect("right"));
    assert_eq!(answer.field("WWW-Authenticate"), Some("Bearer realm=\"x\""));
    let bad = Answer::status(401, "").and_then(|answer| answer.challenge("Bearer\r\nX: y"));
    assert_eq!(bad, Err(AnswerError::Value("Bearer\r\nX: y".into())));
}

#[test]
fn w9_a_fixed_answer_takes_type_body_and_fields_such_as_csp() {
    let csp = "default-src 'self'";
    let page = Answer::fixed("text/html; charset=utf-8", "<!doctype html>")
        .and_then(|answer| answer.field("Content-Security-Policy", csp))
        .and_then(|answer| answer.field("Set-Cookie", "a=b"))
        .and_then(|answer| answer.field("Set-Cookie", "c=d"))
        .expect("right");
    let read = read(&page);
    assert_eq!((read.status, read.text()), (200, "<!doctype html>"));
    assert_eq!(read.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(read.field("Content-Security-Policy"), Some(csp));
    assert_eq!(
        names(&read)
            .iter()
            .filter(|name| **name == "Set-Cookie")
            .count(),
        2
    );
    assert!(!page.is_stream());
}

#[test]
fn w9_cr_lf_nul_in_fields_of_the_author_are_errors() {
    let answer = || Answer::status(200, "").expect("right");
    for value in [
        "a\r\nX: y",
        "a\nb",
        "a\rb",
        "a\0b",
        "\u{7f}",
        "\u{1b}[31m",
        "ä",
        " a",
        "a ",
        "\ta",
    ] {
        assert_eq!(
            answer().field("X-A", value),
            Err(AnswerError::Value(value.into())),
            "{value:?}"
        );
        assert_eq!(
            Answer::fixed(value, ""),
            Err(AnswerError::Value(value.into())),
            "{value:?}"
        );
    }
    assert_eq!(
        Answer::fixed("", ""),
        Err(AnswerError::Value(String::new()))
    );
    for name in ["", "a b", "a:", "a\r\n", "a\n", "ä", "a\0", "(a)"] {
        assert_eq!(
            answer().field(name, "x"),
            Err(AnswerError::Name(name.into())),
            "{name:?}"
        );
    }
    for value in ["", "a\tb", "a b", "~!\"#"] {
        assert!(answer().field("X-A", value).is_ok(), "{value:?}");
    }
}

#[test]
fn w9_fields_that_frame_or_guard_cannot_be_set() {
    for name in [
        "Content-Length",
        "content-length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "Trailer",
        "Content-Encoding",
        "Date",
        "Content-Type",
        "Cache-Control",
        "X-Content-Type-Options",
        "X-Accel-Buffering",
        "Allow",
        "Access-Control-Allow-Origin",
        "access-control-allow-credentials",
        "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers",
        "Access-Control-Max-Age",
    ] {
        assert_eq!(
            Answer::stream().field(name, "x"),
            Err(AnswerError::Reserved(name.into())),
            "{name}"
        );
    }
    for error in [
        AnswerError::Name("x".into()),
        AnswerError::Reserved("x".into()),
        AnswerError::Value("x".into()),
    ] {
        assert!(error.to_string().contains("\"x\""));
    }
    assert!(AnswerError::Status(7).to_string().contains('7'));
}

#[test]
fn w2_answers_do_not_depend_on_the_version_of_the_request() {
    let old = request("GET / HTTP/1.0\r\nOrigin: null\r\n\r\n");
    assert_eq!((old.method(), old.minor_version()), (Method::Get, 0));
    let new = request(get("Origin: null\r\n"));
    let of = |asked: &Request| {
        Answer::stream()
            .cors(&list(), asked)
            .to_bytes(false, &date())
    };
    assert_eq!(of(&old), of(&new));
}

#[test]
fn w3_the_status_line_names_the_status() {
    for (status, reason) in [
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "No Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (303, "See Other"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (409, "Conflict"),
        (410, "Gone"),
        (411, "Length Required"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (417, "Expectation Failed"),
        (421, "Misdirected Request"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (503, "Service Unavailable"),
        (505, "HTTP Version Not Supported"),
        (418, ""),
    ] {
        let answer = Answer::status(status, "").expect("a final status");
        let line = format!("HTTP/1.1 {status} {reason}\r\n");
        assert!(
            answer.to_bytes(false, &date()).starts_with(line.as_bytes()),
            "{line}"
        );
    }
}
