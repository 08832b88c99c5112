//! The catalogue: every rule that is coded, by id.
//!
//! An id is one of INVARIANTS, with a letter where several rules make up one sentence of it; B10 is what
//! DESIGN says of publishing that waits. `docs/rules.md` shows the same table, with a fault that each rule
//! finds.

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its id, as in assertions and in the names of tests.
    pub id: &'static str,
    /// What shows that it is broken.
    pub how: How,
    /// The rule, in one sentence.
    pub says: &'static str,
}

/// What shows that a rule is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Inputs and actions alone.
    Trace,
    /// The engine's own `check_invariants`.
    Inside,
    /// Two runs that must agree.
    Relation,
    /// What is encoded, or read from a head.
    Bytes,
    /// A counting allocator.
    Memory,
    /// What a driver does with the engine and with its sockets.
    Driver,
    /// A test or a check of its own, since it is no matter of one engine.
    Apart,
}

/// The rule of this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// The rule that a panic of `check_invariants` names, wherever an assertion puts its message; else that
/// nothing panics.
pub fn panicked(text: &str) -> &'static str {
    let named = text.split(": ").find_map(rule);
    named.map_or("X1a", |rule| rule.id)
}

macro_rules! rules {
    ($($id:literal $how:ident $says:literal)*) => {
        /// All rules of the machine.
        pub const RULES: &[Rule] = &[$(Rule { id: $id, how: How::$how, says: $says }),*];
    };
}

// Topics and their sources.
rules! {
    "L1a" Trace "A topic stands while it has members, a running source, or was declared."
    "L1b" Trace "A topic that nothing needs any more is gone at the next rest."
    "L1c" Trace "The gauge of topics counts those that stand."
    "L1d" Inside "The index of names holds exactly the topics, and each has a reason to be."
    "L2a" Trace "A source starts only while it does not run."
    "L2b" Trace "A source stops only while it runs, with the token that it was started with."
    "L3a" Trace "At rest a topic with members has its source running."
    "L3b" Trace "Nothing starts in a topic without a source."
    "L4a" Trace "A source is not stopped before nobody has listened for its linger."
    "L4b" Trace "A source that nobody has listened to for its linger is stopped."
    "L4c" Inside "Linger is armed only for a running source without members."
    "L5" Trace "A source with members is not stopped for want of them."
    "L6a" Trace "A result with a token or number that is not the running one is stale."
    "L6b" Trace "A stale result leaves the digest as it was."
    "L7a" Trace "A source starts only for a member."
    "L7b" Trace "No source outlives the machine."
    "L7c" Inside "A start that is due has a member that waits for it."
    "L8" Trace "A failed poll meets no stop condition."
    "L9a" Trace "A source that has ended does not start again while its members remain."
    "L9b" Trace "A stop names the cause that there was."
    "L9c" Trace "A source whose condition is met is polled no more."
    "L9d" Trace "At rest no source runs that was to stop."
    "L10a" Trace "A publish is for the members, as the trace counts them."
    "L10b" Trace "What is published to a topic with members is kept."
    "L10c" Trace "The interest in a topic shows its members."
    "L10d" Trace "The gauge of streams counts those that are open."
    "L10e" Inside "Members, streams and topics know each other, and are counted."
    "L11a" Trace "The polls of one run are numbered from 1 without a hole."
    "L11b" Trace "No two polls of one run are in flight."
    "L11c" Trace "No source is polled twice in one interval of its phase."
    "L11d" Trace "Only a running source with an interval is polled."
    "L12a" Trace "Polls in flight keep within their bound."
    "L12b" Trace "No poll that has room waits for ever."
    "L12c" Inside "Polls that wait or are in flight, and running sources, are counted."

    "I1a" Trace "An id is never handed out twice."
    "I1b" Trace "A connection keeps its id as a stream."
    "I2a" Trace "A call with a dead id is stale."
    "I2b" Trace "A stale call leaves the digest as it was."
    "I2c" Trace "A call with a live id is not stale."
    "I2d" Trace "A batch of reports tells how many name dead ids."
    "I3a" Trace "No control action names one whose peer has gone."
    "I3b" Trace "No write is lent to a dead id."
    "I3c" Inside "A dead id holds nothing."
    "I4a" Trace "A close is the last action that names its id."
    "I4b" Inside "Who waits for an action stands in the list where it says it stands, once."
    "I5" Trace "Tokens rise, and none comes twice."
    "I6a" Trace "Ids on one stream never fall."
    "I6b" Trace "A stream that starts at now is primed once, with the id that was current then."
    "I6c" Trace "What is older than the priming comes before it, what is newer after it."
    "I6d" Trace "A notice carries no id before the priming."
    "I6e" Trace "A publish to a topic with history is told its id, which rises."
    "I6f" Relation "A stream resumed after any of its ids goes on as the unbroken one."
    "I6g" Trace "No id that a stream has got is that of a frame that is still to come."
    "I7a" Trace "An id of another epoch gives a notice in every topic with history."
    "I7b" Trace "A notice of another epoch is given for such an id only."

    "D1a" Trace "Frames of one topic come in order."
    "D1b" Inside "The seqs in a log rise, above what it has dropped."
    "D2" Trace "No frame comes twice."
    "D3a" Trace "A lag that is to be told is told with exactly the number missed."
    "D3b" Trace "A notice is followed by a frame."
    "D3c" Trace "A notice has its form, and is about a topic of the stream."
    "D3d" Trace "Where lags are not to be told, none is."
    "D3e" Trace "The notice of a lag carries the id of the last frame missed."
    "D4a" Trace "What was refused, or heard by nobody, comes nowhere."
    "D4b" Trace "A stream gets frames of its topics only."
    "D4c" Trace "What was published after an end was asked for does not come."
    "D4d" Trace "Nothing comes from before the place where a stream starts."
    "D5a" Trace "At rest a stream that can be written to has everything."
    "D5b" Trace "At rest a stream that can be written to has no frame that is begun only."
    "D5c" Trace "A mounted stream with something to pull is woken."
    "D5d" Trace "Only a mounted stream is woken, and once until it is pulled."
    "D5e" Inside "Who is behind has a turn coming, or waits for its socket; who idles is at the head."
    "D6" Memory "A publish is encoded once: a delivery allocates and copies nothing."
    "D7a" Trace "Who joins or leaves in the middle of a pump makes nobody skip."
    "D7b" Inside "A cursor knows its place among the members, and is not past the head."
    "D8" Trace "While a ready stream waits for its turn, no other gets more than one for each of its topics, plus two."
    "D8b" Inside "What is to have a turn stands in the queue of turns."
    "D9" Trace "Frames of one stream come in the order of their seqs, whatever their topic."
    "D10a" Trace "A gap is told at resume only where something may be gone."
    "D10b" Trace "A resume after which something is gone is told so."
    "D10c" Trace "The notice of a resume says why."
    "D11a" Trace "A frame comes byte for byte as it was encoded, a snapshot without its id."
    "D11b" Trace "Nothing follows a farewell or an end event."
    "D11c" Trace "Comments and end events have the agreed bytes."
    "D11d" Trace "A run ends at the end of a frame."
    "D11e" Trace "An orderly end comes after a whole frame."
    "D11f" Trace "An answer, or the head of one, is sent as it was handed in."
    "D12" Trace "A stream that has lagged and reads on comes to the newest frame."

    "N1a" Trace "An event that equalled the newest is delivered to nobody."
    "N1b" Trace "With dedupe no value comes twice in a row."
    "N2" Trace "With dedupe a newcomer gets the current value at once."
    "N3" Trace "What differs from the newest is appended, whatever came before it."
    "N4a" Trace "With dedupe no member is left with another value than the newest."
    "N4b" Trace "Unchanged and unheard publishes are counted apart, and exactly."
    "N5" Trace "Nobody is given, and nothing is compared with, a value of an earlier life."
    "N6" Trace "A resumed stream gets nothing again that its id covers."
    "N7" Trace "Equal are events of the same name and data, whatever their other fields."

    "B1a" Trace "A stream has one write at a time."
    "B1b" Trace "A run keeps within its bound, or is one frame."
    "B1c" Trace "A mounted stream is woken, not written to."
    "B1d" Trace "No run is empty."
    "B1e" Inside "What a stream is doing, in flight, blocked, begun, woken, fits together."
    "B2a" Inside "The bytes of logs and of what is held are counted, and keep within their bounds."
    "B2b" Memory "The heap keeps within the documented formula at any number of streams."
    "B3" Memory "A blocked stream costs nothing per publish."
    "B4a" Trace "Who has lagged goes on exactly where the policy says."
    "B4b" Trace "Under the policy to close nobody goes on after a lag."
    "B5" Relation "A slow member changes nothing of what another gets."
    "B6a" Trace "A blocked stream is lent nothing until it is writable."
    "B6b" Trace "What was begun is finished first, from the byte where it stopped."
    "B7a" Trace "The bound on streams refuses at its limit, and only there."
    "B7b" Trace "The bound on the streams of a key refuses at its limit, and only there."
    "B7c" Trace "The bound on the topics of a stream refuses at its limit, and only there."
    "B7d" Trace "A call that is refused for a bound leaves the digest as it was."
    "B7e" Trace "No gauge passes its bound."
    "B7f" Inside "What bounds count is counted as it is."
    "B8a" Trace "When all is over nothing is held."
    "B8b" Inside "A run is held by exactly those who were lent it."
    "B8c" Memory "A million connections that came and went leave nothing behind."
    "B9a" Trace "The counter of deliveries counts the frames that were begun."
    "B9b" Trace "At the end what streams were owed is delivered, counted as missed, or abandoned."
    "B9c" Trace "The counters of bytes and heartbeats count what was accepted."
    "B10a" Trace "A publish is told to wait only for a reader that needs what would go."
    "B10b" Trace "A publish that may wait takes nothing from a reader that needs it."
    "B10c" Trace "At rest a publisher that was told to wait has been told of room, or there is a reader to wait for."
    "B10d" Trace "Room is told once to whoever was told to wait, and to nobody else."

    "T1a" Trace "While work waits, the deadline is now."
    "T1b" Trace "The deadline is at most a granule after the least of those that streams and topics have."
    "T1c" Inside "Everybody with a deadline stands on the wheel, and nobody else."
    "T2" Trace "After a timeout and a full pump the deadline lies ahead."
    "T3" Trace "Time alone does not bring the deadline nearer."
    "T4a" Trace "Before the deadline time does nothing."
    "T4b" Trace "A late timeout polls no source twice."
    "T5a" Trace "The clock is the greatest time seen."
    "T5b" Relation "A time that lies back counts as the greatest one."
    "T6" Trace "After a jump of years everything that is due comes once."
    "T7" Trace "When nothing lives, nothing has a deadline."

    "H1" Trace "No heartbeat comes before seven eighths of its interval after the last one."
    "H2" Trace "A heartbeat comes at most a granule after its interval of silence."
    "H3" Trace "Traffic puts the next heartbeat off."
    "H4a" Trace "A heartbeat comes alone."
    "H4b" Trace "No heartbeat is lent to one that is blocked or in flight."
    "H5a" Trace "A heartbeat is a comment or an event, as was asked for."
    "H5b" Trace "A heartbeat leaves the last id of a client alone."

    "W1a" Trace "No stream is closed as stalled before the write timeout is over."
    "W1b" Trace "A stream that takes nothing for the write timeout is closed."
    "W2" Trace "Accepted bytes are progress: they begin the write timeout anew."
    "W3a" Trace "A stream that can be written to is not closed as stalled."
    "W3b" Trace "A mounted stream is woken only if it can pull something."
    "W4" Trace "A heartbeat that falls due does not keep a stalled stream alive."
    "W5" Apart "The machine's write timeout comes before the kernel's."
    "W§3.2" Trace "A stream begins with a comment, and with its retry block where it has one."

    "P5a" Trace "A connection is closed for its head or body only after the deadline."
    "P5b" Trace "A connection whose deadline is over is closed."

    "S1a" Trace "A close for a shutdown comes after a shutdown."
    "S1b" Trace "When grace is over the machine is terminated."
    "S1c" Trace "A machine is terminated only after a shutdown, when nobody lives."
    "S1d" Trace "After a shutdown no source starts, and at rest none runs."
    "S2a" Trace "Nothing is refused for a shutdown before there is one."
    "S2b" Trace "After a shutdown nothing new is taken in."
    "S2c" Trace "Under a shutdown those that live are served until their close."
    "S2d" Trace "After the last close every call is refused."
    "S3a" Trace "A stream that drains ends with its farewell or end event."
    "S3b" Trace "A stream that drains gets first what was published before its end."
    "S3c" Trace "Only a stream that ends gets a farewell."
    "S4" Relation "A second shutdown changes nothing."
    "S5" Trace "When grace is over nobody lives, the blocked neither."
    "S6" Trace "What a client is told to wait lies between two and four seconds."
    "S7a" Trace "The write side of a connection of its own is shut once."
    "S7b" Trace "An orderly close comes after the write side was shut."
    "S7c" Trace "What was shut in order is not cut, unless that is asked for."
    "S7d" Trace "A close waits until the peer has gone, its time is over, or its place is needed."
    "S7e" Trace "Nothing is lent after the write side was shut."
    "A1a" Trace "A grant opens a stream before its expiry, and only then."
    "A1b" Trace "After an expiry, a closed key or a stop nothing that was not begun is lent."
    "A1c" Trace "A close for an expiry comes after it."
    "A1d" Trace "A grant whose decision began before its key was closed opens nothing."
    "C1a" Trace "The write side is shut only of one that has ended."
    "C1b" Trace "A close that was asked for was asked for."
    "C1c" Trace "A close for a lag has a lag."
    "C1d" Trace "A close for the end of the sources has such an end."
    "C1e" Trace "A close for a life that is over comes after seven eighths of it."
    "C1f" Trace "A close names a reason that fits what the connection was doing."
    "C1g" Trace "Who is evicted for a newcomer is the oldest whose head is not complete."

    "R1a" Relation "The same calls give the same answers, actions and digests."
    "R1b" Relation "The key of the hash of names changes nothing that can be seen."
    "R2" Relation "A clone does what its original does."
    "R3a" Relation "What was recorded, played again call by call, gives the same actions and digests."
    "R3b" Apart "A journal, replayed, gives the same digests of actions and state."
    "R4" Apart "The machine has no clock, randomness, thread, environment or hash order."
    "R5a" Trace "A refused call leaves the digest as it was."
    "R5b" Trace "A refused call leaves the clock as it was."
    "R6" Trace "To look at an engine changes nothing."

    "M1" Relation "Any split of pumps by budgets gives every stream the same."
    "M2" Relation "A topic and a stream that have nothing to do with the others change nothing of theirs."
    "M3" Relation "A shift in time shifts the actions, and nothing else."
    "M4" Relation "Other names of topics change nothing but the names."
    "M5" Relation "Early timeouts and stale calls change nothing."
    "M6" Relation "Publishes to different topics at one instant commute for whoever follows one of them."
    "M8" Relation "An engine that is fed by an engine delivers what one would."
    "X1a" Trace "No call panics."
    "X1b" Trace "The work between two rests is bounded by what lives and what comes out."
}
