//! The data of an event: which one it is, when it was published, and padding.
//!
//! `SEQ NANOS xxxx…` with sixteen hexadecimal digits each. `SEQ` is the number of the topic (16 bits) and the
//! number of the event in it, from 1, without a hole; `NANOS` is the machine's monotonic clock.

use crate::clock;

/// The shortest data.
pub const LEAST: usize = 33;

/// What the data of an event say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Which topic.
    pub topic: u16,
    /// Which event of it.
    pub number: u64,
    /// When it was published.
    pub nanos: u64,
}

/// Writes the data of an event that is published now, `bytes` long and at least [`LEAST`].
pub fn write(into: &mut String, topic: u16, number: u64, bytes: usize) {
    into.clear();
    hex(into, u64::from(topic) << 48 | number);
    into.push(' ');
    hex(into, clock::nanos());
    if bytes > LEAST {
        into.push(' ');
        into.extend(std::iter::repeat_n('x', bytes - LEAST - 1));
    }
}

/// Reads them; `None` if they are not of this form.
pub fn read(data: &[u8]) -> Option<Stamp> {
    let (seq, rest) = data.split_at_checked(16)?;
    let (space, rest) = rest.split_first()?;
    let (nanos, padding) = rest.split_at_checked(16)?;
    if *space != b' ' || !matches!(padding.first(), None | Some(b' ')) {
        return None;
    }
    let seq = number(seq)?;
    Some(Stamp {
        topic: (seq >> 48) as u16,
        number: seq & ((1 << 48) - 1),
        nanos: number(nanos)?,
    })
}

fn hex(into: &mut String, number: u64) {
    for shift in (0..64).step_by(4).rev() {
        let digit = (number >> shift & 15) as u32;
        into.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u64::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::{LEAST, read, write};

    #[test]
    fn comes_back() {
        let mut data = String::new();
        for bytes in [LEAST, LEAST + 1, 128, 16 << 10] {
            write(&mut data, 7, 0xbeef, bytes);
            assert_eq!(data.len(), bytes);
            let stamp = read(data.as_bytes()).unwrap();
            assert_eq!((stamp.topic, stamp.number), (7, 0xbeef));
            assert!(stamp.nanos > 0);
        }
    }

    #[test]
    fn refuses_what_was_cut() {
        let mut data = String::new();
        write(&mut data, 7, 1, LEAST);
        for end in 0..LEAST {
            assert_eq!(read(&data.as_bytes()[..end]), None);
        }
        assert_eq!(read("Data: 00".repeat(8).as_bytes()), None);
    }
}
