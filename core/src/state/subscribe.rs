//! From a connection, or from nothing, to a subscriber: one step.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use smallvec::SmallVec;

use super::SseState;
use crate::error::{Bound, Error};
use crate::frame::{Text, share};
use crate::id::{EventId, SubscriberId};
use crate::input::{Heartbeat, Join, Start, Subscribe, Via};
use crate::name::Name;
use crate::options::TopicOptions;
use crate::run::{Piece, Pieces};
use crate::subscriber::{
    BEAT_EVENT, BEGUN, Cursor, END_WITH_SOURCES, MOUNTED, PRIME, Phase, STREAM, WHY_SHIFT,
};
use crate::time::{Time, nanos};
use crate::topic::{Crowd, Source, Topic};

/// Why a resume found a gap, as the notice says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    Expired = 0,
    Unknown = 1,
    Epoch = 2,
    Ahead = 3,
}

impl Why {
    pub(super) fn of(flags: u32) -> Why {
        match flags >> WHY_SHIFT & 3 {
            0 => Why::Expired,
            1 => Why::Unknown,
            2 => Why::Epoch,
            _ => Why::Ahead,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Why::Expired => "expired",
            Why::Unknown => "unknown",
            Why::Epoch => "epoch",
            Why::Ahead => "ahead",
        }
    }
}

/// Where a stream starts, with the client's id read.
#[derive(Clone, Copy)]
enum From {
    Now,
    Newest,
    Oldest,
    After(u64),
    Lost(Why),
}

/// One topic that is joined: its slot if it exists.
struct Plan<'a> {
    join: &'a Join,
    slot: Option<u32>,
    options: Arc<TopicOptions>,
}

impl SseState {
    /// Declares a topic: it stands from now on, and its options win over those of any request.
    /// Declaring it again with equal options changes nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it stands with other options; [`Error::Options`]; [`Error::Full`] for
    /// too many topics or too long a name; [`Error::ShuttingDown`].
    pub fn declare(
        &mut self,
        now: Time,
        topic: &Name,
        options: Arc<TopicOptions>,
    ) -> Result<(), Error> {
        self.open_for_business()?;
        options.check()?;
        self.check_name(topic)?;
        match self.topic(topic.as_str()) {
            Some(slot) => {
                let stands = &mut self.topics[slot as usize];
                if stands.options != options {
                    return self.refuse(Error::Conflict);
                }
                if !stands.declared {
                    stands.declared = true;
                    self.held.by_request -= 1;
                }
            }
            None if self.topics.len() as u32 >= self.config.topics => {
                return self.refuse(Error::Full(Bound::Topics));
            }
            None => {
                self.insert_topic(topic, options, true);
            }
        }
        self.clock(now);
        Ok(())
    }

    /// Opens a stream: it is a member of its topics from here on, and its first bytes are the head,
    /// a comment and, if asked for, a `retry:` block.
    ///
    /// A stream that starts at now or newest is primed: its snapshots come first, without their id,
    /// then a block with the id current at this moment. Topics come to be on demand; the first member
    /// starts a source.
    ///
    /// # Errors
    /// [`Error::Stale`], [`Error::Phase`] for the connection; [`Error::Topics`], [`Error::Options`],
    /// [`Error::MixedIds`], [`Error::Conflict`] for the topics; [`Error::Expired`], [`Error::Closed`]
    /// for the grant; [`Error::Full`] for a bound; [`Error::ShuttingDown`].
    pub fn subscribe(&mut self, now: Time, subscribe: &Subscribe) -> Result<SubscriberId, Error> {
        self.open_for_business()?;
        let now = now.max(self.now);
        let (slot, mark) = match subscribe.via {
            Via::Connection(id) => {
                let slot = self.find(id)?;
                match self.subs.at(slot).phase {
                    Phase::Head => (Some(slot), self.keys.asked()),
                    Phase::Deciding => (Some(slot), self.subs.at(slot).seq),
                    _ => return Err(Error::Phase),
                }
            }
            Via::Mounted { asked } => (None, asked),
        };
        if subscribe.expires.is_some_and(|at| at <= now) {
            return Err(Error::Expired);
        }
        if subscribe.head.len() > self.config.head_bytes as usize {
            return self.refuse(Error::Full(Bound::Head));
        }
        if self.held.streams >= self.config.subscribers {
            return self.refuse(Error::Full(Bound::Subscribers));
        }
        if let Some(key) = &subscribe.key {
            self.check_name(key)?;
            if let Err(error) = self.keys.check(key, mark, self.config.streams_per_key) {
                return self.refuse(error);
            }
        }
        let prelude = subscribe.head.len() as u64 + PRELUDE_BYTES;
        if self.runs.bytes() + prelude > self.config.held_bytes {
            return self.refuse(Error::Full(Bound::Held));
        }
        let plans = match self.plan(&subscribe.topics) {
            Ok(plans) => plans,
            Err(error) => return self.refuse(error),
        };
        let slot = match slot {
            Some(slot) => slot,
            None => self.new_slot()?,
        };
        self.clock(now);
        self.open_stream(slot, subscribe, plans);
        Ok(self.subs.id(slot))
    }

    fn check_name(&mut self, name: &Name) -> Result<(), Error> {
        if name.as_str().len() > self.config.name_bytes as usize {
            return self.refuse(Error::Full(Bound::Name));
        }
        Ok(())
    }

    /// Whether these topics can be joined together, now.
    fn plan<'a>(&self, joins: &'a [Join]) -> Result<SmallVec<[Plan<'a>; 1]>, Error> {
        if joins.len() > self.config.topics_per_subscriber as usize {
            return Err(Error::Full(Bound::TopicsPerSubscriber));
        }
        let (mut made, mut sources) = (0, 0);
        let (mut history, mut own_ids) = (false, false);
        let mut plans = SmallVec::with_capacity(joins.len());
        for (place, join) in joins.iter().enumerate() {
            if joins[..place].iter().any(|other| other.topic == join.topic) {
                return Err(Error::Topics);
            }
            if join.topic.as_str().len() > self.config.name_bytes as usize {
                return Err(Error::Full(Bound::Name));
            }
            let slot = self.topic(join.topic.as_str());
            let options = match (slot, &join.options) {
                (Some(slot), wanted) => {
                    let stands = &self.topics[slot as usize];
                    if let Some(wanted) = wanted
                        && !stands.declared
                        && stands.options != *wanted
                    {
                        return Err(Error::Conflict);
                    }
                    stands.options.clone()
                }
                (None, Some(wanted)) => {
                    wanted.check()?;
                    wanted.clone()
                }
                (None, None) => self.default_options.clone(),
            };
            made += u32::from(slot.is_none());
            let active = slot.is_some_and(|slot| {
                let topic = &self.topics[slot as usize];
                topic.is_active() || topic.members() > 0
            });
            sources += u32::from(options.source != crate::SourceKind::None && !active);
            history |= options.history;
            own_ids |= options.own_ids;
            plans.push(Plan {
                join,
                slot,
                options,
            });
        }
        if plans.is_empty() {
            return Err(Error::Topics);
        }
        if history && own_ids {
            return Err(Error::MixedIds);
        }
        if self.topics.len() as u32 + made > self.config.topics {
            return Err(Error::Full(Bound::Topics));
        }
        if self.held.by_request + made > self.config.topics_by_request {
            return Err(Error::Full(Bound::TopicsByRequest));
        }
        if self.held.sources + sources > self.config.sources {
            return Err(Error::Full(Bound::Sources));
        }
        Ok(plans)
    }

    /// Everything was checked: it becomes a member.
    fn open_stream(&mut self, slot: u32, subscribe: &Subscribe, plans: SmallVec<[Plan<'_>; 1]>) {
        let mounted = matches!(subscribe.via, Via::Mounted { .. });
        if !mounted {
            self.leave_phase(slot);
            self.wheel.remove(&mut self.subs, slot);
        }
        let history = plans.iter().any(|plan| plan.options.history);
        let from = self.read_start(&subscribe.start);
        let mut flags = STREAM | BEGUN;
        if mounted {
            flags |= MOUNTED;
        }
        if subscribe.end_when_finished {
            flags |= END_WITH_SOURCES;
        }
        if history && matches!(from, From::Now | From::Newest) {
            flags |= PRIME;
        }
        if history && let From::Lost(why) = from {
            flags |= (why as u32) << WHY_SHIFT;
        }
        let heartbeat = match subscribe.heartbeat {
            Heartbeat::Default => self.config.heartbeat,
            Heartbeat::Comment(every) | Heartbeat::Event(every) if every.is_zero() => {
                self.config.heartbeat
            }
            Heartbeat::Comment(every) | Heartbeat::Event(every) => every,
            Heartbeat::Off => core::time::Duration::ZERO,
        };
        if matches!(subscribe.heartbeat, Heartbeat::Event(_)) {
            flags |= BEAT_EVENT;
        }
        let life = subscribe.lifetime.or(self.config.max_lifetime);
        let lives = life.map_or(Time::MAX, |life| {
            let eighth = nanos(life) / 8;
            let less = self.spread(slot, SALT_LIFETIME) % eighth.max(1);
            self.now + core::time::Duration::from_nanos(nanos(life) - less)
        });
        let key = match &subscribe.key {
            Some(key) => self.keys.join(key),
            None => crate::list::NIL,
        };
        let prelude = self.prelude(slot, subscribe);
        let end = prelude.len() as u32;
        let run = self.runs.insert(share(prelude), Pieces::One(Piece::Begun));
        let (now, seq) = (self.now, self.seq);
        let sub = self.subs.at_mut(slot);
        sub.phase = Phase::Streaming;
        sub.flags = flags;
        sub.run = run;
        sub.off = 0;
        sub.end = end;
        sub.key = key;
        sub.heartbeat = nanos(heartbeat);
        sub.last = now;
        sub.stall = Time::MAX;
        sub.until = lives;
        sub.expires = subscribe.expires.unwrap_or(Time::MAX);
        sub.seq = seq;
        self.held.streams += 1;
        self.stats.subscribed += 1;
        for plan in plans {
            let topic = match plan.slot {
                Some(topic) => topic,
                None => self.insert_topic(&plan.join.topic, plan.options, false),
            };
            self.join(slot, topic, from);
        }
        self.rewheel(slot);
        self.advance(slot);
    }

    /// What the client's id says about where it was.
    fn read_start(&self, start: &Start) -> From {
        let id = match start {
            Start::Now => return From::Now,
            Start::Newest => return From::Newest,
            Start::Oldest => return From::Oldest,
            Start::After(id) => EventId::parse(id),
        };
        match id {
            None => From::Lost(Why::Unknown),
            Some(id) if id.epoch != self.config.epoch => From::Lost(Why::Epoch),
            Some(id) if id.seq > self.seq => From::Lost(Why::Ahead),
            Some(id) => From::After(id.seq),
        }
    }

    /// Makes it a member of this topic. The member is there before a source is started for it.
    fn join(&mut self, slot: u32, topic: u32, from: From) {
        let (first, head, floor) = {
            let log = &self.topics[topic as usize].log;
            (log.first(), log.head(), log.floor)
        };
        let here = &mut self.topics[topic as usize];
        let newest = head.saturating_sub(1).max(first);
        let (mut next, mut gap) = (head, false);
        match from {
            From::Now => {}
            From::Newest => next = newest,
            From::Oldest => next = first,
            From::After(seq) if here.options.history => {
                next = here.log.after(seq);
                gap = seq < floor;
            }
            From::Lost(_) if here.options.history => {
                next = first;
                gap = true;
            }
            From::After(_) | From::Lost(_) => {}
        }
        // Whoever joins a topic with dedupe gets the current value, unless it resumes.
        let resumes = here.options.history && matches!(from, From::After(_) | From::Lost(_));
        if here.options.dedupe && !resumes {
            next = next.min(newest);
        }
        let mut cursor = Cursor::new(topic, next);
        if gap {
            self.stats.gaps += 1;
            if here.options.tells_resume() {
                cursor.mark_gap();
            }
        }
        let behind = here.vector(Crowd::Behind);
        let crowd = &mut here.crowds[behind as usize];
        cursor.set_place(behind, crowd.len() as u32);
        crowd.push(slot);
        let first_member = here.members() == 1;
        self.subs.at_mut(slot).cursors.push(cursor);
        if first_member {
            self.first_joined(topic);
        }
    }

    pub(super) fn insert_topic(
        &mut self,
        name: &Name,
        options: Arc<TopicOptions>,
        declared: bool,
    ) -> u32 {
        // A declared topic logs from the start if it has history; nothing of it can be gone.
        let topic = Topic::new(name.clone(), options, declared, self.seq);
        let slot = self.topics.insert(topic) as u32;
        self.topic_slots = self.topic_slots.max(slot + 1);
        self.held.by_request += u32::from(!declared);
        let topics = &self.topics;
        self.names.insert(name.as_str(), slot, |slot| {
            topics[slot as usize].name.as_str()
        });
        slot
    }

    /// The first bytes of a stream.
    fn prelude(&self, slot: u32, subscribe: &Subscribe) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(subscribe.head.len() + PRELUDE_BYTES as usize);
        bytes.extend_from_slice(&subscribe.head);
        bytes.extend_from_slice(b":\n\n");
        if subscribe.retry {
            let millis = self.retry_ms(slot, SALT_OPENING);
            let _ = write!(Text(&mut bytes), "retry: {millis}\n\n");
        }
        bytes
    }

    /// A reconnection time that spreads clients over two seconds.
    pub(super) fn retry_ms(&self, slot: u32, salt: u64) -> u64 {
        RETRY_MS + self.spread(slot, salt) % (RETRY_SPREAD_MS + 1)
    }

    /// True if every source that its topics have was ended.
    pub(super) fn sources_ended(&self, slot: u32) -> bool {
        let mut any = false;
        for cursor in &self.subs.at(slot).cursors {
            let topic = &self.topics[cursor.topic as usize];
            if topic.has_source() {
                if !matches!(topic.source, Source::Ended) {
                    return false;
                }
                any = true;
            }
        }
        any
    }
}

/// More than the comment and a `retry:` block take.
const PRELUDE_BYTES: u64 = 24;
/// WIRE: 2 s, and up to 2 s more.
const RETRY_MS: u64 = 2000;
const RETRY_SPREAD_MS: u64 = 2000;
pub(super) const SALT_OPENING: u64 = 1;
pub(super) const SALT_FAREWELL: u64 = 2;
const SALT_LIFETIME: u64 = 3;
pub(super) const SALT_HEARTBEAT: u64 = 4;
