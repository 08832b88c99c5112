use super::SseState;

impl SseState {
    /// Panics if an invariant is broken. For tests.
    #[doc(hidden)]
    pub fn check_invariants(&self) {}
}
