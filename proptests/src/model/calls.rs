//! The inputs of the naive engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sse_state::{
    Bound, CloseHow, CloseReason, Error, Input, Name, Next, PollOutcome, Pulled, Reply, Report,
    ShutdownCause, Socket, SourceToken, StopReason, SubscriberId, Time, TopicOptions,
};

use super::{CUT, Conn, DRAIN, End, Item, Model, Phase, STOP, Shutdown, Topic, What};

impl Model {
    pub(super) fn call(&mut self, input: Input<'_>) -> Result<Reply, Error> {
        let harmless = matches!(input, Input::Timeout | Input::Shutdown { .. });
        if !harmless && self.is_over() && self.clone().next_job().is_none() {
            return Err(Error::ShuttingDown);
        }
        let down = self.shutdown.is_some();
        match input {
            Input::Declare { .. }
            | Input::Accept
            | Input::Subscribe(_)
            | Input::Publish { .. }
            | Input::PollResult { .. }
            | Input::Feed { .. }
            | Input::CloseKey { .. }
            | Input::StopSource { .. }
                if down =>
            {
                Err(Error::ShuttingDown)
            }
            Input::Declare { topic, options } => self.declare(topic, options),
            Input::Accept => self.accept(),
            Input::HeadHeld { id, bytes } => self.head_held(id, bytes),
            Input::HeadDone { id } => self.head_done(id),
            Input::Body { id, bytes } => self.body(id, bytes),
            Input::Answer { id, bytes } => self.answer(id, bytes),
            Input::Subscribe(subscribe) => self.subscribe(&subscribe),
            Input::Publish { topic, frame, room } => {
                let published = self.publish(&topic, &frame, room)?;
                Ok(Reply::Published(published))
            }
            Input::Close { id, how } => self.close(id, how),
            Input::CloseKey { key } => self.close_key(key),
            Input::PeerGone { id } => {
                let conn = self.conn(id)?;
                if conn.finished.is_some() {
                    conn.went = true;
                } else {
                    self.drop_conn(id);
                    self.stats.gone += 1;
                }
                Ok(Reply::Done)
            }
            Input::StopSource { topic } => {
                let waits = self
                    .topic(&topic)
                    .is_some_and(|topic| self.wants_source(topic));
                let topic = self.topic_mut(&topic).ok_or(Error::Absent)?;
                match (&topic.source, topic.stop) {
                    (Some(_), None) => topic.stop = Some(StopReason::Asked),
                    // A start that was not pulled is no longer wanted.
                    (None, _) if waits => topic.spent = true,
                    _ => return Err(Error::Absent),
                }
                Ok(Reply::Done)
            }
            Input::PollResult {
                token,
                number,
                outcome,
                next,
            } => self.poll_result(token, number, &outcome, next),
            Input::Feed { token, frame, room } => {
                let name = self.fed_by(token)?.name.clone();
                let published = self.publish(name.as_str(), &frame, room)?;
                Ok(Reply::Published(published))
            }
            Input::SourceEnded { token, reason } => {
                self.fed_by(token)?.stop = Some(reason.into());
                Ok(Reply::Done)
            }
            Input::Report(reports) => {
                let stale = reports.iter().filter(|report| !self.report(report)).count();
                Ok(Reply::Stale(stale as u32))
            }
            Input::Writable { id } => {
                let conn = self.conn(id)?;
                if conn.flight.is_some() {
                    conn.remembered = true;
                } else {
                    conn.blocked = false;
                    if !conn.outstanding {
                        conn.stall = None;
                    }
                }
                Ok(Reply::Done)
            }
            Input::Pull { id } => self.pull(id),
            Input::Timeout => Ok(Reply::Done),
            Input::Shutdown { grace, cause } => self.shut_down(grace, cause),
            _ => Ok(Reply::Done),
        }
    }

    fn declare(&mut self, name: Name, options: Arc<TopicOptions>) -> Result<Reply, Error> {
        if name.as_str().len() > self.config.name_bytes as usize {
            return Err(Error::Full(Bound::Name));
        }
        options.check()?;
        if let Some(topic) = self.topic_mut(name.as_str()) {
            if topic.options != options {
                return Err(Error::Conflict);
            }
            topic.declared = true;
            return Ok(Reply::Done);
        }
        if self.topics.len() >= self.config.topics as usize {
            return Err(Error::Full(Bound::Topics));
        }
        self.add_topic(name, options, true);
        Ok(Reply::Done)
    }

    pub(super) fn add_topic(&mut self, name: Name, options: Arc<TopicOptions>, declared: bool) {
        self.topics.push(Topic {
            name,
            options,
            declared,
            log: Vec::new(),
            gone: 0,
            born: self.seq,
            source: None,
            spent: false,
            stop: None,
            stop_old: false,
            left: None,
            had: false,
            retained: None,
            room: None,
        });
    }

    fn accept(&mut self) -> Result<Reply, Error> {
        let id = self.new_id()?;
        self.conns.push(Conn::new(id, self.now));
        self.stats.accepted += 1;
        let openings: Vec<SubscriberId> = self
            .conns
            .iter()
            .filter(|conn| conn.phase == Phase::Opening && conn.end.is_none())
            .map(|conn| conn.id)
            .collect();
        if openings.len() > self.config.openings as usize {
            self.end(openings[0], CloseReason::Evicted, CUT);
        }
        Ok(Reply::Id(id))
    }

    fn head_held(&mut self, id: SubscriberId, bytes: u32) -> Result<Reply, Error> {
        let others: u64 = self
            .conns
            .iter()
            .filter(|conn| conn.id != id && conn.phase == Phase::Opening)
            .map(|conn| u64::from(conn.held))
            .sum();
        let (one, all) = (self.config.head_bytes, self.config.heads_bytes);
        let conn = self.conn(id)?;
        if conn.phase != Phase::Opening {
            return Err(Error::Phase);
        }
        if bytes > one {
            return Err(Error::Full(Bound::Head));
        }
        if others + u64::from(bytes) > all {
            return Err(Error::Full(Bound::Heads));
        }
        conn.held = bytes;
        Ok(Reply::Done)
    }

    fn head_done(&mut self, id: SubscriberId) -> Result<Reply, Error> {
        let deciding = self
            .conns
            .iter()
            .filter(|c| c.phase == Phase::Deciding)
            .count();
        let (bound, asked) = (self.config.deciding as usize, self.asked);
        let conn = self.conn(id)?;
        if conn.phase != Phase::Opening {
            return Err(Error::Phase);
        }
        if deciding >= bound {
            return Err(Error::Full(Bound::Deciding));
        }
        conn.phase = Phase::Deciding;
        conn.asked = asked;
        Ok(Reply::Done)
    }

    fn body(&mut self, id: SubscriberId, bytes: u32) -> Result<Reply, Error> {
        let sum: u64 = self.conns.iter().map(|conn| u64::from(conn.body)).sum();
        let (bound, now) = (self.config.bodies_bytes, self.now);
        let conn = self.conn(id)?;
        if conn.phase != Phase::Deciding {
            return Err(Error::Phase);
        }
        if sum + u64::from(bytes) > bound {
            return Err(Error::Full(Bound::Bodies));
        }
        conn.phase = Phase::Body;
        conn.body = bytes;
        conn.opened = now;
        Ok(Reply::Done)
    }

    fn answer(&mut self, id: SubscriberId, bytes: Bytes) -> Result<Reply, Error> {
        let until = self.end_by();
        let conn = self.conn(id)?;
        if !matches!(conn.phase, Phase::Opening | Phase::Deciding | Phase::Body) {
            return Err(Error::Phase);
        }
        conn.phase = Phase::Answering;
        conn.body = 0;
        if !bytes.is_empty() {
            conn.outbox.push(Item::new(What::Plain, bytes.to_vec()));
        }
        conn.end = Some(End {
            reason: CloseReason::Answered,
            strength: DRAIN,
            until,
        });
        Ok(Reply::Done)
    }

    fn close(&mut self, id: SubscriberId, how: CloseHow) -> Result<Reply, Error> {
        let strength = match how {
            CloseHow::Drain => DRAIN,
            CloseHow::Stop => STOP,
            CloseHow::Cut => CUT,
        };
        let streams = matches!(self.conn(id)?.phase, Phase::Answering | Phase::Streaming);
        let until = self.end_by();
        let conn = self.conn(id)?;
        if !streams && conn.end.is_none() {
            // Nothing was begun; there is nothing to say goodbye to.
            conn.phase = Phase::Answering;
            conn.end = Some(End {
                reason: CloseReason::Asked,
                strength,
                until,
            });
        }
        self.end(id, CloseReason::Asked, strength);
        Ok(Reply::Done)
    }

    fn close_key(&mut self, key: Name) -> Result<Reply, Error> {
        self.asked += 1;
        let ids: Vec<SubscriberId> = self
            .conns
            .iter()
            .filter(|conn| {
                conn.stream
                    .as_ref()
                    .is_some_and(|s| s.key.as_ref() == Some(&key))
            })
            .filter(|conn| conn.finished.is_none())
            .map(|conn| conn.id)
            .collect();
        self.closed_keys.push((key, self.asked));
        for &id in &ids {
            self.end(id, CloseReason::Asked, STOP);
        }
        Ok(Reply::Closing(ids.len() as u32))
    }

    /// Begins an end, or makes one stronger.
    pub(super) fn end(&mut self, id: SubscriberId, reason: CloseReason, strength: u8) {
        let until = self.end_by();
        let farewell = self.retry_block(id.as_u64());
        let Ok(conn) = self.conn(id) else { return };
        if conn
            .end
            .as_ref()
            .is_some_and(|end| end.strength >= strength)
        {
            return;
        }
        let began = conn.end.as_ref().map(|end| end.until);
        if strength > DRAIN {
            let dropped: u64 = conn.outbox.iter().map(Item::frames).sum();
            // A response is begun by its head; a body that nobody pulled needs none.
            let keeps = strength == STOP && !conn.mounted;
            conn.outbox
                .retain(|item| keeps && item.what == What::Prelude);
            self.stats.abandoned += dropped;
        } else if reason == CloseReason::Finished {
            let bytes = b"event: sse-end\ndata: {}\n\n".to_vec();
            conn.outbox.push(Item::new(What::Plain, bytes));
        } else {
            conn.outbox.push(Item::new(What::Plain, farewell));
        }
        if let Ok(conn) = self.conn(id) {
            conn.end = Some(End {
                reason,
                strength,
                until: began.unwrap_or(until),
            });
        }
    }

    /// When an end that begins now must be over.
    pub(super) fn end_by(&self) -> Time {
        match self.shutdown {
            Some(shutdown) => shutdown.until,
            None => self.now + self.config.write_timeout,
        }
    }

    pub(super) fn drop_conn(&mut self, id: SubscriberId) {
        let pending = |conn: &Conn| {
            let flying = conn.flight.iter().flat_map(|(items, _)| items);
            conn.outbox
                .iter()
                .chain(flying)
                .map(Item::frames)
                .sum::<u64>()
        };
        if let Some(place) = self.conns.iter().position(|conn| conn.id == id) {
            self.stats.abandoned += pending(&self.conns[place]);
            self.conns.remove(place);
        }
        self.queue.retain(|other| *other != id);
    }

    fn fed_by(&mut self, token: SourceToken) -> Result<&mut Topic, Error> {
        self.topics
            .iter_mut()
            .find(|topic| topic.source.as_ref().is_some_and(|s| s.token == token))
            .filter(|topic| topic.stop.is_none())
            .ok_or(Error::Stale)
    }

    fn poll_result(
        &mut self,
        token: SourceToken,
        number: u64,
        outcome: &PollOutcome,
        next: Next,
    ) -> Result<Reply, Error> {
        let now = self.now;
        let topic = self.fed_by(token)?;
        let name = topic.name.clone();
        let every = topic.interval();
        let source = topic.source.as_mut().ok_or(Error::Stale)?;
        if source.flying.is_none_or(|(flying, _)| flying != number) {
            return Err(Error::Stale);
        }
        source.flying = None;
        // The ticks that passed meanwhile are missed.
        while source.next < now && !every.is_zero() {
            source.next = source.tick_after(now, every);
        }
        let mut failed = false;
        let mut reply = Reply::Done;
        match outcome {
            PollOutcome::Unchanged => {}
            PollOutcome::Frame(frame) => {
                let published = self.publish(name.as_str(), frame, sse_state::Room::Evict)?;
                reply = Reply::Published(published);
            }
            PollOutcome::Failed(event) => {
                failed = true;
                self.stats.polls_failed += 1;
                if let Some(frame) = event {
                    let published = self.publish(name.as_str(), frame, sse_state::Room::Evict)?;
                    reply = Reply::Published(published);
                }
            }
        }
        if next == Next::Finished && !failed {
            self.fed_by(token)?.stop = Some(StopReason::Condition);
        }
        Ok(reply)
    }

    /// False if its id is dead.
    fn report(&mut self, report: &Report) -> bool {
        let Ok(conn) = self.conn(report.id) else {
            return false;
        };
        let Some((items, run)) = conn.flight.take() else {
            return true;
        };
        conn.blocked = report.socket == Socket::Blocked && !conn.remembered;
        conn.remembered = false;
        let bytes = (report.bytes as usize).min(run.len());
        self.accepted(report.id, items, &run, bytes);
        let open = self
            .conn(report.id)
            .is_ok_and(|conn| conn.finished.is_none());
        if report.socket == Socket::Gone && open {
            self.drop_conn(report.id);
        }
        true
    }

    fn pull(&mut self, id: SubscriberId) -> Result<Reply, Error> {
        let conn = self.conn(id)?;
        if !conn.mounted {
            return Err(Error::Phase);
        }
        conn.woken = None;
        self.settle_ends();
        let Some((items, run)) = self.compose(id) else {
            return Ok(Reply::Pulled(Pulled::Nothing));
        };
        self.accepted(id, items, &run, run.len());
        Ok(Reply::Pulled(Pulled::Run(run)))
    }

    fn shut_down(&mut self, grace: Option<Duration>, cause: ShutdownCause) -> Result<Reply, Error> {
        if self.shutdown.is_some() {
            return Ok(Reply::Done);
        }
        let until = self.now + grace.unwrap_or(self.config.grace);
        self.shutdown = Some(Shutdown { until, cause });
        let streams: Vec<SubscriberId> = self
            .conns
            .iter()
            .filter(|conn| conn.phase == Phase::Streaming && conn.finished.is_none())
            .map(|conn| conn.id)
            .collect();
        for id in streams {
            self.end(id, CloseReason::Shutdown, DRAIN);
        }
        for conn in &mut self.conns {
            if let Some(end) = &mut conn.end {
                end.until = until;
            }
        }
        Ok(Reply::Done)
    }
}

impl Conn {
    pub(super) fn new(id: SubscriberId, now: Time) -> Conn {
        Conn {
            id,
            phase: Phase::Opening,
            born: now,
            opened: now,
            held: 0,
            body: 0,
            asked: 0,
            mounted: false,
            stream: None,
            outbox: Vec::new(),
            begun: Vec::new(),
            flight: None,
            blocked: false,
            remembered: false,
            stall: None,
            outstanding: false,
            traffic: now,
            woken: None,
            end: None,
            finished: None,
            went: false,
        }
    }
}

impl Item {
    pub(super) fn new(what: What, bytes: Vec<u8>) -> Item {
        Item { what, bytes }
    }

    /// Frames that it is or stands for.
    pub(super) fn frames(&self) -> u64 {
        match &self.what {
            What::Frame { .. } => 1,
            What::Notice { missed, .. } => missed.iter().map(Item::frames).sum(),
            _ => 0,
        }
    }

    /// Where it stands on its stream: by seq, at one seq a frame before a notice before the priming
    /// block; all else before or after.
    pub(super) fn place(&self) -> (u64, u8) {
        match &self.what {
            What::Rest | What::Prelude => (0, 0),
            What::Frame { seq, .. } => (*seq, 0),
            What::Notice { last, .. } => (*last, 1),
            What::Prime(seq) => (*seq, 2),
            What::Plain | What::Beat => (u64::MAX, 3),
        }
    }
}

impl Topic {
    pub(super) fn interval(&self) -> Duration {
        match self.options.source {
            sse_state::SourceKind::Interval(every) => every,
            _ => Duration::ZERO,
        }
    }
}

impl super::Running {
    /// The first tick at or after a time.
    pub(super) fn tick_after(&self, at: Time, every: Duration) -> Time {
        let every = every.as_nanos() as u64;
        let passed = at.since(self.since).as_nanos() as u64;
        let ticks = passed.div_ceil(every);
        Time::from_nanos(
            self.since
                .as_nanos()
                .saturating_add(ticks.saturating_mul(every)),
        )
    }
}
