//! The catalogue: every rule that is coded, by id.

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its id, as in assertions and in the names of tests.
    pub id: &'static str,
    /// What shows that it is broken.
    pub how: How,
    /// The rule, in one sentence.
    pub says: &'static str,
}

/// What shows that a rule is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Inputs and actions alone.
    Trace,
    /// The engine's own `check_invariants`.
    Inside,
    /// Two runs that must agree.
    Relation,
    /// What is encoded, or read from a head.
    Bytes,
    /// A counting allocator.
    Memory,
    /// What a driver does with the engine and with its sockets.
    Driver,
}
