//! This machine's load and memory.

use std::io;

use serde::Serialize;

/// What the page shows.
#[derive(Serialize)]
pub(crate) struct Figures {
    /// Of the last minute.
    load: f64,
    /// Bytes in use and in all.
    memory: (u64, u64),
}

/// Reads them. A failure is an event `error`, and the next poll comes all the same.
pub(crate) async fn read() -> io::Result<Figures> {
    // Files of /proc come from memory: reading them blocks no thread.
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let load = load.split(' ').next().and_then(|word| word.parse().ok());
    let field = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    };
    let read = || {
        let (total, free) = (field("MemTotal:")?, field("MemAvailable:")?);
        Some(Figures {
            load: load?,
            memory: (total - free, total),
        })
    };
    read().ok_or_else(|| io::Error::other("/proc says something else"))
}
