//! The machine that collects a request head from whatever pieces it arrives in.
//!
//! One byte is looked at once, in order, and the first byte that cannot be right decides; what needs the
//! whole head is decided once, at its end. So the outcome depends on the bytes alone and never on how they
//! were cut, and a head that comes byte by byte costs what it costs in one piece.

use alloc::vec::Vec;
use core::fmt;

use super::{Refusal, Request};

/// The bounds of one request head (DESIGN §6). Past them: 431, or 414 when the target did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes of a head, its last empty line and one before it included. Default 16 KiB; what is over
    /// `u32::MAX` counts as `u32::MAX`.
    pub bytes: usize,
    /// Most field lines. Default 64.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 16 * 1024,
            fields: 64,
        }
    }
}

/// What a [`Head`] says after each piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The head is not complete; all bytes of this piece were taken.
    More,
    /// The head is complete and right.
    Done {
        /// How many bytes of this piece belong to the head; the rest does not and was not looked at.
        consumed: usize,
    },
    /// Not served. Whatever is pushed from now on gets the same answer.
    Refused(Refusal),
}

/// A request head in the making (RFC 9112 §2.1).
///
/// It holds at most [`HeadLimits::bytes`] while it collects; what it refuses it forgets.
///
/// ```
/// use sse_state::http::{Head, HeadLimits, Progress};
///
/// let mut head = Head::new(HeadLimits::default());
/// assert_eq!(head.push(b"GET /a HTTP/1.1\r\nHo"), Progress::More);
/// assert_eq!(head.push(b"st: h\r\n\r\nnot ours"), Progress::Done { consumed: 9 });
/// assert_eq!(head.request().map(|request| request.path()), Some("/a"));
/// ```
#[derive(Clone)]
pub struct Head {
    limits: HeadLimits,
    at: At,
    /// All bytes taken, those that are not kept included.
    taken: usize,
    /// The head without an empty line before it.
    bytes: Vec<u8>,
    /// Length of the request line, once its end has been seen.
    request_line: usize,
    field_lines: usize,
    end: Option<Result<Request, Refusal>>,
    #[cfg(test)]
    steps: usize,
}

/// Where in the head the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first byte; one empty line may stand here.
    Start,
    StartCr,
    Method,
    Target,
    Version,
    RequestLineCr,
    LineStart,
    Field,
    FieldCr,
    LastCr,
    End,
}

impl Head {
    /// An empty head.
    #[must_use]
    pub fn new(limits: HeadLimits) -> Self {
        // Positions in a head are kept as u32.
        let bytes = limits.bytes.min(u32::MAX as usize);
        Self {
            limits: HeadLimits { bytes, ..limits },
            at: At::Start,
            taken: 0,
            bytes: Vec::new(),
            request_line: 0,
            field_lines: 0,
            end: None,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Takes the next piece, and says where the head stands. Work is linear in the bytes taken.
    ///
    /// After [`Progress::Done`] nothing more is taken (`consumed` is 0).
    pub fn push(&mut self, piece: &[u8]) -> Progress {
        let mut consumed = 0;
        while self.end.is_none() {
            consumed += self.take_plain(&piece[consumed..]);
            let Some(&byte) = piece.get(consumed) else {
                break;
            };
            consumed += 1;
            if let Err(refusal) = self.take(byte) {
                self.bytes = Vec::new();
                self.end = Some(Err(refusal));
            }
        }
        match &self.end {
            None => Progress::More,
            Some(Ok(_)) => Progress::Done { consumed },
            Some(Err(refusal)) => Progress::Refused(*refusal),
        }
    }

    /// The request, once the head is done.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.end.as_ref().and_then(|end| end.as_ref().ok())
    }

    /// The request, once the head is done; it takes the memory with it.
    #[must_use]
    pub fn into_request(self) -> Option<Request> {
        self.end.and_then(Result::ok)
    }

    /// Heap bytes held now, so that a driver can bound all heads together.
    ///
    /// While the head is collected at most [`HeadLimits::bytes`]; nothing once it is refused; once it is
    /// done see [`Request::bytes_held`].
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.bytes.capacity() + self.request().map_or(0, Request::bytes_held)
    }

    /// Takes the bytes that only go on with a field, which most of a head are; returns how many. What it does
    /// is what [`take`](Self::take) would do with each of them.
    fn take_plain(&mut self, piece: &[u8]) -> usize {
        if self.at != At::Field {
            return 0;
        }
        let piece = &piece[..piece.len().min(self.limits.bytes - self.taken)];
        let is_plain = |&byte: &u8| At::Field.step(byte) == Ok(At::Field);
        let plain = piece.iter().take_while(|byte| is_plain(byte)).count();
        #[cfg(test)]
        self.count(plain);
        self.taken += plain;
        self.keep(&piece[..plain]);
        plain
    }

    fn take(&mut self, byte: u8) -> Result<(), Refusal> {
        #[cfg(test)]
        self.count(1);
        if self.taken == self.limits.bytes {
            return Err(match self.at {
                At::Target => Refusal::TargetTooLong,
                _ => Refusal::HeadTooLarge,
            });
        }
        self.taken += 1;
        let from = self.at;
        self.at = from.step(byte)?;
        match (from, self.at) {
            // An empty line before the request line is not part of it (RFC 9112 §2.2).
            (At::Start, At::StartCr) | (At::StartCr, _) => return Ok(()),
            (_, At::RequestLineCr) => self.request_line = self.bytes.len(),
            (At::LineStart, At::Field) => {
                self.field_lines += 1;
                if self.field_lines > self.limits.fields {
                    return Err(Refusal::TooManyFields);
                }
            }
            _ => {}
        }
        self.keep(core::slice::from_ref(&byte));
        if self.at == At::End {
            let bytes = core::mem::take(&mut self.bytes);
            self.end = Some(Ok(Request::parse(
                bytes,
                self.request_line,
                self.field_lines,
            )?));
        }
        Ok(())
    }

    #[cfg(test)]
    fn count(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// Doubles like `Vec` does, but never past the bound.
    fn keep(&mut self, bytes: &[u8]) {
        let held = self.bytes.capacity();
        let needed = self.bytes.len() + bytes.len();
        if needed > held {
            let wanted = needed.max(FIRST_BYTES).checked_next_power_of_two();
            let most = wanted.unwrap_or(usize::MAX).min(self.limits.bytes);
            self.bytes.reserve_exact(most - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }
}

/// Without the bytes, which never go into a log (WIRE §7).
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({:?} at byte {})", self.at, self.taken)
    }
}

impl At {
    /// The transition table: CRLF is the only line end, and of control bytes only a tab may stand in a field.
    fn step(self, byte: u8) -> Result<Self, Refusal> {
        match (self, byte) {
            (Self::Start, b'\r') => Ok(Self::StartCr),
            (Self::StartCr, b'\n') => Ok(Self::Method),
            (Self::Method | Self::Target | Self::Version, b'\r') => Ok(Self::RequestLineCr),
            (Self::Field, b'\r') => Ok(Self::FieldCr),
            (Self::RequestLineCr | Self::FieldCr, b'\n') => Ok(Self::LineStart),
            (Self::LineStart, b'\r') => Ok(Self::LastCr),
            (Self::LastCr, b'\n') => Ok(Self::End),
            (Self::StartCr | Self::RequestLineCr | Self::FieldCr | Self::LastCr, _) => {
                Err(Refusal::LineEnding)
            }
            (_, b'\n') => Err(Refusal::LineEnding),
            (Self::LineStart | Self::Field, b'\t') => Ok(Self::Field),
            (_, 0..=0x1F | 0x7F) => Err(Refusal::ControlByte),
            (Self::Start | Self::Method, b' ') => Ok(Self::Target),
            (Self::Start | Self::Method, _) => Ok(Self::Method),
            (Self::Target, b' ') => Ok(Self::Version),
            (Self::LineStart | Self::Field, _) => Ok(Self::Field),
            (Self::Target | Self::Version | Self::End, _) => Ok(self),
        }
    }
}

/// Most heads fit into twice this.
const FIRST_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Head, HeadLimits, Progress};

    fn long_head() -> Vec<u8> {
        let mut head = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
        head.resize(HeadLimits::default().bytes - 4, b'x');
        head.extend_from_slice(b"\r\n\r\n");
        head
    }

    /// By counting looks at a byte, not by a clock.
    #[test]
    fn p1_a_slow_head_costs_one_look_at_each_byte() {
        let bytes = long_head();
        for size in [1, 2, 3, 17, 4_096, bytes.len()] {
            let mut head = Head::new(HeadLimits::default());
            let mut last = Progress::More;
            for piece in bytes.chunks(size) {
                assert_eq!(last, Progress::More);
                last = head.push(piece);
            }
            assert!(matches!(last, Progress::Done { .. }), "{size}: {last:?}");
            assert_eq!(head.steps, bytes.len(), "pieces of {size}");
        }
    }

    /// Memory grows by doubling, so that what is moved is linear too.
    #[test]
    fn p2_a_slow_head_moves_its_bytes_at_most_twice() {
        let bytes = long_head();
        let mut head = Head::new(HeadLimits::default());
        let mut held = 0;
        let mut moved = 0;
        for byte in &bytes {
            head.push(core::slice::from_ref(byte));
            if head.bytes.capacity() != held && !head.bytes.is_empty() {
                moved += held;
                held = head.bytes.capacity();
            }
        }
        assert!(moved <= 2 * bytes.len(), "moved {moved}");
    }
}
