//! The program, as a person would use it.

use std::path::Path;

#[test]
fn it_serves_the_demo_until_a_signal() {
    match io_uring_loop::available() {
        Err(why) if sse_state_conformance::may_be_missing("io_uring") => {
            println!("left out: {why}")
        }
        available => {
            available.unwrap();
            let program = Path::new(env!("CARGO_BIN_EXE_io-uring-loop"));
            sse_state_conformance::check_demo(program).unwrap();
        }
    }
}
