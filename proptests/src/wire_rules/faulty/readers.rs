//! Faulty readers of heads. Most read other bytes than those that came.

use sse_state::http::{Head, HeadLimits, Progress, Refusal, Request};

use super::{Fault as F, ReadsHead};

pub(super) fn head(fault: F, limits: HeadLimits) -> Box<dyn ReadsHead> {
    let limits = match fault {
        F::TakesOneByteMore => HeadLimits {
            bytes: limits.bytes + 1,
            ..limits
        },
        F::TakesOneFieldMore => HeadLimits {
            fields: limits.fields + 1,
            ..limits
        },
        _ => limits,
    };
    let head = Head::new(limits);
    match fault {
        F::JudgesByPiece
        | F::ReadsOneMore
        | F::ForgetsItsEnd
        | F::ForgivesARefusal
        | F::KeepsEverything
        | F::TakesTheLastRequest => Box::new(Careless {
            fault,
            limits,
            head,
            kept: 0,
        }),
        _ => match rewrite(fault) {
            Some(rewrite) => Box::new(Rewriting {
                rewrite,
                limits,
                came: Vec::new(),
                head,
                is_final: false,
            }),
            None => Box::new(head),
        },
    }
}

/// A reader that is wrong about itself.
struct Careless {
    fault: F,
    limits: HeadLimits,
    head: Head,
    kept: usize,
}

impl ReadsHead for Careless {
    fn push(&mut self, piece: &[u8]) -> Progress {
        self.kept += piece.len();
        let ended = self.head.request().is_some();
        match self.fault {
            F::JudgesByPiece if piece.first() == Some(&b'\n') => {
                return Progress::Refused(Refusal::LineEnding);
            }
            F::ForgetsItsEnd if ended => self.head = Head::new(self.limits),
            F::TakesTheLastRequest if !ended => {
                let second = piece.windows(6).rposition(|six| six == b"GET /o");
                if let Some(second) = second
                    && self.head.push(&piece[..second]) != Progress::More
                {
                    self.head = Head::new(self.limits);
                    return self.head.push(&piece[second..]);
                } else if let Some(second) = second {
                    return self.head.push(&piece[second..]);
                }
            }
            _ => {}
        }
        match (self.fault, self.head.push(piece)) {
            (F::ReadsOneMore, Progress::Done { consumed }) if !ended => Progress::Done {
                consumed: piece.len().min(consumed + 1),
            },
            (F::ForgivesARefusal, Progress::Refused(why)) => {
                self.head = Head::new(self.limits);
                Progress::Refused(why)
            }
            (_, said) => said,
        }
    }

    fn held(&self) -> usize {
        match self.fault {
            F::KeepsEverything => self.kept,
            _ => self.head.bytes_held(),
        }
    }

    fn request(&self) -> Option<Request> {
        self.head.request().cloned()
    }
}

/// Other bytes than those that came.
type Rewrite = fn(&[u8]) -> Vec<u8>;

/// A reader that reads what it makes of the bytes.
struct Rewriting {
    rewrite: Rewrite,
    limits: HeadLimits,
    came: Vec<u8>,
    head: Head,
    is_final: bool,
}

impl ReadsHead for Rewriting {
    fn push(&mut self, piece: &[u8]) -> Progress {
        if self.is_final {
            return self.head.push(piece);
        }
        self.came.extend_from_slice(piece);
        let bytes = (self.rewrite)(&self.came);
        self.head = Head::new(self.limits);
        let said = self.head.push(&bytes);
        self.is_final = said != Progress::More;
        match said {
            Progress::Done { consumed } => Progress::Done {
                consumed: piece.len().saturating_sub(bytes.len() - consumed),
            },
            said => said,
        }
    }

    fn held(&self) -> usize {
        self.head.bytes_held()
    }

    fn request(&self) -> Option<Request> {
        self.head.request().cloned()
    }
}

fn rewrite(fault: F) -> Option<Rewrite> {
    Some(match fault {
        F::TakesLoneLf => |came| replace(&replace(came, b"\r\n", b"\n"), b"\n", b"\r\n"),
        F::SkipsEmptyLines => |came| {
            let start = came.iter().position(|byte| !b"\r\n".contains(byte));
            came[start.unwrap_or(came.len())..].to_vec()
        },
        F::TakesControlBytes => |came| {
            let odd = |byte: &u8| byte.is_ascii_control() && !b"\r\n\t".contains(byte);
            came.iter()
                .map(|byte| if odd(byte) { b'x' } else { *byte })
                .collect()
        },
        F::CollapsesSpaces => |came| replace(&replace(came, b"  ", b" "), b" \r\n", b"\r\n"),
        F::Unfolds => |came| replace(&replace(came, b"\r\n ", b" "), b"\r\n\t", b" "),
        F::TrimsNames => |came| replace(&replace(came, b" :", b":"), b"\t:", b":"),
        F::TakesTheFirstLength => |came| once(came, b"content-length:"),
        F::TakesTheFirstHost => |came| once(came, b"host:"),
        F::PrefersTheCoding => |came| {
            let coded = lines(came).any(|line| begins(line, b"transfer-encoding:"));
            edit(came, |line| !(coded && begins(line, b"content-length:")))
        },
        F::IgnoresBodies => |came| {
            let post = came.trim_ascii_start().starts_with(b"POST");
            let of_body = |line: &[u8]| {
                begins(line, b"content-length:") || begins(line, b"transfer-encoding:")
            };
            edit(came, |line| post || !of_body(line))
        },
        F::IgnoresExpect => |came| edit(came, |line| !begins(line, b"expect:")),
        F::ShoutsMethods => |came| {
            let end = came.iter().position(|byte| *byte == b' ').unwrap_or(0);
            [came[..end].to_ascii_uppercase().as_slice(), &came[end..]].concat()
        },
        F::TakesAnyVersion => |came| {
            let any = [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9"];
            any.iter().fold(came.to_vec(), |came, version| {
                replace(&came, *version, b"HTTP/1.1")
            })
        },
        F::TakesTheAsterisk => |came| replace(came, b" * ", b" / "),
        F::ResolvesDots => |came| replace(&replace(came, b"/..", b""), b"/.", b""),
        F::DecodesSlashes => |came| replace(&replace(came, b"%2F", b"/"), b"%2f", b"/"),
        _ => return None,
    })
}

/// The lines of which this says that they stay.
fn edit(bytes: &[u8], stays: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let kept: Vec<&[u8]> = lines(bytes).filter(|line| stays(line)).collect();
    kept.join(b"\r\n".as_slice())
}

/// Only the first of the lines that begin so.
fn once(bytes: &[u8], start: &[u8]) -> Vec<u8> {
    let first = lines(bytes).position(|line| begins(line, start));
    let kept = lines(bytes)
        .enumerate()
        .filter(|(place, line)| Some(*place) == first || !begins(line, start));
    let kept: Vec<&[u8]> = kept.map(|(_, line)| line).collect();
    kept.join(b"\r\n".as_slice())
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = bytes.windows(2).position(|two| two == b"\r\n");
        rest = end.map(|end| &bytes[end + 2..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    })
}

fn begins(line: &[u8], start: &[u8]) -> bool {
    line.get(..start.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(what) {
            out.extend_from_slice(by);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}
