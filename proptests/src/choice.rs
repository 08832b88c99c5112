//! The choice oracle: everything random in a scenario is a sequence of `pick(n)`.
//!
//! One generator, several back ends: a fixed pseudo-random sequence, bytes (of a fuzzer, or of a
//! property test that shrinks them), and every sequence in turn.

/// Answers questions with a number below `n`.
pub trait Choice {
    /// A number in `0..n`; `0` if `n` is `0`.
    fn pick(&mut self, n: u32) -> u32;

    /// True in `yes` of `of` cases.
    fn chance(&mut self, yes: u32, of: u32) -> bool {
        // The larger number means yes, so that bytes that run out, and shrink to zero, mean no.
        self.pick(of) >= of - yes.min(of)
    }

    /// One of these.
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T
    where
        Self: Sized,
    {
        of[self.pick(of.len() as u32) as usize]
    }
}

/// A pseudo-random sequence that is the same everywhere (SplitMix64).
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Prng {
        Prng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Choice for Prng {
    fn pick(&mut self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        // The bias of a modulus is of no interest here.
        (self.next_u64() >> 16) as u32 % n
    }
}

/// Choices read from bytes; when they run out, every answer is 0.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { rest: bytes }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// True if every further answer is 0.
    pub fn is_spent(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Choice for Bytes<'_> {
    fn pick(&mut self, n: u32) -> u32 {
        if n <= 1 {
            return 0;
        }
        let width = if n <= 256 { 1 } else { 4 };
        let mut number = 0u32;
        for _ in 0..width {
            let Some((&first, rest)) = self.rest.split_first() else {
                return 0;
            };
            self.rest = rest;
            number = number << 8 | u32::from(first);
        }
        number % n
    }
}

/// Every sequence of choices in turn, depth first: an odometer whose wheels have as many digits as
/// there were answers.
///
/// ```
/// use sse_state_proptests::choice::{Choice, Exhaustive};
///
/// let mut all = Exhaustive::new();
/// let mut seen = Vec::new();
/// loop {
///     seen.push((all.pick(2), all.pick(3)));
///     if !all.advance() {
///         break;
///     }
/// }
/// assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    wheels: Vec<(u32, u32)>,
    at: usize,
}

impl Exhaustive {
    /// Begins with all zeroes.
    pub fn new() -> Exhaustive {
        Exhaustive::default()
    }

    /// Turns to the next sequence; false if that was the last one.
    pub fn advance(&mut self) -> bool {
        self.wheels.truncate(self.at);
        self.at = 0;
        while let Some((digit, of)) = self.wheels.pop() {
            if digit + 1 < of {
                self.wheels.push((digit + 1, of));
                return true;
            }
        }
        false
    }
}

impl Choice for Exhaustive {
    fn pick(&mut self, n: u32) -> u32 {
        if n <= 1 {
            return 0;
        }
        if self.at == self.wheels.len() {
            self.wheels.push((0, n));
        }
        let digit = self.wheels[self.at].0;
        self.at += 1;
        digit.min(n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spent_bytes_answer_zero() {
        let mut bytes = Bytes::new(&[7, 1, 0, 0, 1]);
        assert_eq!(bytes.pick(5), 2);
        assert_eq!(bytes.pick(1000), 16_777_217 % 1000);
        assert!(bytes.is_spent());
        assert_eq!((bytes.pick(9), bytes.chance(1, 2)), (0, false));
    }

    #[test]
    fn the_fixed_sequence_is_fixed() {
        let mut prng = Prng::new(1);
        let first: Vec<u32> = (0..6).map(|_| prng.pick(100)).collect();
        let mut again = Prng::new(1);
        assert_eq!(first, (0..6).map(|_| again.pick(100)).collect::<Vec<_>>());
    }
}
