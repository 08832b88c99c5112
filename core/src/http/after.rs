//! What comes after a head: the body of a publish, or bytes that nobody asked for.

/// How many of the bytes after a head belong to the body of a publish (RFC 9112 §6.2).
///
/// It counts and holds nothing: the bytes stay with the driver.
///
/// ```
/// use sse_state::http::BodyBytes;
///
/// let mut body = BodyBytes::new(5);
/// assert_eq!(body.take(3), 3);
/// assert!(!body.is_complete());
/// assert_eq!(body.take(100), 2);
/// assert!(body.is_complete());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyBytes {
    missing: u64,
}

impl BodyBytes {
    /// A body of this length, none of which has come.
    #[must_use]
    pub const fn new(length: u64) -> Self {
        Self { missing: length }
    }

    /// Takes what belongs to the body of `available` bytes, and says how many that are; the rest is for
    /// [`Drain`].
    pub fn take(&mut self, available: usize) -> usize {
        let taken =
            usize::try_from(self.missing).map_or(available, |missing| missing.min(available));
        // Lossless: no platform has a usize over 64 bits.
        self.missing -= taken as u64;
        taken
    }

    /// How many bytes have not come yet.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether the whole body has come; an incomplete one publishes nothing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

/// Counts the bytes after a request, which are read and dropped, never interpreted (WIRE §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drain {
    dropped: usize,
}

impl Drain {
    /// Most bytes that are dropped before the connection is cut.
    pub const LIMIT: usize = 64 * 1024;

    /// Nothing dropped yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { dropped: 0 }
    }

    /// Counts `bytes` more, and says whether the connection may go on: `false` past [`Drain::LIMIT`].
    #[must_use]
    pub const fn push(&mut self, bytes: usize) -> bool {
        self.dropped = self.dropped.saturating_add(bytes);
        self.dropped <= Self::LIMIT
    }
}
