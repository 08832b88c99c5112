//! What the naive engine does next: looked for from scratch every time.

use sse_state::{
    Answer, CloseReason, Control, Ending, Name, Run, ShutdownCause, Sink, SourceToken, StopReason,
    SubscriberId, Time,
};

use super::{CUT, Conn, DRAIN, Model, Phase, Running, STOP, Verdict};

/// One action.
#[derive(Debug)]
pub(super) enum Job {
    Close(Verdict),
    Stop(Name, SourceToken, StopReason),
    Start(Name),
    Poll(Name),
    Room(Name),
    Finish(SubscriberId),
    Wake(SubscriberId),
    Turn(SubscriberId),
}

impl Model {
    /// Control comes before data, data in the order in which streams became ready.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        self.settle();
        self.note_ready();
        self.next_close()
            .or_else(|| self.next_source())
            .or_else(|| self.next_poll())
            .or_else(|| self.next_room())
            .or_else(|| self.next_finish())
            .or_else(|| self.next_wake())
            .or_else(|| self.queue.first().map(|id| Job::Turn(*id)))
    }

    /// Does it.
    pub(super) fn execute(&mut self, job: Job, sink: &mut dyn Sink) {
        let now = self.now;
        match job {
            Job::Close(Verdict { id, reason, ending }) => {
                self.drop_conn(id);
                self.stats.closed[reason as usize] += 1;
                sink.control(Control::Close { id, reason, ending });
            }
            Job::Stop(topic, token, reason) => {
                let stays = reason != StopReason::NoSubscribers && self.members(&topic) > 0;
                if let Some(topic) = self.topic_mut(topic.as_str()) {
                    let spends = stays && !topic.stop_old;
                    topic.stop_old = false;
                    topic.source = None;
                    topic.stop = None;
                    topic.spent = spends;
                }
                self.stats.sources_stopped += 1;
                sink.control(Control::StopSource {
                    topic,
                    token,
                    reason,
                });
            }
            Job::Start(topic) => {
                self.starts += 1;
                let token = SourceToken::from_parts(u32::from(self.is_other()), self.starts);
                if let Some(topic) = self.topic_mut(topic.as_str()) {
                    topic.source = Some(Running {
                        token,
                        since: now,
                        polls: 0,
                        next: now,
                        flying: None,
                    });
                }
                self.stats.sources_started += 1;
                sink.control(Control::StartSource { topic, token });
            }
            Job::Poll(topic) => self.poll(topic, sink),
            Job::Room(topic) => {
                if let Some(topic) = self.topic_mut(topic.as_str()) {
                    topic.room = None;
                }
                sink.control(Control::Room { topic });
            }
            Job::Finish(id) => {
                if let Ok(conn) = self.conn(id) {
                    conn.finished = Some(now);
                }
                sink.control(Control::Finish { id });
            }
            Job::Wake(id) => {
                if let Ok(conn) = self.conn(id) {
                    conn.woken = Some(now);
                }
                sink.control(Control::Wake { id });
            }
            Job::Turn(id) => self.turn(id, sink),
        }
        self.note_members();
    }

    fn poll(&mut self, topic: Name, sink: &mut dyn Sink) {
        let now = self.now;
        let Some(of) = self.topic_mut(topic.as_str()) else {
            return;
        };
        let every = of.interval();
        let Some(source) = &mut of.source else { return };
        source.polls += 1;
        source.flying = Some((source.polls, now));
        source.next = source.tick_after(now + std::time::Duration::from_nanos(1), every);
        let (token, number) = (source.token, source.polls);
        self.stats.polls += 1;
        sink.control(Control::Poll {
            topic,
            token,
            number,
        });
    }

    fn turn(&mut self, id: SubscriberId, sink: &mut dyn Sink) {
        self.queue.retain(|other| *other != id);
        let Some((items, run)) = self.compose(id) else {
            return;
        };
        let now = self.now;
        match sink.write(id, Run::of(&run)) {
            Answer::All => self.accepted(id, items, &run, run.len()),
            Answer::Blocked(bytes) => {
                if let Ok(conn) = self.conn(id) {
                    conn.blocked = true;
                }
                self.accepted(id, items, &run, bytes as usize);
            }
            Answer::Gone => self.drop_conn(id),
            Answer::InFlight => {
                if let Ok(conn) = self.conn(id) {
                    conn.flight = Some((items, run));
                    conn.remembered = false;
                    conn.outstanding = true;
                    conn.stall.get_or_insert(now);
                }
            }
        }
    }

    /// Whoever can be written to now and has something stands in the queue.
    pub(super) fn note_ready(&mut self) {
        for place in self.in_order((0..self.conns.len()).collect()) {
            let now = self.now;
            let conn = &mut self.conns[place];
            if conn.blocked && conn.has_something() {
                // It has something to write now, and cannot.
                conn.stall.get_or_insert(now);
            }
            let conn = &self.conns[place];
            let can = !conn.mounted
                && !conn.blocked
                && conn.flight.is_none()
                && conn.finished.is_none()
                && matches!(conn.phase, Phase::Answering | Phase::Streaming);
            let id = conn.id;
            let ready = can && (conn.has_something() || self.beats(id));
            let queued = self.queue.contains(&id);
            if ready && !queued {
                self.queue.push(id);
            } else if !ready && queued {
                self.queue.retain(|other| *other != id);
            }
        }
    }

    /// What time and circumstances have done by now.
    pub(super) fn settle(&mut self) {
        self.settle_ends();
        self.settle_polls();
        self.note_members();
        self.settle_topics();
    }

    /// Streams that begin to end by themselves.
    pub(super) fn settle_ends(&mut self) {
        let now = self.now;
        let mut ends: Vec<(SubscriberId, CloseReason, u8)> = Vec::new();
        for conn in &self.conns {
            let Some(stream) = conn.stream.as_ref().filter(|_| conn.finished.is_none()) else {
                continue;
            };
            if stream.expires.is_some_and(|expires| expires <= now) {
                ends.push((conn.id, CloseReason::Expired, STOP));
            } else if stream.lifetime.is_some_and(|at| at <= now) {
                ends.push((conn.id, CloseReason::Lifetime, DRAIN));
            } else if stream.end_when_finished && self.sources_are_done(&stream.topics) {
                ends.push((conn.id, CloseReason::Finished, DRAIN));
            }
        }
        for (id, reason, strength) in ends {
            self.end(id, reason, strength);
        }
    }

    fn sources_are_done(&self, names: &[Name]) -> bool {
        let mut with_source = names
            .iter()
            .filter_map(|name| self.topic(name.as_str()))
            .filter(|topic| topic.options.source != sse_state::SourceKind::None)
            .peekable();
        with_source.peek().is_some()
            && with_source.all(|topic| topic.spent && topic.source.is_none())
    }

    /// Polls that took too long.
    fn settle_polls(&mut self) {
        let (now, limit) = (self.now, self.config.poll_timeout);
        for topic in &mut self.topics {
            let every = topic.interval();
            let Some(source) = &mut topic.source else {
                continue;
            };
            if let Some((_, at)) = source.flying.filter(|(_, at)| *at + limit <= now) {
                source.flying = None;
                self.stats.polls_failed += 1;
                while source.next < at + limit {
                    source.next = source.tick_after(at + limit, every);
                }
            }
        }
    }

    /// Topics that nobody needs.
    fn settle_topics(&mut self) {
        let now = self.now;
        for place in (0..self.topics.len()).rev() {
            let topic = &self.topics[place];
            let needed = self.members(&topic.name) > 0
                || topic.source.is_some()
                || topic.retained.is_some_and(|until| until > now);
            let fresh = topic.declared && topic.options.history && topic.retained.is_none();
            if needed || fresh {
                continue;
            }
            if topic.declared {
                let topic = &mut self.topics[place];
                topic.gone = topic.log.last().map_or(topic.gone, |newest| newest.seq);
                topic.log.clear();
                topic.retained = None;
                topic.had = false;
                topic.room = None;
            } else {
                self.topics.remove(place);
            }
        }
    }

    fn next_close(&self) -> Option<Job> {
        let verdict = |conn: &Conn| self.verdict(conn).map(Job::Close);
        let conns = self.in_order(self.conns.iter().collect());
        conns.into_iter().find_map(verdict)
    }

    fn verdict(&self, conn: &Conn) -> Option<Verdict> {
        let now = self.now;
        let config = &self.config;
        let say = |reason, ending| {
            Some(Verdict {
                id: conn.id,
                reason,
                ending,
            })
        };
        let grace_over = self.shutdown.is_some_and(|shutdown| shutdown.until <= now);
        if let Some(at) = conn.finished {
            let crowd = self.conns.iter().filter(|c| c.finished.is_some());
            let oldest = crowd.clone().min_by_key(|c| c.finished).map(|c| c.id);
            let crowded = crowd.count() > config.finishing as usize && oldest == Some(conn.id);
            let reason = conn
                .end
                .as_ref()
                .map_or(CloseReason::Asked, |end| end.reason);
            let due =
                conn.went || grace_over || crowded || self.met(at + config.finish_timeout) <= now;
            let cut = conn.end.as_ref().is_some_and(|end| end.strength == CUT);
            let ending = if cut { Ending::Cut } else { Ending::Orderly };
            return if due || cut {
                say(reason, ending)
            } else {
                None
            };
        }
        let cut = conn
            .end
            .as_ref()
            .filter(|end| end.strength == CUT && conn.flight.is_none());
        if let Some(end) = cut {
            return say(end.reason, Ending::Cut);
        }
        if grace_over {
            return say(CloseReason::Shutdown, Ending::Cut);
        }
        match conn.phase {
            Phase::Opening | Phase::Deciding
                if self.met(conn.born + config.head_timeout) <= now =>
            {
                return say(CloseReason::HeadTimeout, Ending::Cut);
            }
            Phase::Body if conn.opened + config.body_timeout <= now => {
                return say(CloseReason::BodyTimeout, Ending::Cut);
            }
            _ => {}
        }
        let waits = conn.blocked || conn.flight.is_some();
        let stall = conn.stall.filter(|_| waits).or(conn.woken);
        if stall.is_some_and(|since| self.met(since + config.write_timeout) <= now) {
            return say(CloseReason::Stalled, Ending::Cut);
        }
        let end = conn.end.as_ref()?;
        if end.until <= now {
            return say(CloseReason::Stalled, Ending::Cut);
        }
        let empty = !conn.has_something() && conn.flight.is_none();
        if conn.mounted && empty {
            return say(end.reason, Ending::Orderly);
        }
        None
    }

    fn next_source(&self) -> Option<Job> {
        let now = self.now;
        let topics = self.in_order(self.topics.iter().collect());
        topics.into_iter().find_map(|topic| {
            let name = topic.name.clone();
            let Some(source) = &topic.source else {
                return self.wants_source(topic).then_some(Job::Start(name));
            };
            let lingered = topic
                .left
                .is_some_and(|left| left + topic.options.linger <= now);
            let reason = match (topic.stop, self.shutdown.map(|shutdown| shutdown.cause)) {
                (Some(reason), _) => reason,
                (None, Some(ShutdownCause::Asked)) => StopReason::Shutdown,
                (None, Some(ShutdownCause::HubDropped)) => StopReason::HubDropped,
                (None, None) if lingered => StopReason::NoSubscribers,
                (None, None) => return None,
            };
            Some(Job::Stop(name, source.token, reason))
        })
    }

    fn next_poll(&self) -> Option<Job> {
        let sources = self
            .topics
            .iter()
            .filter(|topic| !topic.interval().is_zero())
            .filter_map(|topic| topic.source.as_ref().map(|source| (topic, source)));
        let flying = sources.clone().filter(|(_, s)| s.flying.is_some()).count();
        if flying >= self.config.polls as usize {
            return None;
        }
        sources
            .filter(|(_, source)| source.flying.is_none() && source.next <= self.now)
            .min_by_key(|(_, source)| source.next)
            .map(|(topic, _)| Job::Poll(topic.name.clone()))
    }

    fn next_room(&self) -> Option<Job> {
        let topic = self
            .topics
            .iter()
            .find(|topic| topic.room.is_some_and(|size| !self.would_wait(topic, size)))?;
        Some(Job::Room(topic.name.clone()))
    }

    fn next_finish(&self) -> Option<Job> {
        let ended = |conn: &&Conn| {
            let done = !conn.has_something() && conn.flight.is_none() && conn.finished.is_none();
            !conn.mounted && done && conn.end.as_ref().is_some_and(|end| end.strength < CUT)
        };
        self.conns
            .iter()
            .find(ended)
            .map(|conn| Job::Finish(conn.id))
    }

    fn next_wake(&self) -> Option<Job> {
        let sleeps = |conn: &&Conn| {
            conn.mounted && conn.woken.is_none() && (conn.has_something() || self.beats(conn.id))
        };
        self.conns
            .iter()
            .find(sleeps)
            .map(|conn| Job::Wake(conn.id))
    }

    /// Every time at which something may become due.
    pub(super) fn deadlines(&self) -> Vec<Time> {
        let config = &self.config;
        let mut all: Vec<Time> = self
            .shutdown
            .iter()
            .map(|shutdown| shutdown.until)
            .collect();
        for conn in &self.conns {
            match conn.phase {
                Phase::Opening | Phase::Deciding => {
                    all.push(self.met(conn.born + config.head_timeout))
                }
                Phase::Body => all.push(conn.opened + config.body_timeout),
                Phase::Answering | Phase::Streaming => {}
            }
            let waits = conn.blocked || conn.flight.is_some();
            all.extend(
                conn.stall
                    .filter(|_| waits)
                    .map(|at| self.met(at + config.write_timeout)),
            );
            all.extend(conn.woken.map(|at| self.met(at + config.write_timeout)));
            all.extend(conn.finished.map(|at| self.met(at + config.finish_timeout)));
            all.extend(conn.end.as_ref().map(|end| end.until));
            all.extend(
                self.beat_at(conn)
                    .filter(|_| !waits && conn.woken.is_none()),
            );
            let stream = conn.stream.iter();
            all.extend(
                stream
                    .flat_map(|stream| [stream.expires, stream.lifetime])
                    .flatten(),
            );
            if waits {
                all.push(conn.traffic + config.reader_patience);
            }
        }
        for topic in &self.topics {
            all.extend(topic.retained);
            if let Some(source) = &topic.source {
                all.extend(topic.left.map(|left| left + topic.options.linger));
                if !topic.interval().is_zero() {
                    all.push(source.next);
                }
                all.extend(source.flying.map(|(_, at)| at + config.poll_timeout));
            }
        }
        all
    }
}
