//! The two queues of io_uring, and the one place where memory is lent to the kernel.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::Bytes;
use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode};
use slab::Slab;
use sse_state::SubscriberId;

pub(crate) struct Ring {
    queues: IoUring,
    /// Those that the kernel has, by the number that it hands back.
    under_way: Slab<Op>,
    sends: usize,
}

/// An operation.
pub(crate) enum Op {
    /// Tells once that somebody connects.
    Accept,
    /// Tells once that a thread has handed something over.
    Inputs,
    /// Tells once that a connection can be read.
    Readable(SubscriberId),
    /// Tells once that a connection can be written.
    Writable(SubscriberId),
    /// Sends these bytes, as far as the socket takes them at once.
    Send(SubscriberId, Bytes),
}

/// An operation that has ended: the number that `start` gave it, and what the system call would return.
pub(crate) struct Done {
    pub(crate) number: usize,
    pub(crate) op: Op,
    pub(crate) result: i32,
}

impl Ring {
    pub(crate) fn new() -> io::Result<Ring> {
        let queues = IoUring::new(ENTRIES)?;
        if !queues.params().is_feature_ext_arg() {
            // It cannot wait with a time limit before Linux 5.11.
            return Err(io::Error::from_raw_os_error(libc::ENOSYS));
        }
        Ok(Ring {
            queues,
            under_way: Slab::new(),
            sends: 0,
        })
    }

    /// Queues an operation. It begins with the next `submit` or `wait`.
    pub(crate) fn start(&mut self, fd: &impl AsRawFd, op: Op) -> io::Result<usize> {
        let fd = Fd(fd.as_raw_fd());
        let place = self.under_way.vacant_entry();
        let number = place.key();
        let entry = match place.insert(op) {
            Op::Accept | Op::Inputs | Op::Readable(_) => poll(fd, libc::POLLIN),
            Op::Writable(_) => poll(fd, libc::POLLOUT),
            Op::Send(_, bytes) => {
                self.sends += 1;
                // A run is no longer than its frame or `run_bytes`, which have 32 bits.
                opcode::Send::new(fd, bytes.as_ptr(), bytes.len() as u32)
                    .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                    .build()
            }
        };
        self.push(&entry.user_data(number as u64))?;
        Ok(number)
    }

    /// Ends a poll before its time. It is done in any case, once, as any other.
    pub(crate) fn cancel(&mut self, number: usize) -> io::Result<()> {
        let entry = opcode::PollRemove::new(number as u64).build();
        self.push(&entry.user_data(NOBODY))
    }

    fn push(&mut self, entry: &io_uring::squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: Of all entries only a send names memory: bytes that are in `under_way` until the kernel says
            // that the send has ended, and in this process for ever if that is never heard (see `drop`). They are
            // immutable, and do not move when the `Bytes` does.
            #[expect(unsafe_code, reason = "the kernel reads memory after this call")]
            let pushed = unsafe { self.queues.submission().push(entry) };
            if pushed.is_ok() {
                return Ok(());
            }
            // The queue is full.
            self.queues.submit()?;
        }
    }

    /// Begins what is queued, all of it by one system call, and waits until one has ended, but not longer than
    /// this.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timespec = timeout.map(Timespec::from);
        let mut limit = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            limit = limit.timespec(timespec);
        }
        match self.queues.submitter().submit_with_args(1, &limit) {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Those that have ended.
    pub(crate) fn done(&mut self) -> Vec<Done> {
        let (under_way, sends) = (&mut self.under_way, &mut self.sends);
        let ended = self.queues.completion().filter_map(|entry| {
            let (number, result) = (entry.user_data() as usize, entry.result());
            let op = under_way.try_remove(number)?;
            *sends -= usize::from(matches!(op, Op::Send(..)));
            Some(Done { number, op, result })
        });
        ended.collect()
    }

    /// Sends that are queued or under way.
    pub(crate) fn sends(&self) -> usize {
        self.sends
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may go on reading for a moment.
        std::mem::forget(std::mem::take(&mut self.under_way));
    }
}

fn poll(fd: Fd, events: libc::c_short) -> io_uring::squeue::Entry {
    opcode::PollAdd::new(fd, events as u32).build()
}

/// The time limit has passed, a signal came, or ended operations have to be taken first.
fn is_passing(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    matches!(number, Some(libc::ETIME | libc::EINTR | libc::EBUSY))
}

/// What is pushed between two submits: more than a batch of sends.
const ENTRIES: u32 = 1024;
/// No operation has this number.
const NOBODY: u64 = u64::MAX;
