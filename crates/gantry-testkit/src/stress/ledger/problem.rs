//! What can be wrong.

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::stress) enum Wrong {
    /// A start that was told to its client without an event, or a start without an exit.
    Lost,
    /// A start or an exit that was told twice.
    Doubled,
    /// A status that cannot be true.
    Status,
    /// Events that cannot follow each other, or of what nobody asked for, or that a replay tells otherwise.
    Order,
    /// Something remains.
    Leak,
    /// The daemon, a shim or this command itself panicked, or the daemon ended by itself.
    Panic,
    /// An operation failed, or did not end, with no fault near.
    Refused,
    /// Bytes that a container wrote did not arrive.
    Output,
}

#[derive(Clone, Debug)]
pub(in crate::stress) struct Problem {
    pub(in crate::stress) wrong: Wrong,
    pub(in crate::stress) container: Option<String>,
    pub(in crate::stress) text: String,
}
