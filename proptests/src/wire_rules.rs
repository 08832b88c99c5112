//! The rules of bytes: what an event looks like on the wire (F), how a request head is read and what is
//! answered (P), and that every call is total (X1).
//!
//! A rule is a function of what it tests, a [`Subject`], and of a choice oracle. It makes one case of its own
//! and says how it is broken. [`Ours`] keeps them all; each faulty subject of [`faulty`] breaks one.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::choice::{Choice, Prng};
use crate::panics::unless_it_panics;
use crate::part::Part;
use crate::rules::{How, Rule};

pub mod faulty;
pub mod subject;

mod answers;
mod events;
mod good;
mod heads;
mod names;
mod quiet;
mod requests;
mod strict;

pub use subject::{Ours, Payload, Subject};

/// A case of a rule: it holds, or this is how it is broken.
type Check = fn(&dyn Subject, &mut Oracle<'_>) -> Result<(), String>;

/// Makes [`RULES`] and the checks behind them from one table, so that none is without the other.
macro_rules! rules {
    ($(($id:literal, $check:path, $says:literal),)*) => {
        /// The rules of bytes.
        pub const RULES: &[Rule] = &[$(Rule { id: $id, how: How::Bytes, says: $says }),*];
        const CHECKS: &[Check] = &[$($check),*];
    };
}

rules![
    (
        "F1a",
        events::f1a_one_event,
        "Whatever is accepted comes out of a conforming parser as one event with the same fields."
    ),
    (
        "F1b",
        events::f1b_spelling,
        "An event has one order of fields and one spelling, and nothing is added."
    ),
    (
        "F2a",
        events::f2a_refused,
        "A name or an id that would break its field, or a reserved name, is an error and never edited."
    ),
    (
        "F2b",
        events::f2b_accepted,
        "What can be sent is not refused."
    ),
    (
        "F2c",
        events::f2c_breaks,
        "CR, LF and CRLF in data are one line break each, and no CR is written."
    ),
    (
        "F3a",
        events::f3a_joined,
        "Frames one after the other parse to their events."
    ),
    (
        "F3b",
        events::f3b_cut,
        "Frames cut at any byte parse to the events whose frames are whole."
    ),
    (
        "F4",
        events::f4_survives,
        "Spaces, colons, U+FEFF, NUL, empty data and line breaks at the ends survive."
    ),
    (
        "F5a",
        events::f5a_retry,
        "`retry` is 1 ms to an hour, in digits; anything else is an error."
    ),
    (
        "F5b",
        events::f5b_own_ids,
        "A publisher's own id has 1 to 128 bytes."
    ),
    (
        "F5c",
        events::f5c_ids,
        "A machine's id is at most 34 bytes of `[a-z0-9-]` and is read back."
    ),
    (
        "F6a",
        events::f6a_matrix,
        "A parser of event streams follows the byte matrix of the WHATWG text."
    ),
    (
        "F6b",
        events::f6b_split,
        "A parser of event streams reads the same, however the bytes are cut."
    ),
    (
        "P1a",
        heads::p1a_split,
        "However a head is cut, its outcome is the same."
    ),
    (
        "P1b",
        heads::p1b_consumed,
        "Nothing after a head is consumed."
    ),
    (
        "P1c",
        heads::p1c_final,
        "A head is complete at its empty line and not before; its outcome is final."
    ),
    (
        "P2a",
        heads::p2a_held,
        "A reader holds at most its bound, and nothing of what it refused."
    ),
    (
        "P2b",
        heads::p2b_bounds,
        "A head at its bound is read; one byte more is 431, or 414 in the target."
    ),
    (
        "P2c",
        heads::p2c_fields,
        "As many field lines as the bound are read; one more is 431."
    ),
    (
        "P3a",
        heads::p3a_bytes,
        "`Last-Event-ID` is bytes, as they were sent."
    ),
    (
        "P3b",
        heads::p3b_parameter,
        "The header wins over the query parameter, which is decoded."
    ),
    (
        "P3c",
        heads::p3c_unknown,
        "A repeated or over-long id is an unknown one, and no error."
    ),
    (
        "P4a",
        answers::p4a_strict,
        "A strict client reads every answer, and its guarding fields are there once."
    ),
    (
        "P4b",
        answers::p4b_stream,
        "The head of a stream is exactly what docs/wire.md says."
    ),
    (
        "P4c",
        answers::p4c_head,
        "HEAD gets the fields of GET, and no body."
    ),
    (
        "P4d",
        answers::p4d_echo,
        "Nothing that a client sends comes back in an answer."
    ),
    (
        "P4e",
        answers::p4e_author,
        "What an author hands in and cannot stand in a field is an error, never edited."
    ),
    (
        "P4f",
        answers::p4f_log,
        "Untrusted bytes reach a log escaped, and cut to 128 bytes."
    ),
    (
        "P4g",
        answers::p4g_refusals,
        "Every refusal has its status, one line of text, and `Allow` with 405."
    ),
    (
        "P4h",
        answers::p4h_counts,
        "A publish is answered with its count; want of room with `retry` or 503."
    ),
    (
        "P6a",
        requests::p6_opens_nothing,
        "HEAD, OPTIONS and whatever is refused open no stream and publish nothing."
    ),
    (
        "P6b",
        quiet::p6b_nothing_left,
        "HEAD, OPTIONS and whatever is refused leave the machine as it was, counters aside."
    ),
    (
        "P7a",
        requests::p7a_served,
        "A request that is right is served, and is what it says."
    ),
    (
        "P7b",
        requests::p7b_line_ends,
        "A CR without LF or a LF without CR anywhere in a head is 400."
    ),
    (
        "P7c",
        requests::p7c_empty_lines,
        "One empty line before the request line is allowed, a second is 400."
    ),
    (
        "P7d",
        requests::p7d_control,
        "A control byte is 400, but for a tab in a field line."
    ),
    (
        "P7e",
        requests::p7e_request_line,
        "A malformed request line is 400."
    ),
    (
        "P7f",
        requests::p7f_absolute,
        "An absolute-form is served and its authority replaces `Host`."
    ),
    (
        "P7g",
        requests::p7g_forms,
        "`*` is served with OPTIONS only; other forms of a target are 400."
    ),
    (
        "P7h",
        requests::p7h_lengths,
        "Two lengths, or one that is no number below 2^64, are 400."
    ),
    (
        "P7i",
        requests::p7i_coding,
        "A length together with a transfer coding is 400."
    ),
    (
        "P7j",
        requests::p7j_field_lines,
        "Folding, a space before the colon, an odd name and no colon are 400."
    ),
    (
        "P7k",
        requests::p7k_no_body,
        "GET, HEAD and OPTIONS have no body; a length of 0 is served."
    ),
    (
        "P7l",
        requests::p7l_ignored,
        "Range, conditions, Upgrade, Accept and codings change nothing."
    ),
    ("P7m", requests::p7m_expect, "Any `Expect` is 417."),
    (
        "P7n",
        requests::p7n_methods,
        "A method that a route does not serve is 405, one that nobody knows 501."
    ),
    (
        "P7o",
        requests::p7o_versions,
        "Another major version is 505, 1.0 works, 1.2 is spoken to as 1.1."
    ),
    (
        "P7p",
        requests::p7p_host,
        "HTTP/1.1 without `Host`, with two or a malformed one is 400."
    ),
    (
        "P7q",
        requests::p7q_rebinding,
        "On a loopback address only hosts of this machine and listed ones are served."
    ),
    (
        "P7r",
        requests::p7r_cross_site,
        "A cross-site request is 403 unless its origin is listed."
    ),
    (
        "P7s",
        requests::p7s_targets,
        "A target that names two things, or none, is 400 for its reason."
    ),
    (
        "P8a",
        names::p8a_one_name,
        "Hook, source and statistics see the topic that a publisher means by the target."
    ),
    (
        "P8b",
        names::p8b_mounted,
        "A request that a framework has parsed is seen as the same bytes are."
    ),
    (
        "P8c",
        names::p8c_spellings,
        "Two spellings of a path are one name; it is decoded once."
    ),
    (
        "P8d",
        names::p8d_query,
        "The parameters of ids and events belong to no topic; all else stays as sent."
    ),
    (
        "P8e",
        names::p8e_only,
        "A route keeps its parameters in its own order, with their values as sent."
    ),
    (
        "P8f",
        names::p8f_event,
        "`?event=` is decoded once; repeated or not UTF-8 it is refused."
    ),
    (
        "P9",
        heads::p9_rest,
        "No byte after a head changes a byte of the answer."
    ),
    ("X1a", heads::x1_total, "Every call on bytes is total."),
];

/// The choices of one case.
pub struct Oracle<'a>(pub &'a mut dyn Choice);

impl Choice for Oracle<'_> {
    fn pick(&mut self, n: u32) -> u32 {
        self.0.pick(n)
    }
}

/// Puts one case through a rule of [`RULES`]; how it is broken, a panic included.
pub fn case(subject: &dyn Subject, rule: usize, choice: &mut dyn Choice) -> Option<String> {
    let check = CHECKS.get(rule)?;
    match unless_it_panics(|| check(subject, &mut Oracle(choice))) {
        Ok(result) => result.err(),
        Err(text) => Some(format!("it panicked: {text}")),
    }
}

/// Rules that are broken by a subject within so many cases of each, with the first case that did it.
pub fn broken_rules(
    subject: &dyn Subject,
    seed: u64,
    cases: u64,
) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    for (place, rule) in RULES.iter().enumerate() {
        let broken =
            (0..cases).find_map(|number| case(subject, place, &mut oracle(seed, place, number)));
        if let Some(text) = broken {
            found.insert(rule.id, text);
        }
    }
    found
}

/// The rules on `sse_state`, as part of a verification: cases of every rule until the time is up.
pub fn part(seed: u64, until: Instant) -> Part {
    let mut part = Part::new("bytes");
    let mut cases = 0;
    let mut round = 0;
    // At least one round, in which every row of every table is met.
    while round == 0 || Instant::now() < until && part.failures.is_empty() {
        for (place, rule) in RULES.iter().enumerate() {
            for number in round * SLICE..(round + 1) * SLICE {
                cases += 1;
                if let Some(text) = case(&Ours, place, &mut oracle(seed, place, number)) {
                    part.fail(format!("{} (seed {seed}, case {number}): {text}", rule.id));
                    break;
                }
            }
        }
        round += 1;
    }
    part.figure("rules", RULES.len());
    part.figure("cases", cases);
    part
}

/// Events that are accepted: for parsers that are not ours.
pub fn accepted_events(seed: u64, count: usize) -> Vec<Payload> {
    let mut prng = Prng::new(seed);
    let mut made = Vec::new();
    while made.len() < count {
        let event = events::payload(&mut Oracle(&mut prng));
        if Ours.encode(&event).is_ok() {
            made.push(event);
        }
    }
    made
}

/// The choices of one case of one rule.
fn oracle(seed: u64, place: usize, number: u64) -> Prng {
    // A case must not depend on how many there are of another rule.
    let mut of_rule = Prng::new(seed ^ (place as u64) << 32);
    Prng::new(of_rule.next_u64() ^ number)
}

/// Broken if so.
fn broken(broken: bool, how: impl FnOnce() -> String) -> Result<(), String> {
    if broken { Err(how()) } else { Ok(()) }
}

/// Bytes in pieces of any sizes, some of them empty.
fn pieces<'a>(bytes: &'a [u8], choice: &mut Oracle<'_>) -> Vec<&'a [u8]> {
    let size = choice.one_of(&[0, 1, 2, 5, 40]);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while size > 0 && !rest.is_empty() {
        let length = choice.pick(2 * size + 1) as usize;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
        if pieces.len() > MOST_PIECES {
            break;
        }
    }
    pieces.push(rest);
    pieces
}

/// Bytes for people.
fn show(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(600)].escape_ascii().to_string()
}

/// Cases of one rule in one go.
const SLICE: u64 = 200;
/// An oracle that always says 0 must come to an end.
const MOST_PIECES: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_time_does_its_least_and_the_same_again() {
        let [first, again] = [(); 2].map(|()| part(7, Instant::now()));
        assert!(first.failures.is_empty(), "{first}");
        assert_eq!(first.to_string(), again.to_string());
        let ids: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len(), "an id stands for one rule");
    }

    #[test]
    fn no_choices_are_choices() {
        for (place, rule) in RULES.iter().enumerate() {
            let broken = case(&Ours, place, &mut crate::choice::Bytes::new(&[]));
            assert_eq!(broken, None, "{}", rule.id);
        }
    }
}
