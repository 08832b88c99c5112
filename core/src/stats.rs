//! Counters and gauges.

/// What a machine has counted since its start, and what it holds now. Not part of its digest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections without a complete head, now.
    pub openings: u32,
    /// Requests that wait to be decided, now.
    pub deciding: u32,
    /// Streams opened.
    pub subscribed: u64,
    /// Streams open now.
    pub streams: u32,
    /// Ended streams whose peer has not gone yet, now.
    pub finishing: u32,
    /// Topics now.
    pub topics: u32,
    /// Frames appended.
    pub published: u64,
    /// Publishes that equalled the newest frame.
    pub unchanged: u64,
    /// Publishes that nobody wanted.
    pub unheard: u64,
    /// Publishes told to wait.
    pub waited: u64,
    /// Frames delivered whole or begun, over all streams.
    pub delivered: u64,
    /// Frames that streams have missed by lag.
    pub missed: u64,
    /// Gaps found at resume.
    pub gaps: u64,
    /// Frames that were still pending when their stream ended.
    pub abandoned: u64,
    /// Bytes accepted by sockets and bodies.
    pub bytes: u64,
    /// Heartbeats written.
    pub heartbeats: u64,
    /// Sources started.
    pub sources_started: u64,
    /// Sources stopped.
    pub sources_stopped: u64,
    /// Sources running now.
    pub sources: u32,
    /// Polls asked for.
    pub polls: u64,
    /// Polls in flight now.
    pub polls_in_flight: u32,
    /// Polls that failed, by time too.
    pub polls_failed: u64,
    /// Bytes in all logs now.
    pub logs_bytes: u64,
    /// Bytes held outside the logs now.
    pub held_bytes: u64,
    /// Calls refused because a bound was reached.
    pub refused_full: u64,
    /// Calls refused because the topic stands with other options.
    pub refused_conflict: u64,
    /// Calls refused because of shutdown.
    pub refused_shutdown: u64,
    /// Calls with a dead id or token.
    pub stale: u64,
    /// Peers that went by themselves.
    pub gone: u64,
    /// Closes, by [`CloseReason`](crate::CloseReason) in the order of its variants.
    pub closed: [u64; 12],
}

impl Stats {
    /// How many connections were closed for this reason.
    pub const fn closed_for(&self, reason: crate::CloseReason) -> u64 {
        self.closed[reason as usize]
    }
}
