//! SIGTERM with many streams open: every one ends in order, after a whole frame and a `retry:`.

use std::time::{Duration, Instant};

use crate::args::Args;
use crate::figures::{Figures, Median};
use crate::load::Load;
use crate::serve::Order;
use crate::server::Server;
use crate::side::{OPEN, PATH};
use crate::stream::{Phase, Plan};
use crate::words::Words;

/// Once with streams that all read; then once more with one that does not, for which the grace runs out.
pub(super) fn run(mut args: Args, figures: &mut Figures) -> Result<(), String> {
    let streams: usize = args.take("streams", 1_000)?;
    args.finish()?;
    drain(streams, 5.0, false, figures)?;
    drain(streams, 2.0, true, figures)
}

fn drain(streams: usize, grace: f64, stalls: bool, figures: &mut Figures) -> Result<(), String> {
    let settings = Words::default().with("grace", grace * 1000.0);
    let mut server = Server::start("tokio", &settings)?;
    let mut load = Load::new()?;
    let plan = Plan::new(server.addr, PATH);
    for at in 0..streams {
        load.add(Plan {
            stray: if is_stray(at) { 100 } else { 0 },
            ..plan.clone()
        });
    }
    if stalls {
        load.add(Plan {
            reads: false,
            receive_buffer: Some(4096),
            ..plan
        });
    }
    load.open_all(OPEN)?;
    // Enough for whoever does not read to be blocked.
    let bytes = if stalls { 16 << 10 } else { 128 };
    let order = Order {
        bytes,
        ..Order::paced(u64::from(u32::MAX), Duration::from_millis(40), 1)
    };
    server.publish(order)?;
    load.run(Duration::from_secs(2), |_| false)?;
    stray(&mut load, streams);
    let start = Instant::now();
    server.terminate()?;
    stray(&mut load, streams);
    let limit = Duration::from_secs_f64(grace + 5.0);
    let (mut status, mut exit) = (None, None);
    load.run(limit, |load| {
        if status.is_none() {
            status = server.ended().ok().flatten();
            exit = status.is_some().then(|| start.elapsed());
        }
        status.is_some()
            && load.streams()[..streams]
                .iter()
                .all(|stream| !stream.is_connected())
    })?;

    let stray_count = (0..streams).filter(|&at| is_stray(at)).count();
    let one = if stalls {
        " and one that does not read"
    } else {
        ""
    };
    println!(
        "SIGTERM with {streams} streams{one}, {stray_count} of them with stray bytes, grace {grace} s"
    );
    let readers = &load.streams()[..streams];
    let count = |is: &dyn Fn(&crate::stream::Stream) -> bool| {
        readers.iter().filter(|stream| is(stream)).count() as u64
    };
    let all = streams as u64;
    figures.exactly(
        "ended in order",
        count(&|stream| stream.phase == Phase::Ended),
        all,
    );
    figures.exactly("reset", count(&|stream| stream.phase == Phase::Reset), 0);
    figures.exactly(
        "ended after a whole frame",
        count(&|stream| stream.is_whole()),
        all,
    );
    figures.exactly(
        "whose last block was a retry:",
        count(&|stream| stream.said_farewell),
        all,
    );
    figures.exactly(
        "without loss",
        count(&|stream| stream.counts.are_clean()),
        all,
    );
    let seconds = exit.map_or(f64::NAN, |exit| exit.as_secs_f64());
    figures.at_most(
        "the process has ended after",
        Median::exactly(seconds),
        "s",
        grace + 1.0,
    );
    figures.holds(
        "with success",
        status.is_some_and(|status| status.success()),
    );
    if stalls {
        load.set_reads(streams, true)?;
        load.run(Duration::from_secs(5), |load| {
            !load.stream(streams).is_connected()
        })?;
        let phase = load.stream(streams).phase;
        figures.holds("the one that did not read was cut", phase == Phase::Reset);
    }
    Ok(())
}

/// A third sends what nobody asked for.
fn is_stray(at: usize) -> bool {
    at.is_multiple_of(3)
}

fn stray(load: &mut Load, streams: usize) {
    for at in (0..streams).filter(|&at| is_stray(at)) {
        load.stream_mut(at).stray(700);
    }
}
