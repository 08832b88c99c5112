//! Journals that are broken are refused, at the line where they are; and a recorder is the machine that it
//! records.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sse_state::journal::{Fault, JournalError, Recorder, read, replay, write};
use sse_state::*;

/// Every kind of line, with every kind of word.
const LINES: &str = "\
0 declare 'a%20b 1000000,64,4194304,1,0,0,1,skip,-,0
0 declare 'c external,64,4194304,1,0,0,1,close,0,0
0 accept
0 head 0.0 7
0 decide 0.0
0 subscribe 0.0 after:'x%01 'head comment:5 retry 7 8 'key end 'a%20b -
1 subscribe mounted:0 newest ' event:5 - - - - - 'a none,1,2,0,3,4,0,conflate,1,1
1 subscribe mounted:0 oldest ' off - - - - - 'a -
1 subscribe mounted:0 now ' default - - - - - 'a -
2 publish 'a evict 7:7:'data:1%0A
3 feed 0.1 wait 7:7:'data:2%0A
4 poll 0.1 1 value 7:7:'data:3%0A on
4 poll 0.1 2 unchanged - finished
4 poll 0.1 3 failed - on
4 poll 0.1 3 failed 7:7:'data:3%0A on
5 ended 0.1 panicked
5 ended 0.1 finished
pump 256 a*2 b17 f g
action
6 report 0.0:3:b 1.0:4:g 2.0:4:r
6 writable 0.0
6 pull 1.0
6 body 2.0 5
6 answer 2.0 'x
7 stop 'a%25b
8 close 0.0 drain
8 close 0.0 stop
8 close 0.0 cut
8 closekey 'key
8 gone 1.0
9 timeout
10 shutdown - asked
11 shutdown 5 dropped
";

fn journal(lines: &str) -> String {
    write(&Config::new(Epoch(7)), &[]) + lines
}

/// What stands between words and within them.
fn cuts(line: &str) -> Vec<usize> {
    let separators = line
        .char_indices()
        .filter(|(_, char)| " .:,*'%=-".contains(*char));
    let mut cuts: Vec<usize> = separators.flat_map(|(at, _)| [at, at + 1]).collect();
    cuts.extend([0, line.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

#[test]
fn a_line_that_is_broken_anywhere_is_refused_or_says_something_else() {
    for line in LINES.lines() {
        let whole = journal(line) + "\n";
        let (config, calls) = read(&whole).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(write(&config, &calls), whole);
        let cuts = cuts(line);
        let mut refused = 0;
        let pieces = cuts
            .iter()
            .flat_map(|from| cuts.iter().map(|to| (*from, *to)));
        for (from, to) in pieces.filter(|(from, to)| from < to) {
            for by in [
                "",
                "?",
                "-",
                "99999999999999999999",
                "'%F",
                "'%a\u{e9}",
                "\u{e9}",
                "'%a\u{e9}",
            ] {
                let broken = format!("{}{by}{}", &line[..from], &line[to..]);
                match read(&journal(&broken)) {
                    Err(error) => {
                        let what = Fault::Syntax;
                        assert_eq!(error, JournalError { line: 3, what }, "{broken}");
                        refused += 1;
                    }
                    // What is left out at the end of a list leaves a shorter list.
                    Ok((config, calls)) => {
                        let again = write(&config, &calls);
                        assert_eq!(read(&again).unwrap().1, calls, "{broken}");
                    }
                }
            }
        }
        assert!(refused > 0, "{line}");
    }
}

#[test]
fn a_frame_whose_offsets_lie_outside_is_refused() {
    let whole = |offsets: &str| {
        read(&journal(&format!(
            "2 publish 'a evict {offsets}:'data:1%0A"
        )))
        .is_ok()
    };
    assert!(whole("0:0") && whole("7:7") && whole("3:5"));
    assert!(!whole("8:7") && !whole("7:8") && !whole("8:8") && !whole("5:3"));
}

#[test]
fn a_head_that_is_broken_is_refused() {
    let fault = |journal: &str| replay(journal).map(|replay| replay.lines);
    let error = |line, what| Err(JournalError { line, what });
    let whole = journal("");
    assert_eq!(fault(&whole), Ok(2));
    assert_eq!(fault(""), error(0, Fault::Format));
    assert_eq!(
        fault("sse-state-journal 2 0.1.0\n"),
        error(1, Fault::Format)
    );
    let (first, second) = whole.split_once('\n').unwrap();
    assert_eq!(fault(first), error(1, Fault::Syntax), "no configuration");
    for word in second.split_whitespace() {
        let without = second.replacen(word, "", 1);
        assert_eq!(
            fault(&format!("{first}\n{without}")),
            error(2, Fault::Syntax),
            "{word}"
        );
        let (name, _) = word.split_once('=').unwrap_or(("", ""));
        for (value, fits) in [("", false), ("-", true), ("18446744073709551615", true)] {
            let other = second.replacen(word, &format!("{name}={value}"), 1);
            let fault = fault(&format!("{first}\n{other}"));
            let syntax = fault == error(2, Fault::Syntax);
            assert!(
                syntax || (fits && !name.is_empty()),
                "{word} {value}: {fault:?}"
            );
        }
        let odd = second.replacen(word, &format!("{word}x"), 1);
        assert_eq!(
            fault(&format!("{first}\n{odd}")),
            error(2, Fault::Syntax),
            "{word}"
        );
    }
    let zero = whole.replace("topics=100000", "topics=0");
    assert_eq!(fault(&zero), error(2, Fault::Config));
}

/// A run with a publish, a pump and one action, and what it has written.
fn recorded() -> (String, u64) {
    let journal = Arc::new(Mutex::new(String::new()));
    let out = journal.clone();
    let state = SseState::new(Config::new(Epoch(7))).unwrap();
    let mut recorder = Recorder::new(
        state,
        Box::new(move |line| out.lock().unwrap().push_str(line)),
    );
    drive(&mut recorder);
    recorder.finish();
    let text = journal.lock().unwrap().clone();
    (text, recorder.actions())
}

#[test]
fn r3_what_was_changed_in_a_journal_is_found() {
    let (whole, actions) = recorded();
    let replayed = replay(&whole).unwrap();
    assert_eq!(replayed.actions, actions);
    let calls = read(&whole).unwrap().1;
    assert_eq!(
        calls.len(),
        whole.lines().count() - 3,
        "all but the head and the end"
    );
    let lines: Vec<&str> = whole.lines().collect();
    let faults: BTreeMap<usize, Fault> = (2..lines.len())
        .filter_map(|at| {
            let mut less = lines.clone();
            less.remove(at);
            let error = replay(&less.join("\n")).err()?;
            Some((at, error.what))
        })
        .collect();
    // Without one of its calls nearly everything after it comes out differently.
    assert!(
        faults.len() * 4 > (lines.len() - 2) * 3,
        "{faults:?}\n{whole}"
    );
    for (from, to, what) in [
        ("pump 1000 a", "pump 1000 a a", Fault::Differs),
        ("'data:%20x", "'data:%20y", Fault::Differs),
        ("0 accept\n", "0 accept\nwhat\n", Fault::Syntax),
        ("0 accept\n", "0 accept\nend 0\n", Fault::Syntax),
        ("0 accept\n", "0 accept\nend x 0\n", Fault::Syntax),
        ("0 accept\n", "0 accept\nend 0 x\n", Fault::Syntax),
        ("0 accept\n", "0 accept\nend 0 0\n", Fault::Differs),
        ("0 accept\n", "0 accept\naction =x\n", Fault::Syntax),
        ("0 accept\n", "0 accept\npump 1 =x\n", Fault::Syntax),
        (" seed=0 ", " seed0 ", Fault::Syntax),
        (
            "0 accept\n",
            "0 accept\n0 gone 0.1\n",
            Fault::Refused(Error::Stale),
        ),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{from}");
        assert_eq!(
            replay(&changed).err().map(|error| error.what),
            Some(what),
            "{from}"
        );
    }
    for line in lines
        .iter()
        .filter(|line| line.contains(" =") || line.starts_with("end "))
    {
        let last = line.chars().next_back().unwrap();
        let other = if last == '0' { '1' } else { '0' };
        let changed = format!("{}{other}", &line[..line.len() - 1]);
        let error = replay(&whole.replacen(line, &changed, 1)).unwrap_err();
        assert_eq!(error.what, Fault::Differs, "{line}");
    }
}

/// Answers everything with the whole of it.
#[derive(Default)]
struct All(Vec<Action>);

impl Sink for All {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let run = run.to_bytes();
        self.0.push(Action::Write { id, run });
        Answer::All
    }

    fn control(&mut self, control: Control) {
        self.0.push(Action::Control(control));
    }
}

/// Puts an engine through a short life; tells all that can be seen of it.
fn drive(engine: &mut dyn Engine) -> (Vec<Action>, Vec<String>) {
    let mut seen = Vec::new();
    let mut sink = All::default();
    let mut look = |engine: &dyn Engine, id| {
        engine.check_invariants();
        seen.push(format!(
            "{:?} {:?} {:?} {:?} {} {} {} {:?} {}",
            engine.poll_timeout(),
            engine.now(),
            engine.interest("/t"),
            engine.interest("/u"),
            engine.is_live(id),
            engine.asked(),
            engine.is_terminated(),
            engine.stats(),
            engine.digest(),
        ));
    };
    let second = |count: u64| Time::from_millis(count * 1000);
    let topic = Name::new("/t").unwrap();
    let options = TopicOptions {
        source: SourceKind::Interval(Duration::from_secs(1)),
        ..TopicOptions::default()
    };
    let options = Arc::new(options);
    let declare = Input::Declare {
        topic: topic.clone(),
        options,
    };
    engine.apply(Time::ZERO, declare).unwrap();
    let Ok(Reply::Id(id)) = engine.apply(Time::ZERO, Input::Accept) else {
        panic!("no id")
    };
    look(engine, id);
    let subscribe = Subscribe::new(Via::Connection(id), topic);
    engine
        .apply(second(1), Input::Subscribe(Box::new(subscribe)))
        .unwrap();
    look(engine, id);
    assert_eq!(engine.pump(1000, &mut sink), Pumped::Idle);
    look(engine, id);
    let frame = Event::new("x").encode().unwrap();
    let room = Room::Evict;
    let publish = Input::Publish {
        topic: "/t".into(),
        frame,
        room,
    };
    engine.apply(second(2), publish).unwrap();
    while let Some(action) = engine.poll_action() {
        if let Action::Write { id, run } = &action {
            let socket = Socket::Ready;
            let bytes = run.len() as u32;
            let report = Report {
                id: *id,
                bytes,
                socket,
            };
            engine
                .apply(second(2), Input::Report(vec![report].into()))
                .unwrap();
        }
        sink.0.push(action);
    }
    look(engine, id);
    assert_eq!(
        engine.apply(second(2), Input::Pull { id }),
        Err(Error::Phase)
    );
    let key = Name::new("ann").unwrap();
    assert_eq!(
        engine.apply(second(2), Input::CloseKey { key }),
        Ok(Reply::Closing(0))
    );
    look(engine, id);
    let grace = Some(Duration::ZERO);
    let cause = ShutdownCause::HubDropped;
    engine
        .apply(second(3), Input::Shutdown { grace, cause })
        .unwrap();
    while engine.pump(1, &mut sink) == Pumped::More {}
    look(engine, id);
    assert!(engine.is_terminated());
    (sink.0, seen)
}

#[test]
fn r3_a_recorder_is_the_machine_that_it_records() {
    let state = || SseState::new(Config::new(Epoch(7))).unwrap();
    let mut recorder = Recorder::new(state(), Box::new(|_| ()));
    let before = recorder.actions();
    let (actions, seen) = drive(&mut state());
    assert_eq!(drive(&mut recorder), (actions, seen.clone()));
    assert_ne!(recorder.actions(), before);
    for (at, one) in seen.iter().enumerate() {
        assert!(!seen[..at].contains(one), "something has changed: {one}");
    }
}
