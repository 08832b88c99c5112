//! The machine's time: a number that the caller hands in.

use core::time::Duration;

/// A point in time: nanoseconds since a start that the driver chose.
///
/// The machine owns no clock; every call carries its `now`, and a `now` older than the last one
/// counts as the last one. All arithmetic saturates at [`Time::MAX`], 584 years after the start.
///
/// ```
/// use core::time::Duration;
/// use sse_state::Time;
///
/// let start = Time::ZERO;
/// let later = start + Duration::from_secs(15);
/// assert_eq!(later.since(start), Duration::from_secs(15));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The start.
    pub const ZERO: Time = Time(0);
    /// The end of time; what a deadline that would overflow becomes.
    pub const MAX: Time = Time(u64::MAX);

    /// The time `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The time `millis` milliseconds after the start, saturating.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long `self` is after `earlier`; zero if it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Time {
    type Output = Time;

    /// Saturates at [`Time::MAX`].
    fn add(self, by: Duration) -> Time {
        Time(self.0.saturating_add(nanos(by)))
    }
}

impl core::fmt::Debug for Time {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// The length of `by` in nanoseconds, saturating.
pub(crate) fn nanos(by: Duration) -> u64 {
    u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)
}
