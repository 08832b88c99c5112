//! Who waits for work, and how it is woken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Wakes workers. While one of them is awake, raising is two atomic operations and no system call.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Something has happened that no worker has looked at.
    raised: AtomicBool,
    /// Workers that do not sleep.
    awake: AtomicUsize,
    sleepers: Mutex<Vec<(usize, Waker)>>,
}

impl Signal {
    pub(crate) fn new(workers: usize) -> Signal {
        Signal {
            raised: AtomicBool::new(false),
            awake: AtomicUsize::new(workers),
            sleepers: Mutex::new(Vec::with_capacity(workers)),
        }
    }

    /// Tells that there is work.
    pub(crate) fn raise(&self) {
        // Both sequentially consistent, here and in `sleep`: either nobody is seen awake here, or the
        // last one to fall asleep sees the flag.
        self.raised.store(true, Ordering::SeqCst);
        if self.awake.load(Ordering::SeqCst) == 0 {
            self.wake_one();
        }
    }

    /// Wakes one more worker, if any sleeps.
    pub(crate) fn wake_one(&self) {
        let sleeper = {
            let mut sleepers = lock(&self.sleepers);
            let sleeper = sleepers.pop();
            if sleeper.is_some() {
                self.awake.fetch_add(1, Ordering::SeqCst);
            }
            sleeper
        };
        if let Some((_, waker)) = sleeper {
            waker.wake();
        }
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(&self) {
        self.raised.store(true, Ordering::SeqCst);
        let sleepers = {
            let mut sleepers = lock(&self.sleepers);
            self.awake.fetch_add(sleepers.len(), Ordering::SeqCst);
            std::mem::take(&mut *sleepers)
        };
        for (_, waker) in sleepers {
            waker.wake();
        }
    }

    /// A worker is about to look: what was raised before this call it will see.
    pub(crate) fn lower(&self) {
        self.raised.store(false, Ordering::SeqCst);
    }

    /// Puts a worker to sleep, unless something was raised since it last looked.
    pub(crate) fn sleep(&self, worker: usize, cx: &Context<'_>) -> bool {
        let mut sleepers = lock(&self.sleepers);
        sleepers.push((worker, cx.waker().clone()));
        self.awake.fetch_sub(1, Ordering::SeqCst);
        if self.raised.load(Ordering::SeqCst) {
            sleepers.pop();
            self.awake.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// Whether a sleeping worker that is polled was really woken.
    pub(crate) fn is_asleep(&self, worker: usize, cx: &Context<'_>) -> bool {
        let mut sleepers = lock(&self.sleepers);
        match sleepers.iter_mut().find(|(sleeper, _)| *sleeper == worker) {
            Some((_, waker)) => {
                waker.clone_from(cx.waker());
                true
            }
            None => false,
        }
    }
}

/// The connections that their runtime has woken, by slot.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    slots: Mutex<Vec<u32>>,
    signal: Arc<Signal>,
}

impl Ready {
    pub(crate) fn new(signal: Arc<Signal>) -> Ready {
        Ready {
            slots: Mutex::default(),
            signal,
        }
    }

    fn push(&self, slot: u32) {
        lock(&self.slots).push(slot);
        self.signal.raise();
    }

    /// Takes at most `most`, oldest first; true if some are left.
    pub(crate) fn take(&self, into: &mut Vec<u32>, most: usize) -> bool {
        let mut slots = lock(&self.slots);
        let taken = slots.len().min(most);
        into.extend(slots.drain(..taken));
        !slots.is_empty()
    }
}

/// The one waker of a connection, for both directions: puts its slot on the ready list, once until it
/// is taken. Cloning counts and does not allocate.
#[derive(Debug)]
pub(crate) struct ConnWaker {
    ready: Arc<Ready>,
    slot: u32,
    queued: AtomicBool,
    /// Its socket was full; the next wake-up may mean that it is no more.
    wants_write: AtomicBool,
    /// The last write was not taken whole, so the peer has the beginning of something.
    is_unfinished: AtomicBool,
}

impl ConnWaker {
    pub(crate) fn new(ready: Arc<Ready>, slot: u32) -> ConnWaker {
        ConnWaker {
            ready,
            slot,
            queued: AtomicBool::new(false),
            wants_write: AtomicBool::new(false),
            is_unfinished: AtomicBool::new(false),
        }
    }

    /// It was taken from the list: from now on a wake-up puts it there again.
    pub(crate) fn taken(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// To be set before the waker is registered, else a wake-up in between is lost.
    pub(crate) fn set_wants_write(&self, wants: bool) {
        self.wants_write.store(wants, Ordering::SeqCst);
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.wants_write.load(Ordering::SeqCst)
    }

    /// Whether a write was taken whole; one worker at a time writes.
    pub(crate) fn set_unfinished(&self, is_unfinished: bool) {
        self.is_unfinished.store(is_unfinished, Ordering::Release);
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        self.is_unfinished.load(Ordering::Acquire)
    }
}

impl Wake for ConnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.slot);
        }
    }
}

/// Wakes whoever waits for a condition: look, [`listen`](Bell::listen), look again.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<Listeners>);

#[derive(Debug, Default)]
struct Listeners {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
}

/// Somebody who listens to a bell. Whoever may go before it rings tells it by [`Bell::forget`], else the
/// waker stays, and with it a task that is done.
#[derive(Debug, Default)]
pub(crate) struct Listener(Option<u64>);

impl Bell {
    /// Wakes the caller at the next ring.
    pub(crate) fn listen(&self, listener: &mut Listener, cx: &Context<'_>) {
        let mut listeners = lock(&self.0);
        let number = listener
            .0
            .filter(|number| listeners.wakers.contains_key(number));
        let number = number.unwrap_or_else(|| {
            listeners.next += 1;
            listeners.next
        });
        listener.0 = Some(number);
        let before = listeners.wakers.insert(number, cx.waker().clone());
        drop(listeners);
        // Outside of the lock: a waker may be the last that holds its task.
        drop(before);
    }

    /// It listens no longer.
    pub(crate) fn forget(&self, listener: &mut Listener) {
        if let Some(number) = listener.0.take() {
            let before = lock(&self.0).wakers.remove(&number);
            drop(before);
        }
    }

    /// Wakes all that listen.
    pub(crate) fn ring(&self) {
        let wakers = std::mem::take(&mut lock(&self.0).wakers);
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

/// None of the hub's locks is held while code runs that may panic, so poison says nothing.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its wake-ups.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn a_worker_does_not_sleep_through_what_was_raised_while_it_looked() {
        let signal = Signal::new(1);
        let (_, waker) = counter();
        let cx = Context::from_waker(&waker);
        signal.lower();
        signal.raise();
        assert!(!signal.sleep(0, &cx), "raised since it looked");
        signal.lower();
        assert!(signal.sleep(0, &cx));
    }

    #[test]
    fn raising_wakes_nobody_while_a_worker_is_awake_and_one_if_all_sleep() {
        let signal = Signal::new(2);
        let (first, one) = counter();
        let (second, two) = counter();
        let woken = || first.0.load(Ordering::SeqCst) + second.0.load(Ordering::SeqCst);
        assert!(signal.sleep(0, &Context::from_waker(&one)));
        signal.raise();
        assert_eq!(woken(), 0, "the other one is awake");
        signal.lower();
        assert!(signal.sleep(1, &Context::from_waker(&two)));
        signal.raise();
        signal.raise();
        assert_eq!(woken(), 1);
        signal.wake_one();
        assert_eq!(woken(), 2);
    }

    #[test]
    fn waking_all_wakes_every_worker_and_lets_none_fall_asleep_before_it_has_looked() {
        let signal = Signal::new(3);
        let (count, waker) = counter();
        let cx = Context::from_waker(&waker);
        assert!(signal.sleep(0, &cx) && signal.sleep(1, &cx));
        signal.wake_all();
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(!signal.is_asleep(0, &cx) && !signal.is_asleep(1, &cx));
        assert!(!signal.sleep(2, &cx), "raised since it looked");
        signal.raise();
        assert_eq!(count.0.load(Ordering::SeqCst), 2, "all are awake");
    }

    #[test]
    fn a_sleeping_worker_that_is_polled_for_nothing_sleeps_on_with_its_new_waker() {
        let signal = Signal::new(1);
        let (first, one) = counter();
        let (second, two) = counter();
        assert!(signal.sleep(0, &Context::from_waker(&one)));
        assert!(signal.is_asleep(0, &Context::from_waker(&two)));
        signal.raise();
        assert_eq!(
            (
                first.0.load(Ordering::SeqCst),
                second.0.load(Ordering::SeqCst)
            ),
            (0, 1)
        );
        assert!(!signal.is_asleep(0, &Context::from_waker(&two)));
    }

    #[test]
    fn a_connection_stands_on_the_ready_list_once_until_it_is_taken() {
        let ready = Arc::new(Ready::new(Arc::new(Signal::new(1))));
        let conn = Arc::new(ConnWaker::new(Arc::clone(&ready), 7));
        conn.wake_by_ref();
        conn.wake_by_ref();
        let mut slots = Vec::new();
        assert!(!ready.take(&mut slots, 10));
        assert_eq!(slots, [7]);
        conn.wake_by_ref();
        assert!(!ready.take(&mut slots, 10), "it has not been looked at");
        assert_eq!(slots, [7]);
        conn.taken();
        conn.wake_by_ref();
        ready.push(8);
        assert!(ready.take(&mut slots, 1), "one is left");
        assert_eq!(slots, [7, 7]);
    }
}
