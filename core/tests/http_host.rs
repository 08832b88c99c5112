//! WIRE §2: the host of a request, and names that may reach a loopback address.
#![cfg(feature = "http")]

mod http;

use http::{get, refused, request};
use sse_state::http::{Refusal, loopback_host_allowed};

#[test]
fn w2_http_1_1_needs_exactly_one_host() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Refusal::HostMissing);
    assert_eq!(
        refused("GET http://h/ HTTP/1.1\r\n\r\n"),
        Refusal::HostMissing
    );
    assert_eq!(refused(get("Host: h.example\r\n")), Refusal::HostRepeated);
    assert_eq!(refused(get("host: other\r\n")), Refusal::HostRepeated);
    assert_eq!(
        refused("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        Refusal::HostRepeated
    );
    assert_eq!(Refusal::HostMissing.status(), 400);
    assert_eq!(Refusal::HostRepeated.status(), 400);
}

#[test]
fn w2_host_must_be_valid() {
    let of = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in [
        "",
        ":80",
        "h:x",
        "h:+80",
        "h:65536",
        "h:80:80",
        "a b",
        "a/b",
        "a@b",
        "http://h",
        "h?",
        "h#",
        "a,b c",
        "[::1",
        "::1",
        "[::1]x",
        "[x]",
        "[]",
        "[::1%25eth0]",
        "h%",
        "h%4",
        "h%zz",
        "h\"",
        "h\\",
        "h<",
        "\u{e4}",
    ] {
        assert_eq!(refused(of(host)), Refusal::HostInvalid, "{host:?}");
    }
    for host in "h h: h:0 h:65535 a.b-c_d~e 127.0.0.1:80 [::1] [2001:db8::7]:443 h%41 a!b EXAMPLE.com xn--4ca.example".split(' ') {
        assert_eq!(request(of(host)).host(), Some(host), "{host:?}");
    }
}

#[test]
fn w2_on_loopback_only_names_of_loopback_pass() {
    for host in "localhost localhost:8080 LOCALHOST app.localhost a.b.localhost:1 127.0.0.1 127.0.0.1:9 127.255.255.254 [::1] [::1]:80 [0:0:0:0:0:0:0:1]".split(' ') {
        assert!(loopback_host_allowed(host, &[]), "{host}");
    }
    for host in [
        "h.example",
        "localhost.example",
        "localhost.",
        "xlocalhost",
        ".localhost",
        "127.0.0.1.example",
        "127.1",
        "128.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::2]",
        "::1",
        "0177.0.0.1",
        "2130706433",
        "",
        "localhost:x",
        "localhost@h.example",
        "h.example:127.0.0.1",
        "localhos",
        "ocalhost",
    ] {
        assert!(!loopback_host_allowed(host, &[]), "{host}");
    }
}

#[test]
fn w2_allowed_hosts_opens_the_loopback_rule() {
    let allowed = [
        "dev.example".to_string(),
        "Other.example:3000".to_string(),
        "no authority".to_string(),
    ];
    for host in "dev.example DEV.example dev.example:80 other.example:3000 localhost".split(' ') {
        assert!(loopback_host_allowed(host, &allowed), "{host}");
    }
    for host in [
        "other.example",
        "other.example:3001",
        "x.dev.example",
        "dev.example.com",
        "no authority",
    ] {
        assert!(!loopback_host_allowed(host, &allowed), "{host}");
    }
}

#[test]
fn w2_a_foreign_host_on_loopback_is_421_whose_text_says_how_to_allow_it() {
    let foreign = request("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n");
    assert_eq!(foreign.check_host(true, &[]), Err(Refusal::HostNotAllowed));
    assert_eq!(
        foreign.check_host(true, &["rebound.example".into()]),
        Ok(())
    );
    assert_eq!(
        foreign.check_host(false, &[]),
        Ok(()),
        "elsewhere any host is served"
    );
    assert_eq!(Refusal::HostNotAllowed.status(), 421);
    assert!(
        Refusal::HostNotAllowed
            .to_string()
            .contains("`allowed_hosts`")
    );
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n").check_host(true, &[]),
        Ok(())
    );
    // Without a host nothing was rebound; pages cannot send this.
    assert_eq!(
        request("GET / HTTP/1.0\r\n\r\n").check_host(true, &[]),
        Ok(())
    );
    // The authority of an absolute-form replaces Host here too.
    let absolute = request("GET http://rebound.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(absolute.check_host(true, &[]), Err(Refusal::HostNotAllowed));
}
