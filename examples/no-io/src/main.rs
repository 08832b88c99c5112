//! An afternoon of a server, in no time: the machine, a clock that is a number, and sockets that are counters.
//! Read `story` first; what is below it is a whole driver.

use std::collections::BTreeMap;
use std::time::Duration;

use sse_state::http::{Answer as Http, http_date};
use sse_state::{
    Answer, Config, Control, Epoch, Error, Event, Input, Name, Next, PollOutcome, Pumped, Reply,
    Room, Run, ShutdownCause, Sink, SourceKind, SourceToken, SseState, Start, Subscribe,
    SubscriberId, Time, TopicOptions, Via,
};

fn main() {
    if let Err(error) = story() {
        eprintln!("no-io: {error}");
        std::process::exit(1);
    }
}

fn story() -> Result<(), Error> {
    // The epoch stands first in every event id. (A real driver takes it from the operating system's randomness,
    // so that an id of an earlier life is known for one.)
    let state = SseState::new(Config::new(Epoch(7))).expect("the defaults are bounds");
    let mut driver = Driver::new(state);

    chapter("The author of the service declares two topics");
    let news = TopicOptions {
        history: true,
        log_frames: 2,
        ..TopicOptions::default()
    };
    driver.declare("news", news)?;
    let load = TopicOptions::polled(SourceKind::Interval(Duration::from_secs(5)));
    driver.declare("load", load)?;
    driver.show_wait();

    chapter("Anna is the first to listen to load: its source starts, and is polled at once");
    let anna = driver.connect("anna")?;
    driver.subscribe(anna, "load", Start::Now)?;
    driver.show_wait();

    chapter("Time passes. The same value again is not sent again");
    driver.wait(11)?;

    chapter("Bert listens to news, and something happens");
    let bert = driver.connect("bert")?;
    driver.subscribe(bert, "news", Start::Now)?;
    driver.publish("news", "it rains")?;

    chapter("Nothing happens for a while: heartbeats show that the streams live");
    driver.wait(16)?;

    chapter("Bert's train enters a tunnel: his socket takes 20 bytes more, then nothing");
    driver.world.socket(bert).room = 20;
    for text in ["one", "two", "three", "four", "five"] {
        driver.publish("news", text)?;
    }

    chapter(
        "Out of the tunnel: he gets the rest of what was begun, hears what he missed, and the newest",
    );
    driver.world.socket(bert).room = usize::MAX;
    driver.feed(Input::Writable { id: bert })?;

    chapter("Anna leaves. She was the last on load: its source stops");
    driver.leave(anna)?;

    chapter("Bert's connection breaks. He comes back with the last id that he saw");
    driver.leave(bert)?;
    driver.publish("news", "six")?;
    let bert = driver.connect("bert")?;
    driver.subscribe(bert, "news", Start::After("7-10".into()))?;

    chapter("A client that sends no request is cut when the time for its head is over");
    driver.connect("carl")?;
    driver.wait(11)?;

    chapter("The service ends: whole events, a farewell that says when to come back, a FIN");
    let cause = ShutdownCause::Asked;
    driver.feed(Input::Shutdown { grace: None, cause })?;
    driver.leave(bert)?;
    println!("          terminated: {}", driver.state.is_terminated());
    Ok(())
}

fn chapter(title: &str) {
    println!("\n# {title}");
}

/// The driver: feed what has happened, execute what is asked for, wait until the next deadline.
struct Driver {
    state: SseState,
    world: World,
}

impl Driver {
    fn new(state: SseState) -> Driver {
        let world = World {
            now: Time::ZERO,
            sockets: BTreeMap::new(),
            poll: None,
        };
        Driver { state, world }
    }

    /// Feeds one input, and pumps until nothing is left to do.
    fn feed(&mut self, input: Input<'_>) -> Result<Reply, Error> {
        let reply = self.state.apply(self.world.now, input)?;
        while self.state.pump(256, &mut self.world) == Pumped::More {}
        // A poll takes no time here. A real one is made elsewhere, and its result is an input like any other.
        if let Some((token, number)) = self.world.poll.take() {
            let value = ["0.5", "0.5", "0.7"][(number as usize - 1) % 3];
            self.world.say(&format!("poll {number} gives {value}"));
            let frame = Event::new(value).encode().expect("a line of text");
            let (outcome, next) = (PollOutcome::Frame(frame), Next::GoOn);
            self.feed(Input::PollResult {
                token,
                number,
                outcome,
                next,
            })?;
        }
        Ok(reply)
    }

    /// Lets time pass. The machine says when it has to be asked again; nothing else would wake the driver.
    fn wait(&mut self, seconds: u64) -> Result<(), Error> {
        let until = self.world.now + Duration::from_secs(seconds);
        while let Some(at) = self.state.poll_timeout().filter(|at| *at <= until) {
            self.world.now = at;
            self.feed(Input::Timeout)?;
        }
        self.world.now = until;
        Ok(())
    }

    fn declare(&mut self, topic: &str, options: TopicOptions) -> Result<(), Error> {
        let (topic, options) = (name(topic), options.into());
        self.world.say(&format!("declare {topic:?}"));
        self.feed(Input::Declare { topic, options }).map(drop)
    }

    fn connect(&mut self, who: &'static str) -> Result<SubscriberId, Error> {
        self.world.say(&format!("{who} connects"));
        let Reply::Id(id) = self.feed(Input::Accept)? else {
            return Err(Error::Phase); // `Accept` answers an id.
        };
        let room = usize::MAX;
        self.world.sockets.insert(id, Socket { who, room });
        Ok(id)
    }

    /// A real driver has read a request by now, with `http::Head`.
    fn subscribe(&mut self, id: SubscriberId, topic: &str, start: Start) -> Result<(), Error> {
        let who = self.world.socket(id).who;
        self.world
            .say(&format!("{who} asks for {topic}, {start:?}"));
        let mut subscribe = Subscribe::new(Via::Connection(id), name(topic));
        subscribe.start = start;
        subscribe.head = Http::stream().to_bytes(false, &http_date(0));
        self.feed(Input::Subscribe(Box::new(subscribe))).map(drop)
    }

    fn publish(&mut self, topic: &str, text: &str) -> Result<(), Error> {
        self.world.say(&format!("publish {text:?} to {topic}"));
        let frame = Event::new(text).encode().expect("a line of text");
        let (topic, room) = (topic.into(), Room::Evict);
        if let Reply::Published(done) = self.feed(Input::Publish { topic, frame, room })? {
            self.world
                .say(&format!("  streams that get it: {}", done.streams));
        }
        Ok(())
    }

    fn leave(&mut self, id: SubscriberId) -> Result<(), Error> {
        let who = self.world.socket(id).who;
        self.world.say(&format!("{who} is gone"));
        self.feed(Input::PeerGone { id })?;
        self.world.sockets.remove(&id);
        Ok(())
    }

    fn show_wait(&self) {
        self.world.say(&match self.state.poll_timeout() {
            None => "the driver may sleep until something happens".into(),
            Some(at) => format!("the driver may sleep until {}", clock(at)),
        });
    }
}

/// What a real driver has from the operating system. It executes the machine's actions, and tells them.
struct World {
    now: Time,
    sockets: BTreeMap<SubscriberId, Socket>,
    /// The poll that is to be made.
    poll: Option<(SourceToken, u64)>,
}

struct Socket {
    who: &'static str,
    /// Bytes that it takes before it blocks.
    room: usize,
}

impl World {
    fn say(&self, what: &str) {
        println!("{} {what}", clock(self.now));
    }

    fn socket(&mut self, id: SubscriberId) -> &mut Socket {
        self.sockets
            .get_mut(&id)
            .expect("the story names only who is there")
    }
}

impl Sink for World {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        let Some(socket) = self.sockets.get_mut(&id) else {
            return Answer::Gone;
        };
        let written = run.len().min(socket.room);
        socket.room -= written;
        let who = socket.who;
        self.say(&format!("  {who} ← {}", shortened(&run[..written])));
        if written < run.len() {
            self.say(&format!("  {who}'s socket blocks"));
            // The machine keeps the rest. There is nothing for the driver to buffer.
            return Answer::Blocked(written as u32);
        }
        Answer::All
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::StartSource { topic, .. } => {
                self.say(&format!("  start the source of {topic:?}"))
            }
            Control::Poll { token, number, .. } => self.poll = Some((token, number)),
            Control::StopSource { topic, reason, .. } => {
                self.poll = None;
                self.say(&format!("  stop the source of {topic:?}: {reason:?}"));
            }
            Control::Finish { id } => {
                let who = self.socket(id).who;
                self.say(&format!("  shut the write side of {who}'s socket"));
            }
            Control::Close { id, reason, ending } => {
                if let Some(Socket { who, .. }) = self.sockets.get(&id) {
                    self.say(&format!("  close {who}'s socket: {reason:?}, {ending:?}"));
                }
            }
            // For streams in a framework's body, and publishes that wait.
            Control::Wake { .. } | Control::Room { .. } => {}
        }
    }
}

fn name(topic: &str) -> Name {
    Name::new(topic).expect("the story's names are names")
}

fn clock(time: Time) -> String {
    format!("{:>7.3} s", time.since(Time::ZERO).as_secs_f64())
}

/// Bytes as they go over the wire, line breaks visible; of an answer's head only its first line.
fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.split_once("\r\n\r\n") {
        Some((head, rest)) => {
            let line = head.lines().next().unwrap_or_default();
            format!("{line} … {rest:?}")
        }
        None => format!("{text:?}"),
    }
}
