//! Standard streams: what the process reads from and writes to, and how it ends.

mod again;
mod direct;
mod linger;
mod open;
mod pump;
mod terminal;
mod writers;

pub(crate) use direct::Direct;
pub(crate) use linger::Unread;
pub(crate) use open::{How, reopen};
pub(crate) use terminal::{Client, Size, Terminal};
pub(crate) use writers::Writers;

/// The two ways to connect a process with its client.
pub(crate) enum Stdio {
    /// It has the client's own FIFOs and files.
    Direct(Direct),
    /// It has a terminal.
    Terminal(Terminal),
}

impl Stdio {
    /// Whether no byte is in the shim's own memory.
    pub(crate) fn holds_nothing(&self) -> bool {
        match self {
            Self::Direct(_) => true,
            Self::Terminal(terminal) => terminal.holds_nothing(),
        }
    }
}
