//! Opening a stream in the naive engine.

use std::sync::Arc;

use sse_state::{
    Bound, Error, EventId, Heartbeat, Name, Reply, SourceKind, Start, Subscribe, SubscriberId,
    TopicOptions, Via,
};

use super::{Conn, Item, Model, Phase, Stream, Topic, What};

impl Model {
    pub(super) fn subscribe(&mut self, sub: &Subscribe) -> Result<Reply, Error> {
        let asked = match sub.via {
            Via::Connection(id) => {
                let conn = self.conn(id)?;
                if conn.phase != Phase::Deciding {
                    return Err(Error::Phase);
                }
                conn.asked
            }
            Via::Mounted { asked } => asked,
        };
        self.check_grant(sub, asked)?;
        self.check_topics(sub)?;
        self.check_bounds(sub)?;
        let id = match sub.via {
            Via::Connection(id) => id,
            Via::Mounted { .. } => {
                let id = self.new_id()?;
                self.conns.push(Conn::new(id, self.now));
                id
            }
        };
        for join in &sub.topics {
            if self.topic(join.topic.as_str()).is_none() {
                let options = join.options.clone().unwrap_or_default();
                self.add_topic(join.topic.clone(), options, false);
            }
        }
        self.open(id, sub)?;
        self.stats.subscribed += 1;
        Ok(Reply::Id(id))
    }

    fn check_grant(&self, sub: &Subscribe, asked: u64) -> Result<(), Error> {
        if sub.expires.is_some_and(|expires| expires <= self.now) {
            return Err(Error::Expired);
        }
        let closed = |key: &Name| {
            self.closed_keys
                .iter()
                .any(|(k, at)| k == key && *at > asked)
        };
        if sub.key.as_ref().is_some_and(closed) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    fn check_topics(&self, sub: &Subscribe) -> Result<(), Error> {
        if sub.topics.is_empty() {
            return Err(Error::Topics);
        }
        if sub.topics.len() > self.config.topics_per_subscriber as usize {
            return Err(Error::Full(Bound::TopicsPerSubscriber));
        }
        let mut own = false;
        let mut history = false;
        for (place, join) in sub.topics.iter().enumerate() {
            if sub.topics[..place]
                .iter()
                .any(|other| other.topic == join.topic)
            {
                return Err(Error::Topics);
            }
            if join.topic.as_str().len() > self.config.name_bytes as usize {
                return Err(Error::Full(Bound::Name));
            }
            let options = self.options_of(&join.topic, join.options.as_ref())?;
            own |= options.own_ids;
            history |= options.history;
        }
        if own && history {
            return Err(Error::MixedIds);
        }
        Ok(())
    }

    fn options_of(
        &self,
        name: &Name,
        wanted: Option<&Arc<TopicOptions>>,
    ) -> Result<Arc<TopicOptions>, Error> {
        match (self.topic(name.as_str()), wanted) {
            (Some(topic), Some(wanted)) if !topic.declared && topic.options != *wanted => {
                Err(Error::Conflict)
            }
            (Some(topic), _) => Ok(topic.options.clone()),
            (None, Some(wanted)) => {
                wanted.check()?;
                Ok(wanted.clone())
            }
            (None, None) => Ok(Arc::default()),
        }
    }

    fn check_bounds(&self, sub: &Subscribe) -> Result<(), Error> {
        let streams = |key: Option<&Name>| {
            self.conns
                .iter()
                .filter(|conn| conn.is_open())
                .filter_map(|conn| conn.stream.as_ref())
                .filter(|stream| key.is_none() || stream.key.as_ref() == key)
                .count()
        };
        let config = &self.config;
        if sub.head.len() > config.head_bytes as usize {
            return Err(Error::Full(Bound::Head));
        }
        if streams(None) >= config.subscribers as usize {
            return Err(Error::Full(Bound::Subscribers));
        }
        if let (Some(limit), Some(key)) = (config.streams_per_key, &sub.key)
            && streams(Some(key)) >= limit as usize
        {
            return Err(Error::Full(Bound::StreamsPerKey));
        }
        let new = sub
            .topics
            .iter()
            .filter(|j| self.topic(j.topic.as_str()).is_none());
        let new = new.count();
        let requested = self.topics.iter().filter(|topic| !topic.declared).count();
        if new > 0 && self.topics.len() + new > config.topics as usize {
            return Err(Error::Full(Bound::Topics));
        }
        if new > 0 && requested + new > config.topics_by_request as usize {
            return Err(Error::Full(Bound::TopicsByRequest));
        }
        let mut sources = self
            .topics
            .iter()
            .filter(|topic| self.has_source(topic))
            .count();
        for join in &sub.topics {
            let options = self.options_of(&join.topic, join.options.as_ref())?;
            let standing = self.topic(join.topic.as_str());
            let starts = options.source != SourceKind::None
                && standing.is_none_or(|topic| {
                    !(self.has_source(topic) || topic.spent && self.members(&topic.name) > 0)
                });
            sources += usize::from(starts);
            if starts && sources > config.sources as usize {
                return Err(Error::Full(Bound::Sources));
            }
        }
        Ok(())
    }

    /// Its source runs, or will.
    fn has_source(&self, topic: &Topic) -> bool {
        topic.source.is_some() || self.wants_source(topic)
    }

    pub(super) fn wants_source(&self, topic: &Topic) -> bool {
        topic.options.source != SourceKind::None
            && !topic.spent
            && self.shutdown.is_none()
            && self.members(&topic.name) > 0
    }

    fn open(&mut self, id: SubscriberId, sub: &Subscribe) -> Result<(), Error> {
        let outbox = self.first_items(id, sub);
        let (now, heartbeat) = (self.now, self.config.heartbeat);
        let life = sub.lifetime.or(self.config.max_lifetime);
        let conn = self.conn(id)?;
        conn.phase = Phase::Streaming;
        conn.mounted = matches!(sub.via, Via::Mounted { .. });
        conn.traffic = now;
        conn.opened = now;
        conn.outbox = outbox;
        conn.stream = Some(Stream {
            topics: sub.topics.iter().map(|join| join.topic.clone()).collect(),
            heartbeat: match sub.heartbeat {
                Heartbeat::Default => Some(heartbeat),
                Heartbeat::Comment(every) | Heartbeat::Event(every) => Some(every),
                Heartbeat::Off => None,
            },
            beat_event: matches!(sub.heartbeat, Heartbeat::Event(_)),
            // Anywhere in the last eighth will do.
            lifetime: life.map(|life| now + life / 16 * 15),
            expires: sub.expires,
            key: sub.key.clone(),
            end_when_finished: sub.end_when_finished,
        });
        Ok(())
    }

    /// Everything that a stream gets before what is published from now on.
    fn first_items(&self, id: SubscriberId, sub: &Subscribe) -> Vec<Item> {
        let mut prelude = [&sub.head[..], b":\n\n"].concat();
        if sub.retry {
            prelude.extend(self.retry_block(id.as_u64() + 7));
        }
        let mut items = vec![Item::new(What::Prelude, prelude)];
        let primes = matches!(sub.start, Start::Now | Start::Newest);
        let mut replay: Vec<Item> = Vec::new();
        let mut history = false;
        for topic in sub
            .topics
            .iter()
            .filter_map(|j| self.topic(j.topic.as_str()))
        {
            history |= topic.options.history;
            let newest = topic.log.len().saturating_sub(1);
            let from = match &sub.start {
                Start::Newest => newest,
                Start::Oldest => 0,
                Start::After(id) if topic.options.history => self.resume(topic, id, &mut replay),
                _ if topic.options.dedupe => newest,
                _ => topic.log.len(),
            };
            let snapshot = primes && topic.options.history;
            for logged in &topic.log[from..] {
                replay.push(logged.item(&topic.name, snapshot));
            }
        }
        replay.sort_by_key(Item::place);
        items.append(&mut replay);
        if primes && history {
            let id = EventId {
                epoch: self.config.epoch,
                seq: self.seq,
            };
            let bytes = format!("id: {id}\n\n").into_bytes();
            items.push(Item::new(What::Prime(self.seq), bytes));
        }
        items
    }

    /// Where a resumed stream starts in a log; a notice if something may be gone.
    fn resume(&self, topic: &Topic, id: &[u8], replay: &mut Vec<Item>) -> usize {
        // The last that may have been missed: gone from this life, or before it.
        let last = topic.gone.max(topic.born);
        let (why, from) = match EventId::parse(id) {
            None => ("unknown", 0),
            Some(id) if id.epoch != self.config.epoch => ("epoch", 0),
            Some(id) if id.seq > self.seq => ("ahead", 0),
            Some(id) => {
                let next = topic.log.iter().position(|logged| logged.seq > id.seq);
                let from = next.unwrap_or(topic.log.len());
                if last <= id.seq {
                    return from;
                }
                ("expired", from)
            }
        };
        if topic.options.notice.unwrap_or(topic.options.history) {
            replay.push(self.notice(topic, Vec::new(), why, last));
        }
        from
    }

    pub(super) fn notice(
        &self,
        topic: &Topic,
        missed: Vec<Item>,
        why: &'static str,
        last: u64,
    ) -> Item {
        // Only a lag can be counted.
        let number = match why {
            "slow" => missed.len().to_string(),
            _ => "null".to_owned(),
        };
        // Before it is primed a stream carries no id: it would cover snapshots still to come.
        let primed = missed.last().is_none_or(|item| !item.is_snapshot());
        let name = topic
            .name
            .as_str()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        let mut text = format!(
            "event: sse-gap\ndata: {{\"topic\":\"{name}\",\"missed\":{number},\"why\":\"{why}\"}}\n"
        );
        if topic.options.history && primed {
            let (epoch, seq) = (self.config.epoch, last);
            text.push_str(&format!("id: {}\n", EventId { epoch, seq }));
        }
        text.push('\n');
        let what = What::Notice {
            topic: topic.name.clone(),
            last,
            why,
            missed,
        };
        Item::new(what, text.into_bytes())
    }
}
