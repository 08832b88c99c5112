//! Sources: what feeds a topic while somebody listens.

use super::SseState;
use super::timers::Timer;
use crate::action::StopReason;
use crate::error::Error;
use crate::frame::Frame;
use crate::id::SourceToken;
use crate::input::{Next, PollOutcome, Published, Room, SourceEnd};
use crate::options::SourceKind;
use crate::time::{Time, nanos};
use crate::topic::{Poll, Running, Source, Topic};

impl SseState {
    /// The result of a poll. The value is appended first; then the next poll is set to the next tick
    /// of the fixed phase, or the source ends. A failed poll neither stops nor restarts the source.
    ///
    /// # Errors
    /// [`Error::Stale`] unless the token is the running one and the number that of the poll in flight;
    /// what [`publish`](Self::publish) refuses (the poll is then still in flight);
    /// [`Error::ShuttingDown`].
    pub fn poll_result(
        &mut self,
        now: Time,
        token: SourceToken,
        number: u64,
        outcome: PollOutcome,
        next: Next,
    ) -> Result<Published, Error> {
        self.open_for_business()?;
        let running = self.running(token)?;
        let Poll::InFlight(_) = running.poll else {
            return self.refuse(Error::Stale);
        };
        if number != running.polls {
            return self.refuse(Error::Stale);
        }
        let failed = matches!(outcome, PollOutcome::Failed(_));
        let published = match outcome {
            PollOutcome::Frame(frame) | PollOutcome::Failed(Some(frame)) => {
                self.append(now, token.slot, frame, Room::Evict)?
            }
            PollOutcome::Unchanged | PollOutcome::Failed(None) => {
                self.clock(now);
                Published {
                    streams: self.topics[token.slot as usize].listeners(),
                    id: None,
                    unchanged: matches!(outcome, PollOutcome::Unchanged),
                }
            }
        };
        self.stats.polls_failed += u64::from(failed);
        self.next_poll(token.slot, self.now);
        if next == Next::Finished && !failed {
            self.end_source(token.slot, StopReason::Condition);
        }
        Ok(published)
    }

    /// An event of the source itself; as [`publish`](Self::publish), to the topic that it feeds.
    ///
    /// # Errors
    /// [`Error::Stale`] unless the token is the running one; then as `publish`.
    pub fn feed(
        &mut self,
        now: Time,
        token: SourceToken,
        frame: Frame,
        room: Room,
    ) -> Result<Published, Error> {
        self.open_for_business()?;
        self.running(token)?;
        self.append(now, token.slot, frame, room)
    }

    /// The source ended by itself. It is stopped with that reason, and not started again while
    /// subscribers remain.
    ///
    /// # Errors
    /// [`Error::Stale`] unless the token is the running one; [`Error::ShuttingDown`].
    pub fn source_ended(
        &mut self,
        now: Time,
        token: SourceToken,
        end: SourceEnd,
    ) -> Result<(), Error> {
        self.open_for_business()?;
        self.running(token)?;
        self.clock(now);
        self.end_source(token.slot, end.into());
        Ok(())
    }

    /// Stops the source of a topic. It is not started again while subscribers remain.
    ///
    /// # Errors
    /// [`Error::Absent`] if there is no such topic or its source does not run;
    /// [`Error::ShuttingDown`].
    pub fn stop_source(&mut self, now: Time, topic: &str) -> Result<(), Error> {
        self.open_for_business()?;
        let slot = self.topic(topic).ok_or(Error::Absent)?;
        match self.topics[slot as usize].source {
            Source::Running(Running { end: None, .. }) => {
                self.clock(now);
                self.end_source(slot, StopReason::Asked);
            }
            Source::StartDue => {
                // It was never pulled, so it vanishes; but it must not come back by itself.
                self.clock(now);
                self.topics[slot as usize].source = Source::Ended;
                self.held.sources -= 1;
                self.offer_end(slot);
            }
            _ => return Err(Error::Absent),
        }
        Ok(())
    }

    /// The run that this token names, if it goes on.
    fn running(&mut self, token: SourceToken) -> Result<Running, Error> {
        match self
            .topics
            .get(token.slot as usize)
            .map(|topic| topic.source)
        {
            Some(Source::Running(running)) if running.start == token.start => match running.end {
                None => Ok(running),
                Some(_) => self.refuse(Error::Stale),
            },
            _ => self.refuse(Error::Stale),
        }
    }

    /// It is to be stopped for this reason; the stop is pulled later.
    fn end_source(&mut self, slot: u32, reason: StopReason) {
        self.cancel_poll(slot);
        let Source::Running(running) = &mut self.topics[slot as usize].source else {
            return; // coverage: only what runs is ended
        };
        running.end = Some(reason);
        self.unsettle(slot);
    }

    /// The first member came.
    pub(super) fn first_joined(&mut self, slot: u32) {
        self.set_linger(slot, None);
        self.set_retained(slot, None);
        let topic = &mut self.topics[slot as usize];
        if !topic.has_source() {
            return;
        }
        match &mut topic.source {
            Source::Running(running) if running.end.is_some() => running.restart = true,
            Source::Running(_) | Source::StartDue => {}
            Source::Idle | Source::Ended => {
                topic.source = Source::StartDue;
                self.held.sources += 1;
                self.unsettle(slot);
            }
        }
    }

    /// The last member left.
    pub(super) fn last_left(&mut self, slot: u32) {
        let now = self.now;
        let topic = &mut self.topics[slot as usize];
        for crowd in &mut topic.crowds {
            *crowd = alloc::vec::Vec::new();
        }
        let linger = topic.options.linger;
        match &mut topic.source {
            Source::StartDue => {
                topic.source = Source::Idle;
                self.held.sources -= 1;
            }
            Source::Ended => topic.source = Source::Idle,
            Source::Running(running) => {
                running.restart = false;
                if running.end.is_none() && !linger.is_zero() {
                    self.set_linger(slot, Some(now + linger));
                }
            }
            Source::Idle => {}
        }
        self.retain(slot);
        self.unsettle(slot);
    }

    /// The log of a topic without members is kept for its retention, from now.
    pub(super) fn retain(&mut self, slot: u32) {
        let topic = &self.topics[slot as usize];
        let kept = topic.options.retained_for();
        if !kept.is_zero() {
            let until = self.now + kept;
            self.set_retained(slot, Some(until));
        }
    }

    pub(super) fn set_linger(&mut self, slot: u32, at: Option<Time>) {
        let old = core::mem::replace(&mut self.topics[slot as usize].linger, at);
        self.set_timer(Timer::Linger(slot), old, at);
    }

    pub(super) fn set_retained(&mut self, slot: u32, at: Option<Time>) {
        let old = core::mem::replace(&mut self.topics[slot as usize].retained, at);
        self.set_timer(Timer::Retained(slot), old, at);
    }

    /// Changes where the polls of a running source stand, with their timer and their place in line.
    pub(super) fn set_poll(&mut self, slot: u32, poll: Poll) {
        let Source::Running(running) = &mut self.topics[slot as usize].source else {
            return; // coverage: only what runs has polls
        };
        let old = core::mem::replace(&mut running.poll, poll);
        match old {
            Poll::Never => {}
            Poll::At(at) => {
                self.timers.remove(&(at, Timer::Poll(slot)));
            }
            Poll::Waiting(since) => {
                self.polls_waiting.remove(&(since, slot));
            }
            Poll::InFlight(until) => {
                self.timers.remove(&(until, Timer::Poll(slot)));
                self.held.polls -= 1;
            }
        }
        match poll {
            Poll::Never => {}
            Poll::At(at) => {
                self.timers.insert((at, Timer::Poll(slot)));
            }
            Poll::Waiting(since) => {
                self.polls_waiting.insert((since, slot));
            }
            Poll::InFlight(until) => {
                self.timers.insert((until, Timer::Poll(slot)));
                self.held.polls += 1;
            }
        }
    }

    pub(super) fn cancel_poll(&mut self, slot: u32) {
        self.set_poll(slot, Poll::Never);
    }

    /// The next poll is due at the first tick of the phase after the last one ended: ticks that were
    /// missed are skipped.
    pub(super) fn next_poll(&mut self, slot: u32, ended: Time) {
        let next = tick_after(&self.topics[slot as usize], ended);
        self.set_poll(slot, Poll::At(next));
    }
}

/// The first tick of a topic's source after this time.
pub(super) fn tick_after(topic: &Topic, at: Time) -> Time {
    let (since, every) = match (topic.source, topic.options.source) {
        (Source::Running(running), SourceKind::Interval(every)) => (running.since, nanos(every)),
        _ => return Time::MAX, // coverage: only what runs at an interval has polls
    };
    let gone = at.as_nanos() - since.as_nanos();
    let next = (gone / every + 1)
        .saturating_mul(every)
        .saturating_add(since.as_nanos());
    Time::from_nanos(next)
}
