//! R and M: two runs of one engine that must come out the same.

use sse_state::{Action, Answer, Control, Engine, Run, Sink, SubscriberId, Time};

use crate::check::Finding;
use crate::compare::{compare, events};
use crate::scenario::{Op, Pace, Scenario};
use crate::suite::{Budget, Factory, Failure, Report, finish, minimise, run, scenario};
use crate::trace::{Event, Step, What};
use crate::world::World;

mod beside;
mod pairs;

/// A relation: its id, and what is wrong with a scenario, if anything is.
type Relation<F> = (&'static str, fn(&F, &Scenario) -> Option<String>);

/// Every relation.
fn all<F: Factory>() -> [Relation<F>; 15] {
    [
        ("R1a", r1_same_calls_same_actions),
        ("R1b", r1_another_hash_key),
        ("R2", r2_a_clone_does_the_same),
        ("R3a", r3_played_again),
        ("T5b", t5_back_in_time_is_now),
        ("M1", m1_any_budget),
        ("M2", beside::m2_strangers),
        ("M3", m3_shifted_in_time),
        ("M4", m4_other_names),
        ("M5", pairs::m5_calls_that_do_nothing),
        ("M6", pairs::m6_publishes_commute),
        ("M8", beside::m8_fed_by_an_engine),
        ("B5", pairs::b5_slow_members_harm_nobody),
        ("S4", pairs::s4_twice_is_once),
        ("I6f", pairs::i6_a_resume_goes_on),
    ]
}

/// The relation of this id, if a scenario finds it broken.
pub fn breaks<F: Factory>(factory: &F, scenario: &Scenario, rule: &str) -> Option<&'static str> {
    let of_id = all::<F>().into_iter().filter(|(id, _)| *id == rule);
    let mut broken = of_id.filter(|(_, relation)| relation(factory, scenario).is_some());
    broken.next().map(|(id, _)| id)
}

/// Checks every relation on scenarios of both paces (those that compare streams on calm ones).
pub fn relations<F: Factory>(factory: &F, budget: Budget) -> Report {
    let mut report = Report::default();
    for seed in budget.first_seed..budget.first_seed + budget.scenarios {
        report.scenarios += 1;
        for (rule, relation) in all::<F>() {
            let scenario = scenario(seed, budget.length);
            let differs = |ops: &[Op]| {
                let setup = scenario.setup.clone();
                let ops = ops.to_vec();
                relation(factory, &Scenario { setup, ops })
            };
            if differs(&scenario.ops).is_none() {
                continue;
            }
            let ops = minimise(&scenario.ops, |ops| differs(ops).is_some());
            let text = differs(&ops).unwrap_or_default();
            let setup = scenario.setup.clone();
            report.failures.push(Failure {
                seed,
                finding: Finding {
                    rule,
                    step: 0,
                    text,
                },
                scenario: Scenario { setup, ops },
                story: String::new(),
            });
        }
    }
    report
}

/// R1: the same calls give the same answers, actions and digests.
fn r1_same_calls_same_actions<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let (a, b) = (run(factory, scenario), run(factory, scenario));
    first_difference(&a.trace, &b.trace, |step| step.clone())
}

/// R1: the key of the hash of names changes nothing that can be seen.
fn r1_another_hash_key<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let mut other = scenario.clone();
    other.setup.config.hash_key = [17, 4];
    let (a, b) = (run(factory, scenario), run(factory, &other));
    first_difference(&a.trace, &b.trace, |step| {
        (step.what.clone(), step.after.timeout)
    })
}

/// R2: a clone that is given the same calls does the same.
fn r2_a_clone_does_the_same<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let engine = factory.make(scenario.setup.config.clone()).ok()?;
    let mut world = World::new(engine, &scenario.setup);
    let half = scenario.ops.len() / 2;
    scenario.ops[..half].iter().for_each(|op| world.apply(op));
    let mut twin = world.clone();
    for world in [&mut world, &mut twin] {
        scenario.ops[half..].iter().for_each(|op| world.apply(op));
        finish(world);
    }
    first_difference(&world.trace, &twin.trace, |step| step.clone())
}

/// R3: what was recorded, played again.
fn r3_played_again<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    play_again(factory, scenario, |at, _| at)
}

/// T5: a time that lies back counts as the greatest one: the same calls with that time instead.
fn t5_back_in_time_is_now<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    play_again(factory, scenario, Time::max)
}

fn play_again<F: Factory>(
    factory: &F,
    scenario: &Scenario,
    at: fn(Time, Time) -> Time,
) -> Option<String> {
    let recorded = run(factory, scenario).trace;
    let mut engine = factory.make(scenario.setup.config.clone()).ok()?;
    for (number, step) in recorded.iter().enumerate() {
        let (what, digest) = again(&mut engine, &step.what, at);
        let same = match (&what, &step.what) {
            (What::Call { result: a, .. }, What::Call { result: b, .. }) => a == b,
            (a, b) => a == b,
        };
        if !same || digest != step.after.digest {
            return Some(format!("step {number}: {step} against {what:?}"));
        }
    }
    None
}

/// Does a step again on another engine, with the same answers of the sockets.
fn again<E: Engine>(engine: &mut E, what: &What, time: fn(Time, Time) -> Time) -> (What, u64) {
    let what = match what {
        What::Call { at, input, .. } => {
            let at = time(*at, engine.now());
            What::Call {
                at,
                input: input.clone(),
                result: engine.apply(at, input.clone()),
            }
        }
        What::Pump { budget, events, .. } => {
            let mut sink = Same {
                answers: events.iter(),
                events: Vec::new(),
            };
            let answer = engine.pump(*budget, &mut sink);
            What::Pump {
                budget: *budget,
                answer,
                events: sink.events,
            }
        }
        What::Poll { .. } => What::Poll {
            event: engine.poll_action().map(|action| match action {
                Action::Write { id, run } => Event::Write {
                    id,
                    run,
                    answer: Answer::InFlight,
                },
                Action::Control(control) => Event::Control(control),
            }),
        },
    };
    (what, engine.digest())
}

/// Sockets that answer as they did before.
struct Same<'a> {
    answers: std::slice::Iter<'a, Event>,
    events: Vec<Event>,
}

impl Sink for Same<'_> {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let answer = self.answers.find_map(|event| match event {
            Event::Write { answer, .. } => Some(*answer),
            Event::Control(_) => None,
        });
        let answer = answer.unwrap_or(Answer::Gone);
        let run = run.to_bytes();
        self.events.push(Event::Write { id, run, answer });
        answer
    }

    fn control(&mut self, control: Control) {
        self.events.push(Event::Control(control));
    }
}

/// M1: however pumps are cut by their budgets, every stream gets the same.
fn m1_any_budget<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let with = |budget: u8| {
        let mut scenario = comparable(scenario)?;
        for op in &mut scenario.ops {
            if let Op::PumpAll { budget: old } = op {
                *old = budget;
            }
        }
        Some(run(factory, &scenario))
    };
    let whole = with(255)?;
    [1, 2, 3]
        .into_iter()
        .find_map(|budget| compare(&whole, &with(budget)?).into_iter().next())
}

/// M3: everything happens later, and is the same.
fn m3_shifted_in_time<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let scenario = comparable(scenario)?;
    let mut later = scenario.clone();
    later.ops.insert(
        0,
        Op::Elapse {
            nanos: 12_345_000_000_000,
        },
    );
    let (a, b) = (run(factory, &scenario), run(factory, &later));
    compare(&a, &b).into_iter().next()
}

/// M4: other names of topics, and everything else is the same.
fn m4_other_names<F: Factory>(factory: &F, scenario: &Scenario) -> Option<String> {
    let mut other = scenario.clone();
    for topic in &mut other.setup.topics {
        topic.name = topic.name.replace("topic/", "\u{e9}tre\"");
    }
    let (a, b) = (run(factory, scenario), run(factory, &other));
    let body = |world: &World<F::Engine>, number: usize| {
        let mut events = events(world.peers[number].body());
        for event in &mut events {
            event.data = event.data.replace("\u{e9}tre\\\"", "topic/");
        }
        events
    };
    if a.peers.len() != b.peers.len() {
        return Some("another number of connections".into());
    }
    let different = (0..a.peers.len()).find(|&number| body(&a, number) != body(&b, number))?;
    Some(format!("stream {different} differs under other names"))
}

fn comparable(scenario: &Scenario) -> Option<Scenario> {
    (scenario.setup.pace == Pace::Calm).then(|| scenario.clone().for_comparison())
}

fn streams_differ<A: Engine, B: Engine>(a: &World<A>, b: &World<B>) -> Option<String> {
    if a.peers.len() != b.peers.len() {
        return Some("another number of connections".into());
    }
    let pairs = a.peers.iter().zip(&b.peers).enumerate();
    let mut different = pairs.filter(|(_, (a, b))| events(a.body()) != events(b.body()));
    let (number, _) = different.next()?;
    Some(format!("stream {number} differs"))
}

fn first_difference<T: PartialEq>(
    a: &[Step],
    b: &[Step],
    seen: impl Fn(&Step) -> T,
) -> Option<String> {
    let at = a.iter().zip(b).position(|(a, b)| seen(a) != seen(b));
    let at = at.or((a.len() != b.len()).then_some(a.len().min(b.len())))?;
    let tell = |steps: &[Step]| {
        steps
            .get(at)
            .map_or("nothing".into(), |step| step.to_string())
    };
    let shows = |steps: &[Step]| steps.get(at).map(|step| format!("{:?}", step.after));
    let mut text = format!("step {at}: {} against {}", tell(a), tell(b));
    if shows(a) != shows(b) {
        text.push_str(&format!("\n{:?}\n{:?}", shows(a), shows(b)));
    }
    Some(text)
}
