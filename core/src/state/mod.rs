//! The machine.

use alloc::sync::Arc;
use bytes::Bytes;
use core::time::Duration;

use crate::action::{Action, Pumped, Sink};
use crate::config::{Config, ConfigError};
use crate::engine::Engine;
use crate::error::Error;
use crate::frame::Frame;
use crate::id::{SourceToken, SubscriberId};
use crate::input::{
    CloseHow, Input, Interest, Next, PollOutcome, Published, Pulled, Reply, Report, Room,
    ShutdownCause, SourceEnd, Subscribe,
};
use crate::name::Name;
use crate::options::TopicOptions;
use crate::stats::Stats;
use crate::time::Time;

/// The machine.
#[derive(Clone)]
pub struct SseState {}

#[allow(missing_docs, clippy::missing_errors_doc, unused_variables)]
impl SseState {
    pub fn new(config: Config) -> Result<SseState, ConfigError> { todo!() }
    pub fn declare(&mut self, now: Time, topic: &Name, options: Arc<TopicOptions>) -> Result<(), Error> { todo!() }
    pub fn accept(&mut self, now: Time) -> Result<SubscriberId, Error> { todo!() }
    pub fn head_held(&mut self, now: Time, id: SubscriberId, bytes: u32) -> Result<(), Error> { todo!() }
    pub fn head_done(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> { todo!() }
    pub fn body(&mut self, now: Time, id: SubscriberId, bytes: u32) -> Result<(), Error> { todo!() }
    pub fn answer(&mut self, now: Time, id: SubscriberId, bytes: Bytes) -> Result<(), Error> { todo!() }
    pub fn subscribe(&mut self, now: Time, subscribe: &Subscribe) -> Result<SubscriberId, Error> { todo!() }
    pub fn publish(&mut self, now: Time, topic: &str, frame: Frame, room: Room) -> Result<Published, Error> { todo!() }
    pub fn close(&mut self, now: Time, id: SubscriberId, how: CloseHow) -> Result<(), Error> { todo!() }
    pub fn close_key(&mut self, now: Time, key: &Name) -> Result<u32, Error> { todo!() }
    pub fn peer_gone(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> { todo!() }
    pub fn stop_source(&mut self, now: Time, topic: &str) -> Result<(), Error> { todo!() }
    pub fn poll_result(&mut self, now: Time, token: SourceToken, number: u64, outcome: PollOutcome, next: Next) -> Result<Published, Error> { todo!() }
    pub fn feed(&mut self, now: Time, token: SourceToken, frame: Frame, room: Room) -> Result<Published, Error> { todo!() }
    pub fn source_ended(&mut self, now: Time, token: SourceToken, end: SourceEnd) -> Result<(), Error> { todo!() }
    pub fn report(&mut self, now: Time, reports: &[Report]) -> u32 { todo!() }
    pub fn writable(&mut self, now: Time, id: SubscriberId) -> Result<(), Error> { todo!() }
    pub fn pull(&mut self, now: Time, id: SubscriberId) -> Result<Pulled, Error> { todo!() }
    pub fn handle_timeout(&mut self, now: Time) { todo!() }
    pub fn shutdown(&mut self, now: Time, grace: Option<Duration>, cause: ShutdownCause) { todo!() }
    pub fn pump(&mut self, budget: u32, sink: &mut (impl Sink + ?Sized)) -> Pumped { todo!() }
    pub fn poll_action(&mut self) -> Option<Action> { todo!() }
    pub fn poll_timeout(&self) -> Option<Time> { todo!() }
    pub fn config(&self) -> &Config { todo!() }
    pub fn now(&self) -> Time { todo!() }
    pub fn interest(&self, topic: &str) -> Option<Interest> { todo!() }
    pub fn is_live(&self, id: SubscriberId) -> bool { todo!() }
    pub fn asked(&self) -> u64 { todo!() }
    pub fn is_terminated(&self) -> bool { todo!() }
    pub fn stats(&self) -> Stats { todo!() }
    #[doc(hidden)]
    pub fn digest(&self) -> u64 { todo!() }
    #[doc(hidden)]
    pub fn check_invariants(&self) { todo!() }

    /// Feeds one input; calls the method that it names.
    ///
    /// # Errors
    /// As that method.
    pub fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        use Reply::{Closing, Done, Id};
        match input {
            Input::Declare { topic, options } => self.declare(now, &topic, options).map(|()| Done),
            Input::Accept => self.accept(now).map(Id),
            Input::HeadHeld { id, bytes } => self.head_held(now, id, bytes).map(|()| Done),
            Input::HeadDone { id } => self.head_done(now, id).map(|()| Done),
            Input::Body { id, bytes } => self.body(now, id, bytes).map(|()| Done),
            Input::Answer { id, bytes } => self.answer(now, id, bytes).map(|()| Done),
            Input::Subscribe(subscribe) => self.subscribe(now, &subscribe).map(Id),
            Input::Publish { topic, frame, room } => self
                .publish(now, &topic, frame, room)
                .map(Reply::Published),
            Input::Close { id, how } => self.close(now, id, how).map(|()| Done),
            Input::CloseKey { key } => self.close_key(now, &key).map(Closing),
            Input::PeerGone { id } => self.peer_gone(now, id).map(|()| Done),
            Input::StopSource { topic } => self.stop_source(now, &topic).map(|()| Done),
            Input::PollResult { token, number, outcome, next } => self
                .poll_result(now, token, number, outcome, next)
                .map(Reply::Published),
            Input::Feed { token, frame, room } => {
                self.feed(now, token, frame, room).map(Reply::Published)
            }
            Input::SourceEnded { token, reason } => {
                self.source_ended(now, token, reason).map(|()| Done)
            }
            Input::Report(reports) => Ok(Reply::Stale(self.report(now, &reports))),
            Input::Writable { id } => self.writable(now, id).map(|()| Done),
            Input::Pull { id } => self.pull(now, id).map(Reply::Pulled),
            Input::Timeout => {
                self.handle_timeout(now);
                Ok(Done)
            }
            Input::Shutdown { grace, cause } => {
                self.shutdown(now, grace, cause);
                Ok(Done)
            }
        }
    }
}

impl Engine for SseState {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        SseState::apply(self, now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        SseState::pump(self, budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        SseState::poll_action(self)
    }

    fn poll_timeout(&self) -> Option<Time> {
        SseState::poll_timeout(self)
    }

    fn now(&self) -> Time {
        SseState::now(self)
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        SseState::interest(self, topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        SseState::is_live(self, id)
    }

    fn asked(&self) -> u64 {
        SseState::asked(self)
    }

    fn is_terminated(&self) -> bool {
        SseState::is_terminated(self)
    }

    fn stats(&self) -> Stats {
        SseState::stats(self)
    }

    fn digest(&self) -> u64 {
        SseState::digest(self)
    }
}
