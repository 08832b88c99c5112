//! A single-threaded executor: a seed picks which of the tasks that are ready runs next.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use sse_state_hub::Task;

use super::lock;

/// Tasks, and which of them are ready.
#[derive(Default)]
pub(crate) struct Exec {
    tasks: Mutex<Vec<Slot>>,
    ready: Arc<Mutex<Ready>>,
}

enum Slot {
    Free,
    Here(Task, Waker),
    /// It is being polled further up the stack; woken meanwhile or not.
    Out {
        woken: bool,
    },
}

#[derive(Default)]
struct Ready {
    list: Vec<u32>,
    is_listed: Vec<bool>,
}

impl Ready {
    fn push(&mut self, id: u32) {
        let at = id as usize;
        if self.is_listed.len() <= at {
            self.is_listed.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.is_listed[at], true) {
            self.list.push(id);
        }
    }
}

struct TaskWaker {
    id: u32,
    ready: Arc<Mutex<Ready>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        lock(&self.ready).push(self.id);
    }
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stepped {
    /// Nobody is ready.
    Idle,
    /// A task was polled.
    Polled,
    /// A task panicked, which none of the hub's may.
    Panicked,
}

impl Exec {
    pub(crate) fn spawn(&self, task: Task) -> u32 {
        let mut tasks = lock(&self.tasks);
        let free = tasks.iter().position(|slot| matches!(slot, Slot::Free));
        let at = free.unwrap_or_else(|| {
            tasks.push(Slot::Free);
            tasks.len() - 1
        });
        let id = at as u32;
        let waker = Waker::from(Arc::new(TaskWaker {
            id,
            ready: Arc::clone(&self.ready),
        }));
        tasks[at] = Slot::Here(task, waker);
        lock(&self.ready).push(id);
        id
    }

    /// Polls one of the tasks that are ready; which one, `pick` says.
    pub(crate) fn step(&self, pick: impl FnOnce(u32) -> u32) -> Stepped {
        let count = lock(&self.ready).list.len();
        if count == 0 {
            return Stepped::Idle;
        }
        let picked = if count == 1 {
            0
        } else {
            pick(count as u32) as usize
        };
        let id = {
            let mut ready = lock(&self.ready);
            let id = ready.list.swap_remove(picked);
            ready.is_listed[id as usize] = false;
            id
        };
        let at = id as usize;
        let (mut task, waker) = {
            let mut tasks = lock(&self.tasks);
            match std::mem::replace(&mut tasks[at], Slot::Out { woken: false }) {
                Slot::Here(task, waker) => (task, waker),
                Slot::Free => {
                    tasks[at] = Slot::Free;
                    return Stepped::Polled;
                }
                Slot::Out { .. } => {
                    tasks[at] = Slot::Out { woken: true };
                    return Stepped::Polled;
                }
            }
        };
        let mut cx = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut cx)));
        let (slot, stepped) = match polled {
            Ok(Poll::Pending) => (Slot::Here(task, waker), Stepped::Polled),
            Ok(Poll::Ready(())) => {
                drop(task);
                (Slot::Free, Stepped::Polled)
            }
            Err(_) => {
                std::mem::forget(task);
                (Slot::Free, Stepped::Panicked)
            }
        };
        let before = std::mem::replace(&mut lock(&self.tasks)[at], slot);
        if let Slot::Out { woken: true } = before {
            lock(&self.ready).push(id);
        }
        stepped
    }

    /// Drops a task, as a runtime does that aborts it.
    pub(crate) fn kill(&self, id: u32) {
        let task = std::mem::replace(&mut lock(&self.tasks)[id as usize], Slot::Free);
        drop(task);
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        let tasks = lock(&self.tasks);
        let lives = |slot: &&Slot| !matches!(slot, Slot::Free);
        tasks.iter().filter(lives).count()
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        drop(tasks);
    }
}
