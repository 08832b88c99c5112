//! What turns lend: one frame to many, gathered runs, bytes that a framework pulls; and what a report that
//! accepts little or nothing leaves pending.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Bench, Reader, name};
use sse_state::*;

/// Takes everything in flight, or answers with the same fixed answer.
#[derive(Default)]
struct Desk {
    answer: Option<Answer>,
    lent: Vec<(SubscriberId, Bytes)>,
    controls: Vec<Control>,
}

impl Sink for Desk {
    fn write(&mut self, id: SubscriberId, run: Run<'_>) -> Answer {
        self.lent.push((id, run.to_bytes()));
        self.answer.unwrap_or(Answer::InFlight)
    }

    fn control(&mut self, control: Control) {
        self.controls.push(control);
    }
}

/// Pumps, and takes everything in flight.
fn take(bench: &mut Bench) -> Vec<(SubscriberId, Bytes)> {
    let mut desk = Desk::default();
    while bench.state.pump(1000, &mut desk) == Pumped::More {
        bench.state.check_invariants();
    }
    bench.state.check_invariants();
    desk.lent
}

/// Reports so many bytes of each run; `None`: all.
fn report(bench: &mut Bench, lent: &[(SubscriberId, Bytes)], bytes: Option<u32>, socket: Socket) {
    let reports: Vec<Report> = lent
        .iter()
        .map(|(id, run)| Report {
            id: *id,
            bytes: bytes.unwrap_or(run.len() as u32),
            socket,
        })
        .collect();
    assert_eq!(bench.state.report(bench.now, &reports), 0);
    bench.state.check_invariants();
}

/// Streams that have read their first bytes, and stand at the head.
fn idle(bench: &mut Bench, count: usize) -> Vec<SubscriberId> {
    let ids = (0..count)
        .map(|_| bench.open(&["/t"], Start::Now))
        .collect();
    bench.pump();
    bench.bytes.clear();
    ids
}

#[test]
fn b7_a_frame_in_flight_to_many_is_one_frame() {
    let mut bench = Bench::new();
    let ids = idle(&mut bench, 3);
    bench.publish("/t", "x");
    let lent = take(&mut bench);
    assert_eq!(lent.len(), 3);
    assert!(
        lent.iter()
            .all(|(_, run)| run.as_ptr() == lent[0].1.as_ptr()),
        "no copy"
    );
    assert_eq!(bench.state.stats().held_bytes, 9, "held once");
    // The two others go on although the third one is still in flight.
    report(&mut bench, &lent[..2], None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 9);
    bench.publish("/t", "y");
    let next = take(&mut bench);
    assert_eq!(next.len(), 2);
    report(&mut bench, &next, None, Socket::Ready);
    report(&mut bench, &lent[2..], None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 0);
    let last = take(&mut bench);
    assert_eq!(last, [(lent[2].0, Bytes::from_static(b"data: y\n\n"))]);
    report(&mut bench, &last, None, Socket::Ready);
    let stats = bench.state.stats();
    assert_eq!((stats.published, stats.bytes), (2, 3 * 3 + 6 * 9));
    assert_eq!((stats.delivered, stats.held_bytes, stats.missed), (6, 0, 0));
    assert!(ids.iter().all(|id| bench.state.is_live(*id)));
}

#[test]
fn b7_whoever_stands_at_one_cursor_shares_one_gathered_run() {
    let mut bench = Bench::new();
    idle(&mut bench, 3);
    bench.publish("/t", "x");
    bench.publish("/t", "y");
    assert_eq!((bench.state.greatest_lag(), bench.state.pending()), (2, 6));
    let lent = take(&mut bench);
    assert_eq!(lent.len(), 3);
    for (_, run) in &lent {
        assert_eq!(run, "data: x\n\ndata: y\n\n");
        assert_eq!(run.as_ptr(), lent[0].1.as_ptr(), "gathered once");
    }
    assert_eq!(bench.state.stats().held_bytes, 18);
    // As long as somebody holds it, it is lent to others too: to one that has accepted nothing.
    report(&mut bench, &lent[..1], Some(0), Socket::Ready);
    let again = take(&mut bench);
    assert_eq!(again[0].1.as_ptr(), lent[0].1.as_ptr(), "remembered");
    assert_eq!(bench.state.stats().held_bytes, 18);
    report(&mut bench, &again, None, Socket::Ready);
    report(&mut bench, &lent[1..], None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 0, "B8");
    assert_eq!(bench.state.stats().delivered, 6);
    assert_eq!(bench.state.greatest_lag(), 0);
}

#[test]
fn d5_streams_at_more_cursors_than_runs_are_remembered_get_what_is_theirs() {
    for in_flight in [false, true] {
        let mut bench = Bench::new();
        let mut ids = Vec::new();
        // Two at each of six cursors.
        for number in 0..6 {
            for id in idle(&mut bench, 2) {
                bench.readers.insert(id, Reader::Bytes(0));
                ids.push((id, number));
            }
            bench.publish("/t", &number.to_string());
            bench.pump();
        }
        bench.publish("/t", "6");
        for (id, _) in &ids {
            bench.state.writable(bench.now, *id).unwrap();
            bench.readers.insert(*id, Reader::Fast);
        }
        let whole: Vec<String> = (0..=6)
            .map(|number| format!("data: {number}\n\n"))
            .collect();
        assert_eq!(bench.state.greatest_lag(), 7);
        if in_flight {
            let lent = take(&mut bench);
            let sizes: u64 = (0..6).map(|number| 9 * (7 - number)).sum();
            assert_eq!(bench.state.stats().held_bytes, sizes, "each once");
            for (id, number) in &ids {
                let run = &lent.iter().find(|(other, _)| other == id).unwrap().1;
                assert_eq!(*run, whole[*number..].concat());
            }
            report(&mut bench, &lent, None, Socket::Ready);
        } else {
            bench.pump();
            for (id, number) in &ids {
                assert_eq!(bench.read(*id), whole[*number..].concat());
            }
        }
        assert_eq!(bench.state.stats().held_bytes, 0, "B8");
        assert_eq!(bench.state.stats().missed, 0);
    }
}

#[test]
fn d5_topics_have_gathered_runs_of_their_own() {
    let mut bench = Bench::new();
    let ids = ["/t", "/u", "/t", "/u"].map(|topic| (topic, bench.open(&[topic], Start::Now)));
    bench.pump();
    for topic in ["/t", "/u"] {
        for number in 0..2 {
            bench.publish(topic, &format!("{topic}{number}"));
        }
    }
    let lent = take(&mut bench);
    assert_eq!(bench.state.stats().held_bytes, 2 * 22, "one for each topic");
    for (topic, id) in ids {
        let run = &lent.iter().find(|(other, _)| *other == id).unwrap().1;
        assert_eq!(*run, format!("data: {topic}0\n\ndata: {topic}1\n\n"));
    }
    // Others gather more runs than are remembered, while these are still in flight.
    let mut more = Vec::new();
    for _ in 0..5 {
        let id = idle(&mut bench, 1)[0];
        bench.readers.insert(id, Reader::Bytes(0));
        bench.publish("/t", "x");
        bench.pump();
        more.push(id);
    }
    bench.publish("/t", "x");
    for id in &more {
        bench.state.writable(bench.now, *id).unwrap();
    }
    let others = take(&mut bench);
    assert_eq!(
        bench.state.stats().held_bytes,
        2 * 22 + 9 * (6 + 5 + 4 + 3 + 2)
    );
    report(&mut bench, &others, None, Socket::Ready);
    report(&mut bench, &lent, None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 0, "B8");
}

#[test]
fn b7_one_pending_frame_is_lent_as_it_is_to_streams_of_several_topics_too() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.open(&["/t", "/u"], Start::Now);
    }
    bench.pump();
    bench.publish("/u", "x");
    let lent = take(&mut bench);
    assert_eq!(lent[0].1, "data: x\n\n");
    assert_eq!(lent[0].1.as_ptr(), lent[1].1.as_ptr(), "no copy");
    assert_eq!(bench.state.stats().held_bytes, 9);
    report(&mut bench, &lent, None, Socket::Ready);
    assert_eq!(bench.state.stats().delivered, 2);
}

#[test]
fn b7_four_gathered_runs_are_remembered_at_a_time() {
    let mut bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..4 {
        for id in idle(&mut bench, 2) {
            bench.readers.insert(id, Reader::Bytes(0));
            ids.push(id);
        }
        bench.publish("/t", "x");
        bench.pump();
    }
    bench.publish("/t", "x");
    // One at each cursor, and then the other ones: each finds the run of the first.
    for at in [0, 2, 4, 6, 1, 3, 5, 7] {
        bench.state.writable(bench.now, ids[at]).unwrap();
    }
    let lent = take(&mut bench);
    assert_eq!(lent.len(), 8);
    for at in 0..4 {
        assert_eq!(lent[at].1.as_ptr(), lent[at + 4].1.as_ptr(), "{at}");
    }
    assert_eq!(bench.state.stats().held_bytes, 9 * (5 + 4 + 3 + 2));
}

#[test]
fn b7_a_frame_of_a_topic_that_is_gone_is_not_taken_for_one_in_its_place() {
    let mut bench = Bench::new();
    let old = idle(&mut bench, 1)[0];
    bench.publish("/t", "x");
    let begun = take(&mut bench);
    report(&mut bench, &begun, Some(3), Socket::Blocked);
    bench.state.close(bench.now, old, CloseHow::Stop).unwrap();
    bench.pump();
    assert_eq!(bench.state.stats().topics, 0);
    // Another topic takes its slot, and its first frame the ordinal.
    let ids = ["/u", "/u"].map(|topic| bench.open(&[topic], Start::Now));
    bench.pump();
    bench.publish("/u", "y");
    bench.readers.insert(ids[0], Reader::Bytes(0));
    let lent = take(&mut bench);
    assert_eq!(bench.state.stats().held_bytes, 9 + 9);
    // The first stream of the new topic accepts nothing, the old one its rest.
    report(&mut bench, &lent[..1], Some(0), Socket::Ready);
    bench.state.writable(bench.now, old).unwrap();
    let mut rest = take(&mut bench);
    rest.sort_by_key(|(id, _)| *id != old);
    assert_eq!(rest[0], (old, Bytes::from_static(b"a: x\n\n")));
    report(&mut bench, &rest[..1], None, Socket::Ready);
    report(&mut bench, &rest[1..], Some(0), Socket::Ready);
    let again = take(&mut bench);
    assert_eq!(again[0].1.as_ptr(), lent[1].1.as_ptr());
    assert_eq!(bench.state.stats().held_bytes, 9, "still held once");
}

#[test]
fn a_mounted_stream_pulls_everything_pending_at_once() {
    let mut bench = Bench::new();
    let via = Via::Mounted { asked: 0 };
    let mut subscribe = Subscribe::new(via, name("/t"));
    subscribe.retry = false;
    let id = bench.state.subscribe(bench.now, &subscribe).unwrap();
    assert_eq!(
        bench.state.pull(bench.now, id),
        Ok(Pulled::Run(":\n\n".into()))
    );
    assert_eq!(bench.state.pull(bench.now, id), Ok(Pulled::Nothing));
    for data in ["x", "y", "z"] {
        bench.publish("/t", data);
    }
    let run = Pulled::Run("data: x\n\ndata: y\n\ndata: z\n\n".into());
    assert_eq!(bench.state.pull(bench.now, id), Ok(run));
    bench.publish("/t", "w");
    let run = Pulled::Run("data: w\n\n".into());
    assert_eq!(bench.state.pull(bench.now, id), Ok(run));
    let stats = bench.state.stats();
    assert_eq!((stats.delivered, stats.held_bytes), (4, 0));
    assert_eq!(stats.bytes, 3 + 4 * 9);
    let connection = bench.open(&["/t"], Start::Now);
    let digest = bench.state.digest();
    assert_eq!(bench.state.pull(bench.now, connection), Err(Error::Phase));
    assert_eq!(bench.state.digest(), digest, "R5");
}

#[test]
fn blocked_after_all_bytes_is_not_blocked() {
    let mut bench = Bench::new();
    let ids = idle(&mut bench, 1);
    for (data, more) in [("x", 0), ("y", 1)] {
        bench.publish("/t", data);
        let mut desk = Desk {
            answer: Some(Answer::Blocked(9 + more)),
            ..Desk::default()
        };
        assert_eq!(bench.state.pump(1000, &mut desk), Pumped::Idle);
        assert_eq!(
            desk.lent,
            [(ids[0], Bytes::from(format!("data: {data}\n\n")))]
        );
        assert_eq!(bench.state.greatest_lag(), 0);
    }
    assert_eq!(
        bench.state.stats().bytes,
        3 + 18,
        "no byte more than were lent"
    );
}

#[test]
fn d2_a_report_of_no_byte_leaves_everything_pending() {
    // One frame, a gathered run, and a heartbeat.
    for frames in [1, 2, 0] {
        let mut bench = Bench::new();
        idle(&mut bench, 1);
        for number in 0..frames {
            bench.publish("/t", &number.to_string());
        }
        if frames == 0 {
            bench.now = bench.now + Duration::from_secs(16);
            bench.state.handle_timeout(bench.now);
        }
        let lent = take(&mut bench);
        let before = bench.state.stats();
        report(&mut bench, &lent, Some(0), Socket::Ready);
        let stats = bench.state.stats();
        assert_eq!((stats.delivered, stats.heartbeats), (before.delivered, 0));
        assert_eq!((stats.held_bytes, stats.bytes), (0, before.bytes));
        let again = take(&mut bench);
        assert_eq!(again, lent, "nothing was begun");
        report(&mut bench, &again, None, Socket::Ready);
        let stats = bench.state.stats();
        let heartbeats = u64::from(frames == 0);
        assert_eq!((stats.delivered, stats.heartbeats), (frames, heartbeats));
        assert_eq!(take(&mut bench), []);
    }
}

#[test]
fn d2_a_report_inside_a_gathered_run_goes_on_at_that_byte() {
    let frames = ["data: 0\n\n", "data: 11\n\n", "data: 222\n\n"];
    let whole = frames.concat();
    for bytes in 0..=whole.len() {
        let mut bench = Bench::new();
        idle(&mut bench, 1);
        for data in ["0", "11", "222"] {
            bench.publish("/t", data);
        }
        let lent = take(&mut bench);
        assert_eq!(lent[0].1, whole);
        report(&mut bench, &lent, Some(bytes as u32), Socket::Ready);
        let begun = [0, 9, 19].iter().filter(|start| **start < bytes).count();
        assert_eq!(bench.state.stats().delivered, begun as u64, "{bytes}");
        let rest: Vec<u8> = std::iter::from_fn(|| {
            let lent = take(&mut bench);
            report(&mut bench, &lent, None, Socket::Ready);
            lent.into_iter().next().map(|(_, run)| run)
        })
        .flatten()
        .collect();
        assert_eq!(rest, whole.as_bytes()[bytes..], "after {bytes}");
        let stats = bench.state.stats();
        assert_eq!((stats.delivered, stats.held_bytes), (3, 0), "{bytes}");
    }
}

#[test]
fn d3_a_gap_found_at_resume_is_told_even_if_lag_is_not() {
    let mut bench = Bench::new();
    let options = TopicOptions {
        history: true,
        slow: Slow::Conflate,
        log_frames: 2,
        ..TopicOptions::default()
    };
    bench.declare("/t", options);
    for number in 1..=5 {
        bench.publish("/t", &number.to_string());
    }
    let id = bench.open(&["/t"], Start::After("1-1".into()));
    bench.readers.insert(id, Reader::Bytes(0));
    bench.pump();
    for number in 6..=9 {
        bench.publish("/t", &number.to_string());
    }
    bench.writable(id, Reader::Fast);
    let gap =
        "event: sse-gap\ndata: {\"topic\":\"/t\",\"missed\":null,\"why\":\"expired\"}\nid: 1-8\n\n";
    assert_eq!(bench.read(id), format!(":\n\n{gap}data: 9\nid: 1-9\n\n"));
    // Once told, a lag is counted only.
    bench.readers.insert(id, Reader::Bytes(0));
    for number in 10..=14 {
        bench.publish("/t", &number.to_string());
        bench.pump();
    }
    bench.writable(id, Reader::Fast);
    assert_eq!(bench.read(id), "data: 14\nid: 1-14\n\n");
}

#[test]
fn m9_frames_are_shared_by_streams_that_began_them() {
    let mut bench = Bench::new();
    let ids = idle(&mut bench, 2);
    bench.publish("/t", "x");
    let lent = take(&mut bench);
    report(&mut bench, &lent, Some(4), Socket::Blocked);
    assert_eq!(bench.state.stats().held_bytes, 9, "begun by two, held once");
    for id in &ids {
        bench.state.writable(bench.now, *id).unwrap();
    }
    let rest = take(&mut bench);
    assert!(rest.iter().all(|(_, run)| run == ": x\n\n"));
    report(&mut bench, &rest, None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 0);
}

#[test]
fn b8_a_burst_in_flight_is_forgotten_when_it_has_landed() {
    let mut bench = Bench::new();
    for _ in 0..4200 {
        bench.open(&["/t"], Start::Now);
    }
    let lent = take(&mut bench);
    assert_eq!(
        (lent.len(), bench.state.stats().held_bytes),
        (4200, 3 * 4200)
    );
    report(&mut bench, &lent, None, Socket::Ready);
    assert_eq!(bench.state.stats().held_bytes, 0);
    bench.publish("/t", "x");
    bench.pump();
    assert_eq!(bench.state.stats().delivered, 4200);
}

/// The sizes of the runs that a stream of two topics is lent, in flight one after the other.
fn sizes(bench: &mut Bench) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        let lent = take(bench);
        let [(_, run)] = &lent[..] else {
            return sizes;
        };
        sizes.push(run.len());
        report(bench, &lent, None, Socket::Ready);
    }
}

#[test]
fn b7_runs_of_several_topics_are_bounded_too() {
    let pending = |run_bytes, frames| {
        let mut bench = Bench::with(Config {
            run_bytes,
            ..Config::new(Epoch(1))
        });
        let id = bench.open(&["/t", "/u"], Start::Now);
        bench.pump();
        for number in 0..frames {
            let topic = ["/t", "/u"][number % 2];
            bench.publish(topic, &number.to_string());
        }
        (bench, id)
    };
    for (run_bytes, expected) in [
        (27, &[27, 27, 9][..]),
        (26, &[18, 18, 18, 9]),
        (28, &[27, 27, 9]),
        (9, &[9, 9, 9, 9, 9, 9, 9]),
        (5, &[9, 9, 9, 9, 9, 9, 9]),
        (62, &[54, 9]),
        (63, &[63]),
    ] {
        assert_eq!(sizes(&mut pending(run_bytes, 7).0), expected, "{run_bytes}");
    }
    // The rest of what was begun counts as well.
    for (run_bytes, expected) in [
        (27, &[23, 9][..]),
        (32, &[32]),
        (31, &[23, 9]),
        (5, &[5, 9, 9, 9]),
        (4, &[5, 9, 9, 9]),
    ] {
        let (mut bench, id) = pending(run_bytes, 4);
        bench.readers.insert(id, Reader::Bytes(4));
        bench.pump();
        bench.state.writable(bench.now, id).unwrap();
        assert_eq!(sizes(&mut bench), expected, "{run_bytes}");
    }
    // And the farewell, of 13 bytes.
    for (run_bytes, expected) in [
        (31, &[31][..]),
        (30, &[18, 13]),
        (18, &[18, 13]),
        (12, &[9, 9, 13]),
    ] {
        let (mut bench, id) = pending(run_bytes, 2);
        bench.state.close(bench.now, id, CloseHow::Drain).unwrap();
        assert_eq!(sizes(&mut bench), expected, "{run_bytes}");
    }
}
