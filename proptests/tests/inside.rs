//! The machine's own invariants, one test for each, so that a planted bug can name the one it breaks.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sse_state_proptests::rules::{How, RULES};
use sse_state_proptests::suite::{Budget, Real, fired};

/// What some scenarios find, once for all tests.
fn found() -> &'static BTreeMap<&'static str, u64> {
    static FOUND: OnceLock<BTreeMap<&'static str, u64>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let budget = Budget {
            first_seed: 5000,
            scenarios: 300,
            length: 60,
        };
        fired(&Real, budget)
    })
}

macro_rules! holds {
    ($($name:ident $id:literal)*) => {
        $(#[test]
        fn $name() {
            let seed = found().get($id);
            assert!(seed.is_none(), "{} is broken with seed {seed:?}", $id);
        })*

        #[test]
        fn every_rule_of_the_inside_has_a_test() {
            let mut ids = RULES.iter().filter(|rule| rule.how == How::Inside).map(|rule| rule.id);
            assert!(ids.all(|id| [$($id),*].contains(&id)));
        }
    };
}

holds! {
    l1d_topics_are_indexed_and_needed "L1d"
    l4c_linger_is_for_nobody "L4c"
    l7c_starts_are_waited_for "L7c"
    l10e_members_know_each_other "L10e"
    l12c_polls_are_counted "L12c"
    i3c_the_dead_hold_nothing "I3c"
    i4b_lists_hold_who_is_listed "I4b"
    d1b_seqs_rise "D1b"
    d5e_who_is_behind_has_a_turn_coming "D5e"
    d7b_cursors_know_their_places "D7b"
    d8b_turns_are_queued "D8b"
    b1e_flags_fit_together "B1e"
    b2a_bytes_are_counted "B2a"
    b7f_bounds_count_what_is_there "B7f"
    b8b_runs_are_held_by_their_holders "B8b"
    t1c_deadlines_stand_on_the_wheel "T1c"
}
