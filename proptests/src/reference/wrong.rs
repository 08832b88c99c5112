//! The reference with one thing wrong: what it says to the engine, or does with its sockets, is twisted.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use sse_state::{
    Action, CloseHow, Engine, Error, Input, Interest, Name, Pumped, Reply, Sink, Socket,
    SourceToken, Stats, SubscriberId, Time, Via,
};

use super::Io;
use crate::script::{Job, Ready, Script};

listed! {
    /// What is wrong.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)] // each says itself what it does
    pub enum Wrong {
        PumpsOnce,
        SleepsForEver,
        NeverTellsTime,
        GoesBackInTime,
        ForgetsAReport,
        ReportsTwice,
        SaysAllWasTaken,
        SaysItBlocked,
        ForgetsWritable,
        SpeaksOfTheDead,
        ForgetsToClose,
        FinsInsteadOfReset,
        ForgetsFinish,
        ForgetsPeers,
        TakesAPauseForTheEnd,
        ForgetsAccept,
        GivesUpAccepting,
        ForgetsPolls,
        KeepsOldPolls,
        MixesTokens,
        ForgetsRefusals,
        ForgetsWaiting,
        LosesAPublish,
        FeedsTwice,
        BuffersWrites,
        AddsABanner,
        WritesTwice,
        ForgetsHeads,
        ReadsOnce,
        ClosesWhoAsks,
        RefusesEverybody,
        ServesTheWrongTopic,
        Spins,
        TriesAtOnceAgain,
        ReadsForEver,
        EndsEarly,
    }
}

impl Wrong {
    /// The duty that it neglects.
    pub fn rule(self) -> &'static str {
        use Wrong::*;
        match self {
            PumpsOnce => "K1",
            SleepsForEver => "K2",
            NeverTellsTime => "K3",
            GoesBackInTime => "K4",
            ForgetsAReport => "K5",
            ReportsTwice => "K6",
            SaysAllWasTaken | SaysItBlocked | BuffersWrites => "K7",
            ForgetsWritable => "K8",
            SpeaksOfTheDead => "K9",
            ForgetsToClose | FinsInsteadOfReset => "K10",
            ForgetsFinish => "K11",
            ForgetsPeers | TakesAPauseForTheEnd => "K12",
            ForgetsAccept | GivesUpAccepting => "K13",
            ForgetsPolls => "K14",
            KeepsOldPolls => "K15",
            MixesTokens => "K16",
            ForgetsRefusals | ForgetsWaiting => "K17",
            LosesAPublish | FeedsTwice => "K18",
            AddsABanner | WritesTwice => "K19",
            ForgetsHeads => "K20",
            ReadsOnce | ClosesWhoAsks | RefusesEverybody => "K21",
            ServesTheWrongTopic => "K22",
            Spins | TriesAtOnceAgain | ReadsForEver => "K23",
            EndsEarly => "K24",
        }
    }
}

/// What the driver says to its engine, twisted.
pub struct WrongEngine<E> {
    inner: E,
    wrong: Wrong,
    /// Whatever is counted.
    count: u32,
    pumped: bool,
    shut: bool,
}

impl<E: Engine> WrongEngine<E> {
    /// An engine as a driver with this fault uses it.
    pub fn new(inner: E, wrong: Wrong) -> WrongEngine<E> {
        WrongEngine {
            inner,
            wrong,
            count: 0,
            pumped: false,
            shut: false,
        }
    }

    fn every(&mut self, n: u32) -> bool {
        self.count += 1;
        self.count.is_multiple_of(n)
    }
}

impl<E: Engine> Engine for WrongEngine<E> {
    fn apply(&mut self, now: Time, mut input: Input<'_>) -> Result<Reply, Error> {
        let mut now = now;
        self.pumped &= input != Input::Timeout;
        self.shut |= matches!(input, Input::Shutdown { .. });
        match (self.wrong, &mut input) {
            (Wrong::NeverTellsTime, Input::Timeout)
            | (Wrong::ForgetsWritable, Input::Writable { .. })
            | (Wrong::ForgetsPeers, Input::PeerGone { .. })
            | (Wrong::ForgetsHeads, Input::HeadHeld { .. }) => return Ok(Reply::Done),
            (Wrong::RefusesEverybody, Input::Subscribe(_)) => return Err(Error::Absent),
            (Wrong::ForgetsAReport, Input::Report(_)) if self.every(5) => {
                return Ok(Reply::Stale(0));
            }
            (Wrong::ForgetsAccept, Input::Accept) if self.every(2) => {
                return Err(Error::ShuttingDown);
            }
            (Wrong::LosesAPublish, Input::Publish { .. }) if self.every(3) => {
                return Ok(Reply::Done);
            }
            (Wrong::GoesBackInTime, Input::Publish { .. }) => {
                now = Time::from_nanos(now.as_nanos().saturating_sub(1));
            }
            (Wrong::SaysAllWasTaken, Input::Report(reports)) => {
                for report in reports.to_mut() {
                    if report.socket == Socket::Blocked {
                        report.bytes += 1_000;
                        report.socket = Socket::Ready;
                    }
                }
            }
            (Wrong::SaysItBlocked, Input::Report(reports)) => {
                for report in reports.to_mut() {
                    if report.socket == Socket::Ready {
                        report.socket = Socket::Blocked;
                    }
                }
            }
            (Wrong::MixesTokens, Input::PollResult { token, .. }) => {
                *token = SourceToken::from_parts(token.slot(), token.start() + 1);
            }
            (Wrong::ClosesWhoAsks, Input::Subscribe(subscribe)) => {
                if let Via::Connection(id) = subscribe.via {
                    let how = CloseHow::Cut;
                    return self.inner.apply(now, Input::Close { id, how });
                }
            }
            (Wrong::ServesTheWrongTopic, Input::Subscribe(subscribe)) => {
                if let Ok(news) = Name::new("/news") {
                    subscribe.topics[0].topic = news;
                }
            }
            _ => {}
        }
        let result = self.inner.apply(now, input.clone());
        match (self.wrong, &input, &result) {
            (Wrong::ReportsTwice, Input::Report(reports), _) => {
                let _ = self.inner.apply(now, Input::Report(Cow::Borrowed(reports)));
            }
            (Wrong::TriesAtOnceAgain, Input::Report(reports), _) => {
                for report in reports
                    .iter()
                    .filter(|report| report.socket == Socket::Blocked)
                {
                    let _ = self.inner.apply(now, Input::Writable { id: report.id });
                }
            }
            (Wrong::FeedsTwice, Input::Publish { .. }, _) => {
                let _ = self.inner.apply(now, input);
            }
            (Wrong::SpeaksOfTheDead, Input::PeerGone { id }, _) => {
                let _ = self.inner.apply(now, Input::Writable { id: *id });
            }
            (Wrong::ForgetsRefusals, Input::Subscribe(_), Err(_))
            | (Wrong::ForgetsWaiting, Input::Publish { .. }, Err(Error::Wait)) => {
                return Ok(Reply::Done);
            }
            _ => {}
        }
        result
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        if self.wrong == Wrong::PumpsOnce {
            if std::mem::replace(&mut self.pumped, true) {
                return Pumped::Idle;
            }
            return self.inner.pump(1, sink);
        }
        self.inner.pump(budget, sink)
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.inner.poll_action()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.inner
            .poll_timeout()
            .filter(|_| self.wrong != Wrong::SleepsForEver)
    }

    fn now(&self) -> Time {
        self.inner.now()
    }

    fn interest(&self, topic: &str) -> Option<Interest> {
        self.inner.interest(topic)
    }

    fn is_live(&self, id: SubscriberId) -> bool {
        self.inner.is_live(id)
    }

    fn asked(&self) -> u64 {
        self.inner.asked()
    }

    fn is_terminated(&self) -> bool {
        self.inner.is_terminated() || self.shut && self.wrong == Wrong::EndsEarly
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn digest(&self) -> u64 {
        self.inner.digest()
    }
}

/// What the driver does with its IO, twisted.
pub struct WrongIo {
    script: Script,
    wrong: Wrong,
    /// What is never closed, and never ended.
    kept: Vec<WrongSocket>,
    kept_jobs: Vec<Job>,
}

/// A socket of it.
pub struct WrongSocket {
    inner: crate::script::Socket,
    wrong: Wrong,
    has_read: bool,
    greeted: bool,
    buffer: Vec<u8>,
}

impl WrongIo {
    /// The IO as a driver with this fault uses it.
    pub fn new(script: Script, wrong: Wrong) -> WrongIo {
        WrongIo {
            script,
            wrong,
            kept: Vec::new(),
            kept_jobs: Vec::new(),
        }
    }
}

impl Io for WrongIo {
    type Socket = WrongSocket;
    type Job = Option<Job>;

    fn now(&self) -> Time {
        self.script.now()
    }

    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>> {
        if self.wrong == Wrong::Spins {
            return self.script.wait(Some(self.script.now()));
        }
        self.script.wait(until)
    }

    fn accept(&mut self) -> io::Result<WrongSocket> {
        let inner = self.script.accept().map_err(|error| match self.wrong {
            Wrong::GivesUpAccepting => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })?;
        Ok(WrongSocket {
            inner,
            wrong: self.wrong,
            has_read: false,
            greeted: false,
            buffer: Vec::new(),
        })
    }

    fn register(&mut self, socket: &WrongSocket, token: u64) {
        self.script.register(&socket.inner, token);
    }

    fn shutdown_write(&mut self, socket: &mut WrongSocket) -> io::Result<()> {
        match self.wrong {
            Wrong::ForgetsFinish => Ok(()),
            _ => socket.inner.shutdown_write(),
        }
    }

    fn reset(&mut self, socket: WrongSocket) {
        match self.wrong {
            Wrong::ForgetsToClose => self.kept.push(socket),
            Wrong::FinsInsteadOfReset => drop(socket),
            _ => socket.inner.reset(),
        }
    }

    fn take(&mut self) -> Option<Input<'static>> {
        self.script.take()
    }

    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Option<Job> {
        if self.wrong == Wrong::ForgetsPolls {
            return None;
        }
        let job = self.script.start(topic.as_str(), token, number);
        if self.wrong == Wrong::KeepsOldPolls {
            self.kept_jobs.push(job);
            return None;
        }
        Some(job)
    }
}

impl Read for WrongSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.wrong == Wrong::ReadsOnce && std::mem::take(&mut self.has_read) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.wrong == Wrong::ReadsForEver {
            let interrupted = |_| io::ErrorKind::Interrupted.into();
            return self.inner.read(buffer).map_err(interrupted);
        }
        let read = match self.inner.read(buffer) {
            Err(_) if self.wrong == Wrong::TakesAPauseForTheEnd => 0,
            read => read?,
        };
        self.has_read = true;
        Ok(read)
    }
}

impl Write for WrongSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.wrong {
            Wrong::AddsABanner if !std::mem::replace(&mut self.greeted, true) => {
                self.inner.write(b":hello\n\n")?;
            }
            Wrong::WritesTwice => drop(self.inner.write(bytes)),
            Wrong::BuffersWrites => {
                self.buffer.extend_from_slice(bytes);
                while !self.buffer.is_empty()
                    && let Ok(taken) = self.inner.write(&self.buffer)
                {
                    self.buffer.drain(..taken);
                }
                return Ok(bytes.len());
            }
            _ => {}
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
