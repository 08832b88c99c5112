//! Who has logged in: session ids in a cookie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The sessions of this process.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<String, Instant>>>);

/// One of them.
pub(crate) struct Session {
    pub(crate) id: String,
    /// How long it still lasts.
    pub(crate) left: Duration,
}

impl Sessions {
    /// A new one; its id. Those that are over make room.
    pub(crate) fn open(&self) -> Result<String, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        let id = format!("{:032x}", u128::from_le_bytes(bytes));
        let now = Instant::now();
        let mut sessions = self.lock();
        sessions.retain(|_, end| *end > now);
        sessions.insert(id.clone(), now + LASTS);
        Ok(id)
    }

    /// The session that a `Cookie` header names.
    pub(crate) fn of(&self, cookie: Option<&[u8]>) -> Option<Session> {
        let cookies = std::str::from_utf8(cookie?).ok()?.split("; ");
        let id = cookies
            .into_iter()
            .find_map(|pair| pair.strip_prefix("session="))?;
        let end = *self.lock().get(id)?;
        let left = end.checked_duration_since(Instant::now())?;
        Some(Session {
            id: id.to_owned(),
            left,
        })
    }

    pub(crate) fn close(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        // No holder leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LASTS: Duration = Duration::from_secs(8 * 3600);
