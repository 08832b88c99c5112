//! Requests at the edge of what can be read: ports, lengths, origins, and every bound of a request that a
//! framework has parsed.
#![cfg(feature = "http")]

mod http;

use std::fmt::{self, Write};

use http::{get, refused, request};
use sse_state::http::{HeadLimits, OriginError, OriginRules, Refusal, Request, escape_for_log};

#[test]
fn w2_a_port_or_length_past_its_range_is_400() {
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    request(host("h:65535"));
    assert_eq!(refused(host("h:65536")).status(), 400);
    assert_eq!(refused(host("h:999999999999")).status(), 400);
    let length = |length: &str| get(&format!("Content-Length: {length}\r\n"));
    for wrong in [
        "18446744073709551616",
        "99999999999999999999999",
        "-1",
        "+0",
        "",
    ] {
        assert_eq!(refused(length(wrong)), Refusal::ContentLength, "{wrong}");
    }
}

#[test]
fn w2_what_cannot_be_compared_with_host_is_another_site() {
    let rules = OriginRules::same_origin();
    let check = |origin: &str, host: &str| {
        let head = format!("GET / HTTP/1.0\r\n{host}Origin: {origin}\r\n\r\n");
        rules.check(&request(head))
    };
    let host = "Host: h\r\n";
    assert_eq!(check("http://h", host), Ok(()));
    for other in [
        "null",
        "h",
        "ftp://h",
        "http://[h",
        "http://",
        "http://h:x",
        "http://h:65536",
        "http://h:999999",
    ] {
        assert_eq!(check(other, host), Err(Refusal::CrossSite), "{other}");
    }
    assert_eq!(check("http://h", ""), Err(Refusal::CrossSite), "no host");
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://h\xff\r\n\r\n";
    assert_eq!(rules.check(&request(head)), Err(Refusal::CrossSite));
}

#[test]
fn p2_a_parsed_request_is_held_to_every_bound_of_a_head() {
    let fields = [("last-event-id", b"7".as_slice()), ("x", b"yz")];
    let read = |bytes, fields_most| {
        let limits = HeadLimits {
            bytes,
            fields: fields_most,
        };
        Request::from_parts("GET", "/a?b=1", Some("h"), fields, limits)
    };
    let size = "GET /a?b=1 HTTP/1.1\r\nhost: h\r\nlast-event-id: 7\r\nx: yz\r\n\r\n".len();
    assert!(read(size, 3).is_ok());
    assert!(read(size, 2).is_err());
    for bytes in 0..size {
        let refusal = read(bytes, 3).map(drop).unwrap_err();
        assert!(
            matches!(refusal.status(), 414 | 431),
            "{bytes}: {refusal:?}"
        );
    }
}

/// Takes so many bytes, and then fails.
struct Paper(usize);

impl Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[test]
fn text_that_does_not_fit_is_an_error() {
    let error = OriginRules::list(["HTTPS://h"]).unwrap_err();
    assert!(matches!(&error, OriginError::Malformed(origin) if origin == "HTTPS://h"));
    let long = vec![b'x'; 200];
    let values: [&dyn fmt::Display; 3] = [&error, &escape_for_log(b"a\nb"), &escape_for_log(&long)];
    assert_eq!(values[1].to_string(), r"a\nb");
    for value in values {
        let size = value.to_string().len();
        for room in 0..size {
            assert!(write!(Paper(room), "{value}").is_err(), "{value}: {room}");
        }
        assert!(write!(Paper(size), "{value}").is_ok());
    }
}
