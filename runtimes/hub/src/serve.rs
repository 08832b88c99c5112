//! Serving an app: accepting its connections.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sse_state::http::{Head, HeadLimits};
use sse_state::{Input, Reply, ShutdownCause};

use crate::app::{App, AppError};
use crate::conn::{Conn, Opening, Phase};
use crate::hub::{Ended, Guard};
use crate::runtime::{Accepted, Listener, Stream, Timer};
use crate::shared::Shared;
use crate::signal::{self, ConnWaker};
use crate::site::Site;
use crate::socket;
use crate::table::{Entry, Way};
use crate::task::{Cancel, guarded};

/// Serves an app on a listener, until its hub has ended: by [`Hub::shutdown`](crate::Hub::shutdown) or by
/// [`with_graceful_shutdown`](Serve::with_graceful_shutdown). It does nothing until it is awaited; dropped
/// after that, it accepts no more, and streams that are open stay so while the hub lives.
pub fn serve<L: Listener>(listener: L, app: App) -> Serve<L> {
    Serve {
        listener,
        app,
        shutdown: None,
    }
}

/// An app that is going to be served.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Serve<L> {
    listener: L,
    app: App,
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<L> Serve<L> {
    /// Shuts the hub down, with its configured grace, when this future is done.
    pub fn with_graceful_shutdown<F>(mut self, signal: F) -> Serve<L>
    where
        F: Future + Send + 'static,
    {
        self.shutdown = Some(Box::pin(async move {
            let _ = signal.await;
        }));
        self
    }
}

impl<L: Listener> IntoFuture for Serve<L> {
    type Output = Result<(), ServeError>;
    type IntoFuture = Serving<L>;

    fn into_future(self) -> Serving<L> {
        Serving {
            begin: Some((self.listener, self.app)),
            serving: None,
            shutdown: self.shutdown,
        }
    }
}

impl<L> fmt::Debug for Serve<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.app.fmt(f)
    }
}

/// An app that is being served.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Serving<L> {
    begin: Option<(L, App)>,
    serving: Option<Begun>,
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Begun {
    /// Keeps the hub alive, and ends accepting when it is dropped.
    guard: Arc<Guard>,
    _acceptor: Cancel,
    ended: Ended,
}

impl<L: Listener> Serving<L> {
    fn begin(listener: L, app: App) -> Result<Begun, ServeError> {
        let (guard, site) = app.build().map_err(ServeError::App)?;
        let shared = &guard.shared;
        let acceptor = Acceptor {
            listener,
            shared: Arc::clone(shared),
            site: Arc::new(site),
            timer: shared.runtime.timer(),
            paused: None,
            evicting: 0,
            at_the_end: signal::Listener::default(),
        };
        let (cancel, task) = guarded(acceptor, |_| ());
        shared.runtime.spawn(Box::pin(task));
        Ok(Begun {
            ended: Ended::new(shared),
            guard,
            _acceptor: cancel,
        })
    }
}

impl<L: Listener> Future for Serving<L> {
    type Output = Result<(), ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some((listener, app)) = this.begin.take() {
            this.serving = Some(Serving::begin(listener, app)?);
        }
        let Some(begun) = &mut this.serving else {
            return Poll::Ready(Ok(()));
        };
        if let Some(signal) = &mut this.shutdown
            && signal.as_mut().poll(cx).is_ready()
        {
            this.shutdown = None;
            begun.guard.shared.shut_down(None, ShutdownCause::Asked);
        }
        ready!(Pin::new(&mut begun.ended).poll(cx));
        this.serving = None;
        Poll::Ready(Ok(()))
    }
}

impl<L> fmt::Debug for Serving<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

/// Why an app is not served.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// Its routes do not fit together.
    App(AppError),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::App(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

impl From<ServeError> for io::Error {
    fn from(error: ServeError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

/// Accepts, as a task, until a shutdown begins. No error ends it.
struct Acceptor<L> {
    /// Its port is free when the task ends.
    listener: L,
    shared: Arc<Shared>,
    site: Arc<Site>,
    timer: Box<dyn Timer>,
    /// Until when it waits: after an error, or for heads to be read.
    paused: Option<sse_state::Time>,
    /// Connections that may be accepted before the next pause though each evicts another.
    evicting: u32,
    /// Woken when a shutdown begins.
    at_the_end: signal::Listener,
}

impl<L: Listener> Future for Acceptor<L> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ACCEPTS {
            this.shared.end.listen(&mut this.at_the_end, cx);
            let openings = {
                let inner = this.shared.lock();
                if inner.closing {
                    return Poll::Ready(());
                }
                inner.engine.stats().openings
            };
            if let Some(until) = this.paused {
                ready!(this.timer.poll_at(until, cx));
                this.paused = None;
            }
            this.make_room(openings);
            if this.paused.is_some() {
                continue;
            }
            match ready!(this.listener.poll_accept(cx)) {
                Ok(accepted) => admit(&this.shared, &this.site, accepted),
                Err(error) => {
                    this.shared.counters.accept_error();
                    crate::trace::accept_failed(&error);
                    if !socket::is_of_one_connection(&error) {
                        this.paused = Some(this.shared.now() + socket::ACCEPT_PAUSE);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<L> Drop for Acceptor<L> {
    fn drop(&mut self) {
        self.shared.end.forget(&mut self.at_the_end);
    }
}

impl<L> Acceptor<L> {
    /// Pauses before connections are evicted: the heads of the oldest may have come, and only have to be
    /// read. The backlog of the kernel holds the others meanwhile. Who sends nothing is evicted all the
    /// same, but not before a full round of pauses.
    fn make_room(&mut self, openings: u32) {
        let most = self.shared.settings.openings;
        if openings < most {
            self.evicting = 0;
        } else if self.evicting == 0 {
            self.evicting = most.div_ceil(ROUND);
            self.paused = Some(self.shared.now() + LOOK);
        } else {
            self.evicting -= 1;
        }
    }
}

/// Makes a connection an entry of the table, and has it looked at.
fn admit<S: Stream>(shared: &Arc<Shared>, site: &Arc<Site>, accepted: Accepted<S>) {
    accepted.stream.set_options(shared.settings.user_timeout);
    let opening = Opening {
        head: Head::new(HeadLimits {
            bytes: shared.settings.head_bytes,
            fields: shared.settings.head_fields,
        }),
        told: 0,
        site: Arc::clone(site),
        peer: accepted.peer,
        local_is_loopback: accepted.local_is_loopback,
    };
    let phase = Mutex::new(Phase::Head(Box::new(opening)));
    let now = shared.now();
    let mut inner = shared.lock();
    let Ok(Reply::Id(id)) = inner.engine.apply(now, Input::Accept) else {
        // No ids left, or shutting down: nothing can be said without one.
        return drop(inner);
    };
    let conn: Arc<Conn> = Arc::new(Conn {
        waker: Arc::new(ConnWaker::new(Arc::clone(&shared.ready), id.slot())),
        phase,
        stream: accepted.stream,
    });
    let entry = Entry {
        id,
        way: Way::Conn(Arc::clone(&conn)),
        info: None,
    };
    let before = inner.table.insert(entry);
    drop(inner);
    // A slot is free before it is given out again.
    drop(before);
    conn.look();
}

/// Accepts of one poll, after which the runtime gets its turn.
const ACCEPTS: usize = 64;
/// Pauses in which as many connections are accepted as there may be openings: each lives at least
/// 16 × 5 ms.
const ROUND: u32 = 16;
/// Time in which heads that have come are read.
const LOOK: Duration = Duration::from_millis(5);
