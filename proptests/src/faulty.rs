//! Engines that are wrong on purpose: a wrapper that breaks one duty of the engine inside. The suite
//! must find every one of them, and every rule must find one; that is how the rules are tested.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use sse_state::{Config, ConfigError, Control, Name, SourceToken, SubscriberId, Time};

use crate::suite::Factory;

mod engine;
mod input;
mod sink;

macro_rules! faults {
    ($($name:ident $steps:literal)*) => {
        /// What is wrong; each says itself what it does.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        #[allow(missing_docs)]
        pub enum Fault { $($name),* }

        impl Fault {
            /// All of them.
            pub const ALL: [Fault; [$($steps),*].len()] = [$(Fault::$name),*];

            /// It shows only after something else has happened: a leave and a rejoin, a log that has
            /// wrapped, a write that was cut, a source that has ended.
            pub const fn takes_two_steps(self) -> bool {
                match self { $(Fault::$name => $steps == 2),* }
            }

            /// Nothing in one run shows it: two runs are compared.
            pub const fn takes_two_runs(self) -> bool {
                match self { $(Fault::$name => $steps == 0),* }
            }
        }
    };
}

faults! {
    ForgetsWritable 2
    ForgetsEveryFifthReport 2
    ForgetsTime 1
    ForgetsShutdown 1
    ForgetsPeers 1
    ForgetsCloseKey 1
    ForgetsExpiry 1
    ForgetsAnswerHead 1
    LosesPublishes 1
    LosesEveryFourthPublish 1
    LosesPublishesWhileOneIsBlocked 2
    LosesPublishesLate 1
    LosesPublishesToOddNames 0
    LosesAPublishAfterARefusal 2
    LosesAWriteAfterAShortPump 2
    DrainsInsteadOfStopping 1
    StopsInsteadOfDraining 1
    ResumesAtNow 2
    ResumesOneLate 2
    BeginsAtTheOldest 1
    LogsOneTooFew 2
    LogsOneTooMany 2
    SkipsForConflate 2
    ClosesNobody 2
    TellsNoGap 2
    NumbersEveryNotice 1
    NoticesOfAnotherTopic 1
    NoticesWithTheNextId 2
    NoticesWithNothingAfter 2
    BlamesTheEpoch 1
    NeverDedupes 1
    AlwaysDedupes 1
    DeliversTheUnchanged 2
    GreetsFromAnEarlierLife 2
    SwapsNeighbours 1
    LingersNot 2
    LingersLonger 2
    BeatsLate 1
    BeatsEarly 1
    BeatsWithAnId 1
    BeatsWhileBlocked 2
    BeatsTwiceAfterAJump 2
    WritesTwice 1
    WritesNothing 1
    WritesToTheMounted 1
    WritesAfterTheEnd 2
    SwallowsARun 1
    FlipsAByte 1
    ClaimsAllWasTaken 2
    ClaimsNothingWasTaken 2
    RepeatsAfterAPartialWrite 2
    WakesTwice 1
    WakesForNothing 2
    StartsTwice 1
    StartsWhereNothingIs 1
    StartsAfreshWhileMembersRemain 2
    ForgetsEverySecondStart 2
    ForgetsStop 1
    StopsEarly 1
    ReusesTokens 2
    ReusesIds 2
    RenamesStreams 1
    PollsTwice 1
    PollsAfterTheEnd 2
    PollsOneTooMany 1
    EndsAfterAFailedPoll 1
    ClosesTwice 1
    ClosesTheReadyAsStalled 1
    ClosesForAnotherReason 1
    ClosesHeadsEarly 1
    CutsWhatHasFinished 2
    FinishesTwice 1
    ForgetsFinish 1
    ForgetsProgress 2
    ForgetsToCloseTheStalled 2
    StallsTwiceAsLong 2
    StallsHalfAsLong 2
    TakesDeadIds 2
    TakesTheLivingForDead 1
    TakesAfterShutdown 2
    RefusesWithoutAShutdown 1
    RefusesTheLivingAtShutdown 2
    ForgetsThatAllIsOver 2
    EndsBeforeTheEnd 1
    ShutsDownHarderTheSecondTime 0
    MiscountsStaleReports 1
    MiscountsTopics 1
    MiscountsWhatIsHeld 1
    SaysThatItKeepsNothing 1
    ChangesOnRefusal 1
    ChangesWhenLookedAt 1
    ChangesWithTheProcess 1
    ChangesWithTheHashKey 0
    ChangesWhenCloned 0
    ChangesWhenTimeGoesBack 1
    GoesBackInTime 1
    SleepsForEver 1
    SleepsEverLess 1
    NeverSleeps 1
    PumpsInVain 1
    PanicsOnADeadId 2
    AdmitsOneTooMany 1
    AdmitsOneTooFew 1
    AdmitsAnyNumberOfAKey 1
    AdmitsOneTopicTooMany 1
    EvictsTheNewest 1
    WaitsForNobody 1
    WaitsNever 2
    ForgetsRoom 2
    TellsRoomTwice 2
}

/// Makes faulty engines of whatever the factory makes.
#[derive(Clone, Copy, Debug)]
pub struct FaultyFactory<F>(pub F, pub Fault);

impl<F: Factory> Factory for FaultyFactory<F> {
    type Engine = Faulty<F::Engine>;

    fn make(&self, config: Config) -> Result<Faulty<F::Engine>, ConfigError> {
        let fault = self.1;
        let odd = config.hash_key != [0, 0];
        let mut twisted = config.clone();
        match fault {
            Fault::StallsTwiceAsLong => twisted.write_timeout *= 2,
            Fault::StallsHalfAsLong => twisted.write_timeout /= 2,
            Fault::ClosesHeadsEarly => twisted.head_timeout /= 2,
            Fault::PollsOneTooMany => twisted.polls += 1,
            Fault::AdmitsOneTooMany => twisted.subscribers += 1,
            Fault::AdmitsOneTooFew => twisted.subscribers -= 1,
            Fault::AdmitsAnyNumberOfAKey => twisted.streams_per_key = None,
            Fault::AdmitsOneTopicTooMany => twisted.topics_per_subscriber += 1,
            _ => {}
        }
        Ok(Faulty {
            inner: self.0.make(twisted)?,
            fault,
            memory: Memory {
                odd,
                write_timeout: config.write_timeout,
                ..Memory::default()
            },
        })
    }
}

/// An engine with one fault.
#[derive(Clone, Debug)]
pub struct Faulty<E> {
    inner: E,
    fault: Fault,
    memory: Memory,
}

/// What faults remember.
#[derive(Clone, Default, Debug)]
struct Memory {
    /// Whatever the fault counts.
    count: u64,
    looks: Cell<u64>,
    clones: Clones,
    odd: bool,
    now: Time,
    write_timeout: std::time::Duration,
    shut: bool,
    jumped: bool,
    /// What a pump does besides, first or last.
    first: Vec<Later>,
    last: Vec<Later>,
    /// The last stream that took everything.
    reader: Option<SubscriberId>,
    /// The last connection that was accepted.
    newest: Option<SubscriberId>,
    /// Since when streams have been blocked.
    blocked: BTreeMap<SubscriberId, Time>,
    /// Who runs, and its last poll.
    runs: BTreeMap<SourceToken, (Name, u64)>,
    /// The last event of each topic.
    events: BTreeMap<String, Bytes>,
}

/// Something that a pump does besides.
#[derive(Clone, Debug)]
enum Later {
    Write(SubscriberId, Bytes),
    Control(Control),
    /// Closes it as stalled, whatever it does.
    Stall(SubscriberId),
}

/// Knows whether it was cloned.
#[derive(Default, Debug)]
struct Clones(u64);

impl Clone for Clones {
    fn clone(&self) -> Clones {
        Clones(self.0 + 1)
    }
}

impl Memory {
    /// Every so many calls.
    fn every(&mut self, n: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(n)
    }
}
