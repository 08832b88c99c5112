//! I1, I2, L6, R5, B7, S2, T5: what calls are answered.

use sse_state::{Bound, Error, Input, Reply, SourceToken, SubscriberId, Time, Via};

use super::Findings;
use super::facts::{Ledger, Phase};
use crate::trace::Step;

/// A call was answered; the ledger is as before it.
pub(super) fn check(
    ledger: &Ledger,
    at: Time,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    step: &Step,
    out: &mut Findings,
) {
    r5_refusal_changes_nothing(ledger, input, result, step, out);
    t5_time_never_goes_back(ledger, at, result, step, out);
    i1_ids_are_new(ledger, input, result, out);
    i2_dead_ids_are_stale(ledger, input, result, out);
    l6_dead_tokens_are_stale(ledger, input, result, out);
    b7_bounds(ledger, input, result, out);
    s2_after_shutdown(ledger, input, result, out);
    a1_closed_or_expired(ledger, at, input, result, out);
}

/// R5: `Err` leaves everything as it was.
fn r5_refusal_changes_nothing(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    step: &Step,
    out: &mut Findings,
) {
    let (Err(error), Some(before)) = (result, &ledger.before) else {
        return;
    };
    // A publish that is told to wait is remembered, so that `Room` can follow.
    if *error == Error::Wait {
        return;
    }
    let rule = match error {
        Error::Stale if token_of(input).is_some() => "L6b",
        Error::Stale => "I2b",
        Error::Full(_) => "B7d",
        _ => "R5a",
    };
    out.holds(rule, before.digest == step.after.digest, || {
        format!("R5: {input:?} was refused ({error}), and the digest changed")
    });
    out.holds("R5b", before.now == step.after.now, || {
        format!("{input:?} was refused ({error}), and the clock moved")
    });
}

/// T5: an older `now` counts as the greatest one.
fn t5_time_never_goes_back(
    ledger: &Ledger,
    at: Time,
    result: &Result<Reply, Error>,
    step: &Step,
    out: &mut Findings,
) {
    let expected = if result.is_ok() {
        ledger.now.max(at)
    } else {
        ledger.now
    };
    out.holds("T5a", step.after.now == expected, || {
        format!("the time is {:?}, not {expected:?}", step.after.now)
    });
}

/// I1: an id is never handed out twice.
fn i1_ids_are_new(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let Ok(Reply::Id(id)) = result else { return };
    let own = match input {
        Input::Subscribe(sub) => match sub.via {
            Via::Connection(own) => Some(own),
            Via::Mounted { .. } => None,
        },
        _ => None,
    };
    match own {
        Some(own) => out.holds("I1b", own == *id, || {
            format!("{own} subscribed and became {id}")
        }),
        None => out.holds("I1a", !ledger.conns.contains_key(id), || {
            format!("{id} is handed out again")
        }),
    }
}

/// I2: a call with a dead id is `Stale` (or, once all is over, `ShuttingDown`).
fn i2_dead_ids_are_stale(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    if let (Input::Report(reports), Ok(Reply::Stale(stale))) = (input, result) {
        let dead = reports
            .iter()
            .filter(|r| ledger.live(r.id).is_none())
            .count() as u32;
        // One whose end was decided, and not pulled, may count as dead already.
        let dying = |id| ledger.live(id).is_some_and(|conn| !conn.is_certain());
        let most = dead + reports.iter().filter(|r| dying(r.id)).count() as u32;
        return out.holds("I2d", (dead..=most).contains(stale), || {
            format!("{dead} of the reports name dead ids, not {stale}")
        });
    }
    let Some(id) = named(input) else { return };
    let live = ledger.live(id).is_some();
    match result {
        Err(Error::Stale) => out.holds("I2c", !live, || {
            format!("{id} lives, and {input:?} is stale")
        }),
        Err(Error::ShuttingDown) if ledger.shutdown.is_some() => {}
        _ => out.holds("I2a", live, || {
            format!("{id} is dead, and {input:?} gave {result:?}")
        }),
    }
}

/// The connection that an input names.
fn named(input: &Input<'static>) -> Option<SubscriberId> {
    match input {
        Input::HeadHeld { id, .. }
        | Input::HeadDone { id }
        | Input::Body { id, .. }
        | Input::Answer { id, .. }
        | Input::Close { id, .. }
        | Input::PeerGone { id }
        | Input::Writable { id }
        | Input::Pull { id } => Some(*id),
        Input::Subscribe(sub) => match sub.via {
            Via::Connection(id) => Some(id),
            Via::Mounted { .. } => None,
        },
        _ => None,
    }
}

/// L6: a result with a token that does not run, or a number that is not in flight, is `Stale`.
fn l6_dead_tokens_are_stale(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let Some((token, number)) = token_of(input) else {
        return;
    };
    let fits = runs(ledger, token)
        && number.is_none_or(|number| {
            ledger
                .polls
                .get(&token)
                .is_some_and(|(flying, _)| *flying == number)
        });
    if fits {
        return;
    }
    let refused = matches!(result, Err(Error::Stale))
        || (ledger.shutdown.is_some() && *result == Err(Error::ShuttingDown));
    out.holds("L6a", refused, || {
        format!("{input:?} does not belong to what runs, and gave {result:?}")
    });
}

/// The run of a source, and the poll, that an input names.
fn token_of(input: &Input<'static>) -> Option<(SourceToken, Option<u64>)> {
    match input {
        Input::PollResult { token, number, .. } => Some((*token, Some(*number))),
        Input::Feed { token, .. } | Input::SourceEnded { token, .. } => Some((*token, None)),
        _ => None,
    }
}

fn runs(ledger: &Ledger, token: SourceToken) -> bool {
    ledger.topics.iter().any(|topic| {
        topic
            .running()
            .is_some_and(|running| running.token == token)
    })
}

/// B7: a bound refuses at its limit, and only there.
fn b7_bounds(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let config = &ledger.config;
    let Input::Subscribe(sub) = input else { return };
    let streams = |key: Option<&sse_state::Name>| {
        let mut count = (0, 0);
        for conn in ledger
            .conns
            .values()
            .filter(|conn| conn.alive && conn.phase == Phase::Streaming)
        {
            let own = conn.sub.as_ref().and_then(|sub| sub.key.as_ref());
            if key.is_none() || own == key {
                count.0 += u32::from(conn.is_certain());
                count.1 += 1;
            }
        }
        count
    };
    let (certain, _) = streams(None);
    let within = |bound: Bound, certain: u32, possible: u32, limit: u32, out: &mut Findings| {
        let rule = match bound {
            Bound::Subscribers => "B7a",
            Bound::StreamsPerKey => "B7b",
            _ => "B7c",
        };
        match result {
            Ok(_) => out.holds(rule, certain < limit, || {
                format!("{bound:?} is {limit}, and {certain} and one more are there")
            }),
            Err(Error::Full(full)) if *full == bound => out.holds(rule, possible >= limit, || {
                format!("{bound:?} is {limit}, and refuses at {possible}")
            }),
            Err(_) => {}
        }
    };
    // Connections whose close was not pulled yet may take up room.
    let possible = ledger.conns.values().filter(|conn| conn.alive).count() as u32;
    within(
        Bound::Subscribers,
        certain,
        possible,
        config.subscribers,
        out,
    );
    if let (Some(limit), Some(key)) = (config.streams_per_key, &sub.key) {
        let (certain, possible) = streams(Some(key));
        within(Bound::StreamsPerKey, certain, possible, limit, out);
    }
    let topics = sub.topics.len() as u32 - 1;
    within(
        Bound::TopicsPerSubscriber,
        topics,
        topics,
        config.topics_per_subscriber,
        out,
    );
}

/// S2: after a shutdown nothing new is taken in.
fn s2_after_shutdown(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    if ledger.shutdown.is_none() {
        return out.holds("S2a", *result != Err(Error::ShuttingDown), || {
            format!("{input:?} was refused for a shutdown that nobody asked for")
        });
    }
    s2_until_the_last_close(ledger, input, result, out);
    let new = matches!(
        input,
        Input::Accept
            | Input::Subscribe(_)
            | Input::Publish { .. }
            | Input::PollResult { .. }
            | Input::Feed { .. }
    );
    if new {
        out.holds(
            "S2b",
            matches!(result, Err(Error::ShuttingDown | Error::Stale)),
            || format!("{input:?} gave {result:?} after shutdown"),
        );
    }
}

/// S2: who lives is served; when nobody does any more, everything is refused.
fn s2_until_the_last_close(
    ledger: &Ledger,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let Some(id) = named(input) else { return };
    let refused = *result == Err(Error::ShuttingDown);
    if ledger.before.as_ref().is_some_and(|views| views.terminated) {
        return out.holds("S2d", refused, || {
            format!("all is over, and {input:?} gave {result:?}")
        });
    }
    let served = matches!(
        input,
        Input::Answer { .. } | Input::Writable { .. } | Input::Pull { .. } | Input::PeerGone { .. }
    );
    out.holds(
        "S2c",
        !served || !refused || ledger.live(id).is_none(),
        || format!("{id} lives under a shutdown, and {input:?} is refused"),
    );
}

/// A1: a grant that has expired, or whose key was closed meanwhile, opens nothing.
fn a1_closed_or_expired(
    ledger: &Ledger,
    at: Time,
    input: &Input<'static>,
    result: &Result<Reply, Error>,
    out: &mut Findings,
) {
    let Input::Subscribe(sub) = input else { return };
    let now = ledger.now.max(at);
    let expired = sub.expires.is_some_and(|expires| now >= expires);
    match result {
        Ok(_) => out.holds("A1a", !expired, || {
            "an expired grant opened a stream".into()
        }),
        Err(Error::Expired) => out.holds("A1a", expired, || "a grant is called expired".into()),
        Err(_) => {}
    }
    let (Via::Connection(id), Some(key)) = (sub.via, &sub.key) else {
        return;
    };
    let asked = ledger.live(id).map_or(u64::MAX, |conn| conn.asked);
    let closed = ledger.closed_keys.get(key.as_str());
    let revoked = closed.is_some_and(|closed| *closed > asked);
    match result {
        Ok(_) => out.holds("A1d", !revoked, || {
            format!("{key} was closed meanwhile, and opened a stream")
        }),
        Err(Error::Closed) => out.holds("A1d", revoked, || {
            format!("{key} was not closed meanwhile, and is refused")
        }),
        Err(_) => {}
    }
}
