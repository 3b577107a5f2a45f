//! Container and process objects and their life cycle: how they are made, watched, driven, brought back from
//! disk and removed.
//!
//! Everything here acts on one container at a time and is asynchronous; nothing here queues, orders or
//! publishes. It must not know gRPC or the supervisor's queues. Start reading at [`Container`] (a directory, a
//! runtime), [`Process`] (who runs, verified) and [`ExitWatch`] (how it ended); [`start`] is the road from a
//! request to a running process.

pub mod bundle;
pub mod cgroup;
pub mod checkpoint;
pub mod claims;
pub mod consoles;
pub mod container;
pub mod error;
pub mod exit;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod handover;
mod holders;
pub mod orphans;
pub mod process;
mod program;
pub mod resident;
pub mod resources;
pub mod restore;
pub mod runtime;
pub mod shim;
pub mod spec;
pub mod start;
mod sys;
pub mod trace;

pub use checkpoint::Checkpoint;
pub use consoles::Consoles;
pub use container::{Container, NewContainer, OnShimDeath, Settings};
pub use error::{Error, Result};
pub use exit::ExitWatch;
pub use orphans::Orphans;
pub use process::Process;
pub use resident::Resident;
pub use resources::Resources;
pub use spec::{ExecSpec, Rlimit, Stdio};
pub use trace::Trace;
