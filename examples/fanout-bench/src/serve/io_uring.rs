//! The machine on the loop of `io-uring-loop`, which sends in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use example_service::{Decision, Service as Site};
use io_uring_loop::{Handle, Loop};
use sse_state::http::{Allow, Request};
use sse_state::{
    Engine, Event, Input, Name, PollOutcome, Room, SseState, Subscribe, SubscriberId, Time,
    TopicOptions, Via,
};

use super::{Order, Receipt, Service, attend};
use crate::payload;
use crate::side::PATH;
use crate::words::Words;

/// Serves until the input ends.
pub(super) fn run() -> Result<(), String> {
    io_uring_loop::available()?;
    let config = example_service::config();
    let any = ([127, 0, 0, 1], 0).into();
    let server = Loop::listen(any, &config).map_err(|error| error.to_string())?;
    let mut state = SseState::new(config).map_err(|error| error.to_string())?;
    let topic = Name::new(PATH).map_err(|error| error.to_string())?;
    let options = TopicOptions::default();
    let declare = Input::Declare {
        topic: topic.clone(),
        options: options.into(),
    };
    state
        .apply(Time::ZERO, declare)
        .map_err(|error| error.to_string())?;
    attend(Arc::new(Own(server.handle.clone())), server.addr);
    let served = server.serve(state, OneTopic(topic));
    served.map(drop).map_err(|error| error.to_string())
}

struct OneTopic(Name);

impl Site for OneTopic {
    fn allows(&self, path: &str) -> Option<Allow> {
        (path == PATH).then_some(Allow::Get)
    }

    fn decide(&mut self, id: SubscriberId, _: &Request, _: &dyn Engine) -> Decision {
        let subscribe = Subscribe::new(Via::Connection(id), self.0.clone());
        Decision::Stream(Box::new(subscribe))
    }

    fn poll(&mut self, _: &Name) -> PollOutcome {
        PollOutcome::Failed(None)
    }
}

struct Own(Handle);

impl Service for Own {
    fn publish(&self, order: Order, stop: &AtomicBool) -> Receipt {
        let start = Instant::now();
        let mut receipt = Receipt::default();
        let mut data = String::new();
        for tick in 0..order.ticks {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let due = order.due(start, tick);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            for event in 0..order.burst {
                let number = order.from + tick * order.burst + event;
                payload::write(&mut data, 1, number, order.bytes);
                receipt.events += 1;
                let Ok(frame) = Event::new(&data).encode() else {
                    receipt.refused += 1;
                    continue;
                };
                let (topic, room) = (PATH.into(), Room::Evict);
                self.0.send(Input::Publish { topic, frame, room });
            }
        }
        receipt
    }

    fn stats(&self) -> Words {
        Words::default()
    }
}
