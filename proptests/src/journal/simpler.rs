//! Simpler calls in the place of a call.

use sse_state::journal::Call;
use sse_state::{Heartbeat, Input, Start, Subscribe, SubscriberId, Via};

use super::script::{Script, Step};

/// Scripts that differ from this one in the step at this place, which is simpler in them.
pub(super) fn simpler(script: &Script, place: usize) -> Vec<Script> {
    let step = &script.steps[place];
    let with = |call: Call, streams: &[SubscriberId]| {
        let mut other = script.clone();
        other.steps[place] = Step {
            call,
            streams: streams.to_vec(),
            ..step.clone()
        };
        (other.steps[place] != *step).then_some(other)
    };
    match &step.call {
        Call::Pump { budget, answers } => {
            let whole = |budget| Call::Pump {
                budget,
                answers: answers.clone(),
            };
            let willing = Call::Pump {
                budget: *budget,
                answers: Vec::new(),
            };
            [with(willing, &[]), with(whole(PLENTY), &step.streams)]
                .into_iter()
                .flatten()
                .collect()
        }
        Call::Input(at, Input::Subscribe(subscribe)) => {
            let mut scripts: Vec<Script> = plainer(subscribe)
                .into_iter()
                .filter_map(|plain| with(Call::Input(*at, Input::Subscribe(Box::new(plain))), &[]))
                .collect();
            if let Via::Connection(id) = subscribe.via {
                let via = Via::Mounted { asked: 0 };
                // Its mark is the engine's own, since `ahead` is 0.
                let mounted = Subscribe {
                    via,
                    head: Default::default(),
                    ..(**subscribe).clone()
                };
                let call = Call::Input(*at, Input::Subscribe(Box::new(mounted)));
                scripts.extend(with(call, &[]).map(|mut script| {
                    script.rebirth(id, step.label);
                    script
                }));
            }
            scripts
        }
        _ => Vec::new(),
    }
}

/// Each with one thing less.
fn plainer(subscribe: &Subscribe) -> Vec<Subscribe> {
    let less = |change: &dyn Fn(&mut Subscribe)| {
        let mut plain = subscribe.clone();
        change(&mut plain);
        plain
    };
    let mut all = vec![
        less(&|plain| plain.head = Default::default()),
        less(&|plain| plain.heartbeat = Heartbeat::Off),
        less(&|plain| plain.retry = false),
        less(&|plain| plain.lifetime = None),
        less(&|plain| plain.expires = None),
        less(&|plain| plain.key = None),
        less(&|plain| plain.end_when_finished = false),
        less(&|plain| plain.start = Start::Now),
    ];
    if subscribe.topics.len() > 1 {
        all.extend((0..subscribe.topics.len()).map(|place| {
            less(&|plain| {
                plain.topics.remove(place);
            })
        }));
    }
    all
}

/// A budget that no small journal spends.
const PLENTY: u32 = 1000;
