//! Names for things that come and go: a slot says where, a generation says which life.

use core::fmt;

/// One connection, from accept to its last action.
///
/// A slot and the slot's generation. An id is never handed out twice: a slot whose generation is
/// spent is retired. A call with a dead id is [`Error::Stale`](crate::Error::Stale).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl SubscriberId {
    /// The id as one number, for the user data of an event loop; slots are small and dense in the
    /// low 32 bits.
    pub const fn as_u64(self) -> u64 {
        ((self.generation as u64) << 32) + self.slot as u64
    }

    /// The id that [`as_u64`](Self::as_u64) wrote. Any number is safe: one never handed out is stale.
    pub const fn from_u64(number: u64) -> SubscriberId {
        SubscriberId {
            slot: number as u32,
            generation: (number >> 32) as u32,
        }
    }

    /// The place in a dense table that this connection has to itself while it lives.
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

impl fmt::Debug for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `slot.generation`, as the journal writes it.
impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// One run of a source, from [`Control::StartSource`](crate::Control::StartSource) to
/// [`Control::StopSource`](crate::Control::StopSource).
///
/// The topic's slot and the value of a counter over all starts, which never repeats. What arrives
/// with the token of an earlier run is [`Error::Stale`](crate::Error::Stale).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceToken {
    pub(crate) slot: u32,
    pub(crate) start: u64,
}

impl SourceToken {
    /// Which start of all sources this was, from 1; strictly rising over the life of a machine.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// A token from its parts, for tests and journals. Any parts are safe: a token never handed out
    /// is stale.
    pub const fn from_parts(slot: u32, start: u64) -> SourceToken {
        SourceToken { slot, start }
    }

    /// The slot of the topic.
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

impl fmt::Debug for SourceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `slot.start`, as the journal writes it.
impl fmt::Display for SourceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.start)
    }
}

/// The first part of every event id: which life of the process wrote it.
///
/// Drivers take it from the operating system's randomness, so that an id from before a restart is
/// recognised. Written in base 32 (`0-9a-v`), at most 13 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = (64 - self.0.leading_zeros()).div_ceil(5).max(1);
        for place in (0..digits).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            f.write_str(&BASE32[digit as usize..=digit as usize])?;
        }
        Ok(())
    }
}

/// The alphabet of RFC 4648's base32hex in lower case.
const BASE32: &str = "0123456789abcdefghijklmnopqrstuv";

/// The id of an event on the wire: `<epoch>-<seq>`.
///
/// `seq` is one counter over all topics of a machine, from 1, so one id covers everything that came
/// before it on a stream of several topics. At most 34 bytes of `[a-z0-9-]`. It shows how much the
/// whole machine publishes.
///
/// ```
/// use sse_state::{Epoch, EventId};
///
/// let id = EventId { epoch: Epoch(1234), seq: 56 };
/// assert_eq!(id.to_string(), "16i-56");
/// assert_eq!(EventId::parse(b"16i-56"), Some(id));
/// assert_eq!(EventId::parse(b"16i-056"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventId {
    /// Which life of the process.
    pub epoch: Epoch,
    /// The position in the order of all publishes; 0 stands before the first.
    pub seq: u64,
}

impl EventId {
    /// Reads an id as [`Display`](fmt::Display) writes it; anything else, other spellings of the
    /// same number included, is `None`.
    pub fn parse(text: &[u8]) -> Option<EventId> {
        if text.len() > ID_BYTES {
            return None;
        }
        let dash = text.iter().position(|&b| b == b'-')?;
        let epoch = number(&text[..dash], 32)?;
        let seq = number(&text[dash + 1..], 10)?;
        Some(EventId {
            epoch: Epoch(epoch),
            seq,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// The longest id: 13 digits of base 32, a dash, 20 decimal digits.
pub(crate) const ID_BYTES: usize = 13 + 1 + 20;

/// Reads a number in its canonical spelling: no sign, no leading zero, lower case.
fn number(digits: &[u8], radix: u64) -> Option<u64> {
    if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &byte| {
        let digit = BASE32.bytes().position(|b| b == byte)? as u64;
        if digit >= radix {
            return None;
        }
        sum.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_are_short_plain_and_read_back() {
        for epoch in [0, 1, 31, 32, 1234, u64::MAX] {
            for seq in [0, 1, 9, 10, u64::MAX] {
                let id = EventId {
                    epoch: Epoch(epoch),
                    seq,
                };
                let text = id.to_string();
                assert!(text.len() <= ID_BYTES, "{text}");
                assert!(
                    text.bytes()
                        .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-')
                );
                assert_eq!(EventId::parse(text.as_bytes()), Some(id));
            }
        }
    }

    #[test]
    fn odd_ids_are_unknown() {
        for odd in [
            "",
            "-",
            "1-",
            "-1",
            "01-1",
            "1-01",
            "1-+1",
            "W-1",
            "1-1-1",
            "1-18446744073709551616",
            "g000000000000-1",
            "1-1 ",
            "é-1",
        ] {
            assert_eq!(EventId::parse(odd.as_bytes()), None, "{odd:?}");
        }
    }
}
