//! A journal's lines, written.

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::time::Duration;

use crate::action::Answer;
use crate::config::Config;
use crate::frame::Frame;
use crate::input::{
    CloseHow, Heartbeat, Input, Next, PollOutcome, Room, ShutdownCause, Socket, SourceEnd, Start,
    Subscribe, Via,
};
use crate::name::Name;
use crate::options::{Slow, SourceKind, TopicOptions};
use crate::time::{Time, nanos};

/// The first word of every journal.
pub(super) const MAGIC: &str = "sse-state-journal 1 ";

/// The fields of the configuration, as numbers.
pub(super) fn fields(config: &Config) -> [(&'static str, Option<u64>); 33] {
    let count = |count: u32| Some(u64::from(count));
    let time = |time: Duration| Some(nanos(time));
    [
        ("epoch", Some(config.epoch.0)),
        ("seed", Some(config.seed)),
        ("hash_key_0", Some(config.hash_key[0])),
        ("hash_key_1", Some(config.hash_key[1])),
        ("head_bytes", count(config.head_bytes)),
        ("head_fields", count(config.head_fields)),
        ("heads_bytes", Some(config.heads_bytes)),
        ("head_timeout", time(config.head_timeout)),
        ("openings", count(config.openings)),
        ("deciding", count(config.deciding)),
        ("bodies_bytes", Some(config.bodies_bytes)),
        ("body_timeout", time(config.body_timeout)),
        ("heartbeat", time(config.heartbeat)),
        ("write_timeout", time(config.write_timeout)),
        ("max_lifetime", config.max_lifetime.map(nanos)),
        ("grace", time(config.grace)),
        ("finish_timeout", time(config.finish_timeout)),
        ("finishing", count(config.finishing)),
        ("subscribers", count(config.subscribers)),
        ("streams_per_key", config.streams_per_key.map(u64::from)),
        ("topics_per_subscriber", count(config.topics_per_subscriber)),
        ("topics", count(config.topics)),
        ("topics_by_request", count(config.topics_by_request)),
        ("name_bytes", count(config.name_bytes)),
        ("sources", count(config.sources)),
        ("polls", count(config.polls)),
        ("poll_timeout", time(config.poll_timeout)),
        ("frame_bytes", count(config.frame_bytes)),
        ("logs_bytes", Some(config.logs_bytes)),
        ("run_bytes", count(config.run_bytes)),
        ("held_bytes", Some(config.held_bytes)),
        ("reader_patience", time(config.reader_patience)),
        ("generations", count(config.generations)),
    ]
}

pub(super) fn header(config: &Config) -> String {
    let mut line = String::new();
    let _ = write!(line, "{MAGIC}{}\nconfig", env!("CARGO_PKG_VERSION"));
    for (name, value) in fields(config) {
        let _ = match value {
            Some(value) => write!(line, " {name}={value}"),
            None => write!(line, " {name}=-"),
        };
    }
    line.push('\n');
    line
}

pub(super) fn answer(line: &mut String, answer: Answer, count: u32) {
    let _ = match answer {
        Answer::All => line.write_str(" a"),
        Answer::Blocked(bytes) => write!(line, " b{bytes}"),
        Answer::Gone => line.write_str(" g"),
        Answer::InFlight => line.write_str(" f"),
    };
    if count > 1 {
        let _ = write!(line, "*{count}");
    }
}

/// Writes into a `String`, which cannot fail.
macro_rules! put {
    ($line:expr, $($text:tt)*) => {{
        let _ = write!($line, $($text)*);
    }};
}

/// Writes the line of an input, with its line feed.
pub(super) fn input(line: &mut String, now: Time, input: &Input<'_>) {
    put!(line, "{} ", now.as_nanos());
    words(line, input);
    line.push('\n');
}

fn words(line: &mut String, input: &Input<'_>) {
    match input {
        Input::Declare { topic, options } => {
            put!(line, "declare {} ", name(topic));
            self::options(line, options)
        }
        Input::Accept => line.push_str("accept"),
        Input::HeadHeld { id, bytes } => put!(line, "head {id} {bytes}"),
        Input::HeadDone { id } => put!(line, "decide {id}"),
        Input::Body { id, bytes } => put!(line, "body {id} {bytes}"),
        Input::Answer { id, bytes } => put!(line, "answer {id} {}", Quoted(bytes)),
        Input::Subscribe(subscribe) => self::subscribe(line, subscribe),
        Input::Publish { topic, frame, room } => {
            let topic = Quoted(topic.as_bytes());
            put!(line, "publish {topic} {} {}", word(*room), Framed(frame))
        }
        Input::Close { id, how } => {
            let how = match how {
                CloseHow::Drain => "drain",
                CloseHow::Stop => "stop",
                CloseHow::Cut => "cut",
            };
            put!(line, "close {id} {how}")
        }
        Input::CloseKey { key } => put!(line, "closekey {}", name(key)),
        Input::PeerGone { id } => put!(line, "gone {id}"),
        Input::StopSource { topic } => put!(line, "stop {}", Quoted(topic.as_bytes())),
        Input::PollResult {
            token,
            number,
            outcome,
            next,
        } => {
            put!(line, "poll {token} {number} ");
            match outcome {
                PollOutcome::Frame(frame) => put!(line, "value {}", Framed(frame)),
                PollOutcome::Unchanged => line.push_str("unchanged -"),
                PollOutcome::Failed(Some(frame)) => put!(line, "failed {}", Framed(frame)),
                PollOutcome::Failed(None) => line.push_str("failed -"),
            }
            line.push_str(match next {
                Next::GoOn => " on",
                Next::Finished => " finished",
            })
        }
        Input::Feed { token, frame, room } => {
            put!(line, "feed {token} {} {}", word(*room), Framed(frame))
        }
        Input::SourceEnded { token, reason } => {
            let reason = match reason {
                SourceEnd::Finished => "finished",
                SourceEnd::Panicked => "panicked",
            };
            put!(line, "ended {token} {reason}")
        }
        Input::Report(reports) => {
            line.push_str("report");
            for report in reports.iter() {
                let socket = match report.socket {
                    Socket::Ready => 'r',
                    Socket::Blocked => 'b',
                    Socket::Gone => 'g',
                };
                put!(line, " {}:{}:{socket}", report.id, report.bytes);
            }
        }
        Input::Writable { id } => put!(line, "writable {id}"),
        Input::Pull { id } => put!(line, "pull {id}"),
        Input::Timeout => line.push_str("timeout"),
        Input::Shutdown { grace, cause } => {
            let cause = match cause {
                ShutdownCause::Asked => "asked",
                ShutdownCause::HubDropped => "dropped",
            };
            put!(line, "shutdown {} {cause}", time(*grace))
        }
    }
}

fn subscribe(line: &mut String, subscribe: &Subscribe) {
    match subscribe.via {
        Via::Connection(id) => put!(line, "subscribe {id}"),
        Via::Mounted { asked } => put!(line, "subscribe mounted:{asked}"),
    }
    match &subscribe.start {
        Start::Now => line.push_str(" now"),
        Start::Newest => line.push_str(" newest"),
        Start::Oldest => line.push_str(" oldest"),
        Start::After(id) => put!(line, " after:{}", Quoted(id)),
    }
    put!(line, " {}", Quoted(&subscribe.head));
    match subscribe.heartbeat {
        Heartbeat::Default => line.push_str(" default"),
        Heartbeat::Comment(every) => put!(line, " comment:{}", nanos(every)),
        Heartbeat::Event(every) => put!(line, " event:{}", nanos(every)),
        Heartbeat::Off => line.push_str(" off"),
    }
    line.push_str(if subscribe.retry { " retry" } else { " -" });
    let expires = Number(subscribe.expires.map(Time::as_nanos));
    put!(line, " {} {expires}", time(subscribe.lifetime));
    match &subscribe.key {
        Some(key) => put!(line, " {}", name(key)),
        None => line.push_str(" -"),
    }
    line.push_str(if subscribe.end_when_finished {
        " end"
    } else {
        " -"
    });
    for join in &subscribe.topics {
        put!(line, " {} ", name(&join.topic));
        match &join.options {
            Some(options) => self::options(line, options),
            None => line.push('-'),
        }
    }
}

/// Options as one word.
fn options(line: &mut String, options: &TopicOptions) {
    match options.source {
        SourceKind::None => line.push_str("none"),
        SourceKind::External => line.push_str("external"),
        SourceKind::Interval(every) => put!(line, "{}", nanos(every)),
    }
    put!(
        line,
        ",{},{},{},{},{},{},{},{},{}",
        options.log_frames,
        options.log_bytes,
        u8::from(options.history),
        nanos(options.retention),
        nanos(options.linger),
        u8::from(options.dedupe),
        match options.slow {
            Slow::Skip => "skip",
            Slow::Conflate => "conflate",
            Slow::Close => "close",
        },
        match options.notice {
            None => "-",
            Some(true) => "1",
            Some(false) => "0",
        },
        u8::from(options.own_ids),
    );
}

fn word(room: Room) -> &'static str {
    match room {
        Room::Evict => "evict",
        Room::Wait => "wait",
    }
}

fn name(name: &Name) -> Quoted<'_> {
    Quoted(name.as_str().as_bytes())
}

fn time(time: Option<Duration>) -> Number {
    Number(time.map(nanos))
}

/// A number, or `-`.
struct Number(Option<u64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("-"),
        }
    }
}

/// Bytes as one word.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0.iter();
        f.write_char('\'')
            .and_then(|()| bytes.try_for_each(|byte| quoted(f, *byte)))
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    match byte {
        b'!'..=b'~' if byte != b'%' => f.write_char(char::from(byte)),
        _ => write!(f, "%{byte:02X}"),
    }
}

/// A frame as one word.
struct Framed<'a>(&'a Frame);

impl fmt::Display for Framed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { buf, key, id_at } = self.0;
        write!(f, "{key}:{id_at}:{}", Quoted(buf))
    }
}
