//! The kit for drivers: the one that is right passes the sweep, each that is wrong is found by its rule.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use sse_state::{
    Action, Config, Engine, Epoch, Event, Input, Name, Next, PollOutcome, Reply, Report, Socket,
    SourceKind, SourceToken, SseState, Subscribe, SubscriberId, Time, TopicOptions, Via,
};
use sse_state_proptests::checked::{Checked, RULES};
use sse_state_proptests::reference::{Other, OtherEngine, OtherIo, Reference, Wrong};
use sse_state_proptests::sweep::{Sweep, found, part, reference};

#[test]
fn the_right_driver_passes_every_fault_at_every_step() {
    for sweep in [Sweep::new(), Sweep::new().level()] {
        let report = sweep.run(reference);
        println!("{sweep:?}: {report}reached: {:?}", report.reached);
        assert!(report.failures.is_empty());
        let missing: Vec<&&str> = REACHED
            .iter()
            .filter(|what| !report.reached.contains(**what))
            .collect();
        assert!(missing.is_empty(), "the scenes do not reach {missing:?}");
    }
}

#[test]
fn drivers_that_are_right_in_another_way_pass() {
    let mut blamed = Vec::new();
    for other in Other::ALL {
        let report = Sweep::new().every(7).run(|script, state| {
            let (io, state) = (OtherIo::new(script, other), OtherEngine::new(state, other));
            Reference::new(io, state).run();
        });
        println!("{other:?}: {report}");
        if !report.failures.is_empty() {
            blamed.push(other);
        }
    }
    assert!(blamed.is_empty(), "{blamed:?}");
}

/// What the scenes are for.
const REACHED: &[&str] = &[
    "Close Answered",
    "Close Evicted",
    "Close HeadTimeout",
    "Close Shutdown",
    "Close Stalled",
    "Finish",
    "Poll",
    "Room",
    "StartSource",
    "StopSource Asked",
    "StopSource NoSubscribers",
    "StopSource Shutdown",
    "sse-gap",
];

#[test]
fn every_wrong_driver_is_found_by_its_rule() {
    let start = Instant::now();
    let mut missed = Vec::new();
    for wrong in Wrong::ALL {
        let found = found(wrong);
        println!(
            "{:20} {:4} found by {}",
            format!("{wrong:?}"),
            wrong.rule(),
            found.join(" ")
        );
        if !found.contains(&wrong.rule()) {
            missed.push(wrong);
        }
    }
    println!("{:?}", start.elapsed());
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn a_loop_that_panics_is_told_with_its_words() {
    let report = Sweep::new().run(|_, _| panic!("no route to host"));
    let failure = &report.failures[0];
    assert_eq!(failure.violation.rule, "K24");
    assert!(
        failure.violation.text.contains("no route to host"),
        "{failure}"
    );
    assert_eq!(
        report.runs, report.scenes,
        "no faults before it is right without"
    );
}

#[test]
fn the_part_of_a_verification_has_its_figures() {
    let part = part(7, Instant::now() + Duration::from_secs(8));
    print!("{part}");
    assert!(part.failures.is_empty());
}

#[test]
fn the_page_lists_every_duty_in_the_words_of_the_rules() {
    let page = include_str!("../../docs/check-your-loop.md");
    for rule in RULES {
        let row = format!("| {} | {} |", rule.id, rule.says);
        assert!(page.contains(&row), "no row {row}");
        let is_found = Wrong::ALL.iter().any(|wrong| wrong.rule() == rule.id);
        assert!(is_found, "no wrong driver for {}", rule.id);
    }
}

#[test]
#[should_panic(expected = "K2: poll_timeout was 10.0")]
fn from_the_calls_alone_it_is_seen_that_a_driver_slept() {
    let mut state = Checked::new(SseState::new(Config::new(Epoch(7))).unwrap());
    state.apply(Time::ZERO, Input::Accept).unwrap();
    let _ = state.poll_action();
    let _ = state.apply(Time::from_millis(12_000), Input::Timeout);
}

#[test]
#[should_panic(expected = "K1: work was queued")]
fn from_the_calls_alone_it_is_seen_that_a_driver_did_not_pump() {
    let mut state = Checked::new(machine());
    let _ = stream(&mut state);
    let _ = state.apply(Time::from_millis(2_000), Input::Timeout);
}

#[test]
fn from_the_calls_alone_wrong_ids_tokens_and_reports_are_seen() {
    let mut state = Checked::recording(machine());
    let (id, duties) = (stream(&mut state), state.duties());
    let now = Time::from_millis(1);
    let report = |state: &mut Checked<SseState>, id, bytes| {
        let socket = Socket::Ready;
        let reports = [Report { id, bytes, socket }];
        let _ = state.apply(now, Input::Report(Cow::Borrowed(&reports)));
    };
    let mut run = None;
    while let Some(action) = state.poll_action() {
        if let Action::Write { run: bytes, .. } = action {
            run = Some(bytes.len() as u32);
        }
    }
    let run = run.expect("the stream begins");
    assert_eq!(duties.violations(), []);
    report(&mut state, id, run + 1);
    report(&mut state, id, run);
    let _ = state.apply(now, Input::PeerGone { id });
    let _ = state.apply(now, Input::Writable { id });
    let _ = state.apply(
        now,
        Input::Writable {
            id: SubscriberId::from_u64(77),
        },
    );
    let token = SourceToken::from_parts(0, 9);
    let outcome = PollOutcome::Frame(Event::new("x").encode().unwrap());
    let (number, next) = (1, Next::GoOn);
    let _ = state.apply(
        now,
        Input::PollResult {
            token,
            number,
            outcome,
            next,
        },
    );
    let rules: Vec<&str> = duties
        .violations()
        .iter()
        .map(|violation| violation.rule)
        .collect();
    assert_eq!(rules, ["K7", "K6", "K9", "K9", "K16"]);
}

/// A machine with one topic that is polled.
fn machine() -> SseState {
    let mut state = SseState::new(Config::new(Epoch(7))).unwrap();
    let options = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(1)));
    let load = Name::new("/load").unwrap();
    state.declare(Time::ZERO, &load, options.into()).unwrap();
    state
}

/// A stream of it.
fn stream(state: &mut Checked<SseState>) -> SubscriberId {
    let Ok(Reply::Id(id)) = state.apply(Time::ZERO, Input::Accept) else {
        panic!("there is room");
    };
    let topic = Name::new("/load").unwrap();
    let subscribe = Subscribe::new(Via::Connection(id), topic);
    state
        .apply(Time::ZERO, Input::Subscribe(Box::new(subscribe)))
        .unwrap();
    id
}
