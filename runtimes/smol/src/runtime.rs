//! What the hub needs of smol.

use std::future::pending;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use async_executor::Executor;
use sse_state_hub::async_io::{Clock, TcpListener};
use sse_state_hub::{App, NoRuntime, Runtime, Serve, Task, Time, Timer};

/// An executor of smol that a hub runs on.
#[derive(Clone, Debug)]
pub struct Smol {
    executor: Arc<Executor<'static>>,
    workers: usize,
    clock: Clock,
}

impl Smol {
    /// An executor that the caller runs, on so many threads (at least one). A hub on it does something only
    /// while it is run.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sse_state_smol::{Hub, Smol};
    ///
    /// let executor = Arc::new(smol::Executor::new());
    /// let hub = Hub::builder().build_on(Smol::on(Arc::clone(&executor), 1))?;
    /// smol::block_on(executor.run(async { hub.shutdown(None).await }));
    /// # Ok::<(), sse_state_smol::BuildError>(())
    /// ```
    pub fn on(executor: Arc<Executor<'static>>, threads: usize) -> Smol {
        Smol {
            executor,
            workers: threads.max(1),
            clock: Clock::start(),
        }
    }

    /// One executor for the whole process, with a thread per core, which is started by the first call. (The
    /// global executor of smol has one thread, or as many as `SMOL_THREADS` says.)
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn threads() -> io::Result<Smol> {
        static STARTED: Mutex<Option<Arc<Executor<'static>>>> = Mutex::new(None);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        let executor = match &*started {
            Some(executor) => Arc::clone(executor),
            None => {
                let executor = Arc::new(Executor::new());
                for core in 0..cores {
                    let executor = Arc::clone(&executor);
                    // What a user writes may panic; the hub catches it, so no thread ends.
                    thread::Builder::new()
                        .name(format!("sse-state-smol-{core}"))
                        .spawn(move || async_io::block_on(executor.run(pending::<()>())))?;
                }
                started.insert(executor).clone()
            }
        };
        Ok(Smol::on(executor, cores))
    }
}

impl Runtime for Smol {
    /// [`Smol::threads`]: smol has no runtime that one could be inside of.
    fn enter() -> Result<Smol, NoRuntime> {
        Smol::threads().map_err(|_| NoRuntime)
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.clock.timer()
    }

    fn spawn(&self, task: Task) {
        self.executor.spawn(task).detach();
    }

    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>) {
        blocking::unblock(job).detach();
    }

    fn workers(&self) -> usize {
        self.workers
    }
}

/// Listens on the first of these addresses that it can, with a backlog of 4096.
///
/// # Errors
/// That of the last address: a busy port, for instance.
pub async fn listen<A>(addrs: A) -> io::Result<TcpListener>
where
    A: ToSocketAddrs + Send + 'static,
    A::Iter: Send,
{
    TcpListener::listen(blocking::unblock(move || addrs.to_socket_addrs()).await?)
}

/// Serves an app until its hub has ended; see [`sse_state_hub::serve`].
pub fn serve(listener: impl Into<TcpListener>, app: App) -> Serve<TcpListener> {
    sse_state_hub::serve(listener.into(), app)
}
