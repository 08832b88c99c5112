//! A parser of event streams, written from WHATWG HTML §9.2.5 and §9.2.6 and from nothing else.

/// An event as a page gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Its type; `message` if it has no name.
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last event id as it stands then.
    pub(crate) id: String,
}

/// Takes a stream in any pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    past_first_line: bool,
    name: String,
    data: String,
    id_buffer: String,
    /// What a client would send as `Last-Event-ID`.
    pub(crate) last_id: String,
    /// Every reconnection time that was set.
    pub(crate) retries: Vec<u64>,
    pub(crate) comments: Vec<String>,
    pub(crate) events: Vec<Parsed>,
    /// How many `data` fields the event in the making has.
    fields: usize,
}

/// The whole of a stream.
pub(crate) fn parse(bytes: &[u8]) -> Parser {
    let mut parser = Parser::default();
    parser.push(bytes);
    parser
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // CRLF is one line end.
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => self.end_line(),
                _ => self.line.push(byte),
            }
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let mut line = String::from_utf8_lossy(&bytes).into_owned();
        if !std::mem::replace(&mut self.past_first_line, true)
            && let Some(rest) = line.strip_prefix('\u{FEFF}')
        {
            line = rest.to_owned();
        }
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", comment)) => self.comments.push(comment.to_owned()),
            Some((field, value)) => self.field(field, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&line, ""),
        }
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => self.name = value.to_owned(),
            "data" => {
                self.fields += 1;
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.id_buffer = value.to_owned(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retries.push(value.parse().unwrap());
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        self.last_id = self.id_buffer.clone();
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.fields) == 0 {
            return;
        }
        data.pop();
        self.events.push(Parsed {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            data,
            id: self.last_id.clone(),
        });
    }
}
