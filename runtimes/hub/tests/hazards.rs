//! What others have had and this hub must not (docs/hazards.md), where no other file has it.

mod support;

use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use support::{hub, settle};

/// A waker of which it is counted how many hold it.
struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_for_the_end_and_went_leaves_nothing_behind() {
    let hub = hub();
    for _ in 0..1000 {
        // As a handler does that stops when the hub ends: a task of its own, done long before that.
        let one = Arc::new(Nothing);
        let waker = Waker::from(Arc::clone(&one));
        let mut ended = Box::pin(hub.ended());
        let mut cx = Context::from_waker(&waker);
        assert_eq!(ended.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(ended.as_mut().poll(&mut cx), Poll::Pending);
        drop((ended, waker));
        assert_eq!(Arc::strong_count(&one), 1, "its waker is still held");
    }
    // Whoever waits on is woken.
    let ended = tokio::spawn(hub.ended());
    settle().await;
    hub.shutdown(Duration::ZERO).await;
    ended.await.expect("it was told");
}
