//! Sockets, a clock and jobs in memory: what a loop runs on when it is checked.
//!
//! A [`Script`] looks like what a loop has from mio or epoll: [`wait`](Script::wait) says who is ready,
//! [`accept`](Script::accept) gives a [`Socket`] that is `Read` and `Write` and never blocks, and dropping a
//! socket closes it. Its clock moves only in `wait`. Behind it clients connect, send, read slowly, reset; other
//! threads hand over inputs; and one fault comes at a chosen step.
//!
//! The handle can be cloned: all are the same script.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use sse_state::{Ending, Input, SourceToken, Time};

mod acts;
mod fault;
mod world;

pub(crate) use acts::{Act, Client, FEED, LOAD, Manners, NEWS, WAIT, body};
pub use fault::Fault;
use world::JobIs;
pub(crate) use world::{Over, World};

/// Who is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// Somebody wants to connect: [`Script::accept`] until it would block.
    Accept,
    /// Another thread handed something over: [`Script::take`] until there is nothing more.
    Inputs,
    /// A socket.
    Socket {
        /// What it was registered with.
        token: u64,
        /// There may be bytes, or an end, to be read.
        readable: bool,
        /// It had blocked, and has room again.
        writable: bool,
    },
}

/// How often one is told that a socket is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readiness {
    /// Once, when it becomes so, as mio and `EPOLLET` do: read and accept until they would block.
    Edge,
    /// Again at every wait, as plain epoll, kqueue and poll do.
    Level,
}

/// The IO of a loop.
#[derive(Clone)]
pub struct Script(Rc<RefCell<World>>);

/// One accepted connection. Dropping it closes it.
pub struct Socket {
    world: Rc<RefCell<World>>,
    key: usize,
    open: bool,
}

/// A source or a poll that is being executed. Dropping it ends it.
pub struct Job {
    world: Rc<RefCell<World>>,
    key: (SourceToken, u64),
}

impl Script {
    pub(crate) fn new(world: World) -> Script {
        Script(Rc::new(RefCell::new(world)))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut World) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.0.borrow().clock
    }

    /// Waits for events, at most until this time.
    ///
    /// The run ends here (by unwinding, without a message) when a duty was found neglected.
    ///
    /// # Errors
    /// `Interrupted`, as every system call.
    pub fn wait(&self, until: Option<Time>) -> io::Result<Vec<Ready>> {
        let result = self.0.borrow_mut().wait(until);
        match result {
            Ok(result) => result,
            // Not a panic: nothing is printed.
            Err(Over) => std::panic::resume_unwind(Box::new(Over)),
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; what accept gives for a connection that is gone again; and what it gives
    /// when the process is out of descriptors.
    pub fn accept(&self) -> io::Result<Socket> {
        let key = self.0.borrow_mut().accept()?;
        Ok(Socket {
            world: Rc::clone(&self.0),
            key,
            open: true,
        })
    }

    /// Asks for the events of a socket, which will come with this token.
    pub fn register(&self, socket: &Socket, token: u64) {
        self.0.borrow_mut().register(socket.key, token);
    }

    /// The next input that another thread handed over.
    pub fn take(&self) -> Option<Input<'static>> {
        self.0.borrow_mut().take()
    }

    /// Executes what `StartSource` (number 0) and `Poll` ask for. What it gives comes out of
    /// [`take`](Self::take), as it would from a thread.
    pub fn start(&self, topic: &str, token: SourceToken, number: u64) -> Job {
        let key = (token, number);
        self.0.borrow_mut().start(topic, key);
        Job {
            world: Rc::clone(&self.0),
            key,
        }
    }
}

impl io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.borrow_mut().read(self.key, buffer)
    }
}

impl io::Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.world.borrow_mut().write(self.key, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// Shuts the write side: a FIN.
    ///
    /// # Errors
    /// `NotConnected` when the peer is gone.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.world.borrow_mut().shutdown_write(self.key)
    }

    /// Closes by a reset, as a linger of zero does.
    pub fn reset(mut self) {
        self.open = false;
        self.world.borrow_mut().close(self.key, Ending::Cut);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.open {
            self.world.borrow_mut().close(self.key, Ending::Orderly);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.jobs.insert(self.key, JobIs::Dropped);
    }
}
