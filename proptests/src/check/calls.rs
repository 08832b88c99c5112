//! I1, I2, L6, R5, B7, S2, T5: what calls are answered.

use sse_state::{Bound, Error, Input, Reply, SourceToken, Start, SubscriberId, Time, Via};

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
        Error::Stale => "I2",
        Error::Full(_) => "B7",
        _ => "R5",
    };
    out.holds(rule, before.digest == step.after.digest, || {
        format!("R5: {input:?} was refused ({error}), and the digest changed")
    });
    out.holds("R5", before.now == step.after.now, || {
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
    out.holds("T5", step.after.now == expected, || {
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
        Some(own) => out.holds("I1", own == *id, || {
            format!("{own} subscribed and became {id}")
        }),
        None => out.holds("I1", !ledger.conns.contains_key(id), || {
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
        return out.holds("I2", (dead..=most).contains(stale), || {
            format!("{dead} of the reports name dead ids, not {stale}")
        });
    }
    let Some(id) = named(input) else { return };
    let live = ledger.live(id).is_some();
    match result {
        Err(Error::Stale) => out.holds("I2", !live, || {
            format!("{id} lives, and {input:?} is stale")
        }),
        Err(Error::ShuttingDown) if ledger.shutdown.is_some() => {}
        _ => out.holds("I2", live, || {
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
    let (token, number) = match input {
        Input::PollResult { token, number, .. } => (*token, Some(*number)),
        Input::Feed { token, .. } | Input::SourceEnded { token, .. } => (*token, None),
        _ => return,
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
    out.holds("L6", refused, || {
        format!("{input:?} does not belong to what runs, and gave {result:?}")
    });
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
    let within =
        |bound: Bound, certain: u32, possible: u32, limit: u32, out: &mut Findings| match result {
            Ok(_) => out.holds("B7", certain < limit, || {
                format!("{bound:?} is {limit}, and {certain} and one more are there")
            }),
            Err(Error::Full(full)) if *full == bound => out.holds("B7", possible >= limit, || {
                format!("{bound:?} is {limit}, and refuses at {possible}")
            }),
            Err(_) => {}
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
        return out.holds("S2", *result != Err(Error::ShuttingDown), || {
            format!("{input:?} was refused for a shutdown that nobody asked for")
        });
    }
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
            "S2",
            matches!(result, Err(Error::ShuttingDown | Error::Stale)),
            || format!("{input:?} gave {result:?} after shutdown"),
        );
    }
}

/// A1: a grant that has expired opens nothing.
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
        Ok(_) => out.holds("A1", !expired, || "an expired grant opened a stream".into()),
        Err(Error::Expired) => out.holds("A1", expired, || "a grant is called expired".into()),
        Err(_) => {}
    }
    if let (Ok(_), Start::After(_), true) = (result, &sub.start, sub.topics.is_empty()) {
        out.broken("I2", "a stream without topics");
    }
}
