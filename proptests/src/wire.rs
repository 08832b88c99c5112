//! A small event-stream parser of our own (WHATWG HTML §9.2.6), and the wire form that is expected.
//!
//! The rules read what a stream got with this parser, never with anything of the engine.

use std::fmt::Write as _;

/// What stands between two empty lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// Its bytes, the empty line included.
    pub raw: Vec<u8>,
    /// The `event` field.
    pub name: Option<String>,
    /// The `data` fields, joined by LF.
    pub data: Option<String>,
    /// The `id` field, if it holds no NUL.
    pub id: Option<String>,
    /// The `retry` field, if it is digits.
    pub retry: Option<u64>,
    /// It holds a comment.
    pub comment: bool,
}

impl Block {
    /// A client dispatches an event for it.
    pub fn is_event(&self) -> bool {
        self.data.is_some()
    }

    /// Only a comment: a heartbeat, or the first bytes of a body.
    pub fn is_comment(&self) -> bool {
        self.comment
            && self.name.is_none()
            && self.data.is_none()
            && self.id.is_none()
            && self.retry.is_none()
    }

    /// Only a `retry` field.
    pub fn is_retry(&self) -> bool {
        self.retry.is_some() && self.name.is_none() && self.data.is_none() && self.id.is_none()
    }

    /// Only an `id` field: what primes a stream.
    pub fn is_prime(&self) -> bool {
        self.id.is_some() && self.name.is_none() && self.data.is_none() && self.retry.is_none()
    }
}

/// Reads a stream of bytes that arrives in pieces.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    rest: Vec<u8>,
    begun: bool,
    last_id: Option<String>,
}

impl Parser {
    /// At the start of a stream.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Takes in bytes, and gives the blocks that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Block> {
        self.rest.extend_from_slice(bytes);
        // As long as it can become a byte order mark, nothing is known.
        if !self.begun && (self.rest.len() >= BOM.len() || !BOM.starts_with(&self.rest)) {
            self.begun = true;
            if self.rest.starts_with(BOM) {
                self.rest.drain(..BOM.len());
            }
        }
        let mut blocks = Vec::new();
        while let Some(end) = block_end(&self.rest) {
            let raw: Vec<u8> = self.rest.drain(..end).collect();
            let block = read_block(raw);
            if block.id.is_some() {
                self.last_id.clone_from(&block.id);
            }
            blocks.push(block);
        }
        blocks
    }

    /// Bytes of a block that is not complete.
    pub fn unfinished(&self) -> &[u8] {
        &self.rest
    }

    /// What a client would send as `Last-Event-ID`.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }
}

/// The wire form of an event as WIRE §4 has it: event, data, retry, id, and an empty line.
pub fn encode(name: &str, data: &str, retry: Option<u64>, id: Option<&str>) -> String {
    let mut out = String::new();
    if !name.is_empty() && name != "message" {
        let _ = writeln!(out, "event: {name}");
    }
    for line in data.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        let _ = writeln!(out, "data: {line}");
    }
    if let Some(retry) = retry {
        let _ = writeln!(out, "retry: {retry}");
    }
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    out.push('\n');
    out
}

/// Where the first block ends: after an empty line. A CR that ends the bytes may have an LF to come,
/// so it ends nothing yet.
fn block_end(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let next = match bytes[at] {
            b'\n' => at + 1,
            b'\r' if at + 1 == bytes.len() => return None,
            b'\r' if bytes[at + 1] == b'\n' => at + 2,
            b'\r' => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if at == line_start {
            return Some(next);
        }
        line_start = next;
        at = next;
    }
    None
}

fn read_block(raw: Vec<u8>) -> Block {
    let text = String::from_utf8_lossy(&raw).into_owned();
    let mut block = Block {
        raw,
        ..Block::default()
    };
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if line.is_empty() {
            continue;
        }
        let (field, value) = match line.split_once(':') {
            Some(("", _)) => {
                block.comment = true;
                continue;
            }
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "event" => block.name = Some(value.into()),
            "data" => match &mut block.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => block.data = Some(value.into()),
            },
            "id" if !value.contains('\0') => block.id = Some(value.into()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                block.retry = value.parse().ok();
            }
            _ => {}
        }
    }
    block
}

const BOM: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte_is_the_same_as_at_once() {
        let stream = "\u{feff}:hi\n\nevent: a\r\ndata: 1\r\ndata:  2\r\n\r\nid: 7\n\nretry: 5\r\rdata\n\ndata: cut";
        let mut whole = Parser::new();
        let blocks = whole.push(stream.as_bytes());
        let mut bytewise = Parser::new();
        let pieces: Vec<Block> = stream.bytes().flat_map(|b| bytewise.push(&[b])).collect();
        assert_eq!(
            pieces.iter().map(|b| &b.data).collect::<Vec<_>>(),
            blocks.iter().map(|b| &b.data).collect::<Vec<_>>()
        );
        assert_eq!(blocks.len(), 5);
        assert!(blocks[0].is_comment() && blocks[2].is_prime() && blocks[3].is_retry());
        assert_eq!(blocks[1].name.as_deref(), Some("a"));
        assert_eq!(blocks[1].data.as_deref(), Some("1\n 2"));
        assert_eq!(blocks[4].data.as_deref(), Some(""));
        assert_eq!(whole.last_id(), Some("7"));
        assert_eq!(whole.unfinished(), b"data: cut");
    }

    #[test]
    fn a_byte_order_mark_is_only_the_first_three_bytes() {
        for pieces in [
            vec!["\n", "\u{feff}data: a\n\n"],
            vec!["\n\u{feff}data: a\n\n"],
        ] {
            let mut parser = Parser::new();
            let blocks = pieces
                .iter()
                .flat_map(|piece| parser.push(piece.as_bytes()));
            assert!(!blocks.collect::<Vec<_>>().iter().any(Block::is_event));
        }
        let mut parser = Parser::new();
        let bytes = "\u{feff}data: a\n\n".bytes();
        assert_eq!(
            bytes
                .flat_map(|byte| parser.push(&[byte]))
                .filter(Block::is_event)
                .count(),
            1
        );
    }

    #[test]
    fn encoded_events_come_back() {
        let text = encode("n", "a\r\nb\rc\n", Some(9), Some("x-1"));
        assert_eq!(
            text,
            "event: n\ndata: a\ndata: b\ndata: c\ndata: \nretry: 9\nid: x-1\n\n"
        );
        let block = Parser::new().push(text.as_bytes()).remove(0);
        assert_eq!(block.data.as_deref(), Some("a\nb\nc\n"));
        assert_eq!((block.id.as_deref(), block.retry), (Some("x-1"), Some(9)));
    }
}
