//! What the hub needs of async-std.

use std::io;

use async_std::net::ToSocketAddrs;
use async_std::task;
use sse_state_hub::async_io::{Clock, TcpListener};
use sse_state_hub::{App, NoRuntime, Runtime, Serve, Task, Time, Timer};

/// The runtime of async-std: one for the process, with a thread per core or as many as
/// `ASYNC_STD_THREAD_COUNT` says.
#[derive(Clone, Copy, Debug)]
pub struct AsyncStd {
    clock: Clock,
}

impl Runtime for AsyncStd {
    /// Never fails: async-std starts its threads itself.
    fn enter() -> Result<AsyncStd, NoRuntime> {
        let clock = Clock::start();
        Ok(AsyncStd { clock })
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.clock.timer()
    }

    fn spawn(&self, task: Task) {
        drop(task::spawn(task));
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        drop(task::spawn_blocking(job));
    }

    fn workers(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// Listens on the first of these addresses that it can, with a backlog of 4096.
///
/// # Errors
/// That of the last address: a busy port, for instance.
pub async fn listen(addrs: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::listen(addrs.to_socket_addrs().await?)
}

/// Serves an app until its hub has ended; see [`sse_state_hub::serve`].
pub fn serve(listener: impl Into<TcpListener>, app: App) -> Serve<TcpListener> {
    sse_state_hub::serve(listener.into(), app)
}
