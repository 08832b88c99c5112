//! An app inside a framework: it owns the connections, the hub decides and feeds the bodies.
//!
//! A crate that mounts turns its framework's requests into [`Ask`]s, and what [`Mount::decide`] says into its
//! responses. Rules of hosts, the fields `Connection` and `Date`, framing, and the options of sockets are the
//! framework's; routes, origins, hooks and bounds hold as they do on connections of the hub.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Answer, HeadLimits, Refusal, Request};
use sse_state::{Ending, Input, Pulled, Reply, SubscriberId};

use crate::app::{App, AppError};
use crate::authorize::{Asked, Decision, Grant, Hook};
use crate::decide::{self, Owner, Plan, PublishPlan, Refused, StreamPlan};
use crate::hooks::StreamEnd;
use crate::hub::Ended;
use crate::open::{self, Target};
use crate::shared::Shared;
use crate::signal::lock;
use crate::site::Site;
use crate::supervisor::Event;
use crate::task::{self, guarded};

/// An app that is mounted in a framework. Cheap to clone.
///
/// It does not keep the hub alive: when the last [`Hub`](crate::Hub) is dropped, open streams end at once and
/// new ones are refused.
#[derive(Clone)]
pub struct Mount(Arc<Mounted>);

struct Mounted {
    shared: Arc<Shared>,
    site: Site,
    /// Requests that wait for their hook.
    deciding: AtomicU32,
}

impl App {
    /// Builds the routes for a framework, and declares their topics.
    ///
    /// # Errors
    /// [`AppError`] lists everything that is wrong with it.
    pub fn mount(self) -> Result<Mount, AppError> {
        let (guard, site) = self.build()?;
        Ok(Mount(Arc::new(Mounted {
            shared: Arc::clone(&guard.shared),
            site,
            deciding: AtomicU32::new(0),
        })))
    }
}

/// A request of a framework, without its body.
#[derive(Debug)]
pub struct Ask {
    request: Result<Request, Refusal>,
    peer: Option<SocketAddr>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decided {
    /// This is said. To HEAD without its body.
    Answer(Answer),
    /// This is the head of a stream.
    Stream(Answer, Subscription),
    /// It publishes its body, once that has been read.
    Publish(Publish),
}

impl Mount {
    /// A request from its parts. `target` is path and query; `authority` is the host of its URI where the
    /// protocol carries it there. Framing is the framework's: `Content-Length` and its like are not looked at.
    pub fn ask<'a>(
        &self,
        method: &str,
        target: &str,
        authority: Option<&str>,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        peer: Option<SocketAddr>,
    ) -> Ask {
        let limits = HeadLimits {
            bytes: self.0.shared.settings.head_bytes,
            fields: self.0.shared.settings.head_fields,
        };
        let request = Request::from_parts(method, target, authority, fields, limits);
        Ask { request, peer }
    }

    /// Decides a request: by its route, its origin, and the hook of its route, which has the head's deadline
    /// and is dropped with the future.
    pub async fn decide(&self, ask: Ask) -> Decided {
        let shared = &self.0.shared;
        let request = match ask.request {
            Ok(request) => request,
            Err(why) => return self.say(None, Answer::refusal(&why)),
        };
        let (plan, request) = decide::plan(
            &shared.settings,
            &self.0.site,
            request,
            ask.peer,
            Owner::Framework,
        );
        match plan {
            Err(Refused::Because(why)) => self.say(request.as_ref(), Answer::refusal(&why)),
            Err(Refused::Broken) => self.say(request.as_ref(), open::broken()),
            Ok(Plan::Answer(answer)) => self.say(request.as_ref(), answer),
            Ok(Plan::Stream(plan)) => {
                let mark = shared.lock().engine.asked();
                match self
                    .authorize(plan.route.authorize.as_ref(), &plan.asked)
                    .await
                {
                    Ok(grant) => self.subscribe(&plan, &grant, mark),
                    Err(answer) => self.say(Some(plan.asked.request()), answer),
                }
            }
            Ok(Plan::Publish(plan)) => {
                match self
                    .authorize(plan.route.authorize.as_ref(), &plan.asked)
                    .await
                {
                    Ok(_) => Decided::Publish(Publish {
                        mount: self.clone(),
                        plan,
                    }),
                    Err(answer) => self.say(Some(plan.asked.request()), answer),
                }
            }
        }
    }

    /// Done when the hub has ended.
    pub fn ended(&self) -> Ended {
        Ended::new(&self.0.shared)
    }

    /// Whether the hub was told to shut down, as opposed to having been dropped.
    #[must_use]
    pub fn was_shut_down(&self) -> bool {
        self.0.shared.lock().asked_to_end
    }

    /// For the option `TCP_USER_TIMEOUT` of its sockets, as
    /// [`socket::set_options`](crate::socket::set_options) takes it.
    #[must_use]
    pub fn user_timeout(&self) -> Duration {
        self.0.shared.settings.user_timeout
    }

    /// Asks the hook, if there is one.
    async fn authorize(&self, hook: Option<&Hook>, asked: &Asked) -> Result<Grant, Answer> {
        let Some(hook) = hook else {
            return Ok(Grant::new());
        };
        let shared = &self.0.shared;
        let busy = || open::busy(shared, asked.request());
        let _place = Place::take(&self.0, shared.settings.deciding).ok_or_else(busy)?;
        let future = task::call(|| hook(asked.clone())).map_err(|_| open::broken())?;
        match self
            .within(shared.settings.head_timeout, decision(future))
            .await
        {
            Some(Some(Ok(grant))) => Ok(grant),
            Some(Some(Err(refuse))) => Err(refuse.into_answer().unwrap_or_else(open::broken)),
            Some(None) => Err(open::broken()),
            None => Err(busy()),
        }
    }

    fn subscribe(&self, plan: &StreamPlan, grant: &Grant, mark: u64) -> Decided {
        let shared = &self.0.shared;
        let request = plan.asked.request();
        if request.is_head() {
            return self.say(Some(request), Answer::stream());
        }
        let pull = Arc::new(Pull::default());
        match open::try_subscribe(shared, Target::Pull(&pull, mark), plan, grant) {
            Ok(id) => {
                shared.signal.raise();
                let head = Answer::stream().cors(&shared.settings.cors, request);
                let shared = Arc::clone(shared);
                Decided::Stream(
                    head,
                    Subscription {
                        shared,
                        id,
                        pull,
                        over: false,
                    },
                )
            }
            Err(error) => self.say(Some(request), open::no_stream(shared, request, error)),
        }
    }

    /// With what CORS adds on every answer of a route.
    fn say(&self, request: Option<&Request>, answer: Answer) -> Decided {
        Decided::Answer(self.said(request, answer))
    }

    fn said(&self, request: Option<&Request>, answer: Answer) -> Answer {
        let shared = &self.0.shared;
        shared.counters.answered(answer.status_code());
        crate::trace::answered(request.map(Request::path), answer.status_code());
        match request {
            Some(request) => answer.cors(&shared.settings.cors, request),
            None => answer,
        }
    }

    /// What a future gives within a time of the hub's clock.
    async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let shared = &self.0.shared;
        let mut timer = shared.runtime.timer();
        let at = shared.now() + time;
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timer.poll_at(at, cx).map(|()| None),
        })
        .await
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mount")
    }
}

/// What a hook decides; `None` if it panics.
async fn decision(future: impl Future<Output = Decision> + Send) -> Option<Decision> {
    let said = Arc::new(Mutex::new(None));
    let told = Arc::clone(&said);
    let (_cancel, guarded) = guarded(future, move |decision| *lock(&told) = decision.ok());
    guarded.await;
    lock(&said).take()
}

/// A place among the requests that wait for their hook.
struct Place<'a>(&'a AtomicU32);

impl<'a> Place<'a> {
    fn take(mounted: &'a Mounted, most: u32) -> Option<Place<'a>> {
        let place = Place(&mounted.deciding);
        // Given back when it is dropped, also if it was one too many.
        (place.0.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A publish whose body is still to be read.
pub struct Publish {
    mount: Mount,
    plan: PublishPlan,
}

impl Publish {
    /// Bytes that a body may have; a longer one need not be read to its end.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.mount.0.shared.settings.frame_bytes
    }

    /// How long reading it may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.mount.0.shared.settings.body_timeout
    }

    /// Publishes the body that has been read; `None` if it is too long.
    #[must_use = "it says whether it was published"]
    pub fn body(self, body: Option<&[u8]>) -> Answer {
        let Publish { mount, plan } = self;
        let answer = match body.filter(|body| body.len() <= mount.0.shared.settings.frame_bytes) {
            Some(body) => open::try_publish(&mount.0.shared, &plan, body).unwrap_or_else(|no| no),
            None => Answer::refusal(&Refusal::ContentTooLarge),
        };
        mount.said(Some(plan.asked.request()), answer)
    }

    /// The body did not come whole, or not in time: nothing is published.
    #[must_use = "it says that nothing was published"]
    pub fn cut_off(self) -> Answer {
        let answer = open::text_answer(408, "the body did not come\n");
        self.mount.said(Some(self.plan.asked.request()), answer)
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.asked.fmt(f)
    }
}

/// A stream whose bytes are pulled. Dropping it ends it at once: the peer is gone.
pub struct Subscription {
    shared: Arc<Shared>,
    id: SubscriberId,
    pull: Arc<Pull>,
    over: bool,
}

/// The stream was cut, for a stall or at the end of grace: what was sent is not its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream was cut")
    }
}

impl std::error::Error for Cut {}

impl Subscription {
    /// Its id, as the hooks know it.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        self.id
    }

    /// The next bytes: everything that is pending, up to one run. `None` is an end in order.
    pub fn poll_bytes(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if self.over {
            return Poll::Ready(None);
        }
        // First the waker, then the look, else a wake-up in between is lost.
        self.pull.listen(cx);
        let now = self.shared.now();
        let (pulled, has_work) = {
            let mut inner = self.shared.lock();
            let pulled = inner.engine.apply(now, Input::Pull { id: self.id });
            let has_work = inner.engine.poll_timeout().is_some_and(|at| at <= now);
            (pulled, has_work)
        };
        if has_work {
            self.shared.signal.raise();
        }
        match pulled {
            Ok(Reply::Pulled(Pulled::Run(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Ok(_) => Poll::Pending,
            Err(_) => {
                self.over = true;
                match self.pull.how() {
                    Some(Ending::Orderly) => Poll::Ready(None),
                    _ => Poll::Ready(Some(Err(Cut))),
                }
            }
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let id = self.id;
        let now = self.shared.now();
        let entry = {
            let mut inner = self.shared.lock();
            // Stale if it was closed meanwhile.
            let _ = inner.engine.apply(now, Input::PeerGone { id });
            let entry = inner.table.remove(id);
            if let Some(info) = entry.as_ref().and_then(|entry| entry.info.clone()) {
                inner.events.push_back(Event::Closed(info, StreamEnd::Gone));
            }
            entry
        };
        drop(entry);
        self.shared.signal.raise();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subscription").field(&self.id).finish()
    }
}

/// Between a subscription and the workers.
#[derive(Default)]
pub(crate) struct Pull(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    waker: Option<Waker>,
    end: Option<Ending>,
}

impl Pull {
    /// Who is to be woken: something can be pulled.
    pub(crate) fn waker(&self) -> Option<Waker> {
        lock(&self.0).waker.take()
    }

    /// It has ended; who is to be woken.
    pub(crate) fn ended(&self, how: Ending) -> Option<Waker> {
        let mut waiting = lock(&self.0);
        waiting.end.get_or_insert(how);
        waiting.waker.take()
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut waiting = lock(&self.0);
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn how(&self) -> Option<Ending> {
        lock(&self.0).end
    }
}
