//! Configurations beside the matrix: for everything that it does not reach, and those too large to close.

use sse_state::{CloseHow, Config, ShutdownCause, Slow, SourceEnd, SourceKind, TopicOptions};

use super::configuration::{Alphabet, Configuration, Hands, Size, UNIT, config, topic};
use super::ops::Opening;

/// Small ones that close; together with the matrix they reach every kind of thing that there is.
pub fn others() -> Vec<Configuration> {
    vec![
        history(),
        polled(),
        ends(),
        sources(),
        mounted(),
        heads(),
        bounds(),
        waits(),
        held(),
    ]
}

/// Those that are explored to a depth only.
pub fn deep() -> Vec<Configuration> {
    let fed = TopicOptions {
        source: SourceKind::External,
        log_frames: 2,
        notice: Some(true),
        ..TopicOptions::default()
    };
    let to = |depth, of: Configuration| Configuration {
        depth: Some(depth),
        ..of
    };
    let two = vec![
        topic("t", fed.clone(), false),
        topic("u", fed.clone(), false),
    ];
    let closes = Alphabet {
        closes: vec![CloseHow::Drain],
        ..plain()
    };
    vec![
        to(
            9,
            base("1 x 2 in flight", fed.clone(), 2, Hands::InFlight, closes),
        ),
        to(
            9,
            base("1 x 3 at once", fed.clone(), 3, Hands::AtOnce, plain()),
        ),
        to(
            8,
            Configuration {
                topics: two,
                ..base("2 x 2 in flight", fed, 2, Hands::InFlight, plain())
            },
        ),
    ]
}

/// Ids, resumes, retention.
fn history() -> Configuration {
    let options = TopicOptions {
        history: true,
        retention: UNIT * 2,
        log_frames: 2,
        slow: Slow::Conflate,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        opens: vec![
            Opening::Plain,
            Opening::Newest,
            Opening::Oldest,
            Opening::After(0),
            Opening::After(1),
            Opening::After(3),
            Opening::Foreign,
        ],
        partial: true,
        ..plain()
    };
    base("history", options, 1, Hands::AtOnce, alphabet)
}

/// Polls, their timeouts and the end that they ask for.
fn polled() -> Configuration {
    let options = TopicOptions {
        linger: UNIT,
        log_frames: 1,
        ..TopicOptions::polled(SourceKind::Interval(UNIT * 2))
    };
    let alphabet = Alphabet {
        polls: true,
        feeds: true,
        ..plain()
    };
    base("polled", options, 1, Hands::AtOnce, alphabet)
}

/// Every end of a stream.
fn ends() -> Configuration {
    let options = TopicOptions {
        log_frames: 1,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        opens: vec![
            Opening::Plain,
            Opening::Expiring,
            Opening::Keyed,
            Opening::Mortal,
        ],
        closes: vec![CloseHow::Drain, CloseHow::Stop, CloseHow::Cut],
        key: true,
        shutdown: vec![ShutdownCause::Asked],
        ..plain()
    };
    let mut of = base("ends", options, 1, Hands::AtOnce, alphabet);
    of.config.topics = 1;
    of
}

/// Every end of a source.
fn sources() -> Configuration {
    let options = TopicOptions {
        source: SourceKind::External,
        log_frames: 1,
        linger: UNIT,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        opens: vec![Opening::Plain, Opening::WithSources],
        ends: vec![SourceEnd::Finished, SourceEnd::Panicked],
        stops: true,
        feeds: true,
        shutdown: vec![ShutdownCause::HubDropped],
        ..plain()
    };
    base("sources", options, 1, Hands::AtOnce, alphabet)
}

/// Bodies that a framework pulls.
fn mounted() -> Configuration {
    let options = TopicOptions {
        source: SourceKind::External,
        log_frames: 2,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        opens: vec![Opening::Plain, Opening::Expiring],
        closes: vec![CloseHow::Drain, CloseHow::Cut],
        shutdown: vec![ShutdownCause::Asked],
        ..plain()
    };
    base("mounted", options, 1, Hands::Mounted, alphabet)
}

/// Heads, bodies and answers, with the least bounds on them.
fn heads() -> Configuration {
    let alphabet = Alphabet {
        heads: true,
        values: 0,
        closes: vec![CloseHow::Cut],
        ..plain()
    };
    let mut of = base("heads", TopicOptions::default(), 2, Hands::AtOnce, alphabet);
    of.config = Config {
        openings: 1,
        deciding: 1,
        finishing: 1,
        heads_bytes: 1,
        bodies_bytes: 1,
        ..of.config
    };
    of
}

/// The least of every other bound.
fn bounds() -> Configuration {
    let options = TopicOptions {
        source: SourceKind::External,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        opens: vec![Opening::Plain, Opening::Keyed],
        key: true,
        ..plain()
    };
    let mut of = base("bounds", options, 2, Hands::AtOnce, alphabet);
    of.topics[0].declared = true;
    of.config = Config {
        head_bytes: 4,
        subscribers: 2,
        streams_per_key: Some(1),
        topics: 3,
        topics_by_request: 1,
        topics_per_subscriber: 2,
        sources: 1,
        name_bytes: 8,
        frame_bytes: 32,
        logs_bytes: 5,
        held_bytes: 60,
        openings: 1,
        deciding: 1,
        finishing: 1,
        ..of.config
    };
    of
}

/// Publishers that wait for room.
fn waits() -> Configuration {
    let options = TopicOptions {
        log_frames: 1,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        wait: true,
        ..plain()
    };
    base("waits", options, 1, Hands::InFlight, alphabet)
}

/// Begun frames past the bound on what is held.
fn held() -> Configuration {
    let options = TopicOptions {
        log_frames: 2,
        ..TopicOptions::default()
    };
    let alphabet = Alphabet {
        values: 3,
        partial: true,
        ..plain()
    };
    let mut of = base("held", options, 1, Hands::InFlight, alphabet);
    of.config.held_bytes = 30;
    of
}

fn plain() -> Alphabet {
    Alphabet {
        opens: vec![Opening::Plain],
        values: 1,
        silent: true,
        ..Alphabet::default()
    }
}

fn base(
    name: &str,
    options: TopicOptions,
    streams: usize,
    hands: Hands,
    alphabet: Alphabet,
) -> Configuration {
    let declared = options.history;
    Configuration {
        name: name.to_owned(),
        size: Size::Quick,
        config: config(1),
        topics: vec![topic("t", options, declared)],
        streams,
        hands,
        alphabet,
        unit: UNIT,
        depth: None,
    }
}
