//! What the allocator has handed out.

use stats_alloc::INSTRUMENTED_SYSTEM;

/// The state of the allocator at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heap {
    /// Bytes that are handed out and not given back, as they were asked for.
    pub live: u64,
    /// Calls that asked for memory, growing included.
    pub calls: u64,
}

impl Heap {
    /// Now. All zero unless the binary counts.
    pub fn now() -> Heap {
        let stats = INSTRUMENTED_SYSTEM.stats();
        Heap {
            // Growing and shrinking are in both sums already.
            live: stats
                .bytes_allocated
                .saturating_sub(stats.bytes_deallocated) as u64,
            calls: (stats.allocations + stats.reallocations) as u64,
        }
    }
}
