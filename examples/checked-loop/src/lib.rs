#![doc = include_str!("../README.md")]

pub mod net;
pub mod serve;

/// The page that tells how this is done with a loop of one's own; its code runs as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/check-your-loop.md")]
struct Page;
