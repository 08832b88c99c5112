//! WIRE §9: what is denied unless the author opens it.

use super::{holds, same};
use crate::client::{Client, ask, send};
use crate::process::Server;

pub(super) fn a_foreign_page_neither_reads_nor_publishes() -> Result<(), String> {
    let server = Server::start("")?;
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        same(ask(server.addr, "GET", "/news", fields, "")?.status(), 403)?;
        same(
            ask(server.addr, "POST", "/news", fields, "x")?.status(),
            403,
        )?;
    }
    Client::open(server.addr, "/news", "Origin: http://localhost\r\n")?;
    same(server.stat("published")?, 0)
}

pub(super) fn only_loopback_names_are_served_on_loopback() -> Result<(), String> {
    let server = Server::start("")?;
    let request = "GET /news HTTP/1.1\r\nHost: rebound.example\r\n\r\n";
    same(send(server.addr, request)?.status(), 421)
}

pub(super) fn publishing_is_authorized_or_open() -> Result<(), String> {
    let server = Server::start("")?;
    same(ask(server.addr, "POST", "/poll", "", "x")?.status(), 405)?;
    let refused = ask(server.addr, "GET", "/members", "", "")?;
    same(refused.status(), 401)?;
    same(refused.field("WWW-Authenticate"), Some("Bearer"))?;
    let member = "Authorization: Bearer sesame\r\n";
    Client::open(server.addr, "/members", member).map(drop)
}

pub(super) fn topics_of_requests_are_bounded() -> Result<(), String> {
    let server = Server::start("topics_by_request=2")?;
    let _one = server.open("/any/1")?;
    let _two = server.open("/any/2?x=1")?;
    same(ask(server.addr, "GET", "/any/3", "", "")?.status(), 503)?;
    let _again = server.open("/any/1")?;
    same(server.stat("streams")?, 3)
}

pub(super) fn forged_ids_are_gaps_or_nothing() -> Result<(), String> {
    let server = Server::start("")?;
    let mut first = server.open("/news")?;
    server.publish("/news", "one")?;
    first.events(1)?;
    let long = "9".repeat(5000);
    for id in ["0", "-1", "zzz", "99999999999999999999", "1.99999", &long] {
        let mut client = Client::open(server.addr, "/news", &format!("Last-Event-ID: {id}\r\n"))?;
        server.publish("/news", "two")?;
        client.until("what is published", |client| {
            client.own().last() == Some(&"two")
        })?;
    }
    Ok(())
}

pub(super) fn tricks_with_names_are_refused() -> Result<(), String> {
    let server = Server::start("")?;
    for target in [
        "/any/a%2Fb",
        "/any/../news",
        "/any/%2e%2e/news",
        "/any/a%3Fb",
        "/any/a\\b",
        "/any/a%00b",
        "/any/a%0Ab",
        "/any/%zz",
        "/any/%ff",
        "/any/a#b",
    ] {
        let status = ask(server.addr, "GET", target, "", "")?.status();
        holds(status == 400, || format!("{target}: {status}"))?;
    }
    same(server.stat("subscribed")?, 0)
}

pub(super) fn nothing_is_injected() -> Result<(), String> {
    let server = Server::start("")?;
    let mut client = server.open("/news")?;
    for target in [
        "/news?event=a%0Ab",
        "/news?event=a%0Db",
        "/news?event=a%00b",
    ] {
        same(ask(server.addr, "POST", target, "", "x")?.status(), 400)?;
    }
    server.publish("/news", "1\r\n\r\nevent: forged\rdata: 2\n\nid: 9\n:")?;
    client.events(1)?;
    let whole = "1\n\nevent: forged\ndata: 2\n\nid: 9\n:";
    same(client.data(), vec![whole])
}

pub(super) fn bytes_after_a_request_are_not_another() -> Result<(), String> {
    let server = Server::start("")?;
    let two = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\nGET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let reply = send(server.addr, two)?;
    same(reply.status(), 404)?;
    same(reply.text.matches("HTTP/1.1").count(), 1)?;
    for smuggled in [
        "POST /news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "POST /news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "GET /news HTTP/1.1\nHost: localhost\n\n",
        "GET /news HTTP/1.1\r\nHost : localhost\r\n\r\n",
    ] {
        same(send(server.addr, smuggled)?.status(), 400)?;
    }
    same(server.stat("published")? + server.stat("subscribed")?, 0)
}

pub(super) fn answers_are_neither_stored_nor_sniffed() -> Result<(), String> {
    let server = Server::start("")?;
    for target in ["/nowhere", "/stats", "/members"] {
        let reply = ask(server.addr, "GET", target, "", "")?;
        same(reply.field("X-Content-Type-Options"), Some("nosniff"))?;
        let stored = reply.field("Cache-Control").unwrap_or_default();
        holds(stored.contains("no-store"), || {
            format!("{target}: {stored}")
        })?;
    }
    Ok(())
}
