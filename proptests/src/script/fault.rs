//! What can go wrong in one IO call.

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// `Interrupted`; nothing has happened.
    Interrupted,
    /// `WouldBlock` though it was said to be ready; it is said again.
    Spurious,
    /// One byte, though there are more, or room for more.
    Short,
    /// A write takes half, and the next ones nothing for 20 ms.
    Block,
    /// A write takes nothing, and there is room again before anybody was told of it.
    BlockOnce,
    /// A write takes nothing any more.
    Stall,
    /// The peer resets the connection.
    Reset,
    /// The peer ends what it sends.
    End,
    /// The connection was gone before it was accepted.
    Aborted,
    /// The process has no descriptor left.
    NoDescriptors,
    /// A wait ends three seconds late.
    Late,
    /// A wait ends early, without events.
    Early,
    /// Events come in another order.
    Backwards,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 13] = [
        Fault::Interrupted,
        Fault::Spurious,
        Fault::Short,
        Fault::Block,
        Fault::BlockOnce,
        Fault::Stall,
        Fault::Reset,
        Fault::End,
        Fault::Aborted,
        Fault::NoDescriptors,
        Fault::Late,
        Fault::Early,
        Fault::Backwards,
    ];

    /// Those of a wait.
    pub(super) const WAIT: &[Fault] = &[
        Fault::Interrupted,
        Fault::Late,
        Fault::Early,
        Fault::Backwards,
    ];
    /// Those of an accept.
    pub(super) const ACCEPT: &[Fault] = &[
        Fault::Interrupted,
        Fault::Spurious,
        Fault::Aborted,
        Fault::NoDescriptors,
    ];
    /// Those of a read.
    pub(super) const READ: &[Fault] = &[
        Fault::Interrupted,
        Fault::Spurious,
        Fault::Short,
        Fault::Reset,
        Fault::End,
    ];
    /// Those of a write.
    pub(super) const WRITE: &[Fault] = &[
        Fault::Interrupted,
        Fault::Short,
        Fault::Block,
        Fault::BlockOnce,
        Fault::Stall,
        Fault::Reset,
    ];
    /// Those of shutting a write side.
    pub(super) const SHUTDOWN: &[Fault] = &[Fault::Reset];
}
