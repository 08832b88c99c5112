//! What a stream shows.

use std::thread;

use super::{holds, same};
use crate::client::{Client, End, ask, field};
use crate::process::Server;

pub(super) fn a_stream_shows_what_is_published() -> Result<(), String> {
    let server = Server::start("")?;
    let mut client = server.open("/news")?;
    for (name, value) in [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ] {
        let is = field(&client.head, name).unwrap_or_default();
        holds(is.starts_with(value), || format!("{name}: {is}"))?;
    }
    client.until("its first bytes", |client| client.blocks.len() >= 2)?;
    holds(client.blocks[0].is_comment(), || "no comment first".into())?;
    holds(client.blocks[1].is_retry(), || "no retry second".into())?;
    server.publish("/news", "it rains\nand pours")?;
    client.events(1)?;
    same(client.data(), vec!["it rains\nand pours"])
}

pub(super) fn every_stream_gets_every_event_in_order() -> Result<(), String> {
    let server = Server::start("")?;
    let clients: Result<Vec<Client>, String> = (0..30).map(|_| server.open("/news")).collect();
    let readers: Vec<_> = clients?
        .into_iter()
        .map(|mut client| thread::spawn(move || client.events(EVENTS).map(|()| client)))
        .collect();
    let wanted: Vec<String> = (0..EVENTS).map(|number| number.to_string()).collect();
    for text in &wanted {
        server.publish("/news", text)?;
    }
    for reader in readers {
        let client = reader.join().map_err(|_| "a reader panicked")??;
        same(client.data(), wanted.iter().map(String::as_str).collect())?;
        holds(client.ids().is_sorted_by_key(|id| id.len()), || {
            format!("ids fall: {:?}", client.ids())
        })?;
    }
    same(server.stat("missed")?, 0)
}

pub(super) fn a_stream_resumes_after_any_of_its_events() -> Result<(), String> {
    let server = Server::start("")?;
    let mut whole = server.open("/news")?;
    for number in 0..20 {
        server.publish("/news", &number.to_string())?;
    }
    whole.events(20)?;
    for (place, id) in whole.ids().iter().enumerate() {
        for resume in [true, false] {
            let mut client = if resume {
                Client::open(server.addr, "/news", &format!("Last-Event-ID: {id}\r\n"))?
            } else {
                server.open(&format!("/news?lastEventId={id}"))?
            };
            let rest = &whole.data()[place + 1..];
            client.events(rest.len())?;
            same(&client.data()[..], rest)?;
        }
    }
    Ok(())
}

pub(super) fn a_resume_over_what_is_gone_tells_the_gap() -> Result<(), String> {
    let server = Server::start("")?;
    let mut first = server.open("/news")?;
    for number in 0..100 {
        server.publish("/news", &number.to_string())?;
    }
    first.events(100)?;
    let id = first.ids()[9].to_owned();
    let mut client = Client::open(server.addr, "/news", &format!("Last-Event-ID: {id}\r\n"))?;
    client.until("the newest", |client| client.own().last() == Some(&"99"))?;
    let wanted: Vec<String> = (36..100).map(|number| number.to_string()).collect();
    same(client.own(), wanted.iter().map(String::as_str).collect())?;
    let first = client.blocks.iter().find(|block| block.is_event());
    let gap = first.filter(|block| block.name.as_deref() == Some("sse-gap"));
    let why = gap
        .and_then(|block| block.data.as_deref())
        .unwrap_or("no notice");
    holds(why.contains("\"why\":\"expired\""), || why.to_owned())
}

pub(super) fn heartbeats_come_when_nothing_else_does() -> Result<(), String> {
    let server = Server::start("heartbeat=100")?;
    let mut client = server.open("/news")?;
    let beats = |client: &Client| client.blocks.iter().filter(|one| one.is_comment()).count();
    client.until("three heartbeats", |client| beats(client) >= 4)?;
    same(client.data().len(), 0)
}

pub(super) fn a_source_starts_with_the_first_and_stops_with_the_last() -> Result<(), String> {
    let server = Server::start("")?;
    same(server.stat("sources_started")?, 0)?;
    for round in 1..=3 {
        let mut one = server.open("/poll")?;
        let mut two = server.open("/poll")?;
        one.events(3)?;
        two.events(3)?;
        same(server.stat("sources_started")?, round)?;
        drop(one);
        two.events(6)?;
        same(server.stat("sources")?, 1)?;
        drop(two);
        server.until("sources", |sources| sources == 0)?;
        same(server.stat("sources_stopped")?, round)?;
    }
    let head = ask(server.addr, "HEAD", "/poll", "", "")?;
    same(head.status(), 200)?;
    same(server.stat("sources_started")?, 3)
}

pub(super) fn a_finished_source_ends_its_streams() -> Result<(), String> {
    let server = Server::start("")?;
    let mut client = server.open("/three")?;
    same(client.rest()?, End::Orderly)?;
    same(client.own(), vec!["1", "2", "3"])?;
    let last = client.blocks.iter().rev().find(|block| block.is_event());
    let name = last.and_then(|block| block.name.as_deref());
    same(name, Some("sse-end"))
}

const EVENTS: usize = 200;
