//! Recording a run into a journal.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sse_state::SseState;
use sse_state::journal::Recorder;

use crate::shared::Machine;
use crate::signal::lock;

impl Machine for SseState {}

impl Machine for Recorder {
    fn actions(&self) -> Option<u64> {
        Some(Recorder::actions(self))
    }
}

/// Takes the lines of a journal.
pub(crate) type Lines = Box<dyn FnMut(&str) + Send>;

/// Where the journal of a hub goes. The machine writes its lines under the lock into memory; workers
/// carry them out after it.
pub(crate) struct Journal {
    lines: Arc<Mutex<String>>,
    out: Mutex<Out>,
}

struct Out {
    writer: Box<dyn Write + Send>,
    /// A buffer that is exchanged with the lines, so that neither is allocated again and again.
    spare: String,
    failed: bool,
}

impl Journal {
    /// A journal, and the sink of its lines.
    pub(crate) fn new(writer: Box<dyn Write + Send>) -> (Journal, Lines) {
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let journal = Journal {
            lines,
            out: Mutex::new(Out {
                writer,
                spare: String::new(),
                failed: false,
            }),
        };
        let write = move |text: &str| {
            let mut lines = lock(&sink);
            lines.push_str(text);
            if !text.ends_with('\n') {
                lines.push('\n');
            }
        };
        (journal, Box::new(write))
    }

    /// Writes what has been recorded. A disk that is full ends the recording, not the server.
    pub(crate) fn flush(&self) {
        // One at a time, and taken within, so that the order stays.
        let mut out = lock(&self.out);
        let out = &mut *out;
        std::mem::swap(&mut out.spare, &mut *lock(&self.lines));
        if !out.failed && !out.spare.is_empty() {
            let written = out.writer.write_all(out.spare.as_bytes());
            if let Err(error) = written.and_then(|()| out.writer.flush()) {
                crate::trace::journal_failed(&error);
                out.failed = true;
            }
        }
        out.spare.clear();
    }
}

/// Creates a journal file that only its owner may read, since it holds what was published.
pub(crate) fn create(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let file = options.open(path)?;
    // A file that was there before keeps its mode otherwise.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(Box::new(file))
}
