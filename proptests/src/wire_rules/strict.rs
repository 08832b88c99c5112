//! A strict client: it takes nothing but the grammar of RFC 9112, and a body of the length that was said.

/// An answer as it reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Strict {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Strict {
    /// Reads an answer to its end.
    pub(super) fn read(bytes: &[u8], to_head: bool) -> Result<Strict, String> {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .ok_or("its head does not end")?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "its head is not UTF-8")?;
        let mut lines = head.split("\r\n");
        let status = status(lines.next().unwrap_or_default())?;
        let fields: Vec<_> = lines.map(field).collect::<Result<_, _>>()?;
        let answer = Strict {
            status,
            fields,
            body: bytes[end + 4..].to_vec(),
        };
        for (name, _) in &answer.fields {
            let often = ["Set-Cookie", "Vary", "WWW-Authenticate", "Link"];
            if answer.all(name).count() > 1 && !often.iter().any(|o| o.eq_ignore_ascii_case(name)) {
                return Err(format!("{name} stands twice"));
            }
        }
        let length = answer.field("Content-Length").map(str::parse::<usize>);
        let bodiless = to_head || matches!(status, 204 | 205 | 304);
        match length {
            Some(Err(_)) => Err("its length is no number".into()),
            Some(Ok(length)) if !to_head && length != answer.body.len() => {
                Err(format!("{length} bytes said, {} there", answer.body.len()))
            }
            _ if (bodiless || length.is_none()) && !answer.body.is_empty() => {
                Err("a body where none can be".into())
            }
            _ => Ok(answer),
        }
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .filter(named)
            .map(|(_, value)| value.as_str())
    }
}

fn status(line: &str) -> Result<u16, String> {
    let wrong = || format!("{line:?} is no status line");
    let (status, reason) = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_once(' '))
        .ok_or_else(wrong)?;
    let digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let plain = reason.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if digits && plain {
        status.parse().map_err(|_| wrong())
    } else {
        Err(wrong())
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let wrong = || format!("{line:?} is no field line");
    let (name, value) = line.split_once(": ").ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let right = !name.is_empty()
        && name.bytes().all(token)
        && value
            .bytes()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && value.trim() == value;
    if right {
        Ok((name.into(), value.into()))
    } else {
        Err(wrong())
    }
}
