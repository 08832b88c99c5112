//! WIRE §3: what a browser is told about origins, and that nothing of a request gets into an answer.
#![cfg(feature = "http")]

mod http;

use http::{Numbers, StrictAnswer, date, get, read_answer as read, request, with_method};
use sse_state::http::{
    Allow, Answer, Busy, Head, HeadLimits, OriginRules, QueryRule, Refusal, Request,
};

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
fn w2_options_is_204_with_allow() {
    let plain = request(with_method("OPTIONS", ""));
    for allow in [Allow::Get, Allow::Post, Allow::GetPost] {
        let answer = read(&Answer::options(allow, &OriginRules::same_origin(), &plain));
        assert_eq!(
            (answer.status, answer.field("Allow")),
            (204, Some(allow.as_str()))
        );
        assert_eq!(answer.field("Content-Length"), None, "RFC 9110 §8.6");
        assert!(answer.body.is_empty());
    }
}

#[test]
fn w3_cors_is_off_by_default() {
    let asked = request(get("Origin: https://app.example\r\n"));
    let answer = read(&Answer::stream().cors(&OriginRules::same_origin(), &asked));
    assert!(
        names(&answer)
            .iter()
            .all(|name| !name.starts_with("Access-Control") && *name != "Vary")
    );
}

#[test]
fn w3_a_list_echoes_the_matching_origin() {
    for origin in ["https://app.example", "null"] {
        let asked = request(get(&format!("Origin: {origin}\r\n")));
        let answer = read(&Answer::stream().cors(&list(), &asked));
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some(origin));
        assert_eq!(
            answer.field("Access-Control-Allow-Credentials"),
            None,
            "not asked for"
        );
        assert_eq!(answer.field("Vary"), Some("Origin"));
    }
    for lines in [
        "Origin: https://evil.example\r\n",
        "",
        "Origin: https://app.example\r\nOrigin: null\r\n",
    ] {
        let answer = read(&Answer::stream().cors(&list(), &request(get(lines))));
        assert_eq!(answer.field("Access-Control-Allow-Origin"), None, "{lines}");
    }
}

#[test]
fn w3_vary_origin_is_on_every_answer_of_a_route_with_a_list() {
    for lines in [
        "",
        "Origin: https://app.example\r\n",
        "Origin: https://evil.example\r\n",
    ] {
        let asked = request(get(lines));
        let options = request(with_method("OPTIONS", lines));
        for answer in [
            Answer::stream().cors(&list(), &asked),
            Answer::refusal(&Refusal::CrossSite).cors(&list(), &asked),
            Answer::published(1, false).cors(&list(), &asked),
            Answer::busy(Busy::Auto, true, 10_000).cors(&list(), &asked),
            Answer::busy(Busy::Auto, false, 10_000).cors(&list(), &asked),
            Answer::status(401, "")
                .expect("right")
                .cors(&list(), &asked),
            Answer::options(Allow::Get, &list(), &options).cors(&list(), &options),
        ] {
            assert_eq!(read(&answer).field("Vary"), Some("Origin"), "{answer:?}");
        }
    }
}

#[test]
fn w3_refusals_of_a_route_can_be_read_by_a_listed_page() {
    let asked = request(get("Origin: https://app.example\r\n"));
    let answer = read(&Answer::refusal(&Refusal::NoRoom).cors(&list(), &asked));
    assert_eq!(
        answer.field("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
}

#[test]
fn w3_any_origin_is_a_star_that_does_not_vary() {
    for lines in ["", "Origin: https://evil.example\r\n"] {
        let answer = read(&Answer::stream().cors(&OriginRules::any(), &request(get(lines))));
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(
            (
                answer.field("Vary"),
                answer.field("Access-Control-Allow-Credentials")
            ),
            (None, None)
        );
    }
}

#[test]
fn w3_credentials_only_when_asked_for_and_for_a_listed_origin() {
    let rules = list().with_credentials().expect("there is a list");
    let of = |lines: &str| read(&Answer::stream().cors(&rules, &request(get(lines))));
    assert_eq!(
        of("Origin: null\r\n").field("Access-Control-Allow-Credentials"),
        Some("true")
    );
    assert_eq!(
        of("Origin: https://evil.example\r\n").field("Access-Control-Allow-Credentials"),
        None
    );
    assert_eq!(of("").field("Access-Control-Allow-Credentials"), None);
}

fn preflight(allow: Allow, rules: &OriginRules, lines: &str) -> StrictAnswer {
    let asked = request(with_method("OPTIONS", lines));
    read(&Answer::options(allow, rules, &asked).cors(rules, &asked))
}

#[test]
fn w3_a_preflight_is_204_with_methods_and_max_age() {
    let lines = "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n";
    for rules in [list(), OriginRules::any()] {
        let answer = preflight(Allow::GetPost, &rules, lines);
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("Access-Control-Max-Age"), Some("7200"));
        assert_eq!(
            answer.field("Access-Control-Allow-Methods"),
            Some("GET, HEAD, POST, OPTIONS")
        );
        assert_eq!(answer.field("Allow"), Some("GET, HEAD, POST, OPTIONS"));
        assert_eq!(
            answer.field("Access-Control-Allow-Headers"),
            None,
            "none were asked for"
        );
        assert!(answer.field("Access-Control-Allow-Origin").is_some());
    }
}

#[test]
fn w3_a_preflight_allows_the_headers_asked_for_that_are_known() {
    for (asked, allowed) in [
        ("last-event-id", Some("Last-Event-ID")),
        (
            "authorization,x-evil , CONTENT-TYPE",
            Some("Authorization, Content-Type"),
        ),
        (
            "content-type, authorization, cache-control, last-event-id",
            Some("Last-Event-ID, Cache-Control, Authorization, Content-Type"),
        ),
        ("authorization, authorization", Some("Authorization")),
        ("x-evil", None),
        ("*", None),
        ("", None),
    ] {
        let lines = format!(
            "Origin: null\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: {asked}\r\n"
        );
        let answer = preflight(Allow::Get, &list(), &lines);
        assert_eq!(
            answer.field("Access-Control-Allow-Headers"),
            allowed,
            "{asked}"
        );
    }
}

#[test]
fn w3_a_preflight_of_an_origin_that_is_not_listed_allows_nothing() {
    let asks =
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    let evil = format!("Origin: https://evil.example\r\n{asks}");
    for (rules, lines) in [
        (list(), evil.as_str()),
        (OriginRules::same_origin(), &evil),
        (list(), asks),
        (list(), "Origin: null\r\n"),
        (OriginRules::any(), asks),
    ] {
        let answer = preflight(Allow::Get, &rules, lines);
        assert_eq!(answer.status, 204);
        for name in [
            "Access-Control-Allow-Methods",
            "Access-Control-Allow-Headers",
            "Access-Control-Max-Age",
        ] {
            assert_eq!(answer.field(name), None, "{lines}");
        }
    }
}

/// P4: a request that carries a mark wherever a request can carry something; no answer that is made from it
/// holds the mark, whatever the rules.
#[test]
fn p4_nothing_of_a_request_gets_into_an_answer() {
    let marks = [
        "Mark",
        "Mark\tMark",
        "\"Mark\"",
        "https://Mark.example",
        "Mark, authorization",
        "\u{c4}Mark",
    ];
    let names = [
        "Origin",
        "Last-Event-ID",
        "Accept",
        "Sec-Fetch-Site",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Authorization",
        "X-Mark",
        "Cookie",
        "Referer",
    ];
    let mut numbers = Numbers(99);
    for round in 0..3_000 {
        let method = ["GET", "HEAD", "POST", "OPTIONS"][numbers.below(4)];
        let mut head =
            format!("{method} /Mark?Mark=Mark&lastEventId=Mark HTTP/1.1\r\nHost: Mark.example\r\n");
        for _ in 0..numbers.below(6) {
            let (name, mark) = (
                names[numbers.below(names.len())],
                marks[numbers.below(marks.len())],
            );
            head.push_str(&format!("{name}: {mark}\r\n"));
        }
        head.push_str("\r\n");
        let mut read = Head::new(HeadLimits::default());
        read.push(head.as_bytes());
        let asked = read.into_request().expect("nothing in it is malformed");
        for rules in [OriginRules::same_origin(), OriginRules::any(), list()] {
            for answer in all_answers(&rules, &asked) {
                let bytes = answer.to_bytes(asked.is_head(), &date());
                StrictAnswer::read(&bytes, asked.is_head());
                assert!(
                    !bytes.windows(4).any(|four| four == b"Mark"),
                    "round {round}: {answer:?}"
                );
            }
        }
    }
}

fn all_answers(rules: &OriginRules, asked: &Request) -> Vec<Answer> {
    let mut answers = vec![
        Answer::stream(),
        Answer::options(Allow::GetPost, rules, asked),
        Answer::busy(Busy::Auto, asked.accepts_event_stream(), 10_000),
        Answer::published(1, false),
    ];
    let refusals = [
        asked.check_host(true, &[]).err(),
        Allow::Get.check(asked.method()).err(),
        rules.check(asked).err(),
        asked.topic(&QueryRule::all()).err(),
        asked.body(10).err(),
    ];
    answers.extend(refusals.iter().flatten().map(Answer::refusal));
    answers
        .into_iter()
        .map(|answer| answer.cors(rules, asked))
        .collect()
}

/// P4: heads that are refused give answers that a strict client reads.
#[test]
fn p4_the_answer_to_a_refused_head_is_strict_and_holds_nothing_of_it() {
    for head in [
        "GET /Mark HTTP/1.1\r\n\r\n",
        "Mark / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /Mark\r\n\r\n",
        "Mark\n",
        "GET /%Ma HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: Mark Mark\r\n\r\n",
        "GET / Mark/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nExpect: Mark\r\n\r\n",
    ] {
        let bytes = Answer::refusal(&http::refused(head)).to_bytes(false, &date());
        StrictAnswer::read(&bytes, false);
        assert!(!bytes.windows(4).any(|four| four == b"Mark"), "{head:?}");
    }
}
