//! White-box invariants, for tests: what must hold between any two calls.

use super::{SseState, TOPIC};
use crate::list::NIL;
use crate::subscriber::{BEGUN, BLOCKED, IN_FLIGHT, MOUNTED, Phase, STREAM, WOKEN, Where};
use crate::time::Time;
use crate::topic::{Crowd, Poll, Source};
use crate::wheel::OUT;

impl SseState {
    /// Checks every white-box invariant.
    ///
    /// # Panics
    /// If one is broken, with the id of its rule.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.check_subs();
        self.check_topics();
        self.check_runs();
        self.check_counts();
        self.check_lists();
    }

    /// How many frames the last of all members is behind its topic.
    #[doc(hidden)]
    pub fn greatest_lag(&self) -> u64 {
        self.lags().max().unwrap_or(0)
    }

    /// How many frames all members together are behind their topics.
    #[doc(hidden)]
    pub fn pending(&self) -> u64 {
        self.lags().sum()
    }

    fn lags(&self) -> impl Iterator<Item = u64> {
        let cursors = (0..self.subs.used()).flat_map(|slot| &self.subs.at(slot).cursors);
        cursors.map(|cursor| self.topics[cursor.topic as usize].log.head() - cursor.next)
    }

    fn check_subs(&self) {
        for slot in 0..self.subs.used() {
            let sub = self.subs.at(slot);
            if sub.phase == Phase::Free {
                assert!(
                    sub.cursors.is_empty() && sub.run == NIL,
                    "I3c: a dead id holds something"
                );
                continue;
            }
            let stream = matches!(sub.phase, Phase::Streaming)
                || (sub.phase == Phase::Ending && sub.has(STREAM));
            assert_eq!(stream, sub.has(STREAM), "L10e: {slot} counts as a stream");
            assert!(
                sub.phase != Phase::Streaming || !sub.cursors.is_empty(),
                "L10e: a stream without topics"
            );
            assert!(
                !(sub.has(BLOCKED) && sub.has(IN_FLIGHT)),
                "B1e: blocked and in flight at once"
            );
            assert!(
                !sub.has(BEGUN) || sub.run != NIL && sub.off < sub.end,
                "B1e: begun, but nothing is left"
            );
            assert!(
                !sub.has(WOKEN) || sub.has(MOUNTED),
                "B1e: wake is for the mounted"
            );
            let waits = sub.waits();
            assert!(
                !waits || sub.stall != Time::MAX,
                "B1e: one that waits, and no stall clock runs"
            );
            assert!(
                !waits || sub.list != Where::Data,
                "D8b: one that waits has a turn coming"
            );
            for cursor in &sub.cursors {
                let topic = &self.topics[cursor.topic as usize];
                let (vector, index) = cursor.place();
                assert_eq!(
                    topic.crowds[vector as usize].get(index as usize),
                    Some(&slot),
                    "D7b: back index of {slot}"
                );
                assert!(
                    cursor.next <= topic.log.head(),
                    "D7b: a cursor past the head"
                );
                if vector == topic.vector(Crowd::Idle) {
                    assert!(!waits, "D5e: one that waits stands among the idle");
                    assert!(
                        cursor.next == topic.log.head() || topic.again,
                        "D5e: an idle member is not at the head"
                    );
                }
                assert!(
                    vector != topic.vector(Crowd::Round) || (topic.queued && !waits),
                    "D8b: a round that is not queued"
                );
                if vector == topic.vector(Crowd::Behind) && sub.phase == Phase::Streaming {
                    assert!(
                        waits || sub.list == Where::Data,
                        "D5e: {slot} is behind, and nothing will change that"
                    );
                }
            }
            let on_wheel = sub.bucket != OUT;
            let timed = matches!(
                sub.phase,
                Phase::Head | Phase::Deciding | Phase::Streaming | Phase::Ending | Phase::Finishing
            );
            assert_eq!(on_wheel, timed, "T1c: {slot} and its deadline");
        }
    }

    fn check_topics(&self) {
        assert_eq!(self.names.len() as usize, self.topics.len(), "L1d: names");
        for (slot, topic) in &self.topics {
            let slot = slot as u32;
            assert_eq!(self.topic(topic.name.as_str()), Some(slot), "L1d: index");
            for (vector, members) in topic.crowds.iter().enumerate() {
                for &member in members {
                    let sub = self.subs.at(member);
                    let there = sub
                        .cursors
                        .iter()
                        .any(|cursor| cursor.topic == slot && cursor.place().0 as usize == vector);
                    assert!(there, "L10e: {member} is no member");
                }
            }
            let lives = topic.members() > 0
                || topic.declared
                || topic.retained.is_some()
                || topic.is_active()
                || topic.linger.is_some()
                || topic.unsettled;
            assert!(lives, "L1d: {} should be gone", topic.name);
            assert!(
                topic.linger.is_none() || (topic.members() == 0 && topic.is_running()),
                "L4c: linger"
            );
            assert!(
                !matches!(topic.source, Source::StartDue | Source::Ended) || topic.members() > 0,
                "L7c: a source that nobody waits for"
            );
            if let Source::Running(running) = topic.source {
                let waiting = self.polls_waiting.iter().any(|&(_, other)| other == slot);
                let waits = matches!(running.poll, Poll::Waiting(_));
                assert_eq!(waiting, waits, "L12c: waiting polls");
            }
            let drained = topic.crowds.iter().flatten().filter(|&&member| {
                let sub = self.subs.at(member);
                sub.phase == Phase::Ending
            });
            assert_eq!(
                topic.drained,
                drained.count() as u32,
                "L10e: drained members"
            );
            let bytes: u64 = topic
                .log
                .iter()
                .map(|entry| entry.frame.bytes.len() as u64)
                .sum();
            assert_eq!(bytes, topic.log.bytes(), "B2a: bytes of a log");
            assert!(
                topic.log.len() <= topic.options.log_frames.max(1),
                "B2a: frames of a log"
            );
            let seqs: alloc::vec::Vec<u64> = topic.log.iter().map(|entry| entry.seq).collect();
            assert!(seqs.is_sorted(), "D1b: seqs rise");
            assert!(
                seqs.first().is_none_or(|&first| first > topic.log.floor),
                "D1b: the floor lies below what is held"
            );
        }
    }

    fn check_runs(&self) {
        let streams = (0..self.subs.used()).filter(|&slot| self.subs.at(slot).run != NIL);
        assert_eq!(
            self.runs.refs(),
            streams.count() as u64,
            "B8b: holders of runs"
        );
        assert!(
            self.runs.bytes() <= self.config.held_bytes,
            "B2a: bytes held"
        );
    }

    fn check_counts(&self) {
        let count = |phase: Phase| {
            let slots = 0..self.subs.used();
            slots
                .filter(|&slot| self.subs.at(slot).phase == phase)
                .count() as u32
        };
        assert_eq!(self.held.openings, count(Phase::Head), "B7f: openings");
        assert_eq!(self.held.deciding, count(Phase::Deciding), "B7f: deciding");
        assert_eq!(
            self.held.finishing,
            count(Phase::Finishing),
            "B7f: finishing"
        );
        let streams = (0..self.subs.used()).filter(|&slot| self.subs.at(slot).has(STREAM));
        assert_eq!(self.held.streams, streams.count() as u32, "L10e: streams");
        let active = self.topics.iter().filter(|(_, topic)| topic.is_active());
        assert_eq!(self.held.sources, active.count() as u32, "L12c: sources");
        let polls = self.topics.iter().filter(|(_, topic)| {
            matches!(topic.source, Source::Running(running)
                if matches!(running.poll, Poll::InFlight(_)))
        });
        assert_eq!(self.held.polls, polls.count() as u32, "L12c: polls");
        let by_request = self.topics.iter().filter(|(_, topic)| !topic.declared);
        assert_eq!(
            self.held.by_request,
            by_request.count() as u32,
            "B7f: topics by request"
        );
        let logs: u64 = self.topics.iter().map(|(_, topic)| topic.log.bytes()).sum();
        assert_eq!(self.logs_bytes, logs, "B2a: bytes of all logs");
        assert!(self.logs_bytes <= self.config.logs_bytes, "B2a: all logs");
        assert!(self.held.openings <= self.config.openings, "B7f: openings");
        assert!(
            self.held.finishing <= self.config.finishing,
            "B7f: finishing"
        );
        assert!(
            self.held.polls <= self.config.polls,
            "L12c: polls in flight"
        );
        assert!(self.held.sources <= self.config.sources, "B7f: sources");
        if let Some(next) = self.poll_timeout() {
            assert!(next >= Time::ZERO, "T1c: a deadline before the start");
        }
    }

    fn check_lists(&self) {
        let mut listed = 0;
        for node in self.data.iter(|node| self.place_of(node)) {
            if node & TOPIC != 0 {
                let topic = &self.topics[(node & !TOPIC) as usize];
                assert!(topic.queued, "D8b: a topic's turn");
            }
        }
        for (list, place) in [
            (&self.data, Where::Data),
            (&self.control, Where::Control),
            (&self.openings, Where::Openings),
            (&self.finishing, Where::Finishing),
        ] {
            let nodes = list.iter(|node| self.place_of(node));
            for slot in nodes.filter(|node| node & TOPIC == 0) {
                assert_eq!(
                    self.subs.at(slot).list,
                    place,
                    "I4b: {slot} is in a wrong list"
                );
                listed += 1;
            }
        }
        let slots = 0..self.subs.used();
        let expected = slots.filter(|&slot| self.subs.at(slot).list != Where::Nowhere);
        assert_eq!(listed, expected.count(), "I4b: lists hold who is listed");
    }
}
