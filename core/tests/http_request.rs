//! What a request says once its head is right: ids, bodies, `Accept`, and requests that a framework has parsed.
#![cfg(feature = "http")]

mod http;

use http::{get, request, see, with_method};
use sse_state::http::{Head, HeadLimits, LastEventId, Refusal, Request};

#[test]
fn w6_a_body_needs_a_length_and_room() {
    let post = |lines: &str| request(with_method("POST", lines));
    assert_eq!(post("").body(10), Err(Refusal::LengthRequired));
    assert_eq!(
        post("Transfer-Encoding: chunked\r\n").body(10),
        Err(Refusal::LengthRequired)
    );
    assert_eq!(
        post("Content-Length: 11\r\n").body(10),
        Err(Refusal::ContentTooLarge)
    );
    assert_eq!(
        (
            Refusal::LengthRequired.status(),
            Refusal::ContentTooLarge.status()
        ),
        (411, 413)
    );
    let mut body = post("Content-Length: 10\r\n")
        .body(10)
        .expect("it has room");
    assert_eq!(
        (body.take(4), body.missing(), body.is_complete()),
        (4, 6, false)
    );
    assert_eq!(
        (body.take(0), body.take(7), body.is_complete()),
        (0, 6, true)
    );
    assert_eq!(
        (body.take(7), body.missing()),
        (0, 0),
        "the rest is not the body's"
    );
    assert!(
        post("Content-Length: 0\r\n")
            .body(0)
            .expect("empty")
            .is_complete()
    );
}

#[test]
fn w5_last_event_id_is_bytes_and_the_header_wins() {
    let with = |target: &str, id: &[u8]| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nlast-event-ID: ").into_bytes();
        request([head.as_slice(), id, b"\r\n\r\n"].concat())
    };
    assert_eq!(
        with("/?lastEventId=q", b"\xff h")
            .last_event_id()
            .as_bytes(),
        Some(b"\xff h".as_slice())
    );
    assert_eq!(
        with("/", b"7").last_event_id().as_bytes(),
        Some(b"7".as_slice())
    );
    assert_eq!(
        with("/?lastEventId=q", b"").last_event_id().as_bytes(),
        Some(b"q".as_slice())
    );
    assert_eq!(with("/", b"").last_event_id(), LastEventId::Absent);
    let query = |query: &str| {
        let request = request(format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
        request.last_event_id().as_bytes().map(<[u8]>::to_vec)
    };
    assert_eq!(query("lastEventId=a%FF+b%0A"), Some(b"a\xff b\n".to_vec()));
    assert_eq!(query("x=1&last_event_id=7"), Some(b"7".to_vec()));
    assert_eq!(query("last%45ventId=7"), Some(b"7".to_vec()));
    assert_eq!(query("lastEventId="), None);
    assert_eq!(query("lasteventid=7"), None);
    assert_eq!(query("lastEventId"), None);
}

#[test]
fn w5_a_repeated_over_long_or_odd_id_is_unknown_and_never_an_error() {
    let with = |lines: &str| {
        request(get(lines))
            .last_event_id()
            .as_bytes()
            .map(<[u8]>::to_vec)
    };
    let unknown = LastEventId::Unknown.as_bytes().map(<[u8]>::to_vec);
    assert!(unknown.is_some(), "unknown is not absent");
    let id = |bytes: usize| format!("Last-Event-ID: {}\r\n", "a".repeat(bytes));
    assert_eq!(with(&id(127)), Some(vec![b'a'; 127]));
    assert_eq!(with(&id(128)), Some(vec![b'a'; 128]));
    assert_eq!(with(&id(129)), unknown);
    assert_eq!(with("Last-Event-ID: a\r\nlast-event-id: a\r\n"), unknown);
    assert_eq!(
        with("Last-Event-ID: \"<>\u{1F980}\r\n"),
        Some("\"<>\u{1F980}".into())
    );
    for query in "lastEventId=a&lastEventId=b lastEventId=a&last_event_id=a".split(' ') {
        let request = request(format!("GET /?{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(request.last_event_id(), LastEventId::Unknown, "{query}");
    }
    let long = request(format!(
        "GET /?lastEventId={} HTTP/1.0\r\n\r\n",
        "%41".repeat(129)
    ));
    assert_eq!(long.last_event_id(), LastEventId::Unknown);
}

#[test]
fn w3_a_mounted_request_is_held_to_the_same_rules() {
    let limits = HeadLimits::default();
    let none: [(&str, &[u8]); 0] = [];
    let parts = |method: &str,
                 target: &str,
                 authority: Option<&str>,
                 fields: &[(&'static str, &'static [u8])]| {
        Request::from_parts(method, target, authority, fields.iter().copied(), limits)
    };
    let mounted = parts("GET", "/a?b", None, &[("host", b"h"), ("x", b"\xff")]).expect("right");
    let plain = request(b"GET /a?b HTTP/1.1\r\nhost: h\r\nx: \xff\r\n\r\n");
    assert_eq!(see(&mounted), see(&plain));
    let h2 = parts(
        "GET",
        "/",
        Some("h2.example"),
        &[("host", b"old"), ("Host", b"older")],
    )
    .expect("right");
    assert_eq!((h2.host(), h2.fields().count()), (Some("h2.example"), 1));
    let framed = [
        ("Expect", b"100-continue".as_slice()),
        ("content-length", b"3"),
        ("Transfer-Encoding", b"x"),
    ];
    assert_eq!(
        parts("GET", "/", None, &framed)
            .expect("framing is the framework's")
            .fields()
            .count(),
        0
    );
    for (method, target, authority, fields, refusal) in [
        (
            "GET",
            "/ HTTP/1.1\r\nx: y",
            None,
            none.as_slice(),
            Refusal::LineEnding,
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "/",
            None,
            &none,
            Refusal::LineEnding,
        ),
        ("GET", "/", Some("h\r\nx: y"), &none, Refusal::LineEnding),
        (
            "GET",
            "/",
            None,
            &[("x", b"y\r\nz: w")],
            Refusal::LineEnding,
        ),
        ("GET", "/", None, &[("x\r\ny", b"z")], Refusal::FieldLine),
        ("GET", "/", None, &[("x:y", b"z")], Refusal::FieldLine),
        ("GET", "/", None, &[("", b"z")], Refusal::FieldLine),
        ("GET", "/a b", None, &none, Refusal::RequestLine),
        ("", "/", None, &none, Refusal::RequestLine),
        ("GET", "", None, &none, Refusal::RequestLine),
        ("GET", "/..", None, &none, Refusal::DotSegment),
        ("BREW", "/", None, &none, Refusal::UnknownMethod),
        ("GET", "/", Some("a b"), &none, Refusal::HostInvalid),
        (
            "GET",
            "/",
            None,
            &[("host", b"a"), ("host", b"b")],
            Refusal::HostRepeated,
        ),
    ] {
        let outcome = parts(method, target, authority, fields).map(|request| see(&request));
        assert_eq!(outcome, Err(refusal), "{method:?} {target:?}");
    }
    let long = "a".repeat(17_000);
    let outcome = Request::from_parts("GET", &format!("/{long}"), None, none, limits);
    assert_eq!(
        outcome.map(|request| see(&request)),
        Err(Refusal::TargetTooLong)
    );
}

#[test]
fn w7_debug_shows_no_field_or_query_value() {
    let bytes = b"GET /p\xffath?token=secret HTTP/1.0\r\nAuthorization: secret\r\n\r\n";
    let bytes = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != 0xFF)
        .collect::<Vec<_>>();
    let mut head = Head::new(HeadLimits::default());
    head.push(&bytes[..50]);
    assert_eq!(format!("{head:?}"), "Head(Field at byte 50)");
    let shown = format!("{:?}", request(&bytes));
    assert_eq!(shown, "Request(GET /path)");
}

#[test]
fn w2_accept_never_refuses_and_is_only_asked_whether_it_names_event_streams() {
    for (lines, names) in [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/*\r\n", false),
        ("Accept: text/html, application/json\r\n", false),
        ("Accept: text/event-stream-x\r\n", false),
        ("Accept:\r\n", false),
        ("Accept: text/event-stream\r\n", true),
        ("accept: TEXT/Event-Stream\r\n", true),
        (
            "Accept: text/html;q=0.5 ,\ttext/event-stream ;q=0.1\r\n",
            true,
        ),
        ("Accept: text/html\r\nAccept: text/event-stream\r\n", true),
    ] {
        assert_eq!(
            request(get(lines)).accepts_event_stream(),
            names,
            "{lines:?}"
        );
    }
}

#[test]
fn w2_range_conditionals_upgrade_and_accept_encoding_are_ignored() {
    let plain = request(get(""));
    for line in [
        "Range: bytes=0-1",
        "If-None-Match: \"x\"",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        "If-Match: *",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Accept-Encoding: gzip, br",
    ] {
        let request = request(get(&format!("{line}\r\n")));
        assert_eq!(
            (request.method(), request.path()),
            (plain.method(), plain.path()),
            "{line}"
        );
    }
}
