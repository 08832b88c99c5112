//! Every test of this folder but the one of the allocator, in one binary that ends at the first failure: for mutation
//! testing (`.ci/mutants`), which builds and runs it once for each mutant. Not among the tests of `cargo test`, which
//! has each file as a binary of its own.
//!
//! Tests run in the order of their names, so the letter in front says what comes first: what is quick.

#![allow(clippy::duplicate_mod)] // what the files share is here once for each of them

mod a {
    /// Of all tests the first one.
    #[test]
    fn the_first_failure_ends_all() {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |failure| {
            report(failure);
            std::process::exit(101);
        }));
    }
}

#[path = "bounds.rs"]
mod b_bounds;
#[path = "bounds_bytes.rs"]
mod b_bounds_bytes;
#[path = "deadlines.rs"]
mod b_deadlines;
#[path = "digest.rs"]
mod b_digest;
#[path = "ends.rs"]
mod b_ends;
#[path = "extremes.rs"]
mod b_extremes;
#[path = "journal.rs"]
mod b_journal;
#[path = "journal_faults.rs"]
mod b_journal_faults;
#[path = "lend.rs"]
mod b_lend;
#[path = "life.rs"]
mod b_life;
#[path = "reports.rs"]
mod b_reports;
#[path = "slow.rs"]
mod b_slow;
#[path = "text.rs"]
mod b_text;
#[path = "together.rs"]
mod b_together;
#[path = "wire_ends.rs"]
mod b_wire_ends;
#[path = "wire_events.rs"]
mod b_wire_events;
#[path = "wire_gaps.rs"]
mod b_wire_gaps;
#[path = "wire_resume.rs"]
mod b_wire_resume;
#[path = "wire_runs.rs"]
mod b_wire_runs;
#[path = "wire_silence.rs"]
mod b_wire_silence;
#[path = "http_answer.rs"]
mod c_http_answer;
#[path = "http_corners.rs"]
mod c_http_corners;
#[path = "http_host.rs"]
mod c_http_host;
#[path = "http_origin.rs"]
mod c_http_origin;
#[path = "http_request.rs"]
mod c_http_request;
#[path = "http_text.rs"]
mod c_http_text;
#[path = "http_topic.rs"]
mod c_http_topic;
#[path = "http_bounds.rs"]
mod d_http_bounds;
#[path = "http_cors.rs"]
mod d_http_cors;
#[path = "http_head.rs"]
mod d_http_head;
#[path = "random_calls.rs"]
mod d_random_calls;
#[path = "resume_property.rs"]
mod d_resume_property;
