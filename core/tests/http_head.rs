//! WIRE §2, sentence by sentence: what a request head may be. Every head is read under every split.
#![cfg(feature = "http")]

mod http;

use http::{Numbers, Outcome, get, read, refused, request, show, with_method};
use sse_state::http::{Allow, LastEventId, Method, Refusal};

#[test]
fn w2_a_plain_get_is_done_with_its_parts() {
    let request = request("GET /a%20b?x=1 HTTP/1.1\r\nHost: h.example:80\r\nAccept: */*\r\n\r\n");
    assert_eq!(request.method(), Method::Get);
    assert_eq!(request.target(), "/a%20b?x=1");
    assert_eq!(request.path(), "/a b");
    assert_eq!(request.query(), Some("x=1"));
    assert_eq!(request.host(), Some("h.example:80"));
    assert_eq!(request.minor_version(), 1);
    assert_eq!(request.content_length(), None);
    assert_eq!(request.last_event_id(), LastEventId::Absent);
    let fields: Vec<_> = request.fields().collect();
    assert_eq!(
        fields,
        [("Host", b"h.example:80".as_slice()), ("Accept", b"*/*")]
    );
}

#[test]
fn w2_an_incomplete_head_wants_more() {
    let bytes = get("A: b\r\n");
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]), Outcome::More, "after {end} bytes");
    }
}

#[test]
fn w2_bare_lf_is_400() {
    for head in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET\n/ HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(refused(head), Refusal::LineEnding, "{head:?}");
    }
    assert_eq!(Refusal::LineEnding.status(), 400);
}

#[test]
fn w2_bare_cr_is_400() {
    for head in [
        "GET / HTTP/1.1\rHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\rA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\ra HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(refused(head), Refusal::LineEnding, "{head:?}");
    }
}

#[test]
fn w2_a_bare_cr_or_lf_at_every_place_of_a_head_is_400() {
    let good = get("Accept: text/event-stream\r\n");
    for at in 0..good.len() {
        for byte in [b'\r', b'\n'] {
            // Beside a CRLF another CR or LF can make an end of the head, or an empty line before it.
            if at == 0 && byte == b'\r' || good[at] == b'\r' || good[at] == b'\n' {
                continue;
            }
            let mut bad = good.clone();
            bad[at] = byte;
            match read(&bad) {
                Outcome::Refused(refusal) => assert_eq!(refusal.status(), 400, "{}", show(&bad)),
                other => panic!("{}: {other:?}", show(&bad)),
            }
        }
    }
}

#[test]
fn w2_control_bytes_are_400_at_once_and_tabs_only_stand_in_fields() {
    for byte in (0..0x20_u8)
        .chain([0x7F])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        for mut head in [
            b"GET /".to_vec(),
            b"G".to_vec(),
            get("A: ")[..36].to_vec(),
            Vec::new(),
        ] {
            head.push(byte);
            assert_eq!(refused(&head), Refusal::ControlByte, "{}", show(&head));
        }
    }
    assert_eq!(refused("GET\t/ HTTP/1.1\r\n"), Refusal::ControlByte);
    let request = request(get("A:\tb\tc\t\r\n"));
    assert_eq!(request.field("a").collect::<Vec<_>>(), [b"b\tc"]);
}

#[test]
fn w2_one_empty_line_before_the_request_line_is_allowed() {
    let request = request([b"\r\n".as_slice(), &get("")].concat());
    assert_eq!(request.target(), "/");
}

#[test]
fn w2_two_empty_lines_before_the_request_line_are_400() {
    assert_eq!(
        refused([b"\r\n\r\n".as_slice(), &get("")].concat()),
        Refusal::RequestLine
    );
}

#[test]
fn w2_a_malformed_request_line_is_400() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/11",
        "GET / HTTP/1.10",
        "GET / HTTP/-1.1",
        "GET / XTTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "GET",
        "/",
        "",
    ] {
        assert_eq!(
            refused(format!("{line}\r\nHost: h\r\n\r\n")),
            Refusal::RequestLine,
            "{line:?}"
        );
    }
    assert_eq!(Refusal::RequestLine.status(), 400);
}

#[test]
fn w2_absolute_form_is_accepted_and_its_authority_replaces_host() {
    for (target, host, path) in [
        ("http://real.example/a?b=1", "real.example", "/a"),
        ("HTTPS://real.example:8443/a?b=1", "real.example:8443", "/a"),
        ("http://[::1]:80/a?b=1", "[::1]:80", "/a"),
        ("http://real.example?b=1", "real.example", "/"),
    ] {
        let request = request(format!(
            "GET {target} HTTP/1.1\r\nHost: other.example\r\n\r\n"
        ));
        assert_eq!((request.host(), request.path()), (Some(host), path));
        assert_eq!(request.query(), Some("b=1"));
    }
    let request = request("GET http://real.example HTTP/1.0\r\n\r\n");
    assert_eq!(
        (request.host(), request.path(), request.query()),
        (Some("real.example"), "/", None)
    );
}

#[test]
fn w2_a_malformed_authority_of_an_absolute_form_is_400() {
    for target in "http:///a http://u@h/a http://h:99999/a http://h:x/a http://[::1/a".split(' ') {
        let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(refused(head), Refusal::HostInvalid, "{target}");
    }
    assert_eq!(Refusal::HostInvalid.status(), 400);
}

#[test]
fn w2_asterisk_only_with_options() {
    let request = request("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((request.path(), request.query()), ("*", None));
    assert_eq!(request.topic(&Default::default()), Err(Refusal::TargetForm));
    for method in ["GET", "HEAD", "POST", "PUT"] {
        let head = format!("{method} * HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(refused(head), Refusal::TargetForm, "{method}");
    }
}

#[test]
fn w2_authority_form_and_other_forms_are_400() {
    for line in [
        "CONNECT h.example:80",
        "GET h.example:80",
        "GET a",
        "GET ftp://h/a",
        "GET ?a",
        "OPTIONS *a",
    ] {
        assert_eq!(
            refused(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")),
            Refusal::TargetForm,
            "{line}"
        );
    }
    assert_eq!(Refusal::TargetForm.status(), 400);
}

#[test]
fn w2_two_lengths_are_400() {
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
    ] {
        for method in ["POST", "GET", "PUT"] {
            assert_eq!(
                refused(with_method(method, lines)),
                Refusal::ContentLength,
                "{lines:?}"
            );
        }
    }
    assert_eq!(Refusal::ContentLength.status(), 400);
}

#[test]
fn w2_a_length_that_is_no_number_is_400() {
    for value in [
        "",
        "-1",
        "+1",
        "1x",
        "0x10",
        "1.0",
        "1 0",
        "18446744073709551616",
        "\u{661}",
    ] {
        let head = with_method("POST", &format!("Content-Length: {value}\r\n"));
        assert_eq!(refused(head), Refusal::ContentLength, "{value:?}");
    }
    let request = request(with_method(
        "POST",
        "Content-Length: 18446744073709551615\r\n",
    ));
    assert_eq!(request.content_length(), Some(u64::MAX));
}

#[test]
fn w2_length_and_transfer_coding_is_400() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 0\r\n",
    ] {
        for method in ["POST", "GET"] {
            assert_eq!(
                refused(with_method(method, lines)),
                Refusal::LengthWithCoding,
                "{lines:?}"
            );
        }
    }
    assert_eq!(Refusal::LengthWithCoding.status(), 400);
}

#[test]
fn w2_folding_is_400() {
    for lines in [
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        " A: b\r\n",
        "A:\r\n b\r\n",
    ] {
        assert_eq!(refused(get(lines)), Refusal::FieldLine, "{lines:?}");
    }
    assert_eq!(
        refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
        Refusal::FieldLine
    );
    assert_eq!(Refusal::FieldLine.status(), 400);
}

#[test]
fn w2_space_before_the_colon_is_400() {
    for lines in ["A : b\r\n", "A\t: b\r\n", "A b: c\r\n"] {
        assert_eq!(refused(get(lines)), Refusal::FieldLine, "{lines:?}");
    }
}

#[test]
fn w2_an_empty_or_impossible_name_or_no_colon_is_400() {
    for lines in [
        ": b\r\n",
        ":\r\n",
        "A\r\n",
        "A(: b\r\n",
        "A\u{e9}: b\r\n",
        "\"A\": b\r\n",
    ] {
        assert_eq!(refused(get(lines)), Refusal::FieldLine, "{lines:?}");
    }
}

#[test]
fn w2_length_zero_is_fine_on_get_head_options() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = request(with_method(method, "Content-Length: 0\r\n"));
        assert_eq!(request.content_length(), Some(0), "{method}");
    }
}

#[test]
fn w2_any_other_body_on_get_head_options_is_400() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        for line in [
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
        ] {
            let head = with_method(method, &format!("{line}\r\n"));
            assert_eq!(refused(head), Refusal::BodyNotAllowed, "{method} {line}");
        }
    }
    assert_eq!(Refusal::BodyNotAllowed.status(), 400);
}

#[test]
fn w2_fields_are_found_in_any_case_and_are_bytes() {
    let mut head =
        b"GET / HTTP/1.1\r\nhOST: h\r\nX-Thing:   a\xff b  \r\nx-thing:\r\n\r\n".to_vec();
    let read = request(&head);
    assert_eq!(
        read.field("X-THING").collect::<Vec<_>>(),
        [b"a\xff b".as_slice(), b""]
    );
    assert_eq!(read.field("nothing").count(), 0);
    head.truncate(head.len() - 1);
    assert_eq!(http::read(&head), Outcome::More);
}

#[test]
fn w2_any_expect_is_417() {
    for lines in [
        "Expect: 100-continue\r\n",
        "expect: something\r\n",
        "Expect:\r\n",
    ] {
        assert_eq!(refused(get(lines)), Refusal::Expectation, "{lines:?}");
    }
    assert_eq!(
        refused(with_method(
            "POST",
            "Expect: 100-continue\r\nContent-Length: 5\r\n"
        )),
        Refusal::Expectation
    );
    assert_eq!(
        refused("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
        Refusal::Expectation
    );
    assert_eq!(Refusal::Expectation.status(), 417);
}

#[test]
fn w2_post_only_on_publish_routes_and_others_405_with_allow() {
    use Method::{Connect, Delete, Get, Head, Options, Patch, Post, Put, Trace};
    for (allow, served) in [
        (Allow::Get, [Get, Head, Options].as_slice()),
        (Allow::Post, &[Post, Options]),
        (Allow::GetPost, &[Get, Head, Post, Options]),
    ] {
        for method in [Get, Head, Post, Options, Put, Delete, Patch, Connect, Trace] {
            let expected = if served.contains(&method) {
                Ok(())
            } else {
                Err(Refusal::MethodNotAllowed(allow))
            };
            assert_eq!(allow.check(method), expected, "{method:?}");
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), Some(method));
        }
        let names: Vec<_> = served.iter().map(|method| method.as_str()).collect();
        let listed: Vec<_> = allow.as_str().split(", ").collect();
        assert!(names.iter().all(|name| listed.contains(name)) && names.len() == listed.len());
    }
    assert_eq!(Refusal::MethodNotAllowed(Allow::Get).status(), 405);
    for method in ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT"] {
        let request = request(with_method(method, ""));
        assert_eq!(
            request.method().as_str(),
            method,
            "known, so that it can be answered with 405"
        );
    }
}

#[test]
fn w2_a_method_nobody_knows_is_501() {
    for method in ["BREW", "get", "GETT", "PROPFIND", "PRI"] {
        assert_eq!(
            refused(with_method(method, "")),
            Refusal::UnknownMethod,
            "{method}"
        );
    }
    assert_eq!(Refusal::UnknownMethod.status(), 501);
}

#[test]
fn w2_another_major_version_is_505() {
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        assert_eq!(
            refused(format!("GET / {version}\r\nHost: h\r\n\r\n")),
            Refusal::Version,
            "{version}"
        );
    }
    assert_eq!(Refusal::Version.status(), 505);
}

#[test]
fn w2_the_h2_preface_is_505() {
    assert_eq!(
        refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Refusal::Version
    );
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\n"), Refusal::Version);
}

#[test]
fn w2_a_higher_minor_version_is_spoken_to_as_1_1() {
    let request = request("GET / HTTP/1.2\r\nHost: h\r\n\r\n");
    assert_eq!(request.minor_version(), 1);
    assert_eq!(refused("GET / HTTP/1.2\r\n\r\n"), Refusal::HostMissing);
}

#[test]
fn w2_http_1_0_works() {
    let without = request("GET /a HTTP/1.0\r\n\r\n");
    assert_eq!((without.minor_version(), without.host()), (0, None));
    let with = request("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
    assert_eq!(with.host(), Some("h"));
}

/// Heads made by breaking good ones: the same outcome under any split, and what passes is read in the same
/// way by httparse, which others wrote.
#[test]
fn p1_p7_broken_heads_have_one_outcome_under_any_split() {
    let seeds = [
        get("Accept: text/event-stream\r\nLast-Event-ID: abc-1\r\n"),
        with_method("POST", "Content-Length: 5\r\nOrigin: https://h.example\r\n"),
        b"\r\nOPTIONS * HTTP/1.0\r\nHost: h\r\n\r\n".to_vec(),
        b"GET http://u.example/%61?x=%20 HTTP/1.1\r\nHost: [::1]:80\r\nA:b\r\n\r\n".to_vec(),
    ];
    let alphabet = b"\r\n\t :/%.?*#\\0aZ\x00\x7f\xffHTTP1";
    let mut numbers = Numbers(0x5EED);
    let (mut done, mut refusals) = (0, Vec::new());
    for _ in 0..4_000 {
        let mut bytes = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..1 + numbers.below(3) {
            let at = numbers.below(bytes.len());
            let byte = alphabet[numbers.below(alphabet.len())];
            match numbers.below(4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.copy_within(at / 2..at / 2 + at / 4, at / 3),
            }
        }
        match read(&bytes) {
            Outcome::Done { consumed, .. } => {
                done += 1;
                same_for_httparse(&bytes[..consumed]);
            }
            Outcome::Refused(refusal) if refusals.contains(&refusal) => {}
            Outcome::Refused(refusal) => refusals.push(refusal),
            Outcome::More => {}
        }
    }
    assert!(
        done > 100 && refusals.len() > 10,
        "{done} passed, refusals: {refusals:?}"
    );
}

fn same_for_httparse(bytes: &[u8]) {
    let ours = request(bytes);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Request::new(&mut headers);
    if ours.minor_version() == 1 && !bytes.windows(8).any(|eight| eight == b"HTTP/1.1") {
        return; // Another minor version, which it does not know.
    }
    assert_eq!(
        theirs.parse(bytes),
        Ok(httparse::Status::Complete(bytes.len())),
        "{}",
        show(bytes)
    );
    assert_eq!(theirs.method, Some(ours.method().as_str()));
    assert_eq!(theirs.path, Some(ours.target()));
    let their_fields: Vec<_> = theirs
        .headers
        .iter()
        .map(|header| (header.name, header.value))
        .collect();
    assert_eq!(their_fields, ours.fields().collect::<Vec<_>>());
}
