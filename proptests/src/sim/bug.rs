//! Bugs that are planted around the hub: each must be found, else the checks are blind.

use crate::faulty::Fault;

/// A planted bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each says itself what it does
pub enum Bug {
    FlipsAByte,
    LosesAByte,
    DoublesAByte,
    LosesReadiness,
    LosesWritable,
    LosesATimer,
    LosesATask,
    EndsInsteadOfResetting,
    NeverCloses,
    LosesAConnection,
    Engine(Fault),
}

impl Bug {
    /// Those of the runtime and its sockets, and engines with a fault that clients can see.
    pub const ALL: [Bug; 29] = [
        Bug::FlipsAByte,
        Bug::LosesAByte,
        Bug::DoublesAByte,
        Bug::LosesReadiness,
        Bug::LosesWritable,
        Bug::LosesATimer,
        Bug::LosesATask,
        Bug::EndsInsteadOfResetting,
        Bug::NeverCloses,
        Bug::LosesAConnection,
        Bug::Engine(Fault::ForgetsWritable),
        Bug::Engine(Fault::ForgetsTime),
        Bug::Engine(Fault::ForgetsShutdown),
        Bug::Engine(Fault::ForgetsPeers),
        Bug::Engine(Fault::ForgetsCloseKey),
        Bug::Engine(Fault::ForgetsExpiry),
        Bug::Engine(Fault::ForgetsAnswerHead),
        Bug::Engine(Fault::LosesPublishes),
        Bug::Engine(Fault::ResumesAtNow),
        Bug::Engine(Fault::ResumesOneLate),
        Bug::Engine(Fault::ClosesNobody),
        Bug::Engine(Fault::TellsNoGap),
        Bug::Engine(Fault::WritesTwice),
        Bug::Engine(Fault::SwallowsARun),
        Bug::Engine(Fault::ForgetsStop),
        Bug::Engine(Fault::StartsTwice),
        Bug::Engine(Fault::StallsTwiceAsLong),
        Bug::Engine(Fault::StallsHalfAsLong),
        Bug::Engine(Fault::ForgetsEveryFifthReport),
    ];
}
