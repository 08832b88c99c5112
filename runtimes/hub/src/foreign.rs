//! An engine that a test has brought.

use sse_state::{
    Action, Engine, Error, Input, Interest, Pumped, Reply, Sink, Stats, SubscriberId, Time,
};

use crate::shared::Machine;

/// Passes everything on to the engine inside.
pub(crate) struct Foreign(pub(crate) Box<dyn Engine + Send>);

impl Machine for Foreign {}

impl Engine for Foreign {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        self.0.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        self.0.pump(budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.0.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }

    fn now(&self) -> Time {
        self.0.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.0.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.0.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.0.asked()
    }

    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn digest(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sse_state::{
        Answer, Config, Control, Epoch, Name, Run, ShutdownCause, SseState, Subscribe, Via,
    };

    use super::*;

    /// Counts what it is told.
    #[derive(Default, Debug)]
    struct Count {
        writes: u32,
        controls: u32,
    }

    impl Sink for Count {
        fn write(&mut self, _: SubscriberId, _: Run<'_>) -> Answer {
            self.writes += 1;
            Answer::All
        }

        fn control(&mut self, _: Control) {
            self.controls += 1;
        }
    }

    /// A short life, and what the engine says of it at each step.
    fn story(engine: &mut dyn Engine) -> Vec<String> {
        let topic = Name::new("a").expect("a name");
        let mut told = Vec::new();
        let mut now = Time::ZERO;
        let mut id = None;
        let mut count = Count::default();
        for step in 0.. {
            now = now + std::time::Duration::from_secs(1);
            let input = match (step, id) {
                (1, Some(id)) => Input::HeadDone { id },
                (2, Some(id)) => {
                    let via = Via::Connection(id);
                    let mut subscribe = Subscribe::new(via, topic.clone());
                    subscribe.head = Bytes::from_static(b"head");
                    Input::Subscribe(Box::new(subscribe))
                }
                (3..6, _) => Input::CloseKey { key: topic.clone() },
                (6, _) => Input::Shutdown {
                    grace: None,
                    cause: ShutdownCause::Asked,
                },
                (20, _) => return told,
                (7.., _) => Input::Timeout,
                _ => Input::Accept,
            };
            let reply = engine.apply(now, input);
            if let Ok(Reply::Id(new)) = reply {
                id = Some(new);
            }
            told.push(format!("{reply:?}"));
            if step == 2 {
                told.push(format!("{:?}", engine.poll_action()));
            }
            let pumped = engine.pump(u32::from(step > 4), &mut count);
            let is_live = id.map(|id| engine.is_live(id));
            told.push(format!("{pumped:?} {count:?} {is_live:?}"));
            let interest = engine.interest("a");
            told.push(format!("{interest:?} {:?}", engine.poll_timeout()));
            told.push(format!("{:?} {}", engine.now(), engine.asked()));
            let is_terminated = engine.is_terminated();
            told.push(format!("{is_terminated} {:?}", engine.stats()));
            told.push(engine.digest().to_string());
        }
        told
    }

    #[test]
    fn it_says_and_does_what_the_engine_inside_does() {
        let state = || SseState::new(Config::new(Epoch(1))).expect("the defaults");
        let told = story(&mut state());
        assert_eq!(story(&mut Foreign(Box::new(state()))), told);
        // Something came of it all.
        let all = told.join("\n");
        for seen in [
            "Some(Write",
            "Some(true)",
            "Some(false)",
            "Some(Interest",
            "true Stats",
        ] {
            assert!(all.contains(seen), "{seen}: {all}");
        }
    }
}
