//! A long time of everything at once: connects, disconnects, stalls, publishes, resumes, at random; and after each
//! wave all leave, and the memory has to be what it was.

use std::time::{Duration, Instant};

use super::crowd::{Crowd, Tally, order, settings};
use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::random::Random;
use crate::server::Server;

/// Some waves, each of a part of the time.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let minutes: f64 = args.take("minutes", 1.0)?;
    let waves: u32 = args.take("waves", 4)?;
    let streams: usize = args.take("streams", 300)?;
    let seed: u64 = args.take("seed", 1)?;
    args.finish()?;
    if waves < 2 {
        return Err("the second wave is compared with the first: at least 2".to_owned());
    }
    println!("{streams} clients at random for {minutes} min in {waves} waves, seed {seed}");
    let mut server = Server::start("tokio", &settings())?;
    let mut random = Random::new(seed);
    let mut memory = Vec::new();
    let mut tally = Tally::default();
    for wave in 1..=u64::from(waves) {
        let mut crowd = Crowd::new(&server, streams, &mut random)?;
        server.publish(order(wave))?;
        crowd.live(
            Duration::from_secs_f64(minutes * 60.0 / f64::from(waves)),
            &mut tally,
        )?;
        server.stop_publishing()?;
        let load = &mut crowd.load;
        load.run(LONG, |_| server.published().is_ok_and(|one| one.is_some()))?;
        tally.add(load);
        drop(crowd);
        wait_until_empty(&mut server)?;
        memory.push(server.usage()?.live as f64 / 1024.0);
    }

    let Tally {
        connects,
        resumes,
        stalls,
        closes,
        counts,
        ended,
        reset,
        failed,
        ..
    } = tally;
    println!("connects {connects}, of them resumes {resumes}; stalls {stalls}, closes {closes}");
    println!(
        "events {}, told missed {}, gap notices {}",
        counts.events, counts.told, counts.gaps
    );
    figures.holds(
        "every kind was seen",
        resumes > 0 && stalls > 0 && counts.gaps > 0 && reset > 0,
    );
    figures.exactly("lost without a notice", counts.lost, 0);
    figures.exactly("twice or out of order", counts.again, 0);
    figures.exactly("malformed", counts.odd, 0);
    figures.exactly("ended by the server", ended, 0);
    println!("cut while they did not read: {reset}");
    figures.exactly("cut though they read", tally.reset_reading, 0);
    figures.exactly("failed", failed, 0);
    for (wave, kib) in memory.iter().enumerate() {
        figures.tell(
            &format!("memory without streams after wave {}", wave + 1),
            Median::exactly(*kib),
            "KiB",
        );
    }
    let growth = memory.iter().fold(f64::MIN, |most, kib| most.max(*kib)) - memory[0];
    // Tables keep their high-water marks, and each wave is at another one.
    figures.at_most(
        "growth after the first wave",
        Median::exactly(growth),
        "KiB",
        256.0,
    );
    Ok(())
}

/// Waits until the server has no stream left.
fn wait_until_empty(server: &mut Server) -> Result<(), String> {
    let start = Instant::now();
    loop {
        let stats = server.stats()?;
        let left = ["streams", "finishing", "openings"].map(|name| stats.get::<u64>(name));
        if left.iter().all(|left| *left == Ok(0)) {
            return Ok(());
        }
        if start.elapsed() > LONG {
            return Err(format!("streams, finishing, openings are still {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

const LONG: Duration = Duration::from_secs(20);
