//! Driving an OCI runtime by its command line: `gantry-runtime`, runc, crun, youki, or any other that takes
//! runc's commands and flags.
//!
//! This crate builds commands and understands what comes back; it starts nothing itself, so that the shim can
//! run them blocking and the daemon asynchronously. It must not know shims or the daemon. Start reading at
//! [`Runtime`], then [`RuntimeError`].

mod command;
mod error;

pub use command::{Checkpoint, Console, Create, Exec, Logging, Restore, Runtime, forget_service_manager};
pub use error::{RuntimeError, check};
