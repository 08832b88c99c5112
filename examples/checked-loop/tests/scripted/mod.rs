//! `Net` on scripted IO.

use std::io;

use checked_loop::serve::{Event, Net};
use sse_state::{Input, Name, SourceToken, SubscriberId, Time};
use sse_state_proptests::script::{Job, Ready, Script, Socket};

/// The world, scripted.
pub(crate) struct Scripted(pub(crate) Script);

impl Net for Scripted {
    type Stream = Socket;
    type Job = Job;

    fn now(&self) -> Time {
        self.0.now()
    }

    fn unix_seconds(&self) -> u64 {
        0
    }

    fn wait(&mut self, until: Option<Time>, events: &mut Vec<Event>) -> io::Result<()> {
        events.extend(self.0.wait(until)?.into_iter().map(|ready| match ready {
            Ready::Accept => Event::Accept,
            Ready::Inputs => Event::Inputs,
            Ready::Socket {
                token,
                readable,
                writable,
            } => Event::Stream {
                id: SubscriberId::from_u64(token),
                readable,
                writable,
            },
        }));
        Ok(())
    }

    fn accept(&mut self) -> io::Result<Socket> {
        self.0.accept()
    }

    fn register(&mut self, stream: &mut Socket, id: SubscriberId) -> io::Result<()> {
        self.0.register(stream, id.as_u64());
        Ok(())
    }

    fn finish(&mut self, stream: &mut Socket) -> io::Result<()> {
        stream.shutdown_write()
    }

    fn reset(&mut self, stream: Socket) {
        stream.reset();
    }

    fn take(&mut self) -> Option<Input<'static>> {
        self.0.take()
    }

    fn poll(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        self.0.start(topic.as_str(), token, number)
    }
}
