//! Reading a stream piece by piece: the head of the answer, then blocks.
//!
//! As strict as a load test can be: what the server does not write (a carriage return in the stream, a field
//! that nobody knows, data of several lines) is malformed here, though a browser would take it.

use memchr::{memchr, memmem};

use crate::chunks::Chunks;

/// A block: everything up to an empty line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Block<'a> {
    /// The name of the event; empty if it has none.
    pub name: &'a [u8],
    /// Its data; `None` if it is no event.
    pub data: Option<&'a [u8]>,
    /// The id that it sets.
    pub id: Option<&'a [u8]>,
    /// It sets the time of reconnecting, in digits.
    pub retry: Option<&'a [u8]>,
    /// A line that should not be there.
    pub is_malformed: bool,
}

impl Block<'_> {
    /// It holds a time of reconnecting and nothing else, as the last one of a stream.
    pub fn is_farewell(&self) -> bool {
        self.retry.is_some() && self.data.is_none() && self.id.is_none() && !self.is_malformed
    }
}

/// What was read and does not make a whole yet.
#[derive(Clone, Default, Debug)]
pub struct Parser {
    carry: Vec<u8>,
    status: Option<u16>,
    chunks: Option<Chunks>,
}

impl Parser {
    /// The status of the answer, once its head is complete.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// True if what was read ends with a whole block.
    pub fn is_whole(&self) -> bool {
        self.status.is_some() && self.carry.is_empty()
    }

    /// Reads on. Calls `each` for every block that is complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Block<'_>)) {
        let mut bytes = bytes;
        if self.status.is_none() {
            let Some(rest) = self.head(bytes) else {
                return;
            };
            bytes = rest;
        }
        match self.chunks.take() {
            Some(mut chunks) => {
                chunks.feed(bytes, |bytes| self.body(bytes, &mut each));
                self.chunks = Some(chunks);
            }
            None => self.body(bytes, &mut each),
        }
    }

    fn body(&mut self, bytes: &[u8], each: &mut impl FnMut(Block<'_>)) {
        let mut bytes = bytes;
        if !self.carry.is_empty() {
            // Only the block that was begun is copied.
            let Some(end) = end_of_begun(&self.carry, bytes) else {
                self.carry.extend_from_slice(bytes);
                return;
            };
            self.carry.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            each(block(&self.carry[..self.carry.len() - 1]));
            self.carry.clear();
        }
        while let Some(end) = end_of_block(bytes) {
            each(block(&bytes[..end - 1]));
            bytes = &bytes[end..];
        }
        self.carry.extend_from_slice(bytes);
    }

    /// Reads the head; what follows it, if it is complete.
    fn head<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let before = self.carry.len();
        self.carry.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let end = from + memmem::find(&self.carry[from..], b"\r\n\r\n")? + 4;
        let status = self.carry.get(9..12).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            digits.parse().ok()
        });
        self.status = Some(status.unwrap_or(0));
        let is_chunked = memmem::find(&self.carry[..end], b"\r\ntransfer-encoding: chunked\r\n");
        self.chunks = is_chunked.map(|_| Chunks::default());
        self.carry.clear();
        Some(&bytes[end - before..])
    }
}

/// The length of the first block with its empty line.
fn end_of_block(bytes: &[u8]) -> Option<usize> {
    // Most blocks are one line.
    let line = memchr(b'\n', bytes)?;
    if line == 0 {
        return Some(1);
    }
    match bytes.get(line + 1)? {
        b'\n' => Some(line + 2),
        _ => memmem::find(&bytes[line..], b"\n\n").map(|at| line + at + 2),
    }
}

/// How many bytes complete the block whose beginning is `carry`.
fn end_of_begun(carry: &[u8], bytes: &[u8]) -> Option<usize> {
    if carry.ends_with(b"\n") && bytes.first() == Some(&b'\n') {
        return Some(1);
    }
    memmem::find(bytes, b"\n\n").map(|at| at + 2)
}

/// Takes a block apart: whole lines, each with its end, without the empty one.
fn block(lines: &[u8]) -> Block<'_> {
    let mut block = Block::default();
    let mut rest = lines;
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let once = if let Some(data) = line.strip_prefix(b"data: ") {
            block.data.replace(data).is_none()
        } else if let Some(name) = line.strip_prefix(b"event: ") {
            std::mem::replace(&mut block.name, name).is_empty()
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            block.id.replace(id).is_none()
        } else if let Some(retry) = line.strip_prefix(b"retry: ") {
            let is_number = !retry.is_empty() && retry.iter().all(u8::is_ascii_digit);
            block.retry.replace(retry).is_none() && is_number
        } else {
            line.starts_with(b":")
        };
        block.is_malformed |= !once || line.ends_with(b"\r");
    }
    block.is_malformed |= lines.is_empty() || !rest.is_empty();
    block
}

#[cfg(test)]
mod tests {
    use super::Parser;

    const TEXT: &[u8] = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n:\n\nretry: 2500\n\n\
        data: one\n\nevent: sse-gap\ndata: {}\nid: x-1\n\ndata: \n\n";

    /// Every block in short, and whether the end is whole.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<u16>, bool) {
        let mut parser = Parser::default();
        let mut blocks = Vec::new();
        for piece in pieces {
            parser.feed(piece, |block| blocks.push(format!("{block:?}")));
        }
        (blocks, parser.status(), parser.is_whole())
    }

    #[test]
    fn any_split_gives_the_same_blocks() {
        let whole = read(&[TEXT]);
        assert_eq!((whole.0.len(), whole.1, whole.2), (5, Some(200), true));
        let bytes: Vec<&[u8]> = TEXT.chunks(1).collect();
        assert_eq!(read(&bytes), whole);
        for first in 0..TEXT.len() {
            for second in first..TEXT.len() {
                let pieces = [&TEXT[..first], &TEXT[first..second], &TEXT[second..]];
                assert_eq!(read(&pieces), whole, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn chunks_do_not_show() {
        let text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n:\n\n\r\nB\r\ndata: one\n\n\r\n";
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let (blocks, status, is_whole) = read(&pieces);
            assert_eq!((blocks.len(), status, is_whole), (2, Some(200), true));
        }
    }

    #[test]
    fn tells_a_frame_that_was_cut() {
        for end in 1..4 {
            let cut = &TEXT[..TEXT.len() - end];
            assert!(!read(&[cut]).2);
        }
    }

    #[test]
    fn tells_what_is_malformed() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".as_slice();
        for bad in [
            "data: a\r\n\n",
            "data: a\ndata: b\n\n",
            "x\n\n",
            "retry: 1s\n\n",
        ] {
            let mut parser = Parser::default();
            let mut malformed = 0;
            let mut farewells = 0;
            for piece in [head, bad.as_bytes()] {
                parser.feed(piece, |block| {
                    malformed += u32::from(block.is_malformed);
                    farewells += u32::from(block.is_farewell());
                });
            }
            assert_eq!((malformed, farewells), (1, 0), "{bad:?}");
        }
    }
}
