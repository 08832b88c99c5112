//! The figures of this machine.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Networks, System};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

/// Reads the figures. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Mutex<Readings>>);

/// What was read last: usage and rates are differences.
struct Readings {
    system: System,
    networks: Networks,
    at: Option<Instant>,
}

/// What one event says.
#[derive(Serialize)]
pub(crate) struct Figures {
    /// Milliseconds since 1970.
    at: u64,
    /// Percent, one per core.
    cpu: Vec<f64>,
    memory: Memory,
    /// Averages over 1, 5 and 15 minutes, where the system has them.
    load: Option<[f64; 3]>,
    network: Network,
}

/// Bytes.
#[derive(Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

/// Bytes per second over all interfaces but the loopback.
#[derive(Serialize)]
struct Network {
    #[serde(rename = "in")]
    received: u64,
    out: u64,
}

impl Machine {
    /// Fails on systems that do not tell.
    pub(crate) fn new() -> Result<Machine, sysinfo::Error> {
        Ok(Machine(Arc::new(Mutex::new(Readings {
            system: System::new()?,
            networks: Networks::new()?,
            at: None,
        }))))
    }

    /// The figures of now. After a pause they would be averages over it, so a first reading is thrown away.
    pub(crate) async fn figures(self) -> Result<Figures, JoinError> {
        let (age, figures) = self.read().await?;
        if age < STALE {
            return Ok(figures);
        }
        sleep(MINIMUM_CPU_UPDATE_INTERVAL).await;
        self.read().await.map(|(_, figures)| figures)
    }

    /// Reads on a thread that may block; gives how long ago the reading before was, too.
    async fn read(&self) -> Result<(Duration, Figures), JoinError> {
        let readings = Arc::clone(&self.0);
        spawn_blocking(move || {
            let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
            readings.read()
        })
        .await
    }
}

impl Readings {
    fn read(&mut self) -> (Duration, Figures) {
        self.system.refresh_cpu_usage();
        self.system
            .refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        let now = Instant::now();
        let before = self.at.replace(now);
        let age = before.map_or(Duration::MAX, |before| now.duration_since(before));

        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let cores = self.system.cpus().iter();
        let load = System::load_average();
        let figures = Figures {
            at: since_1970.unwrap_or_default().as_millis() as u64,
            cpu: cores
                .map(|core| rounded(core.usage().into(), 10.0))
                .collect(),
            memory: Memory {
                used: self.system.used_memory(),
                total: self.system.total_memory(),
            },
            load: load
                .ok()
                .map(|load| [load.one, load.five, load.fifteen].map(|load| rounded(load, 100.0))),
            network: self.network(age),
        };
        (age, figures)
    }

    fn network(&self, time: Duration) -> Network {
        let (mut received, mut out) = (0, 0);
        for (name, interface) in &self.networks {
            if !is_loopback(name) {
                received += interface.received();
                out += interface.transmitted();
            }
        }
        let per_second = |bytes: u64| (bytes as f64 / time.as_secs_f64().max(0.001)) as u64;
        Network {
            received: per_second(received),
            out: per_second(out),
        }
    }
}

fn is_loopback(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == "lo" || name == "lo0" || name.starts_with("Loopback")
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// A reading before this is too old to take a difference to.
const STALE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn figures_of_this_machine() {
        let machine = Machine::new().expect("a system that tells its figures");
        let figures = machine.figures().await.expect("a reading");
        assert!(!figures.cpu.is_empty());
        assert!(
            figures
                .cpu
                .iter()
                .all(|percent| (0.0..=100.0).contains(percent))
        );
        assert!(figures.memory.used <= figures.memory.total && figures.memory.total > 0);
    }

    #[test]
    fn loopback_is_left_out() {
        for name in ["lo", "lo0", "Loopback Pseudo-Interface 1"] {
            assert!(is_loopback(OsStr::new(name)), "{name}");
        }
        for name in ["eth0", "long0", "wlan0"] {
            assert!(!is_loopback(OsStr::new(name)), "{name}");
        }
    }
}
