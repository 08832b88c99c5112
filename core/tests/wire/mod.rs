//! What the tests of the wire share: a parser of event streams that knows nothing of the encoder, and a
//! machine whose streams are read into memory.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part of this"
)]

mod parser;
mod world;

pub(crate) use parser::{Parsed, Parser, parse};
pub(crate) use world::{EPOCH, World, frame, join, named};
