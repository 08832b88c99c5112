//! What comes in: heads, bodies, and bytes that nobody asked for.

use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};

use sse_state::http::{Drain, Progress, Refusal};
use sse_state::{CloseHow, Error, Input, SubscriberId};

use crate::conn::{Conn, Phase};
use crate::open;
use crate::runtime::Stream;
use crate::shared::Shared;
use crate::signal::lock;

/// Where a connection stands after a look at it.
#[derive(PartialEq, Eq)]
pub(crate) enum Read {
    /// Its waker is registered, or it is not read from for now.
    Pending,
    /// The peer has ended it, or it broke.
    Gone,
}

/// Reads what is there, at most a few times; the connection comes again if there is more.
pub(crate) fn read(
    shared: &Arc<Shared>,
    id: SubscriberId,
    conn: &Arc<Conn>,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Read {
    // Two workers may have been sent here; the bytes have one order.
    let mut phase = lock(&conn.phase);
    for _ in 0..READS {
        match &*phase {
            Phase::Closed => return Read::Pending,
            Phase::Deciding(deciding) if !deciding.reads_on() => return Read::Pending,
            _ => {}
        }
        match conn.stream.poll_readable(cx) {
            Poll::Pending => return Read::Pending,
            Poll::Ready(Err(_)) => return Read::Gone,
            Poll::Ready(Ok(())) => {}
        }
        match conn.stream.try_read(buffer) {
            Ok(0) => return Read::Gone,
            Ok(bytes) => {
                let bytes = buffer.get(..bytes).unwrap_or_default();
                take(shared, id, conn, &mut phase, bytes);
            }
            Err(error) if is_passing(error.kind()) => {}
            Err(_) => return Read::Gone,
        }
    }
    conn.look();
    Read::Pending
}

/// Drops what is there, so that closing is an end and not a reset.
pub(crate) fn empty(stream: &dyn Stream) {
    let mut buffer = [0; 4096];
    for _ in 0..Drain::LIMIT / buffer.len() {
        match stream.try_read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// Gives bytes to whatever they are for.
fn take(shared: &Arc<Shared>, id: SubscriberId, conn: &Arc<Conn>, phase: &mut Phase, bytes: &[u8]) {
    let goes_on = match phase {
        Phase::Head(_) => return take_head(shared, id, conn, phase, bytes),
        Phase::Deciding(deciding) => deciding.take(bytes),
        Phase::Body(body) => {
            let goes_on = body.take(bytes);
            if goes_on && body.is_complete() {
                return open::publish(shared, id, phase);
            }
            goes_on
        }
        Phase::Open(drain) => drain.push(bytes.len()),
        Phase::Closed => return,
    };
    if !goes_on {
        // More than may follow a request: whatever this is, it is not for us.
        let how = CloseHow::Cut;
        // It may have gone meanwhile.
        let _ = shared.apply(Input::Close { id, how });
        *phase = Phase::Closed;
    }
}

fn take_head(
    shared: &Arc<Shared>,
    id: SubscriberId,
    conn: &Arc<Conn>,
    phase: &mut Phase,
    bytes: &[u8],
) {
    let Phase::Head(opening) = phase else { return };
    match opening.head.push(bytes) {
        Progress::More => {
            let held = opening.head.bytes_held();
            if held == opening.told {
                return;
            }
            opening.told = held;
            // A head is bounded to 32 bits.
            let bytes = held as u32;
            if let Err(Error::Full(_)) = shared.apply(Input::HeadHeld { id, bytes }) {
                open::refuse(shared, id, phase, None, &Refusal::NoRoom);
            }
        }
        Progress::Refused(why) => open::refuse(shared, id, phase, None, &why),
        Progress::Done { consumed } => {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Phase::Head(opening) = std::mem::replace(phase, Phase::Open(Drain::new())) else {
                return;
            };
            open::decide(shared, id, conn, phase, *opening, rest);
        }
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Reads of one look.
const READS: usize = 8;
