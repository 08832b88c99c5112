//! WIRE §2: the bounds of a head, at the bound, one below and one above, and what comes after it.
#![cfg(feature = "http")]

mod http;

use http::{Outcome, get, read, read_with, refused, request};
use sse_state::http::{Drain, Head, HeadLimits, Progress, Refusal};

/// A head of exactly this many bytes.
fn head_of(bytes: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: h\r\nA: ".to_vec();
    head.resize(bytes - 4, b'a');
    head.extend_from_slice(b"\r\n\r\n");
    head
}

#[test]
fn w2_head_over_its_bound_is_431() {
    let bound = HeadLimits::default().bytes;
    assert_eq!(bound, 16 * 1024);
    for bytes in [bound - 1, bound] {
        request(head_of(bytes));
    }
    assert_eq!(refused(head_of(bound + 1)), Refusal::HeadTooLarge);
    assert_eq!(Refusal::HeadTooLarge.status(), 431);
    // An empty line before it counts.
    request([b"\r\n".as_slice(), &head_of(bound - 2)].concat());
    assert_eq!(
        refused([b"\r\n".as_slice(), &head_of(bound - 1)].concat()),
        Refusal::HeadTooLarge
    );
    // Known as soon as the bound is passed, not when the head ends.
    assert_eq!(read(&head_of(2 * bound)[..bound]), Outcome::More);
    assert_eq!(
        refused(&head_of(2 * bound)[..bound + 1]),
        Refusal::HeadTooLarge
    );
}

#[test]
fn w2_every_small_bound_holds_to_the_byte() {
    let head = get("A: b\r\n");
    for bytes in 0..=head.len() + 1 {
        let outcome = read_with(&head, HeadLimits { bytes, fields: 64 });
        match outcome {
            Outcome::Done { .. } => assert!(bytes >= head.len()),
            Outcome::Refused(refusal) => {
                assert!(bytes < head.len());
                // `GET /` ends in the target.
                let expected = if (4..6).contains(&bytes) { 414 } else { 431 };
                assert_eq!(refusal.status(), expected, "bound {bytes}");
            }
            Outcome::More => panic!("bound {bytes}"),
        }
    }
}

#[test]
fn w2_target_alone_over_the_bound_is_414() {
    let bound = HeadLimits::default().bytes;
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bound));
    assert_eq!(refused(&long), Refusal::TargetTooLong);
    assert_eq!(Refusal::TargetTooLong.status(), 414);
    assert_eq!(read(&long[..bound]), Outcome::More);
    assert_eq!(refused(&long[..bound + 1]), Refusal::TargetTooLong);
    // The longest target that leaves room for the rest is read.
    let rest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".len();
    request(format!(
        "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
        "a".repeat(bound - rest)
    ));
}

#[test]
fn w2_fields_over_their_bound_are_431() {
    let bound = HeadLimits::default().fields;
    assert_eq!(bound, 64);
    let of = |fields: usize| get(&"A: b\r\n".repeat(fields - 1));
    for fields in [bound - 1, bound] {
        assert_eq!(request(of(fields)).fields().count(), fields);
    }
    assert_eq!(refused(of(bound + 1)), Refusal::TooManyFields);
    assert_eq!(Refusal::TooManyFields.status(), 431);
    let none = HeadLimits {
        fields: 0,
        ..HeadLimits::default()
    };
    let plain = b"GET / HTTP/1.0\r\n\r\n";
    assert!(matches!(read_with(plain, none), Outcome::Done { .. }));
    assert_eq!(
        read_with(&get(""), none),
        Outcome::Refused(Refusal::TooManyFields)
    );
}

#[test]
fn p2_what_is_held_stays_under_the_bound_and_is_told() {
    let mut head = Head::new(HeadLimits::default());
    assert_eq!(head.bytes_held(), 0);
    head.push(b"GET /");
    assert!(
        (5..=256).contains(&head.bytes_held()),
        "a small head is held small"
    );
    for _ in 0..20_000 {
        head.push(b"a");
        assert!(head.bytes_held() <= HeadLimits::default().bytes);
    }
    assert_eq!(head.bytes_held(), 0, "a refused head is forgotten");
    let request = request(head_of(16 * 1024));
    assert!(request.bytes_held() <= 16 * 1024 + 64 * 16);
}

#[test]
fn w2_a_refusal_stays_and_nothing_is_taken_after_the_end() {
    let mut head = Head::new(HeadLimits::default());
    assert_eq!(head.push(b"\n"), Progress::Refused(Refusal::LineEnding));
    assert_eq!(head.push(&get("")), Progress::Refused(Refusal::LineEnding));
    assert_eq!(head.push(b""), Progress::Refused(Refusal::LineEnding));
    assert!(head.into_request().is_none());
    let mut head = Head::new(HeadLimits::default());
    assert_eq!(
        head.push(&get("")),
        Progress::Done {
            consumed: get("").len()
        }
    );
    assert_eq!(head.push(b"\n\n\n"), Progress::Done { consumed: 0 });
    assert_eq!(head.push(b""), Progress::Done { consumed: 0 });
    assert!(head.into_request().is_some());
}

#[test]
fn w2_bytes_after_the_head_are_never_consumed_and_change_nothing() {
    let head = get("A: b\r\n");
    let Outcome::Done {
        consumed: alone,
        seen,
    } = read(&head)
    else {
        panic!("it is done")
    };
    for rest in [
        "x",
        "\n",
        "\r\n\r\n",
        "GET /second HTTP/1.1\r\nHost: h\r\n\r\n",
        "\0\0\0",
    ] {
        let all = [head.as_slice(), rest.as_bytes()].concat();
        assert_eq!(
            read(&all),
            Outcome::Done {
                consumed: alone,
                seen: seen.clone()
            },
            "P9: {rest:?}"
        );
    }
    assert_eq!(alone, head.len());
}

#[test]
fn w2_past_64_kib_of_bytes_after_the_head_the_connection_is_cut() {
    assert_eq!(Drain::LIMIT, 65_536);
    let mut drain = Drain::new();
    assert!(
        drain.push(0) && drain.push(65_535) && drain.push(1),
        "64 KiB are dropped"
    );
    assert!(!drain.push(1));
    assert!(!drain.push(0), "cut stays cut");
    assert!(!Drain::new().push(usize::MAX));
    let mut twice = Drain::new();
    assert!(!twice.push(usize::MAX) && !twice.push(usize::MAX));
}

#[test]
fn p2_what_a_request_holds_is_told_to_the_byte() {
    let held = |target: &str, lines: &str| {
        request(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).bytes_held()
    };
    let plain = held("/ab", "");
    assert!(plain > "GET /ab HTTP/1.1\r\nHost: h\r\n\r\n".len());
    assert_eq!(held("/ab", "A: b\r\n") - plain, 16, "the places of a field");
    assert_eq!(held("/%61b", "") - plain, 3, "the decoded path");
}
