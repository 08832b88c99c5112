//! The code of the page `docs/embedding.md` that is not the loop itself, and that what the page shows is what is run.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use checked_loop::serve::serve;
use sse_state::{
    Action, Answer, Config, Control, Engine, Epoch, Error, Event, Frame, Input, Interest, Name,
    Pulled, Pumped, Reply, Report, Room, Run, Sink, Socket, SseState, Stats, Subscribe,
    SubscriberId, Time, Via,
};
use sse_state_proptests::checked::RULES;
use sse_state_proptests::sweep::Sweep;

mod scripted;
use scripted::Scripted;

/// One cycle: takes a batch under the lock, executes it without, and reports.
fn cycle<E: Engine>(state: &Mutex<E>, sockets: &mut dyn Sink) -> Pumped {
    let mut batch = Batch::default();
    let pumped = lock(state).pump(256, &mut batch);
    // Closes come before writes, as they were pulled.
    for control in batch.controls {
        sockets.control(control);
    }
    let write = |(id, run): (SubscriberId, Bytes)| {
        let (bytes, socket) = match sockets.write(id, Run::of(&run)) {
            Answer::Blocked(bytes) => (bytes, Socket::Blocked),
            Answer::Gone => (0, Socket::Gone),
            Answer::All | Answer::InFlight => (run.len() as u32, Socket::Ready),
        };
        Report { id, bytes, socket }
    };
    let reports: Vec<Report> = batch.runs.into_iter().map(write).collect();
    if reports.is_empty() {
        return pumped;
    }
    let mut state = lock(state);
    let now = state.now();
    // Reports of streams that have ended meanwhile are counted, and change nothing.
    let _ = state.apply(now, Input::Report(Cow::Owned(reports)));
    // What was reported may have made more work.
    Pumped::More
}

/// What one pump has lent, and what else it wants.
#[derive(Default)]
struct Batch {
    runs: Vec<(SubscriberId, Bytes)>,
    controls: Vec<Control>,
}

impl Sink for Batch {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        // A reference, not a copy.
        self.runs.push((id, run.to_bytes()));
        Answer::InFlight
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

/// A loop of the other kind becomes one of this kind by its engine.
struct Batched<E>(Mutex<E>);

impl<E: Engine> Engine for Batched<E> {
    fn pump(&mut self, _: u32, sink: &mut dyn Sink) -> Pumped {
        cycle(&self.0, sink)
    }

    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        lock(&self.0).apply(now, input)
    }

    fn poll_action(&mut self) -> Option<Action> {
        lock(&self.0).poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        lock(&self.0).poll_timeout()
    }

    fn now(&self) -> Time {
        lock(&self.0).now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        lock(&self.0).interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        lock(&self.0).is_live(id)
    }

    fn asked(&self) -> u64 {
        lock(&self.0).asked()
    }

    fn is_terminated(&self) -> bool {
        lock(&self.0).is_terminated()
    }

    fn stats(&self) -> Stats {
        lock(&self.0).stats()
    }

    fn digest(&self) -> u64 {
        lock(&self.0).digest()
    }
}

fn lock<E>(state: &Mutex<E>) -> MutexGuard<'_, E> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_loop_that_writes_outside_of_the_lock_does_its_duties() {
    let report = Sweep::new().without_feeds().run(|script, state| {
        let state = Batched(Mutex::new(state));
        serve(Scripted(script), state).expect("a script can be waited for");
    });
    println!("{report}");
    assert!(report.failures.is_empty());
}

/// What a framework's body does when it is polled: the next bytes, or nothing until it is woken.
fn poll_body(state: &mut SseState, now: Time, id: SubscriberId) -> BodyIs {
    match state.apply(now, Input::Pull { id }) {
        Ok(Reply::Pulled(Pulled::Run(bytes))) => BodyIs::Ready(bytes),
        Ok(_) => BodyIs::Pending,
        // Its `Close` was pulled, and said whether the body ends or fails.
        Err(_) => BodyIs::Over,
    }
}

#[derive(PartialEq, Debug)]
enum BodyIs {
    Ready(Bytes),
    Pending,
    Over,
}

#[test]
fn a_body_is_woken_once_and_pulls() {
    let mut state = SseState::new(Config::new(Epoch(7))).unwrap();
    let now = Time::ZERO;
    let news = Name::new("news").unwrap();
    // What the hook was asked before is compared with `close_key`.
    let via = Via::Mounted {
        asked: state.asked(),
    };
    let mut subscribe = Subscribe::new(via, news);
    subscribe.retry = false;
    let Ok(Reply::Id(id)) = state.apply(now, Input::Subscribe(Box::new(subscribe))) else {
        panic!("not subscribed");
    };
    assert_eq!(wakes(&mut state), [id], "for its first bytes");
    let first = poll_body(&mut state, now, id);
    assert_eq!(first, BodyIs::Ready(":\n\n".into()));
    assert_eq!(poll_body(&mut state, now, id), BodyIs::Pending);
    for text in ["1", "2"] {
        let frame: Frame = Event::new(text).encode().unwrap();
        state.publish(now, "news", frame, Room::Evict).unwrap();
    }
    assert_eq!(wakes(&mut state), [id], "once for both");
    let both = poll_body(&mut state, now, id);
    assert_eq!(both, BodyIs::Ready("data: 1\n\ndata: 2\n\n".into()));
    // The framework drops the body.
    state.peer_gone(now, id).unwrap();
    assert_eq!(poll_body(&mut state, now, id), BodyIs::Over);
}

fn wakes(state: &mut SseState) -> Vec<SubscriberId> {
    let mut batch = Batch::default();
    while state.pump(256, &mut batch) == Pumped::More {}
    let woken = batch.controls.into_iter().map(|control| match control {
        Control::Wake { id } => id,
        other => panic!("{other:?}"),
    });
    woken.collect()
}

#[test]
fn the_page_shows_what_is_run() {
    let sources = [
        include_str!("../src/serve.rs"),
        include_str!("embedding.rs"),
    ]
    .map(unindented);
    let page = include_str!("../../../docs/embedding.md");
    let mut blocks = 0;
    for block in page.split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("its end");
        let code = unindented(code);
        let is_run = sources.iter().any(|source| source.contains(&code));
        assert!(is_run, "not in the sources:\n{code}");
        blocks += 1;
    }
    assert!(blocks > 5, "{blocks}");
}

/// Lines without what they begin with.
fn unindented(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

#[test]
fn the_page_says_what_goes_wrong_without_each_duty() {
    let page = include_str!("../../../docs/embedding.md");
    for rule in RULES {
        let rows = page
            .lines()
            .filter(|line| line.starts_with(&format!("| {} |", rule.id)));
        assert_eq!(rows.count(), 1, "{}", rule.id);
    }
}
