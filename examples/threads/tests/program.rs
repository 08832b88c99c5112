//! The program, as a person would use it.

use std::path::Path;

#[test]
fn it_serves_the_demo_until_a_signal() {
    sse_state_conformance::check_demo(Path::new(env!("CARGO_BIN_EXE_threads"))).unwrap();
}
