//! Publishing in the naive engine.

use sse_state::{Bound, Error, EventId, Frame, Name, Published, Room};

use super::{Conn, Item, Logged, Model, Topic, What};

impl Model {
    pub(super) fn publish(
        &mut self,
        name: &str,
        frame: &Frame,
        room: Room,
    ) -> Result<Published, Error> {
        let nobody = Published {
            streams: 0,
            id: None,
            unchanged: false,
        };
        let Some(topic) = self.topic(name) else {
            self.stats.unheard += 1;
            return Ok(nobody);
        };
        let options = topic.options.clone();
        if frame.wire_bytes(options.history) > self.config.frame_bytes as usize {
            return Err(Error::Full(Bound::Frame));
        }
        if frame.has_own_id() && !options.own_ids {
            return Err(Error::OwnId);
        }
        if !self.keeps(topic) {
            self.stats.unheard += 1;
            return Ok(nobody);
        }
        let streams = self.listeners(&topic.name) as u32;
        let logged = Logged::new(frame);
        if options.dedupe
            && topic
                .log
                .last()
                .is_some_and(|newest| newest.key == logged.key)
        {
            self.stats.unchanged += 1;
            return Ok(Published {
                streams,
                unchanged: true,
                ..nobody
            });
        }
        if room == Room::Wait && self.would_wait(topic, frame.wire_bytes(options.history)) {
            return Err(Error::Wait);
        }
        self.append(name, logged, streams)
    }

    fn append(&mut self, name: &str, mut logged: Logged, streams: u32) -> Result<Published, Error> {
        let seq = self.seq + 1;
        let epoch = self.config.epoch;
        let others: u64 = self
            .topics
            .iter()
            .filter(|topic| topic.name.as_str() != name)
            .map(|topic| topic.bytes() as u64)
            .sum();
        let (limit, now) = (self.config.logs_bytes, self.now);
        let topic = self.topic_mut(name).ok_or(Error::Absent)?;
        logged.seq = seq;
        let id = topic.options.history.then_some(EventId { epoch, seq });
        if let Some(id) = id {
            logged.id = Some(id.to_string());
        }
        if others + logged.size() as u64 > limit {
            return Err(Error::Full(Bound::Logs));
        }
        let item = logged.item(&topic.name, false);
        topic.log.push(logged);
        while topic.log.len() > 1
            && (topic.log.len() > topic.options.log_frames as usize
                || topic.bytes() > topic.options.log_bytes as usize
                || others + topic.bytes() as u64 > limit)
        {
            topic.gone = topic.log.remove(0).seq;
        }
        if topic.declared && topic.options.history && topic.retained.is_some() {
            topic.retained = Some(now + topic.options.retained_for());
        }
        topic.had = true;
        let name = topic.name.clone();
        for conn in &mut self.conns {
            if conn.follows(&name) && conn.end.is_none() {
                conn.outbox.push(item.clone());
            }
        }
        self.seq = seq;
        self.stats.published += 1;
        Ok(Published {
            streams,
            id,
            unchanged: false,
        })
    }

    /// A frame of this size would evict one that a reader still needs.
    pub(super) fn would_wait(&self, topic: &Topic, size: usize) -> bool {
        let mut log = topic.log.clone();
        let mut evicted = Vec::new();
        let bytes = |log: &[Logged]| log.iter().map(Logged::size).sum::<usize>() + size;
        while !log.is_empty()
            && (log.len() + 1 > topic.options.log_frames as usize
                || bytes(&log) > topic.options.log_bytes as usize)
        {
            evicted.push(log.remove(0).seq);
        }
        self.conns
            .iter()
            .filter(|conn| conn.follows(&topic.name) && self.is_patient(conn))
            .any(|conn| conn.needs(&topic.name, &evicted))
    }

    /// A publisher waits for it: it takes what it is given, or took something not long ago.
    fn is_patient(&self, conn: &Conn) -> bool {
        (!conn.blocked && conn.flight.is_none())
            || self.now < conn.traffic + self.config.reader_patience
    }
}

impl Conn {
    fn needs(&self, topic: &Name, seqs: &[u64]) -> bool {
        let flying = self.flight.iter().flat_map(|(items, _)| items);
        let needs = |item: &Item| match &item.what {
            What::Frame { topic: of, seq, .. } => of == topic && seqs.contains(seq),
            _ => false,
        };
        self.outbox.iter().chain(flying).any(needs)
    }
}

impl Topic {
    pub(super) fn bytes(&self) -> usize {
        self.log.iter().map(Logged::size).sum()
    }
}

impl Logged {
    fn new(frame: &Frame) -> Logged {
        let wire = frame.to_string();
        let body = wire.strip_suffix("\n\n").unwrap_or(&wire);
        let (text, id) = match body.rsplit_once("\nid: ").filter(|_| frame.has_own_id()) {
            Some((text, id)) => (text, Some(id.to_owned())),
            None => (body, None),
        };
        let key = text
            .split('\n')
            .filter(|line| line.starts_with("event:") || line.starts_with("data:"))
            .collect::<Vec<_>>()
            .join("\n");
        Logged {
            seq: 0,
            key,
            text: format!("{text}\n"),
            id,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.text.len() + self.id.as_ref().map_or(0, |id| id.len() + 5) + 1
    }

    /// As it is written; a snapshot has no id of the machine's.
    pub(super) fn item(&self, topic: &Name, snapshot: bool) -> Item {
        let mut bytes = self.text.clone();
        if let Some(id) = self.id.as_ref().filter(|_| !snapshot) {
            bytes.push_str(&format!("id: {id}\n"));
        }
        bytes.push('\n');
        let what = What::Frame {
            topic: topic.clone(),
            seq: self.seq,
            snapshot,
        };
        Item::new(what, bytes.into_bytes())
    }
}
