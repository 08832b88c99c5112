//! What an operator may want to see, as events of `tracing`; nothing without the feature of that name.
//!
//! Values of header fields and of queries never come here, other bytes of requests only escaped and cut.

/// Accepting has failed.
pub(crate) fn accept_failed(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, "accept failed");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// A function of the author has panicked while it did this.
pub(crate) fn panicked(what: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::error!(what, "a function of the service has panicked");
    #[cfg(not(feature = "tracing"))]
    let _ = what;
}

/// A request was answered with something other than a stream.
pub(crate) fn answered(path: Option<&str>, status: u16) {
    #[cfg(feature = "tracing")]
    {
        let path = sse_state::http::escape_for_log(path.unwrap_or_default().as_bytes());
        tracing::debug!(%path, status, "answered");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (path, status);
}

/// A source was started, or stopped.
pub(crate) fn source(topic: &str, what: &'static str) {
    #[cfg(feature = "tracing")]
    {
        let topic = sse_state::http::escape_for_log(topic.as_bytes());
        tracing::debug!(%topic, "source {what}");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (topic, what);
}

/// The journal cannot be written any more.
pub(crate) fn journal_failed(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::error!(%error, "the journal cannot be written; recording has ended");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}
