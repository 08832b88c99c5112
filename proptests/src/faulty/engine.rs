//! The wrapper as an engine: faults in what is answered and shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Action, CloseReason, Control, Ending, Engine, Error, Frame, Input, Interest, Join, Name, Next,
    PollOutcome, Published, Pulled, Pumped, Reply, Run, Sink, SourceKind, SourceToken, Stats,
    SubscriberId, Time, Via,
};

use super::sink::Twisted;
use super::{Fault, Faulty, Later};

impl<E: Engine> Engine for Faulty<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        let back = now < self.inner.now();
        let jump = now.since(self.inner.now()) > Duration::from_secs(1 << 25);
        self.memory.jumped |= jump;
        self.memory.now = now;
        if back && self.fault == Fault::ChangesWhenTimeGoesBack {
            self.memory.count += 1;
        }
        if let Some(error) = self.refuses(&input) {
            return Err(error);
        }
        let told = Told::of(&input, &self.inner);
        let lost = match &input {
            Input::Publish { topic, .. } => self.loses(topic).then(|| Published {
                streams: self.inner.interest(topic).map_or(0, |i| i.streams),
                id: None,
                unchanged: false,
            }),
            _ => None,
        };
        let over = self.inner.is_terminated();
        let Some(input) = self.twist(input) else {
            return Ok(match told {
                Told::Reports => Reply::Stale(0),
                _ => Reply::Done,
            });
        };
        let result = match lost {
            // It says what a publish says, and keeps nothing.
            Some(published) => Ok(Reply::Published(published)),
            None => self.inner.apply(now, input),
        };
        self.remember(&told, &result);
        self.answer(told, result, over)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        for later in std::mem::take(&mut self.memory.first) {
            self.besides(later, sink);
        }
        let mut twisted = Twisted {
            sink,
            fault: self.fault,
            memory: &mut self.memory,
        };
        let pumped = self.inner.pump(budget, &mut twisted);
        for later in std::mem::take(&mut self.memory.last) {
            self.besides(later, sink);
        }
        self.forget_progress(sink);
        match (self.fault, pumped) {
            (Fault::PumpsInVain, Pumped::Idle) if self.memory.count < 16 => {
                self.memory.count += 1;
                Pumped::More
            }
            (Fault::LosesAWriteAfterAShortPump, Pumped::More) => {
                self.memory.count = 1;
                pumped
            }
            _ => pumped,
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.inner.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let timeout = self.inner.poll_timeout();
        match self.fault {
            Fault::SleepsForEver => None,
            Fault::NeverSleeps => Some(self.inner.now()),
            Fault::SleepsEverLess => timeout.map(|at| {
                let less = at.as_nanos().saturating_sub(self.memory.count * 1_000_000);
                Time::from_nanos(less).max(self.inner.now())
            }),
            Fault::ChangesWithTheHashKey if self.memory.odd => {
                timeout.map(|at| at + Duration::from_nanos(1))
            }
            _ => timeout,
        }
    }

    fn now(&self) -> Time {
        match self.fault {
            Fault::GoesBackInTime => self.memory.now,
            _ => self.inner.now(),
        }
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        let mut interest = self.inner.interest(topic)?;
        interest.kept &= self.fault != Fault::SaysThatItKeepsNothing;
        Some(interest)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.inner.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.inner.asked()
    }

    fn is_terminated(&self) -> bool {
        let idle = self.fault == Fault::EndsBeforeTheEnd && self.inner.stats().streams == 0;
        idle || self.inner.is_terminated()
    }

    fn stats(&self) -> Stats {
        let mut stats = self.inner.stats();
        match self.fault {
            Fault::MiscountsTopics => stats.topics += 1,
            Fault::MiscountsWhatIsHeld => stats.held_bytes += 1,
            _ => {}
        }
        stats
    }

    fn digest(&self) -> u64 {
        let memory = &self.memory;
        let own = match self.fault {
            Fault::ChangesOnRefusal | Fault::ChangesWhenTimeGoesBack => memory.count,
            Fault::ChangesWhenCloned => memory.clones.0,
            Fault::ChangesWithTheProcess => CALLS.load(Ordering::Relaxed),
            Fault::ChangesWhenLookedAt => {
                memory.looks.set(memory.looks.get() + 1);
                memory.looks.get()
            }
            _ => 0,
        };
        self.inner.digest() ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn check_invariants(&self) {
        self.inner.check_invariants();
    }
}

/// What must be known of an input after it was handed on.
enum Told {
    Publish(String, Bytes),
    Reports,
    Subscribe {
        via: Via,
        /// Its topics that nobody had, and those without a source.
        fresh: Vec<Name>,
        silent: Vec<Name>,
    },
    Poll(SourceToken, u64, bool),
    Pull(SubscriberId),
    Accept,
    Shutdown,
    Other,
}

impl Told {
    fn of<E: Engine>(input: &Input<'_>, inner: &E) -> Told {
        match input {
            Input::Publish { topic, frame, .. } => {
                Told::Publish(topic.to_string(), bytes_of(frame))
            }
            Input::Report(_) => Told::Reports,
            Input::Subscribe(sub) => {
                let names = |fits: &dyn Fn(&Join) -> bool| {
                    let joins = sub.topics.iter().filter(|join| fits(join));
                    joins.map(|join| join.topic.clone()).collect()
                };
                Told::Subscribe {
                    via: sub.via,
                    fresh: names(&|join| inner.interest(join.topic.as_str()).is_none()),
                    silent: names(&|join| {
                        let none = |options: &std::sync::Arc<sse_state::TopicOptions>| {
                            options.source == SourceKind::None
                        };
                        join.options.as_ref().is_some_and(none)
                    }),
                }
            }
            Input::PollResult {
                token,
                number,
                outcome,
                next,
            } => {
                let failed = matches!(outcome, PollOutcome::Failed(_));
                Told::Poll(*token, *number, *next == Next::Finished && !failed)
            }
            Input::Pull { id } => Told::Pull(*id),
            Input::Accept => Told::Accept,
            Input::Shutdown { .. } => Told::Shutdown,
            _ => Told::Other,
        }
    }
}

impl<E: Engine> Faulty<E> {
    /// What came of a call, for later.
    fn remember(&mut self, told: &Told, result: &Result<Reply, Error>) {
        let (fault, memory) = (self.fault, &mut self.memory);
        memory.clones.0 += u64::from(memory.clones.0 > 0);
        CALLS.fetch_add(1, Ordering::Relaxed);
        match (told, result) {
            (Told::Publish(topic, event), Ok(Reply::Published(published))) => {
                memory.events.insert(topic.clone(), event.clone());
                let reader = memory.reader.filter(|_| published.unchanged);
                if let Some(id) = reader.filter(|_| fault == Fault::DeliversTheUnchanged) {
                    memory.last.push(Later::Write(id, event.clone()));
                }
            }
            (Told::Subscribe { via, fresh, silent }, Ok(Reply::Id(id))) => {
                if fault == Fault::StartsWhereNothingIs {
                    let starts = silent.iter().map(|topic| Control::StartSource {
                        topic: topic.clone(),
                        token: SourceToken::from_parts(99, 1 << 20),
                    });
                    memory.last.extend(starts.map(Later::Control));
                }
                let greeted = fresh
                    .iter()
                    .filter_map(|topic| memory.events.get(topic.as_str()));
                if fault == Fault::GreetsFromAnEarlierLife && matches!(via, Via::Connection(_)) {
                    let writes = greeted.map(|event| Later::Write(*id, event.clone()));
                    memory.last.extend(writes);
                }
            }
            (Told::Poll(token, number, true), Ok(_)) if fault == Fault::PollsAfterTheEnd => {
                if let Some((topic, _)) = memory.runs.get(token) {
                    memory.first.push(Later::Control(Control::Poll {
                        topic: topic.clone(),
                        token: *token,
                        number: number + 1,
                    }));
                }
            }
            (Told::Pull(id), Ok(Reply::Pulled(Pulled::Nothing)))
                if fault == Fault::WakesForNothing =>
            {
                memory.last.push(Later::Control(Control::Wake { id: *id }));
            }
            (Told::Accept, Ok(Reply::Id(id))) => memory.newest = Some(*id),
            (Told::Shutdown, Ok(_)) => memory.shut = true,
            (_, Err(_)) if fault == Fault::LosesAPublishAfterARefusal => memory.count += 1,
            _ => {}
        }
        if fault == Fault::SleepsEverLess && matches!(told, Told::Other) {
            memory.count += 1;
        }
    }

    /// What the caller is told.
    fn answer(
        &mut self,
        told: Told,
        result: Result<Reply, Error>,
        over: bool,
    ) -> Result<Reply, Error> {
        match (self.fault, told, result) {
            (Fault::TakesDeadIds, _, Err(Error::Stale)) => Ok(Reply::Done),
            (Fault::PanicsOnADeadId, _, Err(Error::Stale)) => panic!("nobody has this id"),
            (Fault::TakesAfterShutdown, Told::Publish(..), Err(Error::ShuttingDown)) => {
                Ok(Reply::Published(Published {
                    streams: 0,
                    id: None,
                    unchanged: false,
                }))
            }
            (Fault::ForgetsThatAllIsOver, _, Err(Error::ShuttingDown)) if over => Err(Error::Stale),
            (Fault::ChangesOnRefusal, _, Err(error)) => {
                self.memory.count += 1;
                Err(error)
            }
            (Fault::MiscountsStaleReports, _, Ok(Reply::Stale(count))) => {
                Ok(Reply::Stale(count + 1))
            }
            (Fault::ReusesIds, Told::Accept, Ok(Reply::Id(id))) => {
                let slot = u64::from(id.slot());
                Ok(Reply::Id(SubscriberId::from_u64(slot)))
            }
            (Fault::RenamesStreams, Told::Subscribe { via, .. }, Ok(Reply::Id(id))) => match via {
                Via::Connection(_) => {
                    Ok(Reply::Id(SubscriberId::from_u64(id.as_u64() + (1 << 40))))
                }
                Via::Mounted { .. } => Ok(Reply::Id(id)),
            },
            (_, _, result) => result,
        }
    }

    fn besides(&mut self, later: Later, sink: &mut dyn Sink) {
        match later {
            Later::Write(id, bytes) => {
                sink.write(id, Run::of(&bytes));
            }
            Later::Control(control) => sink.control(control),
            Later::Stall(id) => {
                if self
                    .inner
                    .apply(self.inner.now(), Input::PeerGone { id })
                    .is_ok()
                {
                    sink.control(Control::Close {
                        id,
                        reason: CloseReason::Stalled,
                        ending: Ending::Cut,
                    });
                }
            }
        }
    }

    /// Closes whoever was first blocked a write timeout ago, whatever it has taken since.
    fn forget_progress(&mut self, sink: &mut dyn Sink) {
        if self.fault != Fault::ForgetsProgress {
            return;
        }
        let now = self.inner.now();
        let over = |since: &Time| now >= *since + self.memory.write_timeout;
        let due: Vec<SubscriberId> = self
            .memory
            .blocked
            .iter()
            .filter(|(_, since)| over(since))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.memory.blocked.remove(&id);
            self.besides(Later::Stall(id), sink);
        }
    }
}

fn bytes_of(frame: &Frame) -> Bytes {
    Bytes::from(frame.to_string())
}

/// What no engine may know: what others have done in this process.
static CALLS: AtomicU64 = AtomicU64::new(0);
