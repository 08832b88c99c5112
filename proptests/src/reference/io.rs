//! What the reference needs of its world, and a script as one.

use std::io::{self, Read, Write};

use sse_state::{Input, Name, SourceToken, Time};

use crate::script::{Job, Ready, Script};

/// What the driver needs of its world; an author has this as calls of mio, and [`Script`] for tests.
#[allow(missing_docs)] // as the methods of `Script`
pub trait Io {
    type Socket: Read + Write;
    type Job;
    fn now(&self) -> Time;
    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>>;
    fn accept(&mut self) -> io::Result<Self::Socket>;
    fn register(&mut self, socket: &Self::Socket, token: u64);
    fn shutdown_write(&mut self, socket: &mut Self::Socket) -> io::Result<()>;
    fn reset(&mut self, socket: Self::Socket);
    fn take(&mut self) -> Option<Input<'static>>;
    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Self::Job;
}

impl Io for Script {
    type Socket = crate::script::Socket;
    type Job = Job;

    fn now(&self) -> Time {
        Script::now(self)
    }

    fn wait(&mut self, until: Option<Time>) -> io::Result<Vec<Ready>> {
        Script::wait(self, until)
    }

    fn accept(&mut self) -> io::Result<Self::Socket> {
        Script::accept(self)
    }

    fn register(&mut self, socket: &Self::Socket, token: u64) {
        Script::register(self, socket, token);
    }

    fn shutdown_write(&mut self, socket: &mut Self::Socket) -> io::Result<()> {
        socket.shutdown_write()
    }

    fn reset(&mut self, socket: Self::Socket) {
        socket.reset();
    }

    fn take(&mut self) -> Option<Input<'static>> {
        Script::take(self)
    }

    fn start(&mut self, topic: &Name, token: SourceToken, number: u64) -> Job {
        Script::start(self, topic.as_str(), token, number)
    }
}
