//! Slow streams, and how streams end.

use std::process::Command;
use std::thread;
use std::time::Instant;

use super::{holds, same};
use crate::client::{Client, End};
use crate::process::{LOOK, PATIENCE, Server};

pub(super) fn a_slow_stream_is_told_what_it_missed() -> Result<(), String> {
    let server = Server::start("")?;
    let slow = Client::open_narrow(server.addr, "/tight")?;
    server.until("streams", |streams| streams == 1)?;
    for number in 0..MOST {
        server.publish("/tight", &numbered(number))?;
    }
    server.publish("/tight", "last")?;
    let mut slow = slow.with_head()?;
    slow.until("the newest", |client| client.own().last() == Some(&"last"))?;
    let told = slow.missed() as usize + slow.own().len();
    same(told, MOST + 1)?;
    holds(slow.missed() > 0, || format!("{MOST} events of 64 KiB fit"))?;
    let numbers: Vec<usize> = slow.own().iter().filter_map(|data| number(data)).collect();
    holds(numbers.is_sorted_by(|a, b| a < b), || {
        format!("{numbers:?}")
    })
}

pub(super) fn a_slow_stream_under_close_is_closed() -> Result<(), String> {
    let server = Server::start("write_timeout=3000")?;
    let mut fast = server.open("/close")?;
    let slow = Client::open_narrow(server.addr, "/close")?;
    server.until("streams", |streams| streams == 2)?;
    let mut count = 0;
    // Found at its stall deadline at the latest.
    while server.stat("closed.lagged")? + server.stat("closed.stalled")? == 0 {
        server.publish("/close", &numbered(count))?;
        count += 1;
        fast.until("what is published", |client| client.data().len() >= count)?;
        holds(count < MOST * 10, || "it is never closed".into())?;
    }
    drop(slow);
    same(server.stat("streams")?, 1)?;
    server.publish("/close", "still here")?;
    fast.until("the newest", |client| {
        client.data().last() == Some(&"still here")
    })
}

pub(super) fn a_stream_that_never_reads_is_cut_and_the_others_go_on() -> Result<(), String> {
    let server = Server::start("write_timeout=400")?;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(server.open("/tight")?);
    }
    let slow = Client::open_narrow(server.addr, "/tight")?;
    server.until("streams", |streams| streams == 6)?;
    let mut count = 0;
    while server.stat("closed.stalled")? == 0 {
        server.publish("/tight", &numbered(count))?;
        count += 1;
        for other in &mut others {
            other.until("what is published", |client| client.data().len() >= count)?;
        }
        holds(count < MOST * 10, || "it is never cut".into())?;
    }
    same(slow.with_head()?.rest()?, End::Reset)?;
    for other in &others {
        let numbers: Vec<usize> = other
            .data()
            .iter()
            .filter_map(|data| number(data))
            .collect();
        same(numbers, (0..count).collect())?;
    }
    same(server.stat("streams")?, 5)
}

pub(super) fn shutdown_ends_every_stream_after_a_whole_event() -> Result<(), String> {
    use std::io::Write as _;
    let mut server = Server::start("grace=4000")?;
    let mut clients = Vec::new();
    for place in 0..90 {
        let mut client = server.open(["/news", "/poll", "/any/1"][place % 3])?;
        if place % 4 == 0 {
            let stray = client.socket.write_all(b"stray bytes after the request");
            stray.map_err(|error| error.to_string())?;
        }
        clients.push(client);
    }
    let stuck = Client::open_narrow(server.addr, "/tight")?;
    server.until("streams", |streams| streams == 91)?;
    // More than it takes unread.
    for number in 0..100 {
        server.publish("/tight", &numbered(number))?;
    }
    server.publish("/news", "the last one")?;
    server.stop();
    for client in &mut clients {
        same(client.rest()?, End::Orderly)?;
        holds(client.is_whole(), || "half an event".into())?;
        let farewell = client.blocks.last().is_some_and(|block| block.is_retry());
        holds(farewell, || {
            format!("no retry at the end: {:?}", client.blocks.last())
        })?;
    }
    same(clients[0].data(), vec!["the last one"])?;
    // It never reads: it is cut when the grace is over, and holds up nobody longer.
    let status = server.ended(PATIENCE)?;
    same(stuck.with_head()?.rest()?, End::Reset)?;
    holds(status.success(), || format!("it ended with {status}"))
}

/// A network of its own, whose cable is cut: no FIN and no reset tell the server.
pub(super) fn half_open_peers_are_found() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_none() {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new("unshare")
            .args(["--net", "--map-root-user", "--user"])
            .arg(this)
            .args(["half_open_peers_are_found", "--exact"])
            .env(INSIDE, "1")
            .output()
            .map_err(|error| format!("unshare: {error}"))?;
        let said =
            || String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        return holds(output.status.success(), said);
    }
    cable("up")?;
    let server = Server::start("write_timeout=500 heartbeat=200")?;
    let mut client = server.open("/news")?;
    client.until("its first bytes", |client| client.blocks.len() >= 2)?;
    same(server.stat("streams")?, 1)?;
    cable("down")?;
    // WIRE §8: the kernel gives up after the write timeout and five seconds more.
    let start = Instant::now();
    while server.connected()? > 0 {
        holds(start.elapsed() < PATIENCE, || "it is never found".into())?;
        thread::sleep(LOOK);
    }
    cable("up")?;
    server.until("streams", |streams| streams == 0)
}

fn cable(state: &str) -> Result<(), String> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", state])
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("ip link set lo {state}: {other:?}")),
    }
}

/// An event of 64 KiB that says its number.
fn numbered(number: usize) -> String {
    format!("{number} {}", "x".repeat(64 << 10))
}

fn number(data: &str) -> Option<usize> {
    data.split(' ').next()?.parse().ok()
}

/// Events of 64 KiB that no socket takes unread.
const MOST: usize = 400;
/// Set in the process that runs in a network of its own.
const INSIDE: &str = "SSE_STATE_CONFORMANCE_NETWORK";
