//! Clocks: one that all processes share, and the ones of CPU time.

use std::ops::{Add, Sub};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of the machine's monotonic clock, the same in all its processes.
pub fn nanos() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of CPU that this thread has used.
pub fn thread_cpu() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds of CPU that this process has used, in the program and in the kernel.
pub fn process_cpu() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: ClockId) -> u64 {
    // It cannot fail for clocks that every Linux has.
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

/// CPU time of a process in microseconds. The sum is exact; how it is split the kernel finds out by sampling,
/// so the parts mean something over a second of CPU and more.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Cpu {
    /// In the program.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
}

impl Cpu {
    /// Of this process, so far.
    pub fn now() -> Cpu {
        let micros = |time: TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
        getrusage(UsageWho::RUSAGE_SELF).map_or(Cpu::default(), |usage| Cpu {
            user: micros(usage.user_time()),
            system: micros(usage.system_time()),
        })
    }

    /// Both parts.
    pub fn total(self) -> u64 {
        self.user + self.system
    }
}

impl Sub for Cpu {
    type Output = Cpu;

    fn sub(self, earlier: Cpu) -> Cpu {
        Cpu {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

impl Add for Cpu {
    type Output = Cpu;

    fn add(self, other: Cpu) -> Cpu {
        Cpu {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}
