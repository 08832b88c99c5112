//! Drivers that are right, and go about it in another way: no rule may take a habit of the reference for a duty.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::time::Duration;

use sse_state::{
    Action, CloseHow, Engine, Error, Input, Name, Pumped, Reply, Sink, SourceToken, SubscriberId,
    Time, Via,
};

use super::Io;
use crate::script::{Job, Ready, Script, Socket};

listed! {
    /// What is done in another way.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    #[allow(missing_docs)] // each says itself what it does
    pub enum Other {
        PumpsOneVisit,
        PullsActions,
        WritesInPieces,
        ReadsInPieces,
        TellsTimeTwice,
        WakesEarly,
        ReportsSingly,
        TellsHeadDone,
        TellsWritableTooOften,
        ClosesWhoIsGone,
        TellsAllHeads,
    }
}

/// An engine as such a driver uses it.
pub struct OtherEngine<E> {
    inner: E,
    other: Other,
}

impl<E: Engine> OtherEngine<E> {
    /// The engine of a driver that does this in another way.
    pub fn new(inner: E, other: Other) -> OtherEngine<E> {
        OtherEngine { inner, other }
    }
}

impl<E: Engine> Engine for OtherEngine<E> {
    fn apply(&mut self, now: Time, input: Input<'_>) -> Result<Reply, Error> {
        match (self.other, &input) {
            (Other::TellsTimeTwice, Input::Timeout) => {
                self.inner.apply(now, Input::Timeout)?;
            }
            (Other::ReportsSingly, Input::Report(reports)) => {
                for report in reports.iter() {
                    let one = std::slice::from_ref(report);
                    self.inner.apply(now, Input::Report(Cow::Borrowed(one)))?;
                }
                return Ok(Reply::Stale(0));
            }
            (Other::TellsHeadDone, Input::Subscribe(subscribe)) => {
                if let Via::Connection(id) = subscribe.via {
                    self.inner.apply(now, Input::HeadDone { id })?;
                }
            }
            (Other::TellsAllHeads, Input::Subscribe(subscribe)) => {
                if let Via::Connection(id) = subscribe.via {
                    self.inner
                        .apply(now, Input::HeadHeld { id, bytes: 2_000 })?;
                }
            }
            (Other::TellsWritableTooOften, Input::Report(reports)) => {
                let ready = reports
                    .iter()
                    .filter(|report| report.socket == sse_state::Socket::Ready);
                let ids: Vec<SubscriberId> = ready.map(|report| report.id).collect();
                let result = self.inner.apply(now, input);
                for id in ids {
                    if self.inner.is_live(id) {
                        self.inner.apply(now, Input::Writable { id })?;
                    }
                }
                return result;
            }
            (Other::ClosesWhoIsGone, Input::PeerGone { id }) => {
                let (id, how) = (*id, CloseHow::Cut);
                return self.inner.apply(now, Input::Close { id, how });
            }
            _ => {}
        }
        self.inner.apply(now, input)
    }

    fn pump(&mut self, budget: u32, sink: &mut dyn Sink) -> Pumped {
        match self.other {
            Other::PumpsOneVisit => self.inner.pump(1, sink),
            Other::PullsActions => {
                for _ in 0..budget {
                    match self.inner.poll_action() {
                        // The reference takes every write in flight, as a pull does.
                        Some(Action::Write { id, run }) => {
                            sink.write(id, sse_state::Run::of(&run));
                        }
                        Some(Action::Control(control)) => sink.control(control),
                        None => return Pumped::Idle,
                    }
                }
                Pumped::More
            }
            _ => self.inner.pump(budget, sink),
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.inner.poll_action()
    }

    views_of_inner!();
}

/// The IO of such a driver.
pub struct OtherIo {
    script: Script,
    other: Other,
}

impl OtherIo {
    /// The IO of a driver that does this in another way.
    pub fn new(script: Script, other: Other) -> OtherIo {
        OtherIo { script, other }
    }
}

/// A socket of it.
pub struct OtherSocket {
    inner: Socket,
    other: Other,
}

impl Io for OtherIo {
    type Socket = OtherSocket;
    type Job = Job;

    fn now(&self) -> Time {
        self.script.now()
    }

    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>> {
        let now = self.script.now();
        let early = |until: Time| until.min(now + until.since(now) / 2 + Duration::from_millis(1));
        match self.other {
            Other::WakesEarly => self.script.wait(until.map(early)),
            _ => self.script.wait(until),
        }
    }

    fn accept(&mut self) -> io::Result<OtherSocket> {
        let inner = self.script.accept()?;
        let other = self.other;
        Ok(OtherSocket { inner, other })
    }

    fn register(&mut self, socket: &OtherSocket, token: u64) {
        self.script.register(&socket.inner, token);
    }

    fn shutdown_write(&mut self, socket: &mut OtherSocket) -> io::Result<()> {
        socket.inner.shutdown_write()
    }

    fn reset(&mut self, socket: OtherSocket) {
        socket.inner.reset();
    }

    fn take(&mut self) -> Option<Input<'static>> {
        self.script.take()
    }

    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        self.script.start(topic.as_str(), token, number)
    }
}

impl Read for OtherSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = match self.other {
            Other::ReadsInPieces => buffer.len().min(8),
            _ => buffer.len(),
        };
        self.inner.read(&mut buffer[..most])
    }
}

impl Write for OtherSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = match self.other {
            Other::WritesInPieces => bytes.len().min(40),
            _ => bytes.len(),
        };
        self.inner.write(&bytes[..most])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
