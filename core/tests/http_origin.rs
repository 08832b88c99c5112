//! WIRE §2, cross-site requests, and the rules that cannot be built.
#![cfg(feature = "http")]

mod http;

use http::{request, with_method};
use sse_state::http::{OriginError, OriginRules, Refusal};

const REFUSED: Result<(), Refusal> = Err(Refusal::CrossSite);

fn list() -> OriginRules {
    OriginRules::list(["https://app.example", "http://localhost:3000"]).expect("a list")
}

/// What the rules say to a request for this host with these fields, for each method that is checked.
#[track_caller]
fn check(rules: &OriginRules, host: &str, lines: &str) -> Result<(), Refusal> {
    let of = |method: &str| {
        let head = format!("{method} / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        rules.check(&request(head))
    };
    let said = of("GET");
    for method in ["HEAD", "POST", "PUT", "DELETE"] {
        assert_eq!(of(method), said, "{method}: {lines}");
    }
    assert_eq!(of("OPTIONS"), Ok(()), "OPTIONS: {lines}");
    said
}

#[test]
fn w2_cross_site_is_403_by_default() {
    let rules = OriginRules::same_origin();
    assert_eq!(
        check(&rules, "h", "Origin: https://evil.example\r\n"),
        REFUSED
    );
    assert_eq!(
        check(&rules, "h", "Sec-Fetch-Site: cross-site\r\n"),
        REFUSED
    );
    assert_eq!(Refusal::CrossSite.status(), 403);
    assert_eq!(OriginRules::default(), rules);
}

#[test]
fn w2_an_origin_on_the_list_passes_whatever_sec_fetch_site_says() {
    for site in [
        "",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: odd\r\n",
    ] {
        for origin in ["https://app.example", "http://localhost:3000"] {
            assert_eq!(
                check(&list(), "h", &format!("Origin: {origin}\r\n{site}")),
                Ok(())
            );
        }
    }
}

#[test]
fn w2_an_origin_like_one_on_the_list_is_403() {
    for origin in [
        "http://app.example",
        "https://app.example:443",
        "https://app.example:444",
        "https://app.example.evil",
        "https://x.app.example",
        "https://app.example/",
        "HTTPS://app.example",
        "https://App.example",
        "http://localhost",
        "https://app.example https://app.example",
        "*",
        "",
    ] {
        assert_eq!(
            check(&list(), "h", &format!("Origin: {origin}\r\n")),
            REFUSED,
            "{origin}"
        );
    }
}

#[test]
fn w2_sec_fetch_site_passes_only_same_origin_and_none() {
    for rules in [OriginRules::same_origin(), list(), OriginRules::any()] {
        for site in ["same-origin", "none"] {
            assert_eq!(
                check(&rules, "h", &format!("Sec-Fetch-Site: {site}\r\n")),
                Ok(()),
                "{site}"
            );
        }
        for site in [
            "cross-site",
            "same-site",
            "",
            "Same-Origin",
            "same-origin, none",
            "x",
        ] {
            assert_eq!(
                check(&rules, "h", &format!("Sec-Fetch-Site: {site}\r\n")),
                REFUSED,
                "{site}"
            );
        }
    }
}

#[test]
fn w2_sec_fetch_site_decides_before_the_comparison_with_host() {
    let rules = OriginRules::same_origin();
    assert_eq!(
        check(
            &rules,
            "h",
            "Origin: http://h\r\nSec-Fetch-Site: cross-site\r\n"
        ),
        REFUSED
    );
    assert_eq!(
        check(
            &rules,
            "h",
            "Origin: http://other\r\nSec-Fetch-Site: same-origin\r\n"
        ),
        Ok(())
    );
}

#[test]
fn w2_an_origin_must_equal_host() {
    for rules in [OriginRules::same_origin(), list()] {
        for (origin, host) in [
            ("http://h", "h"),
            ("http://h", "h:80"),
            ("http://h:80", "h"),
            ("https://h", "h"),
            ("https://h", "h:443"),
            ("https://h:443", "h"),
            ("http://h:8080", "h:8080"),
            ("https://h:8080", "h:8080"),
            ("http://h", "H"),
            ("http://H", "h:"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(
                check(&rules, host, &format!("Origin: {origin}\r\n")),
                Ok(()),
                "{origin} {host}"
            );
        }
        for (origin, host) in [
            ("http://h", "h:443"),
            ("https://h", "h:80"),
            ("http://h", "h:8080"),
            ("http://h:8080", "h"),
            ("http://h:8080", "h:8081"),
            ("http://h.evil", "h"),
            ("http://evil.h", "h"),
            ("http://h@evil", "h"),
            ("http://h/", "h"),
            ("ftp://h", "h"),
            ("h", "h"),
            ("//h", "h"),
            ("null", "null"),
            ("http://null", "h"),
            ("", "h"),
        ] {
            assert_eq!(
                check(&rules, host, &format!("Origin: {origin}\r\n")),
                REFUSED,
                "{origin} {host}"
            );
        }
    }
}

#[test]
fn w2_an_origin_without_a_host_to_compare_is_403() {
    let rules = OriginRules::same_origin();
    let of = |lines: &str| rules.check(&request(format!("GET / HTTP/1.0\r\n{lines}\r\n")));
    assert_eq!(of("Origin: http://h\r\n"), REFUSED);
    assert_eq!(of(""), Ok(()));
    // The authority of an absolute-form is the host.
    let absolute = request("GET http://real/ HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n");
    assert_eq!(rules.check(&absolute), REFUSED);
}

#[test]
fn w2_what_is_no_browser_passes() {
    for rules in [OriginRules::same_origin(), list(), OriginRules::any()] {
        assert_eq!(check(&rules, "h", ""), Ok(()));
        assert_eq!(
            check(&rules, "h", "Referer: https://evil.example/\r\n"),
            Ok(())
        );
    }
}

#[test]
fn w2_null_passes_only_if_listed() {
    let null = OriginRules::list(["null"]).expect("a list");
    for (rules, said) in [
        (OriginRules::same_origin(), REFUSED),
        (list(), REFUSED),
        (null, Ok(())),
    ] {
        assert_eq!(check(&rules, "h", "Origin: null\r\n"), said);
    }
}

#[test]
fn w2_any_origin_passes_where_all_are_allowed() {
    for origin in ["https://evil.example", "null", "app://x"] {
        assert_eq!(
            check(
                &OriginRules::any(),
                "h",
                &format!("Origin: {origin}\r\nSec-Fetch-Site: cross-site\r\n")
            ),
            Ok(())
        );
    }
}

#[test]
fn w2_a_repeated_origin_or_sec_fetch_site_is_403() {
    for rules in [list(), OriginRules::any()] {
        for lines in [
            "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
            "Origin: http://h\r\norigin: http://h\r\nSec-Fetch-Site: same-origin\r\n",
            "Sec-Fetch-Site: none\r\nSec-Fetch-Site: none\r\n",
        ] {
            assert_eq!(check(&rules, "h", lines), REFUSED, "{lines}");
        }
    }
}

#[test]
fn w2_the_rule_holds_for_all_methods_but_options() {
    // `check` above compares GET with the others; this pins what OPTIONS is let through with.
    let head = with_method(
        "OPTIONS",
        "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
    );
    assert_eq!(OriginRules::same_origin().check(&request(head)), Ok(()));
}

#[test]
fn w3_credentials_without_a_list_do_not_build() {
    for rules in [
        OriginRules::any(),
        OriginRules::same_origin(),
        OriginRules::list([""; 0]).expect("empty"),
    ] {
        let error = rules.with_credentials().expect_err("there is no list");
        assert_eq!(error, OriginError::CredentialsNeedList);
        assert!(error.to_string().contains("list"));
    }
    assert!(list().with_credentials().is_ok());
}

#[test]
fn w3_a_list_holds_only_what_a_browser_can_send() {
    for origin in [
        "*",
        "",
        "app.example",
        "https://",
        "https://a/",
        "https://a/b",
        "https://a?b",
        "https://A",
        "HTTPS://a",
        "https://a:443",
        "http://a:80",
        "https://a:",
        "https://a:x",
        "https://u@a",
        "https://a b",
        "https://a\r\nX: y",
        "https://\u{e4}",
        "1s://a",
        "ht_tp://a",
        "hTTP://a",
        "https://aB.example",
        "://a",
        "NULL",
    ] {
        let error = OriginRules::list(["https://ok", origin]).expect_err(origin);
        assert_eq!(error, OriginError::Malformed(origin.into()));
        assert!(error.to_string().contains("scheme://host"));
    }
    for origin in [
        "null",
        "https://a:80",
        "http://a:443",
        "capacitor://localhost",
        "a2+-.b://x",
        "https://[::1]:8443",
        "http://127.0.0.1",
    ] {
        assert!(OriginRules::list([origin]).is_ok(), "{origin}");
    }
    assert_eq!(
        OriginRules::list([""; 0]),
        Ok(OriginRules::same_origin()),
        "an empty list lists nobody"
    );
}
