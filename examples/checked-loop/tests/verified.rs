//! The loop is put through its duties, on scripted IO.

mod scripted;

use checked_loop::serve::serve;
use scripted::Scripted;
use sse_state_proptests::sweep::Sweep;

#[test]
fn the_loop_does_its_duties() {
    // Its topics are polled or published to; it starts no other sources.
    let report = Sweep::new().without_feeds().run(|script, state| {
        serve(Scripted(script), state).expect("a script can be waited for");
    });
    println!("{report}");
    assert!(report.failures.is_empty());
}
