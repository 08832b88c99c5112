//! Names of topics and keys.

use alloc::sync::Arc;
use core::fmt;

/// The name of a topic, or the key of a principal: 1 to 65 535 bytes of UTF-8 without control
/// characters; a machine's own bound ([`Config::name_bytes`](crate::Config::name_bytes)) is tighter.
///
/// Cheap to clone.
///
/// ```
/// use sse_state::Name;
///
/// assert_eq!(Name::new("/devices/7").unwrap().as_str(), "/devices/7");
/// assert!(Name::new("").is_err());
/// assert!(Name::new("a\nb").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// A name, if the text may be one.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            Err(NameError::Empty)
        } else if text.len() > usize::from(u16::MAX) {
            Err(NameError::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(NameError::Control)
        } else {
            Ok(Name(Arc::from(text)))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text cannot be a [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    Empty,
    /// More than 65 535 bytes.
    TooLong,
    /// It holds a control character (Unicode category Cc).
    Control,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Empty => "a name cannot be empty",
            NameError::TooLong => "a name has at most 65535 bytes",
            NameError::Control => "a name cannot hold control characters",
        })
    }
}

impl core::error::Error for NameError {}
