//! What happened, in order, durable before anybody is told.
//!
//! [`Event`] is one thing that happened; [`file`] is how it stands on disk; [`EventLog`] gives each its time,
//! syncs it, and only then shows it to subscribers and to replays.

mod event;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod log;
mod timestamp;
mod writer;

pub use event::{Event, EventKind, ProcessKey};
pub(crate) use log::Pending;
pub use log::{EventLog, Subscription};
pub use timestamp::Timestamp;
