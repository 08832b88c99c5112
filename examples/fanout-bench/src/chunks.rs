//! The chunks of HTTP/1.1: what is left of a body when their sizes are taken out.

/// Where in a chunk the reading is.
#[derive(Clone, Debug)]
pub struct Chunks {
    /// Bytes of the chunk that are to come.
    left: usize,
    /// The line with the next size, as far as it was read; begins with the end of the chunk before.
    line: Vec<u8>,
}

impl Default for Chunks {
    /// The first chunk has none before it.
    fn default() -> Chunks {
        Chunks {
            left: 0,
            line: b"\r\n".to_vec(),
        }
    }
}

impl Chunks {
    /// Reads on. Calls `each` for every piece of the body. A size that cannot be read is taken for the end.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let piece = self.left.min(bytes.len());
            if piece > 0 {
                each(&bytes[..piece]);
                self.left -= piece;
                bytes = &bytes[piece..];
                continue;
            }
            self.line.push(bytes[0]);
            bytes = &bytes[1..];
            if self.line.len() > 2 && self.line.ends_with(b"\n") {
                let digits = std::str::from_utf8(&self.line[2..]).unwrap_or_default();
                self.left = usize::from_str_radix(digits.trim_end(), 16).unwrap_or(0);
                self.line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Chunks;

    #[test]
    fn any_split_gives_the_same_body() {
        let text = b"3\r\nabc\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n2\r\n\r\n\r\n";
        for size in 1..text.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            for piece in text.chunks(size) {
                chunks.feed(piece, |bytes| body.extend_from_slice(bytes));
            }
            assert_eq!(body, b"abcabcdefghijklmnopqrstuvwxyz\r\n", "by {size}");
        }
    }
}
