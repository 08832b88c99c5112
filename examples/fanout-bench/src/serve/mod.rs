//! The servers: child processes that publish when they are told to.
//!
//! Orders come by standard input, answers go to standard output, a line each: a word that says what it is, then
//! `key=value` words. The end of the input ends the process.

mod axum;
mod floor;
mod io_uring;
mod order;
mod own;
mod runtimes;

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::alloc::Heap;
use crate::clock::{Cpu, process_cpu};
use crate::words::Words;
pub use order::{Order, Receipt};

/// Runs a server of this kind until its input ends.
///
/// # Errors
/// A text for the user.
pub fn run(kind: &str, settings: &Words) -> Result<(), String> {
    match kind {
        "tokio" => runtimes::on_tokio(settings, runtimes::tokio(settings)),
        "smol" => runtimes::smol(settings),
        "async-std" => runtimes::async_std(settings),
        "mounted" => runtimes::on_tokio(settings, runtimes::mounted(settings)),
        "axum" => runtimes::on_tokio(settings, axum::run()),
        "io_uring" => io_uring::run(),
        "floor" => floor::run(settings),
        other => Err(format!("`{other}` is not a kind of server")),
    }
}

/// What a server can do beside serving.
trait Service: Send + Sync + 'static {
    /// Publishes what was ordered, and returns when it is done or told to stop.
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt;

    /// Counters and gauges.
    fn stats(&self) -> Words;
}

/// Answers orders in a thread of its own.
fn attend(service: Arc<impl Service>, addr: SocketAddr) {
    say("listening", &Words::default().with("addr", addr));
    std::thread::spawn(move || {
        let stop = Arc::new(AtomicBool::new(false));
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.split_whitespace().next() {
                Some("usage") => say("usage", &usage()),
                Some("stats") => say("stats", &service.stats()),
                Some("stop") => stop.store(true, Ordering::Relaxed),
                Some("publish") => {
                    let Ok(order) = Order::from_words(&Words::parse(&line)) else {
                        break;
                    };
                    stop.store(false, Ordering::Relaxed);
                    let (service, stop) = (Arc::clone(&service), Arc::clone(&stop));
                    std::thread::spawn(move || {
                        let receipt = service.publish(order, &stop);
                        say("published", &receipt.to_words());
                    });
                }
                _ => break,
            }
        }
        // Whoever gave the orders has gone.
        std::process::exit(2);
    });
}

fn usage() -> Words {
    let cpu = Cpu::now();
    let heap = Heap::now();
    Words::default()
        .with("user", cpu.user)
        .with("system", cpu.system)
        .with("cpu", process_cpu())
        .with("live", heap.live)
        .with("calls", heap.calls)
        .with("resident", resident())
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Says one line, whichever thread it is.
fn say(what: &str, words: &Words) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    // If nobody hears it, the input has ended too.
    let _ = writeln!(out, "{what} {words}").and_then(|()| out.flush());
}
