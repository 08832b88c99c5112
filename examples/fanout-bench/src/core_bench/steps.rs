//! The steps of the machine that are measured. Each is set up once, and can then be repeated for as long as one likes.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use sse_state::http::{Head, HeadLimits, Progress};
use sse_state::{Start, TopicOptions};
use sse_state_tokio::{Event, Hub};

use super::crowd::{Crowd, Flying, Order, Taken, frame};

/// Does a step once, and tells how many it was of what it is named after.
pub(super) type Step = Box<dyn FnMut() -> Result<u64, String>>;
/// Sets a step up.
pub(super) type SetUp = fn() -> Result<Step, String>;

/// Those that need no size, by name.
pub(super) const STEPS: [(&str, SetUp); 10] = [
    ("pumped write", || writes(1_000, Order::Slots)),
    ("take and report", || flights(1_000, Order::Slots)),
    ("write of what is five behind", catch_ups),
    ("encode and publish 128 B, not pulled", publishes),
    ("encode 128 B", encodes),
    ("connect, first bytes, disconnect", connects),
    ("heartbeat", || heartbeats(1_000)),
    ("resume 1 000 behind in a log of 10 000", resumes),
    ("request head of a browser", heads),
    (ABSENT, absent),
];

/// The one that goes by the hub.
pub(super) const ABSENT: &str = "publish to an absent topic, by the hub";

/// One event to every stream, answered at once.
pub(super) fn writes(streams: u32, order: Order) -> Result<Step, String> {
    let mut crowd = Crowd::new(streams, order)?;
    Ok(Box::new(move || {
        let mut sink = Taken::default();
        crowd.publish(frame()?)?;
        crowd.drain(&mut sink);
        black_box(sink.bytes);
        all(sink.writes, streams)
    }))
}

/// One event to every stream, taken in flight in batches and reported.
pub(super) fn flights(streams: u32, order: Order) -> Result<Step, String> {
    let mut crowd = Crowd::new(streams, order)?;
    let mut sink = Flying::new();
    Ok(Box::new(move || {
        crowd.publish(frame()?)?;
        let before = sink.writes;
        crowd.drain_by_reports(&mut sink);
        all(sink.writes - before, streams)
    }))
}

/// Five events to every stream, gathered into one write.
fn catch_ups() -> Result<Step, String> {
    const STREAMS: u32 = 1_000;
    let mut crowd = Crowd::new(STREAMS, Order::Slots)?;
    Ok(Box::new(move || {
        let mut sink = Taken::default();
        for _ in 0..5 {
            crowd.publish(frame()?)?;
        }
        crowd.drain(&mut sink);
        all(sink.writes, STREAMS)
    }))
}

/// Publishes that nobody pulls to 1 000 streams: once the log is full, each evicts one.
pub(super) fn publishes() -> Result<Step, String> {
    let mut crowd = Crowd::new(1_000, Order::Slots)?;
    for _ in 0..100 {
        crowd.publish(frame()?)?;
    }
    Ok(Box::new(move || {
        crowd.publish(frame()?)?;
        Ok(1)
    }))
}

/// An event of 128 bytes becomes a frame.
pub(super) fn encodes() -> Result<Step, String> {
    Ok(Box::new(|| {
        black_box(frame()?);
        Ok(1)
    }))
}

/// A connection opens a stream, gets its first bytes and goes.
pub(super) fn connects() -> Result<Step, String> {
    let mut crowd = Crowd::new(1_000, Order::Slots)?;
    Ok(Box::new(move || {
        let id = crowd.state.accept(crowd.now);
        let id = id.map_err(|error| error.to_string())?;
        crowd.subscribe(id, Start::Now)?;
        crowd.drain(&mut Taken::default());
        let gone = crowd.state.peer_gone(crowd.now, id);
        gone.map_err(|error| error.to_string())?;
        crowd.drain(&mut Taken::default());
        Ok(1)
    }))
}

/// An interval of silence: every stream gets one.
pub(super) fn heartbeats(streams: u32) -> Result<Step, String> {
    let mut crowd = Crowd::new(streams, Order::Slots)?;
    Ok(Box::new(move || {
        let mut sink = Taken::default();
        let end = crowd.now + Duration::from_secs(15);
        while let Some(at) = crowd.state.poll_timeout().filter(|&at| at <= end) {
            crowd.now = at;
            crowd.state.handle_timeout(at);
            crowd.drain(&mut sink);
        }
        crowd.now = end;
        match sink.writes {
            0 => Err("no heartbeat in an interval".to_owned()),
            writes => Ok(writes),
        }
    }))
}

/// A stream resumes far behind in a deep log, gets all that it missed and goes.
pub(super) fn resumes() -> Result<Step, String> {
    const LOG: u32 = 10_000;
    const BEHIND: u64 = 1_000;
    let options = TopicOptions {
        history: true,
        log_frames: LOG,
        ..TopicOptions::default()
    };
    let mut crowd = Crowd::with(0, Order::Slots, options)?;
    let mut after = None;
    for left in (0..u64::from(LOG)).rev() {
        let published = crowd.publish(frame()?)?;
        if left == BEHIND {
            after = published.id;
        }
    }
    let after = after.ok_or("a topic with history gives ids")?;
    let after = Bytes::from(after.to_string());
    Ok(Box::new(move || {
        let mut sink = Taken::default();
        let id = crowd.state.accept(crowd.now);
        let id = id.map_err(|error| error.to_string())?;
        crowd.subscribe(id, Start::After(after.clone()))?;
        crowd.drain(&mut sink);
        if sink.bytes < BEHIND * 128 {
            return Err(format!("{} bytes of {BEHIND} frames", sink.bytes));
        }
        let gone = crowd.state.peer_gone(crowd.now, id);
        gone.map_err(|error| error.to_string())?;
        crowd.drain(&mut sink);
        Ok(1)
    }))
}

/// A request head as Chromium sends it for an `EventSource`, in one piece.
pub(super) fn heads() -> Result<Step, String> {
    Ok(Box::new(|| {
        let mut head = Head::new(HeadLimits::default());
        match head.push(black_box(BROWSER.as_bytes())) {
            Progress::Done { .. } => Ok(1),
            other => Err(format!("a head that is whole: {other:?}")),
        }
    }))
}

/// A publish by the hub, its lock included, that nobody hears: nothing is encoded.
pub(super) fn absent() -> Result<Step, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let inside = runtime.enter();
    let hub = Hub::builder().build().map_err(|error| error.to_string())?;
    drop(inside);
    let data = "x".repeat(128);
    Ok(Box::new(move || {
        // The hub lives as long as its runtime does.
        let _ = &runtime;
        let published = hub.publish(black_box("/absent"), Event::new(&data));
        black_box(published).map_err(|error| error.to_string())?;
        Ok(1)
    }))
}

/// Everybody was written to once.
fn all(writes: u64, streams: u32) -> Result<u64, String> {
    if writes == u64::from(streams) {
        Ok(writes)
    } else {
        Err(format!("{writes} writes to {streams} streams"))
    }
}

const BROWSER: &str = "GET /news?room=7 HTTP/1.1\r\n\
    Host: localhost:8080\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/event-stream\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: http://localhost:8080/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Last-Event-ID: 53mvfode8cr6g-4\r\n\r\n";
