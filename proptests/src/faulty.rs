//! Engines that are wrong on purpose: a wrapper that breaks one duty of the engine inside. The suite
//! must find every one of them; that is how the rules themselves are tested.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Action, Answer, CloseHow, Config, ConfigError, Control, Engine, Error, EventId, Heartbeat,
    Input, Interest, Published, Pumped, Reply, Run, Sink, Slow, SourceToken, Start, Stats,
    SubscriberId, Time, TopicOptions,
};

use crate::suite::Factory;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each says itself what it does
pub enum Fault {
    ForgetsWritable,
    ForgetsEveryFifthReport,
    ForgetsTime,
    ForgetsShutdown,
    ForgetsPeers,
    ForgetsCloseKey,
    ForgetsExpiry,
    ForgetsAnswerHead,
    LosesPublishes,
    DrainsInsteadOfStopping,
    StopsInsteadOfDraining,
    ResumesAtNow,
    ResumesOneLate,
    BeginsAtTheOldest,
    LogsOneTooFew,
    LogsOneTooMany,
    SkipsForConflate,
    ClosesNobody,
    TellsNoGap,
    NeverDedupes,
    AlwaysDedupes,
    LingersNot,
    LingersLonger,
    BeatsLate,
    BeatsEarly,
    WritesTwice,
    SwallowsARun,
    FlipsAByte,
    ClaimsAllWasTaken,
    ClaimsNothingWasTaken,
    StartsTwice,
    ForgetsEverySecondStart,
    ForgetsStop,
    StopsEarly,
    ReusesTokens,
    PollsTwice,
    ClosesTwice,
    ForgetsFinish,
    TakesDeadIds,
    TakesAfterShutdown,
    ChangesOnRefusal,
    ChangesWhenLookedAt,
    GoesBackInTime,
    SleepsForEver,
    NeverSleeps,
    StallsTwiceAsLong,
    StallsHalfAsLong,
    PollsOneTooMany,
    AdmitsOneTooMany,
    AdmitsOneTooFew,
    RepeatsAfterAPartialWrite,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 51] = {
        use Fault::*;
        [
            ForgetsWritable,
            ForgetsEveryFifthReport,
            ForgetsTime,
            ForgetsShutdown,
            ForgetsPeers,
            ForgetsCloseKey,
            ForgetsExpiry,
            ForgetsAnswerHead,
            LosesPublishes,
            DrainsInsteadOfStopping,
            StopsInsteadOfDraining,
            ResumesAtNow,
            ResumesOneLate,
            BeginsAtTheOldest,
            LogsOneTooFew,
            LogsOneTooMany,
            SkipsForConflate,
            ClosesNobody,
            TellsNoGap,
            NeverDedupes,
            AlwaysDedupes,
            LingersNot,
            LingersLonger,
            BeatsLate,
            BeatsEarly,
            WritesTwice,
            SwallowsARun,
            FlipsAByte,
            ClaimsAllWasTaken,
            ClaimsNothingWasTaken,
            StartsTwice,
            ForgetsEverySecondStart,
            ForgetsStop,
            StopsEarly,
            ReusesTokens,
            PollsTwice,
            ClosesTwice,
            ForgetsFinish,
            TakesDeadIds,
            TakesAfterShutdown,
            ChangesOnRefusal,
            ChangesWhenLookedAt,
            GoesBackInTime,
            SleepsForEver,
            NeverSleeps,
            StallsTwiceAsLong,
            StallsHalfAsLong,
            PollsOneTooMany,
            AdmitsOneTooMany,
            AdmitsOneTooFew,
            RepeatsAfterAPartialWrite,
        ]
    };
}

/// Makes faulty engines of whatever the factory makes.
#[derive(Clone, Copy, Debug)]
pub struct FaultyFactory<F>(pub F, pub Fault);

impl<F: Factory> Factory for FaultyFactory<F> {
    type Engine = Faulty<F::Engine>;

    fn make(&self, config: Config) -> Result<Faulty<F::Engine>, ConfigError> {
        let fault = self.1;
        let config = match fault {
            Fault::StallsTwiceAsLong => Config {
                write_timeout: config.write_timeout * 2,
                ..config
            },
            Fault::StallsHalfAsLong => Config {
                write_timeout: config.write_timeout / 2,
                ..config
            },
            Fault::PollsOneTooMany => Config {
                polls: config.polls + 1,
                ..config
            },
            Fault::AdmitsOneTooMany => Config {
                subscribers: config.subscribers + 1,
                ..config
            },
            Fault::AdmitsOneTooFew => Config {
                subscribers: config.subscribers - 1,
                ..config
            },
            _ => config,
        };
        Ok(Faulty {
            inner: self.0.make(config)?,
            fault,
            count: 0,
            looks: Cell::new(0),
            now: Time::ZERO,
            early: None,
        })
    }
}

/// An engine with one fault.
#[derive(Clone, Debug)]
pub struct Faulty<E> {
    inner: E,
    fault: Fault,
    /// Whatever the fault counts.
    count: u64,
    looks: Cell<u64>,
    now: Time,
    early: Option<(sse_state::Name, SourceToken)>,
}

impl<E: Engine> Faulty<E> {
    /// The input that reaches the engine; `None` if none does.
    fn twist<'a>(&mut self, input: Input<'a>) -> Option<Input<'a>> {
        let fault = self.fault;
        Some(match input {
            Input::Writable { .. } if fault == Fault::ForgetsWritable => return None,
            Input::Timeout if fault == Fault::ForgetsTime => return None,
            Input::Shutdown { .. } if fault == Fault::ForgetsShutdown => return None,
            Input::PeerGone { .. } if fault == Fault::ForgetsPeers => return None,
            Input::CloseKey { .. } if fault == Fault::ForgetsCloseKey => return None,
            Input::Report(_) if fault == Fault::ForgetsEveryFifthReport => {
                self.count += 1;
                if self.count.is_multiple_of(5) {
                    return None;
                }
                input
            }
            Input::Close { id, how } => Input::Close {
                id,
                how: match (fault, how) {
                    (Fault::DrainsInsteadOfStopping, CloseHow::Stop) => CloseHow::Drain,
                    (Fault::StopsInsteadOfDraining, CloseHow::Drain) => CloseHow::Stop,
                    (_, how) => how,
                },
            },
            Input::Declare { topic, options } => Input::Declare {
                topic,
                options: self.options(&options),
            },
            Input::Subscribe(mut sub) => {
                for join in &mut sub.topics {
                    join.options = join.options.as_ref().map(|options| self.options(options));
                }
                match fault {
                    Fault::ForgetsExpiry => sub.expires = None,
                    Fault::ForgetsAnswerHead => sub.head = Bytes::new(),
                    Fault::BeatsLate => sub.heartbeat = later(sub.heartbeat),
                    _ => {}
                }
                sub.start = self.start(sub.start);
                Input::Subscribe(sub)
            }
            other => other,
        })
    }

    fn options(&self, options: &TopicOptions) -> Arc<TopicOptions> {
        let mut options = options.clone();
        match self.fault {
            Fault::LogsOneTooFew => options.log_frames = (options.log_frames - 1).max(1),
            Fault::LogsOneTooMany => options.log_frames += 1,
            Fault::SkipsForConflate if options.slow == Slow::Conflate => options.slow = Slow::Skip,
            Fault::ClosesNobody if options.slow == Slow::Close => options.slow = Slow::Skip,
            Fault::TellsNoGap => options.notice = Some(false),
            Fault::NeverDedupes => options.dedupe = false,
            Fault::AlwaysDedupes => options.dedupe = true,
            Fault::LingersNot => options.linger = Duration::ZERO,
            Fault::LingersLonger => options.linger += Duration::from_secs(2),
            _ => {}
        }
        Arc::new(options)
    }

    fn start(&self, start: Start) -> Start {
        match (self.fault, start) {
            (Fault::ResumesAtNow, Start::After(_)) => Start::Now,
            (Fault::BeginsAtTheOldest, Start::Newest) => Start::Oldest,
            (Fault::ResumesOneLate, Start::After(id)) => match EventId::parse(&id) {
                Some(EventId { epoch, seq }) if seq < 1 << 60 => {
                    let seq = seq + 1;
                    Start::After(Bytes::from(EventId { epoch, seq }.to_string()))
                }
                _ => Start::After(id),
            },
            (_, start) => start,
        }
    }
}

impl<E: Engine> Engine for Faulty<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        self.now = now;
        let publishes = matches!(input, Input::Publish { .. });
        let loses = publishes && self.fault == Fault::LosesPublishes;
        let reports = matches!(input, Input::Report(_));
        let Some(input) = self.twist(input) else {
            return Ok(if reports {
                Reply::Stale(0)
            } else {
                Reply::Done
            });
        };
        // It says what a publish says, and keeps nothing.
        let result = if loses && self.inner.poll_timeout().is_some() {
            let streams = match &input {
                Input::Publish { topic, .. } => self.inner.interest(topic).map_or(0, |i| i.streams),
                _ => 0,
            };
            Ok(Reply::Published(Published {
                streams,
                id: None,
                unchanged: false,
            }))
        } else {
            self.inner.apply(now, input)
        };
        match (self.fault, result) {
            (Fault::TakesDeadIds, Err(Error::Stale)) => Ok(Reply::Done),
            (Fault::TakesAfterShutdown, Err(Error::ShuttingDown)) if publishes => {
                Ok(Reply::Published(Published {
                    streams: 0,
                    id: None,
                    unchanged: false,
                }))
            }
            (Fault::ChangesOnRefusal, Err(error)) => {
                self.count += 1;
                Err(error)
            }
            (_, result) => result,
        }
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        let mut twisted = Twisted {
            sink,
            fault: self.fault,
            count: &mut self.count,
            early: &mut self.early,
        };
        let pumped = self.inner.pump(budget, &mut twisted);
        if let Some((topic, token)) = self.early.take() {
            sink.control(Control::StopSource {
                topic,
                token,
                reason: sse_state::StopReason::NoSubscribers,
            });
        }
        pumped
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.inner.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        match self.fault {
            Fault::SleepsForEver => None,
            Fault::NeverSleeps => Some(self.inner.now()),
            _ => self.inner.poll_timeout(),
        }
    }

    fn now(&self) -> Time {
        match self.fault {
            Fault::GoesBackInTime => self.now,
            _ => self.inner.now(),
        }
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.inner.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.inner.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.inner.asked()
    }

    fn is_terminated(&self) -> bool {
        self.inner.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn digest(&self) -> u64 {
        let own = match self.fault {
            Fault::ChangesOnRefusal => self.count,
            Fault::ChangesWhenLookedAt => {
                self.looks.set(self.looks.get() + 1);
                self.looks.get()
            }
            _ => 0,
        };
        self.inner.digest() ^ own.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Twice the silence.
fn later(heartbeat: Heartbeat) -> Heartbeat {
    match heartbeat {
        Heartbeat::Comment(every) => Heartbeat::Comment(every * 2),
        Heartbeat::Event(every) => Heartbeat::Event(every * 2),
        Heartbeat::Default | Heartbeat::Off => Heartbeat::Off,
    }
}

/// Stands between the engine and the sockets.
struct Twisted<'a> {
    sink: &'a mut dyn Sink,
    fault: Fault,
    count: &'a mut u64,
    early: &'a mut Option<(sse_state::Name, SourceToken)>,
}

impl Twisted<'_> {
    /// Every so many calls.
    fn every(&mut self, n: u64) -> bool {
        *self.count += 1;
        (*self.count).is_multiple_of(n)
    }
}

impl Sink for Twisted<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let fault = self.fault;
        match fault {
            Fault::WritesTwice if self.every(3) => {
                self.sink.write(id, run);
            }
            Fault::SwallowsARun if self.every(4) => return Answer::All,
            Fault::FlipsAByte if self.every(5) => {
                let mut bytes = run.as_slice().to_vec();
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                let bytes = Bytes::from(bytes);
                return self.sink.write(id, Run::of(&bytes));
            }
            _ => {}
        }
        let answer = self.sink.write(id, run);
        match (self.fault, answer) {
            (Fault::BeatsEarly, Answer::All) if self.every(3) => {
                self.sink.write(id, Run::of(&Bytes::from_static(b":\n\n")))
            }
            (Fault::ClaimsAllWasTaken, Answer::Blocked(_)) => Answer::All,
            (Fault::ClaimsNothingWasTaken, Answer::Blocked(_)) => Answer::Blocked(0),
            (Fault::RepeatsAfterAPartialWrite, Answer::Blocked(bytes)) if bytes > 1 => {
                Answer::Blocked(bytes - 1)
            }
            (_, answer) => answer,
        }
    }

    fn control(&mut self, control: Control) {
        let token = SourceToken::from_parts(0, 1);
        let (times, control) = match (self.fault, control) {
            (Fault::StartsTwice, control @ Control::StartSource { .. })
            | (Fault::PollsTwice, control @ Control::Poll { .. })
            | (Fault::ClosesTwice, control @ Control::Close { .. }) => (2, control),
            (Fault::ForgetsStop, control @ Control::StopSource { .. })
            | (Fault::ForgetsFinish, control @ Control::Finish { .. }) => (0, control),
            (Fault::ForgetsEverySecondStart, control @ Control::StartSource { .. }) => {
                (u32::from(!self.every(2)), control)
            }
            (Fault::ReusesTokens, Control::StartSource { topic, .. }) => {
                (1, Control::StartSource { topic, token })
            }
            (Fault::ReusesTokens, Control::StopSource { topic, reason, .. }) => (
                1,
                Control::StopSource {
                    topic,
                    token,
                    reason,
                },
            ),
            (Fault::StopsEarly, Control::StartSource { topic, token }) => {
                *self.early = Some((topic.clone(), token));
                (1, Control::StartSource { topic, token })
            }
            (_, control) => (1, control),
        };
        for _ in 0..times {
            self.sink.control(control.clone());
        }
    }
}
