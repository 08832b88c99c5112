//! What the tests of bounds share.

use sse_state::*;

use super::{Bench, name};

pub(crate) fn config() -> Config {
    Config::new(Epoch(1))
}

pub(crate) fn subscribe(
    bench: &mut Bench,
    topics: &[&str],
    key: Option<&str>,
) -> Result<(), Error> {
    let mounted = Via::Mounted { asked: 0 };
    let subscribe = Subscribe {
        topics: topics
            .iter()
            .map(|topic| Join {
                topic: name(topic),
                options: None,
            })
            .collect(),
        key: key.map(name),
        ..Subscribe::new(mounted, name("/t"))
    };
    bench.state.subscribe(bench.now, &subscribe).map(drop)
}
