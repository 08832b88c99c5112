//! Futures of users: they may panic, and they may be dropped from outside.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::signal::lock;

/// Drops the future that it was made for; so does dropping it.
#[derive(Debug)]
pub(crate) struct Cancel(Arc<Mutex<Cancelled>>);

#[derive(Debug)]
enum Cancelled {
    No(Option<Waker>),
    Yes,
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *lock(&self.0), Cancelled::Yes);
        if let Cancelled::No(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// How a guarded future ended, if it was not cancelled.
#[derive(Debug)]
pub(crate) struct Panicked;

/// A future that can be cancelled, and whose panic is a value. Cancelled, it drops what is inside at its
/// next poll and never calls `done`.
pub(crate) struct Guarded<F: Future, D> {
    inside: Option<(Pin<Box<F>>, D)>,
    cancelled: Arc<Mutex<Cancelled>>,
}

/// Guards `future`; `done` is called with what it gave.
pub(crate) fn guarded<F, D>(future: F, done: D) -> (Cancel, Guarded<F, D>)
where
    F: Future,
    D: FnOnce(Result<F::Output, Panicked>),
{
    let cancelled = Arc::new(Mutex::new(Cancelled::No(None)));
    let guarded = Guarded {
        inside: Some((Box::pin(future), done)),
        cancelled: Arc::clone(&cancelled),
    };
    (Cancel(cancelled), guarded)
}

impl<F, D> Future for Guarded<F, D>
where
    F: Future,
    D: FnOnce(Result<F::Output, Panicked>) + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let is_cancelled = match &mut *lock(&this.cancelled) {
            Cancelled::No(waker) => {
                *waker = Some(cx.waker().clone());
                false
            }
            Cancelled::Yes => true,
        };
        if is_cancelled {
            // Dropping a user's future runs a user's code, too.
            let _ = call(|| this.inside = None);
            return Poll::Ready(());
        }
        let Some((future, _)) = &mut this.inside else {
            return Poll::Ready(());
        };
        let output = match call(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(Panicked) => Err(Panicked),
        };
        if let Some((future, done)) = this.inside.take() {
            let _ = call(|| drop(future));
            done(output);
        }
        Poll::Ready(())
    }
}

/// Calls code of a user; its panic is a value.
pub(crate) fn call<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|_| Panicked)
}
