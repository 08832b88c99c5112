//! Faults in what an engine is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    CloseHow, Engine, Error, EventId, Heartbeat, Input, Next, PollOutcome, Room, Slow, Start,
    TopicOptions,
};

use super::{Fault, Faulty, Later};

impl<E: Engine> Faulty<E> {
    /// The input that reaches the engine; `None` if none does.
    pub(super) fn twist<'a>(&mut self, input: Input<'a>) -> Option<Input<'a>> {
        let fault = self.fault;
        Some(match input {
            Input::Writable { .. } if fault == Fault::ForgetsWritable => return None,
            Input::Timeout if fault == Fault::ForgetsTime => return None,
            Input::Shutdown { .. } if fault == Fault::ForgetsShutdown => return None,
            Input::PeerGone { .. } if fault == Fault::ForgetsPeers => return None,
            Input::CloseKey { .. } if fault == Fault::ForgetsCloseKey => return None,
            Input::Report(_) if fault == Fault::ForgetsEveryFifthReport && self.memory.every(5) => {
                return None;
            }
            Input::Close { id, how } => Input::Close {
                id,
                how: match (fault, how) {
                    (Fault::DrainsInsteadOfStopping, CloseHow::Stop) => CloseHow::Drain,
                    (Fault::StopsInsteadOfDraining, CloseHow::Drain) => CloseHow::Stop,
                    (_, how) => how,
                },
            },
            Input::Shutdown { .. }
                if fault == Fault::ShutsDownHarderTheSecondTime && self.memory.shut =>
            {
                let reader = self.memory.reader.map(Later::Stall);
                self.memory.last.extend(reader);
                input
            }
            Input::PollResult {
                token,
                number,
                outcome: PollOutcome::Failed(_),
                ..
            } if fault == Fault::EndsAfterAFailedPoll => Input::PollResult {
                token,
                number,
                outcome: PollOutcome::Unchanged,
                next: Next::Finished,
            },
            Input::Publish { topic, frame, .. } if fault == Fault::WaitsNever => Input::Publish {
                topic,
                frame,
                room: Room::Evict,
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

    /// What is refused without reaching the engine.
    pub(super) fn refuses(&mut self, input: &Input<'_>) -> Option<Error> {
        let memory = &mut self.memory;
        match (self.fault, input) {
            (Fault::TakesTheLivingForDead, Input::Writable { .. } | Input::Close { .. }) => {
                Some(Error::Stale)
            }
            (
                Fault::WaitsForNobody,
                Input::Publish {
                    room: Room::Wait, ..
                },
            ) => Some(Error::Wait),
            (Fault::RefusesWithoutAShutdown, Input::Accept) if memory.every(3) => {
                Some(Error::ShuttingDown)
            }
            (
                Fault::RefusesTheLivingAtShutdown,
                Input::Writable { .. } | Input::Pull { .. } | Input::PeerGone { .. },
            ) if memory.shut => Some(Error::ShuttingDown),
            _ => None,
        }
    }

    /// A publish that is answered and kept from the engine.
    pub(super) fn loses(&mut self, topic: &str) -> bool {
        let memory = &mut self.memory;
        match self.fault {
            Fault::LosesPublishes => self.inner.poll_timeout().is_some(),
            Fault::LosesEveryFourthPublish => memory.every(4),
            Fault::LosesPublishesWhileOneIsBlocked => !memory.blocked.is_empty(),
            Fault::LosesPublishesLate => memory.now.as_nanos() > 10_000_000_000_000,
            Fault::LosesPublishesToOddNames => !topic.is_ascii(),
            Fault::LosesAPublishAfterARefusal => std::mem::take(&mut memory.count) > 3,
            _ => false,
        }
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
