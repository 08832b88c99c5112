//! Hooks that are told when streams open and close.

use std::net::SocketAddr;
use std::sync::Arc;

use sse_state::{CloseReason, Name, SubscriberId};

/// A stream, as the hooks see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamInfo {
    /// Its id, never used twice.
    pub id: SubscriberId,
    /// Its topics.
    pub topics: Vec<Name>,
    /// The key of its grant.
    pub key: Option<Name>,
    /// Where it comes from.
    pub peer: Option<SocketAddr>,
}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamEnd {
    /// The peer went by itself.
    Gone,
    /// The server closed it.
    Closed(CloseReason),
}

/// What is called when a stream was opened.
pub(crate) type OnOpen = Arc<dyn Fn(&StreamInfo) + Send + Sync>;
/// What is called when it has ended.
pub(crate) type OnClose = Arc<dyn Fn(&StreamInfo, StreamEnd) + Send + Sync>;

/// The hooks of a hub.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) on_open: Option<OnOpen>,
    pub(crate) on_close: Option<OnClose>,
}

impl Hooks {
    pub(crate) fn are_set(&self) -> bool {
        self.on_open.is_some() || self.on_close.is_some()
    }
}
