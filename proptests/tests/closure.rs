//! Every state of small configurations, and every kind of thing that there is to reach. With `SSE_PROOF=full`, as
//! `.ci/full` has it, also those of the same configurations with all that may happen to them; `--nocapture` prints
//! how many there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sse_state_proptests::closure::configuration::{Configuration, Size, matrix};
use sse_state_proptests::closure::others::others;
use sse_state_proptests::closure::reach::{EVERYTHING, Reached};
use sse_state_proptests::closure::{SAMPLING, explore_machine};

/// Closes all of these, and prints how large they are.
fn close(all: &[Configuration], next: &AtomicUsize) -> Reached {
    let mut reached = Reached::default();
    let until = Instant::now() + PATIENCE;
    while let Some(of) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
        let found = explore_machine(of, SAMPLING, until);
        println!("{}: {found}", of.full_name());
        assert_eq!(found.failure, None, "{}", of.name);
        assert!(found.closed, "{} is not closed", of.name);
        assert!(found.twins > 0 && found.probes > 0, "{}", of.name);
        reached.join(&found.reached);
    }
    reached
}

#[test]
fn one_stream_in_flight_and_two_at_once_close_for_every_policy_and_all_is_reached() {
    let mut all = matrix(Size::Quick);
    assert_eq!(all.len(), 2 * 3 * 2 * 2);
    all.extend(others());
    if std::env::var("SSE_PROOF").as_deref() == Ok("full") {
        let full = matrix(Size::Full);
        assert_eq!(full.len(), 2 * 3 * 2 * 2);
        all.extend(full);
    }
    let next = AtomicUsize::new(0);
    let reached = std::thread::scope(|scope| {
        let helper = scope.spawn(|| close(&all, &next));
        let mut reached = close(&all, &next);
        reached.join(&helper.join().expect("the others close"));
        reached
    });
    assert_eq!(reached.missing(), [""; 0]);
    assert_eq!(reached.len(), EVERYTHING.len(), "a kind that is not known");
}

/// Several times what all of them take, which is about five minutes of one core in release; a configuration that
/// does not close must end, too.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Enums of other crates cannot be matched to their end, so their variants are read where they are.
#[test]
fn every_variant_that_there_is_is_one_to_be_reached() {
    let sources = [
        (include_str!("../../core/src/action.rs"), "Control"),
        (include_str!("../../core/src/action.rs"), "Answer"),
        (include_str!("../../core/src/action.rs"), "Ending"),
        (include_str!("../../core/src/action.rs"), "CloseReason"),
        (include_str!("../../core/src/action.rs"), "StopReason"),
        (include_str!("../../core/src/error.rs"), "Error"),
        (include_str!("../../core/src/error.rs"), "Bound"),
        (include_str!("../../core/src/input.rs"), "Reply"),
    ];
    let mut count = 0;
    for (source, name) in sources {
        for variant in variants(source, name) {
            let full = format!("{name}::{variant}");
            match full.as_str() {
                // Told by its bound; never reached, see `EVERYTHING`.
                "Error::Full" | "Bound::Ids" => continue,
                _ => count += 1,
            }
            let known = |known: &&&str| known.split(' ').next() == Some(&full);
            assert!(
                EVERYTHING.iter().any(|name| known(&name)),
                "{full} is not to be reached"
            );
        }
    }
    // Pulled is told twice: a run, and nothing.
    assert_eq!(count + 1, EVERYTHING.len());
}

/// The variants of an enum, as its source names them.
fn variants(source: &str, name: &str) -> Vec<String> {
    let body = source
        .split(&format!("pub enum {name} {{\n"))
        .nth(1)
        .expect("the enum");
    let body = body.split("\n}").next().expect("its end");
    let lines = body
        .lines()
        .filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let names = lines
        .map(|line| line.trim())
        .filter(|line| line.starts_with(char::is_uppercase));
    names
        .map(|line| {
            line.split(|c: char| !c.is_alphanumeric())
                .next()
                .expect("a name")
                .to_owned()
        })
        .collect()
}
