//! WIRE §1, row by row: the topic that a target names.
#![cfg(feature = "http")]

mod http;

use http::{Outcome, read};
use sse_state::http::{QueryRule, QueryRuleError, Refusal, query_parameter, topic};

/// The topic by `rule`; a request with that target must name the same one, however it is cut (P8).
#[track_caller]
fn named_by(rule: &QueryRule, target: &str) -> Result<String, Refusal> {
    let named = topic(target, rule);
    let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    match (read(&head), &named) {
        (Outcome::Done { .. }, Ok(_)) => {
            let request = http::request(&head);
            assert_eq!(request.topic(rule), named, "P8: {target}");
        }
        (Outcome::Refused(_), Err(_)) => {}
        (head, named) => panic!("P8: {target}: {named:?}, but the request: {head:?}"),
    }
    named
}

#[track_caller]
fn is(target: &str, expected: &str) {
    assert_eq!(
        named_by(&QueryRule::all(), target).as_deref(),
        Ok(expected),
        "{target}"
    );
}

#[track_caller]
fn is_400(target: &str, refusal: Refusal) {
    assert_eq!(
        named_by(&QueryRule::all(), target),
        Err(refusal),
        "{target}"
    );
    assert_eq!(refusal.status(), 400);
}

#[test]
fn w1_path_and_query_unchanged() {
    is(
        "/api/v3/device/all/sse?offset=10&labels=label1,label2",
        "/api/v3/device/all/sse?offset=10&labels=label1,label2",
    );
    is("/", "/");
    is("/a?x", "/a?x");
}

#[test]
fn w1_an_empty_query_is_left_out() {
    is("/a?", "/a");
}

#[test]
fn w1_last_event_id_alone_leaves_no_query() {
    is("/a?lastEventId=x", "/a");
    is("/a?last_event_id=x", "/a");
    is("/a?lastEventId", "/a");
    is("/a?lastEventId=x&last_event_id=y", "/a");
    is("/a?lastEventId=x&lastEventId=y", "/a");
}

#[test]
fn w1_last_event_id_is_taken_out_and_the_rest_stays() {
    is("/a?x=1&lastEventId=y", "/a?x=1");
    is("/a?lastEventId=y&x=1", "/a?x=1");
    is("/a?x=1&last_event_id=y&z=2", "/a?x=1&z=2");
}

#[test]
fn w1_last_event_id_is_known_in_any_spelling_but_not_by_likeness() {
    is("/a?last%45ventId=x", "/a");
    is("/a?%6Cast_event_id=x&b=1", "/a?b=1");
    is("/a?lasteventid=x", "/a?lasteventid=x");
    is(
        "/a?xlastEventId=1&lastEventIdx=2",
        "/a?xlastEventId=1&lastEventIdx=2",
    );
    is("/a?x=lastEventId", "/a?x=lastEventId");
}

#[test]
fn w1_event_is_taken_out_on_a_publish_route_only() {
    is("/a?event=x&b=1", "/a?event=x&b=1");
    let rule = QueryRule::all().for_publish();
    for (target, expected) in [
        ("/a?event=x", "/a"),
        ("/a?event=x&b=1", "/a?b=1"),
        ("/a?%65vent=x&b=1&lastEventId=y", "/a?b=1"),
        ("/a?events=x", "/a?events=x"),
    ] {
        assert_eq!(named_by(&rule, target).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn w1_the_path_is_decoded() {
    is("/a%20b", "/a b");
    is("/%C3%A4", "/ä");
    is("/%23%25%3B", "/#%;");
}

#[test]
fn w1_two_spellings_of_one_path_are_one_topic() {
    is("/%61", "/a");
    is("/a", "/a");
    is("/%e2%82%ac", "/€");
    is("/%E2%82%AC", "/€");
}

#[test]
fn w1_the_path_is_decoded_exactly_once() {
    is("/%2561", "/%61");
    is("/%252F", "/%2F");
    is("/%25%36%31", "/%61");
    is("/%252e%252e/", "/%2e%2e/");
}

#[test]
fn w1_plus_in_the_path_is_a_plus() {
    is("/a+b", "/a+b");
}

#[test]
fn w1_trailing_slash_is_distinct() {
    is("/a/", "/a/");
    is("/a", "/a");
}

#[test]
fn w1_double_slash_is_kept() {
    is("//", "//");
    is("//a//b", "//a//b");
    is("//host.example/a", "//host.example/a");
}

#[test]
fn w1_the_query_is_as_sent() {
    is("/a?b=%61%2F&c=+", "/a?b=%61%2F&c=+");
    is("/a?b&&c=", "/a?b&&c=");
    is("/a?b?c/../d", "/a?b?c/../d");
    is("/a?&b", "/a?&b");
}

#[test]
fn w1_absolute_form_names_what_its_path_names() {
    is("http://h.example/a%20b?x=1", "/a b?x=1");
    is("http://h.example", "/");
    is("http://h.example?x=1", "/?x=1");
}

#[test]
fn w1_a_route_keeps_only_named_parameters_in_its_own_order() {
    let rule = QueryRule::only(["offset", "labels"]).expect("a rule");
    for (target, expected) in [
        ("/a?offset=10&labels=x,y", "/a?offset=10&labels=x,y"),
        ("/a?labels=x,y&offset=10", "/a?offset=10&labels=x,y"),
        ("/a?utm=1&labels=%61&lastEventId=7", "/a?labels=%61"),
        ("/a?utm=1", "/a"),
        ("/a?", "/a"),
        ("/a", "/a"),
        ("/a?offset", "/a?offset"),
        ("/a?offset=2&x=1&offset=1", "/a?offset=2&offset=1"),
        ("/a?%6Fffset=1", "/a"),
        ("/a?Offset=1", "/a"),
    ] {
        assert_eq!(named_by(&rule, target).as_deref(), Ok(expected), "{target}");
    }
    let none = QueryRule::only(Vec::<String>::new()).expect("no parameter at all");
    assert_eq!(named_by(&none, "/a?b=1").as_deref(), Ok("/a"));
    let stream = QueryRule::only(["event"]).expect("a rule");
    assert_eq!(
        named_by(&stream, "/a?event=x&b=1").as_deref(),
        Ok("/a?event=x")
    );
    let publish = QueryRule::only(["event", "b"])
        .expect("a rule")
        .for_publish();
    assert_eq!(
        named_by(&publish, "/a?event=x&b=1").as_deref(),
        Ok("/a?b=1")
    );
}

#[test]
fn w1_names_of_parameters_that_cannot_be_kept_do_not_build() {
    use QueryRuleError::{Malformed, Repeated, Reserved};
    for name in [
        "", "a b", "a&b", "a=b", "a#", "a%62", "a+b", "ä", "a\n", "a\\",
    ] {
        assert_eq!(
            QueryRule::only([name]),
            Err(Malformed(name.into())),
            "{name:?}"
        );
    }
    for name in ["lastEventId", "last_event_id"] {
        assert_eq!(QueryRule::only(["a", name]), Err(Reserved(name.into())));
    }
    assert_eq!(QueryRule::only(["a", "b", "a"]), Err(Repeated("a".into())));
    for error in [
        Malformed("x".into()),
        Reserved("x".into()),
        Repeated("x".into()),
    ] {
        assert!(error.to_string().contains("\"x\""));
    }
    assert_eq!(QueryRule::default(), QueryRule::all());
}

#[test]
fn w1_a_byte_outside_printable_ascii_in_the_target_is_400() {
    for target in [
        "/ä",
        "/a?ä",
        "/\u{7f}",
        "/a b",
        "/a\u{0}",
        "/a?b\t",
        "/\u{1F980}",
    ] {
        assert_eq!(
            topic(target, &QueryRule::all()),
            Err(Refusal::TargetByte),
            "{target:?}"
        );
    }
    for byte in 0..=u8::MAX {
        let head = [
            b"GET /".as_slice(),
            &[byte],
            b" HTTP/1.1\r\nHost: h\r\n\r\n",
        ]
        .concat();
        let good = (0x21..=0x7E).contains(&byte) && !b"#\\%.".contains(&byte);
        match read(&head) {
            Outcome::Done { .. } => assert!(good, "{byte:#x}"),
            Outcome::Refused(refusal) => assert!(!good && refusal.status() == 400, "{byte:#x}"),
            Outcome::More => panic!("{byte:#x}"),
        }
    }
}

#[test]
fn w1_a_fragment_or_a_backslash_is_400() {
    for target in ["/a#b", "/a?b#c", "/#", "/a\\b", "/a?b\\c", "/\\..\\"] {
        is_400(target, Refusal::TargetByte);
    }
}

#[test]
fn w1_a_bad_triplet_is_400() {
    for target in [
        "/%", "/%4", "/%4g", "/%zz", "/a%%41", "/a?b=%", "/a?b=%4", "/a?%zz=1", "/%+1", "/% 1",
    ] {
        let expected = if target.contains(' ') {
            Refusal::TargetByte
        } else {
            Refusal::BadTriplet
        };
        assert_eq!(topic(target, &QueryRule::all()), Err(expected), "{target}");
        assert_eq!(expected.status(), 400);
    }
    is_400("/a?b=%4&c", Refusal::BadTriplet);
}

#[test]
fn w1_a_path_that_is_not_utf8_is_400() {
    for target in [
        "/%FF",
        "/%C3",
        "/%C3a",
        "/%ED%A0%80",
        "/%C0%AF",
        "/%F4%90%80%80",
    ] {
        is_400(target, Refusal::PathNotUtf8);
    }
    is("/a?b=%FF", "/a?b=%FF");
}

#[test]
fn w1_a_control_character_in_the_path_is_400() {
    for target in [
        "/%00", "/a%0Ab", "/%0d", "/%1F", "/%7F", "/%C2%80", "/%C2%9F", "/%09",
    ] {
        is_400(target, Refusal::PathControl);
    }
    is("/a?b=%0A", "/a?b=%0A");
}

#[test]
fn w1_an_escaped_delimiter_in_the_path_is_400() {
    for target in [
        "/a%2Fb", "/a%2fb", "/a%5Cb", "/a%5cb", "/a%3Fb", "/a%3fb", "/%2F",
    ] {
        is_400(target, Refusal::EscapedDelimiter);
    }
    is("/a?b=%2F%5C%3F", "/a?b=%2F%5C%3F");
}

#[test]
fn w1_a_dot_segment_in_any_spelling_is_400() {
    for target in [
        "/.",
        "/..",
        "/./",
        "/../",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/%2e",
        "/%2E%2e/a",
        "/.%2e",
        "/a/%2e./b",
        "/..?x",
        "http://h/../a",
        "/%61/..",
    ] {
        is_400(target, Refusal::DotSegment);
    }
    for target in [
        "/...", "/.a", "/a.", "/..a", "/a..b/c", "/a?../b", "/.;/..;",
    ] {
        is(target, target);
    }
}

#[test]
fn w1_other_forms_name_no_topic() {
    for target in ["*", "a", "h:80", "", "ftp://h/a", "?a"] {
        assert_eq!(
            topic(target, &QueryRule::all()),
            Err(Refusal::TargetForm),
            "{target:?}"
        );
    }
    assert_eq!(
        topic("http://u@h/a", &QueryRule::all()),
        Err(Refusal::HostInvalid)
    );
}

#[test]
fn w1_a_name_never_holds_a_control_character_and_is_stable() {
    // Whatever passes names a topic that, as a path and a query, is one line of visible text.
    let mut numbers = http::Numbers(7);
    let alphabet = [
        "/",
        "a",
        ".",
        "%2",
        "%2e",
        "%C3%A4",
        "?",
        "&",
        "=",
        "%",
        "+",
        "lastEventId",
        "%0a",
        "%25",
    ];
    let mut passed = 0;
    for _ in 0..20_000 {
        let mut target = String::from("/");
        for _ in 0..numbers.below(8) {
            target.push_str(alphabet[numbers.below(alphabet.len())]);
        }
        if let Ok(name) = topic(&target, &QueryRule::all()) {
            passed += 1;
            assert!(
                !name.contains(char::is_control) && name.starts_with('/'),
                "{target} {name}"
            );
            let (path, query) = name
                .split_once('?')
                .map_or((name.as_str(), None), |(path, query)| (path, Some(query)));
            assert!(
                !path
                    .split('/')
                    .any(|segment| segment == "." || segment == ".."),
                "{target}"
            );
            assert!(
                query.is_none_or(|query| !query
                    .split('&')
                    .any(|piece| piece.starts_with("lastEventId=") || piece == "lastEventId")),
                "{target}"
            );
        }
    }
    assert!(passed > 2_000, "{passed}");
}

#[test]
fn w6_event_is_decoded_to_utf8() {
    for (query, value) in [
        ("event=door", Some("door")),
        ("x=1&event=a%20b+c&y", Some("a b c")),
        ("event=%C3%A4", Some("ä")),
        ("event=a%0Ab", Some("a\nb")),
        ("%65vent=x", Some("x")),
        ("event=a=b", Some("a=b")),
        ("event=", Some("")),
        ("event", Some("")),
        ("event=%+%4", Some("% %4")),
        ("events=x", None),
        ("", None),
    ] {
        assert_eq!(
            query_parameter(query, "event"),
            Ok(value.map(String::from)),
            "{query}"
        );
    }
    for query in ["event=%FF", "event=a&event=b", "event=a&%65vent=a"] {
        assert_eq!(
            query_parameter(query, "event"),
            Err(Refusal::QueryParameter),
            "{query}"
        );
    }
    assert_eq!(Refusal::QueryParameter.status(), 400);
}
