//! What a journal may hold, and that it is read back as it was written.

use std::sync::{Arc, Mutex};

use sse_state::journal::{Call, Fault, JournalError, Recorder, read, replay, write};
use sse_state::{
    Answer, Config, Engine, Epoch, Input, Name, Pumped, Reply, Run, Sink, SseState, Subscribe,
    SubscriberId, Time, Via,
};

/// Every kind of line once.
const LINES: &str = "\
0 declare 'a%20b 1000000,64,4194304,1,0,0,1,skip,-,0
0 accept
0 head 0.0 7
0 decide 0.0
0 subscribe 0.0 after:'x%01 'head comment:5 retry 7 8 'key end 'a%20b -
1 subscribe mounted:0 newest ' event:5 - - - - - 'a none,1,2,0,3,4,0,conflate,1,1
2 publish 'a evict 7:7:'data:1%0A
3 feed 0.1 wait 7:7:'data:2%0A
4 poll 0.1 1 value 7:7:'data:3%0A on
4 poll 0.1 2 unchanged - finished
4 poll 0.1 3 failed - on
5 ended 0.1 panicked
pump 256 a*2 b17 f g
action
6 report 0.0:3:b 1.0:4:g
6 writable 0.0
6 pull 1.0
6 body 2.0 5
6 answer 2.0 'x
7 stop 'a
8 close 0.0 drain
8 closekey 'key
8 gone 1.0
9 timeout
10 shutdown - asked
11 shutdown 5 dropped
";

#[test]
fn what_is_read_is_written_again() {
    let journal = write(&Config::new(Epoch(7)), &[]) + LINES;
    let (config, calls) = read(&journal).unwrap();
    assert_eq!(config, Config::new(Epoch(7)));
    assert_eq!(calls.len(), LINES.lines().count());
    assert_eq!(write(&config, &calls), journal);
    let Call::Pump { budget, answers } = &calls[12] else {
        panic!("no pump")
    };
    let (all, some) = (Answer::All, Answer::Blocked(17));
    assert_eq!(
        (*budget, answers.as_slice()),
        (256, &[all, all, some, Answer::InFlight, Answer::Gone][..])
    );
}

#[test]
fn comments_are_left_out_and_digests_may_be() {
    let journal = write(&Config::new(Epoch(7)), &[]);
    let told =
        |lines: &str| replay(&format!("# one\n{journal}# two\n{lines}")).map(|replay| replay.lines);
    assert_eq!(told("0 accept\npump 4\naction\n"), Ok(7));
    let line = 6;
    assert_eq!(
        told("0 accept\npump 4 =1\n"),
        Err(JournalError {
            line,
            what: Fault::Differs
        })
    );
    assert_eq!(
        told("0 accept\naction =1\n"),
        Err(JournalError {
            line,
            what: Fault::Differs
        })
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let journal = write(&Config::new(Epoch(7)), &[]);
    for bad in [
        "pump 1 x",
        "pump x",
        "pump 1 a*x",
        "pump 1 =x",
        "actions",
        "0 accept 1",
        "0 subscribe 0.0",
        "accept",
    ] {
        let (line, what) = (3, Fault::Syntax);
        assert_eq!(
            read(&format!("{journal}{bad}\n")),
            Err(JournalError { line, what }),
            "{bad}"
        );
    }
    let (line, what) = (2, Fault::Syntax);
    assert_eq!(
        read(&journal.replace("seed", "sood")),
        Err(JournalError { line, what })
    );
    for none in ["", "# only a comment\n", "something else\n"] {
        assert_eq!(read(none).unwrap_err().what, Fault::Format);
        assert_eq!(replay(none).unwrap_err().what, Fault::Format);
    }
}

/// The calls of a journal are all that an engine needs.
#[test]
fn calls_can_be_made_by_hand() {
    struct Takes;
    impl Sink for Takes {
        fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
            Answer::All
        }
        fn control(&mut self, _: sse_state::Control) {}
    }
    let journal = write(&Config::new(Epoch(7)), &[]) + "5 accept\npump 9\n";
    let (config, calls) = read(&journal).unwrap();
    let mut state = SseState::new(config).unwrap();
    for call in calls {
        match call {
            Call::Input(at, input) => {
                assert_eq!((at, &input), (Time::from_nanos(5), &Input::Accept));
                Engine::apply(&mut state, at, input).unwrap();
            }
            Call::Pump { budget, .. } => assert_eq!(state.pump(budget, &mut Takes), Pumped::Idle),
            Call::Action => unreachable!(),
        }
    }
    assert_eq!(state.digest(), replay(&journal).unwrap().state);
}

/// Equal answers one after another are written once, with their number.
#[test]
fn r3_answers_are_written_as_runs() {
    struct Script(Vec<Answer>);
    impl Sink for Script {
        fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
            self.0.pop().unwrap()
        }
        fn control(&mut self, _: sse_state::Control) {}
    }
    let text = Arc::new(Mutex::new(String::new()));
    let out = Arc::clone(&text);
    let state = SseState::new(Config::new(Epoch(1))).unwrap();
    let mut recorder = Recorder::new(
        state,
        Box::new(move |line: &str| out.lock().unwrap().push_str(line)),
    );
    for _ in 0..7 {
        let Ok(Reply::Id(id)) = recorder.apply(Time::ZERO, Input::Accept) else {
            panic!("there is room");
        };
        let subscribe = Subscribe::new(Via::Connection(id), Name::new("t").unwrap());
        recorder
            .apply(Time::ZERO, Input::Subscribe(Box::new(subscribe)))
            .unwrap();
    }
    let all = [Answer::All; 3];
    let blocked = [Answer::Blocked(1), Answer::Blocked(1), Answer::Blocked(2)];
    let mut script = Script([&all[..], &blocked, &[Answer::All]].concat());
    assert_eq!(recorder.pump(64, &mut script), Pumped::Idle);
    recorder.finish();
    let text = text.lock().unwrap();
    assert!(text.contains("\npump 64 a b2 b1*2 a*3 ="), "{text}");
}

/// Every digest in it was written once, in a debug build; so whatever build replays it, on whatever platform,
/// acts the same, byte for byte.
const RECORDED: &str = include_str!("recorded.journal");

#[test]
fn r1_r3_a_run_recorded_long_ago_is_replayed_byte_for_byte() {
    let replayed = replay(RECORDED).unwrap();
    let end = format!("end {:016x} {:016x}", replayed.actions, replayed.state);
    assert_eq!(RECORDED.lines().last(), Some(end.as_str()));
}

#[test]
fn r1_other_hash_seeds_change_nothing() {
    for key in [1, 0xdead_beef, u64::MAX] {
        let other = RECORDED
            .replace("hash_key_0=0", &format!("hash_key_0={key}"))
            .replace("hash_key_1=0", &format!("hash_key_1={}", key ^ 5));
        assert_ne!(other, RECORDED);
        assert!(replay(&other).is_ok());
    }
}

/// The digests would tell.
#[test]
fn another_seed_is_noticed() {
    let other = RECORDED.replacen(" seed=", " seed=1", 1);
    assert_eq!(replay(&other).unwrap_err().what, Fault::Differs);
}
