//! The one timer of a hub.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use sse_state::Input;

use crate::runtime::Timer;
use crate::shared::{End, Shared};
use crate::signal::Listener;

/// Tells the machine when its least deadline has come. Set anew only when that has moved forward; one that
/// has moved back is found when it fires.
pub(crate) struct TimerTask {
    shared: Arc<Shared>,
    timer: Box<dyn Timer>,
    /// Woken when the deadline has moved forward. It lives as long as the hub.
    listener: Listener,
}

impl TimerTask {
    pub(crate) fn new(shared: Arc<Shared>) -> TimerTask {
        let timer = shared.runtime.timer();
        TimerTask {
            shared,
            timer,
            listener: Listener::default(),
        }
    }
}

impl Future for TimerTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            this.shared.timer.listen(&mut this.listener, cx);
            let deadline = {
                let inner = this.shared.lock();
                if inner.end != End::NotYet {
                    return Poll::Ready(());
                }
                inner.deadline
            };
            let Some(at) = deadline else {
                return Poll::Pending;
            };
            if this.timer.poll_at(at, cx).is_pending() {
                return Poll::Pending;
            }
            let now = this.shared.now();
            {
                let mut inner = this.shared.lock();
                // The worker that pumps next tells the next one.
                inner.deadline = None;
                // A timeout is never refused.
                let _ = inner.engine.apply(now, Input::Timeout);
            }
            this.shared.signal.raise();
        }
    }
}
