//! P6: what is answered and opens no stream leaves nothing in the machine.

use std::sync::Arc;

use sse_state::{
    Answer, Config, Control, Epoch, Error, Join, Name, Pumped, Run, Sink, SseState, Subscribe,
    SubscriberId, Time, TopicOptions, Via,
};

use super::good::{Text, door};
use super::subject::{Admitted, Served, Subject, serve};
use super::{Oracle, broken, pieces, show};
use crate::choice::Choice;

/// HEAD, OPTIONS and what is refused leave the machine as it was, once their connection is gone.
pub(super) fn p6b_nothing_left(
    subject: &dyn Subject,
    choice: &mut Oracle<'_>,
) -> Result<(), String> {
    let mut text = Text::choose(choice);
    let method = choice.one_of(&["HEAD", "OPTIONS", "GET"]);
    text = text.of_method(method);
    if method == "GET" {
        let spoilt = [
            "Sec-Fetch-Site: cross-site",
            "Expect: x",
            "Host: twice",
            "no colon",
        ];
        text = text.with(choice.one_of(&spoilt), choice);
    }
    let served = serve(subject, &door(), &pieces(&text.bytes(), choice));
    let kept = leaves_nothing(&served).map_err(|error| error.to_string())?;
    broken(!kept, || format!("{}: {served:?}", show(&text.bytes())))
}

/// Does with a machine what was decided, until the connection is gone.
fn leaves_nothing(served: &Served) -> Result<bool, Error> {
    let Served::Answered { admitted, bytes } = served else {
        return Ok(false);
    };
    let mut config = Config::new(Epoch(7));
    config.seed = 1;
    // The bounds of a new configuration can be used.
    let Ok(mut state) = SseState::new(config) else {
        return Ok(false);
    };
    let before = state.digest();
    let now = Time::ZERO;
    let id = state.accept(now)?;
    state.head_done(now, id)?;
    let topic = match admitted {
        Ok(Admitted::Stream(topic) | Admitted::Publish(topic)) => Name::new(topic).ok(),
        _ => None,
    };
    match topic {
        Some(topic) => {
            // It is retained, so that it stays for a while.
            let options = TopicOptions {
                history: true,
                ..TopicOptions::default()
            };
            let mut subscribe = Subscribe::new(Via::Connection(id), topic.clone());
            let options = Some(Arc::new(options));
            subscribe.topics = vec![Join { topic, options }];
            state.subscribe(now, &subscribe)?;
        }
        None => state.answer(now, id, bytes.clone().into())?,
    }
    while state.pump(100, &mut Fast) == Pumped::More {}
    if state.is_live(id) {
        state.peer_gone(now, id)?;
    }
    while state.pump(100, &mut Fast) == Pumped::More {}
    Ok(state.digest() == before)
}

/// A socket that takes everything.
struct Fast;

impl Sink for Fast {
    fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
        Answer::All
    }

    fn control(&mut self, _: Control) {}
}
