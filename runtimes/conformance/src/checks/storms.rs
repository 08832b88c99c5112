//! Connections in numbers, and heads that take their time.

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Instant;

use super::{holds, same};
use crate::client::{Client, connect, reset};
use crate::process::{LOOK, PATIENCE, Server};

pub(super) fn slow_heads_are_read_and_endless_ones_are_cut() -> Result<(), String> {
    let server = Server::start("head_timeout=1500")?;
    let request = b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut slow = connect(server.addr)?;
    for byte in request {
        slow.write_all(&[*byte])
            .map_err(|error| error.to_string())?;
    }
    server.until("streams", |streams| streams == 1)?;
    let mut endless = connect(server.addr)?;
    endless
        .write_all(&request[..20])
        .map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    // A reset or an end; it says nothing to a request that it has not seen.
    let _ = endless.read_to_end(&mut rest);
    server.until("closed.head_timeout", |closed| closed == 1)?;
    same(server.stat("streams")?, 1)
}

pub(super) fn a_reset_storm_leaves_nothing() -> Result<(), String> {
    let server = Server::start("")?;
    let mut stays = server.open("/news")?;
    let addr = server.addr;
    let storms: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || -> Result<(), String> {
                for number in 0..200 {
                    let mut socket = connect(addr)?;
                    let request = b"GET /poll HTTP/1.1\r\nHost: localhost\r\n\r\n";
                    // Before, within and after its head; with and without reading.
                    let some = [0, 10, request.len()][number % 3];
                    let _ = socket.write_all(&request[..some]);
                    if number % 2 == 0 {
                        let _ = socket.set_nonblocking(true);
                        let _ = socket.read(&mut [0; 64]);
                    }
                    reset(&socket);
                }
                Ok(())
            })
        })
        .collect();
    for storm in storms {
        storm.join().map_err(|_| "a storm panicked")??;
    }
    server.until("streams", |streams| streams == 1)?;
    server.until("sources", |sources| sources == 0)?;
    same(
        server.stat("sources_started")?,
        server.stat("sources_stopped")?,
    )?;
    server.publish("/news", "still here")?;
    stays.events(1)?;
    same(stays.data(), vec!["still here"])
}

pub(super) fn without_descriptors_it_waits_and_goes_on() -> Result<(), String> {
    let server = Server::with_descriptors(48, "")?;
    let mut first = server.open("/news")?;
    let mut waiting = Vec::new();
    for _ in 0..80 {
        let mut socket = connect(server.addr)?;
        let request = b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n";
        socket
            .write_all(request)
            .map_err(|error| error.to_string())?;
        waiting.push(socket);
    }
    let start = Instant::now();
    while server.descriptors()? < 48 {
        holds(start.elapsed() < PATIENCE, || {
            "it has descriptors left".into()
        })?;
        thread::sleep(LOOK);
    }
    // All but the first leave; then there is room for everybody again.
    drop(waiting);
    server.until("streams", |streams| streams == 1)?;
    holds(server.stat("accept_errors")? > 0, || {
        "it never ran out of descriptors".into()
    })?;
    let mut second = server.open("/news")?;
    server.publish("/news", "still here")?;
    for client in [&mut first, &mut second] {
        client.events(1)?;
        same(client.data(), vec!["still here"])?;
    }
    Ok(())
}

pub(super) fn connecting_and_leaving_leaves_nothing() -> Result<(), String> {
    // Fifty thousand with SSE_PROOF=full, as `.ci/full` has it.
    let rounds = match std::env::var("SSE_PROOF").as_deref() {
        Ok("full") => 25,
        _ => 2,
    };
    let server = Server::start("")?;
    let addr = server.addr;
    let cycle = || -> Result<(), String> {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || -> Result<(), String> {
                    for number in 0..500 {
                        let target = format!("/any/{}", number % 7);
                        let target = [target.as_str(), "/news", "/poll"][number % 3];
                        let client = Client::open(addr, target, "")?;
                        if number % 5 == 0 {
                            client.reset();
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        server.until("streams", |streams| streams == 0)?;
        server.until("sources", |sources| sources == 0)
    };
    let still = || server.until("finishing", |finishing| finishing <= 1);
    cycle()?;
    still()?;
    let (descriptors, resident) = (server.descriptors()?, server.resident()?);
    for _ in 1..rounds {
        cycle()?;
    }
    still()?;
    let grown = server.resident()?.saturating_sub(resident);
    // The connection that asked for the counters may still be closing.
    let start = Instant::now();
    while server.descriptors()? > descriptors {
        holds(start.elapsed() < PATIENCE, || {
            format!(
                "{descriptors} descriptors became {:?}",
                server.descriptors()
            )
        })?;
        thread::sleep(LOOK);
    }
    holds(grown <= GROWTH, || format!("memory grew by {grown} KiB"))
}

/// KiB that the allocator may keep more than after the first round.
const GROWTH: u64 = 2048;
