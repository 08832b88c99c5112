//! What names, ids, times and errors look like as text.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use bytes::Bytes;
use sse_state::journal::{Fault, JournalError, Recorder, replay};
use sse_state::*;

/// Takes so many bytes, and then fails.
struct Paper(usize);

impl Write for Paper {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

/// The text of a value; and that a writer which is full is an error, wherever the text is cut.
fn text(value: &dyn Display) -> String {
    let text = value.to_string();
    for room in 0..text.len() {
        assert!(write!(Paper(room), "{value}").is_err(), "{text}: {room}");
    }
    assert!(write!(Paper(text.len()), "{value}").is_ok(), "{text}");
    text
}

/// Each has a text of its own, which begins in lower case and ends without a full stop, so that it can
/// stand in a sentence.
fn all_differ(values: &[&dyn Display]) {
    let texts: Vec<String> = values.iter().map(|value| text(*value)).collect();
    for (at, text) in texts.iter().enumerate() {
        assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
        assert!(!text.starts_with(char::is_uppercase), "{text}");
        assert!(!texts[..at].contains(text), "twice: {text}");
    }
}

#[test]
fn every_reason_to_refuse_a_call_is_told() {
    let options = Error::from(OptionsError::EmptyLog);
    assert_eq!(text(&options), text(&OptionsError::EmptyLog));
    let (frame, logs) = (Error::Full(Bound::Frame), Error::Full(Bound::Logs));
    assert_eq!(text(&frame), "the bound on Frame is reached");
    all_differ(&[
        &Error::Stale,
        &Error::Phase,
        &Error::ShuttingDown,
        &frame,
        &logs,
        &Error::Wait,
        &Error::Conflict,
        &options,
        &Error::OwnId,
        &Error::MixedIds,
        &Error::Topics,
        &Error::Closed,
        &Error::Expired,
        &Error::Absent,
    ]);
}

#[test]
fn every_reason_to_refuse_a_value_is_told() {
    all_differ(&[
        &OptionsError::EmptyLog,
        &OptionsError::OwnIdsWithHistory,
        &OptionsError::ZeroInterval,
        &NameError::Empty,
        &NameError::TooLong,
        &NameError::Control,
        &EventError::Name,
        &EventError::Reserved,
        &EventError::Id,
        &EventError::Retry,
        &EventError::TooLarge,
        &ConfigError::Zero("topics"),
        &ConfigError::Zero("polls"),
        &ConfigError::TooLarge("topics"),
    ]);
    assert_eq!(text(&ConfigError::Zero("polls")), "`polls` cannot be zero");
}

#[test]
fn every_fault_of_a_journal_is_told_with_its_line() {
    let error = |what| JournalError { line: 3, what };
    let faults = [
        Fault::Format,
        Fault::Syntax,
        Fault::Config,
        Fault::Refused(Error::Stale),
        Fault::Differs,
    ]
    .map(error);
    all_differ(&faults.each_ref().map(|fault| fault as &dyn Display));
    assert!(
        faults
            .iter()
            .all(|fault| text(fault).starts_with("line 3: "))
    );
}

#[test]
fn ids_tokens_and_times_are_short() {
    let id = SubscriberId::from_u64(7 << 32 | 5);
    assert_eq!((text(&id), format!("{id:?}")), ("5.7".into(), "5.7".into()));
    assert_eq!((id.as_u64(), id.slot()), (7 << 32 | 5, 5));
    let token = SourceToken::from_parts(4, 9);
    assert_eq!(
        (text(&token), format!("{token:?}")),
        ("4.9".into(), "4.9".into())
    );
    assert_eq!((token.slot(), token.start()), (4, 9));
    let event = EventId {
        epoch: Epoch(1234),
        seq: 56,
    };
    assert_eq!(text(&event), "16i-56");
    assert_eq!(format!("{:?}", Time::from_millis(1500)), "1.5s");
    assert_eq!(Time::from_nanos(7).as_nanos(), 7);
    assert_eq!(Time::from_millis(u64::MAX), Time::MAX);
    assert_eq!(Time::MAX + Duration::MAX, Time::MAX);
    assert_eq!(
        Time::from_millis(3).since(Time::from_millis(1)),
        Duration::from_millis(2)
    );
    assert_eq!(Time::ZERO.since(Time::MAX), Duration::ZERO);
}

#[test]
fn i7_ids_that_no_machine_writes_are_unknown() {
    for odd in [
        "",
        "-",
        "1-",
        "-1",
        "01-1",
        "1-01",
        "1-+1",
        "W-1",
        "1-1-1",
        "1-1 ",
        "é-1",
        "1-a",
        "w-1",
        "1",
        "1-18446744073709551616",
        "1-99999999999999999999",
        "g000000000000-1",
        "vvvvvvvvvvvvv-11111111111111111111111",
    ] {
        assert_eq!(EventId::parse(odd.as_bytes()), None, "{odd:?}");
    }
    for epoch in [0, 1, 31, 32, 1234, u64::MAX] {
        for seq in [0, 1, 9, 10, u64::MAX] {
            let id = EventId {
                epoch: Epoch(epoch),
                seq,
            };
            assert_eq!(EventId::parse(id.to_string().as_bytes()), Some(id));
            assert!(id.to_string().len() <= 34, "{id}");
        }
    }
    assert_eq!(text(&Epoch(0)), "0");
    assert_eq!(text(&Epoch(31)), "v");
    assert_eq!(text(&Epoch(32)), "10");
    assert_eq!(text(&Epoch(u64::MAX)), "fvvvvvvvvvvvv");
}

#[test]
fn a_name_is_text_of_a_line() {
    let most = "x".repeat(65_535);
    assert_eq!(Name::new(&most).unwrap().as_str(), most);
    assert_eq!(Name::new(&format!("{most}x")), Err(NameError::TooLong));
    assert_eq!(Name::new(""), Err(NameError::Empty));
    for control in ["a\nb", "\r", "a\0", "\u{7f}", "\u{85}"] {
        assert_eq!(Name::new(control), Err(NameError::Control), "{control:?}");
    }
    let name = Name::new("/größe \"x\"").unwrap();
    assert_eq!(
        (text(&name), name.as_ref()),
        (name.as_str().to_owned(), "/größe \"x\"")
    );
    assert_eq!(format!("{name:?}"), r#""/größe \"x\"""#);
}

#[test]
fn a_frame_shows_its_lines() {
    let event = Event::new("a\r\nb")
        .name("n")
        .id("7")
        .retry(Duration::from_secs(1));
    let frame = event.encode().unwrap();
    let lines = "event: n\ndata: a\ndata: b\nretry: 1000\nid: 7\n\n";
    assert_eq!(text(&frame), lines);
    assert!(frame.has_own_id());
    assert_eq!(frame.wire_bytes(false), lines.len());
    assert_eq!(frame.wire_bytes(true), lines.len() + "id: ".len() + 34 + 1);
    assert!(!Event::new("a").encode().unwrap().has_own_id());
    let more = "x".repeat((256 << 20) + 1);
    assert_eq!(Event::new(&more).encode(), Err(EventError::TooLarge));
}

#[test]
fn a_run_is_its_bytes() {
    let bytes = Bytes::from_static(b"a\n\n");
    let run = Run::of(&bytes);
    assert_eq!((run.as_slice(), &run[1..]), (&b"a\n\n"[..], &b"\n\n"[..]));
    assert_eq!(run.to_bytes().as_ptr(), bytes.as_ptr(), "no copy");
    assert_eq!(format!("{run:?}"), r#"b"a\n\n""#);
}

#[test]
fn a_recorder_and_a_replay_show_what_was_digested() {
    let state = SseState::new(Config::new(Epoch(1))).unwrap();
    let journal = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let out = journal.clone();
    let mut recorder = Recorder::new(
        state,
        Box::new(move |line| out.lock().unwrap().push_str(line)),
    );
    recorder.apply(Time::ZERO, Input::Accept).unwrap();
    let shown = format!("{recorder:?}");
    assert!(shown.starts_with("Recorder { actions: "), "{shown}");
    recorder.finish();
    let replayed = replay(&journal.lock().unwrap()).unwrap();
    let shown = format!("{replayed:?}");
    let (actions, state, lines) = (replayed.actions, replayed.state, replayed.lines);
    assert_eq!(
        shown,
        format!("Replay {{ actions: {actions}, state: {state}, lines: {lines}, .. }}")
    );
    assert_eq!(lines, 4);
    assert_eq!(state, replayed.machine.digest());
}

#[test]
fn b7_what_a_configuration_cannot_hold() {
    let config = |change: fn(&mut Config)| {
        let mut config = Config::new(Epoch(1));
        change(&mut config);
        SseState::new(config).map(drop)
    };
    let too_large = |field| Err(ConfigError::TooLarge(field));
    assert_eq!(config(|config| config.subscribers = 1 << 28), Ok(()));
    assert_eq!(config(|config| config.topics = 1 << 28), Ok(()));
    assert_eq!(
        config(|config| config.subscribers = (1 << 28) + 1),
        too_large("subscribers")
    );
    assert_eq!(
        config(|config| config.topics = (1 << 28) + 1),
        too_large("topics")
    );
    assert_eq!(config(|config| config.frame_bytes = 1 << 30), Ok(()));
    assert_eq!(
        config(|config| config.frame_bytes = (1 << 30) + 1),
        too_large("frame_bytes")
    );
    assert_eq!(
        config(|config| config.generations = u32::MAX),
        too_large("generations")
    );
    assert_eq!(config(|config| config.generations = u32::MAX - 1), Ok(()));
    // "About every 15 seconds" (WHATWG) is the default, and what a zero means.
    let zero = Config {
        heartbeat: Duration::ZERO,
        ..Config::new(Epoch(1))
    };
    assert_eq!(
        SseState::new(zero).unwrap().config().heartbeat,
        Duration::from_secs(15)
    );
}

#[test]
fn options_that_contradict_each_other() {
    let options = TopicOptions::default;
    let wrong = |wrong: TopicOptions| wrong.check().unwrap_err();
    let empty = TopicOptions {
        log_frames: 0,
        ..options()
    };
    assert_eq!(wrong(empty), OptionsError::EmptyLog);
    let empty = TopicOptions {
        log_bytes: 0,
        ..options()
    };
    assert_eq!(wrong(empty), OptionsError::EmptyLog);
    let both = TopicOptions {
        own_ids: true,
        history: true,
        ..options()
    };
    assert_eq!(wrong(both), OptionsError::OwnIdsWithHistory);
    let zero = TopicOptions::polled(SourceKind::Interval(Duration::ZERO));
    assert_eq!(wrong(zero), OptionsError::ZeroInterval);
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    let kept = |history, retention| {
        TopicOptions {
            history,
            retention,
            ..options()
        }
        .retained_for()
    };
    assert_eq!(kept(false, Duration::ZERO), Duration::ZERO);
    assert_eq!(kept(false, hour), hour);
    assert_eq!(kept(true, Duration::ZERO), minute);
    assert_eq!(kept(true, hour), hour);
}
