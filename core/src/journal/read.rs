//! A journal's lines, read back.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

use super::write::{MAGIC, fields};
use super::{Fault, JournalError};
use crate::action::Answer;
use crate::config::Config;
use crate::frame::Frame;
use crate::id::{Epoch, SourceToken, SubscriberId};
use crate::input::{
    CloseHow, Heartbeat, Input, Join, Next, PollOutcome, Report, Room, ShutdownCause, Socket,
    SourceEnd, Start, Subscribe, Via,
};
use crate::name::Name;
use crate::options::{Slow, SourceKind, TopicOptions};
use crate::time::Time;

/// One line.
pub(super) enum Line<'a> {
    Input(Time, Input<'static>),
    Pump(u32, Answers<'a>, Option<u64>),
    Action(Option<u64>),
    End(u64, u64),
}

/// The configuration of a journal, and its further lines with their numbers, without comments.
pub(super) fn open(
    journal: &str,
) -> Result<(Config, impl Iterator<Item = (u64, &str)>), JournalError> {
    let mut lines = (1..)
        .zip(journal.lines())
        .filter(|(_, line)| !line.starts_with('#'));
    let (line, first) = lines.next().unwrap_or((0, ""));
    if !first.starts_with(MAGIC) {
        let what = Fault::Format;
        return Err(JournalError { line, what });
    }
    let (line, second) = lines.next().unwrap_or((line, ""));
    let what = Fault::Syntax;
    let config = config(second).ok_or(JournalError { line, what })?;
    Ok((config, lines))
}

fn config(line: &str) -> Option<Config> {
    let mut config = Config::new(Epoch(0));
    let words = line.strip_prefix("config ")?.split(' ');
    let mut given = 0;
    for (word, (name, _)) in words.zip(fields(&Config::new(Epoch(0)))) {
        let value = word.strip_prefix(name)?.strip_prefix('=')?;
        set(&mut config, name, optional(value)?)?;
        given += 1;
    }
    (given == fields(&config).len()).then_some(config)
}

fn set(config: &mut Config, name: &str, value: Option<u64>) -> Option<()> {
    if name == "max_lifetime" {
        config.max_lifetime = value.map(Duration::from_nanos);
        return Some(());
    }
    if name == "streams_per_key" {
        config.streams_per_key = match value {
            Some(value) => Some(u32::try_from(value).ok()?),
            None => None,
        };
        return Some(());
    }
    let value = value?;
    let count = u32::try_from(value).ok();
    let time = Duration::from_nanos(value);
    match name {
        "epoch" => config.epoch = Epoch(value),
        "seed" => config.seed = value,
        "hash_key_0" => config.hash_key[0] = value,
        "hash_key_1" => config.hash_key[1] = value,
        "head_bytes" => config.head_bytes = count?,
        "head_fields" => config.head_fields = count?,
        "heads_bytes" => config.heads_bytes = value,
        "head_timeout" => config.head_timeout = time,
        "openings" => config.openings = count?,
        "deciding" => config.deciding = count?,
        "bodies_bytes" => config.bodies_bytes = value,
        "body_timeout" => config.body_timeout = time,
        "heartbeat" => config.heartbeat = time,
        "write_timeout" => config.write_timeout = time,
        "grace" => config.grace = time,
        "finish_timeout" => config.finish_timeout = time,
        "finishing" => config.finishing = count?,
        "subscribers" => config.subscribers = count?,
        "topics_per_subscriber" => config.topics_per_subscriber = count?,
        "topics" => config.topics = count?,
        "topics_by_request" => config.topics_by_request = count?,
        "name_bytes" => config.name_bytes = count?,
        "sources" => config.sources = count?,
        "polls" => config.polls = count?,
        "poll_timeout" => config.poll_timeout = time,
        "frame_bytes" => config.frame_bytes = count?,
        "logs_bytes" => config.logs_bytes = value,
        "run_bytes" => config.run_bytes = count?,
        "held_bytes" => config.held_bytes = value,
        "reader_patience" => config.reader_patience = time,
        "generations" => config.generations = count?,
        _ => return None, // coverage: the names are those of `fields`
    }
    Some(())
}

/// The answers of a pump, as they were recorded.
pub(super) struct Answers<'a> {
    words: core::str::Split<'a, char>,
    repeat: Option<(Answer, u32)>,
    /// A word could not be read.
    bad: bool,
}

impl Answers<'_> {
    /// All of them; `None` if one cannot be read.
    pub(super) fn all(mut self) -> Option<Vec<Answer>> {
        let answers = self.by_ref().collect();
        (!self.bad).then_some(answers)
    }

    fn word(word: &str) -> Option<(Answer, u32)> {
        let (word, count) = match word.split_once('*') {
            Some((word, count)) => (word, count.parse().ok()?),
            None => (word, 1),
        };
        let answer = match word {
            "a" => Answer::All,
            "g" => Answer::Gone,
            "f" => Answer::InFlight,
            _ => Answer::Blocked(word.strip_prefix('b')?.parse().ok()?),
        };
        Some((answer, count))
    }
}

impl Iterator for Answers<'_> {
    type Item = Answer;

    /// `None` at the end, or where a word cannot be read; the digest then differs.
    fn next(&mut self) -> Option<Answer> {
        if self.repeat.is_none() {
            self.repeat = Answers::word(self.words.next()?);
            self.bad |= self.repeat.is_none();
        }
        let (answer, count) = self.repeat.take()?;
        self.repeat = (count > 1).then(|| (answer, count - 1));
        Some(answer)
    }
}

pub(super) fn line(line: &str) -> Option<Line<'_>> {
    if let Some(rest) = line.strip_prefix("pump ") {
        let (rest, digest) = digest(rest)?;
        let mut words = rest.split(' ');
        let budget = words.next().unwrap_or_default().parse().ok()?;
        let answers = Answers {
            words,
            repeat: None,
            bad: false,
        };
        return Some(Line::Pump(budget, answers, digest));
    }
    if let Some(rest) = line.strip_prefix("action") {
        let (rest, digest) = digest(rest)?;
        return rest.is_empty().then_some(Line::Action(digest));
    }
    if let Some(rest) = line.strip_prefix("end ") {
        let (actions, state) = rest.split_once(' ')?;
        return Some(Line::End(hex(actions)?, hex(state)?));
    }
    let mut words = Words(line.split(' '));
    let now = Time::from_nanos(words.number()?);
    let input = words.input()?;
    match words.0.next() {
        None => Some(Line::Input(now, input)),
        Some(_) => None,
    }
}

/// A line and the digest at its end, if it has one.
fn digest(line: &str) -> Option<(&str, Option<u64>)> {
    match line.rsplit_once(" =") {
        Some((rest, digest)) => Some((rest, Some(hex(digest)?))),
        None => Some((line, None)),
    }
}

/// The words of a line, each read as what it must be.
struct Words<'a>(core::str::Split<'a, char>);

impl<'a> Words<'a> {
    fn input(&mut self) -> Option<Input<'static>> {
        Some(match self.word()? {
            "declare" => Input::Declare {
                topic: self.name()?,
                options: self.options()??,
            },
            "accept" => Input::Accept,
            "head" => Input::HeadHeld {
                id: self.id()?,
                bytes: self.count()?,
            },
            "decide" => Input::HeadDone { id: self.id()? },
            "body" => Input::Body {
                id: self.id()?,
                bytes: self.count()?,
            },
            "answer" => Input::Answer {
                id: self.id()?,
                bytes: self.bytes()?.into(),
            },
            "subscribe" => Input::Subscribe(Box::new(self.subscribe()?)),
            "publish" => {
                let topic = Cow::Owned(self.text()?);
                let room = self.room()?;
                let frame = self.frame()??;
                Input::Publish { topic, frame, room }
            }
            "close" => Input::Close {
                id: self.id()?,
                how: match self.word()? {
                    "drain" => CloseHow::Drain,
                    "stop" => CloseHow::Stop,
                    "cut" => CloseHow::Cut,
                    _ => return None,
                },
            },
            "closekey" => Input::CloseKey { key: self.name()? },
            "gone" => Input::PeerGone { id: self.id()? },
            "stop" => Input::StopSource {
                topic: Cow::Owned(self.text()?),
            },
            "poll" => Input::PollResult {
                token: self.token()?,
                number: self.number()?,
                outcome: match (self.word()?, self.frame()?) {
                    ("value", Some(frame)) => PollOutcome::Frame(frame),
                    ("unchanged", None) => PollOutcome::Unchanged,
                    ("failed", frame) => PollOutcome::Failed(frame),
                    _ => return None,
                },
                next: match self.word()? {
                    "on" => Next::GoOn,
                    "finished" => Next::Finished,
                    _ => return None,
                },
            },
            "feed" => {
                let token = self.token()?;
                let room = self.room()?;
                let frame = self.frame()??;
                Input::Feed { token, frame, room }
            }
            "ended" => Input::SourceEnded {
                token: self.token()?,
                reason: match self.word()? {
                    "finished" => SourceEnd::Finished,
                    "panicked" => SourceEnd::Panicked,
                    _ => return None,
                },
            },
            "report" => Input::Report(Cow::Owned(self.reports()?)),
            "writable" => Input::Writable { id: self.id()? },
            "pull" => Input::Pull { id: self.id()? },
            "timeout" => Input::Timeout,
            "shutdown" => Input::Shutdown {
                grace: self.optional()?.map(Duration::from_nanos),
                cause: match self.word()? {
                    "asked" => ShutdownCause::Asked,
                    "dropped" => ShutdownCause::HubDropped,
                    _ => return None,
                },
            },
            _ => return None,
        })
    }

    fn subscribe(&mut self) -> Option<Subscribe> {
        let via = self.word()?;
        let via = match via.strip_prefix("mounted:") {
            Some(asked) => Via::Mounted {
                asked: asked.parse().ok()?,
            },
            None => Via::Connection(id(via)?),
        };
        let start = match self.word()? {
            "now" => Start::Now,
            "newest" => Start::Newest,
            "oldest" => Start::Oldest,
            word => Start::After(unquote(word.strip_prefix("after:")?)?.into()),
        };
        let head = Bytes::from(self.bytes()?);
        let heartbeat = match self.word()? {
            "default" => Heartbeat::Default,
            "off" => Heartbeat::Off,
            word => {
                let (kind, every) = word.split_once(':')?;
                let every = Duration::from_nanos(every.parse().ok()?);
                match kind {
                    "comment" => Heartbeat::Comment(every),
                    "event" => Heartbeat::Event(every),
                    _ => return None,
                }
            }
        };
        let retry = self.flag("retry")?;
        let lifetime = self.optional()?.map(Duration::from_nanos);
        let expires = self.optional()?.map(Time::from_nanos);
        let key = match self.word()? {
            "-" => None,
            key => Some(name(key)?),
        };
        let end_when_finished = self.flag("end")?;
        let mut topics = Vec::new();
        while let Some(topic) = self.0.next() {
            topics.push(Join {
                topic: name(topic)?,
                options: self.options()?,
            });
        }
        Some(Subscribe {
            via,
            topics,
            start,
            head,
            heartbeat,
            retry,
            lifetime,
            expires,
            key,
            end_when_finished,
        })
    }

    fn reports(&mut self) -> Option<Vec<Report>> {
        let words = self.0.by_ref();
        words
            .map(|word| {
                let mut parts = word.split(':');
                let report = Report {
                    id: id(parts.next().unwrap_or_default())?,
                    bytes: parts.next()?.parse().ok()?,
                    socket: match parts.next()? {
                        "r" => Socket::Ready,
                        "b" => Socket::Blocked,
                        "g" => Socket::Gone,
                        _ => return None,
                    },
                };
                parts.next().is_none().then_some(report)
            })
            .collect()
    }

    /// Options, or `-`: none.
    #[allow(clippy::option_option)]
    fn options(&mut self) -> Option<Option<Arc<TopicOptions>>> {
        let word = self.word()?;
        if word == "-" {
            return Some(None);
        }
        let mut parts = word.split(',');
        let mut next = || parts.next();
        let options = TopicOptions {
            source: match next().unwrap_or_default() {
                "none" => SourceKind::None,
                "external" => SourceKind::External,
                every => SourceKind::Interval(Duration::from_nanos(every.parse().ok()?)),
            },
            log_frames: next()?.parse().ok()?,
            log_bytes: next()?.parse().ok()?,
            history: bit(next()?)?,
            retention: Duration::from_nanos(next()?.parse().ok()?),
            linger: Duration::from_nanos(next()?.parse().ok()?),
            dedupe: bit(next()?)?,
            slow: match next()? {
                "skip" => Slow::Skip,
                "conflate" => Slow::Conflate,
                "close" => Slow::Close,
                _ => return None,
            },
            notice: match next()? {
                "-" => None,
                other => Some(bit(other)?),
            },
            own_ids: bit(next()?)?,
        };
        parts.next().is_none().then(|| Some(Arc::new(options)))
    }

    /// A frame, or `-`: none. Its offsets are checked, so that a forged journal cannot do harm.
    #[allow(clippy::option_option)]
    fn frame(&mut self) -> Option<Option<Frame>> {
        let word = self.word()?;
        if word == "-" {
            return Some(None);
        }
        let mut parts = word.splitn(3, ':');
        let key: u32 = parts.next().unwrap_or_default().parse().ok()?;
        let id_at: u32 = parts.next()?.parse().ok()?;
        let buf = unquote(parts.next()?)?;
        let (key, id_at) = (key as usize, id_at as usize);
        (key <= id_at && id_at <= buf.len()).then_some(Some(Frame { buf, key, id_at }))
    }

    fn room(&mut self) -> Option<Room> {
        match self.word()? {
            "evict" => Some(Room::Evict),
            "wait" => Some(Room::Wait),
            _ => None,
        }
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        match self.word()? {
            "-" => Some(false),
            word => (word == name).then_some(true),
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn number(&mut self) -> Option<u64> {
        self.word()?.parse().ok()
    }

    fn count(&mut self) -> Option<u32> {
        self.word()?.parse().ok()
    }

    #[allow(clippy::option_option)]
    fn optional(&mut self) -> Option<Option<u64>> {
        optional(self.word()?)
    }

    fn id(&mut self) -> Option<SubscriberId> {
        id(self.word()?)
    }

    fn token(&mut self) -> Option<SourceToken> {
        let (slot, start) = self.word()?.split_once('.')?;
        Some(SourceToken {
            slot: slot.parse().ok()?,
            start: start.parse().ok()?,
        })
    }

    fn name(&mut self) -> Option<Name> {
        name(self.word()?)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        unquote(self.word()?)
    }
}

fn id(word: &str) -> Option<SubscriberId> {
    let (slot, generation) = word.split_once('.')?;
    Some(SubscriberId {
        slot: slot.parse().ok()?,
        generation: generation.parse().ok()?,
    })
}

fn name(word: &str) -> Option<Name> {
    let text = String::from_utf8(unquote(word)?).ok()?;
    Name::new(&text).ok()
}

#[allow(clippy::option_option)]
fn optional(word: &str) -> Option<Option<u64>> {
    match word {
        "-" => Some(None),
        word => Some(Some(word.parse().ok()?)),
    }
}

fn bit(word: &str) -> Option<bool> {
    match word {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

/// Bytes of a quoted word.
fn unquote(word: &str) -> Option<Vec<u8>> {
    let mut rest = word.strip_prefix('\'')?.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = core::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    Some(bytes)
}
