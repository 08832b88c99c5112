//! Untrusted bytes on their way into a log.

use core::ascii::escape_default;
use core::fmt::{self, Write as _};

/// Bytes of a request as a log may hold them: escaped, and cut to 128 bytes of output (WIRE §7).
///
/// Whatever is not printable ASCII, and quotes and `\`, is escaped as in Rust's byte strings, so that no
/// line break and no terminal sequence comes through. What was cut ends with `...`.
///
/// ```
/// use sse_state::http::escape_for_log;
///
/// assert_eq!(escape_for_log(b"/a\r\nforged \x1b[31m").to_string(), r"/a\r\nforged \x1b[31m");
/// ```
#[must_use]
pub const fn escape_for_log(bytes: &[u8]) -> EscapedForLog<'_> {
    EscapedForLog(bytes)
}

/// What [`escape_for_log`] gives: shows at most 128 bytes, all of printable ASCII.
#[derive(Clone, Copy)]
pub struct EscapedForLog<'a>(&'a [u8]);

impl fmt::Display for EscapedForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No byte becomes less than one, so that a huge input is not looked at to its end.
        let all: usize = self
            .0
            .iter()
            .take(MOST + 1)
            .map(|byte| escape_default(*byte).len())
            .sum();
        let room = if all <= MOST { MOST } else { MOST - CUT.len() };
        let mut written = 0;
        for byte in self.0 {
            let escaped = escape_default(*byte);
            written += escaped.len();
            if written > room {
                return f.write_str(CUT);
            }
            for byte in escaped {
                f.write_char(char::from(byte))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EscapedForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

const MOST: usize = 128;
const CUT: &str = "...";
