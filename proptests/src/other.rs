//! A correct engine that chooses otherwise wherever the contract leaves a choice. No rule may know the
//! difference: one that does encodes an implementation.
//!
//! It is the naive engine with other tastes: closes, sources and streams that come together come the
//! other way round; a heartbeat comes after the whole interval instead of a little before; deadlines of
//! connections are met a granule late; slots are taken from the other end; `retry:` values are spread
//! otherwise; tokens have other slots.

use sse_state::{Config, ConfigError};

use crate::model::Model;
use crate::suite::Factory;

/// Makes engines that choose otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Other;

impl Factory for Other {
    type Engine = Model;

    fn make(&self, config: Config) -> Result<Model, ConfigError> {
        Model::other(config)
    }
}
