//! A run under load with several workers is recorded, and its journal replayed: the same actions, byte for byte, and
//! the same state at the end.

use std::time::Duration;

use sse_state::journal;

use super::crowd::{Crowd, Tally, order, settings};
use crate::args::Args;
use crate::figures::Figures;
use crate::random::Random;
use crate::server::Server;

/// Records for a while, ends the server by SIGTERM in the middle of it, and replays.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let seconds: f64 = args.take("seconds", 10.0)?;
    let streams: usize = args.take("streams", 300)?;
    let threads: usize = args.take("threads", 4)?;
    let seed: u64 = args.take("seed", 1)?;
    args.finish()?;
    println!("{streams} clients at random for {seconds} s, {threads} workers, seed {seed}");

    let path = std::env::temp_dir().join(format!("fanout-bench-{}.journal", std::process::id()));
    let settings = settings()
        .with("threads", threads)
        .with("grace", 1_000)
        .with("record", path.display());
    let mut server = Server::start("tokio", &settings)?;
    let mut crowd = Crowd::new(&server, streams, &mut Random::new(seed))?;
    server.publish(order(1))?;
    let mut tally = Tally::default();
    crowd.live(Duration::from_secs_f64(seconds), &mut tally)?;
    server.terminate()?;
    crowd.load.run(Duration::from_secs(10), |_| {
        !matches!(server.ended(), Ok(None))
    })?;
    let digests = server.last_words()?;
    drop(server);

    let text = std::fs::read_to_string(&path).map_err(|error| format!("journal: {error}"));
    // It lies in the folder of temporary files if this fails.
    let _ = std::fs::remove_file(&path);
    let text = text?;
    println!(
        "journal of {} lines, {} KiB",
        text.lines().count(),
        text.len() >> 10
    );
    let replayed = journal::replay(&text).map_err(|error| format!("replay: {error}"))?;
    let (actions, state) = (digests.get("actions")?, digests.get("state")?);
    figures.exactly("digest of all action bytes", replayed.actions, actions);
    figures.exactly("digest of the state", replayed.state, state);
    figures.holds("the machine has ended", replayed.machine.is_terminated());
    Ok(())
}
